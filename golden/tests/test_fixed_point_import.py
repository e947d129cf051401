# SPDX-License-Identifier: Apache-2.0
"""Every rule of the fixed-point ONNX scheme broken once, and hostile files."""

from __future__ import annotations

import struct
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from onnx import TensorProto, helper

from assay.golden import DoesNotFitError, GoldenError, Graph, ModelFormatError, UnsupportedOperatorError
from assay.golden.exporters.fixed_point import save, to_bytes
from assay.golden.graph import Node, Tensor
from assay.golden.importers.onnx import load, loads
from assay.golden.importers.onnx.file import read
from assay.golden.importers.onnx.fixed_point import OPERATORS, recognises
from assay.golden.layers import shaping
from assay.golden.schemes.fixed_point import Activation
from assay.golden.tests.fixed_point_files import ModelFile, scaled

WEIGHT = np.arange(16 * 3 * 9).reshape(16, 3, 3, 3) % 255 - 127


def small_model(**attributes) -> bytes:
    """A convolution with bias, ReLU, max-pool, flatten and a dense layer; `attributes` go to the convolution."""
    file = ModelFile()
    bias = np.arange(16) * 100
    file.layer("Conv", "x", "c", WEIGHT, [2.0**-5 / 3] * 16, 0.5, 4.0, bias, **attributes)
    file.node("Relu", ["c"], "r")
    file.node(
        "MaxPool",
        ["r"],
        "m",
        kernel_shape=(2, 2),
        strides=(2, 2),
        **scaled("input output", input=4, output=4),
    )
    file.node("Flatten", ["m"], "f")
    file.layer("Gemm", "f", "y", np.ones((10, 64), int), [0.25] * 10, 4.0, 16.0)
    return file.bytes({"x": (1, 3, 6, 6)}, ["y"])


def one(kind: str, shapes=((1, 16, 6, 6),), arrays=(), inputs: dict | None = None, **attributes) -> bytes:
    """One node that reads graph inputs x0, x1... and stored arrays."""
    file = ModelFile()
    names = [f"x{i}" for i in range(len(shapes))]
    file.node(kind, [*names, *map(file.array, arrays)], "y", **attributes)
    return file.bytes(dict(zip(names, shapes, strict=True)), ["y"])


def dense(
    weight=None, scales=None, bias=None, source=1.0, target=1.0, shape=(1, 3), kind="Gemm", **attributes
):
    file = ModelFile()
    weight = np.ones((4, 3), int) if weight is None else weight
    file.layer(kind, "x", "y", weight, scales or [1.0] * len(weight), source, target, bias, **attributes)
    return file.bytes({"x": shape}, ["y"])


def convolution(shape=(1, 3, 6, 6), weight=WEIGHT, **attributes):
    file = ModelFile()
    file.layer("Conv", "x", "y", weight, [1.0] * len(weight), 1.0, 1.0, **attributes)
    return file.bytes({"x": shape}, ["y"])


def chain(*nodes) -> bytes:
    """Nodes (kind, inputs, output, attributes) after one another on the input x [1, 16, 6, 6]."""
    file = ModelFile()
    for kind, inputs, output, attributes in nodes:
        file.node(kind, inputs, output, **attributes)
    return file.bytes({"x": (1, 16, 6, 6)}, [nodes[-1][2]])


def normalised(
    gamma=1.0, beta=0.0, mean=0.0, variance=0.75, read_twice=False, weight=None, **attributes
) -> bytes:
    file = ModelFile()
    weight = np.ones((4, 3), int) if weight is None else weight
    file.layer("Gemm", "x", "raw", weight, [1.0] * 4, 1.0, 1.0)
    values = [file.array(np.full(4, v, np.float32)) for v in (gamma, beta, mean, variance)]
    file.node("BatchNormalization", ["raw", *values], "y", **{"epsilon": 0.25, **attributes})
    if read_twice:
        file.node("Relu", ["raw"], "z")
    return file.bytes({"x": (1, 3)}, ["y"])


def behind(kind, *arrays, **attributes) -> bytes:
    """One node behind a max-pool, with stored arrays."""
    file = ModelFile()
    file.node("MaxPool", ["x"], "p", **POOL)
    file.node(kind, ["p", *map(file.array, arrays)], "y", **attributes)
    return file.bytes({"x": (1, 16, 6, 6)}, ["y"])


