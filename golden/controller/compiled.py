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

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from assay.golden.controller.instructions import INSTRUCTIONS, Instruction, decode
from assay.golden.controller.iss import Iss, Retirement
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.operations import Language, translate

__all__ = ["CPP", "RETIREMENT", "CompiledIss", "files"]

_BYTES = ("hart", "trap", "intr", "rs1_addr", "rs2_addr", "rd_addr", "mem_rmask", "mem_wmask")
#: A `Retirement` in memory: its fields one behind the other, little end first.
RETIREMENT = np.dtype([(name, "u1" if name in _BYTES else "<u4") for name in Retirement._fields])

#: `Stop` of iss.cpp.
_ALL, _ASKED, _UNLIKE, _UNKNOWN = range(4)

#: `Decoded` of iss.cpp.
_DECODED = np.dtype(
    [("word", "u4"), ("imm", "i4"), *((name, "u1") for name in ("operation", "rd", "rs1", "rs2"))]
)
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
CPP = Language(
    name="C++",
    operand="Wide({})",
    number="Wide({})",
    shifts={"<<": "({} << int({}))", ">>": "({} >> int({}))"},
    comparison="({} {} {})",
    functions={
        "signed": "as_signed(static_cast<uint32_t>({}))",
        "unsigned": "as_unsigned({})",
        "divide": "divide({}, {})",
        "remainder": "remainder({}, {})",
    },
)


def _case(instruction: Instruction) -> str:
    """What an instruction sets, as a case of iss.cpp's switch; variables as there."""
    match instruction.format:
        case "R" | "I" | "shift" | "U":
            body = [f"rd = static_cast<uint32_t>({translate(instruction.operation, CPP)});"]
        case "J":
            body = ["rd = pc + 4;", "next_pc = pc + imm;", "if (next_pc & 3) return index;"]
        case "jalr":
            body = ["rd = pc + 4;", "next_pc = (rs1 + imm) & ~1u;", "if (next_pc & 3) return index;"]
        case "B":
            taken = translate(instruction.operation, CPP)
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
class CompiledIss:
    """Confirms retirements beside an `Iss`, whose state it moves on.

    Args:
        library: of `files`, compiled.
        iss: memories and registers are shared with it; program counters and counts go
            to and fro with `give` and `take`.
    """

    def __init__(self, library: ctypes.CDLL, iss: Iss) -> None:
        self._iss = iss
        pointer, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
        for name, result, arguments in (
            ("iss_make", pointer, [pointer, u32, u32, u32, pointer]),
            ("iss_free", None, [pointer]),
            ("iss_teach", None, [pointer, pointer, ctypes.c_size_t]),
            (
                "iss_follow",
                u64,
                [pointer, pointer, ctypes.c_int64, pointer, ctypes.c_size_t, pointer, u64, u64, pointer],
            ),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._library = library
        count = len(iss.harts)
        # A view of an array keeps it where it is.
        self._held = [memoryview(array) for array in (iss.words, *(hart.x for hart in iss.harts))]
        memory, *registers = (np.frombuffer(view, np.uint32).ctypes.data for view in self._held)
        self._machine = library.iss_make(
            memory, 4 * iss.parameters.imem_words, len(iss.bytes), count, (pointer * count)(*registers)
        )
        self._pc = np.zeros(count, np.uint32)
        self._alarm, self._clock = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._retired = np.zeros(count, np.uint64)
        arrays = self._pc, self._alarm, self._clock, self._retired
        self._harts = (pointer * len(arrays))(*(array.ctypes.data for array in arrays))
        self._why = ctypes.c_int32()
        self._known: set[int] = set()
        self.unlike = False  #: `follow` ended at a retirement that it found to differ

    def __del__(self) -> None:
        if machine := getattr(self, "_machine", None):
            self._library.iss_free(machine)

    def give(self, alarms: Sequence[int]) -> None:
        """Let `follow` go on from the readable simulator's state, each hart until a clock."""
        self._pc[:] = [hart.pc for hart in self._iss.harts]
        self._alarm[:] = alarms

    def take(self) -> list[int | None]:
        """Bring the readable simulator to where `follow` is.

        Returns:
            For each hart the clock of its last retirement there; None: none was confirmed since the last `take`.
        """
        clocks: list[int | None] = [None] * len(self._pc)
        counts = self._retired.tolist()
        if any(counts):
            state = zip(self._iss.harts, counts, self._pc.tolist(), self._clock.tolist(), strict=True)
            for number, (hart, count, pc, clock) in enumerate(state):
                if count:
                    hart.pc, hart.waiting, clocks[number] = pc, False, clock
                    hart.retired += count
            self._retired[:] = 0
        return clocks

    def follow(self, records: np.ndarray, clocks: np.ndarray, index: int) -> int:
        """Confirm retirements from `index` on.

        Args:
            records: structured [n], the first fields of which are `RETIREMENT`'s; contiguous.
            clocks: uint32[n], contiguous.

        Returns:
            The index of the first retirement that is not confirmed, or n. `take` before it is stepped by the readable
            simulator, then `give`.
        """
        iss, count = self._iss, len(records)
        tohost = -1 if iss.tohost is None else iss.tohost - IMEM_BASE
        where = records.ctypes.data, records.itemsize, clocks.ctypes.data
        why, follow = self._why, self._library.iss_follow
        while True:
            index = follow(self._machine, self._harts, tohost, *where, index, count, ctypes.byref(why))
            if why.value != _UNKNOWN:
                self.unlike = why.value == _UNLIKE
                return index
            # What the others of this batch will need is taught at once.
            pc = int(self._pc[records["hart"][index]])
            self._learn({iss.words[pc - IMEM_BASE >> 2], *records["insn"][index:].tolist()} - self._known)

    def _learn(self, words: set[int]) -> None:
        rows = []
        for word in words:
            decoded = decode(word, self._iss.mul_div)
            number = _LEFT if decoded is None else _NUMBERS.get(decoded.instruction.name, _LEFT)
            if decoded is None or number == _LEFT:
                rows.append((word, 0, _LEFT, 0, 0, 0))
            else:
                rows.append((word, decoded.imm, number, decoded.rd, decoded.rs1, decoded.rs2))
        taught = np.array(rows, _DECODED)
        self._library.iss_teach(self._machine, taught.ctypes.data, len(taught))
        self._known |= words
