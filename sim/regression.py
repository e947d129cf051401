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
from collections.abc import Callable

import pytest

from assay.sim.forking import ForkingSimulator
from assay.sim.items import Item, items
from assay.sim.job import choose_seed
from assay.sim.run import report, run_job
from assay.sim.simulators import find_simulator
from assay.tb.errors import MissingTool

__all__ = ["Item", "items", "require", "seed_of_environment", "simulate"]

DEFAULT_SEED = "1"
LOG_LINES_SHOWN = 60

_SIMULATOR = ForkingSimulator()
"""Of this worker: the tests of a variant fork from one process."""

atexit.register(_SIMULATOR.close)


def seed_of_environment() -> int:
    """The seed that the environment chooses, else always the same."""
    return choose_seed(os.environ.get("SEED") or os.environ.get("COCOTB_RANDOM_SEED") or DEFAULT_SEED)


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
    job = item.job(seed_of_environment())
    record_property("seed", job.seed)
    record_property("replay", job.replay)
    # The waves of a failure are left to the command `waves`, which writes them on demand: a regression with many
    # failures would otherwise spend its time on waves that nobody opens.
    outcome = run_job(job, announce=print, launch=_SIMULATOR.run)
    if not outcome.passed:
        log = (outcome.folder / "run.log").read_text(encoding="utf-8").splitlines()[-LOG_LINES_SHOWN:]
        pytest.fail("\n".join([*report(outcome), "the end of its log:", *log]), pytrace=False)
