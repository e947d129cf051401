# SPDX-License-Identifier: Apache-2.0
"""Registers and packet words of the PE array: the tables that RTL, bench, mapper and documentation read.

``python -m assay.golden.pe_array.registers`` rewrites the generated ``rtl/pe_array/pe_array_pkg.sv`` and
``docs/pe_array_registers.md``; a test fails when either is stale. `HEADER` and `ENTRY` are words of the weight
stream's packets (see docs/pe_array.md), `REGISTERS` those of the register port.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

from assay.golden.parameters import render_checks
from assay.golden.pe_array.parameters import (
    ACC_WIDTH,
    JOINT,
    MAX_KERNEL,
    MAX_STRIDE,
    SOFTMAX_DEPTH,
    PeArrayParameters,
)
from assay.golden.registers import (
    WORD_BITS,
    Field,
    Register,
    camel,
    literal,
    markdown_table,
    package,
    page,
    register_table,
    struct_members,
    write_generated,
)

_MODULE = "assay.golden.pe_array.registers"

ADDRESS_WIDTH = 8  #: bits of a register's word address
MAGIC = 0x5045  #: "PE", the mark of a header
IDENTITY = 0x50450001  #: what the register `identity` reads


class ArrayOp(IntEnum):
    """The operation of an element on a pixel and a weight."""

    MAC = 0  #: accumulator + pixel * weight
    MAX = 1  #: the larger of accumulator and pixel, where the weight is not 0 and the pixel is in the map


class LaneOp(IntEnum):
    """The operation of a lane on an accumulator before the rescaling."""

    NONE = 0
    ADD = 1  #: sum (or difference) of two accumulators, each rescaled
    MULTIPLY = 2  #: product of two accumulators
    PRELU = 3  #: negative accumulators times alpha, with their own factor


class Rescaling(IntEnum):
    """The way in which a factor is applied; each rounds and saturates as its source says (see docs/pe_array.md)."""

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
        "The operations of the tile.",
        (
            Field("array_op", 0, 0, "Of the elements: 0 is multiply-accumulate, 1 is maximum."),
            Field("lane_op", 2, 1, "Of the lanes: 0 is none, 1 add, 2 multiply and 3 PReLU."),
            Field(
                "rescaling", 4, 3, "How results are rescaled: 0 is double rounding, 1 float64 and 2 rational."
            ),
            Field("table", 5, 5, "Results go through the packet's table."),
            Field(
                "count_divide",
                6,
                6,
                "With rational rescaling, divides by the number of the window's places in the map.",
            ),
            Field("subtract", 7, 7, "With lane_op add, the second operand is subtracted."),
            Field("input_signed", 8, 8, "Pixels are signed."),
            Field("weight_signed", 9, 9, "Weights are signed."),
            Field("softmax", 10, 10, "Results of each array row of a row block become their softmax."),
            Field("magic", 31, 16, f"The mark of a header, 0x{MAGIC:04x}."),
        ),
    ),
    (
        "repeat",
        "",
        (
            Field("images", 15, 0, "Images, one after the other."),
            Field("row_blocks", 31, 16, "Blocks of Rows output rows in an image."),
        ),
    ),
    (
        "packet",
        "",
        (
            Field("columns", 15, 0, "Pixel packets in a row block; each is a column of the map."),
            Field("channels", 31, 16, "Channels in a pixel packet."),
        ),
    ),
    (
        "window",
        "",
        (
            Field("kernel_rows", 3, 0, "Rows of the kernel."),
            Field("row_stride", 6, 4, "Map rows from one output row to the next."),
            Field("beats", 11, 7, "Beats of a channel in a pixel packet."),
            Field("first_output", 15, 12, "Number of the map column that completes output column 0."),
            Field("column_stride", 18, 16, "Map columns from one output column to the next."),
            Field("pad_top", 22, 19, "Rows of padding above the map."),
            Field("kernel_columns", 26, 23, "Columns of the kernel; read with count_divide only."),
        ),
    ),
    (
        "rows",
        "",
        (
            Field("map", 15, 0, "Rows of the map, without padding."),
            Field("output", 31, 16, "Rows of the output."),
        ),
    ),
    (
        "extent",
        "",
        (
            Field("output_columns", 15, 0, "Columns of the output."),
            Field("weight_beats", 31, 16, "Beats of weights in this packet."),
        ),
    ),
    ("entries", "", _value("Channel entries in this packet, one for each output channel.", 9)),
    ("input_zero", "", _value("Zero point of the pixels.", 17, True)),
    ("weight_zero", "", _value("Zero point of the weights.", 17, True)),
    ("second_zero", "", _value("Zero point of the second operand less input_zero.", 18, True)),
    ("output_zero", "", _value("Zero point of the output.", 17, True)),
    ("low", "", _value("Least output.", 17, True)),
    ("high", "", _value("Greatest output.", 17, True)),
    ("first_multiplier", "", _value("With lane_op add, multiplier of the first operand.", 32)),
    (
        "second_multiplier",
        "",
        _value("With lane_op add, the second operand's multiplier; with PReLU, that of negatives.", 32),
    ),
    (
        "operand",
        "",
        (
            Field("first_shift", 7, 0, "With lane_op add, shift of the first operand.", signed=True),
            Field(
                "second_shift",
                15,
                8,
                "With lane_op add, the second operand's shift; with PReLU, that of negatives.",
                signed=True,
            ),
            Field("left_shift", 20, 16, "With lane_op add, left shift of both operands."),
        ),
    ),
)

#: One output channel's constants, word 0 first.
ENTRY = _words(
    ("bias", "", _value("Number that is added to the accumulator.", 32, True)),
    ("multiplier", "", _value("Bits 31 to 0 of the multiplier; with rational rescaling, the divisor a.", 32)),
    (
        "factor",
        "",
        (
            Field("multiplier_high", 20, 0, "Bits 52 to 32 of the multiplier."),
            Field(
                "shift",
                28,
                21,
                "Shift with double rounding, right shift with float64, n with rational rescaling.",
                signed=True,
            ),
        ),
    ),
    (
        "source",
        "",
        (
            Field("column", 7, 0, "Array column of the accumulators; the second operand's is the next one."),
            Field("alpha", 24, 8, "With PReLU, factor of negative values.", signed=True),
        ),
    ),
)

HEADER_BITS = len(HEADER) * WORD_BITS
ENTRY_BITS = len(ENTRY) * WORD_BITS

#: Bits of status.error: (name, cause).
ERRORS = (
    ("header", "A weight packet was dropped because its header asks for what this array cannot do."),
    ("weight_length", "A weight packet was dropped because it is shorter or longer than its header says."),
    ("pixel_length", "A pixel packet was dropped because it is shorter or longer than its tile says."),
)

REGISTERS = _words(
    ("identity", "", _value(f"Reads 0x{IDENTITY:08x}.", 32, access="ro")),
    (
        "geometry",
        "",
        (
            Field("rows", 7, 0, "Rows of the array.", "ro"),
            Field("columns", 16, 8, "Columns of the array.", "ro"),
            Field("vectors", 20, 17, "Pixel vectors in a beat.", "ro"),
            Field("lanes", 25, 21, "Output lanes.", "ro"),
            Field("data_width", 30, 26, "Bits of an operand.", "ro"),
        ),
    ),
    (
        "status",
        "",
        (
            Field("busy", 0, 0, "A tile is being loaded or computed, or output waits.", "ro"),
            Field("tile_done", 1, 1, "A tile has ended.", "w1c"),
            Field("error", 10, 8, "Errors since they were cleared, see below.", "w1c"),
        ),
    ),
    (
        "control",
        "",
        (
            Field(
                "clear", 0, 0, "A write of 1 drops every tile, packet and output in flight; it reads 0.", "wo"
            ),
            Field("irq_tile", 1, 1, "The interrupt is raised while tile_done is set."),
            Field("irq_error", 2, 2, "The interrupt is raised while an error is set."),
        ),
    ),
    ("tiles", "", _value("Tiles that have ended since reset or clear.", 32, access="ro")),
    ("busy_clocks", "", _value("Clocks since reset or clear in which busy was set.", 32, access="ro")),
    ("starved_clocks", "", _value("Clocks of these in which a tile waited for pixels.", 32, access="ro")),
    (
        "blocked_clocks",
        "",
        _value("Clocks of these in which the array waited for the output.", 32, access="ro"),
    ),
)
BY_NAME = {register.name: register for register in REGISTERS}


def _struct(name: str, words: tuple[Register, ...]) -> list[str]:
    members = [line for word in reversed(words) for line in struct_members(word, word.name)]
    return ["  typedef struct packed {", *members, f"  }} {name};", ""]


def render_package() -> str:
    """Text of ``rtl/pe_array/pe_array_pkg.sv``."""
    defaults = PeArrayParameters().rtl
    lines = [
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
        f"  localparam logic [15:0] Magic = {literal(MAGIC, 16)};",
        "",
    ]
    for prefix, width, values in (("Array", 1, ArrayOp), ("Lane", 2, LaneOp), ("Rescale", 2, Rescaling)):
        lines += [
            f"  localparam logic [{width - 1}:0] {prefix}{camel(v.name.lower())} = {width}'d{v.value};"
            for v in values
        ]
    lines += [
        "",
        f"  localparam int RegAddrWidth = {ADDRESS_WIDTH};",
        f"  localparam logic [{WORD_BITS - 1}:0] Identity = {literal(IDENTITY)};",
        *(
            f"  localparam logic [RegAddrWidth-1:0] Addr{camel(r.name)} = {ADDRESS_WIDTH}'d{r.address};"
            for r in REGISTERS
        ),
        "",
        "  // Bits of status.error.",
        f"  localparam int NumErrors = {len(ERRORS)};",
        *(f"  localparam int Error{camel(name)} = {bit};" for bit, (name, _) in enumerate(ERRORS)),
        "",
        "  // A tile's header, lying over its words, the first of them lowest.",
        *_struct("header_t", HEADER),
        "  // An output channel's entry, likewise.",
        *_struct("entry_t", ENTRY),
    ]
    return package(
        "pe_array_pkg", _MODULE, "golden/pe_array/registers.py and golden/pe_array/parameters.py", lines
    )


def render_documentation() -> str:
    """Markdown text of ``docs/pe_array_registers.md``."""
    errors = ((str(bit), name, cause) for bit, (name, cause) in enumerate(ERRORS))
    return page(
        "Registers and packet words of the PE array",
        _MODULE,
        "Words have 32 bits; bits that are not listed are reserved, and 0.",
        [
            "## Registers",
            "",
            *register_table(REGISTERS),
            "",
            "Bits of `status.error`:",
            "",
            *markdown_table(("bit", "name", "cause"), errors),
            "",
            "## Header of a weight packet",
            "",
            *register_table(HEADER, "word", access=False),
            "",
            "## Channel entry of a weight packet",
            "",
            *register_table(ENTRY, "word", access=False),
        ],
    )


def generated_files(root: Path) -> dict[Path, str]:
    """Path below the project's `root` to the text that belongs there."""
    return {
        root / "rtl" / "pe_array" / "pe_array_pkg.sv": render_package(),
        root / "rtl" / "common" / "pe_array_parameters.svh": render_checks(
            _MODULE, "golden/pe_array/parameters.py", PeArrayParameters.table(), JOINT
        ),
        root / "docs" / "pe_array_registers.md": render_documentation(),
    }


if __name__ == "__main__":
    write_generated(_MODULE, "the PE array", generated_files)
