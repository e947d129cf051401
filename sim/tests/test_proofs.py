# SPDX-License-Identifier: Apache-2.0
"""Proofs of the RTL's properties: each holds, each fails for its planted bugs, and a failure says what failed where."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from assay.sim import ROOT, command_line, yosys
from assay.sim.proofs import prove
from assay.sim.proofs import solver as solver_program
from assay.sim.proofs.table import PROOFS, Bug, Proof
from assay.sim.proofs.trace import Trace
from assay.tb.errors import AssayError, BuildFailed

FIFO = PROOFS[0]

CASES = [
    pytest.param(proof, values, id=f"{proof.name}{'-'.join(f'-{k}{v}' for k, v in values.items())}")
    for proof in PROOFS
    for values in proof.parameters
]
BUGS = [
    pytest.param(proof, bug, id=f"{proof.name}-{number}-{bug.finds}")
    for proof in PROOFS
    for number, bug in enumerate(proof.bugs)
]


@pytest.fixture
def solver() -> None:
    """Skip where the extra `formal` is not installed."""
    if missing := yosys.missing_packages(prove.MODULES, prove.PROGRAMS):
        pytest.skip(f"{missing[0]} is missing: pip install {' '.join(missing)}")


@pytest.fixture
def edited(tmp_path: Path) -> Proof:
    """The FIFO's proof with copies of its sources, to be edited."""
    for name in FIFO.sources:
        (tmp_path / Path(name).name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    sources = tuple(str(tmp_path / Path(name).name) for name in FIFO.sources)
    return replace(FIFO, sources=sources, bugs=(), parameters=({"Depth": 3},))


def edit(proof: Proof, number: int, old: str, new: str) -> None:
    path = Path(proof.sources[number])
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def run(proof: Proof, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    monkeypatch.setattr(prove, "PROOFS", (proof,))
    lines: list[str] = []
    return prove.run([], lines.append), lines


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize(("proof", "parameters"), CASES)
def test_holds(proof: Proof, parameters: Mapping[str, int]) -> None:
    found, where = prove.find(proof, parameters)
    assert found is None, f"{found.instances} in clock {found.clock}, {where}\n{found.trace.text(6)}"


@pytest.mark.usefixtures("solver")
@pytest.mark.parametrize(("proof", "bug"), BUGS)
def test_planted_bug_is_found(proof: Proof, bug: Bug) -> None:
    assert prove.missed_bug(proof, bug) == ""


def test_every_proof_has_bugs() -> None:
    assert all(proof.bugs for proof in PROOFS)
    assert len({proof.name for proof in PROOFS}) == len(PROOFS)
    for proof in PROOFS:
        breakable = {*proof.properties, *(proof.helpers if proof.bugs_by_induction else ())}
        assert all(bug.finds in breakable for bug in proof.bugs)


def test_what_is_proved_elsewhere_is_proved() -> None:
    proved = {name for proof in PROOFS for name in (*proof.properties, *proof.helpers)}
    assert all(set(proof.elsewhere) <= proved - {*proof.properties, *proof.helpers} for proof in PROOFS)


@pytest.mark.usefixtures("solver", "own_outputs")
def test_failure_names_property_clock_and_values(
    edited: Proof, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(edited, 0, "assign push     = wvalid_i & wready_o;", "assign push     = wvalid_i;")
    status, lines = run(edited, monkeypatch)
    assert status == 1
    # Reset, three words that fill it, and a fourth that must not go in.
    assert lines[0] == "FAILED fifo Depth=3: clock 5, from reset"
    assert any(
        re.fullmatch(r"       u_dut\.pointers_apart \(.*/fifo\.sv:\d+\) does not hold", line)
        for line in lines
    )
    assert lines[-1] == "prove: 0 of 1 proofs hold"
    table = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert table["clock"] == ["0", "1", "2", "3", "4", "5"]
    assert table["held_q"][1:5] == ["0", "1", "2", "3"]
    assert table["wready"][-1] == "1" and table["rst_ni"][0] == "0"
    waves = Path(next(line for line in lines if "waves: " in line).partition("waves: ")[2])
    assert Trace.read(waves).clocks == 6


@pytest.mark.usefixtures("solver", "own_outputs")
def test_induction_that_fails_is_told_from_a_violation(
    edited: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(edited, 0, "  `ASSERT(pointers_apart, ", "  `ASSERT(pointers_apart, 1'b1 || ")
    status, lines = run(replace(edited, clocks=4), monkeypatch)
    assert status == 1 and lines[0] == f"FAILED fifo Depth=3: clock 1, {prove.FROM_ANY_STATE}"


@pytest.mark.usefixtures("solver")
def test_bug_that_changes_nothing_is_reported(edited: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    name = edited.sources[0]
    bug = Bug(name, "assign count_o  = count_q;", "assign count_o  = count_q + 1'b0;", "counts")
    status, lines = run(replace(edited, bugs=(bug,), clocks=4), monkeypatch)
    assert (
        status == 1
        and "0 of 1 planted bugs found" in lines[0]
        and "counts should fail, but holds for 4 clocks" in lines[1]
    )


@pytest.mark.usefixtures("solver")
def test_property_that_vanished_is_reported(edited: Proof, tmp_path: Path) -> None:
    edit(edited, 1, "  `ASSERT(counts, int'(count) == held_q)\n", "  `ASSERT(other, 1'b1)\n")
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(BuildFailed, match="which lacks counts and has other"):
        prove.build(edited, folder, {})


@pytest.mark.usefixtures("solver")
def test_error_of_the_sources_is_told(edited: Proof, tmp_path: Path) -> None:
    edit(edited, 0, "assign count_o  = count_q;", "assign count_o  = count_x;")
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(BuildFailed, match=r"fifo\.sv:\d+:.*count_x"):
        prove.build(edited, folder, {})


def test_bug_whose_text_is_gone_is_refused(edited: Proof, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(AssayError, match=r"fifo\.sv must hold 'no such text' once"):
        prove.build(edited, folder, {}, Bug(edited.sources[0], "no such text", "", "counts"))


def test_command_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert command_line.main(["prove", "--list", "mvu_serialiser"]) == 0
    text = capsys.readouterr().out
    assert "mvu_serialiser: blocks come out in order" in text and "  assumes precision_stays: " in text
    assert command_line.main(["prove", "fiffo"]) == 2
    assert "unknown proof 'fiffo' (did you mean fifo?)" in capsys.readouterr().err
    monkeypatch.setitem(prove.PROGRAMS, "no-such-program", "no-such-package")
    assert command_line.main(["prove", "fifo"]) == 3
    said = capsys.readouterr().err
    assert "pip install " in said and "no-such-package (make prove" in said


def test_solver_takes_commands_as_they_are_written() -> None:
    text = "(set-logic QF_BV) ; (a comment\n(declare-fun |a ( ; b| ()\n  Bool)\n\n(check-sat)\n"
    assert list(solver_program.commands(text.splitlines(keepends=True))) == [
        "(set-logic QF_BV)",
        "(declare-fun |a ( ; b| ()\n  Bool)",
        "(check-sat)",
    ]


@pytest.mark.usefixtures("solver")
def test_solver_answers(tmp_path: Path) -> None:
    solver_program.make_program(tmp_path)
    asked = "(declare-fun x () Bool)\n(assert x)\n(check-sat)\n(assert (not x))\n(check-sat)\n"

    def answer(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(tmp_path / solver_program.SOLVER)], input=text, capture_output=True, text=True, check=False
        )

    assert answer(f"(set-logic QF_BV)\n{asked}(exit)\n").stdout == "sat\nunsat\n"
    wrong = answer("(assert nothing)\n")
    assert wrong.returncode == 1 and "bitwuzla: " in wrong.stderr
