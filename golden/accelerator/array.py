# SPDX-License-Identifier: Apache-2.0
"""Golden model of `mvu_array`: MVUs and crossbar, jobs executed whole and timed word by word.

A job's clocks are those of docs/mvu.md, its words offered to the crossbar (or to the own data memory) one by one, so
that whoever waits for a destination waits as long as in the RTL. What a job reads is taken when it starts and what it
writes is there when it ends; two jobs of which one writes words that the other reads or writes meanwhile are a race,
which is an error of the program and reported.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from assay.golden.accelerator.crossbar import Crossbar, LeastRecent
from assay.golden.errors import GoldenError
from assay.golden.mvu.agu import addresses, padded_addresses
from assay.golden.mvu.clocks import (
    DRAIN,
    FILL,
    OVERHEAD,
    PIPELINE,
    RESIDUAL_FREED,
    RESIDUAL_READY,
    RESIDUAL_START,
    Recurrence,
)
from assay.golden.mvu.functional import (
    CAUSE_BIT,
    Configuration,
    JobResult,
    Memories,
    plane_order,
    run_job,
)
from assay.golden.mvu.parameters import (
    CROSSBAR_PORTS,
    NUM_LOOPS,
    OUTPUT_FIFO_DEPTH,
    OUTPUT_LOOPS,
    RESIDUAL_FIFO_DEPTH,
    RESIDUAL_LOOPS,
    MvuParameters,
)
from assay.golden.mvu.registers import BY_NAME, REGISTERS

__all__ = ["NEVER", "JobRecord", "MvuArray", "Program", "RaceError", "Unit"]

NEVER = 1 << 62  #: a clock that does not come

_STATUS = BY_NAME["mvustatus"].address
_COMMAND = BY_NAME["mvucommand"].address
_JOB_REGISTERS = REGISTERS[:_STATUS]
_MASKS = [register.write_mask for register in _JOB_REGISTERS]
_DONE, _ERROR = BY_NAME["mvustatus"].field("done").mask, BY_NAME["mvustatus"].field("error").mask

# Clocks of a job's control, docs/mvu.md and rtl/mvu/mvu_sequencer.sv. The clock of the load is the last one in which
# the job is pending; `busy` begins behind it, and `done` is there behind the last clock of `busy`.
_REFUSED = 2  # from the load of an illegal job to `done`
# A job that is loaded after clock t offers no word before t + _AHEAD.
_AHEAD = FILL + PIPELINE - 2
_PORT_ADDRESSES = 1 << 16
_OWN = CROSSBAR_PORTS  # bits of the own write ports stand above those of the crossbar's


class RaceError(GoldenError):
    """Two jobs that run at the same time want the same words, at least one of them to write."""


@dataclass(frozen=True, eq=False)
class JobRecord:
    """One job that ended.

    Attributes:
        mvu: that ran it.
        number: of the MVU's jobs since the array's reset, from 0.
        start, end: first and last clock of ``busy``.
        multiply: countdown.
        stalls: clocks of ``busy`` beyond countdown, the last block's words and `golden.mvu.clocks.OVERHEAD`.
        waited: clocks of ``busy`` because words waited at the crossbar or the data memory, included in `stalls`.
        causes: ``mvustatus.cause`` of the job.
        registers: words of all registers below ``mvustatus``.
        result: None of an array that only counts clocks.
    """

    mvu: int
    number: int
    start: int
    end: int
    multiply: int
    stalls: int
    waited: int
    causes: int
    registers: tuple[int, ...]
    result: JobResult | None


class Program:
    """What a job's registers amount to; made once for each content.

    Attributes:
        words: of the registers below ``mvustatus``.
        config: the same, read.
        causes: why it is illegal, 0 if it is not.
        runs: whether it is legal enough to run.
        dest: set of destinations, 0 for the own data memory.
        work, group, groups: multiply clocks of each output, outputs in a pool group, pool groups.
        words_each, residual: words of an output block and of a residual value, 0 without.
    """

    def __init__(self, words: tuple[int, ...], params: MvuParameters) -> None:
        self.words = words
        self.params = params
        self.config = config = Configuration.of_words(words)
        self.causes = config.causes
        self.runs = not self.causes & ~(1 << CAUSE_BIT["countdown"]) and config.countdown > 0
        self.dest = config.fields["mvuobaseptr"]["dest"]
        if not self.runs:
            return
        self.group = config.group_outputs
        self.work = config.complete_outputs().tolist()
        self.groups = len(self.work) // self.group
        self.words_each = config.format("output").bits
        self.residual = config.format("residual").bits if config.fields["mvuconfig1"]["residual"] else 0

    @cached_property
    def alone(self) -> int:
        """Clocks of ``busy`` when no word waits."""
        recurrence, last = Recurrence(self.work, self.group, self.residual), 0
        taken: deque[int] = deque(maxlen=OUTPUT_FIFO_DEPTH)
        for group in range(self.groups):
            issue = recurrence.issue(taken[0] if group >= OUTPUT_FIFO_DEPTH else 0)
            last = max(issue + PIPELINE, last + 1) + self.words_each - 1
            taken.append(last)
        return FILL + last + DRAIN

    @cached_property
    def written(self) -> np.ndarray:
        """Addresses of the output words in order, int64, as on the ports."""
        return addresses(
            self.config.program("o", OUTPUT_LOOPS), self.groups * self.words_each, _PORT_ADDRESSES
        )

    @cached_property
    def _input_blocks(self) -> np.ndarray:
        """Address of the element block that each step reads, int64 `[steps]`."""
        config, depth, steps = self.config, self.params.data_depth, sum(self.work)
        program = config.program("i", NUM_LOOPS)
        if not config.padding:
            return addresses(program, steps, depth)
        skip = (config.value("mvuiskip0"), config.value("mvuiskip1"))
        return padded_addresses(program, skip, config.windows, steps, depth)

    def _residual_words(self, outputs: int) -> np.ndarray:
        """Addresses of the residual words of the first outputs, int64."""
        program = self.config.program("r", RESIDUAL_LOOPS)
        return addresses(program, outputs * self.residual, self.params.data_depth)

    @cached_property
    def reads(self) -> np.ndarray:
        """Words of the own data memory that the job reads, bool `[data_depth]`."""
        depth = self.params.data_depth
        read, first = np.zeros(depth, bool), np.zeros(depth, bool)
        first[self._input_blocks] = True
        for plane in range(self.config.format("input").bits):
            read |= np.roll(first, plane)
        if self.residual:
            read[self._residual_words(len(self.work))] = True
        return read

    @cached_property
    def shares_banks(self) -> bool:
        """Whether input and residual have a bank in common."""
        if not self.residual:
            return False
        inputs = np.unique(self._input_blocks // self.params.bank_depth)
        bits = self.config.format("input").bits
        if bits > 1:  # a block may reach into the next bank
            inputs = np.unique((self._input_blocks[:, None] + (0, bits - 1)) // self.params.bank_depth)
        residuals = self._residual_words(len(self.work) + RESIDUAL_FIFO_DEPTH) // self.params.bank_depth
        return bool(np.isin(inputs % self.params.data_banks, residuals).any())

    @cached_property
    def input_banks(self) -> list[int]:
        """Bank of each step's input word."""
        x, w = self.config.format("input").bits, self.config.format("weight").bits
        work = np.array(self.work)
        first = np.cumsum(work) - work
        output = np.repeat(np.arange(len(work)), work)
        tiles = (work // (x * w))[output]
        pair = (np.arange(len(output)) - first[output]) // tiles
        plane = np.array([i for i, _ in plane_order(x, w)])[pair]
        word = (self._input_blocks + (x - 1 - plane)) % self.params.data_depth
        return (word // self.params.bank_depth).tolist()

    @cached_property
    def residual_banks(self) -> list[int]:
        """Bank of each residual word, with those that are read ahead and never used."""
        words = self._residual_words(len(self.work) + RESIDUAL_FIFO_DEPTH)
        return (words // self.params.bank_depth).tolist()

    @cached_property
    def writes(self) -> np.ndarray:
        """Words of each destination's data memory that the job writes, bool `[data_depth]`."""
        written = np.zeros(self.params.data_depth, bool)
        written[self.written % self.params.data_depth] = True
        return written


class _SharedReads:
    """As `Recurrence`, for a job whose input and residual lie in the same banks: clock by clock.

    Each clock reads at most one word of the input and one of the residual, and only one of a bank.
    """

    def __init__(self, program: Program, order: LeastRecent) -> None:
        self._program = program
        self._order = order  # of the read ports: input, residual
        self._clock = RESIDUAL_START  # next
        self._output = self._step = 0  # outputs issued, steps issued
        self._left = 0  # steps of the output that are left
        self._words = 0  # residual words read
        self._ready: deque[int] = deque()  # clocks from which the values that no output has used can be used
        self._freed: deque[int] = deque(
            [RESIDUAL_START] * RESIDUAL_FIFO_DEPTH
        )  # clocks from which a place is free

    def issue(self, freed: int) -> int:
        """Clock in which the last step of the next group is issued, see `Recurrence.issue`."""
        program = self._program
        inputs, residuals = program.input_banks, program.residual_banks
        words, work = program.residual, program.work
        end = self._output + program.group
        clock, order = self._clock, self._order
        while self._output < end:
            if not self._left:
                self._left = work[self._output]
            reads = bool(self._words % words) or (bool(self._freed) and clock >= self._freed[0])
            issues = clock >= 1
            if issues and self._left == 1:
                last = self._output + 1 == end
                issues = bool(self._ready) and clock >= self._ready[0] and (not last or clock > freed)
            if reads and issues and inputs[self._step] == residuals[self._words % len(residuals)]:
                winner = order.choose(0b11)
                reads, issues = winner == 1, winner == 0
            if reads != issues:
                order.served(int(reads))
            if reads:
                if not self._words % words:
                    self._freed.popleft()
                self._words += 1
                if not self._words % words:
                    self._ready.append(clock + RESIDUAL_READY)
            if issues:
                self._step += 1
                self._left -= 1
                if not self._left:
                    self._output += 1
                    self._ready.popleft()
                    self._freed.append(clock + RESIDUAL_FREED)
            clock += 1
        self._clock = clock
        return clock - 1


class _Run:
    """A job that runs: where its words are."""

    def __init__(self, unit: Unit, program: Program, load: int) -> None:
        self.unit = unit
        self.program = program
        self.start = load + 1
        self.base = load + FILL  # issue clock n of docs/mvu.md is clock base + n
        self.own = program.dest == 0
        self.result: JobResult | None = None
        if program.runs:
            self.recurrence: Recurrence | _SharedReads = (
                _SharedReads(program, unit.readers)
                if program.shares_banks
                else Recurrence(program.work, program.group, program.residual)
            )
            self.groups = 0  # that left
            self.taken: deque[int] = deque(maxlen=OUTPUT_FIFO_DEPTH)
            self.left = 0  # words of the group that is offered
            self.words = 0  # that were taken
            self.ports = 0  # write ports that a word goes to

    def next_group(self, last: int) -> int:
        """Clock in which the next group's first word is offered, the last word before it having gone in `last`."""
        freed = self.taken[0] if len(self.taken) == OUTPUT_FIFO_DEPTH else 0
        issue = self.recurrence.issue(freed)
        self.left = self.program.words_each
        return max(self.base + issue + PIPELINE, last + 1)


class Unit:
    """One MVU of the array.

    Attributes:
        number: of it.
        memories: contents; None in an array that only counts clocks.
        registers: words of the job that is being written.
        done, error, cause, jobs: of ``mvustatus``.
        run: the running job.
        pending: a job waits.
    """

    def __init__(self, number: int, params: MvuParameters, functional: bool) -> None:
        self.number = number
        self.memories = Memories.zeros(params) if functional else None
        self.registers = [0] * len(_JOB_REGISTERS)
        self.done = self.error = self.pending = False
        self.cause = self.jobs = 0
        self.run: _Run | None = None
        self.blocked: deque[tuple[int, int, Callable[[int, int], None]]] = deque()
        self.readers = LeastRecent(2)  # of the data memory: input, residual
        self.port_free = 0  # clock in which the register port takes the next access

    @property
    def irq(self) -> bool:
        """``irq_o``."""
        return self.done or self.error

    def status(self) -> int:
        """``mvustatus``."""
        fields = {
            "busy": self.run is not None,
            "done": self.done,
            "error": self.error,
            "pending": self.pending,
            "jobs": self.jobs & 0xFF,
            "cause": self.cause,
        }
        return BY_NAME["mvustatus"].encode({name: int(value) for name, value in fields.items()})


class MvuArray:
    """MVUs and crossbar in time.

    The caller brings register accesses in the order of their clocks and calls `advance` up to the present.

    Args:
        mvus: of them.
        params: of each.
        functional: execute jobs; else only their clocks are counted, and there are no memories.

    Attributes:
        units: the MVUs.
        records: jobs that ended, in that order.
        on_load: called with (mvu, number of its job, `Program`) when a job is loaded; may raise.
        on_done: called with (mvu, clock) for the first clock in which ``irq_o`` is high because a job ended.
        on_write: called with (record) when a job's words are in the memories.
    """

    def __init__(self, mvus: int, params: MvuParameters, functional: bool = True) -> None:
        self.params = params
        self.units = [Unit(number, params, functional) for number in range(mvus)]
        self.crossbar = Crossbar(mvus)
        self.records: list[JobRecord] = []
        self.on_load: Callable[[int, int, Program], None] = lambda *_: None
        self.on_done: Callable[[int, int], None] = lambda *_: None
        self.on_write: Callable[[JobRecord], None] = lambda *_: None
        self._writers = [
            LeastRecent(2) for _ in range(mvus)
        ]  # of each data memory: own words, the crossbar's
        self._programs: dict[tuple[int, ...], Program] = {}
        self._events: list[tuple[int, int, bool]] = []  # clock, MVU, whether it is an end (else a load)
        self._offers: list[tuple[int, int]] = []  # clock, MVU: a group's first word
        self._active: list[_Run] = []  # that offer a word in clock _clock
        self._clock = 0

    # --- registers --------------------------------------------------------------------------------------------

    def access(
        self, mvu: int, write: bool, register: int, data: int, clock: int, answer: Callable[[int, int], None]
    ) -> None:
        """One access at the register port, offered from `clock` on; `advance` must have reached `clock`.

        Args:
            mvu, write, register, data: which, what.
            clock: first clock of ``reg_req_valid``.
            answer: called with (clock of acceptance, word read or 0), at once or, for a configuration write while a
                job is pending, when that has been loaded.
        """
        unit = self.units[mvu]
        clock = max(clock, unit.port_free)
        if write and register < _STATUS and unit.pending:
            unit.blocked.append((register, data, answer))
            return
        unit.port_free = clock + 1
        if not write:
            word = unit.status() if register == _STATUS else 0
            if register < _STATUS:
                word = unit.registers[register]
            answer(clock, word)
            return
        self._write(unit, register, data, clock)
        answer(clock, 0)

    def _write(self, unit: Unit, register: int, data: int, clock: int) -> None:
        if register < _STATUS:
            unit.registers[register] = data & _MASKS[register]
            if register == _COMMAND:
                unit.pending = True
                if unit.run is None:
                    heapq.heappush(self._events, (clock + 1, unit.number, False))
        elif register == _STATUS:
            if data & _DONE:
                unit.done = False
            if data & _ERROR:
                unit.error, unit.cause = False, 0

    # --- time -------------------------------------------------------------------------------------------------

    @property
    def next(self) -> int:
        """The next clock for which `advance` has something to do, `NEVER` without one."""
        clock = self._events[0][0] if self._events else NEVER
        if self._active:
            return min(clock, self._clock)
        return min(clock, self._offers[0][0]) if self._offers else clock

    @property
    def idle(self) -> bool:
        """Whether no job runs or waits."""
        return not self._events and all(unit.run is None and not unit.pending for unit in self.units)

    def restart(self) -> None:
        """Count clocks from 0 again; no job may run."""
        self._clock = 0
        for unit in self.units:
            unit.port_free = 0

    def advance(self, until: int) -> None:
        """Let everything happen up to clock `until`."""
        while True:
            event = self._events[0][0] if self._events else NEVER
            self._transfer(min(event, until) + _AHEAD)
            event = self._events[0][0] if self._events else NEVER
            if event > until:
                return
            clock, mvu, ends = heapq.heappop(self._events)
            (self._end if ends else self._load)(self.units[mvu], clock)

    def _load(self, unit: Unit, clock: int) -> None:
        """A job leaves the registers, `clock` being the last in which it is pending."""
        words = tuple(unit.registers)
        program = self._programs.get(words)
        if program is None:
            program = self._programs[words] = Program(words, self.params)
        self.on_load(unit.number, unit.jobs, program)
        unit.run = run = _Run(unit, program, clock)
        if not program.runs:
            heapq.heappush(self._events, (clock + _REFUSED, unit.number, True))
        else:
            if unit.memories is not None:
                self._check_races(unit, program)
                run.result = run_job(program.config.fields, unit.memories, self.params)
            run.ports = 1 << (_OWN + unit.number) if run.own else program.dest & self.crossbar.every
            heapq.heappush(self._offers, (run.next_group(0), unit.number))
        unit.pending = False
        unit.port_free = max(unit.port_free, clock + 1)
        while unit.blocked and not unit.pending:
            register, data, answer = unit.blocked.popleft()
            accepted = unit.port_free
            unit.port_free += 1
            self._write(unit, register, data, accepted)
            answer(accepted, 0)

    def _end(self, unit: Unit, clock: int) -> None:
        """`clock` is the first in which ``done`` is high."""
        run = unit.run
        assert run is not None
        program = run.program
        countdown = program.config.countdown
        stalls = waited = 0
        if program.runs:
            busy = clock - run.start
            stalls = busy - (countdown + program.words_each + OVERHEAD)
            waited = busy - program.alone
        if run.result is not None:
            for destination in self._destinations(run):
                memory = self.units[destination].memories.data
                memory[run.result.address % self.params.data_depth] = run.result.data
        record = JobRecord(
            unit.number,
            unit.jobs,
            run.start,
            clock - 1,
            countdown if program.runs else 0,
            stalls,
            waited,
            program.causes,
            program.words,
            run.result,
        )
        self.records.append(record)
        unit.jobs += 1
        unit.done = True
        if program.causes:
            unit.error = True
            unit.cause |= program.causes
        unit.run = None
        self.on_write(record)
        self.on_done(unit.number, clock)
        if unit.pending:
            self._load(unit, clock)

    def _destinations(self, run: _Run) -> list[int]:
        if run.own:
            return [run.unit.number]
        return [unit.number for unit in self.units if run.program.dest >> unit.number & 1]

    def _check_races(self, unit: Unit, program: Program) -> None:
        """Whether the job that `unit` begins disturbs one that runs, or the other way round."""
        targets = [unit.number] if program.dest == 0 else None
        for other in self.units:
            run = other.run
            if run is None or not run.program.runs or other is unit:
                continue
            mine = (
                targets
                if targets is not None
                else [u.number for u in self.units if program.dest >> u.number & 1]
            )
            theirs = self._destinations(run)
            clashes = []
            if other.number in mine:
                clashes.append((program.writes & run.program.reads, "writes", "reads", other.number))
            if unit.number in theirs:
                clashes.append((program.reads & run.program.writes, "reads", "writes", unit.number))
            common = [number for number in mine if number in theirs]
            if common:
                clashes.append((program.writes & run.program.writes, "writes", "writes", common[0]))
            for words, does, meanwhile, memory in clashes:
                if words.any():
                    raise RaceError(
                        f"MVU {unit.number} job {unit.jobs} {does} word {int(np.argmax(words))} of MVU {memory} "
                        f"({int(words.sum())} words in all) that MVU {other.number} job {other.jobs} {meanwhile} "
                        "at the same time"
                    )

    # --- words ------------------------------------------------------------------------------------------------

    def _transfer(self, until: int) -> None:
        """Move words up to clock `until`, or until a job has ended."""
        offers, active = self._offers, self._active
        while True:
            if not active:
                if not offers or offers[0][0] > until:
                    return
                self._clock = offers[0][0]
            clock = self._clock
            if clock > until:
                return
            while offers and offers[0][0] <= clock:
                run = self.units[heapq.heappop(offers)[1]].run
                assert run is not None
                active.append(run)
            last = min(until, offers[0][0] - 1) if offers else until
            if self._apart(active):
                count = min(last - clock + 1, min(run.left for run in active))
                for run in active:
                    self._served(run)
                    run.left -= count
                    run.words += count
                clock += count
            else:
                self._contend(active, clock)
                clock += 1
            self._clock = clock
            finished = [run for run in active if not run.left]
            ended = False
            for run in finished:
                run.taken.append(clock - 1 - run.base)
                run.groups += 1
                if run.groups == run.program.groups:
                    # The last word went in clock - 1, `busy` is high for DRAIN more.
                    heapq.heappush(self._events, (clock + DRAIN, run.unit.number, True))
                    active.remove(run)
                    ended = True
                    continue
                offer = run.next_group(clock - 1)
                if offer > clock:
                    active.remove(run)
                    heapq.heappush(offers, (offer, run.unit.number))
            if ended:
                until = min(until, self._events[0][0] + _AHEAD)

    def _apart(self, active: Sequence[_Run]) -> bool:
        """Whether no two of the words offered now meet at a destination."""
        union = 0
        for run in active:
            if union & run.ports or self.crossbar.waiting[run.unit.number]:
                return False
            union |= run.ports
        # Own words and the crossbar's meet where they want the same bank.
        return not union >> _OWN & union

    def _served(self, run: _Run) -> None:
        if run.own:
            self._writers[run.unit.number].served(0)
            return
        ports, source = run.ports, run.unit.number
        for destination, order in enumerate(self.crossbar.orders):
            if ports >> destination & 1:
                order.served(source)
                self._writers[destination].served(1)

    def _contend(self, active: Sequence[_Run], clock: int) -> None:
        """One clock in which words may meet."""
        dests: list[int | None] = [None] * len(self.units)
        own: dict[int, _Run] = {}
        for run in active:
            if run.own:
                own[run.unit.number] = run
            else:
                dests[run.unit.number] = run.program.dest
        ready = self.crossbar.every
        if own:
            for destination, source in enumerate(self.crossbar.choices(dests)):
                writers = self._writers[destination]
                mine = own.get(destination)
                if mine is not None and source is not None:
                    theirs = self.units[source].run
                    assert theirs is not None
                    if self._bank(mine) == self._bank(theirs):
                        winner = writers.choose(0b11)
                        writers.served(winner)
                        if winner == 0:
                            ready &= ~(1 << destination)
                        else:
                            del own[destination]
                elif mine is not None:
                    writers.served(0)
        arrived, taken = self.crossbar.clock(dests, ready)
        for _, destination in arrived:
            if destination not in own:
                self._writers[destination].served(1)
        for run in active:
            gone = run.unit.number in own if run.own else taken >> run.unit.number & 1
            if gone:
                run.left -= 1
                run.words += 1

    def _bank(self, run: _Run) -> int:
        return int(run.program.written[run.words]) % self.params.data_depth // self.params.bank_depth
