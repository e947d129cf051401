# SPDX-License-Identifier: Apache-2.0
"""QONNX files as graphs: which become networks, what is refused and how, damaged and hostile files."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from assay import golden
from assay.golden import Graph, ModelFormatError, Network, UnsupportedOperatorError
from assay.golden.importers import onnx as importer
from assay.golden.schemes.qonnx import DOMAIN, BipolarQuant, Quant
from assay.golden.tests.onnx_files import QONNX, OnnxFile, check

DIGITS = Path(__file__).parents[2] / "vectors" / "digits" / "digits_w2a2.onnx"
ONE, NONE, EIGHT = np.float32(1), np.float32(0), np.float32(8)
QUANT = {"domain": QONNX, "signed": 1, "narrow": 0, "rounding_mode": "ROUND"}


def fused(mode: str = "FLOOR", scale: float = 0.25) -> OnnxFile:
    """The MVU's pattern; another scale or mode takes it out."""
    file = OnnxFile(13)
    x = file.quant(file.input((1, 3, 6, 6)), 4, 1, signed=0)
    w = file.quant(np.arange(-27, 27, dtype=np.float32).reshape(2, 3, 3, 3) / 4, 4, 1)
    y = file.node("Relu", file.node("Conv", x, w))
    file.quant(y, 4, 1 / scale, signed=0, mode=mode)
    return file


