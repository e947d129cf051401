# SPDX-License-Identifier: Apache-2.0
"""Whether a wave file is complete: a writer reports no full disk, and viewers show an incomplete file as it is."""

from __future__ import annotations

import os
import struct
from pathlib import Path

_HEADER, _GEOMETRY, _HIERARCHIES, _CHANGES = 0, 3, (4, 6, 7), (1, 5, 8)
"""Types of an FST file's blocks: "fst block types" in GTKWave's ``fstapi.h``."""


def damage(path: Path) -> str:
    """The damage of a wave file (VCD or FST), as the end of a sentence; empty for a complete file."""
    try:
        with path.open("rb") as file:
            first = file.read(1)
        if not first:
            return "is empty"
        return _fst(path) if first[0] == _HEADER else _vcd(path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _vcd(path: Path) -> str:
    with path.open("rb") as file:
        if b"$enddefinitions" not in file.read(1 << 24):
            return "ends within its header"
        file.seek(-1, os.SEEK_END)
        return "" if file.read(1) == b"\n" else "ends within a line"


def _fst(path: Path) -> str:
    """Blocks, each a type and its length in big-endian bytes that count themselves. The header and the blocks of value
    changes say from when to when they reach; what a writer makes last are geometry, hierarchy and the header's end."""
    size = path.stat().st_size
    seen: set[int] = set()
    end = reached = 0
    with path.open("rb") as file:
        position = 0
        while position < size:
            file.seek(position)
            block = file.read(25)
            if len(block) < 25:
                return "ends within a block"
            kind, (length,) = block[0], struct.unpack(">Q", block[1:9])
            if kind == _HEADER:
                (end,) = struct.unpack(">Q", block[17:25])
            elif kind in _CHANGES:
                (reached,) = struct.unpack(">Q", block[17:25])
            seen.add(kind)
            position += 1 + length
            if length < 8 or position > size:
                return "ends within a block"
    if _HEADER not in seen or _GEOMETRY not in seen or seen.isdisjoint(_HIERARCHIES):
        return "ends before its list of signals"
    if reached != end:
        return f"has changes up to {reached}, but should have them up to {end}"
    return ""
