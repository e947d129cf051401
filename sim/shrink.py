# SPDX-License-Identifier: Apache-2.0
"""The commands ``shrink`` and ``keep``: a small case that fails as the last failed run did, and its place among tests.

``shrink`` runs the failed test once more and lets the bench record what it plays (:mod:`tb.cases`). Then each simpler
case is a run of its own, forked from one simulator that has started (:mod:`sim.forking`); it counts only where it fails
with the same kind of failure at the same place. The best case so far is always in its file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.golden.errors import ConfigurationError
from assay.sim import outputs, shown, waves
from assay.sim.blocks import find_block, lacking
from assay.sim.commands import command
from assay.sim.forking import ForkingSimulator
from assay.sim.job import Job
from assay.sim.mutation.command import number
from assay.sim.mutation.judge import Verdict, judge
from assay.sim.run import Outcome, read_results, report, run_job, run_unseen
from assay.tb.block import Block
from assay.tb.capabilities import PlaysCases
from assay.tb.cases import FOLDER, RECORD, STEPS, Case, as_json, write_case
from assay.tb.errors import AssayError, RunFailed
from assay.tb.json_file import write_json
from assay.tb.shrinking import Search

Announce = Callable[[str], None]

SHRINK_HELP = (
    "make the last failed run small: fewer jobs, smaller shapes, simpler values, while it still fails"
)
KEEP_HELP = "keep the last shrunk case as a test, which the regression then plays"

MINUTES = "5"
"""Where the user gives none."""

SHRUNK = "shrunk"
"""Folder among the runs: the shrunk cases."""

LEAST_S, SLOWEST = 30, 5
"""A candidate that takes longer, and so many times longer than the case that was recorded, is stopped and dropped."""

EVERY_S = 2
"""Seconds between lines that tell how far the search has come."""


def shrink(arguments: argparse.Namespace, blocks: Mapping[str, Block], announce: Announce) -> int:
    """Run the command ``shrink``.

    Raises:
        AssayError: no run of the block failed, or it holds nothing that a case can hold.
        RunFailed: the failure does not come again.
    """
    block = find_block(arguments.top, blocks)
    plays = _plays(block, blocks)
    minutes = number("MINUTES", arguments.minutes, float, 0.01, 1 << 20)
    failed, left = _last_failure(block)
    folder = outputs.made(outputs.run_root(block)) / SHRUNK
    folder.mkdir(exist_ok=True)
    given = Path(failed.given.get("CASE", ""))
    # A case that was shrunk before becomes smaller in its place.
    path = given if given.absolute().parent == folder else folder / f"{_name(failed)}.json"
    shrunk, _ = shrink_job(plays, failed, left / STEPS, path, 60 * minutes, announce)
    return _tell(block, plays, shrunk, path, announce)


def shrink_job(
    plays: PlaysCases, failed: Job, left: Path, path: Path, limit_s: float, announce: Announce
) -> tuple[Job, bool]:
    """Make a failed run small.

    Args:
        plays: of its block.
        failed: the run, of one test.
        left: the steps that the run itself may have recorded.
        path: of the case; the best one so far is always there.
        limit_s: after which the search ends.

    Returns:
        the run that plays the case; whether the user has interrupted the search.

    Raises:
        AssayError: it holds nothing that a case can hold.
        RunFailed: the failure does not come again.
    """
    case = _case(failed.block, plays, failed, left, path, announce)
    announce(f"a failure of the kind {case.check!r}: {case.message}")
    interrupted = False
    shrinker = _Shrinker(failed.block, plays, failed, path, limit_s, announce)
    with contextlib.closing(shrinker):
        try:
            shrinker.run(case)
        except ConfigurationError:
            raise RunFailed(
                f"what {_test_name(failed)} played does not fail in the same way when it is played as a case; the "
                f"failure may depend on the exact clock, or on what no case holds; its replay: {failed.replay}"
            ) from None
        except KeyboardInterrupt:
            interrupted = True
            announce("interrupted: the best case so far is kept")
    return shrinker.job(path), interrupted


def keep(arguments: argparse.Namespace, blocks: Mapping[str, Block], announce: Announce) -> int:
    """Run the command ``keep``.

    Raises:
        AssayError: bad input, no shrunk case, or a kept case of that name.
    """
    block = find_block(arguments.top, blocks)
    plays = _plays(block, blocks)
    name = arguments.name
    if not name:
        raise AssayError("keep needs a name for the case: give NAME=NAME or --name NAME")
    if not re.fullmatch(r"\w[\w.-]{0,80}", name, re.ASCII):
        raise AssayError(f"NAME={name}: allowed are letters, digits, _, . and -")
    source = Path(arguments.case) if arguments.case else _last_shrunk(block)
    case = plays.read(block, source)
    folder = block.file.parent / FOLDER
    path = folder / f"{name}.json"
    if path.exists() and not arguments.replace:
        again = command("keep", block, {"NAME": name, "REPLACE": "1"})
        raise AssayError(f"{shown(path)} exists; give another NAME, or replace it with: {again}")
    folder.mkdir(exist_ok=True)
    write_case(path, case)
    announce(f"kept as {shown(path)}; the regression plays it from now on")
    announce(f"      {'replay':<16} {case_job(block, plays, case, path).replay}")
    return 0


# -------------------------------------------------------------------------------------------------
# What is shrunk
# -------------------------------------------------------------------------------------------------
def _plays(block: Block, blocks: Mapping[str, Block]) -> PlaysCases:
    plays = block.capability(PlaysCases)
    if plays is None:
        raise lacking(block, PlaysCases, blocks)
    return plays


def _last_failure(block: Block) -> tuple[Job, Path]:
    """The last run of the block that failed, with the first of its tests that did; and its folder."""
    for folder, record in waves.past_runs(block):
        if not record["passed"]:
            job = waves.job_of(block, record)
            failed = [each.name for each in read_results(folder / "results.xml") if each.status == "failed"]
            # Where the HDL alone complains, no test has failed: then all of them are asked.
            tests = tuple(failed[:1]) or job.tests
            return replace(job, tests=tests, waves=False, coverage=False), folder
    raise AssayError(f"no run of {block.name} failed, so there is nothing to shrink")


def _last_shrunk(block: Block) -> Path:
    files = (outputs.run_root(block) / SHRUNK).glob(f"{block.name}-*.json")
    found = [path for path in files if _block_of(path) == block.name]
    if not found:
        raise AssayError(
            f"no case of {block.name} was shrunk; this shrinks its last failure: {command('shrink', block, {})}"
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def _block_of(path: Path) -> str:
    """The block of a case's file; empty for a damaged one."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return str(json.loads(path.read_text(encoding="utf-8")).get("block"))
    return ""


