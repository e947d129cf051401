# SPDX-License-Identifier: Apache-2.0
"""ONNX's quantisation: real = scale * (q - zero_point), in float32, rounded half to even, saturated.

Operators QuantizeLinear and DequantizeLinear (https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html) define the
numbers; QDQ graphs put them around float operators. The QOperator form (QLinearConv, QLinearMatMul and those of domain
com.microsoft) leaves the arithmetic between open; here it is that of onnxruntime's CPU execution provider on x86-64
with AVX2 and FMA3 (`onnxruntime/core/mlas`, `onnxruntime/contrib_ops/cpu/quantization`), established against
onnxruntime 1.31.1 by `golden/tests/test_onnx_operators.py`:

- QLinearConv, QLinearMatMul and QGemm accumulate exactly in int32 and multiply the float32 of the sum by one float32
  factor (`requantize`), with no fixed-point multiplier. The optimised integer kernels and graphs run without
  optimisation give the same numbers: the sum is exact in any order. (On x86 processors without VNNI instructions pairs
  of uint8 x int8 products saturate at 16 bits; that is not repeated here, nor is it so in `golden.runtimes`, see
  `golden.runtimes.exact_products`.)
- QLinearAdd is two fused multiply-adds in float32 on the integers themselves (`add`), QLinearMul one multiplication and
  one addition that rounds with the zero point added (`multiply`).
- Element-wise operators on 8 bits are tables of dequantise, float32 function, quantise.
- In the QDQ form the file says what is computed: dequantise, a float32 operator, quantise, as onnxruntime does with
  optimisation disabled. Float32 sums depend on their order, which is MLAS's (`golden.layers.mlas`), except where no sum
  can round: with scales that are powers of two and sums of magnitudes below 2**24 units every order gives one result.
  With optimisation enabled onnxruntime replaces such groups by the integer operators above, whose results differ by a
  step now and then, mostly near ties; that is another arithmetic, not defined by the file.
- ARM and other kernels differ in QLinearAdd, QLinearMul and QLinearGlobalAveragePool (fixed-point multipliers).

Functions take and give numpy arrays of any shape; the tests hold them against Python integers and fractions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from assay.golden.schemes.affine import Affine

__all__ = [
    "Affine",
    "add",
    "dequantize",
    "erf",
    "exp",
    "fma",
    "logistic",
    "multiply",
    "quantize",
    "requantize",
    "softmax_table",
    "table",
    "tanh",
]

_F = np.float32


def quantize(x: np.ndarray, target: Affine) -> np.ndarray:
    """QuantizeLinear: saturate(round(x / scale) + zero_point), division in float32, ties to even.

    onnxruntime clamps before it rounds, which changes nothing, as the bounds are integers. NaN becomes the least one.
    Source: onnx/defs/quantization/defs.cc; `MlasQuantizeLinear`, mlas/lib/quantize.cpp.

    Args:
        x: float32 `[runs, *shape]`, or of any shape if `target` is per tensor.

    Returns:
        `target.dtype` of the same shape.
    """
    low, high = target.limits
    scale = target.along(target.scale, x.ndim - 1)
    zero_point = target.along(target.zero_point, x.ndim - 1)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.rint(np.divide(x, scale, dtype=np.float32))
    # float64 holds the steps and any zero point; beyond its integers everything saturates. NaN (of 0 / 0) is the least
    # integer in MLAS, whose maximum of NaN and a number is the number; so it is in fmax.
    return np.minimum(np.fmax(steps.astype(np.float64) + zero_point, low), high).astype(target.dtype)


def dequantize(q: np.ndarray, source: Affine) -> np.ndarray:
    """DequantizeLinear: the float32 of (q - zero_point), times scale in float32.

    The difference is exact but for int32, whose conversion rounds to even.
    Source: onnx/defs/quantization/defs.cc; `DequantizeLinear`, providers/cpu/quantization/quantize_linear.cc.

    Args:
        q: integers `[runs, *shape]`, or of any shape if `source` is per tensor.

    Returns:
        float32 of the same shape.
    """
    scale = source.along(source.scale, q.ndim - 1)
    if not source.zero_point.any():
        return q.astype(np.float32) * scale
    zero_point = source.along(source.zero_point, q.ndim - 1)
    if q.dtype.itemsize <= 2:
        # Differences of 16 bits are float32 numbers.
        return np.subtract(q, zero_point, dtype=np.float32, casting="unsafe") * scale
    return (q.astype(np.int64) - zero_point).astype(np.float32) * scale


def requantize(accumulator: np.ndarray, factor: np.ndarray | np.float32, target: Affine) -> np.ndarray:
    """saturate(round(float32(accumulator) * factor) + zero_point), ties to even: what QLinearConv, QLinearMatMul,
    QGemm and QLinearGlobalAveragePool make of a sum.

    An accumulator of more than 24 bits is rounded to float32 first. Source: `MlasRequantizeOutput`,
    mlas/lib/quantize.cpp, with the factor (x_scale * w_scale) / y_scale computed in float32.

    Args:
        accumulator: integers within 32 bits.
        factor: float32, broadcast against them.
        target: per tensor.

    Returns:
        `target.dtype`.
    """
    low, high = target.limits
    steps = np.rint(accumulator.astype(np.float32) * np.asarray(factor, np.float32))
    return np.clip(steps.astype(np.float64) + target.zero_point[0], low, high).astype(target.dtype)


def fma(a: npt.ArrayLike, b: npt.ArrayLike, c: npt.ArrayLike) -> np.ndarray:
    """a * b + c of float32 numbers, rounded once to float32 as IEEE 754's fusedMultiplyAdd does.

    The product of two float32 numbers is a float64 number. Its sum s with c is rounded to float64, and then to float32.
    Two roundings equal one, unless s is the midpoint of two neighbouring float32 numbers while the exact sum is not:
    midpoints are float64 numbers and rounding is monotonic, so the exact sum is never on the other side of one. Such s
    have the 29 bits that float32 lacks at exactly one half; there the error of the float64 addition (exact by Knuth's
    two-sum) decides. This holds for results in float32's normal range, and 0.

    Args:
        a, b, c: float32, or float64 that hold float32 numbers, broadcast against one another.

    Returns:
        float32.
    """
    product = np.multiply(a, b, dtype=np.float64)
    total = np.asarray(product + c)
    rounded = total.astype(np.float32)
    middle = (total.view(np.int64) & 0x1FFFFFFF) == 0x10000000
    if middle.any():
        p, s = np.broadcast_to(product, total.shape)[middle], total[middle]
        z = np.broadcast_to(np.asarray(c, np.float64), total.shape)[middle]
        other = s - p
        error = (p - (s - other)) + (z - other)
        rounded = np.asarray(rounded)
        nudged = np.where(error == 0, s, np.nextafter(s, np.copysign(np.inf, error)))
        rounded[middle] = nudged.astype(np.float32)
    return rounded


def add(a: np.ndarray, b: np.ndarray, sources: tuple[Affine, Affine], target: Affine) -> np.ndarray:
    """QLinearAdd: round(a * ra + (b * rb + fixed)), saturated, with r = scale / target.scale in float32.

    Both products are fused with their additions, and fixed is zero_point - (ra * za + rb * zb), whose first product is
    fused as well. So a and b may not change places; see `golden.layers.onnx.QLinearAdd` for when onnxruntime does that.
    Source: mlas/lib/intrinsics/avx2/qladd_avx2.cpp, as compiled with -mfma.

    Args:
        a, b: 8-bit integers that broadcast.
        sources: their quantisations, per tensor.

    Returns:
        `target.dtype`.
    """
    ratios = [source.scale[0] / target.scale[0] for source in sources]
    zeros = [_F(source.zero_point[0]) for source in sources]
    fixed = _F(target.zero_point[0]) - fma(ratios[0], zeros[0], ratios[1] * zeros[1])
    total = fma(a.astype(np.float32), ratios[0], fma(b.astype(np.float32), ratios[1], fixed))
    return _saturated(np.rint(total), target)


def multiply(a: np.ndarray, b: np.ndarray, sources: tuple[Affine, Affine], target: Affine) -> np.ndarray:
    """QLinearMul: round((a - za) * (b - zb) * factor + zero_point), saturated, factor = scale_a * scale_b / scale.

    All in float32. The zero point is added before rounding, so that ties fall to an even result, not to an even
    number of steps. Source: mlas/lib/qlmul.cpp, SSE2.

    Args and returns as for `add`.
    """
    factor = sources[0].scale[0] * sources[1].scale[0] / target.scale[0]
    product = (a.astype(np.int64) - sources[0].zero_point[0]) * (
        b.astype(np.int64) - sources[1].zero_point[0]
    )
    return _saturated(np.rint(product.astype(np.float32) * factor + _F(target.zero_point[0])), target)


def _saturated(steps: np.ndarray, target: Affine) -> np.ndarray:
    return np.clip(steps, *target.limits).astype(target.dtype)


def table(function: Callable[[np.ndarray], np.ndarray], source: Affine, target: Affine) -> np.ndarray:
    """Results of quantise(function(dequantise(q))) for all 256 values of an 8-bit tensor, in ascending order.

    Source: `QlinearBuildLookupTable`, contrib_ops/cpu/quantization/qlinear_lookup_table.cc.
    """
    low, high = source.limits
    return quantize(function(dequantize(np.arange(low, high + 1), source)), target)


def _horner(x: np.ndarray, *coefficients: float) -> np.ndarray:
    """A polynomial in x, highest power first, by fused multiply-adds in float32."""
    y: np.ndarray = np.array(coefficients[0], np.float32)
    for coefficient in coefficients[1:]:
        y = fma(y, x, _F(coefficient))
    return y


def logistic(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) in float32 as MLAS approximates it: a quotient of polynomials within -18 to 18.

    Source: mlas/lib/logistic.cpp, whose coefficients are Eigen's; mlas/lib/x86_64/LogisticKernelFma3.S.
    """
    x = np.clip(x, _F(-18), _F(18))
    square = x * x
    p = _horner(
        square, 4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05, 8.51377133304701e-03,
        2.48287947061529e-01,
    )  # fmt: skip
    q = _horner(
        square, 6.10247389755681e-13, 5.76102136993427e-09, 6.29106785017040e-06, 1.70198817374094e-03,
        1.16817656904453e-01, 9.93151921023180e-01,
    )  # fmt: skip
    return np.clip(p * x / q + _F(0.5), _F(0), _F(1))


