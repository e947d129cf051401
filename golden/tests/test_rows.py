# SPDX-License-Identifier: Apache-2.0
"""Rows of input: drawn within what a network takes, read from files with what is wrong named, run in parts."""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden import GoldenError
from assay.golden.graph import AssignVariable, Graph, Node, ReadVariable, Tensor
from assay.golden.importers import onnx as importer
from assay.golden.importers import tflite as tflite_importer
from assay.golden.layers import onnx_float, shaping
from assay.golden.rows import count, limits, random_rows, read_rows, traced
from assay.golden.tests.onnx_files import OnnxFile
from assay.golden.tests.tflite_cases import Case

RNG = np.random.default_rng


def tensors(**shapes) -> dict[str, Tensor]:
    return {name: Tensor(name, shape, np.dtype(dtype), None) for name, (shape, dtype) in shapes.items()}


def gathering(seed: int) -> tuple[Graph, dict[str, int]]:
    """Inputs whose values become indices after moves and casts; the least axis that each one indexes."""
    rng = RNG(seed)
    dtypes = {"a": rng.choice(["int8", "int32", "int64", "uint8", "float32"]), "b": "int64"}
    sizes = [int(n) for n in rng.integers(1, 9, 3)]
    known = {
        name: Tensor(name, shape, np.dtype(dtype), None)
        for name, shape, dtype in (
            ("a", (1, 6), dtypes["a"]),
            ("b", (1, 6), "int64"),
            ("cast", (1, 6), "int64"),
            ("both", (1, 12), "int64"),
            ("turned", (1, 3, 4), "int64"),
            *((f"table{i}", (2, n), "float32") for i, n in enumerate(sizes)),
            ("one", (2, 1, 6), "float32"),
            ("two", (2, 1, 3, 4), "float32"),
            ("three", (2, 1, 6), "float32"),
        )
    }
    nodes = (
        Node("cast", "Cast", onnx_float.Cast(np.dtype(np.int64)), ("a",), ("cast",)),
        Node("join", "Concat", shaping.Concatenate(1), ("cast", "b"), ("both",)),
        Node("turn", "Reshape", shaping.Reshape((1, 3, 4)), ("both",), ("turned",)),
        Node("one", "Gather", onnx_float.Gather(1, "one"), ("table0", "cast"), ("one",)),
        Node("two", "GATHER", shaping.Gather(1, 0, "two"), ("table1", "turned"), ("two",)),
        Node("three", "Gather", onnx_float.Gather(1, "three"), ("table2", "b"), ("three",)),
    )
    tables = {f"table{i}": np.zeros((2, n), np.float32) for i, n in enumerate(sizes)}
    graph = Graph("g", known, ("a", "b"), ("one", "two", "three"), nodes, tables)
    return graph, {"a": min(sizes[0], sizes[1]), "b": min(sizes[1], sizes[2])}


@pytest.mark.parametrize("seed", range(20))
def test_what_becomes_an_index_stays_within_every_table_and_reaches_its_ends(seed):
    graph, length = gathering(seed)
    assert limits(graph) == {name: (0, n - 1, frozenset()) for name, n in length.items()}
    rows = random_rows(graph, 300, RNG(seed))
    graph.predict(rows)
    for name, n in length.items():
        assert rows[name].dtype == graph.tensors[name].dtype
        assert set(np.unique(rows[name]).tolist()) == set(range(n))


def test_an_index_of_a_file_and_a_boolean():
    file = OnnxFile()
    places, which = file.input((1, 5), np.int64), file.input((1, 5), np.bool_)
    file.node("Where", which, file.node("Gather", np.ones(7, np.float32), places), np.float32(0))
    q = file.quantize(file.nodes[-1].output[0], 0.1, np.int8(0))
    file.dequantize(q, 0.1, np.int8(0))
    graph = importer.loads(file.bytes(), "g")
    rows = random_rows(graph, 40, RNG(0))
    assert {str(x.dtype) for x in rows.values()} == {"int64", "bool"}
    assert 0 < rows[which].mean() < 1 and len(graph.trace(rows)) > 3


