# SPDX-License-Identifier: Apache-2.0
"""Exact integer operators, the arithmetic every network and every block model is made of.

Tensors are NHWC: image, row, column, channel. Each function is a definition vectorised, nothing more; the
tests hold it against loops over Python integers. Results never depend on the machine, the BLAS or the batch
size: where a float64 matrix product is used for speed, a bound shows that no rounding can happen in it.
"""

from __future__ import annotations

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.formats import IntFormat
from assay.golden.layers.linear import Convolution, Window

__all__ = ["MAX_SHIFT", "ROUNDINGS", "conv2d", "conv2d_output_size", "max_pool", "quantise", "scale_bias"]

ROUNDINGS = ("truncate", "half_up")

# The largest right shift that still leaves an int64 a bit beside its sign.
MAX_SHIFT = 62


def conv2d(
    x: np.ndarray,
    weight: np.ndarray,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    groups: int = 1,
) -> np.ndarray:
    """Two-dimensional convolution (cross-correlation, as ONNX `Conv` defines it), exact.

    y[n, i, j, k] = sum over fy, fx, c of x[n, i*stride[0] + fy - top, j*stride[1] + fx - left, first + c] *
    weight[k, fy, fx, c], where x is zero outside its map and `first` is the first channel of k's group.

    Args:
        x: integers `[N, H, W, C]`, any integer dtype.
        weight: integers `[K, fH, fW, C / groups]`, any integer dtype.
        stride: rows and columns between outputs, each 1 or more.
        padding: zero rows and columns added at (top, left, bottom, right), each 0 or more.
        groups: a common divisor of C and K; the g-th of so many parts of the outputs reads the g-th of the channels.

    Returns:
        int64 `[N, oH, oW, K]`, oH = (H + top + bottom - fH) // stride[0] + 1 and oW likewise.

    Raises:
        ConfigurationError: a stride or padding out of range, or a kernel larger than the padded map.
        GoldenError: not integers, wrong ranks, channels that differ, or a sum that may reach 2**53.
    """
    x, weight = _integers(x, "x", 4), _integers(weight, "weight", 4)
    channels, (outputs, *kernel, weight_channels) = x.shape[3], weight.shape
    if channels != weight_channels * groups:
        raise GoldenError(
            f"x has {channels} channels, but weight {list(weight.shape)} takes {weight_channels * groups}"
        )
    if groups < 1 or outputs % groups:
        raise GoldenError(
            f"weight {list(weight.shape)} has {outputs} outputs, but must have a multiple of {groups}"
        )
    conv2d_output_size(x.shape[1:3], tuple(kernel), stride, padding)
    window = Window(tuple(kernel), stride, padding=padding)
    bias = np.zeros(outputs, np.int64)
    return Convolution(weight, bias, window, groups=groups, magnitude=_magnitude(x)).sums(x)


