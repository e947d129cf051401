"""CSRs and causes of the controller: the tables that RTL, simulator, bench and documentation read.

``python -m golden.controller.csrs`` rewrites the generated ``rtl/controller/controller_pkg.sv`` and
``docs/controller_csrs.md``; a test fails when either is stale. Fields and behaviour are those of Vol. II chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from golden.controller import memory_map
from golden.controller.instructions import INSTRUCTIONS, OPCODES
from golden.controller.parameters import PIPELINE_STAGES, ControllerParameters
from golden.registers import WORD_BITS, Field, Register, write_generated

MISA = 0x4000_0100  #: MXL = 32 bits, extension I
MISA_M = 0x1000  #: extension M, added with mul_div
IMPLEMENTATION = 1  #: mimpid

MVU_CSR_FIRST = ((0x7C0, 0), (0xBC0, 64))  #: (CSR address, its MVU register), 64 CSRs from each
MVU_CSRS = 64


class Cause(IntEnum):
    """Exceptions in mcause (Vol. II table 14)."""

    FETCH_MISALIGNED = 0
    FETCH_FAULT = 1
    ILLEGAL = 2
    BREAKPOINT = 3
    LOAD_MISALIGNED = 4
    LOAD_FAULT = 5
    STORE_MISALIGNED = 6
    STORE_FAULT = 7
    ECALL = 11


class Interrupt(IntEnum):
    """Interrupts: bits of mip and mie, number in mcause."""

    SOFTWARE = 3
    TIMER = 7
    EXTERNAL = 11
    MVU = 16


#: Which of several pending interrupts is taken (Vol. II section 3.1.9; the local one last).
PRIORITY = (Interrupt.EXTERNAL, Interrupt.SOFTWARE, Interrupt.TIMER, Interrupt.MVU)
INTERRUPT_FLAG = 1 << 31  #: mcause's highest bit


@dataclass(frozen=True)
class Csr(Register):
    """A register at a CSR address. ``reset``: its value after reset, bits that are hard-wired included."""

    reset: int = 0

    @property
    def read_only(self) -> bool:
        """Whether a write is an illegal instruction (Vol. II section 2.1); else it is ignored outside write_mask."""
        return self.address >> 10 == 3


def _whole(description: str, access: str = "rw") -> tuple[Field, ...]:
    return (Field("value", WORD_BITS - 1, 0, description, access),)


def _interrupts(writable: bool) -> tuple[Field, ...]:
    return tuple(
        Field(
            f"{stem}{suffix}",
            number,
            number,
            f"{number.name.lower()} interrupt {'enabled' if writable else 'pending'}{note}",
            "rw" if writable or number is Interrupt.MVU else "ro",
        )
        for stem, number, note in (
            ("ms", Interrupt.SOFTWARE, "" if writable else ": msip"),
            ("mt", Interrupt.TIMER, "" if writable else ": mtime >= mtimecmp"),
            ("me", Interrupt.EXTERNAL, "" if writable else ": ext_irq_i"),
            ("mvu", Interrupt.MVU, "" if writable else ": set by mvu_irq_i, cleared by writing 0"),
        )
        for suffix in ("ie" if writable else "ip",)
    )


_HIGH = " (bits 63:32)"

CSRS = (
    Csr(
        "mstatus",
        0x300,
        (
            Field("mie", 3, 3, "interrupts are taken"),
            Field("mpie", 7, 7, "mie before the last trap"),
            Field("mpp", 12, 11, "reads 3: machine mode", "ro"),
        ),
        "",
        reset=3 << 11,
    ),
    Csr("misa", 0x301, _whole("RV32I, with MulDiv also M; writes are ignored", "ro"), "", reset=MISA),
    Csr("mie", 0x304, _interrupts(writable=True), ""),
    Csr(
        "mtvec",
        0x305,
        (
            Field("mode", 0, 0, "1: vectored, interrupts go to base + 4 * number"),
            Field("base", 31, 2, "bits 31:2 of the handler's address"),
        ),
        "",
    ),
    Csr("mstatush", 0x310, _whole("reads 0; writes are ignored", "ro"), ""),
    Csr(
        "mcountinhibit",
        0x320,
        (Field("cy", 0, 0, "mcycle stands still"), Field("ir", 2, 2, "minstret stands still")),
        "",
    ),
    *(Csr(f"mhpmevent{i}", 0x320 + i, _whole("reads 0; writes are ignored", "ro"), "") for i in range(3, 32)),
    Csr("mscratch", 0x340, _whole("free for software"), ""),
    Csr("mepc", 0x341, (Field("pc", 31, 2, "bits 31:2 of the pc that trapped; mret goes there"),), ""),
    Csr(
        "mcause",
        0x342,
        (Field("code", 4, 0, "cause of the last trap"), Field("interrupt", 31, 31, "it was an interrupt")),
        "",
    ),
    Csr("mtval", 0x343, _whole("address or instruction of the last trap"), ""),
    Csr("mip", 0x344, _interrupts(writable=False), ""),
    Csr("mcycle", 0xB00, _whole("clocks since reset (bits 31:0)"), ""),
    Csr("minstret", 0xB02, _whole("instructions retired (bits 31:0)"), ""),
    *(
        Csr(f"mhpmcounter{i}", 0xB00 + i, _whole("reads 0; writes are ignored", "ro"), "")
        for i in range(3, 32)
    ),
    Csr("mcycleh", 0xB80, _whole(f"clocks since reset{_HIGH}"), ""),
    Csr("minstreth", 0xB82, _whole(f"instructions retired{_HIGH}"), ""),
    *(
        Csr(f"mhpmcounter{i}h", 0xB80 + i, _whole("reads 0; writes are ignored", "ro"), "")
        for i in range(3, 32)
    ),
    Csr("mvendorid", 0xF11, _whole("reads 0", "ro"), ""),
    Csr("marchid", 0xF12, _whole("reads 0", "ro"), ""),
    Csr("mimpid", 0xF13, _whole(f"reads {IMPLEMENTATION}", "ro"), "", reset=IMPLEMENTATION),
    Csr("mhartid", 0xF14, _whole("number of the hart", "ro"), ""),
    Csr("mconfigptr", 0xF15, _whole("reads 0", "ro"), ""),
)
BY_NAME = {csr.name: csr for csr in CSRS}
BY_ADDRESS = {csr.address: csr for csr in CSRS}


def mvu_register(address: int) -> int | None:
    """The MVU register that CSR `address` reaches, or None."""
    for first, register in MVU_CSR_FIRST:
        if first <= address < first + MVU_CSRS:
            return register + address - first
    return None


def csr_name(address: int) -> str:
    """Name of a CSR, or its number as an assembler takes it."""
    return BY_ADDRESS[address].name if address in BY_ADDRESS else str(address)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace(".", "_").split("_"))


def _hex(value: int, width: int = WORD_BITS) -> str:
    return f"{width}'h{value:0{-(-width // 4)}x}"


def _counters() -> tuple[tuple[str, str, str], ...]:
    """CSRs that stand for a numbered group: (first, last, name of the group)."""
    return (
        ("mhpmevent3", "mhpmevent31", "mhpmevent3 to 31"),
        ("mhpmcounter3", "mhpmcounter31", "mhpmcounter3 to 31"),
        ("mhpmcounter3h", "mhpmcounter31h", "mhpmcounter3h to 31h"),
    )


def _documented() -> list[tuple[Csr, str, str]]:
    """CSRs with their address and name as text, a numbered group as one."""
    rows, hidden = [], set()
    groups = {first: (last, name) for first, last, name in _counters()}
    for csr in CSRS:
        if csr.name in groups:
            last, name = groups[csr.name]
            hidden |= set(range(csr.address + 1, BY_NAME[last].address + 1))
            rows.append((csr, f"0x{csr.address:03x} to 0x{BY_NAME[last].address:03x}", name))
        elif csr.address not in hidden:
            rows.append((csr, f"0x{csr.address:03x}", csr.name))
    return rows


def render_package() -> str:
    """Text of ``rtl/controller/controller_pkg.sv``."""
    lines = [
        "// Generated by `python -m golden.controller.csrs` from csrs.py, instructions.py, memory_map.py and",
        "// parameters.py of golden/controller. Do not edit: change the table and run that command.",
        "package controller_pkg;",
        "",
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
            f"  localparam logic [31:0] {name} = {_hex(value)};"
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
            f"  localparam logic [7:0] Host{_camel(register.name)} = {_hex(register.address, 8)};"
            for register in memory_map.HOST_REGISTERS
        ),
        "",
        "  // Exceptions in mcause.",
        *(f"  localparam logic [4:0] Cause{_camel(c.name.lower())} = 5'd{c.value};" for c in Cause),
        "",
        "  // Interrupts: bits of mip and mie, number in mcause.",
        *(f"  localparam int Irq{_camel(i.name.lower())} = {i.value};" for i in Interrupt),
        "",
        "  // CSR addresses. Mvu: registers 0 to 63, MvuHigh: 64 to 127 of the hart's MVU.",
    ]
    groups = {name for pair in _counters() for name in pair[:2]}
    for csr in CSRS:
        if csr.name in groups or not csr.name.startswith("mhpm"):
            lines.append(f"  localparam logic [11:0] Csr{_camel(csr.name)} = {_hex(csr.address, 12)};")
    for name, (first, _) in zip(("Mvu", "MvuHigh"), MVU_CSR_FIRST, strict=True):
        lines.append(f"  localparam logic [11:0] Csr{name} = {_hex(first, 12)};")
    lines += [
        f"  localparam int MvuCsrs = {MVU_CSRS};",
        "",
        "  // Bits of a CSR that keep what is written, where there are any; the others keep their reset value.",
        *(
            f"  localparam logic [31:0] Mask{_camel(csr.name)} = {_hex(csr.write_mask)};"
            for csr in CSRS
            if csr.write_mask
        ),
        "",
        "  // Values after reset that are not 0. MisaM is added with MulDiv.",
        *(
            f"  localparam logic [31:0] Reset{_camel(csr.name)} = {_hex(csr.reset)};"
            for csr in CSRS
            if csr.reset
        ),
        f"  localparam logic [31:0] MisaM = {_hex(MISA_M)};",
        "",
        "  // Bits of mstatus.",
        *(
            f"  localparam int Mstatus{_camel(name)} = {BY_NAME['mstatus'].field(name).lsb};"
            for name in ("mie", "mpie")
        ),
        "",
        "  // Major opcodes, bits 6:0.",
        *(
            f"  localparam logic [6:0] Opcode{_camel(name)} = {_hex(value, 7)};"
            for name, value in OPCODES.items()
        ),
        "",
        "  // Instructions: a word is this one when (word & Mask) == Match; funct3, where there is one.",
    ]
    for instruction in INSTRUCTIONS:
        name = _camel(instruction.name)
        lines.append(f"  localparam logic [31:0] Match{name} = {_hex(instruction.match)};")
        lines.append(f"  localparam logic [31:0] Mask{name} = {_hex(instruction.mask)};")
        if instruction.mask & 0x7000:
            lines.append(f"  localparam logic [2:0] Funct{name} = {_hex(instruction.funct3, 3)};")
    return "\n".join([*lines, "", "endpackage : controller_pkg", ""])


def render_documentation() -> str:
    """Markdown text of ``docs/controller_csrs.md``."""
    lines = [
        "# CSRs of the controller",
        "",
        "Generated by `python -m golden.controller.csrs`. Every hart has its own. Bits not listed read 0 and ignore",
        "what is written; `ro` fields ignore it, too, but a write to a CSR from 0xc00 on is an illegal instruction.",
        "",
        "| address | name | reset | bits | field | access | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for csr, place, name in _documented():
        cells = [place, name, f"0x{csr.reset:08x}"]
        for field in csr.fields:
            bits = f"{field.msb}:{field.lsb}" if field.width > 1 else f"{field.lsb}"
            lines.append(f"| {' | '.join([*cells, bits, field.name, field.access, field.description])} |")
            cells = ["", "", ""]
    for first, register in MVU_CSR_FIRST:
        last = register + MVU_CSRS - 1
        meaning = f"registers {register} to {last} of the hart's MVU, through the bus"
        lines.append(
            f"| 0x{first:03x} to 0x{first + MVU_CSRS - 1:03x} | MVU | | 31:0 | value | | {meaning} |"
        )
    lines += ["", "Exceptions in `mcause`:", "", "| code | cause |", "|---|---|"]
    lines += [f"| {cause.value} | {cause.name.lower().replace('_', ' ')} |" for cause in Cause]
    order = ", ".join(str(int(number)) for number in PRIORITY)
    lines += [
        "",
        f"Interrupts (bits of `mip` and `mie`; of several that are pending the first of {order} is taken):",
        "",
        "| code | interrupt |",
        "|---|---|",
        *(f"| 0x{INTERRUPT_FLAG + i:08x} | {i.name.lower()} |" for i in Interrupt),
        "",
        "Host port's own registers:",
        "",
        "| address | name | bits | access | meaning |",
        "|---|---|---|---|---|",
    ]
    for register in memory_map.HOST_REGISTERS:
        (field,) = register.fields
        place = f"0x{memory_map.HOST_BASE + register.address:08x}"
        lines.append(
            f"| {place} | {register.name} | {field.msb}:{field.lsb} | {field.access} | {field.description} |"
        )
    return "\n".join(lines) + "\n"


def generated_files(root: Path) -> dict[Path, str]:
    """Path below the project's `root` to the text that belongs there."""
    return {
        root / "rtl" / "controller" / "controller_pkg.sv": render_package(),
        root / "docs" / "controller_csrs.md": render_documentation(),
    }


if __name__ == "__main__":
    write_generated("golden.controller.csrs", "the controller", generated_files)
