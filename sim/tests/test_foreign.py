# SPDX-License-Identifier: Apache-2.0
"""`tb.stream_bench` on blocks of other styles: their benches pass, and find what is planted in them."""

import pytest

from sim.job import Job
from sim.run import report, run_job
from sim.testcases import list_tests
from sim.tests.foreign import FOREIGN

@pytest.mark.simulation
@pytest.mark.parametrize("seed", [1, 7])
def test_foreign_blocks(simulator: str, seed: int) -> None:
    outcome = run_job(Job(FOREIGN, simulator, seed, tuple(list_tests(FOREIGN))), print)
    assert outcome.passed, "\n".join(report(outcome))
