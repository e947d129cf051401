# SPDX-License-Identifier: Apache-2.0
"""Builds the programs beside it, assembly and C, with the clang inside PyPI's ziglang or a RISC-V gcc on PATH.

Products are kept among the builds, by the content of everything that went in.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from assay.golden.controller import memory_map
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError, GoldenError
from assay.tb.controller.elf import Program, load_elf
from assay.tb.report import RUN_DIR

__all__ = ["SOURCES", "ToolchainError", "build", "build_program", "missing", "programs"]

SOURCES = Path(__file__).parent / "programs"
STACK_BYTES = 256  #: of each hart

_ZIG_INSTALL = "pip install 'assay[firmware]' (or: pip install ziglang)"
_GCC = ("riscv64-unknown-elf-gcc", "riscv32-unknown-elf-gcc")
_FLAGS = (
    *("-nostdlib", "-static", "-ffreestanding", "-fno-pic", "-O2", "-g0", "-Wall", "-Werror"),
    *("-fno-asynchronous-unwind-tables", "-fno-builtin", "-ffunction-sections"),
)


class ToolchainError(GoldenError):
    """There is no compiler for RISC-V, or a program does not compile."""


@functools.cache
def _compiler(mul_div: int) -> tuple[str, ...]:
    """The command that compiles and links for RV32I, or for RV32IM."""
    if importlib.util.find_spec("ziglang") is not None:
        return (
            *(sys.executable, "-m", "ziglang", "cc", "-target", "riscv32-freestanding-none"),
            f"-mcpu=generic_rv32-c-a-f-d{'+m' if mul_div else '-m'}+zicsr+zifencei",
            "-fno-sanitize=all",
        )
    for name in _GCC:
        if (path := shutil.which(name)) is not None:
            return (
                path,
                f"-march=rv32i{'m' * mul_div}_zicsr_zifencei",
                "-mabi=ilp32",
                "-Wl,--no-warn-rwx-segments",
            )
    raise ToolchainError(
        f"no compiler for RISC-V was found: neither the Python package ziglang nor {' nor '.join(_GCC)} on PATH; "
        f"install one with: {_ZIG_INSTALL}"
    )


def missing() -> str:
    """What is missing to build programs, as a sentence with the command that installs it; empty if nothing is."""
    try:
        _compiler(0)
    except ToolchainError as error:
        return str(error)
    return ""


def _cache() -> Path:
    """A folder that outlasts runs: beside the folder that holds the run's, or outside a run a temporary one."""
    run = os.environ.get(RUN_DIR)
    return (
        Path(run).parents[1] / "build" / "programs"
        if run
        else Path(tempfile.gettempdir()) / f"assay-programs-{os.getuid()}"
    )


def programs() -> tuple[str, ...]:
    """Names of the programs: every C file, every assembly file but the start-up code, every folder."""
    files = [
        *SOURCES.glob("*.c"),
        *SOURCES.glob("*.S"),
        *(path for path in SOURCES.iterdir() if path.is_dir()),
    ]
    return tuple(sorted(path.stem for path in files if path.name != "start.S"))


def build_program(name: str, params: ControllerParameters) -> Program:
    """The program called `name`, built for these parameters.

    One in a folder of its own has its own linker script there, and no start-up code.

    Raises:
        ConfigurationError: there is no such program.
        ToolchainError: no compiler, or it refuses the source.
        DoesNotFitError: the memories are too small for it.
    """
    for suffix in (".c", ".S"):
        source = SOURCES / f"{name}{suffix}"
        if source.is_file() and name != "start":
            return load_elf(build([SOURCES / "start.S", source], params), params)
    source = SOURCES / name / f"{name}.S"
    if source.is_file():
        return load_elf(build([source], params, source.with_name("link.ld")), params)
    raise ConfigurationError(f"program {name!r}: there are {', '.join(programs())}")


def build(sources: list[Path], params: ControllerParameters, script: Path = SOURCES / "link.ld") -> Path:
    """Compile and link sources, the start-up code among them; gives the ELF file, from the cache where it is there."""
    command = _compiler(params.mul_div)
    generated = {"controller.h": _header(params), "memory.ld": _memory(params)}
    parts = [*command, *_FLAGS, *generated.values()]
    parts += [f"{path.name}\n{path.read_text()}" for path in (*sources, script, *sorted(SOURCES.glob("*.h")))]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    cache = _cache()
    product = cache / f"{sources[-1].stem}-{key}.elf"
    if product.is_file():
        return product
    cache.mkdir(parents=True, exist_ok=True)
    # A folder of its own: several processes may build the same program at a time, the last one's rename wins.
    with tempfile.TemporaryDirectory(dir=cache, prefix=".build-") as folder:
        for name, text in generated.items():
            (Path(folder) / name).write_text(text)
        words = [*command, *_FLAGS, f"-I{SOURCES}", "-I.", "-L.", "-T", str(script)]
        words += [*map(str, sources), "-o", "program.elf"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        if done.returncode != 0:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
            raise ToolchainError(f"{sources[-1].name} does not compile: {first}")
        os.replace(Path(folder) / "program.elf", product)
    return product


def _header(params: ControllerParameters) -> str:
    """``controller.h``: the memory map, as in golden/controller/parameters.py."""
    numbers = {
        "HARTS": params.harts,
        "IMEM_BASE": memory_map.IMEM_BASE,
        "IMEM_BYTES": 4 * params.imem_words,
        "DMEM_BASE": memory_map.IMEM_BASE + 4 * params.imem_words,
        "DMEM_BYTES": 4 * params.dmem_words,
        "MSIP_BASE": memory_map.MSIP_BASE,
        "MTIMECMP_BASE": memory_map.MTIMECMP_BASE,
        "MTIME": memory_map.MTIME_BASE,
        "MVU_BASE": memory_map.MVU_BASE,
        "MVU_STRIDE": memory_map.MVU_STRIDE,
        "MISA": 0x4000_0100 | params.mul_div << 12,
        "STACK_BYTES": STACK_BYTES,
    }
    lines = [f"#define {name} 0x{value:x}" for name, value in numbers.items()]
    return "\n".join(
        ["// Generated by tb/controller/toolchain.py", *lines, *["#define MULDIV"] * params.mul_div, ""]
    )


def _memory(params: ControllerParameters) -> str:
    """``memory.ld``: the memories without the stacks at the end."""
    base, size = memory_map.IMEM_BASE, 4 * params.imem_words
    return (
        "MEMORY\n{\n"
        f"  imem (rwx) : ORIGIN = 0x{base:x}, LENGTH = 0x{size:x}\n"
        f"  dmem (rw)  : ORIGIN = 0x{base + size:x}, LENGTH = 0x{4 * params.dmem_words:x}\n"
        "}\n"
    )
