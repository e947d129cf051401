# SPDX-License-Identifier: Apache-2.0
"""The retirement trace as arrays: what controller_tb.sv packs into a record, in the names of riscv-formal's RVFI."""

from __future__ import annotations

import struct

import numpy as np

from assay.golden.controller.compiled import RETIREMENT
from assay.tb.agents.beat_format import BeatFormat

__all__ = ["AT", "FIELDS", "RECORD", "STATUS", "TRACE_FORMAT", "read_records", "retirement", "retirements"]

#: ``status``: rvfi_halt, rvfi_mode, rvfi_ixl; this is what it must always be: not halted, machine mode, 32 bits.
STATUS = 0 | 3 << 2 | 1 << 4

#: A record's fields with their bits: those of a `Retirement`, and what else RVFI has.
FIELDS = (
    *((name, 8 * RETIREMENT[name].itemsize) for name in RETIREMENT.names or ()),
    ("order", 64),
    ("status", 8),
)
TRACE_FORMAT = BeatFormat(FIELDS)
RECORD = np.dtype([(name, f"<u{bits // 8}") for name, bits in FIELDS])


#: Places of a retirement's fields in its tuple.
AT = {name: index for index, name in enumerate(RETIREMENT.names or ())}


def read_records(payload: np.ndarray) -> np.ndarray:
    """RECORD[n] of what the tap hands over, uint8[n, bytes]."""
    return np.ascontiguousarray(payload).view(RECORD).reshape(-1)


_REST = RECORD.itemsize - RETIREMENT.itemsize
_TUPLE = struct.Struct(
    "<"
    + "".join("B" if RETIREMENT[name].itemsize == 1 else "I" for name in RETIREMENT.names or ())
    + f"{_REST}x"
)


def retirements(records: np.ndarray) -> list[tuple[int, ...]]:
    """RECORD[n] as the golden simulator says it: a tuple each, in the order of `Retirement`."""
    return list(_TUPLE.iter_unpack(records.tobytes()))


def retirement(record: np.ndarray) -> tuple[int, ...]:
    """As `retirements`, of one record."""
    return _TUPLE.unpack(record.tobytes())
