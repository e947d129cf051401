# SPDX-License-Identifier: Apache-2.0
"""Reads the protobuf of an .onnx file into plain objects, under checks of every name, type and size.

The file is untrusted data. It is parsed with PyPI's `onnx`, and only then copied; no array is made before its size has
been compared with its shape, and none is read from another file. Nothing here knows what an operator computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError

__all__ = [
    "EIGHT_BITS",
    "MAX_ELEMENTS",
    "MAX_RANK",
    "QUANTISED",
    "Array",
    "File",
    "Operation",
    "element_type",
    "read",
]

# Bounds of what a file may ask for: values in one tensor of one run, and axes of a tensor.
MAX_ELEMENTS = 1 << 28
MAX_RANK = 8

# ONNX's number of an element type -> its name, numpy dtype, and bits where two values share a byte.
_TYPES = {
    1: ("float32", np.dtype(np.float32), None),
    2: ("uint8", np.dtype(np.uint8), None),
    3: ("int8", np.dtype(np.int8), None),
    4: ("uint16", np.dtype(np.uint16), None),
    5: ("int16", np.dtype(np.int16), None),
    6: ("int32", np.dtype(np.int32), None),
    7: ("int64", np.dtype(np.int64), None),
    9: ("bool", np.dtype(np.bool_), None),
    11: ("float64", np.dtype(np.float64), None),
    21: ("uint4", np.dtype(np.uint8), 4),
    22: ("int4", np.dtype(np.int8), 4),
}
QUANTISED = (np.uint8, np.int8, np.uint16, np.int16)
EIGHT_BITS = (np.uint8, np.int8)
_DOMAINS = ("", "ai.onnx")
_EXTERNAL = 1  # a TensorProto's data_location


@dataclass(frozen=True)
class Array:
    """Stored values, and 4 if they are of 4 bits, which take a byte each here."""

    values: np.ndarray
    bits: int | None = None


@dataclass
class Operation:
    """A node as the file has it; ONNX's own domain and a missing optional input are ''.

    Attributes are int, float, str, `Array`, or lists of int or float.
    """

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})"

    def has(self, position: int) -> bool:
        """Whether there is an input at `position`."""
        return position < len(self.inputs) and self.inputs[position] != ""

    def only(self, name: str, default: Any, *allowed: Any) -> Any:
        """An attribute that must have one of the values allowed."""
        value = self.attributes.get(name, default)
        if value not in allowed:
            raise UnsupportedOperatorError(
                f"{self}: attribute {name} is {value}, but must be {' or '.join(map(str, allowed))}"
            )
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ModelFormatError(f"{self}: attribute {name} is {value}, but must be a finite number")
        return value

    def axis(self, axis: Any, rank: int, what: str = "axis") -> int:
        """An axis that may be counted from the end, as 0 to rank - 1."""
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise ModelFormatError(f"{self}: {what} is {axis}, but must be {-rank} to {rank - 1}")
        return axis % rank

    def axes(self, axes: list[int], rank: int) -> tuple[int, ...]:
        """Axes that must differ, as `axis` gives each."""
        numbers = tuple(self.axis(axis, rank) for axis in axes)
        if len(set(numbers)) != len(numbers):
            raise ModelFormatError(f"{self}: axes are {axes}, but must differ")
        return numbers


@dataclass
class File:
    """The graph of a file.

    Attributes:
        operations: in the file's order, each with a name of its own.
        constants: name of an initializer -> its values.
        inputs: name -> shape and dtype; a leading axis without a length (a batch) is 1.
        outputs: names.
        opsets: domain -> version; ONNX's own domain is ''.
        functions: domain and name of each that the file defines itself.
        size: of the file in bytes.
    """

    operations: list[Operation]
    constants: dict[str, Array]
    inputs: dict[str, tuple[tuple[int, ...], np.dtype]]
    outputs: tuple[str, ...]
    opsets: dict[str, int]
    functions: list[tuple[str, str]]
    size: int = 0

    def quantises(self) -> bool:
        """Whether a node quantises, or computes in quantised integers."""
        return any(
            operation.kind in _QUANTISING or operation.kind.startswith("QLinear")
            for operation in self.operations
        )


_QUANTISING = (
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "ConvInteger",
    "MatMulInteger",
    "QGemm",
)


def read(model: Any, size: int = 0) -> File:
    """Copy an `onnx.ModelProto` of a file of `size` bytes.

    Raises:
        ModelFormatError: damaged, inconsistent, or asking for more than `MAX_ELEMENTS`.
        UnsupportedOperatorError: a type, or a way of storing values, without definition here.
    """
    graph = model.graph
    _check_text(model)
    if graph.sparse_initializer:
        raise UnsupportedOperatorError("the file has sparse initializers, but must have dense ones alone")
    constants: dict[str, Array] = {}
    # What nobody reads may be of any type.
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    given: set[str] = set()
    for stored in graph.initializer:
        if stored.name in given:
            raise ModelFormatError(f"tensor {stored.name!r} is given twice")
        given.add(stored.name)
        if stored.name in used:
            constants[stored.name] = _array(stored, f"initializer {stored.name!r}")
    inputs: dict[str, tuple[tuple[int, ...], np.dtype]] = {}
    for value in graph.input:
        if value.name in inputs:
            raise ModelFormatError(f"graph input {value.name!r} is given twice")
        if value.name not in given:
            inputs[value.name] = _input(value)
    names: set[str] = set()
    nodes = (
        (index, node)
        for index, node in enumerate(graph.node)
        if node.op_type != "Constant" or not node.output or not used.isdisjoint(node.output)
    )
    return File(
        [_operation(index, node, names) for index, node in nodes],
        constants,
        inputs,
        tuple(value.name for value in graph.output),
        {"" if opset.domain in _DOMAINS else opset.domain: opset.version for opset in model.opset_import},
        [(function.domain, function.name) for function in model.functions],
        size,
    )


def _check_text(message: Any) -> None:
    """Refuse names that are no UTF-8, which protobuf lets pass as bytes; its own limit bounds the depth."""
    for descriptor, value in message.ListFields():
        if descriptor.type == descriptor.TYPE_STRING:
            for text in (value,) if isinstance(value, (str, bytes)) else value:
                if isinstance(text, bytes):
                    raise ModelFormatError(
                        f"field {descriptor.name} of {message.DESCRIPTOR.name} is {text[:40]!r}, but must be UTF-8 text"
                    )
        elif descriptor.type == descriptor.TYPE_MESSAGE:
            for inner in [value] if hasattr(value, "ListFields") else value:
                _check_text(inner)


def _operation(index: int, node: Any, names: set[str]) -> Operation:
    name = node.name or f"{node.op_type}_{index}"
    while name in names:
        name = f"{name}#{index}"
    names.add(name)
    domain = "" if node.domain in _DOMAINS else node.domain
    operation = Operation(name, node.op_type, domain, tuple(node.input), tuple(node.output))
    for attribute in node.attribute:
        if attribute.name in operation.attributes:
            raise ModelFormatError(f"{operation}: attribute {attribute.name} is given twice")
        operation.attributes[attribute.name] = _attribute(operation, attribute)
    return operation


def _attribute(operation: Operation, attribute: Any) -> Any:
    kinds = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}
    if attribute.type not in kinds or attribute.ref_attr_name:
        return Unread(attribute.type)
    value = getattr(attribute, kinds[attribute.type])
    if attribute.type == 3:
        return value.decode(errors="replace")
    if attribute.type == 4:
        return _array(value, f"{operation}: attribute {attribute.name}")
    return list(value) if attribute.type in (6, 7) else value


@dataclass(frozen=True)
class Unread:
    """An attribute of a type that no supported operator has: a graph, strings, a reference."""

    type: int


def element_type(number: Any, where: str) -> tuple[str, np.dtype, int | None]:
    """ONNX's element type: its name, dtype, and 4 if it is of 4 bits."""
    if not isinstance(number, int) or number not in _TYPES:
        raise UnsupportedOperatorError(
            f"{where} has element type {number}, but must have one of "
            f"{', '.join(f'{key} ({name})' for key, (name, _, _) in _TYPES.items())}"
        )
    return _TYPES[number]


