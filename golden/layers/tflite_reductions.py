# SPDX-License-Identifier: Apache-2.0
"""TFLite's int8 operators that gather many values into one or order them: pools, reductions, softmax, resizing.

Arrays, quantisations and sources are as in `golden.layers.tflite`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from assay.golden.layers.linear import Window
from assay.golden.layers.tflite import accumulated
from assay.golden.schemes.tflite import (
    Affine,
    activation_range,
    clamped,
    divide_half_away,
    exp_on_negative_values,
    inverse_square_root,
    limits,
    log_of_one_or_more,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    softmax_parameters,
    softmax_shares,
)

__all__ = [
    "ArgExtreme",
    "AveragePool2D",
    "CumulativeSum",
    "L2Normalize",
    "LogSoftmax",
    "MaxPool2D",
    "Reduce",
    "ReduceSame",
    "ResizeBilinear",
    "Softmax",
    "TopK",
]

# Integers of 64 bits that stay in the cache from one step of an operator to the next.
_BLOCK_VALUES = 1 << 14


@dataclass(frozen=True, eq=False)
class MaxPool2D:
    """MAX_POOL_2D: the largest value of each window within the map, clamped.

    Source: internal/reference/integer_ops/pooling.h.
    """

    window: Window
    target: Affine
    activation: str = "NONE"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = self.window.largest(x.reshape(-1, *x.shape[2:]), limits(x.dtype)[0])
        y = np.clip(y, *activation_range(self.activation, self.target))
        return y.astype(x.dtype).reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True, eq=False)
class AveragePool2D:
    """AVERAGE_POOL_2D: the mean of each window's values within the map, ties away from zero, clamped.

    The integers themselves are averaged: input and output have one scale and zero point.
    Source: internal/reference/integer_ops/pooling.h.
    """

    window: Window
    target: Affine
    activation: str = "NONE"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *x.shape[2:])
        means = divide_half_away(self.window.totals(images), self.window.counts(images.shape[1:3]))
        y = np.clip(means, *activation_range(self.activation, self.target))
        return y.astype(x.dtype).reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True, eq=False)
class Reduce:
    """MEAN and SUM over axes: the sum of x - zero_point, rescaled; MEAN's factor includes 1 / count.

    MEAN does not divide: it widens the multiplier by as many bits as the count has, and divides that, truncating,
    so that the factor is up to 31 bits of input scale / (output scale * count).
    Source: `QuantizedMeanOrSum`, internal/reference/reduce.h, with reduce.cc. The binary ai-edge-litert 2.3.0 deviates
    from that source: its reference SUM reads int8 data as uint8 and saturates to 0 and 255. Here SUM follows the
    source and sums int8, as the optimised kernel does, which rounds otherwise.

    Attributes:
        axes: not negative, each once.
        shape: of the output, without runs.
        count: of values summed for each output.
        factor: multiplier and shift (derived).
    """

    axes: tuple[int, ...]
    shape: tuple[int, ...]
    count: int
    source: Affine
    target: Affine
    mean: bool
    factor: tuple[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        factor = np.float64(self.source.scale[0]) / np.float64(self.target.scale[0])
        multiplier, shift = quantize_multiplier(factor)
        if self.mean:
            bits = min(self.count.bit_length() - 1, 32, 31 + shift)
            multiplier, shift = (multiplier << bits) // self.count, shift - bits
        object.__setattr__(self, "factor", (multiplier, shift))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        total = x.sum(axis=tuple(axis + 1 for axis in self.axes), dtype=np.int64)
        total -= int(self.source.zero_point[0]) * self.count
        y = multiply_by_quantized_multiplier(accumulated(total), *self.factor)
        low, high = limits(self.target.dtype)
        y = clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)
        return y.reshape(len(x), *self.shape)


@dataclass(frozen=True, eq=False)
class ReduceSame:
    """REDUCE_MAX and REDUCE_MIN over axes, of integers of one scale; REDUCE_ANY and REDUCE_ALL; REDUCE_PROD of sizes,
    in 32 or 64 bits that wrap. Source: `EvalType`, reduce.cc.

    Attributes:
        function: np.max, np.min, np.any, np.all or np.prod.
        axes: not negative, each once.
        shape: of the output, without runs.
    """

    function: Callable[..., np.ndarray]
    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = self.function(x, axis=tuple(axis + 1 for axis in self.axes))
        return y.astype(x.dtype).reshape(len(x), *self.shape)


@dataclass(frozen=True, eq=False)
class ArgExtreme:
    """ARG_MAX and ARG_MIN: the first place of the greatest or least value. Source: internal/reference/arg_min_max.h.

    Attributes:
        function: np.argmax or np.argmin.
    """

    function: Callable[..., np.ndarray]
    axis: int
    dtype: np.dtype

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.function(x, axis=self.axis + 1).astype(self.dtype)


@dataclass(frozen=True)
class CumulativeSum:
    """CUMSUM along an axis, one sum after the other; exclusive: without the value itself; reverse: from the end.

    Source: `CumSum`, internal/reference/cumsum.h.
    """

    axis: int
    exclusive: bool
    reverse: bool

    def __call__(self, x: np.ndarray) -> np.ndarray:
        values = np.moveaxis(x, self.axis + 1, 0)[:: -1 if self.reverse else 1]
        # The sum begins with 0, which a sum of -0 shows.
        sums = np.cumsum(values, axis=0, dtype=x.dtype) + x.dtype.type(0)
        if self.exclusive:
            sums = np.concatenate([np.zeros_like(sums[:1]), sums[:-1]])
        return np.moveaxis(sums[:: -1 if self.reverse else 1], 0, self.axis + 1)


@dataclass(frozen=True)
class TopK:
    """TOPK_V2: the greatest values of the last axis in descending order, the first of equals first, and their places.

    Source: topk_v2.cc.
    """

    count: int

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Descending and yet stable: sorted by the complement, which no integer lacks; a float's is its negative.
        places = np.argsort(-x if x.dtype.kind == "f" else ~x, axis=-1, kind="stable")[..., : self.count]
        return np.take_along_axis(x, places, -1), places.astype(np.int32)


@dataclass(frozen=True, eq=False)
class L2Normalize:
    """L2_NORMALIZATION over the last axis: each x - zero_point times the fixed-point 1 / sqrt of the sum of their
    squares, in units of 1/128.

    Source: internal/reference/integer_ops/l2normalization.h.
    """

    source: Affine

    def __call__(self, x: np.ndarray) -> np.ndarray:
        values = x.astype(np.int64) - self.source.zero_point[0]
        root, shift = inverse_square_root((values * values).sum(axis=-1, keepdims=True))
        y = multiply_by_quantized_multiplier(values, root, shift + 7)
        return np.clip(y, *limits(x.dtype)).astype(x.dtype)


@dataclass(frozen=True, eq=False)
class ResizeBilinear:
    """RESIZE_BILINEAR of int8 maps: weights of 10 bits from the two nearest rows and columns, the sum of 20 bits
    rounded with ties away from zero.

    Source: `ResizeBilinear` for int8, internal/reference/resize_bilinear.h.

    Attributes:
        size: rows and columns of the output.
        align_corners: the first and last pixels' centres coincide.
        half_pixel_centers: pixels have their centres at 0.5, 1.5...
    """

    size: tuple[int, int]
    align_corners: bool
    half_pixel_centers: bool

    UNIT = 1 << 10

    def __call__(self, x: np.ndarray) -> np.ndarray:
        # Within 32 bits: a value of 8 bits times two weights, each from -1/2 to 3/2 of the unit.
        y = x.astype(np.int32)
        for axis, size in zip((2, 3), self.size, strict=True):
            low, high, fraction = self._places(x.shape[axis], size)
            fraction = fraction.astype(np.int32).reshape(-1, *(1,) * (x.ndim - axis - 1))
            y = y.take(low, axis) * (self.UNIT - fraction) + y.take(high, axis) * fraction
        half = self.UNIT**2 // 2
        return np.where(y > 0, (y + half) >> 20, -((half - y) >> 20)).astype(x.dtype)

    def _places(self, length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each output row: the row below, the row above, and the share of the latter in 1/1024."""
        corners = self.align_corners and size > 1
        length_less, size_less = (length - 1, size - 1) if corners else (length, size)
        step = (self.UNIT * length_less + size_less // 2) // size_less
        place = np.arange(size, dtype=np.int64) * step
        if self.half_pixel_centers:
            place += step // 2 - self.UNIT // 2
        # Divisions truncate, but for the low end, where both rows are row 0.
        low = np.clip(place // self.UNIT, 0, length - 1)
        high = np.clip((place + self.UNIT - 1) // self.UNIT, 0, length - 1)
        return low, high, place - self.UNIT * low


@dataclass(frozen=True, eq=False)
class Softmax:
    """SOFTMAX over the last axis in fixed point: exponentials of differences from the maximum, and a reciprocal.

    Source: internal/reference/softmax.h; gemmlowp/fixedpoint/fixedpoint.h.

    Attributes:
        exponentials: int64 `[256]`, of the differences 0 to -255, without integer bits; 0 where they count as nothing.
    """

    source: Affine
    target: Affine
    beta: float
    exponentials: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        multiplier, shift, least = softmax_parameters(self.source.scale[0], self.beta)
        differences = -np.arange(256, dtype=np.int64)
        with np.errstate(over="ignore"):
            scaled = saturating_rounding_doubling_high_mul(differences << shift, multiplier)
        table = exp_on_negative_values(np.where(differences >= least, scaled, 0))
        # The reference puts out the least value for a difference below `least`; an exponential of 0 makes the same.
        object.__setattr__(self, "exponentials", np.where(differences >= least, table, 0))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        low, _ = limits(self.target.dtype)
        y = np.empty(x.shape, self.target.dtype)
        rows, results = (a.reshape(-1, x.shape[-1]) for a in (np.ascontiguousarray(x), y))
        step = max(1, _BLOCK_VALUES // x.shape[-1])
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            # Differences of 8-bit integers are what unsigned ones give, which wrap.
            differences = part.max(axis=-1, keepdims=True).view(np.uint8) - part.view(np.uint8)
            shares = softmax_shares(self.exponentials.take(differences), self.target.dtype.itemsize * 8)
            results[first : first + step] = np.add(shares, low, out=shares)
        return y


@dataclass(frozen=True, eq=False)
class LogSoftmax:
    """LOG_SOFTMAX over the last axis: each difference from the maximum less the logarithm of the sum of their
    exponentials, in units of 1/16 from -255/16 to 0.

    Source: internal/reference/integer_ops/log_softmax.h; `PreprocessLogSoftmaxScalingExp`,
    internal/quantization_util.cc, and `LogSoftmaxPrepare`, activations.cc.
    """

    source: Affine
    _differences: np.ndarray = field(init=False, repr=False)
    _exponentials: np.ndarray = field(init=False, repr=False)
    _least: int = field(init=False, repr=False)
    _back: tuple[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        multiplier, shift, least = softmax_parameters(self.source.scale[0], 1.0)
        differences = -np.arange(256, dtype=np.int64)
        counts = differences >= least
        scaled = multiply_by_quantized_multiplier(np.where(counts, differences, 0), multiplier, shift)
        exponentials = np.where(counts, rounding_divide_by_pot(exp_on_negative_values(scaled), 12), 0)
        object.__setattr__(self, "_differences", scaled)
        object.__setattr__(self, "_exponentials", exponentials)
        object.__setattr__(self, "_least", least)
        object.__setattr__(self, "_back", quantize_multiplier((1 << (31 - shift)) / multiplier))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        low, high = limits(x.dtype)
        x = x.astype(np.int64)
        places = x.max(axis=-1, keepdims=True) - x
        log = log_of_one_or_more(self._exponentials[places].sum(axis=-1, keepdims=True))
        # Below this difference the result would leave 5 integer bits.
        least = multiply_by_quantized_multiplier(log - (1 << 31), *self._back)
        counts = -places > np.maximum(self._least - 1, least)
        y = rounding_divide_by_pot(self._differences[places] - log, 22) + high
        return np.where(counts, np.clip(y, low, high), low).astype(np.int8)
