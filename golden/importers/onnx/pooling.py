# SPDX-License-Identifier: Apache-2.0
"""ONNX's pooling, of floats and of integers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import EIGHT_BITS, Operation
from assay.golden.importers.onnx.reader import MICROSOFT, Reader, handles
from assay.golden.importers.onnx.windows import channelled, mapped_size, on_maps, spatial_size, window_of
from assay.golden.layers import onnx as layers
from assay.golden.layers import onnx_float as floats
from assay.golden.layers.linear import Window

MAX_TAPS = 1 << 16  # places of a pooling window


def _pooled(
    reader: Reader, operation: Operation, x: Tensor
) -> tuple[Window, tuple[int, ...], tuple[int, int]]:
    """The window, the shape of the result, and how many rows and columns of the padding ceil_mode adds."""
    size = spatial_size(operation, x)
    ceil = operation.only("ceil_mode", 0, 0, 1)
    operation.only("storage_order", 0, 0)
    window = window_of(operation, size, None)
    if math.prod(window.kernel) > MAX_TAPS:
        raise ModelFormatError(
            f"{operation}: attribute kernel_shape is {list(window.kernel)}, but must hold at most {MAX_TAPS} places"
        )
    for axis in (0, 1):
        if max(window.padding[axis], window.padding[axis + 2]) >= window.kernel[axis]:
            raise ModelFormatError(
                f"{operation}: attribute pads is {list(window.padding)}, but must be below the kernel "
                f"{list(window.kernel)}"
            )
    beyond = (0, 0)
    if ceil and operation.attributes.get("auto_pad", "NOTSET") == "NOTSET":
        window, beyond = _rounded_up(window, (1, *size) if len(size) == 1 else size)
    return window, (*x.shape[:2], *mapped_size(window, size)), beyond


def _blocked(reader: Reader, x: Tensor) -> bool:
    """Whether pooling takes vectors of channels.

    In a session of its own, which optimises, a node of pooling is moved to the layout NCHWc if the channels fill
    blocks: of 16 with AVX512, which is assumed here, of 8 without it. Source: core/optimizer/nchwc_transformer.cc.
    """
    return reader.node_by_node and len(x.shape) == 4 and x.shape[1] % 16 == 0


def _pool_order(reader: Reader, x: Tensor, window: Window) -> str:
    """How MLAS takes a window: see `golden.layers.onnx.MaxPool`."""
    if _blocked(reader, x):
        return "rows"
    if window.dilation != (1, 1):
        return "scalars"
    size = x.shape[2:] if len(x.shape) == 4 else (1, *x.shape[2:])
    if window.kernel == size and window.stride == (1, 1) and not any(window.padding):
        return "map"
    # The vector kernel's limits: mlas/lib/pooling.cpp, `MlasPool`; its buffer holds 2048 - 64 columns.
    width = x.shape[-1] + window.padding[1] + window.padding[3]
    vectors = window.stride[1] <= 2 and max(window.kernel) <= 32 and width <= 1984
    return "columns" if len(x.shape) == 4 and vectors else "scalars"


@handles("MaxPool")
def _max_pool(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32, *EIGHT_BITS)
    window, shape, _ = _pooled(reader, operation, x)
    reader.copied(operation, x, shape)
    reader.add(operation, on_maps(layers.MaxPool(window, _pool_order(reader, x, window)), x))


@handles("AveragePool")
def _average_pool(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    window, shape, beyond = _pooled(reader, operation, x)
    operation.only("dilations", [1] * len(x.shape[2:]), [1] * len(x.shape[2:]))
    include = bool(operation.only("count_include_pad", 0, 0, 1))
    reader.output(operation, shape)
    # Where padding counts and windows may be partial, older opsets are computed as opset 19 is.
    older = reader.opset < 19 and not (include and operation.attributes.get("ceil_mode"))
    order = _pool_order(reader, x, window) if older else "scalars"
    if order == "map":
        operator: Any = layers.GlobalAveragePool()
    else:
        operator = on_maps(layers.AveragePool(window, include, order == "columns", beyond), x)
    reader.add(operation, operator)


@handles("QLinearAveragePool", domains=(MICROSOFT,))
def _qlinear_average_pool(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, *EIGHT_BITS)
    operation.only("channels_last", 0, 0)
    window, shape, beyond = _pooled(reader, operation, x)
    include = bool(operation.only("count_include_pad", 0, 0, 1))
    source, target = reader.affine(operation, 1, 2, x.dtype), reader.affine(operation, 3, 4, x.dtype)
    reader.output(operation, shape, x.dtype, target)
    reader.add(operation, on_maps(layers.QLinearAveragePool(window, include, source, target, beyond), x))


@handles("GlobalAveragePool")
def _global_average_pool(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    reader.output(operation, (*x.shape[:2], *(1 for _ in spatial_size(operation, x))))
    operator: Any = layers.GlobalAveragePool()
    if _blocked(reader, x):
        operator = layers.AveragePool(Window(x.shape[2:]), include_pad=False, by_columns=False)
    reader.add(operation, operator)


@handles("QLinearGlobalAveragePool", domains=(MICROSOFT,))
def _qlinear_global_average_pool(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, *EIGHT_BITS)
    operation.only("channels_last", 0, 0)
    source, target = reader.affine(operation, 1, 2, x.dtype), reader.affine(operation, 3, 4, x.dtype)
    reader.output(operation, (*x.shape[:2], *(1 for _ in spatial_size(operation, x))), x.dtype, target)
    reader.add(operation, layers.QLinearGlobalAveragePool(source, target))


@handles("GlobalMaxPool")
def _global_max_pool(reader: Reader, operation: Operation) -> None:
    x = channelled(reader, operation)
    axes = tuple(range(2, len(x.shape)))
    reader.output(operation, (*x.shape[:2], *(1 for _ in axes)))
    reader.add(operation, floats.Reduce("ReduceMax", axes, True))


def _rounded_up(window: Window, size: tuple[int, int]) -> tuple[Window, tuple[int, int]]:
    """The window with so much more padding at the ends that a last, partial window counts (ceil_mode), and how much.

    A window that would begin in the padding at the end is left out.
    Source: `PoolAttributes::ComputeSizePadDilations`, providers/cpu/nn/pool_attributes.h.
    """
    pads, beyond = list(window.padding), []
    for axis in (0, 1):
        stride, extent = window.stride[axis], window.extent[axis]
        padded = size[axis] + pads[axis] + pads[axis + 2]
        count = -(-(padded - extent) // stride) + 1
        if (count - 1) * stride >= size[axis] + pads[axis]:
            count -= 1
        beyond.append(max(0, (count - 1) * stride + extent - padded))
        pads[axis + 2] += beyond[-1]
    return replace(window, padding=tuple(pads)), (beyond[0], beyond[1])
