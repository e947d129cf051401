# SPDX-License-Identifier: Apache-2.0
"""The command ``coverage``: run the full bench of blocks with coverage and report it, or report runs that are there."""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from assay.sim import outputs, shown
from assay.sim.blocks import find_block, is_own
from assay.sim.coverage.lcov import lcov
from assay.sim.coverage.merged import GOALS, Merged, source_folders
from assay.sim.coverage.page import page
from assay.sim.coverage.runs import TestCoverage, read_run
from assay.sim.coverage.ucis import write_ucis
from assay.sim.forking import ForkingSimulator
from assay.sim.job import LARGEST_SEED, Job
from assay.sim.run import Outcome, report, run_job
from assay.sim.testcases import list_tests
from assay.tb.block import Block, Variant
from assay.tb.errors import AssayError, MissingExtra, unknown

Announce = Callable[[str], None]

INSTALL = "pip install 'assay[coverage]'"

HELP = "run the full bench of a block with coverage, or take runs that are there, and report what they cover"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments; those of the block and the seed are common to several commands."""
    parser.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="folder of a run to report; none: run the full bench"
    )
    parser.add_argument(
        "--line",
        default="",
        metavar="FILE:LINE",
        help="also print which tests execute this line of the design",
    )
    parser.add_argument(
        "--output", default="", metavar="FOLDER", help="where the report goes (default: reports/coverage)"
    )


def coverage(
    arguments: argparse.Namespace, blocks: Mapping[str, Block], seed: int, announce: Announce
) -> int:
    """Run the command; the exit status is 1 where a run failed or a goal is missed.

    Args:
        arguments: the command line's.
        blocks: what there is to simulate.
        seed: the first one of the runs that it makes.

    Raises:
        AssayError: a folder is of no run, or its coverage cannot be read.
    """
    if importlib.util.find_spec("ucis") is None:
        raise MissingExtra(f"a coverage report needs ucis; install it with: {INSTALL}")
    named = [find_block(arguments.top, blocks)] if arguments.top else _with_bench(blocks)
    if arguments.folders:
        tests = [test for folder in arguments.folders for test in read_run(Path(folder), blocks)]
        title, failed = "Coverage of given runs", 0
    else:
        tests, failed = _run_benches(named, _seeds(seed, arguments.seeds), blocks, announce)
        title = f"Coverage of {', '.join(block.name for block in named)}"
    if not tests:
        raise AssayError("nothing is covered: no run has passed")
    merged = Merged(tests, blocks.values())
    if not merged.shares:
        raise AssayError(
            "nothing is counted: the tests have neither RTL outside of their benches nor cover groups"
        )
    folder = (
        Path(arguments.output) if arguments.output else outputs.outputs(named[0]) / "reports" / "coverage"
    )
    asked = _executed(merged, arguments.line) if arguments.line else []
    _write(merged, title, folder)
    for line in (*summary(merged), *asked):
        announce(line)
    announce(
        f"report: {shown(folder / 'index.html')}, beside it coverage.info (LCOV) and coverage.xml (UCIS)"
    )
    if failed:
        announce(f"FAIL  {failed} runs failed; they are not in the report")
    # Runs that somebody chose need not be a full bench.
    missed = [] if arguments.folders or all(_serves(block, blocks) for block in named) else merged.below
    for metric in missed:
        announce(f"FAIL  {metric} coverage is below its goal of {GOALS[metric]:g} %")
    return 1 if failed or missed else 0


def _executed(merged: Merged, place: str) -> list[str]:
    """Which tests execute a line of the design."""
    name, _, number = place.rpartition(":")
    if name not in merged.files:
        raise unknown("file of the design", name, merged.files)
    file = merged.files[name]
    if not number.isdecimal() or not 1 <= int(number) <= len(file.text):
        raise AssayError(f"--line {place}: {name} has the lines 1 to {len(file.text)}")
    points = file.lines.get(int(number), [])
    if not points:
        return [f"{place}: no line that is executed or counts"]
    tests = merged.by(functools.reduce(operator.or_, (point.tests for point in points)))
    lines = [
        f"{place}: executed {file.executed(int(number)):,} times, by {len(tests)} of {len(merged.tests)} tests"
    ]
    return [*lines, *(f"      {merged.tests[test].label}" for test in tests)]


def _serves(block: Block, blocks: Mapping[str, Block]) -> bool:
    """Whether a block is a further bench of another one's sources: it has no cover groups, and the other one has."""
    own = source_folders(block)
    return block.coverage is None and any(
        other.coverage is not None and own & source_folders(other) for other in blocks.values()
    )


