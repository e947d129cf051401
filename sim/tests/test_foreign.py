# SPDX-License-Identifier: Apache-2.0
"""`tb.stream_bench` on blocks of other styles: their benches pass, and find what is planted in them."""

import os

import pytest

from sim.job import Job
from sim.run import report, run_job
from sim.testcases import list_tests
from sim.tests.foreign import FOREIGN

SIMULATORS = ("verilator", "icarus")


@pytest.mark.simulation
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_foreign_blocks(simulator, require_simulator, capsys):
    require_simulator(simulator)
    seed = int(os.environ.get("ASSAY_SEED", "7"))
    outcome = run_job(Job(FOREIGN, simulator, seed, tuple(list_tests(FOREIGN))), print)
    assert outcome.passed, "\n".join(report(outcome))
