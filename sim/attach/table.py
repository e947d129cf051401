# SPDX-License-Identifier: Apache-2.0
"""What was recognised of a design's ports, as lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assay.sim.attach.interfaces import Axi, Memory, Recognised, Signal, Stream

_SHOWN_PARAMETERS = 6


def table(found: Recognised) -> list[str]:
    """One line an interface, then one line for each thing that was not recognised."""
    design = found.design
    parameters = ", ".join(f"{p.name}={p.value}" for p in design.parameters[:_SHOWN_PARAMETERS])
    if len(design.parameters) > _SHOWN_PARAMETERS:
        parameters += f" and {len(design.parameters) - _SHOWN_PARAMETERS} more parameters"
    lines = [
        f"{design.top} ({design.file}:{design.line}), {len(design.ports)} ports"
        + (f", {parameters}" if parameters else "")
    ]
    rows: list[tuple[str, str, str, str]] = []
    if found.clock:
        rows.append(
            (
                "clock",
                "",
                _names(found.clock.signals),
                "one clock for all" if len(found.clock.signals) > 1 else "",
            )
        )
    else:
        rows.append(("clock", "", "none", "the block is combinational"))
    for reset in found.resets:
        rows.append(("reset", "", reset.signal.name, "active low" if reset.active_low else "active high"))
    for stream in found.streams:
        rows.append(_stream_row(stream))
    for port in found.axis:
        rows.append(_axi_row(port))
    for memory in found.memories:
        rows.append(_memory_row(memory))
    control = found.control
    if list(control.signals()):
        rows.append(("control", "", _names(control.signals()), "a test starts the device with it"))
    for pin in found.pins:
        rows.append(
            (
                "pin",
                "",
                f"{pin.signal.name}[{pin.signal.width}]",
                f"held at {pin.value}" if not pin.why else f"{pin.value}: {pin.why}",
            )
        )
    for signal in found.status:
        rows.append(("status", "", f"{signal.name}[{signal.width}]", "not compared"))
    lines += _columns(rows)
    if found.doubts:
        lines.append("not recognised:")
    for doubt in found.doubts:
        lines.append(
            f"  {doubt.signal.port.place}: port {doubt.signal.name} {doubt.text}; hint: {doubt.hint}"
        )
    return lines


def _stream_row(stream: Stream) -> tuple[str, str, str, str]:
    handshake = ", ".join(s.name for s in (stream.valid, stream.ready) if s)
    fields = ", ".join(f"{n}={s.name}[{s.width}]" for n, s in stream.fields.items())
    notes = [stream.style]
    if stream.latency or (stream.valid is None and not stream.into):
        notes.append(f"{stream.latency} {'enabled ' if stream.freezes else ''}clocks after the input")
    if stream.by_position:
        some = len(stream.by_position) < len(stream.fields)
        which = f" {', '.join(stream.by_position)}" if some else ""
        notes.append(f"payload{which} taken by position")
    text = f"{handshake}: {fields}" if handshake else fields
    return ("input" if stream.into else "output", stream.name, text, "; ".join(notes))


def _axi_row(port: Axi) -> tuple[str, str, str, str]:
    data = port.channels.get("wdata") or port.channels["rdata"]
    address = port.channels.get("awaddr") or port.channels["araddr"]
    kind = "the device is manager" if port.device_is_manager else "the device is subordinate"
    halves = [text for name, text in (("awvalid", "writes"), ("arvalid", "reads")) if name in port.channels]
    return (
        "AXI",
        port.name,
        f"{address.width} address bits, {data.width} data bits, {' and '.join(halves)}",
        f"{port.style}; {kind}",
    )


def _memory_row(memory: Memory) -> tuple[str, str, str, str]:
    roles = ", ".join(f"{role}={signal.name}[{signal.width}]" for role, signal in memory.roles.items())
    who = "the bench answers" if memory.device_drives else "the bench writes and reads"
    notes = [memory.style, who]
    if (
        "read" in memory.roles
        and "response_valid" not in memory.roles
        and "request_ready" not in memory.roles
    ):
        notes.append(f"data {memory.latency} clock{'s' * (memory.latency != 1)} after the address")
    if memory.active_low:
        notes.append(f"active low: {', '.join(sorted(memory.active_low))}")
    return ("memory", memory.name, roles, "; ".join(notes))


def _names(signals: Iterable[Signal]) -> str:
    return ", ".join(signal.name for signal in signals)


def _columns(rows: Sequence[tuple[str, str, str, str]]) -> list[str]:
    first, second = (max(len(row[at]) for row in rows) for at in (0, 1))
    return [
        f"  {kind:<{first}}  {name:<{second}}  {text}" + (f"  ({note})" if note else "")
        for kind, name, text, note in rows
    ]
