# SPDX-License-Identifier: Apache-2.0
"""Failures of one cause together: the buckets of a regression.

One fault shows in many ways: in other streams and lanes, as a wrong word here and as a hang there. Failures with the
same signature (`sim.regress.signature`) are one way. Ways are put together from the strongest evidence to the weakest:

1. the same module is blamed, by the bench or by an assertion, in whatever block, stream and lane; a way that blames one
   of several modules joins the one of them that others blame alone;
2. one run shows both ways: what it says of a module counts for the way that names none;
3. a unit is blamed and no module of it: the way joins the only bucket of that unit, unless one of the two is always in
   the same lane and the other is not;
4. nothing is blamed: the same block and check, and texts that differ in few words. Where a good part of such failures
   is in one lane, they are a bucket of their own beside the rest;
5. ways of losing time or order (a hang, a lost beat, a wrong count of clocks) say nothing of their cause. Those of a
   block are together, and join its only other bucket where they share its tests and are few beside it.

What somebody has acknowledged (`sim.regress.known`) is a bucket of its own before all this, so that a new failure never
hides behind a known one. Runs that could not be made, lost workers and falls of a bench's own code join nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.sim.regress.known import Known, find_known
from assay.sim.regress.record import ERROR, LOST, PASSED, TIMEOUT, Header, Result
from assay.sim.regress.signature import ITSELF, PLANTED

__all__ = ["Bucket", "Way", "buckets", "way_of"]

Key = tuple[str, ...]

_FIELDS = ("block", "kind", "check", "module", "stage", "unit", "stream", "place")
_ORDER = {
    *("hang", "stuck", "StreamTimeout", "lost", "repeated", "unexpected", "simulation ended"),
    *("nothing compared", "clocks", "rate", "status", "counter", "coverage"),
}
"""Kinds of failures that say that something came too late, too often or not at all."""

_APART = {"bench", "crash", "timeout", "build", "lost worker"}
"""Kinds of failures that are never put together with others."""

_SEEDS = 1000  #: of a bucket that are listed
_WAYS = 4096  #: unlike ways that are told apart; more are counted with the last of their check
_ALIKE = 0.6  #: share of common words of texts that are alike
_FEW = 0.25  #: of a bucket's failures, that join it without other evidence than their tests
_CONCENTRATED = 0.3  #: share of failures in one place from which on they are a bucket of their own
_LEAST = 4  #: failures that show a pattern


@dataclass
class Way:
    """Failures with the same signature.

    Attributes:
        key: of the signature, as `way_of` gives it.
        failure: the signature of the representative.
        count: of them.
        best: the representative: the shortest way to the failure, then the fastest run.
        tests: entry to count.
        seeds: some of the pairs of entry and seed.
        first, last: seconds since 1970.
        at: axis to the numbers that all have in common.
        also: what its runs said beside it, with counts.
        known: the entry that acknowledges it.
    """

    key: Key
    failure: Mapping[str, Any]
    best: Result
    count: int = 0
    tests: Counter[int] = field(default_factory=Counter)
    seeds: list[tuple[int, int]] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0
    at: dict[str, set[int]] | None = None
    also: Counter[str] = field(default_factory=Counter)
    known: Known | None = None

    def get(self, name: str) -> str:
        """A field of the signature; empty: it has none."""
        return str(self.failure.get(name, ""))

    def add(self, result: Result) -> None:
        """One more."""
        self.count += 1
        self.tests[result.entry] += 1
        if len(self.seeds) < _SEEDS:
            self.seeds.append((result.entry, result.seed))
        self.first = min(self.first, result.ended) if self.count > 1 else result.ended
        self.last = max(self.last, result.ended)
        if _price(result) < _price(self.best):
            self.best, self.failure = result, result.failure
        at = {axis: set(numbers) for axis, numbers in dict(result.failure.get("at", {})).items()}
        self.at = (
            at if self.at is None else {axis: self.at[axis] & at[axis] for axis in at if axis in self.at}
        )
        self.also.update(result.failure.get("also", ()))


@dataclass
class Bucket:
    """Failures that have, as far as one can tell, the same cause.

    Attributes:
        number: in the order of the list, from 1.
        title: a line for people.
        key: what the bucket is about, the same from one regression to the next.
        ways: in which it shows, the most frequent first.
        perhaps: number of the bucket whose cause may be the same; 0: none.
    """

    ways: list[Way]
    number: int = 0
    title: str = ""
    key: str = ""
    perhaps: int = 0

    @property
    def count(self) -> int:
        """Of failures."""
        return sum(way.count for way in self.ways)

    @property
    def tests(self) -> Counter[int]:
        """Entry to failures."""
        return sum((way.tests for way in self.ways), Counter())

    @property
    def seeds(self) -> list[tuple[int, int]]:
        """Pairs of entry and seed, not more than a thousand."""
        return [pair for way in self.ways for pair in way.seeds][:_SEEDS]

    @property
    def best(self) -> Result:
        """The representative."""
        return min((way.best for way in self.ways), key=_price)

    @property
    def first(self) -> float:
        """Seconds since 1970."""
        return min(way.first for way in self.ways)

    @property
    def last(self) -> float:
        """Seconds since 1970."""
        return max(way.last for way in self.ways)

    @property
    def replay(self) -> str:
        """The command that repeats the representative."""
        return self.best.replay

    @property
    def known(self) -> Known | None:
        """The entry that acknowledges it."""
        return self.ways[0].known

    @property
    def acknowledged(self) -> bool:
        """Whether it counts no more: somebody has acknowledged it, and that has not expired."""
        return self.known is not None and not self.known.expired

    def fields(self) -> dict[str, list[str]]:
        """The values of the signatures' fields, the most frequent first: what a pattern of `sim.regress.known` sees."""
        found: dict[str, Counter[str]] = {name: Counter() for name in _FIELDS}
        for way in self.ways:
            for name in _FIELDS:
                if text := way.get(name):
                    found[name][text] += way.count
        return {name: [text for text, _ in texts.most_common()] for name, texts in found.items()}


