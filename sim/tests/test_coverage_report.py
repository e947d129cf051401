# SPDX-License-Identifier: Apache-2.0
"""The coverage report: Verilator's file is read and added up, a hole is named with its place, others can read it."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from assay.sim import ROOT, outputs
from assay.sim.blocks import discover
from assay.sim.coverage.code import CodeCoverage, Point
from assay.sim.coverage.command import full_bench
from assay.sim.coverage.exclusions import FILE, read_exclusions
from assay.sim.coverage.functional import FunctionalCoverage
from assay.sim.coverage.merged import Merged
from assay.sim.coverage.page import page
from assay.sim.coverage.runs import TestCoverage
from assay.sim.coverage.ucis import write_ucis
from assay.sim.tests.repository import assay, write
from assay.tb.coverage import CoverGroup, CoverPoint
from assay.tb.errors import AssayError

HEADER = "# SystemC::Coverage-3\n"

# ------------------------------------------------------------------------------------------------ Verilator's file


def point(kind: str, what: str, count: int, line: int = 5, lines: str = "", page: str = "m") -> str:
    keys = {
        "f": "/x/rtl/m.sv",
        "l": line,
        "n": 3,
        "t": kind,
        "page": f"v_{kind}/{page}",
        "o": what,
        "S": lines,
    }
    key = "".join(f"\x01{name}\x02{value}" for name, value in keys.items() if value != "")
    return f"C '{key}\x01h\x02top.dut' {count}\n"


POINTS = (
    point("line", "block", 7, lines="5-6,9")
    + point("branch", "if", 2, line=6, lines="7")
    + point("branch", "else", 0, line=6)
    + point("expr", "(a==0) =%3E 0", 3)
    + point("toggle", "a[3]:0->1", 1)
    + point("user", "cover", 4)
)


def add(coverage: CodeCoverage, test: int, path: Path, text: str | bytes, points: int | None = None) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    coverage.add(test, path, lambda name: name.removeprefix("/x/"), points)


def of(coverage: CodeCoverage, kind: str, what: str) -> Point:
    (found,) = (p for p in coverage.points.values() if (p.kind, p.what) == (kind, what))
    return found


def test_a_point_of_each_kind_is_read(tmp_path: Path) -> None:
    coverage = CodeCoverage()
    add(coverage, 0, tmp_path / "code.dat", HEADER + POINTS, 6)
    line = of(coverage, "line", "block")
    assert (line.file, line.line, line.column, line.lines, line.count) == ("rtl/m.sv", 5, 3, (5, 6, 9), 7)
    assert of(coverage, "branch", "if").lines == (7,) and of(coverage, "branch", "else").lines == (6,)
    assert of(coverage, "expr", "(a==0) => 0").count == 3
    assert of(coverage, "toggle", "a[3]:0->1").count == of(coverage, "user", "cover").count - 3 == 1
    assert len(coverage.points) == 6


def test_merging_adds_and_knows_the_tests(tmp_path: Path) -> None:
    """Of a module in two parametrisations, too: the place in the source counts."""
    coverage = CodeCoverage()
    add(
        coverage,
        0,
        tmp_path / "a.dat",
        HEADER + point("branch", "if", 2) + point("branch", "if", 5, page="m__W4"),
    )
    packed = gzip.compress((HEADER + point("branch", "if", 40) + point("branch", "else", 0)).encode())
    add(coverage, 1, tmp_path / "b.dat.gz", packed)
    add(coverage, 2, tmp_path / "c.dat", HEADER + point("branch", "if", 0) + point("branch", "else", 1))
    taken, other = of(coverage, "branch", "if"), of(coverage, "branch", "else")
    assert (taken.count, taken.tests) == (47, 0b011)
    assert (other.count, other.tests) == (1, 0b100)


@pytest.mark.parametrize(
    ("name", "content", "points", "said"),
    [
        ("code.dat", HEADER + POINTS[:-9], None, "is cut short: its last line has no end"),
        ("code.dat", HEADER + POINTS, 7, "is cut short: it has 6 of 7 points"),
        ("code.dat.gz", gzip.compress((HEADER + POINTS).encode())[:-9], None, "is damaged"),
        ("code.dat", "TN:\nSF:m.sv\n", None, "is no coverage of Verilator: it begins with 'TN:'"),
        ("code.dat", "", None, "is no coverage of Verilator: it begins with ''"),
        ("code.dat", HEADER + "C 'x' 1\n", None, "line 2: \"C 'x' 1\" is no coverage point of Verilator"),
        ("code.dat", b"\xff\xfe", None, "is damaged"),
    ],
)
def test_damaged_file_is_one_message(
    name: str, content: str | bytes, points: int | None, said: str, tmp_path: Path
) -> None:
    coverage = CodeCoverage()
    with pytest.raises(AssayError, match=re.escape(said)) as error:
        add(coverage, 0, tmp_path / name, content, points)
    assert name in str(error.value) and "\n" not in str(error.value)
    assert not coverage.points


def test_missing_file_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match=r"code\.dat does not exist; run with COVERAGE=1"):
        CodeCoverage().add(0, tmp_path / "code.dat", str)


# ------------------------------------------------------------------------------------------------ cover groups


def test_cover_groups_of_unlike_builds_add_up(tmp_path: Path) -> None:
    coverage = FunctionalCoverage()
    for test, harts in enumerate((2, 3)):
        group = CoverGroup("harts", [CoverPoint("hart", range(harts), at_least=2)])
        group.sample(hart=[0, 0, harts - 1])
        group.save(tmp_path / "harts.json")
        coverage.add(test, tmp_path / "harts.json")
    item = coverage.groups["harts"]["hart"]
    assert {label: (each.hits, each.tests) for label, each in item.bins.items()} == {
        "0": (4, 0b11),
        "1": (1, 0b01),
        "2": (1, 0b10),
    }
    assert item.missed == ["1", "2"] and coverage.bins() == (1, 3) and coverage.bins({"harts"}) == (0, 0)
    (tmp_path / "harts.json").write_text('{"name": "harts"}')
    with pytest.raises(AssayError, match=r"harts\.json is no cover group"):
        coverage.add(2, tmp_path / "harts.json")


# ------------------------------------------------------------------------------------------------ exclusions

ENTRY = '[[exclude]]\nfile = "rtl/m.sv"\nline = "x = 1;"\nreason = "why"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENTRY.replace("line =", "lien ="), "entry 1: unknown key 'lien' (did you mean line?)"),
        (ENTRY.replace('reason = "why"\n', ""), "entry 1: has no reason"),
        (ENTRY.replace('"why"', '""'), "entry 1: reason = '': must be a text"),
        (ENTRY.replace('line = "x = 1;"\n', ""), "entry 1: must have either line or pattern"),
        (
            ENTRY + ENTRY.replace("line", "pattern").replace("x =", "("),
            "entry 2: pattern is no regular expression",
        ),
        (ENTRY + 'kinds = ["lines"]\n', "entry 1: unknown kind 'lines' (did you mean line?)"),
        (ENTRY + "exclude\n", "exclusions.toml: "),
    ],
)
def test_exclusion_that_is_wrong_is_one_message(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "tb").mkdir()
    (tmp_path / FILE).write_text(text)
    with pytest.raises(AssayError, match=re.escape(said)) as error:
        read_exclusions(tmp_path)
    assert "\n" not in str(error.value)


def test_excluded_points_do_not_count_and_stale_entries_are_told(tmp_path: Path) -> None:
    for folder in ("tb", "rtl"):
        (tmp_path / folder).mkdir()
    (tmp_path / "rtl/m.sv").write_text("\n\n\n\n  x = 1;\n  if (a) begin\n    y = 2;\n")
    (tmp_path / "code.dat").write_text(HEADER + POINTS)
    entries = ENTRY + ENTRY.replace("x = 1;", "if (a) begin").replace("reason", 'what = "else"\nreason')
    (tmp_path / FILE).write_text(entries + ENTRY.replace("x = 1;", "z = 3;"))
    block = replace(discover()["loopback"], root=tmp_path, sources=())
    test = TestCoverage("m", block, "m", (), tmp_path / "code.dat", 6, lambda path: path.removeprefix("/x/"))
    merged = Merged([test])
    assert [entry.stale for entry in merged.exclusions] == ["is covered", "", "matches nothing"]
    assert {metric: str(share) for metric, share in merged.shares.items()} == {
        "line": "100.00 % (1 of 1)",
        "branch": "100.00 % (1 of 1)",
    }
    (tmp_path / FILE).write_text(ENTRY.replace("x = 1;", "`CHECK(b,"))
    (tmp_path / "rtl/m.sv").write_text("\n\n\n  x = 1;\n  `CHECK(b,\n  (c))\n")
    (entry,) = Merged([test]).exclusions
    assert {point.line for point in entry.excluded} == {5, 6}, "a macro's call is excluded by its first line"
    (tmp_path / "rtl/m.sv").write_text("\n\n\n\n  x = 1;\n  if (a) begin\n    y = 2;\n")
    (tmp_path / FILE).unlink()
    merged = Merged([test])
    assert str(merged.shares["branch"]) == "50.00 % (1 of 2)" and merged.below == ["branch"]
    (never,) = merged.files["rtl/m.sv"].never
    assert (never.line, never.what, merged.text(never)) == (6, "else", "  if (a) begin")


def test_what_another_block_owns_does_not_count(tmp_path: Path) -> None:
    """Its cover groups and the folders of its sources; a folder that no declaration names counts everywhere."""
    blocks, files = discover(), ("mvu/mvu.sv", "common/fifo.sv")
    (tmp_path / "code.dat").write_text(HEADER + "".join(POINTS.replace("m.sv", name) for name in files))
    CoverGroup("mvu_jobs", [CoverPoint("bits", [1])]).save(tmp_path / "mvu_jobs.json")
    groups = (tmp_path / "mvu_jobs.json",)
    for name, counts in (("mvu", {"mvu/mvu.sv", "mvu_jobs"}), ("accelerator", set()), ("mvu_array", set())):
        test = TestCoverage(
            "t", blocks[name], "t", groups, tmp_path / "code.dat", 12, lambda path: path.removeprefix("/x/")
        )
        merged = Merged([test], blocks.values())
        there = {*merged.files, *merged.functional.groups} - merged.borrowed
        assert {each.removeprefix("rtl/") for each in there} == {"common/fifo.sv", *counts}
        assert ("functional" in merged.below) == (name == "mvu")


def test_every_exclusion_of_the_project_is_about_a_line_that_is_there() -> None:
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (ROOT / "rtl").rglob("*.sv")}
    entries = read_exclusions(ROOT)
    assert entries
    for entry in entries:
        lines = (
            (Point(name, number, 1, entry.kinds[0], entry.what, ()), line)
            for name, text in sources.items()
            for number, line in enumerate(text.splitlines(), 1)
        )
        # What Verilator calls a point is not known here: the entry's own words stand for it.
        entry.what = ""
        assert any(entry.fits(*each) for each in lines), f"{entry.file}: {entry.line or entry.pattern}"


# ------------------------------------------------------------------------------------------------ the full bench


def test_full_bench_has_every_test_of_the_regression() -> None:
    """Also of variants that the regression runs on Icarus alone, which counts no coverage."""
    block = discover()["pe_array"]
    jobs = full_bench(block, 5)
    assert {job.simulator for job in jobs} == {"verilator"} and all(
        job.coverage and job.seed == 5 for job in jobs
    )
    assert {tuple(job.parameters.items()) for job in jobs} == {
        tuple(variant.parameters.items()) for variant in block.variants
    }
    assert ("real_layers",) in {job.tests for job in jobs}
    assert "COVERAGE=1" in jobs[0].replay


# ------------------------------------------------------------------------------------------------ a report

HOLE = "  always @(posedge clk) if (x == 5) never <= 1; else never <= 0;\n  reg never;\n"


TWICE = """
@cocotb.test()
async def scales_again(dut):
    os.environ["ASSAY_FRAMES"] = "3"
    await scale(dut)
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's repository, whose RTL has a branch that no test takes, and what its tests have covered."""
    pytest.importorskip("ucis", reason="pyucis is missing: pip install pyucis")
    folder = write(tmp_path_factory.mktemp("their repository"))
    rtl, bench = folder / "rtl/scaler.v", folder / "tb/scaler/test_scaler.py"
    rtl.write_text(rtl.read_text().replace("endmodule", f"{HOLE}endmodule"))
    bench.write_text(bench.read_text() + TWICE)
    done = assay(folder, "coverage", "--top", "scaler", "--seed", "3")
    assert done.returncode == 1, done.stdout + done.stderr
    (folder / "said").write_text(done.stdout)
    return folder


