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
The nearest m and b mostly pass for a channel, and if not, others do that are some steps of float32 away, or are wrong
at one or two sums of the channel, which are replaced afterwards. Where
negative accumulators are rounded otherwise than others (fixed point, clamped below the zero point), they are lowered
first, which is monotonic, too.

Fully connected layers multiply by a factor in float64 by definition; only the sum, below 2**53, must be exact.
Accumulators that may leave 32 bits wrap, and layers with such, or with a channel that is none of the above, are
computed by the definition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from assay.golden.layers.linear import repeats
from assay.golden.layers.scratch import scratch
from assay.golden.schemes.tflite import BELOW_HALF, FloatRescale, Rescale, clamped, round_half_away

__all__ = ["Requantiser"]

# A step of a result: a function of what the step before gave (first the sums), of an operand, one or float64 `[C]`, and
# of where its result goes.
_Step = tuple[Callable[[np.ndarray, Any, np.ndarray], Any], np.ndarray | float]

# For each channel a sum, or NaN, and its result.
_Exception = tuple[np.ndarray, np.ndarray]
# Positions after which a line is looked for, which takes about as long as several times as many in float64.
_SEARCH_AFTER = 1 << 14
# Steps of float32 by which a line is turned and lifted, the nearest first.
_NEARBY = sorted(
    ((turn, lift) for turn in range(-3, 4) for lift in range(-3, 4)), key=lambda step: sum(map(abs, step))
)
# Sums that the middle of the results is brought to; at first it stays where it is.
_AWAY = (None, 0, 37, -53, 71)
# Sums of a channel at which a line may be wrong: each costs two steps more.
_EXCEPTIONS = 2
# Numbers that all steps are applied to before the next ones, so that they stay in the cache.
_CHUNK = 1 << 16

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
    _exceptions: tuple[_Exception, ...] = field(init=False, repr=False)
    # The operands as they were last asked for: how often repeated, steps, exceptions.
    _last: tuple[int, tuple[_Step, ...], tuple[_Exception, ...]] = field(init=False, repr=False)
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

    def _set(self, way: str, steps: Iterable[_Step], exceptions: Iterable[_Exception] = ()) -> None:
        object.__setattr__(self, "way", way)
        object.__setattr__(self, "_steps", tuple(steps))
        object.__setattr__(self, "_exceptions", tuple(exceptions))
        object.__setattr__(self, "_last", (0, (), ()))

    def run(self, blocks: Iterable[tuple[Any, np.ndarray]], y: np.ndarray) -> None:
        """Put the results of all blocks into `y`.

        Args:
            blocks: what `y` is indexed with, and sums `[..., C]` as floats that hold them exactly.
            y: `dtype` `[..., C]`, contiguous.
        """
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
            _, steps, exceptions = self._tiled(repeat)
            dtype = np.float32 if self.way == "line" else np.float64
            with scratch("results", min(step, len(rows)) * rows.shape[1], dtype) as memory:
                for first in range(0, len(rows), step):
                    made = rows[first : first + step]
                    out = memory[: made.size].reshape(made.shape)
                    for function, operand in steps:
                        made = function(made, operand, out)
                    np.clip(made, self.low, self.high, out=made)
                    results[first : first + step] = made
                    for wrong, right in exceptions:
                        places = np.flatnonzero(rows[first : first + step] == wrong)
                        if places.size:
                            results[first : first + step].reshape(-1)[places] = right[places % len(right)]

    def _tiled(self, repeat: int) -> tuple[int, tuple[_Step, ...], tuple[_Exception, ...]]:
        """The steps for rows of `repeat` times C numbers; a layer's calls mostly ask for the same."""
        if self._last[0] != repeat:
            steps = tuple((f, np.tile(v, repeat) if isinstance(v, np.ndarray) else v) for f, v in self._steps)
            exceptions = tuple(
                (np.tile(wrong, repeat), np.tile(right, repeat)) for wrong, right in self._exceptions
            )
            object.__setattr__(self, "_last", (repeat, steps, exceptions))
        return self._last

    def _look_for_line(self, sums: np.ndarray) -> None:
        """Change to a line of float32, if there is one, after so many sums that looking for it pays."""
        object.__setattr__(self, "_positions", self._positions + sums.size // sums.shape[-1])
        if self._positions < _SEARCH_AFTER or self._line is None:
            return
        line = self._line
        object.__setattr__(self, "_line", None)
        if sums.dtype == np.float32:
            found = line.in_float32(self)
            if found is not None:
                self._set("line", *found)

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
            with np.errstate(divide="ignore"):
                lowered = np.where(rounds_twice, np.ldexp(1.0, -right) / unit, 0.0)
        else:
            steps.append((np.add, offset + shared))
            lowered = np.zeros(len(unit))
        object.__setattr__(self, "_line", _Line(unit, shared, lowered))
        steps.append((_floor, 0))
        return ("folded" if folded.all() else "apart"), steps

    def _real(self, rescale: FloatRescale) -> tuple[str, list[_Step]]:
        factor = np.broadcast_to(rescale.factor, self.offset.shape)
        # Where the clamp is at the zero point or above, what is negative ends there, however it is rounded.
        rounded = _rounded_up if self.low >= self.zero_point else _rounded_away
        if (factor > 0).all():
            object.__setattr__(
                self,
                "_line",
                _Line(factor, np.full(len(factor), self.zero_point + 0.5), np.zeros(len(factor))),
            )
        return "float", [
            (np.add, self.offset.astype(np.float64)),
            (np.multiply, factor),
            (rounded, 0),
            (np.add, float(self.zero_point)),
        ]


class _Found(NamedTuple):
    """A line in float32, `[C]` each: floor(lower(sum + added) * slope + height), in this order, each step rounded."""

    added: np.ndarray
    lowered: np.ndarray
    slope: np.ndarray
    height: np.ndarray

    def steps(self) -> list[_Step]:
        steps: list[_Step] = [(np.multiply, self.slope), (np.add, self.height), (_floor, 0)]
        if self.lowered.any():
            steps = [(_lowered_where_negative, self.lowered), *steps]
        return [(np.add, self.added), *steps] if self.added.any() or self.lowered.any() else steps

    def of(self, sums: np.ndarray) -> np.ndarray:
        """The results of sums `[..., C]`, which are consumed, not yet rounded down."""
        for function, operand in self.steps()[:-1]:
            function(sums, operand, sums)
        return sums


@dataclass(frozen=True)
class _Line:
    """floor((a - lowered * (a < 0)) * slope + height) of accumulators a, which results follow up to roundings.

    Attributes:
        slope, height, lowered: float64 `[C]`.
    """

    slope: np.ndarray
    height: np.ndarray
    lowered: np.ndarray

    def in_float32(self, of: Requantiser) -> tuple[list[_Step], list[_Exception]] | None:
        """Steps of float32 that give the results of all sums of `of` but for the exceptions; None if there are more."""
        if of.low == of.high:
            return None
        constant = self.slope == 0
        k, first = self._first_sums(of)
        found = _Found(
            np.zeros(len(constant), np.float32),
            self.lowered.astype(np.float32),
            np.zeros(len(constant), np.float32),
            np.where(constant, self.height, 0).astype(np.float32),
        )
        fewest = np.where(constant, 0, len(first) + 1)
        middle = first[len(first) // 2]
        for away in _AWAY:
            left = np.flatnonzero(fewest)
            # What is added to a sum: nothing at first, then what brings the middle of the results near 0, where floats
            # are finest; but what makes it the accumulator, where the sign counts.
            signed = bool(self.lowered.any())
            add = (
                of.offset[left]
                if signed
                else np.zeros(len(left), np.int64)
                if away is None
                else away - middle[left]
            )
            if (of.reach[left] + np.abs(add)).max(initial=0) >= 1 << 24:
                break
            # Not exact anyway, so that it may be a little more or less.
            lowered = (self.lowered[left] * (1 + (away or 0) / (1 << 17))).astype(np.float32)
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
                tried = _Found(add.astype(np.float32), lowered, slope, base)
                wrong = sum(w.sum(axis=0) for w in self._wrong(of, tried, k, first[:, left], left))
                better = wrong < fewest[left]
                fewest[left[better]] = wrong[better]
                for kept, new in zip(found, tried, strict=True):
                    kept[left[better]] = new[better]
                if not fewest[left].any():
                    return found.steps(), []
                if not wrong.all():
                    done = fewest[left] == 0
                    left, add, lowered = left[~done], add[~done], lowered[~done]
        if fewest.max() > _EXCEPTIONS:
            return None
        return self._with_exceptions(of, found, k, first)

    def _with_exceptions(
        self, of: Requantiser, found: _Found, k: np.ndarray, first: np.ndarray
    ) -> tuple[list[_Step], list[_Exception]] | None:
        """Lines that are wrong at a few sums, and these with their results."""
        every = np.arange(first.shape[1])
        exceptions: list[_Exception] = []
        low, high = self._wrong(of, found, k, first, every)
        # A sum further in the same direction, the line must be right again.
        again = self._wrong(of, found, k, first, every, 1)
        if (low & again[0]).any() or (high & again[1]).any():
            return None
        for c in np.flatnonzero((low | high).any(axis=0)):
            sums = [*first[low[:, c], c].tolist(), *(first[high[:, c], c] - 1).tolist()]
            for level, each in enumerate(sums):
                if level == len(exceptions):
                    exceptions.append(
                        (np.full(len(every), np.nan, np.float32), np.zeros(len(every), of.dtype))
                    )
                exceptions[level][0][c] = each
                exceptions[level][1][c] = of.define(np.full(len(every), each))[c]
        return found.steps(), exceptions

    @staticmethod
    def _wrong(
        of: Requantiser, line: _Found, k: np.ndarray, first: np.ndarray, channels: np.ndarray, beyond: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where a line gives less than k at the least sum for k, and where k or more at the one before: `[n, C]` each.

        Sums beyond the reach do not come. With `beyond`, it is looked so many sums further to either side.
        """
        reach = of.reach[channels]
        sums = [np.clip(first + beyond, -reach, reach), np.clip(first - 1 - beyond, -reach, reach)]
        low, high = (line.of((each).astype(np.float32)) for each in sums)
        seen = line.slope != 0
        return (low < k) & (first <= reach) & seen, (high >= k) & (first > -reach) & seen

    def _first_sums(self, of: Requantiser) -> tuple[np.ndarray, np.ndarray]:
        """The results k above the least, float32 `[n, 1]`, and the least sum that gives k or more, `[n, C]`."""
        k = np.arange(of.low + 1, of.high + 1)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            real = np.nan_to_num((k - self.height) / self.slope)
        real += np.where(real <= 0, self.lowered, 0)
        first = np.ceil(np.clip(real, -(2.0**40), 2.0**40)).astype(np.int64) - of.offset
        first = np.clip(first, -of.reach, of.reach + 1)
        # The real line is a sum or two away at most; the definition decides.
        while True:
            low = (of.define(np.minimum(first, of.reach)) < k) & (first <= of.reach)
            high = (of.define(np.maximum(first - 1, -of.reach)) >= k) & (first > -of.reach)
            if not (low | high).any():
                return k.astype(np.float32), first
            first += low
            first -= high


def _lowered_where_negative(x: np.ndarray, by: np.ndarray, out: np.ndarray) -> np.ndarray:
    """x - by where the sign of `x` is negative; `by` is of the same float and 0 or more."""
    integers = np.int64 if x.dtype == np.float64 else np.int32
    bits = np.right_shift(x.view(integers), 8 * x.itemsize - 1)
    bits &= by.view(integers)
    return np.subtract(x, bits.view(x.dtype), out)


def _floor(x: np.ndarray, _: Any, out: np.ndarray) -> np.ndarray:
    return np.floor(x, out)


def _rounded_away(x: np.ndarray, _: Any, out: np.ndarray) -> np.ndarray:
    return round_half_away(x, out)


def _rounded_up(x: np.ndarray, _: Any, out: np.ndarray) -> np.ndarray:
    """The same where x is not negative; x that is gives 0 or less."""
    return np.floor(np.add(x, BELOW_HALF, out), out)
