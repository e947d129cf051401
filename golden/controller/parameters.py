# SPDX-License-Identifier: Apache-2.0
"""Build parameters of the controller: the one place where a default is written.

The RTL reads them through the generated package ``rtl/controller/controller_pkg.sv`` (see `golden.controller.package`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assay.golden.errors import ConfigurationError

MAX_HARTS = 16
MIN_WORDS, MAX_WORDS = 1 << 8, 1 << 16  #: of each memory, powers of two
PIPELINE_STAGES = 5  #: F D X M W; strict round robin has at least this many slots


@dataclass(frozen=True)
class ControllerParameters:
    """Sizes of one controller; field names are the RTL's parameter names in snake case.

    Raises `ConfigurationError` for a size outside the range the RTL supports.
    """

    harts: int = 8  #: hardware threads
    imem_words: int = 8192  #: 32-bit words of instruction memory
    dmem_words: int = 8192  #: 32-bit words of data memory
    skip: int = 1  #: slots of harts that wait go to others; 0: strict round robin
    mul_div: int = 0  #: M extension

    def __post_init__(self) -> None:
        for name, low, high in (
            ("harts", 1, MAX_HARTS),
            ("imem_words", MIN_WORDS, MAX_WORDS),
            ("dmem_words", MIN_WORDS, MAX_WORDS),
            ("skip", 0, 1),
            ("mul_div", 0, 1),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigurationError(f"{name} = {value}: must be from {low} to {high}")
        for name in ("imem_words", "dmem_words"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ConfigurationError(f"{name} = {value}: must be a power of two")

    @classmethod
    def of_rtl(cls, parameters: Mapping[str, int]) -> ControllerParameters:
        """From parameters under the names of the RTL's top module; those left out have their defaults."""
        fields = {rtl: field for field, rtl in zip(vars(cls()), cls().rtl, strict=True)}
        return cls(**{fields[name]: value for name, value in parameters.items()})

    @property
    def rtl(self) -> dict[str, int]:
        """Parameters under the names of the RTL's top module."""
        return {
            "Harts": self.harts,
            "ImemWords": self.imem_words,
            "DmemWords": self.dmem_words,
            "Skip": self.skip,
            "MulDiv": self.mul_div,
        }
