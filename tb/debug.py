# SPDX-License-Identifier: Apache-2.0
"""What a bench leaves for who explains a failure: the golden model's values along the data path, the streams' layout.

Only a run that writes waves leaves it (``ASSAY_DEBUG``, which the runner sets): the others pay nothing. A block with
``Block.probes`` has instances of ``assay_probe`` in its waves; each is a `Stage` here, and a job's `JobRecord` holds
the value that each must show, by the value's number in its job. `sim.debug` puts the two beside each other.

In the run's folder stand then ``debug.json`` and ``debug.npz``.
"""

from __future__ import annotations

import bisect
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from assay.tb.json_file import write_json

__all__ = [
    "ACTIVE",
    "AT",
    "Axis",
    "DebugLog",
    "JobRecord",
    "Stage",
    "StreamRecord",
    "UnitRecord",
    "find_output",
    "in_layer",
    "still_inside",
]

ACTIVE = bool(os.environ.get("ASSAY_DEBUG"))  #: whether this run writes waves
JOBS_KEPT = 4  #: jobs of a unit that are recorded, at most
AT: dict[str, Any] = json.loads(os.environ.get("ASSAY_AT") or "{}")
"""A place that a user wants to see: "layer" to a job's name or a word of it, an axis' name to a number."""

_UNIT = ("scope", "title", "result", "stream", "beat")  # what is written of a unit as it is
_ARRAYS = ("values", "unknown", "ends")
_JOB = TypeVar("_JOB")

RECORD, ARRAYS = "debug.json", "debug.npz"


@dataclass(frozen=True)
class Axis:
    """A part of a value's place in the output tensor: index `size` times, `stride` apart, from `offset` on.

    Attributes:
        name: "row", "column", "channel", "image", or another word where there is no tensor.
    """

    name: str
    size: int
    stride: int = 1
    offset: int = 0


@dataclass(frozen=True)
class Stage:
    """A place along a unit's data path.

    Attributes:
        probe: instance of ``assay_probe``, without ``u_``.
        title: what its values are.
        module: of the RTL, which computes them.
        signal: the register in that module that holds them; empty: its output.
        lanes: values side by side, the first in the lowest bits.
        bits: of each.
        words: values are bit patterns; else they are numbers in two's complement.
        blame: what to look at when this stage is the first that differs; empty: the module.
        beside: probe whose value of the same number says where this one belongs, as a word's address; empty: none.
    """

    probe: str
    title: str
    module: str
    signal: str
    lanes: int
    bits: int
    words: bool = False
    blame: str = ""
    beside: str = ""


