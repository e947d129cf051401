# SPDX-License-Identifier: Apache-2.0
"""Scoreboard: what each stream must carry against what it carried, compared as arrays.

`StreamScoreboard` knows beats, not a design: the bench gives the expected beats and, for the message, a
function from a beat's index to the place in the network ("layer conv2, output (3, 4), lane 17").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats

#: Beats after a difference that are awaited before it is named: they tell a wrong beat from a lost or repeated one.
EVIDENCE = 16

#: Characters of a headline: a line of the terminal has 120, and a label before it.
HEADLINE = 89

KINDS = ("mismatch", "unknown", "lost", "repeated", "unexpected", "nothing compared")


class Explanation(NamedTuple):
    """What a bench says of a difference beside the difference itself; every field may be empty.

    Attributes:
        hint: what the golden model computed on the way there.
        cause: the block that is to blame, and of what.
        reads: what the wrong beat was made of: what of it is wrong, expected and seen.
        writer: who wrote that, and when.
        addresses: golden's, beside those seen where there are some.
    """

    hint: str = ""
    cause: str = ""
    reads: str = ""
    writer: str = ""
    addresses: str = ""


UNEXPLAINED = Explanation()


@dataclass(frozen=True)
class Mismatch:
    """A difference between a stream and its expectation.

    Attributes:
        stream: name of the stream.
        kind: one of `KINDS`.
        index: of the beat, counted over the whole stream; -1 when none can be named.
        expected, seen: bit patterns, ``0x`` and hexadecimal digits, field by field; empty when there is none.
        bits: the unlike bits as ``field[bit]``, at most eight of them.
        cycle: clock of the beat as the bench counts; -1 when unknown.
        time_ns: simulation time of the beat; -1 when unknown.
        where: the place in the design's terms, from the caller's `locate`.
        hint, cause, reads, writer, addresses: from the caller's `explain`, see `Explanation`.
        message: one sentence with all of it that fits into one.
        headline: what is wrong, and whose fault it is, in the few words of a line; empty: the message's beginning.
        span_ns: for how long before the beat the design has worked at it, so that the waves show it.
    """

    stream: str
    kind: str
    index: int
    message: str
    expected: str = ""
    seen: str = ""
    bits: str = ""
    cycle: int = -1
    time_ns: float = -1
    where: str = ""
    hint: str = ""
    cause: str = ""
    reads: str = ""
    writer: str = ""
    addresses: str = ""
    headline: str = ""
    span_ns: float = 0

    def __str__(self) -> str:
        return self.message

    def as_failure(self) -> dict[str, object]:
        """The entry for `tb.report.Report.fail`."""
        return asdict(self)


class Scoreboard(Protocol):
    """What environments, tests and reports know of a scoreboard, be it of beats or of something else.

    Attributes:
        origin_ns: simulation time of the bench's clock 0.
    """

    origin_ns: float

    @property
    def beats_compared(self) -> int:
        """Words of the streams compared so far."""

    @property
    def values_compared(self) -> int:
        """Values in them."""

    @property
    def on_mismatch(self) -> Callable[[Mismatch], None] | None:
        """Who is told what is found, at once."""

    def conclude(self) -> list[Mismatch]:
        """Judge what has come so far; gives everything found."""

    def finish(self) -> list[Mismatch]:
        """Judge the whole test; gives everything found."""


class _Queue:
    """Beats in arrays, appended at the end and taken from the front."""

    def __init__(self, width: int, dtype: DTypeLike = np.uint8) -> None:
        self._chunks: list[np.ndarray] = []
        self._empty: np.ndarray = np.empty((0, width), dtype)

    def __len__(self) -> int:
        return sum(map(len, self._chunks))

    def append(self, chunk: np.ndarray) -> None:
        if len(chunk):
            self._chunks.append(chunk)

    def peek(self) -> np.ndarray:
        """Everything, as one array."""
        if len(self._chunks) > 1:
            self._chunks = [np.concatenate(self._chunks)]
        return self._chunks[0] if self._chunks else self._empty

    def take(self, count: int) -> np.ndarray:
        """The first `count`."""
        whole = self.peek()
        self._chunks = [whole[count:]] if len(whole) > count else []
        return whole[:count]


class StreamScoreboard:
    """Compares one stream, in order.

    Args:
        name: of the stream, for messages.
        beat_format: the payload.
        locate: beat index -> place in the design's terms.
        explain: beat index, unlike bits uint8[bytes] -> why the beat is wrong; a text is an explanation's hint.
        on_mismatch: called with the first `Mismatch`, be it found here or by `finish`. After the first
            difference nothing more is compared: what follows is noise.
        clock_ns, origin_ns: simulation time of the bench's clock number 0 and the clock period, to turn a
            beat's clock into a time.
        values_per_beat: how many tensor values a beat carries, for the report's count.

    Attributes:
        beats_compared: beats found equal or unequal so far.
        mismatches: everything found.
        watched: number of a beat that somebody wants to see; -1: none.
        on_watched: called with the time in ns at which it came.
        last_cycle: clock of the last beat that came since reset; -1: none has.
    """

    def __init__(
        self,
        name: str,
        beat_format: BeatFormat,
        *,
        locate: Callable[[int], str] | None = None,
        explain: Callable[[int, np.ndarray], Explanation | str] | None = None,
        on_mismatch: Callable[[Mismatch], None] | None = None,
        clock_ns: float = 10,
        origin_ns: float = 0,
        values_per_beat: float = 1,
    ) -> None:
        self.name = name
        self.format = beat_format
        self.locate = locate
        self.explain = explain
        self.on_mismatch = on_mismatch
        self.clock_ns = clock_ns
        self.origin_ns = origin_ns
        self.values_per_beat = values_per_beat
        self.beats_compared = 0
        self.mismatches: list[Mismatch] = []
        self.watched = -1
        self.on_watched: Callable[[float], None] = lambda time_ns: None
        self._expected = _Queue(beat_format.bytes)
        self._later: deque[tuple[int, Callable[[], np.ndarray]]] = deque()
        self._seen = _Queue(beat_format.bytes)
        self._unknown: _Queue | None = None  # from the first X on
        self._cycles = _Queue(1, np.uint32)
        self._wrong = 0  # place of the wrong beat among those seen
        self.last_cycle = -1

    @property
    def _queues(self) -> list[_Queue]:
        return [self._expected, self._seen, self._cycles, *([] if self._unknown is None else [self._unknown])]

    @property
    def values_compared(self) -> int:
        """Tensor values compared so far."""
        return round(self.beats_compared * self.values_per_beat)

    @property
    def passed(self) -> bool:
        """Whether nothing was found so far; only after `finish` it says that all is well."""
        return not self.mismatches

    @property
    def outstanding(self) -> int:
        """Expected beats not seen so far."""
        return len(self._expected) + sum(count for count, _ in self._later)

    def expect(self, beats: np.ndarray) -> None:
        """Append to what the stream must carry: uint8[n, bytes]. ValueError for another shape."""
        self._expected.append(self.format.check(beats))
        self._compare()

    def expect_later(self, count: int, make: Callable[[], np.ndarray], patient: bool = False) -> None:
        """As `expect` of `count` beats, which are asked for when the first of them is compared: a golden model may work
        ahead of the design (`tb.ahead`) without any influence on what is found, and when.

        Args:
            patient: beats that have come before wait for more of them, or for `compare`.
        """
        self._later.append((count, make))
        if not patient:
            self._compare()

    def compare(self) -> None:
        """Compare what is there on both sides."""
        self._compare()

    def write(self, beats: Beats) -> None:
        """Append to what it carried: the callback for a monitor's ``ap`` or `BurstMonitor`."""
        self._seen.append(beats.payload)
        if beats.unknown is not None and self._unknown is None:
            self._unknown = _Queue(self.format.bytes)
            self._unknown.append(np.zeros((len(self._seen) - len(beats), self.format.bytes), np.uint8))
        if self._unknown is not None:
            self._unknown.append(np.zeros_like(beats.payload) if beats.unknown is None else beats.unknown)
        self._cycles.append(beats.cycles.reshape(-1, 1))
        if len(beats):
            self.last_cycle = int(beats.cycles[-1])
        self._compare()

    def conclude(self) -> list[Mismatch]:
        """Judge what has come so far without waiting for more evidence: before another failure is reported, whose
        cause a difference here may be.

        Returns:
            everything found.
        """
        self._compare(final=True)
        return self.mismatches

    def flush(self) -> None:
        """Forget what waits on both sides: a reset dropped it. Counts and findings stay."""
        self.conclude()
        self._later.clear()
        self.last_cycle = -1
        for queue in self._queues:
            queue.take(len(queue))

    def finish(self) -> list[Mismatch]:
        """End of the test: leftovers on either side, or no comparison at all, are failures too.

        Returns:
            everything found.
        """
        if not self.conclude():
            expected, seen = self._expected.peek(), self._seen.peek()
            first = self.beats_compared
            if len(expected):
                self._report(
                    "lost",
                    first,
                    f"{len(expected)} expected beats never came"
                    + (" after this clock, in which the last one came" if self.last_cycle >= 0 else ""),
                    expected=self.format.describe(expected[0]),
                    cycle=max(self.last_cycle, 0),  # where the first missing one was due
                )
            elif len(seen):
                self._report(
                    "unexpected",
                    first,
                    f"{len(seen)} beats more than expected",
                    seen=self.format.describe(seen[0]),
                    cycle=int(self._cycles.peek()[0, 0]),
                )
            elif not first:
                self._report(
                    "nothing compared", -1, "not a single beat was compared, so nothing was verified"
                )
        return self.mismatches

    def _compare(self, final: bool = False) -> None:
        if self.mismatches:
            return
        while self._later and (final or len(self._expected) < len(self._seen)):
            self._expected.append(self.format.check(self._later.popleft()[1]()))
        count = min(len(self._expected), len(self._seen))
        if not count:
            return
        expected, seen = self._expected.peek(), self._seen.peek()
        strange = None if self._unknown is None else self._unknown.peek()
        if strange is None and np.array_equal(expected[:count], seen[:count]):
            wrong = unknown = np.zeros(count, bool)
        else:
            unknown = np.zeros(count, bool) if strange is None else np.any(strange[:count], axis=1)
            wrong = np.any(expected[:count] != seen[:count], axis=1) | unknown
        if not wrong.any():
            if self.beats_compared <= self.watched < self.beats_compared + count:
                cycle = int(self._cycles.peek()[self.watched - self.beats_compared, 0])
                self.on_watched(self.origin_ns + cycle * self.clock_ns)
            self.beats_compared += count
            for queue in self._queues:
                queue.take(count)
            return
        at = int(np.argmax(wrong))
        if not final and count - at <= EVIDENCE:
            return
        index = self.beats_compared + at
        self.beats_compared = index + 1
        self._wrong = at
        cycle = int(self._cycles.peek()[at, 0])
        if strange is not None and unknown[at]:
            kind, text, unlike = "unknown", "a beat is X", strange[at]
        else:
            kind, text = self._classify(expected, seen, at)
            unlike = np.bitwise_xor(expected[at], seen[at])
        self._report(
            kind,
            index,
            text,
            expected=self.format.describe(expected[at]),
            seen=self.format.describe(seen[at]),
            bits=self._name_bits(unlike),
            cycle=cycle,
            why=self._why(index, unlike) if kind in ("mismatch", "unknown") else UNEXPLAINED,
            where=self.place(index, unlike, expected[at] if kind == "mismatch" else None),
        )

    @property
    def come(self) -> np.ndarray:
        """uint8[n, bytes]: for `explain`: what has come from the first wrong beat on."""
        return self._seen.peek()[self._wrong :]

    def _why(self, index: int, unlike: np.ndarray) -> Explanation:
        try:
            why = self.explain(index, unlike) if self.explain else ""
        except Exception as error:  # whatever it is, the difference itself must be told
            why = f"not known: the explanation ended with {type(error).__name__}: {error}"
        return Explanation(why) if isinstance(why, str) else why

    def _classify(self, expected: np.ndarray, seen: np.ndarray, at: int) -> tuple[str, str]:
        """Whether one beat was lost or repeated: do both sides agree again when shifted by one from `at` on?

        All beats there are, up to `EVIDENCE`, must agree when shifted, and not agree unshifted from `at + 1` on.
        """
        expected, seen = expected[at : at + EVIDENCE + 1], seen[at : at + EVIDENCE + 1]

        def agree(left: np.ndarray, right: np.ndarray) -> int:
            """Length of the comparison if all agree, else 0."""
            length = min(len(left), len(right))
            return length if np.array_equal(left[:length], right[:length]) else 0

        straight = agree(expected[1:], seen[1:])
        lost = agree(expected[1:], seen)
        extra = agree(expected, seen[1:])
        if straight or not (lost or extra):
            return "mismatch", "a beat differs"
        if lost >= extra:
            return "lost", "a beat was lost: the following ones are all one early"
        return "repeated", "a beat came that was not due (repeated?): the following ones are all one late"

    def place(self, index: int, unlike: np.ndarray | None = None, expected: np.ndarray | None = None) -> str:
        """The place of a beat in the design's terms.

        Args:
            index: of the beat.
            unlike: uint8[bytes], its unlike bits where they are known.
            expected: uint8[bytes], what it should be, where another value came.
        """
        return self.locate(index) if self.locate else ""

    def span(self, index: int) -> int:
        """For how many clocks the design works at a beat; 0 where that is unknown."""
        return 0

    def _name_bits(self, unlike: np.ndarray) -> str:
        bits = np.flatnonzero(np.unpackbits(unlike, bitorder="little"))
        names = [self.format.locate(int(bit)) for bit in bits[:8]]
        return ", ".join(names) + (f" and {len(bits) - 8} more" if len(bits) > 8 else "")

    def _report(
        self,
        kind: str,
        index: int,
        text: str,
        expected: str = "",
        seen: str = "",
        bits: str = "",
        cycle: int = -1,
        why: Explanation = UNEXPLAINED,
        where: str | None = None,
    ) -> None:
        if where is None:
            where = self.place(index) if index >= 0 else ""
        time_ns = self.origin_ns + cycle * self.clock_ns if cycle >= 0 else -1
        parts = [f"stream {self.name}"]
        if index >= 0:
            parts.append(f"beat {index}")
        if where:
            parts.append(where)
        message = f"{', '.join(parts)}: {text}"
        if expected or seen:
            message += f"; expected {expected or 'nothing'}, seen {seen or 'nothing'}"
        if bits:
            message += f"; unlike bits {bits}"
        if cycle >= 0:
            message += f"; clock {cycle}, {time_ns:,.0f} ns"
        if why.cause:
            message += f"; cause: {why.cause}"
        at = self.name + (f", beat {index}" if index >= 0 else "")
        if why.cause:
            short = [f"{at}: {text}: {why.cause}", f"{at}: {why.cause}", why.cause]
        else:
            short = [f"{at}, {where}: {text}", f"{at}: {where}"] if where else []
        headline = next((each for each in short if len(each) <= HEADLINE), f"{at}: {text}")
        found = Mismatch(
            *(self.name, kind, index, message, expected, seen, bits, cycle, time_ns, where),
            *why,
            headline=headline,
            span_ns=self.span(index) * self.clock_ns if index >= 0 else 0,
        )
        self.mismatches.append(found)
        if self.on_mismatch:
            self.on_mismatch(found)
