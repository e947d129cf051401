# SPDX-License-Identifier: Apache-2.0
"""Attributes of the fixed-point scheme: which a node may have, and what they say of each tensor's scale."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.importers.onnx.file import MAX_ELEMENTS, MAX_RANK, Array, File, Operation, Unread
from assay.golden.schemes.fixed_point import (
    ACTIVATION_BITS,
    BIAS_BITS,
    MAX_EXPONENT,
    MIN_EXPONENT,
    Coherence,
    power_of_two,
)

# Attributes of the scheme, section III.B of the guide. Those in _DEMO are set by the guide's own Python example.
_WEIGHTED = (
    "input_scale",
    "input_bitdepth",
    "weight_scale",
    "weight_bitdepth",
    "weight_ch_scales",
    "output_scale",
    "output_bitdepth",
    "bias_scale",
    "bias_bitdepth",
)
_IN_OUT = ("input_scale", "input_bitdepth", "output_scale", "output_bitdepth")
_MATMUL = ("A_scale", "A_bitdepth", "B_scale", "B_bitdepth", "output_scale", "output_bitdepth")
_OUT = ("output_scale", "output_bitdepth")
_DEMO = ("weight_bit", "activation_bit")
_SCHEME = frozenset((*_WEIGHTED, *_MATMUL))

# ONNX attributes that are read, by operator.
_WINDOW = ("auto_pad", "kernel_shape", "pads", "strides")
_ONNX = {
    "AveragePool": (*_WINDOW, "ceil_mode", "count_include_pad", "dilations"),
    "BatchNormalization": ("epsilon", "momentum", "spatial", "training_mode"),
    "Concat": ("axis",),
    "Constant": ("value",),
    "Conv": (*_WINDOW, "dilations", "group"),
    "Flatten": ("axis",),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "LeakyRelu": ("alpha",),
    "MaxPool": (*_WINDOW, "ceil_mode", "dilations", "storage_order"),
    "ReduceSum": ("axes", "keepdims", "noop_with_empty_axes"),
    "Reshape": ("allowzero",),
    "Transpose": ("perm",),
}

# Operators with their own output scale, and those that may have one; the rest keep their input's.
_CHANGING = ("Add", "AveragePool", "Conv", "Div", "Gemm", "GlobalAveragePool", "MatMul", "ReduceSum")
_MAY_CHANGE = ("Sigmoid", "Tanh")


@dataclass
class Checked:
    """A file of which every node has the attributes that its operator may have, lists as tuples; constants by name."""

    operations: list[Operation]
    constants: dict[str, np.ndarray]
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]


def recognises(file: File) -> bool:
    """Whether a file carries this scheme: a node of ONNX's own domain has one of its attributes."""
    return any(
        name in _SCHEME
        for operation in file.operations
        if not operation.domain
        for name in operation.attributes
    )


def checked(file: File, operators: Collection[str]) -> Checked:
    """The file's operations and arrays, each checked on its own; nodes of Constant become constants."""
    constants = {name: _floats(array, f"initializer {name!r}") for name, array in file.constants.items()}
    operations = []
    for given in file.operations:
        operation = _checked(given, operators)
        if operation.kind != "Constant":
            operations.append(operation)
            continue
        value = operation.attributes.get("value")
        if not isinstance(value, np.ndarray) or operation.outputs[0] in constants:
            raise UnsupportedOperatorError(
                f"{operation}: attribute value must be a tensor, and no other node may make {operation.outputs[0]!r}"
            )
        constants[operation.outputs[0]] = value
    for name, (_, dtype) in file.inputs.items():
        if dtype != np.float32:
            raise UnsupportedOperatorError(f"graph input {name!r} is {dtype}, but must be float32")
    inputs = {name: checked_shape(shape, f"graph input {name!r}") for name, (shape, _) in file.inputs.items()}
    return Checked(operations, constants, inputs, file.outputs)


def _checked(operation: Operation, operators: Collection[str]) -> Operation:
    if operation.kind not in operators or operation.domain:
        domain = f" of domain {operation.domain}" if operation.domain else ""
        raise UnsupportedOperatorError(
            f"{operation}: this operator{domain} is not among those supported: {', '.join(operators)}"
        )
    allowed = (*_ONNX.get(operation.kind, ()), *_scheme_attributes(operation.kind), *_DEMO)
    attributes = {}
    for name, value in operation.attributes.items():
        if name not in allowed:
            raise UnsupportedOperatorError(
                f"{operation}: attribute {name!r} is not among those supported: {', '.join(allowed)}"
            )
        if isinstance(value, Unread):
            raise UnsupportedOperatorError(
                f"{operation}: attribute {name} has type {value.type}, but must be a number, a list of numbers, a text "
                f"or a tensor"
            )
        if isinstance(value, Array):
            value = _floats(value, f"{operation}: attribute {name}")
        attributes[name] = tuple(value) if isinstance(value, list) else value
    if not operation.outputs or not operation.outputs[0] or any(operation.outputs[1:]):
        raise ModelFormatError(
            f"{operation} has {sum(map(bool, operation.outputs))} outputs, but must have 1"
        )
    return replace(operation, attributes=attributes)


