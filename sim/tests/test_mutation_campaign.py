# SPDX-License-Identifier: Apache-2.0
"""A campaign of mutants from the command line: verdicts, report, reviews, resuming, bad input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from assay.sim import ROOT, outputs
from assay.sim.command_line import main
from assay.sim.mutation import campaign, command
from assay.sim.tests.mutated.block import BLOCK
from assay.tb.block import Block

EQUIVALENT = "value_i < least_q -> value_i <= least_q"
OVERLOOKED = {"count_q != 4'd15 -> 1'b1", "4'd15 -> 4'he"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for outputs; builds come from the cache."""
    cache = outputs.build_root()
    monkeypatch.setattr(outputs, "outputs", lambda block=None: tmp_path / "out")
    monkeypatch.setattr(outputs, "build_root", lambda block=None: cache)
    monkeypatch.setattr(command, "review_file", lambda block: tmp_path / "mutants.toml")
    return tmp_path


@pytest.fixture
def block(require_simulator) -> Block:
    require_simulator("verilator")
    pytest.importorskip("pyosys", reason="pyosys is missing: pip install pyosys")
    return BLOCK


def mutate(block: Block, *words: str) -> int:
    return main(["mutate", "--top", block.name, "--jobs", "2", *words], {block.name: block})


def entries(folder: Path) -> dict[str, dict]:
    lines = (
        (folder / "out" / "reports" / "mutation" / "mutated.jsonl").read_text(encoding="utf-8").splitlines()
    )
    return {entry["what"]: entry for entry in map(json.loads, lines)}


