# SPDX-License-Identifier: Apache-2.0
"""System registers of the accelerator and the host's memory map: the single table that RTL, benches, code generator
and documentation read.

``python -m assay.golden.accelerator.registers`` rewrites the generated ``rtl/accelerator/accelerator_pkg.sv`` and
``docs/accelerator_registers.md``; a test fails when either is stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.golden.accelerator.parameters import LANES, AcceleratorParameters
from assay.golden.controller import memory_map
from assay.golden.controller.parameters import MAX_HARTS
from assay.golden.mvu.parameters import CROSSBAR_PORTS, MAX_PRECISION
from assay.golden.parameters import render_checks
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
    write_generated,
)

_MODULE = "assay.golden.accelerator.registers"

BEAT_BYTES = 8  #: of the host port
SYSTEM_UNIT = memory_map.MVUS - 1  #: unit of the harts' window that holds the system registers
ID = int.from_bytes(b"YASA", "big")  #: "ASAY" in a little-endian dump
VERSION = 1
ELEMENT_BITS = (2, 4, 8, 16)  #: element sizes of the transposer
RESPONSES = {"OKAY": 0, "SLVERR": 2, "DECERR": 3}  #: of the host port


@dataclass(frozen=True)
class Window:
    """A part of the host's address space, a power of two large and aligned to its size.

    Attributes:
        name: lower case with underscores.
        base: first byte address.
        bits: log2 of its bytes.
        beats: bytes that a beat may have.
        access: rw, or wo.
        description: what an address in it means.
    """

    name: str
    base: int
    bits: int
    beats: tuple[int, ...]
    access: str
    description: str

    def __contains__(self, address: int) -> bool:
        return address >> self.bits == self.base >> self.bits

    @property
    def size(self) -> int:
        """Bytes."""
        return 1 << self.bits


_WORDS, _BEATS = (4, 8), (8,)
DATA_STRIDE = 1 << 20  #: bytes from one MVU's data memory to the next

#: Addresses outside all of them are answered DECERR. A burst stays in the window it begins in.
WINDOWS = (
    Window("system", 0x0000_0000, 10, _WORDS, "rw", "System register r is at `+ 4*r`."),
    Window(
        "controller",
        memory_map.HOST_BASE,
        8,
        _WORDS,
        "rw",
        "Hold, counters and pc of the controller's harts.",
    ),
    Window(
        "timer",
        memory_map.MSIP_BASE,
        16,
        _WORDS,
        "rw",
        "Software interrupts, timer and its compares, of the controller.",
    ),
    Window(
        "data",
        0x1000_0000,
        23,
        _BEATS,
        "rw",
        f"Word w of MVU m's data memory is at `+ 0x{DATA_STRIDE:x}*m + 8*w`; bits above Lanes read 0.",
    ),
    Window(
        "weights",
        0x2000_0000,
        27,
        _BEATS,
        "wo",
        "Row `lane` of a weight word of all MVUs in `load_mvus` is at `+ 8*(word*Lanes + lane)`.",
    ),
    Window(
        "scalers",
        0x2800_0000,
        26,
        _BEATS,
        "wo",
        "An entry of the scaler memory, likewise, is at `+ 8*(entry*Lanes + lane)`.",
    ),
    Window(
        "biases",
        0x2C00_0000,
        26,
        _BEATS,
        "wo",
        "An entry of the bias memory, likewise, is at `+ 8*(entry*Lanes + lane)`.",
    ),
    Window(
        "registers",
        memory_map.MVU_BASE,
        14,
        _WORDS,
        "rw",
        f"Register r of MVU m is at `+ 0x{memory_map.MVU_STRIDE:x}*m + 4*r`; m = {SYSTEM_UNIT} is the system's.",
    ),
    Window(
        "transposer",
        0x6000_0000,
        20,
        _BEATS,
        "rw",
        "Every address is the next beat of the transposer's stream.",
    ),
    Window(
        "memories",
        memory_map.IMEM_BASE,
        20,
        _WORDS,
        "rw",
        "Instruction memory of the controller, and its data memory behind it.",
    ),
)
WINDOW_BY_NAME = {window.name: window for window in WINDOWS}
PARAMETER_WINDOWS = ("weights", "scalers", "biases")  #: by `prm_select` of an MVU's parameter port


def _mask(description: str, access: str = "rw") -> Field:
    return Field("value", CROSSBAR_PORTS - 1, 0, description, access)


def _table() -> tuple[Register, ...]:
    def constant(name: str, text: str) -> tuple[str, tuple[Field, ...], str]:
        return name, (Field("value", WORD_BITS - 1, 0, text, "ro"),), ""

    rows = [constant("id", f"Reads 0x{ID:08x}."), constant("version", f"Reads {VERSION}.")]
    rows += [constant(_snake(name), f"Parameter {name}.") for name in AcceleratorParameters().rtl]
    rows += [
        constant("clocks", "Clocks since reset, low word."),
        constant("clocksh", "Clocks since reset, high word."),
        (
            "finished",
            (
                _mask(
                    "Bit h says that hart h has finished; a hart writes 1 to set it, the host to clear it.",
                    "w1c",
                ),
            ),
            "",
        ),
        ("failed", (_mask("Bit h says that hart h has failed; it is written likewise.", "w1c"),), ""),
        (
            "irq_enable",
            (_mask("Harts that must have finished for host_irq_o; with 0 it stays low unless one failed."),),
            "",
        ),
        ("load_mvus", (_mask("MVUs that get the weights, scalers and biases that the host writes."),), ""),
        (
            "tr_format",
            (
                Field(
                    "element",
                    4,
                    0,
                    "Bits of an element of the transposer's stream, as the host has it, one of "
                    f"{', '.join(map(str, ELEMENT_BITS))}.",
                ),
                Field(
                    "precision",
                    12,
                    8,
                    f"Bit planes of an element, 1 to {MAX_PRECISION} and at most `element`.",
                ),
                Field("signed", 16, 16, "Elements that are read are sign-extended."),
            ),
            "",
        ),
        (
            "tr_channels",
            (Field("value", 15, 0, "Channels of a position in the transposer's stream, not 0."),),
            "",
        ),
        (
            "tr_first",
            (Field("value", 15, 0, "First word of the transposer's stream in the data memories."),),
            "",
        ),
        (
            "tr_mvus",
            (
                Field("write", CROSSBAR_PORTS - 1, 0, "MVUs that a written stream goes to."),
                Field("read", 18, 16, "MVU that a read stream comes from."),
            ),
            "A write starts the transposer's stream.",
        ),
        (
            "tr_status",
            (
                Field(
                    "started",
                    0,
                    0,
                    "The transposer's last start was legal, and the stream can be written or read.",
                    "ro",
                ),
                Field("writing", 1, 1, "The host has written beats of the stream.", "ro"),
                Field("reading", 2, 2, "The host has read beats of the stream.", "ro"),
            ),
            "",
        ),
    ]
    return tuple(Register(name, address, fields, text) for address, (name, fields, text) in enumerate(rows))


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


REGISTERS: tuple[Register, ...] = _table()
BY_NAME: dict[str, Register] = {r.name: r for r in REGISTERS}


def system_address(name: str) -> int:
    """Host address of the system register `name`; KeyError when there is none."""
    return WINDOW_BY_NAME["system"].base + 4 * BY_NAME[name].address


def hart_address(name: str) -> int:
    """Address of the system register `name` for harts; KeyError when there is none."""
    return register_address(SYSTEM_UNIT, BY_NAME[name].address)


def register_address(mvu: int, register: int) -> int:
    """Address of register `register` (word address) of MVU `mvu`, the same for host and harts."""
    return WINDOW_BY_NAME["registers"].base + memory_map.MVU_STRIDE * mvu + 4 * register


def data_address(mvu: int, word: int) -> int:
    """Host address of a word of the data memory of MVU `mvu`."""
    return WINDOW_BY_NAME["data"].base + DATA_STRIDE * mvu + BEAT_BYTES * word


def parameter_address(select: int, word: int, lane: int, lanes: int) -> int:
    """Host address of row `lane` of a weight word (`select` 0), or of a lane's scaler (1) or bias (2) of an entry."""
    window = WINDOW_BY_NAME[PARAMETER_WINDOWS[select]]
    return window.base + BEAT_BYTES * (word * lanes + lane)


