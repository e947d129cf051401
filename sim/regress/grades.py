# SPDX-License-Identifier: Apache-2.0
"""What each seed adds to the coverage, and the smallest set of seeds that reaches all of it.

Bins are numbered in the order in which they come up; a run is the set of those that it covers, as a number whose bit i
is bin i. Only passed runs count: a failed one has ended somewhere.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.sim import shown
from assay.sim.coverage.code import CodeCoverage
from assay.sim.regress.record import PASSED, Regression, Result
from assay.tb import report
from assay.tb.errors import AssayError

__all__ = [
    "Bins",
    "Graded",
    "graded",
    "graded_file",
    "read_graded",
    "read_groups",
    "read_list",
    "write_graded",
]

COVERAGE = "coverage"
"""Why a run is worth keeping that has found no failure."""

CODE_GROUP = "code"
"""The name under which `read_groups` gives points of the code; their bins are ``file:line kind what``."""

_CHUNK = 4096  #: results that are looked at together
_KEPT = 8  #: of the results that cover a bin, the fastest that are looked at


def read_groups(run: Path) -> Iterator[dict[str, Any]]:
    """The cover groups that a run's tests have left, as JSON-able dictionaries, and the points of its code as one more.

    A file that is damaged counts for nothing: the verdict of the run is known without it.
    """
    for path in sorted((run / report.COVERAGE).glob("*/*.json")):
        with contextlib.suppress(OSError, ValueError):
            yield json.loads(path.read_text(encoding="utf-8"))
    code = CodeCoverage()
    for number, path in enumerate(sorted((run / report.COVERAGE).glob(f"*/{report.CODE}.gz"))):
        with contextlib.suppress(AssayError):
            code.add(number, path, lambda name: Path(name).name)
    if code.points:
        hits = {
            f"{point.file}:{point.line} {point.kind} {point.what}".rstrip(): point.count
            for point in code.points.values()
        }
        covered = {label: count for label, count in hits.items() if count}
        missed = [label for label, count in hits.items() if not count]
        item = {"at_least": 1, "hits": covered, "missed": missed}
        yield {"name": CODE_GROUP, "items": {"": item}}


class Bins:
    """The bins of a regression, numbered, and those that are covered so far.

    Attributes:
        names: by number.
        seen: bit i: a run has covered bin i.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.seen = 0
        self._numbers: dict[tuple[str, str], dict[str, int]] = {}

    @classmethod
    def restore(cls, regression: Regression) -> Bins:
        """As they were when the last line of a journal was written."""
        bins = cls()
        for name in regression.bins():
            group, item, label = split_name(name)
            bins._numbers.setdefault((group, item), {})[label] = len(bins.names)
            bins.names.append(name)
        for result in regression.results():
            if result.hit:
                bins.seen |= int(result.hit, 16)
        return bins

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, groups: Iterable[Mapping[str, Any]]) -> tuple[list[str], str, int]:
        """Add a run.

        Args:
            groups: of its tests, as `tb.coverage.CoverGroup.as_json` gives them and `read_groups` reads them.

        Returns:
            names of bins that are new, to be recorded behind those that are known; which bins the run covers, as
            `Result.hit`; how many of them no earlier run covers.
        """
        first = len(self.names)
        covered: list[int] = []
        for group in groups:
            name = str(group["name"])
            for item, content in group["items"].items():
                numbers = self._numbers.setdefault((name, item), {})
                hits = content["hits"]
                for labels in (hits, content["missed"]):
                    if not numbers.keys() >= set(labels):
                        for label in labels:
                            if label not in numbers:
                                numbers[label] = len(self.names)
                                self.names.append(join_name(name, item, label))
                least = content.get("at_least", 1)
                covered += [numbers[label] for label, count in hits.items() if count >= least]
        mask = _mask(covered, len(self.names))
        new = mask & ~self.seen
        self.seen |= mask
        return self.names[first:], f"{mask:x}" if mask else "", new.bit_count()


