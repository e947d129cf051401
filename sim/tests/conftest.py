# SPDX-License-Identifier: Apache-2.0
"""What the tests of the runner share: the counter they simulate, and folders of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.sim import ROOT, outputs
from assay.sim.regression import require
from assay.sim.simulators import SIMULATORS
from assay.sim.tests.counter.block import BLOCK as COUNTER
from assay.tb.block import Block


@pytest.fixture(scope="session")
def counter() -> Block:
    return COUNTER


@pytest.fixture(scope="session")
def require_simulator() -> Callable[[str], None]:
    return require


@pytest.fixture(params=SIMULATORS)
def simulator(request: pytest.FixtureRequest, require_simulator: Callable[[str], None]) -> str:
    """Each installed simulator in turn."""
    require_simulator(request.param)
    return request.param


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs go to a fresh folder, whose name holds a space as a user's may; builds come from the cache."""
    folder = tmp_path / "with space" / "runs"
    monkeypatch.setattr(outputs, "run_root", lambda block=None: folder)
    return folder


@pytest.fixture
def own_outputs(own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Builds and runs both go to a fresh folder."""
    monkeypatch.setattr(outputs, "build_root", lambda block=None: own_runs.parent / "build")
    return own_runs.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout's files in a folder with a space; beside it, in ``site``, the packages `assay.*` of that
    copy for PYTHONPATH."""
    root = tmp_path / "a checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = ROOT / name, root / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    packages = tmp_path / "site" / "assay"
    packages.mkdir(parents=True)
    for name in ("golden", "rtl", "sim", "tb", "vectors"):
        (packages / name).symlink_to(root / name)
    return root
