# SPDX-License-Identifier: Apache-2.0
"""Mutation of the golden model: the faults, the tests that reach them, and what becomes of each, in a small package."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.sim import ROOT

pytest.importorskip("mutmut", reason="mutmut is missing: pip install mutmut")
pytest.importorskip("coverage", reason="coverage is missing: pip install coverage")

from assay.sim.command_line import main
from assay.sim.mutation.golden import campaign
from assay.sim.mutation.golden.baseline import Code
from assay.sim.mutation.golden.campaign import Plan
from assay.sim.mutation.golden.faults import find_mutants
from assay.sim.mutation.judge import KILLED, NOT_BUILT, SURVIVED, TIMED_OUT
from assay.sim.mutation.mutant import Edit, Mutant
from assay.sim.mutation.reviews import REVIEWED, read_reviews
from assay.tb.errors import AssayError, RunFailed

SOURCE = '''\
"""A package of 1 module."""
import functools

LIMIT = 7


def clip(x: int = 3, *, low: int = 0) -> int:
    """At most 7."""
    if x > LIMIT:
        return LIMIT
    if x < low:
        raise ValueError(f"{x} is less than {low + 1}")
    return x


@functools.lru_cache(maxsize=3)
def halvings(x: int) -> int:
    count = 0
    while x > 1:
        x //= 2
        count += 1
    return count


def unreached(x: int) -> int:
    return x + 1
'''

TESTS = """\
import pytest
from assay.golden.small import clip, halvings


@pytest.mark.parametrize("x", [3, 5, 9])
def test_clip(x):
    assert clip(x) == min(x, 7)


def test_of_negative_numbers():
    with pytest.raises(ValueError):
        clip(-5)


def test_halvings():
    assert halvings(8) == 3


def test_halvings_again():
    assert halvings(8) == 3
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    """A package with a few tests, in a git checkout."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "golden" / "tests").mkdir(parents=True)
    (root / "golden" / "small.py").write_text(SOURCE, encoding="utf-8")
    (root / "golden" / "tests" / "test_small.py").write_text(TESTS, encoding="utf-8")
    (root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\n', encoding="utf-8"
    )
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return Code(root, besides=())


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of the small package takes long."""
    monkeypatch.setattr(campaign, "LEAST_S", 2)


def plan_of(code: Code, **changes: object) -> Plan:
    return Plan(code, code.root / "reports", code.root / "cache", **changes)  # type: ignore[arg-type]


def described(code: Code) -> dict[str, Mutant]:
    source = (code.root / "golden" / "small.py").read_bytes()
    return {f"{m.line}: {m.describe(source)}": m for m in campaign.mutants_of(plan_of(code))}


def test_faults_are_made_in_what_computes_alone(code: Code) -> None:
    found = described(code)
    assert set(found) == {
        "4: 7 -> 8",
        "4: 7 -> 6",
        "7: 3 -> 4",
        "7: 3 -> 2",
        "7: 0 -> 1",
        "7: 0 -> (-1)",
        "9: x > LIMIT -> x >= LIMIT",
        "9: x > LIMIT -> not (x > LIMIT)",
        "11: x < low -> x <= low",
        "11: x < low -> not (x < low)",
        "18: 0 -> 1",
        "18: 0 -> (-1)",
        "19: x > 1 -> x >= 1",
        "19: x > 1 -> x > 2",
        "19: x > 1 -> x > 0",
        "19: x > 1 -> not (x > 1)",
        "20: x //= 2 -> x = 2",
        "20: x //= 2 -> x /= 2",
        "20: 2 -> 3",
        "20: 2 -> 1",
        "21: count += 1 -> count = 1",
        "21: count += 1 -> count -= 1",
        "21: 1 -> 2",
        "21: 1 -> 0",
        "26: x + 1 -> x - 1",
        "26: x + 1 -> x + 2",
        "26: x + 1 -> x + 0",
    }


def test_a_fault_is_in_the_file_as_it_is_described(tmp_path: Path) -> None:
    """Every kind of node, nested, in parentheses and over lines: the text with the fault compiles, and differs."""
    path = tmp_path / "all.py"
    path.write_text(
        "def f(a, b=2, *c, **d):\n"
        "    for é in (a,\n        b):\n"
        "        if not a: break\n"
        "        elif (a and\n              b) or c: continue\n"
        "    g = [-x for x in c if x != (1) and x\n         in d]\n"
        "    a.b += (a if (b or c) else ~b) << f(a, b, *c, k=g, **d)\n"
        "    match a:\n"
        "        case {'k': [1, b]} | (2, b): return f(a, [1, -1][0])\n"
        "        case _ if a is None: return 1.5 ** (3 - -b)\n"
        "    return True\n",
        encoding="utf-8",
    )
    source = path.read_bytes()
    mutants = find_mutants([path], tmp_path)
    for mutant in mutants:
        faulty = mutant.applied(source)
        compile(faulty, "all", "exec")
        assert faulty != source
    texts = {mutant.describe(source) for mutant in mutants}
    assert {"break -> return", "continue -> break", "True -> False", "a is None -> False"} <= texts
    assert len({mutant.key for mutant in mutants}) == len(mutants)


