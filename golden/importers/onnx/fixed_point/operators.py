# SPDX-License-Identifier: Apache-2.0
"""Pooling, activations, element-wise operators and moves of the fixed-point scheme."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError
from assay.golden.importers.onnx.file import Operation
from assay.golden.importers.onnx.fixed_point.attributes import only, shown
from assay.golden.importers.onnx.fixed_point.maps import limited_map, limited_window
from assay.golden.importers.onnx.fixed_point.reader import Reader, broadcast, handles
from assay.golden.importers.onnx.shapes import concatenated, flattened, permutation_of, reshaped
from assay.golden.layers import fixed_point as layers
from assay.golden.layers import shaping
from assay.golden.layers.linear import Window
from assay.golden.schemes.fixed_point import (
    FEATURE_MAP,
    LIMITS,
)


@handles("AveragePool", "GlobalAveragePool", "MaxPool")
def _pool(reader: Reader, operation: Operation) -> None:
    x = limited_map(reader, operation, operation.kind)
    source, target = reader.exponents_of(operation, (x.name,))
    if operation.kind == "GlobalAveragePool":
        LIMITS[operation.kind].check_window(x.shape[2:], (1, 1), (0, 0, 0, 0))
        window = Window(x.shape[2:])
    else:
        window = limited_window(operation, operation.kind, operation.attributes.get("kernel_shape"))
    if max(window.padding) >= window.kernel[0]:
        raise ModelFormatError(
            f"{operation}: attribute pads is {list(window.padding)}, but must be below the kernel's "
            f"{window.kernel[0]}"
        )
    size = window.output_size(x.shape[2:])
    FEATURE_MAP.check("the output map", x.shape[1], *size)
    operator: Any = layers.MaxPool(window)
    if operation.kind != "MaxPool":
        only(operation, "count_include_pad", 0, 1)
        included = bool(operation.attributes.get("count_include_pad", 0))
        operator = layers.AveragePool(window, source[0], target, included)
    reader.add(operation, operator, (*x.shape[:2], *size), (x.name,))


@handles("HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh")
def _activation(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation)
    (source,), target = reader.exponents_of(operation, (x.name,))
    operator: Any = layers.Relu()
    if operation.kind == "LeakyRelu":
        alpha = operation.attributes.get("alpha", float(np.float32(0.01)))
        if not isinstance(alpha, float) or not math.isfinite(alpha):
            raise ModelFormatError(f"{operation}: attribute alpha is {shown(alpha)}, but must be finite")
        operator = layers.LeakyRelu(alpha)
    elif operation.kind == "PRelu":
        slope = reader.stored(operation, 1, "slope")
        if slope.dtype != np.float32 or broadcast(operation, x.shape, slope.shape) != x.shape:
            raise ModelFormatError(
                f"{operation}: slope is {slope.dtype} {list(slope.shape)}, but must be float32 and broadcast to "
                f"{list(x.shape)}"
            )
        operator = layers.PRelu(slope)
    elif operation.kind != "Relu":
        operator = layers.Stepwise(operation.kind, source, target)
    reader.add(operation, operator, x.shape, (x.name,))


@handles("Add", "Div")
def _binary(reader: Reader, operation: Operation) -> None:
    if len(operation.inputs) != 2:
        raise ModelFormatError(f"{operation} has {len(operation.inputs)} inputs, but must have 2")
    names = tuple(reader.input(operation, position).name for position in (0, 1))
    shape = broadcast(operation, *(reader.tensors[name].shape for name in names))
    sources, target = reader.exponents_of(operation, names)
    operator = (layers.add if operation.kind == "Add" else layers.div)(sources, target)
    reader.add(operation, operator, shape, names)


@handles("ReduceSum")
def _reduce_sum(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation)
    only(operation, "noop_with_empty_axes", 0)
    only(operation, "keepdims", 1, 0)
    axes = operation.attributes.get("axes")
    if len(operation.inputs) > 1 and operation.inputs[1]:
        axes = tuple(reader.stored(operation, 1, "axes", "i").ravel().tolist())
    rank = len(x.shape)
    axes = tuple(range(rank)) if axes is None or axes == () else axes
    if not isinstance(axes, tuple) or any(type(a) is not int or not -rank <= a < rank for a in axes):
        raise ModelFormatError(f"{operation}: axes is {shown(axes)}, but each must be {-rank} to {rank - 1}")
    axes = tuple(axis % rank for axis in axes)
    if len(set(axes)) != len(axes):
        raise ModelFormatError(f"{operation}: axes is {list(axes)}, but must name each axis once")
    keepdims = bool(operation.attributes.get("keepdims", 1))
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
    (source,), target = reader.exponents_of(operation, (x.name,))
    reader.add(operation, layers.ReduceSum(axes, keepdims, source, target), shape, (x.name,))


@handles("Concat")
def _concat(reader: Reader, operation: Operation) -> None:
    tensors = [reader.input(operation, position) for position in range(len(operation.inputs))]
    axis, shape = concatenated(operation, tensors)
    reader.add(operation, shaping.Concatenate(axis), shape, tuple(tensor.name for tensor in tensors))


@handles("Transpose")
def _transpose(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation)
    permutation = permutation_of(operation, x)
    _moved(reader, operation, shaping.Transpose(permutation), tuple(x.shape[axis] for axis in permutation))


@handles("Reshape")
def _reshape(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation)
    only(operation, "allowzero", 0)
    shape = reshaped(operation, x, reader.stored(operation, 1, "shape", "i").ravel().tolist())
    _moved(reader, operation, shaping.Reshape(shape), shape)


@handles("Flatten")
def _flatten(reader: Reader, operation: Operation) -> None:
    shape = flattened(operation, reader.input(operation))
    _moved(reader, operation, shaping.Reshape(shape), shape)


def _moved(
    reader: Reader, operation: Operation, operator: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    if operation.inputs[0] in reader.from_input:
        reader.from_input.add(operation.outputs[0])
    reader.add(operation, operator, shape, operation.inputs[:1])
