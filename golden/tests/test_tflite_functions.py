# SPDX-License-Identifier: Apache-2.0
"""TFLite's operators on one value or two, against LiteRT's reference kernels: every int8 value, every pair of them.

Zero points are at -128 and 127 often, scales near ties of the rescaling. Floats between DEQUANTIZE and QUANTIZE are
compared bit by bit too.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
pytest.importorskip("flatbuffers", reason="flatbuffers is missing: pip install flatbuffers")

from assay.golden import GoldenError, ModelFormatError
from assay.golden.importers import tflite as importer
from assay.golden.layers.tflite_tables import rsqrt_table
from assay.golden.schemes.tflite import Affine, inverse_square_root, reciprocal
from assay.golden.tests.litert import litert, optimised
from assay.golden.tests.tflite_cases import CASES, Case, each_pair, each_value

I8 = np.dtype(np.int8)


def values_from(least: int):
    """All int8 values from `least` on, for functions that have no result below it."""

    def values(graph):
        return {graph.inputs[0]: np.maximum(np.arange(-128, 128), least).astype(np.int8)[None]}

    return values


@pytest.mark.parametrize("kind", ["ABS", "EXP", "GELU", "LOG", "RELU_0_TO_1", "RSQRT", "SQRT"])
@pytest.mark.parametrize("seed", range(CASES))
def test_every_value(kind, seed):
    case = Case(seed)
    x = case.input((1, 256))
    scale = case.file.tensors[x].scale[0]
    y = case.output(case.near_ties(scale) if seed % 2 else case.scale(2e-3, 0.5))
    values = each_value
    if kind == "GELU":
        case.file.operator(kind, [x], [y], "GeluOptions", Approximate=seed % 4 > 1)
    else:
        case.file.operator(kind, [x], [y])
    if kind == "EXP":  # beyond 2**31 steps C's conversion is undefined
        case.file.tensors[x].scale = [min(scale, 0.06)]
    if kind in ("RSQRT", "SQRT"):
        values = values_from(case.file.tensors[x].zero_point[0])
    if kind == "RSQRT":
        case.file.tensors[y].scale = [case.scale(1e-3, 0.5) / math.sqrt(scale)]
    case.check(y, values=values)


@pytest.mark.parametrize("kind", ["CEIL", "ELU", "ROUND"])
@pytest.mark.parametrize("seed", range(12))
def test_operators_that_the_reference_resolver_lacks(kind, seed):
    """Against LiteRT's other resolver: ELU is a table there too, and rounding leaves no choice."""
    case = Case(seed)
    dtype = np.int8 if kind == "ELU" else np.float32
    x = case.input((1, 256), dtype=dtype)
    y = case.output(case.near_ties(case.file.tensors[x].scale[0]), dtype=dtype)
    case.file.operator(kind, [x], [y])
    data = case.file.bytes([x], [y])
    values = np.arange(-128, 128, dtype=np.int8)[None]
    if dtype is np.float32:
        values = values.astype(np.float32) / 4  # halves among them
    np.testing.assert_array_equal(importer.loads(data).predict(values), optimised(data, values))


@pytest.mark.parametrize("kind", ["RSQRT", "SQRT"])
def test_roots_of_negative_numbers_are_refused_when_they_occur(kind):
    case = Case(3)
    x, y = case.input((1, 4), 0.02, -100), case.output(0.05, -128)
    case.file.operator(kind, [x], [y])
    data = case.file.bytes([x], [y])
    graph = importer.loads(data)
    with pytest.raises(GoldenError, match=rf"\({kind}\): input 0 holds a negative value"):
        graph.predict(np.array([[-100, -101, 0, 0]], np.int8))
    with pytest.raises(GoldenError, match=r"LiteRT ends the run: .*only defined for"):
        litert(data, graph).trace(np.array([[-100, -101, 0, 0]], np.int8))


def test_rsqrt_of_too_large_numbers_is_refused():
    with pytest.raises(GoldenError, match=r"RSQRT's factor is .* but must be"):
        rsqrt_table(Affine([1e6], [0], None, I8), Affine([1e6], [0], None, I8))


