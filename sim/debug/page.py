# SPDX-License-Identifier: Apache-2.0
"""A failure's page: one HTML file in the run's folder that needs no network."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from assay.sim import shown
from assay.sim.debug.datapath import ResultMap
from assay.sim.debug.explanation import Explanation, headline
from assay.sim.debug.tracks import Track, lane_names
from assay.sim.pages import rendered
from assay.tb.block import Block
from assay.tb.report import FAILURE_FIELDS

__all__ = ["PAGE", "write_page"]

PAGE = "report.html"
TEMPLATE = Path(__file__).with_name("page.html")
LOG_LINES = 200
LIST_ROWS = 24  #: of what happened last
CLOCKS_BEFORE, CLOCKS_AFTER = 8, 2  #: that are drawn
CLOCK_WIDTH = 3  #: of a clock, in WaveDrom's unit
CLOCK_TEXT = 16  #: characters that fit into it
SIGNALS_SHOWN = 16  #: of the block's view that are drawn
MOST_CELLS = 64  #: of a map's side; larger ones are drawn coarser


def write_page(block: Block, folder: Path, made: Explanation) -> Path:
    """Write ``report.html`` into the run's folder; gives its path.

    Raises:
        OSError: it cannot be written.
    """
    run = made.run
    log = folder / "run.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    failure_ns = made.window[1] / 1000
    content = {
        "title": f"{block.name} on {run.get('simulator')}, seed {run.get('seed')}: "
        + ("passed" if run.get("passed") else "failed"),
        "headline": headline(made),
        "verdict": made.verdict,
        "facts": list(_facts(made)),
        "rows": made.rows,
        "place": made.place,
        "blamed": made.blamed,
        "source": made.source,
        "maps": list(_maps(made.map)) if made.map else [],
        "pattern": made.map.pattern() if made.map else "",
        "drawing": _drawing(made),
        "period": made.period / 1000,
        "failure_ns": failure_ns,
        "waves": shown(folder / run["waves"]) if run.get("waves") else "",
        "lists": [
            {"title": track.title, "rows": _last(track, made.window)} for track in made.tracks if track.title
        ],
        "others": "\n\n".join(str(each.get("message")) for each in (made.summary.get("failures") or [])[:20]),
        "log": "\n".join(lines[-LOG_LINES:]) + "\n",
        "log_name": shown(log),
    }
    page = folder / PAGE
    partial = folder / f".{PAGE}.partial"
    partial.write_text(rendered(TEMPLATE, content), encoding="utf-8")
    partial.replace(page)
    return page


def _facts(made: Explanation) -> Iterator[tuple[str, str]]:
    run, failure = made.run, made.failure
    for key, label in FAILURE_FIELDS.items():
        if label and failure.get(key):
            yield label, str(failure[key])
    for problem in made.problems:
        yield "problem", str(problem)
    if run.get("failure_ns") is not None:
        yield "failed at", f"{run['failure_ns']:,.0f} ns"
    yield "replay", str(run.get("replay"))
    yield "tests", ", ".join(run.get("tests", []))
    parameters = run.get("parameters") or {}
    if parameters:
        yield "parameters", " ".join(f"{name}={value}" for name, value in parameters.items())
    if made.summary.get("simulator"):
        yield "simulator", str(made.summary["simulator"])
    for package in ("assay", "cocotb", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield package, importlib.metadata.version(package)
    yield "Python", platform.python_version()


def _last(track: Track, window: tuple[int, int, int]) -> list[tuple[float, str]]:
    """The last changes of a track up to the failure."""
    until = window[1] if window[1] >= 0 else window[2]
    rows = [(time / 1000, str(value)) for time, value in track.changes if time <= until and value != ""]
    return rows[-LIST_ROWS:]


# ---------------------------------------------------------------------------------------------
# Maps
# ---------------------------------------------------------------------------------------------
def _maps(found: ResultMap) -> Iterator[dict[str, Any]]:
    """A plane of rows and columns, and a strip for each other axis: the worst over what is not drawn."""
    names = list(found.names)
    plane: list[str] = [name for name in ("row", "column") if name in names] or names[:1]
    if len(plane) < 2 and "row" not in names:
        plane = names[:2]
    rest = [name for name in names if name not in plane and found.state.shape[names.index(name)] > 1]
    drawn: list[list[str]] = [plane, *([name] for name in rest)]
    for chosen in drawn:
        axes = tuple(at for at, name in enumerate(names) if name not in chosen)
        worst, wrong = found.state.max(axis=axes), (found.state == 3).sum(axis=axes)
        firsts = [found.first[names.index(name)] for name in chosen]
        title = " x ".join(
            f"{name} {first} to {first + size - 1}"
            for name, first, size in zip(chosen, firsts, worst.shape, strict=True)
        )
        yield _grid(np.atleast_2d(worst), np.atleast_2d(wrong), title, chosen, firsts)


def _grid(
    state: np.ndarray, wrong: np.ndarray, title: str, names: list[str], firsts: list[int]
) -> dict[str, Any]:
    step = [-(-size // (MOST_CELLS if len(names) == 2 else 4 * MOST_CELLS)) for size in state.shape]
    cells = []
    for y in range(0, state.shape[0], step[0]):
        for x in range(0, state.shape[1], step[1]):
            part = np.s_[y : y + step[0], x : x + step[1]]
            places = [y, x][2 - len(names) :]
            where = ", ".join(f"{n} {f + at}" for n, f, at in zip(names, firsts, places, strict=True))
            text = f"{where}: {int(wrong[part].sum())} wrong"
            cells.append((x // step[1], y // step[0], int(state[part].max()), text))
    width, height = -(-state.shape[1] // step[1]), -(-state.shape[0] // step[0])
    size = max(5, min(14, 420 // max(width, height)))
    return {"title": title, "width": width, "height": height, "size": size, "cells": cells}


# ---------------------------------------------------------------------------------------------
# Drawing
# ---------------------------------------------------------------------------------------------
def _drawing(made: Explanation) -> str:
    """The tracks that matter around the failure, as SVG; empty where no time is known."""
    begin, failure, end = made.window
    if failure < 0 or not made.period:
        return ""
    first = max(begin, failure - CLOCKS_BEFORE * made.period)
    edges = np.arange(failure - (failure - first) // made.period * made.period, failure + 1, made.period)
    after = np.arange(failure + made.period, min(end, failure + CLOCKS_AFTER * made.period) + 1, made.period)
    edges = np.concatenate([edges, after])
    signals: list[dict[str, Any]] = [{"name": "clock", "wave": "p" + "." * (len(edges) - 1)}]
    signals += [row for track, golden in _drawn(made) if (row := _wave(track, golden, edges)) is not None]
    if len(signals) == 1:
        return ""
    import wavedrom

    tick = 1 - int((edges <= failure).sum())  # clock 0 ends with the failing edge
    drawing = {
        "signal": signals,
        "head": {"tick": tick},
        "config": {"hscale": CLOCK_WIDTH},
    }
    return str(wavedrom.render(json.dumps(drawing)).tostring())


def _drawn(made: Explanation) -> Iterator[tuple[Track, Track | None]]:
    """What is drawn, each with the golden model's track beside it: the failing stream, the unit's stages."""
    tracks = {track.path: track for track in made.tracks}
    for track in made.tracks:
        named = track.scope == "streams" and track.name == made.failure.get("stream")
        if track.drawn or (named and made.path is not None):
            yield track, None
    if made.path is None:
        from_ps, to_ps = (made.window[1] + clocks * made.period for clocks in (-CLOCKS_BEFORE, CLOCKS_AFTER))
        moving = [
            track for track in made.signals if any(from_ps <= time <= to_ps for time, _ in track.changes)
        ]
        yield from ((track, None) for track in moving[:SIGNALS_SHOWN])
        return
    base = made.path.unit.title.replace(" ", "_")
    lane = max(made.lane, 0)
    for stage in made.path.stages:
        scope = ".".join(filter(None, ("assay", base, stage.stage.probe)))
        number = min(lane, stage.stage.lanes - 1)
        own, golden = (tracks[f"{scope}.{name}"] for name in lane_names(stage.stage, number))
        yield own, golden


def _wave(track: Track, golden: Track | None, edges: np.ndarray) -> dict[str, Any] | None:
    """A row of WaveDrom: a new box for each change, red where it is not the golden model's; a bit as high and low."""
    boxes: list[tuple[str, str, int]] = []  # kind, text, clocks
    last: object = None
    for edge in edges.tolist():
        value = track.at(edge)
        known = bool(track.changes) and track.changes[0][0] < edge and value != ""
        wrong = False
        if known and golden is not None and golden.changes and golden.changes[0][0] < edge:
            wrong = golden.at(edge) != value
        if (value if known else None, wrong) == last and boxes:
            kind, text, clocks = boxes[-1]
            boxes[-1] = (kind, text, clocks + 1)
            continue
        last = (value if known else None, wrong)
        if not known:
            boxes.append(("x", "", 1))
        elif value in ("0", "1"):
            boxes.append((str(value), "", 1))
        elif wrong and golden is not None:
            boxes.append(("9", f"{value}, golden {golden.at(edge)}", 1))
        else:
            boxes.append(("=", str(value), 1))
    if all(kind == "x" for kind, _, _ in boxes):
        return None
    wave = "".join(kind + "." * (clocks - 1) for kind, _, clocks in boxes)
    data = [_cut(text, CLOCK_TEXT * clocks) for kind, text, clocks in boxes if kind in "=9"]
    name = f"{track.scope.split('.')[-1]} {track.name}".strip().removeprefix("streams ").removeprefix("dut.")
    return {"name": name, "wave": wave, "data": data}


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 2]}.."
