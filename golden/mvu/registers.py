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
    NUM_LOOPS,
    OUTPUT_FIFO_DEPTH,
    OUTPUT_LOOPS,
    POST_WIDTH,
    RESIDUAL_FIFO_DEPTH,
    RESIDUAL_LOOPS,
    MvuParameters,
)
from assay.golden.registers import WORD_BITS, Field, Register, struct_members, write_generated


def _value(name: str, width: int, signed: bool = False) -> tuple[Field, ...]:
    return (Field("value", width - 1, 0, name, signed=signed),)


def _table() -> tuple[Register, ...]:
    rows: list[tuple[str, tuple[Field, ...], str]] = []

    def add(name: str, fields: tuple[Field, ...], description: str) -> None:
        rows.append((name, fields, description))

    streams = (("w", "weights"), ("i", "input"), ("s", "scalers"), ("b", "biases"))
    for letter, what in streams:
        add(f"mvu{letter}baseptr", _value("first word", 16), f"Base address of the {what}.")
    add(
        "mvuobaseptr",
        (
            Field("value", 15, 0, "first word"),
            Field(
                "dest",
                31,
                24,
                "one bit for each MVU of the crossbar; 0: own data memory",
            ),
        ),
        "Base address of the output.",
    )
    add("mvurbaseptr", _value("first word", 16), "Base address of the residual input. (Assay)")
    for letter, what, loops in (
        ("w", "weight", NUM_LOOPS),
        ("i", "input", NUM_LOOPS),
        ("s", "scaler", CHANNEL_LOOPS),
        ("b", "bias", CHANNEL_LOOPS),
        ("o", "output", OUTPUT_LOOPS),
        ("r", "residual", RESIDUAL_LOOPS),
    ):
        for k in range(loops):
            add(
                f"mvu{letter}jump{k}",
                _value("words", 16, signed=True),
                f"{what.capitalize()} address jump {k} (0 is the outermost loop's).",
            )
        for k in range(1, loops):
            add(
                f"mvu{letter}length{k}",
                _value("iterations - 1", 16),
                f"{what.capitalize()} loop {k} runs this many times plus one (loop 0 is endless).",
            )
    for letter, what in (("i", "input"), ("w", "weight")):
        for k, unit in enumerate(("row", "column")):
            add(
                f"mvu{letter}skip{k}",
                _value("words", 16),
                f"{what.capitalize()} words between one kernel {unit} and the next, "
                "for kernel positions skipped as padding. (Assay)",
            )
    add(
        "mvuishape",
        (
            Field("width", 15, 0, "columns of the input map"),
            Field("height", 31, 16, "rows of the input map"),
        ),
        "Input map under zero padding. (Assay)",
    )
    add(
        "mvukernel",
        (
            Field("width", 3, 0, "kernel columns, 1 to 15"),
            Field("height", 7, 4, "kernel rows, 1 to 15"),
            Field("pad_left", 11, 8, "padding columns, less than width"),
            Field("pad_top", 15, 12, "padding rows, less than height"),
            Field("blocks", 27, 16, "input channel blocks"),
        ),
        "Kernel under zero padding. (Assay)",
    )
    add(
        "mvustride",
        (
            Field("x", 7, 0, "input columns from one convolution output to the next"),
            Field("y", 15, 8, "input rows from one convolution output to the next"),
            Field("group_x", 23, 16, "input columns from one pool group to the next"),
            Field("group_y", 31, 24, "input rows from one pool group to the next"),
        ),
        "Steps of the output position under zero padding. (Assay)",
    )
    add(
        "mvuprecision",
        (
            Field("weight", 5, 0, "weight bits, 1 to 16"),
            Field("input", 11, 6, "input bits, 1 to 16"),
            Field("output", 17, 12, "output bits, 1 to 16"),
            Field("residual", 23, 18, "residual bits, 1 to 16 (Assay)"),
            Field("weight_signed", 24, 24, "weights are signed"),
            Field("input_signed", 25, 25, "inputs are signed"),
            Field("output_signed", 26, 26, "saturate to the signed range (Assay)"),
            Field("residual_signed", 27, 27, "residuals are signed (Assay)"),
        ),
        "Precisions and signs.",
    )
    add(
        "mvuquant",
        (
            Field("round_half_up", 0, 0, "add half an output step before dropping bits (Assay)"),
            Field("saturate", 1, 1, "clamp to the output range instead of wrapping (Assay)"),
            Field("msb", 11, 6, f"index of the output's top bit in the {POST_WIDTH}-bit sum"),
        ),
        "Quantiser.",
    )
    add(
        "mvuscaler",
        (
            Field("value", 15, 0, "multiplier when not from memory", signed=True),
            Field("bias_shift", 19, 16, "left shift of the bias before the addition (Assay)"),
        ),
        "Scaler.",
    )
    add(
        "mvurscaler",
        (
            Field("value", 15, 0, "multiplier of the residual", signed=True),
            Field("shift", 19, 16, "left shift of the scaled residual before the addition"),
        ),
        "Residual scaler. (Assay)",
    )
    add(
        "mvuconfig1",
        (
            Field(
                "acc_select", 2, 0, "an output ends at weight jumps 0 to this; the plane loop is the next one"
            ),
            Field("pool_select", 6, 4, "with max-pool: a pool group ends at weight jumps 0 to this"),
            Field("scaler_memory", 8, 8, "multiplier from the scaler memory (Assay)"),
            Field("bias_memory", 9, 9, "bias from the bias memory, else 0 (Assay)"),
            Field("relu", 10, 10, "max(0, x) before pooling (Assay)"),
            Field("residual", 11, 11, "add the residual input (Assay)"),
            Field("padding", 12, 12, "skip kernel positions outside the input map (Assay)"),
        ),
        "Loop roles and stages.",
    )
    add(
        "mvucommand",
        (
            Field("countdown", 28, 0, "multiply clocks of the job"),
            Field("max_pool", 29, 29, "max-pool over each pool group"),
            Field("multiply_mode", 31, 30, "product of two bits: 0 {0,0}, 1 {0,+1}, 2 {-1,+1}, 3 {0,-1}"),
        ),
        "Writing it starts the job described by all registers, after the running one if there is one.",
    )
    add(
        "mvustatus",
        (
            Field("busy", 0, 0, "a job runs", "ro"),
            Field("done", 1, 1, "a job has ended; raises the interrupt", "w1c"),
            Field("error", 2, 2, "a job was illegal; raises the interrupt; clearing it clears cause", "w1c"),
            Field("pending", 3, 3, "a job waits; configuration writes wait with it", "ro"),
            Field("jobs", 15, 8, "jobs ended since reset, modulo 256 (Assay)", "ro"),
            Field("cause", 23, 16, "reasons of the error, see the list of causes (Assay)", "ro"),
        ),
        "Status.",
    )
    return tuple(Register(name, address, fields, text) for address, (name, fields, text) in enumerate(rows))