def test_inverse_square_root_against_exact_fractions():
    """Five Newton-Raphson steps from 1 leave 2**-18 of the square, and less for larger numbers in the octave pair."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [np.arange(1, 3000), rng.integers(1, 1 << 31, 3000), [(1 << 31) - 1, 1 << 29, (1 << 29) - 1]]
    )
    for value, multiplier, shift in zip(
        x.tolist(), *(a.tolist() for a in inverse_square_root(x)), strict=True
    ):
        squared = (Fraction(multiplier) * Fraction(2) ** (shift - 31)) ** 2 * value
        assert abs(squared - 1) < Fraction(1, 1 << 18), value


def test_reciprocal_against_exact_fractions():
    x = np.concatenate([np.arange(1, 3000), [(1 << 31) - 1, 1 << 30]])
    for value, inverse, headroom in zip(x.tolist(), *(a.tolist() for a in reciprocal(x)), strict=True):
        assert abs(Fraction(inverse * value) * Fraction(2) ** (headroom - 62) - 1) < Fraction(1, 1 << 26), (
            value
        )


@pytest.mark.parametrize("seed", range(CASES))
def test_squared_difference_of_every_pair(seed):
    case = Case(seed)
    a = case.input((1, 65536), case.scale(5e-3, 0.5))
    scale = case.file.tensors[a].scale[0]
    b = case.input((1, 65536), case.near_ties(scale) if seed % 2 else scale)
    y = case.output(case.near_ties(scale, scale))
    case.file.operator("SQUARED_DIFFERENCE", [a, b], [y])
    case.check(y, values=each_pair)


def pairs_without_zero(case: Case, divisor: int):
    def values(graph):
        pairs = each_pair(graph)
        zero = case.file.tensors[divisor].zero_point[0]
        place = pairs[graph.inputs[1]]
        place[place == zero] = zero + (1 if zero < 127 else -1)
        return pairs

    return values


@pytest.mark.parametrize("seed", range(CASES))
def test_division_of_every_pair(seed):
    """Small quotients too, where the shifts exceed 31 bits and C leaves the result open."""
    case = Case(seed)
    a, b = case.input((1, 65536)), case.input((1, 65536))
    scales = [case.file.tensors[i].scale[0] for i in (a, b)]
    y = case.output(case.near_ties(scales[0] / scales[1]) if seed % 2 else case.scale(1e-2, 5))
    case.file.operator("DIV", [a, b], [y], "DivOptions", FusedActivationFunction=case.activation())
    case.check(y, values=pairs_without_zero(case, b))


def test_division_by_zero_is_refused_when_it_occurs():
    case = Case(5)
    a, b, y = case.input((1, 2)), case.input((1, 2), 0.1, 7), case.output(0.1, 0)
    case.file.operator("DIV", [a, b], [y], "DivOptions")
    data = case.file.bytes([a, b], [y])
    graph = importer.loads(data)
    x = {"t0": np.array([[1, 2]], np.int8), "t1": np.array([[8, 7]], np.int8)}
    with pytest.raises(GoldenError, match=r"\(DIV\): input 1 holds a zero value"):
        graph.predict(x)
    with pytest.raises(GoldenError, match="LiteRT ends the run"):
        litert(data, graph).trace(x)


@pytest.mark.parametrize("kind", ["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"])
@pytest.mark.parametrize("seed", range(12))
def test_comparisons_of_every_pair(kind, seed):
    case = Case(seed)
    a = case.input((1, 65536))
    b = case.input((1, 65536), [None, case.file.tensors[a].scale[0], 0.5, 0.03][seed % 4])
    y = case.file.tensor((), dtype=np.bool_)
    case.file.operator(kind, [a, b], [y])
    case.check(y, values=each_pair)


@pytest.mark.parametrize("kind", ["MAXIMUM", "MINIMUM"])
@pytest.mark.parametrize("seed", range(12))
def test_maximum_and_minimum_broadcast(kind, seed):
    case = Case(seed)
    a = case.input(case.shape(4, 4))
    shape = tuple(1 if case.rng.random() < 0.5 else n for n in case.file.tensors[a].shape)
    like = case.file.tensors[a]
    b, y = case.input(shape[case.integer(0, 2) :], like.scale, like.zero_point), case.like(a)
    case.file.operator(kind, [b, a] if seed % 2 else [a, b], [y])
    case.check(y)


@pytest.mark.parametrize("kind", ["SELECT", "SELECT_V2"])
@pytest.mark.parametrize("seed", range(12))
def test_select(kind, seed):
    case = Case(seed)
    shape = case.shape(3, 4)
    a = case.input(shape)
    like = case.file.tensors[a]
    b = case.input(shape, like.scale, like.zero_point)
    condition, y = case.file.tensor((), dtype=np.bool_), case.like(a)
    rows = kind == "SELECT" and seed % 2
    if kind == "SELECT_V2" and seed % 2:  # the condition broadcasts
        left, right = case.input((shape[1], 1)), case.input((shape[1], 1))
    else:
        left, right = (case.input(shape[:1] if rows else shape) for _ in range(2))
    case.file.operator("LESS", [left, right], [condition])
    case.file.operator(kind, [condition, a, b], [y])
    case.check(y)


@pytest.mark.parametrize("kind", ["LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"])
def test_logic(kind):
    case = Case(0)
    inputs = [case.input((4, 9)) for _ in range(4)]
    left, right, y = (case.file.tensor((), dtype=np.bool_) for _ in range(3))
    case.file.operator("LESS", inputs[:2], [left])
    case.file.operator("LESS", inputs[2:], [right])
    case.file.operator(kind, [left] if kind == "LOGICAL_NOT" else [left, right], [y])
    case.check(y)


UNARY_FLOATS = ["ABS", "LEAKY_RELU", "NEG", "RELU", "RELU6", "SIGN", "SQUARE", "FLOOR", "SQRT", "RSQRT"]
BINARY_FLOATS = [
    "ADD",
    "SUB",
    "MUL",
    "DIV",
    "MAXIMUM",
    "MINIMUM",
    "SQUARED_DIFFERENCE",
    "PRELU",
    "LESS",
    "EQUAL",
]


@pytest.mark.parametrize("kind", UNARY_FLOATS)
@pytest.mark.parametrize("seed", range(6))
def test_floats_between_dequantize_and_quantize(kind, seed):
    case = Case(seed)
    x = case.input((1, 256), zero_point=-128 if kind in ("SQRT", "RSQRT") else None)
    real, result = (case.file.tensor((), dtype=np.float32) for _ in range(2))
    y = case.output()
    case.file.operator("DEQUANTIZE", [x], [real])
    leaky = kind == "LEAKY_RELU"
    case.file.operator(
        kind, [real], [result], "LeakyReluOptions" if leaky else "", **({"Alpha": 0.3} if leaky else {})
    )
    outputs = [real, result]
    if kind != "RSQRT":  # of 0 it is infinite, whose quantisation C leaves open
        case.file.operator("QUANTIZE", [result], [y])
        outputs.append(y)
    case.check(*outputs, values=each_value)


@pytest.mark.parametrize("kind", BINARY_FLOATS)
@pytest.mark.parametrize("seed", range(6))
def test_two_floats(kind, seed):
    case = Case(seed)
    a, b = case.input((1, 65536)), case.input((1, 65536))
    reals = [case.file.tensor((), dtype=np.float32) for _ in range(2)]
    compares = kind in ("LESS", "EQUAL")
    y = case.file.tensor((), dtype=np.bool_ if compares else np.float32)
    for x, real in zip((a, b), reals, strict=True):
        case.file.operator("DEQUANTIZE", [x], [real])
    fused = kind in ("ADD", "SUB", "MUL", "DIV")
    options = {"FusedActivationFunction": case.activation()} if fused else {}
    case.file.operator(kind, reals, [y], f"{kind.capitalize()}Options" if fused else "", **options)
    case.check(y, values=pairs_without_zero(case, b))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.float32, np.bool_])
def test_cast(dtype):
    case = Case(1)
    x = case.input((1, 256), 0.3, 3)
    real, whole, back = (case.file.tensor((), dtype=t) for t in (np.float32, dtype, np.float32))
    case.file.operator("DEQUANTIZE", [x], [real])
    case.file.operator("CAST", [real], [whole])
    case.file.operator("CAST", [whole], [back])
    case.check(real, whole, back, values=each_value)


@pytest.mark.parametrize(
    ("kind", "table", "scales", "message"),
    [
        ("SQUARED_DIFFERENCE", "", (1.0, 1.0, 1e-5), "output scale is .* but must be above"),
        ("DIV", "DivOptions", (1e3, 1e-3, 1e-3), r"DIV's factor is .* but must be below 2\*\*23"),
        ("LESS", "", (1.5, 0.1, None), "scale is 1.5, but must be below 1 for a comparison"),
        ("MAXIMUM", "", (0.1, 0.2, 0.1), "must have the input's scale and zero point"),
    ],
)
def test_scales_without_result_are_refused(kind, table, scales, message):
    case = Case(0)
    a, b = (case.input((1, 4), scale, 0) for scale in scales[:2])
    y = case.output(scales[2], 0) if scales[2] else case.file.tensor((), dtype=np.bool_)
    case.file.operator(kind, [a, b], [y], table)
    with pytest.raises(GoldenError, match=message):
        importer.loads(case.file.bytes([a, b], [y]))


def test_operands_of_unlike_dtypes_are_refused():
    case = Case(0)
    a, b, y = case.input((1, 4)), case.input((1, 4), 0.1, 3, np.uint8), case.output()
    case.file.operator("ADD", [a, b], [y], "AddOptions")
    with pytest.raises(ModelFormatError, match="inputs are int8 and uint8, but must be of one dtype"):
        importer.loads(case.file.bytes([a, b], [y]))
