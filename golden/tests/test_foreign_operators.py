# SPDX-License-Identifier: Apache-2.0
"""The public operators against ONNX's reference implementation and Python's fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from assay.golden import operators as op
from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.rounding import round_fraction

quick = settings(max_examples=60, deadline=None)
ones_to_three = st.integers(1, 3)
pairs = st.tuples(ones_to_three, ones_to_three)


def reference(operator: str, *inputs: np.ndarray, **attributes: object) -> np.ndarray:
    """What `onnx.reference` computes, in float64, where every integer of these tests is exact."""
    names = [f"x{i}" for i in range(len(inputs))]
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], **attributes)],
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    feeds = {name: x.astype(np.float64) for name, x in zip(names, inputs, strict=True)}
    return ReferenceEvaluator(model).run(None, feeds)[0]


def first_channels(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2)


def integers(draw: st.DrawFn, *shape: int, low: int = -128, high: int = 127) -> np.ndarray:
    seed = draw(st.integers(0, 1 << 32))
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True)


@quick
@given(st.data())
def test_conv2d(data):
    draw = data.draw
    groups, channels, multiple = draw(ones_to_three), draw(ones_to_three), draw(ones_to_three)
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(*[st.integers(0, 3)] * 4))
    zero_point = draw(st.integers(-128, 127))
    x = integers(draw, 2, draw(st.integers(7, 9)), draw(st.integers(7, 9)), channels * groups)
    weight = integers(draw, multiple * groups, *kernel, channels)
    bias = integers(draw, multiple * groups, low=-10000, high=10000)
    y = op.conv2d(x, weight, stride, padding, groups, dilation, bias, zero_point)
    expected = reference(
        "Conv",
        first_channels(x - zero_point),
        first_channels(weight),
        bias,
        strides=stride,
        pads=padding,
        dilations=dilation,
        group=groups,
        kernel_shape=kernel,
    )
    assert y.dtype == np.int64
    assert np.array_equal(first_channels(y), expected)
    assert y.shape[1:3] == op.conv2d_output_size(x.shape[1:3], kernel, stride, padding, dilation)


@quick
@given(st.integers(1, 30), st.integers(1, 30), pairs, pairs, pairs)
def test_same_padding(rows, columns, kernel, stride, dilation):
    padding = op.same_padding((rows, columns), kernel, stride, dilation)
    size = op.conv2d_output_size((rows, columns), kernel, stride, padding, dilation)
    assert size == (-(-rows // stride[0]), -(-columns // stride[1]))
    assert 0 <= padding[2] - padding[0] <= 1 and 0 <= padding[3] - padding[1] <= 1


@quick
@given(st.data(), st.integers(1, 4), st.integers(1, 9), st.integers(1, 4))
def test_matmul(data, rows, inner, columns):
    a, b = integers(data.draw, 2, rows, inner), integers(data.draw, inner, columns)
    y = op.matmul(a.astype(np.int8), b.astype(np.int16))
    assert y.dtype == np.int64
    assert np.array_equal(y, reference("MatMul", a, b))


@quick
@given(st.data())
def test_pooling(data):
    draw = data.draw
    window, stride = draw(pairs), draw(pairs)
    padding = tuple(draw(st.integers(0, window[side % 2] - 1)) for side in range(4))
    x = integers(draw, 2, 7, 8, 3).astype(np.int8)
    attributes = {"kernel_shape": window, "strides": stride}
    # The reference's own padding fails where it is not the same on all sides.
    around = ((0, 0), (0, 0), (padding[0], padding[2]), (padding[1], padding[3]))

    def pooled(operator: str, values: np.ndarray, outside: int) -> np.ndarray:
        padded = np.pad(first_channels(values).astype(np.int64), around, constant_values=outside)
        return reference(operator, padded, **attributes)

    y = op.max_pool(x, window, stride, padding)
    assert y.dtype == np.int8
    assert np.array_equal(first_channels(y), pooled("MaxPool", x, -1000))
    size = window[0] * window[1]
    totals = np.rint(pooled("AveragePool", x, 0) * size).astype(int)
    counts = np.rint(pooled("AveragePool", np.ones_like(x), 0) * size).astype(int)
    for count_padding, divisors in ((False, counts), (True, np.full_like(counts, size))):
        y = op.average_pool(x, window, stride, padding, "half_away", count_padding)
        pairs_of_integers = zip(totals.ravel().tolist(), divisors.ravel().tolist(), strict=True)
        assert first_channels(y).ravel().tolist() == [
            _half_away(Fraction(t, n)) for t, n in pairs_of_integers
        ]


def _half_away(value: Fraction) -> int:
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


def test_global_mean():
    x = np.arange(2 * 3 * 5 * 2).reshape(2, 3, 5, 2)
    assert op.average_pool(x, (3, 5), (1, 1), rounding="truncate").ravel().tolist() == [14, 15, 44, 45]


@quick
@given(st.data(), st.sampled_from([name for name in op.ROUNDINGS if name != "stochastic"]))
def test_requantize(data, rounding):
    draw = data.draw
    acc = integers(draw, 3, 4, low=-(1 << 40), high=1 << 40)
    multiplier, shift = integers(draw, 4, low=-(1 << 31), high=1 << 31), integers(draw, 4, low=0, high=62)
    zero_point, bits, signed = draw(st.integers(-128, 127)), draw(st.integers(2, 16)), draw(st.booleans())
    saturate = draw(st.booleans())
    exact = [
        [Fraction(int(a) * int(m), 1 << int(s)) for a, m, s in zip(row, multiplier, shift, strict=True)]
        for row in acc
    ]
    if max(abs(value) for row in exact for value in row) >= 1 << 62:
        return
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    expected = [[round_fraction(v, rounding) + zero_point for v in row] for row in exact]
    if saturate:
        expected = [[min(max(v, low), high) for v in row] for row in expected]
    else:
        expected = [[(v - low) % (1 << bits) + low for v in row] for row in expected]
    y = op.requantize(acc, multiplier, shift, zero_point, bits, signed, rounding, saturate)
    assert y.tolist() == expected


def test_requantize_of_floats_is_quantize_linear():
    """float32(acc) * scale, half to even: with a power of two as scale, ONNX's QuantizeLinear has the same."""
    acc = np.arange(-3000, 3000)
    expected = np.clip(np.rint(acc / 16) + 3, -128, 127)
    assert np.array_equal(op.requantize_float32(acc, 1 / 16, 3), expected)
    assert op.requantize_float32(acc, 1 / 16, 3, np.uint8).dtype == np.uint8


