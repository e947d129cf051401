# SPDX-License-Identifier: Apache-2.0
"""The blocks' own scoreboards at unit boundaries, watching while the system runs.

`MvuWatch` sees every register access that an MVU takes: a write of `mvucommand` lets the golden MVU run the job that
the registers then say, and the words that follow on the unit's trace must be its. `HartWatch` feeds the controller's
lock-step scoreboard: retirements, with the answers of the bus, the interrupt lines and the host's writes merged in by
their clocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cocotb.utils import get_sim_time

from assay.golden.accelerator.plan import BIASES, SCALERS, WEIGHTS, Load, Place, Step
from assay.golden.controller import memory_map
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import GoldenError
from assay.golden.mvu.functional import Configuration, JobResult
from assay.golden.mvu.layout import pack_activations
from assay.golden.mvu.parameters import CROSSBAR_PORTS, MvuParameters
from assay.golden.mvu.registers import BY_NAME, REGISTERS, encode
from assay.tb.accelerator.golden_units import Change, GoldenUnits
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats
from assay.tb.agents.inside import Inside
from assay.tb.ahead import Promise, Remote
from assay.tb.controller.lockstep import Lockstep
from assay.tb.controller.ports import BUS_REQUEST, BUS_RESPONSE, BusAccess
from assay.tb.debug import Axis
from assay.tb.mvu.cause import CROSSBAR, CauseFinder, Task, Traffic, Writer
from assay.tb.mvu.coverage import MvuCoverage
from assay.tb.mvu.env import Expectation, OutputScoreboard
from assay.tb.mvu.jobs import name_words, output_axes

__all__ = ["ACCESSES", "HOST_WRITES", "JOB_END", "LINES", "BusLog", "HartWatch", "Lines", "MvuWatch"]

#: Register accesses that MVUs take in a clock; of unit m the fields with m behind them.
ACCESSES = BeatFormat(
    [
        (f"{name}{m}", bits)
        for m in range(CROSSBAR_PORTS)
        for name, bits in (("wdata", 32), ("addr", 8), ("write", 1), ("valid", 1))
    ]
)
#: Clocks of a job that has ended: of busy, of multiplying, in which its reads and its writes waited.
JOB_END = BeatFormat([("busy", 32), ("multiplied", 32), ("reads", 32), ("writes", 32)])
HOST_WRITES = BeatFormat([("wdata", 32), ("addr", 32)])
LINES = BeatFormat([("external", 8), ("mvu", 8)])

_COMMAND = BY_NAME["mvucommand"].address
_STATUS = BY_NAME["mvustatus"].address


@dataclass
class _Job:
    """A job that an MVU has been given."""

    name: str
    countdown: int
    golden: Promise[tuple[JobResult, int | None]]  #: as of `GoldenUnits.run`


@dataclass
class _Unit:
    """The record of an MVU."""

    trace: OutputScoreboard
    shadow: dict[int, int] = field(default_factory=dict)
    jobs: deque[_Job] = field(default_factory=deque)
    ends: deque[tuple[int, int, int, int, int]] = field(default_factory=deque)
    steps: Sequence[Step] = ()
    begun: int = 0  #: jobs of this run


class MvuWatch:
    """Golden MVUs beside the device's, fed by what the units take.

    Args:
        mvus: how many there are.
        params: of each.
        trc: format of the traces.
        coverage: sampled with every job.
        fail: called as `tb.report.Report.fail`.
        clock_ns: clock period.

    Attributes:
        units: with ``trace``, the scoreboard of each unit's words.
        jobs: that were handed over.
        strict: whether registers that a step of the plan gives must be those of the job.
        watching: whether jobs are looked at at all.
        multiplied, ideal, busy: clocks of all legal jobs that have ended.
        writers: of the data memories, in order: jobs and tensors of the host.
        traffic: the last words that left the units.
    """

    def __init__(
        self,
        mvus: int,
        params: MvuParameters,
        trc: BeatFormat,
        coverage: MvuCoverage,
        fail: Callable[..., None],
        clock_ns: float,
    ) -> None:
        self.params = params
        self.coverage = coverage
        self.strict = self.watching = True
        self.jobs = 0
        self.multiplied = self.ideal = self.busy = 0
        self.origin_ns = 0.0
        self.writers: list[Writer] = []
        self.traffic = Traffic(trc, mvus, params.data_depth)
        self._golden = Remote(GoldenUnits, mvus, params)
        self._changes: list[Change] = []  # that the golden units have not been told
        self._trc = trc
        self._fail = fail
        self._clock_ns = clock_ns
        self.units = [
            _Unit(
                OutputScoreboard(f"u{m}_trc", trc, lanes=params.lanes, on_mismatch=fail, clock_ns=clock_ns),
                {register.address: 0 for register in REGISTERS},
            )
            for m in range(mvus)
        ]

    def reset(self) -> None:
        """The device is in reset: registers are 0, jobs are gone, memories keep what they have."""
        for unit in self.units:
            unit.trace.flush()
            unit.shadow = {register.address: 0 for register in REGISTERS}
            unit.jobs.clear()
            unit.ends.clear()
        self.traffic.clear()

    def look_for_causes(self, inside: Inside, paths: Sequence[str], place: Callable[[int, int], str]) -> None:
        """Let the scoreboards of the traces say why a word is wrong.

        Args:
            inside, paths: where the units are in the bench top.
            place: names an address of a unit's data memory.
        """
        causes = CauseFinder(
            inside,
            paths,
            self.params,
            golden=lambda mvu, memory, index: self._call("look", mvu, memory, index).result(),
            writers=lambda mvu, number: self.writers[number],
            traffic=self.traffic,
            time_ns=lambda clock: self.origin_ns + clock * self._clock_ns,
            place=place,
        )
        self._causes = causes
        for unit in self.units:
            unit.trace.causes = causes

    def last_moved(self) -> float:
        """Simulation time in ns of the last word that left a unit; -1: none has."""
        clock = max(unit.trace.last_cycle for unit in self.units)
        return self.origin_ns + clock * self._clock_ns if clock >= 0 else -1

    def why_memory(self, place: Place) -> dict[str, str]:
        """Why a tensor is not in the memory from which the host reads it, as texts of a failure."""
        mvu, index = min(place.mvus), place.base + np.arange(place.words)
        seen = self._causes.data(mvu, index)
        if seen is None:
            return {}
        golden, writers = self._call("look", mvu, "data", index).result()
        wrong = np.flatnonzero((golden != seen).any(axis=1))
        if not len(wrong):
            cause = f"accelerator_transposer, or the host's port: the data memory of MVU {mvu} holds it right"
            return {"cause": cause}
        at = int(wrong[0])
        why = self._causes.of_word(
            mvu, int(index[at]), golden[at].tobytes(), seen[at].tobytes(), int(writers[at])
        )
        return {} if why is None else {key: text for key, text in why._asdict().items() if text}

    def _note(self, name: str, unit: int | None, block: str, clock: int = -1) -> int:
        self.writers.append(Writer(name, unit, block, clock))
        return len(self.writers) - 1

    def word(self, mvu: int, beats: Beats) -> None:
        """Words that a unit has written, in order: the callback for its trace."""
        self.traffic.write(mvu, beats)
        self.units[mvu].trace.write(beats)

    def begin(self, steps: Sequence[Sequence[Step]]) -> None:
        """A run begins, in which the units do these steps."""
        for unit, own in zip(self.units, steps, strict=True):
            unit.steps, unit.begun = own, 0

    # ---------------------------------------------------------------------------------------------
    # What the host does
    # ---------------------------------------------------------------------------------------------
    def load(self, load: Load) -> None:
        """Parameters go to some units."""
        memory = {WEIGHTS: "weights", SCALERS: "scaler", BIASES: "bias"}[load.select]
        self._changes.append(Change(load.mvus, memory, load.first, load.image, -1))

    def write(self, place: Place, values: np.ndarray) -> None:
        """A tensor goes to the units of its place."""
        words = pack_activations(values, place.fmt, self.params.lanes)
        writer = self._note(f"the host: tensor {place.tensor}", None, "accelerator_transposer")
        self._changes.append(Change(place.mvus, "data", place.base, words, writer))

    def data(self, mvu: int, first: int, count: int) -> np.ndarray:
        """Words of a golden unit's data memory, uint8[count, lanes/8]."""
        words: np.ndarray = self._call("data", mvu, first, count).result()
        return words

    def _call(self, method: str, *arguments: object) -> Promise[Any]:
        changes, self._changes = self._changes, []
        return self._golden.call(method, changes, *arguments)

    # ---------------------------------------------------------------------------------------------
    # What the units take and give
    # ---------------------------------------------------------------------------------------------
    def access(self, beats: Beats) -> None:
        """Register accesses, in order: the callback for the tap."""
        fields = ACCESSES.unpack(beats.payload)
        writes = np.stack([fields[f"valid{m}"] & fields[f"write{m}"] for m in range(len(self.units))], axis=1)
        for row, m in np.argwhere(writes).tolist():
            address, word = int(fields[f"addr{m}"][row]), int(fields[f"wdata{m}"][row])
            if address < _STATUS:
                self.units[m].shadow[address] = word
                if address == _COMMAND and self.watching:
                    self._begin(m, int(beats.cycles[row]))

    def _begin(self, mvu: int, clock: int) -> None:
        unit = self.units[mvu]
        configuration = Configuration.kept(
            0 if row.address == _STATUS else unit.shadow[row.address] for row in REGISTERS
        )
        step = unit.steps[unit.begun] if unit.begun < len(unit.steps) else None
        name = f"job {unit.begun} of MVU {mvu}"
        locate: Callable[[int], str] = lambda index: f"{name}, output word {index}"  # noqa: E731
        axes: Sequence[Axis] = ()
        if step is not None:
            name += f" (layer {step.layer}, rows {step.rows.start} to {step.rows.stop - 1})"
            if self.strict and not self._is(step, unit, name, clock):
                return
            locate = name_words(step.job, self.params.lanes)
            axes = output_axes(step.job, self.params.lanes)
        unit.begun += 1
        self.jobs += 1
        try:
            causes = configuration.causes
        except GoldenError as error:
            self._wrong(f"{name} cannot be run: {error}", clock, "job")
            return
        writer = self._note(f"{name}, begun at clock {clock:,}", mvu, CROSSBAR, clock)
        task = Task(mvu, configuration, writer, clock, name)
        job = _Job(name, configuration.countdown, self._call("run", mvu, configuration, writer))
        unit.jobs.append(job)

        def words() -> Expectation | None:
            try:
                result, _ = job.golden.result()
            except GoldenError as error:
                self._wrong(f"{name} cannot be run: {error}", clock, "job")
                return None
            if not len(result.data):
                return None
            return Expectation.of(task, result, locate, self._trc, axes)

        if causes:
            expectation = words()
            if expectation is not None:
                unit.trace.expect_job(expectation)
        else:
            unit.trace.expect_job_later(words)
        self.coverage.sample_job(configuration, causes, overlap=len(unit.jobs) > 1)

    def _is(self, step: Step, unit: _Unit, name: str, clock: int) -> bool:
        """Whether the registers are those of the plan's step."""
        for address, word in encode(step.job.registers).items():
            if unit.shadow[address] != word:
                register = next(row.name for row in REGISTERS if row.address == address)
                self._wrong(
                    f"{name} begins with {register} = 0x{unit.shadow[address]:x}, but the plan's step has 0x{word:x}",
                    clock,
                    "job",
                )
                return False
        return True

    def job_ended(self, mvu: int, beats: Beats) -> None:
        """Ends of jobs, in order: the callback for a unit's tap."""
        fields = JOB_END.unpack(beats.payload)
        unit = self.units[mvu]
        unit.ends += zip(
            *(fields[n].tolist() for n in JOB_END.fields),
            beats.cycles.tolist(),
            strict=True,
        )
        self._look(unit)

    @property
    def outstanding(self) -> bool:
        """Whether words are expected that have not come so far."""
        for unit in self.units:
            self._look(unit)
        return any(unit.trace.outstanding for unit in self.units)

    def _look(self, unit: _Unit) -> None:
        """Compare what has come. A job that has just begun is not looked at: the golden units are about to do it."""
        unit.trace.compare()
        self._check_ends(unit)

    def _check_ends(self, unit: _Unit) -> None:
        """Clocks of the jobs that have ended: the formula, and what the job's accesses waited."""
        while unit.jobs and unit.ends:
            job, (busy, multiplied, reads, writes, clock) = unit.jobs.popleft(), unit.ends.popleft()
            _, ideal = job.golden.result()
            if ideal is None:
                continue
            self.multiplied += multiplied
            self.ideal += ideal
            self.busy += busy
            waited = reads + writes
            if multiplied != job.countdown:
                self._wrong(
                    f"{job.name} multiplied in {multiplied} clocks instead of {job.countdown}",
                    clock,
                    "clocks",
                )
            elif not ideal <= busy <= ideal + waited:
                self._wrong(
                    f"{job.name} was busy for {busy} clocks; the formula gives {ideal}, and its accesses waited "
                    f"{waited}",
                    clock,
                    "clocks",
                )

    def _wrong(self, text: str, clock: int, kind: str) -> None:
        time_ns = self.origin_ns + clock * self._clock_ns
        self._fail(f"{text}; clock {clock}, {time_ns:,.0f} ns", kind=kind, time_ns=time_ns)


