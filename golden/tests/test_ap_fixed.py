# SPDX-License-Identifier: Apache-2.0
"""ap_fixed against its definition in Python's fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.golden import ConfigurationError, GoldenError
from assay.golden.schemes.ap_fixed import MAX_WIDTH, OVERFLOWS, QUANTISATIONS, ApFixed

WIDTHS = st.one_of(st.integers(1, 8), st.integers(1, MAX_WIDTH))
TYPES = st.one_of(
    st.builds(
        ApFixed,
        WIDTHS,
        st.integers(-20, 80),
        st.booleans(),
        st.sampled_from(QUANTISATIONS),
        st.sampled_from(OVERFLOWS),
    ),
    # WRAP with saturated bits.
    WIDTHS.flatmap(
        lambda width: st.builds(
            ApFixed,
            st.just(width),
            st.integers(-20, 80),
            st.booleans(),
            st.sampled_from(QUANTISATIONS),
            st.just("WRAP"),
            st.integers(0, width),
        )
    ),
)


def nearest(x: Fraction, tie: int) -> int:
    low = math.floor(x)
    if x - low == Fraction(1, 2):
        return tie
    return low + (x - low > Fraction(1, 2))


def rounded(x: Fraction, mode: str) -> int:
    low, high, away = math.floor(x), math.ceil(x), math.ceil(x) if x > 0 else math.floor(x)
    to_zero = math.trunc(x)
    even = low if low % 2 == 0 else low + 1
    return {
        "TRN": low,
        "TRN_ZERO": to_zero,
        "RND": nearest(x, high),
        "RND_ZERO": nearest(x, to_zero),
        "RND_INF": nearest(x, away),
        "RND_MIN_INF": nearest(x, low),
        "RND_CONV": nearest(x, even),
    }[mode]


def assigned(x: Fraction, t: ApFixed) -> int:
    """Raw integer of a real value assigned to a type."""
    y = rounded(x * Fraction(2) ** (t.width - t.integer), t.quantisation)
    high = 2 ** (t.width - 1) - 1 if t.signed else 2**t.width - 1
    low = -(2 ** (t.width - 1)) if t.signed else 0
    if t.overflow == "WRAP":
        kept = 2 ** (t.width - t.saturated)
        if t.saturated and y > high:
            return high - high % kept + y % kept
        if t.saturated and y < low:
            return (low if t.signed else high - high % kept) + y % kept
        y %= 2**t.width
        return y - 2**t.width if t.signed and y > high else y
    if t.overflow == "SAT_SYM" and t.signed and t.width > 1:
        low = -high
    if low <= y <= high:
        return y
    return 0 if t.overflow == "SAT_ZERO" else (high if y > high else low)


@given(
    TYPES,
    st.lists(st.one_of(st.integers(-(2**61) + 1, 2**61 - 1), st.integers(-300, 300)), max_size=8),
    st.integers(-90, 90),
)
@example(ApFixed(4, 2, True, "RND_CONV", "SAT_SYM"), [-8, 7, -9, 8], 2)
@example(ApFixed(1, 1, True, "TRN", "SAT_SYM"), [-1, 0, 1], 0)
@example(ApFixed(62, 62, False, "TRN", "WRAP"), [-1, 2**61 - 1], -1)
@example(ApFixed(62, 62, True, "RND", "SAT"), [2**61 - 1, 1 - 2**61], 62)
@example(ApFixed(8, 8, True, "RND_INF", "SAT"), [1, -1, 3], -64)
def test_convert(t, values, fraction):
    seen = t.convert(np.array(values, np.int64), fraction)
    assert seen.tolist() == [assigned(Fraction(v) / Fraction(2) ** fraction, t) for v in values]
    assert seen.size == 0 or (t.overflow == "WRAP" or (seen.min() >= t.min and seen.max() <= t.max))


@pytest.mark.parametrize("quantisation", QUANTISATIONS)
@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("signed", [True, False])
def test_all_values_and_ties(quantisation, overflow, signed):
    """Every multiple of 1/8 over twice the range of a 4-bit type with one fraction bit."""
    t = ApFixed(4, 3, signed, quantisation, overflow)
    x = np.arange(-200, 200)
    assert t.convert(x, 3).tolist() == [assigned(Fraction(int(v), 8), t) for v in x]


@given(TYPES, st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
@example(ApFixed(16, 6), [5e-324, -5e-324, 1.7e308, -1.7e308, 0.0, -0.0])
@example(ApFixed(8, 4, True, "RND", "SAT"), [0.03125, -0.03125, 0.09375, 7.97])
def test_from_float(t, values):
    assert t.from_float(np.array(values)).tolist() == [assigned(Fraction(v), t) for v in values]


def test_from_float32():
    values = np.array([0.1, -0.1, 3.3], np.float32)
    t = ApFixed(30, 3, True, "RND", "SAT")
    assert t.from_float(values).tolist() == [assigned(Fraction(float(v)), t) for v in values]


@given(TYPES)
def test_parse_reads_what_str_writes(t):
    assert ApFixed.parse(str(t)) == t


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ap_fixed<16,6>", ApFixed(16, 6)),
        (" ap_ufixed< 8 , 0 > ", ApFixed(8, 0, False)),
        ("ap_fixed<16, 6, AP_RND, AP_SAT>", ApFixed(16, 6, True, "RND", "SAT")),
        ("ap_fixed<16,-2,RND_CONV>", ApFixed(16, -2, True, "RND_CONV")),
        ("ap_fixed<18,8,AP_TRN,AP_WRAP,0>", ApFixed(18, 8)),
    ],
)
def test_parse(text, expected):
    assert ApFixed.parse(text) == expected


def test_str():
    assert str(ApFixed(16, 6)) == "ap_fixed<16,6>"
    assert str(ApFixed(16, 6, False, "RND")) == "ap_ufixed<16,6,RND>"
    assert str(ApFixed(16, 6, True, "TRN", "SAT")) == "ap_fixed<16,6,TRN,SAT>"
    assert str(ApFixed(16, 6, True, "TRN", "WRAP", 2)) == "ap_fixed<16,6,TRN,WRAP,2>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ap_fixed<16>", "is not of the form"),
        ("ap_fixed<16,6", "is not of the form"),
        ("int8", "is not of the form"),
        ("ap_fixed<0,0>", "width is 0, but must be a whole number from 1 to 62"),
        ("ap_fixed<63,6>", "width is 63"),
        ("ap_fixed<16,2000>", "integer is 2000"),
        ("ap_fixed<16,6,ROUND>", "quantisation is 'ROUND', but must be one of TRN, TRN_ZERO"),
        ("ap_fixed<16,6,RND,WRAP_SM>", "overflow is 'WRAP_SM', but must be one of WRAP, SAT"),
        ("ap_fixed<16,6,RND,WRAP,17>", "saturated is 17, but must be a whole number from 0 to 16"),
        ("ap_fixed<16,6,RND,SAT,2>", "saturated is 2, but must be 0 with overflow SAT"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(ConfigurationError, match=message):
        ApFixed.parse(text)


def test_wrong_arguments():
    t = ApFixed(8, 4)
    for call, message in (
        (lambda: t.convert(np.zeros(3), 0), "x has dtype float64, but must hold integers"),
        (
            lambda: t.convert(np.array([2**61]), 0),
            r"magnitude 2305843009213693952, but must stay below 2\*\*61",
        ),
        (lambda: t.from_float(np.array([1.0, math.nan])), "holds NaN or infinity"),
        (lambda: t.from_float(np.array([1])), "x has dtype int64, but must hold floats"),
        (lambda: ApFixed(60, 4).to_float(np.array([2**58 + 1])), "values that float64 lacks"),
        (lambda: ApFixed(8, 4, 1), "signed is 1, but must be True or False"),
        (lambda: ApFixed(True, 4), "width is True"),
    ):
        with pytest.raises(GoldenError, match=message):
            call()


def test_values():
    t = ApFixed(8, 4)
    assert (t.fraction, t.min, t.max) == (4, -128, 127)
    assert t.value(-3) == Fraction(-3, 16)
    assert t.to_float(np.array([-3, 8])).tolist() == [-0.1875, 0.5]
    assert (ApFixed(4, 2, True, "TRN", "SAT_SYM").min, ApFixed(1, 1, True, "TRN", "SAT_SYM").min) == (-7, -1)
