# SPDX-License-Identifier: Apache-2.0
"""Every operator that rounds, at ties of both signs and beyond both ends, with odd and even zero points: the graph
that `golden` reads equals the file's own framework in every tensor, and the framework equals its specification."""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden.importers import onnx as onnx_importer
from assay.golden.importers import tflite as tflite_importer
from assay.golden.tests.litert import litert
from assay.golden.tests.onnx_files import onnxruntime, qonnx
from assay.golden.tests.tie_models import by_operator

CASES = by_operator()

# What an operator cannot reach: values below what a ReLU leaves, values beyond the range of an average.
_NO_LOW = {"tie below", "low"}
NEVER = {
    ("QDQ", "Relu"): _NO_LOW,
    ("QDQ", "Conv Relu"): _NO_LOW,
    ("QDQ", "Conv Clip"): _NO_LOW,
    ("QONNX", "Relu"): _NO_LOW,
    ("QONNX", "Conv Relu"): _NO_LOW,
    ("QONNX", "Trunc 1"): {"low", "high"},
    ("QONNX", "Trunc 2"): {"low", "high"},
    ("QOperator", "DynamicQuantizeLinear"): {"low", "high"},
    ("TFLite", "SQUARED_DIFFERENCE"): _NO_LOW,
    ("TFLite", "CONV_2D RELU"): _NO_LOW,
    ("TFLite", "CONV_2D RELU6"): _NO_LOW,
    ("TFLite", "RELU"): _NO_LOW,
    ("TFLite", "RELU6"): _NO_LOW,
    ("TFLite", "AVERAGE_POOL_2D"): {"low", "high"},
    ("TFLite", "MAX_POOL_2D"): {"tie above", "tie below", "low", "high"},
}


@pytest.mark.parametrize("family, operator", list(CASES))
def test_graph_equals_its_framework(family, operator):
    for model in CASES[family, operator]:
        if family == "TFLite":
            graph = tflite_importer.loads(model.data)
            runtime = litert(model.data, graph)
        else:
            graph = onnx_importer.loads(model.data)
            runtime = (qonnx if family == "QONNX" else onnxruntime)(model.data, graph)
        ours, theirs = graph.trace(model.x), runtime.trace(model.x)
        assert {node.outputs[0] for node in graph.nodes} <= set(theirs), "some tensors were not compared"
        for name, array in theirs.items():
            assert ours[name].dtype == array.dtype, (model.name, name)
        comparison = graph.compare(model.x, theirs)
        assert comparison.exact, f"{model.name}: {comparison}"
        seen = theirs[model.output].astype(np.float64)
        assert seen.shape == model.exact.shape
        if model.expected is not None:
            np.testing.assert_array_equal(seen, model.expected, model.name)
        elif family != "QONNX":
            clipped = np.clip(model.exact + model.zero, model.low, model.high)
            # Between two roundings a tie may have gone either way.
            assert np.abs(seen - clipped).max() < 2, model.name


@pytest.mark.parametrize("family, operator", [case for case in CASES if "fractions" not in case[1]])
def test_ties_and_both_ends_are_reached(family, operator):
    reached = set()
    for model in CASES[family, operator]:
        values = model.exact + model.zero
        reached |= {"tie above"} if (model.ties > 0).any() else set()
        reached |= {"tie below"} if (model.ties < 0).any() else set()
        reached |= {"low"} if (values < model.low - 0.5).any() else set()
        reached |= {"high"} if (values > model.high + 0.5).any() else set()
    assert reached == {"tie above", "tie below", "low", "high"} - NEVER.get((family, operator), set())


def test_fractions_have_ties_too():
    for (family, operator), models in CASES.items():
        if "fractions" in operator and not operator.startswith(
            ("Clip", "Add constant", "Div", "BatchNorm", "QLinearMul")
        ):
            assert any(model.ties.size for model in models), (family, operator)


def test_the_inputs_are_every_value_of_their_grid():
    for (family, _), models in CASES.items():
        for model in models:
            if family in ("QDQ", "TFLite"):
                assert len(np.unique(model.x)) == 256, model.name
