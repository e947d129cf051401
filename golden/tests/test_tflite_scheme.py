# SPDX-License-Identifier: Apache-2.0
"""TFLite's fixed-point arithmetic against its definitions in Python's integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.golden import ConfigurationError, DoesNotFitError
from assay.golden.layers import requantise as requantise_module
from assay.golden.layers import tflite as layers
from assay.golden.layers.linear import Convolution, Window, exact_float, sums_of_products
from assay.golden.layers.requantise import Requantiser
from assay.golden.schemes import tflite
from assay.golden.schemes.tflite import Affine, FloatRescale, Rescale

INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIERS = st.one_of(
    st.integers(2**30, 2**31 - 1), st.sampled_from([2**30, 2**30 + 1, 2**31 - 1, 3 * 2**29])
)


def half_away(x: Fraction) -> int:
    """Nearest integer, ties away from zero."""
    whole = math.floor(abs(x) + Fraction(1, 2))
    return whole if x >= 0 else -whole


def half_up(x: Fraction) -> int:
    """Nearest integer, ties towards plus infinity."""
    return math.floor(x + Fraction(1, 2))


def double_rounding(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier for values that do not leave 32 bits: `half_up`, then `half_away`.

    In integers, because fractions take ten times as long.
    """
    high = (x * 2 ** max(shift, 0) * multiplier + 2**30) // 2**31
    step = 2 ** max(-shift, 0)
    whole = (2 * abs(high) + step) // (2 * step)
    return whole if high >= 0 else -whole


@given(INT32, INT32)
@example(-(2**31), -(2**31))
@example(1, 2**30)
@example(-1, 2**30)
@example(-3, 2**30)
def test_doubling_high_product(a, b):
    expected = 2**31 - 1 if a == b == -(2**31) else half_up(Fraction(a * b, 2**31))
    assert tflite.saturating_rounding_doubling_high_mul(a, b) == expected


@given(INT32, st.integers(0, 31))
@example(1, 1)
@example(-1, 1)
@example(-3, 1)
@example(-(2**31), 31)
@example(2**31 - 1, 31)
def test_divide_by_power_of_two(x, exponent):
    assert tflite.rounding_divide_by_pot(x, exponent) == half_away(Fraction(x, 2**exponent))


@given(st.integers(-(2**24), 2**24), MULTIPLIERS, st.integers(-31, 7))
def test_multiply_by_quantized_multiplier(x, multiplier, shift):
    expected = double_rounding(x, multiplier, shift)
    assert tflite.multiply_by_quantized_multiplier(x, multiplier, shift) == expected
    rescale = Rescale(np.array([multiplier]), np.array([shift]))
    assert rescale.apply(np.array([x], np.int64))[0] == expected


def test_double_rounding_is_not_single_rounding():
    """With the factor 1/4 and x = 1: 1/2 rounds to 1 first, and 1/2 again to 1; rounded once, 1/4 gives 0."""
    multiplier, shift = tflite.quantize_multiplier(0.25)
    assert (multiplier, shift) == (2**30, -1)
    assert tflite.multiply_by_quantized_multiplier(1, multiplier, shift) == 1
    assert half_away(Fraction(1, 4)) == 0


@given(st.floats(2**-40, 2**29, exclude_max=True))
@example(0.0)
@example(1.0)
@example(0.5)
@example(1 - 2**-40)  # rounds up to the next power of two
@example(2**-32)
@example(2**-33)
def test_quantize_multiplier_is_nearest(real):
    multiplier, shift = tflite.quantize_multiplier(real)
    if real < 2**-32:
        assert multiplier == 0
        return
    assert 2**30 <= multiplier < 2**31
    error = abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(real))
    assert error <= Fraction(2) ** (shift - 32)


@pytest.mark.parametrize("real", [math.inf, math.nan, 2.0**30, 2.0**100])
def test_quantize_multiplier_refuses(real):
    with pytest.raises(ConfigurationError, match="rescaling factor"):
        tflite.quantize_multiplier(real)


def requantiser(multiplier, shift, zero_point, low, reach, offset=0, high=127) -> Requantiser:
    """Of one channel."""
    rescale = Rescale(np.array([multiplier]), np.array([shift]))
    return Requantiser(
        rescale, np.array([offset]), np.array([reach]), zero_point, low, high, np.dtype(np.int8)
    )


