# SPDX-License-Identifier: Apache-2.0
"""Recognise streams: valid/ready, AXI4-Stream, valid alone, FIFO ports, an enable with a fixed latency."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from assay.sim.attach.interfaces import Doubt, Signal, Stream
from assay.sim.attach.names import DIRECTIONS, LAST, READY, VALID, belongs, has, identifier, without
from assay.sim.attach.pool import Pool

ENABLES = frozenset({"en", "ena", "enable", "ce", "cke", "clken", "clk_en", "clock_enable"})
_CONTROL = frozenset(
    {"flush", "clear", "clr", "abort", "kill", "start", "go", "stop", "enable", "en", "ce", "stall", "sync"}
    | {"test", "testmode", "scan", "dft", "debug", "bypass", "mode", "cfg", "config", "conf", "csr", "static"}
    | {"irq", "busy", "idle", "done", "error", "err", "overflow", "underflow", "full", "empty", "almost"}
    | {"usage", "count", "level", "state"}
)
"""Words of inputs and outputs that are no payload, unless they bear the words of a stream."""

_PUSH = frozenset({"push", "enq", "enqueue", "wr_en", "w_en", "wren", "write", "winc", "put"})
_POP = frozenset({"pop", "deq", "dequeue", "rd_en", "r_en", "rden", "read", "rinc", "get"})
_FULL = frozenset({"full", "wfull"})
_EMPTY = frozenset({"empty", "rempty"})
_MOST_LANES = 64
"""A wider vector that is named like a handshake is none."""
_EXTRA = frozenset({"keep", "strb", "user", "id", "dest"})

Key = tuple[str, ...]


def is_control(signal: Signal) -> bool:
    """Whether a name says that a signal is no payload."""
    return has(signal.words, _CONTROL)


def recognise_streams(pool: Pool, named: list[Stream]) -> tuple[list[Stream], list[Doubt]]:
    """Take every stream with a handshake out of the pool.

    Args:
        named: streams that the hints name; what the hints leave open is filled in.

    Returns:
        the streams found, `named` not among them, and what was not settled.
    """
    doubts: list[Doubt] = []
    found = _fifo_ports(pool)
    pairs = _pair(pool)
    for valid, ready in pairs:
        pool.take(valid, ready)
        into = valid.direction == "input"
        yumi = ready is not None and "yumi" in ready.words
        style = "valid/yumi" if yumi else "valid/ready" if ready else "valid"
        found.append(Stream("", into, style, {}, valid, ready))
    for signal in pool:
        if has(signal.words, READY) and signal.width == 1:
            doubts.append(
                Doubt(
                    signal,
                    "is named like a ready, but no valid belongs to it",
                    f'[stream.NAME] valid = "...", ready = "{signal.name}"',
                )
            )
    everything = [*named, *found]
    _assign_fields(pool, everything, doubts)
    _name(found, {s.name for s in named})
    return [lane for stream in found for lane in _lanes(stream)], doubts


def _lanes(stream: Stream) -> list[Stream]:
    """The streams whose handshakes are the bits of one vector; a field that does not divide among them goes to each."""
    if stream.valid is None or stream.ready is None or stream.valid.width == 1:
        return [stream]
    count = stream.valid.width

    def part(signal: Signal, lane: int) -> Signal:
        if signal.width % count:
            return signal
        width = signal.width // count
        return Signal(signal.port, f"{signal.name}[{lane}]", signal.lsb + lane * width, width)

    return [
        replace(
            stream,
            name=f"{stream.name}{lane}",
            fields={name: part(signal, lane) for name, signal in stream.fields.items()},
            valid=part(stream.valid, lane),
            ready=part(stream.ready, lane),
            last=part(stream.last, lane) if stream.last else None,
        )
        for lane in range(count)
    ]


def _base(words: Key) -> Key:
    return without(words, DIRECTIONS)


def _pair(pool: Pool) -> list[tuple[Signal, Signal | None]]:
    """Each valid with the ready that belongs to it, the surest pairs first."""
    valids = [s for s in pool if has(s.words, VALID) and s.width <= _MOST_LANES]
    valids = [s for s in valids if s.direction in ("input", "output")]
    readies = [s for s in pool if has(s.words, READY)]
    pairs: dict[str, Signal] = {}

    def join(rule: Callable[[Signal, Signal], bool], alone: bool) -> None:
        for valid in valids:
            fits = [
                r
                for r in readies
                if r.direction != valid.direction
                and r.width == valid.width
                and r.name not in {x.name for x in pairs.values()}
                and rule(valid, r)
            ]
            rivals = [v for v in valids if v.name not in pairs and v.direction == valid.direction]
            if valid.name not in pairs and len(fits) == 1 and not (alone and len(rivals) > 1):
                pairs[valid.name] = fits[0]

    def key(signal: Signal) -> Key:
        return without(signal.words, VALID | READY)

    join(lambda v, r: key(v) == key(r), alone=False)
    join(lambda v, r: _base(key(v)) == _base(key(r)), alone=False)
    join(lambda v, r: True, alone=True)
    # A vector is a handshake only beside a vector of the same width: alone it may be anything.
    return [(v, pairs.get(v.name)) for v in valids if v.width == 1 or v.name in pairs]


def _fifo_ports(pool: Pool) -> list[Stream]:
    """Push with full, and pop with empty, as streams whose beats move when both sides agree."""
    found = []
    for asks, blocks, into in ((_PUSH, _FULL, True), (_POP, _EMPTY, False)):
        for ask in pool.inputs():
            key = _fifo_key(ask, asks)
            if ask.width != 1 or key is None:
                continue
            fits = [s for s in pool.outputs() if s.width == 1 and _fifo_key(s, blocks) is not None]
            exact = [s for s in fits if _fifo_key(s, blocks) == key]
            fits = exact or fits
            if len(fits) == 1:
                pool.take(ask, fits[0])
                found.append(Stream("", into, "FIFO", {}, ask, fits[0]))
    return found


def _fifo_key(signal: Signal, names: frozenset[str]) -> Key | None:
    """The words beside a FIFO's word; None if there is none."""
    words = signal.words
    for size in (2, 1):
        for at in range(len(words) - size + 1):
            if "_".join(words[at : at + size]) in names:
                return words[:at] + words[at + size :]
    return None


