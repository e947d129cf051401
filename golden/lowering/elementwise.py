# SPDX-License-Identifier: Apache-2.0
"""Nodes that compute element by element between quantisers: sums, products by constants, norms, bounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError, ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Node
from assay.golden.layers import onnx, onnx_float
from assay.golden.lowering import algebra
from assay.golden.lowering.rounding import Quantiser
from assay.golden.lowering.values import Constant, Input, Open, Tensor, smallest_format
from assay.golden.lowering.walk import Walk, at, fraction, lowers

__all__ = ["added", "clipped"]


def _pair(walk: Walk, node: Node) -> tuple[Tensor | Open, Tensor | Open | Constant, bool]:
    """Both operands of a node, a layer first if there is one, a constant last, and whether they changed places."""
    kinds = (Open, Tensor, Constant)
    a, b = (walk.read(node, position, *kinds) for position in (0, 1))
    exchanged = kinds.index(type(a)) > kinds.index(type(b))
    return (b, a, True) if exchanged else (a, b, False)


def _product(walk: Walk, node: Node, divides: bool) -> Open:
    value, constant, exchanged = _pair(walk, node)
    if not isinstance(constant, Constant) or (divides and exchanged):
        raise UnsupportedOperatorError(f"{at(node)} must have one constant operand")
    if divides and not np.all(constant.values != 0):
        raise ModelFormatError(f"{at(node)} divides by 0")
    by = walk.per_channel(constant.values, value, node)
    return times(walk, node, value, [1 / factor for factor in by] if divides else by)


def times(walk: Walk, node: Node, value: Tensor | Open, by: list[Fraction]) -> Open:
    """A value's channels times numbers."""
    value = algebra.opened(node.name, value)
    if value.residual is not None and len(set(by)) > 1:
        value = algebra.alone(node.name, value)
    return algebra.scaled(value, by)


def _sum(walk: Walk, node: Node, subtracts: bool) -> Open:
    value, other, exchanged = _pair(walk, node)
    if isinstance(other, Constant):
        offset = walk.per_channel(other.values, value, node)
        made = algebra.opened(node.name, value)
        if subtracts and exchanged:
            made = algebra.scaled(made, [Fraction(-1)] * len(offset))
            subtracts = False
        return algebra.shifted(made, [-number for number in offset] if subtracts else offset)
    if subtracts and exchanged:
        value, other = other, value
    return added(walk, node, value, other, -1 if subtracts else 1)


def _summed(walk: Walk, node: Node) -> object:
    """Sum: one operand after the other."""
    made = walk.read(node, 0, Tensor, Open, Constant)
    for position in range(1, len(node.inputs)):
        other = walk.read(node, position, Tensor, Open, Constant)
        if isinstance(made, Constant):
            made, other = other, made
        if isinstance(other, Constant):
            if isinstance(made, Constant):
                made = Constant(made.values + other.values)
                continue
            offset = walk.per_channel(other.values, made, node)
            made = algebra.shifted(algebra.opened(node.name, made), offset)
        else:
            made = added(walk, node, made, other, 1)
    return made


def added(walk: Walk, node: Node, a: Tensor | Open, b: Tensor | Open, sign: int) -> Open:
    """a + sign * b of two values of one shape."""
    if a.size != b.size or not np.array_equal(a.index, b.index):
        raise ModelFormatError(
            f"{at(node)}: input {node.inputs[1]!r} is {b.size} in (H, W, C), but must be {a.size} in the same order"
        )
    return algebra.added(node.name, a, b, sign)


def _sloped(walk: Walk, node: Node, value: Tensor | Open, slopes: list[Fraction]) -> Open:
    """a * v + (1 - a) * max(v, 0), where a is at most 1."""
    if max(slopes) > 1:
        raise UnsupportedOperatorError(
            f"{at(node)}: slopes reach {float(max(slopes))}, but must be at most 1"
        )
    value = algebra.opened(node.name, value)
    if value.residual is not None:
        value = algebra.alone(node.name, value)
    upper = algebra.bounded(
        node.name, algebra.scaled(value, [1 - slope for slope in slopes]), Fraction(0), None
    )
    return algebra.added(node.name, algebra.scaled(value, slopes), upper, 1)


