# SPDX-License-Identifier: Apache-2.0
"""Running mutants: first the default run, then a proof for those that survive it, then every other test.

A module's mutants share one compiled model. Before any of them, the model runs each test with none selected, and must
pass; the time that takes bounds what a mutant may take. Of several tests the one goes first that has killed most in the
shortest time.
"""

from __future__ import annotations

import datetime
import queue
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.sim import outputs
from assay.sim.elaborate import Elaborated
from assay.sim.forking import ForkingSimulator
from assay.sim.job import Job
from assay.sim.mutation import model
from assay.sim.mutation.equivalence import Prover
from assay.sim.mutation.faults import find_mutants
from assay.sim.mutation.journal import Journal, state_of
from assay.sim.mutation.judge import (
    CRASHED,
    DEFAULT,
    EQUIVALENT,
    FULL,
    KILLED,
    NOT_BUILT,
    PROOF,
    SURVIVED,
    Verdict,
    judge,
)
from assay.sim.mutation.mutant import VARIABLE, Mutant, by_file, chosen
from assay.sim.mutation.page import HEADS
from assay.sim.process import Stopped, Stopper
from assay.sim.run import build_spec, report, run_unseen
from assay.sim.testcases import select_tests
from assay.tb.block import Block
from assay.tb.errors import AssayError, RunFailed

Announce = Callable[[str], None]

SIMULATOR = "verilator"

SLOWEST = 5
"""Times the design's own time that a mutant may take in a test."""
LEAST_S = 20
"""Seconds that it may take in any case."""

PROGRESS_S = 15
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class Plan:
    """What a campaign does.

    Attributes:
        parameters: of the HDL.
        modules: names of source files without suffix; empty: the block's own.
        keys: beginnings of the keys of the mutants to run; empty: all.
        minutes: after which no further mutant begins; 0: no limit. With a limit, modules and mutants are drawn in an
            order that `day` chooses.
        jobs: simulators at a time.
        default_only: leave out the proofs and the rest of the bench.
        again: run also mutants whose result is known.
        settled: keys of mutants that are known to be equivalent, and are not run.
    """

    block: Block
    parameters: Mapping[str, int | str]
    seed: int
    modules: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    minutes: float = 0
    day: str = ""
    jobs: int = 1
    default_only: bool = False
    again: bool = False
    settled: frozenset[str] = frozenset()


@dataclass
class Results:
    """What a campaign found: mutant's key -> entry of the journal, for those that have one."""

    plan: Plan
    mutants: list[Mutant]
    entries: dict[str, dict[str, Any]]
    seconds: float
    heads: tuple[str, ...] = HEADS

    @property
    def title(self) -> str:
        """Of the page."""
        return f"Mutants of {self.plan.block.name}"

    @property
    def about(self) -> str:
        """Seed and parameters."""
        words = [f"{name}={value}" for name, value in self.plan.parameters.items()]
        return f"Seed {', '.join([str(self.plan.seed), *words])}."

    def name(self, file: Path) -> str:
        """The module."""
        return file.stem


def today() -> str:
    """The day that chooses a sample."""
    return datetime.date.today().isoformat()


def run(plan: Plan, announce: Announce) -> Results:
    """Run a campaign. What it finds is in the journal as soon as it is known; Ctrl-C loses what is under way.

    Raises:
        AssayError: nothing to mutate, or no such mutant.
        RunFailed: the design without a fault does not pass.
    """
    return _Campaign(plan, announce).run()


def mutants_of(plan: Plan) -> list[Mutant]:
    """The mutants among which a plan's are.

    Raises:
        AssayError: as `run`.
    """
    return _found(plan, model.elaborated(plan.block, plan.block.resolve_parameters(plan.parameters)))


def _found(plan: Plan, design: Elaborated) -> list[Mutant]:
    return find_mutants(design, model.mutable_files(plan.block, plan.modules), plan.block.root)


