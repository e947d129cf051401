# SPDX-License-Identifier: Apache-2.0
"""Fixed-point ONNX of the ACCESS guide: power-of-two activations, weights of scale 2**n / a, exact rational results.

Source: "User Guide of Preparing Fixed-point ONNX Model for ACCESS DLA Compiler", version 1.2.0, called
"the guide" below. There is no zero point anywhere; a real number is its scale times its integer.

    activations   S_a = 2**n, one for a tensor             8 bits     `Activation`
    weights       S_w = 2**n / a, a in 1..255, per channel 8 bits     `WeightScale`
    bias          S_w * S_a                                16 bits
    output        S_w * S_a * (acc + bias) / S_out         8 bits     `rescale`

Where the guide is silent Assay chooses, and says so here:

- Integers are signed two's complement, and all of their range is used (-128 is a weight and an activation).
- The output is the exact rational, rounded once to the nearest integer with ties away from zero, then saturated.
- A stored scale of 2**n / a is the float32 nearest to it (a float cannot be 2**n / 3); `WeightScale.of` finds the one
  n and a. A stored weight or bias may be off by what two float32 roundings leave (`TOLERANCE`).
- x / 0 saturates by the sign of x, and 0 / 0 is 0.
- The slope of PReLU and LeakyReLU is the exact value of the stored float32. The results are rounded as above.
- The "stepwise linear" tanh and sigmoid are PLAN's, hard-swish is chords of its parabola: `plan_sigmoid`, `plan_tanh`,
  `hard_swish_chords`.
- An average counts the values that ONNX's count_include_pad says.
- The limits of channels and sizes are those of the guide's section II (`LIMITS`, `INPUT`, `FEATURE_MAP`). Multiples of
  16 are asked of maps `[N, C, H, W]` that a convolution or pooling reads or makes, not of vectors and matrices.

Rules of scale coherence (`Coherence`): a tensor has one scale wherever it is used; max-pool, ReLU, PReLU, LeakyReLU,
hard-swish, concat, transpose and reshape keep the scale; convolution, fully connected, matmul, average pool, tanh,
sigmoid, add, div and ReduceSum may change it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError, DoesNotFitError, ModelFormatError
from assay.golden.formats import IntFormat

__all__ = [
    "ACTIVATION_BITS",
    "BIAS_BITS",
    "FEATURE_MAP",
    "INPUT",
    "LIMITS",
    "MAX_ACCUMULATOR",
    "MAX_DIVISOR",
    "TOLERANCE",
    "WEIGHT_BITS",
    "Activation",
    "Coherence",
    "Limits",
    "MapLimits",
    "WeightScale",
    "hard_swish_chords",
    "integers_of",
    "plan_sigmoid",
    "plan_tanh",
    "power_of_two",
    "rescale",
    "round_half_away",
    "rounded_quotient",
]

ACTIVATION_BITS, WEIGHT_BITS, BIAS_BITS = 8, 8, 16
MAX_DIVISOR = 255

# Scales are stored as float32: powers of two, and quotients, among its normal numbers.
MIN_EXPONENT, MAX_EXPONENT = -126, 127

# `rescale` takes integers of at most this magnitude. The guide's largest convolution reaches
# 7 * 7 * 2048 * 128 * 128 + 2**15 < 2**31.
MAX_ACCUMULATOR = 1 << 44

# Relative error of a stored weight: float32(float32(S_w) * w_int) is within (1 + 2**-24)**2 of S_w * w_int.
TOLERANCE = 2.0**-22


# --- Scales --------------------------------------------------------------------------------------------------------


def power_of_two(value: float) -> int | None:
    """n if `value` is exactly 2**n with n in -126..127, else None."""
    value = float(value)
    if not math.isfinite(value) or value <= 0:
        return None
    mantissa, exponent = math.frexp(value)
    return exponent - 1 if mantissa == 0.5 and MIN_EXPONENT < exponent <= MAX_EXPONENT + 1 else None


@dataclass(frozen=True)
class Activation:
    """What the integers of an activation tensor stand for: 2**exponent each, int8.

    Raises:
        ConfigurationError: the exponent is outside -126..127.
    """

    exponent: int

    def __post_init__(self) -> None:
        if not MIN_EXPONENT <= self.exponent <= MAX_EXPONENT:
            raise ConfigurationError(
                f"scale is 2**{self.exponent}, but must be 2**{MIN_EXPONENT} to 2**{MAX_EXPONENT}"
            )

    @property
    def scale(self) -> float:
        """2**exponent, exactly."""
        return math.ldexp(1.0, self.exponent)

    @property
    def value(self) -> Fraction:
        """2**exponent."""
        return Fraction(2) ** self.exponent

    def __str__(self) -> str:
        return f"int8 2^{self.exponent}"


@dataclass(frozen=True)
class WeightScale:
    """2**exponent / divisor, the divisor odd: an even one given is halved together with the power of two.

    Raises:
        ConfigurationError: the divisor is outside 1..255, or the quotient no normal float32.
    """

    exponent: int
    divisor: int

    def __post_init__(self) -> None:
        if not 1 <= self.divisor <= MAX_DIVISOR:
            raise ConfigurationError(f"divisor is {self.divisor}, but must be 1 to {MAX_DIVISOR}")
        twos = (self.divisor & -self.divisor).bit_length() - 1
        object.__setattr__(self, "divisor", self.divisor >> twos)
        object.__setattr__(self, "exponent", self.exponent - twos)
        if not Fraction(2) ** MIN_EXPONENT <= self.value < Fraction(2) ** (MAX_EXPONENT + 1):
            raise ConfigurationError(
                f"scale is 2**{self.exponent} / {self.divisor}, but must be a normal float32 number"
            )

    @classmethod
    def of(cls, value: float) -> WeightScale | None:
        """The scale to which `value`, rounded to float32, is the nearest float32; None if there is none.

        There is at most one: two unlike quotients 2**n / a differ by a factor of at least 1 + 1/255, many times the
        spacing of float32.
        """
        value = float(value)
        if not 2.0**MIN_EXPONENT <= value < 2.0 ** (MAX_EXPONENT + 1):
            return None
        with np.errstate(over="ignore"):
            mantissa, exponent = math.frexp(float(np.float32(value)))
        if mantissa not in _RECIPROCALS:
            return None
        divisor, base = _RECIPROCALS[mantissa]
        return cls(exponent - base, divisor)

    @classmethod
    def nearest(cls, value: float) -> WeightScale:
        """The scale with the smallest absolute difference from `value`; of two, the one of smaller divisor.

        Raises:
            ConfigurationError: `value` is not finite and above 0, or the scale is no normal float32.
        """
        value = float(value)
        if not math.isfinite(value) or value <= 0:
            raise ConfigurationError(f"scale is {value}, but must be finite and above 0")
        target, exponent = Fraction(value), math.frexp(value)[1]
        # The quotients of either side of `value`, or of the same binade; floats find the few that may be nearest.
        scales = [
            (n, a)
            for a in range(1, MAX_DIVISOR + 1, 2)
            for n in range(exponent + a.bit_length() - 3, exponent + 9)
        ]
        roughly = sorted(
            scales,
            key=lambda pair: abs(math.ldexp(1 / pair[1], pair[0] - exponent) - math.ldexp(value, -exponent)),
        )
        return cls(
            *min(roughly[:4], key=lambda pair: (abs(Fraction(2) ** pair[0] / pair[1] - target), pair[1]))
        )

    @property
    def value(self) -> Fraction:
        """2**exponent / divisor."""
        return Fraction(2) ** self.exponent / self.divisor

    @property
    def float32(self) -> float:
        """The nearest float32, as a file holds it: the quotient in float64 has no tie of float32, as a is odd."""
        return float(np.float32(math.ldexp(1 / self.divisor, self.exponent)))

    def __str__(self) -> str:
        return f"2^{self.exponent}/{self.divisor}"


# Mantissa of float32(1 / a) -> (a, exponent of 1 / a as `math.frexp` gives it), a odd.
_RECIPROCALS = {
    math.frexp(float(np.float32(1 / a)))[0]: (a, math.frexp(float(np.float32(1 / a)))[1])
    for a in range(1, MAX_DIVISOR + 1, 2)
}


def integers_of(stored: np.ndarray, scale: np.ndarray, bits: int, what: str) -> np.ndarray:
    """The integers q that a file stores as floats q * scale.

    Args:
        stored: floats, any shape.
        scale: float64 that broadcasts against it, each within 2**-50 of the exact scale.
        bits: of the signed integers.
        what: names the values in messages.

    Returns:
        int64 of `stored`'s shape.

    Raises:
        ModelFormatError: NaN or infinity, a value that is no such multiple within `TOLERANCE`, or is out of range.
    """
    stored = np.asarray(stored, np.float64)
    target = IntFormat(bits, signed=True)
    if not np.isfinite(stored).all():
        raise ModelFormatError(f"{what} holds NaN or infinity, but must be finite")
    with np.errstate(over="ignore"):
        steps = stored / scale
    nearest = np.rint(np.clip(steps, target.min - 1, target.max + 1))
    wrong = (np.abs(steps - nearest) > TOLERANCE * np.abs(nearest)) | (
        nearest != np.clip(nearest, target.min, target.max)
    )
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ModelFormatError(
            f"{what} holds {stored[at]:.9g} at {list(at)}, which is {steps[at]:.9g} times its scale, "
            f"but must be a whole number from {target.min} to {target.max}"
        )
    return nearest.astype(np.int64)


# --- Arithmetic ----------------------------------------------------------------------------------------------------


def round_half_away(value: Fraction) -> int:
    """The nearest integer, ties away from zero: the definition that `rounded_quotient` vectorises."""
    whole = math.floor(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def rescale(x: np.ndarray, shift: np.ndarray | int, divisor: np.ndarray | int = 1) -> np.ndarray:
    """x * 2**shift / divisor, rounded to nearest with ties away from zero, saturated to int8; exact.

    Args:
        x: integers of magnitude up to 2**44 (`MAX_ACCUMULATOR`; the caller has shown it), any shape.
        shift: integers that broadcast against x.
        divisor: integers 1 to 255 that broadcast against x.

    Returns:
        int8.
    """
    return rounded_quotient(x, shift, divisor, ACTIVATION_BITS).astype(np.int8)


def rounded_quotient(
    x: np.ndarray, shift: np.ndarray | int, divisor: np.ndarray | int, bits: int
) -> np.ndarray:
    """x * 2**shift / divisor, rounded to nearest with ties away from zero, saturated to `bits` with sign; exact.

    The quotient of n = |x| * 2**max(shift, 0) and d = divisor * 2**max(-shift, 0) is rounded as
    floor((2 * n + d) / (2 * d)), in int64. Nothing overflows, and limiting the shifts changes nothing:

    - Left, bits + 8 at most. A larger shift is taken as that: for x != 0 the result is at least
      2**(bits + 8) / 255 > 2**bits already, which saturates to the same end, and for x = 0 it is 0.
      2 * n <= 2 * 2**(52 - bits) * 2**(bits + 8) = 2**61.
    - Right, 47 at most. A shift beyond 47 is taken as 47: |x| / d <= 2**44 / 2**47 < 1/2 already, which rounds to 0.
      2 * d < 2 * 2**8 * 2**47 = 2**56, and 2 * n + d < 2**62.

    Args:
        x: integers of magnitude up to 2**(52 - bits), any shape.
        shift: integers that broadcast against x.
        divisor: integers 1 to 255 that broadcast against x.
        bits: 8 or more.

    Returns:
        int64.
    """
    x = np.asarray(x, np.int64)
    shift, divisor = np.asarray(shift, np.int64), np.asarray(divisor, np.int64)
    n = np.abs(x) << np.clip(shift, 0, bits + 8)
    d = divisor << np.clip(-shift, 0, 47)
    magnitude = (2 * n + d) // (2 * d)
    return np.clip(np.where(x < 0, -magnitude, magnitude), -(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def check_accumulator(bound: int) -> None:
    """Refuse sums that `rescale` does not take.

    Raises:
        DoesNotFitError: `bound`, the largest possible magnitude, is above `MAX_ACCUMULATOR`.
    """
    if bound > MAX_ACCUMULATOR:
        raise DoesNotFitError(f"a sum can reach {bound}, but must stay within 2**44")


# --- Stepwise linear functions -----------------------------------------------------------------------------------


def plan_sigmoid(x: Fraction) -> Fraction:
    """PLAN, the piecewise linear approximation of the logistic sigmoid; worst error 0.0190.

    1 from 5 on; |x|/32 + 27/32 from 2.375; |x|/8 + 5/8 from 1; |x|/4 + 1/2 from 0; 1 - PLAN(-x) for x < 0.
    Source: Amin, Curtis, Hayes-Gill, "Piecewise linear approximation applied to nonlinear function of a neural
    network", IEE Proceedings - Circuits, Devices and Systems 144(6), 1997, table 1.
    """
    if x < 0:
        return 1 - plan_sigmoid(-x)
    if x >= 5:
        return Fraction(1)
    if x >= Fraction(19, 8):
        return x / 32 + Fraction(27, 32)
    return x / 8 + Fraction(5, 8) if x >= 1 else x / 4 + Fraction(1, 2)


def plan_tanh(x: Fraction) -> Fraction:
    """tanh(x) = 2 * sigmoid(2 * x) - 1 with `plan_sigmoid`; worst error 0.0380."""
    return 2 * plan_sigmoid(2 * x) - 1


def hard_swish_chords(x: Fraction) -> Fraction:
    """x * min(max(x + 3, 0), 6) / 6 interpolated linearly between its values at multiples of 1/2; worst error 1/96.

    Outside -3..3 hard-swish is linear itself: 0, and x.
    """
    if abs(x) >= 3:
        return max(x, Fraction(0))
    low = Fraction(math.floor(2 * x), 2)
    high = low + Fraction(1, 2)
    at_low, at_high = low * (low + 3) / 6, high * (high + 3) / 6
    return at_low + (at_high - at_low) * (x - low) * 2


# --- Limits of the operators ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MapLimits:
    """Allowed sizes of a map: (least, greatest) rows or columns, and channels, which come in multiples."""

    side: tuple[int, int]
    channels: tuple[int, int]
    multiple: int = 1

    def check(self, what: str, channels: int, rows: int, columns: int) -> None:
        """Refuse a map.

        Raises:
            ConfigurationError: a number outside the limits.
        """
        low, high = self.side
        if not (low <= rows <= high and low <= columns <= high):
            raise ConfigurationError(f"{what} is {rows}x{columns}, but must be {low}x{low} to {high}x{high}")
        low, high = self.channels
        if not low <= channels <= high or channels % self.multiple:
            multiples = f" in multiples of {self.multiple}" if self.multiple > 1 else ""
            raise ConfigurationError(
                f"{what} has {channels} channels, but must have {low} to {high}{multiples}"
            )


@dataclass(frozen=True)
class Limits:
    """What the guide allows an operator; a pair is (least, greatest), None where nothing is said.

    Attributes:
        kernel: rows and columns.
        square: whether both must be equal.
        side: rows and columns of the map that is read.
        channels: of the input and of the output; of a matrix, its columns.
        strides: allowed ones.
        padding: on each side of `padded`, which names the sides that may have any.
    """

    kernel: tuple[int, int] | None = None
    square: bool = False
    side: tuple[int, int] | None = None
    channels: tuple[int, int] | None = None
    strides: tuple[int, ...] = ()
    padding: tuple[int, int] = (0, 0)
    padded: tuple[str, ...] = ()

    def check_window(
        self, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int, int, int]
    ) -> None:
        """Refuse a kernel, stride (rows, columns) or padding (top, left, bottom, right).

        Raises:
            ConfigurationError: one outside the limits; the message begins with ONNX's name of the attribute.
        """
        low, high = self.kernel
        if not all(low <= side <= high for side in kernel) or (self.square and kernel[0] != kernel[1]):
            square = " and square" if self.square else ""
            raise ConfigurationError(
                f"attribute kernel_shape is {list(kernel)}, but must be {low}x{low} to {high}x{high}{square}"
            )
        if not all(step in self.strides for step in stride):
            allowed = " or ".join(map(str, self.strides))
            raise ConfigurationError(f"attribute strides is {list(stride)}, but each must be {allowed}")
        low, high = self.padding
        for side, pixels in zip(_SIDES, padding, strict=True):
            if not (low <= pixels <= high if side in self.padded else pixels == 0):
                allowed = (
                    f"{low} to {high}"
                    if side in self.padded
                    else f"0, as only {' and '.join(self.padded)} may be padded"
                )
                raise ConfigurationError(f"attribute pads is {list(padding)}, but {side} must be {allowed}")

    def check_map(self, channels: int, rows: int, columns: int, what: str = "map") -> None:
        """Refuse a map that the operator reads, or makes.

        Raises:
            ConfigurationError: see `MapLimits.check`.
        """
        MapLimits(self.side, self.channels).check(what, channels, rows, columns)

    def check_channels(self, what: str, channels: int) -> None:
        """Refuse a number of channels, or of columns of a matrix.

        Raises:
            ConfigurationError: outside the limits.
        """
        low, high = self.channels
        if not low <= channels <= high:
            raise ConfigurationError(f"{what} has {channels} channels, but must have {low} to {high}")


_SIDES = ("top", "left", "bottom", "right")

# Section II.A of the guide: the network's input, and every map that a node makes.
INPUT = MapLimits((1, 512), (1, 512))
FEATURE_MAP = MapLimits((1, 256), (16, 2048), 16)

# Section II.B of the guide. GlobalAveragePool is an average pool whose kernel is the map.
LIMITS = {
    "Conv": Limits((1, 7), False, (1, 512), (1, 2048), (1, 2), (0, 3), _SIDES),
    "depthwise Conv": Limits((1, 7), False, (4, 512), (1, 2048), (1, 2), (0, 3), _SIDES),
    "MaxPool": Limits((2, 3), True, (1, 512), (1, 2048), (1, 2), (0, 3), ("bottom", "right")),
    "AveragePool": Limits((2, 7), True, (1, 512), (1, 2048), (1, 2), (0, 3), ("top", "left")),
    "GlobalAveragePool": Limits((2, 7), True, (2, 7), (1, 2048), (1,)),
    "Gemm": Limits(channels=(1, 2048)),
}


# --- Scale coherence --------------------------------------------------------------------------------------------------


@dataclass
class Coherence:
    """Which tensors share a scale, and what each attribute claims it to be.

    Join the inputs and outputs of operators that keep the scale, claim what attributes say, then `resolve`.
    """

    _parent: dict[str, str] = field(default_factory=dict)
    _claims: list[tuple[str, int, str]] = field(default_factory=list)

    def join(self, a: str, b: str) -> None:
        """Tensors `a` and `b` have one scale."""
        self._parent[self._root(a)] = self._root(b)

    def claim(self, tensor: str, exponent: int, by: str) -> None:
        """`by`, such as "node 'conv' (Conv): attribute input_scale", says that `tensor` has scale 2**exponent."""
        self._claims.append((tensor, exponent, by))

    def resolve(self) -> dict[str, int]:
        """Exponent of every tensor that was joined or claimed, where a claim gives one.

        Raises:
            ModelFormatError: two claims differ.
        """
        known: dict[str, tuple[str, int, str]] = {}
        for tensor, exponent, by in self._claims:
            first, earlier, source = known.setdefault(self._root(tensor), (tensor, exponent, by))
            if earlier != exponent:
                same = (
                    "a tensor has one scale wherever it is used"
                    if first == tensor
                    else f"the operators from tensor {first!r} to {tensor!r} keep the scale"
                )
                raise ModelFormatError(
                    f"{by} is {math.ldexp(1.0, exponent):g} for tensor {tensor!r}, but must be "
                    f"{math.ldexp(1.0, earlier):g} as {source} says: {same}"
                )
        return {name: known[self._root(name)][1] for name in list(self._parent) if self._root(name) in known}

    def _root(self, name: str) -> str:
        self._parent.setdefault(name, name)
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name
