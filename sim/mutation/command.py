# SPDX-License-Identifier: Apache-2.0
"""The command ``mutate``: make faults in the RTL of blocks, run the bench on each, report which of them it finds."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence

from assay.sim import outputs, shown
from assay.sim.blocks import find_block, is_own
from assay.sim.commands import command
from assay.sim.mutation import campaign
from assay.sim.mutation.campaign import Plan, Results
from assay.sim.mutation.mutant import chosen
from assay.sim.mutation.report import list_mutants, summarise
from assay.sim.mutation.reviews import Review, read_reviews, review_file
from assay.sim.mutation.settled import read_settled, settle, settled_file
from assay.tb.block import Block
from assay.tb.errors import AssayError

Announce = Callable[[str], None]

HELP = "make faults in a block's RTL, one at a time, and report which of them its tests find"

INSTALL = "pip install 'assay[mutation]'"

SEED = "1"
"""Where the user gives none: a known result then counts for the next run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's switches; what has a variable of make's is in `sim.options`."""
    parser.add_argument(
        "--default-only", action="store_true", help="leave out proofs and all but the default run"
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="modules of which every mutant is killed or reviewed: none may live",
    )
    parser.add_argument(
        "--settle",
        action="store_true",
        help="write down which mutants of the complete modules are equivalent: --complete does not run them again",
    )
    parser.add_argument("--again", action="store_true", help="run also mutants whose result is known")
    parser.add_argument("--list", action="store_true", help="print the mutants and end")
    parser.add_argument(
        "--patch", action="store_true", help="print the mutants as patches for `git apply` and end"
    )


def mutate(
    arguments: argparse.Namespace,
    blocks: Mapping[str, Block],
    parameters: Callable[[Block], Mapping[str, int | str]],
    seed: int,
    announce: Announce,
) -> int:
    """Run the command; the exit status is 1 where a mutant lives that nobody has reviewed.

    Args:
        arguments: the command line's.
        blocks: what there is to mutate.
        parameters: those that the user gave for a block, checked.
        seed: of the bench.

    Raises:
        AssayError: bad input.
        RunFailed: the design without a fault does not pass.
    """
    named = _named(arguments, blocks)
    minutes = number("MINUTES", arguments.minutes, float, 0, 1 << 20)
    jobs = number("JOBS", arguments.jobs, int, 1, 1 << 10)
    plans = [
        Plan(
            block,
            {**block.small, **parameters(block)},
            seed,
            _complete(block) if arguments.complete or arguments.settle else words(arguments.modules),
            words(arguments.mutants),
            minutes / len(named),
            arguments.day or campaign.today(),
            int(jobs),
            arguments.default_only,
            arguments.again or bool(arguments.mutants),
            read_settled(settled_file(review_file(block)), block, {**block.small, **parameters(block)})
            if arguments.complete
            else frozenset(),
        )
        for block in named
    ]
    if arguments.list or arguments.patch:
        return _show(plans, arguments.patch)
    living = 0
    for plan in plans:
        results = campaign.run(plan, announce)
        reviews = read_reviews(review_file(plan.block)).of
        living += _report(results, reviews, announce)
        if arguments.settle and not living:
            path = settled_file(review_file(plan.block))
            settle(path, results, plan.modules, reviews)
            announce(f"settled: {shown(path)}")
    return 1 if living else 0


def _complete(block: Block) -> tuple[str, ...]:
    return read_reviews(review_file(block)).complete


def _named(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> list[Block]:
    named = [find_block(arguments.top, blocks)] if arguments.top else _with_rtl(blocks)
    if arguments.complete or arguments.settle:
        if arguments.modules:
            chooses = "--settle" if arguments.settle else "--complete"
            raise AssayError(f"{chooses} chooses the modules: leave MODULES away")
        files = ", ".join(shown(review_file(block)) for block in named)
        named = [block for block in named if _complete(block)]
        if not named:
            raise AssayError(f"no module is called complete in {files}")
    return named


def _with_rtl(blocks: Mapping[str, Block]) -> list[Block]:
    """All blocks of one repository, a user's first; of Assay those that say with what parameters."""
    theirs = [block for block in blocks.values() if not is_own(block)]
    return theirs or [block for block in blocks.values() if block.small]


def number(name: str, text: str, kind: type, low: float, high: float) -> float:
    """The number that a variable holds.

    Raises:
        AssayError: it holds none from `low` to `high`.
    """
    try:
        value = kind(text)
        if low <= value <= high:
            return value
    except ValueError:
        pass
    raise AssayError(f"{name}={text}: allowed are numbers from {low:g}")


def words(text: str | None) -> tuple[str, ...]:
    """The words of a list as a user types it, apart by blanks or commas."""
    return tuple(word for word in re.split(r"[\s,]+", text or "") if word)


def _show(plans: Sequence[Plan], patch: bool) -> int:
    """Print mutants, without running them."""
    for plan in plans:
        mutants = campaign.mutants_of(plan)
        list_mutants(chosen(mutants, plan.keys) if plan.keys else mutants, plan.block.root, patch)
    return 0


def _report(results: Results, reviews: Mapping[str, Review], announce: Announce) -> int:
    """Write the page, print the figures; the number of mutants that live without a review."""
    plan = results.plan
    whole = not plan.modules and not plan.keys
    living, stale = summarise(
        results,
        reviews,
        outputs.outputs(plan.block) / "reports" / "mutation" / f"{plan.block.name}.html",
        shown(review_file(plan.block)),
        whole,
        announce,
    )
    if living:
        typed = {"MUTANTS": living[0], "SEED": str(plan.seed)}
        if plan.parameters != plan.block.small:
            typed["PARAMS"] = " ".join(f"{name}={value}" for name, value in plan.parameters.items())
        again = command("mutate", plan.block, typed)
        announce(f"FAIL  {len(living)} mutants of {plan.block.name} live; one of them again: {again}")
    return len(living) + len(stale)
