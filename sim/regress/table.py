# SPDX-License-Identifier: Apache-2.0
"""The results of a regression as columns: a million take as many numbers, not as many objects."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from assay.sim.regress.buckets import Bucket, Key, way_of
from assay.sim.regress.record import PASSED, STATES, Regression, Result

__all__ = ["COLUMNS", "Table", "ones", "way_ids"]

COLUMNS = {
    "item": "I",
    "entry": "I",
    "seed": "I",
    "state": "B",
    "seconds": "f",
    "ended": "d",
    "clocks": "Q",
    "new": "I",
    "bucket": "I",
    "worker": "H",
}
"""Column to its type, as `array` calls it. A state is its place in `STATES`; bucket 0: it passed."""

_MOST_WORKERS = (1 << 16) - 1


def way_id(key: Key) -> str:
    """A short name of a way."""
    return hashlib.sha256("\0".join(key).encode()).hexdigest()[:12]


def way_ids(bucket: Bucket) -> list[str]:
    """Those of a bucket, and of their checks alone: for ways that were too many to be told apart."""
    return list(dict.fromkeys(way_id(key) for way in bucket.ways for key in (way.key, way.key[:4])))


class Table:
    """Columns of all results, in the order in which they came.

    Args:
        regression: its journal is read once.
        numbers: of a failure's bucket, by `way_id`.

    Attributes:
        columns: name to numbers, all equally long, see `COLUMNS`.
        workers: names, which the column holds the places of; the last one stands for all beyond 65,535.
        replays: entry to the command of one of its failures, with ``{seed}`` in place of the seed.
        seen: bit i: the regression covers bin i.
        bins: their names, as `Regression.bins`.
        events: as `Regression.events`.
    """

    def __init__(self, regression: Regression, numbers: Mapping[str, int]) -> None:
        known: dict[Key, int] = {}
        states = {state: number for number, state in enumerate(STATES)}
        self.workers: list[str] = []
        self.replays: dict[int, str] = {}
        self.seen = 0
        self.bins: list[str] = []
        self.events: list[dict[str, Any]] = []
        places: dict[str, int] = {}
        columns: dict[str, Any] = {name: array(kind) for name, kind in COLUMNS.items()}
        for line in regression.lines():
            if "bins" in line:
                self.bins[line["bins"]["first"] :] = line["bins"]["names"]
            elif "event" in line:
                self.events.append(line)
            if "item" not in line:
                continue
            result = Result.of_json(line)
            if result.worker not in places:
                places[result.worker] = min(len(self.workers), _MOST_WORKERS)
                if len(self.workers) <= _MOST_WORKERS:
                    self.workers.append(result.worker)
            columns["item"].append(result.item)
            columns["entry"].append(result.entry)
            columns["seed"].append(result.seed)
            columns["state"].append(states[result.state])
            columns["seconds"].append(result.seconds)
            columns["ended"].append(result.ended)
            columns["clocks"].append(result.clocks)
            columns["new"].append(result.new)
            columns["worker"].append(places[result.worker])
            number = 0
            if result.state != PASSED:
                key = way_of(result)
                if key not in known:
                    known[key] = numbers.get(way_id(key)) or numbers.get(way_id(key[:4]), 0)
                number = known[key]
            columns["bucket"].append(number)
            if result.state != PASSED and result.replay and result.entry not in self.replays:
                self.replays[result.entry] = _template(result)
            if result.hit and result.new:  # the others add nothing
                self.seen |= int(result.hit, 16)
        self.columns = {name: np.asarray(column) for name, column in columns.items()}

    @classmethod
    def of_summary(cls, regression: Regression, summary: Mapping[str, Any]) -> Table:
        """With the buckets that a summary of the regression holds."""
        numbers = {id_: bucket["number"] for bucket in summary["buckets"] for id_ in bucket["way_ids"]}
        return cls(regression, numbers)

    def __len__(self) -> int:
        return len(self.columns["item"])

    def counts(self) -> dict[str, int]:
        """State to number of results, of those that there are."""
        found = np.bincount(self.columns["state"], minlength=len(STATES)).tolist()
        return {state: count for state, count in zip(STATES, found, strict=True) if count}

    def by_entry(self, values: np.ndarray, entries: int) -> list[float]:
        """The sum of a number for each result, over the results of each entry."""
        sums: list[float] = np.bincount(self.columns["entry"], weights=values, minlength=entries).tolist()
        return sums

    def curve(self, points: int = 200) -> list[tuple[int, int]]:
        """How coverage grew: pairs of results and of bins covered by them, at so many places at most."""
        total = np.cumsum(self.columns["new"].astype(np.int64))
        if not len(total) or not total[-1]:
            return []
        # Where it grew, for coverage grows early.
        grew = np.flatnonzero(self.columns["new"])
        if len(grew) > points - 1:
            grew = grew[np.unique(np.linspace(0, len(grew) - 1, points - 1).astype(int))]
        at = np.unique([*grew.tolist(), len(total) - 1])
        return [(int(place) + 1, int(total[place])) for place in at]


def _template(result: Result) -> str:
    """The replay of a failure with ``{seed}`` in it; empty where it does not hold its seed once."""
    word = f"SEED={result.seed}"
    parts = result.replay.split(" ")
    if parts.count(word) == 1:
        return " ".join("SEED={seed}" if part == word else part for part in parts)
    at = [n for n, part in enumerate(parts[1:], 1) if parts[n - 1] == "--seed" and part == str(result.seed)]
    if len(at) == 1:
        parts[at[0]] = "{seed}"
        return " ".join(parts)
    return ""


def ones(mask: int, size: int) -> np.ndarray:
    """bool[size]: which bits of a number are set."""
    data = np.frombuffer(mask.to_bytes((size + 7) // 8 or 1, "little"), np.uint8)
    return np.unpackbits(data, count=size, bitorder="little").astype(bool)
