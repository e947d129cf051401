# SPDX-License-Identifier: Apache-2.0
"""hls4ml's fixed point: ap_fixed<W, I, Q, O, N>, W bits of which I stand before the binary point.

A raw integer r of W bits, two's complement (ap_fixed) or unsigned (ap_ufixed), stands for r * 2**(I - W); I may be
negative or larger than W. A value that is assigned to such a type is first rounded to a multiple of 2**(I - W) by the
quantisation mode Q, then brought into range by the overflow mode O:

    Q               v / 2**(I - W) becomes                     O           a result outside low..high becomes
    TRN (default)   the floor                                  WRAP        its low W bits (default)
    TRN_ZERO        the integer part                           SAT         the nearer end
    RND             the nearest, ties to plus infinity         SAT_ZERO    0
    RND_ZERO        the nearest, ties to zero                  SAT_SYM     the nearer end, the low end being -high
    RND_INF         the nearest, ties away from zero
    RND_MIN_INF     the nearest, ties to minus infinity
    RND_CONV        the nearest, ties to the even one

Source: AMD UG1399, "Arbitrary Precision Fixed-Point Data Types", and where it is silent the header `ap_fixed_base.h`
(https://github.com/Xilinx/HLS_arbitrary_Precision_Types) that hls4ml compiles against: SAT_SYM maps the value
-2**(W-1) itself to -(2**(W-1) - 1), but a signed type of one bit keeps its -1; on unsigned types it equals SAT. A fifth
parameter N above 0, of WRAP alone, saturates the N topmost bits of a result outside low..high and wraps the others:
the N become those of the end that was passed, but on unsigned types all ones at both ends. WRAP_SM is refused.
`golden/tests/test_ap_types.py` holds this module to that header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError

__all__ = ["MAX_INPUT", "MAX_WIDTH", "OVERFLOWS", "QUANTISATIONS", "ApFixed"]

QUANTISATIONS = ("TRN", "TRN_ZERO", "RND", "RND_ZERO", "RND_INF", "RND_MIN_INF", "RND_CONV")
OVERFLOWS = ("WRAP", "SAT", "SAT_ZERO", "SAT_SYM")

# Raw integers, and one more bit, fit int64.
MAX_WIDTH = 62
MAX_INTEGER = 1024
# `convert` takes integers of smaller magnitude than this.
MAX_INPUT = 1 << 61

_TEXT = re.compile(
    r"ap_(u?)fixed\s*<\s*(\d{1,4})\s*,\s*(-?\d{1,5})\s*"
    r"(?:,\s*(?:AP_)?([A-Z_]+)\s*(?:,\s*(?:AP_)?([A-Z_]+)\s*(?:,\s*(\d{1,4})\s*)?)?)?>"
)


@dataclass(frozen=True)
class ApFixed:
    """One fixed-point type; `str()` gives ap_fixed<16,6>, or ap_fixed<16,6,RND,SAT> where modes are not the defaults.

    Attributes:
        width: W, 1 to 62.
        integer: I, bits before the binary point, the sign included; -1024 to 1024.
        signed: ap_fixed rather than ap_ufixed.
        quantisation: Q, one of `QUANTISATIONS`.
        overflow: O, one of `OVERFLOWS`.
        saturated: N, of WRAP: 0 to W topmost bits that saturate.

    Raises:
        ConfigurationError: a parameter outside these.
    """

    width: int
    integer: int
    signed: bool = True
    quantisation: str = "TRN"
    overflow: str = "WRAP"
    saturated: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("width", 1, MAX_WIDTH),
            ("integer", -MAX_INTEGER, MAX_INTEGER),
            ("saturated", 0, self.width),
        ):
            value = getattr(self, name)
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not whole or not low <= value <= high:
                raise ConfigurationError(
                    f"{name} is {value!r}, but must be a whole number from {low} to {high}"
                )
            object.__setattr__(self, name, int(value))
        if not isinstance(self.signed, (bool, np.bool_)):
            raise ConfigurationError(f"signed is {self.signed!r}, but must be True or False")
        for name, allowed in (("quantisation", QUANTISATIONS), ("overflow", OVERFLOWS)):
            if getattr(self, name) not in allowed:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(allowed)}"
                )
        if self.saturated and self.overflow != "WRAP":
            raise ConfigurationError(
                f"saturated is {self.saturated}, but must be 0 with overflow {self.overflow}"
            )

    @classmethod
    def parse(cls, text: str) -> ApFixed:
        """Read a type as C++ and hls4ml's configurations write it, modes with or without AP_.

        Raises:
            ConfigurationError: not of the form ap_fixed<W,I[,Q[,O[,N]]]> or ap_ufixed<...>, or out of range.
        """
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise ConfigurationError(
                f"type {text!r} is not of the form ap_fixed<W,I,Q,O,N> or ap_ufixed<W,I,Q,O,N>, "
                f"as in 'ap_fixed<16,6,RND,SAT>'"
            )
        unsigned, width, integer, quantisation, overflow, saturated = match.groups()
        modes = quantisation or "TRN", overflow or "WRAP", int(saturated or 0)
        return cls(int(width), int(integer), not unsigned, *modes)

    def __str__(self) -> str:
        modes = [self.quantisation, self.overflow, str(self.saturated)]
        for default in ("0", "WRAP", "TRN"):
            if modes[-1] != default:
                break
            modes.pop()
        return (
            f"ap_{'' if self.signed else 'u'}fixed<{','.join([str(self.width), str(self.integer), *modes])}>"
        )

    @property
    def fraction(self) -> int:
        """Bits behind the binary point, W - I: a raw integer counts units of 2**-fraction."""
        return self.width - self.integer

    @property
    def min(self) -> int:
        """Least raw integer; SAT_SYM makes it the negative of the greatest, but for a width of 1."""
        if not self.signed:
            return 0
        return -self.max if self.overflow == "SAT_SYM" and self.width > 1 else -(1 << (self.width - 1))

    @property
    def max(self) -> int:
        """Greatest raw integer."""
        return (1 << (self.width - self.signed)) - 1

    def convert(self, x: np.ndarray, fraction: int) -> np.ndarray:
        """Assign the values x * 2**-fraction to this type.

        Args:
            x: integers of any shape, of magnitude below 2**61.
            fraction: of x, the same for all, such as another type's `fraction`.

        Returns:
            int64 of x's shape: raw integers, `min` to `max`.

        Raises:
            GoldenError: not integers, or too large ones.
        """
        x = np.asarray(x)
        if x.dtype.kind not in "iu":
            raise GoldenError(f"x has dtype {x.dtype}, but must hold integers")
        largest = max(abs(int(x.min())), abs(int(x.max()))) if x.size else 0
        if largest >= MAX_INPUT:
            raise GoldenError(f"x has magnitude {largest}, but must stay below 2**61")
        return self._convert(x.astype(np.int64), np.full(x.shape, fraction - self.fraction, np.int64))

    def from_float(self, x: np.ndarray) -> np.ndarray:
        """Assign floats, which are integers times powers of two, to this type without any other rounding.

        Args:
            x: float32 or float64, finite, any shape.

        Returns:
            int64 of x's shape: raw integers.

        Raises:
            GoldenError: not floats, NaN or infinity.
        """
        x = np.asarray(x)
        if x.dtype.kind != "f" or x.dtype.itemsize > 8:
            raise GoldenError(f"x has dtype {x.dtype}, but must hold floats of up to 64 bits")
        if not np.isfinite(x).all():
            raise GoldenError("x holds NaN or infinity, but must be finite")
        mantissa, exponent = np.frexp(x.astype(np.float64))
        # |mantissa| * 2**53 is an integer of up to 2**53. numpy 1 would keep the exponents' int32 from here on.
        right = 53 - exponent.astype(np.int64) - self.fraction
        return self._convert(np.ldexp(mantissa, 53).astype(np.int64), right)

    def to_float(self, raw: np.ndarray) -> np.ndarray:
        """The real values of raw integers, float64.

        Raises:
            GoldenError: a value that float64 does not hold exactly.
        """
        raw = np.asarray(raw, np.int64)
        values = np.ldexp(raw.astype(np.float64), -self.fraction)
        if not np.array_equal(np.ldexp(values, self.fraction).astype(np.int64), raw):
            raise GoldenError(f"{self} holds values that float64 lacks, but must need at most 53 bits")
        return values

    def value(self, raw: int) -> Fraction:
        """The real value of one raw integer."""
        return Fraction(int(raw)) * Fraction(2) ** -self.fraction

    def _convert(self, x: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Raw integers of x * 2**-right, |x| < 2**61.

        Beyond 62 a right shift gives what 62 gives: the magnitude is below 2**-1, and no tie, either way. Beyond 63 a
        left shift leaves no bit of 64, and any x but 0 is out of range.
        """
        y = self._rounded(x, np.clip(right, 0, 62))
        left = np.clip(-right, 0, 63)
        # y * 2**left > max means y > floor(max / 2**left), and likewise below.
        over, under = y > (np.int64(self.max) >> left), y < -(np.int64(-self.min) >> left)
        shifted = np.where(-right > 63, 0, y << left)
        if self.overflow == "WRAP":
            # int64 keeps the low 64 bits of a shift, and more than `width` of them are not needed.
            shifted &= (1 << self.width) - 1
            wrapped = shifted - ((shifted >> (self.width - 1)) << self.width) if self.signed else shifted
            kept = np.int64((1 << (self.width - self.saturated)) - 1)
            tops = np.where(over, self.max, self.min if self.signed else self.max) & ~kept
            return np.where((over | under) & (self.saturated > 0), shifted & kept | tops, wrapped)
        zero = self.overflow == "SAT_ZERO"
        shifted = np.where(over, 0 if zero else self.max, shifted)
        return np.where(under, 0 if zero else self.min, shifted)

    def _rounded(self, x: np.ndarray, right: np.ndarray) -> np.ndarray:
        """x / 2**right, 0 to 62, by the quantisation mode: the floor, or one more."""
        floor, rest = x >> right, x & ((np.int64(1) << right) - 1)
        half = (np.int64(1) << right) >> 1
        tie, above = (rest == half) & (right > 0), rest > half
        more = {
            "TRN": np.zeros_like(tie),
            "TRN_ZERO": (x < 0) & (rest > 0),
            "RND": above | tie,
            "RND_ZERO": above | (tie & (x < 0)),
            "RND_INF": above | (tie & (x >= 0)),
            "RND_MIN_INF": above,
            "RND_CONV": above | (tie & (floor & 1 == 1)),
        }
        return floor + more[self.quantisation]
