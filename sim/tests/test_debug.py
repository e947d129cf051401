# SPDX-License-Identifier: Apache-2.0
"""What explains a failure: the stage that differs first, tracks in the waves, the page, the first screen."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from assay.sim import outputs, waves
from assay.sim.blocks import discover
from assay.sim.debug import command, merged
from assay.sim.debug.datapath import ResultMap, compare_unit, place
from assay.sim.debug.explanation import explain, terminal
from assay.sim.debug.query import ask
from assay.sim.debug.wavedata import Events, Waves, to_lanes
from assay.sim.job import Job
from assay.sim.regression import require
from assay.sim.run import Outcome, add_failure_waves, run_job
from assay.sim.tests.probed.block import BLOCK
from assay.tb.debug import Axis, JobRecord, Stage, UnitRecord, still_inside
from assay.tb.errors import AssayError


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcome]:
    """A failed run for each stage that can be wrong, with its waves."""
    require("verilator")
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("a folder") / "runs"
        patch.setattr(outputs, "run_root", lambda block=None: folder)
        outcomes = {}
        for plant in (1, 2):
            outcome = run_job(
                Job(BLOCK, "verilator", 5, parameters={"Plant": plant}, tests=("tensors",)), print
            )
            assert not outcome.passed
            add_failure_waves(outcome, print)
            assert outcome.waves is not None
            assert command.explain_run(BLOCK, outcome.folder, print) is not None
            outcomes[plant] = outcome
        return outcomes


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("plant", "verdict"),
    [
        (1, "three times the input differs first: in scaler, sim/tests/probed/probed.sv:39"),
        (
            2,
            "three times the input equal; clamped sum differs first: in scaler, sim/tests/probed/probed.sv:43",
        ),
    ],
)
def test_first_stage_that_differs(failed: dict[int, Outcome], plant: int, verdict: str) -> None:
    made = explain(BLOCK, failed[plant].folder)
    assert made.verdict == verdict
    assert [row.state for row in made.rows] == ["differs" if plant == 1 else "equal", "differs"]
    assert re.fullmatch(r"all plays, row \d+, column \d, channel \d", made.place)
    assert made.source is not None
    text = "\n".join(terminal(BLOCK, failed[plant].folder, made))
    assert f"verdict   {verdict}" in text
    assert len(text.splitlines()) <= 25
    assert made.source.text[made.source.line - made.source.first].strip() in text


@pytest.mark.simulation
def test_icarus_shows_the_same_stages(failed: dict[int, Outcome], own_runs: Path) -> None:
    """It knows no `bind`: the probes stand in copies of the modules."""
    require("icarus")
    outcome = run_job(Job(BLOCK, "icarus", 5, parameters={"Plant": 1}, tests=("tensors",)), print)
    add_failure_waves(outcome, print)
    here, there = explain(BLOCK, outcome.folder), explain(BLOCK, failed[1].folder)
    assert here.verdict == there.verdict != ""
    assert here.place == there.place
    assert [(row.expected, row.seen) for row in here.rows] == [(row.expected, row.seen) for row in there.rows]


@pytest.mark.simulation
def test_pattern_names_the_lane(failed: dict[int, Outcome]) -> None:
    made = explain(BLOCK, failed[1].folder)
    assert made.map is not None
    assert "all of them in channel 1 of each 2 that are computed side by side" in made.map.pattern()


@pytest.mark.simulation
def test_tracks_are_in_the_wave_file(failed: dict[int, Outcome]) -> None:
    """Golden's values, places and transactions stand beside the design's own signals, which are as they were."""
    folder = failed[2].folder
    before, after = Waves(folder / "window" / "before.fst"), Waves(folder / "waves.fst")
    assert set(before.variables) < set(after.variables)
    for name in before.variables:
        old, new = before.signal(name), after.signal(name)
        assert old.times.tolist() == new.times.tolist()
        assert list(old.values) == list(new.values)
    made = explain(BLOCK, folder)
    failure = np.array([made.window[1]])
    assert made.lane in (0, 1)
    expected, seen = (
        to_lanes(after.signal(f"assay.clamped.{kind}{made.lane}").before(failure), 1, 8, True)[0][0, 0]
        for kind in ("golden", "lane")
    )
    assert (expected, seen) == (127, 126)
    assert after.signal("assay.clamped.differs").before(failure) == [1]
    assert str(after.signal("assay.clamped.place").before(failure)[0]).startswith("row ")
    assert re.fullmatch(r"y=0x[0-9a-f]+", str(after.signal("assay.streams.y").before(failure)[0]))


@pytest.mark.simulation
def test_page_stands_alone(failed: dict[int, Outcome]) -> None:
    page = (failed[1].folder / "report.html").read_text(encoding="utf-8")
    assert "three times the input differs first" in page
    assert "probed.sv, line 39" in page
    assert "make SIM=verilator TOPLEVEL=probed SEED=5" in page
    assert "<svg" in page
    assert not re.search(r"""(src|href)=["']?(?!["'#]|data:)""", page)  # nothing is fetched


@pytest.mark.simulation
def test_viewer_script_begins_with_the_data_path(failed: dict[int, Outcome], tmp_path: Path) -> None:
    folder = failed[1].folder
    record = {"waves": "waves.fst", "failure_ns": failed[1].failure_ns}
    gtkwave, surfer = waves.viewer_commands(BLOCK, folder, record)
    script = (folder / "view.tcl").read_text(encoding="utf-8")
    assert script.index("assay.product.place") < script.index("assay.clamped.golden")
    assert "setZoomRangeTimes" in script and f"setMarker {int(failed[1].failure_ns or 0)}ns" in script
    assert gtkwave[0] == "gtkwave" and surfer[0] == "surfer"


@pytest.mark.simulation
def test_tampered_record_does_not_change_the_verdict(failed: dict[int, Outcome], tmp_path: Path) -> None:
    """A run whose records are gone or spoilt is said to be unexplained; nothing is raised."""
    folder = tmp_path / "spoilt"
    subprocess.run(["cp", "-r", str(failed[1].folder), str(folder)], check=True)
    (folder / "waves.fst").write_bytes(b"\0" * 40)
    said: list[str] = []
    assert command.explain_run(BLOCK, folder, said.append) is None
    assert said and said[0].startswith("the failure is not explained: ")


@pytest.mark.simulation
def test_waves_stay_where_tracks_cannot_be_added(
    failed: dict[int, Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: GTKWave's writer does not report it, so what it wrote is looked at."""
    folder = tmp_path / "full"
    subprocess.run(["cp", "-r", str(failed[1].folder), str(folder)], check=True)
    (folder / "window" / "before.fst").replace(folder / "waves.fst")
    before = (folder / "waves.fst").read_bytes()
    monkeypatch.setattr(merged, "damage", lambda path: "ends within a block")
    said: list[str] = []
    assert command.explain_run(BLOCK, folder, said.append) is None
    assert "cannot be written" in said[0]
    assert (folder / "waves.fst").read_bytes() == before
    assert not list(folder.glob(".*"))


# -------------------------------------------------------------------------------------------------
# Parts, without a simulator
# -------------------------------------------------------------------------------------------------
def test_lanes_of_words() -> None:
    values, unknown = to_lanes([0x0FF, "0000x0000001", None, 1 << 12], 2, 6, signed=True)
    assert values.tolist() == [[-1, 3], [1, 0], [0, 0], [0, 0]]
    assert unknown.tolist() == [[False, False], [False, True], [True, True], [False, False]]


def test_place_adds_axes_of_one_name() -> None:
    job = JobRecord(
        "",
        0,
        {},
        {},
        [Axis("row", 2, 3), Axis("column", 4, offset=8), Axis("channel", 2, 2)],
        [Axis("channel", 2), Axis("row", 3)],
    )
    assert place(job, 13) == "rows 3 to 5, column 10, channels 2 to 3"
    assert place(job, 13, 4) == "row 4, column 10, channel 3"


def test_values_of_an_output() -> None:
    job = JobRecord("", 0, {}, {"few": 4, "shared": -3}, [], [], ends={"varying": np.array([3, 3, 9])})
    for probe in ("few", "shared", "varying"):
        for output in range(3):
            for index in job.values_of(probe, output):
                first = job.output_of(probe, index)
                assert first <= output < first + (3 if probe == "shared" else 1)
    assert list(job.values_of("varying", 1)) == []


def test_jobs_inside() -> None:
    jobs = [(0, "a"), (10, "b"), (20, "c"), (30, "d"), (40, "e"), (50, "f")]
    assert [name for _, name in still_inside(jobs, 20)] == ["b", "c", "d", "e"]
    assert [name for _, name in still_inside(jobs, 3)] == ["a", "b", "c", "d"]
    assert still_inside([], 7) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.s_[:, :, 5], "all of them in channel 5"),
        (np.s_[2], "all of them in row 2"),
        (np.s_[:, :, 1::4], "all of them in channel 1 of each 4 that are computed side by side"),
        (np.s_[::3, :, :], "all of them at the border"),
        (np.s_[1:], "every value from the first wrong one on"),
    ],
)
def test_patterns(wrong: object, said: str) -> None:
    state = np.full((4, 4, 8), 2, np.int8)
    state[wrong] = 3
    assert said in ResultMap(("row", "column", "channel"), state, (0, 0, 0), (1, 1, 4)).pattern()


