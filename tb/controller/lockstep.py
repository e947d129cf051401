# SPDX-License-Identifier: Apache-2.0
"""Scoreboard of the retirement trace: each retirement steps the golden simulator, which must say the same.

What depends on clocks is handed to the simulator when the device shows it, and checked against what the bench knows:
an interrupt must be pending, enabled and of the highest priority in the clock of its decision, and one that is must be
taken; mip, mcycle and mtime must be what lines, stores and the bench's clock make them; a hart that can go on goes on.

A retirement that has nothing to do with any of this costs one call of the simulator and one comparison of tuples. Where
the runner has compiled `tb.controller.library`, that confirms such retirements, many at a time; whatever it does not
confirm goes the same way as without it.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from cocotb.triggers import Event

from assay.golden.controller import memory_map
from assay.golden.controller.compiled import CompiledIss
from assay.golden.controller.csrs import BY_NAME
from assay.golden.controller.instructions import OPCODES, disassemble
from assay.golden.controller.iss import Iss, Retirement
from assay.golden.controller.parameters import PIPELINE_STAGES, ControllerParameters
from assay.tb.agents.burst import Beats
from assay.tb.controller.coverage import ControllerCoverage
from assay.tb.controller.library import Order
from assay.tb.controller.suspect import suspect
from assay.tb.controller.timing import ISSUE, NEVER, BusAccesses, HartState, LineHistory, Timing, Wrong
from assay.tb.controller.trace import AT, STATUS, read_records, retirement, retirements
from assay.tb.scoreboard import Mismatch

__all__ = ["Lockstep"]

KEPT_BATCHES = 8
STEPS = 64  #: at most, of the readable simulator where the compiled one has stopped
HISTORY = 6  #: instructions of the hart that a report shows

_WFI = 0x1050_0073
_SYSTEM = OPCODES["system"]
_MIE = BY_NAME["mstatus"].field("mie").mask
_MSTATUS, _MIE_CSR = BY_NAME["mstatus"].address, BY_NAME["mie"].address
_MCAUSE, _MEPC, _MTVAL = (BY_NAME[name].address for name in ("mcause", "mepc", "mtval"))
_HOLD, *_, _PC = (register.address for register in memory_map.HOST_REGISTERS)
_IMEM, _MTIME = memory_map.IMEM_BASE, memory_map.MTIME_BASE
_INSN, _TRAP, _INTR, _ADDR, _RMASK, _WMASK, _RDATA, _WDATA = (
    AT[name]
    for name in ("insn", "trap", "intr", "mem_addr", "mem_rmask", "mem_wmask", "mem_rdata", "mem_wdata")
)


class Lockstep:
    """Compares retirements with the golden simulator.

    Args:
        params: of the build.
        mvus: what answered on the bus.
        lines: what the interrupt lines did.
        coverage: sampled with every batch.
        on_mismatch: called with the first `Mismatch`; after it nothing more is compared.
        clock_ns: clock period.
        library: `tb.controller.library`, compiled; None: Python does everything.

    Attributes:
        iss: the golden simulator.
        beats_compared, values_compared: retirements, and their fields.
        tohost: address whose odd value ends a program.
        exited: set when it was stored; ``exit_code`` is the value.
        retired: instructions since the reset, without those that trapped.
        on_batch: called after each batch.
        on_restart: called with a hart that the host starts anew, and the clock from which on it does.
        origin_ns: simulation time of the bench's clock 0.
        alter: for tests of this scoreboard: changes a batch of records before it is compared.
    """

    name = "trace"

    def __init__(
        self,
        params: ControllerParameters,
        mvus: BusAccesses,
        lines: LineHistory,
        coverage: ControllerCoverage,
        on_mismatch: Callable[[Mismatch], None],
        clock_ns: float = 10,
        library: ctypes.CDLL | None = None,
    ) -> None:
        self.params = params
        self.mvus = mvus
        self.lines = lines
        self.coverage = coverage
        self.on_mismatch = on_mismatch
        self.clock_ns = clock_ns
        self.origin_ns = 0.0
        self._library = library
        self._order = Order(library, params.harts, STATUS) if library is not None else None
        self.iss = Iss(params, self._bus)
        self.loaded = False
        self.beats_compared = 0
        self.mismatches: list[Mismatch] = []
        self.exited = Event()
        self.on_batch: Callable[[], None] | None = None
        self.on_restart: Callable[[int, int], None] = lambda hart, clock: None
        self.alter: Callable[[np.ndarray], np.ndarray] | None = None
        self.timing = Timing(params, mvus, lines, coverage)
        self.clocks = 0  #: in which something retired, from the first to the last of each run
        # All harts may wait for the one divider, some 40 clocks each.
        self._divisions = 40 * params.harts * params.mul_div
        self.reset()

    # ---------------------------------------------------------------------------------------------
    # What the bench does to the device
    # ---------------------------------------------------------------------------------------------
    def reset(self) -> None:
        """The device is in reset: harts and devices start afresh, the memories keep their contents."""
        words = self.iss.words
        self.iss = Iss(self.params, self._bus)
        self.iss.bytes[:] = memoryview(words).cast("B")
        self._compiled = CompiledIss(self._library, self.iss) if self._library is not None else None
        self.timing.reset(self.iss)
        self._batches: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=KEPT_BATCHES)
        self._writes: deque[tuple[int, int, int]] = deque()
        self._waiting: list[Beats] | None = None
        self.tohost = None
        self._turn: int | None = None  # clocks from a hart's slot, less its number, by the slots of all
        self._now = 0
        self.retired = 0

    @property
    def harts(self) -> list[HartState]:
        """What is known of each hart beside the simulator's state."""
        return self.timing.harts

    @property
    def tohost(self) -> int | None:
        return self.iss.tohost

    @tohost.setter
    def tohost(self, address: int | None) -> None:
        self.iss.tohost = address
        self.iss.exit_code = None
        self.iss.host_request = 0
        self.exited.clear()

    @property
    def exit_code(self) -> int | None:
        """The value that was stored to `tohost`."""
        return self.iss.exit_code

    def memory(self) -> np.ndarray:
        """Both memories, uint32[words]: a view, to be read only."""
        return np.frombuffer(self.iss.words, np.uint32)

    def load(self, image: np.ndarray) -> None:
        """The host has made the memories hold `image`."""
        self.iss.load(_IMEM, np.ascontiguousarray(image, "<u4").tobytes())
        self.loaded = True

    def host_wrote(self, address: int, value: int, clock: int) -> None:
        """The host has written a register of its own or a device: from `clock` on it is seen, after all that is
        compared.

        A write that the device must refuse, or that does nothing, changes nothing.
        """
        own, device = address - memory_map.HOST_BASE, memory_map.Region
        where = memory_map.region(address, self.params)
        hart = own - _PC >> 2
        if address % 4:
            return
        if own == _HOLD:
            self.hold(value, clock)
        elif 0 <= hart < len(self.harts):
            if self.harts[hart].held != NEVER:
                self.start(hart, value, clock)
        elif where in (device.MSIP, device.MTIMECMP, device.MTIME):
            self.iss.clock = clock - 1
            self.iss._write_device(self.iss.harts[0], where, address, value)
            record = [0] * len(Retirement._fields)
            record[_ADDR], record[_WDATA] = address, value
            self.timing.stored(tuple(record), clock, None)

    def host_writes(self, address: int, value: int, clock: int) -> None:
        """As `host_wrote`, between retirements that are still to be compared."""
        self._writes.append((clock, address, value))

    def settle(self) -> None:
        """Everything that has retired is compared: what the host wrote behind it happens."""
        while self._writes:
            clock, address, value = self._writes.popleft()
            self.host_wrote(address, value, clock)

    def start(self, hart: int, pc: int, clock: int) -> None:
        """The host has written the pc of a held hart, which starts anew: mcycle counts from `clock` on."""
        self.iss.clock = clock
        self.iss.release(hart, pc)
        state = self.harts[hart]
        self.on_restart(hart, clock)
        self.coverage.sample_host(True, clock - state.held, self._in_m(clock))
        state.asleep = state.spinning = False
        # What a held instruction has asked of the bus is lost with it.
        log = self.mvus.log[hart]
        while log and log[0].clock < clock:
            log.popleft()
        state.mvu.set(clock, 0)
        self.timing.set_alarm(hart, state, clock)

    def hold(self, mask: int, clock: int) -> None:
        """From `clock` on these harts do not issue, and the others may."""
        for hart, state in enumerate(self.harts):
            if mask >> hart & 1:
                state.held = min(state.held, clock)
                state.released = NEVER
            else:
                if state.held not in (NEVER, -1):
                    self.coverage.sample_host(False, clock - state.held, self._in_m(clock))
                state.released = min(state.released, clock)
                state.held = NEVER

    def _in_m(self, clock: int) -> np.ndarray | None:
        """The record of what was in stage M in the clock before `clock`; up to that all is compared."""
        if not self._batches:
            return None
        records, cycles = self._batches[-1]
        return records[-1] if len(records) and int(cycles[-1]) == clock else None

    # ---------------------------------------------------------------------------------------------
    # Retirements
    # ---------------------------------------------------------------------------------------------
    @property
    def values_compared(self) -> int:
        """Fields compared so far."""
        return self.beats_compared * len(Retirement._fields)

    def pause(self) -> None:
        """What retires from now on is kept until `resume`: the host is about to write what harts may see."""
        self._waiting = self._waiting or []

    def resume(self) -> None:
        """Everything that the host has written so far is known."""
        waiting, self._waiting = self._waiting or (), None
        for beats in waiting:
            self.write(beats)

    def write(self, beats: Beats) -> None:
        """Retirements that passed, in order: the callback for the tap."""
        if self._waiting is not None:
            self._waiting.append(beats)
            return
        first = 0
        while self._writes and first < len(beats):
            # The instruction that was in M before the write retires up to the clock behind it.
            clock, address, value = self._writes[0]
            stop = max(first, int(np.searchsorted(beats.cycles, clock, side="right")))
            if stop > first:
                self._write(
                    Beats(
                        beats.port, beats.first + first, beats.cycles[first:stop], beats.payload[first:stop]
                    )
                )
            if stop == len(beats):
                return
            self._writes.popleft()
            self.host_wrote(address, value, clock)
            first = stop
        if first:
            beats = Beats(beats.port, beats.first + first, beats.cycles[first:], beats.payload[first:])
        self._write(beats)

    def _write(self, beats: Beats) -> None:
        if self.mismatches:
            return
        records = read_records(beats.payload)
        if self.alter is not None:
            records = self.alter(records)
        cycles = beats.cycles
        self._batches.append((records, cycles))
        self.timing.wake_by_lines(self._now)
        done = self._compare(records, cycles)
        self.beats_compared += done
        if done:
            self._now = int(cycles[done - 1])
            self.retired += int(np.count_nonzero(records["trap"][:done] == 0))
            self.coverage.sample(records[: done - bool(self.mismatches)])
        if done == len(records) and not self.mismatches:
            self._check_order(records, cycles)
            self._check_liveness()
        if self.iss.exit_code is not None or self.iss.host_request:
            self.exited.set()
        if self.on_batch is not None:
            self.on_batch()

    def _compare(self, records: np.ndarray, cycles: np.ndarray) -> int:
        """Step through a batch; how many retirements were compared, the unlike one included."""
        if self._compiled is not None:
            return self._compare_fast(self._compiled, records, cycles)
        for index, (record, clock) in enumerate(zip(retirements(records), cycles.tolist(), strict=True)):
            if not self._step(record, clock):
                return index + 1
        return len(records)

    def _compare_fast(self, compiled: CompiledIss, records: np.ndarray, cycles: np.ndarray) -> int:
        """As `_compare`, with steps of the readable simulator where the compiled one stops."""
        records, cycles = np.ascontiguousarray(records), np.ascontiguousarray(cycles, np.uint32)
        done, equal, steps = 0, True, 1
        while equal:
            compiled.give([self._awaits(hart, state) for hart, state in enumerate(self.harts)])
            before, done = done, compiled.follow(records, cycles, done)
            self._take(compiled)
            if done == len(records):
                break
            # To go over costs as much as several steps: where it stops often, more of them are taken.
            steps = min(2 * steps, STEPS) if done - before < 8 else 1
            for number, index in enumerate(range(done, min(done + steps, len(records)))):
                record = retirement(records[index])
                equal = self._step(record, int(cycles[index]))
                done = index + 1
                if not equal:
                    break
                if compiled.unlike and not number:
                    raise RuntimeError(
                        f"the compiled simulator does not confirm what the readable one does: {Retirement(*record)}"
                    )
        return done

    def _take(self, compiled: CompiledIss) -> None:
        for state, clock in zip(self.harts, compiled.take(), strict=True):
            if clock is not None:
                state.retired = clock

    def _step(self, record: tuple[int, ...], clock: int) -> bool:
        """Compare one retirement; whether it is right."""
        hart = record[0]
        if hart >= len(self.harts):
            self._report(record, clock, None, f"hart {hart} does not exist")
            return False
        state = self.harts[hart]
        try:
            if clock >= self._awaits(hart, state) or self._rare(record):
                made = self._step_rare(hart, state, record, clock)
            else:
                made = self.iss.step_fast(hart)
        except Wrong as wrong:
            self._report(record, clock, None, str(wrong))
            return False
        if made != record:
            self._report(record, clock, made, "")
            return False
        state.retired = clock
        return True

    def _awaits(self, hart: int, state: HartState) -> int:
        """The clock from which on a hart's retirements need more than a step."""
        log = self.mvus.log[hart]
        return min(state.awaits, log[0].clock) if log else state.awaits

    def _rare(self, record: tuple[int, ...]) -> bool:
        """Whether a retirement needs more than a step: traps, interrupts, system instructions, devices."""
        if record[_INSN] & 0x7F == _SYSTEM or record[_TRAP] or record[_INTR]:
            return True
        accesses = record[_RMASK] or record[_WMASK]
        return bool(accesses) and not 0 <= record[_ADDR] - _IMEM < self.iss.bytes.nbytes

    def _step_rare(self, hart: int, state: HartState, record: tuple[int, ...], clock: int) -> tuple[int, ...]:
        self.iss.clock = clock - 1  # that of stage M, in which memories, devices and CSRs are reached
        self.timing.decide(hart, state, record, clock)
        insn = record[_INSN]
        writes_mip = False
        if insn & 0x7F == _SYSTEM and insn & 0x7000 and not record[_TRAP]:
            writes_mip = self.timing.observe_csr(state, hart, record, clock)
        elif record[_RMASK] and record[_ADDR] >> 3 == _MTIME >> 3:
            self.iss.observed = self.timing.check_time(record[_RDATA], record[_ADDR] >> 2 & 1, clock)
        made = tuple(self.iss.step_fast(hart))
        if made != record:
            return made
        stray = self.timing.access(hart, clock)
        if stray is not None:
            raise Wrong(f"the bus carried {stray}, which this instruction did not ask for")
        if writes_mip:
            self.timing.wrote_mip(hart, state, clock)
        if record[_WMASK] and record[_ADDR] < memory_map.MVU_BASE:
            self.timing.stored(record, clock, hart)
        state.asleep = insn == _WFI and not record[_TRAP]
        self.timing.set_alarm(hart, state, clock)
        return made

    # ---------------------------------------------------------------------------------------------
    # The bus
    # ---------------------------------------------------------------------------------------------
    def _bus(self, hart: int, write: bool, mvu: int, register: int, wdata: int) -> tuple[int, bool]:
        """The simulator's access to an MVU register: the answer that the device got for the same access."""
        log = self.mvus.log[hart]
        said = f"{'write' if write else 'read'} of register {register} of MVU {mvu}"
        if not log:
            raise Wrong(f"the {said} never came to the bus")
        access = log.popleft()
        wanted = (write, mvu, register, wdata if write else access.wdata)
        if wanted != (access.write, access.mvu, access.register, access.wdata):
            raise Wrong(
                f"the bus carried {access} instead of a {said}{f' with 0x{wdata:08x}' if write else ''}"
            )
        self.coverage.sample_bus(hart, access)
        return access.rdata, access.error

    # ---------------------------------------------------------------------------------------------
    # Order and liveness
    # ---------------------------------------------------------------------------------------------
    def _check_order(self, records: np.ndarray, cycles: np.ndarray) -> None:
        """rvfi_order counts each hart's retirements; mode, ixl and halt never change; nothing issues while held, and
        without Skip everything in its hart's slot."""
        if not self.params.skip:
            turns = (cycles.astype(np.int64) - records["hart"]) % max(self.params.harts, PIPELINE_STAGES)
            if self._turn is None:
                self._turn = int(turns[0])
            wrong = np.flatnonzero(turns != self._turn)
            if len(wrong):
                why = "it has issued in the slot of another hart, as those before it show"
                self._report_at(records, cycles, int(wrong[0]), why)
                return
        progress = None
        if self._order is not None:
            progress = self._order.follow(records, [state.order for state in self.harts])
        if progress is None:
            progress = self._find_disorder(records, cycles)
        for state, (order, last, spins) in zip(self.harts, progress or (), strict=False):
            if last < 0:
                continue
            state.order, state.spinning = order, spins
            if int(cycles[last]) - ISSUE >= state.held:
                since = "the reset" if state.held < 0 else f"clock {state.held}"
                why = f"the hart has issued in clock {int(cycles[last]) - ISSUE}, and is held since {since}"
                self._report_at(records, cycles, last, why)
                return

    def _find_disorder(self, records: np.ndarray, cycles: np.ndarray) -> list[tuple[int, int, bool]] | None:
        """Report a wrong order or status.

        When there is none: for each hart the order of its next record, where in `records` its last one lies, or -1, and
        whether that jumps to itself.
        """
        odd = np.flatnonzero(records["status"] != STATUS)
        if len(odd):
            self._report_at(
                records, cycles, int(odd[0]), "rvfi_mode, rvfi_ixl or rvfi_halt is not machine mode's"
            )
            return None
        # One hart after the other, each in the order of time: within a hart order goes up by one.
        places = np.argsort(records["hart"], kind="stable")
        harts, orders = records["hart"][places], records["order"][places]
        first = np.flatnonzero(np.diff(harts, prepend=255))
        expected = np.arange(len(orders), dtype=np.uint64)
        for at, hart in zip(first.tolist(), harts[first].tolist(), strict=True):
            state = self.harts[hart]
            expected[at:] = np.uint64(state.order) + np.arange(len(orders) - at, dtype=np.uint64)
        wrong = np.flatnonzero(orders != expected)
        if len(wrong):
            at = int(wrong[0])
            why = f"rvfi_order is {int(orders[at])} instead of {int(expected[at])}"
            self._report_at(records, cycles, int(places[at]), why)
            return None
        progress = [(0, -1, False)] * len(self.harts)
        last = np.append(first[1:], len(orders)) - 1
        for hart, at in zip(harts[last].tolist(), places[last].tolist(), strict=True):
            record = records[at]
            spins = bool(record["pc_wdata"] == record["pc_rdata"] and not record["trap"])
            progress[hart] = int(record["order"]) + 1, at, spins
        return progress

    def _check_liveness(self) -> None:
        """Every hart that can go on has gone on."""
        if self.mvus.latency or any(self.mvus.log):
            return
        limit = 4 * self.timing.patience + 64 + self._divisions
        for hart, state in enumerate(self.harts):
            since = max(state.retired, state.released)
            if self._now - since <= limit:
                continue
            if state.asleep:
                woken = self.timing.woken(hart, state, self._now)
                if woken is None or self._now - woken <= limit:
                    continue
                why = f"woken in clock {woken} and yet in wfi"
            else:
                why = "neither held nor in wfi"
            self._fail(
                Mismatch(
                    self.name,
                    "stuck",
                    self.beats_compared,
                    f"hart {hart} has not retired anything since clock {since}, now is {self._now}: {why}",
                    cycle=self._now,
                    time_ns=self._time_ns(self._now),
                    where=self._history(hart, self._now + 1),
                )
            )
            return

    def resting(self, harts: int) -> str:
        """The places at which the harts of a mask rest for ever; empty if one may go on."""
        places = []
        for hart, state in enumerate(self.harts):
            if not harts >> hart & 1:
                continue
            golden = self.iss.harts[hart]
            enabled = golden.csrs[_MIE_CSR]
            if not state.spinning and not (state.asleep and not enabled):
                return ""
            if state.spinning and enabled and golden.csrs[_MSTATUS] & _MIE:
                return ""
            places.append(
                f"hart {hart} {'in wfi' if state.asleep else 'jumps to itself'} at 0x{golden.pc:08x}"
            )
        return ", ".join(places)

    def last_trap(self) -> str:
        """mcause and mepc of the harts that have trapped."""
        csrs = [(hart, state.csrs) for hart, state in enumerate(self.iss.harts)]
        traps = [
            f"hart {hart}: mcause 0x{c[_MCAUSE]:x}, mepc 0x{c[_MEPC]:08x}, mtval 0x{c[_MTVAL]:x}"
            for hart, c in csrs
            if c[_MEPC]
        ]
        return f"; last trap of {'; '.join(traps)}" if traps else ""

    # ---------------------------------------------------------------------------------------------
    # The end, and what is wrong
    # ---------------------------------------------------------------------------------------------
    def conclude(self) -> list[Mismatch]:
        """See `tb.scoreboard.Scoreboard`: every batch is judged as it comes."""
        return self.mismatches

    def finish(self) -> list[Mismatch]:
        """End of the test: at least one retirement was compared and the bus carried nothing else."""
        if not self.mismatches:
            # An instruction of a hart that was held meanwhile has made up to two accesses.
            left = next((log[0] for log in self.mvus.log if len(log) > 2), None)
            if left is not None:
                self._fail(
                    Mismatch(self.name, "bus", -1, f"the bus carried {left}, which no instruction asked for")
                )
            elif not self.beats_compared:
                self._fail(
                    Mismatch(self.name, "nothing compared", -1, "not a single retirement was compared")
                )
        return self.mismatches

    def _report_at(self, records: np.ndarray, cycles: np.ndarray, at: int, why: str) -> None:
        self._report(retirements(records[at : at + 1])[0], int(cycles[at]), None, why)

    def _report(self, seen: tuple[int, ...], clock: int, made: Iterable[int] | None, why: str) -> None:
        record = Retirement(*seen)
        hart = record.hart
        where = f"hart {hart}, pc 0x{record.pc_rdata:08x}: {self._disassemble(record.insn)}"
        expected = shown = names = cause = ""
        kind = "check"
        if made is not None:
            kind = "mismatch"
            golden = Retirement(*made)
            unlike = [n for n in Retirement._fields if getattr(golden, n) != getattr(record, n)]
            names = ", ".join(unlike)
            expected = " ".join(f"{n}=0x{getattr(golden, n):x}" for n in unlike)
            shown = " ".join(f"{n}=0x{getattr(record, n):x}" for n in unlike)
            cause = suspect(unlike, golden.insn)
            if "csr" in unlike:
                names = names.replace("csr", f"csr {_csr_name(record.insn)}")
                if record.csr == _written_to_csr(golden):
                    cause = "the CSR instruction read what it writes itself: it was executed twice"
            if "insn" in unlike:
                expected += f" ({self._disassemble(golden.insn)})"
            why = f"{names} {'differs' if len(unlike) == 1 else 'differ'}; expected {expected}, seen {shown}"
        if record.trap:
            where += f", which traps with cause {record.cause}"
        elif record.intr:
            where += f", first of the handler of 0x{record.cause:08x}"
        message = f"{where}: {why}; clock {clock}, {self._time_ns(clock):,.0f} ns"
        message += f"; cause: {cause}" if cause else ""
        self._fail(
            Mismatch(
                self.name,
                kind,
                self.beats_compared,
                message,
                expected,
                shown,
                names,
                clock,
                self._time_ns(clock),
                self._history(hart, clock),
                cause=cause,
                headline=f"{where}: {names} {'differ' if ',' in names else 'differs'}" if names else "",
            )
        )

    def _fail(self, mismatch: Mismatch) -> None:
        self.mismatches.append(mismatch)
        self.on_mismatch(mismatch)

    def _time_ns(self, clock: int) -> float:
        return self.origin_ns + clock * self.clock_ns

    def _history(self, hart: int, clock: int) -> str:
        """The hart's last instructions before `clock`."""
        lines: deque[str] = deque(maxlen=HISTORY)
        for records, cycles in self._batches:
            mine = (records["hart"] == hart) & (cycles < clock)
            for record in records[mine][-HISTORY:]:
                trap = " (trap)" if record["trap"] else ""
                lines.append(
                    f"0x{int(record['pc_rdata']):08x} {self._disassemble(int(record['insn']))}{trap}"
                )
        return f"hart {hart} after {'; '.join(lines)}" if lines else f"hart {hart}, its first instruction"

    def _disassemble(self, insn: int) -> str:
        return disassemble(insn, mul_div=bool(self.params.mul_div))


def _csr_name(insn: int) -> str:
    """The name of the CSR of a CSR instruction, or its number."""
    number = insn >> 20
    return next((name for name, csr in BY_NAME.items() if csr.address == number), f"0x{number:03x}")


def _written_to_csr(golden: Retirement) -> int | None:
    """What a CSR instruction writes, from what it must read; None: nothing, or that is no change."""
    function = golden.insn >> 12 & 7
    source = golden.insn >> 15 & 31
    value = source if function & 4 else golden.rs1_rdata
    if function & 3 != 1 and not source:
        return None
    written = {1: value, 2: golden.csr | value, 3: golden.csr & ~value}.get(function & 3)
    return None if written == golden.csr else written
