# SPDX-License-Identifier: Apache-2.0
"""Running mutants of the golden model: each in a copy of the checkout, on the tests that reach its line.

Of these tests those go first that have killed most in the shortest time; the first that fails ends the run. Installed
packages are imported once in a process that is forked for each run (:mod:`sim.mutation.golden.warm`).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.sim.checkout import copied
from assay.sim.mutation.golden.baseline import Baseline, Code, ensure_baseline, environment_of_tests
from assay.sim.mutation.golden.faults import find_mutants
from assay.sim.mutation.journal import Journal
from assay.sim.mutation.judge import CRASHED, FULL, KILLED, NOT_BUILT, SURVIVED, TIMED_OUT, Verdict
from assay.sim.mutation.mutant import Mutant, chosen
from assay.sim.mutation.page import HEADS
from assay.tb.errors import AssayError, RunFailed, unknown

Announce = Callable[[str], None]

PROGRAM = Path(__file__).with_name("warm.py")

COMMAND = "mutate-golden"

SLOWEST = 5
"""Times the package's own time that a mutant may take in a test."""
LEAST_S = 10
"""Seconds that it may take in any case."""

FIRST_S, FIRST_FILES = 4, 5
"""Seconds and files of the tests that are tried before all others: most mutants need no more."""

HANGS = 3
"""Tests that may not end before the others are left out."""

SAMPLE = 12
"""Files that a day draws where the time is limited and none is named."""

PROGRESS_S = 15
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class Plan:
    """What a campaign does.

    Attributes:
        code: the package.
        reports: folder of the journal and the page.
        cache: the build cache.
        modules: files, or folders of files, relative to the package and without suffix; empty: all.
        keys: beginnings of the keys of the mutants to run; empty: all.
        minutes: after which no further mutant begins; 0: no limit. With a limit, `day` draws the mutants, and the files
            too if none is named.
        jobs: processes at a time.
        again: run also mutants whose result is known.
    """

    code: Code
    reports: Path
    cache: Path
    modules: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    minutes: float = 0
    day: str = ""
    jobs: int = 1
    again: bool = False

    @property
    def name(self) -> str:
        """Of the journal, the page and the file of reviews."""
        return self.code.package


@dataclass
class Results:
    """What a campaign found: see `page.Results`."""

    plan: Plan
    mutants: list[Mutant]
    entries: dict[str, dict[str, Any]]
    seconds: float
    heads: tuple[str, ...] = tuple(head for head in HEADS if head != "by default %")

    @property
    def title(self) -> str:
        """Of the page."""
        return f"Mutants of {self.plan.name}"

    @property
    def about(self) -> str:
        """How the mutants were drawn."""
        return f"Drawn by {self.plan.day}." if self.plan.minutes else ""

    def name(self, file: Path) -> str:
        """The file's path in the package, without suffix."""
        return name_of(self.plan.code, file)


def name_of(code: Code, file: Path) -> str:
    """How a user calls a file of a package."""
    return file.relative_to(code.root / code.package).with_suffix("").as_posix()


def files_of(plan: Plan) -> list[Path]:
    """The files that a plan makes faults in.

    Raises:
        AssayError: no such file.
    """
    files = {name_of(plan.code, file): file for file in plan.code.files()}
    if not plan.modules:
        return list(files.values())
    found: dict[Path, None] = {}
    for module in plan.modules:
        of_it = [file for name, file in files.items() if name == module or name.startswith(f"{module}/")]
        if not of_it:
            raise unknown(f"module of {plan.code.package}", module, files)
        found |= dict.fromkeys(of_it)
    return list(found)


