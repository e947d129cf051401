# SPDX-License-Identifier: Apache-2.0
"""QONNX's quantisers against exact fractions, with each float32 rounding done in Python integers, and against qonnx."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.golden import ConfigurationError
from assay.golden.schemes.qonnx import ROUNDINGS, BipolarQuant, MultiThreshold, Quant, Trunc
from assay.golden.tests.float32 import float32, fraction

MODES = sorted(ROUNDINGS)
HALF = Fraction(1, 2)


def away(x: Fraction, rule) -> Fraction:
    """`rule` of the magnitude, with x's sign."""
    return Fraction(rule(abs(x)) * (1 if x > 0 else -1 if x < 0 else 0))


ROUND = {
    "ROUND": round,
    "HALF_EVEN": round,
    "CEIL": math.ceil,
    "FLOOR": math.floor,
    "UP": lambda x: away(x, math.ceil),
    "DOWN": math.trunc,
    "ROUND_TO_ZERO": math.trunc,
    # The sum with one half is a float32 number, see the scheme's head.
    "HALF_UP": lambda x: away(x, lambda m: math.floor(float32(m + HALF))),
    "HALF_DOWN": lambda x: away(x, lambda m: math.ceil(float32(m - HALF))),
}


def limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if signed and bits == 1:
        return -1, 1
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def clip(x: Fraction, ends: tuple[int, int]) -> Fraction:
    low, high = (float32(Fraction(end)) for end in ends)
    return min(max(x, low), high)


def quant(x, scale, zero, bits, signed, narrow, mode) -> Fraction:
    steps = float32(float32(x / scale) + zero)
    if signed and bits == 1:
        q = Fraction(1 if steps >= 0 else -1)
    else:
        q = Fraction(ROUND[mode](clip(steps, limits(bits, signed, narrow))))
    return float32(float32(q - zero) * scale)


def normal(low: float, high: float):
    return st.floats(np.float32(low).item(), np.float32(high).item(), width=32)


SCALES = normal(1e-3, 100) | st.integers(-8, 4).map(lambda e: 2.0**e)
VALUES = normal(1e-3, 1e4) | normal(1e-3, 1e4).map(lambda x: -x) | st.just(0.0)
ZEROS = st.just(0.0) | st.integers(-300, 300).map(float)


@st.composite
def cases(draw):
    """Values in general, and values at ties and ends: a multiple of half a step."""
    scale, zero, bits = draw(SCALES), draw(ZEROS), draw(st.integers(1, 32))
    if draw(st.booleans()):
        return draw(VALUES), scale, zero, bits
    steps = draw(st.integers(-600, 600)) if bits > 10 else draw(st.integers(-(2**bits) - 3, 2**bits + 3))
    x = float(np.float32(steps) / np.float32(2) * np.float32(scale))
    return x, scale, zero, bits


@settings(max_examples=600)
@given(cases(), st.booleans(), st.booleans(), st.sampled_from(MODES))
@example((0.5 - 2.0**-25, 1.0, 0.0, 4), True, False, "HALF_UP")  # goes to 1
@example((-0.5, 1.0, 0.0, 4), True, False, "HALF_DOWN")
@example((0.0, 1.0, 0.0, 1), True, True, "ROUND")
@example((9e9, 1.0, 0.0, 32), False, False, "ROUND")  # saturates at 2**32, as 2**32 - 1 is no float32 number
def test_quant_is_the_definition(case, signed, narrow, mode):
    x, scale, zero, bits = case
    made = Quant(np.float32(scale), np.float32(zero), bits, signed, narrow, mode)
    seen = made(np.array([x], np.float32))
    assert seen.dtype == np.float32
    expected = quant(fraction(np.float32(x)), fraction(scale), fraction(zero), bits, signed, narrow, mode)
    assert fraction(seen[0]) == expected, made


@given(VALUES, SCALES)
def test_bipolar_quant_is_the_definition(x, scale):
    for quantiser in (BipolarQuant(np.float32(scale)), Quant(np.float32(scale), np.float32(0), 1)):
        assert quantiser(np.array([x], np.float32))[0] == (
            np.float32(scale) if x >= 0 else -np.float32(scale)
        )


