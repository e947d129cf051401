# SPDX-License-Identifier: Apache-2.0
"""Whose arithmetic a graph is, and the runtime that computes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from assay.golden.graph import Graph
from assay.golden.runtimes.isolated import Isolated, of_file
from assay.golden.schemes.qonnx import QUANTISERS

__all__ = ["arithmetic", "runtime_of"]

_LAYERS = {
    "assay.golden.layers.tflite": "TFLite's reference kernels",
    "assay.golden.layers.fixed_point": "the fixed-point ONNX scheme",
    "assay.golden.layers.onnx": "onnxruntime's operators",
    "assay.golden.layers.mlas": "onnxruntime's operators",
    "assay.golden.schemes.onnx": "onnxruntime's operators",
}


def arithmetic(graph: Graph) -> str:
    """Whose arithmetic the operators of a graph are defined by, as words of a sentence."""
    if _is_qonnx(graph):
        return "QONNX's operators"
    for node in graph.nodes:
        module = type(node.operator).__module__
        for start, whose in _LAYERS.items():
            if module.startswith(start):
                return whose
    return f"graph {graph.name}"


# How a sentence calls each runtime.
_NAMES = {
    "LiteRT": "LiteRT with its {kernels} kernels",
    "qonnx": "package qonnx",
    "onnxruntime": "onnxruntime",
}


def runtime_of(
    path: Path,
    graph: Graph,
    kernels: str = "reference",
) -> tuple[Isolated, str]:
    """The framework's own runtime of a model file, in a process of its own, and how a sentence calls it.

    A terminal shows the progress of runs that take more than a second.

    Args:
        path: of the model file.
        graph: of that file.
        kernels: of LiteRT: "reference" or "optimised".

    Raises:
        GoldenError: the file's format has no runtime, or not these kernels.
    """

    def progress(_: str, rows: range) -> Iterable[int]:
        return tqdm(rows, desc="runtime", unit="row", disable=None, delay=1)

    runtime = of_file(path, graph, progress, kernels)
    return runtime, _NAMES[runtime.name].format(kernels=kernels)


def _is_qonnx(graph: Graph) -> bool:
    return any(isinstance(node.operator, QUANTISERS) for node in graph.nodes)
