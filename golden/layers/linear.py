# SPDX-License-Identifier: Apache-2.0
"""Exact sums of integer products, by the BLAS in floats wherever a bound shows that no rounding can happen.

A float of p significant bits holds every integer of magnitude up to 2**p. If the absolute values of all products of
one sum add up to less than 2**p, then every product and every partial sum, in whatever order they are added and
whether or not multiply and add are fused, is such an integer, and no step rounds: p is 24 for float32 and 53 for
float64. The bound uses the actual weights and the range of the input's dtype (`exact_float`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from assay.golden.errors import ConfigurationError, DoesNotFitError
from assay.golden.layers.scratch import scratch

__all__ = [
    "Convolution",
    "TransposedConvolution",
    "Window",
    "exact_float",
    "pair",
    "repeats",
    "sums_of_products",
]

# im2col multiplies its input by the kernel's area; blocks of images or rows keep that copy and its sums near this many
# bytes, so that they stay in the cache between copying, multiplying and rescaling.
_BLOCK_BYTES = 1 << 21
# The same for the sums alone, which more steps pass through.
_BLOCK_SUMS = 1 << 17
# Numbers that numpy's innermost loop shall take at once: it costs as much to enter as some hundred numbers do.
_VECTOR = 2048
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


def pair(values: Sequence[int]) -> tuple[int, int]:
    """Two numbers, such as the rows and columns of a shape."""
    rows, columns = values
    return rows, columns


@dataclass(frozen=True)
class Window:
    """The windows that a convolution or pooling reads: kernel, stride and dilation as (rows, columns), padding as
    (top, left, bottom, right)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns from the first tap to the last, both included."""
        return (self.kernel[0] - 1) * self.dilation[0] + 1, (self.kernel[1] - 1) * self.dilation[1] + 1

    @staticmethod
    def same_padding(length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
        """Zeros before and after an axis so that as many outputs as strides begin in it (TFLite's SAME, ONNX's
        SAME_UPPER); an odd one comes after."""
        total = max((-(-length // stride) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
        return total // 2, total - total // 2

    def output_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Rows and columns of the output for an input map of `size`.

        Raises:
            ConfigurationError: the dilated kernel is larger than the padded map.
        """
        padded = size[0] + self.padding[0] + self.padding[2], size[1] + self.padding[1] + self.padding[3]
        extent = self.extent
        if extent[0] > padded[0] or extent[1] > padded[1]:
            raise ConfigurationError(
                f"kernel spans {extent[0]}x{extent[1]}, but the padded map is {padded[0]}x{padded[1]}"
            )
        return (padded[0] - extent[0]) // self.stride[0] + 1, (padded[1] - extent[1]) // self.stride[1] + 1

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

    def padded(self, x: np.ndarray, value: float, dtype: npt.DTypeLike) -> np.ndarray:
        """`x` `[M, H, W, C]` as `dtype` with `value` around it."""
        top, left, bottom, right = self.padding
        if not any(self.padding):
            return x.astype(dtype, copy=False)
        shape = (len(x), x.shape[1] + top + bottom, x.shape[2] + left + right, x.shape[3])
        y = np.full(shape, value, dtype)
        y[:, top : top + x.shape[1], left : left + x.shape[2]] = x
        return y

    def largest(self, x: np.ndarray, outside: int) -> np.ndarray:
        """The largest value of each window of `x` `[M, H, W, C]`, padded with `outside`: `x`'s dtype, `[M, oH, oW, C]`.

        One maximum per place of the kernel: far fewer passes than one per output, and no copy of the windows.
        """
        first, *others = self.taps(self.padded(x, outside, x.dtype))
        y = first.copy()
        for tap in others:
            np.maximum(y, tap, out=y)
        return y

    def totals(self, x: np.ndarray) -> np.ndarray:
        """The sum of each window of the integers `x` `[M, H, W, C]`, padded with 0: int64 `[M, oH, oW, C]`."""
        first, *others = self.taps(self.padded(x, 0, x.dtype))
        y = first.astype(np.int64)
        for tap in others:
            y += tap
        return y

    def counts(self, size: tuple[int, int]) -> np.ndarray:
        """Places of each window that lie in a map of `size` (rows, columns): int64 `[1, oH, oW, 1]`."""
        return self.totals(np.ones((1, *size, 1), np.int8))


