# SPDX-License-Identifier: Apache-2.0
"""Build parameters of the PE array: the one place where a default is written.

The RTL reads them through the generated package ``rtl/pe_array/pe_array_pkg.sv`` (see `golden.pe_array.registers`).
"""

from __future__ import annotations

from dataclasses import dataclass

from assay.golden.errors import ConfigurationError
from assay.golden.parameters import Joint, ParameterSet, parameter, powers

MAX_KERNEL = 11  #: rows and columns of the largest kernel
MAX_STRIDE = 4  #: largest vertical and horizontal stride
ACC_WIDTH = 32  #: accumulator bits; sums are kept modulo 2**32
MAX_DIVISOR = 255  #: largest a of a rational factor 2**n / a
SOFTMAX_DEPTH = 1024  #: elements of the longest vector of a softmax


JOINT = (
    Joint("lanes_of_columns", "Lanes <= Columns", "at most Columns"),
    Joint("vectors_of_columns", "Vectors <= Columns", "at most Columns"),
)
"""What the RTL checks beside the ranges."""


@dataclass(frozen=True)
class PeArrayParameters(ParameterSet):
    """Sizes of one array.

    Raises `ConfigurationError` for a size outside the range the RTL supports.
    """

    rows: int = parameter(8, range(1, 33), "output rows computed at a time")
    columns: int = parameter(24, range(2, 257), "multiply-accumulate elements in each row")
    data_width: int = parameter(8, (4, 8, 16), "bits of an operand and of an output")
    #: Columns of `rows` pixels in a beat of the pixel stream, each for its own channel.
    vectors: int = parameter(8, powers(1, 8), "pixel vectors in a beat")
    #: `rows` values each.
    lanes: int = parameter(4, range(1, 17), "output channels rescaled in a clock")
    #: There is room for two tiles.
    weight_depth: int = parameter(2048, powers(2, 1 << 15), "beats of weights in a tile")
    pixel_depth: int = parameter(4096, powers(2, 1 << 15), "beats of the pixel buffer")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lanes > self.columns or self.vectors > self.columns:
            raise ConfigurationError(
                f"lanes = {self.lanes} and vectors = {self.vectors}: must be at most columns = {self.columns}"
            )

    @property
    def weight_bits(self) -> int:
        """Bits of a beat of the weight stream."""
        return self.columns * self.data_width

    @property
    def pixel_bits(self) -> int:
        """Bits of a beat of the pixel stream."""
        return self.vectors * self.rows * self.data_width

    @property
    def output_bits(self) -> int:
        """Bits of a beat of the output stream."""
        return self.lanes * self.rows * self.data_width
