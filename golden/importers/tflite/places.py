# SPDX-License-Identifier: Apache-2.0
"""TFLite's operators that take values from places: slices, gather, resize, blocks to depth."""

from __future__ import annotations

import math

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.importers.tflite.checks import (
    MAX_AXIS,
    axes_of,
    axis_of,
    check_lengths,
    check_rank,
    same_scale,
)
from assay.golden.importers.tflite.file import Operation
from assay.golden.importers.tflite.reader import Reader, handles
from assay.golden.importers.tflite.shapes import paddings_of
from assay.golden.layers import shaping, tflite_reductions
from assay.golden.layers.linear import pair
from assay.golden.schemes.tflite import (
    round_half_away,
)


@handles("STRIDED_SLICE")
def _strided_slice(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    options = operation.options
    for name in ("EllipsisMask", "NewAxisMask", "Offset"):
        if options[name]:
            raise UnsupportedOperatorError(f"{operation}: {name} is {options[name]}, but must be 0")
    bounds = [reader.integers(operation, i, w) for i, w in ((1, "begin"), (2, "end"), (3, "strides"))]
    if len({len(values) for values in bounds}) != 1 or len(bounds[0]) > len(x.shape):
        raise ModelFormatError(
            f"{operation}: begin, end and strides are {bounds}, but must be as many each, and at most one for each "
            f"axis of {list(x.shape)}"
        )
    begins, strides, sizes, shape = [], [], [], []
    for axis, length in enumerate(x.shape):
        begin, end, stride, shrink = 0, length, 1, False
        if axis < len(bounds[0]):
            begin, end, stride = (values[axis] for values in bounds)
            shrink = bool(options["ShrinkAxisMask"] >> axis & 1)
            if stride == 0 or (shrink and (stride != 1 or not -length <= begin < length)):
                raise ModelFormatError(
                    f"{operation}: axis {axis} of {length} values has begin {begin} and stride {stride}, "
                    f"but must begin within it, and have stride 1 where it is dropped, not 0 elsewhere"
                )
            # Python's slices clip as TFLite's do; a mask bit is a bound left out.
            low = None if options["BeginMask"] >> axis & 1 else begin
            high = None if options["EndMask"] >> axis & 1 else end
            if shrink:
                begin = (0 if low is None else begin) % length
                end = begin + 1
            else:
                begin, end, stride = slice(low, high, stride).indices(length)
        size = len(range(begin, end, stride))
        begins.append(begin)
        strides.append(stride)
        sizes.append(size)
        if not shrink:
            shape.append(size)
    reader.copied(operation, x, tuple(shape))
    reader.add(operation, shaping.Slice(tuple(begins), tuple(strides), tuple(sizes), tuple(shape)))


@handles("SLICE")
def _slice(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    begin, size = (reader.integers(operation, i, w) for i, w in ((1, "begin"), (2, "size")))
    if len(begin) != len(x.shape) or len(size) != len(x.shape):
        raise ModelFormatError(
            f"{operation}: begin and size are {begin} and {size}, but must have a value for each axis of "
            f"{list(x.shape)}"
        )
    size = [length - low if n == -1 else n for n, low, length in zip(size, begin, x.shape, strict=True)]
    for low, n, length in zip(begin, size, x.shape, strict=True):
        if low < 0 or n < 1 or low + n > length:
            raise ModelFormatError(
                f"{operation}: begin {begin} and size {size} do not lie within {list(x.shape)}"
            )
    shape = tuple(size)
    reader.copied(operation, x, shape)
    reader.add(operation, shaping.Slice(tuple(begin), (1,) * len(shape), shape, shape))


@handles("GATHER")
def _gather(reader: Reader, operation: Operation) -> None:
    x, places = reader.input(operation, 0), reader.input(operation, 1)
    if places.dtype not in (np.int16, np.int32, np.int64):
        raise ModelFormatError(
            f"{operation}: indices {places.name!r} are {places.dtype}, but must be int16, int32 or int64"
        )
    axis = axis_of(operation, operation.options["Axis"], len(x.shape))
    batches = operation.options["BatchDims"]
    batches += len(places.shape) if batches < 0 else 0
    if not 0 <= batches <= min(axis, len(places.shape)) or x.shape[:batches] != places.shape[:batches]:
        raise ModelFormatError(
            f"{operation}: batch axes are {batches}, but must be 0 to {min(axis, len(places.shape))} and alike in "
            f"{list(x.shape)} and {list(places.shape)}"
        )
    y = reader.copied(operation, x, (*x.shape[:axis], *places.shape[batches:], *x.shape[axis + 1 :]))
    same_scale(operation, x.quantisation, y.quantisation)
    reader.add(operation, shaping.Gather(axis, batches, str(operation)), (0, 1))


@handles("REVERSE_V2")
def _reverse(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    axes = axes_of(reader, operation, 1, len(x.shape))
    check_lengths(operation, [x.shape[axis] for axis in axes])
    reader.copied(operation, x, x.shape)
    places = tuple((axis, tuple(range(x.shape[axis] - 1, -1, -1))) for axis in axes)
    reader.add(operation, shaping.Take(places))


@handles("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def _resize(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    check_rank(operation, x, 4)
    size = reader.integers(operation, 1, "size")
    corners, centers = operation.options["AlignCorners"], operation.options["HalfPixelCenters"]
    nearest = operation.kind == "RESIZE_NEAREST_NEIGHBOR"
    if len(size) != 2 or not all(0 < n <= MAX_AXIS for n in (*size, *x.shape[1:3])):
        raise ModelFormatError(
            f"{operation}: maps of {x.shape[1:3]} are resized to {size}, "
            f"but both must have rows and columns of 1 to {MAX_AXIS}"
        )
    if corners and centers and not nearest:
        raise ModelFormatError(
            f"{operation}: aligns corners and has half-pixel centres, but must not do both"
        )
    if not nearest:
        reader.quantised(operation, x)
    y = reader.copied(operation, x, (x.shape[0], *size, x.shape[3]))
    same_scale(operation, x.quantisation, y.quantisation)
    if nearest:
        places = (nearest_places(n, m, corners, centers) for n, m in zip(x.shape[1:3], size, strict=True))
        reader.add(operation, shaping.Take(tuple(zip((1, 2), places, strict=True))))
    else:
        reader.add(operation, tflite_reductions.ResizeBilinear(pair(size), bool(corners), bool(centers)))


@handles("DEPTH_TO_SPACE")
def _depth_to_space(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    check_rank(operation, x, 4)
    block = operation.options["BlockSize"]
    batch, height, width, channels = x.shape
    if block < 1 or channels % (block * block):
        raise ModelFormatError(
            f"{operation}: block size is {block}, but must be 1 or more and its square divide {channels} channels"
        )
    reader.copied(operation, x, (batch, height * block, width * block, channels // (block * block)))
    reader.add(operation, shaping.DepthToSpace(block))


@handles("SPACE_TO_DEPTH")
def _space_to_depth(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    check_rank(operation, x, 4)
    block = operation.options["BlockSize"]
    batch, height, width, channels = x.shape
    if block < 1 or height % block or width % block:
        raise ModelFormatError(
            f"{operation}: block size is {block}, but must be 1 or more and divide {height} rows and "
            f"{width} columns"
        )
    reader.copied(operation, x, (batch, height // block, width // block, block * block * channels))
    reader.add(operation, shaping.SpaceToDepth(block))


@handles("BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND")
def _space_and_batch(reader: Reader, operation: Operation) -> None:
    """SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, over the one or two axes behind the first."""
    x = reader.input(operation, 0)
    check_rank(operation, x, 3, 4)
    block = reader.integers(operation, 1, "block")
    if len(block) != len(x.shape) - 2 or not all(0 < n <= MAX_AXIS for n in block):
        raise ModelFormatError(
            f"{operation}: block is {block}, but must be 1 to {MAX_AXIS} for each middle axis of {list(x.shape)}"
        )
    to_batch = operation.kind == "SPACE_TO_BATCH_ND"
    pairs = paddings_of(reader, operation, 2, "paddings" if to_batch else "crops", len(block))
    area = math.prod(block)
    if to_batch:
        inner = [n + sum(p) for n, p in zip(x.shape[1:-1], pairs, strict=True)]
        fits = all(n % b == 0 for n, b in zip(inner, block, strict=True))
        shape = (x.shape[0] * area, *(n // b for n, b in zip(inner, block, strict=True)), x.shape[-1])
    else:
        fits = x.shape[0] % area == 0
        inner = [n * b - sum(p) for n, b, p in zip(x.shape[1:-1], block, pairs, strict=True)]
        shape = (x.shape[0] // area, *inner, x.shape[-1])
    if not fits:
        raise ModelFormatError(
            f"{operation}: block {block} does not divide the {'padded map' if to_batch else 'batch'} of "
            f"{list(x.shape)}"
        )
    y = reader.copied(operation, x, shape)
    same_scale(operation, x.quantisation, y.quantisation)
    if to_batch:
        fill = 0 if y.quantisation is None else int(y.quantisation.zero_point[0])
        reader.add(operation, shaping.SpaceToBatch(tuple(block), pairs, fill))
    else:
        reader.add(operation, shaping.BatchToSpace(tuple(block), pairs))


def nearest_places(length: int, size: int, align_corners: bool, half_pixel_centers: bool) -> tuple[int, ...]:
    """For each of `size` output rows the input row, of `length`, that RESIZE_NEAREST_NEIGHBOR takes, in float32.

    Source: `GetNearestNeighbor`, internal/reference/resize_nearest_neighbor.h.
    """
    corners = align_corners and size > 1
    scale = (
        np.float32(length - 1) / np.float32(size - 1) if corners else np.float32(length) / np.float32(size)
    )
    offset = np.float32(0.5 if half_pixel_centers else 0)
    place = (np.arange(size).astype(np.float32) + offset) * scale
    place = round_half_away(place) if align_corners else np.floor(place)
    return tuple(np.clip(place, 0, length - 1).astype(np.int64).tolist())
