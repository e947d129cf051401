# SPDX-License-Identifier: Apache-2.0
"""Memory that layers work in, kept from one to the next: the system clears each page of new memory, which takes as
long as a step of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

__all__ = ["scratch"]

_LARGEST = 1 << 23  #: bytes; what is larger is not kept
_KEPT: dict[str, list[np.ndarray]] = {}


@contextmanager
def scratch(use: str, size: int, dtype: npt.DTypeLike) -> Iterator[np.ndarray]:
    """`size` numbers of `dtype` without values, for the block of a `with` statement alone.

    Args:
        use: what for; the same memory is given for the same use, to one at a time.
        size, dtype: of the array `[size]`.
    """
    size_in_bytes = size * np.dtype(dtype).itemsize
    kept = _KEPT.setdefault(use, [])
    try:
        # In one step, so that two threads never get the same.
        memory = kept.pop()
    except IndexError:
        memory = np.empty(0, np.uint8)
    if len(memory) < size_in_bytes:
        memory = np.empty(size_in_bytes, np.uint8)
    try:
        yield memory[:size_in_bytes].view(dtype)
    finally:
        if len(memory) <= _LARGEST and not kept:
            kept.append(memory)
