# SPDX-License-Identifier: Apache-2.0
"""Environment of the accelerator's bench: the host's AXI port, and the blocks' scoreboards watching inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import cocotb
from cocotb.triggers import Event, Timer
from pyuvm import uvm_component

from assay.golden.accelerator.plan import Plan
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
from assay.tb.accelerator_host.state import HOST_STATES
from assay.tb.agents.axi import CHANNELS, AxiManager, channel_formats
from assay.tb.agents.burst import Beats
from assay.tb.agents.inside import Inside
from assay.tb.agents.interrupt import Interrupt
from assay.tb.controller.library import loaded
from assay.tb.controller.lockstep import Lockstep
from assay.tb.controller.ports import BUS_REQUEST, BUS_RESPONSE
from assay.tb.controller.trace import TRACE_FORMAT
from assay.tb.debug import ACTIVE
from assay.tb.env import CLOCK_NS, Stream, StreamEnv
from assay.tb.mvu.debug import unit_record
from assay.tb.mvu.env import look_for, port_formats
from assay.tb.mvu.state import crossbar_waits, unit_waits
from assay.tb.mvu_array.env import build_parameters
from assay.tb.scoreboard import StreamScoreboard

__all__ = ["AcceleratorEnv"]

_FLUSH_CLOCKS = 24  #: in which every tap has handed over what it has


class AcceleratorEnv(StreamEnv):
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
        self.collector: TensorCollector | None = None
        self.on_reset: Callable[[], None] = lambda: None

    def table(self) -> Mapping[str, Stream]:
        mvu = port_formats(self.params.mvu)
        every = range(self.params.mvus)
        return {
            **{name: Stream(CHANNELS[name], payload) for name, payload in channel_formats().items()},
            **{f"u{m}_trc": Stream("tap", mvu["trc"], partial(self._word_written, m)) for m in every},
            **{f"u{m}_job": Stream("tap", JOB_END, partial(self._job_ended, m)) for m in every},
            "regs": Stream("tap", ACCESSES, lambda beats: self.mvus.access(beats)),
            "breq": Stream("tap", BUS_REQUEST, lambda beats: self.harts.requests(beats)),
            "brsp": Stream("tap", BUS_RESPONSE, lambda beats: self.harts.responses(beats)),
            "hreq": Stream("tap", HOST_WRITES, lambda beats: self.harts.host_writes(beats)),
            "irqs": Stream("tap", LINES, lambda beats: self.harts.line_changes(beats)),
            "trace": Stream("tap", TRACE_FORMAT, self._retired),
        }

    def connect_phase(self) -> None:
        super().connect_phase()
        self.axi = AxiManager(
            {name: self.bus[name] for name in ("aw", "w", "ar")},
            {name: self.bus[name] for name in ("b", "r")},
            clock_ns=CLOCK_NS,
            on_error=self.fail,
        )
        self.irq = Interrupt(self.dut.host_irq_o, clock_ns=CLOCK_NS)
        self.host = Host(self.axi, self.irq, self.params, self.clock)
        self.host.released_clock = lambda: int(self.dut.release_clock_o.value)
        self.host.irq_clock = lambda: int(self.dut.irq_clock_o.value)
        self.coverage = AcceleratorCoverage(self.params.controller, loaded())
        self.mvus = MvuWatch(
            self.params.mvus,
            self.params.mvu,
            self.formats["u0_trc"],
            self.coverage.mvu,
            self.fail,
            CLOCK_NS,
        )
        self.units = [f"dut.u_array.gen_mvu[{mvu}].u_mvu" for mvu in range(self.params.mvus)]
        self.mvus.look_for_causes(
            Inside(self.dut),
            self.units,
            lambda mvu, address: "" if self.collector is None else self.collector.name(mvu, address),
        )
        log, lines = BusLog(self.params.controller), Lines(self.params.mvus)
        self.lockstep = Lockstep(
            self.params.controller,
            log,
            lines,
            self.coverage.controller,
            on_mismatch=self.fail,
            clock_ns=CLOCK_NS,
            library=loaded(),
        )
        self.harts = HartWatch(self.lockstep, log, lines, self.fail)
        self.host.on_load, self.host.on_write = self.mvus.load, self.mvus.write
        self.host.settle = self.settle
        for unit in self.mvus.units:
            look_for(self.report, unit.trace)
        if ACTIVE:
            for m, unit in enumerate(self.mvus.units):
                scope = f"dut.u_array.gen_mvu[{m}].u_mvu.u_probes"
                record = partial(unit_record, unit.trace, self.params.mvu, scope, f"MVU {m}")
                self.report.debug.units.append(record)
        self._batch = Event()
        self._set_external(0)

    def start_of_simulation_phase(self) -> None:
        super().start_of_simulation_phase()
        cocotb.start_soon(self._compare_retirements())

    @property
    def scoreboards(self) -> tuple[StreamScoreboard | Lockstep, ...]:
        return (*(unit.trace for unit in self.mvus.units), self.lockstep)

    def waiting(self) -> str:
        inside, mvus = Inside(self.dut), self.params.mvus
        told = [f"MVU {m}: {unit_waits(inside, path)}" for m, path in enumerate(self.units)]
        told.append(crossbar_waits(inside, "dut.u_array.u_crossbar", mvus))
        told.append(inside.states("dut.u_host", HOST_STATES))
        return "\n".join(filter(None, told))

    def begin(self, plan: Plan) -> None:
        """A run of this plan begins."""
        if self.collector is None or self.collector.plan is not plan:
            self.collector = TensorCollector(plan)
        self.collector.restart()
        self.mvus.begin(self.collector.steps)

    def quieten(self) -> None:
        self._set_external(0)

    def flush(self) -> None:
        """Drop everything in flight: called in a reset. The memories keep their contents."""
        super().flush()
        self.axi.flush()
        self.mvus.reset()
        self.harts.reset()
        self.lockstep.reset()
        self.host.forget()
        self.on_reset()

    def set_origin(self, origin_ns: float) -> None:
        super().set_origin(origin_ns)
        self.mvus.origin_ns = origin_ns

    def _set_external(self, mask: int) -> None:
        self.external = mask
        self.dut.ext_irq_i.value = mask

    def set_external(self, mask: int) -> None:
        """Levels of the harts' external interrupt lines."""
        self._set_external(mask)

    async def settle(self) -> None:
        """Wait until everything so far has reached its scoreboard."""
        await self.settle_streams(
            [name for name, stream in self.streams.items() if stream.role == "tap"],
            lambda: self.harts.batches or self.mvus.outstanding,
            looks=40,
            clocks=_FLUSH_CLOCKS,
        )

    def _word_written(self, mvu: int, beats: Beats) -> None:
        self.mvus.word(mvu, beats)
        if self.collector is not None:
            self.collector.beats(mvu, self.formats[f"u{mvu}_trc"], beats)

    def _job_ended(self, mvu: int, beats: Beats) -> None:
        self.mvus.job_ended(mvu, beats)

    def _retired(self, beats: Beats) -> None:
        self.harts.batches.append(beats)
        self._batch.set()

    async def _compare_retirements(self) -> None:
        """Compare a batch when everything else that happened until then is known."""
        while True:
            await self._batch.wait()
            self._batch.clear()
            many = len(self.harts.batches)
            with self.eager("breq", "brsp", "hreq", "irqs"):
                await Timer(CLOCK_NS * _FLUSH_CLOCKS, "ns")
            self.harts.process(min(many, len(self.harts.batches)))
            if self.harts.batches:
                self._batch.set()
