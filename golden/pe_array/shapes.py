# SPDX-License-Identifier: Apache-2.0
"""Convolution layers of well-known networks by their shapes alone, for clock counts: batch 1, as published.

AlexNet: Krizhevsky, Sutskever, Hinton 2012, two groups in conv2, conv4 and conv5. VGG-16: Simonyan, Zisserman 2014.
ResNet-50: He, Zhang, Ren, Sun 2015, with the stride in the first 1x1 convolution of a block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from assay.golden.layers.linear import Window
from assay.golden.pe_array.mapping import LayerTiles, map_convolution
from assay.golden.pe_array.parameters import PeArrayParameters

__all__ = ["SHAPES", "Shape"]


@dataclass(frozen=True)
class Shape:
    """A convolution layer.

    Attributes:
        name: of the layer.
        channels: of input and output.
        size: rows and columns of the input map.
        kernel, stride, padding: of both sides, all around.
        groups: of channels.
    """

    name: str
    channels: tuple[int, int]
    size: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1

    @property
    def window(self) -> Window:
        """Where it reads."""
        return Window((self.kernel,) * 2, (self.stride,) * 2, padding=(self.padding,) * 4)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """[K, KH, KW, C / groups]."""
        return self.channels[1], self.kernel, self.kernel, self.channels[0] // self.groups

    @property
    def macs(self) -> int:
        """Multiplications, those by padding counted too."""
        return math.prod(self.window.output_size((self.size,) * 2)) * math.prod(self.weight_shape)

    def tiles(self, parameters: PeArrayParameters, rng: np.random.Generator | None = None) -> LayerTiles:
        """Its tiles, with weights and pixels of 0, or random ones; errors as for `map_convolution`."""

        def values(*shape: int) -> np.ndarray:
            if rng is None:
                return np.broadcast_to(np.int8(0), shape)
            return rng.integers(-128, 127, shape, np.int8, endpoint=True)

        x, weight = values(1, self.size, self.size, self.channels[0]), values(*self.weight_shape)
        return map_convolution(self.name, x, weight, self.window, parameters, groups=self.groups)

    def scaled(self, macs: int) -> Shape:
        """A part of the layer with at most about so many multiplications: fewer outputs, then a smaller map.

        Kernel, stride, padding, groups and input channels stay, so that a step takes as long as in the whole layer.
        """
        shape = self
        while shape.macs > macs and shape.channels[1] > 2 * self.groups:
            shape = replace(shape, channels=(shape.channels[0], shape.channels[1] // 2))
        while shape.macs > macs and shape.size > 2 * self.kernel:
            shape = replace(shape, size=max(2 * self.kernel, shape.size // 2))
        return shape


_ALEXNET = (
    Shape("conv1", (3, 96), 227, 11, 4),
    Shape("conv2", (96, 256), 27, 5, 1, 2, 2),
    Shape("conv3", (256, 384), 13, 3, 1, 1),
    Shape("conv4", (384, 384), 13, 3, 1, 1, 2),
    Shape("conv5", (384, 256), 13, 3, 1, 1, 2),
)


def _vgg16() -> Iterator[Shape]:
    channels = 3
    for block, (layers, outputs) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
        for layer in range(layers):
            yield Shape(f"conv{block + 1}_{layer + 1}", (channels, outputs), 224 >> block, 3, 1, 1)
            channels = outputs


def _resnet50() -> Iterator[Shape]:
    yield Shape("conv1", (3, 64), 224, 7, 2, 3)
    channels, size = 64, 56
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner = 64 << stage
        for block in range(blocks):
            name = f"conv{stage + 2}_{block + 1}"
            stride = 2 if stage and not block else 1
            if not block:
                yield Shape(f"{name}_shortcut", (channels, 4 * inner), size, 1, stride)
            yield Shape(f"{name}_1x1a", (channels, inner), size, 1, stride)
            size //= stride
            yield Shape(f"{name}_3x3", (inner, inner), size, 3, 1, 1)
            yield Shape(f"{name}_1x1b", (inner, 4 * inner), size, 1)
            channels = 4 * inner


#: Name of a network -> its convolution layers.
SHAPES = {"alexnet": _ALEXNET, "vgg16": tuple(_vgg16()), "resnet50": tuple(_resnet50())}
