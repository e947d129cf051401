# SPDX-License-Identifier: Apache-2.0
"""The command ``nightly``: every campaign in turn, each with its share of the night, and one line for each at the end.

A step that fails, is stopped at the end of its time, or cannot run at all does not stop the rest. Each step's output is
in ``reports/nightly/<day>/<step>.log``, and all results in ``nightly.json`` beside it.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from assay.sim import outputs, shown
from assay.sim.blocks import is_own
from assay.sim.job import choose_seed
from assay.sim.mutation.command import number, words
from assay.sim.options import VARIABLES
from assay.sim.process import TimedOut, run_logged
from assay.tb.block import Block
from assay.tb.errors import AssayError, unknown
from assay.tb.json_file import write_json

Announce = Callable[[str], None]

HELP = "run every campaign in turn, each with its share of the time: what a team runs every night"

MINUTES = "480"

INTERRUPTED = 130

SHOWN = 160
"""Characters of a step's last line that the report shows; all of it is in the log."""

GRACE = 1.2
"""A step that ends by itself may take so much of its time, and `GRACE_SECONDS` more, before it is stopped."""

GRACE_SECONDS = 120.0


@dataclass(frozen=True)
class Night:
    """What the steps of a night share.

    Attributes:
        seed: of whatever is random.
        day: chooses the samples of mutants.
    """

    seed: int
    day: str


@dataclass(frozen=True)
class Step:
    """One campaign.

    Attributes:
        name: of its log.
        share: of the time, in minutes of a night of `MINUTES`.
        command: words of its command line, from the night and its minutes.
        report: what it leaves, below the folder of reports; empty: its log alone.
        ours: it is about Assay itself: a user's repository does without.
    """

    name: str
    share: float
    command: Callable[[Night, float], Sequence[str]]
    report: str = ""
    ours: bool = False


def _assay(*typed: str) -> list[str]:
    return [sys.executable, "-m", "assay.sim", *typed]


STEPS = (
    Step(
        "regress",
        200,
        lambda night, minutes: _assay(
            "regress",
            "--seeds",
            "200",
            "--seed",
            str(night.seed),
            "--time",
            f"{max(1, round(60 * minutes))}s",
        ),
        "regress",
    ),
    Step(
        "mutate",
        80,
        lambda night, minutes: _assay("mutate", "--minutes", f"{minutes:g}", "--day", night.day),
        "mutation",
    ),
    Step(
        "mutate-golden",
        60,
        lambda night, minutes: _assay("mutate-golden", "--minutes", f"{minutes:g}", "--day", night.day),
        "mutation",
        ours=True,
    ),
    Step("prove", 40, lambda night, minutes: _assay("prove"), ours=True),
    Step(
        "differential",
        40,
        lambda night, minutes: _assay("differential", "--seed", str(night.seed)),
        "differential.json",
    ),
    Step(
        "fuzz",
        60,
        lambda night, minutes: _assay("fuzz", "--minutes", f"{minutes:g}", "--seed", str(night.seed)),
        "fuzz",
        ours=True,
    ),
)
"""In the order in which they run."""


@dataclass(frozen=True)
class Result:
    """What came of a step.

    Attributes:
        verdict: "passed", "FAILED", "could not run", "ended by SIGNAL", "stopped", "interrupted" or "not run".
        said: the last line of its output.
        report: where what it found is.
    """

    step: str
    verdict: str
    seconds: float = 0
    said: str = ""
    report: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options; what has a variable of make's is in `sim.options`."""
    parser.add_argument(
        "--steps", default="", metavar="NAMES", help="steps to run, with commas (default: all)"
    )
    parser.add_argument("--list", action="store_true", help="print the steps with their commands, and end")