REPORT = Path(outputs.FOLDER) / "reports" / "coverage"


@pytest.mark.simulation
def test_planted_hole_is_named_with_file_and_line(repository: Path) -> None:
    said = (repository / "said").read_text()
    line = next(
        n
        for n, text in enumerate((repository / "rtl/scaler.v").read_text().splitlines(), 1)
        if "x == 5" in text
    )
    assert f"never            rtl/scaler.v:{line}: if: always @(posedge clk) if (x == 5) never <= 1;" in said
    assert "FAIL  branch coverage is below its goal of 97 %" in said
    assert f"report: {REPORT}/index.html" in said


@pytest.mark.simulation
def test_page_stands_alone_and_shows_the_hole(repository: Path) -> None:
    shown = (repository / REPORT / "index.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!#)|https?://|@import""", shown)
    (row,) = re.findall(
        r"<tr[^>]*>(?:(?!</tr>).)*if \(x == 5\) never(?:(?!</tr>).)*</tr>", shown.partition("Sources")[2]
    )
    assert 'class="part"' in row and ">if 0</span>" in row
    labels = json.loads(re.search(r"LABELS = (\[.*?\]);", shown)[1])
    assert labels == ["scaler scales seed 3", "scaler scales_again seed 3"]
    sets = json.loads(re.search(r"SETS = (\[.*?\]), LABELS", shown)[1])
    assert sets[int(re.search(r'data-t="(\d+)"', row)[1])] == [0, 1]


