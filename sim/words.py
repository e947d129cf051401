# SPDX-License-Identifier: Apache-2.0
"""The words that crossed a design's ports in a run with ``WORDS=1``: where and when two runs differ first.

The adapters of bursts and the agents that act clock by clock leave a file for each stream (`port_record.svh`,
`tb.agents.words`). `collect` packs them into the run's folder ``words/`` and gives a digest for each, which stands in
``summary.json`` as ``streams``. Where the digests of two runs are alike, nothing else is read.

A digit that is x is unknown in a simulator with four states; one with two states has a value there. It is taken as
equal to any: whether an unknown bit may cross a port is for the bench to judge.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from assay.tb.agents.words import SUFFIX

RECORDING = "ASSAY_WORDS"
"""Environment variable and macro of the HDL: the run records."""

FOLDER = "words"

_ADAPTER = re.compile(r"(^|\.)u_(\w+)_(source|sink)\.\3$")
"""The record of an adapter that the macros of burst_ports.svh have made: of stream ``\\2``."""


@dataclass(frozen=True)
class Word:
    """A word on its way across a port: the time in ns, and its hexadecimal digits."""

    time_ns: int
    digits: str

    def __str__(self) -> str:
        return f"0x{self.digits} at {self.time_ns:,} ns"


@dataclass(frozen=True)
class Difference:
    """Where two runs differ first on a stream.

    Attributes:
        stream: its name.
        index: of the word, counted over the whole run; -1: one of the runs has no such stream.
        words: of both runs; None where the run has no more of them.
    """

    stream: str
    index: int
    words: tuple[Word | None, Word | None]

    @property
    def time_ns(self) -> int:
        """When it shows."""
        return min((word.time_ns for word in self.words if word is not None), default=0)


def collect(folder: Path, top: str) -> dict[str, dict[str, Any]]:
    """Pack the records that a run has left in its folder.

    Args:
        top: the module under the simulator's root, which all paths begin with.

    Returns:
        stream -> ``words``, their number, and ``digest``, of times and words in their order.
    """
    streams = {}
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        content = path.read_bytes().lower()
        name = path.name.removesuffix(SUFFIX).removeprefix("TOP.").removeprefix(f"{top}.")
        name = _ADAPTER.sub(r"\1\2", name)
        target = folder / FOLDER / f"{name}.gz"
        target.parent.mkdir(exist_ok=True)
        with gzip.open(target, "wb", compresslevel=4) as file:
            file.write(content)
        path.unlink()
        streams[name] = {"words": content.count(b"\n"), "digest": hashlib.sha256(content).hexdigest()}
    return streams


def differences(
    folders: tuple[Path, Path], streams: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> list[Difference]:
    """The first difference of each stream on which two runs differ, the earliest first.

    Args:
        folders: of the runs.
        streams: of their summaries.
    """
    found = []
    for name in sorted({*streams[0], *streams[1]}):
        ours, theirs = (each.get(name) for each in streams)
        if ours != theirs and (difference := _first(name, folders)) is not None:
            found.append(difference)
    return sorted(found, key=lambda each: each.time_ns)


def _first(name: str, folders: tuple[Path, Path]) -> Difference | None:
    for index, lines in enumerate(zip_longest(*(_lines(folder, name) for folder in folders))):
        if lines[0] != lines[1] and not _alike(*lines):
            words = [line and Word(int(line.split()[0]), line.split()[1]) for line in lines]
            return Difference(name, index, (words[0] or None, words[1] or None))
    return None


def _lines(folder: Path, name: str) -> Iterator[str]:
    path = folder / FOLDER / f"{name}.gz"
    if path.is_file():
        with gzip.open(path, "rt", encoding="ascii") as file:
            yield from (line.rstrip("\n") for line in file)


def _alike(ours: str | None, theirs: str | None) -> bool:
    """Whether two lines differ in digits that one of them does not know, and in nothing else."""
    if ours is None or theirs is None or len(ours) != len(theirs):
        return False
    return all(a == b or a in "xz" or b in "xz" for a, b in zip(ours, theirs, strict=True))
