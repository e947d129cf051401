# SPDX-License-Identifier: Apache-2.0
"""ONNX's norms, softmax and reductions in float32."""

from __future__ import annotations

import math

import numpy as np

from assay.golden.errors import ModelFormatError
from assay.golden.importers.onnx.file import Operation
from assay.golden.importers.onnx.reader import Reader, handles
from assay.golden.importers.onnx.windows import channelled, check_vector
from assay.golden.layers import onnx_float as floats

_NUMBERS = (np.float32, np.int64, np.int32, np.int8, np.uint8)
_WHOLE = (np.int64, np.int32)


@handles("LogSoftmax", "Softmax")
def _softmax(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    rank = len(x.shape)
    axis = operation.axis(operation.attributes.get("axis", -1 if reader.opset >= 13 else 1), rank)
    # Before opset 13 all axes from this one on are one.
    axes = (axis,) if reader.opset >= 13 else tuple(range(axis, rank))
    reader.output(operation, x.shape)
    reader.add(operation, floats.Softmax(axes, operation.kind == "LogSoftmax"))


@handles("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def _layer_norm(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    axis = operation.axis(operation.attributes.get("axis", -1), len(x.shape))
    operation.only("stash_type", 1, 1)
    data = (0, 1, 2) if operation.has(2) else (0, 1)
    for position in data[1:]:
        given = reader.input(operation, position, np.float32).shape
        if math.prod(given) != math.prod(x.shape[axis:]) or given[-1:] != x.shape[-1:]:
            raise ModelFormatError(
                f"{operation}: input {position} has shape {list(given)}, but must have {list(x.shape[axis:])}"
            )
    simplified = operation.kind in ("SimplifiedLayerNormalization", "RMSNormalization")
    reader.output(operation, x.shape)
    epsilon = operation.number("epsilon", 1e-5)
    reader.add(operation, floats.LayerNormalization(axis, epsilon, simplified), data)


@handles("InstanceNormalization")
def _instance_norm(reader: Reader, operation: Operation) -> None:
    x = channelled(reader, operation)
    for position, what in ((1, "scale"), (2, "bias")):
        check_vector(reader, operation, position, what, x.shape[1])
    reader.output(operation, x.shape)
    epsilon = operation.number("epsilon", 1e-5)
    reader.add(operation, floats.InstanceNormalization(epsilon), (0, 1, 2))


@handles("BatchNormalization")
def _batch_norm(reader: Reader, operation: Operation) -> None:
    x = channelled(reader, operation)
    operation.only("training_mode", 0, 0)
    operation.only("spatial", 1, 1)
    for position, what in ((1, "scale"), (2, "bias"), (3, "mean"), (4, "variance")):
        check_vector(reader, operation, position, what, x.shape[1])
    reader.output(operation, x.shape)
    epsilon = operation.number("epsilon", 1e-5)
    reader.add(operation, floats.BatchNormalization(epsilon), (0, 1, 2, 3, 4))


@handles("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare")
def _reduce(reader: Reader, operation: Operation) -> None:
    kinds = (np.float32,)
    if operation.kind in ("ReduceMax", "ReduceMin"):
        kinds = _NUMBERS
    elif operation.kind == "ReduceProd":
        kinds = _WHOLE
    elif operation.kind == "ReduceSum":
        kinds = (np.float32, *_WHOLE)
    x = reader.input(operation, 0, *kinds)
    rank = len(x.shape)
    given = reader.given(operation, 1, "axes")
    keep = bool(operation.only("keepdims", 1, 0, 1))
    if not given:
        nothing = operation.only("noop_with_empty_axes", 0, 0, 1)
        given = [] if nothing else list(range(rank))
    axes = tuple(sorted(operation.axes(given, rank)))
    shape = [1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes]
    reader.output(operation, tuple(shape), x.dtype)
    reader.add(operation, floats.Reduce(operation.kind, axes, keep))


@handles("ArgMax", "ArgMin")
def _arg_extreme(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, *_NUMBERS)
    axis = operation.axis(operation.attributes.get("axis", 0), len(x.shape))
    keep = bool(operation.only("keepdims", 1, 0, 1))
    last = bool(operation.only("select_last_index", 0, 0, 1))
    kept = (1,) if keep else ()
    reader.output(operation, (*x.shape[:axis], *kept, *x.shape[axis + 1 :]), np.int64)
    reader.add(operation, floats.ArgExtreme(axis, keep, operation.kind == "ArgMax", last))


@handles("TopK")
def _top_k(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32, np.int64, np.int32)
    axis = operation.axis(operation.attributes.get("axis", -1), len(x.shape))
    operation.only("sorted", 1, 1)
    count = reader.integers(operation, 1, "k")
    if len(count) != 1 or not 1 <= count[0] <= x.shape[axis]:
        raise ModelFormatError(f"{operation}: k is {count}, but must be one number of 1 to {x.shape[axis]}")
    shape = (*x.shape[:axis], count[0], *x.shape[axis + 1 :])
    reader.output(operation, shape, x.dtype)
    reader.output(operation, shape, np.int64, position=1)
    reader.add(operation, floats.TopK(axis, count[0], bool(operation.only("largest", 1, 0, 1))))
