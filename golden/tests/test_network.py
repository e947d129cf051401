# SPDX-License-Identifier: Apache-2.0
"""Networks against loops over Python integers, and the QONNX reader and writer against ONNX's own
executor."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from assay import golden
from assay.golden import (
    ConfigurationError,
    DoesNotFitError,
    GoldenError,
    IntFormat,
    Layer,
    ModelFormatError,
    Network,
    Residual,
    UnsupportedOperatorError,
)
from assay.golden.exporters import qonnx as exporter
from assay.golden.importers import onnx as importer
from assay.golden.operators import max_pool
from assay.golden.tests.onnx_executor import Quant, execute

U2, S2, U8, S16 = IntFormat(2, False), IntFormat(2, True), IntFormat(8, False), IntFormat(16, True)


def layer_by_loops(layer, x, residual):
    """A fused layer from its definition, on lists of Python integers."""
    n, height, width, _ = x.shape
    out_h, out_w = layer.convolution_size((height, width))
    v = np.zeros((n, out_h, out_w, layer.output_channels), object)
    for place in np.ndindex(v.shape):
        image, i, j, k = place
        total = 0
        first = k if layer.groups > 1 else 0
        for fy, fx, c in np.ndindex(*layer.kernel, layer.weight.shape[3]):
            row = i * layer.stride[0] + fy - layer.padding[0]
            column = j * layer.stride[1] + fx - layer.padding[1]
            if 0 <= row < height and 0 <= column < width:
                total += int(x[image, row, column, first + c]) * int(layer.weight[k, fy, fx, c])
        total = total * int(layer.multiplier[k]) + int(layer.bias[k])
        if layer.residual is not None:
            total += int(residual[place]) * layer.residual.multiplier * 2**layer.residual.shift
        v[place] = max(total, 0) if layer.relu else total
    if layer.pool is not None:
        v = max_pool(v.astype(np.int64), *layer.pool).astype(object)
    half = 2**layer.shift // 2 if layer.rounding == "half_up" else 0
    y, target = (v + half) // 2**layer.shift, layer.output_format
    if layer.saturate:
        return np.minimum(np.maximum(y, target.min), target.max)
    return (y - target.min) % 2**target.bits + target.min


@st.composite
def networks(draw, float32_exact=False):
    """Two layers; the second adds the first's output. Only what QONNX can express if `float32_exact`."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    smallest = 2 if float32_exact else 1
    layers, tensor, target = [], "x", IntFormat(draw(st.integers(smallest, 8)), draw(st.booleans()))
    channels, size = draw(st.integers(1, 3)), (draw(st.integers(4, 6)), draw(st.integers(4, 6)))
    shape = (*size, channels)
    for name in ("first", "second"):
        last = name == "second"
        weight_format = IntFormat(draw(st.integers(2, 4)), True)
        outputs = channels if last else draw(st.integers(1, 3))
        shift = draw(st.integers(0, 8))
        relu = draw(st.booleans())
        output = IntFormat(draw(st.integers(2, 6)), draw(st.booleans()))
        rounding = draw(st.sampled_from(["truncate", "half_up"]))
        if float32_exact and output.signed and not relu:
            rounding = "truncate"
        depthwise = outputs == channels > 1 and draw(st.booleans())
        residual = Residual(tensor, target, int(rng.integers(-300, 300)), draw(st.integers(0, 2)))
        layers.append(
            Layer(
                name=name,
                input=tensor,
                output=f"{name}_out",
                weight=rng.integers(
                    weight_format.min, weight_format.max + 1, (outputs, 3, 3, 1 if depthwise else channels)
                ),
                weight_format=weight_format,
                input_format=target,
                output_format=output,
                multiplier=rng.integers(-64, 65, outputs),
                bias=rng.integers(-3000, 3000, outputs),
                shift=shift,
                stride=(1, 1) if last else draw(st.tuples(*[st.integers(1, 2)] * 2)),
                padding=(1, 1, 1, 1) if last else draw(st.tuples(*[st.integers(0, 2)] * 4)),
                groups=channels if depthwise else 1,
                residual=residual if last else None,
                relu=relu,
                pool=draw(st.sampled_from([None, ((2, 2), (1, 1)), ((2, 1), (2, 2))])) if last else None,
                rounding=rounding,
                saturate=float32_exact or draw(st.booleans()),
            )
        )
        tensor, target, channels, size = layers[-1].output, output, outputs, layers[-1].output_size(size)
        if min(size) < 2:
            layers[-1] = dataclasses.replace(layers[-1], stride=(1, 1), padding=(1, 1, 1, 1))
            size = layers[-1].output_size(shape[:2])
    network = Network("random", "x", shape, tuple(layers))
    x = rng.integers(network.input_format.min, network.input_format.max + 1, (2, *shape))
    return network, x


