# SPDX-License-Identifier: Apache-2.0
"""Failures of one cause fall together, and those of two causes do not."""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assay.sim.regress.buckets import Bucket, buckets
from assay.sim.regress.known import FILE, Known, read_known
from assay.sim.regress.record import ERROR, FAILED, Entry, Result
from assay.sim.regress.signature import ITSELF
from assay.tb.errors import AssayError

from .synthetic import ENTRIES, HEADER, one_fault, results


def made(*failures: Mapping[str, Any], known: tuple[Known, ...] = (), state: str = FAILED) -> list[Bucket]:
    """The buckets of failures of the first test."""
    return buckets(
        (
            Result(
                n,
                int(each.get("entry", 0)),
                n,
                state,
                seconds=1.0,
                ended=n,
                failure=each,
                replay=f"replay {n}",
            )
            for n, each in enumerate(failures)
        ),
        HEADER,
        known,
    )


def word(**fields: Any) -> dict[str, Any]:
    """A wrong word."""
    return {
        "block": "mvu",
        "kind": "mismatch",
        "check": "mismatch: trc",
        "stream": "trc",
        "time_ns": 100,
        **fields,
    }


def test_a_fault_that_shows_in_a_hundred_ways_is_one_bucket() -> None:
    found = buckets(results(8000, one_fault), HEADER)
    assert len(found) == 1
    assert len(found[0].ways) >= 40
    assert found[0].count == sum(result.state == FAILED for result in results(8000, one_fault))
    assert "mvu_post" in found[0].title


def test_a_second_fault_in_another_module_is_a_bucket_of_its_own() -> None:
    def two(rng: random.Random, entry: Entry) -> Mapping[str, Any] | None:
        if entry.block == "mvu" and rng.random() < 0.05:
            return word(module="mvu_agu", stage="words go to wrong addresses", unit="MVU")
        return one_fault(rng, entry)

    found = buckets(results(8000, two), HEADER)
    assert {"mvu_post", "mvu_agu"} <= {bucket.key for bucket in found}


def test_one_of_two_suspects_joins_the_one_that_others_blame() -> None:
    found = made(word(module="mvu_post"), word(module="mvu_residual or mvu_post"), word(module="mvu_agu"))
    assert sorted(bucket.count for bucket in found) == [1, 2]


def test_an_assertion_joins_the_module_that_its_run_blames_beside_it() -> None:
    said = {"block": "mvu", "kind": "assertion", "check": "assertion: held", "module": "fifo"}
    assert len(made(word(module="mvu_post"), said)) == 2
    assert len(made(word(module="mvu_post"), {**said, "also": ["mismatch: trc; mvu_post"]})) == 1


def test_a_unit_joins_its_only_module_unless_its_lane_says_otherwise() -> None:
    blamed = [word(module="mvu_post", unit="MVU", place=f"lane {n}") for n in range(4)]
    vague = word(stage=ITSELF, unit="MVU")
    assert len(made(*blamed, vague)) == 1
    in_one_lane = [word(stage=ITSELF, unit="MVU", place="lane 5")] * 4
    found = made(*blamed, *in_one_lane)
    assert [bucket.count for bucket in found] == [4, 4]
    assert any("lane 5" in bucket.title for bucket in found)
    two = [word(module="mvu_agu", unit="MVU")]
    assert len(made(*blamed, *two, vague)) == 3  # nobody knows which


def test_a_few_hangs_join_the_only_cause_and_many_do_not() -> None:
    hang = {"block": "mvu", "kind": "hang", "check": "hang", "stage": "job * has not ended"}
    blamed = [word(module="mvu_post")] * 8
    assert len(made(*blamed, hang, hang)) == 1
    many = made(*blamed, *[hang] * 5)
    assert [bucket.count for bucket in many] == [8, 5]
    assert many[1].perhaps == 1
    elsewhere = made(*blamed, {**hang, "entry": 1})
    assert len(elsewhere) == 2  # a test that shows nothing but the hang


def test_one_lane_is_told_apart_from_the_rest() -> None:
    def wrong(place: str) -> dict[str, Any]:
        return {
            "block": "pe_array",
            "kind": "mismatch",
            "check": "mismatch: out",
            "stream": "out",
            "place": place,
        }

    spread = [wrong(f"row {n % 7}") for n in range(14)] + [wrong("")] * 6
    assert len(made(*spread)) == 1
    found = made(*spread, *[wrong("row 2")] * 12)
    assert [bucket.count for bucket in found] == [18, 14]
    assert "row 2" in found[1].title


