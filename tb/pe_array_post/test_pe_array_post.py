# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of the PE array's output stage: one for each way its values can take, and one that clears it."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence

import cocotb
import numpy as np
from cocotb.triggers import Timer

from assay.golden.pe_array.registers import LaneOp, Rescaling
from assay.tb.agents.burst import BurstDriver, BurstMonitor
from assay.tb.pe_array_post.values import Mode, Shape, Values, tile
from assay.tb.report import Report
from assay.tb.scoreboard import StreamScoreboard

CLOCK_NS = 10
TILE_BEATS = 32
STAGES = 13  #: a bank's table is written when its last value has passed as many
VALUES = {"verilator": 200_000, "icarus": 5_000}  #: of a test


class Bench:
    """The stage between a source and a sink that stall, and a scoreboard."""

    def __init__(self, dut: object, name: str) -> None:
        parameters = json.loads(os.environ["ASSAY_PARAMS"])
        self.shape = Shape(
            parameters["Rows"], parameters["Columns"], parameters["DataWidth"], parameters["Lanes"]
        )
        self.dut = dut
        seed = int(os.environ["COCOTB_RANDOM_SEED"])
        self.rng = np.random.default_rng(zlib.crc32(f"{seed}/{name}".encode()))
        self.report = Report(f"pe_array_post {name}", f"{cocotb.SIM_NAME} {cocotb.SIM_VERSION}", seed)
        self.modes: list[tuple[int, Mode]] = []  #: first beat and mode of every tile
        self.board = StreamScoreboard(
            "out",
            self.shape.outputs,
            locate=self.locate,
            on_mismatch=self.report.fail,
            clock_ns=CLOCK_NS,
            values_per_beat=self.shape.values,
        )
        options = {"seed": seed, "clock_ns": CLOCK_NS, "on_error": self.report.fail}
        self.source = BurstDriver(dut, "in", dut.clk_i, self.shape.inputs, **options)
        del options["clock_ns"]
        self.sink = BurstMonitor(
            dut, "out", dut.clk_i, self.shape.outputs, callback=self.board.write, **options
        )
        self.expected = 0

    async def reset(self) -> None:
        self.dut.clear_i.value = 0
        self.dut.rst_ni.value = 0
        await Timer(35, "ns")
        self.dut.rst_ni.value = 1

    def locate(self, beat: int) -> str:
        first, mode = next((pair for pair in reversed(self.modes) if pair[0] <= beat), (0, "no tile"))
        return f"tile of {mode}, beat {beat - first} of it"

    def draw(self, mode: Mode) -> Values:
        """The next tile."""
        table = self.rng.integers(0, 1 << self.shape.data_width, 1 << self.shape.data_width)
        values = tile(self.rng, self.shape, mode, TILE_BEATS, len(self.modes) % 2, table)
        self.modes.append((self.expected, mode))
        self.expected += len(values.expected)
        return values

    async def play(self, modes: Sequence[Mode]) -> None:
        """Tiles of these modes in turn, with stalls that change from tile to tile."""
        simulator = "verilator" if cocotb.SIM_NAME.lower().startswith("verilator") else "icarus"
        beats = -(-VALUES[simulator] // self.shape.values)
        following = self.draw(modes[0])
        await self.source.send(following.table)
        while self.expected < beats and self.report.failures == []:
            values, following = following, self.draw(modes[len(self.modes) % len(modes)])
            self.source.stall, self.sink.stall = (int(x) for x in self.rng.choice([0, 0, 32, 160], 2))
            self.board.expect(values.expected)
            # The next tile's table, of the other bank, comes between this one's values.
            places = np.sort(self.rng.integers(STAGES, TILE_BEATS + 1, len(following.table)))
            await self.source.send(np.insert(values.beats, places, following.table, axis=0))
        self.board.expect(following.expected)
        await self.source.send(following.beats)
        self.sink.stall = 0
        await self.source.drain()
        await Timer(200 * CLOCK_NS, "ns")
        self.report.add_scoreboard(self.board)


async def run(dut: object, name: str, *modes: Mode) -> None:
    bench = Bench(dut, name)
    with bench.report as report:
        await bench.reset()
        await bench.play([mode for mode in modes if not (mode.table and bench.shape.data_width > 8)])
    assert report.passed, report.failures[0]["message"]


@cocotb.test
async def double_rounding(dut):
    """TFLite's 31-bit multiplier and shift."""
    await run(dut, "double_rounding", Mode(LaneOp.NONE, Rescaling.DOUBLE_ROUNDING))


@cocotb.test
async def float64(dut):
    """A float64 factor, rounded once."""
    await run(dut, "float64", Mode(LaneOp.NONE, Rescaling.FLOAT64))


@cocotb.test
async def rational(dut):
    """2**n / a, a from the entry."""
    await run(dut, "rational", Mode(LaneOp.NONE, Rescaling.RATIONAL))


@cocotb.test
async def counts(dut):
    """2**n / a, a the window's places."""
    await run(dut, "counts", Mode(LaneOp.NONE, Rescaling.RATIONAL, count_divide=True))


@cocotb.test
async def add(dut):
    """Sums and differences, rescaled in every way."""
    await run(dut, "add", *(Mode(LaneOp.ADD, rescaling) for rescaling in Rescaling))


@cocotb.test
async def multiply(dut):
    """Products, rescaled in every way."""
    await run(dut, "multiply", *(Mode(LaneOp.MULTIPLY, rescaling) for rescaling in Rescaling))


@cocotb.test
async def prelu(dut):
    """Slopes of negative values, the others rescaled in every way."""
    await run(dut, "prelu", *(Mode(LaneOp.PRELU, rescaling) for rescaling in Rescaling))


@cocotb.test
async def mixed(dut):
    """All modes one after the other, through tables and not: tiles of unlike kinds are inside at the same time."""
    modes = [
        Mode(lane_op, rescaling, table, count_divide)
        for lane_op in LaneOp
        for rescaling in Rescaling
        for table in (False, True)
        for count_divide in (False, True)
    ]
    order = np.random.default_rng(int(os.environ["COCOTB_RANDOM_SEED"])).permutation(len(modes))
    await run(dut, "mixed", *(modes[i] for i in order))


@cocotb.test
async def clear(dut):
    """clear_i and a reset leave nothing inside; what comes after them is whole."""
    bench = Bench(dut, "clear")
    with bench.report as report:
        await bench.reset()
        for by_reset in (False, True):
            bench.sink.stall = 0
            dropped = bench.draw(Mode(LaneOp.NONE, Rescaling.RATIONAL))
            bench.modes.pop()
            bench.expected -= len(dropped.expected)
            job = bench.source.enqueue(dropped.beats[:10])
            await job.done.wait()
            # The tenth beat is some clocks before the last stage when the first would come out.
            await bench.source.drain()
            await drop(bench, by_reset)
            values = bench.draw(Mode(LaneOp.NONE, Rescaling.RATIONAL))
            bench.board.expect(values.expected)
            await bench.source.send(values.beats)
            await bench.source.drain()
            await Timer(200 * CLOCK_NS, "ns")
        report.add_scoreboard(bench.board)
    assert report.passed, report.failures[0]["message"]


async def drop(bench: Bench, by_reset: bool) -> None:
    if by_reset:
        bench.dut.rst_ni.value = 0
        bench.source.flush()
        bench.sink.flush()
        await Timer(3 * CLOCK_NS, "ns")
        bench.dut.rst_ni.value = 1
    else:
        bench.dut.clear_i.value = 1
        await Timer(CLOCK_NS, "ns")
        bench.dut.clear_i.value = 0
