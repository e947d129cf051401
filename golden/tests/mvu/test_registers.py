# SPDX-License-Identifier: Apache-2.0
"""The register table: consistent, and what was generated from it is fresh."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.golden.errors import ConfigurationError
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.registers import (
    ADDRESS_WIDTH,
    BY_NAME,
    ERROR_CAUSES,
    REGISTERS,
    WORD_BITS,
    encode,
    generated_files,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("path", generated_files(ROOT), ids=lambda path: path.name)
def test_generated_files_are_fresh(path):
    text = generated_files(ROOT)[path]
    assert path.read_text() == text, f"{path} is stale: run python -m assay.golden.mvu.registers"


def test_addresses():
    assert [r.address for r in REGISTERS] == list(range(len(REGISTERS)))
    assert len(REGISTERS) <= 1 << ADDRESS_WIDTH
    assert len(BY_NAME) == len(REGISTERS), "a name is used twice"


@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: r.name)
def test_fields_do_not_overlap(register):
    used = 0
    for field in register.fields:
        assert 0 <= field.lsb <= field.msb < WORD_BITS
        assert not used & field.mask, f"{register.name}.{field.name} overlaps another field"
        used |= field.mask
    assert len({field.name for field in register.fields}) == len(register.fields)


@given(st.data())
@pytest.mark.parametrize("register", REGISTERS, ids=lambda r: r.name)
def test_round_trip(register, data):
    values = {}
    for field in register.fields:
        low = -(1 << (field.width - 1)) if field.signed else 0
        values[field.name] = data.draw(st.integers(low, low + (1 << field.width) - 1))
    word = register.encode(values)
    assert 0 <= word < 1 << WORD_BITS
    assert register.decode(word) == values
    assert encode({register.name: values}) == {register.address: word}


def test_plain_value_of_a_one_field_register():
    assert encode({"mvuijump3": -2}) == {BY_NAME["mvuijump3"].address: 0xFFFE}


@pytest.mark.parametrize(
    ("name", "field", "value", "allowed"),
    [
        ("mvuijump0", "value", 32768, "-32768 to 32767"),
        ("mvuijump0", "value", -32769, "-32768 to 32767"),
        ("mvuilength1", "value", 65536, "0 to 65535"),
        ("mvucommand", "countdown", 1 << 29, "0 to 536870911"),
        ("mvuscaler", "bias_shift", 16, "0 to 15"),
    ],
)
def test_value_beyond_its_field(name, field, value, allowed):
    with pytest.raises(ConfigurationError, match=f"field {field} = {value}: must be from {allowed}"):
        encode({name: {field: value}})


def test_status_holds_every_cause():
    assert BY_NAME["mvustatus"].field("cause").width >= len(ERROR_CAUSES)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"lanes": 48}, "lanes = 48: must be a power of two from 2 to 256"),
        ({"weight_depth": 1 << 17}, "weight_depth = 131072"),
        ({"data_banks": 64, "bank_depth": 2048}, "data_banks x bank_depth = 131072 words"),
        ({"acc_width": 31}, "acc_width = 31: must be from 16 to 30"),
    ],
)
def test_parameters_refuse(sizes, message):
    with pytest.raises(ConfigurationError, match=message):
        MvuParameters(**sizes)
