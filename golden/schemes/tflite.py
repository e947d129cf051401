# SPDX-License-Identifier: Apache-2.0
"""TFLite's int8 scheme: real = scale * (q - zero_point), rescaled in 32-bit fixed point with double rounding.

The arithmetic is that of LiteRT's reference kernels (`tflite/kernels/internal/reference` and gemmlowp's
`fixedpoint.h`), which the op resolver BUILTIN_REF runs:

- A rescaling factor is a 31-bit multiplier and a power of two (`quantize_multiplier`), applied in two steps that
  each round: a doubling high product, ties towards plus infinity, then a right shift, ties away from zero
  (`multiply_by_quantized_multiplier`). The specification (https://ai.google.dev/edge/litert/models/
  quantization_spec) leaves this open. LiteRT can also be built with TFLITE_SINGLE_ROUNDING, which rounds once;
  PyPI's ai-edge-litert is built without, as `golden/tests/test_tflite_operators.py` shows at the ties where the
  two differ.
- That product serves CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV, BATCH_MATMUL, MUL, PRELU, LEAKY_RELU, RELU, ABS,
  QUANTIZE, SUM and MEAN; ADD and SUB use it on inputs shifted left by 20 bits, SQUARED_DIFFERENCE by 7, comparisons
  by 8. FULLY_CONNECTED does not: LiteRT's reference kernel multiplies its accumulator by the real factor in float64
  and rounds once (`FloatRescale`), unlike the optimised kernels, so that its results differ from theirs by one now and
  then.
- HARD_SWISH works in 16 bits, SOFTMAX and LOG_SOFTMAX in gemmlowp's fixed-point exponential and logarithm, DIV, RSQRT
  and L2_NORMALIZATION in its Newton-Raphson reciprocals and roots, LOGISTIC, TANH, EXP, LOG, ELU, GELU and SQRT in
  float32 tables of 256 entries, RESIZE_BILINEAR with weights of 10 bits, AVERAGE_POOL_2D in plain integer division.
- What a converter leaves in float32 between DEQUANTIZE and QUANTIZE is supported where IEEE 754 rounds it exactly
  (sums, products, quotients, roots, negation, comparisons); a float exponential or convolution is refused.

Functions take and give numpy integers of any shape and are vectorised; the tests hold them against Python
integers and fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.rounding import divide, shift_right
from assay.golden.schemes.affine import Affine

__all__ = [
    "ACTIVATIONS",
    "Affine",
    "FloatRescale",
    "Rescale",
    "activation_range",
    "clamped",
    "divide_half_away",
    "exp_on_negative_values",
    "float_table",
    "hard_swish",
    "inverse_square_root",
    "limits",
    "log_of_one_or_more",
    "multiply_by_quantized_multiplier",
    "one_over_one_plus_x",
    "quantize_multiplier",
    "reciprocal",
    "round_half_away",
    "rounding_divide_by_pot",
    "saturating_rounding_doubling_high_mul",
    "softmax_parameters",
    "softmax_shares",
]

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1

# Fused activations and the real range each keeps; None is unbounded.
ACTIVATIONS = {
    "NONE": (None, None),
    "RELU": (0.0, None),
    "RELU_N1_TO_1": (-1.0, 1.0),
    "RELU_0_TO_1": (0.0, 1.0),
    "RELU6": (0.0, 6.0),
}


def limits(dtype: np.dtype) -> tuple[int, int]:
    """Least and greatest integer of a dtype."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


#: The greatest float64 below 1/2. Added to any float64 that is not negative and rounded down, it rounds to nearest,
#: ties up: 1/2 makes a tie of the sum, which goes to the next integer, whose last bit is even; a fraction that is below
#: 1/2 stays below 1.
BELOW_HALF = float(np.nextafter(0.5, 0))


