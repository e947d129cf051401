# SPDX-License-Identifier: Apache-2.0
"""The type checker is clean, and it looks at every module."""

from __future__ import annotations

import re
import tomllib

import pytest

from assay.sim import ROOT
from assay.sim.lint import OUTPUTS, PYTHON_FOLDERS, TYPED, check_types

pytest.importorskip("mypy", reason="mypy is not installed; install with: pip install mypy")


def test_every_module_is_clean():
    # An output folder beside a module of its name must not hide that module from the checker.
    (ROOT / "sim" / "build").mkdir(exist_ok=True)
    status, text = check_types("--verbose")
    assert status == 0, text
    checked = set(re.findall(r"BuildSource\(path='([^']+\.py)'", text))
    files = [path for folder in PYTHON_FOLDERS for path in (ROOT / folder).rglob("*.py")]
    files = [path for path in files if not any(path.is_relative_to(output) for output in OUTPUTS)]
    assert checked == {str(path.relative_to(ROOT)) for path in files if "tests" not in path.parts}


def test_no_module_is_left_out():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert not [entry["module"] for entry in settings["overrides"] if entry.get("ignore_errors")]


def test_messages_name_files_by_their_path_in_the_repository(tmp_path):
    # Under a target on which os.fork does not exist, the modules that use it have errors.
    status, text = check_types("--platform", "win32", "--cache-dir", str(tmp_path))
    assert status == 1
    files = re.findall(r"^([^:\n]+):\d+: error", text, re.MULTILINE)
    assert files and all((ROOT / file).is_file() for file in files), text
    assert str(TYPED.relative_to(ROOT)) not in text
