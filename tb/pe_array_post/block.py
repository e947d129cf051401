# SPDX-License-Identifier: Apache-2.0
"""The PE array's output stage alone."""

from assay.golden.pe_array.parameters import PeArrayParameters
from assay.tb.block import BURSTS, Block, Variant

BLOCK = Block(
    __name__,
    summary="the PE array's output stage alone: every rounding on many values",
    hdl_top="pe_array_post_tb",
    sources=("rtl/pe_array/pe_array.f", BURSTS, "tb/pe_array_post/pe_array_post_tb.sv"),
    include_dirs=("rtl/common",),
    parameters=PeArrayParameters,
    top_parameters=("Rows", "Columns", "DataWidth", "Lanes"),
    variants=(
        Variant("w8", simulators=("verilator",)),
        Variant("w4", {"DataWidth": 4, "Rows": 7, "Columns": 5}, simulators=("verilator",)),
        Variant("w16", {"DataWidth": 16, "Lanes": 3}, simulators=("verilator",)),
        Variant("small", {"Rows": 3, "Lanes": 2, "Columns": 7}, simulators=("icarus",)),
    ),
    order=5,
)
