# SPDX-License-Identifier: Apache-2.0
"""ONNX's operators that move values and compute none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import MAX_ELEMENTS, MAX_RANK, Operation
from assay.golden.importers.onnx.reader import Reader, handles
from assay.golden.importers.onnx.values import check_bounds, check_lengths
from assay.golden.layers import onnx_float as floats
from assay.golden.layers import shaping


def concatenated(operation: Operation, tensors: list[Tensor]) -> tuple[int, tuple[int, ...]]:
    """Concat's axis and shape."""
    if not tensors:
        raise ModelFormatError(f"{operation} has 0 inputs, but must have 1 or more")
    if "axis" not in operation.attributes:
        raise ModelFormatError(f"{operation}: attribute axis is missing")
    first = tensors[0]
    axis = operation.axis(operation.attributes["axis"], max(1, len(first.shape)))
    for tensor in tensors:
        rest = [t.shape[:axis] + t.shape[axis + 1 :] for t in (tensor, first)]
        if rest[0] != rest[1] or len(tensor.shape) != len(first.shape) or tensor.dtype != first.dtype:
            raise ModelFormatError(
                f"{operation}: inputs are {first.dtype} {list(first.shape)} and {tensor.dtype} "
                f"{list(tensor.shape)}, but must differ in axis {axis} alone"
            )
    total = sum(tensor.shape[axis] for tensor in tensors)
    return axis, (*first.shape[:axis], total, *first.shape[axis + 1 :])


@handles("Concat")
def _concat(reader: Reader, operation: Operation) -> None:
    tensors = [reader.input(operation, i) for i in range(len(operation.inputs))]
    axis, shape = concatenated(operation, tensors)
    reader.output(operation, shape, tensors[0].dtype)
    reader.add(operation, shaping.Concatenate(axis), tuple(range(len(tensors))))


def flattened(operation: Operation, x: Tensor) -> tuple[int, int]:
    """Flatten's shape."""
    rank = len(x.shape)
    axis = operation.attributes.get("axis", 1)
    if not isinstance(axis, int) or not -rank <= axis <= rank:
        raise ModelFormatError(f"{operation}: attribute axis is {axis}, but must be {-rank} to {rank}")
    axis = axis + rank if axis < 0 else axis
    return math.prod(x.shape[:axis]), math.prod(x.shape[axis:])