def way_of(result: Result) -> Key:
    """What a failure has in common with others of the same way."""
    failure = result.failure
    fields = ",".join(map(str, failure.get("fields", ())))
    return (result.state, *(str(failure.get(name, "")) for name in _FIELDS), fields)


def buckets(results: Iterable[Result], header: Header, known: Sequence[Known] = ()) -> list[Bucket]:
    """The buckets of a regression: those that count first, the largest first.

    Args:
        results: of all its items.
        header: of its journal.
        known: what is acknowledged; an entry that has expired makes a bucket, too, which counts as a failure.
    """
    ways = list(_ways(results, header, known).values())
    groups = _Groups(way for way in ways if way.known is None)
    groups.join_modules()
    groups.join_seen_together()
    groups.join_units()
    groups.join_checks()
    groups.join_order()
    found = [*groups.buckets(), *_acknowledged(ways)]
    found.sort(key=lambda each: (each.acknowledged, -each.count, each.first))
    for number, bucket in enumerate(found, 1):
        bucket.number = number
        bucket.ways.sort(key=lambda way: -way.count)
        bucket.key, bucket.title = _named(bucket)
    for bucket in found:
        bucket.perhaps = _perhaps(bucket, found)
    return found


def _ways(results: Iterable[Result], header: Header, known: Sequence[Known]) -> dict[Key, Way]:
    ways: dict[Key, Way] = {}
    of_check: dict[Key, Key] = {}
    for result in results:
        if result.state == PASSED:
            continue
        key = way_of(result)
        way = ways.get(key)
        if way is None and len(ways) >= _WAYS and key[:4] in of_check:
            way = ways[of_check[key[:4]]]
        if way is None:
            way = ways[key] = Way(key, result.failure, result)
            of_check[key[:4]] = key
            way.known = find_known(known, way.failure, header.entries[result.entry])
        way.add(result)
    return ways


def _price(result: Result) -> tuple[bool, float, float, float, int]:
    """What makes a failure good to look at: no fault that the test itself has planted, little simulated time and few
    clocks to it, then a fast run."""
    time_ns, clocks = (float(result.failure.get(name, -1)) for name in ("time_ns", "clocks"))
    least = [each if each >= 0 else float("inf") for each in (time_ns, clocks)]
    return bool(result.failure.get("planted")), least[0], least[1], result.seconds, result.item


