# SPDX-License-Identifier: Apache-2.0
"""Layers to MVU jobs: registers, memory images, and which output coordinate each word is.

One job runs a whole layer, or some rows and output blocks of it, with the eight-loop mapping of `docs/mvu.md`: row,
column, output block, pool row, pool column, plane pair, kernel row, kernel column x input block. A depthwise layer has
one input block for each output block, the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from assay.golden.errors import ConfigurationError, DoesNotFitError
from assay.golden.formats import IntFormat
from assay.golden.mvu.agu import AddressProgram
from assay.golden.mvu.functional import Memories, check_configuration
from assay.golden.mvu.layout import (
    activation_words,
    channel_blocks,
    pack_activations,
    pack_weights,
    weight_words,
)
from assay.golden.mvu.parameters import ALIGN_MAX, MAX_KERNEL, POST_WIDTH, MvuParameters
from assay.golden.mvu.registers import BY_NAME
from assay.golden.network import Layer, Residual
from assay.golden.operators import conv2d_output_size

__all__ = [
    "Coordinate",
    "Images",
    "Job",
    "TensorSpec",
    "block_words",
    "countdown",
    "images",
    "locate",
    "map_layer",
    "map_matmul",
    "map_part",
    "read_rows",
    "row_clocks",
]

# mvuconfig1.acc_select and pool_select of the mapping: an output ends with the pool column (loop 4), a pool group
# with the output block (loop 2).
_ACC_SELECT, _POOL_SELECT = 4, 2

_AND_MODE = 1  # mvucommand.multiply_mode of ordinary integers


@dataclass(frozen=True)
class TensorSpec:
    """A tensor in a data memory: `shape` (H, W, C) in `fmt`, `words` words from word `base` on."""

    shape: tuple[int, int, int]
    fmt: IntFormat
    base: int
    words: int


class Coordinate(NamedTuple):
    """What an output word holds: bit plane `plane` (0 is the least significant) of one block of channels."""

    row: int
    column: int
    block: int
    plane: int


@dataclass(frozen=True, eq=False)
class Job:
    """One MVU job and everything it needs.

    Attributes:
        name: of the layer; a part of one also names its output blocks.
        registers: register name to fields or value, for `golden.mvu.registers.encode`; those left out are not used.
        weights: uint8 `[n_words, lanes*lanes/8]`, goes to weight word `weight_base` on.
        weight_base: word.
        scaler, bias: int64 `[blocks, lanes]`, go to entry `channel_base` on. A bias times 2**bias_shift is the layer's.
        channel_base: entry.
        input, output: the rows it reads and writes, with all their channels also for a job that makes some blocks.
        residual: likewise, or None.
        first_block, blocks: output channel blocks that this job makes.
        countdown: multiply clocks.
        first_row: of the layer's output that this job makes.
    """

    name: str
    registers: dict[str, dict[str, int] | int]
    weights: np.ndarray
    weight_base: int
    scaler: np.ndarray
    bias: np.ndarray
    channel_base: int
    input: TensorSpec
    output: TensorSpec
    residual: TensorSpec | None
    first_block: int
    blocks: int
    countdown: int
    first_row: int = 0

    @property
    def output_words(self) -> int:
        """Words that this job writes."""
        height, width, _ = self.output.shape
        return height * width * self.blocks * self.output.fmt.bits

    def load(self, memories: Memories, x: np.ndarray, residual: np.ndarray | None = None) -> None:
        """Write the job's images and tensors into `memories`.

        Args:
            memories: modified in place.
            x: integers `[H, W, C]` of the rows of the input.
            residual: integers `[H, W, K]` of its rows, for a job with a residual.
        """
        lanes = memories.scaler.shape[1]
        memories.weights[self.weight_base : self.weight_base + len(self.weights)] = self.weights
        memories.scaler[self.channel_base : self.channel_base + self.blocks] = self.scaler
        memories.bias[self.channel_base : self.channel_base + self.blocks] = self.bias
        for spec, values in ((self.input, x), (self.residual, residual)):
            if spec is not None:
                memories.data[spec.base : spec.base + spec.words] = pack_activations(values, spec.fmt, lanes)


def locate(job: Job, word_index: int) -> Coordinate:
    """Name the coordinate in the output tensor of the `word_index`-th word that `job` writes.

    Raises:
        ConfigurationError: the job writes no such word.
    """
    if not 0 <= word_index < job.output_words:
        raise ConfigurationError(
            f"job {job.name}: output word {word_index}, but it writes words 0 to {job.output_words - 1}"
        )
    rest, plane = divmod(word_index, job.output.fmt.bits)
    rest, block = divmod(rest, job.blocks)
    row, column = divmod(rest, job.output.shape[1])
    return Coordinate(job.first_row + row, column, job.first_block + block, job.output.fmt.bits - 1 - plane)


class Images(NamedTuple):
    """Parameters of some output blocks, as the memories hold them.

    weights: uint8 `[n_words, lanes*lanes/8]`; scaler, bias: int64 `[blocks, lanes]`; the layer's biases are `bias`
    times 2**bias_shift.
    """

    weights: np.ndarray
    scaler: np.ndarray
    bias: np.ndarray
    bias_shift: int


def countdown(
    layer: Layer, size: tuple[int, int], lanes: int, blocks: int | None = None, rows: range | None = None
) -> int:
    """Multiply clocks of a layer, kernel positions in the padding taking none.

    Args:
        layer: to run.
        size: (H, W) of its input map.
        lanes: of the MVU.
        blocks: output channel blocks to make, by default all.
        rows: output rows to make, by default all.
    """
    if blocks is None:
        blocks = channel_blocks(layer.output_channels, lanes)
    clocks = row_clocks(layer, size, lanes)
    return int((clocks if rows is None else clocks[rows.start : rows.stop]).sum()) * blocks


def row_clocks(layer: Layer, size: tuple[int, int], lanes: int) -> np.ndarray:
    """Multiply clocks of one output block of each output row, int64 `[rows]`."""
    taps = [_valid_taps(layer, size, axis) for axis in (0, 1)]
    tile = _input_blocks(layer, lanes) * layer.input_format.bits * layer.weight_format.bits
    return taps[0].sum(axis=1) * int(taps[1].sum()) * tile


def block_words(layer: Layer, lanes: int) -> int:
    """Weight words of one output block of a layer."""
    shape = (lanes, *layer.kernel, _input_blocks(layer, lanes) * lanes)
    return weight_words(shape, layer.weight_format, lanes)


def images(layer: Layer, blocks: range, params: MvuParameters) -> Images:
    """The parameters of some output blocks of a layer.

    Raises:
        ConfigurationError: a bias that is not a 27-bit number times a power of two.
    """
    lanes = params.lanes
    channels = slice(blocks.start * lanes, blocks.stop * lanes)
    weight = layer.weight[channels]
    if layer.groups > 1:  # each output channel's only input channel is in the lane of its own number
        lane = np.arange(len(weight)) % lanes
        diagonal = np.zeros((*weight.shape[:3], lanes), np.int64)
        diagonal[np.arange(len(weight)), :, :, lane] = weight[..., 0]
        weight = diagonal
    bias, bias_shift = _bias(layer, blocks.start, len(blocks), params)
    return Images(
        pack_weights(weight, layer.weight_format, lanes),
        _by_block(layer.multiplier[channels], len(blocks), lanes),
        bias,
        bias_shift,
    )


def map_layer(
    layer: Layer,
    size: tuple[int, int],
    params: MvuParameters,
    input_base: int,
    output_base: int,
    *,
    weight_base: int = 0,
    channel_base: int = 0,
    residual_base: int | None = None,
    dest: int = 0,
    allow_wrap: bool = False,
) -> list[Job]:
    """Map a layer to jobs.

    One job where weights and channel entries of all output blocks fit, else the fewest, each making a range of
    output blocks in place, to be run one after the other with their images loaded between.

    Args:
        layer: to run.
        size: (H, W) of its input map.
        params: of the MVU.
        input_base, output_base: first words of the tensors, the output's in the memory that `dest` selects.
        weight_base, channel_base: where the images go, first weight word and first entry.
        residual_base: first word of the residual tensor, for a layer that has one.
        dest: 0 for the own data memory, or one bit for each MVU of the crossbar.
        allow_wrap: accept a layer whose accumulators may exceed the accumulator, and wrap there.

    Raises:
        DoesNotFitError: the layer needs more than a memory, a register field or the accumulator holds; the message
            names layer, need and limit.
        ConfigurationError: a base, `dest` or residual that makes no sense, tensors that overlap, or a bias that
            is not a 27-bit number times a power of two.
    """
    k_blocks = channel_blocks(layer.output_channels, params.lanes)
    _check_base(layer.name, "weight", weight_base, params.weight_depth)
    _check_base(layer.name, "channel", channel_base, params.channel_depth)
    # Output blocks that fit at once: each takes its weights and one channel entry.
    words = block_words(layer, params.lanes)
    _Limits(layer.name).room("weight words of one output block", words, params.weight_depth - weight_base)
    room = min((params.weight_depth - weight_base) // words, params.channel_depth - channel_base, k_blocks)
    parts = -(-k_blocks // room)
    even = -(-k_blocks // parts)  # parts of like size rather than full ones and a rest
    return [
        map_part(
            layer,
            size,
            params,
            input_base,
            output_base,
            blocks=range(first, min(first + even, k_blocks)),
            weight_base=weight_base,
            channel_base=channel_base,
            residual_base=residual_base,
            dest=dest,
            allow_wrap=allow_wrap,
        )
        for first in range(0, k_blocks, even)
    ]


def map_part(
    layer: Layer,
    size: tuple[int, int],
    params: MvuParameters,
    input_base: int,
    output_base: int,
    *,
    rows: range | None = None,
    blocks: range | None = None,
    weight_base: int = 0,
    channel_base: int = 0,
    residual_base: int | None = None,
    dest: int = 0,
    allow_wrap: bool = False,
    loaded: Images | None = None,
) -> Job:
    """Map some rows and output blocks of a layer to one job.

    The job is that of a smaller layer: its input begins with the first row that it reads, at whose top there is padding
    only where the layer's own padding is read, and ends with the last one.

    Args:
        layer, size, params, weight_base, channel_base, dest, allow_wrap: as for `map_layer`.
        input_base, output_base, residual_base: first words of the whole tensors.
        rows: of the layer's output, by default all.
        blocks: output channel blocks, by default all.
        loaded: `images` of these blocks, if they are at hand.

    Raises:
        DoesNotFitError, ConfigurationError: as `map_layer`; rows or blocks that the layer does not have.
    """
    fits = _Limits(layer.name)
    lanes = params.lanes
    made_rows, columns = layer.output_size(size)
    k_blocks = channel_blocks(layer.output_channels, lanes)
    rows = _within(layer.name, "output rows", rows, made_rows)
    blocks = _within(layer.name, "output blocks", blocks, k_blocks)
    if (layer.residual is None) != (residual_base is None):
        raise ConfigurationError(
            f"layer {layer.name}: residual_base is {residual_base}, "
            f"but the layer has {'no' if layer.residual is None else 'a'} residual"
        )
    if not 0 <= dest < 256:
        raise ConfigurationError(f"layer {layer.name}: dest is {dest}, but must be from 0 to 255")
    _check_base(layer.name, "weight", weight_base, params.weight_depth)
    _check_base(layer.name, "channel", channel_base, params.channel_depth)
    fits.room("weight words", len(blocks) * block_words(layer, lanes), params.weight_depth - weight_base)
    fits.room("channel entries", len(blocks), params.channel_depth - channel_base)

    before_pool = (*layer.convolution_size(size), layer.output_channels)
    whole = len(rows) == made_rows  # then also what strides leave out at the bottom
    read, summed = (range(n) for n in (size[0], before_pool[0])) if whole else read_rows(layer, size, rows)
    made = (made_rows, columns, layer.output_channels)
    source = _place(fits, "input", (*size, layer.input_channels), layer.input_format, input_base, params)
    target = _place(fits, "output", made, layer.output_format, output_base, params)
    added = None
    if layer.residual is not None:
        added = _place(fits, "residual", before_pool, layer.residual.format, residual_base, params)
        fits.limit("residual left shift", layer.residual.shift, ALIGN_MAX)
    if dest == 0:
        _check_overlap(layer.name, target, source, added)
    fits.limit("quantiser MSB index", layer.shift + layer.output_format.bits - 1, POST_WIDTH - 1)
    if not allow_wrap:
        fits.room("accumulator bits", layer.accumulator_bits, params.acc_width)
    if any(layer.padding):
        _check_padding(fits, layer)
    clocks = countdown(layer, size, lanes, len(blocks), rows)
    fits.room("multiply clocks", clocks, (1 << BY_NAME["mvucommand"].field("countdown").width) - 1)

    source, target = _rows_of(source, read), _rows_of(target, rows)
    added = added and _rows_of(added, summed)
    # Padding above the rows read: what of the layer's own the first window still reaches into.
    top = max(0, layer.padding[0] - summed.start * layer.stride[0])
    part = loaded or images(layer, blocks, params)
    registers = _registers(layer, fits, params, source, target, added, top, blocks, weight_base, channel_base)
    registers["mvuobaseptr"]["dest"] = dest
    registers["mvuscaler"] = {"bias_shift": part.bias_shift}
    registers["mvucommand"] = {
        "countdown": clocks,
        "max_pool": int(layer.pool is not None),
        "multiply_mode": _AND_MODE,
    }
    check_configuration(registers)
    name = layer.name
    if len(blocks) < k_blocks:
        name += f", output blocks {blocks.start} to {blocks.stop - 1}"
    if len(rows) < made_rows:
        name += f", rows {rows.start} to {rows.stop - 1}"
    return Job(
        name=name,
        registers=registers,
        weights=part.weights,
        weight_base=weight_base,
        scaler=part.scaler,
        bias=part.bias,
        channel_base=channel_base,
        input=source,
        output=target,
        residual=added,
        first_block=blocks.start,
        blocks=len(blocks),
        countdown=clocks,
        first_row=rows.start,
    )


def read_rows(layer: Layer, size: tuple[int, int], rows: range) -> tuple[range, range]:
    """Rows of the input, and of the map before pooling (so of the residual), that make the output rows `rows`."""
    window, stride = (1, 1) if layer.pool is None else (layer.pool.window[0], layer.pool.stride[0])
    summed = range(rows.start * stride, (rows.stop - 1) * stride + window)
    first = summed.start * layer.stride[0] - layer.padding[0]
    last = (summed.stop - 1) * layer.stride[0] - layer.padding[0] + layer.kernel[0]
    return range(max(0, first), min(size[0], last)), summed


def map_matmul(
    weight: np.ndarray,
    rows: int,
    params: MvuParameters,
    input_base: int,
    output_base: int,
    *,
    weight_format: IntFormat,
    input_format: IntFormat,
    output_format: IntFormat,
    multiplier: np.ndarray,
    bias: np.ndarray,
    shift: int,
    name: str = "matmul",
    relu: bool = False,
    residual: Residual | None = None,
    rounding: str = "half_up",
    saturate: bool = True,
    **placement: int | None,
) -> list[Job]:
    """Map a matrix product X `[rows, C]` @ `weight` `[C, K]` to jobs: a 1x1 convolution over a map of 1 x rows.

    Args:
        weight: integers `[C, K]` within `weight_format`.
        rows: of X.
        params, input_base, output_base: as for `map_layer`.
        weight_format, input_format, output_format, multiplier, bias, shift, name, relu, residual, rounding, saturate:
            as of `golden.network.Layer`.
        placement: the other arguments of `map_layer`.

    Raises:
        DoesNotFitError, ConfigurationError: as `map_layer`.
    """
    weight = np.asarray(weight)
    if weight.ndim != 2:
        raise ConfigurationError(f"{name}: weight has shape {list(weight.shape)}, but must be [C, K]")
    layer = Layer(
        name=name,
        input="x",
        output="y",
        weight=weight.T[:, None, None],
        weight_format=weight_format,
        input_format=input_format,
        output_format=output_format,
        multiplier=multiplier,
        bias=bias,
        shift=shift,
        relu=relu,
        residual=residual,
        rounding=rounding,
        saturate=saturate,
    )
    return map_layer(layer, (1, rows), params, input_base, output_base, **placement)


class _Limits:
    """Compares what a layer needs with what there is."""

    def __init__(self, layer: str) -> None:
        self.layer = layer

    def room(self, what: str, need: int, have: int) -> None:
        """For what is counted: words, bits, clocks."""
        if need > have:
            raise DoesNotFitError(f"layer {self.layer} needs {need} {what}, but the MVU has {max(0, have)}")

    def limit(self, what: str, value: int, most: int) -> None:
        """For what is a number in a register."""
        if value > most:
            raise DoesNotFitError(f"layer {self.layer}: {what} is {value}, but the MVU takes {most} at most")


def _within(layer: str, what: str, given: range | None, count: int) -> range:
    """`given`, checked, or all."""
    if given is None:
        return range(count)
    if given.step != 1 or not 0 <= given.start < given.stop <= count:
        raise ConfigurationError(
            f"layer {layer}: {what} {given.start} to {given.stop - 1} are asked for, but it has 0 to {count - 1}"
        )
    return given


def _rows_of(spec: TensorSpec, rows: range) -> TensorSpec:
    height, width, channels = spec.shape
    row = spec.words // height
    return TensorSpec((len(rows), width, channels), spec.fmt, spec.base + rows.start * row, len(rows) * row)


def _input_blocks(layer: Layer, lanes: int) -> int:
    """Input blocks that an output block reads; a depthwise layer's reads its own alone."""
    return 1 if layer.groups > 1 else channel_blocks(layer.input_channels, lanes)


