# SPDX-License-Identifier: Apache-2.0
"""One clock of a design, and the agents that Python drives at it clock by clock.

This is the portable way to a port: through VPI, with the design's own signal names, one wake of Python or two in each
clock. (The burst adapters of `hdl/` are the fast way; they need a bench top that declares them.)

Inputs change at the falling edge; outputs are read in the same time step, when everything has settled. What is read
there is what the next rising edge sees, whoever makes the clock and whichever the simulator: there is no race.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import cocotb
from cocotb.clock import Clock
from cocotb.handle import LogicObject
from cocotb.task import Task
from cocotb.triggers import ClockCycles, Event, FallingEdge, ReadOnly, Timer
from cocotb.utils import get_sim_time

from assay.tb.agents.burst import NEVER, StreamError, raise_error
from assay.tb.agents.signals import Signal
from assay.tb.agents.stalls import Stalls

__all__ = ["Clocked", "Clocking", "Reset", "start_clock"]


def start_clock(clock: LogicObject, period_ns: float = 10) -> Clock:
    """Make the clock of a design whose clock is a port of the top."""
    made = Clock(clock, period_ns, unit="ns")
    made.start()
    return made


class Reset:
    """The reset of a design.

    Args:
        signal: of the top.
        active_low: by default this is read from the name: ``rstn``, ``rst_ni``, ``rst_n_i``, ``rst_b`` are low.
    """

    _LOW = re.compile(r"(?<!i)n$|_ni$|_n_i$|_b$")

    def __init__(self, signal: Signal, active_low: bool | None = None) -> None:
        self.signal = signal
        by_name = bool(self._LOW.search(signal.name.lower()))
        self.active_low = by_name if active_low is None else active_low

    def write(self, active: bool) -> None:
        """Assert or release it."""
        self.signal.write(int(active != self.active_low))


class Clocked:
    """An agent that acts in every clock. `Clocking` calls these in turn, for all agents before the next one."""

    name: str  #: for messages

    def passed(self) -> None:
        """A rising edge was: what was sampled before it has happened."""

    def drive(self) -> None:
        """Set inputs for the next rising edge."""

    def answer(self) -> bool:
        """Set inputs that depend on outputs of the same clock; returns whether one has changed."""
        return False

    def sample(self) -> None:
        """Everything has settled: read what the next rising edge sees. Nothing may be written."""


class Clocking:
    """Runs the agents of one clock.

    Args:
        clock: the signal.
        period_ns: of it, for times in messages.
        enable: clock enable of the whole design: it stalls at random, and while it is low nothing passes.
        seed: of these stalls.
        on_error: called with a `StreamError`.

    Attributes:
        cycle: rising edges so far; a beat's clock is the number of the edge that takes it.
        running: agents act. To be cleared in a reset.
        enabled: the design's clock enable in this clock.
        origin_ns: time of rising edge 0, which may never have been.
    """

    def __init__(
        self,
        clock: LogicObject,
        period_ns: float = 10,
        *,
        enable: Signal | None = None,
        seed: int = 0,
        on_error: Callable[[StreamError], None] = raise_error,
    ) -> None:
        self.clock = clock
        self.period_ns = period_ns
        self.on_error = on_error
        self.cycle = 0
        self.ticks = 0  #: rising edges with the enable
        self.running = False
        self.enabled = True
        self.origin_ns = 0.0
        self._enable = enable
        self._stalls = Stalls(seed, "enable")
        self._agents: list[Clocked] = []
        self._answering: list[Clocked] = []
        self._turn = Event()
        self._sampled = False
        if enable is not None:
            enable.write(1)
        self._task: Task[None] | None = None

    def add(self, agent: Clocked) -> None:
        """Let an agent take part."""
        self._agents.append(agent)
        if self._task is None:  # a bench of burst adapters alone sleeps between its bursts
            self._task = cocotb.start_soon(self._run())
        if type(agent).answer is not Clocked.answer:
            self._answering.append(agent)

    @property
    def stall(self) -> int:
        """Probability in 1/256 of a clock without enable."""
        return self._stalls.probability if self._enable is not None else NEVER

    @stall.setter
    def stall(self, probability: int) -> None:
        self._stalls.probability = probability

    @property
    def has_enable(self) -> bool:
        return self._enable is not None

    async def clocks(self, count: int) -> None:
        """Wait for so many falling edges; what was sampled before is then known."""
        if self._task is None:
            await ClockCycles(self.clock, count, FallingEdge)
            return
        for _ in range(count):
            self._turn.clear()
            await self._turn.wait()

    async def _run(self) -> None:
        edge = FallingEdge(self.clock)
        while True:
            await edge
            if self._sampled:
                self._sampled = False
                self.ticks += self.enabled
                for agent in self._agents:
                    agent.passed()
            else:
                self.origin_ns = get_sim_time("ns") - (self.cycle + 0.5) * self.period_ns
            self.cycle += 1
            self._turn.set()
            if not self.running:
                continue
            if self._enable is not None:
                self.enabled = not self._stalls.now()
                self._enable.write(int(self.enabled))
            for agent in self._agents:
                agent.drive()
            if self._answering:
                await self._settle()
            await ReadOnly()
            if self.running:
                for agent in self._agents:
                    agent.sample()
                self._sampled = True

    async def _settle(self) -> None:
        """Let answers that depend on outputs of the same clock, and these on those, come to rest."""
        for _ in range(8):
            await Timer(1, "step")
            # Every agent is asked: one's answer may be another's question.
            answered = [agent.answer() for agent in self._answering]
            if not any(answered):
                return
        self.on_error(
            StreamError(
                self._answering[0].name,
                "answers and questions of one clock chase each other: the design asks otherwise after each answer",
                cycle=self.cycle,
            )
        )
