# SPDX-License-Identifier: Apache-2.0
"""QDQ files written from TFLite graphs: onnxruntime's numbers when read back, TFLite's to a step of each operator."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

from assay import golden
from assay.golden import GoldenError, UnsupportedOperatorError
from assay.golden.exporters import qdq
from assay.golden.importers import onnx as importer
from assay.golden.importers import tflite
from assay.golden.tests.litert import network, random_inputs
from assay.golden.tests.onnx_files import onnxruntime
from assay.golden.tests.test_tflite_operators import Case, bias, weights, window_options


def exported(graph, runs: int = 20):
    """Every tensor of the exported file equals onnxruntime's; gives both graphs' traces by TFLite's names."""
    content = qdq.to_bytes(graph)
    read = importer.loads(content, graph.name)
    assert read.inputs == graph.inputs
    assert read.outputs == graph.outputs
    inputs = random_inputs(graph, runs, np.random.default_rng(0))
    comparison = read.compare(inputs, onnxruntime(content, read))
    assert comparison.exact, comparison.first_differing
    made = read.trace(inputs)
    for name in graph.tensors:
        if name not in made and f"{name}.nchw" in made:
            shape = graph.tensors[name].shape
            values = made[f"{name}.nchw"].reshape(-1, shape[3], *shape[1:3]).transpose(0, 2, 3, 1)
            made[name] = values.reshape(graph.trace(inputs)[name].shape)
    return graph.trace(inputs), made


def within_a_step(case: Case, *outputs: int) -> None:
    graph = tflite.loads(case.file.bytes(case.inputs, outputs))
    ours, made = exported(graph)
    for index in outputs:
        difference = ours[f"t{index}"].astype(int) - made[f"t{index}"]
        assert made[f"t{index}"].dtype == np.int8
        assert np.abs(difference).max() <= 1
        assert np.abs(made[f"t{index}"].astype(int)).max() > 0


@pytest.mark.parametrize("activation", range(4))
@pytest.mark.parametrize("seed", range(6))
def test_convolutions(seed, activation):
    case = Case(seed)
    depth, outputs = case.integer(1, 5), case.integer(2, 6)
    x = case.input((1, case.integer(7, 9), case.integer(7, 9), depth))
    w, scales = weights(case, (outputs, *case.shape(2, 3), depth), 0)
    y = case.output(case.scale(1e-1, 2), 3)
    options = {"FusedActivationFunction": activation, "DilationHFactor": 1, "DilationWFactor": 2}
    case.file.operator(
        "CONV_2D",
        [x, w, bias(case, x, scales, outputs)],
        [y],
        "Conv2DOptions",
        **window_options(case),
        **options,
    )
    w, scales = weights(case, (1, *case.shape(2, 2), outputs), 3)
    z = case.output(case.scale(1e-1, 2), 3)
    case.file.operator(
        "DEPTHWISE_CONV_2D", [y, w, bias(case, y, scales, outputs)], [z], "DepthwiseConv2DOptions", StrideH=1,
        StrideW=1, DepthMultiplier=1, FusedActivationFunction=activation,
    )  # fmt: skip
    graph = tflite.loads(case.file.bytes(case.inputs, [y, z]))
    ours, made = exported(graph)
    assert np.abs(ours[f"t{y}"].astype(int) - made[f"t{y}"]).max() <= 1


@pytest.mark.parametrize("seed", range(8))
def test_dense_and_softmax(seed):
    case = Case(seed)
    depth, outputs = case.integer(1, 40), case.integer(2, 9)
    x = case.input((case.integer(1, 3), depth) if seed % 2 else (case.integer(1, 3), 1, 2, depth))
    w, scales = weights(case, (outputs, depth), 0)
    y = case.output(case.scale(1e-1, 1))
    inputs = [x, w, bias(case, x, scales, outputs)] if seed % 3 else [x, w, -1]
    case.file.operator("FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions")
    within_a_step(case, y)
    case = Case(seed)
    x, y = case.input((2, 11), 0.1), case.output(1 / 256, -128)
    case.file.operator("SOFTMAX", [x], [y], "SoftmaxOptions", Beta=1.0)
    within_a_step(case, y)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 7)])
def test_binary(kind, shape):
    for seed in range(4):
        case = Case(seed)
        a, b = (case.input(shape, case.scale(1e-2, 0.5)) for _ in range(2))
        y = case.output(case.scale(1e-1, 0.5))
        table = f"{kind.capitalize()}Options"
        case.file.operator(kind, [a, b], [y], table, FusedActivationFunction=seed)
        within_a_step(case, y)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
