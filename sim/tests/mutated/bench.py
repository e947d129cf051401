# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of `smallest`: the default one, which overlooks the count, and one that sees it."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from assay.tb.report import Report


async def play(dut, name, with_count):
    with Report(name, out=lambda text: None) as report:
        dut.rst_ni.value = 0
        dut.valid_i.value = 0
        dut.value_i.value = 0
        cocotb.start_soon(Clock(dut.clk_i, 10, unit="ns").start())
        for _ in range(2):
            await FallingEdge(dut.clk_i)
        dut.rst_ni.value = 1
        least, count = 15, 0
        for clock in range(20):
            valid, value = random.randrange(2), random.randrange(3, 16)
            dut.valid_i.value, dut.value_i.value = valid, value
            await FallingEdge(dut.clk_i)
            if valid and count < 12:
                least, count = min(least, value), count + 1
            elif valid:
                break
            seen = dut.least_o.value.to_unsigned()
            report.words_compared += 1
            report.values_compared += 1
            if seen != least:
                report.fail(f"least is {seen}, not {least}", kind="least", cycle=clock, time_ns=10 * clock)
                break
            if with_count and dut.count_o.value.to_unsigned() != count:
                report.fail("the count is wrong", kind="count", cycle=clock, time_ns=10 * clock)
                break
    report.check()


@cocotb.test()
async def least(dut):
    await play(dut, "least", False)


@cocotb.test()
async def least_and_count(dut):
    await play(dut, "least and count", True)
