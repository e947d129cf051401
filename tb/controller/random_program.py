# SPDX-License-Identifier: Apache-2.0
"""The form of a random program: lines for each hart that may be left out, in a frame that always ends.

A program is a list of lines for each hart, in groups that stay together: a loop with its counter, a wfi with what ends
it, a patch with the instruction it changes. Whatever groups are left out, it ends by storing 1 to `tohost`, so that
`tb.controller.shrink` may leave out what it likes. The trap handler, shared by all harts, skips the instruction that
trapped and silences the interrupt that came; some of its own instructions trap.

x25 to x31 belong to the frame: x25 depth of the handler, x26 its saved mepc, x27 loop counter, x29 where a fetch
fault goes on, x30 and x31 the handler's. x8 points to memory that all harts write, x9 to the hart's own.
Programs change only their own hart's code.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from assay.golden.controller import memory_map
from assay.golden.controller.csrs import BY_NAME as CSR_BY_NAME
from assay.golden.controller.instructions import (
    disassemble,
    encode,
)
from assay.golden.controller.iss import Bus, Iss
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import DoesNotFitError

__all__ = ["DATA", "FAR", "HANDLER", "POINTER", "TEMP", "VECTORS", "Line", "RandomProgram", "dmem", "frame"]

# Bytes from the start of the data memory. What lies before `TOHOST` is for accesses at the region's edge.
TOHOST = 32
#: Bytes at the end of the instruction memory into which programs write what is branched to from afar.
FAR = 0x1400
FLAGS = 36  # one word a hart: it has finished
DATA = 128

TEMP, POINTER = 6, 7  # registers for passing use


@dataclass(frozen=True)
class Line:
    """One instruction. With a `target` its immediate is the distance to that label, from `base` or from itself.

    Labels count up in the order of the lines; one that is left out stands for the next that is not. Lines of one
    `group` are left out together, those of a `loose` one also singly.
    """

    name: str  #: of the instruction, or "" for a plain `word`
    label: int
    group: int
    loose: bool = False
    rd: int = 0
    rs1: int = 0
    rs2: int = 0
    imm: int = 0
    csr: int = 0
    word: int = 0
    target: int | None = None
    base: int | None = None


@dataclass(frozen=True)
class RandomProgram:
    """A program: `lines` of each hart that runs. `describe` says how to make the random one again."""

    parameters: ControllerParameters
    lines: dict[int, tuple[Line, ...]]
    description: str = ""
    entry: int = memory_map.IMEM_BASE

    @property
    def harts(self) -> int:
        """Mask of the harts that run."""
        return sum(1 << hart for hart in self.lines)

    @property
    def tohost(self) -> int:
        """Address to which 1 is stored at the end."""
        return dmem(self.parameters) + TOHOST

    @property
    def length(self) -> int:
        """Lines of all harts, without the frame."""
        return sum(len(lines) for lines in self.lines.values())

    def words(self) -> list[int]:
        """The image, from the start of the instruction memory.

        Raises `DoesNotFitError` when it is longer than that.
        """
        words = list(frame(self.parameters))
        dispatch = len(words)
        words += [0] * (3 * len(self.lines))
        for number, (hart, lines) in enumerate(self.lines.items()):
            at = dispatch + 3 * number
            words[at : at + 3] = [
                encode("addi", rd=2, imm=hart),
                encode("bne", rs1=1, rs2=2, imm=8),
                encode("jal", imm=4 * (len(words) - at - 2)),
            ]
            words += _assemble(lines, len(words))
            words += self._end(hart)
        if len(words) > self.parameters.imem_words - 1:
            raise DoesNotFitError(
                f"a program of {len(words)} words: imem_words = {self.parameters.imem_words}"
            )
        return words

    def image(self) -> bytes:
        """`words` as bytes."""
        return b"".join(word.to_bytes(4, "little") for word in self.words())

    def _end(self, hart: int) -> list[int]:
        """Set the hart's flag; the first hart waits for the others' and writes tohost."""
        flags = dmem(self.parameters) + FLAGS
        words = [*_li(POINTER, flags + 4 * hart), encode("addi", rd=TEMP, imm=1)]
        words.append(encode("sw", rs1=POINTER, rs2=TEMP))
        if hart == next(iter(self.lines)):
            for other in self.lines:
                words += _li(POINTER, flags + 4 * other)
                words += [
                    encode("lw", rd=TEMP, rs1=POINTER),
                    encode("beq", rs1=TEMP, rs2=0, imm=-4),
                ]
            words += [*_li(POINTER, self.tohost), encode("addi", rd=TEMP, imm=1)]
            words.append(encode("sw", rs1=POINTER, rs2=TEMP))
        words.append(encode("csrrw", csr=CSR_BY_NAME["mie"].address))
        return [*words, encode("wfi"), encode("jal", imm=-4)]

    def listing(self) -> str:
        """Every word with its address and text."""
        base = memory_map.IMEM_BASE
        return "\n".join(
            f"{base + 4 * i:08x}: {word:08x}  {disassemble(word, base + 4 * i)}"
            for i, word in enumerate(self.words())
        )

    def text(self, hart: int) -> list[str]:
        """The lines of a hart as instructions, without the frame."""
        return [disassemble(word) for word in _assemble(self.lines[hart], 0)]

    def start(self, bus: Bus | None = None) -> Iss:
        """A simulator with the program loaded and its harts released."""
        iss = Iss(self.parameters, bus)
        iss.load(memory_map.IMEM_BASE, self.image())
        iss.tohost = self.tohost
        for hart in self.lines:
            iss.release(hart)
        return iss


def dmem(parameters: ControllerParameters) -> int:
    """Address of the data memory."""
    return memory_map.IMEM_BASE + 4 * parameters.imem_words


def _li(rd: int, value: int) -> list[int]:
    low = (value & 0xFFF ^ 0x800) - 0x800
    return [encode("lui", rd=rd, imm=(value - low >> 12) & 0xFFFFF), encode("addi", rd=rd, rs1=rd, imm=low)]


def _assemble(lines: Iterable[Line], first: int) -> list[int]:
    """Words of `lines`, the first of them at word `first`."""
    lines = tuple(lines)
    labels = [line.label for line in lines]

    words = []
    for index, line in enumerate(lines):
        imm = line.imm
        if line.target is not None:
            base = index if line.base is None else bisect_left(labels, line.base)
            imm += 4 * (bisect_left(labels, line.target) - base)
        words.append(
            encode(line.name, line.rd, line.rs1, line.rs2, imm, line.csr) if line.name else line.word
        )
    return words


#: What a restart clears; `frame` reads it before anything writes it.
_CLEARED = ("mstatus", "mie", "mip", "mtvec", "mscratch", "mepc", "mcause", "mtval", "mcountinhibit")
_HANDLER_WORD = 6 + len(_CLEARED)  # words of `frame` before the handler


def _handler() -> list[int]:
    """The trap handler, x30 and x31 its own."""
    csr = {name: CSR_BY_NAME[name].address for name in ("mcause", "mepc", "mie", "mip", "mhartid")}
    interrupt = [
        encode("slli", rd=30, rs1=30, imm=1),
        encode("srli", rd=30, rs1=30, imm=1),
        encode("addi", rd=31, imm=1),
        encode("sll", rd=31, rs1=31, rs2=30),
        # Without its enable the interrupt cannot come again before the program wants it: there is progress.
        encode("csrrc", csr=csr["mie"], rs1=31),
        encode("csrrc", csr=csr["mip"], rs1=31),
        encode("addi", rd=31, imm=3),
        encode("bne", rs1=30, rs2=31, imm=28),
        encode("csrrs", rd=30, csr=csr["mhartid"]),
        encode("slli", rd=30, rs1=30, imm=2),
        encode("lui", rd=31, imm=memory_map.MSIP_BASE >> 12),
        encode("add", rd=30, rs1=30, rs2=31),
        encode("sw", rs1=30, rs2=0),
        encode("mret"),
        encode("addi", rd=31, imm=7),
        encode("bne", rs1=30, rs2=31, imm=28),
        encode("csrrs", rd=30, csr=csr["mhartid"]),
        encode("slli", rd=30, rs1=30, imm=3),
        encode("lui", rd=31, imm=memory_map.MTIMECMP_BASE >> 12),
        encode("add", rd=30, rs1=30, rs2=31),
        encode("addi", rd=31, imm=-1),
        encode("sw", rs1=30, rs2=31, imm=4),
        encode("mret"),
    ]
    nested = [  # an ecall: the handler traps itself, with each cause once
        encode("addi", rd=25, imm=1),
        encode("csrrs", rd=26, csr=csr["mepc"]),
        encode("ebreak"),
        0,
        encode("lw", rd=30, rs1=0, imm=1),
        encode("lw", rd=30, rs1=0, imm=0),
        encode("sw", rs1=0, rs2=30, imm=1),
        encode("sw", rs1=0, rs2=30, imm=0),
        encode("ecall"),
        encode("jal", imm=2),
        encode("auipc", rd=29),
        encode("addi", rd=29, rs1=29, imm=12),
        encode("jalr"),  # to address 0; the handler goes on behind it, at x29
        encode("addi", rd=25),
        encode("csrrw", csr=csr["mepc"], rs1=26),
        encode("jal", imm=16),  # to the resumption
    ]
    resume = [
        encode("addi", rd=31, imm=1),
        encode("beq", rs1=30, rs2=31, imm=24),
        encode("jal", imm=4),
        encode("csrrs", rd=30, csr=csr["mepc"]),
        encode("addi", rd=30, rs1=30, imm=4),
        encode("csrrw", csr=csr["mepc"], rs1=30),
        encode("mret"),
        encode("csrrw", csr=csr["mepc"], rs1=29),
        encode("mret"),
    ]
    test = [
        encode("bne", rs1=25, rs2=0, imm=4 * (3 + len(nested))),
        encode("addi", rd=31, imm=11),
        encode("bne", rs1=30, rs2=31, imm=4 * (1 + len(nested))),
    ]
    exception = [*test, *nested, *resume]
    return [
        encode("csrrs", rd=30, csr=csr["mcause"]),
        encode("blt", rs1=30, rs2=0, imm=4 * (1 + len(exception))),
        *exception,
        *interrupt,
    ]


def frame(parameters: ControllerParameters) -> list[int]:
    """Start, handler, vectors; then the dispatch to the harts' code follows."""
    handler = _handler()
    vectors = _HANDLER_WORD + len(handler)
    jumps = [encode("jal", imm=4 * (_HANDLER_WORD - vectors - i)) for i in range(17)]
    words = [
        # A restart has cleared them, and they are written here before any program reads them.
        encode("addi", rs1=1),
        encode("addi", rs1=2),
        *(encode("csrrs", rd=1, csr=CSR_BY_NAME[name].address) for name in _CLEARED),
        *_li(1, memory_map.IMEM_BASE + 4 * _HANDLER_WORD),
        encode("csrrw", csr=CSR_BY_NAME["mtvec"].address, rs1=1),
        encode("jal", imm=4 * (len(handler) + len(jumps) + 1)),
        *handler,
        *jumps,
        encode("csrrs", rd=1, csr=CSR_BY_NAME["mhartid"].address),
    ]
    return words


VECTORS = memory_map.IMEM_BASE + 4 * (_HANDLER_WORD + len(_handler()))
HANDLER = memory_map.IMEM_BASE + 4 * _HANDLER_WORD
