# SPDX-License-Identifier: Apache-2.0
"""Mapping of a network's operators to tiles of the PE array, with the moves in memory before and after.

An operator becomes tiles, each with the pixels that a system's DMA would fetch for it from the input tensors, and the
place in the output tensor of what comes out. There are three forms:

- *window*: convolutions and pools. Rows of the array are output rows, columns of the array are output channels in
  elastic groups; each group of input channels (a depthwise convolution has one channel each) takes a pixel vector.
- *matrix*: a 1x1 convolution, FULLY_CONNECTED or matrix product: the same with all positions of the map, or rows of
  the matrix, side by side; R of them are the "rows" of a map column.
- *values*: element-wise operators, tables, sums over axes, pools too large for the window: the rows of the array, times
  its pixel vectors, are values of the output; what is summed for each comes as channels.
- *vectors*: SOFTMAX: the rows of the array are vectors, its pixel vectors neighbouring elements of each.

Operators that only move values need no tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.golden.errors import ConfigurationError, DoesNotFitError, GoldenError, UnsupportedOperatorError
from assay.golden.layers import fixed_point, shaping, tflite, tflite_reductions, tflite_tables
from assay.golden.layers.linear import Window
from assay.golden.pe_array.lanes import (
    Constants,
    constants_of_add,
    constants_of_average_pool,
    constants_of_conv,
    constants_of_lookup,
    constants_of_matmul,
    constants_of_max_pool,
    constants_of_mean,
    constants_of_multiply,
    constants_of_prelu,
    constants_of_softmax,
    rational_factor,
)
from assay.golden.pe_array.parameters import (
    MAX_DIVISOR,
    MAX_KERNEL,
    MAX_STRIDE,
    SOFTMAX_DEPTH,
    PeArrayParameters,
)
from assay.golden.pe_array.registers import ArrayOp, Rescaling
from assay.golden.pe_array.tile import ENTRY_FIELDS, OutputBeats, Tile
from assay.golden.schemes.tflite import limits

__all__ = [
    "ARRAY",
    "LayerTiles",
    "Place",
    "map_convolution",
    "map_operator",
    "plain",
    "results",
]

_MOST_16_BITS = (1 << 16) - 1  # largest count in a header field


@dataclass(frozen=True, eq=False)
class Place:
    """A tile, its pixels, and where its results go.

    Attributes:
        tile: the weight packet.
        pixels: makes the pixel stream, integers `[images, row_blocks, columns, channels, beats, P, R]` as stored.
        put: writes results `[images, rows, columns, entries]` of the output's dtype into the layer's output.
    """

    tile: Tile
    pixels: Callable[[], np.ndarray]
    put: Callable[[np.ndarray, np.ndarray], None]


@dataclass(frozen=True, eq=False)
class LayerTiles:
    """One application of an operator to given arrays, as tiles.

    Attributes:
        shape: of the output, with the leading axis of runs.
        dtype: of the output.
        places: the tiles in order.
        parameters: of the array.
        channels_first: maps of the output are [..., C, H, W], where the tiles make [..., H, W, C].
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    places: tuple[Place, ...]
    parameters: PeArrayParameters = field(repr=False)
    channels_first: bool = False

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles alone."""
        return tuple(place.tile for place in self.places)

    def run(self, execute: Callable[[Tile, np.ndarray], OutputBeats]) -> np.ndarray:
        """The output tensor, each tile being played by `execute(tile, pixels)`.

        Raises:
            GoldenError: `execute` gave another number of beats than the tile has.
        """
        memory = self.memory()
        for place in self.places:
            self.put(memory, place, execute(place.tile, place.pixels()))
        return self.output(memory)

    def memory(self) -> np.ndarray:
        """The array for the tiles' results: zeros."""
        *lead, channels, rows, columns = self.shape if self.channels_first else (*self.shape, 0, 0, 0)
        return np.zeros((*lead, rows, columns, channels) if self.channels_first else self.shape, self.dtype)

    def put(self, memory: np.ndarray, place: Place, beats: OutputBeats) -> None:
        """Write the results of one of the tiles."""
        words = results(place.tile, beats, self.parameters)
        place.put(memory, words.astype(f"u{self.dtype.itemsize}").view(self.dtype))

    def output(self, memory: np.ndarray) -> np.ndarray:
        """The output tensor that is there when all tiles have been put."""
        return np.ascontiguousarray(np.moveaxis(memory, -1, -3)) if self.channels_first else memory


