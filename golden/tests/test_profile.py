# SPDX-License-Identifier: Apache-2.0
"""Profiles against counts made value by value, and the picture."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from assay import golden
from assay.golden import GoldenError, Graph, IntFormat, Layer, Network
from assay.golden.graph import AssignVariable, Node, ReadVariable, Tensor
from assay.golden.importers.onnx import loads
from assay.golden.profile import _usage
from assay.golden.schemes.tflite import Affine
from assay.golden.tests.fixed_point_files import ModelFile, scaled

INT8, FLOAT32 = np.dtype(np.int8), np.dtype(np.float32)


def fixed_point_graph() -> Graph:
    rng = np.random.default_rng(0)
    file = ModelFile()
    weight, bias = rng.integers(-128, 128, (16, 3, 3, 3)), rng.integers(-9000, 9000, 16)
    file.layer("Conv", "x", "c", weight, [2.0**-6 / 3] * 16, 2.0**-7, 2.0**-4, bias)
    file.node("Relu", ["c"], "r")
    file.node(
        "MaxPool", ["r"], "m", kernel_shape=(2, 2), **scaled("input output", input=2.0**-4, output=2.0**-4)
    )
    file.node("Flatten", ["m"], "f")
    file.layer("Gemm", "f", "y", rng.integers(-128, 128, (10, 144)), [0.25] * 10, 2.0**-4, 2.0**-1)
    return loads(file.bytes({"x": (1, 3, 6, 6)}, ["y"]))


def network() -> Network:
    u4, s4 = IntFormat(4, signed=False), IntFormat(4, signed=True)
    ones = np.ones(2, np.int64)
    layer = Layer("conv", "x", "y", np.array([[[[7]]], [[[-8]]]]), s4, u4, s4, 3 * ones, -5 * ones, 1)
    return Network("tiny", "x", (2, 2, 1), (layer,))


def images(rng, count: int = 150) -> np.ndarray:
    return rng.integers(-128, 128, (count, 3, 6, 6)).astype(np.int8)


def test_graph_by_counting():
    """More rows than a batch holds; every number counted with Python's integers."""
    graph, x = fixed_point_graph(), images(np.random.default_rng(1))
    profile = golden.profile(graph, x)
    trace = graph.trace(x)
    assert [row.name for row in profile.rows] == [*trace, "n_c weight", "n_c bias", "n_y weight", "n_y bias"]
    for name, values in trace.items():
        numbers, row = values.ravel().tolist(), profile[name]
        assert (row.least, row.greatest, row.count) == (min(numbers), max(numbers), len(numbers))
        assert (row.at_low, row.at_high) == (numbers.count(-128), numbers.count(127))
        lengths = [abs(n).bit_length() for n in numbers]
        assert list(row.magnitudes) == [lengths.count(bits) for bits in range(65)]
        assert (row.low, row.high, row.numbers) == (-128, 127, str(graph.tensors[name].quantisation))
    assert profile.saturated == sum(int(np.isin(v, (-128, 127)).sum()) for v in trace.values())
    weight = graph.nodes[0].operator.convolution.weight
    assert profile["n_c weight"].least == weight.min()
    assert (profile["n_c bias"].low, profile["n_c bias"].high) == (-(2**15), 2**15 - 1)
    assert profile["x"].kind == "input"


def test_network():
    model = network()
    x = np.array([0, 1, 2, 15]).reshape(1, 2, 2, 1)
    profile = golden.profile(model, x)
    y = model.predict(x).ravel().tolist()
    row = profile["y"]
    assert (row.low, row.high, row.least, row.greatest) == (-8, 7, min(y), max(y))
    assert row.saturated == y.count(-8) + y.count(7) > 0
    # Zero is where an unsigned format begins: not saturated.
    assert (profile["x"].at_low, profile["x"].at_high) == (0, 1)
    assert profile["conv weight"].numbers == "s4"
    assert profile["conv multiplier"].numbers == "s16"
    assert profile["conv bias"].low is None


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([0], 1),
        ([1], 1),
        ([0, 255], 8),
        ([-1], 1),
        ([-1, 1], 2),
        ([-128, 127], 8),
        ([-129], 9),
        ([-1, 128], 9),
    ],
)
def test_bits(values, bits):
    assert _usage("t", "tensor", "", np.array(values)).bits == bits


def test_magnitudes_at_the_ends_of_int64():
    row = _usage("t", "tensor", "", np.array([-(2**63), 2**63 - 1, 0, -1]))
    assert {bits: n for bits, n in enumerate(row.magnitudes) if n} == {0: 1, 1: 1, 63: 1, 64: 1}


def test_distances_from_a_zero_point():
    values = np.array([-128, -127, -100, 127], np.int8)
    row = _usage("t", "tensor", "", values, -128, 127, -128)
    assert {bits: n for bits, n in enumerate(row.magnitudes) if n} == {0: 1, 1: 1, 5: 1, 8: 1}


