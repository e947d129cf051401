# SPDX-License-Identifier: Apache-2.0
"""How each framework makes an integer of a real number, and how a layer's shift makes the same.

A framework's quantiser gives q = R(v + inside) + outside for a number v of output steps, where inside + outside is the
zero point and R one of the modes below. Which part of the zero point is inside differs between operators, and decides
ties (`golden.schemes` has each source):

    QuantizeLinear, QLinearConv, QLinearMatMul, QGemm,            HALF_EVEN    nothing
    QLinearGlobalAveragePool, QLinearConcat
    QLinearAdd, QLinearMul, QLinearAveragePool                    HALF_EVEN    all of it
    Quant                                                         its own      all of it
    Trunc, of integers                                            its own      all of it
    CONV_2D, ADD, MEAN and what else TFLite rescales              GEMMLOWP     nothing
    FULLY_CONNECTED, QUANTIZE                                     HALF_UP      nothing
    AVERAGE_POOL_2D, which averages the file's integers           HALF_UP      all of it
    fixed-point ONNX                                              HALF_UP      there is no zero point

The hardware has floor((V + c) / 2**shift) alone, "truncate", of which "half_up" is one. So for a layer that computes
V = (v + zero) * 2**shift, with zero the stored integer of the real zero:

    FLOOR       c = 0                                 CEIL        c = 2**shift - 1
    HALF_EVEN   c = half - 1 + (1 where floor(v + inside) is odd), with half = 2**(shift - 1)
    HALF_UP     c = half, less 1 where v + inside < 0 (half away from zero)
    HALF_DOWN   c = half - 1, and 1 more where v + inside < 0 (half towards zero)
    UP, DOWN    CEIL and FLOOR where v + inside >= 0, the other one elsewhere
    GEMMLOWP    c = half + 2**(shift - 1 - e), less 2**(shift - e) where v < 0: two roundings of which the second
                divides by 2**e (`golden.schemes.tflite.Rescale.saturated` proves it); for e = 0 it is c = half

What stands behind "where" is a bit that a first layer computes, and that the second one adds as its residual.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat

__all__ = ["DIRECTED", "Correction", "Quantiser", "Rounding"]

# Modes that are not to the nearest: they jump at integers, where the others jump in the middle.
DIRECTED = ("FLOOR", "CEIL", "UP", "DOWN")
_SAME = {"ROUND": "HALF_EVEN", "ROUND_TO_ZERO": "DOWN"}
_MODES = (*DIRECTED, "HALF_EVEN", "HALF_UP", "HALF_DOWN", "GEMMLOWP")


class Correction(NamedTuple):
    """What a layer adds before its shift.

    Attributes:
        always: `c` without its condition.
        bit: "", or "odd" or "below": whether floor(V / 2**shift) is odd, or V / 2**shift is below `at`.
        extra: what is added where the bit is 1.
        at: for "below".
    """

    always: int
    bit: str = ""
    extra: int = 0
    at: int = 0


@dataclass(frozen=True)
class Rounding:
    """R(v + inside), see the module's head.

    Attributes:
        mode: a name of `golden.schemes.qonnx.ROUNDINGS`, or GEMMLOWP.
        inside: the part of the zero point that is added before rounding.
        second: of GEMMLOWP, the bits that its second rounding drops.

    Raises:
        ConfigurationError: another mode.
    """

    mode: str
    inside: int = 0
    second: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", _SAME.get(self.mode, self.mode))
        if self.mode not in _MODES:
            raise ConfigurationError(f"rounding mode is {self.mode}, but must be one of {', '.join(_MODES)}")

    @property
    def directed(self) -> bool:
        """Whether results jump at integers, not in the middle between two."""
        return self.mode in DIRECTED

    def apply(self, v: Fraction) -> int:
        """R(v + inside) - inside, of an exact number of steps."""
        v = v + self.inside
        floor = math.floor(v)
        rest = v - floor
        if self.mode == "GEMMLOWP":
            doubled = v + Fraction(1, 2) + (Fraction(1, 2 << self.second) if self.second else 0)
            if self.second and v < 0:
                doubled -= Fraction(1, 1 << self.second)
            made = math.floor(doubled)
        elif self.directed:
            up = self.mode == "CEIL" or self.mode == ("UP" if v >= 0 else "DOWN")
            made = math.ceil(v) if up else floor
        elif rest != Fraction(1, 2):
            made = floor + (rest > Fraction(1, 2))
        elif self.mode == "HALF_EVEN":
            made = floor + floor % 2
        else:
            made = floor + ((self.mode == "HALF_UP") == (v > 0))
        return made - self.inside

    def correction(self, shift: int, zero: int, nonnegative: bool) -> Correction:
        """For a layer of V = (v + zero) * 2**shift.

        Args:
            shift: 1 or more.
            zero: see above.
            nonnegative: whether results of v + inside < 0 are all clamped to one value.

        """
        one, half = 1 << shift, 1 << shift - 1
        start = zero - self.inside  # where v + inside is 0
        if self.mode == "FLOOR" or (self.mode == "DOWN" and nonnegative):
            return Correction(0)
        if self.mode == "CEIL" or (self.mode == "UP" and nonnegative):
            return Correction(one - 1)
        if self.mode == "HALF_EVEN":
            # A layer's floor is odd where floor(v + inside) is, or, if `start` is odd, where it is not.
            return Correction(half, "odd", -1) if start % 2 else Correction(half - 1, "odd", 1)
        if self.mode == "GEMMLOWP" and not self.second:
            return Correction(half)
        if self.mode == "GEMMLOWP" and self.second < shift:
            always, extra = half + (1 << shift - 1 - self.second), -(1 << shift - self.second)
        else:
            always, extra = {
                "HALF_UP": (half, -1),
                "GEMMLOWP": (
                    half,
                    -1,
                ),  # what the first rounding adds is less than V's last bit, but decides ties
                "HALF_DOWN": (half - 1, 1),
                "UP": (one - 1, 1 - one),
                "DOWN": (0, one - 1),
            }[self.mode]
        return Correction(always) if nonnegative else Correction(always, "below", extra, start)


@dataclass(frozen=True)
class Quantiser:
    """q = R(real / scale + inside) + outside, clamped to low..high.

    Attributes:
        where: names the node, for messages.
        name: of the tensor that it makes.
        scale: of a step.
        zero_point: inside + outside.
        format: the graph's, of its integers.
        low, high: ends of these integers.
        rounding: R and inside.
        in_float32: whether the graph divides, and adds what is inside, in float32.
    """

    where: str
    name: str
    scale: Fraction
    zero_point: int
    format: IntFormat
    low: int
    high: int
    rounding: Rounding = Rounding("HALF_EVEN")
    in_float32: bool = True
