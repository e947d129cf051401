# SPDX-License-Identifier: Apache-2.0
"""Writes ONNX files in QDQ form from TensorFlow Lite int8 graphs, with the same weights, scales and zero points.

Every operator becomes its float32 form between DequantizeLinear and QuantizeLinear. So any runtime of ONNX runs the
network, and a runtime that fuses such groups runs it in integers. The arithmetic is then ONNX's
(`golden.schemes.onnx`): a value may be a step away from TFLite's fixed-point one where the roundings differ.
`golden.load` reads the file back.

Maps are `[N, H, W, C]` in the graph and `[N, C, H, W]` between the operators of the file. Inputs and outputs keep the
graph's own order. A tensor in the graph's order has its own name; a map has the name with the suffix `.nchw`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden.errors import GoldenError, UnsupportedOperatorError
from assay.golden.graph import Graph, Node
from assay.golden.layers import shaping, tflite_reductions
from assay.golden.layers import tflite as layers
from assay.golden.layers.linear import Convolution, Window
from assay.golden.schemes.tflite import Affine, FloatRescale, Rescale

__all__ = ["OPSET", "save", "to_bytes"]

# Opset 13 is the first with per-axis DequantizeLinear.
OPSET, _IR_VERSION = 13, 8
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_NOTHING = np.float32(2.0**-100)
_CLIPS = {"RELU": (0.0, None), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}


def save(graph: Graph, path: Path) -> None:
    """Write a graph to an .onnx file; see `to_bytes`.

    Raises:
        GoldenError: the file cannot be written; and as `to_bytes`.
    """
    content = to_bytes(graph)
    try:
        Path(path).write_bytes(content)
    except OSError as error:
        raise GoldenError(f"{path} cannot be written: {error.strerror}") from None


def to_bytes(graph: Graph) -> bytes:
    """The content of a QDQ .onnx file for a graph that was read from a .tflite file.

    Args:
        graph: without state, of CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, ADD, SUB, MUL, AVERAGE_POOL_2D,
            MAX_POOL_2D, MEAN and SUM, SOFTMAX, CONCATENATION, PAD, RESHAPE and TRANSPOSE on int8 tensors.

    Raises:
        UnsupportedOperatorError: another operator, a tensor that is not int8, or state.
        GoldenError: the package `onnx` is not installed.
    """
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError:
        raise GoldenError(
            "writing .onnx files needs the package onnx, install it with: pip install onnx"
        ) from None
    return _Writer(onnx, graph).model().SerializeToString(deterministic=True)


class _Writer:
    """Collects ONNX nodes and stored arrays."""

    def __init__(self, onnx: Any, graph: Graph) -> None:
        self._onnx = onnx
        self._graph = graph
        self._nodes: list[Any] = []
        self._stored: list[Any] = []
        self._names = set(graph.tensors)
        self._maps: dict[str, str] = {}  # tensor -> its name in the order [N, C, H, W]
        self._plain: set[str] = set()  # tensors that are written in their own order

    def model(self) -> Any:
        graph, helper = self._graph, self._onnx.helper
        if graph.variables:
            raise UnsupportedOperatorError(
                f"graph {graph.name} has state {', '.join(map(repr, graph.variables))}, but QDQ ONNX has none"
            )
        for name, values in graph.constants.items():
            self._stored.append(self._onnx.numpy_helper.from_array(values, name))
        self._plain.update(graph.inputs, graph.constants)
        for node in graph.nodes:
            self._write(node)
        for name in graph.outputs:
            self._own_order(name)
        infos = [
            [
                helper.make_tensor_value_info(
                    name,
                    helper.np_dtype_to_tensor_dtype(graph.tensors[name].dtype),
                    graph.tensors[name].shape,
                )
                for name in names
            ]
            for names in (graph.inputs, graph.outputs)
        ]
        made = helper.make_graph(self._nodes, graph.name, *infos, self._stored)
        return helper.make_model(
            made,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="assay",
        )

    # Tensors.

    def _affine(self, name: str) -> Affine:
        tensor = self._graph.tensors[name]
        if tensor.dtype != np.int8 or not isinstance(tensor.quantisation, Affine):
            raise UnsupportedOperatorError(
                f"tensor {name!r} is {tensor.quantisation or tensor.dtype}, but must be int8 with a scale"
            )
        return tensor.quantisation

    def _new(self, name: str) -> str:
        """A name that nothing has."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def _store(self, name: str, values: np.ndarray) -> str:
        name = self._new(name)
        self._stored.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def _put(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(
            self._onnx.helper.make_node(kind, inputs, [output], name=f"{output}.{kind}", **attributes)
        )
        return output

    def _map(self, name: str) -> str:
        """A tensor with four axes as [N, C, H, W]."""
        if name not in self._maps:
            self._maps[name] = self._put("Transpose", [name], self._new(f"{name}.nchw"), perm=_TO_NCHW)
        return self._maps[name]

    def _own_order(self, name: str) -> str:
        if name not in self._plain:
            self._put("Transpose", [self._maps[name]], name, perm=_TO_NHWC)
            self._plain.add(name)
        return name

    def _read(self, name: str) -> str:
        return self._map(name) if len(self._graph.tensors[name].shape) == 4 else self._own_order(name)

    def _parameters(self, name: str, affine: Affine) -> list[str]:
        scale, zero = affine.scale[0], np.array(affine.zero_point[0], affine.dtype)
        return [self._store(f"{name}.scale", np.array(scale)), self._store(f"{name}.zero_point", zero)]

    def _dequantised(self, name: str) -> str:
        affine, source = self._affine(name), self._read(name)
        return self._put(
            "DequantizeLinear", [source, *self._parameters(source, affine)], self._new(f"{source}.real")
        )

    def _weights(self, node: Node, values: np.ndarray, scale: np.ndarray, what: str, axis: int = 0) -> str:
        """Integers behind DequantizeLinear, per tensor or along an axis, zero point 0."""
        scale = scale if scale.size > 1 else scale[0]
        inputs = [self._store(f"{node.name}.{what}", values), self._store(f"{node.name}.{what}_scale", scale)]
        attributes = {"axis": axis} if np.ndim(scale) else {}
        return self._put("DequantizeLinear", inputs, self._new(f"{node.name}.{what}_real"), **attributes)

    def _quantise(self, node: Node, real: str, activation: str = "NONE") -> None:
        """The node's output from its float32 value."""
        (name,) = node.outputs
        affine = self._affine(name)
        if activation != "NONE":
            bounds = (
                "" if b is None else self._store(f"{node.name}.bound", np.array(b, np.float32))
                for b in _CLIPS[activation]
            )
            real = self._put("Clip", [real, *bounds], self._new(f"{node.name}.clipped"))
        self._put("QuantizeLinear", [real, *self._parameters(name, affine)], self._made(name))

    def _made(self, name: str) -> str:
        """Under which name a node's output is written, a map if it has four axes."""
        if len(self._graph.tensors[name].shape) == 4:
            self._maps[name] = self._new(f"{name}.nchw")
            return self._maps[name]
        self._plain.add(name)
        return name

    # Operators.

    def _write(self, node: Node) -> None:
        operator = node.operator
        paired = operator.operator if isinstance(operator, layers.Pairwise) else None
        if isinstance(operator, layers.Conv2D):
            self._convolution(node, operator)
        elif isinstance(operator, layers.FullyConnected):
            self._dense(node, operator)
        elif isinstance(paired, (layers.Add, layers.Multiply)):
            kind = "Mul" if isinstance(paired, layers.Multiply) else "Sub" if paired.subtract else "Add"
            self._simple(node, kind, activation=paired.activation)
        elif isinstance(operator, tflite_reductions.MaxPool2D):
            self._simple(node, "MaxPool", activation=operator.activation, **_window(operator.window))
        elif isinstance(operator, tflite_reductions.AveragePool2D):
            self._simple(node, "AveragePool", activation=operator.activation, **_window(operator.window))
        elif isinstance(operator, tflite_reductions.Softmax) and operator.beta == 1 and self._rank(node) != 4:
            self._simple(node, "Softmax", axis=-1)
        elif isinstance(operator, tflite_reductions.Reduce):
            self._reduce(node, operator)
        elif isinstance(operator, shaping.Concatenate):
            axis = _TO_NCHW.index(operator.axis) if self._rank(node) == 4 else operator.axis
            self._simple(node, "Concat", axis=axis)
        elif isinstance(operator, shaping.Pad):
            self._pad(node, operator)
        elif isinstance(operator, (shaping.Reshape, shaping.Transpose)):
            self._moved(node, operator)
        else:
            raise UnsupportedOperatorError(
                f"node {node.name!r} ({node.kind}): operator {type(operator).__name__} has no QDQ form here"
            )

    def _rank(self, node: Node) -> int:
        return len(self._graph.tensors[node.inputs[0]].shape)

    def _simple(self, node: Node, kind: str, activation: str = "NONE", **attributes: Any) -> None:
        """An operator with the same meaning in both."""
        inputs = [self._dequantised(name) for name in node.inputs]
        ranks = {len(self._graph.tensors[name].shape) for name in node.inputs}
        if 4 in ranks and len(ranks) > 1:
            raise UnsupportedOperatorError(
                f"node {node.name!r} ({node.kind}): inputs have {' and '.join(map(str, sorted(ranks)))} axes, but "
                f"must have as many each"
            )
        self._quantise(
            node, self._put(kind, inputs, self._new(f"{node.name}.real"), **attributes), activation
        )

    def _scales(self, node: Node, rescale: Rescale | FloatRescale) -> np.ndarray:
        """The weights' scales, which a graph holds as factors input scale * weight scale / output scale of 31 bits or
        more: the float32 numbers nearest to what these give."""
        if isinstance(rescale, FloatRescale):
            factor = rescale.factor
        else:
            factor = np.ldexp(rescale.multiplier / 2.0**31, rescale.shift.astype(np.int32))
        source, target = (
            self._affine(names[0]).scale.astype(np.float64) for names in (node.inputs, node.outputs)
        )
        scale = (factor * target / source).astype(np.float32)
        # A factor that TFLite rounds to 0 makes every value 0, as any scale far below all others does.
        return np.where(factor == 0, _NOTHING, scale)

    def _weighted(self, node: Node, layer: layers.Conv2D, order: tuple[int, ...]) -> list[str]:
        """The input, the weights in `order` and, unless it is 0, the bias."""
        convolution, scale = layer.convolution, self._scales(node, layer.rescale)
        values = convolution.weight.astype(np.int8)
        if (values != convolution.weight).any():
            raise UnsupportedOperatorError(
                f"node {node.name!r} ({node.kind}): weights less their zero point span {convolution.weight.min()} to "
                f"{convolution.weight.max()}, but must be int8"
            )
        values = (values if len(order) == 4 else values[:, 0, 0]).transpose(order)
        inputs = [self._dequantised(node.inputs[0]), self._weights(node, values, scale, "weight")]
        if convolution.bias.any():
            real = self._affine(node.inputs[0]).scale * scale
            inputs.append(self._weights(node, convolution.bias.astype(np.int32), real, "bias"))
        return inputs

    def _convolution(self, node: Node, layer: layers.Conv2D) -> None:
        convolution: Convolution = layer.convolution
        inputs = self._weighted(node, layer, _TO_NCHW)
        attributes = {"group": convolution.groups, **_window(convolution.window)}
        attributes["dilations"] = convolution.window.dilation
        real = self._put("Conv", inputs, self._new(f"{node.name}.real"), **attributes)
        self._quantise(node, real, layer.activation)

    def _dense(self, node: Node, operator: layers.FullyConnected) -> None:
        inputs = self._weighted(node, operator.layer, (0, 1))
        length, rows = operator.layer.convolution.weight.shape[3], math.prod(operator.shape[:-1])
        name = node.inputs[0]
        if self._rank(node) != 2:
            flat = self._reshaped(node, self._own_order(name), (rows, length), "flat")
            affine = self._affine(name)
            inputs[0] = self._put(
                "DequantizeLinear", [flat, *self._parameters(flat, affine)], self._new(f"{flat}.real")
            )
        real = self._put("Gemm", inputs, self._new(f"{node.name}.real"), transB=1)
        if len(operator.shape) != 2:
            raise UnsupportedOperatorError(
                f"node {node.name!r} ({node.kind}): the output has {len(operator.shape)} axes, but must have 2"
            )
        self._quantise(node, real, operator.layer.activation)

    def _reshaped(self, node: Node, x: str, shape: tuple[int, ...], what: str) -> str:
        wanted = self._store(f"{node.name}.{what}_shape", np.array(shape, np.int64))
        return self._put("Reshape", [x, wanted], self._new(f"{node.name}.{what}"))

    def _reduce(self, node: Node, operator: tflite_reductions.Reduce) -> None:
        axes = tuple(sorted(_TO_NCHW.index(a) if self._rank(node) == 4 else a for a in operator.axes))
        keep = len(operator.shape) == self._rank(node)
        if not keep and self._rank(node) == 4 and set(operator.axes) != {1, 2}:
            raise UnsupportedOperatorError(
                f"node {node.name!r} ({node.kind}): axes {list(operator.axes)} are dropped, but only 1 and 2 can be"
            )
        if operator.mean:
            self._simple(node, "ReduceMean", axes=axes, keepdims=int(keep))
            return
        inputs = [
            self._dequantised(node.inputs[0]),
            self._store(f"{node.name}.axes", np.array(axes, np.int64)),
        ]
        self._quantise(
            node, self._put("ReduceSum", inputs, self._new(f"{node.name}.real"), keepdims=int(keep))
        )

    def _pad(self, node: Node, operator: shaping.Pad) -> None:
        pairs = list(operator.before_after)
        pairs = [pairs[i] for i in _TO_NCHW] if len(pairs) == 4 else pairs
        affine = self._affine(node.inputs[0])
        pads = np.array([p[0] for p in pairs] + [p[1] for p in pairs], np.int64)
        fill = np.float32(affine.scale[0] * np.float32(operator.value - affine.zero_point[0]))
        inputs = [self._dequantised(node.inputs[0]), self._store(f"{node.name}.pads", pads)]
        inputs.append(self._store(f"{node.name}.fill", np.asarray(fill)))
        self._quantise(node, self._put("Pad", inputs, self._new(f"{node.name}.real")))

    def _moved(self, node: Node, operator: shaping.Reshape | shaping.Transpose) -> None:
        """Integers that change places, in the graph's own order."""
        self._affine(node.inputs[0])
        source, (name,) = self._own_order(node.inputs[0]), node.outputs
        self._plain.add(name)
        if isinstance(operator, shaping.Transpose):
            self._put("Transpose", [source], name, perm=operator.permutation)
            return
        wanted = self._store(f"{node.name}.shape", np.array(operator.shape, np.int64))
        self._put("Reshape", [source, wanted], name)


def _window(window: Window) -> dict[str, tuple[int, ...]]:
    return {"kernel_shape": window.kernel, "strides": window.stride, "pads": window.padding}
