# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of the counter: each is one way a run can go."""

import json
import os
import random
import signal
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer, with_timeout
from cocotb.utils import get_sim_time

from assay.tb.report import Report

started: list[str] = []
"""The tests that this process has started."""


async def start(dut):
    started.append(os.environ["COCOTB_TEST_FILTER"])
    dut.enable_i.value = 0
    dut.error_i.value = 0
    dut.finish_i.value = dut.fatal_i.value = dut.stop_i.value = 0
    dut.rst_ni.value = 0
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    await ClockCycles(dut.clk_i, 3)
    dut.rst_ni.value = 1
    dut.enable_i.value = 1


def leave_summary(**summary):
    (Path(os.environ["ASSAY_RUN_DIR"]) / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


@cocotb.test()
async def counts(dut):
    """Counts, and tells what the runner gave it."""
    await start(dut)
    await ClockCycles(dut.clk_i, 20)
    assert dut.count_o.value.to_unsigned() == 19
    assert len(dut.count_o) == json.loads(os.environ["ASSAY_PARAMS"])["Width"]
    leave_summary(
        values_compared=20,
        clocks=23,
        ideal_clocks=20,
        coverage={"values": 50.0},
        drawn=random.randrange(2**32),
        told=sorted(name for name in os.environ if name.startswith("ASSAY_")),
        never_reset=str(dut.never_reset_o.value),
        started=started,
    )


@cocotb.test()
async def fails_at_5000_ns(dut):
    await start(dut)
    await with_timeout(Timer(4990, "ns"), 1, "ms")
    leave_summary(
        values_compared=7,
        failures=[
            {"time_ns": get_sim_time("ns"), "message": "count wrong\nat once", "expected": "1", "seen": "2"}
        ],
    )
    raise AssertionError("wrong value")


@cocotb.test()
async def raises_hdl_error(dut):
    """Passes for cocotb, while the HDL complains."""
    await start(dut)
    dut.error_i.value = 1
    await ClockCycles(dut.clk_i, 1)
    dut.error_i.value = 0
    await ClockCycles(dut.clk_i, 5)


@cocotb.test()
async def raises_expected_hdl_error(dut):
    await start(dut)
    dut.error_i.value = 1
    await ClockCycles(dut.clk_i, 2)
    leave_summary(values_compared=1, expected_errors=["error_i is high"])


@cocotb.test()
async def compares_nothing(dut):
    """Passes for cocotb, without a word of what it compared."""
    await start(dut)


@cocotb.test()
async def misses_expected_hdl_error(dut):
    await start(dut)
    leave_summary(expected_errors=["error_i is high"])


@cocotb.test()
async def finishes_early(dut):
    """The HDL calls $finish while a test waits."""
    with Report("counter", out=lambda text: None):
        await start(dut)
        dut.finish_i.value = 1
        await ClockCycles(dut.clk_i, 100)


@cocotb.test()
async def ends_fatally(dut):
    """The HDL calls $fatal while a test waits."""
    with Report("counter", out=lambda text: None):
        await start(dut)
        dut.fatal_i.value = 1
        await ClockCycles(dut.clk_i, 100)


@cocotb.test()
async def stops_early(dut):
    """The HDL calls $stop while a test waits."""
    with Report("counter", out=lambda text: None):
        await start(dut)
        dut.stop_i.value = 1
        await ClockCycles(dut.clk_i, 100)


@cocotb.test()
async def monitor_raises(dut):
    """A task that nobody awaits fails."""

    async def monitor():
        await ClockCycles(dut.clk_i, 2)
        raise ValueError("no such channel")

    with Report("counter", out=lambda text: None):
        await start(dut)
        cocotb.start_soon(monitor())
        await ClockCycles(dut.clk_i, 100)


@cocotb.test()
async def never_ends(dut):
    await start(dut)
    while True:
        await Timer(1, "ms")


@cocotb.test()
async def crashes(dut):
    os.kill(os.getpid(), signal.SIGSEGV)
    await Timer(1, "ns")
