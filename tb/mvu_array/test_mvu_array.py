# SPDX-License-Identifier: Apache-2.0
"""Tests of the MVUs and their crossbar. Each says what it plays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cocotb.triggers import ClockCycles

from assay.golden.mvu.clocks import job_clocks
from assay.tb.bench import BenchStopped, Finding, ItemTest
from assay.tb.cases import none_to_play, to_play
from assay.tb.mvu_array.array_cases import ArrayCases, round_of
from assay.tb.mvu_array.env import MvuArrayEnv
from assay.tb.mvu_array.rounds import ArrayDriver, ArrayStimulus, Round


class ArrayTest(ItemTest):
    """A test of the array."""

    toplevel = "mvu_array"
    environment = MvuArrayEnv
    item_driver = ArrayDriver
    item_stimulus = ArrayStimulus
    env: MvuArrayEnv
    driver: ArrayDriver
    stimulus: ArrayStimulus

    async def finish(self) -> None:
        """Nothing may be left; the memories are what all words make them."""
        env = self.env
        await env.settle()
        await env.compare_memories(self.stimulus.half, self.pick(self.stimulus.half, 256))
        for scoreboard in env.scoreboards:
            if scoreboard.beats_compared or scoreboard.outstanding:
                self.report.add_scoreboard(scoreboard)
        if not env.crossbar.words:
            env.fail(
                "not a single word went through the crossbar, so nothing was verified",
                kind="nothing compared",
            )
        for unit in env.units:
            for port in (unit.registers, unit.memory):
                port.check_finished()
        for group in env.coverage.groups:
            self.report.add_coverage(group)
        self.report.notes["crossbar"] = (
            f"{env.crossbar.words:,} words arrived in {env.arbitration.clocks:,} clocks in which one was offered; "
            f"{env.arbitration.longest} words of others, at most, before one's own"
        )
        if env.failed.is_set():
            raise BenchStopped


@ArrayTest.test(skip=none_to_play(__file__))
async def cases(self: ArrayTest) -> None:
    """The case in CASE, or the kept cases of this build; where there is none, a random round."""
    played = to_play(ArrayCases(), "mvu_array", __file__)
    for case in played:
        for step in case.steps:
            for unit in self.env.units:
                unit.set_stalls(step.stalls)
            await self.play([round_of(step, self.env.params)])
    if not played:
        await self.play(self.stimulus.rounds(1, 1, 200))


# -------------------------------------------------------------------------------------------------
# Random rounds
# -------------------------------------------------------------------------------------------------
@ArrayTest.test
async def random_rounds(self: ArrayTest) -> None:
    """Random jobs on all units, to random sets of units: one, several, all, itself, units that do not exist."""
    await self.play(self.stimulus.rounds(self.pick(8, 1), self.pick(3, 1), self.pick(3000, 300)))


@ArrayTest.test
async def stalls(self: ArrayTest) -> None:
    """Random rounds with stalls on every port and host traffic in the banks that the crossbar writes."""
    for item in self.stimulus.rounds(self.pick(5, 1), self.pick(2, 1), self.pick(1500, 200)):
        self.env.stall(self.stimulus.random.choice((0, 16, 64, 128)))
        for jobs in item.jobs:
            for job in jobs:
                self.stimulus.host_traffic(job, self.pick(6, 2))
        await self.play([item])


# -------------------------------------------------------------------------------------------------
# Contention
# -------------------------------------------------------------------------------------------------
@ArrayTest.test
class Storms(ArrayTest):
    """Contention: all to one, all to all, each to itself, a ring; words nearly every clock."""

    async def body(self) -> None:
        await self.play(self.items())
        for unit in self.env.units:
            if unit.waits()["crossbar"]:
                self.env.coverage.collisions.sample(destination=unit.number)
        self.must_cover(self.env.coverage.collisions)

    def items(self) -> list[Round]:
        count, words = self.env.params.mvus, self.pick(600, 60)
        every = (1 << count) - 1
        r = self.stimulus.random
        plans = {
            "all to one": [1 << r.randrange(count)] * count,
            "all to all": [every] * count,
            "each to itself": [1 << unit for unit in range(count)],
            "in a ring": [1 << (unit + 1) % count for unit in range(count)],
            "all to two": [1 | 1 << (count - 1)] * count,
            "one to all, others to it": [every] + [1] * (count - 1),
        }
        rounds = [self.stimulus.storm(name, dests, words) for name, dests in plans.items()]
        # The host writes in the banks of every unit while the words of the storm arrive there.
        for item in rounds[:: self.pick(1, 3)]:
            for jobs in item.jobs:
                self.stimulus.host_traffic(jobs[0], self.pick(3, 1))
        return rounds


# -------------------------------------------------------------------------------------------------
# Reset
# -------------------------------------------------------------------------------------------------
@ArrayTest.test
async def resets(self: ArrayTest) -> None:
    """Reset in the middle of a storm, then a clean run."""
    count = self.env.params.mvus
    for _ in range(self.pick(8, 2)):
        storm = self.stimulus.storm("interrupted", [(1 << count) - 1] * count, 64)
        jobs = [jobs[0] for jobs in storm.jobs]
        for player, job in zip(self.driver.players, jobs, strict=True):
            await player.load(job)
        for player, job in zip(self.driver.players, jobs, strict=True):
            await player.start(job)
        last = max(job_clocks(job.registers).total for job in jobs)
        await ClockCycles(self.env.dut.clk_i, self.stimulus.random.randint(1, 2 * last))
        await self.env.reset()
        self.driver.flush()
        # What has been written, nobody knows.
        for unit in self.env.units:
            unit.golden.written[:] = False
        await self.play(self.stimulus.rounds(1, 1, self.pick(500, 100)))


# -------------------------------------------------------------------------------------------------
# The checks, checked: each run must fail, with the right words
# -------------------------------------------------------------------------------------------------
class Planted(ArrayTest):
    """A round whose expectation of what arrives is tampered with."""

    hook = "tamper"

    async def body(self) -> None:
        self.tamper()
        count = self.env.params.mvus
        await self.play([self.stimulus.storm("planted", [(1 << count) - 1] * count, 64)])

    def tamper(self) -> None:
        raise NotImplementedError

    def alter_pair(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Put `change` between the golden MVU and the scoreboard of the words from unit 0 to the last one."""
        self.env.crossbar.pairs[0, self.env.params.mvus - 1].alter = change


