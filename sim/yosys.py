# SPDX-License-Identifier: Apache-2.0
"""Yosys on the RTL. It runs in a process of its own, as it writes to the standard output past Python and ends the
process where a command fails."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from assay.sim import ROOT
from assay.tb.errors import BuildFailed, MissingExtra

PYOSYS = "pyosys"

INCLUDE = ROOT / "rtl" / "common"
"""The folder of the RTL's includes."""

_RUN = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for line in sys.stdin:
    libyosys.run_pass(line.strip(), design)
"""


def missing_packages(modules: Iterable[str] = (), programs: Mapping[str, str] | None = None) -> list[str]:
    """The packages of the extra `formal` that are not installed: pyosys, and those of others.

    Args:
        modules: of Python, called as their packages.
        programs: their names -> their packages.
    """
    missing = [name for name in (*modules, PYOSYS) if importlib.util.find_spec(name) is None]
    return missing + [package for name, package in (programs or {}).items() if program(name) is None]


def check_installed(
    what: str, goal: str, modules: Iterable[str] = (), programs: Mapping[str, str] | None = None
) -> None:
    """Raise MissingExtra unless packages of the extra `formal` are there.

    Args:
        what: needs them, for the message: "proofs".
        goal: of make, which installs them: "prove".
        modules, programs: that it needs beside pyosys.
    """
    if missing := missing_packages(modules, programs):
        raise MissingExtra(
            f"{what} need packages that are missing: pip install {' '.join(missing)} (make {goal} installs them)"
        )


def version() -> str:
    """The version of pyosys, whose figures may differ from those of another one."""
    return importlib.metadata.version(PYOSYS)


def program(name: str) -> str | None:
    """A program: that of this interpreter's environment, else that of PATH."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def run_yosys(commands: Iterable[str], folder: Path, limit_s: float | None = None) -> None:
    """Run commands of yosys in a folder; what it prints is in ``yosys.log`` there.

    Args:
        limit_s: it is stopped after that.

    Raises:
        BuildFailed: a command failed, or the time was over; the text holds the errors.
    """
    with (folder / "yosys.log").open("w+", encoding="utf-8") as log:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _RUN],
                cwd=folder,
                input="".join(f"{command}\n" for command in commands),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired:
            raise BuildFailed(f"yosys did not end within {limit_s:g} s") from None
        log.seek(0)
        lines = log.read().splitlines()
    if done.returncode:
        errors = [line for line in lines if "error" in line.lower()] or lines[-5:]
        raise BuildFailed("yosys: " + "\n".join(errors))


def add_sources(sources: Iterable[Path], includes: Iterable[Path], folder: Path) -> None:
    """Link sources and folders of includes into a folder, as yosys takes no path with a space.

    Args:
        sources: their names are distinct.
        includes: folders, looked through in this order.
        folder: that of :func:`run_yosys`, with no sources yet.

    Raises:
        BuildFailed: two sources have one name.
    """
    for path in sources:
        link = folder / path.name
        if link.is_symlink():
            raise BuildFailed(f"yosys: {link.readlink()} and {path} have one name; rename one of them")
        link.symlink_to(path)
    for number, path in enumerate(includes):
        (folder / f"include{number}").symlink_to(path)


def read_command(sources: Iterable[Path], top: str, folder: Path, *options: str) -> str:
    """The command that reads the sources that :func:`add_sources` has linked, and elaborates a module."""
    includes = [f"-I {path.name}" for path in sorted(folder.glob("include[0-9]*"))]
    return " ".join(["read_slang", *options, *includes, "--top", top, *(path.name for path in sources)])
