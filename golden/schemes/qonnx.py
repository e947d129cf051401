# SPDX-License-Identifier: Apache-2.0
"""QONNX's quantisers: arbitrary bit widths, with float32 numbers that carry the integers.

QONNX (Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks", 2022) adds nodes to ONNX
that take float32 and give float32:

    Quant (IntQuant)   q = round(clip(x / scale + zero_point, low, high)),   y = (q - zero_point) * scale
    BipolarQuant       y = scale if x >= 0 else -scale
    Trunc, version 1   q = round(rint(x / scale + zero_point) / 2**(bits_in - bits_out)),   y = (q - zero_point) * scale
    Trunc, version 2   d = 2**rint(log2(output_scale / scale)),
                       q = round(clip(rint(x / scale + zero_point) / d, low, high)),
                       y = (q - zero_point / d) * output_scale
    MultiThreshold     y = out_scale * (number of thresholds t of x's channel with x >= t) + out_bias

low and high are 0 and 2**bits - 1, or -2**(bits-1) and 2**(bits-1) - 1 if signed; `narrow` takes the least value of a
signed range, the greatest of an unsigned one. One signed bit is bipolar: q = 1 where x / scale + zero_point >= 0, else
-1. Clipping comes before rounding; as the ends are integers, the other order would give the same.

Reference: the Python package qonnx 1.0.0 (in custom_op/general: intquant.py, bipolar_quant.py, trunc.py,
multithreshold.py), whose numpy expressions run in float32, one rounding for each operation in the order written above.
The functions here give the same bits. Scales and zero points of a file may also be float64 or integers, as qonnx's
converter from Keras writes them; numpy, and so qonnx, then computes in float64 and rounds the result to float32. They
must be numbers of float32 all the same, and bit widths at most 24 then. What float32 does to the definition:

- Ends of more than 24 bits are rounded to float32: 2**32 - 1 is 2**32, as no float32 lies between.
- HALF_UP adds 0.5 in float32: the float32 number next below 0.5 goes to 1.
- (q - zero_point) * scale is one rounding of an exact product wherever q - zero_point is exact. If also `scale` is a
  power of two, or short enough that the product has 24 bits, the result is exact: an integer times its scale.

FloatQuant, QONNX's minifloat, is not supported: its exponent is the floor of a float32 log2 whose last bit is the
platform's, so that the definition does not give one answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from assay.golden.errors import ConfigurationError

__all__ = [
    "DOMAIN",
    "DOMAINS",
    "FLOAT32_EXACT",
    "MAX_BITS",
    "QUANTISERS",
    "ROUNDINGS",
    "BipolarQuant",
    "MultiThreshold",
    "Quant",
    "Trunc",
    "parameter",
    "rounding",
]

# Where the nodes live: QONNX's own domain, and the one Brevitas exported to before.
DOMAIN = "qonnx.custom_op.general"
DOMAINS = (DOMAIN, "onnx.brevitas")

# Every integer of smaller magnitude is a float32 number.
FLOAT32_EXACT = 1 << 24

MAX_BITS = 32

_HALF = np.float32(0.5)

# Name -> function of float32. UP is away from zero, DOWN towards it; the HALF modes differ in ties alone.
ROUNDINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "ROUND_TO_ZERO": np.trunc,  # Brevitas's name of DOWN
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + _HALF),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - _HALF),
}


def rounding(mode: str) -> str:
    """The name in `ROUNDINGS` of a mode in upper or lower case.

    Raises:
        ConfigurationError: another mode.
    """
    if mode.upper() not in ROUNDINGS:
        raise ConfigurationError(f"rounding_mode is {mode}, but must be one of {', '.join(ROUNDINGS)}")
    return mode.upper()


def _limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    if signed:
        return narrow - (1 << bits - 1), (1 << bits - 1) - 1
    return 0, (1 << bits) - 1 - narrow


def _clipped(steps: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    # Not np.clip, which may turn -0 into 0; y keeps the sign of a zero.
    low, high = map(steps.dtype.type, limits)
    steps = np.where(steps > high, high, steps)
    return np.where(steps < low, low, steps)


def _checked_bits(bits: float, what: str = "bit width", *parameters: np.ndarray) -> int:
    # In float64 the ends of wider ranges depend on the type of the bit width.
    wide = any(values.dtype != np.float32 for values in parameters)
    most, where = (24, " beside a scale or zero point that is not of float32") if wide else (MAX_BITS, "")
    if not 1 <= bits <= most or int(bits) != bits:
        raise ConfigurationError(f"{what} is {bits:g}, but must be a whole number from 1 to {most}{where}")
    return int(bits)


def parameter(values: np.ndarray, what: str) -> np.ndarray:
    """A scale or zero point in the type in which numpy computes with it and float32: float32 or float64.

    Raises:
        ConfigurationError: a number that float32 does not have; `what` starts the message.
    """
    values = np.asarray(values)
    with np.errstate(over="ignore"):
        # Python compares integers and floats exactly.
        for value, nearest in zip(values.flat, values.astype(np.float32).flat, strict=True):
            if nearest.item() != value.item() and value == value:
                raise ConfigurationError(f"{what} is {value}, but must be a number of float32")
    return values.astype(np.result_type(values.dtype, np.float32))


def _checked_scale(scale: np.ndarray, what: str = "scale") -> np.ndarray:
    scale = parameter(scale, what)
    wrong = ~(np.isfinite(scale) & (scale > 0))
    if wrong.any() or not scale.size:
        found = scale[wrong].flat[0] if wrong.any() else "empty"
        raise ConfigurationError(f"{what} is {found}, but must be finite and above 0")
    return scale


def _checked_zero(zero_point: np.ndarray) -> np.ndarray:
    zero_point = parameter(zero_point, "zero point")
    wrong = ~np.isfinite(zero_point)
    if wrong.any() or not zero_point.size:
        found = zero_point[wrong].flat[0] if wrong.any() else "empty"
        raise ConfigurationError(f"zero point is {found}, but must be finite")
    return zero_point


@dataclass(frozen=True, eq=False)
class Quant:
    """Quant, which QONNX also calls IntQuant: uniform quantisation to integers of 1 to 32 bits.

    Attributes:
        scale: of any shape that broadcasts against x, each finite and above 0; see `parameter` for its type.
        zero_point: likewise; whole numbers, usually.
        bits: 1 to 32.
        signed, narrow: see the module's head.
        mode: a name of `ROUNDINGS`, in upper or lower case.

    Raises:
        ConfigurationError: another value.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    bits: int
    signed: bool = True
    narrow: bool = False
    mode: str = "ROUND"

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _checked_scale(self.scale))
        object.__setattr__(self, "zero_point", _checked_zero(self.zero_point))
        bits = _checked_bits(float(self.bits), "bit width", self.scale, self.zero_point)
        object.__setattr__(self, "bits", bits)
        object.__setattr__(self, "mode", rounding(self.mode))

    @property
    def bipolar(self) -> bool:
        """Whether the integers are -1 and 1 (one signed bit)."""
        return self.signed and self.bits == 1

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest integer."""
        return (-1, 1) if self.bipolar else _limits(self.bits, self.signed, self.narrow)

    @property
    def per_axis(self) -> bool:
        """Whether there are several scales or zero points."""
        return max(self.scale.size, self.zero_point.size) > 1

    def integers(self, x: np.ndarray) -> np.ndarray:
        """q of float32 `x`: within `limits`, rounded to float32, or of float64 if a parameter is."""
        with np.errstate(over="ignore"):
            steps = x / self.scale + self.zero_point
        if self.bipolar:
            return np.where(steps >= 0, steps.dtype.type(1), steps.dtype.type(-1))
        return ROUNDINGS[self.mode](_clipped(steps, self.limits))

    def carried(self, y: np.ndarray) -> np.ndarray:
        """The integers q that values y of this quantiser carry, as int64."""
        return np.rint(y.astype(np.float64) / self.scale + self.zero_point).astype(np.int64)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y of float32 `x`, as float32."""
        with np.errstate(over="ignore"):
            return ((self.integers(x) - self.zero_point) * self.scale).astype(np.float32)

    def __str__(self) -> str:
        kind = "bipolar" if self.bipolar else f"{'int' if self.signed else 'uint'}{self.bits}"
        return kind + " narrow" * (self.narrow and not self.bipolar) + _numbers(self.scale, self.zero_point)


