# SPDX-License-Identifier: Apache-2.0
"""Valid/ready ports of a design by their signals' names, beat by beat through VPI.

`PortDriver` and `PortMonitor` have the calls of `tb.agents.burst.BurstDriver` and `BurstMonitor`, so that whatever
stands on a stream (`RequestResponse`, `AxiManager`, scoreboards) stands on either. What a port lacks may be left out:

- no ready of an input: the design takes a beat in every clock;
- no valid of an input: a beat is whatever stands there in a clock with the design's enable;
- no valid of an output: its beats come `latency` clocks after those of an input;
- no ready of an output: the bench takes what comes; `credits` beats fit into the buffer that it stands for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from cocotb.triggers import Event

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import (
    Beats,
    BeatUnknown,
    StreamError,
    StreamOverflow,
    StreamReset,
    StreamUnknown,
    StreamViolation,
    raise_error,
)
from assay.tb.agents.clocking import Clocked, Clocking
from assay.tb.agents.signals import Signal
from assay.tb.agents.stalls import Stalls
from assay.tb.agents.words import RECORDING, PortRecord

__all__ = ["PortDriver", "PortMonitor"]

_BURST, _QUIET = 32, 12  # beats, or clocks without one, after which a monitor hands over what has come


@dataclass
class _Job:
    """One call of `PortDriver.send`."""

    beats: list[int]
    done: Event = field(default_factory=Event)
    dropped: bool = False


class _Port(Clocked):
    """What both directions share: the payload's signals and the stalls."""

    def __init__(
        self,
        clocking: Clocking,
        name: str,
        fields: Mapping[str, Signal],
        valid: Signal | None,
        ready: Signal | None,
        seed: int,
        on_error: Callable[[StreamError], None],
    ) -> None:
        self.clocking = clocking
        self.name = name
        self.format = BeatFormat((key, signal.width) for key, signal in fields.items())
        self.on_error = on_error
        self._fields = list(fields.values())
        self._valid = valid
        self._ready = ready
        self._stalls = Stalls(seed, name)
        self._record = PortRecord(name, self.format.width) if RECORDING else None
        clocking.add(self)

    @property
    def stall(self) -> int:
        """Probability of a stall in each clock, in 1/256; see `Stalls`."""
        return self._stalls.probability

    @stall.setter
    def stall(self, probability: int) -> None:
        self._stalls.probability = probability


