# SPDX-License-Identifier: Apache-2.0
"""TFLite's operators element by element, quantised and not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.tflite.checks import broadcast, fused_activation, same_scale, several
from assay.golden.importers.tflite.file import ACTIVATION, Operation
from assay.golden.importers.tflite.reader import PLAIN, Reader, handles
from assay.golden.layers import tflite as layers
from assay.golden.layers import tflite_tables as tables
from assay.golden.schemes.tflite import (
    ACTIVATIONS,
)

_COMPARISONS = {
    "EQUAL": np.equal,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "NOT_EQUAL": np.not_equal,
}
# Between DEQUANTIZE and QUANTIZE a converter leaves what has no int8 kernel in float32. These operators are exactly
# rounded in IEEE 754, so that numpy's float32 has the bits of C's; exponentials and the like are not, and are refused.
_FLOAT_ONLY = {
    "CEIL": np.ceil,
    "DIV": np.divide,
    "FLOOR": np.floor,
    "ROUND": np.rint,
    "RSQRT": layers.reciprocal_root,
    "SIGN": np.sign,
    "SQRT": np.sqrt,
    "SQUARE": np.square,
}
_EXACT: dict[str, Callable[..., np.ndarray]] = {
    **_COMPARISONS,
    **_FLOAT_ONLY,
    "ABS": np.abs,
    "ADD": np.add,
    "ADD_N": layers.total,
    "LOGICAL_AND": np.logical_and,
    "LOGICAL_NOT": np.logical_not,
    "LOGICAL_OR": np.logical_or,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "NEG": np.negative,
    "PRELU": layers.float_prelu,
    "SQUARED_DIFFERENCE": layers.float_squared_difference,
    "SUB": np.subtract,
}

_TABLES = {
    "ABS": tables.abs_table,
    "ELU": tables.elu_table,
    "EXP": tables.exp_table,
    "HARD_SWISH": tables.hard_swish_table,
    "LOG": tables.log_table,
    "LOGISTIC": tables.logistic_table,
    "RSQRT": tables.rsqrt_table,
    "SQRT": tables.sqrt_table,
    "TANH": tables.tanh_table,
}


def _pair(reader: Reader, operation: Operation) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Two operands of one dtype, and the shape they broadcast to."""
    a, b = reader.input(operation, 0), reader.input(operation, 1)
    if a.dtype != b.dtype:
        raise ModelFormatError(f"{operation}: inputs are {a.dtype} and {b.dtype}, but must be of one dtype")
    return a, b, broadcast(operation, a.shape, b.shape)


@handles("ADD", "DIV", "MUL", "SQUARED_DIFFERENCE", "SUB")
def _binary(reader: Reader, operation: Operation) -> None:
    a, b, shape = _pair(reader, operation)
    if a.dtype in PLAIN:
        _unquantised(reader, operation, (a, b), shape)
        return
    sources = reader.quantised(operation, a), reader.quantised(operation, b)
    target = reader.quantised(operation, reader.output(operation, shape))
    if operation.kind == "SQUARED_DIFFERENCE":
        reader.add(operation, layers.Pairwise(layers.SquaredDifference(sources, target)), (0, 1))
        return
    activation = fused_activation(operation, target)
    if operation.kind == "DIV":
        operator: Any = layers.Divide(sources, target, activation)
        operator = layers.Defined(layers.Pairwise(operator), 1, sources[1], "zero", str(operation))
        reader.add(operation, operator, (0, 1))
        return
    if operation.kind == "MUL":
        operator = layers.Multiply(sources, target, activation)
    else:
        operator = layers.Add(sources, target, activation, subtract=operation.kind == "SUB")
    reader.add(operation, layers.Pairwise(operator), (0, 1))


