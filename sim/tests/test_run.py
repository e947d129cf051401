# SPDX-License-Identifier: Apache-2.0
"""Runs: what passes, what fails, what a failure leaves, on both simulators."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from assay.sim import ROOT, outputs, run, simulators, waves
from assay.sim.job import Job
from assay.sim.run import Outcome, add_failure_waves, report, run_job
from assay.sim.wavefile import damage
from assay.tb.block import Block

CACHE = outputs.build_root()

pytestmark = [pytest.mark.simulation, pytest.mark.usefixtures("own_runs")]


def simulate(block: Block, simulator: str, *tests: str, **options: object) -> tuple[Outcome, list[str]]:
    announced: list[str] = []
    job = Job(block, simulator, options.pop("seed", 7), tests or block.default_tests, **options)
    outcome = run_job(job, announced.append)
    add_failure_waves(outcome, announced.append)
    return outcome, announced


def test_pass(counter: Block, simulator: str) -> None:
    outcome, announced = simulate(counter, simulator, parameters={"Width": 6})
    assert outcome.passed
    assert announced[-1].endswith(f"make SIM={simulator} TOPLEVEL=counter SEED=7 PARAMS=Width=6")
    text = "\n".join(report(outcome))
    assert f"PASS  counter (Width=6) on {simulator}, seed 7: 1 of 1 tests passed" in text
    assert "clocks           23; by the formula 20" in text
    assert "coverage         values 50.0 %" in text


def test_same_seed_same_run(counter: Block, simulator: str) -> None:
    drawn = [simulate(counter, simulator, seed=seed)[0].summary["drawn"] for seed in (7, 8, 7)]
    assert drawn[0] == drawn[2] != drawn[1]


def test_initial_state_follows_the_seed(counter: Block) -> None:
    def initial(seed: int) -> str:
        return simulate(counter, "verilator", seed=seed, x_random=True, parameters={"Width": 32})[0].summary[
            "never_reset"
        ]

    assert initial(7) == initial(7) != initial(8)


def test_environment_does_not_override(
    counter: Block, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COCOTB_RANDOM_SEED", "99")
    monkeypatch.setenv("COCOTB_TESTCASE", "never_ends")
    monkeypatch.setenv("WAVES", "1")
    monkeypatch.setenv("ASSAY_SCALES", "nearest")  # the bench's own variables come from the job alone
    outcome, _ = simulate(counter, simulator)
    assert outcome.passed
    assert outcome.summary["told"] == ["ASSAY_PARAMS", "ASSAY_REPLAY", "ASSAY_RUN_DIR"]
    assert outcome.waves is None
    assert "Seeding Python random module with 7" in (outcome.folder / "run.log").read_text(encoding="utf-8")


def test_failure_leaves_a_window_of_waves(
    counter: Block, simulator: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in (run, waves):  # a format that this test can read
        monkeypatch.setattr(module, "trace_format", lambda simulator: "vcd", raising=False)
    outcome, announced = simulate(counter, simulator, "fails_at_5000_ns")
    assert not outcome.passed
    assert outcome.failure_ns == 5010
    assert any("to write the waves from 4810 ns to 5060 ns" in line for line in announced)
    text = "\n".join(report(outcome))
    assert "first failure    count wrong\n" + " " * 23 + "at once\n" in text
    assert "expected         1\n" in text
    assert "seen             2\n" in text
    if simulator == "verilator":  # Icarus is told its format by vvp and writes FST
        times = [
            int(line[1:]) // 1000 for line in outcome.waves.read_text().splitlines() if line.startswith("#")
        ]
        assert 4810 <= times[0] <= 4820
        assert 5010 <= times[-1] <= 5060
    folder = waves.last_run(counter, print)
    assert folder == outcome.folder
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    waves.show(counter, folder, print)
    assert "open with: gtkwave" in capsys.readouterr().out


def test_waves_on_demand_after_a_regression(counter: Block, simulator: str) -> None:
    job = Job(counter, simulator, 7, ("fails_at_5000_ns",))
    outcome = run_job(job, print)
    assert outcome.waves is None
    folder = waves.last_run(counter, print)
    assert [path.name for path in folder.glob("waves.*")]


def test_whole_run_waves(counter: Block, simulator: str) -> None:
    outcome, _ = simulate(counter, simulator, waves=True)
    assert outcome.passed
    assert outcome.waves.stat().st_size > 0


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        ("raises_hdl_error", "the HDL raised an error"),
        ("misses_expected_hdl_error", "the HDL did not raise the expected error 'error_i is high'"),
    ],
)
def test_hdl_errors_fail_a_run_whose_tests_pass(
    counter: Block, simulator: str, test: str, problem: str
) -> None:
    outcome, _ = simulate(counter, simulator, test)
    assert [result.status for result in outcome.results] == ["passed"]
    assert not outcome.passed
    assert problem in outcome.problems[0]


def test_a_task_that_ends_with_an_error_is_named(counter: Block, simulator: str) -> None:
    outcome = run_job(Job(counter, simulator, 7, ("monitor_raises",)), print)
    assert not outcome.passed
    lines = [" ".join(line.split()) for line in report(outcome)]
    at = lines.index("first failure a task of the bench ended with ValueError:")
    assert lines[at + 1].startswith("no such channel (bench.py, line ")
    assert "failed monitor_raises" in lines  # what it says is said above


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ("finishes_early", "the HDL ended the simulation"),
        ("ends_fatally", "the HDL raised an error at 30 ns"),
        ("stops_early", "the HDL called $stop"),
    ],
)
def test_a_stop_by_the_hdl_is_named_with_its_place(
    counter: Block, simulator: str, test: str, said: str
) -> None:
    outcome = run_job(Job(counter, simulator, 7, (test,)), print)
    assert not outcome.passed
    source = (counter.root / "sim/tests/counter/counter_tb.sv").read_text(encoding="utf-8").splitlines()
    task = {"finishes_early": "$finish", "ends_fatally": "$fatal", "stops_early": "$stop"}[test]
    (number,) = [n for n, line in enumerate(source, 1) if task in line]
    lines = report(outcome)
    (first,) = [n for n, line in enumerate(lines) if line.startswith(f"      problem          {said}")]
    assert f"sim/tests/counter/counter_tb.sv:{number}" in lines[first] + lines[first + 1]
    # What Python felt of that is noise: neither cocotb's guess nor the cancelled test is shown.
    assert "shut down" not in "\n".join(lines)
    assert "cancelled" not in "\n".join(lines)
    if simulator == "icarus":
        assert outcome.failure_ns is not None
        assert outcome.failure_ns <= 35


def test_a_run_without_a_comparison_fails(counter: Block, simulator: str) -> None:
    outcome, _ = simulate(counter, simulator, "compares_nothing")
    assert [result.status for result in outcome.results] == ["passed"]
    assert not outcome.passed
    assert "the tests passed without a comparison" in outcome.problems[0]


def test_expected_hdl_error_passes(counter: Block, simulator: str) -> None:
    assert simulate(counter, simulator, "raises_expected_hdl_error")[0].passed


def test_simulation_that_never_ends_is_stopped(counter: Block, simulator: str) -> None:
    impatient = type(counter)(**{**vars(counter), "timeout_s": 2})
    outcome, _ = simulate(impatient, simulator, "never_ends")
    assert not outcome.passed
    assert outcome.problems == ["the simulation did not end within 2 s and was stopped"]


def test_waves_of_a_simulation_that_was_stopped(
    counter: Block, simulator: str, capsys: pytest.CaptureFixture[str]
) -> None:
    impatient = type(counter)(**{**vars(counter), "timeout_s": 8})
    outcome, _ = simulate(impatient, simulator, "never_ends", waves=True)
    assert outcome.problems == ["the simulation did not end within 8 s and was stopped"]
    waves.show(counter, waves.last_run(counter, print), print)
    assert ", failed; replay: make " in capsys.readouterr().out


def test_path_with_a_space(counter: Block, simulator: str, own_outputs: Path) -> None:
    for objects in CACHE.glob("verilated-*"):  # the library need not be compiled again for this
        shutil.copytree(objects, outputs.build_root() / objects.name)
    outcome, _ = simulate(counter, simulator)
    assert outcome.passed
    assert outcome.folder.is_relative_to(own_outputs)


COMMAND_LINE = """
import sys
from pathlib import Path
from assay.sim import outputs, run, simulators
from assay.sim.command_line import main
from assay.sim.tests.counter.block import BLOCK as COUNTER

