# SPDX-License-Identifier: Apache-2.0
"""`golden compare --kernels optimised` tells the truth of XNNPACK: each reason is the installed LiteRT's arithmetic,
and kinds without a reason have the reference's values.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

from assay import golden
from assay.golden.__main__ import main
from assay.golden.importers import tflite as importer
from assay.golden.runtimes import xnnpack
from assay.golden.runtimes.litert import LiteRt
from assay.golden.tests.litert import network, random_inputs
from assay.golden.tests.tflite_cases import Case
from assay.golden.tests.tie_models import by_operator

pytest.importorskip("ai_edge_litert", reason="LiteRT is missing: pip install ai-edge-litert")

MODELS = {operator: models for (family, operator), models in by_operator().items() if family == "TFLite"}

ROUNDINGS = {
    "float32, ties to even": lambda exact, zero: np.rint(exact) + zero,
    "fixed point, ties up": lambda exact, zero: np.floor(exact + 0.5) + zero,
    "with the zero point, ties to even": lambda exact, zero: np.rint(exact + zero),
}
RULES = {
    **dict.fromkeys(
        ("CONV_2D", "CONV_2D 3x3", "CONV_2D RELU", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED",
         "BATCH_MATMUL", "MUL constant", "PAD"),
        "float32, ties to even",
    ),
    **dict.fromkeys(
        ("ADD", "SUB", "ADD itself", "ADD constant", "SUB constant", "LEAKY_RELU", "QUANTIZE"),
        "fixed point, ties up",
    ),
    **dict.fromkeys(("MEAN", "MEAN keep"), "with the zero point, ties to even"),
}  # fmt: skip
SAME = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "RELU", "RELU6", "PRELU", "SQUARED_DIFFERENCE")


def kind(operator: str) -> str:
    return re.match("[A-Z_0-9]+D|[A-Z_0-9]+", operator)[0].strip()


def test_every_kind_is_in_a_rule_or_the_same():
    assert set(MODELS) - set(RULES) - set(SAME) == {"CONCATENATION", "CONV_2D RELU6"}
    assert not {operator for operator in SAME if operator in xnnpack.REASONS}
    assert set(RULES) - {"PAD"} <= {operator for operator in MODELS if operator.split()[0] in xnnpack.REASONS}


@pytest.mark.parametrize("operator", list(RULES))
def test_the_rounding_is_what_the_reason_says(operator):
    differing = 0
    for model in MODELS[operator]:
        graph = importer.loads(model.data)
        seen = LiteRt(model.data, graph, kernels="optimised").trace(model.x)[model.output]
        expected = np.clip(ROUNDINGS[RULES[operator]](model.exact, model.zero), -128, 127)
        np.testing.assert_array_equal(seen, expected, model.name)
        differing += np.count_nonzero(graph.trace(model.x)[model.output] != seen)
    assert differing, "the rule tells nothing apart from the reference"


@pytest.mark.parametrize("operator", SAME)
def test_kinds_without_a_reason_are_the_references(operator):
    for model in MODELS[operator]:
        graph = importer.loads(model.data)
        assert graph.compare(model.x, LiteRt(model.data, graph, kernels="optimised")).exact, model.name


def test_bounds_of_an_activation():
    """6 / 4 = 1.5 steps at zero point -1: the reference rounds to 2, then adds -1; XNNPACK rounds 0.5 to 0."""
    (model,) = (model for model in MODELS["CONV_2D RELU6"] if "int8-3--1-3:4" in model.name)
    graph = importer.loads(model.data)
    seen = LiteRt(model.data, graph, kernels="optimised").trace(model.x)[model.output]
    assert (seen.max(), graph.trace(model.x)[model.output].max()) == (0, 1)


@pytest.mark.parametrize("seed", range(10))
def test_any_scale_of_a_convolution(seed):
    """One float32 factor, one rounding: clip(rint(float32(sum) * factor) + zero point)."""
    case = Case(seed)
    x = case.input((1, 8, 8, 16))
    weights = case.rng.integers(-127, 128, (8, 1, 1, 16)).astype(np.int8)
    scales = [case.scale(1e-3, 1e-2) for _ in range(8)]
    w = case.file.constant(weights, scales, [0] * 8)
    b = case.file.constant(np.zeros(8, np.int32), [0.1] * 8, [0] * 8)
    y = case.file.tensor((1, 8, 8, 8), case.scale(0.1, 1), case.zero_point())
    case.file.operator("CONV_2D", [x, w, b], [y], "Conv2DOptions", StrideH=1, StrideW=1)
    data = case.file.bytes(case.inputs, [y])
    graph = importer.loads(data)
    inputs = random_inputs(graph, 8, case.rng)
    seen = LiteRt(data, graph, kernels="optimised").trace(inputs)[f"t{y}"]
    source, target = case.file.tensors[x], case.file.tensors[y]
    sums = (inputs[f"t{x}"].astype(np.int64) - source.zero_point[0]) @ weights[:, 0, 0].T.astype(np.int64)
    factor = np.float32(source.scale[0]) * np.float32(scales) / np.float32(target.scale[0])
    expected = np.rint(sums.astype(np.float32) * factor) + target.zero_point[0]
    np.testing.assert_array_equal(seen, np.clip(expected, -128, 127))


@pytest.mark.parametrize("kind", ["QUANTIZE", "LEAKY_RELU"])
@pytest.mark.parametrize("seed", range(10))
def test_factors_of_eight_fraction_bits(kind, seed):
    case = Case(seed)
    x = case.input((1, 256), case.scale(0.05, 1.5))
    y = case.file.tensor((1, 256), 1.0, case.zero_point())
    slope = 0.4321 if kind == "LEAKY_RELU" else 1.0
    options = ("LeakyReluOptions", {"Alpha": slope}) if kind == "LEAKY_RELU" else ("", {})
    case.file.operator(kind, [x], [y], options[0], **options[1])
    data = case.file.bytes(case.inputs, [y])
    graph = importer.loads(data)
    values = np.arange(-128, 128).astype(np.int8)[None]
    seen = LiteRt(data, graph, kernels="optimised").trace(values)[f"t{y}"]
    centred = values.astype(np.int64) - case.file.tensors[x].zero_point[0]
    scale = np.float32(case.file.tensors[x].scale[0])
    factor = np.where(centred < 0, np.rint(256 * scale * np.float32(slope)), np.rint(256 * scale))
    expected = np.floor((centred * factor + 128) / 256) + case.file.tensors[y].zero_point[0]
    np.testing.assert_array_equal(seen, np.clip(expected, -128, 127))


def test_operators_are_told_apart(tmp_path, capsys):
    """A convolution that rounds otherwise, then a pool that does not: the pool's wrong values are the convolution's."""
    case = Case(0)
    x = case.input((1, 8, 8, 4), 1.0, 0)
    w = case.file.constant(np.eye(4, dtype=np.int8).reshape(4, 1, 1, 4), [1.0] * 4, [0] * 4)
    b = case.file.constant(np.zeros(4, np.int32), [1.0] * 4, [0] * 4)
    y, z = (case.file.tensor(shape, 4.0, 0) for shape in ((1, 8, 8, 4), (1, 4, 4, 4)))
    case.file.operator("CONV_2D", [x, w, b], [y], "Conv2DOptions", StrideH=1, StrideW=1)
    sizes = {"StrideH": 2, "StrideW": 2, "FilterHeight": 2, "FilterWidth": 2}
    case.file.operator("MAX_POOL_2D", [y], [z], "Pool2DOptions", **sizes)
    path = tmp_path / "net.tflite"
    path.write_bytes(case.file.bytes(case.inputs, [z]))
    assert main(["compare", str(path), "--kernels", "optimised"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"t{z}: ") and "differ" in line for line in lines)
    start = next(n for n, line in enumerate(lines) if line.startswith("of 2 nodes, 1 give other values"))
    assert "ties to even" in lines[start + 1]
    assert lines[start + 2].startswith("    conv_2d_0 (CONV_2D): ")
    assert len(lines) == start + 3
    assert main(["compare", str(path)]) == 0


def test_other_runtimes_have_no_such_kernels(tmp_path, capsys):
    from assay.golden.tests.onnx_files import OnnxFile

    file = OnnxFile(13)
    x = file.dequantize(file.input((1, 4), np.int8), 0.5, np.int8(3))
    file.quantize(file.node("Relu", x), 0.25, np.int8(1))
    path = tmp_path / "net.onnx"
    path.write_bytes(file.bytes())
    assert main(["compare", str(path), "--kernels", "optimised"]) == 2
    assert "optimised kernels are LiteRT's, but this file is run by onnxruntime" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["kws_dscnn", "resnet8"])
def test_whole_networks_differ_where_the_reasons_are(name):
    path = network(f"mlperf_tiny_{name}_int8.tflite")
    graph = golden.load(path)
    x = random_inputs(graph, 4, np.random.default_rng(0))
    theirs = LiteRt(path, graph, kernels="optimised").trace(x)
    assert not graph.compare(x, theirs).exact
    # All tensors are made outputs so that they are kept: that changes nothing of what a user's interpreter gives.
    from ai_edge_litert import interpreter

    plain = interpreter.Interpreter(model_path=str(path), num_threads=1)
    plain.allocate_tensors()
    (name,) = graph.inputs
    for row in range(len(x[name])):
        shaped = x[name][row].reshape(graph.tensors[name].shape)
        plain.set_tensor(plain.get_input_details()[0]["index"], shaped)
        plain.invoke()
        for output in plain.get_output_details():
            seen = theirs[graph.outputs[0]][row].ravel()
            np.testing.assert_array_equal(plain.get_tensor(output["index"]).ravel(), seen)
    for each in xnnpack.operators(graph, theirs):
        assert each.worst <= 1 and (each.reason or not each.differing), each
