# SPDX-License-Identifier: Apache-2.0
"""The interfaces that a module's ports can form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from assay.sim.attach.design import Design, Port
from assay.sim.attach.names import words


@dataclass(frozen=True)
class Signal:
    """A port, or a member of a port that is a packed structure."""

    port: Port
    name: str
    lsb: int
    width: int

    @property
    def direction(self) -> str:
        return self.port.direction

    @property
    def words(self) -> tuple[str, ...]:
        return words(self.name, self.port.direction)


@dataclass
class Clock:
    """Clocks of one frequency and phase."""

    signals: list[Signal]


@dataclass
class Reset:
    """A reset and its active level."""

    signal: Signal
    active_low: bool


@dataclass
class Stream:
    """Beats that move one way.

    Attributes:
        into: the device receives the beats.
        style: ``valid/ready``, ``valid/yumi`` (the ready is high only beside a valid), ``AXI4-Stream``, ``valid``
            (no ready), ``FIFO`` (push or pop), ``start/done``, ``enable`` (no valid at the output: a beat leaves a
            fixed number of clocks after it entered) or ``every clock``.
        fields: payload, field name to signal, in the order of the ports.
        valid, ready: of the handshake. For ``FIFO`` they are push and full, or pop and empty. None where there is none.
        last: marks the end of a packet; one of the fields, too.
        latency: clocks from the input's beat to this output's beat, for ``enable`` and ``every clock``.
        freezes: the enable stops the whole pipeline, so that the latency counts enabled clocks.
        by_position: fields that were taken because nothing else claims them.
    """

    name: str
    into: bool
    style: str
    fields: dict[str, Signal]
    valid: Signal | None = None
    ready: Signal | None = None
    last: Signal | None = None
    latency: int = 0
    freezes: bool = False
    by_position: list[str] = field(default_factory=list)

    @property
    def width(self) -> int:
        return sum(signal.width for signal in self.fields.values())

    def signals(self) -> Iterator[Signal]:
        yield from (s for s in (self.valid, self.ready) if s)
        yield from self.fields.values()


@dataclass
class Axi:
    """An AXI4 or AXI4-Lite port; `channels` maps ``awaddr`` and the like to signals."""

    name: str
    lite: bool
    device_is_manager: bool
    channels: dict[str, Signal]

    def signals(self) -> Iterator[Signal]:
        yield from self.channels.values()

    @property
    def style(self) -> str:
        return "AXI4-Lite" if self.lite else "AXI4"


@dataclass
class Memory:
    """A memory or register port.

    Attributes:
        device_drives: the device gives the address, so that the bench is the memory; else the bench writes and reads
            the device.
        roles: ``addr``, ``read``, ``write`` (data), ``enable``, ``write_enable``, ``strobe``, ``request_ready``,
            ``response_valid`` to signals. `active_low` names those that are.
        latency: clocks from the address to the data read, where there is no ``response_valid``.
    """

    name: str
    device_drives: bool
    roles: dict[str, Signal]
    active_low: frozenset[str] = frozenset()
    latency: int = 1

    def signals(self) -> Iterator[Signal]:
        yield from self.roles.values()

    @property
    def style(self) -> str:
        handshake = [role for role in ("request_ready", "response_valid") if role in self.roles]
        return "memory with handshake" if handshake else "memory without handshake"


@dataclass
class Control:
    """Start and done: after a pulse of `start` the device works on what it was given."""

    start: Signal | None = None
    done: Signal | None = None
    ready: Signal | None = None
    idle: Signal | None = None

    def signals(self) -> Iterator[Signal]:
        yield from (s for s in (self.start, self.done, self.ready, self.idle) if s)


@dataclass
class Pin:
    """An input that the bench holds at a value while beats move."""

    signal: Signal
    value: int
    why: str = ""


@dataclass(frozen=True)
class Doubt:
    """Something that was not recognised: where, what, and the hint that would settle it."""

    signal: Signal
    text: str
    hint: str
    fatal: bool = False


@dataclass
class Recognised:
    """All that is known of a design's ports: every signal is in exactly one place."""

    design: Design
    clock: Clock | None = None
    resets: list[Reset] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    axis: list[Axi] = field(default_factory=list)
    memories: list[Memory] = field(default_factory=list)
    control: Control = field(default_factory=Control)
    pins: list[Pin] = field(default_factory=list)
    status: list[Signal] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)

    @property
    def inputs(self) -> list[Stream]:
        return [s for s in self.streams if s.into]

    @property
    def outputs(self) -> list[Stream]:
        return [s for s in self.streams if not s.into]
