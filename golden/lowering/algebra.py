# SPDX-License-Identifier: Apache-2.0
"""What can be done to a layer that has no quantiser yet: real numbers, exact, and what float32 loses in each step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from assay.golden.lowering.values import ONE, Open, Padding, Tensor, Weight, checked, with_rounding
from assay.golden.operators import conv2d_output_size

__all__ = ["added", "alone", "average", "bounded", "convolution", "opened", "scaled", "shifted"]


def convolution(
    name: str,
    source: Tensor | Open,
    weight: Weight,
    stride: tuple[int, int],
    padding: Padding,
    groups: int,
    index: Callable[[tuple[int, int, int]], np.ndarray],
) -> Open:
    """A convolution; `index` gives the graph's order of its result of a size."""
    outputs = len(weight.integers)
    size = (*conv2d_output_size(source.size[:2], weight.integers.shape[1:3], stride, padding), outputs)
    made = Open(
        name,
        source,
        weight.integers,
        weight.format,
        size,
        index(size),
        weight.scales,
        (Fraction(0),) * outputs,
        stride,
        padding,
        groups,
    )
    return _summed(made, weight.exact)


def _summed(made: Open, exact: bool = True) -> Open:
    """A new layer with the drift of its sums."""
    totals = np.abs(made.weight.reshape(len(made.weight), -1)).sum(axis=1).tolist()
    gain = max(abs(factor) * total for factor, total in zip(made.factors, totals, strict=True))
    made = dataclasses.replace(made, drift=float(gain) * made.source.drift)
    terms = math.prod(made.weight.shape[1:])
    if not exact:
        made = dataclasses.replace(made, drift=made.drift + float(max(made.reaches())) * 2.0**-23)
    return with_rounding(made, terms + 1)


def opened(name: str, value: Tensor | Open) -> Open:
    """`value` as a layer to which constants and tensors can be added."""
    if isinstance(value, Open) and value.linear:
        return value
    return alone(name, value)


def average(
    name: str,
    value: Tensor | Open,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    index: Callable[[tuple[int, int, int]], np.ndarray],
    factor: Fraction | None = None,
) -> Open:
    """Mean of each window, padding counted; or its sum times `factor`."""
    size = (*conv2d_output_size(value.size[:2], window, stride, padding), value.size[2])
    count = window[0] * window[1]
    made = _ones(name, value, window, stride, padding, Fraction(1), size, index(size))
    return scaled(_summed(made), (Fraction(1, count) if factor is None else factor,) * size[2])


def added(name: str, a: Tensor | Open, b: Tensor | Open, sign: int) -> Open:
    """a + sign * b."""
    a, b = (opened(name, value) for value in (a, b))
    drift = a.drift + b.drift
    factors = [Fraction(1), Fraction(sign)]
    if a.plain and not b.plain:
        a, b, factors = b, a, factors[::-1]
    if a.residual is not None and b.residual is None and not b.plain:
        a, b, factors = b, a, factors[::-1]
    if a.residual is not None:
        a = alone(name, a)
    a = _times(a, (factors[0],) * len(a.factors))
    if b.passes:
        offsets = tuple(x + factors[1] * y for x, y in zip(a.offsets, b.offsets, strict=True))
        made = dataclasses.replace(
            a,
            name=name if a.plain else a.name,
            offsets=offsets,
            residual=(b.source, factors[1] * b.factors[0]),
            drift=drift,
        )
    else:
        made = dataclasses.replace(a, residual=(b, factors[1]), drift=drift)
    return with_rounding(made)


def scaled(value: Open, by: Sequence[Fraction]) -> Open:
    """A linear layer's channels times `by`, which is one number where there is a residual."""
    return with_rounding(_times(value, by))


def _times(value: Open, by: Sequence[Fraction]) -> Open:
    residual = value.residual and (value.residual[0], value.residual[1] * by[0])
    return dataclasses.replace(
        value,
        factors=tuple(a * b for a, b in zip(value.factors, by, strict=True)),
        offsets=tuple(a * b for a, b in zip(value.offsets, by, strict=True)),
        residual=residual,
        drift=value.drift * float(max(map(abs, by))),
    )


def shifted(value: Open, by: Sequence[Fraction]) -> Open:
    """A linear layer's channels plus `by`."""
    made = dataclasses.replace(value, offsets=tuple(a + b for a, b in zip(value.offsets, by, strict=True)))
    return with_rounding(made)


def alone(name: str, value: Tensor | Open) -> Open:
    """A layer that reads `value`, whatever that is."""
    made = _ones(name, value, (1, 1), (1, 1), (0, 0, 0, 0), Fraction(1), value.size, value.index)
    return dataclasses.replace(made, drift=value.drift)


def bounded(name: str, value: Tensor | Open, low: Fraction | None, high: Fraction | None) -> Tensor | Open:
    """Clamped to low..high; what a tensor has anyway changes nothing."""
    if isinstance(value, Tensor):
        low = low if low is not None and low > value.ends[0] else None
        high = high if high is not None and high < value.ends[1] else None
        if low is None and high is None:
            return value
        value = opened(name, value)
    # Bounds and a maximum over a window may change places, so the order in the file does not matter.
    low = max((end for end in (low, value.low) if end is not None), default=None)
    high = min((end for end in (high, value.high) if end is not None), default=None)
    return dataclasses.replace(value, low=low, high=high)


def _ones(
    name: str,
    value: Tensor | Open,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    factor: Fraction,
    size: tuple[int, int, int],
    index: np.ndarray,
) -> Open:
    """Sum of each window of each channel, times `factor`."""
    channels = value.size[2]
    weight = np.ones(checked("a kernel of ones", (channels, *window, 1)), np.int64)
    factors, offsets = (factor,) * channels, (Fraction(0),) * channels
    return Open(name, value, weight, ONE, size, index, factors, offsets, stride, padding, channels)
