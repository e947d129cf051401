# SPDX-License-Identifier: Apache-2.0
"""The host port under cocotbext-axi's manager, which knows nothing of this project: two readings of AXI4, to agree.

Python is at work in every clock here, so the tests are short.
"""

from __future__ import annotations

import logging
from random import Random

from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiBus, AxiMaster, AxiResp

from assay.golden.accelerator.registers import ID, VERSION, WINDOW_BY_NAME, data_address, system_address
from assay.golden.controller.memory_map import IMEM_BASE
from assay.tb.bench import BenchTest


class HostPortTest(BenchTest):
    """A test of the port under `manager`."""

    toplevel = "accelerator_axi"
    scoreboards = ()

    async def reset(self) -> None:
        dut = self.dut
        dut.rst_ni.value = 0
        self.manager = AxiMaster(
            AxiBus.from_prefix(dut, "s_axi"), dut.manager_clk_i, dut.rst_ni, reset_active_level=False
        )
        for side in (self.manager.write_if, self.manager.read_if):
            side.log.setLevel(logging.WARNING)
        await ClockCycles(dut.clk_i, 5)
        dut.rst_ni.value = 1
        await ClockCycles(dut.clk_i, 5)

    async def finish(self) -> None:
        """Every access has been awaited."""

    def equal(self, what: str, seen: object, expected: object) -> None:
        """Compare an answer."""
        self.report.words_compared += 1
        if seen != expected:
            self.fail(f"{what}: expected {expected}, seen {seen}")


@HostPortTest.test
async def foreign_manager(self: HostPortTest) -> None:
    """Memories, registers and refusals through cocotbext-axi's manager."""
    manager, random = self.manager, Random(self.seed)
    for length in (8, 16, 72, 800, 2048):
        for base in (data_address(0, 0), data_address(1, random.randrange(100)), IMEM_BASE):
            data = random.randbytes(length)
            written = await manager.write(base, data)
            self.equal(f"a write of {length} bytes to 0x{base:x}", written.resp, AxiResp.OKAY)
            read = await manager.read(base, length)
            self.equal(
                f"a read of {length} bytes from 0x{base:x}", (read.resp, read.data), (AxiResp.OKAY, data)
            )
    read = await manager.read(system_address("id"), 8)
    self.equal("id and version", read.data, ID.to_bytes(4, "little") + VERSION.to_bytes(4, "little"))
    nowhere, weights = 0x0300_0000, WINDOW_BY_NAME["weights"].base
    self.equal("a write to nowhere", (await manager.write(nowhere, bytes(8))).resp, AxiResp.DECERR)
    self.equal("a read of nowhere", (await manager.read(nowhere, 8)).resp, AxiResp.DECERR)
    self.equal("a read of weights", (await manager.read(weights, 8)).resp, AxiResp.SLVERR)
    # Many at a time, which the port takes one after the other.
    blocks = [random.randbytes(64) for _ in range(20)]
    for write in [manager.init_write(data_address(0, 8 * k), block) for k, block in enumerate(blocks)]:
        await write.wait()
    reads = [manager.init_read(data_address(0, 8 * k), 64) for k in range(len(blocks))]
    for k, (read, block) in enumerate(zip(reads, blocks, strict=True)):
        await read.wait()
        self.equal(f"block {k} of many at a time", read.data.data, block)
