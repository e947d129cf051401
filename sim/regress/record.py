# SPDX-License-Identifier: Apache-2.0
"""What a regression records: its folder, the first line of its journal, and a line for each result.

``reports/regress/<name>/`` holds ``journal.jsonl`` and, for failures, ``failures/<item>/``, the folders of their runs.
The journal's first line is a `Header`; then come, in the order in which they are known,

- results: the keys of `Result` (those that are empty are left out);
- bins: ``{"bins": {"first": 0, "names": [...]}}``: the names of cover bins, numbered in the order in which they come
  up, among them those that nothing has hit, of each cover group that was sampled;
- events: ``{"event": "started", "at": seconds since 1970, "text": ...}``, or resumed, interrupted, ended, worker.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.sim.journal import read_lines
from assay.tb.errors import AssayError

JOURNAL = "journal.jsonl"
FAILURES = "failures"

PASSED, FAILED = "passed", "failed"
ERROR = "error"
"""The run could not be made: HDL that does not compile, a missing file."""
TIMEOUT = "timeout"
"""The item took longer than its limit, and was stopped."""
LOST = "lost"
"""Each worker that began the item went away before its end."""

STATES = (PASSED, FAILED, ERROR, TIMEOUT, LOST)


@dataclass(frozen=True)
class Entry:
    """A row of the table of a regression: a test of a variant of a block on a simulator. With a seed it is an item.

    Attributes:
        name: of all of it, unlike those of the other rows; begins as `sim.items.Item` is called.
        parameters: of the HDL, in place of the variant's.
        given: variables of the block's capabilities, such as MODEL.
        case: name of a kept case that the item plays; it has one seed only, its own.
    """

    name: str
    block: str
    variant: str
    simulator: str
    test: str
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    case: str = ""


@dataclass(frozen=True)
class Header:
    """The first line of a journal.

    Attributes:
        name: of the regression.
        plan: what was ordered, as the command line or the plan file says it (`sim.regress.plan`).
        entries: the table.
        project: hash of the sources.
        commit: of git, with "+" where files differ from it; empty: no git.
        versions: tool to version.
        machine: where it was started: name, processor, cores, memory in bytes, system.
        started: seconds since 1970.
    """

    name: str
    plan: Mapping[str, Any]
    entries: tuple[Entry, ...]
    project: str
    commit: str
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    started: float

    def as_json(self) -> dict[str, Any]:
        """The journal's first line."""
        return {"regression": self.name, **dataclasses.asdict(self)}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Header:
        """As `as_json` gave it."""
        values = {each.name: data[each.name] for each in dataclasses.fields(cls)}
        values["entries"] = tuple(Entry(**entry) for entry in data["entries"])
        return cls(**values)


@dataclass(frozen=True)
class Result:
    """What became of an item.

    Attributes:
        item: its number in the order of the plan.
        entry: index in the header's table.
        seed: of the run.
        state: one of `STATES`.
        seconds: that the run took, without its build.
        ended: seconds since 1970.
        worker: that ran it; for a lost one, those that went away with it.
        words, values, clocks: compared, and simulated.
        hit: which bins the run covers, as a hexadecimal number: bit i is the bin of number i; empty: none known.
        new: how many of them no earlier result covers.
        failure: of a result that is not passed: what a bucket is made of (`sim.regress.signature`), with ``message``, a
            line for people.
        replay: the command that repeats the run, of one that is not passed.
        folder: of the run, relative to the regression's; empty: it is not kept.
        attempts: workers that began it.
    """

    item: int
    entry: int
    seed: int
    state: str
    seconds: float = 0.0
    ended: float = 0.0
    worker: str = ""
    words: int = 0
    values: int = 0
    clocks: int = 0
    hit: str = ""
    new: int = 0
    failure: Mapping[str, Any] = field(default_factory=dict)
    replay: str = ""
    folder: str = ""
    attempts: int = 1

    def as_json(self) -> dict[str, Any]:
        """A line of the journal, without what is as it is by default."""
        return {
            name: value for name, value in vars(self).items() if name in _NEEDED or value != _DEFAULTS[name]
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Result:
        """As `as_json` gave it."""
        return cls(**data)


_NEEDED = ("item", "entry", "seed", "state")
_DEFAULTS: dict[str, Any] = {
    each.name: {} if each.name == "failure" else each.default
    for each in dataclasses.fields(Result)
    if each.name not in _NEEDED
}


class Regression:
    """A regression as its journal tells it. The results are read each time: a journal may hold a million.

    Args:
        folder: of the regression.

    Raises:
        AssayError: it holds no journal of a regression.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            first = next(self._lines(), None)
            if first is None or "regression" not in first:
                raise ValueError
            self.header = Header.of_json(first)
        except (ValueError, KeyError, TypeError):
            raise AssayError(f"{folder / JOURNAL} is no journal of a regression") from None

    def _lines(self) -> Iterator[dict[str, Any]]:
        return read_lines(self.folder / JOURNAL)

    def lines(self) -> Iterator[dict[str, Any]]:
        """All lines but the first, as they are: who wants more than the results reads the journal once."""
        return itertools.islice(self._lines(), 1, None)

    def results(self) -> Iterator[Result]:
        """The results, in the order in which they came."""
        return (Result.of_json(line) for line in self._lines() if "item" in line)

    def bins(self) -> list[str]:
        """The names of the cover bins, by number."""
        names: list[str] = []
        for line in self._lines():
            if "bins" in line:
                names[line["bins"]["first"] :] = line["bins"]["names"]
        return names

    def events(self) -> list[dict[str, Any]]:
        """What happened beside results."""
        return [line for line in self._lines() if "event" in line]
