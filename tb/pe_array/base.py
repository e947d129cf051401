# SPDX-License-Identifier: Apache-2.0
"""The test class that all cocotb tests of the PE array build on."""

from __future__ import annotations

from collections.abc import Iterable

from assay.golden.pe_array.registers import BY_NAME
from assay.tb.bench import ItemTest
from assay.tb.pe_array.env import PeArrayEnv
from assay.tb.pe_array.pe_array_cases import item_of
from assay.tb.pe_array.steps import TileStep
from assay.tb.pe_array.stimulus import Stimulus
from assay.tb.pe_array.tiles import TileDriver, TileItem


class PeArrayTest(ItemTest):
    """A test of the PE array."""

    toplevel = "pe_array"
    environment = PeArrayEnv
    item_driver = TileDriver
    item_stimulus = Stimulus
    env: PeArrayEnv
    driver: TileDriver
    stimulus: Stimulus

    async def play_steps(self, steps: Iterable[TileStep]) -> None:
        """Play the steps of a case; what was not drained between them is not."""
        together: list[TileItem] = []
        stalls: dict[str, int] = {}
        for step in steps:
            if step.drained and together:
                await self.play(together)
                together = []
            if not together and dict(step.stalls) != stalls:
                stalls = dict(step.stalls)
                self.env.set_stalls(stalls)
            together.append(item_of(step, self.env.params))
        await self.play(together)

    async def finish(self) -> None:
        """Nothing may be left: beats, answers; what waited for whom is counted."""
        env = self.env
        await env.settle()
        for scoreboard in env.scoreboards:
            self.report.add_scoreboard(scoreboard)
        env.registers.check_finished()
        starved, blocked = await env.registers.read_many(
            BY_NAME[name].address for name in ("starved_clocks", "blocked_clocks")
        )
        env.coverage.sample_streams(env.waits(), starved, blocked)
        for group in env.coverage.groups:
            self.report.add_coverage(group)
