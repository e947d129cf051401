# SPDX-License-Identifier: Apache-2.0
"""Choosing the importer, refusals in one sentence, damaged and hostile ONNX files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from assay import golden
from assay.golden import GoldenError, Graph, ModelFormatError, UnsupportedOperatorError
from assay.golden.importers import onnx as importer
from assay.golden.tests.onnx_files import MICROSOFT, OnnxFile

DIGITS = Path(__file__).parents[2] / "vectors" / "digits" / "digits_w2a2.onnx"


def small(shape=(1, 2, 6, 6), **attributes) -> OnnxFile:
    """A QDQ convolution."""
    file = OnnxFile()
    x = file.dequantize(file.input(shape, np.int8), 0.1, np.int8(3))
    w = file.dequantize(np.ones((4, 2, 3, 3), np.int8), np.full(4, 0.5), np.zeros(4, np.int8), axis=0)
    file.quantize(file.node("Conv", x, w, **attributes), 0.2, np.int8(-5))
    return file


def integer() -> OnnxFile:
    """A QLinearConv and a QLinearAdd."""
    file = OnnxFile()
    x = file.input((1, 2, 6, 6), np.uint8)
    number = np.float32(0.5), np.uint8(3)
    y = file.node(
        "QLinearConv", x, *number, np.ones((2, 2, 3, 3), np.int8), np.float32(1), np.int8(0), *number
    )
    file.node("QLinearAdd", y, *number, y, *number, *number, domain=MICROSOFT)
    return file


def refused(data: bytes, error: type, sentence: str) -> None:
    with pytest.raises(error, match=sentence) as caught:
        importer.loads(data)
    assert "\n" not in str(caught.value)


def test_load_chooses_by_content(tmp_path):
    assert isinstance(golden.load(DIGITS), Graph)
    path = tmp_path / "small.onnx"
    path.write_bytes(small().bytes())
    graph = golden.load(path)
    assert isinstance(graph, Graph)
    assert graph.name == "small"
    assert "MACs" in graph.summary()
    assert str(graph.tensors["y3"].quantisation) == "int8 0.2 zp -5"


def test_a_float_model_is_refused():
    file = OnnxFile()
    file.node("Relu", file.input((1, 3)))
    refused(
        file.bytes(), UnsupportedOperatorError, "has 1 float nodes and no QuantizeLinear.*quantise it first"
    )


def test_missing_packages_are_named(tmp_path, monkeypatch):
    path = tmp_path / "small.onnx"
    path.write_bytes(small().bytes())
    graph = golden.load(path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    from assay.golden.runtimes.onnxruntime import OnnxRuntime

    with pytest.raises(GoldenError, match="pip install onnx onnxruntime"):
        OnnxRuntime(path, graph)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(GoldenError, match="pip install onnx"):
        golden.load(path)


def test_batches_and_wrong_inputs():
    graph = importer.loads(small(("batch", 2, 6, 6)).bytes())
    assert graph.predict(np.zeros((7, 2, 6, 6), np.int8)).shape == (7, 4, 4, 4)
    with pytest.raises(GoldenError, match=r"has shape \[7, 2, 6, 5\]"):
        graph.predict(np.zeros((7, 2, 6, 5), np.int8))
    with pytest.raises(GoldenError, match="has dtype uint8"):
        graph.predict(np.zeros((7, 2, 6, 6), np.uint8))
    file = OnnxFile()
    file.quantize(file.input((1, 3)), 1, np.int8(0))
    with pytest.raises(GoldenError, match="NaN or infinity"):
        importer.loads(file.bytes()).predict(np.full((1, 3), np.nan, np.float32))


@pytest.mark.parametrize(
    "attributes, sentence",
    [
        ({"strides": [0, 1]}, r"Conv.*attribute strides is \[0, 1\], but must be 2 numbers of 1 to 65536"),
        ({"strides": [1]}, "attribute strides"),
        ({"dilations": [1, 2**40]}, "attribute dilations"),
        ({"kernel_shape": [3, 2]}, r"kernel_shape is \[3, 2\], but the weights have \[3, 3\]"),
        ({"pads": [0, 0, 0, -1]}, "attribute pads"),
        ({"pads": [65536] * 4}, "padded map|but must have"),
        ({"dilations": [9, 9]}, "kernel spans 19x19, but the padded map is 6x6"),
        ({"group": 3}, "attribute group is 3, but must be 1 to 2"),
        ({"group": 2}, "weights have shape"),
        ({"group": 0}, "attribute group is 0, but must be 1 to 2"),
        ({"auto_pad": "SOME"}, "attribute auto_pad is SOME"),
        ({"strides": 3}, "attribute strides is 3"),
        ({"pads": "x"}, "attribute pads is x"),
    ],
)
def test_convolutions_refused(attributes, sentence):
    refused(small(**attributes).bytes(), GoldenError, sentence)


def case(kind, *inputs, shape=(1, 4), dtype=np.float32, domain="", **attributes) -> bytes:
    """One operator on one input, behind which the model is quantised."""
    file = OnnxFile()
    x = file.input(shape, dtype)
    y = file.node(kind, *(x if i is Ellipsis else i for i in inputs), domain=domain, **attributes)
    file.quantize(y, 1, np.int8(0))
    return file.bytes()


I8, F = np.int8(0), np.float32(1)


@pytest.mark.parametrize(
    "data, error, sentence",
    [
        (lambda: case("LSTM", ...), UnsupportedOperatorError, r"'LSTM_0' \(LSTM\): operator LSTM is not among"),
        (lambda: case("Relu", ..., domain="evil"), UnsupportedOperatorError, "operator Relu of domain evil"),
        (lambda: case("Relu", "nowhere"), ModelFormatError, "'nowhere' is read before any node makes it"),
        (lambda: case("Relu"), ModelFormatError, "input 0 is missing"),
        (lambda: case("QuantizeLinear", ..., F, np.int32(0)), UnsupportedOperatorError, "output is int32"),
        (lambda: case("QuantizeLinear", ..., np.float32(0), I8), ModelFormatError, "scale is 0.0, but must be"),
        (lambda: case("QuantizeLinear", ..., np.float32(np.nan), I8), ModelFormatError, "holds NaN, but"),
        (lambda: case("QuantizeLinear", ..., np.float32(np.inf), I8), ModelFormatError, "scale is inf, but must be"),
        (lambda: case("QuantizeLinear", ..., np.ones(3, np.float32), np.zeros(3, np.int8)), UnsupportedOperatorError,
         r"scale has shape \[3\], but must hold 1 or 4 value"),
        (lambda: case("QuantizeLinear", ..., F, I8, block_size=2), UnsupportedOperatorError, "block_size is 2"),
        (lambda: case("QuantizeLinear", ..., np.ones(4, np.float32), I8, axis=7), ModelFormatError, "axis is 7"),
        (lambda: case("QuantizeLinear", ..., ..., I8), UnsupportedOperatorError, "is computed by the network"),
        (lambda: case("DequantizeLinear", np.int32(3), F, np.int32(1)), ModelFormatError, "int32 allows 0 alone"),
        (lambda: case("Gemm", ..., np.ones((3, 2), np.float32)), ModelFormatError, "whose inner axes 4 and 3"),
        (lambda: case("Gemm", ..., np.ones((4, 2), np.float32), alpha=0.5), UnsupportedOperatorError,
         "attribute alpha is 0.5, but must be 1.0"),
        (lambda: case("MatMul", ..., np.ones((3, 2), np.float32)), ModelFormatError, "but must be "),
        (lambda: case("Add", ..., np.ones(3, np.float32)), ModelFormatError, "but must broadcast"),
        (lambda: case("Add", ..., np.ones(4, np.int64)), UnsupportedOperatorError, "is int64, but must be float32"),
        (lambda: case("MaxPool", ..., kernel_shape=[1, 1]), UnsupportedOperatorError, "must have 3 or 4 axes"),
        (lambda: case("MaxPool", ..., shape=(1, 1, 4, 4), kernel_shape=[2, 2], ceil_mode=2), UnsupportedOperatorError,
         "ceil_mode is 2, but must be 0 or 1"),
        (lambda: case("MaxPool", ..., shape=(1, 1, 4, 4), kernel_shape=[2, 2], pads=[2, 0, 0, 0]), ModelFormatError,
         "below the kernel"),
        (lambda: case("AveragePool", ..., shape=(1, 1, 9, 9), kernel_shape=[999, 999], pads=[998] * 4),
         ModelFormatError, r"kernel_shape is \[999, 999\], but must hold at most 65536 places"),
        (lambda: case("Conv", ..., np.ones((1, 1, 99, 99), np.float32), shape=(1, 1, 999, 999)), ModelFormatError,
         "windows of 9801 places in 1 channels at 811801 places"),
        (lambda: case("Conv", ..., np.ones((1, 1, 1, 1, 1), np.float32), shape=(1, 1, 2, 2, 2)),
         UnsupportedOperatorError, "must have 3 or 4 axes"),
        (lambda: case("Conv", ..., ..., shape=(1, 1, 2, 2)), UnsupportedOperatorError, "depend on the graph's inputs"),
        (lambda: case("Reshape", ..., np.array([3, -1])), ModelFormatError, r"shape is \[3, -1\], but must hold the 4"),
        (lambda: case("Reshape", ..., np.array([2**40, 2**40])), ModelFormatError, "must hold the 4"),
        (lambda: case("Transpose", ..., perm=[0, 0]), ModelFormatError, r"perm is \[0, 0\]"),
        (lambda: case("Pad", ..., np.array([0, 0, 0, 2**40])), ModelFormatError, "pads are"),
        (lambda: case("Pad", ..., np.array([0, 0, 0, 2**28])), ModelFormatError, "shape"),
        (lambda: case("Pad", ..., np.array([0, 0, 0, 1]), mode="odd"), UnsupportedOperatorError, "mode is odd"),
        (lambda: case("Slice", ..., np.array([0]), np.array([2]), np.array([5])), ModelFormatError, "axis is 5"),
        (lambda: case("Slice", ..., np.array([3]), np.array([3]), np.array([1])), ModelFormatError, "1 or more"),
        (lambda: case("Unsqueeze", ..., np.array([0] * 20)), ModelFormatError, "axes are"),
        (lambda: case("Squeeze", ..., np.array([1])), ModelFormatError, "axis 1 has length 4"),
        (lambda: case("Flatten", ..., axis=9), ModelFormatError, "attribute axis is 9"),
        (lambda: case("Concat", ..., ...), ModelFormatError, "attribute axis is missing"),
        (lambda: case("Concat", ..., np.ones((2, 3), np.float32), axis=1), ModelFormatError, "differ in axis 1 alone"),
        (lambda: case("Split", ..., axis=1, outputs=1, num_outputs=3), ModelFormatError, "does not divide into 1"),
        (lambda: case("LeakyRelu", ..., alpha=float("inf")), ModelFormatError, "alpha is inf"),
        (lambda: case("Softmax", ..., axis=2), ModelFormatError, "axis is 2, but must be -2 to 1"),
        (lambda: case("Clip", ..., np.ones(2, np.float32)), UnsupportedOperatorError, "min has 2 values"),
        (lambda: case("Relu", ..., shape=(1, "n")), UnsupportedOperatorError, "axis 1 has the length 'n'"),
        (lambda: case("Relu", ..., shape=(2**20, 2**20)), ModelFormatError, "268435456 values"),
        (lambda: case("Relu", ..., dtype=np.float16), UnsupportedOperatorError, "element type 10"),
        (lambda: case("Relu", ..., shape=(1,) * 9), ModelFormatError, "at most 8 axes"),
        (lambda: case("If", ..., then_branch=1), UnsupportedOperatorError, "operator If is not among"),
        (lambda: case("Cast", ..., to=[1]), UnsupportedOperatorError, r"attribute to has element type \[1\]"),
        (lambda: case("Cast", ..., to=8), UnsupportedOperatorError, "attribute to has element type 8"),
        (lambda: case("Celu", ..., alpha=0.0), ModelFormatError, "alpha is 0.0, but must not be 0"),
        (lambda: case("Elu", ..., alpha="x"), ModelFormatError, "alpha is x, but must be a finite number"),
        (lambda: case("Not", ...), UnsupportedOperatorError, "is float32, but must be bool"),
        (lambda: case("Div", ..., ..., ...), ModelFormatError, "has 3 inputs, but must have 2"),
        (lambda: case("Where", np.ones(3, bool), ..., ...), ModelFormatError, "but must broadcast"),
        (lambda: case("PRelu", ..., np.ones((3, 4), np.float32)), ModelFormatError, "slope has shape"),
        (lambda: case("ReduceSum", ..., np.array([2])), ModelFormatError, "axis is 2, but must be -2 to 1"),
        (lambda: case("ReduceMean", ..., axes=[0, 0]), ModelFormatError, "axes are .* but must differ"),
        (lambda: case("LayerNormalization", ..., np.ones(3, np.float32)), ModelFormatError, r"shape \[3\], but must"),
        (lambda: case("BatchNormalization", ..., *[np.ones(3, np.float32)] * 4), ModelFormatError, "scale has shape"),
        (lambda: case("Gather", ..., np.array([4]), axis=1), ModelFormatError, "indices are 4 to 4, but must"),
        (lambda: case("Expand", ..., np.array([2**30, 1, 4])), ModelFormatError, "268435456 values"),
        (lambda: case("Expand", ..., np.array([3])), ModelFormatError, "must broadcast to it"),
        (lambda: case("Tile", ..., np.array([1, 2**40])), ModelFormatError, "repeats are"),
        (lambda: case("ConstantOfShape", np.array([2**20, 2**20])), ModelFormatError, "268435456 values"),
        (lambda: case("ConstantOfShape", np.array([1]), value=3), ModelFormatError, "value is 3, but must be a tensor"),
        (lambda: case("Range", F, np.float32(1e30), F), ModelFormatError, "at most 4194304 are"),
        (lambda: case("Range", F, F, np.float32(0)), ModelFormatError, "delta is 0.0"),
        (lambda: case("Resize", ..., None, np.array([1, 1e9], np.float32)), ModelFormatError, "scales are"),
        (lambda: case("Resize", ..., None, None, np.array([2**20, 2**20])), ModelFormatError, "268435456 values"),
        (lambda: case("Resize", ..., None, np.ones(2, np.float32), mode="cubic"), UnsupportedOperatorError, "is cubic"),
        (lambda: case("DepthToSpace", ..., shape=(1, 4, 2, 2), blocksize=3), ModelFormatError, "must divide"),
        (lambda: case("Pad", ..., np.array([0, 0, 0, 4]), mode="reflect"), ModelFormatError, "mode reflect must not"),
        (lambda: case("MatMulInteger", np.ones((1, 4), np.int8), np.ones((4, 2), np.int8), np.int8(0), np.uint8(0)),
         UnsupportedOperatorError, "is uint8, but must be int8"),
        (lambda: case("ConvTranspose", ..., np.ones((1, 1, 2, 2), np.float32), shape=(1, 1, 3, 3), pads=[3, 3, 3, 3]),
         ModelFormatError, "the output would be"),
        (lambda: case("ConvTranspose", ..., np.ones((1, 9, 99, 99), np.float32), shape=(1, 1, 200, 200)),
         ModelFormatError, "products of inputs and weights"),
    ],
)  # fmt: skip
def test_refusals(data, error, sentence):
    refused(data(), error, sentence)


def altered(change) -> bytes:
    model = onnx.load_model_from_string(small().bytes())
    change(model)
    return model.SerializeToString()


def stored(**fields) -> bytes:
    """The first constant (a float32 scalar) with other fields."""

    def change(model) -> None:
        tensor = model.graph.initializer[0]
        for name, value in fields.items():
            tensor.ClearField(name)
            if isinstance(value, list):
                getattr(tensor, name).extend(value)
            else:
                setattr(tensor, name, value)

    return altered(change)


@pytest.mark.parametrize(
    "data, sentence",
    [
        (lambda: stored(dims=[2**40, 2**40]), "has shape"),
        (lambda: stored(dims=[2**27]), "holds 4 bytes, but must hold 536870912"),
        (lambda: stored(dims=[-1]), "axes of 0 to 2147483647"),
        (lambda: stored(dims=[1] * 99), "at most 8 axes"),
        (lambda: stored(raw_data=b"123"), "holds 3 bytes, but must hold 4"),
        (lambda: stored(raw_data=b""), "holds 0 bytes, but must hold 4"),
        (lambda: stored(raw_data=b"\x00\x00\x80\x7f"), "scale is inf, but must be finite"),
        (lambda: stored(raw_data=b"\x00\x00\xc0\x7f"), "holds NaN, but must hold numbers"),
        (lambda: stored(data_type=8), "element type 8"),
        (lambda: stored(data_type=999), "element type 999"),
        (lambda: stored(data_location=TensorProto.EXTERNAL), "stored in another file"),
        (lambda: altered(lambda m: m.graph.initializer.append(m.graph.initializer[0])), "'c0' is given twice"),
        (lambda: small().bytes().replace(b"Conv_2", b"Conv\xff2"), "field name of NodeProto is b'Conv.*UTF-8"),
        (lambda: altered(lambda m: m.graph.node[2].output.__setitem__(0, "y0")), "is made twice"),
        (lambda: altered(lambda m: m.graph.node[0].output.append("more")), "'more' is one too many"),
        (lambda: altered(lambda m: m.graph.output[0].__setattr__("name", "gone")), "output 'gone' is made by no node"),
        (lambda: altered(lambda m: m.graph.ClearField("output")), "must have 1 or more"),
        (lambda: altered(lambda m: m.graph.ClearField("input")), "the graph has 0 inputs, but must have 1 or more"),
        (lambda: altered(lambda m: m.graph.node.reverse()), "read before any node makes it"),
        (lambda: altered(lambda m: m.graph.node[0].attribute.append(
            helper.make_attribute("body", helper.make_graph([], "g", [], [])))), "attribute body is of type 5"),
        (lambda: altered(lambda m: m.graph.sparse_initializer.add()), "sparse"),
        (lambda: altered(lambda m: m.functions.add(name="Conv")), "defines the function Conv itself"),
        (lambda: altered(lambda m: m.graph.node[2].output.append("y0")), "'y0' is one too many"),
        (lambda: altered(lambda m: m.graph.node[2].output.append("y2")), "'y2' is one too many"),
    ],
)  # fmt: skip
def test_hostile_files(data, sentence):
    refused(data(), GoldenError, sentence)


def test_external_data_is_not_read(tmp_path):
    """A file that names another one does not make anybody open it."""

    def change(model) -> None:
        tensor = model.graph.initializer[0]
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../secret"

    path = tmp_path / "model.onnx"
    path.write_bytes(altered(change))
    with pytest.raises(UnsupportedOperatorError, match="stored in another file"):
        golden.load(path)


@pytest.mark.parametrize("make", [small, integer])
def test_every_truncation_is_refused_or_whole(make):
    data = make().bytes()
    for length in range(len(data)):
        try:
            importer.loads(data[:length])
        except GoldenError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("make", [small, integer])
def test_every_damaged_byte_is_refused_or_harmless(make):
    """Whatever byte changes, there is a graph or a GoldenError, never another error, and no large allocation."""
    data = make().bytes()
    rng = np.random.default_rng(0)
    for place in range(len(data)):
        for value in {0, 255, int(data[place]) ^ 1, int(data[place]) ^ 128, int(rng.integers(256))}:
            damaged = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                graph = importer.loads(damaged)
            except GoldenError as error:
                assert "\n" not in str(error)
                continue
            if all(np.prod(tensor.shape) < 10**5 for tensor in graph.tensors.values()):
                shapes = {n: graph.tensors[n] for n in graph.inputs}
                graph.trace({n: t.stacked(np.zeros((1, *t.shape), t.dtype)) for n, t in shapes.items()})


def network() -> bytes:
    """Many kinds of operator in one file: QDQ, QOperator, dynamic quantisation, norms, shape arithmetic."""
    file = small()
    x = file.dequantize("y3", 0.2, np.int8(-5))
    shape = file.node(
        "Concat",
        file.node("Slice", file.node("Shape", x), np.array([0]), np.array([2])),
        np.array([-1]),
        axis=0,
    )
    y = file.node("Reshape", x, shape)
    y = file.node("LayerNormalization", y, np.ones(16, np.float32), np.zeros(16, np.float32), axis=-1)
    y = file.node("Softmax", file.node("MatMul", y, file.node("Transpose", y, perm=[0, 2, 1])))
    q, scale, zero = file.node("DynamicQuantizeLinear", y, outputs=3)
    sums = file.node("MatMulInteger", q, np.ones((4, 3), np.int8), zero)
    y = file.node("Mul", file.node("Cast", sums, to=1), scale)
    y = file.node(
        "Where", file.node("Greater", y, np.float32(0)), y, file.node("ReduceMean", y, np.array([1]))
    )
    y = file.node("Gather", file.node("Pad", y, np.array([0, 0, 1, 0, 1, 0])), np.array([2, 0]), axis=1)
    up = file.node("Resize", x, None, np.array([1, 1, 2, 2], np.float32), mode="linear")
    up = file.node("ConvTranspose", up, np.ones((4, 2, 2, 2), np.float32), strides=[2, 2])
    up = file.node("AveragePool", up, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    file.node("QuantizeLinear", y, np.float32(0.1), np.uint8(3))
    number = np.float32(0.2), np.int8(-5)
    made = file.node("QLinearAdd", "y3", *number, "y3", *number, *number, domain=MICROSOFT)
    return file.bytes(file.nodes[-2].output[0], file.node("QuantizeLinear", up, *number), made)


NUMBERS = [-1, 0, 1, 2, 3, 7, -9, 255, 65536, 1 << 31, 1 << 40, -(1 << 63), (1 << 63) - 1]
REALS = [0.0, -1.0, float("nan"), float("inf"), 1e-45, 3e38]


def mutate(model: onnx.ModelProto, rng: np.random.Generator) -> None:
    """One change to the structure of a file, of the kinds a broken exporter or an attacker makes."""
    graph = model.graph
    node, tensor = (group[rng.integers(len(group))] for group in (graph.node, graph.initializer))
    names = [name for other in graph.node for name in other.output] + ["", "nowhere", tensor.name]
    number, real = NUMBERS[rng.integers(len(NUMBERS))], REALS[rng.integers(len(REALS))]
    attribute = node.attribute[rng.integers(len(node.attribute))] if node.attribute else None
    kinds = [kind for _, kind in importer.OPERATORS]
    match int(rng.integers(17)):
        case 0 if node.input:
            node.input[rng.integers(len(node.input))] = str(rng.choice(names))
        case 1:
            node.input.append(str(rng.choice(names)))
        case 2 if node.input:
            del node.input[rng.integers(len(node.input))]
        case 3:
            node.output.append(str(rng.choice(names)))
        case 4 if node.output:
            del node.output[rng.integers(len(node.output))]
        case 5:
            node.op_type = str(rng.choice(kinds))
        case 6 if attribute is not None:
            attribute.i, attribute.f, attribute.s = number, real, b"\xff"
        case 7 if attribute is not None and attribute.ints:
            attribute.ints[rng.integers(len(attribute.ints))] = number
        case 8:
            name = str(
                rng.choice(
                    ["axis", "axes", "perm", "pads", "strides", "group", "to", "alpha", "keepdims", "mode"]
                )
            )
            value = [number, [number, 1], real, [real], "VALID"][rng.integers(5)]
            node.attribute.append(helper.make_attribute(name, value))
        case 9 if tensor.dims:
            tensor.dims[rng.integers(len(tensor.dims))] = number
        case 10:
            tensor.data_type = int(rng.integers(25))
        case 11 if tensor.raw_data:
            tensor.raw_data = rng.bytes(len(tensor.raw_data))
        case 12:
            tensor.name = str(rng.choice(names))
        case 13:
            kind = graph.input[0].type.tensor_type
            kind.elem_type = int(rng.integers(25))
            if kind.shape.dim:
                kind.shape.dim[rng.integers(len(kind.shape.dim))].dim_value = number
        case 14:
            order = rng.permutation(len(graph.node))
            nodes = [onnx.NodeProto.FromString(graph.node[i].SerializeToString()) for i in order]
            del graph.node[:]
            graph.node.extend(nodes)
        case 15:
            model.opset_import[0].version = [0, 7, 11, 13, 18, 99, -5][rng.integers(7)]
        case _:
            graph.node.append(node)


def test_mutated_files():
    """Hundreds of broken files: a graph that runs, or one sentence; never another error or a warning."""
    whole, rng = network(), np.random.default_rng(0)
    importer.loads(whole)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        model = onnx.load_model_from_string(whole)
        for _ in range(rng.integers(1, 3)):
            mutate(model, rng)
        try:
            graph = importer.loads(model.SerializeToString())
            graph.summary()
            if all(np.prod(tensor.shape) < 10**5 for tensor in graph.tensors.values()):
                tensors = {name: graph.tensors[name] for name in graph.inputs}
                graph.predict({n: t.stacked(np.ones((1, *t.shape), t.dtype)) for n, t in tensors.items()})
            outcomes["read"] += 1
        except GoldenError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 15, outcomes


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 64, b"TFL3" * 9, b"PK\x03\x04" + b"x" * 99, bytes(range(256))]
)
def test_foreign_content(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match="not an ONNX file"):
        golden.load(path)


def test_command_line_refuses_with_status_two(tmp_path, capsys):
    from assay.golden.__main__ import main

    path = tmp_path / "bad.onnx"
    path.write_bytes(small(strides=[0, 1]).bytes())
    assert main(["summary", str(path)]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"golden: bad: node 'Conv_2' \(Conv\): attribute strides is \[0, 1\].*\n", error)
