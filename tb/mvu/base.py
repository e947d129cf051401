# SPDX-License-Identifier: Apache-2.0
"""The test class that all cocotb tests of the MVU build on."""

from __future__ import annotations

from assay.tb.bench import ItemTest
from assay.tb.mvu.env import MvuEnv
from assay.tb.mvu.jobs import JobDriver
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
