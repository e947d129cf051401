# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the accelerator's bench: that of its blocks, sampled while they work together."""

from __future__ import annotations

import ctypes

from assay.golden.controller.parameters import ControllerParameters
from assay.tb.controller.coverage import ControllerCoverage
from assay.tb.coverage import CoverGroup
from assay.tb.mvu.coverage import MvuCoverage


class AcceleratorCoverage:
    """Cover groups of one run.

    Attributes:
        mvu: jobs of all MVUs.
        controller: instructions of all harts.
    """

    def __init__(
        self, params: ControllerParameters | None = None, library: ctypes.CDLL | None = None
    ) -> None:
        self.mvu = MvuCoverage()
        self.controller = ControllerCoverage(params, library)

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """All groups; of the MVU those of jobs and windows, as the others are about its ports."""
        return (self.mvu.jobs, self.mvu.windows, *self.controller.groups)
