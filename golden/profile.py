# SPDX-License-Identifier: Apache-2.0
"""Profiles: how much of its number format each tensor and constant of a network uses, and how often it saturates.

    profile = golden.profile(model, x)
    print(profile)
    profile.plot("profile.png")

After hls4ml's profiling of weights and activations against their types. Integers are compared as
integers: a row's format is that of the stored numbers, whatever real value one step stands for. Values at an end of the
format count as saturated, since clamping leaves nothing else to see; an end that stands for zero does not count, as
a ReLU puts values there that no wider format would move.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden import picture, table
from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.graph import Graph
from assay.golden.layers.linear import Convolution
from assay.golden.network import MULTIPLIER, Network
from assay.golden.schemes.fixed_point import BIAS_BITS, WEIGHT_BITS
from assay.golden.schemes.qonnx import Quant
from assay.golden.table import short

__all__ = ["Profile", "Usage", "profile"]

# Rows of a network's input that run at once, so that a long profile needs little memory.
_BATCH = 64

_WIDEST = 65  # a magnitude of int64 has 0 to 64 bits


@dataclass(frozen=True)
class Usage:
    """One tensor or constant against its format.

    Attributes:
        name: of the tensor, or of the node and what it stores: "conv weight".
        kind: "input", "tensor" or "constant".
        numbers: what the numbers are, such as "int8 2^-7"; empty if nothing is known but the dtype.
        low, high: ends of the format, or None for floats and integers without one.
        least, greatest: of the values.
        count: number of values seen.
        at_low, at_high: how many lie at an end of the format that does not stand for zero.
        zero: the integer that stands for zero.
        magnitudes: how many values lie 0, 1, 2..3, 4..7, ... from zero, by the bits of that distance, 0 to 64; empty
            for floats.
    """

    name: str
    kind: str
    numbers: str
    low: int | None
    high: int | None
    least: float | int
    greatest: float | int
    count: int
    at_low: int = 0
    at_high: int = 0
    zero: int = 0
    magnitudes: tuple[int, ...] = ()

    @property
    def bits(self) -> int | None:
        """Width of the smallest two's complement register (unsigned if nothing is negative) for all values seen."""
        if not self.magnitudes:
            return None
        if self.least >= 0:
            return max(1, self.greatest.bit_length())
        return max((-self.least - 1).bit_length(), max(self.greatest, 0).bit_length()) + 1

    @property
    def saturated(self) -> int:
        """Values at either end."""
        return self.at_low + self.at_high

    def merged(self, other: Usage) -> Usage:
        """Both together, of the same tensor."""
        return dataclasses.replace(
            self,
            least=min(self.least, other.least),
            greatest=max(self.greatest, other.greatest),
            count=self.count + other.count,
            at_low=self.at_low + other.at_low,
            at_high=self.at_high + other.at_high,
            magnitudes=tuple(a + b for a, b in zip(self.magnitudes, other.magnitudes, strict=True)),
        )


@dataclass(frozen=True)
class Profile:
    """Every tensor and constant, in order of execution. `str()` is a table."""

    name: str
    rows: tuple[Usage, ...]

    def __getitem__(self, name: str) -> Usage:
        """The row of that name.

        Raises:
            GoldenError: there is none.
        """
        for row in self.rows:
            if row.name == name:
                return row
        raise GoldenError(f"profile of {self.name} has no row {name!r}")

    @property
    def saturated(self) -> int:
        """Values at an end of their format, of inputs and tensors; constants were chosen, not clamped."""
        return sum(row.saturated for row in self.rows if row.kind != "constant")

    def __str__(self) -> str:
        header = (
            "tensor",
            "kind",
            "numbers",
            "format",
            "seen",
            "bits",
            "values",
            "at low",
            "at high",
            "share",
        )
        lines = [header, *(_cells(row) for row in self.rows)]
        texts = table.lines(lines, right=range(5, len(header)))
        values = sum(row.count for row in self.rows if row.kind != "constant")
        return "\n".join(
            [f"profile of {self.name}: {self.saturated:,} of {values:,} values of tensors at an end", *texts]
        )

    def plot(self, path: str | PathLike[str]) -> Path:
        """Draw how far every row's values lie from zero, in bits, its format's end, and its saturated share.

        One line a tensor, as in the table; a darker cell holds more of the tensor's values. Rows of floats are left
        away.

        Args:
            path: of the picture; its suffix, such as .png, .svg or .pdf, is the format.

        Raises:
            GoldenError: matplotlib is not installed, the suffix is none of its formats, or the file cannot be written.
        """
        rows = [row for row in self.rows if row.magnitudes]
        if not rows:
            raise GoldenError(
                f"profile of {self.name} holds 0 rows of integers, but a picture needs 1 or more"
            )
        shares = np.array([row.magnitudes for row in rows]) / np.array([[row.count] for row in rows])
        ends = [
            None if row.high is None else max(row.high - row.zero, row.zero - row.low).bit_length()
            for row in rows
        ]
        last = max(int(np.flatnonzero(shares.any(axis=0)).max()), *(end or 0 for end in ends)) + 1
        figure = picture.figure("a profile", (3 + 0.35 * last, 1.2 + 0.28 * len(rows)))
        axes = figure.add_subplot()
        # The square root keeps rare magnitudes visible.
        axes.imshow(np.sqrt(shares[:, :last]), aspect="auto", cmap="Blues", vmin=0, vmax=1)
        for line, (row, end) in enumerate(zip(rows, ends, strict=True)):
            if end is not None:
                axes.plot([end + 0.5] * 2, [line - 0.4, line + 0.4], color="black", linewidth=1.5)
            if row.saturated and row.kind != "constant":
                share = f" {row.saturated / row.count:.2%} saturated"
                axes.text(last - 0.4, line, share, va="center", color="firebrick", fontsize=8)
        axes.set_yticks(range(len(rows)), [short(row.name) for row in rows], fontsize=8)
        axes.set_xticks(range(last), range(last), fontsize=8)
        axes.set_xlabel("bits of the distance from zero; a bar is the format's end")
        axes.set_title(f"profile of {self.name}", fontsize=10)
        return picture.save(figure, path)