REGISTERS: tuple[Register, ...] = _table()
BY_NAME: dict[str, Register] = {r.name: r for r in REGISTERS}

#: Bit of ``mvustatus.cause`` to (name, meaning).
ERROR_CAUSES: tuple[tuple[str, str], ...] = (
    ("weight_precision", "weight precision not from 1 to 16"),
    ("input_precision", "input precision not from 1 to 16"),
    ("output_precision", "output precision not from 1 to 16"),
    ("residual_precision", "residual enabled and its precision not from 1 to 16"),
    ("quantiser", f"quantiser MSB index below output precision - 1 or above {POST_WIDTH - 1}"),
    (
        "loops",
        "acc_select above 6, or weight loop acc_select + 1 not weight x input precision long, "
        "or max-pool with pool_select above acc_select",
    ),
    (
        "padding",
        "padding with acc_select other than 4, a kernel side, stride, map side or block count of 0, "
        "or a padding not less than the kernel",
    ),
    ("countdown", "countdown 0, or ended inside an output or a pool group"),
)

ADDRESS_WIDTH = 8  #: bits of a register's word address


def encode(values: Mapping[str, Mapping[str, int] | int]) -> dict[int, int]:
    """Register name to fields (or plain value) -> word address to word. KeyError names an unknown register."""
    return {BY_NAME[name].address: BY_NAME[name].encode(value) for name, value in values.items()}


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _groups() -> list[tuple[str, list[Register]]]:
    """Registers in address order, numbered ones (mvuwjump0, mvuwjump1 ...) gathered under their stem."""
    groups: list[tuple[str, list[Register]]] = []
    for register in REGISTERS:
        stem = register.name.rstrip("0123456789") if register.name != "mvuconfig1" else register.name
        if groups and groups[-1][0] == stem and stem != register.name:
            groups[-1][1].append(register)
        else:
            groups.append((stem, [register]))
    return groups


