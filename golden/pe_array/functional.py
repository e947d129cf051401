# SPDX-License-Identifier: Apache-2.0
"""The output of the PE array for any legal tile and any pixels: docs/pe_array.md, "Tiles", step by step.

Vectorised over images, row blocks, rows and columns of the array; a loop over steps carries the accumulators from
column to column as the elements do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.formats import wrap
from assay.golden.pe_array.lanes import lanes, softmax
from assay.golden.pe_array.parameters import ACC_WIDTH, PeArrayParameters
from assay.golden.pe_array.registers import ArrayOp, LaneOp
from assay.golden.pe_array.tile import OutputBeats, Tile, check

__all__ = ["accumulators", "explain", "outputs", "window_counts"]

_EMPTY = {ArrayOp.MAC: 0, ArrayOp.MAX: -(1 << ACC_WIDTH - 1)}


def _differences(stored: np.ndarray, is_signed: int, zero: int, width: int) -> np.ndarray:
    """Words of `width` bits less their zero point, as the W+1-bit numbers that the elements multiply: int64."""
    values = wrap(stored, width, bool(is_signed))
    return wrap(values - zero, width + 1, signed=True)


def accumulators(tile: Tile, pixels: np.ndarray, parameters: PeArrayParameters) -> np.ndarray:
    """The accumulators of every completed output column: int64 `[images, row_blocks, output_columns, R, C]`.

    Args:
        tile: a legal one.
        pixels: integers `[images, row_blocks, columns, channels, beats, P, R]`, as stored.

    Raises:
        ConfigurationError: the tile is not legal, or `pixels` has another shape.
    """
    check(tile, parameters)
    if np.shape(pixels) != tile.pixel_shape(parameters):
        raise ConfigurationError(
            f"pixels have shape {list(np.shape(pixels))}, but must have {list(tile.pixel_shape(parameters))}"
        )
    images, blocks, columns, channels, _, vectors, rows = tile.pixel_shape(parameters)
    kernel_rows, width = tile["window.kernel_rows"], parameters.data_width
    op = ArrayOp(tile["mode.array_op"])
    empty = _EMPTY[op]
    starts = np.array(tile.starts, bool)
    starts[0] = True

    weights = _differences(tile.weights, tile["mode.weight_signed"], tile["weight_zero"], width)
    phases = weights.reshape(-1, channels * kernel_rows, parameters.columns)

    # Row i of a packet's channel is in beat i // R, place i % R; row r of the array reads i = row_stride*r + kh.
    stored = np.moveaxis(np.asarray(pixels), 5, 2)  # [images, blocks, P, columns, channels, beats, R]
    stored = stored.reshape(images, blocks, vectors, columns, channels, -1)
    row = tile["window.row_stride"] * np.arange(rows)[:, None] + np.arange(kernel_rows)
    map_row = tile["window.row_stride"] * rows * np.arange(blocks)[:, None, None] + row
    in_map = (map_row >= tile["window.pad_top"]) & (map_row < tile["window.pad_top"] + tile["rows.map"])
    in_map = np.broadcast_to(in_map[None, :, :, None], (images, blocks, rows, channels, kernel_rows))
    in_map = in_map.reshape(images, blocks, rows, -1)

    first, stride = tile["window.first_output"], tile["window.column_stride"]
    acc = np.full((images, blocks, rows, parameters.columns), empty, np.int64)
    complete = np.empty((images, blocks, tile["extent.output_columns"], rows, parameters.columns), np.int64)
    for step in range(tile.steps):
        # in(r, c)
        arriving = np.full_like(acc, empty)
        if step:
            arriving[..., 1:] = np.where(starts[1:], empty, acc[..., :-1])
        acc = arriving
        if step < columns:
            phase = phases[step % len(phases)]
            for vector in np.unique(tile.vectors):
                taken = np.asarray(tile.vectors) == vector
                window = stored[:, :, vector, step][..., row]  # [images, blocks, channels, R, kernel_rows]
                window = np.moveaxis(window, 2, 3).reshape(in_map.shape)
                window = _differences(window, tile["mode.input_signed"], tile["input_zero"], width)
                if op is ArrayOp.MAC:
                    # Float64 is exact: at most 2**15 * 11 products below 2**33.
                    window = np.where(in_map, window, 0).astype(np.float64)
                    sums = window.reshape(-1, window.shape[-1]) @ phase[:, taken].astype(np.float64)
                    acc[..., taken] += sums.astype(np.int64).reshape(*window.shape[:3], -1)
                else:
                    for k in range(window.shape[-1]):
                        usable = in_map[..., k, None] & (phase[k, taken] != 0)
                        candidate = np.where(usable, window[..., k, None], empty)
                        acc[..., taken] = np.maximum(acc[..., taken], candidate)
            acc = wrap(acc, ACC_WIDTH, signed=True)
        if step >= first and (step - first) % stride == 0:
            complete[:, :, (step - first) // stride] = acc
    return complete


def window_counts(tile: Tile, parameters: PeArrayParameters) -> np.ndarray:
    """Places of each output's window that are in the map: int64 `[row_blocks, output_columns, R]`."""
    rows, blocks = parameters.rows, tile["repeat.row_blocks"]
    pad_left = tile["window.kernel_columns"] - 1 - tile["window.first_output"]
    vertical = _overlap(
        np.arange(blocks * rows) * tile["window.row_stride"],
        tile["window.kernel_rows"],
        tile["window.pad_top"],
        tile["rows.map"],
    )
    horizontal = _overlap(
        np.arange(tile["extent.output_columns"]) * tile["window.column_stride"],
        tile["window.kernel_columns"],
        pad_left,
        tile["packet.columns"],
    )
    return vertical.reshape(blocks, 1, rows) * horizontal[:, None]


