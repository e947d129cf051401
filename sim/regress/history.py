# SPDX-License-Identifier: Apache-2.0
"""What earlier regressions gave, test by test: ``history.jsonl`` beside their folders, a line for each that ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.sim import shown
from assay.sim.journal import Lines, read_lines
from assay.tb.errors import AssayError

__all__ = ["FILE", "add_to_history", "read_history"]

FILE = "history.jsonl"

KEPT = 60
"""Regressions that a report shows, the last ones."""


def add_to_history(home: Path, summary: Mapping[str, Any]) -> None:
    """Add a regression that has ended. One that was resumed has several lines, of which the last counts.

    Args:
        home: folder of all regressions.
        summary: its own, as `sim.regress.summary` makes it.
    """
    tests = {
        test["name"]: [test["passed"], test["failed"], test["seconds"]]
        for test in summary["tests"]
        if test["runs"]
    }
    line = {name: summary[name] for name in ("name", "started", "commit")}
    Lines(home / FILE).add({**line, "tests": tests})


def read_history(home: Path, before: float) -> list[dict[str, Any]]:
    """The last regressions that began before a time, the oldest first.

    Returns:
        dictionaries with ``name``, ``started`` in seconds since 1970, ``commit``, ``tests``: name to numbers of passed
        and failed runs and seconds.

    Raises:
        AssayError: the file is no history.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        for line in read_lines(home / FILE, ["name", "started", "tests"]):
            if line["started"] < before:
                found.pop(line["name"], None)
                found[line["name"]] = line
                if len(found) > 2 * KEPT:
                    del found[min(found, key=lambda name: found[name]["started"])]
    except ValueError:
        raise AssayError(f"{shown(home / FILE)} is no history of regressions; move it away") from None
    return list(deque(sorted(found.values(), key=lambda line: line["started"]), KEPT))
