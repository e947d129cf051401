# SPDX-License-Identifier: Apache-2.0
"""Tests of the accelerator. Each says what it plays; everything else is the environment's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time
from numpy.typing import ArrayLike

from assay.golden import codegen
from assay.golden.accelerator.plan import Plan
from assay.golden.accelerator.registers import (
    RESPONSES,
    WINDOW_BY_NAME,
    data_address,
    register_address,
    system_address,
)
from assay.golden.codegen import files
from assay.golden.controller import memory_map
from assay.golden.mvu.registers import BY_NAME as MVU_REGISTERS
from assay.tb.accelerator.accelerator_cases import AcceleratorCases, item_of
from assay.tb.accelerator.env import AcceleratorEnv
from assay.tb.accelerator.networks import crowd, tampered
from assay.tb.accelerator.runs import RunDriver, RunItem, Tolerance, predicted_clocks
from assay.tb.accelerator.stimulus import Stimulus
from assay.tb.accelerator.tensors import TensorCollector
from assay.tb.accelerator.traffic import Traffic
from assay.tb.agents.axi import FIXED, INCR
from assay.tb.bench import BenchStopped, Finding, ItemTest
from assay.tb.cases import none_to_play, to_play
from assay.tb.controller.trace import RECORD
from assay.tb.env import CLOCK_NS
from assay.tb.mvu.networks import given_model, load_workloads
from assay.tb.report import RUN_DIR

#: Something beside the run costs it clocks.
ANY_CLOCKS = Tolerance(None)


class AcceleratorTest(ItemTest):
    """A test of the accelerator."""

    toplevel = "accelerator"
    environment = AcceleratorEnv
    item_driver = RunDriver
    item_stimulus = Stimulus
    env: AcceleratorEnv
    driver: RunDriver
    stimulus: Stimulus

    async def finish(self) -> None:
        """Nothing may be left; what was compared is counted."""
        env = self.env
        await env.settle()
        env.harts.finish()
        self.report.add_scoreboard(env.lockstep)
        for unit in env.mvus.units:
            if unit.trace.beats_compared or unit.trace.outstanding:
                self.report.add_scoreboard(unit.trace)
        self.report.values_compared += self.driver.values
        env.axi.check_finished()
        for group in env.coverage.groups:
            self.report.add_coverage(group)
        worst = self.driver.worst
        self.report.notes["runs"] = (
            f"{self.driver.runs} runs of {env.mvus.jobs} jobs, {env.lockstep.beats_compared:,} instructions"
            + ("" if worst is None else f"; clocks at most {worst:.2%} off the prediction")
        )
        if env.failed.is_set():
            raise BenchStopped


# -------------------------------------------------------------------------------------------------
# Real networks
# -------------------------------------------------------------------------------------------------
@AcceleratorTest.test
class RealNetworks(AcceleratorTest):
    """The trained digit networks, or MODEL: every tensor equal, images recognised, clocks as predicted.

    Whole networks, from the host's input to the host's output.
    """

    mappings: tuple[str, ...] = ("auto",)

    async def body(self) -> None:
        right = total = 0
        rng = self.stimulus.rng
        await self.driver.or_stop(self.env.host.check_build())
        workloads = load_workloads(*given_model(), rng)
        # Icarus has the time for one network, a different one with another seed.
        if len(workloads) > self.pick(len(workloads), 1):
            workloads = [workloads[int(rng.integers(len(workloads)))]]
        for workload, mapping in ((w, m) for w in workloads for m in self.mappings):
            network = workload.network
            plan = codegen.plan(network, self.env.params, mapping)
            count = min(self.pick(3, 1), len(workload.images))
            for index in rng.choice(len(workload.images), count, replace=False).tolist():
                item = RunItem(f"{network.name}, image {index}", plan, workload.images[index].astype(int))
                await self.play([item])
                assert item.run is not None and item.output is not None  # for it has passed
                cocotb.log.info(
                    "%s, image %d, %s: all tensors equal, %d clocks, predicted %d",
                    network.name,
                    index,
                    plan.mapping,
                    item.run.clocks,
                    item.predicted,
                )
                if workload.labels is not None:
                    right += int(item.output.argmax()) == int(workload.labels[index])
                    total += 1
        if total:
            self.report.notes["digits recognised"] = f"{right} of {total}"


@RealNetworks.test
class BothMappings(RealNetworks):
    """The digit networks in both mappings, one after the other on one accelerator.

    The same, first distributed, then pipelined.
    """

    mappings = ("distributed", "pipelined")


@AcceleratorTest.test(skip="ASSAY_VECTORS" not in os.environ)
async def vector_set(self: AcceleratorTest) -> None:
    """The code generator's folder in VECTORS."""
    saved = files.read(Path(os.environ["ASSAY_VECTORS"]))
    if saved.plan.params != self.env.params:
        self.env.fail(
            f"the folder was made for {saved.plan.params.rtl}, the build is {self.env.params.rtl}",
            kind="vectors",
        )
        raise BenchStopped
    await self.play([RunItem(f"vectors of {saved.plan.network.name}", saved.plan, saved.image)])
    for name, values in saved.tensors.items():
        if not np.array_equal(self.driver.expected[name], values):
            self.env.fail(f"tensor {name} of the folder is not the golden network's", kind="golden")
            raise BenchStopped


