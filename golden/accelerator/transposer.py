# SPDX-License-Identifier: Apache-2.0
"""Golden model of the transposer: elements as a host has them, in 64-bit beats, to bit-plane words and back.

Tensors are NHWC. Each *element block* (a position's block of Lanes channels, the last one what is left of C) begins
in a new beat, elements from bit 0 up. See docs/accelerator.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.golden.accelerator.registers import BEAT_BYTES, ELEMENT_BITS
from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat
from assay.golden.mvu.layout import channel_blocks, pack_bits, unpack_bits, values_of_planes, word_bytes

__all__ = ["BEAT_BITS", "Transposer", "TransposerStream"]

BEAT_BITS = 8 * BEAT_BYTES


@dataclass(frozen=True)
class Transposer:
    """One configuration of the transposer.

    Attributes:
        element: bits of an element in the beats, 2, 4, 8 or 16.
        fmt: precision and sign of the values in the data memories; at most `element` bits.
        channels: C of the tensor.
        lanes: of the MVUs, 8 to 64.

    Raises:
        ConfigurationError: a value that the hardware does not take.
    """

    element: int
    fmt: IntFormat
    channels: int
    lanes: int

    def __post_init__(self) -> None:
        if self.element not in ELEMENT_BITS:
            raise ConfigurationError(
                f"element = {self.element} bits: must be one of {', '.join(map(str, ELEMENT_BITS))}"
            )
        if not 1 <= self.fmt.bits <= self.element:
            raise ConfigurationError(
                f"precision = {self.fmt.bits}: must be from 1 to the element's {self.element} bits"
            )
        if self.channels < 1:
            raise ConfigurationError(f"channels = {self.channels}: must be at least 1")

    @classmethod
    def of_format(cls, fmt: IntFormat, channels: int, lanes: int) -> Transposer:
        """With the smallest element that holds the format."""
        return cls(next(e for e in ELEMENT_BITS if e >= fmt.bits), fmt, channels, lanes)

    @property
    def blocks(self) -> int:
        """Element blocks of a position."""
        return channel_blocks(self.channels, self.lanes)

    @property
    def block_channels(self) -> tuple[int, ...]:
        """Channels of each element block of a position."""
        return tuple(min(self.lanes, self.channels - first) for first in range(0, self.channels, self.lanes))

    @property
    def block_beats(self) -> tuple[int, ...]:
        """Beats of each element block of a position."""
        return tuple(-(-channels * self.element // BEAT_BITS) for channels in self.block_channels)

    @property
    def position_beats(self) -> int:
        """Beats of a position."""
        return sum(self.block_beats)

    def beats(self, x: np.ndarray) -> np.ndarray:
        """The beats that the host writes.

        Args:
            x: integers `[..., C]`, within `element` bits, signed or unsigned; higher bits are dropped.

        Returns:
            uint64 `[positions * position_beats]`.
        """
        x = np.asarray(x)
        if x.dtype.kind not in "iu" or x.ndim == 0 or x.shape[-1] != self.channels:
            raise ConfigurationError(
                f"tensor is {x.dtype} {list(x.shape)}, but must hold integers of {self.channels} channels"
            )
        bits = (x.reshape(-1, self.channels)[..., None] >> np.arange(self.element)) & 1
        return self._to_beats(bits.astype(np.uint8))

    def tensor(self, beats: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The beats that the host reads, as a tensor.

        Args:
            beats: uint64 `[n]`, of the whole tensor.
            shape: (..., C).

        Returns:
            int64 of `shape`; elements signed as `fmt` is.
        """
        if shape[-1] != self.channels:
            raise ConfigurationError(f"shape {list(shape)}: must end with {self.channels} channels")
        return self._values(self._of_beats(beats), IntFormat(self.element, self.fmt.signed)).reshape(shape)

    def words(self, beats: np.ndarray) -> np.ndarray:
        """Words that the transposer writes for beats of whole positions: the low `fmt.bits` bits of each element.

        Args:
            beats: uint64 `[positions * position_beats]`.

        Returns:
            uint8 `[positions * blocks * precision, lanes/8]`, to consecutive addresses.
        """
        bits = self._of_beats(beats)[..., : self.fmt.bits]
        padding = self.blocks * self.lanes - self.channels
        bits = np.pad(bits, ((0, 0), (0, padding), (0, 0))).reshape(-1, self.lanes, self.fmt.bits)
        return pack_bits(bits[..., ::-1].transpose(0, 2, 1)).reshape(-1, word_bytes(self.lanes))

    def beats_of_words(self, words: np.ndarray) -> np.ndarray:
        """Beats that reading gives: elements extended to `element` bits, the rest of a beat 0.

        Args:
            words: uint8 `[positions * blocks * precision, lanes/8]`.

        Returns:
            uint64 `[positions * position_beats]`.
        """
        words = np.asarray(words)
        period = self.blocks * self.fmt.bits
        if words.dtype != np.uint8 or words.ndim != 2 or words.shape[1] != word_bytes(self.lanes):
            raise ConfigurationError(
                f"words are {words.dtype} {list(words.shape)}, but must be uint8 [n, {word_bytes(self.lanes)}]"
            )
        if len(words) % period:
            raise ConfigurationError(f"{len(words)} words: must be a multiple of the {period} of a position")
        planes = unpack_bits(words, self.lanes).reshape(-1, self.fmt.bits, self.lanes)
        values = values_of_planes(planes, self.fmt).reshape(-1, self.blocks * self.lanes)
        return self.beats(values[:, : self.channels])

    def _to_beats(self, bits: np.ndarray) -> np.ndarray:
        """Bits uint8 `[positions, channels, element]`, least significant first, to beats."""
        blocks, first = [], 0
        for channels, beats in zip(self.block_channels, self.block_beats, strict=True):
            block = bits[:, first : first + channels].reshape(len(bits), -1)
            blocks.append(np.pad(block, ((0, 0), (0, beats * BEAT_BITS - block.shape[1]))))
            first += channels
        octets = pack_bits(np.concatenate(blocks, axis=1))
        return np.ascontiguousarray(octets).view("<u8").reshape(-1).astype(np.uint64)

    def _of_beats(self, beats: np.ndarray) -> np.ndarray:
        """Beats to bits uint8 `[positions, channels, element]`, least significant first."""
        beats = np.asarray(beats)
        if beats.dtype != np.uint64 or beats.ndim != 1 or len(beats) % self.position_beats:
            raise ConfigurationError(
                f"beats are {beats.dtype} {list(beats.shape)}, but must be uint64 [n], n a multiple of the "
                f"{self.position_beats} of a position"
            )
        octets = beats.astype("<u8").view(np.uint8).reshape(-1, self.position_beats * BEAT_BYTES)
        bits = unpack_bits(octets, self.position_beats * BEAT_BITS)
        blocks, first = [], 0
        for channels, count in zip(self.block_channels, self.block_beats, strict=True):
            block = bits[:, first : first + channels * self.element]
            blocks.append(block.reshape(len(bits), channels, self.element))
            first += count * BEAT_BITS
        return np.concatenate(blocks, axis=1)

    @staticmethod
    def _values(bits: np.ndarray, fmt: IntFormat) -> np.ndarray:
        """Bits `[positions, channels, fmt.bits]`, least significant first, to int64 `[positions, channels]`."""
        return values_of_planes(bits[..., ::-1].transpose(0, 2, 1), fmt)


