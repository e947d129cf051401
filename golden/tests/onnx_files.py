# SPDX-License-Identifier: Apache-2.0
"""Little ONNX files for the tests, onnxruntime where it is installed, and inputs with extremes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from assay.golden.compare import Comparison
from assay.golden.graph import Graph
from assay.golden.importers import onnx as importer
from assay.golden.runtimes.onnxruntime import OnnxRuntime
from assay.golden.runtimes.qonnx import QonnxRuntime
from assay.golden.schemes.qonnx import DOMAIN as QONNX
from assay.golden.tests.typed import closures

MICROSOFT = "com.microsoft"


class OnnxFile:
    """A graph that grows node by node; arrays become constants, names stay names."""

    def __init__(self, opset: int = 21, qonnx_version: int = 1) -> None:
        self.opset = opset
        self.qonnx_version = qonnx_version
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def input(self, shape, dtype=np.float32, name: str | None = None) -> str:
        name = name or f"x{len(self.inputs)}"
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, array, name: str | None = None) -> str:
        name = name or f"c{len(self.constants)}"
        tensor = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array))
        tensor.name = name
        self.constants.append(tensor)
        return name

    def node(self, kind: str, *inputs, domain: str = "", outputs: int = 1, **attributes):
        names = [i if isinstance(i, str) else "" if i is None else self.constant(i) for i in inputs]
        first = len(self.nodes)
        made = [f"y{first}" if outputs == 1 else f"y{first}_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, names, made, domain=domain, name=f"{kind}_{first}", **attributes)
        )
        return made[0] if outputs == 1 else made

    def quantize(self, x: str, scale, zero_point, **attributes) -> str:
        return self.node("QuantizeLinear", x, np.asarray(scale, np.float32), zero_point, **attributes)

    def dequantize(self, q, scale, zero_point, **attributes) -> str:
        return self.node("DequantizeLinear", q, np.asarray(scale, np.float32), zero_point, **attributes)

    def quant(self, x, bits: float, scale, zero_point=0, *, signed=1, narrow=0, mode="ROUND") -> str:
        """QONNX's Quant of a tensor or a constant."""
        numbers = (np.asarray(value, np.float32) for value in (scale, zero_point, bits))
        return self.node("Quant", x, *numbers, domain=QONNX, signed=signed, narrow=narrow, rounding_mode=mode)

    def bytes(self, *outputs: str) -> bytes:
        outputs = outputs or (self.nodes[-1].output[0],)
        graph = helper.make_graph(
            self.nodes,
            "graph",
            self.inputs,
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            self.constants,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        if any(node.domain == QONNX for node in self.nodes):
            opsets.append(helper.make_opsetid(QONNX, self.qonnx_version))
        return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def onnxruntime(data: bytes, graph: Graph, optimised: bool = False) -> OnnxRuntime:
    """onnxruntime; the test is skipped where it is not installed."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")
    return OnnxRuntime(data, graph, optimised=optimised)


def qonnx(data: bytes, graph: Graph) -> QonnxRuntime:
    """The package qonnx; the test is skipped where it is not installed."""
    pytest.importorskip("qonnx", reason="qonnx is missing: pip install qonnx")
    return QonnxRuntime(data, graph)


def random_inputs(graph: Graph, runs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Integers: each end everywhere, both ends at random, then uniform; floats: normal, and some far out."""
    inputs = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        shape = (runs, *tensor.shape)
        if tensor.dtype.kind == "f":
            x = rng.standard_normal(shape) * rng.choice(
                [0.1, 1, 10, 1000], (runs, *(1 for _ in tensor.shape))
            )
        else:
            low, high = np.iinfo(tensor.dtype).min, np.iinfo(tensor.dtype).max
            x = rng.integers(low, high, shape, endpoint=True)
            for run, value in zip(range(runs - 1), (low, high), strict=False):
                x[run] = value
            if runs > 3:
                x[2] = rng.choice([low, high], tensor.shape)
        inputs[name] = tensor.stacked(x.astype(tensor.dtype))
    return inputs


def check(file: OnnxFile, rng: np.random.Generator, *outputs: str, runs: int = 4, x=None) -> Comparison:
    """Every tensor of the file, from both, over `runs` runs, bit by bit; the golden trace is compared with nothing
    left out. What has nodes of QONNX is held to qonnx, anything else to onnxruntime."""
    data = file.bytes(*outputs)
    foreign = any(node.domain == QONNX for node in file.nodes)
    graph = importer.loads(data)
    assert not closures(graph)
    runtime = qonnx(data, graph) if foreign else onnxruntime(data, graph)
    inputs = random_inputs(graph, runs, rng) if x is None else x
    ours, theirs = graph.trace(inputs), runtime.trace(inputs)
    assert set(ours) == set(theirs), "some tensors were not compared"
    for name, array in theirs.items():
        assert ours[name].dtype == array.dtype, name
        assert ours[name].shape == array.shape, name
        if foreign:  # the sign of a zero, too
            assert ours[name].tobytes() == np.ascontiguousarray(array).tobytes(), (name, file.nodes)
    comparison = graph.compare(inputs, theirs)
    assert comparison.exact, f"{comparison}\n{file.nodes}"
    return comparison
