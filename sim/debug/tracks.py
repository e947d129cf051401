# SPDX-License-Identifier: Apache-2.0
"""Tracks: what happens in a design in the terms of the network, over time, made from its waves.

A track is a signal of a scope ``assay`` that is added to the wave file: jobs and places as text, the values of each
lane as numbers with the golden model's beside them and a mark where the two differ, the transactions of every stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from assay.sim.debug.datapath import DataPath, StageValues, place
from assay.sim.debug.wavedata import Waves
from assay.tb.debug import StreamRecord

__all__ = ["SCOPE", "Track", "data_path_tracks", "stream_tracks"]

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
        seen = [Track(scope, f"lane{lane}", stage.stage.bits) for lane in range(stage.stage.lanes)]
        golden = [Track(scope, f"golden{lane}", stage.stage.bits) for lane in range(stage.stage.lanes)]
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


def _place(path: DataPath, stage: StageValues, event: int) -> str:
    number, index = int(stage.jobs[event]), int(stage.events.indices[event])
    if number < 0:
        return f"value {index}"
    job = path.unit.jobs[number]
    output = job.output_of(stage.stage.probe, index)
    text = place(job, output)
    values = job.values_of(stage.stage.probe, output)
    return text if len(values) == 1 else f"{text}, {index - values.start + 1} of {len(values)}"


def stream_tracks(
    waves: Waves,
    top: str,
    streams: Sequence[Mapping[str, Any]],
    clock: str,
    describe: Mapping[str, Callable[[Mapping[str, int]], tuple[str, str]]],
) -> Iterator[Track]:
    """The tracks of the streams whose signals are in the waves: each stream's own, and those that its beats belong to.

    Args:
        waves: to look in.
        top: HDL top.
        streams: as ``debug.json`` holds them.
        clock: of all of them, below the top.
        describe: as `Block.describe`.
    """
    edges = waves.rising_edges(f"{top}.{clock}")
    told: dict[str, list[tuple[int, str]]] = {}
    for entry in streams:
        stream = StreamRecord(entry["name"], entry["role"], [tuple(each) for each in entry["fields"]])
        transfers = _transfers(waves, top, stream, edges)
        if transfers is None:
            continue
        track = Track("streams", stream.name)
        in_words = describe.get(stream.name)
        for time, state, word in transfers:
            text = {"idle": "", "waits": "waits"}.get(state)
            fields = None if text is not None else fields_of(stream.fields, word)
            if fields is None:
                track.put(time, text or "X")
                continue
            track.put(time, " ".join(f"{name}=0x{value:x}" for name, value in fields.items()))
            if in_words is not None:
                name, said = in_words(fields)
                told.setdefault(name, []).append((time, said))
        yield track
    for name, said in sorted(told.items()):
        track = Track("", name.replace(" ", "_"), title=name, drawn=True)
        for time, text in sorted(said):
            track.put(time, text)
        yield track


def _transfers(
    waves: Waves, top: str, stream: StreamRecord, edges: np.ndarray
) -> Iterator[tuple[int, str, Any]] | None:
    """Of each clock its begin, what the stream does in it ("idle", "waits", "beat") and the payload; None where the
    waves do not show the stream."""
    names = [f"{top}.{stream.name}_{part}" for part in ("valid", "ready", "data")]
    if len(edges) < 2 or not all(map(waves.has, (names[0], names[2]))):
        return None
    valid = waves.signal(names[0]).number_before(edges) == 1
    ready = waves.signal(names[1]).number_before(edges) == 1 if waves.has(names[1]) else valid
    data = waves.signal(names[2]).before(edges)
    begins = edges - int(np.diff(edges).min())
    states = np.where(valid, np.where(ready, "beat", "waits"), "idle")
    return zip(begins.tolist(), states.tolist(), data, strict=True)


def fields_of(fields: Sequence[tuple[str, int]], word: Any) -> dict[str, int] | None:
    """The fields of a beat by name, the first in the lowest bits; None where bits are unknown."""
    if not isinstance(word, int):
        return None
    values = {}
    for name, bits in fields:
        values[name] = word & ((1 << bits) - 1)
        word >>= bits
    return values
