# SPDX-License-Identifier: Apache-2.0
"""Tests of the accelerator's host side. Each says what it plays; the scoreboard has the golden port."""

from __future__ import annotations

from collections.abc import Iterable

from cocotb.triggers import ClockCycles

from assay.tb.accelerator_host.env import HostEnv, StepDriver, StepItem
from assay.tb.accelerator_host.host_cases import HostCases, playable
from assay.tb.accelerator_host.stimulus import Step, Stimulus
from assay.tb.bench import BenchStopped, Finding, ItemTest
from assay.tb.cases import none_to_play, to_play


class HostTest(ItemTest):
    """A test of the host's side."""

    toplevel = "accelerator_host"
    environment = HostEnv
    item_driver = StepDriver
    item_stimulus = Stimulus
    env: HostEnv
    driver: StepDriver
    stimulus: Stimulus

    async def play_steps(self, steps: Iterable[Step]) -> None:
        """Play steps one after the other."""
        await self.play(StepItem(f"step{number}", step) for number, step in enumerate(steps))

    def missed(self) -> dict[str, list[str]]:
        """Bins that no traffic has hit so far."""
        return {
            f"{group.name}.{item}": labels
            for group in self.env.coverage.groups
            for item, labels in group.missed().items()
        }

    async def check_coverage(self, steps: int, rounds: int) -> None:
        """Every bin must be hit: a class of traffic that is no longer played is a failure of the bench. What is rare is
        waited for, so many steps at a time."""
        for _ in range(rounds):
            if not self.missed():
                return
            await self.play_steps(self.stimulus.steps(steps))
        if missed := self.missed():
            said = "; ".join(f"{item}: {', '.join(labels)}" for item, labels in missed.items())
            self.env.fail(f"the traffic has missed {said}", kind="coverage")
            raise BenchStopped

    async def finish(self) -> None:
        """Nothing may be left; what was compared is counted."""
        env = self.env
        await env.settle()
        self.report.words_compared += env.board.beats
        self.report.values_compared += env.board.operations
        self.report.notes["port"] = (
            f"{env.board.beats:,} answers and {env.board.operations:,} accesses of units compared"
        )
        for group in env.coverage.groups:
            self.report.add_coverage(group)
        if env.failed.is_set():
            raise BenchStopped


@HostTest.test(skip=none_to_play(__file__))
async def cases(self: HostTest) -> None:
    """The case in CASE, or the kept cases of this build; where there is none, random traffic."""
    played = to_play(HostCases(), "accelerator_host", __file__)
    for case in played:
        await self.play_steps(map(playable, case.steps))
    if not played:
        await self.play_steps(self.stimulus.steps(4))


@HostTest.test
async def random_traffic(self: HostTest) -> None:
    """Bursts of all kinds on all windows, both directions at once, harts beside them, stalls everywhere."""
    await self.play_steps(self.stimulus.steps(self.pick(400, 30)))
    # Icarus has no time for all of it, and two harts cannot both wait while a third one is served.
    if self.pick(1, 0) and self.env.params.mvus > 2:
        await self.check_coverage(100, 12)


@HostTest.test
async def resets(self: HostTest) -> None:
    """Reset in the middle of traffic, then more of it: nothing of before comes out, registers are 0."""
    for _ in range(self.pick(12, 3)):
        for step in self.stimulus.steps(1):
            self.env.begin(step)
            await ClockCycles(self.env.dut.clk_i, self.stimulus.random.randint(1, 120))
            await self.env.reset()
            if self.env.failed.is_set():
                raise BenchStopped
        await self.play_steps(self.stimulus.steps(2))


@HostTest.test
async def clock_ends(self: HostTest) -> None:
    """The register `clocks` before each place where a carry can be lost, read by harts and by the host."""
    for bits in (*range(8, 64, 8), 64):
        await self.env.set_clocks((1 << bits) - self.stimulus.random.randint(20, 60))
        await self.play_steps([self.stimulus.clock_reads()])


# -------------------------------------------------------------------------------------------------
# The checks, checked: each run must fail, with the right words
# -------------------------------------------------------------------------------------------------
class Planted(HostTest):
    """Some traffic whose records are tampered with."""

    hook = "alter"

    async def body(self) -> None:
        self.env.board.alter = self.alter
        await self.play_steps(self.stimulus.steps(20))

    def alter(self, now: dict[str, int]) -> None:
        """Change the record of a clock."""


@Planted.test(finds=Finding("port", "R, beat", "of", "data is 0x", "instead of 0x", "clock"))
def planted_data(self: Planted, now: dict[str, int]) -> None:
    """A wrong bit in the last beat of a read is found, and the beat is named."""
    burst = self.env.board.reader.burst
    # What a register gave is compared with what its unit answered, in other words.
    if now["r.pass"] and now["r.last"] and burst and burst.window and burst.window.name == "data":
        now["r.data"] ^= 1 << 63


@Planted.test(finds=Finding("port", "B of the burst of", "resp is", "instead of"))
def planted_response(self: Planted, now: dict[str, int]) -> None:
    """A response without the errors of the burst is found."""
    if now["b.pass"]:
        now["b.resp"] ^= 2


@Planted.test(finds=Finding("port", "BVALID of the burst to 0x", "before"))
def planted_early_answer(self: Planted, now: dict[str, int]) -> None:
    """An answer that comes before the burst has taken effect is found."""
    if self.env.board.writer.burst is not None:
        now["b_rises.pass"] |= now["w.pass"]


@Planted.test(finds=Finding("port", "the write burst: expected a write of 0x", "seen a write of 0x"))
def planted_write(self: Planted, now: dict[str, int]) -> None:
    """A write that goes to the wrong word is found, and both are named."""
    for m in range(self.env.params.mvus):
        if now[f"mem{m}.pass"] and now[f"mem{m}.write"]:
            now[f"mem{m}.addr"] ^= 1


@Planted.test(finds=Finding("port", "a write of 0x", "to register", "expected"))
def planted_access(self: Planted, now: dict[str, int]) -> None:
    """A register that gets another word than was written is found."""
    if now["sys.pass"] and now["sys.write"]:
        now["sys.wdata"] ^= 1


@Planted.test(
    finds=Finding(
        "hang", "nothing has passed for", "waits for", waiting="u_write: accelerator_axi_write is in St"
    )
)
class PlantedHang(Planted):
    """A port that does not go on is found, and what waits is named."""

    async def body(self) -> None:
        step = next(iter(self.stimulus.steps(1)))
        step.stalls["b"] = step.stalls["r"] = 256
        await self.play_steps([step])


@HostTest.test(finds=Finding("nothing compared", "nothing was verified"))
async def planted_nothing(self: HostTest) -> None:
    """A run without traffic fails."""
