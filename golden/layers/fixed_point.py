# SPDX-License-Identifier: Apache-2.0
"""Operators of the fixed-point ONNX scheme, each an exact rational rounded once (`golden.schemes.fixed_point.rescale`).

Arrays are `[runs, *shape]`, int8, in ONNX's axis order: maps are `[N, C, H, W]`. Scales are exponents of two. The
operators' shapes and attributes are ONNX's (https://onnx.ai/onnx/operators/), their numbers those of the ACCESS guide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from assay.golden.layers.linear import Convolution, Window, sums_of_products
from assay.golden.layers.tflite import Pairwise
from assay.golden.layers.tflite_tables import Lookup
from assay.golden.rounding import round_fraction
from assay.golden.schemes.fixed_point import (
    WeightScale,
    check_accumulator,
    hard_swish_chords,
    plan_sigmoid,
    plan_tanh,
    rescale,
)

__all__ = [
    "STEPWISE",
    "AveragePool",
    "Conv",
    "Gemm",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "PRelu",
    "ReduceSum",
    "Relu",
    "Stepwise",
    "add",
    "div",
]

# Stepwise linear activations, by ONNX's name of the operator.
STEPWISE = {"HardSwish": hard_swish_chords, "Sigmoid": plan_sigmoid, "Tanh": plan_tanh}


@dataclass(frozen=True, eq=False)
class Conv:
    """Conv, standard (groups 1) and depthwise: S_w * S_a * (acc + bias) / S_out, outside the map 0.

    Attributes:
        convolution: weights `[K, fH, fW, C / groups]`, int8, and bias `[K]`, int16, in units of S_w * S_a.
        scales: S_w of each output channel.
        source, target: exponents of S_a and S_out.

    Raises:
        DoesNotFitError: sums may exceed 2**44.
    """

    convolution: Convolution
    scales: tuple[WeightScale, ...]
    source: int
    target: int
    _shift: np.ndarray = field(init=False, repr=False)
    _divisor: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_accumulator(self.convolution.bound)
        shift = [scale.exponent + self.source - self.target for scale in self.scales]
        object.__setattr__(self, "_shift", np.array(shift, np.int64))
        object.__setattr__(self, "_divisor", np.array([scale.divisor for scale in self.scales], np.int64))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 1)
        size = self.convolution.window.output_size(images.shape[1:3])
        y = np.empty((len(images), *size, len(self.scales)), np.int8)
        for block, sums in self.convolution.blocks(images):
            y[block] = rescale(sums.astype(np.int64) + self.convolution.offset, self._shift, self._divisor)
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2)).reshape(*x.shape[:2], len(self.scales), *size)


@dataclass(frozen=True, eq=False)
class Gemm:
    """Fully connected (Gemm, or MatMul by stored weights): `[..., I]` to `[..., O]`, as a convolution over vectors.

    Attributes:
        layer: a 1x1 `Conv` with weights `[O, 1, 1, I]`.
    """

    layer: Conv

    def __call__(self, x: np.ndarray) -> np.ndarray:
        y = self.layer(x.reshape(1, -1, x.shape[-1], 1, 1))
        return y.reshape(*x.shape[:-1], len(self.layer.scales))


@dataclass(frozen=True, eq=False)
class MatMul:
    """MatMul of two tensors, as `numpy.matmul` broadcasts: S_A * S_B * sum / S_out.

    Attributes:
        sources, target: exponents of S_A, S_B and S_out.
        terms: of each sum.

    Raises:
        DoesNotFitError: sums may exceed 2**44.
    """

    sources: tuple[int, int]
    target: int
    terms: int

    def __post_init__(self) -> None:
        check_accumulator(self.terms * 128 * 128)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        a, b = (x.reshape(len(x), *(1,) * (rank - x.ndim), *x.shape[1:]) for x in (a, b))
        return rescale(sums_of_products(a, b, magnitude=128 * 128), sum(self.sources) - self.target)


@dataclass(frozen=True)
class Relu:
    """max(x, 0); the scale is kept."""

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, np.int8(0))


@dataclass(frozen=True, eq=False)
class PRelu:
    """x where it is not negative, else x * slope; the scale is kept.

    Attributes:
        slope: float32, finite, of ONNX's shape: it broadcasts against the last axes of x. Its exact value counts.
    """

    slope: np.ndarray
    _mantissa: np.ndarray = field(init=False, repr=False)
    _exponent: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mantissa, exponent = np.frexp(self.slope.astype(np.float64))
        # A float32 is a 24-bit integer times a power of two: |x * integer| <= 2**31.
        object.__setattr__(self, "_mantissa", np.ldexp(mantissa, 24).astype(np.int64))
        object.__setattr__(self, "_exponent", exponent.astype(np.int64) - 24)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        sloped = rescale(x.astype(np.int64) * self._mantissa, self._exponent)
        return np.where(x >= 0, x, sloped)


@dataclass(frozen=True, eq=False)
class LeakyRelu:
    """`PRelu` with one slope, from a table.

    Attributes:
        alpha: float32, finite.
    """

    alpha: float
    _lookup: Lookup = field(init=False, repr=False)

    def __post_init__(self) -> None:
        slope = PRelu(np.array([self.alpha], np.float32))
        object.__setattr__(self, "_lookup", Lookup(slope(np.arange(-128, 128).astype(np.int8))))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._lookup(x)


@dataclass(frozen=True, eq=False)
class Stepwise:
    """Tanh, Sigmoid, HardSwish: f(S_in * x) / S_out with the function's stepwise linear form, from a table.

    Attributes:
        function: a name of `STEPWISE`.
        source, target: exponents of S_in and S_out.
    """

    function: str
    source: int
    target: int
    _lookup: Lookup = field(init=False, repr=False)

    def __post_init__(self) -> None:
        function, unit, step = STEPWISE[self.function], Fraction(2) ** self.source, Fraction(2) ** self.target
        exact = [round_fraction(function(x * unit) / step, "half_away") for x in range(-128, 128)]
        table = np.array([min(max(y, -128), 127) for y in exact], np.int8)
        object.__setattr__(self, "_lookup", Lookup(table))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self._lookup(x)


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest value of each window within the map; the scale is kept.

    Attributes:
        window: its padding is below its kernel, so that every window holds a value.
    """

    window: Window

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 1)
        y = self.window.largest(images, -128).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(y).reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True, eq=False)
