# SPDX-License-Identifier: Apache-2.0
"""Scoreboard of the host's side: every record against the golden port, in the order of clocks.

What the manager and the harts ask for becomes operations (`golden.accelerator.host_port`). Everything that passes at a
unit must be the next operation of one of those who ask, and what the units answered must come out where it was asked
for. So data, responses, order, and the moment of each answer are checked, while anything may stall.
"""

from __future__ import annotations

import traceback
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from assay.golden.accelerator.host_port import (
    OKAY,
    SLVERR,
    WORD_BYTES,
    Beat,
    Burst,
    HostPort,
    Kind,
    Operation,
    Request,
    SystemRegisters,
    find_window,
)
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.registers import BEAT_BYTES, BY_NAME, SYSTEM_UNIT
from assay.golden.accelerator.transposer import TransposerStream
from assay.golden.mvu.registers import BY_NAME as MVU_REGISTERS
from assay.tb.accelerator_host.coverage import HostCoverage
from assay.tb.accelerator_host.record import record_format
from assay.tb.accelerator_host.suspect import suspect
from assay.tb.agents.axi import RESPONSES
from assay.tb.agents.burst import Beats
from assay.tb.env import CLOCK_NS

__all__ = ["PortScoreboard"]

_BUFFER = 8  #: beats that the read side may have ready
_STATUS = MVU_REGISTERS["mvustatus"].address
_START_CLOCKS = 4  #: after the last obstacle, until a start is taken at the latest


class _WrongError(Exception):
    """A record is not what it must be. The text says what is expected and what was seen."""


@dataclass
class _Side:
    """One direction of the port.

    Attributes:
        words: operations of single words that are to come, in order; None: of a word that nobody has.
        memory, parameters: likewise of each MVU.
    """

    name: str
    burst: Burst | None = None
    number: int = 0  #: of the beat that is next
    complete: bool = False  #: all its beats have come
    streams: bool = False  #: the transposer is open for it
    stream: TransposerStream | None = None  #: and this is its stream, even after a start
    resps: list[int] = field(default_factory=list)
    words: deque[Operation] = field(default_factory=deque)
    memory: dict[int, deque[Operation]] = field(default_factory=lambda: defaultdict(deque))
    parameters: dict[int, deque[Operation]] = field(default_factory=lambda: defaultdict(deque))
    controller: int = 0  #: accesses of the controller that are not answered
    words_wrong: list[tuple[int, bool]] = field(
        default_factory=list
    )  #: of the controller's words: address, error
    passed: int = 0  #: the clock in which its last beat of R passed

    def ask(self, beat: Beat) -> None:
        """A beat asks for its operations."""
        for operation in beat.operations:
            if operation is None:
                continue
            if operation.kind is Kind.MEMORY:
                self.memory[operation.unit].append(operation)
            elif operation.kind is Kind.PARAMETER:
                self.parameters[operation.unit].append(operation)
            else:
                self.words.append(operation)

    @property
    def under_way(self) -> list[str]:
        """What has been asked for and has not happened."""
        queues = (self.words, *self.memory.values(), *self.parameters.values())
        return [str(queue[0]) for queue in queues if queue] + [
            "an answer of the controller"
        ] * self.controller


@dataclass
class _Hart:
    """An access of a hart under way."""

    operation: Operation | None  #: None: of a unit that does not exist
    since: int  #: the clock in which it was asked for
    taken: bool = False
    passed: int = 0  #: accesses of others that its unit took meanwhile


