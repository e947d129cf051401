# SPDX-License-Identifier: Apache-2.0
"""Precision of single tensors: results brought into another number format, the rest of the network unchanged.

    model = golden.load("network.tflite", precision={"conv2": "ap_fixed<8,3,RND,SAT>"})
    model = model.with_precision({"conv2": "int4"})

After hls4ml's configuration, which gives the result of each layer a type of its own. A format is an
`IntFormat` ("int4", "uint8", or short "s4", "u8") or an `ApFixed` ("ap_fixed<8,3,RND,SAT>"; without modes it truncates
and wraps, as in C++).

In a `Graph` a tensor keeps its dtype, scale and zero point, so that whatever reads it stays as it is. Its values:

- `IntFormat`: the distance from the zero point, in steps of the tensor's own scale, saturates at the format's ends.
- `ApFixed`: the real value scale * (q - zero_point), exactly, is assigned to the type by its rounding and overflow
  modes. The tensor then holds the integer nearest to what came out, ties to even, saturated; that changes nothing more
  where the type's step is a multiple of the scale. Of floats, each value of the type must be one, or it is refused.

In a `Network` there are no scales: a layer's quantiser gets the format, see `Network.with_precision`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.formats import IntFormat
from assay.golden.schemes.ap_fixed import MAX_INPUT, ApFixed

__all__ = ["Format", "Precision", "parse", "unknown_name"]

Format = IntFormat | ApFixed


def parse(text: str | Format) -> Format:
    """A format from its text; a format is given back as it is.

    Raises:
        ConfigurationError: neither of the two forms, or out of range.
    """
    if isinstance(text, (IntFormat, ApFixed)):
        return text
    if not isinstance(text, str):
        raise ConfigurationError(
            f"format is of type {type(text).__name__}, but must be a text, an IntFormat or an ApFixed"
        )
    if text.strip().startswith("ap_"):
        return ApFixed.parse(text)
    try:
        return IntFormat.parse(text.strip())
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}, nor of the form 'ap_fixed<8,3,RND,SAT>'") from None


def unknown_name(where: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """The error for a name that is no layer's or tensor's: it holds those that are most like it."""
    lower = {other.lower(): other for other in known}
    near = [lower[other] for other in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    hint = f"did you mean {' or '.join(map(repr, near))}" if near else "summary() lists them"
    return ConfigurationError(f"{where} has no layer or tensor {name!r}; {hint}")


@dataclass(frozen=True, eq=False)
class Precision:
    """A format for one tensor of a graph; calling it brings the tensor's values into the format.

    Attributes:
        name: of the tensor, for messages.
        format: what its values shall fit.
        dtype: of the tensor.
        quantisation: what its integers stand for, or None: themselves.

    Raises:
        ConfigurationError: the format has values that the tensor cannot hold, or no meaning for it.
    """

    name: str
    format: Format
    dtype: np.dtype
    quantisation: Any = None

    def __post_init__(self) -> None:
        where = f"precision {self.format} of tensor {self.name!r}"
        if self.dtype.kind == "f":
            if isinstance(self.format, IntFormat):
                raise ConfigurationError(
                    f"{where}: the tensor is {self.dtype}, so the format must be an ap_fixed"
                )
            for raw in (1, self.format.min, self.format.max):
                value = self.format.value(raw)
                with np.errstate(over="ignore"):
                    held = self.dtype.type(float(value)) if abs(value) < 2**1000 else np.inf
                if not np.isfinite(held) or Fraction(float(held)) != value:
                    raise ConfigurationError(
                        f"{where}: {self.dtype} does not hold all values of the format exactly"
                    )
            return
        if self.dtype.kind not in "iu":
            raise ConfigurationError(f"{where}: the tensor is {self.dtype}, but must hold integers or floats")
        if np.size(getattr(self.quantisation, "scale", 1)) != 1:
            raise ConfigurationError(
                f"{where}: the tensor has a scale per channel, but must have a single one"
            )
        least, greatest = self._container
        if isinstance(self.format, IntFormat):
            low, high = self.format.min + self._zero_point, self.format.max + self._zero_point
            if low <= least and high >= greatest and (low, high) != (least, greatest):
                raise ConfigurationError(
                    f"{where}: it would change nothing, as the tensor holds {least} to {greatest} "
                    f"around zero point {self._zero_point}"
                )

    def __str__(self) -> str:
        return str(self.format)

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest integer that the tensor holds; of floats, the format's raw integers."""
        if self.dtype.kind == "f":
            return self.format.min, self.format.max
        least, greatest = self._container
        if isinstance(self.format, IntFormat):
            return (
                max(least, self.format.min + self._zero_point),
                min(greatest, self.format.max + self._zero_point),
            )
        low, high = self._nearest(np.array([self.format.min, self.format.max]))
        return int(low), int(high)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Bring values of any shape into the format; same shape and dtype.

        Raises:
            GoldenError: NaN or infinity, or integers that need more than 61 bits times their scale's.
        """
        if isinstance(self.format, IntFormat):
            return np.clip(values, *self.limits).astype(self.dtype)
        try:
            if self.dtype.kind == "f":
                return self.format.to_float(self.format.from_float(values)).astype(self.dtype)
            scale = self._scale
            twos = (scale.numerator & -scale.numerator).bit_length() - 1
            odd, fraction = scale.numerator >> twos, scale.denominator.bit_length() - 1 - twos
            distance = values.astype(np.int64) - self._zero_point
            if odd > 1 and np.abs(distance).max(initial=0) > MAX_INPUT // odd:
                raise GoldenError(
                    f"values times the scale {float(scale)} leave the 61 bits that are exact here"
                )
            raw = self.format.convert(distance * odd, fraction)
        except GoldenError as error:
            raise GoldenError(f"precision {self.format} of tensor {self.name!r}: {error}") from None
        return self._nearest(raw).astype(self.dtype)

    @property
    def _scale(self) -> Fraction:
        return Fraction(float(np.ravel(getattr(self.quantisation, "scale", 1))[0]))

    @property
    def _zero_point(self) -> int:
        return int(np.ravel(getattr(self.quantisation, "zero_point", 0))[0])

    @property
    def _container(self) -> tuple[int, int]:
        """What the tensor can hold."""
        info = np.iinfo(self.dtype)
        return getattr(self.quantisation, "limits", (int(info.min), int(info.max)))

    def _nearest(self, raw: np.ndarray) -> np.ndarray:
        """The tensor's integers nearest to the format's raw ones."""
        least, greatest = self._container
        step = self.format.value(1) / self._scale
        # Python's round of a fraction takes a tie to the even integer.
        distinct, inverse = np.unique(raw, return_inverse=True)
        nearest = [min(max(round(int(r) * step) + self._zero_point, least), greatest) for r in distinct]
        return np.array(nearest, self.dtype)[inverse].reshape(np.shape(raw))
