# SPDX-License-Identifier: Apache-2.0
"""The test class that all cocotb tests of the MVU build on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from assay.tb.bench import ItemTest
from assay.tb.mvu.env import MvuEnv
from assay.tb.mvu.jobs import Image, JobDriver, JobItem
from assay.tb.mvu.mvu_cases import item_of
from assay.tb.mvu.steps import JobStep, LayerStep
from assay.tb.mvu.stimulus import Stimulus


class MvuTest(ItemTest):
    """A test of the MVU."""

    toplevel = "mvu"
    environment = MvuEnv
    item_driver = JobDriver
    item_stimulus = Stimulus
    env: MvuEnv
    driver: JobDriver
    stimulus: Stimulus

    async def fill(self) -> None:
        """Random values in all memories, for programs that read anywhere."""
        rng, params = self.stimulus.rng, self.env.params
        lanes, half = params.lanes, params.data_depth // 2
        words = rng.integers(0, 256, (params.data_depth, lanes // 8), np.uint8)
        fill = JobItem("fill", {})
        fill.images = [Image(0, words[:half]), Image(half, words[half:], crossbar=True)]
        fill.weights = [(0, rng.integers(0, 256, (params.weight_depth, lanes * lanes // 8), np.uint8))]
        channels = (params.channel_depth, lanes)
        fill.scalers = [(0, rng.integers(-(1 << 15), 1 << 15, channels))]
        fill.biases = [(0, rng.integers(-(1 << 26), 1 << 26, channels))]
        await self.driver.load(fill)

    async def play_steps(self, steps: Iterable[LayerStep | JobStep]) -> None:
        """Play the steps of a case. The memories of jobs that overlap are loaded before the first of them begins."""
        together: list[JobItem] = []
        for step in steps:
            together.append(item_of(step, self.env.params))
            if step.overlap:
                continue
            self.env.set_stalls(step.stalls)
            if len(together) > 1:
                for item in together:
                    await self.driver.load(item)
                    item.weights, item.scalers, item.biases, item.images = [], [], [], []
            await self.play(together)
            together = []
        if together:  # the last one cannot overlap with another
            together[-1].overlap = False
            await self.play(together)

    async def finish(self) -> None:
        """Nothing may be left: words, answers, errors of the taps."""
        env = self.env
        await env.settle()
        for scoreboard in env.boards.values():
            if scoreboard is env.trace or scoreboard.beats_compared or scoreboard.outstanding:
                self.report.add_scoreboard(scoreboard)
        for port in (env.registers, env.memory):
            port.check_finished()
        for group in env.coverage.groups:
            self.report.add_coverage(group)
