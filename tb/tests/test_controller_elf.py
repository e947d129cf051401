# SPDX-License-Identifier: Apache-2.0
"""Programs from ELF files: what is refused, with which sentence, and that the toolchain's own products load."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from assay.golden.controller.instructions import encode
from assay.golden.controller.iss import start
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import GoldenError
from assay.tb.controller.elf import Program, load_elf
from assay.tb.controller.toolchain import SOURCES, ToolchainError, build

PARAMS = ControllerParameters()
DMEM_BASE = IMEM_BASE + 4 * PARAMS.imem_words
END = DMEM_BASE + 4 * PARAMS.dmem_words
CODE = struct.pack("<2I", 0x00000013, 0x0000006F)


def elf(
    machine: int = 243,
    flags: int = 0,
    kind: int = 2,
    elf_class: int = 1,
    data: int = 1,
    entry: int = IMEM_BASE,
    segments: tuple[tuple[int, bytes, int], ...] = ((IMEM_BASE, CODE, 8),),
) -> bytes:
    """An ELF32 file, built by hand: (address, content, bytes in memory) of its segments."""
    order = "<" if data == 1 else ">"
    ident = bytes([0x7F, *b"ELF", elf_class, data, 1]) + bytes(9)
    header = struct.pack(
        order + "HHIIIIIHHHHHH", kind, machine, 1, entry, 52, 0, flags, 52, 32, len(segments), 40, 0, 0
    )
    table, body = b"", b""
    offset = 52 + 32 * len(segments)
    for address, content, length in segments:
        table += struct.pack(
            order + "8I", 1, offset + len(body), address, address, len(content), length, 7, 4
        )
        body += content
    return ident + header + table + body


def load(tmp_path: Path, content: bytes, params: ControllerParameters = PARAMS) -> Program:
    path = tmp_path / "program.elf"
    path.write_bytes(content)
    return load_elf(path, params)


def test_image(tmp_path: Path) -> None:
    program = load(tmp_path, elf(segments=((IMEM_BASE, CODE, 8), (DMEM_BASE + 6, b"\x11\x22\x33", 7))))
    image = program.image(PARAMS)
    assert program.entry == IMEM_BASE
    assert image[:2].tolist() == [0x00000013, 0x0000006F]
    assert image[PARAMS.imem_words : PARAMS.imem_words + 4].tolist() == [0, 0x22110000, 0x33, 0]
    assert np.count_nonzero(image) == 4
    assert program.tohost is None


def test_segments_that_share_a_word(tmp_path: Path) -> None:
    program = load(tmp_path, elf(segments=((DMEM_BASE, b"\x01\x02", 2), (DMEM_BASE + 2, b"\x03\x04", 2))))
    assert program.image(PARAMS)[PARAMS.imem_words] == 0x04030201


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no ELF file: it starts with nothing"),
        (b"#!/bin/sh\n", "is no ELF file: it starts with 23 21 2f 62"),
        (elf(machine=40), "is for EM_ARM, the controller runs EM_RISCV"),
        (elf(machine=62), "is for EM_X86_64"),
        (elf(data=2), "is big-endian"),
        (elf(kind=1), "is of type ET_REL, needed is ET_EXEC"),
        (elf(kind=3), "is of type ET_DYN"),
        (elf(flags=1), r"needs compressed instructions \(RVC\)"),
        (elf(flags=2), "needs single-precision float registers"),
        (elf(flags=4), "needs double-precision float registers"),
        (elf(flags=8), r"needs the 16-register ABI \(RVE\)"),
        (elf(flags=5), r"RVC\) and double-precision"),
        (elf(segments=()), "has nothing to load"),
        (elf(entry=IMEM_BASE + 2), "starts at 0x80000002: must be a multiple of 4"),
        (elf(entry=DMEM_BASE), "starts at 0x80008000: must be .* in the instruction memory"),
        (elf(entry=0), "starts at 0x00000000"),
        (elf(segments=((0x1000, CODE, 8),)), "is outside the memories, 0x80000000 to 0x8000ffff"),
        (elf(segments=((END - 4, CODE, 8),)), "is outside the memories"),
        (
            elf(segments=((IMEM_BASE, CODE, 0x7FFF_FFFF),)),
            "has 2,147,483,647 bytes: more than the memories' 65,536",
        ),
        (elf(segments=((IMEM_BASE, CODE, 4),)), "the file is cut off"),
        (elf()[:90], "the file is cut off"),
        (elf()[:60], "is a damaged ELF file"),
        (elf()[:20], "is a damaged ELF file"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(GoldenError, match=words):
        load(tmp_path, content)


def test_64_bit(tmp_path: Path) -> None:
    ident = bytes([0x7F, *b"ELF", 2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 243, 1, IMEM_BASE, 64, 0, 0, 64, 56, 0, 64, 0, 0)
    with pytest.raises(GoldenError, match="is for RV64"):
        load(tmp_path, ident + header)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(GoldenError, match=r"nothing\.elf cannot be read: No such file"):
        load_elf(tmp_path / "nothing.elf", PARAMS)


def test_smaller_memories(tmp_path: Path) -> None:
    small = ControllerParameters(imem_words=256, dmem_words=256)
    with pytest.raises(GoldenError, match=r"outside the memories.*ImemWords=256"):
        load(tmp_path, elf(segments=((IMEM_BASE + 2048, CODE, 8),)), small)


@pytest.mark.parametrize("seed", range(60))
def test_damaged(tmp_path: Path, seed: int) -> None:
    """Bytes turned at random: loads, or says what is wrong; never another exception."""
    rng = np.random.default_rng(seed)
    content = bytearray(elf(segments=((IMEM_BASE, CODE, 8), (DMEM_BASE, b"data", 64))))
    for place in rng.integers(4, len(content), rng.integers(1, 5)):
        content[place] = rng.integers(256)
    try:
        load(tmp_path, bytes(content))
    except GoldenError as error:
        assert "program.elf" in str(error)


@pytest.mark.parametrize(
    ("start", "length", "words"),
    [
        (0x1000, 8, "link it for 0x80000000"),
        (END - 4, 8, r'it fits with PARAMS="ImemWords=16384"'),
        (IMEM_BASE + 0x40000, 0x40000, r'it fits with PARAMS="ImemWords=65536 DmemWords=65536"'),
        (IMEM_BASE, 0x100000, "the largest build has 524,288 bytes: ImemWords=65536 DmemWords=65536"),
    ],
)
def test_says_what_would_fit(tmp_path: Path, start: int, length: int, words: str) -> None:
    with pytest.raises(GoldenError, match=words):
        load(tmp_path, elf(segments=((IMEM_BASE, CODE, 8), (start, CODE, length))))


def test_what_it_says_fits(tmp_path: Path) -> None:
    content = elf(segments=((IMEM_BASE, CODE, 8), (END - 4, CODE, 8)))
    load(tmp_path, content, ControllerParameters(imem_words=16384))


def test_in_spite_of_its_flags(tmp_path: Path) -> None:
    path = tmp_path / "program.elf"
    path.write_bytes(elf(flags=5))
    with pytest.raises(GoldenError, match="or run it all the same with FORCE=1"):
        load_elf(path, PARAMS)
    assert load_elf(path, PARAMS, force=True).entry == IMEM_BASE


def test_tohost_of_the_user(tmp_path: Path) -> None:
    path = tmp_path / "program.elf"
    path.write_bytes(elf())
    assert load_elf(path, PARAMS, tohost=DMEM_BASE).tohost == DMEM_BASE
    for address in (DMEM_BASE + 2, END, 0x1000):
        with pytest.raises(GoldenError, match=f"has tohost at 0x{address:08x}: must be a multiple of 4"):
            load_elf(path, PARAMS, tohost=address)


def _stripped(content: bytes) -> bytes:
    """An ELF32 file whose symbol table is no longer one; the sections keep their names."""
    stripped = bytearray(content)
    table, size, count = struct.unpack_from("<I", content, 32)[0], *struct.unpack_from("<2H", content, 46)
    for at in range(table, table + size * count, size):
        if struct.unpack_from("<I", content, at + 4)[0] == 2:  # SHT_SYMTAB
            struct.pack_into("<I", stripped, at + 4, 0)
    return bytes(stripped)


@pytest.mark.parametrize("stripped", [False, True])
@pytest.mark.parametrize("harts", [1, 8])
def test_environment_p(tmp_path: Path, stripped: bool, harts: int) -> None:
    """A program in the form of the riscv-tests ends with 1, on one hart and with the others parked."""
    folder = SOURCES / "environment_p"
    try:
        path = build([folder / "environment_p.S"], PARAMS, folder / "link.ld")
    except ToolchainError as error:
        pytest.skip(str(error))
    content = path.read_bytes()
    program = load(tmp_path, _stripped(content) if stripped else content)
    assert ("_start" in program.symbols) is not stripped
    assert program.tohost == IMEM_BASE + 0x1000
    iss = start(PARAMS, program.image(PARAMS).tobytes(), harts, program.tohost)
    iss.run(20_000 * harts)
    assert iss.exit_code == 1


def test_a_request_to_the_host_is_no_end() -> None:
    """An even word in tohost is a request of the host-target interface."""
    words = [encode("lui", rd=1, imm=IMEM_BASE >> 12), encode("addi", rd=2, imm=64)]
    words += [encode("sw", rs1=1, rs2=2, imm=256), encode("jal")]
    image = b"".join(word.to_bytes(4, "little") for word in words)
    iss = start(PARAMS, image, 1, IMEM_BASE + 256)
    iss.run(10)
    assert (iss.exit_code, iss.host_request) == (None, 64)


def with_sections(number: int, width: int, size: int = 0, kind: int = 0, entry: int = 0) -> bytes:
    """A file with a section header of its own at the end, which the header says there are `number` of, each `width`."""
    content = bytearray(elf())
    struct.pack_into("<I", content, 32, len(content))  # e_shoff
    struct.pack_into("<HHH", content, 46, width, number, 0)  # e_shentsize, e_shnum, e_shstrndx
    return bytes(content) + struct.pack("<10I", 0, kind, 0, 0, 52, size, 0, 0, 4, entry)


@pytest.mark.parametrize(
    "content",
    [
        with_sections(0, 0, 0xFFFF_FFFF),  # the number is in the first section, and all are the first
        with_sections(0, 40, 0xFFFF_FFFF),
        with_sections(0xFFFF, 0),
        with_sections(1, 40, 0xFFFF_FFF0, 2, 16),  # a symbol table
        with_sections(1, 40, 0xFFFF_FFF0, 2, 1),
    ],
)
def test_tables_longer_than_the_file(tmp_path: Path, content: bytes) -> None:
    """pyelftools would walk through four thousand million entries."""
    started = time.monotonic()
    with pytest.raises(GoldenError, match="is a damaged ELF file"):
        load(tmp_path, content)
    assert time.monotonic() - started < 5


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name, words in (("fifo", "is a FIFO"), ("endless", "is a device"), (".", "is a folder")):
        with pytest.raises(GoldenError, match=words):
            load_elf(tmp_path / name, PARAMS)