class _Shown:
    """Waves that show made events."""

    def __init__(self, events: dict[str, Events]) -> None:
        self._events = events

    def events(self, scope: str, stage: Stage) -> Events | None:
        return self._events.get(stage.probe)


@pytest.mark.parametrize("offset", [0, 3])
@pytest.mark.parametrize("named", [True, False])
def test_jobs_are_found_in_the_waves(offset: int, named: bool) -> None:
    """Whichever number a job has in the design, with a failing beat or by agreement alone."""
    rng = np.random.default_rng(1)
    stage = Stage("a", "a", "m", "", 2, 8)
    jobs = [
        JobRecord(
            f"job {n}",
            4 * n,
            {"a": rng.integers(-99, 99, (4, 2))},
            {},
            [Axis("row", 4)],
            [Axis("channel", 2)],
        )
        for n in range(3)
    ]
    unit = UnitRecord("u", "", "a", "s", "a", [stage], jobs)
    seen = np.concatenate([job.values["a"] for job in jobs[:2]])
    seen[6, 1] += 1
    events = Events(
        np.arange(8) * 10_000,
        np.repeat([0, 1], 4) + offset,
        np.tile(np.arange(4), 2),
        seen,
        np.zeros((8, 2), bool),
    )
    failure = {"stream": "s", "index": 6, "time_ns": 60.0} if named else {"kind": "hang"}
    path = compare_unit(_Shown({"a": events}), "top", unit, failure)  # type: ignore[arg-type]
    assert path is not None
    assert path.stages[0].jobs.tolist() == [0] * 4 + [1] * 4
    found = path.first_wrong()
    assert found is not None
    assert found[1] == 6
    assert (path.job, path.output) == ((1, 2) if named else (-1, -1))