def results(requantise: Requantiser, sums) -> list[int]:
    y = np.empty((len(sums), 1), np.int8)
    requantise.run([(..., np.array(sums, np.float64)[:, None])], y)
    return y[:, 0].tolist()


@given(
    st.lists(st.one_of(st.integers(-(2**24), 2**24), st.integers(-3, 3)), min_size=1, max_size=30),
    MULTIPLIERS,
    st.integers(-31, 4),
    st.sampled_from([-128, 127, 0, 5]),
    st.booleans(),
    st.one_of(st.just(0), st.integers(-(2**24), 2**24), st.integers(-(2**30), 2**30)),
)
@example([-1, 0, 1], 2**30, -1, 0, False, 0)
@example([-1, 0, 1, -2, 2], 2**30, 0, 0, False, 0)
@example([2**24, -(2**24)], 2**31 - 1, -13, -128, False, 0)
@example([-5, 5], 2**30 + 1, -31, 3, True, 2**30)
def test_requantised_sums_equal_fixed_point(values, multiplier, shift, zero_point, relu, offset):
    low = zero_point if relu else -128
    reach = max(map(abs, values))
    # A left shift is one of 32 bits that wrap.
    shifted = [((x + offset << max(shift, 0)) + 2**31) % 2**32 - 2**31 for x in values]
    exact = [min(max(double_rounding(x, multiplier, min(shift, 0)) + zero_point, low), 127) for x in shifted]
    requantise = requantiser(multiplier, shift, zero_point, low, reach, offset)
    assert results(requantise, values) == exact
    assert requantise.define(np.array(values)[:, None])[:, 0].tolist() == exact