def profile(
    model: Graph | Network,
    x: np.ndarray | Mapping[str, np.ndarray],
    progress: Any = iter,
) -> Profile:
    """Run a model on N inputs and profile every tensor and every constant.

    Args:
        model: a graph or network; the state of a graph advances as in `trace`.
        x: as for the model's `trace`.
        progress: wraps the range of batches, as tqdm does.

    Raises:
        GoldenError: as `trace`, or 0 inputs.
    """
    if not isinstance(model, (Graph, Network)):
        raise ConfigurationError(
            f"model is of type {type(model).__name__}, but must be a golden.Graph or a golden.Network"
        )
    rows: dict[str, Usage] = {}
    for batch in _batches(model, x, progress):
        for name, values in model.trace(batch).items():
            if values.size == 0:
                raise GoldenError(f"tensor {name!r} holds 0 values, but a profile needs 1 or more")
            usage = _tensor(model, name, values)
            rows[name] = rows[name].merged(usage) if name in rows else usage
    for usage in _constants(model):
        # A constant may have the name of nothing else: tensors and constants share one table.
        rows[usage.name if usage.name not in rows else f"{usage.name} constant"] = usage
    return Profile(model.name, tuple(rows.values()))


def _batches(model: Graph | Network, x: Any, progress: Any) -> Iterator[Any]:
    """The input in parts; whole for a graph with state, whose rows are streams."""
    arrays = {k: np.asarray(v) for k, v in x.items()} if isinstance(x, Mapping) else {"": np.asarray(x)}
    lengths = {len(a) if a.ndim else 0 for a in arrays.values()}
    if (isinstance(model, Graph) and model.variables) or len(lengths) != 1 or lengths <= {0}:
        yield x
        return
    for first in progress(range(0, lengths.pop(), _BATCH)):
        part = {name: array[first : first + _BATCH] for name, array in arrays.items()}
        yield part if isinstance(x, Mapping) else part[""]


def _tensor(model: Graph | Network, name: str, values: np.ndarray) -> Usage:
    if isinstance(model, Network):
        kind = "input" if name == model.input else "tensor"
        numbers = model.formats[name]
        return _usage(name, kind, str(numbers), values, numbers.min, numbers.max)
    tensor = model.tensors[name]
    kind = "input" if name in model.inputs else "tensor"
    quantiser = tensor.quantisation
    if isinstance(quantiser, Quant) and not quantiser.bipolar:
        # QONNX's float32 tensors are integers times a scale; ranges and saturation are those of the integers.
        zero = int(quantiser.zero_point.flat[0])
        return _usage(name, kind, str(quantiser), quantiser.carried(values), *quantiser.limits, zero)
    if tensor.dtype.kind not in "iu":
        if tensor.precision is None:
            return _usage(name, kind, str(tensor.dtype), values)
        # Floats of a fixed-point format are counted as its raw integers.
        raw = tensor.precision.format.from_float(values)
        return _usage(name, kind, f"{tensor.dtype}, {tensor.precision}", raw, *tensor.precision.limits)
    numbers = str(tensor.quantisation or tensor.dtype)
    info = np.iinfo(tensor.dtype)
    zero = getattr(tensor.quantisation, "zero_point", np.zeros(1, np.int64))
    ends = int(info.min), int(info.max)
    if tensor.precision is not None:
        numbers, ends = f"{numbers}, {tensor.precision}", tensor.precision.limits
    return _usage(name, kind, numbers, values, *ends, int(zero[0]))


