# SPDX-License-Identifier: Apache-2.0
"""Build parameters of the controller: the one place where a default is written.

The RTL reads them through the generated package ``rtl/controller/controller_pkg.sv`` (see `golden.controller.package`).
"""

from __future__ import annotations

from dataclasses import dataclass

from assay.golden.parameters import ParameterSet, parameter, powers

MAX_HARTS = 16
MIN_WORDS, MAX_WORDS = 1 << 8, 1 << 16  #: of each memory, powers of two
PIPELINE_STAGES = 5  #: F D X M W; strict round robin has at least this many slots


@dataclass(frozen=True)
class ControllerParameters(ParameterSet):
    """Sizes of one controller.

    Raises `ConfigurationError` for a size outside the range the RTL supports.
    """

    harts: int = parameter(8, range(1, MAX_HARTS + 1), "hardware threads")
    imem_words: int = parameter(8192, powers(MIN_WORDS, MAX_WORDS), "words of instruction memory")
    dmem_words: int = parameter(8192, powers(MIN_WORDS, MAX_WORDS), "words of data memory")
    #: 0: strict round robin.
    skip: int = parameter(1, (0, 1), "slots of harts that wait go to others")
    mul_div: int = parameter(0, (0, 1), "M extension")
