# SPDX-License-Identifier: Apache-2.0
"""Layers mapped to tiles, played by the functional model and put back, against the golden layers' own results."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

from assay import golden
from assay.golden import DoesNotFitError, NothingComputedError, UnsupportedOperatorError
from assay.golden.graph import Graph, Node, Tensor
from assay.golden.layers import fixed_point, tflite, tflite_reductions, tflite_tables
from assay.golden.layers.linear import Convolution, Window
from assay.golden.pe_array.functional import outputs
from assay.golden.pe_array.mapping import LayerTiles, map_convolution, map_operator
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.plan import ArrayPlan, Engine
from assay.golden.schemes.fixed_point import WeightScale
from assay.golden.schemes.tflite import Affine, FloatRescale, Rescale
from assay.golden.tests.litert import network, random_inputs

ARRAYS = {
    "2x4": PeArrayParameters(rows=2, columns=4, vectors=1, lanes=1),
    "3x5": PeArrayParameters(rows=3, columns=5, vectors=2, lanes=2),
    "4x6": PeArrayParameters(rows=4, columns=6, vectors=4, lanes=4),
    "1x12": PeArrayParameters(rows=1, columns=12, vectors=2, lanes=3),
    "7x96": PeArrayParameters(rows=7, columns=96),
    "8x24": PeArrayParameters(),
    "5x13x16": PeArrayParameters(rows=5, columns=13, data_width=16, vectors=4, lanes=4),
}
RNG = np.random.default_rng


class Draw:
    """Random layers of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = RNG(seed)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def int8(self, *shape: int) -> np.ndarray:
        """Random, at times only the ends of the range."""
        if self.rng.random() < 0.1:
            return self.rng.choice(np.array([-128, 127], np.int8), shape)
        return self.rng.integers(-128, 128, shape).astype(np.int8)

    def affine(self, low: float = 1e-3, high: float = 0.5) -> Affine:
        scale = np.exp(self.rng.uniform(np.log(low), np.log(high)))
        zero_point = self.rng.choice([-128, 127, 0, self.integer(-128, 127)])
        return Affine(np.array([scale]), np.array([zero_point]), None, np.dtype(np.int8))

    def activation(self) -> str:
        return str(self.rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))

    def window(self, kernel: tuple[int, int], size: tuple[int, int], dilation: int = 1) -> Window:
        """Any stride, padding below the kernel; the map is padded until the kernel fits."""
        span = [(k - 1) * dilation + 1 for k in kernel]
        before = [self.integer(0, n - 1) for n in span]
        after = [max(self.integer(0, n - 1), n - m - b) for n, m, b in zip(span, size, before, strict=True)]
        after = [min(a, n - 1) for a, n in zip(after, span, strict=True)]
        stride = self.integer(1, 4), self.integer(1, 4)
        return Window(kernel, stride, (dilation, dilation), (*before, *after))

    def convolution(self, widest: int, groups: str) -> tuple[tflite.Conv2D, np.ndarray]:
        most = self.rng.choice([3, 5, 11])
        kernel = self.integer(1, most), self.integer(1, min(most, widest))
        dilation = self.integer(1, 2) if max(kernel) <= 6 and 2 * kernel[1] - 1 <= widest else 1
        size = (self.integer(kernel[0] * dilation, 14), self.integer(kernel[1] * dilation, 14))
        window = self.window(kernel, size, dilation)
        if groups == "depthwise":
            count, each, multiplier = self.integer(2, 20), 1, self.integer(1, 3)
        elif groups == "grouped":
            count, each, multiplier = self.integer(2, 4), self.integer(2, 4), self.integer(1, 7)
        else:
            count, each, multiplier = 1, self.integer(1, 12), self.integer(1, 40)
        weight = self.rng.integers(-127, 128, (count * multiplier, *kernel, each))
        bias = self.rng.integers(-(1 << 14), 1 << 14, len(weight))
        source, target = self.affine(), self.affine(1e-2, 1)
        scale = np.exp(self.rng.uniform(-9, -4, len(weight))) if self.integer(0, 2) else np.array([0.003])
        factors = tflite.convolution_factors(
            source, Affine(scale, np.zeros(len(scale)), 0, np.dtype(np.int8)), target
        )
        operator = tflite.Conv2D(
            Convolution(weight, bias, window, int(source.zero_point[0]), count),
            Rescale.of(factors),
            target,
            self.activation(),
        )
        return operator, self.int8(self.integer(1, 2), self.integer(1, 2), *size, count * each)


