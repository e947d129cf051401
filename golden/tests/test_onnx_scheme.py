# SPDX-License-Identifier: Apache-2.0
"""ONNX's scheme against exact fractions: every float32 rounding is done here in Python integers, half to even."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.golden import ConfigurationError
from assay.golden.layers import mlas
from assay.golden.schemes import onnx as scheme
from assay.golden.schemes.onnx import Affine
from assay.golden.tests.float32 import float32, fraction

DTYPES = [np.uint8, np.int8, np.uint16, np.int16]


def affine(dtype, scale: float, zero_point: int, bits: int | None = None) -> Affine:
    return Affine(np.array([scale], np.float32), np.array([zero_point]), None, np.dtype(dtype), bits)


def floats(low: float, high: float):
    positive = st.floats(np.float32(low).item(), np.float32(high).item(), width=32)
    return positive | positive.map(lambda x: -x)


SCALES = st.floats(np.float32(1e-4).item(), np.float32(100).item(), width=32)
FLOATS = floats(1e-6, 1e6) | st.just(0.0)


@st.composite
def affines(draw, dtypes=DTYPES):
    dtype = draw(st.sampled_from(dtypes))
    info = np.iinfo(dtype)
    zero = draw(st.sampled_from([info.min, info.max, 0]) | st.integers(info.min, info.max))
    return affine(dtype, draw(SCALES), zero)


EIGHT = affines([np.int8, np.uint8])


@given(FLOATS, FLOATS, FLOATS)
@example(1 + 2**-12, 1 + 2**-12, -1.0)
@example(1 + 2**-23, 1 + 2**-23, 2.0**-30)
@example(1 + 2**-23, 1.0, 2.0**-24)
@example(1 + 2**-12, 1 - 2**-12, 2.0**24)
def test_fma_rounds_once(a, b, c):
    a, b, c = (np.float32(v) for v in (a, b, c))
    exact = fraction(a) * fraction(b) + fraction(c)
    if exact == 0 or abs(exact) >= Fraction(2) ** -126:
        assert fraction(scheme.fma(a, b, c)) == float32(exact)


def test_fma_near_midpoints():
    """Sums that float64 rounds to a midpoint of two float32 numbers: rounding twice would go wrong."""
    rng = np.random.default_rng(0)
    for _ in range(2000):
        c = np.float32(1 + rng.integers(2**23) / 2**23)
        # product = half a unit of c plus or minus a little that float64 cannot add.
        sign = rng.choice([-1, 1])
        a = np.float32((1 + sign * 2.0**-23) * 2.0**-24 * rng.choice([1, -1]))
        b = np.float32(1 + rng.integers(0, 2) * sign * 2.0**-23)
        for addend in (c, np.float32(c * 2**16), np.float32(2.0**-24) * a):
            exact = fraction(a) * fraction(b) + fraction(addend)
            assert fraction(scheme.fma(a, b, addend)) == float32(exact)
    # (1 + e) * (1 - e) / 2 is 1/2 less 2**-47: added to an odd 2**23 + 1 float64 sees a tie, which is none.
    a, b, c = np.float32(0.5 + 2.0**-24), np.float32(1 - 2.0**-23), np.float32(2**23 + 1)
    for x in (a, -a):
        exact = fraction(x) * fraction(b) + fraction(c)
        assert fraction(scheme.fma(x, b, c)) == float32(exact)
        twice = np.float32(np.float64(c) + np.float64(x) * np.float64(b))
        assert fraction(twice) != float32(exact)


@given(FLOATS, affines())
def test_quantize(x, target):
    low, high = target.limits
    quotient = float32(fraction(np.float32(x)) / fraction(target.scale[0]))
    expected = min(max(round(quotient) + int(target.zero_point[0]), low), high)
    assert int(scheme.quantize(np.array([x], np.float32), target)[0]) == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_quantize_ties_are_even_before_the_zero_point_is_added(dtype):
    info = np.iinfo(dtype)
    for zero in (info.min, info.max, 0, 1):
        steps = np.arange(-9, 10) + np.float32(0.5)
        expected = [min(max(round(Fraction(float(s))) + zero, info.min), info.max) for s in steps]
        assert scheme.quantize(steps * np.float32(4), affine(dtype, 4, zero)).tolist() == expected


def test_quantize_saturates_what_overflows():
    for dtype in DTYPES:
        info = np.iinfo(dtype)
        x = np.array([3e38, -3e38, 1e30, -1e30], np.float32)
        assert scheme.quantize(x, affine(dtype, 1e-6, 3)).tolist() == [info.max, info.min] * 2
    assert scheme.quantize(np.array([9.0, -9.0], np.float32), affine(np.int8, 1, 0, 4)).tolist() == [7, -8]
    assert scheme.quantize(np.array([19.0, -9.0], np.float32), affine(np.uint8, 1, 0, 4)).tolist() == [15, 0]


@given(st.data(), affines())
def test_dequantize(data, source):
    q = data.draw(st.integers(*source.limits))
    expected = float32((q - int(source.zero_point[0])) * fraction(source.scale[0]))
    assert fraction(scheme.dequantize(np.array([q], source.dtype), source)[0]) == expected


@given(st.integers(-(2**31), 2**31 - 1), SCALES)
@example(2**24 + 1, 1.0)
@example(-(2**24) - 3, 0.75)
def test_requantize_and_int32(accumulator, factor):
    factor = np.float32(factor * 1e-4)
    value = float32(float32(Fraction(accumulator)) * fraction(factor))
    for dtype in (np.int8, np.uint8):
        target = affine(dtype, 1, 3)
        expected = min(max(round(value) + 3, target.limits[0]), target.limits[1])
        assert int(scheme.requantize(np.array([accumulator]), factor, target)[0]) == expected
    bias = Affine(np.array([factor]), np.zeros(1), None, np.dtype(np.int32))
    assert fraction(scheme.dequantize(np.array([accumulator]), bias)[0]) == value


@given(st.data(), EIGHT, EIGHT, SCALES)
def test_add_and_multiply(data, first, second, scale):
    second = affine(first.dtype, second.scale[0], int(np.clip(second.zero_point[0], *first.limits)))
    target = affine(first.dtype, scale, data.draw(st.integers(*first.limits)))
    sources = (first, second)
    q = [data.draw(st.integers(*first.limits)) for _ in sources]
    arrays = [np.array([v] * 2, first.dtype) for v in q]
    s = [fraction(source.scale[0]) for source in sources]
    z = [int(source.zero_point[0]) for source in sources]
    zero, (low, high) = int(target.zero_point[0]), target.limits
    r = [float32(v / fraction(target.scale[0])) for v in s]
    fixed = float32(zero - float32(r[0] * z[0] + float32(r[1] * z[1])))
    total = float32(q[0] * r[0] + float32(q[1] * r[1] + fixed))
    assert int(scheme.add(*arrays, sources, target)[0]) == min(max(round(total), low), high)
    factor = float32(float32(s[0] * s[1]) / fraction(target.scale[0]))
    product = float32(float32((q[0] - z[0]) * (q[1] - z[1]) * factor) + zero)
    assert int(scheme.multiply(*arrays, sources, target)[0]) == min(max(round(product), low), high)


@pytest.mark.parametrize("function, exact, bound", [
    (scheme.logistic, lambda x: 1 / (1 + np.exp(-x)), 3e-7), (scheme.tanh, np.tanh, 6e-7),
])  # fmt: skip
def test_logistic_and_tanh_approximate(function, exact, bound):
    x = np.linspace(-20, 20, 100001).astype(np.float32)
    assert np.abs(function(x) - exact(x.astype(np.float64))).max() < bound
    assert function(np.zeros(1, np.float32))[0] == exact(0.0)


def exact_chain(a, b, block, initial=None):
    """`mlas.product` of two vectors in fractions."""
    total = None if initial is None else fraction(initial)
    for first in range(0, len(a), block):
        part = Fraction(0)
        for x, y in zip(a[first : first + block], b[first : first + block], strict=True):
            part = float32(part + fraction(x) * fraction(y))
        total = part if total is None else float32(total + part)
    return total


@pytest.mark.parametrize("block", [1, 3, 4, 100])
def test_product_is_a_chain_of_fused_additions(block):
    rng = np.random.default_rng(block)
    a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 11), (11, 3)))
    c = rng.standard_normal((2, 3)).astype(np.float32)
    for initial in (None, c):
        y = mlas.product(a, b, block, initial)
        for i in range(2):
            for j in range(3):
                start = None if initial is None else c[i, j]
                assert fraction(y[i, j]) == exact_chain(a[i], b[:, j], block, start)


def test_sums_of_integers_are_exact_in_any_order():
    """With scales that are powers of two and sums below 2**24 no order of summation rounds: all kernels agree, and
    equal the integers."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-128, 128, (1, 700)), rng.integers(-128, 128, (700, 1))
    expected = (a @ b) * 2.0**-9
    x, y = (a * 2.0**-4).astype(np.float32), (b * 2.0**-5).astype(np.float32)
    assert abs(a).T.astype(float).ravel() @ abs(b).ravel() < 2**24
    assert mlas.product(x, y, 256) == expected
    assert mlas.row_times_matrix(x, y) == expected
    assert mlas.dot_products(x, y[:, 0]) == expected


