# SPDX-License-Identifier: Apache-2.0
"""Comparison of traces: verdicts, places, figures; and that nothing counts as equal that was not compared."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from assay import golden
from assay.golden import GoldenError
from assay.golden.compare import Comparison, compare_arrays, compare_traces
from assay.golden.schemes.fixed_point import Activation
from assay.golden.schemes.tflite import Affine
from assay.golden.tests.test_graph import residual

DIGITS = Path(__file__).parents[2] / "vectors" / "digits" / "digits_w2a2.onnx"


def test_compare_of_exact_traces():
    graph, x = residual(), np.arange(8, dtype=np.int32).reshape(2, 4)
    comparison = graph.compare(x, residual())
    assert comparison.exact and comparison.first_differing is None
    assert str(comparison).endswith("5 tensors, 32 values: all exact")
    assert all(math.isinf(tensor.sqnr_db) for tensor in comparison.tensors)


def test_compare_names_the_first_difference():
    graph, x = residual(), np.arange(8, dtype=np.int32).reshape(2, 4)
    reference = {name: values.copy() for name, values in graph.trace(x).items()}
    reference["y"][1, 2] += 3
    reference["y"][1, 3] -= 4
    comparison = graph.compare(x, reference)
    first = comparison.first_differing
    assert (first.name, first.first, first.expected, first.seen) == ("y", (1, 2), 21, 18)
    assert (first.differing, first.worst) == (2, 4)
    signal = float((reference["y"].astype(float) ** 2).sum())
    assert first.sqnr_db == pytest.approx(10 * math.log10(signal / 25))
    assert "2 of 8 values differ (25.00%), first at [1, 2]: expected 21, seen 18; worst 4," in str(comparison)
    assert str(comparison).endswith("1 differ, first y")


def test_compare_of_floats():
    nan = np.array([1.0, np.nan], np.float32)
    assert compare_arrays("t", nan, nan).exact
    seen = compare_arrays("t", nan, np.array([1.5, np.nan], np.float32))
    assert (seen.differing, seen.worst, seen.first) == (1, 0.5, (0,))
    assert not compare_arrays("t", nan, np.array([1.0, 2.0], np.float32)).exact


def test_nan_is_counted_and_differs_from_numbers():
    seen = np.array([np.nan, np.nan, 1.0, np.inf, 3.0])
    found = compare_arrays("t", seen, np.array([np.nan, 2.0, np.nan, np.inf, 3.5]))
    assert (found.differing, found.nan, found.first, found.worst) == (3, 3, (1,), math.inf)
    assert found.sqnr_db == -math.inf
    assert "3 of 5 values differ (60.00%), first at [1]: expected 2.0, seen nan" in str(found)
    assert str(found).endswith("3 of them NaN")
    assert str(compare_arrays("t", seen[:1], seen[:1])) == "t: exact, 1 values, 1 of them NaN"


@pytest.mark.parametrize(
    ("seen", "reference", "worst"),
    [
        (np.array([-(2**63), 0]), np.array([2**63 - 1, 0]), 2**64 - 1),
        (np.array([0, 2**64 - 1], np.uint64), np.array([0, -(2**63)]), 2**64 - 1 + 2**63),
        (np.array([-128], np.int8), np.array([127], np.int8), 255),
        (np.array([2**53 + 1]), np.array([2**53]), 1),
    ],
)
def test_distances_do_not_wrap(seen, reference, worst):
    found = compare_arrays("t", seen, reference)
    assert (found.differing, found.worst) == (1, worst)
    signal, noise = sum(int(v) ** 2 for v in reference), worst**2
    assert found.sqnr_db == pytest.approx(10 * math.log10(signal / noise))


def test_share_and_lookup():
    found = compare_traces({"a": np.arange(8)}, {"a": np.array([0, 1, 2, 3, 4, 5, 0, 0])})
    assert (found["a"].share, found["a"].first, found["a"].expected) == (0.25, (6,), 0)
    with pytest.raises(GoldenError, match="tensor 'b' was not compared, but 1 others were"):
        found["b"]


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        (np.zeros((3, 2), int), r"the reference is int64 [3, 2], but must be int64 [2, 3]"),
        (np.zeros((2, 3)), r"the reference is float64 [2, 3], but must be int64 [2, 3]"),
        (np.zeros((2, 3), complex), r"the reference is complex128 [2, 3], but must be int64 [2, 3]"),
        (np.zeros((2, 3), object), r"the reference is object [2, 3], but must be int64 [2, 3]"),
    ],
)
def test_what_is_unlike_is_reported_beside_the_rest(reference, problem):
    seen = {"t": np.zeros((2, 3), int), "u": np.arange(4)}
    comparison = compare_traces(seen, {"t": reference, "u": np.arange(4)})
    assert not comparison.exact and comparison["u"].exact
    assert (comparison.first_differing.name, comparison.first_differing.problem) == ("t", problem)
    assert comparison.first_differing.share == 1 and comparison.pair is None
    assert f"t: not comparable: {problem}" in str(comparison)
    assert str(comparison).endswith("2 tensors, 4 values: 1 differ, first t")
    with pytest.raises(GoldenError, match="nothing could be compared: tensor 't': the reference is"):
        compare_traces({"t": seen["t"]}, {"t": reference})


def test_axes_of_length_1_do_not_matter():
    seen = np.arange(20).reshape(2, 1, 1, 10)
    assert compare_arrays("logits", seen, seen.reshape(2, 10)).exact
    assert compare_arrays("logits", seen, seen.reshape(10, 2)).problem


def test_missing_tensors_are_named():
    graph, x = residual(), np.arange(8, dtype=np.int32).reshape(2, 4)
    comparison = graph.compare(x, {"d": 2 * x})
    assert comparison.exact and comparison.missing == ("x", "y", "low", "high")
    assert str(comparison).endswith("all exact; 4 more of the model's tensors are not in the reference")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({}, "names 0 tensors, but none of the 4 that the model computes is among them$"),
        ({"z": np.zeros(1)}, "names 1 tensors, but none of the 4 that the model computes"),
        # An input equals itself.
        ({"x": np.ones((2, 4), np.int32)}, "is among them, only its input 'x'"),
        (
            [1, 2],
            "reference is of type list, but must be a mapping from names to arrays or a model with a method",
        ),
    ],
)
def test_a_comparison_of_nothing_fails(reference, message):
    with pytest.raises(GoldenError, match=message):
        residual().compare(np.ones((2, 4), np.int32), reference)


def test_network_compares_with_models_and_mappings():
    network = golden.load(DIGITS).lower()
    x = np.random.default_rng(3).integers(0, network.input_format.max + 1, (5, *network.input_shape))
    assert network.compare(x, golden.load(DIGITS).lower()).exact

    class Shifted:
        def trace(self, x):
            tensors = network.trace(x)
            tensors[network.output] = tensors[network.output] - 1
            return tensors

    found = network.compare(x, Shifted())
    assert [tensor.name for tensor in found.tensors if not tensor.exact] == [network.output]
    assert (found.first_differing.share, found.first_differing.worst) == (1, 1)
    with pytest.raises(GoldenError, match="only its input 'input'"):
        network.compare(x, {network.input: x})


def some_differ() -> Comparison:
    rng = np.random.default_rng(5)
    seen = {f"t{i}": rng.integers(-9, 9, (4, 5)) for i in range(4)} | {"f": rng.standard_normal(30)}
    reference = {name: values + (rng.random(values.shape) < 0.3) for name, values in seen.items()}
    reference["t0"], reference["t3"] = seen["t0"], np.zeros(7, int)
    return compare_traces(seen, reference)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plot(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = some_differ().plot(tmp_path / f"comparison{suffix}")
    assert path.stat().st_size > 5000
    if suffix == ".svg":
        # Five names, the words of what has no bar, and the two panels of the first that differs.
        text = path.read_text()
        for word in ("t0", "exact", "not comparable", "wrong values in %", "t1: its", "seen - reference"):
            assert f"<!-- {word}" in text or f"<!--  {word}" in text


@pytest.mark.parametrize(
    ("seen", "reference"),
    [
        (np.arange(4), np.arange(4)),
        (np.array([np.nan, 1.0]), np.array([1.0, np.inf])),
        (np.array([-(2**63)]), np.array([2**63 - 1])),
        (np.array([0.25]), np.array([0.5])),
        (np.array([1e308]), np.array([-1e308])),
    ],
)
def test_plot_of_extremes(tmp_path, seen, reference):
    pytest.importorskip("matplotlib")
    assert compare_traces({"t": seen}, {"t": reference}).plot(tmp_path / "c.png").is_file()


def test_plot_errors(tmp_path, monkeypatch):
    comparison = some_differ()
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(
        GoldenError, match="a comparison needs the package matplotlib, install it with: pip install"
    ):
        comparison.plot(tmp_path / "c.png")


def test_compare_refuses_nothing():
    with pytest.raises(GoldenError, match="holds 0 values, but a comparison needs 1 or more"):
        compare_traces({"t": np.zeros(0, int)}, {"t": np.zeros(0, int)})


def test_sqnr_is_that_of_real_values():
    """An integer that stands for zero is no signal."""
    about = Affine(np.array([0.5]), np.array([-128]), None, np.dtype(np.int8))
    reference = np.array([-128, -128, -118, -128], np.int8)
    found = compare_arrays("t", reference + np.array([0, 1, 0, 0], np.int8), reference, about)
    assert found.sqnr_db == pytest.approx(20) and found.worst == 1


def test_integers_against_a_float_model():
    about = Affine(np.array([0.5]), np.array([3]), None, np.dtype(np.int8))
    seen = {"t": np.array([3, 5, 7], np.int8)}
    comparison = compare_traces(seen, {"t": np.array([0, 1, 2.25])}, quantisations={"t": about})
    found = comparison["t"]
    assert [array.tolist() for array in comparison.pair] == [[0, 1, 2], [0, 1, 2.25]]
    assert (found.differing, found.first, found.expected, found.seen, found.worst) == (
        1,
        (2,),
        2.25,
        2.0,
        0.25,
    )
    assert found.sqnr_db == pytest.approx(10 * math.log10((1 + 2.25**2) / 0.25**2))
    assert compare_arrays("t", seen["t"], np.array([0, 1, 2.0], np.float32), Activation(-1)).differing == 3
    assert compare_arrays("t", seen["t"], np.array([1.5, 2.5, 3.5], np.float32), Activation(-1)).exact
