# SPDX-License-Identifier: Apache-2.0
"""`golden.tests.tie_models` for QONNX: every rounding mode, narrow ranges, signed and unsigned."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from assay.golden.tests.onnx_files import QONNX, OnnxFile
from assay.golden.tests.tie_models import (
    BIAS,
    DEPTHWISE,
    DIAGONAL,
    FLAT,
    MAP,
    NORMALISATION,
    SMALL,
    TENTHS,
    Built,
    TieModel,
    averaged,
    dense_convolution,
    depthwise,
    grid_values,
    leaky,
    normalised,
    per_channel,
    pooled,
    relu,
)

__all__ = ["models"]

# Rounding modes as its specification names them, in float64.
_ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


@dataclass(frozen=True)
class _Grid:
    """Quant's numbers: 8 bits and scale `unit` at the input, `bits` and scale `step * unit` at the output."""

    mode: str
    zero: int
    out: int
    signed: int = 1
    narrow: int = 0
    bits: int = 6
    step: int = 2
    input_signed: int = 1
    unit: float = 1

    def __str__(self) -> str:
        sign = "s" if self.signed else "u"
        scales = f"{self.unit:g}:{self.step * self.unit:g}"
        return f"{self.mode}-{sign}{self.bits}{'n' * self.narrow}-{self.zero}-{self.out}-{scales}"

    @property
    def ends(self) -> tuple[int, int]:
        if self.signed:
            return self.narrow - (1 << self.bits - 1), (1 << self.bits - 1) - 1
        return 0, (1 << self.bits) - 1 - self.narrow


_GRIDS = tuple(
    _Grid(mode, zero, out, signed, narrow, input_signed=signed)
    for mode in _ROUNDINGS
    for zero, out, signed, narrow in ((0, 0, 1, 0), (0, 1, 1, 1), (3, 0, 0, 0), (255, 5, 0, 1), (1, 32, 0, 0))
)
_ZEROS = (
    *(_Grid("ROUND", 0, out, step=4) for out in (-32, -31, -1, 2, 31)),
    *(_Grid("ROUND", 128, out, signed=0, step=4, input_signed=0) for out in (0, 1, 31, 33, 62, 63)),
)
# Scales of float32's full length, for operators without constants of their own.
_TENTHS = (
    *(_Grid(mode, 0, 0, unit=TENTHS) for mode in ("ROUND", "FLOOR", "CEIL")),
    _Grid("ROUND", 0, 1, step=1, unit=TENTHS),
)


class _File:
    """A float input in half steps of its scale (`real` is in whole ones), so that the input's Quant meets ties, too;
    then an operator and its Quant."""

    def __init__(self, grid: _Grid, shape: tuple[int, ...], version: int = 1) -> None:
        self.grid = grid
        low, high = (-128, 127) if grid.input_signed else (0, 255)
        integers = grid_values(low, high).reshape(-1, *shape)
        half = np.where(np.arange(integers.size).reshape(integers.shape) % 3 == 0, 0.5, 0)
        self.given = integers - grid.zero + half
        self.file = OnnxFile(13, version)
        self.x = self.file.quant(
            self.file.input((1, *shape)), 8, grid.unit, grid.zero, signed=grid.input_signed
        )
        self.real = np.rint(np.clip(self.given + grid.zero, low, high)) - grid.zero

    def weight(self, values: np.ndarray) -> str:
        return self.file.quant(values.astype(np.float32), 8, 1)

    def other(self) -> Built:
        """A depthwise convolution of the input, quantised on the output's grid."""
        grid = self.grid
        low, high = grid.ends
        steps = depthwise(self.real, DEPTHWISE, 1) / grid.step + grid.out
        integers = _ROUNDINGS[grid.mode](np.clip(steps, low, high))
        name = self.file.node("Conv", self.x, self.weight(DEPTHWISE), group=4, pads=[1, 1, 1, 1])
        return (integers - grid.out) * grid.step, self._quant(name)

    def _quant(self, name: str) -> str:
        grid = self.grid
        return self.file.quant(
            name,
            grid.bits,
            grid.step * grid.unit,
            grid.out,
            signed=grid.signed,
            narrow=grid.narrow,
            mode=grid.mode,
        )

    def model(self, operator: str, real: np.ndarray, name: str) -> TieModel:
        grid = self.grid
        low, high = grid.ends
        exact = real / grid.step
        expected = None
        if grid.unit == 1:
            expected = (_ROUNDINGS[grid.mode](np.clip(exact + grid.out, low, high)) - grid.out) * grid.step
        return self._model(operator, self._quant(name), exact, expected, (grid.out, low, high))

    def _model(self, operator: str, output: str, exact, expected, ends: tuple[int, int, int]) -> TieModel:
        x = (self.given * self.grid.unit).astype(np.float32)
        name = f"QONNX {operator} {self.grid}"
        return TieModel("QONNX", operator, name, self.file.bytes(), x, output, exact, expected, *ends)


def _two(q: _File, kind: str) -> Built:
    real, name = q.other()
    if kind == "Concat":
        return np.concatenate([q.real, real], 1), q.file.node("Concat", q.x, name, axis=1)
    if kind == "Sub":
        return q.real - real, q.file.node("Sub", q.x, name)
    return q.real + real, q.file.node("Add", q.x, name)


