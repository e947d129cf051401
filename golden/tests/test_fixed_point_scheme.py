# SPDX-License-Identifier: Apache-2.0
"""The fixed-point ONNX scheme's numbers against Python's integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.golden import ConfigurationError, DoesNotFitError, ModelFormatError
from assay.golden.layers import fixed_point as layers
from assay.golden.schemes import fixed_point
from assay.golden.schemes.fixed_point import (
    FEATURE_MAP,
    INPUT,
    LIMITS,
    MAX_ACCUMULATOR,
    Activation,
    Coherence,
    WeightScale,
    integers_of,
    power_of_two,
    rescale,
)

ALL = np.arange(-128, 128).astype(np.int8)


def half_away(x: Fraction) -> int:
    """Nearest integer, ties away from zero, from the definition of a tie."""
    low = math.floor(x)
    if x - low == Fraction(1, 2):
        return low + 1 if x > 0 else low
    return low if x - low < Fraction(1, 2) else low + 1


def saturated(x: Fraction) -> int:
    return min(max(half_away(x), -128), 127)


@given(
    st.one_of(st.integers(-MAX_ACCUMULATOR, MAX_ACCUMULATOR), st.integers(-600, 600)),
    st.one_of(st.integers(-60, 60), st.integers(-400, 400)),
    st.integers(1, 255),
)
@example(1, -1, 1)
@example(-1, -1, 1)
@example(3, -1, 1)
@example(-3, -1, 1)
@example(MAX_ACCUMULATOR, -37, 1)
@example(-MAX_ACCUMULATOR, -37, 1)
@example(MAX_ACCUMULATOR, 400, 255)
@example(MAX_ACCUMULATOR, -400, 255)
@example(-MAX_ACCUMULATOR, -46, 1)
@example(MAX_ACCUMULATOR, -45, 1)  # the tie 1/2
@example(1, 16, 255)
@example(1, 17, 255)
@example(-1, 15, 255)
def test_rescale(x, shift, divisor):
    assert rescale(np.array(x), shift, divisor) == saturated(Fraction(x) * Fraction(2) ** shift / divisor)


@pytest.mark.parametrize("divisor", [2, 4, 6, 10, 254])
def test_every_tie_of_a_divisor(divisor):
    """x / divisor for all x around the ends: every tie goes away from zero, everything else to the nearest."""
    x = np.arange(-130 * divisor, 130 * divisor + 1)
    assert rescale(x, 0, divisor).tolist() == [saturated(Fraction(int(v), divisor)) for v in x]


def test_rescale_by_channel():
    x = np.array([[7, 7, 7], [-7, -7, -7]])
    assert rescale(x, np.array([-1, 0, 1]), np.array([1, 2, 3])).tolist() == [[4, 4, 5], [-4, -4, -5]]


def test_saturation_ends():
    assert rescale(np.array([127, 128, -128, -129]), 0).tolist() == [127, 127, -128, -128]
    assert rescale(np.array([255, 254, -257, -256]), -1).tolist() == [127, 127, -128, -128]


def test_accumulator_is_bounded():
    fixed_point.check_accumulator(MAX_ACCUMULATOR)
    with pytest.raises(DoesNotFitError, match=r"can reach 17592186044417, but must stay within 2\*\*44"):
        fixed_point.check_accumulator(MAX_ACCUMULATOR + 1)
    with pytest.raises(DoesNotFitError, match="a sum can reach"):
        layers.MatMul((0, 0), 0, (MAX_ACCUMULATOR >> 14) + 1)


# Scales.


@given(st.integers(-126, 127))
def test_powers_of_two(n):
    assert power_of_two(2.0**n) == n
    assert Activation(n).value == Fraction(2) ** n == Fraction(Activation(n).scale)
    assert power_of_two(2.0**n * 1.5) is None
    assert power_of_two(math.nextafter(2.0**n, 0)) is None


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, -math.inf, math.nan, 2.0**128, 2.0**-127, 3.0])
def test_no_powers_of_two(value):
    assert power_of_two(value) is None


def nearest_float32(x: Fraction) -> float:
    """Round to 24 significant bits, ties to even, by integers."""
    exponent = math.floor(math.log2(x)) - 23
    while x / Fraction(2) ** exponent >= 1 << 24:
        exponent += 1
    while x / Fraction(2) ** exponent < 1 << 23:
        exponent -= 1
    return math.ldexp(round(x / Fraction(2) ** exponent), exponent)


@given(st.integers(-110, 120), st.integers(1, 255))
def test_weight_scales_are_found(n, a):
    scale = WeightScale(n, a)
    assert scale.value == Fraction(2) ** n / a
    assert scale.divisor % 2 == 1
    assert scale.float32 == nearest_float32(scale.value)
    assert WeightScale.of(scale.float32) == scale
    assert WeightScale.of(2.0**n / a) == scale


def test_weight_scales_are_distinct():
    """All quotients of one binade have different float32s, neighbours of which are none."""
    scales = {WeightScale(8, a).float32 for a in range(129, 256)} | {
        WeightScale(8, a).float32 for a in range(1, 129)
    }
    assert len(scales) == 255
    for value in scales:
        assert WeightScale.of(np.nextafter(np.float32(value), np.float32(9e9))) is None
        assert WeightScale.of(np.nextafter(np.float32(value), np.float32(0))) is None


@pytest.mark.parametrize("value", [0.0, -0.5, math.nan, math.inf, 1e-45, 2.0**128, 1 / 257, 1 / 511, 0.3])
def test_no_weight_scales(value):
    assert WeightScale.of(value) is None


@pytest.mark.parametrize(("n", "a"), [(0, 0), (0, 256), (0, -1), (-126, 3), (128, 1), (500, 1), (-500, 255)])
def test_weight_scale_refuses(n, a):
    with pytest.raises(ConfigurationError, match="must be"):
        WeightScale(n, a)


@given(st.floats(2.0**-100, 2.0**100))
@example(0.0123)
@example(1.0)
@example(1 / 254.5)
def test_nearest_weight_scale(value):
    target = Fraction(value)
    base = math.frexp(value)[1]
    errors = [
        abs(Fraction(2) ** n / a - target) for a in range(1, 256, 2) for n in range(base - 2, base + 10)
    ]
    assert abs(WeightScale.nearest(value).value - target) == min(errors)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_nearest_refuses(value):
    with pytest.raises(ConfigurationError, match="must be finite and above 0"):
        WeightScale.nearest(value)


def test_activation_refuses():
    with pytest.raises(ConfigurationError, match=r"scale is 2\*\*128, but must be 2\*\*-126 to 2\*\*127"):
        Activation(128)


@given(st.integers(-128, 127), st.integers(-60, 60), st.integers(1, 255))
def test_stored_weights_come_back(q, n, a):
    """The guide's PyTorch way: scale and product each rounded to float32."""
    scale = WeightScale(n, a)
    stored = np.array([np.float32(scale.float32) * np.float32(q)], np.float32)
    assert integers_of(stored, np.array([float(scale.value)]), 8, "weights").tolist() == [q]


