# SPDX-License-Identifier: Apache-2.0
"""One simulation: build if needed, run with a seed, judge, and on a failure write the waves around it.

What the bench sees (environment variables):

- ``COCOTB_RANDOM_SEED``: the seed, as always in cocotb;
- ``ASSAY_RUN_DIR``: folder of this run's outputs, also the simulator's working folder;
- ``ASSAY_PARAMS``: all HDL parameters of the build, JSON;
- ``ASSAY_REPLAY``: the command that replays this run;
- ``ASSAY_<variable>``: each variable of the block's capabilities (`tb.capabilities`) that was given, such as
  ``ASSAY_MODEL``, ``ASSAY_SCALES``, ``ASSAY_VECTORS``, ``ASSAY_ELF``; paths are absolute;
- ``ASSAY_PROJECT``: the repository of the block, where that is a user's;
- ``ASSAY_LIBRARY``: the block's own library, where it has one and there is a C++ compiler;
- ``ASSAY_DEBUG``: set where the run writes waves, so that the bench leaves what explains them (`tb.debug`);
- ``ASSAY_AT``: the place of a network whose time is wanted, for ``make waves AT=...``, as JSON;
- ``ASSAY_WORDS``: set where the words at the ports are recorded (`sim.words`);
- ``ASSAY_WAVES_WINDOW``: "from to" in ns, only in the second run that writes the waves of a failure.

What the bench leaves is ``$ASSAY_RUN_DIR/summary.json``, as `tb.report` describes it, and
``coverage/<test>/``, as `assay.sim.coverage.runs` says. One key more has a meaning here:

- ``expected_errors``: list of strings. A ``$error`` of the HDL whose text contains one of them does not fail the
  run; each of them must have occurred.

A run passes if every selected test ran and passed, and the HDL raised no other ``$error`` or ``$fatal``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from assay.sim import outputs, project, shown
from assay.sim.build import BuildSpec, ensure_build, locked, place_data
from assay.sim.cocotb_runner import make_runner
from assay.sim.commands import command
from assay.sim.coverage.runs import seal
from assay.sim.hdl_messages import HdlError, HdlMessages
from assay.sim.job import Job
from assay.sim.process import NO_SPACE, TimedOut, run_logged
from assay.sim.shared_library import LIBRARY, ensure_library
from assay.sim.simulators import find_simulator, trace_format
from assay.sim.testcases import cocotb_filter
from assay.sim.wavefile import damage
from assay.sim.words import RECORDING, collect
from assay.tb.block import Block
from assay.tb.debug import ARRAYS, RECORD
from assay.tb.errors import AssayError, RunFailed, sentence
from assay.tb.json_file import write_json
from assay.tb.report import ENDED_EARLY, headline, told

JOB_RECORD = (
    *("simulator", "seed", "tests", "parameters", "defines", "data", "x_random", "given", "coverage"),
    *("compile_args", "words"),
)
"""A job's fields that ``run.json`` keeps, so that `make waves` can run it again."""

LONGEST_WINDOW_NS = 200_000
"""Before a failure, however long the design has worked at what failed."""

SMALLEST_SPACE = 1 << 16
"""Bytes: a disk with less to spare is called full."""

LONGEST_LINE = 112
"""Characters of the line that says that a run failed, without the program's name before it."""

SUMMARY = "summary.json"

PLACE = "ASSAY_AT"
"""Environment variable: the place of a network that a user wants to see, as JSON."""


Announce = Callable[[str], None]

_ENDED_EARLY = "the simulation ended prematurely"
"""Part of cocotb's message for a test that was running, or waiting for its turn, when the HDL called $finish."""

_COMPARED = ("words_compared", "values_compared", "serves")
"""Keys of a summary that say that the run did what it is for."""


@dataclass(frozen=True)
class TestResult:
    """One cocotb test as results.xml tells it."""

    __test__ = False  # not a pytest class

    name: str
    status: str
    """``passed``, ``failed`` or ``skipped``."""
    message: str
    stop_ns: float


