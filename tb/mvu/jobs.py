# SPDX-License-Identifier: Apache-2.0
"""The items of the bench: jobs with everything they need, and the driver that carries them out and checks them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial

import cocotb
import numpy as np
from cocotb.triggers import SimTimeoutError, select, with_timeout
from cocotb.utils import get_sim_time
from pyuvm import uvm_component, uvm_driver, uvm_sequence_item

from assay.golden.mvu.clocks import JobClocks, job_clocks
from assay.golden.mvu.functional import CAUSE_BIT, Configuration, JobResult, cause_names, config_causes
from assay.golden.mvu.jobs import Job, TensorSpec, locate
from assay.golden.mvu.registers import BY_NAME, REGISTERS, encode
from assay.tb.ahead import Promise, ahead
from assay.tb.bench import BenchStopped
from assay.tb.debug import Axis
from assay.tb.env import CLOCK_NS
from assay.tb.mvu.cause import Task, Writer
from assay.tb.mvu.env import BIAS, SCALER, WEIGHT, Expectation, MvuUnit
from assay.tb.mvu.steps import LayerStep, step_of

STATUS = BY_NAME["mvustatus"]
COMMAND = BY_NAME["mvucommand"]
_CLEAR = STATUS.field("done").mask | STATUS.field("error").mask
_REFUSAL = 1  #: clocks that a job is busy that is refused: that of the check
_HANG_CLOCKS = 50_000  #: clocks beyond a job's own after which it counts as hung
_SLOWEST = 16  #: how many times slower than its countdown residuals, stalls and collisions may make a job
_WORTH_AHEAD = (
    4_000  #: clocks of a job from which on the golden model is better computed beside the simulation
)
_OWN_WAITS = ("input", "residual", "output", "crossbar_out")  #: waits that can hold the data path


@dataclass
class Image:
    """Words for the data memory; `crossbar` writes them through the crossbar's input port instead of the host's."""

    base: int
    words: np.ndarray
    crossbar: bool = False


class JobItem(uvm_sequence_item):
    """One job.

    Args:
        name: for messages.
        registers: name to fields or value; those left out are written as 0.

    Attributes:
        weights: (first word, uint8[n, lanes*lanes/8]) pairs to load before.
        scalers, biases: (first entry, int[n, lanes]) pairs to load before.
        images: data memory words to load before.
        output: tensor to read back and compare decoded, when it stays in the own memory.
        locate: names the n-th output word.
        axes: of the output tensor, see `tb.debug.JobRecord`.
        overlap: hand the next job over while this one runs.
        status_writes: writes to mvustatus that clear nothing, a beat in each clock behind the command.
        made: called with the golden MVU's result.
        traffic: starts host and crossbar traffic during the job, a function of the environment.
        origin: the layer that the job is, if it is one: without tensors, as it was before anything was changed.
    """

    def __init__(self, name: str, registers: dict[str, dict[str, int] | int]) -> None:
        super().__init__(name)
        self.registers = registers
        self.weights: list[tuple[int, np.ndarray]] = []
        self.scalers: list[tuple[int, np.ndarray]] = []
        self.biases: list[tuple[int, np.ndarray]] = []
        self.images: list[Image] = []
        self.output: TensorSpec | None = None
        self.locate: Callable[[int], str] = lambda index: f"job {name}, output word {index}"
        self.axes: Sequence[Axis] = ()
        self.overlap = False
        self.status_writes = 0
        self.made: Callable[[JobResult], object] = lambda result: None
        self.traffic: Callable[[MvuUnit], Coroutine[object, object, None]] | None = None
        self.origin: LayerStep | None = None

    @classmethod
    def of(cls, job: Job, lanes: int, images: list[Image] | None = None) -> JobItem:
        """The item of a mapped layer; `images` are the tensors it reads and that are not in the memory yet."""
        item = cls(job.name, job.registers)
        item.weights.append((job.weight_base, job.weights))
        item.scalers.append((job.channel_base, job.scaler))
        item.biases.append((job.channel_base, job.bias))
        item.images += images or []
        item.output = job.output

        item.locate = name_words(job, lanes)
        item.axes = output_axes(job, lanes)
        return item


def output_axes(job: Job, lanes: int) -> list[Axis]:
    """The axes of a mapped layer's output, see `tb.debug.JobRecord`: its rows, columns and blocks of channels."""
    _, columns, _ = job.output.shape
    rows = job.output_words // (columns * job.blocks * job.output.fmt.bits)
    return [
        Axis("row", rows, offset=job.first_row),
        Axis("column", columns),
        Axis("channel", job.blocks, lanes, job.first_block * lanes),
    ]