def _overlap(begin: np.ndarray, kernel: int, pad: int, size: int) -> np.ndarray:
    """Places from `begin` on, `kernel` of them, that lie in a map of `size` behind padding of `pad`."""
    return np.maximum(0, np.minimum(begin + kernel, pad + size) - np.maximum(begin, pad))


def _operands(tile: Tile, acc: np.ndarray, parameters: PeArrayParameters) -> tuple[np.ndarray, np.ndarray]:
    """The accumulators of every entry's column and of the one after: `[..., R, E]` each."""
    column = tile.entries["source.column"]
    first = np.where(column < parameters.columns, column, 0)
    second = np.where(column + 1 < parameters.columns, column + 1, 0)
    return acc[..., first], acc[..., second]


def _lanes(
    tile: Tile,
    acc: np.ndarray,
    counts: np.ndarray,
    parameters: PeArrayParameters,
    stages: dict[str, np.ndarray] | None = None,
) -> np.ndarray:
    """The words that the output stage makes of accumulators `[..., R, C]`, for every entry: int64 `[..., R, E]`."""
    a, b = _operands(tile, acc, parameters)
    return lanes(a, b, tile.header, tile.entries, counts, tile.table, parameters.data_width, stages)


def _softmax(tile: Tile, values: np.ndarray) -> np.ndarray:
    """The softmax of words `[images, blocks, output columns, R, E]` over all columns and entries of a block's row."""
    assert tile.table is not None  # as `check` demands of a softmax
    vectors = values.transpose(0, 1, 3, 2, 4)
    shares = softmax(vectors.reshape(*vectors.shape[:3], -1), tile.table)
    return shares.reshape(vectors.shape).transpose(0, 1, 3, 2, 4)


