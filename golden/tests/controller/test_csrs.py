# SPDX-License-Identifier: Apache-2.0
"""The CSR table: consistent, and what was generated from it is fresh."""

from pathlib import Path

import pytest

from assay.golden.controller.csrs import CSRS, Cause, Interrupt, mvu_register
from assay.golden.controller.memory_map import IMEM_BASE, Region, region
from assay.golden.controller.package import generated_files
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("path", generated_files(ROOT), ids=lambda path: path.name)
def test_generated_files_are_fresh(path):
    text = generated_files(ROOT)[path]
    assert path.read_text() == text, f"{path} is stale: run python -m assay.golden.controller.package"
    assert max(map(len, text.splitlines())) <= 120 or path.suffix == ".md"


def test_names_and_addresses_are_used_once():
    assert len({csr.address for csr in CSRS}) == len({csr.name for csr in CSRS}) == len(CSRS)
    assert not any(mvu_register(csr.address) is not None for csr in CSRS)


@pytest.mark.parametrize("csr", CSRS, ids=lambda csr: csr.name)
def test_fields_do_not_overlap(csr):
    used = 0
    for field in csr.fields:
        assert 0 <= field.lsb <= field.msb < 32
        assert not used & field.mask
        used |= field.mask
    assert not csr.reset & csr.write_mask


def test_mvu_csrs():
    found = {mvu_register(address) for address in range(1 << 12)}
    assert found == {None, *range(128)}
    assert (mvu_register(0x7C0), mvu_register(0xBFF)) == (0, 127)


def test_numbers_fit_mcause():
    assert max((*Cause, *Interrupt)) < 32


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"harts": 0}, "harts = 0: must be from 1 to 16"),
        ({"imem_words": 300}, "imem_words = 300: must be a power of two"),
        ({"dmem_words": 128}, "dmem_words = 128: must be a power of two from 256 to 65536"),
        ({"mul_div": 2}, "mul_div = 2"),
    ],
)
def test_parameters_refuse(sizes, message):
    with pytest.raises(ConfigurationError, match=message):
        ControllerParameters(**sizes)


def test_parameters_of_rtl():
    assert ControllerParameters.of_rtl({"Harts": 4, "MulDiv": 1}) == ControllerParameters(harts=4, mul_div=1)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (IMEM_BASE - 1, Region.NONE),
        (IMEM_BASE, Region.IMEM),
        (IMEM_BASE + 0x8000, Region.DMEM),
        (IMEM_BASE + 0x10000, Region.NONE),
        (0x0200_001F, Region.MSIP),
        (0x0200_0020, Region.NONE),
        (0x0200_403F, Region.MTIMECMP),
        (0x0200_BFFF, Region.MTIME),
        (0x0200_C000, Region.NONE),
        (0x4000_3FFF, Region.MVU),
        (0x4000_4000, Region.NONE),
        (0x0100_0000, Region.NONE),
    ],
)
def test_memory_map(address, expected):
    assert region(address, ControllerParameters()) is expected
