# SPDX-License-Identifier: Apache-2.0
"""The controller's bench with its compiled library and without: equal clocks, equal verdicts in equal words."""

import json

from assay.sim.blocks import discover
from assay.sim.job import Job
from assay.sim.run import run_job
from assay.sim.shared_library import LIBRARY

TESTS = (
    *("random_programs", "random_interrupts", "hold_release", "restarts", "bus_errors"),
    *("planted_result", "planted_store", "planted_cause", "planted_loss", "planted_interrupt"),
)


def told(library):
    """What a run says: its summary, when each test ended, and what was found of planted faults."""
    job = Job(
        discover()["controller"],
        "verilator",
        3,
        TESTS,
        environment={} if library else {LIBRARY: ""},
        name_suffix="library" if library else "python",
    )
    outcome = run_job(job, print)
    assert outcome.passed
    log = (outcome.folder / "run.log").read_text()
    found = [line.partition("found as planted")[2] for line in log.splitlines() if "found as planted" in line]
    assert len(found) == 5
    summary = json.loads((outcome.folder / "summary.json").read_text())
    ends = [(result.name, result.stop_ns) for result in outcome.results]
    return {name: value for name, value in summary.items() if name != "replay"}, ends, found


def test_both_say_the_same():
    expected = told(library=False)
    assert expected[0]["values_compared"]
    assert told(library=True) == expected
