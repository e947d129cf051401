# SPDX-License-Identifier: Apache-2.0
"""ONNX's operators on quantised and float32 tensors, one small class each, as onnxruntime's CPU provider computes them.

Arrays are `[runs, *shape]` with the file's own axis order (maps are `[runs, B, C, H, W]`) and dtypes. What rounds is in
`golden.schemes.onnx`; the order of float32 sums is in `golden.layers.mlas`.

Exact, bit by bit, against onnxruntime on x86-64 with FMA3, one thread, graph optimisation disabled. What stands between
quantised operators in float32 or integers (norms, Softmax, reductions, shape arithmetic) is in
`golden.layers.onnx_float`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.layers import mlas
from assay.golden.layers.linear import Convolution, Window, sums_of_products
from assay.golden.layers.shaping import aligned, ranked
from assay.golden.schemes import onnx as scheme
from assay.golden.schemes.onnx import Affine, dequantize, quantize, requantize

__all__ = [
    "AveragePool",
    "Clip",
    "Conv",
    "Dequantize",
    "Gemm",
    "GlobalAveragePool",
    "LeakyRelu",
    "MatMul",
    "MaxPool",
    "OneAxis",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearConv",
    "QLinearGlobalAveragePool",
    "QLinearMatMul",
    "QLinearMul",
    "QLinearSoftmax",
    "QLinearWhere",
    "Quantize",
    "Table",
    "float_product",
    "product_of_transposed",
    "requantization_factor",
]


# im2col multiplies its input by the kernel's area; images are taken in blocks that keep the copy near this many values.
_BLOCK_VALUES = 1 << 20


@dataclass(frozen=True)
class Quantize:
    """QuantizeLinear; see `golden.schemes.onnx.quantize`."""

    target: Affine

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return quantize(x, self.target)


@dataclass(frozen=True)
class Dequantize:
    """DequantizeLinear; see `golden.schemes.onnx.dequantize`."""

    source: Affine

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return dequantize(x, self.source)


# --- Float operators -----------------------------------------------------------------------------------------------


def _packed_product(a: np.ndarray, b: np.ndarray, initial: np.ndarray | None = None) -> np.ndarray:
    """`[..., M, K] @ [..., K, N]` by the kernel for a packed B."""
    exact = mlas.exact_product(a, b, initial)
    return mlas.product(a, b, mlas.PACKED_BLOCK, initial) if exact is None else exact


def float_product(
    a: np.ndarray, b: np.ndarray, row_length: int | None = None, initial: np.ndarray | None = None
) -> np.ndarray:
    """`[..., M, K] @ [..., K, N]` by the kernel that MLAS chooses for an unpacked B; see `golden.layers.mlas`.

    Args:
        row_length: None, or the distance of rows in memory if B is stored transposed, `[N, K]`.
        initial: None, or what is added to, `[..., M, N]` or broadcast to it.
    """
    exact = mlas.exact_product(a, b, initial)
    if exact is not None:
        return exact
    rows, columns = a.shape[-2], b.shape[-1]
    if rows == 1:
        if row_length is not None:
            start = None if initial is None else initial[..., 0, :]
            return mlas.dot_products(b.swapaxes(-1, -2), a[..., 0, :], start)[..., None, :]
        return mlas.row_times_matrix(a, b, initial)
    if columns == 1 and row_length in (None, 1):
        start = None if initial is None else initial[..., 0]
        return mlas.dot_products(a, b[..., 0], start)[..., None]
    return mlas.product(a, b, mlas.block_length(columns, a.shape[-1]), initial)


def product_of_transposed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`[..., M, K] @ [..., K, N]` by the kernel that MLAS chooses where A is stored transposed, `[K, M]`."""
    if b.shape[-1] == 1:
        return mlas.row_times_matrix(b.swapaxes(-1, -2), a.swapaxes(-1, -2)).swapaxes(-1, -2)
    return mlas.product(a, b, mlas.block_length(b.shape[-1], a.shape[-1]))


