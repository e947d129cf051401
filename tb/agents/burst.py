# SPDX-License-Identifier: Apache-2.0
"""Python's side of the burst adapters in `hdl/`: one wake and one wide access for each burst of beats.

A bench top declares the adapters with the macros of ``hdl/burst_ports.svh``; this module finds their ports
by the stream's name. `BurstDriver` feeds a ``burst_source``, `BurstMonitor` empties a ``burst_sink``. Both
are cocotb-bus components: ``add_callback`` and ``wait_for_recv`` work as cocotb-bus users know them.

What keeps it fast: beats occupy whole bytes in the wide vectors, which are read and written in the design's memory
where the simulator offers that (`tb.agents.direct`). Elsewhere a burst is written as one LogicArray made from an
integer (a str would be checked character by character, ten times as slow) and read as one string that numpy turns into
bytes (a third of the time of ``LogicArray.to_bytes``).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np
from cocotb.handle import SimHandleBase
from cocotb.triggers import Event, FallingEdge, RisingEdge, Timer, ValueChange
from cocotb.types import LogicArray, Range
from cocotb.utils import get_sim_time
from cocotb_bus.drivers import BusDriver
from cocotb_bus.monitors import BusMonitor

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.direct import Feeder, memory_of, number_at

CYCLE_BYTES = 4  #: bytes of the clock count that a burst_sink puts above every beat (its TimeWidth is 32)
LOOKS = 16  #: in a driver's `timeout_clocks`
NEVER, ALWAYS = 0, 256  #: ends of the stall probability's scale, in 1/256 for each clock


class StreamError(Exception):
    """Something on a port that must not happen. The text names the port.

    Attributes:
        port: name of the stream.
        beat: index of the beat since reset or `flush`, -1 when none can be named.
        cycle: clock of the beat as counted by the bench, -1 when unknown.
        time_ns: simulation time of the report, or where it began (`quiet_ns` before).
        earlier: what went on at the port before, a line each; empty: nothing is known of it.
    """

    earlier = ""

    def __init__(self, port: str, message: str, beat: int = -1, cycle: int = -1, quiet_ns: float = 0) -> None:
        super().__init__(f"port {port}: {message}")
        self.port = port
        self.beat = beat
        self.cycle = cycle
        self.time_ns = get_sim_time("ns") - quiet_ns


class StreamTimeout(StreamError):
    """A beat was not accepted, or did not come, for too long."""


class StreamUnknown(StreamError):
    """A beat, or its valid or ready, was X or Z."""


class BeatUnknown(StreamUnknown):
    """Bits of a beat's payload were X or Z: a scoreboard can say which value it is."""


class StreamViolation(StreamError):
    """The device withdrew or altered a waiting beat."""


class StreamOverflow(StreamError):
    """A tap lost beats because its bursts were not taken."""


class StreamReset(Exception):
    """The awaited transfer was dropped by `flush`."""


@dataclass(frozen=True)
class Beats:
    """Beats that passed one after the other.

    Attributes:
        port: name of the stream.
        first: index of the first one since reset or `flush`.
        cycles: uint32[n], clock in which each beat passed, as counted by the bench.
        payload: uint8[n, bytes], see `BeatFormat`.
        unknown: uint8[n, bytes], ones where the payload is X or Z (0 in `payload`); None when nothing is.
    """

    port: str
    first: int
    cycles: np.ndarray
    payload: np.ndarray
    unknown: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.payload)


def _number(handle: Any) -> int | None:
    """A small signal's value; None while it is X or Z."""
    text = str(handle.value)
    return int(text, 2) if text.strip("01") == "" else None


def raise_error(error: StreamError) -> None:
    """The default ``on_error``. Raised in an agent's task, the error ends the cocotb test as failed."""
    raise error


def stream_seed(seed: int, port: str) -> int:
    """Seed of a port's stalls from the run's seed: the same for the same name, unlike between ports."""
    return zlib.crc32(f"{seed}/{port}".encode())