def tanh(x: np.ndarray) -> np.ndarray:
    """The hyperbolic tangent in float32 as MLAS approximates it: a quotient of polynomials within -9 to 9.

    Source: mlas/lib/tanh.cpp, whose coefficients are Eigen's; mlas/lib/x86_64/TanhKernelFma3.S.
    """
    x = np.clip(x, _F(-9), _F(9))
    square = x * x
    p = _horner(
        square, -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
        1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03,
    )  # fmt: skip
    q = _horner(
        square, 1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03
    )
    return p * x / q


# Where MLAS cuts exp's argument: below, the result is 0.
_EXP_RANGE = _F(-103.9720840454)
_LOG2_E = _F(1.44269504088896341)
_LN_2 = _F(-6.93145752e-1), _F(-1.42860677e-6)
# 1.5 * 2**23: adding it rounds to an integer, taking it off again gives that integer.
_ROUNDING = _F(12582912)


def _exponential(x: np.ndarray, *coefficients: float) -> np.ndarray:
    """2**m times a polynomial of the rest, with m the integer nearest to x * log2(e)."""
    m = fma(x, _LOG2_E, _ROUNDING) - _ROUNDING
    rest = fma(m, _LN_2[1], fma(m, _LN_2[0], x))
    return np.ldexp(_horner(rest, *coefficients), m.astype(np.int32))


