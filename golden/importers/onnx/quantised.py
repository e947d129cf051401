# SPDX-License-Identifier: Apache-2.0
"""Quantisers and integer operators: QuantizeLinear and its inverse, QLinear*, MatMulInteger, ConvInteger."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.elementwise import broadcast
from assay.golden.importers.onnx.file import EIGHT_BITS, QUANTISED, Operation, element_type
from assay.golden.importers.onnx.products import check_addend, gemm_shape, product_shape
from assay.golden.importers.onnx.reader import MICROSOFT, Reader, handles
from assay.golden.importers.onnx.shapes import concatenated
from assay.golden.importers.onnx.windows import (
    bound_columns,
    group_count,
    mapped_size,
    on_maps,
    spatial_size,
    window_of,
)
from assay.golden.layers import onnx as layers
from assay.golden.layers import onnx_float as floats
from assay.golden.layers.linear import Convolution
from assay.golden.schemes import onnx as scheme
from assay.golden.schemes.affine import Affine


@handles("QuantizeLinear", domains=("", MICROSOFT))
def _quantize(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    operation.only("block_size", 0, 0)
    operation.only("precision", 0, 0, 1)
    dtype, bits = np.dtype(np.uint8), None
    if operation.attributes.get("output_dtype"):
        _, dtype, bits = element_type(
            operation.attributes["output_dtype"], f"{operation}: attribute output_dtype"
        )
    if operation.has(2):
        zero = reader.input(operation, 2)
        dtype, bits = zero.dtype, zero.quantisation.bits if zero.quantisation else None
    if dtype not in QUANTISED:
        raise UnsupportedOperatorError(
            f"{operation}: the output is {dtype}, but must be of 4, 8 or 16 bits, signed or not"
        )
    affine = _axis_affine(reader, operation, x, dtype, bits)
    reader.output(operation, x.shape, dtype, affine)
    reader.add(operation, layers.Quantize(affine))


def _axis_affine(
    reader: Reader, operation: Operation, x: Tensor, dtype: np.dtype, bits: int | None
) -> Affine:
    scale = reader.constant(operation, 1, "scale", np.float32)
    if scale.size == 1:
        return reader.affine(operation, 1, 2, dtype, bits=bits)
    axis = operation.axis(operation.attributes.get("axis", 1), len(x.shape))
    return reader.affine(operation, 1, 2, dtype, x.shape, axis, bits)


@handles("DequantizeLinear", domains=("", MICROSOFT))
def _dequantize(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, *QUANTISED, np.int32)
    operation.only("block_size", 0, 0)
    operation.only("output_dtype", 0, 0, 1)
    affine = _axis_affine(reader, operation, x, x.dtype, x.quantisation.bits if x.quantisation else None)
    if x.dtype == np.int32 and affine.zero_point.any():
        raise ModelFormatError(
            f"{operation}: zero point is {affine.zero_point[affine.zero_point != 0][0]}, but int32 allows 0 alone"
        )
    reader.output(operation, x.shape)
    reader.add(operation, layers.Dequantize(affine))


@handles("DynamicQuantizeLinear")
def _dynamic_quantize(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    reader.output(operation, x.shape, np.uint8)
    reader.output(operation, (), np.float32, position=1)
    reader.output(operation, (), np.uint8, position=2)
    reader.add(operation, floats.DynamicQuantizeLinear())


@handles("QLinearConv", domains=("", MICROSOFT))
def _qlinear_conv(reader: Reader, operation: Operation) -> None:
    x, weight = (reader.input(operation, i, *EIGHT_BITS) for i in (0, 3))
    operation.only("channels_last", 0, 0)
    size = spatial_size(operation, x)
    groups = group_count(operation, x, weight)
    window = window_of(operation, size, weight.shape[2:])
    source = reader.affine(operation, 1, 2, x.dtype)
    weights = reader.affine(operation, 4, 5, weight.dtype, weight.shape, 0)
    target = reader.affine(operation, 6, 7, x.dtype)
    values = _centred(reader.constant(operation, 3, "weight", *EIGHT_BITS), weights.zero_point)
    bias = np.zeros(len(values), np.int64)
    if operation.has(8):
        bias = reader.constant(operation, 8, "bias", np.int32).astype(np.int64)
        if bias.shape != (len(values),):
            raise ModelFormatError(
                f"{operation}: bias has shape {list(bias.shape)}, but must have [{len(values)}]"
            )
    values = values if values.ndim == 4 else values[:, :, None]
    convolution = Convolution(
        values.transpose(0, 2, 3, 1), bias, window, int(source.zero_point[0]), groups, magnitude=255
    )
    y = reader.output(operation, (x.shape[0], len(values), *mapped_size(window, size)), x.dtype, target)
    bound_columns(operation, x, math.prod(window.kernel), y)
    operator = layers.QLinearConv(convolution, (source, weights), target)
    reader.add(operation, on_maps(operator, x), (0,), math.prod(y.shape) * values[0].size)


def _centred(weight: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """Weights of 8 bits less a zero point for all or each of the first axis; as they are where that is 0."""
    if not zero_point.any():
        return weight
    return weight.astype(np.int16) - zero_point.astype(np.int16).reshape(-1, *(1,) * (weight.ndim - 1))


@handles("QLinearMatMul")
def _qlinear_matmul(reader: Reader, operation: Operation) -> None:
    a, b = (reader.input(operation, i, *EIGHT_BITS) for i in (0, 3))
    shape = product_shape(operation, a, b)
    source = reader.affine(operation, 1, 2, a.dtype)
    weights = reader.affine(operation, 4, 5, b.dtype, b.shape, len(b.shape) - 1)
    target = reader.affine(operation, 6, 7, a.dtype)
    y = reader.output(operation, shape, a.dtype, target)
    operator = layers.QLinearMatMul(
        (source, weights), layers.requantization_factor(source, weights, target), target
    )
    reader.add(operation, operator, (0, 3), math.prod(y.shape) * a.shape[-1])


@handles("QGemm", domains=(MICROSOFT,))
def _qgemm(reader: Reader, operation: Operation) -> None:
    a, b = (reader.input(operation, i, *EIGHT_BITS) for i in (0, 3))
    rows, depth, columns = gemm_shape(operation, a, b)
    turned = tuple(bool(operation.attributes.get(name, 0)) for name in ("transA", "transB"))
    source = reader.affine(operation, 1, 2, a.dtype)
    weights = reader.affine(operation, 4, 5, b.dtype, b.shape, 0 if turned[1] else 1)
    bias = None
    if operation.has(6):
        bias = reader.constant(operation, 6, "C", np.int32).astype(np.int64)
        check_addend(operation, bias.shape, (rows, columns))
    factor = np.float32(operation.number("alpha", 1.0)) * source.scale * weights.scale
    target = None
    if operation.has(7):
        target = reader.affine(operation, 7, 8, a.dtype)
        factor = factor / target.scale
    if not np.isfinite(factor).all():
        raise ModelFormatError(f"{operation}: the factor of the sums is {factor.max()}, but must be finite")
    reader.output(operation, (rows, columns), np.float32 if target is None else a.dtype, target)
    operator = layers.QLinearMatMul((source, weights), factor, target, bias, turned)
    reader.add(operation, operator, (0, 3), rows * depth * columns)


@handles("MatMulInteger")
def _matmul_integer(reader: Reader, operation: Operation) -> None:
    a, b = (reader.input(operation, i, *EIGHT_BITS) for i in (0, 1))
    shape = product_shape(operation, a, b)
    data, given = [0, 1], []
    for position, tensor, length in ((2, a, a.shape[-2]), (3, b, b.shape[-1])):
        given.append(operation.has(position))
        if given[-1]:
            point = reader.input(operation, position, tensor.dtype.type)
            if point.shape not in ((), (1,), (length,)):
                raise UnsupportedOperatorError(
                    f"{operation}: zero point {point.name!r} has shape {list(point.shape)}, but must hold 1 or "
                    f"{length} value(s)"
                )
            data.append(position)
    y = reader.output(operation, shape, np.int32)
    macs = math.prod(y.shape) * a.shape[-1]
    reader.add(operation, floats.MatMulInteger(tuple(given)), tuple(data), macs)


@handles("ConvInteger")
def _conv_integer(reader: Reader, operation: Operation) -> None:
    x, weight = (reader.input(operation, i, *EIGHT_BITS) for i in (0, 1))
    size = spatial_size(operation, x)
    groups = group_count(operation, x, weight)
    window = window_of(operation, size, weight.shape[2:])
    values = reader.constant(operation, 1, "weight", *EIGHT_BITS)
    if operation.has(3):
        zeros = reader.constant(operation, 3, "weight zero point", weight.dtype.type)
        if zeros.shape not in ((), (1,), (len(values),)):
            raise UnsupportedOperatorError(
                f"{operation}: weight zero point has shape {list(zeros.shape)}, but must hold 1 or {len(values)} "
                f"value(s)"
            )
        values = _centred(values, zeros)
    given = operation.has(2)
    if given and reader.input(operation, 2, x.dtype.type).shape not in ((), (1,)):
        raise UnsupportedOperatorError(f"{operation}: zero point of x has several values, but must have 1")
    values = values if values.ndim == 4 else values[:, :, None]
    bias = np.zeros(len(values), np.int64)
    convolution = Convolution(values.transpose(0, 2, 3, 1), bias, window, 0, groups, magnitude=255)
    y = reader.output(operation, (x.shape[0], len(values), *mapped_size(window, size)), np.int32)
    bound_columns(operation, x, math.prod(window.kernel), y)
    operator = on_maps(floats.ConvInteger(convolution, given), x)
    reader.add(operation, operator, (0, 2) if given else (0,), math.prod(y.shape) * values[0].size)


@handles("QLinearAdd", "QLinearMul", domains=(MICROSOFT,))
def _qlinear_binary(reader: Reader, operation: Operation) -> None:
    a = reader.input(operation, 0, *EIGHT_BITS)
    b = reader.input(operation, 3, a.dtype.type)
    sources = reader.affine(operation, 1, 2, a.dtype), reader.affine(operation, 4, 5, a.dtype)
    target = reader.affine(operation, 6, 7, a.dtype)
    reader.output(operation, broadcast(operation, a, b), a.dtype, target)
    kind = layers.QLinearAdd if operation.kind == "QLinearAdd" else layers.QLinearMul
    reader.add(operation, kind(sources, target), (0, 3))


@handles("QLinearLeakyRelu", "QLinearSigmoid", domains=(MICROSOFT,))
def _table(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, *EIGHT_BITS)
    source, target = reader.affine(operation, 1, 2, x.dtype), reader.affine(operation, 3, 4, x.dtype)
    if operation.kind == "QLinearSigmoid":
        function: Callable[[np.ndarray], np.ndarray] = scheme.logistic
    else:
        function = layers.LeakyRelu(operation.number("alpha", 0.01))
    reader.output(operation, x.shape, x.dtype, target)
    reader.add(operation, layers.Table(scheme.table(function, source, target)))


@handles("QLinearSoftmax", domains=(MICROSOFT,))
def _qlinear_softmax(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, *EIGHT_BITS)
    source, target = reader.affine(operation, 1, 2, x.dtype), reader.affine(operation, 3, 4, x.dtype)
    opset = operation.attributes.get("opset")
    if not isinstance(opset, int):
        raise ModelFormatError(f"{operation}: attribute opset is {opset}, but must be an integer")
    rank = len(x.shape)
    axis = operation.axis(operation.attributes.get("axis", -1 if opset >= 13 else 1), rank)
    if opset < 13 and axis != rank - 1:
        raise UnsupportedOperatorError(
            f"{operation}: attribute axis is {axis} at opset {opset}, but must be the last, {rank - 1}"
        )
    reader.output(operation, x.shape, x.dtype, target)
    exponentials = scheme.softmax_table(source.scale[0], x.shape[axis])
    reader.add(operation, layers.QLinearSoftmax(axis, exponentials, target))


@handles("QLinearConcat", domains=(MICROSOFT,))
def _qlinear_concat(reader: Reader, operation: Operation) -> None:
    positions = tuple(range(2, len(operation.inputs), 3))
    if not positions or len(operation.inputs) % 3 != 2:
        raise ModelFormatError(
            f"{operation} has {len(operation.inputs)} inputs, but must have 2 and three for each tensor"
        )
    tensors = [reader.input(operation, i, *EIGHT_BITS) for i in positions]
    axis, shape = concatenated(operation, tensors)
    target = reader.affine(operation, 0, 1, tensors[0].dtype)
    sources = tuple(
        reader.affine(operation, position + 1, position + 2, tensor.dtype)
        for position, tensor in zip(positions, tensors, strict=True)
    )
    reader.output(operation, shape, target.dtype, target)
    reader.add(operation, layers.QLinearConcat(axis, sources, target), positions)


@handles("QLinearWhere", domains=(MICROSOFT,))
def _qlinear_where(reader: Reader, operation: Operation) -> None:
    condition = reader.input(operation, 0, np.bool_)
    a = reader.input(operation, 1, *EIGHT_BITS)
    b = reader.input(operation, 4, a.dtype.type)
    target = reader.affine(operation, 7, 8, a.dtype)
    tables = [
        scheme.table(lambda x: x, reader.affine(operation, i + 1, i + 2, a.dtype), target) for i in (1, 4)
    ]
    reader.output(operation, broadcast(operation, condition, a, b), a.dtype, target)
    reader.add(operation, layers.QLinearWhere(tuple(tables)), (0, 1, 4))
