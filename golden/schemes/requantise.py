# SPDX-License-Identifier: Apache-2.0
"""The last step of TFLite's convolutions and fully connected layers, in place in float64 where that is exact.

The definitions are `Rescale.apply` and `FloatRescale.apply` of `golden.schemes.tflite`, in 64-bit integers. Numpy
takes about three times as long for them as for the same in float64, so a layer is prepared: for each channel it is
known what its sums can reach, and from that, whether float64 gives the definition's result for every sum.

Fixed point: with an accumulator a (a sum and its offset), P = a * multiplier, e = -shift and
v = floor((P + 2**30) / 2**31), the two roundings are floor((v + 2**(e-1)) / 2**e) for v >= 0 and
floor((v + 2**(e-1) - 1) / 2**e) for v < 0, if e > 0. A floor of a floor is one floor:
floor((P + 2**30 + 2**(30+e) - (a < 0) * 2**31) / 2**(31+e)); for e = 0 it is floor((P + 2**30) / 2**31). (v < 0 means
a < 0, but for a = -1 and multiplier 2**30, or 0, where both give 0.) The zero point is added inside of the floor.

All that is scaled by 2**-(31+e), which no float64 minds. A channel is exact

- if it is *constant*: both ends of what a can be give one result, and so does all between, as the roundings are
  monotonic. Channels that training left without use are like that, with factors near 2**-32 and biases near 2**30;
- *folded*, if sum * multiplier, offset * multiplier and what becomes of them with the constants stay below 2**53:
  everything is an integer that float64 holds, so the offset needs no step of its own;
- *apart*, the offset added first, if e <= 14. As long as P and what it becomes with the constants stay within 2**53,
  the same holds. Where one of them leaves that, e <= 14 makes it 256 or more after the scaling, exact or rounded, as
  rounding is monotonic: more than the zero point and what is still added can bring back into int8, so that the result
  saturates to the same end. (For e = 15 it is 128 or more, and a zero point of -128 does bring that back:
  4812869 * 2141969779 is wrong by one.)

*Lines.* Half as many bytes take half the time, so a layer whose sums are float32 and that has many of them is searched
for a line of float32 numbers, floor(sum * m + b), that gives the definition's result for every sum. The definition and
the line are both monotonic, the line because each rounding of a float is. Two monotonic functions to integers are equal
if they reach every integer k at the same sum; so it is enough to look at the least sum for which the definition gives
k, where the line must give k or more, and at the sum before, where it must give less, for all k that the clamp leaves.
The nearest m and b mostly pass for a channel, and if not, others do that are some steps of float32 away. Where a
negative accumulator and one that is not are rounded otherwise (fixed point, clamped below the zero point), no line
passes, and none is looked for.

Fully connected layers multiply by a factor in float64 by definition; only the sum, below 2**53, must be exact.
Accumulators that may leave 32 bits wrap, and layers with such, or with a channel that is none of the above, are
computed by the definition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.golden.layers.linear import repeats
from assay.golden.schemes.tflite import BELOW_HALF, FloatRescale, Rescale, clamped, round_half_away

__all__ = ["Requantiser"]

# A step of a result: a function of what the step before gave (first the sums), of an operand, one or float64 `[C]`, and
# of where its result goes.
_Step = tuple[Callable[[np.ndarray, Any, np.ndarray], Any], np.ndarray | float]

# Positions after which a line is looked for: that takes about as long as so many positions' float64 steps.
_SEARCH_AFTER = 1 << 12
# Steps of float32 by which a line is turned and lifted, the nearest first.
_NEARBY = sorted(
    ((turn, lift) for turn in range(-3, 4) for lift in range(-3, 4)), key=lambda step: sum(map(abs, step))
)
# Sums that the middle of the results is brought to.
_AWAY = (0, 37, -53, 71, -97, 113, -139)
# Numbers that all steps are applied to before the next ones, so that they stay in the cache.
_CHUNK = 1 << 15

_BY_DEFINITION: tuple[str, list[_Step]] = ("integer", [])


@dataclass(frozen=True, eq=False)
class Requantiser:
    """clip(rescale(sum + offset) + zero_point, low, high) for all sums of one layer.

    Attributes:
        rescale: one factor, or one for each channel.
        offset: int64 `[C]`.
        reach: int64 `[C]`, the largest magnitude of a sum.
        zero_point, low, high: within `dtype`.
        dtype: int8 or uint8.
        way: "folded", "apart", "float" or, for the definition itself, "integer" (derived); "line" once one is found.
    """

    rescale: Rescale | FloatRescale
    offset: np.ndarray
    reach: np.ndarray
    zero_point: int
    low: int
    high: int
    dtype: np.dtype
    way: str = field(init=False)
    _steps: tuple[_Step, ...] = field(init=False, repr=False)
    _last: tuple[int, tuple[_Step, ...]] = field(init=False, repr=False, default=(0, ()))
    # The real line that float32's are looked for around, `_Line`, or None: there is none, or it was looked for.
    _line: Any = field(init=False, repr=False, default=None)
    _positions: int = field(init=False, repr=False, default=0)

    def __post_init__(self) -> None:
        way, steps = _BY_DEFINITION
        if int((self.reach + np.abs(self.offset)).max()) < 1 << 31:
            rescale = self.rescale
            way, steps = (
                self._real(rescale) if isinstance(rescale, FloatRescale) else self._fixed_point(rescale)
            )
        self._set(way, steps)

    def _set(self, way: str, steps: Iterable[_Step]) -> None:
        object.__setattr__(self, "way", way)
        object.__setattr__(self, "_steps", tuple(steps))
        object.__setattr__(self, "_last", (0, ()))

    def run(self, blocks: Iterable[tuple[Any, np.ndarray]], y: np.ndarray) -> None:
        """Put the results of all blocks into `y`.

        Args:
            blocks: what `y` is indexed with, and sums `[..., C]` as floats that hold them exactly.
            y: `dtype` `[..., C]`, contiguous.
        """
        memory = np.empty(0)
        for block, sums in blocks:
            part = y[block]
            if self._line is not None:
                self._look_for_line(sums)
            if not self._steps:
                part[...] = self.define(sums)
                continue
            channels = sums.shape[-1]
            repeat = repeats(sums.size // channels, channels)
            rows, results = (a.reshape(-1, repeat * channels) for a in (sums, part))
            step = max(1, _CHUNK // rows.shape[1])
            if memory.size < min(step, len(rows)) * rows.shape[1]:
                memory = np.empty(min(step, len(rows)) * rows.shape[1])
            if self.way == "line" and memory.dtype != np.float32:
                memory = memory.astype(np.float32)
            steps = self._tiled(repeat)
            for first in range(0, len(rows), step):
                made = rows[first : first + step]
                out = memory[: made.size].reshape(made.shape)
                for function, operand in steps:
                    made = function(made, operand, out)
                np.clip(made, self.low, self.high, out=made)
                results[first : first + step] = made

    def _tiled(self, repeat: int) -> tuple[_Step, ...]:
        """The steps for rows of `repeat` times C numbers; a layer's calls mostly ask for the same."""
        if self._last[0] != repeat:
            steps = tuple((f, np.tile(v, repeat) if isinstance(v, np.ndarray) else v) for f, v in self._steps)
            object.__setattr__(self, "_last", (repeat, steps))
        return self._last[1]

    def _look_for_line(self, sums: np.ndarray) -> None:
        """Change to a line of float32, if there is one, after so many sums that looking for it pays."""
        object.__setattr__(self, "_positions", self._positions + sums.size // sums.shape[-1])
        if self._positions < _SEARCH_AFTER or self._line is None:
            return
        line = self._line
        object.__setattr__(self, "_line", None)
        if sums.dtype == np.float32:
            steps = line.in_float32(self)
            if steps:
                self._set("line", steps)

    def define(self, sums: np.ndarray) -> np.ndarray:
        """The results of sums `[..., C]` by the definition, in integers: `dtype` of the same shape."""
        # As the kernels' 32-bit accumulators hold them, which wrap; in C that is undefined.
        accumulated = (sums.astype(np.int64) + self.offset).astype(np.int32).astype(np.int64)
        return clamped(self.rescale.apply(accumulated), self.zero_point, self.low, self.high, self.dtype)

    def _fixed_point(self, rescale: Rescale) -> tuple[str, list[_Step]]:
        multiplier, shift = (
            np.broadcast_to(a, self.offset.shape) for a in (rescale.multiplier, rescale.shift)
        )
        most = self.reach + np.abs(self.offset)
        left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
        if (multiplier < 0).any() or (most >= np.int64(1) << (31 - left)).any():
            return _BY_DEFINITION
        ends = self.define(np.stack([-self.reach, self.reach]))
        constant = ends[0] == ends[1]
        rounds_twice = (right > 0) & ~constant
        # In units of 2**-(31 + e); from e = 22 on the constants alone leave 2**53.
        constants = (np.int64(abs(self.zero_point) + 2) << 31 + np.minimum(right, 22)) + (1 << 31)
        folded = constant | ((right < 22) & ((most << left) * multiplier + constants < 1 << 53))
        if not (folded | (right <= 14)).all():
            return _BY_DEFINITION
        unit = np.where(constant, 0.0, np.ldexp(multiplier.astype(np.float64), shift - 31))
        shared = 0.5 * np.ldexp(1.0, -right) + np.where(right > 0, 0.5, 0.0) + self.zero_point
        shared = np.where(constant, ends[0], shared)
        steps: list[_Step] = [(np.multiply, unit)]
        offset = self.offset * unit
        if not folded.all():
            steps, offset = (
                [(np.add, self.offset.astype(np.float64)), (np.multiply, unit)],
                np.zeros(len(unit)),
            )
        # Where the clamp is at the zero point or above, as after a ReLU, all a < 0 end there anyway.
        if self.low < self.zero_point and rounds_twice.any():
            if folded.all():
                steps.append((np.add, offset))
            steps.append((_lowered_where_negative, np.where(rounds_twice, np.ldexp(1.0, -right), 0.0)))
            steps.append((np.add, shared))
        else:
            steps.append((np.add, offset + shared))
            object.__setattr__(self, "_line", _Line(unit, shared))
        steps.append((_floor, 0))
        return ("folded" if folded.all() else "apart"), steps

    def _real(self, rescale: FloatRescale) -> tuple[str, list[_Step]]:
        factor = np.broadcast_to(rescale.factor, self.offset.shape)
        # Where the clamp is at the zero point or above, what is negative ends there, however it is rounded.
        rounded = _rounded_up if self.low >= self.zero_point else _rounded_away
        if (factor > 0).all():
            object.__setattr__(self, "_line", _Line(factor, np.full(len(factor), self.zero_point + 0.5)))
        return "float", [
            (np.add, self.offset.astype(np.float64)),
            (np.multiply, factor),
            (rounded, 0),
            (np.add, float(self.zero_point)),
        ]


@dataclass(frozen=True)
class _Line:
    """floor(accumulator * slope + height), which results follow up to roundings: float64 `[C]` each."""

    slope: np.ndarray
    height: np.ndarray

    def in_float32(self, of: Requantiser) -> list[_Step]:
        """Steps of float32 that give the results of all sums of `of`, or none."""
        constant = self.slope == 0
        k, first = self._first_sums(of)
        # The least sum for each k and the one before it; where that is beyond the reach, there is nothing to see.
        points = np.stack([np.maximum(first, -of.reach), np.minimum(first - 1, of.reach)])
        unseen = np.stack([first > of.reach, first <= -of.reach]) | constant
        middle = first[len(first) // 2]
        added, slopes, heights = np.zeros((3, len(middle)), np.float32)
        heights[constant] = self.height[constant]
        left = np.flatnonzero(~constant)
        # First without a number that is added to the sum, then with such that bring the middle of the results near 0,
        # where floats are finest.
        for away in (None, *_AWAY):
            add = np.zeros(len(left), np.int64) if away is None else away - middle[left]
            if (of.reach[left] + np.abs(add)).max(initial=0) >= 1 << 24:
                return []
            sums = (points[..., left] + add).astype(np.float32)
            for turn, lift in _NEARBY:
                real = self.slope[left]
                slope = real.astype(np.float32)
                slope += turn * np.spacing(slope)
                # Turned about the middle of the results.
                height = (
                    self.height[left] + (of.offset[left] - add) * real - (slope - real) * (middle[left] + add)
                )
                base = height.astype(np.float32)
                base += lift * np.spacing(base)
                made = sums * slope
                made += base
                right = unseen[..., left]
                right[0] |= made[0] >= k
                right[1] |= made[1] < k
                passed = right.all(axis=(0, 1))
                done = left[passed]
                added[done], slopes[done], heights[done] = add[passed], slope[passed], base[passed]
                left, add, sums = left[~passed], add[~passed], sums[..., ~passed]
                if not left.size:
                    steps: list[_Step] = [(np.multiply, slopes), (np.add, heights), (_floor, 0)]
                    return [(np.add, added), *steps] if added.any() else steps
        return []

    def _first_sums(self, of: Requantiser) -> tuple[np.ndarray, np.ndarray]:
        """The results k above the least, float32 `[n, 1]`, and the least sum that gives k or more, `[n, C]`."""
        k = np.arange(of.low + 1, of.high + 1)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            real = np.nan_to_num((k - self.height) / self.slope)
        first = np.ceil(np.clip(real, -(2.0**40), 2.0**40)).astype(np.int64) - of.offset
        first = np.clip(first, -of.reach, of.reach + 1)
        # The real line is at most one sum away; the definition decides.
        while True:
            low = (of.define(np.minimum(first, of.reach)) < k) & (first <= of.reach)
            high = (of.define(np.maximum(first - 1, -of.reach)) >= k) & (first > -of.reach)
            if not (low | high).any():
                return k.astype(np.float32), first
            first += low
            first -= high


def _lowered_where_negative(x: np.ndarray, by: np.ndarray, out: np.ndarray) -> np.ndarray:
    """x - by where the sign of float64 `x` is negative; `by` is 0.0 or more."""
    bits = x.view(np.int64) >> 63
    bits &= by.view(np.int64)
    return np.subtract(x, bits.view(np.float64), out)


def _floor(x: np.ndarray, _: Any, out: np.ndarray) -> np.ndarray:
    return np.floor(x, out)


def _rounded_away(x: np.ndarray, _: Any, out: np.ndarray) -> np.ndarray:
    return round_half_away(x, out)


def _rounded_up(x: np.ndarray, _: Any, out: np.ndarray) -> np.ndarray:
    """The same where x is not negative; x that is gives 0 or less."""
    return np.floor(np.add(x, BELOW_HALF, out), out)
