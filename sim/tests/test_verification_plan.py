# SPDX-License-Identifier: Apache-2.0
"""The verification plan names what there is, and all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from assay.sim import ROOT
from assay.sim.blocks import discover, is_own
from assay.sim.proofs.table import PROOFS
from assay.sim.testcases import list_tests

PLAN = ROOT / "docs" / "verification_plan.md"

BLOCKS = {name: block for name, block in discover().items() if is_own(block)}

COLUMNS = ["feature", "requirement", "covered by", "proved by", "tests"]


class Row(NamedTuple):
    """A row of the plan; the lists hold the names that stand in backquotes."""

    block: str
    feature: str
    requirement: str
    covered: list[str]
    proofs: list[str]
    tests: list[str]


def rows() -> Iterator[Row]:
    block = ""
    for line in PLAN.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            block = line[3:].strip()
        if not line.startswith("|") or line.startswith("|---"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        assert len(cells) == len(COLUMNS), line
        if cells == COLUMNS:
            continue
        lists = [re.findall(r"`([^`]+)`", cell) for cell in cells[2:]]
        for cell, names in zip(cells[2:], lists, strict=True):
            assert re.sub(r"`[^`]+`|[, ]", "", cell) == "", (
                f"{cell!r}: names stand in backquotes, with commas between"
            )
            assert len(names) == len(set(names)), cell
        yield Row(block, cells[0], cells[1], *lists)


ROWS = list(rows())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.block}-{row.feature}".replace(" ", "_"))
def test_row_names_what_exists(row: Row) -> None:
    assert row.feature and row.requirement
    assert row.tests, "a requirement without a test is not checked"
    block = BLOCKS[row.block]
    groups = {group.name: group for group in block.coverage().groups} if block.coverage else {}
    for name in row.covered:
        group, _, item = name.partition(".")
        assert group in groups, f"{row.block} has no cover group {group}"
        assert not item or item in groups[group].as_json()["items"], f"{group} has no point or cross {item}"
    assert set(row.proofs) <= {proof.name for proof in PROOFS}
    assert set(row.tests) <= set(list_tests(block))


@pytest.mark.parametrize("name", BLOCKS)
def test_every_test_of_a_bench_has_a_row(name: str) -> None:
    planned = {test for row in ROWS if row.block == name for test in row.tests}
    assert set(list_tests(BLOCKS[name])) == planned


def test_every_cover_group_has_a_row() -> None:
    planned = {name.partition(".")[0] for row in ROWS for name in row.covered}
    assert {g.name for b in BLOCKS.values() if b.coverage for g in b.coverage().groups} == planned


def test_every_proof_has_a_row() -> None:
    assert {proof.name for proof in PROOFS} == {name for row in ROWS for name in row.proofs}
