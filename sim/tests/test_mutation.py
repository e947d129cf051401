# SPDX-License-Identifier: Apache-2.0
"""Mutation: the faults that are made, the source that holds them, proofs of equivalence, verdicts, the journal."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import pytest

from assay.sim import ROOT
from assay.sim.blocks import discover
from assay.sim.elaborate import elaborate
from assay.sim.job import Job
from assay.sim.mutation import model
from assay.sim.mutation.equivalence import Prover
from assay.sim.mutation.faults import find_mutants
from assay.sim.mutation.journal import Journal
from assay.sim.mutation.judge import CRASHED, FELL_OVER, KILLED, STATES, SURVIVED, TIMED_OUT, judge
from assay.sim.mutation.mutant import PACKAGE, VARIABLE, Mutant, instrumented
from assay.sim.mutation.reviews import read_reviews, review_file
from assay.sim.run import Outcome, TestResult
from assay.sim.tests.counter.block import BLOCK as COUNTER
from assay.tb.block import Block
from assay.tb.errors import AssayError, BuildFailed

BLOCKS = {name: block for name, block in discover(str(ROOT)).items() if block.small}

SOURCE = """\
module top #(parameter int Depth = 5) (
  input  logic clk_i, rst_ni, valid_i, ready_i,
  input  logic signed [3:0] a_i, b_i,
  output logic signed [7:0] sum_o,
  output logic [2:0] count_o
);
  typedef enum logic [1:0] {Idle, Run, Done} state_e;
  state_e state_q;
  logic [2:0] count_d, count_q;
  logic signed [7:0] sum_q;
  assign count_d = count_q == 3'(Depth - 1) ? '0 : count_q + 3'd1;
  always_ff @(posedge clk_i or negedge rst_ni) begin
    if (!rst_ni) begin
      state_q <= Idle;
      count_q <= '0;
      sum_q   <= '0;
    end else if (valid_i && ready_i) begin
      state_q <= a_i[3] ? Run : Done;
      count_q <= count_d;
      sum_q   <= a_i - b_i;
    end
  end
  assign sum_o   = state_q == Run ? sum_q : -sum_q;
  assign count_o = count_q;
endmodule
"""


def mutants_of(text: str, folder: Path) -> tuple[list[Mutant], Path]:
    path = folder / "top.sv"
    path.write_text(text, encoding="utf-8")
    design = elaborate("top", [path])
    assert not design.errors()
    return find_mutants(design, [path], folder), path


def described(mutants: list[Mutant], path: Path) -> set[tuple[str, str]]:
    return {(mutant.kind, mutant.describe(path.read_bytes())) for mutant in mutants}


def test_every_kind_of_fault_is_made_where_designers_make_it(tmp_path: Path) -> None:
    mutants, path = mutants_of(SOURCE, tmp_path)
    found = described(mutants, path)
    assert found > {
        ("operator", "valid_i && ready_i -> valid_i || ready_i"),
        ("operator", "a_i - b_i -> a_i + b_i"),
        ("operator", "state_q == Run -> state_q != Run"),
        ("condition", "valid_i && ready_i -> valid_i"),  # ready is ignored
        ("condition", "!rst_ni -> 1'b0"),
        ("condition", "-sum_q -> sum_q"),
        ("constant", "3'(Depth - 1) -> 3'sh5"),
        ("constant", "3'd1 -> 3'h2"),
        ("constant", "Idle -> Run"),
        ("index", "3 -> 2"),
        ("width", "a_i - b_i without its top bit"),
        ("sign", "a_i without its sign"),
        ("hold", "state_q keeps its value: Idle is not assigned"),
        ("hold", "count_q keeps its value: count_d is not assigned"),
    }
    assert not {kind for kind, _ in found} - {
        *("operator", "condition", "constant", "index", "width", "sign", "hold", "exchange", "stuck", "stale")
    }


def test_exchanged_stuck_and_stale(tmp_path: Path) -> None:
    text = """\
module inner(input logic clk_i, input logic a_i, input logic b_i, input logic [1:0] n_i, output logic y_o);
  logic y_d, y_q, z_q;
  assign y_d = a_i & b_i & n_i[0];
  always_ff @(posedge clk_i) begin
    y_q <= a_i;
    z_q <= b_i;
  end
  assign y_o = y_d ^ y_q ^ z_q;