def constants(params: AcceleratorParameters) -> Mapping[str, int]:
    """Name to value of the system registers that never change."""
    return {"id": ID, "version": VERSION, **{_snake(name): value for name, value in params.rtl.items()}}


def render_package() -> str:
    """SystemVerilog text of ``rtl/accelerator/accelerator_pkg.sv``."""
    lines = [
        "  // Default of the module parameter that is neither the MVU's nor the controller's.",
        f"  localparam int DefaultMvus = {AcceleratorParameters().mvus};",
        "",
        "  // Fixed sizes.",
        f"  localparam int MaxMvus = {CROSSBAR_PORTS};",
        f"  localparam int MaxLanes = {max(LANES)};",
        f"  localparam int MaxPrecision = {MAX_PRECISION};",
        f"  localparam int HartWidth = {(MAX_HARTS - 1).bit_length()};",
        f"  localparam logic [3:0] SystemUnit = {literal(SYSTEM_UNIT, 4)};",
        "",
        "  // Responses of the host port.",
        *(
            f"  localparam logic [1:0] Resp{camel(n.lower())} = {literal(v, 2)};"
            for n, v in RESPONSES.items()
        ),
        "",
        "  // Windows of the host port: first address, and the bits of an address inside.",
    ]
    for window in WINDOWS:
        name = camel(window.name)
        lines.append(f"  localparam logic [31:0] {name}Base = {literal(window.base)};")
        lines.append(f"  localparam int {name}Bits = {window.bits};")
    lines += [
        "  // Address bits from which the number of the MVU stands.",
        f"  localparam int DataMvuBit = {DATA_STRIDE.bit_length() - 1};",
        f"  localparam int RegistersMvuBit = {memory_map.MVU_STRIDE.bit_length() - 1};",
        "",
        "  // System registers: word addresses.",
        *(f"  localparam logic [7:0] Addr{camel(r.name)} = {literal(r.address, 8)};" for r in REGISTERS),
        "",
        "  // Fields: lowest bit and width.",
    ]
    for register in REGISTERS:
        for field in register.fields:
            if field.name != "value":
                name = camel(register.name) + camel(field.name)
                lines.append(f"  localparam int {name}Lsb = {field.lsb};")
                lines.append(f"  localparam int {name}Width = {field.width};")
    lines += [
        "",
        "  // Values that never change.",
        f"  localparam logic [31:0] Id = {literal(ID)};",
        f"  localparam logic [31:0] Version = {literal(VERSION)};",
        "",
    ]
    sources = "golden/accelerator/registers.py and golden/accelerator/parameters.py"
    return package("accelerator_pkg", _MODULE, sources, lines)


