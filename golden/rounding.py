# SPDX-License-Identifier: Apache-2.0
"""Integer division with rounding: every mode that hardware and frameworks use, defined once.

A quotient is floor(x / d) or one more. Each mode decides by the remainder x - d * floor(x / d), which is 0 to d - 1:

    name              goes up where                            also called
    truncate          never                                    floor, >>>, ap_fixed TRN, QONNX FLOOR
    ceil              the remainder is not 0                   QONNX CEIL
    toward_zero       it is not 0, and x < 0                   C's division, TRN_ZERO, QONNX DOWN
    away_from_zero    it is not 0, and x >= 0                  QONNX UP
    half_up           it is d / 2 or more                      add half and shift, RND
    half_down         it is more than d / 2                    RND_MIN_INF
    half_away         half_up for x >= 0, else half_down       C's round, RND_INF, QONNX HALF_UP, TFLite
    half_toward_zero  half_down for x >= 0, else half_up       RND_ZERO, QONNX HALF_DOWN
    half_even         more than d / 2, or d / 2 and odd floor  convergent, IEEE 754, RND_CONV, numpy's rint
    stochastic        remainder + random >= d                  random bits of an LFSR, added below the last place

All functions are exact for every int64: nothing overflows on the way, and a result beyond int64 is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.formats import integers, magnitude

__all__ = ["ROUNDINGS", "divide", "rescale", "round_fraction", "shift_right"]

Integers = npt.NDArray[np.integer[Any]] | int

_STOCHASTIC = "stochastic"

# Mode -> whether the quotient goes up, of its floor q, the remainder r and the largest remainder, `last`, all of them
# arrays or Python's integers. r > last - r says 2 * r >= last + 1, that is, r is half or more, without a product that
# could overflow; r - 1 in place of r leaves the tie down. q < 0 is x < 0.
_GOES_UP: dict[str, Callable[[Any, Any, Any], Any]] = {
    "truncate": lambda q, r, last: r > last,
    "ceil": lambda q, r, last: r > 0,
    "toward_zero": lambda q, r, last: (r > 0) & (q < 0),
    "away_from_zero": lambda q, r, last: (r > 0) & (q >= 0),
    "half_up": lambda q, r, last: r > last - r,
    "half_down": lambda q, r, last: r - 1 > last - r,
    "half_away": lambda q, r, last: r - (q < 0) > last - r,
    "half_toward_zero": lambda q, r, last: r - (q >= 0) > last - r,
    "half_even": lambda q, r, last: r - ((q & 1) == 0) > last - r,
}

#: Names of the modes.
ROUNDINGS = (*_GOES_UP, _STOCHASTIC)


def shift_right(
    x: Integers, shift: Integers, rounding: str = "half_up", random: Integers | None = None
) -> npt.NDArray[np.int64]:
    """x / 2**shift, rounded.

    Args:
        x: integers of any shape and integer dtype, within int64.
        shift: 0 to 63, one or an array that broadcasts against `x`.
        rounding: a name of `ROUNDINGS`.
        random: for "stochastic" alone, integers from 0 to 2**shift - 1 that broadcast against `x`: the bits that the
            hardware adds before it drops the low `shift` bits. A generator of fewer bits adds its bits shifted left.

    Returns:
        int64 of the broadcast shape.

    Raises:
        ConfigurationError: a shift out of range, another rounding, or `random` missing, out of range or not used.
        GoldenError: an argument does not hold integers within int64.
    """
    x, shift = (
        _int64(x, "x"),
        _int64(shift, "shift"),
    )
    if shift.size and not (int(shift.min()) >= 0 and int(shift.max()) <= 63):
        raise ConfigurationError(
            f"shift is {_outlier(shift, 0, 63)}, but must be a whole number from 0 to 63"
        )
    last = np.int64(-1) ^ (np.int64(-1) << shift)
    q = x >> shift
    return q + _goes_up(q, x & last, last, rounding, random)


def divide(
    x: Integers, divisor: Integers, rounding: str = "half_up", random: Integers | None = None
) -> npt.NDArray[np.int64]:
    """x / divisor, rounded: a mean of `divisor` values, for example.

    Args:
        x: integers of any shape and integer dtype, within int64.
        divisor: 1 or more, one or an array that broadcasts against `x`.
        rounding: a name of `ROUNDINGS`.
        random: for "stochastic" alone, integers from 0 to divisor - 1 that broadcast against `x`.

    Returns:
        int64 of the broadcast shape.

    Raises:
        ConfigurationError: a divisor below 1, another rounding, or `random` missing, out of range or not used.
        GoldenError: an argument does not hold integers within int64.
    """
    x, divisor = (
        _int64(x, "x"),
        _int64(divisor, "divisor"),
    )
    if divisor.size and int(divisor.min()) < 1:
        raise ConfigurationError(f"divisor is {int(divisor.min())}, but must be 1 or more")
    q = x // divisor
    return q + _goes_up(q, x - q * divisor, divisor - 1, rounding, random)


def rescale(
    x: Integers,
    numerator: Integers,
    denominator: Integers,
    rounding: str = "half_up",
    random: Integers | None = None,
) -> npt.NDArray[np.int64]:
    """x * numerator / denominator, rounded once; a product of more than 64 bits is exact, too.

    A multiplier and a right shift are `rescale(x, multiplier, 1 << shift)`; a scale as a fraction is
    `rescale(x, scale.numerator, scale.denominator)`.

    Args:
        x: integers of any shape and integer dtype, within int64.
        numerator: integers of any sign that broadcast against `x`.
        denominator: 1 or more, one or an array that broadcasts against `x`.
        rounding: a name of `ROUNDINGS`.
        random: for "stochastic" alone, integers from 0 to denominator - 1 that broadcast against `x`.

    Returns:
        int64 of the broadcast shape.

    Raises:
        ConfigurationError: a denominator below 1, another rounding, or `random` missing, out of range or not used.
        GoldenError: an argument does not hold integers within int64, or a result leaves int64.
    """
    x, numerator, denominator = (
        _int64(values, name)
        for values, name in ((x, "x"), (numerator, "numerator"), (denominator, "denominator"))
    )
    if magnitude(x) * magnitude(numerator) < 1 << 63:
        return divide(x * numerator, denominator, rounding, random)
    if denominator.size and int(denominator.min()) < 1:
        raise ConfigurationError(f"denominator is {int(denominator.min())}, but must be 1 or more")
    # Python's integers, of any size, in an array of objects.
    product, divisor = x.astype(object) * numerator.astype(object), denominator.astype(object)
    q = product // divisor
    y = q + _goes_up(q, product - q * divisor, divisor - 1, rounding, random)
    wrong = [value for value in np.ravel(y).tolist() if not -(1 << 63) <= value < 1 << 63]
    if wrong:
        raise GoldenError(f"x * numerator / denominator is {wrong[0]}, but must fit 64 bits")
    return np.asarray(y, np.int64)


def round_fraction(value: Fraction | int, rounding: str) -> int:
    """The integer that a mode makes of an exact fraction: what `divide` vectorises.

    Raises:
        ConfigurationError: another rounding; "stochastic" is one, as it needs random bits of a given number.
    """
    if rounding not in _GOES_UP:
        raise ConfigurationError(f"rounding is {rounding!r}, but must be one of {', '.join(_GOES_UP)}")
    q, r = divmod(value.numerator, value.denominator)
    return q + int(_GOES_UP[rounding](q, r, value.denominator - 1))


def _goes_up(q: Any, r: Any, last: Any, rounding: str, random: Integers | None) -> Any:
    """Where the quotient is one more than its floor `q`."""
    if rounding not in ROUNDINGS:
        raise ConfigurationError(f"rounding is {rounding!r}, but must be one of {', '.join(ROUNDINGS)}")
    if rounding != _STOCHASTIC:
        if random is not None:
            raise ConfigurationError(
                f"random bits are given, but rounding is {rounding!r}, not {_STOCHASTIC!r}"
            )
        return _GOES_UP[rounding](q, r, last)
    if random is None:
        raise ConfigurationError(
            f"rounding is {_STOCHASTIC!r}, but the random bits are missing: random=integers"
        )
    bits = _int64(random, "random")
    if ((bits < 0) | (bits > last)).any():
        raise ConfigurationError(
            f"random is {_outlier(bits, 0, np.broadcast_to(last, np.broadcast_shapes(bits.shape, np.shape(last))))}, "
            "but must be at least 0 and below the divisor"
        )
    return bits > last - r


def _outlier(values: npt.NDArray[np.int64], low: int, high: Any) -> int:
    """The first value that is not within `low` to `high`."""
    values = np.broadcast_to(values, np.broadcast_shapes(values.shape, np.shape(high)))
    return int(values[(values < low) | (values > high)][0])


def _int64(values: Integers, name: str) -> npt.NDArray[np.int64]:
    return integers(values, name).astype(np.int64, copy=False)
