# SPDX-License-Identifier: Apache-2.0
"""Addressed accesses over a request and a response stream: the common part of registers and memories.

A request beat is ``wdata``, ``addr``, ``write`` (LSB first, in the widths of the design). Each read is answered by
exactly one response beat ``rdata``, in the order of the requests. Writes are not answered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from cocotb.triggers import Event, SimTimeoutError, with_timeout

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats, StreamError, StreamReset, StreamTimeout


class StreamSource(Protocol):
    """What plays beats into the design: a `BurstDriver` or a `PortDriver`."""

    name: str
    format: BeatFormat

    @property
    def idle(self) -> bool: ...
    def enqueue(self, beats: np.ndarray) -> object: ...
    async def send(self, beats: np.ndarray) -> None: ...
    async def drain(self) -> None: ...
    def flush(self) -> None: ...


class StreamSink(Protocol):
    """What takes beats from the design: a `BurstMonitor` or a `PortMonitor`."""

    name: str
    format: BeatFormat
    received: int
    awaited: int
    on_error: Callable[[StreamError], None]

    def add_callback(self, callback: Callable[[Beats], None]) -> None: ...
    def flush(self) -> None: ...


def request_format(data_width: int, address_width: int) -> BeatFormat:
    """Payload of a request stream: ``wdata``, ``addr``, ``write``."""
    return BeatFormat([("wdata", data_width), ("addr", address_width), ("write", 1)])


def response_format(data_width: int) -> BeatFormat:
    """Payload of a response stream: ``rdata``."""
    return BeatFormat([("rdata", data_width)])


@dataclass
class _Read:
    """One outstanding `RequestResponse.read_at`."""

    wanted: int
    answers: list[np.ndarray] = field(default_factory=list)
    seen: int = 0
    done: Event = field(default_factory=Event)
    dropped: bool = False


class RequestResponse:
    """Writes and reads words over two streams; detects lost and invented answers.

    Args:
        request: driver of the request stream, its format as `request_format`.
        response: monitor of the response stream, its format as `response_format`. While it has this callback
            only, its queue stays empty.
        timeout_clocks: clocks without any answer after which a read is reported as lost.
        clock_ns: clock period.
        on_error: called with the `StreamError` of an answer that nobody asked for; default: the response
            monitor's.

    Calls from several tasks may overlap; accesses happen in the order of the calls.
    """

    def __init__(
        self,
        request: StreamSource,
        response: StreamSink,
        *,
        timeout_clocks: int = 20_000,
        clock_ns: float = 10,
        on_error: Callable[[StreamError], None] | None = None,
    ) -> None:
        self.request = request
        self.response = response
        self.on_error = on_error or response.on_error
        self._timeout_clocks = timeout_clocks
        self._clock_ns = clock_ns
        self._reads: deque[_Read] = deque()
        response.add_callback(self._receive)

    @property
    def word_bytes(self) -> int:
        """Bytes that hold one data word."""
        return self.response.format.bytes

    @property
    def outstanding(self) -> int:
        """Reads without an answer so far."""
        return sum(read.wanted - read.seen for read in self._reads)

    async def write_at(self, addresses: np.ndarray, words: np.ndarray) -> None:
        """Write uint8[n, word_bytes] (or integers [n] up to 64 bits) to word addresses [n].

        Returns when the adapter holds the requests; a read by this front end sees them in any case.

        Raises:
            ValueError: an address or word does not fit, or the lengths differ.
            StreamReset: a reset dropped them.
        """
        addresses = np.atleast_1d(addresses)
        if len(addresses):
            await self.request.send(self.request.format.pack(wdata=words, addr=addresses, write=1))

    async def read_at(self, addresses: np.ndarray) -> np.ndarray:
        """Read word addresses [n].

        Returns:
            uint8[n, word_bytes].

        Raises:
            ValueError: an address does not fit.
            StreamTimeout: an answer is missing.
            StreamReset: a reset dropped the read.
        """
        addresses = np.atleast_1d(addresses)
        if not len(addresses):
            return np.empty((0, self.word_bytes), np.uint8)
        return await self.answers(self.request.format.pack(wdata=0, addr=addresses, write=0))

    async def answers(self, beats: np.ndarray, wanted: int = 0) -> np.ndarray:
        """Send requests [n], n > 0, that are answered by `wanted` beats (by default one each); gives the answers,
        uint8[wanted, bytes].

        Raises:
            StreamTimeout, StreamReset: as `read_at`.
        """
        read = _Read(wanted or len(beats))
        # No await between these two: answers are matched to reads by order.
        self._reads.append(read)
        self.response.awaited = self.outstanding
        self.request.enqueue(beats)
        await self._wait(read)
        return np.concatenate(read.answers)

    async def drain(self) -> None:
        """Wait until the device has accepted every request and answered every read.

        Raises:
            StreamTimeout, StreamReset: as `read_at`.
        """
        await self.request.drain()
        if self._reads:
            await self._wait(self._reads[-1])

    def check_finished(self) -> None:
        """Raises `StreamError` when reads are still unanswered: to be called at the end of a test."""
        if self.outstanding:
            raise StreamError(
                self.response.name,
                f"{self.outstanding} reads were not answered: lost",
                self.response.received,
            )

    def flush(self) -> None:
        """Drop everything in flight, on both streams: to be called while the device is in reset.

        Whoever waits in `read_at` gets `StreamReset`.
        """
        self.request.flush()
        self.response.flush()
        self.response.awaited = 0
        while self._reads:
            read = self._reads.popleft()
            read.dropped = True
            read.done.set()

    async def _wait(self, read: _Read) -> None:
        while not read.done.is_set():
            before = self.response.received
            try:
                await with_timeout(
                    read.done.wait(), self._timeout_clocks * self._clock_ns, "ns", round_mode="round"
                )
            except SimTimeoutError:
                # A request that is not accepted is the request port's own report; here answers are missing.
                if self.response.received == before and self.request.idle:
                    raise StreamTimeout(
                        self.response.name,
                        f"answer {read.seen} of {read.wanted} reads has not come for "
                        f"{self._timeout_clocks} clocks: lost",
                        self.response.received,
                        quiet_ns=self._timeout_clocks * self._clock_ns,
                    ) from None
        if read.dropped:
            raise StreamReset(
                f"port {self.response.name}: a read of {read.wanted} words was dropped by a reset"
            )

    def _receive(self, beats: Beats) -> None:
        taken = 0
        while taken < len(beats) and self._reads:
            read = self._reads[0]
            part = beats.payload[taken : taken + read.wanted - read.seen]
            read.answers.append(part)
            read.seen += len(part)
            taken += len(part)
            if read.seen == read.wanted:
                self._reads.popleft()
                read.done.set()
        self.response.awaited = self.outstanding
        if taken < len(beats):
            self.on_error(
                StreamError(
                    beats.port,
                    f"beat {beats.first + taken} answers no read",
                    beats.first + taken,
                    int(beats.cycles[taken]),
                )
            )