def mutants_of(plan: Plan) -> list[Mutant]:
    """The mutants among which a plan's are.

    Raises:
        AssayError: no such file or mutant, or nothing to make faults in.
    """
    files = files_of(plan)
    if plan.minutes and not plan.modules and not plan.keys:
        files = random.Random(plan.day).sample(files, min(SAMPLE, len(files)))
    mutants = find_mutants(files, plan.code.root)
    if plan.keys:
        mutants = chosen(mutants, plan.keys)
        missing = [key for key in plan.keys if not any(m.key.startswith(key) for m in mutants)]
        if missing:
            raise AssayError(f"no mutant of these modules has the key {missing[0]}: its line has changed")
    if not mutants:
        raise AssayError(f"{', '.join(plan.modules) or plan.name}: there is nothing to make faults in")
    return mutants


def run(plan: Plan, announce: Announce) -> Results:
    """Run a campaign. What it finds is in the journal as soon as it is known; Ctrl-C loses what is under way.

    Raises:
        AssayError: as `mutants_of`; the package is in no git checkout.
        RunFailed: the package without a fault does not pass its tests.
    """
    mutants = mutants_of(plan)
    sources = {file: file.read_bytes() for file in {m.file for m in mutants}}  # its user may go on editing it
    journal = Journal(plan.reports / f"{plan.name}.jsonl", plan.code.state)
    todo = [m for m in mutants if plan.again or journal.result(m.key) is None]
    announce(
        f"{len(mutants):,} mutants in {len({m.file for m in mutants})} modules of {plan.name}; "
        f"{len(mutants) - len(todo):,} results are known"
    )
    started = time.monotonic()
    if todo:
        with contextlib.ExitStack() as stack:
            count = max(1, min(plan.jobs, len(todo)))
            copies = [stack.enter_context(copied(COMMAND, plan.code.root)) for _ in range(count)]
            changed = [file for file, source in sources.items() if file.read_bytes() != source]
            if changed:
                raise AssayError(f"{changed[0]} changed while its mutants were made: begin again")
            baseline = ensure_baseline(plan.code, copies, plan.cache, announce)
            _Campaign(plan, journal, baseline, sources, announce).run(todo, copies)
    entries = {m.key: entry for m in mutants if (entry := journal.result(m.key))}
    return Results(plan, mutants, entries, time.monotonic() - started)


