# SPDX-License-Identifier: Apache-2.0
"""TFLite's softmax, norms, reductions and searches."""

from __future__ import annotations

import math

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.tflite.checks import axes_of, axis_of, same_scale
from assay.golden.importers.tflite.file import ACTIVATION, Operation
from assay.golden.importers.tflite.reader import PLAIN, Reader, handles
from assay.golden.layers import tflite_reductions


@handles("SOFTMAX")
def _softmax(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    source = reader.quantised(operation, x)
    target = reader.quantised(operation, reader.output(operation, x.shape))
    if not x.shape:
        raise ModelFormatError(f"{operation}: input {x.name!r} has 0 axes, but must have 1 or more")
    if abs(target.scale[0] - 1 / 256) > 0.001 / 256 or target.zero_point[0] != -128:
        raise ModelFormatError(
            f"{operation}: output has scale {target.scale[0]} and zero point {target.zero_point[0]}, "
            f"but must have {1 / 256} and -128"
        )
    reader.add(operation, tflite_reductions.Softmax(source, target, operation.options["Beta"]))


@handles("LOG_SOFTMAX")
def _log_softmax(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    source = reader.quantised(operation, x)
    target = reader.quantised(operation, reader.output(operation, x.shape))
    if not x.shape or x.shape[-1] > 1 << 12:
        raise ModelFormatError(
            f"{operation}: input {x.name!r} has shape {list(x.shape)}, but its last axis must hold 1 to {1 << 12} "
            f"values, whose exponentials add up within 12 bits"
        )
    if target.scale[0] != 1 / 16 or target.zero_point[0] != 127:
        raise ModelFormatError(
            f"{operation}: output has scale {target.scale[0]} and zero point {target.zero_point[0]}, "
            f"but must have {1 / 16} and 127"
        )
    reader.add(operation, tflite_reductions.LogSoftmax(source))


@handles("L2_NORMALIZATION")
def _l2_normalization(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    source = reader.quantised(operation, x)
    target = reader.quantised(operation, reader.output(operation, x.shape))
    if not x.shape or x.shape[-1] > 1 << 15:
        raise ModelFormatError(
            f"{operation}: input {x.name!r} has shape {list(x.shape)}, but its last axis must hold 1 to {1 << 15} "
            f"values, whose squares add up within 32 bits"
        )
    if target.scale[0] != 1 / 128 or target.zero_point[0] != 0 or operation.options[ACTIVATION] != "NONE":
        raise ModelFormatError(
            f"{operation}: output has scale {target.scale[0]}, zero point {target.zero_point[0]} and activation "
            f"{operation.options[ACTIVATION]}, but must have {1 / 128}, 0 and NONE"
        )
    reader.add(operation, tflite_reductions.L2Normalize(source))


def _reduced(reader: Reader, operation: Operation, x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Axes of a reduction and the shape without them."""
    axes = axes_of(reader, operation, 1, len(x.shape))
    keep = operation.options["KeepDims"]
    return axes, tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keep or i not in axes)


@handles("MEAN", "SUM")
def _reduce(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    source = reader.quantised(operation, x)
    axes, shape = _reduced(reader, operation, x)
    target = reader.quantised(operation, reader.output(operation, shape))
    count = math.prod(x.shape[axis] for axis in axes)
    reader.add(
        operation, tflite_reductions.Reduce(axes, shape, count, source, target, mean=operation.kind == "MEAN")
    )


@handles("REDUCE_MAX", "REDUCE_MIN")
def _reduce_extreme(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    if x.dtype not in PLAIN:
        reader.quantised(operation, x, np.int8, np.uint8, np.int16)
    axes, shape = _reduced(reader, operation, x)
    y = reader.copied(operation, x, shape)
    same_scale(operation, x.quantisation, y.quantisation)
    function = np.max if operation.kind == "REDUCE_MAX" else np.min
    reader.add(operation, tflite_reductions.ReduceSame(function, axes, shape))


@handles("REDUCE_PROD")
def _reduce_product(reader: Reader, operation: Operation) -> None:
    """REDUCE_PROD of sizes; of int8 it is not supported."""
    x = reader.input(operation, 0)
    if x.dtype not in (np.int32, np.int64):
        raise UnsupportedOperatorError(
            f"{operation}: tensor {x.name!r} is {x.dtype}, but must be int32 or int64"
        )
    axes, shape = _reduced(reader, operation, x)
    reader.copied(operation, x, shape)
    reader.add(operation, tflite_reductions.ReduceSame(np.prod, axes, shape))


@handles("REDUCE_ALL", "REDUCE_ANY")
def _reduce_logic(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    if x.dtype != np.bool_:
        raise ModelFormatError(f"{operation}: tensor {x.name!r} is {x.dtype}, but must be bool")
    axes, shape = _reduced(reader, operation, x)
    reader.copied(operation, x, shape)
    function = np.any if operation.kind == "REDUCE_ANY" else np.all
    reader.add(operation, tflite_reductions.ReduceSame(function, axes, shape))


@handles("CUMSUM")
def _cumsum(reader: Reader, operation: Operation) -> None:
    """CUMSUM, which has no int8 kernel."""
    x = reader.input(operation, 0)
    if x.dtype not in PLAIN:
        raise UnsupportedOperatorError(
            f"{operation}: tensor {x.name!r} is {x.dtype}, but must be float32, int32 or int64"
        )
    axes = reader.integers(operation, 1, "axis")
    if len(axes) != 1:
        raise ModelFormatError(f"{operation}: has {len(axes)} axes, but must have 1")
    axis = axis_of(operation, axes[0], len(x.shape))
    reader.copied(operation, x, x.shape)
    options = bool(operation.options["Exclusive"]), bool(operation.options["Reverse"])
    reader.add(operation, tflite_reductions.CumulativeSum(axis, *options))


@handles("ARG_MAX", "ARG_MIN")
def _arg_extreme(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    axes = reader.integers(operation, 1, "axis")
    if len(axes) != 1:
        raise ModelFormatError(f"{operation}: has {len(axes)} axes, but must have 1")
    axis = axis_of(operation, axes[0], len(x.shape))
    y = reader.output(operation, x.shape[:axis] + x.shape[axis + 1 :])
    if y.dtype not in (np.int32, np.int64):
        raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be int32 or int64")
    function = np.argmax if operation.kind == "ARG_MAX" else np.argmin
    reader.add(operation, tflite_reductions.ArgExtreme(function, axis, y.dtype))


@handles("TOPK_V2")
def _top_k(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    count = reader.integers(operation, 1, "k")
    if not x.shape or len(count) != 1 or not 0 < count[0] <= x.shape[-1] or x.dtype == np.bool_:
        raise ModelFormatError(
            f"{operation}: k is {count}, but must be one of 1 to the last axis of {x.dtype} {list(x.shape)}"
        )
    y = reader.copied(operation, x, (*x.shape[:-1], *count))
    same_scale(operation, x.quantisation, y.quantisation)
    places = reader.output(operation, y.shape, 1)
    if places.dtype != np.int32:
        raise UnsupportedOperatorError(f"{operation}: output 1 is {places.dtype}, but must be int32")
    reader.add(operation, tflite_reductions.TopK(*count))
