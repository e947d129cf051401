# SPDX-License-Identifier: Apache-2.0
"""Names who waits when nothing moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from cocotb.triggers import Timer

from assay.tb.agents.burst import StreamTimeout

__all__ = ["Watchdog", "Watched"]

LOOKS = 4  #: in the clocks after which nothing moved
PATIENCE = (
    20  #: times these clocks for one that waits while others move, and for a test that waits for no port
)


class Watched(Protocol):
    """What a watchdog looks at: a port, a scoreboard, a memory."""

    moves: int  #: changes whenever something happens

    def waiting(self) -> str:
        """What it waits for, as a sentence with its place; empty when for nothing."""


class Watchdog:
    """Ends a test in which nothing moves.

    Args:
        watched: gives what is looked at, each time anew.
        quiet_clocks: without any move, while something waits, after which `on_error` gets a `StreamTimeout` with
            everybody who waits.
        clock_ns: clock period.
        on_error: called once.
    """

    def __init__(
        self,
        watched: Callable[[], Iterable[Watched]],
        quiet_clocks: int,
        clock_ns: float,
        on_error: Callable[[StreamTimeout], None],
    ) -> None:
        self.watched = watched
        self.quiet_clocks = quiet_clocks
        self.clock_ns = clock_ns
        self.on_error = on_error

    async def run(self) -> None:
        """Watch for ever; to be started as a task."""
        step = max(1, self.quiet_clocks // LOOKS)
        before: dict[int, int] = {}
        still: dict[int, int] = {}
        quiet = 0
        while True:
            await Timer(step * self.clock_ns, "ns", round_mode="round")
            all_of = list(self.watched())
            moved = False
            for one in all_of:
                key, moves = id(one), one.moves
                if before.get(key) != moves:
                    moved = True
                    still[key] = 0
                else:
                    still[key] = still.get(key, 0) + 1 if one.waiting() else 0
                before[key] = moves
            quiet = 0 if moved else quiet + 1
            waiting = [one for one in all_of if one.waiting()]
            if waiting and quiet >= LOOKS:
                self._report(waiting, quiet * step)
                return
            stuck = [one for one in waiting if still[id(one)] >= LOOKS * PATIENCE]
            if stuck:
                self._report(stuck, LOOKS * PATIENCE * step)
                return
            if quiet >= LOOKS * PATIENCE:
                self.on_error(
                    StreamTimeout(
                        "all",
                        f"nothing has moved for {quiet * step} clocks and no port waits: the test waits for "
                        "something of its own",
                        quiet_ns=quiet * step * self.clock_ns,
                    )
                )
                return

    def _report(self, waiting: list[Watched], clocks: int) -> None:
        said = "; ".join(one.waiting() for one in waiting)
        name = getattr(waiting[0], "name", "all")
        self.on_error(
            StreamTimeout(
                name,
                f"nothing has moved for {clocks} clocks (the bench's quiet_clocks): {said}",
                quiet_ns=clocks * self.clock_ns,
            )
        )
