# SPDX-License-Identifier: Apache-2.0
"""Synthesis: each block equals its baseline, and what no design may become is named with module and signal."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from assay.sim import ROOT, command_line, yosys
from assay.sim.blocks import discover
from assay.sim.synth import synth
from assay.sim.synth.findings import find
from assay.sim.synth.mapping import elaborate
from assay.tb.block import Block, Lint, Synth
from assay.tb.errors import AssayError, BuildFailed

BLOCKS = {name: block for name, block in discover().items() if block.synth}


@pytest.fixture(autouse=True)
def pyosys() -> None:
    """Skip where the extra `formal` is not installed."""
    if missing := yosys.missing_packages({}):
        pytest.skip(f"{missing[0]} is missing: pip install {missing[0]}")


@pytest.mark.parametrize("name", BLOCKS)
def test_equals_its_baseline(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One block is mapped whatever has changed, the others if their RTL is not that of the baseline."""
    lines: list[str] = []
    mapped = name == "controller"
    assert synth.run([BLOCKS[name]], {}, False, lines.append, changed=not mapped) == 0, lines
    assert lines[-1].startswith(f"ok      {name}: ")
    assert (" flip-flops " in capsys.readouterr().out) >= mapped


def planted(
    folder: Path, file: str, old: str, new: str, top: str, parameters: Mapping[str, int]
) -> list[str]:
    """What is found in a module of the RTL with an edit."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / Path(file).name).write_text(text.replace(old, new), encoding="utf-8")
    return found_in(folder, Path(file).name, top, parameters)


def found_in(folder: Path, file: str, top: str, parameters: Mapping[str, int]) -> list[str]:
    lint = Lint(top, ("rtl/mvu/mvu_pkg.sv", str(folder / file)))
    block = replace(BLOCKS["mvu"], lint=lint, defines={}, synth=None)
    return find(elaborate(block, lint, parameters), {})


FIFO = "rtl/common/fifo.sv"
RAM = "rtl/common/ram_1r1w.sv"


PLANTED = {
    "a latch in always_comb": (
        FIFO,
        "  assign pop ",
        "  logic odd;\n  always_comb if (push) odd = wdata_i[0];\n  assign pop ",
        "fifo.odd: depends on itself: a branch of always_comb does not assign it, or gates form a loop",
    ),
    "a latch": (
        FIFO,
        "  assign pop ",
        "  logic odd;\n  always_latch if (push) odd = wdata_i[0];\n  assign pop ",
        "fifo.odd: is a latch",
    ),
    "an undriven net": (
        FIFO,
        "  assign pop ",
        "  logic pop_too;\n  assign pop ",
        "fifo.pop_too: has no driver",
    ),
    "an undriven bit": (
        FIFO,
        "  assign pop ",
        "  logic [2:0] pops;\n  assign pops[2] = 1'b0;\n  assign pops[0] = pop;\n  assign pop ",
        "fifo.pops: has no driver of bit 1",
    ),
    "an undriven port": (FIFO, "  assign count_o  = count_q;", "", "fifo.count_o: has no driver"),
    "two drivers": (
        FIFO,
        "  assign pop ",
        "  assign count_o = wdata_i[CountWidth-1:0];\n  assign pop ",
        "fifo.count_o: several drivers",
    ),
    "a memory with reset": (
        RAM,
        "      if (we_i) mem[waddr_i] <= wdata_i;",
        "      if (wpart_i[0]) mem <= '{default: '0};\n      else if (we_i) mem[waddr_i] <= wdata_i;",
        "ram_1r1w.mem: 64 words of 8 bits are flip-flops in place of a memory, because it is reset, or read or "
        "written other than word by word",
    ),
    "a memory read without a clock": (
        RAM,
        "  always_ff @(posedge clk_i) begin\n    if (re_i) rdata_o <= mem[raddr_i];\n  end",
        "  assign rdata_o = re_i ? mem[raddr_i] : '0;",
        "ram_1r1w.mem: 64 words of 8 bits are flip-flops in place of a memory, because it is read without a clock",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_planted_bug_is_named(what: str, tmp_path: Path) -> None:
    file, old, new, sentence = PLANTED[what]
    top = Path(file).stem
    parameters = {"Width": 8, "Depth": 64 if file == RAM else 16}
    assert planted(tmp_path, file, old, new, top, parameters) == [sentence]


@pytest.mark.parametrize("file", [FIFO, RAM])
def test_nothing_is_found_without_a_bug(file: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / file, tmp_path)
    assert found_in(tmp_path, Path(file).name, Path(file).stem, {"Width": 8, "Depth": 16}) == []


INSIDE = """
module inner (input logic a_i, input logic b_i, output logic y_o);
  assign y_o = a_i & b_i;