@AcceleratorTest.test(skip=none_to_play(__file__))
async def cases(self: AcceleratorTest) -> None:
    """The case in CASE, or the kept cases of this build; where there is none, a random network."""
    played = to_play(AcceleratorCases(), "accelerator", __file__)
    for case in played:
        await self.play(item_of(step, self.env.params) for step in case.steps)
    if not played:
        plan = self.stimulus.plan("random", 1, 4, 300)
        await self.play([RunItem(plan.network.name, plan, self.stimulus.input(plan.network))])


# -------------------------------------------------------------------------------------------------
# Random networks
# -------------------------------------------------------------------------------------------------
@AcceleratorTest.test
async def random_networks(self: AcceleratorTest) -> None:
    """Random networks in both mappings: shapes, formats, strides, padding, pools, residuals on any earlier tensor."""
    for number in range(self.pick(6, 1)):
        plan = self.stimulus.plan(f"random{number}", self.pick(5, 2), self.pick(8, 4), self.pick(4000, 300))
        await self.play(
            RunItem(
                f"{plan.network.name}, {plan.mapping}, input {k}", plan, self.stimulus.input(plan.network)
            )
            for k in range(self.pick(2, 1))
        )


# -------------------------------------------------------------------------------------------------
# What goes on beside a run
# -------------------------------------------------------------------------------------------------
class Beside(AcceleratorTest):
    """Random networks with something beside them."""

    tolerance = ANY_CLOCKS

    async def body(self) -> None:
        for number in range(self.pick(3, 1)):
            plan = self.plan(number)
            item = RunItem(
                f"{plan.network.name}, {plan.mapping}",
                plan,
                self.stimulus.input(plan.network),
                tolerance=self.tolerance,
                released=self.released,
            )
            await self.play([item])

    def plan(self, number: int) -> Plan:
        """The next one."""
        return self.stimulus.plan(f"random{number}", self.pick(4, 2), self.pick(7, 4), self.pick(3000, 300))

    async def released(self, env: AcceleratorEnv) -> None:
        """Beside the run, from the release of the harts on; what it leaves must not matter."""
        raise NotImplementedError

    async def pause(self, most: int) -> None:
        """Some clocks."""
        await Timer(CLOCK_NS * self.stimulus.random.randint(1, most), "ns")

    def ended(self, env: AcceleratorEnv) -> bool:
        """Whether the run has."""
        return env.irq.level == 1


@Beside.test
class InterruptStorm(Beside):
    """External, software and timer interrupts of all harts come and go: the firmware has enabled none of
    them."""

    async def released(self, env: AcceleratorEnv) -> None:
        r, harts = self.stimulus.random, self.env.params.mvus
        for _ in range(self.pick(60, 12)):
            if self.ended(env):
                break
            hart, kind = r.randrange(harts), r.randrange(3)
            if kind == 0:
                env.set_external(r.getrandbits(harts))
            elif kind == 1:
                await env.axi.write_words(memory_map.MSIP_BASE + 4 * hart, r.getrandbits(1))
            else:
                now = env.clock()
                await env.axi.write_words(
                    memory_map.MTIMECMP_BASE + 8 * hart + np.array([0, 4]),
                    np.array([now + r.randrange(200), 0]),
                )
            await self.pause(120)
        env.set_external(0)
        for hart in range(harts):
            await env.axi.write_words(memory_map.MSIP_BASE + 4 * hart, 0)
            await env.axi.write_words(memory_map.MTIMECMP_BASE + 8 * hart + np.array([0, 4]), 0xFFFFFFFF)


