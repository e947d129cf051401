"""`python -m golden bench MODEL`: how fast the golden model is, beside its framework and beside a textbook convolution.

Every figure comes from one process with one thread, and every result that is timed is also compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import as_strided

from golden.errors import GoldenError
from golden.graph import Graph
from golden.layers.tflite import Conv2D
from golden.runtimes.litert import LiteRt

__all__ = ["einsum_convolution", "run"]

_ROUNDS = 5  #: of everything that is short; the best counts
_REFERENCE_RUNS = 16  #: single images through LiteRT
_EINSUM_IMAGES = 4


def run(model: Path, graph: Graph, batch: int, seed: int) -> list[str]:
    """Measure `graph`, read from file `model`, on `batch` random inputs; returns the lines of the report.

    Raises:
        GoldenError: a network with several inputs or with state, or LiteRT is not installed.
    """
    if len(graph.inputs) != 1 or graph.variables:
        raise GoldenError(f"{model}: bench takes networks with one input and without state")
    tensor = graph.tensors[graph.inputs[0]]
    if tensor.dtype.kind not in "iu" or tensor.shape[:1] != (1,):
        raise GoldenError(
            f"{model}: bench takes integer inputs [1, ...], not {tensor.dtype} {list(tensor.shape)}"
        )
    info = np.iinfo(tensor.dtype)
    x = np.random.default_rng(seed).integers(
        info.min, info.max, (batch, *tensor.shape[1:]), tensor.dtype, endpoint=True
    )
    trace = graph.trace(x)
    here = _best(lambda: graph.predict(x)) / batch
    lines = [f"{graph.name}, batch {batch}, one thread, best of {_ROUNDS}"]
    lines.append(f"  golden model               {here * 1e3:8.3f} ms an input")

    litert = LiteRt(model, graph)
    few = x[: min(batch, _REFERENCE_RUNS)]
    litert.invoke({graph.inputs[0]: few[:1]})
    started = time.perf_counter()
    for row in few:
        litert.invoke({graph.inputs[0]: row[None]})
    there = (time.perf_counter() - started) / len(few)
    seen = litert.trace(few)
    exact = all(np.array_equal(seen[name], trace[name][: len(few)]) for name in graph.outputs)
    lines.append(
        f"  LiteRT, reference kernels  {there * 1e3:8.3f} ms an input, {there / here:.1f} times as long; "
        f"outputs {'equal' if exact else 'DIFFER'}"
    )
    lines += _against_einsum(graph, trace)
    return lines


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
