# SPDX-License-Identifier: Apache-2.0
"""Builds that must not differ: a race and a fault that one build alone has are named by stream, word and time."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assay.sim import differential, project
from assay.sim.blocks import discover
from assay.sim.command_line import main
from assay.sim.differential import Build
from assay.sim.tests import repository
from assay.sim.words import Difference, Word, collect, differences

DECLARATION = """\
from ASSAY_TB.block import Block
BLOCK = Block(__name__, summary="passes words on", hdl_top="passer", sources=("rtl/passer.sv",), publish=("*",),
    default_tests=("passes",))
"""

RTL = """\
module passer (input wire clk, input wire x_valid, input wire [7:0] x, output reg y_valid, output reg [7:0] y);
  reg [3:0] count = 0;
  initial y_valid = 0;
`ifdef PLANTED
  wire late = x == 8'd77;
`else
  wire late = 0;
`endif
`ifdef RACE
  always @(posedge clk) if (x_valid) y[7:4] <= count;
  always @(posedge clk) if (x_valid) count = count + 1;
`else
  always @(posedge clk) if (x_valid) begin y[7:4] <= count; count <= count + 1; end
`endif
  always @(posedge clk) begin
    y_valid <= x_valid;
    if (x_valid) y[3:0] <= x[3:0] ^ {3'b0, late};
  end
endmodule
"""

BENCH = """\
import os
import cocotb, numpy as np
from cocotb.triggers import ClockCycles
from ASSAY_TB.agents.clocking import Clocking, start_clock
from ASSAY_TB.agents.port import PortDriver, PortMonitor
from ASSAY_TB.agents.signals import Signal
from ASSAY_TB.report import Report

@cocotb.test()
async def passes(dut):
    \"\"\"It looks at no bit of the words, only counts them.\"\"\"
    start_clock(dut.clk)
    with Report("passer", "", int(os.environ["COCOTB_RANDOM_SEED"])) as report:
        clocking = Clocking(dut.clk)
        def came(beats):
            report.words_compared += len(beats)
        x = PortDriver(clocking, "x", {"x": Signal(dut, "x")}, Signal(dut, "x_valid"), None)
        PortMonitor(clocking, "y", {"y": Signal(dut, "y")}, Signal(dut, "y_valid"), None, callback=came)
        clocking.running = True
        await x.send(np.arange(100, dtype=np.uint8).reshape(-1, 1))
        await ClockCycles(dut.clk, 50)
    report.check()

@cocotb.test()
async def talks_to_nobody(dut):
    \"\"\"No port of an agent: nothing is recorded.\"\"\"
    start_clock(dut.clk)
    with Report("passer", "", 1) as report:
        await ClockCycles(dut.clk, 5)
        report.words_compared += 1
    report.check()
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one block more. One for all tests: a process imports one `tb` of a user's alone."""
    folder = repository.write(tmp_path_factory.mktemp("passer"))
    (folder / "rtl" / "passer.sv").write_text(RTL, encoding="utf-8")
    repository.declare(folder, "passer", DECLARATION)
    bench = BENCH
    for word, meaning in repository.NAMES.items():
        bench = bench.replace(word, meaning)
    (folder / "tb" / "passer" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "tb" / "passer" / "test_passer.py").write_text(bench, encoding="utf-8")
    return folder


@pytest.fixture
def passer(
    written: Path, require_simulator: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The repository, in which a test works; the process forgets it afterwards."""
    require_simulator("icarus")
    monkeypatch.chdir(written)
    before = {name for name in sys.modules if name.partition(".")[0] in ("tb", "sim")}
    yield written
    for name in [n for n in sys.modules if n.partition(".")[0] in ("tb", "sim") and n not in before]:
        del sys.modules[name]
    project.in_use.pop(written.resolve(), None)
    shutil.rmtree(written / "assay_out" / "runs", ignore_errors=True)


def run(capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    status = main(["differential", "--top", "passer", *more], discover(""))
    return status, capsys.readouterr().out


@pytest.mark.simulation
def test_builds_that_agree(passer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(capsys)
    assert status == 0, text
    assert "PASS  differential, seed 1: 1 of 1 blocks agree in 4 builds, 200 words each" in text
    (verdict,) = json.loads((passer / "assay_out" / "reports" / "differential.json").read_text())
    assert (
        verdict["words"] == 200
        and verdict["streams"] == 2
        and set(verdict["seconds"]) == {build.name for build in differential.BUILDS}
    )


@pytest.mark.simulation
@pytest.mark.parametrize("build", [0, 3])
def test_fault_of_one_build_alone(
    build: int, passer: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that the bench does not look at, in one of a hundred words."""
    builds = list(differential.BUILDS)
    one = builds[build]
    builds[build] = Build(one.name, one.simulator, (*one.compile_args, "-DPLANTED"))
    monkeypatch.setattr(differential, "BUILDS", tuple(builds))
    status, text = run(capsys)
    assert status == 1
    assert text.count("FAIL  passer: ") == (3 if build == 0 else 1)  # the others against the first
    assert "stream y, word 77, the first that differs:" in text
    right, wrong = (f"0x{(77 % 16 << 4) + value:02x} at " for value in (13, 12))
    assert right in text and wrong in text
    replays = [line for line in text.splitlines() if "assay run" in line]
    assert any("--compile-arg=-DPLANTED" in line for line in replays)
    assert all("--words" in line and "--seed 1" in line for line in replays)
    # The commands give the same words again, each its own.
    words = {}
    for line in replays[:2]:
        command = line.partition("assay run ")[2].split()
        done = repository.assay(passer, "run", *command)
        assert done.returncode == 0, done.stdout + done.stderr
        for path in (passer / "assay_out" / "runs").glob("*/words/y.gz"):
            if "differential" not in path.parts[-3]:
                words[path.parts[-3]] = gzip.decompress(path.read_bytes())
    first, second = words.values()
    assert first != second


@pytest.mark.simulation
def test_race_is_found(
    passer: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes of one edge, of which one reads what the other writes at once: each order is legal."""
    monkeypatch.setattr(
        differential,
        "BUILDS",
        tuple(Build(b.name, b.simulator, (*b.compile_args, "-DRACE")) for b in differential.BUILDS),
    )
    status, text = run(capsys)
    assert status == 1, text
    assert "FAIL  passer: usual flags and Icarus differ" in text
    assert "stream y, word 0, the first that differs:" in text


@pytest.mark.simulation
def test_nothing_recorded_is_a_failure(passer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = passer / "tb" / "passer" / "block.py"
    text = path.read_text()
    path.write_text(text.replace('("passes",)', '("talks_to_nobody",)'))
    done = repository.assay(passer, "differential", "--top", "passer")
    path.write_text(text)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the run with usual flags recorded no word, so nothing was compared" in done.stdout
    assert "the run with Icarus recorded no word, so nothing was compared" in done.stdout


def recorded(folder: Path, name: str, *lines: str) -> dict:
    folder.mkdir(exist_ok=True)
    (folder / f"top.u_{name}_sink.sink.words").write_text("".join(f"{line}\n" for line in lines))
    return collect(folder, "top")


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        (["15 0a", "25 0b"], ["15 0A", "25 0b"], None),
        (["15 0a", "25 0b"], ["15 0a", "25 xb"], None),
        (["15 0a"], ["15 XX"], None),
        (["15 0a"], ["25 xx"], (0, Word(15, "0a"), Word(25, "xx"))),
        (["15 0a", "25 0b"], ["15 0a"], (1, Word(25, "0b"), None)),
        (["15 0a", "25 0b"], ["15 0a", "25 0c"], (1, Word(25, "0b"), Word(25, "0c"))),
        (["15 0a"], ["15 0ab"], (0, Word(15, "0a"), Word(15, "0ab"))),
        ([], ["15 0a"], (0, None, Word(15, "0a"))),
    ],
)
def test_first_difference(ours: list[str], theirs: list[str], found: tuple | None, tmp_path: Path) -> None:
    folders = tmp_path / "ours", tmp_path / "theirs"
    streams = recorded(folders[0], "out", *ours), recorded(folders[1], "out", *theirs)
    assert streams[0]["out"]["words"] == len(ours)
    expected = [] if found is None else [Difference("out", found[0], (found[1], found[2]))]
    assert differences(folders, streams) == expected


def test_stream_that_one_run_lacks(tmp_path: Path) -> None:
    folders = tmp_path / "ours", tmp_path / "theirs"
    streams = recorded(folders[0], "in", "15 0a"), recorded(folders[1], "out", "5 0b")
    assert [each.stream for each in differences(folders, streams)] == ["out", "in"]


def test_x_digits_on_both_sides_at_the_first_word(tmp_path: Path) -> None:
    """An unknown digit excuses no other."""
    folders = tmp_path / "ours", tmp_path / "theirs"
    streams = recorded(folders[0], "out", "15 ab"), recorded(folders[1], "out", "15 xc")
    assert differences(folders, streams)
