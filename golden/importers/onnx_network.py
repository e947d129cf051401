# SPDX-License-Identifier: Apache-2.0
"""Reads ONNX files (QONNX, QDQ, QOperator) as integer networks: what matrix-vector units run.

Between two quantisers an ONNX graph computes with real numbers. Here they are exact rationals; a layer's scales,
factors and biases are multiplied out as fractions, and `golden.importers.lowering` makes layers of them: with scales
"exact" it refuses a file whose numbers are no integers over a power of two, with "nearest" it takes the nearest that
the hardware holds. `golden.importers.onnx` reads any other file as a graph of the framework's own arithmetic.

One layer is

    Conv | Gemm | MatMul  [Mul, Add constant]  [BatchNormalization]  [Add tensor]  [Relu, Clip]  [MaxPool]  quantiser

where constants may come in any number and order before the ReLU, and ReLU and pooling may change places. Poolings,
additions, ReLUs and quantisers that stand alone, average poolings, convolutions in groups and with dilations, and
concatenations of channels become layers of their own. Flatten, Reshape, Transpose and their like move no data: an
element keeps its place in the map `[H, W, C]`, and the weights of the dense layer behind are put in that order.

Quantisers are Quant and BipolarQuant, QuantizeLinear with DequantizeLinear, and the outputs of QLinearConv and its
like. Sums that the file leaves in float, as an average without a quantiser behind, are kept in 16 bits.

Two functions read fewer files than a network could be made of: without `ends` (as `golden.load` reads), the file's
output must be what a quantiser makes, and nothing but constants stand between two quantisers. With it, softmax and
its like at the end are left to the host, and an output in float is a tensor of 16 bits.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from golden.errors import (
    ConfigurationError,
    GoldenError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from golden.formats import MAX_BITS, IntFormat
from golden.importers import model_file
from golden.importers.lowering import (
    MAX_ELEMENTS,
    SCALES,
    Lowering,
    Open,
    Quantiser,
    Tensor,
    Weight,
    checked,
    natural,
    smallest_format,
)
from golden.network import Network, Pool
from golden.operators import conv2d_output_size
from golden.schemes.qonnx import DOMAINS, ROUNDINGS, Quant, parameter

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["from_bytes", "from_model", "load"]

MICROSOFT = "com.microsoft"


def load(path: str | PathLike[str], scales: str = "exact", ends: bool = False) -> Network:
    """Read an .onnx file into an integer network.

    The network's input is the integers that the file's first quantiser makes, less its zero point, and every tensor
    has the name of the quantiser's (or MaxPool's) output that it equals; `Network.origins` says how, `Network.integers`
    converts. All are in NHWC order.

    Args:
        path: of the file.
        scales: "exact" or "nearest", see above.
        ends: whether the network may end before the file does, or at what the file does not quantise.

    Raises:
        GoldenError: the file cannot be read, or the package onnx is missing.
        ModelFormatError: not an ONNX file, cut off, or with values that are not exact in integers.
        UnsupportedOperatorError: an operator or attribute outside the supported pattern.
        DoesNotFitError: with scales "nearest", numbers that the hardware does not hold.
        ConfigurationError: other `scales`.
    """
    path = Path(path)
    return from_bytes(model_file.read(path), path.stem, scales, ends)


def from_bytes(content: bytes, name: str, scales: str = "exact", ends: bool = False) -> Network:
    """`load` for a file's content; `name` becomes the network's name and starts the messages of errors."""
    return from_model(model_file.parse_onnx(content, name), name, scales, ends)


def from_model(model: Any, name: str, scales: str = "exact", ends: bool = False) -> Network:
    """`from_bytes` for an `onnx.ModelProto`."""
    if scales not in SCALES:
        raise ConfigurationError(f"scales is {scales!r}, but must be one of {', '.join(SCALES)}")
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused where it is read
            return _Reader(model.graph, scales == "nearest", ends).network(name)
    except GoldenError as error:
        # A layer or network that cannot be is the file's fault here, not the caller's. And names in a damaged
        # file may hold line breaks, but a message is one line.
        kind = ModelFormatError if isinstance(error, ConfigurationError) else type(error)
        raise kind(" ".join(f"{name}: {error}".split())) from None


# What a name in the graph can stand for while it is read, beside tensors and open layers. None of them is changed
# after it is made, so that several nodes may read the same one.


@dataclass(frozen=True)
class _GraphInput:
    name: str
    size: tuple[int, int, int]  # (H, W, C)
    index: np.ndarray  # as of a `Tensor`


@dataclass(frozen=True)
class _Constant:
    values: np.ndarray
    format: IntFormat | None = None  # of integers that have been clipped to less than their type


@dataclass(frozen=True)
class _QuantisedConstant:
    integers: np.ndarray  # less the zero point
    format: IntFormat | None  # None: more than 16 bits, which no weight has
    scale: np.ndarray  # float64 that broadcasts against integers


@dataclass(frozen=True)
class _Padded:
    """A tensor to be padded with zeros by the convolution that reads it."""

    tensor: Tensor | Open
    padding: tuple[int, int, int, int]


_MICROSOFT = ("QGemm", "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool")
# What stays with the host at the end of a network, and what may stand around it there.
_HOST = ("ArgMax", "LogSoftmax", "Sigmoid", "Softmax", "TopK", "QLinearSigmoid", "QLinearSoftmax")
_AROUND_HOST = (
    *("Cast", "DequantizeLinear", "Flatten", "Identity", "IntQuant", "Quant", "QuantizeLinear"),
    *("Reshape", "Squeeze", "Transpose", "Unsqueeze"),
)


class _Reader:
    """Walks a graph once, in its (topological) order, and gives every name a value."""

    def __init__(self, graph: Any, nearest: bool, ends: bool) -> None:
        self._graph = graph
        self._values: dict[str, Any] = {}
        self._clipped: set[str] = set()  # outputs of Clip nodes that a quantiser has taken over
        self._lowering = Lowering(nearest, several=ends or nearest)
        self._ends = ends
        self._layered = (Tensor, Open) if ends or nearest else (Tensor,)
        self._operators = {
            "Add": self._add,
            "AveragePool": self._average_pool,
            "BatchNormalization": self._batch_norm,
            "BipolarQuant": self._bipolar,
            "Cast": self._cast,
            "Clip": self._clip,
            "Concat": self._concat,
            "Constant": self._constant,
            "Conv": self._conv,
            "DequantizeLinear": self._dequantize,
            "Div": self._mul,
            "Dropout": self._identity,
            "Flatten": self._flatten,
            "Gather": self._gather,
            "Gemm": self._gemm,
            "GlobalAveragePool": self._global_average,
            "GlobalMaxPool": self._global_max,
            "Identity": self._identity,
            "IntQuant": self._quant,
            "LeakyRelu": self._leaky,
            "MatMul": self._matmul,
            "MaxPool": self._max_pool,
            "Mul": self._mul,
            "PRelu": self._leaky,
            "Pad": self._pad,
            "QGemm": self._qgemm,
            "QLinearAdd": self._qlinear_add,
            "QLinearAveragePool": self._qlinear_average,
            "QLinearConcat": self._qlinear_concat,
            "QLinearConv": self._qlinear_conv,
            "QLinearGlobalAveragePool": self._qlinear_average,
            "QLinearMatMul": self._qlinear_matmul,
            "Quant": self._quant,
            "QuantizeLinear": self._quantize,
            "ReduceMean": self._reduce_mean,
            "Relu": self._relu,
            "Reshape": self._reshape,
            "Shape": self._shape,
            "Slice": self._slice,
            "Split": self._split,
            "Squeeze": self._squeeze,
            "Sub": self._add,
            "Transpose": self._transpose,
            "Trunc": self._trunc,
            "Unsqueeze": self._unsqueeze,
        }

    def network(self, name: str) -> Network:
        for tensor in self._graph.initializer:
            self._values[tensor.name] = _Constant(_array(tensor, f"initializer {tensor.name!r}"))
        inputs = [value for value in self._graph.input if value.name not in self._values]
        end, host = self._end()
        if len(inputs) != 1:
            raise ModelFormatError(
                f"the graph has {len(inputs)} inputs and {len(self._graph.output)} outputs, "
                f"but must have one of each"
            )
        nodes = self._needed(end)
        # A tensor is read once for each node that computes with it, however often it is dequantised.
        self._alias = {
            node.output[0]: node.input[0]
            for node in nodes
            if node.op_type in ("DequantizeLinear", "Identity", "Cast", "Dropout")
            and node.input
            and node.output
        }
        self._uses = Counter(
            self._root(name)
            for node in nodes
            if not node.output or node.output[0] not in self._alias
            for name in node.input
        )
        self._uses[self._root(end)] += 1
        self._readers: dict[str, list[Any]] = {}
        for node in nodes:
            for read in node.input[:1]:
                self._readers.setdefault(read, []).append(node)
        self._values[inputs[0].name] = self._graph_input(inputs[0])
        for node in nodes:
            self._check(node)
            try:
                self._values[node.output[0]] = self._operators[node.op_type](node, _attributes(node))
            except (ConfigurationError, ArithmeticError, LookupError, ValueError) as error:
                # Numbers of a damaged file that make no sense to numpy or to a layer.
                if isinstance(error, GoldenError) and not isinstance(error, ConfigurationError):
                    raise
                raise ModelFormatError(f"{_at(node)}: {error}") from None
        output = self._values.get(end)
        if isinstance(output, Open) and self._ends:
            output = self._lowering.ended(output, f"output {end!r}", end)
        made = {layer.output for layer in self._lowering.layers}
        if not isinstance(output, Tensor) or output.name not in made:
            raise ModelFormatError(f"graph output {end!r} must be what the last layer's quantiser makes")
        return self._lowering.network(name, output, host)

    def _end(self) -> tuple[str, list[str]]:
        """The tensor that the network ends with, and what comes after it."""
        makers = {name: node for node in self._graph.node for name in node.output}
        ends, host = set(), {}
        for output in self._graph.output:
            end = name = output.name
            behind: list[str] = []
            while name in makers and makers[name].input and self._ends:
                node = makers[name]
                if node.op_type not in (*_HOST, *_AROUND_HOST):
                    break
                behind.append(f"{node.op_type} {node.name or node.output[0]!r}")
                name = node.input[0]
                if node.op_type in _HOST:
                    end = name
                    host.update(dict.fromkeys(behind))
                    behind = []
            ends.add(end)
        if len(ends) != 1:
            raise ModelFormatError(
                f"the graph has {len(self._graph.input)} inputs and {len(ends)} outputs, but must have one of each"
            )
        return ends.pop(), list(host)[::-1]

    def _needed(self, end: str) -> list[Any]:
        wanted, nodes = {end}, []
        for node in reversed(self._graph.node):
            if not node.output or not wanted.isdisjoint(node.output):
                wanted.update(node.input)
                nodes.append(node)
        return nodes[::-1]

    def _check(self, node: Any) -> None:
        domains = ("", "ai.onnx")
        if node.op_type in ("Quant", "IntQuant", "BipolarQuant", "Trunc"):
            domains = DOMAINS
        elif node.op_type in _MICROSOFT:
            domains = (MICROSOFT,)
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            domains = (*domains, MICROSOFT)
        if node.op_type not in self._operators or node.domain not in domains:
            domain = f" of domain {node.domain}" if node.domain else ""
            raise UnsupportedOperatorError(
                f"{_at(node)}: operator {node.op_type}{domain} is not among those supported: "
                f"{', '.join(self._operators)}"
            )
        if not node.output:
            raise ModelFormatError(f"{_at(node)} has 0 outputs, but must have 1")

    def _root(self, name: str) -> str:
        while name in self._alias:
            name = self._alias[name]
        return name

    def _graph_input(self, value: Any) -> _GraphInput:
        dims = [d.dim_value if d.HasField("dim_value") else 0 for d in value.type.tensor_type.shape.dim]
        if len(dims) not in (2, 4) or min(dims[1:]) < 1:
            raise ModelFormatError(
                f"graph input {value.name!r} has shape {dims}, "
                f"but must be [N, C, H, W] or [N, C] with known C, H, W"
            )
        checked(f"graph input {value.name!r}", dims[1:])
        if len(dims) == 2:
            return _GraphInput(value.name, (1, 1, dims[1]), np.arange(dims[1]))
        if self._channels_last(value.name):
            return _GraphInput(value.name, tuple(dims[1:]), np.arange(math.prod(dims[1:])).reshape(dims[1:]))
        size = (dims[2], dims[3], dims[1])
        return _GraphInput(value.name, size, natural(size))

    def _channels_last(self, name: str) -> bool:
        """Whether all that read a map put its last axis first."""
        readers = self._readers.get(name, [])
        for node in readers:
            if node.op_type == "Transpose":
                if _attributes(node).get("perm") != [0, 3, 1, 2]:
                    return False
            elif node.op_type in ("QuantizeLinear", "DequantizeLinear", "Quant", "Identity", "Cast"):
                if not self._channels_last(node.output[0]):
                    return False
            else:
                return False
        return bool(readers)

    # Operators: (node, attributes) -> value of the node's first output. First what moves or names data.

    def _identity(self, node: Any, attributes: dict[str, Any]) -> Any:
        return self._read(node, 0)

    def _constant(self, node: Any, attributes: dict[str, Any]) -> _Constant:
        if "value" in attributes:
            return _Constant(_array(attributes["value"], _at(node)))
        for name in ("value_float", "value_int", "value_floats", "value_ints"):
            if name in attributes:
                return _Constant(np.asarray(attributes[name]))
        raise UnsupportedOperatorError(f"{_at(node)} must hold a tensor or numbers")

    def _cast(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0)
        onnx = model_file.import_onnx()
        types = {
            onnx.TensorProto.FLOAT: np.float32,
            onnx.TensorProto.DOUBLE: np.float64,
            onnx.TensorProto.INT64: np.int64,
        }
        if attributes.get("to") not in types or (
            attributes["to"] == onnx.TensorProto.INT64 and not isinstance(value, _Constant)
        ):
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute to is {attributes.get('to')}, but must be FLOAT or DOUBLE"
            )
        if not isinstance(value, _Constant):
            return value
        return _Constant(value.values.astype(np.float64).astype(types[attributes["to"]]))

    def _shape(self, node: Any, attributes: dict[str, Any]) -> _Constant:
        value = self._read(node, 0, _GraphInput, Tensor, Open)
        shape = np.array([1, *value.index.shape], np.int64)
        return _Constant(shape[attributes.get("start", 0) : attributes.get("end", len(shape))])

    def _gather(self, node: Any, attributes: dict[str, Any]) -> _Constant:
        values, at = (self._read(node, index, _Constant).values for index in (0, 1))
        axis = attributes.get("axis", 0)
        _small(node, values, at)
        try:
            return _Constant(np.take(values, at.astype(np.int64), axis=axis))
        except (IndexError, ValueError, TypeError) as error:
            raise ModelFormatError(f"{_at(node)}: {error}") from None

    def _slice(self, node: Any, attributes: dict[str, Any]) -> _Constant | Tensor:
        value = self._read(node, 0, _Constant, Tensor)
        rest = [self._read(node, index, _Constant).values for index in range(1, len(node.input))]
        if len(rest) < 2 or any(part.size != 1 for part in rest):
            raise UnsupportedOperatorError(f"{_at(node)} must take a part along one axis, of constant ends")
        start, stop, *more = (int(part.item()) for part in rest)
        part = slice(start, stop, more[1] if len(more) > 1 else 1)
        if isinstance(value, _Constant):
            if value.values.ndim != 1:
                raise UnsupportedOperatorError(f"{_at(node)} must take a part of a constant list")
            return _Constant(value.values[part])
        return self._part(node, value, (more or [0])[0], part, node.output[0])

    def _split(self, node: Any, attributes: dict[str, Any]) -> Tensor:
        value = self._read(node, 0, Tensor)
        sizes = attributes.get("split")
        if len(node.input) > 1:
            sizes = [int(size) for size in self._read(node, 1, _Constant).values.ravel().tolist()]
        count = len(node.output)
        if sizes is None:
            each = -(-value.size[2] // count)
            sizes = [each] * (count - 1) + [value.size[2] - each * (count - 1)]
        if len(sizes) != count or min(sizes) < 1 or sum(sizes) != value.size[2]:
            raise ModelFormatError(f"{_at(node)} makes {count} parts of {sizes} of {value.size[2]} channels")
        first = 0
        for size, name in zip(sizes, node.output, strict=True):
            part = slice(first, first + size)
            self._values[name] = self._part(node, value, attributes.get("axis", 0), part, name)
            first += size
        return self._values[node.output[0]]

    def _part(self, node: Any, value: Tensor, axis: int, part: slice, name: str) -> Tensor:
        value = self._map(node, value)
        if axis not in (1, -3):
            raise UnsupportedOperatorError(f"{_at(node)}: axis is {axis}, but must be that of channels, 1")
        channels = np.arange(value.size[2])[part]
        if not channels.size:
            raise ModelFormatError(f"{_at(node)} takes no channel of {value.size[2]}")
        return self._lowering.gathered(name, value, channels)

    def _flatten(self, node: Any, attributes: dict[str, Any]) -> Any:
        _allow(node, attributes, "axis", 1)
        return self._moved(node, lambda index: index.ravel())

    def _reshape(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, Tensor, Open, _GraphInput, _Constant, _QuantisedConstant)
        shape = [int(n) for n in self._read(node, 1, _Constant).values.ravel().tolist()]
        if 0 in shape:
            _allow(node, attributes, "allowzero", 0)
        if isinstance(value, (_Constant, _QuantisedConstant)):
            return self._reshaped(node, value, lambda array: array.reshape(_zeros_copied(shape, array.shape)))
        # A first value of 0 copies the batch size, 1 states it, and -1 is it where the rest is all of an image.
        features, rest = value.index.size, shape[1:]
        rest = [size if size else old for size, old in zip(rest, [*value.index.shape, *rest], strict=False)]
        known = math.prod(n for n in rest if n > 0)
        if (
            not shape
            or shape[0] not in (-1, 0, 1)
            or min(rest, default=-2) < -1
            or rest.count(-1) > (shape[0] != -1)
        ):
            fits = False
        elif -1 in rest:
            fits = features % known == 0
        else:
            fits = features == known
        if not fits:
            raise UnsupportedOperatorError(
                f"{_at(node)}: shape is {shape}, but must keep the batch first and have {features} elements "
                f"an image, as [batch, {features}]"
            )
        return self._moved(node, lambda index: index.reshape(rest))

    def _transpose(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, Tensor, Open, _GraphInput, _Constant, _QuantisedConstant)
        rank = value.index.ndim + 1 if hasattr(value, "index") else _integers_of(value).ndim
        perm = attributes.get("perm", list(range(rank))[::-1])
        if sorted(perm) != list(range(rank)):
            raise ModelFormatError(f"{_at(node)}: attribute perm is {perm}, but must order {rank} axes")
        if isinstance(value, (_Constant, _QuantisedConstant)):
            return self._reshaped(node, value, lambda array: array.transpose(perm))
        if perm[0] != 0:
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute perm is {perm}, but must keep the batch first"
            )
        return self._moved(node, lambda index: index.transpose([axis - 1 for axis in perm[1:]]))

    def _squeeze(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, Tensor, Open, _GraphInput, _Constant, _QuantisedConstant)
        axes = self._axes(node, attributes)
        if isinstance(value, (_Constant, _QuantisedConstant)):
            axes = None if axes is None else tuple(axes)
            return self._reshaped(node, value, lambda array: np.squeeze(array, axes))
        rank = value.index.ndim + 1
        axes = [axis for axis in range(1, rank) if value.index.shape[axis - 1] == 1] if axes is None else axes
        axes = [axis % rank for axis in axes]
        if 0 in axes:
            raise UnsupportedOperatorError(f"{_at(node)}: axes are {axes}, but the batch must stay")
        return self._moved(node, lambda index: np.squeeze(index, tuple(axis - 1 for axis in axes)))

    def _unsqueeze(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, Tensor, Open, _GraphInput, _Constant, _QuantisedConstant)
        axes = self._axes(node, attributes)
        if axes is None:
            raise ModelFormatError(f"{_at(node)} has no axes")
        if isinstance(value, (_Constant, _QuantisedConstant)):
            return self._reshaped(node, value, lambda array: np.expand_dims(array, tuple(axes)))
        rank = value.index.ndim + 1 + len(axes)
        axes = [axis % rank for axis in axes]
        if 0 in axes:
            raise UnsupportedOperatorError(f"{_at(node)}: axes are {axes}, but the batch must stay first")
        return self._moved(node, lambda index: np.expand_dims(index, tuple(axis - 1 for axis in axes)))

    def _concat(self, node: Any, attributes: dict[str, Any]) -> Any:
        values = [self._read(node, index, *self._layered, _Constant) for index in range(len(node.input))]
        return self._joined(node, attributes, values)

    def _joined(self, node: Any, attributes: dict[str, Any], values: list[Any]) -> Any:
        if all(isinstance(value, _Constant) for value in values):
            arrays = [value.values for value in values]
            _small(node, *arrays)
            return _Constant(np.concatenate(arrays, attributes.get("axis", 0)))
        sizes = {value.size[:2] for value in values if not isinstance(value, _Constant)}
        if len(sizes) != 1 or any(isinstance(value, _Constant) for value in values):
            raise UnsupportedOperatorError(f"{_at(node)} must join maps of one size")
        if attributes.get("axis") not in (1, -values[0].index.ndim):
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute axis is {attributes.get('axis')}, but must be that of channels, 1"
            )
        # Each part goes to its place by a layer of ones that gives all channels, and they are added.
        total, first, joined = sum(value.size[2] for value in values), 0, None
        for number, value in enumerate(values):
            value = self._map(node, value)
            channels = value.size[2]
            weight = np.zeros(checked("a weight that joins channels", (total, 1, 1, channels)), np.int64)
            weight[first : first + channels, 0, 0] = np.eye(channels, dtype=np.int64)
            first += channels
            placed = self._lowering.convolution(
                f"{node.name or node.output[0]}.{number}",
                value,
                Weight(weight, IntFormat(1, False), (Fraction(1),) * total),
                (1, 1),
                (0, 0, 0, 0),
                1,
            )
            joined = placed if joined is None else self._lowering.added(placed.name, joined, placed, 1)
        return joined

    def _moved(self, node: Any, move: Callable[[np.ndarray], np.ndarray]) -> Any:
        value = self._read(node, 0, Tensor, Open, _GraphInput)
        try:
            return dataclasses.replace(value, index=move(value.index))
        except ValueError as error:
            raise ModelFormatError(f"{_at(node)}: {error}") from None

    def _reshaped(self, node: Any, value: Any, move: Callable[[np.ndarray], np.ndarray]) -> Any:
        try:
            if isinstance(value, _Constant):
                return _Constant(move(value.values))
            scale = np.broadcast_to(value.scale, value.integers.shape)
            return dataclasses.replace(value, integers=move(value.integers), scale=move(scale))
        except ValueError as error:
            raise ModelFormatError(f"{_at(node)}: {error}") from None

    def _axes(self, node: Any, attributes: dict[str, Any]) -> list[int] | None:
        """An attribute in old opsets, an input in new ones."""
        if len(node.input) > 1 and node.input[1]:
            return [int(axis) for axis in self._read(node, 1, _Constant).values.ravel().tolist()]
        return attributes.get("axes")

    # Constants that are multiplied and added, bounds.

    def _mul(self, node: Any, attributes: dict[str, Any]) -> Any:
        value, constant = self._pair(node)
        divides = node.op_type == "Div"
        if isinstance(value, _Constant):
            return self._folded(node, np.divide if divides else np.multiply)
        if isinstance(value, _GraphInput) and isinstance(constant, _Constant):
            return value
        if not isinstance(constant, _Constant) or (divides and value is not self._read(node, 0)):
            raise UnsupportedOperatorError(f"{_at(node)} must have one constant operand")
        if divides and not np.all(constant.values != 0):
            raise ModelFormatError(f"{_at(node)} divides by 0")
        by = _per_channel(constant.values, value, node)
        return self._times(node, value, [1 / factor for factor in by] if divides else by)

    def _times(self, node: Any, value: Tensor | Open, by: list[Fraction]) -> Open:
        if isinstance(value, Open) and value.residual is not None and len(set(by)) > 1:
            if self._strict:
                raise UnsupportedOperatorError(
                    f"{_at(node)}: constant differs between channels, "
                    f"but must be one value after an Add of a tensor"
                )
            value = self._lowering.alone(_name(node), value)
        return self._lowering.scaled(self._linear(node, value), by)

    def _add(self, node: Any, attributes: dict[str, Any]) -> Any:
        value, other = self._pair(node)
        if isinstance(value, _Constant):
            return self._folded(node, np.subtract if node.op_type == "Sub" else np.add)
        if isinstance(value, _GraphInput) and isinstance(other, _Constant):
            return value
        if isinstance(value, _GraphInput):
            raise ModelFormatError(
                f"{_at(node)} reads the graph input {value.name!r}, but a Quant must stand between"
            )
        subtracts = node.op_type == "Sub"
        if isinstance(other, _Constant):
            added = _per_channel(other.values, value, node)
            made = self._linear(node, value)
            if subtracts and self._read(node, 0) is other:
                made = self._lowering.scaled(made, [Fraction(-1)] * len(added))
                subtracts = False
            return self._lowering.shifted(made, [-number for number in added] if subtracts else added)
        if subtracts:
            value, other = self._read(node, 0), self._read(node, 1)
        value, other = self._linear(node, value), self._linear(node, other)
        if self._strict and not (value.plain or other.plain):
            raise UnsupportedOperatorError(
                f"{_at(node)} must add a constant or a quantised tensor to one convolution or product"
            )
        if self._strict and (value.residual is not None or other.residual is not None):
            raise UnsupportedOperatorError(f"{_at(node)} adds a second tensor to its layer, of at most 1")
        if other.size != value.size or not np.array_equal(other.index, value.index):
            raise ModelFormatError(
                f"{_at(node)}: input {node.input[1]!r} is {other.size} in (H, W, C), but must be {value.size}"
            )
        return self._lowering.added(_name(node), value, other, -1 if subtracts else 1)

    def _batch_norm(self, node: Any, attributes: dict[str, Any]) -> Open:
        value = self._read(node, 0, Tensor, Open)
        channels = value.index.shape[0]
        gamma, beta, mean, variance = (
            self._number(node, index).astype(np.float64).ravel() for index in range(1, 5)
        )
        if any(len(numbers) != channels for numbers in (gamma, beta, mean, variance)):
            raise ModelFormatError(f"{_at(node)}: its numbers must be {channels}, one for each channel")
        spread = variance + attributes.get("epsilon", 1e-5)
        if not np.all(spread > 0):
            raise ModelFormatError(f"{_at(node)}: variance and epsilon must be above 0")
        factor = gamma / np.sqrt(spread)
        shape = (channels,) + (1,) * (value.index.ndim - 1)
        made = self._times(node, value, _per_channel(factor.reshape(shape), value, node))
        offset = beta - mean * factor
        return self._lowering.shifted(made, _per_channel(offset.reshape(shape), value, node))

    def _number(self, node: Any, index: int) -> np.ndarray:
        """A constant that may be quantised itself."""
        value = self._read(node, index, _Constant, _QuantisedConstant)
        return value.values if isinstance(value, _Constant) else value.integers * value.scale

    def _relu(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, Open, Tensor, _GraphInput)
        if isinstance(value, _GraphInput):
            return value
        if isinstance(value, Tensor) and value.format.signed and self._strict:
            raise UnsupportedOperatorError(
                f"{_at(node)} reads the signed tensor {value.name!r}, but must stand before its Quant"
            )
        return self._lowering.bounded(_name(node), value, Fraction(0), None)

    def _leaky(self, node: Any, attributes: dict[str, Any]) -> Open:
        """a * v + (1 - a) * max(v, 0), where a is at most 1."""
        value = self._linear(node, self._read(node, 0, *self._layered))
        if node.op_type == "PRelu":
            slopes = _per_channel(self._read(node, 1, _Constant).values, value, node)
        else:
            slopes = [_fraction(attributes.get("alpha", 0.01), node)] * value.size[2]
        if max(slopes) > 1:
            raise UnsupportedOperatorError(
                f"{_at(node)}: slopes reach {float(max(slopes))}, but must be at most 1"
            )
        if value.residual is not None:
            value = self._lowering.alone(_name(node), value)
        upper = self._lowering.bounded(
            _name(node), self._lowering.scaled(value, [1 - slope for slope in slopes]), Fraction(0), None
        )
        return self._lowering.added(_name(node), self._lowering.scaled(value, slopes), upper, 1)

    def _clip(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, Open, Tensor, _GraphInput, _Constant)
        if isinstance(value, _GraphInput) or node.output[0] in self._clipped:
            return value
        ends: list[Fraction | None] = []
        integers = False
        for index, name in ((1, "min"), (2, "max")):
            end = attributes.get(name)
            if len(node.input) > index and node.input[index]:
                given = self._read(node, index, _Constant).values
                if given.size != 1:
                    raise ModelFormatError(f"{_at(node)}: {name} has {given.size} values, but must have 1")
                end, integers = float(given.item()), given.dtype.kind in "iu"
            ends.append(None if end is None or abs(end) > 3e38 else _fraction(end, node))
        if isinstance(value, _Constant):
            low, high = (None if end is None else float(end) for end in ends)
            target = None
            if integers and low is not None and high is not None and low <= high:
                target = smallest_format(int(low), int(high))
            return _Constant(np.clip(value.values, low, high).astype(value.values.dtype), target)
        if integers and isinstance(value, Tensor):
            # Between QuantizeLinear and DequantizeLinear: the file's integers are clipped, not what they stand for.
            ends = [None if end is None else value.scale * (end - value.offset - value.zero) for end in ends]
            bounded = self._lowering.bounded(_name(node), value, *ends)
            if bounded is value:
                return value
            low, high = value.format.min + value.offset, value.format.max + value.offset
            zero = int(value.zero) + value.offset
            same = Quantiser(
                _at(node), node.output[0], value.scale, zero, smallest_format(low, high), low, high
            )
            return self._lowering.closed(bounded, same)
        return self._lowering.bounded(_name(node), value, *ends)

    def _clip_behind(self, quantiser: Quantiser) -> Quantiser:
        """A quantiser with the Clip that alone reads its integers: fewer bits than the type's (QCDQ)."""
        readers = self._readers.get(quantiser.name, [])
        if len(readers) != 1 or readers[0].op_type != "Clip" or self._uses[self._root(quantiser.name)] != 1:
            return quantiser
        (clip,) = readers
        ends = [self._values.get(name) for name in clip.input[1:3]]
        if len(ends) != 2 or not all(
            isinstance(end, _Constant) and end.values.size == 1 and end.values.dtype.kind in "iu"
            for end in ends
        ):
            return quantiser
        low, high = (
            max(int(ends[0].values.item()), quantiser.low),
            min(int(ends[1].values.item()), quantiser.high),
        )
        if not low <= quantiser.zero_point <= high:
            return quantiser
        self._clipped.add(clip.output[0])
        return dataclasses.replace(
            quantiser, name=clip.output[0], low=low, high=high, format=smallest_format(low, high)
        )

    def _folded(self, node: Any, function: Callable[..., np.ndarray]) -> _Constant:
        a, b = (self._read(node, index, _Constant).values for index in (0, 1))
        _small(node, a, b)
        try:
            with np.errstate(all="ignore"):
                return _Constant(function(a, b).astype(a.dtype))
        except ValueError as error:
            raise ModelFormatError(f"{_at(node)}: {error}") from None

    # Poolings.

    def _max_pool(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, Open, Tensor)
        window = tuple(attributes.get("kernel_shape", ()))
        if len(window) != 2 or value.index.ndim != 3:
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute kernel_shape is {list(window)}, but must have 2 values"
            )
        _allow(node, attributes, "dilations", [1, 1])
        _allow(node, attributes, "storage_order", 0)
        stride = tuple(attributes.get("strides", (1, 1)))
        padding = self._padding(node, attributes, value.size[:2], window, stride)
        padding = _ceiled(attributes, value.size[:2], window, stride, padding)
        return self._pooled(node, value, Pool(window, stride), padding)

    def _global_max(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, Open, Tensor)
        return self._pooled(node, value, Pool(value.size[:2], (1, 1)), (0, 0, 0, 0))

    def _pooled(self, node: Any, value: Any, pool: Pool, padding: tuple[int, int, int, int]) -> Any:
        value = self._map(node, value)
        if isinstance(value, Open) and value.pool is not None and self._strict:
            raise UnsupportedOperatorError(f"{_at(node)} is the second in its layer, of at most 1")
        movable = self._uses[self._root(node.input[0])] == 1
        return self._lowering.max_pooled(_name(node), value, pool, padding, node.output[0], movable)

    def _average_pool(self, node: Any, attributes: dict[str, Any]) -> Open:
        value = self._map(node, self._read(node, 0, *self._layered, _Padded))
        window = tuple(attributes.get("kernel_shape", ()))
        if len(window) != 2:
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute kernel_shape is {list(window)}, but must have 2 values"
            )
        _allow(node, attributes, "dilations", [1, 1])
        stride = tuple(attributes.get("strides", (1, 1)))
        padding = self._padding(node, attributes, value.size[:2], window, stride)
        if _ceiled(attributes, value.size[:2], window, stride, padding) != padding:
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute ceil_mode is 1 and windows reach over the edge, but all must lie inside"
            )
        if any(padding) and not attributes.get("count_include_pad", 0):
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute count_include_pad is 0 with padding {list(padding)}, windows at the edge "
                f"are divided by less, but must be 1"
            )
        return self._lowering.average(_name(node), value, window, stride, padding)

    def _global_average(self, node: Any, attributes: dict[str, Any]) -> Open:
        value = self._map(node, self._read(node, 0, *self._layered))
        return self._lowering.average(_name(node), value, value.size[:2], (1, 1), (0, 0, 0, 0))

    def _reduce_mean(self, node: Any, attributes: dict[str, Any]) -> Open:
        value = self._read(node, 0, *self._layered)
        axes = sorted(axis % (value.index.ndim + 1) for axis in self._axes(node, attributes) or [])
        # The channels' axis is the one that stays, wherever a Transpose has put it.
        channel_last = value.index.ndim == 3 and np.array_equal(
            value.index, np.arange(value.index.size).reshape(value.size)
        )
        if channel_last and axes == [1, 2]:
            order = np.arange
        elif axes == [2, 3]:
            value, order = self._map(node, value), np.arange
        else:
            raise UnsupportedOperatorError(
                f"{_at(node)}: axes are {axes}, but must be rows and columns of a map"
            )
        made = self._lowering.average(
            _name(node),
            dataclasses.replace(value, index=natural(value.size)),
            value.size[:2],
            (1, 1),
            (0, 0, 0, 0),
        )
        index = order(made.size[2])
        if attributes.get("keepdims", 1):
            index = index.reshape((1, 1, -1) if channel_last else (-1, 1, 1))
        return dataclasses.replace(made, index=index)

    def _pad(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, *self._layered)
        _allow(node, attributes, "mode", "constant")
        pads = attributes.get("pads")
        filler = attributes.get("value", 0.0)
        if len(node.input) > 1:
            pads = [int(n) for n in self._read(node, 1, _Constant).values.ravel().tolist()]
            if len(node.input) > 2 and node.input[2]:
                filler = self._read(node, 2, _Constant).values.item()
        if (
            value.index.ndim != 3
            or pads is None
            or len(pads) != 8
            or any(pads[0:2] + pads[4:6])
            or min(pads) < 0
        ):
            raise UnsupportedOperatorError(
                f"{_at(node)}: pads are {pads}, but must add rows and columns to a map"
            )
        if filler != 0:
            raise UnsupportedOperatorError(f"{_at(node)}: pads with {filler}, but must pad with 0")
        return _Padded(self._map(node, value), (pads[2], pads[3], pads[6], pads[7]))

    # Convolutions and products.

    def _conv(self, node: Any, attributes: dict[str, Any]) -> Open:
        constant = self._read(node, 1, _QuantisedConstant)
        return self._biased(node, self._convolved(node, attributes, 0, constant), 2)

    def _convolved(
        self, node: Any, attributes: dict[str, Any], at: int, constant: _QuantisedConstant
    ) -> Open:
        source = self._read(node, at, *self._layered, _Padded)
        weight = constant.integers
        groups = attributes.get("group", 1)
        pads = source.padding if isinstance(source, _Padded) else (0, 0, 0, 0)
        source = self._map(node, source.tensor if isinstance(source, _Padded) else source)
        if (
            weight.ndim != 4
            or groups < 1
            or weight.shape[1] * groups != source.size[2]
            or weight.shape[0] % groups
        ):
            raise UnsupportedOperatorError(
                f"{_at(node)}: weight has shape {list(weight.shape)} and group is {groups}, "
                f"but must be [outputs, {source.size[2]} / group, rows, columns]"
            )
        _allow(node, attributes, "kernel_shape", list(weight.shape[2:]))
        dilations = attributes.get("dilations", [1, 1])
        if dilations != [1, 1]:
            constant = _dilated(node, constant, dilations)
        kernel = constant.integers.shape[2:]
        stride = tuple(attributes.get("strides", (1, 1)))
        padded = (source.size[0] + pads[0] + pads[2], source.size[1] + pads[1] + pads[3])
        padding = self._padding(node, attributes, padded, kernel, stride)
        padding = tuple(a + b for a, b in zip(pads, padding, strict=True))
        if groups > 1 and (groups != source.size[2] or groups != len(weight)):
            constant, groups = _ungrouped(constant, groups), 1
        made = self._weight(node, constant, lambda values: values.transpose(0, 2, 3, 1))
        self._size(node, source.size[:2], kernel, stride, padding)
        return self._lowering.convolution(_name(node), source, made, stride, padding, groups)

    def _gemm(self, node: Any, attributes: dict[str, Any]) -> Open:
        _allow(node, attributes, "alpha", 1.0)
        _allow(node, attributes, "beta", 1.0)
        _allow(node, attributes, "transA", 0)
        constant = self._read(node, 1, _QuantisedConstant)
        return self._biased(node, self._dense(node, 0, constant, bool(attributes.get("transB", 0))), 2)

    def _matmul(self, node: Any, attributes: dict[str, Any]) -> Open:
        return self._dense(node, 0, self._read(node, 1, _QuantisedConstant), False)

    def _dense(self, node: Any, at: int, constant: _QuantisedConstant, transposed: bool) -> Open:
        """A product with a matrix, [features, outputs] unless transposed, as a convolution over the whole
        map; where the file keeps rows of features, over each of them."""
        source = self._read(node, at, *self._layered)
        features = source.index.shape[-1]
        if constant.integers.ndim != 2 or constant.integers.shape[int(transposed)] != features:
            raise ModelFormatError(
                f"{_at(node)}: weight {list(constant.integers.shape)} and input {node.input[at]!r} "
                f"must be matrices that share the dimension of {features} features"
            )
        if not transposed:
            constant = self._reshaped(node, constant, np.transpose)
        index = source.index
        if index.ndim == 1:
            size = source.size
            order = index.ravel()

            def placed(values: np.ndarray) -> np.ndarray:
                ordered = np.empty(values.shape, values.dtype)
                ordered[:, order] = values
                return ordered.reshape(len(values), *size)

            made = self._weight(node, constant, placed)
            return self._lowering.convolution(
                _name(node), source, made, (1, 1), (0, 0, 0, 0), 1, lambda size: np.arange(size[2])
            )
        if source.size[2] != features or not np.array_equal(index.ravel(), np.arange(index.size)):
            raise UnsupportedOperatorError(
                f"{_at(node)}: input {node.input[at]!r} must be flat, [batch, features], or have its channels last"
            )
        made = self._weight(node, constant, lambda values: values[:, None, None])
        rows = index.shape[:-1]
        return self._lowering.convolution(
            _name(node), source, made, (1, 1), (0, 0, 0, 0), 1,
            lambda size: np.arange(math.prod(size)).reshape(*rows, size[2]),
        )  # fmt: skip

    def _weight(
        self, node: Any, constant: _QuantisedConstant, move: Callable[[np.ndarray], np.ndarray]
    ) -> Weight:
        outputs = len(constant.integers)
        scales = np.broadcast_to(constant.scale, constant.integers.shape).reshape(outputs, -1)
        if (scales != scales[:, :1]).any():
            raise UnsupportedOperatorError(
                f"{_at(node)}: the weight's scale varies within an output channel, but must not"
            )
        if constant.format is None:
            raise UnsupportedOperatorError(f"{_at(node)}: weights of more than {MAX_BITS} bits")
        return Weight(
            move(constant.integers), constant.format, tuple(_fraction(scale, node) for scale in scales[:, 0])
        )

    def _biased(self, node: Any, layer: Open, at: int) -> Open:
        if len(node.input) <= at or not node.input[at]:
            return layer
        outputs = layer.size[2]
        bias = self._read(node, at, _Constant, _QuantisedConstant)
        values = bias.values if isinstance(bias, _Constant) else bias.integers * bias.scale
        # Conv's bias is [K] whatever the rank of its map; Gemm's broadcasts, and [K] is its usual form.
        if values.size not in (1, outputs) or (values.size == 1 and node.op_type == "Conv" and outputs > 1):
            raise ModelFormatError(f"{_at(node)}: bias has {values.size} values, but must have {outputs}")
        values = np.broadcast_to(values.ravel(), (outputs,))
        return self._lowering.shifted(layer, [_fraction(value, node) for value in values])

    # Quantisers.

    def _quant(self, node: Any, attributes: dict[str, Any]) -> Tensor | _QuantisedConstant:
        value = self._read(node, 0)
        scale = self._read(node, 1, _Constant).values
        zero_point = self._read(node, 2, _Constant).values
        bits = self._read(node, 3, _Constant).values
        if bits.size != 1 or not float(bits.item()).is_integer():
            raise ModelFormatError(f"{_at(node)}: bit width is {bits.tolist()}, but must be one integer")
        for name in ("signed", "narrow"):
            if name not in attributes:
                raise ModelFormatError(f"{_at(node)}: attribute {name} is missing, but must be 0 or 1")
        if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
            raise ModelFormatError(f"{_at(node)}: scale must be above 0, but one is {scale.min()}")
        narrow, mode = bool(attributes["narrow"]), attributes.get("rounding_mode", "ROUND").upper()
        if isinstance(value, _Constant) and bits.item() > MAX_BITS:
            return _quantised_constant(
                node,
                value.values,
                scale,
                zero_point,
                int(bits.item()),
                bool(attributes["signed"]),
                narrow,
                mode,
            )
        try:
            scale = parameter(scale, "scale")
            target = IntFormat(int(bits.item()), bool(attributes["signed"]))
        except ConfigurationError as error:
            raise UnsupportedOperatorError(f"{_at(node)}: {error}") from None
        if str(target) == "s1":
            raise UnsupportedOperatorError(
                f"{_at(node)}: 1 signed bit means -1 and 1 in QONNX, but must be 2 to {MAX_BITS} bits"
            )
        if mode not in ROUNDINGS:
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute rounding_mode is {mode}, but must be one of {', '.join(ROUNDINGS)}"
            )
        if isinstance(value, _Constant):
            return _quantised_constant(
                node, value.values, scale, zero_point, target.bits, target.signed, narrow, mode
            )
        if scale.size != 1 or zero_point.size != 1:
            raise UnsupportedOperatorError(
                f"{_at(node)}: {scale.size} scales and {zero_point.size} zero points for a tensor, but must be one"
            )
        if not float(zero_point.item()).is_integer() or not target.contains(int(zero_point.item())):
            raise UnsupportedOperatorError(
                f"{_at(node)}: zero point is {zero_point.item()}, but must be a whole number of {target}"
            )
        return self._quantised(
            node,
            value,
            Quantiser(
                _at(node),
                node.output[0],
                _fraction(scale.item(), node),
                int(zero_point.item()),
                target,
                target.min + (narrow and target.signed),
                target.max - (narrow and not target.signed),
                mode,
            ),
        )

    def _bipolar(self, node: Any, attributes: dict[str, Any]) -> Tensor | _QuantisedConstant:
        value = self._read(node, 0, _Constant, Tensor, Open, _GraphInput)
        scale = self._read(node, 1, _Constant).values.astype(np.float64)
        if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
            raise ModelFormatError(f"{_at(node)}: scale must be finite and above 0")
        if isinstance(value, _Constant):
            signs = np.where(value.values >= 0, 1, -1).astype(np.int64)
            return _QuantisedConstant(signs, IntFormat(2, True), scale)
        if scale.size != 1:
            raise UnsupportedOperatorError(f"{_at(node)}: {scale.size} scales for a tensor, but must be one")
        step = _fraction(scale.item(), node)
        if isinstance(value, _GraphInput):
            return self._lowering.take_bipolar(node.output[0], step, value.size, value.index)
        layer = self._lowering.opened(_name(node), value)
        return self._lowering.bipolar(layer, _at(node), node.output[0], step)

    def _trunc(self, node: Any, attributes: dict[str, Any]) -> Tensor:
        """Drops low bits: of version 2 as a quantiser of the output's scale, of version 1 with the input's after it."""
        value = self._lowering.opened(_name(node), self._read(node, 0, Tensor, Open))
        numbers = [self._read(node, index, _Constant).values for index in range(1, len(node.input))]
        if any(array.size != 1 for array in numbers) or len(numbers) not in (4, 5) or numbers[1].item() != 0:
            raise UnsupportedOperatorError(f"{_at(node)} must have one scale, one width and zero point 0")
        scale, bits = _fraction(numbers[0].item(), node), int(numbers[-1].item())
        if len(numbers) == 4:
            drop = int(numbers[2].item()) - bits
            if not 0 <= drop < 32:
                raise ModelFormatError(f"{_at(node)} leaves {bits} of {int(numbers[2].item())} bits")
            unit, signed, narrow = scale * (1 << drop), self._lowering.signed(value), False
        else:
            unit = _fraction(numbers[3].item(), node)
            signed, narrow = bool(attributes.get("signed", 1)), bool(attributes.get("narrow", 0))
        if self._strict and not self._lowering.multiples(value, scale):
            # The node rounds to these first.
            raise ModelFormatError(f"{_at(node)}: its input must be integers times the scale {float(scale)}")
        mode = attributes.get("rounding_mode", "FLOOR").upper()
        target = IntFormat(bits, signed)
        low, high = target.min + (narrow and signed), target.max - (narrow and not signed)
        quantiser = Quantiser(_at(node), node.output[0], unit, 0, target, low, high, mode)
        made = self._lowering.closed(value, quantiser)
        return made if len(numbers) == 5 else self._lowering.rescaled(made, scale)

    def _quantize(self, node: Any, attributes: dict[str, Any]) -> Tensor | _QuantisedConstant:
        value = self._read(node, 0)
        _allow(node, attributes, "block_size", 0)
        if attributes.get("output_dtype", 0) and (len(node.input) < 3 or not node.input[2]):
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute output_dtype must come with a zero point of that type"
            )
        if isinstance(value, _Constant):
            quantiser = self._affine(node, 1, 2)
            scale, zero, target = quantiser
            axis = attributes.get("axis", 1)
            scale, zero = (_along(numbers, value.values.ndim, axis) for numbers in (scale, zero))
            integers = np.clip(
                np.rint(value.values.astype(np.float32) / scale) + zero, target.min, target.max
            )
            return _Constant(integers.astype(np.int64).astype(_dtype(target)))
        return self._quantised(node, value, self._clip_behind(self._quantiser(node, 1, 2, node.output[0])))

    def _dequantize(self, node: Any, attributes: dict[str, Any]) -> Any:
        _allow(node, attributes, "block_size", 0)
        value = self._read(node, 0, _GraphInput, _Constant, Tensor)
        if isinstance(value, _Constant):
            return self._dequantized(node, value, 1, 2, attributes.get("axis", 1))
        if isinstance(value, _GraphInput):
            quantiser = self._quantiser(node, 1, 2, value.name)
            made = self._lowering.take_input(quantiser, value.size, value.index)
            self._values[value.name] = made
            return made
        return self._read_as(node, value, 1, 2)

    def _read_as(self, node: Any, value: Tensor, scale_at: int, zero_at: int) -> Tensor:
        """A tensor's integers with the scale and zero point that its reader gives them."""
        scale, zero, _ = self._affine(node, scale_at, zero_at)
        if scale.size != 1 or zero.size != 1:
            raise UnsupportedOperatorError(f"{_at(node)}: {scale.size} scales for a tensor, but must be one")
        zero = Fraction(int(zero.item()) - value.offset)
        return dataclasses.replace(value, scale=_fraction(scale.item(), node), zero=zero)

    def _dequantized(
        self, node: Any, value: _Constant, scale_at: int, zero_at: int, axis: int
    ) -> _QuantisedConstant:
        """Integers of a constant with their scale."""
        scale, zero, _ = self._affine(node, scale_at, zero_at)
        integers = value.values.astype(np.int64)
        scale, zero = (_along(numbers, integers.ndim, axis) for numbers in (scale, zero))
        try:
            integers = integers - zero
            np.broadcast_to(scale, integers.shape)
        except ValueError:
            raise ModelFormatError(
                f"{_at(node)}: {scale.size} scales do not belong to a constant of {list(value.values.shape)}"
            ) from None
        made = value.format if not zero.any() else None
        name = value.values.dtype.name
        if (
            made is None
            and not zero.any()
            and name.lstrip("u").startswith("int")
            and int(name.lstrip("uint")) <= MAX_BITS
        ):
            made = IntFormat(int(name.lstrip("uint")), not name.startswith("u"))
        elif (
            made is None
            and integers.size
            and max(-int(integers.min()), int(integers.max())) < 1 << MAX_BITS - 1
        ):
            made = smallest_format(int(integers.min()), int(integers.max()))
        return _QuantisedConstant(integers, made, scale.astype(np.float64))

    def _affine(self, node: Any, scale_at: int, zero_at: int) -> tuple[np.ndarray, np.ndarray, IntFormat]:
        """Scale and zero point that a node reads, and the format of its integers."""
        scale = self._read(node, scale_at, _Constant).values.astype(np.float64)
        if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
            raise ModelFormatError(f"{_at(node)}: scale must be finite and above 0")
        zero, target = np.zeros(1, np.int64), IntFormat(8, False)
        if len(node.input) > zero_at and node.input[zero_at]:
            given = self._read(node, zero_at, _Constant).values
            name = given.dtype.name
            bits = name.lstrip("uint")
            if not name.lstrip("u").startswith("int") or not bits.isdigit():
                raise UnsupportedOperatorError(f"{_at(node)}: zero point is {name}, but must be an integer")
            zero = given.astype(np.int64)
            target = IntFormat(min(int(bits), MAX_BITS), not name.startswith("u"))
        return scale, zero, target

    def _quantiser(self, node: Any, scale_at: int, zero_at: int, name: str) -> Quantiser:
        scale, zero, target = self._affine(node, scale_at, zero_at)
        if scale.size != 1 or zero.size != 1:
            raise UnsupportedOperatorError(f"{_at(node)}: {scale.size} scales for a tensor, but must be one")
        return Quantiser(
            _at(node), name, _fraction(scale.item(), node), int(zero.item()), target, target.min, target.max
        )

    def _quantised(self, node: Any, value: Any, quantiser: Quantiser) -> Tensor:
        if isinstance(value, _GraphInput):
            return self._lowering.take_input(quantiser, value.size, value.index)
        if isinstance(value, Tensor):
            same = (
                value.scale == quantiser.scale
                and value.zero + value.offset == quantiser.zero_point
                and value.format.bits == quantiser.format.bits
                and value.format.min + value.offset >= quantiser.low
                and value.format.max + value.offset <= quantiser.high
            )
            if same:
                return value
            if self._strict:
                raise UnsupportedOperatorError(
                    f"{_at(node)} must quantise the graph input, a constant or a convolution or product, once"
                )
            value = self._lowering.opened(_name(node), value)
        if not isinstance(value, Open):
            raise UnsupportedOperatorError(f"{_at(node)}: input {node.input[0]!r} is {_KINDS[type(value)]}")
        return self._lowering.closed(value, quantiser)

    # QOperator form: the same with the quantiser inside.

    def _qlinear_conv(self, node: Any, attributes: dict[str, Any]) -> Tensor:
        source = self._integers(node, 0, 1, 2)
        weight = self._dequantized(node, self._read(node, 3, _Constant), 4, 5, 0)
        layer = self._convolved(self._reading(node, 0, source), attributes, 0, weight)
        return self._finished(node, layer, source, weight, 8, 6, 7)

    def _qlinear_matmul(self, node: Any, attributes: dict[str, Any]) -> Tensor:
        source = self._integers(node, 0, 1, 2)
        weight = self._dequantized(node, self._read(node, 3, _Constant), 4, 5, 1)
        layer = self._dense(self._reading(node, 0, source), 0, weight, False)
        return self._finished(node, layer, source, weight, None, 6, 7)

    def _qgemm(self, node: Any, attributes: dict[str, Any]) -> Tensor:
        _allow(node, attributes, "alpha", 1.0)
        _allow(node, attributes, "transA", 0)
        transposed = bool(attributes.get("transB", 0))
        source = self._integers(node, 0, 1, 2)
        weight = self._dequantized(node, self._read(node, 3, _Constant), 4, 5, int(not transposed))
        layer = self._dense(self._reading(node, 0, source), 0, weight, transposed)
        return self._finished(node, layer, source, weight, 6, 7, 8)

    def _qlinear_add(self, node: Any, attributes: dict[str, Any]) -> Tensor:
        a, b = self._integers(node, 0, 1, 2), self._integers(node, 3, 4, 5)
        if a.size != b.size or not np.array_equal(a.index, b.index):
            raise ModelFormatError(
                f"{_at(node)}: input {node.input[3]!r} is {b.size} in (H, W, C), but must be {a.size}"
            )
        layer = self._lowering.added(_name(node), a, b, 1)
        return self._lowering.closed(layer, self._quantiser(node, 6, 7, node.output[0]))

    def _qlinear_concat(self, node: Any, attributes: dict[str, Any]) -> Tensor:
        values = [self._integers(node, index, index + 1, index + 2) for index in range(2, len(node.input), 3)]
        layer = self._joined(node, attributes, values)
        return self._lowering.closed(layer, self._quantiser(node, 0, 1, node.output[0]))

    def _qlinear_average(self, node: Any, attributes: dict[str, Any]) -> Tensor:
        _allow(node, attributes, "channels_last", 0)
        reading = self._reading(node, 0, self._integers(node, 0, 1, 2))
        function = self._average_pool if node.op_type == "QLinearAveragePool" else self._global_average
        return self._lowering.closed(
            function(reading, attributes), self._quantiser(node, 3, 4, node.output[0])
        )

    def _integers(self, node: Any, at: int, scale_at: int, zero_at: int) -> Tensor:
        value = self._read(node, at, Tensor, _GraphInput)
        if isinstance(value, _GraphInput):
            quantiser = self._quantiser(node, scale_at, zero_at, value.name)
            value = self._lowering.take_input(quantiser, value.size, value.index)
            self._values[node.input[at]] = value
        return self._read_as(node, value, scale_at, zero_at)

    def _reading(self, node: Any, at: int, value: Tensor) -> Any:
        """The node, but what it reads at `at` is `value`, under a name of its own."""
        onnx = model_file.import_onnx()
        made = onnx.NodeProto()
        made.CopyFrom(node)
        made.input[at] = f"{node.input[at]} of {node.output[0]}"
        self._values[made.input[at]] = value
        return made

    def _finished(
        self,
        node: Any,
        layer: Open,
        source: Tensor,
        weight: _QuantisedConstant,
        bias_at: int | None,
        scale_at: int,
        zero_at: int,
    ) -> Tensor:
        if bias_at is not None and len(node.input) > bias_at and node.input[bias_at]:
            bias = self._read(node, bias_at, _Constant).values.astype(np.int64).ravel()
            if bias.size != layer.size[2]:
                raise ModelFormatError(
                    f"{_at(node)}: bias has {bias.size} values, but must have {layer.size[2]}"
                )
            steps = [factor * source.scale for factor in layer.factors]
            layer = self._lowering.shifted(
                layer, [int(n) * step for n, step in zip(bias, steps, strict=True)]
            )
        return self._lowering.closed(layer, self._quantiser(node, scale_at, zero_at, node.output[0]))

    # What a node reads.

    @property
    def _strict(self) -> bool:
        """Whether nothing may become more than one layer that the file does not quantise; see the module's head."""
        return self._layered == (Tensor,)

    def _read(self, node: Any, index: int, *kinds: type) -> Any:
        name = node.input[index] if index < len(node.input) else ""
        if name not in self._values:
            raise ModelFormatError(f"{_at(node)}: input {index} {name!r} is made by no node before it")
        value = self._values[name]
        if kinds and not isinstance(value, kinds):
            if isinstance(value, _GraphInput):
                raise ModelFormatError(
                    f"{_at(node)} reads the graph input {name!r}, but a Quant must stand between"
                )
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            raise UnsupportedOperatorError(
                f"{_at(node)}: input {name!r} is {_KINDS[type(value)]}, but must be {expected}"
            )
        return value

    def _pair(self, node: Any) -> tuple[Any, Any]:
        """Both operands of a node: a layer first if there is one, a constant last."""
        kinds = (Open, Tensor, _GraphInput, _Constant)
        operands = [self._read(node, index, *kinds, _QuantisedConstant) for index in (0, 1)]
        operands = [
            _Constant(value.integers * value.scale) if isinstance(value, _QuantisedConstant) else value
            for value in operands
        ]
        operands.sort(key=lambda value: kinds.index(type(value)))
        return operands[0], operands[1]

    def _linear(self, node: Any, value: Tensor | Open) -> Open:
        """The layer that `value` is, or a new one that reads it."""
        if isinstance(value, Open) and not value.linear and self._strict:
            raise UnsupportedOperatorError(
                f"{_at(node)} follows a Relu or MaxPool, but must stand before them"
            )
        return self._lowering.opened(_name(node), value)

    def _map(self, node: Any, value: Any) -> Any:
        """`value`, a map in the order [C, H, W]; channels in another order are put into theirs by a layer."""
        if isinstance(value, Tensor) and value.index.shape == (value.size[2], *value.size[:2]):
            plain = dataclasses.replace(value, index=natural(value.size))
            order = value.index[:, 0, 0]
            shuffled = sorted(order) == list(range(len(order))) and (order != plain.index[:, 0, 0]).any()
            if shuffled and np.array_equal(value.index, plain.index[order]):
                return self._lowering.gathered(f"{value.name}.ordered", plain, order)
        if value.index.ndim != 3 or not np.array_equal(value.index, natural(value.size)):
            raise UnsupportedOperatorError(
                f"{_at(node)}: its input of shape {list(value.index.shape)} must be a map [C, H, W]"
            )
        return value

    def _padding(
        self,
        node: Any,
        attributes: dict[str, Any],
        size: tuple[int, int],
        kernel: tuple[int, int],
        stride: tuple[int, int],
    ) -> tuple[int, int, int, int]:
        """(top, left, bottom, right)."""
        _allow(node, attributes, "auto_pad", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
        mode = attributes.get("auto_pad", "NOTSET")
        if not mode.startswith("SAME"):
            pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
            if mode == "VALID":
                pads = (0, 0, 0, 0)
            if len(pads) != 4 or min(pads) < 0:
                raise UnsupportedOperatorError(
                    f"{_at(node)}: attribute pads is {list(pads)}, but must be 4 numbers of 0 or more"
                )
            return pads
        before, after = [], []
        for length, window, step in zip(size, kernel, stride, strict=True):
            missing = max((-(-length // step) - 1) * step + window - length, 0)
            less, more = missing // 2, missing - missing // 2
            before.append(less if mode == "SAME_UPPER" else more)
            after.append(more if mode == "SAME_UPPER" else less)
        return (*before, *after)

    def _size(self, node: Any, size: tuple[int, int], *shape: tuple[int, ...]) -> tuple[int, int]:
        try:
            return conv2d_output_size(size, *shape)
        except ConfigurationError as error:
            raise ModelFormatError(f"{_at(node)}: {error}") from None


# How an error message calls each kind of value.
_KINDS = {
    _GraphInput: "the graph input",
    _Constant: "a constant",
    _QuantisedConstant: "a constant from a Quant",
    _Padded: "a padded tensor",
    Tensor: "a tensor from a Quant",
    Open: "a layer without its Quant",
}


def _at(node: Any) -> str:
    """How an error message names a node: by its name or its first output, and its operator."""
    return f"node {node.name or (node.output[0] if node.output else '?')!r} ({node.op_type})"


def _name(node: Any) -> str:
    return node.name or node.output[0]


# The attributes that the operators above read or check, by the type ONNX and QONNX give them. Any other could
# change what a node means, so it is refused.
_ATTRIBUTES = {
    "FLOAT": {"alpha", "beta", "epsilon", "max", "min", "momentum", "ratio", "value", "value_float"},
    "FLOATS": {"value_floats"},
    "INT": {
        "allowzero",
        "axis",
        "block_size",
        "ceil_mode",
        "channels_last",
        "count_include_pad",
        "end",
        "group",
        "keepdims",
        "narrow",
        "num_outputs",
        "output_dtype",
        "precision",
        "noop_with_empty_axes",
        "saturate",
        "seed",
        "signed",
        "spatial",
        "start",
        "storage_order",
        "to",
        "training_mode",
        "transA",
        "transB",
        "value_int",
    },
    "INTS": {"axes", "dilations", "kernel_shape", "pads", "perm", "split", "strides", "value_ints"},
    "STRING": {"auto_pad", "mode", "rounding_mode"},
    "TENSOR": {"value"},
}


def _attributes(node: Any) -> dict[str, Any]:
    onnx = model_file.import_onnx()
    values = {}
    for attribute in node.attribute:
        kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
        if attribute.name not in _ATTRIBUTES.get(kind, ()):
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute {attribute.name!r} of type {kind} is not among those supported: "
                f"{', '.join(sorted(set().union(*_ATTRIBUTES.values())))}"
            )
        value = onnx.helper.get_attribute_value(attribute)
        values[attribute.name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return values


def _allow(node: Any, attributes: dict[str, Any], name: str, *allowed: Any) -> None:
    """Refuse an attribute whose value is present and not one of those allowed."""
    value = attributes.get(name, allowed[0])
    if value not in allowed:
        raise UnsupportedOperatorError(
            f"{_at(node)}: attribute {name} is {value}, but must be {' or '.join(str(a) for a in allowed)}"
        )


def _array(tensor: Any, where: str) -> np.ndarray:
    onnx = model_file.import_onnx()
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OSError, KeyError, onnx.checker.ValidationError) as error:
        raise ModelFormatError(f"{where}: its data does not match its shape and type ({error})") from None


def _small(node: Any, *arrays: np.ndarray) -> None:
    """Refuse to make a constant that would be larger than memory."""
    if math.prod(max(array.size, 1) for array in arrays) > MAX_ELEMENTS:
        raise ModelFormatError(f"{_at(node)}: its result may have more than {MAX_ELEMENTS} elements")


def _integers_of(value: _Constant | _QuantisedConstant) -> np.ndarray:
    return value.values if isinstance(value, _Constant) else value.integers


def _zeros_copied(shape: list[int], old: tuple[int, ...]) -> list[int]:
    return [old[axis] if size == 0 and axis < len(old) else size for axis, size in enumerate(shape)]


def _along(numbers: np.ndarray, rank: int, axis: int) -> np.ndarray:
    """One number, or one for each index of an axis, to broadcast against `rank` axes."""
    if numbers.size == 1 or numbers.ndim != 1 or not -rank <= axis < rank:
        return numbers.reshape(()) if numbers.size == 1 else numbers
    return numbers.reshape([-1 if at == axis % rank else 1 for at in range(rank)])


def _dtype(target: IntFormat) -> type:
    return np.dtype(f"{'' if target.signed else 'u'}int{8 if target.bits <= 8 else 16}").type


def _fraction(value: float, node: Any) -> Fraction:
    """The exact value of a float, which is always an integer over a power of two."""
    if not np.isfinite(value):
        raise ModelFormatError(f"{_at(node)}: constant {value} must be finite")
    return Fraction(float(value))


def _per_channel(values: np.ndarray, value: Tensor | Open, node: Any) -> list[Fraction]:
    """A constant that broadcasts over a layer's map as one fraction for each output channel."""
    channels = value.size[2]
    if values.size == 1:
        return [_fraction(values.item(), node)] * channels
    shape = (1, *value.index.shape)
    places = np.zeros((value.index.size // channels, channels), np.float64)
    try:
        places.ravel()[value.index.ravel()] = np.broadcast_to(values, shape).ravel()
    except ValueError:
        places[:1] = np.nan
    if not (places == places[:1]).all() and not np.isinf(values).any():
        expected = [1, channels] if len(shape) == 2 else [1, channels, 1, 1]
        raise UnsupportedOperatorError(
            f"{_at(node)}: constant has shape {list(values.shape)}, but must be one value or {expected}"
        )
    return [_fraction(number, node) for number in places[0]]


def _ceiled(
    attributes: dict[str, Any],
    size: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> tuple[int, int, int, int]:
    """The padding with what ceil_mode adds at bottom and right, for a last window that begins on the map."""
    if not attributes.get("ceil_mode", 0):
        return padding
    made = list(padding)
    for axis in (0, 1):
        reach = size[axis] + padding[axis] + padding[axis + 2] - window[axis]
        count = -(-reach // stride[axis])
        if count * stride[axis] >= size[axis] + padding[axis]:
            count -= 1
        made[axis + 2] += max(0, count * stride[axis] - reach)
    return tuple(made)


def _quantised_constant(
    node: Any,
    values: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    bits: int,
    signed: bool,
    narrow: bool,
    mode: str,
) -> _QuantisedConstant:
    try:
        quant = Quant(scale, zero_point.astype(np.float32), bits, signed, narrow, mode)
    except ConfigurationError as error:
        raise UnsupportedOperatorError(f"{_at(node)}: {error}") from None
    integers = quant.integers(values.astype(np.float32))
    if not np.all(np.isfinite(integers)) or not np.all(np.isfinite(values)):
        raise ModelFormatError(f"{_at(node)}: a weight is not finite")
    if np.any(zero_point != np.rint(zero_point)):
        raise UnsupportedOperatorError(
            f"{_at(node)}: zero point is {zero_point.ravel()[0]}, but must be a whole number"
        )
    target = IntFormat(bits, signed) if bits <= MAX_BITS else None
    if np.any(zero_point):
        integers = integers - zero_point
        target = None if target is None else smallest_format(int(integers.min()), int(integers.max()))
    return _QuantisedConstant(integers.astype(np.int64), target, quant.scale.astype(np.float64))


def _dilated(node: Any, constant: _QuantisedConstant, dilations: list[int]) -> _QuantisedConstant:
    """The weight with zeros between its rows and columns."""
    if len(dilations) != 2 or min(dilations) < 1 or max(dilations) > 64:
        raise UnsupportedOperatorError(
            f"{_at(node)}: attribute dilations is {dilations}, but must be 2 numbers from 1 to 64"
        )
    outputs, channels, rows, columns = constant.integers.shape
    size = ((rows - 1) * dilations[0] + 1, (columns - 1) * dilations[1] + 1)
    integers = np.zeros(checked("a kernel with dilations", (outputs, channels, *size)), np.int64)
    integers[:, :, :: dilations[0], :: dilations[1]] = constant.integers
    scale = np.broadcast_to(constant.scale, constant.integers.shape)
    scale = np.broadcast_to(scale[:, :, :1, :1], integers.shape) if scale.size else scale
    return dataclasses.replace(constant, integers=integers, scale=scale)


def _ungrouped(constant: _QuantisedConstant, groups: int) -> _QuantisedConstant:
    """The weight of a convolution in groups as one of all channels, 0 for those of the other groups."""
    outputs, channels, *kernel = constant.integers.shape
    shape = (groups, outputs // groups, groups, channels, *kernel)
    integers = np.zeros(checked("a weight of all groups", shape), np.int64)
    for group, part in enumerate(constant.integers.reshape(groups, -1, channels, *kernel)):
        integers[group, :, group] = part
    integers = integers.reshape(outputs, groups * channels, *kernel)
    scale = np.broadcast_to(constant.scale, constant.integers.shape)[:, :1]
    if (scale != scale[:, :, :1, :1]).any() or (constant.scale.ndim > 1 and constant.scale.shape[1] > 1):
        return dataclasses.replace(constant, integers=integers)  # refused where it is read
    return dataclasses.replace(constant, integers=integers, scale=scale[:, :, :1, :1])
