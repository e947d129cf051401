# SPDX-License-Identifier: Apache-2.0
"""Environment of the host side's bench: channels and bus behind adapters, a scoreboard at the record of a clock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from cocotb.triggers import RisingEdge, Timer
from cocotb.utils import get_sim_time
from pyuvm import uvm_component, uvm_driver, uvm_sequence_item

from assay.tb.accelerator_host.coverage import HostCoverage
from assay.tb.accelerator_host.host_cases import recorded_step
from assay.tb.accelerator_host.record import record_format
from assay.tb.accelerator_host.scoreboard import PortScoreboard
from assay.tb.accelerator_host.state import HOST_STATES
from assay.tb.accelerator_host.stimulus import Step
from assay.tb.agents.axi import CHANNELS, channel_formats
from assay.tb.agents.burst import BurstDriver, stream_seed
from assay.tb.agents.inside import Inside
from assay.tb.bench import BenchStopped
from assay.tb.controller.ports import BUS_REQUEST, BUS_RESPONSE
from assay.tb.env import CLOCK_NS, Stream, StreamEnv
from assay.tb.mvu_array.env import build_parameters

__all__ = ["HostEnv", "StepDriver", "StepItem"]

_LOOK_CLOCKS = 16
_PATIENCE_CLOCKS = 2_000  #: in which nothing passes anywhere
_SOURCE_CLOCKS = 50_000  #: a request may wait for long bursts before it, whose every beat may stall


class HostEnv(StreamEnv):
    """The manager, the harts, and the golden port beside the device's."""

    def __init__(self, name: str, parent: uvm_component) -> None:
        super().__init__(name, parent)
        self.params = build_parameters()

    def table(self) -> Mapping[str, Stream]:
        self.coverage = HostCoverage()
        self.board = PortScoreboard(self.params, self.coverage, self.fail)
        channels = {
            # The scoreboard has what passes from the record.
            name: Stream(CHANNELS[name], payload, lambda beats: None)
            if CHANNELS[name] == "sink"
            else Stream(CHANNELS[name], payload, options={"timeout_clocks": _SOURCE_CLOCKS})
            for name, payload in channel_formats().items()
        }
        return {
            **channels,
            "hart": Stream("source", BUS_REQUEST, options={"timeout_clocks": _SOURCE_CLOCKS}),
            "back": Stream("sink", BUS_RESPONSE, lambda beats: None),
            "record": Stream("tap", record_format(self.params), self.board.write, eager=True),
        }

    def connect_phase(self) -> None:
        super().connect_phase()
        self.dut.units_stall_i.value = 0
        self.dut.units_seed_i.value = stream_seed(self.report.seed, "units")
        self.dut.legal_i.value = 1

    def waiting(self) -> str:
        return Inside(self.dut).states("dut", HOST_STATES)

    def flush(self) -> None:
        super().flush()
        self.board.flush()

    def set_origin(self, origin_ns: float) -> None:
        super().set_origin(origin_ns)
        self.board.origin_ns = origin_ns

    async def set_clocks(self, value: int) -> None:
        """Let the register `clocks` go on from a value, such as no run reaches."""
        await RisingEdge(self.dut.clk_i)
        await Timer(1, "ns")
        self.dut.dut.u_registers.clocks_q.value = value
        clock = int(self.dut.cycle_o.value)
        self.board.clocks.append((clock, value - clock))

    def sources(self) -> list[BurstDriver]:
        """The drivers of everything that is asked."""
        return [self.bus[name] for name in ("aw", "w", "ar", "hart")]

    def begin(self, step: Step) -> None:
        """Hand a step over."""
        self.dut.legal_i.value = int(step.legal)
        for name, stall in step.stalls.items():
            if name == "units":
                self.dut.units_stall_i.value = stall
            else:
                self.bus[name].stall = stall
        for name, requests in (("aw", step.writes), ("ar", step.reads)):
            if requests:
                ids, addresses, beats, sizes, bursts = (
                    np.array(each, np.uint64) for each in zip(*requests, strict=True)
                )
                self.bus[name].enqueue(
                    self.formats[name].pack(
                        addr=addresses, len=beats - np.uint64(1), size=sizes, burst=bursts, id=ids
                    )
                )
        if step.beats:
            data, strobes, last = (np.array(each, np.uint64) for each in zip(*step.beats, strict=True))
            self.bus["w"].enqueue(self.formats["w"].pack(data=data, strb=strobes, last=last))
        if step.harts:
            columns = {
                "hart": [each.hart for each in step.harts],
                "mvu": [each.unit for each in step.harts],
                "addr": [each.address for each in step.harts],
                "write": [int(each.write) for each in step.harts],
                "wdata": [each.data for each in step.harts],
            }
            self.bus["hart"].enqueue(
                BUS_REQUEST.pack(**{name: np.array(values, np.uint64) for name, values in columns.items()})
            )

    async def settle(self) -> None:
        """Wait until everything is answered; a failure when nothing moves any more."""
        moves, since = -1, 0
        while not self.failed.is_set():
            await Timer(CLOCK_NS * _LOOK_CLOCKS, "ns")
            if all(source.idle for source in self.sources()) and not self.board.outstanding:
                return
            seen = self.board.passed
            since = 0 if seen != moves else since + _LOOK_CLOCKS
            moves = seen
            if since > _PATIENCE_CLOCKS:
                waits = self.board.outstanding or ["a request that is not taken"]
                self.fail(
                    f"nothing has passed for {_PATIENCE_CLOCKS:,} clocks: {'; '.join(waits)}",
                    kind="hang",
                    time_ns=get_sim_time("ns") - since * CLOCK_NS,
                )


class StepItem(uvm_sequence_item):
    """A `Step` as an item."""

    def __init__(self, name: str, step: Step) -> None:
        super().__init__(name)
        self.step = step


class StepDriver(uvm_driver):
    """Plays steps one after the other. The ConfigDB gives ``env``."""

    def build_phase(self) -> None:
        super().build_phase()
        self.env: HostEnv = self.cdb_get("env")

    async def run_phase(self) -> None:
        while True:
            item: StepItem = await self.seq_item_port.get_next_item()
            self.env.report.keep_step(partial(recorded_step, item.step))
            self.env.begin(item.step)
            await self.env.settle()
            if self.env.failed.is_set():
                return  # the test has been woken by the failure itself
            self.seq_item_port.item_done()

    async def finish(self) -> None:
        """Every step is settled before the next one."""
        if self.env.failed.is_set():
            raise BenchStopped