def _place(
    fits: _Limits, what: str, shape: tuple[int, int, int], fmt: IntFormat, base: int, params: MvuParameters
) -> TensorSpec:
    _check_base(fits.layer, what, base, params.data_depth)
    words = activation_words(shape, fmt, params.lanes)
    fits.room(f"data words for its {what} from word {base} on", words, params.data_depth - base)
    return TensorSpec(shape, fmt, base, words)


def _check_base(layer: str, what: str, base: int, depth: int) -> None:
    if not 0 <= base < depth:
        raise ConfigurationError(f"layer {layer}: {what} base is {base}, but must be from 0 to {depth - 1}")


def _check_overlap(layer: str, target: TensorSpec, *sources: TensorSpec | None) -> None:
    """Refuse an output over an operand: the job writes the one while it still reads the other."""
    for source in sources:
        if source is None:
            continue
        if target.base < source.base + source.words and source.base < target.base + target.words:
            raise ConfigurationError(
                f"layer {layer}: output words {target.base} to {target.base + target.words - 1} overlap "
                f"words {source.base} to {source.base + source.words - 1} that the job reads"
            )


def _check_padding(fits: _Limits, layer: Layer) -> None:
    for side, kernel in zip(("rows", "columns"), layer.kernel, strict=True):
        fits.limit(f"number of kernel {side} under zero padding", kernel, MAX_KERNEL)
    for pad, side in zip(layer.padding, ("top", "left", "bottom", "right"), strict=True):
        kernel = layer.kernel[0 if side in ("top", "bottom") else 1]
        if pad >= kernel:
            raise DoesNotFitError(
                f"layer {fits.layer}: padding at the {side} is {pad}, but the MVU pads a kernel of {kernel} "
                f"by {kernel - 1} at most"
            )


