# SPDX-License-Identifier: Apache-2.0
"""Which of several failures an environment calls the first."""

import numpy as np
import pytest

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats, StreamTimeout
from assay.tb.env import StreamEnv
from assay.tb.report import Report
from assay.tb.scoreboard import StreamScoreboard

FORMAT = BeatFormat([("data", 8)])


class Env(StreamEnv):
    """Two streams, without agents: ``out`` is what ``in`` leads to."""

    def __init__(self) -> None:
        self.report = Report("test", out=lambda text: None)
        self.boards = {
            name: StreamScoreboard(name, FORMAT, on_mismatch=self.fail, clock_ns=10) for name in ("out", "in")
        }
        self._before = None

    def waiting(self) -> str:
        return "the sequencer is in Idle"

    def carry(self, name: str, expected: list[int], seen: list[int], first_clock: int) -> None:
        board = self.boards[name]
        board.expect(FORMAT.pack(data=expected))
        cycles = np.arange(first_clock, first_clock + len(seen), dtype=np.uint32)
        board.write(Beats(name, 0, cycles, FORMAT.pack(data=seen)))

    @property
    def told(self) -> list[tuple[object, object]]:
        return [(failure["kind"], failure.get("stream", "")) for failure in self.report.failures]


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.tb.agents.burst.get_sim_time", lambda unit: 10_000)


def test_a_late_check_does_not_hide_a_wrong_word() -> None:
    """Few beats came behind the wrong one: the scoreboard waits for more evidence, and the job's clocks come first."""
    env = Env()
    env.carry("out", [1, 2, 3], [1, 7, 3], 0)
    assert not env.told
    env.fail("kernel 15x15 was busy for 2036 clocks; the formula gives 3087", kind="clocks", time_ns=900)
    assert env.told == [("mismatch", "out"), ("clocks", "")]
    assert env.failed.is_set()


def test_the_earlier_word_comes_first() -> None:
    env = Env()
    env.carry("in", [1, 2], [1, 7], 0)
    env.carry("out", [5] * 40, [6] * 40, 20)  # found at once
    assert env.told == [("mismatch", "in"), ("mismatch", "out")]


def test_a_later_word_is_noise() -> None:
    env = Env()
    env.carry("in", [1, 2], [1, 7], 50)
    env.carry("out", [5] * 40, [6] * 40, 20)
    assert env.told == [("mismatch", "out")]


def test_of_one_clock_the_stream_that_is_named_last_comes_first() -> None:
    env = Env()
    env.carry("in", [1], [7], 20)
    env.carry("out", [5] * 40, [6] * 40, 20)
    assert env.told == [("mismatch", "in"), ("mismatch", "out")]


def test_what_stands_still_says_what_it_is_doing() -> None:
    env = Env()
    env.fail(StreamTimeout("out", "beat 0 not accepted for 100 clocks", quiet_ns=1000))
    env.fail("nothing has passed", kind="hang", time_ns=5)
    env.fail("a wrong word", kind="memory", time_ns=5)
    assert [failure.get("waiting") for failure in env.report.failures] == ["the sequencer is in Idle"] * 2 + [
        None
    ]
    assert env.report.failures[0]["time_ns"] == 9_000  # where the first missing beat was due


def test_the_first_failure_alone_lets_the_others_conclude() -> None:
    env = Env()
    env.fail("the first", kind="status", time_ns=1)
    env.carry("out", [1, 2, 3], [1, 7, 3], 0)
    env.fail("the second", kind="status", time_ns=2)
    assert [failure["message"] for failure in env.report.failures] == ["the first", "the second"]
