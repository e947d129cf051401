# SPDX-License-Identifier: Apache-2.0
"""TFLite's int8 operators, each the definition of a LiteRT reference kernel, vectorised over runs.

Arrays are `[runs, *shape]` in the tensor's own dtype and axis order, as `golden.graph` gives them. Each class is built
from `Affine` quantisations and plain attributes; its docstring names the kernel's source, relative to tflite/kernels/
in https://github.com/google-ai-edge/LiteRT. The fixed-point arithmetic is `golden.schemes.tflite`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.layers.linear import Convolution, TransposedConvolution, exact_float
from assay.golden.layers.requantise import Requantiser
from assay.golden.layers.shaping import ranked
from assay.golden.layers.tflite_tables import all_values, looked_up
from assay.golden.schemes.tflite import (
    ACTIVATIONS,
    Affine,
    FloatRescale,
    Rescale,
    activation_range,
    clamped,
    limits,
    quantize_multiplier,
    reciprocal,
    round_half_away,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)

__all__ = [
    "Add",
    "BatchMatMul",
    "Cast",
    "Comparison",
    "Conv2D",
    "Defined",
    "Dequantize",
    "Divide",
    "FullyConnected",
    "Multiply",
    "Pairwise",
    "Prelu",
    "Quantize",
    "Select",
    "SquaredDifference",
    "TransposeConv",
    "Unquantised",
    "accumulated",
    "convolution_factors",
]


def convolution_factors(source: Affine, weight: Affine, target: Affine) -> np.ndarray:
    """input scale * weight scale / output scale in float64, one for each of the weight's scales.

    Source: `PopulateConvolutionQuantizationParams`, kernel_util.cc; fully_connected.h.
    """
    return source.scale.astype(np.float64) * weight.scale.astype(np.float64) / np.float64(target.scale[0])


def accumulated(sums: np.ndarray) -> np.ndarray:
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
    _requantiser: Requantiser = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sums, (low, high) = self.convolution, activation_range(self.activation, self.target)
        zero_point, dtype = int(self.target.zero_point[0]), self.target.dtype
        requantiser = Requantiser(self.rescale, sums.offset, sums.reach, zero_point, low, high, dtype)
        object.__setattr__(self, "_requantiser", requantiser)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *x.shape[2:])
        size = self.convolution.window.output_size(images.shape[1:3])
        y = np.empty((len(images), *size, len(self.convolution.weight)), self.target.dtype)
        self._requantiser.run(self.convolution.blocks(images), y)
        return y.reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True, eq=False)
class TransposeConv:
    """TRANSPOSE_CONV: each input value adds its product with the kernel to the outputs around it, then the bias;
    rescaled per output channel.

    Source: internal/reference/integer_ops/transpose_conv.h.

    Attributes:
        convolution: the exact sums.
        rescale: of the output channels.
        target: quantisation of the output.
        activation: fused.
    """

    convolution: TransposedConvolution
    rescale: Rescale
    target: Affine
    activation: str = "NONE"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *x.shape[2:])
        low, high = activation_range(self.activation, self.target)
        y = np.empty((len(images), *self.convolution.size, self.convolution.weight.shape[0]), x.dtype)
        for number, image in enumerate(images):
            sums = accumulated(self.convolution.sums(image))
            y[number] = clamped(
                self.rescale.apply(sums), int(self.target.zero_point[0]), low, high, self.target.dtype
            )
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
        rank, dtype = max(a.ndim, b.ndim), self.target.dtype
        operands = []
        for x, source, adjoint in zip((a, b), self.sources, self.adjoint, strict=True):
            x = ranked(x, rank)
            operands.append((x.swapaxes(-1, -2) if adjoint else x, int(source.zero_point[0])))
        reach = np.array([255 * 255 * operands[0][0].shape[-1]])
        float_type = exact_float(int(reach[0]))
        zero_point, (low, high) = int(self.target.zero_point[0]), limits(dtype)
        requantiser = Requantiser(self.rescale, np.zeros(1, np.int64), reach, zero_point, low, high, dtype)

        def blocks() -> Iterator[tuple[int, np.ndarray]]:
            for run in range(runs):
                a, b = (x[min(run, len(x) - 1)].astype(float_type) - zero for x, zero in operands)
                yield run, (a @ b)[..., None]

        runs = max(len(x) for x, _ in operands)
        lead = np.broadcast_shapes(*(x.shape[1:-2] for x, _ in operands))
        y = np.empty((runs, *lead, operands[0][0].shape[-2], operands[1][0].shape[-1], 1), dtype)
        requantiser.run(blocks(), y)
        return y[..., 0]


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
            looked_up(ranked(x, rank), self._scaled(source, rescale))
            for x, source, rescale in zip((a, b), self.sources, self.rescales[:2], strict=True)
        ]
        total = scaled[0] - scaled[1] if self.subtract else scaled[0] + scaled[1]
        low, high = activation_range(self.activation, self.target)
        y = self.rescales[2].apply(total)
        return clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)

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
            ranked(x, rank).astype(np.int64) - source.zero_point[0]
            for x, source in zip((a, b), self.sources, strict=True)
        )
        low, high = activation_range(self.activation, self.target)
        y = self.rescale.apply(a * b)
        return clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)


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
        x = ranked(x, rank).astype(np.int64) - self.source.zero_point[0]
        alpha = ranked(alpha, rank).astype(np.int64) - self.alpha.zero_point[0]
        sloped = self.rescales[1].apply(x * alpha)
        y = np.where(x >= 0, self.rescales[0].apply(x.copy()), sloped)
        low, high = limits(self.target.dtype)
        return clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)


@dataclass(frozen=True, eq=False)
class SquaredDifference:
    """SQUARED_DIFFERENCE: both inputs shifted left by 7 bits and brought to twice the larger scale; the square of
    their difference is rescaled.

    Source: squared_difference.cc, whose factors are float32 where both of their operands are.

    Raises:
        ConfigurationError: an output scale so small that its factor reaches 1, where the reference aborts.
    """

    sources: tuple[Affine, Affine]
    target: Affine
    _rescales: tuple[Rescale, Rescale, Rescale] = field(init=False, repr=False)

    SHIFT = 7

    def __post_init__(self) -> None:
        scales = [source.scale[0] for source in self.sources]
        unit = np.float64(2 * max(scales))
        factor = unit * unit / np.float64(np.float32(1 << 2 * self.SHIFT) * self.target.scale[0])
        # Just below 1 the multiplier would round up to 1.
        if not factor < 1 - 2.0**-32:
            raise ConfigurationError(
                f"output scale is {self.target.scale[0]}, but must be above {unit * unit / (1 << 2 * self.SHIFT)}, "
                f"the square of the inputs' larger scale / 2**{2 * self.SHIFT - 2}"
            )
        factors = (*(np.float64(scale) / unit for scale in scales), factor)
        object.__setattr__(self, "_rescales", tuple(Rescale.of(f) for f in factors))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        scaled = [
            rescale.apply((ranked(x, rank).astype(np.int64) - source.zero_point[0]) << self.SHIFT)
            for x, source, rescale in zip((a, b), self.sources, self._rescales[:2], strict=True)
        ]
        y = self._rescales[2].apply((scaled[0] - scaled[1]) ** 2)
        return clamped(y, int(self.target.zero_point[0]), *limits(self.target.dtype), self.target.dtype)


@dataclass(frozen=True, eq=False)
class Divide:
    """DIV: the first input times the second's reciprocal, rescaled; division by 0 has no result (here 0).

    The dividend is shifted left as far as 32 bits allow, multiplied by the 31-bit reciprocal and by the factor's
    multiplier, and shifted right by all shifts together. These exceed 31 bits for small quotients, where C's shift is
    undefined and LiteRT's result far from the real one; here it is LiteRT's nevertheless, as x86-64 and AArch64 alike
    give it, which shift by the last five bits: networks meet it, at zero divided by much, for one.
    Source: `DivElementwise`, internal/reference/div.h; div.cc computes scale1 / (scale2 * scale) in float32.
    """

    sources: tuple[Affine, Affine]
    target: Affine
    activation: str = "NONE"
    _factor: tuple[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        factor = self.sources[0].scale[0] / (self.sources[1].scale[0] * self.target.scale[0])
        multiplier, shift = quantize_multiplier(np.float64(factor))
        # The least shift of a quotient: |dividend| and |divisor| up to 255, of at least 23 and 0 bits.
        if shift > 23:
            raise ConfigurationError(f"DIV's factor is {factor}, but must be below 2**23")
        object.__setattr__(self, "_factor", (multiplier, shift))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        a, b = (
            ranked(x, rank).astype(np.int64) - source.zero_point[0]
            for x, source in zip((a, b), self.sources, strict=True)
        )
        a, b = np.broadcast_arrays(a * np.where(b < 0, -1, 1), np.abs(b))
        inverse, divisor_headroom = reciprocal(np.maximum(b, 1))
        # Bits that repeat the sign: 31 - the width of a, or of -a - 1 if negative.
        headroom = 31 - np.frexp(np.where(a < 0, ~a, a).astype(np.float64))[1].astype(np.int64)
        quotient = saturating_rounding_doubling_high_mul(a << headroom, inverse)
        multiplier, shift = self._factor
        product = saturating_rounding_doubling_high_mul(quotient, multiplier)
        right = (31 - divisor_headroom) + headroom - shift
        # In C the mask of the bits that are shifted out is -1 then: it rounds up what is not negative.
        beyond = (product >> (right & 31)) + (product >= 0)
        y = np.where(right > 31, beyond, rounding_divide_by_pot(product, np.minimum(right, 31)))
        low, high = activation_range(self.activation, self.target)
        y = clamped(np.where(b == 0, 0, y), int(self.target.zero_point[0]), low, high, self.target.dtype)
        return y


@dataclass(frozen=True, eq=False)
class Defined:
    """An operator that has no result for some values of an int8 input: LiteRT ends the run there, and so do we.

    Attributes:
        operator: what is defined for all others.
        position: of the input.
        source: its quantisation.
        undefined: "zero" or "negative".
        node: for the message.

    Raises:
        GoldenError: the input holds such a value.
    """

    operator: Callable[..., np.ndarray]
    position: int
    source: Affine
    undefined: str
    node: str

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        x, zero_point = inputs[self.position], int(self.source.zero_point[0])
        if (x == zero_point).any() if self.undefined == "zero" else (x < zero_point).any():
            raise GoldenError(
                f"{self.node}: input {self.position} holds a {self.undefined} value, for which it is not defined"
            )
        return self.operator(*inputs)


@dataclass(frozen=True, eq=False)
class Comparison:
    """LESS, EQUAL and their kin of two int8 tensors: each shifted left by 8 bits and multiplied by its scale, so that
    values which differ by less than the rounding are equal.

    Source: `ComparisonWithScaling`, internal/reference/comparisons.h, with comparisons.cc.

    Attributes:
        function: numpy's comparison.

    Raises:
        ConfigurationError: a scale of 1 or more, for which the kernel shifts by a negative number of bits.
    """

    function: np.ufunc
    sources: tuple[Affine, Affine]
    _tables: tuple[np.ndarray, np.ndarray] = field(init=False, repr=False)

    SHIFT = 8

    def __post_init__(self) -> None:
        for source in self.sources:
            if not source.scale[0] < 1:
                raise ConfigurationError(f"scale is {source.scale[0]}, but must be below 1 for a comparison")
        tables = tuple(
            Rescale.of(np.float64(source.scale[0])).apply(all_values(source) << self.SHIFT)
            for source in self.sources
        )
        object.__setattr__(self, "_tables", tables)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        a, b = (looked_up(ranked(x, rank), table) for x, table in zip((a, b), self._tables, strict=True))
        return self.function(a, b)


@dataclass(frozen=True, eq=False)
class Unquantised:
    """An operator on numbers as they are: float32, where numpy and C round alike, or integers, which wrap; also
    MAXIMUM, MINIMUM and comparisons of quantised tensors of one scale. Operands broadcast.

    Attributes:
        function: of one or more arrays, exactly rounded in float32 (no exponentials or the like).
        activation: fused.
    """

    function: Callable[..., np.ndarray]
    activation: str = "NONE"

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        rank = max(x.ndim for x in inputs)
        with np.errstate(all="ignore"):
            y = self.function(*(ranked(x, rank) for x in inputs))
        low, high = ACTIVATIONS[self.activation]
        return y if low is None and high is None else np.clip(y, low, high).astype(y.dtype)


def reciprocal_root(x: np.ndarray) -> np.ndarray:
    """RSQRT in float32."""
    return np.float32(1) / np.sqrt(x)


def total(*tensors: np.ndarray) -> np.ndarray:
    """ADD_N: one sum after the other."""
    return functools.reduce(np.add, tensors)


def float_prelu(x: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """PRELU in float32."""
    return np.where(x >= 0, x, x * alpha)


def float_squared_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SQUARED_DIFFERENCE of numbers as they are."""
    return (a - b) * (a - b)


