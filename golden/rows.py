# SPDX-License-Identifier: Apache-2.0
"""Rows of input for a network: drawn at random, read from a file, run a batch at a time.

Rows are an array `[N, ...]`, or a dict of such arrays by the names of a graph's inputs, as `predict` takes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.golden import user_files
from assay.golden.errors import GoldenError
from assay.golden.graph import Graph
from assay.golden.layers import onnx_float, shaping, tflite
from assay.golden.network import Network

__all__ = ["Limits", "count", "limits", "random_rows", "read_rows", "traced"]

# Rows that run at once: as many as take about so long, for progress to be seen, and at most so many.
_BATCH_SECONDS = 0.25
_MOST_AT_ONCE = 64

# Operators whose outputs hold values of their inputs, in places of their own.
_PASSING = (*shaping.MOVES, onnx_float.Cast, tflite.Cast)
# Those whose second input holds the places.
_GATHERS = (shaping.Gather, onnx_float.Gather, onnx_float.GatherElements)


def count(rows: Any) -> int:
    """N."""
    return len(next(iter(rows.values())) if isinstance(rows, Mapping) else rows)


def random_rows(model: Graph | Network, number: int, rng: np.random.Generator) -> Any:
    """Rows drawn at random: uniform over what an integer or boolean input can hold, standard normal for a float one.

    An input stays within what the operators that read it are defined for, see `limits`.
    """
    if isinstance(model, Network):
        low, high = model.input_format.min, model.input_format.max
        return rng.integers(low, high, (number, *model.input_shape), np.int64, endpoint=True)
    known = limits(model)
    return {name: _random(model.tensors[name], number, known.get(name), rng) for name in model.inputs}


def _random(tensor: Any, number: int, known: Limits | None, rng: np.random.Generator) -> np.ndarray:
    shape, dtype = (number, *tensor.shape), tensor.dtype
    if dtype.kind == "b":
        values = rng.integers(0, 1, shape, np.uint8, endpoint=True)
    elif known is not None:
        low, high, but = known
        values = rng.integers(low, high, shape, np.int64, endpoint=True)
        for value in but:
            values[values == value] = value + 1 if value < high else value - 1
    elif dtype.kind == "f":
        values = rng.standard_normal(shape)
    else:
        values = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    return tensor.stacked(values.astype(dtype))


class Limits(NamedTuple):
    """Which values an input may hold: `low` to `high`, but for those in `but`."""

    low: int
    high: int
    but: frozenset[int] = frozenset()


def limits(graph: Graph) -> dict[str, Limits]:
    """What the inputs may hold whose values an operator takes as indices into a table, or divides by, or takes the root
    or logarithm of: name -> limits. Values are followed through moves and casts.
    """
    sources: dict[str, set[str]] = {name: {name} for name in graph.inputs}
    known: dict[str, Limits] = {}

    def limit(tensor: str, low: int | None, high: int | None, but: Collection[int] = ()) -> None:
        for name in sources.get(tensor, ()):
            dtype = graph.tensors[name].dtype
            ends = np.iinfo(dtype) if dtype.kind in "iu" else np.iinfo(np.int32)
            before = known.get(name, Limits(int(ends.min), int(ends.max)))
            known[name] = Limits(
                before.low if low is None else max(before.low, low),
                before.high if high is None else min(before.high, high),
                before.but.union(but),
            )

    for node in graph.nodes:
        operator, passed = node.operator, node.inputs
        if isinstance(operator, _GATHERS):
            data, places = node.inputs
            limit(places, 0, graph.tensors[data].shape[operator.axis] - 1)
            passed = (data,)
        if isinstance(operator, tflite.Defined):
            zero_point = int(operator.source.zero_point[0])
            if operator.undefined == "zero":
                limit(node.inputs[operator.position], None, None, (zero_point,))
            else:
                limit(node.inputs[operator.position], zero_point, None)
        if isinstance(operator, (*_PASSING, *_GATHERS)):
            found = set().union(*(sources.get(name, set()) for name in passed))
            sources.update(dict.fromkeys(node.outputs, found))
    return {name: each for name, each in known.items() if each.low <= each.high}


def read_rows(path: Path, model: Graph | Network) -> Any:
    """The rows in an .npy file, or in an .npz file by the names of the inputs; a single input may be called otherwise.

    Integers of another width are taken if the input's dtype holds their values, and any numbers for floats.

    Raises:
        GoldenError: the file cannot be read, holds no row or unlike numbers of rows, other names, or arrays of other
            shapes, kinds or values than an input holds.
    """
    rows = user_files.array_file(path)
    named = rows if isinstance(rows, dict) else {"": rows}
    lengths = {len(values) if values.ndim else 0 for values in named.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise GoldenError(f"{path} holds {sorted(lengths)} rows, but must hold 1 or more, equally many each")
    if len(named) == len(model.inputs) == 1:
        named = dict(zip(model.inputs, named.values(), strict=True))
    if set(named) != set(model.inputs):
        found = f"arrays named {', '.join(map(repr, named))}" if isinstance(rows, dict) else "one array"
        raise GoldenError(
            f"{path} holds {found}, but {model.name} takes {', '.join(map(repr, model.inputs))}"
        )
    if isinstance(model, Network):
        (values,) = named.values()
        try:
            return model.checked_input(values)
        except GoldenError as error:
            raise GoldenError(f"{path}: {error}") from None
    return {name: _fitted(path, model, name, named[name]) for name in model.inputs}


def _fitted(path: Path, graph: Graph, name: str, values: np.ndarray) -> np.ndarray:
    """An input's rows in its dtype."""
    tensor = graph.tensors[name]
    dtype, rest = tensor.dtype, tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
    kinds = {"i": "iu", "u": "iu", "f": "iuf"}.get(dtype.kind, dtype.kind)
    if values.dtype.kind not in kinds or values.shape[1:] != rest:
        takes = ", ".join(["N", *map(str, rest)])
        raise GoldenError(
            f"{path} holds {values.dtype} {list(values.shape)}, but input {name!r} of {graph.name} takes "
            f"{dtype} [{takes}]"
        )
    if dtype.kind in "iu" and values.size:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if int(values.min()) < low or int(values.max()) > high:
            raise GoldenError(
                f"{path} holds values from {values.min()} to {values.max()}, but input {name!r} of {graph.name} takes "
                f"{low} to {high}"
            )
    return values.astype(dtype)


