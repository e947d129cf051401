# SPDX-License-Identifier: Apache-2.0
"""The operations of the instruction table in other languages: a C++ or SystemVerilog expression for a Python one."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Language", "translate"]

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
}
_SHIFTS: dict[type[ast.AST], str] = {ast.LShift: "<<", ast.RShift: ">>"}
_COMPARISONS: dict[type[ast.AST], str] = {ast.Lt: "<", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


@dataclass(frozen=True)
class Language:
    """How a language spells what an operation is made of; each `{}` is a part of it.

    Every part has a signed type that holds all values of the table's operations, as Python's integers do.
    """

    name: str
    operand: str
    number: str
    shifts: Mapping[str, str]
    """<< and >> (which keeps the sign); the second `{}` is the amount, from 0 to 32."""
    comparison: str
    """Left side, operator, right side."""
    functions: Mapping[str, str]
    """Those of `instructions.FUNCTIONS`."""
    product: str = "({} * {})"


def translate(operation: str, language: Language) -> str:
    """The expression for an `Instruction.operation`.

    Raises `ValueError` for what is not in the table so far.
    """
    return _translated(ast.parse(operation, mode="eval").body, language)


def _translated(node: ast.expr, language: Language) -> str:
    def part(inner: ast.expr) -> str:
        return _translated(inner, language)

    match node:
        case ast.Name(name):
            return language.operand.format(name)
        case ast.Constant(int(value)):
            return language.number.format(value)
        case ast.UnaryOp(ast.Invert(), operand):
            return f"(~{part(operand)})"
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            return f"({part(left)} {_OPERATORS[type(operator)]} {part(right)})"
        case ast.BinOp(left, ast.Mult(), right):
            return language.product.format(part(left), part(right))
        case ast.BinOp(left, operator, right) if type(operator) in _SHIFTS:
            return language.shifts[_SHIFTS[type(operator)]].format(part(left), part(right))
        case ast.Compare(left, [operator], [right]) if type(operator) in _COMPARISONS:
            return language.comparison.format(part(left), _COMPARISONS[type(operator)], part(right))
        case ast.Call(ast.Name(function), arguments, []) if function in language.functions:
            return language.functions[function].format(*map(part, arguments))
    raise ValueError(f"{ast.unparse(node)}: cannot be translated to {language.name}")