def test_block_length():
    assert [mlas.block_length(n, k) for n, k in ((200, 100), (100, 200), (64, 200), (1, 200), (16, 10))] == [
        128, 128, 256, 1024, 128,
    ]  # fmt: skip


@pytest.mark.parametrize("arguments, sentence", [
    (([0.0], [0], None, np.int8), "scale is 0.0, but must be finite and above 0"),
    (([math.nan], [0], None, np.int8), "scale is nan, but must be finite and above 0"),
    (([1.0], [128], None, np.int8), "zero_point is 128, but int8 allows -128 to 127"),
    (([1.0], [-1], None, np.uint8), "zero_point is -1, but uint8 allows 0 to 255"),
    (([1.0], [8], None, np.int8, 4), "zero_point is 8, but int4 allows -8 to 7"),
    (([1.0, 2.0], [8], None, np.int8), "both must be one list"),
])  # fmt: skip
def test_affine_refuses(arguments, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Affine(np.array(arguments[0], np.float32), np.array(arguments[1]), *arguments[2:])


def test_affine_describes_itself():
    assert str(affine(np.int8, 0.5, -3)) == "int8 0.5 zp -3"
    assert str(affine(np.uint8, 0.5, 3, 4)) == "uint4 0.5 zp 3"
    assert str(Affine(np.ones(3), np.zeros(3), 0, np.int8)) == "int8 axis 0 x3"
