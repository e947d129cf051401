# SPDX-License-Identifier: Apache-2.0
"""Golden model of the crossbar: which word arrives where in which clock.

Each destination takes one word a clock, from the source it served longest ago; a word leaves its source in the clock
in which the last of its destinations takes it. A destination that is not ready stays with the word it has been offered.
Nothing else is kept. See docs/accelerator.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from assay.golden.errors import ConfigurationError
from assay.golden.mvu.parameters import CROSSBAR_PORTS

__all__ = ["Arrival", "Crossbar", "LeastRecent", "Word", "play"]


class LeastRecent:
    """Whom to serve of `count` requesters: the one served longest ago; at first the lowest number.

    As the RTL's matrix arbiters: whoever is served goes behind all who are not.
    """

    def __init__(self, count: int) -> None:
        self.order = list(range(count))  #: who goes first, first

    def choose(self, requests: int) -> int:
        """The requester to serve, of a set that is not empty."""
        for requester in self.order:
            if requests >> requester & 1:
                return requester
        raise ConfigurationError("requests = 0: must have at least one bit")

    def served(self, requester: int) -> None:
        """Note that it was."""
        self.order.remove(requester)
        self.order.append(requester)


class Word(NamedTuple):
    """A word that a source offers: destinations (one bit for each MVU), address and content."""

    dest: int
    address: int
    data: bytes = b""


class Arrival(NamedTuple):
    """A word that a destination takes in a clock."""

    clock: int
    source: int
    destination: int
    word: Word


class Crossbar:
    """State of the crossbar between clocks.

    Attributes:
        mvus: ports on each side.
        orders: of each destination.
        waiting: of each source, the destinations that still want the word it offers now; 0 when it begins a new one.
        held: of each destination, the source whose word it was offered and did not take in the last clock, or None.
    """

    def __init__(self, mvus: int) -> None:
        if not 1 <= mvus <= CROSSBAR_PORTS:
            raise ConfigurationError(f"mvus = {mvus}: must be from 1 to {CROSSBAR_PORTS}")
        self.mvus = mvus
        self.every = (1 << mvus) - 1
        self.orders = [LeastRecent(mvus) for _ in range(mvus)]
        self.waiting = [0] * mvus
        self.held: list[int | None] = [None] * mvus

    def requests(self, dests: Sequence[int | None]) -> list[int]:
        """What each source's word still wants in this clock, and 0 for one that offers none.

        Args:
            dests: of each source, the destinations of the word it offers, None without one.
        """
        every = self.every
        return [
            0 if dest is None else waiting or dest & every
            for dest, waiting in zip(dests, self.waiting, strict=True)
        ]

    def choices(self, dests: Sequence[int | None]) -> list[int | None]:
        """The source whose word each destination is offered in this clock, or None."""
        return self._choose(self.requests(dests))

    def _choose(self, requests: Sequence[int]) -> list[int | None]:
        chosen = list(self.held)
        for destination, held in enumerate(chosen):
            if held is None:
                for source in self.orders[destination].order:
                    if requests[source] >> destination & 1:
                        chosen[destination] = source
                        break
        return chosen

    def clock(
        self, dests: Sequence[int | None], ready: int | None = None
    ) -> tuple[list[tuple[int, int]], int]:
        """One clock.

        Args:
            dests: of each source, the destinations of the word it offers, None without one. A word that was not taken
                must be offered again.
            ready: destinations that take a word (``xbi_ready``), by default all.

        Returns:
            (source, destination) of every word that arrives, and the set of sources whose word is taken
            (``xbo_ready`` and ``xbo_valid``).
        """
        ready = self.every if ready is None else ready
        arrived: list[tuple[int, int]] = []
        requests = self.requests(dests)
        for destination, source in enumerate(self._choose(requests)):
            if source is None:
                continue
            self.orders[destination].served(source)
            if ready >> destination & 1:
                self.held[destination] = None
                arrived.append((source, destination))
                requests[source] &= ~(1 << destination)
            else:
                self.held[destination] = source
        taken = 0
        for source, dest in enumerate(dests):
            if dest is not None and not requests[source]:
                taken |= 1 << source
        self.waiting = requests
        return arrived, taken


def play(
    crossbar: Crossbar, words: Sequence[Iterable[tuple[int, Word]]], clock: int = 0
) -> tuple[list[Arrival], list[list[int]]]:
    """Send words of all sources, every destination always ready.

    Args:
        crossbar: its state goes on.
        words: of each source, (first clock in which it can be offered, word), in order. A source offers a word in that
            clock or in the one after the word before was taken, whichever is later.
        clock: the first.

    Returns:
        All arrivals in the order of clocks and destinations, and the clock in which each word was taken, by source.
    """
    queues = [list(reversed(list(each))) for each in words]
    arrivals: list[Arrival] = []
    taken: list[list[int]] = [[] for _ in words]
    while any(queues):
        clock = max(clock, min(queue[-1][0] for queue in queues if queue))
        dests = [queue[-1][1].dest if queue and queue[-1][0] <= clock else None for queue in queues]
        arrived, done = crossbar.clock(dests)
        arrivals += [Arrival(clock, source, dest, queues[source][-1][1]) for source, dest in arrived]
        for source in range(len(queues)):
            if done >> source & 1:
                queues[source].pop()
                taken[source].append(clock)
        clock += 1
    return arrivals, taken