def nightly(
    arguments: argparse.Namespace, blocks: Mapping[str, Block], seed: str | None, announce: Announce
) -> int:
    """Run the command; the exit status is 1 where a step did not pass, 130 where the night was interrupted.

    Args:
        arguments: the command line's.
        blocks: what there is: a user's repository has fewer steps.
        seed: the user's; None: the day's.

    Raises:
        AssayError: bad input.
    """
    minutes = number("MINUTES", arguments.minutes, float, 0.001, 1 << 20)
    today = datetime.date.today()
    day = arguments.day or today.isoformat()
    night = Night(choose_seed(seed or today.strftime("%Y%m%d")), day)
    theirs = [block for block in blocks.values() if not is_own(block)]
    steps = chosen(words(arguments.steps), bool(theirs))
    total = sum(step.share for step in steps)
    shares = {step.name: minutes * step.share / total for step in steps}
    if arguments.list:
        for step in steps:
            typed = ["assay", *step.command(night, shares[step.name])[3:]]
            print(f"{step.name:<14} {shares[step.name]:6.1f} min  {' '.join(typed)}")
        return 0
    reports = outputs.outputs(theirs[0] if theirs else None) / "reports"
    folder = _fresh(reports / "nightly", day)
    announce(f"nightly, seed {night.seed}: {', '.join(shares)}; {minutes:g} minutes; logs in {shown(folder)}")
    results = []
    interrupted = False
    for step in steps:
        if interrupted:
            results.append(Result(step.name, "not run"))
            continue
        result = run_step(step, night, shares[step.name], folder, reports, announce)
        interrupted = result.verdict == "interrupted"
        results.append(result)
        write_json(
            folder / "nightly.json", {"seed": night.seed, "day": day, "steps": list(map(asdict, results))}
        )
    write_json(folder / "nightly.json", {"seed": night.seed, "day": day, "steps": list(map(asdict, results))})
    for result in results:
        told = f"; {result.said[:SHOWN]}" if result.said and not result.passed else ""
        where = f"  {result.report}" if result.report else ""
        announce(f"  {result.step:<14} {result.verdict:<14} {_duration(result.seconds):>8}{where}{told}")
    passed = sum(result.passed for result in results)
    announce(
        f"{'PASS' if passed == len(results) else 'FAIL'}  nightly, seed {night.seed}: {passed} of {len(results)} steps "
        f"passed"
    )
    return INTERRUPTED if interrupted else 0 if passed == len(results) else 1


def chosen(names: Sequence[str], theirs: bool) -> list[Step]:
    """The steps of these names, all where there are none.

    Args:
        theirs: the blocks are a user's, so that steps about Assay itself are left out.

    Raises:
        AssayError: there is no such step.
    """
    known = {step.name: step for step in STEPS if not (theirs and step.ours)}
    for name in names:
        if name not in known:
            raise unknown("step", name, known)
    return [step for step in known.values() if not names or step.name in names]


def run_step(
    step: Step, night: Night, minutes: float, folder: Path, reports: Path, announce: Announce
) -> Result:
    """Run a step to its end, or to that of its time; Ctrl-C ends it."""
    log = folder / f"{step.name}.log"
    announce(f"{step.name}: {minutes:.1f} minutes")
    began = time.monotonic()
    last = ""

    def sink(line: str) -> None:
        nonlocal last
        last = line.removeprefix("assay: ").strip() or last

    # The settings of the night are not those of each step.
    environment = {
        name: text
        for name, text in os.environ.items()
        if name == "BLOCKS" or (name not in VARIABLES and name != "ASSAY_OVERRIDES")
    }
    try:
        status = run_logged(
            list(step.command(night, minutes)),
            Path.cwd(),
            environment,
            log,
            sink,
            60 * minutes * GRACE + GRACE_SECONDS,
        )
        verdict = verdict_of(status)
    except TimedOut:
        verdict, last = "stopped", f"it did not end in its {minutes:.1f} minutes"
    except OSError as error:
        verdict, last = "could not run", str(error)
    except KeyboardInterrupt:
        verdict, last = "interrupted", ""
    left = reports / step.report
    where = left if step.report and left.exists() and verdict != "could not run" else log
    return Result(step.name, verdict, time.monotonic() - began, last, shown(where) if where.exists() else "")


def verdict_of(status: int) -> str:
    """What an exit status means: 1 is a failure that was found, 2 and above that the step has not begun."""
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return {0: "passed", 1: "FAILED", INTERRUPTED: "interrupted"}.get(status, "could not run")


def _fresh(root: Path, day: str) -> Path:
    """A folder for this night: a second one of a day gets a number."""
    if not day.replace("-", "").replace("_", "").isalnum():
        raise AssayError(f"DAY={day}: must be letters, digits and -")
    outputs.made(root.parent)
    count = 1
    while True:
        folder = root / (day if count == 1 else f"{day}_{count}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            count += 1


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min"
