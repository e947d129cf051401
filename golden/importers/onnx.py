"""Reads quantised ONNX models (.onnx): QDQ, QOperator and QONNX, into graphs whose every tensor equals the framework's.

QDQ: QuantizeLinear and DequantizeLinear around float operators, which are executed as they stand, in float32.
QOperator: QLinearConv, QLinearMatMul and operators of domain com.microsoft, in integers. Both may be in one file. The
reference is onnxruntime's CPU provider with graph optimisation disabled and one thread
(`golden.runtimes.onnxruntime`); `golden.schemes.onnx`, `golden.layers.mlas` and `golden.layers.onnx` say what is
exact, and where it comes from.

QONNX: Quant, BipolarQuant, Trunc and their like (`golden.schemes.qonnx`) among float operators; all tensors are
float32, the input included. The reference is the package qonnx (`golden.runtimes.qonnx`), which executes node by node:
its own nodes in numpy, every other in an onnxruntime session of that node alone, to which weights are inputs, not
constants. Float32 sums are those of onnxruntime on one thread; where scales are powers of two and sums stay below
2**24 units, they are the same in every order and on every processor (`golden.layers.mlas.exact_product`). Annotations
of tensors (`quantization_annotation`) change no number here; qonnx rounds what is annotated as integer and is none. A
QONNX file of the pattern in `golden.importers.qonnx` becomes an integer `Network` instead.

The file is data: it is parsed with PyPI's `onnx`, copied under checks of every type and size, and only then turned into
operators. Shapes are inferred here, whatever the file says, and are bounded before any array of that shape exists. A
leading axis of an input that has a name instead of a length (a batch) is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
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
from golden.importers import fixed_point, model_file, qonnx
from golden.layers import onnx as layers
from golden.layers import shaping
from golden.layers.linear import Convolution, Window
from golden.network import Network
from golden.schemes import onnx as scheme
from golden.schemes import qonnx as qonnx_scheme
from golden.schemes.onnx import Affine

__all__ = ["MAX_ELEMENTS", "MAX_RANK", "OPERATORS", "load", "loads", "loads_graph"]

# Bounds of what a file may ask for: values in one tensor of one run, and axes of a tensor.
MAX_ELEMENTS = 1 << 28
MAX_RANK = 8
MAX_KNOWN = 1 << 16  # values of a tensor that is computed while the file is read
MAX_TAPS = 1 << 16  # places of a pooling window

MICROSOFT = "com.microsoft"
_DOMAINS = ("", "ai.onnx")

# ONNX's number of an element type -> its name, numpy dtype, and bits where two values share a byte.
_TYPES = {
    1: ("float32", np.dtype(np.float32), None),
    2: ("uint8", np.dtype(np.uint8), None),
    3: ("int8", np.dtype(np.int8), None),
    4: ("uint16", np.dtype(np.uint16), None),
    5: ("int16", np.dtype(np.int16), None),
    6: ("int32", np.dtype(np.int32), None),
    7: ("int64", np.dtype(np.int64), None),
    21: ("uint4", np.dtype(np.uint8), 4),
    22: ("int4", np.dtype(np.int8), 4),
}
_QUANTISED = (np.uint8, np.int8, np.uint16, np.int16)
_EIGHT_BITS = (np.uint8, np.int8)


def load(path: Path) -> Graph | Network:
    """Read an .onnx file; see `loads`.

    Raises:
        GoldenError: the file cannot be read, or the package `onnx` is not installed.
        ModelFormatError, UnsupportedOperatorError: see `loads`.
    """
    path = Path(path)
    data = model_file.read(path)
    return loads(data, path.stem)


def loads(data: bytes, name: str = "model") -> Graph | Network:
    """Turn the bytes of an .onnx file into a graph; one with the attributes of the fixed-point scheme as
    `golden.importers.fixed_point.from_model` does. A QONNX file of the pattern in `golden.importers.qonnx` becomes a
    `Network`.

    Args:
        data: the file.
        name: of the graph; it starts the messages of errors.

    Returns:
        A graph whose tensors have the file's names, axis order and dtypes; int4 and uint4 are held in int8 and uint8.

    Raises:
        GoldenError: the package `onnx` is not installed.
        ModelFormatError: not an ONNX file, damaged, inconsistent, or asking for more than `MAX_ELEMENTS`.
        UnsupportedOperatorError: an operator outside `OPERATORS`, an attribute without definition, or a float model.
    """
    model = model_file.parse_onnx(data, name)
    if _uses_qonnx(model):
        try:
            return qonnx.from_model(model, name)
        except (ModelFormatError, UnsupportedOperatorError):
            return _graph(model, name)
    own = any(_quantises(node.op_type) for node in model.graph.node)
    if not own and fixed_point.recognises(model):
        return fixed_point.from_model(model, name)
    if not own:
        raise UnsupportedOperatorError(
            f"{name}: the model has {len(model.graph.node)} float nodes and no QuantizeLinear, QLinear* or Quant node, "
            f"but must be quantised; quantise it first"
        )
    return _graph(model, name)


def loads_graph(data: bytes, name: str = "model") -> Graph:
    """`loads` of a QONNX file as a graph, of float32 tensors, also where it has the pattern of a `Network`."""
    return _graph(model_file.parse_onnx(data, name), name)


def _graph(model: Any, name: str) -> Graph:
    try:
        return _Builder(model_file.import_onnx(), model, name).graph()
    except GoldenError as error:
        kind = ModelFormatError if isinstance(error, (ConfigurationError, DoesNotFitError)) else type(error)
        # Names in a damaged file may hold line breaks, but a message is one line.
        raise kind(" ".join(f"{name}: {error}".split())) from None


def _uses_qonnx(model: Any) -> bool:
    return any(node.domain in qonnx_scheme.DOMAINS or node.op_type == "Quant" for node in model.graph.node)


def _quantises(kind: str) -> bool:
    # str() because protobuf gives bytes for what is no text.
    return kind in ("QuantizeLinear", "DequantizeLinear", "QGemm") or str(kind).startswith("QLinear")


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
class _Operation:
    """A node as the file has it; a missing optional input is ''."""

    name: str
    kind: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"node {self.name!r} ({self.kind})"


class _Builder:
    """Turns a model into a `Graph`, one method for each operator."""

    def __init__(self, parser: Any, model: Any, name: str) -> None:
        self._parser = parser
        self._model = model
        self._name = name
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._nodes: list[Node] = []
        self._fixed: set[str] = set()  # what does not depend on the graph's inputs
        self._computed: dict[str, np.ndarray] = {}  # values of what small nodes make of constants
        self._opset = max((o.version for o in model.opset_import if o.domain in _DOMAINS), default=0)
        self._opsets = {o.domain: o.version for o in model.opset_import}
        # QONNX's execution gives weights to the session of each node as inputs, so that none is packed beforehand.
        self._node_by_node = _uses_qonnx(model)

    def graph(self) -> Graph:
        graph = self._model.graph
        _check_text(self._model)
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
            try:
                OPERATORS[operation.domain, operation.kind](self, operation)
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

    def _operation(self, index: int, node: Any, names: set[str]) -> _Operation:
        name = node.name or f"{node.op_type}_{index}"
        name = name if name not in names else f"{name}#{index}"
        names.add(name)
        domain = "" if node.domain in _DOMAINS else node.domain
        operation = _Operation(name, node.op_type, domain, tuple(node.input), tuple(node.output))
        if (domain, node.op_type) not in OPERATORS:
            inside = f" of domain {domain}" if domain else ""
            allowed = sorted({kind for _, kind in OPERATORS})
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
        if number not in _TYPES:
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
        repeated = {"float32": stored.float_data, "int64": stored.int64_data}.get(name, stored.int32_data)
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
            wide = np.array(repeated, np.float32 if name == "float32" else np.int64)
            values = wide.astype(np.uint8).view(dtype) if bits else wide.astype(dtype)
            if not bits and dtype.kind != "f" and (values != wide).any():
                raise ModelFormatError(f"{where} holds {wide[values != wide][0]}, which is no {name}")
        if bits:
            values = values.view(np.uint8)
            pairs = np.stack([values & 15, values >> 4], axis=1).reshape(-1)[:count]
            values = ((pairs ^ 8).astype(np.int8) - 8) if dtype.kind == "i" else pairs
        values = values.astype(dtype).reshape(shape)
        if dtype.kind == "f" and not np.isfinite(values).all():
            raise ModelFormatError(f"{where} holds NaN or infinity, but must be finite")
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
                    f"{where}: axis {axis} has the length {dim.dim_param or 'unknown'!r}, but only axis 0 may be open"
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

    def _has(self, operation: _Operation, position: int) -> bool:
        return position < len(operation.inputs) and operation.inputs[position] != ""

    def _input(self, operation: _Operation, position: int, *dtypes: type) -> Tensor:
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

    def _constant(self, operation: _Operation, position: int, what: str, *dtypes: type) -> np.ndarray:
        """The values of an operand that must be in the file."""
        if not self._has(operation, position):
            raise ModelFormatError(f"{operation}: {what} (input {position}) is missing")
        name = operation.inputs[position]
        values = self._constants.get(name, self._computed.get(name))
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

    def _single(self, operation: _Operation, position: int, what: str, *dtypes: type) -> Any:
        values = self._constant(operation, position, what, *dtypes)
        if values.size != 1:
            raise UnsupportedOperatorError(f"{operation}: {what} has {values.size} values, but must have 1")
        return values.reshape(-1)[0]

    def _integers(self, operation: _Operation, position: int, what: str) -> list[int]:
        return [int(v) for v in self._constant(operation, position, what, np.int32, np.int64).ravel()]

    def _affine(
        self,
        operation: _Operation,
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
        operation: _Operation,
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
        return self._tensors[name]

    def _copied(self, operation: _Operation, x: Tensor, shape: tuple[int, ...], position: int = 0) -> Tensor:
        """An output that holds values of `x`; along an axis that moves, a quantisation is no longer told."""
        about = x.quantisation if x.quantisation is None or not x.quantisation.per_axis else None
        return self._output(operation, shape, x.dtype, about, position)

    def _add(
        self, operation: _Operation, operator: Callable[..., Any], data: tuple[int, ...] = (0,), macs: int = 0
    ) -> None:
        extra = [name for name in operation.outputs if name and name not in self._tensors]
        if extra:
            raise UnsupportedOperatorError(f"{operation}: output {extra[0]!r} is one too many")
        inputs = tuple(operation.inputs[position] for position in data)
        outputs = tuple(name for name in operation.outputs if name)
        if self._fixed.issuperset(inputs):
            self._fixed.update(outputs)
            self._know(operator, inputs, outputs)
        self._nodes.append(Node(operation.name, operation.kind, operator, inputs, outputs, macs))

    def _know(self, operator: Callable[..., Any], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        """Compute small tensors that the file fixes, such as a shape put together by nodes."""
        values = [self._constants.get(name, self._computed.get(name)) for name in inputs]
        sizes = [math.prod(self._tensors[name].shape) for name in (*inputs, *outputs)]
        if all(value is not None for value in values) and max(sizes) <= MAX_KNOWN:
            made = operator(*(value[None] for value in values))
            made = made if isinstance(made, tuple) else (made,)
            self._computed.update({name: array[0] for name, array in zip(outputs, made, strict=True)})

    # Attributes.

    def _only(self, operation: _Operation, name: str, default: Any, *allowed: Any) -> Any:
        value = operation.attributes.get(name, default)
        if value not in allowed:
            raise UnsupportedOperatorError(
                f"{operation}: attribute {name} is {value}, but must be {' or '.join(map(str, allowed))}"
            )
        return value

    def _number(self, operation: _Operation, name: str, default: float) -> float:
        value = operation.attributes.get(name, default)
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ModelFormatError(f"{operation}: attribute {name} is {value}, but must be a finite number")
        return value

    def _axis(self, operation: _Operation, axis: Any, rank: int, what: str = "axis") -> int:
        if not isinstance(axis, int) or not -rank <= axis < rank:
            raise ModelFormatError(f"{operation}: {what} is {axis}, but must be {-rank} to {rank - 1}")
        return axis % rank

    def _axes(self, operation: _Operation, axes: list[int], rank: int) -> tuple[int, ...]:
        numbers = tuple(self._axis(operation, axis, rank) for axis in axes)
        if len(set(numbers)) != len(numbers):
            raise ModelFormatError(f"{operation}: axes are {axes}, but must differ")
        return numbers

    def _given(self, operation: _Operation, position: int, name: str) -> list[int] | None:
        """Integers given as an input, or by older opsets as an attribute, or not at all."""
        if self._has(operation, position):
            return self._integers(operation, position, name)
        value = operation.attributes.get(name)
        if value is not None and not isinstance(value, list):
            raise ModelFormatError(f"{operation}: attribute {name} is {value}, but must be a list")
        return value

    def _window(self, operation: _Operation, size: tuple[int, ...], kernel: tuple[int, ...] | None) -> Window:
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

    # Quantisation.

    def _quantize(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        self._only(operation, "block_size", 0, 0)
        self._only(operation, "precision", 0, 0, 1)
        dtype, bits = np.dtype(np.uint8), None
        if operation.attributes.get("output_dtype"):
            _, dtype, bits = self._type(
                operation.attributes["output_dtype"], f"{operation}: attribute output_dtype"
            )
        if self._has(operation, 2):
            zero = self._input(operation, 2)
            dtype, bits = zero.dtype, zero.quantisation.bits if zero.quantisation else None
        if dtype not in _QUANTISED:
            raise UnsupportedOperatorError(
                f"{operation}: the output is {dtype}, but must be of 4, 8 or 16 bits, signed or not"
            )
        affine = self._axis_affine(operation, x, dtype, bits)
        self._output(operation, x.shape, dtype, affine)
        self._add(operation, layers.Quantize(affine))

    def _axis_affine(self, operation: _Operation, x: Tensor, dtype: np.dtype, bits: int | None) -> Affine:
        scale = self._constant(operation, 1, "scale", np.float32)
        if scale.size == 1:
            return self._affine(operation, 1, 2, dtype, bits=bits)
        axis = self._axis(operation, operation.attributes.get("axis", 1), len(x.shape))
        return self._affine(operation, 1, 2, dtype, x.shape, axis, bits)

    def _dequantize(self, operation: _Operation) -> None:
        x = self._input(operation, 0, *_QUANTISED, np.int32)
        self._only(operation, "block_size", 0, 0)
        self._only(operation, "output_dtype", 0, 0, 1)
        affine = self._axis_affine(operation, x, x.dtype, x.quantisation.bits if x.quantisation else None)
        if x.dtype == np.int32 and affine.zero_point.any():
            raise ModelFormatError(
                f"{operation}: zero point is {affine.zero_point[affine.zero_point != 0][0]}, but int32 allows 0 alone"
            )
        self._output(operation, x.shape)
        self._add(operation, layers.Dequantize(affine))

    # Convolutions and products.

    def _map(self, operation: _Operation, x: Tensor) -> tuple[int, ...]:
        if len(x.shape) not in (3, 4):
            raise UnsupportedOperatorError(
                f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must have 3 or 4 axes"
            )
        return x.shape[2:]

    def _grouped(self, operation: _Operation, x: Tensor, weight: Tensor) -> int:
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

    def _bound_columns(self, operation: _Operation, x: Tensor, taps: int, y: Tensor) -> None:
        columns = x.shape[1] * taps * math.prod(y.shape[2:])
        if columns > MAX_ELEMENTS:
            raise ModelFormatError(
                f"{operation}: windows of {taps} places in {x.shape[1]} channels at {math.prod(y.shape[2:])} places "
                f"are {columns} values, but at most {MAX_ELEMENTS} are allowed"
            )

    def _conv(self, operation: _Operation) -> None:
        x, weight = (self._input(operation, i, np.float32) for i in (0, 1))
        if weight.name not in self._fixed:
            raise UnsupportedOperatorError(
                f"{operation}: weights {weight.name!r} depend on the graph's inputs, but must be fixed by the file"
            )
        groups = self._grouped(operation, x, weight) if self._map(operation, x) else 1
        window = self._window(operation, x.shape[2:], weight.shape[2:])
        data = (0, 1)
        if self._has(operation, 2):
            bias = self._input(operation, 2, np.float32)
            if bias.shape != weight.shape[:1]:
                raise ModelFormatError(
                    f"{operation}: bias has shape {list(bias.shape)}, but must have {list(weight.shape[:1])}"
                )
            data = (0, 1, 2)
        y = self._output(operation, (x.shape[0], weight.shape[0], *self._mapped(window, x.shape[2:])))
        self._bound_columns(operation, x, math.prod(window.kernel), y)
        macs = math.prod(y.shape) * math.prod(weight.shape[1:])
        self._add(operation, self._flat(layers.Conv(window, groups), x), data, macs)

    def _qlinear_conv(self, operation: _Operation) -> None:
        x, weight = (self._input(operation, i, *_EIGHT_BITS) for i in (0, 3))
        self._only(operation, "channels_last", 0, 0)
        size = self._map(operation, x)
        groups = self._grouped(operation, x, weight)
        window = self._window(operation, size, weight.shape[2:])
        source = self._affine(operation, 1, 2, x.dtype)
        weights = self._affine(operation, 4, 5, weight.dtype, weight.shape, 0)
        target = self._affine(operation, 6, 7, x.dtype)
        values = self._constant(operation, 3, "weight", *_EIGHT_BITS).astype(np.int64)
        values = values - weights.zero_point.reshape(-1, *(1,) * (values.ndim - 1))
        bias = np.zeros(len(values), np.int64)
        if self._has(operation, 8):
            bias = self._constant(operation, 8, "bias", np.int32).astype(np.int64)
            if bias.shape != (len(values),):
                raise ModelFormatError(
                    f"{operation}: bias has shape {list(bias.shape)}, but must have [{len(values)}]"
                )
        values = values if values.ndim == 4 else values[:, :, None]
        convolution = Convolution(
            values.transpose(0, 2, 3, 1), bias, window, int(source.zero_point[0]), groups, magnitude=255
        )
        y = self._output(operation, (x.shape[0], len(values), *self._mapped(window, size)), x.dtype, target)
        self._bound_columns(operation, x, math.prod(window.kernel), y)
        operator = layers.QLinearConv(convolution, layers._factor(source, weights, target), target)
        self._add(operation, self._flat(operator, x), (0,), math.prod(y.shape) * values[0].size)

    def _product_shape(self, operation: _Operation, a: Tensor, b: Tensor) -> tuple[int, ...]:
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

    def _packed(self, b: Tensor) -> bool:
        """Whether onnxruntime packs a product's second operand before the run."""
        return b.name in self._constants and not self._node_by_node

    def _matmul(self, operation: _Operation) -> None:
        a, b = (self._input(operation, i, np.float32) for i in (0, 1))
        y = self._output(operation, self._product_shape(operation, a, b))
        packed = len(b.shape) == 2 and self._packed(b)
        self._add(operation, layers.MatMul(packed), (0, 1), math.prod(y.shape) * a.shape[-1])

    def _qlinear_matmul(self, operation: _Operation) -> None:
        a, b = (self._input(operation, i, *_EIGHT_BITS) for i in (0, 3))
        shape = self._product_shape(operation, a, b)
        source = self._affine(operation, 1, 2, a.dtype)
        weights = self._affine(operation, 4, 5, b.dtype, b.shape, len(b.shape) - 1)
        target = self._affine(operation, 6, 7, a.dtype)
        y = self._output(operation, shape, a.dtype, target)
        operator = layers.QLinearMatMul((source, weights), layers._factor(source, weights, target), target)
        self._add(operation, operator, (0, 3), math.prod(y.shape) * a.shape[-1])

    def _gemm_shape(self, operation: _Operation, a: Tensor, b: Tensor) -> tuple[int, int, int]:
        turned = [self._only(operation, name, 0, 0, 1) for name in ("transA", "transB")]
        if len(a.shape) != 2 or len(b.shape) != 2:
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, but must have 2 axes each"
            )
        rows, depth = a.shape[::-1] if turned[0] else a.shape
        inner, columns = b.shape[::-1] if turned[1] else b.shape
        if depth != inner:
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, whose inner axes {depth} and "
                f"{inner} must be equal"
            )
        return rows, depth, columns

    def _addend(self, operation: _Operation, c: tuple[int, ...], shape: tuple[int, int]) -> None:
        if len(c) > 2 or any(n not in (1, m) for n, m in zip(c[::-1], shape[::-1], strict=False)):
            raise ModelFormatError(f"{operation}: C has shape {list(c)}, but must broadcast to {list(shape)}")

    def _gemm(self, operation: _Operation) -> None:
        a, b = (self._input(operation, i, np.float32) for i in (0, 1))
        self._only(operation, "transA", 0, 0)
        for name in ("alpha", "beta"):
            self._only(operation, name, 1.0, 1.0)
        rows, depth, columns = self._gemm_shape(operation, a, b)
        data = (0, 1)
        if self._has(operation, 2):
            self._addend(operation, self._input(operation, 2, np.float32).shape, (rows, columns))
            data = (0, 1, 2)
        self._output(operation, (rows, columns))
        operator = layers.Gemm(bool(operation.attributes.get("transB", 0)), self._packed(b))
        self._add(operation, operator, data, rows * depth * columns)

    def _qgemm(self, operation: _Operation) -> None:
        a, b = (self._input(operation, i, *_EIGHT_BITS) for i in (0, 3))
        rows, depth, columns = self._gemm_shape(operation, a, b)
        turned = tuple(bool(operation.attributes.get(name, 0)) for name in ("transA", "transB"))
        source = self._affine(operation, 1, 2, a.dtype)
        weights = self._affine(operation, 4, 5, b.dtype, b.shape, 0 if turned[1] else 1)
        bias = None
        if self._has(operation, 6):
            bias = self._constant(operation, 6, "C", np.int32).astype(np.int64)
            self._addend(operation, bias.shape, (rows, columns))
        factor = np.float32(self._number(operation, "alpha", 1.0)) * source.scale * weights.scale
        target = None
        if self._has(operation, 7):
            target = self._affine(operation, 7, 8, a.dtype)
            factor = factor / target.scale
        self._output(operation, (rows, columns), np.float32 if target is None else a.dtype, target)
        operator = layers.QLinearMatMul((source, weights), factor, target, bias, turned)
        self._add(operation, operator, (0, 3), rows * depth * columns)

    # Element by element.

    def _broadcast(self, operation: _Operation, a: Tensor, b: Tensor) -> tuple[int, ...]:
        try:
            return np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, but must broadcast"
            ) from None

    def _binary(self, operation: _Operation) -> None:
        a, b = (self._input(operation, i, np.float32) for i in (0, 1))
        self._output(operation, self._broadcast(operation, a, b))
        functions = {"Add": np.add, "Div": np.divide, "Mul": np.multiply, "Sub": np.subtract}
        function = functions[operation.kind]
        self._add(operation, layers.Elementwise(function), (0, 1))

    def _qlinear_binary(self, operation: _Operation) -> None:
        a = self._input(operation, 0, *_EIGHT_BITS)
        b = self._input(operation, 3, a.dtype.type)
        sources = self._affine(operation, 1, 2, a.dtype), self._affine(operation, 4, 5, a.dtype)
        target = self._affine(operation, 6, 7, a.dtype)
        self._output(operation, self._broadcast(operation, a, b), a.dtype, target)
        kind = layers.QLinearAdd if operation.kind == "QLinearAdd" else layers.QLinearMul
        self._add(operation, kind(sources, target), (0, 3))

    def _unary(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        self._output(operation, x.shape)
        if operation.kind == "LeakyRelu":
            operator: Any = layers.LeakyRelu(self._number(operation, "alpha", 0.01))
        else:
            operator = layers.Unary(operation.kind)
        self._add(operation, operator)

    def _relu(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32, np.int8)
        self._copied(operation, x, x.shape)
        self._add(operation, layers.Clip(0, None))

    def _clip(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32, *_EIGHT_BITS)
        bounds = []
        for position, name in ((1, "min"), (2, "max")):
            if self._has(operation, position):
                bounds.append(self._single(operation, position, name, x.dtype.type).item())
            elif name in operation.attributes:
                bounds.append(self._number(operation, name, 0.0))
            else:
                bounds.append(None)
        # A bound need not be one of the values that a quantiser of float32 gives.
        if x.dtype == np.float32:
            self._output(operation, x.shape)
        else:
            self._copied(operation, x, x.shape)
        self._add(operation, layers.Clip(*bounds))

    def _table(self, operation: _Operation) -> None:
        x = self._input(operation, 0, *_EIGHT_BITS)
        source, target = self._affine(operation, 1, 2, x.dtype), self._affine(operation, 3, 4, x.dtype)
        if operation.kind == "QLinearSigmoid":
            function: Callable[[np.ndarray], np.ndarray] = scheme.logistic
        else:
            function = layers.LeakyRelu(self._number(operation, "alpha", 0.01))
        self._output(operation, x.shape, x.dtype, target)
        self._add(operation, layers.Table(scheme.table(function, source, target)))

    def _softmax(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        rank = len(x.shape)
        axis = self._axis(operation, operation.attributes.get("axis", -1 if self._opset >= 13 else 1), rank)
        # Before opset 13 all axes from this one on are one.
        axes = (axis,) if self._opset >= 13 else tuple(range(axis, rank))
        self._output(operation, x.shape)
        self._add(operation, layers.Softmax(axes))

    def _qlinear_softmax(self, operation: _Operation) -> None:
        x = self._input(operation, 0, *_EIGHT_BITS)
        source, target = self._affine(operation, 1, 2, x.dtype), self._affine(operation, 3, 4, x.dtype)
        opset = operation.attributes.get("opset")
        if not isinstance(opset, int):
            raise ModelFormatError(f"{operation}: attribute opset is {opset}, but must be an integer")
        rank = len(x.shape)
        axis = self._axis(operation, operation.attributes.get("axis", -1 if opset >= 13 else 1), rank)
        if opset < 13 and axis != rank - 1:
            raise UnsupportedOperatorError(
                f"{operation}: attribute axis is {axis} at opset {opset}, but must be the last, {rank - 1}"
            )
        self._output(operation, x.shape, x.dtype, target)
        exponentials = scheme.softmax_table(source.scale[0], x.shape[axis])
        self._add(operation, layers.QLinearSoftmax(axis, exponentials, target))

    def _prelu(self, operation: _Operation) -> None:
        x, slope = (self._input(operation, i, np.float32) for i in (0, 1))
        if self._broadcast(operation, x, slope) != x.shape:
            raise ModelFormatError(
                f"{operation}: slope has shape {list(slope.shape)}, but must broadcast to {list(x.shape)}"
            )
        self._output(operation, x.shape)
        self._add(operation, layers.PRelu(), (0, 1))

    def _batch_normalization(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        if len(x.shape) < 2:
            raise ModelFormatError(
                f"{operation}: input has shape {list(x.shape)}, but must have 2 axes or more"
            )
        self._only(operation, "training_mode", 0, 0)
        self._only(operation, "spatial", 1, 1)
        for position, what in enumerate(("scale", "B", "mean", "variance"), 1):
            values = self._input(operation, position, np.float32)
            if values.shape != x.shape[1:2]:
                raise ModelFormatError(
                    f"{operation}: {what} has shape {list(values.shape)}, but must have [{x.shape[1]}]"
                )
        self._output(operation, x.shape)
        epsilon = self._number(operation, "epsilon", 1e-5)
        self._add(operation, layers.BatchNormalization(epsilon), (0, 1, 2, 3, 4))

    def _reduce(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        rank = len(x.shape)
        given = self._given(operation, 1, "axes")
        if not given and self._only(operation, "noop_with_empty_axes", 0, 0, 1):
            given, axes = [], ()
        else:
            axes = tuple(sorted(self._axes(operation, given, rank))) if given else tuple(range(rank))
        keep = self._only(operation, "keepdims", 1, 0, 1)
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape) if keep or axis not in axes)
        self._output(operation, shape)
        self._add(operation, layers.Reduce(operation.kind, axes, shape))

    def _cast(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        name, dtype, bits = self._type(operation.attributes.get("to", 0), f"{operation}: attribute to")
        narrowing = x.dtype.kind == "f" and dtype.kind != "f"
        if bits or (x.quantisation and getattr(x.quantisation, "bits", None) == 4 and x.dtype.kind != "f"):
            raise UnsupportedOperatorError(
                f"{operation}: from {x.dtype} to {name}, but must be of 8 bits or more"
            )
        if narrowing:
            raise UnsupportedOperatorError(
                f"{operation}: from float32 to {name}, but must be from integers or to float32"
            )
        self._output(operation, x.shape, dtype, x.quantisation if x.dtype == dtype else None)
        self._add(operation, layers.Cast(dtype))

    # QONNX.

    def _quantiser(self, operation: _Operation, quantiser: Any, x: Tensor, *broadcast: np.ndarray) -> None:
        """Adds the node of a `golden.schemes.qonnx` object, whose parameters broadcast to x's shape."""
        for values in broadcast:
            try:
                fits = np.broadcast_shapes(values.shape, x.shape) == x.shape
            except ValueError:
                fits = False
            if not fits:
                raise UnsupportedOperatorError(
                    f"{operation}: a scale or zero point has shape {list(values.shape)}, but must broadcast to "
                    f"{list(x.shape)}"
                )
        self._output(operation, x.shape, np.float32, quantiser)
        self._add(operation, quantiser)

    def _bit_width(self, operation: _Operation, position: int, what: str) -> float:
        return float(
            self._single(operation, position, what, np.float32, np.int32, np.int64, np.uint8, np.int8)
        )

    def _flag(self, operation: _Operation, name: str, default: int | None = None) -> bool:
        """An attribute of 0 or 1, which must be there if it has no default."""
        return bool(self._only(operation, name, default, 0, 1))

    def _rounding(self, operation: _Operation, default: str) -> str:
        return str(operation.attributes.get("rounding_mode", default))

    def _quant(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        scale = self._constant(operation, 1, "scale", np.float32)
        zero_point = self._constant(operation, 2, "zero point", np.float32)
        quantiser = qonnx_scheme.Quant(
            scale,
            zero_point,
            self._bit_width(operation, 3, "bit width"),
            self._flag(operation, "signed"),
            self._flag(operation, "narrow"),
            self._rounding(operation, "ROUND"),
        )
        self._quantiser(operation, quantiser, x, scale, zero_point)

    def _bipolar_quant(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        scale = self._constant(operation, 1, "scale", np.float32)
        self._quantiser(operation, qonnx_scheme.BipolarQuant(scale), x, scale)

    def _trunc(self, operation: _Operation) -> None:
        """Version 2, of six inputs, from version 2 of the domain on."""
        x = self._input(operation, 0, np.float32)
        scale = self._constant(operation, 1, "scale", np.float32)
        zero_point = self._constant(operation, 2, "zero point", np.float32)
        input_bits = self._bit_width(operation, 3, "input bit width")
        mode = self._rounding(operation, "FLOOR")
        if self._opsets.get(operation.domain, 1) < 2:
            bits = self._bit_width(operation, 4, "output bit width")
            quantiser = qonnx_scheme.Trunc(scale, zero_point, input_bits, bits, mode=mode)
            self._quantiser(operation, quantiser, x, scale, zero_point)
            return
        output_scale = self._constant(operation, 4, "output scale", np.float32)
        quantiser = qonnx_scheme.Trunc(
            scale,
            zero_point,
            input_bits,
            self._bit_width(operation, 5, "output bit width"),
            output_scale,
            self._flag(operation, "signed", 1),
            self._flag(operation, "narrow", 0),
            mode,
        )
        self._quantiser(operation, quantiser, x, scale, zero_point, output_scale)

    def _multi_threshold(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        rank = len(x.shape)
        # A missing layout follows from the rank; what is none of these has its channels in axis 1.
        guess = {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
        layout = operation.attributes.get("data_layout") or guess
        axis = layout.index("C") if "C" in layout else 1
        thresholds = self._constant(operation, 1, "thresholds", np.float32)
        if axis >= rank or rank < 2:
            raise ModelFormatError(
                f"{operation}: attribute data_layout is {layout}, but the input has shape {list(x.shape)}"
            )
        quantiser = qonnx_scheme.MultiThreshold(
            thresholds,
            self._number(operation, "out_scale", 1.0),
            self._number(operation, "out_bias", 0.0),
            axis,
        )
        if len(thresholds) not in (1, x.shape[axis]):
            raise ModelFormatError(
                f"{operation}: thresholds have shape {list(thresholds.shape)}, but must be for 1 or {x.shape[axis]} "
                f"channels"
            )
        self._quantiser(operation, quantiser, x)

    def _float_quant(self, operation: _Operation) -> None:
        raise UnsupportedOperatorError(
            f"{operation}: operator FloatQuant rounds by a float32 logarithm, which is not the same on every machine; "
            f"integer quantisers are supported: BipolarQuant, IntQuant, Quant, Trunc"
        )

    # Pooling.

    def _pooled(self, operation: _Operation, x: Tensor) -> tuple[Window, tuple[int, ...]]:
        size = self._map(operation, x)
        self._only(operation, "ceil_mode", 0, 0)
        self._only(operation, "storage_order", 0, 0)
        window = self._window(operation, size, None)
        if math.prod(window.kernel) > MAX_TAPS:
            raise ModelFormatError(
                f"{operation}: attribute kernel_shape is {list(window.kernel)}, but must hold at most {MAX_TAPS} places"
            )
        for axis in (0, 1):
            if max(window.padding[axis], window.padding[axis + 2]) >= window.kernel[axis]:
                raise ModelFormatError(
                    f"{operation}: attribute pads is {list(window.padding)}, but must be below the kernel "
                    f"{list(window.kernel)}"
                )
        return window, (*x.shape[:2], *self._mapped(window, size))

    def _blocked(self, x: Tensor) -> bool:
        """Whether pooling takes vectors of channels.

        In a session of its own, which optimises, a node of pooling is moved to the layout NCHWc if the channels fill
        blocks: of 16 with AVX512, which is assumed here, of 8 without it. Source: core/optimizer/nchwc_transformer.cc.
        """
        return self._node_by_node and len(x.shape) == 4 and x.shape[1] % 16 == 0

    def _pool_order(self, x: Tensor, window: Window) -> str:
        """How MLAS takes a window: see `golden.layers.onnx.MaxPool`."""
        if self._blocked(x):
            return "rows"
        if window.dilation != (1, 1):
            return "scalars"
        size = x.shape[2:] if len(x.shape) == 4 else (1, *x.shape[2:])
        if window.kernel == size and window.stride == (1, 1) and not any(window.padding):
            return "map"
        # The vector kernel's limits: mlas/lib/pooling.cpp, `MlasPool`; its buffer holds 2048 - 64 columns.
        width = x.shape[-1] + window.padding[1] + window.padding[3]
        vectors = window.stride[1] <= 2 and max(window.kernel) <= 32 and width <= 1984
        return "columns" if len(x.shape) == 4 and vectors else "scalars"

    def _max_pool(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32, *_EIGHT_BITS)
        window, shape = self._pooled(operation, x)
        self._copied(operation, x, shape)
        self._add(operation, self._flat(layers.MaxPool(window, self._pool_order(x, window)), x))

    def _average_pool(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        window, shape = self._pooled(operation, x)
        self._only(operation, "dilations", [1] * len(x.shape[2:]), [1] * len(x.shape[2:]))
        include = bool(self._only(operation, "count_include_pad", 0, 0, 1))
        self._output(operation, shape)
        order = self._pool_order(x, window) if self._opset < 19 else "scalars"
        if order == "map":
            operator: Any = layers.GlobalAveragePool()
        else:
            operator = self._flat(layers.AveragePool(window, include, order == "columns"), x)
        self._add(operation, operator)

    def _qlinear_average_pool(self, operation: _Operation) -> None:
        x = self._input(operation, 0, *_EIGHT_BITS)
        self._only(operation, "channels_last", 0, 0)
        window, shape = self._pooled(operation, x)
        include = bool(self._only(operation, "count_include_pad", 0, 0, 1))
        source, target = self._affine(operation, 1, 2, x.dtype), self._affine(operation, 3, 4, x.dtype)
        self._output(operation, shape, x.dtype, target)
        self._add(operation, self._flat(layers.QLinearAveragePool(window, include, source, target), x))

    def _global_average_pool(self, operation: _Operation) -> None:
        x = self._input(operation, 0, np.float32)
        self._output(operation, (*x.shape[:2], *(1 for _ in self._map(operation, x))))
        operator: Any = layers.GlobalAveragePool()
        if self._blocked(x):
            operator = layers.AveragePool(Window(x.shape[2:]), include_pad=False, by_columns=False)
        self._add(operation, operator)

    def _qlinear_global_average_pool(self, operation: _Operation) -> None:
        x = self._input(operation, 0, *_EIGHT_BITS)
        self._only(operation, "channels_last", 0, 0)
        source, target = self._affine(operation, 1, 2, x.dtype), self._affine(operation, 3, 4, x.dtype)
        self._output(operation, (*x.shape[:2], *(1 for _ in self._map(operation, x))), x.dtype, target)
        self._add(operation, layers.QLinearGlobalAveragePool(source, target))

    # Shapes.

    def _node_constant(self, operation: _Operation) -> None:
        if len(operation.outputs) != 1:
            raise ModelFormatError(f"{operation} has {len(operation.outputs)} outputs, but must have 1")
        name, where = operation.outputs[0], str(operation)
        values = operation.attributes
        if "value" in values:
            self._keep(name, *self._array(values["value"], where))
            return
        for key, dtype in (
            ("float", np.float32),
            ("floats", np.float32),
            ("int", np.int64),
            ("ints", np.int64),
        ):
            if f"value_{key}" in values:
                self._keep(name, np.array(values[f"value_{key}"], dtype))
                return
        raise UnsupportedOperatorError(f"{operation} must hold a tensor or numbers")

    def _identity(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        if x.name in self._constants:
            # Names of zero points and weights may stand behind an Identity.
            if len(operation.outputs) != 1:
                raise ModelFormatError(f"{operation} has {len(operation.outputs)} outputs, but must have 1")
            bits = x.quantisation.bits if x.quantisation else None
            self._keep(operation.outputs[0], self._constants[x.name], bits)
            return
        self._output(operation, x.shape, x.dtype, x.quantisation)
        self._add(operation, shaping.Reshape(x.shape))

    def _concatenated(self, operation: _Operation, tensors: list[Tensor]) -> tuple[int, tuple[int, ...]]:
        if "axis" not in operation.attributes:
            raise ModelFormatError(f"{operation}: attribute axis is missing")
        first = tensors[0]
        axis = self._axis(operation, operation.attributes["axis"], max(1, len(first.shape)))
        for tensor in tensors:
            rest = [t.shape[:axis] + t.shape[axis + 1 :] for t in (tensor, first)]
            if rest[0] != rest[1] or len(tensor.shape) != len(first.shape) or tensor.dtype != first.dtype:
                raise ModelFormatError(
                    f"{operation}: inputs are {first.dtype} {list(first.shape)} and {tensor.dtype} "
                    f"{list(tensor.shape)}, but must differ in axis {axis} alone"
                )
        total = sum(tensor.shape[axis] for tensor in tensors)
        return axis, (*first.shape[:axis], total, *first.shape[axis + 1 :])

    def _concat(self, operation: _Operation) -> None:
        tensors = [self._input(operation, i) for i in range(len(operation.inputs))]
        if not tensors:
            raise ModelFormatError(f"{operation} has 0 inputs, but must have 1 or more")
        axis, shape = self._concatenated(operation, tensors)
        self._output(operation, shape, tensors[0].dtype)
        self._add(operation, shaping.Concatenate(axis), tuple(range(len(tensors))))

    def _qlinear_concat(self, operation: _Operation) -> None:
        positions = tuple(range(2, len(operation.inputs), 3))
        if not positions or len(operation.inputs) % 3 != 2:
            raise ModelFormatError(
                f"{operation} has {len(operation.inputs)} inputs, but must have 2 and three for each tensor"
            )
        tensors = [self._input(operation, i, *_EIGHT_BITS) for i in positions]
        axis, shape = self._concatenated(operation, tensors)
        target = self._affine(operation, 0, 1, tensors[0].dtype)
        tables = []
        for position, tensor in zip(positions, tensors, strict=True):
            source = self._affine(operation, position + 1, position + 2, tensor.dtype)
            tables.append(scheme.table(lambda x: x, source, target))
        self._output(operation, shape, target.dtype, target)
        self._add(operation, layers.QLinearConcat(axis, tuple(tables)), positions)

    def _flatten(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        rank = len(x.shape)
        axis = operation.attributes.get("axis", 1)
        if not isinstance(axis, int) or not -rank <= axis <= rank:
            raise ModelFormatError(f"{operation}: attribute axis is {axis}, but must be {-rank} to {rank}")
        axis = axis + rank if axis < 0 else axis
        shape = (math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
        self._copied(operation, x, shape)
        self._add(operation, shaping.Reshape(shape))

    def _reshape(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        self._only(operation, "allowzero", 0, 0)
        wanted = self._given(operation, 1, "shape")
        if wanted is None:
            raise ModelFormatError(f"{operation}: shape is missing")
        size = math.prod(x.shape)
        shape = [x.shape[i] if n == 0 and i < len(x.shape) else n for i, n in enumerate(wanted)]
        known = math.prod(n for n in shape if n != -1)
        derived = [size // known if n == -1 and known else n for n in shape]
        if shape.count(-1) > 1 or min(derived, default=1) < 1 or math.prod(derived) != size:
            raise ModelFormatError(
                f"{operation}: shape is {wanted}, but must hold the {size} values of {list(x.shape)}"
            )
        self._copied(operation, x, tuple(derived))
        self._add(operation, shaping.Reshape(tuple(derived)))

    def _transpose(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        rank = len(x.shape)
        permutation = operation.attributes.get("perm", list(range(rank))[::-1])
        if not isinstance(permutation, list) or sorted(permutation) != list(range(rank)):
            raise ModelFormatError(
                f"{operation}: attribute perm is {permutation}, but must hold each axis of {list(x.shape)} once"
            )
        self._copied(operation, x, tuple(x.shape[axis] for axis in permutation))
        self._add(operation, shaping.Transpose(tuple(permutation)))

    def _squeeze(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        given = self._given(operation, 1, "axes")
        rank = len(x.shape)
        axes = [i for i, n in enumerate(x.shape) if n == 1] if given is None else given
        numbers = self._axes(operation, axes, rank)
        for axis in numbers:
            if x.shape[axis] != 1:
                raise ModelFormatError(
                    f"{operation}: axis {axis} has length {x.shape[axis]}, but must have 1"
                )
        shape = tuple(n for axis, n in enumerate(x.shape) if axis not in numbers)
        self._copied(operation, x, shape)
        self._add(operation, shaping.Reshape(shape))

    def _unsqueeze(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        given = self._given(operation, 1, "axes")
        if given is None or len(given) > MAX_RANK:
            raise ModelFormatError(f"{operation}: axes are {given}, but must be 1 to {MAX_RANK} numbers")
        rank = len(x.shape) + len(given)
        numbers = self._axes(operation, given, rank)
        rest = iter(x.shape)
        shape = tuple(1 if axis in numbers else next(rest) for axis in range(rank))
        self._copied(operation, x, shape)
        self._add(operation, shaping.Reshape(shape))

    def _shape(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        rank = len(x.shape)
        ends = []
        for name, default in (("start", 0), ("end", rank)):
            end = operation.attributes.get(name, default)
            if not isinstance(end, int):
                raise ModelFormatError(f"{operation}: attribute {name} is {end}, but must be an integer")
            ends.append(end)
        lengths = x.shape[slice(*ends)]
        self._output(operation, (len(lengths),), np.int64)
        self._add(operation, layers.Shape(lengths))
        # A shape is fixed by the file, whatever the values are.
        self._fixed.add(operation.outputs[0])
        self._computed[operation.outputs[0]] = np.array(lengths, np.int64)

    def _gather(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        axis = self._axis(operation, operation.attributes.get("axis", 0), len(x.shape))
        places = self._constant(operation, 1, "indices", np.int32, np.int64)
        length = x.shape[axis]
        if places.size == 0 or places.min() < -length or places.max() >= length:
            raise ModelFormatError(
                f"{operation}: indices span {places.min(initial=0)} to {places.max(initial=0)}, but must be {-length} "
                f"to {length - 1}"
            )
        shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
        self._copied(operation, x, shape)
        self._add(operation, shaping.Take(((axis, places.ravel() % length),), shape))

    def _resize(self, operation: _Operation) -> None:
        """Nearest neighbour alone: each output place copies one input place, found in float32 as onnxruntime does."""
        x = self._input(operation, 0)
        self._only(operation, "mode", "nearest", "nearest")
        self._only(operation, "keep_aspect_ratio_policy", "stretch", "stretch")
        self._only(operation, "antialias", 0, 0)
        placing = self._only(
            operation, "coordinate_transformation_mode", "half_pixel", "half_pixel", "asymmetric"
        )
        names = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        nearest = self._only(operation, "nearest_mode", names[0], *names)
        if "axes" in operation.attributes or self._opset < 11:
            raise UnsupportedOperatorError(
                f"{operation}: opset {self._opset} or attribute axes, but must be opset 11 or newer and all axes"
            )
        rank = len(x.shape)
        if self._has(operation, 3):
            sizes = self._integers(operation, 3, "sizes")
            scales = [np.float32(n) / np.float32(m) for n, m in zip(sizes, x.shape, strict=False)]
        else:
            scales = list(self._constant(operation, 2, "scales", np.float32).ravel())
            if not all(0 < scale <= MAX_ELEMENTS for scale in scales):
                raise ModelFormatError(
                    f"{operation}: scales are {[float(s) for s in scales]}, but must be above 0 and at most "
                    f"{MAX_ELEMENTS}"
                )
            sizes = [int(np.float32(m) * scale) for m, scale in zip(x.shape, scales, strict=False)]
        if len(sizes) != rank or len(scales) != rank:
            raise ModelFormatError(f"{operation}: {len(scales)} scales or sizes, but must be {rank}")
        y = self._copied(operation, x, tuple(sizes))
        indices = []
        for axis, (length, scale) in enumerate(zip(y.shape, scales, strict=True)):
            if length == x.shape[axis] and scale == 1:
                continue
            shift = np.float32(0.5 if placing == "half_pixel" else 0)
            places = (np.arange(length, dtype=np.float32) + shift) / scale - shift
            rounded = {
                "round_prefer_floor": lambda p: np.ceil(p - np.float32(0.5)),
                "round_prefer_ceil": lambda p: np.floor(p + np.float32(0.5)),
                "floor": np.floor,
                "ceil": np.ceil,
            }[nearest](places)
            indices.append((axis, np.clip(rounded, 0, x.shape[axis] - 1).astype(np.int64)))
        self._add(operation, shaping.Take(tuple(indices), y.shape))

    def _pad(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        self._only(operation, "mode", "constant", "constant")
        pads = self._given(operation, 1, "pads")
        rank = len(x.shape)
        axes = range(rank)
        if self._has(operation, 3):
            axes = self._axes(operation, self._integers(operation, 3, "axes"), rank)
        if pads is None or len(pads) != 2 * len(axes) or not all(0 <= n <= MAX_ELEMENTS for n in pads):
            raise ModelFormatError(
                f"{operation}: pads are {pads}, but must be {2 * len(axes)} numbers of 0 to {MAX_ELEMENTS}"
            )
        pairs = [(0, 0)] * rank
        for i, axis in enumerate(axes):
            pairs[axis] = (pads[i], pads[i + len(axes)])
        fill = 0
        if self._has(operation, 2):
            fill = self._single(operation, 2, "constant value", x.dtype.type).item()
        elif "value" in operation.attributes:
            fill = self._number(operation, "value", 0.0)
        shape = tuple(n + sum(p) for n, p in zip(x.shape, pairs, strict=True))
        if x.dtype == np.float32 and fill:
            self._output(operation, shape)
        else:
            self._copied(operation, x, shape)
        self._add(operation, shaping.Pad(tuple(pairs), fill))

    def _slice(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        rank = len(x.shape)
        starts, ends = self._given(operation, 1, "starts"), self._given(operation, 2, "ends")
        axes = self._given(operation, 3, "axes")
        if starts is None or ends is None:
            raise ModelFormatError(f"{operation}: starts or ends are missing")
        axes = list(range(len(starts))) if axes is None else axes
        steps = self._integers(operation, 4, "steps") if self._has(operation, 4) else [1] * len(starts)
        if len({len(starts), len(ends), len(axes), len(steps)}) != 1 or 0 in steps:
            raise ModelFormatError(
                f"{operation}: starts, ends, axes, steps are {starts}, {ends}, {axes}, {steps}, but must be as many "
                f"each, no step 0"
            )
        begins, strides, sizes = [0] * rank, [1] * rank, list(x.shape)
        for axis, start, end, step in zip(
            self._axes(operation, axes, rank), starts, ends, steps, strict=True
        ):
            length = x.shape[axis]
            # ONNX clamps to -1 (before the first) where a negative step runs down; Python's slice does so, too.
            begin, stop, stride = slice(start, end, step).indices(length)
            begins[axis], strides[axis] = begin, stride
            sizes[axis] = len(range(begin, stop, stride))
        self._copied(operation, x, tuple(sizes))
        self._add(operation, shaping.Slice(tuple(begins), tuple(strides), tuple(sizes), tuple(sizes)))

    def _split(self, operation: _Operation) -> None:
        x = self._input(operation, 0)
        axis = self._axis(operation, operation.attributes.get("axis", 0), len(x.shape))
        length, parts = x.shape[axis], len(operation.outputs)
        sizes = self._given(operation, 1, "split")
        if sizes is None:
            number = operation.attributes.get("num_outputs", parts)
            part = -(-length // max(1, parts))
            sizes = [part] * (parts - 1) + [length - part * (parts - 1)]
            uneven = "num_outputs" not in operation.attributes and length % max(1, parts)
            if number != parts or uneven:
                raise ModelFormatError(
                    f"{operation}: axis {axis} of {length} values does not divide into {parts} outputs"
                )
        if len(sizes) != parts or min(sizes, default=0) < 1 or sum(sizes) != length:
            raise ModelFormatError(
                f"{operation}: {parts} outputs of sizes {sizes} do not divide axis {axis} of {length} values"
            )
        for position, size in enumerate(sizes):
            self._copied(operation, x, (*x.shape[:axis], size, *x.shape[axis + 1 :]), position)
        self._add(operation, shaping.Split(axis, tuple(sizes)))


@dataclass(frozen=True)
class _OneAxis:
    """An operator on maps `[B, C, H, W]` for tensors `[B, C, W]`: maps of one row, weights likewise."""

    operator: Callable[..., np.ndarray]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        return self.operator(*(x[:, :, :, None] if x.ndim == 4 else x for x in arrays))[:, :, :, 0]


# Domain and operator -> the method that builds it. What is not here is refused by name.
OPERATORS: dict[tuple[str, str], Callable[[_Builder, _Operation], None]] = {
    ("", "Abs"): _Builder._unary,
    ("", "Add"): _Builder._binary,
    ("", "AveragePool"): _Builder._average_pool,
    ("", "BatchNormalization"): _Builder._batch_normalization,
    ("", "Cast"): _Builder._cast,
    ("", "Ceil"): _Builder._unary,
    ("", "Clip"): _Builder._clip,
    ("", "Concat"): _Builder._concat,
    ("", "Constant"): _Builder._node_constant,
    ("", "Conv"): _Builder._conv,
    ("", "DequantizeLinear"): _Builder._dequantize,
    ("", "Div"): _Builder._binary,
    ("", "Flatten"): _Builder._flatten,
    ("", "Floor"): _Builder._unary,
    ("", "Gather"): _Builder._gather,
    ("", "Gemm"): _Builder._gemm,
    ("", "GlobalAveragePool"): _Builder._global_average_pool,
    ("", "Identity"): _Builder._identity,
    ("", "LeakyRelu"): _Builder._unary,
    ("", "MatMul"): _Builder._matmul,
    ("", "MaxPool"): _Builder._max_pool,
    ("", "Mul"): _Builder._binary,
    ("", "Neg"): _Builder._unary,
    ("", "PRelu"): _Builder._prelu,
    ("", "Pad"): _Builder._pad,
    ("", "QLinearConv"): _Builder._qlinear_conv,
    ("", "QLinearMatMul"): _Builder._qlinear_matmul,
    ("", "QuantizeLinear"): _Builder._quantize,
    ("", "Reciprocal"): _Builder._unary,
    ("", "ReduceMax"): _Builder._reduce,
    ("", "ReduceMean"): _Builder._reduce,
    ("", "ReduceSum"): _Builder._reduce,
    ("", "Relu"): _Builder._relu,
    ("", "Reshape"): _Builder._reshape,
    ("", "Resize"): _Builder._resize,
    ("", "Round"): _Builder._unary,
    ("", "Shape"): _Builder._shape,
    ("", "Sigmoid"): _Builder._unary,
    ("", "Slice"): _Builder._slice,
    ("", "Softmax"): _Builder._softmax,
    ("", "Split"): _Builder._split,
    ("", "Sqrt"): _Builder._unary,
    ("", "Squeeze"): _Builder._squeeze,
    ("", "Sub"): _Builder._binary,
    ("", "Tanh"): _Builder._unary,
    ("", "Transpose"): _Builder._transpose,
    ("", "Unsqueeze"): _Builder._unsqueeze,
    (MICROSOFT, "DequantizeLinear"): _Builder._dequantize,
    (MICROSOFT, "QGemm"): _Builder._qgemm,
    (MICROSOFT, "QLinearAdd"): _Builder._qlinear_binary,
    (MICROSOFT, "QLinearAveragePool"): _Builder._qlinear_average_pool,
    (MICROSOFT, "QLinearConcat"): _Builder._qlinear_concat,
    (MICROSOFT, "QLinearConv"): _Builder._qlinear_conv,
    (MICROSOFT, "QLinearGlobalAveragePool"): _Builder._qlinear_global_average_pool,
    (MICROSOFT, "QLinearLeakyRelu"): _Builder._table,
    (MICROSOFT, "QLinearMul"): _Builder._qlinear_binary,
    (MICROSOFT, "QLinearSigmoid"): _Builder._table,
    (MICROSOFT, "QLinearSoftmax"): _Builder._qlinear_softmax,
    (MICROSOFT, "QuantizeLinear"): _Builder._quantize,
}
for _domain in qonnx_scheme.DOMAINS:
    OPERATORS[_domain, "BipolarQuant"] = _Builder._bipolar_quant
    OPERATORS[_domain, "FloatQuant"] = _Builder._float_quant
    OPERATORS[_domain, "IntQuant"] = OPERATORS[_domain, "Quant"] = _Builder._quant
    OPERATORS[_domain, "MultiThreshold"] = _Builder._multi_threshold
    OPERATORS[_domain, "Trunc"] = _Builder._trunc
