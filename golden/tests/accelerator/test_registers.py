# SPDX-License-Identifier: Apache-2.0
"""The system registers and the host's memory map: consistent, and what was generated from them is fresh."""

from itertools import combinations
from pathlib import Path

import pytest

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.registers import (
    BY_NAME,
    ELEMENT_BITS,
    PARAMETER_WINDOWS,
    REGISTERS,
    SYSTEM_UNIT,
    WINDOW_BY_NAME,
    WINDOWS,
    constants,
    data_address,
    generated_files,
    hart_address,
    parameter_address,
    register_address,
    system_address,
)
from assay.golden.controller.memory_map import Region, region
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.registers import WORD_BITS

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("path", generated_files(ROOT), ids=lambda path: path.name)
def test_generated_files_are_fresh(path):
    text = generated_files(ROOT)[path]
    assert path.read_text() == text, f"{path} is stale: run python -m assay.golden.accelerator.registers"


def test_addresses():
    assert [r.address for r in REGISTERS] == list(range(len(REGISTERS)))
    assert len(BY_NAME) == len(REGISTERS), "a name is used twice"
    assert len(REGISTERS) * 4 <= WINDOW_BY_NAME["system"].size


@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: r.name)
def test_fields_do_not_overlap(register):
    used = 0
    for field in register.fields:
        assert 0 <= field.lsb <= field.msb < WORD_BITS
        assert not used & field.mask, f"{register.name}.{field.name} overlaps another field"
        used |= field.mask


def test_every_element_size_has_its_code():
    for bits in ELEMENT_BITS:
        assert BY_NAME["tr_format"].decode(BY_NAME["tr_format"].encode({"element": bits}))["element"] == bits


def test_constants_are_registers():
    assert set(constants(AcceleratorParameters())) <= set(BY_NAME)


def test_windows_are_aligned_and_apart():
    for window in WINDOWS:
        assert window.base % window.size == 0
        assert window.base in window and window.base + window.size - 1 in window
        assert window.base + window.size not in window
    for one, other in combinations(WINDOWS, 2):
        assert one.base not in other and other.base not in one


def test_largest_memories_fit_their_windows():
    mvu = MvuParameters(lanes=64, data_banks=64, bank_depth=1024, weight_depth=1 << 16, channel_depth=1 << 15)
    assert data_address(7, mvu.data_depth - 1) in WINDOW_BY_NAME["data"]
    words_of = (mvu.weight_depth, mvu.channel_depth, mvu.channel_depth)
    for select, (name, words) in enumerate(zip(PARAMETER_WINDOWS, words_of, strict=True)):
        assert parameter_address(select, 0, 0, 64) == WINDOW_BY_NAME[name].base
        assert parameter_address(select, words - 1, 63, 64) in WINDOW_BY_NAME[name]
    controller = ControllerParameters(imem_words=1 << 16, dmem_words=1 << 16)
    memories = WINDOW_BY_NAME["memories"]
    assert region(memories.base + 8 * (1 << 16) - 1, controller) is Region.DMEM


def test_addresses_are_those_of_the_definition():
    assert data_address(2, 3) == 0x1020_0018
    assert parameter_address(0, 2, 1, 64) == 0x2000_0000 + 8 * 129
    assert register_address(3, 5) == 0x4000_0C14
    assert hart_address("id") == 0x4000_3C00
    assert region(hart_address("tr_status"), ControllerParameters()) is Region.MVU
    assert system_address("version") == 4
    assert register_address(SYSTEM_UNIT, 0) in WINDOW_BY_NAME["registers"]
