"""Reads QONNX files of one pattern as integer networks, which is what the matrix-vector unit runs.

Between two Quant nodes (`golden.schemes.qonnx`) a QONNX graph computes with real numbers. Here they are exact
rationals: a layer's scales, factors and biases are multiplied out as fractions and must come to integers over one
power of two. So nothing is rounded that the graph does not round, and a file whose numbers have no such form is
refused, not approximated. `golden.importers.onnx` reads any other QONNX file as a graph of float32 tensors.

Supported pattern, one fused layer each, with optional parts in square brackets; constants may come in any
number and order before the ReLU, and ReLU and pooling may change places:

    Conv | Gemm | MatMul  [Mul, Add constant]  [Add tensor [Mul constant]]  [Relu]  [MaxPool]  Quant

A MaxPool may also follow the Quant, since both are monotone. Flatten or Reshape may stand before Gemm and
MatMul.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
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
from golden.network import MULTIPLIER, Layer, Network, Pool, Residual
from golden.operators import MAX_SHIFT, conv2d_output_size
from golden.schemes.qonnx import DOMAINS, Quant, parameter

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["from_bytes", "from_model", "load"]


def load(path: str | PathLike[str]) -> Network:
    """Read a QONNX file of the pattern above into an integer network.

    The network's input is the integers that the file's first Quant makes (x / scale), and every tensor has
    the name of the Quant (or MaxPool) output it equals, divided by that Quant's scale, in NHWC order.

    Raises:
        GoldenError: the file cannot be read, or the package onnx is missing.
        ModelFormatError: not an ONNX file, cut off, or with values that are not exact in integers.
        UnsupportedOperatorError: an operator or attribute outside the supported pattern.
    """
    path = Path(path)
    return from_bytes(model_file.read(path), path.stem)


def from_bytes(content: bytes, name: str) -> Network:
    """`load` for a file's content; `name` becomes the network's name and starts the messages of errors."""
    return from_model(model_file.parse_onnx(content, name), name)


def from_model(model: Any, name: str) -> Network:
    """`from_bytes` for an `onnx.ModelProto`."""
    try:
        return _Reader(model.graph).network(name)
    except GoldenError as error:
        # A layer or network that cannot be is the file's fault here, not the caller's. And names in a damaged
        # file may hold line breaks, but a message is one line.
        kind = ModelFormatError if isinstance(error, ConfigurationError) else type(error)
        raise kind(" ".join(f"{name}: {error}".split())) from None


# What a name in the graph can stand for while it is read. None of them is changed after it is made, so that
# several nodes may read the same one.


@dataclass(frozen=True)
class _GraphInput:
    name: str
    size: tuple[int, int, int]  # H, W, C
    flat: bool  # [N, C] rather than [N, C, H, W]


@dataclass(frozen=True)
class _Constant:
    values: np.ndarray


@dataclass(frozen=True)
class _QuantisedConstant:
    integers: np.ndarray
    format: IntFormat
    scale: np.ndarray  # float64 that broadcasts against integers


@dataclass(frozen=True)
class _Tensor:
    name: str
    format: IntFormat
    scale: Fraction
    size: tuple[int, int, int]  # H, W, C
    flat: bool


@dataclass(frozen=True)
class _ScaledTensor:
    tensor: _Tensor
    factor: Fraction


@dataclass(frozen=True)
class _OpenLayer:
    """A layer up to, not including, its Quant: acc * factors + offsets + residual, then ReLU and pooling."""

    name: str
    source: _Tensor
    weight: np.ndarray  # K, fH, fW, C
    weight_format: IntFormat
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    size: tuple[int, int, int]
    flat: bool
    factors: tuple[Fraction, ...]
    offsets: tuple[Fraction, ...]
    groups: int = 1
    residual: _ScaledTensor | None = None
    relu: bool = False
    pool: Pool | None = None

    @property
    def linear(self) -> bool:
        return not self.relu and self.pool is None


class _Reader:
    """Walks a graph once, in its (topological) order, and gives every name a value."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._values: dict[str, Any] = {}
        self._layers: list[Layer] = []
        self._input: _Tensor | None = None
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(output.name for output in graph.output)
        self._operators = {
            "Add": self._add,
            "Cast": self._cast,
            "Constant": self._constant,
            "Conv": self._conv,
            "Flatten": self._flatten,
            "Gemm": self._gemm,
            "Identity": self._identity,
            "IntQuant": self._quant,
            "MatMul": self._matmul,
            "MaxPool": self._max_pool,
            "Mul": self._mul,
            "Quant": self._quant,
            "Relu": self._relu,
            "Reshape": self._reshape,
        }

    def network(self, name: str) -> Network:
        for tensor in self._graph.initializer:
            self._values[tensor.name] = _Constant(_array(tensor, f"initializer {tensor.name!r}"))
        inputs = [value for value in self._graph.input if value.name not in self._values]
        if len(inputs) != 1 or len(self._graph.output) != 1:
            raise ModelFormatError(
                f"the graph has {len(inputs)} inputs and {len(self._graph.output)} outputs, "
                f"but must have one of each"
            )
        self._values[inputs[0].name] = _graph_input(inputs[0])
        for node in self._graph.node:
            domains = DOMAINS if node.op_type in ("Quant", "IntQuant") else ("", "ai.onnx")
            if node.op_type not in self._operators or node.domain not in domains:
                domain = f" of domain {node.domain}" if node.domain else ""
                raise UnsupportedOperatorError(
                    f"{_at(node)}: operator {node.op_type}{domain} is not among those supported: "
                    f"{', '.join(self._operators)}"
                )
            if not node.output:
                raise ModelFormatError(f"{_at(node)} has 0 outputs, but must have 1")
            self._values[node.output[0]] = self._operators[node.op_type](node, _attributes(node))
        output = self._values.get(self._graph.output[0].name)
        if not isinstance(output, _Tensor) or not self._layers or output.name != self._layers[-1].output:
            raise ModelFormatError(
                f"graph output {self._graph.output[0].name!r} must be what the last layer's Quant node makes"
            )
        return Network(name, self._input.name, self._input.size, tuple(self._layers))

    # Operators: (node, attributes) -> value of the node's first output.

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
        if attributes.get("to") not in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute to is {attributes.get('to')}, but must be FLOAT or DOUBLE"
            )
        if not isinstance(value, _Constant):
            return value
        values = value.values.astype(np.float64)
        if attributes["to"] == onnx.TensorProto.FLOAT:
            values = values.astype(np.float32)
        return _Constant(values)

    def _relu(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, _OpenLayer, _Tensor)
        if isinstance(value, _OpenLayer):
            # max(0, .) and a maximum over a window may change places, so the order in the file does not
            # matter.
            return dataclasses.replace(value, relu=True)
        if value.format.signed:
            raise UnsupportedOperatorError(
                f"{_at(node)} reads the signed tensor {value.name!r}, but must stand before its Quant"
            )
        return value

    def _max_pool(self, node: Any, attributes: dict[str, Any]) -> Any:
        value = self._read(node, 0, _OpenLayer, _Tensor)
        window = tuple(attributes.get("kernel_shape", ()))
        if len(window) != 2 or value.flat:
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute kernel_shape is {list(window)}, but must have 2 values"
            )
        _allow(node, attributes, "pads", [0, 0, 0, 0])
        _allow(node, attributes, "dilations", [1, 1])
        _allow(node, attributes, "ceil_mode", 0)
        _allow(node, attributes, "auto_pad", "NOTSET", "VALID")
        pool = Pool(window, tuple(attributes.get("strides", (1, 1))))
        size = (*self._size(node, value.size[:2], *pool), value.size[2])
        if isinstance(value, _OpenLayer):
            if value.pool is not None:
                raise UnsupportedOperatorError(f"{_at(node)} is the second in its layer, of at most 1")
            return dataclasses.replace(value, pool=pool, size=size)
        # After the Quant: pooling its integers equals quantising the pooled values, because rounding and
        # saturation never exchange two values. It can move only if nobody reads the tensor in between.
        index = next((i for i, layer in enumerate(self._layers) if layer.output == value.name), None)
        if index is None or self._layers[index].pool is not None or self._uses[node.input[0]] > 1:
            raise UnsupportedOperatorError(
                f"{_at(node)} must follow a layer without pooling whose tensor nobody else reads"
            )
        self._layers[index] = dataclasses.replace(self._layers[index], pool=pool, output=node.output[0])
        return dataclasses.replace(value, name=node.output[0], size=size)

    def _flatten(self, node: Any, attributes: dict[str, Any]) -> _Tensor:
        _allow(node, attributes, "axis", 1)
        return dataclasses.replace(self._read(node, 0, _Tensor), flat=True)

    def _reshape(self, node: Any, attributes: dict[str, Any]) -> _Tensor:
        _allow(node, attributes, "allowzero", 0)
        value = self._read(node, 0, _Tensor)
        shape = self._read(node, 1, _Constant).values.ravel().tolist()
        features = int(np.prod(value.size))
        # One -1 at most stands for whatever is left; a first value of 0 copies the batch size, 1 states it.
        if len(shape) != 2 or shape not in ([-1, features], [0, features], [1, features], [0, -1], [1, -1]):
            raise UnsupportedOperatorError(
                f"{_at(node)}: shape is {shape}, but must flatten to [batch, {features}]"
            )
        return dataclasses.replace(value, flat=True)

    def _mul(self, node: Any, attributes: dict[str, Any]) -> _OpenLayer | _ScaledTensor:
        value, constant = self._pair(node)
        if not isinstance(constant, _Constant):
            raise UnsupportedOperatorError(f"{_at(node)} must have one constant operand")
        if isinstance(value, _Tensor):
            value = _ScaledTensor(value, value.scale)
        if isinstance(value, _ScaledTensor):
            if constant.values.size != 1:
                raise UnsupportedOperatorError(
                    f"{_at(node)}: constant has shape {list(constant.values.shape)}, "
                    f"but a tensor to be added must be multiplied by one value"
                )
            return dataclasses.replace(value, factor=value.factor * _fraction(constant.values.item(), node))
        self._check_linear(node, value)
        by = _per_channel(constant.values, value, node)
        residual = value.residual
        if residual is not None:
            if len(set(by)) > 1:
                raise UnsupportedOperatorError(
                    f"{_at(node)}: constant differs between channels, "
                    f"but must be one value after an Add of a tensor"
                )
            residual = dataclasses.replace(residual, factor=residual.factor * by[0])
        return dataclasses.replace(
            value,
            factors=tuple(a * b for a, b in zip(value.factors, by, strict=True)),
            offsets=tuple(a * b for a, b in zip(value.offsets, by, strict=True)),
            residual=residual,
        )

    def _add(self, node: Any, attributes: dict[str, Any]) -> _OpenLayer:
        value, other = self._pair(node)
        if not isinstance(value, _OpenLayer) or isinstance(other, _OpenLayer):
            raise UnsupportedOperatorError(
                f"{_at(node)} must add a constant or a quantised tensor to one convolution or product"
            )
        self._check_linear(node, value)
        if isinstance(other, _Constant):
            added = _per_channel(other.values, value, node)
            offsets = tuple(a + b for a, b in zip(value.offsets, added, strict=True))
            return dataclasses.replace(value, offsets=offsets)
        if isinstance(other, _Tensor):
            other = _ScaledTensor(other, other.scale)
        if value.residual is not None:
            raise UnsupportedOperatorError(f"{_at(node)} adds a second tensor to its layer, of at most 1")
        if other.tensor.size != value.size or other.tensor.flat != value.flat:
            raise ModelFormatError(
                f"{_at(node)}: tensor {other.tensor.name!r} is {other.tensor.size} in (H, W, C), "
                f"but must be {value.size}"
            )
        return dataclasses.replace(value, residual=other)

    def _conv(self, node: Any, attributes: dict[str, Any]) -> _OpenLayer:
        source = self._read(node, 0, _Tensor)
        constant = self._read(node, 1, _QuantisedConstant)
        weight = constant.integers
        groups = attributes.get("group", 1)
        if (
            weight.ndim != 4
            or source.flat
            or groups < 1
            or weight.shape[1] * groups != source.size[2]
            or weight.shape[0] % groups
        ):
            raise UnsupportedOperatorError(
                f"{_at(node)}: weight has shape {list(weight.shape)} and group is {groups}, "
                f"but must be [outputs, {source.size[2]} / group, rows, columns]"
            )
        kernel = weight.shape[2:]
        if groups > 1 and (groups != source.size[2] or groups != len(weight)):
            constant, groups = _ungrouped(constant, groups), 1
        _allow(node, attributes, "dilations", [1, 1])
        _allow(node, attributes, "kernel_shape", list(kernel))
        _allow(node, attributes, "auto_pad", "NOTSET", "VALID")
        stride = tuple(attributes.get("strides", (1, 1)))
        padding = tuple(attributes.get("pads", (0, 0, 0, 0)))
        size = self._size(node, source.size[:2], kernel, stride, padding)
        shape = constant.integers.shape
        layer = self._open(node, source, constant, (0, 2, 3, 1), shape, stride, padding, size, 2)
        return dataclasses.replace(layer, groups=groups)

    def _gemm(self, node: Any, attributes: dict[str, Any]) -> _OpenLayer:
        _allow(node, attributes, "alpha", 1.0)
        _allow(node, attributes, "beta", 1.0)
        _allow(node, attributes, "transA", 0)
        return self._dense(node, transposed=bool(attributes.get("transB", 0)))

    def _matmul(self, node: Any, attributes: dict[str, Any]) -> _OpenLayer:
        return self._dense(node, transposed=False)

    def _dense(self, node: Any, transposed: bool) -> _OpenLayer:
        """A product with a matrix, [features, outputs] unless transposed, as a convolution over the whole
        map."""
        source = self._read(node, 0, _Tensor)
        constant = self._read(node, 1, _QuantisedConstant)
        height, width, channels = source.size
        features = height * width * channels
        if (
            constant.integers.ndim != 2
            or not source.flat
            or constant.integers.shape[int(transposed)] != features
        ):
            raise ModelFormatError(
                f"{_at(node)}: weight {list(constant.integers.shape)} and tensor "
                f"{source.name!r} must be matrices that share the dimension of {features} features"
            )
        if not transposed:
            scale = np.broadcast_to(constant.scale, constant.integers.shape).T
            constant = dataclasses.replace(constant, integers=constant.integers.T, scale=scale)
        # ONNX flattens NCHW maps, so features come in the order channel, row, column.
        shape = (len(constant.integers), channels, height, width)
        return self._open(node, source, constant, (0, 2, 3, 1), shape, (1, 1), (0, 0, 0, 0), (1, 1), 2)

    def _open(
        self,
        node: Any,
        source: _Tensor,
        constant: _QuantisedConstant,
        order: tuple[int, ...],
        shape: tuple[int, ...],
        stride: tuple[int, int],
        padding: tuple[int, int, int, int],
        size: tuple[int, int],
        bias_input: int,
    ) -> _OpenLayer:
        outputs = shape[0]
        scales = np.broadcast_to(constant.scale, constant.integers.shape).reshape(outputs, -1)
        if (scales != scales[:, :1]).any():
            raise UnsupportedOperatorError(
                f"{_at(node)}: the weight's scale varies within an output channel, but must not"
            )
        layer = _OpenLayer(
            name=node.name or node.output[0],
            source=source,
            weight=constant.integers.reshape(shape).transpose(order),
            weight_format=constant.format,
            stride=stride,
            padding=padding,
            size=(*size, outputs),
            flat=source.flat,
            factors=tuple(source.scale * _fraction(s, node) for s in scales[:, 0]),
            offsets=(Fraction(0),) * outputs,
        )
        if len(node.input) <= bias_input or not node.input[bias_input]:
            return layer
        bias = self._read(node, bias_input, _Constant, _QuantisedConstant)
        values = bias.values if isinstance(bias, _Constant) else bias.integers * bias.scale
        # Conv's bias is [K] whatever the rank of its map; Gemm's broadcasts, and [K] is its usual form.
        if values.size not in (1, outputs) or (values.size == 1 and node.op_type == "Conv" and outputs > 1):
            raise ModelFormatError(f"{_at(node)}: bias has {values.size} values, but must have {outputs}")
        values = np.broadcast_to(values.ravel(), (outputs,))
        return dataclasses.replace(layer, offsets=tuple(_fraction(v, node) for v in values))

    def _quant(self, node: Any, attributes: dict[str, Any]) -> _Tensor | _QuantisedConstant:
        value = self._read(node, 0)
        scale = self._read(node, 1, _Constant).values
        zero_point = self._read(node, 2, _Constant).values
        bits = self._read(node, 3, _Constant).values
        if bits.size != 1 or not float(bits.item()).is_integer():
            raise ModelFormatError(f"{_at(node)}: bit width is {bits.tolist()}, but must be one integer")
        if np.any(zero_point != 0):
            raise UnsupportedOperatorError(
                f"{_at(node)}: zero point is {zero_point.ravel()[0]}, but must be 0"
            )
        for name in ("signed", "narrow"):
            if name not in attributes:
                raise ModelFormatError(f"{_at(node)}: attribute {name} is missing, but must be 0 or 1")
        if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
            raise ModelFormatError(f"{_at(node)}: scale must be above 0, but one is {scale.min()}")
        try:
            scale = parameter(scale, "scale")
            target = IntFormat(int(bits.item()), bool(attributes["signed"]))
        except ConfigurationError as error:
            raise UnsupportedOperatorError(f"{_at(node)}: {error}") from None
        if str(target) == "s1":
            raise UnsupportedOperatorError(
                f"{_at(node)}: 1 signed bit means -1 and 1 in QONNX, but must be 2 to {MAX_BITS} bits"
            )
        narrow, mode = bool(attributes["narrow"]), attributes.get("rounding_mode", "ROUND").upper()
        if isinstance(value, _Constant):
            return _quantised_constant(node, value.values, scale, target, narrow, mode)
        if narrow:
            raise UnsupportedOperatorError(
                f"{_at(node)}: attribute narrow is 1, but must be 0 for activations"
            )
        if scale.size != 1:
            raise UnsupportedOperatorError(f"{_at(node)}: {scale.size} scales for a tensor, but must be one")
        unit = _fraction(scale.item(), node)
        if isinstance(value, _GraphInput):
            self._input = _Tensor(node.output[0], target, unit, value.size, value.flat)
            return self._input
        if isinstance(value, _OpenLayer):
            return self._close(node, value, target, unit, mode)
        if isinstance(value, _Tensor) and value.format == target and value.scale == unit:
            return value
        raise UnsupportedOperatorError(
            f"{_at(node)} must quantise the graph input, a constant or a convolution or product, once"
        )

    def _close(self, node: Any, layer: _OpenLayer, target: IntFormat, unit: Fraction, mode: str) -> _Tensor:
        """Bring an open layer to integers over one power of two, and append it to the network."""
        factors = [factor / unit for factor in layer.factors]
        offsets = [offset / unit for offset in layer.offsets]
        added = layer.residual.factor / unit if layer.residual else Fraction(0)
        where = f"node {layer.name!r}, quantised by {_at(node)}"
        shift = 0
        for what, values in (("factor", factors), ("bias", offsets), ("residual factor", [added])):
            for channel, value in enumerate(values):
                if value.denominator & (value.denominator - 1):
                    raise ModelFormatError(
                        f"{where}: {what} {float(value)} of channel {channel} "
                        f"must be an integer over a power of two"
                    )
                shift = max(shift, value.denominator.bit_length() - 1)
        if shift > MAX_SHIFT:
            raise ModelFormatError(
                f"{where}: values need {shift} fraction bits, but must have at most {MAX_SHIFT}"
            )
        multipliers = [int(factor * 2**shift) for factor in factors]
        for channel, multiplier in enumerate(multipliers):
            if not MULTIPLIER.contains(multiplier):
                raise ModelFormatError(
                    f"{where}: factor {float(factors[channel])} of channel {channel} is "
                    f"{multiplier} / 2**{shift}, "
                    f"but the multiplier must be from {MULTIPLIER.min} to {MULTIPLIER.max}"
                )
        biases = [int(offset * 2**shift) for offset in offsets]
        if max(map(abs, biases)) >= 1 << 63:
            raise ModelFormatError(
                f"{where}: bias reaches {max(map(abs, biases))}, but must stay below 2**63"
            )
        residual = None
        if layer.residual is not None:
            residual = _residual(layer.residual.tensor, int(added * 2**shift), where)
        closed = Layer(
            name=layer.name,
            input=layer.source.name,
            output=node.output[0],
            weight=layer.weight,
            weight_format=layer.weight_format,
            input_format=layer.source.format,
            output_format=target,
            multiplier=np.array(multipliers, np.int64),
            bias=np.array(biases, np.int64),
            shift=shift,
            stride=layer.stride,
            padding=layer.padding,
            groups=layer.groups,
            residual=residual,
            relu=layer.relu,
            pool=layer.pool,
            rounding=_rounding(node, mode, shift, nonnegative=layer.relu or not target.signed),
        )
        self._layers.append(closed)
        return _Tensor(closed.output, target, unit, layer.size, layer.flat)

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
        """Both operands of a commutative node: a layer first if there is one, a constant last."""
        kinds = (_OpenLayer, _ScaledTensor, _Tensor, _Constant)
        operands = [self._read(node, index, *kinds) for index in (0, 1)]
        operands.sort(key=lambda value: kinds.index(type(value)))
        return operands[0], operands[1]

    def _check_linear(self, node: Any, layer: _OpenLayer) -> None:
        if not layer.linear:
            raise UnsupportedOperatorError(
                f"{_at(node)} follows a Relu or MaxPool, but must stand before them"
            )

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
    _Tensor: "a tensor from a Quant",
    _ScaledTensor: "a tensor from a Mul",
    _OpenLayer: "a layer without its Quant",
}