@pytest.mark.parametrize("value", [128.0, -129.0, 0.5, 1.00001, math.nan, math.inf, 1e30, 1e-9])
def test_no_stored_weight(value):
    with pytest.raises(ModelFormatError, match=r"weights holds .*but must be"):
        integers_of(np.array([[0.0, value * 0.25]]), np.float64(0.25), 8, "weights")


# Stepwise linear functions.


def test_plan_by_its_published_table():
    """Amin et al., table 1, in eighths and thirty-seconds; and the bounds the docstrings give."""
    f = fixed_point.plan_sigmoid
    assert [f(Fraction(x)) for x in (0, 1, 2, 3, 4, 5, 9)] == [
        Fraction(1, 2), Fraction(3, 4), Fraction(7, 8), Fraction(30, 32), Fraction(31, 32), 1, 1,
    ]  # fmt: skip
    assert f(Fraction(19, 8)) == Fraction(19, 256) + Fraction(27, 32)
    assert all(f(-x) == 1 - f(x) for x in (Fraction(k, 16) for k in range(-100, 100)))
    xs = [k / 512 for k in range(-5000, 5000)]
    assert max(abs(float(f(Fraction(x))) - 1 / (1 + math.exp(-x))) for x in xs) < 0.0190
    tanh = fixed_point.plan_tanh
    assert max(abs(float(tanh(Fraction(x))) - math.tanh(x)) for x in xs) < 0.0380


