# SPDX-License-Identifier: Apache-2.0
"""The end of a run: a few lines for people, ``summary.json`` for the runner.

``summary.json`` has the keys name, passed, simulator, seed, values_compared, words_compared, clocks,
ideal_clocks, coverage {group: percent}, notes {name: text}, replay, failures [{kind, message, headline, time_ns, ...}].
A failure's other keys are those of `tb.scoreboard.Mismatch` and of `FAILURE_FIELDS`, texts all; and ``found``: the
failure that a test of a planted fault has found in place of that fault.
Tests of one run share the file: each adds to what is there.
"""

from __future__ import annotations

import json
import logging
import os
import re
import traceback
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cocotb
import cocotb._test_manager
from cocotb.triggers import Event, Timer
from cocotb.utils import get_sim_time

from assay.tb.agents.burst import StreamError
from assay.tb.agents.direct import counts_code, write_code_coverage
from assay.tb.cases import RECORD, STEPS, recorded
from assay.tb.coverage import CoverGroup
from assay.tb.debug import ACTIVE, DebugLog
from assay.tb.json_file import write_json
from assay.tb.scoreboard import HEADLINE, Mismatch, Scoreboard, StreamScoreboard

COVERAGE = (
    "coverage"  #: folder of a run's outputs with a folder for each test: its cover groups as JSON, and `CODE`
)
CODE = "code.dat"  #: what of the design a test has executed, in a build with coverage (Verilator's format)
RUN_DIR = "ASSAY_RUN_DIR"  #: environment variable: folder of this run's outputs
#: Keys of a failure's entry that a person reads, each with its label.
FAILURE_FIELDS = {
    "more": "",
    "stream": "stream",
    "where": "at",
    "cause": "cause",
    "reads": "it read",
    "writer": "written by",
    "addresses": "addresses",
    "expected": "expected",
    "seen": "seen",
    "bits": "unlike",
    "hint": "golden",
    "waiting": "waiting",
    "earlier": "before it",
}
#: Kind of the failure of a test during which the simulation ended.
ENDED_EARLY = "simulation ended"
REPLAY = "ASSAY_REPLAY"  #: environment variable: the command that repeats this run


