# SPDX-License-Identifier: Apache-2.0
"""From a tensor to the beats of a stream and back: which element is in which lane of which beat.

A layout is a function of an array and a number of lanes that gives an array [beats, lanes] of the same elements, in any
order, any number of times, with 0 where a lane is not used. The bench calls it with the elements' numbers, never with
values: so one function says how a tensor is sent, how it is read back, and what a mismatch is called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Arrangement", "Field", "Layout", "flat", "planes", "rows"]

Layout = Callable[[np.ndarray, int], np.ndarray]


def flat(tensor: np.ndarray, lanes: int) -> np.ndarray:
    """Element after element, the last axis fastest; the last beat is filled up."""
    elements = tensor.reshape(-1)
    return np.pad(elements, (0, -len(elements) % lanes)).reshape(-1, lanes)


def rows(tensor: np.ndarray, lanes: int) -> np.ndarray:
    """As `flat`, but every row of the last axis begins with a new beat."""
    lines = tensor.reshape(-1, tensor.shape[-1])
    return np.pad(lines, ((0, 0), (0, -lines.shape[1] % lanes))).reshape(-1, lanes)


def planes(tensor: np.ndarray, lanes: int) -> np.ndarray:
    """As `rows` along the first axis: [channels, ...], `lanes` channels a beat, position after position."""
    return rows(np.moveaxis(tensor, 0, -1), lanes)


@dataclass(frozen=True)
class Field:
    """One tensor on signals of a port.

    Attributes:
        signal: name of the signal, or names: lane 0 first.
        bits: of an element; 0: a whole signal is one element. Lane 0 is at the lowest bits.
        signed: two's complement.
        layout: see the module.
    """

    signal: str | tuple[str, ...]
    bits: int = 0
    signed: bool = False
    layout: Layout = flat

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest element of a field whose `bits` are known."""
        half = 1 << self.bits - 1
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)


class Arrangement:
    """The beats of one tensor.

    Args:
        name: of the tensor, for messages.
        shape: of it.
        field: its layout; `bits` must be known.
        lanes: elements in a beat.

    Attributes:
        numbers: int64[beats, lanes], number of the element in C order plus 1; 0 where a lane is not used.

    Raises:
        ValueError: the layout gives another shape, or something else than elements of the tensor.
    """

    def __init__(self, name: str, shape: tuple[int, ...], field: Field, lanes: int) -> None:
        self.name = name
        self.shape = shape
        self.field = field
        self.lanes = lanes
        size = int(np.prod(shape))
        numbers = np.asarray(field.layout(np.arange(1, size + 1).reshape(shape), lanes))
        if numbers.ndim != 2 or numbers.shape[1] != lanes:
            raise ValueError(
                f"the layout of {name}{list(shape)} gives {list(numbers.shape)}: [beats, {lanes}] is needed"
            )
        if numbers.size and not (numbers.dtype.kind in "iu" and 0 <= numbers.min() <= numbers.max() <= size):
            raise ValueError(
                f"the layout of {name}{list(shape)} gives something else than its elements and 0"
            )
        self.numbers = numbers.astype(np.int64)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def used(self) -> np.ndarray:
        """bool[beats, lanes]: the lane carries an element."""
        return self.numbers > 0

    def pack(self, tensor: np.ndarray) -> np.ndarray:
        """The field's bytes of every beat, uint8[beats, ceil(lanes * bits / 8)]; unused lanes are 0.

        Raises:
            ValueError: an element is no integer or does not fit; it is named.
        """
        tensor = np.asarray(tensor)
        if tensor.dtype.kind not in "biuO":
            raise ValueError(f"{self.name} holds {tensor.dtype}: a stream carries integers; quantise first")
        low, high = self.field.range
        wrong = (tensor < low) | (tensor > high)
        if wrong.any():
            at = np.unravel_index(int(np.argmax(wrong)), self.shape)
            sign = "signed" if self.field.signed else "unsigned"
            raise ValueError(
                f"{self.name}{[int(i) for i in at]} = {tensor[at]} does not fit into {self.field.bits} bits, "
                f"{sign}: {low} to {high}"
            )
        elements = np.concatenate([np.zeros(1, tensor.dtype), tensor.reshape(-1)])[self.numbers]
        return to_bytes(elements, self.field.bits)

    def place(self, beat: int, lane: int) -> str:
        """``name[coordinate]`` of a lane, or that it carries nothing."""
        number = int(self.numbers[beat, lane]) if beat < len(self.numbers) else 0
        if not number:
            return f"an unused lane of {self.name}"
        return f"{self.name}{[int(i) for i in np.unravel_index(number - 1, self.shape)]}"


def to_bytes(elements: np.ndarray, bits: int) -> np.ndarray:
    """Elements [n, lanes] of so many bits each, the first lowest: uint8[n, ceil(lanes * bits / 8)]."""
    count, lanes = elements.shape
    if bits > 64 or elements.dtype.kind == "O":
        mask, size = (1 << bits) - 1, (lanes * bits + 7) // 8
        numbers = [sum((int(e) & mask) << bits * i for i, e in enumerate(row)) for row in elements]
        joined = b"".join(number.to_bytes(size, "little") for number in numbers)
        return np.frombuffer(joined, np.uint8).reshape(count, size)
    words = np.ascontiguousarray(elements.astype(np.uint64 if elements.dtype.kind == "u" else np.int64))
    planes_ = np.unpackbits(
        words.view(np.uint8).reshape(count, lanes, 8), axis=2, count=bits, bitorder="little"
    )
    return np.packbits(planes_.reshape(count, lanes * bits), axis=1, bitorder="little")


def from_bytes(content: np.ndarray, bits: int, lanes: int, signed: bool) -> np.ndarray:
    """The elements of `to_bytes`: int64 (uint64 where unsigned) [n, lanes], of more than 64 bits object."""
    kind = object if bits > 64 else np.int64 if signed else np.uint64
    elements = np.empty((len(content), lanes), kind)
    top = 1 << bits - 1
    for index, row in enumerate(content):
        number = int.from_bytes(row.tobytes(), "little")
        for lane in range(lanes):
            value = number >> lane * bits & (1 << bits) - 1
            elements[index, lane] = (value ^ top) - top if signed else value
    return elements
