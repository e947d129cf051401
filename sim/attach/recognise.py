# SPDX-License-Identifier: Apache-2.0
"""From a design's ports to its interfaces: what the hints name first, then what the names tell."""

from __future__ import annotations

import re
from collections.abc import Iterable

from assay.sim.attach.axi import recognise_axi
from assay.sim.attach.design import Design
from assay.sim.attach.hints import CONTROL_ROLES, MEMORY_ROLES, Hints
from assay.sim.attach.interfaces import Clock, Control, Doubt, Memory, Pin, Recognised, Reset, Signal, Stream
from assay.sim.attach.memory import recognise_memories
from assay.sim.attach.names import has
from assay.sim.attach.pool import Pool
from assay.sim.attach.streams import ENABLES, enabled_streams, field_name, recognise_streams, untimed_output
from assay.tb.errors import AssayError, unknown

_CLOCK_WORDS = frozenset({"clk", "clock", "aclk", "ck", "clkin", "mclk", "sclk", "pclk", "hclk", "fclk"})
_RESET = re.compile(r"(?P<low>n|a(?=reset|rst)|s|p|h|sys|sync)?(?P<stem>rst|reset)(?P<tail>n|b|l)?")
_START = frozenset({"start", "go", "kick", "launch", "begin"})
_DONE = frozenset({"done", "finish", "finished", "complete", "completed"})
_TEST = frozenset({"scan", "test", "testmode", "dft", "bist", "jtag", "tck", "tms", "tdi", "trst"})


def recognise(design: Design, hints: Hints | None = None) -> Recognised:
    """Sort every port of the design into an interface, a pin, a status output or a doubt.

    Raises:
        AssayError: a hint names a port that there is not, or a port in a place where it cannot be.
    """
    hints = hints or Hints()
    pool = Pool(design, _mentioned(hints))
    found = Recognised(design)
    _reject_odd_ports(pool, hints, found)
    for name in hints.ignore:
        signal = hints.signal(pool, name, "ignore")
        pool.take(signal)
        if signal.direction == "input":
            found.pins.append(Pin(signal, 0, "ignored"))
    for name, value in hints.pins.items():
        found.pins.append(_hinted_pin(pool, hints, name, value))
    _find_clock(pool, hints, found)
    _find_resets(pool, hints, found)
    named = _hinted_streams(pool, hints)
    found.memories += _hinted_memories(pool, hints)
    found.control = _hinted_control(pool, hints)

    axis, doubts = recognise_axi(pool)
    found.axis += axis
    found.doubts += doubts
    _find_control(pool, found.control)
    found.memories += recognise_memories(pool)
    streams, doubts = recognise_streams(pool, named)
    found.streams = [*named, *streams]
    found.doubts += doubts
    _find_untimed(pool, hints, found)
    _apply_settings(hints, found)
    _sort_rest(pool, found)
    _require_outcome(found)
    return found


def _mentioned(hints: Hints) -> set[str]:
    """All names that the hints hold."""
    names = {*hints.clock, *hints.reset, *hints.ignore, *hints.pins, *hints.control.values()}
    for section in (*hints.stream.values(), *hints.memory.values()):
        for value in section.values():
            names |= {value} if isinstance(value, str) else set(value) if isinstance(value, list) else set()
    return names


def _reject_odd_ports(pool: Pool, hints: Hints, found: Recognised) -> None:
    """Ports that no bench can drive as bits."""
    for signal in pool:
        port = signal.port
        if port.direction == "":
            text = f"is an interface ({port.type_name})"
            hint = "attach to a wrapper module whose ports are the interface's signals"
        elif port.width == 0:
            text = f"has type {port.type_name}, which is not made of bits"
            hint = "attach to a wrapper module with ports of type logic"
        elif port.direction in ("inout", "ref"):
            text = f"is an {port.direction} port"
            hint = f'ignore = ["{signal.name}"] leaves it open'
        else:
            continue
        if signal.name in hints.ignore and port.width and port.direction == "inout":
            continue
        pool.take(signal)
        found.doubts.append(Doubt(signal, text, hint, fatal=True))


def _hinted_pin(pool: Pool, hints: Hints, name: str, value: int) -> Pin:
    signal = hints.signal(pool, name, "pins")
    if signal.direction != "input":
        raise AssayError(f"{hints.place(name)}: pins: {name} is an {signal.direction}; a pin is an input")
    if not 0 <= value < 1 << signal.width:
        raise AssayError(
            f"{hints.place(name)}: pins: {name} = {value} does not fit {signal.width} bits "
            f"(0 to {(1 << signal.width) - 1})"
        )
    pool.take(signal)
    return Pin(signal, value, "by hint")