def round_half_away(x: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """C's `round` (TfLiteRound): nearest integer, ties away from zero; floats in, the same float dtype out.

    Args:
        out: as of numpy's functions; it may be `x`.
    """
    x = np.asarray(x)
    below_half = np.nextafter(x.dtype.type(0.5), x.dtype.type(0))
    return np.trunc(np.add(x, np.copysign(below_half, x), out=out), out=out)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Split a real factor into (multiplier, shift), factor = multiplier * 2**(shift - 31).

    multiplier is 0 or has magnitude 2**30 to 2**31 - 1, nearest with ties away from zero. A factor below 2**-32
    becomes exactly 0. Source: `QuantizeMultiplier`, tflite/kernels/internal/quantization_util.cc.

    Raises:
        ConfigurationError: not finite, or so large that a shift of more than 30 bits would be needed (in C that
            is undefined).
    """
    real = float(real)
    if not math.isfinite(real):
        raise ConfigurationError(f"rescaling factor is {real}, but must be finite")
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    scaled = fraction * (1 << 31)
    multiplier = int(math.copysign(math.floor(abs(scaled) + 0.5), scaled))
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise ConfigurationError(f"rescaling factor is {real}, but must be below 2**30")
    return multiplier, shift


def saturating_rounding_doubling_high_mul(a: np.ndarray | int, b: np.ndarray | int) -> np.ndarray:
    """(a * b) / 2**31, rounded to nearest with ties towards plus infinity; saturated for a = b = -2**31.

    gemmlowp adds 2**30 to a positive product and 1 - 2**30 to a negative one, then divides truncating: in both
    cases floor((a * b + 2**30) / 2**31). Source: gemmlowp/fixedpoint/fixedpoint.h.

    Args:
        a, b: 32-bit integers, broadcast against each other.

    Returns:
        int64 within 32 bits.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    return np.minimum(shift_right(product, 31, "half_up"), INT32_MAX)


def rounding_divide_by_pot(x: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """x / 2**exponent, rounded to nearest with ties away from zero (gemmlowp's RoundingDivideByPOT).

    Args:
        x: integers.
        exponent: 0 to 31, one or an array that broadcasts.

    Returns:
        int64.
    """
    return shift_right(x, exponent, "half_away")


def multiply_by_quantized_multiplier(
    x: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int
) -> np.ndarray:
    """x * multiplier * 2**(shift - 31) with the double rounding of the reference kernels.

    A positive shift is applied to x first, in 32 bits that wrap; a negative one last.
    Source: `MultiplyByQuantizedMultiplier`, tflite/kernels/internal/common.cc, TFLITE_SINGLE_ROUNDING off.

    Args:
        x: 32-bit integers.
        multiplier, shift: from `quantize_multiplier`, one or an array that broadcasts.

    Returns:
        int64 within 32 bits.
    """
    shift = np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = (np.asarray(x, np.int64) << left).astype(np.int32)
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(shifted, multiplier), right)


@dataclass(frozen=True, eq=False)
class Rescale:
    """A real factor, one for a tensor or one for each channel of its last axis, in its fixed-point form.

    Attributes:
        multiplier: int64 `[1]` or `[C]`.
        shift: int64 of the same shape.
    """

    multiplier: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, real: np.ndarray | float) -> Rescale:
        """Quantise factors (float64, one or a list).

        Raises:
            ConfigurationError: see `quantize_multiplier`.
        """
        pairs = np.array([quantize_multiplier(factor) for factor in np.atleast_1d(real)], np.int64)
        return cls(pairs[:, 0], pairs[:, 1])

    def apply(self, x: np.ndarray) -> np.ndarray:
        """`multiply_by_quantized_multiplier` of `x`, `[..., C]`, in fewer passes over memory; x is consumed.

        Args:
            x: int64, values within 32 bits.

        Returns:
            int64, `x` itself where possible.
        """
        left, right = np.maximum(self.shift, 0), np.maximum(-self.shift, 0)
        if left.any():
            x <<= left
            x = x.astype(np.int32).astype(np.int64)
        x *= self.multiplier
        x += 1 << 30
        x >>= 31
        # -2**31 * -2**31 alone saturates; that multiplier arises only from a negative alpha of LEAKY_RELU.
        if (self.multiplier == INT32_MIN).any():
            np.minimum(x, INT32_MAX, out=x)
        if right.any():
            # Ties away from zero: a negative number is rounded as if one less. `right` may be 0 in places.
            x += (x >> 63) * (right > 0)
            x += (np.int64(1) << right) >> 1
            x >>= right
        return x