# -------------------------------------------------------------------------------------------------
# Putting ways together
# -------------------------------------------------------------------------------------------------
class _Groups:
    """Sets of ways that are put together, step by step."""

    def __init__(self, ways: Iterable[Way]) -> None:
        self.sets: list[list[Way]] = [[way] for way in ways]

    def buckets(self) -> list[Bucket]:
        """What has come of it."""
        return [Bucket(each) for each in self.sets]

    def _merge(self, key: Callable[[list[Way]], object]) -> None:
        """Put sets with the same key together; None: it stays as it is."""
        merged: dict[object, list[Way]] = {}
        for each in self.sets:
            name = key(each)
            merged.setdefault(id(each) if name is None else (name,), []).extend(each)
        self.sets = list(merged.values())

    def _move(self, target: Callable[[list[Way]], list[Way] | None]) -> None:
        """Put sets into others that are chosen for them."""
        for each in list(self.sets):
            goal = target(each)
            if goal is not None and goal is not each:
                goal.extend(each)
                self.sets.remove(each)

    def join_modules(self) -> None:
        """Step 1."""
        named = [_module(each[0]) for each in self.sets]
        alone = {name for name in named if name and " or " not in name}

        def module(each: list[Way]) -> str | None:
            names = _module(each[0]).split(" or ")
            blamed = [name for name in names if name in alone]
            return (blamed[0] if len(blamed) == 1 else " or ".join(names)) or None

        self._merge(module)

    def join_seen_together(self) -> None:
        """Step 2."""

        def target(each: list[Way]) -> list[Way] | None:
            if _apart(each[0]):
                return None
            named = {
                module for way in each for text in way.also for module in [text.partition("; ")[2]] if module
            }
            if _module(each[0]) and each[0].get("kind") != "assertion":
                return None
            goals = [one for one in self.sets if one is not each and _module(one[0]) in named]
            return goals[0] if len(goals) == 1 else None

        self._move(target)

    def join_units(self) -> None:
        """Step 3."""
        self._merge(lambda each: ("unit", each[0].get("unit")) if _is_vague(each) else None)
        self.sets = [part for each in self.sets for part in (_split(each) if _is_vague(each) else [each])]

        def target(each: list[Way]) -> list[Way] | None:
            if not _is_vague(each):
                return None
            goals = [
                one
                for one in self.sets
                if one is not each
                and not _is_vague(one)
                and any(_module(way) and way.get("unit") == each[0].get("unit") for way in one)
                and _may_be_one(one, each)
            ]
            return goals[0] if len(goals) == 1 else None

        self._move(target)
        self._merge(
            lambda each: ("unit", each[0].get("unit")) if _is_vague(each) and not _lane(each) else None
        )

    def join_checks(self) -> None:
        """Step 4."""
        free = [each for each in self.sets if _is_free(each)]
        rest = [each for each in self.sets if not _is_free(each)]
        merged: list[list[Way]] = []
        for each in sorted(free, key=lambda each: -_count(each)):
            goal = next((one for one in merged if _alike(one[0], each[0])), None)
            if goal is None:
                merged.append(each)
            else:
                goal.extend(each)
        self.sets = rest + [part for each in merged for part in _split(each)]

    def join_order(self) -> None:
        """Step 5."""
        self._merge(
            lambda each: ("order", each[0].get("block")) if _is_free(each) and _is_order(each[0]) else None
        )

        def target(each: list[Way]) -> list[Way] | None:
            if not (_is_free(each) and _is_order(each[0])):
                return None
            block = each[0].get("block")
            goals = [
                one
                for one in self.sets
                if one is not each and not _apart(one[0]) and any(way.get("block") == block for way in one)
            ]
            if len(goals) != 1 or _count(each) > _FEW * _count(goals[0]):
                return None
            tests = {test for way in goals[0] for test in way.tests}
            return (
                goals[0]
                if all(test in tests for way in each for test in way.tests if not _is_planted(way))
                else None
            )

        self._move(target)


def _module(way: Way) -> str:
    return "" if _apart(way) else way.get("module")


def _apart(way: Way) -> bool:
    return way.key[0] in (ERROR, TIMEOUT, LOST) or way.get("kind") in _APART


def _is_vague(each: Sequence[Way]) -> bool:
    return all(not _module(way) and way.get("stage") == ITSELF for way in each)


def _is_free(each: Sequence[Way]) -> bool:
    """Whether nothing is blamed by any of them."""
    return all(not _module(way) and way.get("stage") != ITSELF for way in each)


def _is_order(way: Way) -> bool:
    return (way.get("kind") in _ORDER or _is_planted(way)) and not _apart(way)


def _is_planted(way: Way) -> bool:
    """Whether a test that plants a fault has found another one instead: that is no cause."""
    return way.get("stage").startswith(PLANTED)


def _count(each: Iterable[Way]) -> int:
    return sum(way.count for way in each)


def _places(ways: Iterable[Way]) -> Counter[str]:
    """Place, such as ``row 2``, to the failures that have it, perhaps beside others."""
    places = Counter[str]()
    for way in ways:
        for text in filter(None, way.get("place").split(", ")):
            places[text] += way.count
    return places


def _has(way: Way, place: str) -> bool:
    return place in way.get("place").split(", ")


def _lane(each: Sequence[Way]) -> str:
    """The place that all of them have; empty where they have none in common, or are too few to say so."""
    total = _count(each)
    return next((text for text, count in _places(each).most_common(1) if count == total >= _LEAST), "")


