# SPDX-License-Identifier: Apache-2.0
"""The controller's instructions: one table, from which decoder, disassembler, assembler and random words come.

Encodings and operations are those of Vol. I: RV32I (chapter 2, listing in chapter 34), Zifencei (chapter 3), Zicsr
(chapter 6), M (chapter 12); mret and wfi of Vol. II section 3.3. An `Instruction`'s `operation` is the text of a
Python expression, which the simulator's readable and its fast path both execute.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import NamedTuple

from assay.golden.controller.csrs import csr_name
from assay.golden.errors import ConfigurationError

WORD_MASK = 0xFFFF_FFFF
SIGN_BIT = 0x8000_0000

#: ABI names of x0 to x31 (RISC-V Calling Convention), as objdump prints them.
REGISTER_NAMES = (
    *("zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"),
    *(f"a{i}" for i in range(8)),
    *(f"s{i}" for i in range(2, 12)),
    *(f"t{i}" for i in range(3, 7)),
)

#: Major opcodes (Vol. I table 70), whose lowest two bits are 11.
OPCODES = {
    "load": 0x03,
    "misc_mem": 0x0F,
    "op_imm": 0x13,
    "auipc": 0x17,
    "store": 0x23,
    "op": 0x33,
    "lui": 0x37,
    "branch": 0x63,
    "jalr": 0x67,
    "jal": 0x6F,
    "system": 0x73,
}

#: Operands of each format, in the order of assembly text.
FORMATS = {
    "R": ("rd", "rs1", "rs2"),
    "I": ("rd", "rs1", "imm"),
    "shift": ("rd", "rs1", "imm"),
    "load": ("rd", "imm", "rs1"),
    "jalr": ("rd", "imm", "rs1"),
    "S": ("rs2", "imm", "rs1"),
    "B": ("rs1", "rs2", "imm"),
    "U": ("rd", "imm"),
    "J": ("rd", "imm"),
    "csr": ("rd", "csr", "rs1"),
    "csri": ("rd", "csr", "imm"),
    "fence": ("imm",),
    "none": (),
}

#: Least, greatest and step of a format's immediate. U: the 20 bits of the instruction; fence: fm, pred and succ.
IMMEDIATES = {
    "I": (-2048, 2047, 1),
    "load": (-2048, 2047, 1),
    "jalr": (-2048, 2047, 1),
    "S": (-2048, 2047, 1),
    "shift": (0, 31, 1),
    "B": (-4096, 4094, 2),
    "U": (0, 0xFFFFF, 1),
    "J": (-0x100000, 0xFFFFE, 2),
    "csri": (0, 31, 1),
    "fence": (0, 0xFFF, 1),
}


@dataclass(frozen=True)
class Instruction:
    """One row: a word is this instruction when ``word & mask == match``.

    ``operation``, an expression of rs1, rs2, imm and pc (all unsigned but imm) and the functions of `FUNCTIONS`:
    the value of rd modulo 2**32; of a branch, whether it is taken; of csr instructions, what is written (csr is the
    old value, rs1 or imm the operand). Loads, stores and jumps have theirs in the simulator.
    """

    name: str
    format: str
    match: int
    mask: int
    operation: str
    extension: str

    @property
    def operands(self) -> tuple[str, ...]:
        return FORMATS[self.format]

    @property
    def opcode(self) -> int:
        return self.match & 0x7F

    @property
    def funct3(self) -> int:
        return self.match >> 12 & 7

    @property
    def size(self) -> int:
        """Bytes of a load or store."""
        return 1 << (self.funct3 & 3)

    @property
    def zero_extends(self) -> bool:
        """Whether a load is lbu or lhu."""
        return bool(self.funct3 & 4)


def _row(
    name: str,
    form: str,
    opcode: str,
    funct3: int | None = None,
    upper: int | None = None,
    operation: str = "",
    extension: str = "I",
) -> Instruction:
    """A row by the fields of its encoding; `upper` is funct7, or all of bits 31:7 of a format without operands."""
    match, mask = OPCODES[opcode], 0x7F
    if funct3 is not None:
        match, mask = match | funct3 << 12, mask | 0x7000
    if form == "none" and upper is not None:
        match, mask = match | upper << 20, WORD_MASK
    elif upper is not None:
        match, mask = match | upper << 25, mask | 0xFE00_0000
    return Instruction(name, form, match, mask, operation, extension)


INSTRUCTIONS = (
    # Vol. I section 2.4.1: integer register-immediate.
    _row("lui", "U", "lui", operation="imm << 12"),
    _row("auipc", "U", "auipc", operation="pc + (imm << 12)"),
    _row("addi", "I", "op_imm", 0, operation="rs1 + imm"),
    _row("slti", "I", "op_imm", 2, operation="signed(rs1) < imm"),
    _row("sltiu", "I", "op_imm", 3, operation="rs1 < unsigned(imm)"),
    _row("xori", "I", "op_imm", 4, operation="rs1 ^ imm"),
    _row("ori", "I", "op_imm", 6, operation="rs1 | imm"),
    _row("andi", "I", "op_imm", 7, operation="rs1 & imm"),
    _row("slli", "shift", "op_imm", 1, 0x00, "rs1 << imm"),
    _row("srli", "shift", "op_imm", 5, 0x00, "rs1 >> imm"),
    _row("srai", "shift", "op_imm", 5, 0x20, "signed(rs1) >> imm"),
    # Section 2.4.2: integer register-register.
    _row("add", "R", "op", 0, 0x00, "rs1 + rs2"),
    _row("sub", "R", "op", 0, 0x20, "rs1 - rs2"),
    _row("sll", "R", "op", 1, 0x00, "rs1 << (rs2 & 31)"),
    _row("slt", "R", "op", 2, 0x00, "signed(rs1) < signed(rs2)"),
    _row("sltu", "R", "op", 3, 0x00, "rs1 < rs2"),
    _row("xor", "R", "op", 4, 0x00, "rs1 ^ rs2"),
    _row("srl", "R", "op", 5, 0x00, "rs1 >> (rs2 & 31)"),
    _row("sra", "R", "op", 5, 0x20, "signed(rs1) >> (rs2 & 31)"),
    _row("or", "R", "op", 6, 0x00, "rs1 | rs2"),
    _row("and", "R", "op", 7, 0x00, "rs1 & rs2"),
    # Section 2.5: control transfer.
    _row("jal", "J", "jal"),
    _row("jalr", "jalr", "jalr", 0),
    _row("beq", "B", "branch", 0, operation="rs1 == rs2"),
    _row("bne", "B", "branch", 1, operation="rs1 != rs2"),
    _row("blt", "B", "branch", 4, operation="signed(rs1) < signed(rs2)"),
    _row("bge", "B", "branch", 5, operation="signed(rs1) >= signed(rs2)"),
    _row("bltu", "B", "branch", 6, operation="rs1 < rs2"),
    _row("bgeu", "B", "branch", 7, operation="rs1 >= rs2"),
    # Section 2.6: load and store.
    _row("lb", "load", "load", 0),
    _row("lh", "load", "load", 1),
    _row("lw", "load", "load", 2),
    _row("lbu", "load", "load", 4),
    _row("lhu", "load", "load", 5),
    _row("sb", "S", "store", 0),
    _row("sh", "S", "store", 1),
    _row("sw", "S", "store", 2),
    # Section 2.7 (reserved fields are ignored) and chapter 3.
    _row("fence", "fence", "misc_mem", 0),
    _row("fence.i", "none", "misc_mem", 1, extension="Zifencei"),
    # Section 2.8; Vol. II section 3.3.
    _row("ecall", "none", "system", 0, 0x000),
    _row("ebreak", "none", "system", 0, 0x001),
    _row("mret", "none", "system", 0, 0x302),
    _row("wfi", "none", "system", 0, 0x105),
    # Vol. I chapter 6.
    _row("csrrw", "csr", "system", 1, operation="rs1", extension="Zicsr"),
    _row("csrrs", "csr", "system", 2, operation="csr | rs1", extension="Zicsr"),
    _row("csrrc", "csr", "system", 3, operation="csr & ~rs1", extension="Zicsr"),
    _row("csrrwi", "csri", "system", 5, operation="imm", extension="Zicsr"),
    _row("csrrsi", "csri", "system", 6, operation="csr | imm", extension="Zicsr"),
    _row("csrrci", "csri", "system", 7, operation="csr & ~imm", extension="Zicsr"),
    # Chapter 12; results of division by zero and of overflow: table 11.
    _row("mul", "R", "op", 0, 0x01, "rs1 * rs2", "M"),
    _row("mulh", "R", "op", 1, 0x01, "signed(rs1) * signed(rs2) >> 32", "M"),
    _row("mulhsu", "R", "op", 2, 0x01, "signed(rs1) * rs2 >> 32", "M"),
    _row("mulhu", "R", "op", 3, 0x01, "rs1 * rs2 >> 32", "M"),
    _row("div", "R", "op", 4, 0x01, "divide(signed(rs1), signed(rs2))", "M"),
    _row("divu", "R", "op", 5, 0x01, "divide(rs1, rs2)", "M"),
    _row("rem", "R", "op", 6, 0x01, "remainder(signed(rs1), signed(rs2))", "M"),
    _row("remu", "R", "op", 7, 0x01, "remainder(rs1, rs2)", "M"),
)
BY_NAME = {instruction.name: instruction for instruction in INSTRUCTIONS}


def signed(word: int) -> int:
    """A 32-bit word as two's complement."""
    return (word ^ SIGN_BIT) - SIGN_BIT


