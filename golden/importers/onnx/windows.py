# SPDX-License-Identifier: Apache-2.0
"""Kernels, strides, dilations and pads of ONNX's operators on maps, and the sizes that follow from them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import MAX_ELEMENTS, Operation
from assay.golden.importers.onnx.reader import Reader
from assay.golden.layers import onnx as layers
from assay.golden.layers.linear import Window


def window_of(operation: Operation, size: tuple[int, ...], kernel: tuple[int, ...] | None) -> Window:
    """Kernel, strides, dilations and pads of one or two spatial axes; one axis is that of columns."""
    rank = len(size)
    if rank not in (1, 2):
        raise UnsupportedOperatorError(
            f"{operation}: the input has {rank} spatial axes, but must have 1 or 2"
        )
    ones = [1] * rank
    given = operation.attributes.get("kernel_shape", list(kernel) if kernel else None)
    if kernel is not None and given != list(kernel):
        raise ModelFormatError(
            f"{operation}: attribute kernel_shape is {given}, but the weights have {list(kernel)}"
        )
    values = {
        "kernel_shape": given,
        "strides": operation.attributes.get("strides", ones),
        "dilations": operation.attributes.get("dilations", ones),
    }
    for name, value in values.items():
        if not isinstance(value, list) or len(value) != rank or not all(1 <= v <= 1 << 16 for v in value):
            raise ModelFormatError(
                f"{operation}: attribute {name} is {value}, but must be {rank} numbers of 1 to {1 << 16}"
            )
    pads = operation.attributes.get("pads", [0] * 2 * rank)
    if not isinstance(pads, list) or len(pads) != 2 * rank or not all(0 <= v <= 1 << 16 for v in pads):
        raise ModelFormatError(
            f"{operation}: attribute pads is {pads}, but must be {2 * rank} numbers of 0 to {1 << 16}"
        )
    auto = operation.attributes.get("auto_pad", "NOTSET")
    operation.only("auto_pad", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    if auto != "NOTSET":
        pads = [0] * 2 * rank
    if auto.startswith("SAME"):
        for axis in range(rank):
            along = (values[name][axis] for name in ("kernel_shape", "strides", "dilations"))
            less, more = Window.same_padding(size[axis], *along)
            pads[axis], pads[rank + axis] = (less, more) if auto == "SAME_UPPER" else (more, less)
    pairs = [tuple(values[name]) for name in ("kernel_shape", "strides", "dilations")]
    if rank == 1:
        pairs = [(1, *pair) for pair in pairs]
        pads = [0, pads[0], 0, pads[1]]
    window = Window(*pairs, tuple(pads))
    if (size[0] if rank == 2 else 1) + pads[0] + pads[2] > MAX_ELEMENTS // (size[-1] + pads[1] + pads[3]):
        raise ModelFormatError(f"{operation}: the padded map of {list(size)} with pads {pads} is too large")
    return window


def spatial_size(operation: Operation, x: Tensor) -> tuple[int, ...]:
    if len(x.shape) not in (3, 4):
        raise UnsupportedOperatorError(
            f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must have 3 or 4 axes"
        )
    return x.shape[2:]


def group_count(operation: Operation, x: Tensor, weight: Tensor) -> int:
    groups = operation.attributes.get("group", 1)
    if not isinstance(groups, int) or not 1 <= groups <= x.shape[1]:
        raise ModelFormatError(f"{operation}: attribute group is {groups}, but must be 1 to {x.shape[1]}")
    if (
        len(weight.shape) != len(x.shape)
        or weight.shape[0] % groups
        or weight.shape[1] * groups != x.shape[1]
    ):
        raise ModelFormatError(
            f"{operation}: weights have shape {list(weight.shape)} for input {list(x.shape)} and group {groups}, "
            f"but must hold a multiple of {groups} outputs and 1/{groups} of {x.shape[1]} input channels"
        )
    return groups


def mapped_size(window: Window, size: tuple[int, ...]) -> tuple[int, ...]:
    out = window.output_size((1, *size) if len(size) == 1 else size)
    return out[1:] if len(size) == 1 else out


def on_maps(operator: Callable[..., Any], x: Tensor) -> Callable[..., Any]:
    """`operator` on maps, for an input with one spatial axis, too."""
    return operator if len(x.shape) == 4 else layers.OneAxis(operator)


def bound_columns(operation: Operation, x: Tensor, taps: int, y: Tensor) -> None:
    columns = x.shape[1] * taps * math.prod(y.shape[2:])
    if columns > MAX_ELEMENTS:
        raise ModelFormatError(
            f"{operation}: windows of {taps} places in {x.shape[1]} channels at {math.prod(y.shape[2:])} places "
            f"are {columns} values, but at most {MAX_ELEMENTS} are allowed"
        )


def channelled(reader: Reader, operation: Operation) -> Tensor:
    x = reader.input(operation, 0, np.float32)
    if len(x.shape) < 2:
        raise ModelFormatError(
            f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must be [B, C, ...]"
        )
    return x


def check_vector(reader: Reader, operation: Operation, position: int, what: str, length: int) -> None:
    shape = reader.input(operation, position, np.float32).shape
    if shape != (length,):
        raise ModelFormatError(f"{operation}: {what} has shape {list(shape)}, but must have [{length}]")