def exp(x: np.ndarray) -> np.ndarray:
    """e**x in float32 as MLAS approximates it in Exp and Softmax: 2**m and a polynomial of degree 6.

    Source: mlas/lib/compute.cpp, `MlasExpConstants`; mlas/lib/x86_64/TransKernelAvx512F.S.
    """
    return _exponential(
        np.maximum(x, _EXP_RANGE), *map(float.fromhex, (
            "0x1.694000p-10", "0x1.125edcp-7", "0x1.555b5ap-5", "0x1.555450p-3", "0x1.fffff6p-2", "0x1p+0", "0x1p+0",
        )),
    )  # fmt: skip


def erf(x: np.ndarray) -> np.ndarray:
    """The error function in float32 as MLAS approximates it: a polynomial below 0.921875, 1 - exp(polynomial) above.

    Source: mlas/lib/erf.cpp, `MlasErfConstants`; mlas/lib/x86_64/ErfKernelFma3.S.
    """
    size = np.minimum(np.abs(x), _F(3.925))
    square = size * size
    small = _horner(
        square, -5.99104969e-4, 4.99339588e-3, -2.67667342e-2, 1.12818025e-1, -3.76124859e-1, 1.28379151e-1
    )
    small = fma(small, size, size)
    big = _horner(
        size,
        1.72948930e-5,
        -3.83208680e-4,
        3.88393435e-3,
        -2.42545605e-2,
        1.06777847e-1,
        6.34846687e-1,
        1.28717512e-1,
    )
    power = -fma(big, size, size)
    big = _F(1) - _exponential(
        power, 1.38319808e-3, 8.37550033e-3, 4.16689515e-2, 1.66664466e-1, 4.99999851e-1, 1.0, 1.0
    )
    return np.copysign(np.where(size < _F(0.921875), small, big), x)


def softmax_table(scale: np.float32, count: int) -> np.ndarray:
    """QLinearSoftmax's exponentials of differences -255 to 0 from the largest input, scaled up by a common factor.

    exp((i - 255 + shift) * scale) in float64, rounded to float32, with shift chosen so that a sum of `count` of them
    stays finite. Source: `QlinearBuildLookupTableUint32`, contrib_ops/cpu/quantization/qlinear_softmax.cc.

    Returns:
        float32 `[256]`.
    """
    shift = math.log(np.finfo(np.float32).max / _F(count))
    shift = max(0.0, shift - 5.0) / float(scale)
    return np.exp((np.arange(256) - 255.0 + shift) * float(scale)).astype(np.float32)
