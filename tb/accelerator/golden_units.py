# SPDX-License-Identifier: Apache-2.0
"""The golden MVUs of an array, which work beside the simulation (`tb.ahead.Remote`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from assay.golden.mvu.clocks import job_clocks
from assay.golden.mvu.functional import Configuration, JobResult, Memories
from assay.golden.mvu.parameters import MvuParameters
from assay.tb.mvu.env import run_apart

__all__ = ["Change", "GoldenUnits"]


class Change(NamedTuple):
    """Words that come into memories from outside of the array.

    Attributes:
        mvus: whose.
        memory: "data", "weights", "scaler" or "bias".
        first: word or entry.
        image: as the memory's of `golden.mvu.functional.Memories`.
        writer: number of who brings them.
    """

    mvus: frozenset[int]
    memory: str
    first: int
    image: np.ndarray
    writer: int


class GoldenUnits:
    """Memories of all units, what comes into them between jobs, and the jobs, in order.

    Args:
        mvus: how many there are.
        params: of each.
    """

    def __init__(self, mvus: int, params: MvuParameters) -> None:
        self._params = params
        self._memories = [Memories.zeros(params) for _ in range(mvus)]
        self._writers = np.full((mvus, params.data_depth), -1, np.int32)

    def run(
        self, changes: Iterable[Change], mvu: int, configuration: Configuration, writer: int
    ) -> tuple[JobResult, int | None]:
        """A job of one unit, after these changes; its words go to the units of its destination, too.

        Args:
            writer: number of the job.

        Returns:
            the result, without ``data_memory``, and the job's clocks by the formula; None of an illegal job.

        Raises:
            GoldenError: it cannot be run.
        """
        self._change(changes)
        result = run_apart(configuration, self._memories[mvu], self._params)
        address = result.address % self._params.data_depth
        for unit, memories in enumerate(self._memories):
            if result.dest >> unit & 1 or (not result.dest and unit == mvu):
                memories.data[address] = result.data
                self._writers[unit, address] = writer
        return result, None if result.causes else job_clocks(configuration).total

    def data(self, changes: Iterable[Change], mvu: int, first: int, count: int) -> np.ndarray:
        """Words of a unit's data memory after these changes, uint8[count, lanes/8], as they are now: a copy."""
        self._change(changes)
        return self._memories[mvu].data[first : first + count].copy()

    def look(
        self, changes: Iterable[Change], mvu: int, memory: str, index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `tb.mvu.cause.GoldenMemory`, after these changes."""
        self._change(changes)
        words = getattr(self._memories[mvu], memory)[index]
        return words, self._writers[mvu, index] if memory == "data" else np.full(len(index), -1)

    def _change(self, changes: Iterable[Change]) -> None:
        for change in changes:
            for mvu in change.mvus:
                memory: np.ndarray = getattr(self._memories[mvu], change.memory)
                words = slice(change.first, change.first + len(change.image))
                memory[words] = change.image
                if change.memory == "data":
                    self._writers[mvu, words] = change.writer
