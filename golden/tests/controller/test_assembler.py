# SPDX-License-Identifier: Apache-2.0
"""The assembler against clang, and what it refuses."""

import importlib.util
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.golden.controller.assembler import assemble
from assay.golden.controller.instructions import BY_NAME, decode, disassemble, random_instruction
from assay.golden.controller.iss import Iss
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError

DATA = IMEM_BASE + 0x8000

LINKER_SCRIPT = f"""
SECTIONS {{
  .text 0x{IMEM_BASE:x} : {{ *(.text*) }}
  .data 0x{DATA:x} : {{ *(.data*) }}
  /DISCARD/ : {{ *(.comment) *(.riscv.attributes) *(.note*) }}
}}
"""


def clang(source: str, folder, data: int = DATA) -> dict[str, np.ndarray]:
    """Sections that clang and its linker make of `source`."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("clang is not there: pip install ziglang")
    from elftools.elf.elffile import ELFFile

    (folder / "source.S").write_text(source)
    (folder / "link.ld").write_text(LINKER_SCRIPT.replace(f"0x{DATA:x}", f"0x{data:x}"))
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "riscv32-freestanding-none"]
    command += ["-mcpu=generic_rv32-c-m-a-f-d+zicsr+zifencei", "-mno-relax", "-nostdlib", "-static", "-g0"]
    command += ["-Wl,-T,link.ld", "-Wl,-e,start", "source.S", "-o", "out.elf"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(folder / "out.elf", "rb") as file:
        elf = ELFFile(file)
        return {
            name: np.frombuffer(elf.get_section_by_name(name).data(), "<u4") for name in (".text", ".data")
        }


EVERYTHING = """\
#define REGISTER 0x7c0
#define FIVE 5
.text
.globl start
start:
    li t0, 0
    li t0, -2048
    li t1, 2047
    lui s0, 0x12345
    lui a0, 0x80000         /* the upper half */
    li a1, FIVE
    la a2, table
    la a3, start
    mv a4, a5
    not a4, a5
    nop
    csrr t3, mhartid
    csrw mtvec, t3
    csrs mie, t3
    csrc mip, t3
    csrwi REGISTER, 3
    csrsi mstatus, 8
    csrci mstatus, 8
    csrrw a0, REGISTER, a1
again:
    lw a0, 4(a2)
    sw a0, -4(a2)
    lb a0, (a2)
    beqz a0, again
    bnez a0, forward
    bltu a0, a1, again
    jal ra, forward
    jalr ra, 8(a0)
    j again
    jr ra
forward:
    fence
    fence.i
    wfi
    ecall
    ebreak
    mret
    ret
.data
table:
    .word 1, -1, 0xdeadbeef
    .word start, table
    .zero 8
    .word table+4
"""


def test_everything_as_clang(tmp_path):
    made = assemble(EVERYTHING, DATA)
    expected = clang(EVERYTHING, tmp_path)
    assert np.array_equal(made.text, expected[".text"])
    assert np.array_equal(made.data, expected[".data"])
    assert made.symbols["start"] == IMEM_BASE and made.symbols["table"] == DATA
    assert made.lines[IMEM_BASE] == EVERYTHING.splitlines().index("    li t0, 0") + 1


def test_every_instruction_comes_back():
    """What the disassembler prints becomes the same word."""
    rng = random.Random(0)
    words = []
    for _ in range(400):
        word = random_instruction(rng)
        if decode(word).instruction.format != "fence":
            words.append(word)
    source = "\n".join(disassemble(word) for word in words)
    assert {decode(word).instruction.name for word in words} > set(BY_NAME) - {
        "fence",
        "fence.i",
        "mret",
        "wfi",
    } - {
        "ecall",
        "ebreak",
    }
    again = assemble(source, DATA).text
    for word, made in zip(words, again.tolist(), strict=True):
        # Fields that an instruction ignores (rs1 of fence.i) are not in the text.
        assert disassemble(made) == disassemble(word)


@pytest.mark.parametrize(
    "value", [0, -1, 2047, 2048, 4096, 0x1000000, 0x7FFFF800, 0x7FFFFFFF, 0x80000000, 0xFFFFF7FF, -2049]
)
def test_li_loads_the_constant(value):
    iss = Iss(ControllerParameters(harts=1))
    text = assemble(f"    li t0, {value}", DATA).text
    iss.load(IMEM_BASE, text.astype("<u4").tobytes())
    iss.release(0, IMEM_BASE)
    for _ in text:
        iss.step(0)
    assert iss.harts[0].x[5] == value & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("    frob t0, t1", r"assembly line 1, 'frob t0, t1': frob is not an instruction or a directive"),
        (
            "\n    addi t0, t1, 2048",
            r"assembly line 2, 'addi t0, t1, 2048': addi imm = 2048: must be from -2048 to 2047",
        ),
        ("    add t0, t9, t1", r"'t9' is not a register"),
        ("    lw t0, 4[t1]", r"operand '4\[t1\]' is not of the form offset\(register\)"),
        ("    add t0, t1", r"add takes 3 operands, but 2 are given"),
        ("    beqz t0, nowhere", r"'nowhere' is not a number, a known name or a known label"),
        ("a:\na:", r"label 'a' is not a name, or is defined already"),
        ("    li t0, many", r"'many' is not a number"),
        ("    csrw frob, t0", r"'frob' is not a number"),
        ("a:\n.zero 8192\n    beqz t0, a", r"beq imm = -8192: must be from -4096 to 4094"),
    ],
)
def test_refusals(source, message):
    with pytest.raises(ConfigurationError, match=message):
        assemble(source, DATA)


@given(st.integers(0, (1 << 30) - 8), st.integers(-(1 << 20), 1 << 20), st.integers(-3, 3), st.integers(0, 3))
def test_la_gives_the_address_at_every_distance(text, pages, near, before):
    """auipc adds its upper 20 bits to its own address, addi a number of 12 bits with a sign: at the distances around
    which the upper bits change, too.
    """
    text *= 4
    address = (text + 0x800 * pages + 4 * near) % (1 << 32)
    source = ".text\n" + "nop\n" * before + "la a0, there\n.data\nthere:\n.word 0\n"
    auipc, addi = (int(word) for word in assemble(source, address, text).text[before:])
    assert auipc & 0xFFF == 10 << 7 | 0x17 and addi & 0xFFFFF == 10 << 15 | 10 << 7 | 0x13
    low = (addi >> 20 ^ 0x800) - 0x800
    assert (text + 4 * before + (auipc & 0xFFFFF000) + low) % (1 << 32) == address
