# SPDX-License-Identifier: Apache-2.0
"""What is lowered from the models full of ties: with scales "exact" every tensor equals the framework's arithmetic, or
the file is refused by a message that names the node; with "nearest" the network is the same wherever "exact" has one,
and elsewhere each layer is a step off at most."""

from __future__ import annotations

import dataclasses
import functools
import re

import numpy as np
import pytest

from assay.golden import GoldenError
from assay.golden.compare import compare_traces
from assay.golden.graph import Graph
from assay.golden.importers import onnx as onnx_importer
from assay.golden.importers import tflite as tflite_importer
from assay.golden.network import Network
from assay.golden.tests.tie_models import TieModel, by_operator

CASES = by_operator()

each_operator = pytest.mark.parametrize("family, operator", list(CASES))


@functools.cache
def loaded(model: TieModel) -> Graph:
    """The framework's arithmetic; `test_ties` holds it to the framework."""
    importer = tflite_importer if model.family == "TFLite" else onnx_importer
    return importer.loads(model.data, "model")


@functools.cache
def traced(model: TieModel) -> dict[str, np.ndarray]:
    return loaded(model).trace(model.x)


@functools.cache
def lowered(model: TieModel, scales: str) -> Network | GoldenError:
    """The network, or why there is none."""
    try:
        return loaded(model).lower(scales)
    except GoldenError as error:
        return error


def names_a_node(error: GoldenError, graph: Graph) -> bool:
    named = set(re.findall(r"node '([^']*)'", str(error)))
    return bool(named & {node.name for node in graph.nodes})


@each_operator
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


# Operators that no layer has, and sums whose scales fixed-point arithmetic rounds.
NO_LAYER = (
    *("ConvTranspose", "DynamicQuantizeLinear", "QLinearLeakyRelu", "QLinearMul", "QLinearWhere"),
    *("BATCH_MATMUL", "LEAKY_RELU", "PRELU", "SQUARED_DIFFERENCE", "TRANSPOSE_CONV"),
)
ROUNDED = {"ADD": 1, "SUB": 1}


@each_operator
def test_scales_that_are_powers_of_two_are_exact(family, operator):
    """Or else a lowering that refuses everything would pass all tests here."""
    models = CASES[family, operator]
    refused = [model for model in models if isinstance(lowered(model, "exact"), GoldenError)]
    if not operator.endswith(", fractions"):
        assert len(refused) == (len(models) if operator in NO_LAYER else ROUNDED.get(operator, 0))


@each_operator
def test_nearest_is_exact_where_exact_is(family, operator):
    for model in CASES[family, operator]:
        exact, near = lowered(model, "exact"), lowered(model, "nearest")
        if isinstance(exact, GoldenError):
            continue
        assert len(near.layers) == len(exact.layers), model.name
        for ours, theirs in zip(near.layers, exact.layers, strict=True):
            np.testing.assert_equal(dataclasses.asdict(ours), dataclasses.asdict(theirs), model.name)


@each_operator
def test_nearest_is_a_step_off_at_most(family, operator):
    for model in CASES[family, operator]:
        network = lowered(model, "nearest")
        if isinstance(network, GoldenError):
            assert names_a_node(network, loaded(model)), f"{model.name}: {network}"
            continue
        theirs = network.integers(traced(model))
        alone = network.trace(theirs[network.input], theirs)
        for name in set(alone) & set(theirs):
            assert np.abs(alone[name] - theirs[name]).max() <= 1, (model.name, name)


def test_the_example_of_a_zero_point_of_one():
    """x = -4..3, a weight of 1, step 2, zero point 1: the ties -3/2, -1/2, 1/2, 3/2 and what they give."""
    (model,) = (m for m in CASES["QDQ", "Conv"] if "int8-0-1-1:2" in m.name)
    taken = (model.x[:, 0] >= -4) & (model.x[:, 0] <= 3)
    network = lowered(model, "exact")
    theirs = network.integers(traced(model))
    ours = network.trace(theirs[network.input])[model.output].transpose(0, 3, 1, 2)
    offset = network.origins[model.output].offset
    for seen in (traced(model)[model.output][:, 0][taken], ours[:, 0][taken] + offset):
        pairs = dict(zip(model.x[:, 0][taken].tolist(), seen.tolist(), strict=True))
        assert [pairs[x] for x in range(-4, 4)] == [-1, -1, 0, 1, 1, 1, 2, 3]
