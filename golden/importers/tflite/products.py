# SPDX-License-Identifier: Apache-2.0
"""TFLite's convolutions and matrix products."""

from __future__ import annotations

import math

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.tflite.checks import broadcast, check_rank, fused_activation
from assay.golden.importers.tflite.file import Operation
from assay.golden.importers.tflite.reader import MAX_ELEMENTS, Reader, handles
from assay.golden.layers import tflite as layers
from assay.golden.layers.linear import Convolution, TransposedConvolution, Window
from assay.golden.schemes.tflite import (
    Affine,
    FloatRescale,
    Rescale,
)

MAX_KERNEL = 1 << 16  # places of a convolution's or pooling's window


def window_of(operation: Operation, x: Tensor, kernel: tuple[int, int]) -> Window:
    """Where an operator with padding SAME or VALID reads in `x`; the padded map's size is bounded."""
    options, size, outer = operation.options, x.shape[1:3], x.shape[0] * x.shape[3]
    stride = options["StrideH"], options["StrideW"]
    dilation = options.get("DilationHFactor", 1), options.get("DilationWFactor", 1)
    for name, values in (("stride", stride), ("dilation", dilation), ("kernel", kernel)):
        if min(values) < 1 or max(values) > 1 << 16:
            raise ModelFormatError(f"{operation}: {name} is {values}, but must be 1 to {1 << 16}")
    if options["Padding"] not in ("SAME", "VALID"):
        raise ModelFormatError(f"{operation}: padding is {options['Padding']}, but must be SAME or VALID")
    padding = (0, 0, 0, 0)
    if options["Padding"] == "SAME":
        (top, bottom), (left, right) = map(Window.same_padding, size, kernel, stride, dilation)
        padding = top, left, bottom, right
    window = Window(kernel, stride, dilation, padding)
    padded = (size[0] + padding[0] + padding[2]) * (size[1] + padding[1] + padding[3])
    if padded * outer > MAX_ELEMENTS or math.prod(kernel) > MAX_KERNEL:
        raise ModelFormatError(
            f"{operation}: kernel {kernel} with dilation {dilation} has {math.prod(kernel)} places and "
            f"pads the map to {padded * outer} values, but at most {MAX_KERNEL} and {MAX_ELEMENTS} are allowed"
        )
    return window


def _weights(reader: Reader, operation: Operation, rank: int, axis: int) -> tuple[np.ndarray, Affine, int]:
    """Weights less their zero point, their quantisation and the length of the output axis."""
    values = reader.constant(operation, 1, "weights", np.int8)
    tensor = reader.input(operation, 1)
    check_rank(operation, tensor, rank)
    if tensor.quantisation is None:
        raise ModelFormatError(f"{operation}: weights {tensor.name!r} have 0 scales, but must have 1 or more")
    quantisation = tensor.quantisation
    if quantisation.per_axis and quantisation.axis != axis:
        raise ModelFormatError(
            f"{operation}: weights {tensor.name!r} have scales along axis {quantisation.axis}, "
            f"but must have them along axis {axis}"
        )
    if quantisation.zero_point.any() and (quantisation.per_axis or rank == 4):
        raise UnsupportedOperatorError(
            f"{operation}: weights {tensor.name!r} have zero point {quantisation.zero_point.max()}, but must have 0"
        )
    if quantisation.zero_point.any():
        values = values.astype(np.int16) - quantisation.zero_point[0].astype(np.int16)
    return values, quantisation, values.shape[axis]


def _bias(reader: Reader, operation: Operation, outputs: int, position: int = 2) -> np.ndarray:
    if not operation.has(position):
        return np.zeros(outputs, np.int64)
    bias = reader.constant(operation, position, "bias", np.int32)
    if bias.size != outputs:
        raise ModelFormatError(f"{operation}: bias has {bias.size} values, but must have {outputs}")
    return bias.astype(np.int64).ravel()


@handles("CONV_2D", "DEPTHWISE_CONV_2D")
def _convolution(reader: Reader, operation: Operation) -> None:
    depthwise = operation.kind == "DEPTHWISE_CONV_2D"
    x = reader.input(operation, 0)
    source = reader.quantised(operation, x)
    check_rank(operation, x, 4)
    weight, quantisation, outputs = _weights(reader, operation, 4, 3 if depthwise else 0)
    channels = x.shape[3]
    if depthwise:
        if weight.shape[0] != 1 or outputs % channels:
            raise ModelFormatError(
                f"{operation}: weights have shape {list(weight.shape)}, but must be 1 x rows x columns x "
                f"a multiple of the input's {channels} channels"
            )
        weight, groups = weight.transpose(3, 1, 2, 0), channels
    else:
        groups = channels // weight.shape[3]
        if channels % weight.shape[3] or outputs % groups:
            raise ModelFormatError(
                f"{operation}: weights have shape {list(weight.shape)}, which do not divide the input's {channels} "
                f"channels and their own {outputs} outputs into equal groups"
            )
    window = window_of(operation, x, weight.shape[1:3])
    y = reader.output(operation, (x.shape[0], *window.output_size(x.shape[1:3]), outputs))
    target = reader.quantised(operation, y)
    layer = layers.Conv2D(
        Convolution(weight, _bias(reader, operation, outputs), window, int(source.zero_point[0]), groups),
        Rescale.of(layers.convolution_factors(source, quantisation, target)),
        target,
        fused_activation(operation, target),
    )
    reader.add(operation, layer, macs=math.prod(y.shape) * weight[0].size)