def join_name(group: str, item: str, label: str) -> str:
    """The name of a bin: ``group.item: label``, of the code ``file:line kind``."""
    return label if not item and group == CODE_GROUP else f"{group}.{item}: {label}"


def split_name(name: str) -> tuple[str, str, str]:
    """Group, item and label of a bin, as `join_name` has put them together."""
    place, colon, label = name.partition(": ")
    group, dot, item = place.partition(".")
    return (group, item, label) if colon and dot and "/" not in group else (CODE_GROUP, "", name)


def _mask(numbers: Sequence[int], size: int) -> int:
    """A number with these bits set."""
    bits = np.zeros(size, np.uint8)
    bits[list(numbers)] = 1
    return int.from_bytes(np.packbits(bits, bitorder="little").tobytes(), "little")


# -------------------------------------------------------------------------------------------------
# The smallest set
# -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Graded:
    """A run that is worth keeping.

    Attributes:
        entry: its name in the table of the regression.
        seed: of it.
        adds: bins that it covers and none of those before it in the list.
        seconds: that it took.
        why: `COVERAGE`, or what it found.
    """

    entry: str
    seed: int
    adds: int
    seconds: float
    why: str = COVERAGE


@dataclass(frozen=True)
class _Candidate:
    entry: int
    seed: int
    seconds: float
    mask: int


def graded(regression: Regression, bins: int | None = None) -> list[Graded]:
    """A small set of runs that reaches all coverage that the regression's passed runs reach.

    Greedy by new bins for each second, then without those that later ones have made superfluous. The memory it takes
    is bounded by the number of bins, not of runs: for each bin the fastest few runs that cover it are looked at.

    Args:
        regression: its journal is read.
        bins: how many there are, where that is known.
    """
    bits = len(regression.bins()) if bins is None else bins
    names = [entry.name for entry in regression.header.entries]
    left = _candidates(regression.results(), bits)
    chosen: list[_Candidate] = []
    seen = 0
    # A run's worth only falls as others are chosen: the best of the last round is looked at first.
    heap = [(-_rate(each.mask.bit_count(), each.seconds), at) for at, each in enumerate(left)]
    heapq.heapify(heap)
    while heap:
        _, at = heapq.heappop(heap)
        rate = _rate((left[at].mask & ~seen).bit_count(), left[at].seconds)
        if not rate:
            continue
        if heap and rate < -heap[0][0]:
            heapq.heappush(heap, (-rate, at))
            continue
        chosen.append(left[at])
        seen |= left[at].mask
    kept = _without_superfluous(chosen)
    found, seen = [], 0
    for each in sorted(kept, key=lambda each: -_rate(each.mask.bit_count(), each.seconds)):
        found.append(Graded(names[each.entry], each.seed, (each.mask & ~seen).bit_count(), each.seconds))
        seen |= each.mask
    return found


def _rate(bins: int, seconds: float) -> float:
    return bins / max(seconds, 1e-3)


def _without_superfluous(chosen: Sequence[_Candidate]) -> list[_Candidate]:
    """Those that cover a bin alone, found from the last and dearest on."""
    counts: dict[int, int] = {}
    bits = [list(_ones(each.mask)) for each in chosen]
    for numbers in bits:
        for number in numbers:
            counts[number] = counts.get(number, 0) + 1
    kept = []
    for each, numbers in sorted(zip(chosen, bits, strict=True), key=lambda pair: -pair[0].seconds):
        if all(counts[number] > 1 for number in numbers):
            for number in numbers:
                counts[number] -= 1
        else:
            kept.append(each)
    return kept


