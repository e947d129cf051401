# SPDX-License-Identifier: Apache-2.0
"""`assay bench-model MODEL`: the golden model's speed beside frameworks and a textbook convolution.

Every figure is processor time of one process with one thread, which other processes hardly change, and the best of a
few rounds; every timed result is also compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from assay.golden.errors import GoldenError, RuntimeEndedError
from assay.golden.exporters import qdq
from assay.golden.graph import Graph
from assay.golden.importers import onnx as onnx_importer
from assay.golden.layers.linear import Convolution
from assay.golden.layers.tflite import Conv2D
from assay.golden.runtimes.isolated import Isolated, best_of_rounds

__all__ = ["default_batch", "einsum_convolution", "run"]

# Calls that do not count: layers prepare for many inputs (`golden.layers.requantise`).
_WARM_CALLS, _WARM_SECONDS = 2, 1.0
_REFERENCE_RUNS = 16  #: single inputs through the frameworks' runtimes
_EINSUM_IMAGES = 4
# Where a batch is not asked for: a call's fixed costs count little from so many multiplications on.
_BATCH, _BATCH_MACS = 64, 1 << 28


def default_batch(graph: Graph) -> int:
    """64 inputs, or more of a small network."""
    return max(_BATCH, _BATCH_MACS // max(1, sum(node.macs for node in graph.nodes)))


def run(model: Path, graph: Graph, batch: int, seed: int) -> tuple[list[str], bool]:
    """Measure `graph`, read from file `model`, on `batch` random inputs.

    Gives the lines of the report, and whether every runtime that began to run the network came to its end.

    A .tflite network is also run in LiteRT's reference kernels, in LiteRT's default interpreter, which hands it to
    XNNPACK, and, written as QDQ ONNX (`golden.exporters.qdq`), in onnxruntime; an .onnx network in onnxruntime as it
    is. What is not installed is named in its line.

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
    few = x[: min(batch, _REFERENCE_RUNS)]
    trace = graph.trace(few)
    started, calls = time.process_time(), 0
    while calls < _WARM_CALLS or time.process_time() - started < _WARM_SECONDS:
        graph.predict(x)
        calls += 1
    here = best_of_rounds(lambda: graph.predict(x)) / batch
    lines = [f"{graph.name}, batch {batch}, one thread"]
    lines.append(f"  golden model               {here * 1e3:8.3f} ms an input")
    columns = {"onnxruntime, QDQ": _onnxruntime}
    if model.suffix == ".tflite":
        litert = {"LiteRT, reference kernels": "reference", "LiteRT, XNNPACK": "optimised"}
        columns = {title: partial(_litert, kernels) for title, kernels in litert.items()} | columns
    sound = True
    for title, measure in columns.items():
        try:
            there, results = measure(model, graph, few)
            text = f"{there * 1e3:8.3f} ms an input, {there / here:5.2f} times as long; {results(trace)}"
        except GoldenError as error:
            sound = sound and not isinstance(error, RuntimeEndedError)
            text = f"not measured: {error}"
        lines.append(f"  {title:<27}{text}")
    return [*lines, *_against_einsum(graph, trace)], sound


def _litert(kernels: str, model: Path, graph: Graph, few: np.ndarray) -> tuple[float, Callable[..., str]]:
    runtime = Isolated("LiteRT", model, graph, kernels=kernels, outputs_only=True)
    what = "DIFFER" if kernels == "reference" else _ROUNDED
    return runtime.seconds(few), lambda trace: _differences(graph, trace, runtime.trace(few), what)


def _onnxruntime(model: Path, graph: Graph, few: np.ndarray) -> tuple[float, Callable[..., str]]:
    """With onnxruntime's default optimisation, which fuses QDQ groups into integer kernels."""
    content = qdq.to_bytes(graph) if model.suffix == ".tflite" else model.read_bytes()
    runtime = Isolated("onnxruntime", content, onnx_importer.loads(content, graph.name), optimised=True)
    return runtime.seconds(few), lambda trace: _differences(graph, trace, runtime.trace(few), _ROUNDED)


# XNNPACK and ONNX round otherwise than TFLite's reference kernels do, and fused groups otherwise than ONNX files say.
_ROUNDED = "rounded otherwise"


def _differences(graph: Graph, trace: dict[str, np.ndarray], seen: dict[str, np.ndarray], what: str) -> str:
    """The comparison of a runtime's outputs with the golden model's, as words."""
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
        started = time.process_time()
        sums = einsum_convolution(centred, kernel, window.padding, window.stride)
        slow = time.process_time() - started
        fast = best_of_rounds(partial(_all_blocks, convolution, x))
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


def _all_blocks(convolution: Convolution, x: np.ndarray) -> None:
    for _ in convolution.blocks(x):
        pass