def outputs(
    tile: Tile,
    pixels: np.ndarray,
    parameters: PeArrayParameters,
    stages: dict[str, np.ndarray] | None = None,
) -> OutputBeats:
    """The beats that a tile puts out; arguments and errors as for `accumulators`.

    Args:
        stages: filled, where given, with what stands between the steps. `column`: int64 `[columns, C, R]`, the
            accumulators of each completed column. `accumulator`, those that `lanes` names, and `word` (before the
            softmax): int64 `[beats, lanes, R]`.
    """
    acc = accumulators(tile, pixels, parameters)
    counts = window_counts(tile, parameters)[None, ..., None]
    between: dict[str, np.ndarray] = {"accumulator": _operands(tile, acc, parameters)[0]}
    # [images, blocks, output columns, R, E]
    values = between["word"] = _lanes(tile, acc, counts, parameters, None if stages is None else between)
    if tile["mode.softmax"]:
        values = _softmax(tile, values)
    blocks, rows, entries = tile["repeat.row_blocks"], parameters.rows, tile["entries"]
    groups = tile.groups(parameters)
    spare = groups * parameters.lanes - entries
    row_kept = np.arange(blocks * rows).reshape(blocks, 1, rows, 1) < tile["rows.output"]
    keep = np.broadcast_to(row_kept, values.shape)
    shape = (-1, rows, groups, parameters.lanes)

    def beats(words: np.ndarray) -> np.ndarray:
        words = np.pad(words, ((0, 0),) * 4 + ((0, spare),)).reshape(shape)
        return words.transpose(0, 2, 3, 1).reshape(-1, parameters.lanes, rows)

    if stages is not None:
        between["word"] = np.where(keep, between["word"], 0)
        stages |= {name: beats(np.broadcast_to(array, values.shape)) for name, array in between.items()}
        stages["column"] = acc.reshape(-1, rows, parameters.columns).transpose(0, 2, 1)
    last = np.zeros(tile.output_beats(parameters), bool)
    last[-1] = True
    return OutputBeats(beats(np.where(keep, values, 0)), beats(keep), last)


@dataclass(frozen=True)
class _Place:
    """The identity of a word of the output stream."""

    image: int
    block: int
    column: int
    entry: int


def _place(tile: Tile, beat: int, lane: int, parameters: PeArrayParameters) -> _Place:
    groups = tile.groups(parameters)
    column, group = divmod(beat, groups)
    block, column = divmod(column, tile["extent.output_columns"])
    image, block = divmod(block, tile["repeat.row_blocks"])
    return _Place(image, block, column, group * parameters.lanes + lane)


def explain(
    tile: Tile, pixels: np.ndarray, beat: int, lane: int, row: int, parameters: PeArrayParameters
) -> str:
    """One word of the output in words, for a mismatch's message: where it is, its accumulator, its rescaled value."""
    at = _place(tile, beat, lane, parameters)
    output_row = at.block * parameters.rows + row
    where = (
        f"image {at.image}, row block {at.block}, output row {output_row}, output column {at.column}, "
        f"entry {at.entry}"
    )
    if at.entry >= tile["entries"] or output_row >= tile["rows.output"]:
        return f"{where}: not kept, for there are {tile['entries']} entries and {tile['rows.output']} output rows"
    one = replace(tile, header={**tile.header, "repeat.images": 1})
    block = accumulators(one, pixels[at.image : at.image + 1], parameters)[:, at.block]
    a, b = _operands(tile, block[:, at.column], parameters)
    counts = window_counts(tile, parameters)[at.block, at.column][None, :, None]
    index = (0, row, at.entry)
    result = _lanes(tile, block[:, at.column], counts, parameters)[index]
    # Without zero point, clamp and table, and in words wide enough, the lanes give the rescaled value.
    width = parameters.data_width + 2
    b = wrap(b - tile["second_zero"], width, signed=True)
    limit = 1 << ACC_WIDTH - 1
    plain = {"second_zero": 0, "output_zero": 0, "low": -limit, "high": limit - 1, "mode.table": 0}
    words = lanes(a, b, {**tile.header, **plain}, tile.entries, counts, None, ACC_WIDTH)
    rescaled = wrap(words, ACC_WIDTH, signed=True)[index]
    second = (
        f", second operand {b[index]} less its zero point"
        if tile["mode.lane_op"] in (LaneOp.ADD, LaneOp.MULTIPLY)
        else ""
    )
    places = f", {counts[0, row, 0]} places in the map" if tile["mode.count_divide"] else ""
    shared = ""
    if tile["mode.softmax"]:
        vector = _lanes(
            tile, block[:, None], window_counts(tile, parameters)[None, [at.block], ..., None], parameters
        )
        greatest = wrap(vector[0, 0, :, row], 8, signed=True).max()
        shared = f", word {wrap(result, 8, signed=True)} of a vector of {tile.vector_length}, its greatest {greatest}"
        result = _softmax(tile, vector)[0, 0, at.column, row, at.entry]
    return (
        f"{where}, array column {tile.entries['source.column'][at.entry]}: accumulator {a[index]}{second}{places}, "
        f"rescaled {rescaled}{shared}, output 0x{result:0{parameters.data_width // 4}x}"
    )