@dataclass(frozen=True, eq=False)
class FloatRescale:
    """A real factor applied in float64 and rounded once, ties away from zero: FULLY_CONNECTED's way.

    Source: `FullyConnected` and `FullyConnectedPerChannel` with scales as arguments,
    tflite/kernels/internal/reference/integer_ops/fully_connected.h. A result beyond 32 bits is undefined there; here
    it saturates.

    Attributes:
        factor: float64 `[1]` or `[C]`.
    """

    factor: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        """round(x * factor): int64 `[..., C]`, values within 32 bits, to int64."""
        return np.clip(round_half_away(x * self.factor), INT32_MIN, INT32_MAX).astype(np.int64)


def activation_range(activation: str, quantisation: Affine) -> tuple[int, int]:
    """Clamping range of a fused activation in the output's integers.

    A bound f becomes zero_point + round(f / scale) in float32, ties away from zero, within the dtype.
    Source: `CalculateActivationRangeQuantized`, tflite/kernels/kernel_util.cc.

    Raises:
        ConfigurationError: `activation` is none of `ACTIVATIONS`, or a bound does not fit 32 bits.
    """
    if activation not in ACTIVATIONS:
        raise ConfigurationError(
            f"fused activation is {activation}, but must be one of {', '.join(ACTIVATIONS)}"
        )
    least, greatest = limits(quantisation.dtype)
    low, high = ACTIVATIONS[activation]
    if low is not None:
        least = max(least, _quantised_bound(low, quantisation))
    if high is not None:
        greatest = min(greatest, _quantised_bound(high, quantisation))
    return least, greatest


def _quantised_bound(bound: float, quantisation: Affine) -> int:
    with np.errstate(over="ignore"):
        steps = round_half_away(np.float32(bound) / quantisation.scale[0])
    if not abs(float(steps)) < 1 << 31:
        raise ConfigurationError(
            f"scale {quantisation.scale[0]} puts {bound} at {steps} steps, but must keep it within 32 bits"
        )
    return int(quantisation.zero_point[0]) + int(steps)


def clamped(x: np.ndarray, zero_point: int, low: int, high: int, dtype: np.dtype) -> np.ndarray:
    """x + zero_point within low to high; `x` is consumed."""
    x += zero_point
    return np.clip(x, low, high, out=x).astype(dtype)


def divide_half_away(total: np.ndarray, count: np.ndarray | int) -> np.ndarray:
    """total / count rounded to nearest, ties away from zero, as AVERAGE_POOL_2D divides.

    The kernel adds count / 2 (truncated) towards the sign of the total and divides truncating.
    Source: `AveragePool`, tflite/kernels/internal/reference/integer_ops/pooling.h.

    Args:
        total: integers.
        count: 1 or more, broadcast against `total`.

    Returns:
        int64.
    """
    return divide(total, count, "half_away")


def float_table(function: Callable[[np.ndarray], np.ndarray], source: Affine, target: Affine) -> np.ndarray:
    """Outputs for all 256 inputs of a function that the kernels tabulate in float32 (LOGISTIC, TANH, EXP...).

    `function` is evaluated in float64 and rounded to float32 once, which is what a correctly rounded C function
    gives; products and sums around it are float32 as in C. Source: `LUTPopulate`, tflite/kernels/internal/common.h.

    Returns:
        int64 `[256]`, for inputs in ascending order.
    """
    low, high = limits(target.dtype)
    steps = np.arange(*_span(source.dtype)) - source.zero_point[0]
    real = source.scale[0] * steps.astype(np.float32)
    inverse = np.float32(1) / target.scale[0]
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = round_half_away(function(real) * inverse) + np.float32(target.zero_point[0])
    # Saturated as a float: C's conversion of a larger one to int32 is undefined.
    return np.clip(np.nan_to_num(scaled), low, high).astype(np.int64)


