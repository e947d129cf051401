# SPDX-License-Identifier: Apache-2.0
"""Tests of the MVU. Each says what it plays; everything else is the environment's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, Timer

from assay.golden import Residual
from assay.golden.formats import IntFormat
from assay.golden.mvu.clocks import job_clocks
from assay.golden.mvu.functional import Configuration, JobResult
from assay.golden.mvu.layout import unpack_activations
from assay.golden.mvu.plan import NetworkPlan
from assay.golden.mvu.vectors import read
from assay.tb.agents.burst import ALWAYS
from assay.tb.bench import BenchStopped, Finding
from assay.tb.cases import none_to_play, to_play
from assay.tb.env import CLOCK_NS
from assay.tb.mvu.base import MvuTest
from assay.tb.mvu.coverage import LONG, WRAPS
from assay.tb.mvu.env import MvuUnit
from assay.tb.mvu.jobs import Image, JobItem
from assay.tb.mvu.mvu_cases import MvuCases
from assay.tb.mvu.networks import given_model, items, load_workloads
from assay.tb.mvu.steps import Burst, HostTraffic
from assay.tb.mvu.traffic import Traffic
from assay.tb.report import RUN_DIR


# -------------------------------------------------------------------------------------------------
# Real layers
# -------------------------------------------------------------------------------------------------
@MvuTest.test
class RealLayers(MvuTest):
    """Every layer of the trained digit networks, or of MODEL, bit-exact (the default of `make TOPLEVEL=mvu`).

    Real networks, layer after layer through the memory of the device: the digit networks on test images nobody
    trained on, or the user's own.
    """

    async def body(self) -> None:
        right = total = 0
        rng = self.stimulus.rng
        workloads = load_workloads(*given_model(), rng)
        # Icarus has the time for one network, a different one with another seed.
        if len(workloads) > self.pick(len(workloads), 1):
            workloads = [workloads[int(rng.integers(len(workloads)))]]
        for workload in workloads:
            network = workload.network
            plan = NetworkPlan(network, self.env.params)
            count = min(self.pick(4, 1), len(workload.images))
            for index in rng.choice(len(workload.images), count, replace=False).tolist():
                image = workload.images[index]
                await self.play(items(plan, image))
                trace = network.trace(image[None])
                for tensor, base in plan.bases.items():
                    self.compare(network.name, tensor, trace[tensor][0], base, network.formats[tensor])
                cocotb.log.info("%s, image %d: all layers equal", network.name, index)
                if workload.labels is not None:
                    right += int(trace[network.output].argmax()) == int(workload.labels[index])
                    total += 1
        if total:
            self.report.notes["digits recognised"] = f"{right} of {total}"

    def compare(self, network: str, tensor: str, expected: np.ndarray, base: int, fmt: IntFormat) -> None:
        """The golden MVU, which the device equals, against the network's own arithmetic: two paths, one result."""
        env = self.env
        words = expected.shape[0] * expected.shape[1] * -(-expected.shape[2] // env.params.lanes) * fmt.bits
        seen = unpack_activations(
            env.golden.memories.data[base : base + words], expected.shape, fmt, env.params.lanes
        )
        if not np.array_equal(seen, expected):
            env.fail(f"golden MVU and network {network} disagree on tensor {tensor}", kind="golden")


@MvuTest.test(skip="ASSAY_VECTORS" not in os.environ)
async def vector_set(self: MvuTest) -> None:
    """The vector set in VECTORS."""
    env = self.env
    params, jobs = read(Path(os.environ["ASSAY_VECTORS"]))
    if params != env.params:
        env.fail(f"the vector set was made for {params}, the build is {env.params}", kind="vectors")
    for vector in jobs:
        job = vector.job
        images = [Image(job.input.base, vector.input)]
        if vector.residual is not None:
            assert job.residual is not None  # for it reads them
            images.append(Image(job.residual.base, vector.residual))
        item = JobItem.of(job, params.lanes, images)
        await self.play([item])
        words = env.golden.memories.data
        if not np.array_equal(words[vector.address % params.data_depth], vector.expected):
            env.fail(
                f"the golden MVU and the vector set disagree on job {job.name}",
                kind="golden",
            )
        cocotb.log.info("%s: %d words equal", job.name, len(vector.expected))


@MvuTest.test(skip=none_to_play(__file__))
async def cases(self: MvuTest) -> None:
    """The case in CASE, or the kept cases of this build; where there is none, a random job."""
    played = to_play(MvuCases(), "mvu", __file__)
    for case in played:
        await self.play_steps(case.steps)
    if not played:
        await self.play(self.stimulus.random_items(1, 400))


# -------------------------------------------------------------------------------------------------
# Constrained random and directed jobs
# -------------------------------------------------------------------------------------------------
@MvuTest.test
async def random_jobs(self: MvuTest) -> None:
    """Constrained random jobs: formats, shapes, strides, padding, pooling, residuals, modes, destinations."""
    await self.play(self.stimulus.random_items(self.pick(48, 8), self.pick(6000, 600), cuts=0.15))


@MvuTest.test
async def stalls(self: MvuTest) -> None:
    """Random stalls on every port."""
    for item in self.stimulus.random_items(self.pick(24, 3), self.pick(2000, 300), cuts=0.15):
        self.env.stall(self.stimulus.random.choice((16, 64, 128, 200, 240)))
        await self.play([item])


@MvuTest.test
async def corners(self: MvuTest) -> None:
    """Ends of precisions and values, smallest shapes, strides, largest kernel."""
    most = self.pick(1 << 29, 400)
    items = self.stimulus.corners()
    await self.play(item for item in items if Configuration(item.registers).countdown <= most)


@MvuTest.test
async def precision_pairs(self: MvuTest) -> None:
    """All pairs of weight and input precision."""
    await self.play(self.stimulus.precision_pairs(self.pick(256, 12)))


@MvuTest.test
async def elongated_maps(self: MvuTest) -> None:
    """Maps of some hundred or thousand rows or columns, padded too, many channel blocks, and strides up to 255."""
    await self.play(self.stimulus.elongated(self.pick(24, 1), self.pick(20_000, 600)))
    self.must_cover(self.env.coverage.lengths)


@MvuTest.test
async def largest_shapes(self: MvuTest) -> None:
    """A full weight memory and half the data memory."""
    await self.play(self.stimulus.largest())


@MvuTest.test
class BarvinnRows(MvuTest):
    """BARVINN's five-loop address programs run unchanged."""

    async def body(self) -> None:
        await self.play(self.items())

    def items(self) -> Iterator[JobItem]:
        for blocks, width, a, w in (
            ((1, 1), 6, 2, 2),
            ((2, 1), 5, 2, 2),
            ((1, 2), 5, 1, 3),
            ((2, 2), 4, 3, 2),
        ):
            yield self.stimulus.barvinn_row(blocks, width, a, w)


# -------------------------------------------------------------------------------------------------
# Chains of jobs, collisions, reset
# -------------------------------------------------------------------------------------------------
@MvuTest.test
class NextJobWhileBusy(MvuTest):
    """The next job is written while one runs, some cut short or illegal; further writes wait.

    Jobs handed over while others run: the images are loaded before, as they share the memories. Nobody clears
    mvustatus between them.
    """

    async def body(self) -> None:
        r, depth = self.stimulus.random, self.env.params.data_depth
        for _ in range(self.pick(6, 2)):
            chain = []
            for k in range(4):
                layer, size = self.stimulus.layer(
                    f"chained{k}",
                    kernel=(r.randint(1, 2), r.randint(1, 2)),
                    stride=(1, 1),
                    size=(4, 4),
                    channels=(self.env.params.lanes, self.env.params.lanes),
                    weight_format=self.stimulus_format(3),
                    input_format=self.stimulus_format(3),
                )
                place = (k * depth // 8, depth // 2 + k * depth // 8, depth // 16 + k * depth // 8)
                (item,) = self.stimulus.items(layer, size, place=place)
                self.move_images(item, k)
                chain.append(item)
            for item in chain:
                await self.driver.load(item)
                item.weights, item.scalers, item.biases, item.images = [], [], [], []
            for item in chain:
                if r.random() < 0.5:
                    self.stimulus.spoil(item)
            for item in chain[:-1]:
                item.overlap = True
            for item in chain:
                # Some of these meet the clock in which the job before has ended and this one is taken over.
                item.status_writes = r.choice((0, 1, r.randint(2, 400)))
            await self.play(chain)
        self.must_cover(self.env.coverage.status_writes)

    def stimulus_format(self, most: int) -> object:
        fmt = self.stimulus.format()
        return type(fmt)(min(fmt.bits, most), fmt.signed)

    def move_images(self, item: JobItem, k: int) -> None:
        """Give the k-th job of a chain parameters of its own."""
        weight_base, entry = k * self.env.params.weight_depth // 8, k * self.env.params.channel_depth // 8
        item.weights = [(weight_base, words) for _, words in item.weights]
        item.scalers = [(entry, v) for _, v in item.scalers]
        item.biases = [(entry, v) for _, v in item.biases]
        item.registers |= {
            "mvuwbaseptr": {"value": weight_base},
            "mvusbaseptr": {"value": entry},
            "mvubbaseptr": {"value": entry},
        }


@MvuTest.test
async def random_programs(self: MvuTest) -> None:
    """Any loops, jumps and roles of the loops; no word of the memory changes that should not."""
    env = self.env
    await self.fill()
    count, most = self.pick(60, 3), self.pick(4000, 150)
    await self.play(self.stimulus.programs.random(f"program{k}", most) for k in range(count))
    self.must_cover(env.coverage.cuts)
    env.compare_words("the whole data memory", 0, await env.memory.read(0, env.params.data_depth))
    if env.failed.is_set():
        raise BenchStopped


@MvuTest.test
async def fast_programs(self: MvuTest) -> None:
    """An output in every clock, with residuals and pool groups of every kind, whole and cut."""
    await self.fill()
    await self.play(self.stimulus.programs.fast(f"fast{k}", k) for k in range(self.pick(48, 4)))
    self.must_cover(self.env.coverage.fast)


@MvuTest.test
async def padded_programs(self: MvuTest) -> None:
    """Padded programs of any geometry, as no job mapper would write them: large pool windows, up to 4095 blocks."""
    await self.fill()
    count, most = self.pick(40, 4), self.pick(20_000, 2500)
    await self.play(self.stimulus.programs.padded(f"padded{k}", k, most) for k in range(count))
    self.must_cover(self.env.coverage.extents)


@MvuTest.test
async def countdown_wraps(self: MvuTest) -> None:
    """An output's end with a power of two of clocks left, and another window behind it."""
    await self.play(self.stimulus.wraps(WRAPS[: self.pick(len(WRAPS), 3)]))
    self.must_cover(self.env.coverage.wraps)


@MvuTest.test
async def long_loops(self: MvuTest) -> None:
    """Loops of more steps than 15 bits count, each loop of each address generator in turn."""
    await self.fill()
    await self.play(self.stimulus.programs.long(self.pick(LONG, 20)))
    self.must_cover(self.env.coverage.loops)


@MvuTest.test
class Collisions(MvuTest):
    """Host and crossbar traffic in the very banks that the running job reads and writes; nothing may be
    lost."""

    async def body(self) -> None:
        stimulus, depth = self.stimulus, self.env.params.data_depth
        bank = self.env.params.bank_depth
        for k in range(self.pick(8, 3)):
            # Every fourth job has residuals that are always late: it asks for no input while it waits for them. They
            # have a bank for themselves, the host and the crossbar.
            late = k % 4 == 2
            bits = 1 if late else 2
            residual = Residual("residual", IntFormat(4, True), 321, 3) if late else None
            layer, size = stimulus.layer(
                f"crowded{k}",
                kernel=(1, 1),
                padding=(0, 0, 0, 0),
                stride=(1, 1),
                size=(14, 14) if late else (5, 5),
                channels=(self.env.params.lanes, self.env.params.lanes),
                weight_format=IntFormat(bits, True),
                input_format=IntFormat(bits, False),
                output_format=IntFormat(1 if late else 4, True),
                pool=None,
                **({"residual": residual} if late else {}),
            )
            # Input, output and residual share a bank in every other job. 25 positions of 16 bits end before the words
            # that the traffic takes.
            behind = bank // 2 - bank // 32
            place = (0, bank // 4, behind) if k % 2 else (0, depth // 2, behind)
            if late:
                place = (depth // 4, depth // 2, 0)
            (item,) = stimulus.items(layer, size, place=place)
            item.traffic = self.traffic((place[2],) * 3 if late else place[:2])
            await self.play([item])
        self.must_cover(self.env.coverage.late_reads)

    def traffic(self, places: tuple[int, ...]) -> HostTraffic:
        """Accesses to free words of the banks of the job's tensors, one after the other."""
        rng, bank = self.stimulus.rng, self.env.params.bank_depth
        width = self.env.params.lanes // 8
        quarter = bank // 8
        host = rng.integers(0, 256, (quarter // 2, width), np.uint8)
        crossbar = rng.integers(0, 256, (quarter // 2, width), np.uint8)
        free = [p // bank * bank + bank - quarter for p in places]
        return HostTraffic("host and crossbar traffic", tuple(Burst(base, host, crossbar) for base in free))


@MvuTest.test
async def reset_mid_job(self: MvuTest) -> None:
    """Reset in the middle of a job, then a clean run."""
    for _ in range(self.pick(24, 4)):
        (item,) = self.stimulus.random_items(1, 800, dest=0)
        await self.driver.load(item)
        await self.driver.start(item)
        await ClockCycles(
            self.env.dut.clk_i, self.stimulus.random.randint(1, job_clocks(item.registers).total)
        )
        await self.env.reset()
        self.driver.flush()
        if self.env.interrupt.level != 0:
            self.env.fail("the interrupt is raised after reset", kind="reset")
        await self.play(self.stimulus.random_items(2, 800))


# -------------------------------------------------------------------------------------------------
# The checks, checked: each run must fail, with the right words
# -------------------------------------------------------------------------------------------------
class Planted(MvuTest):
    """A job whose expectation or traffic is tampered with."""

    hook = "tamper"
    jobs = 1

    async def body(self) -> None:
        items = list(self.stimulus.random_items(self.jobs, 600, dest=0))
        self.tamper(items[0])
        await self.play(items)

    def tamper(self, item: JobItem) -> None:
        raise NotImplementedError

    def alter_expectation(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Put `change` between golden MVU and scoreboard."""
        self.env.trace.alter = change


@Planted.test(finds=Finding("mismatch", "layer random0", "data[0]", "bit plane", "clock"))
def planted_flipped_bit(self: Planted, item: JobItem) -> None:
    """One flipped bit in one expected word is found and named."""

    def flip(beats: np.ndarray) -> np.ndarray:
        beats = beats.copy()
        beats[len(beats) // 2, 0] ^= 1
        return beats

    self.alter_expectation(flip)


@Planted.test(finds=Finding("lost", "layer random0"))
def planted_lost_word(self: Planted, item: JobItem) -> None:
    """A word that never leaves the device is called lost."""
    self.alter_expectation(lambda beats: np.insert(beats, len(beats) // 2, 0x5A, axis=0))


@Planted.test(finds=Finding("repeated", "layer random0"))
def planted_repeated_word(self: Planted, item: JobItem) -> None:
    """A word that comes once too often is called repeated."""
    self.alter_expectation(lambda beats: np.delete(beats, len(beats) // 2, axis=0))


@Planted.test(finds=Finding("unexpected", "more than expected"))
def planted_word_more(self: Planted, item: JobItem) -> None:
    """A word after the last one that was due is found."""
    self.alter_expectation(lambda beats: beats[:-1])


@Planted.test(finds=Finding("memory", "a write was lost"))
def planted_lost_write(self: Planted, item: JobItem) -> None:
    """A word that is right on the trace and wrong in the memory is found when the tensor is read back."""

    assert item.output is not None  # as of every job that writes to its own memory
    base = item.output.base

    async def overwrite(env: MvuUnit) -> None:
        await Timer(CLOCK_NS * 3000, "ns")
        before = await env.memory.read(base, 1)
        await env.memory.write(base, ~before)

    item.traffic = overwrite


@Planted.test(finds=Finding("StreamTimeout", "port reg_req", "not accepted"))
def planted_stall_for_ever(self: Planted, item: JobItem) -> None:
    """A port that never moves is named; the run does not hang."""
    self.env.agents["reg_req"].bus.stall = ALWAYS


@Planted.test(
    finds=Finding("mismatch", "cause: mvu_data_memory: ", reads="input words of this output are wrong")
)
class PlantedInput(Planted):
    """Inputs that are not what was written there are named, with who wrote them: not the unit that read them."""

    jobs = 6  # the outputs of one alone may be the same whatever its inputs are, such as all 0

    def tamper(self, item: JobItem) -> None:
        start = self.driver.start

        async def overwrite_first(job: JobItem) -> None:
            for image in job.images:
                await self.env.memory.write(image.base, ~image.words)
            await self.driver.or_stop(self.env.agents["mem_req"].bus.drain())
            await start(job)

        self.driver.start = overwrite_first  # type: ignore[assignment]


@Planted.test(
    finds=Finding(
        "hang", "MVU 0 hangs: job random0", waiting="whose word is not taken: own memory or crossbar"
    )
)
class PlantedHang(Planted):
    """A unit that does not go on is named, with what it waits for."""

    async def body(self) -> None:
        (item,) = self.stimulus.random_items(1, 600, dest=1)
        self.env.agents["xbo"].bus.stall = ALWAYS
        await self.play([item])


@MvuTest.test(finds=Finding("nothing compared", "nothing was verified"))
async def planted_nothing(self: MvuTest) -> None:
    """A run that compared nothing fails."""


# -------------------------------------------------------------------------------------------------
# Speed: run by `make bench`
# -------------------------------------------------------------------------------------------------
@MvuTest.test(skip=True)
class Speed(MvuTest):
    """Measures clocks a second at transaction level (`make bench`).

    A chain of 2-bit 3x3 layers with as many channels as lanes on 32x32 maps, as in a small ResNet.
    """

    layers = 16
    probability = 0

    async def body(self) -> None:
        env = self.env
        items = list(self.items())
        traffic = Traffic(env.params.lanes)
        results: list[JobResult] = []
        for item in items:
            item.made = results.append
        env.stall(self.probability)
        await self.play_timed(items)
        for item, result in zip(items, results, strict=True):
            traffic.job(item, result)
        folder = Path(os.environ[RUN_DIR])
        traffic.save(folder / "traffic.bin", folder / "expected.bin")

    def items(self) -> Iterator[JobItem]:
        lanes, depth = self.env.params.lanes, self.env.params.data_depth
        weights, activations = IntFormat(2, True), IntFormat(2, False)
        for k in range(self.layers):
            layer, size = self.stimulus.layer(
                f"speed{k}",
                kernel=(3, 3),
                stride=(1, 1),
                padding=(1, 1, 1, 1),
                size=(32, 32),
                channels=(lanes, lanes),
                weight_format=weights,
                input_format=activations,
                output_format=activations,
                multiplier=self.stimulus.rng.integers(1, 256, lanes),
                bias=self.stimulus.rng.integers(0, 4096, lanes),
                shift=12,
                residual=None,
                pool=None,
                relu=True,
            )
            place = (0, depth // 2) if k % 2 == 0 else (depth // 2, 0)
            (item,) = self.stimulus.items(layer, size, place=(*place, 0), crossbar=False)
            if k:
                item.images = []  # the layer before has just written it
            yield item


@Speed.test(skip=True)
class SpeedStalled(Speed):
    """Measures clocks a second with random stalls on every port (`make bench`).

    The same while every port stalls in a quarter of the clocks.
    """

    probability = 64