@pytest.mark.simulation
def test_lcov_is_read_back(repository: Path) -> None:
    lines = (repository / REPORT / "coverage.info").read_text().splitlines()
    assert lines[:2] == ["TN:", "SF:rtl/scaler.v"] and lines[-1] == "end_of_record"
    source = (repository / "rtl/scaler.v").read_text().splitlines()
    hole = next(n for n, text in enumerate(source, 1) if "x == 5" in text)
    fields: dict[str, list[list[str]]] = {}
    for key, _, value in (line.partition(":") for line in lines):
        fields.setdefault(key, []).append(value.split(","))
    ways = [way for way in fields["BRDA"] if way[0] == str(hole)]
    assert [int(count) > 0 for *_, count in ways] == [False, True]
    assert fields["BRF"] == [[str(len(fields["BRDA"]))]] and fields["LF"] == [[str(len(fields["DA"]))]]
    counts = {int(line): int(count) for line, count in fields["DA"]}
    assert counts[hole] > 0 and all(0 < line <= len(source) for line in counts)


@pytest.mark.simulation
def test_ucis_is_read_back(repository: Path) -> None:
    factory = pytest.importorskip(
        "ucis.xml.xml_factory", reason="pyucis is missing: pip install pyucis"
    ).XmlFactory
    from ucis.cover_type_t import CoverTypeT
    from ucis.history_node_kind import HistoryNodeKind
    from ucis.scope_type_t import ScopeTypeT

    base = factory.read(str(repository / REPORT / "coverage.xml"))
    assert [node.getLogicalName() for node in base.historyNodes(HistoryNodeKind.TEST)] == [
        "scaler scales seed 3",
        "scaler scales_again seed 3",
    ]
    (instance,) = base.scopes(ScopeTypeT.INSTANCE)
    assert instance.getScopeName() == "scaler"
    bins = [
        each.getCoverData().data
        for scope in instance.scopes(ScopeTypeT.BRANCH)
        for each in scope.coverItems(CoverTypeT.BRANCHBIN)
    ]
    assert 0 in bins and max(bins) > 0
    assert any(
        True for scope in instance.scopes(ScopeTypeT.TOGGLE) for _ in scope.coverItems(CoverTypeT.TOGGLEBIN)
    )