def journal_path(block: Block) -> Path:
    """The journal of a block."""
    return outputs.outputs(block) / "reports" / "mutation" / f"{block.name}.jsonl"


def _settled(mutant: Mutant) -> dict[str, Any]:
    """The result of a mutant that is not run."""
    return _entry(mutant, Verdict(EQUIVALENT, message="settled before"), PROOF, "", (), 0)


def _entry(
    mutant: Mutant, verdict: Verdict, stage: str, test: str, tests: Sequence[str], seconds: float
) -> dict[str, Any]:
    """A mutant's entry in the journal."""
    return {
        **verdict.as_json(),
        "stage": stage,
        "test": test,
        "tests": list(tests),
        "seconds": round(seconds, 2),
        "file": mutant.file.name,
        "line": mutant.line,
        "kind": mutant.kind,
        "what": mutant.describe(mutant.file.read_bytes()),
    }


@dataclass
class _Group:
    """A module's mutants and the block that holds them."""

    file: Path
    numbered: dict[int, Mutant]
    block: Block
    deadline: float


@dataclass
class _Tests:
    """The tests of the bench, with what is known of each."""

    default: tuple[str, ...]
    others: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def ordered(self, names: Sequence[str], first: str = "") -> list[str]:
        """The tests, the one that kills fastest first; before it the one that killed this mutant the last time."""
        gain = {name: (self.kills[name] + 1) / max(self.seconds.get(name, 1.0), 0.1) for name in names}
        return sorted(names, key=lambda name: (name != first, -gain[name]))


