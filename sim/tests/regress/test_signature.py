# SPDX-License-Identifier: Apache-2.0
"""What is alike in failures of one cause."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assay.sim.job import Job
from assay.sim.regress.signature import ITSELF, normalised, place_of, signature, signature_of_error
from assay.sim.run import Outcome, TestResult


def outcome(*failures: dict[str, Any], problems: tuple[str, ...] = (), message: str = "failed") -> Outcome:
    """A failed run of an MVU."""
    job = cast(Job, SimpleNamespace(block=SimpleNamespace(name="mvu")))
    results = [TestResult("random_jobs", "failed", message, 900)]
    return Outcome(job, Path(), results, list(problems), {"failures": list(failures)}, 1.0, 900.0)


def mismatch(**fields: Any) -> dict[str, Any]:
    """A wrong word of an MVU with eight lanes, of which the fourth is wrong."""
    return {
        "kind": "mismatch",
        "stream": "trc",
        "cycle": 90,
        "message": "stream trc, beat 590, layer random13: a beat differs; expected data=0x00, seen data=0x08",
        "headline": "trc, beat 590: a beat differs",
        "where": "layer random13, channels 0 to 7 (data[i] is channel 0 + i), bit plane 1 of u2",
        "expected": "data=0x00 addr=0x2000",
        "seen": "data=0x08 addr=0x2000",
        **fields,
    }


def test_a_wrong_word_is_known_by_module_stage_stream_and_lane() -> None:
    found = signature(outcome(mismatch(cause="mvu_post of MVU 3, as if output 1 were the whole pool group")))
    assert found == {
        "block": "mvu",
        "kind": "mismatch",
        "check": "mismatch: trc",
        "module": "mvu_post",
        "stage": "as if output # were the whole pool group",
        "unit": "MVU",
        "stream": "trc",
        "fields": ["data"],
        "at": {"lane": [3]},
        "place": "lane 3",
        "message": "trc, beat 590: a beat differs",
        "time_ns": 900.0,
        "clocks": 90,
    }


@pytest.mark.parametrize(
    ("cause", "module", "stage", "unit"),
    [
        ("MVU 3 itself: what it had to read is right", None, ITSELF, "MVU"),
        ("controller_alu: the result of sra", "controller_alu", "the result of sra", None),
        ("controller_csr or controller_timer: late", "controller_csr or controller_timer", "late", None),
        (
            "accelerator_axi_write, or accelerator_decode: where a beat goes",
            "accelerator_axi_write or accelerator_decode",
            "where a beat goes",
            None,
        ),
        (
            "mvu_serialiser of MVU 0 (its mvu_agu): words go to wrong addresses",
            "mvu_serialiser",
            "words go to wrong addresses",
            "MVU",
        ),
        (
            "order: the job began at clock 1,203, before MVU 2 had written what it reads",
            "order",
            "the job began at clock #, before MVU # had written what it reads",
            None,
        ),
    ],
)
def test_a_cause_gives_who_is_to_blame(cause: str, module: str | None, stage: str, unit: str | None) -> None:
    found = signature(outcome(mismatch(cause=cause)))
    assert (found.get("module"), found.get("stage"), found.get("unit")) == (module, stage, unit)


def test_a_later_failure_with_a_cause_beats_an_earlier_one_without() -> None:
    hang = {"kind": "hang", "message": "MVU 0 hangs: job random3 has not ended after 900 clocks"}
    found = signature(outcome(hang, mismatch(cause="mvu_post of MVU 0: it rounds")))
    assert (found["module"], found["also"]) == ("mvu_post", ["hang"])


def test_an_assertion_is_known_by_its_name_and_module() -> None:
    said = "the HDL raised an error at 1,005 ns: rtl/mvu/mvu_post.sv:41: ASSERT sum_known failed\nin top.dut.u_post"
    found = signature(outcome(mismatch(cause="mvu_mac of MVU 1: wrong"), problems=(said,)))
    assert (found["kind"], found["check"], found["module"]) == (
        "assertion",
        "assertion: sum_known",
        "mvu_post",
    )
    assert found["also"] == ["mismatch: trc; mvu_mac"]


def test_what_a_planted_fault_hid_counts_as_itself() -> None:
    planted = {
        "kind": "error",
        "message": "the planted fault gave 'mismatch', without ['x']",
        "found": mismatch(),
    }
    assert signature(outcome(planted)) == {**signature(outcome(mismatch())), "planted": True}


def test_a_fall_of_the_bench_is_known_by_its_place_in_the_code() -> None:
    text = "a task of the bench ended with IndexError: list index out of range (env.py, line 4, in look)"
    found = signature(outcome({"kind": "IndexError", "message": text}, message="IndexError"))
    assert (found["kind"], found["check"]) == ("bench", "IndexError: env.py, look")


@pytest.mark.parametrize(
    "failures", [["no dictionary"], [{"kind": None, "at": 3}], [{"cause": 7, "expected": 1}]]
)
def test_no_summary_makes_it_raise(failures: list[Any]) -> None:
    found = signature(outcome(*failures))
    assert found["block"] == "mvu" and found["message"]


@pytest.mark.parametrize(
    ("text", "kind", "check"),
    [
        (
            "the HDL did not compile:\n%Error: /a/b/rtl/mvu/mvu_post.sv:12:4: syntax error",
            "build",
            "%Error: mvu_post.sv:#:#: syntax error",
        ),
        (
            "the simulation did not end within 600 s and was stopped",
            "timeout",
            "the simulation did not end within # s and was stopped",
        ),
        (
            "each of the 3 workers that began it went away",
            "lost",
            "each of the # workers that began it went away",
        ),
        ("", "error", "no message"),
    ],
)
def test_errors_have_a_signature(text: str, kind: str, check: str) -> None:
    found = signature_of_error(text)
    assert (found["kind"], found["check"]) == (kind, check)


def test_what_is_the_seeds_is_left_out() -> None:
    one, other = (
        f"layer random{n}, hart {n}: rs1_rdata is 0x{n:08x} instead of 1,20{n}; conv{n} at {n}.5 ns"
        for n in (3, 7)
    )
    assert normalised(one) == normalised(other)
    assert "rs1_rdata" in normalised(one) and normalised("rs1_rdata") != normalised("rs2_rdata")


@pytest.mark.parametrize(
    ("at", "sizes", "place"),
    [
        ({"lane": [3]}, {"lane": 8}, "lane 3"),
        ({"lane": [7]}, {"lane": 8}, "last lane"),
        ({"lane": [63]}, {"lane": 64}, "last lane"),
        ({"lane": [0, 2, 4, 6]}, {"lane": 8}, "every second lane"),
        ({"lane": [1, 5]}, {"lane": 8}, ""),
        ({"lane": [2, 5, 8]}, {"lane": 9}, "every third lane"),
        ({"lane": list(range(8))}, {"lane": 8}, ""),
        ({"row": [2], "entry": [0, 1, 3]}, {"row": 8, "entry": 4}, "row 2"),
        ({}, {}, ""),
    ],
)
def test_lanes_become_a_class(at: dict[str, list[int]], sizes: dict[str, int], place: str) -> None:
    assert place_of(at, sizes) == place


def test_rows_and_entries_of_an_array_are_told_apart() -> None:
    where = "entries 0 to 3 (data[(q*8 + r)*8] is entry 0 + q, row 0 + r)"
    seen = sum(0x11 << (q * 8 + 2) * 8 for q in range(4))
    failure = {"kind": "mismatch", "stream": "out", "message": "m", "where": where}
    words = {"expected": f"data=0x{0:064x}", "seen": f"data=0x{seen:064x}"}
    found = signature(outcome({**failure, **words}))
    assert found["at"] == {"row": [2], "entry": [0, 1, 2, 3]} and found["place"] == "row 2"