@dataclass
class Outcome:
    """The result of a job."""

    job: Job
    folder: Path
    results: list[TestResult]
    problems: list[str]
    """Reasons for failing beside failed tests, each one sentence."""
    summary: dict[str, Any]
    seconds: float
    failure_ns: float | None = None
    """Simulation time of the first failure."""
    waves: Path | None = None
    at: dict[str, Any] = field(default_factory=dict)
    """Where and when the place was that a user wanted to see, as `tb.report.Report.at`, with its text as ``place``."""

    @property
    def passed(self) -> bool:
        return not self.problems and bool(self.results) and all(r.status == "passed" for r in self.results)

    @property
    def failed_tests(self) -> list[TestResult]:
        return [result for result in self.results if result.status != "passed"]


def run_job(
    job: Job, announce: Announce, live: Announce | None = None, launch: Callable[..., int] = run_logged
) -> Outcome:
    """Run ``job`` and judge it. The waves of a failure are another run: `add_failure_waves`.

    Args:
        announce: receives the runner's own lines.
        live: receives the simulation's lines as they come; they go to ``run.log`` in any case.
        launch: runs the simulator, as `sim.process.run_logged` does.

    Raises:
        AssayError: the job cannot be run at all (bad input, missing tool, HDL that does not compile).
        OSError: its outputs cannot be written.
    """
    spec = build_spec(job, announce, traced=job.waves)
    build_folder, library = ensure_build(spec, announce), ensure_library(job.block, announce)
    with _own_folder(job) as folder:
        announce(f"running {job.describe()}; to replay: {job.replay}")
        waves_file = folder / f"waves.{trace_format(job.simulator)}" if job.waves else None
        outcome = _simulate(job, spec, build_folder, library, folder, waves_file, live, launch)
        if waves_file is not None and waves_file.is_file():
            outcome.waves = waves_file
        seal(spec, folder)
        if job.words:
            outcome.summary["streams"] = collect(folder, job.block.hdl_top)
            write_json(folder / SUMMARY, outcome.summary)
        _write_record(outcome)
    return outcome


def run_unseen(job: Job, announce: Announce, launch: Callable[..., int] = run_logged) -> Outcome:
    """As `run_job`, and remove the run's folder: nobody can replay it, so `make waves` must not find it."""
    folder = outputs.run_root(job.block) / job.name
    try:
        return run_job(job, announce, launch=launch)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f".{folder.name}.lock").unlink(missing_ok=True)


def add_failure_waves(outcome: Outcome, announce: Announce) -> None:
    """Run the failed job of ``outcome`` again and write the waves around the failure into its folder.

    `Outcome.waves` stays None where that does not succeed; why has been announced. An interruption ends this second
    run, too, and is announced: the verdict is out and stands.
    """
    failure_ns = outcome.failure_ns
    if outcome.passed or outcome.waves is not None or failure_ns is None:
        return
    failures = outcome.summary.get("failures") or [{}]
    try:
        _add_window(outcome, failure_ns, float(failures[0].get("span_ns") or 0), announce)
    except KeyboardInterrupt:
        announce(
            f"interrupted: no waves were written; this writes them: {command('waves', outcome.job.block, {})}"
        )
    except (AssayError, OSError) as error:
        announce(f"no waves were written: {sentence(error)}")