def _floats(array: Array, where: str) -> np.ndarray:
    values = array.values
    if values.dtype not in (np.float32, np.float64, np.int32, np.int64):
        raise UnsupportedOperatorError(
            f"{where} is {values.dtype}, but must be float32, float64, int32 or int64"
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ModelFormatError(f"{where} holds NaN or infinity, but must be finite")
    return values


def coherent_scales(operations: list[Operation]) -> dict[str, int]:
    """Exponent of every tensor's scale, after each attribute has been checked on its own and all together."""
    coherence = Coherence()
    for operation in operations:
        weighted = is_weighted(operation)
        if operation.kind == "MatMul":
            wrong = next((n for n in operation.attributes if n in _SCHEME and n not in
                          (_WEIGHTED if weighted else _MATMUL)), None)  # fmt: skip
            if wrong is not None:
                raise ModelFormatError(
                    f"{operation}: attribute {wrong} is given, but a matrix product has either "
                    f"weight_ch_scales and its companions, with stored weights, or A_scale and B_scale"
                )
        _check_bit_depths(operation, weighted)
        required = operation.kind in _CHANGING
        if operation.kind not in _CHANGING and not (
            operation.kind in _MAY_CHANGE and "output_scale" in operation.attributes
        ):
            for name in operation.inputs if operation.kind == "Concat" else operation.inputs[:1]:
                coherence.join(name, operation.outputs[0])
        places = [("output_scale", operation.outputs[0])]
        if operation.kind == "MatMul" and not weighted:
            places += [(f"{side}_scale", name) for side, name in zip("AB", operation.inputs, strict=False)]
        elif operation.kind not in ("Add", "Div", "ReduceSum"):
            places += [("input_scale", name) for name in operation.inputs[:1]]
        for attribute, tensor in places:
            exponent = _exponent(operation, attribute, required or operation.kind == "MaxPool")
            if exponent is not None:
                coherence.claim(tensor, exponent, f"{operation}: attribute {attribute}")
    return coherence.resolve()


def is_weighted(operation: Operation) -> bool:
    """Whether a node has weights with channel scales: Conv, Gemm, and MatMul with such attributes."""
    return operation.kind in ("Conv", "Gemm") or (
        operation.kind == "MatMul" and bool({"weight_ch_scales", "weight_scale"} & set(operation.attributes))
    )


def _exponent(operation: Operation, attribute: str, required: bool) -> int | None:
    value = operation.attributes.get(attribute)
    if value is None and not required:
        return None
    exponent = power_of_two(value) if isinstance(value, (int, float)) else None
    if exponent is None:
        raise ModelFormatError(
            f"{operation}: attribute {attribute} is {shown(value)}, but must be a power of two, "
            f"2**{MIN_EXPONENT} to 2**{MAX_EXPONENT}"
        )
    return exponent


def _check_bit_depths(operation: Operation, weighted: bool) -> None:
    if operation.kind in _CHANGING or operation.kind == "MaxPool":
        needed = {
            "Add": _OUT, "Div": _OUT, "ReduceSum": _OUT, "MatMul": _WEIGHTED if weighted else _MATMUL,
            "Conv": _WEIGHTED, "Gemm": _WEIGHTED,
        }.get(operation.kind, _IN_OUT)  # fmt: skip
    else:
        needed = ()
    has_bias = len(operation.inputs) > 2 and bool(operation.inputs[2])
    for name in (*(n for n in (*_IN_OUT, *_MATMUL, *_WEIGHTED) if n.endswith("bitdepth")), *_DEMO):
        allowed = BIAS_BITS if name == "bias_bitdepth" else ACTIVATION_BITS
        value = operation.attributes.get(name)
        optional = name not in needed or (name == "bias_bitdepth" and not has_bias)
        if value is None and optional:
            continue
        if not isinstance(value, int) or value != allowed:
            raise ModelFormatError(f"{operation}: attribute {name} is {shown(value)}, but must be {allowed}")


def _scheme_attributes(kind: str) -> tuple[str, ...]:
    if kind in ("Conv", "Gemm"):
        return _WEIGHTED
    if kind == "MatMul":
        return (*_MATMUL, *_WEIGHTED)
    return _OUT if kind in ("Add", "Div", "ReduceSum") else _IN_OUT


def checked_shape(shape: tuple[int, ...], where: str, smallest: int = 1) -> tuple[int, ...]:
    if len(shape) > MAX_RANK:
        raise ModelFormatError(f"{where} has {len(shape)} axes, but at most {MAX_RANK} are allowed")
    if any(n < smallest for n in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise ModelFormatError(
            f"{where} has shape {list(shape)}, but every axis must be {smallest} or more and their product at most "
            f"{MAX_ELEMENTS}"
        )
    return shape


def only(operation: Operation, name: str, *allowed: Any) -> None:
    """Refuse an attribute whose value is given and not one of those allowed."""
    value = operation.attributes.get(name, allowed[0])
    if value not in allowed:
        raise UnsupportedOperatorError(
            f"{operation}: attribute {name} is {shown(value)}, but must be {' or '.join(shown(a) for a in allowed)}"
        )


def shown(value: Any) -> str:
    """An attribute's value in a message; long lists are cut."""
    if value is None:
        return "missing"
    if isinstance(value, (tuple, np.ndarray)):
        values = list(value)
        return str(values) if len(values) <= 8 else f"a list of {len(values)} numbers"
    return repr(value)[:80]
