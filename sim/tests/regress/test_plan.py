# SPDX-License-Identifier: Apache-2.0
"""What a regression runs: seeds, times, plan files, and the order of the items."""

from __future__ import annotations

import io
import itertools
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay import vectors
from assay.sim.blocks import discover
from assay.sim.regress import archive
from assay.sim.regress.plan import Group, Items, Plan, Run, item_of, read_plan, seconds, seeds_of
from assay.sim.regress.record import Entry, Header
from assay.tb.errors import AssayError

BLOCKS = discover()


def no_list(name: str) -> list[tuple[str, int]]:
    raise AssertionError(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200", 200),
        ("7,8,9", (7, 8, 9)),
        ("3-5,4,9", (3, 4, 5, 9)),
        (" 12 ", 12),
        ("@graded", "@graded"),
        ("7,", None),
    ],
)
def test_seeds(text: str, expected: object) -> None:
    if expected is None:
        with pytest.raises(AssayError, match="must be a number of seeds"):
            seeds_of("SEEDS", text)
    else:
        assert seeds_of("SEEDS", text) == expected


@pytest.mark.parametrize("text", ["0", "-1", "x", "5-3", "@", "1e3", "4294967296"])
def test_bad_seeds(text: str) -> None:
    with pytest.raises(AssayError, match=f"SEEDS={text}: must be a number of seeds"):
        seeds_of("SEEDS", text)


def test_times() -> None:
    assert [seconds("TIME", text) for text in ("90", "90s", "20m", "1.5h", "2d")] == [
        90,
        90,
        1200,
        5400,
        172800,
    ]
    for text in ("", "0", "8 hours", "-1h", "1w"):
        with pytest.raises(AssayError, match="must be a time"):
            seconds("TIME", text)


PLAN = """
time = "8h"
timeout = "10m"
seed = 5

[[run]]
blocks = ["loopback"]
seeds = 3
simulators = ["icarus"]
tests = "tensors"

[[run]]
blocks = "mvu"
variants = "wide"
seeds = "7,9"
"""


def test_plan_file(tmp_path: Path) -> None:
    path = tmp_path / "night.toml"
    path.write_text(PLAN)
    plan = read_plan(path, Plan(runs=()))
    assert (plan.time, plan.timeout, plan.first_seed, plan.attempts) == (28800, 600, 5, 3)
    assert plan.runs[0] == Run(("loopback",), 3, ("icarus",), "", "tensors")
    assert plan.runs[1].seeds == (7, 9)
    assert Plan.of_json(json.loads(json.dumps(plan.as_json()))) == plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[run]]\nblock = 'mvu'", "unknown key of .*run 1: 'block' .did you mean blocks"),
        ("tme = '8h'\n[[run]]", "unknown key of .*: 'tme' .did you mean time"),
        ("time = 'soon'\n[[run]]", "time=soon: must be a time"),
        ("", "there is nothing to run"),
        ("run = 3", "run must be tables"),
        ("[[run]]\nseeds = true", "must be a number of seeds"),
        ("[[run]]\nseeds = 1.5", "seeds = 1.5: must be a number"),
        ("[[run]]\ntests = 3", "tests = 3: must be a text"),
        ("[[run]]\nparameters = { Lanes = 1.5 }", "must be a table of integers and texts"),
        ("attempts = 0\n[[run]]", "attempts = 0: must be an integer from 1 to 100"),
        ("[[run", "not valid TOML"),
    ],
)
def test_bad_plan_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "night.toml"
    path.write_text(text)
    with pytest.raises(AssayError, match=message) as error:
        read_plan(path, Plan(runs=()))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (Run(("mvuu",)), "unknown 'mvuu'|mvuu"),
        (Run(("mvu",), simulators=("vcs",)), "vcs"),
        (Run(("mvu",), tests="no such"), "no test of mvu has such"),
        (Run(("mvu",), tests="("), "no regular expression"),
        (Run(("mvu",), parameters={"Lane": 3}), "Lane"),
        (Run(networks=("nowhere.tflite",)), "there is no such file"),
    ],
)
def test_what_there_is_not(run: Run, message: str) -> None:
    with pytest.raises(AssayError, match=message):
        Items.of_plan(Plan((run,)), BLOCKS, no_list)


