# SPDX-License-Identifier: Apache-2.0
"""The meaning of a graph's tensor while the graph is lowered, and the places of its elements.

Between two quantisers a framework computes with real numbers. Here they are exact rationals: a tensor of integers has a
scale, and a layer that is still open has a factor and an offset for each output channel. The framework's own float32
values may differ from them by `drift`, which is 0 if the values are proven to be float32 numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat
from assay.golden.network import Pool

__all__ = [
    "MAX_ELEMENTS",
    "ONE",
    "Constant",
    "Input",
    "Open",
    "Padded",
    "Padding",
    "Tensor",
    "Weight",
    "checked",
    "common_step",
    "is_float32",
    "natural",
    "placed",
    "quantised_drift",
    "smallest_format",
    "with_rounding",
]

# Of a tensor or weight that a lowering makes: far more than an accelerator's memory holds, less than this machine's.
MAX_ELEMENTS = 1 << 28

Padding = tuple[int, int, int, int]

ONE = IntFormat(1, False)

# A float32 has 24 bits: integers up to this magnitude are exact, and a result is off by half of 2**-23 of it at most.
_EXACT = 1 << 24


def checked(what: str, shape: Sequence[int]) -> Sequence[int]:
    """The shape of an array that may exist.

    Raises:
        ConfigurationError: it has more than `MAX_ELEMENTS` elements.
    """
    if math.prod(shape) > MAX_ELEMENTS:
        raise ConfigurationError(
            f"{what} has shape {list(shape)}, but must have at most {MAX_ELEMENTS} elements"
        )
    return shape


def natural(size: tuple[int, int, int], channel_axis: int = 1) -> np.ndarray:
    """Places of the elements of a map in `[H, W, C]`: int64 `[1, C, H, W]`, or `[1, H, W, C]` for `channel_axis` 3."""
    checked("a map (H, W, C)", size)
    places = np.arange(math.prod(size)).reshape(1, *size)
    return np.moveaxis(places, 3, channel_axis)


def smallest_format(low: int, high: int) -> IntFormat:
    """The format of the fewest bits that holds both, unsigned if neither is negative.

    Raises:
        ConfigurationError: none has so many bits.
    """
    bits = max(max(int(high), 0).bit_length(), (-int(low) - 1).bit_length() if low < 0 else 0) + (low < 0)
    return IntFormat(max(bits, 1), low < 0)


# None of these is changed after it is made, so that several nodes may read the same one.


@dataclass(frozen=True, eq=False)
class Input:
    """The graph's input before a quantiser: real numbers, of which the network reads the integers.

    Attributes:
        name: of the graph's input.
        shape: of the tensor as it is here.
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Constant:
    """An array that the file alone decides.

    Attributes:
        values: as the graph computes them.
        integers: less their zero point, of a quantised constant; else None.
        scale: float64, broadcasts against `integers`.
        format: of the integers; None: more than 16 bits, which no weight has.
    """

    values: np.ndarray
    integers: np.ndarray | None = None
    scale: np.ndarray | None = None
    format: IntFormat | None = None


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the network: real = scale * (n - zero), and n + offset is the graph's own integer.

    Attributes:
        name: in the network.
        format: of n.
        scale, zero, offset: as above.
        size: (H, W, C).
        index: where each element of the graph's array lies in `[H, W, C]`: int64 of the graph's shape.
        drift: how far the graph's own float32 may be from the real value.
    """

    name: str
    format: IntFormat
    scale: Fraction
    zero: Fraction
    offset: int
    size: tuple[int, int, int]
    index: np.ndarray
    drift: float = 0.0

    @property
    def ends(self) -> tuple[Fraction, Fraction]:
        """Least and greatest real value."""
        return self.scale * (self.format.min - self.zero), self.scale * (self.format.max - self.zero)


@dataclass(frozen=True, eq=False)
class Padded:
    """A tensor around which the convolution that reads it puts zeros: (top, left, bottom, right)."""

    tensor: Tensor | Open
    padding: Padding
    index: np.ndarray


@dataclass(frozen=True, eq=False)
class Weight:
    """Integers `[K, fH, fW, C / groups]` in a format, and the real value of one step for each output channel.

    Attributes:
        exact: whether the graph's float32 weights are these real values.
    """

    integers: np.ndarray
    format: IntFormat
    scales: tuple[Fraction, ...]
    exact: bool = True


@dataclass(frozen=True, eq=False)
class Open:
    """A layer up to, not including, its quantiser: conv(source) * factors + offsets + residual, bounds, pooling.

    All in real numbers; `weight` holds integers, and a factor is what one of its steps stands for.

    Attributes:
        name: of the layer.
        source: a tensor, or what must become one first.
        weight, weight_format, stride, padding, groups: of the layer.
        size: (H, W, C) of the result, and `index` its order in the graph, as of `Tensor`.
        factors, offsets: of each output channel.
        residual: what is added, and its factor.
        low, high: bounds, applied after the sum.
        pool: window and stride, and `pool_padding` with what never is the maximum.
        drift: as of `Tensor`.
    """

    name: str
    source: Tensor | Open
    weight: np.ndarray
    weight_format: IntFormat
    size: tuple[int, int, int]
    index: np.ndarray
    factors: tuple[Fraction, ...]
    offsets: tuple[Fraction, ...]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    groups: int = 1
    residual: tuple[Tensor | Open, Fraction] | None = None
    low: Fraction | None = None
    high: Fraction | None = None
    pool: Pool | None = None
    pool_padding: Padding = (0, 0, 0, 0)
    drift: float = 0.0

    @property
    def linear(self) -> bool:
        """Whether neither bounds nor pooling have been applied."""
        return self.low is None and self.high is None and self.pool is None

    @property
    def plain(self) -> bool:
        """Whether it is a tensor times one factor, plus offsets: what a layer can add as its residual."""
        return self.passes and isinstance(self.source, Tensor)

    @property
    def passes(self) -> bool:
        """Whether it is its source times one factor, plus offsets."""
        return (
            self.linear
            and self.residual is None
            and self.weight.shape == (self.source.size[2], 1, 1, 1)
            and self.weight_format == ONE
            and bool(self.weight.all())
            and self.padding == (0, 0, 0, 0)
            and self.stride == (1, 1)
            and len(set(self.factors)) == 1
        )

    @property
    def ends(self) -> tuple[Fraction, Fraction]:
        """Between what the values can lie."""
        lows, highs = self.channel_ends()
        low, high = min(lows), max(highs)
        if self.low is not None:
            low, high = max(low, self.low), max(high, self.low)
        if self.high is not None:
            low, high = min(low, self.high), min(high, self.high)
        return low, high

    def channel_ends(self) -> tuple[list[Fraction], list[Fraction]]:
        """Least and greatest value of each channel before bounds and pooling."""
        ends = self.source.ends
        if any(self.padding):
            ends = min(ends[0], Fraction(0)), max(ends[1], Fraction(0))
        flat = self.weight.reshape(len(self.weight), -1)
        positive = np.maximum(flat, 0).sum(axis=1).tolist()
        negative = np.minimum(flat, 0).sum(axis=1).tolist()
        extra = (Fraction(0), Fraction(0))
        if self.residual is not None:
            other, factor = self.residual
            both = [factor * end for end in other.ends]
            extra = min(both), max(both)
        lows, highs = [], []
        for factor, offset, up, down in zip(self.factors, self.offsets, positive, negative, strict=True):
            both = [factor * (up * ends[a] + down * ends[1 - a]) + offset for a in (0, 1)]
            lows.append(min(both) + extra[0])
            highs.append(max(both) + extra[1])
        return lows, highs

    def reaches(self) -> list[Fraction]:
        """The greatest sum of the magnitudes of each channel's products and addends; no partial sum exceeds it."""
        most = max(map(abs, self.source.ends))
        extra = Fraction(0)
        if self.residual is not None:
            extra = abs(self.residual[1]) * max(map(abs, self.residual[0].ends))
        totals = np.abs(self.weight.reshape(len(self.weight), -1)).sum(axis=1).tolist()
        return [
            abs(factor) * total * most + abs(offset) + extra
            for factor, total, offset in zip(self.factors, totals, self.offsets, strict=True)
        ]

    def steps(self, offsets: bool = True) -> list[Fraction]:
        """Of each channel a number of which all values, before bounds, are integer multiples, with or without their
        offset."""
        step = _step(self.source)
        extra = Fraction(0)
        if self.residual is not None:
            extra = self.residual[1] * _step(self.residual[0])
        return [
            common_step(factor * step, offset if offsets else Fraction(0), extra)
            for factor, offset in zip(self.factors, self.offsets, strict=True)
        ]


