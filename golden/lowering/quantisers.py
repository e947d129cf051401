# SPDX-License-Identifier: Apache-2.0
"""Nodes that quantise and dequantise: ONNX's and QONNX's, of tensors and of stored weights."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError, ModelFormatError, UnsupportedOperatorError
from assay.golden.formats import MAX_BITS, IntFormat
from assay.golden.graph import Node
from assay.golden.layers import onnx, onnx_float
from assay.golden.lowering import algebra
from assay.golden.lowering.rounding import Quantiser, Rounding
from assay.golden.lowering.values import (
    Constant,
    Input,
    Open,
    Padded,
    Tensor,
    quantised_drift,
    smallest_format,
)
from assay.golden.lowering.walk import Walk, affine_format, at, fraction, lowers
from assay.golden.schemes import qonnx
from assay.golden.schemes.affine import Affine

__all__: list[str] = []


@lowers(onnx.Quantize)
def quantize(walk: Walk, node: Node) -> Tensor:
    """QuantizeLinear."""
    value = walk.read(node, 0, Input, Tensor, Open)
    quantiser = walk.affine_quantiser(node.outputs[0], node.operator.target, at(node))
    return walk.quantised(node, value, _with_clip_behind(walk, quantiser))


def _with_clip_behind(walk: Walk, quantiser: Quantiser) -> Quantiser:
    """A quantiser with the Clip that alone reads its integers: fewer bits than the type's (QCDQ)."""
    readers = walk.readers.get(quantiser.name, [])
    if (
        len(readers) != 1
        or not isinstance(readers[0].operator, onnx.Clip)
        or not walk.reads_alone(quantiser.name)
    ):
        return quantiser
    (clip,) = readers
    low = max(quantiser.low, *(end for end in (clip.operator.low,) if end is not None), quantiser.low)
    high = min(quantiser.high, *(end for end in (clip.operator.high,) if end is not None), quantiser.high)
    if not low <= quantiser.zero_point <= high:
        return quantiser
    walk.claimed.add(clip.outputs[0])
    return dataclasses.replace(
        quantiser, name=clip.outputs[0], low=low, high=high, format=smallest_format(low, high)
    )


@lowers(onnx.Dequantize)
def dequantize(walk: Walk, node: Node) -> Tensor | Constant:
    """DequantizeLinear."""
    value = walk.read(node, 0, Input, Constant, Tensor)
    if isinstance(value, Constant):
        return dequantised(walk, node, value, node.operator.source)
    return walk.integers(node, 0, node.operator.source)


def dequantised(walk: Walk, node: Node, value: Constant, affine: Affine) -> Constant:
    """Stored integers with their scale."""
    rank = value.values.ndim
    integers = value.values.astype(np.int64) - affine.along(affine.zero_point, rank)
    scale = np.asarray(affine.along(affine.scale, rank), np.float64)
    real = node.operator(value.values[None])[0]
    return Constant(real, integers, scale, weight_format(integers, affine, value.format))


def weight_format(integers: np.ndarray, affine: Affine, clipped: IntFormat | None = None) -> IntFormat | None:
    """The format of integers less their zero point: their type's where that is 0; None for more than 16 bits."""
    if not affine.zero_point.any():
        if clipped is not None:
            return clipped
        try:
            return affine_format(affine)
        except ConfigurationError:
            pass
    try:
        return smallest_format(int(integers.min()), int(integers.max()))
    except (ConfigurationError, ValueError):
        return None


@lowers(qonnx.Quant)
def quant(walk: Walk, node: Node) -> Tensor | Constant:
    """Quant and IntQuant."""
    operator: qonnx.Quant = node.operator
    value = walk.read(node, 0)
    zero = operator.zero_point
    if np.any(zero != np.rint(zero)):
        wrong = zero[zero != np.rint(zero)].flat[0]
        raise UnsupportedOperatorError(f"{at(node)}: zero point is {wrong}, but must be a whole number")
    if isinstance(value, Constant):
        with np.errstate(all="ignore"):
            q, made = operator.integers(value.values), operator(value.values[None])[0]
        if not np.isfinite(made).all():
            raise ModelFormatError(f"{at(node)}: a weight is not finite")
        integers = q.astype(np.int64) - zero.astype(np.int64)
        target = None
        if operator.bipolar:
            target = IntFormat(2, True)
        elif operator.bits <= MAX_BITS:
            target = IntFormat(operator.bits, operator.signed)
        if zero.any() and target is not None:
            target = weight_format(integers, _NO_TYPE)
        return Constant(made, integers, operator.scale.astype(np.float64), target)
    if operator.per_axis:
        raise UnsupportedOperatorError(
            f"{at(node)}: {operator.scale.size} scales and {zero.size} zero points for a tensor, but must be one"
        )
    scale, point = fraction(operator.scale.reshape(-1)[0], node), int(zero.reshape(-1)[0])
    if operator.bipolar:
        if point:
            raise UnsupportedOperatorError(
                f"{at(node)}: 1 signed bit means -1 and 1 in QONNX, whose zero point is {point}, but must be 0"
            )
        return _bipolar(walk, node, value, scale)
    target = IntFormat(operator.bits, operator.signed)
    if not target.contains(point):
        raise UnsupportedOperatorError(f"{at(node)}: zero point is {point}, but must be one of {target}")
    low, high = operator.limits
    rounding = Rounding(operator.mode, inside=point)
    return walk.quantised(
        node, value, Quantiser(at(node), node.outputs[0], scale, point, target, low, high, rounding)
    )