def test_a_text_with_other_words_is_another_bucket() -> None:
    def check(text: str) -> dict[str, Any]:
        return {"block": "controller", "kind": "check", "check": "check: trace", "stage": text}

    like = [
        check(f"hart #, pc #: csrrs {r}, mip, zero: mip reads #, its bits # cannot be so")
        for r in ("a#", "t#")
    ]
    assert len(made(*like)) == 1
    assert len(made(*like, check("hart #: interrupt # is taken, which is not pending"))) == 2


def test_a_build_that_fails_joins_no_fault_of_the_same_module() -> None:
    broken = {"kind": "build", "check": "%Error: mvu_post.sv", "module": "mvu_post"}
    failed = Result(0, 0, 1, FAILED, failure=word(module="mvu_post"))
    error = Result(1, 0, 2, ERROR, failure=broken)
    assert len(buckets([failed, error], HEADER)) == 2


def test_the_representative_is_the_shortest_run() -> None:
    (bucket,) = made(
        word(module="m_a", time_ns=500),
        word(module="m_a", time_ns=20, place="lane 1"),
        word(module="m_a", time_ns=-1),
    )
    assert bucket.replay == "replay 1"
    assert bucket.tests == {0: 3}
    assert sorted(seed for _, seed in bucket.seeds) == [0, 1, 2]
    assert (bucket.first, bucket.last) == (0, 2)


def test_a_test_that_plants_a_fault_represents_no_other_one() -> None:
    (bucket,) = made(word(module="m_a", time_ns=5, planted=True), word(module="m_a", time_ns=500))
    assert bucket.replay == "replay 1"


# -------------------------------------------------------------------------------------------------
# Known failures
# -------------------------------------------------------------------------------------------------
ENTRY = '[[known]]\nmodule = "mvu_p*"\nreason = "pool"\nwho = "Ada"\nexpires = 2026-12-31\n'


def read(folder: Path, text: str, day: str = "2026-12-31") -> list[Known]:
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return read_known(folder, datetime.date.fromisoformat(day))


def test_a_known_failure_counts_no_more_and_hides_no_other(tmp_path: Path) -> None:
    (known,) = read(tmp_path, ENTRY)
    hang = {"block": "mvu", "kind": "hang", "check": "hang", "stage": "job * has not ended"}
    found = made(*[word(module="mvu_post")] * 8, hang, known=(known,))
    assert [(bucket.count, bucket.acknowledged) for bucket in found] == [(1, False), (8, True)]
    assert known.matched == 1 and found[1].known is known


def test_an_expired_one_counts_again(tmp_path: Path) -> None:
    (known,) = read(tmp_path, ENTRY, "2027-01-01")
    (bucket,) = made(word(module="mvu_post"), known=(known,))
    assert known.expired and not bucket.acknowledged and bucket.known is known


def test_a_pattern_may_name_the_test(tmp_path: Path) -> None:
    (known,) = read(tmp_path, ENTRY.replace('module = "mvu_p*"', f'test = "{ENTRIES[1].test}"'))
    found = made(word(module="m_a"), word(module="m_a", entry=1, place="lane 2"), known=(known,))
    assert [bucket.acknowledged for bucket in found] == [False, True]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("module =", "modul =", "did you mean module?"),
        ("2026-12-31", '"2026-12-31"', "must be a date"),
        ("2026-12-31", "2026-13-31", "at line 5"),
        ("2026-12-31", "2026-12-31T10:00:00", "must be a date"),
        ('who = "Ada"\n', "", "has no who"),
        ('"pool"', '" "', "must be a text"),
        ('module = "mvu_p*"\n', "", "acknowledges everything"),
        ('"mvu_p*"', '"*"', "acknowledges everything"),
        ("[[known]]", "[known]", "list of tables"),
        ("[[known]]", "[[knwon]]", "did you mean known?"),
    ],
)
def test_a_wrong_file_of_known_failures_is_rejected(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(AssayError, match="known_failures") as error:
        read(tmp_path, ENTRY.replace(old, new))
    assert said in str(error.value)


def test_no_file_acknowledges_nothing(tmp_path: Path) -> None:
    assert read_known(tmp_path) == []
