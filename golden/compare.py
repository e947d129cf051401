"""Comparison of two traces, tensor by tensor: exact or not, where first, how far, and how much noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from golden.errors import GoldenError

__all__ = ["Comparison", "TensorComparison", "compare_arrays", "compare_traces"]


@dataclass(frozen=True)
class TensorComparison:
    """One tensor against its reference.

    Attributes:
        name: of the tensor.
        size: number of values compared.
        differing: how many of them differ.
        first: coordinate of the first that differs, in row-major order, else None.
        expected, seen: the reference's and the model's value there, else None.
        worst: largest absolute difference (of integers, or of floats as they are).
        sqnr_db: signal-to-quantisation-noise ratio 10 log10(sum reference^2 / sum difference^2) in dB; infinite
            if exact.
    """

    name: str
    size: int
    differing: int
    first: tuple[int, ...] | None
    expected: float | int | None
    seen: float | int | None
    worst: float | int
    sqnr_db: float

    @property
    def exact(self) -> bool:
        """Whether every value is the same."""
        return self.differing == 0

    def __str__(self) -> str:
        if self.exact:
            return f"{self.name}: exact, {self.size:,} values"
        return (
            f"{self.name}: {self.differing:,} of {self.size:,} values differ, first at {list(self.first)}: "
            f"expected {self.expected}, seen {self.seen}; worst {self.worst}, SQNR {self.sqnr_db:.1f} dB"
        )


@dataclass(frozen=True)
class Comparison:
    """Every compared tensor, in order of execution. `str()` is a text with one line a tensor and a verdict."""

    tensors: tuple[TensorComparison, ...]

    @property
    def exact(self) -> bool:
        """Whether every tensor is exact."""
        return all(tensor.exact for tensor in self.tensors)

    @property
    def first_differing(self) -> TensorComparison | None:
        """The first tensor in order of execution that is not exact: where to look for the cause."""
        return next((tensor for tensor in self.tensors if not tensor.exact), None)

    def __str__(self) -> str:
        values = sum(tensor.size for tensor in self.tensors)
        wrong = sum(not tensor.exact for tensor in self.tensors)
        verdict = "all exact" if not wrong else f"{wrong} differ, first {self.first_differing.name}"
        lines = [str(tensor) for tensor in self.tensors]
        return "\n".join([*lines, f"{len(self.tensors)} tensors, {values:,} values: {verdict}"])


def compare_arrays(name: str, seen: np.ndarray, reference: np.ndarray) -> TensorComparison:
    """Compare one tensor.

    Args:
        name: of the tensor, for messages.
        seen: the model's values.
        reference: as many values; it takes the shape of `seen`. NaN equals NaN.

    Raises:
        GoldenError: nothing to compare, another number of values, or a dtype of another kind.
    """
    seen, reference = np.asarray(seen), np.asarray(reference)
    if seen.size == 0:
        raise GoldenError(f"tensor {name!r} holds 0 values, but a comparison needs 1 or more")
    kinds = next((group for group in ("iu", "b") if seen.dtype.kind in group), "f")
    if reference.size != seen.size or reference.dtype.kind not in kinds:
        raise GoldenError(
            f"tensor {name!r}: the reference is {reference.dtype} {list(reference.shape)}, "
            f"but must be {seen.dtype} {list(seen.shape)}"
        )
    reference = reference.reshape(seen.shape)
    exact_type = np.float64 if seen.dtype.kind == "f" else np.int64
    ours, theirs = seen.astype(exact_type), reference.astype(exact_type)
    unequal = ours != theirs
    if exact_type is np.float64:
        unequal &= ~(np.isnan(ours) & np.isnan(theirs))
    differing = int(np.count_nonzero(unequal))
    if not differing:
        return TensorComparison(name, seen.size, 0, None, None, None, 0, math.inf)
    first = tuple(int(i) for i in np.unravel_index(int(np.argmax(unequal)), seen.shape))
    difference = (ours - theirs)[unequal]
    noise = float(np.sum(difference.astype(np.float64) ** 2))
    signal = float(np.sum(theirs.astype(np.float64) ** 2))
    sqnr = 10 * math.log10(signal / noise) if signal > 0 and noise > 0 else -math.inf
    worst = np.abs(difference).max().item()
    return TensorComparison(
        name, seen.size, differing, first, reference[first].item(), seen[first].item(), worst, sqnr
    )


def compare_traces(seen: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> Comparison:
    """Compare the tensors that both traces name, in the order of `seen`.

    Raises:
        GoldenError: no name in common, and the errors of `compare_arrays`.
    """
    common = [name for name in seen if name in reference]
    if not common:
        raise GoldenError(
            f"the reference names {len(reference)} tensors, but none of the model's {len(seen)} is among them"
        )
    return Comparison(tuple(compare_arrays(name, seen[name], reference[name]) for name in common))