@pytest.mark.parametrize("left", range(5))
@pytest.mark.parametrize("edge", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
def test_accumulators_at_the_ends_of_32_bits(left, edge, part):
    """The largest accumulator is one or two from 2**31, after the left shift: beyond it wraps, and floats do not."""
    most = 2 ** (31 - left) + edge
    reach = max(1, round(part * most))
    rng = np.random.default_rng(left)
    for sign in (-1, 1):
        offset = sign * (most - reach)
        values = sorted({sign * reach, sign * reach - sign, -sign * reach, 0})
        wrapped = [(x + offset + 2**31) % 2**32 - 2**31 for x in values]
        shifted = [((x + offset << left) + 2**31) % 2**32 - 2**31 for x in values]
        for multiplier in (2**30, 2**31 - 1, int(rng.integers(2**30, 2**31))):
            for zero_point, low in ((0, -128), (-128, -128), (127, -128), (3, 3)):
                exact = [double_rounding(x, multiplier, 0) + zero_point for x in shifted]
                requantise = requantiser(multiplier, left, zero_point, low, reach, offset)
                assert results(requantise, values) == [min(max(x, low), 127) for x in exact]
                factor = float(np.ldexp(multiplier, -54))
                rescale = FloatRescale(np.array([factor]))
                one = np.array([1])
                real = Requantiser(
                    rescale, offset * one, reach * one, zero_point, low, 127, np.dtype(np.int8)
                )
                exact = [half_away(Fraction(x * factor)) + zero_point for x in wrapped]
                assert results(real, values) == [min(max(x, low), 127) for x in exact]


@pytest.mark.parametrize("shift", range(-16, 1))
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
@pytest.mark.parametrize(("reach", "offset"), [(2**31 - 1, 0), (2**20, 0), (2**20, -12345), (2**19, 2**19)])
def test_requantised_around_every_tie_and_at_the_ends(shift, zero_point, reach, offset):
    rng = np.random.default_rng(-shift)
    ways = set()
    for multiplier in [2**30, 2**31 - 1, *rng.integers(2**30, 2**31, 6).tolist()]:
        factor = Fraction(multiplier, 2 ** (31 - shift))
        ties = [math.floor((n + Fraction(1, 2)) / factor) for n in range(-257, 258)]
        values = {tie + near - offset for tie in ties for near in (-2, -1, 0, 1, 2)} | {-reach, reach}
        values = sorted(v for v in values if abs(v) <= reach)
        requantise = requantiser(multiplier, shift, zero_point, -128, reach, offset)
        ways.add(requantise.way)
        exact = [
            min(max(double_rounding(x + offset, multiplier, shift) + zero_point, -128), 127) for x in values
        ]
        assert results(requantise, values) == exact
    if shift >= -14:
        assert ways == {"folded" if reach <= 2**20 else "apart"}
    else:
        assert "integer" in ways or (zero_point >= 0 and reach <= 2**20)


@pytest.mark.parametrize("shift", [0, -1, -2, -7, -14])
@pytest.mark.parametrize("zero_point", [-125, 0, 126])
@pytest.mark.parametrize("low", [-2, -1, 0, 1])
def test_clamps_beside_the_zero_point(shift, zero_point, low):
    """Where the clamp hides how negative sums are rounded, and where it just does not."""
    for multiplier in (2**30, 2**31 - 1, 1518500249):
        factor = Fraction(multiplier, 2 ** (31 - shift))
        ties = [math.floor((n + Fraction(1, 2)) / factor) for n in range(-4, 4)]
        values = sorted({tie + near for tie in ties for near in range(-3, 4)})
        requantise = requantiser(multiplier, shift, zero_point, zero_point + low, max(map(abs, values)))
        exact = [double_rounding(x, multiplier, shift) for x in values]
        assert results(requantise, values) == [min(max(x + zero_point, zero_point + low), 127) for x in exact]
        rescale = FloatRescale(np.array([float(factor)]))
        real = Requantiser(
            rescale,
            np.array([0]),
            np.array([max(map(abs, values))]),
            zero_point,
            zero_point + low,
            127,
            np.dtype(np.int8),
        )
        exact = [half_away(Fraction(x * float(factor))) for x in values]
        assert results(real, values) == [min(max(x + zero_point, zero_point + low), 127) for x in exact]


@pytest.fixture
def lines_at_once(monkeypatch):
    monkeypatch.setattr(requantise_module, "_SEARCH_AFTER", 1)


def in_line(rescale, offset, reach, zero_point, low) -> Requantiser:
    """A requantiser that has looked for a line, and is compared around all of the definition's steps, and beyond."""
    requantise = Requantiser(rescale, offset, reach, zero_point, low, 127, np.dtype(np.int8))
    line = requantise._line
    if line is None:
        return requantise
    _, first = line._first_sums(requantise)
    near = np.concatenate([first + d for d in range(-3, 4)] + [np.stack([-reach, reach])])
    more = np.random.default_rng(0).integers(-reach, reach, (999, len(reach)), endpoint=True)
    sums = np.clip(np.concatenate([near, more]), -reach, reach)
    for some in (
        sums,
        sums[1:],
    ):  # an even number of them and an odd one: rows are put together by divisors of it
        y = np.empty(some.shape, np.int8)
        requantise.run([(..., some.astype(np.float32))], y)
        assert requantise._line is None
        np.testing.assert_array_equal(y, requantise.define(some))
    return requantise


@pytest.mark.parametrize("low", [-128, 0, "zero point"])
@pytest.mark.parametrize("zero_point", [-128, 127, 3])
@pytest.mark.parametrize("real", [False, True])
def test_lines_of_float32_equal_the_definition(low, zero_point, real, lines_at_once):
    low = zero_point if low == "zero point" else low
    ways, exceptions = set(), 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        channels = int(rng.integers(1, 5))
        factors = np.exp(rng.uniform(np.log(2e-4), np.log(0.6), channels))
        reach = np.minimum((rng.uniform(20, 600, channels) / factors).astype(np.int64) + 1, (1 << 23) - 1)
        offset = (rng.uniform(-1, 1, channels) * rng.choice([0, 100, 4000], channels) / factors).astype(
            np.int64
        )
        offset = np.clip(offset, -(1 << 22), 1 << 22)
        rescale = FloatRescale(factors) if real else Rescale.of(factors)
        requantise = in_line(rescale, offset, reach, zero_point, low)
        ways.add(requantise.way)
        exceptions += len(requantise._plan.exceptions)
    assert "line" in ways or low == 127, "a clamp to one value has no line"
    assert exceptions or real or low > -128 or zero_point == -128, (
        "some lines should be wrong at a sum or two"
    )


def test_a_line_that_is_wrong_is_not_taken(lines_at_once):
    """Steps of 2**23 / 256 sums leave float32 no line; what is found for a slope of 1 is refused for another."""
    one = np.array([1])
    requantise = in_line(Rescale.of(2.0**-15 * 1.37), 0 * one, 3 * 2**22 * one, 3, -128)
    assert requantise.way in ("folded", "apart")
    line = requantise_module._Line(np.array([1.01]), np.array([0.5]), np.array([0.0]))
    exact = Requantiser(Rescale.of(1.0), 0 * one, 300 * one, 0, 0, 127, np.dtype(np.int8))
    assert line.in_float32(exact) is None
    assert exact._line.in_float32(exact) is not None


def test_lines_in_whole_layers(lines_at_once):
    rng = np.random.default_rng(0)
    weight, bias = rng.integers(-127, 128, (24, 3, 3, 5), np.int8), rng.integers(-9999, 9999, 24)
    x = rng.integers(-128, 128, (1, 5, 9, 9, 5), np.int8)
    target = Affine(np.ones(1, np.float32), np.array([-128]), None, np.dtype(np.int8))
    window = Window((3, 3), padding=(1, 1, 1, 1))
    factors = rng.uniform(1e-3, 4e-3, 24)
    for activation in ("NONE", "RELU"):
        layer = layers.Conv2D(Convolution(weight, bias, window, -3), Rescale.of(factors), target, activation)
        first, again = layer(x), layer(x)
        assert layer._requantiser.way == "line"
        exact = layer._requantiser.define(layer.convolution.sums(x[0]) - layer.convolution.offset)
        np.testing.assert_array_equal(first[0], exact)
        np.testing.assert_array_equal(again[0], exact)


def convolved(x: int, multiplier: int, shift: int, zero_point: int) -> int:
    """What a convolution makes of the sum x."""
    convolution = Convolution(np.zeros((1, 1, 1, 1), np.int8), np.array([x]), Window((1, 1)))
    target = Affine(np.ones(1, np.float32), np.array([zero_point]), None, np.dtype(np.int8))
    layer = layers.Conv2D(convolution, Rescale(np.array([multiplier]), np.array([shift])), target)
    return int(layer(np.zeros((1, 1, 1, 1, 1), np.int8)).item())


@pytest.mark.parametrize(
    ("x", "multiplier", "shift", "zero_point", "exact"),
    [
        (4812869, 2141969779, -15, -128, 18),
        (6483639, 1503179001, -15, -128, 10),
        (8981881, 1461138231, -15, -100, 86),
        (-12610323, 1381111579, -15, 127, -121),
        (-9880055, 1705791431, -15, 127, -113),
        (16988071, 1470496745, -16, -128, 49),
        (-12747413, 1484943738, -16, 127, -8),
        (41475179, 1554128762, -18, -128, -14),
        (-20809167, 1636705165, -18, 127, 66),
    ],
)
def test_products_beyond_float64_are_exact(x, multiplier, shift, zero_point, exact):
    """The product has 54 bits or more, and lies within one of a tie: float64 is wrong by one, and is not asked.

    At shift -14 such a product saturates whatever its last bit is, from -15 on it does not.
    """
    assert exact == double_rounding(x, multiplier, shift) + zero_point
    assert convolved(x, multiplier, shift, zero_point) == exact
    requantise = requantiser(multiplier, shift, zero_point, -128, abs(x))
    assert requantise.way == "integer"
    assert results(requantise, [x]) == [exact]
    half, below = np.ldexp(1.0, shift - 1), np.ldexp(1.0, shift) * (x < 0)
    in_floats = x * np.ldexp(float(multiplier), shift - 31) + (half + 0.5 + zero_point) - below
    assert math.floor(in_floats) == exact + 1


@given(st.lists(INT32, min_size=1, max_size=20), st.floats(1e-6, 0.4))
def test_float_rescale_rounds_the_float64_product_half_away(values, factor):
    expected = [half_away(Fraction(x * factor)) for x in values]
    assert FloatRescale(np.array([factor])).apply(np.array(values)).tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_half_away_at_the_edges(dtype):
    below = np.nextafter(dtype(0.5), dtype(0))
    x = np.array([0.5, -0.5, 1.5, -2.5, below, -below, 2.0 ** (np.finfo(dtype).nmant), 0.0], dtype)
    expected = [half_away(Fraction(float(v))) for v in x]
    assert tflite.round_half_away(x).tolist() == expected


def form(scale, zero_point, dtype=np.int8):
    return Affine(np.array([scale]), np.array([zero_point]), None, np.dtype(dtype))


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "expected"),
    [
        ("NONE", 0.1, 5, (-128, 127)),
        ("RELU", 0.1, -128, (-128, 127)),
        ("RELU", 0.1, 127, (127, 127)),
        ("RELU6", 0.1, -128, (-128, -68)),
        ("RELU6", 4.0, 0, (0, 2)),  # 1.5 steps: a tie goes away from zero
        ("RELU6", 1e-3, 0, (0, 127)),
        ("RELU_N1_TO_1", 2.0, 0, (-1, 1)),
        ("RELU_N1_TO_1", 0.01, -100, (-128, 0)),
    ],
)
def test_activation_range(activation, scale, zero_point, expected):
    assert tflite.activation_range(activation, form(scale, zero_point)) == expected