@handles("TRANSPOSE_CONV")
def _transpose_conv(reader: Reader, operation: Operation) -> None:
    shape = reader.integers(operation, 0, "output shape")
    x = reader.input(operation, 2)
    source = reader.quantised(operation, x)
    check_rank(operation, x, 4)
    weight, quantisation, outputs = _weights(reader, operation, 4, 0)
    if len(shape) != 4 or shape[0] != x.shape[0] or weight.shape[3] != x.shape[3] or shape[3] != outputs:
        raise ModelFormatError(
            f"{operation}: output shape is {shape} and weights have shape {list(weight.shape)}, "
            f"but must be {x.shape[0]} x rows x columns x {outputs}, and end in the input's {x.shape[3]} channels"
        )
    y = reader.output(operation, tuple(shape))
    target = reader.quantised(operation, y)
    # The padding is that of the convolution from the output to the input.
    window = window_of(operation, y, weight.shape[1:3])
    if window.output_size(y.shape[1:3]) != x.shape[1:3]:
        raise ModelFormatError(
            f"{operation}: a convolution of the output's {shape[1:3]} pixels would give "
            f"{list(window.output_size(y.shape[1:3]))}, but the input has {list(x.shape[1:3])}"
        )
    convolution = TransposedConvolution(
        weight,
        _bias(reader, operation, outputs, 3),
        y.shape[1:3],
        window.stride,
        window.padding[:2],
        int(source.zero_point[0]),
    )
    layer = layers.TransposeConv(
        convolution,
        Rescale.of(layers.convolution_factors(source, quantisation, target)),
        target,
        fused_activation(operation, target),
    )
    reader.add(operation, layer, (2,), macs=math.prod(x.shape[:3]) * weight.size)


@handles("FULLY_CONNECTED")
def _fully_connected(reader: Reader, operation: Operation) -> None:
    options = operation.options
    if options["WeightsFormat"] != 0:
        raise UnsupportedOperatorError(
            f"{operation}: weights format is {options['WeightsFormat']}, but must be 0 (row-major)"
        )
    x = reader.input(operation, 0)
    source = reader.quantised(operation, x)
    weight, quantisation, outputs = _weights(reader, operation, 2, 0)
    inputs = weight.shape[1]
    keep = options["KeepNumDims"]
    if math.prod(x.shape) % inputs or (keep and x.shape[-1:] != (inputs,)):
        raise ModelFormatError(
            f"{operation}: input {x.name!r} has shape {list(x.shape)}, but must hold vectors of {inputs}"
        )
    shape = (*x.shape[:-1], outputs) if keep else (math.prod(x.shape) // inputs, outputs)
    y = reader.output(operation, shape)
    target = reader.quantised(operation, y)
    factors = layers.convolution_factors(source, quantisation, target)
    Rescale.of(
        factors
    )  # the kernel's preparation makes this form, too, and is undefined for the same factors
    layer = layers.Conv2D(
        Convolution(
            weight[:, None, None, :],
            _bias(reader, operation, outputs),
            Window((1, 1)),
            int(source.zero_point[0]),
            magnitude=128,
        ),
        FloatRescale(factors),
        target,
        fused_activation(operation, target),
    )
    reader.add(operation, layers.FullyConnected(layer, y.shape), macs=math.prod(y.shape) * inputs)


@handles("BATCH_MATMUL")
def _batch_matmul(reader: Reader, operation: Operation) -> None:
    tensors = reader.input(operation, 0), reader.input(operation, 1)
    sources = tuple(reader.quantised(operation, tensor) for tensor in tensors)
    adjoint = bool(operation.options["AdjX"]), bool(operation.options["AdjY"])
    for tensor in tensors:
        check_rank(operation, tensor, 2, 3, 4, 5)
    (*lead_a, rows, inner), (*lead_b, inner_b, columns) = (
        (*t.shape[:-2], *(t.shape[-2:][::-1] if swap else t.shape[-2:]))
        for t, swap in zip(tensors, adjoint, strict=True)
    )
    if inner != inner_b:
        raise ModelFormatError(
            f"{operation}: inputs have {inner} columns and {inner_b} rows to multiply, but must have as many"
        )
    shape = (*broadcast(operation, tuple(lead_a), tuple(lead_b)), rows, columns)
    target = reader.quantised(operation, reader.output(operation, shape))
    operator = layers.BatchMatMul(sources, target, adjoint)
    reader.add(operation, operator, (0, 1), macs=math.prod(shape) * inner)