def affine_graph(zero_point: int) -> Graph:
    quantisation = Affine(np.array([0.5]), np.array([zero_point]), None, INT8)
    tensors = {
        "x": Tensor("x", (1, 4), INT8, quantisation),
        "y": Tensor("y", (1, 4), FLOAT32),
        "k": Tensor("k", (2,), INT8, quantisation),
    }
    nodes = (Node("n", "DEQUANTIZE", lambda x, k: x.astype(np.float32) / 2, ("x", "k"), ("y",)),)
    return Graph("affine", tensors, ("x",), ("y",), nodes, {"k": np.array([3, -4], np.int8)})


def test_the_end_that_stands_for_zero_is_not_counted():
    x = np.array([[-128, -128, 0, 127]], np.int8)
    assert golden.profile(affine_graph(-128), x)["x"].saturated == 1
    assert golden.profile(affine_graph(0), x)["x"].saturated == 3
    assert golden.profile(affine_graph(127), x)["x"].saturated == 2


def test_floats_and_constants():
    profile = golden.profile(affine_graph(0), np.array([[-128, -1, 0, 127]], np.int8))
    row = profile["y"]
    assert (row.low, row.bits, row.magnitudes, row.least, row.greatest) == (None, None, (), -64.0, 63.5)
    assert (profile["k"].kind, profile["k"].least, profile["k"].greatest) == ("constant", -4, 3)
    assert "-64..63.5" in str(profile)


def test_text():
    profile = golden.profile(fixed_point_graph(), images(np.random.default_rng(2), 8))
    lines = str(profile).splitlines()
    assert lines[0].startswith("profile of model: ")
    assert lines[1].split()[:4] == ["tensor", "kind", "numbers", "format"]
    assert len(lines) == 2 + len(profile.rows)
    assert lines[2].split()[:5] == ["x", "input", "int8", "2^-7", "-128..127"]
    assert max(map(len, lines)) <= 130
    with pytest.raises(GoldenError, match="has no row 'z'"):
        profile["z"]


def test_streams_are_not_cut():
    """A graph with state takes all rows at once: they are streams."""
    tensors = {name: Tensor(name, (1, 2), INT8) for name in ("x", "old", "new")}
    nodes = (
        Node("read", "READ", ReadVariable("s"), (), ("old",)),
        Node("add", "ADD", lambda a, b: a + b, ("x", "old"), ("new",)),
        Node("assign", "ASSIGN", AssignVariable("s"), ("new",), ()),
    )
    graph = Graph("s", tensors, ("x",), ("new",), nodes, variables={"s": np.zeros((1, 2), np.int8)})
    assert golden.profile(graph, np.ones((100, 2), np.int8))["new"].greatest == 1
    assert golden.profile(graph, np.ones((100, 2), np.int8))["new"].greatest == 2


def test_wrong_inputs():
    graph = fixed_point_graph()
    for model, x, message in (
        (graph, np.zeros((0, 3, 6, 6), np.int8), "tensor 'x' holds 0 values, but a profile needs 1 or more"),
        (graph, np.zeros((2, 3, 6, 7), np.int8), "input 'x' has shape"),
        (graph, np.zeros((2, 3, 6, 6)), "has dtype float64"),
        (
            "model.onnx",
            np.zeros(3),
            r"model is of type str, but must be a golden\.Graph or a golden\.Network",
        ),
    ):
        with pytest.raises(GoldenError, match=message):
            golden.profile(model, x)


def test_progress_sees_the_batches():
    seen = []
    golden.profile(
        fixed_point_graph(), images(np.random.default_rng(3)), lambda batches: seen.extend(batches) or batches
    )
    assert seen == [0, 64, 128]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_picture(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    profile = golden.profile(fixed_point_graph(), images(np.random.default_rng(4), 20))
    path = profile.plot(tmp_path / f"profile{suffix}")
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    assert len(content) > 5000


def test_picture_refuses(tmp_path):
    pytest.importorskip("matplotlib")
    profile = golden.profile(network(), np.zeros((1, 2, 2, 1), np.int64))
    with pytest.raises(GoldenError, match=r"suffix '\.txt' is no picture format, use one of .*\.png"):
        profile.plot(tmp_path / "profile.txt")
    with pytest.raises(GoldenError, match="cannot be written: No such file"):
        profile.plot(tmp_path / "nowhere" / "profile.png")


def test_missing_matplotlib_is_named_when_asked_for(monkeypatch, tmp_path):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    profile = golden.profile(network(), np.zeros((1, 2, 2, 1), np.int64))
    assert "conv weight" in str(profile)
    with pytest.raises(
        GoldenError, match="needs the package matplotlib, install it with: pip install matplotlib"
    ):
        profile.plot(tmp_path / "profile.png")
