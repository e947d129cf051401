# SPDX-License-Identifier: Apache-2.0
"""Files that are legal or nearly so, and seldom written: each loads and runs, or one sentence says what is wrong."""

from __future__ import annotations

import tracemalloc
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from onnx import helper, numpy_helper

from assay import golden
from assay.golden import GoldenError, ModelFormatError, UnsupportedOperatorError
from assay.golden.__main__ import main
from assay.golden.exporters.tflite import ModelFile
from assay.golden.graph import Node, Tensor
from assay.golden.importers import onnx, tflite
from assay.golden.layers import onnx_float as floats
from assay.golden.tests.fixed_point_files import ModelFile as FixedPointFile
from assay.golden.tests.onnx_files import OnnxFile, onnxruntime
from assay.golden.tests.typed import closures

MILLION = "n" * 1_000_000


def quantiser(shape, name: str | None = None) -> OnnxFile:
    file = OnnxFile()
    file.quantize(file.input(shape, name=name), 0.1, np.int8(0))
    return file


def relus(names: list[str], shape=(1, 4)) -> bytes:
    """A TFLite chain of RELU through tensors of these names."""
    file = ModelFile()
    tensors = [file.tensor(shape, 0.1, 0, name=name) for name in names]
    for x, y in pairwise(tensors):
        file.operator("RELU", [x], [y])
    return file.bytes(tensors[:1], tensors[-1:])


# --- Batches, inputs, unused values ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [-1, "N", None, 1])
def test_a_batch_axis_without_a_length_means_n(batch):
    data = quantiser((batch, 4)).bytes()
    graph = onnx.loads(data)
    assert graph.tensors["x0"].shape == (1, 4)
    x = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    assert graph.compare({"x0": x}, onnxruntime(data, graph)).exact


def test_a_batch_axis_of_minus_one_in_tflite():
    graph = tflite.loads(relus(["x", "y"], (-1, 4)))
    assert graph.predict(np.full((5, 4), -3, np.int8)).tolist() == [[0] * 4] * 5


@pytest.mark.parametrize("shape", [(1, -1), (1, 0)])
def test_another_axis_needs_a_length(shape):
    with pytest.raises(
        ModelFormatError, match=r"tensor 'x0' has shape \[1, .*\], but must have .* axes of 1 or more"
    ):
        onnx.loads(quantiser(shape).bytes())
    with pytest.raises(ModelFormatError, match="every axis must be 1 or more"):
        tflite.loads(relus(["x", "y"], shape))


def test_a_fixed_batch_of_two():
    """The file's batch is part of a run's shape: N runs of two images each."""
    rng = np.random.default_rng(0)
    file = quantiser((2, 3, 6, 6))
    q = file.dequantize("y0", 0.1, np.int8(0))
    w = file.dequantize(rng.integers(-9, 9, (4, 3, 3, 3), np.int8), 0.5, np.int8(0))
    file.quantize(file.node("Conv", q, w), 0.5, np.int8(3))
    data = file.bytes()
    graph = onnx.loads(data)
    x = rng.standard_normal((5, 2, 3, 6, 6)).astype(np.float32)
    assert graph.predict(x).shape == (5, 2, 4, 4, 4)
    assert graph.compare({"x0": x}, onnxruntime(data, graph)).exact


def test_no_inputs():
    file, fixed, flat = OnnxFile(), FixedPointFile(), ModelFile()
    file.dequantize(np.ones((1, 4), np.int8), 0.1, np.int8(0))
    fixed.node("Relu", [fixed.array(np.ones((1, 4), np.float32))], "y", output_scale=1.0)
    x, y = flat.constant(np.ones((1, 4), np.int8), 0.1, 0), flat.tensor((1, 4), 0.1, 0)
    flat.operator("RELU", [x], [y])
    for load, data in ((onnx.loads, file.bytes()), (onnx.loads, fixed.bytes({}, ["y"])),
                       (tflite.loads, flat.bytes([], [y]))):  # fmt: skip
        with pytest.raises(ModelFormatError, match="the graph has 0 inputs, but must have 1 or more"):
            load(data)