POOL = {"kernel_shape": (2, 2), **scaled("input output", input=1, output=1)}
OUT = scaled("output", output=1)
IN_OUT = scaled("input output", input=1, output=1)
LAYER = scaled("input weight output", input=1, output=1)
MATMUL = scaled("A B output", A=1, B=1, output=1)
BAD, NO = ModelFormatError, UnsupportedOperatorError

# What is wrong: (bytes, error, message).
REFUSED = {
    # Scales.
    "input scale": (lambda: small_model(input_scale=0.3), BAD,
        r"node 'n_c' \(Conv\): attribute input_scale is 0\.3.*, but must be a power of two, 2\*\*-126 to 2\*\*127"),
    "negative scale": (lambda: small_model(output_scale=-4.0), BAD, r"output_scale is -4\.0, but must be a power"),
    "scale nan": (lambda: small_model(output_scale=float("nan")), BAD, r"output_scale is nan"),
    "scale infinite": (lambda: small_model(output_scale=float("inf")), BAD, r"output_scale is inf"),
    "scale missing": (lambda: small_model(output_scale=None), BAD, r"output_scale is missing, but must be a power"),
    "scale of another type": (lambda: small_model(input_scale="one"), BAD, r"input_scale is 'one'"),
    "channel scales missing": (lambda: small_model(weight_ch_scales=None), BAD,
        r"weight_ch_scales is missing, but must be a list of 16 numbers, one for each output channel"),
    "channel scales too few": (lambda: small_model(weight_ch_scales=[0.5] * 15), BAD,
        r"weight_ch_scales is a list of 15 numbers, but must be a list of 16"),
    "channel scale": (lambda: small_model(weight_ch_scales=[0.5] * 3 + [0.3] + [0.5] * 12), BAD,
        r"\(Conv\): attribute weight_ch_scales is 0\.300000\d* for channel 3, but must be the float32 nearest to "
        r"2\*\*n / a with a in 1\.\.255"),
    "deprecated scale": (lambda: small_model(weight_scale="a"), BAD, r"weight_scale is 'a', but must be a number"),
    "deprecated scale alone": (lambda: small_model(weight_ch_scales=None, weight_scale=0.3), BAD,
        r"weight_scale is 0\.3.* for channel 0"),
    "relu scale": (lambda: chain(("Relu", ["x"], "y", scaled("input output", input=1, output=2))), BAD,
        r"node 'n_y' \(Relu\): attribute input_scale is 1 for tensor 'x', but must be 2 as node 'n_y' \(Relu\): "
        r"attribute output_scale says: the operators from tensor 'y' to 'x' keep the scale"),
    "max-pool scale": (lambda: one("MaxPool", **{**POOL, "output_scale": 2.0}), BAD, r"keep the scale"),
    "tensor of two scales": (lambda: chain(("AveragePool", ["x"], "a", POOL),
                                           ("AveragePool", ["a"], "y", {**POOL, "input_scale": 0.5})), BAD,
        r"node 'n_y' \(AveragePool\): attribute input_scale is 0\.5 for tensor 'a', but must be 1 as node 'n_a' "
        r"\(AveragePool\): attribute output_scale says: a tensor has one scale wherever it is used"),
    "concat of two scales": (lambda: chain(("AveragePool", ["x"], "a", POOL),
                                           ("AveragePool", ["x"], "b", {**POOL, "output_scale": 4.0}),
                                           ("Concat", ["a", "b"], "y", {"axis": 1})), BAD, r"keep the scale"),
    "no scale": (lambda: chain(("Relu", ["x"], "r", {}), ("Relu", ["x"], "y", {"output_bitdepth": 8})), BAD,
        r"graph input 'x' has no scale, but a node that makes"),
    "no attribute": (lambda: chain(("Relu", ["x"], "y", {})), NO, r"has 1 float nodes .* but must be quantised"),
    "sum without input scale": (lambda: chain(("Add", ["x", "x"], "y", OUT)), BAD, r"graph input 'x' has no scale"),
    "sum without scale": (lambda: chain(("Add", ["x", "x"], "y", {"output_bitdepth": 8})), BAD,
        r"output_scale is missing"),
    "product without scale": (lambda: one("MatMul", [(1, 2, 2)] * 2, **{**MATMUL, "B_scale": None}), BAD,
        r"B_scale is missing"),
    "product of both kinds": (lambda: dense(kind="MatMul", A_scale=1.0), BAD,
        r"attribute A_scale is given, but a matrix"),
    # Bit depths.
    "input bits": (lambda: small_model(input_bitdepth=4), BAD, r"attribute input_bitdepth is 4, but must be 8"),
    "weight bits": (lambda: small_model(weight_bitdepth=16), BAD, r"attribute weight_bitdepth is 16, but must be 8"),
    "output bits": (lambda: small_model(output_bitdepth=None), BAD, r"output_bitdepth is missing, but must be 8"),
    "bias bits": (lambda: small_model(bias_bitdepth=8), BAD, r"attribute bias_bitdepth is 8, but must be 16"),
    "bias bits missing": (lambda: small_model(bias_bitdepth=None), BAD, r"bias_bitdepth is missing, but must be 16"),
    "bits of another type": (lambda: small_model(input_bitdepth=8.0), BAD, r"input_bitdepth is 8\.0, but must be 8"),
    "bits of the example": (lambda: small_model(weight_bit=4), BAD, r"attribute weight_bit is 4, but must be 8"),
    # Stored numbers.
    "weight between": (lambda: dense(np.full((4, 3), 0.5)), BAD,
        r"node 'n_y' \(Gemm\): weights 'c0' holds 0\.5 at \[0, 0\], which is 0\.5 times its scale, but must be "
        r"a whole number from -128 to 127"),
    "weight too large": (lambda: dense(np.full((4, 3), 128)), BAD, r"holds 128 at .* from -128 to 127"),
    "bias too large": (lambda: dense(bias=np.array([0, 0, 32768, 0])), BAD, r"bias 'c1' holds 32768 at \[2\]"),
    "bias between": (lambda: dense(bias=np.array([0.25, 0, 0, 0])), BAD, r"bias 'c1' holds 0\.25 at \[0\]"),
    "bias shape": (lambda: dense(bias=np.ones((2, 4))), BAD, r"bias has shape \[2, 4\], but must have \[4\]"),
    "weight nan": (lambda: dense(np.full((4, 3), np.nan)), BAD, r"initializer 'c0' holds NaN, but"),
    "weight inf": (lambda: dense(np.full((4, 3), np.inf)), BAD, r"initializer 'c0' holds NaN or infinity"),
    "weight type": (lambda: one("Conv", arrays=[np.ones((16, 16, 1, 1), np.int64)], weight_ch_scales=[1.0] * 16,
                                **LAYER), NO,
        r"weights 'c0' is int64, but must be float32"),
    "computed weight": (lambda: chain(("Conv", ["x", "x"], "y", {"weight_ch_scales": [1.0] * 16, **LAYER})), NO,
        r"weights 'x' is not stored in the file, but must be a constant"),
    "operand between": (lambda: one("MatMul", [(1, 2, 2)], [np.full((2, 2), 0.5, np.float32)], **MATMUL), BAD,
        r"operand 'c0' holds 0\.5 at \[0, 0\]"),
    # Limits.
    "kernel": (lambda: convolution((1, 3, 9, 9), np.ones((16, 3, 8, 1), int)), BAD,
        r"node 'n_y' \(Conv\): attribute kernel_shape is \[8, 1\], but must be 1x1 to 7x7"),
    "kernel attribute": (lambda: small_model(kernel_shape=(5, 5)), NO,
        r"kernel_shape is \[5, 5\], but must be \[3, 3\]"),
    "stride": (lambda: small_model(strides=(3, 3)), BAD, r"strides is \[3, 3\], but each must be 1 or 2"),
    "padding": (lambda: small_model(pads=(4, 0, 0, 0)), BAD,
        r"attribute pads is \[4, 0, 0, 0\], but top must be 0 to 3"),
    "short padding": (lambda: small_model(pads=(1, 1)), BAD, r"pads is \[1, 1\], but must be 4 whole numbers"),
    "dilation": (lambda: small_model(dilations=(2, 2)), NO, r"dilations is \[2, 2\], but must be \[1, 1\]"),
    "automatic padding": (lambda: small_model(auto_pad="SAME_UPPER"), NO, r"auto_pad is 'SAME_UPPER'"),
    "output channels": (lambda: convolution(weight=np.ones((24, 3, 1, 1), int)), BAD,
        r"the output map has 24 channels, but must have 16 to 2048 in multiples of 16"),
    "input channels": (lambda: convolution((1, 513, 2, 2), np.ones((16, 513, 1, 1), int)), BAD,
        r"graph input 'x' has 513 channels, but must have 1 to 512"),
    "input size": (lambda: convolution((1, 3, 513, 2)), BAD, r"graph input 'x' is 513x2, but must be 1x1 to 512x512"),
    "feature map size": (lambda: convolution((1, 3, 400, 4)), BAD, r"output map is 398x2, but must be 1x1 to 256x256"),
    "small depthwise map": (lambda: convolution((1, 16, 3, 8), np.ones((16, 1, 1, 1), int), group=16), BAD,
        r"map 'x' is 3x8, but must be 4x4 to 512x512"),
    "outputs that are no multiple of the groups": (
        lambda: convolution((1, 32, 6, 6), np.ones((48, 1, 1, 1), int), group=32), BAD,
        r"attribute group is 32 for 32 input channels and weights of shape \[48, 1, 1, 1\]"),
    "groups": (lambda: convolution((1, 16, 6, 6), np.ones((16, 8, 1, 1), int), group=2), BAD,
        r"attribute group is 2 for 16 input channels"),
    "kernel beyond the map": (lambda: convolution((1, 3, 2, 2)), BAD, r"kernel spans 3x3, but the padded map is 2x2"),
    "max-pool kernel": (lambda: one("MaxPool", **{**POOL, "kernel_shape": (4, 4)}), BAD, r"2x2 to 3x3 and square"),
    "max-pool padding": (lambda: one("MaxPool", pads=(1, 0, 0, 0), **POOL), BAD,
        r"only bottom and right may be padded"),
    "max-pool wide padding": (lambda: one("MaxPool", pads=(0, 0, 2, 0), **POOL), BAD, r"must be below the kernel's 2"),
    "average-pool padding": (lambda: one("AveragePool", pads=(0, 0, 1, 0), **POOL), BAD,
        r"only top and left may be padded"),
    "average-pool kernel": (lambda: one("AveragePool", **{**POOL, "kernel_shape": (8, 8)}, shapes=[(1, 16, 9, 9)]), BAD,
        r"2x2 to 7x7 and square"),
    "pool without kernel": (lambda: one("AveragePool", **{**POOL, "kernel_shape": None}), BAD,
        r"kernel_shape is missing"),
    "global pool": (lambda: one("GlobalAveragePool", [(1, 16, 8, 8)], **IN_OUT), BAD, r"8x8, but must be 2x2 to 7x7"),
    "ceil mode": (lambda: one("MaxPool", ceil_mode=1, **POOL), NO, r"ceil_mode is 1, but must be 0"),
    "dense input": (lambda: dense(np.ones((4, 2049), int), shape=(1, 2049)), BAD, r"the input has 2049 channels, but"),
    "dense output": (lambda: dense(np.ones((2049, 3), int)), BAD,
        r"the output has 2049 channels, but must have 1 to 2048"),
    "dense columns": (lambda: dense(shape=(1, 5)), BAD, r"input 'x' has 5 columns, but the weights take 3"),
    "gemm alpha": (lambda: dense(alpha=2.0), NO, r"alpha is 2\.0, but must be 1"),
    # Batch normalisation.
    "factor": (lambda: normalised(gamma=0.3), BAD,
        r"node 'n_y' \(BatchNormalization\): the factor of channel 0 is 0\.3\d*, but times the weight scale 2\^0/1 it "
        r"must be 2\*\*n / a"),
    "factor zero": (lambda: normalised(gamma=0.0), BAD, r"the factor of channel 0 is 0"),
    "folded bias": (lambda: normalised(beta=0.5), BAD, r"the folded bias of channel 0 is 0\.5 times its scale"),
    "folded bias range": (lambda: normalised(beta=40000.0), BAD,
        r"bias of channel 0 is 40000 .* whole number of 16 bits"),
    "variance": (lambda: normalised(variance=-0.25), BAD, r"variance \+ epsilon must be finite and above 0"),
    "training": (lambda: normalised(training_mode=1), NO, r"training_mode is 1, but must be 0"),
    "norm of a shared tensor": (lambda: normalised(read_twice=True), NO, r"be read by this node alone"),
    "norm of nothing": (lambda: chain(("MaxPool", ["x"], "p", POOL), ("BatchNormalization", ["p"], "y", {})), NO,
        r"\(BatchNormalization\): input \['p'\] must come from a Conv"),
    "negated weight": (lambda: normalised(gamma=-1.0, weight=np.full((4, 3), -128)), BAD, r"makes a weight 128"),
    # Shapes and constants.
    "constant operand": (lambda: behind("Add", np.ones(1, np.float32), **OUT), NO,
        r"input 1 'c0' is stored in the file, but must be computed by the network"),
    "one operand": (lambda: behind("Add", **OUT), BAD, r"\(Add\) has 1 inputs, but must have 2"),
    "shape of other size": (lambda: behind("Reshape", np.array([3, -1])), BAD, r"shape is \[3, -1\], but must hold"),
    "shape of floats": (lambda: behind("Reshape", np.ones(1, np.float32)), NO,
        r"shape 'c0' is float32, but must be int64"),
    "sum axes": (lambda: behind("ReduceSum", np.array([4]), **OUT), BAD, r"axes is \[4\], but each must be -4 to 3"),
    "sum axes twice": (lambda: behind("ReduceSum", np.array([1, -3]), **OUT), BAD, r"must name each axis once"),
    "slope shape": (lambda: behind("PRelu", np.ones(3, np.float32)), BAD, r"differ, but must be equal or 1"),
    "slope of float64": (lambda: behind("PRelu", np.ones(1)), BAD, r"slope is float64 \[1\], but must be float32"),
    "broadcast": (lambda: one("MatMul", [(2, 2, 2), (3, 2, 2)], **MATMUL), BAD, r"shapes \[2\] and \[3\] differ"),
    "product shapes": (lambda: one("MatMul", [(1, 2, 3), (1, 2, 3)], **MATMUL), BAD, r"\[\.\.\., I, K\]"),
    "axis": (lambda: chain(("MaxPool", ["x"], "p", POOL), ("Concat", ["p", "p"], "y", {"axis": 4})), BAD,
        r"axis is 4, but must be -4 to 3"),
    "permutation": (lambda: behind("Transpose", perm=(0, 1, 1, 2)), BAD,
        r"perm is \[0, 1, 1, 2\], but must hold each axis"),
    "slope": (lambda: chain(("MaxPool", ["x"], "p", POOL), ("LeakyRelu", ["p"], "y", {"alpha": float("inf")})), BAD,
        r"alpha is inf, but must be finite"),
    "flat convolution": (lambda: convolution((1, 3, 6)), BAD, r"has shape \[1, 3, 6\], but must be \[N, C, H, W\]"),
    # Operators and attributes.
    "operator": (lambda: chain(("Softmax", ["x"], "y", {"output_scale": 1.0})), NO,
        r"node 'n_y' \(Softmax\): this operator is not among those supported: Add, AveragePool"),
    "domain": (lambda: chain(("Relu", ["x"], "r", OUT), ("Relu", ["r"], "y", {"domain": "custom"})), NO,
        r"this operator of domain custom"),
    "attribute": (lambda: chain(("Relu", ["x"], "y", {"slope": 1.0, "output_scale": 1.0})), NO,
        r"attribute 'slope' is not among"),
    "missing input": (lambda: one("Conv", weight_ch_scales=[1.0], **LAYER), BAD,
        r"input 1, weights, is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(name):
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as caught:
        loads(make())
    assert "\n" not in str(caught.value)


def test_the_small_model_is_accepted():
    graph = loads(small_model())
    assert graph.predict(np.zeros((2, 3, 6, 6), np.int8)).shape == (2, 10)
    assert loads(normalised()).predict(np.zeros((1, 3), np.int8)).tolist() == [[0, 0, 0, 0]]


def altered(change) -> bytes:
    model = onnx.ModelProto.FromString(small_model())
    change(model)
    return model.SerializeToString()


def external(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")


def huge(model):
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]


def overflowing(model):
    model.graph.initializer[0].dims[:] = [1 << 62, 4]


HOSTILE = {
    "external": (external, NO, r"initializer 'c0' is stored in another file, but must be stored in this one"),
    "huge": (huge, BAD, r"initializer 'c0' has shape .* at most 8 axes of 0 to 2147483647"),
    "product beyond 64 bits": (overflowing, BAD, r"8 axes of 0 to 2147483647"),
    "negative": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -16), BAD, r"axes of 0 to 2147483647"),
    "short": (lambda m: setattr(m.graph.initializer[0], "raw_data", b"abc"), BAD,
        r"holds 3 bytes, but must hold 1728"),
    "type": (lambda m: setattr(m.graph.initializer[0], "data_type", 8), NO,
        r"has element type 8, but must have one of 1 \(float32\)"),
    "huge input": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 1 << 40), BAD,
        r"graph input 'x' has shape \[1, 3, 1099511627776, 6\]"),
    "unknown size": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[2], "dim_param", "H"), NO,
        r"axis 2 has the length 'H', but only axis 0 may be open"),
    "input type": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 3), NO,
        r"graph input 'x' is int8, but must be float32"),
    "no output": (lambda m: m.graph.ClearField("output"), BAD, r"has 0 outputs, but must have 1 or more"),
    "unmade output": (lambda m: setattr(m.graph.output[0], "name", "z"), BAD, r"graph output 'z' is made by no node"),
    "order": (lambda m: m.graph.node.insert(0, m.graph.node.pop()), BAD,
        r"tensor 'f' is read, but no node before makes it"),
    "made twice": (lambda m: m.graph.node.append(m.graph.node[1]), BAD, r"tensor 'r' is made twice"),
    "stored twice": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), BAD, r"'c0' is given twice"),
    "attribute twice": (
        lambda m: m.graph.node[0].attribute.append(m.graph.node[0].attribute[0]), BAD, r"attribute .* is given twice"),
    "no nodes": (lambda m: m.graph.ClearField("node"), BAD, r"it holds no complete graph"),
    "no output name": (lambda m: m.graph.node[1].ClearField("output"), BAD, r"has 0 outputs, but must have 1"),
    "line break": (lambda m: setattr(m.graph.node[0], "name", "a\nb") or setattr(m.graph.node[0], "op_type", "Odd"), NO,
        r"\(Odd\): this operator"),
    "reshape": (
        lambda m: m.graph.node[3].attribute.append(helper.make_attribute("axis", 9)), BAD,
        r"axis is 9, but must be -4 to 4"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name):
    change, error, message = HOSTILE[name]
    with pytest.raises(error, match=message) as caught:
        loads(altered(change))
    assert "\n" not in str(caught.value)