@dataclass(frozen=True, eq=False)
class BipolarQuant:
    """BipolarQuant: the scale with the sign of x, where both zeros are positive.

    Attributes:
        scale: as of `Quant`.

    Raises:
        ConfigurationError: another scale.
    """

    scale: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _checked_scale(self.scale))

    @property
    def per_axis(self) -> bool:
        """Whether there are several scales."""
        return self.scale.size > 1

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y of float32 `x`, as float32."""
        return (np.where(x >= 0, np.float32(1), np.float32(-1)) * self.scale).astype(np.float32)

    def __str__(self) -> str:
        return "bipolar" + _numbers(self.scale, np.zeros(1))


@dataclass(frozen=True, eq=False)
class Trunc:
    """Trunc: drops low bits of integers that `scale` and `zero_point` carry.

    Version 1 keeps the scale, divides by 2**(input_bits - bits), and clips nothing. Version 2 gives its result's
    scale, from which the divisor follows, and clips.

    Attributes:
        scale, zero_point: as of `Quant`.
        input_bits: 1 to 32; version 2 does not use it.
        bits: of the result, 1 to 32, in version 1 not more than `input_bits`.
        output_scale: None in version 1; as `scale` in version 2.
        signed, narrow: of the result, in version 2.
        mode: a name of `ROUNDINGS`.
        divisor: the power of two (derived).

    Raises:
        ConfigurationError: another value.
    """

    scale: np.ndarray
    zero_point: np.ndarray
    input_bits: int
    bits: int
    output_scale: np.ndarray | None = None
    signed: bool = True
    narrow: bool = False
    mode: str = "FLOOR"
    divisor: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _checked_scale(self.scale))
        object.__setattr__(self, "zero_point", _checked_zero(self.zero_point))
        object.__setattr__(self, "input_bits", _checked_bits(float(self.input_bits), "input bit width"))
        bits = _checked_bits(float(self.bits), "output bit width", self.scale, self.zero_point)
        object.__setattr__(self, "bits", bits)
        object.__setattr__(self, "mode", rounding(self.mode))
        if self.output_scale is None:
            if self.bits > self.input_bits:
                raise ConfigurationError(
                    f"output bit width is {self.bits}, but must be at most the input's {self.input_bits}"
                )
            divisor = np.float32(2.0 ** (self.input_bits - self.bits))
        else:
            object.__setattr__(self, "output_scale", _checked_scale(self.output_scale, "output scale"))
            with np.errstate(all="ignore"):
                ratio = self.output_scale / self.scale
            divisor = _power_of_two(_checked_scale(ratio, "output scale over scale"))
        object.__setattr__(self, "divisor", divisor)

    @property
    def limits(self) -> tuple[int, int] | None:
        """Least and greatest integer of the result, or None where nothing is clipped."""
        return None if self.output_scale is None else _limits(self.bits, self.signed, self.narrow)

    @property
    def per_axis(self) -> bool:
        """Whether there are several scales or zero points."""
        scale = self.scale if self.output_scale is None else self.output_scale
        return max(scale.size, self.zero_point.size) > 1

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y of float32 `x`, as float32."""
        with np.errstate(over="ignore"):
            q = np.rint(x / self.scale + self.zero_point) / self.divisor
            if self.output_scale is None:
                return ((ROUNDINGS[self.mode](q) - self.zero_point) * self.scale).astype(np.float32)
            q = ROUNDINGS[self.mode](_clipped(q, self.limits))
            return ((q - self.zero_point / self.divisor) * self.output_scale).astype(np.float32)

    def __str__(self) -> str:
        if self.output_scale is None:
            return f"trunc {self.input_bits} to {self.bits} bits{_numbers(self.scale, self.zero_point)}"
        kind = f"{'int' if self.signed else 'uint'}{self.bits}" + " narrow" * self.narrow
        return kind + _numbers(self.output_scale, self.zero_point / self.divisor)


