# SPDX-License-Identifier: Apache-2.0
"""Maps and windows within the limits of the fixed-point scheme."""

from __future__ import annotations

from assay.golden.errors import ModelFormatError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import Operation
from assay.golden.importers.onnx.fixed_point.attributes import only, shown
from assay.golden.importers.onnx.fixed_point.reader import Reader
from assay.golden.layers.linear import Window
from assay.golden.schemes.fixed_point import (
    FEATURE_MAP,
    LIMITS,
)


def limited_map(reader: Reader, operation: Operation, limits: str) -> Tensor:
    """The map `[N, C, H, W]` that a convolution or pooling reads, within the limits."""
    x = reader.input(operation)
    if len(x.shape) != 4:
        raise ModelFormatError(
            f"{operation}: tensor {x.name!r} has shape {list(x.shape)}, but must be [N, C, H, W]"
        )
    LIMITS[limits].check_map(*x.shape[1:], f"map {x.name!r}")
    if x.name not in reader.from_input:
        FEATURE_MAP.check(f"feature map {x.name!r}", *x.shape[1:])
    return x


def limited_window(operation: Operation, limits: str, kernel: tuple[int, ...]) -> Window:
    attributes = operation.attributes
    only(operation, "auto_pad", "NOTSET", "")
    only(operation, "dilations", (1, 1))
    only(operation, "ceil_mode", 0)
    only(operation, "storage_order", 0)
    stride, pads = attributes.get("strides", (1, 1)), attributes.get("pads", (0, 0, 0, 0))
    for name, values, count in (("kernel_shape", kernel, 2), ("strides", stride, 2), ("pads", pads, 4)):
        if not isinstance(values, tuple) or len(values) != count or not all(type(v) is int for v in values):
            raise ModelFormatError(
                f"{operation}: attribute {name} is {shown(values)}, but must be {count} whole numbers"
            )
    LIMITS[limits].check_window(kernel, stride, pads)
    return Window(kernel, stride, (1, 1), pads)