def render_package() -> str:
    """SystemVerilog text of ``rtl/mvu/mvu_pkg.sv``."""
    defaults = MvuParameters()
    lines = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// Generated by `python -m assay.golden.mvu.registers` from golden/mvu/registers.py and parameters.py.",
        "// Do not edit: change the table and run that command.",
        "package mvu_pkg;",
        "",
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
        f"  localparam logic [RegAddrWidth-1:0] Addr{_camel(r.name)} = {ADDRESS_WIDTH}'d{r.address};"
        for r in REGISTERS
        if r.name in ("mvucommand", "mvustatus")
    ]
    lines += ["", "  // Bits of mvustatus.cause."]
    lines += [f"  localparam int Cause{_camel(name)} = {bit};" for bit, (name, _) in enumerate(ERROR_CAUSES)]
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
    for stem, group in reversed([g for g in _groups() if g[0] != "mvustatus"]):
        short = stem.removeprefix("mvu")
        if len(group) > 1 or stem != group[0].name:
            # Arrays of one-field registers stay whole words, so that index k is register k.
            first = int(group[0].name.removeprefix(stem))
            lines.append(f"    logic [{first + len(group) - 1}:{first}][{WORD_BITS - 1}:0] {short};")
            continue
        lines += struct_members(group[0], short)
    lines += ["  } mvu_cfg_t;", "", "endpackage : mvu_pkg", ""]
    return "\n".join(lines)


def render_documentation() -> str:
    """Markdown text of ``docs/mvu_registers.md``."""
    lines = [
        "# Registers of the MVU",
        "",
        "Generated by `python -m assay.golden.mvu.registers`. Addresses count 32-bit words. Every register resets to 0;",
        "bits not listed are reserved: they read 0 and ignore writes. *(Assay)* marks what BARVINN does not have.",
        "",
        "| address | register | bits | field | access | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for stem, group in _groups():
        head = group[0]
        if len(group) > 1:
            first, last = int(head.name.removeprefix(stem)), int(group[-1].name.removeprefix(stem))
            address = f"0x{head.address:02x}-0x{group[-1].address:02x}"
            name = f"{stem}[{first}-{last}]"
        else:
            address, name = f"0x{head.address:02x}", head.name
        text = head.description
        for field in head.fields:
            bits = f"{field.msb}:{field.lsb}" if field.width > 1 else f"{field.lsb}"
            meaning = f"{text} {field.description}." if text else f"{field.description}."
            if len(group) > 1:
                meaning = f"{text.replace(f' {first} ', ' k ', 1)} Unit: {field.description}."
            lines.append(f"| {address} | {name} | {bits} | {field.name} | {field.access} | {meaning} |")
            address = name = text = ""
    lines += [
        "",
        "## Causes of an error (`mvustatus.cause`)",
        "",
        "| bit | name | meaning |",
        "|---|---|---|",
    ]
    lines += [f"| {bit} | {name} | {text} |" for bit, (name, text) in enumerate(ERROR_CAUSES)]
    return "\n".join(lines) + "\n"


def generated_files(root: Path) -> dict[Path, str]:
    """Path below the project's `root` to the text that belongs there."""
    return {
        root / "rtl" / "mvu" / "mvu_pkg.sv": render_package(),
        root / "docs" / "mvu_registers.md": render_documentation(),
    }


if __name__ == "__main__":
    write_generated("assay.golden.mvu.registers", "the MVU", generated_files)
