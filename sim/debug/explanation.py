# SPDX-License-Identifier: Apache-2.0
"""The explanation of a failed run, from its records and its waves: data for the page and for the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from assay.sim import shown
from assay.sim.debug.datapath import (
    DataPath,
    ResultMap,
    StageValues,
    compare_unit,
    place,
    result_map,
)
from assay.sim.debug.tracks import Track, data_path_tracks, signal_tracks, stream_tracks, waits_track
from assay.sim.debug.wavedata import Waves
from assay.tb.block import Block
from assay.tb.debug import ARRAYS, RECORD, Stage, UnitRecord, read_units
from assay.tb.errors import AssayError
from assay.tb.report import FAILURE_FIELDS, told

__all__ = ["Explanation", "Row", "Source", "explain", "find_clock"]

VALUES_SHOWN = 6  #: of a pool group and the like
CAUSES = ("cause", "writer", "waiting")  #: keys of a failure that say whose fault it is
EXCERPT = 14  #: lines of a source before and after an assignment


@dataclass(frozen=True)
class Row:
    """A stage of the data path for the value that failed.

    Attributes:
        title, module: of the stage.
        expected, seen: the golden model's and the design's values, as text.
        state: "equal", "differs", or why they are not compared.
        time_ns: of the clock edge that takes the value; -1 when it is not in the waves.
    """

    title: str
    module: str
    expected: str
    seen: str
    state: str
    time_ns: float


@dataclass(frozen=True)
class Source:
    """Where the RTL computes a stage.

    Attributes:
        file: relative to the block's root.
        line: of the first assignment.
        others: of more of them in the same process.
        first: number of the first line of `text`.
        text: lines around it.
    """

    file: str
    line: int
    others: Sequence[int]
    first: int
    text: Sequence[str]


@dataclass
class Explanation:
    """A failed run.

    Attributes:
        run: its ``run.json``.
        summary: its ``summary.json``; empty where the bench left none.
        failure: the first failure of the summary; empty where there is none.
        problems: what the runner found beside that.
        place: of the wrong value in the network's terms; empty where none is known.
        lane: of it; -1 where none is known.
        path: the unit whose data path explains the failure, if any.
        rows: its stages, in order.
        blamed: number in `rows` of the first stage that differs; -1 where none does.
        source: where the RTL computes that stage.
        verdict: the conclusion, in a sentence; empty where there is none.
        map: of the job's output.
        tracks: all that were made.
        signals: of the block's view, where no data path explains the failure.
        window: of the waves in ps: begin, failure (-1: unknown), end.
        period: of the clock in ps; 0 where no clock was found.
    """

    run: Mapping[str, Any]
    summary: Mapping[str, Any]
    failure: Mapping[str, Any]
    problems: Sequence[str]
    place: str = ""
    lane: int = -1
    path: DataPath | None = None
    rows: list[Row] = field(default_factory=list)
    blamed: int = -1
    source: Source | None = None
    verdict: str = ""
    map: ResultMap | None = None
    tracks: list[Track] = field(default_factory=list)
    signals: list[Track] = field(default_factory=list)
    window: tuple[int, int, int] = (0, -1, 0)
    period: int = 0


def explain(block: Block, folder: Path) -> Explanation:
    """Explain the run in ``folder``, as far as what it left allows.

    Raises:
        MissingExtra: a package that reads waves is not installed.
        AssayError: its waves cannot be read.
    """
    run = _read(folder / "run.json")
    summary = _read(folder / "summary.json")
    failures = summary.get("failures") or [{}]
    at = run.get("at") or {}
    looked_at = {**at, "message": f"{at['place']}: looked at"} if at else failures[0]
    made = Explanation(run, summary, looked_at, run.get("problems", []))
    waves_name = run.get("waves")
    if not waves_name:
        return made
    waves = Waves(folder / waves_name)
    clock = find_clock(waves, block.hdl_top)
    if not clock:
        return made
    edges = waves.rising_edges(f"{block.hdl_top}.{clock}")
    if len(edges) < 2:
        return made
    made.period = int(np.diff(edges).min())
    failure_ns = at["time_ns"] if at else run.get("failure_ns")
    made.window = (int(edges[0]), -1 if failure_ns is None else round(failure_ns * 1000), int(edges[-1]))
    record = _read(folder / RECORD)
    if record:
        units = _units(folder, record)
        paths = [
            path
            for unit in units
            if (path := compare_unit(waves, block.hdl_top, unit, made.failure)) is not None
        ]
        for path in paths:
            made.tracks += data_path_tracks(path, made.window[0], made.period)
            if block.waits is not None:
                made.tracks.append(waits_track(waves, block.hdl_top, path.unit, edges, block.waits))
        made.tracks += stream_tracks(waves, block.hdl_top, record["streams"], block.describe)
        _choose(made, paths)
    if made.path is not None:
        _follow(made, block)
    elif block.view_file().is_file():
        lines = block.view_file().read_text(encoding="utf-8").splitlines()
        names = [line.partition("#")[0].strip() for line in lines]
        made.signals = list(signal_tracks(waves, block.hdl_top, [n for n in names if n and n[0] != "["]))
    return made


def _units(folder: Path, record: Mapping[str, Any]) -> list[UnitRecord]:
    try:
        with np.load(folder / ARRAYS) as arrays:
            return read_units(record, dict(arrays))
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise AssayError(
            f"{shown(folder / RECORD)} is not what this version of Assay writes ({error!r}); run it again"
        ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def find_clock(waves: Waves, top: str) -> str:
    """The clock of a bench top, by its name."""
    for name in ("clk_i", "clk", "aclk", "clock"):
        if waves.has(f"{top}.{name}"):
            return name
    return ""


def _choose(made: Explanation, paths: Sequence[DataPath]) -> None:
    """The unit to explain: that of the stream that failed, else the one with the first wrong value."""
    if named := [path for path in paths if path.job >= 0]:
        made.path = named[0]
        return
    found = [
        (int(stage.events.times[event]), at)
        for at, path in enumerate(paths)
        if (wrong := path.first_wrong()) is not None
        for stage, event in [wrong]
    ]
    if found:
        made.path = paths[min(found)[1]]
    elif len(paths) == 1:
        made.path = paths[0]


def _follow(made: Explanation, block: Block) -> None:
    """Rows, verdict and map of the chosen unit."""
    path = made.path
    assert path is not None
    wrong = path.first_wrong()
    job, output = path.job, path.output
    if wrong is not None:
        stage, event = wrong
        lane = int(np.argmax(stage.wrong[event]))
        if job < 0:  # no beat was named: the first wrong value is followed
            job = int(stage.jobs[event])
            output = path.unit.jobs[job].output_of(stage.stage.probe, int(stage.events.indices[event]))
        made.lane = lane if stage.stage.lanes > 1 else -1
    if job >= 0:
        record = path.unit.jobs[job]
        if wrong is None and made.run.get("at"):
            made.lane = int(made.failure["lane"])
        made.place = f"{record.name}, {place(record, output, made.lane if made.lane >= 0 else None)}"
        if path.unit.title:
            made.place = f"{path.unit.title}: {made.place}"
        made.rows = [_row(path, each, job, output, max(made.lane, 0)) for each in path.stages]
    if wrong is not None:
        stage, event = wrong
        made.blamed = next(at for at, each in enumerate(path.stages) if each is stage)
        made.source = None if stage.stage.blame else find_source(block, stage.stage)
        where = stage.stage.module + (f", {made.source.file}:{made.source.line}" if made.source else "")
        before = made.blamed and path.stages[made.blamed - 1].stage.title
        equal = f"{before} equal; " if before else ""
        what = stage.stage.title + _beside(path, stage, event)
        made.verdict = f"{equal}{what} differs first: {stage.stage.blame or f'in {where}'}"
    elif path.compared:
        made.verdict = f"all {path.compared:,} values along the data path that are in the waves are right" + (
            "" if made.run.get("at") else ": the fault is after it, or in what is not computed"
        )
    on_stream = bool(made.run.get("at")) or made.failure.get("kind") in (
        "mismatch",
        "unknown",
        "lost",
        "repeated",
    )
    made.map = result_map(path, compared_before=on_stream)


def _beside(path: DataPath, stage: StageValues, event: int) -> str:
    """Where a value belongs, as the stage beside it tells: " at 0x402"."""
    for other in path.stages:
        if other.stage.probe == stage.stage.beside:
            same = np.flatnonzero(
                (other.jobs == stage.jobs[event]) & (other.events.indices == stage.events.indices[event])
            )
            if len(same):
                return f" at 0x{int(other.events.values[same[0], 0]):x}"
    return ""


def _row(path: DataPath, stage: StageValues, job: int, output: int, lane: int) -> Row:
    events = stage.of_output(path.unit, job, output)
    record = path.unit.jobs[job]
    lane = min(lane, stage.stage.lanes - 1)
    wanted = record.values_of(stage.stage.probe, output)
    golden = record.values.get(stage.stage.probe)
    bits = record.low_bits.get(stage.stage.probe, stage.stage.bits)
    wrong = stage.wrong[events, lane] if len(events) else np.zeros(0, bool)
    # Of many values those from the first wrong one on are shown.
    skipped = int(np.argmax(wrong)) if wrong.any() and len(wanted) > VALUES_SHOWN else 0
    lead = f"(from {skipped + 1} of {len(wanted)}) " if skipped else ""
    expected = ""
    if golden is not None:
        first = int(stage.events.indices[events[skipped]]) if skipped else wanted.start
        values = record.golden(stage.stage, slice(first, wanted.stop))[:, lane]
        expected = lead + _texts(stage.stage, values.tolist(), bits)
    came = [
        None if stage.events.unknown[e, lane] else int(stage.events.values[e, lane]) for e in events[skipped:]
    ]
    seen = lead + _texts(stage.stage, came, bits)
    if not len(events):
        state = "not in the waves"
    elif golden is None:
        state = "not used by this job"
    elif stage.wrong[events, lane].any():
        state = "differs"
    elif stage.wrong[events].any():
        state = "differs in another lane"
    else:
        state = (
            "equal" if len(events) == len(wanted) else f"equal, {len(events)} of {len(wanted)} in the waves"
        )
    time = float(stage.events.times[events[0]]) / 1000 if len(events) else -1
    return Row(stage.stage.title, stage.stage.module, expected, seen, state, time)


def _texts(stage: Stage, values: Sequence[int | None], bits: int) -> str:
    def text(value: int | None) -> str:
        if value is None:
            return "X"
        return f"0x{value & ((1 << bits) - 1):x}" if stage.words and bits > 1 else str(value)

    texts = list(map(text, values[:VALUES_SHOWN]))
    return " ".join(texts) + (f" and {len(values) - VALUES_SHOWN} more" if len(values) > VALUES_SHOWN else "")


def find_source(block: Block, stage: Stage) -> Source | None:
    """The assignment of a stage's register in the RTL, with the process around it; None where it is not found."""
    for path in block.source_files():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        starts = [
            n for n, line in enumerate(lines) if re.match(rf"\s*module\s+{re.escape(stage.module)}\b", line)
        ]
        if not starts:
            continue
        at, found = starts[0], [starts[0]]
        if stage.signal:
            name = re.escape(stage.signal)
            pattern = re.compile(rf"\b{name}\b\s*(\[.*\])?\s*(<=|=)|assign\s+{name}\b")
            every = [n for n in range(at, len(lines)) if pattern.search(lines[n])]
            if every:
                at = every[0]
                # The others of the same process: no line between them begins another one.
                ends = [
                    n
                    for n in range(at + 1, len(lines))
                    if re.match(r"\s*(always|assign|endmodule)", lines[n])
                ]
                found = [n for n in every if n < min(ends, default=len(lines))]
        first = at
        while (
            first > 0
            and at - first < EXCERPT
            and not re.search(r"\balways|\bassign\b|\bmodule\b", lines[first])
        ):
            first -= 1
        file = path.relative_to(block.root) if path.is_relative_to(block.root) else path
        text = lines[first : min(found[-1], at + EXCERPT) + 4]
        return Source(str(file), at + 1, [n + 1 for n in found[1:]], first + 1, text)
    return None


