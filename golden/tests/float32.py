# SPDX-License-Identifier: Apache-2.0
"""Rounding to float32 in Python integers, for tests that hold float32 arithmetic against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction


def float32(value: Fraction) -> Fraction:
    """The float32 number nearest to a fraction in the normal range, ties to even."""
    if value == 0:
        return value
    exponent = math.frexp(float(value))[1]
    # float() may have rounded up to a power of two.
    exponent -= abs(value) < Fraction(2) ** (exponent - 1)
    unit = Fraction(2) ** (exponent - 24)
    return round(value / unit) * unit


def fraction(x) -> Fraction:
    return Fraction(float(x))
