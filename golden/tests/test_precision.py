# SPDX-License-Identifier: Apache-2.0
"""Per-layer precision against its definition in Python's fractions, on graphs, networks and the command line."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay import golden
from assay.golden import ApFixed, ConfigurationError, GoldenError, IntFormat, precision
from assay.golden.__main__ import main
from assay.golden.exporters.fixed_point import to_bytes
from assay.golden.graph import Graph, Node, Tensor
from assay.golden.precision import Precision
from assay.golden.schemes.ap_fixed import OVERFLOWS, QUANTISATIONS
from assay.golden.schemes.fixed_point import Activation
from assay.golden.schemes.tflite import Affine
from assay.golden.tests.test_ap_fixed import assigned

DIGITS = Path(__file__).parents[2] / "vectors" / "digits" / "digits_w2a2.onnx"
INT8, FLOAT = np.dtype(np.int8), np.dtype(np.float32)


def affine(scale: float, zero_point: int, dtype: type = np.int8) -> Affine:
    return Affine(np.array([scale], np.float32), np.array([zero_point]), None, np.dtype(dtype))


def chain(quantisation=None, dtype: np.dtype = INT8) -> Graph:
    """x -> y = x -> z = y, in two nodes of names other than the tensors'."""
    return Graph(
        "chain",
        {name: Tensor(name, (1, 3), dtype, quantisation) for name in "xyz"},
        ("x",),
        ("z",),
        (
            Node("first layer", "COPY", lambda a: a, ("x",), ("y",)),
            Node("second layer", "COPY", lambda a: a, ("y",), ("z",)),
        ),
    )


TYPES = st.builds(
    ApFixed,
    st.integers(1, 12),
    st.integers(-6, 12),
    st.booleans(),
    st.sampled_from(QUANTISATIONS),
    st.sampled_from(OVERFLOWS),
)


@settings(max_examples=60)
@given(
    TYPES,
    st.one_of(
        st.floats(2**-13, 8, width=32),
        st.just(0.125),
    ),
    st.integers(-128, 127),
)
def test_ap_fixed_of_quantised_integers(t, scale, zero_point):
    """All 256 values: exact real value, assigned, then the nearest integer that int8 has."""
    q = np.arange(-128, 128, dtype=np.int8)
    seen = Precision("t", t, INT8, affine(scale, zero_point))(q)
    assert seen.dtype == np.int8
    for before, after in zip(q.tolist(), seen.tolist(), strict=True):
        real = Fraction(scale) * (before - zero_point)
        value = assigned(real, t) * Fraction(2) ** (t.integer - t.width)
        exact = value / Fraction(scale)
        low = math.floor(exact)
        up = exact - low > Fraction(1, 2) or (exact - low == Fraction(1, 2) and low % 2 == 1)
        assert after == min(max(low + up + zero_point, -128), 127)


@settings(max_examples=60)
@given(
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from([affine(0.3, -128), affine(0.3, 7), Activation(-4), None]),
)
def test_integer_formats_saturate_around_the_zero_point(bits, signed, quantisation):
    zero = int(getattr(quantisation, "zero_point", [0])[0])
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    q = np.arange(-128, 128, dtype=np.int8)
    if low + zero <= -128 and high + zero >= 127 and (low + zero, high + zero) != (-128, 127):
        with pytest.raises(ConfigurationError, match="it would change nothing"):
            Precision("t", IntFormat(bits, signed), INT8, quantisation)
        return
    seen = Precision("t", IntFormat(bits, signed), INT8, quantisation)(q)
    expected = [min(max(min(max(int(v) - zero, low), high) + zero, -128), 127) for v in q]
    assert seen.tolist() == expected and seen.dtype == np.int8


