# SPDX-License-Identifier: Apache-2.0
"""Traffic files for the C++ harness (`tb/pe_array/harness.cpp`): the same tiles that the bench plays, without Python.

Beside the packets, `Traffic` collects what the harness must see, in the harness's own form: the two files are equal
byte by byte, or one of the two benches is wrong.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from assay.golden.pe_array.clocks import tile_clocks
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.tile import OutputBeats, Tile, output_packets
from assay.tb.pe_array.tiles import TileItem


def _words(content: np.ndarray) -> np.ndarray:
    """Beats uint8[n, bytes] to uint32[n, words]."""
    padded = np.zeros((len(content), -(-content.shape[1] // 4) * 4), np.uint8)
    padded[:, : content.shape[1]] = content
    return padded.view("<u4")


class Traffic:
    """Both packet streams, each in order, and the output beats they bring."""

    def __init__(self, params: PeArrayParameters) -> None:
        self.params = params
        self._streams: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self._expected: list[np.ndarray] = []
        self._tiles: list[Tile] = []

    def item(self, item: TileItem) -> None:
        """The packets of one tile."""
        self._tiles.append(item.tile)
        for stream, packets in zip(self._streams, (item.weight_packets, item.pixel_packets), strict=True):
            stream += [np.hstack([_words(content), last[:, None].astype("<u4")]) for content, last in packets]

    def expect(self, beats: OutputBeats) -> None:
        """What one tile puts out, in the order of the tiles."""
        keep = np.packbits(beats.keep.reshape(len(beats), -1), axis=1, bitorder="little")
        data = _words(output_packets(beats, self.params))
        self._expected.append(np.hstack([data, _words(keep), beats.last[:, None].astype("<u4")]))

    def save(self, commands: Path, expected: Path) -> None:
        """Write the traffic file and what the harness must answer."""
        weights, pixels = (np.concatenate(stream) for stream in self._streams)
        beats = np.concatenate(self._expected)
        counts = np.array([len(weights), len(pixels), len(beats)], "<u4")
        np.concatenate([counts, weights.reshape(-1), pixels.reshape(-1)]).tofile(commands)
        clocks = tile_clocks(self._tiles, self.params)[-1].outputs[1]
        np.append(beats.reshape(-1), np.uint32(clocks)).tofile(expected)
