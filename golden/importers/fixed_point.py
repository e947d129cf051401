# SPDX-License-Identifier: Apache-2.0
"""Reads fixed-point ONNX files (the ACCESS guide, see docs/sources.md) into graphs of int8 tensors.

The file is a float ONNX model whose nodes carry scales and bit depths as attributes (`golden.schemes.fixed_point` has
the numbers, `golden.layers.fixed_point` the operators). The graph computes with the integers alone: where the file has
a float tensor, the graph has an int8 one of the same name and axis order, and its `quantisation` is the scale.

The file is data: protobuf messages are copied into plain objects, arrays are decoded here (never from another file)
after their size has been compared with their shape, and shapes are inferred and bounded before any array exists.

Reading takes three passes: decode and check every node's attributes; gather what all of them say of every tensor's
scale, and refuse the file unless it is coherent; build the operators in the file's order. A batch normalisation
is folded into the convolution or matrix product before it: its factor gamma / sqrt(variance + epsilon) times S_w must
again be 2**n / a, and the bias that results a whole number of the new S_w * S_a, else the file is refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from golden.errors import (
    ConfigurationError,
    DoesNotFitError,
    GoldenError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from golden.graph import Graph, Node, Tensor
from golden.importers import model_file
from golden.layers import fixed_point as layers
from golden.layers import shaping
from golden.layers.linear import Convolution, Window
from golden.schemes.fixed_point import (
    ACTIVATION_BITS,
    BIAS_BITS,
    FEATURE_MAP,
    INPUT,
    LIMITS,
    MAX_EXPONENT,
    MIN_EXPONENT,
    WEIGHT_BITS,
    Activation,
    Coherence,
    WeightScale,
    integers_of,
    power_of_two,
)

__all__ = ["MAX_ELEMENTS", "MAX_RANK", "OPERATORS", "from_model", "load", "loads", "recognises"]

# Bounds of what a file may ask for: values in one tensor of one run, and axes of a tensor.
MAX_ELEMENTS = 1 << 28
MAX_RANK = 8

# What rounding of its float32 parameters may move a batch normalisation's factor and bias, relative to their terms.
_FOLDING_TOLERANCE = 2.0**-20

_INT8 = np.dtype(np.int8)

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

# ONNX data types that are read: number -> (dtype, field that holds values where raw_data does not).
_STORED = {
    1: (np.dtype("<f4"), "float_data"),
    6: (np.dtype("<i4"), "int32_data"),
    7: (np.dtype("<i8"), "int64_data"),
    11: (np.dtype("<f8"), "double_data"),
}
_FLOAT = 1
_EXTERNAL = 1


def load(path: Path) -> Graph:
    """Read a fixed-point .onnx file; see `loads`.

    Raises:
        GoldenError: the file cannot be read, or the package `onnx` is not installed.
        ModelFormatError, UnsupportedOperatorError: see `loads`.
    """
    return model_file.load(path, loads)


def loads(data: bytes, name: str = "model") -> Graph:
    """Turn the bytes of a fixed-point .onnx file into a graph.

    Args:
        data: the file.
        name: of the graph.

    Returns:
        A graph whose tensors are int8 and have the file's names and axis order; a batch axis without a length is 1,
        so that N images are N runs. A node has the file's name, or its operator and number; a folded batch
        normalisation is gone, and its output is made by the node before it.

    Raises:
        GoldenError: the package `onnx` is not installed.
        ModelFormatError: not an ONNX file, damaged, a broken rule of the scheme, or more than `MAX_ELEMENTS`.
        UnsupportedOperatorError: an operator outside `OPERATORS`, or an attribute without definition.
    """
    onnx = model_file.import_onnx()
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except (DecodeError, RecursionError):
        raise ModelFormatError("not an ONNX model, or one that is cut off or altered") from None
    return from_model(model, name)


def from_model(model: Any, name: str = "model") -> Graph:
    """`loads` for an `onnx.ModelProto`."""
    try:
        if not model.graph.node:
            raise ModelFormatError("not an ONNX model, or one that is cut off: it holds no node")
        return _Builder(_Read(model.graph), name).graph()
    except GoldenError as error:
        # Names in a damaged file may hold line breaks, but a message is one line.
        raise type(error)(" ".join(str(error).split())) from None
    except UnicodeDecodeError:
        raise ModelFormatError("the file is damaged: a name in it is not UTF-8") from None


def recognises(model: Any) -> bool:
    """Whether an `onnx.ModelProto` carries this scheme: a node of ONNX's own domain has one of its attributes."""
    try:
        return any(
            attribute.name in _SCHEME
            for node in model.graph.node
            if node.domain in ("", "ai.onnx")
            for attribute in node.attribute
        )
    except UnicodeDecodeError:
        return False


# --- Reading: protobuf to plain objects ------------------------------------------------------------------------------