outputs.run_root = lambda block=None: Path(sys.argv[1])
run.trace_format = lambda simulator: sys.argv[2]
simulators._icarus_version = lambda executable: sys.argv[3]
sys.exit(main(sys.argv[4:], {"counter": COUNTER}))
"""


def start_run(runs: Path, *arguments: str, largest: int = resource.RLIM_INFINITY) -> subprocess.Popen[str]:
    """``assay run`` of the counter, in a process of its own; no file may be larger than `largest`."""

    # Found out here, as they are by programs that write files.
    known = [run.trace_format("verilator"), simulators._icarus_version(shutil.which("iverilog") or "true")]

    def begin() -> None:
        # As a terminal leaves it: what starts a regression in the background may have Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

    words = ["run", "--top", "counter", "--seed", "7", *arguments]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND_LINE, str(runs), *known, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=begin,
    )


def test_interruption_stops_the_simulator(simulator: str, own_runs: Path) -> None:
    process = start_run(own_runs, "--sim", simulator, "--test", "never_ends")
    for line in process.stdout:
        if "running assay.sim.tests.counter.bench.never_ends" in line:
            break
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    assert not [path for path in own_runs.iterdir() if path.is_dir()]


def test_files_that_cannot_grow_are_never_a_pass(
    counter: Block, simulator: str, own_runs: Path, tmp_path: Path
) -> None:
    """As on a full disk: log, results, coverage, record and waves are cut short at any place."""
    complete, _ = simulate(counter, simulator, waves=True)
    sizes = [path.stat().st_size for path in complete.folder.iterdir()]
    limits = sorted({8, 1 << 26, *(size - 1 for size in sizes), sizes[0] // 2})
    passed = []
    for limit in limits:
        runs = tmp_path / f"limit{limit}"
        process = start_run(runs, "--sim", simulator, "--waves", "--test", "counts", largest=limit)
        output, error = process.communicate(timeout=60)
        told = error + "".join(
            line for line in output.splitlines(keepends=True) if line.startswith("assay: ")
        )
        assert "Traceback" not in error, limit
        if process.returncode == 0:
            passed.append(limit)
            for path in complete.folder.iterdir():
                assert (runs / complete.folder.name / path.name).is_file(), (limit, path.name)
            assert damage(next(runs.glob("*/waves.*"))) == ""
        else:
            reasons = ("File too large", "signal SIGXFSZ", "waves are damaged")
            assert any(reason in told for reason in reasons), (limit, told)
    assert passed and passed[-1] == limits[-1], told
    assert limits[0] not in passed


def test_verdict_comes_before_the_waves(simulator: str, own_runs: Path) -> None:
    process = start_run(own_runs, "--sim", simulator, "--test", "fails_at_5000_ns")
    output, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (1, "")
    lines = output.splitlines()
    (verdict,) = [n for n, line in enumerate(lines) if line.startswith("assay: FAIL")]
    (second,) = [n for n, line in enumerate(lines) if "running seed 7 again to write the waves" in line]
    (waves_at,) = [n for n, line in enumerate(lines) if line.startswith("assay:       waves  ")]
    assert verdict < second < waves_at
    assert any("first failure" in line for line in lines[verdict:second])


def test_interruption_while_the_waves_are_written_keeps_the_verdict(simulator: str, own_runs: Path) -> None:
    process = start_run(own_runs, "--sim", simulator, "--test", "fails_at_5000_ns")
    before = []
    for line in process.stdout:
        before.append(line)
        if "running seed 7 again" in line:
            break
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=20)
    assert any(line.startswith("assay: FAIL") for line in before)
    assert (process.returncode, error) == (1, "")
    assert "interrupted: no waves were written; this writes them: make waves TOPLEVEL=counter" in output
    (record,) = own_runs.glob("*/run.json")
    assert json.loads(record.read_text())["passed"] is False
    assert sorted(path.name for path in record.parent.iterdir()) == [
        "results.xml",
        "run.json",
        "run.log",
        "summary.json",
    ]


def test_record_of_a_run(counter: Block, simulator: str) -> None:
    outcome, _ = simulate(counter, simulator)
    record = json.loads((outcome.folder / "run.json").read_text(encoding="utf-8"))
    assert record["block"] == "counter"
    assert record["seed"] == 7
    assert record["passed"] is True
