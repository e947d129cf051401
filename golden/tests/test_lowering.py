# SPDX-License-Identifier: Apache-2.0
"""ONNX files as integer networks, held to the framework's arithmetic: with exact scales bit by bit, with the nearest
ones each layer to a step at most, and to an exact rational number where it differs."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from assay import golden
from assay.golden import DoesNotFitError, GoldenError, ModelFormatError, UnsupportedOperatorError
from assay.golden.compare import compare_traces
from assay.golden.importers import onnx as importer
from assay.golden.tests.onnx_files import QONNX, OnnxFile, onnxruntime, random_inputs

RESNET8 = Path(os.environ.get("ASSAY_MODELS", "../shared/models")) / "mlperf_tiny_resnet8_int8.tflite"


def traces(file: OnnxFile, scales: str, runs: int = 6, seed: int = 0, runtime=None):
    """The network, its own trace, its trace on the reference's inputs of each layer, and the reference's."""
    data = file.bytes()
    network = importer.loads(data, "net").lower(scales)
    graph = importer.loads(data)
    x = random_inputs(graph, runs, np.random.default_rng(seed))
    theirs = network.integers((graph if runtime is None else runtime(data, graph)).trace(x))
    assert {network.input, network.output} <= set(theirs)
    given = theirs[network.input]
    return network, network.trace(given), network.trace(given, theirs), theirs


def exact(file: OnnxFile, layers: int):
    """Every tensor of the file equals the framework's; gives the network."""
    network, ours, _, theirs = traces(file, "exact")
    comparison = compare_traces(ours, theirs, network.inputs)
    assert comparison.exact, f"{comparison}\n{network.summary()}"
    assert len(network.layers) == layers, network.summary()
    assert len(np.unique(theirs[network.output])) > 1, "a constant tensor would compare nothing"
    for layer in network.layers:
        assert layer.output_format.contains(ours[layer.output])
    return network


def start(
    channels: int = 3, size: int = 6, bits: int = 4, signed: int = 1, scale: float = 1.0, zero: int = 0
):
    file = OnnxFile(13)
    return file, file.quant(file.input((1, channels, size, size)), bits, scale, zero, signed=signed)


def weight(file: OnnxFile, *shape: int, bits: int = 4, scale=1.0, seed: int = 3) -> str:
    rng = np.random.default_rng(seed)
    return file.quant((rng.integers(-7, 8, shape) * np.asarray(scale)).astype(np.float32), bits, scale)


# What stands alone, with scales that are powers of two.


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(
    "pads, ceil", [([0] * 4, 0), ([1, 1, 1, 1], 0), ([0, 1, 2, 0], 0), ([0] * 4, 1), ([1] * 4, 1)]
)
def test_max_pools_with_padding(pads, ceil, signed):
    file, x = start(signed=signed)
    y = file.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=pads, ceil_mode=ceil)
    file.quant(file.node("Conv", y, weight(file, 2, 3, 1, 1)), 8, 1, signed=1)
    padded = any(pads) or ceil
    network = exact(file, 2 + bool(padded and signed))
    for layer in network.layers:
        # What the MVU pads in hardware.
        assert all(pad < kernel for pad, kernel in zip(layer.padding, 2 * layer.kernel, strict=True))


def test_max_pool_with_padding_before_the_quantiser():
    file, x = start()
    y = file.node("Conv", x, weight(file, 4, 3, 3, 3), pads=[1] * 4)
    file.quant(file.node("MaxPool", y, kernel_shape=[2, 2], pads=[1] * 4), 5, 4, signed=1, mode="FLOOR")
    exact(file, 3)


@pytest.mark.parametrize("mode", ["FLOOR", "CEIL"])
@pytest.mark.parametrize("kind", ["AveragePool", "GlobalAveragePool", "ReduceMean", "padded"])
def test_averages(kind, mode):
    file, x = start(size=4, bits=6)
    if kind == "ReduceMean":
        y = file.node("Unsqueeze", file.node("ReduceMean", x, axes=[2, 3], keepdims=0), np.array([2, 3]))
    elif kind == "GlobalAveragePool":
        y = file.node(kind, x)
    else:
        padding = {"pads": [1] * 4, "count_include_pad": 1} if kind == "padded" else {}
        y = file.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2], **padding)
    file.quant(y, 4, 1, signed=1, mode=mode)
    network = exact(file, 1)
    (layer,) = network.layers
    assert layer.groups == 3 and str(layer.weight_format) == "u1"


@pytest.mark.parametrize("version", [1, 2])
def test_truncated_averages(version):
    file = OnnxFile(13, version)
    x = file.quant(file.input((1, 3, 4, 4)), 4, 0.3, signed=0)
    y = file.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    numbers = [np.float32(0.3) / 4, 0, 6, *([np.float32(0.3)] if version == 2 else []), 3 + version]
    attributes = {"signed": 0, "narrow": 0} if version == 2 else {}
    y = file.node("Trunc", y, *map(np.float32, numbers), domain=QONNX, rounding_mode="FLOOR", **attributes)
    file.node("Conv", y, weight(file, 2, 3, 1, 1))
    exact(file, 2)


