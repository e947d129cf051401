# SPDX-License-Identifier: Apache-2.0
"""The simulations of every block as pytest items: one for each variant, simulator and cocotb test.

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

from sim.blocks import discover
from sim.job import Job, choose_seed
from sim.run import report, run_job
from sim.simulators import SIMULATORS
from sim.testcases import list_tests
from tb.block import Block, Variant

DEFAULT_SEED = "1"
LOG_LINES_SHOWN = 60


def items() -> Iterator[object]:
    """Everything to simulate. Variants stay together, so that few builds are under way at a time."""
    for block in discover().values():
        tests = [name for name, test in list_tests(block).items() if not test.skip]
        for variant in block.variants:
            for simulator in SIMULATORS:
                if simulator in variant.simulators:
                    for test in tests:
                        if re.search(variant.tests, test):
                            yield pytest.param(
                                block,
                                variant,
                                simulator,
                                test,
                                id=f"{block.name}-{variant.name}-{simulator}-{test}",
                            )


@pytest.mark.simulation
@pytest.mark.parametrize(("block", "variant", "simulator_name", "test"), list(items()))
def test_simulation(
    block: Block,
    variant: Variant,
    simulator_name: str,
    test: str,
    require_simulator: Callable[[str], None],
    record_property: Callable[[str, object], None],
) -> None:
    require_simulator(simulator_name)
    seed = choose_seed(os.environ.get("SEED") or os.environ.get("COCOTB_RANDOM_SEED") or DEFAULT_SEED)
    job = Job(
        block,
        simulator_name,
        seed,
        (test,),
        dict(variant.parameters),
        dict(variant.defines),
        x_random=variant.x_random,
    )
    record_property("seed", seed)
    record_property("replay", job.replay)
    # The waves of a failure are left to `make waves`, which writes them on demand: a regression with many
    # failures would otherwise spend its time on waves that nobody opens.
    outcome = run_job(job, announce=print)
    if not outcome.passed:
        log = (outcome.folder / "run.log").read_text(encoding="utf-8").splitlines()[-LOG_LINES_SHOWN:]
        pytest.fail("\n".join([*report(outcome), "the end of its log:", *log]), pytrace=False)