@settings(max_examples=400)
@given(
    st.integers(-(2**15), 2**15), SCALES, st.integers(-64, 64), st.integers(1, 16), st.integers(0, 12), st.booleans(),
    st.booleans(), st.sampled_from(MODES),
)  # fmt: skip
def test_trunc_is_the_definition(step, scale, zero, bits, dropped, signed, narrow, mode):
    scale, zero = fraction(np.float32(scale)), Fraction(zero)
    x = float32(step * scale)
    at = np.array([float(x)], np.float32)
    whole = round(float32(float32(x / scale) + zero))
    # Version 1 keeps the scale.
    q = ROUND[mode](float32(Fraction(whole, 2**dropped)))
    seen = Trunc(np.float32(scale), np.float32(zero), bits + dropped, bits, mode=mode)(at)
    assert fraction(seen[0]) == float32(float32(q - zero) * scale)
    # Version 2 has its own.
    output_scale = scale * 2**dropped
    trunc = Trunc(
        np.float32(scale), np.float32(zero), bits + dropped, bits, np.float32(output_scale), signed, narrow, mode
    )  # fmt: skip
    low, high = (0, 2**bits - 1 - narrow) if not signed else (narrow - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
    q = ROUND[mode](clip(float32(Fraction(whole, 2**dropped)), (low, high)))
    expected = float32(float32(q - Fraction(zero, 2**dropped)) * output_scale)
    assert trunc.divisor == 2**dropped and trunc.limits == (low, high)
    assert fraction(trunc(at)[0]) == expected


@pytest.mark.parametrize(
    "ratio, divisor", [(1.0, 1), (1.41, 1), (1.42, 2), (0.71, 1), (0.70, 0.5), (3.9, 4), (96.0, 128)]
)
def test_trunc_divides_by_the_nearest_power_of_two(ratio, divisor):
    """Nearest on the logarithm's axis: the border is the square root of two."""
    assert Trunc(np.float32(1), np.float32(0), 8, 4, np.float32(ratio)).divisor == divisor


def test_multi_threshold_counts():
    thresholds = np.array([[-1, 0, 0.5], [2, 2, 3]], np.float32)
    x = np.array([[[-2, -1, 0, 0.5, 9], [1.9, 2, 2.5, 3, -9]]], np.float32)[None]
    y = MultiThreshold(thresholds, 0.5, -1.0)(x)
    np.testing.assert_array_equal(y[0, 0], np.array([[0, 1, 2, 3, 3], [0, 2, 2, 3, 0]]) * 0.5 - 1)
    last = MultiThreshold(thresholds, 0.5, -1.0, axis=2)(x.swapaxes(2, 3))
    np.testing.assert_array_equal(last.swapaxes(2, 3), y)


ENDS = np.array([0.0, -0.0, 1e-38, 3e38, -3e38, 0.5 - 2.0**-25, 2.0**24, 2.0**31, 2.0**32], np.float32)


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "ROUND_TO_ZERO"])  # Brevitas's name alone
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 16, 23, 24, 25, 31, 32])
def test_quant_is_qonnx(bits, mode):
    """All bits of the result, signs of zeros included; per tensor and per channel."""
    pytest.importorskip("qonnx", reason="qonnx is missing: pip install qonnx")
    from qonnx.custom_op.general.intquant import int_quant

    rng = np.random.default_rng(bits)
    for signed in (0, 1):
        for narrow in (0, 1):
            for shape in ((), (1,), (3, 1, 1)):
                scale = np.exp(rng.uniform(-6, 3, shape)).astype(np.float32)
                zero = np.float32(rng.choice([0, 1, -7, 128])) * np.ones(shape, np.float32)
                x = (rng.standard_normal((2, 3, 5, 40)) * 2.0 ** min(bits, 20)).astype(np.float32)
                x[0] = np.round(x[0]) / 2
                x[1, :, 0, : ENDS.size] = ENDS
                with np.errstate(all="ignore"):
                    x = x * scale
                    expected = int_quant(x, scale, zero, np.array(bits, np.float32), signed, narrow, mode)
                seen = Quant(scale, zero, bits, bool(signed), bool(narrow), mode)(x)
                assert seen.dtype == np.float32
                assert seen.tobytes() == expected.astype(np.float32).tobytes()


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "ROUND_TO_ZERO"])
def test_trunc_is_qonnx(mode):
    pytest.importorskip("qonnx", reason="qonnx is missing: pip install qonnx")
    from qonnx.custom_op.general.trunc import trunc_v1, trunc_v2

    rng = np.random.default_rng(0)
    for bits in range(1, 17):
        dropped, zero = int(rng.integers(0, 9)), np.float32(rng.choice([0, 3, -128]))
        scale = np.exp(rng.uniform(-6, 3, (3, 1))).astype(np.float32)
        output_scale = (scale * np.float32(2.0**dropped * rng.choice([1, 1.1]))).astype(np.float32)
        x = (
            rng.integers(-(2 ** (bits + dropped)), 2 ** (bits + dropped), (2, 3, 50)).astype(np.float32)
            * scale
        )
        widths = np.array(bits + dropped, np.float32), np.array(bits, np.float32)
        seen = Trunc(scale, zero, bits + dropped, bits, mode=mode)(x)
        assert seen.tobytes() == trunc_v1(x, scale, zero, *widths, mode).tobytes()
        for signed in (0, 1):
            for narrow in (0, 1):
                theirs = trunc_v2(x, scale, zero, widths[0], narrow, signed, output_scale, widths[1], mode)
                seen = Trunc(
                    scale, zero, bits + dropped, bits, output_scale, bool(signed), bool(narrow), mode
                )(x)
                assert seen.dtype == np.float32
                assert seen.tobytes() == theirs.tobytes()