def _group_stride(layer: Layer) -> tuple[int, int]:
    """Input rows and columns from one output of the layer to the next."""
    if layer.pool is None:
        return layer.stride
    return layer.stride[0] * layer.pool.stride[0], layer.stride[1] * layer.pool.stride[1]


def _valid_taps(layer: Layer, size: tuple[int, int], axis: int) -> np.ndarray:
    """Kernel positions on the map along an axis, int64 `[groups, pool window]`."""
    conv = conv2d_output_size(size, layer.kernel, layer.stride, layer.padding)[axis]
    window, stride = (1, 1) if layer.pool is None else (layer.pool.window[axis], layer.pool.stride[axis])
    groups = (conv - window) // stride + 1
    output = np.arange(groups)[:, None] * stride + np.arange(window)
    corner = output * layer.stride[axis] - layer.padding[axis]
    return np.minimum(corner + layer.kernel[axis], size[axis]) - np.maximum(corner, 0)


def _by_block(values: np.ndarray, blocks: int, lanes: int) -> np.ndarray:
    return np.pad(values, (0, blocks * lanes - len(values))).reshape(blocks, lanes)


def _bias(layer: Layer, first: int, blocks: int, params: MvuParameters) -> tuple[np.ndarray, int]:
    """Entries of the bias memory `[blocks, lanes]` and the smallest left shift that makes them the layer's bias."""
    bias = layer.bias[first * params.lanes : (first + blocks) * params.lanes]
    low, high = -(1 << (params.bias_width - 1)), (1 << (params.bias_width - 1)) - 1
    for shift in range(ALIGN_MAX + 1):
        short = bias >> shift
        if short.min() >= low and short.max() <= high:
            inexact = np.flatnonzero(short << shift != bias)
            if inexact.size == 0:
                return _by_block(short, blocks, params.lanes), shift
            break  # a larger shift drops these bits, too
    else:
        inexact = np.flatnonzero((short < low) | (short > high))
    channel = int(inexact[0])
    raise ConfigurationError(
        f"layer {layer.name}: bias of channel {first * params.lanes + channel} is {int(bias[channel])}, but must be a "
        f"{params.bias_width}-bit number times 2**{shift} to be held beside the layer's largest"
    )


