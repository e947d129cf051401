# SPDX-License-Identifier: Apache-2.0
"""Build parameters of the accelerator: those of its MVUs and of its controller, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError
from assay.golden.mvu.parameters import CROSSBAR_PORTS, MvuParameters

LANES = (8, 16, 32, 64)  #: a word of a data memory fits a beat of the host port
_CONTROLLER = ("ImemWords", "DmemWords", "Skip", "MulDiv")  #: of the controller's parameters; Harts is Mvus


@dataclass(frozen=True)
class AcceleratorParameters:
    """Sizes of one accelerator.

    Attributes:
        mvus: MVUs, and harts, 1 to 8.
        mvu: of every MVU.
        controller: of the controller; its harts are `mvus`.

    Raises `ConfigurationError` for a size outside the range the RTL supports.
    """

    mvus: int = 8
    mvu: MvuParameters = field(default_factory=MvuParameters)
    controller: ControllerParameters = field(default_factory=ControllerParameters)

    def __post_init__(self) -> None:
        if not 1 <= self.mvus <= CROSSBAR_PORTS:
            raise ConfigurationError(f"mvus = {self.mvus}: must be from 1 to {CROSSBAR_PORTS}")
        if self.mvu.lanes not in LANES:
            raise ConfigurationError(
                f"lanes = {self.mvu.lanes}: must be one of {', '.join(map(str, LANES))} in an accelerator"
            )
        if self.controller.harts != self.mvus:
            raise ConfigurationError(
                f"harts = {self.controller.harts}: must be the number of MVUs, {self.mvus}"
            )

    @classmethod
    def of_rtl(cls, parameters: Mapping[str, int]) -> AcceleratorParameters:
        """From parameters under the names of the RTL's top module; those left out have their defaults."""
        mvus = parameters.get("Mvus", cls().mvus)
        controller = {name: parameters[name] for name in _CONTROLLER if name in parameters}
        mvu = {name: value for name, value in parameters.items() if name not in (*_CONTROLLER, "Mvus")}
        return cls(
            mvus, MvuParameters.of_rtl(mvu), ControllerParameters.of_rtl({"Harts": mvus, **controller})
        )

    @property
    def rtl(self) -> dict[str, int]:
        """Parameters under the names of the RTL's top module."""
        controller = self.controller.rtl
        return {"Mvus": self.mvus, **self.mvu.rtl, **{name: controller[name] for name in _CONTROLLER}}
