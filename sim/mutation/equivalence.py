# SPDX-License-Identifier: Apache-2.0
"""Mutants that no input can tell from the design, by proof (yosys).

A module with the fault is compared with the module without it, for all inputs and from all states: the registers of
both hold equal values, then all that they hold next and all outputs must be equal. A module's own modules are part of
it. That is more than the design around it asks for, which may never give some inputs or reach some states: a mutant
that is not proved equivalent may still be so.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.sim.elaborate import Elaborated
from assay.sim.mutation.mutant import Mutant
from assay.sim.yosys import missing_packages, run_yosys
from assay.tb.errors import BuildFailed

_EACH = (
    "proc",
    "flatten",
    "memory -nomap",
    "opt_clean",
    # A loop of logic would be proved by assuming itself.
    "check -assert",
)
"""Of the design and of the mutant: registers, logic, and memories as they are."""

_REGISTERS_ALONE = "rename -hide w:* x:* %d t:$dff t:$dffe %u %co1 w:* %i %d"
"""Wires between registers are not compared: they may differ where nobody looks."""

_COMPARED = (
    "design -copy-from gold -as gold gold",
    "design -copy-from gate -as gate gate",
    "equiv_make gold gate equiv",
    "hierarchy -top equiv",
    # Not with -undef, which calls an adder and a subtracter of undefined inputs equal.
    "equiv_simple",
    "equiv_status -assert",
)

TIME_LIMIT_S = 15
"""For one comparison: what is equivalent is mostly so in a small part of the logic, and then takes a second."""

Parameters = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Prover:
    """Compares modules of a design with their mutants.

    Attributes:
        sources, includes, defines: of the design.
        modules: source -> the modules in it, each with the parameters of its instances.
    """

    sources: Sequence[Path]
    includes: Sequence[Path]
    defines: dict[str, str]
    modules: dict[Path, set[tuple[str, Parameters]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, design: Elaborated, sources: Sequence[Path], includes: Sequence[Path], defines: dict[str, str]
    ) -> Prover:
        """For the instances of an elaborated design."""
        modules: dict[Path, set[tuple[str, Parameters]]] = defaultdict(set)
        manager = design.slang.sourceManager
        unfit: set[Path] = set()
        for top in design.compilation.getRoot().topInstances:
            for body in _bodies(top.body):
                place = manager.getFullyOriginalLoc(body.definition.location)
                file = Path(str(manager.getFullPath(place.buffer))).resolve()
                parameters = _parameters(body)
                if parameters is None:
                    unfit.add(file)
                else:
                    modules[file].add((body.definition.name, parameters))
        known = {file: found for file, found in modules.items() if file not in unfit}
        return cls(sources, includes, defines, known)

    @staticmethod
    def missing() -> str:
        """Why there are no proofs, empty if there can be."""
        packages = missing_packages()
        return f"pip install {' '.join(packages)}" if packages else ""

    def proved(self, mutant: Mutant) -> bool:
        """Whether no input tells the mutant from the design, by itself, in any of its instances."""
        with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
            faulty = Path(scratch) / mutant.file.name
            faulty.write_bytes(mutant.applied(mutant.file.read_bytes()))
            return self.equal(mutant.file, mutant.file, faulty)

    def equal(self, file: Path, one: Path, other: Path, extra: Sequence[Path] = ()) -> bool:
        """Whether the modules of a source are proved equal in two versions of it.

        Args:
            file: the source of the design.
            one, other: what stands in its place.
            extra: sources that come before all others.
        """
        instances = self.modules.get(file.resolve(), set())
        return bool(instances) and all(
            any(self._equal(file, (one, other), extra, instance, more) for more in ((), (_REGISTERS_ALONE,)))
            for instance in sorted(instances)
        )

    def _equal(
        self,
        file: Path,
        versions: tuple[Path, Path],
        extra: Sequence[Path],
        instance: tuple[str, Parameters],
        more: tuple[str, ...],
    ) -> bool:
        module, parameters = instance
        options = ["--no-synthesis-define", "-D SYNTHESIS", "-I include", f"--top {module}"]
        options += [f"-D {name}={text}" for name, text in self.defines.items()]
        options += [f"-G {name}={value}" for name, value in parameters]
        # yosys takes no path with a space: everything is in one folder.
        with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
            folder = Path(scratch)
            (folder / "include").mkdir()
            for include in self.includes:
                for header in include.glob("*.svh"):
                    (folder / "include" / header.name).symlink_to(header)
            commands = []
            for role, version in zip(("gold", "gate"), versions, strict=True):
                names = []
                for number, path in enumerate((*extra, *self.sources)):
                    names.append(f"{role}_{number}.sv")
                    source = version if path == file else path
                    (folder / names[-1]).write_bytes(_synchronous(source.read_bytes()))
                commands += [
                    f"read_slang {' '.join(options)} {' '.join(names)}",
                    *_EACH,
                    *more,
                    f"rename {module} {role}",
                    f"design -stash {role}",
                ]
            try:
                run_yosys([*commands, *_COMPARED], folder, TIME_LIMIT_S)
            except BuildFailed:
                return False
        return True


def _synchronous(source: bytes) -> bytes:
    """A source whose resets work with the clock: a register that a fault keeps from its reset would else be a loop."""
    return re.sub(rb"(@\s*\(\s*posedge\s+\w+)\s+or\s+negedge\s+\w+\s*\)", rb"\1)", source)


def _bodies(body: Any) -> Iterator[Any]:
    """An instance's body and those of all instances in it."""
    yield body
    for member in body:
        yield from _in_member(member)


def _in_member(member: Any) -> Iterator[Any]:
    kind = member.kind.name
    if kind == "Instance":
        yield from _bodies(member.body)
    elif kind in ("GenerateBlock", "GenerateBlockArray", "InstanceArray"):
        if kind == "GenerateBlock" and member.isUninstantiated:
            return
        inside = {"GenerateBlockArray": "entries", "InstanceArray": "elements"}.get(kind)
        for each in getattr(member, inside) if inside else member:
            yield from _in_member(each)


def _parameters(body: Any) -> Parameters | None:
    """The parameters of an instance; None where one is no integer."""
    found = []
    for parameter in body.parameters:
        if parameter.isLocalParam or not parameter.isPortParam:
            continue
        try:
            found.append((parameter.name, int(parameter.value.value)))
        except (AttributeError, TypeError, ValueError):
            return None
    return tuple(found)