# What has a zero point has no type of its own any more.
_NO_TYPE = Affine(np.ones(1), np.ones(1), None, np.dtype(np.int8))


@lowers(qonnx.BipolarQuant)
def bipolar_quant(walk: Walk, node: Node) -> Tensor | Constant:
    """BipolarQuant."""
    value, scale = walk.read(node, 0), node.operator.scale
    if isinstance(value, Constant):
        signs = np.where(value.values >= 0, 1, -1).astype(np.int64)
        return Constant(
            node.operator(value.values[None])[0], signs, scale.astype(np.float64), IntFormat(2, True)
        )
    if scale.size != 1:
        raise UnsupportedOperatorError(f"{at(node)}: {scale.size} scales for a tensor, but must be one")
    return _bipolar(walk, node, value, fraction(scale.reshape(-1)[0], node))


def _bipolar(walk: Walk, node: Node, value: object, scale: Fraction) -> Tensor:
    if isinstance(value, Input):
        return walk.taken_bipolar(value, node.outputs[0], scale)
    if isinstance(value, Padded):
        raise UnsupportedOperatorError(f"{at(node)}: input {node.inputs[0]!r} is padded, but must not be")
    return walk.layers.bipolar(algebra.opened(node.name, value), at(node), node.outputs[0], scale)


@lowers(qonnx.Trunc)
def trunc(walk: Walk, node: Node) -> Tensor:
    """Trunc: drops low bits of integers that are rounded first; of version 1 with the input's scale after it."""
    operator: qonnx.Trunc = node.operator
    value = algebra.opened(node.name, walk.read(node, 0, Tensor, Open))
    if operator.per_axis or operator.zero_point.any():
        raise UnsupportedOperatorError(f"{at(node)} must have one scale and zero point 0")
    scale = fraction(operator.scale.reshape(-1)[0], node)
    whole = all((step / scale).denominator == 1 for step in value.steps()) and value.linear
    if whole and value.drift < 0.49 * float(scale):
        value = dataclasses.replace(value, drift=0.0)  # the node rounds to these first
    elif not walk.nearest:
        raise ModelFormatError(f"{at(node)}: its input must be integers times the scale {float(scale)}")
    unit = scale * int(np.asarray(operator.divisor).reshape(-1)[0])
    if unit.denominator == 1 and not unit:
        raise UnsupportedOperatorError(
            f"{at(node)}: its output's scale is below its input's, but must not be"
        )
    signed = operator.signed if operator.output_scale is not None else walk.layers.signed(value)
    target = IntFormat(operator.bits, signed)
    low, high = operator.limits or (target.min, target.max)
    quantiser = Quantiser(at(node), node.outputs[0], unit, 0, target, low, high, Rounding(operator.mode))
    made = walk.layers.closed(value, quantiser)
    carried = scale if operator.output_scale is None else fraction(operator.output_scale.reshape(-1)[0], node)
    drift = quantised_drift(carried, made.format.min - made.zero, made.format.max - made.zero)
    return walk.layers.rescaled(dataclasses.replace(made, drift=drift), carried)


@lowers(onnx_float.Cast)
def cast(walk: Walk, node: Node) -> object:
    """Cast to a float of what is one in all but name; of the graph's input, too."""
    if node.operator.dtype.kind != "f":
        raise UnsupportedOperatorError(
            f"{at(node)} casts to {node.operator.dtype}, but must be to float32 or float64"
        )
    return walk.read(node, 0)


for _handler in (dequantize, quant, bipolar_quant):
    _handler.takes_constants = True
for _handler in (quantize, dequantize, quant, bipolar_quant, cast):
    _handler.takes_input = True
