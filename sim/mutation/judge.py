# SPDX-License-Identifier: Apache-2.0
"""What became of a mutant: only a check that fails is a kill."""

from __future__ import annotations

import builtins
import re
from dataclasses import asdict, dataclass
from typing import Any

from assay.sim.run import Outcome

KILLED = "killed"
SURVIVED = "survived"
EQUIVALENT = "equivalent"
FELL_OVER = "bench fell over"
CRASHED = "simulator crashed"
TIMED_OUT = "timed out"
NOT_BUILT = "did not build"

STATES = {
    KILLED: "a check failed: a comparison, a rule of a protocol, an assertion, a watchdog",
    SURVIVED: "every test passed",
    EQUIVALENT: "no input tells it from the design: proved, or reviewed",
    FELL_OVER: "the bench's own code ended with an exception in place of a finding",
    CRASHED: "the simulator ended without results, as where logic does not settle",
    TIMED_OUT: "the run took much longer than that of the design, and no check said so",
    NOT_BUILT: "it does not elaborate",
}
"""What can become of a mutant. Only the first counts as a kill."""

ALIVE = (SURVIVED, FELL_OVER, CRASHED, TIMED_OUT)
"""States that ask for better tests, or for a review."""

DEFAULT, FULL, PROOF = "default run", "full bench", "proof"
"""What decided on a mutant."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant in a run.

    Attributes:
        state: one of `STATES`.
        check: what failed: the kind of the failure and where it was seen.
        message: the failure's sentence.
        clocks: of the bench until then; -1 where it does not count them.
        time_ns: simulation time until then; -1 if unknown.
    """

    state: str
    check: str = ""
    message: str = ""
    clocks: int = -1
    time_ns: float = -1

    def as_json(self) -> dict[str, Any]:
        """The attributes."""
        return asdict(self)


def judge(outcome: Outcome) -> Verdict:
    """The verdict of one run."""
    if outcome.passed:
        return Verdict(SURVIVED)
    problems = " ".join(outcome.problems)
    time_ns = -1.0 if outcome.failure_ns is None else outcome.failure_ns
    if "did not end within" in problems:
        return Verdict(TIMED_OUT, message=outcome.problems[0])
    if found := re.search(
        r"the HDL raised an error(?: at [\d,.]+ ns)?: (.*)", outcome.problems[0] if outcome.problems else ""
    ):
        if "converge" not in found[1]:
            return Verdict(KILLED, f"assertion: {_assertion(found[1])}", found[1], time_ns=time_ns)
        return Verdict(CRASHED, message=found[1])
    if failures := outcome.summary.get("failures", []):
        first = failures[0]
        kind, message = str(first.get("kind", "error")), str(first.get("message", ""))
        if _is_fall(kind):
            return Verdict(FELL_OVER, kind, message, time_ns=time_ns)
        seen_at = str(first.get("stream") or "")
        check = f"{kind}: {seen_at}" if seen_at else kind
        return Verdict(KILLED, check, message, int(first.get("cycle", -1)), time_ns)
    if not outcome.results:
        return Verdict(CRASHED, message=problems or "no results")
    failed = outcome.failed_tests
    message = (failed[0].message.strip().splitlines() or ["no message"])[0] if failed else problems
    kind = message.partition(":")[0].strip()
    if _is_fall(kind):
        return Verdict(FELL_OVER, kind, message, time_ns=time_ns)
    return Verdict(KILLED, "test failed" if failed else "verdict of the run", message, time_ns=time_ns)


def _is_fall(kind: str) -> bool:
    """Whether a failure's kind is the name of one of Python's errors that no check raises."""
    error = getattr(builtins, kind, None)
    fall = isinstance(error, type) and issubclass(error, Exception)
    return fall and error not in (AssertionError, TimeoutError)


def _assertion(text: str) -> str:
    """The name of the assertion in an HDL error, else its text."""
    found = re.search(r"\bASSERT (\w+) failed|\[ASSERT FAILED\][^\n]*?(\w+)\s*$|[Aa]ssertion\s+(\S+)", text)
    return next(filter(None, found.groups())) if found else text[:80]
