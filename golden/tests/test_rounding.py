# SPDX-License-Identifier: Apache-2.0
"""Every rounding mode against Python's fractions, decimal and round, over the whole of int64."""

from __future__ import annotations

import decimal
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.rounding import ROUNDINGS, divide, rescale, round_fraction, shift_right

INT64 = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-300, 300)
DETERMINISTIC = [name for name in ROUNDINGS if name != "stochastic"]

# The modes that Python's decimal has, under its names.
DECIMAL = {
    "truncate": decimal.ROUND_FLOOR,
    "ceil": decimal.ROUND_CEILING,
    "toward_zero": decimal.ROUND_DOWN,
    "away_from_zero": decimal.ROUND_UP,
    "half_away": decimal.ROUND_HALF_UP,
    "half_toward_zero": decimal.ROUND_HALF_DOWN,
    "half_even": decimal.ROUND_HALF_EVEN,
}


def rounded(value: Fraction, rounding: str) -> int:
    """A mode from its definition: the candidates are floor and ceiling."""
    if rounding == "half_up":
        return math.floor(value + Fraction(1, 2))
    if rounding == "half_down":
        return math.ceil(value - Fraction(1, 2))
    # A denominator of 2**64 at most has 64 decimal places; the quotient is never rounded before it is rounded here.
    with decimal.localcontext(prec=200):
        # Twice the fraction keeps the distance to a tie; a rest that is not representable lies strictly between.
        floor, rest = divmod(value, 1)
        rest_class = {0: "0", -1: "0.25", 1: "0.75"}.get(
            0 if rest == 0 else -1 if rest < Fraction(1, 2) else 1 if rest > Fraction(1, 2) else 2, "0.5"
        )
        near = decimal.Decimal(int(floor)) + decimal.Decimal(rest_class)
        return int(near.to_integral_value(DECIMAL[rounding]))


@settings(max_examples=300)
@given(INT64, st.integers(0, 63), st.sampled_from(DETERMINISTIC))
def test_shift_right(x, shift, rounding):
    y = shift_right(np.array([x]), shift, rounding)
    assert y.dtype == np.int64
    assert y.item() == rounded(Fraction(x, 1 << shift), rounding)


@settings(max_examples=300)
@given(INT64, st.integers(1, (1 << 63) - 1) | st.integers(1, 20), st.sampled_from(DETERMINISTIC))
def test_divide(x, divisor, rounding):
    expected = rounded(Fraction(x, divisor), rounding)
    assert divide(x, divisor, rounding).item() == expected
    assert round_fraction(Fraction(x, divisor), rounding) == expected


@settings(max_examples=300)
@given(INT64, INT64, st.integers(1, (1 << 63) - 1) | st.integers(1, 20), st.sampled_from(DETERMINISTIC))
def test_rescale(x, numerator, denominator, rounding):
    expected = rounded(Fraction(x * numerator, denominator), rounding)
    if -(1 << 63) <= expected < 1 << 63:
        assert rescale(np.array([x, 0]), numerator, denominator, rounding).tolist() == [expected, 0]
    else:
        with pytest.raises(GoldenError, match="must fit 64 bits"):
            rescale(np.array([x, 0]), numerator, denominator, rounding)


def test_half_even_is_what_python_and_numpy_round():
    x = np.arange(-4096, 4096)
    assert np.array_equal(shift_right(x, 4, "half_even"), np.rint(x / 16))
    assert shift_right(x, 4, "half_even").tolist() == [round(Fraction(int(n), 16)) for n in x]


