# SPDX-License-Identifier: Apache-2.0
"""`tb.stream_bench` on blocks of other styles: their benches pass, and find what is planted in them."""

import pytest

from assay.sim.job import Job
from assay.sim.run import report, run_job
from assay.sim.testcases import list_tests
from assay.sim.tests.foreign.block import BLOCK as FOREIGN

_TESTS = tuple(name for name, test in list_tests(FOREIGN).items() if not test.skip)


@pytest.mark.simulation
@pytest.mark.parametrize("seed", [1, 7])
def test_foreign_blocks(simulator: str, seed: int) -> None:
    outcome = run_job(Job(FOREIGN, simulator, seed, _TESTS), print)
    assert outcome.passed, "\n".join(report(outcome))


@pytest.mark.simulation
def test_an_agents_error_ends_the_test(simulator: str) -> None:
    outcome = run_job(Job(FOREIGN, simulator, 7, ("agent_error",)), print)
    assert not outcome.passed
    assert outcome.seconds < FOREIGN.timeout_s / 2
    assert "first failure    port x: beat 0 not accepted for 3 clocks" in "\n".join(report(outcome))
