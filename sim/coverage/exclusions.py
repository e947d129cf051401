# SPDX-License-Identifier: Apache-2.0
"""What need not be covered: ``tb/exclusions.toml`` beside the blocks, reviewed, each entry with its reason.

    [[exclude]]
    file = "rtl/mvu/mvu_sequencer.sv"       # wildcards allowed
    line = "default: state_d = Idle;"       # the line's text, however it is indented; or:
    pattern = "^ *`ASSERT"                  # regular expression, searched in it
    kinds = ["line", "branch"]              # default: all
    what = "else"                           # regular expression for Verilator's words, searched; default: all
    reason = "the state register has no other value"

A point belongs to the line on which it begins. Numbers of lines are not used: they move.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from assay.sim import shown
from assay.sim.coverage.code import KINDS, Point
from assay.tb.errors import AssayError, unknown
from assay.tb.text_file import read_toml

FILE = Path("tb") / "exclusions.toml"
"""Relative to a block's root."""


@dataclass
class Exclusion:
    """One entry of the file."""

    file: str
    reason: str
    line: str = ""
    pattern: str = ""
    kinds: tuple[str, ...] = tuple(KINDS)
    what: str = ""
    excluded: list[Point] = field(default_factory=list)
    """Its points, once they are known."""

    def fits(self, point: Point, text: str) -> bool:
        """Whether a point on a line of this text is excluded by it."""
        return (
            point.kind in self.kinds
            and fnmatchcase(point.file, self.file)
            and (text.strip() == self.line if self.line else bool(re.search(self.pattern, text)))
            and bool(re.search(self.what, point.what))
        )

    @property
    def stale(self) -> str:
        """Why the entry should go; empty: it should stay."""
        if not self.excluded:
            return "matches nothing"
        return "is covered" if self.line and all(point.count for point in self.excluded) else ""


def read_exclusions(root: Path) -> list[Exclusion]:
    """The entries of a repository; none without the file.

    Raises:
        AssayError: an entry is wrong.
    """
    path = root / FILE
    if not path.is_file():
        return []
    entries = read_toml(path, shown(path)).get("exclude", [])
    return [_entry(f"{shown(path)}, entry {number}", entry) for number, entry in enumerate(entries, 1)]


def _entry(place: str, entry: dict[str, Any]) -> Exclusion:
    allowed = [each.name for each in fields(Exclusion) if each.name != "excluded"]
    for name, value in entry.items():
        if name not in allowed:
            raise AssayError(f"{place}: {unknown('key', name, allowed)}")
        if not isinstance(value, list if name == "kinds" else str) or not value:
            raise AssayError(
                f"{place}: {name} = {value!r}: must be a {'list' if name == 'kinds' else 'text'}"
            )
    for name in ("file", "reason"):
        if name not in entry:
            raise AssayError(f"{place}: has no {name}")
    if ("line" in entry) == ("pattern" in entry):
        raise AssayError(f"{place}: must have either line or pattern")
    for kind in entry.get("kinds", ()):
        if kind not in KINDS:
            raise AssayError(f"{place}: {unknown('kind', str(kind), KINDS)}")
    for name in ("pattern", "what"):
        try:
            re.compile(entry.get(name, ""))
        except re.error as error:
            raise AssayError(f"{place}: {name} is no regular expression: {error}") from None
    return Exclusion(**{**entry, "kinds": tuple(entry.get("kinds", KINDS))})


def split(
    points: Sequence[Point], exclusions: Sequence[Exclusion], text: Callable[[Point], str]
) -> tuple[list[Point], dict[int, Exclusion]]:
    """The points that count, and those that do not (by `id`) with the entry that says so. Fills the entries' lists."""
    counted, excluded = [], {}
    for point in points:
        line = text(point)
        entry = next((each for each in exclusions if each.fits(point, line)), None)
        if entry is None:
            counted.append(point)
        else:
            entry.excluded.append(point)
            excluded[id(point)] = entry
    return counted, excluded
