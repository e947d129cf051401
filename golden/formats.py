# SPDX-License-Identifier: Apache-2.0
"""Integer number formats: how many bits a tensor's values have, and whether the top one is a sign."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from assay.golden.errors import ConfigurationError

__all__ = ["MAX_BITS", "MIN_BITS", "IntFormat"]

# One to sixteen bits: the precisions a bit-serial job can be given (BARVINN's MVU, and Assay's).
MIN_BITS, MAX_BITS = 1, 16

_TEXT = re.compile(r"(s|u|int|uint)(\d{1,4})")


@dataclass(frozen=True)
class IntFormat:
    """A two's complement integer format of `bits` bits, `signed` or not; `str()` gives "u2", "s4".

    A signed format of one bit holds -1 and 0, as two's complement says.

    Raises:
        ConfigurationError: `bits` is not a whole number from 1 to 16, or `signed` is not a bool.
    """

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        whole = isinstance(self.bits, (int, np.integer)) and not isinstance(self.bits, bool)
        if not whole or not MIN_BITS <= self.bits <= MAX_BITS:
            raise ConfigurationError(
                f"bits is {self.bits!r}, but must be a whole number from {MIN_BITS} to {MAX_BITS}"
            )
        if not isinstance(self.signed, (bool, np.bool_)):
            raise ConfigurationError(f"signed is {self.signed!r}, but must be True or False")
        # Plain Python scalars, so that formats made from numpy values compare, hash and print alike.
        object.__setattr__(self, "bits", int(self.bits))
        object.__setattr__(self, "signed", bool(self.signed))

    @classmethod
    def parse(cls, text: str) -> IntFormat:
        """Read the short form that `str()` writes, "u2" unsigned of 2 bits, "s4" signed of 4, or "uint2", "int4".

        Raises:
            ConfigurationError: `text` is not one of these followed by a number from 1 to 16.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ConfigurationError(
                f"format {text!r} is not of the form 'int4', 'uint4', 's4' or 'u4', with {MIN_BITS} to {MAX_BITS} bits"
            )
        return cls(int(match[2]), not match[1].startswith("u"))

    @property
    def min(self) -> int:
        """Smallest value: -2**(bits-1) if signed, else 0."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest value: 2**(bits-1) - 1 if signed, else 2**bits - 1."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def magnitude(self) -> int:
        """Largest absolute value: the factor a worst-case accumulator bound needs."""
        return max(-self.min, self.max)

    def contains(self, values: np.ndarray | int) -> bool:
        """Tell whether every element of `values` (any shape, integers; an empty array counts as yes) is in
        range."""
        values = np.asarray(values)
        return values.size == 0 or (self.min <= int(values.min()) and int(values.max()) <= self.max)

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}"