class AveragePool:
    """S_in * sum / (count * S_out) of each window; the count is of values within the map, or of the whole kernel.

    Attributes:
        window: kernel of up to 15x15, so that a count fits `rescale`'s divisor.
        source, target: exponents of S_in and S_out.
        include_padding: ONNX's count_include_pad.
    """

    window: Window
    source: int
    target: int
    include_padding: bool = False

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 1)
        count = self.window.counts(images.shape[1:3])
        if self.include_padding:
            count = np.full_like(count, self.window.kernel[0] * self.window.kernel[1])
        y = rescale(self.window.totals(images), self.source - self.target, count).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(y).reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True, eq=False)
class ReduceSum:
    """S_in * sum / S_out over axes.

    Attributes:
        axes: of the tensor's own shape, not negative, each once.
        keepdims: whether they stay as 1.
        source, target: exponents of S_in and S_out.
    """

    axes: tuple[int, ...]
    keepdims: bool
    source: int
    target: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        total = x.sum(axis=tuple(axis + 1 for axis in self.axes), dtype=np.int64, keepdims=self.keepdims)
        return rescale(total, self.source - self.target)


@dataclass(frozen=True)
class Sum:
    """(S_a * a + S_b * b) / S_out, in Python's integers because exponents may lie 253 apart."""

    sources: tuple[int, int]
    target: int

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        unit = min(self.sources)
        first, second = (
            x.astype(object) << exponent - unit for x, exponent in zip((a, b), self.sources, strict=True)
        )
        total = first + second
        step = Fraction(2) ** (unit - self.target)
        distinct, inverse = np.unique(total, return_inverse=True)
        rounded = [min(max(round_fraction(n * step, "half_away"), -128), 127) for n in distinct]
        return np.array(rounded, np.int8)[inverse].reshape(total.shape)


@dataclass(frozen=True)
class Quotient:
    """S_a * a / (S_b * b * S_out); for b = 0 the end that a's sign calls for, and 0 for a = 0."""

    sources: tuple[int, int]
    target: int

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = np.broadcast_arrays(a.astype(np.int64), b.astype(np.int64))
        shift = self.sources[0] - self.sources[1] - self.target
        quotient = rescale(a * np.where(b < 0, -1, 1), shift, np.maximum(np.abs(b), 1))
        return np.where(b == 0, np.clip(a * 128, -128, 127), quotient).astype(np.int8)


def add(sources: tuple[int, int], target: int) -> Pairwise:
    """Add of two tensors, which broadcast; exponents of their scales and of the output's."""
    return Pairwise(Sum(sources, target))


def div(sources: tuple[int, int], target: int) -> Pairwise:
    """Div of two tensors, which broadcast; exponents of their scales and of the output's."""
    return Pairwise(Quotient(sources, target))
