# SPDX-License-Identifier: Apache-2.0
"""`make test CHANGED=1`: which tests run again after which change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.simulation

LOOPBACK = "loopback-default-icarus-full_rate"
MVU = "mvu-lanes8-icarus-reset_mid_job"
TESTS = ("sim/tests/test_regression.py", "golden/tests/mvu/test_agu.py", "golden/tests/test_registers.py")


def changed(root: Path) -> tuple[list[str], str]:
    """The names of the tests that run now, and all that pytest prints."""
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "assay.sim.changed",
                "--changed",
                "-p",
                "no:cacheprovider",
            ),
            *("-v", "--color=no", "-k", f"{LOOPBACK} or {MVU} or test_agu or test_registers", *TESTS),
        ],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root.parent / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return re.findall(r"^(\S.*) (?:PASSED|FAILED) ", done.stdout, re.MULTILINE), done.stdout


def test_only_what_a_change_touches_runs_again(checkout: Path, require_simulator) -> None:
    require_simulator("icarus")

    def edit(name: str, text: str) -> None:
        with (checkout / name).open("a", encoding="utf-8") as file:
            file.write(text)

    everything, _ = changed(checkout)
    assert len([name for name in everything if LOOPBACK in name or MVU in name]) == 2
    assert len(everything) > 20

    rerun, output = changed(checkout)
    assert rerun == []
    assert f"assay: {len(everything)} tests left out: they passed, and nothing that they depend on" in output

    edit("rtl/mvu/mvu_mac.sv", "// edited\n")
    rerun, _ = changed(checkout)
    assert [name for name in rerun if MVU not in name] == []
    assert len(rerun) == 1

    edit("rtl/mvu/mvu_pkg.sv", "// edited\n")  # a golden test compares it with what it must be
    rerun, output = changed(checkout)
    assert {re.sub(r".*/|\[.*", "", name) for name in rerun} == {
        "test_regression.py::test_simulation",
        "test_registers.py::test_generated_files_are_fresh",
    }
    again, _ = changed(checkout)
    assert [name for name in again if "test_simulation" in name] == []
    assert len(again) == 1, "a test that has failed runs until it passes"

    edit("golden/mvu/agu.py", "# edited\n")
    rerun, _ = changed(checkout)
    assert sorted(rerun) == sorted(everything)