def placed(shape: tuple[int, ...], axis: int) -> np.ndarray:
    """Places in `[H, W, C]` of the elements of a graph's array with channels in `axis`: int64 of its shape."""
    rest = shape[:axis] + shape[axis + 1 :]
    places = np.arange(math.prod(checked("a tensor", shape))).reshape(*rest, shape[axis])
    return np.moveaxis(places, -1, axis)


def _step(value: Tensor | Open) -> Fraction:
    """A number of which all values of a tensor or layer are multiples."""
    if isinstance(value, Tensor):
        return common_step(value.scale, value.scale * value.zero)
    ends = [end for end in (value.low, value.high) if end is not None]
    return common_step(*value.steps(), *ends)


def common_step(*values: Fraction) -> Fraction:
    """The greatest number of which all are integer multiples (0 of zeros alone)."""
    numerators, denominator = 0, 1
    for value in values:
        numerator = value.numerator
        common = math.gcd(denominator, value.denominator)
        scaled = numerators * (value.denominator // common)
        numerators = math.gcd(scaled, numerator * (denominator // common))
        denominator *= value.denominator // common
    return Fraction(numerators, denominator)


def is_float32(step: Fraction, reach: Fraction) -> bool:
    """Whether every multiple of `step` of a magnitude up to `reach` is a float32 number."""
    if not step or not reach:
        return True
    twos = step.denominator & -step.denominator
    if twos != step.denominator:  # a third has no end in binary
        return False
    power = Fraction(step.numerator & -step.numerator, twos)
    return reach / power <= _EXACT and Fraction(2) ** -126 <= power


def with_rounding(value: Open, operations: int = 1) -> Open:
    """The layer with what the framework's float32 may lose in its last operations, each of results up to its reach.

    Args:
        operations: how many additions or products lead to each value.
    """
    lost = max(
        (r for step, r in zip(value.steps(), value.reaches(), strict=True) if not is_float32(step, r)),
        default=None,
    )
    if lost is None:
        return value
    # Any order of n sums is off by n half units of the largest partial sum; 1.01 covers what those lose in turn.
    return dataclasses.replace(value, drift=value.drift + 1.01 * operations * float(lost) / _EXACT)


def quantised_drift(scale: Fraction, low: Fraction, high: Fraction) -> float:
    """The greatest error of float32's product of `scale` and an integer from low to high."""
    reach = scale * max(abs(low), abs(high))
    return 0.0 if is_float32(scale, reach) else 1.01 * float(reach) / _EXACT