def entry(number: int, variant: str, case: str = "") -> Entry:
    return Entry(f"e{number}", "b", variant, "icarus", f"t{number}", case=case)


@given(
    st.lists(st.tuples(st.sampled_from("uvw"), st.booleans()), min_size=1, max_size=6),
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.integers(1, 1000),
)
def test_every_item_comes_once_in_the_same_order(
    rows: list[tuple[str, bool]], lengths: list[int], first: int
) -> None:
    entries = [
        entry(number, variant, f"c{number}" if case else "") for number, (variant, case) in enumerate(rows)
    ]
    groups = [Group(list(range(len(rows))), range(first, first + length)) for length in lengths]
    items = Items(Plan(tuple(Run(seeds=length) for length in lengths), first), entries, groups)
    found = list(items)
    assert [number for number, _, _ in found] == list(range(len(found)))
    assert len({each[1:] for each in found}) == len(found) == items.count
    expected = {
        (index, 0 if case else seed)
        for index, (_, case) in enumerate(rows)
        for seed in range(first, first + max(lengths))
    }
    assert {each[1:] for each in found} == expected
    header = Header("n", json.loads(json.dumps(items.as_json())), tuple(entries), "", "", {}, {}, 0.0)
    assert list(Items.of_header(header)) == found


def test_every_test_is_seen_early() -> None:
    """However long it may go on: the first seed of each test comes before the second of any."""
    items = Items.of_plan(Plan((Run(("loopback", "mvu"), seeds=0),)), BLOCKS, no_list)
    assert items.count is None
    first = list(itertools.islice(items, len(items.entries)))
    assert sorted(index for _, index, _ in first) == list(range(len(items.entries)))


def test_a_graded_list_is_run_as_it_is() -> None:
    every = Items.of_plan(Plan((Run(("loopback",)),)), BLOCKS, no_list)
    names = [each.name for each in every.entries]
    listed = [(names[2], 9), (names[0], 4), ("gone", 1), (names[2], 3)]
    items = Items.of_plan(Plan((Run(("loopback",), seeds="@graded"),)), BLOCKS, lambda name: listed)
    assert [(items.entries[index].name, seed) for _, index, seed in items] == [
        each for each in listed if each[0] != "gone"
    ]
    assert items.dropped == ["gone"]
    assert items.count == 3


def test_a_network_goes_along_with_the_project(tmp_path: Path) -> None:
    """It is played by the test that plays networks, and a regression that goes on finds it wherever it is by then."""
    network = tmp_path / "net.onnx"
    network.write_bytes(vectors.path("digits/digits_w2a2.onnx").read_bytes())
    run = Run(("mvu",), networks=(str(network),))
    (entry,) = Items.of_plan(Plan((run,)), BLOCKS, no_list).entries
    assert (entry.test, entry.given) == ("real_layers", {"MODEL": str(network)})
    assert item_of(entry, BLOCKS).job(7).given == {"MODEL": str(network)}
    archive.write(tmp_path, archive.pack(BLOCKS.values(), [entry]))
    content = network.read_bytes()
    network.unlink()
    packed = archive.read(tmp_path)
    (moved,) = archive.relocated([entry], packed.files)
    with tarfile.open(fileobj=io.BytesIO(packed.content)) as unpacked:
        member = unpacked.extractfile(moved.given["MODEL"].removeprefix("../"))
        assert member is not None and member.read() == content


def test_each_row_gives_the_item_that_it_came_from() -> None:
    items = Items.of_plan(Plan((Run(),)), BLOCKS, no_list)
    assert len({each.name for each in items.entries}) == len(items.entries)
    for each in items.entries:
        assert each.name.startswith(str(item_of(each, BLOCKS)))