def check(operator, inputs, parameters: PeArrayParameters) -> LayerTiles:
    expected = operator(*inputs)
    mapped = map_operator("layer", operator, inputs, expected.shape[1:], expected.dtype, parameters)
    seen = mapped.run(partial(outputs, parameters=parameters))
    assert seen.dtype == expected.dtype
    np.testing.assert_array_equal(seen, expected)
    return mapped


@pytest.mark.parametrize("groups", ["standard", "grouped", "depthwise"])
@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("seed", range(8))
def test_convolutions(array, groups, seed):
    operator, x = Draw(1000 * list(ARRAYS).index(array) + seed).convolution(ARRAYS[array].columns, groups)
    check(operator, [x], ARRAYS[array])


@pytest.mark.parametrize("kernel", [(k, k) for k in range(1, 12)] + [(11, 1), (1, 11), (2, 7), (7, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 3), (4, 4), (1, 4), (3, 2)])
def test_every_kernel_and_stride(kernel, stride):
    draw = Draw(kernel[0] + 13 * kernel[1] + 7 * stride[0])
    padding = tuple(k // 2 for k in kernel)
    window = Window(kernel, stride, padding=(*padding, *padding))
    x = draw.int8(1, 15, 13, 2)
    weight = draw.int8(5, *kernel, 2)
    for name in ("8x24", "1x12"):
        mapped = map_convolution("c", x, weight, window, ARRAYS[name], header=SUMS, dtype=np.int8)
        seen = mapped.run(partial(outputs, parameters=ARRAYS[name]))
        sums = Convolution(weight.astype(np.int64), np.zeros(5), window).sums(x)
        np.testing.assert_array_equal(seen, np.clip(sums, SUMS["low"], SUMS["high"]).astype(np.int8))


# The sums themselves, saturated to 17 bits, of which the low 8 come out.
SUMS = {"mode.input_signed": 1, "mode.weight_signed": 1, "low": -(1 << 16), "high": (1 << 16) - 1}


@pytest.mark.parametrize("width", [4, 8, 16])
def test_unsigned_words_of_every_width(width):
    rng = RNG(width)
    parameters = PeArrayParameters(rows=3, columns=7, data_width=width, vectors=2, lanes=2)
    x, weight = rng.integers(0, 1 << width, (1, 5, 6, 3)), rng.integers(0, 1 << width, (4, 3, 2, 3))
    window = Window((3, 2), padding=(1, 1, 1, 0))
    header = {
        **SUMS,
        "mode.input_signed": 0,
        "mode.weight_signed": 0,
        "input_zero": 3,
        "low": -(1 << width - 1),
    }
    header["high"] = (1 << width - 1) - 1
    dtype = np.int8 if width <= 8 else np.int16
    mapped = map_convolution("c", x, weight, window, parameters, header=header, weight_zero=5, dtype=dtype)
    seen = mapped.run(partial(outputs, parameters=parameters))
    sums = Convolution(weight - 5, np.zeros(4), window, 3, magnitude=1 << width).sums(x)
    sums = sums.astype(np.int32)  # accumulators wrap
    expected = np.clip(sums, header["low"], header["high"]) & (1 << width) - 1
    np.testing.assert_array_equal(seen.astype(np.int64) & (1 << width) - 1, expected)


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("seed", range(6))
def test_fully_connected(array, seed):
    draw = Draw(seed)
    inputs, units = draw.integer(1, 90), draw.integer(1, 30)
    source, target = draw.affine(), draw.affine(1e-2, 1)
    low = draw.integer(-128, 100)
    weight = draw.rng.integers(low - 100, 128, (units, 1, 1, inputs)).clip(low - 100, low + 120)
    factor = np.exp(draw.rng.uniform(-9, -4, units if seed % 2 else 1))
    convolution = Convolution(
        weight, draw.rng.integers(-5000, 5000, units), Window((1, 1)), int(source.zero_point[0])
    )
    layer = tflite.Conv2D(convolution, FloatRescale(factor), target, draw.activation())
    batch, runs = draw.integer(1, 9), draw.integer(1, 3)
    check(tflite.FullyConnected(layer, (batch, units)), [draw.int8(runs, batch, inputs)], ARRAYS[array])


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize(
    "shapes", [((2, 4), (4, 3)), ((3, 2, 9), (9, 5)), ((2, 9), (3, 9, 5)), ((2, 1, 3, 4), (5, 4, 2))]
)
def test_matrix_product(array, shapes):
    draw = Draw(len(shapes[0]))
    a, b = (draw.int8(2, *shape) for shape in shapes)
    adjoint = bool(draw.integer(0, 1)), bool(draw.integer(0, 1))
    a, b = (x.swapaxes(-1, -2) if turned else x for x, turned in zip((a, b), adjoint, strict=True))
    operator = tflite.BatchMatMul((draw.affine(), draw.affine()), draw.affine(0.1, 2), adjoint)
    check(operator, [a, b], ARRAYS[array])


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("kind", [tflite.Add, tflite.Multiply, "SUB", tflite.Prelu])
@pytest.mark.parametrize("seed", range(4))
def test_pairs(array, kind, seed):
    draw = Draw(seed)
    shape = (draw.integer(1, 5), draw.integer(1, 4), draw.integer(1, 30))
    other = [(*shape,), (1, 1, shape[2]), (shape[2],), ()][seed]
    sources, target = (draw.affine(), draw.affine()), draw.affine(1e-2, 1)
    if kind is tflite.Prelu:
        operator = kind(*sources, target)
    else:
        subtract = {"subtract": True} if kind == "SUB" else {}
        operator = (tflite.Add if kind == "SUB" else kind)(sources, target, draw.activation(), **subtract)
    check(operator, [draw.int8(2, *shape), draw.int8(draw.integer(1, 2), *other)], ARRAYS[array])


def test_a_pair_of_fewer_values_than_rows_in_one_pixel_vector():
    draw = Draw(0)
    operator = tflite.Add((draw.affine(), draw.affine()), draw.affine(1e-2, 1), "NONE")
    check(
        operator, [draw.int8(1, 2), draw.int8(1, 2)], PeArrayParameters(rows=5, columns=3, vectors=1, lanes=3)
    )


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("kind", [tflite_reductions.MaxPool2D, tflite_reductions.AveragePool2D])
@pytest.mark.parametrize("seed", range(10))
def test_pools(array, kind, seed):
    draw = Draw(seed)
    kernel = [(2, 2), (3, 3), (7, 7), (5, 2), (25, 5), (8, 8), (16, 16), (13, 2), (1, 6), (6, 11)][seed]
    size = tuple(draw.integer(k, k + 6) if seed % 4 else k for k in kernel)
    window = draw.window(kernel, size)
    if seed % 3 == 0:
        window = Window(kernel, (draw.integer(1, 9),) * 2)
    x = draw.int8(2, 1, *size, draw.integer(1, 20))
    operator = kind(window, draw.affine(), draw.activation())
    try:
        check(operator, [x], ARRAYS[array])
    except DoesNotFitError as error:
        assert "divisor" in str(error) and kernel == (16, 16)


SOFTMAX = tflite_reductions.Softmax(
    *(Affine(np.array([s]), np.array([-128]), None, np.dtype(np.int8)) for s in (0.1, 1 / 256)), 1.0
)


@pytest.mark.parametrize("array", [name for name, array in ARRAYS.items() if array.data_width == 8])
@pytest.mark.parametrize("length", [1, 2, 10, 12, 13, 1009, 1024])
def test_softmax(array, length):
    draw = Draw(length)
    operator = tflite_reductions.Softmax(draw.affine(), SOFTMAX.target, draw.rng.uniform(0.1, 3))
    x = draw.int8(2, draw.integer(1, 9), length)
    x[0, 0] = x[0, 0, 0]
    assert len(check(operator, [x], ARRAYS[array]).tiles) == 1


def test_more_vectors_than_a_header_counts():
    x = np.random.default_rng(0).integers(-128, 128, (1, 65_540, 2)).astype(np.int8)
    assert len(check(SOFTMAX, [x], ARRAYS["8x24"]).tiles) == 2


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("seed", range(6))
def test_reductions(array, seed):
    draw = Draw(seed)
    shape = tuple(draw.integer(1, 9) for _ in range(draw.integer(1, 4)))
    axes = tuple(sorted(draw.rng.permutation(len(shape))[: draw.integer(1, len(shape))].tolist()))
    left = tuple(n for axis, n in enumerate(shape) if axis not in axes)
    count = int(np.prod(shape) // np.prod(left))
    source, target = draw.affine(), draw.affine()
    check(
        tflite_reductions.Reduce(axes, left, count, source, target, bool(seed % 2)),
        [draw.int8(3, *shape)],
        ARRAYS[array],
    )


@pytest.mark.parametrize("array", [name for name, array in ARRAYS.items() if array.data_width == 8])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_tables(array, dtype):
    rng = RNG(3)
    lookup = tflite_tables.Lookup(rng.permutation(256).astype(np.uint8).view(np.int8))
    check(lookup, [rng.integers(0, 256, (2, 5, 77)).astype(np.uint8).view(dtype)], ARRAYS[array])


@pytest.mark.parametrize("array", [name for name, array in ARRAYS.items() if array.data_width == 8])
@pytest.mark.parametrize("seed", range(4))
def test_fixed_point_layers(array, seed):
    """The operators of the ACCESS guide: rational factors, channels first."""
    draw, parameters = Draw(seed), ARRAYS[array]
    channels, outputs_ = draw.integer(1, 6), draw.integer(1, 20)
    x = draw.int8(1, 2, channels, draw.integer(5, 9), draw.integer(5, 9))
    window = draw.window((3, 3), x.shape[3:])
    scales = tuple(WeightScale(-draw.integer(5, 9), draw.integer(1, 255)) for _ in range(outputs_))
    weight, bias = draw.int8(outputs_, 3, 3, channels), draw.rng.integers(-30000, 30000, outputs_)
    check(fixed_point.Conv(Convolution(weight, bias, window), scales, -5, -4), [x], parameters)
    dense = fixed_point.Conv(Convolution(weight[:, :1, :1], bias, Window((1, 1))), scales, -5, -4)
    check(fixed_point.Gemm(dense), [draw.int8(2, 3, channels)], parameters)
    check(fixed_point.MatMul((-4, -5), 1, 7), [draw.int8(1, 3, 7), draw.int8(1, 7, 4)], parameters)
    check(fixed_point.add((-4, -6), -3), [x, x[:, :, ::-1].copy()], parameters)
    check(fixed_point.PRelu(draw.rng.uniform(-2, 2, (channels, 1, 1)).astype(np.float32)), [x], parameters)
    check(fixed_point.LeakyRelu(0.1), [x], parameters)
    check(fixed_point.Relu(), [x], parameters)
    check(fixed_point.Stepwise("HardSwish", -5, -5), [x], parameters)
    check(fixed_point.MaxPool(window), [x], parameters)
    for include in (False, True):
        check(fixed_point.AveragePool(window, -4, -5, include), [x], parameters)
        check(fixed_point.AveragePool(Window(x.shape[3:]), -4, -5, include), [x], parameters)
    check(fixed_point.ReduceSum((1, 2), True, -4, -1), [x], parameters)


def convolution(kernel, stride=(1, 1), channels=1, size=(20, 20), padding=(0, 0, 0, 0)):
    affine = Affine(np.array([0.5]), np.array([0]), None, np.dtype(np.int8))
    weight = np.ones((2, *kernel, channels), np.int64)
    inner = Convolution(weight, np.zeros(2, np.int64), Window(kernel, stride, padding=padding))
    return tflite.Conv2D(inner, Rescale.of(0.5), affine), np.zeros((1, 1, *size, channels), np.int8)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (convolution((13, 3)), "number of kernel rows is 13, but the PE array takes 11"),
        (convolution((3, 13)), "number of kernel columns is 13, but the PE array takes 11"),
        (convolution((3, 3), (5, 1)), "stride over rows is 5, but the PE array takes 4"),
        (convolution((3, 3), (1, 5)), "stride over columns is 5, but the PE array takes 4"),
        (
            convolution((3, 3), channels=700),
            "channels x kernel rows x stride.* is 2100, but the PE array takes 2048",
        ),
        (convolution((1, 1), channels=2049), "is 2049, but the PE array takes 2048"),
        (convolution((3, 3), padding=(3, 0, 0, 0)), "padding before the rows is 3, but the PE array takes 2"),
    ],
)
def test_what_is_refused(layer, message):
    operator, x = layer
    with pytest.raises(DoesNotFitError, match=f"layer big: .*{message}"):
        map_operator("big", operator, [x], operator(x).shape[1:], np.int8, PeArrayParameters())


