# SPDX-License-Identifier: Apache-2.0
"""Affine quantisation, as TFLite's and ONNX's files state it for a tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.golden.errors import ConfigurationError

__all__ = ["Affine"]


@dataclass(frozen=True, eq=False)
class Affine:
    """Affine quantisation of a tensor: real = scale * (q - zero_point), per tensor or along one axis.

    Attributes:
        scale: float32 `[1]`, or `[C]` along `axis`, each finite and above 0.
        zero_point: int64 of `scale`'s shape, within the range.
        axis: the axis of a per-axis tensor, else None.
        dtype: int8, uint8, int16, uint16 or int32; int8 and uint8 also hold int4 and uint4.
        bits: 4 for int4 and uint4, else None.

    Raises:
        ConfigurationError: a scale or zero point out of range, or arrays of unlike length.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None
    dtype: np.dtype
    bits: int | None = None

    def __post_init__(self) -> None:
        scale, zero_point = np.asarray(self.scale, np.float32), np.asarray(self.zero_point, np.int64)
        if scale.ndim != 1 or scale.size == 0 or zero_point.shape != scale.shape:
            raise ConfigurationError(
                f"scale has shape {list(scale.shape)} and zero_point {list(zero_point.shape)}, "
                f"but both must be one list of 1 or more values"
            )
        wrong = ~(np.isfinite(scale) & (scale > 0))
        if wrong.any():
            raise ConfigurationError(f"scale is {scale[wrong][0]}, but must be finite and above 0")
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "zero_point", zero_point)
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        low, high = self.limits
        if zero_point.min() < low or zero_point.max() > high:
            bad = zero_point[(zero_point < low) | (zero_point > high)][0]
            raise ConfigurationError(f"zero_point is {bad}, but {self.type} allows {low} to {high}")

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest integer."""
        if self.bits is None:
            info = np.iinfo(self.dtype)
            return int(info.min), int(info.max)
        return (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.dtype.kind == "i" else (0, 15)

    @property
    def type(self) -> str:
        """Name of the integers: int8, uint4."""
        return self.dtype.name if self.bits is None else f"{self.dtype.name.rstrip('8')}{self.bits}"

    @property
    def per_axis(self) -> bool:
        """Whether each index of `axis` has its own scale."""
        return self.axis is not None

    def along(self, values: np.ndarray, rank: int) -> np.ndarray:
        """`scale` or `zero_point` shaped to broadcast against an array `[runs, *shape]` whose shape has `rank` axes."""
        if self.axis is None:
            return values[0]
        return values.reshape([-1 if axis == self.axis else 1 for axis in range(rank)])

    def __str__(self) -> str:
        if self.per_axis:
            return f"{self.type} axis {self.axis} x{self.scale.size}"
        return f"{self.type} {self.scale[0]:.6g} zp {self.zero_point[0]}"
