# SPDX-License-Identifier: Apache-2.0
"""A last cocotb test for runs that write the waves of a failure. It lets time pass until their window ends.

Without it, cocotb would end the simulation in the very time step of the failure, before that step is written. The
bench's clock has stopped by then, so the waves show the failing edge and the state after it.
"""

import os

import cocotb
from cocotb.triggers import Timer
from cocotb.utils import get_sim_time


@cocotb.test(stage=2**31)
async def linger(dut):
    _, end_ns = os.environ["ASSAY_WAVES_WINDOW"].split()
    await Timer(max(1, int(end_ns) - int(get_sim_time("ns"))), unit="ns")
