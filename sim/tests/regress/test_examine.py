# SPDX-License-Identifier: Apache-2.0
"""A bucket's representative is run again, explained and shrunk; one that does not fail again is said so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.sim import run as run_module
from assay.sim.job import Job
from assay.sim.regress.buckets import Bucket, buckets
from assay.sim.regress.examine import BUCKETS, examine, read_examined
from assay.sim.regress.record import FAILED, JOURNAL, Result
from assay.sim.regress.report import make_report
from assay.sim.regress.signature import signature
from assay.sim.run import run_job
from assay.tb.block import Block

from .synthetic import HEADER, write


def run_of(block: Block, test: str) -> Job:
    """A run of the smallest block."""
    return Job(block, "verilator", 7, (test,))


def bucket_of(failure: dict[str, Any]) -> Bucket:
    """The bucket of one failure."""
    result = Result(0, 0, 7, FAILED, failure=failure, worker="tcp://far", replay="make SEED=7")
    (bucket,) = buckets([result], HEADER)
    return bucket


def test_a_failure_is_run_again_and_its_page_is_kept(counter: Block, tmp_path: Path) -> None:
    job = run_of(counter, "fails_at_5000_ns")
    bucket = bucket_of(signature(run_job(job, print)))
    record = examine(bucket, job, tmp_path, 0, print)
    assert record["reproduced"] and record["note"] == "failed again in the same way"
    (link,) = record["links"]
    assert "count wrong" in (tmp_path / link["path"]).read_text()
    assert read_examined(tmp_path, bucket) == record
    bucket.key = "another bucket, which has the number now"
    assert read_examined(tmp_path, bucket) is None


def test_a_failure_of_another_kind_is_named(counter: Block, tmp_path: Path) -> None:
    failure = {"block": "counter", "kind": "mismatch", "check": "mismatch: out", "message": "wrong"}
    record = examine(bucket_of(failure), run_of(counter, "fails_at_5000_ns"), tmp_path, 0, print)
    assert record["reproduced"] and record["note"].startswith("failed again, in another way: ")


def test_a_failure_that_does_not_come_again_is_said_loudly(counter: Block, tmp_path: Path) -> None:
    said: list[str] = []
    bucket = bucket_of({"block": "counter", "kind": "error", "check": "error"})
    record = examine(bucket, run_of(counter, "counts"), tmp_path, 1, said.append)
    assert not record["reproduced"] and "tcp://far" in record["note"]
    assert any("NOT REPRODUCIBLE" in line for line in said)


def test_the_report_says_what_is_not_reproducible(counter: Block, tmp_path: Path) -> None:
    folder = write(tmp_path / "regress" / "night", 40)
    failure = {"block": "counter", "kind": "error", "check": "error", "message": "wrong"}
    with (folder / JOURNAL).open("a") as file:
        file.write(json.dumps(Result(40, 0, 7, FAILED, failure=failure).as_json()) + "\n")
    said: list[str] = []
    make_report(folder, tmp_path, lambda entry, seed: run_of(counter, "counts"), 0, said.append)
    assert any(line.strip().startswith("NOT REPRODUCIBLE") for line in said)
    assert "NOT REPRODUCIBLE" in (folder / "report.html").read_text()


@pytest.mark.parametrize("whole", [False, True])
def test_an_interruption_keeps_what_was_found(
    counter: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "add_failure_waves", interrupted)
    job = run_of(counter, "fails_at_5000_ns")
    if not whole:
        bucket = bucket_of({"block": "counter", "kind": "error", "check": "error"})
        with pytest.raises(KeyboardInterrupt):
            examine(bucket, job, tmp_path, 0, print)
        record = json.loads((tmp_path / BUCKETS / "1" / "examined.json").read_text())
        assert record["reproduced"] and record["note"].endswith("interrupted")
        return
    folder = write(tmp_path / "regress" / "night", 40)
    with (folder / JOURNAL).open("a") as file:
        line = Result(40, 0, 7, FAILED, failure={"kind": "error", "check": "error"}).as_json()
        file.write(json.dumps(line) + "\n")
    said: list[str] = []
    make_report(folder, tmp_path, lambda entry, seed: job, 0, said.append)
    assert any(line.startswith("interrupted") for line in said)
    assert (folder / "report.html").is_file()
