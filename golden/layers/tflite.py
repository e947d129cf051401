"""TFLite's int8 operators, each the definition of a LiteRT reference kernel, vectorised over runs.

Arrays are `[runs, *shape]` in the tensor's own dtype and axis order, as `golden.graph` gives them. Each class is built
from `Affine` quantisations and plain attributes; its docstring names the kernel's source, relative to tflite/kernels/
in https://github.com/google-ai-edge/LiteRT. The fixed-point arithmetic is `golden.schemes.tflite`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from golden.errors import ConfigurationError
from golden.layers.linear import Convolution, Window, sums_of_products
from golden.schemes.tflite import (
    Affine,
    FloatRescale,
    Rescale,
    activation_range,
    divide_half_away,
    exp_on_negative_values,
    float_table,
    hard_swish,
    limits,
    multiply_by_quantized_multiplier,
    one_over_one_plus_x,
    quantize_multiplier,
    round_half_away,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
    softmax_parameters,
)

__all__ = [
    "Add",
    "AveragePool2D",
    "BatchMatMul",
    "Conv2D",
    "Dequantize",
    "FullyConnected",
    "Lookup",
    "MaxPool2D",
    "Multiply",
    "Pairwise",
    "Prelu",
    "Quantize",
    "Reduce",
    "Softmax",
    "convolution_factors",
    "hard_swish_table",
    "leaky_relu_table",
    "logistic_table",
    "relu_table",
    "requantize_table",
    "tanh_table",
]


def convolution_factors(source: Affine, weight: Affine, target: Affine) -> np.ndarray:
    """input scale * weight scale / output scale in float64, one for each of the weight's scales.

    Source: `PopulateConvolutionQuantizationParams`, kernel_util.cc; fully_connected.h.
    """
    return source.scale.astype(np.float64) * weight.scale.astype(np.float64) / np.float64(target.scale[0])


def _clamped(x: np.ndarray, zero_point: int, low: int, high: int, dtype: np.dtype) -> np.ndarray:
    """x + zero_point within low to high; `x` is consumed."""
    x += zero_point
    return np.clip(x, low, high, out=x).astype(dtype)


def _accumulated(sums: np.ndarray) -> np.ndarray:
    """64-bit sums as the kernels' 32-bit accumulators hold them (which wrap; in C that is undefined)."""
    return sums.astype(np.int32).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Conv2D:
    """CONV_2D and DEPTHWISE_CONV_2D: sums of (x - zero_point) * weight plus bias, rescaled per output channel.

    Source: internal/reference/integer_ops/conv.h and depthwise_conv.h; conv.cc for groups.

    Attributes:
        convolution: the exact sums.
        rescale: of the output channels.
        target: quantisation of the output.
        activation: fused.
    """

    convolution: Convolution
    rescale: Rescale | FloatRescale
    target: Affine
    activation: str = "NONE"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *x.shape[2:])
        size = self.convolution.window.output_size(images.shape[1:3])
        low, high = activation_range(self.activation, self.target)
        zero_point, dtype = int(self.target.zero_point[0]), self.target.dtype
        y = np.empty((len(images), *size, len(self.convolution.weight)), dtype)
        in_floats = isinstance(self.rescale, Rescale) and self.rescale.exact_in_float64(
            self.convolution.bound
        )
        for block, sums in self.convolution.blocks(images):
            if in_floats:
                y[block] = self.rescale.saturated(sums, zero_point, low, high)
            else:
                sums = _accumulated(sums.astype(np.int64))
                y[block] = _clamped(self.rescale.apply(sums), zero_point, low, high, dtype)
        return y.reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True, eq=False)
class FullyConnected:
    """FULLY_CONNECTED: as a convolution over vectors, rescaled in float64; weights `[O, I]`, per tensor or output.

    Source: internal/reference/integer_ops/fully_connected.h.

    Attributes:
        layer: a 1x1 convolution with the weights and a `FloatRescale`.
        shape: of the output, without runs.
    """

    layer: Conv2D
    shape: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        inputs = self.layer.convolution.weight.shape[3]
        return self.layer(x.reshape(1, -1, 1, 1, inputs)).reshape(len(x), *self.shape)


@dataclass(frozen=True, eq=False)
class BatchMatMul:
    """BATCH_MATMUL: matrix product of two tensors over broadcast leading axes, rescaled.

    Source: internal/reference/batch_matmul.h with batch_matmul.cc; `GetQuantizedConvolutionMultipler`, kernel_util.cc,
    rounds the product of the input scales to float32.
    """

    sources: tuple[Affine, Affine]
    target: Affine
    adjoint: tuple[bool, bool] = (False, False)
    rescale: Rescale = field(init=False)

    def __post_init__(self) -> None:
        product = (self.sources[0].scale * self.sources[1].scale).astype(np.float64)
        object.__setattr__(self, "rescale", Rescale.of(product / np.float64(self.target.scale[0])))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        operands = []
        for x, source, adjoint in zip((a, b), self.sources, self.adjoint, strict=True):
            x = _ranked(x, rank).astype(np.int64) - source.zero_point[0]
            operands.append(x.swapaxes(-1, -2) if adjoint else x)
        sums = sums_of_products(*operands, magnitude=255 * 255)
        low, high = limits(self.target.dtype)
        y = self.rescale.apply(_accumulated(sums))
        return _clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)


