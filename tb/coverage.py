# SPDX-License-Identifier: Apache-2.0
"""Functional coverage: named points with bins, crosses of points, vectorised sampling, merging between runs.

Why not PyPI's cocotb-coverage 2.0: it installs with cocotb 2.1, but its points are decorators around a
function that is called once for each sample and tries every bin, its data base is a process-wide singleton,
and it merges only files of its own YAML or XML. A layer gives thousands of samples at once, held in arrays;
here sampling is one `numpy.unique`, and a group is a plain object that turns into JSON and back.

    group = CoverGroup(
        "jobs",
        [CoverPoint("weight_bits", range(1, 17)), CoverPoint("sign", {"unsigned": 0, "signed": 1})],
        crosses=[("weight_bits", "sign")],
    )
    group.sample(weight_bits=[2, 4, 4], sign=0)
    print(group.text())
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.ma  # np.unique would load it in the middle of a simulation
import numpy.typing as npt

from assay.tb.json_file import write_json

_SINGLES = 4096  # unlike single samples that are remembered


class CoverageError(ValueError):
    """A sample, a definition or a file does not fit the cover group."""


class CoverPoint:
    """One question with a bin for each possible answer.

    Args:
        name: of the point.
        bins: the answers, as values (the bin is called as the value prints) or as label -> what falls in:
            a value, a `range` (any value in it), or a collection of values. Bins may not overlap.
        at_least: hits that cover a bin.

    Raises:
        CoverageError: no bins, or overlapping ones.
    """

    def __init__(
        self,
        name: str,
        bins: Iterable[Hashable] | Mapping[str, object],
        at_least: int = 1,
    ) -> None:
        self.name = name
        self.at_least = at_least
        labelled = bins if isinstance(bins, Mapping) else {str(value): value for value in bins}
        if not labelled:
            raise CoverageError(f"cover point {name} has no bins")
        self.labels = tuple(labelled)
        self._bin_of: dict[Hashable, int] = {}
        for index, members in enumerate(labelled.values()):
            for value in _members(members):
                if value in self._bin_of:
                    raise CoverageError(
                        f"cover point {name}: {value!r} is in bin {self.labels[self._bin_of[value]]} "
                        f"and in bin {self.labels[index]}"
                    )
                self._bin_of[value] = index

    def bin_of(self, value: Hashable) -> int:
        """Index of the bin; CoverageError for a value in none: definition or stimulus is wrong."""
        try:
            return self._bin_of[value]
        except KeyError:
            raise CoverageError(f"cover point {self.name}: {value!r} is in no bin") from None

    def indices(self, samples: np.ndarray) -> np.ndarray:
        """Bin indices int64[n] of samples [n]."""
        values, inverse = np.unique(samples, return_inverse=True)
        bins = np.array([self.bin_of(value) for value in values.tolist()], np.int64)
        return bins[inverse.reshape(-1)]


@dataclass(frozen=True)
class _Item:
    """A point or a cross: its points, and the combinations that cannot occur."""

    name: str
    points: tuple[CoverPoint, ...]
    possible: np.ndarray  #: bool[bins of point 0, bins of point 1, ...]


class CoverGroup:
    """Points that are sampled together, and crosses between them.

    Args:
        name: of the group.
        points: sampled by every `sample`.
        crosses: tuples of point names; the cross is called ``a x b``.
        impossible: tells from a cross's bin labels by point name whether this combination cannot occur and is
            left out of the count. Called once for each combination, when the group is made.
        absent: tells from a point's name and a bin's label whether the build has no such thing: the bin is left out of
            the count, in the point and in its crosses.

    Raises:
        CoverageError: a cross names an unknown point, or nothing in a cross is possible.
    """

    def __init__(
        self,
        name: str,
        points: Sequence[CoverPoint],
        crosses: Sequence[Sequence[str]] = (),
        impossible: Callable[[Mapping[str, str]], bool] | None = None,
        absent: Callable[[str, str], bool] | None = None,
    ) -> None:
        self.name = name
        self.points = {point.name: point for point in points}
        there = {
            point.name: np.array([absent is None or not absent(point.name, label) for label in point.labels])
            for point in points
        }
        items = [_Item(point.name, (point,), there[point.name]) for point in points]
        for cross in crosses:
            unknown = [part for part in cross if part not in self.points]
            if unknown:
                raise CoverageError(f"cover group {name}: cross of unknown point {', '.join(unknown)}")
            crossed = tuple(self.points[part] for part in cross)
            possible = functools.reduce(np.logical_and.outer, (there[point.name] for point in crossed))
            if impossible is not None:
                for labels in itertools.product(*(enumerate(point.labels) for point in crossed)):
                    named = {part: label for part, (_, label) in zip(cross, labels, strict=True)}
                    possible[tuple(index for index, _ in labels)] &= not impossible(named)
            if not possible.any():
                raise CoverageError(f"cover group {name}: nothing in cross {' x '.join(cross)} is possible")
            items.append(_Item(" x ".join(cross), crossed, possible))
        self._items = {item.name: item for item in items}
        self._counted = {item.name: np.zeros(item.possible.shape, np.int64) for item in items}
        # Single samples that are not among those so far: values to their places, and how many.
        self._singles: dict[tuple[tuple[str, Any], ...], list[Any]] = {}

    def _hits(self, item: str) -> np.ndarray:
        """Hits of every bin of a point or cross."""
        for places, count in self._singles.values():
            for name, place in places:
                self._counted[name][place] += count
        self._singles.clear()
        return self._counted[item]

    def sample(self, **values: npt.ArrayLike) -> None:
        """Count samples: for every point an array [n], or a scalar that counts for all of them.

        Raises:
            CoverageError: a point is missing or unknown, lengths differ, or a value is in no bin. Nothing is
                counted then.
        """
        if values.keys() != self.points.keys():
            unlike = sorted(values.keys() ^ self.points.keys())
            raise CoverageError(f"cover group {self.name}: missing or unknown points: {', '.join(unlike)}")
        if not any(isinstance(value, (np.ndarray, list, tuple)) for value in values.values()):
            self._sample_one(values)
            return
        arrays = {name: np.atleast_1d(value) for name, value in values.items()}
        lengths = {len(array) for array in arrays.values()} - {1}
        if len(lengths) > 1:
            raise CoverageError(f"cover group {self.name}: samples differ in length: {sorted(lengths)}")
        count = lengths.pop() if lengths else 1
        indices = {
            name: np.broadcast_to(self.points[name].indices(array), count) for name, array in arrays.items()
        }
        for item in self._items.values():
            np.add.at(self._counted[item.name], tuple(indices[point.name] for point in item.points), 1)

    def is_new(self, **values: Any) -> bool:
        """Whether one sample would hit a bin that is not covered yet.

        Args:
            values: a scalar for every point.

        Raises:
            CoverageError: a value is in no bin.
        """
        indices = {name: self.points[name].bin_of(value) for name, value in values.items()}
        places = (
            (item, tuple(indices[point.name] for point in item.points)) for item in self._items.values()
        )
        return any(
            item.possible[place] and self._hits(item.name)[place] < self._at_least(item)
            for item, place in places
        )

    def _sample_one(self, values: Mapping[str, Any]) -> None:
        """Count one sample: many are alike, and these are counted together."""
        key = tuple(values.items())
        found = self._singles.get(key)
        if found is None:
            if len(self._singles) > _SINGLES:
                self._hits(next(iter(self._items)))
            indices = {
                name: self.points[name].bin_of(value.item() if isinstance(value, np.generic) else value)
                for name, value in values.items()
            }
            places = [
                (item.name, tuple(indices[point.name] for point in item.points))
                for item in self._items.values()
            ]
            found = self._singles[key] = [places, 0]
        found[1] += 1

    def hits(self, item: str) -> dict[str, int]:
        """Label (of a cross: labels joined with `` x ``) to hits, of a point or cross."""
        entry, hits = self._items[item], self._hits(item)
        return {
            self._label(entry, tuple(place)): int(hits[tuple(place)]) for place in np.argwhere(entry.possible)
        }

    def missed(self) -> dict[str, list[str]]:
        """Point or cross to the labels of its bins with too few hits; items without any are left out."""
        missed = {}
        for item in self._items.values():
            places = np.argwhere(item.possible & ~self._covered(item))
            if len(places):
                missed[item.name] = [self._label(item, tuple(place)) for place in places]
        return missed

    def percent(self, item: str | None = None) -> float:
        """Covered bins of a point or cross; without a name the mean over all of them, 0 to 100."""
        if item is None:
            return sum(self.percent(name) for name in self._items) / len(self._items)
        entry = self._items[item]
        return 100.0 * int((self._covered(entry) & entry.possible).sum()) / int(entry.possible.sum())

    def percentages(self) -> dict[str, float]:
        """``group.item`` to percent."""
        return {f"{self.name}.{name}": round(self.percent(name), 2) for name in self._items}

    def text(self, most_missed: int = 8) -> str:
        """A few lines for people: percent of every item, and at most `most_missed` of its missed bins."""
        missed = self.missed()
        width = max(map(len, self._items))
        lines = [f"coverage {self.name}: {self.percent():.1f} %"]
        for name in self._items:
            line = f"  {name:{width}} {self.percent(name):6.1f} %"
            if name in missed:
                labels = missed[name]
                more = f", and {len(labels) - most_missed} more" if len(labels) > most_missed else ""
                line += f"  missed: {', '.join(labels[:most_missed])}{more}"
            lines.append(line)
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Hits, percentages and missed bins; `merge` reads the hits back."""
        return {
            "name": self.name,
            "percent": round(self.percent(), 2),
            "items": {
                name: {
                    "percent": round(self.percent(name), 2),
                    "at_least": self._at_least(self._items[name]),
                    "missed": self.missed().get(name, []),
                    "hits": {label: hits for label, hits in self.hits(name).items() if hits},
                }
                for name in self._items
            },
        }

    def merge(self, other: CoverGroup | Mapping[str, Any]) -> None:
        """Add the hits of another run: a group, or what its `as_json` gave.

        Raises:
            CoverageError: the other one has another name or other bins. Nothing is added then.
        """
        data: Mapping[str, Any] = other.as_json() if isinstance(other, CoverGroup) else other
        if data.get("name") != self.name:
            raise CoverageError(f"cover group {self.name} cannot merge {data.get('name')}")
        added = {}
        for name, item in dict(data["items"]).items():
            if name not in self._items:
                raise CoverageError(f"cover group {self.name} has no item {name}: it was defined otherwise")
            places = {
                self._label(self._items[name], place): place
                for place in np.ndindex(self._counted[name].shape)
            }
            added[name] = self._hits(name).copy()
            for label, hits in item["hits"].items():
                if label not in places:
                    raise CoverageError(f"{self.name}.{name} has no bin {label}: it was defined otherwise")
                added[name][places[label]] += hits
        self._counted.update(added)

    def save(self, path: Path) -> None:
        """Write `as_json` to a file."""
        write_json(path, self.as_json())

    def merge_file(self, path: Path) -> None:
        """`merge` a file written by `save`; CoverageError when it is no such file."""
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise CoverageError(f"{path} is not a coverage file: {error}") from None
        self.merge(data)

    def _covered(self, item: _Item) -> np.ndarray:
        return self._hits(item.name) >= self._at_least(item)

    @staticmethod
    def _at_least(item: _Item) -> int:
        """Hits that cover a bin."""
        return max(point.at_least for point in item.points)

    @staticmethod
    def _label(item: _Item, place: tuple[int, ...]) -> str:
        return " x ".join(point.labels[index] for point, index in zip(item.points, place, strict=True))


def _members(members: object) -> Iterable[Hashable]:
    """The values of one bin."""
    if isinstance(members, (range, list, tuple, set, frozenset)):
        return members
    return (members,)
