# SPDX-License-Identifier: Apache-2.0
"""LSQ against its formulas in Python's fractions, rounded to float32 by integers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from assay.golden import ConfigurationError, GoldenError, IntFormat
from assay.golden.schemes.fixed_point import WeightScale
from assay.golden.schemes.lsq import StepSize, gradient_scale, initial_step

FORMATS = st.builds(IntFormat, st.integers(1, 16), st.booleans())
STEPS = st.floats(2.0**-20, 2.0**20, width=32)
S4 = IntFormat(4, signed=True)


def float32_quotient(v: float, step: float) -> Fraction:
    """v / step rounded once to 24 significant bits, ties to even (no subnormal results here)."""
    exact = Fraction(v) / Fraction(step)
    if exact == 0:
        return exact
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length() - 24
    if size / Fraction(2) ** exponent >= 1 << 24:
        exponent += 1
    return round(exact / Fraction(2) ** exponent) * Fraction(2) ** exponent


@given(FORMATS, STEPS, st.lists(st.floats(-(2.0**24), 2.0**24, width=32), min_size=1, max_size=8))
@example(S4, 0.5, [0.25, -0.25, 0.75, -0.75, 1.25, 3.5, 3.75, 9.0, -4.0, -4.25, -9.0])
@example(IntFormat(2, signed=False), 1.0, [0.5, 1.5, 2.5, 3.5, -0.5])
def test_quantise(target, step, values):
    values = [v if abs(v) > 2.0**-60 else 0.0 for v in values]
    seen = StepSize(step, target).quantise(np.array(values, np.float32))
    # Python rounds a fraction's ties to even, too; the bounds are those of equation 1.
    low, high = (
        (-(2 ** (target.bits - 1)), 2 ** (target.bits - 1) - 1) if target.signed else (0, 2**target.bits - 1)
    )
    expected = [round(min(max(float32_quotient(v, step), low), high)) for v in values]
    assert seen.tolist() == expected


def test_float64_and_infinities():
    step = StepSize(0.1, S4)
    assert step.quantise(np.array([0.1, 0.15, math.inf, -math.inf])).tolist() == [1, 1, 7, -8]


@given(FORMATS, STEPS)
def test_dequantise(target, step):
    q = np.unique(np.linspace(target.min, target.max, 9).astype(np.int64))
    size = StepSize(step, target)
    real = size.dequantise(q)
    assert real.dtype == np.float32
    # A product of 16 and 24 bits fits float64, and is rounded once more to float32.
    assert real.tolist() == [float(np.float32(int(v) * float(np.float32(step)))) for v in q]
    assert size.quantise(real).tolist() == q.tolist()


@pytest.mark.parametrize("step", [0.0, -1.0, math.nan, math.inf])
def test_wrong_steps(step):
    with pytest.raises(ConfigurationError, match=r"step is .* but must be finite and above 0"):
        StepSize(step, S4)


def test_wrong_arguments():
    size = StepSize(0.5, S4)
    for call, message in (
        (lambda: size.quantise(np.array([1])), "v has dtype int64, but must be float32 or float64"),
        (lambda: size.quantise(np.array([math.nan])), "v holds NaN"),
        (lambda: size.dequantise(np.array([8])), "q spans 8 to 8, but s4 allows -8 to 7"),
        (lambda: size.dequantise(np.array([1.0])), "q has dtype float64"),
        (lambda: StepSize(1e-60, S4).quantise(np.zeros(1, np.float32)), "above 0 in float32"),
        (lambda: initial_step(np.array([]), S4), "v holds 0 values"),
        (lambda: gradient_scale(0, S4), "values is 0, but must be a whole number of 1 or more"),
        (lambda: gradient_scale(4, IntFormat(1, signed=True)), "greatest integer is 0"),
    ):
        with pytest.raises(GoldenError, match=message):
            call()


def test_training_formulas():
    assert gradient_scale(28, S4) == 1 / math.sqrt(28 * 7) == 1 / 14
    assert initial_step(np.array([1.0, -3.0]), IntFormat(2, signed=False)) == 4 / math.sqrt(3)


@given(st.integers(-100, 100), st.integers(1, 255))
def test_hardware_scales(n, a):
    step = StepSize(float(np.float32(2.0**n / a)), S4)
    assert step.reciprocal_dyadic == WeightScale(n, a)
    power = a & (a - 1) == 0
    assert step.power_of_two == (n - a.bit_length() + 1 if power else None)


def test_no_hardware_scale():
    step = StepSize(0.3, S4)
    assert step.power_of_two is None
    assert step.reciprocal_dyadic is None
    near = WeightScale.nearest(step.step)
    assert StepSize(near.float32, S4).reciprocal_dyadic == near
