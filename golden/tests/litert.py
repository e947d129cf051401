# SPDX-License-Identifier: Apache-2.0
"""What the TFLite tests share: the networks, LiteRT where it is installed, inputs with extremes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from assay.golden.compare import Comparison
from assay.golden.graph import Graph
from assay.golden.runtimes.litert import LiteRt

# The four networks of MLPerf Tiny, which are no part of the project: the folder named by ASSAY_MODELS, or
# shared/models beside the checkout.
MODELS = Path(os.environ.get("ASSAY_MODELS") or Path(__file__).parents[3] / "shared" / "models")


def network(name: str) -> Path:
    """Path of one of the networks; the test is skipped where it, or the TFLite parser, is absent."""
    pytest.importorskip("tflite", reason="the TFLite parser is missing: pip install tflite")
    path = MODELS / name
    if not path.is_file():
        pytest.skip(f"no {name} in {MODELS}: name its folder with ASSAY_MODELS")
    return path


def litert(model: Path | bytes, graph: Graph) -> LiteRt:
    """LiteRT's reference kernels; the test is skipped where LiteRT is not installed."""
    pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is missing: pip install ai-edge-litert")
    return LiteRt(model, graph)


def optimised(data: bytes, x: np.ndarray) -> np.ndarray:
    """The output of a file of one input in LiteRT's optimised kernels (no delegate), for what BUILTIN_REF lacks."""
    interpreter = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="LiteRT is missing: pip install ai-edge-litert"
    )
    runtime = interpreter.Interpreter(
        model_content=data,
        experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runtime.allocate_tensors()
    runtime.set_tensor(runtime.get_input_details()[0]["index"], x)
    runtime.invoke()
    return runtime.get_tensor(runtime.get_output_details()[0]["index"])


def compare(graph: Graph, runtime: LiteRt, x: dict[str, np.ndarray]) -> Comparison:
    """Run both on the same N inputs and compare every tensor that the graph makes."""
    comparison = graph.compare(x, runtime)
    expected = len(graph.inputs) + sum(len(node.outputs) for node in graph.nodes)
    assert len(comparison.tensors) == expected, "some tensors were not compared"
    return comparison


def random_inputs(graph: Graph, runs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Inputs for `runs` runs: the least and greatest value everywhere, the zero point, both ends at random, then
    uniform over the whole range."""
    inputs = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        low, high = np.iinfo(tensor.dtype).min, np.iinfo(tensor.dtype).max
        x = rng.integers(low, high + 1, (runs, *tensor.shape)).astype(tensor.dtype)
        special = [low, high, int(tensor.quantisation.zero_point[0])]
        for run, value in zip(range(runs), special, strict=False):
            x[run] = value
        if runs > len(special):
            x[len(special)] = rng.choice(np.array([low, high], tensor.dtype), tensor.shape)
        inputs[name] = tensor.stacked(x)
    return inputs
