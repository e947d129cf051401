# SPDX-License-Identifier: Apache-2.0
"""The whole accelerator."""

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen.files import parameters
from assay.golden.parameters import powers
from assay.tb.accelerator.accelerator_cases import AcceleratorCases
from assay.tb.accelerator.coverage import AcceleratorCoverage
from assay.tb.accelerator.model import AcceleratorModel
from assay.tb.accelerator.networks import check
from assay.tb.accelerator_host.state import INSPECT as HOST_INSPECT
from assay.tb.agents.describe import AXI
from assay.tb.block import BURSTS, Block, Lint, Synth, Variant
from assay.tb.capabilities import Benchmarks, PlaysCases, PlaysVectorSets, RunsNetworks
from assay.tb.controller.describe import retired
from assay.tb.controller.library import files
from assay.tb.mvu.block import INSPECT, REGISTERS, SMALL_MEMORIES
from assay.tb.mvu.state import waits_now

BLOCK = Block(
    __name__,
    summary="MVUs, crossbar, controller and host port: networks from the host's input to its output",
    hdl_top="accelerator_tb",
    sources=("rtl/accelerator/accelerator.f", BURSTS, "tb/accelerator/accelerator_tb.sv"),
    lint=Lint("accelerator", ("rtl/accelerator/accelerator.f",), ("rtl/accelerator/accelerator_lint.vlt",)),
    synth=Synth(
        {"Mvus": 2, "Lanes": 8, "ImemWords": 256, "DmemWords": 256, **SMALL_MEMORIES},
        REGISTERS,
    ),
    probes=("tb/mvu/mvu_probes.sv",),
    waits=waits_now,
    describe={**AXI, "trace": retired},
    include_dirs=("rtl/common",),
    inspect={**INSPECT, **HOST_INSPECT, "accelerator_crossbar": ("served_q",)},
    default_tests=("real_networks", "random_networks"),
    repeated=("mvu",),
    coverage=AcceleratorCoverage,
    parameters=AcceleratorParameters,
    top_parameters=(
        *("Mvus", "Lanes", "DataBanks", "BankDepth", "WeightDepth", "ChannelDepth"),
        *("ImemWords", "DmemWords", "Skip"),
    ),
    # Others have not been tried.
    narrowed={
        "DataBanks": powers(2, 64),
        **dict.fromkeys(("BankDepth", "WeightDepth", "ChannelDepth"), powers(16, 4096)),
    },
    capabilities=(
        RunsNetworks(check, AcceleratorModel, test="real_networks"),
        PlaysVectorSets(parameters),
        PlaysCases(AcceleratorCases()),
        Benchmarks(
            {"speed": "bench at transaction level", "speed_stalled": "bench with random stalls"},
            harness="tb/accelerator/harness.cpp",
        ),
    ),
    small={"Mvus": 4, "Lanes": 8},
    variants=(
        Variant("4x8", {"Mvus": 4, "Lanes": 8}, simulators=("verilator",)),
        Variant(
            "2x8",
            {"Mvus": 2, "Lanes": 8, "ImemWords": 2048, "DmemWords": 1024},
            simulators=("icarus",),
            tests="random_networks|contention|resets|planted_flipped_bit",
        ),
        Variant("8x64", simulators=("verilator",), tests="real_networks"),
    ),
    library=files,
    order=7,
)