endmodule
module outer (input logic a_i, output wire y_o, output logic z_o);
  logic open;
  inner u_first (.a_i(a_i), .b_i(a_i), .y_o(y_o));
  inner u_second (.a_i(a_i), .b_i(z_o), .y_o(y_o));
  inner u_third (.a_i(a_i), .b_i(), .y_o(z_o));
  assign open = z_o;
endmodule
"""


def test_instances_are_named(tmp_path: Path) -> None:
    (tmp_path / "outer.sv").write_text(INSIDE, encoding="utf-8")
    assert found_in(tmp_path, "outer.sv", "outer", {}) == [
        "outer.y_o: several drivers (u_second, u_first)",
        "outer.u_third.b_i: input is not connected",
    ]


def test_reason_for_no_array_is_refused(tmp_path: Path) -> None:
    shutil.copy(ROOT / FIFO, tmp_path)
    lint = Lint("fifo", (str(tmp_path / "fifo.sv"),))
    design = elaborate(replace(BLOCKS["mvu"], lint=lint, defines={}, synth=None), lint, {})
    assert find(design, {"fifo.mem": "why not"}) == [
        "fifo.mem: is no array of flip-flops that must be explained; remove it from the block's declaration"
    ]


COUNT = """
module count #(parameter int Width = 4) (
  input logic clk_i, input logic rst_ni, input logic [Width-1:0] step_i, output logic [Width-1:0] sum_o);
  logic [Width-1:0] sum_q;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) sum_q <= '0;
    else sum_q <= sum_q ^ step_i;
  end
  pair #(.Width(Width)) u_pair (.a_i(sum_q), .y_o(sum_o));
endmodule
module pair #(parameter int Width = 4) (input logic [Width-1:0] a_i, output logic [Width-1:0] y_o);
  always_comb begin
    y_o = '0;
    for (int i = 0; i < Width; i++) y_o[i] = a_i[i] & a_i[(i + 1) % Width];
  end
endmodule
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Block:
    """A block of two modules in a folder of its own."""
    folder = tmp_path / "tb" / "count"
    folder.mkdir(parents=True)
    (tmp_path / "count.sv").write_text(COUNT, encoding="utf-8")
    (folder / "block.py").touch()
    declaration = ModuleType("tb.count.block")
    declaration.__file__ = str(folder / "block.py")
    monkeypatch.setitem(sys.modules, declaration.__name__, declaration)
    monkeypatch.chdir(tmp_path)
    sources = ("count.sv",)
    return Block(
        declaration.__name__,
        summary="adds",
        hdl_top="count",
        sources=sources,
        lint=Lint("count", sources),
        synth=Synth({"Width": 4}),
    )


def test_figures(small: Block) -> None:
    """Counted by hand: four XOR into four flip-flops, four AND of these."""
    assert small.synth is not None
    lines: list[str] = []
    design = synth.read_design(small, small.synth, {"Width": 4}, lines.append)
    assert design is not None
    result = synth.map_design(small, design, lines.append)
    count, pair = result.modules["count"], result.modules["u_pair"]
    assert (count.gates, count.flip_flops, count.memory_bits, count.levels) == (4, 4, 0, 1)
    assert (pair.gates, pair.flip_flops, pair.levels) == (4, 0, 1)
    assert count.area == (4 * 12 + 4 * 16) / 4
    assert result.path.levels == 1
    assert result.path.end in ("sum_q[0]", "sum_q[1]", "sum_q[2]", "sum_q[3]", "sum_o")


