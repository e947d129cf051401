# SPDX-License-Identifier: Apache-2.0
"""Clock counts: closed forms where nothing waits, the published networks, the command's table."""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden.__main__ import main
from assay.golden.layers import tflite_reductions
from assay.golden.layers.linear import Window
from assay.golden.pe_array.clocks import TileClocks, array_bound, layer_clocks, tile_clocks
from assay.golden.pe_array.mapping import map_convolution, map_operator
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.shapes import SHAPES
from assay.golden.schemes.tflite import Affine

KRAKEN = PeArrayParameters(rows=7, columns=96)
#: Multiplications of a frame / 672, and at most so many clocks: Kraken's published frames a second at 400 MHz are
#: 1.188 M, 22.86 M and 6.23 M.
PUBLISHED = {"alexnet": (0.99e6, 1.188e6), "vgg16": (22.84e6, 22.86e6), "resnet50": (5.74e6, 6.23e6)}


@pytest.mark.parametrize("name", SHAPES)
def test_published_networks(name):
    bound, most = PUBLISHED[name]
    shapes = SHAPES[name]
    layers = [(shape.name, "CONV", shape.macs, shape.tiles(KRAKEN).tiles) for shape in shapes]
    counted = layer_clocks(layers, KRAKEN)
    macs = sum(layer.macs for layer in counted)
    assert macs / 672 == pytest.approx(bound, rel=1e-3)
    clocks = sum(layer.clocks for layer in counted)
    assert macs / 672 <= clocks <= most
    for layer, (_, _, _, tiles) in zip(counted, layers, strict=True):
        assert array_bound(tiles, KRAKEN) <= layer.alone
        # No more than filling and emptying (a weight packet, a pixel packet, the last column's way out) and, where the
        # map's right edge is flushed, the columns that are complete too soon after one another.
        tile = tiles[-1]
        fill = max(tile.weight_packet_beats(KRAKEN) for tile in tiles) + tile.packet_beats + 24 + 40
        flush = sum(tile.row_blocks * tile.flush * tile.groups(KRAKEN) for tile in tiles)
        assert layer.alone <= array_bound(tiles, KRAKEN) + fill + flush


def tiles_of(x, weight, parameters, padding=0, stride=1):
    window = Window(weight[1:3], (stride, stride), padding=(padding,) * 4)
    mapped = map_convolution("c", np.zeros(x, np.int8), np.zeros(weight, np.int8), window, parameters)
    return mapped.tiles


def test_a_step_takes_channels_times_kernel_rows():
    """Between any two sizes of a map the difference is that of the closed form."""
    parameters = PeArrayParameters()
    for channels, kernel, padding in ((4, 3, 1), (16, 1, 0), (2, 5, 2), (3, 11, 3)):
        ends = []
        for columns in (16, 17):
            tiles = tiles_of((1, 16, columns, channels), (8, kernel, kernel, channels), parameters, padding)
            ends.append((tile_clocks(tiles, parameters)[-1].outputs[1], array_bound(tiles, parameters)))
        assert ends[1][0] - ends[0][0] == ends[1][1] - ends[0][1] > 0


def test_the_output_stage_may_be_what_takes_longest():
    """One clock for a step, six for a column's 24 channels."""
    parameters = PeArrayParameters()
    (tile,) = tiles_of((1, 64, 64, 1), (24, 1, 1, 1), parameters)
    clocks = tile_clocks([tile], parameters)[0]
    assert clocks.outputs[1] - clocks.outputs[0] + 1 == tile.output_beats(parameters) == 6 * 64 * 64 // 8
    assert array_bound([tile], parameters) == tile.output_beats(parameters)


def test_a_weight_packet_longer_than_a_tile_is_waited_for():
    parameters = PeArrayParameters(rows=2, columns=4, vectors=2, lanes=2)
    tiles = tiles_of((1, 1, 1, 512), (16, 1, 1, 512), parameters)
    clocks = tile_clocks(tiles, parameters)
    beats = tiles[0].weight_packet_beats(parameters)
    starts = np.diff([tile.weights[0] for tile in clocks])
    assert (starts >= beats).all()
    assert (np.diff([tile.outputs[1] for tile in clocks])[1:] <= 512 + beats).all()


def test_softmax():
    """Its three passes, and what waits behind it."""
    parameters = PeArrayParameters()
    affine = Affine(np.array([0.1]), np.array([0]), None, np.dtype(np.int8))

    def clocks(vectors: int, length: int, behind: int = 0) -> list[TileClocks]:
        x = np.zeros((1, vectors, length), np.int8)
        mapped = map_operator(
            "s", tflite_reductions.Softmax(affine, affine, 1.0), [x], x.shape[1:], np.int8, parameters
        )
        return tile_clocks(
            [*mapped.tiles, *tiles_of((1, 8, 8, 1), (1, 1, 1, 1), parameters)[:behind]], parameters
        )

    ends = [clocks(8, length)[0].outputs[1] for length in (504, 512)]
    # All words in, all summed, all out; a column of 8 elements leaves in two beats of 4 lanes.
    assert ends[1] - ends[0] == 3 * 8
    assert clocks(16, 512)[0].outputs[1] - ends[1] == 3 * 512 + 29
    alone, after = clocks(8, 512, 1)
    assert alone.outputs[1] == ends[1]
    assert after.outputs[0] == alone.outputs[1] + 1


def test_table(capsys):
    assert main(["cycles", "alexnet", "--rows", "7", "--cols", "96"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("7 x 96 elements, 8 pixel vectors, 4 lanes")
    assert [line.split()[0] for line in lines[2:8]] == ["conv1", "conv2", "conv3", "conv4", "conv5", "total"]
    total = lines[7].split()
    assert int(total[2].replace(",", "")) == sum(int(line.split()[3].replace(",", "")) for line in lines[2:7])
    assert "bound MACs / 672: 990,752 clocks" in lines[8]


def test_refusals(capsys):
    assert main(["cycles", "alexnet", "--cols", "4"]) == 2
    assert "number of kernel columns is 11, but the PE array takes 4" in capsys.readouterr().err
    assert main(["cycles", "alexnet", "--cols", "0"]) == 2
    assert "columns = 0: must be from 2 to 256" in capsys.readouterr().err
    assert main(["cycles", "nowhere.tflite"]) == 2