def waves_of_place(job: Job, wanted: Mapping[str, str], announce: Announce) -> Outcome:
    """Run a job to find when a place of a network comes, and again to write the waves around it.

    Args:
        wanted: as `tb.debug.AT`.

    Raises:
        AssayError: the place was not computed before the run ended, or the waves cannot be written.
    """
    text = ",".join(f"{name}:{value}" for name, value in wanted.items())
    seeking = replace(job, environment={**job.environment, PLACE: json.dumps(dict(wanted))}, name_suffix="at")
    outcome = run_job(seeking, announce)
    outcome.at = dict(outcome.summary.get("at") or {})
    if not outcome.at:
        raise AssayError(
            f"{text}: no job of this run computes that place, or it came after the first failure; layers are named in "
            f"{shown(outcome.folder / 'run.log')}"
        )
    outcome.at["place"] = text
    _add_window(outcome, float(outcome.at["time_ns"]), 0, announce)
    if outcome.waves is None:
        raise AssayError(f"no waves were written for {text}")
    return outcome


def _add_window(outcome: Outcome, time_ns: float, span_ns: float, announce: Announce) -> None:
    """Run a job again and write the waves around a time; `span_ns` of them before it, at least."""
    job = outcome.job
    before, after = job.block.window_ns
    before = max(before, min(int(span_ns), LONGEST_WINDOW_NS))
    start, stop = max(0, int(time_ns) - before), int(time_ns) + after
    announce(
        f"running seed {job.seed} again to write the waves from {start} ns to {stop} ns (Ctrl-C leaves them out)"
    )
    spec = build_spec(replace(job, coverage=False), announce, traced=True)
    build_folder, library = ensure_build(spec, announce), ensure_library(job.block, announce)
    with locked(_lock(job)), _fresh_folder(outcome.folder / "window") as folder:
        written = folder / f"waves.{trace_format(job.simulator)}"
        _simulate(job, spec, build_folder, library, folder, written, None, run_logged, window=(start, stop))
        if not written.is_file():
            announce("the second run ended before the window began: no waves were written")
        elif problem := damage(written):
            announce(f"no waves were written: {shown(written)} {problem}{_space_left(folder)}")
        else:
            outcome.waves = written.replace(outcome.folder / written.name)
            for name in (RECORD, ARRAYS):
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).replace(outcome.folder / name)
            _write_record(outcome)


@contextlib.contextmanager
def _own_folder(job: Job) -> Iterator[Path]:
    """The folder of a run, empty, while no other run of that name goes on."""
    with locked(_lock(job)), _fresh_folder(outputs.run_root(job.block) / job.name) as folder:
        yield folder


def _lock(job: Job) -> Path:
    return outputs.made(outputs.run_root(job.block)) / f".{job.name}.lock"


