# SPDX-License-Identifier: Apache-2.0
"""The output stage: against its definition in Python's integers, and against the operators it has to reproduce."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from assay.golden.errors import ConfigurationError, DoesNotFitError
from assay.golden.layers import fixed_point, tflite, tflite_reductions, tflite_tables
from assay.golden.layers.linear import Convolution, Window
from assay.golden.pe_array import lanes as stage
from assay.golden.pe_array.registers import ENTRY, HEADER, LaneOp, Rescaling
from assay.golden.schemes.fixed_point import WeightScale
from assay.golden.schemes.tflite import Affine, FloatRescale, Rescale

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1


# --- The definition of docs/pe_array.md, value by value ---------------------------------------------------------------


def wrap(x: int, bits: int) -> int:
    return (x + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def half_away(value: Fraction) -> int:
    whole = math.floor(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def double_rounding(x: int, multiplier: int, shift: int) -> int:
    x = wrap(x << max(shift, 0), 32)
    return half_away(
        Fraction(math.floor(Fraction(x * (multiplier % (1 << 31)) + (1 << 30), 1 << 31)), 1 << max(-shift, 0))
    )


def float64(x: int, multiplier: int, shift: int) -> int:
    # Python's conversion of an integer to a float rounds to nearest, ties to even.
    return half_away(Fraction(float(x * multiplier)) / (1 << max(shift, 0)))


def rescaled(x, rescaling, multiplier, shift, divisor):
    if rescaling == Rescaling.FLOAT64:
        y = float64(x, multiplier, shift)
    elif rescaling == Rescaling.RATIONAL:
        y = half_away(x * Fraction(2) ** shift / max(divisor, 1))
    else:
        y = double_rounding(x, multiplier, shift)
    return min(max(y, INT32_MIN), INT32_MAX)


def word(a, b, header, entry, count, table, width) -> int:
    h = dict.fromkeys(stage_fields(HEADER), 0) | header
    e = dict.fromkeys(stage_fields(ENTRY), 0) | entry
    b = wrap(b - h["second_zero"], width + 2)
    rescaling, shift = h["mode.rescaling"], e["factor.shift"]
    multiplier = e["factor.multiplier_high"] << 32 | e["multiplier"]
    divisor = count if h["mode.count_divide"] else multiplier & 255
    if h["mode.lane_op"] == LaneOp.ADD:
        first, second = (
            double_rounding(
                wrap(x << h["operand.left_shift"], 32), h[f"{n}_multiplier"], h[f"operand.{n}_shift"]
            )
            for n, x in (("first", a), ("second", b))
        )
        x = wrap(first - second if h["mode.subtract"] else first + second, 32)
    elif h["mode.lane_op"] == LaneOp.MULTIPLY:
        x = wrap(a * b, 32)
    else:
        x = wrap(a + e["bias"], 32)
        if h["mode.lane_op"] == LaneOp.PRELU and x < 0:
            x = wrap(x * e["source.alpha"], 32)
            rescaling, multiplier, shift = 0, h["second_multiplier"], h["operand.second_shift"]
    z = min(max(rescaled(x, rescaling, multiplier, shift, divisor) + h["output_zero"], h["low"]), h["high"])
    z %= 1 << width
    return int(table[z]) % (1 << width) if h["mode.table"] else z


def stage_fields(words):
    return [w.name if f.name == "value" else f"{w.name}.{f.name}" for w in words for f in w.fields]


def random_field(rng, low, high):
    """A value of a field: its ends and small numbers often."""
    return int(
        rng.choice([low, high, min(max(int(rng.integers(-3, 4)), low), high), rng.integers(low, high + 1)])
    )


def random_fields(rng, words):
    return {
        (w.name if f.name == "value" else f"{w.name}.{f.name}"): random_field(
            rng,
            -(1 << (f.width - 1)) if f.signed else 0,
            (1 << (f.width - f.signed)) - 1,
        )
        for w in words
        for f in w.fields
    }


@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize("operation", LaneOp)
@pytest.mark.parametrize("rescaling", Rescaling)
def test_lanes_are_their_definition(width, operation, rescaling):
    rng = np.random.default_rng([width, operation, rescaling])
    for _ in range(60):
        header = random_fields(rng, HEADER)
        header |= {"mode.lane_op": operation, "mode.rescaling": rescaling}
        header["mode.table"] &= width < 16
        if rng.random() < 0.5:
            header |= {"low": -(1 << 16), "high": (1 << 16) - 1}
        entries = [random_fields(rng, ENTRY) for _ in range(4)]
        for entry in entries[:2]:
            entry["factor.shift"] = int(rng.integers(-10, 70))
        a = rng.integers(INT32_MIN, INT32_MAX + 1, (3, 4)) >> rng.integers(0, 32, (3, 4))
        b = rng.integers(INT32_MIN, INT32_MAX + 1, (3, 4)) >> rng.integers(0, 32, (3, 4))
        counts = rng.integers(0, 122, (3, 4))
        table = rng.integers(-(1 << (width - 1)), 1 << width, 1 << min(width, 8))
        gathered = {name: np.array([entry[name] for entry in entries]) for name in entries[0]}
        seen = stage.lanes(a, b, header, gathered, counts, table, width)
        expected = [
            [
                word(*values, header, entry, count, table, width)
                for *values, entry, count in zip(*row, entries, row_counts, strict=True)
            ]
            for *row, row_counts in zip(a.tolist(), b.tolist(), counts.tolist(), strict=True)
        ]
        assert seen.tolist() == expected


# --- Operators of TFLite ---------------------------------------------------------------------------------------------


def affine(rng, dtype=np.int8, low=1e-3, high=0.5) -> Affine:
    info = np.iinfo(dtype)
    zero = rng.choice([info.min, info.max, 0, rng.integers(info.min, info.max + 1)])
    scale = np.float32(np.exp(rng.uniform(np.log(low), np.log(high))))
    return Affine(np.array([scale]), np.array([zero]), None, np.dtype(dtype))


def every_value(dtype=np.int8) -> np.ndarray:
    return np.arange(256, dtype=np.uint8).view(dtype)


def produced(a, constants, b=0, counts=1):
    """The lanes' words as the dtype int8."""
    words = stage.lanes(a, b, constants.header, constants.entries, counts, constants.table)
    return words.astype(np.uint8).view(np.int8)


