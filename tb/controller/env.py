# SPDX-License-Identifier: Apache-2.0
"""Environment of the controller's bench: stream agents, host port, MVU model, interrupt lines, lock-step scoreboard."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from random import Random

import numpy as np
from cocotb.triggers import ClockCycles, Event, Timer
from cocotb.utils import get_sim_time
from pyuvm import uvm_env, uvm_subscriber

from assay.golden.controller import memory_map
from assay.golden.controller.parameters import PIPELINE_STAGES, ControllerParameters
from assay.tb.agents.burst import NEVER, Beats
from assay.tb.agents.stream import StreamAgent, StreamConfig
from assay.tb.controller.coverage import ControllerCoverage
from assay.tb.controller.lockstep import Lockstep
from assay.tb.controller.ports import (
    BUS_REQUEST,
    BUS_RESPONSE,
    HOST_REQUEST,
    HOST_RESPONSE,
    HostPort,
    InterruptLines,
    MvuModel,
)
from assay.tb.controller.trace import TRACE_FORMAT
from assay.tb.report import Report

CLOCK_NS = 10  #: as controller_tb.sv makes it
SOURCES = ("host_req", "bus_rsp")
SINKS = ("host_rsp", "bus_req")
FORMATS = {
    "host_req": HOST_REQUEST,
    "host_rsp": HOST_RESPONSE,
    "bus_req": BUS_REQUEST,
    "bus_rsp": BUS_RESPONSE,
    "trace": TRACE_FORMAT,
}
HOLD, HOST_HARTS, RETIRED, CLOCKS, PC = (
    memory_map.HOST_BASE + register.address for register in memory_map.HOST_REGISTERS
)


def build_parameters() -> ControllerParameters:
    """Parameters of the build under test, from the runner."""
    return ControllerParameters.of_rtl(json.loads(os.environ.get("ASSAY_PARAMS", "{}")))


class Subscriber(uvm_subscriber):
    """Hands the trace to the scoreboard."""

    lockstep: Lockstep

    def write(self, item: Beats) -> None:
        self.lockstep.write(item)


class ControllerEnv(uvm_env):
    """Agents of all ports and what stands behind them. The ConfigDB gives ``dut`` and ``report``.

    Attributes:
        agents: stream name to `StreamAgent`.
        host: front end of the host port.
        lines: interrupt lines.
        mvus: what answers on the bus.
        lockstep: scoreboard of the retirement trace, with the golden simulator inside.
        failed: set by the first failure.
    """

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.cdb_get("dut")
        self.report: Report = self.cdb_get("report")
        self.params = build_parameters()
        self.agents: dict[str, StreamAgent] = {}
        roles = {**dict.fromkeys(SOURCES, "source"), **dict.fromkeys(SINKS, "sink"), "trace": "tap"}
        for name, role in roles.items():
            config = StreamConfig(
                self.dut,
                name,
                self.dut.clk_i,
                FORMATS[name],
                role,
                seed=self.report.seed,
                clock_ns=CLOCK_NS,
                on_error=self.fail,
            )
            self.cdb_set("config", config, name)
            self.agents[name] = StreamAgent(name, self)
        self.subscriber = Subscriber("trace_subscriber", self)
        self.coverage = ControllerCoverage(self.params)
        self.failed = Event()

    def connect_phase(self) -> None:
        super().connect_phase()
        bus = {name: agent.bus for name, agent in self.agents.items()}
        self.lines = InterruptLines(self.dut, self.params.harts)
        self.mvus = MvuModel(
            bus["bus_req"],
            bus["bus_rsp"],
            self.lines,
            self.params,
            Random(self.report.seed),
            CLOCK_NS,
            lambda text: self.fail(text, kind="bus", time_ns=get_sim_time("ns")),
        )
        self.lockstep = Lockstep(
            self.params, self.mvus, self.lines, self.coverage, on_mismatch=self.fail, clock_ns=CLOCK_NS
        )
        self.subscriber.lockstep = self.lockstep
        self.agents["trace"].ap.connect(self.subscriber.analysis_export)
        self.host = HostPort(bus["host_req"], bus["host_rsp"], clock_ns=CLOCK_NS, on_error=self.fail)
        # Answers are awaited, by Python or by a hart: they must not wait for a full burst.
        bus["host_rsp"].eager = True
        bus["bus_req"].eager = True

    @property
    def scoreboards(self) -> tuple[Lockstep, ...]:
        """All of them."""
        return (self.lockstep,)

    @property
    def all_harts(self) -> int:
        """The mask of all harts."""
        return (1 << self.params.harts) - 1

    @property
    def slots(self) -> int:
        """Clocks from a hart's turn to its next one at most."""
        return max(self.params.harts, PIPELINE_STAGES)

    def fail(self, failure: object, **details: object) -> None:
        """Record a failure and wake the test, which ends: what follows a first difference is noise."""
        self.report.fail(failure, **details)
        self.failed.set()

    async def reset(self, clocks: int = 3) -> None:
        """Reset device and bench: everything in flight is dropped, the memories keep their contents."""
        self.dut.rst_ni.value = 0
        self.lines.reset()
        await ClockCycles(self.dut.clk_i, clocks)
        self.host.flush()
        for name in ("bus_req", "bus_rsp", "trace"):
            self.agents[name].flush()
        self.mvus.reset()
        self.lockstep.reset()
        self.dut.rst_ni.value = 1
        await ClockCycles(self.dut.clk_i, 2)
        # The bench's clock counter starts again with the reset.
        self.lockstep.origin_ns = get_sim_time("ns") - int(self.dut.cycle_o.value) * CLOCK_NS

    def stall(self, probability: int) -> None:
        """Let every port stall with this probability in 1/256."""
        for name in (*SOURCES, *SINKS):
            self.agents[name].bus.stall = probability

    def unstall(self) -> None:
        self.stall(NEVER)

    def clock(self) -> int:
        """The bench's count of clocks."""
        return int(self.dut.cycle_o.value)

    # ---------------------------------------------------------------------------------------------
    # What the host does; every harts' state in the golden simulator follows
    # ---------------------------------------------------------------------------------------------
    async def load(self, image: np.ndarray) -> None:
        """Make both memories hold `image`, uint32[words]; all harts must be held."""
        base = memory_map.IMEM_BASE
        held = self.lockstep.memory()
        unlike = np.flatnonzero(held != image) if self.lockstep.loaded else np.arange(len(image))
        if len(unlike):
            _, errors = await self.host.access(base + 4 * unlike.astype(np.uint64), image[unlike], True)
            if errors.any():
                self.fail(
                    f"the host's write to 0x{base + 4 * int(unlike[int(np.argmax(errors))]):08x} was refused",
                    kind="host",
                    time_ns=get_sim_time("ns"),
                )
        self.lockstep.load(image)

    async def start(self, harts: int, entry: int) -> None:
        """Give the harts in this mask, which are held, a fresh start at `entry` and release them alone."""
        for hart in range(self.params.harts):
            if harts >> hart & 1:
                await self.host.write(PC + 4 * hart, [entry])
                self.lockstep.start(hart, entry, self.clock())
        await self.release(harts)

    async def release(self, harts: int) -> None:
        """Hold all harts but these."""
        self.lockstep.holding(harts, self.clock())
        await self.host.write(HOLD, [self.all_harts & ~harts])
        self.lockstep.held(harts, self.clock())

    async def stop(self) -> None:
        """Hold all harts and wait until everything that has retired is compared."""
        await self.release(0)
        await self.drain()

    async def drain(self) -> None:
        """Wait until everything in the pipeline has retired and is compared."""
        trace = self.agents["trace"].bus
        await Timer(CLOCK_NS * (4 * self.slots + 2 * self.mvus.latency + 60), "ns")
        trace.eager = True
        await Timer(CLOCK_NS * 16, "ns")
        trace.eager = False

    @contextlib.contextmanager
    def eager(self) -> Iterator[None]:
        """Meanwhile retirements reach the scoreboard at the first clock without one."""
        bus = self.agents["trace"].bus
        bus.eager = True
        try:
            yield
        finally:
            bus.eager = False