def _unquantised(
    reader: Reader, operation: Operation, tensors: Sequence[Tensor], shape: tuple[int, ...]
) -> None:
    """An operator of `_EXACT` on float32 or int32 and int64: `PLAIN` dtypes."""
    x = tensors[0]
    if len(operation.inputs) != len(tensors):
        raise ModelFormatError(
            f"{operation} has {len(operation.inputs)} inputs, but must have {len(tensors)}"
        )
    if operation.kind == "LEAKY_RELU":
        function: Callable[..., np.ndarray] = layers.FloatLeakyRelu(operation.options["Alpha"])
    else:
        function = _EXACT.get(operation.kind, np.positive)
    if operation.kind in _FLOAT_ONLY and x.dtype != np.float32:
        raise UnsupportedOperatorError(
            f"{operation}: tensor {x.name!r} is {x.dtype}, but must be float32 or int8"
        )
    y = reader.output(operation, shape)
    expected = np.dtype(np.bool_) if operation.kind in _COMPARISONS else x.dtype
    if y.dtype != expected:
        raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be {expected}")
    fused = operation.options.get(ACTIVATION, "NONE")
    activation = operation.kind if operation.kind in ACTIVATIONS else fused
    if activation not in ACTIVATIONS:
        raise UnsupportedOperatorError(
            f"{operation}: fused activation is {activation}, but must be one of {', '.join(ACTIVATIONS)}"
        )
    reader.add(operation, layers.Unquantised(function, activation), tuple(range(len(tensors))))


@handles("ADD_N")
def _add_n(reader: Reader, operation: Operation) -> None:
    """ADD_N, which has no int8 kernel: one sum after the other."""
    tensors = several(reader, operation)
    for tensor in tensors:
        if tensor.dtype not in (np.float32, np.int32) or tensor.shape != tensors[0].shape:
            raise UnsupportedOperatorError(
                f"{operation}: tensor {tensor.name!r} is {tensor.dtype} {list(tensor.shape)}, "
                f"but must be float32 or int32 {list(tensors[0].shape)}"
            )
    _unquantised(reader, operation, tensors, tensors[0].shape)


@handles("MAXIMUM", "MINIMUM")
def _extreme_of_two(reader: Reader, operation: Operation) -> None:
    """MAXIMUM and MINIMUM: of integers of one scale, the integers'."""
    a, b, shape = _pair(reader, operation)
    if a.dtype not in PLAIN:
        reader.quantised(operation, a, np.int8, np.uint8, np.int16)
        y = reader.copied(operation, a, shape)
        for tensor in (a, b):
            same_scale(operation, tensor.quantisation, y.quantisation)
        reader.add(operation, layers.Unquantised(_EXACT[operation.kind]), (0, 1))
        return
    _unquantised(reader, operation, (a, b), shape)


