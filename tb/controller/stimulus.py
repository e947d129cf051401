"""Constrained-random stimulus of the controller's tests: random programs for all harts, from the run's seed."""

from __future__ import annotations

from random import Random

import numpy as np

from golden.controller import memory_map
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
