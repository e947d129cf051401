# SPDX-License-Identifier: Apache-2.0
"""`golden.tests.tie_models` for TensorFlow Lite int8: small files of one rounding each, full of ties.

TFLite's definition is its reference kernels, which round in two or three steps of fixed-point arithmetic, so a model
here has no `expected`: where the exact value is a tie, the kernels' result may be either side of it, or, with two
roundings, not the nearest at all.

CONCATENATION takes inputs of one scale; converters put QUANTIZE before it, and so does the model here. Poolings by
average and by maximum keep their input's scale, so that nothing saturates in them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from assay.golden.importers import tflite as importer
from assay.golden.tests.tflite_files import ModelFile
from assay.golden.tests.tie_models import Grid, TieModel, depthwise, grid_values, windows

__all__ = ["models"]

_GRIDS = (
    Grid(np.int8, 0, 0),
    Grid(np.int8, 0, 1),
    Grid(np.int8, 1, 0, scale=3),
    Grid(np.int8, 3, -1, scale=3, step=4),
    Grid(np.int8, -128, 127, scale=3),
    Grid(np.int8, 127, -128, step=4),
    Grid(np.int8, -128, -128, scale=3, step=4),
    Grid(np.int8, -127, 126, step=4),
)

# As in `tie_models`: each output of the dense layers is one input times an odd number.
_FACTORS = np.array([1, -1, 3, -3, 7, -7, 15, -15])
_DIAGONAL = np.zeros((8, 1, 1, 4), np.int8)
_DIAGONAL[np.arange(8), 0, 0, np.arange(8) % 4] = _FACTORS
_BIAS = np.array([0, 1, -1, 2, 3, -3, 5, -5], np.int32)
_RNG = np.random.default_rng(11)
_DEPTHWISE = _RNG.integers(-7, 8, (1, 3, 3, 4)).astype(np.int8)
# Multiples of every step: what these make needs no rounding.
_WHOLE = (4 * _RNG.integers(-1, 2, (1, 3, 3, 4))).astype(np.int8)
_SPATIAL = _RNG.integers(-3, 4, (5, 3, 3, 4)).astype(np.int8)
_SAME, _VALID = 0, 1  # of the schema's Padding


class _File:
    """A file whose input is `[1, H, W, 4]` (or `[1, 4]`), int8, all weights of scale 1."""

    def __init__(self, grid: Grid, shape: tuple[int, ...]) -> None:
        self.grid = grid
        values = grid_values(-128, 127).transpose(0, 2, 3, 1)
        self.integers = values.reshape(-1, *shape).astype(np.int8)
        self.real = (self.integers.astype(np.float64) - grid.zero) * grid.scale
        self.file = ModelFile()
        self.x = self.file.tensor((1, *shape), grid.scale, grid.zero)

    def output(self) -> int:
        return self.file.tensor((), self.grid.step, self.grid.out)

    def alike(self) -> int:
        """An output on the input's grid."""
        return self.file.tensor((), self.grid.scale, self.grid.zero)

    def weights(self, values: np.ndarray, axis: int) -> int:
        count = values.shape[axis]
        return self.file.constant(values, [1.0] * count, [0] * count, axis)

    def bias(self, values: np.ndarray) -> int:
        return self.file.constant(values, [self.grid.scale] * len(values), [0] * len(values))

    def depthwise(self, weights: np.ndarray = _DEPTHWISE) -> tuple[np.ndarray, int]:
        """Of the input, on the output's grid: the real values before they are quantised, and the tensor."""
        y = self.output()
        self.file.operator(
            "DEPTHWISE_CONV_2D", [self.x, self.weights(weights, 3), self.bias(np.zeros(4, np.int32))], [y],
            "DepthwiseConv2DOptions", StrideH=1, StrideW=1, DepthMultiplier=1, Padding=_SAME,
        )  # fmt: skip
        return _last(depthwise(_second(self.real), weights.transpose(3, 0, 1, 2), 1)), y

    def model(self, operator: str, real: np.ndarray, output: int, step: float, zero: int) -> TieModel:
        made = importer.loads(self.file.bytes([self.x], [output])).tensors
        for tensor in self.file.tensors:  # as converters write them: XNNPACK takes no node without shapes
            tensor.shape = made[tensor.name].shape if tensor.name in made else tensor.shape
        data = self.file.bytes([self.x], [output])
        name = f"TFLite {operator} {self.grid}"
        return TieModel(
            "TFLite", operator, name, data, self.integers, f"t{output}", real / step, None, zero, -128, 127
        )