def _unary(kind: str, function: Callable[[np.ndarray], np.ndarray], *constants, **attributes):
    return lambda q: (function(q.real), q.file.node(kind, q.x, *constants, **attributes))


_OPERATORS: dict[str, tuple[tuple[int, ...], Callable[[_File], Built]]] = {
    "Quant": (MAP, lambda q: (q.real, q.x)),
    "Conv": (
        MAP,
        lambda q: (
            dense_convolution(q.real, DIAGONAL, 0),
            q.file.node("Conv", q.x, q.weight(DIAGONAL)),
        ),
    ),
    "Conv depthwise": (
        MAP,
        lambda q: (
            depthwise(q.real, DEPTHWISE, 1),
            q.file.node("Conv", q.x, q.weight(DEPTHWISE), group=4, pads=[1, 1, 1, 1]),
        ),
    ),
    "MatMul": (
        FLAT,
        lambda q: (
            q.real @ DIAGONAL[:, :, 0, 0].T,
            q.file.node("MatMul", q.x, q.weight(DIAGONAL[:, :, 0, 0].T.copy())),
        ),
    ),
    "Conv Relu": (
        MAP,
        lambda q: (
            relu(dense_convolution(q.real, DIAGONAL, 0)),
            q.file.node("Relu", q.file.node("Conv", q.x, q.weight(DIAGONAL))),
        ),
    ),
    "Conv Clip": (
        MAP,
        lambda q: (
            np.clip(dense_convolution(q.real, DIAGONAL, 0), -35, 33),
            q.file.node(
                "Clip", q.file.node("Conv", q.x, q.weight(DIAGONAL)), np.float32(-35), np.float32(33)
            ),
        ),
    ),
    "Add": (MAP, lambda q: _two(q, "Add")),
    "Sub": (MAP, lambda q: _two(q, "Sub")),
    "Concat": (MAP, lambda q: _two(q, "Concat")),
    "AveragePool": (
        MAP, _unary("AveragePool", averaged, kernel_shape=[2, 2], strides=[2, 2]),
    ),
    "GlobalAveragePool": (
        SMALL, _unary("GlobalAveragePool", lambda x: x.mean((2, 3), keepdims=True)),
    ),
    "MaxPool": (MAP, _unary("MaxPool", pooled, kernel_shape=[2, 2], strides=[2, 2])),
    "Relu": (MAP, _unary("Relu", relu)),
    "LeakyRelu": (MAP, _unary("LeakyRelu", lambda x: leaky(x, 0.5), alpha=0.5)),
    "Mul": (MAP, _unary("Mul", lambda x: x * -1.5, np.float32(-1.5))),
    "BatchNormalization": (
        MAP, _unary("BatchNormalization", normalised, *NORMALISATION, epsilon=0.0),
    ),
}  # fmt: skip


def _bipolar(zero: int) -> TieModel:
    """scale where the value is 0 or more: the tie is 0 itself."""
    q = _File(_Grid("ROUND", zero, 0), MAP)
    real = dense_convolution(q.real, DIAGONAL, 0) + per_channel(BIAS) - 0.5 * (zero == 3)
    bias = (BIAS - 0.5 * (zero == 3)).astype(np.float32)
    name = q.file.node("Conv", q.x, q.weight(DIAGONAL), bias)
    output = q.file.node("BipolarQuant", name, np.float32(2), domain=QONNX)
    # In steps of the output -1 and 1 are the values, so that 0 stands for the tie between them at 0.
    return q._model("BipolarQuant", output, real / 4 + 0.5, np.where(real >= 0, 2.0, -2.0), (0, -1, 2))


def _truncated(version: int, mode: str, signed: bool) -> TieModel:
    """The sum of four values of 8 bits to 8 bits (an average), by dropping two bits."""
    q = _File(_Grid(mode, 0, 0, int(signed), input_signed=int(signed)), MAP, version)
    name = q.file.node("AveragePool", q.x, kernel_shape=[2, 2], strides=[2, 2])
    numbers = [0.25, 0, 10, *([1] if version == 2 else []), 8]
    attributes = {"signed": int(signed), "narrow": 0} if version == 2 else {}
    output = q.file.node(
        "Trunc", name, *(np.float32(n) for n in numbers), domain=QONNX, rounding_mode=mode, **attributes
    )
    exact = averaged(q.real)
    scale = 1 if version == 2 else 0.25
    low, high = (-128, 127) if signed else (0, 255)
    return q._model(f"Trunc {version}", output, exact, _ROUNDINGS[mode](exact) * scale, (0, low, high))


def models() -> list[TieModel]:
    """All of them."""
    made = [_bipolar(zero) for zero in (0, 1, 3)]
    for version, signed in itertools.product((1, 2), (True, False)):
        made += [_truncated(version, mode, signed) for mode in ("FLOOR", "CEIL", "ROUND")]
    for operator, (shape, build) in _OPERATORS.items():
        # Every mode and zero point with one operator of each kind that a layer is made of; the rest with some.
        whole = operator in ("Quant", "Conv", "Conv Relu", "Conv Clip", "AveragePool")
        grids = _GRIDS + _ZEROS if whole else _GRIDS[:5] + _ZEROS[1::2]
        for grid in grids + (() if operator in ("Conv Clip", "BatchNormalization") else _TENTHS):
            q = _File(grid, shape)
            made.append(q.model(operator, *build(q)))
    return made
