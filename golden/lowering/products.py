# SPDX-License-Identifier: Apache-2.0
"""Convolutions and matrix products with fixed weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.formats import MAX_BITS
from assay.golden.graph import Node
from assay.golden.layers import onnx
from assay.golden.layers.linear import Convolution, Window
from assay.golden.lowering import algebra
from assay.golden.lowering.values import (
    Constant,
    Open,
    Padded,
    Tensor,
    Weight,
    checked,
    is_float32,
    natural,
    placed,
)
from assay.golden.lowering.walk import Walk, at, fraction, lowers

__all__ = ["convolved", "dense", "integer_weight"]


def convolved(
    walk: Walk,
    node: Node,
    value: Tensor | Open | Padded,
    weight: Weight,
    window: Window,
    groups: int,
    axis: int,
) -> Open:
    """A convolution of a map whose channels are in `axis`.

    Args:
        weight: `[K, fH, fW, C / groups]`, without dilation.
    """
    pads = value.padding if isinstance(value, Padded) else (0, 0, 0, 0)
    source = walk.map(node, value.tensor if isinstance(value, Padded) else value, axis)
    if window.dilation != (1, 1):
        weight = dataclasses.replace(weight, integers=_dilated(node, weight.integers, window.dilation))
    padding = tuple(a + b for a, b in zip(pads, window.padding, strict=True))
    if groups > 1 and (groups != source.size[2] or groups != len(weight.integers)):
        weight, groups = dataclasses.replace(weight, integers=_ungrouped(weight.integers, groups)), 1
    return algebra.convolution(
        node.name, source, weight, window.stride, padding, groups, lambda size: natural(size, axis)
    )


def _dilated(node: Node, integers: np.ndarray, dilation: tuple[int, int]) -> np.ndarray:
    """The weight with zeros between its rows and columns."""
    if max(dilation) > 64:
        raise UnsupportedOperatorError(
            f"{at(node)}: dilations are {list(dilation)}, but must be from 1 to 64"
        )
    outputs, rows, columns, channels = integers.shape
    size = ((rows - 1) * dilation[0] + 1, (columns - 1) * dilation[1] + 1)
    made = np.zeros(checked("a kernel with dilations", (outputs, *size, channels)), np.int64)
    made[:, :: dilation[0], :: dilation[1]] = integers
    return made


def _ungrouped(integers: np.ndarray, groups: int) -> np.ndarray:
    """The weight of a convolution in groups as one of all channels, 0 for those of the other groups."""
    outputs, *kernel, channels = integers.shape
    shape = (groups, outputs // groups, *kernel, groups, channels)
    made = np.zeros(checked("a weight of all groups", shape), np.int64)
    for group, part in enumerate(integers.reshape(groups, -1, *kernel, channels)):
        made[group, ..., group, :] = part
    return made.reshape(outputs, *kernel, groups * channels)


def dense(walk: Walk, node: Node, value: Tensor | Open, weight: Weight, shape: tuple[int, ...]) -> Open:
    """A product with weights `[K, 1, 1, F]` as a convolution over the whole map, or over each row of F features.

    Args:
        value: its graph's shape ends with F, before which rows may stand.
        shape: the graph's, of the result.
    """
    outputs, features = len(weight.integers), weight.integers.shape[3]
    index = value.index
    rows = index.size // features
    if index.size % features:
        raise ModelFormatError(
            f"{at(node)}: input {node.inputs[0]!r} of {list(index.shape)} does not hold rows of {features} features"
        )
    if rows == 1:
        order = index.ravel()
        ordered = np.empty((outputs, features), np.int64)
        ordered[:, order] = weight.integers.reshape(outputs, features)
        weight = dataclasses.replace(weight, integers=ordered.reshape(outputs, *value.size))
    elif value.size[2] != features or not np.array_equal(index.ravel(), np.arange(index.size)):
        raise UnsupportedOperatorError(
            f"{at(node)}: input {node.inputs[0]!r} must be flat, [1, features], or have its channels last"
        )
    return algebra.convolution(
        node.name, value, weight, (1, 1), (0, 0, 0, 0), 1, lambda size: placed(shape, len(shape) - 1)
    )


def _constant_weight(
    walk: Walk, node: Node, position: int, move: Callable[[np.ndarray], np.ndarray]
) -> Weight:
    """Quantised constant weights in the order `[K, ...]` that `move` gives them."""
    constant = walk.read(node, position, Constant)
    if constant.integers is None:
        raise UnsupportedOperatorError(
            f"{at(node)}: input {node.inputs[position]!r} is a constant, but must be a constant from a quantiser"
        )
    if constant.format is None:
        raise UnsupportedOperatorError(f"{at(node)}: weights of more than {MAX_BITS} bits")
    integers = move(constant.integers)
    scales = move(np.broadcast_to(constant.scale, constant.integers.shape)).reshape(len(integers), -1)
    if (scales != scales[:, :1]).any():
        raise UnsupportedOperatorError(
            f"{at(node)}: the weight's scale varies within an output channel, but must not"
        )
    steps = tuple(fraction(scale, node) for scale in scales[:, 0])
    reach = np.abs(integers.reshape(len(integers), -1)).max(axis=1).tolist()
    exact = all(is_float32(step, step * most) for step, most in zip(steps, reach, strict=True))
    return Weight(integers, constant.format, steps, exact)


@lowers(onnx.Conv)
def conv(walk: Walk, node: Node) -> Open:
    """Conv between quantisers."""
    weight = _constant_weight(walk, node, 1, lambda values: values.transpose(0, 2, 3, 1))
    value = walk.read(node, 0, Tensor, Open, Padded)
    made = convolved(walk, node, value, weight, node.operator.window, node.operator.groups, 1)
    return _biased(walk, node, made)


conv.channel_axis = 1


@lowers(onnx.Gemm)
def gemm(walk: Walk, node: Node) -> Open:
    """Gemm between quantisers, of one row or several."""
    transposed = node.operator.transposed
    weight = _constant_weight(walk, node, 1, lambda values: _matrix(values if transposed else values.T))
    value = walk.read(node, 0, Tensor, Open)
    return _biased(walk, node, dense(walk, node, value, weight, walk.shape(node)))


@lowers(onnx.MatMul)
def matmul(walk: Walk, node: Node) -> Open:
    """MatMul of a tensor by a stored matrix."""
    if walk.read(node, 1, Constant).values.ndim != 2:
        raise UnsupportedOperatorError(f"{at(node)}: input {node.inputs[1]!r} must be one matrix of weights")
    weight = _constant_weight(walk, node, 1, lambda values: _matrix(values.T))
    return dense(walk, node, walk.read(node, 0, Tensor, Open), weight, walk.shape(node))


def _matrix(values: np.ndarray) -> np.ndarray:
    return values[:, None, None]


def _biased(walk: Walk, node: Node, layer: Open) -> Open:
    if len(node.inputs) < 3:
        return layer
    values, outputs = walk.read(node, 2, Constant).values, layer.size[2]
    if values.size not in (1, outputs):
        raise UnsupportedOperatorError(
            f"{at(node)}: bias has {values.size} values, but must have {outputs}, the same for all rows"
        )
    values = np.broadcast_to(values.ravel(), (outputs,))
    return algebra.shifted(layer, [fraction(value, node) for value in values])


def integer_weight(
    walk: Walk,
    node: Node,
    source: Tensor,
    convolution: Convolution,
    factors: Sequence[Fraction],
    format: object,
) -> tuple[Weight, list[Fraction]]:
    """Weights of an operator on integers, and what its bias adds.

    Args:
        source: what it reads.
        factors: of one product of integers in real numbers, for each output channel or for all.
    """
    outputs = len(convolution.weight)
    if len(factors) == 1:
        factors = list(factors) * outputs
    if convolution.bound >= 1 << 31:
        raise UnsupportedOperatorError(
            f"{at(node)}: sums may reach {convolution.bound}, and wrap in the framework, but must stay below 2**31"
        )
    weight = Weight(
        convolution.weight.astype(np.int64), format, tuple(factor / source.scale for factor in factors)
    )
    offsets = [int(n) * factor for n, factor in zip(convolution.bias.tolist(), factors, strict=True)]
    return weight, offsets