def report(outcome: Outcome) -> list[str]:
    """The few lines at the end of a run that a person can act on."""
    job, summary = outcome.job, outcome.summary
    passed = sum(result.status == "passed" for result in outcome.results)
    verdict = "PASS" if outcome.passed else "FAIL"
    result_line = f"{passed} of {len(job.tests)} tests passed in {outcome.seconds:.1f} s"
    lines = [f"{verdict}  {job.describe()}: {result_line}"]
    facts: list[tuple[str, str]] = []
    if not outcome.passed and len(lines[0]) > LONGEST_LINE:
        lines = [f"{verdict}  {job.describe(complete=False)}: {result_line}"]
        facts.append(("parameters", job.all_parameters))
    if "values_compared" in summary:
        words = f" in {summary['words_compared']:,} words" if "words_compared" in summary else ""
        facts.append(("compared", f"{summary['values_compared']:,} values{words}"))
    if summary.get("clocks"):
        ideal = summary.get("ideal_clocks")
        against = f"; by the formula {ideal:,}" if ideal else ""
        facts.append(("clocks", f"{summary['clocks']:,}{against}"))
    if summary.get("coverage"):
        groups = (f"{name} {percent:.1f} %" for name, percent in summary["coverage"].items())
        facts.append(("coverage", ", ".join(groups)))
    facts += summary.get("notes", {}).items()
    facts += [("problem", "\n".join(filter(None, headline(problem)))) for problem in outcome.problems]
    failures = summary.get("failures", [])
    # Where the HDL itself stopped the simulation, what Python felt of that is noise.
    stopped = [result for result in outcome.failed_tests if _ENDED_EARLY in result.message]
    if stopped and outcome.problems:
        failures = [failure for failure in failures if failure.get("kind") != ENDED_EARLY]
    before = len(facts)
    unsaid: dict[str, list[str]] = {}  # by status, tests of which the first failure is told below
    for result in outcome.failed_tests:
        if not (stopped and outcome.problems and result in stopped):
            first_line = (result.message.strip().splitlines() or ["no message"])[0]
            known = [failure for failure in failures if first_line in str(failure.get("message"))]
            if known and known[0] is failures[0]:
                unsaid.setdefault(result.status, []).append(result.name)
            else:
                said = told(known[0])[0][1] if known else first_line
                facts.append((result.status, "\n".join(filter(None, headline(f"{result.name}: {said}")))))
    facts[before:before] = [(status, ", ".join(names)) for status, names in unsaid.items()]
    if stopped and outcome.problems:
        facts.append(("not finished", ", ".join(result.name for result in stopped)))
    if failures:
        (_, first_text), *others = told(failures[0])
        facts += [
            ("first failure", first_text),
            *((label, text) for label, text in others if label != "time"),
        ]
    if outcome.failure_ns is not None and not any(
        f"{outcome.failure_ns:,.0f} ns" in text for _, text in facts
    ):
        facts.append(("failed at", f"{outcome.failure_ns:,.0f} ns"))
    facts.append(("replay", job.replay))
    facts.append(("log", shown(outcome.folder / "run.log")))
    if outcome.waves is not None:
        facts.append(("waves", waves_line(job.block, outcome.waves)))
    for key, value in facts:
        first, *rest = value.splitlines() or [""]
        lines.append(f"      {key:<16} {first}")
        lines += [f"      {'':<16} {line}" for line in rest]
    return lines


def waves_line(block: Block, waves: Path) -> str:
    """The place of the waves, and the command that opens them."""
    return f"{shown(waves)} ({command('waves', block, {})} opens it)"


