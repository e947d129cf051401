# SPDX-License-Identifier: Apache-2.0
"""Programs from ELF files: read with pyelftools, checked against the memories before anything is simulated."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from assay.golden import user_files
from assay.golden.controller.memory_map import IMEM_BASE, Region, region
from assay.golden.controller.parameters import MAX_WORDS, ControllerParameters
from assay.golden.errors import DoesNotFitError, GoldenError, ModelFormatError

__all__ = ["Program", "check", "load_as_asked", "load_elf"]

#: Bits of e_flags that ask for what the controller does not have (RISC-V ELF psABI, chapter "File header").
_RVC, _FLOAT_ABI, _RVE = 0x1, 0x6, 0x8
#: Bytes of a file: what a toolchain writes for memories of 512 KB, with all that a debugger wants to know.
_LARGEST_FILE = 1 << 30
_FLOATS = {0x2: "single", 0x4: "double", 0x6: "quad"}


@dataclass(frozen=True)
class Program:
    """What goes into the memories, and where to start.

    Attributes:
        name: for messages.
        entry: byte address of the first instruction.
        segments: (byte address, bytes) in file order; both ends are multiples of 4 bytes.
        symbols: name to address.
        tohost: address whose odd value ends the program; None if it has none.
    """

    name: str
    entry: int
    segments: tuple[tuple[int, bytes], ...]
    symbols: dict[str, int] = field(default_factory=dict)
    tohost: int | None = None

    def image(self, params: ControllerParameters) -> np.ndarray:
        """Both memories, uint32[imem_words + dmem_words], zeros where the program has nothing."""
        image = np.zeros(params.imem_words + params.dmem_words, "<u4")
        for address, content in self.segments:
            first = (address - IMEM_BASE) // 4
            image[first : first + len(content) // 4] = np.frombuffer(content, "<u4")
        return image


def load_elf(
    path: Path, params: ControllerParameters, tohost: int | None = None, force: bool = False
) -> Program:
    """Read an executable for the controller.

    Args:
        path: the ELF file.
        params: of the build, for the memories.
        tohost: address of `tohost`; None: that of the symbol, of a stripped file that of the section ``.tohost``.
        force: load it even if its e_flags ask for what the controller does not have.

    Raises:
        ModelFormatError: not readable, no ELF, of another architecture or class, not executable, damaged, with
            extensions that the controller does not have.
        DoesNotFitError: a segment, the entry or `tohost` is outside the memories.
    """
    try:
        with user_files.opened(path, _LARGEST_FILE) as (file, size):
            magic = file.read(4)
            if magic != b"\x7fELF":
                raise ModelFormatError(
                    f"{path} is no ELF file: it starts with {magic.hex(' ') or 'nothing'}, an ELF file with 7f 45 4c 46"
                )
            file.seek(0)
            return _read(path, file, size, params, tohost, force)
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror or error}") from None
    except GoldenError as error:
        raise (
            error if isinstance(error, (ModelFormatError, DoesNotFitError)) else ModelFormatError(str(error))
        ) from None
    except (
        ELFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        AssertionError,
        MemoryError,
        RecursionError,
        struct.error,
    ) as e:
        # pyelftools meets damaged tables with whatever the first bad number causes.
        raise ModelFormatError(f"{path} is a damaged ELF file: {e or type(e).__name__}") from None


def load_as_asked(path: str, params: ControllerParameters, settings: Mapping[str, str]) -> Program:
    """`load_elf` with what make's variables TOHOST and FORCE say, which `settings` holds as text."""
    tohost = int(settings["TOHOST"], 0) if "TOHOST" in settings else None
    return load_elf(Path(path), params, tohost, "FORCE" in settings)


def check(path: str, parameters: Mapping[str, int], settings: Mapping[str, str]) -> None:
    """Refuse a program that a build with these HDL parameters cannot run; raises as `load_elf`."""
    load_as_asked(path, ControllerParameters.of_rtl(parameters), settings)


