# SPDX-License-Identifier: Apache-2.0
"""The compiled simulator: C++ from the instruction table, which confirms ordinary retirements many at a time.

It takes a trace and goes on while each retirement is what the hart's next instruction does. It stops in front of the
first one that differs or that it does not handle: traps, interrupts, CSRs, devices, wfi, the end of a program. From
there `iss.Iss`, which shares memories and registers with it, takes the next step. So whatever it reports comes from
the readable simulator.

The operations are the table's expressions, translated; words are decoded by `instructions.decode`, once each. The rest
is written by hand in ``iss.cpp``.
"""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from assay.golden.controller.instructions import INSTRUCTIONS, Instruction, decode
from assay.golden.controller.iss import Iss, Retirement
from assay.golden.controller.memory_map import IMEM_BASE

__all__ = ["RETIREMENT", "CompiledIss", "files"]

_BYTES = ("hart", "trap", "intr", "rs1_addr", "rs2_addr", "rd_addr", "mem_rmask", "mem_wmask")
#: A `Retirement` in memory: its fields one behind the other, little end first.
RETIREMENT = np.dtype([(name, "u1" if name in _BYTES else "<u4") for name in Retirement._fields])

#: `Stop` of iss.cpp.
_ALL, _ASKED, _UNLIKE, _UNKNOWN = range(4)
_FAR = (1 << 63) - 1

_LEFT = 1  #: number of what is left to the readable simulator
_FORMATS = ("R", "I", "shift", "U", "J", "jalr", "B", "load", "S", "fence")
#: Number of each operation that is compiled.
_NUMBERS = {
    instruction.name: number
    for number, instruction in enumerate((i for i in INSTRUCTIONS if i.format in _FORMATS), _LEFT + 1)
}


# ---------------------------------------------------------------------------------------------------------
# The source
# ---------------------------------------------------------------------------------------------------------
_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.LShift: "<<",
    ast.RShift: ">>",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.Lt: "<",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_CALLS = {
    "signed": "as_signed(static_cast<uint32_t>({}))",
    "unsigned": "as_unsigned({})",
    "divide": "divide({}, {})",
    "remainder": "remainder({}, {})",
}


def translate(operation: str) -> str:
    """A C++ expression of type Wide (or bool) for an `Instruction.operation`.

    Raises `ValueError` for what is not in the table so far.
    """
    return _translated(ast.parse(operation, mode="eval").body)


def _translated(node: ast.expr) -> str:
    match node:
        case ast.Name(name):
            return f"Wide({name})"
        case ast.Constant(int(value)):
            return f"Wide({value})"
        case ast.BinOp(left, operator, right) if type(operator) in _OPERATORS:
            if isinstance(operator, (ast.LShift, ast.RShift)):
                return f"({_translated(left)} {_OPERATORS[type(operator)]} int({_translated(right)}))"
            return f"({_translated(left)} {_OPERATORS[type(operator)]} {_translated(right)})"
        case ast.Compare(left, [operator], [right]) if type(operator) in _OPERATORS:
            return f"({_translated(left)} {_OPERATORS[type(operator)]} {_translated(right)})"
        case ast.Call(ast.Name(function), arguments, []) if function in _CALLS:
            return _CALLS[function].format(*map(_translated, arguments))
    raise ValueError(f"{ast.unparse(node)}: cannot be translated to C++")


def _case(instruction: Instruction) -> str:
    """What an instruction sets, as a case of iss.cpp's switch; variables as there."""
    match instruction.format:
        case "R" | "I" | "shift" | "U":
            body = [f"rd = static_cast<uint32_t>({translate(instruction.operation)});"]
        case "J":
            body = ["rd = pc + 4;", "next_pc = pc + imm;", "if (next_pc & 3) return index;"]
        case "jalr":
            body = ["rd = pc + 4;", "next_pc = (rs1 + imm) & ~1u;", "if (next_pc & 3) return index;"]
        case "B":
            taken = translate(instruction.operation)
            body = [f"if ({taken}) {{ next_pc = pc + imm; if (next_pc & 3) return index; }}"]
        case "load" | "S":
            body = _access(instruction)
        case _:
            body = []
    lines = "".join(f"        {line}\n" for line in [*body, "break;"])
    return f"      case {_NUMBERS[instruction.name]}:  // {instruction.name}\n{lines}"


def _access(instruction: Instruction) -> list[str]:
    size = instruction.size
    mask, bits = (1 << size) - 1, (1 << 8 * size) - 1
    body = ["address = rs1 + imm;", "offset = address - kMemoryBase;"]
    if size > 1:
        body.append(f"if (offset & {size - 1}) return index;")
    body.append("if (offset >= size) { *why = kAsked; return index; }")
    if instruction.format == "S":
        body.append("if (offset == tohost) { *why = kAsked; return index; }")
        return [*body, f"stored = rs2 & 0x{bits:x}u;", f"wmask = {mask};"]
    body += [f"std::memcpy(&loaded, memory + offset, {size});", f"rmask = {mask};"]
    signed = "" if instruction.zero_extends or size == 4 else f"static_cast<int{8 * size}_t>"
    return [*body, f"rd = static_cast<uint32_t>({signed}(loaded));"]


