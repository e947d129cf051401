# SPDX-License-Identifier: Apache-2.0
"""What is lowered from the models full of ties: with scales "exact" every tensor equals the framework's arithmetic, or
the file is refused by a message that names the node; with "nearest" the network is the same wherever "exact" has one,
and elsewhere each layer is a step off at most."""

from __future__ import annotations

import dataclasses
import functools
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from golden import GoldenError
from golden.compare import compare_traces
from golden.graph import Graph
from golden.importers import onnx as onnx_importer
from golden.importers import onnx_network, tflite_network
from golden.importers import tflite as tflite_importer
from golden.network import Network
from golden.tests.tie_models import TieModel, by_operator

CASES = by_operator()


@functools.cache
def loaded(model: TieModel) -> Graph:
    """The framework's arithmetic; `test_ties` holds it to the framework."""
    if model.family == "TFLite":
        return tflite_importer.loads(model.data)
    return onnx_importer.loads_graph(model.data)


@functools.cache
def traced(model: TieModel) -> dict[str, np.ndarray]:
    return loaded(model).trace(model.x)


@functools.cache
def lowered(model: TieModel, scales: str) -> Network | GoldenError:
    """The network, or why there is none."""
    try:
        if model.family == "TFLite":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.tflite"
                path.write_bytes(model.data)
                return tflite_network.load(path, scales)
        return onnx_network.from_bytes(model.data, "model", scales, ends=True)
    except GoldenError as error:
        return error


