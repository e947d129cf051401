# SPDX-License-Identifier: Apache-2.0
"""The report: what it writes and when a run counts as passed."""

import json
import logging
import resource

import numpy as np
import pytest

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats, StreamError
from assay.tb.coverage import CoverGroup, CoverPoint
from assay.tb.report import Failed, Report, headline, told, write_json
from assay.tb.scoreboard import HEADLINE, Explanation, StreamScoreboard

FORMAT = BeatFormat([("data", 8)])


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("ASSAY_REPLAY", "make SIM=icarus TOPLEVEL=mvu SEED=7")
    return tmp_path


def scoreboard(report: Report, expected: list[int], seen: list[int]) -> StreamScoreboard:
    board = StreamScoreboard(
        "xbo", FORMAT, locate=lambda i: f"lane {i}", on_mismatch=report.fail, values_per_beat=8
    )
    board.expect(FORMAT.pack(data=expected))
    board.write(Beats("xbo", 0, np.arange(len(seen), dtype=np.uint32), FORMAT.pack(data=seen)))
    return board


def test_a_passing_run(run_dir):
    lines = []
    report = Report("mvu", "Icarus 11.0", 7, lines.append)
    with report:
        report.add_scoreboard(scoreboard(report, [1, 2, 3], [1, 2, 3]))
        report.clocks, report.ideal_clocks = 1020, 1000
        group = CoverGroup("jobs", [CoverPoint("bits", [1, 2])])
        group.sample(bits=1)
        report.add_coverage(group)
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["passed"] and not summary["failures"]
    assert (summary["words_compared"], summary["values_compared"]) == (3, 24)
    assert (summary["clocks"], summary["ideal_clocks"]) == (1020, 1000)
    assert summary["coverage"] == {"jobs": 50.0}
    assert json.loads((run_dir / "coverage" / "mvu" / "jobs.json").read_text())["name"] == "jobs"
    assert lines[0].startswith("PASS mvu (Icarus 11.0, seed 7)")


def test_the_coverage_of_a_run_is_that_of_its_tests(run_dir):
    """Each is kept apart, and what a run reports is their sum."""
    for test, bits in (("first", 1), ("second", 2)):
        report = Report(f"mvu {test}", out=lambda text: None)
        group = CoverGroup("jobs", [CoverPoint("bits", [1, 2])])
        group.sample(bits=bits)
        report.add_coverage(group)
        kept = json.loads((run_dir / "coverage" / test / "jobs.json").read_text())
        assert kept["items"]["bits"]["hits"] == {str(bits): 1}
    assert report.coverage == {"jobs": 100.0}


def test_a_mismatch_is_told_once_with_everything_needed(run_dir):
    lines = []
    report = Report("mvu", "Icarus 11.0", 7, lines.append)
    with report:
        report.add_scoreboard(scoreboard(report, [1, 2, 3], [1, 6, 3]))
    (failure,) = json.loads((run_dir / "summary.json").read_text())["failures"]
    assert failure["kind"] == "mismatch"
    assert failure["time_ns"] == 10
    assert not report.passed
    for text in ("FAIL", "lane 1", "data=0x02", "data=0x06", "data[2]", "10 ns", "make SIM=icarus"):
        assert text in lines[0]


def test_zero_comparisons_fail(run_dir):
    assert not Report("mvu", out=lambda text: None).finish()
    summary = json.loads((run_dir / "summary.json").read_text())
    assert summary["failures"][0]["kind"] == "nothing compared"


def test_an_exception_is_written_and_passed_on(run_dir):
    with pytest.raises(RuntimeError, match="burst"), Report("mvu", out=lambda text: None):
        raise RuntimeError("burst")
    (failure,) = json.loads((run_dir / "summary.json").read_text())["failures"]
    assert (failure["kind"], failure["message"]) == ("RuntimeError", "burst")


def test_write_json_leaves_nothing_half_written(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"new": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}


def test_write_json_keeps_what_stood_there_where_a_file_cannot_grow(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*a\.json'"):
            write_json(tmp_path / "a.json", ["new"] * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}


def test_check_ends_a_failed_test():
    lines = []
    with Report("mvu", out=lines.append) as report:
        report.fail("a beat differs")
    assert lines[0].startswith("FAIL mvu")
    with pytest.raises(Failed, match="a beat differs"):
        report.check()
    with Report("mvu", out=lines.append) as report:
        report.words_compared = 1
    report.check()
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Failed("a beat differs"), False),
        # Its __init__ asks the simulator for the time.
        (StreamError.__new__(StreamError, "valid fell"), False),
        (KeyError("bug"), True),
    ],
)
def test_a_traceback_is_for_what_the_report_does_not_say(error, told, caplog):
    """cocotb logs a failed test as an exception; Python's frames are of use only for a fault of the bench's own."""
    with Report("mvu", out=lambda text: None) as report:
        report.words_compared = 1
    try:
        raise error
    except Exception as raised:
        logging.getLogger("cocotb.regression").warning("real_layers failed", exc_info=raised)
    assert "real_layers failed" in caplog.text
    assert ("Traceback" in caplog.text) == told


