# SPDX-License-Identifier: Apache-2.0
"""Reads fixed-point ONNX files (the ACCESS guide, see docs/sources.md) into graphs of int8 tensors.

The file is a float ONNX model whose nodes carry scales and bit depths as attributes (`golden.schemes.fixed_point` has
the numbers, `golden.layers.fixed_point` the operators). The graph computes with the integers alone: where the file has
a float tensor, the graph has an int8 one of the same name and axis order, and its `quantisation` is the scale. A node
has the file's name, or its operator and number; a folded batch normalisation is gone, and its output is made by the
node before it.

Reading takes three passes: check every node's attributes; gather what all of them say of every tensor's scale, and
reject the file unless it is coherent (`attributes`); build the operators in the file's order (`reader`, with the
handlers in `weighted` and `operators`). A batch normalisation is folded into the convolution or matrix product before
it: its factor gamma / sqrt(variance + epsilon) times S_w must again be 2**n / a, and the bias that results a whole
number of the new S_w * S_a, else the file is rejected.
"""

from __future__ import annotations

from assay.golden.graph import Graph
from assay.golden.importers.onnx.file import File
from assay.golden.importers.onnx.fixed_point import operators, weighted
from assay.golden.importers.onnx.fixed_point.attributes import checked, recognises
from assay.golden.importers.onnx.fixed_point.reader import OPERATORS, Reader

__all__ = ["FAMILIES", "OPERATORS", "graph", "recognises"]

# The modules whose handlers make up `OPERATORS`.
FAMILIES = (operators, weighted)


def graph(file: File, name: str) -> Graph:
    """The graph of a file that carries the scheme.

    Raises:
        ModelFormatError: a broken rule of the scheme, or more than `golden.importers.onnx.MAX_ELEMENTS`.
        UnsupportedOperatorError: an operator outside `OPERATORS`, or an attribute without definition.
    """
    return Reader(checked(file, sorted((*OPERATORS, "Constant"))), name).graph()