def _at(node: Any) -> str:
    """How an error message names a node: by its name or its first output, and its operator."""
    return f"node {node.name or (node.output[0] if node.output else '?')!r} ({node.op_type})"


# The attributes that the operators above read or check, by the type ONNX and QONNX give them. Any other could
# change what a node means, so it is refused.
_ATTRIBUTES = {
    "FLOAT": {"alpha", "beta", "value_float"},
    "FLOATS": {"value_floats"},
    "INT": {
        "allowzero",
        "axis",
        "ceil_mode",
        "group",
        "narrow",
        "signed",
        "storage_order",
        "to",
        "transA",
        "transB",
        "value_int",
    },
    "INTS": {"dilations", "kernel_shape", "pads", "strides", "value_ints"},
    "STRING": {"auto_pad", "rounding_mode"},
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


def _graph_input(value: Any) -> _GraphInput:
    dims = [d.dim_value if d.HasField("dim_value") else 0 for d in value.type.tensor_type.shape.dim]
    if len(dims) not in (2, 4) or min(dims[1:]) < 1:
        raise ModelFormatError(
            f"graph input {value.name!r} has shape {dims}, "
            f"but must be [N, C, H, W] or [N, C] with known C, H, W"
        )
    size = (dims[2], dims[3], dims[1]) if len(dims) == 4 else (1, 1, dims[1])
    return _GraphInput(value.name, size, flat=len(dims) == 2)


def _fraction(value: float, node: Any) -> Fraction:
    """The exact value of a float, which is always an integer over a power of two."""
    if not np.isfinite(value):
        raise ModelFormatError(f"{_at(node)}: constant {value} must be finite")
    return Fraction(float(value))


def _per_channel(values: np.ndarray, layer: _OpenLayer, node: Any) -> list[Fraction]:
    """A constant that broadcasts over a layer's map as one fraction for each output channel."""
    channels = layer.size[2]
    shape = (1, channels) if layer.flat else (1, channels, 1, 1)
    if values.size != 1 and (1,) * (len(shape) - values.ndim) + values.shape != shape:
        raise UnsupportedOperatorError(
            f"{_at(node)}: constant has shape {list(values.shape)}, but must be one value or {list(shape)}"
        )
    return [_fraction(value, node) for value in np.broadcast_to(values.ravel(), (channels,))]


def _quantised_constant(
    node: Any, values: np.ndarray, scale: np.ndarray, target: IntFormat, narrow: bool, mode: str
) -> _QuantisedConstant:
    try:
        quant = Quant(scale, np.zeros(1, np.float32), target.bits, target.signed, narrow, mode)
    except ConfigurationError as error:
        raise UnsupportedOperatorError(f"{_at(node)}: {error}") from None
    integers = quant.integers(values.astype(np.float32))
    if not np.all(np.isfinite(integers)) or not np.all(np.isfinite(values)):
        raise ModelFormatError(f"{_at(node)}: a weight is not finite")
    return _QuantisedConstant(integers.astype(np.int64), target, quant.scale.astype(np.float64))


def _ungrouped(constant: _QuantisedConstant, groups: int) -> _QuantisedConstant:
    """The weight of a convolution in groups as one of all channels, 0 for those of the other groups."""
    outputs, channels = constant.integers.shape[:2]
    full = []
    for values in (constant.integers, np.broadcast_to(constant.scale, constant.integers.shape)):
        spread = np.zeros((groups, outputs // groups, groups, *values.shape[1:]), values.dtype)
        for group, part in enumerate(values.reshape(groups, -1, *values.shape[1:])):
            spread[group, :, group] = part
        full.append(spread.reshape(outputs, groups * channels, *values.shape[2:]))
    scale = np.where(full[1] == 0, full[1].max(axis=(1, 2, 3), keepdims=True), full[1])
    return dataclasses.replace(constant, integers=full[0], scale=scale)


def _residual(tensor: _Tensor, factor: int, where: str) -> Residual:
    """Split an integer factor into a 16-bit multiplier and a left shift."""
    multiplier, shift = factor, 0
    while not MULTIPLIER.contains(multiplier) and multiplier % 2 == 0:
        multiplier, shift = multiplier // 2, shift + 1
    try:
        return Residual(tensor.name, tensor.format, multiplier, shift)
    except ConfigurationError as error:
        raise ModelFormatError(f"{where}: {error}") from None


def _rounding(node: Any, mode: str, shift: int, nonnegative: bool) -> str:
    """The quantiser's rounding that equals QONNX's mode on every value this layer can have."""
    if shift == 0:
        return "half_up"  # integers already: all modes agree
    if mode == "FLOOR" or (mode == "DOWN" and nonnegative):
        return "truncate"
    # QONNX's HALF_UP rounds half away from zero. That differs for negative values only, and those become 0
    # anyway if a ReLU or an unsigned format follows.
    if mode == "HALF_UP" and nonnegative:
        return "half_up"
    raise UnsupportedOperatorError(
        f"{_at(node)}: attribute rounding_mode is {mode} on values with {shift} fraction bits, "
        f"but must be FLOOR, or HALF_UP after a Relu or to an unsigned format"
    )
