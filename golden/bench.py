# SPDX-License-Identifier: Apache-2.0
"""`assay bench-model MODEL`: how fast the golden model is, beside frameworks and a textbook convolution.

Every figure comes from one process with one thread, and every result that is timed is also compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from assay.golden.errors import GoldenError, RuntimeEndedError
from assay.golden.exporters import qdq
from assay.golden.graph import Graph
from assay.golden.importers import onnx as onnx_importer
from assay.golden.layers.tflite import Conv2D
from assay.golden.runtimes.isolated import Isolated

__all__ = ["einsum_convolution", "run"]

_ROUNDS = 5  #: of everything that is short; the best counts
_REFERENCE_RUNS = 16  #: single inputs through LiteRT and onnxruntime
_EINSUM_IMAGES = 4


def run(model: Path, graph: Graph, batch: int, seed: int) -> tuple[list[str], bool]:
    """Measure `graph`, read from file `model`, on `batch` random inputs.

    Gives the lines of the report, and whether every runtime that began to run the network came to its end.

    A .tflite network is also run in LiteRT's reference kernels and, written as QDQ ONNX (`golden.exporters.qdq`), in
    onnxruntime; an .onnx network in onnxruntime as it is. What is not installed is named in its line.

    Raises:
        GoldenError: a network with several inputs or with state.
    """
    if len(graph.inputs) != 1 or graph.variables:
        raise GoldenError(f"{model}: bench takes networks with one input and without state")
    tensor = graph.tensors[graph.inputs[0]]
    if tensor.shape[:1] != (1,):
        raise GoldenError(f"{model}: bench takes inputs [1, ...], not {tensor.dtype} {list(tensor.shape)}")
    shape, rng = (batch, *tensor.shape[1:]), np.random.default_rng(seed)
    if tensor.dtype.kind == "f":
        x = rng.standard_normal(shape).astype(tensor.dtype)
    else:
        info = np.iinfo(tensor.dtype)
        x = rng.integers(info.min, info.max, shape, tensor.dtype, endpoint=True)
    trace = graph.trace(x)
    here = _best(lambda: graph.predict(x)) / batch
    lines = [f"{graph.name}, batch {batch}, one thread, best of {_ROUNDS}"]
    lines.append(f"  golden model               {here * 1e3:8.3f} ms an input")
    few = x[: min(batch, _REFERENCE_RUNS)]
    columns = {"onnxruntime, QDQ": _onnxruntime}
    if model.suffix == ".tflite":
        columns = {"LiteRT, reference kernels": _litert, **columns}
    sound = True
    for title, measure in columns.items():
        try:
            there, results = measure(model, graph, few)
            text = f"{there * 1e3:8.3f} ms an input, {there / here:.2f} times as long; {results(trace)}"
        except GoldenError as error:
            sound = sound and not isinstance(error, RuntimeEndedError)
            text = f"not measured: {error}"
        lines.append(f"  {title:<27}{text}")
    return [*lines, *_against_einsum(graph, trace)], sound


def _litert(model: Path, graph: Graph, few: np.ndarray) -> tuple[float, Callable[..., str]]:
    runtime = Isolated("LiteRT", model, graph)
    return runtime.seconds(few), lambda trace: _differences(graph, trace, runtime.trace(few), "DIFFER")


def _onnxruntime(model: Path, graph: Graph, few: np.ndarray) -> tuple[float, Callable[..., str]]:
    """With onnxruntime's default optimisation, which fuses QDQ groups into integer kernels."""
    content = qdq.to_bytes(graph) if model.suffix == ".tflite" else model.read_bytes()
    runtime = Isolated("onnxruntime", content, onnx_importer.loads(content, graph.name), optimised=True)
    # ONNX rounds otherwise than TFLite does, and fused groups otherwise than the file says.
    return runtime.seconds(few), lambda trace: _differences(
        graph, trace, runtime.trace(few), "rounded otherwise"
    )


def _differences(graph: Graph, trace: dict[str, np.ndarray], seen: dict[str, np.ndarray], what: str) -> str:
    """How a runtime's outputs compare with the golden model's."""
    pairs = [(trace[name][: len(seen[name])], seen[name]) for name in graph.outputs]
    wrong = sum(int(np.count_nonzero(a != b)) for a, b in pairs)
    if not wrong:
        return "outputs equal"
    worst = max(np.abs(a.astype(np.float64) - b).max() for a, b in pairs)
    return f"outputs {what}: {wrong} of {sum(a.size for a, _ in pairs)} values, by {worst:g} at most"


def _against_einsum(graph: Graph, trace: dict[str, np.ndarray]) -> list[str]:
    ours = theirs = 0.0
    lines: list[str] = []
    for node in graph.nodes:
        operator = node.operator
        if not isinstance(operator, Conv2D) or operator.convolution.groups != 1:
            continue
        convolution = operator.convolution
        x = trace[node.inputs[0]][:_EINSUM_IMAGES]
        centred = x.astype(np.int32) - convolution.zero_point
        kernel = np.ascontiguousarray(convolution.weight.transpose(1, 2, 3, 0)).astype(np.int32)
        window = convolution.window
        started = time.perf_counter()
        sums = einsum_convolution(centred, kernel, window.padding, window.stride)
        slow = time.perf_counter() - started
        fast = _best(lambda c=convolution, x=x: [None for _ in c.blocks(x)])
        if not np.array_equal(sums + convolution.bias, convolution.sums(x)):
            raise GoldenError(
                f"node {node.name}: the einsum convolution gives other sums than the golden model"
            )
        ours, theirs = ours + fast, theirs + slow
        lines.append(f"    {node.name:<24} {slow / len(x) * 1e3:8.3f} ms, {slow / fast:5.1f} times as long")
    if not lines:
        return []
    return [f"  einsum convolution         all layers {theirs / ours:.1f} times as long; sums equal", *lines]


def einsum_convolution(
    x: np.ndarray, kernel: np.ndarray, padding: tuple[int, int, int, int], stride: tuple[int, int]
) -> np.ndarray:
    """Convolution as one einsum over strided windows: the usual compact numpy formulation.

    Args:
        x: int32 `[N, H, W, C]`, zero point taken off.
        kernel: int32 `[fH, fW, C, K]`.
        padding: top, left, bottom, right.
        stride: rows and columns.

    Returns:
        int32 `[N, oH, oW, K]`.
    """
    maps = []
    for image in x:
        padded = np.pad(image, ((padding[0], padding[2]), (padding[1], padding[3]), (0, 0)))
        size = tuple(np.subtract(padded.shape[:2], kernel.shape[:2]) + 1)
        windows = as_strided(
            padded,
            (*kernel.shape[:2], *size, padded.shape[2]),
            (*padded.strides[:2], *padded.strides),
            writeable=False,
        )
        windows = windows[:, :, :: stride[0], :: stride[1]]
        maps.append(np.einsum("ijkl,ijxyk->xyl", kernel, windows))
    return np.array(maps)


def _best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few calls."""
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