def test_every_truncation_is_refused_or_a_model():
    """Protobuf has no end mark: what is cut between two fields is a smaller message, seldom still a model."""
    data = small_model()
    whole = 0
    for length in range(len(data)):
        try:
            loads(data[:length])
            whole += 1
        except GoldenError as error:
            assert "\n" not in str(error)
    assert whole <= 4  # without the opset or a part of it


def test_damaged_bytes_never_end_in_another_error():
    data = small_model()
    outcomes = {"refused": 0, "model": 0}
    for position in range(0, len(data), 3):
        for value in (0x00, 0x7F, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] = value
            try:
                loads(bytes(damaged))
                outcomes["model"] += 1
            except GoldenError as error:
                assert "\n" not in str(error)
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 100


@pytest.mark.parametrize("seed", range(200))
def test_random_damage_never_ends_in_another_error(seed):
    rng = np.random.default_rng(seed)
    damaged = bytearray(small_model())
    for _ in range(rng.integers(1, 10)):
        position = int(rng.integers(0, len(damaged) - 4))
        damaged[position : position + 4] = struct.pack("<I", int(rng.integers(0, 2**32)))
    try:
        loads(bytes(damaged))
    except GoldenError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"TFL3" * 10, b"\xff" * 50])
def test_not_a_model(data, tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match=r"broken: not an ONNX file"):
        load(path)


