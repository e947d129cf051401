# SPDX-License-Identifier: Apache-2.0
"""Single TFLite operators against LiteRT's reference kernels, over random shapes, attributes and quantisations.

Every case is a little .tflite file that both read. Inputs hold the ends of the range, the zero point and random values;
zero points are at -128 and 127 often. Where all 256 inputs fit, all are tried.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

from assay.golden.importers import tflite as importer
from assay.golden.schemes.tflite import Affine
from assay.golden.tests.litert import litert, optimised, random_inputs
from assay.golden.tests.tflite_cases import CASES, Case, bias, each_pair, each_value, weights, window_options


@pytest.mark.parametrize("seed", range(CASES))
def test_conv_2d(seed):
    case = Case(seed)
    groups, depth, per_group = case.integer(1, 3), case.integer(1, 5), case.integer(1, 4)
    kernel = case.shape(2, 3)
    x = case.input((case.integer(1, 2), case.integer(7, 12), case.integer(7, 12), groups * depth))
    w, scales = weights(case, (groups * per_group, *kernel, depth), 0)
    inputs = [x, w, bias(case, x, scales, groups * per_group)]
    y = case.output(case.scale(1e-2, 5))
    case.file.operator(
        "CONV_2D", inputs, [y], "Conv2DOptions", **window_options(case), FusedActivationFunction=case.activation(),
        DilationHFactor=case.integer(1, 3), DilationWFactor=case.integer(1, 3),
    )  # fmt: skip
    case.check(y)


@pytest.mark.parametrize("seed", range(CASES))
def test_depthwise_conv_2d(seed):
    case = Case(seed)
    depth, multiplier = case.integer(1, 6), case.integer(1, 3)
    x = case.input((case.integer(1, 2), case.integer(7, 12), case.integer(7, 12), depth))
    w, scales = weights(case, (1, *case.shape(2, 3), depth * multiplier), 3)
    y = case.output(case.scale(1e-2, 5))
    case.file.operator(
        "DEPTHWISE_CONV_2D", [x, w, bias(case, x, scales, depth * multiplier)], [y], "DepthwiseConv2DOptions",
        **window_options(case), DepthMultiplier=multiplier, FusedActivationFunction=case.activation(),
        DilationHFactor=case.integer(1, 3), DilationWFactor=case.integer(1, 3),
    )  # fmt: skip
    case.check(y)


@pytest.mark.parametrize("seed", range(CASES))
def test_fully_connected(seed):
    case = Case(seed)
    depth, outputs, keep = case.integer(1, 40), case.integer(1, 9), case.rng.random() < 0.5
    x = case.input((*case.shape(case.integer(1, 2), 4), depth))
    w, scales = weights(case, (outputs, depth), 0)
    if len(scales) == 1:
        case.file.tensors[w].zero_point = [case.integer(-20, 20)]
    y = case.output(case.scale(1e-2, 5))
    inputs = [[x, w], [x, w, -1], [x, w, bias(case, x, scales, outputs)]][case.integer(0, 2)]
    case.file.operator(
        "FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions",
        KeepNumDims=keep, FusedActivationFunction=case.activation(),
    )  # fmt: skip
    case.check(y, runs=64)


def identity_with_factor_quarter(kind: str) -> Case:
    """x times 1, rescaled by exactly 1/4: a convolution of one pixel, or a fully connected layer of one input."""
    case = Case(0)
    x = case.input((1, 1, 1, 1) if kind == "CONV_2D" else (1, 1), 1.0, 0)
    w = case.file.constant(np.ones((1, 1, 1, 1) if kind == "CONV_2D" else (1, 1), np.int8), 0.25, 0)
    b = case.file.constant(np.zeros(1, np.int32), 0.25, 0)
    options = ("Conv2DOptions", {"StrideH": 1, "StrideW": 1})
    table, options = options if kind == "CONV_2D" else ("FullyConnectedOptions", {})
    case.file.operator(kind, [x, w, b], [case.output(1.0, 0)], table, **options)
    return case


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Twice: 1/2 goes up to 1, then 1/2 away from zero to 1; -1/2 goes up to 0.
        ("CONV_2D", {1: 1, -1: 0, 2: 1, -2: -1, 3: 1, -3: -1, 5: 2, -5: -1, 6: 2, -6: -2}),
        # Once, ties away from zero.
        ("FULLY_CONNECTED", {1: 0, -1: 0, 2: 1, -2: -1, 3: 1, -3: -1, 5: 1, -5: -1, 6: 2, -6: -2}),
    ],
)
def test_where_litert_rounds_twice_and_where_once(kind, expected):
    """At these values the two roundings differ: the installed LiteRT is built without TFLITE_SINGLE_ROUNDING."""
    case = identity_with_factor_quarter(kind)
    data = case.file.bytes(case.inputs, [3])
    graph = importer.loads(data)
    x = np.array(list(expected), np.int8).reshape(-1, *graph.tensors["t0"].shape[1:])
    assert graph.predict(x).ravel().tolist() == list(expected.values())
    assert litert(data, graph).trace(x)["t3"].ravel().tolist() == list(expected.values())


@pytest.mark.parametrize("seed", range(CASES))
def test_batch_matmul(seed):
    case = Case(seed)
    rows, inner, columns, lead = *case.shape(3, 9), case.integer(1, 3)
    adjoint = case.rng.random(2) < 0.5
    a = (inner, rows) if adjoint[0] else (rows, inner)
    b = (columns, inner) if adjoint[1] else (inner, columns)
    x = case.input((lead, *a))
    z = case.input((case.integer(0, 1) * (lead - 1) + 1, *b)) if seed % 2 else case.input(b)
    y = case.output(case.scale(1e-2, 1))
    case.file.operator("BATCH_MATMUL", [x, z], [y], "BatchMatMulOptions", AdjX=adjoint[0], AdjY=adjoint[1])
    case.check(y)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("seed", range(CASES))
def test_binary_broadcasts(kind, seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 4)
    other = tuple(1 if case.rng.random() < 0.3 else n for n in shape)[case.integer(0, len(shape) - 1) :]
    shapes = [shape, other][:: case.rng.choice([-1, 1])]
    a, b = (case.input(s, case.scale(1e-2, 0.5)) for s in shapes)
    y = case.output(case.scale(1e-2, 0.5))
    table = f"{kind.capitalize()}Options"
    case.file.operator(kind, [a, b], [y], table, FusedActivationFunction=case.activation())
    case.check(y, runs=40)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize("seed", range(25))
def test_binary_every_pair(kind, seed):
    case = Case(seed)
    a, b = case.input((1, 65536)), case.input((1, 65536))
    if seed % 5 == 0:  # scales that make exact ties
        for index, scale in ((a, 0.5), (b, 0.25)):
            case.file.tensors[index].scale = [scale]
    y = case.output(1.0 if seed % 5 == 0 else None)
    table = f"{kind.capitalize()}Options"
    case.file.operator(kind, [a, b], [y], table, FusedActivationFunction=case.activation())
    case.check(y, values=each_pair)


def test_binary_with_a_constant_operand():
    case = Case(1)
    x = case.input((2, 3, 4))
    c = case.file.constant(case.rng.integers(-128, 128, (4,)).astype(np.int8), 0.02, 5)
    y = case.output()
    case.file.operator("ADD", [c, x], [y], "AddOptions", FusedActivationFunction=0)
    case.check(y)


@pytest.mark.parametrize("kind", ["MAX_POOL_2D", "AVERAGE_POOL_2D"])
@pytest.mark.parametrize("seed", range(CASES))
def test_pools(kind, seed):
    case = Case(seed)
    x = case.input((case.integer(1, 2), case.integer(5, 9), case.integer(5, 9), case.integer(1, 4)))
    y = case.like(x)
    case.file.operator(
        kind, [x], [y], "Pool2DOptions", **window_options(case), FilterHeight=case.integer(1, 5),
        FilterWidth=case.integer(1, 5), FusedActivationFunction=case.activation(),
    )  # fmt: skip
    case.check(y)


@pytest.mark.parametrize(
    "kind", ["RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "LOGISTIC", "TANH", "HARD_SWISH"]
)
@pytest.mark.parametrize("seed", range(CASES))
def test_unary_every_value(kind, seed):
    case = Case(seed)
    x = case.input((1, 256), case.scale(1e-3, 1))
    forms = {"LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
    y = case.output(*forms.get(kind, (case.scale(1e-2, 0.5),)))
    if seed % 4 == 0 and kind == "TANH":
        case.file.tensors[y].scale, case.file.tensors[y].zero_point = (
            [case.scale(3e-3, 0.5)],
            [case.zero_point()],
        )
    if seed % 4 == 0 and kind == "LOGISTIC":
        case.file.tensors[y].zero_point = [case.zero_point()]
    if kind == "HARD_SWISH":
        case.file.tensors[y].scale = [case.file.tensors[x].scale[0] * case.rng.choice([0.02, 0.3, 1, 2.5])]
    if kind == "LEAKY_RELU":
        alpha = float(case.rng.choice([0.01, 0.1, 0.3, 1.5, -0.5, case.rng.uniform(-2, 2)]))
        case.file.operator(kind, [x], [y], "LeakyReluOptions", Alpha=alpha)
    else:
        case.file.operator(kind, [x], [y])
    case.check(y, values=each_value)


@pytest.mark.parametrize("seed", range(CASES))
def test_prelu(seed):
    case = Case(seed)
    if seed % 2:
        x, alpha = case.input((1, 65536)), case.input((1, 65536))
        values = each_pair
    else:
        shape = case.shape(4, 4)
        x, values = case.input(shape), None
        alphas = case.rng.integers(-128, 128, (1, 1, shape[3])).astype(np.int8)
        alpha = case.file.constant(alphas, case.scale(), case.zero_point())
    y = case.output()
    case.file.operator("PRELU", [x, alpha], [y])
    case.check(y, values=values)


@pytest.mark.parametrize("seed", range(CASES))
def test_softmax(seed):
    case = Case(seed)
    x = case.input((*case.shape(case.integer(0, 2), 4), case.integer(1, 40)), case.scale(1e-3, 2))
    y = case.output(1 / 256, -128)
    beta = float(case.rng.choice([1.0, 0.5, 3.0, 10.0]))
    case.file.operator("SOFTMAX", [x], [y], "SoftmaxOptions", Beta=beta)
    case.check(y, runs=100)


@pytest.mark.parametrize("seed", range(CASES))
def test_softmax_of_every_difference(seed):
    case = Case(seed)
    x = case.input((256, 2), case.scale(1e-4, 4))
    y = case.output(1 / 256, -128)
    case.file.operator("SOFTMAX", [x], [y], "SoftmaxOptions", Beta=1.0)

    def values(graph):
        pairs = np.stack([np.full(256, 127), np.arange(-128, 128)], axis=1).astype(np.int8)
        return {graph.inputs[0]: pairs[None]}

    case.check(y, values=values)


def reduction(case: Case, kind: str, same_scale: bool) -> tuple[int, int]:
    """A file with one reduction over random axes: its input and output."""
    shape = case.shape(case.integer(1, 4), 7)
    axes = case.rng.permutation(len(shape))[: case.integer(1, len(shape))]
    axes = [int(axis) - len(shape) * case.integer(0, 1) for axis in axes]
    x = case.input(shape)
    y = case.like(x) if same_scale else case.output(case.scale(1e-2, 1))
    keep = bool(case.integer(0, 1))
    case.file.operator(kind, [x, case.int32(*axes)], [y], "ReducerOptions", KeepDims=keep)
    return x, y


@pytest.mark.parametrize("seed", range(2 * CASES))
def test_mean(seed):
    case = Case(seed)
    _, y = reduction(case, "MEAN", same_scale=seed % 3 == 0)
    case.check(y, runs=40)


@pytest.mark.parametrize("seed", range(2 * CASES))
def test_sum(seed):
    """ai-edge-litert 2.3.0 reads a SUM's int8 values as uint8 in its reference kernel, where its source says int8.

    So LiteRT is given the file and our operator the same bits as uint8 numbers; the arithmetic is the same. That
    int8 is what the operator is for is shown by `test_sum_is_the_real_sum`.
    """
    case = Case(seed)
    x, y = reduction(case, "SUM", same_scale=seed % 3 == 0)
    for index in (x, y):  # a negative zero point has no uint8 form
        case.file.tensors[index].zero_point = [int(case.rng.choice([0, 127, case.integer(0, 127)]))]
    data = case.file.bytes(case.inputs, [y])
    graph = importer.loads(data)
    runtime = litert(data, graph)
    operator = graph.nodes[0].operator
    as_uint8 = [
        Affine(form.scale, form.zero_point, None, np.dtype(np.uint8))
        for form in (operator.source, operator.target)
    ]
    unsigned = dataclasses.replace(operator, source=as_uint8[0], target=as_uint8[1])
    for values in random_inputs(graph, 40, case.rng)[f"t{x}"].reshape(40, *graph.tensors[f"t{x}"].shape):
        runtime.run({f"t{x}": values})
        seen = runtime.tensor(f"t{y}").view(np.uint8)
        np.testing.assert_array_equal(unsigned(values.view(np.uint8)[None])[0], seen)


@pytest.mark.parametrize("seed", range(CASES))
def test_sum_is_within_one_of_the_optimised_kernel(seed):
    """Which reads int8 as int8, and rounds in another way."""
    case = Case(seed)
    x, y = reduction(case, "SUM", same_scale=seed % 3 == 0)
    data = case.file.bytes(case.inputs, [y])
    graph = importer.loads(data)
    tensor = graph.tensors[f"t{x}"]
    for values in random_inputs(graph, 20, case.rng)[tensor.name].reshape(20, *tensor.shape):
        seen = graph.predict(tensor.stacked(values[None]))
        difference = seen.ravel().astype(int) - optimised(data, values).ravel()
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("seed", range(2 * CASES))
def test_sum_is_the_real_sum(seed):
    case = Case(seed)
    x, y = reduction(case, "SUM", same_scale=seed % 3 == 0)
    graph = importer.loads(case.file.bytes(case.inputs, [y]))
    operator = graph.nodes[0].operator
    source, target = graph.tensors[f"t{x}"].quantisation, graph.tensors[f"t{y}"].quantisation
    (values,) = random_inputs(graph, 40, case.rng).values()
    seen = graph.predict(values).astype(np.float64).reshape(40, *operator.shape)
    values = values.reshape(40, *graph.tensors[f"t{x}"].shape).astype(np.float64) - source.zero_point[0]
    real = values.sum(axis=tuple(axis + 1 for axis in operator.axes)).reshape(seen.shape) * source.scale[0]
    expected = np.clip(real / target.scale[0] + target.zero_point[0], -128, 127)
    # Two roundings: a half of the last place, and at most a quarter from the one before.
    assert np.abs(seen - expected).max() <= 0.75 + 1e-6


@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.parametrize("types", [(np.int8, np.int8), (np.int8, np.uint8), (np.uint8, np.int8)])
def test_requantize_every_value(types, seed):
    case = Case(seed)
    zero_points = [case.zero_point() + (128 if t is np.uint8 else 0) for t in types]
    x = case.input((1, 256), zero_point=zero_points[0], dtype=types[0])
    scale = case.file.tensors[x].scale[0] if seed % 4 == 0 else None
    y = case.output(scale, zero_points[1], types[1])
    case.file.operator("QUANTIZE", [x], [y])
    case.check(y, values=each_value)


@pytest.mark.parametrize("seed", range(CASES))
def test_quantize_floats(seed):
    case = Case(seed)
    x = case.file.tensor((1, 600), dtype=np.float32)
    case.inputs.append(x)
    y = case.output(0.25 if seed % 4 == 0 else None)
    scale = case.file.tensors[y].scale[0]
    case.file.operator("QUANTIZE", [x], [y])

    def values(graph):
        ties = (np.arange(-300, 300) + 0.5) * scale
        near = np.nextafter(ties.astype(np.float32), np.float32(case.rng.choice([-np.inf, np.inf])))
        # Beyond 2**31 steps C's conversion to int32 is undefined; up to there the result saturates.
        far = case.rng.choice([-(2.0**30), 2.0**30], 600) * scale
        rows = [ties, near, case.rng.normal(0, 60 * scale, 600), far]
        return {graph.inputs[0]: np.stack(rows).astype(np.float32)}

    case.check(y, values=values)


@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_dequantize_every_value(dtype, seed):
    case = Case(seed)
    zero_point = case.zero_point() + (128 if dtype is np.uint8 else 0)
    x = case.input((1, 256), zero_point=zero_point, dtype=dtype)
    y = case.file.tensor((), dtype=np.float32)
    case.file.operator("DEQUANTIZE", [x], [y])
    case.check(y, values=each_value)


@pytest.mark.parametrize("kind", ["RELU", "RELU6", "LEAKY_RELU", "QUANTIZE", "HARD_SWISH"])
@pytest.mark.parametrize("seed", range(CASES))
def test_unary_factors_near_ties(kind, seed):
    case = Case(seed)
    x = case.input((1, 256))
    y = case.output(case.near_ties(case.file.tensors[x].scale[0]))
    options = {"Alpha": float(case.rng.choice([0.5, 0.3, 0.1, 0.01]))} if kind == "LEAKY_RELU" else {}
    if options and seed % 2:
        case.file.tensors[y].scale = [case.near_ties(case.file.tensors[x].scale[0], options["Alpha"])]
    case.file.operator(kind, [x], [y], "LeakyReluOptions" if options else "", **options)
    case.check(y, values=each_value)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "PRELU"])
@pytest.mark.parametrize("seed", range(25))
def test_binary_factors_near_ties(kind, seed):
    case = Case(seed)
    a = case.input((1, 65536))
    scale = case.file.tensors[a].scale[0]
    b = case.input((1, 65536), case.near_ties(scale) if kind in ("ADD", "SUB") else None)
    other = case.file.tensors[b].scale[0]
    product = kind == "MUL" or (kind == "PRELU" and seed % 2)
    y = case.output(case.near_ties(scale, other) if product else case.near_ties(scale))
    table = "" if kind == "PRELU" else f"{kind.capitalize()}Options"
    case.file.operator(kind, [a, b], [y], table)
    case.check(y, values=each_pair)


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED", "BATCH_MATMUL"])
@pytest.mark.parametrize("seed", range(2 * CASES))
def test_product_factors_near_ties(kind, seed):
    """Every int8 value times every small weight, on scales that put the results next to ties."""
    case = Case(seed)
    x = case.input((1, 256, 1, 1) if kind == "CONV_2D" else (256, 1))
    scale, weight_scale = case.file.tensors[x].scale[0], case.scale(1e-3, 0.5)
    y = case.output(case.near_ties(scale, weight_scale))
    small = np.arange(-8, 9, dtype=np.int8)
    if kind == "BATCH_MATMUL":
        w = case.file.constant(small[None, :], weight_scale, 0)
        case.file.operator(kind, [x, w], [y], "BatchMatMulOptions")
    else:
        scales = [weight_scale] * (17 if seed % 2 else 1)
        shape = (17, 1, 1, 1) if kind == "CONV_2D" else (17, 1)
        w = case.file.constant(small.reshape(shape), scales, [0] * len(scales))
        b = bias(case, x, scales, 17)
        if kind == "CONV_2D":
            case.file.operator(kind, [x, w, b], [y], "Conv2DOptions", StrideH=1, StrideW=1)
        else:
            case.file.operator(kind, [x, w, b], [y], "FullyConnectedOptions")

    def values(graph):
        each = np.arange(-128, 128).astype(np.int8).reshape(graph.tensors[graph.inputs[0]].shape)
        return {graph.inputs[0]: graph.tensors[graph.inputs[0]].stacked(each[None])}

    case.check(y, values=values)


@pytest.mark.parametrize("seed", range(CASES))
def test_mean_factors_near_ties(seed):
    case = Case(seed)
    count = case.integer(1, 9)
    x = case.input((400, count))
    y = case.output(case.near_ties(case.file.tensors[x].scale[0]))
    case.file.operator("MEAN", [x, case.int32(1)], [y], "ReducerOptions")
    case.check(y)


@pytest.mark.parametrize("seed", range(CASES))
def test_concatenation(seed):
    case = Case(seed)
    shape = list(case.shape(case.integer(1, 4), 4))
    axis = case.integer(0, len(shape) - 1)
    first = case.input(shape)
    tensors = [first]
    for _ in range(case.integer(0, 3)):
        shape[axis] = case.integer(1, 4)
        like = case.file.tensors[first]
        tensors.append(case.input(tuple(shape), like.scale, like.zero_point))
    y = case.like(first)
    case.file.operator(
        "CONCATENATION", tensors, [y], "ConcatenationOptions", Axis=axis - len(shape) * case.integer(0, 1)
    )
    case.check(y)


@pytest.mark.parametrize("seed", range(CASES))
def test_reshape_and_transpose(seed):
    case = Case(seed)
    shape = case.shape(case.integer(2, 5), 4)
    x = case.input(shape)
    y, z, u = case.like(x), case.like(x), case.like(x)
    permutation = [int(axis) for axis in case.rng.permutation(len(shape))]
    case.file.operator("TRANSPOSE", [x, case.int32(*permutation)], [y])
    target = [-1, shape[permutation[0]]] if seed % 2 else [int(np.prod(shape))]
    case.file.operator("RESHAPE", [y, case.int32(*target)], [z], "ReshapeOptions", NewShape=target)
    case.file.operator("EXPAND_DIMS", [z, case.int32(case.integer(-2, 1))], [u])
    case.check(y, z, u)


@pytest.mark.parametrize("seed", range(20))
def test_squeeze_and_pack(seed):
    case = Case(seed)
    shape = tuple(case.rng.choice([1, 1, 2, 3], case.integer(2, 5)).tolist())
    ones = [axis for axis, length in enumerate(shape) if length == 1]
    x = case.input(shape)
    y, z = case.like(x), case.like(x)
    axes = [axis - len(shape) * case.integer(0, 1) for axis in ones[: case.integer(0, len(ones))]]
    case.file.operator("SQUEEZE", [x], [y], "SqueezeOptions", SqueezeDims=axes)
    case.file.operator("PACK", [y, y, y], [z], "PackOptions", ValuesCount=3, Axis=case.integer(-1, 0))
    case.check(y, z)


@pytest.mark.parametrize("seed", range(CASES))
def test_pad(seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 4)
    pairs = case.rng.integers(0, 4, (len(shape), 2)).astype(np.int32)
    x = case.input(shape)
    y = case.like(x)
    if seed % 2:
        case.file.operator("PAD", [x, case.file.constant(pairs)], [y])
    else:
        like = case.file.tensors[x]
        value = case.file.constant(np.array([case.integer(-128, 127)], np.int8), like.scale, like.zero_point)
        case.file.operator("PADV2", [x, case.file.constant(pairs), value], [y])
    case.check(y)


@pytest.mark.parametrize("seed", range(2 * CASES))
def test_strided_slice(seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 7)
    begin, end, stride, shrink = [], [], [], 0
    for axis, length in enumerate(shape):
        a, b = sorted(case.rng.choice(length + 1, 2, replace=False).tolist())
        step = case.integer(1, 3)
        if case.rng.random() < 0.3:
            a, b, step = b - 1, (a - 1 if a else -length - 1), -step
        elif case.rng.random() < 0.3:
            shrink |= 1 << axis
            step, b = 1, a + 1
        elif case.rng.random() < 0.3:
            a, b = a - length, b + case.integer(0, 5)
        begin.append(a)
        end.append(b)
        stride.append(step)
    x = case.input(shape)
    y = case.like(x)
    masks = {"BeginMask": case.integer(0, 15) & ~shrink, "EndMask": case.integer(0, 15) & ~shrink}
    case.file.operator(
        "STRIDED_SLICE", [x, case.int32(*begin), case.int32(*end), case.int32(*stride)], [y],
        "StridedSliceOptions", ShrinkAxisMask=shrink, **masks,
    )  # fmt: skip
    case.check(y)


@pytest.mark.parametrize("seed", range(CASES))
def test_splits(seed):
    case = Case(seed)
    shape = list(case.shape(case.integer(1, 4), 4))
    axis, parts = case.integer(0, len(shape) - 1), case.integer(1, 4)
    shape[axis] = parts * case.integer(1, 3)
    sizes = [shape[axis] // parts] * parts
    if parts > 1 and sizes[0] > 1:
        sizes[0], sizes[1] = sizes[0] - 1, sizes[1] + 1
    x = case.input(tuple(shape))
    outputs = [case.like(x) for _ in range(parts)]
    signed = axis - len(shape) * case.integer(0, 1)
    if seed % 2:
        case.file.operator("SPLIT", [case.int32(signed), x], outputs, "SplitOptions", NumSplits=parts)
    else:
        given = [*sizes[:-1], -1] if seed % 4 else sizes
        inputs = [x, case.int32(*given), case.int32(signed)]
        case.file.operator("SPLIT_V", inputs, outputs, "SplitVOptions", NumSplits=parts)
    case.check(*outputs)


@pytest.mark.parametrize("seed", range(20))
def test_space_to_depth(seed):
    case = Case(seed)
    block = case.integer(1, 4)
    batch, rows, columns, channels = case.shape(4, 3)
    x = case.input((batch, rows * block, columns * block, channels))
    y = case.like(x)
    case.file.operator("SPACE_TO_DEPTH", [x], [y], "SpaceToDepthOptions", BlockSize=block)
    case.check(y)
