# SPDX-License-Identifier: Apache-2.0
"""A record of the words that cross ports which Python drives clock by clock, as `hdl/port_record.svh` has it for the
adapters of bursts: ``<port>.words`` in the run's folder, for each word a line with the time in ns and its digits.

Only a run with ``WORDS=1`` leaves it; the others pay nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

from cocotb.utils import get_sim_time

__all__ = ["RECORDING", "SUFFIX", "PortRecord"]

RECORDING = bool(os.environ.get("ASSAY_WORDS"))  #: whether this run records
SUFFIX = ".words"


class PortRecord:
    """The words of one port.

    Args:
        name: of the port.
        width: of a word in bits.
    """

    def __init__(self, name: str, width: int) -> None:
        self._digits = (width + 3) // 4
        folder = Path(os.environ.get("ASSAY_RUN_DIR", ""))
        # Several tests of a run have the port in turn. A line is out when the next begins: nobody closes the file.
        self._file = (folder / f"{name}{SUFFIX}").open("a", encoding="ascii", buffering=1)

    def write(self, word: int, unknown: int = 0) -> None:
        """The word has passed; `unknown` has its bits that are X or Z, of which `word` has zeros."""
        digits = f"{word:0{self._digits}x}"
        if unknown:
            strange = f"{unknown:0{self._digits}x}"
            digits = "".join("x" if s != "0" else d for s, d in zip(strange, digits, strict=True))
        self._file.write(f"{round(get_sim_time('ns'))} {digits}\n")
