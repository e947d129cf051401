# SPDX-License-Identifier: Apache-2.0
"""Netlists as yosys writes them (``write_json``): drivers, names and paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from assay.tb.errors import BuildFailed

Bit = int | str
"""A net's number, or a constant: "0", "1", "x"."""

LATCHES = ("$dlatch", "$adlatch", "$dlatchsr", "$sr")

_FLIP_FLOP = re.compile(r"\$(?:a|s|al)?dff\w*|\$_(?:S|AL|SDFFC)?DFF\w*_")
_GATE = re.compile(r"\$_(?:AND|NAND|OR|NOR|XOR|XNOR|ANDNOT|ORNOT|MUX|NOT)_")

TRANSISTORS = {
    **{"$_NOT_": 2, "$_NAND_": 4, "$_NOR_": 4, "$_AND_": 6, "$_OR_": 6, "$_ANDNOT_": 6, "$_ORNOT_": 6},
    **{"$_XOR_": 12, "$_XNOR_": 12, "$_MUX_": 12},
}
"""Of each gate, in static CMOS; those of yosys' ``stat -tech cmos``."""

TRANSISTORS_OF_FLIP_FLOP = 16
TRANSISTORS_OF_NAND = 4


@dataclass(frozen=True)
class Cell:
    """A cell of a module."""

    name: str
    type: str
    pins: Mapping[str, list[Bit]]
    parameters: Mapping[str, str]

    @property
    def is_flip_flop(self) -> bool:
        return _FLIP_FLOP.fullmatch(self.type) is not None

    @property
    def is_memory(self) -> bool:
        return self.type == "$mem_v2"

    @property
    def is_gate(self) -> bool:
        return _GATE.fullmatch(self.type) is not None

    def number(self, parameter: str) -> int:
        """A parameter that is a number."""
        return int(self.parameters[parameter], 2)


@dataclass(frozen=True)
class Memory:
    """An array that a netlist keeps as one cell.

    Attributes:
        words, width: its size; width in bits.
        indexed: whether a read's address is not constant.
        clocked: whether each read ends in a register of the array, so that it can be a RAM.
        written: whether it is not a table of constants.
    """

    words: int
    width: int
    indexed: bool
    clocked: bool
    written: bool

    @classmethod
    def of(cls, cell: Cell) -> Memory:
        reads = cell.number("RD_PORTS")
        return cls(
            words=cell.number("SIZE"),
            width=cell.number("WIDTH"),
            indexed=any(isinstance(bit, int) for bit in cell.pins["RD_ADDR"]),
            clocked=reads > 0 and cell.number("RD_CLK_ENABLE") == (1 << reads) - 1,
            written=cell.number("WR_PORTS") > 0,
        )

    @property
    def is_ram(self) -> bool:
        return self.clocked and self.indexed

    @property
    def bits(self) -> int:
        return self.words * self.width


@dataclass(frozen=True)
class Module:
    """A module of a netlist."""

    name: str
    cells: tuple[Cell, ...]
    ports: Mapping[str, tuple[str, list[Bit]]]
    """Name -> direction, bits."""
    nets: Mapping[str, list[Bit]]
    """The names of the source -> bits."""

    @cached_property
    def names(self) -> dict[Bit, str]:
        """The name of each bit that has one; that of a port first."""
        found: dict[Bit, str] = {}
        for name in sorted(self.nets, key=lambda name: (name not in self.ports, len(name), name)):
            bits = self.nets[name]
            for index, bit in enumerate(bits):
                if isinstance(bit, int):
                    found.setdefault(bit, f"{name}[{index}]" if len(bits) > 1 else name)
        return found

    def called(self, bits: list[Bit]) -> list[str]:
        """The names of the nets that hold some of these bits, without indices."""
        wanted = {bit for bit in bits if isinstance(bit, int)}
        return [name for name, each in sorted(self.nets.items()) if wanted.intersection(each)]

    @cached_property
    def drivers(self) -> dict[Bit, tuple[Cell, str]]:
        """Bit -> the cell and the pin that drive it, of all but instances of modules."""
        found: dict[Bit, tuple[Cell, str]] = {}
        for cell in self.cells:
            for pin in ("Q", "Y", "RD_DATA"):
                for bit in cell.pins.get(pin, ()) if cell.type.startswith("$") else ():
                    found[bit] = (cell, pin)
        return found


