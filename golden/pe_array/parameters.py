# SPDX-License-Identifier: Apache-2.0
"""Build parameters of the PE array: the one place where a default is written.

The RTL reads them through the generated package ``rtl/pe_array/pe_array_pkg.sv`` (see `golden.pe_array.registers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.golden.errors import ConfigurationError

MAX_KERNEL = 11  #: rows and columns of the largest kernel
MAX_STRIDE = 4  #: largest vertical and horizontal stride
ACC_WIDTH = 32  #: accumulator bits; sums are kept modulo 2**32
MAX_DIVISOR = 255  #: largest a of a rational factor 2**n / a
SOFTMAX_DEPTH = 1024  #: elements of the longest vector of a softmax

#: Range of each parameter that has one.
RANGES = {
    "rows": (1, 32),
    "columns": (2, 256),
    "vectors": (1, 8),
    "lanes": (1, 16),
    "weight_depth": (2, 1 << 15),
    "pixel_depth": (2, 1 << 15),
}


@dataclass(frozen=True)
class PeArrayParameters:
    """Sizes of one array; field names are the RTL's parameter names in snake case.

    Raises `ConfigurationError` for a size outside the range the RTL supports.
    """

    rows: int = 8  #: output rows computed at a time
    columns: int = 24  #: multiply-accumulate elements in each row
    data_width: int = 8  #: bits of an activation, a weight, an output
    vectors: int = 8  #: columns of `rows` pixels in a beat of the pixel stream, each for its own channel
    lanes: int = 4  #: output channels rescaled in a clock, `rows` values each
    weight_depth: int = 2048  #: beats of weights that a tile may have; there is room for two tiles
    pixel_depth: int = 4096  #: beats of the pixel buffer

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"{name} = {value}: must be from {low} to {high}")
        for name in ("weight_depth", "pixel_depth"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ConfigurationError(f"{name} = {value}: must be a power of two")
        if self.data_width not in (4, 8, 16):
            raise ConfigurationError(f"data_width = {self.data_width}: must be 4, 8 or 16")
        if self.vectors & (self.vectors - 1):
            raise ConfigurationError(f"vectors = {self.vectors}: must be a power of two")
        if self.lanes > self.columns or self.vectors > self.columns:
            raise ConfigurationError(
                f"lanes = {self.lanes} and vectors = {self.vectors}: must be at most columns = {self.columns}"
            )

    @classmethod
    def of_rtl(cls, parameters: Mapping[str, int]) -> PeArrayParameters:
        """From parameters under the names of the RTL's top module; those left out have their defaults."""
        fields = {rtl: field for field, rtl in zip(vars(cls()), cls().rtl, strict=True)}
        return cls(**{fields[name]: value for name, value in parameters.items()})

    @property
    def rtl(self) -> dict[str, int]:
        """Parameters under the names of the RTL's top module."""
        return {
            "Rows": self.rows,
            "Columns": self.columns,
            "DataWidth": self.data_width,
            "Vectors": self.vectors,
            "Lanes": self.lanes,
            "WeightDepth": self.weight_depth,
            "PixelDepth": self.pixel_depth,
        }

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
