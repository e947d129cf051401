# SPDX-License-Identifier: Apache-2.0
"""The counter that the runner's own tests simulate."""

from dataclasses import dataclass

from assay.golden.parameters import ParameterSet, parameter
from assay.sim import ROOT
from assay.tb.block import Block


@dataclass(frozen=True)
class CounterParameters(ParameterSet):
    """Sizes of a counter."""

    width: int = parameter(8, range(2, 33), "bits")


BLOCK = Block(
    __name__,
    summary="counts",
    hdl_top="counter_tb",
    sources=("sim/tests/counter/counter_tb.sv",),
    test_modules=("bench",),
    default_tests=("counts",),
    parameters=CounterParameters,
    window_ns=(200, 50),
    timeout_s=10,
    root=ROOT,
)