def _leaky(walk: Walk, node: Node) -> Open:
    value = walk.read(node, 0, Tensor, Open)
    alpha = fraction(float(np.float32(node.operator.function.alpha)), node)
    return _sloped(walk, node, value, [alpha] * value.size[2])


def _prelu(walk: Walk, node: Node) -> Open:
    value, slope = walk.read(node, 0, Tensor, Open), walk.read(node, 1, Constant)
    return _sloped(walk, node, value, walk.per_channel(slope.values, value, node))


_FUNCTIONS: dict[Callable[..., np.ndarray], Callable[[Walk, Node], object]] = {
    np.add: lambda walk, node: _sum(walk, node, False),
    np.subtract: lambda walk, node: _sum(walk, node, True),
    np.multiply: lambda walk, node: _product(walk, node, False),
    onnx_float.quotient: lambda walk, node: _product(walk, node, True),
    onnx_float.prelu: _prelu,
}


@lowers(onnx_float.Elementwise)
def elementwise(walk: Walk, node: Node) -> object:
    """Add, Sum, Sub, Mul, Div, PRelu, LeakyRelu."""
    function = node.operator.function
    if isinstance(function, onnx_float.Folded) and function.function is np.add:
        return _summed(walk, node)
    if isinstance(function, onnx.LeakyRelu):
        return _leaky(walk, node)
    try:
        handler = _FUNCTIONS[function]
    except (KeyError, TypeError):
        raise UnsupportedOperatorError(
            f"{at(node)}: operator {node.kind} is none that becomes a layer of a network"
        ) from None
    return handler(walk, node)


@lowers(onnx_float.BatchNormalization)
def batch_norm(walk: Walk, node: Node) -> Open:
    """BatchNormalization: the float32 factor and shift that the graph computes."""
    value = walk.read(node, 0, Tensor, Open)
    numbers = [walk.read(node, position, Constant).values[None] for position in range(1, 5)]
    with np.errstate(all="ignore"):
        factor, shift = (array[0] for array in node.operator.affine(*numbers))
    shape = (1, -1, *(1,) * (value.index.ndim - 2))
    made = times(walk, node, value, walk.per_channel(factor.reshape(shape), value, node))
    return algebra.shifted(made, walk.per_channel(shift.reshape(shape), value, node))


@lowers(onnx.Clip)
def clip(walk: Walk, node: Node) -> object:
    """Clip and Relu, of real numbers or of a tensor's integers."""
    value = walk.read(node, 0, Open, Tensor, Input, Constant)
    low, high = node.operator.low, node.operator.high
    integers = walk.graph.tensors[node.inputs[0]].dtype.kind in "iu"
    if isinstance(value, Constant):
        made = node.operator(value.values[None])[0]
        limited = integers and low is not None and high is not None and low <= high
        return Constant(made, format=smallest_format(low, high) if limited else None)
    if isinstance(value, Input) or node.outputs[0] in walk.claimed:
        return value
    if integers:
        return clipped(walk, node, value, low, high)
    ends = [
        None if end is None or abs(end) > 3e38 else Fraction(float(np.float32(end))) for end in (low, high)
    ]
    return algebra.bounded(node.name, value, *ends)


clip.takes_constants = True
clip.takes_input = True


def clipped(walk: Walk, node: Node, value: Tensor, low: int | None, high: int | None) -> Tensor:
    """A tensor whose own integers, not what they stand for, are clamped to low..high."""
    ends = [None if end is None else value.scale * (end - value.offset - value.zero) for end in (low, high)]
    bounded = algebra.bounded(node.name, value, *ends)
    if bounded is value:
        return value
    least, most = value.format.min + value.offset, value.format.max + value.offset
    zero = int(value.zero) + value.offset
    try:
        target = smallest_format(least, most)
    except ConfigurationError as error:
        raise UnsupportedOperatorError(f"{at(node)}: {error}") from None
    same = Quantiser(at(node), node.outputs[0], value.scale, zero, target, least, most, in_float32=False)
    return walk.layers.closed(dataclasses.replace(bounded, drift=0.0), same)