def render_documentation() -> str:
    """Markdown text of ``docs/accelerator_registers.md``."""
    windows = (
        (
            f"0x{w.base:08x} to 0x{w.base + w.size - 1:08x}",
            w.name,
            " or ".join(map(str, w.beats)),
            w.access,
            w.description,
        )
        for w in WINDOWS
    )
    return page(
        "System registers and memory map of the accelerator",
        _MODULE,
        "Addresses count bytes, register numbers r words.",
        [
            "## Host's memory map",
            "",
            *markdown_table(("address", "window", "bytes of a beat", "access", "meaning"), windows),
            "",
            "## System registers",
            "",
            f"The host has register r at `0x{WINDOW_BY_NAME['system'].base:08x} + 4*r`, the harts at",
            f"`0x{register_address(SYSTEM_UNIT, 0):08x} + 4*r` (unit {SYSTEM_UNIT}). Registers reset to 0, but for",
            "constants. Bits that are not listed, and those of MVUs and harts that do not exist, read 0 and",
            "ignore writes.",
            "",
            *register_table(REGISTERS, "r", "0x{:02x}".format),
        ],
    )


def generated_files(root: Path) -> dict[Path, str]:
    """Path below the project's `root` to the text that belongs there."""
    return {
        root / "rtl" / "accelerator" / "accelerator_pkg.sv": render_package(),
        root / "rtl" / "common" / "accelerator_parameters.svh": render_checks(
            _MODULE,
            "golden/accelerator/parameters.py",
            {name: AcceleratorParameters.table()[name] for name in ("Mvus", "Lanes")},
        ),
        root / "docs" / "accelerator_registers.md": render_documentation(),
    }


if __name__ == "__main__":
    write_generated(_MODULE, "the accelerator", generated_files)
