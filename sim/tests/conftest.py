# SPDX-License-Identifier: Apache-2.0
"""What the tests of the runner share: the counter they simulate, and folders of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.sim import outputs
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
