# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file: tables that sort, annotated sources, which test covers a line. It needs no network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from assay.sim.coverage.code import KINDS, Point
from assay.sim.coverage.merged import GOALS, METRICS, Merged, SourceFile, describe
from assay.sim.pages import rendered

TEMPLATE = Path(__file__).with_name("page.html")

NEVER_SHOWN = 12
"""Toggles and terms of a line that are named; the rest is counted."""


def page(merged: Merged, title: str) -> str:
    """The text of the HTML file. Needs the extra ``coverage``."""
    return rendered(TEMPLATE, _content(merged, title))


def _content(merged: Merged, title: str) -> dict[str, Any]:
    sets = _Sets(merged)
    return {
        "title": title,
        "goals": GOALS,
        "metrics": METRICS,
        "kinds": KINDS,
        "shares": merged.shares,
        "tests": _tests(merged),
        "groups": _groups(merged, sets),
        "files": [_file(number, file, sets) for number, file in enumerate(merged.files.values())],
        "never": [
            (number, point.line, describe(point), merged.text(point).strip())
            for number, file in enumerate(merged.files.values())
            for point in file.never
            if file.name not in merged.borrowed
        ],
        "folders": merged.folders,
        "borrowed": merged.borrowed,
        "exclusions": merged.exclusions,
        "sets": sets.found,
        "labels": [test.label for test in merged.tests],
    }


class _Sets:
    """Sets of tests, each written once; -1: no test."""

    def __init__(self, merged: Merged) -> None:
        self._merged = merged
        self._numbers: dict[int, int] = {0: -1}
        self.found: list[list[int]] = []

    def number(self, mask: int) -> int:
        """Number of the set of a mask of tests."""
        if mask not in self._numbers:
            self._numbers[mask] = len(self.found)
            self.found.append(self._merged.by(mask))
        return self._numbers[mask]


def _tests(merged: Merged) -> list[dict[str, Any]]:
    """For each test, what it covers and what it alone covers: lines and branches, bins."""
    code = [
        point for file in merged.files.values() for point in file.points if point.kind in ("line", "branch")
    ]
    items = [item for group in merged.functional.groups.values() for item in group.values()]
    bins = [each for item in items for each in item.bins.values()]
    rows = []
    for number, test in enumerate(merged.tests):
        bit = 1 << number
        rows.append(
            {
                "label": test.label,
                "code": sum(bool(point.tests & bit) for point in code) if test.code else None,
                "code_alone": sum(point.tests == bit for point in code) if test.code else None,
                "bins": sum(bool(each.tests & bit) for each in bins),
                "bins_alone": sum(each.tests == bit for each in bins),
            }
        )
    return rows


def _groups(merged: Merged, sets: _Sets) -> list[dict[str, Any]]:
    return [
        {
            "group": group,
            "item": name,
            "covered": item.covered,
            "all": len(item.bins),
            "percent": 100.0 * item.covered / len(item.bins),
            "missed": item.missed,
            "borrowed": group in merged.borrowed,
            "bins": [(label, each.hits, sets.number(each.tests)) for label, each in item.bins.items()],
        }
        for group, items in sorted(merged.functional.groups.items())
        for name, item in items.items()
    ]


def _file(number: int, file: SourceFile, sets: _Sets) -> dict[str, Any]:
    beginning: dict[int, list[Point]] = {}
    for point in file.points:
        beginning.setdefault(point.line, []).append(point)
    reasons: dict[int, str] = {}
    for point, exclusion in file.excluded:
        reasons.setdefault(point.line, exclusion.reason)
    return {
        "number": number,
        "name": file.name,
        "shares": {metric: file.share(metric) for metric in METRICS},
        "excluded": len(file.excluded),
        "lines": [
            _line(line, text, file, beginning.get(line, []), reasons.get(line, ""), sets)
            for line, text in enumerate(file.text, 1)
        ],
    }


def _line(
    number: int, text: str, file: SourceFile, points: list[Point], reason: str, sets: _Sets
) -> dict[str, Any]:
    """A line of the source: its colour, count, tests, and what of it no test has hit."""
    executing = file.lines.get(number, [])
    count: int | str = file.executed(number) if executing else ""
    of_line = {id(point): point for point in (*executing, *points) if point.kind != "toggle"}
    if not executing:
        colour = (
            "excluded" if reason else "part" if any(not point.count for point in of_line.values()) else ""
        )
    elif not count:
        colour = "never"
    else:
        colour = "part" if any(not point.count for point in of_line.values()) else "covered"
    mask = 0
    for point in executing:
        mask |= point.tests
    toggles = [point for point in points if point.kind == "toggle"]
    missed = [describe(point) for point in of_line.values() if not point.count]
    still = [point.what for point in toggles if not point.count]
    notes = [f"never: {what}" for what in _some(missed)]
    if toggles:
        notes.append(f"toggles: {len(toggles) - len(still)} of {len(toggles)} edges seen")
        notes += [f"never: {what}" for what in _some(still)]
    if reason:
        notes.append(f"excluded: {reason}")
    return {
        "number": number,
        "text": text,
        "colour": colour,
        "count": count,
        "ways": [
            (point.what, point.count, sets.number(point.tests)) for point in points if point.kind == "branch"
        ],
        "tests": sets.number(mask) if executing else None,
        "still": len(still),
        "notes": notes,
    }


def _some(words: Iterable[str]) -> list[str]:
    words = list(words)
    more = len(words) - NEVER_SHOWN
    return words[:NEVER_SHOWN] + ([f"and {more} more"] if more > 0 else [])