def read(data: Mapping[str, Any]) -> dict[str, Module]:
    """The modules of a netlist by name.

    Args:
        data: a file of ``write_json``.
    """
    modules = {}
    for name, module in data["modules"].items():
        cells = tuple(
            Cell(cell, each["type"], each["connections"], each.get("parameters", {}))
            for cell, each in module["cells"].items()
        )
        ports = {port: (each["direction"], each["bits"]) for port, each in module["ports"].items()}
        nets = {net: each["bits"] for net, each in module["netnames"].items() if not net.startswith("$")}
        modules[name] = Module(name, cells, ports, nets)
    return modules


@dataclass(frozen=True, eq=False)
class Instance:
    """A module at a place of the hierarchy."""

    module: Module
    path: str
    """The instances around it and its own name, with dots; that of the top is its module's name."""
    parent: Instance | None = None
    cell: Cell | None = None
    """That of the parent which it is."""
    inside: dict[str, Instance] = field(default_factory=dict)
    """Name of the cell -> instance."""

    @classmethod
    def tree(cls, modules: Mapping[str, Module], top: str) -> Instance:
        """All instances below a module."""

        def add(instance: Instance) -> Instance:
            for cell in instance.module.cells:
                if cell.type in modules:
                    path = cell.name if instance.parent is None else f"{instance.path}.{cell.name}"
                    inner = cls(modules[cell.type], path, instance, cell)
                    instance.inside[cell.name] = add(inner)
            return instance

        return add(cls(modules[top], top))

    def all(self) -> Iterator[Instance]:
        """This instance and all within, those nearer to the top first."""
        yield self
        for inner in self.inside.values():
            yield from inner.all()

    @cached_property
    def outputs(self) -> dict[Bit, tuple[Instance, Bit]]:
        """Bit -> the instance within that drives it, and the bit there."""
        found: dict[Bit, tuple[Instance, Bit]] = {}
        for inner in self.inside.values():
            assert inner.cell is not None
            for port, (direction, bits) in inner.module.ports.items():
                if direction == "output":
                    found.update(
                        (outer, (inner, bit))
                        for outer, bit in zip(inner.cell.pins.get(port, ()), bits, strict=False)
                    )
        return found

    @cached_property
    def inputs(self) -> dict[Bit, Bit]:
        """Bit of an input port -> the bit of the parent at it."""
        found: dict[Bit, Bit] = {}
        if self.cell is not None:
            for port, (direction, bits) in self.module.ports.items():
                if direction == "input":
                    found.update(zip(bits, self.cell.pins.get(port, ()), strict=False))
        return found


@dataclass(frozen=True)
class Path:
    """The longest path of logic."""

    levels: int
    """Gates on it."""
    start: str
    """Register, port or memory; empty if there is no gate."""
    end: str


Node = tuple[Instance, Bit]


