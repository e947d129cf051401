# SPDX-License-Identifier: Apache-2.0
"""Environment of the controller's bench: stream agents, host port, MVU model, interrupt lines, lock-step scoreboard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from random import Random

import numpy as np
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time

from assay.golden.controller import memory_map
from assay.golden.controller.parameters import PIPELINE_STAGES, ControllerParameters
from assay.tb.agents.burst import NEVER, Beats
from assay.tb.bench import BenchStopped
from assay.tb.controller.coverage import ControllerCoverage
from assay.tb.controller.library import loaded
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
from assay.tb.env import CLOCK_NS, Stream, StreamEnv

HOLD, HOST_HARTS, RETIRED, CLOCKS, PC = (
    memory_map.HOST_BASE + register.address for register in memory_map.HOST_REGISTERS
)


def build_parameters() -> ControllerParameters:
    """Parameters of the build under test, from the runner."""
    return ControllerParameters.of_rtl(json.loads(os.environ.get("ASSAY_PARAMS", "{}")))


class ControllerEnv(StreamEnv):
    """Agents of all ports and what stands behind them. The ConfigDB gives ``dut`` and ``report``.

    Attributes:
        host: front end of the host port.
        lines: interrupt lines.
        mvus: what answers on the bus.
        lockstep: scoreboard of the retirement trace, with the golden simulator inside.
    """

    def table(self) -> Mapping[str, Stream]:
        return {
            "host_req": Stream("source", HOST_REQUEST),
            # Answers are awaited, by Python or by a hart: they must not wait for a full burst.
            "host_rsp": Stream("sink", HOST_RESPONSE, eager=True),
            "bus_req": Stream("sink", BUS_REQUEST, eager=True),
            "bus_rsp": Stream("source", BUS_RESPONSE),
            "host_write": Stream("tap", HOST_REQUEST, receive=self._host_write, eager=True),
            "trace": Stream("tap", TRACE_FORMAT, receive=self._retired),
        }

    def build_phase(self) -> None:
        super().build_phase()
        self._writes_seen = 0
        self.params = build_parameters()
        self.coverage = ControllerCoverage(self.params, loaded())

    def connect_phase(self) -> None:
        super().connect_phase()
        self.lines = InterruptLines(self.dut, self.params.harts)
        self.mvus = MvuModel(
            self.bus["bus_req"],
            self.bus["bus_rsp"],
            self.lines,
            self.params,
            Random(self.report.seed),
            CLOCK_NS,
            lambda text: self.fail(text, kind="bus", time_ns=get_sim_time("ns")),
        )
        self.lockstep = Lockstep(
            self.params,
            self.mvus,
            self.lines,
            self.coverage,
            on_mismatch=self.fail,
            clock_ns=CLOCK_NS,
            library=loaded(),
        )
        self.lockstep.on_restart = self._restarted
        self.host = HostPort(
            self.bus["host_req"], self.bus["host_rsp"], clock_ns=CLOCK_NS, on_error=self.fail
        )

    @property
    def scoreboards(self) -> tuple[Lockstep, ...]:
        return (self.lockstep,)

    def quieten(self) -> None:
        self.lines.reset()

    def flush(self) -> None:
        """Drop everything in flight: called in a reset. The memories keep their contents."""
        super().flush()
        self.host.flush()
        self.mvus.reset()
        self.lockstep.reset()

    def _host_write(self, beats: Beats) -> None:
        fields = HOST_REQUEST.unpack(beats.payload)
        rows = zip(fields["addr"].tolist(), fields["wdata"].tolist(), beats.cycles.tolist(), strict=True)
        for address, value, clock in rows:
            self.lockstep.host_writes(address, value, clock + 1)
            self._writes_seen += 1

    def _restarted(self, hart: int, clock: int) -> None:
        """A hart that waits for the bus is not idle: the host's write of its pc must wait, too."""
        if access := self.mvus.unanswered(hart, clock):
            self.fail(
                f"the host has started hart {hart} anew in clock {clock}, before the answer to {access}: "
                "controller_host or controller_scheduler takes a hart that waits for idle",
                kind="host",
                time_ns=get_sim_time("ns"),
            )

    async def write(self, addresses: Sequence[int], words: int | Sequence[int]) -> None:
        """The host writes what harts see at once: hold, pcs, msip, mtimecmp, mtime; the scoreboard knows the clock.

        Args:
            addresses: written one directly after the other.
            words: one for each, or one for all.

        Raises:
            BenchStopped: a failure is recorded, of this write or of what has retired meanwhile.
            StreamError: as `HostPort.access`.
        """
        self.lockstep.pause()
        seen = self._writes_seen
        _, errors = await self.host.access(np.array(addresses, np.uint64), np.array(words, np.uint32), True)
        await ClockCycles(self.dut.clk_i, 8)
        if errors.any() or self._writes_seen - seen < len(addresses):
            at = addresses[int(np.argmax(errors))]
            self.fail(
                f"the host's write to 0x{at:08x} "
                f"{'was answered with an error' if errors.any() else 'is answered and was never done'}",
                kind="host",
                time_ns=get_sim_time("ns"),
            )
        self.lockstep.resume()
        if self.failed.is_set():
            raise BenchStopped

    def _retired(self, beats: Beats) -> None:
        self.lockstep.write(beats)

    @property
    def all_harts(self) -> int:
        """The mask of all harts."""
        return (1 << self.params.harts) - 1

    @property
    def slots(self) -> int:
        """Clocks from a hart's turn to its next one at most."""
        return max(self.params.harts, PIPELINE_STAGES)

    def unstall(self) -> None:
        self.stall(NEVER)

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
        await self.write([PC + 4 * hart for hart in range(self.params.harts) if harts >> hart & 1], entry)
        await self.release(harts)

    async def release(self, harts: int) -> None:
        """Hold all harts but these."""
        await self.write([HOLD], self.all_harts & ~harts)

    async def stop(self) -> None:
        """Hold all harts and wait until everything that has retired is compared."""
        await self.release(0)
        await self.drain()

    async def drain(self) -> None:
        """Wait until everything in the pipeline has retired and is compared."""
        await Timer(CLOCK_NS * (4 * self.slots + 2 * self.mvus.latency + 60), "ns")
        with self.eager("trace"):
            await Timer(CLOCK_NS * 16, "ns")
        self.lockstep.resume()
        self.lockstep.settle()
