# SPDX-License-Identifier: Apache-2.0
"""The int8 digit network: trained in float, quantised after training as TFLite's converter does, written as .tflite.

A small network with what int8 networks are made of: convolutions with ReLU, a depthwise one with ReLU6 and one with
stride 2, an addition, max and average pooling, hard-swish, a dense layer, softmax. Activations have 8 bits with one
scale and zero point a tensor, from the least and greatest values that the training images cause; weights have one scale
an output channel, biases the product of both scales.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tflite
import torch
from torch import nn
from torch.nn import functional

from assay.golden.tests.tflite_files import ModelFile

CHANNELS = (16, 32, 48)
CLASSES = 10
RELU, RELU6 = tflite.ActivationFunctionType.RELU, tflite.ActivationFunctionType.RELU6
SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID


class Convolution(nn.Module):
    """A convolution with SAME padding and batch normalisation, which is folded into it on export."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, depthwise: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.depthwise = kernel, stride, depthwise
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=inputs if depthwise else 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # TFLite's SAME: where the padding is odd, right and bottom get more.
        total = max((-(-x.shape[-1] // self.stride) - 1) * self.stride + self.kernel - x.shape[-1], 0)
        before, after = total // 2, total - total // 2
        return self.norm(self.conv(functional.pad(x, (before, after, before, after))))

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights float64 `[O, I, K, K]` and biases `[O]` with the normalisation in them."""
        gain = self.norm.weight.double() / torch.sqrt(self.norm.running_var.double() + self.norm.eps)
        weight = self.conv.weight.double() * gain[:, None, None, None]
        bias = self.norm.bias.double() - self.norm.running_mean.double() * gain
        return weight.detach().numpy(), bias.detach().numpy()


class Int8Digits(nn.Module):
    """The float network; takes the input's integers as the manifest's rule makes them and gives logits `[N, 10]`."""

    name = "digits_int8"
    input_rule = {"multiply": 15, "add": -128, "shift": 0}  # noqa: RUF012 (pixels 0..16 to -128..112)

    def __init__(self) -> None:
        super().__init__()
        a, b, c = CHANNELS
        self.conv1 = Convolution(1, a, 3)
        self.depthwise1 = Convolution(a, a, 3, depthwise=True)
        self.pointwise1 = Convolution(a, b, 1)
        self.conv2 = Convolution(b, b, 3)
        self.depthwise2 = Convolution(b, b, 3, stride=2, depthwise=True)
        self.pointwise2 = Convolution(b, c, 1)
        self.dense = nn.Linear(c, CLASSES)

    def tensors(self, x: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor of the exported network with its name, in order, the softmax apart."""
        yield "image", (image := (x + 128) / 240)
        yield "conv1", (y := functional.relu(self.conv1(image)))
        yield "depthwise1", (y := functional.relu6(self.depthwise1(y)))
        yield "pointwise1", (y := functional.relu(self.pointwise1(y)))
        yield "pool1", (pooled := functional.max_pool2d(y, 2))
        yield "conv2", (y := self.conv2(pooled))
        yield "add", (y := functional.relu(y + pooled))
        yield "depthwise2", (y := functional.relu6(self.depthwise2(y)))
        yield "pointwise2", (y := self.pointwise2(y))
        yield "hard_swish", (y := functional.hardswish(y))
        yield "pool2", (y := functional.avg_pool2d(y, 2))
        yield "logits", self.dense(y.flatten(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *_, (_, logits) = self.tensors(x)
        return logits


class _Writer:
    """Quantises the tensors and layers of a trained network into a `ModelFile`."""

    def __init__(self, network: Int8Digits, x: torch.Tensor) -> None:
        self.file = ModelFile()
        self.values = dict(network.tensors(x))
        self.index: dict[str, int] = {}
        self.scale: dict[str, float] = {}

    def tensor(self, name: str, like: str | None = None) -> int:
        """Declare an activation; `like` names the tensor whose scale it must share, as pooling does."""
        values = self.values[name]
        shape = (1, *values.permute(0, 2, 3, 1).shape[1:]) if values.dim() == 4 else (1, values.shape[1])
        if like is None:
            low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
            scale = float(np.float32((high - low) / 255))
            zero_point = int(np.clip(np.rint(-128 - low / scale), -128, 127))
        else:
            stored = self.file.tensors[self.index[like]]
            scale, zero_point = stored.scale[0], stored.zero_point[0]
        self.index[name] = self.file.tensor(shape, scale, zero_point, name=name)
        self.scale[name] = scale
        return self.index[name]

    def parameters(
        self, name: str, source: str, weight: np.ndarray, bias: np.ndarray, axis: int | None
    ) -> list[int]:
        """Declare weights with a scale for each index of `axis` (one for all without), and the biases."""
        others = None if axis is None else tuple(i for i in range(weight.ndim) if i != axis)
        scale = np.abs(weight).max(axis=others, keepdims=axis is not None) / 127
        scale = np.maximum(scale, 1e-9).astype(np.float32).astype(np.float64)
        integers = np.clip(np.rint(weight / scale), -127, 127).astype(np.int8)
        scales = scale.reshape(-1).tolist()
        product = [s * self.scale[source] for s in scales]
        offsets = np.rint(bias / np.array(product)).astype(np.int32)
        return [
            self.file.constant(integers, scales, [0] * len(scales), axis or 0, f"{name}/weight"),
            self.file.constant(offsets, product, [0] * len(scales), 0, f"{name}/bias"),
        ]

    def convolution(self, name: str, source: str, layer: Convolution, activation: int = 0) -> None:
        weight, bias = layer.folded()
        options = {
            "Padding": SAME,
            "StrideH": layer.stride,
            "StrideW": layer.stride,
            "FusedActivationFunction": activation,
        }
        if layer.depthwise:
            kind, table = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"
            options["DepthMultiplier"] = 1
            constants = self.parameters(name, source, weight.transpose(1, 2, 3, 0), bias, axis=3)
        else:
            kind, table = "CONV_2D", "Conv2DOptions"
            constants = self.parameters(name, source, weight.transpose(0, 2, 3, 1), bias, axis=0)
        self.file.operator(kind, [self.index[source], *constants], [self.tensor(name)], table, **options)

    def pool(self, kind: str, name: str, source: str) -> None:
        size = {"FilterHeight": 2, "FilterWidth": 2, "StrideH": 2, "StrideW": 2}
        output = self.tensor(name, like=source)
        self.file.operator(kind, [self.index[source]], [output], "Pool2DOptions", Padding=VALID, **size)


def to_tflite(network: Int8Digits, x: torch.Tensor) -> bytes:
    """The .tflite file of a trained network, its ranges taken from the inputs `x` float32 `[N, 1, 8, 8]`."""
    network.eval()
    with torch.no_grad():
        writer = _Writer(network, x)
    file, index = writer.file, writer.index
    writer.values["image"] = torch.cat([writer.values["image"], torch.ones_like(x[:1]) * 255 / 240])
    image = writer.tensor("image")
    writer.convolution("conv1", "image", network.conv1, RELU)
    writer.convolution("depthwise1", "conv1", network.depthwise1, RELU6)
    writer.convolution("pointwise1", "depthwise1", network.pointwise1, RELU)
    writer.pool("MAX_POOL_2D", "pool1", "pointwise1")
    writer.convolution("conv2", "pool1", network.conv2)
    file.operator(
        "ADD",
        [index["conv2"], index["pool1"]],
        [writer.tensor("add")],
        "AddOptions",
        FusedActivationFunction=RELU,
    )
    writer.convolution("depthwise2", "add", network.depthwise2, RELU6)
    writer.convolution("pointwise2", "depthwise2", network.pointwise2)
    file.operator("HARD_SWISH", [index["pointwise2"]], [writer.tensor("hard_swish")])
    writer.pool("AVERAGE_POOL_2D", "pool2", "hard_swish")
    weight, bias = (p.detach().double().numpy() for p in (network.dense.weight, network.dense.bias))
    constants = writer.parameters("logits", "pool2", weight, bias, axis=None)
    flat = file.tensor(
        (1, CHANNELS[-1]), writer.scale["pool2"], file.tensors[index["pool2"]].zero_point, name="flat"
    )
    shape = file.constant(np.array([1, CHANNELS[-1]], np.int32), name="flat/shape")
    file.operator("RESHAPE", [index["pool2"], shape], [flat], "ReshapeOptions", NewShape=[1, CHANNELS[-1]])
    file.operator("FULLY_CONNECTED", [flat, *constants], [writer.tensor("logits")], "FullyConnectedOptions")
    output = file.tensor((1, CLASSES), 1 / 256, -128, name="probabilities")
    file.operator("SOFTMAX", [index["logits"]], [output], "SoftmaxOptions", Beta=1.0)
    return file.bytes([image], [output])
