# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of the PE array's output stage: one for each way its values can take, and one that clears it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from cocotb.triggers import Timer

from assay.golden.pe_array.registers import LaneOp, Rescaling
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.bench import EnvTest
from assay.tb.env import CLOCK_NS, Stream, StreamEnv
from assay.tb.pe_array_post.values import Mode, Shape, Values, tile
from assay.tb.scoreboard import StreamScoreboard

TILE_BEATS = 32
STAGES = 13  #: a bank's table is written when its last value has passed as many
VALUES = {"verilator": 200_000, "icarus": 5_000}  #: of a test


class PostEnv(StreamEnv):
    """The stage between a source and a sink that stall, and a scoreboard.

    Attributes:
        shape: of the build.
        modes: first beat and mode of every tile.
    """

    def table(self) -> Mapping[str, Stream]:
        parameters = json.loads(os.environ["ASSAY_PARAMS"])
        self.shape = Shape(
            parameters["Rows"], parameters["Columns"], parameters["DataWidth"], parameters["Lanes"]
        )
        self.modes: list[tuple[int, Mode]] = []
        return {
            "in": Stream("source", self.shape.inputs),
            "out": Stream("sink", self.shape.outputs, scoreboard=self._board),
        }

    def _board(self, name: str, beat_format: BeatFormat, **options: Any) -> StreamScoreboard:
        return StreamScoreboard(
            name, beat_format, locate=self.locate, values_per_beat=self.shape.values, **options
        )

    def locate(self, beat: int) -> str:
        """The tile that a beat belongs to."""
        first, mode = next((pair for pair in reversed(self.modes) if pair[0] <= beat), (0, "no tile"))
        return f"tile of {mode}, beat {beat - first} of it"

    def quieten(self) -> None:
        self.dut.clear_i.value = 0


class PostTest(EnvTest):
    """A test of the stage."""

    toplevel = "pe_array_post"
    environment = PostEnv
    env: PostEnv

    def connect_phase(self) -> None:
        super().connect_phase()
        self.rng = np.random.default_rng(self.seed)
        self.expected = 0

    def end_of_elaboration_phase(self) -> None:
        super().end_of_elaboration_phase()
        self.source, self.sink = self.env.bus["in"], self.env.bus["out"]
        self.board = self.env.boards["out"]

    def draw(self, mode: Mode) -> Values:
        """The next tile."""
        shape, modes = self.env.shape, self.env.modes
        table = self.rng.integers(0, 1 << shape.data_width, 1 << shape.data_width)
        values = tile(self.rng, shape, mode, TILE_BEATS, len(modes) % 2, table)
        modes.append((self.expected, mode))
        self.expected += len(values.expected)
        return values

    async def play(self, *modes: Mode) -> None:
        """Tiles of these modes in turn, with stalls that change from tile to tile."""
        chosen = [mode for mode in modes if not (mode.table and self.env.shape.data_width > 8)]
        beats = -(-self.pick(**VALUES) // self.env.shape.values)
        following = self.draw(chosen[0])
        await self.source.send(following.table)
        while self.expected < beats:
            values, following = following, self.draw(chosen[len(self.env.modes) % len(chosen)])
            self.source.stall, self.sink.stall = (int(x) for x in self.rng.choice([0, 0, 32, 160], 2))
            self.board.expect(values.expected)
            # The next tile's table, of the other bank, comes between this one's values.
            places = np.sort(self.rng.integers(STAGES, TILE_BEATS + 1, len(following.table)))
            await self.source.send(np.insert(values.beats, places, following.table, axis=0))
        self.board.expect(following.expected)
        await self.source.send(following.beats)
        self.sink.stall = 0
        await self.settle()

    async def settle(self) -> None:
        """Wait until the last beat has reached the scoreboard."""
        await self.source.drain()
        await Timer(200 * CLOCK_NS, "ns")

    async def finish(self) -> None:
        self.report.add_scoreboard(self.board)


@PostTest.test
async def double_rounding(self: PostTest) -> None:
    """TFLite's 31-bit multiplier and shift."""
    await self.play(Mode(LaneOp.NONE, Rescaling.DOUBLE_ROUNDING))


@PostTest.test
async def float64(self: PostTest) -> None:
    """A float64 factor, rounded once."""
    await self.play(Mode(LaneOp.NONE, Rescaling.FLOAT64))


@PostTest.test
async def rational(self: PostTest) -> None:
    """2**n / a, a from the entry."""
    await self.play(Mode(LaneOp.NONE, Rescaling.RATIONAL))


@PostTest.test
async def counts(self: PostTest) -> None:
    """2**n / a, a the window's places."""
    await self.play(Mode(LaneOp.NONE, Rescaling.RATIONAL, count_divide=True))


@PostTest.test
async def add(self: PostTest) -> None:
    """Sums and differences, rescaled in every way."""
    await self.play(*(Mode(LaneOp.ADD, rescaling) for rescaling in Rescaling))


@PostTest.test
async def multiply(self: PostTest) -> None:
    """Products, rescaled in every way."""
    await self.play(*(Mode(LaneOp.MULTIPLY, rescaling) for rescaling in Rescaling))


@PostTest.test
async def prelu(self: PostTest) -> None:
    """Slopes of negative values, the others rescaled in every way."""
    await self.play(*(Mode(LaneOp.PRELU, rescaling) for rescaling in Rescaling))


@PostTest.test
async def mixed(self: PostTest) -> None:
    """All modes one after the other, through tables and not: tiles of unlike kinds are inside at the same time."""
    modes = [
        Mode(lane_op, rescaling, table, count_divide)
        for lane_op in LaneOp
        for rescaling in Rescaling
        for table in (False, True)
        for count_divide in (False, True)
    ]
    order = np.random.default_rng(int(os.environ["COCOTB_RANDOM_SEED"])).permutation(len(modes))
    await self.play(*(modes[i] for i in order))


@PostTest.test
async def clear(self: PostTest) -> None:
    """clear_i and a reset leave nothing inside; what comes after them is whole."""
    for by_reset in (False, True):
        self.sink.stall = 0
        dropped = self.draw(Mode(LaneOp.NONE, Rescaling.RATIONAL))
        self.env.modes.pop()
        self.expected -= len(dropped.expected)
        job = self.source.enqueue(dropped.beats[:10])
        await job.done.wait()
        # The tenth beat is some clocks before the last stage when the first would come out.
        await self.source.drain()
        await drop(self.env, by_reset)
        values = self.draw(Mode(LaneOp.NONE, Rescaling.RATIONAL))
        self.board.expect(values.expected)
        await self.source.send(values.beats)
        await self.settle()


async def drop(env: PostEnv, by_reset: bool) -> None:
    """Drop what is inside the stage."""
    if by_reset:
        await env.reset()
    else:
        env.dut.clear_i.value = 1
        await Timer(CLOCK_NS, "ns")
        env.dut.clear_i.value = 0