@Planted.test(
    finds=Finding(
        "mismatch", "crossbar 0 to", "layer flood0", "data[0]", "clock", cause="what left MVU 0 right arrives"
    )
)
def planted_flipped_bit(self: Planted) -> None:
    """One bit flipped between one pair of units is found and named."""

    def flip(beats: np.ndarray) -> np.ndarray:
        beats = beats.copy()
        beats[len(beats) // 2, 0] ^= 1
        return beats

    self.alter_pair(flip)


@Planted.test(finds=Finding("lost", "crossbar 0 to"))
def planted_lost_word(self: Planted) -> None:
    """A word that one of its destinations never gets is called lost."""
    self.alter_pair(lambda beats: np.insert(beats, len(beats) // 2, 0x5A, axis=0))


@Planted.test(finds=Finding("repeated", "crossbar 0 to"))
def planted_word_twice(self: Planted) -> None:
    """A word that one of its destinations gets twice is called repeated."""
    self.alter_pair(lambda beats: np.delete(beats, len(beats) // 2, axis=0))


@Planted.test(finds=Finding("mismatch", "crossbar 0 to", "addr"))
def planted_order(self: Planted) -> None:
    """Two words of a pair that change places are found."""

    def swap(beats: np.ndarray) -> np.ndarray:
        # Addresses differ from word to word, so any two words do.
        at = len(beats) // 2
        order = np.arange(len(beats))
        order[[at, at + 1]] = at + 1, at
        return beats[order]

    self.alter_pair(swap)


class Overwriting(MvuArrayEnv):
    """An environment in which a word of the last unit's memory changes once everything has arrived.

    Attributes:
        address: of the word; None: it has changed, or none shall.
    """

    address: int | None = None

    async def settle(self) -> None:
        address, self.address = self.address, None
        await super().settle()
        if address is not None:
            memory = self.units[-1].memory
            await memory.write(address, ~(await memory.read(address, 1)))


@Planted.test(finds=Finding("memory", "after everything has arrived"))
class PlantedLostWrite(Planted):
    """A word that arrived and is not in the memory afterwards is found."""

    environment = Overwriting
    env: Overwriting

    def tamper(self) -> None:
        self.env.address = self.stimulus.target(0) + 5


@Planted.test(finds=Finding("crossbar", "unit"))
def planted_unfair(self: Planted) -> None:
    """A unit that is passed over is found."""

    def alter(fields: dict[str, np.ndarray]) -> None:
        # As if unit 0 alone were served: all others wait for ever.
        for dest in range(self.env.params.mvus):
            fields[f"source{dest}"][:] = 0
        fields["taken"] &= np.uint64(1)

    self.env.arbitration.alter = alter


@Planted.test(finds=Finding("crossbar", "is taken from it before units"))
def planted_early(self: Planted) -> None:
    """A word that leaves its source before all destinations have it is found."""

    def alter(fields: dict[str, np.ndarray]) -> None:
        fields["taken"] |= fields["offered"]

    self.env.arbitration.alter = alter


@ArrayTest.test(finds=Finding("nothing compared", "nothing was verified"))
async def planted_nothing(self: ArrayTest) -> None:
    """A run in which nothing went through the crossbar fails."""