@Beside.test
class LateHarts(Beside):
    """Harts that the host holds for a while in the middle of a run."""

    async def released(self, env: AcceleratorEnv) -> None:
        r, harts = self.stimulus.random, self.env.params.mvus
        for _ in range(self.pick(25, 6)):
            if self.ended(env):
                break
            await env.host.hold(r.getrandbits(harts))
            await self.pause(r.choice((5, 60, 400)))
            await env.host.hold(0)
            await self.pause(400)
        await env.host.hold(0)


@Beside.test
class HostReads(Beside):
    """Host reads of memories and registers while a network runs."""

    async def released(self, env: AcceleratorEnv) -> None:
        r, host, params = self.stimulus.random, env.host, self.env.params
        plan = host.plan
        assert plan is not None  # for it runs
        place = plan.places[plan.network.input]
        golden = env.mvus.data(min(place.mvus), place.base, place.words)
        stays = not any(
            other.base < place.base + place.words and place.base < other.base + other.words
            for name, other in plan.places.items()
            if name != plan.network.input
        )
        for _ in range(self.pick(40, 8)):
            if self.ended(env):
                break
            kind = r.randrange(4)
            if kind == 0:
                count = min(place.words, r.choice((1, 7, 64)))
                words = await host.read_data(min(place.mvus), place.base, count)
                env.report.words_compared += count
                if stays and not np.array_equal(words, golden[:count]):
                    env.fail(
                        "the host reads another input than it wrote",
                        kind="memory",
                        time_ns=get_sim_time("ns"),
                    )
                    return
            elif kind == 1:
                await host.symbol("ended", params.mvus)
            elif kind == 2:
                status = MVU_REGISTERS["mvustatus"].address
                await env.axi.read_words(register_address(r.randrange(params.mvus), status))
            else:
                await host.system(r.choice(("clocks", "finished", "failed", "id")))
            await self.pause(100)


@AcceleratorTest.test
async def contention(self: AcceleratorTest) -> None:
    """A network whose layers do little but send to everybody: clocks as predicted here too."""
    network = crowd(self.env.params, self.stimulus.rng, self.pick(6, 2), self.pick(8, 3))
    for mapping in ("distributed", "pipelined")[: self.pick(2, 1)]:
        plan = codegen.plan(network, self.env.params, mapping)
        await self.play([RunItem(f"crowd, {mapping}", plan, self.stimulus.input(network))])


@AcceleratorTest.test
async def stalls(self: AcceleratorTest) -> None:
    """Back-pressure and gaps on all channels of the host's port."""
    for density in (16, 128, 220)[: self.pick(3, 1)]:
        plan = self.stimulus.plan("stalled", self.pick(3, 2), self.pick(6, 4), self.pick(2000, 200))
        self.env.stall(density)
        await self.play([RunItem(f"stalls {density}", plan, self.stimulus.input(plan.network))])
    self.env.stall(0)


@AcceleratorTest.test
class Resets(AcceleratorTest):
    """Reset at a random clock of a run, or of its loading; then a clean run."""

    async def body(self) -> None:
        env, r = self.env, self.stimulus.random
        for number in range(self.pick(4, 1)):
            plan = self.stimulus.plan(
                f"reset{number}", self.pick(3, 2), self.pick(6, 4), self.pick(2000, 200)
            )
            x = self.stimulus.input(plan.network)
            begun = cocotb.start_soon(self._begin(plan, x))
            await ClockCycles(env.dut.clk_i, r.randint(1, 4000 + predicted_clocks(plan)))
            begun.cancel()
            await env.reset()
            if env.irq.level != 0:
                env.fail("host_irq_o is high after reset", kind="reset")
                raise BenchStopped
            await self.play([RunItem(f"{plan.network.name} after the reset", plan, x)])

    async def _begin(self, plan: Plan, x: np.ndarray) -> None:
        env = self.env
        env.begin(plan)
        await env.host.load_plan(plan)
        if not plan.folded:
            await env.host.write_tensor(plan.network.input, x)
            await env.host.run(10_000_000)
        await ClockCycles(env.dut.clk_i, 10_000_000)