def _ones(mask: int) -> Iterator[int]:
    data = np.frombuffer(mask.to_bytes((mask.bit_length() + 7) // 8 or 1, "little"), np.uint8)
    yield from np.flatnonzero(np.unpackbits(data, bitorder="little")).tolist()


def _candidates(results: Iterable[Result], bits: int) -> list[_Candidate]:
    """For each bin the few runs that cover it at the lowest price for each bin that they cover."""
    size = (bits + 7) // 8
    best: list[list[tuple[float, int]]] = [[] for _ in range(bits)]
    kept: dict[int, _Candidate] = {}
    number = 0
    passed = (result for result in results if result.state == PASSED and result.hit)
    while chunk := list(itertools.islice(passed, _CHUNK)):
        masks = [int(result.hit, 16) for result in chunk]
        packed = np.frombuffer(b"".join(mask.to_bytes(size, "little") for mask in masks), np.uint8)
        covered = np.unpackbits(packed.reshape(len(chunk), size), axis=1, count=bits, bitorder="little")
        seconds = np.array([result.seconds for result in chunk])
        rates = covered.sum(axis=1) / np.maximum(seconds, 1e-3)
        weighed = covered * rates.astype(np.float32)[:, None]
        winners = weighed.argmax(axis=0)
        for at in np.flatnonzero(covered.any(axis=0)).tolist():
            row = int(winners[at])
            best[at] = sorted([*best[at], (float(rates[row]), number + row)], reverse=True)[:_KEPT]
            if number + row not in kept:
                result = chunk[row]
                kept[number + row] = _Candidate(result.entry, result.seed, result.seconds, masks[row])
        number += len(chunk)
        wanted = {index for each in best for _, index in each}
        kept = {index: each for index, each in kept.items() if index in wanted}
    return list({each.mask: each for each in sorted(kept.values(), key=lambda each: -each.seconds)}.values())


# -------------------------------------------------------------------------------------------------
# The list
# -------------------------------------------------------------------------------------------------
def graded_file(home: Path) -> Path:
    """Where the list stands, in the folder of all regressions."""
    return home / "graded.json"


def write_graded(path: Path, found: Sequence[Graded], regression: str, bins: int) -> None:
    """Write the list that ``make regress SEEDS=@graded`` runs: one run in each line, with what it adds.

    Args:
        path: of the file.
        found: the runs, those that found a failure among them.
        regression: name of the one it was made from.
        bins: that they cover together.
    """
    rows = ",\n".join(f"  {json.dumps(vars(each))}" for each in found)
    head = f'{{"regression": {json.dumps(regression)}, "bins": {bins}, "runs": [\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(f"{head}{rows}\n]}}\n", encoding="utf-8")
    partial.replace(path)


class GradedList(NamedTuple):
    """The list of graded seeds.

    Attributes:
        regression: name of the one it was made from.
        runs: in its order.
    """

    regression: str
    runs: list[Graded]


def read_graded(path: Path) -> list[tuple[str, int]]:
    """Entry and seed of each run of a list.

    Raises:
        AssayError: there is no such file, or it is damaged.
    """
    if not path.exists():
        raise AssayError(f"{shown(path)} does not exist; a regression that ends writes it")
    return list(dict.fromkeys((run.entry, run.seed) for run in read_list(path).runs))


def read_list(path: Path) -> GradedList:
    """The list in a file; an empty one without the file.

    Raises:
        AssayError: it is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return GradedList("", [])
    except (OSError, ValueError) as error:
        raise AssayError(
            f"{shown(path)} is no list of graded seeds: {error}; remove it, the next regression writes it"
        ) from None
    runs = data.get("runs") if isinstance(data, dict) else None
    if not isinstance(runs, list):
        raise AssayError(f'{shown(path)} is no list of graded seeds: it has no list "runs"')
    found = []
    for number, run in enumerate(runs, 1):
        entry, seed = (run.get("entry"), run.get("seed")) if isinstance(run, dict) else (None, None)
        if not isinstance(entry, str) or not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise AssayError(
                f"{shown(path)}, run {number}: needs an entry, a text, and a seed, a number that is not negative; "
                f"it is {json.dumps(run)[:80]}"
            )
        adds, seconds = (run.get(key, 0) for key in ("adds", "seconds"))
        if not all(isinstance(each, (int, float)) for each in (adds, seconds)):
            raise AssayError(f"{shown(path)}, run {number}: adds and seconds must be numbers")
        found.append(Graded(entry, seed, int(adds), float(seconds), str(run.get("why", COVERAGE))))
    return GradedList(str(data.get("regression", "")), found)