def test_a_file_is_a_graph_whether_or_not_it_could_be_a_network(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(fused().bytes())
    graph = golden.load(path)
    assert isinstance(graph, Graph)
    assert (graph.tensors["x0"].dtype, graph.tensors["x0"].shape) == (np.float32, (1, 3, 6, 6))
    assert isinstance(golden.load(path).lower(), Network)
    path.write_bytes(fused("ROUND").bytes())
    assert isinstance(golden.load(path), Graph)
    assert len(golden.load(path).lower().layers) == 2  # the first tells which ties to round up
    path.write_bytes(fused(scale=0.3).bytes())
    assert isinstance(golden.load(path), Graph)
    with pytest.raises(golden.GoldenError, match="node 'Quant_4'"):
        golden.load(path).lower()
    file = fused()
    file.node("Sigmoid", "y4")
    path.write_bytes(file.bytes())
    graph = golden.load(path)
    assert isinstance(graph, Graph) and graph.name == "net"
    assert graph.tensors["x0"].dtype == np.float32
    assert str(graph.tensors["y4"].quantisation) == "uint4 4"
    network = golden.load(path).lower()
    assert network.host == ("Sigmoid 'Sigmoid_5'",) and network.output == "y4"
    assert "left to the host: Sigmoid 'Sigmoid_5'" in network.summary()
    file.node("Elu", "y5")
    path.write_bytes(file.bytes())
    with pytest.raises(
        UnsupportedOperatorError, match=r"net: node 'Sigmoid_5' .* is none that becomes a layer"
    ):
        golden.load(path).lower()


def test_a_file_without_layers_is_no_network(tmp_path):
    path = tmp_path / "qdq.onnx"
    file = OnnxFile()
    file.quantize(file.input((1, 3)), 1, np.int8(0))
    path.write_bytes(file.bytes())
    with pytest.raises(golden.GoldenError, match=r"must be what a layer makes of the input"):
        golden.load(path).lower()


def test_network_and_graph_agree():
    """The integers of the pattern's reader are what the graph's float32 tensors carry."""
    for data, x in (
        (fused().bytes(), np.random.default_rng(0).integers(0, 16, (50, 3, 6, 6))),
        (DIGITS.read_bytes(), np.random.default_rng(0).integers(0, 4, (50, 1, 8, 8))),
    ):
        network, graph = importer.loads(data, "net").lower(), importer.loads(data)
        integers, floats = network.trace(x.transpose(0, 2, 3, 1)), graph.trace(x.astype(np.float32))
        assert len(integers) == len(network.layers) + 1
        for name, values in integers.items():
            carried = floats[name] / graph.tensors[name].quantisation.scale
            carried = carried.transpose(0, 2, 3, 1) if carried.ndim == 4 else carried[:, None, None]
            np.testing.assert_array_equal(carried, values)


@pytest.mark.parametrize("domain", ["onnx.brevitas", DOMAIN])
@pytest.mark.parametrize("kind", ["Quant", "IntQuant"])
def test_names_of_quant(kind, domain):
    file = OnnxFile()
    file.node(kind, file.input((1, 3)), ONE, NONE, EIGHT, **{**QUANT, "domain": domain})
    graph = importer.loads(file.bytes())
    assert isinstance(graph.nodes[0].operator, Quant)
    np.testing.assert_array_equal(graph.predict(np.array([[0.5, 1.5, 900]], np.float32)), [[0, 2, 127]])


def test_qdq_and_qonnx_may_be_mixed():
    file = OnnxFile(13)
    x = file.quant(file.input((1, 4, 5, 5)), 3, 0.25)
    q = file.quantize(x, 0.125, np.int8(3))
    w = file.dequantize(np.arange(-18, 18, dtype=np.int8).reshape(1, 4, 3, 3), 0.3, np.int8(0))
    file.quant(file.node("Conv", file.dequantize(q, 0.125, np.int8(3)), w), 6, 0.7)
    check(file, np.random.default_rng(0))


def test_a_batch_equals_its_rows_one_by_one():
    file = fused("ROUND", 0.3)
    file.inputs[0].type.tensor_type.shape.dim[0].dim_param = "N"
    graph = importer.loads(file.bytes())
    x = np.random.default_rng(0).standard_normal((7, 3, 6, 6)).astype(np.float32) * 9
    together = graph.trace(x)
    for row in range(7):
        for name, array in graph.trace(x[row : row + 1]).items():
            np.testing.assert_array_equal(array[0], together[name][row])


def one(kind: str, *inputs, shape=(1, 3), version: int = 1, **attributes) -> bytes:
    file = OnnxFile(13, version)
    file.node(kind, file.input(shape), *inputs, **{"domain": QONNX, **attributes})
    return file.bytes()


def quant(scale=ONE, zero=NONE, bits=EIGHT, shape=(1, 3), **attributes) -> bytes:
    return one("Quant", scale, zero, bits, shape=shape, **{**QUANT, **attributes})


def computed_scale() -> bytes:
    file = OnnxFile()
    x = file.input((1, 3))
    file.node("Quant", x, file.node("Relu", x), NONE, EIGHT, **QUANT)
    return file.bytes()


def cycle() -> bytes:
    file = OnnxFile()
    file.node("Add", file.input((1, 3)), "y1")
    file.node("Quant", "y0", ONE, NONE, EIGHT, **QUANT)
    return file.bytes()


def twice() -> bytes:
    file = OnnxFile()
    file.node("Quant", file.input((1, 3)), ONE, NONE, EIGHT, **QUANT)
    file.node("Relu", "y0")
    file.nodes[1].output[0] = "y0"
    return file.bytes()


def huge() -> bytes:
    file = OnnxFile()
    x = file.quant(file.input((1, 1)), 8, 1)
    file.node("Resize", x, None, None, np.array([1 << 40, 1 << 40]), mode="nearest")
    return file.bytes()


def padded() -> bytes:
    file = OnnxFile()
    x = file.quant(file.input((1, 1, 2, 2)), 8, 1)
    file.node("Pad", x, np.array([0, 0, 0, 0, 0, 0, 1 << 27, 1 << 27]))
    return file.bytes()


NODE = r"^model: node 'Quant_0' \(Quant\): "


@pytest.mark.parametrize(
    "build, error, sentence",
    [
        (lambda: quant(bits=NONE), ModelFormatError, NODE + "bit width is 0, but must be a whole number from 1 to 32$"),
        (lambda: quant(bits=np.float32(33)), ModelFormatError, "bit width is 33"),
        (lambda: quant(bits=np.float32(3.5)), ModelFormatError, "bit width is 3.5"),
        (lambda: quant(bits=np.float32([8, 8])), UnsupportedOperatorError, "bit width has 2 values, but must have 1"),
        (lambda: quant(scale=NONE), ModelFormatError, NODE + "scale is 0.0, but must be finite and above 0$"),
        (lambda: quant(scale=np.float32(-1)), ModelFormatError, "scale is -1.0"),
        (lambda: quant(scale=np.float32(np.nan)), ModelFormatError, "holds NaN, but must hold numbers"),
        (lambda: quant(zero=np.float32(np.inf)), ModelFormatError, NODE + "zero point is inf, but must be finite"),
        (lambda: quant(scale=np.float16(1)), UnsupportedOperatorError, "has element type 10, but must have one of"),
        (lambda: quant(scale=np.int16(1)), UnsupportedOperatorError, "scale 'c0' is int16, but must be float32 or"),
        (lambda: quant(scale=np.float64(0.1)), ModelFormatError, "scale is 0.1, but must be a number of float32$"),
        (lambda: quant(scale=np.float64(1e300)), ModelFormatError, r"scale is 1e\+300, but must be a number of"),
        (lambda: quant(zero=np.int64(2**24 + 1)), ModelFormatError, "zero point is 16777217, but must be a num"),
        (lambda: quant(zero=np.int64(2**63 - 1)), ModelFormatError, "zero point is 9223372036854775807, but"),
        (lambda: quant(bits=np.float64(8.5)), ModelFormatError, "bit width is 8.5"),
        (lambda: quant(zero=np.int64(0), bits=np.int64(25)), ModelFormatError, "a whole number from 1 to 24 beside"),
        (lambda: one("BipolarQuant", np.float64(0.1)), ModelFormatError, r"\(BipolarQuant\): scale is 0.1, but must"),
        (lambda: quant(scale=np.ones(2, np.float32)), UnsupportedOperatorError, r"shape \[2\], but must broadcast to"),
        (lambda: quant(scale=np.ones((1, 1, 1), np.float32)), UnsupportedOperatorError, "must broadcast to"),
        (computed_scale, UnsupportedOperatorError, "scale 'y0' is computed by the network, but must be a constant"),
        (lambda: quant(rounding_mode="NEAREST"), ModelFormatError, "rounding_mode is NEAREST, but must be one of"),
        (lambda: quant(rounding_mode=2), ModelFormatError, "rounding_mode is 2"),
        (lambda: quant(signed=2), UnsupportedOperatorError, "attribute signed is 2, but must be 0 or 1"),
        (lambda: one("Quant", ONE, NONE, EIGHT, narrow=0), UnsupportedOperatorError, "attribute signed is None"),
        (lambda: one("Quant", ONE, NONE, **QUANT), ModelFormatError, r"bit width \(input 3\) is missing"),
        (lambda: one("Quant", ONE, **QUANT), ModelFormatError, r"zero point \(input 2\) is missing"),
        (lambda: one("Quant", "nowhere", NONE, EIGHT, **QUANT), UnsupportedOperatorError, "'nowhere' is computed"),
        (lambda: one("BipolarQuant", NONE), ModelFormatError, "scale is 0.0"),
        (lambda: one("Trunc", ONE, NONE, EIGHT, np.float32(9)), ModelFormatError, "output bit width is 9"),
        (lambda: one("Trunc", ONE, NONE, EIGHT, ONE, version=2), ModelFormatError, "output bit width .input 5. is mis"),
        (
            lambda: one("FloatQuant", ONE, ONE, ONE, ONE, ONE),
            UnsupportedOperatorError,
            r"node 'FloatQuant_0' \(FloatQuant\): operator FloatQuant rounds by a float32 logarithm",
        ),
        (lambda: one("Im2Col"), UnsupportedOperatorError, "operator Im2Col of domain qonnx.custom_op.general is not"),
        (lambda: one("Quant", ONE, NONE, EIGHT, domain="else"), UnsupportedOperatorError, "Quant of domain else"),
        (lambda: one("MultiThreshold", np.ones((2, 4), np.float32)), ModelFormatError, "must be for 1 or 3 channels"),
        (
            lambda: one("MultiThreshold", np.ones((3, 4), np.float32), data_layout="NHWC"),
            ModelFormatError,
            "attribute data_layout is NHWC, but the input has shape",
        ),
        (cycle, ModelFormatError, "tensor 'y1' is read before any node makes it"),
        (twice, ModelFormatError, "tensor 'y0' is made twice"),
        (huge, ModelFormatError, "has shape .* but must have at most"),
        (padded, ModelFormatError, "has shape .* but must have at most"),
        (lambda: quant(shape=(1, 1 << 40)), ModelFormatError, "has shape .* but must have at most"),
    ],
)  # fmt: skip
def test_bad_files_are_one_sentence(build, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        importer.loads(build())
    assert str(caught.value).startswith("model: ")
    assert "\n" not in str(caught.value)


def whole() -> bytes:
    file = OnnxFile(13, 2)
    x = file.quant(file.input((1, 2, 6, 6)), 8, 0.3)
    w = file.node("BipolarQuant", np.ones((4, 2, 3, 3), np.float32), np.float32(0.1), domain=QONNX)
    y = file.node("Conv", x, w, pads=[1, 1, 1, 1])
    y = file.node("BatchNormalization", y, *np.ones((4, 4), np.float32))
    y = file.node("AveragePool", file.quant(y, 4, 0.2), kernel_shape=[2, 2], strides=[2, 2])
    numbers = np.float32(0.05), NONE, np.float32(6), np.float32(0.2), np.float32(4)
    y = file.node("Trunc", y, *numbers, domain=QONNX, rounding_mode="FLOOR", signed=1, narrow=0)
    y = file.node("MultiThreshold", y, np.float32([[0, 1]]), domain=QONNX, out_dtype="UINT2")
    file.node("ReduceMean", y, axes=[2, 3], keepdims=0)
    return file.bytes()


def test_altered_and_cut_files_never_end_in_anything_but_one_sentence():
    content = whole()
    assert isinstance(importer.loads(content), Graph)
    rng, refused = np.random.default_rng(3), 0
    altered = [content[:length] for length in range(0, len(content), 9)]
    for _ in range(1500):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        altered.append(bytes(damaged))
    for data in altered:
        try:
            graph = importer.loads(data, "altered")
        except (ModelFormatError, UnsupportedOperatorError) as error:
            refused += 1
            assert str(error).startswith("altered: ") and "\n" not in str(error)
        else:
            if isinstance(graph, Graph) and all(
                t.shape == (1, 2, 6, 6) for n, t in graph.tensors.items() if n == "x0"
            ):
                graph.summary()
    assert refused > 700


def test_weights_stored_as_integers_and_cast():
    """As `golden.exporters.qonnx` writes them; a Quant of a constant is part of the trace."""
    graph = importer.loads(DIGITS.read_bytes())
    assert {"Cast", "Quant", "Conv"} <= {node.kind for node in graph.nodes}
    assert sum(isinstance(t.quantisation, Quant) for t in graph.tensors.values()) > 4
    assert "MACs" in graph.summary()


@pytest.mark.parametrize("zero", [np.int64(0), np.float64(3), np.int32(-7), np.float32(1)])
@pytest.mark.parametrize(
    "scale", [np.float64(0.25), np.float64(np.float32(0.3)), np.int64(3), np.float32(0.3)]
)
def test_parameters_of_other_types(scale, zero):
    """As qonnx's converter from Keras writes them: qonnx computes with them in float64, which shows near ties."""
    rng = np.random.default_rng(0)
    for mode in ("ROUND", "FLOOR", "HALF_UP"):
        for bits in (1, 4, 20):
            file = OnnxFile(13)
            attributes = QUANT | {"rounding_mode": mode}
            file.node("Quant", file.input((1, 3, 200)), scale, zero, np.int64(bits), **attributes)
            halves = np.round(rng.standard_normal((6, 3, 200)) * 2.0 ** min(bits, 9)) / 2 * float(scale)
            near = np.nextafter(halves.astype(np.float32), np.float32(rng.choice([-np.inf, np.inf])))
            check(file, rng, x={"x0": np.concatenate([halves.astype(np.float32), near])})


def test_a_network_has_the_same_numbers_with_parameters_of_other_types():
    x = np.random.default_rng(0).integers(0, 16, (9, 3, 6, 6)).astype(np.float32)
    files = fused(), fused()
    for tensor in files[1].constants:
        array = numpy_helper.to_array(tensor)
        if array.ndim == 0:
            tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float64), tensor.name))
    plain, wide = (importer.loads(file.bytes()) for file in files)
    theirs = plain.trace(x)
    for name, array in wide.trace(x).items():
        np.testing.assert_array_equal(array, theirs[name])


