# SPDX-License-Identifier: Apache-2.0
"""QKeras' quantisers against their formulas in Python's fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.golden import ConfigurationError, GoldenError
from assay.golden.schemes.qkeras import PowerOfTwo, binary, quantized_bits, quantized_relu, ternary

FLOATS = st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=9)


@given(st.integers(2, 12), st.integers(-2, 4), st.booleans(), st.booleans(), FLOATS)
@example(4, 0, True, True, [-1.0, -0.9375, -40.0, 0.0625, 0.1875])
@example(4, 0, False, True, [-1.0, -0.9375, -40.0, 0.0625, 0.1875])
def test_quantized_bits(bits, integer, symmetric, keep_negative, values):
    """Round half to even, then clip."""
    t = quantized_bits(bits, integer, symmetric, keep_negative)
    unit = Fraction(2) ** (bits - integer - keep_negative)
    low, high = (-(2 ** (bits - 1)) + symmetric, 2 ** (bits - 1) - 1) if keep_negative else (0, 2**bits - 1)
    expected = [Fraction(min(max(round(Fraction(v) * unit), low), high)) / unit for v in values]
    assert [t.value(raw) for raw in t.from_float(np.array(values))] == expected


@given(st.integers(1, 12), st.integers(-2, 4), FLOATS)
def test_quantized_relu(bits, integer, values):
    t = quantized_relu(bits, integer)
    unit = Fraction(2) ** (bits - integer)
    expected = [Fraction(min(max(round(Fraction(v) * unit), 0), 2**bits - 1)) / unit for v in values]
    assert [t.value(raw) for raw in t.from_float(np.array(values))] == expected


def nearest_exponent(x: Fraction) -> int:
    """The integer e with 2**(2e - 1) < x**2 < 2**(2e + 1)."""
    e = -200
    while x * x > Fraction(2) ** (2 * e + 1):
        e += 1
    return e


@given(
    st.integers(3, 7),
    st.sampled_from([None, 0.5, 1.0, 6.0, 16.0]),
    st.booleans(),
    st.lists(
        st.one_of(st.floats(-40, 40, width=32), st.floats(-(2**-20), 2**-20, width=32)),
        min_size=1,
        max_size=6,
    ),
)
@example(
    4, None, True, [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, float(np.float32(2**0.5)), float(np.float32(0.5**0.5))]
)
def test_power_of_two(bits, max_value, signed, values):
    exponent_bits = bits - signed - (max_value is None or max_value > 1)
    least, greatest = -(2**exponent_bits), 2**exponent_bits - 1
    t = PowerOfTwo(bits, max_value, signed)
    expected = []
    for v in values:
        size = Fraction(abs(v) if signed else max(v, 0))
        if max_value is not None:
            size = min(size, Fraction(max_value))
        small = size < Fraction(float(np.float32(1e-7)))
        e = least if small else min(max(nearest_exponent(size), least), greatest)
        expected.append((-1 if signed and v < 0 else 1) * math.ldexp(1, e))
    assert t(np.array(values, np.float32)).tolist() == expected


def test_binary_and_ternary():
    x = np.array([-2, -0.33, -0.32, -0.0, 0, 0.25, 0.33, 5], np.float32)
    assert binary(x).tolist() == [-1, -1, -1, 1, 1, 1, 1, 1]
    assert binary(x, use_01=True).tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert ternary(x).tolist() == [-1, -1, 0, 0, 0, 0, 1, 1]
    assert ternary(x, 0.25).tolist() == [-1, -1, -1, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantized_bits(1), "bits 1 with keep_negative is binary, so bits must be 2 or more"),
        (lambda: quantized_relu(0), "width is 0, but must be a whole number from 1 to 62"),
        (lambda: PowerOfTwo(1), "bits is 1, but must be 2 to 9"),
        (lambda: PowerOfTwo(10), "bits is 10, but must be 2 to 9"),
        (lambda: PowerOfTwo(8, 1.0, signed=False), "bits is 8, but must be 0 to 7"),
        (lambda: PowerOfTwo(4, -1.0), "max_value is -1.0, but must be above 0"),
        (lambda: binary(np.array([math.nan])), "holds NaN or infinity"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises((ConfigurationError, GoldenError), match=message):
        call()