@settings(max_examples=40)
@given(networks())
def test_trace_is_the_definition_layer_by_layer(case):
    network, x = case
    trace = network.trace(x)
    assert list(trace) == ["x", "first_out", "second_out"]
    for layer in network.layers:
        residual = trace[layer.residual.tensor] if layer.residual else None
        expected = layer_by_loops(layer, trace[layer.input], residual)
        np.testing.assert_array_equal(trace[layer.output], expected)
        assert trace[layer.output].dtype == np.int64
        assert trace[layer.output].shape[1:] == network.shapes[layer.output]
        assert layer.output_format.contains(trace[layer.output])
        low, high = layer.accumulator_range
        acc = layer.accumulate(trace[layer.input])
        assert (low <= acc).all() and (acc <= high).all()
    np.testing.assert_array_equal(network.predict(x), trace[network.output])
    np.testing.assert_array_equal(network.predict(x[1:]), trace[network.output][1:])


@settings(max_examples=25)
@given(networks(float32_exact=True))
def test_written_file_computes_the_same_in_float32_and_reads_back(case):
    network, x = case
    content = exporter.to_bytes(network)
    trace, executed = network.trace(x), execute(content, x)
    again = importer.loads(content, "again").lower().trace(x)
    assert list(again) == list(trace)
    for name, values in trace.items():
        np.testing.assert_array_equal(executed[name], values)
        np.testing.assert_array_equal(again[name], values)


def test_accumulator_bits_are_the_smallest_register():
    for weights, bits in (([1], 3), ([-1], 3), ([-2, -2, -2], 6), ([1, 1, 1, 1, 1], 5), ([0], 1)):
        layer = simple_layer(weight=np.reshape(weights, (1, 1, 1, -1)))
        assert layer.accumulator_bits == bits  # unsigned 2-bit inputs: 3, -3, -18, 15, 0


def simple_layer(**changes):
    values = {
        "name": "conv",
        "input": "x",
        "output": "y",
        "weight": np.ones((1, 1, 1, 2), int),
        "weight_format": S2,
        "input_format": U2,
        "output_format": U2,
        "multiplier": np.ones(1, int),
        "bias": np.zeros(1, int),
        "shift": 0,
    }
    return Layer(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weight": np.full((1, 1, 1, 2), 2)}, "layer conv: weight spans 2 to 2, but s2 allows -2 to 1"),
        ({"weight": np.ones((1, 1, 2))}, "weight is float64 .* but must hold integers in 4 dimensions"),
        (
            {"multiplier": np.array([1 << 15])},
            "multiplier spans 32768 to 32768, but s16 allows -32768 to 32767",
        ),
        ({"bias": np.zeros(2, int)}, "bias has 2 values, but the weight has 1 output channels"),
        (
            {"groups": 2},
            r"groups is 2 for a weight of \[1, 1, 1, 2\], but must be 1, or as many as output channels",
        ),
        ({"shift": 63}, "shift is 63, but must be a whole number from 0 to 62"),
        ({"rounding": "up"}, "rounding is 'up', but must be one of truncate, half_up"),
    ],
)
def test_layer_values_are_checked(changes, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        simple_layer(**changes)


def test_layer_arrays_cannot_change():
    weight = np.ones((1, 1, 1, 2), int)
    layer = simple_layer(weight=weight)
    weight[:] = 0
    assert layer.weight.all()
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0] = 0


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([], "has 0 layers"),
        ([simple_layer(input="z")], "no layer reads its input tensor 'x'"),
        ([simple_layer(), simple_layer(output="z")], "two layers are named 'conv'"),
        ([simple_layer(), simple_layer(name="b")], "layer b: tensor 'y' is made twice"),
        ([simple_layer(), simple_layer(name="b", input="q", output="z")], "'q' is read before any"),
        (
            [simple_layer(), simple_layer(name="b", input="y", output="z")],
            "'y' has 1 channels, but .* takes 2",
        ),
        (
            [simple_layer(), simple_layer(name="b", input_format=U8, output="z")],
            "'x' is read as u8, .* as u2",
        ),
        (
            [simple_layer(weight=np.ones((1, 5, 5, 2), int))],
            "kernel 5x5 is larger than the padded map of 3x3",
        ),
        (
            [simple_layer(residual=Residual("x", U2, 1))],
            r"residual 'x' is \(3, 3, 2\), but the convolution gives \(3, 3, 1\)",
        ),
    ],
)
def test_network_joints_are_checked(layers, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Network("n", "x", (3, 3, 2), layers)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((1, 3, 3, 1), int), r"input has shape \[1, 3, 3, 1\], but network n takes \[N, 3, 3, 2\]"),
        (np.zeros((3, 3, 2), int), r"input has shape \[3, 3, 2\]"),
        (np.zeros((1, 3, 3, 2)), "input has dtype float64, but network n takes integers"),
        (np.full((1, 3, 3, 2), 4), "input spans 4 to 4, but network n takes u2, 0 to 3"),
    ],
)
def test_input_is_checked(x, sentence):
    with pytest.raises(GoldenError, match=sentence):
        Network("n", "x", (3, 3, 2), [simple_layer()]).predict(x)


