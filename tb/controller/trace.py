# SPDX-License-Identifier: Apache-2.0
"""The retirement trace as arrays: what controller_tb.sv packs into a record, in the names of riscv-formal's RVFI."""

from __future__ import annotations

import numpy as np

from assay.golden.controller.iss import Retirement
from assay.tb.agents.beat_format import BeatFormat

__all__ = ["FIELDS", "RECORD", "STATUS", "TRACE_FORMAT", "read_records", "retirements"]

_BYTES = ("hart", "trap", "intr", "rs1_addr", "rs2_addr", "rd_addr", "mem_rmask", "mem_wmask")
#: ``status``: rvfi_halt, rvfi_mode, rvfi_ixl; this is what it must always be: not halted, machine mode, 32 bits.
STATUS = 0 | 3 << 2 | 1 << 4

#: A record's fields with their bits: those of a `Retirement`, in its order, and what else RVFI has.
FIELDS = (
    *((name, 8 if name in _BYTES else 32) for name in Retirement._fields),
    ("order", 64),
    ("status", 8),
)
TRACE_FORMAT = BeatFormat(FIELDS)
RECORD = np.dtype([(name, f"<u{bits // 8}") for name, bits in FIELDS])


def read_records(payload: np.ndarray) -> np.ndarray:
    """RECORD[n] of what the tap hands over, uint8[n, bytes]."""
    return np.ascontiguousarray(payload).view(RECORD).reshape(-1)


def retirements(records: np.ndarray) -> list[tuple[int, ...]]:
    """RECORD[n] as the golden simulator says it: a tuple each, in the order of `Retirement`."""
    # Column by column: numpy makes tuples of a structured array slowly.
    return list(zip(*(records[name].tolist() for name in Retirement._fields), strict=True))