def test_refusals_of_the_array():
    operator, x = convolution((3, 3))
    with pytest.raises(DoesNotFitError, match="number of kernel columns is 3, but the PE array takes 2"):
        map_operator(
            "c", operator, [x], (1, 18, 18, 2), np.int8, PeArrayParameters(columns=2, vectors=1, lanes=1)
        )
    with pytest.raises(DoesNotFitError, match="values have 8 bits, but the array's operands have 4"):
        map_operator("c", operator, [x], (1, 18, 18, 2), np.int8, PeArrayParameters(data_width=4))
    operator, x = convolution((1, 1), channels=600)
    with pytest.raises(DoesNotFitError, match=r"beats of a map column \(channels x 1\) is 600, .* takes 512"):
        map_operator("c", operator, [x], (1, 20, 20, 2), np.int8, PeArrayParameters(pixel_depth=512))
    softmax = tflite_reductions.LogSoftmax(Affine(np.array([0.1]), np.array([0]), None, np.dtype(np.int8)))
    with pytest.raises(
        UnsupportedOperatorError, match="layer s: the PE array has no operator LogSoftmax; it has Add"
    ):
        map_operator("s", softmax, [np.zeros((1, 3), np.int8)], (3,), np.int8, PeArrayParameters())
    softmax, x = SOFTMAX, np.zeros((1, 1025), np.int8)
    with pytest.raises(
        DoesNotFitError, match=r"number of elements of a softmax is 1025, .* takes 1024 at most"
    ):
        map_operator("s", softmax, [x], (1025,), np.int8, PeArrayParameters())
    with pytest.raises(DoesNotFitError, match=r"a softmax has words of 8 bits, .* have 16"):
        map_operator("s", softmax, [x[:, :9]], (9,), np.int8, PeArrayParameters(data_width=16))


