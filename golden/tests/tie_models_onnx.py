# SPDX-License-Identifier: Apache-2.0
"""`golden.tests.tie_models` for ONNX in QDQ and QOperator form: small files of one rounding each, full of ties."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from assay.golden.tests.onnx_files import MICROSOFT, OnnxFile
from assay.golden.tests.tie_models import (
    BIAS,
    DEPTHWISE,
    DIAGONAL,
    FLAT,
    GRIDS,
    MAP,
    NORMALISATION,
    SLOPES,
    SMALL,
    SPATIAL,
    Built,
    Grid,
    TieModel,
    averaged,
    dense_convolution,
    depthwise,
    ends,
    grid_values,
    leaky,
    normalised,
    per_channel,
    pooled,
    quantised,
    relu,
    windows,
)

__all__ = ["models"]

# Of a convolution in two groups.
_GROUPED = np.random.default_rng(8).integers(-7, 8, (6, 2, 1, 1)).astype(np.int8)


def _quantised_together(real: np.ndarray, step: float, zero: int, low: int, high: int) -> np.ndarray:
    """onnxruntime's QLinearAdd, QLinearMul and QLinearAveragePool: the zero point first, then rounding to even."""
    return np.clip(np.rint(real / step + zero), low, high)


_TOGETHER = ("QLinearAdd", "QLinearMul", "QLinearAveragePool")


class _Qdq:
    """A file in QDQ form: the input's integers, DequantizeLinear, an operator in float, QuantizeLinear."""

    def __init__(self, grid: Grid, shape: tuple[int, ...]) -> None:
        self.grid = grid
        self.low, self.high = ends(grid.dtype)
        self.integers = grid_values(self.low, self.high).reshape(-1, *shape).astype(grid.dtype)
        self.real = (self.integers.astype(np.float64) - grid.zero) * grid.scale
        self.file = OnnxFile(13)
        self.zero, self.out = (grid.dtype(zero) for zero in (grid.zero, grid.out))
        self.x = self.file.dequantize(self.file.input((1, *shape), grid.dtype), grid.scale, self.zero)

    def weight(self, values: np.ndarray) -> str:
        return self.file.dequantize(values, 1, np.int8(0))

    def bias(self, values: np.ndarray) -> str:
        """Its scale is the product of the input's and the weight's, so that it adds `values` steps of the input."""
        return self.file.dequantize(values, self.grid.scale, None)

    def between(self, real: np.ndarray, name: str) -> tuple[np.ndarray, str]:
        """A tensor that is quantised on the way, on the output's grid: its values and its name in float."""
        integers = quantised(real, self.grid.step, self.grid.out, self.low, self.high)
        name = self.file.dequantize(
            self.file.quantize(name, self.grid.step, self.out), self.grid.step, self.out
        )
        return (integers - self.grid.out) * self.grid.step, name

    def diagonal(self) -> tuple[np.ndarray, str]:
        """The 1x1 convolution of `DIAGONAL`."""
        return (
            dense_convolution(self.real, DIAGONAL, 0),
            self.file.node("Conv", self.x, self.weight(DIAGONAL)),
        )

    def model(self, operator: str, real: np.ndarray, name: str) -> TieModel:
        grid = self.grid
        output = self.file.quantize(name, grid.step, self.out)
        exact = real / grid.step
        expected = quantised(real, grid.step, grid.out, self.low, self.high) if grid.whole else None
        full = f"QDQ {operator} {grid}"
        return TieModel(
            "QDQ", operator, full, self.file.bytes(), self.integers, output, exact, expected,
            grid.out, self.low, self.high,
        )  # fmt: skip


def _qdq_conv_bias(q: _Qdq) -> Built:
    real, _ = q.diagonal()
    name = q.file.node("Conv", q.x, q.weight(DIAGONAL), q.bias(BIAS))
    return real + per_channel(BIAS) * q.grid.scale, name


def _qdq_matrix(q: _Qdq, kind: str) -> Built:
    matrix = DIAGONAL[:, :, 0, 0]
    real = q.real @ matrix.T
    if kind == "MatMul":
        return real, q.file.node("MatMul", q.x, q.weight(matrix.T.copy()))
    if kind == "Gemm":
        name = q.file.node("Gemm", q.x, q.weight(matrix.T.copy()), q.bias(BIAS))
    else:
        name = q.file.node("Gemm", q.x, q.weight(matrix), q.bias(BIAS), transB=1)
    return real + BIAS * q.grid.scale, name


