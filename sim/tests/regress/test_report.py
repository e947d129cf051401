# SPDX-License-Identifier: Apache-2.0
"""What is made of a journal: summary, history, kept seeds, JUnit, and the page in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from assay.sim.regress.history import read_history
from assay.sim.regress.junit import write_junit
from assay.sim.regress.page import write_page
from assay.sim.regress.record import FAILED, JOURNAL, Result
from assay.sim.regress.report import make_report, told
from assay.sim.regress.summary import FOUND_SEEDS, SEEDS_KEPT, read_found, write_summary
from assay.tb.errors import AssayError

from .synthetic import BINS, ENTRIES, HEADER, never, one_fault, results, write

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def no_job(*_: object) -> Any:
    raise AssertionError("nothing is to be run")


def test_the_numbers_of_a_summary_are_those_of_the_journal(tmp_path: Path) -> None:
    folder = write(tmp_path / "night", 2000, one_fault)
    summary = write_summary(folder)
    every = list(results(2000, one_fault))
    failed = [result for result in every if result.state == FAILED]
    assert summary["verdict"] == "failed" and summary["runs"] == 2000
    assert summary["totals"] == {"passed": 2000 - len(failed), "failed": len(failed), "acknowledged": 0}
    assert sum(bucket["count"] for bucket in summary["buckets"]) == len(failed)
    assert sum(test["failed"] for test in summary["tests"]) == len(failed)
    assert sum(test["new"] for test in summary["tests"]) == summary["coverage"]["covered"]
    assert summary["coverage"]["all"] == len(BINS) and summary["coverage"]["curve"][-1][0] == 2000
    assert summary["graded"]["bins"] == summary["coverage"]["covered"]
    assert summary["slowest"][0]["seconds"] == round(max(result.seconds for result in every), 2)
    assert sum(worker["runs"] for worker in summary["workers"]) == 2000
    assert summary == json.loads((folder / "summary.json").read_text())


def test_verdicts(tmp_path: Path) -> None:
    folder = write(tmp_path / "first" / "good", 40)
    with (folder / JOURNAL).open("a") as file:
        file.write('{"event":"worker","at":1,"text":"left"}\n')
    assert write_summary(folder)["verdict"] == "passed"
    folder = write(tmp_path / "good", 40)
    whole = (folder / JOURNAL).read_text().splitlines(keepends=True)
    (folder / JOURNAL).write_text("".join(whole[:-1]))
    assert write_summary(folder)["verdict"] == "interrupted"
    assert "interrupted" in write_page(folder).read_text()
    assert not read_history(tmp_path, HEADER.started)
    (folder / JOURNAL).write_text(whole[0])
    assert write_summary(folder)["verdict"] == "nothing ran"


def test_history_is_kept_across_regressions_and_the_page_draws_it(tmp_path: Path) -> None:
    for number, fails in enumerate((never, one_fault, never)):
        header = replace(HEADER, started=HEADER.started + 1e5 * number)
        folder = write(tmp_path / f"night{number}", 400, fails, header=header)
        summary = write_summary(folder)
        write_summary(folder)  # as after a resumption: it counts once
    history = read_history(tmp_path, header.started)
    assert [line["name"] for line in history] == ["night0", "night1"]
    (test,) = (test for test in summary["tests"] if test["name"] == ENTRIES[0].name)
    assert [place for place, _ in test["history"]] == [0, 1] and test["history"][0][1] == 1 > test["history"][
        1
    ][1]
    assert "in 3 regressions" in write_page(folder).read_text()


def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "night", 40)
    (tmp_path / "history.jsonl").write_text("no history\n")
    with pytest.raises(AssayError, match="is no history of regressions"):
        write_summary(folder)


def test_seeds_that_found_something_are_kept_once_and_graded(tmp_path: Path) -> None:
    folder = write(tmp_path / "regress" / "night", 2000, one_fault)
    root = tmp_path / "repository"
    for _ in range(2):
        summary = write_summary(folder, root=root)
    lines = read_found(root / FOUND_SEEDS)
    assert len(lines) == SEEDS_KEPT == len({(line["bucket"], line["entry"], line["seed"]) for line in lines})
    best = summary["buckets"][0]
    assert (lines[0]["entry"], lines[0]["seed"]) == (best["test"], best["seed"])
    listed = json.loads((tmp_path / "regress" / "graded.json").read_text())["runs"]
    assert {(run["entry"], run["seed"]) for run in listed} >= {
        (line["entry"], line["seed"]) for line in lines
    }


def test_junit_has_every_run_with_seed_and_replay(tmp_path: Path) -> None:
    folder = write(tmp_path / "night", 500, one_fault)
    path = folder / JOURNAL
    odd = Result(500, 0, 9, FAILED, failure={"message": 'a < b & "c"\x00\n]]>'}, replay="make SEED=9 P='a<b'")
    with path.open("a") as file:
        file.write(json.dumps(odd.as_json()) + "\n")
    root = ElementTree.parse(write_junit(folder)).getroot()
    cases = list(root.iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None]
    assert (len(cases), str(len(failed))) == (501, root.get("failures"))
    assert len(failed) == 1 + sum(result.state == FAILED for result in results(500, one_fault))
    values = {each.get("name"): each.get("value") for each in failed[-1].iter("property")}
    assert values == {"seed": "9", "replay": odd.replay}


def test_everything_is_made_and_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "regress" / "night", 400, one_fault)
    said: list[str] = []
    summary = make_report(folder, tmp_path, no_job, -1, said.append)
    assert said[0].startswith("FAILED  regression night: 400 runs: ")
    assert any(summary["buckets"][0]["replay"] in line for line in said)
    assert any(str(FOUND_SEEDS) in line for line in said)  # a file that is the user's to commit
    again: list[str] = []
    make_report(folder, tmp_path, no_job, -1, again.append)
    assert not any(str(FOUND_SEEDS) in line for line in again)
    assert {path.name for path in folder.iterdir()} == {JOURNAL, "summary.json", "report.html", "junit.xml"}


def test_known_failures_that_expired_or_went_away_are_told(tmp_path: Path) -> None:
    (tmp_path / "tb").mkdir()
    entry = '[[known]]\nmodule = "{}"\nreason = "r"\nwho = "Ada"\nexpires = {}\n'
    text = entry.format("mvu_post", "2001-01-01") + entry.format("nobody_at_all", "2999-01-01")
    (tmp_path / "tb" / "known_failures.toml").write_text(text)
    folder = write(tmp_path / "regress" / "night", 400, one_fault)
    summary = make_report(folder, tmp_path, no_job, -1, lambda line: None)
    lines = "\n".join(told(summary, tmp_path))
    assert summary["verdict"] == "failed"
    assert re.search(r"expired .*mvu_post", lines) and re.search(r"stale .*nobody_at_all", lines)


# -------------------------------------------------------------------------------------------------
# The page
# -------------------------------------------------------------------------------------------------
def opened(page: Path, fragment: str = "", seconds: float = 60) -> str:
    """The document of a page once its table is there."""
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000"]
    found = subprocess.run(
        [
            CHROMIUM,
            *options,
            f"--user-data-dir={page.parent / 'browser'}",
            "--dump-dom",
            f"{page.as_uri()}{fragment}",
        ],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=True,
    )
    assert "data-ready=" in found.stdout
    return found.stdout


def rows(document: str) -> list[list[str]]:
    """Cells of the rows in sight of the table of all runs."""
    found = re.findall(r'<tr data-at="\d+">(.*?)</tr>', document)
    return [[html.unescape(text) for text in re.findall(r"<td[^>]*>([^<]*)</td>", row)] for row in found]


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@needs_chromium
def test_the_page_filters_and_sorts_in_a_browser(tmp_path: Path) -> None:
    folder = write(tmp_path / "night", 3000, one_fault)
    write_summary(folder)
    page = write_page(folder)
    every = list(results(3000, one_fault))
    text = page.read_text()
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    document = opened(page)
    assert "3,000 of 3,000 runs" in document
    assert [row[0] for row in rows(document)[:3]] == ["0", "1", "2"]
    wanted = [
        r for r in every if r.state == FAILED and ENTRIES[r.entry].name.endswith("mvu-default-icarus-stalls")
    ]
    document = opened(page, "#filter=failed%20mvu-default-icarus-stalls&sort=-seconds")
    assert f"{len(wanted)} of 3,000 runs" in document
    slowest = sorted(wanted, key=lambda r: -r.seconds)
    assert [row[0] for row in rows(document)[:5]] == [str(r.item) for r in slowest[:5]]
    assert all(row[7] == "#1" for row in rows(document))
    document = opened(page, "#filter=seed%3D7&sort=test")
    assert f"{sum(r.seed == 7 for r in every)} of 3,000 runs" in document
    document = opened(page, "#sort=seed&row=2900")
    assert int(rows(document)[0][3]) > 70
    document = opened(page, "#filter=nothing-has-this-name")
    assert "0 of 3,000 runs" in document and not rows(document)


@needs_chromium
def test_clicks_sort_filter_and_show_the_replay(tmp_path: Path) -> None:
    pytest.importorskip("tornado")
    from . import browser

    folder = write(tmp_path / "night", 3000, one_fault)
    write_summary(folder)
    page = write_page(folder)
    every = list(results(3000, one_fault))
    first = "document.querySelector('#all tr[data-at]')"
    with browser.opened(str(CHROMIUM), tmp_path / "browser", page) as seen:
        for most in (True, False):  # the first click sorts falling, the second one rising
            seen.value("document.querySelector('#all th[data-sort=clocks]').click()")
            wanted = (max if most else min)(result.clocks for result in every)
            assert seen.value(f"{first}.children[5].textContent") == str(wanted)
        seen.value("input.value = 'failed mvu'; input.dispatchEvent(new Event('input'))")
        wanted = [r for r in every if r.state == FAILED and ENTRIES[r.entry].block == "mvu"]
        seen.wait(f"document.getElementById('count').textContent.startsWith('{len(wanted)} of 3,000')")
        assert seen.value("location.hash") == "#filter=failed%20mvu&sort=clocks"
        seen.value(f"{first}.click()")
        least = min(wanted, key=lambda result: result.clocks)
        assert seen.value("document.querySelector('#chosen pre').textContent") == least.replay
        # A bucket's link shows its runs.
        seen.value("document.querySelector('#b1 a').click()")
        every_failed = sum(result.state == FAILED for result in every)
        seen.wait(f"document.getElementById('count').textContent.startsWith('{every_failed:,} of 3,000')")
        # The last run is at the end of the scroll bar.
        seen.value("state.filter = ''; state.sort = ''; update(0); box.scrollTop = box.scrollHeight; draw()")
        assert seen.value("[...document.querySelectorAll('#all tr[data-at]')].at(-1).dataset.at") == "2999"


@needs_chromium
def test_a_hundred_thousand_runs_open_sort_and_filter(tmp_path: Path) -> None:
    folder = write(tmp_path / "night", 100_000, bins=False)
    write_summary(folder)
    page = write_page(folder)
    assert page.stat().st_size < 3_000_000
    document = opened(page, "#filter=verilator&sort=-seconds")
    assert "50,000 of 100,000 runs" in document
    seconds = [float(row[4]) for row in rows(document)]
    assert seconds == sorted(seconds, reverse=True) and seconds[0] > 5
    assert len(re.findall("<tr", document)) < 1000  # only what is in sight


def test_texts_of_failures_cannot_break_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    folder = tmp_path / "night"
    write(folder, 40)
    failure = {"block": "mvu", "kind": "error", "check": evil, "message": evil}
    with (folder / JOURNAL).open("a") as file:
        line = Result(40, 0, 9, FAILED, failure=failure, replay=f"make SEED=9 {evil}", worker=evil).as_json()
        file.write(json.dumps(line) + "\n")
    write_summary(folder)
    assert "<script>alert" not in write_page(folder).read_text()


def test_a_folder_without_a_summary_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="summary"):
        write_page(write(tmp_path / "night", 4))
