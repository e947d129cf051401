# SPDX-License-Identifier: Apache-2.0
"""Folding: the host writes windows of the first layer instead of positions, and the layer becomes a 1x1 convolution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.mvu.layout import channel_blocks
from assay.golden.network import Layer, Network

__all__ = ["fold", "folded_layer", "folds"]


def folds(network: Network, lanes: int) -> bool:
    """Whether a window of the first layer takes fewer channel blocks than its positions, which no other layer reads."""
    first, *others = network.layers
    readers = [layer.input for layer in others] + [
        layer.residual.tensor for layer in network.layers if layer.residual
    ]
    return (
        first.input == network.input
        and network.input not in readers
        and first.groups == 1
        and channel_blocks(first.weight[0].size, lanes)
        < first.kernel[0] * first.kernel[1] * channel_blocks(first.input_channels, lanes)
    )


def fold(layer: Layer, x: np.ndarray) -> np.ndarray:
    """Windows of a layer's input: integers `[..., H, W, C]` -> `[..., oH, oW, fH*fW*C]`, zeros in the padding.

    Raises:
        ConfigurationError: `x` is no input of that layer.
    """
    top, left, bottom, right = layer.padding
    x = np.asarray(x)
    if x.ndim < 3 or x.shape[-1] != layer.input_channels:
        raise ConfigurationError(
            f"input of layer {layer.name} has shape {list(x.shape)}, but must be [..., H, W, {layer.input_channels}]"
        )
    layer.convolution_size(x.shape[-3:-1])
    edges = [(0, 0)] * (x.ndim - 3) + [(top, bottom), (left, right), (0, 0)]
    x = np.pad(x, edges)
    windows = np.lib.stride_tricks.sliding_window_view(x, layer.kernel, axis=(-3, -2))
    windows = windows[..., :: layer.stride[0], :: layer.stride[1], :, :, :]
    windows = np.moveaxis(windows, -3, -1)  # fH, fW, C
    return windows.reshape(*windows.shape[:-3], -1)


def folded_layer(layer: Layer, shape: tuple[int, int, int]) -> tuple[Layer, tuple[int, int, int]]:
    """The first layer as a 1x1 convolution over its windows, and the shape of those."""
    outputs = layer.output_channels
    weight = layer.weight.reshape(outputs, 1, 1, -1)
    size = layer.convolution_size(shape[:2])
    return replace(layer, weight=weight, stride=(1, 1), padding=(0, 0, 0, 0)), (*size, weight.shape[3])