def test_requantize_tflite_rounds_twice():
    """1 / 16 is 2**30 * 2**(-3 - 31): first acc / 2, ties up, then / 8, ties away from zero. So 7 becomes 1."""
    acc = np.arange(-3000, 3000)
    before = acc.copy()
    y = op.requantize_tflite(acc, 1 / 16, 3)
    expected = [max(-128, min(127, _half_away(Fraction((int(a) + 1) // 2, 8)) + 3)) for a in acc]
    assert y.tolist() == expected
    assert np.array_equal(acc, before)


@given(
    st.tuples(st.lists(st.integers(1, 2), max_size=2), st.lists(st.integers(1, 2), max_size=2)),
    st.tuples(*[st.integers(1, 3)] * 3),
    st.tuples(st.integers(0, 52), st.integers(-1, 1), st.integers(0, 1)),
    st.integers(0, 2**32),
)
def test_products_are_exact_or_refused(batches, sizes, ends, seed):
    """Matrices of every rank and batch, whose products reach each power of two up to the refusal and beyond it."""
    (rows, inner, columns), (bits, beside, more) = sizes, ends
    rng = np.random.default_rng(seed)
    a = rng.choice([-1, 1], (*batches[0], rows, inner)) * max(1, (1 << bits // 2) + beside)
    b = rng.choice([-1, 1], (*batches[1], inner, columns)) * ((1 << bits - bits // 2 + more) + beside)
    try:
        expected = np.matmul(a.astype(object), b.astype(object))
    except ValueError:
        return  # these batches do not broadcast
    if int(abs(a).max()) * int(abs(b).max()) * inner < 1 << 53:
        y = op.matmul(a, b)
        assert y.dtype == np.int64 and y.tolist() == expected.tolist()
    else:
        with pytest.raises(GoldenError):
            op.matmul(a, b)


@pytest.mark.parametrize("shift", [0, 1, 61, 62])
def test_requantize_takes_every_shift_it_documents(shift):
    for value in (-100, -1, 0, 1, 100):
        expected = round_fraction(Fraction(value << shift, 1 << shift), "half_up")
        assert op.requantize(np.array([value]), 1 << shift, shift).tolist() == [expected]
    for wrong in (-1, 63):
        with pytest.raises(ConfigurationError, match=f"shift has {wrong} to {wrong}, but must be 0 to 62"):
            op.requantize(np.array([1]), 1, wrong)


@pytest.mark.parametrize("shapes", [((3,), (3, 2)), ((2, 3), (3,)), ((3,), (3,)), ((), ()), ((2, 3), (2, 3))])
def test_products_of_what_are_no_matrices_are_refused(shapes):
    with pytest.raises(GoldenError, match=r"they must be \[..., I, K\] and \[..., K, J\]"):
        op.matmul(*(np.ones(shape, int) for shape in shapes))


@given(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 5))
def test_a_lookup_ends_where_its_table_does(x, first, entries):
    table = 10 * np.arange(entries)
    if first <= x < first + entries:
        assert op.lookup(np.array([x]), table, first).tolist() == [10 * (x - first)]
    else:
        with pytest.raises(GoldenError, match=f"x holds {x} to {x}, but the table has {first} to"):
            op.lookup(np.array([x]), table, first)


@given(st.integers(0, 2**32), pairs, pairs)
def test_what_is_left_out_changes_nothing(seed, kernel, stride):
    """Each default against the value that its function documents."""
    rng = np.random.default_rng(seed)
    x, weight = rng.integers(-9, 9, (2, 5, 6, 3)), rng.integers(-9, 9, (4, *kernel, 3))
    assert op.same_padding((5, 6), kernel) == op.same_padding((5, 6), kernel, (1, 1), (1, 1))
    assert op.same_padding((5, 6), kernel, stride) == op.same_padding((5, 6), kernel, stride, (1, 1))
    no_padding, once = (0, 0, 0, 0), (1, 1)
    assert op.conv2d_output_size((5, 6), kernel) == (6 - kernel[0], 7 - kernel[1])
    assert op.conv2d_output_size((5, 6), kernel, stride) == op.conv2d_output_size(
        (5, 6), kernel, stride, no_padding, once
    )
    for found, expected in (
        (op.conv2d(x, weight), op.conv2d(x, weight, once, no_padding, 1, once, np.zeros(4, int), 0)),
        (op.max_pool(x, kernel, stride), op.max_pool(x, kernel, stride, no_padding)),
        (
            op.average_pool(x, kernel, stride),
            op.average_pool(x, kernel, stride, no_padding, "half_up", False),
        ),
    ):
        assert np.array_equal(found, expected)


def test_lookup():
    table = np.arange(256)[::-1].astype(np.uint8)
    x = np.array([[-128, 0], [1, 127]], np.int8)
    y = op.lookup(x, table, first=-128)
    assert y.dtype == np.uint8
    assert y.tolist() == [[255, 127], [126, 0]]
    assert op.lookup(op.wrap(x, 8, signed=False), table).tolist() == [[127, 255], [254, 128]]


def test_softmax_is_near_the_real_one():
    x = np.random.default_rng(1).integers(-128, 127, (50, 10), endpoint=True).astype(np.int8)
    y = op.softmax(x, scale=0.05)
    real = np.exp(x * 0.05 - (x * 0.05).max(axis=-1, keepdims=True))
    real /= real.sum(axis=-1, keepdims=True)
    assert y.dtype == np.int8
    assert np.abs((y.astype(int) + 128) / 256 - real).max() <= 1 / 256


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda x: op.conv2d(x, x, dilation=(0, 1)),
            ConfigurationError,
            r"dilation is \(0, 1\), but must be 2",
        ),
        (
            lambda x: op.conv2d(x, x, bias=np.zeros(3, int)),
            GoldenError,
            r"bias has shape \[3\], but must be \[1\]",
        ),
        (
            lambda x: op.matmul(x[0, 0], x[0, 0]),
            GoldenError,
            r"a has shape \[4, 2\] and b \[4, 2\], but they must",
        ),
        (
            lambda x: op.max_pool(x, (2, 2), (1, 1), (2, 0, 0, 0)),
            ConfigurationError,
            "padding is .* smaller than",
        ),
        (
            lambda x: op.average_pool(x << 31, (1, 1), (1, 1)),
            GoldenError,
            "x reaches 2147483648, but must stay",
        ),
        (lambda x: op.requantize(x, 1, 63), ConfigurationError, "shift has 63 to 63, but must be 0 to 62"),
        (
            lambda x: op.requantize(x, 1, 1, bits=0),
            ConfigurationError,
            "bits is 0, but must be a whole number",
        ),
        (
            lambda x: op.requantize_tflite(x << 31, 1.0),
            GoldenError,
            "acc reaches 2147483648, but must fit 32 bits",
        ),
        (
            lambda x: op.lookup(x, x),
            GoldenError,
            r"table has shape \[1, 4, 4, 2\], but must have 1 dimension",
        ),
        (lambda x: op.lookup(x, x[0, 0, 0], 2), GoldenError, "x holds 1 to 1, but the table has 2 to 3"),
        (lambda x: op.softmax(x, 1.0), GoldenError, "x has dtype int64, but must be int8"),
    ],
)
def test_wrong_arguments_are_named(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(np.ones((1, 4, 4, 2), np.int64))


@quick
@given(st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-300, 300), st.integers(1, 64), st.booleans())
def test_saturate_and_wrap(x, bits, signed):
    bits -= bits == 64 and not signed
    low = -(1 << bits - 1) if signed else 0
    high = low + (1 << bits) - 1
    assert op.saturate(np.array([x]), bits, signed).tolist() == [min(max(x, low), high)]
    assert op.wrap(np.array([x]), bits, signed).tolist() == [(x - low) % (1 << bits) + low]


@pytest.mark.parametrize("function", [op.saturate, op.wrap])
def test_widths_are_checked(function):
    for bits, signed in ((65, True), (64, False), (0, True), (1.0, True)):
        with pytest.raises(
            ConfigurationError, match=r"bits is .*, but must be a whole number from 1 to 6[34]"
        ):
            function(1, bits, signed)
