# SPDX-License-Identifier: Apache-2.0
"""Functional coverage."""

import itertools
import json

import numpy as np
import pytest

from assay.tb.coverage import CoverageError, CoverGroup, CoverPoint


def group() -> CoverGroup:
    return CoverGroup(
        "jobs",
        [
            CoverPoint("bits", range(1, 5)),
            CoverPoint("sign", {"unsigned": 0, "signed": 1}),
            CoverPoint("stalls", {"none": 0, "some": range(1, 256), "always": 256}),
        ],
        crosses=[("bits", "sign")],
        impossible=lambda labels: labels == {"bits": "1", "sign": "signed"},
    )


def test_sampling_arrays_and_scalars():
    jobs = group()
    jobs.sample(bits=np.array([1, 2, 2, 4]), sign=[0, 0, 1, 1], stalls=17)
    assert jobs.hits("bits") == {"1": 1, "2": 2, "3": 0, "4": 1}
    assert jobs.hits("stalls") == {"none": 0, "some": 4, "always": 0}
    assert jobs.hits("bits x sign")["2 x signed"] == 1
    assert "1 x signed" not in jobs.hits("bits x sign")
    assert jobs.percent("bits") == 75
    assert jobs.percent("bits x sign") == pytest.approx(100 * 4 / 7)
    assert jobs.missed()["bits"] == ["3"]
    assert "missed: 3" in jobs.text()


def test_full_coverage_has_no_missed_bins():
    jobs = group()
    for bits, sign, stalls in itertools.product(range(1, 5), (0, 1), (0, 9, 256)):
        jobs.sample(bits=bits, sign=sign, stalls=stalls)
    assert jobs.missed() == {}
    assert jobs.percent() == 100


def test_merge_through_a_file(tmp_path):
    one, two = group(), group()
    one.sample(bits=[1, 2], sign=0, stalls=0)
    two.sample(bits=[2, 3], sign=1, stalls=256)
    two.save(tmp_path / "two.json")
    one.merge_file(tmp_path / "two.json")
    assert one.hits("bits") == {"1": 1, "2": 2, "3": 1, "4": 0}
    assert one.missed()["stalls"] == ["some"]
    assert json.loads((tmp_path / "two.json").read_text())["items"]["bits"]["missed"] == ["1", "4"]


def test_a_value_in_no_bin_is_an_error_and_counts_nothing():
    jobs = group()
    with pytest.raises(CoverageError, match="cover point bits: 5 is in no bin"):
        jobs.sample(bits=[1, 5], sign=0, stalls=0)
    assert jobs.hits("bits")["1"] == 0


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda path: CoverPoint("p", {"a": [1, 2], "b": range(2, 4)}), "2 is in bin a and in bin b"),
        (lambda path: CoverPoint("p", []), "no bins"),
        (lambda path: CoverGroup("g", [CoverPoint("p", [1])], crosses=[("p", "q")]), "unknown point q"),
        (lambda path: group().sample(bits=1, sign=0), "missing or unknown points: stalls"),
        (lambda path: group().merge(CoverGroup("other", [CoverPoint("p", [1])])), "cannot merge other"),
        (lambda path: group().merge_file(path / "none.json"), "no coverage file"),
    ],
)
def test_errors(tmp_path, action, message):
    with pytest.raises(CoverageError, match=message):
        action(tmp_path)


def test_at_least():
    jobs = CoverGroup("g", [CoverPoint("p", [0, 1], at_least=2)])
    jobs.sample(p=[0, 0, 1])
    assert jobs.missed() == {"p": ["1"]}
