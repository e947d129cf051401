# SPDX-License-Identifier: Apache-2.0
"""Write-one-to-clear fields: the clearing write in every clock around the hardware's event.

The register's table says which bits software clears; the block says which events set them. Each trial is one burst on
the register port, a beat in each clock: the writes that bring the event on, then writes to an address that means
nothing, and among these the clearing one. So the clock in which it is taken is known exactly. Two measurements on the
interrupt line give the clocks of an event and of a clearing write; from then on every trial has one right result:

    the write is taken before the event, or in its clock     the event's bits are set
    the write is taken in a later clock                      the bits that it names are cleared

Every event meets every single bit of the mask, all of them and none, with the register at 0 and with bits set before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import numpy as np
from cocotb.handle import LogicObject
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from assay.tb.agents.interrupt import Interrupt, InterruptTimeout
from assay.tb.agents.register import FieldLike, RegisterLike, RegisterPort

__all__ = ["ClearRace", "HardwareEvent"]

Write = tuple[int, int]  #: word address, word

_LEAD = 4  #: writes before the clearing one in its own measurement
_REST = 12  #: clocks after a trial's last beat in which the device comes to rest


@dataclass(frozen=True)
class HardwareEvent:
    """What sets bits of the register.

    Attributes:
        name: of what happens, for messages: "an illegal job ends".
        sets: field name to the bits that it sets there.
        writes: register writes that bring it on, in order.
        begin: called in the same clock as the first of them: starts streams, tells scoreboards what to expect.
        later: fields that the same traffic sets after the event, behind every trial's clearing write.
        counts: fields that count the event.
        clocks: at most so many from the first write to the event.
    """

    name: str
    sets: Mapping[str, int]
    writes: Sequence[Write] = ()
    begin: Callable[[], object] = lambda: None
    later: Mapping[str, int] = field(default_factory=dict)
    counts: Sequence[str] = ()
    clocks: int = 5000


class ClearRace:
    """Plays the trials on one register; the interrupt must be raised while any of its write-one-to-clear bits is set.

    Args:
        row: the register.
        port: of the registers, without stalls.
        interrupt, clock: of the device.
        random: draws what is set before a trial.
        idle: word address without a register.
        linked: write-one-to-clear field to the fields that are cleared with it.
        rest: awaited after each trial, until the device is idle.
        clock_ns: clock period.
        around: clocks before and after the event that are tried.

    Attributes:
        trials: played so far.
        offsets: clocks from the event to the clearing write that have been tried.
    """

    def __init__(
        self,
        row: RegisterLike,
        port: RegisterPort,
        interrupt: Interrupt,
        clock: LogicObject,
        random: Random,
        *,
        idle: int,
        linked: Mapping[str, Sequence[str]] | None = None,
        rest: Callable[[], Awaitable[None]] | None = None,
        clock_ns: float = 10,
        around: int = 3,
    ) -> None:
        self.row = row
        self.trials = 0
        self.offsets: set[int] = set()
        self._port, self._interrupt, self._clock, self._random = port, interrupt, clock, random
        self._idle, self._linked, self._rest = idle, linked or {}, rest
        self._clock_ns, self._around = clock_ns, around
        self._fields = {bits.name: bits for bits in row.fields}
        self._clearable = [bits for bits in row.fields if bits.access == "w1c"]
        self._counts: dict[str, int] = {}
        self._state = 0  # of the fields that are set and cleared

    async def run(self, events: Sequence[HardwareEvent], thorough: bool = True) -> str | None:
        """Play every event against every mask; the register's bits are 0 before and afterwards.

        Args:
            events: to be tried.
            thorough: every mask with and without bits set before; else one of each, drawn, for slow simulators.

        Returns:
            The first wrong result as a sentence, or None.
        """
        word = await self._port.read(self.row.address)
        counted = {name for event in events for name in event.counts}
        self._counts = {name: self._get(word, name) for name in counted}
        masks = [0, *(1 << bit for bits in self._clearable for bit in range(bits.lsb, bits.msb + 1))]
        everything = sum(masks)
        taken = None
        for event in events:
            due = await self._event_alone(event)
            if due is None:
                return f"{event.name}, but the interrupt has not been raised for {event.clocks} clocks"
            if taken is None:
                taken = await self._clear_alone(everything)
                if taken is None:
                    return (
                        f"register {self.row.name}: a write of 0x{everything:x} leaves the interrupt raised"
                    )
            await self._write(everything)
            self._cleared(everything)
            for offset in range(-self._around, self._around + 1):
                at = due + offset - taken
                if at < len(event.writes):
                    continue  # the event is so near to its cause that no write comes before it
                chosen = [*masks, everything] if thorough else [everything, self._random.choice(masks)]
                for mask in chosen:
                    for earlier in self._earlier(events, thorough):
                        wrong = await self._trial(event, earlier, mask, at, due, offset)
                        if wrong:
                            return wrong
        return None

    def _earlier(self, events: Sequence[HardwareEvent], thorough: bool) -> Iterator[HardwareEvent | None]:
        choices = [None, self._random.choice(events)]
        yield from choices if thorough else [self._random.choice(choices)]

    # -----------------------------------------------------------------------------------------
    # Measurements: clocks from the first beat of a burst to a change of the interrupt
    # -----------------------------------------------------------------------------------------
    async def _event_alone(self, event: HardwareEvent) -> int | None:
        begun = await self._play(event, [], event.clocks)
        self._happened(event)
        self._set(event.later)
        return self._changed(begun, 1)

    async def _clear_alone(self, mask: int) -> int | None:
        """The clocks that lie between the first beat of a burst and the end of the clock that takes it."""
        self._interrupt.clear()
        begun = get_sim_time("ns")
        await self._send([(self._idle, 0)] * _LEAD + [(self.row.address, mask)])
        await ClockCycles(self._clock, _REST)
        changed = self._changed(begun, 0)
        return None if changed is None else changed - _LEAD

    def _changed(self, begun: float, level: int) -> int | None:
        times = [edge.time_ns for edge in self._interrupt.edges if edge.level == level]
        return round((times[0] - begun) / self._clock_ns) if times else None

    # -----------------------------------------------------------------------------------------
    # Trials
    # -----------------------------------------------------------------------------------------
    async def _trial(
        self, event: HardwareEvent, earlier: HardwareEvent | None, mask: int, at: int, due: int, offset: int
    ) -> str | None:
        if earlier is not None:
            await self._play(earlier, [], earlier.clocks)
            self._happened(earlier)
            self._set(earlier.later)
        before = self._state
        filled = [(self._idle, 0)] * (at - len(event.writes))
        await self._play(event, [*filled, (self.row.address, mask)], max(due, at) + _REST)
        if offset <= 0:
            self._cleared(mask)
            self._happened(event)
        else:
            self._happened(event)
            self._cleared(mask)
        self._set(event.later)
        self.trials += 1
        self.offsets.add(offset)
        when = f"{abs(offset)} clocks {'before' if offset < 0 else 'after'} it" if offset else "in its clock"
        wrong = await self._differences()
        if wrong:
            return (
                f"register {self.row.name} (0x{self.row.address:02x}): {event.name}, and a write of 0x{mask:x}, which "
                f"clears {self._names(mask)}, is taken {when}, with {self._names(before)} set before: {wrong}"
            )
        await self._write(sum(self._mask(bits) for bits in self._clearable))
        self._cleared(~0)
        wrong = await self._differences()
        return (
            f"register {self.row.name} (0x{self.row.address:02x}), all bits cleared: {wrong}"
            if wrong
            else None
        )

    async def _differences(self) -> str:
        """What the register and the interrupt should be and are not; empty when all is well."""
        word = await self._port.read(self.row.address)
        wrong = []
        for name in self._watched():
            expected, seen = self._get(self._state, name), self._get(word, name)
            if seen != expected:
                wrong.append(f"{name} expected 0x{expected:x}, seen 0x{seen:x}")
        for name, count in self._counts.items():
            expected = count & ((1 << self._fields[name].msb - self._fields[name].lsb + 1) - 1)
            if (seen := self._get(word, name)) != expected:
                wrong.append(f"{name} expected {expected}, seen {seen}")
        raised = int(any(self._state & self._mask(bits) for bits in self._clearable))
        if self._interrupt.level != raised:
            wrong.append(f"{self._interrupt.name} expected {raised}, seen {self._interrupt.level}")
        return "; ".join(wrong)

    # -----------------------------------------------------------------------------------------
    async def _play(self, event: HardwareEvent, more: Sequence[Write], clocks: int) -> float:
        """Bring an event on in a burst that ends with the writes `more`, and wait; gives the time of its start."""
        self._interrupt.clear()
        begun = get_sim_time("ns")
        event.begin()
        await self._send([*event.writes, *more])
        if more:
            left = clocks - round((get_sim_time("ns") - begun) / self._clock_ns)
            await ClockCycles(self._clock, max(1, left))
        else:
            with suppress(InterruptTimeout):  # who asks finds no edge
                await self._interrupt.wait(timeout_clocks=clocks)
        await ClockCycles(self._clock, _REST)
        if self._rest is not None:
            await self._rest()
        return begun

    async def _send(self, writes: Sequence[Write]) -> None:
        addresses, words = np.array(writes, np.uint64).reshape(-1, 2).T
        await self._port.write_at(addresses, words)

    async def _write(self, word: int) -> None:
        await self._port.write(self.row.address, word)

    def _happened(self, event: HardwareEvent) -> None:
        self._set(event.sets)
        for name in event.counts:
            self._counts[name] += 1

    def _set(self, values: Mapping[str, int]) -> None:
        for name, value in values.items():
            self._state |= value << self._fields[name].lsb

    def _cleared(self, mask: int) -> None:
        for bits in self._clearable:
            if mask & self._mask(bits):
                for name in self._linked.get(bits.name, ()):
                    self._state &= ~self._mask(self._fields[name])
            self._state &= ~(mask & self._mask(bits))

    def _watched(self) -> list[str]:
        return [bits.name for bits in self._clearable] + [n for names in self._linked.values() for n in names]

    def _names(self, word: int) -> str:
        set_bits = (
            name
            if self._fields[name].msb == self._fields[name].lsb
            else f"{name} 0x{self._get(word, name):x}"
            for name in self._watched()
            if self._get(word, name)
        )
        return ", ".join(set_bits) or "nothing"

    def _get(self, word: int, name: str) -> int:
        return (word & self._mask(self._fields[name])) >> self._fields[name].lsb

    @staticmethod
    def _mask(bits: FieldLike) -> int:
        return ((1 << bits.msb - bits.lsb + 1) - 1) << bits.lsb
