# SPDX-License-Identifier: Apache-2.0
"""The bit-serial matrix-vector unit."""

from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.vectors import parameters
from assay.tb.block import BURSTS, Block, Lint, Synth, Variant
from assay.tb.capabilities import Benchmarks, PlaysCases, PlaysVectorSets, RunsNetworks
from assay.tb.mvu.coverage import MvuCoverage
from assay.tb.mvu.mvu_cases import MvuCases
from assay.tb.mvu.networks import check
from assay.tb.mvu.state import waits_now

SMALL_MEMORIES = {"DataBanks": 4, "BankDepth": 16, "WeightDepth": 16, "ChannelDepth": 16}
"""Parameters of the RTL that change no logic but the width of addresses and the number of banks."""

REGISTERS = {"mvu_regs.next_q": "a job's configuration, of which all words are used at once"}
"""Arrays of the RTL that are flip-flops, though they have enough words for a memory, and why."""

INSPECT = {
    "ram_1r1w": ("mem",),
    "mvu_regs": ("pending_q", "done_q", "error_q"),
    "mvu_sequencer": ("state_q", "remaining_q", "slots_q"),
    "mvu_residual": ("running_q", "free_q", "unclaimed_q"),
    "mvu_serialiser": ("plane_q",),
    "fifo": ("count_q",),
}
"""What a bench reads inside of an MVU after a failure (tb/mvu/inside.py)."""

BLOCK = Block(
    __name__,
    summary="bit-serial matrix-vector unit",
    hdl_top="mvu_tb",
    sources=("rtl/mvu/mvu.f", BURSTS, "tb/mvu/mvu_tb.sv"),
    lint=Lint("mvu", ("rtl/mvu/mvu.f",), ("rtl/mvu/mvu_lint.vlt",)),
    synth=Synth(
        {"Lanes": 8, **SMALL_MEMORIES},
        REGISTERS,
    ),
    probes=("tb/mvu/mvu_probes.sv",),
    waits=waits_now,
    include_dirs=("rtl/common",),
    inspect=INSPECT,
    default_tests=(
        *("real_layers", "corners", "random_jobs", "random_programs", "fast_programs", "padded_programs"),
        *("countdown_wraps", "elongated_maps", "next_job_while_busy", "collisions"),
        *("job_control", "clear_races", "illegal_jobs", "full_rate"),
    ),
    test_modules=("test_mvu", "test_mvu_control"),
    coverage=MvuCoverage,
    parameters=MvuParameters,
    top_parameters=("Lanes", "AccWidth"),
    narrowed={"Lanes": (8, 16, 32, 64)},  # whole bytes; larger ones have not been tried
    capabilities=(
        RunsNetworks(check, test="real_layers"),
        PlaysVectorSets(parameters),
        PlaysCases(MvuCases()),
        Benchmarks(
            {"speed": "bench at transaction level", "speed_stalled": "bench with random stalls"},
            harness="tb/mvu/harness.cpp",
        ),
    ),
    small={"Lanes": 8},
    variants=(
        # Counters have no lanes: the loops of 2^15 steps would take half a minute here.
        Variant("lanes64", {"Lanes": 64}, tests=r"^(?!long_loops$)"),
        Variant("lanes8", {"Lanes": 8}),
        Variant("lanes8-xrandom", {"Lanes": 8}, simulators=("verilator",), tests="reset", x_random=True),
    ),
    order=1,
)