def test_activation_range_refuses():
    with pytest.raises(ConfigurationError, match="fused activation is TANH"):
        tflite.activation_range("TANH", form(0.1, 0))
    with pytest.raises(ConfigurationError, match="within 32 bits"):
        tflite.activation_range("RELU6", form(1e-30, 0))


@pytest.mark.parametrize(
    ("scale", "zero_point", "message"),
    [
        ([0.0], [0], "scale is 0.0"),
        ([-1.0], [0], "scale is -1.0"),
        ([math.nan], [0], "scale is nan"),
        ([1.0], [128], "zero_point is 128, but int8 allows -128 to 127"),
        ([1.0, 2.0], [0], "both must be one list"),
        ([], [], "both must be one list"),
    ],
)
def test_affine_refuses(scale, zero_point, message):
    with pytest.raises(ConfigurationError, match=message):
        Affine(np.array(scale), np.array(zero_point, int), None, np.dtype(np.int8))


@given(st.integers(-(10**6), 10**6), st.integers(1, 400))
@example(-3, 2)
@example(3, 2)
def test_average_rounds_half_away(total, count):
    assert tflite.divide_half_away(np.array(total), count) == half_away(Fraction(total, count))


def test_exponential_is_close_to_the_real_one():
    raw = -np.unique(np.concatenate([np.arange(2000), np.geomspace(1, 2**31 - 1, 4000).astype(np.int64)]))
    seen = tflite.exp_on_negative_values(raw) / 2.0**31
    assert np.abs(seen - np.exp(raw / 2.0**26)).max() < 3e-7