endmodule
module top(input logic clk_i, input logic a_i, input logic b_i, input logic [1:0] n_i, output logic y_o);
  inner u_inner (.clk_i, .a_i(a_i), .b_i(b_i), .n_i(n_i), .y_o(y_o));
endmodule
"""
    mutants, path = mutants_of(text, tmp_path)
    by_kind: dict[str, set[str]] = {}
    for kind, what in described(mutants, path):
        by_kind.setdefault(kind, set()).add(what)
    assert by_kind["exchange"] == {"a_i -> b_i; b_i -> a_i"}
    assert {mutant.line for mutant in mutants if mutant.kind == "exchange"} == {5, 11}
    assert by_kind["stuck"] == {
        f"the input is always 1'b{bit}, not {name}" for bit in "01" for name in ("a_i", "b_i")
    }
    assert by_kind["stale"] == {"y_d -> y_q"}


def test_no_fault_is_made_where_it_cannot_be_selected(tmp_path: Path) -> None:
    text = """\
module top #(parameter int W = 4) (input logic clk_i, input logic [W-1:0] x_i, output logic [W-1:0] y_o);
  localparam int Last = W - 1;
  for (genvar g = 0; g < W; g++) begin : gen_bit
    assign y_o[g] = x_i[Last-g];
  end
