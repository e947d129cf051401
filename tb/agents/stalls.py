# SPDX-License-Identifier: Apache-2.0
"""Random stalls of a port that Python drives, as `hdl/stream_stall.sv` makes them for a burst adapter."""

from __future__ import annotations

from random import Random

from assay.tb.agents.burst import ALWAYS, NEVER, stream_seed

__all__ = ["Stalls"]


class Stalls:
    """Whether a port stalls in a clock.

    Args:
        seed: the run's.
        port: name; the same name and seed give the same stalls.
    """

    def __init__(self, seed: int, port: str) -> None:
        self.port = port
        self.random = Random(stream_seed(seed, port))
        self._probability = NEVER

    @property
    def probability(self) -> int:
        """Of a stall in each clock, in 1/256: `NEVER` = 0 to `ALWAYS` = 256; ValueError outside."""
        return self._probability

    @probability.setter
    def probability(self, probability: int) -> None:
        if not NEVER <= probability <= ALWAYS:
            raise ValueError(f"port {self.port}: stall = {probability}: must be from {NEVER} to {ALWAYS}")
        self._probability = probability

    def now(self) -> bool:
        """Draw for this clock."""
        return self._probability > NEVER and self.random.randrange(ALWAYS) < self._probability
