# SPDX-License-Identifier: Apache-2.0
"""Environment of the MVU's bench: one stream agent for each port, front ends, golden MVU, scoreboards."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from cocotb.triggers import Event
from cocotb.utils import get_sim_time
from pyuvm import uvm_component

from assay.golden.mvu.functional import GivenRegisters, JobResult, Memories, run_job
from assay.golden.mvu.jobs import TensorSpec
from assay.golden.mvu.layout import unpack_activations, values_of_planes
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.registers import ADDRESS_WIDTH
from assay.tb.agents.burst import Beats, StreamError
from assay.tb.agents.inside import Inside
from assay.tb.agents.interrupt import Interrupt
from assay.tb.agents.memory import MemoryPort
from assay.tb.agents.register import RegisterAgent, RegisterPort
from assay.tb.agents.request_response import request_format, response_format
from assay.tb.agents.stream import BeatFormat, Role
from assay.tb.ahead import Promise, ahead
from assay.tb.debug import ACTIVE, AT, Axis, UnitRecord, find_output, still_inside
from assay.tb.env import CLOCK_NS, Stream, StreamEnv
from assay.tb.mvu.cause import CauseFinder, Operands, Task, Traffic, Writer, suspect
from assay.tb.mvu.coverage import MvuCoverage
from assay.tb.mvu.debug import unit_record
from assay.tb.mvu.state import unit_waits
from assay.tb.report import Report
from assay.tb.scoreboard import Explanation, Mismatch, StreamScoreboard

FIRST_WORDS = 8  #: whose addresses a message shows
WEIGHT, SCALER, BIAS = 0, 1, 2  #: `select` of the parameter port
SOURCES = ("reg_req", "mem_req", "xbi", "prm")
SINKS = ("reg_rsp", "mem_rsp", "xbo")
TAPS = ("trc", "job")
_PIPELINE = 64  #: clocks from a pool group's last product to its last word, without waiting
#: Requesters whose waiting clocks a bench top counts.
REQUESTERS = ("input", "residual", "host_read", "output", "crossbar", "host_write", "crossbar_out")


def build_parameters() -> MvuParameters:
    """Parameters of the build under test, from the runner."""
    return MvuParameters.of_rtl(json.loads(os.environ.get("ASSAY_PARAMS", "{}")))


def port_formats(params: MvuParameters) -> dict[str, BeatFormat]:
    """Payload of every stream, as in docs/mvu.md."""
    lanes = params.lanes
    written = [("data", lanes), ("addr", 16), ("dest", 8)]
    return {
        "reg_req": request_format(32, ADDRESS_WIDTH),
        "reg_rsp": response_format(32),
        "mem_req": request_format(lanes, 16),
        "mem_rsp": response_format(lanes),
        "xbi": BeatFormat(written[:2]),
        "xbo": BeatFormat(written),
        "prm": BeatFormat([("data", max(lanes, 32)), ("lane", 8), ("word", 16), ("select", 2)]),
        "trc": BeatFormat(written),
        "job": BeatFormat([("busy_clocks", 32)]),
    }


@dataclass(frozen=True)
class Expectation:
    """The words that a job must write, and their names for messages.

    Attributes:
        beats: uint8[n, bytes], as the stream carries them.
        locate: word index -> its place in the tensor.
        result: of the golden MVU.
        bits: words of an output block, one for each bit plane.
        outputs: of a pool group.
        task: the job, for who looks for the cause of a wrong word.
        axes: of the output tensor, see `tb.debug.JobRecord`; empty for a job that writes none.
    """

    beats: np.ndarray
    locate: Callable[[int], str]
    result: JobResult
    bits: int
    outputs: int
    task: Task
    axes: Sequence[Axis] = ()

    @classmethod
    def of(
        cls,
        task: Task,
        result: JobResult,
        locate: Callable[[int], str],
        trc: BeatFormat,
        axes: Sequence[Axis] = (),
    ) -> Expectation:
        """What a job, which the golden MVU has run, must show on a stream like ``trc``."""
        return cls(
            beats=trc.pack(data=result.data, addr=result.address, dest=result.dest),
            locate=locate,
            result=result,
            bits=task.configuration.format("output").bits,
            outputs=task.configuration.group_outputs,
            task=task,
            axes=axes,
        )

    def explain(self, index: int, lane: int, operands: Operands | None = None) -> str:
        """The golden MVU's numbers behind one lane of one word, in the order of the data path.

        Args:
            index, lane: of the word, in the word.
            operands: what the accumulators meet in the post-processing, where that is known.
        """
        group = index // self.bits
        sums = self.sums(group)[:, lane].tolist()
        value = int(self.result.values[group, lane])
        configuration = self.task.configuration
        fields = configuration.fields
        pooled = f"accumulators of the pool group {sums}" if self.outputs > 1 else f"accumulator {sums[0]}"
        code = value & ((1 << self.bits) - 1)
        post = ""
        if operands is not None:
            post = f"times scaler {operands.scaler[lane]}"
            if operands.bias[lane]:
                post += f", plus bias {operands.bias[lane]} << {fields['mvuscaler']['bias_shift']}"
            if fields["mvuconfig1"]["residual"]:
                known = operands.residual
                residual = (
                    "(overwritten since)" if known is None else ", ".join(map(str, known[:, lane].tolist()))
                )
                scaler = fields["mvurscaler"]
                post += f", plus residual {residual} * {scaler['value']} << {scaler['shift']}"
            post += ", ReLU" if fields["mvuconfig1"]["relu"] else ""
            quant = fields["mvuquant"]
            post += f", >> {quant['msb'] + 1 - self.bits}"
            post += ", rounded half up" if quant["round_half_up"] else ", truncated"
            post += ", saturated, " if quant["saturate"] else ", wrapped, "
        return (
            f"lane {lane}: input {configuration.format('input')} by weight {configuration.format('weight')}: {pooled} "
            f"(in u_mac), {post}quantised {value} = 0b{code:0{self.bits}b} {configuration.format('output')} "
            f"(in u_post; its most significant plane leaves first)"
        )

    def sums(self, group: int) -> np.ndarray:
        """int64[outputs, lanes]: the accumulators of a pool group."""
        made: np.ndarray = self.result.accumulators[group * self.outputs : (group + 1) * self.outputs]
        return made.astype(np.int64)


class OutputScoreboard(StreamScoreboard):
    """Words of many jobs on one stream; names a beat by the job it belongs to.

    Attributes:
        alter: for tests of this scoreboard: changes the words that a job must write.
        jobs: since the last reset, each with its first beat.
        on_job: called with each of these as it is added.
        causes: looks for the cause of a wrong word; None: nobody does.
        blamed: the cause of every wrong word, where that is known from where the stream is; empty: it is not.
    """

    def __init__(
        self, name: str, beat_format: BeatFormat, lanes: int, blamed: str = "", **options: Any
    ) -> None:
        super().__init__(name, beat_format, locate=self._locate, explain=self._explain, **options)
        self.lanes = lanes
        self.causes: CauseFinder | None = None
        self.blamed = blamed
        self.alter: Callable[[np.ndarray], np.ndarray] = lambda beats: beats
        self.jobs: list[tuple[int, Expectation]] = []
        self.on_job: Callable[[int, Expectation], None] = lambda first, job: None
        self._promised = 0
        self._values_before = 0  # compared before the last reset
        self._forgotten = 0  # jobs, from the first on, whose stages have been

    @property
    def values_compared(self) -> int:
        """Tensor values of which every bit plane has been compared, padding lanes among them."""
        values = self._values_before
        for first, job in self.jobs:
            compared = min(max(self.beats_compared - first, 0), len(job.beats))
            values += compared // job.bits * self.lanes
        return values

    def expect_job(self, job: Expectation) -> None:
        """Append the words of one job."""
        self.expect(self._promise(job))

    def _promise(self, job: Expectation) -> np.ndarray:
        job = replace(job, beats=self.alter(job.beats))
        self.jobs.append((self._promised, job))
        self.on_job(self._promised, job)
        if ACTIVE:
            self._forget_stages()
        self._promised += len(job.beats)
        return job.beats

    def _forget_stages(self) -> None:
        """What stands between the steps is of interest of the last jobs alone, and large."""
        (oldest, _), *_ = still_inside(self.jobs, self.beats_compared)
        while self.jobs[self._forgotten][0] < oldest:
            first, job = self.jobs[self._forgotten]
            self.jobs[self._forgotten] = first, replace(job, result=replace(job.result, stages={}))
            self._forgotten += 1

    def expect_job_later(self, make: Callable[[], Expectation | None]) -> None:
        """As `expect_job`, of what is asked for when the job's first word is compared, which waits for more of them or
        for `compare`. None: it has no words."""

        def beats() -> np.ndarray:
            job = make()
            return np.empty((0, self.format.bytes), np.uint8) if job is None else self._promise(job)

        # One beat stands for all of them: how many there are is not known yet.
        self.expect_later(1, beats, patient=True)

    def flush(self) -> None:
        super().flush()
        self._values_before = self.values_compared
        self._promised = self.beats_compared
        self.jobs.clear()
        self._forgotten = 0

    def _job(self, index: int) -> tuple[int, Expectation] | None:
        """The job a beat belongs to, and the beat's index in it."""
        for first, job in reversed(self.jobs):
            if index >= first:
                return index - first, job
        return None

    def _locate(self, index: int) -> str:
        found = self._job(index)
        return found[1].locate(found[0]) if found else ""

    def span(self, index: int) -> int:
        found = self._job(index)
        if found is None:
            return 0
        configuration = found[1].task.configuration
        return 2 * configuration.output_clocks * configuration.group_outputs + _PIPELINE

    def _explain(self, index: int, unlike: np.ndarray) -> Explanation | str:
        found = self._job(index)
        if found is None:
            return ""
        at, job = found
        if self.blamed:
            return Explanation(cause=self.blamed, writer=job.task.name)
        fields = [name for name, bits in self.format.unpack(unlike[None]).items() if bits.any()]
        if "data" not in fields:
            hint = (
                f"unlike fields: {', '.join(fields)}; the word went to the wrong place, or another word came"
            )
            if self.causes is None:
                return hint
            seen = self.format.unpack(self.come[:FIRST_WORDS])["addr"].tolist()
            golden = self.format.unpack(job.beats[at:][:FIRST_WORDS])["addr"].tolist()
            why = self.causes.of_output(job.task, at // job.bits, addresses=True)
            shown = f"output, from this word on: golden {_listed(golden)}, seen {_listed(seen)}"
            return why._replace(addresses=f"{shown}; {why.addresses}")
        lanes = np.flatnonzero(np.unpackbits(unlike, bitorder="little")[: self.lanes])
        lane = int(lanes[0]) if len(lanes) else 0
        if self.causes is None:
            return job.explain(at, lane)
        group = at // job.bits
        operands = self.causes.operands(job.task, group)
        why = self.causes.of_output(job.task, group)._replace(hint=job.explain(at, lane, operands))
        seen_values = None if why.writer else self._values_seen(at, job)
        if seen_values is not None:
            module, phrase = suspect(job.task.configuration, job.sums(group), operands, seen_values)
            if module:
                return why._replace(cause=f"{module} of MVU {job.task.unit}, as if {phrase}", addresses="")
            if why.reads:
                more = "no single step of mvu_post, left out, gives what is seen: make explain follows it in the waves"
                return why._replace(reads=f"{why.reads}; {more}")
        return why

    def _values_seen(self, at: int, job: Expectation) -> np.ndarray | None:
        """int64[lanes], the values that have come in the output with the job's word `at`; None: a plane is missing.

        The planes before `at` were right.
        """
        first = at - at % job.bits
        come = self.come[: first + job.bits - at]
        words = np.concatenate([job.beats[first:at], come])
        if len(words) < job.bits:
            return None
        planes = np.unpackbits(words, axis=1, bitorder="little")[:, : self.lanes]  # data is the lowest field
        values: np.ndarray = values_of_planes(planes, job.task.configuration.format("output"))
        return values


def _listed(addresses: list[int]) -> str:
    return " ".join(map(str, addresses)) or "nothing"


def look_for(report: Report, board: OutputScoreboard) -> None:
    """Where a user wants to see a place of a network, look for it in the jobs whose words `board` compares."""

    def look(first: int, job: Expectation) -> None:
        output = find_output(AT, job.task.name, job.axes, [Axis("channel", board.lanes)])
        if output is not None:
            report.look_for(board, first + output * job.bits, int(AT.get("channel", 0)) % board.lanes)

    if AT:
        board.on_job = look


def run_apart(registers: GivenRegisters, memories: Memories, params: MvuParameters) -> JobResult:
    """`run_job` for another process: without the copy of the memory, and numbers as narrow as they are."""
    result = run_job(registers, memories, params, keep_stages=ACTIVE)
    return replace(
        result,
        data_memory=result.data_memory[:0],
        accumulators=_narrow(result.accumulators),
        values=_narrow(result.values),
        stages={n: v if v.dtype == np.uint8 else _narrow(v) for n, v in result.stages.items()},
    )


def _narrow(values: np.ndarray) -> np.ndarray:
    """Integers as int8, int16, int32 or int64, whichever is the first that holds all."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return values.astype(np.min_scalar_type(min(low, -1 - high)))


class GoldenMvu:
    """The reference: memories as the bench has filled them, changed by every job as the device should.

    A job may be computed ahead, see `start`; whoever looks at the memories finds it done.

    Attributes:
        writers: of the data memory, in order.
    """

    def __init__(self, params: MvuParameters) -> None:
        self.params = params
        self._memories = Memories.zeros(params)
        self._written = np.zeros(params.data_depth, bool)
        self.writers: list[Writer] = []
        self._writer = np.full(params.data_depth, -1, np.int32)
        self._started: tuple[Promise[JobResult], Callable[[JobResult], None], int] | None = None

    @property
    def memories(self) -> Memories:
        """Their contents."""
        self.catch_up()
        return self._memories

    @property
    def written(self) -> np.ndarray:
        """bool[data_depth]: data words that hold something known."""
        self.catch_up()
        return self._written

    def note(self, writer: Writer) -> int:
        """Somebody is going to write data words; gives his number."""
        self.writers.append(writer)
        return len(self.writers) - 1

    def load(self, base: int, words: np.ndarray, port: str = "host") -> None:
        """Write data memory words, through this port."""
        writer = Writer(
            f"the {port} port's words for addresses {base} to {base + len(words) - 1}",
            None,
            "mvu_data_memory",
        )
        self.put(base + np.arange(len(words)), words, self.note(writer))

    def put(self, address: np.ndarray, words: np.ndarray, writer: int) -> None:
        """Write data memory words at addresses [n], as the writer of a number."""
        self.memories.data[address] = words
        self._written[address] = True
        self._writer[address] = writer

    def look(self, memory: str, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `tb.mvu.cause.GoldenMemory`."""
        words = getattr(self.memories, memory)[index]
        return words, self._writer[index] if memory == "data" else np.full(len(index), -1)

    def run(self, registers: GivenRegisters) -> JobResult:
        """Run a job and keep what it writes to the own data memory."""
        writer = self.note(Writer("a job of this unit", 0, "mvu_data_memory"))
        return self._keep(run_job(registers, self.memories, self.params, keep_stages=ACTIVE), writer)

    def start(
        self, registers: GivenRegisters, then: Callable[[JobResult], None], beside: bool, writer: int
    ) -> None:
        """Run a job and keep what it writes to the own data memory.

        Args:
            then: gets the result; where it is computed beside the simulation, in the next `catch_up`, and then without
                ``data_memory``.
            writer: number of the job.
        """
        if beside:
            self._started = ahead(run_apart, registers, self.memories, self.params), then, writer
        else:
            then(self._keep(run_job(registers, self.memories, self.params, keep_stages=ACTIVE), writer))

    def catch_up(self) -> None:
        """Wait for the job that was started, if any."""
        if self._started is not None:
            (promise, then, writer), self._started = self._started, None
            then(self._keep(promise.result(), writer))

    def _keep(self, result: JobResult, writer: int) -> JobResult:
        if result.dest == 0:
            self.put(result.address % self.params.data_depth, result.data, writer)
        return result


class MvuUnit(StreamEnv):
    """Agents of one MVU's ports and what stands behind them. The ConfigDB gives ``dut`` and ``report``.

    Args:
        params: of the MVU.
        prefix: of the names of its streams and signals in the bench top.
        roles: stream name to the role of its agent; a stream that is left out has none.

    Attributes:
        registers, memory: front ends of the request/response streams.
        interrupt: the irq line.
        golden: reference.
        trace: scoreboard of ``trc``.
        busy: clocks of every ended job, in order.
        causes: looks for the cause of a wrong word.
        traffic: the last words that left the unit.
    """

    number = 0  #: of the unit, for messages
    device = "dut"  #: its instance, below the bench top

    def __init__(
        self, name: str, parent: uvm_component, params: MvuParameters, prefix: str, roles: Mapping[str, Role]
    ) -> None:
        super().__init__(name, parent, prefix)
        self.params = params
        self.roles = roles

    def table(self) -> Mapping[str, Stream]:
        formats = port_formats(self.params)
        outputs = {"scoreboard": partial(OutputScoreboard, lanes=self.params.lanes)}
        # An answer is awaited, so it must not wait for a full burst.
        more: dict[str, dict[str, Any]] = {
            "reg_rsp": {"eager": True},
            "mem_rsp": {"eager": True},
            "job": {"eager": True, "receive": self._job_ended},
            "trc": {"receive": self._word_written, **outputs},
            "xbo": outputs,
        }
        return {name: Stream(role, formats[name], **more.get(name, {})) for name, role in self.roles.items()}

    def build_phase(self) -> None:
        super().build_phase()
        self.trace = self._board("trc")
        self.golden = GoldenMvu(self.params)
        self.coverage = MvuCoverage()
        self.busy: list[int] = []
        self.job_ended = Event()
        self.traffic = self.make_traffic()
        self.causes = self.find_causes()
        for board in self.boards.values():
            if isinstance(board, OutputScoreboard):
                board.causes = self.causes
        if ACTIVE:
            self.report.debug.units.append(self._unit_record)
        look_for(self.report, self.trace)

    def _unit_record(self) -> UnitRecord:
        self.golden.catch_up()  # the job that runs is of interest
        return unit_record(self.trace, self.params, *self.probes())

    def probes(self) -> tuple[str, str]:
        """The scope of the unit's probes below the HDL top, and its name for messages."""
        return "dut.u_probes", ""

    def connect_phase(self) -> None:
        super().connect_phase()
        options: dict[str, Any] = {"clock_ns": CLOCK_NS, "on_error": self.fail}
        self.registers = RegisterPort(self.bus["reg_req"], self.bus["reg_rsp"], **options)
        self.memory = MemoryPort(self.bus["mem_req"], self.bus["mem_rsp"], **options)
        self.interrupt = Interrupt(getattr(self.dut, f"{self.prefix}irq_o"), clock_ns=CLOCK_NS)

    def make_traffic(self) -> Traffic:
        """The record of what leaves the unit."""
        return Traffic(port_formats(self.params)["trc"], 1, self.params.data_depth)

    def find_causes(self) -> CauseFinder:
        """Who looks for the cause of a wrong word."""
        return CauseFinder(
            inside=Inside(self.dut),
            paths=(self.device,),
            params=self.params,
            golden=lambda unit, memory, index: self.golden.look(memory, index),
            writers=lambda unit, number: self.golden.writers[number],
            traffic=self.traffic,
            time_ns=self.time_of,
        )

    def waiting(self) -> str:
        return unit_waits(self.causes.inside, self.device)

    def last_moved(self) -> float:
        """Simulation time in ns of the last word that left the unit; -1: none has."""
        return self.time_of(self.trace.last_cycle) if self.trace.last_cycle >= 0 else -1

    def time_of(self, clock: int) -> float:
        """Simulation time of one of the bench's clocks, in ns."""
        return self.trace.origin_ns + clock * CLOCK_NS

    @property
    def crossbar(self) -> OutputScoreboard:
        """What awaits the words that leave the unit."""
        return self._board("xbo")

    def _board(self, stream: str) -> OutputScoreboard:
        board = self.boards[stream]
        assert isinstance(board, OutputScoreboard)  # as `table` makes it
        return board

    def fail(self, failure: Mismatch | StreamError | str, **details: object) -> None:
        """Record a failure and wake the test. A wrong word before it, which was not compared so far, comes first."""
        if not isinstance(failure, Mismatch):
            self.golden.catch_up()
        super().fail(failure, **details)

    def flush(self) -> None:
        """Drop everything in flight: called in a reset. The golden MVU's memories stay."""
        self.golden.catch_up()
        super().flush()
        self.registers.flush()
        self.memory.flush()
        self.busy.clear()
        self.traffic.clear()

    def waits(self) -> dict[str, int]:
        """Clocks in which accesses to the data memory or the crossbar output waited, by requester, since reset."""
        return self.counters(REQUESTERS)

    async def settle(self) -> None:
        """Wait until every word so far has reached its scoreboard."""
        self.golden.catch_up()
        await self.settle_streams(self.boards, lambda: any(s.outstanding for s in self.boards.values()))

    async def compare_tensor(self, name: str, spec: TensorSpec, words: np.ndarray) -> None:
        """Compare a tensor read back from the data memory, uint8[words, lanes/8], with the golden MVU's."""
        golden = self.golden.memories.data[spec.base : spec.base + spec.words]
        self.report.words_compared += len(words)
        if np.array_equal(words, golden):
            return
        await self.settle()
        self.conclude()
        if self.failed.is_set():
            return  # a word was wrong on its way: that is the first failure
        expected, seen = (
            unpack_activations(w, spec.shape, spec.fmt, self.params.lanes) for w in (golden, words)
        )
        unlike = np.argwhere(expected != seen)
        word = int(np.argmax((words != golden).any(axis=1)))
        if len(unlike):
            row, column, channel = unlike[0].tolist()
            e, s = (int(t[row, column, channel]) & ((1 << spec.fmt.bits) - 1) for t in (expected, seen))
            what = (
                f"{len(unlike)} of {expected.size} values differ in the memory after layer {name}, "
                f"the first at row {row}, column {column}, channel {channel} (lane {channel % self.params.lanes})"
            )
            bits = {"expected": f"0b{e:0{spec.fmt.bits}b}", "seen": f"0b{s:0{spec.fmt.bits}b}"}
        else:
            what = (
                f"bits beyond the last channel are set in the memory after layer {name}, first in word {word}"
            )
            bits = {
                "expected": f"0x{golden[word].tobytes()[::-1].hex()}",
                "seen": f"0x{words[word].tobytes()[::-1].hex()}",
            }
        address = spec.base + word
        left = self.traffic.last_to(self.number, address)
        when = get_sim_time("ns") if left is None else self.time_of(left.clock)
        at = "" if left is None else f"; word {address} left at clock {left.clock}, {when:,.0f} ns"
        self.fail(
            f"{what}: expected {bits['expected']}, seen {bits['seen']}; the words were right when they left the "
            f"serialiser (stream trc), so a write was lost or another one hit them{at}",
            kind="memory",
            time_ns=when,
            **bits,
            **self._why_memory(address, golden[word], words[word]),
        )

    def _why_memory(self, address: int, expected: np.ndarray, seen: np.ndarray) -> dict[str, str]:
        """Why a word of the data memory is wrong."""
        _, writers = self.golden.look("data", np.array([address]))
        why = self.causes.of_word(self.number, address, expected.tobytes(), seen.tobytes(), int(writers[0]))
        return {} if why is None else {key: text for key, text in why._asdict().items() if text}

    def compare_words(self, what: str, addresses: int | np.ndarray, words: np.ndarray) -> None:
        """Compare data memory words uint8[n, lanes/8], at addresses [n] or from one on, with the golden MVU's."""
        places = np.asarray(addresses)
        if places.ndim == 0:
            places = places + np.arange(len(words))
        golden = self.golden.memories.data[places]
        self.report.words_compared += len(words)
        wrong = (words != golden).any(axis=1)
        if wrong.any():
            at = int(np.argmax(wrong))
            expected, seen = (f"0x{w[at].tobytes()[::-1].hex()}" for w in (golden, words))
            self.fail(
                f"{what}: {int(wrong.sum())} of {len(words)} words wrong in the data memory, "
                f"the first at address {int(places[at])}: expected {expected}, seen {seen}: "
                "an access was lost or hit the wrong word",
                kind="memory",
                time_ns=get_sim_time("ns"),
                expected=expected,
                seen=seen,
                **self._why_memory(int(places[at]), golden[at], words[at]),
            )

    def _word_written(self, beats: Beats) -> None:
        self.traffic.write(self.number, beats)
        self.trace.write(beats)

    def _job_ended(self, beats: Beats) -> None:
        self.job_ended.set()
        self.busy += self.formats["job"].unpack(beats.payload)["busy_clocks"].tolist()


class MvuEnv(MvuUnit):
    """The one MVU of its bench: all its ports."""

    def __init__(self, name: str, parent: uvm_component) -> None:
        roles: dict[str, Role] = dict.fromkeys(SOURCES, "source")
        roles |= dict.fromkeys(SINKS, "sink")
        roles |= dict.fromkeys(TAPS, "tap")
        super().__init__(name, parent, build_parameters(), "", roles)

    def build_phase(self) -> None:
        super().build_phase()
        self.register_agent = RegisterAgent("registers", self)

    def connect_phase(self) -> None:
        super().connect_phase()
        self.cdb_set("port", self.registers, "registers")
