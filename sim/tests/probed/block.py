# SPDX-License-Identifier: Apache-2.0
"""A block with probes, as a user of the library declares one: the tests of `sim.debug`. No discovery finds it."""

from dataclasses import dataclass
from pathlib import Path

from assay.golden.parameters import ParameterSet, parameter
from assay.tb.block import Block


@dataclass(frozen=True)
class Plants(ParameterSet):
    """What is wrong in it."""

    plant: int = parameter(0, range(3), "stage that is wrong")


BLOCK = Block(
    __name__,
    summary="a scaler with probes",
    hdl_top="probed",
    sources=("sim/tests/probed/probed.sv",),
    probes=("sim/tests/probed/probes.sv",),
    publish=("*",),
    test_modules=("bench",),
    default_tests=("tensors",),
    parameters=Plants,
    window_ns=(2_000, 200),
    timeout_s=60,
    root=Path(__file__).parents[3],
)
