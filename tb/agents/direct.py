# SPDX-License-Identifier: Apache-2.0
"""The design's published variables as memory: bursts move without VPI, which takes a character for each bit.

Only Assay's main program of a simulation in Verilator (sim/hdl/verilator_main.cpp) offers it. In every other
simulator, and where ASSAY_PORTABLE=1 is set, `memory_of` gives None, and the agents go through VPI: the same words in
the same clocks.
"""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["PORTABLE", "Feeder", "counts_code", "memory_at", "memory_of", "number_at", "write_code_coverage"]

PORTABLE = "ASSAY_PORTABLE"  #: environment variable: 1: through VPI, as in any other simulator


@functools.cache
def _program() -> Any:
    """The simulator's program with its functions; None: it is not Assay's."""
    if os.environ.get(PORTABLE, "0") != "0":
        return None
    program = ctypes.CDLL(None)
    if not hasattr(program, "assay_variable"):
        return None
    name, number = ctypes.c_char_p, ctypes.c_uint64
    program.assay_variable.restype = ctypes.c_void_p
    program.assay_variable.argtypes = (name, ctypes.POINTER(number))
    program.assay_feeder.argtypes = (name, name, name)
    program.assay_feed.argtypes = (ctypes.c_int, ctypes.c_void_p, number, number, number, number)
    return program


def memory_of(handle: Any) -> np.ndarray | None:
    """The memory of a signal of the design: its bits from the lowest on, uint8[bytes], which is more than it needs
    where its width is no multiple of the simulator's words.

    What is read is the value of this moment. What is written is there at once, in no time step's order, and wakes
    nobody: it serves for signals that the design looks at only at a clock edge after another signal has said so.

    Args:
        handle: cocotb's, of a signal published to VPI.

    Returns:
        None where the simulator does not offer it.
    """
    return memory_at(handle._path)


def memory_at(path: str) -> np.ndarray | None:
    """As `memory_of`, of a signal by its path from the top on, which may lead into instances."""
    program = _program()
    if program is None:
        return None
    size = ctypes.c_uint64()
    address = program.assay_variable(path.encode(), ctypes.byref(size))
    if not address:
        return None
    return np.ctypeslib.as_array((ctypes.c_uint8 * size.value).from_address(address))


def counts_code() -> bool:
    """Whether the simulator counts what of the design is executed (a build with COVERAGE=1)."""
    return hasattr(ctypes.CDLL(None), "assay_coverage")


def write_code_coverage(path: Path) -> None:
    """Write what was executed since the last call, or since the start, and count from 0 again. The file is there as a
    whole or not at all."""
    partial = path.with_name(f".{path.name}")
    ctypes.CDLL(None).assay_coverage(os.fsencode(partial))
    os.replace(partial, path)


def number_at(memory: np.ndarray) -> Any:
    """The signal of `memory_of`, of at most 64 bits, as a ctypes integer: ``.value`` reads it."""
    kinds = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}
    return kinds[memory.nbytes].from_address(memory.ctypes.data)


class Feeder:
    """Plays bursts of a ``burst_source``, each as soon as the one before it is taken, without a wake of Python.

    Args:
        ready, data, count: cocotb's handles of ``burst_ready_o``, ``burst_data_i`` and ``burst_count_i``.
    """

    def __init__(self, ready: Any, data: Any, count: Any) -> None:
        self._program = _program()
        self._number = self._program.assay_feeder(*(handle._path.encode() for handle in (ready, data, count)))
        if self._number < 0:
            raise ValueError(f"{data._path} and its handshake are not published variables")
        self._bursts: np.ndarray | None = None

    def play(self, bursts: np.ndarray, beats: int, last: int) -> None:
        """Let bursts uint8[n, bytes] follow the one that stands at the adapter now. The next fall of ``ready`` that an
        agent sees says that the last of them is taken.

        Args:
            beats: of each burst.
            last: of the last one.
        """
        self._bursts = np.ascontiguousarray(bursts)  # kept until they are played
        self._program.assay_feed(self._number, self._bursts.ctypes.data, *self._bursts.shape, beats, last)

    def stop(self) -> None:
        """Drop what is left."""
        self._program.assay_feed(self._number, None, 0, 0, 0, 0)
        self._bursts = None