def test_what_nobody_reads_may_be_of_any_type():
    half = np.ones(3, np.float16)
    file = quantiser((1, 4))
    file.constant(half)
    file.nodes.append(helper.make_node("Constant", [], ["unused"], value=numpy_helper.from_array(half)))
    graph = onnx.loads(file.bytes("y0"))
    assert [node.kind for node in graph.nodes] == ["QuantizeLinear"]
    file.node("Add", "y0", "unused")
    with pytest.raises(UnsupportedOperatorError, match="has element type 10, but must have one of"):
        onnx.loads(file.bytes("y0"))


# --- Names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ["a", "a", "a#1"],
        ["a#0", "a", "a"],
        ["", "#0", "#0"],
        ["#2", "#2", "#2#0"],
        ["#1", "", ""],
        ["a#0#0", "a", "a#0", "a"],
    ],
)
def test_tensor_names_stay_unique(names):
    graph = tflite.loads(relus(names))
    assert len(graph.tensors) == len(names)
    for tensor in graph.tensors.values():
        assert tensor.name.startswith(names[tensor.index])
        if names[tensor.index] and names.count(names[tensor.index]) == 1:
            assert tensor.name == names[tensor.index]


def test_node_names_stay_unique():
    file = quantiser((1, 4))
    for name in ("a", "a#2", "a"):
        file.nodes.append(helper.make_node("Identity", ["y0"], [f"z{len(file.nodes)}"], name=name))
    names = [node.name for node in onnx.loads(file.bytes("z3")).nodes]
    assert len(set(names)) == 4 and {"a", "a#2"} < set(names)


def test_long_names_are_not_quoted_whole(tmp_path, capsys):
    long = quantiser((1, 4), MILLION)
    long.nodes[0].name = MILLION
    wrong = quantiser((1, 4), MILLION)
    wrong.nodes[0].input[1] = MILLION
    for data in (wrong.bytes(), relus([MILLION, MILLION, "y"], (1, 0))):
        with pytest.raises(GoldenError) as caught:
            (onnx if data is not None and b"TFL3" not in data[:8] else tflite).loads(data)
        assert "nnn..nnn" in str(caught.value) and len(str(caught.value)) < 2000
    graph = onnx.loads(long.bytes())
    assert len(graph.summary()) < 2000
    with pytest.raises(GoldenError) as caught:
        graph.predict(np.zeros((1, 5), np.float32))
    assert len(str(caught.value)) < 2000
    path = tmp_path / "long.onnx"
    path.write_bytes(wrong.bytes())
    assert main(["summary", str(path)]) == 2
    assert len(capsys.readouterr().err) < 2000


@pytest.mark.parametrize("field", [b"QuantizeLinear_0", b"x0", b"graph", b"y0"])
def test_a_name_that_is_no_utf8(field):
    data = quantiser((1, 4)).bytes()
    assert field in data
    with pytest.raises(ModelFormatError, match="but must be UTF-8 text"):
        onnx.loads(data.replace(field, b"\xff" * len(field)))


def test_an_operator_that_is_no_utf8():
    file = quantiser((1, 4))
    file.node("Identity", "y0")
    data = file.bytes()
    with pytest.raises(GoldenError, match="but must be UTF-8 text"):
        onnx.loads(data.replace(b"Identity", b"Id\xffntity"))


# --- Operators that are not there ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["DynamicQuantizeMatMul", "MatMulNBits", "QAttention"])
def test_an_unknown_operator_is_named(kind):
    """Also where no other node quantises, so that the file could be called a float model."""
    for file in (OnnxFile(), quantiser((1, 4), "a")):
        file.node(kind, file.input((1, 4)), domain="com.microsoft")
        with pytest.raises(
            UnsupportedOperatorError,
            match=rf"\({kind}\): operator {kind} of domain com.microsoft is not among",
        ):
            onnx.loads(file.bytes())


