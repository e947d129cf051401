# SPDX-License-Identifier: Apache-2.0
"""Small models of one rounding each, whose values lie on ties and beyond both ends of saturation.

Frameworks agree on the nearest integer and differ in the details: whether the zero point is added before or after the
rounding, to which side a tie goes, where the value is clamped. Random scales hide such a difference, because a tie is
then a rare accident. Here most scales are small integers, so that every value is exact in float32 and halves are
common; others are fractions of the same ratios, where the framework's own roundings decide what becomes of a half.
Zero points are even and odd, at both ends of the range and beside them, and the input runs through all values of its
grid.

A model's `exact` is its last tensor before the rounding, in steps of the output, computed in float64 without any of
the code that is tested. The files are in `tie_models_onnx`, `tie_models_qonnx` and `tie_models_tflite`; `by_operator`
lists them all. `golden.tests.test_ties` holds the models to their frameworks, and `golden.tests.test_ties_lowered`
holds what is lowered from them to the frameworks' arithmetic.

Operators that round only through a function without exact ties (Sigmoid, Softmax, Exp and their like) are not here:
the tests of single operators run them through all their inputs.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

__all__ = [
    "BIAS",
    "DEPTHWISE",
    "DIAGONAL",
    "FLAT",
    "GRIDS",
    "MAP",
    "NORMALISATION",
    "SLOPES",
    "SMALL",
    "SPATIAL",
    "TENTHS",
    "Built",
    "Grid",
    "TieModel",
    "averaged",
    "by_operator",
    "dense_convolution",
    "depthwise",
    "ends",
    "grid_values",
    "leaky",
    "normalised",
    "per_channel",
    "pooled",
    "quantised",
    "relu",
    "windows",
]


@dataclass(frozen=True)
class Grid:
    """Two int8 or uint8 grids: real = scale * (q - zero) of the input, and step * (q - out) of the output."""

    dtype: type
    zero: int
    out: int
    scale: float = 1
    step: float = 2

    def __str__(self) -> str:
        return f"{np.dtype(self.dtype)}-{self.zero}-{self.out}-{self.scale:g}:{self.step:g}"

    @property
    def whole(self) -> bool:
        """Whether float32 arithmetic on these scales is exact, so that the specification alone tells the result."""
        return float(self.scale).is_integer()


@dataclass(frozen=True, eq=False)
class TieModel:
    """A file and inputs for it.

    Attributes:
        family: QDQ, QOperator, QONNX or TFLite.
        operator: what is rounded; `name` says the grid, too.
        data: the file.
        x: for the graph's one input, `[N, ...]`.
        output: name of the tensor that is rounded last.
        exact: its values before rounding, float64, in steps of the output and without the zero point.
        expected: the same tensor as its framework's specification defines it; None where float32 or code decides.
        zero, low, high: zero point and ends of the output.
    """

    family: str
    operator: str
    name: str
    data: bytes
    x: np.ndarray
    output: str
    exact: np.ndarray
    expected: np.ndarray | None
    zero: int
    low: int
    high: int

    @property
    def ties(self) -> np.ndarray:
        """Those values halfway between two steps that do not saturate."""
        values = self.exact[np.mod(self.exact, 1) == 0.5]
        return values[(values + self.zero > self.low) & (values + self.zero < self.high)]


# Three tenths in float32: times an integer it has more than 24 bits, so the framework's roundings decide a tie.
TENTHS = float(np.float32(0.3))

# int8 and uint8, each with zero points in the middle, beside it and at both ends.
GRIDS = (
    Grid(np.int8, 0, 0),
    Grid(np.int8, 0, 1),
    Grid(np.int8, 1, 0, scale=3),
    Grid(np.int8, 3, -1, scale=3, step=4),
    Grid(np.int8, -128, 127, scale=3),
    Grid(np.int8, 127, -128, step=4),
    Grid(np.uint8, 0, 0, scale=3),
    Grid(np.uint8, 128, 128),
    Grid(np.uint8, 128, 127, scale=3, step=4),
    Grid(np.uint8, 0, 255),
    Grid(np.uint8, 255, 1, scale=3),
    Grid(np.uint8, 3, 0, step=4),
    # Scales as training gives them, but of a ratio that makes ties.
    Grid(np.int8, 0, 0, scale=TENTHS, step=2 * TENTHS),
    Grid(np.int8, 0, 2, scale=TENTHS, step=TENTHS),
    Grid(np.uint8, 128, 128, scale=TENTHS, step=2 * TENTHS),
)


def grid_values(low: int, high: int, seed: int = 0) -> np.ndarray:
    """`[8, 4, 8, 8]`: every channel holds every integer of a range of at most 256; then random ones."""
    values = np.arange(256) % (high - low + 1) + low
    whole = [np.roll(values.reshape(4, 8, 8), image, 0) for image in range(4)]
    random = np.random.default_rng(seed).integers(low, high, (4, 4, 8, 8), endpoint=True)
    return np.concatenate([whole, random])


def quantised(real: np.ndarray, step: float, zero: int, low: int, high: int) -> np.ndarray:
    """ONNX's QuantizeLinear: rounding to even first, then the zero point."""
    return np.clip(np.rint(real / step) + zero, low, high)


