# SPDX-License-Identifier: Apache-2.0
"""ONNX's operators on integers (QLinear*, QGemm): the quantiser is inside, with the graph's own float32 factor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from assay.golden.errors import UnsupportedOperatorError
from assay.golden.graph import Node
from assay.golden.layers import onnx
from assay.golden.lowering import algebra
from assay.golden.lowering.channels import joined
from assay.golden.lowering.elementwise import added, times
from assay.golden.lowering.pooling import averaged, reduced
from assay.golden.lowering.products import convolved, dense, integer_weight
from assay.golden.lowering.quantisers import weight_format
from assay.golden.lowering.rounding import Quantiser
from assay.golden.lowering.values import Constant, Open, Tensor, Weight
from assay.golden.lowering.verify import check_pairs
from assay.golden.lowering.walk import Walk, at, fraction, lowers
from assay.golden.schemes.affine import Affine

__all__: list[str] = []


def _target(walk: Walk, node: Node, affine: Affine, inside: bool = False) -> Quantiser:
    """The operator's quantiser; `inside`: it adds its zero point before it rounds."""
    point = int(affine.zero_point[0]) if inside else 0
    return walk.affine_quantiser(node.outputs[0], affine, at(node), inside=point)


def _requantised(walk: Walk, node: Node, layer: Open, quantiser: Quantiser) -> Tensor:
    """A layer of exact sums of integers, that one float32 product brings to the output's steps."""
    return walk.layers.closed(dataclasses.replace(layer, drift=0.0), quantiser)


def _factors(node: Node, factor: np.ndarray, scale: Fraction) -> list[Fraction]:
    """The graph's float32 factors, in real numbers of the output."""
    return [fraction(value, node) * scale for value in np.atleast_1d(factor)]


@lowers(onnx.QLinearConv)
def qlinear_conv(walk: Walk, node: Node) -> Tensor:
    """QLinearConv."""
    operator = node.operator
    convolution, (source, weights) = operator.convolution, operator.sources
    value = walk.integers(node, 0, source)
    quantiser = _target(walk, node, operator.target)
    factors = _factors(node, operator.factor, quantiser.scale)
    target = weight_format(convolution.weight, weights)
    weight, offsets = integer_weight(walk, node, value, convolution, factors, target)
    layer = convolved(walk, node, value, weight, convolution.window, convolution.groups, 1)
    return _requantised(walk, node, algebra.shifted(layer, offsets), quantiser)


qlinear_conv.channel_axis = 1


@lowers(onnx.QLinearMatMul)
def qlinear_matmul(walk: Walk, node: Node) -> Tensor | Open:
    """QLinearMatMul and QGemm, with a stored B."""
    operator = node.operator
    source, weights = operator.sources
    stored = walk.read(node, 1, Constant).values
    if stored.ndim != 2 or operator.transposed[0]:
        raise UnsupportedOperatorError(f"{at(node)}: it must multiply rows by one stored matrix")
    matrix = stored.T if operator.transposed[1] else stored
    integers = (matrix.astype(np.int64) - weights.zero_point).T[:, None, None]
    value = walk.integers(node, 0, source)
    unit = Fraction(1) if operator.target is None else fraction(operator.target.scale[0], node)
    factors = _factors(node, operator.factor, unit)
    factors = factors * len(integers) if len(factors) == 1 else factors
    format = weight_format(integers, weights)
    weight = Weight(integers, format, tuple(factor / value.scale for factor in factors))
    layer = dense(walk, node, value, weight, walk.shape(node))
    if operator.bias is not None:
        bias = operator.bias
        if bias.size not in (1, len(integers)):
            raise UnsupportedOperatorError(
                f"{at(node)}: bias has {bias.size} values, but must have {len(integers)}, the same for all rows"
            )
        bias = np.broadcast_to(bias.ravel(), (len(integers),)).tolist()
        layer = algebra.shifted(layer, [n * factor for n, factor in zip(bias, factors, strict=True)])
    if operator.target is None:
        return layer
    return _requantised(walk, node, layer, _target(walk, node, operator.target))


@lowers(onnx.QLinearAdd)
def qlinear_add(walk: Walk, node: Node) -> Tensor:
    """QLinearAdd of two tensors."""
    operator = node.operator
    a, b = (walk.integers(node, position, source) for position, source in enumerate(operator.sources))
    quantiser = dataclasses.replace(_target(walk, node, operator.target, inside=True), in_float32=False)
    ratios = [source.scale[0] / operator.target.scale[0] for source in operator.sources]
    terms = []
    for value, ratio in zip((a, b), ratios, strict=True):
        real = fraction(ratio, node) * quantiser.scale / value.scale
        terms.append(dataclasses.replace(value, scale=value.scale * real))
    before = len(walk.layers.layers)
    made = walk.layers.closed(added(walk, node, *terms, 1), quantiser)
    check_pairs(walk, node, before, (a, b), made, lambda x, y: operator(x, y))
    return made


@lowers(onnx.QLinearMul)
def qlinear_mul(walk: Walk, node: Node) -> Tensor:
    """QLinearMul by a constant."""
    operator = node.operator
    places = [isinstance(walk.read(node, position), Constant) for position in (0, 1)]
    if sum(places) != 1:
        raise UnsupportedOperatorError(f"{at(node)} must have one constant operand")
    at_constant = places.index(True)
    at_value = 1 - at_constant
    value = walk.integers(node, at_value, operator.sources[at_value])
    numbers = walk.read(node, at_constant, Constant).values.astype(np.int64)
    numbers = numbers - operator.sources[at_constant].zero_point[0]
    quantiser = _target(walk, node, operator.target, inside=True)
    sources = operator.sources
    factor = fraction(sources[0].scale[0] * sources[1].scale[0] / operator.target.scale[0], node)
    by = [n * factor * quantiser.scale / value.scale for n in walk.per_channel(numbers, value, node)]
    return _requantised(walk, node, times(walk, node, value, by), quantiser)


@lowers(onnx.QLinearConcat)
def qlinear_concat(walk: Walk, node: Node) -> Tensor:
    """QLinearConcat."""
    operator = node.operator
    values: Sequence[Tensor] = [
        walk.integers(node, position, source) for position, source in enumerate(operator.sources)
    ]
    layer = joined(walk, node, values, operator.axis)
    return walk.layers.closed(layer, _target(walk, node, operator.target))


@lowers(onnx.QLinearAveragePool)
def qlinear_average_pool(walk: Walk, node: Node) -> Tensor:
    """QLinearAveragePool."""
    operator = node.operator
    value = walk.integers(node, 0, operator.source)
    if any(operator.beyond):
        raise UnsupportedOperatorError(
            f"{at(node)}: attribute ceil_mode is 1 and windows reach over the edge, but all must lie inside"
        )
    layer = averaged(walk, node, value, operator.window, operator.include_pad, 1)
    return walk.layers.closed(layer, _target(walk, node, operator.target, inside=True))


qlinear_average_pool.channel_axis = 1


@lowers(onnx.QLinearGlobalAveragePool)
def qlinear_global_average_pool(walk: Walk, node: Node) -> Tensor:
    """QLinearGlobalAveragePool."""
    operator = node.operator
    value = walk.map(node, walk.integers(node, 0, operator.source), 1)
    quantiser = _target(walk, node, operator.target)
    factor = fraction(operator.factor(value.size[0] * value.size[1]), node) * quantiser.scale / value.scale
    axes = tuple(range(2, value.index.ndim))
    layer = reduced(walk, node, value, axes, walk.shape(node), factor)
    return _requantised(walk, node, layer, quantiser)


qlinear_global_average_pool.channel_axis = 1