def test_baseline_is_written_compared_and_updated(
    small: Block, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = small.file.with_name(synth.BASELINE)
    blocks = {"count": small}

    def main(*words: str) -> int:
        return command_line.main(["synth", *words], blocks)

    assert main() == 1
    assert "CHANGED count: no baseline" in capsys.readouterr().out and not file.exists()
    assert main("--update") == 0
    assert main() == 0
    assert "ok      count: equal to " in capsys.readouterr().out
    assert main("--changed") == 0
    said = capsys.readouterr().out
    assert "ok      count: the RTL of " in said and "flip-flops" not in said
    text = COUNT.replace("sum_q ^ step_i", "sum_q & step_i")
    Path("count.sv").write_text(text, encoding="utf-8")
    written = file.read_text(encoding="utf-8")
    for words in ((), ("--changed",)):
        assert main(*words) == 1
        said = capsys.readouterr().out
        assert "CHANGED count: count count: area 28 -> 22\n" in said
    assert file.read_text(encoding="utf-8") == written
    assert main("--update") == 0
    assert json.loads(file.read_text(encoding="utf-8"))["modules"]["count"]["area"] == 22
    file.write_text("{}", encoding="utf-8")
    assert main() == 2
    assert "is no baseline (KeyError: 'pyosys')" in capsys.readouterr().err


def test_modules_that_come_and_go_are_differences() -> None:
    one = {"module": "fifo", "area": 3}
    old = {"pyosys": "1", "parameters": {"A": 1}, "longest path": {}, "modules": {"u_a": one, "u_b": one}}
    new = {"pyosys": "2", "parameters": {"A": 2}, "longest path": {}, "modules": {"u_a": one, "u_c": one}}
    assert synth.differences(old, new) == [
        "pyosys: 1 -> 2",
        "parameters: A=1 -> A=2",
        "fifo u_b: is gone",
        "fifo u_c: is new, area 3",
    ]


LOOP = COUNT.replace("(sum_q), .y_o(sum_o)", "(sum_q ^ sum_o), .y_o(sum_o)")


def test_loop_through_modules_is_named(small: Block) -> None:
    Path("count.sv").write_text(LOOP, encoding="utf-8")
    assert small.synth is not None
    design = synth.read_design(small, small.synth, {"Width": 4}, lambda line: None)
    assert design is not None
    with pytest.raises(BuildFailed, match=r"logic loop through .*(sum_o|y_o)"):
        synth.map_design(small, design, lambda line: None)


def test_bad_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert command_line.main(["synth", "--top", "mvv"]) == 2
    assert "unknown --top 'mvv' (did you mean mvu?)" in capsys.readouterr().err
    assert command_line.main(["synth", "--top", "loopback"]) == 2
    assert "loopback has no synth=Synth(...) in its declaration; blocks that have it: mvu" in (
        capsys.readouterr().err
    )
    assert command_line.main(["synth", "--top", "mvu", "--param", "Lanes=8", "--update"]) == 2
    assert "a baseline is that of the declared parameters; leave --param away" in capsys.readouterr().err
    monkeypatch.setattr(yosys, "PYOSYS", "no_such_package")
    assert command_line.main(["synth", "--top", "mvu"]) == 3
    assert "syntheses need packages that are missing: pip install no_such_package" in capsys.readouterr().err


def test_names_of_sources_are_distinct(tmp_path: Path) -> None:
    other = tmp_path / "fifo.sv"
    shutil.copy(ROOT / FIFO, other)
    lint = Lint("fifo", (FIFO, str(other)))
    with pytest.raises(AssayError, match="have one name"):
        elaborate(replace(BLOCKS["mvu"], lint=lint, synth=None), lint, {})
