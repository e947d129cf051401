# SPDX-License-Identifier: Apache-2.0
"""Scoreboard of the crossbar: what every destination got from every source, and who had to wait how long.

Words are compared for each pair of source and destination: each one exactly once, in order. Beside that the
arbitration is watched, clock by clock, from records of the control signals alone: a destination that is ready takes a
word in every clock in which one is offered to it, nobody is passed over more often than there are others, and a word
leaves its source in the clock in which the last destination has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from assay.golden.mvu.parameters import CROSSBAR_PORTS
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats
from assay.tb.env import CLOCK_NS
from assay.tb.mvu.cause import CROSSBAR
from assay.tb.mvu.env import Expectation, OutputScoreboard
from assay.tb.mvu_array.coverage import CrossbarCoverage
from assay.tb.scoreboard import Mismatch

__all__ = ["RECORD", "Arbitration", "CrossbarScoreboard", "delivered_format"]

#: A clock of the crossbar in which a word is offered, as the bench top packs it: by source what is offered and taken
#: and for whom, by destination what is offered and taken and from whom.
RECORD = BeatFormat(
    [
        ("offered", CROSSBAR_PORTS),
        ("taken", CROSSBAR_PORTS),
        *((f"dest{m}", CROSSBAR_PORTS) for m in range(CROSSBAR_PORTS)),
        ("valid", CROSSBAR_PORTS),
        ("ready", CROSSBAR_PORTS),
        *((f"source{m}", 4) for m in range(CROSSBAR_PORTS)),
    ]
)


def delivered_format(lanes: int) -> BeatFormat:
    """A word that a destination takes, and from whom."""
    return BeatFormat([("data", lanes), ("addr", 16), ("source", 4)])


class CrossbarScoreboard:
    """Words by pairs of source and destination.

    Args:
        mvus: how many there are.
        lanes: of each.
        on_mismatch: called with the first `Mismatch`.

    Attributes:
        pairs: (source, destination) to the scoreboard of the words between them.
    """

    def __init__(self, mvus: int, lanes: int, on_mismatch: Callable[[Mismatch], None]) -> None:
        self.mvus = mvus
        self._word = BeatFormat([("data", lanes), ("addr", 16)])
        self._delivered = delivered_format(lanes)
        self.pairs = {
            (source, dest): OutputScoreboard(
                f"crossbar {source} to {dest}",
                self._word,
                lanes=lanes,
                blamed=f"{CROSSBAR}: what left MVU {source} right arrives at MVU {dest} wrong",
                on_mismatch=on_mismatch,
                clock_ns=CLOCK_NS,
            )
            for source in range(mvus)
            for dest in range(mvus)
        }

    @property
    def outstanding(self) -> int:
        """Words that have not arrived so far."""
        return sum(pair.outstanding for pair in self.pairs.values())

    @property
    def words(self) -> int:
        """Words compared."""
        return sum(pair.beats_compared for pair in self.pairs.values())

    def destinations(self, mask: int) -> list[int]:
        """The units of a mask; those that do not exist are left out."""
        return [unit for unit in range(self.mvus) if mask >> unit & 1]

    def expect_job(self, source: int, job: Expectation) -> None:
        """The words of a job must arrive at all its destinations."""
        beats = self._word.pack(data=job.result.data, addr=job.result.address)
        for dest in self.destinations(job.result.dest):
            self.pairs[source, dest].expect_job(replace(job, beats=beats))

    def write(self, dest: int, beats: Beats) -> None:
        """Words that `dest` has taken, as `delivered_format` has them."""
        fields = self._delivered.unpack(beats.payload)
        words = self._word.pack(data=fields["data"], addr=fields["addr"])
        for source in np.unique(fields["source"]).tolist():
            rows = fields["source"] == source
            unknown = None if beats.unknown is None else beats.unknown[rows][:, : self._word.bytes]
            pair = self.pairs[source, dest]
            pair.write(Beats(pair.name, beats.first, beats.cycles[rows], words[rows], unknown))

    def flush(self) -> None:
        """A reset has dropped everything."""
        for pair in self.pairs.values():
            pair.flush()


class Arbitration:
    """Watches who is served when.

    Args:
        mvus: how many there are.
        coverage: sampled with every batch.
        fail: called as `tb.report.Report.fail`.

    Attributes:
        clocks: in which a word was offered.
        longest: words of others that a destination took while one waited for it, at most.
        alter: for tests of this check: changes the fields of a batch before they are looked at.
    """

    def __init__(self, mvus: int, coverage: CrossbarCoverage, fail: Callable[..., None]) -> None:
        self.mvus = mvus
        self.coverage = coverage
        self.origin_ns = 0.0
        self.clocks = 0
        self.longest = 0
        self.alter: Callable[[dict[str, np.ndarray]], None] | None = None
        self._fail = fail
        self._failed = False
        self.flush()

    def flush(self) -> None:
        """A reset: nobody waits."""
        self._have = [0] * self.mvus  # destinations that already have the word offered now
        self._passed = np.zeros(
            (self.mvus, self.mvus), np.int64
        )  # [source, destination]: words of others since
        self._pass_clocks = [0] * self.mvus

    def write(self, beats: Beats) -> None:
        """Records, in order: the callback for the tap."""
        if self._failed:
            return
        fields = RECORD.unpack(beats.payload)
        if self.alter is not None:
            self.alter(fields)
        columns = {name: values.tolist() for name, values in fields.items()}
        for index, clock in enumerate(beats.cycles.tolist()):
            said = self._clock({name: values[index] for name, values in columns.items()})
            if said:
                self._failed = True
                time_ns = self.origin_ns + clock * CLOCK_NS
                self._fail(
                    f"crossbar: {said}; clock {clock}, {time_ns:,.0f} ns", kind="crossbar", time_ns=time_ns
                )
                return
            self.clocks += 1
        self.coverage.flush()

    def _clock(self, now: dict[str, int]) -> str:
        """One clock; what is wrong with it, or nothing."""
        every = (1 << self.mvus) - 1
        wants = [
            now[f"dest{s}"] & every & ~self._have[s] if now["offered"] >> s & 1 else 0
            for s in range(self.mvus)
        ]
        got = [0] * self.mvus
        for dest in range(self.mvus):
            waiting = [s for s in range(self.mvus) if wants[s] >> dest & 1]
            valid, ready = now["valid"] >> dest & 1, now["ready"] >> dest & 1
            if not waiting:
                if valid:
                    return f"unit {dest} is offered a word that no unit sends"
                continue
            if not valid:
                return f"units {waiting} offer a word to unit {dest}, which is offered none"
            if not ready:
                continue
            source = now[f"source{dest}"]
            if source not in waiting:
                return (
                    f"unit {dest} takes a word of unit {source}, which does not offer one; units {waiting} do"
                )
            self.coverage.word(source, dest, len(waiting))
            got[source] |= 1 << dest
            for other in waiting:
                self._passed[other, dest] += other != source
            self._passed[source, dest] = 0
            worst = int(self._passed[:, dest].max())
            self.longest = max(self.longest, worst)
            if worst >= self.mvus:
                other = int(self._passed[:, dest].argmax())
                return (
                    f"unit {dest} has taken {worst} words of others while unit {other} offered one: unfair, "
                    f"{self.mvus - 1} is the most"
                )
        for source in range(self.mvus):
            if not now["offered"] >> source & 1:
                continue
            left = wants[source] & ~got[source]
            taken = now["taken"] >> source & 1
            if taken and left:
                return f"the word of unit {source} is taken from it before units {self._list(left)} have it"
            if not taken and not left:
                return f"the word of unit {source} is still offered although all its destinations have it"
            if got[source]:
                self._pass_clocks[source] += 1
            self._have[source] |= got[source]
            if taken:
                self.coverage.taken(
                    bin(now[f"dest{source}"] & every).count("1"), parts=self._pass_clocks[source] > 1
                )
                self._have[source] = self._pass_clocks[source] = 0
        return ""

    def _list(self, mask: int) -> list[int]:
        return [unit for unit in range(self.mvus) if mask >> unit & 1]