def _power_of_two(ratio: np.ndarray) -> np.ndarray:
    """2**rint(log2(ratio)) of positive float32 numbers, decided without a logarithm.

    ratio = m * 2**e with m in [1/2, 1), and log2(m) rounds to 0 if m * m > 1/2 (never equal: sqrt(2) is irrational).
    """
    m, e = np.frexp(ratio.astype(np.float64))
    return np.ldexp(np.float32(1), np.where(m * m > 0.5, e, e - 1)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class MultiThreshold:
    """MultiThreshold: how many thresholds of its channel x reaches, times out_scale, plus out_bias.

    Attributes:
        thresholds: float32 `[C, T]`, or `[1, T]` for all channels.
        out_scale, out_bias: float32 numbers.
        axis: of x's channels, counted in its own shape.

    Raises:
        ConfigurationError: thresholds of another rank, or NaN.
    """

    thresholds: np.ndarray
    out_scale: float = 1.0
    out_bias: float = 0.0
    axis: int = 1

    def __post_init__(self) -> None:
        thresholds = np.asarray(self.thresholds, np.float32)
        if thresholds.ndim != 2 or not thresholds.size or np.isnan(thresholds).any():
            raise ConfigurationError(
                f"thresholds have shape {list(thresholds.shape)}, but must be numbers [channels, steps]"
            )
        object.__setattr__(self, "thresholds", thresholds)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y of float32 `x` `[runs, *shape]`, as float32."""
        shape = [1] * x.ndim
        shape[self.axis + 1] = -1
        count = np.zeros(x.shape, np.float32)
        # One threshold of every channel after the other: no array of all comparisons.
        for step in self.thresholds.T:
            count += x >= step.reshape(shape)
        return np.float32(self.out_scale) * count + np.float32(self.out_bias)

    per_axis = False

    def __str__(self) -> str:
        return f"{self.thresholds.shape[1]} thresholds {self.out_scale:.6g}"


# The quantisers, which are operators of a graph as well as what its tensors' values stand for.
QUANTISERS = (BipolarQuant, MultiThreshold, Quant, Trunc)


def _numbers(scale: np.ndarray, zero_point: np.ndarray) -> str:
    scales = f" {scale.flat[0]:.6g}" if scale.size == 1 else f" x{scale.size}"
    zeros = f" zp {zero_point.flat[0]:.6g}" if np.any(zero_point) else ""
    return scales + zeros
