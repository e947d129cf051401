# SPDX-License-Identifier: Apache-2.0
"""The RISC-V barrel controller."""

from assay.golden.controller.parameters import ControllerParameters
from assay.tb.block import BURSTS, PORTS, Block, Extra, Lint, Synth, Variant
from assay.tb.capabilities import Benchmarks, PlaysCases, RunsPrograms, Soaks
from assay.tb.controller.controller_cases import ControllerCases
from assay.tb.controller.coverage import ControllerCoverage
from assay.tb.controller.describe import retired
from assay.tb.controller.elf import check
from assay.tb.controller.library import files
from assay.tb.controller.toolchain import missing

# What the further variants run, and what those do whose harts issue in another order.
FEW = "^(programs|random_programs|random_interrupts|registers)$"
ORDER = f"{FEW}|^(bus_interrupts|held_waits|restarts|busy_host)$"
# The first one with multiplications also has their operands.
M = f"{ORDER}|^operands$"

BLOCK = Block(
    __name__,
    summary="RISC-V barrel controller, in lock-step with its instruction-set simulator",
    hdl_top="controller_tb",
    sources=("rtl/controller/controller.f", BURSTS, "tb/controller/controller_tb.sv"),
    lint=Lint("controller", ("rtl/controller/controller.f",), ("rtl/controller/controller_lint.vlt",)),
    synth=Synth({"Harts": 2, "MulDiv": 1, "ImemWords": 256, "DmemWords": 256}),
    describe={"trace": retired},
    include_dirs=("rtl/common",),
    publish=(*PORTS, "controller_csr.clock_q", "controller_retire.retired_q"),
    default_tests=(
        *("programs", "random_programs", "random_interrupts", "registers", "restarts", "hold_release"),
        *("bus_errors", "csr_storm", "self_modifying", "host_traffic", "operands"),
        *("carries", "clears", "bus_interrupts", "compares", "held_waits", "neighbours"),
        *("busy_host", "counter_ends"),
    ),
    coverage=ControllerCoverage,
    parameters=ControllerParameters,
    test_modules=("test_controller", "test_controller_events"),
    capabilities=(
        RunsPrograms(check),
        PlaysCases(ControllerCases()),
        Soaks(),
        Benchmarks(
            {"speed": "bench in lock-step"}, harness="tb/controller/harness.cpp", counted="instructions"
        ),
    ),
    small={"Harts": 3, "MulDiv": 1, "Skip": 0},
    variants=(
        Variant("8harts", simulators=("verilator",)),
        Variant(
            "2harts",
            {"Harts": 2, "ImemWords": 4096, "DmemWords": 1024},
            simulators=("icarus",),
            tests=rf"{FEW}|planted_(result|line)|bus_interrupts|compares",
        ),
        Variant("strict", {"Skip": 0}, simulators=("verilator",), tests=FEW),
        Variant("3harts-m", {"Harts": 3, "MulDiv": 1, "Skip": 0}, simulators=("verilator",), tests=M),
        Variant("16harts-m", {"Harts": 16, "MulDiv": 1}, simulators=("verilator",), tests=FEW),
        Variant("1hart", {"Harts": 1}, simulators=("verilator",), tests=FEW),
        Variant("8harts-xrandom", simulators=("verilator",), tests="resets", x_random=True),
    ),
    extra=Extra("firmware", missing, ("programs", "bus_stalls", "speed")),
    library=files,
    order=6,
)
