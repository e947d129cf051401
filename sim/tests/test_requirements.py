# SPDX-License-Identifier: Apache-2.0
"""An interpreter without the packages, or with others, is told in one message; no traceback."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from assay.sim import ROOT, requirements
from assay.sim.requirements import problem

DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
INSTALLED = {
    word.partition("==")[0]: importlib.metadata.version(word.partition("==")[0])
    for word in DEPENDENCIES
    if ";" not in word
}


def test_this_interpreter_will_do() -> None:
    assert problem(DEPENDENCIES, INSTALLED.get) == ""


@pytest.mark.parametrize("name", sorted(INSTALLED))
def test_each_missing_package_is_named(name: str) -> None:
    text = problem(DEPENDENCIES, {**INSTALLED, name: None}.get)
    if name in requirements.ELSEWHERE:
        assert text == ""
    else:
        assert text.startswith(f"{sys.executable} lacks {name}") and "\n" not in text
        assert "-m pip install -c constraints.txt -e ." in text


def test_what_is_not_for_every_machine_is_left_to_who_needs_it() -> None:
    assert any(";" in word for word in DEPENDENCIES)
    assert problem(["numpy; platform_system == 'Elsewhere'"], {}.get) == ""


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        ("2.1.0", True),
        ("2.1", True),
        ("2.1.7rc1", True),
        ("1.9.2", False),
        ("2.0.1", False),
        ("2.10.0", False),
    ],
)
def test_version(found: str, fits: bool) -> None:
    text = problem(DEPENDENCIES, {**INSTALLED, "cocotb": found}.get)
    assert (text == "") == fits
    if not fits:
        assert text.startswith(f"{sys.executable} has cocotb {found}, but needs 2.1.*; install")


def test_all_are_named_at_once() -> None:
    text = problem(DEPENDENCIES, {**INSTALLED, "cocotb": "1.9.2", "numpy": None, "pyuvm": None}.get)
    assert "lacks numpy, pyuvm and has cocotb 1.9.2, but needs 2.1.*;" in text


def run_without(package: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``python -m ...`` in an interpreter whose site-packages lack one package and its metadata."""
    hidden = f"""
import importlib.metadata, importlib.util, sys
class Hide:
    def find_spec(name, path=None, target=None):
        if name.partition('.')[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide)
version = importlib.metadata.version
def without(name):
    if name.replace("-", "_") == {package!r}:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = without
"""
    (folder / "sitecustomize.py").write_text(hidden, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("package", ["cocotb", "numpy", "pyuvm", "find_libpython", "onnx"])
@pytest.mark.parametrize("command", ["run", "list", "check"])
def test_command_line_without_a_package(package: str, command: str, tmp_path: Path) -> None:
    done = run_without(package, tmp_path, "sim", command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(rf"assay: \S+ lacks {package.replace('_', '-')}[ ;].*\n", done.stderr)


def test_old_python(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 12, "final", 0))
    with pytest.raises(SystemExit) as ended:
        requirements.check_interpreter()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"assay: {sys.executable} is Python 3.10; Assay needs 3.11 or newer\n"