def random_activation(rng) -> str:
    return str(rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))


def random_convolution(rng, zero_point=0, bias=20000) -> Convolution:
    """3x3, of magnitudes from small to the accumulator's ends by its bias."""
    outputs = 7
    weight = rng.integers(-127, 128, (outputs, 3, 3, 5))
    return Convolution(weight, rng.integers(-bias, bias, outputs), Window((3, 3)), zero_point)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["conv", "fully connected", "per tensor"])
def test_convolution(kind, seed):
    rng = np.random.default_rng(seed)
    source, target = affine(rng), affine(rng)
    convolution = random_convolution(rng, int(source.zero_point[0]), int(rng.choice([20000, 1 << 31])))
    factor = np.exp(rng.uniform(np.log(1e-5), np.log(2.0), 1 if kind == "per tensor" else 7))
    # Ties: factors of few bits.
    factor[:2] = np.round(factor[:2] * 256 + 1) / 256
    rescale = FloatRescale(factor) if kind == "fully connected" else Rescale.of(factor)
    operator = tflite.Conv2D(convolution, rescale, target, random_activation(rng))
    constants = stage.constants_of_conv(operator)
    x = rng.integers(-128, 128, (4, 9, 9, 5)).astype(np.int8)
    accumulators = convolution.sums(x) - convolution.bias
    assert constants.header["input_zero"] == convolution.zero_point
    assert np.array_equal(produced(accumulators, constants), operator(x[None])[0])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("subtract", [False, True])
