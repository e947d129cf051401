# SPDX-License-Identifier: Apache-2.0
"""Hostile TFLite files: fields of a valid model changed at random. Whatever comes, it is a model or one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

from assay.golden import GoldenError, ModelFormatError
from assay.golden.importers.tflite import OPERATORS, loads
from assay.golden.tests.tflite_files import ModelFile

INTEGERS = [0, 1, -1, 2, 3, -2, 5, 127, 128, -129, 1 << 15, 1 << 20, 1 << 26, (1 << 31) - 1, -(1 << 31)]
SCALES = [0.0, -1.0, float("nan"), float("inf"), 1e-45, 1e-30, 1e-8, 1.0, 1e10, 3e38]
TYPES = [0, 1, 2, 3, 4, 5, 6, 7, 9, 17]


def model() -> tuple[ModelFile, list[int], list[int]]:
    """A branching network of many kinds of operators."""
    file = ModelFile()
    rng = np.random.default_rng(0)
    x = file.tensor((1, 6, 6, 4), 0.1, 3)
    kernel = file.constant(rng.integers(-127, 128, (4, 3, 3, 4)).astype(np.int8), [0.01] * 4, [0] * 4)
    bias = file.constant(rng.integers(-99, 99, 4).astype(np.int32), [0.001] * 4, [0] * 4)
    depth = file.constant(rng.integers(-127, 128, (1, 3, 3, 4)).astype(np.int8), [0.02] * 4, [0] * 4, axis=3)
    dense = file.constant(rng.integers(-127, 128, (5, 4)).astype(np.int8), 0.01, 0)
    i32 = lambda *values: file.constant(np.array(values, np.int32))  # noqa: E731

    def add(kind: str, inputs: list[int], table: str = "", form: Any = (0.1, 3), **options: Any) -> int:
        outputs = [file.tensor((), *form) for _ in range(options.pop("made", 1))]
        file.operator(kind, inputs, outputs, table, **options)
        return outputs[0]

    strides = {"StrideH": 1, "StrideW": 1}
    a = add("CONV_2D", [x, kernel, bias], "Conv2DOptions", **strides)
    b = add("DEPTHWISE_CONV_2D", [a, depth, bias], "DepthwiseConv2DOptions", **strides, DilationHFactor=2)
    c = add("ADD", [a, b], "AddOptions", FusedActivationFunction=1)
    d = add("MAX_POOL_2D", [c], "Pool2DOptions", StrideH=2, StrideW=2, FilterHeight=3, FilterWidth=3)
    e = add("TRANSPOSE_CONV", [i32(1, 6, 6, 4), kernel, d], "TransposeConvOptions", StrideH=2, StrideW=2)
    f = add("RESIZE_BILINEAR", [d, i32(6, 6)], "ResizeBilinearOptions", HalfPixelCenters=True)
    g = add("CONCATENATION", [c, e, f], "ConcatenationOptions", Axis=3)
    h = add("STRIDED_SLICE", [g, i32(0, 0, 0, 0), i32(1, 6, 6, 8), i32(1, 1, 2, 2)], "StridedSliceOptions")
    h = add("PAD", [h, file.constant(np.array([[0, 0], [1, 1], [0, 1], [0, 0]], np.int32))])
    h = add("SPLIT", [i32(3), h], "SplitOptions", NumSplits=2, made=2)
    h = add("TRANSPOSE", [h, i32(0, 3, 1, 2)])
    h = add("RESHAPE", [h, i32(1, 8, -1)], "ReshapeOptions")
    h = add("GATHER", [h, i32(0, 3, 3, 7)], "GatherOptions", Axis=1)
    h = add(
        "MIRROR_PAD", [h, file.constant(np.array([[0, 0], [1, 1], [0, 2]], np.int32))], "MirrorPadOptions"
    )
    h = add("TILE", [h, i32(1, 1, 2)])
    h = add("SPACE_TO_BATCH_ND", [g, i32(2, 2), file.constant(np.zeros((2, 2), np.int32))])
    h = add("BATCH_TO_SPACE_ND", [h, i32(2, 2), file.constant(np.array([[0, 1], [0, 0]], np.int32))])
    m = add("MEAN", [c, i32(1, 2)], "ReducerOptions")
    m = add("FULLY_CONNECTED", [m, dense, -1], "FullyConnectedOptions")
    m = add("LOGISTIC", [m], form=(1 / 256, -128))
    m = add("MUL", [m, m], "MulOptions")
    m = add("SOFTMAX", [m], "SoftmaxOptions", form=(1 / 256, -128), Beta=1.0)
    p = add("ARG_MAX", [m, i32(1)], "ArgMaxOptions", form=((), (), np.int32), OutputType=2)
    r = add("DEQUANTIZE", [m], form=((), (), np.float32))
    r = add("NEG", [r], form=((), (), np.float32))
    return file, [x], [h, p, r]


def changed(values: Any, choices: list, rng: np.random.Generator) -> list:
    """A list with one entry replaced, dropped or put in."""
    values = list(values)
    place, action = int(rng.integers(0, len(values) + 1)), rng.integers(0, 4)
    choice = choices[int(rng.integers(0, len(choices)))]
    if action == 0 or not values:
        return [*values[:place], choice, *values[place:]]
    if action == 1:
        return values[:place] + values[place + 1 :]
    values[min(place, len(values) - 1)] = choice
    return values


def damage(file: ModelFile, rng: np.random.Generator) -> None:
    tensor = file.tensors[int(rng.integers(0, len(file.tensors)))]
    operator = file.operators[int(rng.integers(0, len(file.operators)))]
    tensors = [*range(len(file.tensors)), -1, len(file.tensors), (1 << 31) - 1]
    match int(rng.integers(0, 11)):
        case 0:
            tensor.shape = tuple(changed(tensor.shape, INTEGERS, rng))
        case 1:
            tensor.scale = changed(tensor.scale, SCALES, rng)
        case 2:
            tensor.zero_point = changed(tensor.zero_point, INTEGERS, rng)
        case 3:
            tensor.type = int(rng.choice(TYPES))
        case 4:
            tensor.axis = int(rng.choice(INTEGERS))
        case 5:
            operator.inputs = changed(operator.inputs, tensors, rng)
        case 6:
            operator.outputs = changed(operator.outputs, tensors, rng)
        case 7:
            operator.kind = str(rng.choice(list(OPERATORS)))
        case 8 if operator.options:
            name = str(rng.choice(list(operator.options)))
            small = name in ("Padding", "FusedActivationFunction", "Mode", "OutputType")
            value = operator.options[name]
            floats = float(rng.choice(SCALES))
            integers = int(rng.choice(INTEGERS[:8] if small else INTEGERS))
            operator.options[name] = (
                not value if isinstance(value, bool) else floats if isinstance(value, float) else integers
            )
        case 9 if tensor.data:
            words = np.frombuffer(tensor.data[: len(tensor.data) // 4 * 4], np.int32).copy()
            words[int(rng.integers(0, len(words)))] = rng.choice(INTEGERS)
            tensor.data = words.tobytes()
        case _:
            order = rng.permutation(len(file.operators))
            file.operators = [file.operators[i] for i in order] if rng.random() < 0.2 else file.operators
            if rng.random() < 0.5:
                operator.table, operator.options = "", {}


def test_the_undamaged_model_runs():
    file, inputs, outputs = model()
    graph = loads(file.bytes(inputs, outputs))
    assert len(graph.nodes) == len(file.operators)
    assert set(graph.predict(np.zeros((2, 6, 6, 4), np.int8))) == {f"t{i}" for i in outputs}


@pytest.mark.parametrize("seed", range(4))
def test_changed_fields_end_in_a_model_or_a_sentence(seed):
    rng = np.random.default_rng(seed)
    outcomes = {"model": 0, "sentence": 0}
    for _ in range(100):
        file, inputs, outputs = model()
        for _ in range(int(rng.choice([1, 1, 2, 4]))):
            damage(file, rng)
        try:
            graph = loads(file.bytes(inputs, outputs))
            assert graph.summary()
            if sum(np.prod(tensor.shape) for tensor in graph.tensors.values()) < 1 << 20:
                inputs = [graph.tensors[name] for name in graph.inputs]
                graph.predict({t.name: t.stacked(np.zeros((1, *t.shape), t.dtype)) for t in inputs})
            outcomes["model"] += 1
        except GoldenError as error:
            assert "\n" not in str(error)
            outcomes["sentence"] += 1
    assert min(outcomes.values()) > 10, outcomes


@pytest.mark.parametrize("kind", ["RELU", "RESHAPE", "UNPACK"])
def test_more_outputs_than_an_operator_makes_are_refused(kind):
    file = ModelFile()
    x, y, z = (file.tensor((1, 1), 0.1, 0) for _ in range(3))
    options = {"Num": 1, "Axis": 0} if kind == "UNPACK" else {}
    file.operator(kind, [x], [y, z], "UnpackOptions" if options else "", **options)
    with pytest.raises(ModelFormatError, match="2 outputs, but"):
        loads(file.bytes([x], [y]))
