# SPDX-License-Identifier: Apache-2.0
"""The benches' cover groups, added up from the files that tests leave (`tb.coverage.CoverGroup.save`).

The definitions are not needed: a file names all bins of its build. Builds may lack some (a hart, an instruction), and
the sum has those that any build has.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from assay.sim import shown
from assay.tb.errors import AssayError


@dataclass
class Bin:
    """Hits of a bin; bit n of `tests`: test n has hit it."""

    hits: int = 0
    tests: int = 0


@dataclass
class Item:
    """A point or a cross."""

    at_least: int
    bins: dict[str, Bin] = field(default_factory=dict)

    @property
    def missed(self) -> list[str]:
        """Labels of the bins with too few hits."""
        return [label for label, each in self.bins.items() if each.hits < self.at_least]

    @property
    def covered(self) -> int:
        """How many bins are covered."""
        return len(self.bins) - len(self.missed)


class FunctionalCoverage:
    """The sum over tests.

    Attributes:
        groups: items by name, by the group's name.
    """

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, Item]] = {}

    def add(self, test: int, path: Path) -> None:
        """Add a cover group that a test has left.

        Args:
            test: its number.

        Raises:
            AssayError: it is no file of a cover group. Nothing is added then.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            group = str(data["name"])
            found = {
                str(name): (int(item["at_least"]), list(map(str, item["missed"])), dict(item["hits"]))
                for name, item in data["items"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise AssayError(f"{shown(path)} is no cover group ({error!r}); run again what made it") from None
        for name, (at_least, missed, hits) in found.items():
            item = self.groups.setdefault(group, {}).setdefault(name, Item(at_least))
            for label in dict.fromkeys((*hits, *missed)):
                each = item.bins.setdefault(label, Bin())
                if hits.get(label):
                    each.hits += int(hits[label])
                    each.tests |= 1 << test

    def bins(self, without: Collection[str] = ()) -> tuple[int, int]:
        """Covered bins, and all of them, of all groups but some."""
        items = [
            item for name, group in self.groups.items() if name not in without for item in group.values()
        ]
        return sum(item.covered for item in items), sum(len(item.bins) for item in items)
