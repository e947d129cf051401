# SPDX-License-Identifier: Apache-2.0
"""A unit's data path in the waves beside the golden model's: which stage is the first that differs, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.sim.debug.wavedata import Events, Waves
from assay.tb.debug import Axis, JobRecord, Stage, UnitRecord

__all__ = ["DataPath", "ResultMap", "StageValues", "compare_unit", "place", "result_map"]

_NOWHERE = 1 << 40  # taken from any job's number: another job than those of the record


@dataclass(frozen=True)
class StageValues:
    """A stage's values in the waves, and what they must be.

    Attributes:
        stage: the place.
        events: all its values in the waves.
        jobs: int64[n], for each value the number of its job in `UnitRecord.jobs`; -1 for another job.
        expected: int64[n, lanes]; 0 where golden knows nothing.
        known: bool[n, lanes], where it knows something.
        wrong: bool[n, lanes], where the two differ.
    """

    stage: Stage
    events: Events
    jobs: np.ndarray
    expected: np.ndarray
    known: np.ndarray
    wrong: np.ndarray

    def of_output(self, unit: UnitRecord, job: int, output: int) -> np.ndarray:
        """int64[k]: the events that belong to an output of a job."""
        wanted = unit.jobs[job].values_of(self.stage.probe, output)
        indices = self.events.indices
        return np.flatnonzero((self.jobs == job) & (indices >= wanted.start) & (indices < wanted.stop))


@dataclass(frozen=True)
class DataPath:
    """A unit's stages, compared.

    Attributes:
        unit: as the bench has left it.
        stages: those that the waves show, in the order of the data path.
        job: number in `UnitRecord.jobs` of the job that failed; -1 where that is unknown.
        output: number in that job of the output whose value was wrong; -1 where that is unknown.
    """

    unit: UnitRecord
    stages: Sequence[StageValues]
    job: int
    output: int

    @property
    def compared(self) -> int:
        """Values in the waves that golden knows."""
        return sum(int(stage.known.sum()) for stage in self.stages)

    def first_wrong(self) -> tuple[StageValues, int] | None:
        """The first stage along the path that is wrong for the output that failed, and the event; where no output is
        named, or none of its stages is wrong, the first wrong value in time."""
        if self.output >= 0:
            for stage in self.stages:
                for event in stage.of_output(self.unit, self.job, self.output).tolist():
                    if stage.wrong[event].any():
                        return stage, event
        found = [
            (int(stage.events.times[rows[0]]), at, int(rows[0]))
            for at, stage in enumerate(self.stages)
            if len(rows := np.flatnonzero(stage.wrong.any(axis=1)))
        ]
        if not found:
            return None
        _, at, event = min(found)
        return self.stages[at], event


def compare_unit(waves: Waves, top: str, unit: UnitRecord, failure: Mapping[str, Any]) -> DataPath | None:
    """Put a unit's stages in the waves beside the golden model's; None where the waves show no probe of it.

    Args:
        waves: of the window around the failure.
        top: the HDL top.
        unit: as the bench has left it.
        failure: the entry in ``summary.json``.
    """
    shown = [(stage, waves.events(f"{top}.{unit.scope}", stage)) for stage in unit.stages]
    events = {stage.probe: found for stage, found in shown if found is not None}
    if not events:
        return None
    job, beat = _failed_job(unit, failure)
    offset = _offset(unit, events, job, beat, failure)
    stages = [
        _compare(stage, events[stage.probe], unit, offset) for stage in unit.stages if stage.probe in events
    ]
    output = unit.jobs[job].output_of(unit.beat, beat) if job >= 0 else -1
    return DataPath(unit, stages, job, output)


def _failed_job(unit: UnitRecord, failure: Mapping[str, Any]) -> tuple[int, int]:
    """The number of the job whose beat a failure names, and the beat's in it; -1, -1 for another failure."""
    index = failure.get("index", -1)
    if failure.get("stream") != unit.stream or not isinstance(index, int) or index < 0:
        return -1, -1
    for at, job in enumerate(unit.jobs):
        if job.first <= index < job.first + len(job.values.get(unit.beat, ())):
            return at, index - job.first
    return -1, -1


