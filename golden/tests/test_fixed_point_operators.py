# SPDX-License-Identifier: Apache-2.0
"""Every operator of the fixed-point ONNX importer against loops over fractions, and whole graphs through the exporter.

The oracle executes the float file itself with ONNX's reference evaluator, one node at a time, in float64 wherever that
is exact (sums of integers times powers of two), and then quantises by fractions; it shares no code with the package.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from assay import golden
from assay.golden.exporters import fixed_point as exporter
from assay.golden.importers.onnx import load, loads
from assay.golden.importers.onnx.file import read
from assay.golden.importers.onnx.fixed_point import recognises
from assay.golden.layers import fixed_point as layers
from assay.golden.layers.linear import Convolution, Window
from assay.golden.schemes.fixed_point import WeightScale
from assay.golden.tests.fixed_point_files import ModelFile, scaled
from assay.golden.tests.typed import closures


def half_away(x: Fraction) -> int:
    whole = math.floor(abs(x) + Fraction(1, 2))
    return whole if x >= 0 else -whole


def saturated(values: np.ndarray, factors: list[Fraction]) -> np.ndarray:
    """Integers `[N, K, ...]` times one factor for each K, rounded and saturated."""
    y = np.empty(values.shape, np.int64)
    for index in np.ndindex(values.shape):
        factor = factors[index[1] if len(factors) > 1 else 0]
        y[index] = min(max(half_away(int(values[index]) * factor), -128), 127)
    return y


def reference(kind: str, *inputs: np.ndarray, **attributes) -> np.ndarray:
    """One operator by ONNX's reference evaluator, in float64."""
    names = [f"i{i}" for i in range(len(inputs))]
    types = [helper.np_dtype_to_tensor_dtype(x.dtype) for x in inputs]
    graph = helper.make_graph(
        [helper.make_node(kind, names, ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info(n, t, x.shape) for n, t, x in zip(names, types, inputs, strict=True)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    return ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]


def integers(values: np.ndarray) -> np.ndarray:
    exact = np.rint(values).astype(np.int64)
    assert np.array_equal(exact, values)
    return exact


def through_a_file(graph: golden.Graph, x) -> None:
    """What the exporter writes gives the same tensors; and is written the same again."""
    content = exporter.to_bytes(graph)
    again = loads(content, graph.name)
    assert graph.compare(x, again).exact
    assert not closures(again)
    assert list(graph.trace(x)) == list(again.trace(x))
    assert exporter.to_bytes(again) == content
    assert again.summary() == graph.summary()
    assert recognises(read(onnx.ModelProto.FromString(content)))


def scales_of(rng, count: int, exponent: int) -> tuple[list[float], list[Fraction]]:
    divisors = [int(a) for a in rng.integers(1, 256, count)]
    return [2.0**exponent / a for a in divisors], [Fraction(2) ** exponent / a for a in divisors]


CONVOLUTIONS = [
    # channels, outputs, group, size, kernel, stride, pads
    (3, 16, 1, (9, 8), (3, 3), (1, 1), (1, 1, 1, 1)),
    (16, 32, 1, (6, 7), (1, 1), (2, 2), (0, 0, 0, 0)),
    (16, 16, 1, (9, 9), (7, 1), (2, 1), (3, 0, 3, 0)),
    (16, 16, 1, (7, 9), (2, 5), (1, 2), (0, 3, 1, 2)),
    (16, 16, 16, (8, 8), (3, 3), (2, 2), (1, 1, 0, 0)),
    (16, 32, 16, (4, 5), (3, 2), (1, 1), (1, 1, 1, 1)),
    (32, 32, 32, (4, 4), (4, 4), (1, 1), (0, 0, 0, 0)),
]


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("biased", [True, False])
def test_convolution(case, biased):
    channels, outputs, group, size, kernel, stride, pads = case
    rng = np.random.default_rng(CONVOLUTIONS.index(case))
    stored, exact = scales_of(rng, outputs, -3)
    weight = rng.integers(-128, 128, (outputs, channels // group, *kernel))
    bias = rng.integers(-(2**15), 2**15, outputs) if biased else None
    file = ModelFile()
    file.layer(
        "Conv", "x", "y", weight, stored, 2.0**-7, 2.0**-2, bias, group=group, strides=stride, pads=pads
    )
    if channels not in (3,):
        # As a feature map: behind an operator that keeps it.
        file.nodes.insert(0, helper.make_node("Relu", ["in"], ["x"]))
    name = "x" if channels == 3 else "in"
    graph = loads(file.bytes({name: ("N", channels, *size)}, ["y"]))
    x = rng.integers(-128, 128, (3, channels, *size)).astype(np.int8)
    x[0] = 127
    trace = graph.trace(x)
    read = trace["x"].astype(np.float64)
    acc = reference("Conv", read, weight.astype(np.float64), group=group, strides=stride, pads=pads)
    acc = integers(acc) + (0 if bias is None else bias[:, None, None])
    factors = [scale * Fraction(2) ** (-7 + 2) for scale in exact]
    assert trace["y"].dtype == np.int8
    assert np.array_equal(trace["y"], saturated(acc, factors))
    assert graph.nodes[-1].macs == trace["y"][0].size * weight[0].size
    through_a_file(graph, x)


@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_fully_connected(kind):
    rng = np.random.default_rng(0)
    stored, exact = scales_of(rng, 10, -2)
    weight, bias = rng.integers(-128, 128, (10, 37)), rng.integers(-(2**15), 2**15, 10)
    bias = bias if kind == "Gemm" else None
    file = ModelFile()
    file.layer(kind, "x", "y", weight, stored, 2.0**-7, 2.0**-1, bias)
    graph = loads(file.bytes({"x": (1, 37)}, ["y"]))
    x = rng.integers(-128, 128, (6, 37)).astype(np.int8)
    acc = x.astype(np.int64) @ weight.T + (0 if bias is None else bias)
    expected = saturated(acc, [scale * Fraction(2) ** (-7 + 1) for scale in exact])
    assert np.array_equal(graph.predict(x), expected)
    through_a_file(graph, x)


def test_fully_connected_ties():
    """x * 1 / 2 is a tie for every odd x, through the whole path of a file."""
    file = ModelFile()
    file.layer("Gemm", "x", "y", np.array([[1], [-1]]), [0.5, 0.5], 1.0, 1.0, np.array([0, 0]))
    graph = loads(file.bytes({"x": (1, 1)}, ["y"]))
    x = np.arange(-128, 128).astype(np.int8)[:, None]
    expected = [[half_away(Fraction(int(v), 2)), half_away(Fraction(-int(v), 2))] for v in x[:, 0]]
    assert graph.predict(x).tolist() == expected


def test_weights_of_higher_rank():
    """MatMul by stored weights over the last axis of [1, 5, 8]."""
    rng = np.random.default_rng(1)
    weight = rng.integers(-128, 128, (4, 8))
    file = ModelFile()
    file.layer("MatMul", "x", "y", weight, [2.0**-4] * 4, 2.0**-3, 2.0**-2)
    graph = loads(file.bytes({"x": (1, 5, 8)}, ["y"]))
    x = rng.integers(-128, 128, (7, 5, 8)).astype(np.int8)
    expected = saturated(x.astype(np.int64) @ weight.T, [Fraction(1, 32)])
    assert np.array_equal(graph.predict(x), expected)
    through_a_file(graph, x)


@pytest.mark.parametrize("constant", [False, True])
def test_matmul(constant):
    rng = np.random.default_rng(2)
    b = rng.integers(-128, 128, (3, 6, 5)).astype(np.int8)
    file = ModelFile()
    right = file.array(b.astype(np.float32) * np.float32(2.0**-4)) if constant else "b"
    file.node("MatMul", ["a", right], "y", **scaled("A B output", A=2.0**-3, B=2.0**-4, output=2.0**3))
    inputs = {"a": (1, 3, 4, 6)} | ({} if constant else {"b": (3, 6, 5)})
    graph = loads(file.bytes(inputs, ["y"]))
    a = rng.integers(-128, 128, (4, 3, 4, 6)).astype(np.int8)
    given = a if constant else {"a": a, "b": np.stack([b] * 4)}
    expected = saturated(a.astype(np.int64) @ b.astype(np.int64), [Fraction(1, 2**10)])
    assert np.array_equal(graph.predict(given), expected)
    through_a_file(graph, given)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (0, 0, 1, 1), (0, 0, 0, 1)])
def test_max_pool(kernel, stride, pads):
    rng = np.random.default_rng(3)
    file = ModelFile()
    window = {"kernel_shape": (kernel,) * 2, "strides": (stride,) * 2, "pads": pads}
    file.node("MaxPool", ["x"], "y", **window, **scaled("input output", input=1, output=1))
    graph = loads(file.bytes({"x": (1, 16, 6, 7)}, ["y"]))
    x = rng.integers(-128, 128, (3, 16, 6, 7)).astype(np.int8)
    x[0] = -128  # padding never wins, not even against the least value
    # By loops: for pads (0, 0, 1, 1) the reference evaluator of onnx 1.23.2 gives 5 x 8 outputs for a 6 x 7 map where
    # the operator's formula gives 6 x 7.
    rows, columns = ((n + pad - kernel) // stride + 1 for n, pad in zip((6, 7), pads[2:], strict=True))
    expected = np.empty((3, 16, rows, columns), np.int64)
    for i, j in np.ndindex(rows, columns):
        window = x[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        expected[:, :, i, j] = window.max(axis=(2, 3))
    assert np.array_equal(graph.predict(x), expected)
    through_a_file(graph, x)


@pytest.mark.parametrize("kernel", [2, 3, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 0, 0), (0, 1, 0, 0)])
@pytest.mark.parametrize("included", [0, 1])
def test_average_pool(kernel, stride, pads, included):
    rng = np.random.default_rng(4)
    file = ModelFile()
    window = {"kernel_shape": (kernel,) * 2, "strides": (stride,) * 2, "pads": pads}
    attributes = scaled("input output", input=2.0**-4, output=2.0**-5)
    file.node("AveragePool", ["x"], "y", **window, count_include_pad=included, **attributes)
    graph = loads(file.bytes({"x": (1, 16, 8, 7)}, ["y"]))
    x = rng.integers(-128, 128, (2, 16, 8, 7)).astype(np.int8)
    seen = graph.predict(x)
    top, left = pads[:2]
    for n, c, i, j in np.ndindex(seen.shape):
        rows = range(i * stride - top, i * stride - top + kernel)
        columns = range(j * stride - left, j * stride - left + kernel)
        inside = [int(x[n, c, r, s]) for r, s in itertools.product(rows, columns) if r >= 0 and s >= 0]
        mean = Fraction(sum(inside) * 2, kernel * kernel if included else len(inside))
        assert seen[n, c, i, j] == min(max(half_away(mean), -128), 127)
    through_a_file(graph, x)


def test_global_average_pool():
    rng = np.random.default_rng(5)
    file = ModelFile()
    file.node("GlobalAveragePool", ["x"], "y", **scaled("input output", input=1, output=0.125))
    graph = loads(file.bytes({"x": (1, 16, 5, 5)}, ["y"]))
    x = rng.integers(-128, 128, (4, 16, 5, 5)).astype(np.int8)
    total = x.astype(np.int64).sum(axis=(2, 3), keepdims=True)
    assert np.array_equal(graph.predict(x), saturated(total, [Fraction(8, 25)]))
    through_a_file(graph, x)


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("by_input", [True, False])
@pytest.mark.parametrize("axes", [(1,), (-1, 1), (2,), None])
def test_reduce_sum(keepdims, by_input, axes):
    rng = np.random.default_rng(6)
    file = ModelFile()
    names = ["x"] + ([file.array(np.array(axes, np.int64))] if by_input and axes else [])
    attribute = None if by_input or axes is None else axes
    file.node("ReduceSum", names, "y", keepdims=keepdims, axes=attribute, **scaled("output", output=4))
    file.node("MaxPool", ["x"], "p", kernel_shape=(2, 2), **scaled("input output", input=1, output=1))
    graph = loads(file.bytes({"x": (1, 16, 3, 2)}, ["y"]))
    x = rng.integers(-128, 128, (1, 16, 3, 2)).astype(np.int8)
    total = integers(
        reference("ReduceSum", x.astype(np.float64), *([np.array(axes)] if axes else []), keepdims=keepdims)
    )
    expected = saturated(total.reshape(1, -1), [Fraction(1, 4)]).reshape(total.shape)
    assert np.array_equal(graph.predict(x).reshape(total.shape), expected)
    through_a_file(graph, x)


def branching() -> bytes:
    """Every operator that keeps or joins: two branches, all activations, moves of data."""
    rng = np.random.default_rng(7)
    file = ModelFile()
    weight = rng.integers(-128, 128, (16, 3, 3, 3))
    file.layer("Conv", "x", "a", weight, [2.0**-6 / 3] * 16, 2.0**-7, 2.0**-4, pads=(1, 1, 1, 1))
    file.node("Relu", ["a"], "relu")
    file.node("LeakyRelu", ["a"], "leaky", alpha=0.1)
    file.node("PRelu", ["a", file.array(rng.standard_normal((16, 1, 1)).astype(np.float32))], "prelu")
    file.node("HardSwish", ["a"], "swish")
    file.node("Tanh", ["a"], "tanh", **scaled("input output", input=2.0**-4, output=2.0**-7))
    file.node("Sigmoid", ["leaky"], "sigmoid")
    file.node("Concat", ["relu", "leaky", "prelu", "swish"], "all", axis=1)
    file.node("Add", ["tanh", "sigmoid"], "sum", **scaled("output", output=2.0**-6))
    file.node("Div", ["sum", "relu"], "ratio", **scaled("output", output=2.0**-3))
    file.node("Transpose", ["all"], "moved", perm=(0, 2, 3, 1))
    file.node("Reshape", ["moved", file.array(np.array([0, -1, 64], np.int64))], "rows")
    file.node("Flatten", ["ratio"], "flat")
    return file.bytes({"x": (None, 3, 4, 4)}, ["rows", "flat", "sigmoid"])


def test_branches():
    graph = loads(branching())
    rng = np.random.default_rng(8)
    x = rng.integers(-128, 128, (9, 3, 4, 4)).astype(np.int8)
    trace = graph.trace(x)
    a = trace["a"].astype(np.int64)
    assert (a < 0).any()
    assert np.array_equal(trace["relu"], np.maximum(a, 0))
    alpha = Fraction(float(np.float32(0.1)))
    assert np.array_equal(trace["leaky"], np.where(a >= 0, a, saturated(a, [alpha])))
    together = np.concatenate([trace[name] for name in ("relu", "leaky", "prelu", "swish")], axis=1)
    assert np.array_equal(trace["all"], together)
    assert np.array_equal(trace["rows"], together.transpose(0, 2, 3, 1).reshape(9, 16, 64))
    assert graph.tensors["sigmoid"].quantisation.exponent == -4
    for index in np.ndindex(2, 16, 4, 4):
        total = Fraction(int(trace["tanh"][index]), 2**7) + Fraction(int(trace["sigmoid"][index]), 2**4)
        total = min(max(half_away(total * 2**6), -128), 127)
        assert trace["sum"][index] == total
        below = int(trace["relu"][index])
        if below:
            ratio = half_away(Fraction(total, 2**6) / Fraction(below, 2**4) * 2**3)
            assert trace["ratio"][index] == min(max(ratio, -128), 127)
    assert np.array_equal(trace["flat"], trace["ratio"].reshape(9, -1))
    through_a_file(graph, x)


def test_batches_are_runs():
    graph = loads(branching())
    x = np.random.default_rng(9).integers(-128, 128, (5, 3, 4, 4)).astype(np.int8)
    together = graph.trace(x)
    for n in range(5):
        for name, values in graph.trace(x[n : n + 1]).items():
            assert np.array_equal(values[0], together[name][n])


@pytest.mark.parametrize("kind", ["Conv", "Gemm"])
def test_batch_norm_is_folded(kind):
    """Factors 2**n / a of both signs, biases that stay whole: as ONNX computes it, in exact fractions."""
    rng = np.random.default_rng(10)
    channels = 16
    weight = rng.integers(-127, 128, (channels, 3, 3, 3) if kind == "Conv" else (channels, 3))
    bias, mean, beta = (rng.integers(-99, 99, channels) for _ in range(3))
    divisor = rng.integers(1, 128, channels)
    sign = rng.choice([-1, 1], channels)
    # S_w = 1/2, S_a = 1/4, gamma / sqrt(variance) = sign * 2 / (2 * divisor - 1), bias a multiple of the new unit.
    odd = 2 * divisor - 1
    gamma, variance = (sign * 2.0 / odd).astype(np.float32), np.full(channels, 0.75, np.float32)
    file = ModelFile()
    file.layer(kind, "x", "raw", weight, [0.5] * channels, 0.25, 2.0**4, bias)
    unit = 0.5 * 0.25 * np.abs(2.0 / odd)
    parameters = [gamma, (beta * unit).astype(np.float32), (mean * 0.125).astype(np.float32), variance]
    file.node("BatchNormalization", ["raw", *map(file.array, parameters)], "y", epsilon=0.25)
    shape = (1, 3, 6, 6) if kind == "Conv" else (1, 3)
    graph = loads(file.bytes({"x": shape}, ["y"]))
    assert [node.kind for node in graph.nodes] == [kind]
    x = rng.integers(-128, 128, (8, *shape[1:])).astype(np.int8)
    trace = graph.trace(x)
    assert list(trace) == ["x", "y"]
    acc = (
        integers(reference("Conv", x.astype(np.float64), weight.astype(np.float64)))
        if kind == "Conv"
        else x.astype(np.int64) @ weight.T
    )
    along = (slice(None),) + (None,) * (acc.ndim - 2)
    acc = (acc + (bias - mean)[along]) * sign[along] + beta[along]
    factors = [Fraction(1, 8) * Fraction(2, int(a)) / 16 for a in odd]
    assert np.array_equal(trace["y"], saturated(acc, factors))
    through_a_file(graph, x)


def test_deprecated_weight_scale_serves_all_channels():
    rng = np.random.default_rng(11)
    weight = rng.integers(-128, 128, (4, 6))
    files = []
    for attributes in ({}, {"weight_ch_scales": None, "weight_scale": 0.125}):
        file = ModelFile()
        file.layer(
            "Gemm", "x", "y", weight, [0.125] * 4, 1.0, 1.0, **attributes, weight_bit=8, activation_bit=8
        )
        files.append(loads(file.bytes({"x": (1, 6)}, ["y"])))
    x = rng.integers(-128, 128, (5, 6)).astype(np.int8)
    assert files[0].compare(x, files[1]).exact


def test_load_and_save(tmp_path):
    path = tmp_path / "network.onnx"
    graph = loads(branching(), "network")
    exporter.save(graph, path)
    again = load(path)
    assert again.name == "network"
    assert again.compare(np.zeros((1, 3, 4, 4), np.int8), graph).exact
    assert str(again.tensors["x"].quantisation) == "int8 2^-7"


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums(sign):
    """The guide's largest kernel over its most channels: every product 2**14, and the bias at its end."""
    weight = np.full((1, 7, 7, 2048), -128)
    weight[0, 0, 0, 0] += 1
    bias = np.array([2**15 - 1 if sign > 0 else -(2**15)])
    total = sign * (-128 * -128 * (7 * 7 * 2048 - 1) - 127 * -128) + int(bias[0])
    for exponent in (-15, -16, -17):
        scale = WeightScale(exponent, 255)
        layer = layers.Conv(Convolution(weight, bias, Window((7, 7))), (scale,), 0, 0)
        assert layer.convolution.bound >= abs(total) > 1 << 24
        x = np.full((1, 1, 2048, 7, 7), -128 if sign > 0 else 127, np.int8)
        if sign < 0:
            total = 127 * int(weight.sum()) + int(bias[0])
        expected = min(max(half_away(total * scale.value), -128), 127)
        assert layer(x).item() == expected


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_ties_of_large_sums(offset):
    """Sums beyond float32 one below, at and above a tie: (2 k + 1) / 2 with k = 100 and a factor of 2**-24."""
    target = 201 * 2**23 + offset  # 100.5 * 2**24
    weights, rest = divmod(target, 128 * 128)
    weight = np.full((1, 1, 1, weights + 2), -128)
    weight[0, 0, 0, -2:] = -(rest // 128), 0
    bias = np.array([rest % 128])
    layer = layers.Conv(Convolution(weight, bias, Window((1, 1))), (WeightScale(-24, 1),), 0, 0)
    x = np.full((2, 1, weights + 2, 1, 1), -128, np.int8)
    assert layer(x)[:, 0, 0, 0, 0].tolist() == [100 if offset < 0 else 101] * 2
