# SPDX-License-Identifier: Apache-2.0
"""ONNX's float32 convolutions and matrix products: Conv, ConvTranspose, MatMul, Gemm."""

from __future__ import annotations

import math

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import MAX_ELEMENTS, Operation
from assay.golden.importers.onnx.reader import Reader, handles
from assay.golden.importers.onnx.windows import (
    bound_columns,
    check_vector,
    group_count,
    mapped_size,
    on_maps,
    spatial_size,
    window_of,
)
from assay.golden.layers import onnx as layers
from assay.golden.layers import onnx_float as floats


def product_shape(operation: Operation, a: Tensor, b: Tensor) -> tuple[int, ...]:
    fits = len(a.shape) >= 2 and len(b.shape) >= 2 and a.shape[-1] == b.shape[-2]
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2]) if fits else ()
    except ValueError:
        fits = False
    if not fits:
        raise ModelFormatError(
            f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, but must be [..., M, K] and "
            f"[..., K, N] whose leading axes broadcast"
        )
    return (*batch, a.shape[-2], b.shape[-1])


def gemm_shape(operation: Operation, a: Tensor, b: Tensor) -> tuple[int, int, int]:
    turned = [operation.only(name, 0, 0, 1) for name in ("transA", "transB")]
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise ModelFormatError(
            f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, but must have 2 axes each"
        )
    rows, depth = a.shape[::-1] if turned[0] else a.shape
    inner, columns = b.shape[::-1] if turned[1] else b.shape
    if depth != inner:
        raise ModelFormatError(
            f"{operation}: inputs have shapes {list(a.shape)} and {list(b.shape)}, whose inner axes {depth} and "
            f"{inner} must be equal"
        )
    return rows, depth, columns


def check_addend(operation: Operation, c: tuple[int, ...], shape: tuple[int, int]) -> None:
    if len(c) > 2 or any(n not in (1, m) for n, m in zip(c[::-1], shape[::-1], strict=False)):
        raise ModelFormatError(f"{operation}: C has shape {list(c)}, but must broadcast to {list(shape)}")


@handles("Conv")
def _conv(reader: Reader, operation: Operation) -> None:
    x, weight = (reader.input(operation, i, np.float32) for i in (0, 1))
    reader.fixed_weights(operation, weight)
    groups = group_count(operation, x, weight) if spatial_size(operation, x) else 1
    window = window_of(operation, x.shape[2:], weight.shape[2:])
    data = (0, 1)
    if operation.has(2):
        bias = reader.input(operation, 2, np.float32)
        if bias.shape != weight.shape[:1]:
            raise ModelFormatError(
                f"{operation}: bias has shape {list(bias.shape)}, but must have {list(weight.shape[:1])}"
            )
        data = (0, 1, 2)
    y = reader.output(operation, (x.shape[0], weight.shape[0], *mapped_size(window, x.shape[2:])))
    bound_columns(operation, x, math.prod(window.kernel), y)
    macs = math.prod(y.shape) * math.prod(weight.shape[1:])
    reader.add(operation, on_maps(layers.Conv(window, groups), x), data, macs)


@handles("ConvTranspose")
def _conv_transpose(reader: Reader, operation: Operation) -> None:
    x, weight = (reader.input(operation, i, np.float32) for i in (0, 1))
    size = spatial_size(operation, x)
    groups = operation.attributes.get("group", 1)
    if not isinstance(groups, int) or not 1 <= groups <= x.shape[1]:
        raise ModelFormatError(f"{operation}: attribute group is {groups}, but must be 1 to {x.shape[1]}")
    if len(weight.shape) != len(x.shape) or weight.shape[0] != x.shape[1] or x.shape[1] % groups:
        raise ModelFormatError(
            f"{operation}: weights have shape {list(weight.shape)} for input {list(x.shape)} and group {groups}, "
            f"but must have {x.shape[1]} input channels"
        )
    reader.fixed_weights(operation, weight)
    rank = len(size)
    window = window_of(operation, size, weight.shape[2:])
    extra = operation.attributes.get("output_padding", [0] * rank)
    if not isinstance(extra, list) or len(extra) != rank or not all(0 <= n <= 1 << 16 for n in extra):
        raise ModelFormatError(
            f"{operation}: attribute output_padding is {extra}, but must be {rank} numbers of 0 to {1 << 16}"
        )
    if "output_shape" in operation.attributes or operation.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise UnsupportedOperatorError(
            f"{operation}: output_shape and auto_pad are not supported, but pads are"
        )
    rows, extra = (1, *size) if rank == 1 else size, [0, *extra] if rank == 1 else extra
    out = tuple(
        (n - 1) * s + e - before - after + more
        for n, s, e, before, after, more in zip(
            rows, window.stride, window.extent, window.padding[:2], window.padding[2:], extra, strict=True
        )
    )
    if min(out) < 1:
        raise ModelFormatError(f"{operation}: the output would be {list(out)}, but must be 1 or more")
    outputs = weight.shape[1] * groups
    reader.output(operation, (x.shape[0], outputs, *out[2 - rank :]))
    columns = outputs * math.prod(window.kernel) * math.prod(size)
    if columns > MAX_ELEMENTS:
        raise ModelFormatError(
            f"{operation}: {columns} products of inputs and weights, but at most {MAX_ELEMENTS} are allowed"
        )
    data = (0, 1)
    if operation.has(2):
        check_vector(reader, operation, 2, "bias", outputs)
        data = (0, 1, 2)
    transposed = reader.packed(weight) and weight.shape[1] * math.prod(window.kernel) > 1
    operator = floats.ConvTranspose(
        window, groups, out, layers.float_product if transposed else layers.product_of_transposed
    )
    reader.add(operation, on_maps(operator, x), data, columns * x.shape[1] // groups)


@handles("MatMul")
def _matmul(reader: Reader, operation: Operation) -> None:
    a, b = (reader.input(operation, i, np.float32) for i in (0, 1))
    y = reader.output(operation, product_shape(operation, a, b))
    packed = len(b.shape) == 2 and reader.packed(b)
    reader.add(operation, layers.MatMul(packed), (0, 1), math.prod(y.shape) * a.shape[-1])


@handles("Gemm")
def _gemm(reader: Reader, operation: Operation) -> None:
    a, b = (reader.input(operation, i, np.float32) for i in (0, 1))
    operation.only("transA", 0, 0)
    for name in ("alpha", "beta"):
        operation.only(name, 1.0, 1.0)
    rows, depth, columns = gemm_shape(operation, a, b)
    data = (0, 1)
    if operation.has(2):
        check_addend(operation, reader.input(operation, 2, np.float32).shape, (rows, columns))
        data = (0, 1, 2)
    reader.output(operation, (rows, columns))
    operator = layers.Gemm(bool(operation.attributes.get("transB", 0)), reader.packed(b))
    reader.add(operation, operator, data, rows * depth * columns)