@handles("Flatten")
def _flatten(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    shape = flattened(operation, x)
    reader.copied(operation, x, shape)
    reader.add(operation, shaping.Reshape(shape))


def reshaped(operation: Operation, x: Tensor, wanted: list[int], empty: bool = False) -> tuple[int, ...]:
    """Reshape's shape: 0 stands for the input's length, unless axes may be `empty`; one -1 is derived."""
    size = math.prod(x.shape)
    shape = [x.shape[i] if n == 0 and i < len(x.shape) and not empty else n for i, n in enumerate(wanted)]
    known = math.prod(n for n in shape if n != -1)
    derived = [size // known if n == -1 and known else n for n in shape]
    if shape.count(-1) > 1 or min(derived, default=1) < 1 or math.prod(derived) != size:
        raise ModelFormatError(
            f"{operation}: shape is {wanted}, but must hold the {size} values of {list(x.shape)}"
        )
    return tuple(derived)


@handles("Reshape")
def _reshape(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    empty = operation.only("allowzero", 0, 0, 1)
    wanted = reader.given(operation, 1, "shape")
    if wanted is None:
        raise ModelFormatError(f"{operation}: shape is missing")
    shape = reshaped(operation, x, wanted, bool(empty))
    reader.copied(operation, x, shape)
    reader.add(operation, shaping.Reshape(shape))


def permutation_of(operation: Operation, x: Tensor) -> tuple[int, ...]:
    """Transpose's axes."""
    rank = len(x.shape)
    permutation = operation.attributes.get("perm", list(range(rank))[::-1])
    permutation = list(permutation) if isinstance(permutation, tuple) else permutation
    if not isinstance(permutation, list) or sorted(permutation) != list(range(rank)):
        raise ModelFormatError(
            f"{operation}: attribute perm is {permutation}, but must hold each axis of {list(x.shape)} once"
        )
    return tuple(permutation)


@handles("Transpose")
def _transpose(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    permutation = permutation_of(operation, x)
    reader.copied(operation, x, tuple(x.shape[axis] for axis in permutation))
    reader.add(operation, shaping.Transpose(permutation))


@handles("Squeeze")
def _squeeze(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    given = reader.given(operation, 1, "axes")
    rank = len(x.shape)
    axes = [i for i, n in enumerate(x.shape) if n == 1] if given is None else given
    numbers = operation.axes(axes, rank)
    for axis in numbers:
        if x.shape[axis] != 1:
            raise ModelFormatError(f"{operation}: axis {axis} has length {x.shape[axis]}, but must have 1")
    shape = tuple(n for axis, n in enumerate(x.shape) if axis not in numbers)
    reader.copied(operation, x, shape)
    reader.add(operation, shaping.Reshape(shape))


@handles("Unsqueeze")
def _unsqueeze(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    given = reader.given(operation, 1, "axes")
    if given is None or len(given) > MAX_RANK:
        raise ModelFormatError(f"{operation}: axes are {given}, but must be 1 to {MAX_RANK} numbers")
    rank = len(x.shape) + len(given)
    numbers = operation.axes(given, rank)
    rest = iter(x.shape)
    shape = tuple(1 if axis in numbers else next(rest) for axis in range(rank))
    reader.copied(operation, x, shape)
    reader.add(operation, shaping.Reshape(shape))


@handles("Pad")
def _pad(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    mode = operation.only("mode", "constant", "constant", "edge", "reflect", "wrap")
    pads = reader.given(operation, 1, "pads")
    rank = len(x.shape)
    axes = range(rank)
    if operation.has(3):
        axes = operation.axes(reader.integers(operation, 3, "axes"), rank)
    if pads is None or len(pads) != 2 * len(axes) or not all(0 <= n <= MAX_ELEMENTS for n in pads):
        raise ModelFormatError(
            f"{operation}: pads are {pads}, but must be {2 * len(axes)} numbers of 0 to {MAX_ELEMENTS}"
        )
    longest = {"reflect": -1, "wrap": 0}.get(mode)
    if longest is not None:
        for i, axis in enumerate(axes):
            if max(pads[i], pads[i + len(axes)]) > x.shape[axis] + longest:
                raise ModelFormatError(
                    f"{operation}: pads are {pads}, but mode {mode} must not add more than "
                    f"{list(x.shape)} has to repeat"
                )
    pairs = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        pairs[axis] = (pads[i], pads[i + len(axes)])
    fill = 0
    if operation.has(2):
        fill = reader.single(operation, 2, "constant value", x.dtype.type).item()
    elif "value" in operation.attributes:
        fill = operation.number("value", 0.0)
    shape = tuple(n + sum(p) for n, p in zip(x.shape, pairs, strict=True))
    if mode == "constant" and x.dtype == np.float32 and fill:
        reader.output(operation, shape)
    else:
        reader.copied(operation, x, shape)
    if mode == "constant":
        reader.add(operation, shaping.Pad(tuple(pairs), fill))
    else:
        check_lengths(operation, shape)
        added = [(axis, pair) for axis, pair in enumerate(pairs) if any(pair)]
        places = ((axis, np.pad(np.arange(x.shape[axis]), pair, mode=mode)) for axis, pair in added)
        reader.add(operation, shaping.Take(tuple(places)))


@handles("Slice")
def _slice(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    rank = len(x.shape)
    starts, ends = reader.given(operation, 1, "starts"), reader.given(operation, 2, "ends")
    axes = reader.given(operation, 3, "axes")
    if starts is None or ends is None:
        raise ModelFormatError(f"{operation}: starts or ends are missing")
    axes = list(range(len(starts))) if axes is None else axes
    steps = reader.integers(operation, 4, "steps") if operation.has(4) else [1] * len(starts)
    if len({len(starts), len(ends), len(axes), len(steps)}) != 1 or 0 in steps:
        raise ModelFormatError(
            f"{operation}: starts, ends, axes, steps are {starts}, {ends}, {axes}, {steps}, but must be as many "
            f"each, no step 0"
        )
    begins, strides, sizes = [0] * rank, [1] * rank, list(x.shape)
    for axis, start, end, step in zip(operation.axes(axes, rank), starts, ends, steps, strict=True):
        length = x.shape[axis]
        # ONNX clamps to -1 (before the first) where a negative step runs down; Python's slice does so, too.
        begin, stop, stride = slice(start, end, step).indices(length)
        begins[axis], strides[axis] = begin, stride
        sizes[axis] = len(range(begin, stop, stride))
    reader.copied(operation, x, tuple(sizes))
    reader.add(operation, shaping.Slice(tuple(begins), tuple(strides), tuple(sizes), tuple(sizes)))


@handles("Split")
def _split(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    axis = operation.axis(operation.attributes.get("axis", 0), len(x.shape))
    length, parts = x.shape[axis], len(operation.outputs)
    sizes = reader.given(operation, 1, "split")
    if sizes is None:
        number = operation.attributes.get("num_outputs", parts)
        part = -(-length // max(1, parts))
        sizes = [part] * (parts - 1) + [length - part * (parts - 1)]
        uneven = "num_outputs" not in operation.attributes and length % max(1, parts)
        if number != parts or uneven:
            raise ModelFormatError(
                f"{operation}: axis {axis} of {length} values does not divide into {parts} outputs"
            )
    if len(sizes) != parts or min(sizes, default=0) < 1 or sum(sizes) != length:
        raise ModelFormatError(
            f"{operation}: {parts} outputs of sizes {sizes} do not divide axis {axis} of {length} values"
        )
    for position, size in enumerate(sizes):
        reader.copied(operation, x, (*x.shape[:axis], size, *x.shape[axis + 1 :]), position)
    reader.add(operation, shaping.Split(axis, tuple(sizes)))


@handles("Expand")
def _expand(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    wanted = reader.integers(operation, 1, "shape")
    check_bounds(operation, wanted)
    try:
        shape = np.broadcast_shapes(x.shape, tuple(wanted))
    except ValueError:
        raise ModelFormatError(
            f"{operation}: shape is {wanted}, but {list(x.shape)} must broadcast to it"
        ) from None
    reader.copied(operation, x, shape)
    reader.add(operation, shaping.Broadcast(shape))


@handles("Tile")
def _tile(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    repeats = reader.integers(operation, 1, "repeats")
    if len(repeats) != len(x.shape) or not all(1 <= n <= MAX_ELEMENTS for n in repeats):
        raise ModelFormatError(
            f"{operation}: repeats are {repeats}, but must be {len(x.shape)} numbers of 1 to {MAX_ELEMENTS}"
        )
    reader.copied(operation, x, tuple(n * r for n, r in zip(x.shape, repeats, strict=True)))
    reader.add(operation, shaping.Tile(tuple(repeats)))


@handles("Trilu")
def _trilu(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    if len(x.shape) < 2:
        raise ModelFormatError(
            f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must be a matrix"
        )
    k = int(reader.single(operation, 1, "k", np.int64)) if operation.has(1) else 0
    reach = sum(x.shape[-2:])
    reader.copied(operation, x, x.shape)
    upper = bool(operation.only("upper", 1, 0, 1))
    reader.add(operation, floats.Trilu(upper, max(-reach, min(k, reach))))


@handles("DepthToSpace", "SpaceToDepth")
def _depth_to_space(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    block = operation.attributes.get("blocksize")
    if len(x.shape) != 4 or not isinstance(block, int) or not 1 <= block <= 1 << 16:
        raise ModelFormatError(
            f"{operation}: attribute blocksize is {block} for {list(x.shape)}, but must be 1 or "
            f"more, for 4 axes"
        )
    batch, channels, height, width = x.shape
    if operation.kind == "DepthToSpace":
        mode = operation.only("mode", "DCR", "DCR", "CRD")
        divides = channels % block**2 == 0
        shape = (batch, channels // block**2, height * block, width * block)
        operator: Any = floats.DepthToSpace(block, mode == "CRD")
    else:
        divides = height % block == 0 and width % block == 0
        shape = (batch, channels * block**2, height // block, width // block)
        operator = floats.SpaceToDepth(block)
    if not divides:
        raise ModelFormatError(
            f"{operation}: attribute blocksize is {block}, but must divide {list(x.shape)}"
        )
    reader.copied(operation, x, shape)
    reader.add(operation, operator)