def test_all_that_is_wrong_with_a_layer_is_named_at_once_with_what_would_be_enough():
    operator, x = convolution((13, 16), (5, 1), channels=700, padding=(13, 0, 0, 0), size=(30, 30))
    small = PeArrayParameters(rows=2, columns=12, weight_depth=1024, pixel_depth=2048)
    with pytest.raises(DoesNotFitError) as refused:
        map_operator("big", operator, [x], operator(x).shape[1:], np.int8, small)
    problems = str(refused.value).removeprefix("layer big: ").split("; ")
    assert problems == [
        "number of kernel rows is 13, but the PE array takes 11 at most",
        "stride over rows is 5, but the PE array takes 4 at most",
        "padding before the rows is 13, but the PE array takes 12 at most",
        "number of kernel columns is 16, but the PE array takes 11 at most",
        "number of weights of a column (channels x kernel rows x stride) is 9100, but the PE array takes 1024 at most "
        "(WeightDepth=16384 would be enough)",
        "number of beats of a map column (channels x 9) is 6300, but the PE array takes 2048 at most "
        "(PixelDepth=8192 would be enough)",
    ]
    # Values too wide come on top.
    with pytest.raises(
        DoesNotFitError, match=r"values have 16 bits, .* \(DataWidth=16 .*; number of kernel rows"
    ):
        map_operator("big", operator, [x.astype(np.int16)], operator(x).shape[1:], np.int16, small)