@pytest.mark.parametrize("kind", ["DIV", "SQRT", "RSQRT", "LOG"])
@pytest.mark.parametrize("seed", range(4))
def test_what_an_operator_is_not_defined_for_is_not_drawn(kind, seed):
    case = Case(seed)
    shape = (1, 40)
    inputs = [case.input(shape) for _ in range(2 if kind == "DIV" else 1)]
    turned = case.like(inputs[-1])
    case.file.operator("RESHAPE", [inputs[-1], case.int32(8, 5)], [turned], "ReshapeOptions", NewShape=[8, 5])
    if kind == "DIV":
        first = case.like(inputs[0])
        case.file.operator(
            "RESHAPE", [inputs[0], case.int32(8, 5)], [first], "ReshapeOptions", NewShape=[8, 5]
        )
        case.file.operator("DIV", [first, turned], [y := case.output(5)], "DivOptions")
    else:
        case.file.operator(kind, [turned], [y := case.output(5)])
    graph = tflite_importer.loads(case.file.bytes(case.inputs, [y]))
    rows = random_rows(graph, 100, RNG(seed))
    graph.predict(rows)
    zero = case.file.tensors[inputs[-1]].zero_point[0]
    drawn = rows[graph.inputs[-1]]
    assert {-128 if kind == "DIV" else zero, 127} - {zero} <= set(np.unique(drawn).tolist())


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint64", "float32", "bool"])
def test_both_ends_of_a_dtype_can_be_drawn(dtype):
    graph = Graph("g", tensors(x=((1, 3000), dtype)), ("x",), ("x",), ())
    x = random_rows(graph, 4, RNG(0))["x"]
    assert x.shape == (4, 3000) and x.dtype == dtype
    if dtype in ("int8", "uint8"):
        assert (x.min(), x.max()) == (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if dtype in ("int64", "uint64"):
        assert x.max() > 0.9 * np.iinfo(dtype).max
    if dtype == "bool":
        assert 0 < x.mean() < 1


SMALL = Graph("small", tensors(x=((1, 2), "int8"), f=((1, 2), "float32")), ("x", "f"), ("x",), ())
ONE = Graph("one", tensors(x=((1, 2), "int8")), ("x",), ("x",), ())


def test_numbers_of_another_width_are_taken(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([[127, -128]], np.int64), f=np.array([[1, 2]], np.float64))
    rows = read_rows(path, SMALL)
    assert rows["x"].dtype == np.int8 and rows["f"].dtype == np.float32 and count(rows) == 1
    SMALL.predict(rows)
    np.savez(path, other=np.zeros((3, 2), np.uint8))
    assert read_rows(path, ONE)["x"].shape == (3, 2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((1, 2), np.int8)}, "holds arrays named 'x', but small takes 'x', 'f'"),
        (np.zeros((1, 2), np.int8), "holds one array, but small takes 'x', 'f'"),
        ({"x": np.zeros((1, 2), np.int8), "f": np.zeros((2, 2), np.float32)}, r"holds \[1, 2\] rows"),
        ({"x": np.zeros((0, 2), np.int8), "f": np.zeros((0, 2), np.float32)}, r"holds \[0\] rows"),
        ({"x": np.int8(3), "f": np.float32(0)}, r"holds \[0\] rows"),
        ({"x": np.array([[0, 128]]), "f": np.zeros((1, 2))}, "from 0 to 128, but input 'x' of small takes -128 to 127"),
        ({"x": np.zeros((1, 3), int), "f": np.zeros((1, 2))}, r"\[1, 3\], but input 'x' of small takes int8 \[N, 2\]"),
        ({"x": np.zeros((1, 2)), "f": np.zeros((1, 2))}, "holds float64"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(tmp_path, arrays, message):
    path = tmp_path / "rows.npz"
    if isinstance(arrays, dict):
        np.savez(path, **arrays)
    else:
        path = tmp_path / "rows.npy"
        np.save(path, arrays)
    with pytest.raises(GoldenError, match=message) as refused:
        read_rows(path, SMALL)
    assert str(path) in str(refused.value)


class Counting:
    """A model that doubles, and remembers how many rows it got at a time."""

    def __init__(self):
        self.parts = []

    def trace(self, x):
        self.parts.append(len(x["x"]))
        return {"x": x["x"], "y": 2 * x["x"]}


@pytest.mark.parametrize("number", [1, 2, 3, 64, 65, 200])
def test_parts_make_the_whole_and_progress_counts_every_row(number):
    model, seen = Counting(), []
    x = np.arange(number)
    made = traced(model, {"x": x}, None, seen.append)
    np.testing.assert_array_equal(made["y"], 2 * x)
    assert seen == model.parts and sum(seen) == number and max(seen) <= 64 and seen[0] == 1
    assert list(traced(model, {"x": x}, ["y"])) == ["y"]


def test_a_slow_model_runs_row_by_row(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("assay.golden.rows.time.monotonic", lambda: next(clock))
    model = Counting()
    traced(model, {"x": np.arange(5)})
    assert model.parts == [1] * 5


def test_state_takes_one_step_at_a_time():
    known = tensors(x=((1, 2), "int8"), s=((1, 2), "int8"))
    nodes = (
        Node("read", "READ_VARIABLE", ReadVariable("v"), (), ("s",)),
        Node("keep", "ASSIGN_VARIABLE", AssignVariable("v"), ("x",), ()),
    )
    graph = Graph("g", known, ("x",), ("s",), nodes, variables={"v": np.zeros((1, 2), np.int8)})
    x = np.arange(10, dtype=np.int8).reshape(5, 2)
    np.testing.assert_array_equal(traced(graph, {"x": x})["s"], np.vstack([np.zeros((1, 2)), x[:-1]]))
