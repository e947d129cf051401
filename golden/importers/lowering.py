# SPDX-License-Identifier: Apache-2.0
"""From real numbers between quantisers to layers of integers, which is what the matrix-vector units run.

A reader of a file format (`golden.importers.onnx_network`) names what the file computes: convolutions, sums, poolings,
and the quantiser at the end. Here these become layers. All numbers are exact rationals until a quantiser closes a
layer; then factor and bias of each channel must come to integers over one power of two:

- scales "exact": they do, or the file is refused. Nothing is rounded that the file does not round.
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
- bounds inside the format (Clip, narrow ranges, ReLU to a tensor whose zero is not n = 0): bound - relu(bound - n).

- a rounding of ties to even, which the hardware does not have, is one up after the last bit of the result rounded down
  is added, that a first layer computes (`name.odd`): with scales "exact" wherever ties can be, with "nearest" only in
  depthwise layers of few fraction bits, as averages are.

A sum or an average of what the file does not quantise is kept in 16 bits (`name.wide`): exact if it fits, else only
with scales "nearest".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from golden.errors import ConfigurationError, DoesNotFitError, ModelFormatError, UnsupportedOperatorError
from golden.formats import MAX_BITS, IntFormat
from golden.mvu.parameters import ALIGN_MAX, POST_WIDTH, MvuParameters
from golden.network import MULTIPLIER, Layer, Network, Origin, Pool, Residual
from golden.operators import MAX_SHIFT, conv2d_output_size

__all__ = [
    "MAX_ELEMENTS",
    "SCALES",
    "Lowering",
    "Open",
    "Quantiser",
    "Tensor",
    "Weight",
    "checked",
    "natural",
    "smallest_format",
]

SCALES = ("exact", "nearest")

# Of a tensor or weight: far more than an accelerator's memory holds, far less than this machine's.
MAX_ELEMENTS = 1 << 24

Padding = tuple[int, int, int, int]

_ONE = IntFormat(1, False)
# With scales "nearest", ties of so many fraction bits are rarer than what the nearest scales do anyway.
_SELDOM = 6
_BIAS_BITS = MvuParameters().bias_width
_HINT = '; scales="nearest" would take the nearest that the hardware holds'


def checked(what: str, shape: Sequence[int]) -> Sequence[int]:
    """The shape of an array that may exist.

    Raises:
        ConfigurationError: it has more than `MAX_ELEMENTS` elements.
    """
    if math.prod(shape) > MAX_ELEMENTS:
        raise ConfigurationError(
            f"{what} has shape {list(shape)}, but must have at most {MAX_ELEMENTS} elements"
        )
    return shape


def natural(size: tuple[int, int, int]) -> np.ndarray:
    """Where the elements of a map `[C, H, W]` lie in an array `[H, W, C]`, int64 `[C, H, W]`."""
    checked("a map (H, W, C)", size)
    return np.arange(math.prod(size)).reshape(size).transpose(2, 0, 1)


def smallest_format(low: int, high: int) -> IntFormat:
    """The format of the fewest bits that holds both, unsigned if neither is negative.

    Raises:
        ConfigurationError: none has so many bits.
    """
    bits = max(int(high).bit_length(), (-int(low) - 1).bit_length() if low < 0 else 0) + (low < 0)
    return IntFormat(max(bits, 1), low < 0)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the network: real = scale * (n - zero), and n + offset is the file's own integer.

    Attributes:
        name: in the network.
        format: of n.
        scale, zero, offset: as above.
        size: (H, W, C).
        index: where each element of the file's array, without its batch axis, lies in `[H, W, C]`.
    """

    name: str
    format: IntFormat
    scale: Fraction
    zero: Fraction
    offset: int
    size: tuple[int, int, int]
    index: np.ndarray


@dataclass(frozen=True, eq=False)
class Weight:
    """Integers `[K, fH, fW, C / groups]` in a format, and the real value of one step for each output channel."""

    integers: np.ndarray
    format: IntFormat
    scales: tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class Open:
    """A layer up to, not including, its quantiser: conv(source) * factors + offsets + residual, bounds, pooling.

    All in real numbers; `weight` holds integers, and a factor is what one of its steps stands for.

    Attributes:
        name: of the layer.
        source: a tensor, or what must become one first.
        weight, weight_format, stride, padding, groups: of the layer.
        size: (H, W, C) of the result, and `index` its file's order, as of `Tensor`.
        factors, offsets: of each output channel.
        residual: what is added, and its factor.
        low, high: bounds, applied after the sum.
        pool: window and stride, and `pool_padding` with what never is the maximum.
    """

    name: str
    source: Tensor | Open
    weight: np.ndarray
    weight_format: IntFormat
    size: tuple[int, int, int]
    index: np.ndarray
    factors: tuple[Fraction, ...]
    offsets: tuple[Fraction, ...]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    groups: int = 1
    residual: tuple[Tensor | Open, Fraction] | None = None
    low: Fraction | None = None
    high: Fraction | None = None
    pool: Pool | None = None
    pool_padding: Padding = (0, 0, 0, 0)

    @property
    def linear(self) -> bool:
        """Whether neither bounds nor pooling have been applied."""
        return self.low is None and self.high is None and self.pool is None

    @property
    def plain(self) -> bool:
        """Whether it is a tensor times one factor, plus offsets: what a layer can add as its residual."""
        return self.passes and isinstance(self.source, Tensor)

    @property
    def passes(self) -> bool:
        """Whether it is its source times one factor, plus offsets."""
        return (
            self.linear
            and self.residual is None
            and self.weight.shape[1:] == (1, 1, 1)
            and self.weight_format == _ONE
            and self.padding == (0, 0, 0, 0)
            and self.stride == (1, 1)
            and len(set(self.factors)) == 1
        )