def unsigned(value: int) -> int:
    """An integer modulo 2**32."""
    return value & WORD_MASK


def divide(dividend: int, divisor: int) -> int:
    """Quotient rounded towards zero; of a division by zero all ones. -2**31 / -1 overflows to -2**31 modulo 2**32."""
    if divisor == 0:
        return WORD_MASK
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def remainder(dividend: int, divisor: int) -> int:
    """The remainder of `divide`, with the sign of the dividend; for a division by zero, the dividend."""
    if divisor == 0:
        return dividend
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


#: Names that an `Instruction.operation` may use beside its operands.
FUNCTIONS = {"signed": signed, "unsigned": unsigned, "divide": divide, "remainder": remainder}


class Decoded(NamedTuple):
    """An instruction with its operands; fields that its format lacks are 0. ``imm`` is signed (see `IMMEDIATES`)."""

    instruction: Instruction
    rd: int
    rs1: int
    rs2: int
    imm: int
    csr: int


def _sign_extend(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


def _immediate(form: str, word: int) -> int:
    """Immediate of `word` (Vol. I section 2.3)."""
    if form in ("I", "load", "jalr"):
        return _sign_extend(word >> 20, 12)
    if form == "S":
        return _sign_extend(word >> 25 << 5 | word >> 7 & 31, 12)
    if form == "B":
        raw = (word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 63) << 5 | (word >> 8 & 15) << 1
        return _sign_extend(raw, 13)
    if form == "U":
        return word >> 12
    if form == "J":
        raw = (
            (word >> 31) << 20 | (word >> 12 & 255) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 1023) << 1
        )
        return _sign_extend(raw, 21)
    return {"shift": word >> 20 & 31, "csri": word >> 15 & 31, "fence": word >> 20}.get(form, 0)