`ifndef SYNTHESIS
  initial assert (W + 1 > 2);
  a_known: assert property (@(posedge clk_i) x_i + 1 >= 1);
`endif
endmodule
"""
    assert mutants_of(text, tmp_path)[0] == []


def test_a_key_stays_when_lines_move_and_tells_equal_lines_apart(tmp_path: Path) -> None:
    before, _ = mutants_of(SOURCE, tmp_path)
    after, _ = mutants_of(SOURCE.replace("module top", "// a comment\n\nmodule top"), tmp_path)
    assert [m.key for m in before] == [m.key for m in after]
    assert len({m.key for m in before}) == len(before)
    twice, _ = mutants_of(
        SOURCE.replace("  assign sum_o", "  wire [2:0] x = count_q + 3'd1;\n  assign sum_o"), tmp_path
    )
    assert {m.key for m in before} < {m.key for m in twice}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_mutants_of_every_block_elaborate(name: str) -> None:
    block = BLOCKS[name]
    parameters = block.resolve_parameters(block.small)
    mutants = find_mutants(model.elaborated(block, parameters), model.mutable_files(block), block.root)
    assert len(mutants) > 100
    assert len({mutant.key for mutant in mutants}) == len(mutants)
    assert model.illegal(block, dict(enumerate(mutants, 1)), parameters) == set()


def test_a_mutant_that_does_not_elaborate_is_found(counter: Block) -> None:
    design = model.elaborated(counter, counter.resolve_parameters({}))
    mutants = find_mutants(design, model.mutable_files(counter), counter.root)
    bad = Mutant(mutants[0].file, "bad", (mutants[0].edits[0]._replace(text="no_such_name"),), 1, "", "bad")
    numbered = dict(enumerate([*mutants[:7], bad, *mutants[7:]], 1))
    assert model.illegal(counter, numbered, counter.resolve_parameters({})) == {8}


# What is compiled, against the text of each mutant

PLANES = "mvu_planes"


@pytest.fixture(scope="module")
def planes() -> tuple[Prover, list[Mutant]]:
    """The smallest module of arithmetic and state, for proofs."""
    pytest.importorskip("pyosys", reason="pyosys is missing: pip install pyosys")
    block = BLOCKS["mvu"]
    design = model.elaborated(block, block.resolve_parameters(block.small))
    files = model.mutable_files(block, [PLANES])
    prover = Prover.of(design, block.source_files(), block.include_paths(), block.resolve_defines({}))
    return prover, find_mutants(design, files, block.root)


def selected(mutants: list[Mutant], number: int, folder: Path) -> tuple[Path, Path]:
    """The instrumented source with a mutant selected for good, and the package that says so."""
    file = mutants[0].file
    package = folder / "mutation_pkg.sv"
    package.write_text(
        f"package mutation_pkg;\n  localparam int unsigned selected = {number};\nendpackage\n",
        encoding="utf-8",
    )
    source = folder / file.name
    source.write_bytes(instrumented(file.read_bytes(), dict(enumerate(mutants, 1))))
    return package, source


def test_the_compiled_source_is_the_design_or_the_selected_mutant(
    planes: tuple[Prover, list[Mutant]], tmp_path: Path
) -> None:
    prover, mutants = planes
    file = mutants[0].file
    for number in (0, *random.Random(1).sample(range(1, len(mutants) + 1), 8)):
        package, source = selected(mutants, number, tmp_path)
        plain = tmp_path / "plain.sv"
        plain.write_bytes(mutants[number - 1].applied(file.read_bytes()) if number else file.read_bytes())
        assert prover.equal(file, plain, source, extra=[package]), number
        other = mutants[number % len(mutants)]  # the next one is another function, or is proved to be none
        if number and not prover.proved(mutants[number - 1]) and not prover.proved(other):
            plain.write_bytes(file.read_bytes())
            assert not prover.equal(file, plain, source, extra=[package]), number


def test_what_a_test_kills_is_never_proved_equivalent(planes: tuple[Prover, list[Mutant]]) -> None:
    """Faults of which each changes what the module does, found by the bench: a proof of one would be wrong."""
    prover, mutants = planes
    different = [
        "input_q == '0 || weight_q == weight_top -> weight_q == weight_top",
        "input_next[3:0] without its top bit",
        "input_q keeps its value: '0 is not assigned",  # a reset that is forgotten
        "weight_q keeps its value: weight_d is not assigned",
        "weight_top - weight_q -> weight_top + weight_q",
        "diagonal - input_next -> diagonal + input_next",
        "step_i -> 1'b1",
        "!rst_ni -> 1'b0",
    ]
    equivalent = [
        "diagonal < 5'(input_top) -> diagonal <= (5'(input_top))",
        "input_precision_i - 5'd1 without its top bit",
    ]
    by_text = {mutant.describe(mutant.file.read_bytes()): mutant for mutant in mutants}
    assert [text for text in different if prover.proved(by_text[text])] == []
    assert [text for text in equivalent if not prover.proved(by_text[text])] == []


# Verdicts


def outcome(problems=(), failures=(), results=None, counter=COUNTER) -> Outcome:
    passed = [TestResult("t", "passed", "", 0)]
    summary = {"failures": list(failures), "words_compared": 1}
    job = Job(counter, "verilator", 1, ("counts",))
    return Outcome(job, Path(), passed if results is None else results, list(problems), summary, 1.0, 120.0)


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (SURVIVED, outcome()),
        (
            KILLED,
            outcome(
                failures=[{"kind": "mismatch", "stream": "out", "cycle": 12, "message": "12 is not 13"}],
                results=[TestResult("t", "failed", "12 is not 13", 120)],
            ),
        ),
        (
            KILLED,
            outcome(problems=["the HDL raised an error: rtl/a.sv:3: ASSERT gnt_held failed in tb.u at 5 ns"]),
        ),
        (
            KILLED,
            outcome(problems=["the HDL raised an error at 1,005 ns: rtl/a.sv:3: ASSERT gnt_held failed"]),
        ),
        (KILLED, outcome(results=[TestResult("t", "failed", "assert 18 == 19", 120)])),
        (
            FELL_OVER,
            outcome(failures=[{"kind": "IndexError", "message": "list index out of range"}], results=[]),
        ),
        (FELL_OVER, outcome(results=[TestResult("t", "failed", "KeyError: 3", 120)])),
        (TIMED_OUT, outcome(problems=["the simulation did not end within 20 s and was stopped"], results=[])),
        (
            CRASHED,
            outcome(problems=["the simulator ended with signal SIGSEGV and without results"], results=[]),
        ),
        (
            CRASHED,
            outcome(
                problems=["the HDL raised an error: rtl/a.sv:1: Settle region did not converge"], results=[]
            ),
        ),
    ],
)
def test_only_a_check_that_fails_is_a_kill(state: str, found: Outcome) -> None:
    assert judge(found).state == state
    assert state in STATES


def test_a_verdict_names_the_check_and_the_clocks() -> None:
    failure = {"kind": "mismatch", "stream": "out", "cycle": 12, "message": "12 is not 13"}
    verdict = judge(outcome(failures=[failure], results=[TestResult("t", "failed", "12 is not 13", 120)]))
    assert (verdict.check, verdict.clocks, verdict.time_ns) == ("mismatch: out", 12, 120.0)


@pytest.mark.parametrize("when", ["", " at 1,005 ns"])
def test_a_verdict_names_the_assertion(when: str) -> None:
    said = f"the HDL raised an error{when}: rtl/a.sv:3: ASSERT gnt_held failed"
    assert judge(outcome(problems=[said])).check == "assertion: gnt_held"


# The journal and the reviews


def test_a_journal_forgets_nothing_and_takes_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "j" / "block.jsonl"
    journal = Journal(path, "now")
    journal.add("a", {"state": "killed", "test": "t1"})
    journal.add("b", {"state": "survived", "test": ""})
    with path.open("ab") as file:
        file.write(b'{"key": "c", "sta')  # as kill -9 leaves it
    again = Journal(path, "now")
    assert again.result("a") == {"key": "a", "state": "killed", "test": "t1", "state_of": "now"}
    assert again.result("c") is None
    again.add("c", {"state": "killed", "test": "t2"})
    assert [json.loads(line)["key"] for line in path.read_text().splitlines() if line.endswith("}")] == [
        "a",
        "b",
        "c",
    ]
    changed = Journal(path, "later")
    assert changed.result("a") is None
    assert (changed.killer("a"), changed.killer("b")) == ("t1", "")


def test_a_file_that_is_no_journal_stays(tmp_path: Path) -> None:
    path = tmp_path / "block.jsonl"
    path.write_text("shopping list\n", encoding="utf-8")
    with pytest.raises(AssayError, match="no journal of mutants"):
        Journal(path, "now")
    assert path.read_text(encoding="utf-8") == "shopping list\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nstate = 'equivalent'\nreason = 'r'\n", r"\[a\] must have exactly line, reason, state"),
        (
            "[a]\nline = 'x'\nstate = 'fine'\nreason = 'r'\n",
            "state = 'fine'; allowed are equivalent, accepted",
        ),
        ("[a]\nline = 'x'\nstate = 'accepted'\nreason = ' '\n", "has no reason"),
        ("[a\n", "line 1"),
        ("complete = 'a'\n", "complete must be a list of modules"),
    ],
)
def test_a_review_that_is_not_one_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mutants.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AssayError, match=message):
        read_reviews(path)


@pytest.mark.parametrize("name", BLOCKS)
def test_every_review_is_of_a_mutant(name: str) -> None:
    block = BLOCKS[name]
    design = model.elaborated(block, block.resolve_parameters(block.small))
    mutants = {m.key: m for m in find_mutants(design, model.mutable_files(block), block.root)}
    reviews = read_reviews(review_file(block))
    assert set(reviews.complete) <= {path.stem for path in model.mutable_files(block)}
    for key, review in reviews.of.items():
        assert key in mutants, f"{review_file(block)}: [{key}] {review.line}: there is no such mutant"
        assert review.line.partition(":")[0] == mutants[key].file.name


def test_the_package_reads_the_variable_that_a_fork_sets() -> None:
    from assay.sim.forking import OF_ONE_TEST

    assert VARIABLE in OF_ONE_TEST
    assert f'getenv(\\"{VARIABLE}\\")' in PACKAGE.format(variable=VARIABLE)


def test_a_design_that_does_not_elaborate_is_named(counter: Block, tmp_path: Path) -> None:
    shutil.copy(counter.source_files()[0], tmp_path / "counter_tb.sv")
    broken = (tmp_path / "counter_tb.sv").read_text().replace("count_o + 1'b1", "no_such + 1'b1")
    (tmp_path / "counter_tb.sv").write_text(broken)
    block = type(counter)(**{**vars(counter), "root": tmp_path, "sources": ("counter_tb.sv",)})
    with pytest.raises(BuildFailed, match=re.compile("counter does not elaborate.*no_such", re.DOTALL)):
        model.elaborated(block, {})
