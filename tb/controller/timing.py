# SPDX-License-Identifier: Apache-2.0
"""The part of the lock-step comparison that depends on clocks: interrupts, wfi, mip, mcycle, mtime.

It knows what lines and stores did in which clock. From that follows what a hart must, may and must not do.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from assay.golden.controller import memory_map
from assay.golden.controller.csrs import BY_NAME, INTERRUPT_FLAG, PRIORITY, Interrupt
from assay.golden.controller.iss import Iss
from assay.golden.controller.parameters import PIPELINE_STAGES, ControllerParameters
from assay.tb.controller.coverage import ControllerCoverage
from assay.tb.controller.ports import BusAccess
from assay.tb.controller.trace import AT

__all__ = ["ANY", "ISSUE", "NEVER", "BusAccesses", "HartState", "LineHistory", "Timing", "Wrong", "divides"]

#: Clocks from the decision in stage F to the retirement in stage W.
ISSUE = PIPELINE_STAGES - 1
NEVER = 1 << 62
NEAR = 2  #: clocks around a write of mip in which a pulse is counted
ANY = sum(1 << number for number in PRIORITY)  #: bits of mip

_MASK64 = (1 << 64) - 1
_MIE = BY_NAME["mstatus"].field("mie").mask
_MSTATUS, _MIE_CSR = BY_NAME["mstatus"].address, BY_NAME["mie"].address
_MIP = BY_NAME["mip"].address
_CYCLES = {BY_NAME[name].address: int(name.endswith("h")) for name in ("mcycle", "mcycleh")}
_RETIRED = {BY_NAME[name].address: int(name.endswith("h")) for name in ("minstret", "minstreth")}
_TIMES = {BY_NAME["time"].address: 0, BY_NAME["timeh"].address: 1}
_MTIME, _MTIMECMP, _MSIP = memory_map.MTIME_BASE, memory_map.MTIMECMP_BASE, memory_map.MSIP_BASE
_INSN, _INTR, _CAUSE, _ADDR, _WDATA, _CSR = (
    AT[name] for name in ("insn", "intr", "cause", "mem_addr", "mem_wdata", "csr")
)


def divides(insn: int) -> bool:
    """div, divu, rem, remu: they wait for the divider."""
    return insn & 0xFE00407F == 0x02004033


class _Line:
    """A value over the clocks: changes in order of their clock, the latest few."""

    def __init__(self, value: int) -> None:
        self.clocks = [-1]
        self.values = [value]

    def set(self, clock: int, value: int) -> None:
        """From `clock` on."""
        if len(self.clocks) > 64:
            del self.clocks[:32], self.values[:32]
        at = bisect_right(self.clocks, clock)
        self.clocks.insert(at, clock)
        self.values.insert(at, value)

    def at(self, clock: int) -> int:
        return self.values[max(bisect_right(self.clocks, clock) - 1, 0)]

    def changes(self, first: int, last: int) -> list[int]:
        """Clocks in which it changed, from `first` to `last`."""
        return self.clocks[bisect_left(self.clocks, first) : bisect_right(self.clocks, last)]

    @property
    def last(self) -> int:
        return self.values[-1]


class Wrong(Exception):
    """A retirement that cannot be; the text says why."""


class HartState:
    """The scoreboard's record of a hart beside the simulator's state."""

    def __init__(self) -> None:
        self.order = 0  #: expected rvfi_order
        self.retired = -1  #: clock of the last retirement
        self.alarm = 0  #: first clock in which an enabled interrupt may be pending
        self.asleep = False  #: the last retirement was a wfi
        self.spinning = False  #: the last retirement jumped to itself
        self.released = NEVER  #: clock since which it may issue
        self.held = -1  #: clock since which it may not
        self.software = _Line(0)  #: msip
        self.compare = _Line(_MASK64)  #: mtimecmp
        self.mvu = _Line(0)  #: writes of mip.16; pulses are the lines'

    @property
    def awaits(self) -> int:
        """The clock from which on its retirements need more than a step."""
        return 0 if self.asleep else self.alarm


class BusAccesses(Protocol):
    """What answered on the MVU bus.

    Attributes:
        log: for each hart its accesses that no retirement has claimed so far.
    """

    log: list[deque[BusAccess]]

    @property
    def latency(self) -> int:
        """Longest time to an answer, in clocks."""

    @property
    def prompt(self) -> bool:
        """Whether every request was taken in the clock in which it came to the port."""


class LineHistory(Protocol):
    """What the interrupt lines did; see `tb.controller.ports.InterruptLines`."""

    pulses: list[list[int]]
    levels: list[list[tuple[int, int]]]


class Timing:
    """Judges what depends on clocks, and hands it to the golden simulator.

    Args:
        params: of the build.
        mvus: what answered on the bus.
        lines: what the interrupt lines did.
        coverage: sampled with each interrupt.

    Attributes:
        harts: what is known of each.
        patience: clocks in which a hart that can go on does so.
        taken: interrupts.
    """

    def __init__(
        self,
        params: ControllerParameters,
        mvus: BusAccesses,
        lines: LineHistory,
        coverage: ControllerCoverage,
    ) -> None:
        self.params = params
        self.mvus = mvus
        self.lines = lines
        self.coverage = coverage
        self.taken = 0
        self.patience = 2 * max(params.harts, PIPELINE_STAGES) + 2 * PIPELINE_STAGES

    def reset(self, iss: Iss) -> None:
        """The device is in reset, and this simulator in the same state."""
        self.iss = iss
        self.harts = [HartState() for _ in range(self.params.harts)]
        self._time = _Line(0)  # mtime minus the clock
        self._seen = 0  # changes of lines

    # ---------------------------------------------------------------------------------------------
    # Interrupts
    # ---------------------------------------------------------------------------------------------
    def pending(self, hart: int, state: HartState, clock: int) -> int:
        """mip in a clock, by what lines and stores did."""
        mip = state.software.at(clock) << Interrupt.SOFTWARE
        mip |= ((self._time.at(clock) + clock & _MASK64) >= state.compare.at(clock)) << Interrupt.TIMER
        levels = self.lines.levels[hart]
        mip |= levels[bisect_right(levels, (clock, 2)) - 1][1] << Interrupt.EXTERNAL
        return mip | self._mvu_pending(hart, state, clock) << Interrupt.MVU

    def _mvu_pending(self, hart: int, state: HartState, clock: int) -> int:
        """mip.16: a pulse is seen one clock later; in the clock of a write it wins."""
        written = state.mvu.clocks[max(bisect_right(state.mvu.clocks, clock) - 1, 0)]
        pulses = self.lines.pulses[hart]
        first = bisect_left(pulses, written - 1)
        if first < len(pulses) and pulses[first] < clock:
            return 1
        return state.mvu.at(clock)

    def window(self, hart: int, state: HartState, first: int, last: int) -> tuple[int, int]:
        """Bits of mip that were set in some and in all clocks from `first` to `last`; none where there are none."""
        some, every = 0, -1 if first <= last else 0
        for clock in self._moments(hart, state, first, last):
            mip = self.pending(hart, state, clock)
            some |= mip
            every &= mip
        return some, every

    def _moments(self, hart: int, state: HartState, first: int, last: int) -> Iterable[int]:
        """Clocks from `first` to `last`, ascending, between which mip did not change."""
        if last - first < 16:
            return range(first, last + 1)
        moments = {first}
        for line in (state.software, state.mvu, state.compare, self._time):
            moments.update(line.changes(first, last))
        levels, pulses = self.lines.levels[hart], self.lines.pulses[hart]
        first_level, end = bisect_left(levels, (first, 0)), bisect_right(levels, (last, 2))
        moments.update(clock for clock, _ in levels[first_level:end])
        # A pulse is seen one clock later.
        moments.update(
            clock + 1 for clock in pulses[bisect_left(pulses, first - 1) : bisect_left(pulses, last)]
        )
        # And where mtime reaches mtimecmp, or begins anew, by the values that hold from then on.
        for since in sorted(moments):
            time = self._time.at(since)
            moments.update((state.compare.at(since) - time, -time & _MASK64))
        return sorted(clock for clock in moments if first <= clock <= last)

    def woken(self, hart: int, state: HartState, last: int) -> int | None:
        """The clock up to `last` that ended the wfi with which the hart's last retirement put it to sleep.

        It ends it for good, also when the hart is held and what it woke for has gone before its release.
        """
        enabled = self.iss.harts[hart].csrs[_MIE_CSR]
        if not enabled:
            return None
        moments = self._moments(hart, state, state.retired, last)
        return next((clock for clock in moments if self.pending(hart, state, clock) & enabled), None)

    def access(self, hart: int, clock: int) -> BusAccess | None:
        """The first access on the bus that the instruction which retires in `clock` has made."""
        log = self.mvus.log[hart]
        return log[0] if log and log[0].clock < clock else None

    def decide(self, hart: int, state: HartState, record: tuple[int, ...], clock: int) -> None:
        """Whether this retirement's interrupt, or its absence, is right; hand it to the simulator.

        Decided is in the clock in which the hart issues. An instruction that waited for an answer, or that opens a
        handler, was decided upon some time since the hart's last retirement.
        """
        csrs = self.iss.harts[hart].csrs
        enabled = csrs[_MIE_CSR]
        armed = enabled if csrs[_MSTATUS] & _MIE else 0
        if not (armed or state.asleep or record[_INTR]):
            return
        first = last = clock - ISSUE
        parked = False
        access = self.access(hart, clock)
        if access is not None:
            # Its request has left stage M in the clock before it came to the port, or earlier.
            last, parked = access.clock - ISSUE, True
        if record[_INTR]:
            first, last = state.retired + 1, last - PIPELINE_STAGES
            if access is not None and first > last:
                raise Wrong(
                    "an interrupt is taken in the middle of an instruction, which has already asked the bus for "
                    f"{access}"
                )
        elif access is not None:
            first = last if self.mvus.prompt else state.retired + 1
        elif divides(record[_INSN]):
            first, parked = state.retired + 1, True
        some, every = 0, 0
        if armed or state.asleep:
            # A wait for an answer is looked at from its beginning, in which was decided, and so is that of a hart that
            # may have been held between the decision and the handler; of a sleep its end is enough.
            begin = max(first, last - 2 * self.patience)
            if parked or begin <= state.released:
                begin = first
            some, every = self.window(hart, state, begin, last)
        if record[_INTR]:
            number = record[_CAUSE] & ~INTERRUPT_FLAG
            if not record[_CAUSE] & INTERRUPT_FLAG or number not in PRIORITY:
                raise Wrong(
                    f"rvfi_intr with cause 0x{record[_CAUSE]:08x}, which is not the cause of an interrupt"
                )
            if not armed >> number & 1:
                raise Wrong(
                    f"interrupt {number} is taken, which is not enabled: mie 0x{enabled:05x}, "
                    f"mstatus 0x{csrs[_MSTATUS]:08x}"
                )
            if not some >> number & 1:
                raise Wrong(
                    f"interrupt {number} is taken, which is not pending: mip 0x{some & ANY:05x} in the clocks "
                    f"{first} to {last}"
                )
            higher = next(n for n in PRIORITY if n == number or every & armed & 1 << n)
            if higher != number:
                raise Wrong(
                    f"interrupt {number} is taken, but interrupt {higher}, pending and enabled, comes first"
                )
            self.coverage.sample_interrupt(hart, number, self._phase(hart, state, number, last))
            self.iss.take_interrupt(hart, number)
            self.taken += 1
        elif every & armed & ANY:
            number = next(n for n in PRIORITY if every & armed & 1 << n)
            raise Wrong(
                f"interrupt {number} is pending and enabled (mip 0x{every & ANY:05x}, mie 0x{enabled:05x}) "
                f"in clock {last}, in which the hart issues, and not taken: too late or never"
            )
        if state.asleep:
            self._check_wake(hart, state, enabled, last, parked)
        elif access is not None and first == last and not record[_INTR]:
            self._sample_wait(hart, state, armed, first, clock)

    def _phase(self, hart: int, state: HartState, number: int, issue: int) -> str:
        """The stage of the hart's previous instruction when the interrupt became pending."""
        if state.asleep:
            return "wfi"
        since = issue
        for _ in range(3 * PIPELINE_STAGES):
            if not self.pending(hart, state, since - 1) >> number & 1:
                stage = since - (state.retired - ISSUE)
                return "FDXMW"[stage] if 0 <= stage < PIPELINE_STAGES else "between"
            since -= 1
        return "disabled before"

    def _check_wake(self, hart: int, state: HartState, enabled: int, issue: int, parked: bool) -> None:
        """A hart in wfi goes on when, and only when, something enabled is pending, or was while it was held."""
        woken = self.woken(hart, state, issue)
        if woken is None:
            mip, _ = self.window(hart, state, state.retired, max(issue, state.retired))
            raise Wrong(
                f"the hart left wfi by itself: mip 0x{mip & ANY:05x}, mie 0x{enabled:05x} in clocks "
                f"{state.retired} to {issue}"
            )
        start = max(woken, state.released)
        if state.held == NEVER and not parked and issue - start > self.patience:
            raise Wrong(
                f"the hart left wfi too late: woken in clock {woken}, released in clock {state.released}, it issued "
                f"in clock {issue}"
            )
        held = woken < state.released
        gone = not self.pending(hart, state, state.released if held else issue) & enabled
        self.coverage.sample_wake(held, gone)

    def _sample_wait(self, hart: int, state: HartState, armed: int, issue: int, clock: int) -> None:
        """Count where in an access of the bus, first issued in `issue`, the next interrupt became pending."""
        if not armed:
            return
        log = self.mvus.log[hart]
        accesses = 2 if len(log) > 1 and log[1].clock < clock else 1
        for moment in self._moments(hart, state, issue + 1, clock - 1):
            if self.pending(hart, state, moment) & armed:
                last = clock - ISSUE
                phase = "first pass" if moment - issue < PIPELINE_STAGES else "waits"
                if moment >= last:
                    phase = "last pass"
                elif accesses == 2 and moment > log[1].clock - ISSUE:
                    phase = "waits again"
                self.coverage.sample_wait(accesses, phase)
                return

    def set_alarm(self, hart: int, state: HartState, clock: int) -> None:
        """The clock from which on an enabled interrupt may be pending, by what is known."""
        csrs = self.iss.harts[hart].csrs
        armed = csrs[_MIE_CSR] if csrs[_MSTATUS] & _MIE else 0
        alarm = NEVER
        if not armed:
            state.alarm = alarm
            return
        if armed >> Interrupt.SOFTWARE & 1 and state.software.last:
            alarm = 0
        if armed >> Interrupt.EXTERNAL & 1:
            levels = self.lines.levels[hart]
            at = bisect_right(levels, (clock, 2)) - 1
            alarm = min(alarm, next((c for c, level in levels[at:] if level), NEVER))
        if armed >> Interrupt.MVU & 1:
            if self._mvu_pending(hart, state, clock):
                alarm = 0
            else:
                pulses = self.lines.pulses[hart]
                at = bisect_left(pulses, clock - PIPELINE_STAGES)
                alarm = min(alarm, pulses[at] if at < len(pulses) else NEVER)
        if armed >> Interrupt.TIMER & 1:
            due = state.compare.last - self._time.last
            alarm = min(alarm, max(due, 0))
        state.alarm = alarm

    def wake_by_lines(self, now: int) -> None:
        """Lines that changed since the last batch may ring earlier."""
        events = sum(map(len, self.lines.pulses)) + sum(map(len, self.lines.levels))
        if events != self._seen:
            self._seen = events
            for hart, state in enumerate(self.harts):
                self.set_alarm(hart, state, now)

    # ---------------------------------------------------------------------------------------------
    # Counters, and stores to devices
    # ---------------------------------------------------------------------------------------------
    def observe_csr(self, state: HartState, hart: int, record: tuple[int, ...], clock: int) -> bool:
        """Check what was read from mip or time and hand it over; whether mip is written."""
        insn = record[_INSN]
        golden = self.iss.harts[hart]
        address, form, source = insn >> 20, insn >> 12 & 3, insn >> 15 & 31
        reads, writes = form != 1 or insn >> 7 & 31 != 0, form == 1 or source != 0
        value = record[_CSR]
        if address == _MIP and reads:
            some, every = self.window(hart, state, clock - 1, clock - 1)
            wrong = value & ~some | every & ANY & ~value
            if wrong:
                raise Wrong(f"mip reads 0x{value:08x}, its bits 0x{wrong & 0xFFFFFFFF:x} cannot be so")
            self.iss.observed = value
        elif address in _TIMES:
            self.iss.observed = self.check_time(value, _TIMES[address], clock)
        if not writes:
            return False
        if address in _CYCLES:
            self.coverage.sample_counter("mcycle", _CYCLES[address], golden.cycles.read(clock - 1))
        elif address in _RETIRED:
            value = golden.instructions.read(golden.retired)
            self.coverage.sample_counter("minstret", _RETIRED[address], value)
        return address == _MIP

    def wrote_mip(self, hart: int, state: HartState, clock: int) -> None:
        """An instruction that retired in `clock` has written mip."""
        written = self.iss.harts[hart].mvu_pending
        state.mvu.set(clock, written)
        pulses, at = self.lines.pulses[hart], clock - 1
        first, end = bisect_left(pulses, at - NEAR), bisect_right(pulses, at + NEAR)
        self.coverage.sample_clear(written, [pulse - at for pulse in pulses[first:end]])

    def check_time(self, value: int, half: int, clock: int) -> int:
        """The low (0) or high (1) half of mtime as it was read."""
        now = self._time.last + clock - 1 & _MASK64
        expected = now >> 32 if half else now & 0xFFFFFFFF
        if value != expected:
            raise Wrong(f"mtime reads 0x{value:08x} instead of 0x{expected:08x}")
        return value

    def stored(self, record: tuple[int, ...], clock: int, writer: int | None) -> None:
        """A store to msip, mtimecmp or mtime, by a hart or, None, the host."""
        address = record[_ADDR]
        if address >> 3 == _MTIME >> 3:
            shift = 32 * (address >> 2 & 1)
            now = self._time.last + clock - 1 & _MASK64
            new = now & ~(0xFFFFFFFF << shift) | record[_WDATA] << shift
            self._time.set(clock, new - clock)
            self.coverage.sample_counter("mtime", shift // 32, now)
        elif _MTIMECMP <= address < _MTIME:
            hart = address - _MTIMECMP >> 3
            compare, now = self.harts[hart].compare, self._time.last + clock & _MASK64
            before = now >= compare.last
            compare.set(clock, self.iss.mtimecmp[hart])
            by = "host" if writer is None else "own" if writer == hart else "another"
            self.coverage.sample_compare(by, address >> 2 & 1, before, now >= compare.last)
        elif address < _MTIMECMP:
            hart = address - _MSIP >> 2
            self.harts[hart].software.set(clock, self.iss.msip[hart])
        for hart, state in enumerate(self.harts):
            self.set_alarm(hart, state, clock)
