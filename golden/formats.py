# SPDX-License-Identifier: Apache-2.0
"""Integer number formats: how many bits a tensor's values have, and whether the top one is a sign."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError

__all__ = ["MAX_BITS", "MIN_BITS", "IntFormat", "integers", "magnitude", "saturate", "wrap"]

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


def saturate(x: np.ndarray | int, bits: int, signed: bool) -> np.ndarray:
    """`x` clamped to the range of a format of `bits` bits: int64 of its shape.

    Args:
        x: integers of any shape, within int64.
        bits: 1 to 64 if signed, else 1 to 63.
        signed: whether the format is two's complement.

    Raises:
        ConfigurationError: `bits` is out of range.
        GoldenError: `x` does not hold such integers.
    """
    _check_width(bits, signed)
    greatest = (1 << bits - 1) - 1 if signed else (1 << bits) - 1
    return np.clip(integers(x, "x").astype(np.int64, copy=False), -(1 << bits - 1) if signed else 0, greatest)


def wrap(x: np.ndarray | int, bits: int, signed: bool) -> np.ndarray:
    """The low `bits` bits of `x`, as a hardware part-select keeps them: int64 of its shape.

    Arguments and errors are those of `saturate`.
    """
    _check_width(bits, signed)
    x = integers(x, "x").astype(np.int64, copy=False)
    return x << 64 - bits >> 64 - bits if signed else x & (1 << bits) - 1


def _check_width(bits: int, signed: bool) -> None:
    most = 64 if signed else 63
    whole = isinstance(bits, (int, np.integer)) and not isinstance(bits, bool)
    if not whole or not 1 <= bits <= most:
        raise ConfigurationError(f"bits is {bits!r}, but must be a whole number from 1 to {most}")


def integers(values: np.ndarray | int, name: str, rank: int | None = None) -> np.ndarray:
    """`values` as an array, checked to hold integers that int64 holds; of the dtype and shape given.

    Args:
        values: integers of any dtype.
        name: of the values, for messages.
        rank: the number of axes that they must have; None allows any.

    Raises:
        GoldenError: another dtype or rank, or an integer of 2**63 or more.
    """
    found = np.asarray(values)
    if found.dtype.kind not in "iu":
        raise GoldenError(f"{name} has dtype {found.dtype}, but must hold integers")
    if rank is not None and found.ndim != rank:
        raise GoldenError(f"{name} has shape {list(found.shape)}, but must have {rank} dimensions")
    if found.dtype == np.uint64 and found.size and int(found.max()) >= 1 << 63:
        raise GoldenError(f"{name} holds {int(found.max())}, but must stay below 2**63")
    return found


def magnitude(values: np.ndarray) -> int:
    """Largest absolute value as a Python integer, because abs() of the smallest int64 wraps; 0 of an empty array."""
    return max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0
