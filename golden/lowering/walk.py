# SPDX-License-Identifier: Apache-2.0
"""The walk along a graph that lowers one node after the other; what an operator becomes is in the modules beside this.

A handler is a function of the walk and a node, registered for the class of the node's operator by `lowers`. It reads
values by `Walk.read`, and gives what the node's output stands for: one of `golden.lowering.values`, or a tuple of them
for several outputs. What only moves values, and what constants alone decide, needs no handler: the operator itself is
applied to the places of the elements, or to the constants.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from assay.golden.errors import (
    ConfigurationError,
    DoesNotFitError,
    GoldenError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from assay.golden.formats import IntFormat
from assay.golden.graph import Graph, Node
from assay.golden.handlers import Handlers
from assay.golden.layers import onnx, onnx_float, shaping, tflite_reductions
from assay.golden.layers import tflite as tflite_layers
from assay.golden.lowering import algebra
from assay.golden.lowering.layers import Layers
from assay.golden.lowering.rounding import Quantiser, Rounding
from assay.golden.lowering.values import (
    Constant,
    Input,
    Open,
    Padded,
    Tensor,
    placed,
    quantised_drift,
)
from assay.golden.network import Network
from assay.golden.precision import Format
from assay.golden.schemes.affine import Affine
from assay.golden.schemes.fixed_point import Activation

__all__ = ["LAYOUTS", "Walk", "affine_format", "at", "fraction", "lowers"]

LAYOUTS = ("NCHW", "NHWC")

Value = Any


class _Traits(NamedTuple):
    """The attributes that `lowers` gives an operator beside its handler."""

    channel_axis: int | None = None
    takes_constants: bool = False
    takes_input: bool = False


# Class of an operator -> what lowers its nodes, and how.
_HANDLERS: Handlers[type, Callable[[Walk, Node], Value]] = Handlers()
_TRAITS: dict[type, _Traits] = {}

# Operators that apply to the places of elements as to the elements, whatever these are.
_MOVES = (shaping.Reshape, shaping.Transpose)

# What stays with the host at the end of a network, by kind, and what may stand around it there.
_HOST = frozenset(
    {
        *("ArgMax", "ArgMin", "LogSoftmax", "QLinearSigmoid", "QLinearSoftmax", "Sigmoid", "Softmax", "TopK"),
        *("ARG_MAX", "ARG_MIN", "LOGISTIC", "LOG_SOFTMAX", "SOFTMAX", "TOPK_V2"),
    }
)
_AROUND_HOST = frozenset(
    {
        *("Cast", "DequantizeLinear", "Flatten", "Identity", "IntQuant", "Quant", "QuantizeLinear"),
        *("Reshape", "Squeeze", "Transpose", "Unsqueeze"),
        *("CAST", "DEQUANTIZE", "EXPAND_DIMS", "QUANTIZE", "RESHAPE", "SQUEEZE", "TRANSPOSE"),
    }
)

# How an error message calls each kind of value.
_KINDS = {
    Input: "the graph's input before a quantiser",
    Constant: "a constant",
    Padded: "a padded tensor",
    Tensor: "a quantised tensor",
    Open: "a layer without its quantiser",
}


def lowers(
    *operators: type,
    channel_axis: int | None = None,
    takes_constants: bool = False,
    takes_input: bool = False,
) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    """Decorator: the function lowers nodes whose operator is of one of these classes.

    Args:
        operators: classes.
        channel_axis: of an operator on maps, the axis of the channels, 1 or 3, the batch counted.
        takes_constants: whether the handler is called for nodes of constants alone; else the operator itself is run.
        takes_input: whether the handler reads the network's input; else the host does what stands before the network.
    """
    _TRAITS.update(dict.fromkeys(operators, _Traits(channel_axis, takes_constants, takes_input)))
    return _HANDLERS.of(*operators)


def at(node: Node) -> str:
    """The name of a node in error messages."""
    return f"node {node.name!r} ({node.kind})"


def fraction(value: Any, node: Node) -> Fraction:
    """The exact value of a float, which is always an integer over a power of two."""
    if not np.isfinite(value):
        raise ModelFormatError(f"{at(node)}: constant {value} must be finite")
    return Fraction(value.item() if isinstance(value, np.generic) else value)


def affine_format(affine: Affine) -> IntFormat:
    """The format of an affine tensor's integers.

    Raises:
        ConfigurationError: more than 16 bits.
    """
    return IntFormat(affine.bits or affine.dtype.itemsize * 8, affine.dtype.kind == "i")


class Walk:
    """Gives every tensor of a graph a value, and the layers that compute it.

    Args:
        graph: what is lowered.
        nearest: see `golden.lowering.layers`.
        input_format: of the network's input, where the graph has no quantiser there; else None.
        input_layout: "NCHW" or "NHWC", of a graph's input of four axes that no operator reads as a map; "" for what the
            graph's operators have.
    """

    def __init__(
        self, graph: Graph, nearest: bool, input_format: Format | None = None, input_layout: str = ""
    ) -> None:
        self.graph = graph
        self.layers = Layers(nearest=nearest)
        self.values: dict[str, Value] = {}
        self.claimed: set[str] = set()  # what a node before has computed for a node behind it
        self._input_format = input_format
        self._input_layout = input_layout
        self._nodes: list[Node] = []
        self._alias: dict[str, str] = {}
        self._uses: Counter[str] = Counter()
        self.readers: dict[str, list[Node]] = {}

    @property
    def nearest(self) -> bool:
        """Whether scales become the nearest that the hardware holds."""
        return self.layers.nearest

    def network(self) -> Network:
        """The network that the graph becomes; errors as for `golden.lowering.lower`."""
        graph = self.graph
        if graph.variables:
            raise UnsupportedOperatorError(
                f"the graph keeps state ({', '.join(map(repr, graph.variables))}), but a network has none"
            )
        end, host = self._end()
        if len(graph.inputs) != 1:
            raise ModelFormatError(f"the graph has {len(graph.inputs)} inputs, but must have 1")
        self._nodes = self._needed(end)
        self._count(end)
        for name, values in graph.constants.items():
            self.values[name] = Constant(values)
        self._read_input(graph.inputs[0])
        for node in self._nodes:
            self._lower(node)
        output = self.values.get(end)
        if isinstance(output, Open):
            output = self.layers.ended(output, f"output {end!r}", end)
        if not isinstance(output, Tensor) or output.name == getattr(self.layers.input, "name", None):
            raise ModelFormatError(f"graph output {end!r} must be computed by a layer from the input")
        return self.layers.network(graph.name, output, host)

    # The graph as a whole.

    def _end(self) -> tuple[str, list[str]]:
        """The tensor that the network ends with, and what comes after it."""
        makers = {name: node for node in self.graph.nodes for name in node.outputs}
        ends: dict[str, None] = {}
        host: dict[str, None] = {}
        for output in self.graph.outputs:
            end = name = output
            behind: list[str] = []
            while name in makers and makers[name].inputs:
                node = makers[name]
                if node.kind not in _HOST and node.kind not in _AROUND_HOST:
                    break
                behind.append(f"{node.kind} {node.name!r}")
                name = node.inputs[0]
                if node.kind in _HOST:
                    end = name
                    host.update(dict.fromkeys(behind))
                    behind = []
            ends[end] = None
        if len(ends) != 1:
            raise ModelFormatError(f"the graph has {len(ends)} outputs, but must have 1")
        return next(iter(ends)), list(host)[::-1]

    def _needed(self, end: str) -> list[Node]:
        wanted, nodes = {end}, []
        for node in reversed(self.graph.nodes):
            if not wanted.isdisjoint(node.outputs):
                wanted.update(node.inputs)
                nodes.append(node)
        return nodes[::-1]

    def _count(self, end: str) -> None:
        """The number of computing readers of each tensor, however often it is dequantised or renamed."""
        for node in self._nodes:
            same = isinstance(node.operator, shaping.Reshape) and len(node.inputs) == 1
            same = (
                same and self.graph.tensors[node.inputs[0]].shape == self.graph.tensors[node.outputs[0]].shape
            )
            renames = (onnx.Dequantize, onnx_float.Cast, tflite_layers.Dequantize)
            if (same or isinstance(node.operator, renames)) and node.inputs:
                self._alias[node.outputs[0]] = node.inputs[0]
            for name in node.inputs[:1]:
                self.readers.setdefault(name, []).append(node)
        for node in self._nodes:
            if node.outputs[0] not in self._alias:
                self._uses.update(self.root(name) for name in node.inputs)
        self._uses[self.root(end)] += 1

    def root(self, name: str) -> str:
        """The tensor that `name` renames."""
        while name in self._alias:
            name = self._alias[name]
        return name

    def reads_alone(self, name: str) -> bool:
        """Whether one node alone computes with a tensor."""
        return self._uses[self.root(name)] == 1

    def _lower(self, node: Node) -> None:
        try:
            made = self._made(node)
        except (ConfigurationError, ArithmeticError, LookupError, ValueError) as error:
            # Numbers of a damaged file that make no sense to numpy or to a layer.
            if isinstance(error, GoldenError) and not isinstance(error, ConfigurationError):
                raise
            raise ModelFormatError(f"{at(node)}: {error}") from None
        for name, value in zip(node.outputs, made if isinstance(made, tuple) else (made,), strict=True):
            self.values[name] = value

    def _made(self, node: Node) -> Value:
        operator = node.operator
        one_axis = isinstance(operator, onnx.OneAxis)
        if one_axis:
            operator = operator.operator
        handler, traits = _HANDLERS.get(type(operator)), _TRAITS.get(type(operator), _Traits())
        inputs: list[Any] = [self.values.get(name) for name in node.inputs]
        for name, value in zip(node.inputs, inputs, strict=True):
            if value is None:
                raise ModelFormatError(f"{at(node)}: input {name!r} is made by no node before it")
        if all(isinstance(value, Constant) for value in inputs):
            if not traits.takes_constants:
                return self._folded(node, inputs)
        elif isinstance(operator, _MOVES) and not isinstance(inputs[0], Padded):
            return self._moved(node, inputs[0])
        elif isinstance(inputs[0], Input) and handler is not None and not traits.takes_input:
            return self._before_the_network(node, inputs)
        if handler is None:
            raise UnsupportedOperatorError(
                f"{at(node)}: operator {node.kind} cannot become a layer of a network"
            )
        if one_axis:
            inner = dataclasses.replace(node, operator=operator)
            saved = {name: self.values[name] for name in node.inputs}
            self.values.update({name: _with_row(value) for name, value in saved.items()})
            try:
                made = handler(self, inner)
            finally:
                self.values.update(saved)
            return _without_row(made)
        return handler(self, node)

    # Constants, the input, and what moves.

    def _folded(self, node: Node, inputs: Sequence[Constant]) -> Value:
        """A result of constants alone, by the graph's operator; moves take a quantised constant's integers along."""
        with np.errstate(all="ignore"):
            made = node.operator(*(value.values[None] for value in inputs))
            arrays = [array[0] for array in (made if isinstance(made, tuple) else (made,))]
            integers, step = inputs[0].integers, inputs[0].scale
            if isinstance(node.operator, _MOVES) and integers is not None and step is not None:
                scale = np.broadcast_to(step, integers.shape)
                moved, scales = (node.operator(array[None])[0] for array in (integers, scale))
                return Constant(arrays[0], moved, scales, inputs[0].format)
        constants = tuple(Constant(array) for array in arrays)
        return constants if len(node.outputs) > 1 else constants[0]

    def _moved(self, node: Node, value: Value) -> Value:
        shape = self.graph.tensors[node.outputs[0]].shape
        if isinstance(value, Input):
            return dataclasses.replace(value, shape=shape)
        return dataclasses.replace(value, index=node.operator(value.index[None])[0])

    def _before_the_network(self, node: Node, inputs: Sequence[Value]) -> Input:
        """Element-wise operators on the graph's input before its quantiser are left to the host."""
        shape = self.graph.tensors[node.outputs[0]].shape
        rest = inputs[1:]
        if shape != inputs[0].shape or not all(isinstance(value, Constant) for value in rest):
            raise ModelFormatError(
                f"{at(node)} reads the graph input {inputs[0].name!r}, but a quantiser must stand between; "
                f"a format of the input (--input-format) would take its place"
            )
        return Input(inputs[0].name, shape)

    def _read_input(self, name: str) -> None:
        tensor = self.graph.tensors[name]
        given = Input(name, tensor.shape)
        self.values[name] = given
        about, where = tensor.quantisation, f"graph input {name!r}"
        if isinstance(about, Activation):
            target = IntFormat(8, True)
            quantiser = Quantiser(where, name, about.value, 0, target, target.min, target.max)
            self.values[name] = self.take(given, quantiser)
        elif tensor.dtype.kind in "iu" and isinstance(about, Affine) and not about.per_axis:
            self.values[name] = self.take(given, self.affine_quantiser(name, about, where))
        elif self._input_format is not None:
            if tensor.dtype.kind != "f":
                raise ConfigurationError(
                    f"graph input {name!r} has integers already, but an input format is that of real numbers"
                )
            self.values[name] = self.take(given, _format_quantiser(name, self._input_format))

    def take(self, value: Input, quantiser: Quantiser) -> Tensor:
        """The network's input: the integers that a quantiser makes of the graph's."""
        if self.layers.input is not None:
            raise UnsupportedOperatorError(
                f"{quantiser.where}: the graph's input is quantised twice, but a network reads it once"
            )
        size, index = self._layout(quantiser.name, value)
        return self.layers.take_input(quantiser, size, index)

    def taken_bipolar(self, value: Input, name: str, scale: Fraction) -> Tensor:
        """`take` for a quantiser to scale and -scale."""
        return self.layers.take_bipolar(name, scale, *self._layout(name, value))

    def _layout(self, name: str, value: Input) -> tuple[tuple[int, int, int], np.ndarray]:
        """Rows, columns and channels of the network's input, and where its elements lie: as its first reader has it."""
        shape = value.shape
        if not shape or shape[0] != 1:
            raise UnsupportedOperatorError(
                f"graph input {value.name!r} has shape {list(shape)}, but its first axis must be a batch of 1"
            )
        wanted = self._wanted(name, np.arange(math.prod(shape)).reshape(shape))
        if wanted is not None:
            size, places = wanted
            index = np.empty(math.prod(shape), np.int64)
            index[places] = np.arange(index.size)
            return size, index.reshape(shape)
        axis = len(shape) - 1
        if len(shape) == 4 and self._input_layout != "NHWC" and not self._channels_last():
            axis = 1
        index = placed(shape, axis)
        rest = (*(1,) * (4 - len(shape)), *shape[:axis], *shape[axis + 1 :])[-3:]
        if len(shape) > 4:
            rest = (1, math.prod(shape[:axis]), 1)
        return (math.prod(rest[:-1]), rest[-1], shape[axis]), index

    def _channels_last(self) -> bool:
        theirs = (tflite_layers.__name__, tflite_reductions.__name__)
        return any(type(node.operator).__module__ in theirs for node in self.graph.nodes)

    def _wanted(self, name: str, index: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray] | None:
        """(H, W, C) of the input as the first operator that reads it as a map has it, and the order of its elements."""
        for node in self.readers.get(name, []):
            operator = node.operator
            if isinstance(operator, _MOVES):
                found = self._wanted(node.outputs[0], operator(index[None])[0])
            else:
                inner = operator.operator if isinstance(operator, onnx.OneAxis) else operator
                axis = _TRAITS.get(type(inner), _Traits()).channel_axis
                if axis is not None and index.ndim in (3, 4):
                    moved = np.moveaxis(index, axis if axis == 1 else index.ndim - 1, -1)
                    size = (*(1,) * (4 - moved.ndim), *moved.shape)[-3:]
                    return size, moved.reshape(-1)
                if self.graph.tensors[node.outputs[0]].shape != index.shape or axis is not None:
                    continue
                found = self._wanted(node.outputs[0], index)
            if found is not None:
                return found
        return None

    # What a handler reads.

    def read(self, node: Node, position: int, *kinds: type) -> Value:
        """The meaning of an input of the node.

        Raises:
            ModelFormatError, UnsupportedOperatorError: it is none of `kinds`.
        """
        name = node.inputs[position]
        value = self.values[name]
        if kinds and not isinstance(value, kinds):
            if isinstance(value, Input):
                raise ModelFormatError(
                    f"{at(node)} reads the graph input {name!r}, but a quantiser must stand between"
                )
            expected = " or ".join(_KINDS[kind] for kind in kinds)
            raise UnsupportedOperatorError(
                f"{at(node)}: input {name!r} is {_KINDS[type(value)]}, but must be {expected}"
            )
        return value

    def shape(self, node: Node, position: int = 0) -> tuple[int, ...]:
        """The graph's shape of what the node makes."""
        return self.graph.tensors[node.outputs[position]].shape

    def integers(self, node: Node, position: int, affine: Affine) -> Tensor:
        """A tensor as the node reads its integers: with that scale and zero point."""
        value = self.read(node, position, Tensor, Input)
        if isinstance(value, Input):
            value = self.take(value, self.affine_quantiser(node.inputs[position], affine, at(node)))
            self.values[node.inputs[position]] = value
        return self.read_as(node, value, affine)

    def read_as(self, node: Node, value: Tensor, affine: Affine) -> Tensor:
        """A tensor's integers with the scale and zero point that its reader gives them."""
        if affine.per_axis:
            raise UnsupportedOperatorError(
                f"{at(node)}: {affine.scale.size} scales for a tensor, but must be one"
            )
        scale = fraction(affine.scale[0], node)
        zero = Fraction(int(affine.zero_point[0]) - value.offset)
        drift = quantised_drift(scale, value.format.min - zero, value.format.max - zero)
        return dataclasses.replace(value, scale=scale, zero=zero, drift=drift)

    def affine_quantiser(self, name: str, affine: Affine, where: str, **rounding: Any) -> Quantiser:
        """The quantiser that makes a tensor of an affine quantisation; `rounding` are arguments of `Rounding`."""
        if affine.per_axis:
            raise UnsupportedOperatorError(
                f"{where}: {affine.scale.size} scales for a tensor, but must be one"
            )
        low, high = affine.limits
        made = Rounding(**{"mode": "HALF_EVEN", **rounding})
        zero = int(affine.zero_point[0])
        scale = Fraction(float(affine.scale[0]))
        return Quantiser(where, name, scale, zero, affine_format(affine), low, high, made)

    def quantised(self, node: Node, value: Value, quantiser: Quantiser) -> Tensor:
        """The tensor that a quantiser makes from a value; the same tensor if it does not change it."""
        if isinstance(value, Input):
            return self.take(value, quantiser)
        if isinstance(value, Tensor):
            same = (
                value.scale == quantiser.scale
                and value.zero + value.offset == quantiser.zero_point
                and value.format.bits == quantiser.format.bits
                and value.format.min + value.offset >= quantiser.low
                and value.format.max + value.offset <= quantiser.high
            )
            # Rounding to the nearest integer undoes what float32 loses, rounding down does not.
            if same and not (value.drift and quantiser.rounding.directed):
                return value
            value = algebra.opened(node.name, value)
        if not isinstance(value, Open):
            raise UnsupportedOperatorError(
                f"{at(node)}: input {node.inputs[0]!r} is {_KINDS[type(value)]}, which cannot be quantised"
            )
        return self.layers.closed(value, quantiser)

    def map(self, node: Node, value: Value, axis: int) -> Value:
        """`value`, a map whose channels are in `axis`; channels in another order are put into theirs by a layer."""
        shape = value.index.shape
        whole = 3 <= len(shape) <= 4 and shape[0] == 1 and shape[axis] == value.size[2]
        rest = tuple(n for i, n in enumerate(shape[1:], 1) if i != axis % len(shape))
        if whole and (*(1,) * (2 - len(rest)), *rest)[-2:] == value.size[:2]:
            plain = placed(shape, axis % len(shape))
            if np.array_equal(value.index, plain):
                return value
            order = np.moveaxis(value.index, axis, -1).reshape(-1, value.size[2])[0]
            if isinstance(value, Tensor) and sorted(order.tolist()) == list(range(len(order))):
                channels_first = np.moveaxis(plain, axis, 0)
                if np.array_equal(np.moveaxis(value.index, axis, 0), channels_first[order]):
                    plainly = dataclasses.replace(value, index=plain)
                    return self.layers.gathered(f"{value.name}.ordered", plainly, order, plain)
        order = "[1, C, H, W]" if axis == 1 else "[1, H, W, C]"
        raise UnsupportedOperatorError(
            f"{at(node)}: its input of shape {list(shape)} must be a map {order} as it was made"
        )

    def per_channel(self, values: np.ndarray, value: Tensor | Open, node: Node) -> list[Fraction]:
        """A constant that broadcasts over a layer's map as one fraction for each output channel."""
        channels = value.size[2]
        if values.size == 1:
            return [fraction(values.reshape(-1)[0], node)] * channels
        shape = value.index.shape
        places = np.zeros((value.index.size // channels, channels), np.float64)
        try:
            spread = np.broadcast_to(values.reshape(values.shape[-len(shape) :]), shape)
            places.ravel()[value.index.ravel()] = spread.ravel()
        except ValueError:
            places[:1] = np.nan
        if not (places == places[:1]).all() and not np.isinf(values).any():
            raise UnsupportedOperatorError(
                f"{at(node)}: constant has shape {list(values.shape)}, but must be one value or one for each of "
                f"{channels} channels of {list(shape)}"
            )
        return [fraction(number, node) for number in places[0]]


def _format_quantiser(name: str, given: Format) -> Quantiser:
    """The graph's real input as numbers of a format, an `IntFormat` or `ApFixed`."""
    where = f"the input's format {given}"
    if isinstance(given, IntFormat):
        return Quantiser(where, name, Fraction(1), 0, given, given.min, given.max)
    try:
        target = IntFormat(given.width, given.signed)
    except ConfigurationError as error:
        raise DoesNotFitError(f"{where}: {error}") from None
    return Quantiser(where, name, Fraction(2) ** -given.fraction, 0, target, target.min, target.max)


def _with_row(value: Value) -> Value:
    """A value of `[1, C, W]` (or a weight `[K, C, W]`) as maps of one row."""
    if isinstance(value, Constant):
        if value.values.ndim != 3:
            return value
        integers, scale = (
            None if array is None else array[:, :, None] if array.ndim == 3 else array
            for array in (value.integers, value.scale)
        )
        return Constant(value.values[:, :, None], integers, scale, value.format)
    if isinstance(value, Input):
        return value
    return dataclasses.replace(value, index=value.index[:, :, None])


def _without_row(value: Value) -> Value:
    return dataclasses.replace(value, index=value.index[:, :, 0])
