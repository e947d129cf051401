# SPDX-License-Identifier: Apache-2.0
"""The command ``mutate``: make faults in the RTL of blocks, run the bench on each, report which of them it finds."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
from collections.abc import Callable, Mapping, Sequence

from assay.sim import outputs, shown
from assay.sim.blocks import find_block, is_own
from assay.sim.commands import command
from assay.sim.mutation import campaign
from assay.sim.mutation.campaign import Plan, Results
from assay.sim.mutation.mutant import chosen
from assay.sim.mutation.page import HEADS, alive, page, scores, total
from assay.sim.mutation.reviews import Review, read_reviews, review_file
from assay.tb.block import Block
from assay.tb.errors import AssayError, MissingExtra

Announce = Callable[[str], None]

HELP = "make faults in a block's RTL, one at a time, and report which of them its tests find"

INSTALL = "pip install 'assay[mutation]'"

SEED = "1"
"""Where the user gives none: a known result then counts for the next run."""

SHOWN = 20
"""Mutants that live and are named on the terminal; the report has all."""


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
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtra(f"a report of mutants needs jinja2; install it with: {INSTALL}")
    named = _named(arguments, blocks)
    minutes = _number("MINUTES", arguments.minutes, float, 0, 1 << 20)
    jobs = _number("JOBS", arguments.jobs, int, 1, 1 << 10)
    plans = [
        Plan(
            block,
            {**block.small, **parameters(block)},
            seed,
            _complete(block) if arguments.complete else tuple(_words(arguments.modules or "")),
            tuple(_words(arguments.mutants or "")),
            minutes / len(named),
            arguments.day or campaign.today(),
            int(jobs),
            arguments.default_only,
            arguments.again or bool(arguments.mutants),
        )
        for block in named
    ]
    if arguments.list or arguments.patch:
        return _show(plans, arguments.patch)
    living = 0
    for plan in plans:
        results = campaign.run(plan, announce)
        living += _report(results, read_reviews(review_file(plan.block)).of, announce)
    return 1 if living else 0


def _complete(block: Block) -> tuple[str, ...]:
    return read_reviews(review_file(block)).complete


def _named(arguments: argparse.Namespace, blocks: Mapping[str, Block]) -> list[Block]:
    named = [find_block(arguments.top, blocks)] if arguments.top else _with_rtl(blocks)
    if arguments.complete:
        if arguments.modules:
            raise AssayError("--complete chooses the modules: leave MODULES away")
        files = ", ".join(shown(review_file(block)) for block in named)
        named = [block for block in named if _complete(block)]
        if not named:
            raise AssayError(f"no module is called complete in {files}")
    return named


def _with_rtl(blocks: Mapping[str, Block]) -> list[Block]:
    """All blocks of one repository, a user's first; of Assay those that say with what parameters."""
    theirs = [block for block in blocks.values() if not is_own(block)]
    return theirs or [block for block in blocks.values() if block.small]


def _number(name: str, text: str, kind: type, low: float, high: float) -> float:
    try:
        value = kind(text)
        if low <= value <= high:
            return value
    except ValueError:
        pass
    raise AssayError(f"{name}={text}: allowed are numbers from {low:g}")


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]


def _show(plans: Sequence[Plan], patch: bool) -> int:
    """Print mutants, without running them."""
    for plan in plans:
        mutants = campaign.mutants_of(plan)
        for mutant in chosen(mutants, plan.keys) if plan.keys else mutants:
            if patch:
                print(mutant.patch(plan.block.root), end="")
            else:
                what = mutant.describe(mutant.file.read_bytes())
                print(f"{mutant.key:<13} {mutant.file.name}:{mutant.line:<5} {mutant.kind:<10} {what}")
    return 0


def _report(results: Results, reviews: Mapping[str, Review], announce: Announce) -> int:
    """Write the page, print the figures; the number of mutants that live without a review."""
    plan = results.plan
    folder = outputs.outputs(plan.block) / "reports" / "mutation"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{plan.block.name}.html"
    partial = path.with_suffix(".partial")
    partial.write_text(page(results, reviews), encoding="utf-8")
    os.replace(partial, path)
    found = scores(results, reviews)
    width = max(len(file.stem) for file in found)
    print(f"\n{'module':<{width}}" + "".join(f"{head:>14}" for head in HEADS))
    for name, score in (*((file.stem, score) for file, score in found.items()), ("all", total(found))):
        print(f"{name:<{width}}" + "".join(f"{cell:>14}" for cell in score.cells))
    living = [(mutant, entry) for mutant, entry in alive(results) if mutant.key not in reviews]
    if living:
        print(f"\nalive, without a review in {shown(review_file(plan.block))}:")
    for mutant, entry in living[:SHOWN]:
        print(f"  {mutant.key:<13} {mutant.file.name}:{mutant.line}: {entry['what']} ({entry['state']})")
    if len(living) > SHOWN:
        print(f"  and {len(living) - SHOWN} more")
    known = {mutant.key for mutant in results.mutants}
    whole = not plan.modules and not plan.keys
    gone = [key for key in reviews if key not in known] if whole else []
    for key in gone:
        print(
            f"  {key:<13} is reviewed and there is no such mutant any more ({reviews[key].line}): remove it"
        )
    print()
    announce(f"report: {shown(path)}")
    if living:
        words = {"MUTANTS": living[0][0].key, "SEED": str(plan.seed)}
        if plan.parameters != plan.block.small:
            words["PARAMS"] = " ".join(f"{name}={value}" for name, value in plan.parameters.items())
        again = command("mutate", plan.block, words)
        announce(f"FAIL  {len(living)} mutants of {plan.block.name} live; one of them again: {again}")
    return len(living) + len(gone)