def test_missing_file(tmp_path):
    with pytest.raises(GoldenError, match=r"nowhere\.onnx: no such model file"):
        load(tmp_path / "nowhere.onnx")


def test_missing_package_is_named(monkeypatch):
    graph = loads(small_model())
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(GoldenError, match="ONNX files need the package onnx: pip install onnx"):
        loads(b"")
    with pytest.raises(GoldenError, match="ONNX files need the package onnx: pip install onnx"):
        to_bytes(graph)


def test_recognises():
    assert recognises(read(onnx.ModelProto.FromString(small_model())))
    assert not recognises(read(onnx.ModelProto()))
    plain = ModelFile()
    plain.node("Relu", ["x"], "y")
    assert not recognises(read(plain.model({"x": (1, 3)}, ["y"])))
    other = ModelFile()
    other.node("Quant", ["x"], "y", output_scale=1.0, domain="qonnx.custom_op.general")
    assert not recognises(read(other.model({"x": (1, 3)}, ["y"])))


def test_external_data_is_not_opened(monkeypatch):
    """The named file is refused before anything is opened."""

    def opened(*arguments, **named):
        raise AssertionError(f"opened {arguments}")

    data = altered(external)
    monkeypatch.setattr("builtins.open", opened)
    with pytest.raises(UnsupportedOperatorError, match="stored in another file"):
        loads(data)


