# SPDX-License-Identifier: Apache-2.0
"""The command ``mutate-golden``: make faults in the golden model, and report which of them its tests find."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable

from assay.sim import ROOT, outputs, shown
from assay.sim.commands import make_word
from assay.sim.mutation import command
from assay.sim.mutation.report import list_mutants, summarise
from assay.sim.mutation.reviews import REVIEWED, read_reviews
from assay.tb.errors import AssayError, MissingExtra

HELP = "make faults in the golden model, one at a time, and report which of them its tests find"

PACKAGES = ("coverage", "hypothesis", "mutmut", "pytest")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's switches; what has a variable of make's is in `sim.options`."""
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


def mutate(arguments: argparse.Namespace, announce: Callable[[str], None]) -> int:
    """Run the command; the exit status is 1 where a mutant lives that nobody has reviewed.

    Raises:
        AssayError: bad input.
        RunFailed: the golden model without a fault does not pass its tests.
    """
    if not (ROOT / "Makefile").is_file():
        raise AssayError("the golden model is mutated in Assay's own checkout only")
    for name in PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(f"mutants of golden need {name}; install it with: {command.INSTALL}")
    from assay.sim.mutation import campaign as rtl
    from assay.sim.mutation.golden import campaign
    from assay.sim.mutation.golden.baseline import Code

    code = Code(ROOT)
    path = REVIEWED / f"{code.package}.toml"
    reviews = read_reviews(path)
    if arguments.complete and arguments.modules:
        raise AssayError("--complete chooses the modules: leave MODULES away")
    if arguments.complete and not reviews.complete:
        raise AssayError(f"no module is called complete in {shown(path)}")
    plan = campaign.Plan(
        code,
        outputs.outputs() / "reports" / "mutation",
        outputs.build_root(),
        reviews.complete if arguments.complete else command.words(arguments.modules),
        command.words(arguments.mutants),
        command.number("MINUTES", arguments.minutes, float, 0, 1 << 20),
        arguments.day or rtl.today(),
        int(command.number("JOBS", arguments.jobs, int, 1, 1 << 10)),
        arguments.again or bool(arguments.mutants),
    )
    if arguments.list or arguments.patch:
        list_mutants(campaign.mutants_of(plan), ROOT, arguments.patch)
        return 0
    results = campaign.run(plan, announce)
    whole = not plan.modules and not plan.keys and not plan.minutes
    living, stale = summarise(
        results, reviews.of, plan.reports / f"{plan.name}.html", shown(path), whole, announce
    )
    if living:
        file = next(mutant.file for mutant in results.mutants if mutant.key == living[0])
        again = " ".join([make_word("MODULES", results.name(file)), make_word("MUTANTS", living[0])])
        announce(
            f"FAIL  {len(living)} mutants of {plan.name} live; one of them again: make mutate-golden {again}"
        )
    return 1 if living or stale else 0
