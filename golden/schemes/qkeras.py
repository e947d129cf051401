# SPDX-License-Identifier: Apache-2.0
"""QKeras' quantisers as formulas: what a layer's `kernel_quantizer` or a quantised activation makes of a value.

    quantized_bits(bits, integer, symmetric, keep_negative, alpha=1)    ap_fixed<bits, integer + keep_negative,
                                                                        RND_CONV, SAT>, or SAT_SYM if symmetric
    quantized_relu(bits, integer)                                       ap_ufixed<bits, integer, RND_CONV, SAT>
    quantized_po2(bits, max_value), quantized_relu_po2                  the nearest power of two in log2 (`PowerOfTwo`)
    binary(alpha=1)                                                     -1 below 0, else 1 (`binary`)
    ternary(alpha=1, threshold)                                         the sign beyond a threshold, else 0 (`ternary`)

The first two are uniform, so they are types of `golden.schemes.ap_fixed`, as hls4ml converts them; QKeras counts no
sign among the integer bits, ap_fixed does. The others have values that no such type has.

Source: qkeras/quantizers.py of QKeras 0.9.0 (https://github.com/google/qkeras), with alpha=1, no stochastic rounding
and the default qnoise_factor. QKeras computes in float32, and returns x + (q - x) for the sake of gradients: that sum
can miss the quantised q by a float32 rounding. Its float32 log2 falls on the wrong side of a border of `PowerOfTwo`
for some of the float32 numbers beside it. Here stands q, exactly.

A model of QKeras comes in through QONNX, not through Keras: `qonnx.converters.from_keras`, in the package qonnx up to
0.4.0, writes such a file. It leaves out a quantiser that stands on the model's input; that one is the caller's then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.schemes.ap_fixed import ApFixed

__all__ = ["PowerOfTwo", "binary", "quantized_bits", "quantized_relu", "ternary"]

# Keras' epsilon: `PowerOfTwo` gives anything smaller its least exponent.
_EPSILON = np.float32(1e-7)


def quantized_bits(
    bits: int, integer: int = 0, symmetric: bool = False, keep_negative: bool = True
) -> ApFixed:
    """quantized_bits(bits, integer, symmetric, keep_negative, alpha=1) as the type whose assignment gives its values.

    QKeras computes clip(round(x * 2**f), low, high) * 2**-f with f = bits - integer - keep_negative; its round is
    TensorFlow's, ties to even; its low end is -2**(bits-1), one more if symmetric, or 0 without keep_negative.

    Raises:
        ConfigurationError: see `ApFixed`; 1 bit with keep_negative, which is `binary`.
    """
    if keep_negative and bits == 1:
        raise ConfigurationError(
            "quantized_bits of bits 1 with keep_negative is binary, so bits must be 2 or more"
        )
    overflow = "SAT_SYM" if symmetric and keep_negative else "SAT"
    return ApFixed(bits, integer + bool(keep_negative), bool(keep_negative), "RND_CONV", overflow)


def quantized_relu(bits: int, integer: int = 0) -> ApFixed:
    """quantized_relu(bits, integer) as the type whose assignment gives its values: negative ones become 0.

    QKeras computes clip(round(x * 2**f), 0, 2**bits - 1) * 2**-f with f = bits - integer, ties to even; use_sigmoid,
    negative_slope and relu_upper_bound keep their defaults.

    Raises:
        ConfigurationError: see `ApFixed`.
    """
    return ApFixed(bits, integer, False, "RND_CONV", "SAT")


@dataclass(frozen=True)
class PowerOfTwo:
    """quantized_po2(bits, max_value), or quantized_relu_po2 if not `signed`: 2**e, e the integer nearest to log2(|x|).

    e is kept within `least` and `greatest`. There is no zero: what is smaller than 1e-7, and for quantized_relu_po2
    what is negative, becomes 2**least. The borders between two exponents, 2**(e + 1/2), are irrational: nothing ties.

    Attributes:
        bits: of the exponent with its sign and, if `signed`, the sign of the value.
        max_value: larger magnitudes count as this one; one up to 1 frees the exponent's sign bit. None: no bound.
        signed: quantized_po2.

    Raises:
        ConfigurationError: no bit is left for the exponent, more than 8 are, or max_value is not above 0.
    """

    bits: int
    max_value: float | None = None
    signed: bool = True

    def __post_init__(self) -> None:
        if self.max_value is not None and not 0 < self.max_value < math.inf:
            raise ConfigurationError(f"max_value is {self.max_value}, but must be above 0 and finite")
        # Beyond 7 bits the powers leave float32.
        if not 0 <= self._exponent_bits <= 7:
            low = self.bits - self._exponent_bits
            raise ConfigurationError(f"bits is {self.bits}, but must be {low} to {low + 7}")

    @property
    def _exponent_bits(self) -> int:
        """Bits of the exponent's magnitude."""
        return self.bits - bool(self.signed) - (self.max_value is None or self.max_value > 1)

    @property
    def least(self) -> int:
        """Least exponent."""
        return -(1 << self._exponent_bits)

    @property
    def greatest(self) -> int:
        """Greatest exponent."""
        return (1 << self._exponent_bits) - 1

    def exponents(self, x: np.ndarray) -> np.ndarray:
        """e of each value.

        Args:
            x: floats of any shape, finite; taken as float32.

        Returns:
            int64 of x's shape.

        Raises:
            GoldenError: NaN or infinity.
        """
        x = _float32(x)
        size = np.abs(x) if self.signed else np.maximum(x, 0)
        if self.max_value is not None:
            size = np.where(size >= np.float32(self.max_value), np.float32(self.max_value), size)
        fraction, exponent = np.frexp(size.astype(np.float64))
        # |x| = fraction * 2**exponent with fraction from 1/2 to 1; float64's square root of 1/2 lies just above it.
        nearest = exponent - (fraction < math.sqrt(0.5))
        return np.where(size < _EPSILON, self.least, np.clip(nearest, self.least, self.greatest)).astype(
            np.int64
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The quantised values, float32; a zero counts as positive. Arguments and errors as for `exponents`."""
        powers = np.ldexp(np.float32(1), self.exponents(x))
        return np.where(_float32(x) < 0, -powers, powers) if self.signed else powers


def binary(x: np.ndarray, use_01: bool = False) -> np.ndarray:
    """binary(use_01, alpha=1): -1 where x is below 0, else 1; with use_01 0 and 1. Also quantized_bits(1).

    Args:
        x: floats of any shape, finite.

    Returns:
        float32 of x's shape.

    Raises:
        GoldenError: NaN or infinity.
    """
    return np.where(_float32(x) < 0, np.float32(0 if use_01 else -1), np.float32(1))


def ternary(x: np.ndarray, threshold: float = 0.33) -> np.ndarray:
    """ternary(alpha=1, threshold): -1, 0 or 1, the sign of x where |x| >= threshold (in float32), else 0.

    Arguments, result and errors as for `binary`.
    """
    x = _float32(x)
    return np.where(np.abs(x) >= np.float32(threshold), np.sign(x), np.float32(0))


def _float32(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float32)
    if not np.isfinite(x).all():
        raise GoldenError("x holds NaN or infinity, but must be finite")
    return x