def results(tile: Tile, beats: OutputBeats, parameters: PeArrayParameters) -> np.ndarray:
    """Output beats in the order of a tensor: int64 `[images, output rows, output columns, entries]`, W-bit patterns.

    Raises:
        GoldenError: another number of beats than the tile has.
    """
    if len(beats) != tile.output_beats(parameters):
        raise GoldenError(f"tile put out {len(beats)} beats, but has {tile.output_beats(parameters)}")
    shape = (
        tile["repeat.images"],
        tile["repeat.row_blocks"],
        tile["extent.output_columns"],
        -1,
        parameters.rows,
    )
    blocks = beats.data.reshape(shape).transpose(0, 1, 4, 2, 3)
    words = blocks.reshape(shape[0], shape[1] * parameters.rows, *blocks.shape[3:])
    return words[:, : tile["rows.output"], :, : tile["entries"]]


def map_operator(
    name: str,
    operator: Any,
    inputs: Sequence[np.ndarray],
    shape: Sequence[int],
    dtype: np.dtype,
    parameters: PeArrayParameters,
) -> LayerTiles:
    """Map an operator of a TFLite or fixed-point graph, applied to given arrays.

    Args:
        name: of the layer, for messages.
        operator: of `golden.layers.tflite` or `golden.layers.fixed_point`.
        inputs: its input arrays `[runs, *shape]`; weights that are inputs (BATCH_MATMUL, PRELU) are taken from there.
        shape, dtype: of the output, without runs.
        parameters: of the array.

    Raises:
        DoesNotFitError: sizes of the layer are above what the array has; names all of them, with the parameters that
            would be enough.
        UnsupportedOperatorError: an operator or form that the array does not have.
    """
    operator = plain(operator)
    mapper = _MAPPERS.get(type(operator))
    if mapper is None:
        raise UnsupportedOperatorError(
            f"layer {name}: the PE array has no operator {type(operator).__name__}; it has "
            f"{', '.join(sorted({kind.__name__ for kind in _MAPPERS}))}"
        )
    layer = _Layer(name, parameters)
    width = max(x.dtype.itemsize for x in inputs) * 8
    if width > parameters.data_width:
        possible = width in (8, 16)
        enough = f" (DataWidth={width} would be enough)" if possible else ""
        layer.problems.append(
            f"its values have {width} bits, but the array's operands have {parameters.data_width}{enough}"
        )
        if not possible:
            layer.check()
        # The sizes that are too large besides are those of an array of that width.
        layer.parameters = replace(parameters, data_width=width)
    runs = max(len(x) for x in inputs)
    channels_first = isinstance(operator, _CHANNELS_FIRST)
    if channels_first:
        inputs = [np.moveaxis(x, -3, -1) for x in inputs]
    try:
        places = tuple(mapper(layer, operator, *inputs))
    except (ConfigurationError, DoesNotFitError, UnsupportedOperatorError) as error:
        where = f"layer {name}: "
        kind = DoesNotFitError if isinstance(error, DoesNotFitError) else UnsupportedOperatorError
        told = [text for text in layer.problems if text not in str(error)]
        raise kind(where + "; ".join([*told, str(error).removeprefix(where)])) from None
    layer.check()
    return LayerTiles((runs, *shape), np.dtype(dtype), places, parameters, channels_first)


def plain(operator: Any) -> Any:
    """An operator itself, where the golden model holds it as the table of all its pairs of operands."""
    return operator.operator if isinstance(operator, tflite.Pairwise) else operator


class _Layer:
    """The common data of every mapping: the layer's name for messages, the array's parameters.

    A mapping notes all that is too large, then calls `check`, before it makes anything of such a size.
    """

    def __init__(self, name: str, parameters: PeArrayParameters) -> None:
        self.name = name
        self.parameters = parameters
        self.problems: list[str] = []

    def limit(self, what: str, value: int, most: int | None = None, *fields: str) -> None:
        """Note a size above the array's.

        Args:
            what, value: of the size.
            most: that the array takes, whatever its parameters; None: as much as each of the parameters `fields`.
        """
        least = min(getattr(self.parameters, field) for field in fields) if most is None else most
        if value <= least:
            return
        enough = ""
        if fields:
            needed = {
                field: _enough(field, value) for field in fields if getattr(self.parameters, field) < value
            }
            names = dict(zip(vars(self.parameters), self.parameters.rtl, strict=True))
            enough = (
                " (more than any build has)"
                if None in needed.values()
                else f" ({' '.join(f'{names[field]}={n}' for field, n in needed.items())} would be enough)"
            )
        text = f"{what} is {value}, but the PE array takes {least} at most{enough}"
        if text not in self.problems:
            self.problems.append(text)

    def check(self) -> None:
        """Raise `DoesNotFitError` if anything was noted."""
        if self.problems:
            raise DoesNotFitError(f"layer {self.name}: {'; '.join(self.problems)}")


def _enough(field: str, value: int) -> int | None:
    """The least allowed value of a parameter that is `value` or more."""
    needed = 1 << (value - 1).bit_length() if field.endswith("_depth") else value
    return needed if needed <= PeArrayParameters.parameter(field).largest else None


