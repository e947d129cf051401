# SPDX-License-Identifier: Apache-2.0
"""A series of changed files is read; what ends in neither a value nor one of Assay's errors is a finding.

Findings of the same exception and place are one. Each is made small, first by leaving changes out, then by leaving
bytes out, as long as the exception and its place stay, and lies in a folder of its own with the command that reads it
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from assay.sim import shown
from assay.sim.fuzz.forms import forms
from assay.sim.fuzz.inputs import Input, numbered
from assay.sim.fuzz.server import CRASH, Answer, place_of

Announce = Callable[[str], None]

MEMORY = 4096
"""Megabytes of address space of the process that reads."""

LIMIT = 10.0
"""Seconds for one file."""

INPUTS_EACH = 5000
"""Files that one process reads: what it keeps must not reach the bound."""

SMALLER_SECONDS = 20.0
"""For making one finding small."""

RECORD = "finding.json"

SERVER = ("-m", "assay.sim.fuzz.server")
"""Words for Python that start the process."""


class Reader:
    """The process that reads, started again where it has ended; use it in a ``with`` block."""

    def __init__(self, limit: float = LIMIT, memory: int = MEMORY) -> None:
        self._limit = limit
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="assay-fuzz-")
        self._read = 0

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._folder.cleanup()

    def read(self, form: str, data: bytes) -> Answer:
        """What comes of a file."""
        if self._read >= INPUTS_EACH:
            self.stop()
        process = self._process or self._start()
        assert process.stdin is not None  # for it is a pipe
        self._read += 1
        try:
            process.stdin.write(json.dumps({"form": form, "size": len(data)}).encode() + b"\n" + data)
            process.stdin.flush()
        except BrokenPipeError:
            return self._ended()
        line = self._line(self._limit + 5)
        if line is None:
            self.stop()
            return Answer("finding", "hang", "outside of Python", f"no answer in {self._limit + 5:g} s")
        return Answer(**json.loads(line)) if line else self._ended()

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        # More threads of the BLAS take address space, and make no small network faster.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        words = (str(self._memory), str(self._limit), self._folder.name)
        self._read = 0
        self._process = subprocess.Popen(
            [sys.executable, *SERVER, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the campaign
        )
        if self._line(120) != b"ready\n":
            self.stop()
            raise RuntimeError("the process that reads changed files does not start")
        return self._process

    def _line(self, seconds: float) -> bytes | None:
        """The next line; empty where the process has ended, None where it is silent."""
        assert self._process is not None and self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        return self._process.stdout.readline()

    def _ended(self) -> Answer:
        """The process has ended by itself."""
        assert self._process is not None
        status = self._process.wait()
        self._process = None
        kind = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        trace = (Path(self._folder.name) / CRASH).read_text(errors="replace")
        frames = [(name, int(line)) for name, line in re.findall(r'File "([^"]+)", line (\d+)', trace)]
        return Answer("finding", kind, place_of(frames[::-1]), f"the process ended by {kind}", trace[-8000:])


@dataclass
class Finding:
    """What must not have come of a file.

    Attributes:
        answer: of the process.
        number: of the first input.
        times: how often it came.
        made: the input, with the changes that it needs.
        data: the small file.
    """

    answer: Answer
    number: int
    made: Input
    data: bytes = b""
    times: int = 1


@dataclass
class Campaign:
    """A series and what has come of it.

    Attributes:
        seed: of the series.
        only: names of the forms; none: all.
        outcomes: how many files ended in a value, refused, in a finding, by form.
        digest: over all inputs so far.
    """

    seed: int
    only: tuple[str, ...] = ()
    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    findings: dict[tuple[str, str], Finding] = field(default_factory=dict)
    seconds: float = 0
    inputs: int = 0
    digest: str = ""

    def run(self, minutes: float, most: int, reader: Reader, announce: Announce) -> None:
        """Go on until so many minutes have passed, or so many files are read; 0 of either: without end. Ctrl-C ends it
        as well: what was found stays."""
        began, told = time.monotonic(), time.monotonic()
        digest = hashlib.sha256()
        try:
            while (not most or self.inputs < most) and (
                not minutes or time.monotonic() - began < 60 * minutes
            ):
                made = numbered(self.seed, self.inputs, self.only)
                data = made.content()
                digest.update(data)
                answer = reader.read(made.form, data)
                self.outcomes.setdefault(made.form, Counter())[answer.outcome] += 1
                if answer.outcome == "finding":
                    self._found(answer, made, reader, announce)
                self.inputs += 1
                if time.monotonic() - told > 60:
                    told = time.monotonic()
                    announce(f"{self.inputs:,} files, {len(self.findings)} findings")
        except KeyboardInterrupt:
            announce("interrupted: this is what was found so far")
        self.digest = digest.hexdigest()[:16]
        self.seconds = time.monotonic() - began

    def _found(self, answer: Answer, made: Input, reader: Reader, announce: Announce) -> None:
        if answer.key in self.findings:
            self.findings[answer.key].times += 1
            return
        announce(f"finding: {answer.kind} at {answer.place}: {answer.message.splitlines()[0][:100]}")
        made, data = smaller(made, answer, reader)
        self.findings[answer.key] = Finding(answer, self.inputs, made, data)


def smaller(made: Input, answer: Answer, reader: Reader) -> tuple[Input, bytes]:
    """An input with fewer changes, and a file with fewer bytes, of which the same comes."""
    end = time.monotonic() + SMALLER_SECONDS

    def same(data: bytes) -> bool:
        return time.monotonic() < end and reader.read(made.form, data).key == answer.key

    place = 0
    while place < len(made.steps) and len(made.steps) > 1:
        fewer = made.without(place)
        if same(fewer.content()):
            made = fewer
        else:
            place += 1
    data = made.content()
    if forms()[made.form].suffix != "zip":  # the archive is how a folder travels
        data = _fewer_bytes(data, same)
    return made, data


def _fewer_bytes(data: bytes, same: Callable[[bytes], bool]) -> bytes:
    """Delta debugging: pieces are left out, ever smaller ones."""
    size = len(data) // 2
    while size:
        place = 0
        while place < len(data):
            without = data[:place] + data[place + size :]
            if same(without):
                data = without
            else:
                place += size
        size //= 2
    return data


def write(campaign: Campaign, folder: Path) -> list[Path]:
    """Leave each finding in a folder of its own."""
    written = []
    for finding in campaign.findings.values():
        answer, form = finding.answer, finding.made.form
        name = re.sub(r"[^\w.]+", "_", f"{form}-{answer.kind}-{answer.place}")
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        file = place / f"input.{forms()[form].suffix}"
        file.write_bytes(finding.data)
        whole = numbered(campaign.seed, finding.number, campaign.only)
        (place / f"original.{forms()[form].suffix}").write_bytes(whole.content())
        record = {
            "form": form,
            "origin": finding.made.origin,
            "kind": answer.kind,
            "place": answer.place,
            "message": answer.message,
            "seed": campaign.seed,
            "number": finding.number,
            "times": finding.times,
            "file": file.name,
        }
        (place / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        (place / "trace.txt").write_text(answer.trace, encoding="utf-8")
        written.append(place)
    return written


def told(finding: Finding) -> str:
    """A finding in a sentence."""
    answer, made = finding.answer, finding.made
    count = len(made.steps)
    return (
        f"{answer.kind} at {answer.place}, from a {made.form} file ({made.origin}) with {count} "
        f"change{'s' * (count != 1)}, {len(finding.data):,} bytes, {finding.times} times: "
        f"{answer.message.splitlines()[0][:200]}"
    )


def again(folder: Path, reader: Reader, announce: Announce) -> bool:
    """Read the file of a finding again; whether it ends as it should."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    answer = reader.read(record["form"], (folder / record["file"]).read_bytes())
    if answer.outcome == "finding":
        announce(f"FAIL  {shown(folder)}: {answer.kind} at {answer.place}: {answer.message}")
        for line in answer.trace.splitlines()[-12:]:
            announce(f"      {line}")
        return False
    announce(f"PASS  {shown(folder)}: {'a value' if answer.outcome == 'value' else 'one clear message'}")
    return True
