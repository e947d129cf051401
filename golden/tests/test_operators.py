# SPDX-License-Identifier: Apache-2.0
"""The operators against their definitions, written as loops over Python's unbounded integers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assay.golden import ConfigurationError, GoldenError, IntFormat
from assay.golden.operators import conv2d, max_pool, quantise, scale_bias

quick = settings(max_examples=60)
formats = st.builds(IntFormat, st.integers(1, 16), st.booleans())
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
pads = st.tuples(*[st.integers(0, 2)] * 4)


def conv2d_by_loops(x, weight, stride, padding, groups):
    n, height, width, _ = x.shape
    outputs, kernel_h, kernel_w, channels = weight.shape
    top, left, bottom, right = padding
    out_h = (height + top + bottom - kernel_h) // stride[0] + 1
    out_w = (width + left + right - kernel_w) // stride[1] + 1
    y = np.zeros((n, out_h, out_w, outputs), object)
    for image, i, j, k in np.ndindex(y.shape):
        total, first = 0, k // (outputs // groups) * channels
        for fy, fx, c in np.ndindex(kernel_h, kernel_w, channels):
            row, column = i * stride[0] + fy - top, j * stride[1] + fx - left
            if 0 <= row < height and 0 <= column < width:
                total += int(x[image, row, column, first + c]) * int(weight[k, fy, fx, c])
        y[image, i, j, k] = total
    return y


def arrays(target, shape):
    return hnp.arrays(np.int32, shape, elements=st.integers(target.min, target.max))


@st.composite
def convolutions(draw):
    size, channels = draw(st.tuples(st.integers(3, 6), st.integers(3, 6))), draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    x = draw(arrays(draw(formats), (draw(st.integers(1, 2)), *size, channels * groups)))
    weight = draw(arrays(draw(formats), (draw(st.integers(1, 3)) * groups, *draw(pairs), channels)))
    return x, weight, draw(pairs), draw(pads), groups


@quick
@given(convolutions())
def test_conv2d_is_its_definition(case):
    y = conv2d(*case)
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, conv2d_by_loops(*case))


def test_conv2d_of_a_batch_is_the_batch_of_convolutions():
    # More than one chunk of im2col: 40 images at 9 * 64 * 32 * 32 values of 8 bytes are 180 MB.
    rng = np.random.default_rng(1)
    x, weight = rng.integers(0, 4, (40, 32, 32, 64), np.uint8), rng.integers(-2, 2, (3, 3, 3, 64), np.int8)
    whole = conv2d(x, weight, padding=(1, 1, 1, 1))
    for image in (0, 13, 39):
        np.testing.assert_array_equal(
            whole[image], conv2d(x[image : image + 1], weight, padding=(1, 1, 1, 1))[0]
        )


@pytest.mark.parametrize("largest", [(1 << 24) - 1, 1 << 24, (1 << 24) + 1, (1 << 53) - 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_conv2d_is_exact_on_both_sides_of_each_arithmetic(largest, sign):
    # One product: the bound is the value itself. 2**24 + 1 is the first integer that float32 would round.
    x, weight = np.full((1, 1, 1, 1), largest), np.full((1, 1, 1, 1), sign)
    assert conv2d(x, weight).item() == sign * largest
    # Sums that reach the bound only together.
    x = np.array([largest // 3, largest // 3, largest - 2 * (largest // 3) - 2]).reshape(1, 1, 1, 3)
    assert conv2d(x, np.full((1, 1, 1, 3), sign)).item() == sign * (largest - 2)


def test_conv2d_refuses_sums_that_float64_may_round():
    x, weight = np.full((1, 1, 1, 1), 1 << 53), np.full((1, 1, 1, 1), 1)
    with pytest.raises(GoldenError, match=r"can reach 9007199254740992, but must stay below 2\*\*53"):
        conv2d(x, weight)


def test_smallest_int64_is_handled():
    assert conv2d(np.full((1, 1, 1, 1), -(1 << 63)), np.zeros((1, 1, 1, 1), int)).item() == 0


@quick
@given(st.data(), pairs, pairs)
def test_max_pool_is_its_definition(data, window, stride):
    x = data.draw(arrays(data.draw(formats), (2, *data.draw(st.tuples(*[st.integers(3, 7)] * 2)), 2)))
    y = max_pool(x, window, stride)
    assert y.dtype == x.dtype
    assert y.shape == (
        2,
        (x.shape[1] - window[0]) // stride[0] + 1,
        (x.shape[2] - window[1]) // stride[1] + 1,
        2,
    )
    for n, i, j, c in np.ndindex(y.shape):
        places = itertools.product(range(window[0]), range(window[1]))
        assert y[n, i, j, c] == max(x[n, i * stride[0] + a, j * stride[1] + b, c] for a, b in places)


def test_max_pool_leaves_its_input_alone():
    x = np.arange(16).reshape(1, 4, 4, 1)
    before = x.copy()
    max_pool(x, (2, 2), (1, 1))
    np.testing.assert_array_equal(x, before)


@quick
@given(
    hnp.arrays(np.int64, (3, 2), elements=st.integers(-(1 << 27), 1 << 27)),
    hnp.arrays(np.int64, 2, elements=st.integers(-(1 << 15), (1 << 15) - 1)),
    hnp.arrays(np.int64, 2, elements=st.integers(-(1 << 26), (1 << 26) - 1)),
)
def test_scale_bias_is_its_definition(acc, multiplier, bias):
    y = scale_bias(acc, multiplier, bias)
    for i, k in np.ndindex(acc.shape):
        assert int(y[i, k]) == int(acc[i, k]) * int(multiplier[k]) + int(bias[k])


def test_scale_bias_refuses_what_may_not_fit():
    with pytest.raises(GoldenError, match="can reach 9223372036854775808"):
        scale_bias(np.array([1 << 48]), np.array([1 << 15]), np.array([0]))
    with pytest.raises(GoldenError, match=r"bias has shape \[3\], but must be one value or \[2\]"):
        scale_bias(np.zeros((4, 2), int), np.ones(2, int), np.zeros(3, int))


@settings(max_examples=400)
@given(
    st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-70000, 70000),
    st.integers(0, 62),
    formats,
    st.sampled_from(["truncate", "half_up"]),
    st.booleans(),
)
def test_quantise_is_its_definition(x, shift, target, rounding, saturate):
    half = (1 << shift) // 2 if rounding == "half_up" else 0
    expected = (x + half) // (1 << shift)
    if saturate:
        expected = min(max(expected, target.min), target.max)
    else:
        expected %= 1 << target.bits
        if target.signed and expected > target.max:
            expected -= 1 << target.bits
    y = quantise(np.array([x]), shift, target.bits, target.signed, rounding, saturate)
    assert y.dtype == np.int64
    assert y.item() == expected


def test_ties_go_up():
    x = np.array([-3, -2, -1, 0, 1, 2, 3])
    np.testing.assert_array_equal(quantise(x, 1, 8, True, "half_up"), [-1, -1, 0, 0, 1, 1, 2])
    np.testing.assert_array_equal(quantise(x, 1, 8, True, "truncate"), [-2, -1, -1, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: conv2d(x, x[..., :1]), r"x has 2 channels, but weight \[1, 4, 4, 1\] takes 1"),
        (lambda x: conv2d(x, np.ones((1, 5, 1, 2), int)), "kernel 5x1 is larger than the padded map of 4x4"),
        (lambda x: conv2d(x, x, (0, 1)), r"stride is \(0, 1\), but must be 2 whole numbers of 1 or more"),
        (lambda x: conv2d(x, x, (1, 1), (1, 1)), r"padding is \(1, 1\), but must be 4 whole numbers of 0 or"),
        (lambda x: conv2d(x * 1.0, x), "x has dtype float64, but must hold integers"),
        (lambda x: conv2d(x[0], x), r"x has shape \[4, 4, 2\], but must have 4 dimensions"),
        (
            lambda x: conv2d(x.astype(np.uint64) + (1 << 63), x),
            "x holds 9223372036854775809, but must stay below",
        ),
        (lambda x: max_pool(x, (5, 1), (1, 1)), "kernel 5x1 is larger"),
        (lambda x: quantise(x, 63, 8, True), "shift is 63, but must be a whole number from 0 to 62"),
        (lambda x: quantise(x, 1, 17, True), "bits is 17, but must be a whole number from 1 to 16"),
        (lambda x: quantise(x, 1, 8, True, "nearest"), "rounding is 'nearest', but must be one of trunc"),
    ],
)
def test_wrong_arguments_are_named(call, sentence):
    with pytest.raises(GoldenError, match=sentence):
        call(np.ones((1, 4, 4, 2), int))


@given(formats)
def test_format_ranges_and_text(target):
    values = 1 << target.bits
    assert target.max - target.min + 1 == values
    assert target.contains(np.array([target.min, target.max]))
    assert not target.contains(target.max + 1)
    assert not target.contains(target.min - 1)
    assert IntFormat.parse(str(target)) == target
    assert target.magnitude == max(abs(target.min), abs(target.max))


@pytest.mark.parametrize("bits", [0, 17, -1, 2.0, True, "2"])
def test_format_bits_are_checked(bits):
    with pytest.raises(ConfigurationError, match="from 1 to 16"):
        IntFormat(bits, signed=False)
