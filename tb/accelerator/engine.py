# SPDX-License-Identifier: Apache-2.0
"""The accelerator as a server: runs plans on inputs that a connected process sends, and answers with what comes out.

Nothing is compared here: whoever asks does that (see `tb.accelerator.model`). The environment gives the address in
``ASSAY_ENGINE_ADDRESS`` and the key in ``ASSAY_ENGINE_KEY``. Requests are ("plan", plan), answered ("ok", None), and
("run", input int[H, W, C], limit in clocks), answered ("ok", `Answer`); what goes wrong is answered ("failed", text).
None ends the server.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, Timer

from assay.golden.accelerator.plan import Plan
from assay.golden.accelerator.report import StepRecord
from assay.golden.mvu.clocks import OVERHEAD
from assay.tb.accelerator.host import Host, RunError
from assay.tb.accelerator.passive import JOB_END
from assay.tb.accelerator.tensors import TensorCollector, stored_input
from assay.tb.agents.axi import CHANNELS, AxiManager, channel_formats
from assay.tb.agents.burst import BurstDriver, BurstMonitor, StreamError, StreamTimeout
from assay.tb.agents.interrupt import Interrupt
from assay.tb.env import CLOCK_NS
from assay.tb.json_file import write_json
from assay.tb.mvu.env import port_formats
from assay.tb.mvu_array.env import build_parameters
from assay.tb.report import RUN_DIR

_STUCK_NEVER = 2_000_000_000  #: the streams' own watch is not needed: runs have a limit


@dataclass(frozen=True)
class Answer:
    """The result of a run.

    Attributes:
        output: int64[H, W, C], as the host reads it.
        tensors: of every layer, int64[H, W, C], as they went through the MVUs' traces.
        clocks, host_clocks: see `tb.accelerator.host.HostRun`.
        steps: clocks of all steps.
    """

    output: np.ndarray
    tensors: dict[str, np.ndarray]
    clocks: int
    host_clocks: int
    steps: tuple[StepRecord, ...]


class PlanServer:
    """The host and the taps it needs."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.params = build_parameters()
        formats, trc = channel_formats(), port_formats(self.params.mvu)["trc"]
        self.trc = trc
        sources = {
            name: BurstDriver(
                dut, name, dut.clk_i, formats[name], clock_ns=CLOCK_NS, timeout_clocks=_STUCK_NEVER
            )
            for name, role in CHANNELS.items()
            if role == "source"
        }
        sinks = {
            name: BurstMonitor(dut, name, dut.clk_i, formats[name], callback=lambda _: None)
            for name, role in CHANNELS.items()
            if role == "sink"
        }
        self.taps = [
            BurstMonitor(dut, f"u{m}_{name}", dut.clk_i, beats, callback=receive)
            for m in range(self.params.mvus)
            for name, beats, receive in (
                ("trc", trc, lambda beats, m=m: self._words(m, beats)),
                ("job", JOB_END, lambda beats, m=m: self._job(m, beats)),
            )
        ]
        axi = AxiManager(sources, sinks, clock_ns=CLOCK_NS, on_error=self._error)
        self.host = Host(axi, Interrupt(dut.host_irq_o, clock_ns=CLOCK_NS), self.params, self._clock)
        self.host.released_clock = lambda: int(dut.release_clock_o.value)
        self.host.irq_clock = lambda: int(dut.irq_clock_o.value)
        self.collector: TensorCollector | None = None
        self.jobs: list[list[tuple[int, int, int, int]]] = []
        dut.ext_irq_i.value = 0

    def _clock(self) -> int:
        return int(self.dut.cycle_o.value)

    def _error(self, error: StreamError) -> None:
        raise RunError(str(error))

    def _words(self, mvu: int, beats: Any) -> None:
        if self.collector is not None:
            self.collector.beats(mvu, self.trc, beats)

    def _job(self, mvu: int, beats: Any) -> None:
        fields = JOB_END.unpack(beats.payload)
        if self.collector is not None:
            self.jobs[mvu] += zip(
                beats.cycles.tolist(),
                fields["busy"].tolist(),
                fields["multiplied"].tolist(),
                (fields["reads"] + fields["writes"]).tolist(),
                strict=True,
            )

    async def reset(self) -> None:
        """Bring the accelerator into its first state."""
        self.dut.rst_ni.value = 0
        await ClockCycles(self.dut.clk_i, 3)
        self.dut.rst_ni.value = 1
        await ClockCycles(self.dut.clk_i, 2)

    async def load(self, plan: Plan) -> None:
        """Take over a plan."""
        self.collector = TensorCollector(plan)
        await self.host.load_plan(plan)

    async def run(self, x: np.ndarray, limit: int) -> Answer:
        """One input through the plan.

        Raises:
            RunError: as `Host.run`, or words that do not make up the tensors.
        """
        collector = self.collector
        assert collector is not None  # for a plan comes before its runs
        plan = collector.plan
        collector.restart()
        self.jobs = [[] for _ in range(self.params.mvus)]
        await self.host.write_tensor(plan.network.input, stored_input(plan, x))
        run = await self.host.run(limit)
        for tap in self.taps:
            tap.eager = True
        await Timer(CLOCK_NS * 64, "ns")
        for tap in self.taps:
            tap.eager = False
        output = await self.host.read_tensor(plan.network.output)
        try:
            tensors = collector.tensors()
        except ValueError as error:
            raise RunError(str(error)) from None
        return Answer(output, tensors, run.clocks, run.host_clocks, self._records(collector, run.released))

    def _records(self, collector: TensorCollector, released: int) -> tuple[StepRecord, ...]:
        records = []
        for mvu, steps in enumerate(collector.steps):
            for step, (clock, busy, multiplied, waited) in zip(steps, self.jobs[mvu], strict=False):
                end = clock - 1 - released
                stalls = busy - (step.job.countdown + step.job.output.fmt.bits + OVERHEAD)
                records.append(
                    StepRecord(
                        mvu,
                        step.number,
                        step.layer,
                        end - busy + 1,
                        end,
                        multiplied,
                        stalls,
                        min(waited, stalls),
                    )
                )
        return tuple(records)


@cocotb.test()
async def serve(dut: object) -> None:
    """Do what the connected process asks for, until it ends the connection."""
    server = PlanServer(dut)
    actions: dict[str, Callable[..., Awaitable[Any]]] = {"plan": server.load, "run": server.run}
    await server.reset()
    write_json(Path(os.environ[RUN_DIR]) / "summary.json", {"serves": True})
    key = bytes.fromhex(os.environ["ASSAY_ENGINE_KEY"])
    with Client(os.environ["ASSAY_ENGINE_ADDRESS"], authkey=key) as host:
        while (request := _received(host)) is not None:
            what, *arguments = request
            try:
                host.send(("ok", await actions[what](*arguments)))
            except (RunError, StreamTimeout) as error:
                host.send(("failed", str(error)))


def _received(host: Any) -> Any:
    try:
        return host.recv()
    except EOFError:
        return None
