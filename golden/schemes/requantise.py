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

# Float64 numbers that all steps are applied to before the next ones, so that they stay in the cache.
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
        way: "folded", "apart", "float" or, for the definition itself, "integer" (derived).
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

    def __post_init__(self) -> None:
        way, steps = _BY_DEFINITION
        if int((self.reach + np.abs(self.offset)).max()) < 1 << 31:
            rescale = self.rescale
            way, steps = (
                self._real(rescale) if isinstance(rescale, FloatRescale) else self._fixed_point(rescale)
            )
        object.__setattr__(self, "way", way)
        object.__setattr__(self, "_steps", tuple(steps))

    def run(self, blocks: Iterable[tuple[Any, np.ndarray]], y: np.ndarray) -> None:
        """Put the results of all blocks into `y`.

        Args:
            blocks: what `y` is indexed with, and sums `[..., C]` as floats that hold them exactly.
            y: `dtype` `[..., C]`, contiguous.
        """
        memory = np.empty(0)
        for block, sums in blocks:
            part = y[block]
            if not self._steps:
                part[...] = self.define(sums)
                continue
            channels = sums.shape[-1]
            repeat = repeats(sums.size // channels, channels)
            rows, results = (a.reshape(-1, repeat * channels) for a in (sums, part))
            step = max(1, _CHUNK // rows.shape[1])
            if memory.size < min(step, len(rows)) * rows.shape[1]:
                memory = np.empty(min(step, len(rows)) * rows.shape[1])
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
        steps.append((_floor, 0))
        return ("folded" if folded.all() else "apart"), steps

    def _real(self, rescale: FloatRescale) -> tuple[str, list[_Step]]:
        factor = np.broadcast_to(rescale.factor, self.offset.shape)
        # Where the clamp is at the zero point or above, what is negative ends there, however it is rounded.
        rounded = _rounded_up if self.low >= self.zero_point else _rounded_away
        return "float", [
            (np.add, self.offset.astype(np.float64)),
            (np.multiply, factor),
            (rounded, 0),
            (np.add, float(self.zero_point)),
        ]


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
