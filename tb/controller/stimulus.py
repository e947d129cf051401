"""Constrained-random stimulus of the controller's tests: random programs for all harts, from the run's seed."""

from __future__ import annotations

from random import Random

import numpy as np

from golden.controller import memory_map
from golden.controller.csrs import BY_ADDRESS, MVU_CSR_FIRST, MVU_CSRS
from golden.controller.instructions import INSTRUCTIONS, encode, random_illegal, random_word
from golden.controller.parameters import ControllerParameters
from tb.controller.elf import Program
from tb.controller.items import Disturbance, ProgramItem


class Stimulus:
    """Draws everything from one seed."""

    def __init__(self, params: ControllerParameters, seed: int) -> None:
        self.params = params
        self.random = Random(seed)
        self.rng = np.random.default_rng(seed)
        self.described: dict[str, object] = {}  #: of the last random program: how to make it again

    def image_of(self, program: Program, harts: int) -> np.ndarray:
        """Both memories with a program; a `hart_mask` that it may have tells it which harts run."""
        image = program.image(self.params)
        if "hart_mask" in program.symbols:
            image[(program.symbols["hart_mask"] - memory_map.IMEM_BASE) // 4] = harts
        return image

    def random_item(
        self, kind: str, length: int, disturbance: Disturbance, reserve: int = 0
    ) -> ProgramItem:
        """A random program of a kind on all harts, run for so many retirements; `reserve` words at the end of the data
        memory are left alone."""
        seed = self.random.getrandbits(32)
        self.described = {"kind": kind, "seed": seed, "reserve": reserve}
        image = _Generator(self.params, kind, Random(seed), reserve).image()
        every = (1 << self.params.harts) - 1
        return ProgramItem(
            f"{kind} program of seed {seed}",
            image,
            memory_map.IMEM_BASE,
            every,
            retirements=length,
            disturbance=disturbance,
        )


class _Generator:
    """Stand-in until golden.controller has one."""

    def __init__(self, params: ControllerParameters, kind: str, random: Random, reserve: int) -> None:
        self.p, self.kind, self.r, self.reserve = params, kind, random, reserve
        self.region = 1
        while self.region * 2 * params.harts <= params.imem_words:
            self.region *= 2

    def image(self) -> np.ndarray:
        p, r = self.p, self.r
        image = np.zeros(p.imem_words + p.dmem_words, np.uint32)
        image[p.imem_words : len(image) - self.reserve] = np.frombuffer(
            r.randbytes(4 * (p.dmem_words - self.reserve)), np.uint32
        )
        for hart in range(p.harts):
            code = self.code(hart)
            image[hart * self.region : hart * self.region + len(code)] = code
        return image

    def code(self, hart: int) -> list[int]:
        r = self.r
        stub = [
            encode("csrrs", rd=5, csr=0xF14),
            encode("slli", rd=5, rs1=5, imm=(4 * self.region).bit_length() - 1),
            encode("lui", rd=6, imm=0x80000),
            encode("add", rd=5, rs1=5, rs2=6),
            encode("jalr", rd=0, rs1=5, imm=64),
        ]
        stub += [encode("addi")] * (16 - len(stub))
        base = memory_map.IMEM_BASE + 4 * self.region * hart
        # x7: data, x8: start of the body, x9: shared data; x31: the handler's own.
        data = memory_map.IMEM_BASE + 4 * self.p.imem_words + 2048
        devices = r.choice((memory_map.MSIP_BASE, memory_map.MTIMECMP_BASE, memory_map.MVU_BASE))
        pre = [*_load(7, data), *_load(9, data + 4 * r.randrange(64)), *_load(10, devices)]
        for register in (1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 17, 18):
            pre += _load(register, r.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, r.getrandbits(32))))
        pre += [encode("addi", rd=20, rs1=0, imm=-1), encode("csrrw", rs1=20, csr=0x304)] if self.kind != "mixed" else []
        pre += _load(20, 0)
        size = min(self.region - 64, 700)
        body_at = len(stub) + len(pre) + 4
        handler_at = body_at + size + 1
        vectored = self.kind == "interrupts" and r.random() < 0.5
        pre += [*_load(31, base + 4 * handler_at + vectored), encode("csrrw", rs1=31, csr=0x305)]
        pre += [encode("csrrwi", imm=8, csr=0x300)]
        code = [*stub, *pre]
        body_at = len(code)
        while len(code) < body_at + size:
            code += self.some(len(code) - body_at, size, base + 4 * body_at)
        code = code[: body_at + size]
        code += [encode("jal", imm=-4 * (len(code) - body_at))] * (handler_at - len(code))
        code += self.handler(base, body_at, handler_at, vectored)
        return code

    def handler(self, base: int, body_at: int, handler_at: int, vectored: bool) -> list[int]:
        r = self.r
        table = 17 if vectored else 0
        body = [
            encode("csrrs", rd=31, csr=0x342),
            encode("bge", rs1=31, imm=4 * 6),
            encode("lui", rd=31, imm=0x10),
            encode("csrrc", rs1=31, csr=0x344),
            encode("addi", rd=31, imm=r.choice((-2048, -128, -8))),
            encode("csrrc", rs1=31, csr=0x304),
            encode("mret"),
            # An exception: go on behind it; where no code can be fetched, begin anew.
            encode("csrrs", rd=31, csr=0x342),
            encode("addi", rd=31, rs1=31, imm=-1),
            encode("beq", rs1=31, rs2=0, imm=4 * 5),
            encode("csrrs", rd=31, csr=0x341),
            encode("addi", rd=31, rs1=31, imm=4),
            encode("csrrw", rs1=31, csr=0x341),
            encode("mret"),
            *_load(31, base + 4 * body_at),
            encode("csrrw", rs1=31, csr=0x341),
            encode("mret"),
        ]
        # bge goes to the exception's part, 6 words on: behind the interrupt's mret.
        return [encode("jal", imm=4 * (table - i)) for i in range(table)] + body

    def some(self, at: int, size: int, base: int) -> list[int]:
        r = self.r
        free = (0, *range(1, 7), *range(11, 31))
        dice = r.random()
        weights = {"csr": 0.7, "interrupts": 0.15}.get(self.kind, 0.05)
        if dice < weights:
            return [self.csr(free)]
        dice = r.random()
        if dice < 0.45:
            while True:
                row = r.choice(INSTRUCTIONS)
                if row.format in ("R", "I", "shift", "U", "fence") and (self.p.mul_div or row.extension != "M"):
                    word = random_word(row, r)
                    rd = word >> 7 & 31
                    if "rd" in row.operands and rd not in free:
                        word = word & ~0xF80 | r.choice(free) << 7
                    return [word]
        if dice < 0.6:
            name = r.choice(("beq", "bne", "blt", "bge", "bltu", "bgeu"))
            low = max(-at, -20)
            target = r.randint(low, min(20, size - at))
            if r.random() < 0.05:
                return [encode(name, rs1=r.randrange(31), rs2=r.randrange(31), imm=2)]
            # Backwards only against different registers, so that no loop is certain.
            return [encode(name, rs1=r.choice(free), rs2=r.choice(free), imm=4 * (target or 1))] if target > 0 else [
                encode("addi", rd=30, rs1=30, imm=1),
                encode("andi", rd=29, rs1=30, imm=7),
                encode("bne", rs1=29, rs2=0, imm=4 * max(target, -(at + 2)) or 4),
            ]
        if dice < 0.66:
            return [encode("jal", rd=r.choice((0, 1, 5)), imm=4 * r.randint(1, min(9, max(1, size - at))))]
        if dice < 0.9:
            row = r.choice([i for i in INSTRUCTIONS if i.format in ("load", "S")])
            bases = [7, 9, r.choice(free)] + ([10, 10, 10] if self.kind in ("mvu", "interrupts") else [])
            pointer = r.choice(bases)
            imm = r.randrange(-2048, 2048)
            if r.random() < 0.8:
                imm &= ~(row.size - 1)
            if row.format == "S":
                return [encode(row.name, rs1=pointer, rs2=r.randrange(31), imm=imm)]
            return [encode(row.name, rd=r.choice(free), rs1=pointer, imm=imm)]
        if dice < 0.94:
            return [r.choice((encode("ecall"), encode("ebreak"), random_illegal(r, bool(self.p.mul_div))))]
        if dice < 0.97 and self.kind == "interrupts":
            if r.random() < 0.2:
                return [encode("wfi")]
            return [*_load(28, r.choice((0x10888, 0x10000, 0x800, 0x88))), encode("csrrs", rs1=28, csr=0x304), encode("csrrsi", imm=8, csr=0x300)]
        if dice < 0.98 and self.kind == "self_modifying":
            row = r.choice([i for i in INSTRUCTIONS if i.format in ("R", "I") and i.extension == "I"])
            word = random_word(row, r) & ~0xF80 | 26 << 7
            target = base + 4 * min(at + 6, size - 1)
            return [*_load(28, word), *_load(25, target), encode("sw", rs1=25, rs2=28), encode("fence.i"), encode("addi")]
        return [encode("csrrsi", imm=8, csr=0x300), encode("csrrs", rd=26, csr=0x344)]

    def csr(self, free: tuple[int, ...]) -> int:
        r = self.r
        pool = [a for a in BY_ADDRESS if a not in (0x305,)]
        if r.random() < 0.25 or self.kind == "mvu":
            pool = [first + r.randrange(MVU_CSRS) for first, _ in MVU_CSR_FIRST]
        if r.random() < 0.05:
            pool = [r.randrange(1 << 12)]
        address = r.choice(pool)
        if address == 0x305:
            address = 0x340
        name = r.choice(("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci"))
        if name.endswith("i"):
            return encode(name, rd=r.choice(free), csr=address, imm=r.choice((0, 31, r.randrange(32))))
        return encode(name, rd=r.choice(free), csr=address, rs1=r.choice((0, *free)))


def _load(register: int, value: int) -> list[int]:
    """lui and addi."""
    low = value & 0xFFF
    low -= (low & 0x800) << 1
    upper = (value - low >> 12) & 0xFFFFF
    return [encode("lui", rd=register, imm=upper), encode("addi", rd=register, rs1=register, imm=low)]
