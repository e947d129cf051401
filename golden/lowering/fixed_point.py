# SPDX-License-Identifier: Apache-2.0
"""Operators of the fixed-point ONNX scheme: exact rationals, rounded once with ties away from zero."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from assay.golden.formats import IntFormat
from assay.golden.graph import Node
from assay.golden.layers import fixed_point
from assay.golden.lowering import algebra
from assay.golden.lowering.elementwise import added, clipped
from assay.golden.lowering.pooling import averaged, max_pooled, reduced
from assay.golden.lowering.products import convolved, dense, integer_weight
from assay.golden.lowering.rounding import Quantiser, Rounding
from assay.golden.lowering.values import Tensor
from assay.golden.lowering.walk import Walk, at, lowers

__all__ = ["summed"]

_S8 = IntFormat(8, True)


def _target(node: Node, exponent: int) -> Quantiser:
    scale = Fraction(2) ** exponent
    rounding = Rounding("HALF_UP")
    return Quantiser(at(node), node.outputs[0], scale, 0, _S8, _S8.min, _S8.max, rounding, in_float32=False)


def _of_scale(walk: Walk, node: Node, exponent: int, position: int = 0) -> Tensor:
    """A tensor as the node reads it; inputs of int8 need no quantiser of their own."""
    return dataclasses.replace(walk.read(node, position, Tensor), scale=Fraction(2) ** exponent, drift=0.0)


@lowers(fixed_point.Conv)
def conv(walk: Walk, node: Node) -> Tensor:
    """Conv, standard and depthwise."""
    return _weighted(walk, node, node.operator, None)


conv.channel_axis = 1


@lowers(fixed_point.Gemm)
def gemm(walk: Walk, node: Node) -> Tensor:
    """Gemm, or MatMul by stored weights."""
    return _weighted(walk, node, node.operator.layer, walk.shape(node))


def _weighted(walk: Walk, node: Node, layer: fixed_point.Conv, shape: tuple[int, ...] | None) -> Tensor:
    convolution = layer.convolution
    value = _of_scale(walk, node, layer.source)
    factors = [scale.value * value.scale for scale in layer.scales]
    weight, offsets = integer_weight(walk, node, value, convolution, factors, _S8)
    if shape is None:
        made = convolved(walk, node, value, weight, convolution.window, convolution.groups, 1)
    else:
        made = dense(walk, node, value, weight, shape)
    return walk.layers.closed(algebra.shifted(made, offsets), _target(node, layer.target))


@lowers(fixed_point.MaxPool)
def max_pool(walk: Walk, node: Node) -> Tensor:
    """MaxPool; the scale is kept."""
    return max_pooled(walk, node, walk.read(node, 0, Tensor), node.operator.window, 1)


@lowers(fixed_point.AveragePool)
def average_pool(walk: Walk, node: Node) -> Tensor:
    """AveragePool."""
    operator = node.operator
    value = _of_scale(walk, node, operator.source)
    layer = averaged(walk, node, value, operator.window, operator.include_padding, 1)
    return walk.layers.closed(layer, _target(node, operator.target))


max_pool.channel_axis = average_pool.channel_axis = 1


@lowers(fixed_point.ReduceSum)
def reduce_sum(walk: Walk, node: Node) -> Tensor:
    """ReduceSum over rows and columns."""
    operator = node.operator
    value = _of_scale(walk, node, operator.source)
    layer = reduced(walk, node, value, operator.axes, walk.shape(node), Fraction(1))
    return walk.layers.closed(layer, _target(node, operator.target))


@lowers(fixed_point.Relu)
def relu(walk: Walk, node: Node) -> Tensor:
    """Relu; the scale is kept."""
    return clipped(walk, node, walk.read(node, 0, Tensor), 0, None)


def summed(walk: Walk, node: Node) -> Tensor:
    """Add of two tensors."""
    operator = node.operator.operator
    values = [_of_scale(walk, node, exponent, position) for position, exponent in enumerate(operator.sources)]
    return walk.layers.closed(added(walk, node, *values, 1), _target(node, operator.target))
