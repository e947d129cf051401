# SPDX-License-Identifier: Apache-2.0
"""The shrinking of a random program that fails: it keeps the failure and loses the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from assay.golden.errors import ConfigurationError
from assay.tb.controller.random_program import Line, RandomProgram

__all__ = ["shrink"]


def _without(line: Line, operand: str) -> Line:
    changed: dict[str, Any] = {operand: 0}
    return replace(line, **changed)


def shrink(
    program: RandomProgram,
    fails: Callable[[RandomProgram], bool],
    limit: int = 1000,
    progress: Callable[[RandomProgram], None] | None = None,
) -> RandomProgram:
    """A short program that still fails: harts, groups, single lines are left out, then operands made simple.

    Args:
        program: one that fails.
        fails: whether a program does; called at most `limit` times.
        progress: called with each shorter program that fails.

    Raises `ConfigurationError` when `program` does not fail.
    """
    calls = 0

    def try_out(candidate: RandomProgram) -> bool:
        nonlocal calls, program
        if calls >= limit:
            return False
        calls += 1
        if not fails(candidate):
            return False
        program = replace(candidate, description=f"shrunk from: {origin}")
        if progress is not None:
            progress(program)
        return True

    origin = program.description
    if not fails(program):
        raise ConfigurationError("the program to be shrunk does not fail")

    def fewer_harts() -> None:
        for hart in reversed(program.lines):
            rest = {other: lines for other, lines in program.lines.items() if other != hart}
            if rest:
                try_out(replace(program, lines=rest))

    def units(loose: bool) -> list[tuple[int, int]]:
        """What may be left out at once: (hart, group), or (hart, label) of loose lines."""
        found = dict.fromkeys(
            (hart, line.label if loose else line.group)
            for hart, lines in program.lines.items()
            for line in lines
            if line.loose or not loose
        )
        return list(found)

    def without(dropped: set[tuple[int, int]], loose: bool) -> RandomProgram:
        return replace(
            program,
            lines={
                hart: tuple(
                    line
                    for line in lines
                    if (hart, line.label if loose else line.group) not in dropped
                    or (loose and not line.loose)
                )
                for hart, lines in program.lines.items()
            },
        )

    def fewer_lines(loose: bool) -> None:
        """Zeller's ddmin over groups, or over loose lines."""
        size = max(len(units(loose)) // 2, 1)
        while calls < limit:
            at, shorter = len(units(loose)), False
            while at > 0:
                # From the end, where what comes after the failure lies.
                part = set(units(loose)[max(at - size, 0) : at])
                shorter |= try_out(without(part, loose))
                at -= size
            if size == 1 and not shorter:
                break
            size = max(size // 2, 1)

    def simpler_operands() -> None:
        for hart in program.lines:
            for index in range(len(program.lines[hart])):
                for operand in ("imm", "rs1", "rs2"):
                    line = program.lines[hart][index]
                    if line.loose and line.target is None and getattr(line, operand):
                        lines = list(program.lines[hart])
                        lines[index] = _without(line, operand)
                        try_out(replace(program, lines={**program.lines, hart: tuple(lines)}))

    before = None
    while (
        program.lines != before and calls < limit
    ):  # what is gone may have been what the rest was needed for
        before = program.lines
        fewer_harts()
        fewer_lines(loose=False)
        fewer_lines(loose=True)
        simpler_operands()
    return program