def headline(made: Explanation) -> str:
    """What failed: the line of the failure, with its rest where it is cut."""
    if not made.failure:
        return next(iter(made.problems), "the run failed")
    (_, first), *rest = told(made.failure)
    more = next((text for label, text in rest if not label), "")
    return f"{first} {more}".strip().split("; ")[0]


def terminal(block: Block, folder: Path, made: Explanation) -> list[str]:
    """The first screen, in at most 25 lines."""
    run = made.run
    verdict = "passed" if run.get("passed") else "failed"
    lines = [f"{block.name} on {run.get('simulator')}, seed {run.get('seed')}: {verdict}"]
    lines.append(f"  {headline(made)}")
    if made.place:
        lines.append(f"  at        {made.place}")
    for key, label in FAILURE_FIELDS.items():
        if not label:
            continue  # stands in the headline
        # Where the stages are listed, they say what is expected and seen; what the bench knows of the cause stays.
        if made.failure.get(key) and (key in CAUSES or not made.rows):
            first, *_ = str(made.failure[key]).splitlines()
            lines.append(f"  {label:9} {first}")
    if made.rows:
        width = max(len(row.title) for row in made.rows)
        lines.append(f"  {'stage':{width + 2}}{'golden':>24}{'seen':>24}")
        for at, row in enumerate(made.rows):
            mark = ">" if at == made.blamed else " "
            seen = row.state if row.state.startswith("not") else row.seen
            lines.append(
                f"{mark} {row.title:{width + 2}}{_short(row.expected):>24}{_short(seen):>24}  {row.state}"
            )
    if made.verdict:
        lines.append(f"  verdict   {made.verdict}")
    if made.source:
        for number in (made.source.line, *made.source.others)[:4]:
            if number - made.source.first < len(made.source.text):
                lines.append(f"    {number:>6}  {made.source.text[number - made.source.first].strip()}")
    if made.map and (pattern := made.map.pattern()):
        lines.append(f"  pattern   {pattern}")
    if run.get("failure_ns") is not None:
        lines.append(f"  time      {run['failure_ns']:,.0f} ns")
    lines.append(f"  replay    {run.get('replay')}")
    page = folder / "report.html"
    if page.is_file():
        lines.append(f"  page      {shown(page)}")
    if run.get("waves"):
        lines.append(f"  waves     {shown(folder / run['waves'])}")
    return lines[:25]


def _short(text: str) -> str:
    return text if len(text) <= 23 else f"{text[:20]}..."
