"""The simulator's fast path: for each instruction word a Python function, made once from the instruction table.

A function belongs to a word, not to an address, so that code which changes itself needs no care. What is rare (CSRs,
traps, devices, wfi) is left to the readable `Iss.step`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from golden.controller.instructions import FUNCTIONS, Decoded, decode
from golden.controller.memory_map import IMEM_BASE

if TYPE_CHECKING:
    from golden.controller.iss import Iss

#: Inlined, as a call would take longer than the rest of the instruction.
_INLINE = (
    ("signed(rs1)", "((rs1 ^ 0x80000000) - 0x80000000)"),
    ("signed(rs2)", "((rs2 ^ 0x80000000) - 0x80000000)"),
)
_LIMIT = 1 << 16  #: functions kept; a program that makes code without end starts afresh


class Operations(dict[int, Callable[[Any], Any]]):
    """Word -> function of a hart; missing ones are made. With `trace` a function returns the retirement's tuple."""

    def __init__(self, iss: Iss, trace: bool) -> None:
        super().__init__()
        self.iss = iss
        self.trace = trace

    def __missing__(self, word: int) -> Callable[[Any], Any]:
        if len(self) >= _LIMIT:
            self.clear()
        operation = self[word] = _compile(self.iss, word, self.trace)
        return operation


def _compile(iss: Iss, word: int, trace: bool) -> Callable[[Any], Any]:
    decoded = decode(word, iss.mul_div)
    source = _source(decoded, word, trace) if decoded is not None else None
    if source is None:
        return lambda hart: iss.step(hart.number)
    namespace: dict[str, Any] = {
        **FUNCTIONS,
        "step": iss.step,
        "words": iss.words,
        "halves": iss.halves,
        "octets": iss.bytes,
        "size": len(iss.bytes),
        "tohost": iss.tohost,
    }
    exec(source, namespace)
    return namespace["operation"]


def _source(decoded: Decoded, word: int, trace: bool) -> str | None:
    """Text of the function of a word, or None when `Iss.step` does it.

    A field of the tuple that the body does not set is 0; names are short for rs1, rs2: operands, rd: result.
    """
    instruction, imm = decoded.instruction, decoded.imm
    form = instruction.format
    operation = instruction.operation
    for call, text in _INLINE:
        operation = operation.replace(call, text)
    next_pc = "pc + 4"
    fields = dict.fromkeys(("mem_addr", "rmask", "wmask", "rdata", "wdata"), "0")
    reads = [name for name in ("rs1", "rs2") if name in instruction.operands]
    body = [f"{name} = x[{getattr(decoded, name)}]" for name in reads]
    match form:
        case "R" | "I" | "shift" | "U":
            body.append(f"rd = ({operation.replace('imm', f'({imm})')}) & 0xffffffff")
        case "J":
            if imm & 3:
                return None
            body.append("rd = pc + 4 & 0xffffffff")
            next_pc = f"pc + ({imm}) & 0xffffffff"
        case "jalr":
            body += [
                f"target = rs1 + ({imm}) & 0xfffffffe",
                f"if target & 2: return step({_HART})",
                "rd = pc + 4 & 0xffffffff",
            ]
            next_pc = "target"
        case "B":
            if imm & 3:
                return None
            next_pc = f"pc + ({imm}) & 0xffffffff if {operation} else pc + 4"
        case "load" | "S":
            return _memory_source(decoded, word, trace, body)
        case "fence":
            pass
        case _:
            return None
    writes = form not in ("B", "fence")
    return _function(decoded, word, trace, body, next_pc, writes, fields)


_HART = "h.number"


def _memory_source(decoded: Decoded, word: int, trace: bool, body: list[str]) -> str:
    instruction = decoded.instruction
    size = instruction.size
    body += [
        f"address = rs1 + ({decoded.imm}) & 0xffffffff",
        f"offset = address - {IMEM_BASE}",
    ]
    misaligned = f"offset & {size - 1} or " if size > 1 else ""
    ended = " or address == tohost" if instruction.format == "S" else ""
    body.append(f"if {misaligned}not 0 <= offset < size{ended}: return step({_HART})")
    place = {1: "octets[offset]", 2: "halves[offset >> 1]", 4: "words[offset >> 2]"}[size]
    fields = dict.fromkeys(("mem_addr", "rmask", "wmask", "rdata", "wdata"), "0")
    fields["mem_addr"] = "address"
    mask = str((1 << size) - 1)
    if instruction.format == "S":
        body.append(f"data = rs2 & {(1 << 8 * size) - 1}" if size < 4 else "data = rs2")
        body.append(f"{place} = data")
        fields["wmask"], fields["wdata"] = mask, "data"
        return _function(decoded, word, trace, body, "pc + 4", False, fields)
    sign = 1 << (8 * size - 1)
    body.append(f"data = {place}")
    extended = size < 4 and not instruction.zero_extends
    body.append(f"rd = (data ^ {sign}) - {sign} & 0xffffffff" if extended else "rd = data")
    fields["rmask"], fields["rdata"] = mask, "data"
    return _function(decoded, word, trace, body, "pc + 4", True, fields)


def _function(
    decoded: Decoded,
    word: int,
    trace: bool,
    body: list[str],
    next_pc: str,
    writes: bool,
    fields: dict[str, str],
) -> str:
    rd = decoded.rd if writes else 0
    lines = ["def operation(h):", "x = h.x", "pc = h.pc", *body]
    if rd:
        lines.append(f"x[{rd}] = rd")
    lines.append("h.retired += 1")
    if trace:
        operands = [
            str(decoded.rs1),
            "rs1" if decoded.rs1 else "0",
            str(decoded.rs2),
            "rs2" if decoded.rs2 else "0",
        ]
        lines.append(f"h.pc = to = {next_pc}")
        values = [_HART, "pc", str(word), "0, 0, 0", *operands, str(rd), "rd" if rd else "0", "to"]
        lines.append(f"return ({', '.join([*values, *fields.values(), '0'])})")
    else:
        lines.append(f"h.pc = {next_pc}")
    return "\n    ".join(lines) + "\n"
