# SPDX-License-Identifier: Apache-2.0
"""Random programs for all harts from a seed: groups of lines, drawn by the weights of a kind."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from assay.golden.controller import memory_map
from assay.golden.controller.csrs import BY_NAME as CSR_BY_NAME
from assay.golden.controller.csrs import CSRS, MVU_CSR_FIRST, MVU_CSRS
from assay.golden.controller.instructions import (
    BY_NAME,
    INSTRUCTIONS,
    encode,
    random_illegal,
    random_word,
    unsigned,
)
from assay.golden.controller.parameters import PIPELINE_STAGES, ControllerParameters
from assay.golden.errors import ConfigurationError
from assay.tb.controller.random_program import (
    DATA,
    FAR,
    HANDLER,
    POINTER,
    TEMP,
    VECTORS,
    Line,
    RandomProgram,
    dmem,
    frame,
)

__all__ = ["KINDS", "random_program"]

_POOL = tuple(r for r in range(25) if r not in (8, 9))  # registers that random instructions write
_SPARE = tuple(r for r in _POOL if r not in (4, 5, TEMP, POINTER))  # those without a use in a group
_SOURCES = tuple(range(26))
_CORNERS = (
    0,
    1,
    2,
    0xFFFF_FFFF,
    0x8000_0000,
    0x7FFF_FFFF,
    0xFFFF_FFFE,
    0x5555_5555,
    0x0000_FFFF,
    0xFFFF_8000,
)

_DISTINCT_CSRS = [c for c in CSRS if not c.name.startswith("mhpm")]

#: Operands of `corners`; None: any.
_EXTREMES = (0, 1, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000, None)

#: Weights of the groups (see `_Maker`) in each kind of program.
_MIXED = {
    "alu": 30,
    "access": 20,
    "misaligned": 4,
    "edge": 8,
    "wild": 3,
    "branch": 12,
    "loop": 8,
    "jump": 6,
    "bad_jump": 3,
    "fetch_fault": 2,
    "csr": 10,
    "vector": 2,
    "return": 2,
    "environment": 4,
    "illegal": 4,
    "wait": 2,
    "software": 3,
    "far": 3,
    "patch": 3,
    "time": 2,
    "fence": 2,
    "mvu": 1,
}
KINDS = {
    "mixed": _MIXED,
    "csr": {
        "csr": 60,
        "alu": 8,
        "vector": 6,
        "return": 6,
        "environment": 4,
        "illegal": 4,
        "branch": 4,
        "loop": 2,
    },
    "interrupts": {
        **_MIXED,
        "wait": 8,
        "sleep": 8,
        "software": 16,
        "enable": 20,
        "time": 8,
        "vector": 6,
        "return": 5,
    },
    "waits": {"wait": 40, "alu": 10, "software": 3, "time": 2},
    "dozes": {"doze": 40, "alu": 10},
    "enabled": {"enable": 10, "alu": 30},
    "counters": {"counter": 40, "alu": 10, "environment": 1, "branch": 2},
    "compares": {"compare": 40, "wait": 5, "alu": 5, "software": 3, "time": 2},
    "clears": {"clear": 40, "alu": 8, "enable": 4},
    "busy": {"full": 1},
    "bus_interrupts": {"mvu": 40, "enable": 30, "alu": 8, "software": 4, "time": 4, "wait": 3},
    "self_modifying": {"patch": 30, "alu": 15, "branch": 8, "loop": 12, "access": 8, "fence": 4},
    "operands": {"corners": 1},
    "mvu": {"mvu": 50, "alu": 20, "access": 10, "branch": 6, "loop": 5, "csr": 5},
}


@dataclass
class _Maker:
    """Makes the lines of one hart; each method that a weight names appends one group."""

    parameters: ControllerParameters
    hart: int
    harts: tuple[int, ...]
    reserve: int
    rng: Random
    lines: list[Line] = field(default_factory=list)
    label: int = 0
    group: int = 0
    pairs: list[tuple[int | None, int | None]] = field(
        default_factory=list
    )  #: operands to come, see `corners`

    def __post_init__(self) -> None:
        p = self.parameters
        self.alu_rows = [
            row
            for row in INSTRUCTIONS
            if row.format in ("R", "I", "shift", "U") and (p.mul_div or row.extension != "M")
        ]
        area = 4 * (p.dmem_words - self.reserve) - DATA
        if area < 16 * (p.harts + 1):
            raise ConfigurationError(f"reserve = {self.reserve}: too much of dmem_words = {p.dmem_words}")
        self.span = min(area // (p.harts + 1) & ~15, 2048)
        self.shared = dmem(p) + DATA
        self.private = self.shared + self.span * (1 + self.hart)

    # --- lines ---
    def open(self) -> None:
        self.group += 1

    def add(self, name: str, **operands: int | bool | None) -> int:
        self.label += 1
        self.lines.append(Line(name, self.label, self.group, **operands))  # type: ignore[arg-type]
        return self.label

    def raw(self, word: int, loose: bool = False) -> int:
        return self.add("", word=word, loose=loose)

    def li(self, rd: int, value: int) -> None:
        low = (value & 0xFFF ^ 0x800) - 0x800
        self.add("lui", rd=rd, imm=(value - low >> 12) & 0xFFFFF)
        self.add("addi", rd=rd, rs1=rd, imm=low)

    def patch_target(self, label: int, target: int) -> None:
        """Let the line at `label` go to `target`, which was not known before."""
        index = next(i for i in reversed(range(len(self.lines))) if self.lines[i].label == label)
        self.lines[index] = replace(self.lines[index], target=target)

    def la(self, rd: int) -> int:
        """The address of a label that comes later; returns the line for `patch_target`."""
        base = self.add("auipc", rd=rd)
        return self.add("addi", rd=rd, rs1=rd, base=base)

    def value(self) -> int:
        r = self.rng
        return r.choice(_CORNERS) if r.random() < 0.4 else r.getrandbits(r.choice((4, 12, 32)))

    # --- groups ---
    def start(self) -> None:
        self.open()
        for register in range(1, 32):  # what the host's restart, or the program before, has left in them
            self.add("addi", rs1=register, loose=True)
        for register in (*_POOL[1:], 25):
            self.open()
            self.li(register, 0 if register == 25 else self.value())
        self.open()
        self.li(8, self.shared)
        self.li(9, self.private)

    def alu(self, least: int = 2) -> None:
        """A chain on few registers, so that each instruction needs the results before it."""
        self.open()
        few = tuple(self.rng.sample(_POOL, 3))
        for _ in range(self.rng.randint(least, 8)):
            row = self.rng.choice(self.alu_rows)
            self.raw(random_word(row, self.rng, few if self.rng.random() < 0.8 else _POOL), loose=True)

    def corners(self) -> None:
        """Every operation and branch on two operands at their corners; all pairs come before one comes again."""
        r = self.rng
        if not self.pairs:
            self.pairs = [(a, b) for a in _EXTREMES for b in _EXTREMES]
            r.shuffle(self.pairs)
        a, b = (value if value is not None else self.value() for value in self.pairs.pop())
        self.open()
        self.li(TEMP, a)
        self.li(POINTER, b)
        for row in self.alu_rows:
            word = random_word(row, r)
            rd = r.choice((0, *_POOL[:3]))
            if "rs1" in row.operands:
                places = rd << 7 | TEMP << 15 | (POINTER << 20 if "rs2" in row.operands else 0)
                fields = 0x1F << 7 | 0x1F << 15 | (0x1F << 20 if "rs2" in row.operands else 0)
                self.raw(word & ~fields | places, loose=True)
        for name in ("beq", "bne", "blt", "bge", "bltu", "bgeu"):
            self.add(name, rs1=TEMP, rs2=POINTER, imm=4, loose=True)

    def far(self) -> None:
        """Code is written behind all programs: a branch or jump over up to its reach, to a return; then it is called.

        Harts share the place: calls and targets, of which any leads back at once, have addresses of their own.
        """
        self.open()
        r = self.rng
        end = memory_map.IMEM_BASE + 4 * self.parameters.imem_words
        reach = min(FAR, 4 * self.parameters.imem_words // 4)
        call = end - reach + 16 * r.randrange(reach // 16) + 8
        first = max(end - reach, call - 4096 + 8)
        target = r.choice(range(first + -first % 16, min(end, call + 4095), 16))
        back = self.la(29)
        leave = encode("jalr", rs1=29)
        if r.random() < 0.3:
            word = encode("jal", rd=r.choice(_POOL), imm=target - call)
        else:
            rs1 = r.choice(_SOURCES)
            name = r.choice(("beq", "bne", "blt", "bge", "bltu", "bgeu"))
            word = encode(name, rs1=rs1, rs2=r.choice((rs1, 0)), imm=target - call)
        for address, what in ((target, leave), (call + 4, leave), (call, word)):
            self.li(POINTER, address)
            self.li(TEMP, what)
            self.add("sw", rs1=POINTER, rs2=TEMP)
        self.add("jalr", rd=TEMP, rs1=POINTER)
        self.patch_target(back, self.label + 1)

    def _access(self, base: int, offset: int, size: int, store: bool) -> None:
        if store:
            name = {1: "sb", 2: "sh", 4: "sw"}[size]
            self.add(name, rs1=base, rs2=self.rng.choice(_SOURCES), imm=offset, loose=True)
        else:
            name = self.rng.choice({1: ("lb", "lbu"), 2: ("lh", "lhu"), 4: ("lw",)}[size])
            rd = self.rng.choice(_POOL)
            if self.rng.random() < 0.1:  # over its own base
                self.add("addi", rd=POINTER, rs1=base)
                rd = base = POINTER
            self.add(name, rd=rd, rs1=base, imm=offset, loose=True)

    def access(self, aligned: bool = True) -> None:
        self.open()
        r = self.rng
        base, near = r.choice((8, 8, 9)), r.randrange(0, self.span, 8)
        for _ in range(r.randint(1, 6)):
            size = r.choice((1, 2, 4))
            offset = near + r.randrange(0, 8) if r.random() < 0.7 else r.randrange(self.span)
            self._access(base, offset & ~(size - 1) if aligned else offset, size, r.random() < 0.5)

    def misaligned(self) -> None:
        self.access(aligned=False)

    def edge(self) -> None:
        """At and beyond the ends of every region."""
        r, p = self.rng, self.parameters
        data = dmem(p)
        end = data + 4 * p.dmem_words
        msip, compare = memory_map.MSIP_BASE + 4 * p.harts, memory_map.MTIMECMP_BASE + 8 * p.harts
        free = [data - 4, data, end, memory_map.IMEM_BASE - 4, memory_map.MSIP_BASE - 4, msip, compare]
        free += [memory_map.MTIMECMP_BASE - 4, memory_map.MTIME_BASE - 4, memory_map.MTIME_BASE + 8]
        free += [memory_map.MVU_BASE - 4, memory_map.MVU_BASE + memory_map.MVUS * memory_map.MVU_STRIDE]
        free += [memory_map.HOST_BASE, 0, 0xFFFF_FFFC]
        free += [] if self.reserve else [end - 4] * 4
        loaded = [memory_map.IMEM_BASE] * 3  # not to be stored to: there all begin
        devices = [
            memory_map.MSIP_BASE,
            msip - 4,
            memory_map.MTIMECMP_BASE,
            compare - 4,
            memory_map.MTIME_BASE,
        ]
        devices += [memory_map.MTIME_BASE + 4]
        self.open()
        size = r.choice((1, 2, 4, 4))
        device = r.random() < 0.3
        address = r.choice(devices if device else free + loaded)
        offset = r.randrange(-2048, 2048)
        self.li(POINTER, unsigned(address - offset))
        # A store to a device is only made where it faults.
        store = r.random() < 0.5 and (not device or size < 4) and address not in loaded
        inside = r.randrange(4) if r.random() < 0.5 else r.randrange(0, 4, size)
        if offset + inside > 2047:
            inside = 0
        self._access(POINTER, offset + inside, size, store)

    def wild(self) -> None:
        """A load through any register."""
        self.open()
        self._access(
            self.rng.choice(_SOURCES), self.rng.randrange(-2048, 2048), self.rng.choice((1, 2, 4)), False
        )

    def branch(self) -> None:
        """Forward over some instructions, taken or not; both operands often alike."""
        self.open()
        r = self.rng
        name = r.choice(("beq", "bne", "blt", "bge", "bltu", "bgeu"))
        rs1 = r.choice(_SOURCES)
        rs2 = r.choice((rs1, 0, *_SOURCES[:8]))
        branch = self.add(name, rs1=rs1, rs2=rs2)
        for _ in range(r.randint(0, 5)):
            self.raw(random_word(r.choice(self.alu_rows), r, _POOL))
        self.patch_target(branch, self.label + 1)

    def loop(self) -> None:
        """Backward, a few times over some groups."""
        self.open()
        loop = self.group
        r = self.rng
        self.add("addi", rd=27, imm=r.randint(1, 6))
        top = self.label + 1
        for _ in range(r.randint(1, 3)):
            getattr(self, r.choice(("alu", "access", "branch", "misaligned", "jump", "csr")))()
        inner, self.group = self.group, loop
        # Whatever of the body is left out, `top` is then the decrement.
        self.add("addi", rd=27, rs1=27, imm=-1)
        self.add(r.choice(("bne", "blt")) if r.random() < 0.5 else "bne", rs1=27, rs2=0, target=top)
        if self.lines[-1].name == "blt":  # 0 < x27
            self.lines[-1] = replace(self.lines[-1], rs1=0, rs2=27)
        self.group = inner

    def jump(self) -> None:
        """jal or jalr forward, over some instructions."""
        self.open()
        r = self.rng
        if r.random() < 0.5:
            jump = self.add("jal", rd=r.choice(_POOL))
        else:
            jump = self.la(POINTER)
            offset = r.choice((0, 0, 1, 2, 4, -4, 17, 1023, -1024))
            self.lines[-1] = replace(self.lines[-1], imm=-(offset & ~1))
            self.add("jalr", rd=r.choice((*_POOL, POINTER)), rs1=POINTER, imm=offset)
        for _ in range(r.randint(0, 4)):
            self.raw(random_word(r.choice(self.alu_rows), r, _POOL))
        self.patch_target(jump, self.label + 1)

    def bad_jump(self) -> None:
        """To a misaligned target; a branch only traps when it is taken."""
        self.open()
        r = self.rng
        match r.randrange(3):
            case 0:
                self.add("jal", rd=r.choice(_POOL), imm=4 * r.randint(-8, 8) + 2)
            case 1:
                self.li(POINTER, memory_map.IMEM_BASE + 4 * r.randrange(64) + 2)
                self.add("jalr", rd=r.choice(_POOL), rs1=POINTER, imm=r.choice((0, 1, 4, -4)))
            case _:
                rs1 = r.choice(_SOURCES)
                # Not taken it may go on; taken it traps.
                self.add(r.choice(("beq", "bne", "bge", "bltu")), rs1=rs1, rs2=r.choice((rs1, 3)), imm=6)

    def fetch_fault(self) -> None:
        """To an address without instructions; the handler goes on at x29."""
        self.open()
        r = self.rng
        p = self.parameters
        back = self.la(29)
        end = dmem(p)
        self.li(
            POINTER,
            r.choice((0, end, end + 4, end + 4 * p.dmem_words, memory_map.IMEM_BASE - 4, 0xFFFF_FFFC)),
        )
        self.add("jalr", rd=r.choice(_POOL), rs1=POINTER)
        self.patch_target(back, self.label + 1)

    def csr(self) -> None:
        """Any CSR, in any form. mtvec is changed by `vector`, and mip and mie by all."""
        self.open()
        r = self.rng
        for _ in range(r.randint(1, 4)):
            row = BY_NAME[r.choice(("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"))]
            chance = r.random()
            if chance < 0.7:
                address = r.choice(_DISTINCT_CSRS).address
            elif chance < 0.85:
                address = r.choice(CSRS).address
            elif chance < 0.95:
                address = r.choice(CSRS).address ^ 1 << r.randrange(12)
            else:
                address = r.randrange(1 << 12)
            operand = (
                0 if r.random() < 0.2 else r.randrange(32) if row.format == "csri" else r.choice(_SOURCES)
            )
            if address == CSR_BY_NAME["mtvec"].address:
                row, operand = BY_NAME["csrrs"], 0
            operands = {"imm" if row.format == "csri" else "rs1": operand}
            self.add(row.name, rd=r.choice((0, *_POOL)), csr=address, loose=True, **operands)

    def _quiet(self) -> None:
        """No interrupts."""
        self.add("csrrci", csr=CSR_BY_NAME["mstatus"].address, imm=8)

    def vector(self) -> None:
        """mtvec: any value while nothing can trap, then the handler, direct or through the vectors."""
        self.open()
        r = self.rng
        mtvec = CSR_BY_NAME["mtvec"].address
        self._quiet()
        row = BY_NAME[r.choice(("csrrw", "csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"))]
        operand = {"imm": r.randrange(32)} if row.format == "csri" else {"rs1": r.choice(_SOURCES)}
        self.add(row.name, rd=r.choice(_POOL), csr=mtvec, **operand)
        self.add("csrrs", rd=r.choice(_POOL), csr=mtvec)
        self.li(POINTER, r.choice((HANDLER, HANDLER + 2, VECTORS + 1, VECTORS + 3)))
        self.add("csrrw", rd=r.choice((0, *_POOL)), csr=mtvec, rs1=POINTER)
        if r.random() < 0.7:
            self.add("csrrsi", csr=CSR_BY_NAME["mstatus"].address, imm=8)

    def enable(self) -> None:
        """Interrupts: all of them, and mstatus.MIE."""
        self.open()
        self.li(POINTER, self.rng.choice((0x10888, 0x10000, 0x800, 0xFFFF_FFFF)))
        self.add("csrrs", csr=CSR_BY_NAME["mie"].address, rs1=POINTER)
        self.add("csrrsi", csr=CSR_BY_NAME["mstatus"].address, imm=8)

    # `return` is a keyword: see `random_program`.
    def return_(self) -> None:
        """mret outside the handler."""
        self.open()
        r = self.rng
        self._quiet()
        back = self.la(POINTER)
        self.add("csrrw", csr=CSR_BY_NAME["mepc"].address, rs1=POINTER)
        self.add("mret")
        for _ in range(r.randint(0, 2)):
            self.raw(random_word(r.choice(self.alu_rows), r, _POOL))
        self.patch_target(back, self.label + 1)

    def environment(self) -> None:
        self.open()
        self.add(self.rng.choice(("ecall", "ebreak")))

    def illegal(self) -> None:
        self.open()
        self.raw(random_illegal(self.rng, bool(self.parameters.mul_div)))

    def wait(self) -> None:
        """wfi, with a software or timer interrupt to come, which is then taken or not."""
        self.open()
        r = self.rng
        mie, mstatus = CSR_BY_NAME["mie"].address, CSR_BY_NAME["mstatus"].address
        self._quiet()
        software = r.random() < 0.5
        if software:
            self.add("csrrsi", csr=mie, imm=8)
            self.li(POINTER, memory_map.MSIP_BASE + 4 * self.hart)
            self.add("addi", rd=TEMP, imm=1)
            self.add("sw", rs1=POINTER, rs2=TEMP)
        else:
            lines = r.random() < 0.4  # whatever comes before
            self._timer(r.choice((200, 500)) if lines else r.choice((0, 5, 40, 200)))
            self.li(TEMP, 0x10888 if lines else 0x80)
            self.add("csrrs", csr=mie, rs1=TEMP)
        self.add("wfi")
        if r.random() < 0.7:
            self.add("csrrsi", csr=mstatus, imm=8)
        if software:
            self.add("sw", rs1=POINTER, rs2=0)

    def sleep(self) -> None:
        """wfi with interrupts on: what comes first is taken in it; late enough not to come before, the timer's."""
        self.open()
        self._timer(2000)
        self.li(TEMP, 0x10888)
        self.add("csrrs", csr=CSR_BY_NAME["mie"].address, rs1=TEMP)
        self.add("csrrsi", csr=CSR_BY_NAME["mstatus"].address, imm=8)
        self.add("wfi")

    def doze(self) -> None:
        """wfi for the external interrupt, which may go before the hart can go on; in case none comes, the timer's."""
        self.open()
        self._quiet()
        self._timer(1000)
        self.li(TEMP, 0x880)
        self.add("csrrw", csr=CSR_BY_NAME["mie"].address, rs1=TEMP)
        self.add("wfi")
        if self.rng.random() < 0.5:
            self.add("csrrsi", csr=CSR_BY_NAME["mstatus"].address, imm=8)

    def _timer(self, clocks: int) -> None:
        """mtimecmp: some clocks from now."""
        self.li(POINTER, memory_map.MTIME_BASE)
        self.add("lw", rd=TEMP, rs1=POINTER)
        self.add("lw", rd=5, rs1=POINTER, imm=4)
        self.add("addi", rd=TEMP, rs1=TEMP, imm=clocks)
        self.li(POINTER, memory_map.MTIMECMP_BASE + 8 * self.hart)
        self.add("sw", rs1=POINTER, rs2=TEMP)
        self.add("sw", rs1=POINTER, rs2=5, imm=4)

    def time(self) -> None:
        """A timer interrupt later, or mtime set on."""
        self.open()
        if self.rng.random() < 0.8:
            self._timer(self.rng.choice((10, 100, 500)))
            self.add("addi", rd=TEMP, imm=0x80)
            self.add("csrrs", csr=CSR_BY_NAME["mie"].address, rs1=TEMP)
        else:
            self.li(POINTER, memory_map.MTIME_BASE)
            self.add("lw", rd=TEMP, rs1=POINTER)
            self.add("addi", rd=TEMP, rs1=TEMP, imm=self.rng.randrange(100))
            self.add("sw", rs1=POINTER, rs2=TEMP)

    def software(self) -> None:
        """msip of any hart set; only its handler clears it."""
        self.open()
        self.li(POINTER, memory_map.MSIP_BASE + 4 * self.rng.choice(self.harts))
        self.add("csrrsi", csr=CSR_BY_NAME["mie"].address, imm=8)
        self.add("addi", rd=TEMP, imm=self.rng.choice((1, 1, 3, -1)))
        self.add("sw", rs1=POINTER, rs2=TEMP)
        self.add("lw", rd=self.rng.choice(_POOL), rs1=POINTER)

    def counter(self) -> None:
        """A counter's halves are written just before, at and behind its carry, and read."""
        self.open()
        r = self.rng
        if r.random() < 0.25:
            self._mtime()
            return
        name = r.choice(("mcycle", "minstret"))
        low, high, inhibit = (CSR_BY_NAME[n].address for n in (name, f"{name}h", "mcountinhibit"))
        # So many counts are between two instructions of a hart, about.
        step = 1 if name == "minstret" else max(self.parameters.harts, PIPELINE_STAGES)
        filler = r.randrange(4)
        self.li(TEMP, unsigned(-r.randint(0, step * (filler + 3) + 2)))
        self.li(POINTER, r.choice((self.value(), 0xFFFF_FFFF, 0)))
        self.add("csrrw", csr=low, rs1=TEMP)
        for _ in range(filler):
            self.add("addi", rd=r.choice(_POOL), rs1=r.choice(_SOURCES), imm=1)
        row = BY_NAME[r.choice(("csrrw", "csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi"))]
        operand = {"imm": r.randrange(1, 32)} if row.format == "csri" else {"rs1": POINTER}
        chance = r.random()
        address = high if chance < 0.5 else low if chance < 0.85 else inhibit
        self.add(row.name, rd=r.choice((0, *_POOL)), csr=address, **operand)
        for address in (high, low, high):
            self.add("csrrs", rd=r.choice(_POOL), csr=address)
        if address == inhibit or r.random() < 0.3:
            self.add("csrrw", csr=inhibit)

    def _mtime(self) -> None:
        """As `counter`, of mtime, which all harts write: no program that waits for a time may do so."""
        r = self.rng
        self.li(POINTER, memory_map.MTIME_BASE)
        self.li(TEMP, unsigned(-r.randint(0, 40)))
        self.li(5, r.choice((self.value(), 0xFFFF_FFFF, 0)))
        self.add("sw", rs1=POINTER, rs2=TEMP)
        for _ in range(r.randrange(4)):
            self.add("addi", rd=r.choice(_SPARE), rs1=r.choice(_SOURCES), imm=1)
        self.add("sw", rs1=POINTER, rs2=5, imm=r.choice((0, 4, 4)))
        for offset in (4, 0, 4):
            self.add("lw", rd=r.choice(_SPARE), rs1=POINTER, imm=offset)
        # mtimecmp in all relations to it, each half less, equal and greater; its interrupt is not enabled.
        self.li(POINTER, memory_map.MTIMECMP_BASE + 8 * self.hart)
        self.li(4, r.choice((self.value(), 0xFFFF_FFFF, 0)))
        halves = [(0, r.choice((4, 5, TEMP))), (4, r.choice((4, 5, 0)))]
        for offset, source in r.sample(halves, 2):
            self.add("sw", rs1=POINTER, rs2=source, imm=offset)
            self.add("csrrs", rd=r.choice(_SPARE), csr=CSR_BY_NAME["mip"].address)

    def compare(self) -> None:
        """One half of any hart's mtimecmp, low about now or high now or later; at the end its interrupt comes soon."""
        self.open()
        r = self.rng
        if r.random() < 0.7:
            self.add("addi", rd=TEMP, imm=0x80)
            self.add("csrrs", csr=CSR_BY_NAME["mie"].address, rs1=TEMP)
            self.add("csrrsi", csr=CSR_BY_NAME["mstatus"].address, imm=8)
        time, compare = memory_map.MTIME_BASE, memory_map.MTIMECMP_BASE + 8 * r.choice(self.harts)
        self.li(POINTER, time)
        self.add("lw", rd=5, rs1=POINTER, imm=4)
        later = r.random() < 0.5
        if later:
            self.li(TEMP, compare)
            self.add("addi", rd=4, imm=-1)
            self.add("sw", rs1=TEMP, rs2=4, imm=4)
        if r.random() < 0.8:
            self.add("lw", rd=4, rs1=POINTER)
            self.add("addi", rd=4, rs1=4, imm=r.choice((r.randrange(-40, 200), r.randrange(0, 60))))
            self.li(TEMP, compare)
            self.add("sw", rs1=TEMP, rs2=4)
            self.add("lw", rd=r.choice(_SPARE), rs1=TEMP)
        else:
            self.li(TEMP, compare)
        if later or r.random() < 0.5:
            self.add("sw", rs1=TEMP, rs2=5, imm=4)
            self.add("lw", rd=r.choice(_SPARE), rs1=TEMP, imm=4)
        for _ in range(r.choice((0, 8, 16))):
            self.add("csrrs", rd=r.choice(_POOL), csr=CSR_BY_NAME["mip"].address)

    def clear(self) -> None:
        """mip.16 written in every form, and read before and behind."""
        self.open()
        r = self.rng
        mip = CSR_BY_NAME["mip"].address
        self.li(POINTER, r.choice((1 << 16, 1 << 16, 0xFFFF_FFFF, 0)))
        for _ in range(r.randint(1, 4)):
            name = r.choice(("csrrc", "csrrc", "csrrw", "csrrs"))
            self.add(name, rd=r.choice((0, *_POOL)), csr=mip, rs1=r.choice((POINTER, POINTER, 0)))
            for _ in range(r.randrange(3)):
                self.add("csrrs", rd=r.choice(_POOL), csr=mip)

    def full(self) -> None:
        """Nothing but instructions that write a register, many of them loads: no slot is left to the host."""
        self.open()
        r = self.rng
        loads = (0.0, 0.3, 1.0)[self.group % 3]  # all harts are about there at a time
        rows = [row for row in self.alu_rows if row.extension != "M"]
        for _ in range(100):
            if r.random() < loads:
                self.add("lw", rd=r.choice(_POOL[1:]), rs1=8, imm=4 * r.randrange(self.span // 4), loose=True)
            else:
                self.raw(random_word(r.choice(rows), r, _POOL[1:]), loose=True)

    def patch(self) -> None:
        """An instruction further on is overwritten, whole or in part."""
        self.open()
        r = self.rng
        few = tuple(r.sample(_POOL, 3))
        old, new = (random_word(r.choice(self.alu_rows), r, few) for _ in range(2))
        size = r.choice((4, 4, 2))
        if size == 2:  # only the upper half changes: another immediate
            old = encode("addi", rd=few[0], rs1=few[1], imm=r.randrange(-2048, 2048))
            new = old & 0xFFFFF | r.getrandbits(12) << 20
        place = self.la(POINTER)
        self.li(TEMP, new if size == 4 else new >> 16)
        if size == 4:
            self.add("sw", rs1=POINTER, rs2=TEMP)
        else:
            self.add("sh", rs1=POINTER, rs2=TEMP, imm=2)
        if r.random() < 0.7:
            self.add("fence.i")
        for _ in range(r.randint(0, 2)):
            self.raw(random_word(r.choice(self.alu_rows), r, _POOL))
        self.patch_target(place, self.raw(old))

    def fence(self) -> None:
        """In half of the cases with fields that are reserved and ignored."""
        self.open()
        row = BY_NAME[self.rng.choice(("fence", "fence.i"))]
        word = random_word(row, self.rng)
        if self.rng.random() < 0.5:
            word ^= self.rng.getrandbits(32) & ~row.mask
        self.raw(word)

    def mvu(self) -> None:
        """Registers of the hart's MVU as CSRs, or of any in the window."""
        self.open()
        r = self.rng
        for _ in range(r.randint(1, 3)):
            if r.random() < 0.5:
                row = BY_NAME[r.choice(("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"))]
                address = r.choice(MVU_CSR_FIRST)[0] + r.randrange(MVU_CSRS)
                operand = 0 if r.random() < 0.3 else r.randrange(25)
                operands = {"imm" if row.format == "csri" else "rs1": operand}
                self.add(row.name, rd=r.choice((0, *_POOL)), csr=address, **operands)
            else:
                mvu, register = r.choice((*self.harts, r.randrange(memory_map.MVUS))), r.randrange(128)
                # A word that lies across two registers is misaligned; it must not reach the bus.
                across = r.randint(1, 3) if r.random() < 0.1 else 0
                self.li(POINTER, memory_map.MVU_BASE + memory_map.MVU_STRIDE * mvu + 4 * register + across)
                self._access(POINTER, 0, r.choice((4, 4, 4, 2, 1)), r.random() < 0.5)


def random_program(
    seed: int,
    parameters: ControllerParameters | None = None,
    harts: int | None = None,
    length: int = 2000,
    kind: str = "mixed",
    reserve: int = 0,
) -> RandomProgram:
    """A random program.

    Args:
        seed: same seed, same program.
        parameters: of the controller.
        harts: mask of the harts that run; default: all.
        length: lines in all harts, about; fewer when the instruction memory is smaller. A line is executed about
            twice.
        kind: one of `KINDS`.
        reserve: words at the end of the data memory that it does not touch.

    Raises `ConfigurationError` for a mask or a kind that there is not.
    """
    parameters = parameters or ControllerParameters()
    everyone = (1 << parameters.harts) - 1
    mask = everyone if harts is None else harts
    if not 0 < mask <= everyone:
        raise ConfigurationError(f"harts = {mask}: must be a mask from 1 to {everyone}")
    if kind not in KINDS:
        raise ConfigurationError(f"kind {kind}: must be one of {', '.join(KINDS)}")
    numbers = tuple(hart for hart in range(parameters.harts) if mask >> hart & 1)
    # The frame, then an end for each hart, and that of the first, which waits for all.
    room = parameters.imem_words - len(frame(parameters)) - 20 * len(numbers) - 16
    room -= min(FAR // 4, parameters.imem_words // 4)
    share = min(length, room) // len(numbers)
    rng = Random(f"{seed} {kind}")
    lines: dict[int, tuple[Line, ...]] = {}
    for hart in numbers:
        maker = _Maker(parameters, hart, numbers, reserve, rng)
        maker.start()
        kinds, weights = zip(*KINDS[kind].items(), strict=True)
        good = len(maker.lines)
        while len(maker.lines) < share:
            good = len(maker.lines)
            name = rng.choices(kinds, weights)[0]
            getattr(maker, "return_" if name == "return" else name)()
        # A group that went beyond the share is left out.
        lines[hart] = tuple(maker.lines if len(maker.lines) <= share else maker.lines[:good])
    description = f"seed {seed}, kind {kind}, length {length}, harts 0x{mask:x}, reserve {reserve}"
    return RandomProgram(parameters, lines, description)
