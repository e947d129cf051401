# SPDX-License-Identifier: Apache-2.0
"""Writes integer networks as QONNX files that execute exactly in float32.

`golden.load(file).lower()` reads such a file back to the same integers; the graph it makes, one Conv for each layer
with Mul, Add, Relu and MaxPool behind it and a Quant at the end, is the pattern described there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.golden.errors import ConfigurationError, DoesNotFitError
from assay.golden.formats import MAX_BITS, IntFormat
from assay.golden.importers.model_file import import_onnx
from assay.golden.network import Layer, Network
from assay.golden.schemes.qonnx import DOMAIN, FLOAT32_EXACT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

__all__ = ["save", "to_bytes"]


def save(network: Network, path: str | PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write a network as a QONNX file that executes exactly in float32; arguments and errors as for
    `to_bytes`."""
    content = to_bytes(network, metadata)
    Path(path).write_bytes(content)


def to_bytes(network: Network, metadata: Mapping[str, str] | None = None) -> bytes:
    """Content of a QONNX file whose execution in float32 equals the integer network, bit for bit.

    The graph computes v / 2**shift where the integer layer computes v; scales are 1, maps are NCHW.
    Exactness: let every integer be smaller than 2**24, the accumulator's partial sums (bounded by sum
    |weight| * max |input|), the products acc * multiplier, their sums with bias and residual, and the half
    unit that rounding adds. Then all are float32 numbers, and so are their quotients by 2**shift, which only
    moves the exponent. An operation whose true result is a float32 number gives that number, so no step
    rounds. The bound below adds the magnitudes of all of them, hence covers every order of summation.

    Args:
        network: any network whose layers stay below that bound.
        metadata: text properties to store in the file.

    Raises:
        DoesNotFitError: a layer may exceed 2**24.
        ConfigurationError: a layer wraps instead of saturating, has one-bit signed weights or tensors
            (bipolar in QONNX), or rounds negative values half up (QONNX rounds them half away from zero).
        GoldenError: the package onnx is missing.
    """
    onnx = import_onnx()
    graph = _Writer(network).graph()
    opsets = [onnx.helper.make_opsetid("", 13), onnx.helper.make_opsetid(DOMAIN, 1)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="assay")
    onnx.helper.set_model_props(model, dict(metadata or {}))
    return model.SerializeToString(deterministic=True)


