# SPDX-License-Identifier: Apache-2.0
"""TFLite's operators on maps and shapes against LiteRT's reference kernels, over random shapes and attributes:
transposed convolution, resizing, reductions to an extreme, and the moves of values."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

from assay.golden import GoldenError
from assay.golden.importers import tflite as importer
from assay.golden.layers.linear import TransposedConvolution
from assay.golden.tests.tflite_cases import CASES, Case, bias, weights


@pytest.mark.parametrize("seed", range(2 * CASES))
def test_transpose_conv(seed):
    case = Case(seed)
    depth, outputs, batch = case.integer(1, 5), case.integer(1, 5), case.integer(1, 2)
    kernel, stride, size = case.shape(2, 5), case.shape(2, 3), case.shape(2, 6)
    x = case.input((batch, *size, depth))
    w, scales = weights(case, (outputs, *kernel, depth), 0)
    same = case.integer(0, 1)
    # All sizes from which a convolution of this stride would come back to the input's.
    wanted = [
        (n - 1) * s + (1 if same else k) + case.integer(0, s - 1)
        for n, s, k in zip(size, stride, kernel, strict=True)
    ]
    inputs = [case.int32(batch, *wanted, outputs), w, x]
    inputs += [[], [-1], [bias(case, x, scales, outputs)]][case.integer(0, 2)]
    y = case.output(case.scale(1e-2, 5))
    case.file.operator(
        "TRANSPOSE_CONV", inputs, [y], "TransposeConvOptions", Padding=0 if same else 1, StrideH=stride[0],
        StrideW=stride[1], FusedActivationFunction=case.activation(),
    )  # fmt: skip
    case.check(y)


def test_transposed_convolution_is_the_transpose():
    """Its matrix is that of a convolution, transposed: every input pixel, kernel place and output pixel in Python."""
    rng = np.random.default_rng(0)
    weight, bias_, x = (rng.integers(-9, 9, shape) for shape in ((2, 3, 2, 2), (2,), (4, 5, 2)))
    seen = TransposedConvolution(weight, bias_, (7, 11), (2, 3), (1, 2), zero_point=3).sums(x)
    expected = np.zeros((7, 11, 2), np.int64) + bias_
    for row, column, fy, fx in np.ndindex(4, 5, 3, 2):
        i, j = row * 2 + fy - 1, column * 3 + fx - 2
        if 0 <= i < 7 and 0 <= j < 11:
            expected[i, j] += weight[:, fy, fx] @ (x[row, column] - 3)
    np.testing.assert_array_equal(seen, expected)


MODES = [(False, False), (True, False), (False, True)]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("RESIZE_BILINEAR", mode) for mode in MODES]
    + [("RESIZE_NEAREST_NEIGHBOR", mode) for mode in [*MODES, (True, True)]],
)
@pytest.mark.parametrize("seed", range(15))
def test_resize(kind, mode, seed):
    case = Case(seed)
    x = case.input((case.integer(1, 2), *case.shape(2, 9), case.integer(1, 3)))
    y = case.like(x)
    size = case.int32(case.integer(1, 20), case.integer(1, 20))
    table = "ResizeBilinearOptions" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    case.file.operator(kind, [x, size], [y], table, AlignCorners=mode[0], HalfPixelCenters=mode[1])
    case.check(y)


@pytest.mark.parametrize("seed", range(CASES))
def test_l2_normalization(seed):
    case = Case(seed)
    shape = (*case.shape(case.integer(0, 2), 4), case.integer(1, 600) if seed % 3 else 1)
    x, y = case.input(shape), case.output(1 / 128, 0)
    case.file.operator("L2_NORMALIZATION", [x], [y], "L2NormOptions")
    case.check(y, runs=30)


@pytest.mark.parametrize("seed", range(CASES))
def test_log_softmax(seed):
    case = Case(seed)
    shape = (*case.shape(case.integer(0, 2), 4), case.integer(1, 60) if seed % 3 else 256)
    x, y = case.input(shape, case.scale(1e-3, 2)), case.output(1 / 16, 127)
    case.file.operator("LOG_SOFTMAX", [x], [y], "LogSoftmaxOptions")
    case.check(y, runs=100)


@pytest.mark.parametrize("seed", range(20))
def test_top_k(seed):
    """Of few different values, so that there are equals."""
    case = Case(seed)
    shape = case.shape(case.integer(1, 3), 12)
    x = case.input(shape)
    y, places = case.like(x), case.file.tensor((), dtype=np.int32)
    count = case.file.constant(np.array(case.integer(1, shape[-1]), np.int32))
    case.file.operator("TOPK_V2", [x, count], [y, places], "TopKV2Options")

    def values(graph):
        few = case.rng.choice(np.array([-128, -127, 0, 126, 127], np.int8), (12, *shape))
        return {graph.inputs[0]: graph.tensors[graph.inputs[0]].stacked(few)}

    case.check(y, places, values=values)


def random_axes(case: Case, rank: int) -> list[int]:
    axes = case.rng.permutation(rank)[: case.integer(1, rank)]
    return [int(axis) - rank * case.integer(0, 1) for axis in axes]


@pytest.mark.parametrize("kind", ["REDUCE_MAX", "REDUCE_MIN"])
@pytest.mark.parametrize("seed", range(20))
def test_reduced_extremes(kind, seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 6)
    x = case.input(shape)
    y = case.like(x)
    axes = case.int32(*random_axes(case, len(shape)))
    case.file.operator(kind, [x, axes], [y], "ReducerOptions", KeepDims=bool(seed % 2))
    case.check(y)


@pytest.mark.parametrize("kind", ["REDUCE_ANY", "REDUCE_ALL"])
@pytest.mark.parametrize("seed", range(8))
def test_reduced_logic(kind, seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 3)
    a, b = case.input(shape), case.input(shape)
    flags, y = (case.file.tensor((), dtype=np.bool_) for _ in range(2))
    axes = case.int32(*random_axes(case, len(shape)))
    case.file.operator("LESS", [a, b], [flags])
    case.file.operator(kind, [flags, axes], [y], "ReducerOptions", KeepDims=bool(seed % 2))
    case.check(flags, y)


@pytest.mark.parametrize("seed", range(16))
def test_cumulative_sum_of_floats(seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 9)
    x = case.input(shape)
    real, y = (case.file.tensor((), dtype=np.float32) for _ in range(2))
    axis = case.int32(case.integer(-len(shape), len(shape) - 1))
    options = {"Exclusive": bool(seed & 1), "Reverse": bool(seed & 2)}
    case.file.operator("DEQUANTIZE", [x], [real])
    case.file.operator("CUMSUM", [real, axis], [y], "CumsumOptions", **options)
    case.check(real, y)


@pytest.mark.parametrize("kind", ["ARG_MAX", "ARG_MIN"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("seed", range(10))
def test_places_of_extremes(kind, dtype, seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 40)
    x, y = case.input(shape), case.file.tensor((), dtype=dtype)
    axis = case.integer(-len(shape), len(shape) - 1)
    number = 0 if dtype is np.int32 else 1
    table = "ArgMaxOptions" if kind == "ARG_MAX" else "ArgMinOptions"
    case.file.operator(kind, [x, case.int32(axis)], [y], table, OutputType=[2, 4][number])
    case.check(y)


@pytest.mark.parametrize("seed", range(20))
def test_unpack(seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 4)
    axis = case.integer(0, len(shape) - 1)
    x = case.input(shape)
    outputs = [case.like(x) for _ in range(shape[axis])]
    signed = axis - len(shape) * case.integer(0, 1)
    case.file.operator("UNPACK", [x], outputs, "UnpackOptions", Num=shape[axis], Axis=signed)
    case.check(*outputs)


@pytest.mark.parametrize("seed", range(20))
def test_slice(seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 6)
    begin = [case.integer(0, n - 1) for n in shape]
    size = [case.integer(1, n - low) for n, low in zip(shape, begin, strict=True)]
    size = [-1 if case.rng.random() < 0.3 else n for n in size]
    x = case.input(shape)
    y = case.like(x)
    case.file.operator("SLICE", [x, case.int32(*begin), case.int32(*size)], [y], "SliceOptions")
    case.check(y)


@pytest.mark.parametrize("seed", range(CASES))
def test_gather(seed):
    """Places from the file, or from an input."""
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 5)
    axis = case.integer(0, len(shape) - 1)
    batches = case.integer(0, axis)
    places = (*shape[:batches], *case.shape(case.integer(0, 2), 4))
    indices = case.rng.integers(0, shape[axis], places).astype(np.int32)
    x = case.input(shape)
    constant = seed % 2
    at = case.file.constant(indices) if constant else case.file.tensor(places, dtype=np.int32)
    y = case.like(x)
    options = {"Axis": axis - len(shape) * case.integer(0, 1), "BatchDims": batches}
    case.file.operator("GATHER", [x, at], [y], "GatherOptions", **options)
    if constant:
        case.check(y)
        return
    case.inputs.append(at)

    def values(graph):
        data, index = (graph.tensors[f"t{i}"] for i in (x, at))
        stacked = case.rng.integers(-128, 128, (6, *shape)).astype(np.int8)
        where = case.rng.integers(0, shape[axis], (6, *places)).astype(np.int32)
        return {data.name: data.stacked(stacked), index.name: index.stacked(where)}

    case.check(y, values=values)


def test_gather_outside_is_refused_when_it_occurs():
    case = Case(0)
    x, at, y = case.input((4, 3)), case.file.tensor((2,), dtype=np.int32), case.output()
    case.file.tensors[y].scale, case.file.tensors[y].zero_point = (
        case.file.tensors[x].scale,
        case.file.tensors[x].zero_point,
    )
    case.file.operator("GATHER", [x, at], [y], "GatherOptions")
    graph = importer.loads(case.file.bytes([x, at], [y]))
    for bad in (-1, 4):
        with pytest.raises(GoldenError, match=rf"\(GATHER\): index is {bad}, but must be 0 to 3"):
            graph.predict({"t0": np.zeros((1, 4, 3), np.int8), "t1": np.array([[0, bad]], np.int32)})


@pytest.mark.parametrize("seed", range(20))
def test_tile_broadcast_and_reverse(seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 4)
    x = case.input(shape)
    tiled, wide, turned = (case.like(x) for _ in range(3))
    case.file.operator("TILE", [x, case.int32(*case.shape(len(shape), 3))], [tiled])
    target = [case.integer(1, 4) if n == 1 else n for n in shape]
    extra = case.shape(case.integer(0, 4 - len(shape)), 3)
    case.file.operator("BROADCAST_TO", [x, case.int32(*extra, *target)], [wide])
    axis = case.integer(0, len(shape) - 1)
    case.file.operator("REVERSE_V2", [x, case.int32(axis)], [turned])
    case.check(tiled, wide, turned)


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("seed", range(20))
def test_mirror_pad(mode, seed):
    case = Case(seed)
    shape = case.shape(case.integer(1, 4), 5)
    pairs = [[case.integer(0, n - 1 + mode), case.integer(0, n - 1 + mode)] for n in shape]
    x = case.input(shape)
    y = case.like(x)
    paddings = case.file.constant(np.array(pairs, np.int32))
    case.file.operator("MIRROR_PAD", [x, paddings], [y], "MirrorPadOptions", Mode=mode)
    case.check(y)


@pytest.mark.parametrize("seed", range(20))
def test_depth_to_space(seed):
    case = Case(seed)
    block = case.integer(1, 3)
    batch, rows, columns, channels = case.shape(4, 3)
    x = case.input((batch, rows, columns, channels * block * block))
    y = case.like(x)
    case.file.operator("DEPTH_TO_SPACE", [x], [y], "DepthToSpaceOptions", BlockSize=block)
    case.check(y)


def test_versions_that_the_reference_resolver_does_not_list():
    """Converters write these for int8; BUILTIN_REF lists the same kernels under version 1 alone."""
    case = Case(0)
    x = case.input((1, 2, 3, 4))
    tiled, deep = case.like(x), case.like(x)
    case.file.versions = {"TILE": 3, "DEPTH_TO_SPACE": 2}
    case.file.operator("TILE", [x, case.int32(1, 2, 1, 1)], [tiled])
    case.file.operator("DEPTH_TO_SPACE", [tiled], [deep], "DepthToSpaceOptions", BlockSize=2)
    case.check(tiled, deep)


@pytest.mark.parametrize("seed", range(CASES))
def test_space_to_batch_and_back(seed):
    case = Case(seed)
    axes = case.integer(1, 2)
    block, blocks = case.shape(axes, 3), case.shape(axes, 3)
    pairs = [[case.integer(0, 2), case.integer(0, 2)] for _ in range(axes)]
    sizes = [n * b - sum(p) for n, b, p in zip(blocks, block, pairs, strict=True)]
    if min(sizes) < 1:
        sizes, pairs = [n * b for n, b in zip(blocks, block, strict=True)], [[0, 0]] * axes
    x = case.input((case.integer(1, 2), *sizes, case.integer(1, 3)))
    batch, back = case.like(x), case.like(x)
    tables = case.int32(*block), case.file.constant(np.array(pairs, np.int32))
    case.file.operator("SPACE_TO_BATCH_ND", [x, *tables], [batch], "SpaceToBatchNDOptions")
    case.file.operator("BATCH_TO_SPACE_ND", [batch, *tables], [back], "BatchToSpaceNDOptions")
    case.check(batch, back)


def test_sizes_computed_by_integers_in_the_file():
    """SHAPE, then arithmetic on int32, become constants: the size of an upsampling, say."""
    case = Case(2)
    x = case.input((1, 3, 4, 2))
    shape, size, doubled = (case.file.tensor((), dtype=np.int32) for _ in range(3))
    y = case.like(x)
    case.file.operator("SHAPE", [x], [shape], "ShapeOptions", OutType=2)
    case.file.operator("SLICE", [shape, case.int32(1), case.int32(2)], [size], "SliceOptions")
    case.file.operator("MUL", [size, case.int32(2)], [doubled], "MulOptions")
    case.file.operator("RESIZE_NEAREST_NEIGHBOR", [x, doubled], [y], "ResizeNearestNeighborOptions")
    case.check(y)
    graph = importer.loads(case.file.bytes(case.inputs, [y]))
    assert [node.kind for node in graph.nodes] == ["RESIZE_NEAREST_NEIGHBOR"]