@pytest.mark.parametrize("kind", ["PRelu", "LeakyRelu"])
def test_slopes_below_zero(kind):
    file, x = start()
    y = file.node("Conv", x, weight(file, 3, 3, 3, 3))
    slopes = np.float32([0.5, -0.25, 1]).reshape(3, 1, 1)
    y = file.node(kind, y, slopes) if kind == "PRelu" else file.node(kind, y, alpha=0.125)
    file.quant(y, 6, 2, mode="FLOOR")
    exact(file, 2)


def test_an_average_of_what_is_not_quantised_is_kept_in_16_bits():
    file, x = start(size=4)
    y = file.node("Relu", file.node("Conv", x, weight(file, 4, 3, 3, 3), pads=[1] * 4))
    y = file.node("Flatten", file.node("GlobalAveragePool", y))
    file.quant(y, 8, 1, signed=1, mode="FLOOR")
    network = exact(file, 2)
    assert str(network.layers[0].output_format) == "u10"


@pytest.mark.parametrize("kind", ["Add", "Sub", "swapped", "scaled", "shifted", "self"])
def test_sums(kind):
    file, x = start()
    a = file.quant(file.node("Conv", x, weight(file, 3, 3, 3, 3), pads=[1] * 4), 5, 4, mode="FLOOR")
    if kind == "Add":
        y = file.node("Add", a, x)
    elif kind == "Sub":
        y = file.node("Sub", x, a)
    elif kind == "swapped":
        y = file.node("Sub", np.float32(3), file.node("Add", x, a))
    elif kind == "scaled":
        factors = np.float32([0.5, 2, -4]).reshape(1, 3, 1, 1)
        y = file.node("Div", file.node("Add", file.node("Mul", x, factors), a), np.float32(0.25))
    elif kind == "shifted":
        offset = np.float32([0.5, -2, 4]).reshape(3, 1, 1)
        y = file.node("Relu", file.node("Add", a, file.node("Add", x, offset)))
    else:
        y = file.node("Add", a, a)
    file.quant(y, 6, 2, signed=1, mode="FLOOR")
    network = exact(file, 2)
    assert network.layers[1].residual is not None and network.layers[1].groups == 3


def test_a_sum_of_two_convolutions_and_of_three_tensors():
    file, x = start()
    a = file.node("Conv", x, weight(file, 4, 3, 3, 3), pads=[1] * 4, strides=[2, 2])
    b = file.node("Conv", x, weight(file, 4, 3, 1, 1, seed=4), strides=[2, 2])
    y = file.quant(file.node("Relu", file.node("Add", a, b)), 4, 8, signed=0, mode="FLOOR")
    z = file.quant(y, 3, 16, signed=0, mode="FLOOR")
    file.quant(
        file.node("Add", file.node("Add", y, z), file.node("Mul", y, np.float32(2))), 6, 8, mode="FLOOR"
    )
    exact(file, 2 + 1 + 2)


def test_networks_with_several_readers_and_concatenation():
    file, x = start()
    a = file.quant(
        file.node("Relu", file.node("Conv", x, weight(file, 4, 3, 1, 1))), 4, 4, signed=0, mode="FLOOR"
    )
    b = file.node("MaxPool", a, kernel_shape=[3, 3], pads=[1] * 4)
    c = file.quant(file.node("Conv", a, weight(file, 2, 4, 3, 3), pads=[1] * 4), 5, 16, mode="FLOOR")
    y = file.quant(file.node("Concat", b, c, a, axis=1), 6, 2, mode="FLOOR")
    file.quant(file.node("Conv", y, weight(file, 2, 10, 6, 6)), 8, 64, mode="FLOOR")
    network = exact(file, 1 + 1 + 1 + 3 + 1)
    assert network.shapes[network.layers[-1].input] == (6, 6, 10)


@pytest.mark.parametrize("kind", ["Split", "Slice"])
def test_channels_are_split_and_shuffled(kind):
    file, x = start(channels=4)
    if kind == "Split":
        a, b = file.node("Split", x, np.array([1, 3]), axis=1, outputs=2)
    else:
        a, b = (
            file.node("Slice", x, np.array([first]), np.array([last]), np.array([1]))
            for first, last in ((0, 1), (1, 9))
        )
    a = file.quant(file.node("Conv", a, weight(file, 3, 1, 3, 3), pads=[1] * 4), 4, 4, mode="FLOOR")
    y = file.quant(file.node("Concat", a, b, axis=1), 4, 1, mode="FLOOR")
    y = file.node("Transpose", file.node("Reshape", y, np.array([1, 2, 3, 6, 6])), perm=[0, 2, 1, 3, 4])
    y = file.node("Reshape", y, np.array([1, 6, 6, 6]))
    file.quant(file.node("Conv", y, weight(file, 2, 6, 3, 3)), 8, 8, mode="FLOOR")
    exact(file, 2 + 1 + 2 + 1 + 1)