class Paths:
    """Levels of logic at the bits of a netlist of gates: those of registers, memories and ports have none."""

    def __init__(self, whole: bool):
        """
        Args:
            whole: paths go on through ports of instances, in and out; else a port of an instance is an end.
        """
        self.whole = whole
        self._known: dict[Node, tuple[int, Node | None]] = {}

    def longest(self, top: Instance) -> Path:
        """The longest path in an instance, and where `whole`, in all within it.

        Raises:
            BuildFailed: there is a loop of gates; names nets in it.
        """
        best: tuple[int, Node | None, str] = (0, None, "")
        for instance in top.all() if self.whole else (top,):
            for end, bits in self._ends(instance, top):
                for bit in bits:
                    if isinstance(bit, int):
                        levels = self._levels((instance, bit))
                        if levels > best[0]:
                            best = (levels, (instance, bit), end)
        levels, node, end = best
        if node is None:
            return Path(0, "", "")
        while (before := self._known[node][1]) is not None:
            node = before
        return Path(levels, self._named(node, top), end)

    def _ends(self, instance: Instance, top: Instance) -> Iterator[tuple[str, list[Bit]]]:
        """The places in an instance at which paths end: name, bits."""
        prefix = "" if instance is top else f"{instance.path}."
        for cell in instance.module.cells:
            if cell.is_flip_flop:
                name = instance.module.names.get(cell.pins["Q"][0], cell.name)
                yield prefix + name, [bit for pin, bits in cell.pins.items() if pin != "Q" for bit in bits]
            elif cell.is_memory:
                bits = [bit for pin, bits in cell.pins.items() if pin != "RD_DATA" for bit in bits]
                yield prefix + cell.name, bits
            elif cell.name in instance.inside:
                if not self.whole:
                    inner = instance.inside[cell.name].module
                    for port, bits in cell.pins.items():
                        if inner.ports[port][0] == "input":
                            yield f"{cell.name}.{port}", bits
            elif not cell.is_gate:
                raise BuildFailed(f"{instance.path}: yosys left a cell {cell.type}, which is no gate")
        if instance is top:
            for name, (direction, bits) in instance.module.ports.items():
                if direction == "output":
                    yield name, bits

    def _before(self, node: Node) -> tuple[int, list[Node]]:
        """The levels of the gate that drives a bit, 0 or 1, and the bits that it depends on."""
        instance, bit = node
        if bit in instance.module.drivers:
            cell, _ = instance.module.drivers[bit]
            if not cell.is_gate:
                return 0, []
            return 1, [
                (instance, each)
                for pin, bits in cell.pins.items()
                if pin != "Y"
                for each in bits
                if isinstance(each, int)
            ]
        if not self.whole:
            return 0, []
        if bit in instance.outputs:
            return 0, [instance.outputs[bit]]
        outer = instance.inputs.get(bit)
        if instance.parent is None or not isinstance(outer, int):
            return 0, []
        return 0, [(instance.parent, outer)]

    def _levels(self, wanted: Node) -> int:
        known = self._known
        stack = [(wanted, *self._before(wanted))] if wanted not in known else []
        open_nodes = {wanted}
        while stack:
            node, own, before = stack[-1]
            missing = next((each for each in before if each not in known), None)
            if missing is None:
                first = max(before, key=lambda each: known[each][0], default=None)
                known[node] = (own + (known[first][0] if first else 0), first)
                open_nodes.discard(node)
                stack.pop()
            elif missing in open_nodes:
                loop = [each for each, _, _ in stack]
                names = [self._named(each, None) for each in loop[loop.index(missing) :]]
                raise BuildFailed(f"logic loop through {', '.join(dict.fromkeys(filter(None, names)))}")
            else:
                open_nodes.add(missing)
                stack.append((missing, *self._before(missing)))
        return known[wanted][0]

    def _named(self, node: Node, top: Instance | None) -> str:
        """The name of a bit: its own, else that of the memory or the instance that drives it."""
        instance, bit = node
        name = instance.module.names.get(bit, "")
        if not name and bit in instance.module.drivers:
            cell, _ = instance.module.drivers[bit]
            name = "" if cell.is_gate else cell.name
        if not self.whole and bit in instance.outputs:
            inner, port = instance.outputs[bit]
            assert inner.cell is not None
            name = f"{inner.cell.name}.{inner.module.names[port]}"
        return f"{instance.path}.{name}" if name and instance is not top and instance.parent else name
