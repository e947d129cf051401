# SPDX-License-Identifier: Apache-2.0
"""The block that the tests of mutation mutate."""

from assay.sim import ROOT
from assay.tb.block import Block

BLOCK = Block(
    __name__,
    summary="least value",
    hdl_top="smallest",
    sources=("sim/tests/mutated/smallest.sv",),
    test_modules=("bench",),
    default_tests=("least",),
    root=ROOT,
)