# What fails today. Each reason is a fault of the lowering, told by the models that fail.
PARITY = "the zero point is added before the rounding to even, where the framework adds it after"
BOUNDS = "bounds are rounded half up, where the quantiser has its own rounding"
TFLITE = "TFLite's roundings of ties are taken for roundings to even, where exact must refuse"
NAMELESS = "the output has a name that is none of the file's, or a node is named that is not in the file"
_ALL_TFLITE = (
    *("CONV_2D", "CONV_2D 3x3", "CONV_2D RELU", "CONV_2D RELU6", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD"),
    *("SUB", "ADD itself", "AVERAGE_POOL_2D", "MEAN", "MEAN keep"),
)  # fmt: skip
EXACT_FAILS = {
    **{case: PARITY for case in CASES if case[0] == "QDQ"},
    **{case: PARITY for case in CASES if case[0] == "QOperator"},
    ("QDQ", "Clip"): f"{PARITY}; {BOUNDS}",
    ("QDQ", "Conv Clip"): f"{PARITY}; {BOUNDS}",
    ("QONNX", "Conv Clip"): BOUNDS,
    **{("TFLite", operator): TFLITE for operator in _ALL_TFLITE},
    ("TFLite", "MAX_POOL_2D"): NAMELESS,
    ("TFLite", "PAD"): NAMELESS,
}
# What no lowering reads: refused, as it should be.
UNREAD = {
    ("QDQ", "ConvTranspose"),
    *(
        ("QOperator", kind)
        for kind in ("QLinearMul", "QLinearLeakyRelu", "QLinearWhere", "DynamicQuantizeLinear")
    ),
}
for _case in (*UNREAD, ("QOperator", "QLinearAveragePool")):
    del EXACT_FAILS[_case]

# Scales that are no integers, of a ratio that makes ties.
FRACTIONS = "float32 has rounded before a tie is decided, so that exact must refuse"
_FRACTIONS = {case for case in CASES if case[1].endswith(", fractions")}
_NO_TIES = {
    ("QDQ", f"{operator}, fractions")
    for operator in ("Add constant", "Div", "PRelu", "BatchNormalization", "Conv BatchNormalization")
}
# Integers until the last product, whose factor is a power of two.
_INTEGERS = {
    ("QOperator", f"{operator}, fractions")
    for operator in (
        *("QLinearConv", "QLinearConv bias", "QLinearConv 3x3", "QLinearConv depthwise", "QLinearMatMul", "QGemm"),
        *("QLinearAdd", "QLinearGlobalAveragePool"),
    )
}  # fmt: skip
_REFUSED = {(family, f"{operator}, fractions") for family, operator in UNREAD}
for _case in _FRACTIONS:
    EXACT_FAILS.pop(_case, None)
EXACT_FAILS |= dict.fromkeys(_FRACTIONS - _NO_TIES - _INTEGERS - _REFUSED, FRACTIONS)

HALF_UP = "nearest rounds ties half up in dense layers, and everywhere where the step is no power of two"
_DENSE = {
    "QDQ": ("Conv", "Conv bias", "Conv 3x3", "Conv grouped", "Gemm", "Gemm transB", "MatMul", "Concat",
            "Conv MaxPool", "Conv Relu", "Conv Clip", "Conv LeakyRelu"),
    "QOperator": ("QLinearConv", "QLinearConv bias", "QLinearConv 3x3", "QGemm", "QLinearMatMul", "QLinearConcat"),
    "QONNX": ("Conv", "MatMul", "Conv Relu", "Conv Clip", "Concat"),
    "TFLite": ("CONV_2D", "CONV_2D 3x3", "CONV_2D RELU", "CONV_2D RELU6", "FULLY_CONNECTED"),
}  # fmt: skip
NEAREST_FAILS = {
    (family, operator): HALF_UP for family, operators in _DENSE.items() for operator in operators
}
NEAREST_FAILS |= dict.fromkeys(_FRACTIONS - _NO_TIES - _REFUSED, HALF_UP)
NEAREST_FAILS["TFLite", "AVERAGE_POOL_2D"] = HALF_UP


def cases(failing: dict[tuple[str, str], str]):
    return pytest.mark.parametrize(
        "family, operator",
        [
            pytest.param(*case, marks=pytest.mark.xfail(strict=True, reason=failing[case]))
            if case in failing
            else case
            for case in CASES
        ],
    )


def names_a_node(error: GoldenError, graph: Graph) -> bool:
    named = set(re.findall(r"node '([^']*)'", str(error)))
    return bool(named & {node.name for node in graph.nodes})


@cases(EXACT_FAILS)
def test_exact_equals_the_framework_or_refuses(family, operator):
    failed = []
    for model in CASES[family, operator]:
        network = lowered(model, "exact")
        if isinstance(network, GoldenError):
            assert names_a_node(network, loaded(model)), f"{model.name}: {network}"
            continue
        theirs = network.integers(traced(model))
        if {network.input, model.output} - set(theirs):
            failed.append(f"{model.name}: the network has {list(network.shapes)}, not {model.output!r}")
            continue
        comparison = compare_traces(network.trace(theirs[network.input]), theirs, network.inputs)
        if not comparison.exact:
            failed.append(f"{model.name}: {comparison}")
    assert not failed, "\n".join(failed)


@cases(NEAREST_FAILS)
def test_nearest_is_exact_where_exact_is(family, operator):
    for model in CASES[family, operator]:
        exact, near = lowered(model, "exact"), lowered(model, "nearest")
        if isinstance(exact, GoldenError):
            continue
        assert isinstance(near, Network), f"{model.name}: {near}"
        assert len(near.layers) == len(exact.layers), model.name
        for ours, theirs in zip(near.layers, exact.layers, strict=True):
            np.testing.assert_equal(dataclasses.asdict(ours), dataclasses.asdict(theirs), model.name)


@pytest.mark.parametrize("family, operator", list(CASES))
def test_nearest_is_a_step_off_at_most(family, operator):
    for model in CASES[family, operator]:
        network = lowered(model, "nearest")
        if isinstance(network, GoldenError):
            named = names_a_node(network, loaded(model))
            assert named or (family, operator) in EXACT_FAILS, f"{model.name}: {network}"
            continue
        theirs = network.integers(traced(model))
        alone = network.trace(theirs[network.input], theirs)
        for name in set(alone) & set(theirs):
            assert np.abs(alone[name] - theirs[name]).max() <= 1, (model.name, name)


def test_the_example_of_a_zero_point_of_one():
    """x = -4..3, a weight of 1, step 2, zero point 1: the ties -3/2, -1/2, 1/2, 3/2 and what they give."""
    (model,) = (m for m in CASES["QDQ", "Conv"] if "int8-0-1-1:2" in m.name)
    taken = (model.x[:, 0] >= -4) & (model.x[:, 0] <= 3)
    seen = traced(model)[model.output][:, 0][taken]
    pairs = dict(zip(model.x[:, 0][taken].tolist(), seen.tolist(), strict=True))
    assert [pairs[x] for x in range(-4, 4)] == [-1, -1, 0, 1, 1, 1, 2, 3]
