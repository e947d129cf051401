# SPDX-License-Identifier: Apache-2.0
"""The cases of the accelerator's host side: bursts and accesses of harts, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.golden.accelerator.host_port import FIXED, INCR, Request, find_window
from assay.tb.accelerator_host.stimulus import CHANNELS, HartAccess, Step, is_legal
from assay.tb.cases import Case, Cases, calmer, each_step, fewer_steps, varied
from assay.tb.shrinking import Pass, Search

__all__ = ["HostCases", "playable", "recorded_step"]

Beat = tuple[int, int, int]
Made = Callable[[Case, Step], Case]
_BURSTS = {FIXED: "FIXED", INCR: "INCR", 2: "WRAP", 3: "reserved type"}
_ALL_LANES = 0xFF


@dataclass(frozen=True)
class _Write:
    """A write burst with the beats that it takes: fewer than it has where WLAST comes early."""

    request: Request
    beats: tuple[Beat, ...]


def recorded_step(step: Step) -> Step:
    """A step as a case holds it: only with the channels that stall."""
    return replace(step, stalls={name: stall for name, stall in step.stalls.items() if stall})


def playable(step: Step) -> Step:
    """A step of a case as it is played: with all channels.

    Raises:
        ValueError: it names a channel that there is not, or its numbers fit no channel.
    """
    if unknown := set(step.stalls) - set(CHANNELS):
        raise ValueError(f"no channels: {', '.join(sorted(unknown))}")
    for request in (*step.writes, *step.reads):
        if not (1 <= request.beats <= 256 and 0 <= request.address < 1 << 32 and 0 <= request.size < 8):
            raise ValueError(f"no request of AXI4: {request}")
    return replace(step, stalls={**dict.fromkeys(CHANNELS, 0), **step.stalls})


class HostCases(Cases):
    """See `tb.cases.Cases`."""

    types = (Step, Request, HartAccess)

    def check(self, case: Case) -> None:
        for step in case.steps:
            playable(step)

    def passes(self) -> Iterable[Pass]:
        return (fewer_steps, each_step(calmer), each_step(_fewer), each_step(_simpler))

    def describe(self, case: Case) -> list[str]:
        return [
            line for number, step in enumerate(case.steps, 1) for line in _described(f"step {number}", step)
        ]


def _operations(step: Step) -> list[Any]:
    """What a step does: `_Write`, `Request` of a read, `HartAccess`."""
    operations: list[Any] = []
    at = 0
    for request in step.writes:
        first = at
        for _ in range(request.beats):
            at += 1
            if at >= len(step.beats) or step.beats[at - 1][2]:
                break
        operations.append(_Write(request, tuple(step.beats[first:at])))
    return [*operations, *step.reads, *step.harts]


def _of(step: Step, operations: Sequence[Any]) -> Step:
    """The step that does these, each kind in their order."""
    writes = [each for each in operations if isinstance(each, _Write)]
    reads = [each for each in operations if isinstance(each, Request)]
    requests = [each.request for each in writes]
    return replace(
        step,
        writes=requests,
        beats=[beat for each in writes for beat in each.beats],
        reads=reads,
        harts=[each for each in operations if isinstance(each, HartAccess)],
        legal=step.legal and all(is_legal(each) for each in (*requests, *reads)),
    )


def _fewer(search: Search[Case], step: Callable[[Case], Step], made: Made) -> None:
    """As few bursts and accesses as possible."""
    search.leave_out(
        lambda case: _operations(step(case)),
        lambda case, rest: made(case, _of(step(case), rest)),
        least=1,
    )


def _simpler(search: Search[Case], step: Callable[[Case], Step], made: Made) -> None:
    """Short bursts of plain beats to the first places of their windows."""
    for number in range(len(_operations(step(search.best)))):

        def now(case: Case, number: int = number) -> Any:
            return _operations(step(case))[number]

        def changed(case: Case, operation: Any, number: int = number) -> Case:
            operations = _operations(step(case))
            operations[number] = operation
            return made(case, _of(step(case), operations))

        operation = now(search.best)
        if isinstance(operation, HartAccess):
            for name in ("data", "hart", "unit", "address"):
                simpler = search.fewer_bits if name == "data" else search.lower
                simpler(
                    lambda case, name=name: getattr(now(case), name),  # type: ignore[misc]
                    lambda case, value, name=name: changed(case, varied(now(case), **{name: value})),  # type: ignore[misc]
                )
            continue
        _simpler_burst(search, now, changed)
        if isinstance(operation, _Write):
            _simpler_beats(search, now, changed)


def _simpler_burst(
    search: Search[Case], now: Callable[[Case], Any], changed: Callable[[Case, Any], Case]
) -> None:
    def request(case: Case) -> Request:
        operation = now(case)
        return operation.request if isinstance(operation, _Write) else operation

    def with_request(case: Case, **values: int) -> Case:
        operation = now(case)
        before = request(case)
        after = before._replace(**values)
        if not isinstance(operation, _Write):
            return changed(case, after)
        beats = operation.beats
        if after.beats < len(beats):
            beats = (*beats[: after.beats - 1], (*beats[after.beats - 1][:2], 1))
        return changed(case, _Write(after, beats))

    before = request(search.best)
    window = find_window(before.address)
    for name, simplest in (
        ("beats", 1),
        ("size", 3),
        ("burst", INCR),
        ("id", 0),
        ("address", window.base if window is not None else before.address),
    ):
        search.lower(
            lambda case, name=name: getattr(request(case), name),  # type: ignore[misc]
            lambda case, value, name=name: with_request(case, **{name: value}),  # type: ignore[misc]
            simplest,
        )


def _simpler_beats(
    search: Search[Case], now: Callable[[Case], _Write], changed: Callable[[Case, Any], Case]
) -> None:
    for beat in range(len(now(search.best).beats)):
        for column, simplest in ((1, _ALL_LANES), (0, 0)):

            def value(case: Case, beat: int = beat, column: int = column) -> int:
                return now(case).beats[beat][column]

            def with_value(case: Case, number: int, beat: int = beat, column: int = column) -> Case:
                write = now(case)
                beats = [list(each) for each in write.beats]
                beats[beat][column] = number
                return changed(case, _Write(write.request, tuple((a, b, c) for a, b, c in beats)))

            if column and value(search.best) != simplest:
                search.accepts(lambda: with_value(search.best, simplest))  # noqa: B023
            elif not column:
                search.fewer_bits(value, with_value)


def _described(title: str, step: Step) -> list[str]:
    """A step as a person reads it."""
    lines = [f"{title}:"]
    for operation in _operations(step):
        if isinstance(operation, HartAccess):
            what = f"writes 0x{operation.data:x} to" if operation.write else "reads"
            lines.append(
                f"  hart {operation.hart} {what} register {operation.address} of unit {operation.unit}"
            )
            continue
        write = isinstance(operation, _Write)
        request = operation.request if write else operation
        window = find_window(request.address)
        place = f"window {window.name}" if window is not None else "no window"
        lines.append(
            f"  {'write' if write else 'read'} at 0x{request.address:08x} ({place}): {request.beats} beats of "
            f"{1 << request.size} bytes, {_BURSTS.get(request.burst)}, ID {request.id}"
        )
        if write:
            for data, strobes, last in operation.beats[:8]:
                marks = "" if strobes == _ALL_LANES else f", strobes 0x{strobes:02x}"
                lines.append(f"    0x{data:016x}{marks}{', WLAST' if last else ''}")
            if len(operation.beats) > 8:
                lines.append(f"    and {len(operation.beats) - 8} more beats")
    return [
        *lines,
        *(f"  {name} stalls in {stall} of 256 clocks" for name, stall in step.stalls.items() if stall),
    ]
