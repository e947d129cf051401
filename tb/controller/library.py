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
from assay.golden.controller.parameters import MAX_HARTS

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
        ("trace_in_order", ctypes.c_int32, [pointer, u64, ctypes.c_uint8, u32, pointer, pointer]),
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
        self._places = np.empty(0, np.uint32)

    def __del__(self) -> None:
        if kinds := getattr(self, "_kinds", None):
            self._library.kinds_free(kinds)

    def forget(self) -> None:
        """Begin a lot, in which everything is new."""
        self._library.kinds_forget(self._kinds)

    def new(self, records: np.ndarray) -> np.ndarray:
        """Where retirements lie, RECORD[n], that may be unlike all before in this lot: uint32[m]."""
        if len(self._places) < len(records):
            self._places = np.empty(len(records), np.uint32)
        places = self._places
        count = self._library.kinds_new(self._kinds, records.ctypes.data, len(records), places.ctypes.data)
        return places[:count]


class Order:
    """Follows rvfi_order of each hart, as long as nothing is odd."""

    def __init__(self, library: ctypes.CDLL, harts: int, status: int) -> None:
        self._check = library.trace_in_order
        self._harts = harts
        self._status = status
        self._orders = (ctypes.c_int64 * MAX_HARTS)()
        self._last = (ctypes.c_int32 * MAX_HARTS)()

    def follow(self, records: np.ndarray, orders: Sequence[int | None]) -> list[int] | None:
        """Where each hart's last record lies, or -1; None when status or order of a record is not as it must be.

        Args:
            records: RECORD[n].
            orders: rvfi_order that each hart's next record must have; None: any.
        """
        self._orders[: self._harts] = [-1 if order is None else order for order in orders]
        where = records.ctypes.data, len(records), self._status, self._harts
        if not self._check(*where, self._orders, self._last):
            return None
        return self._last[: self._harts]
