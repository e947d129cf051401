# SPDX-License-Identifier: Apache-2.0
"""Parameters outside their ranges end the elaboration of the RTL, in every tool and without assertions.

The ranges are those of golden's dataclasses: for values in, at the ends of and outside of each, the RTL elaborates
where the dataclass takes them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from pyslang import driver

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.parameters import ParameterSet
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.sim import ROOT
from assay.sim.simulators import find_simulator
from assay.tb.block import expand_sources

TOPS: dict[str, tuple[str, type[ParameterSet]]] = {
    "mvu": ("rtl/mvu/mvu.f", MvuParameters),
    "mvu_array": ("rtl/accelerator/mvu_array.f", AcceleratorParameters),
    "pe_array": ("rtl/pe_array/pe_array.f", PeArrayParameters),
    "controller": ("rtl/controller/controller.f", ControllerParameters),
    "accelerator": ("rtl/accelerator/accelerator.f", AcceleratorParameters),
}
_OF_ACCELERATOR_ONLY = {"ImemWords", "DmemWords", "Skip", "MulDiv"}

# What no range of a single parameter says.
TOGETHER = [
    ("mvu", {"DataBanks": 64, "BankDepth": 1024}),
    ("mvu", {"DataBanks": 128, "BankDepth": 1024}),
    ("pe_array", {"Columns": 7}),
    ("pe_array", {"Columns": 8, "Lanes": 8}),
    ("pe_array", {"Columns": 8, "Lanes": 9}),
    ("pe_array", {"Columns": 4, "Lanes": 4, "Vectors": 4}),
    ("pe_array", {"Columns": 4, "Lanes": 5, "Vectors": 4}),
]


def parameters(top: str) -> dict[str, list[int]]:
    """HDL name to values around and between those that are allowed."""
    made = {}
    for name, parameter in TOPS[top][1].table().items():
        if top == "mvu_array" and name in _OF_ACCELERATOR_ONLY:
            continue
        allowed = sorted(int(value) for value in parameter.allowed or ())
        ends = {*allowed[:2], *allowed[-2:]}
        made[name] = sorted({value + step for value in ends for step in (-1, 0, 1)} | {0, -1})
    return made


def allowed(top: str, values: dict[str, int]) -> bool:
    """Whether the dataclass takes them, beside the defaults of all others."""
    try:
        parameter_set = TOPS[top][1]
        parameter_set.of_rtl(values)
        for name, value in values.items():
            parameter_set.table()[name].check(value)
    except ConfigurationError:
        return False
    return True


def sources(top: str) -> list[str]:
    return [str(file) for file in expand_sources(ROOT, [TOPS[top][0]]).files]


def elaborates(top: str, values: dict[str, int]) -> bool:
    """Whether slang finds no error; assertions are off, as for synthesis."""
    slang = driver.Driver()
    slang.addStandardArgs()
    words = [*sources(top), "--top", top, "-I", str(ROOT / "rtl/common"), "-DSYNTHESIS"]
    words += [f"-G{name}={value}" for name, value in values.items()]
    line = " ".join(f'"{word}"' for word in ["slang", *words])
    assert slang.parseCommandLine(line, driver.CommandLineOptions())
    assert slang.processOptions()
    assert slang.parseAllSources()
    compilation = slang.createCompilation()
    return not any(diagnostic.isError() for diagnostic in compilation.getAllDiagnostics())


@pytest.mark.parametrize("top", TOPS)
def test_ranges(top: str) -> None:
    """The RTL takes exactly what the dataclass takes."""
    wrong = []
    taken = 0
    for name, values in parameters(top).items():
        for value in values:
            expected = allowed(top, {name: value})
            taken += expected
            if elaborates(top, {name: value}) != expected:
                wrong.append(f"{name}={value} should {'' if expected else 'not '}elaborate")
    assert not wrong
    assert taken > len(parameters(top))


@pytest.mark.parametrize(("top", "values"), TOGETHER)
def test_together(top: str, values: dict[str, int]) -> None:
    """Nor does it take what parameters must not be together."""
    assert elaborates(top, values) == allowed(top, values)


def outside(top: str) -> list[tuple[str, int]]:
    """One value that is not allowed for each parameter."""
    return [
        (name, next(value for value in reversed(values) if not allowed(top, {name: value})))
        for name, values in parameters(top).items()
    ]


@pytest.mark.parametrize("top", TOPS)
@pytest.mark.parametrize("tool", ["verilator", "icarus"])
def test_tools(tool: str, top: str, tmp_path: Path) -> None:
    """Simulators stop and name the parameter, also where warnings do not end them."""
    simulator = find_simulator(tool)
    root = {} if simulator.verilator_root is None else {"VERILATOR_ROOT": str(simulator.verilator_root)}
    first, *_, last = outside(top)
    for name, value in (("", 0), first, last):
        if tool == "verilator":
            command = [
                str(simulator.executable),
                "--lint-only",
                "-Wno-fatal",
                "-Wno-lint",
                "-Wno-style",
                "--top-module",
                top,
            ]
            command += [f"-I{ROOT / 'rtl/common'}", *([f"-G{name}={value}"] if name else [])]
        else:
            command = [str(simulator.executable), "-g2012", "-s", top, "-o", str(tmp_path / "out")]
            command += [f"-I{ROOT / 'rtl/common'}", *([f"-P{top}.{name}={value}"] if name else [])]
        done = subprocess.run(
            [*command, *sources(top)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **root},
        )
        assert (done.returncode == 0) == (not name), f"{name}={value}: {done.stderr}"
        assert name in done.stderr
