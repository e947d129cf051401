# SPDX-License-Identifier: Apache-2.0
"""Reading an .onnx file into a graph: names, constants, types, attributes and shapes, under checks of every size.

`Builder` is what the importers of operators (`golden.importers.onnx`, `golden.importers.onnx_float`) are made of.
Nothing here knows what an operator computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from golden.errors import (
    ConfigurationError,
    DoesNotFitError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from golden.graph import Graph, Node, Tensor
from golden.layers.linear import Window
from golden.schemes.affine import Affine

__all__ = ["EIGHT_BITS", "MAX_ELEMENTS", "MAX_RANK", "QUANTISED", "Builder", "Operation"]

# Bounds of what a file may ask for: values in one tensor of one run, and axes of a tensor.
MAX_ELEMENTS = 1 << 28
MAX_RANK = 8
# Values that a node may compute, and read, while the file is loaded (shapes, scales, zero points, indices).
MAX_KNOWN = 1 << 22

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


@dataclass
class Operation:
    """A node as the file has it; a missing optional input is ''."""

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})"


class Builder:
    """Turns a model into a `Graph`; subclasses have one method for each operator.

    Attributes:
        operators: domain and operator -> the method that builds it. What is not there is refused by name.

    Args:
        parser: the package `onnx`.
        model: an `onnx.ModelProto`.
        name: of the graph.
        node_by_node: whether the reference executes each node in a session of its own, as QONNX's does.
    """

    operators: ClassVar[dict[tuple[str, str], Callable[[Any, Operation], None]]] = {}

    def __init__(self, parser: Any, model: Any, name: str, node_by_node: bool) -> None:
        self._parser = parser
        self._model = model
        self._name = name
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._nodes: list[Node] = []
        # Constants under another name, which onnxruntime does not pack beforehand.
        self._aliases: set[str] = set()
        self._made: list[str] = []  # what the present node makes
        self._fixed: set[str] = set()  # what does not depend on the graph's inputs
        # Values of what nodes compute from constants and shapes alone.
        self._known: dict[str, np.ndarray] = {}
        self._opset = max((o.version for o in model.opset_import if o.domain in _DOMAINS), default=0)
        self._opsets = {o.domain: o.version for o in model.opset_import}
        self._node_by_node = node_by_node

    def graph(self) -> Graph:
        graph = self._model.graph
        _check_text(self._model)
        for function in self._model.functions:
            if (function.domain, function.name) in self.operators:
                raise UnsupportedOperatorError(
                    f"the file defines the function {function.name} itself, but must use ONNX's operator of that name"
                )
        if graph.sparse_initializer:
            raise UnsupportedOperatorError("the file has sparse initializers, but must have dense ones alone")
        for stored in graph.initializer:
            self._keep(stored.name, *self._array(stored, f"initializer {stored.name!r}"))
        inputs = [value for value in graph.input if value.name not in self._constants]
        for value in inputs:
            self._declare_input(value)
        names: set[str] = set()
        for index, node in enumerate(graph.node):
            operation = self._operation(index, node, names)
            self._made = []
            try:
                self.operators[operation.domain, operation.kind](self, operation)
            except (ConfigurationError, DoesNotFitError) as error:
                raise ModelFormatError(f"{operation}: {error}") from None
        outputs = tuple(value.name for value in graph.output)
        for name in outputs:
            if name not in self._tensors:
                raise ModelFormatError(f"graph output {name!r} is made by no node")
        if not outputs or len(set(outputs)) != len(outputs):
            raise ModelFormatError(
                f"the graph has the outputs {list(outputs)}, but must have 1 or more, each once"
            )
        used = {name for node in self._nodes for name in node.inputs} | set(outputs)
        constants = {name: array for name, array in self._constants.items() if name in used}
        made = {value.name for value in inputs} | {name for node in self._nodes for name in node.outputs}
        return Graph(
            name=self._name,
            tensors={n: t for n, t in self._tensors.items() if n in made or n in constants},
            inputs=tuple(value.name for value in inputs),
            outputs=outputs,
            nodes=tuple(self._nodes),
            constants=constants,
        )

    # Reading.

    def _operation(self, index: int, node: Any, names: set[str]) -> Operation:
        name = node.name or f"{node.op_type}_{index}"
        name = name if name not in names else f"{name}#{index}"
        names.add(name)
        domain = "" if node.domain in _DOMAINS else node.domain
        operation = Operation(name, node.op_type, domain, tuple(node.input), tuple(node.output))
        if (domain, node.op_type) not in self.operators:
            inside = f" of domain {domain}" if domain else ""
            allowed = sorted({kind for _, kind in self.operators})
            raise UnsupportedOperatorError(
                f"{operation}: operator {node.op_type}{inside} is not among those supported: {', '.join(allowed)}"
            )
        kinds = self._parser.AttributeProto
        readers = {
            kinds.INT: lambda a: a.i,
            kinds.FLOAT: lambda a: a.f,
            kinds.INTS: lambda a: list(a.ints),
            kinds.FLOATS: lambda a: list(a.floats),
            kinds.STRING: lambda a: a.s.decode(errors="replace"),
            kinds.TENSOR: lambda a: a.t,
        }
        for attribute in node.attribute:
            if attribute.type not in readers or attribute.ref_attr_name:
                raise UnsupportedOperatorError(
                    f"{operation}: attribute {attribute.name} is of type {attribute.type}, but must be a number, a "
                    f"string, a tensor or a list of numbers"
                )
            operation.attributes[attribute.name] = readers[attribute.type](attribute)
        return operation

    def _type(self, number: int, where: str) -> tuple[str, np.dtype, int | None]:
        if not isinstance(number, int) or number not in _TYPES:
            raise UnsupportedOperatorError(
                f"{where} has element type {number}, but must have one of "
                f"{', '.join(f'{key} ({name})' for key, (name, _, _) in _TYPES.items())}"
            )
        return _TYPES[number]

    def _array(self, stored: Any, where: str) -> tuple[np.ndarray, int | None]:
        """The values of a TensorProto, and 4 if they are of 4 bits."""
        name, dtype, bits = self._type(stored.data_type, where)
        shape = tuple(stored.dims)
        if stored.data_location == self._parser.TensorProto.EXTERNAL:
            raise UnsupportedOperatorError(
                f"{where} is stored in another file, but must be stored in this one"
            )
        if len(shape) > MAX_RANK or min(shape, default=0) < 0 or math.prod(shape) > MAX_ELEMENTS:
            raise ModelFormatError(
                f"{where} has shape {list(shape)}, but must have at most {MAX_RANK} axes of 0 or more and "
                f"{MAX_ELEMENTS} values"
            )
        count = math.prod(shape)
        raw = stored.HasField("raw_data")
        fields = {"float32": stored.float_data, "float64": stored.double_data, "int64": stored.int64_data}
        repeated = fields.get(name, stored.int32_data)
        held = len(stored.raw_data if raw else repeated)
        expected = (count + 1) // 2 if bits else count * (dtype.itemsize if raw else 1)
        if held != expected:
            raise ModelFormatError(
                f"{where} of shape {list(shape)} and type {name} holds {held} {'bytes' if raw else 'values'}, "
                f"but must hold {expected}"
            )
        if raw:
            values = np.frombuffer(stored.raw_data, dtype.newbyteorder("<"))
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
        values = (values.view(np.uint8) != 0 if raw and dtype.kind == "b" else values.astype(dtype)).reshape(
            shape
        )
        if dtype.kind == "f" and np.isnan(values).any():
            raise ModelFormatError(f"{where} holds NaN, but must hold numbers")
        return values, bits

    def _keep(self, name: str, values: np.ndarray, bits: int | None = None) -> None:
        if name in self._tensors:
            raise ModelFormatError(f"tensor {name!r} is given twice")
        # Without a scale of its own, a constant of 4 bits still has its range.
        about = Affine(np.ones(1), np.zeros(1), None, values.dtype, bits) if bits else None
        self._tensors[name] = Tensor(name, values.shape, values.dtype, about)
        self._constants[name] = values
        self._fixed.add(name)

    def _declare_input(self, value: Any) -> None:
        where = f"graph input {value.name!r}"
        if value.type.WhichOneof("value") != "tensor_type" or not value.type.tensor_type.HasField("shape"):
            raise UnsupportedOperatorError(f"{where} must be a tensor of known shape")
        name, dtype, bits = self._type(value.type.tensor_type.elem_type, where)
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
            shape.append(dim.dim_value if known else 1)
        if value.name in self._tensors:
            raise ModelFormatError(f"{where} is given twice")
        self._tensors[value.name] = self._described(value.name, tuple(shape), dtype)

    # Tensors.

    def _described(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype, quantisation: Affine | None = None
    ) -> Tensor:
        if len(shape) > MAX_RANK or any(n < 1 for n in shape) or math.prod(shape) > MAX_ELEMENTS:
            raise ModelFormatError(
                f"tensor {name!r} has shape {list(shape)}, but must have at most {MAX_RANK} axes of 1 or more and "
                f"{MAX_ELEMENTS} values"
            )
        return Tensor(name, tuple(int(n) for n in shape), np.dtype(dtype), quantisation)

    def _has(self, operation: Operation, position: int) -> bool:
        return position < len(operation.inputs) and operation.inputs[position] != ""

    def _input(self, operation: Operation, position: int, *dtypes: type) -> Tensor:
        """An operand, of one of `dtypes` if any are given."""
        if not self._has(operation, position):
            raise ModelFormatError(f"{operation}: input {position} is missing")
        name = operation.inputs[position]
        if name not in self._tensors:
            raise ModelFormatError(f"{operation}: tensor {name!r} is read before any node makes it")
        tensor = self._tensors[name]
        if any(n < 1 for n in tensor.shape):
            raise ModelFormatError(
                f"{operation}: tensor {name!r} has shape {list(tensor.shape)}, but every axis must be 1 or more"
            )
        if dtypes and tensor.dtype not in dtypes:
            raise UnsupportedOperatorError(
                f"{operation}: tensor {name!r} is {tensor.dtype}, but must be "
                f"{' or '.join(np.dtype(d).name for d in dtypes)}"
            )
        return tensor

    def _constant(self, operation: Operation, position: int, what: str, *dtypes: type) -> np.ndarray:
        """The values of an operand that must be in the file."""
        if not self._has(operation, position):
            raise ModelFormatError(f"{operation}: {what} (input {position}) is missing")
        name = operation.inputs[position]
        values = self._value(name)
        if values is None:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {name!r} is computed by the network, but must be a constant"
            )
        if values.dtype not in dtypes:
            raise UnsupportedOperatorError(
                f"{operation}: {what} {name!r} is {values.dtype}, "
                f"but must be {' or '.join(np.dtype(d).name for d in dtypes)}"
            )
        return values

    def _value(self, name: str) -> np.ndarray | None:
        """The values of a tensor that the file alone decides, or None."""
        return self._constants.get(name, self._known.get(name))

    def _packed(self, tensor: Tensor) -> bool:
        """Whether onnxruntime prepares a matrix when it loads the file: a stored one, under its own name.

        The execution node by node gives even weights to the session of each node as inputs.
        """
        return tensor.name in self._constants and tensor.name not in self._aliases and not self._node_by_node

    def _single(self, operation: Operation, position: int, what: str, *dtypes: type) -> Any:
        values = self._constant(operation, position, what, *dtypes)
        if values.size != 1:
            raise UnsupportedOperatorError(f"{operation}: {what} has {values.size} values, but must have 1")
        return values.reshape(-1)[0]

    def _integers(self, operation: Operation, position: int, what: str) -> list[int]:
        return [int(v) for v in self._constant(operation, position, what, np.int32, np.int64).ravel()]

    def _affine(
        self,
        operation: Operation,
        scale: int,
        zero_point: int,
        dtype: np.dtype,
        shape: tuple[int, ...] | None = None,
        axis: int | None = None,
        bits: int | None = None,
    ) -> Affine:
        """The quantisation given by the inputs at `scale` and `zero_point`; per axis only if `shape` is given."""
        scales = self._constant(operation, scale, "scale", np.float32)
        zeros = np.zeros(scales.shape, np.int64)
        if self._has(operation, zero_point):
            zeros = self._constant(operation, zero_point, "zero point", dtype.type)
        for what, values in (("scale", scales), ("zero point", zeros)):
            lengths = (1,) if shape is None else (1, shape[axis])
            if values.ndim > 1 or values.size not in lengths:
                raise UnsupportedOperatorError(
                    f"{operation}: {what} has shape {list(values.shape)}, but must hold "
                    f"{' or '.join(map(str, sorted(set(lengths))))} value(s)"
                )
        count = max(scales.size, zeros.size)
        scales, zeros = (np.broadcast_to(v.reshape(-1), (count,)) for v in (scales, zeros))
        return Affine(scales, zeros.astype(np.int64), axis if count > 1 else None, dtype, bits)

    def _output(
        self,
        operation: Operation,
        shape: tuple[int, ...],
        dtype: np.dtype | type = np.float32,
        quantisation: Affine | None = None,
        position: int = 0,
    ) -> Tensor:
        if position >= len(operation.outputs) or not operation.outputs[position]:
            raise ModelFormatError(f"{operation}: output {position} is missing")
        name = operation.outputs[position]
        if name in self._tensors:
            raise ModelFormatError(f"{operation}: tensor {name!r} is made twice")
        self._tensors[name] = self._described(name, shape, dtype, quantisation)
        self._made.append(name)
        return self._tensors[name]

    def _copied(self, operation: Operation, x: Tensor, shape: tuple[int, ...], position: int = 0) -> Tensor:
        """An output that holds values of `x`; along an axis that moves, a quantisation is no longer told."""
        about = x.quantisation if x.quantisation is None or not x.quantisation.per_axis else None
        return self._output(operation, shape, x.dtype, about, position)

    def _add(
        self, operation: Operation, operator: Callable[..., Any], data: tuple[int, ...] = (0,), macs: int = 0
    ) -> None:
        outputs = tuple(name for name in operation.outputs if name)
        if outputs != tuple(self._made):
            extra = next((name for name in outputs if name not in self._made), outputs[-1])
            raise UnsupportedOperatorError(f"{operation}: output {extra!r} is one too many")
        inputs = tuple(operation.inputs[position] for position in data)
        if self._fixed.issuperset(inputs):
            self._fixed.update(outputs)
        self._nodes.append(Node(operation.name, operation.kind, operator, inputs, outputs, macs))
        values = [self._value(name) for name in inputs]
        sizes = [math.prod(self._tensors[name].shape) for name in (*inputs, *outputs)]
        if all(v is not None for v in values) and sum(sizes) <= MAX_KNOWN and macs == 0:
            with np.errstate(all="ignore"):
                made = operator(*(v[None] for v in values))
            for name, array in zip(outputs, made if isinstance(made, tuple) else (made,), strict=True):
                self._known[name] = array[0]

    # Attributes.

    def _only(self, operation: Operation, name: str, default: Any, *allowed: Any) -> Any:
        value = operation.attributes.get(name, default)
        if value not in allowed:
            raise UnsupportedOperatorError(
                f"{operation}: attribute {name} is {value}, but must be {' or '.join(map(str, allowed))}"
            )
        return value

    def _number(self, operation: Operation, name: str, default: float) -> float:
        value = operation.attributes.get(name, default)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ModelFormatError(f"{operation}: attribute {name} is {value}, but must be a finite number")
        return value

    def _axis(self, operation: Operation, axis: Any, rank: int, what: str = "axis") -> int:
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise ModelFormatError(f"{operation}: {what} is {axis}, but must be {-rank} to {rank - 1}")
        return axis % rank

    def _axes(self, operation: Operation, axes: list[int], rank: int) -> tuple[int, ...]:
        numbers = tuple(self._axis(operation, axis, rank) for axis in axes)
        if len(set(numbers)) != len(numbers):
            raise ModelFormatError(f"{operation}: axes are {axes}, but must differ")
        return numbers

    def _given(self, operation: Operation, position: int, name: str) -> list[int] | None:
        """Integers given as an input, or by older opsets as an attribute, or not at all."""
        if self._has(operation, position):
            return self._integers(operation, position, name)
        value = operation.attributes.get(name)
        if value is not None and not isinstance(value, list):
            raise ModelFormatError(f"{operation}: attribute {name} is {value}, but must be a list")
        return value

    def _window(self, operation: Operation, size: tuple[int, ...], kernel: tuple[int, ...] | None) -> Window:
        """Kernel, strides, dilations and pads of one or two spatial axes; one axis is that of columns."""
        rank = len(size)
        if rank not in (1, 2):
            raise UnsupportedOperatorError(
                f"{operation}: the input has {rank} spatial axes, but must have 1 or 2"
            )
        ones = [1] * rank
        given = operation.attributes.get("kernel_shape", list(kernel) if kernel else None)
        if kernel is not None and given != list(kernel):
            raise ModelFormatError(
                f"{operation}: attribute kernel_shape is {given}, but the weights have {list(kernel)}"
            )
        values = {
            "kernel_shape": given,
            "strides": operation.attributes.get("strides", ones),
            "dilations": operation.attributes.get("dilations", ones),
        }
        for name, value in values.items():
            if not isinstance(value, list) or len(value) != rank or not all(1 <= v <= 1 << 16 for v in value):
                raise ModelFormatError(
                    f"{operation}: attribute {name} is {value}, but must be {rank} numbers of 1 to {1 << 16}"
                )
        pads = operation.attributes.get("pads", [0] * 2 * rank)
        if not isinstance(pads, list) or len(pads) != 2 * rank or not all(0 <= v <= 1 << 16 for v in pads):
            raise ModelFormatError(
                f"{operation}: attribute pads is {pads}, but must be {2 * rank} numbers of 0 to {1 << 16}"
            )
        auto = operation.attributes.get("auto_pad", "NOTSET")
        self._only(operation, "auto_pad", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
        if auto != "NOTSET":
            pads = [0] * 2 * rank
        if auto.startswith("SAME"):
            for axis in range(rank):
                stride = values["strides"][axis]
                extent = (values["kernel_shape"][axis] - 1) * values["dilations"][axis] + 1
                outputs = -(-size[axis] // stride)
                total = max(0, (outputs - 1) * stride + extent - size[axis])
                less, more = total // 2, total - total // 2
                pads[axis], pads[rank + axis] = (less, more) if auto == "SAME_UPPER" else (more, less)
        pairs = [tuple(values[name]) for name in ("kernel_shape", "strides", "dilations")]
        if rank == 1:
            pairs = [(1, *pair) for pair in pairs]
            pads = [0, pads[0], 0, pads[1]]
        window = Window(*pairs, tuple(pads))
        if (size[0] if rank == 2 else 1) + pads[0] + pads[2] > MAX_ELEMENTS // (size[-1] + pads[1] + pads[3]):
            raise ModelFormatError(
                f"{operation}: the padded map of {list(size)} with pads {pads} is too large"
            )
        return window

    # Maps and products.

    def _map(self, operation: Operation, x: Tensor) -> tuple[int, ...]:
        if len(x.shape) not in (3, 4):
            raise UnsupportedOperatorError(
                f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must have 3 or 4 axes"
            )
        return x.shape[2:]

    def _grouped(self, operation: Operation, x: Tensor, weight: Tensor) -> int:
        groups = operation.attributes.get("group", 1)
        if not isinstance(groups, int) or not 1 <= groups <= x.shape[1]:
            raise ModelFormatError(f"{operation}: attribute group is {groups}, but must be 1 to {x.shape[1]}")
        if (
            len(weight.shape) != len(x.shape)
            or weight.shape[0] % groups
            or weight.shape[1] * groups != x.shape[1]
        ):
            raise ModelFormatError(
                f"{operation}: weights have shape {list(weight.shape)} for input {list(x.shape)} and group {groups}, "
                f"but must hold a multiple of {groups} outputs and 1/{groups} of {x.shape[1]} input channels"
            )
        return groups

    def _mapped(self, window: Window, size: tuple[int, ...]) -> tuple[int, ...]:
        out = window.output_size((1, *size) if len(size) == 1 else size)
        return out[1:] if len(size) == 1 else out

    def _flat(self, operator: Callable[..., Any], x: Tensor) -> Callable[..., Any]:
        """`operator` on maps, for an input with one spatial axis, too."""
        return operator if len(x.shape) == 4 else _OneAxis(operator)

    def _bound_columns(self, operation: Operation, x: Tensor, taps: int, y: Tensor) -> None:
        columns = x.shape[1] * taps * math.prod(y.shape[2:])
        if columns > MAX_ELEMENTS:
            raise ModelFormatError(
                f"{operation}: windows of {taps} places in {x.shape[1]} channels at {math.prod(y.shape[2:])} places "
                f"are {columns} values, but at most {MAX_ELEMENTS} are allowed"
            )

    def _product_shape(self, operation: Operation, a: Tensor, b: Tensor) -> tuple[int, ...]:
        fits = len(a.shape) >= 2 and len(b.shape) >= 2 and a.shape[-1] == b.shape[-2]
        try:
            batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if fits else ()
        except ValueError:
            fits = False
        if not fits:
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, but must be [..., M, K] and "
                f"[..., K, N] whose leading axes broadcast"
            )
        return (*batch, a.shape[-2], b.shape[-1])

    def _broadcast(self, operation: Operation, *tensors: Tensor) -> tuple[int, ...]:
        try:
            return np.broadcast_shapes(*(tensor.shape for tensor in tensors))
        except ValueError:
            raise ModelFormatError(
                f"{operation}: inputs have shapes {' and '.join(str(list(t.shape)) for t in tensors)}, "
                f"but must broadcast"
            ) from None

    def _fixed_weights(self, operation: Operation, weight: Tensor) -> None:
        if weight.name not in self._fixed:
            raise UnsupportedOperatorError(
                f"{operation}: weights {weight.name!r} depend on the graph's inputs, but must be fixed by the file"
            )

    def _tensor_attribute(self, operation: Operation, name: str) -> tuple[np.ndarray, int | None]:
        value = operation.attributes[name]
        if not isinstance(value, self._parser.TensorProto):
            raise ModelFormatError(f"{operation}: attribute {name} is {value}, but must be a tensor")
        return self._array(value, str(operation))


@dataclass(frozen=True)
class _OneAxis:
    """An operator on maps `[B, C, H, W]` for tensors `[B, C, W]`: maps of one row, weights likewise."""

    operator: Callable[..., np.ndarray]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        return self.operator(*(x[:, :, :, None] if x.ndim == 4 else x for x in arrays))[:, :, :, 0]