# -------------------------------------------------------------------------------------------------
# Questions
# -------------------------------------------------------------------------------------------------
@pytest.fixture
def asked(failed: dict[int, Outcome]) -> Waves:
    return Waves(failed[2].folder / "waves.fst")


def count(waves: Waves, question: str) -> int:
    return sum(each.clocks for each in ask(waves, question, "probed.clk_i", "probed").intervals)


@pytest.mark.simulation
def test_questions(asked: Waves) -> None:
    """Against the signals themselves, clock by clock."""
    edges = asked.rising_edges("probed.clk_i")
    valid, ready = (asked.signal(f"probed.y_t{name}").number_before(edges) for name in ("valid", "ready"))
    taken = (valid == 1) & (ready == 1)
    assert count(asked, "when y_tvalid and y_tready") == taken.sum() > 0
    assert count(asked, "y_tvalid == 1 and not y_tready") == ((valid == 1) & (ready == 0)).sum() > 0
    assert count(asked, "rose(y_tvalid)") == ((valid[1:] == 1) & (valid[:-1] == 0)).sum()
    assert count(asked, "y_tvalid or not y_tvalid") == (valid >= 0).sum()
    every = ask(asked, "y_tvalid and y_tready", "probed.clk_i", "probed").intervals
    long = ask(asked, "y_tvalid and y_tready for more than 3 clocks", "probed.clk_i", "probed").intervals
    assert [each for each in every if each.clocks > 3] == long
    assert 0 < len(long) < len(every)
    assert set(long[0].values) == {"probed.y_tvalid", "probed.y_tready"}
    assert count(asked, "dut.u_probes.u_product.index_q > 5 and y_tdata != 0") > 0
    assert count(asked, "assay.clamped.differs") > 0
    waiting = count(asked, "assay.streams.y == 'waits'")
    assert waiting == ((valid == 1) & (ready == 0)).sum()


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("y_tvald", "no signal y_tvald in the waves; there are y_tvalid"),
        ("index_q > 2", "signal index_q is not unique: "),
        ("y_tvalid + 1", "cannot be answered: allowed are and, or, not,"),
        ("y_tvalid and", "cannot be read: allowed are"),
        ("3 < 4", "names no signal"),
        ("__import__('os')", "no signal __import__"),
        ("rose(y_tvalid, y_tready)", "cannot be answered"),
        ("[y_tvalid for x in y_tdata]", "no signal"),
        ("", "cannot be read"),
    ],
)
def test_bad_questions(asked: Waves, question: str, said: str) -> None:
    with pytest.raises(AssayError, match=re.escape(said)):
        ask(asked, question, "probed.clk_i", "probed")


