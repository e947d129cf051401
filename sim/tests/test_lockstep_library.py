# SPDX-License-Identifier: Apache-2.0
"""The controller's bench with its compiled library and without: equal clocks, equal verdicts in equal words."""

import json

import pytest

from assay.sim.blocks import discover
from assay.sim.job import Job
from assay.sim.run import run_job
from assay.sim.shared_library import LIBRARY

TESTS = (
    *("random_programs", "random_interrupts", "hold_release", "restarts", "bus_errors"),
    *(
        "planted_result",
        "planted_store",
        "planted_cause",
        "planted_loss",
        "planted_interrupt",
        "planted_line",
    ),
)


def told(test, library):
    """What a run says: its summary, and what it found of planted faults."""
    job = Job(
        discover()["controller"],
        "verilator",
        3,
        (test,),
        environment={} if library else {LIBRARY: ""},
        name_suffix="library" if library else "python",
    )
    outcome = run_job(job, print)
    assert outcome.passed, (test, library)
    log = (outcome.folder / "run.log").read_text()
    found = [line.partition("found as planted")[2] for line in log.splitlines() if "found as planted" in line]
    summary = json.loads((outcome.folder / "summary.json").read_text())
    return {name: value for name, value in summary.items() if name != "replay"}, found


@pytest.mark.parametrize("test", TESTS)
def test_both_say_the_same(test):
    expected, seen = told(test, library=False), told(test, library=True)
    assert seen == expected
    assert expected[0]["values_compared"] or expected[1]