def _array(stored: Any, where: str) -> Array:
    """The values of a TensorProto."""
    name, dtype, bits = element_type(stored.data_type, where)
    shape = tuple(stored.dims)
    if stored.data_location == _EXTERNAL or stored.external_data:
        raise UnsupportedOperatorError(f"{where} is stored in another file, but must be stored in this one")
    if len(shape) > MAX_RANK or not all(0 <= n < 1 << 31 for n in shape):
        raise ModelFormatError(
            f"{where} has shape {list(shape)[: MAX_RANK + 1]}, but must have at most {MAX_RANK} axes of 0 to "
            f"{(1 << 31) - 1}"
        )
    count = math.prod(shape)
    raw = stored.HasField("raw_data")
    fields = {"float32": "float_data", "float64": "double_data", "int64": "int64_data"}
    # Each access to raw_data is a copy.
    repeated = stored.raw_data if raw else getattr(stored, fields.get(name, "int32_data"))
    held = len(repeated)
    expected = (count + 1) // 2 if bits else count * (dtype.itemsize if raw else 1)
    if held != expected:
        raise ModelFormatError(
            f"{where} of shape {list(shape)} and type {name} holds {held} {'bytes' if raw else 'values'}, "
            f"but must hold {expected}"
        )
    if raw:
        values = np.frombuffer(repeated, dtype.newbyteorder("<"))
    else:
        wide = np.array(repeated, dtype if dtype.kind == "f" else np.int64)
        values = wide.astype(np.uint8).view(dtype) if bits else wide.astype(dtype)
        if not bits and dtype.kind != "f" and (values != wide).any():
            raise ModelFormatError(f"{where} holds {wide[values != wide][0]}, which is no {name}")
    if bits:
        values = values.view(np.uint8)
        pairs = np.stack([values & 15, values >> 4], axis=1).reshape(-1)[:count]
        values = ((pairs ^ 8).astype(np.int8) - 8) if dtype.kind == "i" else pairs
    # A byte of a bool may hold any value.
    values = values.view(np.uint8) != 0 if raw and dtype.kind == "b" else values.astype(dtype, copy=False)
    if dtype.kind == "f" and np.isnan(values).any():
        raise ModelFormatError(f"{where} holds NaN, but must hold numbers")
    return Array(values.reshape(shape), bits)


def _input(value: Any) -> tuple[tuple[int, ...], np.dtype]:
    where = f"graph input {value.name!r}"
    if value.type.WhichOneof("value") != "tensor_type" or not value.type.tensor_type.HasField("shape"):
        raise UnsupportedOperatorError(f"{where} must be a tensor of known shape")
    name, dtype, bits = element_type(value.type.tensor_type.elem_type, where)
    if bits:
        raise UnsupportedOperatorError(f"{where} is {name}, but must have 8 bits or more")
    shape = []
    for axis, dim in enumerate(value.type.tensor_type.shape.dim):
        known = dim.WhichOneof("value") == "dim_value"
        if not known and axis:
            raise UnsupportedOperatorError(
                f"{where}: axis {axis} has the length {dim.dim_param or 'unknown'!r}, but only axis 0 may be open; "
                f"python -m onnxruntime.tools.make_dynamic_shape_fixed gives it one"
            )
        # A batch axis without a length, which some tools write as -1.
        shape.append(1 if not axis and (not known or dim.dim_value == -1) else dim.dim_value)
    return tuple(shape), dtype