def _seeds(first: int, number: str) -> range:
    """So many seeds."""
    if not number.isdecimal() or not 1 <= int(number) <= LARGEST_SEED - first + 1:
        raise AssayError(f"SEEDS={number}: allowed are the integers 1 to {LARGEST_SEED - first + 1}")
    return range(first, first + int(number))


def summary(merged: Merged) -> list[str]:
    """The figures, and what nothing covers."""
    lines = [f"coverage of {len(merged.tests)} tests"]
    lines += [f"      {metric:<16} {share}" for metric, share in merged.shares.items()]
    for folder, shares in merged.folders.items():
        figures = ", ".join(f"{metric} {share.percent:.2f} %" for metric, share in shares.items())
        lines.append(f"      {folder:<16} {figures}")
    for group, items in sorted(merged.functional.groups.items()):
        for name, item in items.items():
            if item.missed and group not in merged.borrowed:
                more = f", and {len(item.missed) - 8} more" if len(item.missed) > 8 else ""
                lines.append(f"      missed           {group}.{name}: {', '.join(item.missed[:8])}{more}")
    for file in merged.files.values():
        for point in file.never if file.name not in merged.borrowed else ():
            lines.append(
                f"      never            {file.name}:{point.line}: {point.what}: {merged.text(point).strip()}"
            )
    for each in merged.exclusions:
        if each.stale == "is covered":
            lines.append(f"      exclusion        {each.file}: {each.line!r} {each.stale}: remove it")
    return lines


def _with_bench(blocks: Mapping[str, Block]) -> list[Block]:
    """All blocks of one repository, a user's first; of Assay those that have RTL of the project."""
    theirs = [block for block in blocks.values() if not is_own(block)]
    return theirs or [block for block in blocks.values() if block.parameters is not None]


def _run_benches(
    named: Iterable[Block], seeds: Iterable[int], blocks: Mapping[str, Block], announce: Announce
) -> tuple[list[TestCoverage], int]:
    """Run every test of every variant with every seed. Returns what those that passed cover, and how many failed."""
    jobs = [job for block in named for seed in seeds for job in full_bench(block, seed)]
    for job in jobs:
        job.block.check_extra(job.tests)
    tests: list[TestCoverage] = []
    failed = 0
    with contextlib.closing(ForkingSimulator()) as simulator:
        for job in jobs:
            outcome: Outcome = run_job(job, _quiet(announce), launch=simulator.run)
            verdict = "PASS" if outcome.passed else "FAIL"
            announce(f"{verdict}  {outcome.job.describe()}: {job.tests[0]}, {outcome.seconds:.1f} s")
            if outcome.passed:
                tests += read_run(outcome.folder, blocks)
            else:
                failed += 1
                for line in report(outcome)[1:]:
                    announce(line)
    return tests, failed


def full_bench(block: Block, seed: int) -> list[Job]:
    """The regression's runs of a block, all of them on Verilator: Icarus counts no coverage."""
    variants = block.variants or (Variant("default"),)
    return [
        Job(
            block,
            "verilator",
            seed,
            (name,),
            dict(variant.parameters),
            dict(variant.defines),
            x_random=variant.x_random,
            coverage=True,
        )
        for variant in variants
        for name, test in list_tests(block).items()
        if not test.skip and variant.runs(name)
    ]


def _quiet(announce: Announce) -> Announce:
    """Without the line at the start of each run; that at its end has its name."""
    return lambda line: None if line.startswith("running ") else announce(line)


def _write(merged: Merged, title: str, folder: Path) -> None:
    """Write the report's files, each as a whole or not at all."""
    text = page(merged, title)
    outputs.made(folder)
    files: dict[str, Callable[[Path], object]] = {
        "index.html": lambda path: path.write_text(text, encoding="utf-8"),
        "coverage.info": lambda path: path.write_text(lcov(merged), encoding="utf-8"),
        "coverage.xml": lambda path: write_ucis(merged, path),
    }
    for name, write in files.items():
        partial = folder / f".{name}.{os.getpid()}"
        try:
            write(partial)
            partial.replace(folder / name)
        finally:
            partial.unlink(missing_ok=True)