def headline(message: str) -> tuple[str, str]:
    """A message's beginning, for a line of at most `HEADLINE` characters, and its rest."""
    first, _, rest = message.strip().partition("\n")
    if len(first) <= HEADLINE:
        return first, rest
    for mark in ("; ", ": ", ", ", " "):
        at = first.rfind(mark, HEADLINE // 3, HEADLINE - 1)
        if at > 0:
            break
    else:
        at, mark = HEADLINE, ""
    more = first[at + len(mark) :]
    return first[:at] + mark.strip(), f"{more}\n{rest}" if rest else more


def told(failure: Mapping[str, object]) -> list[tuple[str, str]]:
    """A failure of ``summary.json`` as lines for people, a label and a text each: first the headline, then what it does
    not say, nothing twice."""
    message = str(failure.get("message") or "no message")
    first, more = headline(message)
    said = str(failure.get("headline") or first)
    lines = [("", said)]
    fields = {**failure, "more": more} if said == first else failure
    for key, label in FAILURE_FIELDS.items():
        text = str(fields.get(key) or "")
        if text and text not in said:
            lines.append((label, text))
            said += f"\n{text}"
    time_ns = failure.get("time_ns", -1)
    if isinstance(time_ns, (int, float)) and time_ns >= 0 and f"{time_ns:,.0f} ns" not in said:
        lines.append(("time", f"{time_ns:,.0f} ns"))
    return lines


class Failed(AssertionError):
    """The end of a test that did not pass, after its report was printed; cocotb's log names it without a traceback."""


def _without_traceback(record: logging.LogRecord) -> bool:
    """A filter of cocotb's log: where the bench has said what is wrong, the way there through Python is noise."""
    if record.exc_info and isinstance(record.exc_info[1], (Failed, StreamError)):
        record.exc_info = None
    return True


class Report:
    """Collects what one run did.

    Use it as a context manager around the test's body: then a run ended by an exception is written as failed,
    with that exception among its failures. After it, `check` ends the test.

    Args:
        name: of the run, usually TOPLEVEL and test.
        simulator: name and version.
        seed: the run's seed.
        out: receives the lines for people.

    Attributes:
        clocks, ideal_clocks: of the work done; the bench adds to them.
        notes: name to text, further results a person wants to see.
        at: the place that a user wants to see: stream, index, lane, time_ns; empty: it was not found.
        debug: what the test leaves for who explains its failure, where the run writes waves.
        failures: dictionaries with at least kind, message and time_ns; `fail` adds to them.
        failed: set by the first failure.
        steps: of the case that is played (`tb.cases`), where one is recorded; else None.
    """

    def __init__(
        self, name: str, simulator: str = "", seed: int = 0, out: Callable[[str], None] = print
    ) -> None:
        self.name = name
        self.simulator = simulator
        self.seed = seed
        self.values_compared = 0
        self.words_compared = 0
        self.clocks = 0
        self.ideal_clocks = 0
        self.coverage: dict[str, float] = {}
        self.failures: list[dict[str, object]] = []
        self.notes: dict[str, str] = {}
        self.failed = Event()
        self.at: dict[str, object] = {}
        self.debug = DebugLog()
        self.steps: list[Any] | None = [] if os.environ.get(RECORD) else None
        self._out = out
        self._finished = False

    @property
    def passed(self) -> bool:
        """Nothing failed and something was compared."""
        return not self.failures and self.words_compared > 0

    def fail(self, failure: Mismatch | StreamError | str, **details: object) -> None:
        """Record a failure: a scoreboard's, an agent's (fit for its ``on_error``), or a sentence.

        Args:
            details: more keys of the failure's entry in summary.json, ``kind`` and ``time_ns`` among them.

        Raises:
            StreamError: the one given, once it is recorded: after an agent's error its test would wait for ever, so
                the error ends it.
        """
        self.record(failure, **details)
        if isinstance(failure, StreamError):
            raise failure

    def record(self, failure: Mismatch | StreamError | str, **details: object) -> None:
        """As `fail`, without raising: for a bench that ends the test itself."""
        self.failed.set()
        if isinstance(failure, Mismatch):
            entry = failure.as_failure()
        elif isinstance(failure, StreamError):
            entry = {
                "kind": type(failure).__name__,
                "message": str(failure),
                "time_ns": failure.time_ns,
                "stream": failure.port,
                "index": failure.beat,
                "cycle": failure.cycle,
                "earlier": failure.earlier,
            }
        else:
            entry = {"kind": "error", "message": failure, "time_ns": -1}
        entry = {**entry, **details}
        self.failures.append(
            {**entry, "headline": entry.get("headline") or headline(str(entry["message"]))[0]}
        )

    def look_for(self, board: StreamScoreboard, beat: int, lane: int) -> None:
        """Note when a beat comes in whose lane a user wants to see a place (`tb.debug.AT`); the first found counts."""
        if self.at or board.watched >= 0:
            return
        board.watched = beat

        def came(time_ns: float) -> None:
            if not self.at:
                self.at = {"stream": board.name, "index": beat, "lane": lane, "time_ns": time_ns}

        board.on_watched = came

    def add_scoreboard(self, scoreboard: Scoreboard) -> None:
        """Finish a scoreboard; take over its counts and, if it has told nobody (``on_mismatch``), its findings."""
        found = scoreboard.finish()
        if scoreboard.on_mismatch is None:
            for mismatch in found:
                self.fail(mismatch)
        self.add_counts(scoreboard)

    def add_counts(self, scoreboard: Scoreboard) -> None:
        """Take over a scoreboard's counts alone, as at the end of a run that another failure has stopped."""
        self.words_compared += scoreboard.beats_compared
        self.values_compared += scoreboard.values_compared

    def add_coverage(self, group: CoverGroup) -> None:
        """Save a group and take over its percentage, with what earlier tests of the same run have saved."""
        if (folder := self._coverage_folder()) is not None:
            group.save(folder / f"{group.name}.json")
            for path in folder.parent.glob(f"*/{group.name}.json"):
                if path.parent != folder:
                    group.merge_file(path)
        self.coverage[group.name] = round(group.percent(), 2)

    def _steps_file(self) -> str:
        """Where a failed test that records in any run leaves its steps; empty: nowhere."""
        folder = os.environ.get(RUN_DIR, "")
        return f"{folder}/{STEPS}" if folder and self.failures else ""

    def _coverage_folder(self) -> Path | None:
        """The folder of this test's coverage, which is there from now on; None where ASSAY_RUN_DIR is not set."""
        if not os.environ.get(RUN_DIR):
            return None
        name = re.sub(r"[^\w.+-]+", "_", _running_test() or self.name.split()[-1])
        folder = Path(os.environ[RUN_DIR]) / COVERAGE / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def keep_step(self, make: Callable[[], object]) -> None:
        """Record a step of the case that is played, as it is now.

        Args:
            make: makes it; not called where no case is recorded.
        """
        if self.steps is not None:
            self.steps.append(recorded(make()))

    def __enter__(self) -> Report:
        # cocotb's regression logs how a test failed; a filter that is there already is not added again.
        logging.getLogger("cocotb.regression").addFilter(_without_traceback)
        if ACTIVE and (window := os.environ.get("ASSAY_WAVES_WINDOW")):
            cocotb.start_soon(self._leave_in_time(int(window.split()[1])))
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            name = type(error).__name__
            known = [failure["message"] for failure in self.failures]
            # When an agent's task fails, cocotb cancels the test: no failure of its own if one is known.
            cancelled = name == "CancelledError"
            if cancelled and not known:
                text, cause = _why_cancelled()
                self.fail(text, kind=cause)
            elif not cancelled and str(error) not in known:
                self.fail(str(error) or name, kind=name)
        self.finish()

    def finish(self) -> bool:
        """End the run: write summary.json where ASSAY_RUN_DIR is set, and the lines for people.

        A run without any comparison fails. Safe to call again: only the first call counts.

        Returns:
            whether the run passed.
        """
        if not self._finished:
            self._finished = True
            if not self.failures and not self.words_compared:
                self.fail("nothing was compared, so nothing was verified", kind="nothing compared")
            if counts_code() and (folder := self._coverage_folder()) is not None:
                write_code_coverage(folder / CODE)
            if self.steps and (steps := os.environ.get(RECORD) or self._steps_file()):
                write_json(Path(steps), self.steps)
            if os.environ.get(RUN_DIR):
                path = Path(os.environ[RUN_DIR]) / "summary.json"
                before = json.loads(path.read_text()) if path.is_file() else None
                write_json(path, merge_summaries(before, self.as_json()))
                # Of several tests the first that fails is explained.
                if ACTIVE and (before is None or before["passed"]):
                    self._leave()
            self._out(self.text())
        return self.passed

    def _leave(self) -> None:
        """Leave what explains a failure. The run is made for that alone: where it fails, the verdict stands."""
        try:
            self.debug.write(Path(os.environ[RUN_DIR]), _running_test() or self.name)
        except Exception:
            cocotb.log.exception("what explains a failure cannot be left")

    async def _leave_in_time(self, end_ns: int) -> None:
        """As `_leave`, just before the HDL ends a run that is made for its waves; the test learns nothing of that."""
        remaining = (end_ns - 1) * 1000 - round(get_sim_time("ps"))
        if remaining > 0:
            await Timer(remaining, "ps")
            path = Path(os.environ[RUN_DIR]) / "summary.json"
            if not path.is_file() or json.loads(path.read_text(encoding="utf-8"))["passed"]:
                self._leave()

    def check(self) -> None:
        """Fail the test unless the run passed.

        Raises:
            Failed: the first failure's message.
        """
        if not self.finish():
            raise Failed(self.failures[0]["message"])

    def as_json(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {
            "name": self.name,
            "passed": self.passed,
            "simulator": self.simulator,
            "seed": self.seed,
            "values_compared": self.values_compared,
            "words_compared": self.words_compared,
            "clocks": self.clocks,
            "ideal_clocks": self.ideal_clocks,
            "coverage": self.coverage,
            "notes": self.notes,
            "replay": os.environ.get(REPLAY, ""),
            "failures": self.failures,
            **({"at": self.at} if self.at else {}),
        }

    def text(self) -> str:
        """The lines for people."""
        lines = [f"{'PASS' if self.passed else 'FAIL'} {self.name} ({self.simulator}, seed {self.seed})"]
        lines.append(f"  compared   {self.values_compared:,} values in {self.words_compared:,} words")
        if self.clocks:
            ideal = f", ideal {self.ideal_clocks:,}" if self.ideal_clocks else ""
            ratio = f" ({self.clocks / self.ideal_clocks:.4f} of ideal)" if self.ideal_clocks else ""
            lines.append(f"  clocks     {self.clocks:,}{ideal}{ratio}")
        if self.coverage:
            parts = ", ".join(f"{name} {percent:.1f} %" for name, percent in self.coverage.items())
            lines.append(f"  coverage   {parts}")
        lines += [f"  {name}: {text}" for name, text in self.notes.items()]
        if self.failures:
            lines += self._first_failure(self.failures[0])
            if len(self.failures) > 1:
                lines.append(f"  and {len(self.failures) - 1} more failures in summary.json")
            if os.environ.get(REPLAY):
                lines.append(f"  replay     {os.environ[REPLAY]}")
        return "\n".join(lines)

    @staticmethod
    def _first_failure(failure: Mapping[str, object]) -> list[str]:
        """The first failure: its headline, then the rest, one line each."""
        (_, first), *rest = told(failure)
        lines = [f"  first failure: {first}"]
        for label, text in rest:
            lines += [f"    {label if not n else '':10} {line}" for n, line in enumerate(text.splitlines())]
        return lines


def _why_cancelled() -> tuple[str, str]:
    """Why cocotb has cancelled the running test: a sentence, and the kind of the failure."""
    # cocotb tells this to its own report alone, once the test has ended.
    causes = getattr(cocotb._test_manager._current_test, "_excs", [])
    for cause in causes:
        if isinstance(cause, CancelledError):
            return (
                "the simulation ended before the test did: the HDL called $finish or $fatal, or nothing was left to do",
                ENDED_EARLY,
            )
        frames = traceback.extract_tb(cause.__traceback__)
        place = (
            f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno}, in {frames[-1].name})"
            if frames
            else ""
        )
        said = f": {cause}" if str(cause) else ""
        return f"a task of the bench ended with {type(cause).__name__}{said}{place}", type(cause).__name__
    return "the test was cancelled", "CancelledError"


def _running_test() -> str:
    """The name of the running cocotb test; empty outside of a simulation."""
    test = cocotb._test_manager._current_test
    return "" if test is None else test._main_task.get_name().removeprefix("Test ")


def merge_summaries(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """The summary of a run of several tests: counts added up, failures in the order they came."""
    if before is None:
        return after
    merged = {**after, "name": f"{before['name']}, {after['name']}"}
    merged["passed"] = before["passed"] and after["passed"]
    for key in ("values_compared", "words_compared", "clocks", "ideal_clocks", "failures"):
        merged[key] = before[key] + after[key]
    if before.get("at"):
        merged["at"] = before["at"]
    for key in ("coverage", "notes"):
        merged[key] = {**before[key], **after[key]}
    return merged
