# SPDX-License-Identifier: Apache-2.0
"""Constrained-random stimulus of the controller's tests: random programs for all harts, from the run's seed."""

from __future__ import annotations

from random import Random

import numpy as np

from assay.golden.controller import memory_map
from assay.golden.controller.parameters import ControllerParameters
from assay.tb.controller.elf import Program
from assay.tb.controller.items import Disturbance, ProgramItem
from assay.tb.controller.program_maker import random_program
from assay.tb.controller.random_program import RandomProgram


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