def _offset(
    unit: UnitRecord, events: Mapping[str, Events], job: int, beat: int, failure: Mapping[str, Any]
) -> int:
    """What must be taken from a job's number in the waves to have its number in the record.

    The beat that failed tells it. For another failure, that with which the most values agree; where with none most of
    them do, no job of the record is in the waves.
    """
    if job >= 0 and unit.beat in events:
        came = events[unit.beat]
        at = np.searchsorted(came.times, round(float(failure.get("time_ns", -1)) * 1000), side="right") - 1
        if at >= 0 and (came.indices[at] == beat or len(unit.jobs) == 1):
            return int(came.jobs[at]) - job
    numbers = sorted({number for found in events.values() for number in found.jobs.tolist()})
    best, most = _NOWHERE, 0
    for last in range(len(unit.jobs)):
        for number in numbers[-2:]:
            score = 0
            for stage in unit.stages:
                if stage.probe in events:
                    values = _compare(stage, events[stage.probe], unit, number - last)
                    score += int(values.known.sum()) - 2 * int(values.wrong.sum())
            if score > most:
                best, most = number - last, score
    return best


def _compare(stage: Stage, events: Events, unit: UnitRecord, offset: int) -> StageValues:
    jobs = events.jobs - offset
    expected = np.zeros(events.values.shape, np.int64)
    known = np.zeros(events.values.shape, bool)
    mask = np.full(len(events), -1, np.int64)
    for at, job in enumerate(unit.jobs):
        values = job.values.get(stage.probe)
        if values is None:
            continue
        rows = np.flatnonzero((jobs == at) & (events.indices < len(values)))
        expected[rows] = job.golden(stage, events.indices[rows])
        known[rows] = True
        if stage.probe in job.unknown:
            known[rows] &= ~job.unknown[stage.probe][events.indices[rows]]
        if stage.probe in job.low_bits:
            mask[rows] = (1 << job.low_bits[stage.probe]) - 1
    jobs = np.where((jobs >= 0) & (jobs < len(unit.jobs)), jobs, -1)
    differs = ((expected ^ events.values) & mask[:, None]) != 0
    return StageValues(stage, events, jobs, expected, known, known & (differs | events.unknown))


# ---------------------------------------------------------------------------------------------
# Places in the output tensor
# ---------------------------------------------------------------------------------------------
def place(job: JobRecord, output: int, lane: int | None = None) -> str:
    """An output, or one lane of it, in the network's terms: "row 3, column 4, channel 17"."""
    if lane is not None:
        return ", ".join(f"{name} {value}" for name, value in _numbers(job, output, lane).items())
    spans = {axis.name: (axis.size - 1) * axis.stride for axis in job.lane_axes}
    return ", ".join(
        f"{name}s {value} to {value + spans[name]}" if spans.get(name) else f"{name} {value}"
        for name, value in _numbers(job, output).items()
    )


def _numbers(job: JobRecord, output: int, lane: int | None = None) -> dict[str, int]:
    at = dict.fromkeys([axis.name for axis in job.axes], 0)
    _add(at, job.axes, output)
    if lane is not None:
        _add(at, job.lane_axes, lane)
    return at


def _add(at: dict[str, int], axes: Sequence[Axis], number: int) -> None:
    for axis in reversed(axes):
        number, index = divmod(number, axis.size)
        at[axis.name] = at.get(axis.name, 0) + axis.offset + index * axis.stride