def test_top_k_at_the_end_loads_in_every_command(tmp_path, capsys):
    file = OnnxFile()
    number = np.float32(0.1), np.int8(0)
    x = file.dequantize(file.quantize(file.input((1, 8)), *number), *number)
    values, places = file.node("TopK", x, np.array([2]), outputs=2)
    path = tmp_path / "top.onnx"
    path.write_bytes(file.bytes(values, places))
    for command in ("summary", "predict", "trace", "profile", "compare"):
        random = [] if command == "summary" else ["--random", "3"]
        assert main([command, str(path), *random]) == 0, capsys.readouterr().err
    assert places in capsys.readouterr().out


@pytest.mark.parametrize(
    ("operator", "found"),
    [
        (np.add, True),
        (lambda x: x, True),
        (np.sort, True),
        (floats.Elementwise(np.add), False),
        (floats.Elementwise(np.sort), False),
        (floats.Elementwise(floats.Elu(1.0)), False),
        (floats.Elementwise(lambda x: x), True),
        (floats.Elementwise(partial(np.clip, a_min=0, a_max=1)), True),
        (floats.Elementwise(floats.Folded(lambda a, b: a)), True),
    ],
)
def test_what_counts_as_a_closure(operator, found):
    tensors = {name: Tensor(name, (1, 4), np.dtype(np.float32)) for name in "xy"}
    graph = golden.Graph("g", tensors, ("x",), ("y",), (Node("n", "Relu", operator, ("x",), ("y",)),))
    assert bool(closures(graph)) is found


def test_a_factor_beyond_float32():
    file = OnnxFile()
    number = np.float32(1e20), np.int8(0)
    file.node("QGemm", file.input((1, 4), np.int8), *number, np.ones((4, 2), np.int8), *number, None,
              np.float32(0.1), np.int8(0), domain="com.microsoft")  # fmt: skip
    with pytest.raises(
        ModelFormatError, match=r"\(QGemm\): the factor of the sums is inf, but must be finite"
    ):
        onnx.loads(file.bytes())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "SQUARED_DIFFERENCE"])
def test_a_scale_at_the_end_of_float32(kind):
    """Found by the fuzzer: the factor overflows float32 to infinity on its way, here without a warning."""
    file = ModelFile()
    x, y = file.tensor((1, 4), 0.1, 0), file.tensor((1, 4), 3e38, 5)
    table = "SquaredDifferenceOptions" if kind == "SQUARED_DIFFERENCE" else f"{kind.title()}Options"
    file.operator(kind, [x, x], [y], table)
    graph = tflite.loads(file.bytes([x], [y]))
    assert graph.predict(np.int8([[-128, 0, 1, 127]])).tolist() == [[5] * 4]


# --- Graphs of an odd form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Identity", "Cast"])
def test_a_node_that_reads_itself(kind):
    file = quantiser((1, 4))
    attributes = {"to": 1} if kind == "Cast" else {}
    file.node(kind, "y1", **attributes)
    x = file.dequantize("y0", 0.1, np.int8(0))
    file.node("MatMul", x, "y1")
    with pytest.raises(ModelFormatError, match=r"tensor 'y1' is read before any node makes it"):
        onnx.loads(file.bytes())


def test_nodes_that_read_each_other():
    file = quantiser((1, 4))
    file.node("Max", "y0", "y2")
    file.node("Identity", "y1")
    with pytest.raises(ModelFormatError, match=r"tensor 'y2' is read before any node makes it"):
        onnx.loads(file.bytes())
    flat = ModelFile()
    x, y, z = (flat.tensor((1, 4), 0.1, 0) for _ in range(3))
    flat.operator("ADD", [x, z], [y], "AddOptions")
    flat.operator("RELU", [y], [z])
    with pytest.raises(ModelFormatError, match=r"tensor 't2' is read, but no node before makes it"):
        tflite.loads(flat.bytes([x], [z]))


