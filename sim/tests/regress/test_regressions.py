# SPDX-License-Identifier: Apache-2.0
"""Regressions with real processes: workers, simulators and the coordinator are killed, hang, and are refused."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest

from assay.sim.regress.record import FAILED, LOST, PASSED, TIMEOUT, Regression
from assay.sim.tests.regress.conftest import COMMAND, Night

pytestmark = pytest.mark.simulation


def results(regression: Regression) -> dict[tuple[str, int], str]:
    """Test and seed to state; each comes once."""
    found = [
        (regression.header.entries[each.entry].test, each.seed, each.state) for each in regression.results()
    ]
    assert len({each[:2] for each in found}) == len(found)
    return {(test, seed): state for test, seed, state in found}


def of_dask(process: psutil.Process) -> bool:
    """Whether a process is a worker."""
    try:
        return "dask" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def gone(night: Night) -> bool:
    """Whether nothing of it runs any more, or ends within some seconds."""
    for _ in range(150):
        if not night.processes():
            return True
        time.sleep(0.1)
    return False


def recorded(night: Night, name: str, number: int) -> None:
    """Wait until a regression has recorded so many results."""
    journal = night.folder / "assay_out" / "reports" / "regress" / name / "journal.jsonl"
    for _ in range(1800):
        if journal.is_file() and journal.read_text().count('"item"') >= number:
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} has not {number} results after 90 s")


def test_failures_have_their_folder_and_a_command_that_repeats_them(night: Night) -> None:
    status, text = night.run("--seeds", "6", "--seed", "1", "--variants", "small", "--name", "first")
    assert status == 1, text
    regression = night.regression("first")
    assert Counter(results(regression).values()) == {PASSED: 16, FAILED: 2}
    for result in regression.results():
        assert (result.state == FAILED) == bool(result.replay) == bool(result.folder)
        if result.state == FAILED:
            folder = regression.folder / result.folder
            assert f"seed {result.seed}" in (folder / "run.log").read_text()
            assert json.loads((folder / "summary.json").read_text())["failures"]
    replay = next(result.replay for result in regression.results() if result.replay)
    words = shlex.split(replay.removeprefix("assay "))
    again = subprocess.run(
        [sys.executable, "-c", COMMAND, *words], cwd=night.folder, capture_output=True, text=True
    )
    assert again.returncode == 1
    assert "count is 5 with seed 3" in again.stdout
    assert gone(night)


def test_what_hangs_or_kills_is_told_and_the_rest_goes_on(night: Night) -> None:
    words = [
        "--seeds",
        "1",
        "--seed",
        "1",
        "--timeout",
        "6s",
        "--attempts",
        "2",
        "--name",
        "wild",
        "--minutes",
        "0",
    ]
    status, text = night.run(*words)
    assert status == 1, text
    states = results(night.regression("wild"))
    for (test, _), state in states.items():
        expected = {"never_ends": TIMEOUT, "kills_its_worker": LOST, "kills_its_process": LOST}.get(
            test, PASSED
        )
        assert state == expected, test
    assert len(states) == 6
    assert "did not end within 6 s" in text
    assert gone(night)


def test_graded_seeds_run_again(night: Night) -> None:
    """The smallest set that covers what all did: of twelve seeds those with ten digits, and the one that failed."""
    words = ["--seeds", "12", "--seed", "1", "--filter", "covers|fails", "--minutes", "0", "--name", "all"]
    status, text = night.run(*words)
    assert status == 1, text
    status, text = night.run("--seeds", "@graded", "--minutes", "0", "--name", "few")
    assert status == 1, text
    states = results(night.regression("few"))
    assert len({seed % 10 for test, seed in states if test == "covers_a_digit"}) == 10
    assert sum(test == "covers_a_digit" for test, _ in states) == 10
    assert {seed for (test, seed), state in states.items() if state == FAILED} <= {3, 6, 9, 12}
    assert FAILED in states.values(), "what found a failure is kept"


def test_workers_that_are_killed_are_replaced(night: Night) -> None:
    process = night.start("--seeds", "60", "--seed", "1", "--filter", "counts", "--name", "losses")
    draw, killed = random.Random(1), 0
    deadline = time.monotonic() + 120
    recorded(night, "losses", 1)
    while process.poll() is None and killed < 5 and time.monotonic() < deadline:
        time.sleep(draw.uniform(0.5, 2.5))
        workers = [each for each in psutil.Process(process.pid).children() if of_dask(each)]
        if workers:
            draw.choice(workers).kill()
            killed += 1
    text, _ = process.communicate(timeout=120)
    assert killed >= 3, text
    assert process.returncode == 0, text
    states = results(night.regression("losses"))
    assert states == {("counts", seed): PASSED for seed in range(1, 61)}
    assert gone(night)


def test_a_coordinator_that_is_killed_is_resumed(night: Night) -> None:
    words = ["--seeds", "40", "--seed", "1", "--filter", "counts", "--name", "killed"]
    draw = random.Random(2)
    known = 0
    for attempt in range(3):
        process = night.start(*(words if attempt == 0 else ["--resume"]))
        recorded(night, "killed", known + 1)
        time.sleep(draw.uniform(0, 0.5))
        process.kill()
        process.communicate()
        assert gone(night), "workers outlive the coordinator"
        now = len(results(night.regression("killed")))
        assert now > known
        known = now
    status, text = night.run("--resume", "killed")
    assert status == 0, text
    assert results(night.regression("killed")) == {("counts", seed): PASSED for seed in range(1, 41)}
    assert known < 40


def test_ctrl_c_ends_it_with_a_report(night: Night) -> None:
    words = ["--time", "5m", "--seed", "1", "--filter", "counts|fails", "--name", "interrupted"]
    process = night.start(*words, start_new_session=True)
    recorded(night, "interrupted", 6)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it: to all of them
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "interrupted: what has run is reported" in text
    assert re.search(r"to go on: assay regress .*--resume interrupted", text)
    events = [each["event"] for each in night.regression("interrupted").events()]
    assert events == ["started", "interrupted"]
    assert len(results(night.regression("interrupted"))) > 5
    assert gone(night)


def test_too_little_disk(night: Night) -> None:
    status, text = night.run("--seeds", "1", "--disk", "100000000", "--name", "disk")
    assert status == 2
    assert re.search(
        r"worker tcp://\S+ is not used: [\d,]+ MB are free on the disk of .*, 100,000,000 MB must be", text
    )
    assert "no worker is left that can run items" in text
    assert "Traceback" not in text


def test_the_sources_are_those_of_the_beginning(night: Night) -> None:
    """Somebody edits the bench while it runs; the regression does not notice."""
    process = night.start("--seeds", "25", "--seed", "1", "--filter", "counts", "--name", "edited")
    journal = night.folder / "assay_out" / "reports" / "regress" / "edited" / "journal.jsonl"
    while not journal.is_file():
        time.sleep(0.05)
    (night.folder / "tb" / "tick" / "test_tick.py").write_text("this is no Python\n")
    (night.folder / "rtl" / "tick.sv").write_text("nor is this SystemVerilog\n")
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0, text
    assert set(results(night.regression("edited")).values()) == {PASSED}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seeds", "x"], "--seeds x: must be a number of seeds"),
        (["--top", "nothing"], "nothing"),
        (["--resume", "nothing"], "there is no regression to go on with"),
        (["--cluster", "tcp://127.0.0.1:1"], "cannot be reached"),
        (["--cluster", "nothing:here"], "must be tcp://HOST:PORT"),
        (["--name", "a/b"], "allowed are letters"),
        (["--plan", "nowhere.toml"], "No such file"),
        (["--time", "soon"], "must be a time"),
        (["--filter", "nothing"], "there is nothing to run"),
    ],
)
def test_bad_input(night: Night, words: list[str], message: str) -> None:
    status, text = night.run(*words)
    assert status == 2, text
    assert message in text
    assert "Traceback" not in text
    assert (
        not list((night.folder / "assay_out").glob("reports/regress/*/journal.jsonl"))
        or "cluster" in words[0]
    )
