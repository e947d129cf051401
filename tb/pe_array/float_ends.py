# SPDX-License-Identifier: Apache-2.0
"""Corners of the float64 rescaling: results just below, at and above the powers of two where 32 bits end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from assay.golden.pe_array.registers import Rescaling
from assay.tb.pe_array.tiles import TileItem

if TYPE_CHECKING:
    from assay.tb.pe_array.stimulus import Stimulus

__all__ = ["float_ends"]

#: Powers of two that results lie at: the ends of words, and where a sum of 32 bits carries or saturates.
_POWERS = (0, 1, 7, 8, 15, 16, 30, 31, 32, 33, 34, 40)


def float_ends(stimulus: Stimulus) -> Iterator[TileItem]:
    """Tiles whose entries' biases alone are what is rescaled, one power of two after the other."""
    p, r = stimulus.params, stimulus.random
    powers = [(power, sign) for power in _POWERS for sign in (1, -1)] * 2
    for number in range(-(-len(powers) // p.columns)):
        item = stimulus.plain(f"ends of float64 {number}", 0, 0, mode__rescaling=Rescaling.FLOAT64)
        tile, pixels = item.computed
        for k in range(p.columns):
            power, sign = powers[(number * p.columns + k) % len(powers)]
            bits = r.randint(0, 30)
            # A power of two times the greatest mantissa is the greatest number below the next power.
            x, mantissa = r.choice(
                (
                    (1 << bits, (1 << 53) - 1),
                    (1 << bits, (1 << 52) + r.randint(0, 1 << 51)),
                    (r.randint(1 << bits, (2 << bits) - 1), 1 << 52),
                )
            )
            tile.entries["bias"][k] = sign * x
            tile.entries["multiplier"][k] = mantissa & 0xFFFF_FFFF
            tile.entries["factor.multiplier_high"][k] = mantissa >> 32
            lower = mantissa < (1 << 53) - 1  # it is from the power on, not below it
            tile.entries["factor.shift"][k] = bits + 53 - lower - power
        yield TileItem.of(item.get_name(), tile, pixels, p)
