# SPDX-License-Identifier: Apache-2.0
"""The array of multiply-accumulate elements."""

from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.vectors import parameters
from assay.tb.block import BURSTS, PORTS, Block, Lint, Synth, Variant
from assay.tb.capabilities import Benchmarks, PlaysCases, PlaysVectorSets, RunsNetworks
from assay.tb.pe_array.coverage import PeArrayCoverage
from assay.tb.pe_array.model import ArrayModel
from assay.tb.pe_array.networks import check
from assay.tb.pe_array.pe_array_cases import PeArrayCases
from assay.tb.pe_array.state import INSPECT, waits_now

# Small arrays: odd sizes, one vector, one lane, each width.
SMALL = {"Rows": 3, "Columns": 6, "Vectors": 2, "Lanes": 2, "WeightDepth": 256, "PixelDepth": 128}
WIDE = {**SMALL, "Rows": 2, "Columns": 9, "DataWidth": 16}
NARROW = {**SMALL, "Rows": 4, "Columns": 5, "DataWidth": 4, "Vectors": 1, "Lanes": 1}

BLOCK = Block(
    __name__,
    summary="array of multiply-accumulate elements for int8 networks",
    hdl_top="pe_array_tb",
    sources=("rtl/pe_array/pe_array.f", BURSTS, "tb/pe_array/pe_array_tb.sv"),
    lint=Lint("pe_array", ("rtl/pe_array/pe_array.f",), ("rtl/pe_array/pe_array_lint.vlt",)),
    synth=Synth(
        {"Rows": 1, "Columns": 2, "Vectors": 1, "Lanes": 1, "WeightDepth": 16, "PixelDepth": 16},
        {"pe_array_post.gen_table.words": "all values of a group look up a word of the table in one clock"},
    ),
    probes=("tb/pe_array/pe_array_probes.sv",),
    waits=waits_now,
    include_dirs=("rtl/common",),
    inspect=INSPECT,
    publish=(*PORTS, "pe_array_regs.tiles_q", "pe_array_regs.*_clocks_q"),
    default_tests=(
        *("real_layers", "corners", "random_tiles", "elongated_tiles", "interleavings", "stalls"),
        *("wrong_packets", "wrong_headers", "clear_mid_tile", "clear_waiting_output"),
        *("status_and_interrupt", "clear_races", "clear_ends"),
    ),
    test_modules=("test_pe_array", "test_pe_array_control"),
    coverage=PeArrayCoverage,
    parameters=PeArrayParameters,
    capabilities=(
        RunsNetworks(check, ArrayModel, test="real_layers"),
        PlaysVectorSets(parameters),
        PlaysCases(PeArrayCases()),
        Benchmarks(
            {"speed": "bench at transaction level", "speed_stalled": "bench with random stalls"},
            harness="tb/pe_array/harness.cpp",
        ),
    ),
    small={"Rows": 3, "Columns": 6, "Vectors": 2, "Lanes": 2, "WeightDepth": 256, "PixelDepth": 128},
    variants=(
        Variant("8x24", simulators=("verilator",)),
        Variant(
            "3x6",
            SMALL,
            simulators=("icarus",),
            tests="real|random|stalls|clear|reset|wrong_packets|registers",
        ),
        # Of 65,535 rows the last row block has one: the others' numbers do not fit in 16 bits.
        Variant("7x6", {**SMALL, "Rows": 7}, simulators=("verilator",), tests="past_16_bits"),
        Variant("2x9w16", WIDE, simulators=("icarus",), tests="random_tiles|corners"),
        # One build for both: narrow words, and registers that start with anything.
        Variant("4x5w4", NARROW, simulators=("verilator",), tests="random|reset", x_random=True),
    ),
    order=4,
)
