# SPDX-License-Identifier: Apache-2.0
"""Tables of 32-bit words made of named fields: register maps and packet headers, each written once for all readers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from assay.golden.errors import ConfigurationError

__all__ = ["WORD_BITS", "Field", "Register", "struct_members", "write_generated"]

WORD_BITS = 32


@dataclass(frozen=True)
class Field:
    """Bits ``msb:lsb`` of a register. ``access``: rw, ro, w1c (write one to clear) or wo (reads 0)."""

    name: str
    msb: int
    lsb: int
    description: str
    access: str = "rw"
    signed: bool = False

    @cached_property
    def width(self) -> int:
        return self.msb - self.lsb + 1

    @cached_property
    def mask(self) -> int:
        """The field's bits in the register's word."""
        return ((1 << self.width) - 1) << self.lsb

    def encode(self, value: int) -> int:
        """`value` at its place in the word; raises `ConfigurationError` when it does not fit."""
        low, high = (
            (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1)
            if self.signed
            else (0, (1 << self.width) - 1)
        )
        if not low <= value <= high:
            raise ConfigurationError(f"field {self.name} = {value}: must be from {low} to {high}")
        return (value << self.lsb) & self.mask

    def decode(self, word: int) -> int:
        """The field's value in `word`."""
        value = (word & self.mask) >> self.lsb
        return value - (1 << self.width) if self.signed and value >> (self.width - 1) else value


@dataclass(frozen=True)
class Register:
    """One 32-bit register at word ``address``; bits outside its fields are reserved: read 0, writes ignored."""

    name: str
    address: int
    fields: tuple[Field, ...]
    description: str

    @cached_property
    def write_mask(self) -> int:
        """Bits that keep what is written."""
        return sum(f.mask for f in self.fields if f.access == "rw")

    def field(self, name: str) -> Field:
        """The field called `name`; KeyError when there is none."""
        for candidate in self.fields:
            if candidate.name == name:
                return candidate
        raise KeyError(f"{self.name} has no field {name}")

    def encode(self, values: Mapping[str, int] | int) -> int:
        """The word of the given fields (others 0); a plain int is the value of a one-field register."""
        if not isinstance(values, Mapping):
            (only,) = self.fields
            return only.encode(int(values))
        return sum(self.field(name).encode(int(value)) for name, value in values.items())

    def decode(self, word: int) -> dict[str, int]:
        """Field name to value."""
        return {f.name: f.decode(word) for f in self.fields}


def struct_members(register: Register, stem: str) -> list[str]:
    """A word's fields as members of a SystemVerilog packed struct, from the highest bit down.

    A field is called `stem`_field, one called ``value`` just `stem`; members called unused_* are reserved bits.
    """
    lines = []
    position = WORD_BITS
    for field in sorted(register.fields, key=lambda f: -f.lsb):
        if position > field.msb + 1:
            lines.append(f"    logic [{position - field.msb - 2}:0] unused_{stem}_{field.msb + 1};")
        name = stem if field.name == "value" else f"{stem}_{field.name}"
        sign = "signed " if field.signed else ""
        dims = f"[{field.width - 1}:0] " if field.width > 1 else ""
        lines.append(f"    logic {sign}{dims}{name};")
        position = field.lsb
    if position:
        lines.append(f"    logic [{position - 1}:0] unused_{stem}_0;")
    return lines


def write_generated(module: str, block: str, files: Callable[[Path], Mapping[Path, str]]) -> None:
    """The command line of a block's table: write what is generated from it, and print the paths.

    Args:
        module: that is run, for the help.
        block: what the table belongs to, likewise.
        files: gives, for the project's folder, path to text.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=f"Write the generated SystemVerilog package and the documentation of {block}.",
    )
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).resolve().parents[1], help="project folder"
    )
    for path, text in files(parser.parse_args().root).items():
        path.write_text(text)
        print(path)