@contextlib.contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty folder. What stood there before comes back if what happens in the block does not come to its end."""
    before = folder.with_name(f".{folder.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(before)
    try:
        folder.mkdir(parents=True)
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            before.rename(folder)
        raise
    shutil.rmtree(before, ignore_errors=True)


def build_spec(job: Job, announce: Announce = lambda line: None, traced: bool = False) -> BuildSpec:
    """The build that a job runs, with waves compiled in or not."""
    simulator = find_simulator(job.simulator, announce)
    files = job.block.resolve_data(job.data)
    return BuildSpec(
        block=job.block,
        simulator=simulator,
        parameters=job.block.resolve_parameters(job.parameters),
        defines=job.block.resolve_defines(job.defines) | ({RECORDING: "1"} if job.words else {}),
        included={each.name: files[each.name] for each in job.block.data if each.included},
        trace=trace_format(simulator.name) if traced and simulator.name == "verilator" else "",
        probed=traced and bool(job.block.probes),
        x_random=job.x_random and simulator.name == "verilator",
        coverage=job.coverage,
        compile_args=job.compile_args,
    )


def _simulate(
    job: Job,
    spec: BuildSpec,
    build_folder: Path,
    library: Path | None,
    folder: Path,
    waves_file: Path | None,
    live: Announce | None,
    launch: Callable[..., int],
    window: tuple[int, int] | None = None,
) -> Outcome:
    """Run the simulator once in ``folder`` and judge what it left there."""
    started = time.monotonic()
    said = HdlMessages(job.block)
    problems: list[str] = []
    lost: set[str] = set()
    timed_out = False

    def sink(line: str) -> None:
        said.read(line)
        if found := NO_SPACE.search(line):
            lost.add(found[0])
        if live is not None:
            live(line)

    def execute(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> int:
        nonlocal timed_out
        try:
            return launch(command, cwd, environment, folder / "run.log", sink, job.timeout_s)
        except TimedOut:
            timed_out = True
            problems.append(f"the simulation did not end within {job.timeout_s} s and was stopped")
            return 0

    environment = {
        "ASSAY_RUN_DIR": str(folder),
        "ASSAY_PARAMS": json.dumps(dict(spec.parameters)),
        "ASSAY_REPLAY": job.replay,
        **({RECORDING: "1"} if job.words else {}),
        **{f"ASSAY_{name}": text for name, text in job.given.items()},
        **{f"ASSAY_{name}": str(Path(path).absolute()) for name, path in job.paths.items()},
        **job.environment,
        "PYTHONUNBUFFERED": "1",
        # pytest explains an assert by other code, which takes time to make and to run: only those of a user's tests.
        "COCOTB_REWRITE_ASSERTION_FILES": " ".join(
            f"{name.rpartition('.')[2]}.py" for name in job.block.tests if job.block.root in project.in_use
        ),
        # The golden model's products are small: more threads would only wait for each other, on cores that other
        # simulations use.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    if library is not None:
        environment.setdefault(LIBRARY, str(library))
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):  # it means the folders of the sources, as in the Makefile
        environment |= {
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX")
            or str(outputs.build_root(job.block) / "pycache"),
        }
    test_modules, tests = job.block.tests, job.tests
    if job.block.root in project.in_use:
        environment[project.FOLDER] = str(job.block.root)
        test_modules = (project.__name__, *test_modules)
    place_data(job.block.resolve_data(job.data), folder)
    plusargs: list[str] = []
    if spec.simulator.name == "verilator":
        # Else the first $error aborts the process, and cocotb reports nothing.
        plusargs.append("+verilator+error+limit+1000000")
        if spec.x_random:
            # To Verilator seed 0 means one of its own choice.
            plusargs += ["+verilator+rand+reset+2", f"+verilator+seed+{max(job.seed, 1)}"]
    if waves_file is not None:
        environment["ASSAY_DEBUG"] = "1"
        plusargs.append(f"+waves_file={waves_file.name}")
        if window is not None:
            plusargs += [f"+waves_from={window[0]}", f"+waves_to={window[1]}"]
            environment["ASSAY_WAVES_WINDOW"] = f"{window[0]} {window[1]}"
            test_modules, tests = (*test_modules, "assay.sim.linger"), (*tests, "linger")
    runner = make_runner(spec.simulator, execute, trace=waves_file.suffix[1:] if waves_file else "")
    results_file = folder / "results.xml"
    with contextlib.suppress(
        SystemExit
    ):  # under pytest, cocotb exits where tests failed; they are judged below
        runner.test(
            test_module=test_modules,
            hdl_toplevel=job.block.hdl_top,
            hdl_toplevel_lang="verilog",
            test_filter=cocotb_filter(tests),
            seed=job.seed,
            plusargs=plusargs,
            extra_env=environment,
            build_dir=build_folder,
            test_dir=folder,
            results_xml=str(results_file),
        )
    summary = read_summary(folder)
    results = read_results(results_file)
    problems += [f"an output could not be written: {reason}" for reason in sorted(lost)]
    if window is None and waves_file is not None and not timed_out and (problem := damage(waves_file)):
        problems.append(f"the waves are damaged: {shown(waves_file)} {problem}{_space_left(folder)}")
    expected = summary.get("expected_errors", [])
    unexpected = [error for error in said.errors if not any(part in error.text for part in expected)]
    problems += [str(error) for error in unexpected[:3]]
    problems += [
        f"the HDL did not raise the expected error {part!r}"
        for part in expected
        if not any(part in error.text for error in said.errors)
    ]
    if not unexpected and not timed_out and any(_ENDED_EARLY in result.message for result in results):
        problems += said.why_it_ended()
    if not results and not problems:
        problems.append(
            f"the simulator ended with {_status(runner.exit_status)} and without results; see its log"
            + _space_left(folder)
        )
    missing = [name for name in job.tests if name not in {result.name for result in results}]
    if results and missing:
        problems.append(f"these tests did not run: {', '.join(missing)}")
    all_passed = all(result.status == "passed" for result in results)
    if runner.exit_status != 0 and not problems and all_passed and not said.errors:
        problems.append(f"the simulator ended with {_status(runner.exit_status)}; see its log")
    # An engine compares nothing itself: its tensors are compared by who asked for them.
    if results and all_passed and not problems and not any(map(summary.get, _COMPARED)):
        problems.append(
            "the tests passed without a comparison: a bench reports what it compared through tb.bench or "
            "assay.tb.report.Report"
        )
    outcome = Outcome(job, folder, results, problems, summary, time.monotonic() - started)
    if not outcome.passed and not timed_out:
        outcome.failure_ns = _failure_time(summary, results, unexpected)
    return outcome


def _status(number: int) -> str:
    """An exit status in words; a negative one is the signal that ended the process."""
    with contextlib.suppress(ValueError):
        if number < 0:
            return f"signal {signal.Signals(-number).name}"
    return f"status {number}"


def _space_left(folder: Path) -> str:
    """The end of a sentence that names a full disk, empty if there is room."""
    left = os.statvfs(folder)
    if left.f_bavail * left.f_frsize < SMALLEST_SPACE:
        return f"; the disk that holds {shown(folder)} is full"
    return ""


def _failure_time(
    summary: Mapping[str, Any], results: Sequence[TestResult], hdl_errors: Sequence[HdlError]
) -> float | None:
    """When the run failed first, from the best witness: the bench, the HDL's error, the end of the failed test."""
    for failure in summary.get("failures", [])[:1]:
        if isinstance(failure.get("time_ns"), (int, float)) and failure["time_ns"] >= 0:
            return float(failure["time_ns"])
    if hdl_errors and hdl_errors[0].ns is not None:
        return hdl_errors[0].ns
    stops = [result.stop_ns for result in results if result.status == "failed"] or [
        r.stop_ns for r in results[-1:]
    ]
    return stops[0] if stops else None


