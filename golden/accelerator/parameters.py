# SPDX-License-Identifier: Apache-2.0
"""Build parameters of the accelerator: those of its MVUs and of its controller, and how many there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError
from assay.golden.mvu.parameters import CROSSBAR_PORTS, MvuParameters
from assay.golden.parameters import Parameter, ParameterSet, parameter

LANES = (8, 16, 32, 64)  #: a word of a data memory fits a beat of the host port
_CONTROLLER = ("ImemWords", "DmemWords", "Skip", "MulDiv")  #: of the controller's parameters; Harts is Mvus


@dataclass(frozen=True)
class AcceleratorParameters(ParameterSet):
    """Sizes of one accelerator.

    Attributes:
        mvu: of every MVU.
        controller: of the controller; its harts are `mvus`.

    Raises `ConfigurationError` for a size outside the range the RTL supports.
    """

    mvus: int = parameter(8, range(1, CROSSBAR_PORTS + 1), "MVUs, and harts")
    mvu: MvuParameters = field(default_factory=MvuParameters)
    controller: ControllerParameters = field(default_factory=ControllerParameters)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.table()["Lanes"].check(self.mvu.lanes)
        if self.controller.harts != self.mvus:
            raise ConfigurationError(
                f"harts = {self.controller.harts}: must be the number of MVUs, {self.mvus}"
            )

    @classmethod
    def table(cls) -> dict[str, Parameter]:
        """Every parameter under its HDL name: those of the MVUs and of the controller, too."""
        mvu, controller = MvuParameters.table(), ControllerParameters.table()
        mvu["Lanes"] = replace(mvu["Lanes"], allowed=LANES)
        return {**super().table(), **mvu, **{name: controller[name] for name in _CONTROLLER}}

    @classmethod
    def of_rtl(cls, parameters: Mapping[str, Any]) -> Self:
        """From parameters under the names of the RTL's top module; those left out have their defaults."""
        mvus = parameters.get("Mvus", cls().mvus)
        controller = {name: parameters[name] for name in _CONTROLLER if name in parameters}
        mvu = {name: value for name, value in parameters.items() if name not in (*_CONTROLLER, "Mvus")}
        return cls(
            mvus, MvuParameters.of_rtl(mvu), ControllerParameters.of_rtl({"Harts": mvus, **controller})
        )

    @property
    def rtl(self) -> dict[str, Any]:
        """Parameters under the names of the RTL's top module."""
        controller = self.controller.rtl
        return {"Mvus": self.mvus, **self.mvu.rtl, **{name: controller[name] for name in _CONTROLLER}}
