# SPDX-License-Identifier: Apache-2.0
"""Graphs on their own: order, branches, several inputs and outputs, batches, state, summary, comparison."""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden import ConfigurationError, GoldenError
from assay.golden.graph import AssignVariable, Graph, Node, ReadVariable, Tensor

INT32 = np.dtype(np.int32)


def tensors(**shapes):
    return {name: Tensor(name, shape, INT32) for name, shape in shapes.items()}


def add(a, b):
    return a + b


def residual() -> Graph:
    """y = (2x + x) with a constant, and its halves as two outputs."""
    return Graph(
        name="residual",
        tensors=tensors(x=(1, 4), two=(1,), d=(1, 4), y=(1, 4), low=(1, 2), high=(1, 2)),
        inputs=("x",),
        outputs=("low", "high"),
        nodes=(
            Node("double", "MUL", lambda a, b: a * b, ("x", "two"), ("d",), 4),
            Node("add", "ADD", add, ("d", "x"), ("y",)),
            Node("split", "SPLIT", lambda a: (a[:, :, :2], a[:, :, 2:]), ("y",), ("low", "high")),
        ),
        constants={"two": np.array([2], np.int32)},
    )


def counter() -> Graph:
    """Adds its input to a variable, and gives the sum."""
    return Graph(
        name="counter",
        tensors=tensors(x=(1, 2), old=(1, 2), new=(1, 2)),
        inputs=("x",),
        outputs=("new",),
        nodes=(
            Node("read", "READ", ReadVariable("sum"), (), ("old",)),
            Node("add", "ADD", add, ("x", "old"), ("new",)),
            Node("assign", "ASSIGN", AssignVariable("sum"), ("new",), ()),
        ),
        variables={"sum": np.array([[10, 20]], np.int32)},
    )


def test_branches_and_several_outputs():
    graph, x = residual(), np.arange(8, dtype=np.int32).reshape(2, 4)
    trace = graph.trace(x)
    assert list(trace) == ["x", "d", "y", "low", "high"]
    np.testing.assert_array_equal(trace["y"], 3 * x)
    outputs = graph.predict(x)
    assert list(outputs) == ["low", "high"]
    np.testing.assert_array_equal(np.concatenate(list(outputs.values()), axis=1), 3 * x)


def test_several_inputs_by_name():
    graph = Graph(
        "sum",
        tensors(a=(1, 2), b=(3, 2), y=(3, 2)),
        ("a", "b"),
        ("y",),
        (Node("add", "ADD", add, ("a", "b"), ("y",)),),
    )
    a, b = np.ones((5, 2), np.int32), np.arange(30, dtype=np.int32).reshape(5, 3, 2)
    np.testing.assert_array_equal(graph.predict({"a": a, "b": b}), b + 1)
    with pytest.raises(GoldenError, match="but was given one array: give a dict"):
        graph.predict(a)
    with pytest.raises(GoldenError, match="but must hold the same number each"):
        graph.predict({"a": a[:1], "b": b})


def test_state_advances_for_each_stream():
    graph, x = counter(), np.array([[1, 2], [3, 4]], np.int32)
    np.testing.assert_array_equal(graph.predict(x), [[11, 22], [13, 24]])
    np.testing.assert_array_equal(graph.predict(x), [[12, 24], [16, 28]])
    np.testing.assert_array_equal(graph.state["sum"], [[[12, 24]], [[16, 28]]])
    graph.reset()
    np.testing.assert_array_equal(graph.predict(x[:1]), [[11, 22]])


def test_a_failed_call_leaves_the_state():
    graph = counter()
    broken = Node("fail", "FAIL", lambda a: 1 / 0, ("new",), ())
    graph = Graph(
        graph.name, graph.tensors, graph.inputs, graph.outputs, (*graph.nodes, broken), {}, graph.variables
    )
    with pytest.raises(ZeroDivisionError):
        graph.predict(np.ones((1, 2), np.int32))
    np.testing.assert_array_equal(graph.state["sum"], [[[10, 20]]])


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ((Node("n", "ADD", add, ("y", "x"), ("y",)),), "tensor 'y' is read before any node makes it"),
        ((Node("n", "ADD", add, ("x", "x"), ("x",)),), "tensor 'x' is made twice"),
        ((Node("n", "ADD", add, ("x", "x"), ("z",)),), "output 'y' is made by no node"),
        (
            (Node("n", "ADD", add, ("x", "x"), ("y",)), Node("n", "ADD", add, ("x", "x"), ("z",))),
            "another node has that name",
        ),
        ((Node("n", "R", ReadVariable("v"), (), ("y",)),), "variable 'v' has no initial value"),
        (
            (Node("n", "ADD", add, ("x", "x"), ("y",)), Node("m", "ADD", add, ("x", "x"), ("w",))),
            "tensor 'w' has no shape",
        ),
    ],
)
def test_graphs_that_are_refused(nodes, message):
    with pytest.raises(ConfigurationError, match=message):
        Graph("g", tensors(x=(1, 2), y=(1, 2), z=(1, 2)), ("x",), ("y",), nodes)


def test_summary_names_nodes_outputs_and_state():
    text = residual().summary()
    assert "graph residual: 3 nodes, 4 MACs a run" in text
    lines = {line.split()[0]: line for line in text.splitlines()[2:] if line[0] != " "}
    assert lines["add"].split() == ["add", "ADD", "double,", "x", "y", "1x4", "int32"]
    assert "state" in counter().summary()
