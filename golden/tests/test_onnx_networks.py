# SPDX-License-Identifier: Apache-2.0
"""Whole networks: a residual network with many kinds of branch, quantised by onnxruntime's own tools in both forms."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from assay import golden
from assay.golden.tests.onnx_files import onnxruntime

pytest.importorskip("onnxruntime", reason="onnxruntime is missing: pip install onnxruntime")
quantization = pytest.importorskip("onnxruntime.quantization", reason="onnxruntime.quantization is missing")

RUNS = 60
SHAPE = (1, 3, 16, 16)


class Float:
    """A float network of random weights, node by node."""

    def __init__(self, opset: int, rng: np.random.Generator) -> None:
        self.opset, self.rng = opset, rng
        self.nodes: list = []
        self.weights: list = []

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        values = self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"{kind}{name}", **attributes))
        return name

    def conv(self, x: str, outputs: int, inputs: int, size: int, group: int = 1, **attributes) -> str:
        weights = self.weight(outputs, inputs // group, size, size), self.weight(outputs)
        return self.node("Conv", x, *weights, group=group, pads=[size // 2] * 4, **attributes)

    def model(self, output: str):
        graph = helper.make_graph(
            self.nodes,
            "residual",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *SHAPE[1:]])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def residual(opset: int, seed: int):
    """Two residual blocks, one of them with a depthwise branch, pooling, concat, gating and a dense layer."""
    net = Float(opset, np.random.default_rng(seed))
    x = net.node("Relu", net.conv("x", 8, 3, 3))
    y = net.conv(net.node("Relu", net.conv(x, 8, 8, 3)), 8, 8, 3)
    x = net.node("Relu", net.node("Add", x, y))
    y = net.node("Relu", net.conv(x, 8, 8, 3, group=8, strides=[2, 2]))
    x = net.node("Relu", net.node("Add", net.conv(x, 16, 8, 1, strides=[2, 2]), net.conv(y, 16, 8, 1)))
    pools = [net.node(k, x, kernel_shape=[2, 2], strides=[2, 2]) for k in ("MaxPool", "AveragePool")]
    x = net.node("LeakyRelu", net.node("Concat", *pools, axis=1), alpha=0.1)
    x = net.node("Mul", x, net.node("Sigmoid", x))
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    x = net.node("Gemm", x, net.weight(20, 32), net.weight(20), transB=1)
    x = net.node("MatMul", net.node("Relu", x), net.weight(20, 10))
    return net.model(net.node("Softmax", x))


class Calibration(quantization.CalibrationDataReader):
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.batches = iter([{"x": rng.standard_normal(SHAPE).astype(np.float32)} for _ in range(6)])

    def get_next(self):
        return next(self.batches, None)


def quantised(path, opset: int, form: str, activations: str, weights: str, per_channel: bool):
    quantization.quantize_static(
        residual(opset, 7),
        path,
        Calibration(),
        quant_format=quantization.QuantFormat[form],
        activation_type=quantization.QuantType[activations],
        weight_type=quantization.QuantType[weights],
        per_channel=per_channel,
    )
    return golden.load(path)


NUMBERS = [
    ("QUInt8", "QInt8", True),
    ("QInt8", "QInt8", False),
    ("QInt8", "QInt8", True),
    ("QUInt8", "QUInt8", False),
]


NARROW_AND_WIDE = [("QInt16", "QInt8", False), ("QInt16", "QInt16", False), ("QUInt8", "QInt4", True)]


@pytest.mark.parametrize(
    "opset, numbers",
    [(opset, numbers) for opset in (13, 17, 21) for numbers in NUMBERS]
    + [(21, numbers) for numbers in NARROW_AND_WIDE]
    + [(13, NARROW_AND_WIDE[0])],
)
def test_qdq_is_exact(tmp_path, opset, numbers):
    """Every tensor, float and integer, equals onnxruntime as written."""
    graph = quantised(tmp_path / "net.onnx", opset, "QDQ", *numbers)
    x = np.random.default_rng(opset).standard_normal((RUNS, *SHAPE[1:])).astype(np.float32)
    theirs = onnxruntime((tmp_path / "net.onnx").read_bytes(), graph).trace(x)
    ours = graph.trace(x)
    assert set(ours) == set(theirs) | set(graph.constants) & set(graph.outputs)
    comparison = graph.compare(x, theirs)
    assert comparison.exact, comparison.first_differing
    assert len(comparison.tensors) == len(theirs) > 60


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("opset", [13, 17])
def test_qoperator_is_exact(tmp_path, opset, numbers):
    """Every tensor equals onnxruntime as written, and the output equals its optimised execution, too."""
    graph = quantised(tmp_path / "net.onnx", opset, "QOperator", *numbers)
    x = np.random.default_rng(opset).standard_normal((RUNS, *SHAPE[1:])).astype(np.float32)
    data = (tmp_path / "net.onnx").read_bytes()
    comparison = graph.compare(x, onnxruntime(data, graph))
    assert comparison.exact, comparison.first_differing
    assert len(comparison.tensors) == 1 + len(graph.nodes)
    optimised = graph.compare(x, onnxruntime(data, graph, optimised=True))
    assert optimised.exact, optimised
    assert len(optimised.tensors) == 2


def test_a_batch_equals_its_rows_one_by_one(tmp_path):
    graph = quantised(tmp_path / "net.onnx", 13, "QDQ", *NUMBERS[0])
    x = np.random.default_rng(0).standard_normal((5, *SHAPE[1:])).astype(np.float32)
    together = graph.trace(x)
    for row in range(5):
        for name, array in graph.trace(x[row : row + 1]).items():
            np.testing.assert_array_equal(array[0], together[name][row])


def test_optimised_qdq_is_another_arithmetic(tmp_path):
    """ORT_ENABLE_ALL fuses QDQ groups into integer kernels: near a tie it may round the other way. Its outputs stay
    within a few steps of the graph as written, which is the reference here."""
    graph = quantised(tmp_path / "net.onnx", 13, "QDQ", *NUMBERS[0])
    x = np.random.default_rng(3).standard_normal((RUNS, *SHAPE[1:])).astype(np.float32)
    data = (tmp_path / "net.onnx").read_bytes()
    optimised = onnxruntime(data, graph, optimised=True).trace(x)
    (name,) = graph.outputs
    step = next(n for n in reversed(graph.nodes) if n.kind == "DequantizeLinear").operator.source.scale[0]
    assert np.abs(graph.predict(x) - optimised[name]).max() <= 4 * step


def test_command_line_compares_with_onnxruntime(tmp_path, capsys):
    from assay.golden.__main__ import main

    path = tmp_path / "net.onnx"
    quantised(path, 13, "QOperator", *NUMBERS[0])
    assert main(["compare", str(path), "--random", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("all exact")
    assert main(["summary", str(path)]) == 0
    assert "QLinearConv" in capsys.readouterr().out


def test_powers_of_two_are_exact_however_they_are_summed():
    """Scales that are powers of two and sums below 2**24: onnxruntime with any number of threads, and with integer
    kernels, gives the values that the graph gives."""
    import onnxruntime as runtime

    from assay.golden.importers import onnx as importer
    from assay.golden.tests.onnx_files import OnnxFile

    rng = np.random.default_rng(0)
    file = OnnxFile()
    x = file.dequantize(file.input((1, 16, 20, 20), np.int8), 2.0**-4, np.int8(0))
    w = file.dequantize(rng.integers(-32, 32, (32, 16, 3, 3)).astype(np.int8), 2.0**-6, np.int8(0))
    b = file.dequantize(rng.integers(-4096, 4096, 32).astype(np.int32), 2.0**-10, None)
    y = file.quantize(file.node("Conv", x, w, b), 0.25, np.int8(1))
    assert 16 * 9 * 128 * 32 + 4096 < 2**24
    data = file.bytes(y)
    inputs = rng.integers(-128, 128, (4, 16, 20, 20)).astype(np.int8)
    expected = importer.loads(data).trace(inputs)[y]
    levels = runtime.GraphOptimizationLevel
    for level in (levels.ORT_DISABLE_ALL, levels.ORT_ENABLE_ALL):
        for threads in (1, 2, 4):
            options = runtime.SessionOptions()
            options.graph_optimization_level, options.intra_op_num_threads = level, threads
            session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            for row in range(4):
                (seen,) = session.run([y], {"x0": inputs[row : row + 1]})
                np.testing.assert_array_equal(seen[0], expected[row])
