# SPDX-License-Identifier: Apache-2.0
"""The devices at the controller's ports: the host, the MVUs on the bus, the interrupt lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import Timer

from assay.golden.controller import memory_map
from assay.golden.controller.parameters import ControllerParameters
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats, BurstDriver, BurstMonitor, StreamError
from assay.tb.agents.request_response import RequestResponse, request_format

__all__ = [
    "BUS_REQUEST",
    "BUS_RESPONSE",
    "DOORBELLS",
    "HOST_REQUEST",
    "HOST_RESPONSE",
    "BusAccess",
    "HostPort",
    "InterruptLines",
    "MvuModel",
]

HOST_REQUEST = request_format(32, 32)
HOST_RESPONSE = BeatFormat([("rdata", 32), ("error", 1)])
BUS_REQUEST = BeatFormat([("wdata", 32), ("hart", 4), ("addr", 8), ("mvu", 4), ("write", 1)])
BUS_RESPONSE = BeatFormat([("rdata", 32), ("hart", 4), ("error", 1)])

#: Registers of the MVU model that do something, as programs/assay.h names them.
MVU_ERROR, MVU_IRQ, EXT_IRQ = 125, 126, 127
DOORBELLS = (MVU_IRQ, EXT_IRQ)

_NOT_YET = 1 << 62  #: a clock that no run reaches


class HostPort(RequestResponse):
    """The host's words: every request, read or write, is answered, in order."""

    async def access(
        self, addresses: np.ndarray, words: np.ndarray | int, write: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read or write byte addresses [n]; gives rdata uint32[n] and error bool[n].

        Raises:
            StreamTimeout: an answer is missing.
            StreamReset: a reset dropped the access.
        """
        addresses = np.atleast_1d(addresses)
        beats = self.request.format.pack(wdata=words, addr=addresses, write=int(write))
        payload = await self.answers(beats)
        fields = self.response.format.unpack(payload)
        return fields["rdata"].astype(np.uint32), fields["error"].astype(bool)

    async def write(self, address: int, words: Iterable[int] | np.ndarray) -> None:
        """Write words from byte `address` on.

        Raises:
            StreamError: one is refused; else as `access`.
        """
        words = np.asarray(words, np.uint32)
        if len(words):
            addresses = address + 4 * np.arange(len(words), dtype=np.uint64)
            _, errors = await self.access(addresses, words, True)
            self._check("write to", addresses, errors)

    async def read(self, address: int, count: int = 1) -> np.ndarray:
        """`count` words from byte `address` on, uint32[count].

        Raises:
            StreamError: one is refused; else as `access`.
        """
        addresses = address + 4 * np.arange(count, dtype=np.uint64)
        rdata, errors = await self.access(addresses, 0, False)
        self._check("read of", addresses, errors)
        return rdata

    def _check(self, what: str, addresses: np.ndarray, errors: np.ndarray) -> None:
        if errors.any():
            address = int(addresses[int(np.argmax(errors))])
            raise StreamError(
                self.response.name,
                f"the host's {what} 0x{address:08x} was answered with an error",
                self.response.received,
            )


class InterruptLines:
    """Drives mvu_irq_i and ext_irq_i; keeps when the device saw what.

    Attributes:
        pulses: for each hart the clocks in which mvu_irq_i was high.
        levels: for each hart (first clock, level) of ext_irq_i, the initial level included.
    """

    def __init__(self, dut: Any, harts: int) -> None:
        self._dut = dut
        self.harts = harts
        self.reset()

    def reset(self) -> None:
        """Lines low, as after a reset: to be called in one."""
        self._pulse = self._level = 0
        self._dut.mvu_pulse_i.value = 0
        self._dut.ext_irq_i.value = 0
        self.pulses: list[list[int]] = [[] for _ in range(self.harts)]
        self.levels: list[list[tuple[int, int]]] = [[(0, 0)] for _ in range(self.harts)]

    @property
    def clock(self) -> int:
        """The bench's clock."""
        return int(self._dut.cycle_o.value)

    def _clock(self) -> int:
        # Written in one clock, registered by the bench top at its end, seen by the device in the next one.
        return self.clock + 1

    def pulse(self, harts: int) -> None:
        """mvu_irq_i of the harts in this mask is high for one clock; at most once a clock."""
        if not harts:
            return
        clock = self._clock()
        for hart in range(self.harts):
            if harts >> hart & 1 and self.pulses[hart][-1:] != [clock]:
                self.pulses[hart].append(clock)
                self._pulse ^= 1 << hart
        self._dut.mvu_pulse_i.value = self._pulse

    def set_level(self, harts: int, level: int) -> None:
        """ext_irq_i of the harts in this mask."""
        clock = self._clock()
        for hart in range(self.harts):
            if harts >> hart & 1 and self.levels[hart][-1][1] != level:
                self.levels[hart].append((clock, level))
                self._level ^= 1 << hart
        self._dut.ext_irq_i.value = self._level


@dataclass(frozen=True)
class BusAccess:
    """One access on the MVU bus, with its answer; `clock`: in which its request was taken."""

    hart: int
    write: bool
    mvu: int
    register: int
    wdata: int
    rdata: int
    error: bool
    clock: int

    def __str__(self) -> str:
        what = f"a write of 0x{self.wdata:08x} to" if self.write else "a read of"
        return f"{what} register {self.register} of MVU {self.mvu} by hart {self.hart} in clock {self.clock}"

    @property
    def address(self) -> int:
        """In the memory window."""
        return memory_map.MVU_BASE + self.mvu * memory_map.MVU_STRIDE + 4 * self.register


class MvuModel:
    """MVUs as the bus shows them: registers of 32 bits, answered after a random time, in any order between harts.

    Attributes:
        latency: longest time to an answer, in clocks; 0 answers at once.
        error_rate: probability that an access is a bus error, beside register MVU_ERROR, which always is.
        prompt: requests do not wait at the port.
        log: for each hart its accesses that no retirement has claimed so far.
    """

    def __init__(
        self,
        request: BurstMonitor,
        response: BurstDriver,
        lines: InterruptLines,
        params: ControllerParameters,
        random: Random,
        clock_ns: float,
        fail: Callable[[str], None],
    ) -> None:
        self.latency = 0
        self.error_rate = 0.0
        self.prompt = True
        self.accesses = 0
        self._response = response
        self._lines = lines
        self._params = params
        self._random = random
        self._clock_ns = clock_ns
        self._fail = fail
        self.reset()
        request.add_callback(self._receive)

    def reset(self) -> None:
        """All registers 0, nothing under way."""
        self.registers = np.zeros((memory_map.MVUS, memory_map.MVU_REGISTERS), np.uint32)
        self.log: list[deque[BusAccess]] = [deque() for _ in range(self._params.harts)]
        # The last accesses of each hart, with the clock in which the answer was handed over, when it has been.
        self._last: list[deque[list]] = [deque(maxlen=4) for _ in range(self._params.harts)]
        self._era = getattr(self, "_era", 0) + 1

    def _receive(self, beats: Beats) -> None:
        fields = BUS_REQUEST.unpack(beats.payload)
        columns = (fields[name].tolist() for name in ("hart", "mvu", "addr", "wdata", "write"))
        for hart, mvu, register, wdata, write, clock in zip(*columns, beats.cycles.tolist(), strict=True):
            if hart >= self._params.harts:
                self._fail(f"the bus carries a request of hart {hart}: there are {self._params.harts}")
                return
            self._answer(hart, mvu, register, wdata, bool(write), clock)

    def _answer(self, hart: int, mvu: int, register: int, wdata: int, write: bool, clock: int) -> None:
        error = register == MVU_ERROR or self._random.random() < self.error_rate
        rdata = self._random.getrandbits(32) if write or error else int(self.registers[mvu, register])
        if write and not error:
            self.registers[mvu, register] = wdata
            if mvu < self._lines.harts:
                if register == MVU_IRQ:
                    self._lines.pulse(1 << mvu)
                elif register == EXT_IRQ:
                    self._lines.set_level(1 << mvu, wdata & 1)
        access = BusAccess(hart, write, mvu, register, wdata, rdata, error, clock)
        self.log[hart].append(access)
        last = [access, _NOT_YET]
        self._last[hart].append(last)
        self.accesses += 1
        beat = BUS_RESPONSE.pack(rdata=[rdata], hart=[hart], error=[int(error)])
        clocks = self._random.randrange(self.latency + 1)
        if clocks:
            cocotb.start_soon(self._later(beat, clocks, last, self._era))
        else:
            self._give(beat, last)

    async def _later(self, beat: np.ndarray, clocks: int, last: list, era: int) -> None:
        await Timer(clocks * self._clock_ns, "ns", round_mode="round")
        if era == self._era:
            self._give(beat, last)

    def _give(self, beat: np.ndarray, last: list) -> None:
        last[1] = self._lines.clock
        self._response.enqueue(beat)

    def unanswered(self, hart: int, clock: int) -> BusAccess | None:
        """The access of a hart that had no answer in a clock, which may have passed."""
        return next((access for access, given in self._last[hart] if access.clock < clock <= given), None)