# -------------------------------------------------------------------------------------------------
# Places of a network
# -------------------------------------------------------------------------------------------------
@pytest.mark.simulation
def test_waves_at_a_place_of_a_network(own_runs: Path) -> None:
    """A passing run of real layers: the golden values stand along the data path of the value that was asked for."""
    require("verilator")
    block = discover()["mvu"]
    assert run_job(Job(block, "verilator", 1, ("real_layers",), parameters={"Lanes": 8}), print).passed
    folder = waves.at_place(block, "layer:conv2,row:2,column:1,channel:5", print)
    made = explain(block, folder)
    assert made.place.startswith("job conv2, ")
    assert made.place.endswith(", row 2, column 1, channel 5")
    assert [row.state for row in made.rows if row.state != "equal"] == ["not used by this job"]
    assert made.verdict.endswith("values along the data path that are in the waves are right")
    assert waves.last_run(block, print) == folder  # it has waves
    for text, said in (
        ("layer:convx,row:2", "no job of this run computes that place"),
        ("layer:conv2,row:4711", "no job of this run computes that place"),
        ("row=2", "must be such as layer:conv2,row:3"),
        ("row:two", "must be such as layer:conv2,row:3"),
        ("row:1,row:2", "must be such as layer:conv2,row:3"),
    ):
        with pytest.raises(AssayError, match=re.escape(said)):
            waves.at_place(block, text, print)


@pytest.mark.simulation
def test_place_without_a_run(own_runs: Path) -> None:
    with pytest.raises(AssayError, match="no run of mvu so far; this makes one: "):
        waves.at_place(discover()["mvu"], "row:1", print)
