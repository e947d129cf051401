"""The retirement trace as arrays: what controller_tb.sv packs into a record, in the names of riscv-formal's RVFI."""

from __future__ import annotations

import numpy as np

from tb.agents.beat_format import BeatFormat

__all__ = ["INTR", "RECORD", "TRACE_FORMAT", "TRAP", "read_records"]

_BYTES = ("hart", "flags", "rs1_addr", "rs2_addr", "rd_addr", "masks")
_WORDS = (
    *("insn", "rs1_rdata", "rs2_rdata", "rd_wdata", "pc_rdata", "pc_wdata"),
    *("mem_addr", "mem_rdata", "mem_wdata", "cause", "csr"),
)
#: Bits of ``flags``; mode is its bits 5:4, ixl 7:6. ``masks`` is rmask in its bits 3:0, wmask in 7:4.
TRAP, HALT, INTR, MODE, IXL = 0x01, 0x02, 0x04, 0x30, 0xC0

TRACE_FORMAT = BeatFormat(
    [*((name, 8) for name in _BYTES), *((name, 32) for name in _WORDS), ("order", 64)]
)
#: One record; ``cycle`` is the clock in which rvfi_valid was high, as the bench counts.
RECORD = np.dtype(
    [*((name, "u1") for name in _BYTES), *((name, "<u4") for name in _WORDS), ("order", "<u8")]
)


def read_records(payload: np.ndarray) -> np.ndarray:
    """RECORD[n] of what the tap hands over, uint8[n, bytes]."""
    return np.ascontiguousarray(payload).view(RECORD).reshape(-1)