def _span(dtype: np.dtype) -> tuple[int, int]:
    low, high = limits(dtype)
    return low, high + 1


# --- HARD_SWISH -----------------------------------------------------------------------------------------------


def hard_swish(x: np.ndarray, source: Affine, target: Affine) -> np.ndarray:
    """x * relu6(x + 3) / 6 in 16-bit fixed point.

    Inputs are widened by 7 bits; one product rescales them to the output's scale, another to 3 / 2**15, on which
    saturation makes the ramp from -3 to 3; their product is rounded by the output's shift.
    Source: `HardSwish`, tflite/kernels/internal/reference/hard_swish.h, and `HardSwishPrepare`, activations.cc.

    Args:
        x: integers of `source`.

    Returns:
        int64 within `target`.

    Raises:
        ConfigurationError: the output's scale is below 1/128 of the input's.
    """
    fine_scale = np.float32(1 / 128) * source.scale[0]
    output_multiplier, output_shift = quantize_multiplier(fine_scale / target.scale[0])
    ramp_multiplier, ramp_shift = quantize_multiplier(fine_scale / (np.float32(3) / np.float32(32768)))
    if output_shift > 0:
        raise ConfigurationError(
            f"HARD_SWISH's output scale is {target.scale[0]}, but must be at least 1/128 of the input's, "
            f"{source.scale[0]}"
        )
    fine = (np.asarray(x, np.int64) - source.zero_point[0]) * 128
    value = _high_mul_16(fine, _top_16_bits(output_multiplier))
    ramp = fine
    if ramp_shift > 0:
        ramp = _saturate_16(ramp << (ramp_shift - 1))
    ramp = _high_mul_16(ramp, _top_16_bits(ramp_multiplier))
    if ramp_shift > 0:
        ramp = _saturate_16(ramp << 1)
    if ramp_shift < 0:
        ramp = rounding_divide_by_pot(ramp, -ramp_shift)
    ramp = (ramp + (1 << 15)) >> 1
    # SaturatingDoublingHighMul: truncated towards zero; ramp is not negative, so nothing saturates.
    product = ramp * value
    product = np.where(product < 0, -(-product >> 15), product >> 15)
    low, high = limits(target.dtype)
    return np.clip(rounding_divide_by_pot(product, -output_shift) + target.zero_point[0], low, high)


def _top_16_bits(multiplier: int) -> int:
    return min((multiplier + (1 << 15)) >> 16, (1 << 15) - 1)


def _saturate_16(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(1 << 15), (1 << 15) - 1)


def _high_mul_16(x: np.ndarray, multiplier: int) -> np.ndarray:
    return _saturate_16((x * multiplier + (1 << 14)) >> 15)


# --- SOFTMAX: gemmlowp's fixed-point exponential and reciprocal ------------------------------------------------
# A raw 32-bit integer with I integer bits stands for raw / 2**(31 - I). Products are doubling high products.

_ONE = INT32_MAX  # with no integer bits, 1 - 2**-31 stands for one


def softmax_parameters(scale: float, beta: float) -> tuple[int, int, int]:
    """(multiplier, left shift, least difference) that bring a difference of inputs to 5 integer bits.

    Differences below the least one contribute nothing. Source: `PreprocessSoftmaxScaling` and
    `CalculateInputRadius`, tflite/kernels/internal/quantization_util.cc.

    Raises:
        ConfigurationError: beta * scale is below 2**-26, where the reference aborts.
    """
    real = min(float(beta) * float(scale) * (1 << 26), (1 << 31) - 1.0)
    if not real > 1:
        raise ConfigurationError(f"SOFTMAX's beta * scale is {beta * scale}, but must be above 2**-26")
    multiplier, shift = quantize_multiplier_above_one(real)
    return multiplier, shift, -math.floor(31 * (1 << 26) / (1 << shift))


