# SPDX-License-Identifier: Apache-2.0
"""The accelerator's host port under a manager that knows nothing of this project."""

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.mvu.parameters import CROSSBAR_PORTS
from assay.tb.block import AXI_PROTOCOL, Block, Variant

BLOCK = Block(
    __name__,
    summary="the accelerator's host port alone, under cocotbext-axi's manager",
    hdl_top="accelerator_axi_tb",
    sources=("rtl/accelerator/accelerator.f", AXI_PROTOCOL, "tb/accelerator_axi/accelerator_axi_tb.sv"),
    include_dirs=("rtl/common",),
    timing=True,
    publish=("clk_i", "manager_clk_i", "rst_ni", "s_axi_*"),
    parameters=AcceleratorParameters,
    # The width of a data memory's word stays at 64 lanes: here it is a whole beat.
    top_parameters=("Mvus",),
    defaults={"Mvus": 2},
    narrowed={"Mvus": range(2, CROSSBAR_PORTS + 1)},  # the test writes the memories of two
    variants=(Variant("2x64", simulators=("icarus",)),),
    order=9,
)