def _entries(constants: Constants, channels: np.ndarray, columns: np.ndarray) -> dict[str, np.ndarray]:
    """Entries of some output channels, whose accumulators are in array columns `columns`."""
    entries = {name: np.zeros(len(channels), np.int64) for name in ENTRY_FIELDS}
    for name, values in constants.entries.items():
        entries[name] = values[channels] if len(values) > 1 else np.repeat(values, len(channels))
    return entries | {"source.column": np.asarray(columns, np.int64)}


def _signed(name: str, dtype: np.dtype) -> dict[str, int]:
    return {f"mode.{name}_signed": int(np.dtype(dtype).kind == "i")}


# --- Windows --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Windowed:
    """A convolution or pool over maps, after dilation is filled up and what is not read is left out.

    Attributes:
        x: maps `[N, H, W, C]`, as stored.
        weight: `[K, KH, KW, CI]`, as stored.
        groups: of input channels.
        stride: rows, columns, at most the kernel's.
        pad: rows above, columns to the left.
        size: rows and columns of the output.
        weight_zero: weight that adds nothing.
    """

    x: np.ndarray
    weight: np.ndarray
    groups: int
    stride: tuple[int, int]
    pad: tuple[int, int]
    size: tuple[int, int]
    weight_zero: int

    @classmethod
    def of(
        cls, x: np.ndarray, weight: np.ndarray, window: Window, groups: int, weight_zero: int = 0
    ) -> _Windowed:
        size = window.output_size(x.shape[1:3])
        if window.dilation != (1, 1):
            outputs, _, _, inputs = weight.shape
            wide = np.full((outputs, *window.extent, inputs), weight_zero, weight.dtype)
            wide[:, :: window.dilation[0], :: window.dilation[1]] = weight
            weight = wide
        stride = []
        for axis in (0, 1):
            kernel, pad = window.extent[axis], window.padding[axis]
            x = _only_read(x, axis + 1, window.stride[axis], kernel, pad, size[axis])
            stride.append(min(window.stride[axis], kernel))
        return cls(x, weight, groups, (stride[0], stride[1]), window.padding[:2], size, weight_zero)


def _only_read(x: np.ndarray, axis: int, stride: int, kernel: int, pad: int, outputs: int) -> np.ndarray:
    """`x` along `axis` up to where the last output reads, without what a stride above the kernel passes over."""
    places = np.arange(min(x.shape[axis], max(1, (outputs - 1) * stride + kernel - pad)))
    if stride > kernel:
        places = places[(places + pad) % stride < kernel]
    return x if len(places) == x.shape[axis] else x.take(places, axis)


def _check_window(layer: _Layer, window: Window) -> None:
    for axis, side in enumerate(("rows", "columns")):
        kernel = window.extent[axis]
        layer.limit(f"number of kernel {side}", kernel, MAX_KERNEL)
        layer.limit(f"stride over {side}", window.stride[axis], MAX_STRIDE)
        layer.limit(f"padding before the {side}", window.padding[axis], kernel - 1)
        layer.limit(f"padding after the {side}", window.padding[axis + 2], kernel - 1)


def _fits_window(layer: _Layer, window: Window) -> bool:
    trial = _Layer(layer.name, layer.parameters)
    _check_window(trial, window)
    trial.limit("number of kernel columns", window.extent[1], None, "columns")
    return not trial.problems


@dataclass(frozen=True)
class _Group:
    """Neighbouring columns that make some output channels of one group of input channels."""

    column: int
    vector: int
    channels: range


def _elastic_groups(
    outputs: int, groups: int, kernel: int, stride: int, parameters: PeArrayParameters
) -> Iterator[list[_Group]]:
    """Output channels packed into tiles: `stride` in kernel + stride - 1 columns, fewer where columns run out."""
    each = outputs // groups
    channel = 0
    while channel < outputs:
        tile: list[_Group] = []
        sources: list[int] = []
        column = 0
        while channel < outputs and column + kernel <= parameters.columns:
            group = channel // each
            if group not in sources:
                if len(sources) == parameters.vectors:
                    break
                sources.append(group)
            count = min(stride, parameters.columns - column - kernel + 1, (group + 1) * each - channel)
            tile.append(_Group(column, len(sources) - 1, range(channel, channel + count)))
            column += kernel + count - 1
            channel += count
        yield tile


