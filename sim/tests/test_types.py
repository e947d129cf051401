# SPDX-License-Identifier: Apache-2.0
"""The type checker is clean, and the list of modules that it does not look at only shrinks."""

from __future__ import annotations

import re
import tomllib

import pytest

from assay.sim import ROOT
from assay.sim.lint import check_types

IGNORED = "ignore_errors = true"


def errors(config: str, folder) -> set[str]:
    """Modules with errors, by a configuration's text."""
    # The cache stands under the configuration's own folder, and the files are named from the project's.
    path = folder / "pyproject.toml"
    path.write_text(config)
    status, text = check_types("--config-file", str(path))
    assert status in (0, 1), text
    files = re.findall(r"^([^:]+)\.py:\d+: error", text, re.MULTILINE)
    return {f"assay.{file.replace('/', '.')}".removesuffix(".__init__") for file in files}


def test_modules_without_errors_leave_the_list(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed; install with: pip install mypy")
    text = (ROOT / "pyproject.toml").read_text()
    overrides = tomllib.loads(text)["tool"]["mypy"]["overrides"]
    (listed,) = (set(entry["module"]) for entry in overrides if entry.get("ignore_errors"))
    assert text.count(IGNORED) == 1
    wrong = errors(text.replace(IGNORED, "ignore_errors = false"), tmp_path)
    assert wrong - listed == set(), "these modules have errors; `make lint` shows them"
    assert listed - wrong == set(), "these modules have no errors; take them off the list in pyproject.toml"
    assert not [name for name in listed if "golden" in name.split(".") or "agents" in name.split(".")]