# -------------------------------------------------------------------------------------------------
# The host's port
# -------------------------------------------------------------------------------------------------
@AcceleratorTest.test
class AxiCorners(AcceleratorTest):
    """The host's port: windows, sizes, strobes, FIXED, refusals with their responses, no effect and no hang.

    Accesses of all kinds, legal and not, on every window; then a run.
    """

    async def body(self) -> None:
        await self.driver.or_stop(self.legal())
        await self.driver.or_stop(self.illegal())
        plan = self.stimulus.plan("after", 2, 4, 200)
        await self.play([RunItem("a run after all that", plan, self.stimulus.input(plan.network))])

    def equal(self, what: str, seen: ArrayLike, expected: ArrayLike) -> None:
        self.report.words_compared += np.size(expected)
        if not np.array_equal(seen, expected):
            self.env.fail(
                f"{what}: expected {np.asarray(expected).tolist()}, seen {np.asarray(seen).tolist()}",
                kind="axi",
                time_ns=get_sim_time("ns"),
                earlier=self.env.axi.past(),
            )

    async def legal(self) -> None:
        """Each window's beats, bursts of all lengths, FIXED."""
        env, axi, rng, params = self.env, self.env.axi, self.stimulus.rng, self.env.params
        lanes = params.mvu.lanes
        mask = np.uint64((1 << lanes) - 1)
        for length in (1, 2, 3, 16, 255, 256):
            values = rng.integers(0, 1 << 63, length, np.uint64)
            base = data_address(params.mvus - 1, 512)
            await axi.write_bursts(base, length, values)
            answer = await axi.read_bursts(base, length)
            self.equal(f"a burst of {length} beats to a data memory", answer.data, values & mask)
            self.equal("its responses", answer.resp, np.zeros(length))
        values = rng.integers(0, 1 << 63, 5, np.uint64)
        base = data_address(0, 7)
        await axi.write_bursts(base, 5, values, burst=FIXED)
        answer = await axi.read_bursts(base, 3, burst=FIXED)
        self.equal("FIXED: the last beat stays", answer.data, np.repeat(values[-1:] & mask, 3))
        # Words of the controller's memories: two a beat, one a beat, single strobes.
        imem = memory_map.IMEM_BASE
        words = rng.integers(0, 1 << 32, 16, np.uint64)
        pairs = words[::2] | words[1::2] << np.uint64(32)
        await axi.write_bursts(imem, 8, pairs)
        self.equal(
            "4-byte beats of what 8-byte beats wrote", await axi.read_words(imem + 4 * np.arange(16)), words
        )
        answer = await axi.read_bursts(imem + 4, 15, size=4)
        lanes_of = (np.arange(1, 16) % 2 * 32).astype(np.uint64)
        self.equal("a burst of 4-byte beats", answer.data >> lanes_of & np.uint64(0xFFFFFFFF), words[1:])
        await axi.write_bursts(imem, 2, ~pairs[:2], strobes=np.array([0xF0, 0x0F]))
        half = np.uint64(0xFFFFFFFF)
        expected = [pairs[0] & half | ~pairs[0] & ~half, ~pairs[1] & half | pairs[1] & ~half]
        self.equal("strobes of half a beat", (await axi.read_bursts(imem, 2)).data, np.array(expected))
        # A register through both windows.
        address = register_address(params.mvus - 1, MVU_REGISTERS["mvuwjump1"].address)
        await axi.write_words(address, 0x1234)
        self.equal("a register of an MVU", await axi.read_words(address), [0x1234])
        system = register_address(15, 0)
        self.equal(
            "the system registers as unit 15", await axi.read_words(system), [await env.host.system("id")]
        )
        for mvus in (0, 1, env.host.all_harts):
            await env.host.set_system("load_mvus", mvus)
            self.equal("load_mvus", await env.host.system("load_mvus"), mvus)
        await env.host.set_system("load_mvus", 0)

    async def illegal(self) -> None:
        """Whatever is refused: with the right response, without an effect, and never a hang."""
        axi, params = self.env.axi, self.env.params
        slverr, decerr = RESPONSES["SLVERR"], RESPONSES["DECERR"]
        data, weights = data_address(0, 0), WINDOW_BY_NAME["weights"].base
        kept = np.array([0xA5], np.uint64)
        await axi.write(data, kept)
        one = np.ones(1, np.uint64)
        nowhere = 0x0300_0000
        cases: list[tuple[str, int, dict[str, int], int]] = [
            ("write to nowhere", nowhere, {}, decerr),
            ("write to an odd address", system_address("load_mvus") + 2, {"size": 4}, slverr),
            ("write of bytes", data, {"strobes": 0x01}, slverr),
            ("4-byte write to a data memory", data, {"size": 4}, slverr),
            ("write to an MVU that does not exist", data_address(7, 0), {}, slverr),
            ("write behind the data memory", data_address(0, params.mvu.data_depth), {}, slverr),
            ("write to a register of no MVU", register_address(14, 0), {"size": 4}, slverr),
            ("2-byte write to a register", system_address("load_mvus"), {"size": 2}, slverr),
            ("write behind the memories", memory_map.IMEM_BASE + 0xF_FF00, {}, slverr),
        ]
        for what, address, options, expected in cases:
            if "does not exist" in what and params.mvus == 8:
                continue
            answer = await axi.write_bursts(address, 1, one, **options)
            self.equal(what, answer.resp, [expected])
        self.equal("a word that was only written illegally", (await axi.read(data, 1)), kept)
        for what, address, options, expected in (
            ("read of nowhere", nowhere, {}, decerr),
            ("read of weights, which can only be written", weights, {}, slverr),
            ("4-byte read of a data memory", data, {"size": 4}, slverr),
            ("read of a register of no MVU", register_address(14, 0), {"size": 4}, slverr),
            ("read of a transposer that was not started", WINDOW_BY_NAME["transposer"].base, {}, slverr),
        ):
            answer = await axi.read_bursts(address, 1, **options)
            self.equal(what, answer.resp, [expected])
        # A burst that leaves its window.
        window = WINDOW_BY_NAME["controller"]
        answer = await axi.read_bursts(window.base + window.size - 16, 4)
        self.equal("a burst over a window's end", answer.resp[2:], [decerr, decerr])
        self.equal("the data of the beats behind a window's end", answer.data[2:], [0, 0])
        # One of which a part is refused.
        depth = params.mvu.data_depth
        pair = self.stimulus.rng.integers(0, 1 << 62, 2, np.uint64)
        answer = await axi.write_bursts(data_address(0, depth - 1), 2, pair)
        self.equal("a burst over the data memory's end", answer.resp, [slverr])
        seen = await axi.read(data_address(0, depth - 1), 1)
        self.equal(
            f"word {depth - 1} of MVU 0, the last one, after a burst over the end",
            seen,
            pair[:1] & np.uint64((1 << params.mvu.lanes) - 1),
        )
        # Beats without strobes do nothing.
        answer = await axi.write_bursts(data, 1, one, strobes=0)
        self.equal("a beat without strobes", answer.resp, [0])
        self.equal("word 0 of MVU 0 after a write without strobes", await axi.read(data, 1), kept)
        # Parameters for nobody.
        answer = await axi.write_bursts(weights, 1, one)
        self.equal("weights for no MVU", answer.resp, [slverr])
        # WRAP is none of the bursts that are.
        answer = await axi.read_bursts(data, 2, burst=2)
        self.equal("a WRAP burst", answer.resp, [slverr, slverr])
        answer = await axi.write_bursts(data, 2, np.zeros(2, np.uint64), burst=2)
        self.equal("a WRAP burst written", answer.resp, [slverr])
        self.equal("word 0 of MVU 0 after a WRAP burst written there", (await axi.read(data, 1)), kept)
        # After all that the port answers as before.
        answer = await axi.read_bursts(data, 1, burst=INCR)
        self.equal("a read after all that", answer.resp, [0])