class PortDriver(_Port):
    """Plays beats into an input of the design.

    While nothing is offered the payload's signals carry random bits, so that a design that looks at them without
    valid is found.

    Args:
        clocking: of the port.
        name: for messages.
        fields: name to signal of the payload, the first at the lowest bits of a beat.
        valid, ready: the handshake; None where the port has none.
        seed: the run's, for the stalls.
        on_error: called with a `StreamError`; by default it is raised and ends the test as failed.

    Attributes:
        beats: accepted since construction or `flush`.
        allowed: asked before a beat is offered; see `PortMonitor.room`.
    """

    def __init__(
        self,
        clocking: Clocking,
        name: str,
        fields: Mapping[str, Signal],
        valid: Signal | None,
        ready: Signal | None,
        *,
        seed: int = 0,
        on_error: Callable[[StreamError], None] = raise_error,
    ) -> None:
        super().__init__(clocking, name, fields, valid, ready, seed, on_error)
        self.beats = 0
        self.allowed: Callable[[], bool] = lambda: True
        self.accepted = False  #: the beat that is offered passes with the next rising edge
        self._jobs: deque[_Job] = deque()
        self._next = 0  # index in the first job
        self._offered: int | None = None
        self._progress = Event()
        self._leave()

    @property
    def idle(self) -> bool:
        """Whether the design has accepted every beat."""
        return not self._jobs

    @property
    def moves(self) -> int:
        """Changes with every beat, for a watchdog."""
        return self.beats

    def waiting(self) -> str:
        """What this port waits for, for a watchdog; empty when for nothing."""
        if self.idle:
            return ""
        if self._offered is None:
            return f"port {self.name} may not offer beat {self.beats}: no room behind the output"
        return f"port {self.name}: beat {self.beats} waits for {self._ready.name if self._ready else 'the enable'}"

    async def send(self, beats: np.ndarray) -> None:
        """Queue beats uint8[n, bytes], see `BeatFormat.pack`, and wait until the design has accepted the last of them.

        Raises:
            ValueError: another shape or dtype.
            StreamReset: `flush` dropped them.
        """
        job = self.enqueue(beats)
        await job.done.wait()
        if job.dropped:
            raise StreamReset(f"port {self.name}: {len(job.beats)} beats were dropped by a reset")

    def enqueue(self, beats: np.ndarray) -> _Job:
        """As `send`, without waiting; ``.done`` of the result is an Event."""
        beats = self.format.check(beats)
        job = _Job([int.from_bytes(row.tobytes(), "little") for row in beats])
        if job.beats:
            self._jobs.append(job)
        else:
            job.done.set()
        return job

    async def drain(self) -> None:
        """Wait until the design has accepted every beat sent so far; StreamReset when `flush` dropped some."""
        if self._jobs:
            last = self._jobs[-1]
            await last.done.wait()
            if last.dropped:
                raise StreamReset(f"port {self.name}: waiting beats were dropped by a reset")

    def flush(self) -> None:
        """Drop everything in flight: to be called while the design is in reset."""
        dropped = list(self._jobs)
        self._jobs.clear()
        self._next = self.beats = 0
        self.accepted = False
        self._offered = None
        self._leave()
        for job in dropped:
            job.dropped = True
            job.done.set()

    def passed(self) -> None:
        if not self.accepted:
            return
        if self._record is not None and self._offered is not None:
            self._record.write(self._offered)
        self.accepted = False
        self._offered = None
        self.beats += 1
        self._next += 1
        job = self._jobs[0]
        if self._next == len(job.beats):
            self._jobs.popleft()
            self._next = 0
            job.done.set()

    def drive(self) -> None:
        if self._offered is None:
            if self._jobs and not (self._valid is not None and self._stalls.now()) and self.allowed():
                self._offered = self._jobs[0].beats[self._next]
                self._show(self._offered)
                if self._valid is not None:
                    self._valid.write(1)
            else:
                self._leave()

    def sample(self) -> None:
        if self._offered is None or not self.clocking.enabled:
            return
        ready = 1 if self._ready is None else self._ready.read_known()
        if ready is None and self._ready is not None:
            self.on_error(
                StreamUnknown(
                    self.name,
                    f"ready ({self._ready.name}) is X or Z while beat {self.beats} waits; clock {self.clocking.cycle}",
                    self.beats,
                    self.clocking.cycle,
                )
            )
        self.accepted = bool(ready)

    def _show(self, number: int) -> None:
        for signal in self._fields:
            signal.write(number & ((1 << signal.width) - 1))
            number >>= signal.width

    def _leave(self) -> None:
        """Offer nothing."""
        if self._valid is not None:
            self._valid.write(0)
        self._show(self._stalls.random.getrandbits(self.format.width))