def name_words(job: Job, lanes: int) -> Callable[[int], str]:
    """The function that names the n-th output word of a mapped layer."""

    def name_word(index: int) -> str:
        at = locate(job, index)
        first = at.block * lanes
        last = min(first + lanes, job.output.shape[2]) - 1
        return (
            f"layer {job.name}, output row {at.row}, column {at.column}, channels {first} to {last} "
            f"(data[i] is channel {first} + i), bit plane {at.plane} of {job.output.fmt}"
        )

    return name_word


@dataclass
class _Running:
    """A job handed over to the device."""

    item: JobItem
    countdown: int
    ideal: Promise[JobClocks] | None  #: clocks by the formula, None for a job that is refused
    causes: int
    begun: float  #: simulation time in ns of the handing over
    waits: dict[str, int] = field(default_factory=dict)


def shown(field: str, value: int) -> str:
    """A field of mvustatus for a message; a cause with the names of its bits."""
    if field != "cause":
        return str(value)
    return f"0x{value:02x} ({', '.join(cause_names(value)) or 'none'})"


class JobPlayer:
    """Loads, starts and checks `JobItem`s on one unit.

    Checked here, beside the words that the scoreboards compare: the status and the interrupt after every
    job, its clocks against the formula, and the output tensor as it stands in the memory.

    Args:
        env: the unit.
        recorded: each job is a step of a case.
    """

    def __init__(self, env: MvuUnit, recorded: bool = True) -> None:
        self.env = env
        self.recorded = recorded
        self.flush()

    def flush(self) -> None:
        """Forget everything about the device: it has been reset."""
        self._shadow = {r.address: 0 for r in REGISTERS}  # configuration as the device holds it
        self._running: list[_Running] = []
        self._ended = 0
        self._causes = 0  # of jobs ended since mvustatus was cleared
        self._names: list[str] = []  # of these

    async def play(self, item: JobItem) -> None:
        """Load and start a job; unless it overlaps, wait for its end and check it."""
        await self.load(item)
        if self.recorded:
            env, golden = self.env, self.env.golden
            env.report.keep_step(
                lambda: step_of(item, golden.memories, golden.written, env.params, env.stalls)
            )
        await self.start(item)
        if item.traffic is not None:
            await item.traffic(self.env)
        if not item.overlap:
            await self.finish()

    async def load(self, item: JobItem) -> None:
        """Bring a job's images into the memories of device and golden MVU."""
        env = self.env
        lanes, memories = env.params.lanes, env.golden.memories
        beats = []
        pack = env.formats["prm"].pack
        width = env.formats["prm"].fields["data"] // 8
        for base, words in item.weights:
            memories.weights[base : base + len(words)] = words
            rows = words.reshape(-1, lanes // 8)
            data = np.zeros((len(rows), width), np.uint8)
            data[:, : lanes // 8] = rows
            word, lane = np.divmod(np.arange(len(rows)), lanes)
            beats.append(pack(data=data, lane=lane, word=base + word, select=WEIGHT))
        for kind, loads, target in (
            (SCALER, item.scalers, memories.scaler),
            (BIAS, item.biases, memories.bias),
        ):
            for base, values in loads:
                target[base : base + len(values)] = values
                entry, lane = np.indices(values.shape).reshape(2, -1)
                data = np.zeros((values.size, width), np.uint8)
                data[:, :4] = values.reshape(-1, 1).astype("<i4").view(np.uint8)
                beats.append(pack(data=data, lane=lane, word=base + entry, select=kind))
        # All at once, then wait for all: the ports are independent.
        waits = []
        if beats:
            waits.append(cocotb.start_soon(env.agents["prm"].bus.send(np.concatenate(beats))))
        for image in item.images:
            env.golden.load(image.base, image.words, "crossbar" if image.crossbar else "host")
            if image.crossbar:
                address = image.base + np.arange(len(image.words))
                payload = env.formats["xbi"].pack(data=image.words, addr=address)
                waits.append(cocotb.start_soon(env.agents["xbi"].bus.send(payload)))
            else:
                waits.append(cocotb.start_soon(env.memory.write(image.base, image.words)))
        for task in waits:
            await task
        for name, agent in env.agents.items():
            if name in ("prm", "mem_req", "xbi"):
                await self.or_stop(agent.bus.drain())

    async def start(self, item: JobItem) -> None:
        """Write the registers that differ from what the device holds, the command last; expect the result, which the
        golden MVU computes meanwhile and which is compared when the job has ended."""
        env = self.env
        words = {**{r.address: 0 for r in REGISTERS if r is not STATUS}, **encode(item.registers)}
        command = words.pop(COMMAND.address)
        changed = {a: w for a, w in words.items() if self._shadow[a] != w}
        self._shadow.update(changed)
        causes = config_causes(item.registers)
        countdown = COMMAND.decode(command)["countdown"]
        beside = item.traffic is None and not causes and countdown >= _WORTH_AHEAD
        ideal = None
        if not causes or (causes == 1 << CAUSE_BIT["countdown"] and countdown):
            ideal = ahead(job_clocks, item.registers) if beside else Promise(job_clocks(item.registers))
        writer = env.golden.note(
            Writer(f"job {item.get_name()} of MVU {env.number}", env.number, "mvu_serialiser")
        )
        name = env.golden.writers[writer].name
        task = Task(env.number, Configuration.of(item.registers), writer, name=name)
        env.golden.start(item.registers, partial(self._made, item, task), beside, writer)
        self._running.append(_Running(item, countdown, ideal, causes, get_sim_time("ns"), env.waits()))
        self._causes |= causes
        self._names.append(item.get_name())
        env.coverage.sample_job(item.registers, causes, overlap=len(self._running) > 1)
        env.coverage.sample_status_writes(item.status_writes, waits=len(self._running) > 1)
        writes = [*changed.items(), (COMMAND.address, command)] + [(STATUS.address, 0)] * item.status_writes
        addresses, written = np.array(writes, np.uint64).T
        await self.or_stop(env.registers.write_at(addresses, written))

    def _made(self, item: JobItem, task: Task, result: JobResult) -> None:
        item.made(result)
        if len(result.data):
            self.expect(item, result, task)

    def expect(self, item: JobItem, result: JobResult, task: Task | None = None) -> None:
        """Let the scoreboards await the words of a job."""
        env = self.env
        task = task or Task(
            env.number, Configuration.of(item.registers), len(env.golden.writers), name=item.get_name()
        )
        expected = Expectation.of(task, result, item.locate, env.formats["trc"], item.axes)
        env.trace.expect_job(expected)
        if result.dest:
            env.crossbar.expect_job(expected)

    async def finish(self) -> None:
        """Wait for the end of all jobs handed over and check them."""
        env = self.env
        while self._running:
            running = self._running[0]
            await self.or_stop(self._end_of_job(running))
            env.golden.catch_up()
            if env.failed.is_set():
                raise BenchStopped
            await self._check_clocks(running, env.busy[self._ended], env.waits())
            self._running.pop(0)
            self._ended += 1
            if self._running:
                # The next one began with this one's end.
                self._running[0].waits = env.waits()
            else:
                await self.or_stop(self._check_status())
            if running.item.output is not None and not running.causes:
                await self._check_memory(running.item)
        await env.settle()
        if env.failed.is_set():
            raise BenchStopped

    async def or_stop(self, work: Coroutine[object, object, None]) -> None:
        """Await `work` unless a failure is recorded meanwhile."""
        ended, _ = await select(work, self.env.failed.wait())
        if ended == 1 or self.env.failed.is_set():
            raise BenchStopped

    async def _end_of_job(self, running: _Running) -> None:
        """Wait for the tap's beat that says how many clocks the job was busy."""
        env = self.env
        patience = _HANG_CLOCKS + sum(r.countdown for r in self._running) * _SLOWEST
        while len(env.busy) <= self._ended:
            env.job_ended.clear()
            try:
                await with_timeout(env.job_ended.wait(), patience * CLOCK_NS, "ns")
            except SimTimeoutError:
                last = env.last_moved()
                since = "the job began" if running.begun > last else "its last word so far left"
                due = max(running.begun, last)
                env.fail(
                    f"MVU {env.number} hangs: job {running.item.get_name()} has not ended after {patience} clocks; "
                    f"{since} at {due:,.0f} ns, {env.trace.outstanding} words of it are missing",
                    kind="hang",
                    time_ns=due,
                )
                return

    async def _check_clocks(self, running: _Running, busy: int, waits: dict[str, int]) -> None:
        """No clock is wasted: the formula, and at most a clock for each one in which an own access waited."""
        env = self.env
        ideal, late = _REFUSAL, False
        if running.ideal is not None:
            formula, config = running.ideal.result(), running.item.registers.get("mvuconfig1")
            ideal = formula.total
            late = formula.stalls > 0 and isinstance(config, dict) and config.get("residual") == 1
        env.report.clocks += busy
        env.report.ideal_clocks += ideal
        allowed = sum(waits[name] - running.waits[name] for name in _OWN_WAITS)
        env.coverage.sample_waits({name: waits[name] - running.waits[name] for name in waits}, late)
        if not ideal <= busy <= ideal + allowed:
            await env.settle()
            env.conclude()
            env.fail(
                f"job {running.item.get_name()} was busy for {busy} clocks; the formula gives {ideal}, and its "
                f"accesses waited {allowed} clocks",
                kind="clocks",
                time_ns=get_sim_time("ns"),
            )

    async def _check_status(self) -> None:
        """Status, interrupt and their clearing after the last of the jobs handed over."""
        env = self.env
        word = await env.registers.read(STATUS.address)
        seen = STATUS.decode(word)
        causes = self._causes
        expected = {
            "busy": 0,
            "done": 1,
            "error": int(causes != 0),
            "pending": 0,
            "jobs": self._ended % 256,
            "cause": causes,
        }
        names, self._causes, self._names = ", ".join(self._names), 0, []
        wrong = [
            f"{n} {shown(n, seen[n])} instead of {shown(n, expected[n])}"
            for n in expected
            if seen[n] != expected[n]
        ]
        if env.interrupt.level != 1:
            wrong.append("the interrupt is not raised")
        await env.registers.write(STATUS.address, _CLEAR)
        after = STATUS.decode(await env.registers.read(STATUS.address))
        wrong += [f"{n} {after[n]} after clearing" for n in ("done", "error", "cause") if after[n]]
        if env.interrupt.level != 0:
            wrong.append("the interrupt stays raised after clearing")
        if wrong:
            env.fail(
                f"after job {names}: mvustatus is 0x{word:08x}: {'; '.join(wrong)}",
                kind="status",
                time_ns=get_sim_time("ns"),
            )

    async def _check_memory(self, item: JobItem) -> None:
        """The output tensor as the memory holds it, decoded."""
        env = self.env
        spec = item.output
        if spec is None or Configuration.of(item.registers).fields["mvuobaseptr"]["dest"]:
            return
        if not env.golden.written[spec.base : spec.base + spec.words].all():
            return  # a part of a layer: its last job finds the whole tensor
        seen = await env.memory.read(spec.base, spec.words)
        await env.compare_tensor(item.get_name(), spec, seen)


class JobDriver(JobPlayer, uvm_driver):
    """The player behind a sequencer; the ConfigDB gives ``env``."""

    def __init__(self, name: str, parent: uvm_component) -> None:
        uvm_driver.__init__(self, name, parent)

    def build_phase(self) -> None:
        uvm_driver.build_phase(self)
        JobPlayer.__init__(self, self.cdb_get("env"))

    async def run_phase(self) -> None:
        while True:
            item: JobItem = await self.seq_item_port.get_next_item()
            try:
                await self.play(item)
            except BenchStopped:
                return  # the test has been woken by the failure itself
            self.seq_item_port.item_done()