def test_missing_and_superfluous_residuals_are_named():
    acc = np.zeros((1, 3, 3, 1), int)
    with pytest.raises(GoldenError, match="layer conv takes no residual, but was given one"):
        simple_layer().post_process(acc, acc)
    with pytest.raises(GoldenError, match="layer conv takes a residual, but was given none"):
        simple_layer(residual=Residual("r", U2, 1)).post_process(acc)
    with pytest.raises(ConfigurationError, match="multiplier is 32768"):
        Residual("r", U2, 1 << 15)


def test_summary_names_layers_and_work():
    text = Network("n", "x", (3, 3, 2), [simple_layer()]).summary()
    assert text.splitlines()[0] == "network n: 1 layers, 2 weights, 18 MACs an image"
    assert "s2 x u2 -> u2" in text


# Files as other tools write them, which the writer above would not.


class GraphBuilder:
    """A small hand-made QONNX graph; `chain` appends nodes that each read the one before."""

    def __init__(self, shape):
        self.nodes, self.initialisers, self.shape, self.last = [], [], shape, "image"

    def constant(self, values, dtype=np.float32):
        name = f"c{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def chain(self, operator, *more, output=None, domain="", **attributes):
        output = output or f"t{len(self.nodes)}"
        name = f"{operator.lower()}{len(self.nodes)}"
        inputs = [self.last, *more]
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=name, domain=domain, **attributes)
        )
        self.last = output
        return self

    def quant(self, bits, signed=0, scale=1.0, output=None, zero=0.0, domain=Quant.op_domain, **attributes):
        attributes = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND", **attributes}
        constants = self.constant(scale), self.constant(zero), self.constant(bits)
        return self.chain("Quant", *constants, output=output, domain=domain, **attributes)

    def weights(self, values, bits=4, scale=1.0, **attributes):
        """A Quant on a constant beside the chain; returns its output's name."""
        before, self.last = self.last, self.constant(values)
        name = self.quant(bits, 1, scale, **attributes).last
        self.last = before
        return name

    def content(self):
        graph = helper.make_graph(
            self.nodes,
            "graph",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)],
            self.initialisers,
        )
        opsets = [helper.make_opsetid("", 13), helper.make_opsetid(Quant.op_domain, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


RNG = np.random.default_rng(7)
KERNEL = RNG.integers(-8, 8, (2, 3, 3, 3))


def start(bits=4, scale=1.0, width=6):
    return GraphBuilder(["N", 3, 6, width]).quant(bits, scale=scale, output="in")


def agree(builder, scales, count=5):
    """The file read as a network gives what ONNX computes, after division by each tensor's scale."""
    content = builder.content()
    network = importer.loads(content, "hand-made").lower()
    x = RNG.integers(network.input_format.min, network.input_format.max + 1, (count, *network.input_shape))
    executed, trace = execute(content, x * scales["in"]), network.trace(x)
    assert list(trace) == list(scales)
    for name, values in trace.items():
        np.testing.assert_array_equal(executed[name], values * scales[name])
        assert name == "in" or len(np.unique(values)) > 2, "a constant tensor would compare nothing"
    return network


def test_reads_scales_biases_and_maxpool_after_quant():
    b = start(scale=0.5)
    scale = np.reshape([0.25, 0.125], (2, 1, 1, 1))
    b.chain(
        "Conv",
        b.weights(KERNEL * scale, scale=scale),
        b.constant([0.375, -1.25]),
        pads=[1, 0, 1, 0],
        strides=[1, 1],
    )
    b.chain("Mul", b.constant(np.reshape([0.5, -0.75], (1, 2, 1, 1)))).chain("Add", b.constant(0.125))
    b.chain("MaxPool", kernel_shape=[2, 2], strides=[2, 2]).chain("Relu")
    b.quant(5, scale=0.25, rounding_mode="HALF_UP", output="a")
    b.chain("Conv", b.weights(RNG.integers(-8, 8, (3, 2, 1, 1)))).quant(7, 1, rounding_mode="FLOOR")
    b.chain("MaxPool", kernel_shape=[2, 1], output="b")
    network = agree(b, {"in": 0.5, "a": 0.25, "b": 1.0})
    assert [layer.pool for layer in network.layers] == [((2, 2), (2, 2)), ((2, 1), (1, 1))]
    assert network.layers[0].padding == (1, 0, 1, 0)


@pytest.mark.parametrize("operator", ["Gemm", "Gemm transB", "MatMul"])
@pytest.mark.parametrize("flatten", ["Flatten", "Reshape"])
def test_reads_dense_layers(operator, flatten):
    b = start(width=5)
    b.chain("Flatten") if flatten == "Flatten" else b.chain("Reshape", b.constant([0, -1], np.int64))
    matrix = RNG.integers(-8, 8, (90, 4))
    scale = np.array([[1, 2, 4, 0.5]])
    if operator == "Gemm transB":
        b.chain("Gemm", b.weights((matrix * scale).T, scale=scale.T), b.constant([3, -2, 7, 0.5]), transB=1)
    elif operator == "Gemm":
        b.chain("Gemm", b.weights(matrix * scale, scale=scale), b.constant([3, -2, 7, 0.5]))
    else:
        b.chain("MatMul", b.weights(matrix * scale, scale=scale)).chain("Add", b.constant([3, -2, 7, 0.5]))
    b.chain("Relu").quant(4, scale=32.0, rounding_mode="HALF_UP", output="hidden")
    b.chain("Gemm", b.weights(RNG.integers(-8, 8, (4, 3)), bits=4)).quant(16, 1, output="out")
    network = agree(b, {"in": 1.0, "hidden": 32.0, "out": 1.0}, count=50)
    assert network.layers[0].kernel == (6, 5)
    assert network.shapes["out"] == (1, 1, 3)


@pytest.mark.parametrize("multiplied", [True, False])
def test_reads_residuals_from_either_side_and_scaled_after_the_sum(multiplied):
    b = start(scale=0.5)
    b.chain("Conv", b.weights(RNG.integers(-8, 8, (3, 3, 1, 1)))).chain("Relu")
    b.quant(6, scale=2.0, rounding_mode="HALF_UP", output="a")
    b.chain("Conv", b.weights(RNG.integers(-8, 8, (3, 3, 1, 1))))
    convolved, b.last = b.last, "in"
    if multiplied:
        b.chain("Mul", b.constant(0.75)).chain("Add", convolved)
    else:
        b.last = convolved
        b.chain("Add", "in")
    b.chain("Mul", b.constant(0.5)).chain("Relu").quant(6, rounding_mode="HALF_UP", output="b")
    network = agree(b, {"in": 0.5, "a": 2.0, "b": 1.0})
    # 0.5 of the input's scale, 0.75 or nothing, 0.5 after the sum: 3 / 16 or 1 / 4, in the layer's fraction bits.
    expected = (3, 4) if multiplied else (1, 2)
    assert (network.layers[1].residual.multiplier, network.layers[1].shift) == expected


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_reads_convolutions_in_groups(groups):
    rng = np.random.default_rng(groups)
    b = GraphBuilder(["N", 4, 6, 6]).quant(4, output="in")
    for outputs in (4, 8):
        weight = b.weights(rng.integers(-7, 8, (outputs, 4 // groups, 3, 3)), bits=4)
        b.chain("Conv", weight, kernel_shape=[3, 3], group=groups)
        b.chain("Relu")
        b.quant(4, scale=16.0, rounding_mode="FLOOR", output="first" if outputs == 4 else "last")
    network = agree(b, {"in": 1.0, "first": 16.0, "last": 16.0})
    assert [layer.groups for layer in network.layers] == ([4, 1] if groups == 4 else [1, 1])


def test_reads_flat_inputs_brevitas_domain_and_narrow_weights():
    b = GraphBuilder([1, 5]).quant(4, output="in")
    b.chain("MatMul", b.weights(RNG.integers(-20, 20, (5, 3)), narrow=1)).quant(9, 1, output="out")
    network = agree(b, {"in": 1.0, "out": 1.0})
    assert network.layers[0].weight.min() == -7
    for node in b.nodes:
        node.domain = "onnx.brevitas" if node.op_type == "Quant" else ""
    x = RNG.integers(0, 16, (4, 1, 1, 5))
    again = importer.loads(b.content(), "brevitas").lower()
    np.testing.assert_array_equal(again.predict(x), network.predict(x))


def conv(b, weight=KERNEL, **attributes):
    return b.chain("Conv", b.weights(weight), **attributes)


@pytest.mark.parametrize(
    ("build", "error", "sentence"),
    [
        (
            lambda: conv(conv(start()).chain("Tanh").quant(4), np.ones((2, 2, 1, 1))).quant(4),
            UnsupportedOperatorError,
            r"^model: node 'tanh3' \(Tanh\): operator Tanh is none that becomes a layer of a network",
        ),
        (
            lambda: conv(start()).chain("Im2Col", domain=Quant.op_domain),
            UnsupportedOperatorError,
            "operator Im2Col of domain qonnx.custom_op.general",
        ),
        (
            lambda: conv(start(), dilations=[65, 1], pads=[65, 0, 65, 0]).quant(4),
            UnsupportedOperatorError,
            r"dilations are \[65, 1\], but must be from 1 to 64",
        ),
        (
            lambda: conv(start()).quant(4, zero=1.5),
            UnsupportedOperatorError,
            "zero point is 1.5, but must be a whole number",
        ),
        (lambda: conv(start()).quant(17), ModelFormatError, "bits is 17, .* from 1 to 16"),
        (
            lambda: conv(start()).quant(1, 1, zero=-1.0),
            UnsupportedOperatorError,
            "1 signed bit means -1 and 1 in QONNX, whose zero point is -1, but must be 0",
        ),
        (
            lambda: conv(start()).quant(4, scale=0.3),
            ModelFormatError,
            r"node 'conv2', quantised by .* factor 3.33.* of channel 0 must be an integer over a power",
        ),
        (
            lambda: (b := conv(start())).chain("Mul", b.constant(0.1)).quant(4),
            ModelFormatError,
            r"factor 0.1\d* of channel 0 is 13421773 / 2\*\*27, but the multiplier must be from -32768 to",
        ),
        (
            lambda: (b := conv(start())).chain("Mul", b.constant(np.inf)).quant(4),
            ModelFormatError,
            "constant inf must be finite",
        ),
        (
            lambda: conv(start(scale=0.1)).quant(8, scale=0.4, rounding_mode="FLOOR"),
            ModelFormatError,
            "the framework's float32 may be off by .* steps in channel 0, which decides how a value is rounded",
        ),
        (
            lambda: conv(GraphBuilder(["N", 3, 6, 6])).quant(4),
            ModelFormatError,
            "reads the graph input 'image', but a quantiser must stand between",
        ),
        (
            lambda: start().chain("Transpose", perm=[0, 2, 3, 1]).chain("Flatten").chain("Relu"),
            ModelFormatError,
            "graph output 't3' must be what a layer makes of the input",
        ),
        (
            lambda: conv(
                conv(start()).quant(4).chain("Transpose", perm=[0, 2, 1, 3]), np.ones((2, 4, 1, 1))
            ).quant(4),
            UnsupportedOperatorError,
            r"its input of shape \[1, 4, 2, 4\] must be a map \[1, C, H, W\]",
        ),
    ],
)
def test_what_cannot_be_exact_is_refused_by_name(build, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        importer.loads(build().content(), "model").lower()
    assert str(caught.value).startswith("model: ")
    assert "\n" not in str(caught.value)


def test_one_signed_bit_is_bipolar():
    network = importer.loads(conv(start()).quant(1, 1, scale=0.3).content(), "signs").lower()
    assert str(network.formats[network.output]) == "u1"


def test_cut_off_and_foreign_files_are_model_format_errors():
    content = conv(start()).quant(8, 1).content()
    importer.loads(content, "whole").lower()
    for length in range(0, len(content), 3):
        with pytest.raises(ModelFormatError, match=r"^cut: .*") as caught:
            importer.loads(content[:length], "cut").lower()
        assert "\n" not in str(caught.value)
    for foreign in (b"PK\x03\x04 no model", b"\x89HDF\r\n", b"TFL3" * 20, bytes(100)):
        with pytest.raises(ModelFormatError, match="not an ONNX file"):
            importer.loads(foreign, "foreign").lower()


def test_altered_bytes_never_end_in_anything_but_one_sentence():
    b = conv(start(), pads=[1, 1, 1, 1])
    b.chain("Mul", b.constant(0.5)).chain("Relu").chain("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    b.quant(4, rounding_mode="HALF_UP").chain("Flatten")
    content = b.chain("Gemm", b.weights(RNG.integers(-8, 8, (18, 4)))).quant(9, 1).content()
    importer.loads(content, "whole").lower()
    rng, refused = np.random.default_rng(3), 0
    for _ in range(1500):
        altered = bytearray(content)
        for place in rng.integers(0, len(altered), rng.integers(1, 4)):
            altered[place] = rng.integers(0, 256)
        try:
            importer.loads(bytes(altered), "altered").lower()
        except (ModelFormatError, UnsupportedOperatorError) as error:
            refused += 1
            assert str(error).startswith("altered: ") and "\n" not in str(error)
    assert refused > 500


def test_load_names_missing_files_unknown_suffixes_and_missing_packages(tmp_path, monkeypatch):
    with pytest.raises(GoldenError, match=r"no such model file"):
        golden.load(tmp_path / "missing.onnx")
    with pytest.raises(GoldenError, match=r"suffix '.h5' is no known model format, use one of .onnx"):
        golden.load(tmp_path / "model.h5")
    file = tmp_path / "model.ONNX"
    exporter.save(Network("n", "x", (3, 3, 2), [simple_layer()]), file)
    assert golden.load(str(file)).name == "model"
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(GoldenError, match="pip install onnx"):
        golden.load(file)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"saturate": False}, ConfigurationError, "saturate is False, but QONNX's Quant always saturates"),
        ({"shift": 2, "output_format": S16}, ConfigurationError, "half_up on signed values"),
        (
            {"bias": np.array([1 << 24])},
            DoesNotFitError,
            "values reach 16777222, but must stay below 16777216",
        ),
        (
            {"weight_format": IntFormat(1, True), "weight": np.zeros((1, 1, 1, 2), int)},
            ConfigurationError,
            "is s1",
        ),
    ],
)
def test_what_float32_or_qonnx_cannot_say_is_not_written(changes, error, sentence):
    with pytest.raises(error, match=sentence):
        exporter.to_bytes(Network("n", "x", (3, 3, 2), [simple_layer(**changes)]))


def test_largest_writable_values_are_exact_in_float32():
    # |acc * M| + |B| + half = 3 * 2 * 32767 + bias + 1/2 unit, one below 2**24.
    bias = (1 << 24) - 1 - 6 * 32767 - (1 << 9)
    layer = simple_layer(
        multiplier=np.array([32767]), bias=np.array([bias]), shift=10, output_format=S16, relu=True
    )
    network = Network("edge", "x", (3, 3, 2), [layer])
    x = np.arange(18).reshape(1, 3, 3, 2) % 4
    x[0, 0, 0] = 3
    np.testing.assert_array_equal(execute(exporter.to_bytes(network), x)["y"], network.predict(x))
    with pytest.raises(DoesNotFitError, match="values reach 16777216"):
        exporter.to_bytes(Network("over", "x", (3, 3, 2), [dataclasses.replace(layer, bias=layer.bias + 1)]))