def test_reciprocal_is_close_to_the_real_one():
    raw = np.linspace(0, 2**31 - 1, 5000).astype(np.int64)
    seen = tflite.one_over_one_plus_x(raw) / 2.0**31
    assert np.abs(seen - 1 / (1 + raw / 2.0**31)).max() < 2e-8


def test_exact_float_has_its_edges_where_the_formats_have():
    """The first integer each format lacks is 2**p + 1; the bound must stop below 2**p."""
    assert exact_float(2**24 - 1) is np.float32
    assert exact_float(2**24) is np.float64
    assert np.float32(2**24 - 1) + np.float32(1) - np.float32(1) == 2**24 - 1
    assert np.float32(2**24) + np.float32(1) == 2**24  # where float32 would begin to lose
    assert exact_float(2**53 - 1) is np.float64
    with pytest.raises(DoesNotFitError, match="must stay below 2\\*\\*53"):
        exact_float(2**53)


@pytest.mark.parametrize("last", [0, 1, 2])
def test_convolution_at_the_edge_of_float32(last):
    """1032 weights of 127 and one more stay just below 2**24 / 128; one or two more on that weight reach it."""
    count = 2**24 // (127 * 128)
    rest = (2**24 - 1 - count * 127 * 128) // 128
    weight = np.full(count + 1, 127)
    weight[-1] = rest + last
    conv = Convolution(weight[None, None, None, :], np.array([127 * last]), Window((1, 1)))
    assert conv.dtype is (np.float32 if conv.bound < 2**24 else np.float64)
    assert (conv.bound < 2**24) == (last == 0)
    for value in (-128, 127, -127):
        x = np.full((1, 1, 1, count + 1), value)
        assert conv.sums(x)[0, 0, 0, 0] == int(weight.sum()) * value + 127 * last


