# SPDX-License-Identifier: Apache-2.0
"""The files that are generated from the controller's tables: the RTL's package, the page of its registers, the
instructions as proofs compare with them.

``python -m assay.golden.controller.package`` rewrites them; a test fails when one is stale.
"""

from __future__ import annotations

from pathlib import Path

from assay.golden.controller import instruction_model, memory_map
from assay.golden.controller.csrs import (
    BY_NAME,
    CSRS,
    INTERRUPT_FLAG,
    MISA_M,
    MVU_CSR_FIRST,
    MVU_CSRS,
    PRIORITY,
    Cause,
    Csr,
    Interrupt,
)
from assay.golden.controller.instructions import INSTRUCTIONS, OPCODES
from assay.golden.controller.parameters import PIPELINE_STAGES, ControllerParameters
from assay.golden.parameters import render_checks
from assay.golden.registers import (
    WORD_BITS,
    Field,
    camel,
    literal,
    markdown_table,
    numbered,
    package,
    page,
    register_table,
    runs,
    write_generated,
)

_MODULE = "assay.golden.controller.package"
_SOURCES = "csrs.py, instructions.py, memory_map.py and parameters.py of golden/controller"


def render_package() -> str:
    """Text of ``rtl/controller/controller_pkg.sv``."""
    lines = [
        "  // Defaults of the module parameters.",
        *(f"  localparam int Default{name} = {value};" for name, value in ControllerParameters().rtl.items()),
        "",
        "  // Fixed sizes.",
        f"  localparam int PipelineStages = {PIPELINE_STAGES};",
        f"  localparam int Mvus = {memory_map.MVUS};",
        f"  localparam int MvuRegisters = {memory_map.MVU_REGISTERS};",
        "",
        "  // Memory map; the data memory lies directly behind the instruction memory.",
        *(
            f"  localparam logic [31:0] {name} = {literal(value)};"
            for name, value in (
                ("ImemBase", memory_map.IMEM_BASE),
                ("MsipBase", memory_map.MSIP_BASE),
                ("MtimecmpBase", memory_map.MTIMECMP_BASE),
                ("MtimeBase", memory_map.MTIME_BASE),
                ("MvuBase", memory_map.MVU_BASE),
                ("HostBase", memory_map.HOST_BASE),
                ("ResetPc", memory_map.RESET_PC),
            )
        ),
        "",
        "  // The host port's own registers, from HostBase.",
        *(
            f"  localparam logic [7:0] Host{camel(register.name)} = {literal(register.address, 8)};"
            for register in memory_map.HOST_REGISTERS
        ),
        "",
        "  // Exceptions in mcause.",
        *(f"  localparam logic [4:0] Cause{camel(c.name.lower())} = 5'd{c.value};" for c in Cause),
        "",
        "  // Interrupts: bits of mip and mie, number in mcause.",
        *(f"  localparam int Irq{camel(i.name.lower())} = {i.value};" for i in Interrupt),
        "",
        "  // CSR addresses. Mvu: registers 0 to 63, MvuHigh: 64 to 127 of the hart's MVU.",
    ]
    for run in runs(CSRS):
        # Of the counters that do nothing, the first and the last; triggers have names of their own.
        ends = (run[0], run[-1]) if run[0].name.startswith("mhpm") else run
        for csr in ends:
            lines.append(f"  localparam logic [11:0] Csr{camel(csr.name)} = {literal(csr.address, 12)};")
    for name, (first, _) in zip(("Mvu", "MvuHigh"), MVU_CSR_FIRST, strict=True):
        lines.append(f"  localparam logic [11:0] Csr{name} = {literal(first, 12)};")
    lines += [
        f"  localparam int MvuCsrs = {MVU_CSRS};",
        "",
        "  // Bits of a CSR that keep what is written, where there are any; the others keep their reset value.",
        *(
            f"  localparam logic [31:0] Mask{camel(csr.name)} = {literal(csr.write_mask)};"
            for csr in CSRS
            if csr.write_mask
        ),
        "",
        "  // Values after reset that are not 0. MisaM is added with MulDiv.",
        *(
            f"  localparam logic [31:0] Reset{camel(csr.name)} = {literal(csr.reset)};"
            for csr in CSRS
            if csr.reset
        ),
        f"  localparam logic [31:0] MisaM = {literal(MISA_M)};",
        "",
        "  // Bits of mstatus.",
        *(
            f"  localparam int Mstatus{camel(name)} = {BY_NAME['mstatus'].field(name).lsb};"
            for name in ("mie", "mpie")
        ),
        "",
        "  // Major opcodes, bits 6:0.",
        *(
            f"  localparam logic [6:0] Opcode{camel(name)} = {literal(value, 7)};"
            for name, value in OPCODES.items()
        ),
        "",
        "  // Instructions: a word is this one when (word & Mask) == Match; funct3, where there is one.",
    ]
    for instruction in INSTRUCTIONS:
        name = camel(instruction.name)
        lines.append(f"  localparam logic [31:0] Match{name} = {literal(instruction.match)};")
        lines.append(f"  localparam logic [31:0] Mask{name} = {literal(instruction.mask)};")
        if instruction.mask & 0x7000:
            lines.append(f"  localparam logic [2:0] Funct{name} = {literal(instruction.funct3, 3)};")
    return package("controller_pkg", _MODULE, _SOURCES, [*lines, ""])


