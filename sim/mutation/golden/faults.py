# SPDX-License-Identifier: Apache-2.0
"""Faults on the syntax tree of Python.

The operators are mutmut's, functions from a node of libcst to nodes in its place. Left out are those whose faults any
call finds (``None`` in place of a value) or none (the text of a message). Three are added in the same form: numbers
less one, conditions negated, cases that are never taken. No fault is made in text and in what does not compute: see
`_untouched`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper
from mutmut.mutation import mutators

from assay.sim.mutation.mutant import Edit, Mutant, identified

Fault = tuple[cst.CSTNode, str]
"""A node of the tree, and the text in its place."""

CHECKS = frozenset({"strict", "stacklevel", "frozen", "slots"})
"""Keyword arguments that change no result."""

SPEAKING = frozenset(
    {"warn", "debug", "info", "warning", "error", "print", "cast", "isinstance", "issubclass"}
)
"""Functions whose arguments are text, or types."""

SHORT, LONG = 5, 70
"""Bytes of an expression that says nothing without the one around it, and of one that says too much."""


def _in_place(operator: Callable[[Any], Iterable[cst.CSTNode]]) -> Callable[[Any], Iterator[Fault]]:
    def faults(node: cst.CSTNode) -> Iterator[Fault]:
        for new in operator(node):
            yield node, _code(new)

    return faults


def _less_one(node: cst.Integer | cst.Float) -> Iterator[Fault]:
    value = node.evaluated_value - 1
    yield node, f"({value!r})" if value < 0 else repr(value)


def _negated(node: cst.If | cst.While | cst.CompIf) -> Iterator[Fault]:
    yield node.test, f"not ({_code(node.test)})"


def _not_taken(node: cst.MatchCase) -> Iterator[Fault]:
    if node.guard is None:
        yield node.pattern, f"{_code(node.pattern)} if False"
    else:
        yield node.guard, "False"


def _dropped(node: cst.Call) -> Iterator[Fault]:
    """Calls without a keyword argument or without the last positional one: others are missed by the call itself."""
    for new in mutators.operator_arg_removal(node) if len(node.args) > 1 else ():
        assert isinstance(new, cst.Call)
        if len(new.args) == len(node.args):
            continue  # None in place of an argument
        at = next((i for i, kept in enumerate(new.args) if kept is not node.args[i]), len(new.args))
        keyword = node.args[at].keyword
        following = node.args[at + 1 :]
        if (keyword is None and (not following or following[0].keyword)) or (
            keyword and keyword.value not in CHECKS
        ):
            yield node, _code(new)


OPERATORS: Sequence[tuple[tuple[type, ...], str, Callable[[Any], Iterator[Fault]]]] = (
    ((cst.Integer, cst.Float), "number", _in_place(mutators.operator_number)),
    ((cst.Integer, cst.Float), "number", _less_one),
    ((cst.Name,), "constant", _in_place(mutators.operator_name)),
    ((cst.AugAssign,), "assignment", _in_place(mutators.operator_augmented_assignment)),
    ((cst.UnaryOperation,), "unary", _in_place(mutators.operator_remove_unary_ops)),
    ((cst.Call,), "argument", _dropped),
    ((cst.BaseCompOp, cst.Break, cst.Continue), "keyword", _in_place(mutators.operator_keywords)),
    (
        (cst.BinaryOperation, cst.BooleanOperation, cst.ComparisonTarget, cst.UnaryOperation, cst.AugAssign),
        "operator",
        _in_place(mutators.operator_swap_op),
    ),
    ((cst.IfExp,), "condition", _in_place(mutators.operator_if_exp)),
    ((cst.If, cst.While, cst.CompIf), "condition", _negated),
    ((cst.MatchCase,), "case", _not_taken),
)
"""Nodes, the kind of the fault, and the operator."""


def find_mutants(files: Iterable[Path], root: Path) -> list[Mutant]:
    """The faults in sources, with their keys.

    Args:
        root: folder to which the files' names in the keys are relative.
    """
    return identified((mutant for file in files for mutant in _of_file(file)), root)


def _of_file(file: Path) -> Iterator[Mutant]:
    source = file.read_bytes()
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    spans = wrapper.resolve(ByteSpanPositionProvider)
    untouched = _untouched(source)
    waiting: list[tuple[cst.CSTNode, tuple[int, int]]] = [(wrapper.module, (0, len(source)))]
    seen = set()
    while waiting:
        node, around = waiting.pop()
        span = (spans[node].start, spans[node].start + spans[node].length) if node in spans else around
        if any(start <= span[0] and span[1] <= end for start, end in untouched):
            continue
        waiting += [(child, span if _says_enough(node, span) else around) for child in node.children]
        for types, kind, operator in OPERATORS:
            if isinstance(node, types):
                for old, new in operator(node):
                    start, end = spans[old].start, spans[old].start + spans[old].length
                    edit = Edit(start, end, new)
                    says_little = end - start < SHORT or isinstance(
                        old, cst.ComparisonTarget | cst.BaseCompOp
                    )
                    if says_little and around[1] - around[0] <= LONG:
                        before, after = source[around[0] : start].decode(), source[end : around[1]].decode()
                        edit = Edit(*around, before + new + after)
                    if edit not in seen:
                        seen.add(edit)
                        yield _mutant(file, source, kind, edit)


def _says_enough(node: cst.CSTNode, span: tuple[int, int]) -> bool:
    """Whether a fault in a node is named with the text of that node around it."""
    return isinstance(node, cst.BaseExpression) and span[1] - span[0] >= SHORT


def _code(node: cst.CSTNode) -> str:
    """The text of a node without what its span does not hold: parentheses around it, and white space."""
    if isinstance(node, cst.BaseExpression):
        node = node.with_changes(lpar=(), rpar=())
    text = cst.Module([]).code_for_node(node)
    return text.strip() if isinstance(node, cst.BaseCompOp) else text


def _mutant(file: Path, source: bytes, kind: str, edit: Edit) -> Mutant:
    line = source.count(b"\n", 0, edit.start) + 1
    begin = source.rfind(b"\n", 0, edit.start) + 1
    text = source[begin : source.find(b"\n", begin)].decode().strip()
    return Mutant(file, kind, (edit,), line, text, parts=False)


def _untouched(source: bytes) -> list[tuple[int, int]]:
    """What no fault is made in, as offsets in bytes: annotations, decorators, ``__all__``, what only a type checker
    runs, the text of exceptions, assertions and logs.
    """
    begins = [0]
    for text in source.splitlines(keepends=True):
        begins.append(begins[-1] + len(text))

    def span(node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None  # as those of parsed code are
        return begins[node.lineno - 1] + node.col_offset, begins[node.end_lineno - 1] + node.end_col_offset

    found: list[ast.expr | ast.stmt | None] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.arg() | ast.AnnAssign():
                found.append(node.annotation)
            case ast.FunctionDef():
                found += [node.returns, *node.decorator_list]
            case ast.ClassDef():
                found += node.decorator_list
            case ast.Raise(exc=ast.Call() as call):
                found += [*call.args, *(keyword.value for keyword in call.keywords), call]
            case ast.Assert():
                found.append(node.msg)
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in SPEAKING:
                found.append(node)
            case ast.keyword() if node.arg in CHECKS:
                found.append(node.value)
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                found.append(node)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                found += [node.test, *node.body]
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                found += [node.test, *node.body]
    return [span(node) for node in found if node is not None]
