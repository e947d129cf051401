# SPDX-License-Identifier: Apache-2.0
"""The integers of a layer: multipliers, biases and one shift for factors and offsets that are rational numbers."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from assay.golden.errors import ConfigurationError, DoesNotFitError, ModelFormatError
from assay.golden.lowering.values import Tensor
from assay.golden.mvu.parameters import ALIGN_MAX, POST_WIDTH, MvuParameters
from assay.golden.network import MULTIPLIER, Layer, Residual
from assay.golden.operators import MAX_SHIFT

__all__ = ["HINT", "Numbers", "holds"]

HINT = '; scales="nearest" would take the nearest that the hardware holds'
_BIAS_BITS = MvuParameters().bias_width


@dataclass(frozen=True, eq=False)
class Numbers:
    """What a layer multiplies by and adds, all in steps of its output.

    Attributes:
        where: names the layer, for messages.
        factors, offsets: of each output channel.
        added: factor of the residual.
        other: the residual's tensor, or None.
        layer: without its numbers.
    """

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
                        f"must be an integer over a power of two{HINT}"
                    )
                shift = max(shift, value.denominator.bit_length() - 1)
        if shift > MAX_SHIFT:
            raise ModelFormatError(
                f"{self.where}: values need {shift} fraction bits, but must have at most {MAX_SHIFT}{HINT}"
            )
        multipliers = [int(factor * 2**shift) for factor in self.factors]
        for channel, multiplier in enumerate(multipliers):
            if not MULTIPLIER.contains(multiplier):
                raise ModelFormatError(
                    f"{self.where}: factor {float(self.factors[channel])} of channel {channel} is "
                    f"{multiplier} / 2**{shift}, "
                    f"but the multiplier must be from {MULTIPLIER.min} to {MULTIPLIER.max}{HINT}"
                )
        biases = [int(offset * 2**shift) for offset in self.offsets]
        if max(map(abs, biases)) >= 1 << 62:
            raise ModelFormatError(
                f"{self.where}: bias reaches {max(map(abs, biases))}, but must stay below 2**62{HINT}"
            )
        factor, left = int(self.added * 2**shift), 0
        while not MULTIPLIER.contains(factor) and factor % 2 == 0:
            factor, left = factor // 2, left + 1
        return self._made(multipliers, biases, shift, factor, left)

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
                raise ModelFormatError(f"{self.where}: {error}{HINT}") from None
        return dataclasses.replace(
            self.layer,
            multiplier=np.array(multipliers, np.int64),
            bias=np.array(biases, np.int64),
            shift=shift,
            residual=residual,
        )


def holds(layer: Layer) -> bool:
    """Whether the MVU's multipliers, biases and sums hold a layer's numbers."""
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
