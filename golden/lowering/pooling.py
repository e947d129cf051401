# SPDX-License-Identifier: Apache-2.0
"""Poolings, means and sums over maps."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from assay.golden.errors import UnsupportedOperatorError
from assay.golden.graph import Node
from assay.golden.layers import onnx, onnx_float
from assay.golden.layers.linear import Window
from assay.golden.lowering import algebra
from assay.golden.lowering.values import Open, Padded, Tensor, natural
from assay.golden.lowering.walk import Walk, at, lowers
from assay.golden.network import Pool

__all__ = ["averaged", "max_pooled", "reduced"]


def max_pooled(walk: Walk, node: Node, value: Tensor | Open, window: Window, axis: int) -> Tensor | Open:
    """Largest value of each window of a map whose channels are in `axis`."""
    if window.dilation != (1, 1):
        raise UnsupportedOperatorError(f"{at(node)}: dilations are {list(window.dilation)}, but must be 1")
    value = walk.map(node, value, axis)
    movable = walk.reads_alone(node.inputs[0])
    return walk.layers.max_pooled(
        node.name, value, Pool(window.kernel, window.stride), window.padding, node.outputs[0], movable,
        lambda size: natural(size, axis),
    )  # fmt: skip


@lowers(onnx.MaxPool)
def max_pool(walk: Walk, node: Node) -> Tensor | Open:
    """MaxPool of real numbers or integers."""
    return max_pooled(walk, node, walk.read(node, 0, Tensor, Open), node.operator.window, 1)


def averaged(
    walk: Walk, node: Node, value: Tensor | Open | Padded, window: Window, counts_padding: bool, axis: int
) -> Open:
    """Mean of each window of a map whose channels are in `axis`."""
    padding = window.padding
    if any(padding) and not counts_padding:
        raise UnsupportedOperatorError(
            f"{at(node)}: windows at the edge are divided by less, as padding {list(padding)} is not counted "
            f"(count_include_pad is 0), but every window must be divided by the same"
        )
    if isinstance(value, Padded):
        padding = tuple(a + b for a, b in zip(value.padding, padding, strict=True))
        value = value.tensor
    value = walk.map(node, value, axis)
    return algebra.average(
        node.name, value, window.kernel, window.stride, padding, lambda size: natural(size, axis)
    )


@lowers(onnx.AveragePool)
def average_pool(walk: Walk, node: Node) -> Open:
    """AveragePool of real numbers."""
    operator = node.operator
    if any(operator.beyond):
        raise UnsupportedOperatorError(
            f"{at(node)}: attribute ceil_mode is 1 and windows reach over the edge, but all must lie inside"
        )
    return averaged(
        walk, node, walk.read(node, 0, Tensor, Open, Padded), operator.window, operator.include_pad, 1
    )


@lowers(onnx.GlobalAveragePool)
def global_average_pool(walk: Walk, node: Node) -> Open:
    """GlobalAveragePool of real numbers."""
    value = walk.map(node, walk.read(node, 0, Tensor, Open), 1)
    return averaged(walk, node, value, Window(value.size[:2]), True, 1)


def reduced(
    walk: Walk,
    node: Node,
    value: Tensor | Open,
    axes: tuple[int, ...],
    shape: tuple[int, ...],
    factor: Fraction | None,
) -> Open:
    """Mean of each channel's map over `axes`, or its sum times `factor`; `shape` is the graph's, of the result."""
    channels = _whole_channels(node, value, axes)
    window = value.size[:2]

    def index(size: tuple[int, int, int]) -> np.ndarray:
        return channels.reshape(shape)

    return algebra.average(node.name, value, window, (1, 1), (0, 0, 0, 0), index, factor)


def _whole_channels(node: Node, value: Tensor | Open, axes: tuple[int, ...]) -> np.ndarray:
    """The channel over which each result of a reduction goes.

    Raises:
        UnsupportedOperatorError: one goes over anything but all rows and columns of one channel.
    """
    rest = [axis for axis in range(value.index.ndim) if axis not in axes]
    places = value.index.transpose(*axes, *rest).reshape(
        -1, int(np.prod([value.index.shape[a] for a in rest]))
    )
    channels = places % value.size[2]
    if len(places) != value.size[0] * value.size[1] or (channels != channels[:1]).any():
        raise UnsupportedOperatorError(
            f"{at(node)}: axes are {list(axes)}, but must be rows and columns of a map"
        )
    return channels[0]


@lowers(onnx_float.Reduce)
def reduce(walk: Walk, node: Node) -> Tensor | Open:
    """ReduceMean and ReduceSum over rows and columns, ReduceMax over both (GlobalMaxPool)."""
    operator = node.operator
    value = walk.read(node, 0, Tensor, Open)
    if operator.kind == "ReduceMax" and operator.keep and tuple(operator.axes) == (2, 3):
        return max_pooled(walk, node, value, Window(value.size[:2]), 1)
    if operator.kind not in ("ReduceMean", "ReduceSum"):
        raise UnsupportedOperatorError(
            f"{at(node)}: operator {node.kind} over axes {list(operator.axes)} is none that becomes a layer"
        )
    factor = None if operator.kind == "ReduceMean" else Fraction(1)
    return reduced(walk, node, value, operator.axes, walk.shape(node), factor)


for _handler in (max_pool, average_pool, global_average_pool):
    _handler.channel_axis = 1