def files() -> Mapping[str, str]:
    """Name -> text of the C++ files; ``iss.cpp`` is the one to compile."""
    fields = "".join(
        f"  {'uint8_t' if RETIREMENT[name].itemsize == 1 else 'uint32_t'} {name};\n"
        for name in RETIREMENT.names or ()
    )
    return {
        "iss.cpp": Path(__file__).with_name("iss.cpp").read_text(encoding="utf-8"),
        "retirement.inc": (
            f"constexpr uint32_t kMemoryBase = 0x{IMEM_BASE:x}u;\n\n"
            f"struct __attribute__((packed)) Retirement {{\n{fields}}};\n"
        ),
        "operations.inc": "".join(_case(i) for i in INSTRUCTIONS if i.name in _NUMBERS),
    }


# ---------------------------------------------------------------------------------------------------------
# The library
# ---------------------------------------------------------------------------------------------------------
class _Hart(ctypes.Structure):
    """`Hart` of iss.cpp."""

    _fields_ = (
        ("alarm", ctypes.c_int64),
        ("clock", ctypes.c_int64),
        ("retired", ctypes.c_uint64),
        ("pc", ctypes.c_uint32),
    )


class CompiledIss:
    """Confirms retirements beside an `Iss`, whose state it moves on.

    Args:
        library: of `files`, compiled.
        iss: memories and registers are shared with it; program counters and counts are exchanged by `give`, `take`.
    """

    def __init__(self, library: ctypes.CDLL, iss: Iss) -> None:
        self._iss = iss
        pointer, u32 = ctypes.c_void_p, ctypes.c_uint32
        library.iss_make.restype = pointer
        library.iss_follow.restype = ctypes.c_uint64
        library.iss_follow.argtypes = [
            *(pointer, pointer, ctypes.c_int64, pointer, ctypes.c_size_t),
            *(pointer, ctypes.c_uint64, ctypes.c_uint64, pointer),
        ]
        library.iss_teach.argtypes = [pointer, u32, *[ctypes.c_uint8] * 4, ctypes.c_int32]
        library.iss_free.argtypes = [pointer]
        self._follow, self._teach, self._free = library.iss_follow, library.iss_teach, library.iss_free
        count = len(iss.harts)
        registers = (pointer * count)(*(hart.x.buffer_info()[0] for hart in iss.harts))
        memory = iss.words.buffer_info()[0]
        make = library.iss_make
        make.argtypes = [pointer, u32, u32, u32, pointer]
        self._machine = make(memory, 4 * iss.parameters.imem_words, len(iss.bytes), count, registers)
        self._harts = (_Hart * count)()
        self._why = ctypes.c_int32()
        self._arguments = self._machine, ctypes.addressof(self._harts), ctypes.addressof(self._why)
        self.unlike = False  #: `follow` ended at a retirement that it found to differ

    def __del__(self) -> None:
        if machine := getattr(self, "_machine", None):
            self._free(machine)

    def give(self, hart: int, alarm: int) -> None:
        """Let `follow` go on with a hart from the readable simulator's state, until a clock."""
        self._harts[hart].pc = self._iss.harts[hart].pc
        self._harts[hart].alarm = min(alarm, _FAR)

    def set_alarm(self, hart: int, alarm: int) -> None:
        """From this clock on a hart's retirements are not confirmed here."""
        self._harts[hart].alarm = min(alarm, _FAR)

    def take(self, hart: int) -> int | None:
        """Bring the readable simulator to where `follow` is; gives the clock of the hart's last retirement there.

        None: nothing has been confirmed since the last `take`.
        """
        state, golden = self._harts[hart], self._iss.harts[hart]
        if not state.retired:
            return None
        golden.pc = state.pc
        golden.waiting = False
        golden.retired += state.retired
        state.retired = 0
        return state.clock

    def follow(self, records: np.ndarray, clocks: np.ndarray, index: int) -> int:
        """Confirm retirements from `index` on.

        Args:
            records: structured [n], the first fields of which are `RETIREMENT`'s; contiguous.
            clocks: uint32[n], contiguous.

        Returns:
            The index of the first retirement that is not confirmed, or n. Its hart must `take`, be stepped by the
            readable simulator, and `give`.
        """
        machine, harts, why = self._arguments
        iss, count = self._iss, len(records)
        tohost = -1 if iss.tohost is None else iss.tohost - IMEM_BASE
        where, stride, when = records.ctypes.data, records.itemsize, clocks.ctypes.data
        while True:
            index = self._follow(machine, harts, tohost, where, stride, when, index, count, why)
            if self._why.value != _UNKNOWN:
                self.unlike = self._why.value == _UNLIKE
                return index
            pc = self._harts[int(records["hart"][index])].pc
            self._learn(iss.words[pc - IMEM_BASE >> 2])

    def _learn(self, word: int) -> None:
        decoded = decode(word, self._iss.mul_div)
        if decoded is None:
            self._teach(self._machine, word, _LEFT, 0, 0, 0, 0)
            return
        number = _NUMBERS.get(decoded.instruction.name, _LEFT)
        self._teach(self._machine, word, number, decoded.rd, decoded.rs1, decoded.rs2, decoded.imm)