def _window_places(
    layer: _Layer,
    work: _Windowed,
    constants: Constants,
    scatter: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
) -> Iterator[Place]:
    """Tiles of a window.

    Args:
        layer, work, constants: what it does.
        scatter: writes into the output tensor the values `[images, rows, columns, E]` of the given output channels.
    """
    p = layer.parameters
    images, height, width, _ = work.x.shape
    outputs, kernel_rows, kernel_columns, inputs = work.weight.shape
    row_stride, column_stride = work.stride
    if kernel_columns <= MAX_KERNEL:  # else more columns would not help
        layer.limit("number of kernel columns", kernel_columns, None, "columns")
    weight_beats = inputs * kernel_rows * column_stride
    layer.limit(
        "number of weights of a column (channels x kernel rows x stride)", weight_beats, None, "weight_depth"
    )
    beats = -(-((p.rows - 1) * row_stride + kernel_rows) // p.rows)
    layer.limit(f"number of beats of a map column (channels x {beats})", inputs * beats, None, "pixel_depth")
    for what, value in (("images", images), ("rows of the map", height), ("columns of the map", width)):
        layer.limit(f"number of {what}", value, _MOST_16_BITS)
    for what, value in zip(("rows", "columns"), work.size, strict=True):
        layer.limit(f"number of {what} of the output", value, _MOST_16_BITS)
    layer.check()
    first_output = kernel_columns - 1 - work.pad[1]
    header = {
        "repeat.images": images,
        "repeat.row_blocks": -(-work.size[0] // p.rows),
        "packet.columns": min(width, first_output + (work.size[1] - 1) * column_stride + 1),
        "packet.channels": inputs,
        "window.kernel_rows": kernel_rows,
        "window.row_stride": row_stride,
        "window.beats": beats,
        "window.first_output": first_output,
        "window.column_stride": column_stride,
        "window.pad_top": work.pad[0],
        "window.kernel_columns": kernel_columns,
        "rows.map": height,
        "rows.output": work.size[0],
        "extent.output_columns": work.size[1],
        "extent.weight_beats": weight_beats,
        "weight_zero": work.weight_zero,
        **constants.header,
    }
    each = outputs // work.groups
    for groups in _elastic_groups(outputs, work.groups, kernel_columns, column_stride, p):
        starts, vectors = np.zeros(p.columns, bool), np.zeros(p.columns, np.uint8)
        weights = np.full((column_stride, inputs, kernel_rows, p.columns), work.weight_zero, np.int64)
        columns = []
        for group in groups:
            end = group.column + kernel_columns + len(group.channels) - 1
            starts[group.column] = True
            vectors[group.column : end] = group.vector
            for s, channel in enumerate(group.channels):
                columns.append(group.column + kernel_columns - 1 + s)
                for kw in range(kernel_columns):
                    # Column j = kw + s meets kernel column kw of channel s in the phase j - s (mod stride).
                    step = (kw - work.pad[1]) % column_stride
                    weights[step, :, :, group.column + s + kw] = work.weight[channel, :, kw].T
        made = np.array([channel for group in groups for channel in group.channels])
        tile = Tile(
            header={**header, "entries": len(made)},
            starts=starts,
            vectors=vectors,
            entries=_entries(constants, made, np.array(columns)),
            weights=weights.reshape(-1, p.columns),
            table=constants.table,
        )
        sources = {group.vector: group.channels[0] // each for group in groups}
        yield Place(
            tile, partial(_window_pixels, work, tile, sources, p), partial(_put_channels, scatter, made)
        )


def _put_channels(scatter: Callable[..., None], made: np.ndarray, y: np.ndarray, values: np.ndarray) -> None:
    scatter(y, values, made)


def _window_pixels(
    work: _Windowed, tile: Tile, sources: Mapping[int, int], parameters: PeArrayParameters
) -> np.ndarray:
    """The pixel stream; `sources` has the group of input channels of each pixel vector in use."""
    rows, (images, blocks, columns, inputs, beats, _, _) = parameters.rows, tile.pixel_shape(parameters)
    height, channels = work.x.shape[1], work.x.shape[3]
    row = work.stride[0] * rows * np.arange(blocks)[:, None] + np.arange(beats * rows) - work.pad[0]
    inside = (row >= 0) & (row < height)
    taken = work.x[:, :, :columns][:, np.clip(row, 0, height - 1)]  # [images, blocks, beats*R, columns, C]
    taken = taken * inside[:, :, None, None].astype(taken.dtype)
    taken = taken.reshape(images, blocks, beats, rows, columns, channels).transpose(0, 1, 4, 5, 2, 3)
    pixels = np.zeros(tile.pixel_shape(parameters), taken.dtype)
    for vector, group in sources.items():
        pixels[..., vector, :] = taken[:, :, :, group * inputs : (group + 1) * inputs]
    return pixels


def _map_places(layer: _Layer, work: _Windowed, constants: Constants) -> Iterator[Place]:
    """Tiles whose output is maps `[..., rows, columns, K]`, in window or matrix form."""
    outputs, *kernel, _ = work.weight.shape
    if kernel == [1, 1]:
        flat = work.x.reshape(-1, work.x.shape[3])
        return _matrix_places(layer, flat, work.weight, work.groups, work.weight_zero, constants)

    def scatter(y: np.ndarray, values: np.ndarray, made: np.ndarray) -> None:
        y.reshape(len(values), *work.size, outputs)[..., made] = values

    return _window_places(layer, work, constants, scatter)


# --- Matrices -------------------------------------------------------------------------------------------------


def _matrix_places(
    layer: _Layer,
    x: np.ndarray,
    weight: np.ndarray,
    groups: int,
    weight_zero: int,
    constants: Constants,
    target: np.ndarray | None = None,
) -> Iterator[Place]:
    """Tiles of a matrix product: rows of x side by side, R of them to a map column.

    Args:
        layer: for messages.
        x: `[positions, channels]`, as stored.
        weight: `[K, 1, 1, CI]`, as stored.
        groups: of channels.
        weight_zero: of the weights.
        constants: of the output stage.
        target: row of the output, as a matrix of K columns, for each of x; None: the same.
    """
    target = np.arange(len(x)) if target is None else target
    rows = min(layer.parameters.rows, len(x))
    most = rows * _MOST_16_BITS
    for first in range(0, len(x), most):
        part = x[first : first + most]
        columns = -(-len(part) // rows)
        side = np.zeros((columns * rows, x.shape[1]), x.dtype)
        side[: len(part)] = part
        side = side.reshape(1, columns, rows, -1).swapaxes(1, 2)
        work = _Windowed(side, weight, groups, (1, 1), (0, 0), (rows, columns), weight_zero)
        scatter = partial(_put_rows, target[first : first + most], len(weight))
        yield from _window_places(layer, work, constants, scatter)


def _put_rows(target: np.ndarray, outputs: int, y: np.ndarray, values: np.ndarray, made: np.ndarray) -> None:
    values = values[0].swapaxes(0, 1).reshape(-1, len(made))[: len(target)]
    y.reshape(-1, outputs)[target[:, None], made] = values


# --- Values ---------------------------------------------------------------------------------------------------


def _value_places(
    layer: _Layer, operands: np.ndarray, constants: Constants, target: np.ndarray | None = None
) -> Iterator[Place]:
    """Tiles that make every value of the output by itself.

    Args:
        layer: for messages.
        operands: `[1 or 2, M, terms]`, as stored: each operand is the sum of its terms.
        constants: of the output stage, the same for all values.
        target: index in the flat output of each of the M values; None: the same.
    """
    p = layer.parameters
    count, values, terms = operands.shape
    target = np.arange(values) if target is None else target
    vectors = max(1, p.vectors // count)
    rows = min(p.rows, values)
    most = vectors * rows * _MOST_16_BITS
    for first in range(0, values, most):
        part, place = operands[:, first : first + most], target[first : first + most]
        length = -(-len(place) // (min(vectors, -(-len(place) // rows))))
        segments = -(-len(place) // length)
        padded = np.zeros((count, segments * length, terms), operands.dtype)
        padded[:, : len(place)] = part
        yield _value_place(
            layer,
            padded.reshape(count, segments, length, terms),
            constants,
            np.pad(place, (0, segments * length - len(place)), constant_values=-1).reshape(segments, length),
        )


def _value_place(layer: _Layer, operands: np.ndarray, constants: Constants, target: np.ndarray) -> Place:
    """One tile: `operands` `[1 or 2, V, L, terms]`, an entry for each of V; `target` `[V, L]`, -1: nowhere."""
    p = layer.parameters
    count, segments, length, terms = operands.shape
    layer.limit("number of terms of a sum", terms, None, "weight_depth", "pixel_depth")
    layer.check()
    # With a single pixel vector, two operands follow one another as channels, each with a column that takes it.
    in_turn = count > p.vectors
    channels = terms * count if in_turn else terms
    rows = min(p.rows, length)
    columns = -(-length // rows)
    used = segments * count
    weights = np.zeros((channels, p.columns), np.int64)
    if in_turn:
        weights[np.arange(channels), np.arange(channels) // terms] = 1
    else:
        weights[:, :used] = 1
    vectors = np.zeros(p.columns, np.uint8)
    if not in_turn:
        vectors[:used] = np.arange(used)
    header = {
        "repeat.images": 1,
        "repeat.row_blocks": 1,
        "packet.columns": columns,
        "packet.channels": channels,
        "window.kernel_rows": 1,
        "window.row_stride": 1,
        "window.beats": 1,
        "window.column_stride": 1,
        "window.kernel_columns": 1,
        "rows.map": rows,
        "rows.output": rows,
        "extent.output_columns": columns,
        "extent.weight_beats": channels,
        "entries": segments,
        **constants.header,
    }
    tile = Tile(
        header=header,
        starts=np.ones(p.columns, bool),
        vectors=vectors,
        entries=_entries(constants, np.arange(segments), np.arange(segments) * count),
        weights=weights,
        table=constants.table,
    )

    def pixels() -> np.ndarray:
        stream = np.zeros(tile.pixel_shape(p), operands.dtype)
        padded = np.zeros((count, segments, columns * rows, terms), operands.dtype)
        padded[:, :, :length] = operands
        padded = padded.reshape(count, segments, columns, rows, terms)
        if in_turn:
            stream[0, 0, :, :, 0, 0, :rows] = (
                padded[:, 0].transpose(1, 0, 3, 2).reshape(columns, channels, rows)
            )
        else:
            stream[0, 0, :, :, 0, :used, :rows] = padded.transpose(2, 4, 1, 0, 3).reshape(
                columns, terms, used, rows
            )
        return stream

    def put(y: np.ndarray, values: np.ndarray) -> None:
        values = values[0].transpose(2, 1, 0).reshape(segments, -1)[:, :length]
        y.reshape(-1)[target[target >= 0]] = values[target >= 0]

    return Place(tile, pixels, put)


# --- Vectors --------------------------------------------------------------------------------------------------


def _softmax(layer: _Layer, operator: tflite_reductions.Softmax, x: np.ndarray) -> Iterator[Place]:
    """Vectors as the rows of a map, their elements as its columns and channels, each channel from a pixel vector."""
    p = layer.parameters
    if p.data_width != 8:
        enough = " (DataWidth=8 would be enough)" if x.dtype.itemsize == 1 else ""
        layer.problems.append(
            f"a softmax has words of 8 bits, but the array's operands have {p.data_width}{enough}"
        )
    length = x.shape[-1]
    layer.limit("number of elements of a softmax", length, SOFTMAX_DEPTH)
    layer.check()
    channels = next(n for n in range(min(p.vectors, length), 0, -1) if length % n == 0)
    constants = _with(constants_of_softmax(operator), _signed("input", x.dtype))
    ones = np.ones((channels, 1, 1, 1), np.int64)
    vectors = x.reshape(-1, length // channels, channels)
    for first in range(0, len(vectors), _MOST_16_BITS):
        part = vectors[first : first + _MOST_16_BITS]
        work = _Windowed(part[None], ones, channels, (1, 1), (0, 0), part.shape[:2], 0)

        def scatter(y: np.ndarray, values: np.ndarray, made: np.ndarray, first: int = first) -> None:
            y.reshape(-1, *values.shape[2:])[first : first + values.shape[1]] = values[0]

        yield from _window_places(layer, work, constants, scatter)


# --- Operators ------------------------------------------------------------------------------------------------


def map_convolution(
    name: str,
    x: np.ndarray,
    weight: np.ndarray,
    window: Window,
    parameters: PeArrayParameters,
    *,
    groups: int = 1,
    header: Mapping[str, int] | None = None,
    entries: Mapping[str, np.ndarray] | None = None,
    weight_zero: int = 0,
    dtype: npt.DTypeLike = np.int8,
) -> LayerTiles:
    """Map a convolution of integers of the array's operand width.

    Args:
        name: of the layer, for messages.
        x: `[N, H, W, C]`, as stored.
        weight: `[K, KH, KW, C / groups]`, as stored.
        window: kernel, stride, dilation, padding.
        parameters: of the array.
        groups: of input channels.
        header: zero points, signs, rescaling, clamps.
        entries: `[K]` each, or `[1]` for all alike; default: the sums themselves.
        weight_zero: zero point of the weights.
        dtype: of the output.

    Returns:
        tiles for an output `[N, rows, columns, K]`.

    Raises:
        DoesNotFitError: sizes are above what the array has; names all of them.
    """
    layer = _Layer(name, parameters)
    _check_window(layer, window)
    work = _Windowed.of(x, weight, window, groups, weight_zero)
    rational = {"mode.rescaling": int(Rescaling.RATIONAL)} if entries is None else {}
    constants = Constants(
        rational | dict(header or {}), dict(rational_factor(0) if entries is None else entries)
    )
    shape = (len(x), *work.size, len(weight))
    return LayerTiles(shape, np.dtype(dtype), tuple(_map_places(layer, work, constants)), parameters)


def _conv(layer: _Layer, operator: tflite.Conv2D | fixed_point.Conv, x: np.ndarray) -> Iterator[Place]:
    convolution = operator.convolution
    _check_window(layer, convolution.window)
    weight, zero = _stored_weights(layer, np.asarray(convolution.weight, np.int64))
    constants = _with(constants_of_conv(operator), _signed("input", x.dtype), {"mode.weight_signed": 1})
    work = _Windowed.of(x.reshape(-1, *x.shape[2:]), weight, convolution.window, convolution.groups, zero)
    return _map_places(layer, work, constants)


def _stored_weights(layer: _Layer, weight: np.ndarray) -> tuple[np.ndarray, int]:
    """Weights less their zero point as words and a zero point: that nearest to 0 by which they fit."""
    half = 1 << layer.parameters.data_width - 1
    least, most = -half - int(weight.min()), half - 1 - int(weight.max())
    if least > most:
        layer.problems.append(
            f"its weights reach from {weight.min()} to {weight.max()}, but the array's operands have "
            f"{layer.parameters.data_width} bits"
        )
        return weight, 0
    zero = min(max(0, least), most)
    return weight + zero, zero


def _with(constants: Constants, *headers: Mapping[str, int]) -> Constants:
    """`constants` and what is no matter of the output stage."""
    header = dict(constants.header)
    for more in headers:
        header.update(more)
    return replace(constants, header=header)


def _fully_connected(
    layer: _Layer, operator: tflite.FullyConnected | fixed_point.Gemm, x: np.ndarray
) -> Iterator[Place]:
    inputs = operator.layer.convolution.weight.shape[3]
    return _conv(layer, operator.layer, x.reshape(1, -1, 1, 1, inputs))


def _matmul(
    layer: _Layer, operator: tflite.BatchMatMul | fixed_point.MatMul, a: np.ndarray, b: np.ndarray
) -> Iterator[Place]:
    """The second operand becomes weights, one matrix after the other."""
    a, b = shaping.aligned(a, b)
    if isinstance(operator, tflite.BatchMatMul):
        a, b = (
            x.swapaxes(-1, -2) if adjoint else x for x, adjoint in zip((a, b), operator.adjoint, strict=True)
        )
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, (*lead, *a.shape[-2:]))
    constants = _with(constants_of_matmul(operator), _signed("input", a.dtype), _signed("weight", b.dtype))
    zero = constants.header.get("weight_zero", 0)
    positions = np.arange(math.prod(a.shape[:-1])).reshape(a.shape[:-1])
    for index in np.ndindex(*b.shape[:-2]):
        same = tuple(slice(None) if n == 1 else i for i, n in zip(index, b.shape, strict=False))
        weight = b[index].T.astype(np.int64)[:, None, None]
        x = a[same].reshape(-1, a.shape[-1])
        yield from _matrix_places(layer, x, weight, 1, zero, constants, positions[same].ravel())


def _pair(
    layer: _Layer, operator: tflite.Add | fixed_point.Sum | tflite.Multiply, a: np.ndarray, b: np.ndarray
) -> Iterator[Place]:
    """ADD, SUB and MUL: operands broadcast to one shape by the moves before."""
    if a.dtype != b.dtype:
        raise UnsupportedOperatorError(
            f"layer {layer.name}: operands are {a.dtype} and {b.dtype}, but the PE array takes two of one type"
        )
    operands = np.stack(np.broadcast_arrays(*shaping.aligned(a, b))).reshape(2, -1, 1)
    constants = (
        constants_of_multiply(operator)
        if isinstance(operator, tflite.Multiply)
        else constants_of_add(operator)
    )
    return _value_places(layer, operands, _with(constants, _signed("input", a.dtype)))


def _prelu(layer: _Layer, operator: tflite.Prelu, x: np.ndarray, alpha: np.ndarray) -> Iterator[Place]:
    """An alpha is an entry's: values of one alpha lie in one pixel vector, as many alphas to a tile as vectors."""
    p = layer.parameters
    x, alpha = (a.ravel() for a in np.broadcast_arrays(*shaping.aligned(x, alpha)))
    most = p.rows * _MOST_16_BITS
    segments = [
        (slope, positions[first : first + most])
        for slope, positions in _positions_of(alpha)
        for first in range(0, len(positions), most)
    ]
    segments.sort(key=lambda segment: len(segment[1]))  # those of a tile take as long as the longest
    for first in range(0, len(segments), p.vectors):
        chosen = segments[first : first + p.vectors]
        target = np.full((len(chosen), max(len(positions) for _, positions in chosen)), -1)
        for row, (_, positions) in zip(target, chosen, strict=True):
            row[: len(positions)] = positions
        constants = constants_of_prelu(operator, np.array([slope for slope, _ in chosen]))
        constants = _with(constants, _signed("input", x.dtype))
        yield _value_place(layer, x[target][None, :, :, None], constants, target)


def _positions_of(values: np.ndarray) -> list[tuple[Any, np.ndarray]]:
    """Each value of a flat array and the indices that hold it."""
    order = np.argsort(values, kind="stable")
    distinct, begins = np.unique(values[order], return_index=True)
    return list(zip(distinct, np.split(order, begins[1:]), strict=True))


def _sloped(layer: _Layer, operator: fixed_point.PRelu, x: np.ndarray) -> Iterator[Place]:
    """A slope is any float32, which the lanes do not multiply by exactly: a table for each."""
    values, slopes = (a.ravel() for a in np.broadcast_arrays(*shaping.aligned(x, operator.slope[None])))
    for slope, positions in _positions_of(slopes):
        yield from _lookup(layer, fixed_point.LeakyRelu(slope), values[positions], positions)


def _lookup(
    layer: _Layer,
    operator: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    target: np.ndarray | None = None,
) -> Iterator[Place]:
    """Functions of one value, whatever they are, by their table."""
    if layer.parameters.data_width != 8:
        layer.problems.append(
            f"its table has 8-bit words, but the array's operands have {layer.parameters.data_width} bits"
        )
    layer.check()
    constants = _with(constants_of_lookup(operator, x.dtype), _signed("input", x.dtype))
    return _value_places(layer, x.reshape(1, -1, 1), constants, target)


def _reduce(
    layer: _Layer, operator: tflite_reductions.Reduce | fixed_point.ReduceSum, x: np.ndarray
) -> Iterator[Place]:
    axes = [axis + 1 for axis in operator.axes]
    count = math.prod(x.shape[axis] for axis in axes)
    terms = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim)).reshape(1, -1, count)
    return _value_places(layer, terms, _with(constants_of_mean(operator), _signed("input", x.dtype)))


def _max_pool(
    layer: _Layer, operator: tflite_reductions.MaxPool2D | fixed_point.MaxPool, x: np.ndarray
) -> Iterator[Place]:
    largest = {"mode.array_op": int(ArrayOp.MAX)}
    constants = _with(constants_of_max_pool(operator), _signed("input", x.dtype), largest)
    images = x.reshape(-1, *x.shape[2:])
    if _as_window(layer, operator.window, images):
        return _pool_places(layer, operator.window, images, constants)
    terms = _window_terms(operator.window, images, limits(x.dtype)[0])
    return _value_places(layer, terms[None], constants)


def _average_pool(
    layer: _Layer, operator: tflite_reductions.AveragePool2D | fixed_point.AveragePool, x: np.ndarray
) -> Iterator[Place]:
    images, window = x.reshape(-1, *x.shape[2:]), operator.window
    signed = _signed("input", x.dtype)
    if _as_window(layer, window, images):
        yield from _pool_places(layer, window, images, _with(constants_of_average_pool(operator), signed))
        return
    # The factor without the division, then a tile for each divisor that occurs, in its odd part and its twos.
    constants = constants_of_average_pool(replace(operator, window=Window((1, 1))))
    constants = _with(constants, signed, {"mode.count_divide": 0})
    terms = _window_terms(window, images, 0)
    counts = _window_terms(window, np.ones_like(images), 0).sum(axis=1, dtype=np.int64)
    if getattr(operator, "include_padding", False):
        counts[:] = math.prod(window.kernel)
    for count, positions in _positions_of(counts):
        twos = (int(count) & -int(count)).bit_length() - 1
        odd = int(count) >> twos
        layer.limit("divisor of the average without its factors of two", odd, MAX_DIVISOR)
        layer.check()
        factor = rational_factor(constants.entries["factor.shift"] - twos, odd)
        yield from _value_places(layer, terms[None, positions], replace(constants, entries=factor), positions)


def _as_window(layer: _Layer, window: Window, images: np.ndarray) -> bool:
    """Whether a pool takes the window form: one over the whole map would use one row of the array."""
    return _fits_window(layer, window) and window.output_size(images.shape[1:3]) != (1, 1)


def _pool_places(layer: _Layer, window: Window, images: np.ndarray, constants: Constants) -> Iterator[Place]:
    channels = images.shape[3]
    ones = np.ones((channels, *window.kernel, 1), np.int64)
    return _map_places(layer, _Windowed.of(images, ones, window, channels), constants)


def _window_terms(window: Window, images: np.ndarray, outside: int) -> np.ndarray:
    """The values of each window: `[N * rows * columns * C, places]`."""
    padded = window.padded(images, outside, images.dtype)
    return np.stack([tap.reshape(-1) for tap in window.taps(padded)], axis=1)


_MAPPERS: dict[type, Callable[..., Iterator[Place]]] = {
    tflite.Add: _pair,
    tflite_reductions.AveragePool2D: _average_pool,
    tflite.BatchMatMul: _matmul,
    tflite.Conv2D: _conv,
    tflite.FullyConnected: _fully_connected,
    tflite_tables.Lookup: _lookup,
    tflite_tables.Rescaled: _lookup,
    tflite_reductions.MaxPool2D: _max_pool,
    tflite.Multiply: _pair,
    tflite.Prelu: _prelu,
    tflite_reductions.Reduce: _reduce,
    tflite_reductions.Softmax: _softmax,
    fixed_point.AveragePool: _average_pool,
    fixed_point.Conv: _conv,
    fixed_point.Gemm: _fully_connected,
    fixed_point.LeakyRelu: _lookup,
    fixed_point.MatMul: _matmul,
    fixed_point.MaxPool: _max_pool,
    fixed_point.PRelu: _sloped,
    fixed_point.ReduceSum: _reduce,
    fixed_point.Relu: _lookup,
    fixed_point.Stepwise: _lookup,
    fixed_point.Sum: _pair,
}

#: Operators that become tiles; what is neither here nor in `shaping.MOVES` the host keeps.
ARRAY = tuple(_MAPPERS)

# Operators whose maps are [N, C, H, W].
_CHANNELS_FIRST = (fixed_point.AveragePool, fixed_point.Conv, fixed_point.MaxPool)
