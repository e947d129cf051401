# SPDX-License-Identifier: Apache-2.0
"""Nodes that join, take and pad: channels of maps behind one another, some of them, zeros around them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.formats import IntFormat
from assay.golden.graph import Node
from assay.golden.layers import shaping
from assay.golden.lowering import algebra
from assay.golden.lowering.rounding import Quantiser
from assay.golden.lowering.values import Open, Padded, Tensor, Weight, checked, placed
from assay.golden.lowering.walk import Walk, at, lowers

__all__ = ["joined"]


def joined(walk: Walk, node: Node, values: Sequence[Tensor | Open], axis: int) -> Open:
    """Channels behind one another: a layer of ones puts each part in its place among all, and they are added."""
    shape = walk.shape(node)
    axis %= len(shape)
    if len({value.size[:2] for value in values}) != 1:
        raise UnsupportedOperatorError(f"{at(node)} must join maps of one size")
    total, first, made = sum(value.size[2] for value in values), 0, None
    for number, value in enumerate(values):
        channels = value.size[2]
        if value.index.shape[axis] != channels or not np.array_equal(
            value.index, placed(value.index.shape, axis)
        ):
            raise UnsupportedOperatorError(
                f"{at(node)}: axis is {axis}, but must be that of channels in {list(value.index.shape)}"
            )
        weight = np.zeros(checked("a weight that joins channels", (total, 1, 1, channels)), np.int64)
        weight[first : first + channels, 0, 0] = np.eye(channels, dtype=np.int64)
        first += channels
        part = algebra.convolution(
            f"{node.name}.{number}",
            value,
            Weight(weight, IntFormat(1, False), (Fraction(1),) * total),
            (1, 1),
            (0, 0, 0, 0),
            1,
            lambda size: placed(shape, axis),
        )
        made = part if made is None else algebra.added(part.name, made, part, 1)
    return made


@lowers(shaping.Concatenate)
def concatenate(walk: Walk, node: Node) -> Open | Tensor:
    """Concat of real numbers, or of integers of one scale."""
    values = [walk.read(node, position, Tensor, Open) for position in range(len(node.inputs))]
    made = joined(walk, node, values, node.operator.axis)
    if walk.graph.tensors[node.outputs[0]].dtype.kind == "f":
        return made
    first = values[0]
    if any(
        (value.scale, value.zero + value.offset) != (first.scale, first.zero + first.offset)
        for value in values
    ):
        raise UnsupportedOperatorError(f"{at(node)} joins integers of several scales, but must have one")
    low = min(value.format.min + value.offset for value in values)
    high = max(value.format.max + value.offset for value in values)
    bits = max(value.format.bits for value in values)
    target = IntFormat(bits, low < 0)
    zero = int(first.zero + first.offset)
    return walk.layers.closed(
        made, Quantiser(at(node), node.outputs[0], first.scale, zero, target, low, high, in_float32=False)
    )


def _taken(walk: Walk, node: Node, value: Tensor, places: np.ndarray, output: str) -> Tensor:
    """Some channels of a map, all of each; `places` is where the result's elements lie in it."""
    channels = value.size[2]
    if np.array_equal(places, value.index):
        return value
    if not places.size:
        raise ModelFormatError(f"{at(node)} takes no channel of {channels}")
    flat = places.ravel()
    chosen = flat[flat < channels]  # of the first row and column
    whole = len(flat) == len(chosen) * value.size[0] * value.size[1] and len(set(chosen.tolist())) == len(
        chosen
    )
    number = np.full(channels, -1)
    number[chosen] = np.arange(len(chosen))
    index = flat // channels * len(chosen) + number[flat % channels]
    if (
        not whole
        or (number[flat % channels] < 0).any()
        or not np.array_equal(np.sort(index), np.arange(len(flat)))
    ):
        raise UnsupportedOperatorError(
            f"{at(node)}: it must take channels of a map, and all rows and columns of each"
        )
    return walk.layers.gathered(output, value, chosen, index.reshape(places.shape))


@lowers(shaping.Slice, shaping.Split, shaping.Take)
def take(walk: Walk, node: Node) -> Tensor | tuple[Tensor, ...]:
    """Slice, Split and Gather of channels."""
    value = walk.read(node, 0, Tensor)
    made = node.operator(value.index[None])
    parts = made if isinstance(made, tuple) else (made,)
    taken = tuple(
        _taken(walk, node, value, part[0], name) for part, name in zip(parts, node.outputs, strict=True)
    )
    return taken if isinstance(made, tuple) else taken[0]


@lowers(shaping.Pad)
def pad(walk: Walk, node: Node) -> Padded:
    """Pad of rows and columns by the real zero, for the convolution that reads it."""
    value, pairs = walk.read(node, 0, Tensor, Open), node.operator.before_after
    added = [axis for axis, pair in enumerate(pairs) if any(pair)]
    channel_axis = 3 if len(pairs) == 4 and not any(pairs[3]) and any(pairs[1]) else 1
    if len(pairs) != 4 or any(axis in (0, channel_axis) for axis in added) or min(min(p) for p in pairs) < 0:
        raise UnsupportedOperatorError(
            f"{at(node)}: pads are {[list(pair) for pair in pairs]}, but must add rows and columns to a map"
        )
    if len(added) < 2 and channel_axis == 1 and value.index.shape[1] != value.size[2]:
        channel_axis = 3
    zero: object = 0.0
    if walk.graph.tensors[node.inputs[0]].dtype.kind in "iu":
        zero = int(value.zero + value.offset)
    if node.operator.value != zero:
        raise UnsupportedOperatorError(
            f"{at(node)}: pads with {node.operator.value}, but must pad with {zero}, the real zero"
        )
    rows, columns = (pairs[axis] for axis in range(1, 4) if axis != channel_axis)
    value = walk.map(node, value, channel_axis)
    return Padded(value, (rows[0], columns[0], rows[1], columns[1]), value.index)