def _may_be_one(left: Sequence[Way], right: Sequence[Way]) -> bool:
    """Whether nothing in their places says that two sets have unlike causes."""
    for one, other in ((left, right), (right, left)):
        if (lane := _lane(one)) and _count(way for way in other if way.get("place") == lane) < _count(
            other
        ) / 2:
            return False
    return True


def _words(text: str) -> set[str]:
    return set(re.findall(r"[\w#*]+", text))


def _alike(left: Way, right: Way) -> bool:
    """Whether two ways without blame are of the same check, and say nearly the same."""
    if left.get("block") != right.get("block") or left.key[0] != right.key[0]:
        return False
    if left.get("check") != right.get("check") or left.get("kind") != right.get("kind"):
        return False
    one, other = _words(left.get("stage")), _words(right.get("stage"))
    return one == other or len(one & other) >= _ALIKE * len(one | other)


def _split(each: list[Way]) -> Iterator[list[Way]]:
    """Apart what is always in one place, provided that this is no chance: a good part of all, of several places."""
    total, places = _count(each), _places(each)
    place, count = next(iter(places.most_common(1)), ("", 0))
    if count < _LEAST or not _CONCENTRATED <= count / total < 1 - _FEW / 2 or len(places) < 3:
        yield each
        return
    yield [way for way in each if _has(way, place)]
    yield [way for way in each if not _has(way, place)]


def _acknowledged(ways: Iterable[Way]) -> Iterator[Bucket]:
    """A bucket for each entry that acknowledges something."""
    found: dict[int, list[Way]] = {}
    for way in ways:
        if way.known is not None:
            found.setdefault(id(way.known), []).append(way)
    yield from map(Bucket, found.values())


# -------------------------------------------------------------------------------------------------
# Words
# -------------------------------------------------------------------------------------------------
def _named(bucket: Bucket) -> tuple[str, str]:
    """Key and title. The key holds nothing that another night would show in another way."""
    first = bucket.ways[0]
    fields = bucket.fields()
    blocks = ", ".join(fields["block"])
    if _apart(first) or not (fields["module"] or first.get("stage") == ITSELF):
        check = first.get("check") or first.get("kind")
        said = first.get("stage") if first.get("stage") != check else ""
        place = _common_place(bucket.ways)
        text = said if said.startswith(check) else ": ".join(filter(None, (check, said)))
        return f"{first.get('block')}: {check}{f' {place}' if place else ''}", _title(blocks, text, place)
    if not fields["module"]:
        unit = f"{first.get('unit')} itself"
        return unit, _title(blocks, f"{unit}: {_listed(fields['check'])}", _common_place(bucket.ways))
    names = sorted(fields["module"], key=lambda name: " or " in name)
    vague = _count(way for way in bucket.ways if way.get("stage") == ITSELF)
    if vague > (1 - _FEW) * bucket.count:  # the few that name a module may be chance
        unit = f"{first.get('unit')} itself"
        text = f"{unit}, {names[0]} in {bucket.count - vague} of {bucket.count}"
        return unit, _title(blocks, text, _common_place(bucket.ways))
    stages = [stage for stage in fields["stage"] if stage != ITSELF]
    text = names[0] + (f": {_listed(stages)}" if stages else f": {_listed(fields['check'])}")
    return names[0], _title(blocks, text, _common_place(bucket.ways))


def _listed(texts: Sequence[str], most: int = 2) -> str:
    more = len(texts) - most
    return " / ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")


def _title(blocks: str, text: str, place: str) -> str:
    text = text if len(text) <= 150 else f"{text[:148]}.."
    return f"{blocks}: {text}{f' ({place})' if place else ''}" if blocks else text


def _common_place(ways: Sequence[Way]) -> str:
    """The places of at least three quarters of the failures."""
    least = max(2, (1 - _FEW) * _count(ways))
    return ", ".join(text for text, count in _places(ways).most_common() if count >= least)


def _perhaps(bucket: Bucket, found: Sequence[Bucket]) -> int:
    """Another bucket, a larger one that blames a module, that shares block and tests with one that blames none."""
    if _apart(bucket.ways[0]) or any(_module(way) for way in bucket.ways) or bucket.known:
        return 0
    block, tests = bucket.ways[0].get("block"), set(bucket.tests)
    others = [
        each
        for each in found
        if each is not bucket
        and each.count > bucket.count
        and not _apart(each.ways[0])
        and any(way.get("block") == block for way in each.ways)
        and tests & set(each.tests)
    ]
    return others[0].number if len(others) == 1 else 0
