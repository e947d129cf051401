# SPDX-License-Identifier: Apache-2.0
"""The simulator's fast path: for each instruction word a Python function, made from the instruction table.

An instruction is compiled once, with its operands as parameters; the function of a word is that code with the word's
operands as default arguments, which Python reads as fast as locals. A function belongs to a word, not to an address, so
that code which changes itself needs no care. What is rare (CSRs, traps, devices, wfi) is left to the simulator's
readable `step`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from assay.golden.controller.instructions import FUNCTIONS, Decoded, Instruction, decode
from assay.golden.controller.memory_map import IMEM_BASE

#: Inlined, as a call would take longer than the rest of the instruction.
_INLINE = (
    ("signed(rs1)", "((rs1 ^ 0x80000000) - 0x80000000)"),
    ("signed(rs2)", "((rs2 ^ 0x80000000) - 0x80000000)"),
)
_LIMIT = 1 << 16  #: functions kept; a program that makes code without end starts afresh
_HART = "h.number"
#: What a word's function has of its own, in this order.
_OPERANDS = ("d", "a", "b", "imm", "word")


@dataclass(frozen=True)
class Machine:
    """What the functions work on.

    Attributes:
        mul_div: whether there is the M extension.
        step: executes a hart's next instruction, by the hart's number; for what is rare.
        words, halves, octets: the memories' storage, in units of 4, 2 and 1 bytes.
        size: bytes of the memories.
    """

    mul_div: bool
    step: Callable[[int], Any]
    words: Any
    halves: Any
    octets: Any
    size: int


class Operations(dict[int, Callable[[Any], Any]]):
    """Word -> function of a hart; missing ones are made. With `trace` a function returns the retirement's tuple."""

    def __init__(self, machine: Machine, trace: bool) -> None:
        super().__init__()
        self.machine = machine
        self.trace = trace
        self._codes: dict[tuple[str, bool], CodeType | None] = {}
        self._globals = {
            **FUNCTIONS,
            "step": machine.step,
            "words": machine.words,
            "halves": machine.halves,
            "octets": machine.octets,
            "size": machine.size,
            "tohost": -1,
        }

    def watch(self, tohost: int) -> None:
        """Leave stores to this address to `step`; -1: none."""
        self._globals["tohost"] = tohost

    def __missing__(self, word: int) -> Callable[[Any], Any]:
        if len(self) >= _LIMIT:
            self.clear()
        operation = self[word] = self._make(word)
        return operation

    def _make(self, word: int) -> Callable[[Any], Any]:
        decoded = decode(word, self.machine.mul_div)
        code = self._code(decoded) if decoded is not None else None
        if code is None:
            step = self.machine.step
            return lambda hart: step(hart.number)
        operands = decoded.rd, decoded.rs1, decoded.rs2, decoded.imm, word
        return FunctionType(code, self._globals, argdefs=operands)

    def _code(self, decoded: Decoded) -> CodeType | None:
        """The instruction's code, with or without a register to write; None when `step` does it."""
        instruction = decoded.instruction
        if instruction.format in ("B", "J") and decoded.imm & 3:
            return None
        key = instruction.name, decoded.rd != 0
        if key not in self._codes:
            source = _source(instruction, decoded.rd != 0, self.trace)
            self._codes[key] = None if source is None else _compiled(source)
        return self._codes[key]


def _compiled(source: str) -> CodeType:
    made: dict[str, Any] = {}
    exec(source, made)
    return made["operation"].__code__


def _source(instruction: Instruction, writes: bool, trace: bool) -> str | None:
    """Text of an instruction's function, or None when `step` does it.

    d, a, b: numbers of rd, rs1, rs2, whose values are rd, rs1, rs2. A field of the tuple that is not set is 0.
    """
    form, operation = instruction.format, instruction.operation
    for call, text in _INLINE:
        operation = operation.replace(call, text)
    next_pc = "pc + 4"
    body = [
        f"{name} = x[{place}]" for name, place in (("rs1", "a"), ("rs2", "b")) if name in instruction.operands
    ]
    match form:
        case "R" | "I" | "shift" | "U":
            body.append(f"rd = ({operation}) & 0xffffffff")
        case "J":
            body.append("rd = pc + 4 & 0xffffffff")
            next_pc = "pc + imm & 0xffffffff"
        case "jalr":
            body += [
                "target = rs1 + imm & 0xfffffffe",
                f"if target & 2: return step({_HART})",
                "rd = pc + 4 & 0xffffffff",
            ]
            next_pc = "target"
        case "B":
            next_pc = f"pc + imm & 0xffffffff if {operation} else pc + 4"
        case "load" | "S":
            return _memory_source(instruction, writes, trace, body)
        case "fence":
            pass
        case _:
            return None
    return _function(instruction, writes, trace, body, next_pc, {})


def _memory_source(instruction: Instruction, writes: bool, trace: bool, body: list[str]) -> str:
    size = instruction.size
    body += [
        "address = rs1 + imm & 0xffffffff",
        f"offset = address - {IMEM_BASE}",
    ]
    misaligned = f"offset & {size - 1} or " if size > 1 else ""
    ended = " or address == tohost" if instruction.format == "S" else ""
    body.append(f"if {misaligned}not 0 <= offset < size{ended}: return step({_HART})")
    place = {1: "octets[offset]", 2: "halves[offset >> 1]", 4: "words[offset >> 2]"}[size]
    mask = str((1 << size) - 1)
    if instruction.format == "S":
        body.append(f"data = rs2 & {(1 << 8 * size) - 1}" if size < 4 else "data = rs2")
        body.append(f"{place} = data")
        fields = {"mem_addr": "address", "wmask": mask, "wdata": "data"}
    else:
        sign = 1 << (8 * size - 1)
        body.append(f"data = {place}")
        extended = size < 4 and not instruction.zero_extends
        body.append(f"rd = (data ^ {sign}) - {sign} & 0xffffffff" if extended else "rd = data")
        fields = {"mem_addr": "address", "rmask": mask, "rdata": "data"}
    return _function(instruction, writes, trace, body, "pc + 4", fields)


def _function(
    instruction: Instruction,
    writes: bool,
    trace: bool,
    body: list[str],
    next_pc: str,
    fields: dict[str, str],
) -> str:
    lines = [f"def operation(h, {', '.join(_OPERANDS)}):", "x = h.x", "pc = h.pc", *body]
    if writes:
        lines.append("x[d] = rd")
    lines.append("h.retired += 1")
    if trace:
        reads = {name: name in instruction.operands for name in ("rs1", "rs2")}
        operands = ["a, rs1" if reads["rs1"] else "0, 0", "b, rs2" if reads["rs2"] else "0, 0"]
        memory = [fields.get(name, "0") for name in ("mem_addr", "rmask", "wmask", "rdata", "wdata")]
        result = "d, rd" if writes else "0, 0"
        lines.append(f"h.pc = to = {next_pc}")
        lines.append(
            f"return ({', '.join([_HART, 'pc, word, 0, 0, 0', *operands, result, 'to', *memory, '0'])})"
        )
    else:
        lines.append(f"h.pc = {next_pc}")
    return "\n    ".join(lines) + "\n"