# -------------------------------------------------------------------------------------------------
# Runs that fail, as they should
# -------------------------------------------------------------------------------------------------
class Fails(AcceleratorTest):
    """A run that must end in a sentence of the host; then a reset and a clean run."""

    words: tuple[str, ...] = ()
    limit = 20_000

    async def body(self) -> None:
        env = self.env
        plan = self.sound()
        x = self.stimulus.input(plan.network)
        bad = self.spoil(plan)
        env.mvus.strict = False
        await self.play(
            [RunItem("a run that fails", bad, x, fails=self.words, limit=self.limit, released=self.released)]
        )
        await env.reset()
        env.mvus.strict = env.mvus.watching = True
        await self.play([RunItem("a run after the reset", plan, x)])

    def sound(self) -> Plan:
        """A plan that does not fail."""
        return self.stimulus.plan("sound", 2, self.pick(6, 4), self.pick(2000, 200))

    def spoil(self, plan: Plan) -> Plan:
        """What fails instead of it."""
        return plan

    async def released(self, env: AcceleratorEnv) -> None:
        """Beside the run."""


@Fails.test
class Watchdog(Fails):
    """A job that never ends: the host names hart, MVU, layer and rows; after a reset all is well.

    A job whose countdown is far beyond the run's limit.
    """

    words = ("has not ended within", "to end step 0 of layer send0", "busy")
    limit = 3000

    def sound(self) -> Plan:
        return codegen.plan(crowd(self.env.params, self.stimulus.rng, 2, 3), self.env.params)

    def spoil(self, plan: Plan) -> Plan:
        self.env.mvus.watching = False
        endless = "    lui t0, 0x1000\n    or s7, s7, t0\n    csrw mvucommand, s7"
        return tampered(plan, "    csrw mvucommand, s7", endless)