@dataclass
class _Operation:
    """A node as the file has it; a missing optional input is an empty name."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})"


class _Read:
    """The file's graph: operations, stored arrays, inputs and outputs, each checked on its own."""

    def __init__(self, graph: Any) -> None:
        self.constants: dict[str, np.ndarray] = {}
        for tensor in graph.initializer:
            if tensor.name in self.constants:
                raise ModelFormatError(f"initializer {tensor.name!r} is stored twice")
            self.constants[tensor.name] = _array(tensor, f"initializer {tensor.name!r}")
        self.operations = []
        names: set[str] = set()
        for index, node in enumerate(graph.node):
            name = node.name or f"{node.op_type}_{index}"
            while name in names:
                name = f"{name}#{index}"
            names.add(name)
            self._read(_Operation(name, node.op_type, tuple(node.input), tuple(node.output), {}), node)
        self.inputs = {v.name: _shape_of(v) for v in graph.input if v.name not in self.constants}
        self.outputs = tuple(value.name for value in graph.output)

    def _read(self, operation: _Operation, node: Any) -> None:
        if operation.kind not in OPERATORS or node.domain not in ("", "ai.onnx"):
            domain = f" of domain {node.domain}" if node.domain else ""
            raise UnsupportedOperatorError(
                f"{operation}: this operator{domain} is not among those supported: {', '.join(OPERATORS)}"
            )
        allowed = (*_ONNX.get(operation.kind, ()), *_scheme_attributes(operation.kind), *_DEMO)
        for attribute in node.attribute:
            if attribute.name not in allowed:
                raise UnsupportedOperatorError(
                    f"{operation}: attribute {attribute.name!r} is not among those supported: {', '.join(allowed)}"
                )
            if attribute.name in operation.attributes:
                raise ModelFormatError(f"{operation}: attribute {attribute.name} is given twice")
            operation.attributes[attribute.name] = _attribute(operation, attribute)
        if not operation.outputs or not operation.outputs[0] or any(operation.outputs[1:]):
            raise ModelFormatError(
                f"{operation} has {sum(map(bool, operation.outputs))} outputs, but must have 1"
            )
        if operation.kind != "Constant":
            self.operations.append(operation)
            return
        value = operation.attributes.get("value")
        if not isinstance(value, np.ndarray) or operation.outputs[0] in self.constants:
            raise UnsupportedOperatorError(
                f"{operation}: attribute value must be a tensor, and no other node may make {operation.outputs[0]!r}"
            )
        self.constants[operation.outputs[0]] = value


def _scheme_attributes(kind: str) -> tuple[str, ...]:
    if kind in ("Conv", "Gemm"):
        return _WEIGHTED
    if kind == "MatMul":
        return (*_MATMUL, *_WEIGHTED)
    return _OUT if kind in ("Add", "Div", "ReduceSum") else _IN_OUT


def _attribute(operation: _Operation, attribute: Any) -> Any:
    """The value as int, float, str, tuple of numbers or array."""
    kinds = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}
    if attribute.type not in kinds:
        raise UnsupportedOperatorError(
            f"{operation}: attribute {attribute.name} has type {attribute.type}, but must be a number, a list of "
            f"numbers, a text or a tensor"
        )
    value = getattr(attribute, kinds[attribute.type])
    if attribute.type == 3:
        return value.decode(errors="replace")
    if attribute.type == 4:
        return _array(value, f"{operation}: attribute {attribute.name}")
    return tuple(value) if attribute.type in (6, 7) else value


def _array(tensor: Any, where: str) -> np.ndarray:
    """A stored array, its size checked against its shape before it is copied."""
    if tensor.data_location == _EXTERNAL or tensor.external_data:
        raise UnsupportedOperatorError(
            f"{where} is stored in another file, but must be stored in the model's"
        )
    if tensor.data_type not in _STORED:
        raise UnsupportedOperatorError(
            f"{where} has ONNX data type {tensor.data_type}, but must be float32, float64, int32 or int64"
        )
    dtype, field = _STORED[tensor.data_type]
    shape = _checked_shape(tuple(tensor.dims), where, smallest=0)
    values = getattr(tensor, field)
    count = len(tensor.raw_data) / dtype.itemsize if tensor.HasField("raw_data") else len(values)
    if count != math.prod(shape):
        raise ModelFormatError(
            f"{where} of shape {list(shape)} holds {count:g} values, but must hold {math.prod(shape)}"
        )
    stored = np.frombuffer(tensor.raw_data, dtype) if tensor.HasField("raw_data") else np.array(values, dtype)
    array = stored.astype(dtype.newbyteorder("=")).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ModelFormatError(f"{where} holds NaN or infinity, but must be finite")
    return array


