# SPDX-License-Identifier: Apache-2.0
"""The functional model against docs/pe_array.md read element by element, in Python integers, for tiles of any form."""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden.errors import ConfigurationError
from assay.golden.pe_array.functional import accumulators, explain, outputs, window_counts
from assay.golden.pe_array.lanes import softmax
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.registers import ArrayOp
from assay.golden.pe_array.tile import (
    ENTRY_FIELDS,
    HEADER_FIELDS,
    Tile,
    check,
    check_header,
    output_packets,
    pixel_packets,
    read_output,
    read_weight_packet,
    weight_packet,
)

ARRAYS = [
    PeArrayParameters(rows=2, columns=3, data_width=4, vectors=2, lanes=1),
    PeArrayParameters(rows=3, columns=5, data_width=8, vectors=4, lanes=2, weight_depth=256),
    PeArrayParameters(rows=1, columns=4, data_width=16, vectors=1, lanes=3),
]


def wrapped(value: int, bits: int) -> int:
    """Two's complement of the low bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def random_tile(seed: int, p: PeArrayParameters) -> tuple[Tile, np.ndarray]:
    """A legal tile, whether it makes sense or not."""
    rng = np.random.default_rng(seed)

    def draw(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    kernel_rows, column_stride, first, output_columns = draw(1, 4), draw(1, 4), draw(0, 3), draw(1, 4)
    row_stride, channels, phases = draw(1, min(4, kernel_rows)), draw(1, 3), draw(1, 4)
    steps = first + (output_columns - 1) * column_stride + 1
    blocks, width = draw(1, 2), p.data_width
    weight_beats, entries = channels * kernel_rows * phases, draw(1, p.columns)
    table = bool(draw(0, 1)) and width <= 8
    softmax = width == 8 and not table and bool(draw(0, 1))
    header = {
        "mode.array_op": draw(0, 1),
        "mode.lane_op": draw(0, 3),
        "mode.rescaling": draw(0, 2),
        "mode.table": int(table),
        "mode.softmax": int(softmax),
        **{
            f"mode.{name}": draw(0, 1)
            for name in ("count_divide", "subtract", "input_signed", "weight_signed")
        },
        "repeat.images": draw(1, 2),
        "repeat.row_blocks": blocks,
        "packet.columns": draw(1, steps),
        "packet.channels": channels,
        "window.kernel_rows": kernel_rows,
        "window.row_stride": row_stride,
        "window.beats": -(-((p.rows - 1) * row_stride + kernel_rows) // p.rows),
        "window.first_output": first,
        "window.column_stride": column_stride,
        "window.pad_top": draw(0, 3),
        "window.kernel_columns": first + draw(1, 4),
        "rows.map": draw(1, blocks * p.rows * row_stride + 2),
        "rows.output": (blocks - 1) * p.rows + draw(1, p.rows + 1),
        "extent.output_columns": output_columns,
        "extent.weight_beats": weight_beats,
        "entries": entries,
        **{name: draw(-(1 << 16), (1 << 16) - 1) for name in ("input_zero", "weight_zero", "output_zero")},
        "second_zero": draw(-(1 << 17), (1 << 17) - 1),
        "low": draw(-(1 << width), 0),
        "high": draw(0, 1 << width),
        "first_multiplier": draw(0, (1 << 31) - 1),
        "second_multiplier": draw(0, (1 << 31) - 1),
        "operand.left_shift": draw(0, 20),
    }
    content = {name: rng.integers(0, 30, entries) for name in ENTRY_FIELDS}
    content |= {
        "bias": rng.integers(-(1 << 31), 1 << 31, entries),
        "source.column": rng.integers(0, 256, entries),
    }
    content |= {"multiplier": rng.integers(0, 1 << 31, entries)}
    tile = Tile(
        header,
        rng.random(p.columns) < 0.4,
        rng.integers(0, p.vectors, p.columns).astype(np.uint8),
        content,
        rng.integers(0, 1 << width, (weight_beats, p.columns)),
        rng.integers(0, 1 << (width if table else 32), 1 << width) if table or softmax else None,
    )
    return tile, rng.integers(0, 1 << width, tile.pixel_shape(p))


def one_element_at_a_time(tile: Tile, pixels: np.ndarray, p: PeArrayParameters) -> dict[tuple, int]:
    """(image, row block, output column, row, column) -> accumulator, as the definition says it."""
    width, kernel_rows, channels = p.data_width, tile["window.kernel_rows"], tile["packet.channels"]
    maximum = tile["mode.array_op"] == ArrayOp.MAX
    empty = -(1 << 31) if maximum else 0

    def difference(word: int, name: str) -> int:
        value = wrapped(word, width) if tile[f"mode.{name}_signed"] else word
        return wrapped(value - tile[f"{name}_zero"], width + 1)

    complete = {}
    for image in range(tile["repeat.images"]):
        for block in range(tile["repeat.row_blocks"]):
            acc = [[empty] * p.columns for _ in range(p.rows)]
            beat = 0
            for x in range(
                tile["window.first_output"]
                + (tile["extent.output_columns"] - 1) * tile["window.column_stride"]
                + 1
            ):
                before = [list(row) for row in acc]
                for r in range(p.rows):
                    for c in range(p.columns):
                        fresh = x == 0 or c == 0 or tile.starts[c]
                        acc[r][c] = empty if fresh else before[r][c - 1]
                if x < tile["packet.columns"]:
                    for channel in range(channels):
                        for kernel_row in range(kernel_rows):
                            for r in range(p.rows):
                                i = tile["window.row_stride"] * r + kernel_row
                                g = tile["window.row_stride"] * p.rows * block + i
                                inside = (
                                    tile["window.pad_top"] <= g < tile["window.pad_top"] + tile["rows.map"]
                                )
                                for c in range(p.columns):
                                    weight = difference(int(tile.weights[beat, c]), "weight")
                                    word = pixels[
                                        image, block, x, channel, i // p.rows, tile.vectors[c], i % p.rows
                                    ]
                                    pixel = difference(int(word), "input")
                                    if not inside:
                                        continue
                                    if not maximum:
                                        acc[r][c] = wrapped(acc[r][c] + pixel * weight, 32)
                                    elif weight:
                                        acc[r][c] = max(acc[r][c], pixel)
                            beat = (beat + 1) % tile["extent.weight_beats"]
                past = x - tile["window.first_output"]
                if past >= 0 and past % tile["window.column_stride"] == 0:
                    for r in range(p.rows):
                        for c in range(p.columns):
                            complete[image, block, past // tile["window.column_stride"], r, c] = acc[r][c]
    return complete


@pytest.mark.parametrize("array", ARRAYS, ids=lambda p: f"{p.rows}x{p.columns}x{p.data_width}")
@pytest.mark.parametrize("seed", range(25))
def test_accumulators(array, seed):
    tile, pixels = random_tile(seed, array)
    seen = accumulators(tile, pixels, array)
    expected = one_element_at_a_time(tile, pixels, array)
    assert seen.size == len(expected)
    for index, value in expected.items():
        assert seen[index] == value, index


@pytest.mark.parametrize("array", ARRAYS, ids=lambda p: f"{p.rows}x{p.columns}x{p.data_width}")
@pytest.mark.parametrize("seed", range(10))
def test_window_counts(array, seed):
    tile, _ = random_tile(seed, array)
    counts = window_counts(tile, array)
    pad_left = tile["window.kernel_columns"] - 1 - tile["window.first_output"]
    for (block, x, r), count in np.ndenumerate(counts):
        top, left = (block * array.rows + r) * tile["window.row_stride"], x * tile["window.column_stride"]
        places = sum(
            tile["window.pad_top"] <= top + kh < tile["window.pad_top"] + tile["rows.map"]
            and pad_left <= left + kw < pad_left + tile["packet.columns"]
            for kh in range(tile["window.kernel_rows"])
            for kw in range(tile["window.kernel_columns"])
        )
        assert count == places


@pytest.mark.parametrize("array", ARRAYS, ids=lambda p: f"{p.rows}x{p.columns}x{p.data_width}")
@pytest.mark.parametrize("seed", range(10))
def test_packets_and_beats(array, seed):
    """What a packet says is the tile; order, keep and last of the beats; the explanation of every word."""
    tile, pixels = random_tile(seed, array)
    again = read_weight_packet(weight_packet(tile, array), array)
    assert all(again[name] == tile[name] for name in HEADER_FIELDS)
    assert pixel_packets(tile, pixels, array).shape[:2] == (tile.packets, tile.packet_beats)
    beats = outputs(tile, pixels, array)
    other = outputs(again, pixels, array)
    for name in ("data", "keep", "last"):
        np.testing.assert_array_equal(getattr(beats, name), getattr(other, name))
    np.testing.assert_array_equal(read_output(output_packets(beats, array), array), beats.data)
    assert beats.last.sum() == 1 and beats.last[-1]
    groups = -(-tile["entries"] // array.lanes)
    columns = tile["repeat.images"] * tile["repeat.row_blocks"] * tile["extent.output_columns"]
    assert len(beats) == columns * groups == tile.output_beats(array)
    for (beat, lane, row), kept in np.ndenumerate(beats.keep):
        block = beat // groups // tile["extent.output_columns"] % tile["repeat.row_blocks"]
        entry = beat % groups * array.lanes + lane
        output_row = block * array.rows + row
        assert kept == (entry < tile["entries"] and output_row < tile["rows.output"])
        assert kept or beats.data[beat, lane, row] == 0
    text = explain(tile, pixels, 0, 0, 0, array)
    assert text.startswith("image 0, row block 0, output row 0, output column 0, entry 0, array column")
    assert text.endswith(f"output 0x{beats.data[0, 0, 0]:0{array.data_width // 4}x}")
    if not beats.keep[-1, -1, -1]:
        assert "not kept" in explain(tile, pixels, len(beats) - 1, array.lanes - 1, array.rows - 1, array)


LEGAL = {
    "repeat.images": 1, "repeat.row_blocks": 2, "packet.columns": 3, "packet.channels": 2, "window.kernel_rows": 3,
    "window.row_stride": 1, "window.beats": 2, "window.first_output": 1, "window.column_stride": 2, "rows.map": 5,
    "rows.output": 5, "extent.output_columns": 2, "extent.weight_beats": 12, "entries": 4,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode.magic": 1}, "mode.magic = 1: must be 20549"),
        *(({name: 0}, f"{name} = 0: must be 1 or more") for name in LEGAL if "first" not in name),
        ({"window.kernel_rows": 12}, "kernel_rows = 12: must be at most 11"),
        ({"window.row_stride": 5}, "row_stride = 5: must be at most 4"),
        ({"window.row_stride": 4}, "row_stride = 4: must be at most 3, kernel_rows"),
        ({"window.column_stride": 5}, "column_stride = 5: must be at most 4"),
        ({"window.first_output": 11}, "first_output = 11: must be at most 10"),
        ({"window.beats": 3}, "beats = 3: must be 2, for 5 rows of 3"),
        ({"packet.channels": 9}, "channels = 9: must be at most 8"),
        ({"extent.weight_beats": 48}, "weight_beats = 48: must be at most 32"),
        ({"extent.weight_beats": 30}, r"weight_beats = 30: must be 1 to 4 times channels \* kernel_rows = 6"),
        ({"entries": 6}, "entries = 6: must be at most 5"),
        ({"packet.columns": 5}, "columns = 5: must be at most 4, the row block's steps"),
        ({"mode.rescaling": 3}, "rescaling = 3: must be at most 2"),
        ({"repeat.row_blocks": 3}, "row_blocks = 3: must be at most 2, for 5 output rows"),
        (
            {"mode.softmax": 1, "mode.table": 1},
            "mode.table = 1: must be 0, for the packet's table is the softmax's",
        ),
        (
            {"mode.softmax": 1, "extent.output_columns": 257, "packet.columns": 3},
            "output_columns = 257: must be at most 256, for 4 entries of a softmax's 1024",
        ),
        ({"nonsense": 1}, "header has a field 'nonsense'"),
    ],
)
def test_header_rules(change, message):
    parameters = PeArrayParameters(rows=3, columns=5, vectors=2, lanes=2, weight_depth=32, pixel_depth=16)
    check_header(LEGAL, parameters)
    with pytest.raises(ConfigurationError, match=message):
        check_header(LEGAL | change, parameters)


def test_sixteen_bits_have_no_table():
    parameters = PeArrayParameters(rows=3, columns=5, data_width=16, vectors=2, lanes=2)
    with pytest.raises(ConfigurationError, match=r"mode\.table = 1: must be 0, .* not 16"):
        check_header(LEGAL | {"mode.table": 1}, parameters)


@pytest.mark.parametrize("width", [4, 16])
def test_a_softmax_has_8_bits(width):
    parameters = PeArrayParameters(rows=3, columns=5, data_width=width, vectors=2, lanes=2)
    with pytest.raises(ConfigurationError, match=f"mode.softmax = 1: must be 0, .* 8 bits, not {width}"):
        check_header(LEGAL | {"mode.softmax": 1}, parameters)


@pytest.mark.parametrize("seed", range(30))
def test_a_softmax_is_over_columns_and_entries(seed):
    """Each array row of a row block is a vector; its words without softmax are those of the same tile without it."""
    array = ARRAYS[1]
    tile, pixels = random_tile(seed, array)
    plain = Tile(
        {**tile.header, "mode.softmax": 0, "mode.table": 0},
        tile.starts,
        tile.vectors,
        tile.entries,
        tile.weights,
    )
    exponentials = np.random.default_rng(seed).integers(0, 1 << 32, 256)
    header = {**plain.header, "mode.softmax": 1}
    shared = Tile(header, tile.starts, tile.vectors, tile.entries, tile.weights, exponentials)
    words, shares = outputs(plain, pixels, array), outputs(shared, pixels, array)
    np.testing.assert_array_equal(words.keep, shares.keep)
    blocks, beats = tile.row_blocks, len(words) // tile.row_blocks
    for block in range(blocks):
        part = slice(block * beats, (block + 1) * beats)
        for row in range(array.rows):
            keep = words.keep[part, :, row]
            vector = words.data[part, :, row][keep]
            if keep.any():
                np.testing.assert_array_equal(shares.data[part, :, row][keep], softmax(vector, exponentials))
            assert not shares.data[part, :, row][~keep].any()


def test_arrays_of_a_tile():
    tile, pixels = random_tile(0, ARRAYS[1])
    check(tile, ARRAYS[1])
    with pytest.raises(ConfigurationError, match="pixels have shape"):
        outputs(tile, pixels[:, :, :, :, :, :1], ARRAYS[1])
    short = Tile(tile.header, tile.starts[1:], tile.vectors, tile.entries, tile.weights, tile.table)
    with pytest.raises(ConfigurationError, match=r"starts has shape \[4\], but must have \[5\]"):
        check(short, ARRAYS[1])
    packet = weight_packet(tile, ARRAYS[1])
    with pytest.raises(ConfigurationError, match="but its header says"):
        read_weight_packet(packet[:-1], ARRAYS[1])
    with pytest.raises(ConfigurationError, match="header alone takes"):
        read_weight_packet(packet[:3], ARRAYS[1])