def test_integers_times_a_power_of_two_are_exact():
    """What the exactness of sums rests on: y is q * scale with nothing rounded."""
    for bits in range(2, 24):
        quantiser = Quant(np.float32(2.0**-7), np.float32(0), bits)
        x = np.linspace(-(2.0**bits), 2.0**bits, 999, dtype=np.float32) * np.float32(2.0**-7)
        q = quantiser.integers(x).astype(np.int64)
        assert q.min() == -(2 ** (bits - 1)) and q.max() == 2 ** (bits - 1) - 1
        np.testing.assert_array_equal(quantiser(x).astype(np.float64), q * 2.0**-7)


ONE, NONE = np.float32(1), np.float32(0)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: Quant(ONE, NONE, 0), "bit width is 0, but must be a whole number from 1 to 32"),
        (lambda: Quant(ONE, NONE, 33), "bit width is 33"),
        (lambda: Quant(ONE, NONE, 2.5), "bit width is 2.5"),
        (lambda: Quant(ONE, NONE, math.nan), "bit width is nan"),
        (lambda: Quant(NONE, NONE, 8), "scale is 0.0, but must be finite and above 0"),
        (lambda: Quant(np.array([1, np.nan]), NONE, 8), "scale is nan"),
        (lambda: Quant(np.float32(-1), NONE, 8), "scale is -1.0"),
        (lambda: Quant(np.float32(np.inf), NONE, 8), "scale is inf"),
        (lambda: Quant(np.zeros(0), NONE, 8), "scale is empty"),
        (lambda: Quant(ONE, np.float32(np.nan), 8), "zero point is nan, but must be finite"),
        (lambda: Quant(ONE, NONE, 8, mode="NEAREST"), "rounding_mode is NEAREST, but must be one of ROUND, HALF_EVEN"),
        (lambda: BipolarQuant(NONE), "scale is 0.0"),
        (lambda: Trunc(ONE, NONE, 4, 8), "output bit width is 8, but must be at most the input's 4"),
        (lambda: Trunc(ONE, NONE, 0, 8), "input bit width is 0"),
        (lambda: Trunc(ONE, NONE, 8, 4, NONE), "output scale is 0.0"),
        (lambda: Trunc(np.float32(1e-38), NONE, 8, 4, np.float32(1e38)), "output scale over scale is inf"),
        (lambda: MultiThreshold(np.zeros(3)), r"thresholds have shape \[3\]"),
    ],
)  # fmt: skip
def test_what_is_no_quantiser_is_refused(make, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        make()


def test_they_say_what_they_are():
    assert str(Quant(np.float32(0.5), np.float32(0), 4)) == "int4 0.5"
    assert str(Quant(np.ones(3), np.float32(2), 8, False, True, "floor")) == "uint8 narrow x3 zp 2"
    assert str(Quant(ONE, NONE, 1)) == "bipolar 1"
    assert str(Trunc(ONE, NONE, 8, 4)) == "trunc 8 to 4 bits 1"
    assert str(Trunc(ONE, NONE, 8, 4, np.float32(16))) == "int4 16"
