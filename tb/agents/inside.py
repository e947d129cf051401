# SPDX-License-Identifier: Apache-2.0
"""Variables inside of the design, read when something has gone wrong: memories, states and counters.

In Verilator those that the block's `inspect` publishes, as memory where the simulator offers it; in every other
simulator all, through VPI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from assay.tb.agents.direct import memory_at
from assay.tb.agents.signals import Signal, SignalMissing, find_signal

__all__ = ["Inside"]


class Inside:
    """What is inside of a bench top.

    Args:
        top: its handle.
    """

    def __init__(self, top: Any) -> None:
        self._top = top

    def value(self, path: str) -> int | None:
        """The unsigned value of a variable.

        Args:
            path: below the top, dots between instances.

        Returns:
            None where it cannot be reached, or one of its bits is X.
        """
        memory = memory_at(f"{self._top._path}.{path}")
        if memory is not None:
            return int.from_bytes(memory.tobytes(), "little")
        try:
            return Signal(self._top, path).read_known()
        except SignalMissing:
            return None

    def words(
        self, path: str, index: Sequence[int] | np.ndarray, depth: int, width: int
    ) -> np.ndarray | None:
        """Elements of an array of words.

        Args:
            path: as for `value`.
            index: int[n], of the elements.
            depth, width: elements of the array, bits of each.

        Returns:
            uint8[n, width/8], X read as 0; None where it cannot be reached.
        """
        size = -(-width // 8)
        memory = memory_at(f"{self._top._path}.{path}")
        if memory is not None:
            return memory.reshape(depth, -1)[np.asarray(index), :size].copy()
        try:
            array = find_signal(self._top, path)
            found = [Signal(array, f"[{at}]").read()[0] for at in index]
        except SignalMissing:
            return None
        return np.array([list(word.to_bytes(size, "little")) for word in found], np.uint8).reshape(-1, size)
