# SPDX-License-Identifier: Apache-2.0
"""Comparison of two traces, tensor by tensor: exact or not, where first, how far, how many, and how much noise.

    comparison = model.compare(x, reference)   # another model, a framework's runtime, or name -> array
    print(comparison)
    comparison.plot("comparison.png")

After hls4ml's comparison of a design's trace with its framework's, layer by layer; see docs/sources.md.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden import picture
from assay.golden.errors import GoldenError
from assay.golden.table import short

__all__ = ["Acceptance", "Comparison", "TensorComparison", "compare_arrays", "compare_traces", "trace_of"]

# Of the values that differ, as many are drawn.
_MOST_POINTS = 20_000
# Matplotlib's axes overflow near the largest floats.
_LARGEST_DRAWN = 1e300


@dataclass(frozen=True)
class TensorComparison:
    """One tensor against its reference.

    Attributes:
        name: of the tensor.
        size: number of values compared; 0 if they could not be, see `problem`.
        differing: how many of them differ. NaN equals NaN and differs from every number.
        first: coordinate of the first that differs, in row-major order, else None.
        expected, seen: the reference's and the model's value there, else None.
        worst: largest absolute difference (of integers, or of floats as they are); infinite where one of the two is
            NaN or infinite and the other is not.
        sqnr_db: signal-to-quantisation-noise ratio 10 log10(sum (reference - zero point)^2 / sum difference^2) in
            dB; infinite if exact, minus infinity if the noise is infinite or the signal 0.
        problem: why the two could not be compared (unlike shapes, integers against floats), or "".
        nan: number of coordinates at which one side or both hold NaN.
    """

    name: str
    size: int
    differing: int
    first: tuple[int, ...] | None
    expected: float | int | None
    seen: float | int | None
    worst: float | int
    sqnr_db: float
    problem: str = ""
    nan: int = 0

    @property
    def exact(self) -> bool:
        """Whether every value is the same, and there was one."""
        return self.size > 0 and self.differing == 0

    @property
    def share(self) -> float:
        """Of the values that differ among all, 0 to 1; 1 if they could not be compared."""
        return self.differing / self.size if self.size else 1.0

    def __str__(self) -> str:
        name = short(self.name)
        if self.problem:
            return f"{name}: not comparable: {self.problem}"
        nan = f", {self.nan:,} of them NaN" if self.nan else ""
        if self.exact:
            return f"{name}: exact, {self.size:,} values{nan}"
        return (
            f"{name}: {self.differing:,} of {self.size:,} values differ ({self.share:.2%}), "
            f"first at {list(self.first)}: expected {self.expected}, seen {self.seen}; "
            f"worst {self.worst:.9g}, SQNR {self.sqnr_db:.1f} dB{nan}"
        )


@dataclass(frozen=True)
class Comparison:
    """Every compared tensor, in order of execution. `str()` is a text with one line a tensor and a verdict.

    Attributes:
        tensors: those that both sides name.
        missing: tensors of the model that the reference does not name.
        pair: the model's and the reference's values of `first_differing`, of one shape, or None where there is none
            or they cannot be compared.
    """

    tensors: tuple[TensorComparison, ...]
    missing: tuple[str, ...] = ()
    pair: tuple[np.ndarray, np.ndarray] | None = None

    def __getitem__(self, name: str) -> TensorComparison:
        """The tensor of that name.

        Raises:
            GoldenError: it was not compared.
        """
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise GoldenError(f"tensor {name!r} was not compared, but {len(self.tensors)} others were")

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
        if self.missing:
            verdict += f"; {len(self.missing)} more of the model's tensors are not in the reference"
        lines = [str(tensor) for tensor in self.tensors]
        return "\n".join([*lines, f"{len(self.tensors)} tensors, {values:,} values: {verdict}"])

    def plot(self, path: str | PathLike[str]) -> Path:
        """Draw each tensor's SQNR, worst error and share of wrong values, and the values of the first that differs.

        One line a tensor, in order of execution from the top. Exact tensors have no bar. Below them stand, of the first
        tensor that differs, the model's wrong values over the reference's (at most 20,000, evenly chosen) and how often
        each difference occurs.

        Args:
            path: of the picture; its suffix, such as .png, .svg or .pdf, is the format.

        Raises:
            GoldenError: matplotlib is not installed, the suffix is none of its formats, or the file cannot be written.
        """
        count = len(self.tensors)
        below = 3.2 if self.pair is not None else 0
        figure = picture.figure("a comparison", (11, 1.4 + 0.24 * count + below))
        top, bottom = (
            figure.subfigures(2, 1, height_ratios=(1.4 + 0.24 * count, below))
            if self.pair is not None
            else (figure, None)
        )
        wrong = sum(not tensor.exact for tensor in self.tensors)
        figure.suptitle(f"{count} tensors: {f'{wrong} differ' if wrong else 'all exact'}", fontsize=10)
        panels = top.subplots(1, 3, sharey=True)
        for axes, title, value in (
            (panels[0], "SQNR in dB", lambda tensor: tensor.sqnr_db),
            (panels[1], "worst error", lambda tensor: float(tensor.worst)),
            (panels[2], "wrong values in %", lambda tensor: 100 * tensor.share),
        ):
            self._bars(axes, value)
            axes.set_title(title, fontsize=9)
            axes.tick_params(labelsize=8)
            axes.grid(axis="x", linewidth=0.4)
        names = [short(tensor.name) for tensor in self.tensors]
        panels[0].set_yticks(range(count), names, fontsize=8)
        panels[0].set_ylim(count - 0.5, -0.5)
        for label, tensor in zip(panels[0].get_yticklabels(), self.tensors, strict=True):
            label.set_color("black" if tensor.exact else "firebrick")
        if bottom is not None:
            self._values(bottom.subplots(1, 2))
        return picture.save(figure, path)

    def _bars(self, axes: Any, value: Any) -> None:
        finite = [
            value(tensor) for tensor in self.tensors if not tensor.exact and math.isfinite(value(tensor))
        ]
        for line, tensor in enumerate(self.tensors):
            if tensor.exact:
                axes.text(0, line, " exact", va="center", color="seagreen", fontsize=7)
            elif math.isfinite(value(tensor)):
                axes.barh(line, value(tensor), color="firebrick", height=0.6)
            else:
                text = " not comparable" if tensor.problem else f" {value(tensor)}"
                axes.text(0, line, text, va="center", color="firebrick", fontsize=7)
        # Room for the words where there is no bar.
        axes.set_xlim(min([0, *finite]), max([0, *finite]) * 1.05 or 1)

    def _values(self, axes: Any) -> None:
        seen, reference = (array.ravel().astype(np.float64) for array in self.pair)
        finite = (np.abs(seen) < _LARGEST_DRAWN) & (np.abs(reference) < _LARGEST_DRAWN)
        wrong = np.flatnonzero((seen != reference) & finite)
        step = -(-max(len(wrong), 1) // _MOST_POINTS)
        first = self.first_differing
        axes[0].scatter(reference[wrong[::step]], seen[wrong[::step]], s=4, color="firebrick", linewidths=0)
        ends = [reference[finite].min(), reference[finite].max()] if finite.any() else [0, 1]
        axes[0].plot(ends, ends, color="black", linewidth=0.6)
        axes[0].set_xlabel("reference", fontsize=8)
        axes[0].set_ylabel("seen", fontsize=8)
        axes[0].set_title(f"{short(first.name)}: its {first.differing:,} wrong values", fontsize=9)
        difference = seen[wrong] - reference[wrong]
        if len(difference):
            axes[1].hist(difference, bins=_edges(difference), color="firebrick", log=True)
            axes[1].set_ylim(bottom=0.7)
        axes[1].set_xlabel("seen - reference", fontsize=8)
        axes[1].set_ylabel("values", fontsize=8)
        axes[1].set_title("how often each difference", fontsize=9)
        for panel in axes:
            panel.tick_params(labelsize=8)


def _edges(values: np.ndarray) -> np.ndarray:
    """Where the bars of a histogram of finite values end: one bar an integer if they are few, else 60 bars."""
    low, high = values.min(), values.max()
    if high - low < 200 and (values == np.rint(values)).all() and abs(low) < 2**50:
        return np.arange(low - 0.5, high + 1)
    margin = 0 if low < high else 0.05 * abs(low)
    return np.linspace(low - margin, high + margin, 61)


@dataclass(frozen=True)
class Acceptance:
    """How far a lowered network may be from its framework, in each tensor.

    Attributes:
        steps: largest difference of an integer.
        share: of the values that may differ, 0 to 1.
    """

    steps: int = 0
    share: float = 1.0

    def takes(self, tensor: TensorComparison) -> bool:
        """Whether a tensor is near enough; floats must be equal."""
        if tensor.exact:
            return True
        near = isinstance(tensor.worst, int) and tensor.worst <= self.steps
        return near and not tensor.problem and tensor.share <= self.share

    def __str__(self) -> str:
        return (
            f"{self.steps} steps in {self.share:.4g} of a tensor's values" if self.steps else "no difference"
        )

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser) -> None:
        """The options of a command line that compares what was lowered with its framework."""
        parser.add_argument(
            "--accept-steps",
            type=int,
            default=0,
            metavar="N",
            help="pass where a lowered network's integers are up to N steps from its framework's (default: 0)",
        )
        parser.add_argument(
            "--accept-share",
            default="",
            metavar="SHARE",
            help="in at most this share of each tensor's values, such as 0.5%% or 0.005 (default: 100%%)",
        )

    @classmethod
    def of(cls, options: argparse.Namespace) -> Acceptance:
        """What these options say.

        Raises:
            GoldenError: a number out of its range, or a share without steps.
        """
        steps, text = options.accept_steps, options.accept_share
        if steps < 0:
            raise GoldenError(f"--accept-steps {steps}: must be 0 or more")
        if not text:
            return cls(steps)
        if not steps:
            raise GoldenError(f"--accept-share {text}: needs --accept-steps N, by how much they may differ")
        with contextlib.suppress(ValueError):
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
            if 0 <= share <= 1:
                return cls(steps, share)
        raise GoldenError(f"--accept-share {text}: must be from 0 to 1, or from 0% to 100%")


def compare_arrays(
    name: str, seen: np.ndarray, reference: np.ndarray, quantisation: Any = None
) -> TensorComparison:
    """Compare one tensor.

    Args:
        name: of the tensor, for messages.
        seen: the model's values.
        reference: integers for integers, floats for floats, of any width; of the same shape but for axes of length 1.
            What is unlike is reported as the result's `problem`.
        quantisation: what the model's integers stand for, an object of `golden.schemes`, or None. The SQNR is that of
            the real values. With it a reference may be floats where the model has integers, as a float model gives
            them: then real values are compared.

    Raises:
        GoldenError: nothing to compare.
    """
    seen, reference = np.asarray(seen), np.asarray(reference)
    if seen.size == 0:
        raise GoldenError(f"tensor {name!r} holds 0 values, but a comparison needs 1 or more")
    seen, zero_point = _numbers(seen, reference, quantisation)
    if not _alike(seen, reference):
        problem = (
            f"the reference is {reference.dtype} {list(reference.shape)}, "
            f"but must be {seen.dtype} {list(seen.shape)}"
        )
        return TensorComparison(name, 0, 0, None, None, None, math.inf, -math.inf, problem)
    reference = reference.reshape(seen.shape)
    if seen.dtype.kind == "f":
        ours, theirs = seen.astype(np.float64), reference.astype(np.float64)
        unequal = (ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))
        nan = int(np.count_nonzero(np.isnan(ours) | np.isnan(theirs)))
    else:
        ours, theirs = seen, reference
        unequal = ours != theirs
        nan = 0
    differing = int(np.count_nonzero(unequal))
    if not differing:
        return TensorComparison(name, seen.size, 0, None, None, None, 0, math.inf, nan=nan)
    first = tuple(int(i) for i in np.unravel_index(int(np.argmax(unequal)), seen.shape))
    worst, noise = _distance(ours[unequal], theirs[unequal])
    finite = theirs[np.isfinite(theirs)].astype(np.float64)
    with np.errstate(over="ignore"):
        signal = float(np.sum((finite - zero_point) ** 2))
    sqnr = 10 * math.log10(signal / noise) if 0 < signal < math.inf and 0 < noise < math.inf else -math.inf
    expected, value = reference[first].item(), seen[first].item()
    return TensorComparison(name, seen.size, differing, first, expected, value, worst, sqnr, nan=nan)


def _numbers(seen: np.ndarray, reference: np.ndarray, quantisation: Any) -> tuple[np.ndarray, int]:
    """The model's values as the reference's kind of numbers, and which of them stands for zero."""
    scale = np.ravel(getattr(quantisation, "scale", ()))
    if scale.size != 1 or seen.dtype.kind not in "iu":
        return seen, 0
    zero_point = int(np.ravel(getattr(quantisation, "zero_point", 0))[0])
    if reference.dtype.kind != "f":
        return seen, zero_point
    return (seen.astype(np.float64) - zero_point) * float(scale[0]), 0


def _alike(seen: np.ndarray, reference: np.ndarray) -> bool:
    kinds = "iub" if seen.dtype.kind in "iub" else "f"
    return (
        seen.dtype.kind in "iubf"
        and reference.dtype.kind in kinds
        and [n for n in seen.shape if n != 1] == [n for n in reference.shape if n != 1]
    )


def _distance(ours: np.ndarray, theirs: np.ndarray) -> tuple[float | int, float]:
    """The largest absolute difference and the sum of their squares."""
    if ours.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.abs(ours - theirs)
            difference[np.isnan(difference)] = math.inf
            return difference.max().item(), float(np.sum(difference**2))
    # Python's integers hold the distances that int64 does not, such as that of its ends.
    small = all(abs(int(end)) < 1 << 62 for array in (ours, theirs) for end in (array.min(), array.max()))
    kind = np.int64 if small else object
    difference = np.abs(ours.astype(kind) - theirs.astype(kind))
    return int(difference.max()), float(np.sum(difference.astype(np.float64) ** 2))


def compare_traces(
    seen: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    given: Collection[str] = (),
    quantisations: Mapping[str, Any] | None = None,
) -> Comparison:
    """Compare the tensors that both traces name, in the order of `seen`.

    Args:
        seen: the model's.
        reference: names it has alone are passed over; those it lacks are listed as `missing`.
        given: names of the model's inputs, which alone are no comparison.
        quantisations: of the model's tensors, see `compare_arrays`.

    Raises:
        GoldenError: nothing that the model computed could be compared.
    """
    common = [name for name in seen if name in reference]
    if not any(name not in given for name in common):
        only = f", only its input {', '.join(map(repr, common))}" if common else ""
        raise GoldenError(
            f"the reference names {len(reference)} tensors, but none of the {len(seen) - len(given)} that the model "
            f"computes is among them{only}"
        )
    about = quantisations or {}
    tensors = tuple(compare_arrays(name, seen[name], reference[name], about.get(name)) for name in common)
    computed = [tensor for tensor in tensors if tensor.name not in given]
    if all(tensor.problem for tensor in computed):
        raise GoldenError(f"nothing could be compared: tensor {computed[0].name!r}: {computed[0].problem}")
    missing = tuple(name for name in seen if name not in reference)
    first = next((tensor for tensor in tensors if not tensor.exact), None)
    pair = None
    if first is not None and not first.problem:
        theirs = np.asarray(reference[first.name])
        ours, _ = _numbers(np.asarray(seen[first.name]), theirs, about.get(first.name))
        pair = ours, theirs.reshape(ours.shape)
    return Comparison(tensors, missing, pair)


def trace_of(reference: Any, x: Any) -> Mapping[str, np.ndarray]:
    """A reference's tensors: itself if it is a mapping, or what its `trace(x)` gives.

    Raises:
        GoldenError: it is neither, and the errors of its `trace`.
    """
    if isinstance(reference, Mapping):
        return reference
    if not callable(getattr(reference, "trace", None)):
        raise GoldenError(
            f"reference is of type {type(reference).__name__}, "
            f"but must be a mapping from names to arrays or a model with a method trace"
        )
    return reference.trace(x)