def _checked_shape(shape: tuple[int, ...], where: str, smallest: int = 1) -> tuple[int, ...]:
    if len(shape) > MAX_RANK:
        raise ModelFormatError(f"{where} has {len(shape)} axes, but at most {MAX_RANK} are allowed")
    if any(n < smallest for n in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise ModelFormatError(
            f"{where} has shape {list(shape)}, but every axis must be {smallest} or more and their product at most "
            f"{MAX_ELEMENTS}"
        )
    return shape


def _shape_of(value: Any) -> tuple[int, ...]:
    """Shape of a graph input; a leading axis without length is a batch, and becomes 1."""
    kind = value.type.tensor_type
    if kind.elem_type != _FLOAT:
        raise UnsupportedOperatorError(
            f"graph input {value.name!r} has ONNX data type {kind.elem_type}, but must be float32 ({_FLOAT})"
        )
    shape = [d.dim_value if d.HasField("dim_value") else 0 for d in kind.shape.dim]
    if shape and not shape[0]:
        shape[0] = 1
    return _checked_shape(tuple(shape), f"graph input {value.name!r}")


# --- Building: plain objects to operators ----------------------------------------------------------------------------


class _Builder:
    """Checks the scales of all operations together, then turns each into a node."""

    def __init__(self, read: _Read, name: str) -> None:
        self._read = read
        self._name = name
        self._uses = Counter(name for operation in read.operations for name in operation.inputs)
        self._uses.update(read.outputs)
        self._readers = {name: operation for operation in read.operations for name in operation.inputs[:1]}
        self._exponents: dict[str, int] = {}
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._nodes: list[Node] = []
        # Tensors that are the network's input, transposed or reshaped at most.
        self._from_input: set[str] = set(read.inputs)
        self._folded: set[str] = set()

    def graph(self) -> Graph:
        self._exponents = self._coherent_scales()
        for name, shape in self._read.inputs.items():
            self._tensors[name] = self._described(name, shape, f"graph input {name!r}")
            if len(shape) == 4:
                try:
                    INPUT.check(f"graph input {name!r}", *shape[1:])
                except ConfigurationError as error:
                    raise ModelFormatError(str(error)) from None
        for operation in self._read.operations:
            try:
                OPERATORS[operation.kind](self, operation)
            except (ConfigurationError, DoesNotFitError) as error:
                raise ModelFormatError(f"{operation}: {error}") from None
        if not self._read.outputs:
            raise ModelFormatError("the graph has 0 outputs, but must have 1 or more")
        for name in self._read.outputs:
            if name not in self._tensors:
                raise ModelFormatError(f"graph output {name!r} is made by no node")
        return Graph(
            name=self._name,
            tensors=self._tensors,
            inputs=tuple(self._read.inputs),
            outputs=self._read.outputs,
            nodes=tuple(self._nodes),
            constants=self._constants,
        )

    # Scales and bit depths.

    def _coherent_scales(self) -> dict[str, int]:
        """Exponent of every tensor's scale, after each attribute has been checked on its own and all together."""
        coherence = Coherence()
        for operation in self._read.operations:
            weighted = self._is_weighted(operation)
            if operation.kind == "MatMul":
                wrong = next((n for n in operation.attributes if n in _SCHEME and n not in
                              (_WEIGHTED if weighted else _MATMUL)), None)  # fmt: skip
                if wrong is not None:
                    raise ModelFormatError(
                        f"{operation}: attribute {wrong} is given, but a matrix product has either "
                        f"weight_ch_scales and its companions, with stored weights, or A_scale and B_scale"
                    )
            self._check_bit_depths(operation, weighted)
            required = operation.kind in _CHANGING
            if operation.kind not in _CHANGING and not (
                operation.kind in _MAY_CHANGE and "output_scale" in operation.attributes
            ):
                for name in operation.inputs if operation.kind == "Concat" else operation.inputs[:1]:
                    coherence.join(name, operation.outputs[0])
            places = [("output_scale", operation.outputs[0])]
            if operation.kind == "MatMul" and not weighted:
                places += [
                    (f"{side}_scale", name) for side, name in zip("AB", operation.inputs, strict=False)
                ]
            elif operation.kind not in ("Add", "Div", "ReduceSum"):
                places += [("input_scale", name) for name in operation.inputs[:1]]
            for attribute, tensor in places:
                exponent = self._exponent(operation, attribute, required or operation.kind == "MaxPool")
                if exponent is not None:
                    coherence.claim(tensor, exponent, f"{operation}: attribute {attribute}")
        return coherence.resolve()

    def _is_weighted(self, operation: _Operation) -> bool:
        """Whether a node has weights with channel scales: Conv, Gemm, and MatMul with such attributes."""
        return operation.kind in ("Conv", "Gemm") or (
            operation.kind == "MatMul"
            and bool({"weight_ch_scales", "weight_scale"} & set(operation.attributes))
        )

    def _exponent(self, operation: _Operation, attribute: str, required: bool) -> int | None:
        value = operation.attributes.get(attribute)
        if value is None and not required:
            return None
        exponent = power_of_two(value) if isinstance(value, (int, float)) else None
        if exponent is None:
            raise ModelFormatError(
                f"{operation}: attribute {attribute} is {_shown(value)}, but must be a power of two, "
                f"2**{MIN_EXPONENT} to 2**{MAX_EXPONENT}"
            )
        return exponent

    def _check_bit_depths(self, operation: _Operation, weighted: bool) -> None:
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
                raise ModelFormatError(
                    f"{operation}: attribute {name} is {_shown(value)}, but must be {allowed}"
                )

    # Tensors.

    def _described(self, name: str, shape: tuple[int, ...], where: str) -> Tensor:
        if name not in self._exponents:
            raise ModelFormatError(
                f"{where} has no scale, but a node that makes it or reads it must give one, such as input_scale"
            )
        return Tensor(name, shape, _INT8, Activation(self._exponents[name]))

    def _input(self, operation: _Operation, position: int = 0) -> Tensor:
        """A tensor that the network computes, or its input."""
        if position >= len(operation.inputs) or not operation.inputs[position]:
            raise ModelFormatError(f"{operation}: input {position} is missing")
        name = operation.inputs[position]
        if name in self._tensors:
            return self._tensors[name]
        if name in self._read.constants:
            raise UnsupportedOperatorError(
                f"{operation}: input {position} {name!r} is stored in the file, but must be computed by the network"
            )
        raise ModelFormatError(f"{operation}: tensor {name!r} is read, but no node before makes it")

    def _stored(self, operation: _Operation, position: int, what: str, kind: str = "f") -> np.ndarray:
        """The values of an input that must be in the file: floats, or integers for `kind` i."""
        if position >= len(operation.inputs) or not operation.inputs[position]:
            raise ModelFormatError(f"{operation}: input {position}, {what}, is missing")
        name = operation.inputs[position]
        if name not in self._read.constants:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {name!r} is not stored in the file, but must be a constant"
            )
        values = self._read.constants[name]
        if values.dtype.kind != kind:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {name!r} is {values.dtype}, but must be {'float32' if kind == 'f' else 'int64'}"
            )
        return values

    def _add(
        self,
        operation: _Operation,
        operator: Callable[..., Any],
        shape: tuple[int, ...],
        inputs: tuple[str, ...],
        macs: int = 0,
        output: str | None = None,
    ) -> None:
        """Append a node and describe what it makes."""
        output = output or operation.outputs[0]
        if output in self._tensors or output in self._read.constants:
            raise ModelFormatError(f"{operation}: tensor {output!r} is made twice")
        where = f"{operation}: tensor {output!r}"
        self._tensors[output] = self._described(output, _checked_shape(shape, where), where)
        self._nodes.append(Node(operation.name, operation.kind, operator, inputs, (output,), macs))

    def _exponents_of(self, operation: _Operation, inputs: tuple[str, ...]) -> tuple[tuple[int, ...], int]:
        """Exponents of the scales of inputs and output."""
        return tuple(self._exponents[name] for name in inputs), self._exponents[operation.outputs[0]]

    def _map(self, operation: _Operation, limits: str) -> Tensor:
        """The map `[N, C, H, W]` that a convolution or pooling reads, within the limits."""
        x = self._input(operation)
        if len(x.shape) != 4:
            raise ModelFormatError(
                f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must be [N, C, H, W]"
            )
        LIMITS[limits].check_map(*x.shape[1:], f"map {x.name!r}")
        if x.name not in self._from_input:
            FEATURE_MAP.check(f"feature map {x.name!r}", *x.shape[1:])
        return x

    # Convolutions and products.

    def _window(self, operation: _Operation, limits: str, kernel: tuple[int, ...]) -> Window:
        attributes = operation.attributes
        _only(operation, "auto_pad", "NOTSET", "")
        _only(operation, "dilations", (1, 1))
        _only(operation, "ceil_mode", 0)
        _only(operation, "storage_order", 0)
        stride, pads = attributes.get("strides", (1, 1)), attributes.get("pads", (0, 0, 0, 0))
        for name, values, count in (("kernel_shape", kernel, 2), ("strides", stride, 2), ("pads", pads, 4)):
            if (
                not isinstance(values, tuple)
                or len(values) != count
                or not all(type(v) is int for v in values)
            ):
                raise ModelFormatError(
                    f"{operation}: attribute {name} is {_shown(values)}, but must be {count} whole numbers"
                )
        LIMITS[limits].check_window(kernel, stride, pads)
        return Window(kernel, stride, (1, 1), pads)

    def _conv(self, operation: _Operation) -> None:
        weight = self._stored(operation, 1, "weights")
        if weight.ndim != 4:
            raise ModelFormatError(
                f"{operation}: weights have shape {list(weight.shape)}, but must be [K, C / group, fH, fW]"
            )
        group = operation.attributes.get("group", 1)
        limits = "depthwise Conv" if group != 1 else "Conv"
        x = self._map(operation, limits)
        channels, rows, columns = x.shape[1:]
        outputs = len(weight)
        if (
            group not in (1, channels)
            or weight.shape[1] * group != channels
            or outputs % group
            or not outputs
        ):
            raise ModelFormatError(
                f"{operation}: attribute group is {group} for {channels} input channels and weights of shape "
                f"{list(weight.shape)}, but must be 1 or {channels}, with weights [K, {channels} / group, fH, fW]"
            )
        kernel = weight.shape[2:]
        _only(operation, "kernel_shape", kernel)
        window = self._window(operation, limits, kernel)
        size = window.output_size((rows, columns))
        FEATURE_MAP.check("the output map", outputs, *size)
        layer, output = self._weighted(operation, weight, 0, window, group)
        shape = x.shape[0], outputs, *size
        macs = math.prod(shape) * weight[0].size
        self._add(operation, layer, shape, (x.name,), macs, output)

    def _gemm(self, operation: _Operation) -> None:
        x, weight = self._input(operation), self._stored(operation, 1, "weights")
        for name, allowed in (("alpha", 1), ("beta", 1), ("transA", 0)):
            _only(operation, name, allowed)
        _only(operation, "transB", 0, 1)
        if len(x.shape) != 2 or weight.ndim != 2:
            raise ModelFormatError(
                f"{operation}: input and weights have shapes {list(x.shape)} and {list(weight.shape)}, "
                f"but must be matrices"
            )
        self._fully_connected(operation, x, weight, 0 if operation.attributes.get("transB", 0) else 1)

    def _fully_connected(self, operation: _Operation, x: Tensor, weight: np.ndarray, axis: int) -> None:
        """A product by a stored matrix whose output channels are along `axis`."""
        outputs, inputs = weight.shape[axis], weight.shape[1 - axis]
        if x.shape[-1] != inputs:
            raise ModelFormatError(
                f"{operation}: input {x.name!r} has {x.shape[-1]} columns, but the weights take {inputs}"
            )
        LIMITS["Gemm"].check_channels("the input", inputs)
        LIMITS["Gemm"].check_channels("the output", outputs)
        layer, output = self._weighted(operation, weight, axis, Window((1, 1)), 1)
        shape = *x.shape[:-1], outputs
        self._add(operation, layers.Gemm(layer), shape, (x.name,), math.prod(shape) * inputs, output)

    def _matmul(self, operation: _Operation) -> None:
        if self._is_weighted(operation):
            x, weight = self._input(operation), self._stored(operation, 1, "weights")
            if weight.ndim != 2 or len(x.shape) < 2:
                raise ModelFormatError(
                    f"{operation}: input and weights have shapes {list(x.shape)} and {list(weight.shape)}, "
                    f"but must be [..., I] and [I, O]"
                )
            self._fully_connected(operation, x, weight, 1)
            return
        tensors = [self._operand(operation, position) for position in (0, 1)]
        a, b = (tensor.shape for tensor in tensors)
        if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(a)} and {list(b)}, but must be [..., I, K] and [..., K, J]"
            )
        leading = _broadcast(operation, a[:-2], b[:-2])
        names = tuple(tensor.name for tensor in tensors)
        sources, target = self._exponents_of(operation, names)
        shape = (*leading, a[-2], b[-1])
        operator = layers.MatMul(sources, target, a[-1])
        self._add(operation, operator, shape, names, math.prod(shape) * a[-1])

    def _operand(self, operation: _Operation, position: int) -> Tensor:
        """An operand of MatMul: computed, or stored as floats scale * integer."""
        if position < len(operation.inputs) and operation.inputs[position] in self._read.constants:
            name = operation.inputs[position]
            stored = self._stored(operation, position, "operand")
            scale = np.float64(math.ldexp(1.0, self._exponents[name]))
            values = integers_of(stored, scale, ACTIVATION_BITS, f"{operation}: operand {name!r}")
            self._constants[name] = values.astype(np.int8)
            self._tensors[name] = self._described(name, stored.shape, f"{operation}: operand {name!r}")
        return self._input(operation, position)

    def _weighted(
        self, operation: _Operation, stored: np.ndarray, axis: int, window: Window, group: int
    ) -> tuple[layers.Conv, str]:
        """The exact layer of stored weights, output channels along `axis`, and the name of what it makes; a batch
        normalisation is folded in."""
        outputs = stored.shape[axis]
        scales = self._weight_scales(operation, outputs)
        source = self._exponents[operation.inputs[0]]
        target = self._exponents[operation.outputs[0]]
        real = np.array([float(scale.value) for scale in scales])
        along = real.reshape([outputs if i == axis else 1 for i in range(stored.ndim)])
        where = f"{operation}: weights {operation.inputs[1]!r}"
        weight = integers_of(stored, along, WEIGHT_BITS, where)
        # To [K, fH, fW, C / group].
        weight = (
            weight.transpose(0, 2, 3, 1) if weight.ndim == 4 else np.moveaxis(weight, axis, 0)[:, None, None]
        )
        bias = np.zeros(outputs, np.int64)
        if len(operation.inputs) > 2 and operation.inputs[2]:
            values = self._stored(operation, 2, "bias")
            # Gemm's bias may have an axis of 1 before the channels.
            values = values[0] if values.shape == (1, outputs) else values
            if values.shape != (outputs,):
                raise ModelFormatError(
                    f"{operation}: bias has shape {list(values.shape)}, but must have [{outputs}]"
                )
            bias = integers_of(
                values, np.ldexp(real, source), BIAS_BITS, f"{operation}: bias {operation.inputs[2]!r}"
            )
        output = operation.outputs[0]
        after = self._readers.get(output)
        channels_second = operation.kind == "Conv" or len(self._tensors[operation.inputs[0]].shape) == 2
        if (
            after is not None
            and after.kind == "BatchNormalization"
            and self._uses[output] == 1
            and channels_second
        ):
            weight, bias, scales = self._fold(after, weight, bias, scales, source)
            self._folded.add(after.name)
            output = after.outputs[0]
        convolution = Convolution(weight, bias, window, groups=group)
        return layers.Conv(convolution, tuple(scales), source, target), output

    def _weight_scales(self, operation: _Operation, outputs: int) -> list[WeightScale]:
        values = operation.attributes.get("weight_ch_scales")
        attribute = "weight_ch_scales"
        for name in ("weight_scale", "bias_scale"):
            deprecated = operation.attributes.get(name)
            if deprecated is not None and not isinstance(deprecated, (int, float)):
                raise ModelFormatError(
                    f"{operation}: attribute {name} is {_shown(deprecated)}, but must be a number"
                )
            if name == "weight_scale" and values is None and deprecated is not None:
                attribute, values = name, (deprecated,) * outputs
        if not isinstance(values, tuple) or len(values) != outputs:
            raise ModelFormatError(
                f"{operation}: attribute weight_ch_scales is {_shown(values)}, but must be a list of {outputs} "
                f"numbers, one for each output channel"
            )
        scales = [WeightScale.of(value) for value in values]
        for channel, (scale, value) in enumerate(zip(scales, values, strict=True)):
            if scale is None:
                raise ModelFormatError(
                    f"{operation}: attribute {attribute} is {value:.9g} for channel {channel}, but must be the "
                    f"float32 nearest to 2**n / a with a in 1..255"
                )
        return scales

    def _fold(
        self, norm: _Operation, weight: np.ndarray, bias: np.ndarray, scales: list[WeightScale], source: int
    ) -> tuple[np.ndarray, np.ndarray, list[WeightScale]]:
        """Weights, bias and scales of a layer with the batch normalisation behind it folded in."""
        _only(norm, "training_mode", 0)
        _only(norm, "spatial", 1)
        stored = [
            self._stored(norm, position, what).astype(np.float64)
            for position, what in enumerate(("scale", "bias", "mean", "variance"), start=1)
        ]
        epsilon = norm.attributes.get("epsilon", float(np.float32(1e-5)))
        if any(values.shape != (len(weight),) for values in stored):
            raise ModelFormatError(
                f"{norm}: scale, bias, mean and variance have shapes {[list(v.shape) for v in stored]}, "
                f"but must have [{len(weight)}]"
            )
        gamma, beta, mean, variance = stored
        if not isinstance(epsilon, float) or not math.isfinite(epsilon) or (variance + epsilon).min() <= 0:
            raise ModelFormatError(
                f"{norm}: attribute epsilon is {_shown(epsilon)}, but variance + epsilon must be finite and above 0"
            )
        factor = gamma / np.sqrt(variance + epsilon)
        folded = []
        for channel, (scale, f) in enumerate(zip(scales, factor, strict=True)):
            wanted = float(scale.value) * abs(f)
            near = WeightScale.nearest(wanted) if f and np.isfinite(wanted) and wanted else None
            if near is None or abs(near.value - Fraction(wanted)) > _FOLDING_TOLERANCE * wanted:
                raise ModelFormatError(
                    f"{norm}: the factor of channel {channel} is {f:.9g}, but times the weight scale {scale} it must "
                    f"be 2**n / a with a in 1..255; fold the batch normalisation before the weights are quantised"
                )
            folded.append(near)
        old, new = (np.array([float(s.value) for s in ss]) for ss in (scales, folded))
        terms = [bias * np.ldexp(old, source) * factor, -mean * factor, beta]
        unit = np.ldexp(new, source)
        steps, slack = sum(terms) / unit, sum(map(np.abs, terms)) / unit * _FOLDING_TOLERANCE
        whole = np.rint(np.clip(steps, -(1 << 16), 1 << 16))
        wrong = (np.abs(steps - whole) > np.minimum(slack, 0.25)) | (
            whole != np.clip(whole, -(1 << 15), (1 << 15) - 1)
        )
        if wrong.any():
            channel = int(np.argmax(wrong))
            raise ModelFormatError(
                f"{norm}: the folded bias of channel {channel} is {steps[channel]:.9g} times its scale, but must be a "
                f"whole number of {BIAS_BITS} bits"
            )
        weight = weight * np.where(factor < 0, -1, 1)[:, None, None, None]
        if weight.max() > 127:
            raise ModelFormatError(
                f"{norm}: a negative factor makes a weight {weight.max()}, but must keep it within -128 to 127"
            )
        return weight, whole.astype(np.int64), folded

    def _batch_norm(self, operation: _Operation) -> None:
        """Folded into what made its input; else it stands where it may not."""
        if operation.name not in self._folded:
            raise UnsupportedOperatorError(
                f"{operation}: input {list(operation.inputs[:1])} must be what a Conv, or a product of a matrix by "
                f"stored weights, makes for this node alone"
            )

    # Pooling, activations, element-wise operators.

    def _pool(self, operation: _Operation) -> None:
        x = self._map(operation, operation.kind)
        source, target = self._exponents_of(operation, (x.name,))
        if operation.kind == "GlobalAveragePool":
            LIMITS[operation.kind].check_window(x.shape[2:], (1, 1), (0, 0, 0, 0))
            window = Window(x.shape[2:])
        else:
            window = self._window(operation, operation.kind, operation.attributes.get("kernel_shape"))
        if max(window.padding) >= window.kernel[0]:
            raise ModelFormatError(
                f"{operation}: attribute pads is {list(window.padding)}, but must be below the kernel's "
                f"{window.kernel[0]}"
            )
        size = window.output_size(x.shape[2:])
        FEATURE_MAP.check("the output map", x.shape[1], *size)
        operator: Any = layers.MaxPool(window)
        if operation.kind != "MaxPool":
            _only(operation, "count_include_pad", 0, 1)
            included = bool(operation.attributes.get("count_include_pad", 0))
            operator = layers.AveragePool(window, source[0], target, included)
        self._add(operation, operator, (*x.shape[:2], *size), (x.name,))

    def _activation(self, operation: _Operation) -> None:
        x = self._input(operation)
        (source,), target = self._exponents_of(operation, (x.name,))
        operator: Any = layers.Relu()
        if operation.kind == "LeakyRelu":
            alpha = operation.attributes.get("alpha", float(np.float32(0.01)))
            if not isinstance(alpha, float) or not math.isfinite(alpha):
                raise ModelFormatError(f"{operation}: attribute alpha is {_shown(alpha)}, but must be finite")
            operator = layers.LeakyRelu(alpha)
        elif operation.kind == "PRelu":
            slope = self._stored(operation, 1, "slope")
            if slope.dtype != np.float32 or _broadcast(operation, x.shape, slope.shape) != x.shape:
                raise ModelFormatError(
                    f"{operation}: slope is {slope.dtype} {list(slope.shape)}, but must be float32 and broadcast to "
                    f"{list(x.shape)}"
                )
            operator = layers.PRelu(slope)
        elif operation.kind != "Relu":
            operator = layers.Stepwise(operation.kind, source, target)
        self._add(operation, operator, x.shape, (x.name,))

    def _binary(self, operation: _Operation) -> None:
        if len(operation.inputs) != 2:
            raise ModelFormatError(f"{operation} has {len(operation.inputs)} inputs, but must have 2")
        names = tuple(self._input(operation, position).name for position in (0, 1))
        shape = _broadcast(operation, *(self._tensors[name].shape for name in names))
        sources, target = self._exponents_of(operation, names)
        operator = (layers.add if operation.kind == "Add" else layers.div)(sources, target)
        self._add(operation, operator, shape, names)

    def _reduce_sum(self, operation: _Operation) -> None:
        x = self._input(operation)
        _only(operation, "noop_with_empty_axes", 0)
        _only(operation, "keepdims", 1, 0)
        axes = operation.attributes.get("axes")
        if len(operation.inputs) > 1 and operation.inputs[1]:
            axes = tuple(self._stored(operation, 1, "axes", "i").ravel().tolist())
        rank = len(x.shape)
        axes = tuple(range(rank)) if axes is None or axes == () else axes
        if not isinstance(axes, tuple) or any(type(a) is not int or not -rank <= a < rank for a in axes):
            raise ModelFormatError(
                f"{operation}: axes is {_shown(axes)}, but each must be {-rank} to {rank - 1}"
            )
        axes = tuple(axis % rank for axis in axes)
        if len(set(axes)) != len(axes):
            raise ModelFormatError(f"{operation}: axes is {list(axes)}, but must name each axis once")
        keepdims = bool(operation.attributes.get("keepdims", 1))
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
        (source,), target = self._exponents_of(operation, (x.name,))
        self._add(operation, layers.ReduceSum(axes, keepdims, source, target), shape, (x.name,))

    # Moving data.

    def _concat(self, operation: _Operation) -> None:
        tensors = [self._input(operation, position) for position in range(len(operation.inputs))]
        if not tensors:
            raise ModelFormatError(f"{operation} has 0 inputs, but must have 1 or more")
        first = tensors[0].shape
        axis = self._axis(operation, operation.attributes.get("axis"), len(first))
        for tensor in tensors:
            if [*tensor.shape[:axis], *tensor.shape[axis + 1 :]] != [*first[:axis], *first[axis + 1 :]]:
                raise ModelFormatError(
                    f"{operation}: inputs have shapes {list(first)} and {list(tensor.shape)}, "
                    f"but must differ in axis {axis} alone"
                )
        shape = *first[:axis], sum(tensor.shape[axis] for tensor in tensors), *first[axis + 1 :]
        self._add(operation, shaping.Concatenate(axis), shape, tuple(tensor.name for tensor in tensors))

    def _transpose(self, operation: _Operation) -> None:
        x = self._input(operation)
        rank = len(x.shape)
        permutation = operation.attributes.get("perm", tuple(reversed(range(rank))))
        if not isinstance(permutation, tuple) or sorted(permutation) != list(range(rank)):
            raise ModelFormatError(
                f"{operation}: attribute perm is {_shown(permutation)}, but must hold each axis of {list(x.shape)} once"
            )
        self._moved(operation, shaping.Transpose(permutation), tuple(x.shape[axis] for axis in permutation))

    def _reshape(self, operation: _Operation) -> None:
        x = self._input(operation)
        _only(operation, "allowzero", 0)
        wanted = self._stored(operation, 1, "shape", "i").ravel().tolist()
        shape = [x.shape[i] if n == 0 and i < len(x.shape) else n for i, n in enumerate(wanted)]
        if shape.count(-1) == 1:
            rest = math.prod(n for n in shape if n != -1)
            shape[shape.index(-1)] = math.prod(x.shape) // rest if rest > 0 else 0
        if len(shape) > MAX_RANK or any(n < 1 for n in shape) or math.prod(shape) != math.prod(x.shape):
            raise ModelFormatError(
                f"{operation}: shape is {wanted}, but must hold the {math.prod(x.shape)} values of {list(x.shape)}"
            )
        self._moved(operation, shaping.Reshape(tuple(shape)), tuple(shape))

    def _flatten(self, operation: _Operation) -> None:
        x = self._input(operation)
        rank = len(x.shape)
        axis = operation.attributes.get("axis", 1)
        if type(axis) is not int or not -rank <= axis <= rank:
            raise ModelFormatError(
                f"{operation}: attribute axis is {_shown(axis)}, but must be {-rank} to {rank}"
            )
        axis = axis + rank if axis < 0 else axis
        shape = math.prod(x.shape[:axis]), math.prod(x.shape[axis:])
        self._moved(operation, shaping.Reshape(shape), shape)

    def _moved(self, operation: _Operation, operator: Callable[..., Any], shape: tuple[int, ...]) -> None:
        if operation.inputs[0] in self._from_input:
            self._from_input.add(operation.outputs[0])
        self._add(operation, operator, shape, operation.inputs[:1])

    def _axis(self, operation: _Operation, axis: Any, rank: int) -> int:
        if type(axis) is not int or not -rank <= axis < rank:
            raise ModelFormatError(
                f"{operation}: attribute axis is {_shown(axis)}, but must be {-rank} to {rank - 1}"
            )
        return axis % rank


