# SPDX-License-Identifier: Apache-2.0
"""The controller's cases: programs, most of them random ones, with what goes on beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from assay.golden.controller.parameters import ControllerParameters
from assay.tb.cases import Case, Cases, each_step, fewer_steps, varied
from assay.tb.controller import shrink
from assay.tb.controller.items import Disturbance, ProgramItem, ProgramStep
from assay.tb.controller.random_program import Line, RandomProgram
from assay.tb.controller.stimulus import program_item
from assay.tb.shrinking import Pass, Search

__all__ = ["ControllerCases", "item_of"]


def item_of(step: ProgramStep) -> ProgramItem:
    """The item that plays a step.

    Raises:
        GoldenError: the program is too long, or none at all.
    """
    if step.random is not None:
        return program_item(step.random, step.disturbance)
    assert step.image is not None  # for it has a program
    return ProgramItem(
        step.name,
        step.image,
        step.entry,
        step.harts,
        step.tohost,
        retirements=step.retirements,
        disturbance=step.disturbance,
    )


class ControllerCases(Cases):
    """See `tb.cases.Cases`."""

    types = (ProgramStep, Disturbance, RandomProgram, Line, ControllerParameters)

    def check(self, case: Case) -> None:
        for step in case.steps:
            item_of(step)

    def passes(self) -> Iterable[Pass]:
        return (fewer_steps, each_step(_undisturbed), each_step(_shorter))

    def describe(self, case: Case) -> list[str]:
        lines = []
        for number, step in enumerate(case.steps, 1):
            lines.append(f"program {number}: {step.name}")
            if step.random is not None:
                for hart in step.random.lines:
                    lines.append(f"  hart {hart}:")
                    lines += [f"    {text}" for text in step.random.text(hart)]
            else:
                lines.append(f"  an image of {(step.image != 0).sum()} words, on harts 0x{step.harts:x}")
            disturbance = step.disturbance
            shown = [f"{each.name} {getattr(disturbance, each.name)}" for each in fields(disturbance)]
            shown = [text for text in shown if not text.endswith((" 0", " 0.0"))]
            lines += [f"  {', '.join(shown)}"] if shown else []
        return lines


def _undisturbed(
    search: Search[Case], step: Callable[[Case], ProgramStep], made: Callable[[Case, ProgramStep], Case]
) -> None:
    """Nothing beside the program, else little."""

    def with_value(case: Case, name: str, value: Any) -> Case:
        return made(case, varied(step(case), disturbance=varied(step(case).disturbance, **{name: value})))

    search.accepts(lambda: made(search.best, varied(step(search.best), disturbance=Disturbance())))
    for each in fields(Disturbance):
        if getattr(step(search.best).disturbance, each.name):
            search.accepts(lambda name=each.name: with_value(search.best, name, 0))  # type: ignore[misc]


def _shorter(
    search: Search[Case], step: Callable[[Case], ProgramStep], made: Callable[[Case, ProgramStep], Case]
) -> None:
    """A shorter random program; of an image, fewer harts."""
    if step(search.best).random is None:
        search.fewer_bits(
            lambda case: step(case).harts, lambda case, harts: made(case, varied(step(case), harts=harts))
        )
        return

    def program(case: Case) -> RandomProgram:
        found = step(case).random
        assert found is not None  # as checked above
        return found

    for each in shrink.passes(program, lambda case, found: made(case, varied(step(case), random=found))):
        each(search)
