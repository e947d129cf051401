# SPDX-License-Identifier: Apache-2.0
"""tick: what Assay has to know of it."""

from assay.tb.block import Block, Variant

BLOCK = Block(
    __name__,
    summary="counts",
    hdl_top="tick",
    sources=("rtl/tick.sv",),
    default_tests=("counts",),
    variants=(
        Variant("small", simulators=("icarus",), tests="counts|fails|covers"),
        Variant("wild", simulators=("icarus",), tests="never_ends|kills"),
    ),
    timeout_s=600,
)
