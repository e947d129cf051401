# SPDX-License-Identifier: Apache-2.0
"""Coverage of many tests, added up: per source file, per line, per test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from assay.sim.coverage.code import KINDS, CodeCoverage, Point
from assay.sim.coverage.exclusions import Exclusion, read_exclusions, split
from assay.sim.coverage.functional import FunctionalCoverage
from assay.sim.coverage.runs import TestCoverage
from assay.tb.block import Block

METRICS = ("line", "branch", "expr", "toggle")
"""Kinds that are counted for each file."""

GOALS = {"line": 97.0, "branch": 97.0, "functional": 100.0}
"""Percent that a full bench must reach."""

_OF_LINES = ("line", "branch")
"""Kinds of points that say whether a line was executed: the body of a branch is in its point alone."""


class Share(NamedTuple):
    """How many of how many are covered."""

    covered: int
    all: int

    @property
    def percent(self) -> float:
        """0 to 100; of nothing, 100."""
        return 100.0 * self.covered / self.all if self.all else 100.0

    def __str__(self) -> str:
        return f"{self.percent:.2f} % ({self.covered} of {self.all})"


@dataclass
class SourceFile:
    """One source of the design.

    Attributes:
        name: relative to the block's root.
        text: its lines.
        points: those that count.
        excluded: those that do not.
    """

    name: str
    text: list[str]
    points: list[Point] = field(default_factory=list)
    excluded: list[tuple[Point, Exclusion]] = field(default_factory=list)

    @cached_property
    def lines(self) -> dict[int, list[Point]]:
        """Line -> the points that say whether it was executed."""
        lines: dict[int, list[Point]] = {}
        for point in self.points:
            if point.kind in _OF_LINES:
                for line in point.lines:
                    lines.setdefault(line, []).append(point)
        return lines

    def executed(self, line: int) -> int:
        """How often a line was executed."""
        return max(point.count for point in self.lines[line])

    def share(self, kind: str) -> Share:
        """Lines that were executed, else points of the kind that were hit."""
        if kind == "line":
            return Share(sum(self.executed(line) > 0 for line in self.lines), len(self.lines))
        points = [point for point in self.points if point.kind == kind]
        return Share(sum(point.count > 0 for point in points), len(points))

    @property
    def never(self) -> list[Point]:
        """Points of lines and branches that no test has hit."""
        return [point for point in self.points if point.kind in _OF_LINES and not point.count]


class Merged:
    """The sum over tests.

    Attributes:
        tests: in the order of their numbers.
        code: what of the design they have executed.
        functional: their cover groups.
        files: by name.
        exclusions: what does not count.
        borrowed: cover groups and files whose own block has no test among these; they are shown and do not count.
    """

    def __init__(self, tests: Iterable[TestCoverage], blocks: Iterable[Block] = ()) -> None:
        """Add tests up.

        Args:
            tests: in the order of their numbers.
            blocks: all there are, to know whose groups and files are another block's: a group is of the first block
                that samples it, a file of the blocks whose declarations name its folder.

        Raises:
            AssayError: a file cannot be read.
        """
        self.tests = list(tests)
        blocks = list(blocks)
        there = {test.block.name for test in self.tests}
        owners: dict[str, str] = {}
        for block in blocks:
            for group in block.coverage().groups if block.coverage else ():
                owners.setdefault(group.name, block.name)
        self.borrowed = {group for group, name in owners.items() if name not in there}
        self.code = CodeCoverage()
        self.functional = FunctionalCoverage()
        roots: dict[str, Path] = {}
        for number, test in enumerate(self.tests):
            if test.code is not None:
                self.code.add(number, test.code, test.name, test.points)
                roots |= {point[0]: test.block.root for point in self.code.points if point[0] not in roots}
            for path in test.groups:
                self.functional.add(number, path)
        self.files = {
            name: SourceFile(name, (roots[name] / name).read_text(encoding="utf-8").splitlines())
            for name in sorted(roots)
        }
        own: set[Path] = set().union(*(source_folders(block) for block in blocks if block.name in there))
        others = set().union(*map(source_folders, blocks)) - own
        self.borrowed |= {name for name in self.files if (roots[name] / name).parent in others}
        points = sorted(self.code.points.values(), key=lambda point: (point.file, point.line, point.column))
        self.exclusions = [each for root in dict.fromkeys(roots.values()) for each in read_exclusions(root)]
        counted, excluded = split(points, self.exclusions, self.text)
        for point in counted:
            self.files[point.file].points.append(point)
        for point in points:
            if id(point) in excluded:
                self.files[point.file].excluded.append((point, excluded[id(point)]))

    def text(self, point: Point) -> str:
        """The line on which a point begins; of a macro's call of several lines, the first one."""
        text = self.files[point.file].text
        if point.line > len(text):
            return ""
        opened = 0
        for line in reversed(text[: point.line]):
            opened += line.count("(") - line.count(")")
            if opened >= 0:
                return line if line.lstrip().startswith("`") else text[point.line - 1]
        return text[point.line - 1]

    def share(self, metric: str) -> Share:
        """Of all files that count, or of the bins of all groups that do (``functional``)."""
        if metric == "functional":
            return Share(*self.functional.bins(self.borrowed))
        return self.total(metric, (file for file in self.files.values() if file.name not in self.borrowed))

    @staticmethod
    def total(metric: str, files: Iterable[SourceFile]) -> Share:
        """Of some files together."""
        shares = [file.share(metric) for file in files]
        return Share(sum(each.covered for each in shares), sum(each.all for each in shares))

    @cached_property
    def shares(self) -> dict[str, Share]:
        """Of each metric that was counted at all."""
        metrics = (*METRICS, "functional") if self.files else ("functional",)
        shares = {metric: self.share(metric) for metric in metrics}
        return {metric: share for metric, share in shares.items() if share.all}

    @cached_property
    def folders(self) -> dict[str, dict[str, Share]]:
        """Folder of sources -> the share of each metric, of those that do not count, too."""
        folders: dict[str, list[SourceFile]] = {}
        for file in self.files.values():
            folders.setdefault(str(Path(file.name).parent), []).append(file)
        return {
            folder: {metric: self.total(metric, files) for metric in METRICS}
            for folder, files in folders.items()
        }

    @property
    def below(self) -> list[str]:
        """Metrics that miss their goal."""
        return [
            metric
            for metric, goal in GOALS.items()
            if metric in self.shares and self.shares[metric].percent < goal
        ]

    def by(self, mask: int) -> list[int]:
        """The numbers of the tests of a point or bin."""
        return [number for number in range(len(self.tests)) if mask >> number & 1]


def source_folders(block: Block) -> set[Path]:
    """The folders of the sources, or lists of sources, that a declaration names."""
    return {(block.root / entry).resolve().parent for entry in block.sources}


def describe(point: Point) -> str:
    """A point in words."""
    ways = {
        "if": "the condition is true",
        "else": "the condition is false",
        "elsif": "this condition is true",
        "case": "this item of the case",
        "cond_then": "the first value of ?:",
        "cond_else": "the second value of ?:",
        "block": "the block",
    }
    return ways.get(
        point.what, f"{KINDS[point.kind].split()[0]}: {point.what}" if point.kind == "user" else point.what
    )
