# SPDX-License-Identifier: Apache-2.0
"""Assembler for the controller: the part of clang's syntax that generated firmware uses, to words and addresses.

    // comment                                          also /* ... */ within a line
    #define NAME number                                 NAME stands for the number wherever a number or CSR may stand
    label:
    instruction operands                                every row of golden/controller/instructions.py
    li la mv not nop j jr ret beqz bnez csrr csrw csrs csrc csrwi csrsi csrci        the usual pseudo-instructions
    .text  .data                                        where the next words go
    .word value, ...   .zero bytes                      value: a number, a name or a label
    .globl label  .option ...  .balign 4                taken and without effect

clang makes the same words of it (`-target riscv32 -march=rv32i_zicsr`, relaxation off), with .text at the instruction
memory's base and .data at the data memory's; but an li of more than 12 bits, here lui and addi, it may make otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from assay.golden.controller import csrs
from assay.golden.controller.instructions import BY_NAME, FORMATS, REGISTER_NAMES, encode, unsigned
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.errors import ConfigurationError, GoldenError

__all__ = ["Assembly", "assemble", "load_constant"]

_REGISTERS = {name: number for number, name in enumerate(REGISTER_NAMES)} | {f"x{n}": n for n in range(32)}
_REGISTERS["fp"] = _REGISTERS["s0"]
_MEMORY_OPERAND = re.compile(r"(.*)\((\w+)\)")
_NAME = re.compile(r"[A-Za-z_.][\w.]*")
_WITHOUT_EFFECT = (".globl", ".option", ".balign", ".section")

#: Pseudo-instruction to the instruction it stands for; {n} is its operand n.
_ALIASES = {
    "nop": ("addi", "zero", "zero", "0"),
    "mv": ("addi", "{0}", "{1}", "0"),
    "not": ("xori", "{0}", "{1}", "-1"),
    "j": ("jal", "zero", "{0}"),
    "jr": ("jalr", "zero", "0({0})"),
    "ret": ("jalr", "zero", "0(ra)"),
    "beqz": ("beq", "{0}", "zero", "{1}"),
    "bnez": ("bne", "{0}", "zero", "{1}"),
    "csrr": ("csrrs", "{0}", "{1}", "zero"),
    "csrw": ("csrrw", "zero", "{0}", "{1}"),
    "csrs": ("csrrs", "zero", "{0}", "{1}"),
    "csrc": ("csrrc", "zero", "{0}", "{1}"),
    "csrwi": ("csrrwi", "zero", "{0}", "{1}"),
    "csrsi": ("csrrsi", "zero", "{0}", "{1}"),
    "csrci": ("csrrci", "zero", "{0}", "{1}"),
}


@dataclass(frozen=True, eq=False)
class Assembly:
    """What source text becomes.

    Attributes:
        text, data: uint32 `[n]`, the words of the two sections.
        symbols: label to address.
        lines: address of a word of the text to the source line it comes from, from 1.
    """

    text: np.ndarray
    data: np.ndarray
    symbols: dict[str, int]
    lines: dict[int, int]


@dataclass(frozen=True)
class _Word:
    """An instruction or datum whose operands wait for the labels."""

    line: int
    address: int
    name: str
    operands: tuple[str, ...]


def assemble(source: str, data_base: int, text_base: int = IMEM_BASE) -> Assembly:
    """Assemble `source`, its text from address `text_base` on and its data from `data_base` on.

    Raises:
        ConfigurationError: the first line that is no assembly, or whose operand is out of range or unknown.
    """
    names: dict[str, int] = {}
    symbols: dict[str, int] = {}
    sections: dict[str, list[_Word]] = {".text": [], ".data": []}
    bases = {".text": text_base, ".data": data_base}
    section = ".text"

    def put(number: int, name: str, *operands: str) -> None:
        words = sections[section]
        words.append(_Word(number, bases[section] + 4 * len(words), name, operands))

    for number, whole in enumerate(source.splitlines(), 1):
        line = re.sub(r"/\*.*?\*/", " ", whole.split("//")[0]).strip()
        try:
            if line.startswith("#define"):
                _, name, value = line.split(None, 2)
                names[name] = _number(value, names)
                continue
            if line.endswith(":"):
                label = line[:-1].strip()
                if not _NAME.fullmatch(label) or label in symbols:
                    raise ConfigurationError(f"label {label!r} is no name, or is there already")
                symbols[label] = bases[section] + 4 * len(sections[section])
                continue
            if not line:
                continue
            name, _, rest = line.partition(" ")
            operands = tuple(part.strip() for part in rest.split(",")) if rest.strip() else ()
            if name in sections:
                section = name
            elif name in _WITHOUT_EFFECT:
                continue
            elif name == ".word":
                for value in operands:
                    put(number, ".word", value)
            elif name == ".zero":
                for _ in range(_number(_only(name, operands, 1)[0], names) // 4):
                    put(number, ".word", "0")
            elif name == "li":
                rd, value = _only(name, operands, 2)
                for instruction in load_constant(rd, _number(value, names)):
                    put(number, instruction[0], *instruction[1:])
            elif name == "la":
                rd, label = _only(name, operands, 2)
                put(number, "la.high", rd, label)
                put(number, "la.low", rd, label)
            elif name in _ALIASES:
                given = _only(name, operands, len(set(re.findall(r"\{\d\}", " ".join(_ALIASES[name])))))
                put(number, *(part.format(*given) for part in _ALIASES[name]))
            elif name in BY_NAME:
                put(number, name, *operands)
            else:
                raise ConfigurationError(f"{name} is no instruction or directive")
        except (GoldenError, ValueError) as error:
            raise ConfigurationError(f"assembly line {number}, {line!r}: {error}") from None

    words = {}
    for name, found in sections.items():
        made = []
        for word in found:
            try:
                made.append(_encode(word, names, symbols))
            except (GoldenError, ValueError) as error:
                text = source.splitlines()[word.line - 1].split("//")[0].strip()
                raise ConfigurationError(f"assembly line {word.line}, {text!r}: {error}") from None
        words[name] = np.array(made, np.uint32)
    lines = {word.address: word.line for word in sections[".text"]}
    return Assembly(words[".text"], words[".data"], symbols, lines)


def load_constant(register: str, value: int) -> list[tuple[str, ...]]:
    """Instructions that load 32 bits: addi, lui, or both."""
    low = ((value & 0xFFF) ^ 0x800) - 0x800
    upper = unsigned(value - low) >> 12
    if not upper:
        return [("addi", register, "zero", str(low))]
    instructions = [("lui", register, f"0x{upper:x}")]
    return instructions + ([("addi", register, register, str(low))] if low else [])


def _encode(word: _Word, names: dict[str, int], symbols: dict[str, int]) -> int:
    known = names | symbols
    if word.name == ".word":
        return unsigned(_number(word.operands[0], known))
    if word.name in ("la.high", "la.low"):
        rd, label = word.operands
        high = word.name == "la.high"
        offset = _number(label, symbols) - (word.address if high else word.address - 4)
        low = ((offset & 0xFFF) ^ 0x800) - 0x800
        if high:
            return encode("auipc", rd=_register(rd), imm=unsigned(offset - low) >> 12)
        return encode("addi", rd=_register(rd), rs1=_register(rd), imm=low)
    form = BY_NAME[word.name].format
    operands = list(word.operands)
    if form in ("load", "S", "jalr"):
        match = _MEMORY_OPERAND.fullmatch(_only(word.name, operands, 2)[1])
        if match is None:
            raise ConfigurationError(f"operand {operands[1]!r} is not of the form offset(register)")
        operands = [operands[0], match[1] or "0", match[2]]
    values = {}
    if form == "fence" and not operands:
        operands = ["0x0ff"]
    for kind, text in zip(FORMATS[form], _only(word.name, operands, len(FORMATS[form])), strict=True):
        if kind in ("rd", "rs1", "rs2"):
            values[kind] = _register(text)
        elif kind == "csr":
            values[kind] = csrs.BY_NAME[text].address if text in csrs.BY_NAME else _number(text, names)
        elif form in ("B", "J") and text in symbols:
            values[kind] = symbols[text] - word.address
        else:
            values[kind] = _number(text, known)
    return encode(word.name, **values)


def _only(name: str, operands: list[str] | tuple[str, ...], count: int) -> list[str] | tuple[str, ...]:
    if len(operands) != count:
        raise ConfigurationError(f"{name} takes {count} operands, but {len(operands)} are given")
    return operands


def _register(text: str) -> int:
    if text not in _REGISTERS:
        raise ConfigurationError(f"{text!r} is no register")
    return _REGISTERS[text]


def _number(text: str, known: dict[str, int]) -> int:
    """A number, or the value of a name, in a sum of such."""
    total = 0
    for sign, term in re.findall(r"([+-]?)\s*([\w.]+)", text) or [("", text)]:
        if term in known:
            value = known[term]
        else:
            try:
                value = int(term, 0)
            except ValueError:
                raise ConfigurationError(
                    f"{term!r} is no number, and no name or label that is known"
                ) from None
        total += -value if sign == "-" else value
    return total