class PortMonitor(_Port):
    """Takes the beats of an output of the design.

    Args:
        clocking, name, fields, valid, ready, seed, on_error: as for `PortDriver`.
        latency: of a port without valid: rising edges from the one that takes a beat of `follows` to the one that
            sees its answer here.
        follows: the input that the latency counts from.
        credits: of a port without ready: the beats that fit into the buffer it stands for; it is emptied with stalls.
        callback: called with the `Beats` as they come.

    Attributes:
        received: beats since construction or `flush`.
    """

    def __init__(
        self,
        clocking: Clocking,
        name: str,
        fields: Mapping[str, Signal],
        valid: Signal | None,
        ready: Signal | None,
        *,
        latency: int = 0,
        follows: PortDriver | None = None,
        credits: int = 0,
        seed: int = 0,
        on_error: Callable[[StreamError], None] = raise_error,
        callback: Callable[[Beats], None] | None = None,
    ) -> None:
        super().__init__(clocking, name, fields, valid, ready, seed, on_error)
        if valid is None and follows is None:
            raise ValueError(
                f"port {name}: an output without valid needs the input that it follows, and its latency"
            )
        self.received = 0
        self.eager = False  #: beats are handed over in the clock after they passed, not several at a time
        self.awaited = 0  #: as of a `BurstMonitor`
        self._pending: list[tuple[int, int, int]] = []  # beats not handed over: value, X bits, clock
        self._quiet = 0
        self._taken_cycle = 0
        self._callbacks = [] if callback is None else [callback]
        self._latency = latency
        self._follows = follows
        self._due: deque[int] = deque()
        self._credits = credits
        self._held = 0  # beats in the buffer
        self._taken: tuple[int, int] | None = None
        self._waiting: tuple[int, int] | None = None
        self._ready_now = True
        if ready is not None:
            ready.write(0)

    @property
    def moves(self) -> int:
        """Changes with every beat, for a watchdog."""
        return self.received

    def add_callback(self, callback: Callable[[Beats], None]) -> None:
        """Call it, too, with the `Beats` as they come."""
        self._callbacks.append(callback)

    def room(self, owed: int) -> bool:
        """Whether `owed` beats, which are on their way to this port, fit behind it: for a port with credits."""
        return not self._credits or self._held + owed <= self._credits

    def flush(self) -> None:
        """Forget what was received: to be called while the design is in reset. Beat 0 is the next one."""
        self.received = self._held = 0
        self._due.clear()
        self._pending.clear()
        self._taken = self._waiting = None
        if self._ready is not None:
            self._ready.write(0)

    def passed(self) -> None:
        if self._credits and self._held and not self._stalls.now():
            self._held -= 1
        if self._taken is not None:
            self._take(*self._taken)
            self._taken = None
        else:
            self._quiet += 1
        at_once = self.eager and self.awaited <= _BURST
        if self._pending and (at_once or len(self._pending) >= _BURST or self._quiet >= _QUIET):
            self._hand_over()

    def _take(self, value: int, unknown: int) -> None:
        if self._credits:
            self._held += 1
            if self._held > self._credits:
                self._report(StreamOverflow, f"beat {self.received} came while {self._credits} beats waited")
        if self._record is not None:
            self._record.write(value & ~unknown, unknown)
        self._pending.append((value, unknown, self._taken_cycle))
        self.received += 1
        self._quiet = 0

    def _hand_over(self) -> None:
        """Tell everybody about the beats that have come."""
        pending, self._pending = self._pending, []
        first = self.received - len(pending)
        cycles = np.array([cycle for _, _, cycle in pending], np.uint32)
        payload = self._rows([value for value, _, _ in pending])
        strange = [unknown for _, unknown, _ in pending]
        unknown = self._rows(strange) if any(strange) else None
        for index, bits in enumerate(strange):
            if bits:
                self._report_unknown(first + index, bits, int(cycles[index]))
                break
        beats = Beats(self.name, first, cycles, payload, unknown)
        for callback in self._callbacks:
            callback(beats)

    def _rows(self, numbers: list[int]) -> np.ndarray:
        """uint8[n, bytes] of beats as integers."""
        size = self.format.bytes
        joined = b"".join([number.to_bytes(size, "little") for number in numbers])
        return np.frombuffer(joined, np.uint8).reshape(-1, size)

    def _report_unknown(self, beat: int, unknown: int, cycle: int) -> None:
        bits = [bit for bit in range(self.format.width) if unknown >> bit & 1]
        names = ", ".join(map(self.format.locate, bits[:4]))
        more = f" and {len(bits) - 4} more bits" if len(bits) > 4 else ""
        self.on_error(BeatUnknown(self.name, f"X on beat {beat}: {names}{more}", beat, cycle))

    def drive(self) -> None:
        if self._ready is not None:
            self._ready_now = not self._stalls.now()
            self._ready.write(int(self._ready_now))

    def sample(self) -> None:
        if self._valid is None:
            if self._follows is not None and self._follows.accepted:
                self._due.append(self.clocking.ticks + self._latency)
            if not (self._due and self.clocking.enabled and self._due[0] == self.clocking.ticks):
                return
            self._due.popleft()
        else:
            if not self.clocking.enabled:
                return
            valid = self._valid.read_known()
            if valid is None:
                self._report(StreamUnknown, f"valid ({self._valid.name}) is X or Z")
                return
            if not valid:
                if self._waiting is not None:
                    self._waiting = None
                    self._report(StreamViolation, "a waiting beat was withdrawn before it was accepted")
                return
        number = unknown = at = 0
        for signal in self._fields:
            value, strange = signal.read()
            number |= value << at
            unknown |= strange << at
            at += signal.width
        if self._waiting is not None and self._waiting != (number, unknown):
            self._report(StreamViolation, "a waiting beat was altered before it was accepted")
        if self._ready_now:
            self._taken, self._waiting = (number, unknown), None
            self._taken_cycle = self.clocking.cycle
        else:
            self._waiting = (number, unknown)

    def _report(self, kind: type[StreamError], text: str) -> None:
        cycle = self.clocking.cycle
        self.on_error(kind(self.name, f"{text}; beat {self.received}, clock {cycle}", self.received, cycle))