class _Writer:
    """Builds the graph of one network, layer after layer."""

    def __init__(self, network: Network) -> None:
        self._onnx = import_onnx()
        self._network = network
        self._nodes: list[Any] = []
        self._initialisers: dict[str, Any] = {}

    def graph(self) -> Any:
        helper, network = self._onnx.helper, self._network
        height, width, channels = network.input_shape
        source = f"{network.input}_float"
        self._quant(source, network.input, network.input_format)
        for layer in network.layers:
            self._layer(layer)
        out_h, out_w, outputs = network.shapes[network.output]
        float32 = self._onnx.TensorProto.FLOAT
        return helper.make_graph(
            self._nodes,
            network.name,
            [helper.make_tensor_value_info(source, float32, ["N", channels, height, width])],
            [helper.make_tensor_value_info(network.output, float32, ["N", outputs, out_h, out_w])],
            list(self._initialisers.values()),
        )

    def _layer(self, layer: Layer) -> None:
        _check_float32_exact(layer)
        unit, name = 2.0**-layer.shift, layer.name
        kind = np.int8 if layer.weight_format.bits <= 8 else np.int16
        if not layer.weight_format.signed and layer.weight_format.bits in (8, 16):
            kind = np.uint8 if layer.weight_format.bits == 8 else np.uint16
        stored = self._constant(f"{name}_weight", layer.weight.transpose(0, 3, 1, 2).astype(kind))
        weight = self._node("Cast", [stored], f"{name}_weight_float", to=self._onnx.TensorProto.FLOAT)
        weight = self._quant(weight, f"{name}_weight_quant", layer.weight_format)
        v = self._node(
            "Conv",
            [layer.input, weight],
            f"{name}_acc",
            node_name=name,
            kernel_shape=list(layer.kernel),
            strides=list(layer.stride),
            pads=list(layer.padding),
            **({"group": layer.groups} if layer.groups > 1 else {}),
        )
        if layer.shift or (layer.multiplier != 1).any():
            factors = self._constant(f"{name}_multiplier", _per_map(layer.multiplier * unit))
            v = self._node("Mul", [v, factors], f"{name}_scaled")
        if layer.bias.any():
            offsets = self._constant(f"{name}_bias", _per_map(layer.bias * unit))
            v = self._node("Add", [v, offsets], f"{name}_biased")
        if layer.residual is not None:
            factor = np.float32((layer.residual.multiplier << layer.residual.shift) * unit)
            factor = self._constant(f"{name}_residual_multiplier", np.asarray(factor))
            added = self._node("Mul", [layer.residual.tensor, factor], f"{name}_residual")
            v = self._node("Add", [v, added], f"{name}_sum")
        if layer.relu:
            v = self._node("Relu", [v], f"{name}_relu")
        if layer.pool is not None:
            window, stride = list(layer.pool.window), list(layer.pool.stride)
            v = self._node("MaxPool", [v], f"{name}_pool", kernel_shape=window, strides=stride)
        mode = "ROUND" if layer.shift == 0 else "FLOOR" if layer.rounding == "truncate" else "HALF_UP"
        self._quant(v, layer.output, layer.output_format, mode)

    def _quant(self, source: str, output: str, target: IntFormat, mode: str = "ROUND") -> str:
        if str(target) == "s1":
            raise ConfigurationError(f"tensor {output!r} is s1, but QONNX needs 2 to {MAX_BITS} signed bits")
        inputs = [
            source,
            self._constant("scale_1", np.float32(1)),
            self._constant("zero_point_0", np.float32(0)),
            self._constant(f"bit_width_{target.bits}", np.float32(target.bits)),
        ]
        attributes = {"signed": int(target.signed), "narrow": 0, "rounding_mode": mode}
        return self._node("Quant", inputs, output, domain=DOMAIN, **attributes)

    def _node(
        self, operator: str, inputs: list[str], output: str, node_name: str = "", **attributes: Any
    ) -> str:
        name = node_name or f"{output}_{operator.lower()}"
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def _constant(self, name: str, values: np.ndarray) -> str:
        self._initialisers[name] = self._onnx.numpy_helper.from_array(np.asarray(values), name)
        return name


def _per_map(values: np.ndarray) -> np.ndarray:
    """Per-channel values as float32 that broadcast over NCHW; the caller has shown them to be exact."""
    return values.astype(np.float32).reshape(1, -1, 1, 1)


def _check_float32_exact(layer: Layer) -> None:
    """See `to_bytes` for what is shown here."""
    if not layer.saturate:
        raise ConfigurationError(
            f"layer {layer.name}: saturate is False, but QONNX's Quant always saturates (True)"
        )
    nonnegative = layer.relu or not layer.output_format.signed
    if layer.shift and layer.rounding == "half_up" and not nonnegative:
        raise ConfigurationError(
            f"layer {layer.name}: half_up on signed values has no QONNX rounding mode, use truncate or a ReLU"
        )
    largest_acc = np.abs(layer.weight).sum(axis=(1, 2, 3)) * layer.input_format.magnitude
    scaled = np.maximum(np.abs(layer.multiplier), 1) * largest_acc
    worst = int((scaled + np.abs(layer.bias)).max()) + ((1 << layer.shift) >> 1)
    if layer.residual is not None:
        factor = abs(layer.residual.multiplier) << layer.residual.shift
        worst += factor * layer.residual.format.magnitude
    if worst >= FLOAT32_EXACT:
        raise DoesNotFitError(
            f"layer {layer.name}: values reach {worst}, "
            f"but must stay below {FLOAT32_EXACT} to be exact in float32"
        )
