# SPDX-License-Identifier: Apache-2.0
"""All that is made of a regression's journal: buckets, their examination, summary, page, JUnit, lines for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.sim import shown
from assay.sim.job import Job
from assay.sim.regress.buckets import Bucket, buckets
from assay.sim.regress.examine import examine
from assay.sim.regress.junit import write_junit
from assay.sim.regress.known import FILE as KNOWN
from assay.sim.regress.known import read_known
from assay.sim.regress.page import write_page
from assay.sim.regress.record import Entry, Regression
from assay.sim.regress.summary import FOUND_SEEDS, write_summary
from assay.tb.errors import AssayError, sentence

__all__ = ["make_report"]

EXAMINED = 10
"""Buckets whose representatives are looked at, the largest ones."""

_TOLD = 10

Announce = Callable[[str], None]


def make_report(
    folder: Path, root: Path, job_of: Callable[[Entry, int], Job], minutes: float, announce: Announce
) -> dict[str, Any]:
    """Make everything, and say in a few lines what came out.

    Args:
        folder: of the regression.
        root: of the repository of the blocks: with its acknowledged failures, and the seeds that found something.
        job_of: gives the run of an entry with a seed.
        minutes: to shrink each bucket's representative; 0: nothing is shrunk. A negative number: nothing is run again.

    Returns:
        the summary.

    Raises:
        AssayError: the journal or the file of acknowledged failures is wrong.
        OSError: something cannot be written.
    """
    regression = Regression(folder)
    known = read_known(root)
    found = buckets(regression.results(), regression.header, known)
    if minutes >= 0:
        _examine(regression, found, folder, job_of, minutes, announce)
    summary = write_summary(folder, known, root, found)
    page = write_page(folder)
    junit = write_junit(folder)
    for line in told(summary, root):
        announce(line)
    announce(f"      {'page':<16} {shown(page)}")
    announce(f"      {'JUnit':<16} {shown(junit)}")
    return summary


def _examine(
    regression: Regression,
    found: list[Bucket],
    folder: Path,
    job_of: Callable[[Entry, int], Job],
    minutes: float,
    announce: Announce,
) -> None:
    """Look at the buckets that count. An interruption ends that, and nothing else."""
    for bucket in [each for each in found if not each.acknowledged][:EXAMINED]:
        best = bucket.best
        try:
            job = job_of(regression.header.entries[best.entry], best.seed)
            examine(bucket, job, folder, minutes, announce)
        except AssayError as error:
            announce(f"bucket {bucket.number} cannot be looked at: {sentence(error)}")
        except KeyboardInterrupt:
            announce("interrupted: the other buckets are reported as they are")
            return


def told(summary: Mapping[str, Any], root: Path) -> list[str]:
    """The few lines at the end of a regression."""
    totals = ", ".join(f"{count:,} {state}" for state, count in summary["totals"].items() if count)
    lines = [
        f"{summary['verdict'].upper()}  regression {summary['name']}: {summary['runs']:,} runs: {totals}"
    ]
    facts: list[tuple[str, str]] = []
    for bucket in summary["buckets"][:_TOLD]:
        count = f"{bucket['count']:,} failure{'s' if bucket['count'] != 1 else ''}"
        word = "acknowledged" if bucket["acknowledged"] else f"bucket {bucket['number']}"
        facts.append((word, f"{count}: {bucket['title']}"))
        if not bucket["acknowledged"]:
            facts.append(("", bucket["replay"]))
            examined = bucket["examined"]
            if examined and not examined["reproduced"]:
                facts.append(("", f"NOT REPRODUCIBLE: {examined['note']}"))
            elif examined and examined["replay"]:
                facts.append(("", f"{examined['replay']} (shrunk)"))
    if (more := len(summary["buckets"]) - _TOLD) > 0:
        facts.append(("", f"and {more} more buckets"))
    path = shown(root / KNOWN)
    facts += [("expired", f"{path}: {text}") for text in summary["known"]["expired"]]
    facts += [("stale", f"{path}: nothing shows {text}") for text in summary["known"]["stale"]]
    if count := summary["seeds_found"]:
        seeds = f"{count} new seed{'s' if count != 1 else ''} that found a failure"
        facts.append(
            ("kept", f"{seeds}, in {shown(root / FOUND_SEEDS)}; commit it, for @graded has them, too")
        )
    coverage, graded = summary["coverage"], summary["graded"]
    if coverage["all"]:
        facts.append(("coverage", f"{coverage['covered']:,} of {coverage['all']:,} bins"))
        kept = (
            f"; SEEDS=@graded keeps those of {graded['kept']}, which reach more" if graded.get("kept") else ""
        )
        facts.append(("graded", f"{graded['runs']:,} runs reach them in {graded['seconds']:,.1f} s{kept}"))
    return lines + [f"      {name:<16} {text}" for name, text in facts]
