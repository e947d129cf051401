# SPDX-License-Identifier: Apache-2.0
"""The benches' own agents."""

from assay.tb.block import BURSTS, BURSTS_WAIVERS, Block, Lint, Variant

SOURCES = (BURSTS, "tb/loopback/loopback_tb.sv")

BLOCK = Block(
    __name__,
    summary="the benches' own agents, on a FIFO and a memory with planted faults",
    hdl_top="loopback_tb",
    sources=SOURCES,
    lint=Lint("loopback_tb", SOURCES, (BURSTS_WAIVERS,)),
    variants=(Variant("default"),),
    order=10,
)
