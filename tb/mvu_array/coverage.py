# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the crossbar: who sent to whom, how many wanted the same unit, words taken in parts."""

from __future__ import annotations

from assay.golden.mvu.parameters import CROSSBAR_PORTS
from assay.tb.coverage import CoverGroup, CoverPoint


class CrossbarCoverage:
    """Cover groups of one run, for so many MVUs; runs of other numbers of them have groups of their own.

    Attributes:
        words: taken by a destination: from whom, and how many offered it one.
        broadcasts: words by their destinations: how many, and whether all took it in one clock.
        collisions: units at whose memory a word of the crossbar waited.
    """

    def __init__(self, mvus: int = CROSSBAR_PORTS) -> None:
        units = range(mvus)
        size = "" if mvus == CROSSBAR_PORTS else f"_of_{mvus}"
        self.words = CoverGroup(
            f"crossbar_words{size}",
            [
                CoverPoint("source", units),
                CoverPoint("destination", units),
                CoverPoint("requesters", range(1, mvus + 1)),
            ],
            crosses=[("source", "destination"), ("destination", "requesters")],
        )
        self.broadcasts = CoverGroup(
            f"crossbar_broadcasts{size}",
            [CoverPoint("destinations", range(mvus + 1)), CoverPoint("taken", ("at once", "in parts"))],
            crosses=[("destinations", "taken")],
            impossible=lambda labels: int(labels["destinations"]) < 2 and labels["taken"] == "in parts",
            # Where all units are there, whichever one is named exists.
            absent=lambda point, label: point == "destinations" and label == "0" and mvus == CROSSBAR_PORTS,
        )
        self.collisions = CoverGroup(f"crossbar_collisions{size}", [CoverPoint("destination", units)])
        self._words: list[tuple[int, int, int]] = []
        self._taken: list[tuple[int, str]] = []

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """All groups."""
        return (self.words, self.broadcasts, self.collisions)

    def word(self, source: int, destination: int, requesters: int) -> None:
        """A destination has taken a word."""
        self._words.append((source, destination, requesters))

    def taken(self, destinations: int, parts: bool) -> None:
        """A word has left its source."""
        self._taken.append((destinations, "in parts" if parts else "at once"))

    def flush(self) -> None:
        """Count what was noted."""
        if self._words:
            source, destination, requesters = zip(*self._words, strict=True)
            self.words.sample(source=source, destination=destination, requesters=requesters)
        if self._taken:
            destinations, taken = zip(*self._taken, strict=True)
            self.broadcasts.sample(destinations=destinations, taken=taken)
        self._words.clear()
        self._taken.clear()
