# SPDX-License-Identifier: Apache-2.0
"""The compiled simulator confirms what the readable one does, moves its state on in the same way, and nothing else."""

import ctypes
import shutil
import subprocess
from random import Random

import numpy as np
import pytest

from assay.golden.controller.compiled import RETIREMENT, CompiledIss, files
from assay.golden.controller.instructions import INSTRUCTIONS, encode, random_instruction, random_word
from assay.golden.controller.iss import start
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.tests.controller.test_iss import state

PARAMETERS = ControllerParameters(harts=2, imem_words=1024, dmem_words=256, mul_div=1)
SIZE = 4 * (PARAMETERS.imem_words + PARAMETERS.dmem_words)
CORNERS = (0, 1, 2, 31, 32, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFE, 0xFFFF_FFFF)
FAR = 1 << 62
COMPILED = [i for i in INSTRUCTIONS if i.format not in ("csr", "csri", "none")]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed: there is no compiled simulator")
    folder = tmp_path_factory.mktemp("iss")
    for name, text in files().items():
        (folder / name).write_text(text)
    flags = [
        "-std=c++17",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsanitize=undefined",
        "-fno-sanitize-recover",
    ]
    subprocess.run(["g++", *flags, "-shared", "-fPIC", "-o", "iss.so", "iss.cpp"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "iss.so"))


def test_every_operation_on_corner_operands(library):
    """Each compiled instruction, one at a time: it is confirmed; with any field but the hart altered it is not."""
    rng = Random(3)
    for instruction in COMPILED:
        for number in range(len(CORNERS) ** 2):
            word = random_word(instruction, rng, (0, 5, 6, 7))
            image = word.to_bytes(4, "little")
            values = rng.choice(CORNERS), CORNERS[number % len(CORNERS)], CORNERS[number // len(CORNERS)]
            if instruction.format in ("load", "S", "jalr") and number % 4:
                values = tuple(IMEM_BASE + rng.randrange(SIZE) for _ in values)
            readable, followed = (start(PARAMETERS, image, 1) for _ in range(2))
            for iss in (readable, followed):
                iss.bytes[4:] = bytes(i * 37 & 255 for i in range(SIZE - 4))
                for register, value in zip((5, 6, 7), values, strict=True):
                    iss.harts[0].x[register] = value
            before = state(followed)
            seen = readable.step(0)
            records, clocks = np.array([tuple(seen)], RETIREMENT), np.zeros(1, np.uint32)
            compiled = CompiledIss(library, followed)
            wrong = records.copy()
            name = rng.choice(RETIREMENT.names[1:])
            wrong[name] ^= 1 << rng.randrange(8 * wrong[name].itemsize)
            compiled.give([FAR] * 2)
            assert compiled.follow(wrong, clocks, 0) == 0, (seen, name)
            assert compiled.take() == [None, None]
            assert state(followed) == before
            assert compiled.follow(records, clocks, 0) == (not seen.trap), seen
            compiled.take()
            assert state(followed) == (before if seen.trap else state(readable)), seen


@pytest.mark.parametrize("seed", range(3))
def test_random_words(library, seed):
    """Where it stops, the readable simulator steps; together they are the readable one."""
    rng = Random(seed)
    words = b"".join(random_instruction(rng).to_bytes(4, "little") for _ in range(PARAMETERS.imem_words))
    followed, readable = (start(PARAMETERS, words, 2) for _ in range(2))
    for hart in range(2):
        for register in range(1, 32):
            value = rng.choice((*CORNERS, IMEM_BASE + rng.randrange(SIZE)))
            for iss in (followed, readable):
                iss.harts[hart].x[register] = value
                iss.harts[hart].csrs[0x305] = IMEM_BASE + 0x100
    records = np.array([tuple(readable.step(index & 1)) for index in range(2000)], RETIREMENT)
    clocks = np.arange(2000, dtype=np.uint32)
    compiled = CompiledIss(library, followed)
    compiled.give([FAR] * 2)
    index = confirmed = 0
    while (reached := compiled.follow(records, clocks, index)) < len(records):
        assert not compiled.unlike or records["trap"][reached]
        hart = int(records["hart"][reached])
        compiled.take()
        assert tuple(followed.step(hart)) == tuple(records[reached].tolist())
        compiled.give([FAR] * 2)
        confirmed += reached - index
        index = reached + 1
    compiled.take()
    assert state(followed) == state(readable)
    assert confirmed > 500


def test_stops_before_an_alarm_and_a_store_to_tohost(library):
    words = [encode("addi", rd=5, rs1=5, imm=1), encode("sw", rs1=6, rs2=5), encode("jal", imm=-8)]
    image = b"".join(word.to_bytes(4, "little") for word in words)
    followed, readable = (start(PARAMETERS, image, 1) for _ in range(2))
    for iss in (followed, readable):
        iss.harts[0].x[6] = IMEM_BASE + 0x800
    records = np.array([tuple(readable.step(0)) for _ in range(9)], RETIREMENT)
    clocks = np.arange(10, 19, dtype=np.uint32)
    compiled = CompiledIss(library, followed)
    compiled.give([15, FAR])
    assert compiled.follow(records, clocks, 0) == 5
    assert compiled.take() == [14, None]
    compiled.give([FAR] * 2)
    followed.tohost = IMEM_BASE + 0x800
    assert compiled.follow(records, clocks, 5) == 7
    assert compiled.take() == [16, None]
    assert followed.harts[0].retired == 7
