# SPDX-License-Identifier: Apache-2.0
"""How the bench reaches what was recognised: by the design's own ports, or through a bench top that adapts them.

A top is needed where a port is no plain vector (a structure, an enumeration), where one port holds several handshakes,
and where a handshake is not valid/ready (push and full, start and done, an active-low chip select). Everything else
keeps the name that it has in the design.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from assay.sim.attach.design import Port
from assay.sim.attach.interfaces import Axi, Memory, Recognised, Signal, Stream


@dataclass
class BenchStream:
    """A stream as the bench sees it: names of ports of the bench's top."""

    stream: Stream
    valid: str
    ready: str
    fields: dict[str, str]


@dataclass
class BenchMemory:
    """A memory as the bench sees it: roles to names of ports of the bench's top."""

    memory: Memory
    roles: dict[str, str]


@dataclass
class Wiring:
    """Names for the bench, and the text of the bench's top; without a text, the design itself is the top.

    Attributes:
        top: the module that the bench drives.
        clock: its clock.
        resets: names of its resets, each with whether it is active low.
        pins: name to value.
        icarus: why Icarus cannot run it; empty where it can.
    """

    top: str
    clock: str
    resets: list[tuple[str, bool]]
    streams: list[BenchStream] = field(default_factory=list)
    memories: list[BenchMemory] = field(default_factory=list)
    pins: dict[str, int] = field(default_factory=dict)
    control: dict[str, str] = field(default_factory=dict)
    status: list[str] = field(default_factory=list)
    ports: list[tuple[str, str]] = field(default_factory=list)
    """Direction and name of every port of the top."""
    text: str = ""
    icarus: str = ""


