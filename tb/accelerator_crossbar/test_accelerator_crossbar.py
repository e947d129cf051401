# SPDX-License-Identifier: Apache-2.0
"""Tests of the crossbar alone. Each says what it plays; the scoreboard has the golden crossbar."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time

from assay.golden.accelerator.crossbar import Word
from assay.tb.accelerator_crossbar.coverage import StallCoverage
from assay.tb.accelerator_crossbar.scoreboard import ClockScoreboard, record_format
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.bench import BenchStopped, EnvTest, Finding
from assay.tb.env import CLOCK_NS, Stream, StreamEnv
from assay.tb.mvu_array.env import build_parameters

_MORE = 12  # times that ten further storms are played for what is missed
_STALLS = (0, 0, 30, 128, 220, 248)  #: of a source or destination, in 1/256
_LOOK_CLOCKS = 16
_PATIENCE_CLOCKS = 2_000  #: in which no word arrives


class CrossbarEnv(StreamEnv):
    """Sources and destinations, and the golden crossbar at the record of a clock."""

    def table(self) -> Mapping[str, Stream]:
        params = build_parameters()
        self.mvus, self.lanes = params.mvus, params.mvu.lanes
        self.coverage = StallCoverage(self.mvus)
        self.board = ClockScoreboard(self.mvus, self.lanes, self.coverage, self.fail)
        word = BeatFormat([("data", self.lanes), ("addr", 16), ("dest", 8)])
        arrival = BeatFormat([("data", self.lanes), ("addr", 16)])
        return {
            **{f"xbo{m}": Stream("source", word) for m in range(self.mvus)},
            # The scoreboard has what arrives from the record.
            **{f"xbi{m}": Stream("sink", arrival, lambda beats: None) for m in range(self.mvus)},
            "record": Stream("tap", record_format(self.lanes), self.board.write, eager=True),
        }

    def flush(self) -> None:
        super().flush()
        self.board.flush()

    def set_origin(self, origin_ns: float) -> None:
        super().set_origin(origin_ns)
        self.board.origin_ns = origin_ns

    def send(self, words: list[list[Word]]) -> None:
        """Let all sources offer words, in order."""
        self.board.expect(words)
        for m, own in enumerate(words):
            if own:
                data = np.array([int.from_bytes(word.data, "little") for word in own], np.uint64)
                self.bus[f"xbo{m}"].enqueue(
                    self.formats[f"xbo{m}"].pack(
                        data=data, addr=[word.address for word in own], dest=[word.dest for word in own]
                    )
                )

    async def settle(self) -> None:
        """Wait until all words have left their sources; a failure when none arrives any more."""
        before, since = -1, 0
        while self.board.outstanding and not self.failed.is_set():
            await Timer(CLOCK_NS * _LOOK_CLOCKS, "ns")
            left = self.board.arrived - self.board.outstanding
            since = 0 if left != before else since + _LOOK_CLOCKS
            before = left
            if since > _PATIENCE_CLOCKS:
                self.fail(
                    f"no word has moved for {_PATIENCE_CLOCKS:,} clocks: {self.board.outstanding} have not left "
                    "their sources",
                    kind="hang",
                    time_ns=get_sim_time("ns"),
                )


class CrossbarTest(EnvTest):
    """A test of the crossbar."""

    toplevel = "accelerator_crossbar"
    environment = CrossbarEnv
    env: CrossbarEnv

    def end_of_elaboration_phase(self) -> None:
        super().end_of_elaboration_phase()
        self.random = Random(self.seed)

    def storm(self, most: int) -> list[list[Word]]:
        """Words of all sources: to one unit, to all, anywhere, and to units that do not exist."""
        r, mvus = self.random, self.env.mvus
        every, one = (1 << mvus) - 1, 1 << r.randrange(mvus)
        kinds = (
            lambda: one,
            lambda: one,
            lambda: every,
            lambda: r.randrange(1 << mvus),
            lambda: r.randrange(256),
        )
        kind = r.choice(kinds)
        storm, crowd = [], r.random() < 0.5
        for source in range(mvus):
            count = most if crowd else r.choice((0, r.randint(1, most), most))
            storm.append(
                [
                    Word(
                        kind() if r.random() < 0.8 else r.choice(kinds)(),
                        source << 13 | r.randrange(1 << 13),
                        r.randbytes(self.env.lanes // 8),
                    )
                    for _ in range(count)
                ]
            )
        return storm

    def stall_somewhere(self) -> None:
        """New stalls for each source and destination."""
        for name, stream in self.env.streams.items():
            if stream.role != "tap":
                self.env.bus[name].stall = self.random.choice(
                    _STALLS if stream.role == "sink" else _STALLS[:4]
                )

    async def play(self, storms: int, most: int) -> None:
        """So many storms of at most so many words of each source."""
        for _ in range(storms):
            self.stall_somewhere()
            self.env.send(self.storm(most))
            await self.env.settle()
            if self.env.failed.is_set():
                raise BenchStopped

    def missed(self) -> dict[str, dict[str, list[str]]]:
        """What no word of the run has covered, by group."""
        return {group.name: group.missed() for group in self.env.coverage.groups if group.missed()}

    async def finish(self) -> None:
        """Nothing may be left; what was compared is counted."""
        self.report.words_compared += self.env.board.arrived
        for group in self.env.coverage.groups:
            self.report.add_coverage(group)


@CrossbarTest.test
async def stalled_storms(self: CrossbarTest) -> None:
    """All units send at once while destinations stall: every clock is that of the golden crossbar."""
    await self.play(self.pick(40, 8), self.pick(40, 20))
    if self.pick(1, 0):
        # Storms are random: with some seeds it takes more of them to meet everything.
        for _ in range(_MORE):
            if not (missed := self.missed()):
                return
            await self.play(10, 40)
        if missed := self.missed():
            self.env.fail(f"the storms have missed {missed}", kind="coverage")


@CrossbarTest.test
async def resets(self: CrossbarTest) -> None:
    """Reset in the middle of a storm, then more of them: nothing of before arrives."""
    for _ in range(self.pick(12, 3)):
        self.stall_somewhere()
        self.env.send(self.storm(20))
        await ClockCycles(self.env.dut.clk_i, self.random.randint(1, 60))
        await self.env.reset()
        await self.play(1, 20)


# -------------------------------------------------------------------------------------------------
# The checks, checked: each run must fail, with the right words
# -------------------------------------------------------------------------------------------------
class Planted(CrossbarTest):
    """Storms whose records are tampered with."""

    hook = "alter"

    async def body(self) -> None:
        self.env.board.alter = self.alter
        await self.play(4, 40)

    def alter(self, now: dict[str, int]) -> None:
        """Change the record of a clock."""


@Planted.test(finds=Finding("crossbar", "unit", "is offered address 0x", "instead of address 0x", "clock"))
def planted_data(self: Planted, now: dict[str, int]) -> None:
    """A wrong word is found, with the unit it should come from."""
    for m in range(self.env.mvus):
        if now["valid"] >> m & 1:
            now[f"data{m}"] ^= 1


@Planted.test(finds=Finding("crossbar", "is taken from it before units"))
def planted_early(self: Planted, now: dict[str, int]) -> None:
    """A word that leaves its source before all destinations have it is found."""
    now["taken"] |= now["offered"]


@Planted.test(finds=Finding("crossbar", "is offered nothing, although units"))
def planted_lost(self: Planted, now: dict[str, int]) -> None:
    """A destination that is not offered what it is sent is found."""
    now["valid"] = 0


@CrossbarTest.test(finds=Finding("nothing compared", "nothing was verified"))
async def planted_nothing(self: CrossbarTest) -> None:
    """A run in which nothing is sent fails."""
