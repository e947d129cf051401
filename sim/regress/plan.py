# SPDX-License-Identifier: Apache-2.0
"""What a regression runs: a plan, by options or by a file, and its items in their order.

A plan file is TOML::

    time = "8h"                      # no item begins after it
    timeout = "30m"                  # for an item, its build included
    attempts = 3                     # workers that an item may lose
    coverage = true                  # count what of the RTL is executed, too

    [[run]]
    blocks = ["mvu", "pe_array"]     # all that have tests, where none is named
    seeds = 200                      # or a list of seeds, "1-200", or "@graded"
    simulators = ["verilator"]
    variants = "small|wide"          # an expression, as for `tests`
    tests = "random"
    networks = ["models/kws.tflite"] # in place of tests, for blocks that run networks
    parameters = { Lanes = 16 }

Keys with the same meaning have the same name as options of the command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from assay.sim import project
from assay.sim.blocks import having
from assay.sim.items import Item, items_of, kept_items
from assay.sim.job import LARGEST_SEED, prepare
from assay.sim.regress.record import Entry, Header
from assay.sim.testcases import list_tests, select_tests
from assay.tb.block import SIMULATORS, Block, Variant
from assay.tb.capabilities import RunsNetworks
from assay.tb.errors import AssayError, unknown
from assay.tb.text_file import read_toml

GRADED = "@graded"
"""Stands for the seeds of the last graded list."""

SHORTEST_ROUND, LONGEST_ROUND = 1, 16
"""Seeds of each test that come together: the first rounds see every test soon, later ones change builds less."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Run:
    """A part of a plan.

    Attributes:
        blocks: names; empty: all that have tests.
        seeds: number of seeds from the first one on (0: as many as the time allows), a list of them, or `GRADED` or
            ``@FILE``.
        simulators: empty: all that a variant names.
        variants, tests: expressions that are searched in names; empty: all.
        networks: files, for the blocks that run networks.
        parameters: of the HDL, in place of the variants'.
    """

    blocks: tuple[str, ...] = ()
    seeds: int | tuple[int, ...] | str = 1
    simulators: tuple[str, ...] = ()
    variants: str = ""
    tests: str = ""
    networks: tuple[str, ...] = ()
    parameters: Mapping[str, int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a regression runs, and how long.

    Attributes:
        first_seed: of the runs that give a number of seeds.
        time: seconds after which no item begins; 0: no limit.
        timeout: seconds for an item.
        attempts: workers that an item may take with it before it counts as lost.
        coverage: count what of the RTL is executed.
    """

    runs: tuple[Run, ...]
    first_seed: int = 1
    time: float = 0
    timeout: float = 1800
    attempts: int = 3
    coverage: bool = False

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Plan:
        """As `as_json` gave it, also after it was written as JSON."""
        runs = []
        for run in data["runs"]:
            values: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value for name, value in run.items()
            }
            runs.append(Run(**values))
        return cls(**{**data, "runs": tuple(runs)})


def seconds(what: str, text: str) -> float:
    """A time such as 90, 90s, 20m, 1.5h or 2d, in seconds.

    Raises:
        AssayError: it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    if found is None or float(found[1]) <= 0:
        raise AssayError(f"{what}={text}: must be a time such as 90s, 20m, 8h or 2d")
    return float(found[1]) * _UNITS[found[2] or "s"]


def seeds_of(what: str, text: str | int | Sequence[Any]) -> int | tuple[int, ...] | str:
    """Seeds as a user gives them: a number of seeds, ``7,8,9``, ``1-200``, ``@graded`` or ``@FILE``.

    One number alone is how many.

    Raises:
        AssayError: they are none of these.
    """
    wrong = AssayError(
        f"{what}={text}: must be a number of seeds, a list such as 7,8,20-29, {GRADED}, or @FILE of such a list"
    )
    if isinstance(text, bool):
        raise wrong
    if isinstance(text, int):
        if not 1 <= text <= LARGEST_SEED:
            raise wrong
        return text
    if isinstance(text, str):
        text = text.strip()
        if text.startswith("@") and len(text) > 1:
            return text
        if text.isdecimal():
            return seeds_of(what, int(text))
        parts: list[Any] = text.split(",")
    else:
        parts = list(text)
    chosen: dict[int, None] = {}
    for part in parts:
        found = (
            re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", str(part)) if not isinstance(part, bool) else None
        )
        if found is None:
            raise wrong
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last <= LARGEST_SEED or last - first >= 10_000_000:
            raise wrong
        chosen.update(dict.fromkeys(range(first, last + 1)))
    if not chosen:
        raise wrong
    return tuple(chosen)


# -------------------------------------------------------------------------------------------------
# The file
# -------------------------------------------------------------------------------------------------
def read_plan(path: Path, given: Plan) -> Plan:
    """The plan in a file; what it does not say is as in ``given``.

    Raises:
        AssayError: it cannot be read, or says what no plan says.
    """
    data = read_toml(path, f"PLAN={path}")
    here = _Reader(str(path), data)
    runs = data.get("run", [])
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise AssayError(f"{path}: run must be tables, each under [[run]]")
    if not runs:
        raise AssayError(f"{path}: there is nothing to run; write a table under [[run]]")
    here.only("run", "seed", "time", "timeout", "attempts", "coverage")
    return Plan(
        runs=tuple(
            _read_run(_Reader(f"{path}, run {number}", run), path) for number, run in enumerate(runs, 1)
        ),
        first_seed=here.integer("seed", given.first_seed, 0, LARGEST_SEED),
        time=here.time("time", given.time),
        timeout=here.time("timeout", given.timeout),
        attempts=here.integer("attempts", given.attempts, 1, 100),
        coverage=here.boolean("coverage", given.coverage),
    )


def _read_run(here: _Reader, path: Path) -> Run:
    here.only(*(each.name for each in fields(Run)))
    default = Run()
    seeds = here.data.get("seeds", default.seeds)
    if not isinstance(seeds, (int, str, list)):
        raise here.wrong("seeds", "must be a number, a list, or a text")
    parameters = here.data.get("parameters", {})
    if not isinstance(parameters, dict) or not all(
        isinstance(value, (int, str)) and not isinstance(value, bool) for value in parameters.values()
    ):
        raise here.wrong("parameters", "must be a table of integers and texts")
    return Run(
        blocks=here.texts("blocks"),
        seeds=seeds_of(f"{here.where}: seeds", seeds),
        simulators=here.texts("simulators"),
        variants=here.text("variants"),
        tests=here.text("tests"),
        networks=tuple(str(path.parent / name) for name in here.texts("networks")),
        parameters=parameters,
    )


class _Reader:
    """A table of a plan file, read key by key."""

    def __init__(self, where: str, data: Mapping[str, Any]) -> None:
        self.where = where
        self.data = data

    def wrong(self, key: str, what: str) -> AssayError:
        return AssayError(f"{self.where}: {key} = {self.data[key]!r}: {what}")

    def only(self, *names: str) -> None:
        for key in self.data:
            if key not in names:
                raise unknown(f"key of {self.where}:", key, names)

    def text(self, key: str) -> str:
        value = self.data.get(key, "")
        if not isinstance(value, str):
            raise self.wrong(key, "must be a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.data.get(key, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(key, "must be a text or a list of texts")
        return tuple(value)

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        value = self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"must be an integer from {low} to {high}")
        return value

    def boolean(self, key: str, default: bool) -> bool:
        value = self.data.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "must be true or false")
        return value

    def time(self, key: str, default: float) -> float:
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise self.wrong(key, 'must be a time such as "8h"')
        return seconds(f"{self.where}: {key}", str(value))