def test_initialisers_may_be_listed_as_inputs():
    """As exporters with keep_initializers_as_inputs write them."""
    model_inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2))]
    constants = [numpy_helper.from_array(np.float32([0.5]), "scale")]
    model_inputs.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, (1,)))
    node = helper.make_node("BipolarQuant", ["x", "scale"], ["y"], domain=DOMAIN)
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2))]
    model = helper.make_model(helper.make_graph([node], "g", model_inputs, outputs, constants))
    graph = importer.loads(model.SerializeToString())
    assert graph.inputs == ("x",)
    assert isinstance(graph.nodes[0].operator, BipolarQuant)
    np.testing.assert_array_equal(graph.predict(np.float32([[0, -3]])), [[0.5, -0.5]])


def test_missing_package_is_named(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(fused("ROUND").bytes())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(golden.GoldenError, match="pip install onnx"):
        golden.load(path)


def test_profile_counts_saturation_of_the_carried_integers():
    file = OnnxFile()
    scale = np.float32([[[0.5], [0.25]]])
    file.node("Relu", file.quant(file.input((1, 2, 3)), 3, scale, signed=1))
    graph = importer.loads(file.bytes())
    x = np.float32([[[-9, 0.5, 9], [-0.25, 0, 0.75]]])
    row = next(row for row in golden.profile(graph, x).rows if row.name == "y0")
    assert (row.low, row.high, row.least, row.greatest) == (-4, 3, -4, 3)
    assert (row.at_low, row.at_high, row.count) == (1, 2, 6)
    carried = graph.nodes[0].operator.carried(graph.trace(x)["y0"])
    np.testing.assert_array_equal(carried, [[[-4, 1, 3], [-1, 0, 3]]])
