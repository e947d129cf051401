# SPDX-License-Identifier: Apache-2.0
"""What handlers of several families check: ranks, axes, broadcasting, scales that must be one, fused activations."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.tflite.file import ACTIVATION, Operation
from assay.golden.importers.tflite.reader import Reader
from assay.golden.schemes.tflite import (
    ACTIVATIONS,
    Affine,
    activation_range,
)

# How far a converter's rounding may put two scales apart that are meant to be one, where values are only moved
# (pooling, padding): the tolerance that TFLite's own kernels have had.
NEARLY = 1e-6

MAX_AXIS = (
    1 << 20
)  # of an axis whose places are listed; those of a resized map, times 1024, must stay within 32 bits


def check_lengths(operation: Operation, lengths: Iterable[int]) -> None:
    """Reject axes too long to list their places."""
    if max(lengths, default=0) > MAX_AXIS:
        raise ModelFormatError(
            f"{operation}: axes are {list(lengths)} long, but at most {MAX_AXIS} is allowed"
        )


def broadcast(operation: Operation, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ModelFormatError(
            f"{operation}: shapes {' and '.join(str(list(s)) for s in shapes)} differ, "
            f"but must be equal or 1 in each axis"
        ) from None


def check_rank(operation: Operation, tensor: Tensor, *ranks: int) -> None:
    if len(tensor.shape) not in ranks:
        raise ModelFormatError(
            f"{operation}: tensor {tensor.name!r} has shape {list(tensor.shape)}, "
            f"but must have {' or '.join(map(str, ranks))} axes"
        )


def axis_of(operation: Operation, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ModelFormatError(f"{operation}: axis is {axis}, but must be {-rank} to {rank - 1}")
    return axis % rank


def axes_of(reader: Reader, operation: Operation, position: int, rank: int) -> tuple[int, ...]:
    """Axes from a constant input: not negative, in ascending order, each once."""
    axes = reader.integers(operation, position, "axes")
    for axis in axes:
        axis_of(operation, axis, rank)
    return tuple(sorted({axis % rank for axis in axes}))


def same_scale(
    operation: Operation, source: Affine | None, target: Affine | None, tolerance: float = 0
) -> None:
    """Refuse an output whose integers would mean something else than the input's they are made of."""
    if source is None or target is None:
        same = source is target
    else:
        same = np.array_equal(source.zero_point, target.zero_point) and np.allclose(
            source.scale, target.scale, rtol=0, atol=tolerance
        )
    if not same:
        raise UnsupportedOperatorError(
            f"{operation}: output is {target}, but must have the input's scale and zero point, {source}"
        )


def several(reader: Reader, operation: Operation) -> list[Tensor]:
    tensors = [reader.input(operation, position) for position in range(len(operation.inputs))]
    if not tensors:
        raise ModelFormatError(f"{operation} has 0 inputs, but must have 1 or more")
    for tensor in tensors:
        if tensor.dtype != tensors[0].dtype:
            raise ModelFormatError(
                f"{operation}: inputs are {tensors[0].dtype} and {tensor.dtype}, but must be of one dtype"
            )
    return tensors


def fused_activation(operation: Operation, target: Affine) -> str:
    activation = operation.options[ACTIVATION]
    if activation not in ACTIVATIONS:
        raise UnsupportedOperatorError(
            f"{operation}: fused activation is {activation}, but must be one of {', '.join(ACTIVATIONS)}"
        )
    activation_range(activation, target)
    return activation
