# SPDX-License-Identifier: Apache-2.0
"""The host's side of the accelerator: AXI4 port, registers, transposer, ways to the units."""

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.parameters import powers
from assay.tb.accelerator_host.coverage import HostCoverage
from assay.tb.accelerator_host.host_cases import HostCases
from assay.tb.accelerator_host.state import INSPECT
from assay.tb.agents.describe import AXI
from assay.tb.block import AXI_PROTOCOL, BURSTS, PORTS, Block, Variant
from assay.tb.capabilities import PlaysCases

BLOCK = Block(
    __name__,
    summary="the accelerator's host side alone: AXI4 port, registers, transposer, ways to the units",
    hdl_top="accelerator_host_tb",
    sources=(
        "rtl/accelerator/accelerator.f",
        BURSTS,
        AXI_PROTOCOL,
        "tb/accelerator_host/accelerator_host_unit.sv",
        "tb/accelerator_host/accelerator_host_controller.sv",
        "tb/accelerator_host/accelerator_host_tb.sv",
    ),
    describe=AXI,
    include_dirs=("rtl/common",),
    inspect=INSPECT,
    default_tests=("random_traffic", "clock_ends"),
    publish=(*PORTS, "accelerator_registers.clocks_q"),
    coverage=HostCoverage,
    parameters=AcceleratorParameters,
    top_parameters=("Mvus", "Lanes", "DataBanks", "BankDepth", "WeightDepth", "ChannelDepth"),
    # Units and memories are models here: small ones have their ends near.
    defaults={"Mvus": 3, "Lanes": 8, "DataBanks": 4, "BankDepth": 64, "WeightDepth": 16, "ChannelDepth": 32},
    narrowed={
        "DataBanks": powers(2, 64),
        **dict.fromkeys(("BankDepth", "WeightDepth", "ChannelDepth"), powers(16, 4096)),
    },
    capabilities=(PlaysCases(HostCases()),),
    small={"Mvus": 3, "Lanes": 8},
    variants=(
        Variant("3x8"),
        Variant("2x64", {"Mvus": 2, "Lanes": 64}, simulators=("verilator",), tests="random_traffic"),
    ),
    order=8,
)
