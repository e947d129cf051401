# SPDX-License-Identifier: Apache-2.0
"""QONNX's quantisers: Quant, BipolarQuant, Trunc, MultiThreshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import Operation
from assay.golden.importers.onnx.reader import Reader, handles
from assay.golden.schemes import qonnx as qonnx_scheme
from assay.golden.schemes.qonnx import DOMAINS

# Types of QONNX's scales, zero points and bit widths.
_PARAMETERS = (np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64)


def _quantiser(
    reader: Reader, operation: Operation, quantiser: Any, x: Tensor, *broadcast: np.ndarray
) -> None:
    """Adds the node of a `golden.schemes.qonnx` object, whose parameters broadcast to x's shape."""
    for values in broadcast:
        try:
            fits = np.broadcast_shapes(values.shape, x.shape) == x.shape
        except ValueError:
            fits = False
        if not fits:
            raise UnsupportedOperatorError(
                f"{operation}: a scale or zero point has shape {list(values.shape)}, but must broadcast to "
                f"{list(x.shape)}"
            )
    reader.output(operation, x.shape, np.float32, quantiser)
    reader.add(operation, quantiser)


def _parameter(reader: Reader, operation: Operation, position: int, what: str) -> np.ndarray:
    return reader.constant(operation, position, what, *_PARAMETERS)


def _bit_width(reader: Reader, operation: Operation, position: int, what: str) -> float:
    return float(reader.single(operation, position, what, *_PARAMETERS))


def _flag(operation: Operation, name: str, default: int | None = None) -> bool:
    """An attribute of 0 or 1, which must be there if it has no default."""
    return bool(operation.only(name, default, 0, 1))


def _rounding(operation: Operation, default: str) -> str:
    return str(operation.attributes.get("rounding_mode", default))


@handles("IntQuant", "Quant", domains=DOMAINS)
def _quant(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    scale = _parameter(reader, operation, 1, "scale")
    zero_point = _parameter(reader, operation, 2, "zero point")
    quantiser = qonnx_scheme.Quant(
        scale,
        zero_point,
        _bit_width(reader, operation, 3, "bit width"),
        _flag(operation, "signed"),
        _flag(operation, "narrow"),
        _rounding(operation, "ROUND"),
    )
    _quantiser(reader, operation, quantiser, x, scale, zero_point)


@handles("BipolarQuant", domains=DOMAINS)
def _bipolar_quant(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    scale = _parameter(reader, operation, 1, "scale")
    _quantiser(reader, operation, qonnx_scheme.BipolarQuant(scale), x, scale)


@handles("Trunc", domains=DOMAINS)
def _trunc(reader: Reader, operation: Operation) -> None:
    """Version 2, of six inputs, from version 2 of the domain on."""
    x = reader.input(operation, 0, np.float32)
    scale = _parameter(reader, operation, 1, "scale")
    zero_point = _parameter(reader, operation, 2, "zero point")
    input_bits = _bit_width(reader, operation, 3, "input bit width")
    mode = _rounding(operation, "FLOOR")
    if reader.opsets.get(operation.domain, 1) < 2:
        bits = _bit_width(reader, operation, 4, "output bit width")
        quantiser = qonnx_scheme.Trunc(scale, zero_point, input_bits, bits, mode=mode)
        _quantiser(reader, operation, quantiser, x, scale, zero_point)
        return
    output_scale = _parameter(reader, operation, 4, "output scale")
    quantiser = qonnx_scheme.Trunc(
        scale,
        zero_point,
        input_bits,
        _bit_width(reader, operation, 5, "output bit width"),
        output_scale,
        _flag(operation, "signed", 1),
        _flag(operation, "narrow", 0),
        mode,
    )
    _quantiser(reader, operation, quantiser, x, scale, zero_point, output_scale)


@handles("MultiThreshold", domains=DOMAINS)
def _multi_threshold(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32)
    rank = len(x.shape)
    # A missing layout follows from the rank; what is none of these has its channels in axis 1.
    guess = {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
    layout = operation.attributes.get("data_layout") or guess
    axis = layout.index("C") if "C" in layout else 1
    thresholds = reader.constant(operation, 1, "thresholds", np.float32)
    if axis >= rank or rank < 2:
        raise ModelFormatError(
            f"{operation}: attribute data_layout is {layout}, but the input has shape {list(x.shape)}"
        )
    quantiser = qonnx_scheme.MultiThreshold(
        thresholds,
        operation.number("out_scale", 1.0),
        operation.number("out_bias", 0.0),
        axis,
    )
    if len(thresholds) not in (1, x.shape[axis]):
        raise ModelFormatError(
            f"{operation}: thresholds have shape {list(thresholds.shape)}, but must be for 1 or {x.shape[axis]} "
            f"channels"
        )
    _quantiser(reader, operation, quantiser, x)


@handles("FloatQuant", domains=DOMAINS)
def _float_quant(reader: Reader, operation: Operation) -> None:
    raise UnsupportedOperatorError(
        f"{operation}: operator FloatQuant rounds by a float32 logarithm, which is not the same on every machine; "
        f"integer quantisers are supported: BipolarQuant, IntQuant, Quant, Trunc"
    )
