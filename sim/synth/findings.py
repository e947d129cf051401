# SPDX-License-Identifier: Apache-2.0
"""What no design may become: latches, loops, nets with no driver or two, arrays of flip-flops in place of memories."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from assay.sim.synth.mapping import Elaborated
from assay.sim.synth.netlist import LATCHES, Bit, Cell, Memory, Module

WORDS_OF_REGISTERS = 16
"""Words of an array that may be flip-flops; a larger one is a memory."""

_MULTIPLEXERS = ("$bmux", "$shiftx", "$shift", "$shr")
"""Cells that read a part of A at a place that is computed."""

_WARNING = re.compile(r"^Warning: (.*)((?:\n {4}.*)*)", re.MULTILINE)
_DRIVERS = re.compile(r"multiple conflicting drivers for ([^.]*(?:\$.*?)?)\.\\(\S+)(?: \[\d+\])?:")
_LOOP = re.compile(r"found logic loop in module (\S+):")


def find(design: Elaborated, registers: Mapping[str, str]) -> list[str]:
    """What is wrong with a design, a sentence each, with module and signal.

    Args:
        registers: "module.array" -> why it may be flip-flops, whatever its size.
    """
    found = list(_warnings(design))
    for module in design.source.values():
        found += _latches(module)
        found += _undriven(module, design.source)
    arrays: dict[str, str] = {}
    for module in design.words.values():
        for name, text in _arrays(module):
            arrays.setdefault(name, text)
    found += [text for name, text in arrays.items() if name not in registers]
    found += [
        f"{name}: is no array of flip-flops that must be explained; remove it from the block's declaration"
        for name in registers
        if name not in arrays
    ]
    return list(dict.fromkeys(found))


def of_source(name: str) -> str:
    """The name of a module in the source; yosys adds the place of the instance."""
    return name.partition("$")[0]


def _warnings(design: Elaborated) -> Iterator[str]:
    """What yosys' ``check`` complains about."""
    for said in _WARNING.finditer(design.check):
        first, rest = said[1], said[2]
        if drivers := _DRIVERS.fullmatch(first):
            ports = re.findall(r"cell (\S+) \((\S+)\)", rest)
            cells = [name for name, _ in ports if not name.startswith("$")]
            by = f" ({', '.join(dict.fromkeys(cells))})" if cells else ""
            yield f"{of_source(drivers[1])}.{drivers[2]}: several drivers{by}"
        elif loop := _LOOP.fullmatch(first):
            nets = re.findall(r"wire \\(\S+)", rest)
            yield (
                f"{of_source(loop[1])}.{', '.join(dict.fromkeys(nets))}: depends on itself: a branch of always_comb "
                "does not assign it, or gates form a loop"
            )
        else:
            yield first


def _latches(module: Module) -> Iterator[str]:
    for cell in module.cells:
        if cell.type in LATCHES:
            yield f"{of_source(module.name)}.{', '.join(module.called(cell.pins['Q']))}: is a latch"


def _undriven(module: Module, modules: Mapping[str, Module]) -> Iterator[str]:
    """Nets without a driver, which the front end sets to unknown."""
    for cell in module.cells:
        if cell.type == "$buf":
            bits = [y for a, y in zip(cell.pins["A"], cell.pins["Y"], strict=True) if a == "x"]
            for name in module.called(bits):
                yield _without_driver(module, name, [bit in bits for bit in module.nets[name]])
        elif cell.type in modules:
            for port, (direction, _) in modules[cell.type].ports.items():
                if direction == "input" and (port not in cell.pins or "x" in cell.pins[port]):
                    yield f"{of_source(module.name)}.{cell.name}.{port}: input is not connected"
    for name, net in module.nets.items():
        if "x" in net:
            yield _without_driver(module, name, [bit == "x" for bit in net])


def _without_driver(module: Module, name: str, missing: list[bool]) -> str:
    which = [str(index) for index, each in enumerate(missing) if each]
    some = "" if all(missing) else f" of bit {', '.join(which)}"
    return f"{of_source(module.name)}.{name}: has no driver{some}"


def _arrays(module: Module) -> Iterator[tuple[str, str]]:
    """Arrays that a computed index reads and that are flip-flops though too large: name, sentence."""
    flip_flops: dict[Bit, Cell] = {}
    for cell in module.cells:
        if cell.is_flip_flop:
            flip_flops.update((bit, cell) for bit in cell.pins["Q"])
    for cell in module.cells:
        if cell.is_memory:
            memory = Memory.of(cell)
            if memory.indexed and memory.written and not memory.clocked and memory.words > WORDS_OF_REGISTERS:
                why = "because it is read without a clock"
                yield _array(module, cell.name, memory.words, memory.width, why)
        elif cell.type in _MULTIPLEXERS:
            source, width = cell.pins["A"], len(cell.pins["Y"])
            bits = [bit for bit in source if bit in flip_flops]
            words = len(source) // width
            if words > WORDS_OF_REGISTERS and 2 * len(bits) > len(source):
                name = re.sub(r"(\[\d+\])+$", "", module.names.get(bits[0], cell.name))
                why = "because it is reset, or read or written other than word by word"
                yield _array(module, name, words, width, why)


def _array(module: Module, name: str, words: int, width: int, why: str) -> tuple[str, str]:
    full = f"{of_source(module.name)}.{name}"
    return full, f"{full}: {words} words of {width} bits are flip-flops in place of a memory, {why}"