@dataclass(frozen=True)
class ResultMap:
    """Right and wrong values of the failed job's output tensor, as far as the waves show it.

    Attributes:
        names: of the axes, such as row, column, channel.
        state: int8 over those axes: 0 no value there, 1 not seen, 2 equal, 3 wrong.
        first: of each axis, the number at its beginning.
        side_by_side: of each axis, how many of its values the unit computes at once, in lanes; 1: one after the other.
    """

    names: Sequence[str]
    state: np.ndarray
    first: Sequence[int]
    side_by_side: Sequence[int]

    def pattern(self) -> str:
        """What the wrong values have in common, in a sentence; empty where there are none."""
        wrong = self.state == 3
        seen = int((self.state >= 2).sum())
        count = int(wrong.sum())
        if not count:
            return ""
        said = [f"{count:,} of {seen:,} values seen are wrong"]
        where, right = np.argwhere(wrong), np.argwhere(self.state == 2)
        for axis, name in enumerate(self.names):
            at = np.unique(where[:, axis])
            others = np.unique(right[:, axis]) if len(right) else at
            lanes = self.side_by_side[axis]
            if len(at) == 1 and len(np.union1d(at, others)) > 1:
                said.append(f"all of them in {name} {int(at[0]) + self.first[axis]}")
            elif 1 < lanes < self.state.shape[axis] and len(np.unique(at % lanes)) == 1:
                said.append(
                    f"all of them in {name} {int(at[0] % lanes)} of each {lanes} that are computed side by side"
                )
        inner = [
            axis for axis, n in enumerate(self.names) if n in ("row", "column") and self.state.shape[axis] > 2
        ]

        def outermost(places: np.ndarray) -> np.ndarray:
            ends = [np.isin(places[:, axis], (0, self.state.shape[axis] - 1)) for axis in inner]
            return np.any(ends, axis=0) if ends else np.zeros(len(places), bool)

        if len(said) == 1 and count > 1 and outermost(where).all() and not outermost(right).all():
            said.append("all of them at the border")
        flat = self.state.reshape(-1)
        after = flat[int(np.argmax(flat == 3)) :]
        if len(said) == 1 and count > 8 and not (after == 2).any():
            said.append("every value from the first wrong one on")
        return "; ".join(said)


def result_map(path: DataPath, compared_before: bool) -> ResultMap | None:
    """The map of the failed job's output; None where no job is known to have failed, or nothing of it is in the waves.

    Args:
        path: of the unit.
        compared_before: the results before the first wrong one have been compared, so they are equal.
    """
    result = next((stage for stage in path.stages if stage.stage.probe == path.unit.result), None)
    if result is None or path.job < 0:
        return None
    job = path.unit.jobs[path.job]
    values = job.values[path.unit.result]
    state = np.ones(values.shape, np.int8)
    if compared_before:
        state[: path.output] = 2
    for event in np.flatnonzero(result.jobs == path.job).tolist():
        index = int(result.events.indices[event])
        if index < len(state):
            state[index] = np.where(result.wrong[event], 3, 2)
    if path.unit.result in job.unknown:
        state[job.unknown[path.unit.result]] = 0
    return _over_axes(job, state)


def _over_axes(job: JobRecord, state: np.ndarray) -> ResultMap:
    """States `[outputs, lanes]` as an array over the tensor's axes."""
    axes = [*job.axes, *job.lane_axes]
    names = list(dict.fromkeys(axis.name for axis in axes))
    numbers = np.indices([axis.size for axis in axes])
    places = {name: np.zeros(numbers.shape[1:], np.int64) for name in names}
    for axis, number in zip(axes, numbers, strict=True):
        places[axis.name] += number * axis.stride
    shape = [int(places[name].max()) + 1 for name in names]
    over = np.zeros(shape, np.int8)
    over[tuple(places[name].reshape(-1) for name in names)] = state.reshape(-1)
    first = [sum(axis.offset for axis in axes if axis.name == name) for name in names]
    lanes = [next((axis.size for axis in job.lane_axes if axis.name == name), 1) for name in names]
    return ResultMap(names, over, first, lanes)
