# SPDX-License-Identifier: Apache-2.0
"""Scoreboard of the crossbar alone: each clock against the golden crossbar.

The golden model is given what is offered and which destinations are ready, and says what each destination is offered
and which sources' words are taken: order, fairness, delivery to each destination once, and words that stay while their
destination stalls are one comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from assay.golden.accelerator.crossbar import Crossbar, Word
from assay.golden.mvu.parameters import CROSSBAR_PORTS
from assay.tb.accelerator_crossbar.coverage import StallCoverage
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats
from assay.tb.env import CLOCK_NS

__all__ = ["ClockScoreboard", "record_format"]


def record_format(lanes: int) -> BeatFormat:
    """A clock, as the bench top packs it: by source what is offered, taken and for whom; by destination what is
    offered, and whether it is ready."""
    every = range(CROSSBAR_PORTS)
    return BeatFormat(
        [
            *((name, CROSSBAR_PORTS) for name in ("offered", "taken", "valid", "ready")),
            *((f"dest{m}", CROSSBAR_PORTS) for m in every),
            *((f"addr{m}", 16) for m in every),
            *((f"data{m}", lanes) for m in every),
        ]
    )


class ClockScoreboard:
    """The golden crossbar beside the device's.

    Args:
        mvus: ports on each side.
        lanes: bits of a word.
        coverage: sampled on the way.
        fail: called as `tb.report.Report.fail`.

    Attributes:
        arrived: words that destinations have taken.
        alter: for tests of this check: changes the fields of a clock before they are looked at.
    """

    def __init__(self, mvus: int, lanes: int, coverage: StallCoverage, fail: Callable[..., None]) -> None:
        self.mvus = mvus
        self.coverage = coverage
        self.origin_ns = 0.0
        self.arrived = 0
        self.alter: Callable[[dict[str, int]], None] = lambda now: None
        self._format = record_format(lanes)
        self._fail = fail
        self._failed = False
        self.flush()

    def flush(self) -> None:
        """A reset: nothing is under way."""
        self._crossbar = Crossbar(self.mvus)
        self._words: list[list[Word]] = [[] for _ in range(self.mvus)]
        self._at = [0] * self.mvus
        self._stalled = [0] * self.mvus  # clocks
        self._asked = [0] * self.mvus  # sources when the stall began
        self._clocks = [0] * self.mvus  # in which a destination took the word that a source offers

    def expect(self, words: Sequence[Sequence[Word]]) -> None:
        """What the sources will offer, in order; `data` as the integer's bytes."""
        for own, more in zip(self._words, words, strict=True):
            own += more

    @property
    def outstanding(self) -> int:
        """Words that have not left their source."""
        return sum(len(words) - at for words, at in zip(self._words, self._at, strict=True))

    def write(self, beats: Beats) -> None:
        """Records, in order: the callback for the tap."""
        if self._failed:
            return
        columns = {name: values.tolist() for name, values in self._format.unpack(beats.payload).items()}
        for index, clock in enumerate(beats.cycles.tolist()):
            now = {name: values[index] for name, values in columns.items()}
            self.alter(now)
            said = self._clock(now)
            if said:
                self._failed = True
                time_ns = self.origin_ns + clock * CLOCK_NS
                self._fail(
                    f"crossbar: {said}; clock {clock}, {time_ns:,.0f} ns", kind="crossbar", time_ns=time_ns
                )
                return

    def _clock(self, now: dict[str, int]) -> str:
        """One clock; what is wrong with it, or nothing."""
        offered = [
            self._words[s][self._at[s]]
            if now["offered"] >> s & 1 and self._at[s] < len(self._words[s])
            else None
            for s in range(self.mvus)
        ]
        for s, word in enumerate(offered):
            if now["offered"] >> s & 1 and (word is None or word.dest != now[f"dest{s}"]):
                return f"source {s} offers a word for units 0x{now[f'dest{s}']:x}, which is not its next one"
        dests = [None if word is None else word.dest for word in offered]
        requests, choices = self._crossbar.requests(dests), self._crossbar.choices(dests)
        arrived, taken = self._crossbar.clock(dests, now["ready"])
        for unit, source in enumerate(choices):
            valid = now["valid"] >> unit & 1
            asking = [s for s in range(self.mvus) if requests[s] >> unit & 1]
            if valid != (source is not None):
                return (
                    f"unit {unit} is offered a word that nobody sends"
                    if valid
                    else f"unit {unit} is offered nothing, although units {asking} ask for it"
                )
            word = None if source is None else offered[source]
            if word is None:
                continue
            seen = now[f"addr{unit}"], now[f"data{unit}"]
            expected = word.address, int.from_bytes(word.data, "little")
            if seen != expected:
                return (
                    f"unit {unit} is offered address 0x{seen[0]:04x}, data 0x{seen[1]:x} instead of address "
                    f"0x{expected[0]:04x}, data 0x{expected[1]:x} of unit {source}; units {asking} ask for it"
                    + (f", it has stalled for {self._stalled[unit]} clocks" if self._stalled[unit] else "")
                )
            if not self._stalled[unit]:
                self._asked[unit] = sum(1 << s for s in asking)
            if now["ready"] >> unit & 1:
                later = sum(not self._asked[unit] >> s & 1 for s in asking)
                self.coverage.stalls.sample(
                    **{
                        "clocks": self._stalled[unit],
                        "destination": unit,
                        "asking": len(asking),
                        "came later": later,
                    }
                )
                self._stalled[unit] = 0
            else:
                self._stalled[unit] += 1
        self.arrived += len(arrived)
        if now["taken"] != taken:
            wrong = next(s for s in range(self.mvus) if (now["taken"] ^ taken) >> s & 1)
            if offered[wrong] is None:
                return f"unit {wrong} is told that its word is taken, but it offers none"
            left = [d for d in range(self.mvus) if self._crossbar.waiting[wrong] >> d & 1]
            return (
                f"the word of unit {wrong} is taken from it before units {left} have it"
                if now["taken"] >> wrong & 1
                else f"the word of unit {wrong} is still offered although all its destinations have it"
            )
        for s in np.unique([source for source, _ in arrived]).astype(int).tolist():
            self._clocks[s] += 1
        for s, word in enumerate(offered):
            if word is not None and taken >> s & 1:
                count = (word.dest & self._crossbar.every).bit_count()
                # Without any destination a word is dropped at once.
                self.coverage.parts.sample(destinations=count, clocks=max(1, self._clocks[s]))
                self._at[s] += 1
                self._clocks[s] = 0
        return ""
