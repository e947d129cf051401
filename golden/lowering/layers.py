# SPDX-License-Identifier: Apache-2.0
"""Layers of integers for what a graph computes between two quantisers.

All numbers are exact rationals until a quantiser closes a layer; then factor and bias of each channel must come to
integers over one power of two:

- scales "exact": they do, and the framework's own float32 is proven to decide every rounding as exact numbers do, or
  the graph is rejected. Nothing is rounded that the graph does not round.
- scales "nearest": where they do not, each channel's multiplier and bias are the nearest that the hardware holds over
  the largest power of two that it holds, and the quantiser rounds half up. Factors are then off by 2**-16 of the
  largest channel's at most, so that a value near the middle between two steps may fall to the other one.

What no single layer computes becomes several, without a rounding between them:

- a tensor is stored as n = q - offset, unsigned or signed, such that the real zero is n = 0 wherever that format has as
  many bits as q. Elsewhere the real zero is another integer: under zero padding a layer before subtracts it, into one
  bit more (`name.centred`);
- an average pooling is a depthwise layer of ones; an addition, a max pooling or a quantiser that stands alone is one
  with a kernel of 1x1;
- a max pooling with padding is a depthwise layer that pads, by a kernel that has a one in its centre, and pools; zero
  must be the least value there, so a signed tensor becomes an unsigned one before (`name.unsigned`);
- bounds inside the format (Clip, narrow ranges, ReLU to a tensor whose zero is not n = 0): bound - relu(bound - n);
- a rounding that the hardware does not have is a truncation after a bit is added that a first layer computes
  (`name.odd`, `name.below`; `golden.lowering.rounding`): with scales "exact" wherever it decides anything, with
  "nearest" only in layers without sums over channels and with few fraction bits, as averages are.

A sum or an average of what the graph does not quantise is kept in 16 bits (`name.wide`): exact if it fits, else only
with scales "nearest".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError, ModelFormatError, UnsupportedOperatorError
from assay.golden.formats import MAX_BITS, IntFormat
from assay.golden.lowering.algebra import opened
from assay.golden.lowering.chain import Chain
from assay.golden.lowering.fit import fitted
from assay.golden.lowering.numbers import HINT, Numbers, holds
from assay.golden.lowering.rounding import Correction, Quantiser, Rounding
from assay.golden.lowering.values import (
    ONE,
    Open,
    Padding,
    Tensor,
    common_step,
    is_float32,
    natural,
    quantised_drift,
    smallest_format,
)
from assay.golden.network import MULTIPLIER, Layer, Pool, Residual
from assay.golden.operators import conv2d_output_size

__all__ = ["Layers"]

# With scales "nearest", ties of so many fraction bits are rarer than what the nearest scales do anyway.
_SELDOM = 6


@dataclass
class Layers(Chain):
    """Closes layers by their quantisers.

    Attributes:
        nearest: whether numbers that are no integers over a power of two become the nearest that are.
    """

    nearest: bool = False
    _wides: dict[tuple[int, Fraction | None], tuple[Open, Tensor]] = field(default_factory=dict)

    # What a walk makes of a graph's operators.

    def take_input(self, quantiser: Quantiser, size: tuple[int, int, int], index: np.ndarray) -> Tensor:
        """The network's input: its integers are the graph's less the zero point, so that zero is the real zero."""
        zero, made, rest = quantiser.zero_point, quantiser.format, 0
        if zero:
            try:
                made = smallest_format(made.min - zero, made.max - zero)
            except ConfigurationError:  # 17 bits: as any other tensor
                made, zero, rest = _stored(quantiser)
        drift = _drift(quantiser, made, Fraction(rest))
        self.input = Tensor(quantiser.name, made, quantiser.scale, Fraction(rest), zero, size, index, drift)
        self.names.add(quantiser.name)
        self.remember(self.input)
        return self.input

    def take_bipolar(
        self, name: str, scale: Fraction, size: tuple[int, int, int], index: np.ndarray
    ) -> Tensor:
        """The network's input, of scale and -scale: n is 1 or 0."""
        self.input = Tensor(name, ONE, 2 * scale, Fraction(1, 2), 0, size, index)
        self.names.add(name)
        self.remember(self.input)
        return self.input

    def max_pooled(
        self,
        name: str,
        value: Tensor | Open,
        pool: Pool,
        padding: Padding,
        output: str,
        movable: bool,
        index: Callable[[tuple[int, int, int]], np.ndarray],
    ) -> Tensor | Open:
        """Largest value of each window.

        Args:
            name: of the layer, where it becomes one.
            value: of a tensor, `output` is the result's name, and `movable` whether nothing else reads it.
            pool: window and stride.
            padding: with what never is the maximum.
            index: gives the graph's order of the result of a size.
        """
        size = (*conv2d_output_size(value.size[:2], *pool, padding), value.size[2])
        if isinstance(value, Open):
            value = value if value.pool is None else opened(name, value)
            return dataclasses.replace(value, pool=pool, pool_padding=padding, size=size, index=index(size))
        made = dataclasses.replace(value, name=output, size=size, index=index(size))
        maker = next((i for i, layer in enumerate(self.layers) if layer.output == value.name), None)
        if movable and maker is not None and self.layers[maker].pool is None and not any(padding):
            # Pooling integers equals quantising the pooled values, because rounding and saturation never exchange two.
            self.layers[maker] = dataclasses.replace(self.layers[maker], pool=pool, output=output)
            self.origins.pop(value.name, None)
        else:
            self.pooled(name, value, pool, padding, made)
        self.names.add(output)
        self.remember(made)
        return made

    def closed(self, layer: Open, quantiser: Quantiser) -> Tensor:
        """Append the layer with its quantiser; gives the tensor that it makes."""
        made, offset, zero = _stored(quantiser)
        low, high = quantiser.low - offset, quantiser.high - offset
        name = quantiser.name
        relu = layer.low == 0 and zero == 0
        if layer.low is not None and not relu:
            low = max(low, _bound(layer.low, quantiser) + zero)
        if layer.high is not None:
            high = min(high, _bound(layer.high, quantiser) + zero)
        low, high = min(low, quantiser.high - offset), max(high, quantiser.low - offset)
        if low > high:
            raise UnsupportedOperatorError(f"{quantiser.where}: no value is left between {low} and {high}")
        least = 0 if relu else made.min
        clamped = max(low, least) > least or high < made.max
        pooled = layer.pool is not None and any(layer.pool_padding)
        drift = _drift(quantiser, made, Fraction(zero))
        tensor = Tensor(name, made, quantiser.scale, Fraction(zero), offset, layer.size, layer.index, drift)
        first = tensor
        if pooled:
            size = _unpooled(layer)
            first = dataclasses.replace(first, size=size, index=natural(size))
        if clamped or pooled:
            first = dataclasses.replace(
                first, name=self.new_name(f"{name}.{'unbounded' if clamped else 'unpooled'}")
            )
        self._append(layer, first, quantiser, relu, None if pooled else layer.pool, max(low, least), high)
        if clamped:
            result = (
                first if not pooled else dataclasses.replace(first, name=self.new_name(f"{name}.unpooled"))
            )
            first = self.clamped(
                first, max(low, made.min), min(high, made.max), result.name if pooled else name
            )
        if pooled:
            tensor = dataclasses.replace(first, name=name, size=layer.size, index=layer.index)
            self.pooled(f"{layer.name}.pool", first, layer.pool, layer.pool_padding, tensor)
        else:
            tensor = first
        self.names.add(name)
        self.remember(tensor)
        return tensor

    def bipolar(self, layer: Open, where: str, name: str, scale: Fraction) -> Tensor:
        """scale where the layer's value is 0 or more, else -scale: n is 1 or 0, and zero lies between.

        Without a residual that is exact whatever the scales: acc + offset / factor >= 0 is acc + floor of it >= 0.
        """
        if not layer.linear:
            raise UnsupportedOperatorError(f"{where} follows a Relu or MaxPool, but must stand before them")
        source = self._source(layer.source, None, where)
        if any(layer.padding) and source.zero:
            source = self.centred(source)
        layer = dataclasses.replace(layer, source=source)
        self._check_sign(layer, where)
        if layer.residual is None:
            factors, offsets = [], []
            sums = layer.weight.sum(axis=(1, 2, 3)).tolist()
            for factor, offset, total in zip(layer.factors, layer.offsets, sums, strict=True):
                factor *= source.scale
                offset -= factor * source.zero * total
                sign = 1 if factor >= 0 else -1
                limit = math.floor(offset / abs(factor)) if factor else 0 if offset >= 0 else -1
                factors.append((sign if factor else 0) * scale / source.scale)
                offsets.append(scale * (limit + (sign if factor else 0) * source.zero * total))
            layer = dataclasses.replace(layer, factors=tuple(factors), offsets=tuple(offsets))
        layer = dataclasses.replace(
            layer, offsets=tuple(offset + scale for offset in layer.offsets), drift=0.0
        )
        quantiser = Quantiser(where, name, scale, 0, ONE, 0, 1, Rounding("FLOOR"), in_float32=False)
        made = self.closed(layer, quantiser)
        return self.rescaled(dataclasses.replace(made, zero=Fraction(1, 2), drift=0.0), 2 * scale)

    def rescaled(self, made: Tensor, scale: Fraction) -> Tensor:
        """A tensor that has just been made, of another scale."""
        made = dataclasses.replace(made, scale=scale)
        self.remember(made)
        return made

    @staticmethod
    def signed(layer: Open) -> bool:
        """Whether a layer's values may be negative, as far as that is known before it is closed."""
        return not isinstance(layer.source, Tensor) or layer.residual is not None or layer.ends[0] < 0

    def ended(self, layer: Open, where: str, name: str) -> Tensor:
        """The network's output where the graph does not quantise it: 16 bits."""
        return self._wide(layer, name, where, None, last=True)

    # What float32 decides.

    def _undecided(self, layer: Open, quantiser: Quantiser) -> str:
        """Why the graph's float32 may round to another integer than exact numbers do; "" if it is proven not to.

        A layer's values lie on a lattice of rational numbers. Where none of them is a place at which the rounding
        jumps, a small drift changes nothing; where one is, there must be no drift at all.
        """
        if not quantiser.in_float32:
            return ""
        unit, jump = quantiser.scale, Fraction(0) if quantiser.rounding.directed else Fraction(1, 2)
        # Beyond the ends everything saturates, before and after a drift.
        reach = max(abs(quantiser.low), abs(quantiser.high)) + abs(quantiser.zero_point) + 2
        steps = [step / unit for step in layer.steps(offsets=False)]
        for channel, (step, offset) in enumerate(zip(steps, layer.offsets, strict=True)):
            offset /= unit
            drift = layer.drift / float(unit)
            if not is_float32(common_step(step, offset), Fraction(reach)):
                drift += 2.02 * reach * 2.0**-24
            lattice = common_step(step, Fraction(1))
            rest = (offset - jump) % lattice
            if drift and float(min(rest, lattice - rest)) <= drift:
                return f"the framework's float32 may be off by {drift:.3g} steps in channel {channel}"
        return ""

    def _check_sign(self, layer: Open, where: str) -> None:
        """Reject a layer in which the graph's float32 may have another sign than the exact value."""
        if self.nearest or not layer.drift:
            return
        for step, offset in zip(layer.steps(offsets=False), layer.offsets, strict=True):
            # The least value of 0 or more, and the greatest below 0.
            rest = offset % step if step else abs(offset)
            if float(min(rest, step - rest) if step else rest) <= layer.drift:
                raise ModelFormatError(
                    f"node {layer.name!r}, quantised by {where}: the framework's float32 decides the sign of a value "
                    f"that may be {layer.drift:.3g} from 0: exact numbers cannot{HINT}"
                )

    # Layers.

    def _append(
        self,
        layer: Open,
        target: Tensor,
        quantiser: Quantiser,
        relu: bool,
        pool: Pool | None,
        least: int,
        most: int,
    ) -> None:
        """The layer, its quantiser and nothing behind it; `least` and `most` are the ends of n that are left."""
        cap = None
        if layer.passes and layer.factors[0]:
            # Each value of the source makes one result: beyond this it saturates. A sum of several may cancel.
            reach = quantiser.scale * (1 << quantiser.format.bits + 2) + max(map(abs, layer.offsets))
            cap = reach / abs(layer.factors[0])
        source = self._source(layer.source, cap, quantiser.where)
        other = None if layer.residual is None else self._source(layer.residual[0], None, quantiser.where)
        if any(layer.padding) and source.zero:
            source = self.centred(source)
        unit = quantiser.scale
        sums = layer.weight.sum(axis=(1, 2, 3)).tolist()
        factors = [factor * source.scale / unit for factor in layer.factors]
        offsets = [
            offset / unit + target.zero - factor * source.zero * total
            for offset, factor, total in zip(layer.offsets, factors, sums, strict=True)
        ]
        added = Fraction(0)
        if other is not None:
            added = layer.residual[1] * other.scale / unit
            offsets = [offset - added * other.zero for offset in offsets]
        template = Layer(
            name=layer.name,
            input=source.name,
            output=target.name,
            weight=layer.weight,
            weight_format=layer.weight_format,
            input_format=source.format,
            output_format=target.format,
            multiplier=np.zeros(len(factors), np.int64),
            bias=np.zeros(len(factors), np.int64),
            shift=0,
            stride=layer.stride,
            padding=layer.padding,
            groups=layer.groups,
            relu=relu,
            pool=pool,
        )
        where = f"node {layer.name!r}, quantised by {quantiser.where}"
        numbers = Numbers(where, factors, offsets, added, other, template)
        made, refused = None, None
        try:
            made = numbers.exact()
        except ModelFormatError as error:
            refused = error
        undecided = self._undecided(layer, quantiser)
        zero, rounding = int(target.zero), quantiser.rounding
        correction, nonnegative = None, least >= zero - rounding.inside
        if made is not None and made.shift:
            correction = rounding.correction(made.shift, zero, nonnegative)
        simple = made is not None and holds(made) and not (correction and correction.bit)
        fit = None
        if not simple and layer.groups == len(factors):
            fit = fitted(numbers, rounding, zero, max(least, target.format.min), min(most, target.format.max))
        if not self.nearest:
            if refused is not None and fit is None:
                raise refused
            if undecided:
                raise ModelFormatError(
                    f"{where}: {undecided}, which decides how a value is rounded that lies where rounding jumps{HINT}"
                )
        if fit is not None:
            self.put(fit)
            return
        near = self.nearest and (undecided or made is None or not holds(made))
        if made is None or (self.nearest and not holds(made)):
            made = numbers.nearest()
        if not near:
            self._round(made, quantiser, correction)
        elif rounding.directed and made.shift:
            self._round(made, quantiser, rounding.correction(made.shift, zero, nonnegative))
        else:
            self.put(made)  # half up: ties are not where they were

    def _round(self, layer: Layer, quantiser: Quantiser, correction: Correction | None) -> None:
        """Append a layer whose rounding is the quantiser's; no correction: it makes integers, and all modes agree."""
        if correction is not None and correction.bit:
            if self._with_bit(layer, correction):
                return
            mode = quantiser.rounding.mode
            mode = f"{quantiser.where}: rounding_mode {mode} on values with {layer.shift} fraction bits"
            if not self.nearest:
                raise UnsupportedOperatorError(f"{mode} takes one more layer, whose numbers do not fit{HINT}")
            if quantiser.rounding.directed:
                raise UnsupportedOperatorError(
                    f"{mode} takes one more layer, but must be FLOOR or CEIL, or on values that are not negative"
                )
            correction = None
        if correction is None or correction.always == 1 << layer.shift - 1:
            self.put(layer)  # half up
        else:
            self.put(dataclasses.replace(layer, rounding="truncate", bias=layer.bias + correction.always))

    def _with_bit(self, layer: Layer, correction: Correction) -> bool:
        """Append a layer that makes a bit, and the one that adds it and shifts.

        Gives False, and appends nothing, where that is not to be: sums of more than 16 bits, numbers that do not fit;
        and with scales "nearest" where it would not be cheap, or where ties are rare.
        """
        if self.nearest and (layer.groups == 1 < layer.input_channels or layer.shift > _SELDOM):
            return False
        before = len(self.layers)
        if layer.residual is not None:
            summed = self._summed_up(layer)
            if summed is None:
                return False
            layer = summed
        bit = self.new_name(f"{layer.output}.{correction.bit}")
        flags = dataclasses.replace(
            layer, name=f"{layer.name}.{correction.bit}", output=bit, output_format=ONE, relu=False, pool=None
        )
        factor, left = correction.extra, 0
        while not MULTIPLIER.contains(factor) and factor % 2 == 0:
            factor, left = factor // 2, left + 1
        try:
            if correction.bit == "odd":
                flags = dataclasses.replace(flags, rounding="truncate", saturate=False)
            else:
                # at * 2**shift - V, saturated to one bit: 1 where V is less.
                bias = (correction.at << layer.shift) - layer.bias
                flags = dataclasses.replace(flags, multiplier=-layer.multiplier, bias=bias, shift=0)
            residual = Residual(bit, ONE, factor, left)
        except ConfigurationError:
            del self.layers[before:]
            return False
        self.put(flags)
        bias = layer.bias + correction.always
        self.put(dataclasses.replace(layer, bias=bias, residual=residual, rounding="truncate"))
        return True

    def _summed_up(self, layer: Layer) -> Layer | None:
        """There is room for one residual: the sum becomes a tensor first. Gives the layer that reads it, or None."""
        low, high = layer.accumulator_range
        ends = np.sort([low * layer.multiplier, high * layer.multiplier], axis=0) + layer.bias
        residual = layer.residual
        added = sorted(
            (residual.multiplier << residual.shift) * end
            for end in (residual.format.min, residual.format.max)
        )
        try:
            total = smallest_format(int(ends[0].min()) + added[0], int(ends[1].max()) + added[1])
        except ConfigurationError:
            return None
        name = self.new_name(f"{layer.output}.sum")
        self.put(dataclasses.replace(layer, output=name, output_format=total, shift=0, relu=False, pool=None))
        channels = layer.output_channels
        return dataclasses.replace(
            layer,
            name=f"{layer.name}.round",
            input=name,
            input_format=total,
            weight=np.ones((channels, 1, 1, 1), np.int64),
            weight_format=ONE,
            multiplier=np.ones(channels, np.int64),
            bias=np.zeros(channels, np.int64),
            stride=(1, 1),
            padding=(0, 0, 0, 0),
            groups=channels,
            residual=None,
        )

    def _source(self, value: Tensor | Open, cap: Fraction | None, where: str) -> Tensor:
        if isinstance(value, Tensor):
            return value
        key = id(value), cap
        if key not in self._wides:  # with the layer itself, so that no other gets its id
            self._wides[key] = value, self._wide(value, self.new_name(f"{value.name}.wide"), where, cap)
        return self._wides[key][1]

    def _wide(self, layer: Open, name: str, where: str, cap: Fraction | None, last: bool = False) -> Tensor:
        """A tensor of 16 bits of what the graph does not quantise.

        Args:
            cap: beyond this its values need not be told from one another; None: all need to be.
            last: whether it is the network's output, whose values are compared.
        """
        source = self._source(layer.source, None, where)
        drift = layer.drift
        layer = dataclasses.replace(layer, source=source, drift=0.0)
        if layer.residual is not None:
            layer = dataclasses.replace(
                layer, residual=(self._source(layer.residual[0], None, where), layer.residual[1])
            )
        low, high = layer.ends
        reach, most = max(-low, high), (1 << MAX_BITS - 1) - 1
        step = _exact_step(layer)
        if step is None or reach > step * most:
            if not self.nearest:
                raise ModelFormatError(
                    f"node {layer.name!r}: its values up to {float(reach):.6g} are not quantised, and are no integers "
                    f"of {MAX_BITS} bits times a power of two{HINT}"
                )
            step = (reach if cap is None else min(reach, cap)) / most
            low, high = -most * step if low < 0 else 0, most * step
        if last and drift >= 0.49 * float(step) and not self.nearest:
            raise ModelFormatError(
                f"{where}: the framework's float32 may be off by {drift:.3g}, but its steps are {float(step):.3g}{HINT}"
            )
        made = smallest_format(math.floor(low / step), math.ceil(high / step))
        quantiser = Quantiser(where, name, step, 0, made, made.min, made.max, in_float32=False)
        return dataclasses.replace(self.closed(layer, quantiser), drift=drift)


