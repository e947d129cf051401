# SPDX-License-Identifier: Apache-2.0
"""One layer that rounds as its quantiser does, although its numbers are no integers over a power of two.

Where a layer's accumulator takes few values, as that of an average does, each output n begins at a known one: t, the
least accumulator whose quantised value is n or more. A multiplier m, a bias b and a shift s give the same results if

    m * t + b >= n * 2**s > m * (t - 1) + b        for each n

so b must lie between two ends that are computed for each m and s; if they leave room, the layer is exact for every
input. A slope that is a little too steep also moves ties away from a zero in the middle, as TFLite rounds them, without
the layer that a bit for their sign would take.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.lowering.numbers import Numbers, holds
from assay.golden.lowering.rounding import Rounding
from assay.golden.mvu.parameters import POST_WIDTH
from assay.golden.network import MULTIPLIER, Layer

__all__ = ["fitted"]

# Values of an accumulator that are looked at, and results of a layer.
_MOST_SUMS, _MOST_RESULTS = 1 << 20, 1 << 12
# Unlike channels of a layer: more would take seconds, and their scales are no ratios that make ties anyway.
_MOST_CHANNELS = 8
# How far from the nearest multiplier a slope is tried.
_STEEPER = (0, 1, -1, 2, -2, 3, 4, 6, 8)


def fitted(numbers: Numbers, rounding: Rounding, zero: int, least: int, most: int) -> Layer | None:
    """A layer equal to the quantiser for every accumulator, or None.

    Args:
        numbers: of a layer without a residual, whose channels read one channel each.
        rounding: of the quantiser.
        zero: stored integer of the real zero, which the offsets hold.
        least, most: ends of the stored integers that are left in the end.
    """
    layer = numbers.layer
    if numbers.other is not None or min(numbers.factors) <= 0 or not least < most <= least + _MOST_RESULTS:
        return None
    pairs = list(zip(numbers.factors, numbers.offsets, strict=True))
    if len(set(pairs)) > _MOST_CHANNELS:
        return None
    low, high = (int(end) for end in (layer.accumulator_range[0].min(), layer.accumulator_range[1].max()))
    if high - low > _MOST_SUMS:
        return None
    starts = {
        pair: _starts(*pair, rounding, zero, range(least + 1, most + 1), low, high) for pair in set(pairs)
    }
    largest = max(numbers.factors)
    top = min(
        POST_WIDTH - layer.output_format.bits,
        (Fraction(MULTIPLIER.max) / largest).numerator.bit_length() + 48,
    )
    for shift in range(top, -1, -1):
        if round(largest * (1 << shift)) > MULTIPLIER.max:
            continue
        found = {pair: _numbers(pair[0], *ends, low, high, shift) for pair, ends in starts.items()}
        if all(found.values()):
            integers = [found[pair] for pair in pairs]
            try:
                made = dataclasses.replace(
                    layer,
                    multiplier=np.array([m for m, _ in integers], np.int64),
                    bias=np.array([b for _, b in integers], np.int64),
                    shift=shift,
                    rounding="truncate",
                )
            except ConfigurationError:
                return None
            if holds(made):
                return made
        if largest * (1 << shift) < 64:  # a slope this coarse fits nothing that a finer one did not
            return None
    return None


def _starts(
    factor: Fraction, offset: Fraction, rounding: Rounding, zero: int, results: range, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Results n, and for each the least accumulator t that gives n or more: `low` for the greatest n that all give, and
    high + 1 for the least one that none gives."""
    made, begins = [], []
    for n in results:
        # Every rounding gives n somewhere within a step of it.
        start = math.floor((n - 1 - offset) / factor) - 1
        stop = math.ceil((n + 1 - offset) / factor) + 1
        while start < stop:
            middle = (start + stop) // 2
            reached = rounding.apply(factor * middle + offset - zero) + zero >= n
            start, stop = (start, middle) if reached else (middle + 1, stop)
        if start <= low:
            made, begins = [n], [low]
            continue
        made.append(n)
        begins.append(min(start, high + 1))
        if start > high:
            break
    return np.array(made, np.int64), np.array(begins, np.int64)


def _numbers(
    factor: Fraction, n: np.ndarray, t: np.ndarray, low: int, high: int, shift: int
) -> tuple[int, int] | None:
    """Multiplier and bias for one shift, the bias with as many zeros at its end as its room allows; or None."""
    nearest = round(factor * (1 << shift))
    for steeper in _STEEPER:
        m = nearest + steeper
        if not 0 < m <= MULTIPLIER.max:
            continue
        ends = (n << shift) - m * t
        least = int(ends[t <= high].max(initial=-(1 << 61)))
        most = int((ends + m)[t > low].min(initial=1 << 61)) - 1
        if least <= most:
            for zeros in range(60, -1, -1):
                bias = -(-least >> zeros) << zeros
                if bias <= most:
                    return m, bias
    return None
