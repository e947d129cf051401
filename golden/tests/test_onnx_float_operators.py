# SPDX-License-Identifier: Apache-2.0
"""ONNX's operators between quantised ones against onnxruntime (optimisation disabled), bit by bit.

Every case is a little .onnx file that both read: random values, both ends of a quantised input's range, lengths that
are no multiple of a vector, and the directed cases of each operator.
"""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden import GoldenError
from assay.golden.importers import onnx as importer
from assay.golden.tests.onnx_files import MICROSOFT, OnnxFile, check, onnxruntime
from assay.golden.tests.test_onnx_operators import Case, ints

LENGTHS = [(1, 1), (1, 3), (1, 8), (2, 3, 5), (1, 17), (1, 4, 33)]


def finish(case: Case, y: str, **options) -> None:
    """Quantise a float result, so that the file is a quantised model, and compare."""
    case.requantise(y)
    case.check(**options)


UNARY = [
    ("Abs", {}), ("Ceil", {}), ("Celu", {"alpha": 1.5}), ("Celu", {}), ("Elu", {}), ("Elu", {"alpha": 0.7}),
    ("Erf", {}),
    ("Exp", {}), ("Floor", {}), ("Gelu", {}), ("Gelu", {"approximate": "tanh"}), ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}), ("HardSwish", {}), ("Mish", {}), ("Neg", {}), ("Round", {}),
    ("Selu", {}), ("Sign", {}), ("Softplus", {}), ("Softsign", {}),
]  # fmt: skip


@pytest.mark.parametrize("shape", LENGTHS, ids=str)
@pytest.mark.parametrize("kind, attributes", UNARY, ids=lambda v: str(v))
def test_unary(kind, attributes, shape):
    """Including the last values of a tensor that fill no vector; of Softplus (and Mish) these are the C library's
    log1p, which need not be rounded correctly."""
    if kind in ("Mish", "Softplus"):
        shape = (*shape, 4)
    case = Case(len(shape))
    x = case.file.dequantize(case.file.input(shape, np.int8), 0.05, np.int8(3))
    finish(case, case.file.node(kind, x, **attributes), runs=30)


@pytest.mark.parametrize("kind", [kind for kind, attributes in UNARY if kind != "Sign"])
def test_unary_far_out(kind):
    """Of floats up to 1e38 either way, halves, the smallest normal numbers and 0."""
    near = np.concatenate(
        [np.linspace(-110, 100, 2001), np.arange(-40, 41) / 2, [0.0, 1e-38, -1e-38, 1e38, -1e38]]
    )
    file = OnnxFile()
    y = file.node(kind, file.input((1, near.size)))
    file.quantize(file.node("Clip", y, np.float32(-1e30), np.float32(1e30)), 0.1, np.int8(0))
    check(file, np.random.default_rng(0), x={"x0": near.astype(np.float32)[None]})


@pytest.mark.parametrize("kind", ["Log", "Reciprocal", "Sqrt"])
def test_of_values_above_zero(kind):
    case = Case(1)
    x = case.file.dequantize(case.file.input((1, 257), np.uint8), 0.37, np.uint8(0))
    x = case.file.node("Add", x, np.float32(0.11))
    finish(case, case.file.node(kind, x), runs=20)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 1.0])
@pytest.mark.parametrize("integer", [False, True])
def test_pow(exponent, integer):
    case = Case(2)
    value = np.array(exponent, np.int64 if integer else np.float32)
    finish(case, case.file.node("Pow", case.quantised((1, 50)), value), runs=9)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_last_values_of_softplus_are_within_their_bound(length):
    """Not exact: the C library's log1p, here the exact one rounded, two units of the last place away at most."""
    case = Case(length)
    y = case.file.node("Softplus", case.file.input((1, length)))
    q = case.file.quantize(y, 0.1, np.int8(0))
    data = case.file.bytes(q)
    graph = importer.loads(data)
    inputs = {"x0": case.floats((200, length)) * 5}
    ours, theirs = graph.trace(inputs), onnxruntime(data, graph).trace(inputs)
    np.testing.assert_allclose(ours[y], theirs[y], rtol=2.0**-22)
    assert np.abs(ours[q].astype(int) - theirs[q]).max() <= 1


