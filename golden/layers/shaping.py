# SPDX-License-Identifier: Apache-2.0
"""Operators that move values without changing them. Arrays are `[runs, *shape]`; axes count in `shape`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.golden.errors import GoldenError

__all__ = [
    "MOVES",
    "BatchToSpace",
    "Broadcast",
    "Concatenate",
    "DepthToSpace",
    "Gather",
    "Pad",
    "Reshape",
    "Slice",
    "SpaceToBatch",
    "SpaceToDepth",
    "Split",
    "Stack",
    "Take",
    "Tile",
    "Transpose",
    "Unstack",
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
    """The inverse of `SpaceToDepth` (DEPTH_TO_SPACE)."""

    block: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        runs, batch, height, width, channels = x.shape
        n = self.block
        x = x.reshape(runs, batch, height, width, n, n, -1).transpose(0, 1, 2, 4, 3, 5, 6)
        return x.reshape(runs, batch, height * n, width * n, channels // (n * n))


@dataclass(frozen=True)
class SpaceToBatch:
    """After padding, pixels that are a multiple of the block apart form images of their own, which follow one another
    on the batch axis, the place in the block first: `[B, H, W, ...]` to `[n*m*B, H/n, W/m, ...]`
    (SPACE_TO_BATCH_ND)."""

    block: tuple[int, ...]
    before_after: tuple[tuple[int, int], ...]
    value: int

    def __call__(self, x: np.ndarray) -> np.ndarray:
        n = len(self.block)
        rest = x.ndim - 2 - n
        x = np.pad(x, ((0, 0), (0, 0), *self.before_after, *((0, 0),) * rest), constant_values=self.value)
        runs, batch = x.shape[:2]
        split = [
            part for length, b in zip(x.shape[2:], self.block, strict=False) for part in (length // b, b)
        ]
        x = x.reshape(runs, batch, *split, *x.shape[2 + n :])
        places, images = range(3, 3 + 2 * n, 2), range(2, 2 + 2 * n, 2)
        x = x.transpose(0, *places, 1, *images, *range(2 + 2 * n, x.ndim))
        return x.reshape(runs, -1, *split[::2], *x.shape[2 + 2 * n :])


@dataclass(frozen=True)
class BatchToSpace:
    """The inverse of `SpaceToBatch`, whose padding is cut off (BATCH_TO_SPACE_ND)."""

    block: tuple[int, ...]
    crops: tuple[tuple[int, int], ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        n = len(self.block)
        runs, sizes = len(x), x.shape[2 : 2 + n]
        x = x.reshape(runs, *self.block, -1, *x.shape[2:])
        order = [axis for i in range(n) for axis in (2 + n + i, 1 + i)]
        x = x.transpose(0, 1 + n, *order, *range(2 + 2 * n, x.ndim))
        sizes = [length * b for length, b in zip(sizes, self.block, strict=True)]
        x = x.reshape(runs, x.shape[1], *sizes, *x.shape[2 + 2 * n :])
        kept = (slice(low, size - high) for size, (low, high) in zip(sizes, self.crops, strict=True))
        return x[:, :, *kept]


@dataclass(frozen=True, eq=False)
class Take:
    """The given places of an axis, in that order (GATHER of constant places, REVERSE_V2, MIRROR_PAD,
    RESIZE_NEAREST_NEIGHBOR); several axes one after the other, then `shape` if there is one."""

    places: tuple[tuple[int, Sequence[int]], ...]
    shape: tuple[int, ...] | None = None

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for axis, places in self.places:
            x = x.take(places, axis + 1)
        return x if self.shape is None else x.reshape(len(x), *self.shape)


@dataclass(frozen=True)
class Gather:
    """Slices of the first input's axis at the places that the second gives; the first `batches` axes of both go
    together (GATHER).

    Raises:
        GoldenError: a place outside the axis.
    """

    axis: int
    batches: int
    node: str

    def __call__(self, x: np.ndarray, places: np.ndarray) -> np.ndarray:
        length = x.shape[self.axis + 1]
        if places.size and (places.min() < 0 or places.max() >= length):
            bad = places[(places < 0) | (places >= length)][0]
            raise GoldenError(f"{self.node}: index is {bad}, but must be 0 to {length - 1}")
        runs = max(len(x), len(places))
        x = np.broadcast_to(x, (runs, *x.shape[1:]))
        places = np.broadcast_to(places, (runs, *places.shape[1:]))
        lead = x.shape[: 1 + self.batches]
        parts = [x[i].take(places[i], self.axis - self.batches) for i in np.ndindex(lead)]
        return np.stack(parts).reshape(*lead, *parts[0].shape)


@dataclass(frozen=True)
class Tile:
    """The array repeated along each axis (TILE)."""

    repeats: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.tile(x, (1, *self.repeats))


@dataclass(frozen=True)
class Broadcast:
    """Axes of 1 (and axes that are missing in front) repeated to a shape (BROADCAST_TO, FILL)."""

    shape: tuple[int, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(ranked(x, len(self.shape) + 1), (len(x), *self.shape))


@dataclass(frozen=True)
class Unstack:
    """One output for each place of an axis, which is dropped (UNPACK)."""

    axis: int

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(np.moveaxis(x, self.axis + 1, 0))


#: All of them: a system's DMA can do them.
MOVES = (
    BatchToSpace,
    Broadcast,
    Concatenate,
    DepthToSpace,
    Gather,
    Pad,
    Reshape,
    Slice,
    SpaceToBatch,
    SpaceToDepth,
    Split,
    Stack,
    Take,
    Tile,
    Transpose,
    Unstack,
)