class _Top:
    """Collects the ports, wires and connections of a bench top."""

    def __init__(self) -> None:
        self.ports: list[tuple[str, int, str]] = []
        self.body: list[str] = []
        self.names: dict[str, str] = {}
        self.adapted = False
        self.taken: set[str] = set()
        self.parts: dict[str, list[tuple[Signal, str]]] = {}

    def port(self, direction: str, width: int, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        self.ports.append((direction, width, name))
        return name

    def through(self, signal: Signal) -> str:
        """A port of the top that is this signal."""
        if signal.name not in self.names:
            plain = re.sub(r"\W+", "_", signal.name).strip("_")
            self.names[signal.name] = self.port(signal.direction, signal.width, plain)
            self.connect(signal, self.names[signal.name])
            whole = signal.lsb == 0 and signal.width == signal.port.width
            self.adapted |= not whole or _needs_top(signal.port)
        return self.names[signal.name]

    def connect(self, signal: Signal, expression: str) -> None:
        """Tie a signal of the design to an expression of the top (an input) or to a port or wire of it (an output)."""
        self.parts.setdefault(signal.port.name, []).append((signal, expression))

    def wire(self, signal: Signal, expression: str = "") -> str:
        """A wire of the top that is this signal; an input of the design is driven by the expression."""
        name = f"dut_{re.sub(r'[^A-Za-z0-9]+', '_', signal.name).strip('_')}"
        size = f"[{signal.width - 1}:0] " if signal.width > 1 else ""
        self.body.append(f"  logic {size}{name};")
        if expression:
            self.body.append(f"  assign {name} = {expression};")
        self.connect(signal, name)
        self.adapted = True
        return name


def _needs_top(port: Port) -> bool:
    element = port.dimensions and not port.element.startswith("logic")
    return bool(port.members) or port.enum or bool(element)


def wire(found: Recognised, name: str) -> Wiring:
    """Names and, where one is needed, a bench top ``<name>_tb`` for what was recognised."""
    top = _Top()
    clock = _clock(top, found)
    resets = _resets(top, found)
    wiring = Wiring(found.design.top, clock, resets)
    for stream in found.streams:
        wiring.streams.append(_stream(top, stream, clock, resets))
        if not stream.fields:
            wiring.streams[-1].fields = _token(top, stream)
    for port in found.axis:
        for signal in port.signals():
            top.through(signal)
        _rename_axi(top, port)
        if port.device_is_manager or not port.lite:
            _complete_axi(top, port)
    for memory in found.memories:
        wiring.memories.append(_memory(top, memory))
    for role in ("start", "done", "ready", "idle"):
        signal = getattr(found.control, role)
        if signal:
            wiring.control[role] = top.through(signal)
    for pin in found.pins:
        wiring.pins[top.through(pin.signal)] = pin.value
    for signal in found.status:
        wiring.status.append(top.through(signal))
    if any(p.dimensions for p in found.design.ports):
        wiring.icarus = "Icarus has no unpacked arrays as ports"
    if top.adapted:
        wiring.top = f"{name}_tb"
        wiring.text = _text(top, found, wiring.top, name)
    wiring.ports = [(direction, port) for direction, _, port in top.ports]
    return wiring


def _clock(top: _Top, found: Recognised) -> str:
    if found.clock is None:
        top.adapted = True
        name = top.port("input", 1, "clk_i")
        top.body += ["  logic unused_clock;", f"  assign unused_clock = {name};"]
        return name
    first, *others = found.clock.signals
    name = top.through(first)
    for signal in others:
        top.connect(signal, name)
        top.adapted = True
    return name


def _resets(top: _Top, found: Recognised) -> list[tuple[str, bool]]:
    """One reset for the bench; the others follow it."""
    if not found.resets:
        return []
    first, *others = found.resets
    name = top.through(first.signal)
    for reset in others:
        top.connect(reset.signal, name if reset.active_low == first.active_low else f"~{name}")
        top.adapted = True
    return [(name, first.active_low)]


def _stream(top: _Top, stream: Stream, clock: str, resets: list[tuple[str, bool]]) -> BenchStream:
    if stream.style == "FIFO":
        return _fifo(top, stream)
    if stream.style == "start/done" and stream.into and stream.ready is None:
        return _started(top, stream, clock, resets)
    if stream.style == "start/done" and not stream.into and _STARTED in top.taken:
        assert stream.valid, "the done of start and done"
        valid = top.port("output", 1, f"{stream.name}_valid")
        done = top.wire(stream.valid)
        top.body.append(f"  assign {_DONE} = {done};")
        top.body.append(f"  assign {valid} = {done} & working_q;")
        return BenchStream(stream, valid, "", {n: top.through(s) for n, s in stream.fields.items()})
    valid = top.through(stream.valid) if stream.valid else ""
    if stream.style == "valid/yumi" and not stream.into:
        assert stream.ready, "the yumi of valid and yumi"
        ready = top.port("input", 1, f"{stream.name}_ready")
        top.wire(stream.ready, f"{valid} & {ready}")
    else:
        ready = top.through(stream.ready) if stream.ready else ""
    return BenchStream(stream, valid, ready, {n: top.through(s) for n, s in stream.fields.items()})


def _token(top: _Top, stream: Stream) -> dict[str, str]:
    """A beat of a handshake without payload is a bit that means nothing."""
    name = top.port("input" if stream.into else "output", 1, f"{stream.name}_token")
    if stream.into:
        top.body += [f"  logic unused_{name};", f"  assign unused_{name} = {name};"]
    else:
        top.body.append(f"  assign {name} = 1'b0;")
    top.adapted = True
    return {"token": name}


def _fifo(top: _Top, stream: Stream) -> BenchStream:
    """Push when not full, pop when not empty."""
    assert stream.valid and stream.ready, "a FIFO's port is push and full, or pop and empty"
    if stream.into:
        valid, ready = (
            top.port("input", 1, f"{stream.name}_valid"),
            top.port("output", 1, f"{stream.name}_ready"),
        )
        full = top.wire(stream.ready)
        top.body.append(f"  assign {ready} = ~{full};")
        top.wire(stream.valid, f"{valid} & ~{full}")
    else:
        valid, ready = (
            top.port("output", 1, f"{stream.name}_valid"),
            top.port("input", 1, f"{stream.name}_ready"),
        )
        empty = top.wire(stream.ready)
        top.body.append(f"  assign {valid} = ~{empty};")
        top.wire(stream.valid, f"{ready} & ~{empty}")
    return BenchStream(stream, valid, ready, {n: top.through(s) for n, s in stream.fields.items()})


_STARTED, _DONE = "in_valid", "work_ends"


def _started(top: _Top, stream: Stream, clock: str, resets: list[tuple[str, bool]]) -> BenchStream:
    """A beat starts the device, which keeps its operands until it is done; then comes the next beat."""
    assert stream.valid, "the start of start and done"
    valid, ready = top.port("input", 1, _STARTED), top.port("output", 1, "in_ready")
    active = f"{'~' if resets[0][1] else ''}{resets[0][0]}" if resets else ""
    top.body += [
        "  // One job at a time: the start is a pulse, the operands stay until the device is done.",
        f"  logic working_q, {_DONE};",
        *([] if resets else ["  initial working_q = 1'b0;"]),
        f"  assign {ready} = ~working_q;",
        f"  always_ff @(posedge {clock}) begin",
        *([f"    if ({active}) working_q <= 1'b0;"] if resets else []),
        f"    {'else ' if resets else ''}if ({valid} & {ready}) working_q <= 1'b1;",
        f"    else if ({_DONE}) working_q <= 1'b0;",
        "  end",
    ]
    top.wire(stream.valid, f"{valid} & {ready}")
    fields = {}
    for name, signal in stream.fields.items():
        fields[name] = top.port("input", signal.width, re.sub(r"\W+", "_", signal.name))
        size = f"[{signal.width - 1}:0] " if signal.width > 1 else ""
        held = f"held_{name}_q"
        top.body += [
            f"  logic {size}{held};",
            f"  always_ff @(posedge {clock}) if ({valid} & {ready}) {held} <= {fields[name]};",
        ]
        top.wire(signal, f"working_q ? {held} : {fields[name]}")
    return BenchStream(stream, valid, ready, fields)


def _memory(top: _Top, memory: Memory) -> BenchMemory:
    roles = {}
    for role, signal in memory.roles.items():
        if role in memory.active_low:
            plain = f"{memory.name}_{role}"
            roles[role] = top.port(signal.direction, signal.width, plain)
            if signal.direction == "input":
                top.wire(signal, f"~{roles[role]}")
            else:
                top.body.append(f"  assign {roles[role]} = ~{top.wire(signal)};")
        elif role == "cycle" and signal.direction == "input":
            top.wire(signal, top.through(memory.roles["enable"]))
        else:
            roles[role] = top.through(signal)
    return BenchMemory(memory, roles)


_AXI4 = {
    "aw": ("id", "addr", "len", "size", "burst", "valid", "ready"),
    "w": ("data", "last", "valid", "ready"),
    "b": ("id", "valid", "ready"),
    "ar": ("id", "addr", "len", "size", "burst", "valid", "ready"),
    "r": ("id", "data", "last", "valid", "ready"),
}
"""What the bench's AXI4 agents need of each channel."""


def _complete_axi(top: _Top, port: Axi) -> None:
    """Add the signals that AXI4 has and the device has not: IDs, bursts of one beat, the other direction."""
    data = (port.channels.get("wdata") or port.channels["rdata"]).width
    address = (port.channels.get("awaddr") or port.channels["araddr"]).width
    widths = {"len": 8, "size": 3, "burst": 2, "data": data, "addr": address}
    values = {"size": (data // 8).bit_length() - 1, "burst": 1, "last": 1}
    for channel, names in _AXI4.items():
        for name in names:
            if channel + name in port.channels:
                continue
            from_manager = (channel in ("aw", "w", "ar")) != (name == "ready")
            width = widths.get(name, 1)
            added = f"{port.name}_{channel}{name}"
            if from_manager == port.device_is_manager:
                top.port("output", width, added)
                top.body.append(f"  assign {added} = {width}'d{values.get(name, 0)};")
            else:
                top.port("input", width, added)
                top.body += [f"  logic unused_{added};", f"  assign unused_{added} = ^{added};"]
            top.adapted = True


def _rename_axi(top: _Top, port: Axi) -> None:
    """An AXI port whose names are not ``prefix_channelsignal`` gets such names."""
    names = {channel: top.names[signal.name] for channel, signal in port.channels.items()}
    prefix = port.name
    if all(name == f"{prefix}_{channel}" for channel, name in names.items()):
        return
    first = next(iter(names))
    stem = names[first].removesuffix(first).rstrip("_")
    if all(name == f"{stem}_{channel}" for channel, name in names.items()):
        port.name = stem
        return
    for channel, signal in port.channels.items():
        old = top.names[signal.name]
        new = f"{prefix}_{channel}"
        top.ports = [(d, w, new if n == old else n) for d, w, n in top.ports]
        top.parts[signal.port.name] = [
            (s, new if s is signal or s == signal else e) for s, e in top.parts[signal.port.name]
        ]
        top.names[signal.name] = new
    top.adapted = True


def _text(top: _Top, found: Recognised, module: str, name: str) -> str:
    design = found.design
    lines = [
        f"// Bench top of {name}: {design.top} with plain vectors and valid/ready handshakes as ports.",
        f"// `assay new` wrote it from {design.top}'s ports; it is yours to edit.",
        f"module {module} (",
    ]
    width = max(len(_size(w)) for _, w, _ in top.ports)
    declared = [f"  {d:<6} logic {_size(w):<{width}} {n}".replace("  ,", ",") for d, w, n in top.ports]
    lines.append(",\n".join(re.sub(r"logic +(\w+)$", r"logic \1", d) if not width else d for d in declared))
    lines.append(");")
    connections = []
    for port in design.ports:
        connection, wires = _connection(port, top.parts.get(port.name, []))
        lines += wires
        connections.append(f"    .{port.name}({connection})")
    lines += top.body
    given = ", ".join(f".{p.name}({_literal(p.value, p.is_string)})" for p in design.parameters if p.given)
    lines.append(f"  {design.top} {f'#({given}) ' if given else ''}u_{design.top} (")
    lines.append(",\n".join(connections))
    lines += ["  );", f"endmodule : {module}"]
    return "\n".join(lines) + "\n"


def _literal(value: int | str, is_string: bool) -> str:
    return f'"{value}"' if is_string else str(value)


def _size(width: int) -> str:
    return f"[{width - 1}:0]" if width > 1 else ""


def _connection(port: Port, parts: list[tuple[Signal, str]]) -> tuple[str, list[str]]:
    """What a port of the design is tied to, and the wires that this needs."""
    if not parts:
        return "", []
    whole = len(parts) == 1 and parts[0][0].width == port.width
    if whole and not port.dimensions:
        # A vector drives an enumeration only through a cast.
        cast = port.enum and port.direction == "input"
        return (f"{port.type_name}'({parts[0][1]})" if cast else parts[0][1]), []
    flat = f"flat_{port.name}"
    wires = [f"  logic {_size(port.width)} {flat};"]
    if whole:
        wires.append(_assign(port, flat, parts[0][1]))
    else:
        for signal, expression in parts:
            high = f"{signal.lsb + signal.width - 1}:" if signal.width > 1 else ""
            bits = f"{flat}[{high}{signal.lsb}]" if port.width > 1 else flat
            wires.append(_assign(port, bits, expression))
    if port.dimensions:
        ranges = "".join(f"[{left}:{right}]" for left, right in port.dimensions)
        array = f"array_{port.name}"
        wires.append(f"  {port.element} {array} {ranges};")
        for index, place in enumerate(_places(port)):
            size = port.width // _count(port)
            part = f"{flat}[{(index + 1) * size - 1}:{index * size}]"
            wires.append(_assign(port, f"{array}{place}", part))
        return array, wires
    return flat, wires


def _assign(port: Port, inner: str, outer: str) -> str:
    return f"  assign {inner} = {outer};" if port.direction == "input" else f"  assign {outer} = {inner};"


def _count(port: Port) -> int:
    count = 1
    for left, right in port.dimensions:
        count *= abs(left - right) + 1
    return count


def _places(port: Port) -> list[str]:
    """Indices of an array's elements, lowest index first, the last dimension fastest."""
    places = [""]
    for left, right in port.dimensions:
        low, high = sorted((left, right))
        places = [f"{place}[{index}]" for place in places for index in range(low, high + 1)]
    return places
