# SPDX-License-Identifier: Apache-2.0
"""Registers and packet words of the PE array: the tables that RTL, bench, mapper and documentation read.

``python -m assay.golden.pe_array.registers`` rewrites the generated ``rtl/pe_array/pe_array_pkg.sv`` and
``docs/pe_array_registers.md``; a test fails when either is stale. `HEADER` and `ENTRY` are words of the weight
stream's packets (see docs/pe_array.md), `REGISTERS` those of the register port.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

from assay.golden.pe_array.parameters import (
    ACC_WIDTH,
    MAX_KERNEL,
    MAX_STRIDE,
    SOFTMAX_DEPTH,
    PeArrayParameters,
)
from assay.golden.registers import WORD_BITS, Field, Register, struct_members, write_generated

ADDRESS_WIDTH = 8  #: bits of a register's word address
MAGIC = 0x5045  #: "PE", the mark of a header
IDENTITY = 0x50450001  #: what the register `identity` reads


class ArrayOp(IntEnum):
    """What an element does with a pixel and a weight."""

    MAC = 0  #: accumulator + pixel * weight
    MAX = 1  #: the larger of accumulator and pixel, where the weight is not 0 and the pixel is in the map


class LaneOp(IntEnum):
    """What a lane makes of an accumulator before it is rescaled."""

    NONE = 0
    ADD = 1  #: sum (or difference) of two accumulators, each rescaled
    MULTIPLY = 2  #: product of two accumulators
    PRELU = 3  #: negative accumulators times alpha, with their own factor


class Rescaling(IntEnum):
    """How a factor is applied; each rounds and saturates as its source says (see docs/pe_array.md)."""

    DOUBLE_ROUNDING = 0  #: TFLite's 31-bit multiplier and shift
    FLOAT64 = 1  #: TFLite's FULLY_CONNECTED: a float64 factor, rounded once
    RATIONAL = 2  #: 2**n / a, half away from zero


def _words(*rows: tuple[str, str, tuple[Field, ...]]) -> tuple[Register, ...]:
    return tuple(
        Register(name, address, fields, description)
        for address, (name, description, fields) in enumerate(rows)
    )


def _value(description: str, width: int, signed: bool = False, access: str = "rw") -> tuple[Field, ...]:
    return (Field("value", width - 1, 0, description, access, signed),)


#: A tile's header, word 0 first.
HEADER = _words(
    (
        "mode",
        "Operations.",
        (
            Field("array_op", 0, 0, "0 multiply-accumulate, 1 maximum"),
            Field("lane_op", 2, 1, "0 none, 1 add, 2 multiply, 3 PReLU"),
            Field("rescaling", 4, 3, "0 double rounding, 1 float64, 2 rational"),
            Field("table", 5, 5, "results go through the packet's table"),
            Field("count_divide", 6, 6, "rational: divide by the number of the window's places in the map"),
            Field("subtract", 7, 7, "lane_op add: the second operand is subtracted"),
            Field("input_signed", 8, 8, "pixels are signed"),
            Field("weight_signed", 9, 9, "weights are signed"),
            Field("softmax", 10, 10, "results of each array row of a row block become their softmax"),
            Field("magic", 31, 16, f"0x{MAGIC:04x}"),
        ),
    ),
    (
        "repeat",
        "",
        (
            Field("images", 15, 0, "images, one after the other"),
            Field("row_blocks", 31, 16, "blocks of Rows output rows in an image"),
        ),
    ),
    (
        "packet",
        "",
        (
            Field("columns", 15, 0, "pixel packets (map columns) in a row block"),
            Field("channels", 31, 16, "channels in a pixel packet"),
        ),
    ),
    (
        "window",
        "",
        (
            Field("kernel_rows", 3, 0, "kernel rows"),
            Field("row_stride", 6, 4, "rows between the first kernel rows of neighbouring output rows"),
            Field("beats", 11, 7, "beats of a channel in a pixel packet"),
            Field("first_output", 15, 12, "map column (from 0) that completes output column 0"),
            Field("column_stride", 18, 16, "map columns from one output column to the next"),
            Field("pad_top", 22, 19, "rows above the map"),
            Field("kernel_columns", 26, 23, "kernel columns (read with count_divide only)"),
        ),
    ),
    (
        "rows",
        "",
        (
            Field("map", 15, 0, "rows of the map, without padding"),
            Field("output", 31, 16, "rows of the output"),
        ),
    ),
    (
        "extent",
        "",
        (
            Field("output_columns", 15, 0, "columns of the output"),
            Field("weight_beats", 31, 16, "beats of weights in this packet"),
        ),
    ),
    ("entries", "", _value("channel entries in this packet, one for each output channel", 9)),
    ("input_zero", "", _value("zero point of the pixels", 17, True)),
    ("weight_zero", "", _value("zero point of the weights", 17, True)),
    ("second_zero", "", _value("second operand's zero point less input_zero", 18, True)),
    ("output_zero", "", _value("zero point of the output", 17, True)),
    ("low", "", _value("least output", 17, True)),
    ("high", "", _value("greatest output", 17, True)),
    ("first_multiplier", "", _value("lane_op add: first operand's multiplier", 32)),
    ("second_multiplier", "", _value("lane_op add: second operand's; PReLU: that of negative values", 32)),
    (
        "operand",
        "",
        (
            Field("first_shift", 7, 0, "lane_op add: first operand's shift", signed=True),
            Field(
                "second_shift", 15, 8, "lane_op add: second operand's; PReLU: that of negatives", signed=True
            ),
            Field("left_shift", 20, 16, "lane_op add: left shift of both operands"),
        ),
    ),
)

#: One output channel's constants, word 0 first.
ENTRY = _words(
    ("bias", "", _value("added to the accumulator", 32, True)),
    ("multiplier", "", _value("multiplier's low bits; rational: a", 32)),
    (
        "factor",
        "",
        (
            Field("multiplier_high", 20, 0, "multiplier's bits 52 to 32"),
            Field("shift", 28, 21, "double rounding: shift; float64: right shift; rational: n", signed=True),
        ),
    ),
    (
        "source",
        "",
        (
            Field(
                "column", 7, 0, "array column whose accumulators these are; the second operand's is the next"
            ),
            Field("alpha", 24, 8, "PReLU: factor of negative values", signed=True),
        ),
    ),
)

HEADER_BITS = len(HEADER) * WORD_BITS
ENTRY_BITS = len(ENTRY) * WORD_BITS

#: Bits of status.error: (name, cause).
ERRORS = (
    ("header", "a weight packet whose header asks for what this array cannot do was dropped"),
    ("weight_length", "a weight packet shorter or longer than its header says was dropped"),
    ("pixel_length", "a pixel packet shorter or longer than its tile says was dropped"),
)

REGISTERS = _words(
    ("identity", "", _value(f"reads 0x{IDENTITY:08x}", 32, access="ro")),
    (
        "geometry",
        "",
        (
            Field("rows", 7, 0, "rows of the array", "ro"),
            Field("columns", 16, 8, "columns", "ro"),
            Field("vectors", 20, 17, "pixel vectors in a beat", "ro"),
            Field("lanes", 25, 21, "output lanes", "ro"),
            Field("data_width", 30, 26, "bits of an operand", "ro"),
        ),
    ),
    (
        "status",
        "",
        (
            Field("busy", 0, 0, "a tile is being loaded or computed, or output waits", "ro"),
            Field("tile_done", 1, 1, "a tile has ended", "w1c"),
            Field("error", 10, 8, "sticky errors, see below", "w1c"),
        ),
    ),
    (
        "control",
        "",
        (
            Field("clear", 0, 0, "write 1: drop every tile, packet and output in flight; reads 0", "wo"),
            Field("irq_tile", 1, 1, "interrupt while tile_done"),
            Field("irq_error", 2, 2, "interrupt while an error is set"),
        ),
    ),
    ("tiles", "", _value("tiles ended since reset or clear", 32, access="ro")),
    ("busy_clocks", "", _value("clocks with busy set since reset or clear", 32, access="ro")),
    ("starved_clocks", "", _value("of these, clocks in which a tile waited for pixels", 32, access="ro")),
    (
        "blocked_clocks",
        "",
        _value("of these, clocks in which the array waited for the output", 32, access="ro"),
    ),
)
BY_NAME = {register.name: register for register in REGISTERS}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _struct(name: str, words: tuple[Register, ...]) -> list[str]:
    members = [line for word in reversed(words) for line in struct_members(word, word.name)]
    return ["  typedef struct packed {", *members, f"  }} {name};", ""]


def render_package() -> str:
    """Text of ``rtl/pe_array/pe_array_pkg.sv``."""
    defaults = PeArrayParameters().rtl
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Generated by `python -m assay.golden.pe_array.registers` from golden/pe_array/registers.py and parameters.py.",
        "// Do not edit: change the table and run that command.",
        "package pe_array_pkg;",
        "",
        "  // Defaults of the module parameters.",
        *(f"  localparam int Default{name} = {value};" for name, value in defaults.items()),
        "",
        "  // Fixed sizes.",
        f"  localparam int MaxKernel = {MAX_KERNEL};",
        f"  localparam int MaxStride = {MAX_STRIDE};",
        f"  localparam int AccWidth = {ACC_WIDTH};",
        f"  localparam int SoftmaxDepth = {SOFTMAX_DEPTH};",
        f"  localparam int HeaderWidth = {HEADER_BITS};",
        f"  localparam int EntryWidth = {ENTRY_BITS};",
        f"  localparam logic [15:0] Magic = 16'h{MAGIC:04x};",
        "",
    ]
    for prefix, width, values in (("Array", 1, ArrayOp), ("Lane", 2, LaneOp), ("Rescale", 2, Rescaling)):
        lines += [
            f"  localparam logic [{width - 1}:0] {prefix}{_camel(v.name.lower())} = {width}'d{v.value};"
            for v in values
        ]
    lines += [
        "",
        f"  localparam int RegAddrWidth = {ADDRESS_WIDTH};",
        f"  localparam logic [{WORD_BITS - 1}:0] Identity = {WORD_BITS}'h{IDENTITY:08x};",
        *(
            f"  localparam logic [RegAddrWidth-1:0] Addr{_camel(r.name)} = {ADDRESS_WIDTH}'d{r.address};"
            for r in REGISTERS
        ),
        "",
        "  // Bits of status.error.",
        f"  localparam int NumErrors = {len(ERRORS)};",
        *(f"  localparam int Error{_camel(name)} = {bit};" for bit, (name, _) in enumerate(ERRORS)),
        "",
        "  // A tile's header, lying over its words, the first of them lowest.",
        *_struct("header_t", HEADER),
        "  // An output channel's entry, likewise.",
        *_struct("entry_t", ENTRY),
        "endpackage : pe_array_pkg",
        "",
    ]
    return "\n".join(lines)


def _table(words: tuple[Register, ...], index: str, access: bool) -> list[str]:
    head = ["bits", "field", *(["access"] if access else []), "meaning"]
    lines = [f"| {index} | name | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for word in words:
        place, name = str(word.address), word.name
        for field in word.fields:
            bits = f"{field.msb}:{field.lsb}" if field.width > 1 else f"{field.lsb}"
            text = field.description + (" (signed)" if field.signed else "")
            cells = [place, name, bits, field.name, *([field.access] if access else []), text]
            lines.append(f"| {' | '.join(cells)} |")
            place = name = ""
    return lines


def render_documentation() -> str:
    """Markdown text of ``docs/pe_array_registers.md``."""
    lines = [
        "# Registers and packet words of the PE array",
        "",
        "Generated by `python -m assay.golden.pe_array.registers`. Words have 32 bits; bits not listed are reserved: 0.",
        "",
        "## Registers",
        "",
        *_table(REGISTERS, "address", access=True),
        "",
        "Bits of `status.error`:",
        "",
        "| bit | name | cause |",
        "|---|---|---|",
        *(f"| {bit} | {name} | {cause} |" for bit, (name, cause) in enumerate(ERRORS)),
        "",
        "## Header of a weight packet",
        "",
        *_table(HEADER, "word", access=False),
        "",
        "## Channel entry of a weight packet",
        "",
        *_table(ENTRY, "word", access=False),
    ]
    return "\n".join(lines) + "\n"


def generated_files(root: Path) -> dict[Path, str]:
    """Path below the project's `root` to the text that belongs there."""
    return {
        root / "rtl" / "pe_array" / "pe_array_pkg.sv": render_package(),
        root / "docs" / "pe_array_registers.md": render_documentation(),
    }


if __name__ == "__main__":
    write_generated("assay.golden.pe_array.registers", "the PE array", generated_files)