def test_cover_groups_are_in_ucis_and_on_the_page(tmp_path: Path) -> None:
    factory = pytest.importorskip(
        "ucis.xml.xml_factory", reason="pyucis is missing: pip install pyucis"
    ).XmlFactory
    from ucis.cover_type_t import CoverTypeT
    from ucis.scope_type_t import ScopeTypeT

    block = discover()["loopback"]
    tests = []
    for test, bits in (("first", [1, 1]), ("second", [1, 3])):
        group = CoverGroup("<jobs>", [CoverPoint("bits", range(1, 5))])
        group.sample(bits=bits)
        (tmp_path / test).mkdir()
        group.save(tmp_path / test / "jobs.json")
        files = (tmp_path / test / "jobs.json",)
        tests.append(TestCoverage(f"m {test}", block, test, files, None, None, lambda path: None))
    merged = Merged(tests)
    assert merged.below == ["functional"] and str(merged.shares["functional"]) == "50.00 % (2 of 4)"
    write_ucis(merged, tmp_path / "coverage.xml")
    (instance,) = factory.read(str(tmp_path / "coverage.xml")).scopes(ScopeTypeT.INSTANCE)
    (group,) = instance.scopes(ScopeTypeT.COVERGROUP)
    (found,) = group.scopes(ScopeTypeT.COVERINSTANCE)
    (item,) = found.scopes(ScopeTypeT.COVERPOINT)
    bins = {each.getName(): each.getCoverData().data for each in item.coverItems(CoverTypeT.CVGBIN)}
    assert (group.getScopeName(), item.getScopeName()) == ("<jobs>", "bits")
    assert bins == {"1": 3, "2": 0, "3": 1, "4": 0}
    shown = page(merged, "t")
    assert "&lt;jobs&gt;" in shown and "<jobs>" not in shown and "2, 4</span>" in shown
    assert Merged(tests, discover().values()).below == ["functional"]