def test_hard_swish_chords():
    f = fixed_point.hard_swish_chords
    for k in range(-20, 21):
        x = Fraction(k, 2)
        assert f(x) == x * min(max(x + 3, 0), 6) / 6
    worst = max(
        abs(f(x) - x * min(max(x + 3, 0), 6) / 6) for x in (Fraction(k, 64) for k in range(-300, 300))
    )
    assert worst == Fraction(1, 96)


@pytest.mark.parametrize("name", layers.STEPWISE)
@pytest.mark.parametrize(("source", "target"), [(-4, -7), (-5, -5), (-3, -8), (-126, 127), (127, -126)])
def test_stepwise_tables(name, source, target):
    seen = layers.Stepwise(name, source, target)(ALL[None])[0]
    function = layers.STEPWISE[name]
    exact = [saturated(function(int(x) * Fraction(2) ** source) / Fraction(2) ** target) for x in ALL]
    assert seen.tolist() == exact


# Operators of one or two values, over all of them.


@pytest.mark.parametrize("slope", [0.01, 0.5, -0.5, 0.25, 1.0, 3.0, 0.0, 1e-45, 1e38, -1e38, 2.0**-7])
def test_slopes(slope):
    exact = Fraction(float(np.float32(slope)))
    expected = [int(x) if x >= 0 else saturated(exact * int(x)) for x in ALL]
    assert layers.LeakyRelu(float(np.float32(slope)))(ALL[None])[0].tolist() == expected
    prelu = layers.PRelu(np.array([[[slope]], [[0.5]]], np.float32))
    maps = np.broadcast_to(ALL.reshape(1, 1, 1, 16, 16), (1, 1, 2, 16, 16))
    seen = prelu(maps)[0, 0].reshape(2, -1)
    assert seen[0].tolist() == expected
    assert seen[1].tolist() == [int(x) if x >= 0 else saturated(Fraction(int(x), 2)) for x in ALL]


EXPONENTS = [((0, 0), 0), ((-1, 0), 0), ((-7, -4), -5), ((0, -1), 1), ((127, -126), 0), ((-126, 127), 120)]


@pytest.mark.parametrize(("sources", "target"), EXPONENTS)
def test_add_and_div_of_all_pairs(sources, target):
    a, b = ALL[::3], ALL[::5]
    units = [Fraction(2) ** e for e in (*sources, target)]
    sums = layers.add(sources, target)(a[None, :, None], b[None, None, :])[0]
    quotients = layers.div(sources, target)(a[None, :, None], b[None, None, :])[0]
    for i, x in enumerate(a.tolist()):
        for j, y in enumerate(b.tolist()):
            assert sums[i, j] == saturated((x * units[0] + y * units[1]) / units[2])
            if y:
                assert quotients[i, j] == saturated(x * units[0] / (y * units[1] * units[2]))


def test_division_by_zero_saturates():
    x = np.array([[-128, -1, 0, 1, 127]], np.int8)
    assert layers.div((0, 0), 5)(x, np.zeros_like(x)).tolist() == [[-128, -128, 0, 127, 127]]
    assert layers.div((0, 0), 0)(np.array([[-128]], np.int8), np.array([[-1]], np.int8)).tolist() == [[127]]


def test_sum_ties():
    ties = layers.add((-1, -1), 0)
    assert ties(np.array([[0, 0, 1, -1, 2]], np.int8), np.array([[1, -1, 2, -2, 3]], np.int8)).tolist() == [
        [1, -1, 2, -2, 3]
    ]


# Limits.