def _find_clock(pool: Pool, hints: Hints, found: Recognised) -> None:
    if hints.clock:
        clocks = [hints.signal(pool, name, "clock") for name in hints.clock]
        for signal in clocks:
            if signal.direction != "input" or signal.width != 1:
                raise AssayError(f"{hints.place(signal.name)}: clock: {signal.name} is no input of one bit")
    else:
        clocks = [
            s
            for s in pool.inputs()
            if s.width == 1
            and (has(s.words, _CLOCK_WORDS) or re.fullmatch(r"\w*(clk|clock)\d*", s.words[-1]))
            and not has(
                s.words, ENABLES | _TEST | {"gate", "gated", "sel", "req", "disable", "valid", "ready"}
            )
        ]
    pool.take_all(clocks)
    found.clock = Clock(clocks) if clocks else None


def _find_resets(pool: Pool, hints: Hints, found: Recognised) -> None:
    for signal in [hints.signal(pool, n, "reset") for n in hints.reset] or _reset_like(pool):
        if signal.direction != "input" or signal.width != 1:
            raise AssayError(f"{hints.place(signal.name)}: reset: {signal.name} is no input of one bit")
        low = hints.reset_active_low
        found.resets.append(Reset(signal, _is_active_low(signal) if low is None else low))
        pool.take(signal)


def _reset_like(pool: Pool) -> list[Signal]:
    return [
        s
        for s in pool.inputs()
        if s.width == 1 and any(_RESET.fullmatch(w) for w in s.words) and not has(s.words, _TEST)
    ]


def _is_active_low(signal: Signal) -> bool:
    """``rst_n``, ``resetn``, ``nrst``, ``rst_b``, ``n_reset``, ``rst_ni``."""
    for at, word in enumerate(signal.words):
        match = _RESET.fullmatch(word)
        if match:
            beside = signal.words[at + 1 : at + 2] + signal.words[:at][-1:]
            return bool(match["tail"]) or match["low"] == "n" or has(beside, frozenset({"n", "b", "l"}))
    return signal.words[-1] in ("n", "b", "l")


def _hinted_streams(pool: Pool, hints: Hints) -> list[Stream]:
    """The streams whose signals a hint names; a section with settings alone is applied later."""
    found = []
    for name, section in hints.stream.items():
        if not {"valid", "ready", "fields"} & section.keys():
            continue
        where = f"stream.{name}"
        signals: dict[str, Signal] = {
            role: hints.signal(pool, section[role], f"{where}.{role}")
            for role in ("valid", "ready")
            if role in section
        }
        pool.take_all(signals.values())
        fields = [hints.signal(pool, n, f"{where}.fields") for n in section.get("fields", [])]
        pool.take_all(fields)
        into = _hinted_direction(hints, name, section, signals, fields)
        valid, ready = signals.get("valid"), signals.get("ready")
        for signal, forward in [(valid, True), (ready, False), *((f, True) for f in fields)]:
            if signal and signal.direction != ("input" if into is forward else "output"):
                way = "to" if into else "from"
                raise AssayError(
                    f"{hints.place(signal.name)}: {where}: {signal.name} is an {signal.direction}, "
                    f"but the stream goes {way} the device"
                )
        style = "valid/ready" if valid and ready else "valid" if valid else "every clock"
        if ready and not valid:
            raise AssayError(f"{hints.place(ready.name)}: {where}: a ready needs a valid")
        stream = Stream(name, into, style, {}, valid, ready)
        for signal in fields:
            field = field_name(signal.words, stream.fields)
            stream.fields[field] = signal
            if has(signal.words, frozenset({"last", "eop"})):
                stream.last = signal
        found.append(stream)
    return found


def _hinted_direction(
    hints: Hints, name: str, section: dict, signals: dict[str, Signal], fields: list[Signal]
) -> bool:
    if "direction" in section:
        return section["direction"] == "in"
    if "valid" in signals:
        return signals["valid"].direction == "input"
    if fields:
        return fields[0].direction == "input"
    if "ready" in signals:
        return signals["ready"].direction == "output"
    raise AssayError(f'{hints.place(name)}: stream.{name}: add direction = "in" or "out"')


def _hinted_memories(pool: Pool, hints: Hints) -> list[Memory]:
    found = []
    for name, section in hints.memory.items():
        where = f"memory.{name}"
        if "addr" not in section or not {"read", "write"} & section.keys():
            raise AssayError(f"{hints.place(name)}: [{where}] must name addr, and read or write")
        roles = {}
        for role in MEMORY_ROLES:
            if role in section:
                roles[role] = hints.signal(pool, section[role], f"{where}.{role}")
                pool.take(roles[role])
        for role in section.get("active_low", []):
            if role not in roles:
                raise AssayError(
                    f"{hints.place(role)}: {unknown(f'role in {where}.active_low', role, roles)}"
                )
        found.append(
            Memory(
                name,
                roles["addr"].direction == "output",
                roles,
                frozenset(section.get("active_low", [])),
                section.get("latency", 1),
            )
        )
    return found