class BusLog:
    """Answers on the controller's bus, as `tb.controller.lockstep.Lockstep` wants them.

    Attributes:
        log: for each hart its accesses that no retirement has claimed so far.
    """

    def __init__(self, params: ControllerParameters) -> None:
        self._harts = params.harts
        self.reset()

    def reset(self) -> None:
        """Nothing is under way."""
        self.log: list[deque[BusAccess]] = [deque() for _ in range(self._harts)]
        self._asked: list[tuple[int, int, int, bool, int] | None] = [None] * self._harts

    @property
    def latency(self) -> int:
        """Whether somebody waits for an answer, as a number of clocks."""
        return 1_000_000 if any(asked is not None for asked in self._asked) else 0

    @property
    def prompt(self) -> bool:
        """Requests may wait at the port."""
        return False

    def request(self, hart: int, mvu: int, register: int, wdata: int, write: int, clock: int) -> str:
        """A request is taken; what is wrong with it, or nothing."""
        if hart >= self._harts:
            return f"the bus carries a request of hart {hart}: there are {self._harts}"
        self._asked[hart] = (mvu, register, wdata, bool(write), clock)
        return ""

    def response(self, hart: int, rdata: int, error: int) -> str:
        """An answer is given; what is wrong with it, or nothing."""
        asked = self._asked[hart] if hart < self._harts else None
        if asked is None:
            return f"the bus answers hart {hart}, which has asked nothing"
        mvu, register, wdata, write, clock = asked
        self._asked[hart] = None
        self.log[hart].append(BusAccess(hart, write, mvu, register, wdata, rdata, bool(error), clock))
        return ""


