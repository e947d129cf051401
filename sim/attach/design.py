# SPDX-License-Identifier: Apache-2.0
"""The elaborated top module of a foreign design: ports and parameters, as slang sees them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyslang
from pyslang import ast

from assay.sim.attach.filelist import FileList
from assay.sim.elaborate import elaborate
from assay.tb.errors import AssayError, BuildFailed, unknown

_SHOWN_MODULES = 12

_DIRECTIONS = {
    ast.ArgumentDirection.In: "input",
    ast.ArgumentDirection.Out: "output",
    ast.ArgumentDirection.InOut: "inout",
    ast.ArgumentDirection.Ref: "ref",
}


@dataclass(frozen=True)
class Member:
    """A member of a packed structure: where its bits are."""

    name: str
    lsb: int
    width: int


@dataclass(frozen=True)
class Port:
    """A port of the top, after elaboration.

    Attributes:
        direction: ``input``, ``output``, ``inout`` or ``ref``; empty for an interface.
        width: bits of the whole port, all elements of an unpacked array together; 0 if it has no fixed number of bits.
        signed: declared signed.
        type_name: the type as slang writes it, for messages.
        dimensions: an unpacked array's ranges as (left, right), outermost first; empty for others.
        element: for an unpacked array, the type of an element as SystemVerilog text.
        members: the leaves of a packed structure, most significant first; empty for others.
        enum: declared with an enumeration type.
        element_bits: bits of an element of an array, packed or not; of another port its width.
        file, line: of the declaration.
    """

    name: str
    direction: str
    width: int
    signed: bool
    type_name: str
    file: str
    line: int
    dimensions: tuple[tuple[int, int], ...] = ()
    element: str = ""
    members: tuple[Member, ...] = ()
    enum: bool = False
    element_bits: int = 0

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class TopParameter:
    """A parameter of the top that an instance may set.

    Attributes:
        value: after elaboration: an int, a string, or SystemVerilog text for other types.
        given: set by the user.
    """

    name: str
    value: int | str
    is_string: bool = False
    given: bool = False


@dataclass
class Design:
    """The top module and the files it was read from."""

    top: str
    files: FileList
    ports: list[Port]
    parameters: list[TopParameter]
    file: str
    line: int
    warnings: list[str] = field(default_factory=list)


def read_design(files: FileList, top: str, parameters: Mapping[str, str] | None = None) -> Design:
    """Elaborate `top`.

    Args:
        parameters: values for parameters of the top, as SystemVerilog text.

    Raises:
        BuildFailed: the design does not elaborate; the message holds the compiler's errors with file and line.
        AssayError: no such module, no such parameter, or a port that no bench can drive.
    """
    parameters = parameters or {}
    elaborated = elaborate(
        top,
        files.sources,
        files.includes,
        files.defines,
        parameters,
        ("--compat", "all", "--allow-toplevel-iface-ports"),
    )
    compilation = elaborated.compilation
    root = compilation.getRoot()
    manager = elaborated.slang.sourceManager
    modules = _modules(compilation)
    if top not in modules:
        if not modules and (errors := elaborated.errors()):
            raise BuildFailed(f"{top} does not compile:\n{errors}")
        raise _no_module(top, modules)
    if errors := elaborated.errors():
        raise BuildFailed(f"{top} does not elaborate:\n{errors}")
    (instance,) = root.topInstances
    settable = [p for p in instance.body.parameters if not p.isLocalParam]
    for name in parameters:
        if name not in [p.name for p in settable]:
            raise unknown(f"parameter of {top}", name, [p.name for p in settable])
    file = _short(manager.getFullPath(manager.getFullyOriginalLoc(instance.body.location).buffer))
    return Design(
        top=top,
        files=files,
        ports=[_port(p, manager) for p in instance.body.portList],
        parameters=[_parameter(p, p.name in parameters) for p in settable],
        file=file,
        line=manager.getLineNumber(instance.body.location),
    )


def _short(path: Path | str) -> str:
    """A path as the user would write it: relative if it is below the current directory."""
    return str(path).removeprefix(os.getcwd() + os.sep)


def _no_module(top: str, modules: list[str]) -> AssayError:
    near = difflib.get_close_matches(top, modules, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    shown = sorted(modules)[:_SHOWN_MODULES]
    more = f" and {len(modules) - len(shown)} more" if len(modules) > len(shown) else ""
    return AssayError(
        f"--top {top}: no such module{hint}; the sources have {', '.join(shown) or 'none'}{more}"
    )


def _modules(compilation: ast.Compilation) -> list[str]:
    return [
        d.name
        for d in compilation.getDefinitions()
        if getattr(d, "definitionKind", None) == ast.DefinitionKind.Module
    ]


def _port(symbol: ast.Symbol, manager: pyslang.SourceManager) -> Port:
    location = manager.getFullyOriginalLoc(symbol.location)
    file, line = _short(manager.getFullPath(location.buffer)), manager.getLineNumber(location)
    if isinstance(symbol, ast.InterfacePortSymbol):
        kind = symbol.interfaceDef.name if symbol.interfaceDef else "interface"
        modport = f".{symbol.modport}" if symbol.modport else ""
        return Port(symbol.name, "", 0, False, f"{kind}{modport}", file, line)
    assert isinstance(symbol, ast.PortSymbol | ast.MultiPortSymbol), "slang has no other kinds of ports"
    declared = symbol.type
    name, direction = symbol.name, _DIRECTIONS[symbol.direction]
    dimensions: list[tuple[int, int]] = []
    element = declared.canonicalType
    while isinstance(element, ast.FixedSizeUnpackedArrayType):
        dimensions.append((element.range.left, element.range.right))
        element = element.elementType.canonicalType
    if not element.isIntegral:
        return Port(name, direction, 0, False, str(declared), file, line)
    count = 1
    for left, right in dimensions:
        count *= abs(left - right) + 1
    return Port(
        name,
        direction,
        element.bitWidth * count,
        element.isSigned,
        str(declared),
        file,
        line,
        dimensions=tuple(dimensions),
        element=_element_text(declared) if dimensions else "",
        members=() if dimensions else tuple(_members(element, "", 0)),
        enum=not dimensions and element.isEnum,
        element_bits=_element_bits(element),
    )


def _element_bits(element: ast.Type) -> int:
    """Bits of the innermost element of a packed array of vectors; of another type, its width."""
    while isinstance(element, ast.PackedArrayType):
        inner = element.elementType.canonicalType
        if inner.bitWidth == 1:
            break
        element = inner
    return element.bitWidth


def _element_text(declared: ast.Type) -> str:
    """The type of an array's element as the bench's top may write it."""
    element = declared.canonicalType
    named = declared
    while isinstance(element, ast.FixedSizeUnpackedArrayType):
        named = element.elementType
        element = named.canonicalType
    if element.isStruct or element.isEnum or element.isPackedUnion:
        return str(named)
    signed = "signed " if element.isSigned else ""
    return f"logic {signed}[{element.bitWidth - 1}:0]"


def _members(structure: ast.Type, prefix: str, lsb: int) -> list[Member]:
    """The leaves of a packed structure."""
    if not isinstance(structure, ast.PackedStructType):
        return []
    found: list[Member] = []
    for item in structure:
        if not isinstance(item, ast.FieldSymbol):
            continue
        kind = item.type.canonicalType
        offset = lsb + item.bitOffset
        found += _members(kind, f"{prefix}{item.name}.", offset) or [
            Member(f"{prefix}{item.name}", offset, kind.bitWidth)
        ]
    return found


def _parameter(symbol: ast.ParameterSymbol | ast.TypeParameterSymbol, given: bool) -> TopParameter:
    if isinstance(symbol, ast.TypeParameterSymbol):
        return TopParameter(symbol.name, str(symbol.targetType.type), given=given)
    value = symbol.value.value
    kind = symbol.type.canonicalType
    if isinstance(value, str) or kind.isString:
        return TopParameter(symbol.name, str(symbol.value).strip('"'), is_string=True, given=given)
    if kind.isIntegral and isinstance(value, pyslang.SVInt) and not value.hasUnknown:
        return TopParameter(symbol.name, int(value), given=given)
    return TopParameter(symbol.name, str(symbol.value), given=given)