def test_an_operator_has_one_handler():
    with pytest.raises(ValueError, match="operator Conv has a handler already: _conv"):
        OPERATORS.of("Conv")(print)


# The exporter's own refusals.


def graph_of(operator, kind="Relu", exponents=(0, 0), quantised=True) -> Graph:
    tensors = {
        name: Tensor(name, (1, 4), np.dtype(np.int8), Activation(e) if quantised else None)
        for name, e in zip("xy", exponents, strict=True)
    }
    return Graph("g", tensors, ("x",), ("y",), (Node("n", kind, operator, ("x",), ("y",)),))


def test_export_refuses(tmp_path):
    with pytest.raises(
        UnsupportedOperatorError, match=r"node 'n' \(Pad\): operator Pad has no fixed-point ONNX form"
    ):
        to_bytes(graph_of(shaping.Pad(((0, 0), (0, 0)), 0), "Pad"))
    with pytest.raises(
        UnsupportedOperatorError, match=r"tensor 'x' is int8, but must be int8 with a power-of-two"
    ):
        to_bytes(graph_of(loads(stepwise()).nodes[0].operator, "Tanh", quantised=False))
    # Nothing in the file gives a scale of x.
    with pytest.raises(ModelFormatError, match="graph input 'x' has no scale"):
        to_bytes(graph_of(shaping.Transpose((0, 1)), "Transpose"))
    with pytest.raises(GoldenError, match="cannot be written: No such file"):
        save(loads(small_model()), tmp_path / "nowhere" / "model.onnx")