def test_what_becomes_of_each_fault(code: Code) -> None:
    said: list[str] = []
    results = campaign.run(plan_of(code), said.append)
    states = {text: results.entries[mutant.key] for text, mutant in described(code).items()}
    assert {text for text, entry in states.items() if entry["state"] == SURVIVED} == {
        "7: 3 -> 4",  # no test leaves the argument out
        "7: 3 -> 2",
        "7: 0 -> (-1)",
        "9: x > LIMIT -> x >= LIMIT",  # equivalent
        "7: 0 -> 1",
        "11: x < low -> x <= low",
        "20: x //= 2 -> x /= 2",
        "26: x + 1 -> x - 1",
        "26: x + 1 -> x + 2",
        "26: x + 1 -> x + 0",
    }
    assert states["26: x + 1 -> x - 1"]["message"] == "no test reaches its line"
    assert {text for text, entry in states.items() if entry["state"] == TIMED_OUT} == {
        "20: x //= 2 -> x = 2",
        "20: 2 -> 1",
    }
    killed = states["18: 0 -> 1"]
    assert (killed["state"], killed["check"]) == (KILLED, "AssertionError")
    assert killed["test"].startswith("golden/tests/test_small.py::test_halvings")
    assert results.entries[described(code)["4: 7 -> 8"].key]["state"] == KILLED
    assert (code.root / "golden" / "small.py").read_text(encoding="utf-8") == SOURCE
    again: list[str] = []
    assert campaign.run(plan_of(code), again.append).entries == results.entries
    assert again == ["27 mutants in 1 modules of golden; 27 results are known"]


def test_what_a_cache_holds_is_computed_again_for_each_test(code: Code) -> None:
    """Else only the first of two tests that ask for the same value reaches the lines that compute it."""
    with campaign.copied("test", code.root) as copy:
        baseline = campaign.ensure_baseline(code, [copy], code.root / "cache", print)
    small = code.root / "golden" / "small.py"
    assert baseline.reaching(small, SOURCE.encode(), 20) == {
        "golden/tests/test_small.py::test_halvings",
        "golden/tests/test_small.py::test_halvings_again",
    }
    assert (
        len(baseline.reaching(small, SOURCE.encode(), 4)) == 6
    )  # executed at import: all that reach the file
    assert baseline.reaching(small, SOURCE.encode(), 12) == {
        "golden/tests/test_small.py::test_of_negative_numbers"
    }


def test_fault_that_is_no_python_did_not_build(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    small = code.root / "golden" / "small.py"
    broken = Mutant(small, "operator", (Edit(0, 0, "def"),), 1, "", "broken", parts=False)
    monkeypatch.setattr(campaign, "find_mutants", lambda files, root: [broken])
    results = campaign.run(plan_of(code), print)
    assert results.entries["broken"]["state"] == NOT_BUILT


def test_tests_that_fail_without_a_fault_stop_the_campaign(code: Code, tmp_path: Path) -> None:
    path = code.root / "golden" / "tests" / "test_wrong.py"
    path.write_text("def test_wrong():\n    assert 1 == 2\n", encoding="utf-8")
    try:
        wrong = Plan(Code(code.root, besides=()), tmp_path / "reports", tmp_path / "cache")
        with pytest.raises(RunFailed, match=r"without a fault.*\n.*test_wrong"):
            campaign.run(wrong, print)
        assert not list((tmp_path / "cache").iterdir())
    finally:
        path.unlink()


def test_it_goes_on_after_it_was_killed(code: Code, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from assay.sim.mutation.golden import campaign;"
        "from assay.sim.mutation.golden.baseline import Code; root, reports = map(Path, sys.argv[1:]);"
        "campaign.run(campaign.Plan(Code(root, besides=()), reports, root / 'cache'), print)"
    )
    journal = tmp_path / "golden.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(code.root), str(tmp_path)],
        env=os.environ | {"TMPDIR": str(tmp_path)},  # the copy that stays behind
    ) as process:
        deadline = time.monotonic() + 120
        while not (journal.is_file() and journal.read_bytes().count(b"\n") >= 3):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    known = [json.loads(line)["key"] for line in journal.read_text(encoding="utf-8").splitlines()]
    said: list[str] = []
    results = campaign.run(Plan(code, tmp_path, code.root / "cache"), said.append)
    assert said[0] == f"27 mutants in 1 modules of golden; {len(known)} results are known"
    assert len(results.entries) == 27
    ran = [json.loads(line)["key"] for line in journal.read_text(encoding="utf-8").splitlines()]
    assert len(ran) == len(set(ran)) == 27


def test_the_day_draws_the_order(code: Code, tmp_path: Path) -> None:
    plan = Plan(code, tmp_path, code.root / "cache", minutes=1e-9, day="2026-01-01")
    assert campaign.run(plan, print).entries == {}
    with pytest.raises(AssayError, match=r"no mutant of these modules has the key zz"):
        campaign.mutants_of(Plan(code, tmp_path, tmp_path, keys=("zz",)))
    with pytest.raises(AssayError, match=r"module of golden.*smal"):
        campaign.mutants_of(Plan(code, tmp_path, tmp_path, modules=("smal",)))


def test_command_lists_the_faults_of_a_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutate-golden", "--list", "--modules", "rounding"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 30 and all("golden/rounding.py:" in line for line in lines)
    assert main(["mutate-golden", "--list", "--modules", "roundin"]) == 2
    assert "did you mean rounding" in capsys.readouterr().err


def test_every_review_is_of_a_mutant_that_is_there() -> None:
    reviews = read_reviews(REVIEWED / "golden.toml")
    modules = {review.line.partition(":")[0] for review in reviews.of.values()}
    plan = Plan(Code(ROOT), ROOT, ROOT, modules=tuple(sorted({*modules, *reviews.complete})))
    there = {mutant.key: mutant for mutant in campaign.mutants_of(plan)}
    assert set(reviews.of) <= set(there)
    for key, review in reviews.of.items():
        mutant = there[key]
        what = mutant.describe(mutant.file.read_bytes())
        assert review.line == f"{campaign.name_of(Code(ROOT), mutant.file)}: {what}"


def test_every_fault_of_the_golden_model_is_one_of_its_files() -> None:
    assert {"rounding", "mvu/plan"} <= {campaign.name_of(Code(ROOT), file) for file in Code(ROOT).files()}
