# SPDX-License-Identifier: Apache-2.0
"""Constrained-random stimulus of the controller's tests: random programs for all harts, from the run's seed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np

from assay.golden.controller import memory_map
from assay.golden.controller.csrs import MVU_CSR_FIRST, MVU_CSRS
from assay.golden.controller.instructions import INSTRUCTIONS
from assay.golden.controller.parameters import ControllerParameters
from assay.tb.controller.elf import Program
from assay.tb.controller.items import Disturbance, ProgramItem
from assay.tb.controller.program_maker import random_program
from assay.tb.controller.random_program import Line, RandomProgram


class Stimulus:
    """Draws everything from one seed."""

    def __init__(self, params: ControllerParameters, seed: int) -> None:
        self.params = params
        self.random = Random(seed)
        self.rng = np.random.default_rng(seed)

    def image_of(self, program: Program, harts: int) -> np.ndarray:
        """Both memories with a program; a `hart_mask` that it may have tells it which harts run."""
        image = program.image(self.params)
        if "hart_mask" in program.symbols:
            image[(program.symbols["hart_mask"] - memory_map.IMEM_BASE) // 4] = harts
        return image

    def random_item(
        self, kind: str, length: int, disturbance: Disturbance, reserve: int = 0, harts: int | None = None
    ) -> ProgramItem:
        """A random program of a kind on a mask of harts, by default all, of about so many lines; `reserve` words at the
        end of the data memory are left alone."""
        seed = self.random.getrandbits(32)
        program = random_program(seed, self.params, harts=harts, length=length, kind=kind, reserve=reserve)
        return program_item(program, disturbance)


def waiting_program(random: Random, params: ControllerParameters, length: int) -> RandomProgram:
    """For each hart so many instructions one after the other, each of which waits for an answer."""
    rows = [row for row in INSTRUCTIONS if row.extension == "Zicsr"]
    rows += [row for row in INSTRUCTIONS if waits(row.match)] if params.mul_div else []
    lines = {}
    for hart in range(params.harts):
        own = []
        for number in range(length):
            row, operand = random.choice(rows), random.randrange(1, 25)
            immediate = row.format == "csri"
            line = Line(
                row.name,
                number,
                number,
                rd=random.randrange(25),
                rs1=0 if immediate else operand,
                imm=operand if immediate else 0,
            )
            if row.extension == "Zicsr":
                line = replace(line, csr=random.choice(MVU_CSR_FIRST)[0] + random.randrange(MVU_CSRS))
            else:
                line = replace(line, rs2=random.randrange(1, 25))
            own.append(line)
        lines[hart] = tuple(own)
    return RandomProgram(params, lines, "instructions that wait")


def waits(word: int) -> bool:
    """Whether an instruction waits for an answer: of a register of the hart's MVU, or of a division."""
    opcode, funct3, funct7, csr = word & 0x7F, word >> 12 & 7, word >> 25, word >> 20
    if opcode == 0x73 and funct3 & 3:
        return any(first <= csr < first + MVU_CSRS for first, _ in MVU_CSR_FIRST)
    return opcode == 0x33 and funct7 == 1 and funct3 >= 4


def program_item(program: RandomProgram, disturbance: Disturbance) -> ProgramItem:
    """A run of a random program until it writes tohost."""
    params = program.parameters
    image = np.zeros(params.imem_words + params.dmem_words, np.uint32)
    words = program.words()
    image[: len(words)] = words
    return ProgramItem(
        f"random program ({program.description})",
        image,
        program.entry,
        program.harts,
        program.tohost,
        retirements=100_000 + 100 * program.length,
        disturbance=disturbance,
        random=program,
    )