def _registers(
    layer: Layer,
    fits: _Limits,
    params: MvuParameters,
    source: TensorSpec,
    target: TensorSpec,
    added: TensorSpec | None,
    top: int,
    blocks: range,
    weight_base: int,
    channel_base: int,
) -> dict[str, dict[str, int] | int]:
    """All registers of a job but destination, bias shift and command; `top` rows of padding above `source`."""
    a, w, o = layer.input_format.bits, layer.weight_format.bits, layer.output_format.bits
    height, width, _ = source.shape
    rows, columns, _ = target.shape
    c_blocks = channel_blocks(layer.input_channels, params.lanes)
    k_blocks = channel_blocks(layer.output_channels, params.lanes)
    (kernel_h, kernel_w), (stride_y, stride_x) = layer.kernel, layer.stride
    (pool_h, pool_w), (pool_y, pool_x) = layer.pool or ((1, 1), (1, 1))
    group_y, group_x = _group_stride(layer)
    left = layer.padding[1]
    first = blocks.start
    # Depthwise: the input goes from block to block with the output, and a kernel column has one tile.
    tiles = _input_blocks(layer, params.lanes)
    depthwise = layer.groups > 1

    registers: dict[str, dict[str, int] | int] = {}

    def add(letter: str, base: int, depth: int, loops: list[tuple[int, int]]) -> None:
        """Generator `letter` with (iterations, words an iteration advances by) of each loop."""
        for number, (iterations, _) in enumerate(loops[1:], 1):
            fits.limit(f"number of iterations of loop {number} of generator {letter}", iterations, 1 << 16)
        lengths = (0, *(iterations - 1 for iterations, _ in loops[1:]))
        program = AddressProgram.from_strides(base % depth, tuple(stride for _, stride in loops), lengths)
        registers[f"mvu{letter}baseptr"] = {"value": program.base}
        for number, jump in enumerate(program.jumps):
            if number == 0 or lengths[number]:  # the jump of a loop that runs once is never taken
                registers[f"mvu{letter}jump{number}"] = _signed_jump(jump, depth)
        for number, length in enumerate(lengths[1:], 1):
            registers[f"mvu{letter}length{number}"] = length

    position = c_blocks * a  # words of an input position
    row = width * position
    kernel = kernel_h * kernel_w * tiles * w  # words of an output block's weights
    # (iterations, input words, weight words) of the loops that weight and input generators share.
    shared = [
        (rows, group_y * row, 0),
        (columns, group_x * position, 0),
        (len(blocks), a if depthwise else 0, kernel),
        (pool_h, stride_y * row, 0),
        (pool_w, stride_x * position, 0),
        (a * w, 0, 0),
        (kernel_h, row, kernel_w * tiles * w),
        (kernel_w * tiles, position if depthwise else a, w),
    ]
    corner = source.base - top * row - left * position + (first * a if depthwise else 0)
    add("w", weight_base, params.weight_depth, [(n, weights) for n, _, weights in shared])
    add("i", corner, params.data_depth, [(n, words) for n, words, _ in shared])
    for letter in "sb":
        add(letter, channel_base, params.channel_depth, [(rows * columns, 0), (len(blocks), 1)])
    output_loops = [(1, 0), (rows, columns * k_blocks * o), (columns, k_blocks * o), (len(blocks), o), (o, 1)]
    add("o", target.base + first * o, 1 << 16, output_loops)  # its port has 16 bits, whatever the memory

    precision = {"weight": w, "input": a, "output": o}
    precision |= {
        "weight_signed": int(layer.weight_format.signed),
        "input_signed": int(layer.input_format.signed),
        "output_signed": int(layer.output_format.signed),
    }
    config = {
        "acc_select": _ACC_SELECT,
        "pool_select": _POOL_SELECT,
        "scaler_memory": 1,
        "bias_memory": 1,
        "relu": int(layer.relu),
    }
    if added is not None:
        r = layer.residual.format.bits
        position = k_blocks * r
        row = added.shape[1] * position
        residual_loops = [
            (rows, pool_y * row),
            (columns, pool_x * position),
            (len(blocks), r),
            (pool_h, row),
            (pool_w, position),
            (r, 1),
        ]
        add("r", added.base + first * r, params.data_depth, residual_loops)
        precision |= {"residual": r, "residual_signed": int(layer.residual.format.signed)}
        registers["mvurscaler"] = {"value": layer.residual.multiplier, "shift": layer.residual.shift}
        config["residual"] = 1
    if any(layer.padding):
        position = c_blocks * a
        registers |= {
            "mvuiskip0": width * position % params.data_depth,
            "mvuiskip1": position % params.data_depth,
            "mvuwskip0": kernel_w * tiles * w % params.weight_depth,
            "mvuwskip1": tiles * w % params.weight_depth,
            "mvuishape": _fields(fits, "mvuishape", width=width, height=height),
            "mvukernel": _fields(
                fits,
                "mvukernel",
                width=kernel_w,
                height=kernel_h,
                pad_left=left,
                pad_top=top,
                blocks=tiles,
            ),
            "mvustride": _fields(fits, "mvustride", x=stride_x, y=stride_y, group_x=group_x, group_y=group_y),
        }
        config["padding"] = 1
    registers["mvuprecision"] = precision
    registers["mvuquant"] = {
        "round_half_up": int(layer.rounding == "half_up"),
        "saturate": int(layer.saturate),
        "msb": layer.shift + o - 1,
    }
    registers["mvuconfig1"] = config
    return registers


def _signed_jump(jump: int, depth: int) -> int:
    """`jump` modulo the memory's size, the number nearest to 0: addresses wrap, so it always fits 16 bits."""
    half = depth // 2
    return (jump + half) % depth - half


def _fields(fits: _Limits, register: str, **values: int) -> dict[str, int]:
    for name, value in values.items():
        fits.limit(f"{register}.{name}", value, (1 << BY_NAME[register].field(name).width) - 1)
    return values