def _qdq_two(q: _Qdq, kind: str) -> Built:
    """The input and a quantised depthwise convolution of it."""
    real = depthwise(q.real, DEPTHWISE, 1)
    other, name = q.between(real, q.file.node("Conv", q.x, q.weight(DEPTHWISE), group=4, pads=[1, 1, 1, 1]))
    if kind == "Concat":
        return np.concatenate([q.real, other], 1), q.file.node("Concat", q.x, name, axis=1)
    if kind == "Sub":
        return other - q.real, q.file.node("Sub", name, q.x)
    return other + q.real, q.file.node(kind, q.x, name)


def _qdq_residual(q: _Qdq) -> Built:
    name = q.file.node("Conv", q.x, q.weight(DEPTHWISE), group=4, pads=[1, 1, 1, 1])
    return depthwise(q.real, DEPTHWISE, 1) + q.real, q.file.node("Add", name, q.x)


def _qdq_behind(
    q: _Qdq, kind: str, function: Callable[[np.ndarray], np.ndarray], *constants, **attributes
) -> Built:
    """An operator behind the convolution, before its quantiser."""
    real, name = q.diagonal()
    return function(real), q.file.node(kind, name, *constants, **attributes)


def _qdq_alone(
    q: _Qdq, kind: str, function: Callable[[np.ndarray], np.ndarray], *constants, **attributes
) -> Built:
    return function(q.real), q.file.node(kind, q.x, *constants, **attributes)


_QDQ: dict[str, tuple[tuple[int, ...], Callable[[_Qdq], Built]]] = {
    "QuantizeLinear": (MAP, lambda q: (q.real, q.x)),
    "Conv": (MAP, lambda q: q.diagonal()),
    "Conv bias": (MAP, _qdq_conv_bias),
    "Conv 3x3": (
        MAP,
        lambda q: (
            dense_convolution(q.real, SPATIAL, 1),
            q.file.node("Conv", q.x, q.weight(SPATIAL), pads=[1, 1, 1, 1]),
        ),
    ),
    "Conv depthwise": (
        MAP,
        lambda q: (
            depthwise(q.real, DEPTHWISE, 1),
            q.file.node("Conv", q.x, q.weight(DEPTHWISE), group=4, pads=[1, 1, 1, 1]),
        ),
    ),
    "Conv grouped": (
        MAP,
        lambda q: (
            np.concatenate(
                [dense_convolution(q.real[:, 2 * g :][:, :2], _GROUPED[3 * g :][:3], 0) for g in (0, 1)], 1
            ),
            q.file.node("Conv", q.x, q.weight(_GROUPED), group=2),
        ),
    ),
    "ConvTranspose": (
        MAP,
        lambda q: (
            dense_convolution(q.real, DIAGONAL, 0),
            q.file.node("ConvTranspose", q.x, q.weight(DIAGONAL.transpose(1, 0, 2, 3).copy())),
        ),
    ),
    "Gemm": (FLAT, lambda q: _qdq_matrix(q, "Gemm")),
    "Gemm transB": (FLAT, lambda q: _qdq_matrix(q, "transB")),
    "MatMul": (FLAT, lambda q: _qdq_matrix(q, "MatMul")),
    "Add": (MAP, lambda q: _qdq_two(q, "Add")),
    "Sub": (MAP, lambda q: _qdq_two(q, "Sub")),
    "Sum": (MAP, lambda q: _qdq_two(q, "Sum")),
    "Concat": (MAP, lambda q: _qdq_two(q, "Concat")),
    "Conv Add": (MAP, _qdq_residual),
    "Mul": (MAP, lambda q: _qdq_alone(q, "Mul", lambda x: x * -3.5, np.float32(-3.5))),
    "Mul channels": (
        MAP,
        lambda q: _qdq_alone(
            q, "Mul", lambda x: x * per_channel(SLOPES * 9), np.float32(SLOPES * 9).reshape(1, 4, 1, 1)
        ),
    ),
    "Add constant": (MAP, lambda q: _qdq_alone(q, "Add", lambda x: x + 5, np.float32(5))),
    "Div": (MAP, lambda q: _qdq_alone(q, "Div", lambda x: x * 2, np.float32(0.5))),
    "AveragePool": (
        MAP,
        lambda q: _qdq_alone(q, "AveragePool", averaged, kernel_shape=[2, 2], strides=[2, 2]),
    ),
    "AveragePool pads": (
        MAP,
        lambda q: _qdq_alone(
            q, "AveragePool", lambda x: windows(x, 2, 1, 1).mean(-1), kernel_shape=[2, 2], pads=[1, 1, 1, 1],
            count_include_pad=1,
        ),
    ),
    "GlobalAveragePool": (
        SMALL,
        lambda q: _qdq_alone(q, "GlobalAveragePool", lambda x: x.mean((2, 3), keepdims=True)),
    ),
    "ReduceMean": (
        SMALL,
        lambda q: _qdq_alone(q, "ReduceMean", lambda x: x.mean((2, 3)), axes=[2, 3], keepdims=0),
    ),
    "MaxPool": (MAP, lambda q: _qdq_alone(q, "MaxPool", pooled, kernel_shape=[2, 2], strides=[2, 2])),
    "Conv MaxPool": (
        MAP,
        lambda q: _qdq_behind(q, "MaxPool", pooled, kernel_shape=[2, 2], strides=[2, 2]),
    ),
    "Relu": (MAP, lambda q: _qdq_alone(q, "Relu", relu)),
    "Conv Relu": (MAP, lambda q: _qdq_behind(q, "Relu", relu)),
    "Clip": (
        MAP,
        lambda q: _qdq_alone(q, "Clip", lambda x: np.clip(x, -35, 33), np.float32(-35), np.float32(33)),
    ),
    "Conv Clip": (
        MAP,
        lambda q: _qdq_behind(q, "Clip", lambda x: np.clip(x, 0, 65), np.float32(0), np.float32(65)),
    ),
    "LeakyRelu": (MAP, lambda q: _qdq_alone(q, "LeakyRelu", lambda x: leaky(x, 0.25), alpha=0.25)),
    "Conv LeakyRelu": (MAP, lambda q: _qdq_behind(q, "LeakyRelu", lambda x: leaky(x, 0.5), alpha=0.5)),
    "PRelu": (
        MAP,
        lambda q: _qdq_alone(
            q, "PRelu", lambda x: leaky(x, per_channel(SLOPES)), np.float32(SLOPES).reshape(4, 1, 1)
        ),
    ),
    "BatchNormalization": (
        MAP,
        lambda q: _qdq_alone(q, "BatchNormalization", normalised, *NORMALISATION, epsilon=0.0),
    ),
    "Conv BatchNormalization": (
        MAP,
        lambda q: (
            normalised(depthwise(q.real, DEPTHWISE, 1)),
            q.file.node(
                "BatchNormalization",
                q.file.node("Conv", q.x, q.weight(DEPTHWISE), group=4, pads=[1, 1, 1, 1]),
                *NORMALISATION,
                epsilon=0.0,
            ),
        ),
    ),
}  # fmt: skip