def conv2d_output_size(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> tuple[int, int]:
    """Rows and columns of a convolution's (or, without padding, a pooling's) output.

    Args:
        size: (H, W) of the input map.
        kernel: (fH, fW).
        stride: (rows, columns), each 1 or more.
        padding: (top, left, bottom, right), each 0 or more.

    Raises:
        ConfigurationError: a value out of range, or a kernel larger than the padded map.
    """
    _whole_numbers(kernel, "kernel", 2, 1)
    _whole_numbers(stride, "stride", 2, 1)
    _whole_numbers(padding, "padding", 4, 0)
    padded = (size[0] + padding[0] + padding[2], size[1] + padding[1] + padding[3])
    if kernel[0] > padded[0] or kernel[1] > padded[1]:
        raise ConfigurationError(
            f"kernel {kernel[0]}x{kernel[1]} is larger than the padded map of {padded[0]}x{padded[1]}"
        )
    return (padded[0] - kernel[0]) // stride[0] + 1, (padded[1] - kernel[1]) // stride[1] + 1


def max_pool(x: np.ndarray, window: tuple[int, int], stride: tuple[int, int]) -> np.ndarray:
    """Largest value of each window, without padding; rows and columns that fill no window are dropped.

    Args:
        x: `[N, H, W, C]`, integers.
        window: (rows, columns), from 1x1 to the map's size.
        stride: (rows, columns) between windows, each 1 or more.

    Returns:
        `[N, (H - window[0]) // stride[0] + 1, (W - window[1]) // stride[1] + 1, C]`, dtype of `x`.

    Raises:
        ConfigurationError: a window or stride out of range.
        GoldenError: `x` is not a 4-dimensional integer array.
    """
    x = _integers(x, "x", 4)
    out_h, out_w = conv2d_output_size(x.shape[1:3], window, stride)
    # One maximum per position inside the window: far fewer passes than one per output, and no copy of the
    # windows.
    y = None
    for row in range(window[0]):
        for column in range(window[1]):
            last_row, last_column = row + (out_h - 1) * stride[0], column + (out_w - 1) * stride[1]
            here = x[:, row : last_row + 1 : stride[0], column : last_column + 1 : stride[1]]
            y = here.copy() if y is None else np.maximum(y, here, out=y)
    return y


def scale_bias(acc: np.ndarray, multiplier: np.ndarray | int, bias: np.ndarray | int) -> np.ndarray:
    """Per-channel scaling of accumulators: acc * multiplier + bias.

    Args:
        acc: integers `[..., K]`.
        multiplier: integers `[K]`, or one for all channels.
        bias: integers `[K]`, or one for all channels, in units of acc * multiplier.

    Returns:
        int64 of `acc`'s shape.

    Raises:
        GoldenError: not integers, channel counts that differ, or a result that may not fit 64 bits.
    """
    acc, multiplier, bias = (
        _integers(acc, "acc"),
        _integers(multiplier, "multiplier"),
        _integers(bias, "bias"),
    )
    for name, values in (("multiplier", multiplier), ("bias", bias)):
        if values.ndim > 1 or (values.ndim == 1 and values.shape != acc.shape[-1:]):
            raise GoldenError(
                f"{name} has shape {list(values.shape)}, but must be one value or {list(acc.shape[-1:])}"
            )
    largest = _magnitude(acc) * _magnitude(multiplier) + _magnitude(bias)
    if largest >= 1 << 63:
        raise GoldenError(f"acc * multiplier + bias can reach {largest}, but must stay below 2**63")
    return acc.astype(np.int64) * multiplier.astype(np.int64) + bias.astype(np.int64)


def quantise(
    x: np.ndarray, shift: int, bits: int, signed: bool, rounding: str = "half_up", saturate: bool = True
) -> np.ndarray:
    """Right shift with rounding, then saturation or wrapping to a format: the last step of a fused layer.

    Rounding "truncate" gives floor(x / 2**shift). "half_up" gives floor((x + 2**(shift-1)) / 2**shift), x
    itself
    for shift 0: the nearest integer, a tie to the larger one (so -0.5 gives 0 and 0.5 gives 1).

    Args:
        x: integers of any shape.
        shift: 0 to 62.
        bits: 1 to 16, width of the result.
        signed: whether the result is two's complement signed.
        rounding: "truncate" or "half_up".
        saturate: True clamps to the range of (bits, signed); False keeps the low `bits` bits, as a hardware
            part-select does, and reads them as signed or unsigned.

    Returns:
        int64 of `x`'s shape, every value within `IntFormat(bits, signed)`.

    Raises:
        ConfigurationError: a parameter out of range.
        GoldenError: `x` does not hold integers.
    """
    target = IntFormat(bits, signed)
    if not _is_whole(shift) or not 0 <= shift <= MAX_SHIFT:
        raise ConfigurationError(f"shift is {shift!r}, but must be a whole number from 0 to {MAX_SHIFT}")
    if rounding not in ROUNDINGS:
        raise ConfigurationError(f"rounding is {rounding!r}, but must be one of {', '.join(ROUNDINGS)}")
    x = _integers(x, "x").astype(np.int64)
    y = x >> shift
    if rounding == "half_up" and shift:
        # The highest bit shifted out, added back: equal to adding 2**(shift-1) first, and cannot overflow.
        y += (x >> (shift - 1)) & 1
    if saturate:
        return np.clip(y, target.min, target.max)
    y &= (1 << target.bits) - 1
    if target.signed:
        y -= (y >> (target.bits - 1)) << target.bits
    return y


def _magnitude(values: np.ndarray) -> int:
    """Largest absolute value as a Python integer, because abs() of the smallest int64 wraps."""
    return max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0


def _integers(values: np.ndarray, name: str, rank: int | None = None) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "iu":
        raise GoldenError(f"{name} has dtype {values.dtype}, but must hold integers")
    if rank is not None and values.ndim != rank:
        raise GoldenError(f"{name} has shape {list(values.shape)}, but must have {rank} dimensions")
    if values.dtype == np.uint64 and values.size and int(values.max()) >= 1 << 63:
        raise GoldenError(f"{name} holds {int(values.max())}, but must stay below 2**63")
    return values


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _whole_numbers(values: tuple[int, ...], name: str, count: int, smallest: int) -> None:
    if len(values) != count or not all(_is_whole(v) and v >= smallest for v in values):
        raise ConfigurationError(
            f"{name} is {tuple(values)!r}, but must be {count} whole numbers of {smallest} or more"
        )
