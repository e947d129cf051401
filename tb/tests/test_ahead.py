# SPDX-License-Identifier: Apache-2.0
"""The process beside the simulator: results as computed here, whatever their size, order and number."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from assay.golden.errors import ConfigurationError
from assay.tb import ahead as module
from assay.tb.ahead import AHEAD, Promise, Remote, ahead, warm_up


class _Odd(Exception):
    """Cannot be made again from its text."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


def _double(values: np.ndarray) -> np.ndarray:
    return values * 2


def _process() -> int:
    return os.getpid()


def _fail(kind: str) -> None:
    if kind == "known":
        raise ConfigurationError("a known error")
    raise _Odd(1, 2)


def _end() -> None:
    os._exit(3)


class _Sum:
    """Adds up what it is given."""

    def __init__(self, first: int) -> None:
        if first < 0:
            raise ConfigurationError("below 0")
        self.value = first

    def add(self, number: int) -> tuple[int, int]:
        self.value += number
        return self.value, os.getpid()


def _objects() -> int:
    return len(module._objects)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of this test's own, as if the machine had two cores."""
    made: list[module._Worker | None] = []
    monkeypatch.setattr(module, "_made", made)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.delenv(AHEAD, raising=False)
    warm_up()
    (started,) = made
    assert started is not None
    yield
    started.close()


def test_results(worker: None) -> None:
    """Many computations wait at a time, each with its own result; what changes afterwards does not matter."""
    assert ahead(_process).result() != os.getpid()
    rng = np.random.default_rng(1)
    sizes = rng.integers(0, 300_000, 60).tolist()
    arrays = [np.full(n, i, np.int32) for i, n in enumerate(sizes)]
    promises = [ahead(_double, array) for array in arrays]
    for array in arrays:
        array[:] = -1
    for i in rng.permutation(len(sizes)):
        result = promises[i].result()
        assert result.shape == (sizes[i],) and (result == 2 * i).all()
        assert promises[i].result() is result


def test_errors(worker: None) -> None:
    """What a computation raises is raised by `result`; the next computation is not touched by it."""
    failing = [ahead(_fail, "known"), ahead(_fail, "odd")]
    after = ahead(_double, np.arange(3))
    with pytest.raises(ConfigurationError, match="a known error"):
        failing[0].result()
    with pytest.raises(RuntimeError, match="_Odd: 1 and 2"):
        failing[1].result()
    assert after.result().tolist() == [0, 2, 4]


def test_process_that_ends(worker: None) -> None:
    """A process that is gone has a message, not a hang."""
    with pytest.raises(RuntimeError, match=r"exit code 3.*ASSAY_AHEAD=0"):
        ahead(_end).result()


def test_process_that_is_killed(worker: None) -> None:
    """The same if it ends between two computations."""
    os.kill(ahead(_process).result(), signal.SIGKILL)
    with pytest.raises(RuntimeError, match=r"exit code -9.*ASSAY_AHEAD=0"):
        ahead(_double, np.arange(3)).result()


def test_without_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """ASSAY_AHEAD=0 computes at once, here."""
    monkeypatch.setattr(module, "_made", [])
    monkeypatch.setenv(AHEAD, "0")
    assert ahead(_process).result() == os.getpid()
    assert Promise(7).result() == 7


@pytest.mark.parametrize("beside", [True, False])
def test_remote(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, beside: bool) -> None:
    """An object keeps what its calls have made of it; it goes with its `Remote`; its errors are raised here."""
    if beside:
        request.getfixturevalue("worker")
    else:
        monkeypatch.setattr(module, "_made", [None])
    before = ahead(_objects).result()
    one, other = Remote(_Sum, 10), Remote(_Sum, 20)
    promises = [one.call("add", 1), other.call("add", 2), one.call("add", 3)]
    assert [p.result()[0] for p in promises] == [11, 22, 14]
    assert (promises[0].result()[1] != os.getpid()) == beside
    assert ahead(_objects).result() == before + 2
    del one
    broken = Remote(_Sum, -1)
    assert ahead(_objects).result() == before + 2
    with pytest.raises(ConfigurationError, match="below 0"):
        broken.call("add", 1).result()
    with pytest.raises(TypeError):
        other.call("add").result()
    assert other.call("add", 1).result()[0] == 23