class _Stalling:
    """What source and sink adapters share: their ``stall_i`` and ``seed_i`` inputs."""

    # Of cocotb-bus, whose classes have no types.
    bus: Any
    name: str
    _thread: Any

    def _start_stalls(self, seed: int) -> None:
        self._stall = NEVER
        self.bus.stall.value = NEVER
        self.bus.seed.value = stream_seed(seed, self.name)

    @property
    def stall(self) -> int:
        """Probability of a stall in each clock, in 1/256: `NEVER` = 0 to `ALWAYS` = 256.

        Setting it takes effect with the next clock. ValueError outside 0 to 256.
        """
        return self._stall

    @stall.setter
    def stall(self, probability: int) -> None:
        if not NEVER <= probability <= ALWAYS:
            raise ValueError(f"port {self.name}: stall = {probability}: must be from {NEVER} to {ALWAYS}")
        self._stall = probability
        self.bus.stall.value = probability


@dataclass
class _Job:
    """One call of `BurstDriver.send`."""

    bursts: np.ndarray  #: uint8[bursts, bytes of a burst]
    beats: int
    done: Event = field(default_factory=Event)
    dropped: bool = False


class BurstDriver(_Stalling, BusDriver):
    """Feeds the ``burst_source`` called `name` in the bench top `entity`.

    Args:
        entity: the bench top.
        name: the stream's name there.
        clock: clock of the stream (kept for cocotb-bus; no edge of it is awaited).
        beat_format: the payload; its width must be the adapter's.
        seed: the run's seed, for the stalls.
        clock_ns: clock period.
        timeout_clocks: clocks without a single accepted beat after which `on_error` gets a `StreamTimeout`.
        on_error: called with a `StreamError`. By default it is raised in a task of its own, which ends the
            test as failed.

    Raises:
        ValueError: the adapter's ports do not fit the format.
    """

    _signals = {  # noqa: RUF012 (cocotb-bus's way to name them)
        "valid": "burst_valid_i",
        "ready": "burst_ready_o",
        "data": "burst_data_i",
        "count": "burst_count_i",
        "stall": "stall_i",
        "seed": "seed_i",
        "beats": "beats_o",
        "idle": "idle_o",
        "error": "error_o",
    }

    def __init__(
        self,
        entity: SimHandleBase,
        name: str,
        clock: SimHandleBase,
        beat_format: BeatFormat,
        *,
        seed: int = 0,
        clock_ns: float = 10,
        timeout_clocks: int = 20_000,
        on_error: Callable[[StreamError], None] = raise_error,
    ) -> None:
        super().__init__(entity, name, clock, case_insensitive=False)
        self.format = beat_format
        self.on_error = on_error
        self.timeout_clocks = timeout_clocks
        self._clock_ns = clock_ns
        self._capacity = _beats_of(name, len(self.bus.data), beat_format.bytes)
        self._range = Range(len(self.bus.data) - 1, "downto", 0)
        self._taken = FallingEdge(self.bus.ready)
        self._memory = memory_of(self.bus.data)
        self._feeder: Feeder | None = None
        if self._memory is not None:
            self._feeder = Feeder(self.bus.ready, self.bus.data, self.bus.count)
        self._job: _Job | None = None
        # What burst_count_i and burst_valid_i hold: they seldom change, and a write costs.
        self._count: int | None = None
        self._valid = 0
        self._handed_over = 0
        self.bus.valid.value = 0
        if self._memory is None:
            self.bus.data.value = 0
        self.bus.count.value = 0
        self._start_stalls(seed)
        self._watchers = [cocotb.start_soon(self._watch_progress()), cocotb.start_soon(self._watch_error())]

    @property
    def idle(self) -> bool:
        """Whether the device has accepted every beat."""
        return self._job is None and not self._sendQ and _number(self.bus.beats) == self._handed_over

    async def send(self, beats: np.ndarray, sync: bool = True) -> None:
        """Queue beats and wait until the adapter holds the last burst of them (the device may lag behind).

        Calls from several tasks are played one after the other, each without a gap.

        Args:
            beats: uint8[n, bytes], see `BeatFormat.pack`. None at all is fine.
            sync: without meaning here, kept for cocotb-bus.

        Raises:
            ValueError: another shape or dtype.
            StreamReset: `flush` dropped them.
        """
        job = self.enqueue(beats)
        await job.done.wait()
        if job.dropped:
            raise StreamReset(f"port {self.name}: {job.beats} beats were dropped by a reset")

    def enqueue(self, beats: np.ndarray) -> _Job:
        """As `send`, without waiting; ``.done`` of the result is an Event."""
        beats = self.format.check(beats)
        bursts = -(-len(beats) // self._capacity)
        rows = np.zeros((bursts * self._capacity, self.format.bytes), np.uint8)
        rows[: len(beats)] = beats
        job = _Job(rows.reshape(bursts, self._capacity * self.format.bytes), len(beats))
        self.append(job, event=job.done)
        return job

    async def drain(self) -> None:
        """Wait until the device has accepted every beat sent so far.

        Raises:
            StreamReset: `flush` dropped some of them.
        """
        last = self._sendQ[-1][0] if self._sendQ else self._job
        if last is not None:
            await last.done.wait()
            if last.dropped:
                raise StreamReset(f"port {self.name}: waiting beats were dropped by a reset")
        # beats_o is written before idle_o rises (see burst_source.sv), so no rise can be missed here.
        if _number(self.bus.beats) != self._handed_over:
            await RisingEdge(self.bus.idle)

    def flush(self) -> None:
        """Drop everything in flight: to be called while the device is in reset.

        Whoever waits in `send` or `drain` gets `StreamReset` (and should expect it: cocotb fails a test in which
        a task ends with an exception that nobody awaits); the count of beats starts at 0 again.
        """
        self._thread.cancel()
        if self._feeder is not None:
            self._feeder.stop()
            self._count = None  # of whichever burst it had come to
        dropped = [entry[0] for entry in self._sendQ]
        if self._job is not None:
            dropped.insert(0, self._job)
        self.clear()
        self._job = None
        self._handed_over = 0
        self._set_valid(0)
        for job in dropped:
            job.dropped = True
            job.done.set()
        self._thread = cocotb.start_soon(self._send_thread())

    async def _driver_send(self, transaction: _Job, sync: bool = True) -> None:
        self._job = transaction
        bursts, left = transaction.bursts, transaction.beats
        while left:
            count = min(left, self._capacity)
            self._put(bursts[0], count)
            if self._feeder is not None and len(bursts) > 1:
                last = left - (len(bursts) - 1) * self._capacity
                self._feeder.play(bursts[1:], self._capacity, last)
                count, self._count = left, last
            await self._taken
            self._handed_over = (self._handed_over + count) % (1 << 32)
            left -= count
            bursts = bursts[1:]
        self._job = None
        if not self._sendQ:
            self._set_valid(0)

    def _put(self, burst: np.ndarray, count: int) -> None:
        """Offer one burst."""
        if self._memory is None:
            number = int.from_bytes(burst.tobytes(), "little")
            self.bus.data.value = LogicArray.from_unsigned(number, self._range)
        else:
            self._memory[: len(burst)] = burst
        if count != self._count:
            self.bus.count.value = self._count = count
        self._set_valid(1)

    def _set_valid(self, valid: int) -> None:
        if valid != self._valid:
            self.bus.valid.value = self._valid = valid

    async def _watch_progress(self) -> None:
        """Look now and then whether any beat has passed since the last look."""
        before = None
        step = max(1, self.timeout_clocks // LOOKS)
        quiet = 0  # clocks
        while True:
            await Timer(step * self._clock_ns, "ns", round_mode="round")
            beats = _number(self.bus.beats)
            waiting = self._job is not None or _number(self.bus.idle) == 0
            quiet = quiet + step if waiting and beats is not None and beats == before else 0
            if quiet >= self.timeout_clocks:
                what = " (every beat is withheld: stall 256 of 256)" if self._stall == ALWAYS else ""
                self.on_error(
                    StreamTimeout(
                        self.name,
                        f"beat {beats} not accepted for {self.timeout_clocks} clocks{what}",
                        beats or 0,
                        quiet_ns=quiet * self._clock_ns,
                    )
                )
                quiet = 0
            before = beats if waiting else None

    async def _watch_error(self) -> None:
        while True:
            await RisingEdge(self.bus.error)
            self.on_error(StreamUnknown(self.name, "ready is X or Z", _number(self.bus.beats) or 0))


class BurstMonitor(_Stalling, BusMonitor):
    """Empties the ``burst_sink`` called `name` in the bench top `entity`, active or tap.

    Every received `Beats` goes to the callbacks, or without any to a queue (``len(monitor)``, ``[i]``).

    Args:
        entity, name, clock, beat_format, seed, on_error: as for `BurstDriver`.
        callback: first callback.

    Raises:
        ValueError: the adapter's ports do not fit the format.
    """

    _signals = {  # noqa: RUF012
        "valid": "burst_valid_o",
        "ready": "burst_ready_i",
        "count": "burst_count_o",
        "flush": "flush_i",
        "stall": "stall_i",
        "seed": "seed_i",
        "error": "error_o",
    }
    # Not there: the bursts go through a file.
    _optional_signals = {"data": "burst_data_o"}  # noqa: RUF012

    #: error_o's bits: exception and text.
    _errors = (
        (StreamViolation, "a waiting beat was withdrawn or altered before it was accepted"),
        (StreamUnknown, "valid is X or Z"),
        (StreamOverflow, "the tap was full: beats are lost"),
    )

    def __init__(
        self,
        entity: SimHandleBase,
        name: str,
        clock: SimHandleBase,
        beat_format: BeatFormat,
        *,
        seed: int = 0,
        on_error: Callable[[StreamError], None] = raise_error,
        callback: Callable[[Beats], None] | None = None,
    ) -> None:
        super().__init__(entity, name, clock, callback=callback, case_insensitive=False)
        self.format = beat_format
        self.on_error = on_error
        self._entry = beat_format.bytes + CYCLE_BYTES
        self.capacity = 0  #: beats of a full burst, where known
        if (data := getattr(self.bus, "data", None)) is None:
            self._words = -(-self._entry // 4)
            self._file: int | None = None
            self._take = self._take_from_file
        else:
            self.capacity = _beats_of(name, len(data), self._entry)
            self._take = self._take_from_vector
            if (memory := memory_of(data)) is not None:
                self._entries = memory[: self.capacity * self._entry].reshape(-1, self._entry)
                self._take = self._take_from_memory
        count = memory_of(self.bus.count)
        self._count = None if count is None else number_at(count)
        self._eager = False
        self._awaited = 0
        self._at_once = False  # what flush_i holds
        self.received = 0  #: beats since reset or `flush`
        self.bus.ready.value = 0
        self.bus.flush.value = 0
        self._start_stalls(seed)
        self._watcher = cocotb.start_soon(self._watch_error())

    @property
    def eager(self) -> bool:
        """Whether beats are handed over at the first clock without one, not in full bursts or after a pause."""
        return self._eager

    @eager.setter
    def eager(self, on: bool) -> None:
        self._eager = on
        self._update()

    @property
    def awaited(self) -> int:
        """Beats that somebody waits for, where that is known. More of them than a full burst holds come in full bursts
        by themselves: `eager` rests so long."""
        return self._awaited

    @awaited.setter
    def awaited(self, beats: int) -> None:
        self._awaited = beats
        self._update()

    def _update(self) -> None:
        at_once = self._eager and (not self.capacity or self._awaited <= self.capacity)
        if at_once != self._at_once:
            self._at_once = at_once
            self.bus.flush.value = int(at_once)

    def flush(self) -> None:
        """Forget what was received: to be called while the device is in reset. Beat 0 is the next one."""
        self._recvQ.clear()
        self.received = 0

    async def _monitor_recv(self) -> None:
        rises = RisingEdge(self.bus.valid)
        self.bus.ready.value = 1
        while True:
            await rises
            count = int(str(self.bus.count.value), 2) if self._count is None else self._count.value
            entries, unknown = self._take(count)
            self._recv(self._beats(entries, unknown))

    def _take_from_memory(self, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """As `_take_from_vector`; a simulator that offers its memory has no X and Z."""
        return self._entries[:count].copy(), None

    def _take_from_vector(self, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The burst as uint8[count, entry], X and Z as 0; where they are, if there are any."""
        # Most significant bit first, so the valid beats are the end of the text.
        text = str(self.bus.data.value)[-count * self._entry * 8 :]
        characters = np.frombuffer(text.encode("ascii"), np.uint8)
        unknown = None
        if characters.max() > ord("1"):  # X and Z lie above the digits
            strange = characters > ord("1")
            unknown = self._to_bytes(strange, count)
            characters = np.where(strange, 0, characters)
        return self._to_bytes(characters & 1, count), unknown

    def _take_from_file(self, count: int) -> tuple[np.ndarray, np.ndarray | None]:
        """As `_take_from_vector`: {aval, bval} words, the lowest first; bval is set where a bit is X or Z."""
        if self._file is None:
            self._file = os.open(f"{self.name}.bin", os.O_RDONLY)
        size = 8 * count * self._words
        content = os.pread(self._file, size, 0)
        if len(content) != size:
            raise StreamError(self.name, f"{self.name}.bin has {len(content)} bytes of a burst's {size}")
        words = np.frombuffer(content, "<u4").reshape(count, self._words, 2)
        values, strange = (np.ascontiguousarray(words[:, :, i]) for i in (0, 1))
        unknown = None
        if strange.any():
            unknown = strange.view(np.uint8)[:, : self._entry]
            values &= ~strange
        return values.view(np.uint8)[:, : self._entry], unknown

    def _beats(self, entries: np.ndarray, unknown: np.ndarray | None) -> Beats:
        if unknown is not None:
            unknown = unknown[:, : self.format.bytes]
        count = len(entries)
        cycles = np.ascontiguousarray(entries[:, self.format.bytes :]).view("<u4").reshape(-1)
        beats = Beats(self.name, self.received, cycles, entries[:, : self.format.bytes], unknown)
        self.received += count
        if unknown is not None:
            self._report_unknown(beats, unknown)
        return beats

    def _to_bytes(self, bits: np.ndarray, count: int) -> np.ndarray:
        """Bits uint8[count * entry * 8], most significant first, to uint8[count, entry], little end first."""
        return np.packbits(bits)[::-1].reshape(count, self._entry)

    def _report_unknown(self, beats: Beats, unknown: np.ndarray) -> None:
        rows = unknown.any(axis=1)
        if not rows.any():
            self.on_error(StreamUnknown(self.name, "the bench's clock count is X", beats.first))
            return
        index = int(np.argmax(rows))
        bits = np.flatnonzero(np.unpackbits(unknown[index], bitorder="little"))
        names = ", ".join(self.format.locate(int(bit)) for bit in bits[:4])
        more = f" and {len(bits) - 4} more bits" if len(bits) > 4 else ""
        self.on_error(
            BeatUnknown(
                self.name,
                f"X on beat {beats.first + index}: {names}{more}",
                beats.first + index,
                int(beats.cycles[index]),
            )
        )

    async def _watch_error(self) -> None:
        """Report each bit of error_o once, when it rises."""
        seen = 0
        while True:
            await ValueChange(self.bus.error)
            errors = _number(self.bus.error) or 0
            for bit, (kind, text) in enumerate(self._errors):
                if errors & ~seen & 1 << bit:
                    self.on_error(kind(self.name, text, self.received))
            seen = errors


def _beats_of(name: str, bits: int, entry_bytes: int) -> int:
    """Beats in a burst of `bits` bits."""
    beats, rest = divmod(bits, entry_bytes * 8)
    if rest or not beats:
        raise ValueError(
            f"port {name}: the bench's burst vector has {bits} bits, not a multiple of {entry_bytes * 8}: "
            "that of a beat's slot: the adapter's Width is not the format's"
        )
    return beats