# -------------------------------------------------------------------------------------------------
# The table and the items
# -------------------------------------------------------------------------------------------------
ReadGraded = Callable[[str], Sequence[tuple[str, int]]]
"""Gives the pairs of an entry's name and a seed that `GRADED`, or the name of a file, stands for."""


@dataclass(frozen=True)
class Group:
    """What a part of a plan draws from.

    Attributes:
        entries: indices in the table.
        seeds: of each of them.
        pairs: of an entry and a seed, before these.
    """

    entries: list[int]
    seeds: Sequence[int]
    pairs: list[tuple[int, int]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the journal: consecutive seeds as the first and the number of them."""
        seeds = self.seeds
        consecutive = (
            {"first": seeds.start, "number": len(seeds)} if isinstance(seeds, range) else list(seeds)
        )
        return {"entries": self.entries, "seeds": consecutive, "pairs": self.pairs}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Group:
        """As `as_json` gave it."""
        seeds = data["seeds"]
        if isinstance(seeds, dict):
            seeds = range(seeds["first"], seeds["first"] + seeds["number"])
        return cls(data["entries"], seeds, [(entry, seed) for entry, seed in data["pairs"]])


class Items:
    """The items of a plan in their order, which is the same each time.

    Args:
        plan: of them.
        entries: the table of what is run.
        groups: what the parts of the plan draw from.
        dropped: names of a list of seeds that are no tests of the plan any more.
    """

    def __init__(
        self, plan: Plan, entries: Sequence[Entry], groups: Sequence[Group], dropped: Sequence[str] = ()
    ) -> None:
        self.plan = plan
        self.entries = list(entries)
        self.groups = list(groups)
        self.dropped = list(dropped)

    @classmethod
    def of_plan(cls, plan: Plan, blocks: Mapping[str, Block], read_graded: ReadGraded) -> Items:
        """The items of a plan.

        Args:
            blocks: that there are.
            read_graded: reads lists of seeds.

        Raises:
            AssayError, ConfigurationError: the plan names what there is not, or it has no item.
        """
        numbers: dict[str, int] = {}
        entries: list[Entry] = []
        groups, dropped = [], []
        for run in plan.runs:
            chosen = {}
            for entry in _entries(run, blocks):
                if entry.name not in numbers:
                    numbers[entry.name] = len(entries)
                    entries.append(entry)
                chosen[entry.name] = numbers[entry.name]
            if isinstance(run.seeds, str):
                listed = [(name, seed) for name, seed in read_graded(run.seeds)]
                pairs = [(chosen[name], seed) for name, seed in listed if name in chosen]
                dropped += [name for name, _ in listed if name not in chosen]
                groups.append(Group([], (), pairs))
            else:
                number = run.seeds or LARGEST_SEED
                last = min(plan.first_seed + number, LARGEST_SEED + 1) if isinstance(number, int) else 0
                seeds = range(plan.first_seed, last) if isinstance(number, int) else number
                groups.append(Group(sorted(chosen.values()), seeds))
        if not entries:
            raise AssayError("there is nothing to run: no test of the plan's blocks has such a name")
        items = cls(plan, entries, groups, dropped)
        if next(iter(items), None) is None:
            raise AssayError("there is nothing to run: no seed of the list is of a test of the plan")
        return items

    @classmethod
    def of_header(cls, header: Header) -> Items:
        """Those of a regression that was begun."""
        return cls(
            Plan.of_json(header.plan["ordered"]),
            header.entries,
            [Group.of_json(each) for each in header.plan["groups"]],
        )

    def as_json(self) -> dict[str, Any]:
        """The plan of a journal's header."""
        return {"ordered": self.plan.as_json(), "groups": [group.as_json() for group in self.groups]}

    @property
    def unbounded(self) -> bool:
        """Whether there are as many as the time allows."""
        return any(run.seeds == 0 for run in self.plan.runs)

    @property
    def count(self) -> int | None:
        """How many there are; None: as many as the time allows."""
        if self.unbounded:
            return None
        single = sum(bool(entry.case) for entry in self.entries)
        if len(self.groups) == 1 and not self.groups[0].pairs:
            group = self.groups[0]
            return (len(group.entries) - single) * len(group.seeds) + single
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """Number, index in the table, and seed of each item.

        Within a round of seeds the items of one build come together; rounds begin with few seeds, so that a regression
        that is ended early has seen all tests.
        """
        number = 0
        seen: set[tuple[int, int]] = set()
        several = len(self.groups) > 1
        for entry, seed in self._drawn():
            if self.entries[entry].case:
                seed = 0
            # Parts of a plan may overlap; of one part alone only a case comes again.
            if several or self.entries[entry].case:
                if (entry, seed) in seen:
                    continue
                seen.add((entry, seed))
            yield number, entry, seed
            number += 1

    def _drawn(self) -> Iterator[tuple[int, int]]:
        for group in self.groups:
            yield from group.pairs
        begun, length = 0, SHORTEST_ROUND
        while True:
            some = False
            for group in self.groups:
                seeds = group.seeds[begun : begun + length]
                some = some or bool(seeds)
                for same_build in self._builds(group.entries):
                    for seed in seeds:
                        for entry in same_build:
                            yield entry, seed
            if not some:
                return
            begun += length
            length = min(2 * length, LONGEST_ROUND)

    def _builds(self, numbers: Sequence[int]) -> list[list[int]]:
        """The entries that share a build."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for number in numbers:
            entry = self.entries[number]
            key = (entry.block, entry.variant, entry.simulator, tuple(entry.parameters.items()), entry.case)
            groups.setdefault(key, []).append(number)
        return list(groups.values())


def _entries(run: Run, blocks: Mapping[str, Block]) -> list[Entry]:
    """The rows of a part of a plan."""
    for name in run.simulators:
        if name not in SIMULATORS:
            raise unknown("SIM", name, SIMULATORS)
    for name in run.blocks:
        if name not in blocks:
            raise unknown("block", name, blocks)
    variants, tests = _expression("VARIANTS", run.variants), _expression("COCOTB_TEST_FILTER", run.tests)
    if run.networks:
        return _networks(run, blocks, variants)
    chosen = [blocks[name] for name in run.blocks] or of_one_repository(blocks)
    found = []
    for block in chosen:
        mine = [
            item
            for item in (items_of(block) if block.variants else _without_variants(block))
            if (not run.simulators or item.simulator in run.simulators)
            and variants.search(item.variant.name)
            and tests.search(f"{item.test}" if item.case is None else f"case-{item.case.stem}")
        ]
        if run.blocks and not mine:
            raise AssayError(f"no test of {block.name} has such a simulator, variant and name; see `list`")
        for item in mine:
            parameters = {} if item.case else dict(run.parameters)
            block.resolve_parameters({**item.variant.parameters, **parameters})
            block.check_extra([item.test])
            found.append(entry_of(item, parameters))
    return found


def of_one_repository(blocks: Mapping[str, Block]) -> list[Block]:
    """The user's blocks, or else Assay's own, which have variants to run."""
    theirs = [block for block in blocks.values() if block.root in project.in_use]
    return theirs or [block for block in blocks.values() if block.variants]


def _without_variants(block: Block) -> list[Item]:
    """The items of a block that declares no variants: its tests with the defaults, on Verilator."""
    default = Variant("default")
    tests = [
        Item(block, default, SIMULATORS[0], name) for name, test in list_tests(block).items() if not test.skip
    ]
    return [*tests, *kept_items(block)]


def _networks(run: Run, blocks: Mapping[str, Block], variants: re.Pattern[str]) -> list[Entry]:
    """A row for each network on each block that runs networks."""
    names = run.blocks or having(RunsNetworks, blocks)
    found = []
    for name in names:
        block = blocks[name]
        for path in run.networks:
            if not Path(path).is_file():
                raise AssayError(f"NETWORKS={path}: there is no such file")
            given = {"MODEL": path}
            parameters, own = prepare(block, given, run.parameters, blocks)
            for simulator in run.simulators or SIMULATORS[:1]:
                for test in own or select_tests(block):
                    item = Item(block, Variant("default"), simulator, test, given=given)
                    found.append(entry_of(item, parameters))
    return [entry for entry in found if variants.search(entry.variant)]


def _expression(what: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise AssayError(f"{what}={text} is no regular expression: {error}") from None


def entry_of(item: Item, parameters: Mapping[str, int | str]) -> Entry:
    """The row of an item."""
    words = [str(item), *(f"{name}{value}" for name, value in parameters.items())]
    return Entry(
        name="-".join(words),
        block=item.block.name,
        variant=item.variant.name,
        simulator=item.simulator,
        test=item.test,
        parameters=dict(parameters),
        given=dict(item.given),
        case=item.case.stem if item.case else "",
    )


def item_of(entry: Entry, blocks: Mapping[str, Block]) -> Item:
    """The item of a row.

    Raises:
        AssayError: the project has no such test any more.
    """
    block = blocks.get(entry.block)
    if block is not None and entry.case:
        for item in kept_items(block):
            if item.case is not None and item.case.stem == entry.case:
                return item
    elif block is not None:
        # A network runs on the block's defaults, adapted to it.
        known = [] if entry.given else block.variants
        default = {"default": Variant("default")} if entry.given or not block.variants else {}
        variant = {**default, **{each.name: each for each in known}}.get(entry.variant)
        if variant is not None and entry.test in list_tests(block):
            parameters = {**variant.parameters, **entry.parameters}
            return Item(
                block, replace(variant, parameters=parameters), entry.simulator, entry.test, given=entry.given
            )
    raise AssayError(f"{entry.name}: there is no such test any more")