@pytest.mark.simulation
def test_tests_of_one_process_are_counted_apart(repository: Path) -> None:
    """The second test plays three times as much: alone and after the first, it has executed the same."""
    done = assay(repository, "run", "--seed", "3", "--coverage")
    assert done.returncode == 0, done.stdout + done.stderr
    runs = repository / outputs.FOLDER / "runs"

    def edges(run: str, test: str) -> int:
        coverage = CodeCoverage()
        coverage.add(0, runs / run / "coverage" / test / "code.dat.gz", lambda path: path)
        return of(coverage, "branch", "else").count

    together = "scaler-verilator-coverage-3-all"
    first, second = edges(together, "scales"), edges(together, "scales_again")
    assert first == edges("scaler-verilator-coverage-3-scales", "scales") > 0
    assert abs(second - edges("scaler-verilator-coverage-3-scales_again", "scales_again")) <= 1
    assert second > 2 * first


@pytest.mark.simulation
def test_folders_are_reported_without_a_run(repository: Path, tmp_path: Path) -> None:
    runs = repository / outputs.FOLDER / "runs"
    one = runs / "scaler-verilator-coverage-3-scales"
    words = ["--line", "rtl/scaler.v:12", "--output", str(tmp_path / "one")]
    done = assay(repository, "coverage", str(one), *words)
    assert done.returncode == 0 and "coverage of 1 tests" in done.stdout and "PASS" not in done.stdout
    assert "rtl/scaler.v:12: executed" in done.stdout and "scaler scales seed 3" in done.stdout
    for place, said in (
        ("rtl/scalar.v:12", "(did you mean rtl/scaler.v?)"),
        ("rtl/scaler.v:99", "has the lines 1 to"),
    ):
        refused = assay(repository, "coverage", str(one), "--line", place, "--output", str(tmp_path / "two"))
        assert refused.returncode == 2 and said in refused.stderr and refused.stderr.count("\n") == 1
    assert not (tmp_path / "two").exists()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "coverage.info",
        "coverage.xml",
        "index.html",
    ]


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: shutil.rmtree(run), "is no folder of a run: "),
        (lambda run: shutil.rmtree(run / "coverage"), "has no coverage; its run may have failed early"),
        (lambda run: (run / "coverage/scales/code.dat.gz").unlink(), "does not exist; run with COVERAGE=1"),
        (lambda run: edit(run / "coverage/scales/code.dat.gz", lambda text: text[:-20]), "is damaged"),
        (
            lambda run: edit(run / "run.json", lambda t: t.replace(b'"passed": true', b'"passed": false')),
            "failed, so that",
        ),
        (
            lambda run: edit(run / "run.json", lambda t: t.replace(b'"scaler"', b'"scalar"')),
            "is of block scalar",
        ),
        (
            lambda run: edit(
                run / "coverage/made_from.json", lambda t: re.sub(rb"(scaler.v\": \")....", rb"\g<1>0000", t)
            ),
            "was made from another rtl/scaler.v; run it again: ",
        ),
    ],
    ids=["no run", "no coverage", "no file", "cut short", "failed", "no block", "another build"],
)
def test_folder_that_cannot_be_reported_is_one_message(
    change: Callable[[Path], object], said: str, repository: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(repository / outputs.FOLDER / "runs/scaler-verilator-coverage-3-scales", run)
    change(run)
    done = assay(repository, "coverage", str(run), "--output", str(tmp_path / "report"))
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "report").exists()


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "0"], "0: allowed are the integers 1 to 2147483647"),
        (["--seed", "2147483647", "--seeds", "2"], "2: allowed are the integers 1 to 1"),
        (["--top", "lost"], "unknown --top 'lost'"),
    ],
)
def test_command_refuses(words: list[str], said: str, tmp_path: Path) -> None:
    done = assay(tmp_path, "coverage", *words)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.simulation
def test_icarus_counts_nothing(repository: Path) -> None:
    done = assay(repository, "run", "--sim", "icarus", "--coverage")
    assert done.returncode == 2 and "--coverage" in done.stderr and done.stderr.count("\n") == 1