# -------------------------------------------------------------------------------------------------
# The line of a failure, and those below it
# -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("message", "first", "rest"),
    [
        ("short", "short", ""),
        ("one line\nand another", "one line", "and another"),
        ("a" * 60 + "; " + "b" * 60, "a" * 60 + ";", "b" * 60),
        ("a" * 40 + ": " + "b" * 60 + ", c", "a" * 40 + ":", "b" * 60 + ", c"),
        ("word " * 30, ("word " * 17).strip(), ("word " * 13).strip()),
        ("x" * 200, "x" * HEADLINE, "x" * (200 - HEADLINE)),
        ("a" * 100 + "\nmore", "a" * HEADLINE, "a" * 11 + "\nmore"),
    ],
)
def test_a_long_message_is_cut_where_a_thought_ends(message: str, first: str, rest: str) -> None:
    assert headline(message) == (first, rest)


def test_the_lines_below_do_not_repeat_the_first(run_dir) -> None:
    failure = {
        "message": "x = 0: expected 2, seen 1; cause: the multiplier",
        "headline": "x = 0: expected 2, seen 1: the multiplier",
        "expected": "2",
        "seen": "1",
        "cause": "the multiplier",
        "where": "row 3",
        "time_ns": 1234.0,
    }
    assert told(failure) == [
        ("", "x = 0: expected 2, seen 1: the multiplier"),
        ("at", "row 3"),
        ("time", "1,234 ns"),
    ]
    assert told({"message": "late; clock 9, 1,234 ns", "time_ns": 1234}) == [("", "late; clock 9, 1,234 ns")]
    long = "the job was busy for 2036 clocks; " + "its accesses waited " * 5
    assert [label for label, _ in told({"message": long, "time_ns": -1})] == ["", ""]


def test_a_mismatch_has_a_headline_with_its_cause_if_that_fits(run_dir) -> None:
    for cause, expected in (
        ("", "xbo, beat 1, lane 1: a beat differs"),
        ("the sum", "xbo, beat 1: a beat differs: the sum"),
        ("c" * 70, "xbo, beat 1: " + "c" * 70),
        ("c" * 85, "c" * 85),
        ("c" * 120, "xbo, beat 1: a beat differs"),
    ):
        found = []
        board = StreamScoreboard(
            "xbo",
            FORMAT,
            locate=lambda i: f"lane {i}",
            explain=lambda i, unlike, cause=cause: Explanation("sum 5", cause, "input 3", "the host"),
            on_mismatch=found.append,
        )
        board.expect(FORMAT.pack(data=[1, 2, 3]))
        board.write(Beats("xbo", 0, np.arange(3, dtype=np.uint32), FORMAT.pack(data=[1, 7, 3])))
        board.conclude()
        failure = found[0].as_failure()
        assert failure["headline"] == expected
        assert len(expected) <= HEADLINE
        lines = dict(told(failure))
        assert lines[""] == expected
        assert lines.get("at", "") == ("lane 1" if cause else "")
        assert lines.get("cause", "") == (cause if cause and cause not in expected else "")
        assert (lines["it read"], lines["written by"], lines["golden"]) == ("input 3", "the host", "sum 5")
        assert (lines["expected"], lines["seen"]) == ("data=0x02", "data=0x07")


def test_a_text_as_explanation_is_a_hint(run_dir) -> None:
    found = []
    board = StreamScoreboard("xbo", FORMAT, explain=lambda i, unlike: "sum 5", on_mismatch=found.append)
    board.expect(FORMAT.pack(data=[1]))
    board.write(Beats("xbo", 0, np.zeros(1, np.uint32), FORMAT.pack(data=[2])))
    board.conclude()
    assert (found[0].hint, found[0].cause) == ("sum 5", "")


def test_what_never_came_was_due_behind_the_last_beat(run_dir) -> None:
    report = Report("mvu", out=lambda text: None)
    board = StreamScoreboard("xbo", FORMAT, on_mismatch=report.record, origin_ns=7, clock_ns=10)
    board.expect(FORMAT.pack(data=[1, 2, 3]))
    board.write(Beats("xbo", 0, np.array([40, 41], np.uint32), FORMAT.pack(data=[1, 2])))
    board.finish()
    (failure,) = report.failures
    assert (failure["kind"], failure["time_ns"]) == ("lost", 417)
    assert "1 expected beats never came after this clock" in failure["message"]


def test_what_a_port_did_before_belongs_to_its_error(run_dir, monkeypatch) -> None:
    monkeypatch.setattr("assay.tb.agents.burst.get_sim_time", lambda unit: 500)
    report = Report("mvu", out=lambda text: None)
    error = StreamError("r", "a read from 0x10 on is answered SLVERR", quiet_ns=100)
    assert error.time_ns == 400
    error.earlier = "write of 1 beat of 8 bytes from 0x00000008 on: SLVERR"
    report.record(error)
    assert ("before it", error.earlier) in told(report.failures[0])


def test_an_explanation_that_fails_hides_no_difference(run_dir) -> None:
    def explain(index: int, unlike: np.ndarray) -> str:
        raise KeyError("lane")

    found = []
    board = StreamScoreboard("xbo", FORMAT, explain=explain, on_mismatch=found.append)
    board.expect(FORMAT.pack(data=[1]))
    board.write(Beats("xbo", 0, np.zeros(1, np.uint32), FORMAT.pack(data=[2])))
    board.conclude()
    assert (found[0].kind, found[0].seen) == ("mismatch", "data=0x02")
    assert found[0].hint == "not known: the explanation ended with KeyError: 'lane'"
