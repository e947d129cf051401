"""Programs from ELF files: read with pyelftools, checked against the memories before anything is simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from golden.controller.memory_map import IMEM_BASE
from golden.controller.parameters import ControllerParameters
from golden.errors import DoesNotFitError, ModelFormatError

__all__ = ["Program", "check", "load_elf"]

#: Bits of e_flags that ask for what the controller does not have (RISC-V ELF psABI, chapter "File header").
_RVC, _FLOAT_ABI, _RVE = 0x1, 0x6, 0x8
_FLOATS = {0x2: "single", 0x4: "double", 0x6: "quad"}


@dataclass(frozen=True)
class Program:
    """What goes into the memories, and where to start.

    Attributes:
        name: for messages.
        entry: byte address of the first instruction.
        segments: (byte address, bytes) in file order; both ends are multiples of 4 bytes.
        symbols: name to address.
    """

    name: str
    entry: int
    segments: tuple[tuple[int, bytes], ...]
    symbols: dict[str, int] = field(default_factory=dict)

    @property
    def tohost(self) -> int | None:
        """Address whose odd value ends the program; None if it has none."""
        return self.symbols.get("tohost")

    def image(self, params: ControllerParameters) -> np.ndarray:
        """Both memories, uint32[imem_words + dmem_words], zeros where the program has nothing."""
        image = np.zeros(params.imem_words + params.dmem_words, "<u4")
        for address, content in self.segments:
            first = (address - IMEM_BASE) // 4
            image[first : first + len(content) // 4] = np.frombuffer(content, "<u4")
        return image


def load_elf(path: Path, params: ControllerParameters) -> Program:
    """Read an executable for the controller.

    Raises:
        ModelFormatError: not readable, no ELF, of another architecture or class, not executable, damaged, with
            extensions that the controller does not have.
        DoesNotFitError: a segment or the entry is outside the memories.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            magic = file.read(4)
            if magic != b"\x7fELF":
                raise ModelFormatError(
                    f"{path} is no ELF file: it starts with {magic.hex(' ') or 'nothing'}, an ELF file with 7f 45 4c 46"
                )
            file.seek(0)
            return _read(path, file, size, params)
    except OSError as error:
        raise ModelFormatError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ModelFormatError, DoesNotFitError):
        raise
    except (
        ELFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        AssertionError,
    ) as e:
        # pyelftools meets damaged tables with whatever the first bad number causes.
        raise ModelFormatError(f"{path} is a damaged ELF file: {e or type(e).__name__}") from None


def check(path: str, parameters: Mapping[str, int]) -> None:
    """Refuse a program that a build with these HDL parameters cannot run; raises as `load_elf`."""
    load_elf(Path(path), ControllerParameters.of_rtl(parameters))


def _read(path: Path, file: object, size: int, params: ControllerParameters) -> Program:
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
    _check_flags(path, elf["e_flags"])
    segments = []
    for index, segment in enumerate(elf.iter_segments()):
        if segment["p_type"] != "PT_LOAD" or not segment["p_memsz"]:
            continue
        start, in_file, length = segment["p_paddr"], segment["p_filesz"], segment["p_memsz"]
        place = f"segment {index} of {path}, 0x{start:08x} to 0x{start + length - 1:08x},"
        # Sizes first: nothing is allocated for a number that a damaged header claims.
        _check_place(place, start, length, params)
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
    return Program(path.name, entry, _merge(segments), _symbols(elf))


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
            "build for rv32i_zicsr_zifencei with ABI ilp32"
        )


def _check_place(place: str, start: int, length: int, params: ControllerParameters) -> None:
    total = 4 * (params.imem_words + params.dmem_words)
    first, end = IMEM_BASE, IMEM_BASE + total
    if length > total:
        raise DoesNotFitError(f"{place} has {length:,} bytes: more than the memories' {total:,}")
    if start < first or start + length > end:
        raise DoesNotFitError(
            f"{place} is outside the memories, 0x{first:08x} to 0x{end - 1:08x} "
            f"(ImemWords={params.imem_words}, DmemWords={params.dmem_words})"
        )


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
