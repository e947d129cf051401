# SPDX-License-Identifier: Apache-2.0
"""The items of the bench: runs of programs, and the driver that loads, starts, watches and stops them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import Event, FallingEdge, Timer, select
from cocotb.utils import get_sim_time
from pyuvm import uvm_driver, uvm_sequence_item

from assay.tb.agents.burst import StreamError
from assay.tb.bench import BenchStopped
from assay.tb.controller.env import ControllerEnv
from assay.tb.controller.random_program import RandomProgram
from assay.tb.env import CLOCK_NS

__all__ = ["Disturbance", "ProgramDriver", "ProgramItem", "ProgramStep"]

#: Clocks in which something must retire while harts are released.
_PATIENCE = 20_000


@dataclass(frozen=True)
class Disturbance:
    """The events beside a program.

    Attributes:
        interrupts: mean clocks between two changes of the interrupt lines; 0: none.
        flickers: mean clocks from one short external interrupt to the next; 0: none but those.
        pulses: mean clocks between two pulses of the MVUs' lines; 0: none but those.
        latency, error_rate: of the MVU model.
        stall: of the ports, in 1/256.
    """

    interrupts: int = 0
    flickers: int = 0
    pulses: int = 0
    latency: int = 0
    error_rate: float = 0.0
    stall: int = 0


class ProgramItem(uvm_sequence_item):
    """A run: both memories' contents, and the harts that start.

    Args:
        name: for messages.
        image: uint32[imem_words + dmem_words].
        entry: where each hart of `harts` (a mask) starts.
        tohost: address whose odd value ends the run; it must be 1. None: `retirements` end it, or that all harts rest.
        retirements: the run's length; with `tohost`, its limit.
        disturbance: what goes on beside it.
        beside: played beside it, cancelled at its end.
        random: the random program that `image` holds, if it does.

    Attributes:
        loaded: called when the memories hold the image, before a hart starts.
    """

    def __init__(
        self,
        name: str,
        image: np.ndarray,
        entry: int,
        harts: int,
        tohost: int | None = None,
        retirements: int = 100_000,
        disturbance: Disturbance | None = None,
        beside: Callable[[ControllerEnv], Coroutine[None, None, None]] | None = None,
        random: RandomProgram | None = None,
    ) -> None:
        super().__init__(name)
        self.random = random
        self.image = image
        self.entry = entry
        self.harts = harts
        self.tohost = tohost
        self.retirements = retirements
        self.disturbance = disturbance or Disturbance()
        self.beside = beside
        self.loaded: Callable[[ControllerEnv], Coroutine[object, object, None]] | None = None


@dataclass(frozen=True, eq=False)
class ProgramStep:
    """What a `ProgramItem` holds, for a case (`tb.cases`): a random program, or an image.

    Attributes:
        name: for messages.
        random: the program; None: `image` has one.
        image, entry, harts, tohost: as of `ProgramItem`, of an image.
        retirements, disturbance: as of `ProgramItem`.
    """

    name: str
    random: RandomProgram | None
    retirements: int
    disturbance: Disturbance
    image: np.ndarray | None = None
    entry: int = 0
    harts: int = 0
    tohost: int | None = None

    @classmethod
    def of(cls, item: ProgramItem) -> ProgramStep:
        """The step of an item; what is played beside it is not part of it."""
        common = (item.get_name(), item.random, item.retirements, item.disturbance)
        if item.random is not None:
            return cls(*common)
        return cls(*common, item.image, item.entry, item.harts, item.tohost)


@dataclass
class _Measure:
    """The clocks and instructions of all runs so far."""

    retired: int = 0
    clocks: int = 0
    codes: list[int] = field(default_factory=list)


class ProgramDriver(uvm_driver):
    """Plays `ProgramItem`s one after the other; the ConfigDB gives ``env``."""

    def build_phase(self) -> None:
        super().build_phase()
        self.env: ControllerEnv = self.cdb_get("env")
        self.random = Random(self.env.report.seed)
        self.measure = _Measure()

    async def run_phase(self) -> None:
        while True:
            item: ProgramItem = await self.seq_item_port.get_next_item()
            try:
                await self.play(item)
            except StreamError as error:
                self.env.fail(error)
                return
            except BenchStopped:
                return  # the test has been woken by the failure itself
            self.seq_item_port.item_done()

    async def play(self, item: ProgramItem) -> None:
        """Load, start, watch, stop."""
        env = self.env
        env.report.keep_step(partial(ProgramStep.of, item))
        await self.or_stop(env.load(item.image))
        env.lockstep.tohost = item.tohost
        env.mvus.latency, env.mvus.error_rate = item.disturbance.latency, item.disturbance.error_rate
        env.stall(item.disturbance.stall)
        env.mvus.prompt = not item.disturbance.stall
        if item.loaded is not None:
            await self.or_stop(item.loaded(env))
        # By time: simulators disagree on what the clocks' counter shows to who is woken by the edge that counts it.
        before, began = env.lockstep.beats_compared, get_sim_time("ns")
        await self.or_stop(env.start(item.harts, item.entry))
        tasks = []
        if item.disturbance.interrupts:
            tasks.append(cocotb.start_soon(self.interrupts(item.disturbance.interrupts)))
        if item.disturbance.flickers:
            tasks.append(cocotb.start_soon(self.flickers(item.disturbance.flickers)))
        if item.disturbance.pulses:
            tasks.append(cocotb.start_soon(self.pulses(item.disturbance.pulses)))
        if item.beside is not None:
            tasks.append(cocotb.start_soon(self._beside(item.beside)))
        try:
            await self._watch(item, before + item.retirements)
        finally:
            for task in tasks:
                if not task.done():
                    task.cancel()
        self.measure.clocks += round((get_sim_time("ns") - began) / CLOCK_NS)
        env.unstall()
        await self.or_stop(env.stop())
        self.measure.retired += env.lockstep.beats_compared - before
        env.report.clocks += round((get_sim_time("ns") - began) / CLOCK_NS)

    async def _beside(self, beside: Callable[[ControllerEnv], Coroutine[None, None, None]]) -> None:
        """What is played beside a program; a port's error in it is a failure with its name."""
        try:
            await beside(self.env)
        except StreamError as error:
            self.env.fail(error)
        except BenchStopped:
            pass  # the failure has been recorded

    async def _watch(self, item: ProgramItem, limit: int) -> None:
        """Until `tohost` is written, or enough has retired."""
        env = self.env
        lockstep, ended, resting = env.lockstep, Event(), ""
        last = get_sim_time("ns")  # when something was compared

        def judge() -> None:
            nonlocal last, resting
            last = get_sim_time("ns")
            resting = lockstep.resting(item.harts)
            if resting or lockstep.beats_compared >= limit or lockstep.exited.is_set():
                ended.set()

        async def silence() -> None:
            while (left := last + _PATIENCE * CLOCK_NS - get_sim_time("ns")) > 0:
                await Timer(left, "ns")

        if lockstep.beats_compared >= limit or lockstep.exited.is_set():
            ended.set()
        # Called by each batch: a task that wakes for it would cost more than the comparison.
        lockstep.on_batch = judge
        try:
            first, _ = await self.or_stop(select(ended.wait(), silence()))
        finally:
            lockstep.on_batch = None
        if first == 1:
            if item.tohost is None and lockstep.resting(item.harts):
                return
            env.fail(
                f"{item.get_name()}: nothing has retired for {_PATIENCE} clocks, after "
                f"{lockstep.beats_compared:,} retirements; released are harts 0x{item.harts:x}",
                kind="stuck",
                time_ns=get_sim_time("ns"),
            )
            raise BenchStopped
        if item.tohost is None:
            return
        code, request = env.lockstep.exit_code, env.lockstep.iss.host_request
        if request:
            text = (
                f"{item.get_name()} stored 0x{request:x} to tohost: a request of the host-target interface (HTIF), "
                "which nobody serves here; a program ends with an odd value, 1 when it passed"
            )
        elif code is None and resting:
            text = f"{item.get_name()} came to rest without having written tohost: {resting}"
        elif code is None:
            text = f"{item.get_name()} has not written tohost after {item.retirements:,} retirements"
        elif code != 1:
            text = (
                f"{item.get_name()} ended with code {code >> 1}: its own check of that number failed"
                f"{env.lockstep.last_trap()}"
            )
        else:
            return
        env.fail(text, kind="program", time_ns=get_sim_time("ns"))
        raise BenchStopped

    async def interrupts(self, mean: int) -> None:
        """Change lines at random clocks: pulses to some MVUs' lines, levels of some external ones."""
        env, r = self.env, self.random
        every = env.all_harts
        # In the middle of a clock: at its edge it were open which clock sees a change.
        await FallingEdge(env.dut.clk_i)
        while True:
            await Timer(r.randint(1, 2 * mean) * CLOCK_NS, "ns")
            kind = r.random()
            some = r.getrandbits(env.params.harts) & (
                every if kind > 0.9 else 1 << r.randrange(env.params.harts)
            )
            if kind < 0.5:
                env.lines.pulse(some)
            else:
                env.lines.set_level(some, r.getrandbits(1))

    async def flickers(self, mean: int) -> None:
        """External interrupts of some harts that come and go within a few clocks."""
        env, r = self.env, self.random
        await FallingEdge(env.dut.clk_i)
        while True:
            await Timer(r.randint(1, 2 * mean - 1) * CLOCK_NS, "ns")
            some = r.getrandbits(env.params.harts)
            env.lines.set_level(some, 1)
            await Timer(r.randint(1, 10) * CLOCK_NS, "ns")
            env.lines.set_level(some, 0)

    async def pulses(self, mean: int) -> None:
        """Pulses of some MVUs' lines at random clocks, many of them in one after the other."""
        env, r = self.env, self.random
        await FallingEdge(env.dut.clk_i)
        while True:
            await Timer(r.randint(1, 2 * mean - 1) * CLOCK_NS, "ns")
            env.lines.pulse(r.getrandbits(env.params.harts) & r.getrandbits(env.params.harts))

    async def finish(self) -> None:
        """Nothing to wait for: a run is checked when it ends."""

    async def or_stop(self, work: Coroutine[object, object, Any] | Task) -> Any:
        """The result of `work`, unless a failure is recorded meanwhile."""
        ended, result = await select(work, self.env.failed.wait())
        if ended == 1 or self.env.failed.is_set():
            raise BenchStopped
        return result
