# SPDX-License-Identifier: Apache-2.0
"""The crossbar between matrix-vector units alone, with destinations that stall."""

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.tb.accelerator_crossbar.coverage import StallCoverage
from assay.tb.block import BURSTS, Block, Variant

BLOCK = Block(
    __name__,
    summary="the crossbar between matrix-vector units alone, with destinations that stall",
    hdl_top="accelerator_crossbar_tb",
    sources=("rtl/accelerator/mvu_array.f", BURSTS, "tb/accelerator_crossbar/accelerator_crossbar_tb.sv"),
    include_dirs=("rtl/common",),
    default_tests=("stalled_storms",),
    coverage=StallCoverage,
    parameters=AcceleratorParameters,
    top_parameters=("Mvus", "Lanes"),
    defaults={"Mvus": 5, "Lanes": 8},
    small={"Mvus": 5, "Lanes": 8},
    variants=(
        Variant("5x8"),
        Variant("8x16", {"Mvus": 8, "Lanes": 16}, simulators=("verilator",), tests="stalled_storms|resets"),
        Variant("1x8", {"Mvus": 1}, simulators=("verilator",), tests="stalled_storms|resets"),
    ),
    order=3,
)
