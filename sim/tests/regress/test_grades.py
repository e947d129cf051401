# SPDX-License-Identifier: Apache-2.0
"""What each seed adds, and the smallest set that reaches all coverage."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from assay.sim.regress.grades import (
    Bins,
    Graded,
    graded,
    join_name,
    read_graded,
    read_groups,
    read_list,
    split_name,
    write_graded,
)
from assay.sim.regress.record import FAILED, JOURNAL, PASSED, Regression, Result
from assay.sim.regress.summary import update_graded
from assay.tb.coverage import CoverGroup, CoverPoint
from assay.tb.errors import AssayError

from .synthetic import ENTRIES, HEADER, write


def group(name: str, *values: int) -> CoverGroup:
    """A group of two points of which one needs two hits, with some samples."""
    made = CoverGroup(
        name, [CoverPoint("low", range(4)), CoverPoint("odd", {"even": 0, "odd": 1}, at_least=2)]
    )
    for value in values:
        made.sample(low=value, odd=value & 1)
    return made


def test_bins_are_numbered_as_they_come_and_new_ones_are_counted() -> None:
    bins = Bins()
    names, hit, new = bins.encode([group("jobs", 1, 3).as_json()])
    covered = {name for bit, name in enumerate(names) if int(hit, 16) >> bit & 1}
    assert covered == {"jobs.low: 1", "jobs.low: 3", "jobs.odd: odd"}
    assert (len(names), new) == (6, 3)
    names, hit, new = bins.encode([group("jobs", 1, 2).as_json(), group("more").as_json()])
    assert (len(names), new, len(bins)) == (6, 1, 12)  # odd was hit once, which is too little
    assert bins.encode([]) == ([], "", 0)


def test_bins_are_restored_from_a_journal(tmp_path: Path) -> None:
    bins = Bins()
    names, hit, new = bins.encode([group("jobs", 1).as_json()])
    lines = [
        replace(HEADER, name="x").as_json(),
        {"bins": {"first": 0, "names": names}},
        Result(0, 0, 1, PASSED, hit=hit, new=new).as_json(),
    ]
    (tmp_path / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = Bins.restore(Regression(tmp_path))
    assert (again.names, again.seen) == (bins.names, bins.seen)
    assert again.encode([group("jobs", 1, 2).as_json()]) == bins.encode([group("jobs", 1, 2).as_json()])


def test_names_of_bins_come_apart_again() -> None:
    for parts in (("jobs", "a x b", "1 x 2: 3"), ("code", "", "mvu_post.sv:12 branch if"), ("g", "i", "x")):
        assert split_name(join_name(*parts)) == parts


def test_a_damaged_file_of_a_group_counts_for_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "coverage" / "test"
    folder.mkdir(parents=True)
    group("jobs", 1).save(folder / "jobs.json")
    (folder / "other.json").write_text('{"name": "oth')
    assert [each["name"] for each in read_groups(tmp_path)] == ["jobs"]


def journal(folder: Path, masks: list[tuple[int, float, str]], bins: int) -> Regression:
    """A regression of runs that cover these bins in so many seconds."""
    lines = [
        replace(HEADER, name="x").as_json(),
        {"bins": {"first": 0, "names": [f"g.i: {n}" for n in range(bins)]}},
        *(
            Result(n, 0, n, state, seconds=seconds, hit=f"{mask:x}").as_json()
            for n, (mask, seconds, state) in enumerate(masks)
        ),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Regression(folder)


def test_what_became_superfluous_is_left_out(tmp_path: Path) -> None:
    # Greedy takes the first, which the next two make superfluous.
    runs = [(0b0110, 1.0, PASSED), (0b0011, 1.9, PASSED), (0b1100, 1.9, PASSED), (0b1111, 100.0, PASSED)]
    found = graded(journal(tmp_path, runs, 4))
    assert sorted(each.seed for each in found) == [1, 2]
    assert sum(each.adds for each in found) == 4


def test_a_failed_run_covers_nothing(tmp_path: Path) -> None:
    found = graded(journal(tmp_path, [(0b11, 1.0, FAILED), (0b01, 1.0, PASSED)], 2))
    assert [(each.seed, each.adds) for each in found] == [(1, 1)]


@pytest.mark.parametrize("seed", range(5))
def test_the_set_reaches_all_coverage_and_none_of_it_can_go(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    runs = [
        (sum(1 << bit for bit in rng.sample(range(60), rng.randrange(1, 12))), rng.random() + 0.01, PASSED)
        for _ in range(9000)  # more than are looked at together
    ]
    found = graded(journal(tmp_path, runs, 60))
    masks = [runs[each.seed][0] for each in found]
    everything = 0
    for mask, _, _ in runs:
        everything |= mask
    for left_out in range(len(masks) + 1):
        reached = 0
        for at, mask in enumerate(masks):
            if at != left_out:
                reached |= mask
        assert (reached == everything) == (left_out == len(masks))
    assert sum(each.adds for each in found) == everything.bit_count()


def test_a_synthetic_regression_is_graded_to_all_it_covers(tmp_path: Path) -> None:
    regression = Regression(write(tmp_path / "night", 3000))
    found = graded(regression)
    assert sum(each.adds for each in found) == sum(result.new for result in regression.results())
    assert len(found) < 300


def test_the_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "graded.json"
    runs = [
        Graded("a", 3, 7, 1.5),
        Graded("b", 0, 0, 0.0, "found mvu_post"),
        Graded("a", 3, 0, 0.0, "found x"),
    ]
    write_graded(path, runs, "night", 7)
    assert read_list(path).runs == runs
    assert read_graded(path) == [("a", 3), ("b", 0)]
    assert len(path.read_text().splitlines()) == len(runs) + 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no list of graded seeds"),
        ("[]", 'has no list "runs"'),
        ('{"runs": [3]}', "run 1: needs an entry"),
        ('{"runs": [{"entry": "a", "seed": 1}, {"entry": "a", "seed": -1}]}', "run 2: needs an entry"),
        ('{"runs": [{"entry": "a", "seed": "1"}]}', "run 1: needs an entry"),
        ('{"runs": [{"entry": "a", "seed": 1, "adds": "x"}]}', "adds and seconds must be numbers"),
    ],
)
def test_a_damaged_list_is_rejected(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "graded.json"
    path.write_text(text)
    with pytest.raises(AssayError, match="graded") as error:
        read_graded(path)
    assert said in str(error.value)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="does not exist"):
        read_graded(tmp_path / "graded.json")


def test_a_short_regression_does_not_take_a_nights_place(tmp_path: Path) -> None:
    path = tmp_path / "graded.json"
    name = ENTRIES[0].name
    night = [Graded(name, 1, 9, 1.0), Graded("other-block", 2, 5, 1.0)]
    write_graded(path, night, "night", 14)
    finder = Graded(name, 8, 0, 0.0, "found mvu_post")
    assert update_graded(path, [Graded(name, 4, 3, 1.0)], [finder], HEADER) == "night"
    assert read_graded(path) == [(name, 1), ("other-block", 2), (name, 8)]
    assert update_graded(path, [Graded(name, 4, 9, 0.5)], [finder], HEADER) == ""
    assert read_graded(path) == [(name, 4), ("other-block", 2), (name, 8)]
