# SPDX-License-Identifier: Apache-2.0
"""Whether each step of a run finds its operands and has waited for them, whatever the clocks were this time.

A hart learns that steps have ended by reading `ended` in the controller's data memory. With that it also learns all
that the hart of those steps knew when it wrote the count. A step may read words if it knows that their last writer has
ended, and overwrite words if it knows that their last writer and their last reader have ended. Steps of one MVU follow
each other in any case.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

__all__ = ["Disorder", "StepOrder"]


class Disorder(NamedTuple):
    """A word that a step wants too early: what the step does with it ("reads", "overwrites"), the word, the MVU of the
    memory, what another step does with it ("writes", "reads"), and that step's MVU and number."""

    does: str
    word: int
    memory: int
    other_does: str
    mvu: int
    number: int


class StepOrder:
    """The knowledge of each hart, and the last user of each word of each data memory.

    Args:
        mvus: of the accelerator.
        depth: words of a data memory.
    """

    def __init__(self, mvus: int, depth: int) -> None:
        self.mvus = mvus
        #: Of each hart, how many steps of each MVU it knows to have ended.
        self.known = [[0] * mvus for _ in range(mvus)]
        self._told: list[dict[int, list[int]]] = [{} for _ in range(mvus)]
        self._writer = np.full((mvus, depth), -1, np.int8)
        self._written = np.full((mvus, depth), -1, np.int32)  # number of the writer's step
        self._read = np.full((mvus, depth), -1, np.int32)  # of the own MVU
        self._holds = np.full((mvus, depth), -1, np.int16)  # number of the tensor that a word is of

    def counts(self, hart: int, mvu: int, steps: int) -> None:
        """A hart writes to `ended` that `mvu` has ended `steps` steps."""
        known = self.known[hart]
        known[mvu] = max(known[mvu], steps)
        self._told[mvu][steps] = list(known)

    def sees(self, hart: int, mvu: int, steps: int) -> None:
        """A hart reads from `ended` that `mvu` has ended `steps` steps at least."""
        known = self.known[hart]
        if steps > known[mvu] and steps in self._told[mvu]:
            self.known[hart] = [max(pair) for pair in zip(known, self._told[mvu][steps], strict=True)]

    def barrier(self, ended: list[int]) -> None:
        """The host has seen all harts end their phase, and lets them go on."""
        self.known = [list(ended) for _ in ended]

    def hold(self, tensor: int, targets: Iterable[int], words: slice | np.ndarray) -> None:
        """Words of some data memories are a tensor's from now on."""
        for target in targets:
            self._holds[target, words] = tensor

    def lacks(self, mvu: int, tensor: int, words: np.ndarray) -> int | None:
        """Of some words of a data memory, bool `[depth]`, the first that is not of a tensor; None if all are."""
        wrong = words & (self._holds[mvu] != tensor)
        return int(np.argmax(wrong)) if wrong.any() else None

    def begin(
        self, mvu: int, number: int, reads: np.ndarray, writes: np.ndarray, targets: list[int]
    ) -> Disorder | None:
        """A step begins.

        Args:
            mvu, number: of the step.
            reads: of its own data memory, bool `[depth]`.
            writes: of the data memories of `targets`, bool `[depth]`.
            targets: MVUs.

        Returns:
            None, or the first word in disorder.
        """
        wrong = self._unknown_writer(mvu, mvu, reads)
        if wrong is not None:
            return Disorder("reads", wrong[0], mvu, "writes", *wrong[1:])
        for target in targets:
            wrong = self._unknown_writer(mvu, target, writes)
            if wrong is not None:
                return Disorder("overwrites", wrong[0], target, "writes", *wrong[1:])
            if target != mvu:
                late = writes & (self._read[target] >= self.known[mvu][target])
                if late.any():
                    word = int(np.argmax(late))
                    return Disorder(
                        "overwrites", word, target, "reads", target, int(self._read[target, word])
                    )
        self._read[mvu, reads] = number
        for target in targets:
            self._writer[target, writes] = mvu
            self._written[target, writes] = number
        return None

    def _unknown_writer(self, mvu: int, memory: int, words: np.ndarray) -> tuple[int, int, int] | None:
        """Of some words of a memory, the first whose last writer `mvu` does not know to have ended."""
        known = np.array([*self.known[mvu], 1 << 30], np.int32)  # the last: -1, the host
        known[mvu] = 1 << 30
        late = words & (self._written[memory] >= known[self._writer[memory]])
        if not late.any():
            return None
        word = int(np.argmax(late))
        return word, int(self._writer[memory, word]), int(self._written[memory, word])