class _Warm:
    """A process that is forked for each run, in a copy of the checkout."""

    def __init__(self, copy: Path, modules: Path) -> None:
        self.copy = copy
        self.log = copy.with_name("log")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM), str(modules)],
            cwd=copy,
            env=environment_of_tests(copy),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the campaign alone, which then stops it
        )

    def ask(self, tests: Sequence[str], seconds: dict[str, float]) -> dict[str, Any]:
        """Run tests until one fails; the answer of `warm`."""
        assert self._process.stdin is not None and self._process.stdout is not None  # for they are pipes
        limits = {name: max(LEAST_S, SLOWEST * seconds[name]) for name in tests}
        limit = 6 * LEAST_S + SLOWEST * sum(seconds[name] for name in tests)
        request = {"tests": tests, "seconds": limits, "limit": limit, "log": str(self.log)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = '"ready"'
        while answer.strip() == '"ready"':
            answer = self._process.stdout.readline()
        if not answer:
            raise RunFailed("the process that runs the tests has ended")
        return dict(json.loads(answer))

    def close(self) -> None:
        """End it, and what it runs."""
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Campaign:
    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        baseline: Baseline,
        sources: Mapping[Path, bytes],
        announce: Announce,
    ) -> None:
        self._plan = plan
        self._sources = sources
        self._journal = journal
        self._baseline = baseline
        self._announce = announce
        self._kills = Counter(_function(name) for name in journal.killers())
        self._states: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._told = time.monotonic()
        self._stopped = False

    def run(self, todo: Iterable[Mutant], copies: Sequence[Path]) -> None:
        """Run mutants until none is left or the time is over, in as many threads as there are copies."""
        order = list(todo)
        deadline = float("inf")
        if self._plan.minutes:
            random.Random(self._plan.day).shuffle(order)
            deadline = time.monotonic() + self._plan.minutes * 60
        waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        for mutant in order:
            waiting.put(mutant)
        problems: list[BaseException] = []

        def work(warm: _Warm) -> None:
            try:
                while time.monotonic() < deadline and not self._stopped and not problems:
                    try:
                        mutant = waiting.get_nowait()
                    except queue.Empty:
                        return
                    self._try(warm, mutant, len(order))
            except BaseException as error:
                if not self._stopped:
                    problems.append(error)

        processes = [_Warm(copy, self._baseline.modules) for copy in copies]
        threads = [threading.Thread(target=work, args=(warm,)) for warm in processes]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            self._stopped = True
            for warm in processes:
                warm.close()
            for thread in threads:
                thread.join()
        if problems:
            raise problems[0]

    def _try(self, warm: _Warm, mutant: Mutant, of: int) -> None:
        """Run a mutant and record what became of it."""
        started = time.monotonic()
        source = self._sources[mutant.file]
        faulty = mutant.applied(source)
        try:
            compile(faulty, str(mutant.file), "exec")
        except SyntaxError as error:
            verdict, test, ran = Verdict(NOT_BUILT, message=str(error)), "", 0
        else:
            place = warm.copy / mutant.file.relative_to(self._plan.code.root)
            times = place.stat()
            place.write_bytes(faulty)
            try:
                verdict, test, ran = self._run_tests(warm, mutant)
            finally:
                place.write_bytes(source)
                os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))  # those of its byte code
        self._journal.add(
            mutant.key,
            {
                **verdict.as_json(),
                "stage": FULL,
                "test": test,
                "ran": ran,
                "seconds": round(time.monotonic() - started, 2),
                "file": mutant.file.relative_to(self._plan.code.root).as_posix(),
                "line": mutant.line,
                "kind": mutant.kind,
                "what": mutant.describe(source),
            },
        )
        with self._lock:
            self._states[verdict.state] += 1
            self._kills[_function(test)] += verdict.state == KILLED
            if time.monotonic() - self._told > PROGRESS_S:
                self._told = time.monotonic()
                states = ", ".join(f"{count} {state}" for state, count in self._states.items())
                self._announce(f"{sum(self._states.values())} of {of}: {states}")

    def _run_tests(self, warm: _Warm, mutant: Mutant) -> tuple[Verdict, str, int]:
        """The verdict, the test that killed, and the number of tests that were run."""
        seconds = self._baseline.seconds
        reaching = self._baseline.reaching(mutant.file, self._sources[mutant.file], mutant.line)
        if not reaching:
            return Verdict(SURVIVED, message="no test reaches its line"), "", 0
        killer = self._journal.killer(mutant.key)
        left = sorted(
            reaching,
            key=lambda name: (
                name != killer,
                -(self._kills[_function(name)] + 1) / max(seconds[name], 0.01),
                name,
            ),
        )
        worst, ran, hangs = Verdict(SURVIVED), 0, 0
        first = True
        while left:
            batch = self._first(left) if first else left
            answer = warm.ask(batch, seconds)
            ran += answer["ran"]
            if answer["state"] == "failed":
                return Verdict(KILLED, answer["check"], answer["message"]), answer["test"], ran
            if answer["state"] == "passed":
                left = left[len(batch) :]
                first = False
                continue
            worst = Verdict(
                TIMED_OUT if answer["state"] == "timed out" else CRASHED,
                message=answer["message"] or answer["test"],
            )
            hangs += 1
            hung = _function(answer["test"])
            left = [name for name in left if _function(name) != hung]
            if hangs == HANGS or not hung:
                break
        return worst, "", ran

    def _first(self, tests: Sequence[str]) -> list[str]:
        """Those that are tried before all others."""
        files: set[str] = set()
        batch: list[str] = []
        total = 0.0
        for name in tests:
            files.add(name.partition("::")[0])
            total += self._baseline.seconds[name]
            if batch and (total > FIRST_S or len(files) > FIRST_FILES):
                break
            batch.append(name)
        return batch


def _function(test: str) -> str:
    """A test's name without its parameters."""
    return test.partition("[")[0]