def render_documentation() -> str:
    """Markdown text of ``docs/controller_csrs.md``."""
    windows = [
        register
        for first, number in MVU_CSR_FIRST
        for register in numbered(
            "mvu[k]",
            range(number, number + MVU_CSRS),
            first,
            (Field("value", WORD_BITS - 1, 0, "Register k of the hart's MVU, through the bus."),),
        )
    ]
    order = ", ".join(str(int(number)) for number in PRIORITY)
    return page(
        "CSRs of the controller",
        _MODULE,
        "Every hart has its own CSRs. Bits that are not listed read 0 and ignore what is written. `ro` fields ignore "
        "it, too, but a write to a CSR from 0xc00 on is an illegal instruction. `mhpmevent[3-31]` are the CSRs "
        "mhpmevent3 to mhpmevent31; the text calls the number k.",
        [
            *register_table(CSRS, place=_csr_address, reset=_reset),
            "",
            "Registers of the hart's MVU:",
            "",
            *register_table(windows, place=_csr_address),
            "",
            "Exceptions in `mcause`:",
            "",
            *markdown_table(
                ("code", "cause"), ((str(c.value), c.name.lower().replace("_", " ")) for c in Cause)
            ),
            "",
            f"Interrupts (bits of `mip` and `mie`; of those pending, the first of {order} is taken):",
            "",
            *markdown_table(
                ("code", "interrupt"), ((f"0x{INTERRUPT_FLAG + i:08x}", i.name.lower()) for i in Interrupt)
            ),
            "",
            "The host port's own registers:",
            "",
            *register_table(memory_map.HOST_REGISTERS, place=_host_address),
        ],
    )


def _reset(csr: Csr) -> str:
    return f"0x{csr.reset:08x}"


def _csr_address(address: int) -> str:
    return f"0x{address:03x}"


def _host_address(address: int) -> str:
    return f"0x{memory_map.HOST_BASE + address:08x}"


def generated_files(root: Path) -> dict[Path, str]:
    """Path below the project's `root` to the text that belongs there."""
    return {
        root / "rtl" / "controller" / "controller_pkg.sv": render_package(),
        root / "rtl" / "common" / "controller_parameters.svh": render_checks(
            _MODULE, "golden/controller/parameters.py", ControllerParameters.table()
        ),
        root / "sim" / "proofs" / f"{instruction_model.MODULE}.sv": instruction_model.render(_MODULE),
        root / "docs" / "controller_csrs.md": render_documentation(),
    }


if __name__ == "__main__":
    write_generated(_MODULE, "the controller", generated_files)
