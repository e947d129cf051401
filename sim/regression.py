# SPDX-License-Identifier: Apache-2.0
"""The simulations of blocks as pytest items: one for each variant, simulator and cocotb test.

    from assay.sim.regression import Item, items, simulate

    @pytest.mark.parametrize("item", items(ROOT), ids=str)
    def test_rtl(item: Item, record_property) -> None:
        simulate(item, record_property)

An item runs as the command line would run it, through the same code, so the replay command in its report repeats it
exactly. (cocotb's own pytest plugin puts pytest into the simulator in place of cocotb's regression: the seeds that a
test draws would then differ between the two.) The items of a variant share one build; whichever worker comes first
makes it. SEED or COCOTB_RANDOM_SEED choose the seed; without them it is always the same. It needs pytest, which the
library itself does not.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from assay.sim.blocks import discover
from assay.sim.forking import ForkingSimulator
from assay.sim.job import Job, choose_seed
from assay.sim.run import report, run_job
from assay.sim.shrink import case_job
from assay.sim.simulators import SIMULATORS, find_simulator
from assay.sim.testcases import list_tests
from assay.tb.block import Block, Variant
from assay.tb.capabilities import PlaysCases
from assay.tb.cases import kept
from assay.tb.errors import MissingTool

DEFAULT_SEED = "1"
LOG_LINES_SHOWN = 60

_SIMULATOR = ForkingSimulator()
"""Of this worker: the tests of a variant fork from one process."""

atexit.register(_SIMULATOR.close)


@dataclass(frozen=True)
class Item:
    """One cocotb test of one variant on one simulator."""

    block: Block
    variant: Variant
    simulator: str
    test: str
    case: Path | None = None
    """A kept case, which this item plays."""

    def __str__(self) -> str:
        name = self.test if self.case is None else f"case-{self.case.stem}"
        return f"{self.block.name}-{self.variant.name}-{self.simulator}-{name}"

    def job(self) -> Job:
        """The run, with the seed that the environment chooses; a case's own where one is kept."""
        if self.case is not None:
            plays = self.block.capability(PlaysCases)
            assert plays is not None  # for it has cases
            return case_job(self.block, plays, plays.read(self.block, self.case), self.case)
        return Job(
            self.block,
            self.simulator,
            choose_seed(os.environ.get("SEED") or os.environ.get("COCOTB_RANDOM_SEED") or DEFAULT_SEED),
            (self.test,),
            dict(self.variant.parameters),
            dict(self.variant.defines),
            x_random=self.variant.x_random,
        )


def items(repository: Path | None = None) -> list[Item]:
    """Everything to simulate. Variants stay together, so that few builds are under way at a time.

    Args:
        repository: whose blocks; None: all that are found from the current folder.

    Raises:
        AssayError: a declaration is wrong.
    """
    found = discover(str(repository or "")).values()
    blocks = [block for block in found if repository is None or block.root == repository.resolve()]
    return [item for block in blocks for item in (*_tests(block), *kept_items(block))]


def _tests(block: Block) -> Iterator[Item]:
    plays = block.capability(PlaysCases)
    for variant in block.variants:
        for simulator in SIMULATORS:
            if simulator in variant.simulators:
                for test, known in list_tests(block).items():
                    # Each kept case is an item of its own.
                    if not known.skip and variant.runs(test) and (plays is None or test != plays.test):
                        yield Item(block, variant, simulator, test)


def kept_items(block: Block) -> Iterator[Item]:
    """The kept cases, each on the simulator on which it failed."""
    plays = block.capability(PlaysCases)
    if plays is not None:
        for path in kept(block.file.parent):
            case = plays.read(block, path)
            yield Item(block, Variant("kept", dict(case.parameters)), case.simulator, plays.test, path)


def require(simulator: str) -> None:
    """Skip the calling test where a simulator is missing; on CI, which installs them all, fail it."""
    try:
        find_simulator(simulator)
    except MissingTool as error:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


def simulate(item: Item, record_property: Callable[[str, object], None] = lambda name, value: None) -> None:
    """Run an item; fails the calling test with the run's report and the end of its log.

    Args:
        record_property: pytest's fixture: receives seed and replay command.
    """
    require(item.simulator)
    job = item.job()
    record_property("seed", job.seed)
    record_property("replay", job.replay)
    # The waves of a failure are left to the command `waves`, which writes them on demand: a regression with many
    # failures would otherwise spend its time on waves that nobody opens.
    outcome = run_job(job, announce=print, launch=_SIMULATOR.run)
    if not outcome.passed:
        log = (outcome.folder / "run.log").read_text(encoding="utf-8").splitlines()[-LOG_LINES_SHOWN:]
        pytest.fail("\n".join([*report(outcome), "the end of its log:", *log]), pytrace=False)
