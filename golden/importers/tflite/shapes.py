# SPDX-License-Identifier: Apache-2.0
"""TFLite's operators that move whole tensors: reshape, transpose, pad, concatenate, split."""

from __future__ import annotations

import math

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.importers.tflite.checks import (
    NEARLY,
    axis_of,
    broadcast,
    check_lengths,
    same_scale,
    several,
)
from assay.golden.importers.tflite.file import ACTIVATION, MAX_RANK, Operation
from assay.golden.importers.tflite.reader import MAX_ELEMENTS, Reader, handles
from assay.golden.layers import shaping


@handles("EXPAND_DIMS", "RESHAPE", "SQUEEZE")
def _reshape(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    size = math.prod(x.shape)
    if operation.kind == "RESHAPE":
        shape = _new_shape(reader, operation, size)
    elif operation.kind == "SQUEEZE":
        axes = operation.options["SqueezeDims"]
        axes = [axis_of(operation, axis, len(x.shape)) for axis in axes] or range(len(x.shape))
        explicit = bool(operation.options["SqueezeDims"])
        for axis in axes if explicit else ():
            if x.shape[axis] != 1:
                raise ModelFormatError(f"{operation}: axis {axis} is {x.shape[axis]} long, but must be 1")
        shape = tuple(n for i, n in enumerate(x.shape) if n != 1 or i not in axes)
    else:
        (axis,) = reader.integers(operation, 1, "axis")[:1] or [0]
        axis = axis_of(operation, axis, len(x.shape) + 1)
        shape = (*x.shape[:axis], 1, *x.shape[axis:])
    reader.copied(operation, x, shape)
    reader.add(operation, shaping.Reshape(shape))


def _new_shape(reader: Reader, operation: Operation, size: int) -> tuple[int, ...]:
    """RESHAPE's target: its constant second input, else the output's shape in the file; one -1 is derived."""
    if operation.has(1) and not reader.is_computed(operation.inputs[1]):
        shape = reader.integers(operation, 1, "shape")
    else:
        shape = list(reader.stored[operation.outputs[0]].shape) if operation.outputs else []
    known = math.prod(n for n in shape if n != -1)
    derived = [size // known if n == -1 and known else n for n in shape]
    if shape.count(-1) > 1 or min(derived, default=1) < 1 or math.prod(derived) != size:
        raise ModelFormatError(f"{operation}: shape is {shape}, but must hold the input's {size} values")
    return tuple(derived)


@handles("TRANSPOSE")
def _transpose(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    permutation = reader.integers(operation, 1, "permutation")
    axes = [axis_of(operation, axis, max(1, len(x.shape))) for axis in permutation]
    if sorted(axes) != list(range(len(x.shape))):
        raise ModelFormatError(
            f"{operation}: permutation is {permutation}, but must hold each axis of {list(x.shape)} once"
        )
    reader.copied(operation, x, tuple(x.shape[axis] for axis in axes))
    reader.add(operation, shaping.Transpose(tuple(axes)))


def paddings_of(
    reader: Reader, operation: Operation, position: int, what: str, axes: int
) -> tuple[tuple[int, int], ...]:
    """How many values come before and after each of `axes` axes, from a constant input."""
    values = reader.integers(operation, position, what)
    if len(values) != 2 * axes or not all(0 <= n <= MAX_ELEMENTS for n in values):
        raise ModelFormatError(
            f"{operation}: {what} are {values}, but must be two of 0 to {MAX_ELEMENTS} for each of {axes} axes"
        )
    return tuple(zip(values[::2], values[1::2], strict=True))


@handles("PAD", "PADV2")
def _pad(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    pairs = paddings_of(reader, operation, 1, "paddings", len(x.shape))
    y = reader.copied(operation, x, tuple(n + sum(p) for n, p in zip(x.shape, pairs, strict=True)))
    same_scale(operation, x.quantisation, y.quantisation, NEARLY)
    fill = 0 if y.quantisation is None else int(y.quantisation.zero_point[0])
    if operation.kind == "PADV2":
        constant = reader.constant(operation, 2, "constant", x.dtype.type)
        if constant.size != 1:
            raise ModelFormatError(f"{operation}: constant has {constant.size} values, but must have 1")
        fill = constant.item()
    reader.add(operation, shaping.Pad(pairs, fill))


@handles("MIRROR_PAD")
def _mirror_pad(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    pairs = paddings_of(reader, operation, 1, "paddings", len(x.shape))
    mode = operation.options["Mode"]
    if mode not in (0, 1):
        raise ModelFormatError(f"{operation}: mode is {mode}, but must be 0 (REFLECT) or 1 (SYMMETRIC)")
    places = []
    for axis, (length, pair) in enumerate(zip(x.shape, pairs, strict=True)):
        if max(pair) > length - 1 + mode:
            raise ModelFormatError(
                f"{operation}: paddings of axis {axis} are {pair}, but at most {length - 1 + mode} values can be "
                f"mirrored"
            )
        if any(pair):
            check_lengths(operation, [length + sum(pair)])
            # The edge itself is repeated in mode SYMMETRIC alone.
            before, after = range(pair[0] - mode, -mode, -1), range(length - 2 + mode, -1, -1)
            places.append((axis, (*before, *range(length), *after[: pair[1]])))
    y = reader.copied(operation, x, tuple(n + sum(p) for n, p in zip(x.shape, pairs, strict=True)))
    same_scale(operation, x.quantisation, y.quantisation)
    reader.add(operation, shaping.Take(tuple(places)))


@handles("CONCATENATION")
def _concatenation(reader: Reader, operation: Operation) -> None:
    if operation.options[ACTIVATION] != "NONE":
        raise UnsupportedOperatorError(
            f"{operation}: fused activation is {operation.options[ACTIVATION]}, but must be NONE"
        )
    tensors = several(reader, operation)
    axis = axis_of(operation, operation.options["Axis"], len(tensors[0].shape))
    for tensor in tensors:
        rest = [t.shape[:axis] + t.shape[axis + 1 :] for t in (tensor, tensors[0])]
        if rest[0] != rest[1] or len(tensor.shape) != len(tensors[0].shape):
            raise ModelFormatError(
                f"{operation}: inputs have shapes {list(tensors[0].shape)} and {list(tensor.shape)}, "
                f"but must differ in axis {axis} alone"
            )
    shape = list(tensors[0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
    y = reader.copied(operation, tensors[0], tuple(shape))
    for tensor in tensors:
        same_scale(operation, tensor.quantisation, y.quantisation)
    reader.add(operation, shaping.Concatenate(axis), tuple(range(len(tensors))))


@handles("PACK")
def _pack(reader: Reader, operation: Operation) -> None:
    tensors = several(reader, operation)
    shape = tensors[0].shape
    if any(tensor.shape != shape for tensor in tensors):
        raise ModelFormatError(f"{operation}: inputs have unlike shapes, but must all be {list(shape)}")
    axis = axis_of(operation, operation.options["Axis"], len(shape) + 1)
    y = reader.copied(operation, tensors[0], (*shape[:axis], len(tensors), *shape[axis:]))
    for tensor in tensors:
        same_scale(operation, tensor.quantisation, y.quantisation)
    reader.add(operation, shaping.Stack(axis), tuple(range(len(tensors))))


@handles("UNPACK")
def _unpack(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    axis = axis_of(operation, operation.options["Axis"], len(x.shape))
    parts = operation.options["Num"]
    if not parts == x.shape[axis] == len(operation.outputs):
        raise ModelFormatError(
            f"{operation}: has {parts} parts and {len(operation.outputs)} outputs, "
            f"but axis {axis} has {x.shape[axis]} values"
        )
    for position in range(parts):
        y = reader.copied(operation, x, x.shape[:axis] + x.shape[axis + 1 :], position)
        same_scale(operation, x.quantisation, y.quantisation)
    reader.add(operation, shaping.Unstack(axis))


@handles("SPLIT", "SPLIT_V")
def _split(reader: Reader, operation: Operation) -> None:
    parts = operation.options["NumSplits"]
    by_sizes = operation.kind == "SPLIT_V"
    x = reader.input(operation, 0 if by_sizes else 1)
    axes = reader.integers(operation, 2 if by_sizes else 0, "axis")
    if len(axes) != 1 or len(operation.outputs) != parts or parts < 1:
        raise ModelFormatError(
            f"{operation}: has {len(axes)} axes, {parts} splits and {len(operation.outputs)} outputs, "
            f"but must have one axis and an output for each split"
        )
    axis = axis_of(operation, axes[0], len(x.shape))
    length = x.shape[axis]
    sizes = reader.integers(operation, 1, "sizes") if by_sizes else [length // parts] * parts
    if sizes.count(-1) == 1:
        sizes[sizes.index(-1)] = length - (sum(sizes) + 1)
    if len(sizes) != parts or min(sizes) < 1 or sum(sizes) != length:
        raise ModelFormatError(
            f"{operation}: {parts} splits of sizes {sizes} do not divide axis {axis} of {length} values"
        )
    for position, size in enumerate(sizes):
        reader.copied(operation, x, (*x.shape[:axis], size, *x.shape[axis + 1 :]), position)
    reader.add(operation, shaping.Split(axis, tuple(sizes)), (0,) if by_sizes else (1,))


@handles("TILE")
def _tile(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    repeats = reader.integers(operation, 1, "multiples")
    if len(repeats) != len(x.shape) or min(repeats, default=1) < 1:
        raise ModelFormatError(
            f"{operation}: multiples are {repeats}, but must be 1 or more for each axis of {list(x.shape)}"
        )
    reader.copied(operation, x, tuple(n * r for n, r in zip(x.shape, repeats, strict=True)))
    reader.add(operation, shaping.Tile(tuple(repeats)))


@handles("BROADCAST_TO", "FILL")
def _broadcast_to(reader: Reader, operation: Operation) -> None:
    """BROADCAST_TO and FILL, whose first input is the shape."""
    data, shape_from = (1, 0) if operation.kind == "FILL" else (0, 1)
    x = reader.input(operation, data)
    shape = reader.integers(operation, shape_from, "shape")
    if any(n < 1 for n in shape) or len(shape) > MAX_RANK or (operation.kind == "FILL" and x.shape):
        raise ModelFormatError(
            f"{operation}: shape is {shape} and the value's {list(x.shape)}, but must hold 1 to {MAX_RANK} lengths "
            f"of 1 or more, and FILL takes one value"
        )
    if broadcast(operation, x.shape, tuple(shape)) != tuple(shape):
        raise ModelFormatError(f"{operation}: shape {list(x.shape)} does not broadcast to {shape}")
    reader.copied(operation, x, tuple(shape))
    reader.add(operation, shaping.Broadcast(tuple(shape)), (data,))


@handles("SHAPE")
def _shape(reader: Reader, operation: Operation) -> None:
    """SHAPE: known before anything runs, so it becomes a constant and no node."""
    x = reader.input(operation, 0)
    y = reader.output(operation, (len(x.shape),))
    if y.dtype not in (np.int32, np.int64):
        raise ModelFormatError(f"{operation}: output {y.name!r} is {y.dtype}, but must be int32 or int64")
    reader.constants[operation.outputs[0]] = np.array(x.shape, y.dtype)
