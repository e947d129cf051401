# SPDX-License-Identifier: Apache-2.0
"""TFLite's operators on int8 tensors, which rescale in fixed point."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np

from assay.golden.errors import UnsupportedOperatorError
from assay.golden.formats import IntFormat
from assay.golden.graph import Node
from assay.golden.layers import fixed_point as fixed_point_layers
from assay.golden.layers import tflite, tflite_reductions, tflite_tables
from assay.golden.lowering import algebra
from assay.golden.lowering.elementwise import added, times
from assay.golden.lowering.fixed_point import summed
from assay.golden.lowering.numbers import HINT
from assay.golden.lowering.pooling import averaged, max_pooled, reduced
from assay.golden.lowering.products import convolved, dense, integer_weight
from assay.golden.lowering.rounding import Quantiser
from assay.golden.lowering.values import Constant, Input, Open, Padded, Tensor, smallest_format
from assay.golden.lowering.verify import check_pairs, check_values
from assay.golden.lowering.walk import Walk, at, lowers
from assay.golden.schemes.affine import Affine
from assay.golden.schemes.tflite import FloatRescale, Rescale, activation_range

__all__: list[str] = []


def _target(walk: Walk, node: Node, affine: Affine, activation: str, **rounding: Any) -> Quantiser:
    """The operator's quantiser, with its fused activation's bounds."""
    made = walk.affine_quantiser(node.outputs[0], affine, at(node), **rounding)
    low, high = activation_range(activation, affine)
    return dataclasses.replace(made, low=low, high=high, in_float32=False)


def _factors(rescale: Rescale | FloatRescale, scale: Fraction) -> list[Fraction]:
    """A rescaling's factors in real numbers of the output."""
    if isinstance(rescale, FloatRescale):
        return [Fraction(float(factor)) * scale for factor in rescale.factor]
    pairs = zip(rescale.multiplier.tolist(), rescale.shift.tolist(), strict=True)
    return [multiplier * Fraction(2) ** (shift - 31) * scale for multiplier, shift in pairs]


def _rounding(walk: Walk, node: Node, rescale: Rescale | FloatRescale) -> dict[str, Any]:
    """The rounding of a rescaling, as arguments of `Rounding`."""
    if isinstance(rescale, FloatRescale):
        return {"mode": "HALF_UP"}
    seconds = {
        max(-shift, 0)
        for multiplier, shift in zip(rescale.multiplier.tolist(), rescale.shift.tolist(), strict=True)
        if multiplier
    }
    if len(seconds) > 1 and not walk.nearest:
        raise UnsupportedOperatorError(
            f"{at(node)}: its channels round a second time by {', '.join(map(str, sorted(seconds)))} bits, but must do "
            f"so by as many each{HINT}"
        )
    return {"mode": "GEMMLOWP", "second": max(seconds, default=0)}


def _check_range(node: Node, bound: int, shift: int) -> None:
    """Reject sums that a positive shift takes beyond the kernel's 32 bits, where they wrap."""
    if bound << max(shift, 0) >= 1 << 31:
        raise UnsupportedOperatorError(
            f"{at(node)}: sums may reach {bound} and are shifted left by {shift} bits, but must stay below 2**31"
        )


@lowers(tflite.Conv2D, channel_axis=3)
def conv2d(walk: Walk, node: Node) -> Tensor:
    """CONV_2D and DEPTHWISE_CONV_2D."""
    value = walk.read(node, 0, Tensor, Padded)
    return _weighted(walk, node, node.operator, value, None)


@lowers(tflite.FullyConnected)
def fully_connected(walk: Walk, node: Node) -> Tensor:
    """FULLY_CONNECTED."""
    return _weighted(walk, node, node.operator.layer, walk.read(node, 0, Tensor), walk.shape(node))


def _weighted(
    walk: Walk, node: Node, layer: tflite.Conv2D, value: Tensor | Padded, shape: tuple[int, ...] | None
) -> Tensor:
    """A convolution of maps, or, with the `shape` of its result, of rows of features."""
    convolution = layer.convolution
    if isinstance(layer.rescale, Rescale):
        _check_range(node, convolution.bound, int(layer.rescale.shift.max()))
    quantiser = _target(walk, node, layer.target, layer.activation, **_rounding(walk, node, layer.rescale))
    factors = _factors(layer.rescale, quantiser.scale)
    tensor = value.tensor if isinstance(value, Padded) else value
    integers = convolution.weight
    whole = IntFormat(8, True)
    target = whole if whole.contains(integers) else smallest_format(int(integers.min()), int(integers.max()))
    assert isinstance(tensor, Tensor)  # what surrounds integers is their own zero point
    weight, offsets = integer_weight(walk, node, tensor, convolution, factors, target)
    if shape is None:
        made = convolved(walk, node, value, weight, convolution.window, convolution.groups, 3)
    else:
        made = dense(walk, node, tensor, weight, shape)
    return walk.layers.closed(algebra.shifted(made, offsets), quantiser)