@pytest.mark.parametrize("kind", ["Sin", "Cos", "Pow"])
def test_what_the_c_library_computes_is_within_its_bound(kind):
    """Not exact: within 2**-20 of 1, and after QuantizeLinear at most a step away."""
    case = Case(3)
    x = case.file.dequantize(case.file.input((1, 200), np.uint8), 0.05, np.uint8(0))
    y = case.file.node(kind, x, np.float32(0.3)) if kind == "Pow" else case.file.node(kind, x)
    q = case.file.quantize(y, 1 / 64, np.int8(0))
    data = case.file.bytes(q)
    graph = importer.loads(data)
    inputs = {"x0": case.values((20, 200), np.uint8)}
    ours, theirs = graph.trace(inputs), onnxruntime(data, graph).trace(inputs)
    assert np.abs(ours[y] - theirs[y]).max() <= 2.0**-20
    assert np.abs(ours[q].astype(int) - theirs[q]).max() <= 1


@pytest.mark.parametrize("kind", ["Div", "Max", "Min", "Sum"])
@pytest.mark.parametrize(
    "shapes", [((1, 3, 4), (1, 3, 4)), ((1, 3, 4), (4,)), ((1,), (1, 7)), ((2, 1, 5), (3, 1))]
)
def test_binary(kind, shapes):
    case = Case(len(shapes[1]))
    a, b = (case.quantised(shape) for shape in shapes)
    b = case.file.node("Add", case.file.node("Abs", b), np.float32(0.25))
    finish(case, case.file.node(kind, a, b), runs=20)


@pytest.mark.parametrize("kind", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons_logic_and_where(kind):
    case = Case(4)
    a, b = (case.quantised((1, 40)) for _ in range(2))
    first = case.file.node(kind, a, b)
    second = case.file.node("Not", case.file.node("Less", a, np.float32(0)))
    both = [case.file.node(k, first, second) for k in ("And", "Or", "Xor")]
    case.requantise(case.file.node("Where", both[0], a, b))
    case.requantise(case.file.node("Where", both[1], np.float32(-np.inf), b))
    number = case.file.node("Cast", both[2], to=1)
    case.requantise(number)
    case.check(runs=20)


@pytest.mark.parametrize("slope", [(1,), (5, 1, 1), (5, 3, 4), (4,)])
def test_prelu(slope):
    case = Case(5)
    finish(case, case.file.node("PRelu", case.quantised((1, 5, 3, 4)), case.floats(slope)), runs=9)


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 13, 21])
@pytest.mark.parametrize(
    "shape", [(1, 3), (1, 5, 12), (1, 2, 16), (1, 47), (1, 48), (1, 100), (2, 3, 7, 65)], ids=str
)
def test_softmax(shape, opset, kind):
    for axis in range(1, len(shape)):
        case = Case(axis + opset, opset=opset)
        x = case.quantised(shape)
        case.file.quantize(case.file.node(kind, x, axis=axis), 1 / 256, np.int8(-128))
        if kind == "Softmax":
            case.check(runs=12)
            continue
        # The logarithm of the sum is the C library's: within two units of the last place.
        (y, q), data = (n.output[0] for n in case.file.nodes[-2:]), case.file.bytes()
        graph = importer.loads(data)
        inputs = {"x0": case.values((9, *(shape[1:] if shape[0] == 1 else shape)), np.int8)}
        ours, theirs = graph.trace(inputs), onnxruntime(data, graph).trace(inputs)
        np.testing.assert_allclose(ours[y], theirs[y], rtol=2.0**-22, atol=2.0**-24)
        assert np.abs(ours[q].astype(int) - theirs[q]).max() <= 1


@pytest.mark.parametrize("length", [1, 3, 7, 8, 9, 12, 13, 15, 16, 31, 64, 100, 768])
@pytest.mark.parametrize("bias", [False, True])
def test_layer_normalization(length, bias):
    case = Case(length, opset=23)
    x = case.quantised((2, 5, length))
    scale = [case.floats(length), case.floats(length)][: 1 + bias]
    case.requantise(case.file.node("LayerNormalization", x, *scale, epsilon=1e-5))
    case.requantise(case.file.node("RMSNormalization", x, scale[0]))
    case.check(runs=5)


@pytest.mark.parametrize(
    "shape", [(1, 3, 7, 5), (2, 4, 8, 8), (1, 5, 3, 1), (1, 3, 17), (1, 2, 1, 1)], ids=str
)
def test_channel_norms(shape):
    case = Case(shape[-1])
    x = case.quantised(shape)
    scale, bias, mean = (case.floats(shape[1]) for _ in range(3))
    case.requantise(case.file.node("InstanceNormalization", x, scale, bias, epsilon=1e-4))
    variance = np.exp(case.floats(shape[1]))
    case.requantise(case.file.node("BatchNormalization", x, scale, bias, mean, variance))
    case.check(runs=5)