def test_add(subtract, seed):
    """Every pair of values."""
    rng = np.random.default_rng(seed)
    operator = tflite.Add((affine(rng), affine(rng)), affine(rng), random_activation(rng), subtract)
    assert_pairs(operator, stage.constants_of_add(operator))


@pytest.mark.parametrize("seed", range(20))
def test_multiply(seed):
    rng = np.random.default_rng(seed)
    operator = tflite.Multiply((affine(rng), affine(rng)), affine(rng), random_activation(rng))
    assert_pairs(operator, stage.constants_of_multiply(operator))


def assert_pairs(operator, constants):
    """The array's sums of element-wise tiles are both operands less the first one's zero point."""
    x = every_value()
    zero = constants.header.get("input_zero", 0)
    a, b = np.broadcast_arrays(x[:, None].astype(np.int64) - zero, x[None].astype(np.int64) - zero)
    expected = operator(x[None, :, None], x[None, None, :])[0]
    assert np.array_equal(produced(a, constants, b), expected)


@pytest.mark.parametrize("seed", range(20))
def test_prelu(seed):
    rng = np.random.default_rng(seed)
    operator = tflite.Prelu(affine(rng), affine(rng), affine(rng))
    x, alpha = every_value(), every_value()
    constants = stage.constants_of_prelu(operator, alpha)
    a = np.broadcast_to(x[:, None].astype(np.int64) - constants.header["input_zero"], (256, 256))
    assert np.array_equal(produced(a, constants), operator(x[None, :, None], alpha[None, None, :])[0])


@pytest.mark.parametrize("seed", range(20))
def test_average_pool(seed):
    rng = np.random.default_rng(seed)
    kernel = tuple(int(k) for k in rng.integers(1, 8, 2))
    sides = (kernel[0] // 2, kernel[1] // 2, min(1, kernel[0] - 1), min(1, kernel[1] - 1))
    window = Window(kernel, tuple(rng.integers(1, 3, 2)), padding=sides)
    operator = tflite_reductions.AveragePool2D(window, affine(rng), random_activation(rng))
    x = rng.integers(-128, 128, (1, 2, 8, 9, 3)).astype(np.int8)
    total = sum(window.taps(window.padded(x[0], 0, np.int64)))
    counts = sum(window.taps(window.padded(np.ones_like(x[0]), 0, np.int64)))
    constants = stage.constants_of_average_pool(operator)
    assert np.array_equal(produced(total, constants, counts=counts), operator(x)[0])


def test_max_pool():
    rng = np.random.default_rng(1)
    operator = tflite_reductions.MaxPool2D(Window((2, 2)), affine(rng), "RELU6")
    x = rng.integers(-128, 128, (1, 2, 8, 9, 3)).astype(np.int8)
    accumulators = np.maximum.reduce(list(operator.window.taps(x[0]))).astype(np.int64)
    assert np.array_equal(produced(accumulators, stage.constants_of_max_pool(operator)), operator(x)[0])


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_mean(mean, seed):
    rng = np.random.default_rng(seed)
    source, target = affine(rng), affine(rng)
    rows, columns = (int(n) for n in rng.integers(1, 26, 2))
    operator = tflite_reductions.Reduce((0, 1), (11,), rows * columns, source, target, mean)
    x = rng.integers(-128, 128, (6, rows, columns, 11)).astype(np.int8)
    x[0], x[1] = 127, -128
    sums = (x.astype(np.int64) - source.zero_point[0]).sum(axis=(1, 2))
    assert np.array_equal(produced(sums, stage.constants_of_mean(operator)), operator(x))


@pytest.mark.parametrize("seed", range(10))
def test_batch_matmul(seed):
    rng = np.random.default_rng(seed)
    operator = tflite.BatchMatMul((affine(rng), affine(rng)), affine(rng))
    a, b = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((1, 9, 20), (1, 20, 8)))
    constants = stage.constants_of_matmul(operator)
    sums = (a[0] - np.int64(constants.header["input_zero"])) @ (
        b[0] - np.int64(constants.header["weight_zero"])
    )
    assert np.array_equal(produced(sums, constants), operator(a, b)[0])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_lookup(dtype):
    rng = np.random.default_rng(3)
    operator = tflite_tables.Rescaled(affine(rng, dtype), affine(rng))
    x = every_value(dtype)
    constants = stage.constants_of_lookup(operator, dtype)
    assert np.array_equal(produced(x.astype(np.int64), constants), operator(x))