def _constants(model: Graph | Network) -> Iterator[Usage]:
    if isinstance(model, Network):
        for layer in model.layers:
            weights, scaler = layer.weight_format, MULTIPLIER
            yield _usage(
                f"{layer.name} weight", "constant", str(weights), layer.weight, weights.min, weights.max
            )
            yield _usage(
                f"{layer.name} multiplier", "constant", str(scaler), layer.multiplier, scaler.min, scaler.max
            )
            yield _usage(f"{layer.name} bias", "constant", "", layer.bias)
        return
    for name, values in model.constants.items():
        info = np.iinfo(values.dtype) if values.dtype.kind in "iu" else None
        numbers = str(model.tensors[name].quantisation or values.dtype)
        ends = (int(info.min), int(info.max)) if info else (None, None)
        yield _usage(name, "constant", numbers, values, *ends)
    for node in model.nodes:
        for convolution, bias_bits in _convolutions(node.operator):
            high = 1 << (WEIGHT_BITS - 1)
            # Weights less their zero point may leave 8 bits; then no format is theirs.
            fits = -high <= convolution.weight.min() and convolution.weight.max() < high
            ends = (-high, high - 1) if fits else (None, None)
            yield _usage(
                f"{node.name} weight",
                "constant",
                f"int{WEIGHT_BITS}" if fits else "",
                convolution.weight,
                *ends,
            )
            high = 1 << (bias_bits - 1)
            yield _usage(
                f"{node.name} bias", "constant", f"int{bias_bits}", convolution.bias, -high, high - 1
            )


def _convolutions(operator: Any) -> Iterator[tuple[Convolution, int]]:
    """The stored sums within an operator, and the width of their bias: 16 bits where weights have scales 2**n / a."""
    if isinstance(operator, Convolution):
        yield operator, 32
    elif dataclasses.is_dataclass(operator):
        for field in dataclasses.fields(operator):
            for convolution, bits in _convolutions(getattr(operator, field.name)):
                yield convolution, BIAS_BITS if hasattr(operator, "scales") else bits


def _usage(
    name: str,
    kind: str,
    numbers: str,
    values: np.ndarray,
    low: int | None = None,
    high: int | None = None,
    zero: int = 0,
) -> Usage:
    least, greatest = values.min().item(), values.max().item()
    if values.dtype.kind not in "iu":
        return Usage(name, kind, numbers, None, None, least, greatest, values.size)
    at_low = int(np.count_nonzero(values == low)) if low is not None and low != zero else 0
    at_high = int(np.count_nonzero(values == high)) if high is not None and high != zero else 0
    magnitudes = _bit_lengths(values, zero)
    return Usage(
        name, kind, numbers, low, high, least, greatest, values.size, at_low, at_high, zero, magnitudes
    )


def _bit_lengths(values: np.ndarray, zero: int) -> tuple[int, ...]:
    """How many distances from zero have 0, 1, ... 64 bits: those below 2**b, less those below 2**(b-1)."""
    # Modulo 2**64, in which the distance of two int64 is exact.
    difference = values.astype(np.uint64).ravel() - np.int64(zero).astype(np.uint64)
    distance = np.where(values.ravel() < zero, 0 - difference, difference)
    below = [
        int(np.count_nonzero(distance < np.uint64(1 << b))) for b in range(int(distance.max()).bit_length())
    ]
    below += [values.size] * (_WIDEST - len(below))
    return tuple(np.diff(below, prepend=0).tolist())


def _cells(row: Usage) -> Iterable[str]:
    ends = "" if row.low is None else f"{row.low}..{row.high}"
    seen = f"{row.least:.6g}..{row.greatest:.6g}" if row.bits is None else f"{row.least}..{row.greatest}"
    counts = (
        ("", "", "")
        if row.low is None
        else (f"{row.at_low:,}", f"{row.at_high:,}", f"{row.saturated / row.count:.2%}")
    )
    return (
        short(row.name),
        row.kind,
        row.numbers,
        ends,
        seen,
        str(row.bits or ""),
        f"{row.count:,}",
        *counts,
    )
