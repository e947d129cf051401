# SPDX-License-Identifier: Apache-2.0
"""Single ONNX operators against onnxruntime (optimisation disabled), over random shapes, attributes, quantisations.

Every case is a little .onnx file that both read, compared tensor by tensor, bit by bit. Zero points are at both ends of
the range often; integer inputs hold both ends. Where all 256 inputs, or all pairs, fit, all are tried.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from assay.golden.importers import onnx as importer
from assay.golden.schemes import onnx as scheme
from assay.golden.schemes.onnx import Affine
from assay.golden.tests.onnx_files import MICROSOFT, OnnxFile, check, onnxruntime

CASES = 25
EIGHT_BITS = [np.uint8, np.int8]


class Case:
    """Draws what a case needs from its own random numbers."""

    def __init__(self, seed: int, dtype: type = np.int8, opset: int = 21) -> None:
        self.rng = np.random.default_rng(seed)
        self.file = OnnxFile(opset)
        self.dtype = dtype

    def scale(self, low: float = 1e-3, high: float = 0.5) -> np.ndarray:
        return np.array(np.exp(self.rng.uniform(np.log(low), np.log(high))), np.float32)

    def zero_point(self, dtype: type | None = None) -> np.ndarray:
        info = np.iinfo(dtype or self.dtype)
        ends = [info.min, info.max, 0, self.rng.integers(info.min, info.max, endpoint=True)]
        return np.array(self.rng.choice(ends), dtype or self.dtype)

    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        return self.scale(), self.zero_point()

    def integer(self, low: int, high: int) -> int:
        """low to high, both included."""
        return int(self.rng.integers(low, high, endpoint=True))

    def values(self, shape, dtype: type) -> np.ndarray:
        info = np.iinfo(dtype)
        return self.rng.integers(info.min, info.max, shape, endpoint=True).astype(dtype)

    def floats(self, shape) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def quantised(self, shape) -> str:
        """An input of `dtype` and its float32 values: the front of a QDQ graph."""
        return self.file.dequantize(self.file.input(shape, self.dtype), *self.pair())

    def weights(self, shape, axis: int = 0) -> str:
        """int8 weights behind DequantizeLinear, per tensor or per axis."""
        count = shape[axis] if self.rng.random() < 0.6 else 1
        scale = np.exp(self.rng.uniform(-7, -3, count)).astype(np.float32)
        zero = np.zeros(count, np.int8)
        scale, zero = (scale, zero) if count > 1 else (scale[0], zero[0])
        return self.file.dequantize(self.values(shape, np.int8), scale, zero, axis=axis)

    def requantise(self, y: str, low: float = 1e-2, high: float = 2) -> None:
        self.file.quantize(y, self.scale(low, high), self.zero_point())

    def convolution(self, kernel: tuple[int, ...]) -> dict:
        attributes = {
            "strides": [self.integer(1, 2) for _ in kernel],
            "dilations": [self.integer(1, 2) for _ in kernel],
        }
        if self.rng.random() < 0.5:
            attributes["auto_pad"] = str(self.rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
            if attributes["auto_pad"].startswith("SAME"):
                attributes["dilations"] = [1 for _ in kernel]
        else:
            attributes["pads"] = [self.integer(0, k) for k in (*kernel, *kernel)]
        return attributes

    def pool(self, kernel: tuple[int, ...]) -> dict:
        pads = [self.integer(0, k - 1) for k in (*kernel, *kernel)]
        return {"kernel_shape": list(kernel), "strides": [self.integer(1, 3) for _ in kernel], "pads": pads}

    def check(self, *outputs: str, **options) -> None:
        check(self.file, self.rng, *outputs, **options)


def ends(dtype: type) -> list[int]:
    info = np.iinfo(dtype)
    return [int(info.min), 0, 1, int(info.max)]


# --- QuantizeLinear and DequantizeLinear ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_quantize_ties_ends_and_zero_points(dtype):
    """Every half step over the range and beyond it, for zero points at both ends, odd and even."""
    info = np.iinfo(dtype)
    halves = np.arange(-300, 301) / 2
    steps = np.concatenate([halves, halves + info.min, halves + info.max, [1e30, -1e30, 3e38, 0.0]])
    for zero_point in ends(dtype):
        for scale in (1.0, 0.5, 0.25, 2.0, 1e-3, 3e-39 if dtype is np.uint8 else 0.1):
            with np.errstate(over="ignore"):
                x = (steps * scale).astype(np.float32)
            x = x[np.isfinite(x)]
            file = OnnxFile()
            q = file.quantize(file.input([1, len(x)]), scale, np.array(zero_point, dtype))
            file.dequantize(q, scale, np.array(zero_point, dtype))
            check(file, np.random.default_rng(0), x={"x0": x[None]})


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_quantize_per_axis(dtype, axis):
    case = Case(axis % 7, dtype)
    shape = (2, 3, 5)
    count = shape[axis]
    scale = np.array([case.scale() for _ in range(count)], np.float32)
    zero = np.array([case.zero_point() for _ in range(count)], dtype)
    q = case.file.quantize(case.file.input(shape), scale, zero, axis=axis)
    case.file.dequantize(q, scale, zero, axis=axis)
    case.check(runs=6)


@pytest.mark.parametrize("bits", ["INT4", "UINT4"])
def test_four_bits(bits):
    """Weights of 4 bits, and activations that pass through 4 bits."""
    from onnx import TensorProto, helper

    kind = getattr(TensorProto, bits)
    low, high = (-8, 7) if bits == "INT4" else (0, 15)
    rng = np.random.default_rng(1)
    for zero in (low, high, 3):
        file = OnnxFile()
        x = file.input([1, 9])
        values = rng.integers(low, high, 27, endpoint=True)
        weight = file.dequantize(
            helper.make_tensor("w", kind, [9, 3], values), 0.11, helper.make_tensor("z", kind, [], [zero])
        )
        q = file.quantize(x, 0.3, helper.make_tensor("z", kind, [], [zero]))
        y = file.node("MatMul", file.dequantize(q, 0.3, helper.make_tensor("z", kind, [], [zero])), weight)
        data = file.bytes(y)
        graph = importer.loads(data)
        inputs = {"x0": np.concatenate([np.arange(-9, 9) * 0.75, rng.standard_normal(72)]).reshape(10, 9)}
        inputs["x0"] = inputs["x0"].astype(np.float32)
        theirs = onnxruntime(data, graph).trace(inputs)
        assert graph.compare(inputs, theirs).exact
        assert set(graph.trace(inputs)) - set(theirs) == {q}
        assert graph.trace(inputs)[q].min() == low
        assert graph.trace(inputs)[q].max() == high


def test_dequantize_int32_bias():
    """Beyond 24 bits int32 rounds to float32 before it is multiplied."""
    values = np.array([2**24 + 1, -(2**24) - 1, 2**31 - 1, -(2**31), 7, 0, 2**25 + 2, 2**25 + 6], np.int32)
    file = OnnxFile()
    bias = file.dequantize(values, 0.1, None)
    file.node("Add", file.dequantize(file.input([1, 8], np.int8), 0.1, np.int8(0)), bias)
    check(file, np.random.default_rng(0))


# --- QDQ: float operators -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("seed", range(CASES))
def test_conv(seed, dtype):
    case = Case(seed, dtype)
    groups, depth, per_group = case.integer(1, 3), case.integer(1, 20), case.integer(1, 5)
    kernel = (case.integer(1, 3), case.integer(1, 3))
    x = case.quantised((case.integer(1, 2), groups * depth, case.integer(5, 12), case.integer(5, 12)))
    inputs = [x, case.weights((groups * per_group, depth, *kernel))]
    if case.rng.random() < 0.7:
        bias = case.rng.integers(-5000, 5000, groups * per_group).astype(np.int32)
        inputs.append(case.file.dequantize(bias, 1e-4, None))
    y = case.file.node("Conv", *inputs, group=groups, **case.convolution(kernel))
    case.requantise(case.file.node("Relu", y) if seed % 2 else y)
    case.check()


@pytest.mark.parametrize("seed", range(CASES))
def test_depthwise_conv(seed):
    case = Case(seed, np.uint8)
    channels, multiplier = case.integer(2, 9), case.integer(1, 2)
    kernel = (case.integer(1, 5), case.integer(1, 5))
    x = case.quantised((1, channels, case.integer(5, 11), case.integer(5, 11)))
    w = case.weights((channels * multiplier, 1, *kernel))
    attributes = case.convolution(kernel)
    attributes["dilations"] = [1, 1]
    case.requantise(case.file.node("Conv", x, w, group=channels, **attributes))
    case.check()


@pytest.mark.parametrize(
    "shape, weights, group",
    [
        ((1, 64, 8, 8), (64, 64, 3, 3), 1),  # K of 576 and 36 columns: blocks of 256
        ((1, 128, 3, 3), (64, 128, 3, 3), 1),  # one column: eight partial sums
        ((1, 130, 4, 4), (3, 130, 4, 4), 1),  # one column, fewer filters
        ((1, 300, 9, 9), (32, 300, 1, 1), 1),  # pointwise
        ((1, 70, 20, 20), (1, 70, 3, 3), 1),  # one filter
        ((1, 5, 6, 4), (5, 1, 3, 4), 5),  # as wide as the map
        ((1, 5, 6, 4), (10, 1, 3, 4), 5),
        ((1, 5, 6, 1), (10, 1, 6, 1), 5),
        ((1, 5, 6, 1), (5, 1, 3, 1), 5),
        ((1, 4, 6, 7), (8, 1, 6, 7), 4),  # the whole map
        ((1, 4, 6, 7), (4, 1, 6, 7), 4),
        ((1, 4, 6, 7), (4, 1, 6, 1), 4),
        ((2, 3, 40, 40), (8, 3, 3, 3), 1),  # K of 27: short blocks
        ((1, 6, 40), (8, 3, 5), 2),  # one spatial axis
        ((1, 6, 40), (6, 1, 5), 6),
    ],
)
def test_conv_kernels(shape, weights, group):
    """Shapes for which MLAS chooses each of its ways to sum."""
    case = Case(sum(shape))
    y = case.file.node("Conv", case.quantised(shape), case.weights(weights), group=group)
    case.requantise(y)
    case.check(runs=3)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("seed", range(CASES))
def test_matmul(seed, constant):
    """B behind DequantizeLinear is multiplied unpacked; B in the file is packed."""
    case = Case(seed)
    rows, columns = (case.integer(1, 1 + 8 * (seed % 3)) for _ in range(2))
    depth = case.integer(1, 600 if seed % 2 else 60)
    leading = tuple(case.integer(1, 3) for _ in range(seed % 3))
    batched = bool(leading) and seed % 4 == 1
    shape = ((*leading[:-1], 1) if batched else ()) + (depth, columns)
    b = case.floats(shape) if constant else case.weights(shape, len(shape) - 1)
    case.requantise(case.file.node("MatMul", case.quantised((*leading, rows, depth)), b))
    case.check(runs=3)


@pytest.mark.parametrize(
    "kind, shape", [("MatMul", (300, 5)), ("Gemm", (300, 5)), ("ConvTranspose", (40, 3, 2, 2))]
)
def test_weights_under_another_name(kind, shape):
    """onnxruntime packs a matrix stored in the file, or in a Constant node, but not what Identity makes of it."""
    for how in ("Constant", "Identity"):
        case = Case(3)
        values = case.floats(shape)
        weight = case.file.node("Identity", values)
        if how == "Constant":
            weight = case.file.node("Constant", value=numpy_helper.from_array(values))
        x = case.quantised((1, 40, 1, 1) if len(shape) == 4 else (5, 300))
        case.requantise(case.file.node(kind, x, weight))
        case.check(runs=3)


@pytest.mark.parametrize("seed", range(CASES))
def test_matmul_of_two_activations(seed):
    case = Case(seed, np.uint8)
    rows, depth, columns = case.integer(1, 9), case.integer(1, 300), case.integer(1, 9)
    a = case.quantised((1, 2, rows, depth))
    b = case.quantised((1, 2, depth, columns) if seed % 2 else (depth, columns))
    case.requantise(case.file.node("MatMul", a, b))
    case.check()


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("seed", range(CASES))
def test_gemm(seed, constant):
    case = Case(seed)
    rows, columns = case.integer(1, 1 + 5 * (seed % 2)), case.integer(1, 12)
    depth, transposed = case.integer(1, 600), case.integer(0, 1)
    shape = (columns, depth) if transposed else (depth, columns)
    b = case.floats(shape) if constant else case.weights(shape, 1 - transposed)
    inputs = [case.quantised((rows, depth)), b]
    if seed % 5:
        shape = [(columns,), (1, columns), (rows, columns), (1,)][seed % 4]
        inputs.append(case.file.dequantize(case.rng.integers(-999, 999, shape).astype(np.int32), 0.01, None))
    case.requantise(case.file.node("Gemm", *inputs, transB=transposed))
    case.check(runs=3)


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    "shapes", [((1, 3, 4), (1, 3, 4)), ((1, 3, 4), (4,)), ((1, 3, 4), (1, 3, 1)), ((1,), (1, 7))]
)
def test_binary(kind, shapes):
    case = Case(len(shapes[1]))
    case.requantise(case.file.node(kind, *(case.quantised(shape) for shape in shapes)))
    case.check(runs=20)


@pytest.mark.parametrize("kind, attributes", [
    ("Relu", {}), ("LeakyRelu", {"alpha": 0.1}), ("LeakyRelu", {}), ("Sigmoid", {}), ("Tanh", {}), ("Abs", {}),
    ("Ceil", {}), ("Floor", {}), ("Neg", {}), ("Reciprocal", {}), ("Round", {}), ("Sqrt", {}),
])  # fmt: skip
@pytest.mark.parametrize("length", [1, 3, 8, 100])
def test_unary(kind, attributes, length):
    case = Case(length)
    x = case.file.input([1, length])
    y = case.file.node(kind, x, **attributes)
    case.requantise(y, 1e-3, 0.1)
    case.check(runs=400 // length)


@pytest.mark.parametrize("slope", [(), (1,), (6, 1, 1), (1, 6, 4, 5)])
def test_prelu(slope):
    case = Case(len(slope))
    case.file.node("PRelu", case.quantised((1, 6, 4, 5)), case.floats(slope))
    check(case.file, case.rng)


@pytest.mark.parametrize("opset", [9, 13, 15, 21])
@pytest.mark.parametrize("shape", [(1, 7), (2, 6, 9), (1, 17, 5, 3)])
def test_batch_normalization(shape, opset):
    case = Case(opset, opset=opset)
    channels = shape[1]
    # Before opset 10 there is no QuantizeLinear, but Quant needs no opset.
    x = case.quantised(shape) if opset > 9 else case.file.quant(case.file.input(shape), 6, case.scale())
    numbers = [case.floats(channels) for _ in range(3)]
    variance = case.rng.uniform(1e-3, 4, channels).astype(np.float32)
    case.file.node("BatchNormalization", x, *numbers, variance, epsilon=float(case.scale()) * 1e-3)
    check(case.file, case.rng)


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("kind", ["ReduceSum", "ReduceMean", "ReduceMax"])
@pytest.mark.parametrize("shape, axes", [
    ((1, 24, 8, 8), [2, 3]), ((5, 7), [1]), ((3, 13), [-1]), ((9, 100), [1]), ((4, 257), [1]), ((2, 3), [1]),
    ((8, 24), [0]), ((64, 9), [0]), ((3, 8, 24), [1]), ((2, 64, 9), [1]), ((1, 31, 17), [1]), ((2, 40, 1), [1]),
    ((40, 1), [0]), ((1, 40, 1), [1]), ((5, 1, 30), [0, 2]), ((1, 1, 40, 3), [2]), ((4, 30, 1, 30, 3), [1, 3]),
    ((3, 4, 5), [0, 2]), ((2, 3, 37), [0, 2]), ((2, 6, 4, 7), [1, 3]), ((2, 6, 4, 7), [0, 2, 3]),
    ((2, 3, 4, 5, 6), [1, 3]), ((3, 4, 5), [0, 1, 2]), ((3, 1, 5), [1]), ((1, 1), [0]), ((3, 4, 5), None),
])  # fmt: skip
def test_reductions(shape, axes, kind, opset):
    """Each way of summing: rows at any place in memory, columns, both, neither."""
    case = Case(len(shape) + opset, opset=opset)
    x = case.quantised(shape)
    for keep in (0, 1):
        if axes is None:
            case.file.node(kind, x, keepdims=keep)
        elif opset >= 18 or (kind == "ReduceSum" and opset >= 13):
            case.file.node(kind, x, np.array(axes, np.int64), keepdims=keep)
        else:
            case.file.node(kind, x, axes=axes, keepdims=keep)
    check(case.file, case.rng)


@pytest.mark.parametrize("placing", ["half_pixel", "asymmetric"])
@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("size", [(8, 10), (12, 15), (7, 11), (3, 2), (4, 9), (9, 5)])
def test_resize_to_the_nearest(size, nearest, placing):
    case = Case(size[0], opset=13)
    x = case.quantised((1, 2, 4, 5))
    attributes = {"mode": "nearest", "nearest_mode": nearest, "coordinate_transformation_mode": placing}
    case.file.node("Resize", x, None, None, np.array([1, 2, *size], np.int64), **attributes)
    scales = np.array([1, 1, size[0] / 4, size[1] / 5], np.float32)
    case.file.node("Resize", x, None, scales, **attributes)
    check(case.file, case.rng)


def test_shapes_put_together_by_nodes():
    """As exporters write x.view(x.shape[0], -1)."""
    case = Case(0, opset=13)
    x = case.quantised((2, 3, 4))
    batch = case.file.node("Gather", case.file.node("Shape", x), np.array(0), axis=0)
    rows = case.file.node("Unsqueeze", batch, np.array([0]))
    shape = case.file.node("Concat", rows, np.array([-1]), axis=0)
    y = case.file.node("Reshape", x, shape)
    case.file.node("Gather", y, np.array([[3, -1], [0, 3]]), axis=1)
    check(case.file, case.rng)


@pytest.mark.parametrize("source", [np.int8, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("target", [1, 2, 3, 6, 7, 11])
def test_cast(source, target):
    case = Case(0)
    x = case.file.input((1, 3, 50), source)
    y = case.file.node("Cast", x, to=target)
    if target == 11:
        case.file.node("Cast", y, to=1)
    case.quantised((1, 3))
    check(case.file, case.rng)


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh"])
def test_each_value_of_sigmoid_and_tanh(kind, dtype):
    values = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)[None]
    for seed in range(10):
        case = Case(seed, dtype)
        q = case.file.input([1, 256], dtype)
        y = case.file.node(kind, case.file.dequantize(q, *case.pair()))
        case.file.quantize(y, 1 / 256, np.array(np.iinfo(dtype).min, dtype))
        case.check(x={"x0": values})


def test_clip_and_relu_of_integers():
    for bounds in ((-1, 3), (None, 6), (0, None)):
        case = Case(3)
        x = case.quantised((1, 50))
        y = case.file.node("Clip", x, *(None if b is None else np.float32(b) for b in bounds))
        case.requantise(y)
        case.check()
    case = Case(4)
    x = case.file.input([1, 50], np.int8)
    relu = case.file.node("Relu", x)
    case.file.dequantize(case.file.node("Clip", relu, np.int8(3), np.int8(90)), 0.5, np.int8(2))
    case.check()


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int8])
@pytest.mark.parametrize("seed", range(10))
def test_max_pool(seed, dtype):
    case = Case(seed, dtype if dtype is not np.float32 else np.int8)
    rank = 1 + seed % 2
    kernel = tuple(case.integer(1, 4) for _ in range(rank))
    shape = (1, 3, *(case.integer(5, 11) for _ in range(rank)))
    x = case.quantised(shape) if dtype is np.float32 else case.file.input(shape, dtype)
    y = case.file.node("MaxPool", x, **case.pool(kernel))
    if dtype is np.float32:
        case.requantise(y)
    else:
        case.file.dequantize(y, *case.pair())
    case.check()


@pytest.mark.parametrize("opset", [13, 17, 21])
@pytest.mark.parametrize("seed", range(15))
def test_average_pool(seed, opset):
    """Before opset 19 onnxruntime sums windows in another order, and maps of their own size in a third."""
    case = Case(seed, np.uint8, opset)
    rank = 1 if seed == 5 else 2
    kernel = tuple(case.integer(1, 4) for _ in range(rank))
    x = case.quantised((1, 3, *(case.integer(5, 11) for _ in range(rank))))
    case.requantise(case.file.node("AveragePool", x, count_include_pad=seed % 2, **case.pool(kernel)))
    case.check()


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (3, 3), (4, 4), (7, 7), (8, 8), (20, 17)])
def test_global_average_pool(size, opset):
    case = Case(size[0], np.uint8, opset)
    x = case.quantised((1, 5, *size))
    case.requantise(case.file.node("GlobalAveragePool", x), 1e-3, 0.1)
    case.requantise(case.file.node("AveragePool", x, kernel_shape=size))
    case.check()


# --- Shapes ---------------------------------------------------------------------------------------------------------


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    "kind, inputs, attributes, outputs",
    [
        ("Flatten", [], {}, 1),
        ("Flatten", [], {"axis": 2}, 1),
        ("Flatten", [], {"axis": -1}, 1),
        ("Flatten", [], {"axis": 0}, 1),
        ("Reshape", [ints(0, -1)], {}, 1),
        ("Reshape", [ints(3, 4, 10)], {}, 1),
        ("Transpose", [], {}, 1),
        ("Transpose", [], {"perm": [0, 2, 3, 1]}, 1),
        ("Squeeze", [], {}, 1),
        ("Squeeze", [ints(0)], {}, 1),
        ("Unsqueeze", [ints(0, -1, 2)], {}, 1),
        ("Pad", [ints(0, 1, 0, 2, 0, 0, 3, 1)], {}, 1),
        ("Pad", [ints(1, 2, 0, 3), "fill", ints(3, -2)], {}, 1),
        ("Slice", [ints(1, -1), ints(4, -100), ints(2, 3), ints(1, -2)], {}, 1),
        ("Slice", [ints(1), ints(2**62), ints(1)], {}, 1),
        ("Split", [], {"axis": 1, "num_outputs": 2}, 2),
        ("Split", [ints(1, 2)], {"axis": 1}, 2),
        ("Split", [], {"axis": 2, "num_outputs": 3}, 3),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
def test_shaping(kind, inputs, attributes, outputs, dtype):
    case = Case(1)
    x = case.quantised((1, 3, 5, 8)) if dtype is np.float32 else case.file.input((1, 3, 5, 8), dtype)
    fill = np.array(-7, dtype)
    y = case.file.node(
        kind, x, *(fill if isinstance(i, str) else i for i in inputs), outputs=outputs, **attributes
    )
    for name in [y] if outputs == 1 else y:
        if dtype is np.float32:
            case.requantise(name)
        else:
            case.file.dequantize(name, 0.1, np.int8(1))
    case.check(runs=3)


def test_concat_and_constants():
    case = Case(2)
    parts = [case.quantised((1, n, 4)) for n in (1, 3)]
    scale = case.file.node("Constant", value_float=0.25)
    zero = case.file.node("Identity", np.int8(4))
    case.file.quantize(case.file.node("Concat", *parts, axis=-2), 0.1, np.int8(0))
    case.file.node("QuantizeLinear", parts[0], scale, zero)
    case.check()


# --- QOperator ------------------------------------------------------------------------------------------------------

TYPES = [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)]


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("seed", range(CASES))
def test_qlinear_conv(seed, types):
    case = Case(seed, types[0])
    groups, depth, per_group = case.integer(1, 3), case.integer(1, 9), case.integer(1, 5)
    rank = 1 + (seed % 6 > 0)
    kernel = tuple(case.integer(1, 3) for _ in range(rank))
    count = groups * per_group
    x = case.file.input((case.integer(1, 2), groups * depth, *(case.integer(5, 9) for _ in kernel)), types[0])
    several = case.rng.random() < 0.6 and count > 1
    scale = np.exp(case.rng.uniform(-7, -3, count)).astype(np.float32)
    zero = np.full(count, case.zero_point(types[1]) if types[1] is np.uint8 else 0, types[1])
    scale, zero = (scale, zero) if several else (scale[0], zero[0])
    inputs = [x, *case.pair(), case.values((count, depth, *kernel), types[1]), scale, zero]
    inputs += [case.scale(1e-2, 2), case.zero_point()]
    if seed % 3:
        inputs.append(case.rng.integers(-9000, 9000, count).astype(np.int32))
    case.file.node("QLinearConv", *inputs, group=groups, **case.convolution(kernel))
    case.check()


@pytest.mark.parametrize("types", TYPES)
def test_qlinear_conv_rounds_ties_to_even_and_large_sums_to_float32(types):
    """Factor 1/2 on every input, for zero points odd and even; and sums of more than 24 bits."""
    low = np.iinfo(types[0]).min
    for zero in ends(types[0]):
        file = OnnxFile()
        one = np.ones((1, 1, 1, 1), types[1])
        x = file.input((1, 1, 16, 16), types[0])
        file.node(
            "QLinearConv",
            x,
            np.float32(1),
            types[0](0),
            one,
            np.float32(1),
            types[1](0),
            np.float32(2),
            types[0](zero),
        )
        values = np.arange(low, low + 256).astype(types[0]).reshape(1, 1, 16, 16)
        check(file, np.random.default_rng(0), x={"x0": values})
    case = Case(5, types[0])
    weight = np.full((3, 500, 1, 1), np.iinfo(types[1]).max, types[1])
    bias = np.array([2**26 + 1, 2**26 + 3, -(2**27) - 5], np.int32)
    case.file.node(
        "QLinearConv", case.file.input((1, 500, 3, 3), types[0]), np.float32(0.01), types[0](0), weight,
        np.float32(0.01), types[1](0), np.float32(97), case.zero_point(), bias,
    )  # fmt: skip
    case.check(runs=8)


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("seed", range(CASES))
def test_qlinear_matmul(seed, types):
    case = Case(seed, types[0])
    leading = tuple(case.integer(1, 3) for _ in range(seed % 3))
    rows, depth, columns = case.integer(1, 7), case.integer(1, 200), case.integer(2, 40)
    scale, zero = case.scale(1e-4, 1e-2), case.zero_point(types[1])
    if seed % 2:
        scale, zero = np.exp(case.rng.uniform(-8, -4, columns)).astype(np.float32), np.full(columns, zero)
    case.file.node(
        "QLinearMatMul", case.file.input((*leading, rows, depth), types[0]), *case.pair(),
        case.values((depth, columns), types[1]), scale, zero, case.scale(1e-2, 1), case.zero_point(),
    )  # fmt: skip
    case.check()


@pytest.mark.parametrize("types", TYPES)
@pytest.mark.parametrize("seed", range(CASES))
def test_qgemm(seed, types):
    case = Case(seed, types[0])
    rows, depth, columns = case.integer(1, 7), case.integer(1, 200), case.integer(2, 40)
    turned = [case.integer(0, 1) for _ in range(2)]
    scale, zero = case.scale(1e-4, 1e-2), case.zero_point(types[1])
    if seed % 2:
        scale, zero = np.exp(case.rng.uniform(-8, -4, columns)).astype(np.float32), np.full(columns, zero)
    c = case.rng.integers(-9000, 9000, [(columns,), (1, columns), (rows, columns)][seed % 3]).astype(np.int32)
    inputs = [
        case.file.input((depth, rows) if turned[0] else (rows, depth), types[0]), *case.pair(),
        case.values((columns, depth) if turned[1] else (depth, columns), types[1]), scale, zero,
        c if seed % 4 else None,
    ]  # fmt: skip
    if seed % 5:
        inputs += [case.scale(1e-2, 1), case.zero_point()]
    alpha = 1.0 if seed % 3 else 0.3
    case.file.node("QGemm", *inputs, domain=MICROSOFT, alpha=alpha, transA=turned[0], transB=turned[1])
    case.check()


def every_pair(dtype: type) -> dict[str, np.ndarray]:
    values = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)
    return {"x0": np.repeat(values, 256)[None], "x1": np.tile(values, 256)[None]}


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("kind", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("seed", range(40))
def test_every_pair_of_qlinear_add_and_mul(seed, kind, dtype):
    """All 65,536 pairs; every other case has scales in simple ratios, whose sums hit ties and near ties."""
    case = Case(seed, dtype)
    a, b, c = (case.scale() for _ in range(3))
    if seed % 2:
        a, b = (np.array(case.integer(1, 64) * c / case.integer(1, 64), np.float32) for _ in range(2))
    x, y = case.file.input((1, 65536), dtype), case.file.input((1, 65536), dtype)
    case.file.node(
        kind, x, a, case.zero_point(), y, b, case.zero_point(), c, case.zero_point(), domain=MICROSOFT
    )
    case.check(x=every_pair(dtype))


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("kind", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("shapes", [
    ((1, 3, 5), (1, 3, 5)), ((1, 3, 5), (5,)), ((1, 3, 1), (1, 3, 5)), ((1, 256), (1, 1)), ((1, 1), (1, 256)),
    ((1, 37), (1, 37)), ((2, 1, 5), (1, 3, 1)),
])  # fmt: skip
def test_qlinear_add_and_mul_broadcast(shapes, kind, dtype):
    for seed in range(8):
        case = Case(seed, dtype)
        x, y = (case.file.input(shape, dtype) for shape in shapes)
        case.file.node(kind, x, *case.pair(), y, *case.pair(), *case.pair(), domain=MICROSOFT)
        case.check(runs=6)


@pytest.mark.parametrize(
    "shapes",
    [
        ((1, 1), (1, 256)),
        ((1, 3, 1), (1, 3, 256)),
        ((1, 1, 1), (1, 256, 1)),
        ((1, 256), (1, 1)),
        ((1, 1), (1, 1)),
    ],
)
def test_qlinear_add_exchanges_a_repeated_first_operand(shapes):
    """At values where the two orders of addition differ."""
    values, found = np.arange(256).astype(np.uint8), 0
    for seed in range(120):
        case = Case(seed, np.uint8)
        c = case.scale()
        a, b = (np.array(case.integer(1, 64) * c / case.integer(1, 64), np.float32) for _ in range(2))
        numbers = [(a, case.zero_point()), (b, case.zero_point()), (c, case.zero_point())]
        affines = [Affine(s.reshape(1), z.reshape(1), None, np.uint8) for s, z in numbers]
        one = scheme.add(values[:, None], values, affines[:2], affines[2])
        other = scheme.add(values, values[:, None], affines[1::-1], affines[2])
        for first, second in np.argwhere(one != other)[:2]:
            x, y = (
                case.file.input(shape, np.uint8, f"x{seed}_{found}_{i}") for i, shape in enumerate(shapes)
            )
            case.file.node("QLinearAdd", x, *numbers[0], y, *numbers[1], *numbers[2], domain=MICROSOFT)
            inputs = {x: np.full(shapes[0], first, np.uint8), y: np.full(shapes[1], second, np.uint8)}
            case.check(x=inputs)
            case, found = Case(seed, np.uint8), found + 1
    assert found > 20


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("seed", range(20))
def test_each_value_of_qlinear_tables(seed, dtype):
    case = Case(seed, dtype)
    x = case.file.input((1, 256), dtype)
    leaky = case.file.node(
        "QLinearLeakyRelu", x, *case.pair(), *case.pair(), domain=MICROSOFT, alpha=case.rng.random()
    )
    sigmoid = case.file.node(
        "QLinearSigmoid", x, *case.pair(), np.float32(1 / 256), case.zero_point(), domain=MICROSOFT
    )
    both = case.file.node(
        "QLinearConcat", *case.pair(), leaky, *case.pair(), sigmoid, *case.pair(), x, *case.pair(), domain=MICROSOFT,
        axis=1,
    )  # fmt: skip
    values = np.arange(np.iinfo(dtype).min, np.iinfo(dtype).max + 1).astype(dtype)[None]
    case.check(leaky, sigmoid, both, x={"x0": values})


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("seed", range(CASES))
def test_qlinear_pools(seed, dtype):
    case = Case(seed, dtype)
    rank = 1 if seed % 5 == 4 else 2
    kernel = tuple(case.integer(1, 4) for _ in range(rank))
    x = case.file.input((1, 3, *(case.integer(5, 11) for _ in kernel)), dtype)
    means = case.file.node(
        "QLinearAveragePool", x, *case.pair(), *case.pair(), domain=MICROSOFT, count_include_pad=seed % 2,
        **case.pool(kernel),
    )  # fmt: skip
    whole = case.file.node(
        "QLinearGlobalAveragePool", x, *case.pair(), *case.pair(), domain=MICROSOFT, channels_last=0
    )
    case.check(means, whole)


@pytest.mark.parametrize("dtype", EIGHT_BITS)
@pytest.mark.parametrize("opset", [12, 13])
@pytest.mark.parametrize("seed", range(10))
def test_qlinear_softmax(seed, opset, dtype):
    case = Case(seed, dtype)
    axis = case.integer(1, 2) if opset == 13 else 2
    x = case.file.input((1, 7, case.integer(2, 20)), dtype)
    low = np.iinfo(dtype).min
    case.file.node(
        "QLinearSoftmax", x, *case.pair(), np.float32(1 / 256), np.array(low, dtype), domain=MICROSOFT, axis=axis,
        opset=opset,
    )  # fmt: skip
    case.check(runs=40)


# --- Processors without VNNI -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["QLinearConv", "QLinearMatMul", "QGemm", "MatMulInteger", "ConvInteger"])
@pytest.mark.parametrize("computed", [False, True])
def test_products_that_saturate_somewhere_are_exact(kind, computed, monkeypatch):
    """onnxruntime gives the exact sums of the largest products everywhere, of weights that are stored or not."""
    from assay.golden.runtimes import onnxruntime as runtime

    monkeypatch.setattr(runtime, "products_saturate", lambda: True)
    file = OnnxFile()
    is_map = "Conv" in kind
    shape = (1, 64, 3, 3) if is_map else (4, 64)
    x = file.input(shape, np.uint8)
    weight = np.full((16, 64, 1, 1) if is_map else (64, 16), 127, np.int8)
    weight[..., ::3] = -128
    w = file.node("Identity", weight) if computed else weight
    pair, many = (np.float32(1), np.int8(-3)), (np.float32(9000), np.uint8(2))
    match kind:
        case "MatMulInteger" | "ConvInteger":
            file.node(kind, x, w)
        case "QGemm":
            file.node(kind, x, np.float32(1), np.uint8(1), w, *pair, "", *many, domain=MICROSOFT)
        case _:
            file.node(kind, x, np.float32(1), np.uint8(1), w, *pair, *many)
    values = np.full(shape if is_map else (1, *shape), 255, np.uint8)
    check(file, np.random.default_rng(0), x={"x0": values})
