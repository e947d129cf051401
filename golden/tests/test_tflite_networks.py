# SPDX-License-Identifier: Apache-2.0
"""Whole TFLite networks against LiteRT's reference kernels: every intermediate tensor, bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assay import golden
from assay.golden import GoldenError
from assay.golden.importers import tflite as importers
from assay.golden.tests.litert import compare, litert, network, random_inputs

# Network -> how many inputs it is compared on.
NETWORKS = {
    "mlperf_tiny_resnet8_int8.tflite": 512,
    "mlperf_tiny_kws_dscnn_int8.tflite": 1024,
    "mlperf_tiny_vww_mobilenetv1_int8.tflite": 256,
    "mlperf_tiny_ad_autoencoder_int8.tflite": 2048,
}
# The production models of PyPI's pymicro-wakeword, and how many steps of their streams are compared.
WAKE_WORDS = ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")
STEPS = 400


@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_equals_litert(name):
    path = network(name)
    graph = golden.load(path)
    runtime = litert(path, graph)
    rng = np.random.default_rng(len(name))
    for first in range(0, NETWORKS[name], 64):
        inputs = random_inputs(graph, min(64, NETWORKS[name] - first), rng)
        comparison = compare(graph, runtime, inputs)
        assert comparison.exact, f"{comparison.first_differing}"


@pytest.mark.parametrize("name", NETWORKS)
def test_the_batch_does_not_matter(name):
    graph = golden.load(network(name))
    (x,) = random_inputs(graph, 7, np.random.default_rng(3)).values()
    whole = graph.trace(x)
    parts = [graph.trace(x[i : i + 1]) for i in range(7)]
    for tensor, values in whole.items():
        np.testing.assert_array_equal(values, np.concatenate([part[tensor] for part in parts]))
    np.testing.assert_array_equal(graph.predict(x), whole[graph.outputs[0]])


@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "alexnet", "bert_tiny"])
def test_networks_of_random_weights_equal_litert(name):
    pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
    from assay.golden.exporters import networks

    data = networks.write(name)
    graph = importers.loads(data)
    (tensor,) = (graph.tensors[name] for name in graph.inputs)
    x = np.random.default_rng(0).integers(-128, 128, tensor.shape).astype(np.int8)
    theirs = litert(data, graph).trace(x)
    comparison = graph.compare(x, theirs)
    assert len(comparison.tensors) == len(theirs) > len(graph.nodes)
    assert comparison.exact, f"{comparison.first_differing}"
    for node in graph.nodes:
        if node.macs:
            assert len(np.unique(theirs[node.outputs[0]])) > 20, f"{node.name}: the scales leave few values"


def wake_word(name: str) -> Path:
    pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
    package = pytest.importorskip(
        "pymicro_wakeword", reason="the wake-word models are missing: pip install pymicro-wakeword"
    )
    return Path(package.__file__).parent / "models" / f"{name}.tflite"


@pytest.mark.parametrize("name", WAKE_WORDS)
def test_streams_equal_litert_at_every_step(name):
    path = wake_word(name)
    graph = golden.load(path)
    runtime = litert(path, graph)
    assert graph.variables
    (steps,) = random_inputs(graph, STEPS, np.random.default_rng(len(name))).values()
    for step in range(STEPS):
        x = {graph.inputs[0]: steps[step : step + 1]}
        comparison = compare(graph, runtime, x)
        assert comparison.exact, f"step {step}: {comparison.first_differing}"


def test_parallel_streams_are_independent():
    path = wake_word("okay_nabu")
    together, alone = golden.load(path), golden.load(path)
    (x,) = random_inputs(together, 60, np.random.default_rng(1)).values()
    x = x.reshape(3, 20, *x.shape[1:])
    outputs = [together.predict(x[:, step]) for step in range(20)]
    for stream in range(3):
        alone.reset()
        for step in range(20):
            y = alone.predict(x[stream, step][None])
            np.testing.assert_array_equal(y[0], outputs[step][stream])


def test_reset_returns_to_the_beginning():
    graph = golden.load(wake_word("alexa"))
    (x,) = random_inputs(graph, 8, np.random.default_rng(2)).values()
    first = [graph.trace(step[None]) for step in x]
    again = graph.trace(x[:1])
    assert any((first[0][name] != again[name]).any() for name in again), "the state must have moved on"
    graph.reset()
    for before, step in zip(first, x, strict=True):
        for name, values in graph.trace(step[None]).items():
            np.testing.assert_array_equal(values, before[name])


def test_streams_keep_their_number_until_reset():
    graph = golden.load(wake_word("alexa"))
    (x,) = random_inputs(graph, 3, np.random.default_rng(2)).values()
    graph.predict(x)
    before = {name: value.copy() for name, value in graph.state.items()}
    with pytest.raises(GoldenError, match=r"holds 2 streams, but the state .* holds 3"):
        graph.predict(x[:2])
    for name, value in graph.state.items():
        np.testing.assert_array_equal(value, before[name])
    graph.reset()
    graph.predict(x[:2])
