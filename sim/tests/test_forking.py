# SPDX-License-Identifier: Apache-2.0
"""Simulations that fork from one process: each is what it would be alone, whatever the others did."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.sim.forking import ForkingSimulator
from assay.sim.job import Job
from assay.sim.run import Outcome, report, run_job
from assay.tb.block import Block

pytestmark = [pytest.mark.simulation, pytest.mark.usefixtures("own_runs")]

TESTS = (
    *(
        "counts",
        "fails_at_5000_ns",
        "crashes",
        "raises_hdl_error",
        "finishes_early",
        "counts",
        "monitor_raises",
    ),
    *("misses_expected_hdl_error", "raises_expected_hdl_error", "compares_nothing", "counts"),
)
"""Every way a run can go, with one that passes between them."""


@pytest.fixture
def forking() -> Iterator[ForkingSimulator]:
    simulator = ForkingSimulator()
    yield simulator
    simulator.close()


def told(outcome: Outcome) -> dict[str, object]:
    """All that an outcome says, less the seconds that it took."""
    log = (outcome.folder / "run.log").read_text(encoding="utf-8")
    return {
        "passed": outcome.passed,
        "results": outcome.results,
        "problems": outcome.problems,
        "summary": outcome.summary,
        "failure_ns": outcome.failure_ns,
        "report": [re.sub(r" in \d+\.\d s$", "", line) for line in report(outcome)],
        "log": [re.sub(r"[\d.]+ +[\d.]+ +\*\*$", "", line) for line in log.splitlines()],
        "files": sorted(path.name for path in outcome.folder.iterdir()),
    }


@pytest.mark.parametrize("x_random", [False, True])
def test_forked_runs_equal_lone_runs(
    counter: Block, simulator: str, forking: ForkingSimulator, x_random: bool
) -> None:
    for seed, test in enumerate(TESTS[:3] if x_random else TESTS, 7):
        job = Job(counter, simulator, seed, (test,), x_random=x_random)
        alone = told(run_job(job, print))
        assert told(run_job(job, print, launch=forking.run)) == alone, test
        assert forking.ready, test


def test_one_that_never_ends_is_stopped(counter: Block, simulator: str, forking: ForkingSimulator) -> None:
    impatient = dataclasses.replace(counter, timeout_s=2)
    outcome = run_job(Job(impatient, simulator, 7, ("never_ends",)), print, launch=forking.run)
    assert outcome.problems == ["the simulation did not end within 2 s and was stopped"]
    process = forking.ready
    assert run_job(Job(counter, simulator, 7, ("counts",)), print, launch=forking.run).passed
    assert forking.ready == process


def test_tests_share_a_process(counter: Block, simulator: str, forking: ForkingSimulator) -> None:
    """Other parameters need another process; another seed does where the initial state is drawn from it."""
    processes = []
    for seed, width in ((7, 8), (7, 8), (8, 8), (8, 6)):
        outcome = run_job(
            Job(counter, simulator, seed, ("counts",), {"Width": width}), print, launch=forking.run
        )
        assert outcome.passed
        processes.append(forking.ready)
    assert processes[0] == processes[1] == processes[2] != processes[3]


def test_simulator_that_cannot_be_forked_runs_alone(tmp_path: Path, forking: ForkingSimulator) -> None:
    """As where a test module does not import: the run alone says why."""
    command = [sys.executable, "-c", "print('no such module'); raise SystemExit(3)"]
    for name in ("first", "second"):
        log = tmp_path / name
        assert forking.run(command, tmp_path, {}, log) == 3
        assert log.read_text() == "no such module\n"
        assert forking.ready is None


def test_process_that_was_killed_is_replaced_by_a_lone_run(
    counter: Block, simulator: str, forking: ForkingSimulator
) -> None:
    job = Job(counter, simulator, 7, ("counts",))
    assert run_job(job, print, launch=forking.run).passed
    forking._process.kill()
    forking._process.wait()
    assert run_job(job, print, launch=forking.run).passed