@pytest.mark.parametrize("factor", [-0.5, np.inf, np.nan])
def test_refused_float64_factors(factor):
    with pytest.raises(ConfigurationError, match="rescaling factor"):
        stage.float64_factor(FloatRescale(np.array([0.5, factor])))


@pytest.mark.parametrize("exponent", [-200, -75, -74, -73, -54, -1, 0, 1, 22, 30, 52, 53, 54, 200])
def test_float64_factors_of_all_sizes(exponent):
    factor = FloatRescale(np.ldexp(np.array([1.0, 1.9999999, 4 / 3]), exponent))
    x = np.array([[0, 1, -1], [INT32_MAX, INT32_MIN, 12345]]).T[..., None] * np.ones(3, np.int64)
    header = {"mode.rescaling": Rescaling.FLOAT64, "low": -(1 << 15), "high": (1 << 15) - 1}
    words = stage.lanes(x, 0, header, stage.float64_factor(factor), data_width=16)
    assert np.array_equal(words.astype(np.uint16).view(np.int16), np.clip(factor.apply(x), -32768, 32767))


def test_refused_multipliers():
    with pytest.raises(ConfigurationError, match="multiplier is -"):
        stage.double_rounding_factor(Rescale.of(-0.3))


# --- Operators of fixed-point ONNX ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_fixed_point_convolution(seed):
    rng = np.random.default_rng(seed)
    convolution = random_convolution(rng, bias=1 << 15)
    scales = tuple(WeightScale(int(rng.integers(-12, 2)), int(rng.integers(1, 256))) for _ in range(7))
    operator = fixed_point.Conv(convolution, scales, source=int(rng.integers(-9, 3)), target=-4)
    x = rng.integers(-128, 128, (4, 9, 9, 5)).astype(np.int8)
    accumulators = convolution.sums(x) - convolution.bias
    expected = operator(x.transpose(0, 3, 1, 2)[None])[0].transpose(0, 2, 3, 1)
    assert np.array_equal(produced(accumulators, stage.constants_of_conv(operator)), expected)


@pytest.mark.parametrize("sources", [(-3, -3), (-5, 2), (4, -4), (0, 23), (23, 0)])
@pytest.mark.parametrize("target", [-6, 0, 5, 24])
def test_fixed_point_add(sources, target):
    operator = fixed_point.Sum(sources, target)
    assert_pairs(operator, stage.constants_of_add(operator))


def test_fixed_point_add_of_scales_too_far_apart():
    with pytest.raises(DoesNotFitError, match=r"2\*\*24 apart"):
        stage.constants_of_add(fixed_point.Sum((0, 24), 0))


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_fixed_point_average_pool(include, seed):
    rng = np.random.default_rng(seed)
    window = Window((3, 3), padding=(1, 1, 0, 0))
    operator = fixed_point.AveragePool(window, int(rng.integers(-3, 3)), int(rng.integers(-3, 3)), include)
    x = rng.integers(-128, 128, (2, 3, 8, 9)).astype(np.int8)
    images = x.transpose(0, 2, 3, 1)
    total = sum(window.taps(window.padded(images, 0, np.int64)))
    counts = sum(window.taps(window.padded(np.ones_like(images), 0, np.int64)))
    seen = produced(total, stage.constants_of_average_pool(operator), counts=counts)
    assert np.array_equal(seen.transpose(0, 3, 1, 2), operator(x[None])[0])