def _read(
    path: Path, file: object, size: int, params: ControllerParameters, tohost: int | None, force: bool
) -> Program:
    elf = ELFFile(file)
    machine = elf["e_machine"]
    if machine != "EM_RISCV":
        raise ModelFormatError(f"{path} is for {machine}, the controller runs EM_RISCV (RISC-V, 243)")
    if elf.elfclass != 32:
        raise ModelFormatError(f"{path} is for RV{elf.elfclass}, the controller runs RV32 (ELF class 32)")
    if not elf.little_endian:
        raise ModelFormatError(f"{path} is big-endian, the controller is little-endian")
    if elf["e_type"] != "ET_EXEC":
        raise ModelFormatError(
            f"{path} is of type {elf['e_type']}, needed is ET_EXEC: a program linked to its addresses "
            "(link with -static and without -pie)"
        )
    _check_tables(path, elf, size)
    if not force:
        _check_flags(path, elf["e_flags"])
    segments = []
    needed = _end_of_segments(elf)
    for index, segment in enumerate(elf.iter_segments()):
        if segment["p_type"] != "PT_LOAD" or not segment["p_memsz"]:
            continue
        start, in_file, length = segment["p_paddr"], segment["p_filesz"], segment["p_memsz"]
        place = f"segment {index} of {path}, 0x{start:08x} to 0x{start + length - 1:08x},"
        # Sizes first: nothing is allocated for a number that a damaged header claims.
        _check_place(place, start, length, needed, params)
        if in_file > length or segment["p_offset"] + in_file > size:
            raise ModelFormatError(
                f"{place} holds {in_file} bytes in the file, which has {size}: the file is cut off"
            )
        content = bytearray(segment.data())
        content.extend(bytes(length - in_file))
        before = start % 4
        padded = bytes(before) + bytes(content)
        segments.append((start - before, padded + bytes(-len(padded) % 4)))
    if not segments:
        raise ModelFormatError(f"{path} has nothing to load: no segment of type PT_LOAD")
    entry = elf["e_entry"]
    if entry % 4 or not IMEM_BASE <= entry < IMEM_BASE + 4 * params.imem_words:
        raise DoesNotFitError(
            f"{path} starts at 0x{entry:08x}: must be a multiple of 4 in the instruction memory, "
            f"0x{IMEM_BASE:08x} to 0x{IMEM_BASE + 4 * params.imem_words - 1:08x}"
        )
    symbols = _symbols(elf)
    if tohost is None:
        tohost = symbols.get("tohost", _section(elf, ".tohost"))
    if tohost is not None and (tohost % 4 or region(tohost, params) not in (Region.IMEM, Region.DMEM)):
        raise DoesNotFitError(
            f"{path} has tohost at 0x{tohost:08x}: must be a multiple of 4 in the memories, 0x{IMEM_BASE:08x} to "
            f"0x{IMEM_BASE + 4 * (params.imem_words + params.dmem_words) - 1:08x}"
        )
    return Program(path.name, entry, _merge(segments), symbols, tohost)


def _check_tables(path: Path, elf: ELFFile, size: int) -> None:
    """Refuse tables that are longer than the file: pyelftools would walk through all that a damaged header claims."""
    header = elf.header
    for what, first, each, width, count in (
        ("segments", header["e_phoff"], header["e_phentsize"], 32, elf.num_segments),
        ("sections", header["e_shoff"], header["e_shentsize"], 40, elf.num_sections),
    ):
        number = count()
        if number and (each != width or first + number * width > size):
            raise ModelFormatError(
                f"{path} is a damaged ELF file: {number} {what} of {each} bytes each at byte {first}, but the file has "
                f"{size} bytes and each takes {width}"
            )
    for section in elf.iter_sections():
        if isinstance(section, SymbolTableSection) and (
            section["sh_entsize"] != 16 or section["sh_offset"] + section["sh_size"] > size
        ):
            raise ModelFormatError(
                f"{path} is a damaged ELF file: a symbol table of {section['sh_size']} bytes at byte "
                f"{section['sh_offset']}, entries of {section['sh_entsize']}, but the file has {size} and each takes 16"
            )