def _assign_fields(pool: Pool, streams: list[Stream], doubts: list[Doubt]) -> None:
    """Give each stream the signals that bear its words, the longest words first; then what is left to who has none."""
    open_streams = [s for s in streams if not s.fields]
    for stream in sorted(open_streams, key=lambda s: -len(_key(s))):
        own = [s for s in _side(pool, stream.into) if belongs(s.words, _key(stream)) and _payload(s, stream)]
        claim(pool, stream, own)
    for into in (True, False):
        without_data = [s for s in streams if s.into is into and not set(s.fields) - _EXTRA - LAST]
        for stream in without_data[1:]:
            if stream.valid is not None:
                doubts.append(
                    Doubt(
                        stream.valid,
                        "is a handshake without payload",
                        f'[stream.NAME] valid = "{stream.valid.name}", fields = ["..."]',
                    )
                )
        if len(without_data) == 1:
            rest = [s for s in _side(pool, into) if not is_control(s)]
            claim(pool, without_data[0], rest, by_position=True)


def _side(pool: Pool, into: bool) -> list[Signal]:
    return pool.inputs() if into else pool.outputs()


def _payload(signal: Signal, stream: Stream) -> bool:
    """Whether a signal that bears the words of a stream is its payload: `in_flush` is not."""
    rest = [word for word in signal.words if word not in _key(stream)]
    return not has(tuple(rest), frozenset({"flush", "clear", "clr", "en", "enable", "stall", "busy"}))


def _key(stream: Stream) -> Key:
    """The words that the signals of a stream share."""
    if stream.valid is None:
        return ()
    if stream.style == "FIFO":
        return _fifo_key(stream.valid, _PUSH if stream.into else _POP) or ()
    key = without(stream.valid.words, VALID)
    return key


def claim(pool: Pool, stream: Stream, signals: Iterable[Signal], by_position: bool = False) -> None:
    """Make signals the fields of a stream, named by the words that are not the stream's."""
    for signal in signals:
        key = _key(stream)
        words = signal.words
        if key and belongs(words, key):
            words = words[len(key) :] if words[: len(key)] == key else words[: -len(key)]
        name = field_name(words, stream.fields)
        stream.fields[name] = signal
        if by_position:
            stream.by_position.append(name)
        if stream.last is None and words in (("last",), ("t", "last"), ("eop",)):
            stream.last = signal
        pool.take(signal)


def field_name(words: Key, taken: Iterable[str]) -> str:
    """A name for a field; `data` for a signal that has no word of its own."""
    name = identifier(words, "data") if words else "data"
    taken = set(taken)
    number = 2
    while name in taken:
        name, number = f"{identifier(words, 'data')}_{number}", number + 1
    return name


def _name(found: list[Stream], taken: set[str]) -> None:
    """Names from the words of the handshake; ``in`` and ``out`` where there are none."""
    for stream in found:
        key = _key(stream)
        axis = key[-1:] == ("t",)
        if axis:
            stream.style = "AXI4-Stream" if stream.ready else "AXI4-Stream without ready"
            key = key[:-1]
        default = "in" if stream.into else "out"
        name = identifier(key, default) if _base(key) else default
        number = 2
        while name in taken:
            name, number = f"{name}{number}" if number == 2 else f"{name[:-1]}{number}", number + 1
        taken.add(name)
        stream.name = name


def enabled_streams(pool: Pool, outputs: list[Stream], latency: int | None, clocked: bool) -> list[Stream]:
    """Streams of a block without a valid at its input: every clock, or every clock with the enable, takes a beat.

    Args:
        outputs: streams that leave the block with a valid of their own.
        latency: of the output without a valid; None if the hints do not tell.
        clocked: False for a block without clock, whose outputs follow its inputs.
    """
    enable = next(
        (s for s in pool.inputs() if s.width == 1 and "_".join(s.words) in ENABLES and clocked), None
    )
    pool.take(enable)
    source = Stream("in", True, "enable" if enable else "every clock", {}, enable)
    claim(pool, source, [s for s in pool.inputs() if not is_control(s)], by_position=True)
    found = [source]
    if not outputs:
        found.append(untimed_output(pool, source.style, latency or 0))
    return [stream for stream in found if stream.fields]


def untimed_output(pool: Pool, style: str, latency: int) -> Stream:
    """The outputs that no valid goes with, as one stream whose beats leave `latency` clocks after they entered."""
    sink = Stream("out", False, style, {}, latency=latency)
    payload = [s for s in pool.outputs() if not is_control(s)] or pool.outputs()
    claim(pool, sink, payload, by_position=True)
    return sink