@pytest.mark.parametrize("seed", range(30))
def test_convolution_equals_loops(seed):
    rng = np.random.default_rng(seed)
    groups, depth, per_group = rng.integers(1, 4, 3)
    window = Window(
        tuple(rng.integers(1, 4, 2).tolist()),
        tuple(rng.integers(1, 4, 2).tolist()),
        tuple(rng.integers(1, 3, 2).tolist()),
        tuple(rng.integers(0, 3, 4).tolist()),
    )
    x = rng.integers(-128, 128, (2, 6, 7, groups * depth))
    weight = rng.integers(-127, 128, (groups * per_group, *window.kernel, depth))
    bias, zero_point = rng.integers(-1000, 1000, groups * per_group), int(rng.integers(-128, 128))
    seen = Convolution(weight, bias, window, zero_point, int(groups)).sums(x)
    for m, i, j, k in np.ndindex(seen.shape):
        total = int(bias[k])
        for fy, fx, c in np.ndindex(*window.kernel, depth):
            row = i * window.stride[0] + fy * window.dilation[0] - window.padding[0]
            column = j * window.stride[1] + fx * window.dilation[1] - window.padding[1]
            if 0 <= row < 6 and 0 <= column < 7:
                value = int(x[m, row, column, k // per_group * depth + c])
                total += int(weight[k, fy, fx, c]) * (value - zero_point)
        assert seen[m, i, j, k] == total


def test_large_maps_are_multiplied_in_blocks():
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (3, 90, 80, 20))
    weight = rng.integers(-127, 128, (5, 3, 3, 20))
    conv = Convolution(weight, np.arange(5), Window((3, 3), padding=(1, 1, 1, 1)), 7)
    assert len(list(conv.blocks(x))) > 3
    padded = np.pad(x - 7, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    np.testing.assert_array_equal(
        conv.sums(x), np.einsum("mijcyx,kyxc->mijk", windows, weight) + np.arange(5)
    )


def test_window_larger_than_the_map_is_refused():
    with pytest.raises(ConfigurationError, match="kernel spans 5x3, but the padded map is 4x9"):
        Window((3, 3), dilation=(2, 1)).output_size((4, 9))


def test_sums_of_products_broadcast_and_refuse():
    a, b = np.full((2, 1, 3, 4), -255), np.full((5, 4, 2), 255)
    np.testing.assert_array_equal(sums_of_products(a, b, 255 * 255), np.full((2, 5, 3, 2), -4 * 255 * 255))
    with pytest.raises(DoesNotFitError):
        sums_of_products(a, b, 2**51)


@pytest.mark.parametrize("bits", [8, 15, 16])
def test_softmax_shares_of_small_sums(bits):
    """Sums that leave few bits of the reciprocal to be dropped: two roundings, one after the other, in integers."""
    for scale in (1 << 12, 1 << 14, 1 << 16, 1 << 17, 1 << 18, 1 << 19, 1 << 22, 1 << 30):
        exponentials = np.array([[scale, scale // 3, 1, 0, scale - 1]], np.int64)
        total = sum((int(e) + (1 << 11)) >> 12 for e in exponentials[0])
        inverse, headroom = (int(v) for v in tflite.reciprocal(np.array(total)))
        right = min(12 - headroom + 31 - bits, 31)
        if right < 0:
            continue  # fewer bits than a share has
        shares = []
        for exponential in exponentials[0].tolist():
            product = (exponential * inverse + (1 << 30)) >> 31
            shares.append(min((product + (1 << right >> 1)) >> right, (1 << bits) - 1))
        assert tflite.softmax_shares(exponentials, bits)[0].tolist() == shares