class TransposerStream:
    """The transposer's stream, beat by beat: what a start makes of it, and which words each beat moves.

    Attributes:
        started: the last start was legal.
        writing, reading: direction, from the first burst on.
        write_mvus: bit mask of the MVUs that a written stream goes to.
        read_mvu: that a read stream comes from.
        within: beats or words of the present block that have been moved so far.
    """

    def __init__(self, lanes: int, mvus: int) -> None:
        self._lanes = lanes
        self._mvus = mvus
        self.started = self.writing = self.reading = False
        self.write_mvus = self.read_mvu = 0
        self._reset(0)

    def _reset(self, first: int) -> None:
        self._address = first
        self._block = 0
        self._beats: list[int] = []  # written, of a block that is not complete
        self._words: list[int] = []  # read from memory, likewise
        self._ready: list[int] = []  # beats that can be read
        self._promised = 0  # beats of blocks that are asked for and have not come
        self._asked: list[Transposer] = []

    def start(
        self,
        element: int,
        fmt: tuple[int, bool],
        channels: int,
        first: int,
        write_mvus: int,
        read_mvu: int,
    ) -> None:
        """A start.

        Args:
            element: bits of an element.
            fmt: precision and sign.
            channels: of a position.
            first: word.
            write_mvus, read_mvu: where to and where from.
        """
        self.started = self.writing = self.reading = False
        self.write_mvus, self.read_mvu = write_mvus, read_mvu
        self._reset(first)
        try:
            whole = Transposer(element, IntFormat(*fmt), channels, self._lanes)
        except ConfigurationError:
            return
        # Every block is a position of its own.
        self._blocks = [
            Transposer(element, whole.fmt, count, self._lanes)
            for count in sorted(set(whole.block_channels), reverse=True)
        ]
        self._count = whole.blocks
        self.started = True

    @property
    def writable(self) -> bool:
        """Whether a write burst may open the stream."""
        return self.started and not self.reading and self.write_mvus != 0

    @property
    def readable(self) -> bool:
        """Whether a read burst may."""
        return self.started and not self.writing and self.read_mvu < self._mvus

    @property
    def within(self) -> int:
        """Beats of the present block that have been written, or beats of the present one that wait to be read."""
        return len(self._beats) + len(self._ready)

    def _next_block(self) -> Transposer:
        block = self._blocks[-1] if self._block == self._count - 1 else self._blocks[0]
        self._block = (self._block + 1) % self._count
        return block

    def write(self, beat: int) -> list[tuple[int, int]]:
        """A beat is written; gives the words that follow: address and content."""
        self._beats.append(beat)
        block = self._blocks[-1] if self._block == self._count - 1 else self._blocks[0]
        if len(self._beats) < block.position_beats:
            return []
        self._next_block()
        words = block.words(np.array(self._beats, np.uint64))
        self._beats = []
        return [(self._step(), int.from_bytes(word.tobytes(), "little")) for word in words]

    def wants(self, beats: int) -> list[int]:
        """A read burst wants so many beats; gives the addresses of the words that are read for it."""
        addresses = []
        while len(self._ready) + self._promised < beats:
            block = self._next_block()
            self._asked.append(block)
            self._promised += block.position_beats
            addresses += [self._step() for _ in range(block.fmt.bits)]
        return addresses

    def _step(self) -> int:
        address = self._address
        self._address = (address + 1) % (1 << 16)
        return address

    def fetched(self, word: int) -> None:
        """A word has come from memory."""
        self._words.append(word)
        block = self._asked[0]
        if len(self._words) == block.fmt.bits:
            rows = [np.frombuffer(w.to_bytes(self._lanes // 8, "little"), np.uint8) for w in self._words]
            self._ready += block.beats_of_words(np.stack(rows)).tolist()
            self._promised -= block.position_beats
            self._words = []
            del self._asked[0]

    @property
    def fetching(self) -> bool:
        """Whether words are still to come from memory."""
        return bool(self._asked)

    def read(self) -> int | None:
        """The next beat that is read; None: its block has not come."""
        return self._ready.pop(0) if self._ready else None
