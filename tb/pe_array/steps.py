# SPDX-License-Identifier: Apache-2.0
"""The steps of the PE array's cases (`tb.cases`): a tile with its pixels, or packets that must be dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from assay.golden.pe_array.tile import Tile

if TYPE_CHECKING:
    from assay.tb.pe_array.tiles import TileItem

__all__ = ["TileStep", "step_of"]

Packets = tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True, eq=False)
class TileStep:
    """What a `tb.pe_array.tiles.TileItem` holds.

    Attributes:
        name: for messages.
        tile, pixels: as the golden array takes them; None when nothing is computed.
        weight_packets, pixel_packets: (beats uint8[n, bytes], tlast uint8[n]) where they are not those of the tile.
        weight_delay, pixel_delay: clocks that a stream rests before it sends the first beat.
        errors: names of the bits of status.error that it sets.
        drained: everything before has come to its end when it begins.
        stalls: stream -> probability of a stall in 1/256.
    """

    name: str
    tile: Tile | None
    pixels: np.ndarray | None
    weight_packets: Packets | None = None
    pixel_packets: Packets | None = None
    weight_delay: int = 0
    pixel_delay: int = 0
    errors: tuple[str, ...] = ()
    drained: bool = True
    stalls: Mapping[str, int] = field(default_factory=dict)


def step_of(item: TileItem, right: TileItem | None, drained: bool, stalls: Mapping[str, int]) -> TileStep:
    """The step of an item that is about to be sent.

    Args:
        right: the item of the same tile with the right packets; None where nothing is computed.
        drained, stalls: as in `TileStep`.
    """
    packets: dict[str, Packets | None] = {}
    for name in ("weight_packets", "pixel_packets"):
        own = getattr(item, name)
        packets[name] = None if right is not None and _same(own, getattr(right, name)) else tuple(own)
    return TileStep(
        item.get_name(),
        item.tile,
        item.pixels if item.tile is not None else None,
        **packets,
        weight_delay=item.weight_delay,
        pixel_delay=item.pixel_delay,
        errors=tuple(sorted(item.errors)),
        drained=drained,
        stalls=stalls,
    )


def _same(packets: list[tuple[np.ndarray, np.ndarray]], others: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    return len(packets) == len(others) and all(
        np.array_equal(ours, theirs)
        for packet, other in zip(packets, others, strict=True)
        for ours, theirs in zip(packet, other, strict=True)
    )
