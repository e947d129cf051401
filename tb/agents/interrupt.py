# SPDX-License-Identifier: Apache-2.0
"""Interrupt line: a level to wait for, its edges with their times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cocotb
from cocotb.handle import LogicObject
from cocotb.triggers import FallingEdge, RisingEdge, SimTimeoutError, ValueChange, with_timeout
from cocotb.utils import get_sim_time


class InterruptTimeout(Exception):
    """The awaited level did not come."""


@dataclass(frozen=True)
class InterruptEdge:
    """One change of the line; `level` is None for X or Z."""

    time_ns: float
    level: int | None


class Interrupt:
    """Watches one level-sensitive interrupt output.

    Args:
        line: the signal.
        name: for messages; default: the signal's.
        clock_ns: clock period, for timeouts given in clocks.

    Attributes:
        edges: every change since construction or `clear`, the oldest first.
        on_wait: called whenever somebody begins to wait.
    """

    def __init__(self, line: LogicObject, name: str | None = None, clock_ns: float = 10) -> None:
        self.line = line
        self.name = name or line._name
        self.edges: list[InterruptEdge] = []
        self.on_wait: Callable[[], None] = lambda: None
        self._clock_ns = clock_ns
        self._watcher = cocotb.start_soon(self._watch())

    @property
    def level(self) -> int | None:
        """The line's level now; None for X or Z."""
        text = str(self.line.value)
        return int(text) if text in ("0", "1") else None

    @property
    def raised(self) -> int:
        """Rising edges recorded."""
        return sum(edge.level == 1 for edge in self.edges)

    def clear(self) -> None:
        """Forget the recorded edges."""
        self.edges.clear()

    async def wait(self, level: int = 1, timeout_clocks: int | None = None) -> None:
        """Return when the line has `level`, at once if it has it already.

        Raises:
            InterruptTimeout: not within `timeout_clocks`.
        """
        self.on_wait()
        if self.level == level:
            return
        edge = RisingEdge(self.line) if level else FallingEdge(self.line)
        if timeout_clocks is None:
            await edge
            return
        try:
            await with_timeout(edge, timeout_clocks * self._clock_ns, "ns", round_mode="round")
        except SimTimeoutError:
            raise InterruptTimeout(
                f"interrupt {self.name}: level {level} has not come for {timeout_clocks} clocks"
            ) from None

    async def _watch(self) -> None:
        while True:
            await ValueChange(self.line)
            self.edges.append(InterruptEdge(get_sim_time("ns"), self.level))
