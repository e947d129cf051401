# SPDX-License-Identifier: Apache-2.0
"""Variables inside of the design, read when something has gone wrong: memories, states and counters.

In Verilator those that the block's `inspect` publishes, as memory where the simulator offers it; in every other
simulator all, through VPI.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from assay.tb.agents.direct import memory_at
from assay.tb.agents.signals import Signal, SignalMissing, find_signal

__all__ = ["Inside", "State"]


class State(NamedTuple):
    """A variable that says what a part of the design is doing.

    Attributes:
        path: below the device.
        says: what its value is.
        names: of its values, by number; none: it is a number.
    """

    path: str
    says: str
    names: tuple[str, ...] = ()


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

    def states(self, device: str, states: Iterable[State]) -> str:
        """What the parts of a device are doing, a line for each instance; without those that cannot be reached."""
        told: dict[str, list[str]] = {}
        for state in states:
            value = self.value(f"{device}.{state.path}")
            if value is not None:
                named = state.names[value] if value < len(state.names) else str(value)
                told.setdefault(state.path.rpartition(".")[0], []).append(f"{state.says} {named}")
        return "\n".join(f"{instance}: {', '.join(values)}" for instance, values in told.items())

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