@pytest.mark.simulation
def test_a_campaign_finds_what_the_bench_overlooks(
    block: Block, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mutate(block) == 1
    printed = capsys.readouterr().out
    found = entries(here)
    assert found[EQUIVALENT]["state"] == "equivalent"
    assert found[EQUIVALENT]["stage"] == "proof"
    alive = {what for what, entry in found.items() if entry["state"] == "survived"}
    assert alive >= OVERLOOKED
    by_default = found["value_i < least_q -> 1'b0"]
    assert (by_default["state"], by_default["test"], by_default["stage"]) == (
        "killed",
        "least",
        "default run",
    )
    assert by_default["check"] == "least"
    assert by_default["clocks"] >= 0
    by_all = found["count_q + 4'd1 -> count_q - 4'd1"]
    assert (by_all["state"], by_all["test"], by_all["stage"]) == ("killed", "least_and_count", "full bench")
    assert by_all["tests"] == ["least", "least_and_count"]
    for what in OVERLOOKED:
        assert what in printed
    again = re.search(r"one of them again: make mutate .*MUTANTS=(\w+)", printed)
    assert again is not None
    page = (here / "out" / "reports" / "mutation" / "mutated.html").read_text(encoding="utf-8")
    assert "smallest" in page
    assert 'class="alive"' in page
    assert "http" not in page.replace("http-equiv", "")

    # What is known is not run again, and one that is named is.
    before = len((here / "out/reports/mutation/mutated.jsonl").read_text().splitlines())
    assert mutate(block) == 1
    assert f"{len(found)} results are known" in capsys.readouterr().out
    assert len((here / "out/reports/mutation/mutated.jsonl").read_text().splitlines()) == before
    assert mutate(block, "--mutants", again[1]) == 1
    assert len((here / "out/reports/mutation/mutated.jsonl").read_text().splitlines()) > before

    # Reviewed survivors do not fail; a review of nothing does.
    capsys.readouterr()
    reviews = "".join(
        f'["{found[what]["key"]}"]\nline = "smallest.sv: {what}"\nstate = "accepted"\nreason = "a test"\n'
        for what in alive
    )
    (here / "mutants.toml").write_text(reviews, encoding="utf-8")
    assert mutate(block) == 0
    (here / "mutants.toml").write_text('complete = ["smallest"]\n' + reviews, encoding="utf-8")
    assert mutate(block, "--complete", "--minutes", "5", "--day", "2026-11-30") == 0
    settled(block, here, capsys)
    (here / "mutants.toml").write_text(f'{reviews}[gone]\nline = "a: b"\nstate = "accepted"\nreason = "r"\n')
    assert mutate(block) == 1
    assert "gone          is reviewed and there is no such mutant" in capsys.readouterr().out
    key = by_all["key"]
    (here / "mutants.toml").write_text(
        f'{reviews}["{key}"]\nline = "a: b"\nstate = "equivalent"\nreason = "r"\n', encoding="utf-8"
    )
    assert mutate(block) == 1
    assert f"{key:<13} is reviewed as equivalent, and least_and_count kills it" in capsys.readouterr().out
    assert not list((here / "out").glob("runs/*/*"))  # no run is left for `make waves` to find


def settled(block: Block, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What --settle wrote is not run by --complete, as long as the RTL is what it was."""
    assert mutate(block, "--settle") == 0
    path = here / "mutants.settled.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    equivalent = set(content["smallest"]["equivalent"])
    assert equivalent == {e["key"] for e in entries(here).values() if e["state"] == "equivalent"} != set()
    for journal in (here / "out").rglob("*.jsonl"):
        journal.unlink()
    assert mutate(block, "--complete") == 0
    assert not equivalent & {entry["key"] for entry in entries(here).values()}
    content["smallest"]["design"] = "another"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert mutate(block, "--complete") == 0
    assert equivalent <= {entry["key"] for entry in entries(here).values()}
    path.write_text("[1]", encoding="utf-8")
    capsys.readouterr()
    assert mutate(block, "--complete") == 2
    assert "remove it and settle again" in capsys.readouterr().err
    path.unlink()


@pytest.mark.simulation
def test_a_mutant_whose_time_was_over_is_not_called_alive(
    block: Block, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign._Campaign, "_prove", lambda self, group, alive: list(alive))
    run_stage = campaign._Campaign._run_stage

    def until_the_full_bench(self, group, stage, names, waiting):
        if stage == campaign.FULL:
            group.deadline = 0
        return run_stage(self, group, stage, names, waiting)

    monkeypatch.setattr(campaign._Campaign, "_run_stage", until_the_full_bench)
    assert mutate(block) == 0
    assert {entry["state"] for entry in entries(here).values()} == {"killed", "survived"}


@pytest.mark.simulation
def test_a_design_that_fails_without_a_fault_is_no_campaign(
    block: Block, here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = block.source_files()[0].read_text(encoding="utf-8").replace("least_q <= '1", "least_q <= '0")
    (tmp_path / "smallest.sv").write_text(source, encoding="utf-8")
    broken = replace(block, sources=("smallest.sv",), root=tmp_path)
    assert mutate(broken) == 1
    assert "the design without a fault does not pass, so no mutant is run" in capsys.readouterr().err


@pytest.mark.simulation
def test_a_campaign_that_was_killed_goes_on(block: Block, tmp_path: Path) -> None:
    script = tmp_path / "campaign.py"
    script.write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from assay.sim import outputs\n"
        "from assay.sim.command_line import main\n"
        "from assay.sim.tests.mutated.block import BLOCK\n"
        f"outputs.outputs = lambda block=None: Path({str(tmp_path)!r}) / 'out'\n"
        f"outputs.build_root = lambda block=None: Path({str(outputs.build_root())!r})\n"
        "sys.exit(main(['mutate', '--top', 'mutated', '--jobs', '1'], {'mutated': BLOCK}))\n",
        encoding="utf-8",
    )
    journal = tmp_path / "out" / "reports" / "mutation" / "mutated.jsonl"
    killed = 0
    for lines in (1, 4):
        with subprocess.Popen(
            [sys.executable, script], cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE
        ) as process:
            ends = time.monotonic() + 300
            while time.monotonic() < ends and process.poll() is None:
                if journal.is_file() and len(journal.read_bytes().splitlines()) >= killed + lines:
                    break
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
        killed = len(journal.read_bytes().splitlines())
    states = [json.loads(line)["state"] for line in journal.read_text().splitlines()]
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert re.search(rf"; {states.count('killed')} results are known", done.stdout)
    found = [json.loads(line) for line in journal.read_text().splitlines()]
    by_default = [entry["key"] for entry in found if entry["stage"] == "default run"]
    assert len(by_default) == len(set(by_default))  # nothing was run twice
    assert {entry["what"] for entry in found} >= {EQUIVALENT, *OVERLOOKED}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--modules", "smalest"], "unknown module of mutated 'smalest' (did you mean smallest?)"),
        (["--mutants", "ffffffffff"], "no mutant of mutated has the key ffffffffff"),
        (["--minutes", "soon"], "--minutes soon: allowed are numbers from 0"),
        (["--jobs", "0"], "--jobs 0: allowed are numbers from 1"),
        (["--modules", ""], "is empty"),
        (["--complete"], "no module is called complete"),
        (["--settle"], "no module is called complete"),
        (["--settle", "--modules", "smallest"], "leave --modules away"),
        (["--complete", "--modules", "smallest"], "leave --modules away"),
    ],
)
def test_bad_input_is_refused(
    words: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert mutate(BLOCK, *words) == 2
    except SystemExit as end:  # argparse's own
        assert end.code == 2
    assert message in capsys.readouterr().err
    assert not (here / "out").exists()


def test_lists_and_patches(here: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert mutate(BLOCK, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if EQUIVALENT in line]
    assert mutate(BLOCK, "--patch", "--mutants", line.split()[0]) == 0
    patch = capsys.readouterr().out
    target = tmp_path / "sim" / "tests" / "mutated"
    target.mkdir(parents=True)
    source = BLOCK.source_files()[0].read_text(encoding="utf-8")
    (target / "smallest.sv").write_text(source, encoding="utf-8")
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch, text=True, check=True)
    assert (target / "smallest.sv").read_text(encoding="utf-8") == source.replace(
        "value_i < least_q ?", "(value_i <= least_q) ?"
    )