@settings(max_examples=200)
@given(INT64, st.integers(0, 63), st.data())
def test_stochastic_adds_the_bits(x, shift, data):
    random = data.draw(st.integers(0, (1 << shift) - 1))
    assert shift_right(x, shift, "stochastic", random).item() == (x + random) >> shift
    divisor = data.draw(st.integers(1, (1 << 63) - 1))
    random %= divisor
    assert divide(x, divisor, "stochastic", random).item() == (x + random) // divisor
    factor = data.draw(st.integers(-9, 9))
    if abs(x * factor // divisor) < 1 << 62:
        y = rescale(x, factor, divisor, "stochastic", random).item()
        assert y == (x * factor + random) // divisor


def test_stochastic_is_right_on_average():
    """Over all bits, x / 2**shift exactly: the sum of the results is x."""
    for x in (-21, 5, 13):
        assert shift_right(x, 4, "stochastic", np.arange(16)).sum() == x


def test_arguments_broadcast_and_every_dtype_is_taken():
    x, shift = np.array([[-5], [5]], np.int8), np.array([0, 1, 2], np.uint16)
    assert shift_right(x, shift, "half_even").tolist() == [[-5, -2, -1], [5, 2, 1]]
    assert divide(np.array([250, 251], np.uint8), 4).tolist() == [63, 63]
    assert rescale(np.zeros((0, 3), np.int32), 3, 7).shape == (0, 3)


@settings(max_examples=200)
@given(
    mutually_broadcastable_shapes(num_shapes=4, max_dims=3, max_side=3),
    st.integers(0, 2**32),
    st.sampled_from([8, 64]),
    st.sampled_from(ROUNDINGS),
)
def test_every_argument_broadcasts(shapes, seed, bits, rounding):
    """In each arithmetic: in 64 bits, and in Python's integers where a product or a sum may be longer."""
    rng = np.random.default_rng(seed)
    x, numerator, shift, random = (
        rng.integers(-(1 << bits - 1), (1 << bits - 1) - 1, shape, np.int64, endpoint=True)
        for shape in shapes.input_shapes
    )
    # Of at most 3/4 of x, which fits.
    numerator, shift, random = numerator % 7 - 3, 2 + shift % 61, random % 4
    given = random if rounding == "stochastic" else None
    axes = np.broadcast_arrays(x, numerator, shift, random if rounding == "stochastic" else 0)

    def expected(factors: bool) -> list[int]:
        return [
            (a * (n if factors else 1) + r >> s)
            if rounding == "stochastic"
            else rounded(Fraction(a * (n if factors else 1), 1 << s), rounding)
            for a, n, s, r in zip(*(axis.ravel().tolist() for axis in axes), strict=True)
        ]

    scaled = rescale(x, numerator, np.int64(1) << shift, rounding, given)
    assert scaled.shape == axes[0].shape and scaled.ravel().tolist() == expected(True)
    shape = np.broadcast_shapes(x.shape, shift.shape, () if given is None else random.shape)
    if shape == axes[0].shape:
        for quotient in (
            shift_right(x, shift, rounding, given),
            divide(x, np.int64(1) << shift, rounding, given),
        ):
            assert quotient.shape == shape and quotient.ravel().tolist() == expected(False)


@pytest.mark.parametrize(
    ("x", "numerator", "fits"),
    [
        (((1 << 63) - 1) // 7, 7, True),
        (-(1 << 62), 2, True),
        (1 << 62, 2, False),
        (-((1 << 63) + 1) // 3, 3, False),
    ],
)
def test_results_end_where_int64_does(x, numerator, fits):
    """The ends of the range, and the integers beside them."""
    if fits:
        y = rescale(x, numerator, 1)
        assert y.shape == () and y.item() == x * numerator in (-(1 << 63), (1 << 63) - 1)
    else:
        with pytest.raises(GoldenError, match=f"is {x * numerator}, but must fit 64 bits"):
            rescale(x, numerator, 1)


@given(
    st.sampled_from([shift_right, divide, lambda x, d, rounding: rescale(x, 3, d, rounding)]),
    st.sampled_from([((0,), ()), ((), (0,)), ((0,), (0,)), ((0, 3), (3,)), ((2, 1), (0,)), ((0,), (1,))]),
    st.sampled_from(DETERMINISTIC),
)
def test_empty_arrays_make_empty_ones(function, shapes, rounding):
    """Whichever argument is empty: there is no least or greatest value to choose the arithmetic by."""
    x, d = (np.full(shape, 5, np.int32) for shape in shapes)
    y = function(x, d, rounding)
    assert y.shape == np.broadcast_shapes(*shapes) and y.dtype == np.int64


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda: shift_right(1, 64),
            ConfigurationError,
            "shift is 64, but must be a whole number from 0 to 63",
        ),
        (lambda: shift_right(1, np.array([1, -1])), ConfigurationError, "shift is -1, but must be"),
        (lambda: shift_right(1.5, 1), GoldenError, "x has dtype float64, but must hold integers"),
        (
            lambda: shift_right(1, 1, "nearest"),
            ConfigurationError,
            "rounding is 'nearest', but must be one of tr",
        ),
        (
            lambda: shift_right(1, 1, "half_up", 1),
            ConfigurationError,
            "random bits are given, but rounding is",
        ),
        (lambda: shift_right(1, 1, "stochastic"), ConfigurationError, "the random bits are missing"),
        (
            lambda: shift_right(1, 1, "stochastic", 2),
            ConfigurationError,
            "random is 2, but must be at least 0",
        ),
        (lambda: divide(1, 3, "stochastic", [-1, 0]), ConfigurationError, "random is -1, but must be"),
        (lambda: divide(1, 3, "stochastic", [0, 3, -1]), ConfigurationError, "random is 3, but must be"),
        (lambda: divide(1, 0), ConfigurationError, "divisor is 0, but must be 1 or more"),
        (lambda: rescale(1 << 62, 4, 0), ConfigurationError, "denominator is 0, but must be 1 or more"),
        (lambda: rescale(1, 4, 0), ConfigurationError, "is 0, but must be 1 or more"),
        (lambda: rescale(1 << 62, 4, 1), GoldenError, "is 18446744073709551616, but must fit 64 bits"),
        (
            lambda: round_fraction(Fraction(1, 2), "stochastic"),
            ConfigurationError,
            "rounding is 'stochastic', but",
        ),
        (
            lambda: divide(np.array([1 << 63], np.uint64), 1),
            GoldenError,
            "x holds 9223372036854775808, but must",
        ),
    ],
)
def test_wrong_arguments_are_named(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_the_largest_numbers_and_shifts(rounding):
    """Every corner, as numbers, as vectors and broadcast: none overflows, and all keep their shape."""
    ends = [-(1 << 63), -(1 << 63) + 1, -(1 << 62), -1, 0, 1, 1 << 62, (1 << 63) - 1]
    shifts = [0, 1, 62, 63]
    divisors = [1, 2, 3, 1 << 62, (1 << 63) - 1]
    table = shift_right(np.array(ends)[:, None], np.array(shifts), rounding)
    assert table.tolist() == [[rounded(Fraction(x, 1 << s), rounding) for s in shifts] for x in ends]
    assert table.dtype == np.int64
    quotients = divide(np.array(ends)[:, None], np.array(divisors), rounding)
    assert quotients.tolist() == [[rounded(Fraction(x, d), rounding) for d in divisors] for x in ends]
    for x in ends:
        for s in shifts:
            assert shift_right(x, s, rounding).shape == ()
            assert shift_right(x, s, rounding).item() == rounded(Fraction(x, 1 << s), rounding)
        for d in divisors:
            assert divide(x, d, rounding).item() == rounded(Fraction(x, d), rounding)
            assert rescale(x, d, d, rounding).item() == x