@dataclass(frozen=True, eq=False)
class Convolution:
    """Sums of a two-dimensional convolution of x - zero_point, plus a bias; outside its map x is zero_point.

    y[m, i, j, k] = bias[k] + sum over fy, fx, c of weight[k, fy, fx, c] * (x[m, row, column, g*C/groups + c] -
    zero_point), with g = k // (K / groups), row = i * stride + fy * dilation - top, and column likewise.

    The zero point is folded: y = `offset` + sum(w * x), with offset = bias - zero_point * sum(w). The products are
    smaller so, float32 lasts longer, and x enters the sums as it is.

    Attributes:
        weight: integers `[K, fH, fW, C / groups]` of any dtype, the file's where that holds them.
        bias: integers `[K]`.
        window: kernel, stride, dilation, padding.
        zero_point: of x.
        groups: divides C and K; C / groups = 1 is a depthwise convolution.
        magnitude: largest absolute value that x can have.
        offset: int64 `[K]`, what is added to the sums of products (derived).
        reach: int64 `[K]`, the largest magnitude of a sum of products, or of any part of it (derived).
        dtype: the float in which the sums of products are exact (derived).
        bound: what a sum with its offset, or any part of it, can reach in magnitude (derived).

    Raises:
        DoesNotFitError: sums may reach 2**53.
    """

    weight: np.ndarray
    bias: np.ndarray
    window: Window
    zero_point: int = 0
    groups: int = 1
    magnitude: int = 128
    offset: np.ndarray = field(init=False, repr=False)
    reach: np.ndarray = field(init=False, repr=False)
    dtype: type = field(init=False)
    bound: int = field(init=False)

    def __post_init__(self) -> None:
        signed, absolute = _sums(self.weight)
        offset = self.bias.astype(np.int64) - self.zero_point * signed
        magnitude = max(self.magnitude, abs(self.zero_point))
        # In Python's integers, which a hostile magnitude cannot wrap.
        reach = [each * magnitude for each in absolute.tolist()]
        bound = max(r + abs(o) for r, o in zip(reach, offset.tolist(), strict=True))
        exact_float(bound)
        object.__setattr__(self, "bound", bound)
        object.__setattr__(self, "dtype", exact_float(max(reach)))
        object.__setattr__(self, "reach", np.array(reach, np.int64))
        object.__setattr__(self, "offset", offset)

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads one input channel of several."""
        return self.weight.shape[3] == 1 and self.groups > 1

    def blocks(self, x: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
        """The sums of products of `x` `[M, H, W, C]`, without their offset, in blocks of images and output rows.

        Yields:
            ((images, rows), sums): `dtype` `[m, r, oW, K]`, in memory that the next block overwrites.
        """
        out_h, out_w = self.window.output_size(x.shape[1:3])
        itemsize, outputs = np.dtype(self.dtype).itemsize, len(self.weight)
        # A position's bytes: what is multiplied, and its sums.
        across = math.prod(self.window.stride) if self.depthwise else math.prod(self.window.kernel)
        position = itemsize * (across * x.shape[3] + outputs)
        # Weights that pass the cache, or become floats, for each block anew are worth a larger block.
        floats = self.weight.size * itemsize
        whole = floats <= _FLOAT_BYTES
        positions = max(1, (max(_BLOCK_BYTES, 4 * floats) if whole else _FLOAT_BYTES) // position)
        positions = min(positions, max(1, _BLOCK_SUMS // outputs, floats // position))
        images = max(1, min(len(x), positions // (out_h * out_w)))
        rows = out_h if images > 1 else max(1, min(out_h, positions // out_w))
        largest = images * rows * out_w
        dense = 0 if self.depthwise else largest * self.weight[0].size * self.groups
        patch = _Patch(self, x, images, rows)
        with (
            scratch("sums", largest * outputs, self.dtype) as memory,
            scratch("columns", dense, self.dtype) as columns,
            scratch("patch", math.prod(patch.shape), patch.dtype) as maps,
        ):
            patch.use(maps)
            multiply = self._depthwise(out_w) if self.depthwise else self._dense(columns, whole)
            for first in range(0, len(x), images):
                count = min(images, len(x) - first)
                for row in range(0, out_h, rows):
                    height = min(rows, out_h - row)
                    sums = memory[: count * height * out_w * outputs].reshape(count, height, out_w, outputs)
                    multiply(patch.windows(first, count, row, height), sums)
                    yield (slice(first, first + count), slice(row, row + height)), sums

    def sums(self, x: np.ndarray) -> np.ndarray:
        """All sums at once: integers `[M, H, W, C]` to int64 `[M, oH, oW, K]`."""
        y = np.empty((len(x), *self.window.output_size(x.shape[1:3]), len(self.weight)), np.int64)
        for block, sums in self.blocks(x):
            part = y[block]
            part[...] = sums
            part += self.offset
        return y

    def _matrix(self, channels: slice) -> np.ndarray:
        """The weights of some channels of each group as floats: `[groups, terms, K / groups]`."""
        grouped = self.weight.reshape(self.groups, len(self.weight) // self.groups, -1)
        return grouped[:, channels].astype(self.dtype).swapaxes(1, 2)

    def _dense(self, memory: np.ndarray, whole: bool) -> Callable[[np.ndarray, np.ndarray], None]:
        """A function of a block's windows and of where its sums go: one matrix product for each group (im2col).

        Args:
            memory: for a block's columns, `dtype`.
            whole: whether all weights become floats once, or else for each block anew, a part at a time.
        """
        groups, outputs, terms = self.groups, len(self.weight) // self.groups, self.weight[0].size
        matrix = self._matrix(slice(None)) if whole else None

        def multiply(windows: np.ndarray, sums: np.ndarray) -> None:
            positions = math.prod(windows.shape[:3])
            columns = memory[: groups * positions * terms].reshape(groups, positions, terms)
            # The only copy: im2col, and integers become floats.
            parts = columns.reshape(groups, *windows.shape[:5], -1)
            parts[...] = windows.reshape(*windows.shape[:5], groups, -1).transpose(5, 0, 1, 2, 3, 4, 6)
            flat = sums.reshape(positions, groups * outputs)
            if matrix is not None and groups == 1:
                np.matmul(columns[0], matrix[0], out=flat)
            elif matrix is not None:
                flat.reshape(positions, groups, outputs)[...] = (columns @ matrix).swapaxes(0, 1)
            else:
                step = max(1, _FLOAT_BYTES * outputs // (self.weight.size * columns.itemsize))
                for first in range(0, outputs, step):
                    part = slice(first, first + step)
                    flat.reshape(positions, groups, outputs)[..., part] = (
                        columns @ self._matrix(part)
                    ).swapaxes(0, 1)

        return multiply

    def _depthwise(self, out_w: int) -> Callable[[np.ndarray, np.ndarray], None]:
        """The same for one input channel a group: a sum over the places of the kernel, of whole rows at once."""
        multiplier, channels = len(self.weight) // self.groups, self.groups
        # Several columns of a row are one vector, because numpy's loops are slow where the innermost one is short.
        columns = repeats(out_w, channels)
        weights = self.weight[..., 0].reshape(channels, multiplier, *self.window.kernel).transpose(1, 2, 3, 0)
        tiled: np.ndarray = np.tile(weights.astype(self.dtype), (1, 1, 1, columns))

        def multiply(windows: np.ndarray, sums: np.ndarray) -> None:
            images, rows = windows.shape[:2]
            shape = (images, rows, out_w // columns, *self.window.kernel, columns * channels)
            strides = windows.strides
            vectors = as_strided(
                windows, shape, (*strides[:2], strides[2] * columns, *strides[3:]), writeable=False
            )
            for number, kernel in enumerate(tiled):
                out = sums.reshape(images, rows, out_w // columns, -1, multiplier)[..., number]
                np.einsum("mrqyxc,yxc->mrqc", vectors, kernel, out=out)

        return multiply


class _Patch:
    """The part of padded maps that a block of images and output rows reads, as a view of its windows.

    Args:
        convolution: whose windows they are. Of a depthwise one the values become floats, and each column of the kernel
            has its own copy of a map if the stride is not 1, so that neighbouring windows are neighbours in memory.
        x: integers `[M, H, W, C]`.
        images, rows: of the largest block.
    """

    def __init__(self, convolution: Convolution, x: np.ndarray, images: int, rows: int) -> None:
        window, zero_point, depthwise = convolution.window, convolution.zero_point, convolution.depthwise
        self._x, self._window, self._zero_point = x, window, zero_point
        self._width = window.output_size(x.shape[1:3])[1]
        self._apart = depthwise and window.stride[1] > 1
        self._memory: np.ndarray | None = None
        self.shape: tuple[int, ...] = (0,)
        self.dtype: npt.DTypeLike = convolution.dtype
        if depthwise or any(window.padding):
            limits = np.iinfo(x.dtype)
            kept = not depthwise and limits.min <= zero_point <= limits.max
            columns = (window.kernel[1], self._width) if self._apart else (1, self._padded_width)
            height = (rows - 1) * window.stride[0] + window.extent[0]
            self.shape = (images, height, *columns, x.shape[3])
            self.dtype = x.dtype if kept else convolution.dtype

    def use(self, memory: np.ndarray) -> None:
        """Put the maps into `memory`, of as many numbers as `shape` has, unless they are read where they are."""
        if memory.size:
            memory.fill(self._zero_point)
            self._memory = memory.reshape(self.shape)

    @property
    def _padded_width(self) -> int:
        return self._x.shape[2] + self._window.padding[1] + self._window.padding[3]

    def windows(self, first: int, count: int, row: int, rows: int) -> np.ndarray:
        """The windows of some images and output rows: `[m, r, oW, fH, fW, C]`."""
        window = self._window
        begin = row * window.stride[0] - window.padding[0]
        end = begin + (rows - 1) * window.stride[0] + window.extent[0]
        x = self._x[first : first + count, max(begin, 0) : max(end, 0)]
        maps = (
            x[:, :, None]
            if self._memory is None
            else self._padded(x, self._memory[:count, : end - begin], begin)
        )
        across = (1, 1) if self._apart else (window.stride[1], window.dilation[1])
        _, down, copy, right, channel = maps.strides
        return as_strided(
            maps,
            (count, rows, self._width, *window.kernel, x.shape[3]),
            (
                maps.strides[0],
                down * window.stride[0],
                right * across[0],
                down * window.dilation[0],
                copy if self._apart else right * across[1],
                channel,
            ),
            writeable=False,
        )

    def _padded(self, x: np.ndarray, maps: np.ndarray, begin: int) -> np.ndarray:
        """Put rows of `x` into `maps`, whose first row is row `begin` of the unpadded map; columns outside stay."""
        above, left = max(-begin, 0), self._window.padding[1]
        maps[:, :above] = self._zero_point
        maps[:, above + x.shape[1] :] = self._zero_point
        inside = maps[:, above : above + x.shape[1]]
        if not self._apart:
            inside[:, :, 0, left : left + x.shape[2]] = x
            return maps
        stride = self._window.stride[1]
        for place in range(self._window.kernel[1]):
            shift = place * self._window.dilation[1] - left
            columns = range(
                -(min(shift, 0) // stride), min(self._width, (x.shape[2] - 1 - shift) // stride + 1)
            )
            if columns:
                met = slice(columns[0] * stride + shift, columns[-1] * stride + shift + 1, stride)
                inside[:, :, place, columns.start : columns.stop] = x[:, :, met]
        return maps


@functools.lru_cache(maxsize=1024)
def repeats(count: int, length: int) -> int:
    """The largest divisor of `count` of which so many vectors of `length` are together as long as numpy's loops
    need to be to run at full speed."""
    most = max(1, min(count, _VECTOR // max(1, length)))
    return next(n for n in range(most, 0, -1) if count % n == 0)


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
        y: np.ndarray = np.zeros((*self.size, len(self.weight)), self.dtype)
        y += self.bias.astype(self.dtype)
        pixels: np.ndarray = x.astype(self.dtype) - self.zero_point
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
    signed, absolute = np.empty((2, len(weight)), np.int64)
    # A part at a time, because the largest layers are most of a network's memory.
    step = max(1, _BLOCK_BYTES // max(1, weight[0].size))
    for first in range(0, len(weight), step):
        part = weight[first : first + step].reshape(-1, weight[0].size)
        total = part.sum(axis=1, dtype=np.int64)
        signed[first : first + step] = total
        absolute[first : first + step] = 2 * np.maximum(part, 0).sum(axis=1, dtype=np.int64) - total
    return signed, absolute


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
