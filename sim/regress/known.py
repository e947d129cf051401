# SPDX-License-Identifier: Apache-2.0
"""Failures that a team knows and has acknowledged: ``tb/known_failures.toml`` beside the blocks.

    [[known]]
    module = "mvu_post"                  # any of: block, module, stage, unit, check, kind, stream, place, test,
    place = "lane 5"                     # message; each must match, * and ? are wildcards
    reason = "pool unit keeps the older of two equal values"
    who = "Ada"
    expires = 2026-12-31                 # from the day after, it counts as a failure again
    link = "https://example.org/issue/7" # may be left out

A report names the entries that have expired, and those that nothing matches any more.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from assay.sim import shown
from assay.sim.regress.record import Entry
from assay.tb.errors import AssayError, unknown
from assay.tb.text_file import read_toml

__all__ = ["FILE", "Known", "find_known", "read_known"]

FILE = Path("tb") / "known_failures.toml"
"""Relative to a block's root."""

PATTERNS = ("block", "module", "stage", "unit", "check", "kind", "stream", "place", "test", "message")
_NEEDED = ("reason", "who", "expires")


@dataclass
class Known:
    """One entry of the file.

    Attributes:
        patterns: field to pattern.
        expires: last day on which it counts.
        expired: whether that day is over.
        matched: failures that it has acknowledged, or would have.
    """

    patterns: Mapping[str, str]
    reason: str
    who: str
    expires: datetime.date
    link: str = ""
    expired: bool = False
    matched: int = 0

    def fits(self, failure: Mapping[str, Any], entry: Entry) -> bool:
        """Whether it acknowledges a failure of an entry of the regression."""
        values = {**failure, "test": entry.test, "block": failure.get("block", entry.block)}
        return all(fnmatchcase(str(values.get(name, "")), text) for name, text in self.patterns.items())

    def describe(self) -> str:
        """The patterns, as the file has them."""
        return ", ".join(f'{name} = "{text}"' for name, text in self.patterns.items())


def find_known(known: Sequence[Known], failure: Mapping[str, Any], entry: Entry) -> Known | None:
    """The first entry that acknowledges a failure."""
    for each in known:
        if each.fits(failure, entry):
            each.matched += 1
            return each
    return None


def read_known(root: Path, today: datetime.date | None = None) -> list[Known]:
    """The entries of a repository; none without the file.

    Args:
        root: of the repository.
        today: by which entries expire; None: the day it is.

    Raises:
        AssayError: an entry is wrong.
    """
    path = root / FILE
    if not path.is_file():
        return []
    data = read_toml(path, shown(path))
    for name in data:
        if name != "known":
            raise AssayError(f"{shown(path)}: {unknown('key', name, ['known'])}")
    entries = data.get("known", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise AssayError(f"{shown(path)}: known must be a list of tables: write [[known]]")
    day = today or datetime.date.today()
    return [_entry(f"{shown(path)}, entry {number}", entry, day) for number, entry in enumerate(entries, 1)]


def _entry(place: str, entry: Mapping[str, Any], today: datetime.date) -> Known:
    allowed = [*PATTERNS, *_NEEDED, "link"]
    for name, value in entry.items():
        if name not in allowed:
            raise AssayError(f"{place}: {unknown('key', name, allowed)}")
        if name == "expires":
            if type(value) is not datetime.date:
                raise AssayError(
                    f"{place}: expires = {value!r}: must be a date, such as 2026-12-31, unquoted"
                )
        elif not isinstance(value, str) or not value.strip():
            raise AssayError(f"{place}: {name} = {value!r}: must be a text")
    for name in _NEEDED:
        if name not in entry:
            raise AssayError(f"{place}: has no {name}")
    patterns = {name: entry[name] for name in PATTERNS if name in entry}
    if not any(text.strip("*?") for text in patterns.values()):
        raise AssayError(f"{place}: acknowledges everything; give at least one of {', '.join(PATTERNS)}")
    return Known(
        patterns,
        entry["reason"],
        entry["who"],
        entry["expires"],
        entry.get("link", ""),
        expired=today > entry["expires"],
    )