def test_clipping_inside_the_format():
    file, x = start(bits=6)
    y = file.node("Clip", file.node("Conv", x, weight(file, 3, 3, 1, 1)), np.float32(-24), np.float32(80))
    y = file.quant(y, 8, 4, signed=1, mode="FLOOR")
    y = file.quant(file.node("Clip", y, np.float32(-8), np.float32(40)), 8, 4, signed=1, mode="FLOOR")
    y = file.quant(file.node("Relu", y), 8, 4, signed=1, mode="FLOOR")
    file.quant(file.node("Conv", y, weight(file, 2, 3, 3, 3), pads=[1] * 4), 8, 64, signed=1, mode="FLOOR")
    exact(file, 1 + 3 + 1 + 3 + 1 + 1)


def test_narrow_activations():
    for signed in (0, 1):
        file, x = start()
        y = file.node("Conv", x, weight(file, 3, 3, 3, 3))
        y = file.quant(y, 4, 8, signed=signed, narrow=1, mode="FLOOR")
        file.quant(file.node("Conv", y, weight(file, 2, 3, 1, 1)), 8, 16, mode="FLOOR")
        exact(file, 4 - signed)


@pytest.mark.parametrize("zero, signed", [(3, 0), (8, 0), (-8, 1), (2, 1), (0, 1)])
def test_zero_points(zero, signed):
    """Under padding the real zero must be n = 0: in the same bits where it is an end or the middle."""
    file, x = start(bits=4, signed=signed, zero=zero)
    y = file.quant(
        file.node("Conv", x, weight(file, 3, 3, 3, 3), pads=[1] * 4), 4, 16, zero, signed=signed, mode="FLOOR"
    )
    z = file.quant(file.node("Conv", y, weight(file, 3, 3, 1, 1)), 4, 16, zero, signed=signed, mode="FLOOR")
    z = file.quant(file.node("Relu", file.node("Add", y, z)), 4, 16, zero, signed=signed, mode="FLOOR")
    file.quant(file.node("Conv", z, weight(file, 2, 3, 3, 3), pads=[1] * 4), 6, 16, signed=1, mode="FLOOR")
    middle = zero not in (8, 0, -8)
    network = exact(file, 4 + middle)
    assert str(network.input_format) == (
        "s5" if middle else "u4" if zero == -8 or (not signed and zero == 0) else "s4"
    )
    assert network.origins[network.input].offset == zero


def test_bipolar_tensors_and_weights_need_no_power_of_two():
    rng = np.random.default_rng(0)
    file = OnnxFile(13)

    def bipolar(x, scale: float) -> str:
        return file.node("BipolarQuant", x, np.float32(scale), domain=QONNX)

    x = bipolar(file.input((1, 3, 6, 6)), 1)
    for outputs, channels in ((5, 3), (4, 5)):
        w = bipolar(rng.standard_normal((outputs, channels, 3, 3)).astype(np.float32), 0.3)
        numbers = [rng.standard_normal(outputs).astype(np.float32) for _ in range(3)]
        y = file.node("Conv", x, w, pads=[1] * 4)
        y = file.node("BatchNormalization", y, *numbers, rng.uniform(0.5, 2, outputs).astype(np.float32))
        x = bipolar(y, 0.7)
    network = exact(file, 4)  # each convolution pads what must be centred before
    assert {str(fmt) for fmt in network.formats.values()} == {"u1", "s2"}


@pytest.mark.parametrize("order", ["last", "flat", "first"])
def test_reshapes_and_transposes_move_no_data(order):
    rng = np.random.default_rng(0)
    file = OnnxFile(13)
    if order == "last":
        x = file.node("Transpose", file.quant(file.input((1, 4, 5, 3)), 4, 1), perm=[0, 3, 1, 2])
    elif order == "flat":
        x = file.node(
            "Reshape",
            file.quant(file.node("Flatten", file.input((1, 3, 4, 5))), 4, 1),
            np.array([1, 3, 4, 5]),
        )
    else:
        x = file.quant(file.input((1, 3, 4, 5)), 4, 1)
    y = file.quant(file.node("Conv", x, weight(file, 4, 3, 3, 3)), 5, 8, mode="FLOOR")
    if order == "last":
        y = file.node("Transpose", y, perm=[0, 2, 3, 1])
    shape = file.node(
        "Concat", file.node("Gather", file.node("Shape", y), np.array([0])), np.array([-1]), axis=0
    )
    y = file.node("Reshape", y, shape)
    w = file.quant(rng.integers(-7, 8, (24, 9)).astype(np.float32), 4, 1)
    y = file.quant(file.node("MatMul", y, w), 8, 8, mode="FLOOR")
    y = file.node("Squeeze", file.node("Unsqueeze", y, np.array([2])), np.array([2]))
    w = file.node("Transpose", file.quant(rng.integers(-7, 8, (3, 9)).astype(np.float32), 4, 1), perm=[1, 0])
    file.quant(file.node("MatMul", y, w), 9, 8, mode="FLOOR")
    network = exact(file, 3)
    assert network.input_shape == (4, 5, 3)