def stepwise() -> bytes:
    return one("Tanh", [(1, 4)], **scaled("input output", input=1, output=2.0**-7))


def test_export_refuses_weights_beyond_float32():
    graph = loads(dense(np.full((4, 3), 1), [2.0**-120] * 4, np.ones(4), 2.0**-4, 1.0))
    to_bytes(graph)
    layer = graph.nodes[0].operator.layer
    object.__setattr__(layer, "source", -20)
    with pytest.raises(
        DoesNotFitError, match=r"node 'n_y' \(Gemm\): bias holds magnitudes .* but float32 holds"
    ):
        to_bytes(graph)


def test_shapes_from_constant_nodes():
    file = ModelFile()
    file.node("MaxPool", ["x"], "p", **POOL)
    file.nodes.append(
        helper.make_node("Constant", [], ["shape"], value=onnx.numpy_helper.from_array(np.array([1, -1])))
    )
    file.node("Reshape", ["p", "shape"], "y")
    graph = loads(file.bytes({"x": (1, 16, 3, 3)}, ["y"]))
    assert graph.predict(np.zeros((5, 16, 3, 3), np.int8)).shape == (5, 64)


def test_golden_load_finds_the_scheme_by_its_attributes(tmp_path):
    from assay import golden

    path = tmp_path / "fixed.onnx"
    path.write_bytes(small_model())
    ours, direct = golden.load(path), loads(small_model(), "fixed")
    assert [node.name for node in ours.nodes] == [node.name for node in direct.nodes]
    assert ours.summary() == direct.summary()