@pytest.mark.parametrize(
    ("kind", "kernel", "stride", "padding", "message"),
    [
        (
            "Conv",
            (8, 1),
            (1, 1),
            (0, 0, 0, 0),
            r"attribute kernel_shape is \[8, 1\], but must be 1x1 to 7x7$",
        ),
        ("Conv", (3, 3), (3, 1), (0, 0, 0, 0), r"attribute strides is \[3, 1\], but each must be 1 or 2"),
        ("Conv", (3, 3), (1, 1), (0, 4, 0, 0), r"attribute pads is \[0, 4, 0, 0\], but left must be 0 to 3"),
        ("Conv", (3, 3), (1, 1), (0, 0, -1, 0), r"but bottom must be 0 to 3"),
        ("depthwise Conv", (1, 9), (1, 1), (0, 0, 0, 0), r"must be 1x1 to 7x7"),
        ("MaxPool", (4, 4), (1, 1), (0, 0, 0, 0), r"must be 2x2 to 3x3 and square"),
        ("MaxPool", (2, 3), (1, 1), (0, 0, 0, 0), r"must be 2x2 to 3x3 and square"),
        ("MaxPool", (2, 2), (1, 1), (1, 0, 0, 0), r"top must be 0, as only bottom and right may be padded"),
        ("MaxPool", (2, 2), (4, 4), (0, 0, 0, 0), r"each must be 1 or 2"),
        ("AveragePool", (1, 1), (1, 1), (0, 0, 0, 0), r"must be 2x2 to 7x7 and square"),
        ("AveragePool", (2, 2), (1, 1), (0, 0, 0, 1), r"right must be 0, as only top and left may be padded"),
        ("GlobalAveragePool", (8, 8), (1, 1), (0, 0, 0, 0), r"must be 2x2 to 7x7 and square"),
    ],
)
def test_windows(kind, kernel, stride, padding, message):
    LIMITS[kind].check_window((3, 3), (1, 1), (0, 0, 0, 0))
    with pytest.raises(ConfigurationError, match=message):
        LIMITS[kind].check_window(kernel, stride, padding)


def test_maps():
    LIMITS["Conv"].check_map(2048, 512, 1)
    LIMITS["depthwise Conv"].check_map(16, 4, 4)
    INPUT.check("input", 512, 512, 512)
    FEATURE_MAP.check("map", 2048, 256, 256)
    for check, sizes, message in (
        (LIMITS["Conv"].check_map, (2049, 1, 1), "2049 channels, but must have 1 to 2048"),
        (LIMITS["Conv"].check_map, (16, 513, 1), "513x1, but must be 1x1 to 512x512"),
        (LIMITS["depthwise Conv"].check_map, (16, 3, 8), "3x8, but must be 4x4 to 512x512"),
        (lambda *s: INPUT.check("input", *s), (513, 1, 1), "513 channels, but must have 1 to 512"),
        (lambda *s: FEATURE_MAP.check("map", *s), (24, 1, 1), "16 to 2048 in multiples of 16"),
        (lambda *s: FEATURE_MAP.check("map", *s), (16, 257, 1), "257x1, but must be 1x1 to 256x256"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            check(*sizes)
    with pytest.raises(ConfigurationError, match="2049 channels"):
        LIMITS["Gemm"].check_channels("the input", 2049)


# Coherence.


def test_coherent_scales():
    scales = Coherence()
    scales.join("a", "b")
    scales.join("b", "c")
    scales.claim("c", -3, "node 'n' (Conv): attribute input_scale")
    scales.claim("a", -3, "node 'm' (Conv): attribute output_scale")
    scales.claim("d", 5, "node 'm' (Conv): attribute input_scale")
    scales.join("e", "f")
    assert scales.resolve() == {"a": -3, "b": -3, "c": -3, "d": 5}


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (
            "c",
            r"^second is 0\.25 for tensor 'c', but must be 0\.5 as first says: a tensor has one scale wherever",
        ),
        ("a", r"^second is 0\.25 for tensor 'a', .*: the operators from tensor 'c' to 'a' keep the scale$"),
    ],
)
def test_incoherent_scales(tensor, message):
    scales = Coherence()
    scales.join("a", "c")
    scales.claim("c", -1, "first")
    scales.claim(tensor, -2, "second")
    with pytest.raises(ModelFormatError, match=message):
        scales.resolve()
