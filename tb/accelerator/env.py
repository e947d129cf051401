# SPDX-License-Identifier: Apache-2.0
"""Environment of the accelerator's bench: the host's AXI port, and the blocks' scoreboards watching inside."""

from __future__ import annotations

from collections.abc import Callable

import cocotb
from cocotb.triggers import ClockCycles, Event, Timer
from cocotb.utils import get_sim_time
from pyuvm import uvm_component, uvm_env

from assay.golden.codegen.plan import Plan
from assay.tb.accelerator.coverage import AcceleratorCoverage
from assay.tb.accelerator.host import Host
from assay.tb.accelerator.passive import (
    ACCESSES,
    HOST_WRITES,
    JOB_END,
    LINES,
    BusLog,
    HartWatch,
    Lines,
    MvuWatch,
)
from assay.tb.accelerator.tensors import TensorCollector
from assay.tb.agents.axi import CHANNELS, AxiManager, channel_formats
from assay.tb.agents.burst import Beats
from assay.tb.agents.interrupt import Interrupt
from assay.tb.agents.stream import StreamAgent, StreamConfig
from assay.tb.controller.lockstep import Lockstep
from assay.tb.controller.ports import BUS_REQUEST, BUS_RESPONSE
from assay.tb.controller.trace import TRACE_FORMAT
from assay.tb.mvu.env import Subscriber, port_formats
from assay.tb.mvu_array.env import build_parameters
from assay.tb.report import Report
from assay.tb.scoreboard import StreamScoreboard

__all__ = ["CLOCK_NS", "AcceleratorEnv"]

CLOCK_NS = 10  #: as accelerator_tb.sv makes it
_FLUSH_CLOCKS = 24  #: in which every tap has handed over what it has


