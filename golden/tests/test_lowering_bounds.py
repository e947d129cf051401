# SPDX-License-Identifier: Apache-2.0
"""What is said of a layer that is not closed yet, against the values that it has, all as exact fractions: ends, reaches
and steps of random layers; which numbers float32 holds, and how far its sums may be off."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from assay.golden.formats import IntFormat
from assay.golden.lowering import algebra
from assay.golden.lowering.values import (
    Open,
    Tensor,
    Weight,
    is_float32,
    natural,
    quantised_drift,
    smallest_format,
)

_FEW = (Fraction(-3), Fraction(-1, 2), Fraction(0), Fraction(3, 4), Fraction(5))


def tensor(rng: np.random.Generator, name: str, size: tuple[int, int, int]) -> Tensor:
    fmt = IntFormat(int(rng.integers(1, 4)), bool(rng.integers(2)))
    scale = Fraction(int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    zero = Fraction(int(rng.choice([fmt.min - 2, fmt.min, fmt.max, fmt.max + 2])))  # of one sign, often
    return Tensor(name, fmt, scale, zero, 0, size, natural(size), float(rng.choice([0, 0.25, 3])))


def layer(rng: np.random.Generator) -> Open:
    """A convolution of maps, scaled, shifted, with a residual or not; of 1 to 3 channels that read 1 or 2."""
    channels, outputs = (int(n) for n in rng.integers(1, 4, 2))
    channels = min(channels, 2)
    padding = (1, 0, 0, 0) if rng.random() < 0.4 else (0,) * 4
    source = tensor(rng, "x", (1, 1, channels))
    weight = rng.integers(-2, 3, (outputs, 1, 1, channels))
    scales = tuple(Fraction(int(n), 4) for n in rng.integers(1, 6, outputs))
    made = algebra.convolution(
        "layer", source, Weight(weight, IntFormat(3, True), scales), (1, 1), padding, 1, natural
    )
    if rng.integers(2):
        made = algebra.scaled(made, [_FEW[n] for n in rng.integers(0, len(_FEW), outputs)])
    if rng.integers(2):
        made = algebra.shifted(made, [_FEW[n] for n in rng.integers(0, len(_FEW), outputs)])
    if rng.integers(2):
        made = algebra.added("sum", made, tensor(rng, "r", made.size), int(rng.choice([-1, 1])))
    return made


def terms(made: Open) -> list[list[list[Fraction]]]:
    """Of each channel, for all values of what the layer reads, what is added up."""
    source = made.source
    assert isinstance(source, Tensor)
    reals = [source.scale * (n - source.zero) for n in range(source.format.min, source.format.max + 1)]
    added = [Fraction(0)]
    if made.residual is not None:
        other, factor = made.residual
        assert isinstance(other, Tensor)
        added = [
            factor * other.scale * (n - other.zero) for n in range(other.format.min, other.format.max + 1)
        ]
    channels = made.weight.shape[3]
    inputs = list(product(reals, repeat=channels))
    if any(made.padding):
        inputs.append((Fraction(0),) * channels)
    return [
        [
            [*(factor * int(w) * x for w, x in zip(weights, values, strict=True)), offset, more]
            for values in inputs
            for more in added
        ]
        for weights, factor, offset in zip(made.weight[:, 0, 0], made.factors, made.offsets, strict=True)
    ]


@pytest.mark.parametrize("seed", range(60))
def test_ends_reaches_and_steps(seed):
    rng = np.random.default_rng(seed)
    made = layer(rng)
    lows, highs = made.channel_ends()
    for channel, sums in enumerate(terms(made)):
        values = {sum(each) for each in sums}
        assert lows[channel] <= min(values) and max(values) <= highs[channel]
        # Taps beside the map are taken to be 0 one by one.
        if made.weight.shape[3] == 1 or not any(made.padding):
            assert (min(values), max(values)) == (lows[channel], highs[channel])
        assert max(sum(map(abs, each)) for each in sums) <= made.reaches()[channel]
        step = made.steps()[channel]
        assert all(value == 0 if step == 0 else (value / step).denominator == 1 for value in values)
    # What the operands are off by adds up.
    gains = np.abs(made.weight).sum(axis=(1, 2, 3)).tolist()
    off = max(float(abs(f)) * n for f, n in zip(made.factors, gains, strict=True)) * made.source.drift
    if made.residual is not None:
        off += float(abs(made.residual[1])) * made.residual[0].drift
    assert made.drift >= off
    low, high = sorted(_FEW[n] for n in rng.integers(0, len(_FEW), 2))
    for ends in ((low, None), (None, high), (low, high)):
        bounded = algebra.bounded("bounded", made, *ends)
        values = {sum(each) for sums in terms(made) for each in sums}
        if ends[0] is not None:
            values = {max(value, ends[0]) for value in values}
        if ends[1] is not None:
            values = {min(value, ends[1]) for value in values}
        assert bounded.ends[0] <= min(values) and max(values) <= bounded.ends[1]
        if made.weight.shape[3] == 1 or not any(made.padding):
            assert bounded.ends == (min(values), max(values))


def test_bounds_one_after_the_other():
    """A value clamped twice is what both clamps leave of it, where they overlap."""
    rng = np.random.default_rng(0)
    made = layer(rng)
    for low, high, again_low, again_high in product((None, *_FEW), repeat=4):
        ends = [end for end in (low, again_low) if end is not None]
        tops = [end for end in (high, again_high) if end is not None]
        if ends and tops and max(ends) > min(tops):
            continue
        twice = algebra.bounded("b", algebra.bounded("a", made, low, high), again_low, again_high)
        assert (twice.low, twice.high) == (max(ends, default=None), min(tops, default=None))


def held(value: Fraction) -> bool:
    """Whether a value is a normal float32 number, or 0."""
    if not value:
        return True
    found = np.float32(float(value))
    return bool(np.isfinite(found)) and Fraction(float(found)) == value and abs(value) >= Fraction(2) ** -126


@pytest.mark.parametrize("seed", range(40))
def test_which_multiples_float32_holds(seed):
    """By the multiples next to the reach: all up to 2**24 units, and no longer two steps behind that."""
    rng = np.random.default_rng(seed)
    for odd in (1, 3, 5, 255, (1 << 23) + 1):
        power = Fraction(2) ** int(rng.integers(-30, 20))
        most = (1 << 24) // odd
        for count in (1, most - 1, most, most + 1, most + 2, 2 * most + 2):
            step = odd * power
            every = all(held(n * step) for n in range(max(1, count - 4), count + 1))
            assert is_float32(step, count * step) == (count <= most), (step, count)
            assert every or count > most
            assert not every or count < most + 2
    assert not is_float32(Fraction(1, 3), Fraction(5, 3))
    assert is_float32(Fraction(1, 3), Fraction(0)) and is_float32(Fraction(0), Fraction(7))
    assert not is_float32(Fraction(2) ** -127, Fraction(1))


@pytest.mark.parametrize("seed", range(20))
def test_float32_is_off_by_the_drift_at_most(seed):
    """Sums of float32 in any order, and integers times a scale."""
    rng = np.random.default_rng(seed)
    scale = Fraction(float(np.float32(rng.uniform(0.01, 1))))
    low, high = sorted(int(n) for n in rng.integers(-40_000, 40_000, 2))
    bound = quantised_drift(scale, Fraction(low), Fraction(high))
    values = np.array([low, high, *rng.integers(low, high + 1, 40)])
    products = values.astype(np.float32) * np.float32(float(scale))
    assert all(
        abs(Fraction(float(p)) - int(n) * scale) <= bound for n, p in zip(values, products, strict=True)
    )

    fmt, channels = IntFormat(16, True), 12
    size = (1, 1, channels)
    source = Tensor(
        "x", fmt, scale, Fraction(0), 0, size, natural(size), quantised_drift(scale, fmt.min, fmt.max)
    )
    weight = rng.integers(-127, 128, (1, 1, 1, channels))
    step = Fraction(float(np.float32(rng.uniform(0.01, 1))))
    made = algebra.convolution(
        "layer", source, Weight(weight, IntFormat(8, True), (step,), False), (1, 1), (0,) * 4, 1, natural
    )
    offset = Fraction(float(np.float32(rng.uniform(-1e6, 1e6))))
    made = algebra.shifted(made, [offset])
    real = weight.ravel().astype(np.float32) * np.float32(float(step))
    for _ in range(20):
        x = np.where(
            rng.random(channels) < 0.5,
            rng.choice([fmt.min, fmt.max], channels),
            rng.integers(-9, 9, channels),
        )
        exact = (
            sum((int(w) * int(n) for w, n in zip(weight.ravel(), x, strict=True)), 0) * step * scale + offset
        )
        total = np.float32(0)
        for k in rng.permutation(channels):
            total = total + real[k] * (np.float32(x[k]) * np.float32(float(scale)))
        total = total + np.float32(float(offset))
        assert abs(Fraction(float(total)) - exact) <= made.drift


def test_smallest_formats():
    for low, high in product(range(-20, 21), repeat=2):
        if low > high:
            continue
        fmt = smallest_format(low, high)
        assert fmt.min <= low and high <= fmt.max and fmt.signed == (low < 0)
        if fmt.bits > 1:
            less = IntFormat(fmt.bits - 1, fmt.signed)
            assert low < less.min or high > less.max