@settings(max_examples=60)
@given(TYPES, st.lists(st.floats(-300, 300, width=32), min_size=1, max_size=6))
def test_ap_fixed_of_floats(t, values):
    seen = Precision("t", t, FLOAT)(np.array(values, np.float32))
    assert seen.dtype == np.float32
    unit = Fraction(2) ** (t.integer - t.width)
    assert [Fraction(float(v)) for v in seen] == [assigned(Fraction(v), t) * unit for v in values]


def test_integers_without_scale_stand_for_themselves():
    t = ApFixed(8, 10, True, "RND", "SAT")  # steps of 4
    seen = Precision("t", t, np.dtype(np.int64))(np.array([1, 2, -2, 3, 10**6, -(10**6)]))
    assert seen.tolist() == [0, 4, 0, 4, 508, -512]


@pytest.mark.parametrize(
    ("name", "changed"), [("y", "y"), ("first layer", "y"), ("second layer", "z"), ("x", "x")]
)
def test_graph_changes_only_what_is_named(name, changed):
    graph = chain(affine(0.5, 0))
    x = np.array([[-128, 9, 127]], np.int8)
    other = graph.with_precision({name: "int4"})
    trace, limited = other.trace(x), np.array([[-8, 7, 7]])
    order = ["x", "y", "z"]
    for tensor in order:
        after = order.index(tensor) >= order.index(changed)
        np.testing.assert_array_equal(trace[tensor], limited if after else x)
        np.testing.assert_array_equal(graph.trace(x)[tensor], x)
    assert other.compare(x, graph).first_differing.name == changed
    assert "int8 0.5 zp 0, s4" in other.summary() and "s4" not in graph.summary()


def test_precision_can_be_given_again():
    graph = chain(Activation(-2)).with_precision({"y": "int2"}).with_precision({"y": ApFixed(6, 4)})
    # Steps of a quarter: -2.25 and 2.25 of 32 to -32.
    np.testing.assert_array_equal(graph.predict(np.array([[-9, 9, 127]], np.int8)), [[-9, 9, -1]])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"frist layer": "int4"},
            "graph chain has no layer or tensor 'frist layer'; did you mean 'first layer'",
        ),
        ({"q": "int4"}, "graph chain has no layer or tensor 'q'; summary\\(\\) lists them"),
        ({"y": "int4", "first layer": "int5"}, "the precision of tensor 'y' is given twice"),
        (
            {"y": "int12"},
            "precision s12 of tensor 'y': it would change nothing, as the tensor holds -128 to 127",
        ),
        (
            {"y": "float16"},
            "format 'float16' is not of the form 'int4', .* nor of the form 'ap_fixed<8,3,RND,SAT>'",
        ),
        ({"y": "int0"}, "bits is 0"),
        ({"y": "ap_fixed<8>"}, "'ap_fixed<8>' is not of the form ap_fixed<W,I,Q,O,N>"),
        ({"y": 4}, "format is of type int, but must be a text, an IntFormat or an ApFixed"),
    ],
)
def test_graph_refuses(names, message):
    with pytest.raises(ConfigurationError, match=message):
        chain().with_precision(names)


@pytest.mark.parametrize(
    ("fmt", "dtype", "quantisation", "message"),
    [
        ("int4", FLOAT, None, "the tensor is float32, so the format must be an ap_fixed"),
        ("ap_fixed<26,4>", FLOAT, None, "float32 does not hold all values of the format exactly"),
        ("ap_fixed<8,200>", FLOAT, None, "float32 does not hold all values"),
        ("ap_fixed<8,-1000>", FLOAT, None, "float32 does not hold all values"),
        ("ap_fixed<13,4>", np.dtype(np.float16), None, "float16 does not hold all values"),
        ("int4", np.dtype(bool), None, "the tensor is bool, but must hold integers or floats"),
        (
            "int4",
            INT8,
            Affine(np.ones(2), np.zeros(2), 1, INT8),
            "the tensor has a scale per channel, but must have a single one",
        ),
    ],
)
def test_formats_without_meaning(fmt, dtype, quantisation, message):
    with pytest.raises(ConfigurationError, match=message):
        Precision("t", precision.parse(fmt), dtype, quantisation)


