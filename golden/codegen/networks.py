# SPDX-License-Identifier: Apache-2.0
"""Networks by their shapes alone, with random weights, for clock counts: those that BARVINN's documentation tabulates.

"resnet18" is the table's: ResNet-18 for CIFAR-10 (He, Zhang, Ren, Sun 2015) without the additions and the classifier,
17 convolutions of 3x3, all operands of two bits. "resnet18-residual" has the additions, with 1x1 convolutions where a
shortcut changes its shape.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assay.golden.formats import IntFormat
from assay.golden.network import Layer, Network, Residual

__all__ = ["NETWORKS", "resnet18"]

_BITS = 2
_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, stride of the stage's first convolution
_BLOCKS = 2  # of a stage, two convolutions each


def resnet18(residual: bool = False, seed: int = 0, size: int = 32, width: int = 64) -> Network:
    """ResNet-18 at two bits with random weights.

    Args:
        residual: with the additions.
        seed: of the weights.
        size: rows and columns of the input, of three channels.
        width: channels of the first stage.
    """
    rng = np.random.default_rng(seed)
    fmt = IntFormat(_BITS, signed=False)
    layers: list[Layer] = []

    def convolution(name: str, source: str, channels: int, outputs: int, **attributes) -> str:
        kernel = attributes.pop("kernel", 3)
        weight_format = IntFormat(_BITS, signed=True)
        weight = rng.integers(
            weight_format.min, weight_format.max, (outputs, kernel, kernel, channels), endpoint=True
        )
        # A sum's standard deviation is about 2 * sqrt(taps): to about one step of the output's range.
        scale = round(64 / np.sqrt(kernel * kernel * channels))
        layers.append(
            Layer(
                name=name,
                input=source,
                output=name,
                weight=weight,
                weight_format=weight_format,
                input_format=fmt,
                output_format=fmt,
                multiplier=rng.integers(max(1, scale // 2), scale + 2, outputs),
                bias=rng.integers(0, 256, outputs),
                shift=7,
                padding=(kernel // 2,) * 4,
                **attributes,
            )
        )
        return name

    tensor, channels = convolution("conv1", "input", 3, width, relu=True), width
    for stage, (outputs, first_stride) in enumerate(_STAGES):
        outputs = outputs * width // _STAGES[0][0]
        for block in range(_BLOCKS):
            name, stride = f"conv{stage + 2}_{block + 1}", (1, 1) if block else (first_stride,) * 2
            before, shortcut = tensor, None
            inner = convolution(f"{name}a", before, channels, outputs, stride=stride, relu=True)
            if residual:
                if channels != outputs:
                    before = convolution(f"{name}s", before, channels, outputs, stride=stride, kernel=1)
                shortcut = Residual(before, fmt, 100)
            tensor = convolution(f"{name}b", inner, outputs, outputs, relu=True, residual=shortcut)
            channels = outputs
    return Network("resnet18-residual" if residual else "resnet18", "input", (size, size, 3), layers)


#: Name to what makes the network.
NETWORKS: dict[str, Callable[[], Network]] = {
    "resnet18": resnet18,
    "resnet18-residual": lambda: resnet18(residual=True),
}