def _case(block: Block, plays: PlaysCases, failed: Job, left: Path, path: Path, announce: Announce) -> Case:
    """The case of a failed run, with its failure.

    Args:
        left: the steps that the run itself may have recorded.
        path: where the case will stand.
    """
    if "CASE" in failed.given or left.is_file():
        known = "CASE" in failed.given
        source = Path(failed.given["CASE"]) if known else left
        case = plays.read(block, source) if known else _recorded(block, plays, failed, source)
        write_case(path, case)
        outcome = run_unseen(replace(case_job(block, plays, case, path), data=failed.data), _quiet(announce))
        if outcome.passed:
            raise RunFailed(f"{shown(source)} does not fail when it is played; its replay: {failed.replay}")
    else:
        announce(
            f"running {_test_name(failed)} again, with what it plays recorded; its replay: {failed.replay}"
        )
        steps = path.with_suffix(".steps")
        steps.unlink(missing_ok=True)
        try:
            job = replace(failed, environment={RECORD: str(steps)}, name_suffix="recording")
            outcome = run_unseen(job, _quiet(announce))
            if outcome.passed:
                raise RunFailed(f"{_test_name(failed)} does not fail alone; its replay: {failed.replay}")
            case = _recorded(block, plays, failed, steps)
        finally:
            steps.unlink(missing_ok=True)
    verdict = judge(outcome)
    message = verdict.message.splitlines()[0] if verdict.message else ""
    return replace(case, check=_check(verdict), message=message)


def _recorded(block: Block, plays: PlaysCases, failed: Job, steps: Path) -> Case:
    """The case whose steps a bench has recorded; read back as any other."""
    recorded = json.loads(steps.read_text(encoding="utf-8")) if steps.is_file() else []
    if not recorded:
        raise AssayError(
            f"{_test_name(failed)} of {block.name} plays nothing that a case can hold; its replay: {failed.replay}"
        )
    empty = Case(
        block.name,
        block.resolve_parameters(failed.parameters),
        failed.seed,
        failed.simulator,
        (),
        dict(failed.defines),
        failed.x_random,
        origin=failed.replay,
    )
    whole = steps.with_suffix(".recorded")
    try:
        write_json(whole, {**as_json(empty), "steps": recorded})
        return plays.read(block, whole)
    finally:
        whole.unlink(missing_ok=True)


def _name(job: Job) -> str:
    """Of the shrunk case of a run: short, for it is typed."""
    tests = job.tests[0] if len(job.tests) == 1 else "run"
    return f"{job.block.name}-{tests}-{job.simulator}-{job.seed}"


def _test_name(job: Job) -> str:
    return f"test {job.tests[0]}" if len(job.tests) == 1 else "the run"


def _check(verdict: Verdict) -> str:
    """The kind of a failure; of one that is no check's, what became of the run. Which of several units it is in, does
    not matter: a simpler case may run on another one."""
    return re.sub(r"\d+", "N", verdict.check or verdict.state)


