# SPDX-License-Identifier: Apache-2.0
"""Random small networks, lowered: with scales "exact" they equal the framework's arithmetic in every tensor or are
rejected, with "nearest" each layer is a step off at most on the framework's own inputs, two behind what the file does
not quantise.

Half of the scales are powers of two, or one number times powers of two, so that exact numbers meet ties; zero points
are anything, most often an end, the middle, or odd.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from assay.golden import GoldenError
from assay.golden.compare import compare_traces
from assay.golden.exporters.tflite import ModelFile
from assay.golden.graph import Graph
from assay.golden.importers import onnx as onnx_importer
from assay.golden.importers import tflite as tflite_importer
from assay.golden.schemes.qonnx import ROUNDINGS
from assay.golden.tests.onnx_files import OnnxFile

COUNT = 60  # networks a test


class Numbers:
    """Draws what a file states."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.base = self._any()

    def _any(self) -> float:
        kind = self.rng.integers(3)
        if kind < 2:
            return float(np.float32((1.0, 0.1)[kind])) * 2.0 ** self.rng.integers(-4, 3)
        return float(np.float32(self.rng.uniform(0.01, 1)))

    def scale(self) -> float:
        """A ratio of a power of two to the network's first scale, or any number."""
        return self.base * 2.0 ** self.rng.integers(-1, 3) if self.rng.random() < 0.6 else self._any()

    def scales(self, count: int) -> list[float]:
        """One for all channels, or one each."""
        if self.rng.random() < 0.6:
            return [self.scale()] * count
        return [self.scale() for _ in range(count)]

    def zero(self, dtype: type) -> np.integer:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        usual = (0, 1, 3, low, high, (low + high + 1) // 2)
        return dtype(self.rng.choice((*usual, self.rng.integers(low, high, endpoint=True))))

    def small(self, *shape: int) -> np.ndarray:
        return self.rng.integers(-8, 9, shape).astype(np.int8)


def qdq(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """One to four operators between quantisers, or, now and then, without one between two of them."""
    draw, file = Numbers(seed), OnnxFile(13)
    rng, dtype = draw.rng, draw.rng.choice([np.int8, np.uint8])

    def quantised(y: str) -> str:
        scale, zero = draw.scale(), draw.zero(dtype)
        return file.dequantize(file.quantize(y, scale, zero), scale, zero)

    channels, size = int(rng.integers(1, 5)), int(rng.integers(3, 7))
    made = [(quantised(file.input((1, channels, size, size))), channels, size)]
    for _ in range(rng.integers(1, 5)):
        y, channels, size = made[rng.integers(len(made))]
        kind = rng.choice(
            [
                *(
                    "Conv",
                    "depthwise",
                    "Add",
                    "constant",
                    "Mul",
                    "MaxPool",
                    "AveragePool",
                    "GlobalAveragePool",
                ),
                *("Relu", "Clip", "LeakyRelu", "Concat", "BatchNormalization", "requantise"),
            ]
        )
        if kind in ("Conv", "depthwise"):
            outputs = channels if kind == "depthwise" else int(rng.integers(1, 5))
            taps = 1 if size < 3 else int(rng.choice([1, 3]))
            scales = np.float32(draw.scales(outputs))
            values = draw.small(outputs, 1 if kind == "depthwise" else channels, taps, taps)
            points = draw.small(outputs) if seed % 4 == 3 else np.zeros(outputs, np.int8)
            w = file.dequantize(values, scales, points, axis=0)
            bias = [draw.small(outputs).astype(np.float32) * np.float32(draw.base)][: rng.integers(2)]
            group = channels if kind == "depthwise" else 1
            y = file.node("Conv", y, w, *bias, pads=[taps // 2] * 4, group=group)
            channels = outputs
        elif kind == "Add":
            others = [each[0] for each in made if each[1:] == (channels, size)]
            y = file.node(str(rng.choice(["Add", "Sub", "Sum"])), y, str(rng.choice(others)))
        elif kind == "constant":
            y = file.node("Add", y, np.float32(draw.base * rng.integers(-5, 6)))
        elif kind == "Mul":
            y = file.node("Mul", y, np.float32(rng.choice([0.5, 3, -2, 0.75, 1 / 3])))
        elif kind in ("MaxPool", "AveragePool"):
            window = int(rng.integers(1, min(size, 4) + 1))
            y = file.node(kind, y, kernel_shape=[window, window])
            size = size - window + 1
        elif kind == "GlobalAveragePool":
            y, size = file.node(kind, y), 1
        elif kind == "Clip":
            ends = np.float32([-rng.integers(1, 40), rng.integers(1, 80)]) * np.float32(draw.base / 2)
            y = file.node("Clip", y, *ends)
        elif kind == "LeakyRelu":
            y = file.node(kind, y, alpha=float(rng.choice([0.25, 0.1, 0.5])))
        elif kind == "Concat":
            others = [each for each in made if each[2] == size]
            other = others[rng.integers(len(others))]
            y, channels = file.node("Concat", y, other[0], axis=1), channels + other[1]
        elif kind == "BatchNormalization":
            numbers = [rng.choice(values, channels) for values in ([0.5, 1, -1], [1, 3], [-4, 6], [4, 0.25])]
            y = file.node(kind, y, *map(np.float32, numbers), epsilon=0.0)
        elif kind == "Relu":
            y = file.node(kind, y)
        made.append((quantised(y) if rng.random() < 0.85 else y, channels, size))
    quantised(made[-1][0])
    graph = onnx_importer.loads(file.bytes(), f"seed {seed}")
    (name,) = graph.inputs
    first = graph.nodes[0].operator.target
    low, high = first.limits
    shape = (40, *graph.tensors[name].shape[1:])
    # All integers of the input's grid, and some that saturate.
    integers = rng.integers(low - 3, high + 4, shape) - int(first.zero_point[0])
    return graph, {name: integers.astype(np.float32) * first.scale[0]}


def qonnx(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """One to three operators between Quants of every rounding mode, zero point and width."""
    draw, file = Numbers(seed), OnnxFile(13)
    rng = draw.rng

    def scale() -> float:
        """Of seeds in two out of three all are one number times powers of two: what is exact, but for float32."""
        return draw.base * 2.0 ** rng.integers(-1, 3) if seed % 3 else draw.scale()

    def quantised(y: str) -> str:
        bits, signed = int(rng.integers(2, 9)), int(rng.integers(2))
        low = -(1 << bits - 1) if signed else 0
        zero = int(rng.integers(low, low + (1 << bits))) if rng.random() < 0.4 else 0
        mode = str(rng.choice([*ROUNDINGS, "FLOOR", "CEIL"]))
        return file.quant(y, bits, scale(), zero, signed=signed, narrow=int(rng.integers(2)), mode=mode)

    channels, size = int(rng.integers(1, 5)), int(rng.integers(3, 6))
    y = quantised(file.input((1, channels, size, size)))
    for _ in range(rng.integers(1, 4)):
        kind = rng.choice(["Conv", "constant", "Mul", "Relu", "AveragePool", "MaxPool", "Add", "requantise"])
        if kind == "Conv":
            outputs = int(rng.integers(1, 5))
            scales = np.float32([2 * scale() / draw.base for _ in range(outputs)]).reshape(-1, 1, 1, 1)
            w = file.quant(draw.small(outputs, channels, 1, 1).astype(np.float32) * scales, 5, scales)
            y, channels = file.node("Conv", y, w), outputs
        elif kind == "constant":
            y = file.node("Add", y, np.float32(draw.base * rng.integers(-5, 6)))
        elif kind == "Mul":
            y = file.node("Mul", y, np.float32(rng.choice([0.5, 3, -2, 0.75, 1 / 3])))
        elif kind == "Relu":
            y = file.node("Relu", y)
        elif kind == "Add":
            y = file.node("Add", y, y)
        elif kind.endswith("Pool"):
            window = int(rng.integers(1, min(size, 3) + 1))
            y, size = file.node(str(kind), y, kernel_shape=[window, window]), size - window + 1
        y = quantised(y)
    graph = onnx_importer.loads(file.bytes(), f"seed {seed}")
    (name,) = graph.inputs
    first = graph.nodes[0].operator
    low, high = first.limits
    shape = (40, *graph.tensors[name].shape[1:])
    integers = rng.integers(low - 3, high + 4, shape) - int(first.zero_point)
    return graph, {name: integers.astype(np.float32) * np.float32(first.scale)}


def tflite(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """One to three int8 operators."""
    draw, file = Numbers(seed), ModelFile()
    rng = draw.rng
    channels, size = int(rng.integers(1, 5)), int(rng.integers(3, 7))
    scale, zero = draw.scale(), int(draw.zero(np.int8))
    shape = (1, size, size, channels)
    y = x = file.tensor(shape, scale, zero)
    for _ in range(rng.integers(1, 4)):
        kind = str(
            rng.choice(
                [
                    *("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"),
                    *("ADD", "MEAN", "RELU", "FULLY_CONNECTED"),
                ]
            )
        )
        fused = {"FusedActivationFunction": int(rng.choice([0, 0, 1, 3]))}
        given, target = (y, scale), (draw.scale(), int(draw.zero(np.int8)))
        pooling = kind.endswith("POOL_2D")
        y = file.tensor((), *((scale, zero) if pooling else target))
        if pooling:
            window = int(rng.integers(1, min(4, size) + 1))
            places = {"StrideH": 1, "StrideW": 1, "FilterHeight": window, "FilterWidth": window, "Padding": 1}
            file.operator(kind, [given[0]], [y], "Pool2DOptions", **places, **fused)
            size = size - window + 1
            continue
        if kind == "ADD":
            file.operator(kind, [given[0]] * 2, [y], "AddOptions", **fused)
        elif kind == "RELU":
            file.operator(kind, [given[0]], [y])
        elif kind == "MEAN":
            axes = file.constant(np.array([1, 2], np.int32))
            file.operator(kind, [given[0], axes], [y], "ReducerOptions", KeepDims=True)
            size = 1
        else:
            outputs = channels if kind == "DEPTHWISE_CONV_2D" else int(rng.integers(1, 5))
            taps = min(int(rng.choice([1, 3])), size)
            whole = kind == "FULLY_CONNECTED"
            scales = draw.scales(1 if whole else outputs)
            weights, axis = {
                "CONV_2D": ((outputs, taps, taps, channels), 0),
                "DEPTHWISE_CONV_2D": ((1, taps, taps, outputs), 3),
                "FULLY_CONNECTED": ((outputs, channels * size * size), None),
            }[kind]
            along = () if whole else (axis,)
            w = file.constant(draw.small(*weights), scales, [0] * len(scales), *along)
            b = file.constant(
                rng.integers(-50, 50, outputs).astype(np.int32), [given[1] * s for s in scales], [0] * len(scales),
                *(() if whole else (0,)),
            )  # fmt: skip
            if whole:
                file.operator(kind, [given[0], w, b], [y], "FullyConnectedOptions", **fused)
                break
            options = {"Padding": int(rng.integers(2)), "StrideH": 1, "StrideW": 1, **fused}
            options |= {"DepthMultiplier": 1} if kind.startswith("DEPTH") else {}
            table = "DepthwiseConv2DOptions" if kind.startswith("DEPTH") else "Conv2DOptions"
            file.operator(kind, [given[0], w, b], [y], table, **options)
            size, channels = size - taps + 1 if options["Padding"] else size, outputs
        scale, zero = target
    graph = tflite_importer.loads(file.bytes([x], [y]), f"seed {seed}")
    return graph, {graph.inputs[0]: rng.integers(-128, 128, (60, *shape[1:])).astype(np.int8)}


@pytest.mark.parametrize(
    "make, chunk", [(make, chunk) for make in (qdq, qonnx, tflite) for chunk in range(4)]
)
def test_lowered_networks(make: Callable[[int], tuple[Graph, dict[str, np.ndarray]]], chunk: int):
    outcomes: Counter[str] = Counter()
    for seed in range(chunk * COUNT, (chunk + 1) * COUNT):
        graph, x = make(seed)
        tensors = graph.trace(x)
        for scales in ("exact", "nearest"):
            try:
                network = graph.lower(scales)
            except GoldenError as error:
                assert "node '" in str(error) or "tensor '" in str(error), f"{graph.name}: {error}"
                outcomes[f"{scales} rejected"] += 1
                continue
            outcomes[scales] += 1
            theirs = network.integers(tensors)
            given = theirs[network.input]
            assert network.output in theirs
            if scales == "exact":
                comparison = compare_traces(network.trace(given), theirs, network.inputs)
                assert comparison.exact, f"{graph.name}:\n{graph.summary()}\n{comparison}"
                continue
            alone = network.trace(given, theirs)
            wide = any(".wide" in name for name in network.shapes)
            for name in set(alone) & set(theirs):
                worst = np.abs(alone[name] - theirs[name]).max()
                assert worst <= (8 if wide else 1), f"{graph.name}: {name} is {worst} steps off"
    # Neither nothing nor everything may be exact.
    assert outcomes["exact"] >= COUNT // 20 and outcomes["exact rejected"] >= COUNT // 10, outcomes
    assert outcomes["nearest"] >= COUNT * 3 // 4, outcomes


@pytest.mark.parametrize("mode", sorted({*ROUNDINGS} - {"ROUND", "ROUND_TO_ZERO"}))
@pytest.mark.parametrize("kind", ["Add", "Mul"])
def test_constants_next_to_where_rounding_jumps(kind: str, mode: str):
    """Constants that are a multiple of half a step but for float32's rounding of them, to either side."""
    accepted = 0
    for base, number, ratio in product((0.1, 0.7, 1.3, 1), (-7, -5, -3, -1, 1, 3, 5, 6), (0.5, 1)):
        file = OnnxFile(13)
        y = file.quant(file.input((1, 1, 1, 64)), 6, base)
        given = np.float32(
            np.float32(base) * number / 2 if kind == "Add" else np.float32(base) * number / base / 2
        )
        file.quant(file.node(kind, y, given), 8, np.float32(base) * np.float32(ratio), mode=mode)
        graph = onnx_importer.loads(file.bytes())
        try:
            network = graph.lower("exact")
        except GoldenError:
            continue
        x = (np.arange(-32, 32) * np.float32(base)).astype(np.float32).reshape(1, 1, 1, 64)
        theirs = network.integers(graph.trace({graph.inputs[0]: x}))
        ours = network.trace(theirs[network.input])
        assert np.array_equal(ours[network.output], theirs[network.output]), (base, number, ratio)
        accepted += 1
    assert accepted


@pytest.mark.parametrize("mode", sorted({*ROUNDINGS} - {"ROUND", "ROUND_TO_ZERO"}))
def test_the_same_scale_again(mode: str):
    """A tensor that is quantised a second time, to the same scale or to other ends, keeps its integers or loses what
    float32 and the ends take."""
    outcomes: Counter[int | str] = Counter()
    rng = np.random.default_rng(0)
    for signed, narrow, more, zero in product((0, 1), (0, 1), (-1, 0, 0, 1), (0, 3)):
        scale = np.float32(rng.choice([0.5, rng.uniform(0.5, 1)]))
        file = OnnxFile(13)
        y = file.quant(file.input((1, 1, 1, 512)), 8, scale, zero, signed=signed)
        y = file.quant(y, 8 + more, scale, zero, signed=signed, narrow=narrow, mode=mode)
        # What is kept has the name of the tensor before, so that one behind it is looked at.
        file.quant(file.node("Mul", y, np.float32(2)), 10, scale, 0, signed=1)
        graph = onnx_importer.loads(file.bytes())
        try:
            network = graph.lower("exact")
        except GoldenError:
            outcomes["rejected"] += 1
            continue
        x = ((np.arange(-256, 256) - zero) * scale).astype(np.float32).reshape(1, 1, 1, 512)
        theirs = network.integers(graph.trace({graph.inputs[0]: x}))
        ours = network.trace(theirs[network.input])
        assert np.array_equal(ours[network.output], theirs[network.output]), (signed, narrow, more, zero)
        outcomes[len(network.layers)] += 1
    assert outcomes[1] and sum(outcomes.values()) - outcomes["rejected"] > outcomes[1], outcomes
