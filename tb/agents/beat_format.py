# SPDX-License-Identifier: Apache-2.0
"""Packing of structured fields into the bits of a beat, vectorised over beats."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class BeatFormat:
    """Payload of a stream: named fields, the first at the lowest bits, without gaps.

    A beat is stored as ``ceil(width / 8)`` bytes, little end first, unused top bits 0: bit ``i`` of the
    beat is bit ``i % 8`` of byte ``i // 8``. n beats are an array uint8[n, bytes].

    Args:
        fields: (name, width in bits) pairs in the order of the port's documentation, LSB first.

    Raises:
        ValueError: no fields, a width below 1 or a name given twice.

    >>> request = BeatFormat([("wdata", 8), ("addr", 3), ("write", 1)])
    >>> request.pack(wdata=[0xAB, 0], addr=[5, 7], write=1)
    array([[171,  13],
           [  0,  15]], dtype=uint8)
    """

    def __init__(self, fields: Iterable[tuple[str, int]]) -> None:
        self.fields: dict[str, int] = {}  #: name to width in bits
        self._offsets: dict[str, int] = {}
        self.width = 0  #: bits of a beat
        for name, width in fields:
            if width < 1:
                raise ValueError(f"field {name} has {width} bits: at least 1 is needed")
            if name in self.fields:
                raise ValueError(f"field {name} is given twice")
            self.fields[name] = width
            self._offsets[name] = self.width
            self.width += width
        self._aligned = not any(offset % 8 for offset in self._offsets.values())
        if not self.fields:
            raise ValueError("a beat needs at least one field")

    @property
    def bytes(self) -> int:
        """Bytes that hold one beat."""
        return (self.width + 7) // 8

    def pack(self, **values: object) -> np.ndarray:
        """Fields to beats.

        Args:
            values: every field by name. Fields of up to 64 bits: unsigned integers [n]. Any field: uint8
                [n, ceil(width / 8)], little end first. A scalar, or an array of length 1, counts for all.

        Returns:
            uint8[n, bytes].

        Raises:
            ValueError: a field is missing, unknown, of another length, or a value does not fit.
        """
        if values.keys() != self.fields.keys():
            unlike = sorted(values.keys() ^ self.fields.keys())
            raise ValueError(
                f"fields {', '.join(self.fields)} are needed; missing or unknown: {', '.join(unlike)}"
            )
        content = {name: self._to_bytes(name, value) for name, value in values.items()}
        lengths = {len(c) for c in content.values()} - {1}
        if len(lengths) > 1:
            raise ValueError(
                "fields differ in length: " + ", ".join(f"{k} has {len(c)}" for k, c in content.items())
            )
        count = lengths.pop() if lengths else 1
        if self._aligned:
            beats = np.zeros((count, self.bytes), np.uint8)
            for name, field in content.items():
                first = self._offsets[name] // 8
                beats[:, first : first + field.shape[1]] = field
            return beats
        bits = np.empty((count, self.width), np.uint8)
        for name, field in content.items():
            offset, width = self._offsets[name], self.fields[name]
            bits[:, offset : offset + width] = np.unpackbits(field, axis=1, count=width, bitorder="little")
        return np.packbits(bits, axis=1, bitorder="little")

    def unpack(self, beats: np.ndarray) -> dict[str, np.ndarray]:
        """Beats uint8[n, bytes] to fields: uint64[n] up to 64 bits, else uint8[n, ceil(width / 8)].

        Raises:
            ValueError: the array has another shape.
        """
        beats = self.check(beats)
        bits = None if self._aligned else np.unpackbits(beats, axis=1, count=self.width, bitorder="little")
        values = {}
        for name, width in self.fields.items():
            offset = self._offsets[name]
            if bits is not None:
                field = np.packbits(bits[:, offset:][:, :width], axis=1, bitorder="little")
            else:
                field = beats[:, offset // 8 :][:, : (width + 7) // 8]
                if width % 8:
                    field = field.copy()
                    field[:, -1] &= (1 << width % 8) - 1
                elif width > 64:
                    field = field.copy()
            if width <= 64:
                padded = np.zeros((len(beats), 8), np.uint8)
                padded[:, : field.shape[1]] = field
                field = padded.view("<u8").reshape(-1)
            values[name] = field
        return values

    def check(self, beats: np.ndarray) -> np.ndarray:
        """`beats` as a contiguous array uint8[n, bytes]; ValueError when it is none."""
        beats = np.ascontiguousarray(beats)
        if beats.dtype != np.uint8 or beats.ndim != 2 or beats.shape[1] != self.bytes:
            raise ValueError(
                f"beats of {self.width} bits are uint8[n, {self.bytes}], not {beats.dtype}{list(beats.shape)}"
            )
        return beats

    def describe(self, beat: np.ndarray) -> str:
        """One beat, uint8[bytes], as ``field=0xvalue`` text with every leading zero."""
        number = int.from_bytes(np.asarray(beat, np.uint8).tobytes(), "little")
        return " ".join(
            f"{name}=0x{number >> self._offsets[name] & (1 << width) - 1:0{(width + 3) // 4}x}"
            for name, width in self.fields.items()
        )

    def locate(self, bit: int) -> str:
        """``field[bit]`` of a beat's bit."""
        for name, offset in self._offsets.items():
            if offset <= bit < offset + self.fields[name]:
                return f"{name}[{bit - offset}]"
        raise ValueError(f"bit {bit}: a beat has bits 0 to {self.width - 1}")

    def _to_bytes(self, name: str, value: object) -> np.ndarray:
        """A field's values, checked: uint8[n or 1, bytes]."""
        width = self.fields[name]
        size = (width + 7) // 8
        array = np.asarray(value)
        if array.ndim == 2:
            if array.dtype != np.uint8 or array.shape[1] != size:
                raise ValueError(
                    f"field {name}: uint8[n, {size}] is needed, not {array.dtype}{list(array.shape)}"
                )
            content = array
        elif array.ndim <= 1 and width <= 64 and (array.dtype.kind in "bui" or array.size == 0):
            array = np.atleast_1d(array)
            if array.dtype.kind == "i" and (array < 0).any():
                index = int(np.argmax(array < 0))
                raise ValueError(
                    f"field {name}, beat {index}: {array[index]} is negative; fields are unsigned"
                )
            content = np.ascontiguousarray(array, "<u8").reshape(-1, 1).view(np.uint8)
        else:
            raise ValueError(
                f"field {name} of {width} bits: unsigned integers [n] (up to 64 bits) or uint8[n, bytes] are "
                f"needed, not {array.dtype}{list(array.shape)}"
            )
        over = content[:, size:].any(axis=1) | (content[:, size - 1] >> (width - 1) % 8 > 1)
        if over.any():
            raise ValueError(
                f"field {name}, beat {int(np.argmax(over))}: the value needs more than {width} bits"
            )
        return content[:, :size]
