# SPDX-License-Identifier: Apache-2.0
"""Integer division with rounding: every mode that hardware and frameworks use, defined once.

The quotient of x and d is floor((x + c) / d), as hardware makes it: something is added, and bits are dropped. Each mode
is a choice of c:

    name              c                                        also called
    truncate          0                                        floor, >>>, ap_fixed TRN, QONNX FLOOR
    ceil              d - 1                                    QONNX CEIL
    toward_zero       d - 1 where x < 0, else 0                C's division, TRN_ZERO, QONNX DOWN
    away_from_zero    d - 1 where x >= 0, else 0               QONNX UP
    half_up           d / 2                                    add half and shift, RND
    half_down         (d - 1) / 2                              RND_MIN_INF
    half_away         half_up for x >= 0, else half_down       C's round, RND_INF, QONNX HALF_UP, TFLite
    half_toward_zero  half_down for x >= 0, else half_up       RND_ZERO, QONNX HALF_DOWN
    half_even         half_up for an odd floor(x / d), else    convergent, IEEE 754, RND_CONV, numpy's rint
                      half_down
    stochastic        random bits, 0 to d - 1                  those of an LFSR

where d / 2 and (d - 1) / 2 are rounded down. All functions are exact for every int64: nothing overflows on the way, and
a result beyond int64 is an error.
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

# Mode -> c, of x, d and a function that gives floor(x / d). All are arrays of int64 or of Python's integers, or these.
_ADDED: dict[str, Callable[[Any, Any, Callable[[], Any]], Any]] = {
    "truncate": lambda x, d, floor: 0,
    "ceil": lambda x, d, floor: d - 1,
    "toward_zero": lambda x, d, floor: (d - 1) * (x < 0),
    "away_from_zero": lambda x, d, floor: (d - 1) * (x >= 0),
    "half_up": lambda x, d, floor: d >> 1,
    "half_down": lambda x, d, floor: d - 1 >> 1,
    "half_away": lambda x, d, floor: d - (x < 0) >> 1,
    "half_toward_zero": lambda x, d, floor: d - (x >= 0) >> 1,
    "half_even": lambda x, d, floor: d - (floor() & 1 == 0) >> 1,
}

#: Names of the modes.
ROUNDINGS = (*_ADDED, _STOCHASTIC)


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
    x, shift = _int64(x, "x"), _int64(shift, "shift")
    least, most = int(shift.min(initial=0)), int(shift.max(initial=0))
    if least < 0 or most > 63:
        wrong = least if least < 0 else most
        raise ConfigurationError(f"shift is {wrong}, but must be a whole number from 0 to 63")
    if most > 62 or int(x.max(initial=0)) >= (1 << 63) - (1 << most):
        return _divided_unbounded(x, 1 << np.atleast_1d(shift).astype(object), rounding, random, shift.shape)
    divisor = np.int64(1) << shift
    return np.asarray(x + _added(x, divisor, lambda: x >> shift, rounding, random) >> shift)


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
    x, divisor = _int64(x, "x"), _positive(divisor, "divisor")
    if int(x.max(initial=0)) + int(divisor.max(initial=0)) >= 1 << 63:
        return _divided_unbounded(x, divisor.astype(object), rounding, random, divisor.shape)
    return _divided(x, divisor, rounding, random)


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
    x, numerator, divisor = (
        _int64(x, "x"),
        _int64(numerator, "numerator"),
        _positive(denominator, "denominator"),
    )
    if magnitude(x) * magnitude(numerator) + int(divisor.max(initial=0)) < 1 << 63:
        return _divided(x * numerator, divisor, rounding, random)
    shape = np.broadcast_shapes(x.shape, numerator.shape, divisor.shape)
    product = np.atleast_1d(x).astype(object) * np.atleast_1d(numerator).astype(object)
    return _divided_unbounded(product, divisor.astype(object), rounding, random, shape)


def round_fraction(value: Fraction | int, rounding: str) -> int:
    """The integer that a mode makes of an exact fraction: what `divide` vectorises.

    Raises:
        ConfigurationError: another rounding; "stochastic" is one, as it needs random bits of a given number.
    """
    if rounding not in _ADDED:
        raise ConfigurationError(f"rounding is {rounding!r}, but must be one of {', '.join(_ADDED)}")
    x, d = value.numerator, value.denominator
    return int((x + _ADDED[rounding](x, d, lambda: x // d)) // d)


def _divided(x: Any, divisor: Any, rounding: str, random: Integers | None) -> npt.NDArray[np.int64]:
    """The quotients of integers whose sums with c do not overflow."""
    return np.asarray((x + _added(x, divisor, lambda: x // divisor, rounding, random)) // divisor)


def _divided_unbounded(
    x: npt.NDArray[Any],
    divisor: npt.NDArray[Any],
    rounding: str,
    random: Integers | None,
    shape: tuple[int, ...],
) -> npt.NDArray[np.int64]:
    """`_divided` in Python's integers of any size; `shape` broadcasts against those of `x` and `random` as given."""
    given = x.shape if x.dtype != object else ()
    shape = np.broadcast_shapes(given, shape, () if random is None else np.shape(random))
    # One axis at least: what numpy makes of arrays without one is no array, and no longer of objects.
    x, divisor = np.atleast_1d(x).astype(object), np.atleast_1d(divisor)
    y = _divided(x, divisor, rounding, random)
    wrong = [value for value in y.ravel().tolist() if not -(1 << 63) <= value < 1 << 63]
    if wrong:
        raise GoldenError(f"the rounded quotient is {wrong[0]}, but must fit 64 bits")
    return y.astype(np.int64).reshape(shape)


def _added(x: Any, divisor: Any, floor: Callable[[], Any], rounding: str, random: Integers | None) -> Any:
    """The c of a mode."""
    if rounding not in ROUNDINGS:
        raise ConfigurationError(f"rounding is {rounding!r}, but must be one of {', '.join(ROUNDINGS)}")
    if rounding != _STOCHASTIC:
        if random is not None:
            raise ConfigurationError(
                f"random bits are given, but rounding is {rounding!r}, not {_STOCHASTIC!r}"
            )
        return _ADDED[rounding](x, divisor, floor)
    if random is None:
        raise ConfigurationError(
            f"rounding is {_STOCHASTIC!r}, but the random bits are missing: random=integers"
        )
    bits = _int64(random, "random")
    wrong = np.asarray((bits < 0) | (bits >= divisor))
    if wrong.any():
        value = int(np.broadcast_to(bits, wrong.shape)[wrong].flat[0])
        raise ConfigurationError(f"random is {value}, but must be at least 0 and below the divisor")
    return bits


def _positive(values: Integers, name: str) -> npt.NDArray[np.int64]:
    found = _int64(values, name)
    if found.size and int(found.min()) < 1:
        raise ConfigurationError(f"{name} is {int(found.min())}, but must be 1 or more")
    return found


def _int64(values: Integers, name: str) -> npt.NDArray[np.int64]:
    return integers(values, name).astype(np.int64, copy=False)
