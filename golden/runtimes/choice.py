# SPDX-License-Identifier: Apache-2.0
"""Whose arithmetic a graph is, and the runtime that computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from golden.errors import GoldenError
from golden.graph import Graph
from golden.schemes.qonnx import QUANTISERS

__all__ = ["arithmetic", "runtime_of"]

_LAYERS = {
    "golden.layers.tflite": "TFLite's reference kernels",
    "golden.layers.fixed_point": "the fixed-point ONNX scheme",
    "golden.layers.onnx": "onnxruntime's operators",
    "golden.layers.mlas": "onnxruntime's operators",
    "golden.schemes.onnx": "onnxruntime's operators",
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


def runtime_of(
    path: Path, graph: Graph, progress: Callable[[range], Iterable[int]] = iter
) -> tuple[Any, str]:
    """The framework's own runtime of a model file, and its name.

    Args:
        path: of the model file.
        graph: of that file.
        progress: of the rows that run.

    Raises:
        GoldenError: the file's format has no runtime, or the runtime is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".tflite":
        from golden.runtimes.litert import LiteRt

        return LiteRt(path, graph, progress), "LiteRT with its reference kernels"
    if suffix != ".onnx":
        raise GoldenError(f"{path}: only .tflite and .onnx files have a runtime")
    if _is_qonnx(graph):
        from golden.runtimes.qonnx import QonnxRuntime

        return QonnxRuntime(path, graph, progress), "package qonnx"
    from golden.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(path, graph, progress), "onnxruntime"


def _is_qonnx(graph: Graph) -> bool:
    return any(isinstance(node.operator, QUANTISERS) for node in graph.nodes)
