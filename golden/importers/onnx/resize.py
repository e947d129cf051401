# SPDX-License-Identifier: Apache-2.0
"""Resize and Upsample."""

from __future__ import annotations

import numpy as np

from assay.golden.errors import ModelFormatError, UnsupportedOperatorError
from assay.golden.graph import Tensor
from assay.golden.importers.onnx.file import EIGHT_BITS, Operation
from assay.golden.importers.onnx.reader import Reader, handles
from assay.golden.importers.onnx.values import check_lengths
from assay.golden.layers import onnx_float as floats
from assay.golden.layers import shaping


@handles("Resize", "Upsample")
def _resize(reader: Reader, operation: Operation) -> None:
    x = reader.input(operation, 0, np.float32, *EIGHT_BITS)
    rank = len(x.shape)
    for name, value in (("antialias", 0), ("exclude_outside", 0), ("axes", None)):
        operation.only(name, value, value)
    operation.only("keep_aspect_ratio_policy", "stretch", "stretch")
    mode = operation.only("mode", "nearest", "nearest", "linear")
    old = operation.kind == "Upsample" or reader.opset < 11
    place = operation.only("coordinate_transformation_mode", "asymmetric" if old else "half_pixel",
        "half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners",
    )  # fmt: skip
    rounding = operation.only("nearest_mode", "floor" if old else "round_prefer_floor",
        "round_prefer_floor", "round_prefer_ceil", "floor", "ceil",
    )  # fmt: skip
    shape, scales = _resized(reader, operation, x, 1 if old else 2)
    if mode == "linear" and x.dtype == np.float32:
        reader.output(operation, shape)  # means need not be values that a quantiser of float32 gives
    else:
        reader.copied(operation, x, shape)
    if shape == x.shape:
        reader.add(operation, shaping.Reshape(shape))
        return
    check_lengths(operation, shape)
    coordinates = [
        _coordinates(place, n, out, scale) for n, out, scale in zip(x.shape, shape, scales, strict=True)
    ]
    if mode == "nearest":
        changed = [i for i, scale in enumerate(scales) if shape[i] != x.shape[i] or scale != 1]
        places = ((i, _nearest(coordinates[i], rounding, x.shape[i])) for i in changed)
        reader.add(operation, shaping.Take(tuple(places)))
        return
    if rank not in (2, 4) or shape[:-2] != x.shape[:-2]:
        raise UnsupportedOperatorError(
            f"{operation}: {list(x.shape)} to {list(shape)} in mode linear, but 2 or 4 axes must change in the "
            f"last two alone"
        )
    pairs = zip(coordinates[-2:], x.shape[-2:], strict=True)
    reader.add(operation, floats.ResizeLinear(*(_neighbours(c, n) for c, n in pairs)))


def _resized(
    reader: Reader, operation: Operation, x: Tensor, position: int
) -> tuple[tuple[int, ...], list[np.float32]]:
    """The shape of the result, and its ratio to the input's for each axis."""
    if operation.has(position) and reader.constant(operation, position, "scales", np.float32).size:
        scales = list(reader.constant(operation, position, "scales", np.float32).ravel())
        if len(scales) != len(x.shape) or not all(0 < s <= 1 << 16 for s in scales):
            raise ModelFormatError(
                f"{operation}: scales are {[float(s) for s in scales]}, but must be {len(x.shape)} numbers above 0"
            )
        shape = tuple(int(np.float32(n) * s) for n, s in zip(x.shape, scales, strict=True))
    else:
        shape = tuple(reader.integers(operation, position + 1, "sizes"))
        if len(shape) != len(x.shape):
            raise ModelFormatError(
                f"{operation}: sizes are {list(shape)}, but must be {len(x.shape)} numbers"
            )
        scales = [np.float32(out) / np.float32(n) for out, n in zip(shape, x.shape, strict=True)]
    return shape, scales


def _coordinates(mode: str, length: int, out: int, scale: np.float32) -> np.ndarray:
    """Where each of `out` values lies in an axis of `length`, in float32.

    Source: `GetOriginalCoordinateFromResizedCoordinate`, providers/cpu/tensor/upsamplebase.h.
    """
    x = np.arange(out).astype(np.float32)
    half = np.float32(0.5)
    if length == out and scale == 1:
        return x
    if mode == "asymmetric":
        return x / scale
    if mode == "align_corners":
        return x * np.float32(length - 1) / np.float32(out - 1) if out > 1 else x * np.float32(0)
    if mode == "pytorch_half_pixel" and out == 1:
        return x * np.float32(0)
    return (x + half) / scale - half


def _nearest(x: np.ndarray, rounding: str, length: int) -> np.ndarray:
    """Index of the value nearest to each coordinate; less than 1e-6 from the middle of two, it is in the middle.

    Source: `UpsampleBase::GetNearestPixelFunction`, providers/cpu/tensor/upsamplebase.h.
    """
    x = x.astype(np.float64)
    low = np.floor(x)
    middle = np.abs(x - low - 0.5) < 1e-6
    if rounding == "floor":
        y = np.floor(x)
    elif rounding == "ceil":
        y = np.ceil(x)
    elif rounding == "round_prefer_ceil":
        y = np.where(middle, low + 1, np.floor(x + 0.5))
    else:
        y = np.where(middle, low, np.floor(x + 0.5))
    return np.clip(y, 0, length - 1).astype(np.int64)


def _neighbours(x: np.ndarray, length: int) -> tuple[np.ndarray, ...]:
    """Indices of the two values around each coordinate, and its distances to them."""
    x = np.clip(x, np.float32(0), np.float32(length - 1))
    first = np.minimum(x.astype(np.int64), length - 1)
    second = np.minimum(first + 1, length - 1)
    near, far = (np.abs(x - i.astype(np.float32)) for i in (first, second))
    same = first == second
    half = np.float32(0.5)
    return first, second, np.where(same, half, near), np.where(same, half, far)