@handles("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
def _comparison(reader: Reader, operation: Operation) -> None:
    a, b, shape = _pair(reader, operation)
    if a.dtype in PLAIN or a.dtype == np.bool_:
        _unquantised(reader, operation, (a, b), shape)
        return
    sources = reader.quantised(operation, a), reader.quantised(operation, b)
    y = reader.output(operation, shape)
    if y.dtype != np.bool_:
        raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be bool")
    reader.add(operation, layers.Comparison(_EXACT[operation.kind], sources), (0, 1))


@handles("LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR")
def _logical(reader: Reader, operation: Operation) -> None:
    tensors = several(reader, operation)
    if len(tensors) != (1 if operation.kind == "LOGICAL_NOT" else 2) or tensors[0].dtype != np.bool_:
        raise ModelFormatError(
            f"{operation}: has {len(tensors)} inputs of {tensors[0].dtype}, "
            f"but must have {1 if operation.kind == 'LOGICAL_NOT' else 2} of bool"
        )
    _unquantised(reader, operation, tensors, broadcast(operation, *(t.shape for t in tensors)))


@handles("SELECT", "SELECT_V2")
def _select(reader: Reader, operation: Operation) -> None:
    condition, a, b = (reader.input(operation, position) for position in range(3))
    if condition.dtype != np.bool_ or a.dtype != b.dtype:
        raise ModelFormatError(
            f"{operation}: inputs are {condition.dtype}, {a.dtype} and {b.dtype}, "
            f"but must be bool and two of one dtype"
        )
    rows = operation.kind == "SELECT" and condition.shape != a.shape
    if rows and (a.shape != b.shape or condition.shape not in ((), (1,), a.shape[:1])):
        raise ModelFormatError(
            f"{operation}: inputs have shapes {list(condition.shape)}, {list(a.shape)} and {list(b.shape)}, "
            f"but must have one shape, or the condition one value for each place of the first axis"
        )
    rows = rows and condition.shape == a.shape[:1]
    shape = a.shape if rows else broadcast(operation, condition.shape, a.shape, b.shape)
    y = reader.copied(operation, a, shape)
    for tensor in (a, b):
        same_scale(operation, tensor.quantisation, y.quantisation)
    reader.add(operation, layers.Select(rows), (0, 1, 2))


@handles("CAST")
def _cast(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    reader.add(operation, layers.Cast(reader.output(operation, x.shape).dtype))


@handles("PRELU")
def _prelu(reader: Reader, operation: Operation) -> None:
    x, alpha = reader.input(operation, 0), reader.input(operation, 1)
    if x.dtype == alpha.dtype == np.float32:
        _unquantised(reader, operation, (x, alpha), broadcast(operation, x.shape, alpha.shape))
        return
    sources = reader.quantised(operation, x), reader.quantised(operation, alpha)
    if broadcast(operation, x.shape, alpha.shape) != x.shape:
        raise ModelFormatError(
            f"{operation}: alpha has shape {list(alpha.shape)}, but must broadcast to {list(x.shape)}"
        )
    target = reader.quantised(operation, reader.output(operation, x.shape))
    reader.add(operation, layers.Pairwise(layers.Prelu(*sources, target)), (0, 1))


@handles(
    "ABS",
    "ELU",
    "EXP",
    "GELU",
    "HARD_SWISH",
    "LEAKY_RELU",
    "LOG",
    "LOGISTIC",
    "RELU",
    "RELU6",
    "RELU_0_TO_1",
    "RELU_N1_TO_1",
    "RSQRT",
    "SQRT",
    "TANH",
)
def _unary(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    if x.dtype == np.float32 and operation.kind in (*_EXACT, *ACTIVATIONS, "LEAKY_RELU"):
        _unquantised(reader, operation, (x,), x.shape)
        return
    source = reader.quantised(operation, x)
    target = reader.quantised(operation, reader.output(operation, x.shape))
    if operation.kind in ACTIVATIONS:
        reader.add(operation, tables.Rescaled(source, target, operation.kind))
        return
    if operation.kind == "LEAKY_RELU":
        alpha = operation.options["Alpha"]
        if not math.isfinite(alpha):
            raise ModelFormatError(f"{operation}: alpha is {alpha}, but must be finite")
        table = tables.leaky_relu_table(source, target, alpha)
    elif operation.kind == "GELU":
        table = tables.gelu_table(source, target, operation.options["Approximate"])
    else:
        if operation.kind == "LOGISTIC" and target.scale[0] != 1 / 256:
            raise ModelFormatError(
                f"{operation}: output has scale {target.scale[0]}, but must have {1 / 256}"
            )
        table = _TABLES[operation.kind](source, target)
    operator: Any = tables.Lookup(table)
    if operation.kind in ("RSQRT", "SQRT"):
        operator = layers.Defined(operator, 0, source, "negative", str(operation))
    reader.add(operation, operator)


@handles("CEIL", "FLOOR", "NEG", "ROUND", "SIGN", "SQUARE")
def _float_unary(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    if x.dtype != np.float32:
        raise UnsupportedOperatorError(f"{operation}: tensor {x.name!r} is {x.dtype}, but must be float32")
    _unquantised(reader, operation, (x,), x.shape)


@handles("QUANTIZE")
def _quantize(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    y = reader.output(operation, x.shape)
    target = reader.quantised(operation, y, np.int8, np.uint8)
    if x.dtype == np.float32:
        reader.add(operation, layers.Quantize(target))
        return
    source = reader.quantised(operation, x, np.int8, np.uint8, np.float32)
    reader.add(operation, tables.Rescaled(source, target))


@handles("DEQUANTIZE")
def _dequantize(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    source = reader.quantised(operation, x, np.int8, np.uint8)
    y = reader.output(operation, x.shape)
    if y.dtype != np.float32:
        raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be float32")
    reader.add(operation, layers.Dequantize(source))
