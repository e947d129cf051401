# SPDX-License-Identifier: Apache-2.0
"""Writes fixed-point ONNX files (the ACCESS guide, see docs/sources.md) from graphs of the scheme's operators.

The inverse of `golden.importers.onnx.fixed_point`: weights and biases become float32 multiples of their scales, scales
and bit depths become the guide's node attributes, and what is written is read back before it is given, so that a file
from here always keeps the guide's rules and makes the same integers.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden.errors import DoesNotFitError, GoldenError, UnsupportedOperatorError
from assay.golden.graph import Graph, Node
from assay.golden.importers.model_file import import_onnx
from assay.golden.importers.onnx import fixed_point as importer
from assay.golden.importers.onnx.file import read
from assay.golden.layers import fixed_point as layers
from assay.golden.layers import shaping
from assay.golden.layers.linear import Window
from assay.golden.layers.tflite import Pairwise
from assay.golden.schemes.fixed_point import ACTIVATION_BITS, BIAS_BITS, WEIGHT_BITS, Activation

__all__ = ["OPSET", "save", "to_bytes"]

# Opset 14 is the first with HardSwish; the other operators are as in 13.
OPSET, _IR_VERSION = 14, 8

# Least and greatest magnitude that a normal float32 has.
_NORMAL = 2.0**-126, float(np.finfo(np.float32).max)


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
    """The content of a fixed-point .onnx file that `golden.importers.onnx.loads` reads to the same integers.

    Args:
        graph: of int8 tensors with `Activation` scales and the operators of `golden.layers.fixed_point`, such as the
            importer gives. Names of nodes and tensors are kept; a folded batch normalisation stays folded.

    Raises:
        UnsupportedOperatorError: a node or tensor of another scheme, a precision of its own, or state.
        DoesNotFitError: a stored weight or bias would be no normal float32.
        ModelFormatError: the graph breaks a rule of the scheme.
        GoldenError: the package `onnx` is not installed.
    """
    for tensor in graph.tensors.values():
        if tensor.precision is not None:
            raise UnsupportedOperatorError(
                f"tensor {tensor.name!r}: precision is {tensor.precision}, but must be left alone, "
                f"as the file has no place for it"
            )
    model = _Writer(import_onnx(), graph).model()
    content = model.SerializeToString(deterministic=True)
    importer.graph(read(model), graph.name)
    return content


class _Writer:
    """Collects ONNX nodes and stored arrays."""

    def __init__(self, onnx: Any, graph: Graph) -> None:
        self._onnx = onnx
        self._graph = graph
        self._stored: list[Any] = []
        self._names = set(graph.tensors)

    def model(self) -> Any:
        graph, helper = self._graph, self._onnx.helper
        if graph.variables:
            raise UnsupportedOperatorError(
                f"graph {graph.name} has state {', '.join(map(repr, graph.variables))}, but fixed-point ONNX has none"
            )
        for name, values in graph.constants.items():
            scale = self._scale(name)
            self._store(name, values.astype(np.float64) * scale, f"constant {name!r}")
        nodes = [self._node(node) for node in graph.nodes]
        values = {
            names: [
                helper.make_tensor_value_info(name, self._onnx.TensorProto.FLOAT, graph.tensors[name].shape)
                for name in names
            ]
            for names in (graph.inputs, graph.outputs)
        }
        made = helper.make_graph(nodes, graph.name, values[graph.inputs], values[graph.outputs], self._stored)
        return helper.make_model(
            made,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="assay",
        )

    def _scale(self, name: str) -> float:
        quantisation = self._graph.tensors[name].quantisation
        if not isinstance(quantisation, Activation):
            raise UnsupportedOperatorError(
                f"tensor {name!r} is {quantisation or self._graph.tensors[name].dtype}, but must be int8 with a "
                f"power-of-two scale"
            )
        return quantisation.scale

    def _store(self, name: str, values: np.ndarray, what: str) -> str:
        magnitude = np.abs(values[values != 0])
        if magnitude.size and not (magnitude.min() >= _NORMAL[0] and magnitude.max() <= _NORMAL[1]):
            raise DoesNotFitError(
                f"{what} holds magnitudes {magnitude.min():g} to {magnitude.max():g}, but float32 holds "
                f"{_NORMAL[0]:g} to {_NORMAL[1]:g}"
            )
        self._stored.append(self._onnx.numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def _integers(self, node: Node, what: str, values: tuple[int, ...]) -> str:
        name = self._new(f"{node.name}.{what}")
        self._stored.append(self._onnx.numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _new(self, name: str) -> str:
        """A name that no tensor has."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def _node(self, node: Node) -> Any:
        operator, kind, inputs = node.operator, node.kind, node.inputs
        attributes: dict[str, Any] = {}
        shape = self._graph.tensors[inputs[0]].shape if inputs else ()
        if isinstance(operator, layers.Conv):
            attributes = {"group": operator.convolution.groups, **_window(operator.convolution.window)}
            inputs += self._weights(node, operator, (0, 3, 1, 2), bias=True)
            attributes |= self._weight_attributes(node, operator, len(inputs) > 2)
        elif isinstance(operator, layers.Gemm):
            biased = kind == "Gemm" or operator.layer.convolution.bias.any()
            kind = "Gemm" if biased else kind
            attributes = {"transB": 1} if biased else {}
            inputs += self._weights(node, operator.layer, (0, 1) if biased else (1, 0), bias=biased)
            attributes |= self._weight_attributes(node, operator.layer, len(inputs) > 2)
        elif isinstance(operator, layers.MatMul):
            attributes = self._scales(node, ("A", "B"))
        elif isinstance(operator, Pairwise) and isinstance(operator.operator, (layers.Sum, layers.Quotient)):
            attributes = self._scales(node, ())
        elif isinstance(operator, layers.ReduceSum):
            attributes = {"keepdims": int(operator.keepdims), **self._scales(node, ())}
            inputs += (self._integers(node, "axes", operator.axes),)
        elif isinstance(operator, layers.MaxPool):
            attributes = {**_window(operator.window), **self._scales(node, ("input",))}
        elif isinstance(operator, layers.AveragePool):
            attributes = self._scales(node, ("input",))
            if kind != "GlobalAveragePool":
                attributes |= _window(operator.window)
                attributes["count_include_pad"] = int(operator.include_padding)
        elif isinstance(operator, layers.Stepwise):
            attributes = self._scales(node, ("input",))
        elif isinstance(operator, layers.LeakyRelu):
            attributes = {"alpha": operator.alpha}
        elif isinstance(operator, layers.PRelu):
            name = self._new(f"{node.name}.slope")
            self._stored.append(self._onnx.numpy_helper.from_array(operator.slope, name))
            inputs += (name,)
        elif isinstance(operator, shaping.Concatenate):
            attributes = {"axis": operator.axis}
        elif isinstance(operator, shaping.Transpose):
            attributes = {"perm": operator.permutation}
        elif isinstance(operator, shaping.Reshape) and kind == "Flatten":
            fits = [axis for axis in range(len(shape) + 1) if math.prod(shape[:axis]) == operator.shape[0]]
            attributes = {"axis": 1 if 1 in fits else fits[0]}
        elif isinstance(operator, shaping.Reshape):
            inputs += (self._integers(node, "shape", operator.shape),)
        elif not isinstance(operator, layers.Relu):
            raise UnsupportedOperatorError(
                f"node {node.name!r} ({kind}): operator {type(operator).__name__} has no fixed-point ONNX form, use "
                f"those of golden.layers.fixed_point"
            )
        return self._onnx.helper.make_node(kind, inputs, node.outputs, name=node.name, **attributes)

    def _weights(
        self,
        node: Node,
        layer: layers.Conv,
        order: tuple[int, ...],
        bias: bool,
    ) -> tuple[str, ...]:
        """Store the weights, in ONNX's axis order, and the bias unless it is 0; gives their names."""
        where = f"node {node.name!r} ({node.kind})"
        scale = np.array([float(s.value) for s in layer.scales])
        values = layer.convolution.weight * scale[:, None, None, None]
        values = (values if len(order) == 4 else values[:, 0, 0]).transpose(order)
        names = [self._store(self._new(f"{node.name}.weight"), values, f"{where}: weights")]
        if bias and layer.convolution.bias.any():
            real = layer.convolution.bias * np.ldexp(scale, layer.source)
            names.append(self._store(self._new(f"{node.name}.bias"), real, f"{where}: bias"))
        return tuple(names)

    def _weight_attributes(self, node: Node, layer: layers.Conv, biased: bool) -> dict[str, Any]:
        attributes = self._scales(node, ("input",))
        attributes["weight_ch_scales"] = [scale.float32 for scale in layer.scales]
        attributes["weight_bitdepth"] = WEIGHT_BITS
        if biased:
            attributes["bias_bitdepth"] = BIAS_BITS
        return attributes

    def _scales(self, node: Node, prefixes: tuple[str, ...]) -> dict[str, Any]:
        """Scale and bit depth of the first inputs, under these prefixes, and of the output."""
        names = dict(
            zip((*prefixes, "output"), (*node.inputs[: len(prefixes)], node.outputs[0]), strict=True)
        )
        scales = {f"{prefix}_scale": self._scale(name) for prefix, name in names.items()}
        return scales | {f"{prefix}_bitdepth": ACTIVATION_BITS for prefix in names}


def _window(window: Window) -> dict[str, tuple[int, ...]]:
    return {"kernel_shape": window.kernel, "strides": window.stride, "pads": window.padding}
