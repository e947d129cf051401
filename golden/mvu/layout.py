# SPDX-License-Identifier: Apache-2.0
"""Memory images of the MVU: tensors to words and back, as `docs/mvu.md` lays them out.

A word is a row of a uint8 array, its bytes little-endian: bit i of the word is bit i % 8 of byte i // 8. This is
the one representation of words in the whole project. A word of fewer than 8 bits occupies one byte.
"""

from __future__ import annotations

import math

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat

__all__ = [
    "activation_words",
    "channel_blocks",
    "pack_activations",
    "pack_bits",
    "pack_weights",
    "unpack_activations",
    "unpack_bits",
    "unpack_weights",
    "values_of_planes",
    "weight_words",
    "word_bytes",
]


def word_bytes(bits: int) -> int:
    """Bytes of a word of `bits` bits."""
    return -(-bits // 8)


def channel_blocks(channels: int, lanes: int) -> int:
    """Blocks of `lanes` channels that hold `channels` channels."""
    return -(-channels // lanes)


def activation_words(shape: tuple[int, ...], fmt: IntFormat, lanes: int) -> int:
    """Words of an activation tensor of `shape` (..., C)."""
    return math.prod(shape[:-1]) * channel_blocks(shape[-1], lanes) * fmt.bits


def weight_words(shape: tuple[int, int, int, int], fmt: IntFormat, lanes: int) -> int:
    """Words of a weight tensor of `shape` (K, fH, fW, C)."""
    outputs, height, width, channels = shape
    return channel_blocks(outputs, lanes) * height * width * channel_blocks(channels, lanes) * fmt.bits


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Bits `[..., n]`, each 0 or 1, to words uint8 `[..., word_bytes(n)]`."""
    return np.packbits(bits, axis=-1, bitorder="little")


def unpack_bits(words: np.ndarray, bits: int) -> np.ndarray:
    """Words uint8 `[..., word_bytes(bits)]` to uint8 `[..., bits]`, each 0 or 1."""
    return np.unpackbits(words, axis=-1, count=bits, bitorder="little")


def values_of_planes(planes: np.ndarray, fmt: IntFormat) -> np.ndarray:
    """Bit planes uint8 `[..., fmt.bits, n]`, most significant first, to the int64 values `[..., n]` they stand for."""
    values = planes[..., 0, :].astype(np.int64)
    if fmt.signed:
        np.negative(values, out=values)
    for plane in range(1, fmt.bits):
        values *= 2
        values += planes[..., plane, :]
    return values


def pack_activations(x: np.ndarray, fmt: IntFormat, lanes: int) -> np.ndarray:
    """Lay out an activation tensor.

    Args:
        x: integers `[..., C]`, usually `[H, W, C]` or `[N, H, W, C]`, within `fmt`.
        fmt: format of the values.
        lanes: channels in a block.

    Returns:
        uint8 `[n_words, lanes/8]`: position by position, block by block, most significant plane first.

    Raises:
        ConfigurationError: a value outside `fmt`, or `x` does not hold integers.
    """
    x = _checked(x, "activation", fmt)
    channels = x.shape[-1]
    x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -channels % lanes)])
    return pack_bits(_planes(x.reshape(-1, lanes), fmt)).reshape(-1, word_bytes(lanes))


def unpack_activations(words: np.ndarray, shape: tuple[int, ...], fmt: IntFormat, lanes: int) -> np.ndarray:
    """Read back what `pack_activations` laid out; channels past the last are not looked at.

    Args:
        words: uint8 `[n_words, lanes/8]`.
        shape: (..., C) of the tensor.
        fmt: format of the values.
        lanes: channels in a block.

    Returns:
        int64 of `shape`.

    Raises:
        ConfigurationError: `words` is not as large as `shape` needs.
    """
    blocks = channel_blocks(shape[-1], lanes)
    words = _sized(words, activation_words(shape, fmt, lanes), lanes, shape)
    planes = unpack_bits(words, lanes).reshape(-1, fmt.bits, lanes)
    return values_of_planes(planes, fmt).reshape(*shape[:-1], blocks * lanes)[..., : shape[-1]]


def pack_weights(weight: np.ndarray, fmt: IntFormat, lanes: int) -> np.ndarray:
    """Lay out a weight tensor.

    Args:
        weight: integers `[K, fH, fW, C]` within `fmt`.
        fmt: format of the values.
        lanes: channels in a block, of inputs and of outputs.

    Returns:
        uint8 `[n_words, lanes*lanes/8]`: output block, kernel row, kernel column, input block, most significant
        plane first.

    Raises:
        ConfigurationError: a value outside `fmt`, or `weight` does not hold integers in 4 dimensions.
    """
    weight = _checked(weight, "weight", fmt)
    if weight.ndim != 4:
        raise ConfigurationError(f"weight has shape {list(weight.shape)}, but must be [K, fH, fW, C]")
    outputs, height, width, channels = weight.shape
    weight = np.pad(weight, ((0, -outputs % lanes), (0, 0), (0, 0), (0, -channels % lanes)))
    tiles = weight.reshape(-1, lanes, height, width, weight.shape[3] // lanes, lanes)
    tiles = tiles.transpose(0, 2, 3, 4, 1, 5).reshape(-1, lanes * lanes)
    return pack_bits(_planes(tiles, fmt)).reshape(-1, word_bytes(lanes * lanes))


def unpack_weights(
    words: np.ndarray, shape: tuple[int, int, int, int], fmt: IntFormat, lanes: int
) -> np.ndarray:
    """Read back what `pack_weights` laid out.

    Args:
        words: uint8 `[n_words, lanes*lanes/8]`.
        shape: (K, fH, fW, C) of the tensor.
        fmt: format of the values.
        lanes: channels in a block.

    Returns:
        int64 of `shape`.

    Raises:
        ConfigurationError: `words` is not as large as `shape` needs.
    """
    outputs, height, width, channels = shape
    words = _sized(words, weight_words(shape, fmt, lanes), lanes * lanes, shape)
    planes = unpack_bits(words, lanes * lanes).reshape(-1, fmt.bits, lanes * lanes)
    tiles = values_of_planes(planes, fmt).reshape(
        -1, height, width, channel_blocks(channels, lanes), lanes, lanes
    )
    weight = tiles.transpose(0, 4, 1, 2, 3, 5).reshape(tiles.shape[0] * lanes, height, width, -1)
    return weight[:outputs, ..., :channels]


def _planes(values: np.ndarray, fmt: IntFormat) -> np.ndarray:
    """Integers `[n, m]` to their two's complement bits, uint8 `[n, fmt.bits, m]`, most significant plane first."""
    planes = np.empty((values.shape[0], fmt.bits, values.shape[1]), np.uint8)
    for plane in range(fmt.bits):
        planes[:, fmt.bits - 1 - plane] = (values >> plane) & 1
    return planes


def _checked(values: np.ndarray, name: str, fmt: IntFormat) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "iu" or values.ndim == 0:
        raise ConfigurationError(
            f"{name} is {values.dtype} {list(values.shape)}, but must be an array of integers"
        )
    if not fmt.contains(values):
        bad = (values < fmt.min) | (values > fmt.max)
        where = np.unravel_index(int(np.argmax(bad)), values.shape)
        raise ConfigurationError(
            f"{name}[{', '.join(str(int(i)) for i in where)}] = {int(values[where])}, "
            f"but {fmt} allows {fmt.min} to {fmt.max}"
        )
    return values


def _sized(words: np.ndarray, count: int, bits: int, shape: tuple[int, ...]) -> np.ndarray:
    words = np.asarray(words)
    expected = (count, word_bytes(bits))
    if words.dtype != np.uint8 or words.shape != expected:
        raise ConfigurationError(
            f"words are {words.dtype} {list(words.shape)}, but a tensor of shape {list(shape)} "
            f"takes uint8 {list(expected)}"
        )
    return words