@dataclass(frozen=True)
class Quantiser:
    """n = round(real / scale) + zero_point, clamped to low..high.

    Attributes:
        where: names the node, for messages.
        name: of the tensor that it makes.
        scale, zero_point: as above.
        low, high: of the file's integers; `format` is the file's format of them.
        mode: a name of `golden.schemes.qonnx.ROUNDINGS`.
    """

    where: str
    name: str
    scale: Fraction
    zero_point: int
    format: IntFormat
    low: int
    high: int
    mode: str = "ROUND"


@dataclass
class Lowering:
    """Collects the layers of a network.

    Attributes:
        nearest: whether numbers that are no integers over a power of two become the nearest that are.
        several: whether a layer may be computed twice, to round ties to even.
        layers: so far, in order.
        origins: what each tensor is in the file.
    """

    nearest: bool
    several: bool
    layers: list[Layer] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)
    input: Tensor | None = None
    _names: set[str] = field(default_factory=set)
    _centred: dict[str, Tensor] = field(default_factory=dict)
    _wides: dict[tuple[int, Fraction], tuple[Open, Tensor]] = field(default_factory=dict)

    def network(self, name: str, output: Tensor, host: Sequence[str]) -> Network:
        """What has been collected, ending with `output`: layers that it does not depend on are left out."""
        needed, kept = {output.name}, []
        for layer in reversed(self.layers):
            if layer.output in needed:
                kept.append(layer)
                needed.add(layer.input)
                if layer.residual is not None:
                    needed.add(layer.residual.tensor)
        origins = {tensor: origin for tensor, origin in self.origins.items() if tensor in needed}
        return Network(name, self.input.name, self.input.size, tuple(reversed(kept)), tuple(host), origins)

    # What a reader makes of a file's operators.

    def take_input(self, quantiser: Quantiser, size: tuple[int, int, int], index: np.ndarray) -> Tensor:
        """The network's input: its integers are the file's less the zero point, so that zero is the real zero."""
        zero, made, rest = quantiser.zero_point, quantiser.format, 0
        if zero:
            try:
                made = smallest_format(made.min - zero, made.max - zero)
            except ConfigurationError:  # 17 bits: as any other tensor
                made, zero, rest = _stored(quantiser)
        self.input = Tensor(quantiser.name, made, quantiser.scale, Fraction(rest), zero, size, index)
        self._names.add(quantiser.name)
        self._remember(self.input)
        return self.input

    def take_bipolar(
        self, name: str, scale: Fraction, size: tuple[int, int, int], index: np.ndarray
    ) -> Tensor:
        """The network's input, of scale and -scale: n is 1 or 0."""
        self.input = Tensor(name, _ONE, 2 * scale, Fraction(1, 2), 0, size, index)
        self._names.add(name)
        self._remember(self.input)
        return self.input

    def convolution(
        self,
        name: str,
        source: Tensor | Open,
        weight: Weight,
        stride: tuple[int, int],
        padding: Padding,
        groups: int,
        index: Callable[[tuple[int, int, int]], np.ndarray] = natural,
    ) -> Open:
        """A convolution; `index` gives the file's order of its result of a size."""
        outputs = len(weight.integers)
        size = (*conv2d_output_size(source.size[:2], weight.integers.shape[1:3], stride, padding), outputs)
        return Open(
            name,
            source,
            weight.integers,
            weight.format,
            size,
            index(size),
            weight.scales,
            (Fraction(0),) * outputs,
            stride,
            padding,
            groups,
        )

    def opened(self, name: str, value: Tensor | Open) -> Open:
        """`value` as a layer to which constants and tensors can be added."""
        if isinstance(value, Open) and value.linear:
            return value
        return self.alone(name, value)

    def average(
        self,
        name: str,
        value: Tensor | Open,
        window: tuple[int, int],
        stride: tuple[int, int],
        padding: Padding,
    ) -> Open:
        """Mean of each window, padding counted."""
        size = (*conv2d_output_size(value.size[:2], window, stride, padding), value.size[2])
        return _ones(
            name, value, window, stride, padding, Fraction(1, window[0] * window[1]), size, natural(size)
        )

    def added(self, name: str, a: Tensor | Open, b: Tensor | Open, sign: int) -> Open:
        """a + sign * b."""
        a, b = (self.opened(name, value) for value in (a, b))
        factors = [Fraction(1), Fraction(sign)]
        if a.plain and not b.plain:
            a, b, factors = b, a, factors[::-1]
        if a.residual is not None and b.residual is None and not b.plain:
            a, b, factors = b, a, factors[::-1]
        if a.residual is not None:
            a = self.alone(name, a)
        a = self.scaled(a, (factors[0],) * len(a.factors))
        if b.passes:
            offsets = tuple(x + factors[1] * y for x, y in zip(a.offsets, b.offsets, strict=True))
            return dataclasses.replace(
                a,
                name=name if a.plain else a.name,
                offsets=offsets,
                residual=(b.source, factors[1] * b.factors[0]),
            )
        return dataclasses.replace(a, residual=(b, factors[1]))

    @staticmethod
    def scaled(value: Open, by: Sequence[Fraction]) -> Open:
        """A linear layer's channels times `by`, which is one number where there is a residual."""
        residual = value.residual and (value.residual[0], value.residual[1] * by[0])
        return dataclasses.replace(
            value,
            factors=tuple(a * b for a, b in zip(value.factors, by, strict=True)),
            offsets=tuple(a * b for a, b in zip(value.offsets, by, strict=True)),
            residual=residual,
        )

    @staticmethod
    def shifted(value: Open, by: Sequence[Fraction]) -> Open:
        """A linear layer's channels plus `by`."""
        return dataclasses.replace(
            value, offsets=tuple(a + b for a, b in zip(value.offsets, by, strict=True))
        )

    @staticmethod
    def alone(name: str, value: Tensor | Open) -> Open:
        """A layer that reads `value`, whatever that is."""
        return _ones(name, value, (1, 1), (1, 1), (0, 0, 0, 0), Fraction(1), value.size, value.index)

    def bounded(
        self, name: str, value: Tensor | Open, low: Fraction | None, high: Fraction | None
    ) -> Tensor | Open:
        """Clamped to low..high; what a tensor has anyway changes nothing."""
        if isinstance(value, Tensor):
            ends = [value.scale * (end - value.zero) for end in (value.format.min, value.format.max)]
            low = low if low is not None and low > ends[0] else None
            high = high if high is not None and high < ends[1] else None
            if low is None and high is None:
                return value
            value = self.opened(name, value)
        # Bounds and a maximum over a window may change places, so the order in the file does not matter.
        low = max((end for end in (low, value.low) if end is not None), default=None)
        high = min((end for end in (high, value.high) if end is not None), default=None)
        return dataclasses.replace(value, low=low, high=high)

    def gathered(self, name: str, tensor: Tensor, channels: np.ndarray) -> Tensor:
        """Channels of a map, in any order: a layer of one weight of 1 for each."""
        size = (*tensor.size[:2], len(channels))
        weight = np.zeros(checked("a weight that picks channels", (size[2], 1, 1, tensor.size[2])), np.int64)
        weight[np.arange(size[2]), 0, 0, channels] = 1
        made = dataclasses.replace(tensor, name=self._new(name), size=size, index=natural(size))
        self.layers.append(
            Layer(
                name=self._new(name, layers=True),
                input=tensor.name,
                output=made.name,
                weight=weight,
                weight_format=_ONE,
                input_format=tensor.format,
                output_format=tensor.format,
                multiplier=np.ones(size[2], np.int64),
                bias=np.zeros(size[2], np.int64),
                shift=0,
            )
        )
        self._remember(made)
        return made

    def max_pooled(
        self, name: str, value: Tensor | Open, pool: Pool, padding: Padding, output: str, movable: bool
    ) -> Tensor | Open:
        """Largest value of each window.

        Args:
            name: of the layer, where it becomes one.
            value: of a tensor, `output` is the result's name, and `movable` whether nothing else reads it.
            pool: window and stride.
            padding: with what never is the maximum.
        """
        size = (*conv2d_output_size(value.size[:2], *pool, padding), value.size[2])
        if isinstance(value, Open) and value.pool is None:
            return dataclasses.replace(value, pool=pool, pool_padding=padding, size=size, index=natural(size))
        if isinstance(value, Open):
            value = self.opened(name, value)
            return dataclasses.replace(value, pool=pool, pool_padding=padding, size=size, index=natural(size))
        made = dataclasses.replace(value, name=output, size=size, index=natural(size))
        maker = next((i for i, layer in enumerate(self.layers) if layer.output == value.name), None)
        if movable and maker is not None and self.layers[maker].pool is None and not any(padding):
            # Pooling integers equals quantising the pooled values, because rounding and saturation never exchange two.
            self.layers[maker] = dataclasses.replace(self.layers[maker], pool=pool, output=output)
            self.origins.pop(value.name, None)
        else:
            self._pool(name, value, pool, padding, made)
        self._names.add(output)
        self._remember(made)
        return made

    def closed(self, layer: Open, quantiser: Quantiser) -> Tensor:
        """Append the layer with its quantiser; gives the tensor that it makes."""
        made, offset, zero = _stored(quantiser)
        low, high = quantiser.low - offset, quantiser.high - offset
        name = quantiser.name
        unit = quantiser.scale
        relu = layer.low == 0 and zero == 0
        if layer.low is not None and not relu:
            low = max(low, _nearest(layer.low / unit) + zero)
        if layer.high is not None:
            high = min(high, _nearest(layer.high / unit) + zero)
        if low > high:
            raise UnsupportedOperatorError(f"{quantiser.where}: no value is left between {low} and {high}")
        clamped = max(low, 0 if relu else made.min) > (0 if relu else made.min) or high < made.max
        pooled = layer.pool is not None and any(layer.pool_padding)
        tensor = Tensor(name, made, unit, Fraction(zero), offset, layer.size, layer.index)
        first = tensor
        if pooled:
            size = _unpooled(layer)
            first = dataclasses.replace(first, size=size, index=natural(size))
        if clamped or pooled:
            first = dataclasses.replace(
                first, name=self._new(f"{name}.{'unbounded' if clamped else 'unpooled'}")
            )
        self._append(layer, first, quantiser, relu, None if pooled else layer.pool)
        if clamped:
            result = first if not pooled else dataclasses.replace(first, name=self._new(f"{name}.unpooled"))
            first = self._clamped(
                first, max(low, made.min), min(high, made.max), result.name if pooled else name
            )
        if pooled:
            tensor = dataclasses.replace(first, name=name, size=layer.size, index=layer.index)
            self._pool(f"{layer.name}.pool", first, layer.pool, layer.pool_padding, tensor)
        else:
            tensor = first
        self._names.add(name)
        self._remember(tensor)
        return tensor

    def bipolar(self, layer: Open, where: str, name: str, scale: Fraction) -> Tensor:
        """scale where the layer's value is 0 or more, else -scale: n is 1 or 0, and zero lies between.

        Without a residual that is exact whatever the scales: acc + offset / factor >= 0 is acc + floor of it >= 0.
        """
        if not layer.linear:
            raise UnsupportedOperatorError(f"{where} follows a Relu or MaxPool, but must stand before them")
        source = self._source(layer.source, Fraction(1 << 20), where)
        if any(layer.padding) and source.zero:
            source = self._centre(source)
        layer = dataclasses.replace(layer, source=source)
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
        layer = dataclasses.replace(layer, offsets=tuple(offset + scale for offset in layer.offsets))
        made = self.closed(layer, Quantiser(where, name, scale, 0, _ONE, 0, 1, "FLOOR"))
        return self.rescaled(dataclasses.replace(made, zero=Fraction(1, 2)), 2 * scale)

    def rescaled(self, made: Tensor, scale: Fraction) -> Tensor:
        """A tensor that has just been made, of another scale."""
        made = dataclasses.replace(made, scale=scale)
        self._remember(made)
        return made

    @staticmethod
    def signed(layer: Open) -> bool:
        """Whether a layer's values may be negative, as far as that is known before it is closed."""
        return not isinstance(layer.source, Tensor) or layer.residual is not None or _reach(layer)[0] < 0

    @staticmethod
    def multiples(layer: Open, scale: Fraction) -> bool:
        """Whether a layer's values are integers times `scale`."""
        if not isinstance(layer.source, Tensor) or layer.residual is not None:
            return False
        step = _exact_step(layer)
        return step is not None and (step / scale).denominator == 1

    def ended(self, layer: Open, where: str, name: str) -> Tensor:
        """The network's output where the file does not quantise it: 16 bits."""
        return self._wide(layer, name, where, None)

    # Layers.

    def _append(
        self, layer: Open, target: Tensor, quantiser: Quantiser, relu: bool, pool: Pool | None
    ) -> None:
        """The layer, its quantiser and nothing behind it."""
        cap = quantiser.scale * (1 << quantiser.format.bits + 2)
        source = self._source(layer.source, cap, quantiser.where)
        if any(layer.padding) and source.zero:
            source = self._centre(source)
        unit = quantiser.scale
        sums = layer.weight.sum(axis=(1, 2, 3)).tolist()
        factors = [factor * source.scale / unit for factor in layer.factors]
        offsets = [
            offset / unit + target.zero - factor * source.zero * total
            for offset, factor, total in zip(layer.offsets, factors, sums, strict=True)
        ]
        added, other = Fraction(0), None
        if layer.residual is not None:
            other = self._source(layer.residual[0], cap, quantiser.where)
            added = layer.residual[1] * other.scale / unit
            offsets = [offset - added * other.zero for offset in offsets]
        where = f"node {layer.name!r}, quantised by {quantiser.where}"
        nonnegative = not quantiser.format.signed or (relu and quantiser.zero_point == 0)
        template = Layer(
            name=self._new(layer.name, layers=True),
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
        numbers = _Numbers(where, factors, offsets, added, other, template)
        try:
            made = numbers.exact()
        except ModelFormatError:
            if not self.nearest:
                raise
            made = None
        exactly = made is not None and (not self.nearest or numbers.holds(made))
        if not exactly:
            made = numbers.nearest()
        if quantiser.mode in ("ROUND", "HALF_EVEN") and exactly and self._rounded_to_even(made, unit):
            return
        rounding, extra = _rounding(quantiser, made.shift, nonnegative, exact=not self.nearest)
        self.layers.append(dataclasses.replace(made, rounding=rounding, bias=made.bias + extra))

    def _rounded_to_even(self, layer: Layer, unit: Fraction) -> bool:
        """Append what rounds ties to even: floor((v + 2**(shift-1) - 1 + odd) / 2**shift), where odd is the last bit of
        floor(v / 2**shift), which a first layer makes.

        Gives False, and appends nothing, where that is not to be: not allowed, no fraction bits, sums of more than 16
        bits; and with scales "nearest" where it would not be cheap, where ties are rare, or where the framework's own
        floats decide them, as the output's step `unit` is no power of two.
        """
        if not self.several or not layer.shift:
            return False
        costly = layer.groups == 1 < layer.input_channels or layer.shift > _SELDOM
        if self.nearest and (
            costly or unit.numerator & (unit.numerator - 1) or unit.denominator & (unit.denominator - 1)
        ):
            return False
        if layer.residual is not None:
            # There is room for one residual: the sum becomes a tensor first.
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
                return False
            name = self._new(f"{layer.output}.sum")
            self.layers.append(
                dataclasses.replace(layer, output=name, output_format=total, shift=0, relu=False, pool=None)
            )
            channels = layer.output_channels
            layer = dataclasses.replace(
                layer,
                name=self._new(f"{layer.name}.round", layers=True),
                input=name,
                input_format=total,
                weight=np.ones((channels, 1, 1, 1), np.int64),
                weight_format=_ONE,
                multiplier=np.ones(channels, np.int64),
                bias=np.zeros(channels, np.int64),
                stride=(1, 1),
                padding=(0, 0, 0, 0),
                groups=channels,
                residual=None,
            )
        odd = self._new(f"{layer.output}.odd")
        self.layers.append(
            dataclasses.replace(
                layer,
                name=self._new(f"{layer.name}.odd", layers=True),
                output=odd,
                output_format=_ONE,
                relu=False,
                pool=None,
                rounding="truncate",
                saturate=False,
            )
        )
        bias = layer.bias + ((1 << layer.shift - 1) - 1)
        self.layers.append(
            dataclasses.replace(layer, bias=bias, residual=Residual(odd, _ONE, 1), rounding="truncate")
        )
        return True

    def _source(self, value: Tensor | Open, cap: Fraction, where: str) -> Tensor:
        if isinstance(value, Tensor):
            return value
        key = id(value), cap
        if key not in self._wides:  # with the layer itself, so that no other gets its id
            self._wides[key] = value, self._wide(value, self._new(f"{value.name}.wide"), where, cap)
        return self._wides[key][1]

    def _wide(self, layer: Open, name: str, where: str, cap: Fraction | None) -> Tensor:
        """A tensor of 16 bits of what the file does not quantise; `cap`, if given, bounds its values."""
        below = Fraction(1 << 20) if cap is None else cap
        source = self._source(layer.source, below, where)
        layer = dataclasses.replace(layer, source=source)
        if layer.residual is not None:
            layer = dataclasses.replace(
                layer, residual=(self._source(layer.residual[0], below, where), layer.residual[1])
            )
        low, high = _reach(layer)
        reach, most = max(-low, high), (1 << MAX_BITS - 1) - 1
        step = _exact_step(layer)
        if step is None or reach > step * most:
            if not self.nearest:
                raise ModelFormatError(
                    f"node {layer.name!r}: its values up to {float(reach):.6g} are not quantised, and are no integers "
                    f"of {MAX_BITS} bits times a power of two{_HINT}"
                )
            step = (reach if cap is None else min(reach, cap)) / most
            low, high = -most * step if low < 0 else 0, most * step
        made = smallest_format(math.floor(low / step), math.ceil(high / step))
        quantiser = Quantiser(where, name, step, 0, made, made.min, made.max)
        return self.closed(layer, quantiser)

    def _centre(self, tensor: Tensor) -> Tensor:
        """The same values, the real zero at n = 0."""
        if tensor.name not in self._centred:
            steps = tensor.zero.denominator
            zero = int(tensor.zero * steps)
            try:
                made = smallest_format(tensor.format.min * steps - zero, tensor.format.max * steps - zero)
            except ConfigurationError as error:
                raise UnsupportedOperatorError(
                    f"tensor {tensor.name!r}: its zero point {zero} under zero padding: {error}"
                ) from None
            target = dataclasses.replace(
                tensor,
                name=self._new(f"{tensor.name}.centred"),
                format=made,
                scale=tensor.scale / steps,
                zero=Fraction(0),
                offset=tensor.offset + zero,
            )
            self._pass(target.name, tensor, target, multiplier=steps, bias=-zero)
            self._centred[tensor.name] = target
        return self._centred[tensor.name]

    def _clamped(self, tensor: Tensor, low: int, high: int, name: str) -> Tensor:
        """n within low..high, by layers that are exact; the last makes the tensor `name`."""
        base = 0
        upper = high < tensor.format.max
        if low > tensor.format.min:
            base = low
            made = smallest_format(0, tensor.format.max - low)
            target = dataclasses.replace(
                tensor,
                name=self._new(f"{name}.above") if upper else name,
                format=made,
                zero=tensor.zero - low,
                offset=tensor.offset + low,
            )
            self._pass(target.name, tensor, target, bias=-low, relu=True)
            tensor = target
        if not upper:
            return tensor
        top = high - base
        room = dataclasses.replace(
            tensor, name=self._new(f"{name}.room"), format=smallest_format(0, top - tensor.format.min)
        )
        self._pass(room.name, tensor, room, multiplier=-1, bias=top, relu=True)
        target = dataclasses.replace(tensor, name=name)
        self._pass(target.name, room, target, multiplier=-1, bias=top)
        return target

    def _pool(self, name: str, tensor: Tensor, pool: Pool, padding: Padding, target: Tensor) -> None:
        """A layer that pools alone."""
        if not any(padding):
            self._pass(name, tensor, target, pool=pool)
            return
        lift = 0
        if tensor.format.signed:
            lift = -tensor.format.min
            made = IntFormat(tensor.format.bits, False)
            unsigned = dataclasses.replace(
                tensor, name=self._new(f"{target.name}.unsigned"), format=made, zero=tensor.zero + lift
            )
            self._pass(unsigned.name, tensor, unsigned, bias=lift)
            tensor = unsigned
        # Twice the padding around a kernel that only its centre reaches past: the padded map, whose zeros are least.
        most = max(padding[0], padding[2]), max(padding[1], padding[3])
        kernel = (2 * most[0] + 1, 2 * most[1] + 1)
        wide = tuple(pad + most[side % 2] for side, pad in enumerate(padding))
        self._pass(name, tensor, target, bias=-lift, pool=pool, kernel=kernel, padding=wide)

    def _pass(
        self,
        name: str,
        source: Tensor,
        target: Tensor,
        multiplier: int = 1,
        bias: int = 0,
        relu: bool = False,
        pool: Pool | None = None,
        kernel: tuple[int, int] = (1, 1),
        padding: Padding = (0, 0, 0, 0),
    ) -> None:
        """A depthwise layer: the centre of its kernel is 1."""
        channels = source.size[2]
        weight = np.zeros(checked("a kernel of ones", (channels, *kernel, 1)), np.int64)
        weight[:, kernel[0] // 2, kernel[1] // 2] = 1
        self._names.add(target.name)
        self.layers.append(
            Layer(
                name=self._new(name, layers=True),
                input=source.name,
                output=target.name,
                weight=weight,
                weight_format=_ONE,
                input_format=source.format,
                output_format=target.format,
                multiplier=np.full(channels, multiplier),
                bias=np.full(channels, bias),
                shift=0,
                padding=padding,
                groups=channels,
                relu=relu,
                pool=pool,
            )
        )

    def _new(self, name: str, layers: bool = False) -> str:
        """A name that no tensor (or no layer) has."""
        taken = {layer.name for layer in self.layers} if layers else self._names
        made, count = name, 2
        while made in taken:
            made, count = f"{name}.{count}", count + 1
        if not layers:
            self._names.add(made)
        return made

    def _remember(self, tensor: Tensor) -> None:
        self.origins[tensor.name] = Origin(
            float(tensor.scale), float(tensor.zero), tensor.offset, tensor.size, tensor.index
        )


@dataclass(frozen=True, eq=False)
class _Numbers:
    """Multipliers, biases and shift of a layer: `factors`, `offsets` and `added` are in steps of its output."""

    where: str
    factors: list[Fraction]
    offsets: list[Fraction]
    added: Fraction
    other: Tensor | None
    layer: Layer

    def exact(self) -> Layer:
        """Integers over the least power of two that all have.

        Raises:
            ModelFormatError: there are none, or they do not fit.
        """
        shift = 0
        for what, values in (
            ("factor", self.factors),
            ("bias", self.offsets),
            ("residual factor", [self.added]),
        ):
            for channel, value in enumerate(values):
                if value.denominator & (value.denominator - 1):
                    raise ModelFormatError(
                        f"{self.where}: {what} {float(value)} of channel {channel} "
                        f"must be an integer over a power of two{_HINT}"
                    )
                shift = max(shift, value.denominator.bit_length() - 1)
        if shift > MAX_SHIFT:
            raise ModelFormatError(
                f"{self.where}: values need {shift} fraction bits, but must have at most {MAX_SHIFT}{_HINT}"
            )
        multipliers = [int(factor * 2**shift) for factor in self.factors]
        for channel, multiplier in enumerate(multipliers):
            if not MULTIPLIER.contains(multiplier):
                raise ModelFormatError(
                    f"{self.where}: factor {float(self.factors[channel])} of channel {channel} is "
                    f"{multiplier} / 2**{shift}, "
                    f"but the multiplier must be from {MULTIPLIER.min} to {MULTIPLIER.max}{_HINT}"
                )
        biases = [int(offset * 2**shift) for offset in self.offsets]
        if max(map(abs, biases)) >= 1 << 62:
            raise ModelFormatError(
                f"{self.where}: bias reaches {max(map(abs, biases))}, but must stay below 2**62{_HINT}"
            )
        factor, left = int(self.added * 2**shift), 0
        while not MULTIPLIER.contains(factor) and factor % 2 == 0:
            factor, left = factor // 2, left + 1
        return self._made(multipliers, biases, shift, factor, left)

    def holds(self, layer: Layer) -> bool:
        """Whether the MVU holds the numbers of a layer made by `exact`."""
        low, high = layer.accumulator_range
        sums = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
        worst = (sums * np.abs(layer.multiplier) + np.abs(layer.bias)).max() + 2.0**layer.shift
        if layer.residual is not None:
            worst += math.ldexp(
                abs(layer.residual.multiplier) * layer.residual.format.magnitude, layer.residual.shift
            )
        align = int(np.bitwise_or.reduce(np.abs(layer.bias)))
        align = min((align & -align).bit_length() - 1, ALIGN_MAX) if align else 0
        return (
            layer.shift + layer.output_format.bits <= POST_WIDTH
            and worst < 2.0 ** (POST_WIDTH - 1)
            and int(np.abs(layer.bias).max()) >> align < 1 << _BIAS_BITS - 1
            and (layer.residual is None or layer.residual.shift <= ALIGN_MAX)
        )

    def nearest(self) -> Layer:
        """The nearest numbers over the largest power of two under which the MVU holds all of them.

        Raises:
            DoesNotFitError: there is none.
        """
        layer = self.layer
        # A channel without weights has sums of 0, so its factor may be any.
        idle = ~layer.weight.any(axis=(1, 2, 3))
        factors = np.where(idle, 0, [float(factor) for factor in self.factors])
        offsets = np.array([float(offset) for offset in self.offsets])
        low, high = layer.accumulator_range
        sums = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
        most = MULTIPLIER.max
        for shift in range(POST_WIDTH - layer.output_format.bits, -1, -1):
            multipliers = np.rint(np.ldexp(factors, shift))
            if np.abs(multipliers).max() > most:
                continue
            biases = np.ldexp(offsets, shift)
            # Biases are numbers of 27 bits, all times one power of two.
            align = max(0, int(np.abs(biases).max()).bit_length() - (_BIAS_BITS - 2))
            factor, left = math.ldexp(float(self.added), shift), 0
            while abs(round(math.ldexp(factor, -left))) > most:
                left += 1
            factor = round(math.ldexp(factor, -left))
            worst = (sums * np.abs(multipliers) + np.abs(biases)).max() + 2.0**shift
            if self.other is not None:
                worst += math.ldexp(abs(factor) * self.other.format.magnitude, left)
            if max(align, left) > ALIGN_MAX or worst >= 2.0 ** (POST_WIDTH - 1):
                continue
            rounded = np.rint(np.ldexp(biases, -align)).astype(np.int64) << align
            return self._made(multipliers.astype(np.int64).tolist(), rounded.tolist(), shift, factor, left)
        raise DoesNotFitError(
            f"{self.where}: factors up to {np.abs(factors).max():.6g} and biases up to {np.abs(offsets).max():.6g} of "
            f"its output's steps are more than multipliers of {MULTIPLIER.bits} bits, biases of {_BIAS_BITS} bits and "
            f"sums of {POST_WIDTH} bits hold"
        )

    def _made(self, multipliers: list[int], biases: list[int], shift: int, factor: int, left: int) -> Layer:
        residual = None
        if self.other is not None:
            try:
                residual = Residual(self.other.name, self.other.format, factor, left)
            except ConfigurationError as error:
                raise ModelFormatError(f"{self.where}: {error}{_HINT}") from None
        return dataclasses.replace(
            self.layer,
            multiplier=np.array(multipliers, np.int64),
            bias=np.array(biases, np.int64),
            shift=shift,
            residual=residual,
        )


def _ones(
    name: str,
    value: Tensor | Open,
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    factor: Fraction,
    size: tuple[int, int, int],
    index: np.ndarray,
) -> Open:
    """Sum of each window of each channel, times `factor`."""
    channels = value.size[2]
    weight = np.ones(checked("a kernel of ones", (channels, *window, 1)), np.int64)
    factors, offsets = (factor,) * channels, (Fraction(0),) * channels
    return Open(name, value, weight, _ONE, size, index, factors, offsets, stride, padding, channels)


def _stored(quantiser: Quantiser) -> tuple[IntFormat, int, int]:
    """How a quantised tensor is stored: format, what the file's integer has more, and the integer of the real zero."""
    made, zero = quantiser.format, quantiser.zero_point
    if zero == made.min:
        return IntFormat(made.bits, False), zero, 0
    if zero == made.min + (1 << made.bits - 1) and made.bits > 1:
        return IntFormat(made.bits, True), zero, 0
    return made, 0, zero


def _unpooled(layer: Open) -> tuple[int, int, int]:
    size = conv2d_output_size(layer.source.size[:2], layer.weight.shape[1:3], layer.stride, layer.padding)
    return (*size, layer.size[2])


def _reach(layer: Open) -> tuple[Fraction, Fraction]:
    """Between what the values of a layer of tensors can lie, before a quantiser."""
    source = layer.source
    ends = source.format.min - source.zero, source.format.max - source.zero
    if any(layer.padding):
        ends = min(ends[0], 0), max(ends[1], 0)
    positive = np.maximum(layer.weight, 0).sum(axis=(1, 2, 3)).tolist()
    negative = np.minimum(layer.weight, 0).sum(axis=(1, 2, 3)).tolist()
    extra = (Fraction(0), Fraction(0))
    if layer.residual is not None:
        other, factor = layer.residual
        both = [factor * other.scale * (end - other.zero) for end in (other.format.min, other.format.max)]
        extra = min(both), max(both)
    lows, highs = [], []
    for factor, offset, up, down in zip(layer.factors, layer.offsets, positive, negative, strict=True):
        both = [factor * source.scale * (up * ends[a] + down * ends[1 - a]) + offset for a in (0, 1)]
        lows.append(min(both) + extra[0])
        highs.append(max(both) + extra[1])
    low, high = min(lows), max(highs)
    if layer.low is not None:
        low, high = max(low, layer.low), max(high, layer.low)
    if layer.high is not None:
        low, high = min(low, layer.high), min(high, layer.high)
    return low, high


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


def _nearest(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def _rounding(quantiser: Quantiser, shift: int, nonnegative: bool, exact: bool) -> tuple[str, int]:
    """The layer's rounding that equals the file's mode on every value the layer can have, and what to add before."""
    mode = quantiser.mode
    if shift == 0:
        return "half_up", 0  # integers already: all modes agree
    if mode == "FLOOR" or (mode in ("DOWN", "ROUND_TO_ZERO") and nonnegative):
        return "truncate", 0
    if mode == "CEIL" or (mode == "UP" and nonnegative):
        return "truncate", (1 << shift) - 1
    # QONNX's HALF_UP rounds half away from zero. That differs for negative values only, and those become 0
    # anyway if a ReLU or an unsigned format follows.
    if mode == "HALF_UP" and nonnegative:
        return "half_up", 0
    if not exact and mode in ("ROUND", "HALF_EVEN", "HALF_UP", "HALF_DOWN"):
        return "half_up", 0
    raise UnsupportedOperatorError(
        f"{quantiser.where}: attribute rounding_mode is {mode} on values with {shift} fraction bits, "
        f"but must be FLOOR, CEIL, or HALF_UP after a Relu or to an unsigned format"
        f"{_HINT if exact and mode in ('ROUND', 'HALF_EVEN', 'HALF_UP', 'HALF_DOWN') else ''}"
    )
