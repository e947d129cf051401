# SPDX-License-Identifier: Apache-2.0
"""The signals of a design that no interface has claimed so far."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from assay.sim.attach.design import Design, Port
from assay.sim.attach.interfaces import Signal
from assay.sim.attach.names import READY, VALID, has, words


class Pool:
    """Signals in the order of the ports; a recogniser takes out what it understands.

    A packed structure with a member that is named like a handshake, or that is `mentioned` as ``port.member``, is taken
    apart into its members; another one is one signal.
    """

    def __init__(self, design: Design, mentioned: Collection[str] = ()) -> None:
        self._left: dict[str, Signal] = {}
        for port in design.ports:
            for signal in split(port, mentioned):
                self._left[signal.name] = signal
        self.all = dict(self._left)

    def __iter__(self) -> Iterator[Signal]:
        return iter(list(self._left.values()))

    def __contains__(self, signal: Signal) -> bool:
        return signal.name in self._left

    def inputs(self) -> list[Signal]:
        return [s for s in self if s.direction == "input"]

    def outputs(self) -> list[Signal]:
        return [s for s in self if s.direction == "output"]

    def take(self, *signals: Signal | None) -> None:
        """These belong to an interface now."""
        for signal in signals:
            if signal is not None:
                self._left.pop(signal.name, None)

    def take_all(self, signals: Iterable[Signal]) -> None:
        self.take(*signals)


def split(port: Port, mentioned: Collection[str] = ()) -> list[Signal]:
    """The signals of a port: its members if one of them is a handshake or mentioned, else the port itself."""
    if any(
        has(words(m.name, port.direction), VALID | READY) or f"{port.name}.{m.name}" in mentioned
        for m in port.members
    ):
        return [Signal(port, f"{port.name}.{m.name}", m.lsb, m.width) for m in port.members]
    return [Signal(port, port.name, 0, port.width)]
