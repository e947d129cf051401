# SPDX-License-Identifier: Apache-2.0
"""The Makefile alone: which .venv it makes, repairs and leaves alone. Python and pip are played by a shell script."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from assay.sim import ROOT

PYTHON = r"""#!/bin/sh
# `-m venv FOLDER` makes an environment whose python is this file; `-m pip` fails, or is killed, where a file says so.
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo made >> venvs ;;
  *"[firmware]") echo "[firmware]" >> "$(dirname "$0")/packages" ;;
  "-m pip "*) echo installed >> "$(dirname "$0")/packages"; [ ! -e pip-fails ] ;;
  "-m sim extra") echo firmware ;;
  "-m sim run") [ ! -e lacks-extra ] || grep -q "\[firmware\]" "$(dirname "$0")/packages" || exit 3; echo "runs sim" ;;
  "-m sim"*) echo "runs sim" ;;
  "-c import sys; sys.exit"*) [ ! -e is-old ] ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    python = tmp_path / "python3.11"
    python.write_text(PYTHON, encoding="utf-8")
    python.chmod(0o755)
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """make, without what a make around this test would hand down."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--no-print-directory", "BASE_PYTHON=./python3.11", *arguments]
    return subprocess.run(command, cwd=checkout, env=inherited, capture_output=True, text=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_installs_once(checkout: Path) -> None:
    assert "runs sim" in make(checkout).stdout
    assert make(checkout).stdout == "runs sim\n"
    assert (checkout / ".venv/bin/packages").read_text() == "installed\n"


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "link", "dangling link"])
def test_venv_of_another_maker_stays(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("theirs")
    venv = checkout / ".venv"
    if "folder" in kind:
        venv.mkdir()
    if kind == "folder":
        (venv / "pyvenv.cfg").write_text("theirs", encoding="utf-8")
    elif kind == "file":
        venv.write_text("theirs", encoding="utf-8")
    elif kind == "link":
        (elsewhere / "pyvenv.cfg").write_text("theirs", encoding="utf-8")
        venv.symlink_to(elsewhere)
    elif kind == "dangling link":
        venv.symlink_to(elsewhere / "nowhere")
    before = contents(checkout), contents(elsewhere)
    for goal in ("run", "test", "lint", "train"):
        done = make(checkout, goal)
        assert done.returncode == 2
        assert done.stderr.startswith(
            "assay: .venv exists and was not made by this Makefile, so it stays as it is"
        )
        assert done.stderr.count("assay: ") == 1
    assert (contents(checkout), contents(elsewhere)) == before
    assert venv.is_symlink() == ("link" in kind)


@pytest.mark.parametrize("goal", ["run", "list", "test", "lint", "train", "soak"])
def test_named_interpreter_is_used_as_it_is(checkout: Path, goal: str) -> None:
    done = make(checkout, goal, "PYTHON=./python3.11")
    assert (done.returncode, done.stderr) == (0, "")
    assert not (checkout / ".venv").exists()


def test_named_interpreter_that_will_not_do_is_refused(checkout: Path) -> None:
    done = make(checkout, "PYTHON=nowhere/python")
    assert done.returncode == 2 and done.stderr.startswith(
        "assay: PYTHON=nowhere/python is not installed; name an"
    )
    (checkout / "is-old").touch()
    done = make(checkout, "PYTHON=./python3.11")
    assert done.returncode == 2 and done.stderr.startswith(
        "assay: PYTHON=./python3.11 is no Python 3.11 or newer;"
    )


def test_packages_that_a_block_needs_are_installed_when_its_run_asks_for_them(checkout: Path) -> None:
    assert "runs sim" in make(checkout).stdout
    (checkout / "lacks-extra").touch()
    done = make(checkout)
    assert done.stdout == "assay: installing the packages for make firmware\nruns sim\n"
    assert (checkout / ".venv/bin/packages").read_text() == "installed\n[firmware]\n"
    assert make(checkout).stdout == "runs sim\n"
    (checkout / ".venv/bin/packages").unlink()
    done = make(checkout, "PYTHON=./python3.11")
    assert (done.returncode, done.stdout) == (2, "")


def test_interrupted_installation_starts_afresh(checkout: Path) -> None:
    (checkout / "pip-fails").touch()
    assert make(checkout).returncode == 2
    (checkout / ".venv/half-installed").touch()
    (checkout / "pip-fails").unlink()
    assert make(checkout).returncode == 0
    assert not (checkout / ".venv/half-installed").exists()


def test_environment_interrupted_while_it_was_made_starts_afresh(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv/.made-by-assay").touch()
    assert make(checkout).returncode == 0


def test_change_of_the_packages_installs_again_and_keeps_what_else_is_there(checkout: Path) -> None:
    assert make(checkout).returncode == 0
    (checkout / ".venv/mine").touch()
    (checkout / "constraints.txt").write_text("numpy==2.4.6\n", encoding="utf-8")
    assert make(checkout).returncode == 0
    assert (checkout / ".venv/mine").exists()
    assert (checkout / "venvs").read_text() == "made\n"
    assert (checkout / ".venv/bin/packages").read_text() == "installed\ninstalled\n"


def test_environment_of_an_earlier_version_is_known_by_its_stamp(checkout: Path) -> None:
    assert make(checkout).returncode == 0
    (checkout / ".venv/.made-by-assay").unlink()
    assert make(checkout).returncode == 0
