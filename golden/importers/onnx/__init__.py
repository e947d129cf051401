# SPDX-License-Identifier: Apache-2.0
"""Reads quantised ONNX models (.onnx) into graphs whose every tensor equals the framework's: QDQ, QOperator, QONNX, and
the fixed-point scheme.

QDQ: QuantizeLinear and DequantizeLinear around float operators, which are executed as they stand, in float32.
QOperator: QLinearConv, QLinearMatMul and operators of domain com.microsoft, in integers. Dynamic quantisation:
DynamicQuantizeLinear, MatMulInteger, ConvInteger. All may be in one file. The reference is onnxruntime's CPU provider
with graph optimisation disabled and one thread (`golden.runtimes.onnxruntime`); `golden.schemes.onnx` and
`golden.layers.onnx`, `onnx_float`, `mlas` and `eigen` say what is exact, and where it comes from.

QONNX: Quant, BipolarQuant, Trunc and their like (`golden.schemes.qonnx`) among float operators; all tensors are
float32, the input included. The reference is the package qonnx (`golden.runtimes.qonnx`), which executes node by node:
its own nodes in numpy, every other in an onnxruntime session of that node alone, to which weights are inputs, not
constants. Float32 sums are those of onnxruntime on one thread; where scales are powers of two and sums stay below
2**24 units, they are the same in every order and on every processor (`golden.layers.mlas.exact_product`). Annotations
of tensors (`quantization_annotation`) change no number here; qonnx rounds what is annotated as integer and is none.

Fixed point: float operators with scales and bit depths as attributes, which compute in int8
(`golden.importers.onnx.fixed_point`).

How a file is read: `file` copies the protobuf into plain objects under checks; `reader` makes a graph of them by one
handler for each operator, which are in the modules of their families: `products`, `pooling`, `quantised`, `qonnx`,
`elementwise`, `reductions`, `values`, `shapes`, `resize`. A leading axis of an input that has a name instead of a
length (a batch) is 1.
"""

from __future__ import annotations

from pathlib import Path

from assay.golden.errors import (
    ConfigurationError,
    DoesNotFitError,
    GoldenError,
    ModelFormatError,
    UnsupportedOperatorError,
)
from assay.golden.graph import Graph
from assay.golden.importers import model_file
from assay.golden.importers.onnx import (
    elementwise,
    fixed_point,
    pooling,
    products,
    qonnx,
    quantised,
    reductions,
    resize,
    shapes,
    values,
)
from assay.golden.importers.onnx.file import MAX_ELEMENTS, MAX_RANK, read
from assay.golden.importers.onnx.reader import OPERATORS, Reader, uses_qonnx

__all__ = ["FAMILIES", "MAX_ELEMENTS", "MAX_RANK", "OPERATORS", "load", "loads"]

# The modules whose handlers make up `OPERATORS`.
FAMILIES = (elementwise, pooling, products, qonnx, quantised, reductions, resize, shapes, values)


def load(path: Path) -> Graph:
    """Read an .onnx file; see `loads`.

    Raises:
        GoldenError: the file cannot be read, or the package `onnx` is not installed.
        ModelFormatError, UnsupportedOperatorError: see `loads`.
    """
    path = Path(path)
    return loads(model_file.read(path), path.stem)


def loads(data: bytes, name: str = "model") -> Graph:
    """Turn the bytes of an .onnx file into a graph.

    Args:
        data: the file.
        name: of the graph; it starts the messages of errors.

    Returns:
        A graph whose tensors have the file's names, axis order and dtypes; int4 and uint4 are held in int8 and uint8.
        Tensors of the fixed-point scheme are int8.

    Raises:
        GoldenError: the package `onnx` is not installed.
        ModelFormatError: not an ONNX file, damaged, inconsistent, or asking for more than `MAX_ELEMENTS`.
        UnsupportedOperatorError: an operator outside `OPERATORS`, an attribute without definition, or a float model.
    """
    model = model_file.parse_onnx(data, name)
    size = len(data)
    del data
    try:
        file = read(model, size)
        del model  # the graph holds the arrays, and nothing else of the file
        if not file.inputs:
            raise ModelFormatError(
                "the graph has 0 inputs, but must have 1 or more: its values would never change"
            )
        own = file.quantises() or uses_qonnx(file)
        if not own and fixed_point.recognises(file):
            return fixed_point.graph(file, name)
        reader = Reader(file, name)
        if not own:
            raise UnsupportedOperatorError(
                f"the model has {len(file.operations)} float nodes and no QuantizeLinear, QLinear* or Quant node, "
                f"but must be quantised; quantise it first"
            )
        return reader.graph()
    except GoldenError as error:
        kind = ModelFormatError if isinstance(error, (ConfigurationError, DoesNotFitError)) else type(error)
        # Names in a damaged file may hold line breaks, but a message is one line.
        raise kind(" ".join(f"{name}: {error}".split())) from None
