# SPDX-License-Identifier: Apache-2.0
"""Tracks: what happens in a design in the terms of the network, over time, made from its waves.

A track is a signal of a scope ``assay`` that is added to the wave file: jobs and places as text, the values of each
lane as numbers with the golden model's beside them and a mark where the two differ, the transactions of every stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.sim.debug.datapath import DataPath, StageValues, place
from assay.sim.debug.wavedata import Waves
from assay.tb.debug import Stage, StreamRecord, UnitRecord

__all__ = [
    "SCOPE",
    "Track",
    "data_path_tracks",
    "lane_names",
    "signal_tracks",
    "stream_tracks",
    "waits_track",
]

SCOPE = "assay"  #: that all tracks are in, beside the HDL top


@dataclass
class Track:
    """A signal that is made after the run.

    Attributes:
        scope: below `SCOPE`, with dots.
        name: of the signal.
        bits: of a number, two's complement; 0 for text.
        changes: (time in ps, value) pairs, in the order of time.
        title: of the list of what it showed last, on the page; empty: no list.
        drawn: whether the page draws it.
    """

    scope: str
    name: str
    bits: int = 0
    changes: list[tuple[int, int | str]] = field(default_factory=list)
    title: str = ""
    drawn: bool = False

    @property
    def path(self) -> str:
        """Its full path in the wave file."""
        return ".".join(filter(None, (SCOPE, self.scope, self.name)))

    def put(self, time: int, value: int | str) -> None:
        """The value from a time on."""
        if self.changes and self.changes[-1][0] == time:
            self.changes.pop()
        if not self.changes or self.changes[-1][1] != value:
            self.changes.append((time, value))

    def at(self, time: int) -> int | str:
        """The value just before a time in ps, as a clock edge at that time samples it."""
        last: int | str = 0 if self.bits else ""
        for when, value in self.changes:
            if when >= time:
                break
            last = value
        return last


def data_path_tracks(path: DataPath, begin: int, period: int) -> Iterator[Track]:
    """The tracks of a unit: of each stage the place, each lane's value, the golden one, and where they differ.

    Args:
        path: of the unit.
        begin: of the waves, in ps.
        period: of the clock, in ps: a value stands in the clock that ends with the edge that takes it.
    """
    unit = path.unit
    base = unit.title.replace(" ", "_")
    job = Track(base, "job")
    for stage in path.stages:
        scope = ".".join(filter(None, (base, stage.stage.probe)))
        where = Track(scope, "place")
        differs = Track(scope, "differs", 1)
        differs.put(begin, 0)
        seen, golden = (
            [
                Track(scope, lane_names(stage.stage, lane)[at], stage.stage.bits)
                for lane in range(stage.stage.lanes)
            ]
            for at in (0, 1)
        )
        for event, time in enumerate((stage.events.times - period).tolist()):
            text = _place(path, stage, event)
            where.put(time, text)
            differs.put(time, int(stage.wrong[event].any()))
            differs.put(time + period, 0)
            for lane, track in enumerate(seen):
                track.put(time, int(stage.events.values[event, lane]))
            if stage.known[event].any():
                for lane, track in enumerate(golden):
                    track.put(time, int(stage.expected[event, lane]))
            if stage is path.stages[0]:
                number = int(stage.jobs[event])
                job.put(time, unit.jobs[number].name if number >= 0 else f"job {stage.events.jobs[event]}")
        yield from (where, differs, *seen, *golden)
    yield job


class _Reader:
    """The values of signals in a clock, as `tb.agents.inside.Inside` gives them while a simulation runs."""

    def __init__(self, waves: Waves, top: str, edges: np.ndarray) -> None:
        self._waves, self._top, self._edges = waves, top, edges
        self._known: dict[str, list[Any]] = {}
        self.clock = 0

    def value(self, path: str) -> int | None:
        """The value just before the edge of `clock`; None where it is not in the waves, or unknown."""
        if path not in self._known:
            name = f"{self._top}.{path}"
            self._known[path] = self._waves.signal(name).before(self._edges) if self._waves.has(name) else []
        values = self._known[path]
        found = values[self.clock] if values else None
        return found if isinstance(found, int) else None


def waits_track(
    waves: Waves, top: str, unit: UnitRecord, edges: np.ndarray, waits: Callable[[Any, str], str]
) -> Track:
    """For what a unit waits, clock by clock, in words.

    Args:
        waves: to look in.
        top: HDL top.
        unit: whose probes stand in it.
        edges: int64[n], of its clock, in ps.
        waits: as `Block.waits`.
    """
    track = Track(unit.title.replace(" ", "_"), "waits", drawn=True)
    reader = _Reader(waves, top, edges)
    path = unit.scope.rpartition(".")[0]
    begins = edges - int(np.diff(edges).min())
    for reader.clock, begin in enumerate(begins.tolist()):
        track.put(begin, waits(reader, path))
    return track


def lane_names(stage: Stage, lane: int) -> tuple[str, str]:
    """The names of a lane's track and of the golden model's: numbers, which viewers show signed, or bit patterns."""
    return (f"bits{lane}", f"golden_bits{lane}") if stage.words else (f"lane{lane}", f"golden{lane}")


def _place(path: DataPath, stage: StageValues, event: int) -> str:
    number, index = int(stage.jobs[event]), int(stage.events.indices[event])
    if number < 0:
        return f"value {index}"
    job = path.unit.jobs[number]
    golden = job.values.get(stage.stage.probe)
    if golden is not None and index >= len(golden):
        return f"value {index}, more than the job has"
    output = job.output_of(stage.stage.probe, index)
    text = place(job, output)
    values = job.values_of(stage.stage.probe, output)
    return text if len(values) == 1 else f"{text}, {index - values.start + 1} of {len(values)}"


def signal_tracks(waves: Waves, top: str, names: Iterable[str]) -> Iterator[Track]:
    """Signals of the design as tracks, for the page: those of these paths below the top that are in the waves, without
    clocks and resets. Of more than a bit in hexadecimal."""
    for name in names:
        path = f"{top}.{name}"
        if not waves.has(path) or name.split(".")[-1].startswith(("clk", "rst", "cycle")):
            continue
        signal = waves.signal(path)
        track = Track("", name, drawn=True)
        for time, value in zip(signal.times.tolist(), signal.values, strict=True):
            track.put(time, f"0x{value:x}" if isinstance(value, int) and signal.bits > 1 else str(value))
        yield track


def stream_tracks(
    waves: Waves,
    top: str,
    streams: Sequence[Mapping[str, Any]],
    describe: Mapping[str, Callable[[Mapping[str, int]], tuple[str, str]]],
) -> Iterator[Track]:
    """The tracks of the streams whose signals are in the waves: each stream's own, and those that its beats belong to.

    Args:
        waves: to look in.
        top: HDL top.
        streams: as ``debug.json`` holds them.
        describe: as `Block.describe`.
    """
    told: dict[str, list[tuple[int, str]]] = {}
    for entry in streams:
        stream = StreamRecord(**{**entry, "fields": [tuple(each) for each in entry["fields"]]})
        track = Track("streams", stream.name)
        in_words = describe.get(stream.name)
        for time, state, fields in _transfers(waves, top, stream):
            if state != "beat":
                track.put(time, state)
                continue
            known = {name: value for name, value in fields.items() if isinstance(value, int)}
            track.put(
                time, " ".join(f"{n}=0x{v:x}" if isinstance(v, int) else f"{n}=X" for n, v in fields.items())
            )
            if in_words is not None and len(known) == len(fields):
                name, said = in_words(known)
                told.setdefault(name, []).append((time, said))
        if track.changes:
            yield track
    for name, beats in sorted(told.items()):
        track = Track("", name.replace(" ", "_"), title=name, drawn=True)
        for time, text in sorted(beats):
            track.put(time, text)
        yield track


def _transfers(
    waves: Waves, top: str, stream: StreamRecord
) -> Iterator[tuple[int, str, Mapping[str, int | str | None]]]:
    """Of each clock its begin, what the stream does in it ("" nothing, "waits", "beat"), and a beat's fields: numbers,
    or what is not one. None at all where the waves do not show the stream."""
    signals = {f"{top}.{signal}" for _, _, signal in stream.fields}
    if not all(map(waves.has, (*signals, f"{top}.{stream.clock}"))):
        return
    edges = waves.rising_edges(f"{top}.{stream.clock}")
    if len(edges) < 2:
        return

    def high(name: str) -> np.ndarray:
        path = f"{top}.{name.removeprefix('~')}"
        if not name or not waves.has(path):
            return np.ones(len(edges), bool)
        return waves.signal(path).number_before(edges) == (0 if name.startswith("~") else 1)

    valid, ready = high(stream.valid), high(stream.ready)
    data = {signal: waves.signal(signal).before(edges) for signal in signals}
    begins = edges - int(np.diff(edges).min())
    for at, begin in enumerate(begins.tolist()):
        if not valid[at]:
            yield begin, "", {}
        elif not ready[at]:
            yield begin, "waits", {}
        else:
            yield begin, "beat", _fields(stream, top, {signal: values[at] for signal, values in data.items()})


def _fields(stream: StreamRecord, top: str, words: Mapping[str, Any]) -> dict[str, int | str | None]:
    """The fields of a beat by name; what is not an integer has unknown bits."""
    low: dict[str, int] = {}
    values: dict[str, int | str | None] = {}
    for name, bits, signal in stream.fields:
        word = words[f"{top}.{signal}"]
        at = low.get(signal, 0)
        low[signal] = at + bits
        values[name] = word >> at & ((1 << bits) - 1) if isinstance(word, int) else word
    return values
