# SPDX-License-Identifier: Apache-2.0
"""The blocks of this project: each is whole, and nothing but its declaration knows its name."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from assay.sim import ROOT
from assay.sim.blocks import _check_options, discover
from assay.sim.options import OPTIONS
from assay.sim.testcases import list_tests
from assay.tb.block import Block
from assay.tb.capabilities import Capability
from assay.tb.errors import AssayError
from assay.tb.options import Option

BLOCKS = discover()


def test_all_are_found() -> None:
    assert list(BLOCKS) == [
        *("mvu", "mvu_array", "accelerator_crossbar", "pe_array", "pe_array_post", "controller"),
        *("accelerator", "accelerator_host", "accelerator_axi", "loopback"),
    ]
    assert {file.parent.name for file in (ROOT / "tb").glob("*/*_tb.sv")} == set(BLOCKS)


@pytest.mark.parametrize(
    "file", [*sorted((ROOT / "sim").glob("*.py")), ROOT / "Makefile"], ids=lambda p: p.name
)
def test_no_name_of_a_block_is_known_to_the_runner(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert not [name for name in BLOCKS if re.search(rf"\b{name}\b", text)]


@pytest.mark.parametrize("block", BLOCKS.values(), ids=lambda block: block.name)
def test_what_a_declaration_names_is_there(block: Block) -> None:
    assert block.source_files() and all(path.is_dir() for path in block.include_paths())
    tests = list_tests(block)
    named = [*block.default_tests, *(each.test for each in block.capabilities if each.test)]
    named += block.extra.tests if block.extra else ()
    assert set(named) <= set(tests)
    for variant in block.variants:
        assert any(re.search(variant.tests, name) for name in tests)
    if block.lint:
        assert all(block.path_of("waiver", path).is_file() for path in block.lint.waivers)


def _defaults(text: str) -> dict[str, str]:
    """A module's parameters that have a default, as the HDL writes it."""
    header = re.search(r"^module \w+.*?#\s*\((.*?)^\) \(", text, re.DOTALL | re.MULTILINE)
    return dict(re.findall(r"parameter int (\w+) = ([^,\n]+)", header[1])) if header else {}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=lambda block: block.name)
def test_defaults_of_the_hdl_are_those_of_the_golden_model(block: Block) -> None:
    """A default in the bench's top is that of a generated package, or the same number."""
    top = next(path for path in block.source_files() if path.stem == block.hdl_top)
    written = _defaults(top.read_text(encoding="utf-8"))
    for name, value in block.resolve_parameters({}).items():
        text = written[name].rpartition("::")[2].strip()
        assert text == f"Default{name}" or int(text) == value, name


def test_a_block_has_a_capability_once() -> None:
    for block in BLOCKS.values():
        kinds: list[type[Capability]] = [type(each) for each in block.capabilities]
        assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.variable)
def test_an_option_of_a_capability_has_a_name_of_its_own(option: Option) -> None:
    """Or else the one that is found first would be taken for the other, with its default."""

    @dataclass(frozen=True)
    class Paints(Capability):
        options: ClassVar[tuple[Option, ...]] = ()

    block = replace(BLOCKS["mvu"], capabilities=(*BLOCKS["mvu"].capabilities, Paints()))
    for names in (
        {"variable": option.variable, "flag": "--paint"},
        {"variable": "PAINT", "flag": option.flag},
    ):
        Paints.options = (Option(value="N", text="how often it is painted", default="", **names),)
        with pytest.raises(AssayError, match=r"and capability Paints both have an option"):
            _check_options({"mvu": block})
    Paints.options = (option,)  # the same one is shared
    _check_options({"mvu": block})
