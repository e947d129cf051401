# SPDX-License-Identifier: Apache-2.0
"""Matrix-vector units and the crossbar between them."""

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.parameters import powers
from assay.tb.block import BURSTS, Block, Lint, Variant
from assay.tb.capabilities import PlaysCases
from assay.tb.mvu.block import INSPECT
from assay.tb.mvu.state import waits_now
from assay.tb.mvu_array.array_cases import ArrayCases
from assay.tb.mvu_array.coverage import CrossbarCoverage

BLOCK = Block(
    __name__,
    summary="matrix-vector units and the crossbar between them",
    hdl_top="mvu_array_tb",
    sources=("rtl/accelerator/mvu_array.f", BURSTS, "tb/mvu_array/mvu_array_tb.sv"),
    lint=Lint("mvu_array", ("rtl/accelerator/mvu_array.f",), ("rtl/accelerator/accelerator_lint.vlt",)),
    probes=("tb/mvu/mvu_probes.sv",),
    waits=waits_now,
    include_dirs=("rtl/common",),
    inspect={**INSPECT, "accelerator_crossbar": ("served_q",)},
    default_tests=("random_rounds", "storms"),
    repeated=("mvu",),
    coverage=CrossbarCoverage,
    parameters=AcceleratorParameters,
    top_parameters=("Mvus", "Lanes", "WeightDepth"),
    narrowed={"WeightDepth": powers(16, 4096)},  # others have not been tried
    capabilities=(PlaysCases(ArrayCases()),),
    variants=(
        Variant("4x8", {"Mvus": 4, "Lanes": 8, "WeightDepth": 64}),
        Variant("8x64", simulators=("verilator",), tests="random_rounds|storms"),
        Variant(
            "3x8-xrandom",
            {"Mvus": 3, "Lanes": 8, "WeightDepth": 64},
            simulators=("verilator",),
            tests="resets|random_rounds|storms",
            x_random=True,
        ),
    ),
    order=2,
)
