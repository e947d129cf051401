# SPDX-License-Identifier: Apache-2.0
"""ONNX's float32, integer and logical operators between quantised ones, as onnxruntime's CPU provider has them.

Arrays are `[runs, *shape]` with the file's own axis order and dtypes. Exact, bit by bit, against onnxruntime on x86-64
with FMA3 and AVX512F, one thread, graph optimisation disabled, but for what an operator says of itself: where
onnxruntime leaves an exponential, a logarithm or a power to Eigen or to the C library, the result here is the exact one
rounded once, and theirs may be a few units of the last place away. After QuantizeLinear that shows near a tie alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from assay.golden.errors import GoldenError
from assay.golden.layers import eigen, mlas, shaping
from assay.golden.layers.linear import Convolution, Window, sums_of_products
from assay.golden.layers.shaping import aligned
from assay.golden.schemes import onnx as scheme

__all__ = [
    "ArgExtreme",
    "BatchNormalization",
    "Cast",
    "Celu",
    "ConvInteger",
    "ConvTranspose",
    "DepthToSpace",
    "DynamicQuantizeLinear",
    "Elementwise",
    "Elu",
    "Fixed",
    "Folded",
    "Gather",
    "GatherElements",
    "Gelu",
    "HardSigmoid",
    "InFloat64",
    "InstanceNormalization",
    "LayerNormalization",
    "MatMulInteger",
    "Reduce",
    "ResizeLinear",
    "Selu",
    "Softmax",
    "SpaceToDepth",
    "TopK",
    "Trilu",
]


@dataclass(frozen=True, eq=False)
class Fixed:
    """Values that the file alone decides: Shape, Size, Range, ConstantOfShape."""

    value: np.ndarray

    def __call__(self) -> np.ndarray:
        return self.value[None]


@dataclass(frozen=True)
class Elementwise:
    """Any function of broadcast operands, element by element."""

    function: Callable[..., np.ndarray]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self.function(*aligned(*arrays))


@dataclass(frozen=True)
class Cast:
    """Cast: floats to integers towards 0, integers to float32 to the nearest, anything to bool by being unlike 0."""

    dtype: np.dtype

    def __call__(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return x.astype(self.dtype)


# --- Functions of one or two values ---------------------------------------------------------------------------------


def quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Div: float32's, or integers' towards 0. Integers divided by 0 are 0 here, an exception of the processor there."""
    if a.dtype.kind == "f":
        return a / b
    signs = np.sign(a) * np.sign(b)
    return (signs * (np.abs(a) // np.where(b == 0, 1, np.abs(b)))).astype(a.dtype)


def power(x: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """Pow. One exponent of 2 or 3 is multiplied out; else the C library's powf, here float64 rounded once: not exact.

    Source: `PowImpl`, providers/cpu/math/element_wise_ops.cc.
    """
    if exponent[0].size == 1 and len(exponent) == 1:
        value = exponent.reshape(-1)[0]
        if value == 2:
            return x * x
        if value == 3:
            return x * x * x
    wide = np.float64 if x.dtype.kind == "f" else x.dtype
    return np.power(x.astype(wide), exponent.astype(wide)).astype(x.dtype)


def prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """PRelu: x where it is not negative (either zero stays as it is), else slope * x."""
    return np.where(x >= 0, x, slope * x)


@dataclass(frozen=True)
class Elu:
    """Elu: x where it is not negative, else alpha * (exp(x) - 1). Source of these four: providers/cpu/activation."""

    alpha: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, np.float32(self.alpha) * (eigen.exp(x) - np.float32(1)))


@dataclass(frozen=True)
class Celu:
    """Celu: max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""

    alpha: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        alpha = np.float32(self.alpha)
        low = alpha * (eigen.exp(x / alpha) - np.float32(1))
        return np.maximum(x, np.float32(0)) + np.minimum(low, np.float32(0))


@dataclass(frozen=True)
class Selu:
    """Selu: gamma * x above 0, else (gamma * alpha) * (exp(x) - 1)."""

    alpha: float
    gamma: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        alpha, gamma = np.float32(self.alpha), np.float32(self.gamma)
        return np.where(x > 0, gamma * x, gamma * alpha * (eigen.exp(x) - np.float32(1)))


def softplus(x: np.ndarray) -> np.ndarray:
    """Softplus: log(1 + exp(x)), for x above 0 as x + log(1 + exp(-x))."""
    y = eigen.log1p(eigen.exp(-np.abs(x)))
    return np.where(x > 0, x + y, y)


def softsign(x: np.ndarray) -> np.ndarray:
    """Softsign: x times the inverse of 1 + |x|, two roundings."""
    one = np.float32(1)
    return one / (one + np.abs(x)) * x


def mish(x: np.ndarray) -> np.ndarray:
    """Mish: x * tanh(softplus(x)), as ONNX expands it."""
    return x * scheme.tanh(softplus(x))


@dataclass(frozen=True)
class HardSigmoid:
    """HardSigmoid: alpha * x + beta between 0 and 1."""

    alpha: float
    beta: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.clip(np.float32(self.alpha) * x + np.float32(self.beta), np.float32(0), np.float32(1))


def hard_swish(x: np.ndarray) -> np.ndarray:
    """HardSwish: x * HardSigmoid(x) with 1 / 6 and 1 / 2, as ONNX expands it."""
    return x * HardSigmoid(1 / 6, 0.5)(x)


@dataclass(frozen=True)
class Gelu:
    """Gelu: 0.5 * x * (1 + erf(x / sqrt(2))), or with tanh. Source: providers/cpu/tensor/gelu.cc.

    Attributes:
        approximate: "none" or "tanh".
    """

    approximate: str

    def __call__(self, x: np.ndarray) -> np.ndarray:
        half, one = np.float32(0.5), np.float32(1)
        if self.approximate == "tanh":
            b, c = np.float32(0.7978845608028654), np.float32(0.035677408136300125)
            return half * x * (scheme.tanh(x * (c * x * x + b)) + one)
        return half * x * (scheme.erf(x * np.float32(math.sqrt(0.5))) + one)


@dataclass(frozen=True)
class InFloat64:
    """A function of float32 that the C library or Eigen computes there, and float64, rounded once, here: not exact."""

    function: Callable[[np.ndarray], np.ndarray]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return eigen.rounded(self.function, x)


@dataclass(frozen=True)
class Folded:
    """A function of two operands over one or more, from the first on (Max, Min, Sum)."""

    function: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        return functools.reduce(self.function, arrays)


# --- Norms, softmax, reductions -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Softmax:
    """Softmax and LogSoftmax in float32 over `axes`, adjacent ones that count as one.

    Exponentials of differences from the largest by MLAS's polynomial, summed in 16 lanes, times the sum's inverse, or
    less the sum's logarithm. Processors with AVX2 alone sum in 8 lanes, which may change the last bit. The logarithm is
    the C library's.
    Source: `MlasComputeSoftmaxThreaded`, mlas/lib/compute.cpp; mlas/lib/x86_64/TransKernelAvx512F.S.
    """

    axes: tuple[int, ...]
    logarithm: bool = False

    def __call__(self, x: np.ndarray) -> np.ndarray:
        axes = tuple(axis + 1 for axis in self.axes)
        last = tuple(range(x.ndim - len(axes), x.ndim))
        moved = np.moveaxis(x, axes, last)
        rows = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
        with np.errstate(all="ignore"):
            shifted = rows - rows.max(axis=-1, keepdims=True)
            e = scheme.exp(shifted)
            total = _sum_in_lanes(e)[..., None]
            y = shifted - eigen.rounded(np.log, total) if self.logarithm else e * (np.float32(1) / total)
        return np.moveaxis(y.reshape(moved.shape), last, axes)


def _sum_in_lanes(x: np.ndarray) -> np.ndarray:
    """`[..., N]` to `[...]` in 16 lanes, that are then folded: 8 apart, neighbours, pairs, halves."""
    pad = -x.shape[-1] % 16
    x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, pad)]).reshape(*x.shape[:-1], -1, 16)
    lanes = np.add.accumulate(x, axis=-2, dtype=np.float32)[..., -1, :]
    lanes = lanes[..., :8] + lanes[..., 8:]
    lanes = lanes[..., ::2] + lanes[..., 1::2]
    lanes = lanes[..., ::2] + lanes[..., 1::2]
    return lanes[..., 0] + lanes[..., 1]


@dataclass(frozen=True)
class LayerNormalization:
    """LayerNormalization in float32 over the axes from `axis` on: (x - mean) * (1 / deviation) * scale + bias.

    The mean is summed in float64, in four lanes, and rounded once; squares of x - mean are summed by fused
    multiply-adds in eight lanes; the product with scale is fused with the addition of bias.
    Source: mlas/lib/layernorm_kernel_avx2.cpp, and what a compiler fuses in it; onnxruntime before 1.31 had other sums.
    Rows below 8 values (simplified: 16) are divided by the deviation instead, with mean and variance as Welford updates
    them, value by value. Source: `ComputeJob`, providers/cpu/nn/layer_norm_impl.cc.

    Attributes:
        simplified: no mean is taken off (SimplifiedLayerNormalization, RMSNormalization).
    """

    axis: int
    epsilon: float
    simplified: bool = False

    def __call__(self, x: np.ndarray, scale: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        rows = x.reshape(*x.shape[: self.axis + 1], -1)
        length = rows.shape[-1]
        flat = (*(1 for _ in x.shape[1 : self.axis + 1]), length)
        scale = scale.reshape(len(scale), *flat)
        bias = None if bias is None else bias.reshape(len(bias), *flat)
        with np.errstate(all="ignore"):
            if length < (16 if self.simplified else 8):
                y = self._short(rows) * scale
                y = y if bias is None else y + bias
            else:
                if not self.simplified:
                    mean = (_sum_in_four(rows.astype(np.float64)) / length).astype(np.float32)
                    rows = rows - mean[..., None]
                y = rows * (np.float32(1) / self._deviation(_squares_in_eight(rows), length))
                y = y * scale if bias is None else scheme.fma(y, scale, bias)
        return y.reshape(y.shape[:1] + x.shape[1:])

    def _deviation(self, squares: np.ndarray, length: int) -> np.ndarray:
        return np.sqrt(squares / np.float32(length) + np.float32(self.epsilon))[..., None]

    def _short(self, rows: np.ndarray) -> np.ndarray:
        length = rows.shape[-1]
        if self.simplified:
            return rows / self._deviation(eigen.sum_in_sequence(rows * rows), length)
        mean = squares = np.zeros(rows.shape[:-1], np.float32)
        for i in range(length):
            difference = rows[..., i] - mean
            mean = mean + difference / np.float32(i + 1)
            squares = squares + difference * (rows[..., i] - mean)
        return (rows - mean[..., None]) / self._deviation(squares, length)


def _sum_in_four(x: np.ndarray) -> np.ndarray:
    """`[..., N]` to `[...]` in four lanes, halves, then the two; what is left is added one by one."""
    whole = x.shape[-1] // 4 * 4
    lanes = np.zeros((*x.shape[:-1], 4))
    for first in range(0, whole, 4):
        lanes = lanes + x[..., first : first + 4]
    total = (lanes[..., 0] + lanes[..., 2]) + (lanes[..., 1] + lanes[..., 3])
    for i in range(whole, x.shape[-1]):
        total = total + x[..., i]
    return total


def _squares_in_eight(x: np.ndarray) -> np.ndarray:
    """Sums of squares, `[..., N]` to `[...]`, by fused multiply-adds in eight lanes that are folded in halves.

    Of what is left four, if there are as many, are squared and then added, and the others fused, one by one.
    """
    whole = x.shape[-1] // 8 * 8
    lanes = np.zeros((*x.shape[:-1], 8), np.float32)
    for first in range(0, whole, 8):
        part = x[..., first : first + 8]
        lanes = scheme.fma(part, part, lanes)
    lanes = lanes[..., :4] + lanes[..., 4:]
    lanes = lanes[..., :2] + lanes[..., 2:]
    total = lanes[..., 0] + lanes[..., 1]
    apart = whole + 4 if x.shape[-1] - whole >= 4 else whole
    for i in range(whole, x.shape[-1]):
        value = x[..., i]
        total = total + value * value if i < apart else scheme.fma(value, value, total)
    return total


@dataclass(frozen=True)
class InstanceNormalization:
    """InstanceNormalization in float32 of `[B, C, ...]`: each map less its mean, over its deviation.

    Source: providers/cpu/nn/instance_norm.cc; sums in Eigen's packets, `golden.layers.eigen`.
    """

    epsilon: float

    def __call__(self, x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
        batch, channels = x.shape[1:3]
        maps = x.reshape(len(x), batch * channels, -1)
        count = np.float32(maps.shape[-1])
        with np.errstate(all="ignore"):
            mean = eigen.sum_of_rows(maps)[..., None] / count
            centred = maps - mean
            squares = eigen.sum_in_packets(centred * centred)[..., None]
            inverse = np.float32(1) / np.sqrt(squares / count + np.float32(self.epsilon))
            factor = inverse * np.tile(scale, (1, batch))[..., None]
            shift = np.tile(bias, (1, batch))[..., None] - mean * factor
            y = maps * factor + shift
        return y.reshape(x.shape)


@dataclass(frozen=True)
class BatchNormalization:
    """BatchNormalization in float32 of `[B, C, ...]` with the file's mean and variance: x * factor + shift.

    factor = scale * (1 / sqrt(variance + epsilon)), shift = bias - mean * factor.
    Source: providers/cpu/nn/batch_norm.h.
    """

    epsilon: float

    def affine(
        self, scale: np.ndarray, bias: np.ndarray, mean: np.ndarray, variance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Factor and shift of each channel, float32 of the parameters' shape."""
        factor = scale * (np.float32(1) / np.sqrt(variance + np.float32(self.epsilon)))
        return factor, bias - mean * factor

    def __call__(self, x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            factor, shift = self.affine(*parameters)
            shape = (1, -1, *(1 for _ in x.shape[3:]))
            return x * factor.reshape(len(factor), *shape) + shift.reshape(len(shift), *shape)


@dataclass(frozen=True)
class Reduce:
    """ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceL2 and ReduceSumSquare over `axes`; ReduceProd of integers.

    Where neighbouring axes that are both kept (K) or both reduced (R) count as one, float32 sums of KR, R and RKR are
    Eigen's (`golden.layers.eigen`), those of KRK a row of ones times a matrix (`golden.layers.mlas.row_times_matrix`).
    Others, and all squares but those of R, are added to +0 in order. Integers saturate.
    Source: providers/cpu/reduction/reduction_ops.cc, `CommonFastReduceSwitch`, with one thread.
    """

    kind: str
    axes: tuple[int, ...]
    keep: bool

    def __call__(self, x: np.ndarray) -> np.ndarray:
        axes = tuple(axis + 1 for axis in self.axes)
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        kept = shape if self.keep else tuple(n for i, n in enumerate(x.shape) if i not in axes)
        with np.errstate(all="ignore"):
            return self._reduced(x, axes).reshape(kept)

    def _reduced(self, x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
        if not axes:
            return x
        if self.kind in ("ReduceMax", "ReduceMin"):
            return (np.max if self.kind == "ReduceMax" else np.min)(x, axis=axes)
        if x.dtype.kind != "f":
            total = (np.prod if self.kind == "ReduceProd" else np.sum)(x, axis=axes, dtype=np.int64)
            return np.clip(total, np.iinfo(x.dtype).min, np.iinfo(x.dtype).max).astype(x.dtype)
        if self.kind in ("ReduceL2", "ReduceSumSquare"):
            total = self._sum(x * x, axes, True)
            return np.sqrt(total) if self.kind == "ReduceL2" else total
        total = self._sum(x, axes)
        return total / np.float32(math.prod(x.shape[i] for i in axes)) if self.kind == "ReduceMean" else total

    def _sum(self, x: np.ndarray, axes: tuple[int, ...], squares: bool = False) -> np.ndarray:
        kinds, lengths = "", []
        for axis, length in enumerate(x.shape[1:], 1):
            kind = "R" if axis in axes else "K"
            if kinds.endswith(kind):
                lengths[-1] *= length
            else:
                kinds, lengths = kinds + kind, [*lengths, length]
        flat = x.reshape(len(x), *lengths)
        if kinds == "R":
            return eigen.sum_in_packets(flat)
        if not squares and kinds == "KR":
            return eigen.sum_of_rows(flat)
        if not squares and kinds == "KRK" and lengths[0] > 1:
            return mlas.row_times_matrix(np.ones((1, lengths[1]), np.float32), flat)
        if not squares and kinds == "RKR" and lengths[1] > 1:
            parts = eigen.sum_of_rows(flat.reshape(len(x), -1, lengths[2])).reshape(len(x), *lengths[:2])
            return eigen.sum_in_sequence(parts.swapaxes(1, 2)) + np.float32(0)
        order = [i + 1 for wanted in "KR" for i, kind in enumerate(kinds) if kind == wanted]
        moved = flat.transpose(0, *order)
        return eigen.sum_in_sequence(moved.reshape(*moved.shape[: 1 + kinds.count("K")], -1)) + np.float32(0)


@dataclass(frozen=True)
class ArgExtreme:
    """ArgMax and ArgMin: index of the first (or last) extreme value along an axis, int64."""

    axis: int
    keep: bool
    largest: bool
    last: bool = False

    def __call__(self, x: np.ndarray) -> np.ndarray:
        axis = self.axis + 1
        find = np.argmax if self.largest else np.argmin
        if self.last:
            y = x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=self.keep)
        else:
            y = find(x, axis=axis, keepdims=self.keep)
        return y.astype(np.int64)


# --- Products -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TopK:
    """TopK, sorted: the `count` greatest or least values along an axis, and their places as int64; of equal values
    the first comes first. Source: providers/cpu/math/top_k.cc.
    """

    axis: int
    count: int
    largest: bool

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        axis, length = self.axis + 1, x.shape[self.axis + 1]
        if self.largest:
            # A stable sort of the mirrored array, mirrored: descending, the first of equal values first.
            places = np.flip(length - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
        else:
            places = np.argsort(x, axis, kind="stable")
        places = places.take(range(self.count), axis).astype(np.int64)
        return np.take_along_axis(x, places, axis), places


@dataclass(frozen=True)
class DynamicQuantizeLinear:
    """DynamicQuantizeLinear: uint8 of the range of all values of a run, 0 included; gives y, scale, zero point.

    scale = (max - min) / 255 in float32, zero point = round(-min / scale) saturated, ties to even.
    Source: `GetQuantizationParameter`, core/util/qmath.h.
    """

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        flat = x.reshape(len(x), -1)
        zero = np.float32(0)
        low, high = np.minimum(flat.min(axis=1), zero), np.maximum(flat.max(axis=1), zero)
        with np.errstate(all="ignore"):
            scale = np.where(low == high, np.float32(1), (high - low) / np.float32(255))
            point = np.fmin(np.fmax(np.rint(-low / scale), zero), np.float32(255))
            steps = np.rint(flat / scale[:, None]) + point[:, None]
        y = np.fmin(np.fmax(steps, 0), 255).astype(np.uint8)
        return y.reshape(x.shape), scale, point.astype(np.uint8)


def _centred(x: np.ndarray, zero_point: np.ndarray | None, axis: int) -> np.ndarray:
    """x - zero_point of 8 bits as int16; a list of zero points lies along `axis` of x."""
    x = x.astype(np.int16)
    if zero_point is None:
        return x
    shape = [1] * x.ndim
    shape[0] = len(zero_point)
    if zero_point[0].size > 1:
        shape[axis] = -1
    return x - zero_point.astype(np.int16).reshape(shape)


@dataclass(frozen=True)
class MatMulInteger:
    """MatMulInteger: int32 sums of (a - a_zero) * (b - b_zero), exact; beyond 32 bits they wrap.

    Zero points are one value, or one for each row of A or column of B.
    """

    given: tuple[bool, bool]  # which of the zero points follow A and B

    def __call__(self, a: np.ndarray, b: np.ndarray, *points: np.ndarray) -> np.ndarray:
        rest = iter(points)
        first, second = (next(rest) if given else None for given in self.given)
        a, b = _centred(a, first, a.ndim - 2), _centred(b, second, b.ndim - 1)
        return sums_of_products(*aligned(a, b), 255 * 255).astype(np.int32)


@dataclass(frozen=True, eq=False)
class ConvInteger:
    """ConvInteger: int32 sums of (x - x_zero) * (w - w_zero), exact; outside its map x is its zero point.

    Attributes:
        convolution: of x - x_zero.
        given: whether x's zero point follows x.
    """

    convolution: Convolution
    given: bool

    def __call__(self, x: np.ndarray, point: np.ndarray | None = None) -> np.ndarray:
        x = _centred(x, point, 1)
        y = self.convolution.sums(x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 1)).astype(np.int32)
        y = y.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(y).reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True)
class ConvTranspose:
    """ConvTranspose in float32: `[B, C, H, W]`, weights `[C, K / groups, fH, fW]`, optional bias `[K]` added last.

    Weights times input give every input's contribution to its window (a matrix product of MLAS); contributions are
    added tap by tap, row by row of the kernel.
    Source: providers/cpu/nn/conv_transpose.cc; `Col2im`, core/util/math_cpu.cc.

    Attributes:
        window: the convolution of which this is the transpose.
        size: rows and columns of the result.
        product: which of MLAS's matrix products: weights stored in the file are transposed when they are loaded.
    """

    window: Window
    groups: int
    size: tuple[int, int]
    product: Callable[..., np.ndarray]

    def __call__(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        runs, batch, channels, height, width = x.shape
        depth, taps = weight.shape[2], math.prod(self.window.kernel)
        matrix = weight[0].reshape(self.groups, channels // self.groups, depth * taps).swapaxes(-1, -2)
        images = x.reshape(-1, self.groups, channels // self.groups, height * width)
        columns = self.product(matrix, images)
        columns = columns.reshape(len(images), self.groups * depth, *self.window.kernel, height, width)
        top, left, bottom, right = self.window.padding
        rows, across = self.size
        y = np.zeros(
            (len(images), self.groups * depth, rows + top + bottom, across + left + right), np.float32
        )
        for row in range(self.window.kernel[0]):
            for column in range(self.window.kernel[1]):
                first = row * self.window.dilation[0], column * self.window.dilation[1]
                spot = y[
                    :,
                    :,
                    first[0] : first[0] + (height - 1) * self.window.stride[0] + 1 : self.window.stride[0],
                    first[1] : first[1] + (width - 1) * self.window.stride[1] + 1 : self.window.stride[1],
                ]
                spot += columns[:, :, row, column, : spot.shape[2], : spot.shape[3]]
        y = y[:, :, top : top + rows, left : left + across].reshape(runs, batch, -1, rows, across)
        return np.ascontiguousarray(y) if bias is None else y + bias[:, None, :, None, None]


# --- Values that move -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gather:
    """Gather: slices of the data at indices along an axis, indices below 0 from the end.

    Attributes:
        where: the node's name, for messages.

    Raises:
        GoldenError: an index out of range.
    """

    axis: int
    where: str

    def __call__(self, data: np.ndarray, indices: np.ndarray) -> np.ndarray:
        indices = _checked(indices, data.shape[self.axis + 1], self.where)
        return shaping.Gather(self.axis, 0, self.where)(data, indices)


@dataclass(frozen=True)
class GatherElements:
    """GatherElements: for each index the value at its place, but along `axis` at the index.

    Attributes and errors as for `Gather`.
    """

    axis: int
    where: str

    def __call__(self, data: np.ndarray, indices: np.ndarray) -> np.ndarray:
        axis = self.axis + 1
        indices = _checked(indices, data.shape[axis], self.where)
        runs = max(len(data), len(indices))
        crop = tuple(slice(None) if i in (0, axis) else slice(n) for i, n in enumerate(indices.shape))
        data, indices = (np.broadcast_to(x, (runs, *x.shape[1:])) for x in (data[crop], indices))
        return np.take_along_axis(data, indices, axis)


def _checked(indices: np.ndarray, length: int, where: str) -> np.ndarray:
    wrong = (indices < -length) | (indices >= length)
    if wrong.any():
        raise GoldenError(f"{where}: an index is {indices[wrong][0]}, but must be {-length} to {length - 1}")
    return np.where(indices < 0, indices + length, indices)


@dataclass(frozen=True)
class Trilu:
    """Trilu: the upper or lower triangle of the last two axes, from diagonal `k`; 0 elsewhere."""

    upper: bool
    k: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return (np.triu if self.upper else np.tril)(x, self.k)


@dataclass(frozen=True)
class DepthToSpace:
    """DepthToSpace: channels become blocks of pixels, `[B, C, H, W]` to `[B, C/block**2, H*block, W*block]`.

    Attributes:
        block: rows and columns of a block.
        columns_last: a pixel's place in its block is the last (mode CRD), or the first, part of the channel's index.
    """

    block: int
    columns_last: bool

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.columns_last:
            runs, batch, channels, height, width = x.shape
            x = x.reshape(runs, batch, -1, self.block**2, height, width).swapaxes(2, 3)
            x = x.reshape(runs, batch, channels, height, width)
        return _channels_first(shaping.DepthToSpace(self.block), x)


@dataclass(frozen=True)
class SpaceToDepth:
    """SpaceToDepth of `[B, C, H, W]`: a pixel's place in its block is the first part of the channel's index."""

    block: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return _channels_first(shaping.SpaceToDepth(self.block), x)


def _channels_first(operator: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """An operator on `[runs, B, H, W, C]` for `[runs, B, C, H, W]`."""
    return np.ascontiguousarray(np.moveaxis(operator(np.moveaxis(x, 2, -1)), -1, 2))


@dataclass(frozen=True, eq=False)
class ResizeLinear:
    """Resize in mode linear: the mean of the two nearest values along each of the last two axes.

    y = wx2*wy2*x11 + wx1*wy2*x21 + wx2*wy1*x12 + wx1*wy1*x22 in float32, in this order; integers are cut towards 0.
    Source: `UpsampleBilinear`, providers/cpu/tensor/upsample.h.

    Attributes:
        rows, columns: first index, second index, distance to the first, to the second.
    """

    rows: tuple[np.ndarray, ...]
    columns: tuple[np.ndarray, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        (y1, y2, dy1, dy2), (x1, x2, dx1, dx2) = self.rows, self.columns
        dy1, dy2 = dy1[:, None], dy2[:, None]
        top, bottom = x.take(y1, -2).astype(np.float32), x.take(y2, -2).astype(np.float32)
        total = dx2 * dy2 * top.take(x1, -1) + dx1 * dy2 * top.take(x2, -1)
        total = total + dx2 * dy1 * bottom.take(x1, -1) + dx1 * dy1 * bottom.take(x2, -1)
        return total.astype(x.dtype)
