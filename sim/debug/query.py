# SPDX-License-Identifier: Apache-2.0
"""Questions to a wave file: when was a condition true at a clock edge, and for how long?

    busy and not issue for more than 20 clocks
    rose(irq_o)
    u_sequencer.state_q == 3 and read_gnt[0] == 0

A question is an expression over signals, with ``and``, ``or``, ``not``, comparisons, numbers, ``rose``, ``fell`` and
``changed``, quoted text for tracks, and perhaps a duration at its end. A signal is named by its path or by as much of
its end as is unique; what an expression may hold is a closed list, and nothing in it is executed.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.sim.debug.wavedata import Waves
from assay.tb.errors import AssayError

__all__ = ["Answer", "Interval", "ask"]

_DURATION = re.compile(
    r"\s+for\s+(?P<kind>more than|at least|less than|at most)\s+(?P<count>\d+)\s+clocks?\s*$"
)
_PATH = re.compile(
    r"""'[^']*'|"[^"]*"|(?<![\w$'.])[A-Za-z_$][\w$]*(?:\[\d+\])*(?:\.[A-Za-z_$][\w$]*(?:\[\d+\])*)*"""
)
_WORDS = {"and", "or", "not", "rose", "fell", "changed"}
_ORDERS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_ALLOWED = "and, or, not, comparisons, numbers, signals, rose(), fell() and changed()"


@dataclass(frozen=True)
class Interval:
    """Clocks in a row in which a condition holds.

    Attributes:
        begin_ps, end_ps: the first and the last clock edge of them.
        clocks: how many.
        values: signals of the question -> text, at the first of them.
        open_ended: the waves end within it.
    """

    begin_ps: int
    end_ps: int
    clocks: int
    values: dict[str, str]
    open_ended: bool


@dataclass(frozen=True)
class Answer:
    """What a question found.

    Attributes:
        signals: full paths of those in the question.
        clocks: edges that were looked at.
        intervals: in the order of time.
    """

    signals: list[str]
    clocks: int
    intervals: list[Interval]


def ask(waves: Waves, question: str, clock: str, top: str = "") -> Answer:
    """Answer a question.

    Args:
        waves: to look in.
        question: see the module; a leading ``when`` is left out.
        clock: full path of the clock at whose rising edges is looked.
        top: the HDL top, whose own signals come first where a name is not unique.

    Raises:
        AssayError: the question cannot be read, or names no signal, or one that is not unique.
    """
    text = re.sub(r"^\s*when\s+", "", question.strip())
    fits: Callable[[int], bool] = lambda clocks: True  # noqa: E731
    if duration := _DURATION.search(text):
        text, count = text[: duration.start()], int(duration["count"])
        fits = {
            "more than": lambda clocks: clocks > count,
            "at least": lambda clocks: clocks >= count,
            "less than": lambda clocks: clocks < count,
            "at most": lambda clocks: clocks <= count,
        }[duration["kind"]]
    paths: dict[str, str] = {}  # stand-in of the expression -> full path

    def stand_in(found: re.Match[str]) -> str:
        if found[0] in _WORDS or found[0][0] in "'\"":
            return found[0]
        path = _resolve(waves, found[0], top)
        return paths.setdefault(path, f"s{len(paths)}_")

    try:
        tree = ast.parse(_PATH.sub(stand_in, text).strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise AssayError(f"the question {question!r} cannot be read: allowed are {_ALLOWED}") from None
    if not paths:
        raise AssayError(f"the question {question!r} names no signal")
    edges = waves.rising_edges(clock)
    values = {name: waves.signal(path).before(edges) for path, name in paths.items()}
    holds = _evaluate(tree, values, len(edges), question)
    intervals = []
    for first, last in _runs(holds):
        clocks, ended = last - first + 1, last + 1 < len(edges)
        if fits(clocks):
            shown = {path: _text(values[name][first]) for path, name in paths.items()}
            intervals.append(Interval(int(edges[first]), int(edges[last]), clocks, shown, not ended))
    return Answer(list(paths), len(edges), intervals)


def _resolve(waves: Waves, name: str, top: str) -> str:
    """The full path of the one signal that a name stands for."""
    for path in (name, f"{top}.{name}"):
        if waves.has(path):
            return path
    found = [path for path in waves.variables if path.endswith(f".{name}")]
    # Aliases of one signal: ports carry the same name down the hierarchy.
    shortest = [path for path in found if path.count(".") == min(each.count(".") for each in found)]
    if len(shortest) == 1:
        return shortest[0]
    if found:
        listed = ", ".join(sorted(found)[:4]) + (", ..." if len(found) > 4 else "")
        raise AssayError(f"signal {name} is not unique: {listed}")
    names = {path.rpartition(".")[2] for path in waves.variables}
    near = ", ".join(difflib.get_close_matches(name.rpartition(".")[2], names, 3))
    raise AssayError(f"no signal {name} in the waves{near and '; there are '}{near}")


def _evaluate(tree: ast.expr, values: dict[str, list[Any]], count: int, question: str) -> np.ndarray:
    """Bool[count]: whether the expression holds at each edge. Unknown values make a comparison false."""

    def operand(node: ast.expr) -> list[Any]:
        if isinstance(node, ast.Name) and node.id in values:
            return values[node.id]
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, str)):
            return [node.value] * count
        if (
            isinstance(node, ast.UnaryOp)
            and isinstance(node.op, ast.USub)
            and isinstance(node.operand, ast.Constant)
        ):
            return [-node.operand.value] * count  # type: ignore[operator]
        raise AssayError(f"the question {question!r} cannot be answered: allowed are {_ALLOWED}")

    def holds(node: ast.expr) -> np.ndarray:
        if isinstance(node, ast.BoolOp):
            parts = [holds(each) for each in node.values]
            return np.all(parts, axis=0) if isinstance(node.op, ast.And) else np.any(parts, axis=0)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            if isinstance(node.operand, ast.Name):
                return np.array([value == 0 for value in operand(node.operand)], bool)
            return np.logical_not(holds(node.operand))
        if isinstance(node, ast.Compare) and all(type(op) in _ORDERS for op in node.ops):
            sides = [operand(each) for each in (node.left, *node.comparators)]
            tests = [_ORDERS[type(op)] for op in node.ops]
            return np.array(
                [
                    all(
                        type(a) is type(b) and test(a, b)
                        for test, a, b in zip(tests, row, row[1:], strict=False)
                    )
                    for row in zip(*sides, strict=True)
                ],
                bool,
            )
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and len(node.args) == 1
            and not node.keywords
        ):
            now = operand(node.args[0])
            steps = zip([now[0], *now], now, strict=False) if now else iter(())
            kinds: dict[str, Callable[[Any, Any], bool]] = {
                "rose": lambda a, b: a == 0 and isinstance(b, int) and b != 0,
                "fell": lambda a, b: isinstance(a, int) and a != 0 and b == 0,
                "changed": lambda a, b: a != b,
            }
            if node.func.id in kinds:
                return np.array([kinds[node.func.id](a, b) for a, b in steps], bool)
        return np.array([isinstance(value, int) and value != 0 for value in operand(node)], bool)

    return holds(tree)


def _runs(holds: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last place of each run of trues."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(np.int8)))
    yield from zip(steps[::2].tolist(), (steps[1::2] - 1).tolist(), strict=True)


def _text(value: Any) -> str:
    if isinstance(value, int):
        return str(value) if value < 10 else f"0x{value:x}"
    return "unknown" if value is None else str(value)