def reciprocal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(r, headroom) with 1 / x = r * 2**(headroom - 62), for x of 1 to 2**31 - 1; r has no integer bits.

    x is shifted left by the headroom, until its top bit is bit 31; without that bit it is x of 1 / (1 + x).
    Source: `GetReciprocal`, tflite/kernels/internal/common.h.
    """
    x = np.asarray(x, np.int64)
    headroom = 32 - np.frexp(x.astype(np.float64))[1].astype(np.int64)
    return one_over_one_plus_x((x << headroom) - (1 << 31)), headroom


def softmax_shares(exponentials: np.ndarray, bits: int) -> np.ndarray:
    """exponentials / their sum over the last axis, in units of 2**-bits, 2**bits - 1 at most: int64.

    The sum has 12 integer bits, its reciprocal is found after shifting it to 1 to 2.
    Source: `Softmax`, tflite/kernels/internal/reference/softmax.h.

    Args:
        exponentials: 0 to 2**31 - 1, no integer bits. A sum of 0, as no softmax's is, counts as 2**-19.
        bits: of a share.
    """
    # Nothing is negative: ties away from zero are ties up, and two roundings one floor (`golden.layers.requantise`).
    total = ((exponentials + (1 << 11)) >> 12).sum(axis=-1, keepdims=True)
    inverse, headroom = reciprocal(np.maximum(total, 1))
    right = np.minimum(12 - headroom + 31 - bits, 31)
    shares = exponentials * inverse
    shares += (1 << 30) + np.where(right > 0, 1 << 30 + right, 0)
    shares >>= 31 + right
    return np.minimum(shares, (1 << bits) - 1, out=shares)


def inverse_square_root(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(multiplier, shift) with 1 / sqrt(x) = multiplier * 2**(shift - 31), for x of 0 to 2**31 - 1; 0 counts as 1.

    x is brought to 2**27 .. 2**29 by an even shift; five Newton-Raphson steps with 3 integer bits from the guess 1.
    Source: `GetInvSqrtQuantizedMultiplierExp` with reverse shift -1, tflite/kernels/internal/common.h.
    """
    given = np.asarray(x, np.int64)
    mul = saturating_rounding_doubling_high_mul
    x = np.maximum(given, 2)
    exponent = np.full(x.shape, 11, np.int64)
    while (large := x >= 1 << 29).any():
        x, exponent = np.where(large, x // 4, x), exponent + large
    # Pairs of bits by which x can be shifted left so that bits 29 and above stay clear.
    pairs = (31 - np.frexp(x.astype(np.float64))[1].astype(np.int64)) // 2 - 1
    exponent = exponent - pairs
    x = (x << 2 * pairs) >> 1
    half = rounding_divide_by_pot(x, 1)
    root = np.full(x.shape, 1 << 28, np.int64)
    for _ in range(5):
        cube = _saturate_32(mul(mul(root, root), root) << 6)
        root = _saturate_32((mul((1 << 28) + (1 << 27), root) - mul(half, cube)) << 3)
    multiplier = mul(root, 1518500250) << np.maximum(-exponent, 0)  # sqrt(1/2)
    shift = -np.maximum(exponent, 0)
    return np.where(given <= 1, INT32_MAX, multiplier), np.where(given <= 1, 0, shift)


def quantize_multiplier_above_one(real: float) -> tuple[int, int]:
    """`quantize_multiplier` for factors of 1 to 2**31, whose left shift may be 31."""
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * (1 << 31) + 0.5)
    return (multiplier // 2, shift + 1) if multiplier == 1 << 31 else (multiplier, shift)


def exp_on_negative_values(x: np.ndarray) -> np.ndarray:
    """exp(x) for x <= 0 with 5 integer bits; the result has none.

    The fraction below 1/4 goes through a Taylor polynomial around -1/8, each higher bit multiplies by its
    exponential. Source: gemmlowp/fixedpoint/fixedpoint.h.
    """
    x = np.asarray(x, np.int64)
    quarter = 1 << 24
    low = (x & (quarter - 1)) - quarter
    result = _exp_from_minus_quarter(low << 5)
    remainder = low - x
    # exp(-2**k) for k = -2 to 4, as raw integers with no integer bits; bit 26 + k of the remainder calls for it.
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for bit, factor in enumerate(factors, start=24):
        chosen = saturating_rounding_doubling_high_mul(result, factor)
        result = np.where(remainder >> bit & 1, chosen, result)
    return np.where(x == 0, _ONE, result)


def _exp_from_minus_quarter(a: np.ndarray) -> np.ndarray:
    """exp(a) for -1/4 <= a < 0, no integer bits: exp(-1/8) * (1 + x + x^2/2 + x^3/6 + x^4/24), x = a + 1/8."""
    mul = saturating_rounding_doubling_high_mul
    exp_minus_eighth, third = 1895147668, 715827883
    x = a + (1 << 28)
    x2 = mul(x, x)
    x3, x4 = mul(x2, x), mul(x2, x2)
    higher = rounding_divide_by_pot(mul(rounding_divide_by_pot(x4, 2) + x3, third) + x2, 1)
    return exp_minus_eighth + mul(exp_minus_eighth, x + higher)


def one_over_one_plus_x(x: np.ndarray) -> np.ndarray:
    """1 / (1 + x) for 0 <= x < 1, no integer bits, by three Newton-Raphson steps with 2 integer bits.

    Source: gemmlowp/fixedpoint/fixedpoint.h.
    """
    mul = saturating_rounding_doubling_high_mul
    half_denominator = (np.asarray(x, np.int64) + _ONE + 1) >> 1  # the sum is not negative: half rounds up
    estimate = 1515870810 + mul(half_denominator, -1010580540)  # 48/17 - 32/17 * half_denominator
    for _ in range(3):
        error = (1 << 29) - mul(half_denominator, estimate)
        estimate = estimate + _saturate_32(mul(estimate, error) << 2)
    return _saturate_32(estimate << 1)


def log_of_one_or_more(x: np.ndarray) -> np.ndarray:
    """log(x) with 5 integer bits, of x with 12 integer bits, 1 or more.

    x = 2**k * r with r near 2**-1/4, from one of two candidates; log(r) is a rational function of r around that point.
    Source: `log_x_for_x_greater_than_or_equal_to_1_impl`, tflite/kernels/internal/common.h.
    """
    mul, saturate = saturating_rounding_doubling_high_mul, _saturate_32
    root, fourth_root, quarter = 1518500250, 1805811301, 1 << 23  # 2**-1/2, 2**-1/4; 1/4 with 6 integer bits
    x = np.asarray(x, np.int64)
    width = np.frexp(x.astype(np.float64))[1].astype(np.int64)
    first = saturate(mul(saturate(x << 31 - width), root) << 1)
    first_power = saturate((12 - (32 - width) << 25) + quarter)
    headroom = 31 - np.frexp(mul(x, root).astype(np.float64))[1].astype(np.int64)
    second, second_power = saturate(x << headroom), saturate((12 - headroom << 25) - quarter)
    r, power = np.minimum(first, second), np.maximum(first_power, second_power)
    middle = (r + fourth_root + 1) >> 1
    q = 2 * (r - fourth_root)
    square = mul(q, q)
    numerator = mul(q, r) + mul(mul(q, square), 117049297)
    denominator = mul(middle, 1057819769 + q + mul(127690142, square)) + mul(638450708, q)
    ratio = mul(rounding_divide_by_pot(numerator, 6), one_over_one_plus_x(denominator))
    return saturate((mul(power, 1488522236) + ratio) << 1)


def _saturate_32(x: np.ndarray) -> np.ndarray:
    return np.clip(x, INT32_MIN, INT32_MAX)
