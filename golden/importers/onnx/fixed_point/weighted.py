# SPDX-License-Identifier: Apache-2.0
"""Convolutions and matrix products of the fixed-point scheme, with the batch normalisations folded into them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import Operation
from assay.golden.importers.onnx.fixed_point.attributes import is_weighted, only, shown
from assay.golden.importers.onnx.fixed_point.maps import limited_map, limited_window
from assay.golden.importers.onnx.fixed_point.reader import Reader, broadcast, handles
from assay.golden.layers import fixed_point as layers
from assay.golden.layers.linear import Convolution, Window
from assay.golden.schemes.fixed_point import (
    ACTIVATION_BITS,
    BIAS_BITS,
    FEATURE_MAP,
    LIMITS,
    WEIGHT_BITS,
    WeightScale,
    integers_of,
)

# What rounding of its float32 parameters may move a batch normalisation's factor and bias, relative to their terms.
_FOLDING_TOLERANCE = 2.0**-20


@handles("Conv")
def _conv(reader: Reader, operation: Operation) -> None:
    weight = reader.stored(operation, 1, "weights")
    if weight.ndim != 4:
        raise ModelFormatError(
            f"{operation}: weights have shape {list(weight.shape)}, but must be [K, C / group, fH, fW]"
        )
    group = operation.attributes.get("group", 1)
    limits = "depthwise Conv" if group != 1 else "Conv"
    x = limited_map(reader, operation, limits)
    channels, rows, columns = x.shape[1:]
    outputs = len(weight)
    if group not in (1, channels) or weight.shape[1] * group != channels or outputs % group or not outputs:
        raise ModelFormatError(
            f"{operation}: attribute group is {group} for {channels} input channels and weights of shape "
            f"{list(weight.shape)}, but must be 1 or {channels}, with weights [K, {channels} / group, fH, fW]"
        )
    kernel = weight.shape[2:]
    only(operation, "kernel_shape", kernel)
    window = limited_window(operation, limits, kernel)
    size = window.output_size((rows, columns))
    FEATURE_MAP.check("the output map", outputs, *size)
    layer, output = _weighted(reader, operation, weight, 0, window, group)
    shape = x.shape[0], outputs, *size
    macs = math.prod(shape) * weight[0].size
    reader.add(operation, layer, shape, (x.name,), macs, output)


@handles("Gemm")
def _gemm(reader: Reader, operation: Operation) -> None:
    x, weight = reader.input(operation), reader.stored(operation, 1, "weights")
    for name, allowed in (("alpha", 1), ("beta", 1), ("transA", 0)):
        only(operation, name, allowed)
    only(operation, "transB", 0, 1)
    if len(x.shape) != 2 or weight.ndim != 2:
        raise ModelFormatError(
            f"{operation}: input and weights have shapes {list(x.shape)} and {list(weight.shape)}, "
            f"but must be matrices"
        )
    _fully_connected(reader, operation, x, weight, 0 if operation.attributes.get("transB", 0) else 1)


def _fully_connected(reader: Reader, operation: Operation, x: Tensor, weight: np.ndarray, axis: int) -> None:
    """A product by a stored matrix whose output channels are along `axis`."""
    outputs, inputs = weight.shape[axis], weight.shape[1 - axis]
    if x.shape[-1] != inputs:
        raise ModelFormatError(
            f"{operation}: input {x.name!r} has {x.shape[-1]} columns, but the weights take {inputs}"
        )
    LIMITS["Gemm"].check_channels("the input", inputs)
    LIMITS["Gemm"].check_channels("the output", outputs)
    layer, output = _weighted(reader, operation, weight, axis, Window((1, 1)), 1)
    shape = *x.shape[:-1], outputs
    reader.add(operation, layers.Gemm(layer), shape, (x.name,), math.prod(shape) * inputs, output)


@handles("MatMul")
def _matmul(reader: Reader, operation: Operation) -> None:
    if is_weighted(operation):
        x, weight = reader.input(operation), reader.stored(operation, 1, "weights")
        if weight.ndim != 2 or len(x.shape) < 2:
            raise ModelFormatError(
                f"{operation}: input and weights have shapes {list(x.shape)} and {list(weight.shape)}, "
                f"but must be [..., I] and [I, O]"
            )
        _fully_connected(reader, operation, x, weight, 1)
        return
    tensors = [_operand(reader, operation, position) for position in (0, 1)]
    a, b = (tensor.shape for tensor in tensors)
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise ModelFormatError(
            f"{operation}: inputs have shapes {list(a)} and {list(b)}, but must be [..., I, K] and [..., K, J]"
        )
    leading = broadcast(operation, a[:-2], b[:-2])
    names = tuple(tensor.name for tensor in tensors)
    sources, target = reader.exponents_of(operation, names)
    shape = (*leading, a[-2], b[-1])
    operator = layers.MatMul(sources, target, a[-1])
    reader.add(operation, operator, shape, names, math.prod(shape) * a[-1])


def _operand(reader: Reader, operation: Operation, position: int) -> Tensor:
    """An operand of MatMul: computed, or stored as floats scale * integer."""
    if position < len(operation.inputs) and operation.inputs[position] in reader.file.constants:
        name = operation.inputs[position]
        stored = reader.stored(operation, position, "operand")
        scale = np.float64(math.ldexp(1.0, reader.exponents[name]))
        values = integers_of(stored, scale, ACTIVATION_BITS, f"{operation}: operand {name!r}")
        reader.constants[name] = values.astype(np.int8)
        reader.tensors[name] = reader.described(name, stored.shape, f"{operation}: operand {name!r}")
    return reader.input(operation, position)


def _weighted(
    reader: Reader, operation: Operation, stored: np.ndarray, axis: int, window: Window, group: int
) -> tuple[layers.Conv, str]:
    """The exact layer of stored weights, output channels along `axis`, and the name of what it makes; a batch
    normalisation is folded in."""
    outputs = stored.shape[axis]
    scales = _weight_scales(operation, outputs)
    source = reader.exponents[operation.inputs[0]]
    target = reader.exponents[operation.outputs[0]]
    real = np.array([float(scale.value) for scale in scales])
    along = real.reshape([outputs if i == axis else 1 for i in range(stored.ndim)])
    where = f"{operation}: weights {operation.inputs[1]!r}"
    weight = integers_of(stored, along, WEIGHT_BITS, where).astype(np.int8)
    # To [K, fH, fW, C / group].
    weight = weight.transpose(0, 2, 3, 1) if weight.ndim == 4 else np.moveaxis(weight, axis, 0)[:, None, None]
    bias = np.zeros(outputs, np.int64)
    if len(operation.inputs) > 2 and operation.inputs[2]:
        values = reader.stored(operation, 2, "bias")
        # Gemm's bias may have an axis of 1 before the channels.
        values = values[0] if values.shape == (1, outputs) else values
        if values.shape != (outputs,):
            raise ModelFormatError(
                f"{operation}: bias has shape {list(values.shape)}, but must have [{outputs}]"
            )
        bias = integers_of(
            values, np.ldexp(real, source), BIAS_BITS, f"{operation}: bias {operation.inputs[2]!r}"
        )
    output = operation.outputs[0]
    after = reader.readers.get(output)
    channels_second = operation.kind == "Conv" or len(reader.tensors[operation.inputs[0]].shape) == 2
    if (
        after is not None
        and after.kind == "BatchNormalization"
        and reader.uses[output] == 1
        and channels_second
    ):
        weight, bias, scales = _fold(reader, after, weight, bias, scales, source)
        reader.folded.add(after.name)
        output = after.outputs[0]
    convolution = Convolution(weight, bias, window, groups=group)
    return layers.Conv(convolution, tuple(scales), source, target), output


def _weight_scales(operation: Operation, outputs: int) -> list[WeightScale]:
    values = operation.attributes.get("weight_ch_scales")
    attribute = "weight_ch_scales"
    for name in ("weight_scale", "bias_scale"):
        deprecated = operation.attributes.get(name)
        if deprecated is not None and not isinstance(deprecated, (int, float)):
            raise ModelFormatError(
                f"{operation}: attribute {name} is {shown(deprecated)}, but must be a number"
            )
        if name == "weight_scale" and values is None and deprecated is not None:
            attribute, values = name, (deprecated,) * outputs
    if not isinstance(values, tuple) or len(values) != outputs:
        raise ModelFormatError(
            f"{operation}: attribute weight_ch_scales is {shown(values)}, but must be a list of {outputs} "
            f"numbers, one for each output channel"
        )
    scales = [WeightScale.of(value) for value in values]
    for channel, (scale, value) in enumerate(zip(scales, values, strict=True)):
        if scale is None:
            raise ModelFormatError(
                f"{operation}: attribute {attribute} is {value:.9g} for channel {channel}, but must be the "
                f"float32 nearest to 2**n / a with a in 1..255"
            )
    return scales


def _fold(
    reader: Reader,
    norm: Operation,
    weight: np.ndarray,
    bias: np.ndarray,
    scales: list[WeightScale],
    source: int,
) -> tuple[np.ndarray, np.ndarray, list[WeightScale]]:
    """Weights, bias and scales of a layer with the batch normalisation behind it folded in."""
    only(norm, "training_mode", 0)
    only(norm, "spatial", 1)
    stored = [
        reader.stored(norm, position, what).astype(np.float64)
        for position, what in enumerate(("scale", "bias", "mean", "variance"), start=1)
    ]
    epsilon = norm.attributes.get("epsilon", float(np.float32(1e-5)))
    if any(values.shape != (len(weight),) for values in stored):
        raise ModelFormatError(
            f"{norm}: scale, bias, mean and variance have shapes {[list(v.shape) for v in stored]}, "
            f"but must have [{len(weight)}]"
        )
    gamma, beta, mean, variance = stored
    if not isinstance(epsilon, float) or not math.isfinite(epsilon) or (variance + epsilon).min() <= 0:
        raise ModelFormatError(
            f"{norm}: attribute epsilon is {shown(epsilon)}, but variance + epsilon must be finite and above 0"
        )
    factor = gamma / np.sqrt(variance + epsilon)
    folded = []
    for channel, (scale, f) in enumerate(zip(scales, factor, strict=True)):
        wanted = float(scale.value) * abs(f)
        near = WeightScale.nearest(wanted) if f and np.isfinite(wanted) and wanted else None
        if near is None or abs(near.value - Fraction(wanted)) > _FOLDING_TOLERANCE * wanted:
            raise ModelFormatError(
                f"{norm}: the factor of channel {channel} is {f:.9g}, but times the weight scale {scale} it must "
                f"be 2**n / a with a in 1..255; fold the batch normalisation before the weights are quantised"
            )
        folded.append(near)
    old, new = (np.array([float(s.value) for s in ss]) for ss in (scales, folded))
    terms = [bias * np.ldexp(old, source) * factor, -mean * factor, beta]
    unit = np.ldexp(new, source)
    steps, slack = sum(terms) / unit, sum(map(np.abs, terms)) / unit * _FOLDING_TOLERANCE
    whole = np.rint(np.clip(steps, -(1 << 16), 1 << 16))
    wrong = (np.abs(steps - whole) > np.minimum(slack, 0.25)) | (
        whole != np.clip(whole, -(1 << 15), (1 << 15) - 1)
    )
    if wrong.any():
        channel = int(np.argmax(wrong))
        raise ModelFormatError(
            f"{norm}: the folded bias of channel {channel} is {steps[channel]:.9g} times its scale, but must be a "
            f"whole number of {BIAS_BITS} bits"
        )
    weight = weight.astype(np.int16) * np.where(factor < 0, -1, 1).astype(np.int16)[:, None, None, None]
    if weight.max() > 127:
        raise ModelFormatError(
            f"{norm}: a negative factor makes a weight {weight.max()}, but must keep it within -128 to 127"
        )
    return weight.astype(np.int8), whole.astype(np.int64), folded


@handles("BatchNormalization")
def _batch_norm(reader: Reader, operation: Operation) -> None:
    """Folded into what made its input; else it stands where it may not."""
    if operation.name not in reader.folded:
        raise UnsupportedOperatorError(
            f"{operation}: input {list(operation.inputs[:1])} must be what a Conv, or a product of a matrix by "
            f"stored weights, makes for this node alone"
        )
