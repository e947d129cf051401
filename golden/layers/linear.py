# SPDX-License-Identifier: Apache-2.0
"""Exact sums of integer products, by the BLAS in floats wherever a bound shows that no rounding can happen.

A float of p significant bits holds every integer of magnitude up to 2**p. If the absolute values of all products of
one sum add up to less than 2**p, then every product and every partial sum, in whatever order they are added and
whether or not multiply and add are fused, is such an integer, and no step rounds: p is 24 for float32 and 53 for
float64. The bound uses the actual weights and the range of the input's dtype (`exact_float`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from assay.golden.errors import ConfigurationError, DoesNotFitError

__all__ = ["Convolution", "TransposedConvolution", "Window", "exact_float", "sums_of_products"]

# im2col multiplies its input by the kernel's area; blocks of images or rows keep that copy near this many bytes,
# so that it stays in the cache between copying, multiplying and rescaling.
_BLOCK_BYTES = 1 << 20
# Weights are kept as the file's integers and become floats while they are multiplied, so many bytes at a time: a
# network takes the memory of its file, not eight times that.
_FLOAT_BYTES = 1 << 24


def exact_float(bound: int) -> type:
    """The cheapest float in which a sum of integer products is exact.

    Args:
        bound: what the absolute values of the sum's products add up to at most.

    Raises:
        DoesNotFitError: not below 2**53.
    """
    if bound < 1 << 24:
        return np.float32
    if bound < 1 << 53:
        return np.float64
    raise DoesNotFitError(f"a sum of products can reach {bound}, but must stay below 2**53")


@dataclass(frozen=True)
class Window:
    """Where a convolution or pooling reads: kernel, stride and dilation as (rows, columns), padding as
    (top, left, bottom, right)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns from the first tap to the last, both included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @staticmethod
    def same_padding(length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
        """Zeros before and after an axis so that as many outputs as strides begin in it (TFLite's SAME, ONNX's
        SAME_UPPER); an odd one comes after."""
        total = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
        return total // 2, total - total // 2

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the output for an input map of `size`.

        Raises:
            ConfigurationError: the dilated kernel is larger than the padded map.
        """
        padded = size[0] + self.padding[0] + self.padding[2], size[1] + self.padding[1] + self.padding[3]
        if self.extent[0] > padded[0] or self.extent[1] > padded[1]:
            raise ConfigurationError(
                f"kernel spans {self.extent[0]}x{self.extent[1]}, but the padded map is {padded[0]}x{padded[1]}"
            )
        return tuple((p - e) // s + 1 for p, e, s in zip(padded, self.extent, self.stride, strict=True))

    def taps(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """For each place of the kernel, row by row, the view of the padded `x` `[M, H, W, C]` that meets it."""
        rows, columns = (
            (n - e) // s + 1 for n, e, s in zip(x.shape[1:3], self.extent, self.stride, strict=True)
        )
        for row in range(0, self.extent[0], self.dilation[0]):
            for column in range(0, self.extent[1], self.dilation[1]):
                yield x[
                    :,
                    row : row + (rows - 1) * self.stride[0] + 1 : self.stride[0],
                    column : column + (columns - 1) * self.stride[1] + 1 : self.stride[1],
                ]

    def padded(self, x: np.ndarray, value: int, dtype: np.dtype) -> np.ndarray:
        """`x` `[M, H, W, C]` as `dtype` with `value` around it."""
        top, left, bottom, right = self.padding
        if not any(self.padding):
            return x.astype(dtype)
        shape = (len(x), x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3])
        y = np.full(shape, value, dtype)
        y[:, top : top + x.shape[1], left : left + x.shape[2]] = x
        return y


@dataclass(frozen=True, eq=False)
class Convolution:
    """Sums of a two-dimensional convolution of x - zero_point, plus a bias; outside its map x is zero_point.

    y[m, i, j, k] = bias[k] + sum over fy, fx, c of weight[k, fy, fx, c] * (x[m, row, column, g*C/groups + c] -
    zero_point), with g = k // (K / groups), row = i * stride + fy * dilation - top, and column likewise.

    The zero point is folded: sum(w * x) - zero_point * sum(w) has smaller products, so that float32 lasts longer.

    Attributes:
        weight: integers `[K, fH, fW, C / groups]` of any dtype, the file's where that holds them.
        bias: integers `[K]`.
        window: kernel, stride, dilation, padding.
        zero_point: of x.
        groups: divides C and K; C / groups = 1 is a depthwise convolution.
        magnitude: largest absolute value that x can have.
        dtype: the float in which the sums are exact (derived).
        bound: what a sum, or any part of it, can reach in magnitude (derived).

    Raises:
        DoesNotFitError: sums may reach 2**53.
    """

    weight: np.ndarray
    bias: np.ndarray
    window: Window
    zero_point: int = 0
    groups: int = 1
    magnitude: int = 128
    dtype: type = field(init=False)
    bound: int = field(init=False)
    _offset: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        signed, absolute = _sums(self.weight)
        offset = self.bias.astype(np.int64) - self.zero_point * signed
        magnitude = max(self.magnitude, abs(self.zero_point))
        # In Python's integers, which a hostile magnitude cannot wrap.
        bound = max(a * magnitude + abs(b) for a, b in zip(absolute.tolist(), offset.tolist(), strict=True))
        object.__setattr__(self, "bound", bound)
        object.__setattr__(self, "dtype", exact_float(bound))
        object.__setattr__(self, "_offset", offset.astype(self.dtype))

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads one input channel of several."""
        return self.weight.shape[3] == 1 and self.groups > 1

    def blocks(self, x: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """The sums, in blocks of images and output rows: ((images, rows), `dtype` `[m, r, oW, K]`)."""
        out_h, out_w = self.window.output_size(x.shape[1:3])
        itemsize = np.dtype(self.dtype).itemsize
        terms = len(self.weight) if self.depthwise else self.weight[0].size * self.groups
        row_bytes = itemsize * max(1, out_w * max(terms, len(self.weight)))
        block_bytes, matrix = _BLOCK_BYTES, None
        if self.weight.size * itemsize <= _FLOAT_BYTES:
            matrix = self._matrix(slice(None))
        else:
            # Weights that become floats for each block anew are worth a larger block.
            block_bytes = _FLOAT_BYTES
        images = max(1, block_bytes // (row_bytes * out_h))
        rows = out_h if images > 1 else max(1, min(out_h, block_bytes // row_bytes))
        for first in range(0, len(x), images):
            padded = self.window.padded(x[first : first + images], self.zero_point, self.dtype)
            for row in range(0, out_h, rows):
                count = min(rows, out_h - row)
                top = row * self.window.stride[0]
                bottom = top + (count - 1) * self.window.stride[0] + self.window.extent[0]
                sums = self._multiply(padded[:, top:bottom], matrix)
                sums += self._offset
                yield (slice(first, first + images), slice(row, row + count)), sums

    def sums(self, x: np.ndarray) -> np.ndarray:
        """All sums at once: integers `[M, H, W, C]` to int64 `[M, oH, oW, K]`."""
        y = np.empty((len(x), *self.window.output_size(x.shape[1:3]), len(self.weight)), np.int64)
        for block, sums in self.blocks(x):
            y[block] = sums
        return y

    def _matrix(self, channels: slice) -> np.ndarray:
        """The weights of some channels of each group as floats: `[groups, terms, K / groups]`, or `[fH, fW, K]`."""
        if self.depthwise:
            return np.ascontiguousarray(np.moveaxis(self.weight[..., 0], 0, -1), self.dtype)
        grouped = self.weight.reshape(self.groups, len(self.weight) // self.groups, -1)
        return grouped[:, channels].astype(self.dtype).swapaxes(1, 2)

    def _multiply(self, padded: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
        """Products and their sums, without the offset: one matrix product for each group (im2col).

        Without a `matrix` the weights become floats here, a part at a time.
        """
        if self.depthwise:
            return self._multiply_depthwise(padded, self._matrix(slice(None)) if matrix is None else matrix)
        window = self.window
        views = sliding_window_view(padded, window.extent, axis=(1, 2))
        views = views[
            :, :: window.stride[0], :: window.stride[1], :, :: window.dilation[0], :: window.dilation[1]
        ]
        positions = views.shape[:3]
        views = views.reshape(*positions, self.groups, -1, *window.kernel).transpose(3, 0, 1, 2, 5, 6, 4)
        views = views.reshape(self.groups, -1, self.weight[0].size)
        if matrix is not None:
            sums = views @ matrix
        else:
            count = len(self.weight) // self.groups
            sums = np.empty((self.groups, views.shape[1], count), self.dtype)
            step = max(1, _FLOAT_BYTES * count // (self.weight.size * np.dtype(self.dtype).itemsize))
            for first in range(0, count, step):
                part = slice(first, first + step)
                np.matmul(views, self._matrix(part), out=sums[..., part])
        return sums.transpose(1, 0, 2).reshape(*positions, -1)

    def _multiply_depthwise(self, padded: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """The same for one input channel a group: one product of whole maps for each place of the kernel."""
        multiplier = len(self.weight) // self.groups
        weights = matrix.reshape(-1, self.groups, multiplier)
        if multiplier == 1:
            weights = weights[..., 0]
        total = None
        for tap, weight in zip(self.window.taps(padded), weights, strict=True):
            product = (tap if multiplier == 1 else tap[..., None]) * weight
            total = product if total is None else np.add(total, product, out=total)
        return total.reshape(*total.shape[:3], -1)


@dataclass(frozen=True, eq=False)
class TransposedConvolution:
    """Sums of a transposed convolution of x - zero_point, plus a bias.

    Input pixel (row, column) adds its product with kernel place (fy, fx) to output pixel (row * stride + fy - top,
    column * stride + fx - left), if the output has that pixel.

    Attributes:
        weight: integers `[K, fH, fW, C]`.
        bias: integers `[K]`.
        size: rows and columns of the output.
        stride: rows and columns.
        padding: (top, left).
        zero_point: of x.
        magnitude: largest absolute value that x - zero_point can have.
        dtype: the float in which the sums are exact (derived).

    Raises:
        DoesNotFitError: sums may reach 2**53.
    """

    weight: np.ndarray
    bias: np.ndarray
    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    zero_point: int = 0
    magnitude: int = 255
    dtype: type = field(init=False)

    def __post_init__(self) -> None:
        _, absolute = _sums(self.weight)
        bound = int((absolute * self.magnitude + np.abs(self.bias.astype(np.int64))).max())
        object.__setattr__(self, "dtype", exact_float(bound))

    def sums(self, x: np.ndarray) -> np.ndarray:
        """All sums of one image: integers `[H, W, C]` to int64 `[oH, oW, K]`."""
        y = np.zeros((*self.size, len(self.weight)), self.dtype)
        y += self.bias.astype(self.dtype)
        pixels = x.astype(self.dtype) - self.zero_point
        for fy in range(self.weight.shape[1]):
            rows, out_rows = self._met(0, fy, x.shape[0])
            for fx in range(self.weight.shape[2]):
                columns, out_columns = self._met(1, fx, x.shape[1])
                if rows and columns:
                    part = pixels[rows.start : rows.stop, columns.start : columns.stop]
                    y[out_rows, out_columns] += part @ self.weight[:, fy, fx].astype(self.dtype).T
        return y.astype(np.int64)

    def _met(self, axis: int, place: int, length: int) -> tuple[range, slice]:
        """Of the input rows (or columns), those whose kernel row `place` falls into the output, and where."""
        stride, shift = self.stride[axis], place - self.padding[axis]
        first = max(0, -(shift // stride))
        last = min(length - 1, (self.size[axis] - 1 - shift) // stride)
        begin = first * stride + shift
        return range(first, last + 1), slice(begin, begin + max(0, last - first) * stride + 1, stride)


def _sums(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each output channel's weights the sum, and the sum of the absolute values: int64 `[K]` each."""
    flat = weight.reshape(len(weight), -1)
    signed = flat.sum(axis=1, dtype=np.int64)
    return signed, 2 * np.maximum(flat, 0).sum(axis=1, dtype=np.int64) - signed


def sums_of_products(a: np.ndarray, b: np.ndarray, magnitude: int) -> np.ndarray:
    """Batched matrix product of integers, `[..., I, K] @ [..., K, J]`, as `numpy.matmul` broadcasts.

    Args:
        a, b: integers.
        magnitude: largest possible absolute value of a product of one element of each.

    Returns:
        int64 `[..., I, J]`.

    Raises:
        DoesNotFitError: sums may reach 2**53.
    """
    dtype = exact_float(magnitude * a.shape[-1])
    a, columns = a.astype(dtype), b.shape[-1]
    step = max(1, _FLOAT_BYTES * columns // max(1, b.size * np.dtype(dtype).itemsize))
    if step >= columns:
        return (a @ b.astype(dtype)).astype(np.int64)
    parts = [a @ b[..., first : first + step].astype(dtype) for first in range(0, columns, step)]
    return np.concatenate(parts, axis=-1).astype(np.int64)
