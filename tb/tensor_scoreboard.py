# SPDX-License-Identifier: Apache-2.0
"""Tensors on a stream: their beats, and a scoreboard that names a wrong one by its coordinate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats
from assay.tb.layout import Arrangement, Field, from_bytes
from assay.tb.scoreboard import StreamScoreboard

__all__ = ["Packet", "TensorFormat", "TensorScoreboard"]

KEEP, LAST = "keep", "last"  #: fields of a beat beside those of tensors


@dataclass(frozen=True)
class Packet:
    """One play's beats on one stream.

    Attributes:
        arrangements: tensor name to its arrangement.
        beats: uint8[n, bytes].
        care: uint8[n, bytes], ones where a bit means something.
        values: elements that the beats carry.
    """

    arrangements: Mapping[str, Arrangement]
    beats: np.ndarray
    care: np.ndarray
    values: int


class TensorFormat:
    """How tensors become beats of one stream.

    Args:
        port: name, for messages.
        beat_format: payload: the fields' names, and perhaps ``keep`` (a bit for each byte of the first field) and
            ``last``.
        fields: tensor name to its `Field`, in the payload under the same name.
        packet_beats: ``last`` ends every so many beats; 0: every tensor.

    Raises:
        ValueError: a signal is no whole number of elements.
    """

    def __init__(
        self, port: str, beat_format: BeatFormat, fields: Mapping[str, Field], packet_beats: int = 0
    ) -> None:
        self.port = port
        self.format = beat_format
        self.packet_beats = packet_beats
        self.fields: dict[str, Field] = {}
        self.lanes: dict[str, int] = {}
        for name, one in fields.items():
            width = beat_format.fields[name]
            parts = 1 if isinstance(one.signal, str) else len(one.signal)
            bits = one.bits or width // parts
            if width % bits:
                raise ValueError(
                    f"port {port}: {one.signal} has {width} bits, which is no whole number of elements of {bits}"
                )
            self.fields[name] = Field(one.signal, bits, one.signed, one.layout)
            self.lanes[name] = width // bits

    def packet(self, tensors: Mapping[str, np.ndarray]) -> Packet:
        """The beats of some of this stream's tensors; a field without a tensor is 0 and means nothing.

        Raises:
            ValueError: an element does not fit, or the tensors need different numbers of beats.
        """
        arranged = {
            name: Arrangement(name, np.shape(tensor), self.fields[name], self.lanes[name])
            for name, tensor in tensors.items()
        }
        counts = {name: len(one) for name, one in arranged.items()}
        count = max(counts.values())
        if min(counts.values()) != count:
            said = ", ".join(f"{name} has {beats}" for name, beats in counts.items())
            raise ValueError(f"port {self.port}: its tensors need the same number of beats: {said}")
        values, care = {}, {}
        for name, bits in self.format.fields.items():
            size = (bits + 7) // 8
            if name in arranged:
                values[name] = arranged[name].pack(tensors[name])
                care[name] = _spread(arranged[name].used, self.fields[name].bits, size)
            else:
                values[name] = care[name] = np.zeros((count, size), np.uint8)
        if KEEP in self.format.fields:
            first = next(iter(self.fields))
            kept = (care[first] != 0) | (first not in arranged)
            kept = kept[:, : self.format.fields[KEEP]]
            values[KEEP] = np.packbits(kept, axis=1, bitorder="little")
            care[KEEP] = _ones(count, self.format.fields[KEEP])
        if LAST in self.format.fields:
            last = np.zeros((count, 1), np.uint8)
            last[-1:] = 1
            if self.packet_beats:
                last[self.packet_beats - 1 :: self.packet_beats] = 1
            values[LAST], care[LAST] = last, _ones(count, 1)
        used = sum(int(one.used.sum()) for one in arranged.values())
        return Packet(arranged, self.format.pack(**values), self.format.pack(**care), used)

    def tensors(self, packet: Packet, beats: np.ndarray) -> dict[str, np.ndarray]:
        """The way back: tensors from beats that were seen, uint8[n, bytes]; what no lane carries is 0."""
        content = _fields_of(self.format, beats)
        found = {}
        for name, arrangement in packet.arrangements.items():
            field = self.fields[name]
            elements = from_bytes(content[name], field.bits, self.lanes[name], field.signed)
            tensor = np.zeros(int(np.prod(arrangement.shape)) + 1, elements.dtype)
            tensor[arrangement.numbers] = elements
            found[name] = tensor[1:].reshape(arrangement.shape)
        return found

    def say(self, packet: Packet, beat: int, unlike: np.ndarray | None, expected: np.ndarray | None) -> str:
        """The first unlike element of a beat of a packet with both values; without `unlike`, its first element."""
        if beat >= len(packet.beats):
            return f"after the last beat of {' and '.join(packet.arrangements)}"
        for name, arrangement in packet.arrangements.items():
            field, lanes = self.fields[name], self.lanes[name]
            if unlike is None:
                return arrangement.place(beat, 0)
            wrong = from_bytes(_fields_of(self.format, unlike[None])[name], field.bits, lanes, False)[0]
            if not wrong.any():
                continue
            lane = int(np.argmax(wrong != 0))
            said = arrangement.place(beat, lane) + (f" (lane {lane})" if lanes > 1 else "")
            if expected is None:
                return said
            pair = np.stack([expected, expected ^ unlike])
            values = from_bytes(_fields_of(self.format, pair)[name], field.bits, lanes, field.signed)
            mask, digits = (1 << field.bits) - 1, (field.bits + 3) // 4
            told = [f"{int(v)} (0x{int(v) & mask:0{digits}x})" for v in values[:, lane]]
            return f"{said} is {told[1]} instead of {told[0]}"
        return "the end of the packet, or its keep"


class TensorScoreboard(StreamScoreboard):
    """Compares a stream of tensors; lanes that carry no element may hold anything.

    Args:
        tensor_format: of the stream.
        options: as for `StreamScoreboard`.
    """

    def __init__(self, tensor_format: TensorFormat, **options: Any) -> None:
        super().__init__(tensor_format.port, tensor_format.format, **options)
        self.tensor_format = tensor_format
        self._packets: list[tuple[int, Packet, str]] = []  # first beat, packet, the play's name
        self._promised = 0
        self._came = 0
        self._values_before = 0
        self.kept: list[np.ndarray] | None = None  #: where what comes is kept as it came; None: nowhere

    @property
    def promised(self) -> int:
        """Beats expected since construction or `flush`."""
        return self._promised

    @property
    def values_compared(self) -> int:
        """Elements of the beats compared."""
        values = self._values_before
        for first, packet, _ in self._packets:
            done = min(max(self.beats_compared - first, 0), len(packet.beats))
            whole = done == len(packet.beats)
            values += (
                packet.values
                if whole
                else sum(int(a.used[:done].sum()) for a in packet.arrangements.values())
            )
        return values

    def expect_packet(self, packet: Packet, name: str = "") -> None:
        """Append a packet; `name` of its play stands in messages."""
        self._packets.append((self._promised, packet, name))
        self._promised += len(packet.beats)
        self.expect(packet.beats & packet.care)

    def write(self, beats: Beats) -> None:
        if self.kept is not None:
            self.kept.append(beats.payload)
        care = self._care(self._came, len(beats))
        self._came += len(beats)
        unknown = None if beats.unknown is None else beats.unknown & care
        super().write(Beats(beats.port, beats.first, beats.cycles, beats.payload & care, unknown))

    def flush(self) -> None:
        super().flush()
        self._values_before = self.values_compared
        self._packets.clear()
        self._promised = self._came = self.beats_compared

    def place(self, index: int, unlike: np.ndarray | None = None, expected: np.ndarray | None = None) -> str:
        for first, packet, name in reversed(self._packets):
            if index >= first:
                said = self.tensor_format.say(packet, index - first, unlike, expected)
                return f"{said}, {name}" if name else said
        return ""

    def waiting(self) -> str:
        """What is expected, for a watchdog; empty when nothing."""
        if not self.outstanding:
            return ""
        index = self.beats_compared
        where = self.place(index)
        return f"stream {self.name}: beat {index}{f' ({where})' if where else ''} has not come"

    @property
    def moves(self) -> int:
        """Changes with every beat, for a watchdog."""
        return self._came

    def _care(self, first: int, count: int) -> np.ndarray:
        """uint8[count, bytes]: the bits that mean something in beats from `first` on; all where none is expected."""
        care = np.full((count, self.format.bytes), 0xFF, np.uint8)
        for start, packet, _ in reversed(self._packets):
            begin, end = max(first, start), min(first + count, start + len(packet.beats))
            if begin < end:
                care[begin - first : end - first] = packet.care[begin - start : end - start]
            if start <= first:
                break
        return care


def _ones(count: int, bits: int) -> np.ndarray:
    """uint8[count, ceil(bits / 8)] with so many ones."""
    return np.packbits(np.ones((count, bits), np.uint8), axis=1, bitorder="little")


def _spread(used: np.ndarray, bits: int, size: int) -> np.ndarray:
    """bool[n, lanes] to the bits of each lane, uint8[n, size]."""
    packed = np.packbits(np.repeat(used, bits, axis=1), axis=1, bitorder="little")
    return packed[:, :size]


def _fields_of(beat_format: BeatFormat, beats: np.ndarray) -> dict[str, np.ndarray]:
    """Fields as bytes, uint8[n, ceil(width / 8)], whatever their width."""
    bits = np.unpackbits(np.ascontiguousarray(beats), axis=1, count=beat_format.width, bitorder="little")
    content, at = {}, 0
    for name, width in beat_format.fields.items():
        content[name] = np.packbits(bits[:, at : at + width], axis=1, bitorder="little")
        at += width
    return content
