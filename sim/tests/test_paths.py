# SPDX-License-Identifier: Apache-2.0
"""What a bench finds does not depend on the way its bursts move, nor on who computes the golden model, and when.

In Verilator bursts move by memory and the golden model works in a process of its own. Through VPI, with writes that
cocotb orders itself, or with the golden model in the simulator's process, every test must end at the same simulation
time, with the same words compared and the same first failure. Tests with planted faults are among them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable

import pytest

from assay.sim.blocks import discover
from assay.sim.job import Job
from assay.sim.run import Outcome, run_job
from assay.sim.testcases import select_tests
from assay.tb.agents.direct import PORTABLE
from assay.tb.ahead import AHEAD

pytestmark = [pytest.mark.simulation, pytest.mark.usefixtures("own_runs")]

WAYS = {
    "through VPI": {PORTABLE: "1"},
    "writes in cocotb's order": {PORTABLE: "1", "COCOTB_TRUST_INERTIAL_WRITES": "0"},
    "by memory, writes in cocotb's order": {"COCOTB_TRUST_INERTIAL_WRITES": "0"},
    "golden model in the simulator": {AHEAD: "0"},
}

#: Block, parameters and tests.
RUNS = {
    "loopback": ({}, "."),
    "mvu": ({"Lanes": 8}, "planted|random_jobs|reset_mid_job|crossbar"),
    "pe_array": ({}, "planted|random_tiles|reset"),
}


def run(block: str, environment: dict[str, str]) -> Outcome:
    parameters, pattern = RUNS[block]
    found = discover()[block]
    return run_job(
        Job(
            found,
            "verilator",
            11,
            select_tests(found, test_filter=pattern),
            parameters,
            environment=environment,
        ),
        lambda line: None,
    )


def told(outcome: Outcome) -> tuple[object, ...]:
    """All that a run says but for how long it took."""
    summary = {key: value for key, value in outcome.summary.items() if key != "replay"}
    log = (outcome.folder / "run.log").read_text(encoding="utf-8")
    ends = re.compile(r"found as planted|^ *[0-9.]+ns .* passed$")
    lines = [line for line in log.splitlines() if ends.search(line)]
    results = [(result.name, result.status, result.message, result.stop_ns) for result in outcome.results]
    return json.dumps(summary, indent=1), "\n".join(lines), results


@pytest.mark.parametrize("block", RUNS)
def test_ways_are_equal(block: str, require_simulator: Callable[[str], None]) -> None:
    require_simulator("verilator")
    usual = run(block, {})
    assert usual.passed
    assert usual.summary["words_compared"] > 1000
    for way, environment in WAYS.items():
        assert told(run(block, environment)) == told(usual), way
    assert "found as planted" in told(usual)[1] or block == "loopback"
    assert not os.environ.get(PORTABLE)