def _ranked(x: np.ndarray, ndim: int) -> np.ndarray:
    """`x` `[runs, *shape]` with axes of 1 put before `shape` until it has `ndim` axes, to broadcast."""
    return x.reshape(len(x), *(1,) * (ndim - x.ndim), *x.shape[1:])


@dataclass(frozen=True, eq=False)
class Add:
    """ADD and SUB: both inputs shifted left by 20 bits, brought to twice the larger scale, summed, rescaled.

    Source: internal/reference/integer_ops/add.h with add.cc; internal/reference/sub.h with sub.cc. SUB subtracts
    the rescaled second input (it does not negate a multiplier, which would round ties the other way).

    Attributes:
        rescales: of both inputs and of their sum (derived).

    Raises:
        ConfigurationError: an output scale so small that its factor reaches 1: there the reference ADD aborts, and SUB
            shifts by a negative number of bits, which is undefined.
    """

    sources: tuple[Affine, Affine]
    target: Affine
    activation: str = "NONE"
    subtract: bool = False
    rescales: tuple[Rescale, Rescale, Rescale] = field(init=False, repr=False)

    SHIFT = 20

    def __post_init__(self) -> None:
        scales = [np.float64(source.scale[0]) for source in self.sources]
        unit = 2 * max(scales)
        factor = unit / np.float64(np.float32(1 << self.SHIFT) * self.target.scale[0])
        if factor >= 1:
            raise ConfigurationError(
                f"output scale is {self.target.scale[0]}, but must be above {unit / (1 << self.SHIFT)}, "
                f"the inputs' larger scale / 2**{self.SHIFT - 1}"
            )
        rescales = (Rescale.of(scales[0] / unit), Rescale.of(scales[1] / unit), Rescale.of(factor))
        object.__setattr__(self, "rescales", rescales)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        # Each operand has at most 256 values: their rescaled forms are tabulated.
        scaled = [
            _lookup(_ranked(x, rank), self._scaled(source, rescale))
            for x, source, rescale in zip((a, b), self.sources, self.rescales[:2], strict=True)
        ]
        total = scaled[0] - scaled[1] if self.subtract else scaled[0] + scaled[1]
        low, high = activation_range(self.activation, self.target)
        y = self.rescales[2].apply(total)
        return _clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)

    def _scaled(self, source: Affine, rescale: Rescale) -> np.ndarray:
        low, high = limits(source.dtype)
        return rescale.apply((np.arange(low, high + 1) - source.zero_point[0]) << self.SHIFT)


@dataclass(frozen=True, eq=False)
class Multiply:
    """MUL: the product of both inputs' differences from their zero points, rescaled.

    Source: internal/reference/integer_ops/mul.h; mul.cc computes scale1 * scale2 / scale in float32.
    """

    sources: tuple[Affine, Affine]
    target: Affine
    activation: str = "NONE"
    rescale: Rescale = field(init=False)

    def __post_init__(self) -> None:
        factor = self.sources[0].scale[0] * self.sources[1].scale[0] / self.target.scale[0]
        object.__setattr__(self, "rescale", Rescale.of(np.float64(factor)))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        a, b = (
            _ranked(x, rank).astype(np.int64) - source.zero_point[0]
            for x, source in zip((a, b), self.sources, strict=True)
        )
        low, high = activation_range(self.activation, self.target)
        y = self.rescale.apply(a * b)
        return _clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)


@dataclass(frozen=True, eq=False)
class Prelu:
    """PRELU: x where it is not negative, else x * alpha, each with its own factor; alpha broadcasts.

    Source: internal/reference/prelu.h; activations.cc computes the factors in float32.

    Attributes:
        rescales: of values that are not negative, and of products with alpha (derived).
    """

    source: Affine
    alpha: Affine
    target: Affine
    rescales: tuple[Rescale, Rescale] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        same = self.source.scale[0] / self.target.scale[0]
        sloped = self.source.scale[0] * self.alpha.scale[0] / self.target.scale[0]
        rescales = (Rescale.of(np.float64(same)), Rescale.of(np.float64(sloped)))
        object.__setattr__(self, "rescales", rescales)

    def __call__(self, x: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        rank = max(x.ndim, alpha.ndim)
        x = _ranked(x, rank).astype(np.int64) - self.source.zero_point[0]
        alpha = _ranked(alpha, rank).astype(np.int64) - self.alpha.zero_point[0]
        sloped = self.rescales[1].apply(x * alpha)
        y = np.where(x >= 0, self.rescales[0].apply(x.copy()), sloped)
        low, high = limits(self.target.dtype)
        return _clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)