@dataclass(frozen=True)
class FloatLeakyRelu:
    """LEAKY_RELU in float32, as the kernel has it: the greater of x and x * alpha."""

    alpha: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, x * np.float32(self.alpha))


@dataclass(frozen=True)
class Select:
    """SELECT and SELECT_V2: values of the second input where the first holds, of the third elsewhere.

    Attributes:
        rows: SELECT's condition of one axis chooses along the first axis of the others.
    """

    rows: bool = False

    def __call__(self, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if self.rows:
            condition = condition.reshape(*condition.shape, *(1,) * (a.ndim - 2))
        rank = max(x.ndim for x in (condition, a, b))
        return np.where(*(ranked(x, rank) for x in (condition, a, b)))


@dataclass(frozen=True, eq=False)
class Cast:
    """CAST: the number itself in another dtype, scales and zero points apart; integers wrap, a float is truncated
    towards zero and saturates.

    Source: `CastValue`, cast.cc.
    """

    dtype: np.dtype

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if x.dtype.kind == "f" and self.dtype.kind in "iu":
            low, high = limits(self.dtype)
            below, above = x < low, x >= float(high)
            y = np.where(below | above | np.isnan(x), 0, x).astype(self.dtype)
            return np.where(below, low, np.where(above | np.isnan(x), high, y)).astype(self.dtype)
        return x.astype(self.dtype)


@dataclass(frozen=True, eq=False)
class Pairwise:
    """Any operator that makes each value from two int8 values (ADD, SUB, MUL, DIV, PRELU, SQUARED_DIFFERENCE), from a
    table of its 65,536 results; operands broadcast.

    Attributes:
        operator: the definition, which is asked once for every pair.
    """

    operator: Callable[[np.ndarray, np.ndarray], np.ndarray]
    _table: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Both axes in the order of the values' bit patterns: 0 to 127, then -128 to -1.
        values = np.arange(256, dtype=np.uint8).view(np.int8)
        table = self.operator(values[None, :, None], values[None, None, :])
        object.__setattr__(self, "_table", table.reshape(-1))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rank = max(a.ndim, b.ndim)
        a, b = (np.ascontiguousarray(ranked(x, rank)).view(np.uint8) for x in (a, b))
        return self._table.take((a.astype(np.uint16) << 8) | b)


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
        table = np.float64(self.source.scale[0]) * all_values(self.source)
        return looked_up(x, table.astype(np.float32))