def test_nan_and_too_large_values_name_the_tensor():
    for values, about in (
        (np.array([math.nan], np.float32), None),
        (np.array([2**62]), None),
        (np.array([2**50]), affine(0.1, 0, np.int32)),
    ):
        with pytest.raises(GoldenError, match=r"precision ap_fixed<8,4> of tensor 't': "):
            Precision("t", ApFixed(8, 4), values.dtype, about)(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int4", IntFormat(4, True)),
        ("uint8", IntFormat(8, False)),
        (" u3 ", IntFormat(3, False)),
        ("ap_ufixed<6, 2, AP_RND, AP_SAT>", ApFixed(6, 2, False, "RND", "SAT")),
    ],
)
def test_parse(text, expected):
    assert precision.parse(text) == expected == precision.parse(expected)


@pytest.mark.parametrize(
    ("graph", "x"),
    [
        (chain(affine(0.25, 0)), np.arange(-128, 127, dtype=np.int8).reshape(-1, 3)),
        (chain(affine(0.25, -40)), np.arange(-128, 127, dtype=np.int8).reshape(-1, 3)),
        (chain(dtype=FLOAT), np.arange(-128, 127, dtype=np.float32).reshape(-1, 3) / 4),
    ],
)
@pytest.mark.parametrize("text", ["ap_fixed<5,4,RND,SAT>", "ap_ufixed<4,3,TRN,SAT>"])
def test_profile_tells_what_a_narrow_override_saturates(graph, x, text):
    """The values beyond the type's ends, counted one by one."""
    t = ApFixed.parse(text)
    zero = int(getattr(graph.tensors["y"].quantisation, "zero_point", [0])[0])
    scale = Fraction(1, 4) if graph.tensors["y"].quantisation else 1
    raws = [assigned((Fraction(float(v)) - zero) * scale, t) for v in x.ravel()]
    row = golden.profile(graph.with_precision({"y": text}), x)["y"]
    assert row.at_high == raws.count(t.max) > 30
    # Zero is where values belong, so it is no end.
    assert row.at_low == (raws.count(t.min) if t.min else 0)
    assert row.numbers.endswith(f", {text}")
    before = golden.profile(graph, x)["y"]
    assert before.saturated <= 2


def test_profile_of_an_integer_override():
    graph, x = chain(affine(0.5, -128)), np.arange(-128, 127, dtype=np.int8).reshape(-1, 3)
    row = golden.profile(graph.with_precision({"first layer": "uint4"}), x)["y"]
    assert (row.low, row.high, row.at_low, row.at_high) == (-128, -113, 0, x.size - 15)


def test_network_quantises_to_the_format():
    network = golden.load(DIGITS).lower()
    x = np.random.default_rng(2).integers(0, network.input_format.max + 1, (4, *network.input_shape))
    layer = network.layers[2]
    other = network.with_precision({layer.name: "s3"})
    trace, changed = network.trace(x), other.trace(x)
    assert other.formats[layer.output] == IntFormat(3, True) and network.formats[layer.output] == IntFormat(
        2, False
    )
    for name in list(trace)[:3]:
        np.testing.assert_array_equal(trace[name], changed[name])
    # Scaled accumulators, before any quantiser, rounded in fractions and clipped.
    acc = layer.accumulate(trace[layer.input]).astype(object) * layer.multiplier + layer.bias
    residual = layer.residual and trace[layer.residual.tensor].astype(object) * layer.residual.multiplier
    assert not layer.pool and layer.rounding == "half_up" and layer.saturate
    acc = acc if residual is None else acc + (residual << layer.residual.shift)
    acc = np.maximum(acc, 0) if layer.relu else acc
    expected = [
        min(max(math.floor(Fraction(v, 2**layer.shift) + Fraction(1, 2)), -4), 3) for v in acc.ravel()
    ]
    assert changed[layer.output].ravel().tolist() == expected
    row = golden.profile(other, x)[layer.output]
    assert (row.low, row.high, row.at_high) == (-4, 3, expected.count(3))
    np.testing.assert_array_equal(other.with_precision({layer.output: "u2"}).predict(x), network.predict(x))


