# SPDX-License-Identifier: Apache-2.0
"""The items of the array's bench: rounds of jobs on all units at once, and the driver that plays them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import cocotb
import numpy as np
from pyuvm import uvm_driver, uvm_sequence_item

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.formats import IntFormat
from assay.tb.bench import BenchStopped
from assay.tb.mvu.jobs import JobItem, JobPlayer
from assay.tb.mvu.steps import Burst, HostTraffic, JobStep, LayerStep, loaded, step_of
from assay.tb.mvu.stimulus import Stimulus
from assay.tb.mvu_array.env import MvuArrayEnv

__all__ = ["ArrayDriver", "ArrayStimulus", "Round", "RoundStep"]

_HOST_WORDS = (
    32  #: words at the begin of each source's region that belong to the host: in a bank that it writes first
)


class Round(uvm_sequence_item):
    """Jobs of each unit, all units at once: `jobs[unit]` in order."""

    def __init__(self, name: str, jobs: list[list[JobItem]]) -> None:
        super().__init__(name)
        self.jobs = jobs


@dataclass(frozen=True, eq=False)
class RoundStep:
    """What a `Round` holds, for a case (`tb.cases`).

    Attributes:
        name: for messages.
        jobs: steps of each unit's jobs, in order.
        stalls: stream of each unit -> probability of a stall in 1/256.
    """

    name: str
    jobs: tuple[tuple[LayerStep | JobStep, ...], ...]
    stalls: Mapping[str, int] = field(default_factory=dict)


class ArrayDriver(uvm_driver):
    """Plays `Round`s; a unit's jobs are loaded, started and checked as in the MVU's own bench. The ConfigDB gives
    ``env``."""

    def build_phase(self) -> None:
        super().build_phase()
        self.env: MvuArrayEnv = self.cdb_get("env")

    def start_of_simulation_phase(self) -> None:
        super().start_of_simulation_phase()
        self.players = [JobPlayer(unit, recorded=False) for unit in self.env.units]

    async def run_phase(self) -> None:
        while True:
            item: Round = await self.seq_item_port.get_next_item()
            self.env.report.keep_step(partial(self._step, item))
            tasks = [
                cocotb.start_soon(self._play(player, jobs))
                for player, jobs in zip(self.players, item.jobs, strict=True)
            ]
            for task in tasks:
                await task
            if self.env.failed.is_set():
                return  # the test has been woken by the failure itself
            self.seq_item_port.item_done()

    def _step(self, item: Round) -> RoundStep:
        params = self.env.params.mvu
        jobs = tuple(
            tuple(step_of(job, *loaded(job, params), params, {}) for job in jobs) for jobs in item.jobs
        )
        return RoundStep(item.get_name(), jobs, self.env.units[0].stalls)

    @staticmethod
    async def _play(player: JobPlayer, jobs: list[JobItem]) -> None:
        try:
            for job in jobs:
                await player.play(job)
        except BenchStopped:
            return  # another unit's failure, or its own, which is recorded

    def flush(self) -> None:
        """Forget everything about the device: it has been reset."""
        for player in self.players:
            player.flush()

    async def finish(self) -> None:
        """Wait for the end of all jobs and all words."""
        for player in self.players:
            await player.finish()
        await self.env.settle()
        if self.env.failed.is_set():
            raise BenchStopped


class ArrayStimulus:
    """Random rounds. The lower half of each data memory is its own unit's; the upper half has a region for what comes
    from each source, whose first few words are the host's."""

    def __init__(self, params: AcceleratorParameters, seed: int) -> None:
        self.params = params
        self.random = random.Random(seed)
        self.rng = np.random.default_rng(seed)
        self.units = [Stimulus(params.mvu, seed + 1 + unit) for unit in range(params.mvus)]
        self.half = params.mvu.data_depth // 2
        self.region = self.half // params.mvus

    def destinations(self, unit: int) -> int:
        """A random set: itself, one, several, all; now and then with units that do not exist."""
        r, count = self.random, self.params.mvus
        return r.choice(
            (
                1 << unit,
                1 << r.randrange(count),
                1 << r.randrange(count),
                r.randrange(1, 1 << count),
                r.randrange(1, 1 << count),
                (1 << count) - 1,
                r.randrange(1, 256),
            )
        )

    def job(self, unit: int, largest: int, dest: int) -> JobItem:
        """A random job of a unit, at most `largest` multiply clocks."""
        target = self.target(unit)
        place = (0, target if dest else self.half // 4, self.half // 2)
        while True:
            (item,) = self.units[unit].random_items(1, largest, dest=dest, place=place, crossbar=False)
            inputs = sum(len(image.words) for image in item.images)
            assert item.output is not None  # a job of a layer has one
            if item.output.words <= self.region - _HOST_WORDS and inputs <= self.half // 4:
                return item

    def target(self, unit: int) -> int:
        """Where a source's words go in all units."""
        return self.half + unit * self.region + _HOST_WORDS

    def flood(self, unit: int, dest: int, words: int) -> JobItem:
        """A job that sends a word nearly every clock: one multiply clock for each of 4 output bits."""
        plain, out = IntFormat(1, False), IntFormat(4, True)
        side = max(2, int((min(words, self.region - _HOST_WORDS) // 4) ** 0.5))
        layer, size = self.units[unit].layer(
            f"flood{unit}",
            kernel=(1, 1),
            stride=(1, 1),
            padding=(0, 0, 0, 0),
            size=(side, side),
            channels=(self.params.mvu.lanes, self.params.mvu.lanes),
            weight_format=plain,
            input_format=plain,
            output_format=out,
            residual=None,
            pool=None,
        )
        place = (0, self.target(unit), self.half // 2)
        (item,) = self.units[unit].items(layer, size, place=place, dest=dest, crossbar=False)
        return item

    def rounds(self, count: int, jobs: int, largest: int) -> Iterator[Round]:
        """Random jobs; a fifth of them keep their words."""
        for number in range(count):
            yield Round(
                f"round{number}",
                [
                    [
                        self.job(unit, largest, 0 if self.random.random() < 0.2 else self.destinations(unit))
                        for _ in range(jobs)
                    ]
                    for unit in range(self.params.mvus)
                ],
            )

    def storm(self, name: str, dests: list[int], words: int) -> Round:
        """All units flood the destinations given for each of them."""
        return Round(name, [[self.flood(unit, dest, words)] for unit, dest in enumerate(dests)])

    def host_traffic(self, item: JobItem, bursts: int) -> None:
        """Let the host read and write, beside the job, in the very banks that the crossbar writes."""
        rng, regions = self.rng, range(self.params.mvus)
        bases = [self.half + source * self.region for source in regions]
        shape = (_HOST_WORDS, self.params.mvu.lanes // 8)
        nothing = np.zeros((0, shape[1]), np.uint8)
        item.traffic = HostTraffic(
            "host traffic",
            tuple(
                Burst(bases[int(rng.integers(len(bases)))], rng.integers(0, 256, shape, np.uint8), nothing)
                for _ in range(bursts)
            ),
        )