def _only(operation: _Operation, name: str, *allowed: Any) -> None:
    """Refuse an attribute whose value is given and not one of those allowed."""
    value = operation.attributes.get(name, allowed[0])
    if value not in allowed:
        raise UnsupportedOperatorError(
            f"{operation}: attribute {name} is {_shown(value)}, but must be {' or '.join(_shown(a) for a in allowed)}"
        )


def _shown(value: Any) -> str:
    """An attribute's value in a message; long lists are cut."""
    if value is None:
        return "missing"
    if isinstance(value, (tuple, np.ndarray)):
        values = list(value)
        return str(values) if len(values) <= 8 else f"a list of {len(values)} numbers"
    return repr(value)[:80]


def _broadcast(operation: _Operation, a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return tuple(np.broadcast_shapes(a, b))
    except ValueError:
        raise ModelFormatError(
            f"{operation}: shapes {list(a)} and {list(b)} differ, but must be equal or 1, from the last axis on"
        ) from None


# Operators with their own output scale, and those that may have one; the rest keep their input's.
_CHANGING = ("Add", "AveragePool", "Conv", "Div", "Gemm", "GlobalAveragePool", "MatMul", "ReduceSum")
_MAY_CHANGE = ("Sigmoid", "Tanh")

# Operator -> the method that builds it. What is not here is refused by name.
OPERATORS: dict[str, Callable[[_Builder, _Operation], None] | None] = {
    "Add": _Builder._binary,
    "AveragePool": _Builder._pool,
    "BatchNormalization": _Builder._batch_norm,
    "Concat": _Builder._concat,
    "Constant": None,  # read with the stored arrays
    "Conv": _Builder._conv,
    "Div": _Builder._binary,
    "Flatten": _Builder._flatten,
    "Gemm": _Builder._gemm,
    "GlobalAveragePool": _Builder._pool,
    "HardSwish": _Builder._activation,
    "LeakyRelu": _Builder._activation,
    "MatMul": _Builder._matmul,
    "MaxPool": _Builder._pool,
    "PRelu": _Builder._activation,
    "ReduceSum": _Builder._reduce_sum,
    "Relu": _Builder._activation,
    "Reshape": _Builder._reshape,
    "Sigmoid": _Builder._activation,
    "Tanh": _Builder._activation,
    "Transpose": _Builder._transpose,
}
