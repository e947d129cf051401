# SPDX-License-Identifier: Apache-2.0
"""The installed library: what a wheel holds, and a repository of a user's own that has nothing but it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from assay.sim import ROOT
from assay.sim.options import VARIABLES

EXAMPLE = ROOT / "docs" / "example" / "own_rtl"


@pytest.fixture
def wheel(checkout: Path, tmp_path: Path) -> Path:
    """A wheel of a copy of the checkout."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(tmp_path),
        ".",
    ]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = tmp_path.glob("assay-*.whl")
    return made


def installed(wheel: Path, folder: Path) -> Path:
    """An environment that has the wheel, and of everything else what this one has; gives its ``bin``."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (packages,) = (folder / "lib").glob("python*/site-packages")
    # A folder that a .pth file names is on the path, but its own .pth files are not read: an editable Assay's neither.
    (packages / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    for line in Path(sysconfig.get_path("purelib")).glob("*.pth"):
        if not line.name.startswith(("__editable__", "distutils")):
            shutil.copy2(line, packages / line.name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    ]
    done = subprocess.run([*command, "--ignore-installed", str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python.parent


def test_a_wheel_holds_all_that_runs_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"assay"}
    assert not [name for name in names if "tests" in name.split("/")]
    held = {name.removeprefix("assay/") for name in names}
    listed = subprocess.run(
        ["git", "ls-files", "golden", "rtl", "sim", "tb", "vectors"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\n")
    wanted = {name for name in listed if name and "tests" not in name.split("/")}
    assert wanted - held == set()
    assert {"golden/py.typed", "tb/py.typed"} <= held


@pytest.mark.simulation
def test_a_repository_of_its_own(wheel: Path, tmp_path: Path) -> None:
    """The example, in a folder that knows nothing of the checkout: its tests pass, and a planted bug is found."""
    programs = installed(wheel, tmp_path / "environment")
    library = next((programs.parent / "lib").glob("python*/site-packages")) / "assay"
    repository = tmp_path / "their repository"
    shutil.copytree(EXAMPLE, repository)
    shutil.rmtree(repository / "assay_out", ignore_errors=True)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ASSAY", "COCOTB", "MAKE", "PYTEST", "PYTHON", "VIRTUAL_ENV"))
        and name not in VARIABLES
    }
    environment |= {
        "PATH": os.pathsep.join([str(programs), environment["PATH"]]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(*words: str, status: int = 0) -> str:
        done = subprocess.run(words, cwd=repository, env=environment, capture_output=True, text=True)
        assert done.returncode == status, f"{words}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    before = {path for path in library.rglob("*") if "__pycache__" not in path.parts}
    assert run("python", "-c", "from assay import sim; print(sim.ROOT)").strip() == str(library)
    assert run("assay", "list").startswith("requant_relu: int8 requantiser with ReLU\n")
    assert " passed" in run("python", "-m", "pytest", "-q")
    source = repository / "rtl" / "requant_relu.sv"
    text = source.read_text(encoding="utf-8")
    assert text.count("|scaled[Width-2:7]") == 1
    source.write_text(text.replace("|scaled[Width-2:7]", "|scaled[Width-2:8]"), encoding="utf-8")
    found = run("assay", "run", "--top", "requant_relu", "--seed", "1", status=1)
    assert "instead of 127 (0x7f)" in found
    assert {path.name for path in repository.iterdir()} >= {"assay_out"}
    assert {path for path in library.rglob("*") if "__pycache__" not in path.parts} == before
