# SPDX-License-Identifier: Apache-2.0
"""The ways that an item of a regression can go."""

import os
import signal

import cocotb
import psutil
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Timer

from assay.tb.coverage import CoverGroup, CoverPoint
from assay.tb.report import Report

SEED = "COCOTB_RANDOM_SEED"


async def begun(dut):
    """The design out of reset."""
    cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
    dut.rst_ni.value = 0
    await ClockCycles(dut.clk_i, 2)
    dut.rst_ni.value = 1


async def played(dut, report, right=True):
    """A few clocks, compared."""
    await begun(dut)
    await ClockCycles(dut.clk_i, 6)
    report.values_compared = report.words_compared = 1
    report.clocks = 8
    if not right:
        report.fail(
            f"count is {dut.count_o.value.to_unsigned()} with seed {os.environ[SEED]}",
            kind="count",
            time_ns=80,
        )


@cocotb.test()
async def counts(dut):
    """Passes."""
    with Report("tick") as report:
        await played(dut, report)
    report.check()


@cocotb.test()
async def fails_sometimes(dut):
    """Fails with each third seed."""
    with Report("tick") as report:
        await played(dut, report, right=int(os.environ[SEED]) % 3 != 0)
    report.check()


@cocotb.test()
async def covers_a_digit(dut):
    """Covers the last digit of the seed."""
    group = CoverGroup("digits", [CoverPoint("digit", range(10))])
    group.sample(digit=int(os.environ[SEED]) % 10)
    with Report("tick") as report:
        await played(dut, report)
        report.add_coverage(group)
    report.check()


@cocotb.test()
async def never_ends(dut):
    """A simulator that hangs."""
    await begun(dut)
    while True:
        await Timer(1, "ms")


@cocotb.test()
async def kills_its_worker(dut):
    """Takes the worker of Dask with it that began it."""
    for each in psutil.Process().parents():
        if "dask" in " ".join(each.cmdline()):
            each.send_signal(signal.SIGKILL)
            break
    await Timer(1, "s")


@cocotb.test()
async def kills_its_process(dut):
    """Takes the process with it that runs items, but not the worker."""
    for each in psutil.Process().parents():
        if "assay.sim.regress.runner" in each.cmdline():
            each.send_signal(signal.SIGKILL)
            break
    await Timer(1, "s")