class _QOperator:
    """A file of operators on integers; its float input is quantised first."""

    def __init__(self, grid: Grid, shape: tuple[int, ...]) -> None:
        self.grid = grid
        self.low, self.high = ends(grid.dtype)
        integers = grid_values(self.low, self.high).reshape(-1, *shape)
        self.real = (integers - grid.zero) * float(grid.scale)
        self.file = OnnxFile(13)
        self.source = (np.float32(grid.scale), grid.dtype(grid.zero))
        self.target = (np.float32(grid.step), grid.dtype(grid.out))
        self.weights = (np.float32(1), np.int8(0))
        self.x = self.file.quantize(self.file.input((1, *shape)), *self.source)

    def convolution(self, weight: np.ndarray, *bias: np.ndarray, **attributes) -> str:
        rest = (weight, *self.weights, *self.target, *bias)
        return self.file.node("QLinearConv", self.x, *self.source, *rest, **attributes)

    def microsoft(self, kind: str, *inputs, **attributes) -> str:
        return self.file.node(kind, *inputs, domain=MICROSOFT, **attributes)

    def other(self) -> tuple[np.ndarray, str]:
        """A depthwise convolution of the input: its real values and its name."""
        integers = quantised(
            depthwise(self.real, DEPTHWISE, 1), self.grid.step, self.grid.out, self.low, self.high
        )
        name = self.convolution(DEPTHWISE, group=4, pads=[1, 1, 1, 1])
        return (integers - self.grid.out) * float(self.grid.step), name

    def model(self, operator: str, real: np.ndarray, output: str, step: float | None = None) -> TieModel:
        grid, step = self.grid, step or self.grid.step
        rounded = _quantised_together if operator in _TOGETHER else quantised
        expected = rounded(real, step, grid.out, self.low, self.high) if grid.whole else None
        return TieModel(
            "QOperator", operator, f"QOperator {operator} {grid}", self.file.bytes(), self.real.astype(np.float32),
            output, real / step, expected, grid.out, self.low, self.high,
        )  # fmt: skip


def _qlinear_conv_bias(q: _QOperator) -> Built:
    real = dense_convolution(q.real, DIAGONAL, 0) + per_channel(BIAS) * q.grid.scale
    return real, q.convolution(DIAGONAL, BIAS)


def _qgemm(q: _QOperator) -> Built:
    matrix = DIAGONAL[:, :, 0, 0]
    name = q.microsoft("QGemm", q.x, *q.source, matrix, *q.weights, BIAS, *q.target, transB=1)
    return q.real @ matrix.T + BIAS * q.grid.scale, name


