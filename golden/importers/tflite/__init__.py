# SPDX-License-Identifier: Apache-2.0
"""Reads TFLite int8 models (.tflite) into graphs whose every tensor equals LiteRT's reference kernels.

How a file is read: `file` copies the flatbuffer into plain objects under checks of every count and size; `reader` makes
a graph of them by one handler for each operator, which are in the modules of their families: `products`, `pooling`,
`elementwise`, `reductions`, `shapes`, `places`, `state`.

Streaming models keep their state in variables: VAR_HANDLE names one, CALL_ONCE's subgraph gives it its initial value,
READ_VARIABLE and ASSIGN_VARIABLE become `golden.graph`'s.
"""

from __future__ import annotations

from pathlib import Path

from assay.golden.graph import Graph
from assay.golden.importers import model_file
from assay.golden.importers.tflite import elementwise, places, pooling, products, reductions, shapes, state
from assay.golden.importers.tflite.file import read
from assay.golden.importers.tflite.reader import MAX_ELEMENTS, OPERATORS, Reader

__all__ = ["FAMILIES", "MAX_ELEMENTS", "OPERATORS", "load", "loads"]

# The modules whose handlers make up `OPERATORS`.
FAMILIES = (elementwise, places, pooling, products, reductions, shapes, state)


def load(path: Path) -> Graph:
    """Read a .tflite file; see `loads`.

    Raises:
        GoldenError: the file cannot be read, or the package `tflite` is not installed.
        ModelFormatError, UnsupportedOperatorError: see `loads`.
    """
    return model_file.load(path, loads)


def loads(data: bytes, name: str = "model") -> Graph:
    """Turn the bytes of a .tflite file into a graph.

    Args:
        data: the file.
        name: of the graph.

    Returns:
        A graph whose tensors have the file's names, axis order and dtypes; a name that is empty or used twice gets
        "#" and the tensor's index behind it. Tensors' `index` is LiteRT's tensor index.

    Raises:
        GoldenError: the package `tflite` is not installed.
        ModelFormatError: not a TFLite file, damaged, inconsistent, or asking for more than `MAX_ELEMENTS`.
        UnsupportedOperatorError: an operator outside `OPERATORS`, a float model, or an attribute without definition.
    """
    return Reader(read(data), name).graph()