@dataclass(frozen=True)
class Conv:
    """Conv in float32: `[B, C, H, W]`, weights `[K, C / groups, fH, fW]`, optional bias `[K]` added last.

    Each group is a matrix product of the weights with the input's columns (im2col), whose sum runs over channel, row,
    column in this order. Source: `MlasConv`, mlas/lib/convolve.cpp.
    """

    window: Window
    groups: int

    def __call__(self, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        runs, batch, channels, height, width = x.shape
        weight = weight[0]
        count, depth, _, wide = weight.shape
        out_h, out_w = self.window.output_size((height, width))
        taps = math.prod(self.window.kernel)
        matrix = weight.reshape(1, self.groups, count // self.groups, depth * taps)
        plain = self.window.stride == self.window.dilation == (1, 1) and not any(self.window.padding)
        # With one channel and windows as wide as the map, the map itself serves as the transposed matrix of columns.
        direct = plain and depth == 1 and taps > 1 and wide == width
        images = x.reshape(-1, channels, height, width)
        y = np.empty((len(images), self.groups, count // self.groups, out_h * out_w), np.float32)
        step = max(1, _BLOCK_VALUES // (channels * taps * out_h * out_w))
        for first in range(0, len(images), step):
            columns = self._columns(images[first : first + step])
            y[first : first + step] = float_product(matrix, columns, width if direct else None)
        y = y.reshape(runs, batch, count, out_h, out_w)
        return y if bias is None else y + bias[:, None, :, None, None]

    def _columns(self, images: np.ndarray) -> np.ndarray:
        """im2col: `[M, C, H, W]` to `[M, groups, C / groups * taps, places]`."""
        # Window takes [M, H, W, C]; each channel of an image is an image of its own, with one channel.
        maps = images.reshape(-1, *images.shape[2:], 1)
        taps = [tap[..., 0] for tap in self.window.taps(self.window.padded(maps, 0, np.float32))]
        rows = images.shape[1] // self.groups * len(taps)
        return np.stack(taps, axis=1).reshape(len(images), self.groups, rows, -1)


@dataclass(frozen=True)
class MatMul:
    """MatMul in float32, `[..., M, K] @ [..., K, N]`.

    A matrix B is multiplied by all rows of A at once, several are multiplied one by one.
    Source: `MatMul<float>`, providers/cpu/math/matmul.cc.

    Attributes:
        packed: B is a matrix stored in the file.
    """

    packed: bool

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if b.ndim == 3:
            rows = a.reshape(len(a), -1, a.shape[-1])
            y = _packed_product(rows, b) if self.packed else float_product(rows, b)
            return y.reshape(len(y), *a.shape[1:-1], b.shape[-1])
        return float_product(*aligned(a, b))


@dataclass(frozen=True)
class Gemm:
    """Gemm in float32, `[M, K] @ [K, N] + C`, B transposed or not; alpha and beta are 1.

    The product is added to C, not C to the product. Source: `Gemm<float>`, providers/cpu/math/gemm.cc.
    """

    transposed: bool
    packed: bool

    def __call__(self, a: np.ndarray, b: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
        b = b.swapaxes(-1, -2) if self.transposed else b
        initial = None
        if c is not None:
            shape = (max(len(a), len(b), len(c)), a.shape[1], b.shape[2])
            initial = np.broadcast_to(ranked(c, 3), shape)
        if self.packed:
            return _packed_product(a, b, initial)
        return float_product(a, b, a.shape[-1] if self.transposed else None, initial)


@dataclass(frozen=True)
class Clip:
    """Clip and Relu: values below `low` and above `high` become them; None is unbounded."""

    low: float | int | None
    high: float | int | None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if self.low is not None:
            x = np.maximum(x, x.dtype.type(self.low))
        return x if self.high is None else np.minimum(x, x.dtype.type(self.high))


@dataclass(frozen=True)
class LeakyRelu:
    """LeakyRelu in float32: x where it is not negative, else alpha * x."""

    alpha: float

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.where(x >= 0, x, np.float32(self.alpha) * x)


@dataclass(frozen=True)
class OneAxis:
    """An operator on maps `[B, C, H, W]` for tensors `[B, C, W]`: maps of one row, weights likewise."""

    operator: Callable[..., np.ndarray]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        return self.operator(*(x[:, :, :, None] if x.ndim == 4 else x for x in arrays))[:, :, :, 0]


@dataclass(frozen=True)
class MaxPool:
    """MaxPool of float32 or 8-bit maps `[B, C, H, W]`; padding never wins.

    Only the sign of a zero depends on the order of comparisons: a vector instruction takes the later of two equal
    values, a scalar maximum the earlier one. `order` is how onnxruntime takes the window:

    - "rows": row by row with vectors of channels (mlas/lib/snchwc.cpp);
    - "columns": with vectors along the map's rows, first down each column, then along the columns; the columns behind
      the last whole vector of 4 by scalars (`MlasPool2DVectorKernel`, mlas/lib/pooling.cpp);
    - "map": a window over the whole map, as four maxima over the position modulo 4 (`MlasPoolGlobalKernel`);
    - "scalars": row by row with scalars.
    """

    window: Window
    order: str = "scalars"

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if x.dtype.kind == "f":
            images = x.reshape(-1, *x.shape[3:], 1)
            y = self._whole(images) if self.order == "map" else self._windows(images)
            return y.reshape(*x.shape[:3], *y.shape[1:3])
        least = np.iinfo(x.dtype).min
        y = None
        for tap in self.window.taps(self.window.padded(x.reshape(-1, *x.shape[3:], 1), least, x.dtype)):
            y = tap.copy() if y is None else np.maximum(y, tap, out=y)
        return y.reshape(*x.shape[:3], *y.shape[1:3])

    def _windows(self, images: np.ndarray) -> np.ndarray:
        taps = list(self.window.taps(self.window.padded(images, -np.inf, np.float32)))
        if self.order != "columns":
            return reduce(_later if self.order == "rows" else _earlier, taps)
        width = self.window.kernel[1]
        columns = []
        for first in range(width):
            down = taps[first::width]
            # The column of the map that each column of the output meets.
            at = np.arange(down[0].shape[2]) * self.window.stride[1] + first - self.window.padding[1]
            behind = (at >= images.shape[2] // 4 * 4)[:, None]
            columns.append(np.where(behind, reduce(_earlier, down), reduce(_later, down)))
        return reduce(_later, columns)

    def _whole(self, images: np.ndarray) -> np.ndarray:
        values = images.reshape(len(images), -1)
        whole = values.shape[1] // 4 * 4
        rest = [values[:, i] for i in range(whole, values.shape[1])]
        if whole:
            lanes = reduce(_later, [values[:, i : i + 4] for i in range(0, whole, 4)])
            pair = _later(lanes[:, :2], lanes[:, 2:])
            rest = [_later(pair[:, 0], pair[:, 1]), *rest]
        return reduce(_earlier, rest)[:, None, None, None]


def _later(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The maximum as x86's MAXPS takes it: b if neither is greater."""
    return np.where(a > b, a, b)


def _earlier(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The maximum as C++'s std::max takes it: a if neither is greater."""
    return np.where(a < b, b, a)


def _means(
    x: np.ndarray,
    window: Window,
    include_pad: bool,
    by_columns: bool = False,
    beyond: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Float32 sums of windows of `[runs, B, C, H, W]`, row by row or, if `by_columns`, first down each column; divided.

    Padding's zeros change no sum but one of negative zeros alone. Row by row, that becomes +0, where a sum starts from;
    columns start from their first value, and only padding beside the map, not above and below it, is added as +0.

    Args:
        beyond: rows and columns at the end of the padding that count in no mean (of ceil_mode).
    """
    height, width = window.kernel
    maps = x.reshape(-1, *x.shape[3:], 1)
    if by_columns:
        top, left, bottom, right = window.padding
        maps = np.pad(maps, ((0, 0), (top, bottom), (0, 0), (0, 0)), constant_values=np.float32(-0.0))
        taps = list(window.taps(np.pad(maps, ((0, 0), (0, 0), (left, right), (0, 0)))))
        total = None
        for column in range(width):
            part = taps[column]
            for row in range(1, height):
                part = part + taps[row * width + column]
            total = part if total is None else total + part
    else:
        total = np.float32(0)
        for tap in window.taps(window.padded(maps, 0, np.float32)):
            total = total + tap
    if include_pad and not any(beyond):
        count = np.float32(height * width)
    else:
        ones = window.padded(np.ones((1, *x.shape[3:], 1)), int(include_pad), np.float32)
        ones[:, ones.shape[1] - beyond[0] :] = 0
        ones[:, :, ones.shape[2] - beyond[1] :] = 0
        count = sum(window.taps(ones))
    return (total / count).reshape(*x.shape[:3], *total.shape[1:3])


@dataclass(frozen=True)
class AveragePool:
    """AveragePool in float32 of `[B, C, H, W]`.

    Windows are summed row by row from opset 19 on, and where channels are the vectors (see the importer). Otherwise
    MLAS sums first down the columns wherever its vector kernel applies, that is for strides of 1 and 2 columns.
    Source: `AveragePool2DTask`, providers/cpu/nn/pool_functors.h; `MlasPool2DVectorKernel`, mlas/lib/pooling.cpp.
    """

    window: Window
    include_pad: bool
    by_columns: bool
    beyond: tuple[int, int] = (0, 0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return _means(x, self.window, self.include_pad, self.by_columns, self.beyond)


@dataclass(frozen=True)
class GlobalAveragePool:
    """GlobalAveragePool in float32: the mean of each map of `[B, C, ...]`, as `[B, C, 1, ...]`.

    Four partial sums over the position modulo 4, added as (0 + 2) + (1 + 3), then what is left, one by one.
    Source: `MlasPoolGlobalKernel`, mlas/lib/pooling.cpp.
    """

    def __call__(self, x: np.ndarray) -> np.ndarray:
        maps = x.reshape(*x.shape[:3], -1)
        count = maps.shape[-1]
        whole = count // 4 * 4
        lanes = np.zeros((*maps.shape[:-1], 4), np.float32)
        for first in range(0, whole, 4):
            lanes = lanes + maps[..., first : first + 4]
        total = (lanes[..., 0] + lanes[..., 2]) + (lanes[..., 1] + lanes[..., 3])
        for i in range(whole, count):
            total = total + maps[..., i]
        return (total / np.float32(count)).reshape(*x.shape[:3], *(1,) * (x.ndim - 3))


# --- Integer operators ----------------------------------------------------------------------------------------------


def requantization_factor(source: Affine, weight: Affine, target: Affine) -> np.ndarray:
    """(source.scale * weight.scale) / target.scale in float32, `[1]` or one for each output channel.

    Raises:
        ConfigurationError: a factor beyond float32.
    """
    with np.errstate(over="ignore"):
        factor = source.scale * weight.scale / target.scale
    if not np.isfinite(factor).all():
        raise ConfigurationError(
            f"the factor input scale * weight scale / output scale is {factor.max()}, but must be finite"
        )
    return factor


@dataclass(frozen=True, eq=False)
class QLinearConv:
    """QLinearConv: exact sums of `[B, C, H, W]`, bias included, requantised per tensor or per output channel.

    Outside its map x is its zero point. Sums beyond 32 bits wrap.
    Source: providers/cpu/quantization/qlinearconv.cc.

    Attributes:
        convolution: the exact sums.
        sources: quantisations of x and of the weights.
        target: of the result.
        factor: `requantization_factor` (derived).
    """

    convolution: Convolution
    sources: tuple[Affine, Affine]
    target: Affine
    factor: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "factor", requantization_factor(*self.sources, self.target))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        images = x.reshape(-1, *x.shape[2:]).transpose(0, 2, 3, 1)
        sums = self.convolution.sums(images).astype(np.int32)
        y = requantize(sums, self.factor, self.target).transpose(0, 3, 1, 2)
        return np.ascontiguousarray(y).reshape(*x.shape[:2], *y.shape[1:])


@dataclass(frozen=True, eq=False)
class QLinearMatMul:
    """QLinearMatMul and QGemm: exact sums, and QGemm's bias added, requantised per tensor or per column.

    Sums beyond 32 bits wrap. QGemm's alpha is part of the factor and applies to the bias, too.
    Source: providers/cpu/quantization/quantize_linear_matmul.cc; contrib_ops/cpu/quantization/quant_gemm.cc.

    Attributes:
        sources: quantisations of A and B; B's is per tensor or per column.
        factor: float32 `[1]` or `[N]`.
        target: of the result; None gives float32(sum) * factor.
        bias: integers that broadcast to the result without runs, or None.
        transposed: whether A and B are stored transposed.
    """

    sources: tuple[Affine, Affine]
    factor: np.ndarray
    target: Affine | None
    bias: np.ndarray | None = None
    transposed: tuple[bool, bool] = (False, False)

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = (
            x.swapaxes(-1, -2) if turned else x
            for x, turned in zip(aligned(a, b), self.transposed, strict=True)
        )
        a, b = (
            np.subtract(x, source.zero_point, dtype=np.int16, casting="unsafe")
            for x, source in zip((a, b), self.sources, strict=True)
        )
        sums = sums_of_products(a, b, 255 * 255)
        if self.bias is not None:
            sums = sums + self.bias
        sums = sums.astype(np.int32)
        if self.target is None:
            return sums.astype(np.float32) * self.factor
        return requantize(sums, self.factor, self.target)


@dataclass(frozen=True, eq=False)
class QLinearAdd:
    """QLinearAdd (com.microsoft), operands broadcast; see `golden.schemes.onnx.add`.

    Where the first operand is repeated along the innermost axis that either has, or both hold one value, the operands
    change places, which shows near ties. Source: `QLinearImpl`, contrib_ops/cpu/quantization/qlinear_binary_op.cc.

    Every pair of values is asked once: all 65,536 results are in a table, for either order.
    """

    sources: tuple[Affine, Affine]
    target: Affine
    _tables: tuple[np.ndarray, np.ndarray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        exchanged = _pairs(scheme.add, self.sources[::-1], self.target).T
        object.__setattr__(self, "_tables", (_pairs(scheme.add, self.sources, self.target), exchanged))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        lengths = [pair for pair in zip(*(x.shape[1:] for x in aligned(a, b)), strict=True) if pair != (1, 1)]
        repeated = not lengths or lengths[-1][0] == 1
        return _paired(self._tables[repeated], self.sources, a, b)


@dataclass(frozen=True, eq=False)
class QLinearMul:
    """QLinearMul (com.microsoft), operands broadcast; see `golden.schemes.onnx.multiply`."""

    sources: tuple[Affine, Affine]
    target: Affine
    _table: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", _pairs(scheme.multiply, self.sources, self.target))

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return _paired(self._table, self.sources, a, b)


def _pairs(function, sources: tuple[Affine, Affine], target: Affine) -> np.ndarray:
    a, b = (np.arange(low, high + 1) for low, high in (source.limits for source in sources))
    return function(a[:, None], b[None], sources, target)


def _paired(values: np.ndarray, sources: tuple[Affine, Affine], a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = (x.astype(np.int16) - source.limits[0] for x, source in zip(aligned(a, b), sources, strict=True))
    return values[a, b]


@dataclass(frozen=True, eq=False)
class Table:
    """Any function of one 8-bit value (QLinearLeakyRelu, QLinearSigmoid), as its 256 results in ascending order."""

    values: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.values[x.astype(np.int16) - np.iinfo(x.dtype).min]


@dataclass(frozen=True, eq=False)
class QLinearConcat:
    """QLinearConcat (com.microsoft): inputs behind one another, each through its table of requantised values.

    Attributes:
        sources: quantisations of the inputs.
        target: of the result.
    """

    axis: int
    sources: tuple[Affine, ...]
    target: Affine
    _tables: tuple[np.ndarray, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        tables = tuple(scheme.table(lambda x: x, source, self.target) for source in self.sources)
        object.__setattr__(self, "_tables", tables)

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        runs = max(len(x) for x in inputs)
        parts = [Table(values)(x) for values, x in zip(self._tables, inputs, strict=True)]
        return np.concatenate([np.broadcast_to(x, (runs, *x.shape[1:])) for x in parts], self.axis + 1)


@dataclass(frozen=True, eq=False)
class QLinearWhere:
    """QLinearWhere (com.microsoft): one of two operands by a condition, each through its table of requantised values.

    Source: contrib_ops/cpu/quantization/qlinear_where.cc.
    """

    tables: tuple[np.ndarray, np.ndarray]

    def __call__(self, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(*aligned(condition, Table(self.tables[0])(a), Table(self.tables[1])(b)))


@dataclass(frozen=True, eq=False)
class QLinearAveragePool:
    """QLinearAveragePool (com.microsoft): dequantised, averaged row by row in float32, then rounded with the zero point
    added: round(mean / scale + zero_point). Source: contrib_ops/cpu/quantization/qlinear_pool.cc."""

    window: Window
    include_pad: bool
    source: Affine
    target: Affine
    beyond: tuple[int, int] = (0, 0)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        means = _means(dequantize(x, self.source), self.window, self.include_pad, beyond=self.beyond)
        steps = np.rint(means / self.target.scale[0] + np.float32(self.target.zero_point[0]))
        return np.clip(steps, *self.target.limits).astype(self.target.dtype)


@dataclass(frozen=True, eq=False)
class QLinearGlobalAveragePool:
    """QLinearGlobalAveragePool (com.microsoft): the exact sum of each map, times scale / (target scale * count).

    Source: `MlasQLinearGlobalAveragePool`, mlas/lib/qlgavgpool.cpp.
    """

    source: Affine
    target: Affine

    def factor(self, count: int) -> np.float32:
        """What a sum of `count` values is multiplied by."""
        return self.source.scale[0] / (self.target.scale[0] * np.float32(count))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        maps = x.reshape(*x.shape[:3], -1)
        count = maps.shape[-1]
        sums = maps.sum(axis=-1, dtype=np.int64) - self.source.zero_point[0] * count
        return requantize(sums, self.factor(count), self.target).reshape(*x.shape[:3], *(1,) * (x.ndim - 3))


@dataclass(frozen=True, eq=False)
class QLinearSoftmax:
    """QLinearSoftmax (com.microsoft) over the last axis: exponentials from a table, summed in order in float32.

    round((e * floor(1 / scale)) / sum) + zero_point, saturated. (onnxruntime of 2022 let int8 results wrap.)
    Source: contrib_ops/cpu/quantization/qlinear_softmax.cc.
    """

    axis: int
    exponentials: np.ndarray
    target: Affine

    def __call__(self, x: np.ndarray) -> np.ndarray:
        x = np.moveaxis(x, self.axis + 1, -1)
        e = self.exponentials[255 - (x.max(axis=-1, keepdims=True).astype(np.int64) - x)]
        total = np.zeros(e.shape[:-1], np.float32)
        for i in range(e.shape[-1]):
            total = total + e[..., i]
        inverse = np.floor(np.float32(1) / self.target.scale[0])
        steps = np.rint(e * inverse / total[..., None]).astype(np.int64) + self.target.zero_point[0]
        return np.moveaxis(np.clip(steps, *self.target.limits).astype(self.target.dtype), -1, self.axis + 1)
