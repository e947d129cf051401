"""Tests of the accelerator. Each is a cocotb test; what it plays is its `body`, all else is the environment's."""

from __future__ import annotations

import os

import cocotb

from golden import codegen
from tb.accelerator.env import AcceleratorEnv
from tb.accelerator.runs import RunDriver, RunItem
from tb.accelerator.stimulus import Stimulus
from tb.bench import BenchStopped, BenchTest, run
from tb.mvu.networks import load_workloads


class AcceleratorTest(BenchTest):
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
        for scoreboard in env.scoreboards:
            if scoreboard.beats_compared or scoreboard.outstanding or scoreboard is env.lockstep:
                self.report.add_scoreboard(scoreboard)
        self.report.values_compared += self.driver.values
        env.axi.check_finished()
        for group in (*env.mvus.coverage.groups[:2], *env.controller_coverage.groups):
            self.report.add_coverage(group)
        self.report.notes["runs"] = (
            f"{self.driver.runs} runs of {env.mvus.jobs} jobs, {env.lockstep.beats_compared:,} instructions; clocks at "
            f"most {self.driver.worst:.2%} off the prediction"
        )
        if env.failed.is_set():
            raise BenchStopped


# -------------------------------------------------------------------------------------------------
# Real networks
# -------------------------------------------------------------------------------------------------
class RealNetworks(AcceleratorTest):
    """Whole networks, from the host's input to the host's output."""

    async def body(self) -> None:
        right = total = 0
        rng = self.stimulus.rng
        await self.driver.or_stop(self.env.host.check_build())
        workloads = load_workloads(os.environ.get("ASSAY_MODEL", ""), os.environ.get("ASSAY_IMAGES", ""), rng)
        # Icarus has the time for one network, a different one with another seed.
        if len(workloads) > self.pick(len(workloads), 1):
            workloads = [workloads[int(rng.integers(len(workloads)))]]
        for workload in workloads:
            network = workload.network
            plan = codegen.plan(network, self.env.params, self.mapping(len(workload.images)))
            count = min(self.pick(3, 1), len(workload.images))
            for index in rng.choice(len(workload.images), count, replace=False).tolist():
                item = RunItem(f"{network.name}, image {index}", plan, workload.images[index].astype(int))
                await self.play([item])
                cocotb.log.info(
                    "%s, image %d, %s: all tensors equal, %d clocks",
                    network.name,
                    index,
                    plan.mapping,
                    item.run.clocks,
                )
                if workload.labels is not None:
                    right += int(item.output.argmax()) == int(workload.labels[index])
                    total += 1
        if total:
            self.report.notes["digits recognised"] = f"{right} of {total}"

    def mapping(self, number: int) -> str:
        """Of the next network."""
        return "auto"


@cocotb.test()
async def real_networks(dut: object) -> None:
    """The trained digit networks, or MODEL: every tensor equal, images recognised, clocks as predicted."""
    await run(dut, RealNetworks)
