# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the accelerator's bench: its runs, and what its blocks do while they work together."""

from __future__ import annotations

import ctypes

from assay.golden.controller.parameters import ControllerParameters
from assay.tb.controller.coverage import ControllerCoverage
from assay.tb.coverage import CoverGroup, CoverPoint
from assay.tb.mvu.coverage import MvuCoverage


class AcceleratorCoverage:
    """Cover groups of one run.

    Attributes:
        runs: of networks: how they are mapped, what was loaded before, how they end.
        mvu: jobs of all MVUs.
        controller: instructions of all harts.
    """

    def __init__(
        self, params: ControllerParameters | None = None, library: ctypes.CDLL | None = None
    ) -> None:
        self.runs = CoverGroup(
            "accelerator_runs",
            [
                CoverPoint("mapping", ("distributed", "pipelined")),
                CoverPoint("input", {"positions": False, "windows": True}),
                CoverPoint("phases", {"1": 1, "2 and more": range(2, 1 << 10)}),
                CoverPoint("before", ("nothing", "another network", "the same network")),
                CoverPoint("ends", ("done", "in failure")),
            ],
            crosses=[("mapping", "before"), ("mapping", "input")],
        )
        self.mvu = MvuCoverage()
        self.controller = ControllerCoverage(params, library)

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """All groups; of the MVU those of jobs and windows, as the others are about its ports."""
        return (self.runs, self.mvu.jobs, self.mvu.windows, *self.controller.groups)