@dataclass(frozen=True)
class JobRecord:
    """What the golden model computes in a job, a tile or the like.

    Attributes:
        name: for messages.
        first: number of its first beat on the unit's stream.
        values: probe -> integers `[values, lanes]`, in the order in which they come; of a stage of single bits also
            uint8 `[values, lanes/8]`, eight lanes each, the first in the lowest bit.
        each: probe -> how many of its values belong to one output; -n: a value belongs to n outputs.
        ends: probe -> int64 `[outputs]`, the end of each output's values, for one that has not the same number of each.
        axes: the output's, the outermost first: their sizes multiply to the number of outputs.
        lane_axes: those of the lanes, the outermost first.
        unknown: probe -> bool `[values, lanes]`, lanes whose values mean nothing.
        low_bits: probe -> how many of a value's bits mean something, where these are not all.
    """

    name: str
    first: int
    values: Mapping[str, np.ndarray]
    each: Mapping[str, int]
    axes: Sequence[Axis]
    lane_axes: Sequence[Axis]
    unknown: Mapping[str, np.ndarray] = field(default_factory=dict)
    low_bits: Mapping[str, int] = field(default_factory=dict)
    ends: Mapping[str, np.ndarray] = field(default_factory=dict)

    def golden(self, stage: Stage, which: np.ndarray | slice) -> np.ndarray:
        """Some of a stage's values, integers `[values, lanes]`."""
        values = self.values[stage.probe][which]
        if stage.bits == 1 and values.shape[-1] != stage.lanes:
            return np.unpackbits(values, axis=-1, bitorder="little")[..., : stage.lanes]
        return values

    def output_of(self, probe: str, index: int) -> int:
        """The output, or the first of those, that a probe's value belongs to."""
        if probe in self.ends:
            return int(np.searchsorted(self.ends[probe], index, side="right"))
        each = self.each.get(probe, 1)
        return index // each if each > 0 else index * -each

    def values_of(self, probe: str, output: int) -> range:
        """The numbers of a probe's values that belong to an output."""
        if probe in self.ends:
            starts = np.concatenate([[0], self.ends[probe]])
            return range(
                int(starts[min(output, len(starts) - 1)]), int(starts[min(output + 1, len(starts) - 1)])
            )
        each = self.each.get(probe, 1)
        if each > 0:
            return range(output * each, (output + 1) * each)
        return range(output // -each, output // -each + 1)


@dataclass(frozen=True)
class UnitRecord:
    """One unit of the design.

    Attributes:
        scope: the probes' instance below the HDL top.
        title: for messages; empty where there is only one.
        result: probe of the stage whose values the output tensor holds, one for each output.
        stream: of the scoreboard that compares its results.
        beat: probe of the stage of which each value is a beat of that stream.
        stages: along its data path, in order.
        jobs: those of which something may be in the design, and the one before, in the order in which they begin.
    """

    scope: str
    title: str
    result: str
    stream: str
    beat: str
    stages: Sequence[Stage]
    jobs: Sequence[JobRecord]


@dataclass(frozen=True)
class StreamRecord:
    """A stream at the bench's top.

    Attributes:
        name: for messages.
        role: of the bench's agent.
        valid, ready: signals of the top; one that begins with ``~`` is active low; empty: there is none.
        fields: (name, bits, signal) of its payload. Fields of one signal follow each other from the lowest bit on.
        clock: of the top.
    """

    name: str
    role: str
    valid: str
    ready: str
    fields: Sequence[tuple[str, int, str]]
    clock: str = "clk_i"

    @classmethod
    def of_burst(cls, name: str, role: str, fields: Mapping[str, int]) -> StreamRecord:
        """The stream behind a burst adapter (``burst_ports.svh``) with these fields, name to width."""
        payload = [(field, bits, f"{name}_data") for field, bits in fields.items()]
        return cls(name, role, f"{name}_valid", f"{name}_ready", payload)


class DebugLog:
    """Collects what a test leaves. Who has something to leave says so; it is asked at the test's end.

    Attributes:
        streams: of the bench.
        units: functions that give a unit's record.
    """

    def __init__(self) -> None:
        self.streams: list[StreamRecord] = []
        self.units: list[Callable[[], UnitRecord]] = []

    def write(self, folder: Path, test: str) -> None:
        """Write what there is to say of `test` into the run's folder."""
        arrays: dict[str, np.ndarray] = {}
        units: list[dict[str, Any]] = []
        for number, make in enumerate(self.units):
            unit = make()
            jobs = []
            for at, job in enumerate(unit.jobs):
                for kind in _ARRAYS:
                    each = getattr(job, kind)
                    arrays |= {f"{number}/{at}/{kind}/{probe}": array for probe, array in each.items()}
                axes = {key: [asdict(axis) for axis in getattr(job, key)] for key in ("axes", "lane_axes")}
                plain = {
                    "name": job.name,
                    "first": job.first,
                    "each": dict(job.each),
                    "low_bits": dict(job.low_bits),
                }
                jobs.append(plain | axes)
            entry = {key: getattr(unit, key) for key in _UNIT}
            units.append({**entry, "stages": [asdict(stage) for stage in unit.stages], "jobs": jobs})
        with (folder / ARRAYS).open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        streams = [asdict(stream) for stream in self.streams]
        write_json(folder / RECORD, {"test": test, "streams": streams, "units": units})


def read_units(record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> list[UnitRecord]:
    """The units in a run's ``debug.json`` and ``debug.npz``."""
    units = []
    for number, unit in enumerate(record["units"]):
        jobs = []
        for at, job in enumerate(unit["jobs"]):
            held: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in _ARRAYS}
            for key in arrays:
                place, kind, probe = key.rsplit("/", 2)
                if place == f"{number}/{at}":
                    held[kind][probe] = arrays[key]
            axes, lane_axes = ([Axis(**axis) for axis in job[key]] for key in ("axes", "lane_axes"))
            jobs.append(
                JobRecord(
                    job["name"],
                    job["first"],
                    held["values"],
                    job["each"],
                    axes,
                    lane_axes,
                    held["unknown"],
                    job["low_bits"],
                    held["ends"],
                )
            )
        stages = [Stage(**stage) for stage in unit["stages"]]
        units.append(UnitRecord(**{key: unit[key] for key in _UNIT}, stages=stages, jobs=jobs))
    return units


def in_layer(wanted: Mapping[str, Any], name: str) -> bool:
    """Whether a job's name fits the wanted layer, if one is given: it holds it as a word."""
    layer = str(wanted.get("layer", ""))
    return not layer or re.search(rf"(?<![\w.]){re.escape(layer)}(?![\w.])", name) is not None


def find_output(
    wanted: Mapping[str, Any], name: str, axes: Sequence[Axis], lane_axes: Sequence[Axis]
) -> int | None:
    """The first output of a job at a wanted place, see `AT`; None where the job is another one or has none there."""
    if not axes or not in_layer(wanted, name):
        return None
    numbers = np.indices([axis.size for axis in axes]).reshape(len(axes), -1)
    fits = np.ones(numbers.shape[1], bool)
    for key, value in wanted.items():
        if key == "layer":
            continue
        own = [(axis, number) for axis, number in zip(axes, numbers, strict=True) if axis.name == key]
        beside = [axis for axis in lane_axes if axis.name == key]
        if not own and not beside:
            return None
        begin = sum((axis.offset + number * axis.stride for axis, number in own), np.zeros_like(numbers[0]))
        span = sum((axis.size - 1) * axis.stride for axis in beside)
        fits &= (begin <= int(value)) & (int(value) <= begin + span)
    return int(np.argmax(fits)) if fits.any() else None


def still_inside(jobs: Sequence[tuple[int, _JOB]], compared: int) -> list[tuple[int, _JOB]]:
    """Of jobs, each with its first beat, those that a failure after so many compared beats may concern."""
    begin = max(0, bisect.bisect_right(jobs, compared, key=lambda job: job[0]) - 2)
    return list(jobs[begin : begin + JOBS_KEPT])