def traced(
    model: Any,
    rows: Any,
    wanted: Collection[str] | None = None,
    progress: Callable[[int], Any] | None = None,
) -> dict[str, np.ndarray]:
    """Trace all rows, some at a time; a streaming network takes them as steps, one by one.

    Args:
        model: anything with `trace`.
        rows: as above.
        wanted: names of the tensors to keep; None: all.
        progress: called with the number of rows that have just run.
    """
    one_by_one = isinstance(model, Graph) and bool(model.variables)
    parts: dict[str, list[np.ndarray]] = {}
    for batch in _batches(rows, 1 if one_by_one else _MOST_AT_ONCE):
        for name, values in model.trace(batch).items():
            if wanted is None or name in wanted:
                parts.setdefault(name, []).append(values)
        if progress is not None:
            progress(count(batch))
    return {name: values[0] if len(values) == 1 else np.concatenate(values) for name, values in parts.items()}


def _batches(rows: Any, most: int) -> Iterator[Any]:
    """Parts of the rows: one row, then as many more as its reader does within `_BATCH_SECONDS`."""
    size, first, number = 1, 0, count(rows)
    while first < number:
        last = min(first + size, number)
        began = time.monotonic()
        if isinstance(rows, Mapping):
            yield {name: values[first:last] for name, values in rows.items()}
        else:
            yield rows[first:last]
        if time.monotonic() - began < _BATCH_SECONDS:
            size = min(2 * size, most)
        first = last
