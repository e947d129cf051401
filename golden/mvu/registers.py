# SPDX-License-Identifier: Apache-2.0
"""Register map of the MVU: the single table that RTL, bench, job mapper and documentation read.

``python -m assay.golden.mvu.registers`` rewrites the generated ``rtl/mvu/mvu_pkg.sv`` and
``docs/mvu_registers.md``; a test fails when either is stale. Names are BARVINN's (see docs/sources.md);
the ones BARVINN does not have are marked so in their description.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from assay.golden.mvu.parameters import (
    CHANNEL_LOOPS,
    JOINT,
    LOOPS,
    NUM_LOOPS,
    OUTPUT_FIFO_DEPTH,
    OUTPUT_LOOPS,
    POST_WIDTH,
    RESIDUAL_FIFO_DEPTH,
    RESIDUAL_LOOPS,
    MvuParameters,
)
from assay.golden.parameters import render_checks
from assay.golden.registers import (
    WORD_BITS,
    Field,
    Register,
    camel,
    markdown_table,
    numbered,
    package,
    page,
    register_table,
    runs,
    struct_members,
    write_generated,
)

_MODULE = "assay.golden.mvu.registers"


def _value(description: str, width: int, signed: bool = False) -> tuple[Field, ...]:
    return (Field("value", width - 1, 0, description, signed=signed),)


def _table() -> tuple[Register, ...]:
    rows: list[Register] = []

    def add(name: str, fields: tuple[Field, ...], description: str = "") -> None:
        rows.append(Register(name, len(rows), fields, description))

    def add_array(array: str, numbers: range, fields: tuple[Field, ...]) -> None:
        rows.extend(numbered(array, numbers, len(rows), fields))

    for letter, what in (("w", "weights"), ("i", "input"), ("s", "scalers"), ("b", "biases")):
        add(f"mvu{letter}baseptr", _value(f"Address of the first word of the {what}.", 16))
    add(
        "mvuobaseptr",
        (
            Field("value", 15, 0, "Address of the first word of the output."),
            Field(
                "dest", 31, 24, "Bit m sends the output to MVU m of the crossbar; 0 is the own data memory."
            ),
        ),
    )
    add("mvurbaseptr", _value("Address of the first word of the residual input (Assay).", 16))
    operands = ("weight", "input", "scaler", "bias", "output", "residual")
    for (letter, loops), what in zip(LOOPS.items(), operands, strict=True):
        jump = f"Words that the {what} address jumps when loop k goes on; loop 0 is the outermost."
        add_array(f"mvu{letter}jump[k]", range(loops), _value(jump, 16, signed=True))
        length = f"Iterations of {what} loop k, less 1; loop 0 is the outermost, has no end and no register."
        add_array(f"mvu{letter}length[k]", range(1, loops), _value(length, 16))
    for letter, what in (("i", "Input"), ("w", "Weight")):
        skip = (
            f"{what} words from one row of the kernel to the next (k = 0), or from one column to the next (k = 1). "
            "They lead past kernel positions that padding skips (Assay)."
        )
        add_array(f"mvu{letter}skip[k]", range(2), _value(skip, 16))
    add(
        "mvuishape",
        (
            Field("width", 15, 0, "Columns of the input map."),
            Field("height", 31, 16, "Rows of the input map."),
        ),
        "The input map of a job with zero padding (Assay).",
    )
    add(
        "mvukernel",
        (
            Field("width", 3, 0, "Columns of the kernel, 1 to 15."),
            Field("height", 7, 4, "Rows of the kernel, 1 to 15."),
            Field("pad_left", 11, 8, "Columns of padding at the left, fewer than `width`."),
            Field("pad_top", 15, 12, "Rows of padding at the top, fewer than `height`."),
            Field("blocks", 27, 16, "Blocks of input channels."),
        ),
        "The kernel of a job with zero padding (Assay).",
    )
    add(
        "mvustride",
        (
            Field("x", 7, 0, "Input columns from one output of the convolution to the next."),
            Field("y", 15, 8, "Input rows from one output of the convolution to the next."),
            Field("group_x", 23, 16, "Input columns from one pool group to the next."),
            Field("group_y", 31, 24, "Input rows from one pool group to the next."),
        ),
        "The steps of the output position in a job with zero padding (Assay).",
    )
    add(
        "mvuprecision",
        (
            Field("weight", 5, 0, "Bits of a weight, 1 to 16."),
            Field("input", 11, 6, "Bits of an input, 1 to 16."),
            Field("output", 17, 12, "Bits of an output, 1 to 16."),
            Field("residual", 23, 18, "Bits of a residual, 1 to 16 (Assay)."),
            Field("weight_signed", 24, 24, "Weights are signed."),
            Field("input_signed", 25, 25, "Inputs are signed."),
            Field("output_signed", 26, 26, "Outputs saturate to the signed range (Assay)."),
            Field("residual_signed", 27, 27, "Residuals are signed (Assay)."),
        ),
        "Precisions and signs.",
    )
    add(
        "mvuquant",
        (
            Field("round_half_up", 0, 0, "Half an output step is added before bits are dropped (Assay)."),
            Field("saturate", 1, 1, "Outputs are clamped to their range and do not wrap (Assay)."),
            Field("msb", 11, 6, f"Number of the output's top bit in the {POST_WIDTH}-bit sum."),
        ),
        "The quantiser.",
    )
    add(
        "mvuscaler",
        (
            Field("value", 15, 0, "Multiplier of a job that takes none from the memory.", signed=True),
            Field("bias_shift", 19, 16, "Bits by which the bias is shifted left before it is added (Assay)."),
        ),
        "The scaler.",
    )
    add(
        "mvurscaler",
        (
            Field("value", 15, 0, "Multiplier of the residual.", signed=True),
            Field("shift", 19, 16, "Bits by which the scaled residual is shifted left before it is added."),
        ),
        "The scaler of the residual (Assay).",
    )
    add(
        "mvuconfig1",
        (
            Field(
                "acc_select",
                2,
                0,
                "An output ends at weight jumps 0 to this one; the loop of the bit planes is the next one.",
            ),
            Field("pool_select", 6, 4, "With max pooling, a pool group ends at weight jumps 0 to this one."),
            Field("scaler_memory", 8, 8, "The multiplier comes from the scaler memory (Assay)."),
            Field("bias_memory", 9, 9, "The bias comes from the bias memory, else it is 0 (Assay)."),
            Field("relu", 10, 10, "Negative values become 0 before pooling (Assay)."),
            Field("residual", 11, 11, "The residual input is added (Assay)."),
            Field("padding", 12, 12, "Kernel positions outside the input map are skipped (Assay)."),
        ),
        "Roles of the loops, and stages that take part.",
    )
    add(
        "mvucommand",
        (
            Field("countdown", 28, 0, "Clocks of the job in which it multiplies."),
            Field("max_pool", 29, 29, "Outputs are the maxima of their pool groups."),
            Field(
                "multiply_mode", 31, 30, "Product of two bits: 0 is {0,0}, 1 {0,+1}, 2 {-1,+1} and 3 {0,-1}."
            ),
        ),
        "A write starts the job that all registers describe, after the running one if there is one.",
    )
    add(
        "mvustatus",
        (
            Field("busy", 0, 0, "A job runs.", "ro"),
            Field("done", 1, 1, "A job has ended; this raises the interrupt.", "w1c"),
            Field(
                "error",
                2,
                2,
                "A job was illegal; this raises the interrupt. To clear it clears `cause`, too.",
                "w1c",
            ),
            Field("pending", 3, 3, "A job waits, and writes of the configuration wait with it.", "ro"),
            Field("jobs", 15, 8, "Jobs that have ended since reset, modulo 256 (Assay).", "ro"),
            Field("cause", 23, 16, "Reasons of the error, see the list of causes (Assay).", "ro"),
        ),
    )
    return tuple(rows)


REGISTERS: tuple[Register, ...] = _table()
BY_NAME: dict[str, Register] = {r.name: r for r in REGISTERS}

#: Bit of ``mvustatus.cause`` to (name, meaning).
ERROR_CAUSES: tuple[tuple[str, str], ...] = (
    ("weight_precision", "The weight precision is not from 1 to 16."),
    ("input_precision", "The input precision is not from 1 to 16."),
    ("output_precision", "The output precision is not from 1 to 16."),
    ("residual_precision", "The residual is enabled, but its precision is not from 1 to 16."),
    ("quantiser", f"The quantiser's MSB is below output precision - 1, or above {POST_WIDTH - 1}."),
    (
        "loops",
        "acc_select is above 6, or weight loop acc_select + 1 is not weight x input precision long, "
        "or pool_select is above acc_select in a job with max pooling.",
    ),
    (
        "padding",
        "The job has padding, but acc_select is not 4, or a kernel side, stride, map side or block count is 0, "
        "or a padding is not less than the kernel.",
    ),
    ("countdown", "The countdown is 0, or ended inside an output or a pool group."),
)

ADDRESS_WIDTH = 8  #: bits of a register's word address


def encode(values: Mapping[str, Mapping[str, int] | int]) -> dict[int, int]:
    """Register name to fields (or plain value) -> word address to word. KeyError names an unknown register."""
    return {BY_NAME[name].address: BY_NAME[name].encode(value) for name, value in values.items()}


def render_package() -> str:
    """SystemVerilog text of ``rtl/mvu/mvu_pkg.sv``."""
    defaults = MvuParameters()
    lines = [
        "  // Defaults of the module parameters.",
    ]
    lines += [f"  localparam int Default{name} = {value};" for name, value in defaults.rtl.items()]
    lines += [
        "",
        "  // Fixed sizes.",
        f"  localparam int NumLoops = {NUM_LOOPS};",
        f"  localparam int ResidualLoops = {RESIDUAL_LOOPS};",
        f"  localparam int OutputLoops = {OUTPUT_LOOPS};",
        f"  localparam int ChannelLoops = {CHANNEL_LOOPS};",
        "  localparam int MaxPrecision = 16;",
        "  localparam int ScalerWidth = 16;",
        f"  localparam int PostWidth = {POST_WIDTH};",
        f"  localparam int OutputFifoDepth = {OUTPUT_FIFO_DEPTH};",
        f"  localparam int ResidualFifoDepth = {RESIDUAL_FIFO_DEPTH};",
        "",
        f"  localparam int RegAddrWidth = {ADDRESS_WIDTH};",
        f"  localparam int NumRegs = {len(REGISTERS)};",
        "",
        "  // Word addresses.",
    ]
    lines += [
        f"  localparam logic [RegAddrWidth-1:0] Addr{camel(r.name)} = {ADDRESS_WIDTH}'d{r.address};"
        for r in REGISTERS
        if r.name in ("mvucommand", "mvustatus")
    ]
    lines += ["", "  // Bits of mvustatus.cause."]
    lines += [f"  localparam int Cause{camel(name)} = {bit};" for bit, (name, _) in enumerate(ERROR_CAUSES)]
    lines += ["", "  // Bits that keep what is written, the register at address 0 in the lowest word."]
    lines += [f"  localparam logic [NumRegs*{WORD_BITS}-1:0] WriteMask = {{"]
    lines += [
        f"    32'h{r.write_mask:08x}{',' if r.address else ' '}  // {r.name}" for r in reversed(REGISTERS)
    ]
    lines += ["  };", ""]
    lines += [
        "  // The configuration of a job: the registers below mvustatus, field by field, lying over the",
        "  // register file's flat vector. Members called unused_* are reserved bits.",
        "  typedef struct packed {",
    ]
    for run in reversed([run for run in runs(REGISTERS) if run[0].name != "mvustatus"]):
        if run[0].array:
            # Arrays of one-field registers stay whole words, so that index k is register k.
            stem = run[0].array.removesuffix("[k]")
            first, last = (int(register.name.removeprefix(stem)) for register in (run[0], run[-1]))
            lines.append(f"    logic [{last}:{first}][{WORD_BITS - 1}:0] {stem.removeprefix('mvu')};")
        else:
            lines += struct_members(run[0], run[0].name.removeprefix("mvu"))
    lines += ["  } mvu_cfg_t;", ""]
    return package("mvu_pkg", _MODULE, "golden/mvu/registers.py and golden/mvu/parameters.py", lines)


def render_documentation() -> str:
    """Markdown text of ``docs/mvu_registers.md``."""
    causes = ((str(bit), name, text) for bit, (name, text) in enumerate(ERROR_CAUSES))
    return page(
        "Registers of the MVU",
        _MODULE,
        "Addresses count 32-bit words. Every register resets to 0. Bits that are not listed are reserved: they read 0 "
        "and ignore writes. *(Assay)* marks registers and fields that BARVINN does not have. `mvuwjump[0-7]` are the "
        "registers mvuwjump0 to mvuwjump7; the text calls the number k.",
        [
            *register_table(REGISTERS, place="0x{:02x}".format),
            "",
            "## Causes of an error (`mvustatus.cause`)",
            "",
            *markdown_table(("bit", "name", "meaning"), causes),
        ],
    )


def generated_files(root: Path) -> dict[Path, str]:
    """Path below the project's `root` to the text that belongs there."""
    return {
        root / "rtl" / "mvu" / "mvu_pkg.sv": render_package(),
        root / "rtl" / "common" / "mvu_parameters.svh": render_checks(
            _MODULE, "golden/mvu/parameters.py", MvuParameters.table(), JOINT
        ),
        root / "docs" / "mvu_registers.md": render_documentation(),
    }


if __name__ == "__main__":
    write_generated(_MODULE, "the MVU", generated_files)