class Lines:
    """Interrupt lines as the device shows them: `tb.controller.ports.InterruptLines`, watched."""

    def __init__(self, harts: int) -> None:
        self.harts = harts
        self.reset()

    def reset(self) -> None:
        """All low."""
        self.pulses: list[list[int]] = [[] for _ in range(self.harts)]
        self.levels: list[list[tuple[int, int]]] = [[(0, 0)] for _ in range(self.harts)]
        self._high_from = [-1] * self.harts

    def change(self, clock: int, mvu: int, external: int) -> None:
        """In this clock the lines changed to these."""
        self.until(clock - 1)
        for hart in range(self.harts):
            high = mvu >> hart & 1
            if high and self._high_from[hart] < 0:
                self._high_from[hart] = clock
            elif not high:
                self._high_from[hart] = -1
            level = external >> hart & 1
            if self.levels[hart][-1][1] != level:
                self.levels[hart].append((clock, level))

    def until(self, clock: int) -> None:
        """Lines that are high have been so up to this clock."""
        for hart, first in enumerate(self._high_from):
            if 0 <= first <= clock:
                self.pulses[hart] += range(first, clock + 1)
                self._high_from[hart] = clock + 1


class HartWatch:
    """Feeds the lock-step scoreboard, in the order of clocks.

    Args:
        lockstep: with a `BusLog` and `Lines` inside.
        fail: called as `tb.report.Report.fail`.
    """

    #: Clocks from a write of the host at the controller's port to the first retirement that may see it.
    HOST = 2
    #: And from the same to the last retirement of a hart that it holds.
    KINDS = ("lines", "request", "response", "host")

    def __init__(self, lockstep: Lockstep, log: BusLog, lines: Lines, fail: Callable[..., None]) -> None:
        self.lockstep = lockstep
        self.log = log
        self.lines = lines
        self._fail = fail
        self.reset()

    def reset(self) -> None:
        """The device is in reset."""
        self._events: dict[str, deque[tuple[int, tuple[int, ...]]]] = {kind: deque() for kind in self.KINDS}
        self.batches: deque[Beats] = deque()
        self.log.reset()
        self.lines.reset()

    # ---------------------------------------------------------------------------------------------
    # Callbacks of the taps
    # ---------------------------------------------------------------------------------------------
    def requests(self, beats: Beats) -> None:
        self._note("request", beats, BUS_REQUEST, ("hart", "mvu", "addr", "wdata", "write"))

    def responses(self, beats: Beats) -> None:
        self._note("response", beats, BUS_RESPONSE, ("hart", "rdata", "error"))

    def host_writes(self, beats: Beats) -> None:
        self._note("host", beats, HOST_WRITES, ("addr", "wdata"), self.HOST)

    def line_changes(self, beats: Beats) -> None:
        self._note("lines", beats, LINES, ("mvu", "external"))

    def _note(
        self, kind: str, beats: Beats, beat_format: BeatFormat, names: tuple[str, ...], later: int = 0
    ) -> None:
        fields = beat_format.unpack(beats.payload)
        rows = zip(*(fields[name].tolist() for name in names), strict=True)
        self._events[kind] += zip((beats.cycles.astype(np.int64) + later).tolist(), rows, strict=True)

    # ---------------------------------------------------------------------------------------------
    # Retirements
    # ---------------------------------------------------------------------------------------------
    def process(self, batches: int) -> None:
        """Compare so many batches of retirements; everything else up to their clocks must have been noted."""
        for _ in range(batches):
            batch = self.batches.popleft()
            first = 0
            while first < len(batch):
                self._apply(int(batch.cycles[first]))
                host = self._events["host"]
                # Up to the next write of the host in one go: what else happens carries its clock itself.
                stop = int(np.searchsorted(batch.cycles, host[0][0])) if host else len(batch)
                self._apply(int(batch.cycles[stop - 1]), host=False)
                part = slice(first, stop)
                self.lockstep.write(
                    Beats(batch.port, batch.first + first, batch.cycles[part], batch.payload[part])
                )
                first = stop

    def finish(self) -> None:
        """Let what came after the last retirement happen."""
        self._apply(1 << 62)

    def _apply(self, clock: int, host: bool = True) -> None:
        """Everything that happened up to this clock."""
        kinds = self.KINDS if host else self.KINDS[:-1]
        while True:
            due = [(self._events[k][0][0], n, k) for n, k in enumerate(kinds) if self._events[k]]
            if not due or min(due)[0] > clock:
                break
            kind = min(due)[2]
            when, values = self._events[kind].popleft()
            getattr(self, f"_{kind}")(when, *values)
        if clock < 1 << 60:
            self.lines.until(clock)

    def _request(self, clock: int, hart: int, mvu: int, register: int, wdata: int, write: int) -> None:
        self._odd(self.log.request(hart, mvu, register, wdata, write, clock), clock)

    def _response(self, clock: int, hart: int, rdata: int, error: int) -> None:
        self._odd(self.log.response(hart, rdata, error), clock)

    def _odd(self, wrong: str, clock: int) -> None:
        if wrong:
            self._fail(f"{wrong}; clock {clock}", kind="bus", time_ns=get_sim_time("ns"))

    def _lines(self, clock: int, mvu: int, external: int) -> None:
        self.lines.change(clock, mvu, external)

    def _host(self, clock: int, address: int, word: int) -> None:
        """A write of the host: `clock` is the first in which a retirement may see it."""
        lockstep, params = self.lockstep, self.lockstep.params
        region = memory_map.region(address, params)
        if region in (memory_map.Region.IMEM, memory_map.Region.DMEM):
            if address % 4 == 0:  # else it is refused
                lockstep.iss.load(address, word.to_bytes(4, "little"))
        else:
            lockstep.host_wrote(
                address, word, clock - 1
            )  # what it changes is new in the clock behind the write
