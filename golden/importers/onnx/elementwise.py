# SPDX-License-Identifier: Apache-2.0
"""ONNX's operators element by element: arithmetic, comparisons, logic, activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import EIGHT_BITS, Operation, element_type
from assay.golden.importers.onnx.reader import MICROSOFT, Reader, handles
from assay.golden.layers import eigen, shaping
from assay.golden.layers import onnx as layers
from assay.golden.layers import onnx_float as floats
from assay.golden.schemes import onnx as scheme

_NUMBERS = (np.float32, np.int64, np.int32, np.int8, np.uint8)
_WHOLE = (np.int64, np.int32)
# Operator -> function of its operands.
_FUNCTIONS: dict[str, Callable[..., np.ndarray]] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "Ceil": np.ceil,
    "Cos": floats.InFloat64(np.cos),
    "Div": floats.quotient,
    "Equal": np.equal,
    "Erf": scheme.erf,
    "Exp": scheme.exp,
    "Floor": np.floor,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "HardSwish": floats.hard_swish,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Log": eigen.log,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mish": floats.mish,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Reciprocal": np.reciprocal,
    "Round": np.rint,
    "Sigmoid": scheme.logistic,
    "Sign": np.sign,
    "Sin": floats.InFloat64(np.sin),
    "Softplus": floats.softplus,
    "Softsign": floats.softsign,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Sum": np.add,
    "Tanh": scheme.tanh,
    "Xor": np.logical_xor,
}


def broadcast(operation: Operation, *tensors: Tensor) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    except ValueError:
        raise ModelFormatError(
            f"{operation}: inputs have shapes {' and '.join(str(list(t.shape)) for t in tensors)}, "
            f"but must broadcast"
        ) from None


def _elementwise(
    reader: Reader,
    operation: Operation,
    function: Callable[..., np.ndarray],
    tensors: list[Tensor],
    dtype: Any,
) -> None:
    reader.output(operation, broadcast(operation, *tensors), dtype)
    reader.add(operation, floats.Elementwise(function), tuple(range(len(tensors))))


def _operands(reader: Reader, operation: Operation, count: int, *dtypes: type) -> list[Tensor]:
    """`count` operands of one and the same of `dtypes`."""
    _count(operation, count)
    first = reader.input(operation, 0, *dtypes)
    return [first, *(reader.input(operation, i, first.dtype.type) for i in range(1, count))]


def _count(operation: Operation, count: int) -> None:
    if len(operation.inputs) != count:
        raise ModelFormatError(f"{operation} has {len(operation.inputs)} inputs, but must have {count}")


@handles(
    "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Log", "Mish", "Reciprocal", "Round", "Sigmoid", "Sin",
    "Softplus", "Softsign", "Sqrt", "Tanh",
)  # fmt: skip
def _function(reader: Reader, operation: Operation) -> None:
    _unary(reader, operation, _FUNCTIONS[operation.kind])


def _unary(reader: Reader, operation: Operation, function: Callable[[np.ndarray], np.ndarray]) -> None:
    """A function of one operand of float32."""
    (x,) = _operands(reader, operation, 1, np.float32)
    _elementwise(reader, operation, function, [x], np.float32)


@handles("Elu")
def _elu(reader: Reader, operation: Operation) -> None:
    _unary(reader, operation, floats.Elu(operation.number("alpha", 1.0)))


@handles("Celu")
def _celu(reader: Reader, operation: Operation) -> None:
    alpha = operation.number("alpha", 1.0)
    if np.float32(alpha) == 0:
        raise ModelFormatError(f"{operation}: attribute alpha is {alpha}, but must not be 0")
    _unary(reader, operation, floats.Celu(alpha))


@handles("Selu")
def _selu(reader: Reader, operation: Operation) -> None:
    alpha = operation.number("alpha", 1.67326319217681884765625)
    gamma = operation.number("gamma", 1.05070102214813232421875)
    _unary(reader, operation, floats.Selu(alpha, gamma))


@handles("HardSigmoid")
def _hard_sigmoid(reader: Reader, operation: Operation) -> None:
    alpha, beta = operation.number("alpha", 0.2), operation.number("beta", 0.5)
    _unary(reader, operation, floats.HardSigmoid(alpha, beta))


@handles("LeakyRelu")
def _leaky_relu(reader: Reader, operation: Operation) -> None:
    _unary(reader, operation, layers.LeakyRelu(operation.number("alpha", 0.01)))


@handles("Gelu", domains=("", MICROSOFT))
def _gelu(reader: Reader, operation: Operation) -> None:
    _unary(reader, operation, floats.Gelu(operation.only("approximate", "none", "none", "tanh")))


@handles("Abs", "Neg", "Sign")
def _number_unary(reader: Reader, operation: Operation) -> None:
    """Of floats or integers: Abs, Neg, Sign."""
    (x,) = _operands(reader, operation, 1, np.float32, np.int64, np.int32)
    _elementwise(reader, operation, _FUNCTIONS[operation.kind], [x], x.dtype)


@handles("Add", "Div", "Mul", "Sub")
def _arithmetic(reader: Reader, operation: Operation) -> None:
    tensors = _operands(reader, operation, 2, np.float32, *_WHOLE)
    _elementwise(reader, operation, _FUNCTIONS[operation.kind], tensors, tensors[0].dtype)


@handles("Mod")
def _mod(reader: Reader, operation: Operation) -> None:
    fmod = operation.only("fmod", 0, 0, 1)
    tensors = _operands(reader, operation, 2, *((np.float32,) if fmod else _WHOLE))
    _elementwise(reader, operation, np.fmod if fmod else np.mod, tensors, tensors[0].dtype)


@handles("Pow")
def _pow(reader: Reader, operation: Operation) -> None:
    _count(operation, 2)
    x, exponent = reader.input(operation, 0, np.float32), reader.input(operation, 1, np.float32, *_WHOLE)
    # A list of one exponent counts as one; several are each the C library's.
    _elementwise(reader, operation, floats.power, [x, exponent], np.float32)


@handles("Max", "Min")
def _extreme(reader: Reader, operation: Operation) -> None:
    tensors = _operands(reader, operation, max(1, len(operation.inputs)), *_NUMBERS)
    _elementwise(reader, operation, floats.Folded(_FUNCTIONS[operation.kind]), tensors, tensors[0].dtype)


@handles("Sum")
def _sum(reader: Reader, operation: Operation) -> None:
    """One after the other, as `Sum_8`, providers/cpu/math/element_wise_ops.cc."""
    tensors = _operands(reader, operation, max(1, len(operation.inputs)), np.float32)
    _elementwise(reader, operation, floats.Folded(np.add), tensors, np.float32)


@handles("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def _comparison(reader: Reader, operation: Operation) -> None:
    kinds = (*_NUMBERS, np.bool_) if operation.kind == "Equal" else _NUMBERS
    tensors = _operands(reader, operation, 2, *kinds)
    _elementwise(reader, operation, _FUNCTIONS[operation.kind], tensors, np.bool_)


@handles("And", "Not", "Or", "Xor")
def _logical(reader: Reader, operation: Operation) -> None:
    tensors = _operands(reader, operation, 1 if operation.kind == "Not" else 2, np.bool_)
    _elementwise(reader, operation, _FUNCTIONS[operation.kind], tensors, np.bool_)


@handles("Where")
def _where(reader: Reader, operation: Operation) -> None:
    _count(operation, 3)
    condition, a = reader.input(operation, 0, np.bool_), reader.input(operation, 1)
    b = reader.input(operation, 2, a.dtype.type)
    _elementwise(reader, operation, np.where, [condition, a, b], a.dtype)


@handles("PRelu")
def _prelu(reader: Reader, operation: Operation) -> None:
    x, slope = _operands(reader, operation, 2, np.float32)
    if broadcast(operation, x, slope) != x.shape:
        raise ModelFormatError(
            f"{operation}: slope has shape {list(slope.shape)}, but must broadcast to {list(x.shape)}"
        )
    _elementwise(reader, operation, floats.prelu, [x, slope], np.float32)


@handles("Relu")
def _relu(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32, np.int8)
    reader.copied(operation, x, x.shape)
    reader.add(operation, layers.Clip(0, None))


@handles("Clip")
def _clip(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32, *EIGHT_BITS)
    bounds = []
    for position, name in ((1, "min"), (2, "max")):
        if operation.has(position):
            bounds.append(reader.single(operation, position, name, x.dtype.type).item())
        elif name in operation.attributes:
            bounds.append(operation.number(name, 0.0))
        else:
            bounds.append(None)
    # A bound need not be one of the values that a quantiser of float32 gives.
    if x.dtype == np.float32:
        reader.output(operation, x.shape)
    else:
        reader.copied(operation, x, x.shape)
    reader.add(operation, layers.Clip(*bounds))


@handles("Cast")
def _cast(reader: Reader, operation: Operation) -> None:
    _count(operation, 1)
    x = reader.input(operation, 0)
    _, dtype, bits = element_type(operation.attributes.get("to", 0), f"{operation}: attribute to")
    if bits or (x.quantisation is not None and getattr(x.quantisation, "bits", None)):
        raise UnsupportedOperatorError(f"{operation}: attribute to asks for 4 bits, but must be 8 or more")
    reader.output(operation, x.shape, dtype)
    reader.add(operation, floats.Cast(dtype))


@handles("Dropout")
def _dropout(reader: Reader, operation: Operation) -> None:
    if operation.has(2) and bool(reader.single(operation, 2, "training_mode", np.bool_)):
        raise UnsupportedOperatorError(f"{operation}: training_mode is true, but must be false")
    x = reader.input(operation, 0)
    reader.copied(operation, x, x.shape)
    reader.add(operation, shaping.Reshape(x.shape))
