"""Operators that move values without changing them. Arrays are `[runs, *shape]`; axes count in `shape`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = [
    "Concatenate",
    "DepthToSpace",
    "Pad",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Stack",
    "Transpose",
    "aligned",
    "ranked",
]


def ranked(x: np.ndarray, rank: int) -> np.ndarray:
    """`x` with axes of 1 behind the axis of runs, so that its shape broadcasts from the right."""
    return x.reshape(x.shape[:1] + (1,) * (rank - x.ndim) + x.shape[1:])


def aligned(*arrays: np.ndarray) -> list[np.ndarray]:
    """The arrays with as many axes each; see `ranked`."""
    rank = max(x.ndim for x in arrays)
    return [ranked(x, rank) for x in arrays]


@dataclass(frozen=True)
class Reshape:
    """The same values in row-major order under another shape (RESHAPE, SQUEEZE, EXPAND_DIMS)."""

    shape: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), *self.shape)


@dataclass(frozen=True)
class Transpose:
    """Axis i of the output is axis permutation[i] of the input (TRANSPOSE)."""

    permutation: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x.transpose(0, *(axis + 1 for axis in self.permutation)))


@dataclass(frozen=True)
class Pad:
    """`value` before and after each axis (PAD, with the zero point; PADV2)."""

    before_after: tuple[tuple[int, int], ...]
    value: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.pad(x, ((0, 0), *self.before_after), constant_values=self.value)


@dataclass(frozen=True)
class Concatenate:
    """Inputs behind one another along an axis (CONCATENATION of tensors of one scale)."""

    axis: int

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        runs = max(len(x) for x in inputs)
        return np.concatenate([np.broadcast_to(x, (runs, *x.shape[1:])) for x in inputs], self.axis + 1)


@dataclass(frozen=True)
class Stack:
    """Inputs side by side along a new axis (PACK)."""

    axis: int

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        runs = max(len(x) for x in inputs)
        return np.stack([np.broadcast_to(x, (runs, *x.shape[1:])) for x in inputs], self.axis + 1)


@dataclass(frozen=True)
class Slice:
    """From `begin` in steps of `stride`, `size` values of each axis; then the shape without the axes that the
    file drops (STRIDED_SLICE)."""

    begin: tuple[int, ...]
    stride: tuple[int, ...]
    size: tuple[int, ...]
    shape: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for axis, (begin, stride, size) in enumerate(zip(self.begin, self.stride, self.size, strict=True)):
            x = x.take(range(begin, begin + stride * size, stride), axis + 1)
        return x.reshape(len(x), *self.shape)


@dataclass(frozen=True)
class Split:
    """Consecutive parts of the given sizes along an axis, one output each (SPLIT, SPLIT_V)."""

    axis: int
    sizes: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(np.split(x, np.cumsum(self.sizes)[:-1], self.axis + 1))


@dataclass(frozen=True)
class SpaceToDepth:
    """Blocks of block x block pixels become channels, row by row: `[B, H, W, C]` to
    `[B, H/block, W/block, block*block*C]` (SPACE_TO_DEPTH)."""

    block: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        runs, batch, height, width, channels = x.shape
        n = self.block
        x = x.reshape(runs, batch, height // n, n, width // n, n, channels).transpose(0, 1, 2, 4, 3, 5, 6)
        return x.reshape(runs, batch, height // n, width // n, n * n * channels)


@dataclass(frozen=True)
class DepthToSpace:
    """Channels become blocks of block x block pixels, `[B, C, H, W]` to `[B, C/block**2, H*block, W*block]`
    (DepthToSpace of ONNX).

    Attributes:
        block: rows and columns of a block.
        columns_last: a pixel's place in its block is the last (mode CRD), or the first, part of the channel's index.
    """

    block: int
    columns_last: bool

    def __call__(self, x: np.ndarray) -> np.ndarray:
        runs, batch, channels, height, width = x.shape
        n, depth = self.block, channels // self.block**2
        if self.columns_last:
            x = x.reshape(runs, batch, depth, n, n, height, width).transpose(0, 1, 2, 5, 3, 6, 4)
        else:
            x = x.reshape(runs, batch, n, n, depth, height, width).transpose(0, 1, 4, 5, 2, 6, 3)
        return x.reshape(runs, batch, depth, height * n, width * n)