@pytest.mark.parametrize("kind", ["Relu", "Shape", "Split", "TopK", "Quant", "MaxPool", "Identity"])
def test_a_node_without_outputs(kind):
    file = quantiser((1, 4))
    for outputs in ([], [""]):
        node = helper.make_node(kind, ["x0"] * 4, outputs)
        node.domain = "qonnx.custom_op.general" if kind == "Quant" else ""
        file.nodes[1:] = [node]
        with pytest.raises(GoldenError) as caught:
            onnx.loads(file.bytes("y0"))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("constant", [False, True])
def test_thousands_of_nodes_in_a_row(constant, tmp_path):
    """No recursion, neither of ours nor of what comes after loading, and no time beyond proportion."""
    file = OnnxFile()
    x = file.input((1, 4))
    y = file.constant(np.float32([0.1])) if constant else x
    for _ in range(2500):
        y = file.node("Neg", file.node("Identity", y))
    if constant:
        file.node("QuantizeLinear", x, file.node("Abs", y), np.int8(0))
    else:
        file.quantize(y, 0.1, np.int8(0))
    path = tmp_path / "deep.onnx"
    path.write_bytes(file.bytes())
    graph = golden.load(path)
    assert graph.predict(np.float32([[1, -1, 0, 0.5]])).tolist() == [[10, -10, 0, 5]]
    assert main(["summary", str(path)]) == 0


def long_axis(kind: str, *inputs, shape=(1, 1 << 26), dtype=np.int8, **attributes) -> tuple:
    file = OnnxFile()
    x = file.input(shape, dtype)
    file.node(kind, x, *inputs, **attributes)
    file.quantize(file.input((1, 4)), 0.1, np.int8(0))
    return onnx, file.bytes(file.nodes[0].output[0])


def long_tflite(kind: str, constant: np.ndarray, table: str = "", **options) -> tuple:
    file = ModelFile()
    x, y = file.tensor((1, 1 << 25), 0.1, 0), file.tensor((1, 1), 0.1, 0)
    file.operator(kind, [x, file.constant(constant)], [y], table, **options)
    return tflite, file.bytes([x], [y])


@pytest.mark.parametrize(
    "make",
    [
        lambda: long_axis("Pad", np.array([0, 1, 0, 1]), mode="edge"),
        lambda: long_axis("Resize", None, np.float32([1, 2]), mode="nearest"),
        lambda: long_axis("Resize", None, np.float32([1, 2]), mode="linear", dtype=np.float32),
        lambda: long_axis("Tile", np.array([1, 3])),
        lambda: long_axis("Expand", np.array([3, 1 << 26])),
        lambda: long_axis("Transpose", perm=[1, 0]),
        lambda: long_axis("Slice", np.array([0]), np.array([1 << 25]), np.array([1])),
        lambda: long_axis("MaxPool", shape=(1, 1, 1 << 26), kernel_shape=[9], pads=[4, 4]),
        lambda: long_tflite("REVERSE_V2", np.int32([1])),
        lambda: long_tflite("MIRROR_PAD", np.int32([[0, 0], [7, 7]]), "MirrorPadOptions", Mode=1),
        lambda: long_tflite("TILE", np.int32([1, 2])),
        lambda: long_tflite("GATHER", np.int32([1, 2]), "GatherOptions", Axis=1),
    ],
)
def test_loading_takes_no_memory_for_what_is_computed_later(make):
    """Axes of millions in files of a few hundred bytes."""
    importer, data = make()
    assert len(data) < 1000
    tracemalloc.start()
    try:
        importer.loads(data).summary()
    except ModelFormatError as error:
        assert "at most 1048576 is allowed" in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20, peak


@pytest.mark.parametrize("limit", [1 << 40, 1e30, 1 << 23])
def test_a_range_without_end(limit):
    file = quantiser((1, 4))
    kind = type(limit)(0), limit, type(limit)(1)
    file.node("Range", *(np.array(v, np.float32 if isinstance(limit, float) else np.int64) for v in kind))
    with pytest.raises(ModelFormatError, match="values, but at most 4194304 are allowed"):
        onnx.loads(file.bytes())