def place(form: str, imm: int) -> int:
    """Bits of `imm` at their places: the inverse of `_immediate`."""
    if form in ("I", "load", "jalr", "shift", "fence"):
        return (imm & 0xFFF) << 20
    if form == "S":
        return (imm >> 5 & 127) << 25 | (imm & 31) << 7
    if form == "B":
        return (imm >> 12 & 1) << 31 | (imm >> 5 & 63) << 25 | (imm >> 1 & 15) << 8 | (imm >> 11 & 1) << 7
    if form == "U":
        return imm << 12
    if form == "J":
        return (
            (imm >> 20 & 1) << 31 | (imm >> 1 & 1023) << 21 | (imm >> 11 & 1) << 20 | (imm >> 12 & 255) << 12
        )
    return imm << 15 if form == "csri" else 0


#: Bits by which `decode` finds the few rows that a word may be: opcode and funct3.
_MAJOR = 0x707F
_ROWS = {
    major: tuple(i for i in INSTRUCTIONS if (major ^ i.match) & i.mask & _MAJOR == 0)
    for major in {i.match & 0x7F | funct3 << 12 for i in INSTRUCTIONS for funct3 in range(8)}
}


@lru_cache(maxsize=1 << 16)
def decode(word: int, mul_div: bool = True) -> Decoded | None:
    """The instruction that `word` encodes, or None when it is illegal (without M when `mul_div` is false)."""
    for instruction in _ROWS.get(word & _MAJOR, ()):
        if word & instruction.mask == instruction.match and (mul_div or instruction.extension != "M"):
            operands = instruction.operands
            return Decoded(
                instruction,
                word >> 7 & 31 if "rd" in operands else 0,
                word >> 15 & 31 if "rs1" in operands else 0,
                word >> 20 & 31 if "rs2" in operands else 0,
                _immediate(instruction.format, word),
                word >> 20 if "csr" in operands else 0,
            )
    return None


