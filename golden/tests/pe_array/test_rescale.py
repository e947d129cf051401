# SPDX-License-Identifier: Apache-2.0
"""The integer forms in which rtl/common/rescale.sv rounds, against golden's definitions: why that module is exact.

Each `*_in_integers` is what the module computes, vectorised; rtl/common's bench shows that the module computes it.
"""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden.schemes.fixed_point import rounded_quotient
from assay.golden.schemes.tflite import INT32_MAX, INT32_MIN, FloatRescale, multiply_by_quantized_multiplier

U64 = np.uint64


def sign_of(x, magnitude):
    """Saturated to 32 bits."""
    magnitude = magnitude.astype(np.float64)  # exact below 2**53, and larger than 2**32 above
    return np.clip(np.where(x < 0, -magnitude, magnitude), INT32_MIN, INT32_MAX).astype(np.int64)


# --- float64 ---------------------------------------------------------------------------------------------------------


def float64_in_integers(x, multiplier, shift, round_product=True):
    """P = |x| * multiplier as three 32-bit limbs, plus 2**(L - 53) if L >= 53, plus 2**(shift - 1), shifted right."""
    u = np.abs(x).astype(U64)
    low = u * (multiplier & 0xFFFFFFFF).astype(U64)
    high = u * (multiplier >> 32).astype(U64) + (low >> U64(32))
    # The highest one of P's bits 84 to 53, in place: they are high's bits 52 to 21.
    top = high >> U64(21)
    for step in (1, 2, 4, 8, 16):
        top |= top >> U64(step)
    half = (top ^ (top >> U64(1))) if round_product else np.zeros_like(top)
    limb0 = (low & U64(0xFFFFFFFF)) + half  # `half` has 32 bits: L - 53 is at most 31
    high += limb0 >> U64(32)
    limb0 &= U64(0xFFFFFFFF)
    # floor((P' + 2**(shift - 1)) / 2**shift) is P' >> shift, plus bit shift - 1.
    shift = shift.astype(U64)

    def shifted(by):
        """P' >> by in 64 bits, for results below 2**32; at most 64 bits of it are looked at."""
        below = (high << (U64(32) - np.minimum(by, U64(32)))) | (limb0 >> np.minimum(by, U64(32)))
        above = high >> np.minimum(np.maximum(by, U64(32)) - U64(32), U64(63))
        return np.where(by >= 32, above, below), (by < 32) & (high >> (U64(32) + by) > 0)

    whole, huge = shifted(shift)
    bit = np.where(shift > 0, shifted(np.maximum(shift, U64(1)) - U64(1))[0] & U64(1), U64(0))
    return sign_of(x, np.where(huge, U64(1) << U64(40), whole + bit))


def float64_by_definition(x, multiplier, shift):
    return FloatRescale(np.ldexp(multiplier.astype(np.float64), -shift)).apply(x)


def random_multipliers(rng, count):
    """53 bits, mostly normalised, some short, some with runs of ones."""
    m = rng.integers(1 << 52, 1 << 53, count)
    m >>= rng.choice([0, 0, 0, 0, 1, 5, 20, 52], count)
    ends = rng.choice([0, 1, (1 << 53) - 1, 1 << 52, (1 << 52) + 1, (1 << 53) - (1 << 30)], count)
    return np.where(rng.random(count) < 0.02, ends, m)


def random_accumulators(rng, count):
    x = rng.integers(-(1 << 31), 1 << 31, count) >> rng.integers(0, 32, count)
    return np.where(rng.random(count) < 0.01, rng.choice([INT32_MIN, INT32_MAX, 0, 1, -1], count), x)


@pytest.mark.parametrize("seed", range(4))
def test_float64_at_random(seed):
    rng = np.random.default_rng(seed)
    count = 500_000
    x, multiplier = random_accumulators(rng, count), random_multipliers(rng, count)
    shift = rng.integers(0, 128, count)
    assert np.array_equal(
        float64_in_integers(x, multiplier, shift), float64_by_definition(x, multiplier, shift)
    )


