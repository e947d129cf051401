"""Runs .tflite models in LiteRT's reference kernels: the runtime that the TFLite graphs are held to, bit by bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import golden
from golden.compare import Comparison, compare_traces

# The four networks of MLPerf Tiny, which are no part of the project: the folder named by ASSAY_MODELS, or
# shared/models beside the checkout.
MODELS = Path(os.environ.get("ASSAY_MODELS") or Path(__file__).parents[3] / "shared" / "models")


def network(name: str) -> Path:
    """Path of one of the networks; the test is skipped where it is absent."""
    path = MODELS / name
    if not path.is_file():
        pytest.skip(f"no {name} in {MODELS}: name its folder with ASSAY_MODELS")
    return path


class LiteRt:
    """LiteRT's interpreter with the reference kernels, keeping every tensor; one thread.

    The test is skipped where ai-edge-litert is not installed.
    """

    def __init__(self, model: Path | bytes) -> None:
        runtime = pytest.importorskip(
            "ai_edge_litert.interpreter", reason="LiteRT is missing: pip install ai-edge-litert"
        )
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        self._interpreter = runtime.Interpreter(
            **source,
            experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
            num_threads=1,
        )
        self._interpreter.allocate_tensors()
        self._inputs = [detail["index"] for detail in self._interpreter.get_input_details()]

    def invoke(self, *inputs: np.ndarray) -> None:
        """One run, of the file's own shapes."""
        for index, array in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(index, array)
        self._interpreter.invoke()

    def tensor(self, index: int) -> np.ndarray:
        """A tensor after the last run."""
        return self._interpreter.get_tensor(index)

    def trace(self, graph: golden.Graph, runs: Iterator[tuple[np.ndarray, ...]]) -> dict[str, np.ndarray]:
        """The tensors of `graph` from one run after the other, `[N, *shape]` of the file."""
        made = [*graph.inputs, *(name for node in graph.nodes for name in node.outputs)]
        kept: dict[str, list[np.ndarray]] = {name: [] for name in made}
        for inputs in runs:
            self.invoke(*inputs)
            for name, arrays in kept.items():
                arrays.append(self.tensor(graph.tensors[name].index))
        return {name: np.stack(arrays) for name, arrays in kept.items()}


def compare(graph: golden.Graph, litert: LiteRt, x: dict[str, np.ndarray]) -> Comparison:
    """Run both on the same N inputs (N independent runs) and compare every tensor that the graph makes."""
    runs = len(next(iter(x.values())))
    shaped = [x[name].reshape(runs, *graph.tensors[name].shape) for name in graph.inputs]
    reference = litert.trace(graph, (tuple(array[i] for array in shaped) for i in range(runs)))
    comparison = compare_traces(graph.trace(x), reference)
    expected = len(graph.inputs) + sum(len(node.outputs) for node in graph.nodes)
    assert len(comparison.tensors) == expected, "some tensors were not compared"
    return comparison


def random_inputs(graph: golden.Graph, runs: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
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
