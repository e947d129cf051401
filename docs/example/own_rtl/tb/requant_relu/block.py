# SPDX-License-Identifier: Apache-2.0
"""requant_relu: what Assay has to know of it."""

from dataclasses import dataclass

from assay.golden.parameters import ParameterSet, parameter
from assay.tb.block import Block, Variant


@dataclass(frozen=True)
class Parameters(ParameterSet):
    """Of the RTL."""

    lanes: int = parameter(4, range(1, 17), "values in a beat")
    multiplier: int = parameter(181, range(1 << 16), "of the requantiser")
    shift: int = parameter(16, range(1, 32), "of the requantiser")


BLOCK = Block(
    __name__,
    summary="int8 requantiser with ReLU",
    hdl_top="requant_relu",
    sources=("rtl/requant_relu.sv",),
    parameters=Parameters,
    variants=(Variant("default"), Variant("wide", {"Lanes": 16, "Multiplier": 65535, "Shift": 31})),
    publish=("aclk", "aresetn", "s_axis_*", "m_axis_*"),
)