class _Campaign:
    def __init__(self, plan: Plan, announce: Announce) -> None:
        self._plan = plan
        self._announce = announce
        block = plan.block
        everything = select_tests(block, test_filter=".")
        default = block.default_tests or everything
        self._tests = _Tests(default, tuple(name for name in everything if name not in default))
        plain = Job(block, SIMULATOR, plan.seed, default, plan.parameters, x_random=True)
        self._journal = Journal(journal_path(block), state_of(build_spec(plain), plan.seed))
        self._tests.kills.update(name for name in self._journal.killers() if name in everything)
        self._done = self._of = 0
        self._states: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._told = 0.0

    def run(self) -> Results:
        plan, started = self._plan, time.monotonic()
        resolved = plan.block.resolve_parameters(plan.parameters)
        design = model.elaborated(plan.block, resolved)
        mutants = _found(plan, design)
        self._prover = Prover.of(
            design, plan.block.source_files(), plan.block.include_paths(), plan.block.resolve_defines({})
        )
        if plan.keys:
            mutants = chosen(mutants, plan.keys)
            missing = [key for key in plan.keys if not any(m.key.startswith(key) for m in mutants)]
            if missing:
                raise AssayError(
                    f"no mutant of {plan.block.name} has the key {missing[0]}: its line has changed, or PARAMS"
                )
        if not mutants:
            raise AssayError(f"{plan.block.name}: there is nothing to make faults in")
        todo = [m for m in mutants if m.key not in plan.settled and (plan.again or not self._known(m))]
        self._announce(
            f"{len(mutants):,} mutants in {len({m.file for m in mutants})} modules of {plan.block.name}; "
            f"{len(mutants) - len(todo):,} results are known"
        )
        try:
            for group in self._groups(todo, resolved, started):
                self._run_group(group)
        finally:
            entries = {
                m.key: entry for m in mutants if (entry := self._journal.result(m.key)) and self._known(m)
            }
            entries |= {m.key: _settled(m) for m in mutants if m.key in plan.settled}
        return Results(plan, mutants, entries, time.monotonic() - started)

    def _known(self, mutant: Mutant) -> bool:
        """Whether a mutant was run to the end; where the time was over, only its default run may be known."""
        entry = self._journal.result(mutant.key)
        if entry is None:
            return False
        ended = self._plan.default_only or entry["state"] in (KILLED, NOT_BUILT)
        return ended or entry.get("stage") != DEFAULT

    def _groups(
        self, todo: list[Mutant], resolved: Mapping[str, int | str], started: float
    ) -> Iterator[_Group]:
        """The modules, one after the other; a limit in time is shared out."""
        plan = self._plan
        files = list(by_file(dict(enumerate(todo))))
        draw = random.Random(plan.day)
        limit = plan.minutes * 60
        if limit:
            draw.shuffle(files)
        for index, file in enumerate(files):
            left = started + limit - time.monotonic()
            if limit and left <= 0:
                return
            # Half of what is left, so that a large module does not take all of it.
            share = left if index == len(files) - 1 else left / 2
            numbered = dict(enumerate((m for m in todo if m.file == file), 1))
            bad = model.illegal(plan.block, numbered, resolved)
            for number in sorted(bad):
                self._record(numbered.pop(number), Verdict(NOT_BUILT), DEFAULT, [], 0)
            if not numbered:
                continue
            if limit:
                order = list(numbered.items())
                draw.shuffle(order)
                numbered = dict(order)
            block = model.mutated(plan.block, numbered, file.stem)
            yield _Group(file, numbered, block, time.monotonic() + share if limit else float("inf"))

    def _run_group(self, group: _Group) -> None:
        plan, tests = self._plan, self._tests
        self._announce(f"{group.file.stem}: {len(group.numbered)} mutants")
        self._states = Counter()
        stages: list[tuple[str, tuple[str, ...]]] = [(DEFAULT, tests.default)]
        if not plan.default_only:
            stages += [(PROOF, ()), (FULL, tests.others)]
        alive = list(group.numbered)
        for stage, names in stages:
            if not alive or (stage == FULL and not names):
                continue
            if stage == PROOF:
                alive = self._prove(group, alive)
                continue
            waiting = [n for n in alive if stage != DEFAULT or not self._survived_before(group.numbered[n])]
            if waiting:
                self._check_design(group, names)
                survivors = self._run_stage(group, stage, names, waiting)
                alive = sorted({*alive}.difference(waiting).union(survivors))
        self._tell(group, "done", force=True)

    def _survived_before(self, mutant: Mutant) -> bool:
        """Whether the mutant's default run is known, from a campaign that did not come to its end."""
        return not self._plan.again and self._journal.result(mutant.key) is not None

    def _check_design(self, group: _Group, names: Sequence[str]) -> None:
        """The model with no mutant selected passes every test; how long each takes."""
        simulator = ForkingSimulator()
        try:
            for name in names:
                outcome = self._run_test(simulator, group, 0, name, None)
                if not outcome.passed:
                    raise RunFailed(
                        f"{group.file.stem}: the design without a fault does not pass, so no mutant is run\n"
                        + "\n".join(report(outcome))
                    )
                self._tests.seconds[name] = outcome.seconds
        finally:
            simulator.close()

    def _run_stage(self, group: _Group, stage: str, names: Sequence[str], alive: Sequence[int]) -> list[int]:
        """Run mutants on the tests until one kills. Returns those that live."""
        self._done, self._of = 0, len(alive)
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in alive:
            waiting.put(number)
        survivors: list[int] = []
        problems: list[BaseException] = []
        stoppers = [Stopper() for _ in range(max(1, min(self._plan.jobs, len(alive))))]

        def work(stopper: Stopper) -> None:
            simulator = ForkingSimulator()
            try:
                with stopper.governs_this_thread():
                    while time.monotonic() < group.deadline and not stopper.stopped and not problems:
                        try:
                            number = waiting.get_nowait()
                        except queue.Empty:
                            return
                        if self._try(simulator, group, number, stage, names):
                            survivors.append(number)
            except Stopped:
                pass
            except BaseException as error:
                problems.append(error)
            finally:
                simulator.close()

        threads = [threading.Thread(target=work, args=(stopper,)) for stopper in stoppers]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            for stopper in stoppers:
                stopper.stop()
            for thread in threads:
                thread.join()
            raise
        if problems:
            raise problems[0]
        return sorted(survivors)

    def _try(
        self, simulator: ForkingSimulator, group: _Group, number: int, stage: str, names: Sequence[str]
    ) -> bool:
        """Run a mutant and record what became of it. Returns whether it lives."""
        mutant = group.numbered[number]
        started = time.monotonic()
        worst = Verdict(SURVIVED)
        ran: list[str] = []
        for name in self._tests.ordered(names, self._journal.killer(mutant.key)):
            ran.append(name)
            try:
                limit = max(LEAST_S, SLOWEST * self._tests.seconds[name])
                verdict = judge(self._run_test(simulator, group, number, name, limit))
            except RunFailed as error:
                verdict = Verdict(CRASHED, message=str(error))
            if verdict.state == KILLED:
                worst = verdict
                with self._lock:
                    self._tests.kills[name] += 1
                break
            if verdict.state != SURVIVED:
                worst = verdict
        self._record(mutant, worst, stage, ran, time.monotonic() - started)
        self._tell(group, stage)
        return worst.state != KILLED

    def _run_test(
        self, simulator: ForkingSimulator, group: _Group, number: int, test: str, limit_s: float | None
    ) -> Any:
        plan = self._plan
        block = group.block if limit_s is None else replace(group.block, timeout_s=int(limit_s))
        job = Job(
            block,
            SIMULATOR,
            plan.seed,
            (test,),
            plan.parameters,
            x_random=True,  # else a register that reset forgets begins with the zero that it should have
            environment={VARIABLE: str(number)},
            name_suffix=f"mutant{threading.get_ident()}",
        )
        return run_unseen(job, self._quiet, simulator.run)

    def _quiet(self, line: str) -> None:
        """Of a run's own lines, those that say that something is built."""
        if line.startswith(("building", "built")):
            self._announce(line)

    def _prove(self, group: _Group, alive: Sequence[int]) -> list[int]:
        """Take out the mutants that no input can tell from the design. Returns the others."""
        if why := self._prover.missing():
            self._announce(f"no proofs: {why}")
            return list(alive)
        self._announce(f"{group.file.stem}: looking for proofs that {len(alive)} survivors are equivalent")

        def attempt(number: int) -> bool:
            started = time.monotonic()
            if started >= group.deadline or not self._prover.proved(group.numbered[number]):
                return False
            self._record(group.numbered[number], Verdict(EQUIVALENT), PROOF, [], time.monotonic() - started)
            return True

        with ThreadPoolExecutor(self._plan.jobs) as pool:
            proved = list(pool.map(attempt, alive))
        return [number for number, equivalent in zip(alive, proved, strict=True) if not equivalent]

    def _record(
        self, mutant: Mutant, verdict: Verdict, stage: str, ran: Sequence[str], seconds: float
    ) -> None:
        before = self._journal.result(mutant.key) or {}
        tests = [*(before.get("tests", []) if stage == FULL else []), *ran]
        test = ran[-1] if verdict.state == KILLED else ""
        self._journal.add(mutant.key, _entry(mutant, verdict, stage, test, tests, seconds))
        with self._lock:
            self._done += 1
            self._states[verdict.state] += 1
            if stage != DEFAULT:
                self._states[str(before.get("state", SURVIVED))] -= 1

    def _tell(self, group: _Group, stage: str, force: bool = False) -> None:
        with self._lock:
            if not force and time.monotonic() - self._told < PROGRESS_S:
                return
            self._told = time.monotonic()
            states = ", ".join(f"{count} {state}" for state, count in self._states.items() if count)
            at = stage if force else f"{stage} {self._done} of {self._of}"
            self._announce(f"{group.file.stem}: {at}: {states or 'none'}")
