# SPDX-License-Identifier: Apache-2.0
"""The integers that lowering finds for a layer: the hardware holds them, and they give what the quantiser gives."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from assay.golden.formats import IntFormat
from assay.golden.lowering import fit
from assay.golden.lowering.numbers import _BIAS_BITS, ALIGN_MAX, POST_WIDTH, Numbers, holds
from assay.golden.lowering.rounding import Rounding
from assay.golden.network import Layer


def layer(channels: int, rng: np.random.Generator, bits: int = 4, inputs: int = 8) -> Layer:
    """Of one position; with weights of 16 bits, its sums times a multiplier fill the adder."""
    reach = 1 << bits - 1
    return Layer(
        name="l",
        input="x",
        output="y",
        weight=rng.integers(-reach, reach, (channels, 1, 1, inputs)),
        weight_format=IntFormat(bits, signed=True),
        input_format=IntFormat(bits, signed=False),
        output_format=IntFormat(8, signed=True),
        multiplier=np.ones(channels, np.int64),
        bias=np.zeros(channels, np.int64),
        shift=0,
    )


@pytest.mark.parametrize("seed", range(4))
def test_nearest_numbers_are_held(seed: int) -> None:
    """Offsets from nothing to far above the sums: multipliers, biases and sums stay within what the MVU has."""
    rng = np.random.default_rng(seed)
    reduced = 0
    for _ in range(100):
        channels = int(rng.integers(1, 5))
        factors = [Fraction(float(f)) for f in rng.uniform(-1, 1, channels) * 2.0 ** -rng.integers(0, 20)]
        offsets = [Fraction(float(o)) for o in rng.uniform(-1, 1, channels) * 2.0 ** rng.integers(0, 36)]
        other = None
        if rng.random() < 0.5:
            other = SimpleNamespace(
                name="r", format=IntFormat(int(rng.integers(1, 17)), bool(rng.integers(2)))
            )
        added = Fraction(float(rng.uniform(-2, 2) * 2.0 ** -rng.integers(0, 8)))
        made = Numbers(
            "layer l", factors, offsets, added, other, layer(channels, rng, int(rng.choice([4, 12, 14, 16])))
        ).nearest()
        assert holds(made)
        largest = float(max(map(abs, factors)))
        reduced += largest * 2.0**made.shift < (1 << 14)  # what is left out is not held
        for factor, m in zip(factors, made.multiplier.tolist(), strict=True):
            assert abs(m - float(factor) * 2.0**made.shift) <= 0.5 or not made.weight.any()
    assert reduced


@pytest.mark.parametrize("mode", ["HALF_EVEN", "HALF_UP", "HALF_DOWN", "FLOOR", "CEIL", "UP", "DOWN"])
def test_fitted_numbers_give_every_result(mode: str) -> None:
    """All accumulators of small ranges, whose ends are often the first to give a result."""
    rng = np.random.default_rng(11)
    found = at_the_end = 0
    for _ in range(300):
        low = int(rng.integers(-60, 20))
        high = low + int(rng.integers(1, 60))
        factor = Fraction(int(rng.integers(1, 40)), int(rng.integers(20, 90)))
        offset = Fraction(int(rng.integers(-90, 90)), int(rng.integers(1, 9)))
        least = int(rng.integers(-40, 10))
        most = least + int(rng.integers(1, 50))
        rounding = Rounding(mode)
        n, t = fit._starts(factor, offset, rounding, 0, range(least + 1, most + 1), low, high)
        numbers = fit._numbers(factor, n, t, low, high, 8)
        at_the_end += bool((t == high).any())
        if numbers is None:
            continue
        found += 1
        m, bias = numbers
        for acc in range(low, high + 1):
            expected = min(max(rounding.apply(factor * acc + offset), least), most)
            assert min(max((m * acc + bias) >> 8, least), most) == expected, (factor, offset, acc)
    assert found > 20 and at_the_end > 5


@pytest.mark.parametrize("sign", [1, -1])
def test_the_ends_of_what_is_held(sign: int) -> None:
    """A bias has 27 bits with its sign, times a power of two; sums have a bit for their sign."""
    made = layer(1, np.random.default_rng(0))
    most = 1 << _BIAS_BITS - 1

    def held(bias: int, shift: int = 0) -> bool:
        return holds(replace(made, bias=np.array([sign * bias], np.int64), shift=shift))

    assert held(most - 1) and not held(most + 1)
    assert held(2 * (most - 1)) and not held(2 * (most + 1))
    assert held((most - 1) << ALIGN_MAX) and not held((most + 1) << ALIGN_MAX)
    assert not held((most - 1) << ALIGN_MAX + 1)
    bits = made.output_format.bits
    assert held(0, POST_WIDTH - bits - 2) and not held(0, POST_WIDTH - bits + 1)


def test_a_bias_counts_where_sums_nearly_fill_the_adder() -> None:
    rng = np.random.default_rng(5)
    most = (1 << _BIAS_BITS - 2) - 1 << ALIGN_MAX  # a bit less than fits: rounding may add one
    shifts = set()
    for shift in range(6, 30):
        made = layer(1, rng, 16, 64)
        sums = int(np.abs(np.stack(made.accumulator_range)).max())
        room = (1 << POST_WIDTH - 1) - (1 << shift)
        factor = Fraction((room - most // 2) // sums, 1 << shift)
        numbers = [
            Numbers("l", [factor], [Fraction(b, 1 << shift)], Fraction(0), None, made) for b in (0, most)
        ]
        alone, biased = (each.nearest() for each in numbers)
        assert holds(alone) and holds(biased)
        assert biased.shift < alone.shift  # a bit of precision less, as the bias takes the room
        shifts.add(alone.shift)
    assert len(shifts) > 10
