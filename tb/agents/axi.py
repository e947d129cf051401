# SPDX-License-Identifier: Apache-2.0
"""AXI4 manager: the five channels as streams, bursts as arrays.

The channels are `burst_source` and `burst_sink` adapters of the bench top. A call hands over all bursts of a transfer
at once, so Python wakes for bursts of beats and never for a clock. It is for subordinates that answer in order: answers
are matched to requests by order, and the ID, the number of beats and RLAST of each answer are checked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import BurstDriver, BurstMonitor, StreamError
from assay.tb.agents.request_response import RequestResponse
from assay.tb.agents.stream import Role

__all__ = [
    "CHANNELS",
    "FIXED",
    "INCR",
    "OKAY",
    "RESPONSES",
    "AxiAnswer",
    "AxiError",
    "AxiManager",
    "channel_formats",
]

FIXED, INCR = 0, 1  #: AxBURST
OKAY = 0
RESPONSES = ("OKAY", "EXOKAY", "SLVERR", "DECERR")
MOST_BEATS = 256  #: of a burst
_PAST = 6  #: transfers that are remembered
BOUNDARY = 4096  #: bytes; no INCR burst crosses a multiple of it

#: Channel to the role of its adapter.
CHANNELS: dict[str, Role] = {"aw": "source", "w": "source", "b": "sink", "ar": "source", "r": "sink"}


def channel_formats(
    address_width: int = 32, data_width: int = 64, id_width: int = 4
) -> dict[str, BeatFormat]:
    """Payload of every channel, lowest field first."""
    address = [("addr", address_width), ("len", 8), ("size", 3), ("burst", 2), ("id", id_width)]
    return {
        "aw": BeatFormat(address),
        "w": BeatFormat([("data", data_width), ("strb", data_width // 8), ("last", 1)]),
        "b": BeatFormat([("resp", 2), ("id", id_width)]),
        "ar": BeatFormat(address),
        "r": BeatFormat([("data", data_width), ("resp", 2), ("last", 1), ("id", id_width)]),
    }


class AxiError(StreamError):
    """An access was refused, or an answer is not what the protocol allows."""


@dataclass(frozen=True)
class AxiAnswer:
    """What a transfer was answered.

    Attributes:
        resp: uint8; of a write one for each burst, of a read one for each beat.
        data: uint64, of a read: the beats; none of a write.
    """

    resp: np.ndarray
    data: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))

    @property
    def okay(self) -> bool:
        """Nothing was refused."""
        return not self.resp.any()


class AxiManager:
    """Reads and writes over the five channels.

    Args:
        sources: drivers of aw, w and ar.
        sinks: monitors of b and r.
        clock_ns: clock period.
        timeout_clocks: clocks without any answer after which an access is reported as lost.
        on_error: called with what breaks the protocol.
    """

    def __init__(
        self,
        sources: dict[str, BurstDriver],
        sinks: dict[str, BurstMonitor],
        *,
        clock_ns: float = 10,
        timeout_clocks: int = 20_000,
        on_error: Callable[[StreamError], None],
    ) -> None:
        self._writes, self._reads = (
            RequestResponse(
                sources[request],
                sinks[response],
                clock_ns=clock_ns,
                timeout_clocks=timeout_clocks,
                on_error=on_error,
            )
            for request, response in (("aw", "b"), ("ar", "r"))
        )
        self._w = sources["w"]
        self._on_error = on_error
        self._data_bytes = sources["w"].format.fields["strb"]
        self._ids = 1 << sources["aw"].format.fields["id"]
        self._next_id = 0
        self.beats = 0  #: of data, written and read
        self._past: deque[tuple[str, np.ndarray, np.ndarray, int, np.ndarray]] = deque(maxlen=_PAST)
        #: Called with every transfer once it is answered: the beats of aw or ar, those of w, those of b or r,
        #: uint8[n, bytes] each.
        self.on_transfer: Callable[[Mapping[str, np.ndarray]], None] = lambda channels: None
        # Answers are awaited: they must not wait for a full burst.
        sinks["b"].eager = sinks["r"].eager = True

    # ---------------------------------------------------------------------------------------------
    # Bursts, as they are
    # ---------------------------------------------------------------------------------------------
    async def write_bursts(
        self,
        addresses: np.ndarray | int,
        lengths: np.ndarray | int,
        data: np.ndarray,
        *,
        size: int = 8,
        burst: int = INCR,
        strobes: np.ndarray | int | None = None,
    ) -> AxiAnswer:
        """Write bursts, whatever they are.

        Args:
            addresses: [n], of the first byte of each; a number: there is one burst.
            lengths: [n], beats of each.
            data: uint64[beats of all], in the byte lanes as on the bus.
            size: bytes of a beat.
            burst: INCR or FIXED.
            strobes: [beats of all], or one for all; default: the lanes that a beat of `size` bytes has.

        Raises:
            StreamTimeout: an answer is missing.
            StreamReset: a reset dropped the access.
        """
        addresses, lengths = np.atleast_1d(addresses), np.atleast_1d(lengths)
        if strobes is None:
            places = beat_addresses(addresses, lengths, size, burst) % self._data_bytes
            strobes = np.uint64((1 << size) - 1) << (places // size * size).astype(np.uint64)
        requests, ids = self._requests(self._writes.request.format, addresses, lengths, size, burst)
        last = np.zeros(int(lengths.sum()), np.uint8)
        last[np.cumsum(lengths) - 1] = 1
        beats = self._w.format.pack(data=data, strb=strobes, last=last)
        self._w.enqueue(beats)
        payload = await self._writes.answers(requests)
        self.on_transfer({"aw": requests, "w": beats, "b": payload})
        fields = self._writes.response.format.unpack(payload)
        self._check_ids("b", fields["id"], ids)
        self.beats += len(last)
        self._past.append(("write", addresses, lengths, size, fields["resp"]))
        return AxiAnswer(fields["resp"].astype(np.uint8))

    async def read_bursts(
        self, addresses: np.ndarray | int, lengths: np.ndarray | int, *, size: int = 8, burst: int = INCR
    ) -> AxiAnswer:
        """Read bursts; arguments and errors as for `write_bursts`."""
        addresses, lengths = np.atleast_1d(addresses), np.atleast_1d(lengths)
        requests, ids = self._requests(self._reads.request.format, addresses, lengths, size, burst)
        payload = await self._reads.answers(requests, int(lengths.sum()))
        self.on_transfer({"ar": requests, "r": payload})
        fields = self._reads.response.format.unpack(payload)
        self._check_ids("r", fields["id"], np.repeat(ids, lengths))
        last = np.zeros(len(payload), np.uint64)
        last[np.cumsum(lengths) - 1] = 1
        wrong = np.flatnonzero(fields["last"] != last)
        if len(wrong):
            at = int(wrong[0])
            said = "is missing" if last[at] else "comes too early"
            self._on_error(
                AxiError("r", f"RLAST {said} at beat {at} of bursts of {lengths.tolist()[:8]} beats")
            )
        self.beats += len(payload)
        self._past.append(("read", addresses, lengths, size, fields["resp"]))
        return AxiAnswer(fields["resp"].astype(np.uint8), fields["data"])

    # ---------------------------------------------------------------------------------------------
    # Stretches of memory
    # ---------------------------------------------------------------------------------------------
    async def write(self, address: int, beats: np.ndarray) -> None:
        """Write whole beats, uint64[n], from `address` on; AxiError if anything is refused."""
        beats = np.asarray(beats, np.uint64)
        if len(beats):
            addresses, lengths = self._cut(address, len(beats), self._data_bytes)
            answer = await self.write_bursts(addresses, lengths, beats)
            self._check_okay("write", addresses, answer)

    async def read(self, address: int, count: int) -> np.ndarray:
        """Read `count` whole beats from `address` on, uint64[count]; AxiError if anything is refused."""
        if not count:
            return np.zeros(0, np.uint64)
        addresses, lengths = self._cut(address, count, self._data_bytes)
        answer = await self.read_bursts(addresses, lengths)
        self._check_okay("read", np.repeat(addresses, lengths), answer)
        return answer.data

    async def write_words(self, addresses: np.ndarray | int, words: np.ndarray | int) -> None:
        """Write 32-bit words, each to its own byte address, in this order; AxiError if one is refused."""
        addresses = np.atleast_1d(np.asarray(addresses, np.uint64))
        words = np.broadcast_to(np.asarray(words, np.uint64), addresses.shape)
        if len(addresses):
            lanes = words << (addresses % np.uint64(self._data_bytes) * np.uint64(8))
            answer = await self.write_bursts(addresses, np.ones(len(addresses), int), lanes, size=4)
            self._check_okay("write", addresses, answer)

    async def read_words(self, addresses: np.ndarray | int) -> np.ndarray:
        """Read 32-bit words at byte addresses [n], uint32[n]; AxiError if one is refused."""
        addresses = np.atleast_1d(np.asarray(addresses, np.uint64))
        if not len(addresses):
            return np.zeros(0, np.uint32)
        answer = await self.read_bursts(addresses, np.ones(len(addresses), int), size=4)
        self._check_okay("read", addresses, answer)
        return (answer.data >> (addresses % np.uint64(self._data_bytes) * np.uint64(8))).astype(np.uint32)

    # ---------------------------------------------------------------------------------------------
    def past(self) -> str:
        """The last transfers and their answers, the last one at the end, a line each: for messages."""
        told = []
        for what, addresses, lengths, size, resp in self._past:
            answers = ", ".join(RESPONSES[code] for code in np.unique(resp).tolist())
            bursts = f"{len(addresses)} bursts, the first " if len(addresses) > 1 else ""
            beats = f"{int(lengths[0])} beats" if lengths[0] != 1 else "1 beat"
            told.append(
                f"{what} of {bursts}{beats} of {size} bytes from 0x{int(addresses[0]):08x} on: {answers}"
            )
        return "\n".join(told)

    def check_finished(self) -> None:
        """Raises `StreamError` when accesses are still unanswered: to be called at the end of a test."""
        self._writes.check_finished()
        self._reads.check_finished()

    def flush(self) -> None:
        """Drop everything in flight: to be called while the device is in reset."""
        self._w.flush()
        self._writes.flush()
        self._reads.flush()

    def _requests(
        self, beat_format: BeatFormat, addresses: np.ndarray, lengths: np.ndarray, size: int, burst: int
    ) -> tuple[np.ndarray, np.ndarray]:
        ids = (self._next_id + np.arange(len(addresses))) % self._ids
        self._next_id = int(ids[-1] + 1) % self._ids
        beats = beat_format.pack(
            addr=addresses, len=lengths - 1, size=size.bit_length() - 1, burst=burst, id=ids
        )
        return beats, ids

    def _check_ids(self, channel: str, seen: np.ndarray, expected: np.ndarray) -> None:
        wrong = np.flatnonzero(seen != expected.astype(np.uint64))
        if len(wrong):
            at = int(wrong[0])
            self._on_error(
                AxiError(channel, f"answer {at} has ID {int(seen[at])} instead of {int(expected[at])}")
            )

    def _check_okay(self, what: str, addresses: np.ndarray, answer: AxiAnswer) -> None:
        if not answer.okay:
            at = int(np.argmax(answer.resp != OKAY))
            channel = "r" if what == "read" else "b"
            error = AxiError(
                channel,
                f"a {what} from 0x{int(addresses[at]):08x} on is answered {RESPONSES[answer.resp[at]]}",
            )
            error.earlier = self.past()
            raise error

    @staticmethod
    def _cut(address: int, count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Bursts of a stretch of `count` beats: as long as may be."""
        addresses, lengths = [], []
        while count:
            length = min(count, MOST_BEATS, (BOUNDARY - address % BOUNDARY) // size)
            addresses.append(address)
            lengths.append(length)
            address += length * size
            count -= length
        return np.array(addresses, np.uint64), np.array(lengths)


def beat_addresses(addresses: np.ndarray, lengths: np.ndarray, size: int, burst: int) -> np.ndarray:
    """Byte address of every beat of some bursts, int64[beats of all]."""
    first = np.repeat(np.asarray(addresses).astype(np.int64), lengths)
    if burst == FIXED:
        return first
    number = np.arange(int(np.sum(lengths))) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    aligned = first // size * size
    return np.where(number == 0, first, aligned + number * size)