def _second(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2)


def _last(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1)


Built = tuple[np.ndarray, int]


def _convolution(f: _File, weight: np.ndarray, bias: np.ndarray, activation: int = 0) -> Built:
    y = f.output()
    f.file.operator(
        "CONV_2D", [f.x, f.weights(weight, 0), f.bias(bias)], [y], "Conv2DOptions", StrideH=1, StrideW=1,
        Padding=_SAME, FusedActivationFunction=activation,
    )  # fmt: skip
    taken = windows(_second(f.real), weight.shape[1], 1, weight.shape[1] // 2)
    kernel = weight.transpose(0, 3, 1, 2).reshape(len(weight), 4, -1)
    real = np.einsum("nchwk,ock->nhwo", taken, kernel) + bias * float(f.grid.scale)
    return (np.clip(real, 0, (None, None, None, 6)[activation]) if activation else real), y


def _dense(f: _File) -> Built:
    y = f.output()
    matrix = _DIAGONAL[:, 0, 0]
    inputs = [f.x, f.file.constant(matrix, 1.0, 0), f.file.constant(_BIAS, float(f.grid.scale), 0)]
    f.file.operator("FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions")
    return f.real @ matrix.T + _BIAS * float(f.grid.scale), y


def _product(f: _File) -> Built:
    y = f.output()
    matrix = _DIAGONAL[:, 0, 0].T.copy()
    f.file.operator("BATCH_MATMUL", [f.x, f.file.constant(matrix, 1.0, 0)], [y], "BatchMatMulOptions")
    return f.real @ matrix, y


def _residual(f: _File, kind: str) -> Built:
    """A depthwise convolution of the input, itself without rounding, and the input."""
    real, other = f.depthwise(_WHOLE)
    y, step = f.output(), float(f.grid.step)
    real = (np.clip(real / step + f.grid.out, -128, 127) - f.grid.out) * step
    f.file.operator(kind, [other, f.x], [y], f"{kind.capitalize()}Options")
    return (real + f.real if kind == "ADD" else real - f.real), y


def _twice(f: _File, kind: str) -> Built:
    """The input and itself."""
    y = f.output()
    f.file.operator(kind, [f.x, f.x], [y], f"{kind.capitalize()}Options")
    return 2 * f.real, y


def _by_constant(f: _File, kind: str) -> Built:
    y = f.output()
    values = np.array([3, -5, 7, -1], np.int8)
    f.file.operator(kind, [f.x, f.file.constant(values, 1.0, 0)], [y], f"{kind.capitalize()}Options")
    return {"ADD": f.real + values, "SUB": f.real - values, "MUL": f.real * values}[kind], y


def _unary(
    f: _File, kind: str, function: Callable[[np.ndarray], np.ndarray], table: str = "", **options
) -> Built:
    y = f.output()
    f.file.operator(kind, [f.x], [y], table, **options)
    return function(f.real), y


def _prelu(f: _File) -> Built:
    y = f.output()
    slopes = np.array([[[2, -1, 4, 3]]], np.int8)
    f.file.operator("PRELU", [f.x, f.file.constant(slopes, 0.25, 0)], [y])
    return np.where(f.real < 0, f.real * slopes * 0.25, f.real), y


def _squared(f: _File) -> Built:
    """The square of the distance from a constant, on a step 64 times as large as the range is."""
    y = f.file.tensor((), 64.0 * f.grid.step, f.grid.out)
    values = np.array([3, -5, 7, -1], np.int8).reshape(1, 1, 1, 4)
    f.file.operator("SQUARED_DIFFERENCE", [f.x, f.file.constant(values, 1.0, 0)], [y])
    return (f.real - values) ** 2 / 64, y


def _mean(f: _File, keep: bool) -> Built:
    y = f.output()
    axes = f.file.constant(np.array([1, 2], np.int32))
    f.file.operator("MEAN", [f.x, axes], [y], "ReducerOptions", KeepDims=keep)
    return f.real.mean((1, 2), keepdims=keep), y


def _joined(f: _File) -> Built:
    """The input, requantised, beside a convolution of it."""
    real, other = f.depthwise()
    same, y = f.output(), f.output()
    f.file.operator("QUANTIZE", [f.x], [same])
    f.file.operator("CONCATENATION", [same, other], [y], "ConcatenationOptions", Axis=3)
    return np.concatenate([f.real, real], 3), y


def _transposed(f: _File) -> Built:
    """A transposed convolution of stride 1 by a kernel of 1x1 is a convolution."""
    y = f.output()
    size = f.file.constant(np.array([1, 8, 8, 8], np.int32))
    f.file.operator(
        "TRANSPOSE_CONV", [size, f.weights(_DIAGONAL, 0), f.x], [y], "TransposeConvOptions", StrideH=1, StrideW=1,
        Padding=_SAME,
    )  # fmt: skip
    return f.real @ _DIAGONAL[:, 0, 0].T, y


def _padded(f: _File) -> Built:
    """PAD fills with the real zero; the convolution behind it rounds."""
    wide = f.alike()
    pairs = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    f.file.operator("PAD", [f.x, f.file.constant(pairs)], [wide])
    y = f.output()
    f.file.operator(
        "CONV_2D", [wide, f.weights(_DIAGONAL, 0), f.bias(_BIAS)], [y], "Conv2DOptions", StrideH=1, StrideW=1,
        Padding=_VALID,
    )  # fmt: skip
    real = np.pad(f.real, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return real @ _DIAGONAL[:, 0, 0].T + _BIAS * float(f.grid.scale), y


_MAP, _SMALL, _FLAT = (8, 8, 4), (2, 2, 4), (4,)
_NOTHING = np.zeros(5, np.int32)

_OPERATORS: dict[str, tuple[tuple[int, ...], Callable[[_File], Built]]] = {
    "CONV_2D": (_MAP, lambda f: _convolution(f, _DIAGONAL, _BIAS)),
    "CONV_2D 3x3": (_MAP, lambda f: _convolution(f, _SPATIAL, _NOTHING)),
    "CONV_2D RELU": (_MAP, lambda f: _convolution(f, _DIAGONAL, _BIAS, 1)),
    "CONV_2D RELU6": (_MAP, lambda f: _convolution(f, _DIAGONAL, _BIAS, 3)),
    "DEPTHWISE_CONV_2D": (_MAP, lambda f: f.depthwise()),
    "TRANSPOSE_CONV": (_MAP, _transposed),
    "FULLY_CONNECTED": (_FLAT, _dense),
    "BATCH_MATMUL": (_FLAT, _product),
    "ADD": (_MAP, lambda f: _residual(f, "ADD")),
    "SUB": (_MAP, lambda f: _residual(f, "SUB")),
    "ADD itself": (_MAP, lambda f: _twice(f, "ADD")),
    "ADD constant": (_MAP, lambda f: _by_constant(f, "ADD")),
    "SUB constant": (_MAP, lambda f: _by_constant(f, "SUB")),
    "MUL constant": (_MAP, lambda f: _by_constant(f, "MUL")),
    "QUANTIZE": (_MAP, lambda f: _unary(f, "QUANTIZE", lambda x: x)),
    "RELU": (_MAP, lambda f: _unary(f, "RELU", lambda x: np.maximum(x, 0))),
    "RELU6": (_MAP, lambda f: _unary(f, "RELU6", lambda x: np.clip(x, 0, 6))),
    "LEAKY_RELU": (
        _MAP,
        lambda f: _unary(f, "LEAKY_RELU", lambda x: np.where(x < 0, x / 2, x), "LeakyReluOptions", Alpha=0.5),
    ),
    "PRELU": (_MAP, _prelu),
    "SQUARED_DIFFERENCE": (_MAP, _squared),
    "MEAN": (_SMALL, lambda f: _mean(f, False)),
    "MEAN keep": (_SMALL, lambda f: _mean(f, True)),
    "CONCATENATION": (_MAP, _joined),
    "PAD": (_MAP, _padded),
}


def _pooled(grid: Grid, kind: str) -> TieModel:
    f = _File(grid, _MAP)
    y = f.alike()
    sizes = {"StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2}
    f.file.operator(kind, [f.x], [y], "Pool2DOptions", **sizes)
    taken = windows(_second(f.real), 2, 2)
    real = taken.mean(-1) if kind == "AVERAGE_POOL_2D" else taken.max(-1)
    return f.model(kind, _last(real), y, grid.scale, grid.zero)


def models() -> list[TieModel]:
    """All of them."""
    made = [_pooled(grid, kind) for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D") for grid in _GRIDS]
    for (operator, (shape, build)), grid in itertools.product(_OPERATORS.items(), _GRIDS):
        f = _File(grid, shape)
        real, output = build(f)
        made.append(f.model(operator, real, output, grid.step, grid.out))
    return made