def test_binary_of_any_ranks(kind):
    """Operands that broadcast: maps, which are written with their channels second, meet no tensor of fewer axes."""
    refused = 0
    for ranks in product(range(1, 5), repeat=2):
        case = Case(sum(ranks))
        whole = (1, 3, 4, 5)
        shapes = [whole[-rank:] for rank in ranks]
        if ranks[0] == ranks[1]:
            shapes[1] = (*shapes[1][:-1], 1)
        a, b = (case.input(shape, case.scale(1e-2, 0.5)) for shape in shapes)
        y = case.output(case.scale(1e-1, 0.5))
        case.file.operator(kind, [a, b], [y], f"{kind.capitalize()}Options")
        try:
            within_a_step(case, y)
        except UnsupportedOperatorError:
            assert 4 in ranks and ranks[0] != ranks[1]
            refused += 1
    assert refused == 6


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_every_axis(rank):
    """CONCATENATION, MEAN and SUM along each axis of tensors that are of unlike length in each."""
    shape = (2, 3, 4, 5)[:rank]
    for axis in range(rank):
        case = Case(axis)
        x, other = (case.input(shape, 0.05, -7) for _ in range(2))
        both = case.like(x)
        case.file.operator("CONCATENATION", [x, other], [both], "ConcatenationOptions", Axis=axis)
        within_a_step(case, both)
        for kind, keep in product(("MEAN", "SUM"), (False, True)):
            case = Case(axis)
            x, y = case.input(shape, 0.05, -7), case.output(0.06)
            case.file.operator(kind, [x, case.int32(axis)], [y], "ReducerOptions", KeepDims=keep)
            graph = tflite.loads(case.file.bytes(case.inputs, [y]))
            try:
                ours, made = exported(graph)
            except UnsupportedOperatorError as error:
                assert rank == 4 and not keep, error
                continue
            # MEAN's factor is a truncated quotient; SUM's reference rounds once more.
            assert np.abs(ours[f"t{y}"].astype(int) - made[f"t{y}"]).max() <= (4 if kind == "MEAN" else 1)


@pytest.mark.parametrize("seed", range(6))
def test_pools_means_and_movement(seed):
    case = Case(seed)
    x = case.input((1, 6, 8, 3), 0.05, -7)
    pad = case.like(x)
    case.file.operator(
        "PAD",
        [x, case.file.constant(np.array([[0, 0], [1, 0], [0, 2], [0, 0]], np.int32))],
        [pad],
        "PadOptions",
    )
    pools = [case.like(x), case.like(x)]
    options = {**window_options(case), "FilterHeight": case.integer(1, 4), "FilterWidth": case.integer(1, 4)}
    for kind, pool in zip(("MAX_POOL_2D", "AVERAGE_POOL_2D"), pools, strict=True):
        case.file.operator(kind, [pad], [pool], "Pool2DOptions", **options, FusedActivationFunction=seed % 4)
    both = case.like(x)
    case.file.operator("CONCATENATION", pools, [both], "ConcatenationOptions", Axis=3)
    mean, flat, turned = case.output(0.02), case.like(x), case.like(x)
    case.file.operator("MEAN", [both, case.int32(1, 2)], [mean], "ReducerOptions", KeepDims=seed % 2)
    case.file.operator("RESHAPE", [x, case.int32(2, -1)], [flat], "ReshapeOptions", NewShape=[2, -1])
    case.file.operator("TRANSPOSE", [x, case.int32(0, 2, 3, 1)], [turned], "TransposeOptions")
    graph = tflite.loads(case.file.bytes(case.inputs, [both, mean, flat, turned]))
    ours, made = exported(graph)
    for index, steps in ((both, 1), (mean, 4), (flat, 0), (turned, 0)):
        assert np.abs(ours[f"t{index}"].astype(int) - made[f"t{index}"]).max() <= steps


@pytest.mark.parametrize("name", ["ad_autoencoder", "kws_dscnn", "resnet8", "vww_mobilenetv1"])
def test_whole_networks(name):
    """Differences of a step in early layers grow on their way, but stay small beside the range of 256."""
    graph = golden.load(network(f"mlperf_tiny_{name}_int8.tflite"))
    ours, made = exported(graph, 1)
    for tensor, values in ours.items():
        assert np.abs(values.astype(int) - made[tensor]).mean() < 2, tensor


def test_refusals(tmp_path):
    case = Case(1)
    x, y = case.input((1, 5)), case.output(1 / 256, -128)
    case.file.operator("LOGISTIC", [x], [y])
    graph = tflite.loads(case.file.bytes(case.inputs, [y]))
    with pytest.raises(UnsupportedOperatorError, match=r"LOGISTIC.*has no QDQ form"):
        qdq.to_bytes(graph)
    case = Case(2)
    x = case.input((1, 4))
    w = case.file.constant(np.full((2, 4), -128, np.int8), 0.1, 9)
    y = case.output()
    case.file.operator("FULLY_CONNECTED", [x, w, -1], [y], "FullyConnectedOptions")
    graph = tflite.loads(case.file.bytes(case.inputs, [y]))
    with pytest.raises(UnsupportedOperatorError, match="span -137 to -137, but must be int8"):
        qdq.to_bytes(graph)
    with pytest.raises(GoldenError, match="cannot be written"):
        case = Case(3)
        x, y = case.input((2, 11), 0.1), case.output(1 / 256, -128)
        case.file.operator("SOFTMAX", [x], [y], "SoftmaxOptions", Beta=1.0)
        qdq.save(tflite.loads(case.file.bytes(case.inputs, [y])), tmp_path)
