# SPDX-License-Identifier: Apache-2.0
"""The abilities of a block beyond its own tests: run networks, play vector sets, run programs, soak, be measured.

Each capability owns its variables and options, and the checks that come before a simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from assay.golden.lowering import SCALES, Lowering
from assay.golden.lowering.walk import LAYOUTS
from assay.tb.cases import Case, Cases, read_case
from assay.tb.errors import AssayError, unknown
from assay.tb.options import (
    CASE_OPTIONS,
    NETWORK_OPTIONS,
    PROGRAM_OPTIONS,
    SOAK_OPTIONS,
    VECTOR_OPTIONS,
    Option,
)

if TYPE_CHECKING:
    from assay.tb.block import Block
    from assay.tb.model import EngineModel

__all__ = [
    "CAPABILITIES",
    "Benchmarks",
    "Capability",
    "Command",
    "PlaysCases",
    "PlaysVectorSets",
    "RunsNetworks",
    "RunsPrograms",
    "Soaks",
]


class Command(NamedTuple):
    """A command of its own on the command line, which runs a capability's test.

    Attributes:
        name: of the command.
        text: its help.
        variable: what it cannot do without.
        default: what that is where it is not given; empty: it must be given.
    """

    name: str
    text: str
    variable: str
    default: str = ""


class Capability:
    """Base of the capabilities. A block holds at most one of each class.

    Attributes:
        options: its variables and options; a run of the block sees each that is given as ``ASSAY_<variable>``.
        lacks: the end of the sentence "<block> ..." for a block without it.
        having: who has it, in the same sentence.
        command: the command that is its own, if any.
        trigger: the variable without which its other ones mean nothing, and that selects `test`.
        test: cocotb test that it plays; empty: the block's default tests.
    """

    options: ClassVar[tuple[Option, ...]] = ()
    lacks: ClassVar[str] = ""
    having: ClassVar[str] = ""
    command: ClassVar[Command | None] = None
    trigger: ClassVar[str] = ""
    test: str = ""

    def adapt(self, block: Block, given: Mapping[str, str], parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The HDL parameters that the user gave, with those that his files ask for.

        Raises:
            AssayError: what the user gave is not what they ask for.
        """
        return dict(parameters)

    def check(self, block: Block, given: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        """Refuse, before anything is built, what the block cannot run.

        Args:
            given: variables of `options` -> text, those that the user gave.
            parameters: all HDL parameters of the build.

        Raises:
            AssayError, GoldenError: names the variable, its value and what is allowed.
        """


@dataclass(frozen=True)
class RunsNetworks(Capability):
    """The block's bench runs networks (MODEL), and with `model` the block is an engine of ``predict`` and `sim.load`.

    Attributes:
        refuse: called before a simulation as ``refuse(model, inputs, parameters, lowering)``, where empty paths mean
            the block's own network; raises `GoldenError` for what the block cannot run.
        model: class of its networks on simulated hardware; None: it is no engine.
        engine: module beside the declaration whose cocotb test ``serve`` plays what `model` sends.
        test: cocotb test that runs the network; empty: the block's default tests.
    """

    refuse: Callable[[str, str, Mapping[str, Any], Lowering], None]
    model: type[EngineModel] | None = None
    engine: str = "engine"
    test: str = ""

    options: ClassVar[tuple[Option, ...]] = NETWORK_OPTIONS
    lacks: ClassVar[str] = "runs no models of its user's"
    having: ClassVar[str] = "blocks that run them"
    trigger: ClassVar[str] = "MODEL"

    def check(self, block: Block, given: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        """See `Capability.check`; without a model, the block's own must fit the parameters."""
        lowering = Lowering(*(given.get(name.upper(), "") for name in Lowering._fields))
        for name, allowed in (("SCALES", SCALES), ("INPUT_LAYOUT", LAYOUTS)):
            if (value := given.get(name)) and value not in allowed:
                raise unknown(name, value, allowed)
        for name, value in given.items():
            if "MODEL" not in given:
                raise AssayError(f"{name}={value} without MODEL: it belongs to a model of your own")
        self.refuse(given.get("MODEL", ""), given.get("INPUTS", ""), parameters, lowering)


@dataclass(frozen=True)
class PlaysVectorSets(Capability):
    """The block's bench plays vector sets (VECTORS).

    Attributes:
        parameters: reads a set's folder, checks it and gives the HDL parameters it was made for.
        test: cocotb test that plays it.
    """

    parameters: Callable[[Path], Mapping[str, Any]]
    test: str = "vector_set"

    options: ClassVar[tuple[Option, ...]] = VECTOR_OPTIONS
    lacks: ClassVar[str] = "plays no vector sets"
    having: ClassVar[str] = "blocks that play them"
    trigger: ClassVar[str] = "VECTORS"

    def adapt(self, block: Block, given: Mapping[str, str], parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See `Capability.adapt`; what the set was made for must agree with what the user gave."""
        if "VECTORS" not in given:
            return dict(parameters)
        folder = given["VECTORS"]
        return _made_for(block, f"vector set {folder}", self.parameters(Path(folder)), parameters)


@dataclass(frozen=True)
class PlaysCases(Capability):
    """The block's bench plays cases (CASE), and those that are kept beside its declaration; see `tb.cases`.

    Attributes:
        kind: what the block says of its cases.
        test: cocotb test that plays them; without CASE, the kept ones of the build.
    """

    kind: Cases
    test: str = "cases"

    options: ClassVar[tuple[Option, ...]] = CASE_OPTIONS
    lacks: ClassVar[str] = "plays no cases"
    having: ClassVar[str] = "blocks that play them"
    trigger: ClassVar[str] = "CASE"

    def read(self, block: Block, path: Path) -> Case:
        """A case of the block; errors as `tb.cases.read_case`."""
        return read_case(path, self.kind, block.name)

    def adapt(self, block: Block, given: Mapping[str, str], parameters: Mapping[str, Any]) -> dict[str, Any]:
        """See `Capability.adapt`; what the case was made for must agree with what the user gave."""
        if "CASE" not in given:
            return dict(parameters)
        path = given["CASE"]
        return _made_for(block, f"case {path}", self.read(block, Path(path)).parameters, parameters)


@dataclass(frozen=True)
class RunsPrograms(Capability):
    """The block's bench runs programs of a processor (ELF).

    Attributes:
        refuse: called before a simulation as ``refuse(path, parameters, settings)``, the settings by variable; raises
            `GoldenError` for a program that the block cannot run.
        test: cocotb test that runs it.
        harts: HDL parameter that counts the hardware threads; without it there is one.
    """

    refuse: Callable[[str, Mapping[str, Any], Mapping[str, str]], None]
    test: str = "elf"
    harts: str = "Harts"

    options: ClassVar[tuple[Option, ...]] = PROGRAM_OPTIONS
    lacks: ClassVar[str] = "runs no programs"
    having: ClassVar[str] = "blocks that run them"
    trigger: ClassVar[str] = "ELF"
    command: ClassVar[Command | None] = Command(
        "run-elf", "run a program on the RTL in lock-step with the golden simulator", "ELF"
    )

    def check(self, block: Block, given: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        """See `Capability.check`."""
        for name in ("HARTS", "LIMIT", "TOHOST"):
            if name in given:
                _positive(name, given[name])
        count = int(parameters.get(self.harts, 1))
        if "HARTS" in given and int(given["HARTS"], 0) >> count:
            raise AssayError(
                f"HARTS={given['HARTS']}: a mask of {count} harts is at most 0x{(1 << count) - 1:x}"
            )
        for name, value in given.items():
            if "ELF" not in given:
                raise AssayError(f"{name}={value} without ELF: it belongs to a program")
        if "ELF" in given:
            self.refuse(given["ELF"], parameters, given)


@dataclass(frozen=True)
class Soaks(Capability):
    """The block's bench has a test that goes on until N instructions have retired; it has no limit of time.

    Attributes:
        test: the cocotb test.
    """

    test: str = "soak"

    options: ClassVar[tuple[Option, ...]] = SOAK_OPTIONS
    lacks: ClassVar[str] = "has no soak"
    having: ClassVar[str] = "blocks that have one"
    command: ClassVar[Command | None] = Command(
        "soak", "run random programs in lock-step until N instructions are compared", "N", "10000000"
    )

    def check(self, block: Block, given: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
        """See `Capability.check`."""
        if "N" in given:
            _positive("N", given["N"])


@dataclass(frozen=True)
class Benchmarks(Capability):
    """``make bench`` measures the block: see `sim.bench`.

    Attributes:
        tests: cocotb tests, each with what it measures. The first leaves ``traffic.bin`` and ``expected.bin``, the
            harness's commands and answers; each leaves ``speed.json`` with ``clocks`` and ``seconds``.
        harness: C++ source that plays the same traffic on the block's RTL alone; prints clocks, seconds and ``count``.
        counted: what ``count`` in ``speed.json`` counts beside clocks; empty: nothing.
        harness_meaning: what the harness is, for the table.
    """

    tests: Mapping[str, str] = field(default_factory=dict)
    harness: str = ""
    counted: str = ""
    harness_meaning: str = "plain C++ harness"

    lacks: ClassVar[str] = "has no benchmark"
    having: ClassVar[str] = "blocks that have one"


CAPABILITIES: tuple[type[Capability], ...] = (
    RunsNetworks,
    PlaysVectorSets,
    PlaysCases,
    RunsPrograms,
    Soaks,
    Benchmarks,
)
"""Those that Assay's command line has variables and commands for."""


def _made_for(
    block: Block, what: str, wanted: Mapping[str, Any], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters that the user gave, with those that differ from the block's defaults in a file of his.

    Raises:
        AssayError: they do not agree.
    """
    wanted = {name: value for name, value in wanted.items() if name in block.table}
    for name, value in parameters.items():
        if wanted.get(name, value) != value:
            raise AssayError(f"parameter {name}={value}: {what} was made for {name}={wanted[name]}")
    block.resolve_parameters(wanted)
    defaults = block.resolve_parameters({})
    return {**parameters, **{name: value for name, value in wanted.items() if value != defaults[name]}}


def _positive(name: str, text: str) -> None:
    """Refuse what is no positive number."""
    try:
        if int(text, 0) > 0:
            return
    except ValueError:
        pass
    raise AssayError(f"{name}={text}: must be a positive integer")