@pytest.mark.parametrize("rounding", ["TRN", "RND"])
@pytest.mark.parametrize("overflow", ["WRAP", "SAT"])
def test_network_takes_the_modes_of_an_ap_fixed(rounding, overflow):
    """A layer's scaled accumulators, exact quotients, assigned to the type."""
    network = golden.load(DIGITS).lower()
    x = np.random.default_rng(4).integers(0, network.input_format.max + 1, (9, *network.input_shape))
    layer = network.layers[3]
    t = ApFixed(2, 2, True, rounding, overflow)
    v = layer.accumulate(network.trace(x)[layer.input]).astype(object) * layer.multiplier + layer.bias
    assert layer.relu and layer.shift and not (layer.residual or layer.pool)
    expected = [assigned(Fraction(max(int(value), 0), 2**layer.shift), t) for value in v.ravel()]
    changed = network.with_precision({layer.name: str(t)}).trace(x)
    assert changed[layer.output].ravel().tolist() == expected
    assert changed["logits"].shape == network.predict(x).shape


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"input": "u2"}, "'input' is the input, whose values are given as they are"),
        ({"conv9": "u2"}, "network digits_w2a2 has no layer or tensor 'conv9'; did you mean 'conv"),
        (
            {"logits": "ap_fixed<5,4>"},
            "but must have no fraction bits, rounding TRN or RND, and overflow WRAP or SAT",
        ),
        (
            {"logits": "ap_fixed<5,5,RND_CONV,SAT>"},
            "precision is ap_fixed<5,5,RND_CONV,SAT>, but must have no",
        ),
        ({"logits": "int40"}, "bits is 40"),
    ],
)
def test_network_refuses(names, message):
    with pytest.raises(ConfigurationError, match=message):
        golden.load(DIGITS).lower().with_precision(names)


def test_network_refuses_a_layer_named_twice():
    network = golden.load(DIGITS).lower()
    layer = network.layers[-1]
    with pytest.raises(ConfigurationError, match="the precision of layer 'dense' is given twice"):
        network.with_precision({layer.name: "u2", layer.output: "u2"})


def test_exporter_refuses_what_the_file_cannot_say():
    pytest.importorskip("onnx")
    with pytest.raises(
        golden.UnsupportedOperatorError, match="tensor 'y': precision is s4, but must be left alone"
    ):
        to_bytes(chain(Activation(-3)).with_precision({"y": "int4"}))


def test_command_line(tmp_path, capsys):
    target = tmp_path / "t.npz"
    common = [str(DIGITS), "--random", "5", "--scales", "exact"]
    assert main(["trace", *common, "--output", str(target)]) == 0
    narrow = ["--precision", "conv2=u1", "--precision", "logits=ap_fixed<4,4,RND,SAT>"]
    assert main(["compare", *common, *narrow, "--reference", str(target)]) == 1
    assert capsys.readouterr().out.endswith("differ, first conv2\n")
    assert main(["trace", *common, *narrow]) == 0
    assert "-8 to 7" in capsys.readouterr().out
    assert main(["profile", *common, *narrow]) == 0
    assert " s4 " in capsys.readouterr().out
    for words, message in (
        (["conv2"], "--precision conv2 is not of the form NAME=FORMAT"),
        (["conv2=u1", "--precision", "conv2=u2"], "--precision gives 'conv2' twice"),
        (["conv22=u1"], "has no layer or tensor 'conv22'; did you mean 'conv2'"),
    ):
        assert main(["predict", *common, "--precision", *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("golden: ") and error.count("\n") == 1 and message in error