def encode(name: str, rd: int = 0, rs1: int = 0, rs2: int = 0, imm: int = 0, csr: int = 0) -> int:
    """The word of instruction `name`; operands that its format lacks must be 0.

    Raises `ConfigurationError` for an unknown name or an operand outside its range.
    """
    if name not in BY_NAME:
        raise ConfigurationError(f"instruction {name}: must be one of {', '.join(BY_NAME)}")
    instruction = BY_NAME[name]
    low, high, step = IMMEDIATES.get(instruction.format, (0, 0, 1))
    for operand, value, least, most, by in (
        ("rd", rd, 0, 31, 1),
        ("rs1", rs1, 0, 31, 1),
        ("rs2", rs2, 0, 31, 1),
        ("imm", imm, low, high, step),
        ("csr", csr, 0, 0xFFF, 1),
    ):
        if operand not in instruction.operands:
            least = most = 0
        if not least <= value <= most or value % by:
            multiple = f" in steps of {by}" if by > 1 else ""
            raise ConfigurationError(f"{name} {operand} = {value}: must be from {least} to {most}{multiple}")
    return instruction.match | rd << 7 | rs1 << 15 | rs2 << 20 | csr << 20 | place(instruction.format, imm)


def _ordering(bits: int) -> str:
    """Four bits of fence: i, o, r, w (Vol. I section 2.7); none is 0."""
    return "".join(letter for letter, bit in zip("iorw", (8, 4, 2, 1), strict=True) if bits & bit) or "0"


def disassemble(word: int, pc: int | None = None, mul_div: bool = True) -> str:
    """Text of `word` as llvm-objdump -M no-aliases prints it; an illegal one is its ``.word``.

    Branches and jumps name their target when `pc` is given, else the offset, which an assembler takes.
    """
    decoded = decode(word, mul_div)
    if decoded is None:
        return f".word 0x{word:08x}"
    instruction, form, imm = decoded.instruction, decoded.instruction.format, decoded.imm
    if form == "fence":
        if imm == 0x833 and word == 0x8330000F:
            return "fence.tso"
        return f"fence {_ordering(imm >> 4 & 15)}, {_ordering(imm & 15)}"
    registers = {name: REGISTER_NAMES[getattr(decoded, name)] for name in ("rd", "rs1", "rs2")}
    if form in ("load", "jalr", "S"):
        first = registers["rs2" if form == "S" else "rd"]
        return f"{instruction.name} {first}, {imm}({registers['rs1']})"
    target = str(imm) if pc is None or form not in ("B", "J") else f"0x{unsigned(pc + imm):x}"
    texts = {**registers, "imm": target, "csr": csr_name(decoded.csr)}
    return " ".join([instruction.name, ", ".join(texts[operand] for operand in instruction.operands)]).strip()


#: Immediates at which adders, comparators and sign extension show their faults.
_CORNERS = (0, 1, -1, 2, 3, 4, 31)


def random_instruction(
    rng: Random, mul_div: bool = True, registers: tuple[int, ...] = tuple(range(32))
) -> int:
    """A legal word: a row of the table with equal chance, operands random or at a corner."""
    while True:
        instruction = rng.choice(INSTRUCTIONS)
        if mul_div or instruction.extension != "M":
            return random_word(instruction, rng, registers)


def random_word(instruction: Instruction, rng: Random, registers: tuple[int, ...] = tuple(range(32))) -> int:
    """A word of `instruction` with random operands."""
    values: dict[str, int] = {
        name: rng.choice(registers) for name in ("rd", "rs1", "rs2") if name in instruction.operands
    }
    if "imm" in instruction.operands:
        low, high, step = IMMEDIATES[instruction.format]
        corners = [value for value in (*_CORNERS, low, high) if low <= value <= high and value % step == 0]
        values["imm"] = rng.choice(corners) if rng.random() < 0.3 else rng.randrange(low, high + 1, step)
    if "csr" in instruction.operands:
        values["csr"] = rng.randrange(1 << 12)
    return encode(instruction.name, **values)


#: Instructions without operands, every other bit of which is fixed.
_CLOSED = tuple(instruction for instruction in INSTRUCTIONS if instruction.format == "none")
#: Those with a funct7, most values of which are nothing; often shifts, where it lies beside the immediate.
_FUNCT7 = tuple(
    instruction
    for instruction in INSTRUCTIONS
    for _ in range({"R": 1, "shift": 4}.get(instruction.format, 0))
)


def random_illegal(rng: Random, mul_div: bool = True) -> int:
    """A word that no row matches: random, or a legal one with some bits turned."""
    while True:
        word, kind = rng.getrandbits(32), rng.random()
        if kind < 0.3:
            word = random_word(rng.choice(_FUNCT7), rng) ^ 1 << rng.randrange(25, 32)
        elif kind < 0.4:
            word = random_instruction(rng, mul_div) ^ word & rng.getrandbits(32) & rng.getrandbits(32)
        elif kind < 0.7:
            word = random_word(
                rng.choice(_CLOSED if kind < 0.55 else INSTRUCTIONS), rng
            ) ^ 1 << rng.randrange(32)
        if decode(word, mul_div) is None:
            return word
