# SPDX-License-Identifier: Apache-2.0
"""The search for simpler cases on predicates without a simulator, and the round trip of case files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.golden.errors import ConfigurationError
from assay.tb.cases import Case, Cases, as_json, each_step, fewer_steps, nonzero_text, read_case, write_case
from assay.tb.errors import AssayError
from assay.tb.shrinking import Search


def search(case, fails, **options):
    return Search(case, fails, repr, **options)


def test_only_the_parts_that_are_needed_stay():
    found = search(list(range(100)), lambda case: {3, 41, 97} <= set(case))
    found.run([lambda s: s.leave_out(list, lambda case, rest: rest)])
    assert found.best == [3, 41, 97]
    assert found.finished
    assert found.tried < 120


def test_no_part_may_be_missing():
    found = search([1, 2, 3], lambda case: True)
    found.run([lambda s: s.leave_out(list, lambda case, rest: rest, least=1)])
    assert len(found.best) == 1


@pytest.mark.parametrize("simplest", [0, 1, 5])
@pytest.mark.parametrize("least", [0, 1, 5, 37, 1000])
def test_numbers_fall_to_the_least_that_fails(least, simplest):
    found = search(1000, lambda case: case >= least)
    found.run([lambda s: s.lower(lambda case: case, lambda case, value: value, simplest)])
    assert found.best == max(least, simplest)


def test_negative_numbers_rise():
    found = search(-1000, lambda case: case <= -37)
    found.run([lambda s: s.lower(lambda case: case, lambda case, value: value)])
    assert found.best == -37


def test_bits_are_cleared():
    found = search((1 << 64) - 1, lambda case: case >> 40 & 1 and case & 0xFF > 4)
    found.run([lambda s: s.fewer_bits(lambda case: case, lambda case, value: value)])
    assert found.best & ~0xFF == 1 << 40
    assert (found.best & 0xFF).bit_count() <= 2


def test_arrays_become_sparse():
    start = np.arange(-50, 50).reshape(10, 10)
    found = search(start, lambda case: case[0, 3] <= -9 and case[9, 9] > 0)
    found.run([lambda s: s.sparse(lambda case: case, lambda case, values: values)])
    expected = np.zeros_like(start)
    expected[0, 3], expected[9, 9] = -9, 1
    assert np.array_equal(found.best, expected)


def test_no_case_is_tried_twice():
    tried = []

    def fails(case):
        tried.append(tuple(case))
        return {1, 5} <= set(case)

    search(list(range(8)), fails).run([lambda s: s.leave_out(list, lambda case, rest: rest)] * 3)
    assert len(tried) == len(set(tried))


def test_a_case_that_does_not_fail_is_refused():
    with pytest.raises(ConfigurationError, match="does not fail"):
        search(1, lambda case: False).run([])


def test_a_candidate_that_cannot_be_made_is_passed_over():
    def halved(case, value):
        if value % 2:
            raise ConfigurationError("odd")
        return value

    found = search(64, lambda case: case >= 10)
    found.run([lambda s: s.lower(lambda case: case, halved)])
    assert found.best % 2 == 0
    assert 10 <= found.best < 64


def test_the_best_so_far_is_kept_when_time_is_over():
    told = []
    found = search(
        list(range(64)), lambda case: 63 in case, over=lambda s: s.tried >= 4, progress=told.append
    )
    found.run([lambda s: s.leave_out(list, lambda case, rest: rest)])
    assert not found.finished
    assert found.tried == 4
    assert found.best == told[-1]
    assert 1 < len(found.best) < 64


# -------------------------------------------------------------------------------------------------
# Files
# -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Inner:
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Step:
    name: str
    inner: Inner | None
    pairs: tuple[Any, ...] = ()
    table: Any = None


class Kind(Cases):
    types = (Step, Inner)

    def check(self, case: Case) -> None:
        for step in case.steps:
            if step.name == "bad":
                raise ValueError("step bad")

    def describe(self, case: Case) -> list[str]:
        return [step.name for step in case.steps]


KIND = Kind()


def a_case(*steps: Step) -> Case:
    return Case("block", {"Lanes": 8}, 7, "verilator", steps, check="mismatch: out", message="differs")


ARRAYS = {
    "small": np.array([[1, -2], [3, 4]]),
    "bool": np.array([True, False]),
    "few": np.eye(40, dtype=np.int16),
    "many": np.random.default_rng(0).integers(0, 256, (30, 40), np.uint8),
    "wide": np.random.default_rng(1).integers(-(1 << 62), 1 << 62, 200),
    "nothing": np.zeros((0, 3), np.uint8),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_round_trip(name: str, tmp_path: Path) -> None:
    step = Step("one", Inner(ARRAYS[name]), ((3, ARRAYS[name]),), {"a": {"b": 1}, "none": None})
    path = tmp_path / "case.json"
    write_case(path, a_case(step, Step("two", None, table={1: "x", "type": "y"})))
    read = read_case(path, KIND, "block")
    assert (read.parameters, read.seed, read.check, read.message) == (
        {"Lanes": 8},
        7,
        "mismatch: out",
        "differs",
    )
    first, second = read.steps
    for array in (first.inner.values, first.pairs[0][1]):
        assert array.dtype == ARRAYS[name].dtype
        assert np.array_equal(array, ARRAYS[name])
    assert first.table == {"a": {"b": 1}, "none": None}
    assert second.inner is None
    assert second.table == {1: "x", "type": "y"}
    assert as_json(read) == as_json(a_case(step, Step("two", None, table={1: "x", "type": "y"})))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": "assay case 2"}, "its format must be"),
        ({"block": "other"}, "a case of block other, not of block"),
        ({"steps": [{"type": "Path", "path": "/"}]}, "type 'Path' is none of Step, Inner"),
        (
            {"steps": [{"type": "Step", "name": "bad", "inner": None}]},
            "cannot be played: ValueError: step bad",
        ),
        ({"steps": [{"type": "Step", "nome": "x"}]}, "cannot be played: TypeError"),
        ({"seed": "x"}, "cannot be played"),
        ({"more": 1}, "cannot be played"),
        ({"steps": [{"array": "object", "shape": [1], "values": "1"}]}, "array of 'object'"),
        ({"steps": [{"array": "int8", "shape": [1 << 40], "nonzero": {}}]}, "at most"),
        ({"steps": [{"array": "int8", "shape": [3], "values": "1 2"}]}, "cannot be played"),
        ({"steps": [{"array": "int8", "shape": [3], "packed": "eJwDAAAAAAE="}]}, "cannot be played"),
    ],
)
def test_files_that_are_no_cases(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(json.dumps({**as_json(a_case()), **changed}))
    with pytest.raises(AssayError, match=said):
        read_case(path, KIND, "block")


@pytest.mark.parametrize(
    ("text", "said"), [("{", "it is not JSON"), ("[]", "format"), ("[" * 100_000, "recursion")]
)
def test_damaged_files(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    path.write_text(text)
    with pytest.raises(AssayError, match=said):
        read_case(path, KIND, "block")
    with pytest.raises(AssayError, match="No such file"):
        read_case(tmp_path / "none.json", KIND, "block")


def test_steps_are_left_out_and_simplified() -> None:
    def fails(case: Case) -> bool:
        return sum(len(step.name) for step in case.steps if "x" in step.name) >= 4

    def shorter(search: Search[Case], step: Any, made: Any) -> None:
        search.lower(
            lambda case: len(step(case).name),
            lambda case, length: made(case, replace(step(case), name=step(case).name[:length])),
            1,
        )

    found: Search[Case] = Search(
        a_case(*(Step(name, None) for name in ("xxx", "abc", "xxxxx", "d"))),
        fails,
        lambda case: json.dumps(as_json(case)),
    )
    found.run([fewer_steps, each_step(shorter)])
    assert [step.name for step in found.best.steps] == ["xxxx"]


def test_text_of_an_array() -> None:
    assert nonzero_text(np.zeros((2, 3), int)) == "[2, 3]: all 0"
    assert nonzero_text(np.full(4, 7)) == "[4]: all 7"
    assert nonzero_text(np.diag([1, -2])) == "[2, 2]: [0,0] = 1, [1,1] = -2; the others are 0"
    assert nonzero_text(np.arange(1, 9)).endswith("[5] = 6, 2 more")