@lowers(tflite.Pairwise)
def pairwise(walk: Walk, node: Node) -> Tensor:
    """ADD, SUB and MUL; one operand of a MUL must be a constant. Also Add of fixed-point ONNX."""
    operator = node.operator.operator
    if isinstance(operator, fixed_point_layers.Sum):
        return summed(walk, node)
    if not isinstance(operator, (tflite.Add, tflite.Multiply)):
        raise UnsupportedOperatorError(f"{at(node)}: operator {node.kind} cannot become a layer of a network")
    values = [_real(walk, node, position, source) for position, source in enumerate(operator.sources)]
    last = operator.rescales[2] if isinstance(operator, tflite.Add) else operator.rescale
    quantiser = _target(walk, node, operator.target, operator.activation, **_rounding(walk, node, last))
    before = len(walk.layers.layers)
    constants = [position for position, value in enumerate(values) if isinstance(value, np.ndarray)]
    if len(constants) == 2 or (isinstance(operator, tflite.Multiply) and not constants):
        raise UnsupportedOperatorError(f"{at(node)} must have one constant operand")
    tensors = [value for value in values if isinstance(value, Tensor)]
    if isinstance(operator, tflite.Add) and not constants:
        sign = -1 if operator.subtract else 1
        made = walk.layers.closed(added(walk, node, tensors[0], tensors[1], sign), quantiser)
        check_pairs(walk, node, before, tensors, made, node.operator)
        return made
    (place,), (value,) = constants, tensors
    numbers = walk.per_channel(np.asarray(values[place]), value, node)
    if isinstance(operator, tflite.Multiply):
        layer = times(walk, node, value, numbers)
    else:
        layer = algebra.opened(node.name, value)
        if operator.subtract and place == 0:
            layer = algebra.scaled(layer, [Fraction(-1)] * value.size[2])
        elif operator.subtract:
            numbers = [-number for number in numbers]
        layer = algebra.shifted(layer, numbers)
    made = walk.layers.closed(layer, quantiser)
    stored = walk.read(node, place, Constant).values[None]

    def applied(x: np.ndarray) -> np.ndarray:
        return node.operator(*((stored, x) if place == 0 else (x, stored)))

    check_values(walk, node, before, value, made, applied)
    return made


def _real(walk: Walk, node: Node, position: int, source: Affine) -> Tensor | np.ndarray:
    """An operand: a tensor, or a constant's real values."""
    value = walk.read(node, position, Tensor, Constant)
    if isinstance(value, Tensor):
        return walk.read_as(node, value, source)
    scale = source.scale[0].astype(np.float64)
    return (value.values.astype(np.int64) - source.zero_point[0]) * scale


@lowers(tflite_reductions.MaxPool2D, channel_axis=3)
def max_pool(walk: Walk, node: Node) -> Tensor | Open:
    """MAX_POOL_2D."""
    operator = node.operator
    value = walk.read_as(node, walk.read(node, 0, Tensor), operator.target)
    quantiser = _target(walk, node, operator.target, operator.activation)
    if quantiser.low <= value.format.min + value.offset and quantiser.high >= value.format.max + value.offset:
        return max_pooled(walk, node, value, operator.window, 3)
    layer = max_pooled(walk, node, algebra.opened(node.name, value), operator.window, 3)
    assert isinstance(layer, Open)  # as what was pooled is
    return walk.layers.closed(layer, quantiser)


@lowers(tflite_reductions.AveragePool2D, channel_axis=3)
def average_pool(walk: Walk, node: Node) -> Tensor:
    """AVERAGE_POOL_2D: the mean of the file's integers, of one scale and zero point before and behind."""
    operator = node.operator
    value = walk.read_as(node, walk.read(node, 0, Tensor), operator.target)
    layer = averaged(walk, node, value, operator.window, False, 3)
    point = int(operator.target.zero_point[0])
    quantiser = _target(walk, node, operator.target, operator.activation, mode="HALF_UP", inside=point)
    return walk.layers.closed(layer, quantiser)


@lowers(tflite_reductions.Reduce)
def reduce(walk: Walk, node: Node) -> Tensor:
    """MEAN and SUM over rows and columns."""
    operator = node.operator
    value = walk.read_as(node, walk.read(node, 0, Tensor), operator.source)
    multiplier, shift = operator.factor
    _check_range(node, 255 * operator.count, shift)
    quantiser = _target(walk, node, operator.target, "NONE", mode="GEMMLOWP", second=max(-shift, 0))
    factor = multiplier * Fraction(2) ** (shift - 31) * quantiser.scale / value.scale
    return walk.layers.closed(reduced(walk, node, value, operator.axes, walk.shape(node), factor), quantiser)


@lowers(tflite.Quantize, takes_input=True)
def quantize(walk: Walk, node: Node) -> Tensor:
    """QUANTIZE of real numbers, which is the graph's input."""
    value = walk.read(node, 0, Input, Tensor, Open)
    quantiser = walk.affine_quantiser(node.outputs[0], node.operator.target, at(node), mode="HALF_UP")
    return walk.quantised(node, value, quantiser)


@lowers(tflite.Dequantize, takes_input=True)
def dequantize(walk: Walk, node: Node) -> Tensor:
    """DEQUANTIZE of a tensor."""
    return walk.integers(node, 0, node.operator.source)


@lowers(tflite_tables.Rescaled)
def rescaled(walk: Walk, node: Node) -> Tensor:
    """RELU and its kin, and QUANTIZE from one scale to another."""
    operator = node.operator
    value = walk.read_as(node, walk.read(node, 0, Tensor), operator.source)
    rescale = operator.rescale
    quantiser = _target(walk, node, operator.target, operator.activation, **_rounding(walk, node, rescale))
    factor = _factors(rescale, quantiser.scale)[0] / value.scale
    before = len(walk.layers.layers)
    layer = times(walk, node, value, [factor] * value.size[2])
    made = walk.layers.closed(layer, quantiser)
    check_values(walk, node, before, value, made, operator)
    return made
