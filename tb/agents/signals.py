# SPDX-License-Identifier: Apache-2.0
"""Signals of a design by their names: one value on one signal or on several, read with its X bits."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from cocotb.handle import ArrayObject, LogicArrayObject, LogicObject, PackedObject

__all__ = ["Signal", "SignalMissing", "find_signal", "has_signal"]


class SignalMissing(ValueError):
    """The design has no signal of this name, or one of a type that cannot be driven as bits."""


def has_signal(entity: Any, name: str) -> bool:
    """Whether `find_signal` finds it."""
    return _look_up(entity, name) is not None


def find_signal(entity: Any, name: str) -> Any:
    """The signal called `name` in `entity`; dots lead into instances, ``[n]`` into arrays of them or of words.

    Raises:
        SignalMissing: there is none; the message names those that are spelled alike.
    """
    handle = _look_up(entity, name)
    if handle is None:
        known = [child._name for child in entity]
        alike = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:12]
        raise SignalMissing(
            f"{entity._name} has no signal {name!r}; it has {', '.join(alike)}. "
            "(In Verilator a bench reaches the signals that the block publishes.)"
        )
    return handle


def _look_up(entity: Any, name: str) -> Any:
    handle = entity
    for part in name.replace("[", ".[").lstrip(".").split("."):
        try:
            handle = handle[int(part[1:-1])] if part.startswith("[") else getattr(handle, part, None)
        except (IndexError, KeyError, TypeError):
            return None
    return handle


class Signal:
    """One unsigned value on one signal, or on several: the first at the lowest bits.

    Args:
        entity: the bench top.
        names: of the signals there. An unpacked array stands for its elements, lowest index first. A ``~`` before a
            name inverts the signal: ``~csb`` is a chip enable that is active low.

    Attributes:
        width: bits of all of them.

    Raises:
        SignalMissing: a name is unknown, or its type is neither a bit, a vector nor an array of those.
    """

    def __init__(self, entity: Any, names: str | Sequence[str]) -> None:
        self.names = (names,) if isinstance(names, str) else tuple(names)
        self._parts: list[tuple[Any, int]] = []
        self.width = 0
        self._inverted = 0  # mask of the bits of inverted signals
        for name in self.names:
            below = self.width
            self._add(name, find_signal(entity, name.removeprefix("~")))
            if name.startswith("~"):
                self._inverted |= (1 << self.width) - (1 << below)
        self._value: int | None = None

    def _add(self, name: str, handle: Any) -> None:
        if isinstance(handle, ArrayObject):
            for index in sorted(handle.range):
                self._add(f"{name}[{index}]", handle[index])
        elif isinstance(handle, (LogicArrayObject, PackedObject, LogicObject)):
            width = 1 if isinstance(handle, LogicObject) else len(handle)
            self._parts.append((handle, width))
            self.width += width
        else:
            raise SignalMissing(
                f"signal {name} is a {type(handle).__name__}: a bench drives bits, vectors and unpacked arrays of them"
            )

    @property
    def name(self) -> str:
        """For messages."""
        return self.names[0] if len(self.names) == 1 else f"{self.names[0]} to {self.names[-1]}"

    def write(self, value: int) -> None:
        """Drive an unsigned value, which must fit; nothing is done when it is driven already."""
        if value == self._value:
            return
        self._value = value
        value ^= self._inverted
        for handle, width in self._parts:
            handle.value = value & ((1 << width) - 1)
            value >>= width

    def read(self) -> tuple[int, int]:
        """Value, and a mask of its bits that are X or Z, which are 0 in the value."""
        text = "".join([str(handle.value) for handle, _ in reversed(self._parts)])
        try:
            return int(text, 2) ^ self._inverted, 0
        except ValueError:
            known = "".join(c if c in "01" else "0" for c in text)
            strange = "".join("0" if c in "01" else "1" for c in text)
            unknown = int(strange, 2)
            return (int(known, 2) ^ self._inverted) & ~unknown, unknown

    def read_known(self) -> int | None:
        """The value; None while a bit is X or Z."""
        value, unknown = self.read()
        return None if unknown else value
