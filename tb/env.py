# SPDX-License-Identifier: Apache-2.0
"""What all environments share: a table of streams becomes agents, subscribers, scoreboards, stalls and reset."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cocotb.triggers import ClockCycles, Event, Timer
from cocotb.utils import get_sim_time
from pyuvm import uvm_component, uvm_env, uvm_subscriber

from assay.tb.agents.burst import (
    Beats,
    BeatUnknown,
    BurstDriver,
    BurstMonitor,
    StreamError,
    StreamTimeout,
)
from assay.tb.agents.stream import BeatFormat, Role, StreamAgent, StreamConfig
from assay.tb.debug import ACTIVE, StreamRecord
from assay.tb.report import Report
from assay.tb.scoreboard import Mismatch, Scoreboard, StreamScoreboard

__all__ = ["CLOCK_NS", "Stream", "StreamEnv"]

CLOCK_NS = 10  #: as every bench top of this project makes it
RESET_CLOCKS = 3
STILL = ("hang", "stuck", "run")  #: kinds of failures in which something does not go on


@dataclass(frozen=True)
class Stream:
    """A line of an environment's table.

    Attributes:
        role: of the agent, see `tb.agents.stream`.
        format: payload.
        receive: called with the `Beats` of a sink or tap; by default they go to the scoreboard.
        scoreboard: makes the stream's scoreboard from its name, format and the keywords ``on_mismatch`` and
            ``clock_ns``; X in a beat is then left to it, since it knows the place.
        eager: beats are handed over at the first clock without one: somebody waits for them.
        options: more of `StreamConfig`.
    """

    role: Role
    format: BeatFormat
    receive: Callable[[Beats], None] | None = None
    scoreboard: Callable[..., StreamScoreboard] | None = None
    eager: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


class _Subscriber(uvm_subscriber):
    """Hands what an analysis port publishes to a function."""

    def __init__(self, name: str, parent: uvm_component, receive: Callable[[Beats], None]) -> None:
        super().__init__(name, parent)
        self._receive = receive

    def write(self, item: Beats) -> None:
        self._receive(item)


class StreamEnv(uvm_env):
    """Agents of all streams in `table`. The ConfigDB gives ``dut`` and ``report``.

    Args:
        prefix: of the names of the streams and signals in the bench top.

    Attributes:
        agents: stream name to `StreamAgent`.
        bus: stream name to the `BurstDriver` or `BurstMonitor` inside; from the connect phase on.
        formats: stream name to payload.
        boards: stream name to its scoreboard, for those that have one.
    """

    dut: Any
    report: Report

    def __init__(self, name: str, parent: uvm_component, prefix: str = "") -> None:
        super().__init__(name, parent)
        self.prefix = prefix
        self._before: list[tuple[Mismatch | StreamError | str, dict[str, object]]] | None = None

    def table(self) -> Mapping[str, Stream]:
        """The streams, by name; asked once, in the build phase."""
        raise NotImplementedError

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.cdb_get("dut")
        self.report = self.cdb_get("report")
        self.streams = dict(self.table())
        self.formats = {name: stream.format for name, stream in self.streams.items()}
        self.agents: dict[str, StreamAgent] = {}
        self.boards: dict[str, StreamScoreboard] = {}
        self._subscribers: dict[str, _Subscriber] = {}
        self._eager: Counter[str] = Counter()
        for name, stream in self.streams.items():
            self._build(name, stream)

    def _build(self, name: str, stream: Stream) -> None:
        config = StreamConfig(
            self.dut,
            self.prefix + name,
            self.dut.clk_i,
            stream.format,
            stream.role,
            **{
                "seed": self.report.seed,
                "clock_ns": CLOCK_NS,
                "on_error": self.fail if stream.scoreboard is None else self._beat_error,
                **stream.options,
            },
        )
        self.cdb_set("config", config, name)
        self.agents[name] = StreamAgent.create(name, self)
        if stream.scoreboard is not None:
            self.boards[name] = stream.scoreboard(
                self.prefix + name, stream.format, on_mismatch=self.fail, clock_ns=CLOCK_NS
            )
        if ACTIVE:
            record = StreamRecord.of_burst(self.prefix + name, stream.role, stream.format.fields)
            self.report.debug.streams.append(record)
        receive = stream.receive or (self.boards[name].write if name in self.boards else None)
        if receive is not None:
            self._subscribers[name] = _Subscriber(f"{name}_subscriber", self, receive)

    def connect_phase(self) -> None:
        super().connect_phase()
        for name, subscriber in self._subscribers.items():
            self.agents[name].ap.connect(subscriber.analysis_export)
        self.bus: dict[str, BurstDriver | BurstMonitor] = {
            name: agent.bus for name, agent in self.agents.items()
        }
        for name, stream in self.streams.items():
            if stream.eager:
                self.bus[name].eager = True

    # ---------------------------------------------------------------------------------------------
    # Failures
    # ---------------------------------------------------------------------------------------------
    @property
    def failed(self) -> Event:
        """Set by the first failure."""
        return self.report.failed

    @property
    def scoreboards(self) -> Iterable[Scoreboard]:
        """All of them."""
        return tuple(self.boards.values())

    def fail(self, failure: Mismatch | StreamError | str, **details: object) -> None:
        """Record a failure and wake the test, which ends: what follows a first difference is noise.

        A wrong beat before it, which was not compared so far, comes first: it may be the cause.
        """
        if self._before is not None:  # found by the `conclude` below
            self._before.append((failure, details))
            return
        found: list[tuple[Mismatch | StreamError | str, dict[str, object]]] = []
        if not self.failed.is_set():
            self._before = found
            try:
                self.conclude()
            finally:
                self._before = None
        if isinstance(failure, StreamTimeout) or details.get("kind") in STILL:
            details.setdefault("waiting", self.waiting())
        # Of the beats of a clock that of the upstream board comes first, which an environment names last.
        order = [board.name for board in self.scoreboards if isinstance(board, StreamScoreboard)][::-1]

        def rank(one: Mismatch | StreamError | str) -> tuple[float, int]:
            if not isinstance(one, Mismatch):
                return math.inf, 0
            return one.time_ns, order.index(one.stream) if one.stream in order else len(order)

        earlier = [one for one in found if rank(one[0]) < rank(failure)]
        for other, more in sorted(earlier, key=lambda one: rank(one[0])):
            self.report.record(other, **more)
        self.report.record(failure, **details)

    def waiting(self) -> str:
        """What the parts of the device are doing, a line each, for a failure in which nothing moves; empty: unknown."""
        return ""

    def conclude(self) -> None:
        """Let the scoreboards report what they have found so far: to be called before a failure that may follow
        from it."""
        for scoreboard in self.scoreboards:
            scoreboard.conclude()

    def _beat_error(self, error: StreamError) -> None:
        """X within a beat is left to the scoreboard, which knows the place."""
        if not isinstance(error, BeatUnknown):
            self.fail(error)

    # ---------------------------------------------------------------------------------------------
    # Reset and clock
    # ---------------------------------------------------------------------------------------------
    async def reset(self, clocks: int = RESET_CLOCKS) -> None:
        """Reset device and bench: everything in flight is dropped."""
        self.dut.rst_ni.value = 0
        self.quieten()
        await ClockCycles(self.dut.clk_i, clocks)
        self.flush()
        self.dut.rst_ni.value = 1
        await ClockCycles(self.dut.clk_i, 2)
        # The bench's clock counter starts again with the reset.
        self.set_origin(get_sim_time("ns") - self.clock() * CLOCK_NS)

    def quieten(self) -> None:
        """Give the device's other inputs their values of rest: called as a reset begins."""

    def flush(self) -> None:
        """Drop everything in flight: called in a reset."""
        for agent in self.agents.values():
            agent.flush()
        for board in self.boards.values():
            board.flush()

    def set_origin(self, origin_ns: float) -> None:
        """Tell the scoreboards the time of the bench's clock 0."""
        for scoreboard in self.scoreboards:
            scoreboard.origin_ns = origin_ns

    def clock(self) -> int:
        """The bench's count of clocks since reset."""
        return int(self.dut.cycle_o.value)

    def counters(self, names: Iterable[str], suffix: str = "_waits_o") -> dict[str, int]:
        """Values of the bench top's counters, by name."""
        return {name: int(getattr(self.dut, f"{self.prefix}{name}{suffix}").value) for name in names}

    # ---------------------------------------------------------------------------------------------
    # Stalls and patience
    # ---------------------------------------------------------------------------------------------
    def stall(self, probability: int) -> None:
        """Let every port but the taps stall with this probability in 1/256."""
        for name, stream in self.streams.items():
            if stream.role != "tap":
                self.bus[name].stall = probability

    @property
    def stalls(self) -> dict[str, int]:
        """Stream -> probability of a stall in 1/256, of the ports that stall."""
        return {
            name: self.bus[name].stall
            for name, stream in self.streams.items()
            if stream.role != "tap" and self.bus[name].stall
        }

    def set_stalls(self, stalls: Mapping[str, int]) -> None:
        """Let these ports stall with these probabilities in 1/256, and the others never."""
        for name, stream in self.streams.items():
            if stream.role != "tap":
                self.bus[name].stall = stalls.get(name, 0)

    @contextlib.contextmanager
    def eager(self, *names: str) -> Iterator[None]:
        """Meanwhile beats of these streams reach Python at the first clock without one."""
        # Several tasks may ask at a time: a stream is eager until the last of them is done.
        for name in names:
            self._eager[name] += 1
            self.bus[name].eager = True
        try:
            yield
        finally:
            for name in names:
                self._eager[name] -= 1
                self.bus[name].eager = self.streams[name].eager or self._eager[name] > 0

    async def settle_streams(
        self, names: Iterable[str], outstanding: Callable[[], object], looks: int = 200, clocks: int = 4
    ) -> None:
        """Wait until nothing is outstanding on these streams: at most so many looks, so many clocks apart."""
        with self.eager(*names):
            for _ in range(looks):
                await Timer(CLOCK_NS * clocks, "ns")
                if not outstanding():
                    break