def _hinted_control(pool: Pool, hints: Hints) -> Control:
    control = Control()
    for role in CONTROL_ROLES:
        if role in hints.control:
            signal = hints.signal(pool, hints.control[role], f"control.{role}")
            pool.take(signal)
            setattr(control, role, signal)
    return control


def _find_control(pool: Pool, control: Control) -> None:
    """``start`` and ``done``, alone or with a prefix of their own; ``ap_ready`` and ``ap_idle`` beside them."""
    if control.start is None:
        starts = [s for s in pool.inputs() if s.width == 1 and s.words[-1] in _START and len(s.words) <= 2]
        if len(starts) == 1:
            control.start = starts[0]
            pool.take(control.start)
    if control.start is None:
        return
    prefix = control.start.words[:-1]
    for role, names in (("done", _DONE), ("ready", {"ready"} if prefix else set()), ("idle", {"idle"})):
        fits = [s for s in pool.outputs() if s.width == 1 and s.words[-1] in names]
        exact = [s for s in fits if s.words[:-1] == prefix]
        fits = exact or (fits if role == "done" else [])
        if getattr(control, role) is None and len(fits) == 1:
            setattr(control, role, fits[0])
            pool.take(fits[0])


def _find_untimed(pool: Pool, hints: Hints, found: Recognised) -> None:
    """Blocks whose beats are not marked: start and done, an enable with a fixed latency, combinational logic."""
    if found.axis or found.memories:
        return
    control = found.control
    if not found.streams and control.start and control.done:
        entry = Stream("in", True, "start/done", {}, control.start, control.ready)
        leave = Stream("out", False, "start/done", {}, control.done)
        pairs = enabled_streams(pool, [leave], None, clocked=False)
        entry.fields, entry.by_position = (pairs[0].fields, pairs[0].by_position) if pairs else ({}, [])
        rest = untimed_output(pool, "start/done", 0)
        leave.fields, leave.by_position = rest.fields, rest.by_position
        found.streams += [entry, leave]
        found.control = Control(idle=control.idle)
        return
    if control.start:
        return
    if not found.inputs:
        latency = hints.stream.get("out", {}).get("latency")
        found.streams += enabled_streams(pool, found.outputs, latency, found.clock is not None)
    elif not found.outputs:
        style = "enable" if all(s.valid for s in found.inputs) else "every clock"
        sink = untimed_output(pool, style, 0)
        if sink.fields:
            found.streams.append(sink)


def _apply_settings(hints: Hints, found: Recognised) -> None:
    """Latencies; an output without valid must have one, unless the block has no clock."""
    by_name = {stream.name: stream for stream in found.streams}
    for name, section in hints.stream.items():
        if name not in by_name:
            raise AssayError(f"{hints.place(name)}: {unknown('stream', name, by_name)}")
        by_name[name].latency = section.get("latency", 0)
    enabled = any(stream.style == "enable" for stream in found.inputs)
    for stream in found.outputs:
        untimed = stream.valid is None
        stream.freezes = untimed and hints.stream.get(stream.name, {}).get("freezes", enabled)
        if untimed and found.clock and "latency" not in hints.stream.get(stream.name, {}):
            found.doubts.append(
                Doubt(
                    next(iter(stream.fields.values())),
                    "is an output without valid, so the number of clocks from input to output must be known",
                    f"[stream.{stream.name}] latency = N",
                    fatal=True,
                )
            )


def _sort_rest(pool: Pool, found: Recognised) -> None:
    for signal in pool.inputs():
        on = signal.width == 1 and "_".join(signal.words) in ENABLES
        found.pins.append(Pin(signal, int(on), "held at 1: an enable" if on else ""))
        pool.take(signal)
    found.status += pool.outputs()
    pool.take_all(pool.outputs())


def _require_outcome(found: Recognised) -> None:
    """A bench needs something to compare."""
    if not (found.outputs or found.axis or found.memories or any(d.fatal for d in found.doubts)):
        raise AssayError(
            f"{found.design.file}:{found.design.line}: {found.design.top} has no output that a bench could compare; "
            'name one in the hints: [stream.out] fields = ["..."]'
        )


def fatal(doubts: Iterable[Doubt]) -> list[Doubt]:
    """The doubts that must be settled before a bench can be written."""
    return [doubt for doubt in doubts if doubt.fatal]