class AcceleratorEnv(uvm_env):
    """The host, and what watches. The ConfigDB gives ``dut`` and ``report``.

    Attributes:
        axi, host: the port and who uses it.
        mvus: golden MVUs at the units' register ports and traces.
        harts: lock-step of the controller.
        collector: of the tensors of the plan that runs; None before the first.
        on_reset: called in every reset.
        external: mask of the external interrupt lines, see `set_external`.
    """

    def __init__(self, name: str, parent: uvm_component) -> None:
        super().__init__(name, parent)
        self.params = build_parameters()
        self.failed = Event()
        self.collector: TensorCollector | None = None
        self.on_reset: Callable[[], None] = lambda: None

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.cdb_get("dut")
        self.report: Report = self.cdb_get("report")
        mvu_formats = port_formats(self.params.mvu)
        every = range(self.params.mvus)
        self.formats = {
            **channel_formats(),
            **{f"u{m}_trc": mvu_formats["trc"] for m in every},
            **{f"u{m}_job": JOB_END for m in every},
            "regs": ACCESSES,
            "breq": BUS_REQUEST,
            "brsp": BUS_RESPONSE,
            "hreq": HOST_WRITES,
            "irqs": LINES,
            "trace": TRACE_FORMAT,
        }
        self.agents: dict[str, StreamAgent] = {}
        for name, beat_format in self.formats.items():
            config = StreamConfig(
                self.dut,
                name,
                self.dut.clk_i,
                beat_format,
                CHANNELS.get(name, "tap"),
                seed=self.report.seed,
                clock_ns=CLOCK_NS,
                on_error=self.fail,
            )
            self.cdb_set("config", config, name)
            self.agents[name] = StreamAgent(name, self)
        self.subscribers = {
            name: Subscriber(f"{name}_subscriber", self) for name in self.formats if name not in CHANNELS
        }

    def connect_phase(self) -> None:
        super().connect_phase()
        bus = {name: agent.bus for name, agent in self.agents.items()}
        self.axi = AxiManager(
            {name: bus[name] for name in ("aw", "w", "ar")},
            {name: bus[name] for name in ("b", "r")},
            clock_ns=CLOCK_NS,
            on_error=self.fail,
        )
        self.irq = Interrupt(self.dut.host_irq_o, clock_ns=CLOCK_NS)
        self.host = Host(self.axi, self.irq, self.params, self.clock)
        self.host.released_clock = lambda: int(self.dut.release_clock_o.value)
        self.host.irq_clock = lambda: int(self.dut.irq_clock_o.value)
        self.coverage = AcceleratorCoverage(self.params.controller)
        self.mvus = MvuWatch(
            self.params.mvus,
            self.params.mvu,
            self.formats["u0_trc"],
            self.coverage.mvu,
            self.fail,
            CLOCK_NS,
        )
        log, lines = BusLog(self.params.controller), Lines(self.params.mvus)
        self.lockstep = Lockstep(
            self.params.controller,
            log,
            lines,
            self.coverage.controller,
            on_mismatch=self.fail,
            clock_ns=CLOCK_NS,
        )
        self.harts = HartWatch(self.lockstep, log, lines, self.fail)
        self.host.on_load, self.host.on_write = self.mvus.load, self.mvus.write
        self.host.settle = self.settle
        receivers: dict[str, Callable[[Beats], None]] = {
            "regs": self.mvus.access,
            "breq": self.harts.requests,
            "brsp": self.harts.responses,
            "hreq": self.harts.host_writes,
            "irqs": self.harts.line_changes,
            "trace": self._retired,
        }
        for m in range(self.params.mvus):
            receivers[f"u{m}_trc"] = self._trace_of(m)
            receivers[f"u{m}_job"] = lambda beats, m=m: self.mvus.job_ended(m, beats)
        for name, receive in receivers.items():
            self.subscribers[name].receive = receive
            self.agents[name].ap.connect(self.subscribers[name].analysis_export)
        self._batch = Event()
        self._set_external(0)

    def start_of_simulation_phase(self) -> None:
        super().start_of_simulation_phase()
        cocotb.start_soon(self._compare_retirements())

    @property
    def scoreboards(self) -> tuple[StreamScoreboard | Lockstep, ...]:
        """All of them."""
        return (*(unit.trace for unit in self.mvus.units), self.lockstep)

    def clock(self) -> int:
        """The bench's count of clocks."""
        return int(self.dut.cycle_o.value)

    def fail(self, failure: object, **details: object) -> None:
        """Record a failure and wake the test, which ends: what follows a first difference is noise."""
        self.report.fail(failure, **details)
        self.failed.set()

    def begin(self, plan: Plan) -> None:
        """A run of this plan begins."""
        if self.collector is None or self.collector.plan is not plan:
            self.collector = TensorCollector(plan)
        self.collector.restart()
        self.mvus.begin(self.collector.steps)

    async def reset(self) -> None:
        """Reset device and bench: everything in flight is dropped, the memories keep their contents."""
        self.dut.rst_ni.value = 0
        self._set_external(0)
        await ClockCycles(self.dut.clk_i, 3)
        self.axi.flush()
        for name, agent in self.agents.items():
            if name not in CHANNELS:
                agent.flush()
        self.mvus.reset()
        self.harts.reset()
        self.lockstep.reset()
        self.host.forget()
        self.on_reset()
        self.dut.rst_ni.value = 1
        await ClockCycles(self.dut.clk_i, 2)
        # The bench's clock counter starts again with the reset.
        origin = get_sim_time("ns") - int(self.dut.cycle_o.value) * CLOCK_NS
        self.mvus.origin_ns = origin
        for scoreboard in self.scoreboards:
            scoreboard.origin_ns = origin

    def stall(self, probability: int) -> None:
        """Let every channel of the host's port stall with this probability in 1/256."""
        for name in CHANNELS:
            self.agents[name].bus.stall = probability

    def _set_external(self, mask: int) -> None:
        self.external = mask
        self.dut.ext_irq_i.value = mask

    def set_external(self, mask: int) -> None:
        """Levels of the harts' external interrupt lines."""
        self._set_external(mask)

    async def settle(self) -> None:
        """Wait until everything so far has reached its scoreboard."""
        taps = [agent.bus for name, agent in self.agents.items() if name not in CHANNELS]
        for tap in taps:
            tap.eager = True
        for _ in range(40):
            await Timer(CLOCK_NS * _FLUSH_CLOCKS, "ns")
            if not self.harts.batches and not any(unit.trace.outstanding for unit in self.mvus.units):
                break
        for tap in taps:
            tap.eager = False

    def _trace_of(self, mvu: int) -> Callable[[Beats], None]:
        def receive(beats: Beats) -> None:
            self.mvus.units[mvu].trace.write(beats)
            if self.collector is not None:
                self.collector.beats(mvu, self.formats[f"u{mvu}_trc"], beats)

        return receive

    def _retired(self, beats: Beats) -> None:
        self.harts.batches.append(beats)
        self._batch.set()

    async def _compare_retirements(self) -> None:
        """Compare a batch when everything else that happened until then is known."""
        others = [self.agents[name].bus for name in ("breq", "brsp", "hreq", "irqs")]
        while True:
            await self._batch.wait()
            self._batch.clear()
            many = len(self.harts.batches)
            before = [tap.eager for tap in others]
            for tap in others:
                tap.eager = True
            await Timer(CLOCK_NS * _FLUSH_CLOCKS, "ns")
            for tap, eager in zip(others, before, strict=True):
                tap.eager = eager
            self.harts.process(min(many, len(self.harts.batches)))
            if self.harts.batches:
                self._batch.set()