@pytest.mark.parametrize("seed", range(12))
def test_the_parameters_that_are_named_are_enough_and_no_smaller_ones(seed):
    draw = Draw(seed)
    kernel = (draw.integer(1, 7), draw.integer(1, 7))
    operator, x = convolution(kernel, channels=draw.integer(60, 900), size=(9, 9))
    shape = operator(x).shape[1:]
    tiny = PeArrayParameters(columns=2, vectors=1, lanes=1, weight_depth=64, pixel_depth=64)
    with pytest.raises(DoesNotFitError) as refused:
        map_operator("c", operator, [x], shape, np.int8, tiny)
    needed = dict(word.split("=") for word in re.findall(r"\w+=\d+", str(refused.value)))
    enough = PeArrayParameters.of_rtl({**tiny.rtl, **{name: int(value) for name, value in needed.items()}})
    assert map_operator("c", operator, [x], shape, np.int8, enough).places
    for name, value in needed.items():
        less = int(value) - 1 if name == "Columns" else int(value) // 2
        if less >= enough.rtl["Lanes"]:
            with pytest.raises(DoesNotFitError, match=f"{name}={value} would be enough"):
                map_operator(
                    "c", operator, [x], shape, np.int8, PeArrayParameters.of_rtl({**enough.rtl, name: less})
                )


