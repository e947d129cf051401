# SPDX-License-Identifier: Apache-2.0
"""The layers of a network as they are made, and those of them that only move or clamp integers, without rounding."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError, UnsupportedOperatorError
from assay.golden.formats import IntFormat
from assay.golden.lowering.values import ONE, Padding, Tensor, checked, smallest_format
from assay.golden.network import Layer, Network, Origin, Pool

__all__ = ["Chain"]


@dataclass
class Chain:
    """Layers in order, under names of their own.

    Attributes:
        layers: so far.
        origins: what each tensor is in the graph.
        input: the network's input, once it is known.
    """

    layers: list[Layer] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)
    input: Tensor | None = None
    names: set[str] = field(default_factory=set)
    _layer_names: set[str] = field(default_factory=set)
    _centred: dict[str, Tensor] = field(default_factory=dict)

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

    def put(self, layer: Layer) -> None:
        """Append a layer, under a name that no layer has."""
        made, count = layer.name, 2
        while made in self._layer_names:
            made, count = f"{layer.name}.{count}", count + 1
        self._layer_names.add(made)
        self.layers.append(layer if made == layer.name else dataclasses.replace(layer, name=made))

    def new_name(self, name: str) -> str:
        """A name that no tensor has."""
        made, count = name, 2
        while made in self.names:
            made, count = f"{name}.{count}", count + 1
        self.names.add(made)
        return made

    def remember(self, tensor: Tensor) -> None:
        index = tensor.index[0] if tensor.index.shape[:1] == (1,) else tensor.index
        self.origins[tensor.name] = Origin(
            float(tensor.scale), float(tensor.zero), tensor.offset, tensor.size, index
        )

    def passed(
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
        self.names.add(target.name)
        layer = _weights_of_one(name, source, target, weight, multiplier, bias)
        self.put(dataclasses.replace(layer, padding=padding, groups=channels, relu=relu, pool=pool))

    def gathered(self, name: str, tensor: Tensor, channels: np.ndarray, index: np.ndarray) -> Tensor:
        """Channels of a map, in any order: a layer of one weight of 1 for each; `index` is the result's."""
        size = (*tensor.size[:2], len(channels))
        weight = np.zeros(checked("a weight that picks channels", (size[2], 1, 1, tensor.size[2])), np.int64)
        weight[np.arange(size[2]), 0, 0, channels] = 1
        made = dataclasses.replace(tensor, name=self.new_name(name), size=size, index=index)
        self.put(_weights_of_one(name, tensor, made, weight))
        self.remember(made)
        return made

    def centred(self, tensor: Tensor) -> Tensor:
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
                name=self.new_name(f"{tensor.name}.centred"),
                format=made,
                scale=tensor.scale / steps,
                zero=Fraction(0),
                offset=tensor.offset + zero,
            )
            self.passed(target.name, tensor, target, multiplier=steps, bias=-zero)
            self._centred[tensor.name] = target
        return self._centred[tensor.name]

    def clamped(self, tensor: Tensor, low: int, high: int, name: str) -> Tensor:
        """n within low..high, by layers that are exact; the last makes the tensor `name`."""
        base = 0
        upper = high < tensor.format.max
        if low > tensor.format.min:
            base = low
            made = smallest_format(0, tensor.format.max - low)
            target = dataclasses.replace(
                tensor,
                name=self.new_name(f"{name}.above") if upper else name,
                format=made,
                zero=tensor.zero - low,
                offset=tensor.offset + low,
            )
            self.passed(target.name, tensor, target, bias=-low, relu=True)
            tensor = target
        if not upper:
            return tensor
        top = high - base
        room = dataclasses.replace(
            tensor, name=self.new_name(f"{name}.room"), format=smallest_format(0, top - tensor.format.min)
        )
        self.passed(room.name, tensor, room, multiplier=-1, bias=top, relu=True)
        target = dataclasses.replace(tensor, name=name)
        self.passed(target.name, room, target, multiplier=-1, bias=top)
        return target

    def pooled(self, name: str, tensor: Tensor, pool: Pool, padding: Padding, target: Tensor) -> None:
        """A layer that pools alone."""
        if not any(padding):
            self.passed(name, tensor, target, pool=pool)
            return
        lift = 0
        if tensor.format.signed:
            lift = -tensor.format.min
            made = IntFormat(tensor.format.bits, False)
            unsigned = dataclasses.replace(
                tensor, name=self.new_name(f"{target.name}.unsigned"), format=made, zero=tensor.zero + lift
            )
            self.passed(unsigned.name, tensor, unsigned, bias=lift)
            tensor = unsigned
        # Twice the padding around a kernel that only its centre reaches past: the padded map, whose zeros are least.
        most = max(padding[0], padding[2]), max(padding[1], padding[3])
        kernel = (2 * most[0] + 1, 2 * most[1] + 1)
        wide = tuple(pad + most[side % 2] for side, pad in enumerate(padding))
        self.passed(name, tensor, target, bias=-lift, pool=pool, kernel=kernel, padding=wide)


def _weights_of_one(
    name: str, source: Tensor, target: Tensor, weight: np.ndarray, multiplier: int = 1, bias: int = 0
) -> Layer:
    """A layer that selects values: its weights are 0 and 1."""
    return Layer(
        name=name,
        input=source.name,
        output=target.name,
        weight=weight,
        weight_format=ONE,
        input_format=source.format,
        output_format=target.format,
        multiplier=np.full(len(weight), multiplier),
        bias=np.full(len(weight), bias),
        shift=0,
    )
