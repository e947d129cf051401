# SPDX-License-Identifier: Apache-2.0
"""What the TFLite reader refuses, and how: one sentence with node, attribute, value and what is allowed."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest

pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

import tflite

from assay import golden
from assay.golden import GoldenError, ModelFormatError, UnsupportedOperatorError
from assay.golden.exporters.tflite import ModelFile
from assay.golden.importers.tflite import MAX_ELEMENTS, OPERATORS, loads
from assay.golden.tests.litert import network


def small_model() -> bytes:
    """A convolution, an addition and a softmax."""
    file = ModelFile()
    x = file.tensor((1, 6, 6, 3), 0.1, 3, name="image")
    w = file.constant(np.ones((4, 3, 3, 3), np.int8), [0.01] * 4, [0] * 4, name="weights")
    b = file.constant(np.arange(4, dtype=np.int32), [0.001] * 4, [0] * 4)
    y, z, p = (
        file.tensor((1, 4, 4, 4), 0.1, 0),
        file.tensor((1, 4, 4, 4), 0.1, 0),
        file.tensor((1, 4, 4, 4), 1 / 256, -128),
    )
    file.operator("CONV_2D", [x, w, b], [y], "Conv2DOptions", Padding=1, StrideH=1, StrideW=1)
    file.operator("ADD", [y, y], [z], "AddOptions")
    file.operator("SOFTMAX", [z], [p], "SoftmaxOptions", Beta=1.0)
    return file.bytes([x], [p])


def one(kind, shapes, table="", constants=(), out=(0.1, 0), dtype=np.int8, **options) -> bytes:
    """A file with one operator on int8 inputs of the given shapes, then the constants."""
    file = ModelFile()
    inputs = [file.tensor(shape, 0.1, 0, dtype) for shape in shapes]
    extra = [file.constant(*((c,) if isinstance(c, np.ndarray) else c)) for c in constants]
    y = file.tensor((1,), *out)
    file.operator(kind, inputs + extra, [y], table, **options)
    return file.bytes(inputs, [y])


WEIGHTS = (np.ones((4, 3, 3, 3), np.int8), 0.01, 0)
CONV = {"table": "Conv2DOptions", "Padding": 1, "StrideH": 1, "StrideW": 1}


def i32(*values):
    return np.array(values, np.int32)


REFUSED = {
    "float model": (
        lambda: one("LOGISTIC", [(1, 4)], dtype=np.float32),
        UnsupportedOperatorError, r"node 'logistic_0' \(LOGISTIC\): tensor 't0' is float32, but must be int8; quantise",
    ),
    "unsupported operator": (
        lambda: one("ATAN2", [(1, 4), (1, 4)]),
        UnsupportedOperatorError, r"node 'atan2_0' \(ATAN2\): this operator is not among those supported: ABS, ADD, ",
    ),
    "custom operator": (
        lambda: one("CUSTOM", [(1, 4)]),
        UnsupportedOperatorError, r"'custom_0' \(CUSTOM 'Custom'\): this operator is not among those supported",
    ),
    "no options": (
        lambda: one("SOFTMAX", [(1, 4)], out=(1 / 256, -128)), ModelFormatError, r"SOFTMAX's beta \* scale is 0.0"
    ),
    "wrong options": (
        lambda: one("SOFTMAX", [(1, 4)], "AddOptions"),
        ModelFormatError, r"has options of type 11, but must have SoftmaxOptions",
    ),
    "missing input": (
        lambda: one("ADD", [(1, 4)], "AddOptions"), ModelFormatError, r"\(ADD\): input 1 is missing"
    ),
    "stride": (
        lambda: one("CONV_2D", [(1, 6, 6, 3)], constants=[WEIGHTS], **{**CONV, "StrideH": 0}),
        ModelFormatError, r"stride is \(0, 1\), but must be 1 to 65536",
    ),
    "padding": (
        lambda: one("CONV_2D", [(1, 6, 6, 3)], constants=[WEIGHTS], **{**CONV, "Padding": 9}),
        ModelFormatError, r"padding is number 9, but must be SAME or VALID",
    ),
    "activation": (
        lambda: one("CONV_2D", [(1, 6, 6, 3)], constants=[WEIGHTS], **CONV, FusedActivationFunction=4),
        UnsupportedOperatorError, r"fused activation is TANH, but must be one of NONE, RELU",
    ),
    "kernel larger than map": (
        lambda: one("CONV_2D", [(1, 2, 6, 3)], constants=[WEIGHTS], **CONV),
        ModelFormatError, r"\(CONV_2D\): kernel spans 3x3, but the padded map is 2x6",
    ),
    "channels": (
        lambda: one("CONV_2D", [(1, 6, 6, 4)], constants=[WEIGHTS], **CONV),
        ModelFormatError, r"weights have shape \[4, 3, 3, 3\], which do not divide",
    ),
    "zero point": (
        lambda: one("CONV_2D", [(1, 6, 6, 3)], constants=[WEIGHTS], out=(0.1, 200), **CONV),
        ModelFormatError, r"zero_point is 200, but int8 allows -128 to 127",
    ),
    "weights along the wrong axis": (
        lambda: one("FULLY_CONNECTED", [(1, 3)], "FullyConnectedOptions",
                    constants=[(np.ones((4, 3), np.int8), [0.1] * 3, [0] * 3, 1)]),
        ModelFormatError, r"have scales along axis 1, but must have them along axis 0",
    ),
    "rows of another length, which stay": (
        lambda: one("FULLY_CONNECTED", [(2, 2, 3)], "FullyConnectedOptions",
                    constants=[(np.ones((4, 6), np.int8), 0.1, 0)], KeepNumDims=True),
        ModelFormatError, r"input 't0' has shape \[2, 2, 3\], but must hold vectors of 6",
    ),
    "rows of another length": (
        lambda: one("FULLY_CONNECTED", [(2, 2, 3)], "FullyConnectedOptions",
                    constants=[(np.ones((4, 5), np.int8), 0.1, 0)]),
        ModelFormatError, r"input 't0' has shape \[2, 2, 3\], but must hold vectors of 5",
    ),
    "number of scales": (
        lambda: one("FULLY_CONNECTED", [(1, 3)], "FullyConnectedOptions",
                    constants=[(np.ones((4, 3), np.int8), [0.1] * 3, [0] * 3, 0)]),
        ModelFormatError, r"has 3 scales along axis 0, but must have as many as that axis is long",
    ),
    "weights zero point": (
        lambda: one("CONV_2D", [(1, 6, 6, 3)], constants=[(WEIGHTS[0], 0.1, 1)], **CONV),
        UnsupportedOperatorError, r"have zero point 1, but must have 0",
    ),
    "computed weights": (
        lambda: one("CONV_2D", [(1, 6, 6, 3), (4, 3, 3, 3)], **CONV),
        UnsupportedOperatorError, r"weights 't1' is computed by the network, but must be a constant",
    ),
    "bias": (
        lambda: one("CONV_2D", [(1, 6, 6, 3)], constants=[WEIGHTS, i32(1, 2, 3)], **CONV),
        ModelFormatError, r"bias has 3 values, but must have 4",
    ),
    "scale": (
        lambda: one("ADD", [(1, 4), (1, 4)], "AddOptions", out=(float("nan"), 0)),
        ModelFormatError, r"tensor 't2': scale is nan, but must be finite and above 0",
    ),
    "tiny output scale": (
        lambda: one("ADD", [(1, 4), (1, 4)], "AddOptions", out=(1e-8, 0)),
        ModelFormatError, r"\(ADD\): output scale is .* but must be above",
    ),
    "rescaling factor": (
        lambda: one("MUL", [(1, 4), (1, 4)], "MulOptions", out=(1e-30, 0)),
        ModelFormatError, r"\(MUL\): rescaling factor is .* but must be below 2\*\*30",
    ),
    "rescaling factor of a convolution": (
        lambda: one("CONV_2D", [(1, 6, 6, 3)], constants=[WEIGHTS], **{**CONV, "out": (1e-30, 0)}),
        ModelFormatError, r"\(CONV_2D\): rescaling factor is .* but must be below 2\*\*30",
    ),
    "rescaling factor of a dense layer": (
        lambda: one("FULLY_CONNECTED", [(1, 4)], "FullyConnectedOptions",
                    constants=[(np.ones((2, 4), np.int8), 0.01, 0)], out=(1e-30, 0)),
        ModelFormatError, r"\(FULLY_CONNECTED\): rescaling factor is .* but must be below 2\*\*30",
    ),
    "two inputs of NEG": (
        lambda: one("NEG", [(1, 4), (1, 4)], dtype=np.float32, out=((), (), np.float32)),
        ModelFormatError, r"\(NEG\) has 2 inputs, but must have 1",
    ),
    "broadcast": (
        lambda: one("MUL", [(1, 4), (1, 3)], "MulOptions"),
        ModelFormatError, r"shapes \[1, 4\] and \[1, 3\] differ, but must be equal or 1",
    ),
    "softmax output": (
        lambda: one("SOFTMAX", [(1, 4)], "SoftmaxOptions", Beta=1.0),
        ModelFormatError, r"output has scale 0.1.* and zero point 0, but must have 0.00390625 and -128",
    ),
    "softmax beta": (
        lambda: one("SOFTMAX", [(1, 4)], "SoftmaxOptions", out=(1 / 256, -128), Beta=0.0),
        ModelFormatError, r"SOFTMAX's beta \* scale is 0.0",
    ),
    "logistic output": (
        lambda: one("LOGISTIC", [(1, 4)]), ModelFormatError, r"output has scale 0.1.* but must have 0.00390625"
    ),
    "padding by dilation": (
        lambda: one("CONV_2D", [(1, 6, 6, 3)], constants=[WEIGHTS], **{**CONV, "Padding": 0},
                    DilationHFactor=65536, DilationWFactor=65536),
        ModelFormatError, r"kernel \(3, 3\) with dilation \(65536, 65536\) has 9 places and pads the map to",
    ),
    "pooling window": (
        lambda: one("MAX_POOL_2D", [(1, 4, 4, 1)], "Pool2DOptions", StrideH=9, StrideW=9, FilterHeight=600,
                    FilterWidth=600),
        ModelFormatError, r"has 360000 places",
    ),
    "hard-swish output": (
        lambda: one("HARD_SWISH", [(1, 4)], out=(0.0005, 0)),
        ModelFormatError, r"HARD_SWISH's output scale is 0.0005.* but must be at least 1/128 of the input's",
    ),
    "subtraction output": (
        lambda: one("SUB", [(1, 4), (1, 4)], "SubOptions", out=(1e-8, 0)),
        ModelFormatError, r"\(SUB\): output scale is .* but must be above",
    ),
    "alpha": (
        lambda: one("LEAKY_RELU", [(1, 4)], "LeakyReluOptions", Alpha=float("inf")),
        ModelFormatError, r"alpha is inf, but must be finite",
    ),
    "pool scale": (
        lambda: one("MAX_POOL_2D", [(1, 4, 4, 1)], "Pool2DOptions", out=(0.2, 0),
                    StrideH=1, StrideW=1, FilterHeight=2, FilterWidth=2),
        UnsupportedOperatorError, r"output is int8 0.2 zp 0, but must have the input's scale and zero point",
    ),
    "axis": (
        lambda: one("MEAN", [(1, 4)], "ReducerOptions", constants=[i32(2)]),
        ModelFormatError, r"axis is 2, but must be -2 to 1",
    ),
    "reshape": (
        lambda: one("RESHAPE", [(1, 4)], "ReshapeOptions", constants=[i32(3, -1)]),
        ModelFormatError, r"shape is \[3, -1\], but must hold the input's 4 values",
    ),
    "permutation": (
        lambda: one("TRANSPOSE", [(1, 4)], constants=[i32(0, 0)]),
        ModelFormatError, r"permutation is \[0, 0\], but must hold each axis of \[1, 4\] once",
    ),
    "huge padding": (
        lambda: one("PAD", [(1, 4)], constants=[i32(0, 2**20, 0, 2**20).reshape(2, 2)]),
        ModelFormatError, rf"their product at most {MAX_ELEMENTS}",
    ),
    "negative padding": (
        lambda: one("PAD", [(1, 4)], constants=[i32(0, -1, 0, 0).reshape(2, 2)]),
        ModelFormatError, r"paddings are \[0, -1, 0, 0\]",
    ),
    "concatenation scale": (
        lambda: one("CONCATENATION", [(1, 4), (1, 4)], "ConcatenationOptions", out=(0.2, 0), Axis=1),
        UnsupportedOperatorError, r"output is int8 0.2 zp 0, but must have the input's",
    ),
    "slice of nothing": (
        lambda: one("STRIDED_SLICE", [(1, 4)], "StridedSliceOptions", constants=[i32(0, 3), i32(1, 3), i32(1, 1)]),
        ModelFormatError, r"has shape \[1, 0\], but every axis must be 1 or more",
    ),
    "slice stride": (
        lambda: one("STRIDED_SLICE", [(1, 4)], "StridedSliceOptions", constants=[i32(0, 3), i32(1, 4), i32(1, 0)]),
        ModelFormatError, r"axis 1 of 4 values has begin 3 and stride 0",
    ),
    "ellipsis": (
        lambda: one("STRIDED_SLICE", [(1, 4)], "StridedSliceOptions", constants=[i32(0, 3)] * 3, EllipsisMask=1),
        UnsupportedOperatorError, r"EllipsisMask is 1, but must be 0",
    ),
    "block": (
        lambda: one("SPACE_TO_DEPTH", [(1, 4, 4, 1)], "SpaceToDepthOptions", BlockSize=3),
        ModelFormatError, r"block size is 3, but must be 1 or more and divide 4 rows and 4 columns",
    ),
    "variable without value": (
        lambda: one("READ_VARIABLE", [(1,)]), ModelFormatError, r"input 0 must be a variable from VAR_HANDLE"
    ),
    "subgraph": (
        lambda: one("CALL_ONCE", [(1,)], "CallOnceOptions", InitSubgraphIndex=7),
        ModelFormatError, r"subgraph is 7, but must be one of 1 to 0",
    ),
    "huge tensor": (
        lambda: one("ADD", [(2**20, 2**20), (1,)], "AddOptions"),
        ModelFormatError, rf"their product at most {MAX_ELEMENTS}",
    ),
    "negative axis length": (
        lambda: one("ADD", [(1, -4), (1,)], "AddOptions"), ModelFormatError, r"has shape \[1, -4\]"
    ),
    "too many axes": (
        lambda: one("ADD", [(1,) * 9, (1,)], "AddOptions"), ModelFormatError, r"has 9 axes, but at most 8"
    ),
    "unsupported type": (
        lambda: one("ADD", [(1, 4)] * 2, "AddOptions", dtype=tflite.TensorType.INT4),
        UnsupportedOperatorError, r"tensor 't0' has type INT4, but must have one of FLOAT32, INT8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(name):
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message) as caught:
        loads(make())
    assert "\n" not in str(caught.value)


def test_the_small_model_is_accepted():
    graph = loads(small_model())
    assert graph.predict(np.zeros((2, 6, 6, 3), np.int8)).shape == (2, 4, 4, 4)
    assert graph.inputs == ("image",)
    assert "conv_2d_0" in graph.summary()


def test_every_truncation_is_refused():
    data = small_model()
    for length in range(len(data)):
        with pytest.raises(GoldenError):
            loads(data[:length])


def test_damaged_bytes_never_end_in_another_error():
    """Every byte replaced by others: refused by name, or still a model (a weight, a name, an unused field)."""
    data = small_model()
    outcomes = {"refused": 0, "model": 0}
    for position in range(8, len(data)):
        for value in ((0x00, 0x7F), (0x80, 0xFF))[position % 2]:
            damaged = bytearray(data)
            damaged[position] = value
            try:
                loads(bytes(damaged))
                outcomes["model"] += 1
            except GoldenError as error:
                assert "\n" not in str(error)
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 100


def test_shared_names_are_not_copied_without_end():
    """A vector of tensors may name one tensor again and again; a long name of it is then refused, not copied."""
    file = ModelFile()
    x, y = (file.tensor((1, 3), 0.1, 0, name="n" * 20_000) for _ in range(2))
    spare = [file.tensor((1, 3), 0.1, 0, name="s") for _ in range(2_000)]
    file.operator("RELU", [x], [y])
    data = bytearray(file.bytes([x], [y]))
    graph = tflite.Model.GetRootAsModel(data, 0).Subgraphs(0)
    vector = graph._tab.Vector(graph._tab.Offset(4))  # the offsets of the tensors, each from its own place
    target = graph._tab.Indirect(vector)
    for index in spare:
        place = vector + 4 * index
        if target > place:
            data[place : place + 4] = struct.pack("<I", target - place)
    with pytest.raises(ModelFormatError, match="names and vectors add up to more than"):
        loads(bytes(data))


@pytest.mark.parametrize("seed", range(300))
def test_random_words_never_end_in_another_error(seed):
    rng = np.random.default_rng(seed)
    damaged = bytearray(small_model())
    for _ in range(rng.integers(1, 8)):
        position = int(rng.integers(0, len(damaged) // 4)) * 4
        value = int(
            rng.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**31, rng.integers(0, 400), rng.integers(0, 2**32)])
        )
        damaged[position : position + 4] = struct.pack("<I", value)
    try:
        loads(bytes(damaged))
    except GoldenError as error:
        assert "\n" not in str(error)


def test_damaged_network_files():
    data = network("mlperf_tiny_kws_dscnn_int8.tflite").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 40):
            damaged[position] = rng.integers(0, 256)
        try:
            loads(bytes(damaged))
        except GoldenError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", b"\x00" * 100, b"\x08\x00\x00\x00TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 50]
)
def test_not_a_model(data, tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match=r"broken\.tflite: "):
        golden.load(path)


def test_missing_parser_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite", None)
    with pytest.raises(GoldenError, match="needs the package tflite, install it with: pip install tflite"):
        loads(small_model())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((2, 6, 6, 4), np.int8),
            r"input 'image' has shape \[2, 6, 6, 4\], but graph model takes \[N, 6, 6, 3\]",
        ),
        (np.zeros((6, 6, 3), np.int8), r"has shape \[6, 6, 3\]"),
        (np.zeros((2, 6, 6, 3)), r"input 'image' has dtype float64, but graph model takes int8"),
        ({"picture": 0}, r"inputs are named 'picture', but graph model takes 'image'"),
    ],
)
def test_wrong_inputs(x, message):
    with pytest.raises(GoldenError, match=message):
        loads(small_model()).predict(x)


def test_nan_is_refused():
    file = ModelFile()
    x, y = file.tensor((1, 3), dtype=np.float32), file.tensor((1, 3), 0.1, 0)
    file.operator("QUANTIZE", [x], [y])
    graph = loads(file.bytes([x], [y]))
    with pytest.raises(GoldenError, match="holds NaN or infinity, but must be finite"):
        graph.predict(np.array([[0, np.nan, 1]], np.float32))


def test_names_used_twice_get_their_index():
    file = ModelFile()
    x, y, z = (file.tensor((1, 3), 0.1, 0, name="same") for _ in range(3))
    file.operator("RELU", [x], [y])
    file.operator("RELU", [y], [z])
    graph = loads(file.bytes([x], [z]))
    assert list(graph.trace(np.zeros((1, 3), np.int8))) == ["same#0", "same#1", "same#2"]


def test_shapes_computed_in_the_file():
    """SHAPE, STRIDED_SLICE and PACK of known shapes become constants, as Keras' Flatten needs."""
    file = ModelFile()
    x = file.tensor((1, 2, 3), 0.1, 0)
    shape, first, packed = (file.tensor((), dtype=np.int32) for _ in range(3))
    y = file.tensor((), 0.1, 0)
    bounds = [file.constant(i32(v)) for v in (0, 1, 1)]
    file.operator("SHAPE", [x], [shape], "ShapeOptions")
    file.operator("STRIDED_SLICE", [shape, *bounds], [first], "StridedSliceOptions", ShrinkAxisMask=1)
    file.operator(
        "PACK", [first, file.constant(np.array(-1, np.int32))], [packed], "PackOptions", ValuesCount=2
    )
    file.operator("RESHAPE", [x, packed], [y], "ReshapeOptions")
    graph = loads(file.bytes([x], [y]))
    assert [node.kind for node in graph.nodes] == ["RESHAPE"]
    assert graph.predict(np.zeros((5, 2, 3), np.int8)).shape == (5, 6)


def test_an_operator_has_one_handler():
    with pytest.raises(ValueError, match="operator CONV_2D has a handler already: _convolution"):
        OPERATORS.of("CONV_2D")(print)


def test_only_the_newer_field_holds_the_operators_number():
    """ai-edge-quantizer writes new operators so; the parser would read DEQUANTIZE as ADD."""
    file = ModelFile(older_codes=False)
    x, y = file.tensor((1, 4), 0.5, 3), file.tensor((1, 4), dtype=np.float32)
    file.operator("DEQUANTIZE", [x], [y])
    graph = loads(file.bytes([x], [y]))
    assert graph.predict(np.array([[3, 4, 5, -1]], np.int8)).tolist() == [[0, 0.5, 1, -2]]


def test_options_left_out_have_the_schemas_defaults():
    file = ModelFile()
    x, y = file.tensor((1, 4), 0.5, 0), file.tensor((1, 4), 0.5, 0)
    file.operator("ADD", [x, x], [y])
    graph = loads(file.bytes([x], [y]))
    assert graph.predict(np.array([[3, -4, 100, 0]], np.int8)).tolist() == [[6, -8, 127, 0]]
