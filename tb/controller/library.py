# SPDX-License-Identifier: Apache-2.0
"""The compiled half of the lock-step scoreboard, for speed: what it does, Python does, too.

The runner compiles `files` where there is a C++ compiler, and says in ``ASSAY_LIBRARY`` where the result is.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from assay.golden.controller import compiled

__all__ = ["LIBRARY", "Kinds", "Order", "files", "load", "loaded"]

LIBRARY = "ASSAY_LIBRARY"  #: variable that holds its path
_SLOTS = 1 << 13  #: kinds of retirement that are known at a time


def files() -> Mapping[str, str]:
    """Name -> text of the library's C++ files."""
    path = Path(__file__).with_name("trace.cpp")
    return {**compiled.files(), path.name: path.read_text(encoding="utf-8")}


def loaded() -> ctypes.CDLL | None:
    """The library of this run; None where Python does everything itself."""
    path = os.environ.get(LIBRARY)
    return load(path) if path else None


@functools.cache
def load(path: str) -> ctypes.CDLL:
    """The library in a file."""
    library = ctypes.CDLL(path)
    pointer, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    for name, result, arguments in (
        ("kinds_make", pointer, [pointer, u64, pointer, u64, u32, u32, u64]),
        ("kinds_free", None, [pointer]),
        ("kinds_forget", None, [pointer]),
        ("kinds_new", u64, [pointer, pointer, u64, pointer]),
        ("trace_in_order", ctypes.c_int32, [pointer, u64, ctypes.c_uint8, u32, pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Kinds:
    """Finds the retirements that tell coverage something new.

    Args:
        library: see `load`.
        values: at most 7 words that are unlike others as an operand.
        bounds: at most 31 addresses, ascending, at each of which begins what counts as another region.
        reset_pc, mret: a pc and a word whose retirements are never left out, as traps and interrupts are not.
    """

    def __init__(
        self, library: ctypes.CDLL, values: Sequence[int], bounds: Sequence[int], reset_pc: int, mret: int
    ) -> None:
        if len(values) > 7 or len(bounds) > 31:
            raise ValueError(
                f"{len(values)} values and {len(bounds)} bounds: at most 7 and 31 have room in a key"
            )
        self._library = library
        tables = np.array(values, np.uint32), np.array(bounds, np.uint32)
        addresses = [part for table in tables for part in (table.ctypes.data, len(table))]
        self._kinds = library.kinds_make(*addresses, reset_pc, mret, _SLOTS)
        self._places, self._address = np.empty(0, np.int64), 0

    def __del__(self) -> None:
        if kinds := getattr(self, "_kinds", None):
            self._library.kinds_free(kinds)

    def forget(self) -> None:
        """Begin a lot, in which everything is new."""
        self._library.kinds_forget(self._kinds)

    def new(self, records: np.ndarray) -> np.ndarray:
        """Those of retirements, RECORD[n], that may be unlike all before in this lot: a copy, RECORD[m]."""
        if len(self._places) < len(records):
            self._places = np.empty(len(records), np.int64)
            self._address = self._places.ctypes.data
        count = self._library.kinds_new(self._kinds, records.ctypes.data, len(records), self._address)
        # As records[places], which copies each field of each record by itself.
        rows = records.view(np.uint8).reshape(-1, records.itemsize)
        return rows.take(self._places[:count], axis=0).view(records.dtype).reshape(-1)


#: `Progress` of trace.cpp.
_PROGRESS = np.dtype([("order", np.int64), ("last", np.int32), ("spins", np.int32)])


class Order:
    """Follows rvfi_order of each hart, as long as nothing is odd."""

    def __init__(self, library: ctypes.CDLL, harts: int, status: int) -> None:
        self._check = library.trace_in_order
        self._harts = np.zeros(harts, _PROGRESS)
        self._arguments = status, harts, self._harts.ctypes.data

    def follow(self, records: np.ndarray, orders: Sequence[int]) -> list[tuple[int, int, bool]] | None:
        """Go through a batch.

        Args:
            records: RECORD[n].
            orders: rvfi_order that each hart's next record must have.

        Returns:
            For each hart the order of its next record, where its last one lies, or -1, and whether that jumps to
            itself. None when status or order of a record is not as it must be.
        """
        self._harts["order"] = orders
        if not self._check(records.ctypes.data, len(records), *self._arguments):
            return None
        return [(order, last, bool(spins)) for order, last, spins in self._harts.tolist()]