@pytest.mark.parametrize("seed", range(2))
def test_float64_around_ties(seed):
    """Products next to (k - 1/2) * 2**shift, within some last places of float64, its own ties among them."""
    rng = np.random.default_rng(100 + seed)
    count = 500_000
    odd = rng.choice([1, 3, 5, 7, 9, 11, 25, 127, 129, 1023, 65537], count)
    x = np.where(rng.random(count) < 0.5, odd << rng.integers(0, 15, count), rng.integers(1, 1 << 31, count))
    x = np.minimum(x, INT32_MAX)
    # The result's bits; the shift makes the multiplier one of 53 bits.
    k = rng.integers(1, 1 << rng.integers(1, 32, count))
    x_bits = np.frexp(x.astype(np.float64))[1]
    shift = 52 + x_bits - np.frexp(k.astype(np.float64))[1] + rng.integers(-1, 2, count)
    target = [(int(2 * a - 1) << int(s)) >> 1 for a, s in zip(k, shift, strict=True)]
    nudge = rng.integers(-3, 4, count)
    multiplier = np.array(
        [t // int(a) + int(d) for t, a, d in zip(target, x, nudge, strict=True)], dtype=object
    )
    fits = (multiplier >= 0) & (multiplier < 1 << 53) & (shift >= 0)
    x, multiplier, shift = x[fits], multiplier[fits].astype(np.int64), shift[fits]
    assert len(x) > 300_000
    x *= rng.choice([-1, 1], len(x))
    expected = float64_by_definition(x, multiplier, shift)
    assert np.array_equal(float64_in_integers(x, multiplier, shift), expected)
    unrounded = float64_in_integers(x, multiplier, shift, round_product=False)
    assert (unrounded != expected).sum() > 1000, "no product's rounding mattered: the cases are too tame"


def test_float64_against_python_integers():
    """The limbs themselves: a small sample by Python's integers, as the text of docs/pe_array.md has it."""
    rng = np.random.default_rng(9)
    count = 5000
    x, multiplier, shift = (
        random_accumulators(rng, count),
        random_multipliers(rng, count),
        rng.integers(0, 128, count),
    )
    seen = float64_in_integers(x, multiplier, shift)
    for a, m, s, y in zip(x.tolist(), multiplier.tolist(), shift.tolist(), seen.tolist(), strict=True):
        product = abs(a) * m
        drop = max(product.bit_length() - 53, 0)
        kept, rest = product >> drop, product & ((1 << drop) - 1)
        if drop and (rest << 1, kept & 1) > (1 << drop, 0):
            kept += 1
        magnitude = ((kept << drop << 1) + (1 << s)) >> s >> 1
        assert y == min(max(-magnitude if a < 0 else magnitude, INT32_MIN), INT32_MAX)


# --- rational --------------------------------------------------------------------------------------------------------


def reciprocal(divisor):
    """(M, l): M = ceil(2**(31 + l) / divisor) of 32 bits, l the bits of divisor - 1."""
    log = (np.asarray(divisor) - 1).astype(object)
    log = np.array([int(d).bit_length() for d in log.ravel()]).reshape(log.shape)
    scaled = np.int64(1) << (31 + log)
    return -(-scaled // divisor), log


def test_quotients_are_exact_for_31_bits():
    """t * M / 2**(31 + l) = t / a + t * e / (a * 2**(31 + l)) with e = M * a - 2**(31 + l), 0 <= e < a.

    With t = a * q + r its floor is q as long as what is added stays below (a - r) / a, at worst 1 / a: if
    t * e < 2**(31 + l). As e < a <= 2**l, that holds for every t < 2**31. The largest t of every remainder is
    tried too.
    """
    divisor = np.arange(1, 256)
    m, log = reciprocal(divisor)
    error = m * divisor - (1 << (31 + log))
    assert ((error >= 0) & (error < divisor) & (divisor <= 1 << log)).all()
    assert (m >= (1 << 31)).all() and (m < 1 << 32).all()
    assert (((1 << 31) - 1) * error < 1 << (31 + log)).all()
    for a, factor, bits in zip(divisor.tolist(), m.tolist(), log.tolist(), strict=True):
        t = (1 << 31) - 1 - np.arange(a)
        assert np.array_equal((t * factor) >> (31 + bits), t // a)


def rational_in_integers(x, shift, divisor):
    """t = floor(|x| * 2**shift + a / 2), at most 2**31 - 1; y = floor(t / a) by the reciprocal."""
    u = np.abs(x)
    left, right = np.maximum(shift, 0), np.minimum(np.maximum(-shift, 0), 33)
    over = (right == 0) & (u >> np.maximum(31 - left, 0) > 0)
    shifted = np.where(over, (1 << 31) - 1, u << np.minimum(left, 31))
    # An odd a's half is added to the bit below: it carries if that is one.
    carry = divisor & 1 & np.where(right > 0, u >> (np.maximum(right, 1) - 1), 0)
    t = np.minimum((shifted >> right) + (divisor >> 1) + carry, (1 << 31) - 1)
    m, log = reciprocal(divisor)
    magnitude = (t.astype(U64) * m.astype(U64)) >> (31 + log).astype(U64)
    return np.where(x < 0, -magnitude.astype(np.int64), magnitude.astype(np.int64))


@pytest.mark.parametrize("seed", range(4))
def test_rational(seed):
    rng = np.random.default_rng(seed)
    count = 300_000
    x = random_accumulators(rng, count)
    shift = rng.choice([*range(-40, 41), -128, 127], count)
    divisor = rng.integers(1, 256, count)
    # Half of them next to a tie: |x| * 2**shift near (k + 1/2) * a.
    k = rng.integers(0, 1 << rng.integers(1, 18, count))
    near = np.floor(np.ldexp((k + 0.5) * divisor, -shift)) + rng.integers(-1, 2, count)
    x = np.where((rng.random(count) < 0.5) & (np.abs(near) < INT32_MAX), near, x).astype(np.int64)
    # With 24 bits the definition takes 28 bits of x.
    for bits, values in ((18, x), (24, x >> 3)):
        low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        seen = np.clip(rational_in_integers(values, shift, divisor), low, high)
        assert np.array_equal(seen, rounded_quotient(values, shift, divisor, bits))


# --- double rounding -------------------------------------------------------------------------------------------------


def double_rounding_in_integers(x, multiplier, shift):
    """By sign and magnitude: floor((P + 2**30 - (x < 0)) / 2**31), and half away from zero is half up."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    x = (x << left).astype(np.int32).astype(np.int64)
    product = np.abs(x) * multiplier
    up = (product >> 30 & 1) & ~((x < 0) & ((product & ((1 << 30) - 1)) == 0))
    high = (product >> 31) + up
    rounded = (high >> right) + np.where(right > 0, high >> np.maximum(right - 1, 0) & 1, 0)
    return np.where(x < 0, -rounded, rounded)


@pytest.mark.parametrize("seed", range(4))
def test_double_rounding(seed):
    rng = np.random.default_rng(seed)
    count = 300_000
    x = random_accumulators(rng, count)
    multiplier = np.where(
        rng.random(count) < 0.3,
        rng.choice([0, 1, 1 << 30, (1 << 30) + 1, 3 << 29, (1 << 31) - 1], count),
        rng.integers(0, 1 << 31, count),
    )
    shift = rng.integers(-32, 33, count)
    seen = double_rounding_in_integers(x, multiplier, shift)
    assert np.array_equal(seen, multiply_by_quantized_multiplier(x, multiplier, shift))
