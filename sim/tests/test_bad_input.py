# SPDX-License-Identifier: Apache-2.0
"""Bad input is one clear sentence that names the value and what is allowed, exit status 2, and no traceback."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.sim import simulators, testcases
from assay.sim.arguments import OVERRIDES
from assay.sim.command_line import main
from assay.sim.options import VARIABLES
from assay.sim.testcases import list_tests
from assay.tb.block import Block, Extra


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, own_outputs: Path) -> Path:
    for name in (OVERRIDES, *VARIABLES):
        monkeypatch.delenv(name, raising=False)
    return own_outputs


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"TOPLEVEL": "countr"}, "unknown TOPLEVEL 'countr' (did you mean counter?); allowed: counter"),
        ({"SIM": "verilog"}, "unknown SIM 'verilog' (did you mean verilator?); allowed: verilator, icarus"),
        ({"SIM": "xcelium"}, "unknown SIM 'xcelium'; allowed: verilator, icarus"),
        ({"PARAMS": "Width=33"}, "parameter Width=33 of counter: allowed are 2 to 32"),
        ({"PARAMS": "Width=wide"}, "parameter Width=wide of counter: allowed are 2 to 32"),
        ({"PARAMS": "Depth=8"}, "unknown parameter of counter 'Depth'; allowed: Width"),
        ({"PARAMS": "Width"}, "parameter 'Width' is not of the form NAME=VALUE"),
        ({"SEED": "one"}, "seed 'one': allowed are the integers 0 to 2147483647"),
        ({"COCOTB_RANDOM_SEED": "2147483648"}, "seed '2147483648': allowed are the integers 0 to 2147483647"),
        ({"WAVES": "maybe"}, "WAVES=maybe: allowed are 0 and 1"),
        ({"COCOTB_TESTCASE": "count"}, "unknown COCOTB_TESTCASE of counter 'count' (did you mean counts?)"),
        ({"COCOTB_TEST_FILTER": "("}, "COCOTB_TEST_FILTER '(' is not a regular expression"),
        ({"COCOTB_TEST_FILTER": "no_such"}, "COCOTB_TEST_FILTER 'no_such' selects no test of counter"),
        ({"COCOTB_TESTCASE": "counts", "COCOTB_TEST_FILTER": "."}, "exclude each other"),
    ],
)
def test_run_refuses(
    variables: dict[str, str],
    sentence: str,
    counter: Block,
    clean_environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"TOPLEVEL": "counter", **variables}.items():
        monkeypatch.setenv(name, value)
    assert main(["run"], {"counter": counter}) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("assay: ")
    assert sentence in printed.err
    assert printed.err.count("\n") == 1
    assert not clean_environment.exists(), "outputs were left behind"


@pytest.mark.parametrize(
    ("simulator", "hidden", "sentence"),
    [
        ("icarus", "iverilog", "Icarus Verilog is not installed; install with: apt-get install iverilog"),
        (
            "verilator",
            "g++",
            "Verilator needs g++, not found on PATH; install with: apt-get install g++ make perl",
        ),
        (
            "verilator",
            "perl",
            "Verilator needs perl, not found on PATH; install with: apt-get install g++ make perl",
        ),
    ],
)
def test_missing_tool(
    simulator: str,
    hidden: str,
    sentence: str,
    counter: Block,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    which = simulators.shutil.which
    monkeypatch.setattr(
        simulators.shutil, "which", lambda name, **kw: None if name == hidden else which(name, **kw)
    )
    assert main(["run", "--top", "counter", "--sim", simulator], {"counter": counter}) == 2
    assert sentence in capsys.readouterr().err


def test_missing_simulator_is_skipped_by_name_and_fails_on_ci(
    require_simulator: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulators.shutil, "which", lambda name, **kw: None)
    sentence = "Icarus Verilog is not installed; install with: apt-get install iverilog"
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=sentence):
        require_simulator("icarus")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=sentence):
        require_simulator("icarus")


def test_hdl_that_does_not_compile(
    simulator: str,
    counter: Block,
    tmp_path: Path,
    clean_environment: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "broken.sv").write_text("module counter_tb; this is not HDL; endmodule\n", encoding="utf-8")
    broken = type(counter)(
        **{**vars(counter), "root": tmp_path, "sources": ("broken.sv",), "parameters": None}
    )
    assert main(["run", "--top", "counter", "--sim", simulator], {"counter": broken}) == 1
    printed = capsys.readouterr()
    assert "counter does not compile with" in printed.err
    assert "broken.sv:1" in printed.out
    assert not [path for path in (clean_environment / "build").iterdir() if path.is_dir()]


def test_regular_expression_that_explodes(
    counter: Block, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(testcases, "FILTER_TIMEOUT_S", 1)
    for explosive in (r"(\w+\.?)+!", r"(([a-z_])+.)+[A-Z]([a-z])+$", "(x?.*){20}!"):
        started = time.monotonic()
        assert main(["run", "--top", "counter", "--filter", explosive], {"counter": counter}) == 2
        assert time.monotonic() - started < 5
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "--filter" in error
        assert "did not end within 1 s" in error or "selects no test" in error


def test_filter_with_repetitions_selects_as_python_does(counter: Block) -> None:
    for pattern in (r"counts$", r"bench\.[a-f]\w+$", r"(hdl|errors?)+", r".*_ns$", "(?i)COUNT{1}S$"):
        names = [name for name, test in list_tests(counter).items() if re.search(pattern, test.fullname)]
        assert names and list(testcases.select_tests(counter, test_filter=pattern)) == names


def test_missing_packages_of_an_extra_are_said_for_the_tests_that_need_them(
    counter: Block, capsys: pytest.CaptureFixture[str]
) -> None:
    needy = dataclasses.replace(
        counter, extra=Extra("firmware", lambda: "no compiler; install one", ("counts",))
    )
    blocks = {"counter": needy}
    assert main(["run", "--test", "counts"], blocks) == 3
    assert capsys.readouterr().err == "assay: test counts of counter: no compiler; install one\n"
    assert main(["run", "--test", "never_ends", "--sim", "lost"], blocks) == 2
    capsys.readouterr()
    assert main(["extra"], blocks) == 0
    assert capsys.readouterr().out == "firmware\n"


def test_missing_source_and_missing_test_module(counter: Block, capsys: pytest.CaptureFixture[str]) -> None:
    lost = type(counter)(**{**vars(counter), "sources": ("sim/tests/counter/lost.sv",)})
    assert main(["run", "--top", "counter"], {"counter": lost}) == 2
    assert f"lost.sv named in {counter.file} does not exist" in capsys.readouterr().err
    untested = type(counter)(**{**vars(counter), "test_modules": ("bench_lost",)})
    assert main(["run", "--top", "counter"], {"counter": untested}) == 2
    assert "bench_lost.py of block counter does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ("TOPLVEL=mvu", "unknown variable 'TOPLVEL' (did you mean TOPLEVEL?); allowed: TOPLEVEL, SIM, "),
        ("SEED=3 SIMULATOR:=icarus", "unknown variable 'SIMULATOR'; allowed: "),
        ("COCOTB_TESTCSE=x", "unknown variable 'COCOTB_TESTCSE' (did you mean COCOTB_TESTCASE?)"),
        ("PARAMS=Lanes=8\\ TOPLVEL=1 WAVE=1", "unknown variable 'WAVE' (did you mean WAVES?)"),
        ("PYTEST_ARG=-x", "unknown variable 'PYTEST_ARG' (did you mean PYTEST_ARGS?)"),
    ],
)
def test_misspelt_make_variables_are_refused(
    overrides: str,
    sentence: str,
    counter: Block,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(OVERRIDES, overrides)
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")
    for command in ("run", "list", "check"):
        assert main([command], {"counter": counter}) == 2
        error = capsys.readouterr().err
        assert error.startswith("assay: ") and error.count("\n") == 1
        assert sentence in error


@pytest.mark.parametrize(
    "overrides",
    [
        "",
        " ".join(f"{name}=1" for name in VARIABLES),
        "CXX=g++ CXXFLAGS=-O1\\ -g COCOTB_LOG_LEVEL=DEBUG ASSAY_MODELS=here VM_PARALLEL_BUILDS=1",
        "PARAMS=Lanes=8\\ AccWidth=27",
    ],
)
def test_other_make_variables_are_not(overrides: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDES, overrides)
    monkeypatch.setenv("TOPLVEL", "the environment is not checked")
    for name in VARIABLES:
        monkeypatch.setenv(name, "1")
    assert main(["check"], {}) == 0
