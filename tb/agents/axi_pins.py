# SPDX-License-Identifier: Apache-2.0
"""AXI4 at the signals of any top, through cocotbext-axi: a manager of a subordinate port of the design, and a memory at
a manager port of the design.

cocotbext-axi acts at the rising edge of a clock that the bench makes; it reads values as they were before the edge.
(`tb.agents.axi` is the fast way, for a bench top with burst adapters.)
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocotb.handle import LogicObject
from cocotb.triggers import SimTimeoutError, with_timeout
from cocotbext.axi import AxiBus, AxiMaster, AxiRam

from assay.tb.agents.axi import RESPONSES, AxiError
from assay.tb.agents.burst import StreamError, StreamTimeout, raise_error
from assay.tb.agents.signals import find_signal
from assay.tb.agents.stalls import Stalls

__all__ = ["AxiMemory", "AxiPins", "AxiPlace"]


@dataclass(frozen=True)
class AxiPlace:
    """Where an AXI4 port is.

    Attributes:
        entity: the bench top.
        prefix: of the signals, without the underscore.
        clock, reset: of the port; reset may be None.
        active_low: level of the reset.
        seed: the run's, for the stalls of the channels.
    """

    entity: Any
    prefix: str
    clock: LogicObject
    reset: LogicObject | None = None
    active_low: bool = False
    seed: int = 0


class _Axi:
    """What both sides share.

    Raises:
        SignalMissing: the top has no such port.
    """

    def __init__(self, place: AxiPlace) -> None:
        find_signal(place.entity, f"{place.prefix}_awaddr")
        self._seed = place.seed
        self._stalls: list[Stalls] = []
        self._held: list[Any] = []  # channels that wait for the first reset
        self.moves = 0
        self.name = place.prefix
        self.bus = AxiBus.from_prefix(place.entity, place.prefix)
        self._arguments = {
            "clock": place.clock,
            "reset": place.reset,
            "reset_active_level": not place.active_low,
        }

    def _adopt(self, write: Any, read: Any) -> None:
        """Let both halves of a component stall, and say less."""
        for side, channels in ((write, ("aw", "w", "b")), (read, ("ar", "r"))):
            side.log.setLevel(logging.WARNING)
            for channel in channels:
                stalls = Stalls(self._seed, f"{self.name}_{channel}")
                self._stalls.append(stalls)
                stream = getattr(side, f"{channel}_channel")
                stream.set_pause_generator(_pauses(stalls))
                # Until the first reset the design's outputs are X, which cocotbext-axi cannot bear.
                stream.assert_reset(True)
                self._held.append(stream)

    @property
    def stall(self) -> int:
        """Probability of a stall of every channel in each clock, in 1/256."""
        return self._stalls[0].probability

    @stall.setter
    def stall(self, probability: int) -> None:
        for stalls in self._stalls:
            stalls.probability = probability

    def flush(self) -> None:
        """To be called while the design is in reset, which the port watches itself."""
        for stream in self._held:
            stream.assert_reset(False)
        self._held.clear()


class AxiPins(_Axi):
    """Reads and writes the design's subordinate port.

    Args:
        place: of the port.
        clock_ns: clock period.
        timeout_clocks: clocks without an answer after which an access is reported as lost.
    """

    def __init__(self, place: AxiPlace, *, clock_ns: float = 10, timeout_clocks: int = 2_000) -> None:
        super().__init__(place)
        self.manager = AxiMaster(self.bus, **self._arguments)
        self._adopt(self.manager.write_if, self.manager.read_if)
        self._limit_ns = clock_ns * timeout_clocks
        self._timeout_clocks = timeout_clocks
        self._doing = ""

    def waiting(self) -> str:
        """What is unanswered, for a watchdog; empty when nothing."""
        return f"port {self.name}: {self._doing} waits for its answer" if self._doing else ""

    def check_finished(self) -> None:
        """Every call waits for its answer."""

    async def write(self, address: int, content: bytes | np.ndarray) -> None:
        """Write bytes, or an array's bytes, from a byte address on, in bursts.

        Raises:
            AxiError: it is not answered OKAY.
            StreamTimeout: it is not answered.
        """
        data = content.tobytes() if isinstance(content, np.ndarray) else bytes(content)
        what = f"a write of {len(data)} bytes to address 0x{address:x}"
        answer = await self._answer(what, self.manager.write(address, data))
        self._check(what, answer.resp)

    async def read(self, address: int, count: int) -> bytes:
        """Read `count` bytes from a byte address on; raises as `write`."""
        what = f"a read of {count} bytes from address 0x{address:x}"
        answer = await self._answer(what, self.manager.read(address, count))
        self._check(what, answer.resp)
        return bytes(answer.data)

    async def _answer(self, what: str, access: Awaitable[Any]) -> Any:
        self._doing = what
        try:
            return await with_timeout(access, self._limit_ns, "ns", round_mode="round")
        except SimTimeoutError:
            raise StreamTimeout(
                self.name,
                f"{what} has not been answered for {self._timeout_clocks} clocks",
                quiet_ns=self._limit_ns,
            ) from None
        finally:
            self._doing = ""
            self.moves += 1

    def _check(self, what: str, resp: int) -> None:
        if int(resp):
            raise AxiError(self.name, f"{what} is answered {RESPONSES[int(resp)]}")


class AxiMemory(_Axi):
    """A memory behind the design's manager port.

    Args:
        place: of the port.
        size: bytes.
        on_error: called with an `AxiError` when an access is outside.
    """

    def __init__(
        self, place: AxiPlace, *, size: int, on_error: Callable[[StreamError], None] = raise_error
    ) -> None:
        super().__init__(place)
        self.ram = AxiRam(self.bus, size=size, **self._arguments)
        self._adopt(self.ram.write_if, self.ram.read_if)
        self.size = size
        self.on_error = on_error
        # cocotbext-axi's memory wraps at its end.
        self.ram.write_if._write, self.ram.read_if._read = self._write, self._read

    def waiting(self) -> str:
        """A memory waits for nobody: it answers."""
        return ""

    def load(self, content: bytes | np.ndarray, address: int = 0) -> None:
        """Set bytes, or an array's bytes, from a byte address on; ValueError when they do not fit."""
        data = content.tobytes() if isinstance(content, np.ndarray) else bytes(content)
        if not 0 <= address <= self.size - len(data):
            raise ValueError(
                f"memory {self.name} has {self.size} bytes: {len(data)} from 0x{address:x} on do not fit"
            )
        self.ram.write(address, data)

    def read(self, address: int = 0, count: int | None = None) -> bytes:
        """`count` bytes from a byte address on, by default all that follow."""
        return bytes(self.ram.read(address, self.size - address if count is None else count))

    async def _write(self, address: int, data: bytes) -> None:
        self._check("write", address, len(data))
        self.ram.write(address % self.size, data)

    async def _read(self, address: int, length: int) -> bytes:
        self._check("read", address, length)
        return bytes(self.ram.read(address % self.size, length))

    def _check(self, what: str, address: int, length: int) -> None:
        self.moves += 1
        if address + length > self.size:
            self.on_error(
                AxiError(
                    self.name,
                    f"a {what} of {length} bytes at address 0x{address:x} is outside: the memory has {self.size} "
                    f"bytes; access {self.moves - 1}",
                )
            )


def _pauses(stalls: Stalls) -> Iterator[bool]:
    while True:
        yield stalls.now()
