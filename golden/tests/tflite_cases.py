# SPDX-License-Identifier: Apache-2.0
"""Single TFLite operators as random cases: a little file that LiteRT's reference kernels and `golden` both read."""

from __future__ import annotations

import numpy as np

from assay.golden.importers import tflite as importer
from assay.golden.tests.litert import compare, litert, random_inputs
from assay.golden.tests.tflite_files import ModelFile
from assay.golden.tests.typed import closures

CASES = 40


class Case:
    """Draws what a case needs from its own random numbers, and checks the file against LiteRT."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.file = ModelFile()
        self.inputs: list[int] = []

    def scale(self, low: float = 1e-3, high: float = 0.5) -> float:
        return float(np.float32(np.exp(self.rng.uniform(np.log(low), np.log(high)))))

    def near_ties(self, *scales: float) -> float:
        """A scale whose ratio to the product of `scales` is, but for float32's rounding, a small fraction.

        Then many results are next to a tie, and it shows whether a factor is computed in float32 or in float64.
        """
        ratio = self.rng.choice([1 / 2, 3 / 2, 1 / 4, 3 / 4, 5 / 4, 5 / 2, 2 / 3, 1 / 8, 7 / 16])
        return float(np.float32(np.prod(scales) / ratio))

    def zero_point(self) -> int:
        return int(self.rng.choice([-128, 127, 0, self.rng.integers(-128, 128)]))

    def input(self, shape, scale=None, zero_point=None, dtype=np.int8) -> int:
        scale = self.scale() if scale is None else scale
        index = self.file.tensor(shape, scale, self.zero_point() if zero_point is None else zero_point, dtype)
        self.inputs.append(index)
        return index

    def output(self, scale=None, zero_point=None, dtype=np.int8) -> int:
        """Without a shape: it is inferred on both sides."""
        scale = self.scale() if scale is None else scale
        return self.file.tensor((), scale, self.zero_point() if zero_point is None else zero_point, dtype)

    def like(self, index: int) -> int:
        tensor = self.file.tensors[index]
        return self.file.tensor((), tensor.scale, tensor.zero_point)

    def int32(self, *values: int) -> int:
        return self.file.constant(np.array(values, np.int32))

    def integer(self, low: int, high: int) -> int:
        """low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def shape(self, rank: int, most: int = 6) -> tuple[int, ...]:
        return tuple(self.integer(1, most) for _ in range(rank))

    def activation(self) -> int:
        return self.integer(0, 3)

    def check(self, *outputs: int, runs: int = 12, values=None) -> None:
        data = self.file.bytes(self.inputs, outputs)
        graph = importer.loads(data)
        assert not closures(graph)
        runtime = litert(data, graph)
        inputs = random_inputs(graph, runs, self.rng) if values is None else values(graph)
        comparison = compare(graph, runtime, inputs)
        assert comparison.exact, f"{comparison.first_differing}\n{self.file}"
        for index in outputs:
            name = f"t{index}"
            assert graph.trace(inputs)[name].dtype == runtime.tensor(name).dtype
            assert graph.tensors[name].shape == runtime.tensor(name).shape


def each_value(graph):
    """All 256 values of the one input, whose shape is [1, 256]."""
    dtype = graph.tensors[graph.inputs[0]].dtype
    low = np.iinfo(dtype).min
    return {graph.inputs[0]: np.arange(low, low + 256).astype(dtype)[None]}


def each_pair(graph):
    """All pairs of two int8 values; both inputs have shape [1, 65536]."""
    values = np.arange(-128, 128).astype(np.int8)
    return {
        graph.inputs[0]: np.repeat(values, 256)[None],
        graph.inputs[1]: np.tile(values, 256)[None],
    }


def window_options(case: Case) -> dict[str, int]:
    return {"Padding": case.integer(0, 1), "StrideH": case.integer(1, 3), "StrideW": case.integer(1, 3)}


def weights(case: Case, shape, axis, per_channel=None):
    values = case.rng.integers(-127, 128, shape).astype(np.int8)
    per_channel = case.rng.random() < 0.7 if per_channel is None else per_channel
    count = shape[axis] if per_channel else 1
    scales = [case.scale(1e-4, 0.05) for _ in range(count)]
    return case.file.constant(values, scales, [0] * count, axis=axis), scales


def bias(case: Case, source: int, scales: list[float], outputs: int) -> int:
    scale = case.file.tensors[source].scale[0]
    values = case.rng.integers(-5000, 5000, outputs).astype(np.int32)
    return case.file.constant(values, [scale * s for s in scales], [0] * len(scales))
