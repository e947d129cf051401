# SPDX-License-Identifier: Apache-2.0
"""A campaign's results, counted, and as one HTML file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from assay.sim.mutation.judge import ALIVE, DEFAULT, EQUIVALENT, KILLED, NOT_BUILT
from assay.sim.mutation.mutant import Mutant
from assay.sim.mutation.reviews import Review
from assay.sim.pages import rendered

TEMPLATE = Path(__file__).with_name("page.html")

HEADS = (
    "mutants",
    "not run",
    "did not build",
    "equivalent",
    "killed",
    "by default %",
    "by all %",
    "reviewed",
    "alive",
)
"""Columns of the table of modules. The percentages are of the mutants that were run and are not equivalent."""


class Results(Protocol):
    """What a campaign found.

    Attributes:
        mutants: those of its files.
        entries: mutant's key -> entry of the journal, for those that have one.
    """

    mutants: list[Mutant]
    entries: dict[str, dict[str, Any]]

    @property
    def title(self) -> str:
        """Of the page."""

    @property
    def about(self) -> str:
        """With what the tests ran, as a sentence; may be empty."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Those of `HEADS` that have a meaning."""

    def name(self, file: Path) -> str:
        """How a user calls a file: what the variable MODULES takes."""


@dataclass
class Score:
    """The mutants of a module, counted.

    Attributes:
        known: those that have a result.
        equivalent: proved, or by review.
        default: killed by the default run.
        killed: by any test.
        accepted: alive, with a review that accepts it.
        alive: without a review.
    """

    mutants: int = 0
    known: int = 0
    not_built: int = 0
    equivalent: int = 0
    default: int = 0
    killed: int = 0
    accepted: int = 0
    alive: int = 0

    def add(self, state: str, stage: str, review: Review | None) -> None:
        """Count a mutant; `state` is empty where it has no result."""
        self.mutants += 1
        if not state:
            return
        self.known += 1
        if state == NOT_BUILT:
            self.not_built += 1
        elif state == KILLED:
            self.killed += 1
            self.default += stage == DEFAULT
        elif state == EQUIVALENT or (review is not None and review.state == EQUIVALENT):
            self.equivalent += 1
        elif review is not None:
            self.accepted += 1
        else:
            self.alive += 1

    def plus(self, other: Score) -> Score:
        """Both together."""
        return Score(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def cells(self) -> dict[str, str]:
        """Column of `HEADS` -> text."""
        faults = self.killed + self.accepted + self.alive
        shares = [f"{100 * count / faults:.1f}" if faults else "" for count in (self.default, self.killed)]
        numbers = (self.mutants, self.mutants - self.known, self.not_built, self.equivalent, self.killed)
        texts = [*map(str, numbers), *shares, str(self.accepted), str(self.alive)]
        return dict(zip(HEADS, texts, strict=True))


def scores(results: Results, reviews: Mapping[str, Review]) -> dict[Path, Score]:
    """The score of each source."""
    found: dict[Path, Score] = defaultdict(Score)
    for mutant in results.mutants:
        entry = results.entries.get(mutant.key, {})
        found[mutant.file].add(entry.get("state", ""), entry.get("stage", ""), reviews.get(mutant.key))
    return dict(found)


def total(found: Mapping[Path, Score]) -> Score:
    """All sources together."""
    result = Score()
    for score in found.values():
        result = result.plus(score)
    return result


def alive(results: Results) -> list[tuple[Mutant, dict[str, Any]]]:
    """The mutants that no check has killed, and that are not proved equivalent, with their entries."""
    return [
        (mutant, entry)
        for mutant in results.mutants
        if (entry := results.entries.get(mutant.key)) and entry["state"] in ALIVE
    ]


def page(results: Results, reviews: Mapping[str, Review]) -> str:
    """The text of the HTML file."""
    found = scores(results, reviews)
    heads = results.heads

    def cells(score: Score) -> list[str]:
        return [score.cells[head] for head in heads]

    numbers = {file: number for number, file in enumerate(found)}
    killed = [entry for entry in results.entries.values() if entry["state"] == KILLED]
    return rendered(
        TEMPLATE,
        {
            "title": results.title,
            "about": results.about,
            "known": len(results.entries),
            "all": len(results.mutants),
            "heads": heads,
            "modules": [
                *(
                    {"name": results.name(file), "number": numbers[file], "cells": cells(score)}
                    for file, score in found.items()
                ),
                {"name": "all", "number": None, "cells": cells(total(found))},
            ],
            "alive": [
                {
                    "key": mutant.key,
                    "number": numbers[mutant.file],
                    "file": results.name(mutant.file),
                    "line": mutant.line,
                    "kind": mutant.kind,
                    "what": entry["what"],
                    "state": entry["state"],
                    "review": f"{review.state}: {review.reason}"
                    if (review := reviews.get(mutant.key))
                    else "",
                }
                for mutant, entry in alive(results)
            ],
            "tests": Counter(entry["test"] for entry in killed).most_common(),
            "checks": Counter(entry["check"] for entry in killed).most_common(),
            "files": [_file(numbers[file], file, results, reviews) for file in found],
        },
    )


def _file(number: int, file: Path, results: Results, reviews: Mapping[str, Review]) -> dict[str, Any]:
    lines: dict[int, list[Mutant]] = defaultdict(list)
    for mutant in results.mutants:
        if mutant.file == file and mutant.key in results.entries:
            lines[mutant.line].append(mutant)
    return {
        "number": number,
        "name": results.name(file),
        "lines": [
            _line(line, text, lines.get(line, []), results.entries, reviews)
            for line, text in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        ],
    }


def _line(
    number: int,
    text: str,
    mutants: list[Mutant],
    entries: Mapping[str, dict[str, Any]],
    reviews: Mapping[str, Review],
) -> dict[str, Any]:
    states = {_standing(entries[m.key], reviews.get(m.key)) for m in mutants}
    colour = next((name for name in ("alive", "reviewed", "killed") if name in states), "")
    return {
        "number": number,
        "text": text,
        "colour": colour,
        "count": len(mutants) or "",
        "notes": [_note(m, entries[m.key], reviews.get(m.key)) for m in mutants],
    }


def _standing(entry: Mapping[str, Any], review: Review | None) -> str:
    if entry["state"] in (KILLED, NOT_BUILT):
        return "killed"
    return "reviewed" if entry["state"] == EQUIVALENT or review is not None else "alive"


def _note(mutant: Mutant, entry: Mapping[str, Any], review: Review | None) -> str:
    """What became of a mutant, in one line."""
    text = f"{mutant.key}  {mutant.kind}: {entry['what']}: {entry['state']}"
    if entry["state"] == KILLED:
        when = f" after {entry['clocks']:,} clocks" if entry["clocks"] >= 0 else ""
        when = when or (f" at {entry['time_ns']:,.0f} ns" if entry["time_ns"] >= 0 else "")
        text += f" by {entry['test']}, {entry['check']}{when}: {entry['message']}"
    elif entry["message"]:
        text += f": {entry['message']}"
    return f"{text} ({review.state}: {review.reason})" if review else text
