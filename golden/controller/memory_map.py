# SPDX-License-Identifier: Apache-2.0
"""Addresses of the controller: what lies where for harts, and the host's own registers. See docs/controller.md."""

from __future__ import annotations

from enum import Enum

from assay.golden.controller.parameters import MAX_HARTS, ControllerParameters
from assay.golden.registers import Field, Register

IMEM_BASE = 0x8000_0000  #: instruction memory; the data memory lies directly behind it
MSIP_BASE = 0x0200_0000  #: + 4 * hart
MTIMECMP_BASE = 0x0200_4000  #: + 8 * hart, low and high word
MTIME_BASE = 0x0200_BFF8  #: low and high word
MVU_BASE = 0x4000_0000  #: + 0x400 * MVU + 4 * register
HOST_BASE = 0x0100_0000  #: the host port's own registers
RESET_PC = IMEM_BASE

MVUS = 16  #: MVUs that the window has room for
MVU_REGISTERS = 256  #: registers of each
MVU_STRIDE = 4 * MVU_REGISTERS  #: bytes from one MVU to the next


class Region(Enum):
    """What an address belongs to."""

    NONE = "nothing"
    IMEM = "instruction memory"
    DMEM = "data memory"
    MSIP = "msip"
    MTIMECMP = "mtimecmp"
    MTIME = "mtime"
    MVU = "MVU registers"


def region(address: int, parameters: ControllerParameters) -> Region:
    """The region in which the byte at `address` lies."""
    harts, offset = parameters.harts, address - IMEM_BASE
    if 0 <= offset < 4 * parameters.imem_words:
        return Region.IMEM
    if 0 <= offset < 4 * (parameters.imem_words + parameters.dmem_words):
        return Region.DMEM
    for name, base, size in (
        (Region.MSIP, MSIP_BASE, 4 * harts),
        (Region.MTIMECMP, MTIMECMP_BASE, 8 * harts),
        (Region.MTIME, MTIME_BASE, 8),
        (Region.MVU, MVU_BASE, MVU_STRIDE * MVUS),
    ):
        if base <= address < base + size:
            return name
    return Region.NONE


#: Registers of the host port, as byte offsets from `HOST_BASE`.
HOST_REGISTERS = (
    Register(
        "hold",
        0x0,
        (
            Field(
                "value",
                MAX_HARTS - 1,
                0,
                "bit h: hart h does not issue; resets to ones. Bits of harts that are not there read 0",
            ),
        ),
        "",
    ),
    Register("harts", 0x4, (Field("value", 31, 0, "number of harts", "ro"),), ""),
    Register(
        "retired", 0x8, (Field("value", 31, 0, "retired instructions of all harts, low word", "ro"),), ""
    ),
    Register("clocks", 0xC, (Field("value", 31, 0, "clocks since reset, low word", "ro"),), ""),
    Register(
        "pc",
        0x10,
        (Field("value", 31, 0, "+ 4h: write: pc of held hart h, whose state goes to reset; read: its pc"),),
        "",
    ),
)
