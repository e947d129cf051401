# SPDX-License-Identifier: Apache-2.0
"""Writes an executable of two memories: ELF32 for RISC-V, as far as the controller's loader and binutils need it."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

__all__ = ["executable"]

_HEADER, _PROGRAM, _SECTION, _SYMBOL = "<16sHHIIIIIHHHHHH", "<IIIIIIII", "<IIIIIIIIII", "<IIIBBH"
_EXECUTABLE, _RISCV, _VERSION = 2, 243, 1
_LOAD, _READ, _WRITE, _EXECUTE = 1, 4, 2, 1
_PROGBITS, _SYMTAB, _STRTAB = 1, 2, 3  # section types
_ALLOCATED, _WRITABLE, _INSTRUCTIONS = 2, 1, 4  # section flags
_GLOBAL, _NOTYPE = 1 << 4, 0
_PAGE = 4


def executable(
    text: np.ndarray, data: np.ndarray, bases: tuple[int, int], symbols: Mapping[str, int], entry: int
) -> bytes:
    """The file's content.

    Args:
        text, data: uint32 words of the two segments.
        bases: their addresses.
        symbols: name to address; those from the data's base on belong to it.
        entry: where execution begins.
    """
    contents = [np.asarray(words).astype("<u4").tobytes() for words in (text, data)]
    names = ["", ".text", ".data", ".symtab", ".strtab", ".shstrtab"]
    section_names, section_offsets = _strings(names)
    symbol_names, symbol_offsets = _strings(["", *symbols])
    table = [struct.pack(_SYMBOL, 0, 0, 0, 0, 0, 0)]
    for (_, address), name in zip(symbols.items(), symbol_offsets[1:], strict=True):
        section = 2 if address >= bases[1] else 1
        table.append(struct.pack(_SYMBOL, name, address, 0, _GLOBAL | _NOTYPE, 0, section))
    parts = [*contents, b"".join(table), symbol_names, section_names]

    header_size, program_size, section_size = map(struct.calcsize, (_HEADER, _PROGRAM, _SECTION))
    offset = header_size + 2 * program_size
    offsets = []
    for part in parts:
        offset += -offset % _PAGE
        offsets.append(offset)
        offset += len(part)
    sections_at = offset + -offset % _PAGE

    header = struct.pack(
        _HEADER,
        b"\x7fELF\x01\x01\x01" + bytes(9),  # 32 bits, little-endian
        _EXECUTABLE,
        _RISCV,
        _VERSION,
        entry,
        header_size,
        sections_at,
        0,  # no flags: RV32I, soft-float ABI
        header_size,
        program_size,
        2,
        section_size,
        len(names),
        len(names) - 1,
    )
    programs = [
        struct.pack(_PROGRAM, _LOAD, at, base, base, len(part), len(part), flags, _PAGE)
        for at, base, part, flags in zip(
            offsets, bases, contents, (_READ | _EXECUTE, _READ | _WRITE), strict=False
        )
    ]
    kinds = [
        (_PROGBITS, _ALLOCATED | _INSTRUCTIONS, bases[0], 0, 0, 4, 0),
        (_PROGBITS, _ALLOCATED | _WRITABLE, bases[1], 0, 0, 4, 0),
        (_SYMTAB, 0, 0, 4, 1, 4, struct.calcsize(_SYMBOL)),  # names in section 4, globals from symbol 1 on
        (_STRTAB, 0, 0, 0, 0, 1, 0),
        (_STRTAB, 0, 0, 0, 0, 1, 0),
    ]
    sections = [bytes(section_size)]
    for name, (kind, flags, address, link, info, align, entry_size), at, part in zip(
        section_offsets[1:], kinds, offsets, parts, strict=True
    ):
        sections.append(
            struct.pack(_SECTION, name, kind, flags, address, at, len(part), link, info, align, entry_size)
        )
    content = bytearray(header + b"".join(programs))
    for at, part in zip([*offsets, sections_at], [*parts, b"".join(sections)], strict=True):
        content += bytes(at - len(content)) + part
    return bytes(content)


def _strings(names: list[str]) -> tuple[bytes, list[int]]:
    """A string table, and where each name begins in it."""
    table, offsets = bytearray(), []
    for name in names:
        offsets.append(len(table))
        table += name.encode() + b"\0"
    return bytes(table), offsets