@Fails.test
class WatchdogOfAHart(Fails):
    """A hart that never comes: the host says who waits for whom.

    A hart that is never released: the others wait for it.
    """

    words = ("has not ended within", "hart 0", "has not begun step 0 of layer layer0")
    limit = 3000

    async def released(self, env: AcceleratorEnv) -> None:
        await env.host.hold(1)


@Fails.test
class IllegalJob(Fails):
    """A job that an MVU refuses ends the run; the host names hart, MVU, layer and cause."""

    words = ("refused a job", "layer layer0", "precision")

    def spoil(self, plan: Plan) -> Plan:
        return tampered(plan, "    csrw mvucommand, s7", "    csrwi mvuprecision, 0\n    csrw mvucommand, s7")


@Fails.test
class FirmwareTrap(Fails):
    """A firmware that traps ends the run; the host names hart, cause and pc."""

    words = (" trapped: illegal at pc 0x8000",)  # whichever hart comes there first

    def spoil(self, plan: Plan) -> Plan:
        return tampered(plan, "    csrw mvucommand, s7", "    .word 0")


@Fails.test
class FirmwareRunsOff(Fails):
    """A firmware that jumps out of its memory ends the run in a trap that is named."""

    words = ("trapped:", "at pc 0x")

    def spoil(self, plan: Plan) -> Plan:
        return tampered(plan, "    csrw mvucommand, s7", "    lui t0, 0xfffff\n    jr t0")


