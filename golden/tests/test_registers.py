# SPDX-License-Identifier: Apache-2.0
"""What all tables of registers share: their texts, and the pages and packages that are made from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.golden.accelerator import registers as accelerator
from assay.golden.controller import csrs, memory_map
from assay.golden.controller import package as controller
from assay.golden.mvu import registers as mvu
from assay.golden.pe_array import registers as pe_array
from assay.golden.registers import Field, Register, camel, literal, numbered, register_table, runs

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    "mvu": mvu.REGISTERS,
    "pe_array": pe_array.REGISTERS,
    "pe_array header": pe_array.HEADER,
    "pe_array entry": pe_array.ENTRY,
    "accelerator": accelerator.REGISTERS,
    "csrs": csrs.CSRS,
    "host": memory_map.HOST_REGISTERS,
}


@pytest.mark.parametrize("table", TABLES)
def test_texts_begin_and_end_as_sentences(table):
    for register in TABLES[table]:
        for text in (register.description, *(field.description for field in register.fields)):
            if text or register.fields[0].description == text:
                assert text[0].isupper() and text.endswith("."), f"{register.name}: {text!r}"


@pytest.mark.parametrize("table", TABLES)
def test_registers_of_an_array_say_what_their_number_means(table):
    for run in runs(TABLES[table]):
        if run[0].array:
            assert {register.fields for register in run} == {run[0].fields}
            words = (run[0].description + run[0].fields[0].description).replace(",", " ").replace(":", " ")
            assert "k" in words.split() or "(k" in words.split(), f"{run[0].array} does not say what k is"


@pytest.mark.parametrize("module", [mvu, pe_array, accelerator, controller], ids=lambda m: m.__name__)
def test_generated_files_are_fresh(module):
    for path, text in module.generated_files(ROOT).items():
        assert path.read_text() == text, f"{path.name} is stale: run python -m {module.__name__}"


def test_table():
    registers = [
        Register(
            "mode",
            0,
            (Field("on", 0, 0, "On."), Field("level", 7, 4, "Its level.", signed=True)),
            "A mode.",
        ),
        *numbered("jump[k]x", range(1, 3), 1, (Field("value", 31, 0, "Jump of loop k.", "ro"),)),
        *numbered("length[k]", (1,), 3, (Field("value", 31, 0, "Length of loop k."),)),
    ]
    assert [register.name for register in registers] == ["mode", "jump1x", "jump2x", "length1"]
    assert register_table(registers, place="0x{:x}".format, reset=lambda register: "7") == [
        "| address | name | reset | bits | field | access | meaning |",
        "|---|---|---|---|---|---|---|",
        "| 0x0 | mode | 7 | 0 | on | rw | A mode. On. |",
        "|  |  |  | 7:4 | level | rw | Its level. Signed. |",
        "| 0x1 to 0x2 | jump[1-2]x | 7 | 31:0 | value | ro | Jump of loop k. |",
        "| 0x3 | length[1] | 7 | 31:0 | value | rw | Length of loop k. |",
    ]
    assert register_table(registers[:1], "word", access=False)[2] == "| 0 | mode | 0 | on | A mode. On. |"


def test_an_array_ends_where_the_addresses_do():
    fields = (Field("value", 31, 0, "Register k."),)
    registers = [*numbered("r[k]", range(2), 0, fields), *numbered("r[k]", range(2, 4), 8, fields)]
    assert [len(run) for run in runs(registers)] == [2, 2]


def test_names_and_literals():
    assert camel("pad_left") == camel("pad.left") == "PadLeft"
    assert [literal(31), literal(5, 3), literal(0x7C0, 12)] == ["32'h0000001f", "3'h5", "12'h7c0"]