def _end_of_segments(elf: ELFFile) -> int:
    """The address behind the last byte to load."""
    loaded = (s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_memsz"])
    return max((s["p_paddr"] + s["p_memsz"] for s in loaded), default=0)


def _section(elf: ELFFile, name: str) -> int | None:
    section = elf.get_section_by_name(name)
    return None if section is None else section["sh_addr"]


def _check_flags(path: Path, flags: int) -> None:
    wanted = []
    if flags & _RVC:
        wanted.append("compressed instructions (RVC)")
    if flags & _FLOAT_ABI:
        wanted.append(f"{_FLOATS[flags & _FLOAT_ABI]}-precision float registers")
    if flags & _RVE:
        wanted.append("the 16-register ABI (RVE)")
    if wanted:
        raise ModelFormatError(
            f"{path} needs {' and '.join(wanted)} (e_flags 0x{flags:x}), which the controller does not have; "
            "build for rv32i_zicsr_zifencei with ABI ilp32, or run it all the same with FORCE=1: "
            "what the controller does not have then is an illegal instruction"
        )


def _check_place(place: str, start: int, length: int, needed: int, params: ControllerParameters) -> None:
    """Refuse a segment outside the memories; say with which parameters all up to `needed` were inside."""
    total = 4 * (params.imem_words + params.dmem_words)
    first, end = IMEM_BASE, IMEM_BASE + total
    if first <= start and start + length <= end:
        return
    text = (
        f"has {length:,} bytes: more than the memories' {total:,}"
        if length > total
        else f"is outside the memories, 0x{first:08x} to 0x{end - 1:08x}"
    )
    raise DoesNotFitError(
        f"{place} {text} (ImemWords={params.imem_words}, DmemWords={params.dmem_words}){_remedy(start, needed, params)}"
    )


def _remedy(start: int, needed: int, params: ControllerParameters) -> str:
    """How a program up to `needed` can be made to fit: more instruction memory, then more data memory."""
    if start < IMEM_BASE:
        return f"; link it for 0x{IMEM_BASE:08x}"
    words = params.imem_words
    while words < MAX_WORDS and IMEM_BASE + 4 * (words + params.dmem_words) < needed:
        words *= 2
    data = params.dmem_words
    while data < MAX_WORDS and IMEM_BASE + 4 * (words + data) < needed:
        data *= 2
    if IMEM_BASE + 4 * (words + data) < needed:
        return f"; the largest build has {8 * MAX_WORDS:,} bytes: ImemWords={MAX_WORDS} DmemWords={MAX_WORDS}"
    more = f" DmemWords={data}" if data > params.dmem_words else ""
    return f'; it fits with PARAMS="ImemWords={words}{more}"'


def _merge(segments: list[tuple[int, bytes]]) -> tuple[tuple[int, bytes], ...]:
    """Segments that share a word (they are padded to words) become one."""
    merged: list[tuple[int, bytearray]] = []
    for start, content in sorted(segments):
        if merged and start < merged[-1][0] + len(merged[-1][1]):
            before, held = merged[-1]
            offset = start - before
            overlap = bytes(a | b for a, b in zip(held[offset:], content, strict=False))
            held[offset : offset + len(overlap)] = overlap
            held.extend(content[len(overlap) :])
        else:
            merged.append((start, bytearray(content)))
    return tuple((start, bytes(content)) for start, content in merged)


def _symbols(elf: ELFFile) -> dict[str, int]:
    symbols: dict[str, int] = {}
    for section in elf.iter_sections():
        if isinstance(section, SymbolTableSection):
            for symbol in section.iter_symbols():
                if symbol.name and symbol["st_info"]["type"] not in ("STT_FILE", "STT_SECTION"):
                    symbols.setdefault(symbol.name, symbol["st_value"])
    return symbols
