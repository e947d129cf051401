# SPDX-License-Identifier: Apache-2.0
"""Tables of 32-bit words made of named fields: register maps and packet headers, each written once for all readers.

A block's table is a tuple of `Register`s. From it come its SystemVerilog package (`package`, `struct_members`), its
page of the documentation (`page`, `register_table`, `markdown_table`) and the command that writes both
(`write_generated`).
Descriptions of registers and fields are whole sentences, as the page prints them one after the other.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from assay.golden.errors import ConfigurationError

__all__ = [
    "WORD_BITS",
    "Field",
    "Register",
    "camel",
    "literal",
    "markdown_table",
    "numbered",
    "package",
    "page",
    "register_table",
    "runs",
    "struct_members",
    "write_generated",
]

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

    @cached_property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        if self.signed:
            return -(1 << (self.width - 1)), (1 << (self.width - 1)) - 1
        return 0, (1 << self.width) - 1

    def encode(self, value: int) -> int:
        """`value` at its place in the word; raises `ConfigurationError` when it does not fit."""
        low, high = self.range
        if not low <= value <= high:
            raise ConfigurationError(f"field {self.name} = {value}: must be from {low} to {high}")
        return (value << self.lsb) & self.mask

    def decode(self, word: int) -> int:
        """The field's value in `word`."""
        value = (word & self.mask) >> self.lsb
        return value - (1 << self.width) if self.signed and value >> (self.width - 1) else value


@dataclass(frozen=True)
class Register:
    """One 32-bit register at word ``address``; bits outside its fields are reserved: read 0, writes ignored.

    ``array``: of a register that is one of several alike, their name with ``[k]`` for the number, see `numbered`.
    """

    name: str
    address: int
    fields: tuple[Field, ...]
    description: str = ""
    array: str = ""

    @cached_property
    def write_mask(self) -> int:
        """Bits that keep what is written."""
        return sum(f.mask for f in self.fields if f.access == "rw")

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    def field(self, name: str) -> Field:
        """The field called `name`; KeyError when there is none."""
        found = self._by_name.get(name)
        if found is None:
            raise KeyError(f"{self.name} has no field {name}")
        return found

    def encode(self, values: Mapping[str, int] | int) -> int:
        """The word of the given fields (others 0); a plain int is the value of a one-field register."""
        if isinstance(values, (dict, Mapping)):  # dict first: the other is slow
            word = 0
            for name, value in values.items():
                word |= self.field(name).encode(int(value))
            return word
        (only,) = self.fields
        return only.encode(int(values))

    def decode(self, word: int) -> dict[str, int]:
        """Field name to value."""
        return {f.name: f.decode(word) for f in self.fields}


AnyRegister = TypeVar("AnyRegister", bound=Register)


def numbered(
    array: str, numbers: Iterable[int], address: int, fields: tuple[Field, ...], description: str = ""
) -> list[Register]:
    """Registers that differ in their number alone, at addresses from `address` on.

    Args:
        array: their name, with ``[k]`` where the number stands: "mvuijump[k]", "mhpmcounter[k]h".
        numbers: one after the other.
        address: of the first.
        fields: of each.
        description: says what the number k means.
    """
    return [
        Register(array.replace("[k]", str(k)), address + place, fields, description, array)
        for place, k in enumerate(numbers)
    ]


def runs(registers: Iterable[AnyRegister]) -> list[list[AnyRegister]]:
    """Registers one by one, but those of one array at consecutive addresses together."""
    places = enumerate(registers)
    found = groupby(
        places, lambda pair: (pair[1].array, pair[1].address - pair[0]) if pair[1].array else pair[0]
    )
    return [[register for _, register in run] for _, run in found]


def camel(name: str) -> str:
    """ "snake_case" (or "dotted.name") as "SnakeCase", the style of SystemVerilog's parameters."""
    return "".join(part.capitalize() for part in name.replace(".", "_").split("_"))


def literal(value: int, width: int = WORD_BITS) -> str:
    """A number as SystemVerilog writes it: 32'h0000001f."""
    return f"{width}'h{value:0{-(-width // 4)}x}"


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


def package(name: str, module: str, sources: str, body: Iterable[str]) -> str:
    """Text of a generated SystemVerilog package.

    Args:
        name: of the package.
        module: that writes it.
        sources: the files from which it is made.
        body: lines between its head and its end.
    """
    head = [
        "// SPDX-License-Identifier: Apache-2.0",
        f"// Generated by `python -m {module}` from",
        f"// {sources}.",
        "// Do not edit: change the table and run that command.",
        f"package {name};",
        "",
    ]
    return "\n".join([*head, *body, f"endpackage : {name}", ""])


def page(title: str, module: str, introduction: str, sections: Iterable[str]) -> str:
    """Text of a generated page of documentation: title, a paragraph, which is wrapped here, lines of its sections."""
    paragraph = textwrap.wrap(
        f"Generated by `python -m {module}`. {introduction}",
        100,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([f"# {title}", "", *paragraph, "", *sections, ""])


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    return [_row(columns), "|---" * len(columns) + "|", *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def register_table(
    registers: Iterable[AnyRegister],
    column: str = "address",
    place: Callable[[int], str] = str,
    reset: Callable[[AnyRegister], str] | None = None,
    access: bool = True,
) -> list[str]:
    """The documentation of a table: a line for each field, those of an array, name[first-last], once for all.

    Args:
        registers: in the order of the lines.
        column: head of the column of places.
        place: the text of an address.
        reset: the text of a register's value after reset, for a column of its own.
        access: whether there is a column of the fields' access.
    """
    columns = [
        column,
        "name",
        *(["reset"] if reset else []),
        "bits",
        "field",
        *(["access"] if access else []),
    ]
    rows = []
    for run in runs(registers):
        first, last = run[0], run[-1]
        where, name = place(first.address), first.name
        if first.array:
            before, after = first.array.split("[k]")
            numbers = dict.fromkeys(r.name.removeprefix(before).removesuffix(after) for r in (first, last))
            name = f"{before}[{'-'.join(numbers)}]{after}"
        if first is not last:
            where = f"{where} to {place(last.address)}"
        cells = [where, name, *([reset(first)] if reset else [])]
        text = f"{first.description} "
        for field in first.fields:
            bits = f"{field.msb}:{field.lsb}" if field.width > 1 else f"{field.lsb}"
            meaning = f"{text}{field.description}{' Signed.' if field.signed else ''}".strip()
            rows.append([*cells, bits, field.name, *([field.access] if access else []), meaning])
            cells, text = [""] * len(cells), ""
    return markdown_table([*columns, "meaning"], rows)


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
