# SPDX-License-Identifier: Apache-2.0
"""Values that the file alone decides, and values that are looked up: Constant, Shape, Range, Gather."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import MAX_ELEMENTS, MAX_RANK, Array, Operation
from assay.golden.importers.onnx.reader import MAX_KNOWN, Reader, handles
from assay.golden.layers import onnx_float as floats
from assay.golden.layers import shaping

_WHOLE = (np.int64, np.int32)


MAX_AXIS = 1 << 20  # of an axis whose places are listed while the file is loaded


def check_lengths(operation: Operation, lengths: Iterable[int]) -> None:
    """Reject axes too long to list their places."""
    if max(lengths, default=0) > MAX_AXIS:
        raise ModelFormatError(
            f"{operation}: axes are {list(lengths)} long, but at most {MAX_AXIS} is allowed"
        )


@handles("Constant")
def _node_constant(reader: Reader, operation: Operation) -> None:
    if len(operation.outputs) != 1:
        raise ModelFormatError(f"{operation} has {len(operation.outputs)} outputs, but must have 1")
    name = operation.outputs[0]
    values = operation.attributes
    if "value" in values:
        reader.keep(name, _tensor_attribute(operation, "value"))
        return
    for key, dtype in (
        ("float", np.float32),
        ("floats", np.float32),
        ("int", np.int64),
        ("ints", np.int64),
    ):
        if f"value_{key}" in values:
            reader.keep(name, Array(np.array(values[f"value_{key}"], dtype)))
            return
    raise UnsupportedOperatorError(f"{operation} must hold a tensor or numbers")


def _tensor_attribute(operation: Operation, name: str) -> Array:
    value = operation.attributes[name]
    if not isinstance(value, Array):
        raise ModelFormatError(f"{operation}: attribute {name} is {value}, but must be a tensor")
    return value


@handles("Identity")
def _identity(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    if x.name in reader.constants:
        # Names of zero points and weights may stand behind an Identity.
        if len(operation.outputs) != 1:
            raise ModelFormatError(f"{operation} has {len(operation.outputs)} outputs, but must have 1")
        reader.keep_alias(operation.outputs[0], x)
        return
    reader.output(operation, x.shape, x.dtype, x.quantisation)
    reader.add(operation, shaping.Reshape(x.shape))


def _given_values(reader: Reader, operation: Operation, values: np.ndarray) -> None:
    reader.output(operation, values.shape, values.dtype)
    reader.add(operation, floats.Fixed(values), ())


@handles("Shape")
def _shape(reader: Reader, operation: Operation) -> None:
    shape = reader.input(operation, 0).shape
    rank = len(shape)
    start, end = operation.attributes.get("start", 0), operation.attributes.get("end", rank)
    if not isinstance(start, int) or not isinstance(end, int):
        raise ModelFormatError(
            f"{operation}: attributes start and end are {start} and {end}, but must be integers"
        )
    _given_values(reader, operation, np.array(shape[slice(start, end)], np.int64))


@handles("Size")
def _size(reader: Reader, operation: Operation) -> None:
    _given_values(reader, operation, np.array(math.prod(reader.input(operation, 0).shape), np.int64))


@handles("Range")
def _range(reader: Reader, operation: Operation) -> None:
    first = reader.input(operation, 0, np.float32, *_WHOLE).dtype.type
    start, limit, delta = (
        reader.single(operation, i, what, first) for i, what in enumerate(("start", "limit", "delta"))
    )
    if delta == 0 or not np.isfinite([start, limit, delta]).all():
        raise ModelFormatError(f"{operation}: delta is {delta}, but must be finite and not 0")
    count = max(0, math.ceil((float(limit) - float(start)) / float(delta)))
    if count > MAX_KNOWN:
        raise ModelFormatError(
            f"{operation}: the output would have {count} values, but at most {MAX_KNOWN} are allowed"
        )
    _given_values(reader, operation, (start + np.arange(count).astype(first) * delta).astype(first))


def check_bounds(operation: Operation, shape: Any) -> None:
    if len(shape) > MAX_RANK or min(shape, default=0) < 0 or math.prod(shape) > MAX_ELEMENTS:
        raise ModelFormatError(
            f"{operation}: the output would have shape {list(shape)[: MAX_RANK + 1]}, but must have at most "
            f"{MAX_RANK} axes of 0 or more and {MAX_ELEMENTS} values"
        )


@handles("ConstantOfShape")
def _constant_of_shape(reader: Reader, operation: Operation) -> None:
    shape = tuple(reader.integers(operation, 0, "shape"))
    check_bounds(operation, shape)
    value = np.zeros(1, np.float32)
    if "value" in operation.attributes:
        value = _tensor_attribute(operation, "value").values
    if value.size != 1:
        raise ModelFormatError(f"{operation}: attribute value has {value.size} values, but must have 1")
    _given_values(reader, operation, np.broadcast_to(value.reshape(-1)[0], shape))


@handles("Gather")
def _gather(reader: Reader, operation: Operation) -> None:
    data, indices = reader.input(operation, 0), reader.input(operation, 1, *_WHOLE)
    axis = operation.axis(operation.attributes.get("axis", 0), len(data.shape))
    _check_indices(reader, operation, indices, data.shape[axis])
    shape = (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])
    reader.copied(operation, data, shape)
    reader.add(operation, floats.Gather(axis, str(operation)), (0, 1))


def _check_indices(reader: Reader, operation: Operation, indices: Tensor, length: int) -> None:
    values = reader.value(indices.name)
    if values is not None and values.size and not -length <= values.min() <= values.max() < length:
        raise ModelFormatError(
            f"{operation}: indices are {values.min()} to {values.max()}, but must be {-length} to {length - 1}"
        )


@handles("GatherElements")
def _gather_elements(reader: Reader, operation: Operation) -> None:
    data, indices = reader.input(operation, 0), reader.input(operation, 1, *_WHOLE)
    axis = operation.axis(operation.attributes.get("axis", 0), len(data.shape))
    others = [i for i in range(len(data.shape)) if i != axis]
    if len(indices.shape) != len(data.shape) or any(indices.shape[i] > data.shape[i] for i in others):
        raise ModelFormatError(
            f"{operation}: indices have shape {list(indices.shape)}, but must fit into {list(data.shape)}"
        )
    _check_indices(reader, operation, indices, data.shape[axis])
    reader.copied(operation, data, indices.shape)
    reader.add(operation, floats.GatherElements(axis, str(operation)), (0, 1))
