# SPDX-License-Identifier: Apache-2.0
"""TFLite's pooling."""

from __future__ import annotations

from assay.golden.importers.tflite.checks import NEARLY, check_rank, fused_activation, same_scale
from assay.golden.importers.tflite.file import Operation
from assay.golden.importers.tflite.products import window_of
from assay.golden.importers.tflite.reader import Reader, handles
from assay.golden.layers import tflite_reductions


@handles("AVERAGE_POOL_2D", "MAX_POOL_2D")
def _pool(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0)
    source = reader.quantised(operation, x)
    check_rank(operation, x, 4)
    kernel = operation.options["FilterHeight"], operation.options["FilterWidth"]
    window = window_of(operation, x, kernel)
    y = reader.output(operation, (x.shape[0], *window.output_size(x.shape[1:3]), x.shape[3]))
    target = reader.quantised(operation, y)
    same_scale(operation, source, target, NEARLY)
    make = tflite_reductions.MaxPool2D if operation.kind == "MAX_POOL_2D" else tflite_reductions.AveragePool2D
    reader.add(operation, make(window, target, fused_activation(operation, target)))