def test_one_layer_that_does_not_fit_goes_to_the_host_and_strict_rejects_it():
    (fits, x), (large, _) = convolution((3, 3)), convolution((13, 1), channels=2)
    tensors = {name: Tensor(name, (1, 20, 20, 2), np.dtype(np.int8), None) for name in "x"}
    y, z = fits(x), large(fits(x))
    tensors |= {n: Tensor(n, a.shape[1:], np.dtype(np.int8), None) for n, a in (("y", y), ("z", z))}
    nodes = (Node("a", "CONV_2D", fits, ("x",), ("y",)), Node("b", "CONV_2D", large, ("y",), ("z",)))
    graph = Graph("g", tensors, ("x",), ("z",), nodes)
    plan = ArrayPlan(graph, PeArrayParameters())
    assert [node.name for node in plan.layers] == ["a"]
    assert plan.host == {"b": "number of kernel rows is 13, but the PE array takes 11 at most"}
    with pytest.raises(
        DoesNotFitError, match=r"cannot do 1 of its layers: b \(CONV_2D\): number of kernel rows"
    ):
        ArrayPlan(graph, PeArrayParameters(), strict=True)
    with pytest.raises(
        UnsupportedOperatorError, match=r"no layer 'b' on the array \(number of kernel .*\), but a"
    ):
        plan.node("b")
    plan.demand_layers()
    alone = ArrayPlan(Graph("h", tensors, ("y",), ("z",), nodes[1:]), PeArrayParameters())
    with pytest.raises(
        NothingComputedError, match=r"none of its layers, .* verified: b \(CONV_2D\): number of kern"
    ):
        alone.demand_layers()


@pytest.mark.parametrize(("length", "width"), [(1025, 8), (9, 16)])
def test_the_host_keeps_a_softmax_that_does_not_fit(length, width):
    shape = (1, length)
    tensors = {name: Tensor(name, shape, np.dtype(np.int8), None) for name in "xy"}
    graph = Graph("g", tensors, ("x",), ("y",), (Node("s", "SOFTMAX", SOFTMAX, ("x",), ("y",)),))
    assert not ArrayPlan(graph, PeArrayParameters(data_width=width)).layers


NETWORKS = [
    "mlperf_tiny_resnet8_int8.tflite",
    "mlperf_tiny_kws_dscnn_int8.tflite",
    "mlperf_tiny_vww_mobilenetv1_int8.tflite",
    "mlperf_tiny_ad_autoencoder_int8.tflite",
]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_of_a_network(name):
    graph = golden.load(network(name))
    parameters = ARRAYS["8x24"]
    plan = ArrayPlan(graph, parameters)
    assert all(plan.engine(node) is not Engine.HOST for node in graph.nodes)
    # The last of five: both ends and the zero point make the first ones dull.
    x = {tensor: values[4:] for tensor, values in random_inputs(graph, 5, RNG(1)).items()}
    comparison = plan.network(lambda node, layer: layer.run(partial(outputs, parameters=parameters))).compare(
        x, graph
    )
    assert comparison.exact, f"{comparison.first_differing}"
    assert len(comparison.tensors) == len(graph.nodes) + 1
