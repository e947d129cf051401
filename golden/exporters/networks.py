# SPDX-License-Identifier: Apache-2.0
"""Well-known networks as int8 .tflite files with random weights, to measure speed, memory and clocks with.

    python -m assay.golden.exporters.networks mobilenetv2 net.tflite

Shapes are those of the papers: MobileNetV2 (Sandler et al. 2018), ResNet-50 (He, Zhang, Ren, Sun 2015, with the stride
in the 3x3 convolution, as frameworks have it), AlexNet (Krizhevsky 2014, one tower), BERT-tiny (Turc et al. 2019: 2
layers, width 128, 2 heads; 128 tokens, whose embeddings are the input). Operators are those that TensorFlow's converter
makes of them. Scales keep each tensor's values spread over its integers, so that the results depend on all weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden.exporters.tflite import ModelFile

__all__ = ["NETWORKS", "write"]

_SAME, _VALID = 0, 1
_NONE, _RELU, _RELU6 = 0, 1, 3
_LINEAR_SCALE, _RELU_SCALE = 8 / 255, 6 / 255  # of about -4 to 4, and 0 to 6


class _Writer:
    """A network being written: each method adds an operator and gives the index of its result."""

    def __init__(self, seed: int) -> None:
        self.file = ModelFile()
        self._rng = np.random.default_rng(seed)

    def tensor(self, shape: tuple[int, ...], activation: int = _NONE) -> int:
        """A tensor whose values are about normal, or not negative."""
        if activation == _NONE:
            return self.file.tensor(shape, _LINEAR_SCALE, int(self._rng.integers(-9, 10)))
        return self.file.tensor(shape, _RELU_SCALE, -128)

    def shape(self, x: int) -> tuple[int, ...]:
        return self.file.tensors[x].shape

    def apply(self, kind: str, inputs: list[int], y: int, options: str | None = None, **values: Any) -> int:
        table = (
            "".join(part.capitalize() for part in kind.split("_")) + "Options" if options is None else options
        )
        self.file.operator(kind, inputs, [y], table, **values)
        return y

    def integers(self, *values: int) -> int:
        return self.file.constant(np.array(values, np.int32))

    def weights(self, x: int, shape: tuple[int, ...], terms: int, axis: int | None) -> tuple[int, int]:
        """Weights, per channel of an axis or per tensor, and a bias, for results of standard deviation 1 to 2."""
        outputs = shape[0 if axis is None else axis]
        spread = self._rng.uniform(1, 2, 1 if axis is None else outputs) / np.sqrt(terms)
        scale = (spread / 73).tolist()  # 73: standard deviation of the integers
        values = self._rng.integers(-127, 128, shape, np.int8)
        w = self.file.constant(values, scale, [0] * len(scale), axis=axis or 0)
        (source,) = self.file.tensors[x].scale
        bias = self._rng.normal(0, 0.5, outputs) / (np.array(scale) * source)
        return w, self.file.constant(
            np.rint(bias).astype(np.int32), [s * source for s in scale], [0] * len(scale)
        )

    def convolution(
        self,
        x: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        activation: int = _RELU6,
        padding: int = _SAME,
    ) -> int:
        w, b = self.weights(x, (outputs, kernel, kernel, (c := self.shape(x)[3])), kernel * kernel * c, 0)
        return self._windows(
            "CONV_2D", [x, w, b], outputs, kernel, stride, activation, padding, "Conv2DOptions"
        )

    def depthwise(self, x: int, stride: int) -> int:
        channels = self.shape(x)[3]
        w, b = self.weights(x, (1, 3, 3, channels), 9, 3)
        options = "DepthwiseConv2DOptions"
        return self._windows(
            "DEPTHWISE_CONV_2D", [x, w, b], channels, 3, stride, _RELU6, _SAME, options, DepthMultiplier=1
        )

    def max_pool(self, x: int, kernel: int, stride: int, padding: int = _SAME) -> int:
        size = {"FilterHeight": kernel, "FilterWidth": kernel}
        y = self._windows(
            "MAX_POOL_2D", [x], self.shape(x)[3], kernel, stride, _NONE, padding, "Pool2DOptions", **size
        )
        source, target = self.file.tensors[x], self.file.tensors[y]
        target.scale, target.zero_point = source.scale, source.zero_point
        return y

    def _windows(
        self,
        kind: str,
        inputs: list[int],
        outputs: int,
        kernel: int,
        stride: int,
        activation: int,
        padding: int,
        options: str,
        **values: int,
    ) -> int:
        _, height, width, _ = self.shape(inputs[0])
        less = kernel - 1 if padding == _VALID else 0
        y = self.tensor((1, -(-(height - less) // stride), -(-(width - less) // stride), outputs), activation)
        if kind != "MAX_POOL_2D":
            values = {**values, "DilationHFactor": 1, "DilationWFactor": 1}
        values = {**values, "Padding": padding, "StrideH": stride, "StrideW": stride}
        return self.apply(kind, inputs, y, options, FusedActivationFunction=activation, **values)

    def dense(self, x: int, outputs: int, activation: int = _NONE) -> int:
        *lead, features = self.shape(x)
        w, b = self.weights(x, (outputs, features), features, None)
        y = self.tensor((*lead, outputs), activation)
        return self.apply(
            "FULLY_CONNECTED", [x, w, b], y, FusedActivationFunction=activation, KeepNumDims=len(lead) > 1
        )

    def add(self, a: int, b: int, activation: int = _NONE) -> int:
        return self.apply(
            "ADD", [a, b], self.tensor(self.shape(a), activation), FusedActivationFunction=activation
        )

    def mean(self, x: int, *axes: int, keep: bool = False) -> int:
        shape = tuple(1 if i in axes else n for i, n in enumerate(self.shape(x)) if keep or i not in axes)
        return self.apply(
            "MEAN", [x, self.integers(*axes)], self.tensor(shape), "ReducerOptions", KeepDims=keep
        )

    def reshape(self, x: int, *shape: int) -> int:
        source = self.file.tensors[x]
        y = self.file.tensor(shape, source.scale, source.zero_point)
        return self.apply("RESHAPE", [x, self.integers(*shape)], y, NewShape=list(shape))

    def transpose(self, x: int, *order: int) -> int:
        source = self.file.tensors[x]
        y = self.file.tensor(tuple(source.shape[i] for i in order), source.scale, source.zero_point)
        return self.apply("TRANSPOSE", [x, self.integers(*order)], y)

    def softmax(self, x: int) -> int:
        return self.apply("SOFTMAX", [x], self.file.tensor(self.shape(x), 1 / 256, -128), Beta=1.0)

    # What BERT has beside.

    def products(self, a: int, b: int, scale: float, adjoint: bool) -> int:
        *lead, rows, _ = self.shape(a)
        y = self.file.tensor((*lead, rows, self.shape(b)[-2 if adjoint else -1]), scale, 0)
        return self.apply("BATCH_MATMUL", [a, b], y, "BatchMatMulOptions", AdjX=False, AdjY=adjoint)

    def normalised(self, x: int) -> int:
        """Layer normalisation as the converter spells it: (x - mean) * rsqrt(variance + epsilon) * gamma + beta."""
        shape, (width,) = self.shape(x), self.shape(x)[-1:]
        mean = self.mean(x, 2, keep=True)
        square = self.file.tensor(shape, 0.1, -128)
        self.apply("SQUARED_DIFFERENCE", [x, mean], square, "SquaredDifferenceOptions")
        variance = self.file.tensor((*shape[:-1], 1), 0.02, -128)
        self.apply("MEAN", [square, self.integers(2)], variance, "ReducerOptions", KeepDims=True)
        epsilon = self.file.constant(np.array([1], np.int8), 0.001, 0)
        safe = self.apply("ADD", [variance, epsilon], self.file.tensor((*shape[:-1], 1), 0.02, -128))
        root = self.apply("RSQRT", [safe], self.file.tensor((*shape[:-1], 1), 0.02, -128), "")
        gamma = self.file.constant(self._rng.integers(64, 128, width).astype(np.int8), 0.01, 0)
        beta = self.file.constant(self._rng.integers(-64, 64, width).astype(np.int8), 0.01, 0)
        factor = self.apply("MUL", [root, gamma], self.tensor(shape))
        scaled = self.apply("MUL", [x, factor], self.tensor(shape))
        shift = self.apply("MUL", [mean, factor], self.tensor(shape))
        return self.add(scaled, self.apply("SUB", [beta, shift], self.tensor(shape)))


def _mobilenetv2(net: _Writer) -> tuple[int, int]:
    first = net.tensor((1, 224, 224, 3))
    x = net.convolution(first, 32, 3, 2)
    for expansion, channels, count, stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for block in range(count):
            inner = net.convolution(x, expansion * net.shape(x)[3], 1) if expansion > 1 else x
            inner = net.depthwise(inner, 1 if block else stride)
            inner = net.convolution(inner, channels, 1, activation=_NONE)
            x = net.add(x, inner) if block else inner
    x = net.mean(net.convolution(x, 1280, 1), 1, 2)
    return first, net.softmax(net.dense(x, 1000))


def _resnet50(net: _Writer) -> tuple[int, int]:
    first = net.tensor((1, 224, 224, 3))
    x = net.max_pool(net.convolution(first, 64, 7, 2, _RELU), 3, 2)
    for stage, count in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            inner = net.convolution(net.convolution(x, width, 1, 1, _RELU), width, 3, stride, _RELU)
            inner = net.convolution(inner, 4 * width, 1, activation=_NONE)
            x = net.add(inner, x if block else net.convolution(x, 4 * width, 1, stride, _NONE), _RELU)
    return first, net.softmax(net.dense(net.mean(x, 1, 2), 1000))


def _alexnet(net: _Writer) -> tuple[int, int]:
    first = net.tensor((1, 227, 227, 3))
    x = net.max_pool(net.convolution(first, 96, 11, 4, _RELU, _VALID), 3, 2, _VALID)
    x = net.max_pool(net.convolution(x, 256, 5, 1, _RELU), 3, 2, _VALID)
    x = net.convolution(net.convolution(x, 384, 3, 1, _RELU), 384, 3, 1, _RELU)
    x = net.max_pool(net.convolution(x, 256, 3, 1, _RELU), 3, 2, _VALID)
    x = net.dense(net.dense(net.reshape(x, 1, 9216), 4096, _RELU), 4096, _RELU)
    return first, net.softmax(net.dense(x, 1000))


def _bert_tiny(net: _Writer, tokens: int = 128, width: int = 128, heads: int = 2) -> tuple[int, int]:
    depth = width // heads
    first = net.tensor((1, tokens, width))
    x = net.normalised(first)
    for _ in range(2):
        query, key, value = (
            net.transpose(net.reshape(net.dense(x, width), 1, tokens, heads, depth), 0, 2, 1, 3)
            for _ in range(3)
        )
        # The division by the root of the depth lies in the scale.
        shares = net.softmax(net.products(query, key, 0.1, True))
        mixed = net.transpose(net.products(shares, value, _LINEAR_SCALE, False), 0, 2, 1, 3)
        x = net.normalised(net.add(x, net.dense(net.reshape(mixed, 1, tokens, width), width)))
        inner = net.dense(x, 4 * width)
        inner = net.apply("GELU", [inner], net.tensor(net.shape(inner)), Approximate=False)
        x = net.normalised(net.add(x, net.dense(inner, width)))
    return first, x


#: Name -> what writes it and gives the indices of its input and its output.
NETWORKS: dict[str, Callable[[_Writer], tuple[int, int]]] = {
    "mobilenetv2": _mobilenetv2,
    "resnet50": _resnet50,
    "alexnet": _alexnet,
    "bert_tiny": _bert_tiny,
}


def write(name: str, seed: int = 0) -> bytes:
    """The .tflite file of a network of `NETWORKS`, with weights drawn from a seed."""
    net = _Writer(seed)
    first, last = NETWORKS[name](net)
    return net.file.bytes([first], [last])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m assay.golden.exporters.networks",
        description="Write a well-known network as an int8 .tflite file with random weights.",
    )
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("file", type=Path, help="the .tflite file to write")
    parser.add_argument("--seed", type=int, default=0, help="seed of the weights (default 0)")
    options = parser.parse_args(arguments)
    options.file.write_bytes(write(options.network, options.seed))


if __name__ == "__main__":
    main()