SUMS = ["ReduceSum", "ReduceMean", "ReduceL2", "ReduceSumSquare"]


@pytest.mark.parametrize("opset", [13, 20])
@pytest.mark.parametrize("kind", [*SUMS, "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("seed", range(12))
def test_reductions(seed, kind, opset):
    """Over any axes of up to four, in the order in which onnxruntime adds them."""
    case = Case(seed, opset=opset)
    rank = case.integer(1, 4)
    shape = tuple(int(case.rng.choice([1, 2, 3, 5, 16, 33])) for _ in range(rank))
    chosen = sorted(case.rng.choice(rank, case.integer(1, rank), replace=False).tolist())
    axes = [axis - rank if case.rng.random() < 0.3 else axis for axis in chosen]
    keep = case.integer(0, 1)
    x = case.quantised(shape)
    if opset < 18 and kind != "ReduceSum":
        y = case.file.node(kind, x, axes=axes, keepdims=keep)
    else:
        y = case.file.node(kind, x, ints(*axes), keepdims=keep)
    finish(case, y)


def test_reductions_without_axes():
    case = Case(6, opset=20)
    x = case.quantised((1, 3, 5))
    case.requantise(case.file.node("ReduceSum", x))
    case.requantise(case.file.node("ReduceMean", x, None, noop_with_empty_axes=1))
    case.check()


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
def test_arg_extremes(kind, last):
    """Equal values: the first, or the last, one counts."""
    case = Case(7)
    x = case.file.dequantize(case.file.input((1, 4, 9), np.int8), 0.5, np.int8(0))
    y = case.file.node("Clip", x, np.float32(-30), np.float32(30))
    for keep, axis in ((0, 1), (1, -1)):
        case.file.node(kind, y, axis=axis, keepdims=keep, select_last_index=last)
    case.check(*(node.output[0] for node in case.file.nodes[-2:]), runs=9)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize(("axis", "count"), [(-1, 1), (-1, 4), (1, 3), (2, 9), (0, 1)])
def test_top_k(largest, axis, count):
    """Many equal values, of which the first comes first."""
    case = Case(7)
    x = case.file.dequantize(case.file.input((1, 4, 9), np.int8), 0.5, np.int8(0))
    y = case.file.node("Clip", x, np.float32(-3), np.float32(3))
    made = case.file.node("TopK", y, ints(count), outputs=2, axis=axis, largest=largest)
    case.check(*made, runs=9)


# --- Dynamic quantisation -------------------------------------------------------------------------------------------


def test_dynamic_quantize_linear():
    """Ranges on either side of 0, all zeros, ties of the zero point, values far out."""
    rows = np.array([
        [1, 2, 3, 4], [-4, -3, -2, -1], [0, 0, 0, 0], [-1, 1, 0.5, 0.25], [-127.5, 127.5, 0, 1], [-128, 127, 0.5, 1.5],
        [1e30, -1e30, 0, 1], [1e-30, 0, 2e-30, -1e-30], [-0.5, 254.5, 3.5, 2.5],
    ], np.float32)  # fmt: skip
    file = OnnxFile()
    names = file.node("DynamicQuantizeLinear", file.input((1, 4)), outputs=3)
    check(file, np.random.default_rng(0), *names, x={"x0": rows})
    case = Case(8)
    names = case.file.node("DynamicQuantizeLinear", case.file.input((2, 3, 11)), outputs=3)
    case.check(*names, runs=20)


@pytest.mark.parametrize("types", [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)])
@pytest.mark.parametrize("seed", range(8))
def test_matmul_integer(seed, types):
    case = Case(seed, types[0])
    leading = tuple(case.integer(1, 3) for _ in range(seed % 3))
    rows, depth, columns = case.integer(1, 7), case.integer(1, 200), case.integer(2, 40)
    a = case.file.input((*leading, rows, depth), types[0])
    b = case.values((depth, columns), types[1])
    points = [None, None]
    if seed % 2:
        points[0] = case.zero_point(types[0])
    if seed % 4 > 1:
        points[1] = case.values((columns,), types[1]) if seed % 3 else case.zero_point(types[1])
    while points and points[-1] is None:
        points.pop()
    y = case.file.node("MatMulInteger", a, b, *points)
    finish(case, case.file.node("Mul", case.file.node("Cast", y, to=1), np.float32(1e-4)))


@pytest.mark.parametrize("types", [(np.uint8, np.uint8), (np.uint8, np.int8)])
@pytest.mark.parametrize("seed", range(8))
def test_conv_integer(seed, types):
    """The zero point of x is computed by the network."""
    case = Case(seed, types[0])
    groups, depth, per_group = case.integer(1, 3), case.integer(1, 6), case.integer(1, 4)
    kernel = tuple(case.integer(1, 3) for _ in range(1 + (seed % 4 > 0)))
    x = case.file.input((1, groups * depth, *(case.integer(5, 9) for _ in kernel)))
    q, scale, zero = case.file.node("DynamicQuantizeLinear", x, outputs=3)
    weight = case.values((groups * per_group, depth, *kernel), types[1])
    points = [zero, case.zero_point(types[1])] if seed % 3 else [zero]
    y = case.file.node("ConvInteger", q, weight, *points, group=groups, **case.convolution(kernel))
    y = case.file.node("Mul", case.file.node("Cast", y, to=1), scale)
    finish(case, y)


@pytest.mark.parametrize("seed", range(60))
def test_conv_transpose(seed):
    case = Case(seed)
    rank = 1 + (seed % 5 > 0)
    groups, depth, per_group = case.integer(1, 3), case.integer(1, 40 if seed % 2 else 5), case.integer(1, 5)
    kernel = tuple(case.integer(1, 4) for _ in range(rank))
    kernel = tuple(1 for _ in kernel) if seed % 7 == 3 else kernel
    strides, dilations = ([case.integer(1, 3) for _ in kernel] for _ in range(2))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [case.integer(0, extent // 2) for extent in (*extents, *extents)]
    x = case.quantised(
        (case.integer(1, 2), groups * depth, *(case.integer(1 if seed % 4 else 3, 7) for _ in kernel))
    )
    shape = (groups * depth, per_group, *kernel)
    weight = case.floats(shape) if seed % 3 == 0 else case.weights(shape)
    inputs = [x, weight, case.floats(groups * per_group)]
    extra = [case.integer(0, s - 1) for s in strides]
    y = case.file.node(
        "ConvTranspose", *inputs[: 2 + seed % 2], group=groups, strides=strides, dilations=dilations, pads=pads,
        output_padding=extra,
    )  # fmt: skip
    finish(case, y)


# --- Shapes ---------------------------------------------------------------------------------------------------------


def test_shape_arithmetic():
    """What exporters write for x.reshape(x.shape[0], -1, n // 2): every shape is known when the file is loaded."""
    case = Case(9)
    x = case.quantised((1, 6, 10))
    shape = case.file.node("Shape", x)
    first = case.file.node("Gather", shape, np.array(0))
    last = case.file.node("Slice", case.file.node("Shape", x, start=-1), ints(0), ints(1))
    half = case.file.node("Div", last, ints(2))
    whole = case.file.node("Concat", case.file.node("Unsqueeze", first, ints(0)), ints(-1), half, axis=0)
    y = case.file.node("Reshape", x, whole)
    count = case.file.node("Cast", case.file.node("ReduceProd", whole, ints(0), keepdims=0), to=1)
    zeros = case.file.node("ConstantOfShape", shape)
    wide = case.file.node(
        "Expand", case.file.node("Range", np.float32(0), np.float32(2.5), np.float32(0.25)), shape
    )
    square = case.file.node("Where", case.file.node("Equal", shape, ints(-1, 6, 10)), shape, ints(2, 1, 1))
    many = case.file.node("Tile", x, square)
    for name in (y, count, zeros, wide, many, case.file.node("Cast", case.file.node("Size", x), to=1)):
        case.requantise(name)
    case.check()


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    "indices", [np.array(1), ints(0, -1, 1), np.array([[1, 0], [-2, 1]])], ids=["one", "list", "grid"]
)
def test_gather(axis, indices):
    case = Case(10)
    case.requantise(case.file.node("Gather", case.quantised((2, 3, 4)), indices, axis=axis))
    # An embedding: indices that are an input.
    table = case.file.dequantize(case.values((20, 6), np.int8), 0.1, np.int8(1))
    found = case.file.node("Gather", table, case.file.input((1, 5), np.int64))
    case.requantise(found)
    tokens = case.rng.integers(-20, 20, (4, 5))
    case.check(x={"x0": case.values((4, 2, 3, 4), np.int8), "x1": tokens})


def test_gather_of_and_by_inputs_and_out_of_range():
    case = Case(11)
    x = case.quantised((1, 7, 3))
    place = case.file.input((1, 2, 3), np.int64)
    case.requantise(case.file.node("GatherElements", x, place, axis=1))
    case.requantise(case.file.node("Gather", x, place, axis=2))
    inputs = {"x0": case.values((5, 7, 3), np.int8), "x1": case.rng.integers(-3, 3, (5, 2, 3))}
    case.check(x=inputs)
    graph = importer.loads(case.file.bytes())
    inputs["x1"][4, 1, 2] = 7
    with pytest.raises(
        GoldenError, match=r"node 'GatherElements_1' \(GatherElements\): an index is 7, but must be -7"
    ):
        graph.predict(inputs)


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
def test_pad_modes(mode):
    case = Case(12)
    x = case.quantised((1, 2, 5, 4))
    case.requantise(case.file.node("Pad", x, ints(0, 0, 2, 1, 0, 0, 4, 3), mode=mode))
    case.check()


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_and_space(mode):
    case = Case(13)
    y = case.file.node("DepthToSpace", case.quantised((1, 12, 3, 5)), blocksize=2, mode=mode)
    case.requantise(y)
    case.requantise(case.file.node("SpaceToDepth", y, blocksize=2))
    case.requantise(case.file.node("Trilu", y, np.array(1), upper=0))
    case.check()


# Sizes, or scales, of a tensor [1, 2, 5, 7].
RESIZED = [
    ((1, 2, 10, 14), None), ((1, 2, 3, 4), None), (None, (1, 1, 2, 2)), (None, (1, 1, 1.7, 0.6)),
    (None, (1, 1, 1.15, 2)), (None, (1, 1, 1.15, 1)),  # 5 rows stay 5
]  # fmt: skip
PLACES = ["half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_resize_to_the_nearest(rounding, place):
    for seed, (sizes, scales) in enumerate([*RESIZED, ((1, 3, 5, 1), None)]):
        case = Case(seed)
        given = [None, np.array(scales, np.float32)] if scales else [None, None, ints(*sizes)]
        y = case.file.node(
            "Resize", case.quantised((1, 2, 5, 7)), *given, mode="nearest", nearest_mode=rounding,
            coordinate_transformation_mode=place,
        )  # fmt: skip
        finish(case, y)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize("place", ["asymmetric", "half_pixel"])
def test_resize_near_the_middle_of_two_values(place, rounding):
    """Coordinates that a rounded scale moves off the middle: 7 to 4, 7 to 38, 20 to 6."""
    for length, size in ((7, 4), (7, 38), (20, 6), (13, 26)):
        case = Case(length)
        y = case.file.node(
            "Resize", case.quantised((1, 1, 2, length)), None, None, ints(1, 1, 2, size), mode="nearest",
            nearest_mode=rounding, coordinate_transformation_mode=place,
        )  # fmt: skip
        finish(case, y)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int8])
@pytest.mark.parametrize("place", PLACES)
def test_resize_linear(place, dtype):
    for seed, (sizes, scales) in enumerate([*RESIZED, ((1, 2, 5, 1), None)]):
        case = Case(seed)
        x = case.quantised((1, 2, 5, 7)) if dtype is np.float32 else case.file.input((1, 2, 5, 7), dtype)
        given = [None, np.array(scales, np.float32)] if scales else [None, None, ints(*sizes)]
        y = case.file.node("Resize", x, *given, mode="linear", coordinate_transformation_mode=place)
        y = (
            case.file.quantize(y, *case.pair())
            if dtype is np.float32
            else case.file.dequantize(y, 0.1, dtype(3))
        )
        case.check()


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("seed", range(15))
def test_pools_rounded_up(seed, opset, kind):
    """ceil_mode: a last window that the map does not fill."""
    case = Case(seed, opset=opset)
    kernel = tuple(case.integer(1, 4) for _ in range(1 + (seed % 4 > 0)))
    x = case.quantised((1, 3, *(case.integer(5, 11) for _ in kernel)))
    attributes = case.pool(kernel) | {"ceil_mode": 1}
    if kind == "AveragePool":
        attributes["count_include_pad"] = seed % 2
    finish(case, case.file.node(kind, x, **attributes))


def test_global_max_pool_and_dropout():
    case = Case(14)
    x = case.file.node("Dropout", case.quantised((1, 3, 4, 5)))
    finish(case, case.file.node("GlobalMaxPool", x))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_qlinear_where(dtype):
    for seed in range(6):
        case = Case(seed, dtype)
        a, b = case.file.input((1, 64), dtype), case.file.input((64,), dtype)
        condition = case.file.node("Greater", a, b)
        case.file.node(
            "QLinearWhere", condition, a, *case.pair(), b, *case.pair(), *case.pair(), domain=MICROSOFT
        )
        case.check(runs=9)
