# SPDX-License-Identifier: Apache-2.0
"""The faults that designers make, found as edits on the elaborated design (slang).

What they are made of:

- ``operator``: + for -, < for <=, == for !=, && for ||, & for |, << for >>, and back;
- ``condition``: an operand of && or || (or of & and | of single bits) forgotten, as where a handshake ignores ready; a
  condition that always or never holds; a negation forgotten;
- ``constant``: one more, one less, the next name of an enumeration, all bits the other way;
- ``index``: the element beside the right one;
- ``width``: a result of arithmetic, or a slice, without its top bit;
- ``sign``: a sign that is not extended;
- ``hold``: an assignment that is not made;
- ``exchange``: the right sides of two assignments, or what two ports of an instance are connected to;
- ``stuck``: an input of an instance that is always 0, or always 1;
- ``stale``: a register read where its next value is meant.

A fault is made only where it can be selected while the simulation runs: not in parameters, widths and loop bounds, nor
in assertions. The replacing expression has the width and the sign of the replaced one, so that everything around it,
which the context of the expression sizes, stays as it is.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyslang import ast

from assay.sim.elaborate import Elaborated
from assay.sim.mutation.mutant import Edit, Mutant, identified, part

_SWAPS = {
    "Add": "-",
    "Subtract": "+",
    "Multiply": "+",
    "BinaryAnd": "|",
    "BinaryOr": "&",
    "BinaryXor": "|",
    "BinaryXnor": "^",
    "LogicalShiftLeft": ">>",
    "LogicalShiftRight": "<<",
    "ArithmeticShiftLeft": ">>>",
    "ArithmeticShiftRight": ">>",
    "LessThan": "<=",
    "LessThanEqual": "<",
    "GreaterThan": ">=",
    "GreaterThanEqual": ">",
    "Equality": "!=",
    "Inequality": "==",
    "LogicalAnd": "||",
    "LogicalOr": "&&",
}
"""Operator -> what is written in its place: of the same width and sign, given the same operands."""

_SIDES = {"LessThan": ">", "LessThanEqual": ">=", "GreaterThan": "<", "GreaterThanEqual": "<="}
"""Comparison -> the one that looks from the other side."""

_ARITHMETIC = ("Add", "Subtract", "Multiply")
_LOGICAL = ("LogicalAnd", "LogicalOr")
_BITWISE = ("BinaryAnd", "BinaryOr")
_NEGATIONS = ("LogicalNot", "BitwiseNot", "Minus")

_LARGEST_CONSTANT = 64
"""Bits: one that has more is a table."""

_SELECTS = ("ElementSelect", "RangeSelect", "MemberAccess")

_PATTERNS = ("SimpleAssignmentPattern", "StructuredAssignmentPattern", "ReplicatedAssignmentPattern")
"""Expressions that may stand only alone at the right of an assignment."""


def find_mutants(design: Elaborated, files: Iterable[Path], root: Path) -> list[Mutant]:
    """All faults in some of the files of a design, in the order of their places.

    Args:
        design: elaborated, without errors.
        files: in which faults are made.
        root: folder to which the files' names in the mutants' keys are relative.
    """
    finder = _Finder(design, files)
    for package in design.compilation.getPackages():
        finder.scope(package)
    for instance in design.compilation.getRoot().topInstances:
        finder.scope(instance.body)
    return identified(finder.mutants(), root)


@dataclass(frozen=True)
class _Place:
    """Where an expression stands."""

    target: str = ""
    """The text of what is assigned."""
    assigned: frozenset[str] = frozenset()
    """What the block has assigned before."""
    reset: bool = False
    """In the condition of a reset."""


class _Finder:
    def __init__(self, design: Elaborated, files: Iterable[Path]) -> None:
        self._manager: Any = design.slang.sourceManager
        root: Any = design.compilation.getRoot()
        self._context = ast.EvalContext(ast.ASTContext(root, ast.LookupLocation.max))
        self._files = {path.resolve(): path.read_bytes() for path in files}
        self._constant_functions = {
            name
            for text in self._files.values()
            for line in re.findall(rb"\b(?:localparam|parameter)\b[^;]*", text)
            for name in re.findall(r"(\w+)\s*\(", line.decode())
        }
        # One text of a module may stand for several instances, with other widths and constants in each.
        self._edits: dict[tuple[Path, str, tuple[tuple[int, int], ...]], set[tuple[str, ...]]] = defaultdict(
            set
        )
        self._types: dict[tuple[Path, int, int], set[tuple[int, bool]]] = defaultdict(set)
        self._names: dict[int, Path | None] = {}

    def mutants(self) -> Iterator[Mutant]:
        """What was found."""
        for (file, kind, spans), texts in self._edits.items():
            sized = any(len(self._types[file, start, end]) > 1 for start, end in spans)
            if len(texts) > 1 or (sized and kind.endswith("!")):
                continue
            source = self._files[file]
            edits = tuple(
                Edit(start, end, text) for (start, end), text in zip(spans, next(iter(texts)), strict=True)
            )
            at = edits[0].start
            line = source[source.rfind(b"\n", 0, at) + 1 : (source + b"\n").find(b"\n", at)].decode().strip()
            yield Mutant(file, re.split("[:!]", kind)[0], edits, source.count(b"\n", 0, at) + 1, line)

    # Scopes

    def scope(self, scope: Any) -> None:
        """All members of a scope, and of what is inside it."""
        for member in scope:
            kind = member.kind.name
            if kind == "Instance":
                self._ports(member)
                self.scope(member.body)
            elif kind == "GenerateBlock":
                if not member.isUninstantiated:
                    self.scope(member)
            elif kind in ("GenerateBlockArray", "InstanceArray"):
                for each in member.entries if kind == "GenerateBlockArray" else member.elements:
                    if kind == "GenerateBlockArray":
                        self.scope(each)
                    else:
                        self._ports(each)
                        self.scope(each.body)
            elif kind == "ProceduralBlock":
                if member.procedureKind.name.startswith("Always"):
                    self._statement(member.body, set())
            elif kind == "ContinuousAssign":
                assignment = member.assignment
                self._expression(assignment.right, _Place())
            elif kind == "Net" and member.initializer is not None:
                self._expression(member.initializer, _Place())
            elif kind == "Subroutine" and member.name not in self._constant_functions:
                self._statement(member.body, set())

    def _ports(self, instance: Any) -> None:
        inputs: list[Any] = []
        for connection in instance.portConnections:
            direction = getattr(connection.port, "direction", None)
            expression = connection.expression
            if direction is None or direction.name != "In" or expression is None:
                continue
            if re.search(r"^(clk|rst)_", connection.port.name):
                continue
            expression = _bare(expression)
            place = self._place(expression)
            if place is None or not self._connected(*place):
                continue
            self._expression(expression, _Place())
            if self._value(expression) is None and expression.type.isIntegral:
                if expression.type.bitWidth == 1:
                    self._add("stuck:0", (expression, "1'b0"))
                    self._add("stuck:1", (expression, "1'b1"))
                inputs.append((connection.port, expression))
        for (port, one), (other_port, other) in itertools.pairwise(inputs):
            if (_shape(port.type), _shape(one.type)) == (_shape(other_port.type), _shape(other.type)):
                self._exchange(one, other)

    def _connected(self, file: Path, start: int, end: int) -> bool:
        """Whether an expression is written out in a connection, as in ``.port_i(expression)``."""
        source = self._files[file]
        return source[:start].rstrip().endswith(b"(") and source[end:].lstrip().startswith(b")")

    # Statements

    def _statement(self, statement: Any, assigned: set[str]) -> None:
        kind = statement.kind.name
        if kind == "List":
            self._list(list(statement.list), assigned)
        elif kind == "Block":
            self._statement(statement.body, assigned)
        elif kind == "Timed":
            self._statement(statement.stmt, assigned)
        elif kind == "ForLoop":
            self._statement(statement.body, assigned)
        elif kind == "Conditional":
            for condition in statement.conditions:
                self._condition(condition.expr, assigned)
            for branch in (statement.ifTrue, statement.ifFalse):
                if branch is not None:
                    self._statement(branch, set(assigned))
        elif kind == "Case":
            self._expression(statement.expr, _Place(assigned=frozenset(assigned)))
            for item in statement.items:
                self._statement(item.stmt, set(assigned))
            if statement.defaultCase is not None:
                self._statement(statement.defaultCase, set(assigned))
        elif kind == "ExpressionStatement":
            if statement.expr.kind.name == "Assignment":
                self._assignment(statement.expr, assigned)
        elif kind == "Return" and statement.expr is not None:
            self._expression(statement.expr, _Place())

    def _list(self, statements: list[Any], assigned: set[str]) -> None:
        for statement, following in zip(statements, [*statements[1:], None], strict=False):
            self._statement(statement, assigned)
            pair = [_assignment_of(statement), _assignment_of(following)]
            if pair[0] is None or pair[1] is None or pair[0].isNonBlocking != pair[1].isNonBlocking:
                continue
            if str(pair[0].left.type) == str(pair[1].left.type):
                one, other = _bare(pair[0].right), _bare(pair[1].right)
                if _shape(one.type) == _shape(other.type):
                    self._exchange(one, other)

    def _assignment(self, assignment: Any, assigned: set[str]) -> None:
        if assignment.isCompound:
            self._expression(assignment.right.right, _Place())
            return
        right = _bare(assignment.right)
        target = self._text(assignment.left)
        if target is None or right.kind.name == "EmptyArgument":
            return
        before = frozenset(assigned)
        self._expression(right, _Place(target, before))
        self._selectors(assignment.left)
        name = re.split(r"[\[.]", target)[0].strip()
        assigned.add(name)
        if right.kind.name in _PATTERNS or not (assignment.isNonBlocking or name in before):
            return
        left = assignment.left.type
        if left.isIntegral and right.type.isIntegral:
            cast = "signed" if right.type.isSigned else "unsigned"
            same = left.isSigned == right.type.isSigned or str(left) == str(right.type)
            self._add("hold", (right, target if same else f"{cast}'({target})"))
        elif str(left) == str(right.type):
            self._add("hold", (right, target))

    def _condition(self, expression: Any, assigned: set[str]) -> None:
        text = self._text(expression) or ""
        reset = re.fullmatch(r"!\s*rst_\w+", text) is not None
        self._expression(expression, _Place(assigned=frozenset(assigned), reset=reset))
        self._always(expression, reset)

    def _always(self, expression: Any, reset: bool = False) -> None:
        """A condition that never holds, or always."""
        if self._value(expression) is None:
            self._add("condition:never", (expression, "1'b0"))
            if not reset:
                self._add("condition:always", (expression, "1'b1"))

    # Expressions

    def _expression(self, expression: Any, place: _Place) -> None:
        if self._value(expression) is not None:
            self._constant(expression)
            return
        kind = expression.kind.name
        if kind == "BinaryOp":
            self._expression(expression.left, place)
            self._expression(expression.right, place)
            self._binary(expression)
        elif kind == "UnaryOp":
            self._expression(expression.operand, place)
            if expression.op.name in _NEGATIONS and not place.reset:
                operand = self._text(expression.operand)
                if operand is not None:
                    text = f"|({operand})" if expression.op.name == "LogicalNot" else operand
                    if _shape(expression.operand.type) == (1, False) and _shape(expression.type) == (
                        1,
                        False,
                    ):
                        text = operand
                    self._add("condition:negation", (expression, text))
        elif kind == "ConditionalOp":
            for condition in expression.conditions:
                self._expression(condition.expr, place)
                self._always(condition.expr)
            self._expression(expression.left, place)
            self._expression(expression.right, place)
        elif kind == "Conversion":
            self._sign(expression)
            self._expression(expression.operand, place)
        elif kind in _SELECTS:
            if expression.value.kind.name in _SELECTS:  # a name that is selected from can only be a name
                self._expression(expression.value, place)
            self._select(expression, place)
        elif kind == "Concatenation":
            operands = list(expression.operands)
            for operand in operands:
                self._expression(operand, place)
            for one, other in itertools.pairwise(operands):
                if (
                    _shape(one.type) == _shape(other.type)
                    and self._value(one) is None
                    and self._value(other) is None
                ):
                    self._exchange(one, other)
        elif kind == "Replication":
            self._expression(expression.concat, place)
        elif kind == "Call":
            for argument in expression.arguments:
                self._expression(argument, place)
        elif kind == "NamedValue":
            self._stale(expression, place)

    def _binary(self, expression: Any) -> None:
        left, right = self._text(expression.left), self._text(expression.right)
        if left is None or right is None:
            return
        op = expression.op.name
        for name, operators in (("", _SWAPS), (":side", _SIDES)):
            if op in operators:
                self._add(f"operator{name}", (expression, f"{part(left)} {operators[op]} {part(right)}"))
        bits = _shape(expression.type)[0]
        if op in _LOGICAL or (op in _BITWISE and bits == 1):
            for name, text, operand in (("left", left, expression.left), ("right", right, expression.right)):
                logic = f"|({text})" if _shape(operand.type) != (1, False) and op in _LOGICAL else text
                self._add(f"condition:{name}", (expression, logic))
        if op in _ARITHMETIC and not expression.type.isPredefinedInteger and bits > 1:
            shifts = ("<<<", ">>>") if expression.type.isSigned else ("<<", ">>")
            zero = f"{bits}'{'s' if expression.type.isSigned else ''}d0"
            whole = self._text(expression) or ""
            self._add("width!", (expression, f"(({zero} + {part(whole)}) {shifts[0]} 1) {shifts[1]} 1"))

    def _constant(self, expression: Any) -> None:
        """The largest expression that is known before the simulation."""
        expression = _bare(expression)
        type_ = expression.type
        if type_.isEnum:
            self._enumeration(expression)
            return
        value = self._value(expression)
        bits, signed = _shape(type_)
        if not 0 < bits <= _LARGEST_CONSTANT or type_.isStruct or value is None:
            return
        try:
            number = int(value)
        except (TypeError, ValueError):  # unknown bits
            return
        if bits == 1:
            self._add("constant!", (expression, f"{bits}'{'s' if signed else ''}b{1 - (number & 1)}"))
            return
        filled = expression.kind.name == "UnbasedUnsizedIntegerLiteral"
        others = {"more": number + 1, "less": number - 1} if not filled else {"other": ~number}
        for name, other in others.items():
            bit_pattern = other & ((1 << bits) - 1)
            text = f"{bits}'{'s' if signed else ''}h{bit_pattern:x}"
            self._add(f"constant:{name}!", (expression, text))

    def _enumeration(self, expression: Any) -> None:
        text = self._text(expression)
        found = re.fullmatch(r"((?:\w+::)?)(\w+)", text or "")
        if found is None:
            return
        names = [value.name for value in expression.type.canonicalType]
        if found[2] in names and len(names) > 1:
            other = names[(names.index(found[2]) + 1) % len(names)]
            self._add("constant:next", (expression, found[1] + other))

    def _select(self, expression: Any, place: _Place) -> None:
        kind = expression.kind.name
        if kind == "ElementSelect":
            self._index(expression.selector, expression.value.type)
            if self._value(expression.selector) is None:
                self._expression(expression.selector, place)
        elif kind == "RangeSelect":
            simple = expression.selectionKind.name == "Simple"
            if not simple and self._value(expression.left) is None:
                self._index(expression.left, expression.value.type)
                self._expression(expression.left, place)
            bits = _shape(expression.type)[0]
            whole = self._text(expression)
            if (
                whole is not None
                and bits > 1
                and expression.type.isIntegral
                and not expression.type.isUnpackedArray
            ):
                mask = f"{bits}'h{(1 << (bits - 1)) - 1:x}"
                self._add("width!", (expression, f"{part(whole)} & {mask}"))

    def _index(self, selector: Any, of: Any) -> None:
        text = self._text(selector)
        if text is None or not of.hasFixedRange:
            return
        selector = _bare(selector)
        bits, signed = _shape(selector.type)
        if self._value(selector) is None:
            one = f"{bits}'{'s' if signed and bits > 1 else ''}d1"
            if bits > 1 or not signed:
                self._add("index!", (selector, f"{part(text)} + {one}"))
            return
        fixed = of.fixedRange
        low, high = min(fixed.left, fixed.right), max(fixed.left, fixed.right)
        if low == high:
            return
        number = int(self._value(selector))
        self._add("index!", (selector, str(number + 1 if number < high else number - 1)))

    def _selectors(self, left: Any) -> None:
        """The indices of what is assigned in a procedure."""
        while left.kind.name in _SELECTS:
            if left.kind.name == "ElementSelect" and self._value(left.selector) is None:
                self._index(left.selector, left.value.type)
            left = left.value

    def _sign(self, conversion: Any) -> None:
        """A signed value that its context makes wider, as if it had none."""
        operand = conversion.operand
        bits, signed = _shape(conversion.type)
        narrow, is_signed = _shape(operand.type)
        if not (conversion.isImplicit and signed and is_signed and bits > narrow > 1):
            return
        if operand.kind.name not in ("NamedValue", "Call", *_SELECTS):
            return
        text = self._text(operand)
        if text is not None and self._value(operand) is None:
            self._add("sign!", (operand, f"signed'({bits}'(unsigned'({text})))"))

    def _stale(self, expression: Any, place: _Place) -> None:
        text = self._text(expression)
        symbol = expression.symbol
        if text is None or text != symbol.name or not text.endswith("_d"):
            return
        register = f"{text[:-2]}_q"
        scope = symbol.parentScope
        other = None if scope is None else scope.find(register)
        if other is None or place.target.startswith(register) or str(other.type) != str(symbol.type):
            return
        self._add("stale", (expression, register))

    def _value(self, expression: Any) -> Any:
        """The value of an expression that is known before the simulation, else None."""
        if expression.constant is not None:
            return expression.constant.value
        found = expression.eval(self._context)
        return found.value if found else None

    # Edits

    def _exchange(self, one: Any, other: Any) -> None:
        one, other = _bare(one), _bare(other)
        texts = self._text(one), self._text(other)
        if texts[0] is None or texts[1] is None or texts[0] == texts[1]:
            return
        if any(each.kind.name in _PATTERNS or each.bad for each in (one, other)):
            return
        self._add("exchange!", (one, texts[1]), (other, texts[0]))

    def _add(self, kind: str, *edits: tuple[Any, str | None]) -> None:
        """Record a fault: a kind, which may tell apart faults of one expression (``:``) and say that its text fits one
        width only (``!``), and what stands in place of what."""
        spans, texts = [], []
        file = None
        for expression, text in edits:
            place = self._place(expression)
            if place is None or text is None:
                return
            file, start, end = place
            self._types[place].add(_shape(expression.type))
            spans.append((start, end))
            texts.append(text)
        assert file is not None
        self._edits[file, kind, tuple(spans)].add(tuple(texts))

    def _place(self, expression: Any) -> tuple[Path, int, int] | None:
        """File and offsets of an expression that may be replaced; None in a macro or elsewhere."""
        where = expression.sourceRange
        if self._manager.isMacroLoc(where.start) or self._manager.isMacroLoc(where.end):
            return None
        number = where.start.buffer.id
        if number not in self._names:
            path = Path(str(self._manager.getFullPath(where.start.buffer))).resolve()
            self._names[number] = path if path in self._files else None
        file = self._names[number]
        if file is None or where.end.offset <= where.start.offset:
            return None
        return file, where.start.offset, where.end.offset

    def _text(self, expression: Any) -> str | None:
        place = self._place(expression)
        return None if place is None else self._files[place[0]][place[1] : place[2]].decode()


def _bare(expression: Any) -> Any:
    """An expression without the conversions that nobody wrote."""
    while expression.kind.name == "Conversion" and expression.isImplicit:
        expression = expression.operand
    return expression


def _shape(type_: Any) -> tuple[int, bool]:
    """Width in bits (0: none) and sign of a type."""
    return (type_.bitWidth, type_.isSigned) if type_.isIntegral else (0, False)


def _assignment_of(statement: Any) -> Any:
    """The assignment that a statement is, if it is one."""
    if statement is None or statement.kind.name != "ExpressionStatement":
        return None
    expression = statement.expr
    return expression if expression.kind.name == "Assignment" and not expression.isCompound else None