class PortScoreboard:
    """The golden port beside the device's.

    Args:
        params: of the build.
        coverage: sampled on the way.
        fail: called as `tb.report.Report.fail`.

    Attributes:
        passed: clocks in which something has passed.
        beats: of R and B that have been compared.
        operations: that have been compared.
        alter: for tests of this check: changes the fields of a record before they are looked at.
        clocks: what the register `clocks` is ahead of the bench's clock: from a clock on, as it was set. Records are
            looked at later than that.
    """

    def __init__(
        self, params: AcceleratorParameters, coverage: HostCoverage, fail: Callable[..., None]
    ) -> None:
        self.params = params
        self.port = HostPort(params)
        self.coverage = coverage
        self.origin_ns = 0.0
        self.beats = self.operations = self.passed = 0
        self.alter: Callable[[dict[str, int]], None] = lambda now: None
        self._fail = fail
        self._format = record_format(params)
        self._mvus = range(params.mvus)
        self._failed = False
        self.flush()

    def flush(self) -> None:
        """A reset: nothing is under way, the system's registers are 0."""
        self.clocks = [(0, 0)]
        self.system = SystemRegisters(self.params)
        self.stream = TransposerStream(self.params.mvu.lanes, self.params.mvus)
        self.writer, self.reader = _Side("write"), _Side("read")
        self._opening: list[tuple[int, _Side]] = []  # in which clock, whose burst
        self._w: deque[tuple[int, int, bool]] = deque()
        self._plan: deque[Beat] = deque()  # of the read burst
        self._fetches: deque[bool] = deque()  # of the reads under way at data memories: for the transposer
        self._answers: deque[int] = deque()  # words that the read burst has got
        self._controller_sides: deque[tuple[_Side, int]] = (
            deque()
        )  # whose access is under way there, and where
        self._controller_answers: deque[tuple[int, bool]] = deque()
        self._asked: dict[int, deque[Operation]] = defaultdict(deque)  # reads under way, by unit
        self._pool: dict[tuple[int, int], list[int]] = defaultdict(
            list
        )  # answers of units that nobody has got
        self._harts: dict[int, _Hart] = {}
        self._system_last = (
            -1,
            False,
        )  # clock of the last access of the system registers; whether it is a read
        # Reads that are still to pass, as the equal one of a hart that was taken for them has been answered.
        self._swapped: list[Operation] = []
        self._start_since: int | None = None  # the clock from which on a start waits
        self._restart: int | None = None  # likewise of one that came while that one waits
        self._closed = -1  # the clock in which the last burst of the transposer ended
        self._irq: deque[tuple[int, int]] = deque([(0, 0)])  # from which clock on which level

    @property
    def outstanding(self) -> list[str]:
        """What is under way, a sentence each."""
        said = []
        for side, channel in ((self.writer, "B"), (self.reader, "R")):
            if side.burst is not None:
                left = side.burst.request.beats - side.number
                said.append(
                    f"a {side.name} burst from 0x{side.burst.request.address:08x} waits for {channel}, "
                    f"{left} beats are left"
                    + "".join(f"; {each} has not happened" for each in side.under_way)
                )
        said += [
            f"hart {hart} waits for {each.operation or 'an error'}" for hart, each in self._harts.items()
        ]
        return said

    # ---------------------------------------------------------------------------------------------
    # Records
    # ---------------------------------------------------------------------------------------------
    def write(self, beats: Beats) -> None:
        """Records, in order: the callback for the tap."""
        if self._failed:
            return
        columns = {name: values.tolist() for name, values in self._format.unpack(beats.payload).items()}
        for index, clock in enumerate(beats.cycles.tolist()):
            now = {name: values[index] for name, values in columns.items()}
            self.alter(now)
            try:
                if beats.unknown is not None and beats.unknown[index].any():
                    raise _WrongError("something that passes is X or Z")
                self._clock(clock, now)
            except _WrongError as error:
                self._failed = True
                time_ns = self.origin_ns + clock * CLOCK_NS
                # The rule that is broken is known by the function that checks it.
                rule = traceback.extract_tb(error.__traceback__)[-1].name.strip("_")
                said = f"{error}; clock {clock}, {time_ns:,.0f} ns"
                self._fail(said, kind="port", stream=rule, time_ns=time_ns, cause=suspect(rule, said))
                return

    def _clock(self, clock: int, now: dict[str, int]) -> None:
        self.passed += 1
        opened = self._open(clock)
        self._check_irq(clock, now["irq.level"])
        if now["b_rises.pass"]:
            self._b_rises(clock)
        started = self._start(clock) if now["start.pass"] else None
        if now["ctl.pass"]:
            self._controller_access(now)
        if now["ctl_back.pass"]:
            self._controller_answer(now)
        for m in self._mvus:
            self._unit(m, now)
        if now["sys.pass"]:
            self._system_access(clock, now)
        # What the stream becomes in this clock, the registers show from the next one on.
        if started is not None:
            self.stream = started
            again = self._restart is not None and clock < self._restart
            self._start_since, self._restart = self._restart if again else None, None
        for side in opened:
            self._direct(side)
        if now["back.pass"]:
            self._hart_answer(now)
        if now["hart.pass"]:
            self._hart_request(clock, now)
        if now["b.pass"]:
            self._b(now)
        if now["r.pass"]:
            self._r(clock, now)
        for channel, side in (("aw", self.writer), ("ar", self.reader)):
            if now[f"{channel}.pass"]:
                request = Request(
                    *(now[f"{channel}.{n}"] + (n == "len") for n in ("id", "addr", "len", "size", "burst"))
                )
                if side.burst is not None:
                    raise _WrongError(f"an address of {channel} is taken while {self.outstanding[0]}")
                side.burst = Burst(request, find_window(request.address))
                self._opening.append((clock + 1, side))
                self.coverage.meeting(self.writer.burst, self.reader.burst)
        if now["w.pass"]:
            self._w.append((now["w.data"], now["w.strb"], bool(now["w.last"])))
            self.coverage.skew(self.writer.burst is not None and not self.writer.complete)
        if not any(side is self.writer for _, side in self._opening):
            self._consume()
        self._late_start(clock)

    # ---------------------------------------------------------------------------------------------
    # Bursts begin; the clock after its address decides
    # ---------------------------------------------------------------------------------------------
    def _open(self, clock: int) -> list[_Side]:
        """Decide the bursts that open; gives the sides whose burst gives the stream its direction in this clock."""
        due = sorted(self._opening, key=lambda each: each[1] is self.reader)  # the write goes first
        if not due or due[0][0] > clock:
            return []
        self._opening = []
        opened: list[_Side] = []
        for at, side in due:
            burst = side.burst
            assert burst is not None
            burst.load = self.system.values["load_mvus"]
            if self.port.to_transposer(burst.request):
                able = self.stream.writable if side is self.writer else self.stream.readable
                waits = self._start_since is not None and at >= self._start_since
                burst.opened = able and not waits and not opened
                self.coverage.opening(side.name, burst.opened, waits, self.stream)
                if burst.opened:
                    side.streams, side.stream = True, self.stream
                    opened.append(side)
            if side is self.writer:
                self._consume()
            else:
                self._plan_read(burst)
        if due[0][0] == clock:
            return opened
        for side in opened:
            self._direct(side)
        return []

    def _direct(self, side: _Side) -> None:
        """A burst gives the stream its direction."""
        if side is self.writer:
            self.stream.writing = True
        else:
            self.stream.reading = True

    def _plan_read(self, burst: Burst) -> None:
        """All that a read burst will do."""
        side = self.reader
        self._plan = deque(self.port.read_beat(burst, n) for n in range(burst.request.beats))
        if burst.opened:
            mvu = self.stream.read_mvu
            side.memory[mvu].extend(
                Operation(Kind.MEMORY, mvu, address, False)
                for address in self.stream.wants(self.port.stream_beats(burst.request))
            )
        for beat in self._plan:
            side.ask(beat)

    def _consume(self) -> None:
        """Beats of W whose burst is open: what they do."""
        side = self.writer
        while self._w and side.burst is not None and not side.complete:
            data, strobes, last = self._w.popleft()
            beat = self.port.write_beat(side.burst, side.number, data, strobes)
            self.coverage.strobes(side.burst, strobes, beat.resp)
            if beat.stream:
                for address, word in self.stream.write(data):
                    for m in self._mvus:
                        if self.stream.write_mvus >> m & 1:
                            side.memory[m].append(Operation(Kind.MEMORY, m, address, True, word))
            side.ask(beat)
            if beat.operations and beat.operations[0] and beat.operations[0].kind is Kind.PARAMETER:
                self.coverage.loaded(side.burst.load, self.system.values["load_mvus"])
            side.resps.append(beat.resp)
            side.number += 1
            full = side.number == side.burst.request.beats
            side.complete = last or full
            if last != full:
                side.resps.append(SLVERR)
            if side.complete:
                self.coverage.write_end("early" if last and not full else "late" if not last else "in time")

    # ---------------------------------------------------------------------------------------------
    # What passes at the units
    # ---------------------------------------------------------------------------------------------
    def _unit(self, m: int, now: dict[str, int]) -> None:
        """Accesses of MVU m and its answers: the answers first, as they belong to earlier ones."""
        if now[f"held{m}.pass"]:
            raise _WrongError(
                f"MVU {m} is offered a write of register 0x{now[f'reg{m}.addr']:x} while a job waits there"
            )
        if now[f"reg_back{m}.pass"]:
            self._register_answer(m, now[f"reg_back{m}.rdata"])
        if now[f"reg{m}.pass"]:
            self._register(m, now[f"reg{m}.addr"], bool(now[f"reg{m}.write"]), now[f"reg{m}.wdata"])
        if now[f"mem_back{m}.pass"]:
            if not self._fetches:
                raise _WrongError(f"MVU {m} answers a read of its data memory, but none is under way")
            if self._fetches.popleft():
                self.stream.fetched(now[f"mem_back{m}.rdata"])
            else:
                self._answers.append(now[f"mem_back{m}.rdata"])
        if now[f"mem{m}.pass"]:
            write = bool(now[f"mem{m}.write"])
            seen = Operation(Kind.MEMORY, m, now[f"mem{m}.addr"], write, now[f"mem{m}.wdata"] if write else 0)
            side = self.writer if write else self.reader
            self._take(side.memory[m], seen, side.name)
            if not write:
                self._fetches.append(self.reader.streams)
        if now[f"prm{m}.pass"]:
            seen = Operation(
                Kind.PARAMETER, m, now["prm.word"], True, now["prm.data"], now["prm.select"], now["prm.lane"]
            )
            self._take(self.writer.parameters[m], seen, "write")

    def _take(self, queue: deque[Operation], seen: Operation, name: str) -> None:
        """The next operation of a queue passes."""
        self.operations += 1
        if not queue:
            raise _WrongError(f"{seen}, which no {name} burst asks for")
        if queue[0] != seen:
            raise _WrongError(f"the {name} burst: expected {queue[0]}, seen {seen}")
        queue.popleft()

    def _register(self, unit: int, address: int, write: bool, wdata: int, host: bool | None = None) -> None:
        """A register of a unit is accessed; `host` as the system registers are told."""
        seen = Operation(Kind.REGISTER, unit, address, write, wdata if write else 0)
        self.operations += 1
        side = self.writer if write else self.reader
        theirs = [each for each in self._harts.values() if each.operation == seen and not each.taken]
        own = bool(side.words) and side.words[0] == seen and host is not False
        if own:
            side.words.popleft()
        elif theirs and host is not True:
            theirs[0].taken = True
        elif seen in self._swapped:
            self._swapped.remove(seen)
        else:
            asked = [str(each.operation) for each in self._harts.values() if not each.taken]
            asked += [str(each.words[0]) for each in (self.writer, self.reader) if each.words]
            who = "" if host is None else ", as the host's" if host else ", as a hart's"
            raise _WrongError(f"{seen}{who}: expected {' or '.join(asked) or 'nothing'}")
        if not write:
            self._asked[unit].append(seen)
        waiting = [each for each in self._harts.values() if each.operation is not None and not each.taken]
        others = sum(each.operation is not None and each.operation.unit == unit for each in waiting)
        self.coverage.access("host" if own else "hart", unit, write, others)
        for each in waiting:
            if each.operation is None or each.operation.unit != unit:
                continue
            # A write of the configuration may have to wait for a job, and a read for the answer of the one before: they
            # are measured by their like. Nothing holds up the other writes.
            config = unit != SYSTEM_UNIT and each.operation.address < _STATUS
            alike = each.operation.write == write and config == (unit != SYSTEM_UNIT and address < _STATUS)
            each.passed += alike or (each.operation.write and not config)
            if each.passed > self.params.mvus + 2:
                raise _WrongError(
                    f"{each.operation} of a hart waits, but {unit_name(unit)} has taken {each.passed} accesses of "
                    f"others: unfair"
                )

    def _register_answer(self, unit: int, rdata: int) -> None:
        if not self._asked[unit]:
            raise _WrongError(f"{unit_name(unit)} answers a read of a register, but none is under way")
        self._pool[unit, self._asked[unit].popleft().address].append(rdata)

    def _system_rate(self, clock: int, write: bool) -> None:
        """The system registers are always ready, and answer in the next clock, in which the next access passes."""
        before, behind_read = self._system_last
        self._system_last = clock, not write
        waited = [
            each
            for each in self._harts.values()
            if each.operation is not None
            and each.operation.unit == SYSTEM_UNIT
            and not each.taken
            and each.since < clock - 1
        ]
        if waited:
            if behind_read and not write:
                self.coverage.queue.sample(reads="behind a read")
            if before < clock - 1:
                raise _WrongError(
                    f"{waited[0].operation} of a hart, asked for in clock {waited[0].since}, waits, but in clock "
                    f"{clock - 1} no access of the system registers has passed"
                )

    def _system_access(self, clock: int, now: dict[str, int]) -> None:
        address, write, host = now["sys.addr"], bool(now["sys.write"]), bool(now["sys.host"])
        self._system_rate(clock, write)
        self._register(SYSTEM_UNIT, address, write, now["sys.wdata"], host)
        if not write:
            stream = self.stream
            status = {"started": stream.started, "writing": stream.writing, "reading": stream.reading}
            ahead = next(value for since, value in reversed(self.clocks) if since <= clock)
            word = self.system.read(address, clock + ahead, BY_NAME["tr_status"].encode(status))
            self._register_answer(SYSTEM_UNIT, word)
            return
        name = self.system.write(address, now["sys.wdata"], host)
        self._irq.append((clock + 2, int(self.system.interrupt)))
        if name == "tr_mvus":
            self.coverage.start(self.stream, self.writer.streams, self.reader.streams)
            if self._start_since is None:
                self._start_since = clock + 2
            else:
                self._restart = clock + 2

    def _check_irq(self, clock: int, level: int) -> None:
        while len(self._irq) > 1 and self._irq[1][0] <= clock:
            self._irq.popleft()
        if self._irq[0][1] != level:
            raise _WrongError(f"host_irq_o is {level} instead of {self._irq[0][1]}")

    def _controller_access(self, now: dict[str, int]) -> None:
        write = bool(now["ctl.write"])
        seen = Operation(Kind.CONTROLLER, 0, now["ctl.addr"], write, now["ctl.wdata"] if write else 0)
        side = self.writer if write else self.reader
        self._take(side.words, seen, side.name)
        side.controller += 1
        self._controller_sides.append((side, seen.address))

    def _controller_answer(self, now: dict[str, int]) -> None:
        if not self._controller_sides:
            raise _WrongError("the controller answers, but no access is under way")
        side, address = self._controller_sides.popleft()
        side.controller -= 1
        side.words_wrong.append((address, bool(now["ctl_back.error"])))
        if side is self.reader:
            self._controller_answers.append((now["ctl_back.rdata"], bool(now["ctl_back.error"])))
        elif now["ctl_back.error"]:
            side.resps.append(SLVERR)

    # ---------------------------------------------------------------------------------------------
    # Harts
    # ---------------------------------------------------------------------------------------------
    def _hart_request(self, clock: int, now: dict[str, int]) -> None:
        hart, unit, write = now["hart.hart"], now["hart.mvu"], bool(now["hart.write"])
        there = unit == SYSTEM_UNIT or unit < self.params.mvus
        wdata = now["hart.wdata"] if write else 0
        self._harts[hart] = _Hart(
            Operation(Kind.REGISTER, unit, now["hart.addr"], write, wdata) if there else None, clock
        )

    def _hart_answer(self, now: dict[str, int]) -> None:
        hart, rdata, error = now["back.hart"], now["back.rdata"], now["back.error"]
        each = self._harts.pop(hart, None)
        if each is None:
            raise _WrongError(f"hart {hart} gets an answer, but has asked for nothing")
        what = f"the answer of hart {hart} to {each.operation or 'an access of no unit'}"
        if each.operation is not None and not each.taken:
            # Of equal accesses under way another one may be the one that has passed.
            for other in self._harts.values():
                if other.operation == each.operation and other.taken:
                    other.taken, each.taken = False, True
                    break
            else:
                if not each.operation.write:
                    self._swapped.append(each.operation)
        self.beats += 1
        if error != (each.operation is None):
            raise _WrongError(f"{what}: error is {error}")
        if each.operation is None or each.operation.write:
            if each.operation is not None and not each.taken:
                raise _WrongError(f"{what} comes before the write has happened")
            if rdata:
                raise _WrongError(f"{what}: expected 0, seen 0x{rdata:x}")
            return
        self._answered(each.operation, rdata, what)

    def _answered(self, operation: Operation, rdata: int, what: str) -> None:
        """A read of a register is answered: with one of what the unit has answered and nobody has got."""
        values = self._pool[operation.unit, operation.address]
        if rdata not in values:
            expected = " or ".join(f"0x{value:x}" for value in values)
            raise _WrongError(
                f"{what}: expected {expected}, seen 0x{rdata:x}"
                if values
                else f"{what} comes before the unit has answered"
            )
        values.remove(rdata)

    # ---------------------------------------------------------------------------------------------
    # Answers of the port
    # ---------------------------------------------------------------------------------------------
    def _b_rises(self, clock: int) -> None:
        side = self.writer
        if side.burst is None:
            raise _WrongError("BVALID rises without a write burst")
        where = f"BVALID of the burst to 0x{side.burst.request.address:08x} rises"
        if not side.complete:
            raise _WrongError(f"{where} before its last beat of W: {side.number} have been taken")
        if side.under_way:
            raise _WrongError(f"{where} before all of it has taken effect: {side.under_way[0]} is missing")
        if side.streams:
            side.streams, self._closed = False, clock

    def _b(self, now: dict[str, int]) -> None:
        side = self.writer
        if side.burst is None or not side.complete:
            raise _WrongError("B comes without a complete write burst")
        request, resp = side.burst.request, 0
        for each in side.resps:
            resp |= each
        what = f"B of the burst of {request.beats} beats to 0x{request.address:08x}"
        self._compare(what, "id", request.id, now["b.id"])
        self._compare(what, "resp", RESPONSES[resp], RESPONSES[now["b.resp"]])
        self.beats += 1
        self.coverage.ended(side.name, side.burst, side.resps, resp)
        self._sample_words(side, sum(wrong for _, wrong in side.words_wrong))
        self.writer = _Side("write")
        self._consume()

    def _r(self, clock: int, now: dict[str, int]) -> None:
        side = self.reader
        if side.burst is None or not self._plan:
            raise _WrongError("R comes without a read burst")
        request, beat = side.burst.request, self._plan.popleft()
        address = request.beat_address(side.number)
        what = f"R, beat {side.number} of {request.beats}, from 0x{address:08x}"
        resp, data = beat.resp, 0
        if beat.stream:
            answer = side.stream.read() if side.stream is not None else None
            if answer is None:
                raise _WrongError(f"{what} comes before its block has come from memory")
            data = answer
        for operation in beat.operations:
            if operation is None:
                continue
            if operation.kind is Kind.MEMORY:
                if not self._answers:
                    raise _WrongError(f"{what} comes before its word has come from memory")
                data = self._answers.popleft()
                continue
            shift = operation.address // 4 % 2 * 32 if operation.kind is Kind.CONTROLLER else 0
            if operation.kind is Kind.REGISTER:
                shift = operation.address % 2 * 32
                half = now["r.data"] >> shift & 0xFFFFFFFF
                self._answered(operation, half, f"{what}, {operation}")
                data |= half << shift
                continue
            if not self._controller_answers:
                raise _WrongError(f"{what} comes before the controller has answered")
            word, error = self._controller_answers.popleft()
            resp |= SLVERR if error else OKAY
            data |= 0 if error else word << shift
        self._compare(what, "id", request.id, now["r.id"])
        self._compare(what, "resp", RESPONSES[resp], RESPONSES[now["r.resp"]])
        self._compare(what, "data", f"0x{data:016x}", f"0x{now['r.data']:016x}")
        if side.number and len(self._plan) >= _BUFFER:
            self.coverage.waited(side.burst, bool(beat.resp), clock - side.passed)
        side.passed = clock
        side.number += 1
        self._compare(what, "last", int(side.number == request.beats), now["r.last"])
        side.resps.append(resp)
        self.beats += 1
        if not self._plan:
            if side.under_way:
                raise _WrongError(f"{what} is the last, but {side.under_way[0]} has not happened")
            total = 0
            for each in side.resps:
                total = max(total, each)
            self.coverage.ended(side.name, side.burst, side.resps, total)
            self._sample_words(side, 1)
            if side.streams:
                self._closed = clock
            self.reader = _Side("read")

    def _sample_words(self, side: _Side, counted: int) -> None:
        """Coverage of a burst at the controller, if nothing of it is wrong but `counted` responses of words."""
        if sum(map(bool, side.resps)) == counted:
            self.coverage.wrong_words(
                side.name,
                [
                    (low[1], high[1])
                    for low, high in pairwise(side.words_wrong)
                    if low[0] % BEAT_BYTES == 0 and high[0] == low[0] + WORD_BYTES
                ],
            )

    @staticmethod
    def _compare(what: str, field_: str, expected: object, seen: object) -> None:
        if expected != seen:
            raise _WrongError(f"{what}: {field_} is {seen} instead of {expected}")

    # ---------------------------------------------------------------------------------------------
    # Starts of the transposer
    # ---------------------------------------------------------------------------------------------
    def _start(self, clock: int) -> TransposerStream:
        """A start is taken: the stream that it makes, of the registers as they are."""
        if self._start_since is None or clock < self._start_since:
            raise _WrongError("the transposer starts although tr_mvus has not been written")
        if self.writer.streams:
            raise _WrongError("the transposer starts while a write burst of it is open")
        reader = self.reader
        if reader.streams and (self.stream.fetching or len(self._plan) > _BUFFER):
            raise _WrongError("the transposer starts while a read burst of it is open")
        field_ = self.system.field
        stream = TransposerStream(self.params.mvu.lanes, self.params.mvus)
        stream.start(
            field_("tr_format", "element"),
            (field_("tr_format", "precision"), bool(field_("tr_format", "signed"))),
            self.system.values["tr_channels"],
            self.system.values["tr_first"],
            field_("tr_mvus", "write"),
            field_("tr_mvus", "read"),
        )
        return stream

    def _late_start(self, clock: int) -> None:
        """A start comes when nothing is open any more."""
        since = self._start_since
        if since is None or self.writer.streams or self.reader.streams or self._opening:
            return
        if clock > max(since, self._closed) + _START_CLOCKS:
            raise _WrongError(
                f"the transposer has not started, although tr_mvus was written in clock {since - 2}"
            )


def unit_name(unit: int) -> str:
    """A unit in a sentence."""
    return "the system" if unit == SYSTEM_UNIT else f"MVU {unit}"
