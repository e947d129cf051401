# SPDX-License-Identifier: Apache-2.0
"""How a random program becomes simpler: harts, groups, single lines are left out, then operands made simple."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from assay.tb.cases import varied
from assay.tb.controller.random_program import Line, RandomProgram
from assay.tb.shrinking import Pass, Search

__all__ = ["identity", "passes"]

Get = Callable[[Any], RandomProgram]
Made = Callable[[Any, RandomProgram], Any]


def identity(program: RandomProgram) -> object:
    """What tells a program from another one."""
    return tuple(program.lines.items())


def passes(get: Get = lambda case: case, made: Made = lambda case, program: program) -> Iterable[Pass]:
    """The passes for a case that holds a program.

    Args:
        get: gives the program of a case.
        made: gives the case with another program.
    """

    def fewer_harts(search: Search[Any]) -> None:
        search.leave_out(
            lambda case: list(get(case).lines.items()),
            lambda case, rest: made(case, replace(get(case), lines=dict(rest))),
            least=1,
        )

    def fewer_groups(search: Search[Any]) -> None:
        _fewer_lines(search, get, made, loose=False)

    def fewer_loose_lines(search: Search[Any]) -> None:
        _fewer_lines(search, get, made, loose=True)

    def simpler_operands(search: Search[Any]) -> None:
        for hart in get(search.best).lines:
            for index in range(len(get(search.best).lines[hart])):
                for operand in ("imm", "rs1", "rs2"):
                    line = get(search.best).lines[hart][index]
                    if line.loose and line.target is None and getattr(line, operand):
                        lines = list(get(search.best).lines[hart])
                        lines[index] = varied(line, **{operand: 0})
                        program = _with_lines(get(search.best), hart, lines)
                        search.accepts(lambda program=program: made(search.best, program))  # type: ignore[misc]

    return (fewer_harts, fewer_groups, fewer_loose_lines, simpler_operands)


def _with_lines(program: RandomProgram, hart: int, lines: Sequence[Line]) -> RandomProgram:
    return replace(program, lines={**program.lines, hart: tuple(lines)})


def _fewer_lines(search: Search[Any], get: Get, made: Made, loose: bool) -> None:
    """Leave out groups of lines, or single lines that are loose."""

    def part(hart: int, line: Line) -> tuple[int, int]:
        return hart, line.label if loose else line.group

    def parts(case: Any) -> list[tuple[int, int]]:
        lines = ((hart, line) for hart, lines in get(case).lines.items() for line in lines)
        return list(dict.fromkeys(part(hart, line) for hart, line in lines if line.loose or not loose))

    def keeping(case: Any, rest: list[tuple[int, int]]) -> Any:
        stay, program = set(rest), get(case)
        lines = {
            hart: tuple(line for line in lines if part(hart, line) in stay or (loose and not line.loose))
            for hart, lines in program.lines.items()
        }
        return made(case, replace(program, lines=lines))

    search.leave_out(parts, keeping)
