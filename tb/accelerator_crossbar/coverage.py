# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the crossbar alone: how long a destination stalled, and who asked for it meanwhile."""

from __future__ import annotations

from assay.golden.mvu.parameters import CROSSBAR_PORTS
from assay.tb.coverage import CoverGroup, CoverPoint


class StallCoverage:
    """Cover groups of one run, for so many MVUs; runs of other numbers of them have groups of their own.

    Attributes:
        stalls: words that a destination has taken: how long it stalled before, how many asked for it then, and how
            many of them came only after the word had been offered.
        parts: words that have left their source: how many destinations, and in how many clocks they took it.
    """

    def __init__(self, mvus: int = CROSSBAR_PORTS) -> None:
        size = "" if mvus == CROSSBAR_PORTS else f"_of_{mvus}"
        several = (
            {"1": 1} | ({"some": range(2, mvus)} if mvus > 2 else {}) | ({"all": mvus} if mvus > 1 else {})
        )
        self.stalls = CoverGroup(
            f"crossbar_stalls{size}",
            [
                CoverPoint(
                    "clocks", {"0": 0, "1": 1, "2 to 7": range(2, 8), "8 and more": range(8, 1 << 16)}
                ),
                CoverPoint("destination", range(mvus)),
                CoverPoint("asking", several),
                CoverPoint("came later", {"none": 0} | ({"some": range(1, mvus)} if mvus > 1 else {})),
            ],
            crosses=[("clocks", "asking"), ("clocks", "came later"), ("destination", "clocks", "asking")],
            impossible=lambda labels: labels.get("clocks") == "0" and labels.get("came later") == "some",
        )
        self.parts = CoverGroup(
            f"crossbar_parts{size}",
            [
                CoverPoint("destinations", range(mvus + 1)),
                CoverPoint("clocks", {"1": 1} | ({"2": 2, "3 and more": range(3, 9)} if mvus > 2 else {})),
            ],
        )

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """All groups."""
        return (self.stalls, self.parts)
