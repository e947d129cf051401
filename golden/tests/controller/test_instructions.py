# SPDX-License-Identifier: Apache-2.0
"""The instruction table against itself and against other people's assembler and disassembler."""

import importlib.util
import subprocess
import sys
from random import Random

import pytest

from assay.golden.controller.instructions import (
    BY_NAME,
    IMMEDIATES,
    INSTRUCTIONS,
    decode,
    disassemble,
    encode,
    random_illegal,
    random_instruction,
    random_word,
)
from assay.golden.errors import ConfigurationError

#: Words that the RISC-V specification or the GNU assembler give: text as objdump -M no-aliases prints it.
KNOWN = {
    0x00000013: "addi zero, zero, 0",
    0xFFF00093: "addi ra, zero, -1",
    0x800000B7: "lui ra, 524288",
    0x40B50533: "sub a0, a0, a1",
    0x4035D513: "srai a0, a1, 3",
    0xFE0518E3: "bne a0, zero, -16",
    0x00008067: "jalr zero, 0(ra)",
    0x0000006F: "jal zero, 0",
    0x30529073: "csrrw zero, mtvec, t0",
    0xF1402573: "csrrs a0, mhartid, zero",
    0x0FF0000F: "fence iorw, iorw",
    0x0000100F: "fence.i",
    0x00000073: "ecall",
    0x00100073: "ebreak",
    0x30200073: "mret",
    0x10500073: "wfi",
    0x02B50533: "mul a0, a0, a1",
}

ILLEGAL = (
    *(0, 0xFFFF_FFFF, 0x0000_0001, 0x0000_7003, 0x4000_1013, 0x0200_1013, 0x8000_0033, 0x0000_2063),
    *(0x0000_3003, 0x0000_6003, 0x0000_3023, 0x0000_1067, 0x0000_4073, 0x1020_0073, 0x3020_0173, 0x1200_0073),
    *(0x0020_0073, 0x7B20_0073, 0x0000_0173, 0x0000_8073, 0x0000_200F),
)


@pytest.mark.parametrize(("word", "text"), KNOWN.items(), ids=KNOWN.values())
def test_known_words(word, text):
    assert disassemble(word) == text


@pytest.mark.parametrize("word", ILLEGAL, ids=hex)
def test_illegal_words(word):
    assert decode(word) is None
    assert disassemble(word) == f".word 0x{word:08x}"


def test_rows_are_distinct():
    for i, a in enumerate(INSTRUCTIONS):
        assert a.match & ~a.mask == 0
        for b in INSTRUCTIONS[i + 1 :]:
            assert (a.match ^ b.match) & a.mask & b.mask, f"{a.name} and {b.name} share words"


def test_m_is_an_extension():
    word = encode("mul", rd=1, rs1=2, rs2=3)
    assert decode(word, mul_div=False) is None
    assert decode(word, mul_div=True).instruction.name == "mul"


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=lambda i: i.name)
def test_decode_inverts_encode(instruction):
    rng = Random(instruction.name)
    for _ in range(50):
        word = random_word(instruction, rng)
        decoded = decode(word)
        assert decoded.instruction is instruction
        assert encode(instruction.name, *decoded[1:]) == word


@pytest.mark.parametrize("form", IMMEDIATES)
def test_immediates_at_their_limits(form):
    low, high, step = IMMEDIATES[form]
    name = next(i.name for i in INSTRUCTIONS if i.format == form)
    for imm in (low, high):
        assert decode(encode(name, imm=imm)).imm == imm
    for imm in (low - step, high + step):
        with pytest.raises(ConfigurationError, match=f"{name} imm = {imm}: must be from {low} to {high}"):
            encode(name, imm=imm)


def test_encode_refuses():
    with pytest.raises(ConfigurationError, match="instruction nop: must be one of lui"):
        encode("nop")
    with pytest.raises(ConfigurationError, match="add imm = 1: must be from 0 to 0"):
        encode("add", imm=1)
    with pytest.raises(ConfigurationError, match="imm = 3: must be from -4096 to 4094 in steps of 2"):
        encode("beq", imm=3)


def test_random_illegal_is_illegal():
    rng = Random(1)
    assert all(decode(random_illegal(rng, False), False) is None for _ in range(300))


def test_branches_name_their_target():
    assert disassemble(encode("beq", rs1=10, rs2=11, imm=-4), 0x8000_0010) == "beq a0, a1, 0x8000000c"


def _words(count):
    rng = Random(5)
    return [random_instruction(rng) for _ in range(count)]


def test_disassembler_against_capstone():
    """Capstone prints aliases (nop, li, ret ...), so only mnemonics without one are compared as text."""
    capstone = pytest.importorskip("capstone", reason="capstone is missing: pip install capstone")
    machine = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32)
    compared = set()
    for word in _words(20_000):
        name = decode(word).instruction.name
        for found in machine.disasm(word.to_bytes(4, "little"), 0):
            if found.mnemonic == name and name[:3] not in ("csr", "fen"):
                ours = disassemble(word).removeprefix(name).replace(" ", "")
                theirs = found.op_str.replace(" ", "")
                theirs = ",".join(
                    str(int(part, 16)) if part.lstrip("-").startswith("0x") and "(" not in part else part
                    for part in theirs.split(",")
                )
                if "(" in theirs and "0x" in theirs:
                    head, _, tail = theirs.rpartition(",")
                    number, _, register = tail.partition("(")
                    theirs = f"{head},{int(number, 16)}({register}"
                if name == "jalr":
                    continue  # an alias has the same mnemonic and fewer operands
                if theirs.count(",") == ours.count(","):
                    assert theirs == ours, f"0x{word:08x}"
                    compared.add(name)
    assert len(compared) >= 40


def test_assembler_reads_the_text_back(tmp_path):
    """Text of `disassemble` through ziglang's clang gives the words it came from."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("ziglang is missing: pip install ziglang")
    # fence's reserved operands have no text.
    words = [w for w in _words(600) if decode(w).instruction.name != "fence"]
    words += [encode(name) for name in BY_NAME if name != "fence"]
    source, built = tmp_path / "a.s", tmp_path / "a.o"
    source.write_text("\n".join([".option norelax", ".text", *map(disassemble, words)]) + "\n")
    target = ["-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m-c-a-f-d+zicsr+zifencei"]
    command = [sys.executable, "-m", "ziglang", "cc", *target, "-c", str(source), "-o", str(built)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert b"".join(word.to_bytes(4, "little") for word in words) in built.read_bytes()