def test_windows_too_large_to_average():
    with pytest.raises(DoesNotFitError, match="256 places"):
        stage.constants_of_average_pool(fixed_point.AveragePool(Window((16, 16)), 0, 0))


def test_fixed_point_max_pool_and_sum():
    rng = np.random.default_rng(2)
    pool = fixed_point.MaxPool(Window((2, 2)))
    x = rng.integers(-128, 128, (1, 1, 4, 8, 8)).astype(np.int8)
    windows = list(pool.window.taps(x[0].transpose(0, 2, 3, 1)))
    seen = produced(np.maximum.reduce(windows).astype(np.int64), stage.constants_of_max_pool(pool))
    assert np.array_equal(seen.transpose(0, 3, 1, 2), pool(x)[0])
    total = fixed_point.ReduceSum((1, 2), False, -3, 1)
    sums = x[0].sum(axis=(2, 3), dtype=np.int64)
    assert np.array_equal(produced(sums, stage.constants_of_mean(total)), total(x[0]))


@pytest.mark.parametrize("kind", ["HardSwish", "Sigmoid", "Tanh", "leaky"])
def test_fixed_point_tables(kind):
    operator = fixed_point.LeakyRelu(0.1) if kind == "leaky" else fixed_point.Stepwise(kind, -5, -7)
    x = every_value()
    constants = stage.constants_of_lookup(operator, np.int8)
    assert np.array_equal(produced(x.astype(np.int64), constants), operator(x))


def test_fixed_point_matmul():
    rng = np.random.default_rng(4)
    operator = fixed_point.MatMul((-3, -4), -2, 20)
    a, b = (rng.integers(-128, 128, shape).astype(np.int8) for shape in ((1, 9, 20), (1, 20, 8)))
    sums = a[0].astype(np.int64) @ b[0].astype(np.int64)
    assert np.array_equal(produced(sums, stage.constants_of_matmul(operator)), operator(a, b)[0])


# --- Softmax ---------------------------------------------------------------------------------------------------------


def high_mul(a: int, b: int) -> int:
    """gemmlowp's SaturatingRoundingDoublingHighMul, with C's truncating division."""
    if a == b == INT32_MIN:
        return INT32_MAX
    total = a * b + (1 << 30 if a * b >= 0 else 1 - (1 << 30))
    return total >> 31 if total >= 0 else -(-total >> 31)


def saturated(x: int) -> int:
    return min(max(x, INT32_MIN), INT32_MAX)


def share(exponential: int, total: int) -> int:
    """The second half of internal/reference/softmax.h, with gemmlowp's one_over_one_plus_x_for_x_in_0_1."""
    headroom = 32 - total.bit_length()
    half = (((total << headroom) - (1 << 31)) + INT32_MAX + 1) // 2
    x = 1515870810 + high_mul(half, -1010580540)
    for _ in range(3):
        x = x + saturated(high_mul(x, (1 << 29) - high_mul(half, x)) << 2)
    product = high_mul(saturated(x << 1), exponential)
    return half_away(Fraction(product, 1 << min(12 - headroom + 31 - 8, 31)))


@pytest.mark.parametrize("seed", range(40))
def test_softmax_is_its_definition(seed):
    """Any exponentials, those of a softmax or not; vectors of one element up, equal ones too."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 1 << rng.integers(1, 33), 256)
    if seed % 2:
        table = tflite_reductions.Softmax(affine(rng), affine(rng), 1.0).exponentials
    vectors = rng.integers(0, 256, (5, int(rng.choice([1, 2, 30, 1024]))))
    vectors[0] = vectors[0, 0]
    seen = stage.softmax(vectors, table)
    for row, shares in zip(vectors.tolist(), seen.tolist(), strict=True):
        row = [wrap(x, 8) for x in row]
        exponentials = [int(table[max(row) - x]) % (1 << 31) for x in row]
        total = sum(half_away(Fraction(e, 1 << 12)) for e in exponentials)
        assert shares == [(min(share(e, max(total, 1)), 255) - 128) % 256 for e in exponentials]
