# SPDX-License-Identifier: Apache-2.0
"""The command ``differential``: the same tests with the same seed in builds that must not differ, word by word.

A simulator that optimises wrongly, and RTL or a bench whose result depends on the order of evaluation, pass the
scoreboards of one build and fail those of another, or fail nowhere and differ in a clock. So the default tests of a
block run in each of `BUILDS`, and every word that crosses a port, the time at which it does, the clocks of the work
and the end of each test must be the same in all of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assay.sim import outputs, shown
from assay.sim.blocks import find_block, is_own
from assay.sim.job import Job
from assay.sim.run import Outcome, report, run_job
from assay.sim.testcases import select_tests
from assay.sim.words import Difference, Word, differences
from assay.tb.block import Block
from assay.tb.errors import AssayError
from assay.tb.json_file import write_json

Announce = Callable[[str], None]

HELP = "run a block's tests in builds with other flags and on Icarus; all must agree in every word and clock"

SEED = "1"

SHOWN = 3
"""Streams that differ, of which a comparison tells."""


@dataclass(frozen=True)
class Build:
    """One way to build a block.

    Attributes:
        name: in a few words.
        simulator: its name.
        compile_args: as `Job.compile_args`.
    """

    name: str
    simulator: str
    compile_args: tuple[str, ...] = ()


BUILDS = (
    Build("usual flags", "verilator"),
    Build("-O0", "verilator", ("-O0",)),
    Build("-fno-dfg", "verilator", ("-fno-dfg",)),
    Build("Icarus", "icarus"),
)
"""The first is the one that the others are compared with."""


@dataclass(frozen=True)
class Verdict:
    """What came of a block.

    Attributes:
        block: its name.
        words, streams, clocks: of the first build.
        seconds: of each build's run, by its name; compiling is not counted.
        problems: why it failed, each with its replay commands; empty: all builds agree.
    """

    block: str
    words: int
    streams: int
    clocks: int
    seconds: Mapping[str, float]
    problems: Sequence[str]


def differential(
    arguments: argparse.Namespace,
    blocks: Mapping[str, Block],
    parameters: Callable[[Block], Mapping[str, int | str]],
    seed: int,
    announce: Announce,
) -> int:
    """Run the command; the exit status is 1 where builds differ or a run has failed.

    Args:
        arguments: the command line's.
        blocks: what there is.
        parameters: those that the user gave for a block, checked.
        seed: of all runs.

    Raises:
        AssayError: bad input, a missing simulator, HDL that does not compile.
    """
    named = [find_block(arguments.top, blocks)] if arguments.top else _chosen(blocks)
    verdicts = []
    for block in named:
        verdicts.append(compare(block, {**block.small, **parameters(block)}, seed, announce))
        path = outputs.outputs(block) / "reports" / "differential.json"
        outputs.made(path.parent)
        write_json(path, [vars(verdict) for verdict in verdicts])
    failed = [verdict.block for verdict in verdicts if verdict.problems]
    words = sum(verdict.words for verdict in verdicts)
    said = f"{len(verdicts) - len(failed)} of {len(verdicts)} blocks agree in {len(BUILDS)} builds"
    announce(f"{'FAIL' if failed else 'PASS'}  differential, seed {seed}: {said}, {words:,} words each")
    announce(f"      report           {shown(path)}")
    return 1 if failed else 0


def _chosen(blocks: Mapping[str, Block]) -> list[Block]:
    """A user's blocks; else all of Assay's own. Those without tests on Icarus have nothing to compare."""
    theirs = [block for block in blocks.values() if not is_own(block)] or list(blocks.values())
    if found := [block for block in theirs if tests_of(block)]:
        return found
    raise AssayError("no block has a default test that a variant of it runs on Icarus")


def tests_of(block: Block) -> tuple[str, ...]:
    """The default tests of a block that its variants run on Icarus; all where it has no variants. The others are too
    long for it."""
    tests = select_tests(block)
    variants = [variant for variant in block.variants if "icarus" in variant.simulators]
    return tuple(t for t in tests if not block.variants or any(variant.runs(t) for variant in variants))


def compare(block: Block, parameters: Mapping[str, int | str], seed: int, announce: Announce) -> Verdict:
    """Run a block's tests in all builds, and compare what crossed its ports.

    Raises:
        AssayError: a build is not possible.
    """
    tests = tests_of(block)
    if not tests:
        raise AssayError(f"{block.name}: none of its default tests runs on Icarus in any of its variants")
    left_out = sorted(set(select_tests(block)) - set(tests))
    also = f"; left out, as no variant runs it on Icarus: {', '.join(left_out)}" if left_out else ""
    announce(f"{block.name}: {', '.join(tests)}, seed {seed}, in {len(BUILDS)} builds{also}")
    outcomes = []
    for build in BUILDS:
        job = Job(
            block,
            build.simulator,
            seed,
            tests,
            parameters,
            compile_args=build.compile_args,
            words=True,
            name_suffix="differential",
        )
        outcome = run_job(job, lambda line: announce(line) if line.startswith("built") else None)
        outcomes.append(outcome)
        announce(
            f"  {build.name:<12} {'passed' if outcome.passed else 'FAILED'} in {outcome.seconds:.1f} s: "
            f"{_count(outcome):,} words in {len(_streams(outcome))} streams, {_clocks(outcome):,} clocks"
        )
    problems = [line for each in zip(BUILDS, outcomes, strict=True) for line in _failures(*each)]
    for build, outcome in zip(BUILDS[1:], outcomes[1:], strict=True):
        problems += _compared(outcomes[0], build, outcome)
    for problem in problems:
        first, *rest = problem.splitlines()
        announce(f"FAIL  {block.name}: {first}")
        for line in rest:
            announce(f"      {line}")
    first_outcome = outcomes[0]
    return Verdict(
        block.name,
        _count(first_outcome),
        len(_streams(first_outcome)),
        _clocks(first_outcome),
        {build.name: round(each.seconds, 1) for build, each in zip(BUILDS, outcomes, strict=True)},
        problems,
    )


def _streams(outcome: Outcome) -> Mapping[str, Mapping[str, int]]:
    return outcome.summary.get("streams", {})


def _count(outcome: Outcome) -> int:
    return sum(stream["words"] for stream in _streams(outcome).values())


def _clocks(outcome: Outcome) -> int:
    return int(outcome.summary.get("clocks", 0))


def _failures(build: Build, outcome: Outcome) -> list[str]:
    """What is wrong with a run alone."""
    problems = []
    if not outcome.passed:
        problems.append(
            "\n".join([f"the run with {build.name} failed", *(x.strip() for x in report(outcome)[1:])])
        )
    if not _count(outcome):
        problems.append(
            f"the run with {build.name} recorded no word, so nothing was compared: the bench has neither burst "
            f"adapters nor ports that Assay's agents drive\nreplay           {outcome.job.replay}"
        )
    return problems


def _compared(first: Outcome, build: Build, other: Outcome) -> list[str]:
    """How a run differs from that of the first build."""
    replays = [f"{BUILDS[0].name + ':':<16} {first.job.replay}", f"{build.name + ':':<16} {other.job.replay}"]
    found = differences((first.folder, other.folder), (_streams(first), _streams(other)))
    problems = []
    if found:
        more = f"; {len(found) - SHOWN} more streams differ" if len(found) > SHOWN else ""
        told = [line for each in found[:SHOWN] for line in _told(each, build)]
        problems.append("\n".join([f"{BUILDS[0].name} and {build.name} differ{more}", *told, *replays]))
    for what, ours, theirs in (
        *((f"end of test {ours.name} in ns", ours.stop_ns, _end(other, ours.name)) for ours in first.results),
        ("clocks", _clocks(first), _clocks(other)),
        ("compared words", first.summary.get("words_compared", 0), other.summary.get("words_compared", 0)),
    ):
        if ours != theirs:  # the first of them: the others follow from it
            said = f"{what}: {ours:,} with {BUILDS[0].name}, {theirs:,} with {build.name}"
            return [*problems, "\n".join([said, *replays])]
    return problems


def _end(outcome: Outcome, test: str) -> float:
    return next((result.stop_ns for result in outcome.results if result.name == test), -1)


def _told(difference: Difference, build: Build) -> list[str]:
    def said(word: Word | None) -> str:
        return str(word) if word is not None else "no such word"

    return [
        f"stream {difference.stream}, word {difference.index}, the first that differs:",
        f"  {BUILDS[0].name + ':':<14} {said(difference.words[0])}",
        f"  {build.name + ':':<14} {said(difference.words[1])}",
    ]
