# SPDX-License-Identifier: Apache-2.0
"""The simulations of every target as pytest items: one for each variant, simulator and cocotb test.

An item runs as ``make`` would run it, through the same code, so the replay command in its report repeats it exactly.
(cocotb's own pytest plugin puts pytest into the simulator in place of cocotb's regression: the seeds
that a test draws would then differ between the two.) The items of a variant share one build; whichever worker comes
first makes it. SEED or COCOTB_RANDOM_SEED choose the seed; without them it is always the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

import pytest

from assay.sim.job import Job, choose_seed
from assay.sim.run import report, run_job
from assay.sim.simulators import SIMULATORS
from assay.sim.targets import TARGETS, Target, Variant
from assay.sim.testcases import list_tests

DEFAULT_SEED = "1"
LOG_LINES_SHOWN = 60


def items() -> Iterator[object]:
    """Everything to simulate. Variants stay together, so that few builds are under way at a time."""
    for target in TARGETS.values():
        tests = [name for name, test in list_tests(target).items() if not test.skip]
        for variant in target.variants:
            for simulator in SIMULATORS:
                if simulator in variant.simulators:
                    for test in tests:
                        if re.search(variant.tests, test):
                            yield pytest.param(
                                target,
                                variant,
                                simulator,
                                test,
                                id=f"{target.name}-{variant.name}-{simulator}-{test}",
                            )


@pytest.mark.simulation
@pytest.mark.parametrize(("target", "variant", "simulator_name", "test"), list(items()))
def test_simulation(
    target: Target,
    variant: Variant,
    simulator_name: str,
    test: str,
    require_simulator: Callable[[str], None],
    record_property: Callable[[str, object], None],
) -> None:
    require_simulator(simulator_name)
    seed = choose_seed(os.environ.get("SEED") or os.environ.get("COCOTB_RANDOM_SEED") or DEFAULT_SEED)
    job = Job(target, simulator_name, seed, (test,), dict(variant.parameters), x_random=variant.x_random)
    record_property("seed", seed)
    record_property("replay", job.replay)
    # The waves of a failure are left to `make waves`, which writes them on demand: a regression with many
    # failures would otherwise spend its time on waves that nobody opens.
    outcome = run_job(job, announce=print)
    if not outcome.passed:
        log = (outcome.folder / "run.log").read_text(encoding="utf-8").splitlines()[-LOG_LINES_SHOWN:]
        pytest.fail("\n".join([*report(outcome), "the end of its log:", *log]), pytrace=False)
