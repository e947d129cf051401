# SPDX-License-Identifier: Apache-2.0
"""TFLite's functions of one 8-bit value, as tables of their 256 results, which is also how LiteRT computes several.

A table is an array `[256]` of the output's dtype, in ascending order of input. Each function's docstring names the
kernel's source, relative to tflite/kernels/ in https://github.com/google-ai-edge/LiteRT.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.schemes.tflite import (
    Affine,
    Rescale,
    activation_range,
    clamped,
    float_table,
    hard_swish,
    inverse_square_root,
    limits,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
)

__all__ = [
    "Lookup",
    "Rescaled",
    "abs_table",
    "all_values",
    "elu_table",
    "exp_table",
    "gelu_table",
    "hard_swish_table",
    "leaky_relu_table",
    "log_table",
    "logistic_table",
    "looked_up",
    "rsqrt_table",
    "sqrt_table",
    "tanh_table",
]


@dataclass(frozen=True, eq=False)
class Lookup:
    """Any function of one 8-bit value, as the table of its 256 results in ascending order of input."""

    table: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return looked_up(x, self.table)


@dataclass(frozen=True, eq=False)
class Rescaled:
    """RELU, RELU6 and RELU_N1_TO_1, and QUANTIZE from one 8-bit form to another: rescaled and clamped, from a table.

    The factor is scale / scale, for QUANTIZE in float64 and for RELU and its kin in float32.
    Source: internal/reference/requantize.h, quantize.cc; `ReluX`, internal/reference/reference_ops.h, `ReluPrepare` and
    `QuantizedReluX`, activations.cc.

    Attributes:
        source, target: quantisations of the input and the result.
        activation: RELU or its kin; "NONE" for QUANTIZE.
        rescale: by the factor (derived).
    """

    source: Affine
    target: Affine
    activation: str = "NONE"
    rescale: Rescale = field(init=False, repr=False)
    table: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        wide = np.float64 if self.activation == "NONE" else np.float32
        factor = wide(self.source.scale[0]) / wide(self.target.scale[0])
        object.__setattr__(self, "rescale", Rescale.of(np.float64(factor)))
        low, high = activation_range(self.activation, self.target)
        y = self.rescale.apply(all_values(self.source))
        table = clamped(y, int(self.target.zero_point[0]), low, high, self.target.dtype)
        object.__setattr__(self, "table", table)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return looked_up(x, self.table)


def looked_up(x: np.ndarray, table: np.ndarray) -> np.ndarray:
    """table[x - least value of x's dtype]; the table is turned so that a signed index needs no subtraction."""
    if x.dtype == np.int8:
        table = np.roll(table, 128)
    return table[np.ascontiguousarray(x).view(np.uint8)]


def all_values(source: Affine) -> np.ndarray:
    """Every value of an 8-bit tensor less its zero point: int64 `[256]`."""
    low, high = limits(source.dtype)
    return np.arange(low, high + 1, dtype=np.int64) - source.zero_point[0]


def leaky_relu_table(source: Affine, target: Affine, alpha: float) -> np.ndarray:
    """LEAKY_RELU: x or, where negative, alpha * x, each with its own factor (computed in float32).

    Source: `QuantizeLeakyRelu`, internal/reference/leaky_relu.h; `LeakyReluPrepare`, activations.cc.
    """
    values = all_values(source)
    same = Rescale.of(np.float64(source.scale[0] / target.scale[0]))
    sloped = Rescale.of(np.float64(source.scale[0] * np.float32(alpha) / target.scale[0]))
    y = np.where(values >= 0, same.apply(values.copy()), sloped.apply(values.copy()))
    return clamped(y, int(target.zero_point[0]), *limits(target.dtype), target.dtype)


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
    values = all_values(source) + source.zero_point[0]
    return hard_swish(values, source, target).astype(target.dtype)


def exp_table(source: Affine, target: Affine) -> np.ndarray:
    """EXP in float32; what is too large for a float32 saturates (its conversion is undefined in C).

    Source: `Prepare`, exp.cc.
    """

    def exp(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(x.astype(np.float64)).astype(np.float32)

    return float_table(exp, source, target).astype(target.dtype)


def log_table(source: Affine, target: Affine) -> np.ndarray:
    """LOG in float32; 0 and less give the least real value of the output. Source: `LogLUTPrepare`, elementwise.cc."""
    least = np.float32(limits(target.dtype)[0] - target.zero_point[0]) * target.scale[0]

    def log(x: np.ndarray) -> np.ndarray:
        positive = np.where(x > 0, x, 1).astype(np.float64)
        return np.where(x > 0, np.log(positive).astype(np.float32), least)

    return float_table(log, source, target).astype(target.dtype)


def elu_table(source: Affine, target: Affine) -> np.ndarray:
    """ELU: x or, where negative, exp(x) - 1, in float32. Source: `EluPrepare`, activations.cc."""

    def elu(x: np.ndarray) -> np.ndarray:
        return np.where(x < 0, np.expm1(np.minimum(x, 0).astype(np.float64)).astype(np.float32), x)

    return float_table(elu, source, target).astype(target.dtype)


def gelu_table(source: Affine, target: Affine, approximate: bool) -> np.ndarray:
    """GELU in float32: x/2 * erfc(-x / sqrt(2)), or x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).

    Source: `GeluTransform` and `GeluTransformApproximate`, internal/reference/gelu.h.
    """
    half, one, root = np.float32(0.5), np.float32(1), np.float32(math.sqrt(0.5))
    slope, cubic = np.float32(math.sqrt(2 / math.pi)), np.float32(0.044715)

    def gelu(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            if approximate:
                inner = slope * (x + cubic * x * x * x)
                return half * x * (one + np.tanh(inner.astype(np.float64)).astype(np.float32))
            return half * x * np.array([math.erfc(v) for v in x * -root], np.float64).astype(np.float32)

    return float_table(gelu, source, target).astype(target.dtype)


def abs_table(source: Affine, target: Affine) -> np.ndarray:
    """ABS: rescaled by scale / scale (a float32) unless that is 1. Source: `AbsEvalQuantized`, elementwise.cc."""
    y = np.abs(all_values(source))
    if source.scale[0] != target.scale[0]:
        y = Rescale.of(np.float64(source.scale[0] / target.scale[0])).apply(y)
    return clamped(y, int(target.zero_point[0]), *limits(target.dtype), target.dtype)


def rsqrt_table(source: Affine, target: Affine) -> np.ndarray:
    """RSQRT: 1 / sqrt(x) in fixed point; 0 gives the greatest value, and less has no result (here the same).

    The integer's inverse root keeps 20 bits of fraction, then 1 / (sqrt(scale) * output scale) multiplies it.
    Source: `RsqrtEvalQuantizedInt8` and `SetRsqrtOutputMultiplier`, elementwise.cc.

    Raises:
        ConfigurationError: a factor whose last shift is more than 31 bits (undefined in C).
    """
    values = all_values(source)
    low, high = limits(target.dtype)
    # In C the root of the float32 scale is a float32, and so is its product with the output's.
    factor = 1 / np.float64(np.sqrt(source.scale[0]) * target.scale[0])
    multiplier, shift = quantize_multiplier(factor)
    if shift < 20 - 31:
        raise ConfigurationError(f"RSQRT's factor is {factor}, but must be 2**-12 or more")
    root, root_shift = inverse_square_root(np.maximum(values, 1))
    fraction = multiply_by_quantized_multiplier(np.ones_like(values), root, root_shift + 20)
    y = multiply_by_quantized_multiplier(fraction, multiplier, shift - 20)
    y = clamped(y, int(target.zero_point[0]), low, high, target.dtype)
    return np.where(values > 0, y, high).astype(target.dtype)


def sqrt_table(source: Affine, target: Affine) -> np.ndarray:
    """SQRT in float32, truncated, not rounded; below 0 there is no result (here that of 0).

    Source: `SqrtEvalQuantized`, elementwise.cc.
    """
    root = np.sqrt(source.scale[0] * np.maximum(all_values(source), 0).astype(np.float32))
    low, high = limits(target.dtype)
    with np.errstate(over="ignore"):
        steps = np.trunc(root / target.scale[0]).astype(np.float64) + target.zero_point[0]
    return np.clip(steps, low, high).astype(target.dtype)