def test_rows_of_features_are_columns_of_a_map():
    file, x = start(size=4)
    y = file.node("Reshape", file.node("Transpose", x, perm=[0, 2, 3, 1]), np.array([0, -1, 3]))
    y = file.node("MatMul", y, weight(file, 3, 5))
    file.quant(y, 6, 4, mode="FLOOR")
    network = exact(file, 1)
    assert network.shapes[network.output] == (4, 4, 5)


@pytest.mark.parametrize("attributes", [
    {"dilations": [2, 1], "pads": [2, 1, 2, 1]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
    {"auto_pad": "SAME_LOWER", "strides": [2, 1]}, {"group": 3}, {"group": 3, "dilations": [2, 2]},
])  # fmt: skip
def test_convolutions(attributes):
    file, x = start(size=7)
    groups = attributes.get("group", 1)
    w = weight(file, 6, 3 // groups, 3, 3, scale=np.exp2(np.arange(6) % 3).reshape(6, 1, 1, 1))
    padded = file.node("Pad", x, np.array([0, 0, 1, 0, 0, 0, 0, 2]))
    file.quant(file.node("Conv", padded, w, **attributes), 8, 8, mode="FLOOR")
    exact(file, 1)


def test_batch_normalisation_is_folded():
    file, x = start()
    y = file.node("Conv", x, weight(file, 2, 3, 3, 3))
    numbers = [np.float32(values) for values in ([0.5, -2], [1, 3], [-4, 6], [4, 0.25])]
    y = file.node("BatchNormalization", y, *numbers, epsilon=0.0)
    file.quant(y, 8, 2, mode="FLOOR")
    network = exact(file, 1)
    assert network.layers[0].multiplier.tolist() == [1, -16] and network.layers[0].shift == 3


def test_an_output_in_float_has_the_step_of_its_sums():
    file, x = start(scale=0.3)
    w = weight(file, 10, 108, scale=0.07)
    file.node("Gemm", file.node("Flatten", x), w, transB=1)
    network = exact(file, 1)
    assert network.layers[0].multiplier.tolist() == [1] * 10 and network.layers[0].shift == 0


def test_the_host_keeps_what_comes_last():
    file, x = start()
    y = file.quant(
        file.node("Gemm", file.node("Flatten", x), weight(file, 10, 108), transB=1), 8, 64, mode="FLOOR"
    )
    file.node("TopK", file.node("Softmax", y), np.array([1]), outputs=2)
    data = file.bytes(*file.nodes[-1].output)
    network = importer.loads(data, "net").lower()
    assert network.output == y and network.host == ("Softmax 'Softmax_5'", "TopK 'TopK_6'")


# Scales as training leaves them.


def near(network, alone, theirs, share: float) -> None:
    """Each layer on the reference's inputs: a step at most, and seldom."""
    comparison = compare_traces(alone, theirs, network.inputs)
    for tensor in comparison.tensors:
        assert not tensor.problem and tensor.worst <= 1, tensor
        assert tensor.share <= share or tensor.differing <= 2, tensor
    assert sum(tensor.size for tensor in comparison.tensors) > 1000


def residual_network(bits: int, seed: int) -> OnnxFile:
    """As Brevitas writes them: three channels, batch normalisation, residuals of both kinds, average, float end."""
    rng = np.random.default_rng(seed)
    file = OnnxFile(13)

    def act(x: str, signed: int = 0, width: int = bits) -> str:
        return file.quant(x, width, rng.uniform(0.05, 0.2) * 2.0 ** (5 - width), signed=signed)

    def conv(x: str, inputs: int, outputs: int, size: int, **attributes) -> str:
        values = rng.standard_normal((outputs, inputs, size, size)).astype(np.float32)
        most = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
        w = file.quant(values, bits, np.float32(most / max(2 ** (bits - 1) - 1, 1)), narrow=1)
        y = file.node("Conv", x, w, pads=[size // 2] * 4, **attributes)
        numbers = [rng.standard_normal(outputs).astype(np.float32) / 2 for _ in range(3)]
        return file.node("BatchNormalization", y, *numbers, rng.uniform(4, 20, outputs).astype(np.float32))

    x = act(file.input((1, 3, 12, 12)), 1, 8)
    x = act(file.node("Relu", conv(x, 3, 8, 3)))
    y = act(file.node("Relu", conv(x, 8, 8, 3)))
    y = act(conv(y, 8, 8, 3), 1)
    x = act(file.node("Relu", file.node("Add", x, y)))
    y = act(file.node("Relu", conv(x, 8, 16, 3, strides=[2, 2])))
    y = act(conv(y, 16, 16, 3), 1)
    z = act(conv(x, 8, 16, 1, strides=[2, 2]), 1)
    x = act(file.node("Relu", file.node("Add", y, z)))
    x = file.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = act(file.node("GlobalAveragePool", x), 0, 8)
    x = file.node("Flatten", x)
    w = file.quant(
        rng.standard_normal((10, 16)).astype(np.float32), bits, rng.uniform(0.2, 0.4, (10, 1)), narrow=1
    )
    file.node("Gemm", x, w, rng.standard_normal(10).astype(np.float32), transB=1)
    return file


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_any_scales_are_near(bits):
    file = residual_network(bits, bits)
    network, _, alone, theirs = traces(file, "nearest", seed=bits)
    # The output in float is held to 16 bits: there a step is little, and many values are one away.
    output = network.output
    worst = np.abs(alone[output] - theirs[output]).max()
    assert worst <= 2 and str(network.formats[output]) == "s16"
    near(network, *({n: a for n, a in t.items() if n != output} for t in (alone, theirs)), share=0.01)
    with pytest.raises(
        ModelFormatError, match=r'must be an integer over a power of two; scales="nearest" would take'
    ):
        importer.loads(file.bytes(), "net").lower()
    for layer in network.layers:
        # As many bits as there are: what the MVU's 48-bit sums, 27-bit biases and 16-bit multipliers hold.
        assert layer.shift + layer.output_format.bits <= 48
        low, high = layer.accumulator_range
        assert (np.maximum(-low, high).astype(object) * np.abs(layer.multiplier)).max() < 1 << 47
        assert (layer.bias >> 15 < 1 << 26).all()


def test_floats_are_the_input_of_the_file():
    data = residual_network(2, 0).bytes()
    network, graph = importer.loads(data, "net").lower("nearest"), importer.loads(data)
    x = random_inputs(graph, 4, np.random.default_rng(0))["x0"]
    theirs = network.integers(graph.trace(x))
    assert str(network.compare(x, graph)) == str(network.compare(theirs[network.input], theirs))
    with pytest.raises(GoldenError, match="has no tensor 'y0', which is network net's input"):
        network.compare(x, {"y9": x})


@pytest.mark.parametrize("kind", ["average", "product", "sum"])
def test_sums_that_cancel_do_not_saturate_before_they_do(kind):
    """What is not quantised may be far beyond the next quantiser's range, and come back when it is summed up."""
    rng = np.random.default_rng(3)
    file, x = start(bits=8, scale=0.4, size=4)
    scale = np.float32([0.21, 0.33, 0.17]).reshape(3, 1, 1, 1)
    wide = file.node("Conv", x, weight(file, 3, 3, 3, 3, bits=8, scale=scale), pads=[1] * 4)
    if kind == "average":
        y = file.node("GlobalAveragePool", wide)
    elif kind == "product":
        y = file.node(
            "Conv", wide, file.quant(rng.integers(-9, 10, (2, 3, 1, 1)).astype(np.float32) * 0.3, 8, 0.3)
        )
    else:
        other = file.node("Conv", x, weight(file, 3, 3, 3, 3, bits=8, scale=scale, seed=4), pads=[1] * 4)
        y = file.node("Sub", wide, other)
    file.quant(y, 8, 0.05)
    network, _, alone, theirs = traces(file, "nearest", runs=200)
    assert any(name.endswith(".wide") for name in network.shapes)
    within = np.abs(theirs[network.output]) < 127
    assert within.mean() > 0.05
    assert np.abs(alone[network.output] - theirs[network.output])[within].max() <= (
        8 if kind == "product" else 3
    )


def nhwc_network(quantised: bool) -> OnnxFile:
    """As converters from Keras write a network: an input [1, H, W, C] behind a Reshape, with or without a quantiser."""
    file = OnnxFile(13)
    x = file.input((1, 6, 5, 1))
    if quantised:
        x = file.quant(x, 4, 0.25, signed=0)
    y = file.node("Reshape", x, np.array([1, 1, 6, 5]))
    y = file.node("Relu", file.node("Conv", y, weight(file, 4, 1, 3, 3)))
    y = file.node("Transpose", file.quant(y, 4, 2, signed=0), perm=[0, 2, 3, 1])
    y = file.node("MatMul", file.node("Reshape", y, np.array([1, 48])), weight(file, 48, 3))
    file.quant(y, 8, 8, signed=1)
    return file


def test_the_input_s_layout_is_that_of_what_reads_it():
    network = exact(nhwc_network(quantised=True), 4)
    assert network.input_shape == (6, 5, 1)


def test_an_input_without_a_quantiser_is_given_a_format():
    graph = importer.loads(nhwc_network(quantised=False).bytes(), "net")
    with pytest.raises(ModelFormatError, match="a quantiser must stand between; a format of the input"):
        graph.lower()
    network = graph.lower(input_format="ap_fixed<6,3>")
    assert (str(network.input_format), network.input_shape) == ("s6", (6, 5, 1))
    integers = np.random.default_rng(0).integers(-32, 32, (5, 6, 5, 1))
    assert network.compare((integers / 8).astype(np.float32), graph).exact
    np.testing.assert_array_equal(
        network.integers(graph.trace((integers / 8).astype(np.float32)))["x0"], integers
    )
    assert str(graph.lower(input_format="u8").input_format) == "u8"
    # A quantiser in the file is a layer then.
    requantised = importer.loads(nhwc_network(quantised=True).bytes(), "net").lower(
        input_format="ap_fixed<6,3>"
    )
    assert len(requantised.layers) == len(network.layers) + 2
    assert requantised.compare((integers / 8).astype(np.float32), requantised.graph).exact


@pytest.mark.parametrize("layout, shape", [("", (5, 4, 3)), ("NCHW", (5, 4, 3)), ("NHWC", (3, 5, 4))])
def test_a_layout_that_no_operator_decides_can_be_given(layout, shape):
    file = OnnxFile(13)
    x = file.quant(file.input((1, 3, 5, 4)), 4, 1)
    file.quant(file.node("Gemm", file.node("Flatten", x), weight(file, 2, 60), transB=1), 8, 8)
    graph = importer.loads(file.bytes(), "net")
    network = graph.lower(input_layout=layout)
    assert network.input_shape == shape
    x = random_inputs(graph, 6, np.random.default_rng(0))
    assert network.compare(x["x0"], graph).exact
    with pytest.raises(
        golden.ConfigurationError, match="input layout is 'CHWN', but must be one of NCHW, NHWC"
    ):
        graph.lower(input_layout="CHWN")


def test_what_differs_lies_in_the_middle_between_two_steps():
    """By Python's fractions: the exact value of each that differs, and how near the middle it is."""
    rng = np.random.default_rng(1)
    file, x = start(bits=8, scale=0.1)
    scales = rng.uniform(0.01, 0.02, (4, 1, 1, 1)).astype(np.float32)
    w = file.quant(rng.standard_normal((4, 3, 3, 3)).astype(np.float32), 8, scales)
    bias = rng.standard_normal(4).astype(np.float32)
    file.quant(file.node("Conv", x, w, bias), 8, 0.11)
    network, ours, _, theirs = traces(file, "nearest", runs=60)
    (layer,) = network.layers
    acc = layer.accumulate(ours[network.input])
    wrong = np.argwhere(ours[network.output] != theirs[network.output])
    assert 0 < len(wrong) < 0.01 * acc.size
    unit = Fraction(float(np.float32(0.11)))
    for place in map(tuple, wrong):
        k = place[-1]
        step = Fraction(float(np.float32(0.1))) * Fraction(float(scales[k, 0, 0, 0]))
        value = (int(acc[place]) * step + Fraction(float(bias[k]))) / unit
        assert abs(ours[network.output][place] - theirs[network.output][place]) == 1
        assert abs(abs(value - round(value)) - Fraction(1, 2)) < Fraction(1, 200)


def qdq_network(low: np.integer, kind: str) -> OnnxFile:
    """As onnxruntime's static quantisation writes them: zero points anywhere, int32 biases, scales per channel."""
    rng = np.random.default_rng(5)
    file, dtype = OnnxFile(13), type(low)

    def act(x: str, zero: int, scale: float, read: bool = True) -> str:
        q = file.quantize(x, scale, dtype(int(low) + zero))
        return file.dequantize(q, scale, dtype(int(low) + zero)) if read else q

    def conv(x: str, scale: float, inputs: int, outputs: int, size: int = 3, **attributes) -> str:
        group = attributes.get("group", 1)
        scales = rng.uniform(0.002, 0.01, outputs).astype(np.float32)
        integers = rng.integers(-127, 128, (outputs, inputs // group, size, size), np.int8)
        w = file.dequantize(integers, scales, np.zeros(outputs, np.int8), axis=0)
        b = file.dequantize(rng.integers(-500, 500, outputs, np.int32), scales * np.float32(scale),
                            np.zeros(outputs, np.int32), axis=0)  # fmt: skip
        return file.node("Conv", x, w, b, pads=[size // 2] * 4, **attributes)

    x = act(file.input((1, 3, 12, 12)), 114, 0.02)
    a = act(file.node("Relu", conv(x, 0.02, 3, 16)), 0, 0.013)
    b = act(conv(a, 0.013, 16, 16, group=16), 131, 0.03)
    b = act(conv(b, 0.03, 16, 16), 120, 0.08)
    x = act(file.node("Add", a, b), 117, 0.09)
    x = act(file.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), 117, 0.09)
    x = act(file.node("Clip", conv(x, 0.09, 16, 8), np.float32(0), np.float32(6)), 0, 6 / 255)
    if kind == "average":
        x = act(file.node("AveragePool", x, kernel_shape=[3, 3], strides=[3, 3]), 0, 0.02)
        x = file.node("Flatten", x)
    else:
        x = act(file.node("GlobalAveragePool", x), 0, 0.02)
        x = file.node("Reshape", x, np.array([1, -1]))
    features = 32 if kind == "average" else 8
    w = file.dequantize(rng.integers(0, 255, (features, 10), np.uint8), 0.01, np.uint8(128))
    x = act(file.node("MatMul", x, w), 128, 0.02)
    file.node("Softmax", x)
    return file


@pytest.mark.parametrize("low", [np.uint8(0), np.int8(-128)])
@pytest.mark.parametrize("kind", ["average", "global"])
def test_qdq(low, kind):
    network, _, alone, theirs = traces(qdq_network(low, kind), "nearest", runtime=onnxruntime)
    near(network, alone, theirs, share=0.01)
    assert str(network.input_format) == "s9" and network.origins[network.input].offset == int(low) + 114
    assert network.host == (f"Softmax {file_name(network)!r}",)
    assert any(name.endswith(".centred") for name in network.shapes)


def file_name(network) -> str:
    return network.host[0].split("'")[1]


@pytest.mark.parametrize("taken", [True, False])
def test_integers_clipped_to_fewer_bits(taken):
    """QCDQ, as Brevitas writes it: a Clip of the integers after QuantizeLinear; and where others read them, too."""
    rng = np.random.default_rng(2)
    file = OnnxFile(13)

    def act(x: str, scale: float, low: int, high: int) -> str:
        zero = np.int8(0) if low < 0 else np.uint8(0)
        q = file.quantize(x, scale, zero)
        clipped = file.node("Clip", q, *(np.asarray(end, zero.dtype) for end in (low, high)))
        return file.dequantize(clipped, scale, zero), file.dequantize(q, scale, zero)

    x, _ = act(file.input((1, 3, 8, 8)), 0.21, -8, 7)
    w = file.node("Clip", rng.integers(-9, 9, (6, 3, 3, 3), np.int8), np.int8(-7), np.int8(7))
    w = file.dequantize(w, rng.uniform(0.1, 0.2, 6).astype(np.float32), np.zeros(6, np.int8), axis=0)
    y, z = act(file.node("Relu", file.node("Conv", x, w, pads=[1] * 4)), 0.33, 0, 15)
    if not taken:
        y, _ = act(file.node("Add", y, z), 0.51, -7, 7)
    w = file.dequantize(rng.integers(-9, 9, (4, 6, 3, 3), np.int8), 0.1, np.int8(0))
    act(file.node("Conv", y, w, pads=[1] * 4), 2.3, -2, 1)
    file.nodes.pop()  # the last value that is not clipped
    network, _, alone, theirs = traces(file, "nearest", runtime=onnxruntime)
    near(network, alone, theirs, share=0.01)
    assert str(network.input_format) == "s4" and str(network.layers[0].weight_format) == "s4"
    assert str(network.formats[network.output]) == "s2"
    assert "u4" in map(str, network.formats.values()) if taken else len(network.layers) > 3


def test_qoperators():
    """The same in QOperator form: QLinearConv, QLinearAdd, QLinearGlobalAveragePool and QGemm."""
    rng = np.random.default_rng(0)
    file = OnnxFile(13)
    zero = np.uint8(7)
    numbers = lambda scale: (np.float32(scale), zero)  # noqa: E731
    x = file.quantize(file.input((1, 4, 8, 8)), 0.0513, zero)
    w, scales = rng.integers(-127, 128, (4, 4, 3, 3), np.int8), rng.uniform(0.002, 0.01, 4).astype(np.float32)
    bias = rng.integers(-500, 500, 4, np.int32)
    y = file.node(
        "QLinearConv",
        x,
        *numbers(0.0513),
        w,
        scales,
        np.zeros(4, np.int8),
        *numbers(0.0391),
        bias,
        pads=[1] * 4,
    )
    microsoft = {"domain": "com.microsoft"}
    y = file.node("QLinearAdd", x, *numbers(0.0513), y, *numbers(0.0391), *numbers(0.0647), **microsoft)
    y = file.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = file.node(
        "QLinearGlobalAveragePool", y, *numbers(0.0647), *numbers(0.0227), channels_last=0, **microsoft
    )
    w = rng.integers(-127, 128, (4, 5), np.int8)
    y = file.node("QGemm", file.node("Flatten", y), *numbers(0.0227), w, np.float32(0.01), np.int8(0),
                  rng.integers(-99, 99, 5, np.int32), *numbers(0.0513), **microsoft)  # fmt: skip
    file.dequantize(y, 0.0513, zero)
    network, _, alone, theirs = traces(file, "nearest", runs=30, runtime=onnxruntime)
    near(network, alone, theirs, share=0.01)
    assert len(network.layers) == 4  # the pool is part of the sum's


@pytest.mark.skipif(not RESNET8.is_file(), reason=f"{RESNET8} is missing")
def test_tflite():
    network, graph = golden.load(RESNET8).lower("nearest"), golden.load(RESNET8)
    x = np.random.default_rng(0).integers(-128, 128, (2, 32, 32, 3)).astype(np.int8)
    theirs = network.integers(graph.trace(x))
    given = theirs[network.input]
    np.testing.assert_array_equal(given, x.astype(int) + 128)
    near(network, network.trace(given, theirs), theirs, share=0.01)
    assert len(network.layers) == 14 and set(network.shapes) <= set(graph.tensors)
    (pool,) = (node for node in graph.nodes if node.kind == "AVERAGE_POOL_2D")
    alone = network.trace(given, theirs)[pool.outputs[0]]
    np.testing.assert_array_equal(alone, theirs[pool.outputs[0]])
    with pytest.raises(GoldenError, match='scales="nearest" would take the nearest'):
        golden.load(RESNET8).lower()


# What cannot be.


def refused(build, scales="nearest"):
    file, x = start()
    build(file, x)
    importer.loads(file.bytes(), "net").lower(scales)


@pytest.mark.parametrize("build, error, sentence", [
    (lambda f, x: f.quant(f.node("Mul", x, x), 4, 1), UnsupportedOperatorError, r"\(Mul\) must have one constant"),
    (lambda f, x: f.quant(f.node("Resize", x, None, np.float32([1, 1, 2, 2])), 4, 1), UnsupportedOperatorError,
     r"node 'Resize_1' \(Resize\): it must take channels of a map, and all rows and columns of each"),
    (lambda f, x: f.quant(f.node("Elu", x), 4, 1), UnsupportedOperatorError, r"Elu is none that becomes a layer"),
    (lambda f, x: f.node("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4), UnsupportedOperatorError,
     r"padding \[1, 1, 1, 1\] is not counted \(count_include_pad is 0\)"),
    (lambda f, x: f.quant(x, 4, np.float32([1, 2, 3]).reshape(1, 3, 1, 1)), UnsupportedOperatorError,
     "3 scales and 1 zero points for a tensor"),
    (lambda f, x: f.quant(f.node("Mul", x, np.float32(1e9)), 4, 1), DoesNotFitError, r"factors up to 1e\+09"),
    (lambda f, x: f.quant(f.node("Add", x, np.float32(1e30)), 4, 1), DoesNotFitError, r"biases up to 1e\+30"),
    (lambda f, x: f.quant(f.node("Conv", x, weight(f, 2, 3, 1, 1)), 4, 3, mode="DOWN"), UnsupportedOperatorError,
     "rounding_mode DOWN on values with"),
    (lambda f, x: f.quant(f.node("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(2)), 4, 1),
     UnsupportedOperatorError, "pads with 2.0, but must pad with 0"),
    (lambda f, x: f.quant(f.node("Concat", x, x, axis=2), 4, 1), UnsupportedOperatorError, "axis is 2, but must be"),
    (lambda f, x: f.node("MaxPool", x, kernel_shape=[2, 2], strides=[0, 1], ceil_mode=1), ModelFormatError,
     r"strides is \[0, 1\]"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence(build, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        refused(build)
    assert str(caught.value).startswith("net: ") and "\n" not in str(caught.value)


def test_scales_are_exact_or_nearest():
    with pytest.raises(
        golden.ConfigurationError, match="scales is 'near', but must be one of exact, nearest"
    ):
        refused(lambda f, x: None, "near")


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("kind", ["conv", "relu", "pool", "sum", "average", "depthwise"])
def test_ties_are_rounded_to_even(kind, signed):
    file, x = start(size=4)
    if kind == "average":
        y = file.node("AveragePool", x, kernel_shape=[2, 2])
    else:
        w = weight(file, 3, 1 if kind == "depthwise" else 3, 1, 1, bits=2)
        y = file.node("Conv", x, w, np.float32([0.5, 3, -0.25]), group=3 if kind == "depthwise" else 1)
    if kind == "relu":
        y = file.node("Relu", y)
    if kind == "pool":
        y = file.node("MaxPool", y, kernel_shape=[2, 2])
    if kind == "sum":
        y = file.node("Add", y, x)
    file.quant(y, 4, 2, signed=signed, mode="ROUND")
    network = exact(file, 3 if kind == "sum" else 2)
    _, ours, _, theirs = traces(file, "nearest")
    assert compare_traces(ours, theirs, network.inputs).exact


def test_altered_bytes_never_end_in_anything_but_one_sentence():
    data = bytearray(qdq_network(np.uint8(0), "global").bytes())
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(150):
        altered = data.copy()
        for at in rng.integers(0, len(data), 3):
            altered[at] = rng.integers(0, 256)
        try:
            importer.loads(bytes(altered), "net").lower("nearest")
            read += 1
        except GoldenError as error:
            assert str(error).startswith("net: ") and "\n" not in str(error)
    assert 0 < read < 150