# -------------------------------------------------------------------------------------------------
# The checks, checked: each run must fail, with the right words
# -------------------------------------------------------------------------------------------------
class Planted(AcceleratorTest):
    """A small run in which something is tampered with."""

    hook = "tamper"

    async def body(self) -> None:
        plan = codegen.plan(crowd(self.env.params, self.stimulus.rng, 2, 4), self.env.params)
        self.tamper(plan)
        item = RunItem("planted", plan, self.stimulus.input(plan.network))
        self.tamper_item(item)
        await self.play([item])

    def tamper(self, plan: Plan) -> None:
        """Before the run."""

    def tamper_item(self, item: RunItem) -> None:
        """With the run itself."""

    def alter_trace(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Put `change` between golden MVU and scoreboard, in every unit."""
        for unit in self.env.mvus.units:
            unit.trace.alter = change


@Planted.test(finds=Finding("mismatch", "_trc", "layer send0", "data[0]", "bit plane", "clock"))
def planted_flipped_bit(self: Planted, plan: Plan) -> None:
    """One flipped bit in a unit's expected words is found while the system runs, and named."""

    def flip(beats: np.ndarray) -> np.ndarray:
        beats = beats.copy()
        beats[0, 0] ^= 1
        return beats

    self.alter_trace(flip)


@Planted.test(finds=Finding("lost", "_trc", "layer send0"))
def planted_lost_word(self: Planted, plan: Plan) -> None:
    """A word that never leaves a unit is called lost."""
    self.alter_trace(lambda beats: np.insert(beats, len(beats) // 2, 0x5A, axis=0))


@Planted.test(finds=Finding("tensor", "sent0", "row", "channel", "expected", "seen"))
def planted_tensor(self: Planted, plan: Plan) -> None:
    """A value of a tensor that is not the golden network's is named with its place."""

    class Altered(TensorCollector):
        def tensors(self) -> dict[str, np.ndarray]:
            made = super().tensors()
            made["sent0"][-1, -1, -1] ^= 1
            return made

    self.env.collector = Altered(plan)


class Misreading(RunDriver):
    """A driver that reads a wrong value of the output."""

    async def read_output(self, item: RunItem) -> np.ndarray:
        values = await super().read_output(item)
        values[0, 0, 0] ^= 1
        return values


@Planted.test(
    finds=Finding(
        "output", "as the host reads it", cause="accelerator_transposer, or the host's port: the data memory"
    )
)
class PlantedOutput(Planted):
    """An output that the host reads wrong, though it was right on its way, is found."""

    item_driver = Misreading


@Planted.test(finds=Finding("clocks", "the system model predicts"))
class PlantedClocks(Planted):
    """A run that takes longer than predicted fails."""

    def tamper_item(self, item: RunItem) -> None:
        async def released(env: AcceleratorEnv) -> None:
            await env.host.hold(env.host.all_harts)
            await ClockCycles(env.dut.clk_i, 500)
            await env.host.hold(0)

        item.released = released


@Planted.test(finds=Finding("mismatch", "hart", "pc 0x8000", "rd_wdata"))
def planted_retirement(self: Planted, plan: Plan) -> None:
    """A wrong result of an instruction is found in lock-step while the system runs."""

    def alter(records: np.ndarray) -> np.ndarray:
        records = records.copy()
        at = np.flatnonzero(records["rd_addr"])
        if len(at):
            records["rd_wdata"][at[-1]] ^= 1
        return records.astype(RECORD)

    self.env.lockstep.alter = alter


@Planted.test(finds=Finding("job", "begins with mvuquant", "layer send0"))
class PlantedRegister(Planted):
    """A job that begins with another register value than its step has is named."""

    def tamper(self, plan: Plan) -> None:
        shadow = self.env.mvus.units[0].shadow

        class Altered(dict):
            def __getitem__(self, key: int) -> int:
                value = super().__getitem__(key)
                return value ^ 1 if key == MVU_REGISTERS["mvuquant"].address else value

        self.env.mvus.units[0].shadow = Altered(shadow)


@Planted.test(
    finds=Finding(
        "mismatch",
        "cause: accelerator_transposer: address",
        writer="the host: tensor",
        reads="input words of this output are wrong",
    )
)
class PlantedInput(Planted):
    """Inputs that are not what was written there are named, with who wrote them: not the unit that read them."""

    def tamper_item(self, item: RunItem) -> None:
        place = item.plan.places[item.plan.network.input]

        async def released(env: AcceleratorEnv) -> None:
            for mvu in place.mvus:
                words = await env.host.read_data(mvu, place.base, place.words)
                spoiled = np.zeros((len(words), 8), np.uint8)
                spoiled[:, : words.shape[1]] = ~words
                await env.axi.write(data_address(mvu, place.base), spoiled.view("<u8").reshape(-1))

        item.released = released


@AcceleratorTest.test(finds=Finding("nothing compared", "not a single retirement"))
async def planted_nothing(self: AcceleratorTest) -> None:
    """A bench in which nothing ran fails."""


# -------------------------------------------------------------------------------------------------
# Speed: run by `make bench`
# -------------------------------------------------------------------------------------------------
@AcceleratorTest.test(skip=True)
class Speed(AcceleratorTest):
    """Measures clocks a second at transaction level (`make bench`).

    A trained digit network, from the host's input to the host's output, with everything that is compared on the way.
    """

    images = 24
    probability = 0

    async def body(self) -> None:
        env = self.env
        items = list(self.items())
        traffic = Traffic()
        env.axi.on_transfer = traffic.transfer
        env.irq.on_wait = traffic.wait
        env.stall(self.probability)
        await self.play_timed(items)
        folder = Path(os.environ[RUN_DIR])
        traffic.save(folder / "traffic.bin", folder / "expected.bin")

    def items(self) -> Iterator[RunItem]:
        workload = load_workloads(*given_model(), self.stimulus.rng)[0]
        plan = codegen.plan(workload.network, self.env.params)
        tolerance = ANY_CLOCKS if self.probability else None
        for index in range(self.images):
            image = workload.images[index % len(workload.images)].astype(int)
            yield RunItem(f"{workload.network.name}, image {index}", plan, image, tolerance=tolerance)


@Speed.test(skip=True)
class SpeedStalled(Speed):
    """Measures clocks a second with random stalls on every port (`make bench`).

    The same while every port stalls in a quarter of the clocks.
    """

    probability = 64
