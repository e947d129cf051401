# SPDX-License-Identifier: Apache-2.0
"""Blocks in other houses' styles and benches for them, as a user of the library writes them: the tests of
`tb.stream_bench` and of the agents by signal names. No discovery finds it."""

from pathlib import Path

from assay.tb.block import Block

BLOCK = Block(
    __name__,
    summary="small blocks of other styles",
    hdl_top="foreign",
    sources=("sim/tests/foreign/foreign.sv",),
    test_modules=("bench",),
    publish=("*",),
    timeout_s=60,
    root=Path(__file__).parents[3],
)