def _qlinear_matmul(q: _QOperator) -> Built:
    matrix = DIAGONAL[:, :, 0, 0].T.copy()
    return q.real @ matrix, q.file.node("QLinearMatMul", q.x, *q.source, matrix, *q.weights, *q.target)


def _qlinear_add(q: _QOperator) -> Built:
    real, name = q.other()
    return real + q.real, q.microsoft("QLinearAdd", q.x, *q.source, name, *q.target, *q.target)


def _qlinear_concat(q: _QOperator) -> Built:
    real, name = q.other()
    parts = (*q.target, q.x, *q.source, name, *q.target)
    return np.concatenate([q.real, real], 1), q.microsoft("QLinearConcat", *parts, axis=1)


_QOPERATOR: dict[str, tuple[tuple[int, ...], Callable[[_QOperator], Built]]] = {
    "QLinearConv": (MAP, lambda q: (dense_convolution(q.real, DIAGONAL, 0), q.convolution(DIAGONAL))),
    "QLinearConv bias": (MAP, _qlinear_conv_bias),
    "QLinearConv 3x3": (
        MAP,
        lambda q: (dense_convolution(q.real, SPATIAL, 1), q.convolution(SPATIAL, pads=[1, 1, 1, 1])),
    ),
    "QLinearConv depthwise": (
        MAP,
        lambda q: (
            depthwise(q.real, DEPTHWISE, 1),
            q.convolution(DEPTHWISE, group=4, pads=[1, 1, 1, 1]),
        ),
    ),
    "QGemm": (FLAT, _qgemm),
    "QLinearMatMul": (FLAT, _qlinear_matmul),
    "QLinearAdd": (MAP, _qlinear_add),
    "QLinearConcat": (MAP, _qlinear_concat),
    "QLinearAveragePool": (
        MAP,
        lambda q: (
            averaged(q.real),
            q.microsoft("QLinearAveragePool", q.x, *q.source, *q.target, kernel_shape=[2, 2], strides=[2, 2]),
        ),
    ),
    "QLinearGlobalAveragePool": (
        SMALL,
        lambda q: (
            q.real.mean((2, 3), keepdims=True),
            q.microsoft("QLinearGlobalAveragePool", q.x, *q.source, *q.target, channels_last=0),
        ),
    ),
    "QLinearWhere": (
        MAP,
        lambda q: (
            q.real,
            q.microsoft("QLinearWhere", np.array([True]), q.x, *q.source, q.x, *q.source, *q.target),
        ),
    ),
    "QLinearLeakyRelu": (
        MAP,
        lambda q: (
            leaky(q.real, 0.25),
            q.microsoft("QLinearLeakyRelu", q.x, *q.source, *q.target, alpha=0.25),
        ),
    ),
}


def _qlinear_mul(grid: Grid) -> TieModel:
    """The product's step is larger, as its range is."""
    q = _QOperator(grid, MAP)
    real, name = q.other()
    step = 64.0 * grid.step
    output = q.microsoft(
        "QLinearMul", q.x, *q.source, name, *q.target, np.float32(step), grid.dtype(grid.out)
    )
    return q.model("QLinearMul", real * q.real, output, step)


def _dynamic(low: int) -> TieModel:
    """DynamicQuantizeLinear of half steps: images that hold `low` and `low` + 255, so that the scale is 1."""
    x = grid_values(0, 255).astype(np.float64) + low
    x = np.where(np.arange(x.size).reshape(x.shape) % 3 == 0, np.clip(x + 0.5, low, low + 255), x)
    x[:, 0, 0, 0], x[:, 0, 0, 1] = low, low + 255
    file = OnnxFile(13)
    output, _, _ = file.node("DynamicQuantizeLinear", file.input((1, *MAP)), outputs=3)
    return TieModel(
        "QOperator", "DynamicQuantizeLinear", f"QOperator DynamicQuantizeLinear {low}", file.bytes(output),
        x.astype(np.float32), output, x, quantised(x, 1, -low, 0, 255), -low, 0, 255,
    )  # fmt: skip


def models() -> list[TieModel]:
    """All models of both forms."""
    made = [_qlinear_mul(grid) for grid in GRIDS] + [_dynamic(low) for low in (0, -1, -128, -255)]
    for (operator, (shape, build)), grid in itertools.product(_QDQ.items(), GRIDS):
        qdq = _Qdq(grid, shape)
        made.append(qdq.model(operator, *build(qdq)))
    for (operator, (shape, build)), grid in itertools.product(_QOPERATOR.items(), GRIDS):
        integers = _QOperator(grid, shape)
        made.append(integers.model(operator, *build(integers)))
    return made