@dataclass(frozen=True, eq=False)
class MaxPool2D:
    """MAX_POOL_2D: the largest value of each window within the map, clamped.

    Source: internal/reference/integer_ops/pooling.h.
    """

    window: Window
    target: Affine
    activation: str = "NONE"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = self.window.padded(x.reshape(-1, *x.shape[2:]), limits(x.dtype)[0], x.dtype)
        y = None
        for tap in self.window.taps(images):
            y = tap.copy() if y is None else np.maximum(y, tap, out=y)
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
        ones = np.ones((1, *images.shape[1:3], 1), np.int64)
        total = sum(tap.astype(np.int64) for tap in self.window.taps(self.window.padded(images, 0, x.dtype)))
        count = sum(self.window.taps(self.window.padded(ones, 0, np.int64)))
        y = np.clip(divide_half_away(total, count), *activation_range(self.activation, self.target))
        return y.astype(x.dtype).reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True, eq=False)
class Reduce:
    """MEAN and SUM over axes: the sum of x - zero_point, rescaled; MEAN's factor includes 1 / count.

    MEAN does not divide: it widens the multiplier by as many bits as the count has, and divides that, truncating,
    so that the factor is up to 31 bits of input scale / (output scale * count).
    Source: `QuantizedMeanOrSum`, internal/reference/reduce.h, with reduce.cc. The binary ai-edge-litert 2.3.0 deviates
    from that source: its reference SUM reads int8 data as uint8 and saturates to 0 and 255. Here SUM follows the
    source (and the optimised kernel) and sums int8.

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
        y = multiply_by_quantized_multiplier(_accumulated(total), *self.factor)
        low, high = limits(self.target.dtype)
        y = _clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)
        return y.reshape(len(x), *self.shape)


@dataclass(frozen=True, eq=False)
class Softmax:
    """SOFTMAX over the last axis in fixed point: exponentials of differences from the maximum, and a reciprocal.

    An exponential has no integer bits, their sum 12; its reciprocal is found after shifting it to 1 to 2.
    Source: internal/reference/softmax.h; gemmlowp/fixedpoint/fixedpoint.h.
    """

    source: Affine
    target: Affine
    beta: float
    _exponentials: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        multiplier, shift, least = softmax_parameters(self.source.scale[0], self.beta)
        # One entry for each possible difference 0 to -255; those below `least` count as nothing.
        differences = -np.arange(256, dtype=np.int64)
        with np.errstate(over="ignore"):
            scaled = saturating_rounding_doubling_high_mul(differences << shift, multiplier)
        table = exp_on_negative_values(np.where(differences >= least, scaled, 0))
        object.__setattr__(self, "_exponentials", np.where(differences >= least, table, -1))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        low, high = limits(self.target.dtype)
        x = x.astype(np.int64)
        exponentials = self._exponentials[x.max(axis=-1, keepdims=True) - x]
        counts = exponentials >= 0
        total = np.where(counts, rounding_divide_by_pot(exponentials, 12), 0).sum(axis=-1, keepdims=True)
        # Shift the sum left until its top bit is bit 31; without that bit it is x of 1 / (1 + x).
        headroom = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
        reciprocal = one_over_one_plus_x((total << headroom) - (1 << 31))
        bits_over_unit = 12 - headroom
        product = saturating_rounding_doubling_high_mul(reciprocal, exponentials)
        width = self.target.dtype.itemsize * 8
        y = rounding_divide_by_pot(product, np.minimum(bits_over_unit + 31 - width, 31)) + low
        return np.where(counts, np.minimum(y, high), low).astype(self.target.dtype)


@dataclass(frozen=True, eq=False)
class Pairwise:
    """Any operator that makes each value from two int8 values (ADD, SUB, MUL, PRELU), from a table of its 65,536
    results; operands broadcast.

    Attributes:
        operator: the definition, which is asked once for every pair.
    """

    operator: Add | Multiply | Prelu
    _table: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Both axes in the order of the values' bit patterns: 0 to 127, then -128 to -1.
        values = np.arange(256, dtype=np.uint8).view(np.int8)
        table = self.operator(values[None, :, None], values[None, None, :])
        object.__setattr__(self, "_table", table.reshape(-1))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        a, b = (np.ascontiguousarray(_ranked(x, rank)).view(np.uint8) for x in (a, b))
        return self._table.take((a.astype(np.uint16) << 8) | b)


@dataclass(frozen=True, eq=False)
class Lookup:
    """Any function of one 8-bit value, as the table of its 256 results in ascending order of input."""

    table: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return _lookup(x, self.table)


def _lookup(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """table[x - least value of x's dtype]; the table is turned so that a signed index needs no subtraction."""
    if x.dtype == np.int8:
        table = np.roll(table, 128)
    return table[np.ascontiguousarray(x).view(np.uint8)]


def _all_values(source: Affine) -> np.ndarray:
    """Every value of an 8-bit tensor less its zero point: int64 `[256]`."""
    low, high = limits(source.dtype)
    return np.arange(low, high + 1, dtype=np.int64) - source.zero_point[0]


def relu_table(source: Affine, target: Affine, activation: str) -> np.ndarray:
    """RELU, RELU6, RELU_N1_TO_1: rescaled by scale / scale (a float32), clamped.

    Source: `ReluX`, internal/reference/reference_ops.h; `ReluPrepare` and `QuantizedReluX`, activations.cc.
    """
    rescale = Rescale.of(np.float64(source.scale[0] / target.scale[0]))
    low, high = activation_range(activation, target)
    y = rescale.apply(_all_values(source))
    return _clamped(y, int(target.zero_point[0]), low, high, target.dtype)


def leaky_relu_table(source: Affine, target: Affine, alpha: float) -> np.ndarray:
    """LEAKY_RELU: x or, where negative, alpha * x, each with its own factor (computed in float32).

    Source: `QuantizeLeakyRelu`, internal/reference/leaky_relu.h; `LeakyReluPrepare`, activations.cc.
    """
    values = _all_values(source)
    same = Rescale.of(np.float64(source.scale[0] / target.scale[0]))
    sloped = Rescale.of(np.float64(source.scale[0] * np.float32(alpha) / target.scale[0]))
    y = np.where(values >= 0, same.apply(values.copy()), sloped.apply(values.copy()))
    return _clamped(y, int(target.zero_point[0]), *limits(target.dtype), target.dtype)


def logistic_table(source: Affine, target: Affine) -> np.ndarray:
    """LOGISTIC: 1 / (1 + exp(-x)) in float32. Source: `SigmoidPrepare`, activations.cc."""

    def logistic(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.float32(1) / (np.float32(1) + np.exp(-x.astype(np.float64)).astype(np.float32))

    return float_table(logistic, source, target).astype(target.dtype)


def tanh_table(source: Affine, target: Affine) -> np.ndarray:
    """TANH in float32. Source: `TanhPrepare`, activations.cc."""

    def tanh(x: np.ndarray) -> np.ndarray:
        return np.tanh(x.astype(np.float64)).astype(np.float32)

    return float_table(tanh, source, target).astype(target.dtype)


def hard_swish_table(source: Affine, target: Affine) -> np.ndarray:
    """HARD_SWISH; see `golden.schemes.tflite.hard_swish`."""
    values = _all_values(source) + source.zero_point[0]
    return hard_swish(values, source, target).astype(target.dtype)


def requantize_table(source: Affine, target: Affine) -> np.ndarray:
    """QUANTIZE from one 8-bit form to another.

    Source: internal/reference/requantize.h; quantize.cc computes scale / scale in float64.
    """
    rescale = Rescale.of(np.float64(source.scale[0]) / np.float64(target.scale[0]))
    y = rescale.apply(_all_values(source))
    return _clamped(y, int(target.zero_point[0]), *limits(target.dtype), target.dtype)


@dataclass(frozen=True, eq=False)
class Quantize:
    """QUANTIZE from float32: round(x / scale) + zero_point, ties away from zero, saturated.

    Where |x / scale| reaches 2**31 C's conversion to int32 is undefined (on x86 LiteRT gives the low end, or the high
    one if the zero point is negative); here it saturates as smaller values do.

    Source: `AffineQuantize`, internal/reference/quantize.h.
    """

    target: Affine

    def __call__(self, x: np.ndarray) -> np.ndarray:
        low, high = limits(self.target.dtype)
        with np.errstate(over="ignore"):
            steps = round_half_away(x / self.target.scale[0])
        # Saturated as a float first: the conversion of a larger one to an integer is undefined.
        steps = np.clip(steps.astype(np.float64) + self.target.zero_point[0], low, high)
        return steps.astype(self.target.dtype)


@dataclass(frozen=True, eq=False)
class Dequantize:
    """DEQUANTIZE: scale * (q - zero_point) in float64, rounded to float32.

    Source: internal/reference/dequantize.h.
    """

    source: Affine

    def __call__(self, x: np.ndarray) -> np.ndarray:
        table = np.float64(self.source.scale[0]) * _all_values(self.source)
        return _lookup(x, table.astype(np.float32))