def case_job(block: Block, plays: PlaysCases, case: Case, path: Path) -> Job:
    """The run that plays a case's file."""
    defaults = block.resolve_parameters({})
    return Job(
        block,
        case.simulator,
        case.seed,
        (plays.test,),
        {name: value for name, value in case.parameters.items() if value != defaults.get(name)},
        dict(case.defines),
        x_random=case.x_random,
        given={"CASE": shown(path)},
    )


# -------------------------------------------------------------------------------------------------
# The search
# -------------------------------------------------------------------------------------------------
@dataclass
class _Shrinker:
    """Candidates as runs, one after the other.

    Attributes:
        failed: the run that failed first.
        path: of the best case.
        limit_s: of the search.
    """

    block: Block
    plays: PlaysCases
    failed: Job
    path: Path
    limit_s: float
    announce: Announce

    def __post_init__(self) -> None:
        self._simulator = ForkingSimulator()
        self._candidate = self.path.with_suffix(".candidate")
        self._started = self._told = time.monotonic()
        self._slowest = 0.0
        self._case: Case | None = None

    def close(self) -> None:
        """End the simulator that is kept ready."""
        self._simulator.close()
        self._candidate.unlink(missing_ok=True)

    def job(self, path: Path) -> Job:
        """The run that plays the best case."""
        assert self._case is not None
        return replace(case_job(self.block, self.plays, self._case, path), data=self.failed.data)

    def run(self, case: Case) -> None:
        """Search; the best case so far is always in the file.

        Raises:
            ConfigurationError: the case, played as one, does not fail in the same way.
        """
        self._case = case
        search: Search[Case] = Search(
            case,
            self._fails,
            _identity,
            lambda search: time.monotonic() - self._started > self.limit_s,
            self._better,
        )
        search.run(self.plays.kind.passes())
        seconds = time.monotonic() - self._started
        ended = "nothing simpler fails" if search.finished else "the time is over"
        self.announce(
            f"{search.tried} cases tried in {seconds:.0f} s ({seconds / search.tried:.2f} s each), {ended}"
        )

    def _fails(self, case: Case) -> bool:
        assert self._case is not None
        write_case(self._candidate, case)
        limit = int(max(LEAST_S, SLOWEST * self._slowest))
        block = replace(
            self.block, timeout_s=min(limit, self.block.timeout_s) if self._slowest else self.block.timeout_s
        )
        job = replace(
            case_job(block, self.plays, case, self._candidate),
            given={"CASE": str(self._candidate)},
            data=self.failed.data,
            name_suffix="shrinking",
        )
        try:
            outcome = run_unseen(job, _quiet(self.announce), self._simulator.run)
        except RunFailed:
            return False
        verdict = judge(outcome)
        fails = not outcome.passed and _check(verdict) == self._case.check
        if fails and not self._slowest:  # the first one: the case as it was recorded
            self._slowest = outcome.seconds
            write_case(self.path, case)
        return fails

    def _better(self, case: Case) -> None:
        self._case = case
        write_case(self.path, case)
        if time.monotonic() - self._told > EVERY_S:
            self._told = time.monotonic()
            count = len(case.steps)
            self.announce(
                f"{self._told - self._started:.0f} s: {count} step{'s' * (count > 1)}, "
                f"{_weight(as_json(case)['steps']):,} numbers that are not 0"
            )


def _identity(case: Case) -> str:
    return json.dumps(as_json(case)["steps"])


def _weight(value: Any) -> int:
    """How many numbers of a file's part are not 0; of packed arrays, how many bytes they take."""
    if isinstance(value, dict):
        if "packed" in value:
            return len(value["packed"])
        if "values" in value and "array" in value:
            return sum(word != "0" for word in value["values"].split())
        return sum(map(_weight, value.values()))
    if isinstance(value, list):
        return sum(map(_weight, value))
    return int(isinstance(value, (int, float)) and bool(value))


def _tell(block: Block, plays: PlaysCases, job: Job, path: Path, announce: Announce) -> int:
    """Play the shrunk case as a run of its own, which `make waves` and others then find; say what is left of it."""
    outcome: Outcome = run_job(job, _quiet(announce))
    case = plays.read(block, path)
    verdict = judge(outcome)
    if outcome.passed or _check(verdict) != case.check:
        raise RunFailed(f"the shrunk case does not fail again: {job.replay}")
    write_case(path, replace(case, message=verdict.message))
    announce("what is left:")
    for line in plays.kind.describe(case):
        announce(f"      {line}")
    for line in report(outcome):
        announce(line)
    announce(f"      {'case':<16} {shown(path)}")
    announce(f"      {'as a test':<16} {command('keep', block, {'NAME': 'NAME'})}")
    return 0


def _quiet(announce: Announce) -> Announce:
    """Of a run's own lines, those that say that something is built."""
    return lambda line: announce(line) if line.startswith(("building", "built")) else None