def ends(dtype: type) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def windows(x: np.ndarray, size: int, stride: int = 1, pads: int = 0) -> np.ndarray:
    """`[N, C, H', W', size * size]` of `[N, C, H, W]`, padded with 0."""
    x = np.pad(x, ((0, 0), (0, 0), (pads, pads), (pads, pads)))
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride]
    return view.reshape(*view.shape[:4], -1)


def depthwise(x: np.ndarray, weight: np.ndarray, pads: int) -> np.ndarray:
    """`weight` is `[C, 1, fH, fW]`."""
    return np.einsum("nchwk,ck->nchw", windows(x, weight.shape[2], 1, pads), weight.reshape(len(weight), -1))


def dense_convolution(x: np.ndarray, weight: np.ndarray, pads: int) -> np.ndarray:
    shape = (*weight.shape[:2], -1)
    return np.einsum("nchwk,ock->nohw", windows(x, weight.shape[2], 1, pads), weight.reshape(shape))


# Weights of a 1x1 convolution from 4 to 8 channels: each output is one input times a number, odd so that ties stay
# ties, of either sign, and some large enough to reach both ends from every zero point.
_FACTORS = np.array([1, -1, 3, -3, 7, -7, 15, -15])
DIAGONAL = np.zeros((8, 4, 1, 1), np.int8)
DIAGONAL[np.arange(8), np.arange(8) % 4, 0, 0] = _FACTORS
BIAS = np.array([0, 1, -1, 2, 3, -3, 5, -5], np.int32)
_RNG = np.random.default_rng(7)
DEPTHWISE = _RNG.integers(-7, 8, (4, 1, 3, 3)).astype(np.int8)
SPATIAL = _RNG.integers(-3, 4, (5, 4, 3, 3)).astype(np.int8)


def per_channel(numbers: np.ndarray) -> np.ndarray:
    return np.asarray(numbers, np.float64).reshape(-1, 1, 1)


Built = tuple[np.ndarray, str]
MAP, SMALL, FLAT = (4, 8, 8), (4, 2, 2), (4,)
SLOPES = np.array([0.5, -0.25, 1, 0.125])
# gamma, beta, mean, variance: factors 0.5, -1, 3, 7 and whole offsets.
NORMALISATION = [np.float32(n) for n in ([1, -2, 6, 14], [1, 0, -3, 2], [2, 1, 0, -1], [4, 4, 4, 4])]


def normalised(x: np.ndarray) -> np.ndarray:
    gamma, beta, mean, variance = map(per_channel, NORMALISATION)
    return (x - mean) * (gamma / np.sqrt(variance)) + beta


def leaky(x: np.ndarray, slope) -> np.ndarray:
    return np.where(x < 0, x * slope, x)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def pooled(x: np.ndarray) -> np.ndarray:
    return windows(x, 2, 2).max(-1)


def averaged(x: np.ndarray) -> np.ndarray:
    return windows(x, 2, 2).mean(-1)


@functools.cache
def by_operator() -> dict[tuple[str, str], list[TieModel]]:
    """The models of all families, under family and operator; those whose scales are no integers, of ONNX, apart as
    "operator, fractions"."""
    from assay.golden.tests import tie_models_onnx, tie_models_qonnx, tie_models_tflite

    made: dict[tuple[str, str], list[TieModel]] = {}
    for family in (tie_models_onnx, tie_models_qonnx, tie_models_tflite):
        for model in family.models():
            apart = model.expected is None and model.family != "TFLite"
            case = model.family, f"{model.operator}, fractions" if apart else model.operator
            made.setdefault(case, []).append(model)
    return made