def read_results(path: Path) -> list[TestResult]:
    """The tests in cocotb's results.xml, in the order they ran; empty where the file is missing or cut short."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return []
    results = []
    for case in root.iter("testcase"):
        problem = next((child for tag in ("failure", "error") for child in case.iter(tag)), None)
        skipped = case.find("skipped")
        status = "failed" if problem is not None else "skipped" if skipped is not None else "passed"
        properties = {item.get("name"): item.get("value") for item in case.iter("property")}
        message = "" if problem is None else (problem.get("message") or problem.text or "")
        try:
            stop_ns = float(properties.get("sim_time_stop") or 0)
        except ValueError:  # the file was altered
            return []
        results.append(TestResult(case.get("name", ""), status, message, stop_ns))
    return results


def read_summary(folder: Path) -> dict[str, Any]:
    """The ``summary.json`` of a run; empty where the bench left none."""
    path = folder / SUMMARY
    if not path.is_file():
        return {}
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunFailed(f"the bench left a summary that is not JSON, {shown(path)}: {error}") from None
    if not isinstance(summary, dict):
        raise RunFailed(f"the bench left a summary that is not a dictionary: {shown(path)}")
    return summary


def _write_record(outcome: Outcome) -> None:
    """``run.json``: what :mod:`sim.waves` needs to find this run again."""
    job = outcome.job
    record = {name: getattr(job, name) for name in JOB_RECORD} | {
        "block": job.block.name,
        "passed": outcome.passed,
        "failure_ns": outcome.failure_ns,
        "at": outcome.at,
        "problems": outcome.problems,
        "waves": outcome.waves.name if outcome.waves else None,
        "replay": job.replay,
    }
    write_json(outcome.folder / "run.json", record)
