# SPDX-License-Identifier: Apache-2.0
"""The engine of a regression with workers that lose, refuse and repeat: each item gets one result."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assay.sim.regress.archive import Archive
from assay.sim.regress.engine import Engine, begin, held
from assay.sim.regress.plan import Group, Items, Plan, Run
from assay.sim.regress.record import JOURNAL, LOST, PASSED, Entry, Header, Regression
from assay.tb.errors import AssayError

GROUPS = [{"name": "g", "items": {"p": {"at_least": 1, "missed": ["b"], "hits": {"a": 1}}}}]


class Fake:
    """Workers that answer at once, as a function says."""

    local = True

    def __init__(self, answer: Any, slots: int = 2) -> None:
        self._answer = answer
        self._slots = slots
        self._begun: list[tuple[Any, Mapping[str, Any]]] = []
        self.refused: dict[str, str] = {}
        self.most = 0

    def available(self) -> dict[str, int]:
        return {f"w{number}": 1 for number in range(self._slots) if f"w{number}" not in self.refused}

    def refuse(self, address: str, reason: str) -> None:
        self.refused[address] = reason

    def begin(self, key: Any, order: Mapping[str, Any]) -> None:
        self._begun.append((key, order))
        self.most = max(self.most, len(self._begun))

    def ended(self, timeout: float) -> list[tuple[Any, dict[str, Any]]]:
        if not self._begun:
            time.sleep(0.01)
            return []
        key, order = self._begun.pop(random.randrange(len(self._begun)))
        return [(key, self._answer(order, len(self._begun)))]


def passed(order: Mapping[str, Any], beside: int = 0) -> dict[str, Any]:
    return {"state": PASSED, "seconds": 0.1, "worker": "w0", "words": 1, "groups": GROUPS}


def made(folder: Path, seeds: int, tests: int = 3, attempts: int = 3) -> Items:
    entries = [Entry(f"e{number}", "b", "v", "icarus", f"t{number}") for number in range(tests)]
    plan = Plan((Run(seeds=seeds),), attempts=attempts)
    items = Items(plan, entries, [Group(list(range(tests)), range(1, seeds + 1))])
    begin(
        folder,
        Header(folder.name, items.as_json(), tuple(entries), "k", "", {}, {}, 0.0),
        Archive("k", b"", {}),
    )
    return items


def numbers(folder: Path) -> list[int]:
    return [result.item for result in Regression(folder).results()]


def test_each_item_has_one_result(tmp_path: Path) -> None:
    items = made(tmp_path / "r", 40)
    Engine(tmp_path / "r", items, {}, Fake(passed), print).run()
    assert sorted(numbers(tmp_path / "r")) == list(range(120))
    regression = Regression(tmp_path / "r")
    assert regression.bins() == ["g.p: a", "g.p: b"]
    assert [result.new for result in regression.results()][:3] == [1, 0, 0]
    assert [event["event"] for event in regression.events()] == ["started"]


def test_nothing_is_lost_by_a_hundred_kills(tmp_path: Path) -> None:
    """kill -9 at any moment: what the journal holds is whole, and what it does not hold is run again."""
    folder = tmp_path / "r"
    items = made(folder, 700)
    kills, rounds = 0, 0
    seen: set[int] = set()
    draw = random.Random(1)
    while kills < 100 or len(seen) < 2100:
        rounds += 1
        child = os.fork()
        if child == 0:
            try:
                with held(folder):
                    Engine(folder, items, {}, Fake(passed), lambda line: None).run()
            finally:
                os._exit(0)
        if kills < 100:
            time.sleep(draw.uniform(0.001, 0.05))
            os.kill(child, signal.SIGKILL)
            kills += 1
        _, status = os.waitpid(child, 0)
        assert status == 0 or os.WTERMSIG(status) == signal.SIGKILL
        now = numbers(folder)
        assert len(now) == len(set(now)), "an item has two results"
        assert seen <= set(now), "a result was lost"
        seen = set(now)
        assert rounds < 300
        if len(seen) == 2100 and kills < 100:
            folder = tmp_path / f"r{kills}"
            items, seen = made(folder, 700), set()
    assert seen == set(range(2100))


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_half_a_line_is_run_again(tmp_path: Path, cut: int) -> None:
    items = made(tmp_path / "r", 5)
    Engine(tmp_path / "r", items, {}, Fake(passed), print).run()
    journal = tmp_path / "r" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-cut])
    Engine(tmp_path / "r", items, {}, Fake(passed), print).run()
    assert sorted(numbers(tmp_path / "r")) == list(range(15))
    assert Regression(tmp_path / "r").bins() == ["g.p: a", "g.p: b"]


def test_an_item_that_takes_workers_with_it_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    alone = []

    def answer(order: Mapping[str, Any], beside: int) -> dict[str, Any]:
        if order["entry"]["name"] == "e1" and order["seed"] == 2:
            alone.append(beside)
            return {"lost": "the worker that ran it went away", "killed": True}
        return passed(order)

    items = made(tmp_path / "r", 4)
    Engine(tmp_path / "r", items, {}, Fake(answer), print).run()
    results = {result.item: result for result in Regression(tmp_path / "r").results()}
    lost = [result for result in results.values() if result.state == LOST]
    assert [(result.entry, result.seed, result.attempts) for result in lost] == [(1, 2, 3)]
    assert len(results) == 12
    assert alone[-1] == 0, "the last attempt is made alone"


def test_one_that_was_beside_it_is_not_lost(tmp_path: Path) -> None:
    """Whoever was lost with another one passes alone."""
    times: Counter[int] = Counter()

    def answer(order: Mapping[str, Any], beside: int) -> dict[str, Any]:
        times[order["seed"]] += 1
        return {"lost": "gone"} if beside else passed(order)

    items = made(tmp_path / "r", 6, tests=1)
    Engine(tmp_path / "r", items, {}, Fake(answer), print).run()
    assert {result.state for result in Regression(tmp_path / "r").results()} == {PASSED}
    assert max(times.values()) > 1


def test_a_worker_that_is_not_fit_gets_nothing_more(tmp_path: Path) -> None:
    def answer(order: Mapping[str, Any], beside: int) -> dict[str, Any]:
        if "w1" not in workers.refused:
            return {"unfit": "icarus 12.0, where the regression was begun with 11.0", "worker": "w1"}
        return passed(order)

    workers = Fake(answer)
    items = made(tmp_path / "r", 4)
    Engine(tmp_path / "r", items, {}, workers, print).run()
    assert list(workers.refused) == ["w1"]
    assert sorted(numbers(tmp_path / "r")) == list(range(12))
    (event,) = [each for each in Regression(tmp_path / "r").events() if each["event"] == "worker"]
    assert event["text"] == "w1 is not used: icarus 12.0, where the regression was begun with 11.0"


def test_no_worker_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.sim.regress.engine.ALL_REFUSED_S", 0.1)
    workers = Fake(lambda order, beside: {"unfit": "too little memory", "worker": f"w{len(workers.refused)}"})
    items = made(tmp_path / "r", 4)
    with pytest.raises(AssayError, match="no worker is left that can run items: 2 were refused"):
        Engine(tmp_path / "r", items, {}, workers, print).run()
    assert numbers(tmp_path / "r") == []
    Engine(tmp_path / "r", items, {}, Fake(passed), print).run()
    assert sorted(numbers(tmp_path / "r")) == list(range(12))


def test_no_more_items_than_threads(tmp_path: Path) -> None:
    workers = Fake(passed, slots=3)
    Engine(tmp_path / "r", made(tmp_path / "r", 10), {}, workers, print).run()
    assert workers.most == 3


def test_time_is_kept(tmp_path: Path) -> None:
    entries = [Entry("e", "b", "v", "icarus", "t")]
    plan = Plan((Run(seeds=0),), time=0.3)
    items = Items(plan, entries, [Group([0], range(1, 1 << 31))])
    folder = tmp_path / "r"
    begin(folder, Header("r", items.as_json(), tuple(entries), "k", "", {}, {}, 0.0), Archive("k", b"", {}))
    Engine(folder, items, {}, Fake(passed), print).run()
    found = numbers(folder)
    assert found and sorted(found) == list(range(len(found)))


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    made(tmp_path / "r", 1)
    with (
        held(tmp_path / "r"),
        pytest.raises(AssayError, match="goes on in another process"),
        held(tmp_path / "r"),
    ):
        pass


def test_a_name_is_used_once(tmp_path: Path) -> None:
    made(tmp_path / "r", 1)
    with pytest.raises(AssayError, match="exists; give another NAME, or resume it"):
        made(tmp_path / "r", 1)


def test_memory_does_not_grow(tmp_path: Path) -> None:
    """Twenty thousand items: what the engine keeps of one is a bit."""
    import tracemalloc

    items = made(tmp_path / "r", 4000, tests=5)
    engine = Engine(tmp_path / "r", items, {}, Fake(passed), lambda line: None)
    sizes = []
    tracemalloc.start()
    submit = engine._submit

    def counted(item: tuple[int, int, int], waiting: dict[str, tuple[int, int, int]]) -> None:
        if item[0] in (4000, 19_999):
            sizes.append(tracemalloc.get_traced_memory()[0])
        submit(item, waiting)

    engine._submit = counted  # type: ignore[method-assign]
    engine.run()
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 200_000, sizes