def _stored(quantiser: Quantiser) -> tuple[IntFormat, int, int]:
    """How a quantised tensor is stored: format, what the graph's integer has more, and the integer of the real zero."""
    made, zero = quantiser.format, quantiser.zero_point
    if zero == made.min:
        return IntFormat(made.bits, False), zero, 0
    if zero == made.min + (1 << made.bits - 1) and made.bits > 1:
        return IntFormat(made.bits, True), zero, 0
    return made, 0, zero


def _drift(quantiser: Quantiser, made: IntFormat, zero: Fraction) -> float:
    """How far the values that a quantiser carries are from float32's, where the graph reads them in float32."""
    return quantised_drift(quantiser.scale, made.min - zero, made.max - zero)


def _bound(bound: Fraction, quantiser: Quantiser) -> int:
    """A bound in steps less the zero point: quantisers never exchange two values, so it may be applied behind them."""
    steps = bound / quantiser.scale
    if quantiser.in_float32:
        with np.errstate(all="ignore"):
            quotient = np.float32(float(bound)) / np.float32(float(quantiser.scale))
        if np.isfinite(quotient):
            steps = Fraction(float(quotient))
    return quantiser.rounding.apply(steps)


def _unpooled(layer: Open) -> tuple[int, int, int]:
    size = conv2d_output_size(layer.source.size[:2], layer.weight.shape[1:3], layer.stride, layer.padding)
    return (*size, layer.size[2])


def _exact_step(layer: Open) -> Fraction | None:
    """The largest step of which all values of a layer of tensors are multiples, or None: the least of its numbers, or
    a power of two."""
    source = layer.source
    values = [factor * source.scale for factor in layer.factors]
    values += [
        offset - factor * source.zero * total
        for offset, factor, total in zip(
            layer.offsets, values, layer.weight.sum(axis=(1, 2, 3)).tolist(), strict=True
        )
    ]
    if layer.residual is not None:
        other, factor = layer.residual
        values += [factor * other.scale, factor * other.scale * other.zero]
    values += [end for end in (layer.low, layer.high) if end is not None]
    values = [value for value in values if value]
    least = min(map(abs, values), default=Fraction(1))
    if all((value / least).denominator == 1 for value in values):
        return least
    if any(value.denominator & (value.denominator - 1) for value in values):
        return None
    return min(Fraction(value.numerator & -value.numerator, value.denominator) for value in values)
