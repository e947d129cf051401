# SPDX-License-Identifier: Apache-2.0
"""Operators with windows, lowered, where nothing is the same in rows and columns or before and behind a map: chains of
convolutions, poolings and paddings, with a quantiser between them or not, and slopes of each channel at either side of
1. What is lowered equals the graph in every tensor; all scales are powers of two, so that few chains are rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from assay.golden import GoldenError
from assay.golden.compare import compare_traces
from assay.golden.importers import onnx as importer
from assay.golden.tests.onnx_files import OnnxFile

KINDS = ("Conv", "MaxPool", "AveragePool", "PRelu")
PAIRS = [*product(KINDS, KINDS), *[("MaxPool", "MaxPool"), ("Conv", "MaxPool"), ("MaxPool", "Conv")] * 6]
SEEDS = 4


def chain(rng: np.random.Generator, met: Counter[str], first: Sequence[str] = ()) -> OnnxFile:
    """The operators `first` and some more; `met` counts what follows what."""
    file = OnnxFile(13)
    channels = int(rng.integers(1, 5))
    size = rng.permutation(np.arange(5, 12))[:2]
    signed = int(rng.integers(2))
    y = file.quant(file.input((1, channels, *map(int, size))), int(rng.integers(2, 6)), 1, signed=signed)
    before, quantised = "input", True
    for kind in (*first, *rng.choice((*KINDS, "Global"), rng.integers(0, 4))):
        kernel, stride = (rng.integers(1, most, 2) for most in (4, 3))
        if kind == "AveragePool":  # a division by a power of two
            kernel = rng.choice([1, 2, 4], 2)
        elif kind == "Global":
            kernel = size
            if size.prod() & (size.prod() - 1):
                continue
        pads = rng.integers(0, 3, 4) * int(rng.integers(2) and kind != "Global")
        pads = np.minimum(pads, [*(kernel - 1)] * 2)
        dilation = rng.integers(1, 3, 2) if kind == "Conv" else np.ones(2, int)
        if (size + pads[:2] + pads[2:] < (kernel - 1) * dilation + 1).any():
            continue
        window = {
            "kernel_shape": kernel.tolist(),
            "strides": stride.tolist(),
            "pads": pads.tolist(),
        }
        if (
            quantised and kind in ("Conv", "AveragePool") and rng.random() < 0.4
        ):  # partly by an operator of its own
            apart = rng.integers(0, pads + 1)
            y = file.node("Pad", y, np.array([0, 0, *apart[:2], 0, 0, *apart[2:]]), np.float32(0))
            window["pads"] = (pads - apart).tolist()
        made = (size + pads[:2] + pads[2:] - (kernel - 1) * dilation - 1) // stride + 1
        if kind == "Conv":
            groups = channels if rng.random() < 0.3 else 1
            outputs = groups * int(rng.integers(1, 3)) if groups > 1 else int(rng.integers(1, 5))
            values = rng.integers(-3, 4, (outputs, channels // groups, *kernel)).astype(np.float32)
            w = file.quant(values, 3, 1)
            y = file.node("Conv", y, w, group=groups, dilations=dilation.tolist(), **window)
            channels = outputs
        elif kind == "Global":
            y, made = file.node("GlobalAveragePool", y), np.ones(2, int)
        elif kind == "PRelu":
            slopes = rng.choice([0.25, 0.5, -1, 1], (channels, 1, 1))
            if rng.random() < 0.4:
                slopes[rng.integers(channels)] = 2
            y, made = file.node("PRelu", y, slopes.astype(np.float32)), size
        else:
            y = file.node(kind, y, **window, **({"count_include_pad": 1} if kind == "AveragePool" else {}))
        met[f"{before} {kind}"] += 1
        before, size, quantised = kind, made, rng.random() < 0.5
        if quantised:
            y = file.quant(
                y, int(rng.integers(4, 9)), 2.0 ** rng.integers(0, 3), mode=str(rng.choice(["FLOOR", "CEIL"]))
            )
    file.quant(y, 8, 4, mode="FLOOR")
    return file


@pytest.mark.parametrize("seed", range(SEEDS))
def test_chains_of_windows(seed: int):
    rng = np.random.default_rng(seed)
    met: Counter[str] = Counter()
    lowered = 0
    for number, pair in enumerate(PAIRS):
        graph = importer.loads(chain(rng, tried := Counter(), pair).bytes(), f"chain {number}")
        try:
            network = graph.lower("exact")
        except GoldenError as error:
            assert "node '" in str(error), error
            continue
        lowered += 1
        met += tried
        (name,) = graph.inputs
        x = rng.integers(-40, 40, (6, *graph.tensors[name].shape[1:])).astype(np.float32)
        theirs = network.integers(graph.trace({name: x}))
        assert {network.input, network.output} <= set(theirs)
        for layer in network.layers:  # what the MVU pads in hardware
            assert all(pad < side for pad, side in zip(layer.padding, 2 * layer.kernel, strict=True))
        comparison = compare_traces(network.trace(theirs[network.input]), theirs, network.inputs)
        assert comparison.exact, f"{graph.name} of seed {seed}:\n{graph.summary()}\n{comparison}"
    assert lowered >= len(PAIRS) // 2
    for kinds in ("MaxPool MaxPool", "Conv MaxPool", "MaxPool Conv"):
        assert met[kinds], f"no {kinds} among {met}"
    assert lowered < len(PAIRS)  # not those with a slope of 2
