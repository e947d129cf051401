# SPDX-License-Identifier: Apache-2.0
"""What follows a failure's waves: tracks in them, the page, the first screen; and the command that shows it again."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

from assay.sim import shown
from assay.sim.commands import command
from assay.sim.debug.explanation import Explanation, explain, find_clock, terminal
from assay.sim.debug.merged import add_tracks
from assay.sim.debug.page import PAGE, write_page
from assay.sim.debug.query import ask
from assay.sim.debug.tracks import SCOPE, lane_names
from assay.sim.debug.wavedata import Waves
from assay.tb.block import Block
from assay.tb.errors import AssayError, sentence
from assay.tb.json_file import write_json

__all__ = ["ASK_HELP", "HELP", "VIEW", "answer", "explain_run", "follow", "show"]

HELP = (
    "explain the last failure: the first stage that differs, where it is computed, and a page with all of it"
)

ASK_HELP = (
    "ask the last run's waves when a condition held, such as 'busy and not issue for more than 20 clocks'"
)

VIEW = "tracks.json"
"""The tracks that a viewer shows first, as `view_lines` orders them, and what it zooms on."""

HEADING = 48  #: characters of a heading
CLOCKS_AROUND = 24
"""That a viewer shows on each side of the failure."""


def explain_run(block: Block, folder: Path, announce: Callable[[str], None]) -> Explanation | None:
    """Make the tracks and the page of the run in ``folder``; None where that fails, and why has been announced.

    The verdict stands whatever happens here.
    """
    try:
        made = explain(block, folder)
        waves = folder / str(made.run.get("waves"))
        if made.tracks and waves.suffix == ".fst":
            plain = folder / "window" / "before.fst"  # without tracks: those of before are not kept
            source, made_now = (plain if plain.is_file() else waves), folder / ".tracks.fst"
            add_tracks(source, made_now, made.tracks)
            if source == waves:
                plain.parent.mkdir(exist_ok=True)
                waves.replace(plain)
            made_now.replace(waves)
            around = CLOCKS_AROUND * made.period
            write_json(folder / VIEW, {"lines": list(view_lines(made)), "around_ps": around})
        write_page(block, folder, made)
    except (AssayError, OSError) as error:
        announce(f"the failure is not explained: {sentence(error)}")
        return None
    return made


def view_lines(made: Explanation) -> Iterator[str]:
    """The tracks along the data path, as the lines of a view file: ``[Heading]`` or a full path."""
    listed = [track for track in made.tracks if track.drawn]
    if made.path is not None:
        base = ".".join(filter(None, (SCOPE, made.path.unit.title.replace(" ", "_"))))
        # GTKWave makes the names' column as wide as the longest of them.
        yield f"[{textwrap.shorten(made.place or made.path.unit.title or 'data path', HEADING, placeholder=' ...')}]"
        yield f"{base}.job"
        for stage in made.path.stages:
            if not stage.known.any():
                continue  # of no use in this job
            lane = min(max(made.lane, 0), stage.stage.lanes - 1)
            for name in ("place", *lane_names(stage.stage, lane), "differs"):
                yield f"{base}.{stage.stage.probe}.{name}"
    if listed:
        yield "[What runs]"
        yield from (track.path for track in listed)
    streams = [
        track for track in made.tracks if track.scope == "streams" and any(text for _, text in track.changes)
    ]
    if streams:
        yield "[Transactions]"
        yield from (track.path for track in streams)


def show(block: Block, folder: Path, announce: Callable[[str], None]) -> None:
    """Print the first screen of the run in ``folder``, and write its page."""
    made = explain_run(block, folder, announce)
    if made is not None:
        for line in terminal(block, folder, made):
            announce(line)


def follow(block: Block, folder: Path, announce: Callable[[str], None]) -> None:
    """After a failure's report: explain it, and say in a few lines what that gave."""
    made = explain_run(block, folder, announce)
    if made is None:
        return
    facts = [("verdict", made.verdict), ("pattern", made.map.pattern() if made.map else "")]
    facts.append(("page", f"{shown(folder / PAGE)} ({command('explain', block, {})} prints its beginning)"))
    for name, text in facts:
        if text:
            announce(f"      {name:<16} {text}")


def answer(block: Block, folder: Path, question: str, limit: int, announce: Callable[[str], None]) -> int:
    """Answer a question to the waves of the run in ``folder``; the status is 1 where nothing was found.

    Raises:
        AssayError: the question cannot be answered, or there are no waves.
    """
    made = explain(block, folder)
    waves = Waves(folder / str(made.run["waves"]))
    clock = find_clock(waves, block.hdl_top)
    if not clock:
        raise AssayError(f"{shown(folder / made.run['waves'])} shows no clock of {block.hdl_top}")
    found = ask(waves, question, f"{block.hdl_top}.{clock}", block.hdl_top)
    places = [track for track in made.tracks if track.name == "job"]
    announce(f"{shown(waves.path)}, {found.clocks:,} clocks: found {len(found.intervals)} times")
    for each in found.intervals[:limit]:
        until = "the end of the waves" if each.open_ended else f"{each.end_ps / 1000:,.0f} ns"
        values = ", ".join(
            f"{name.removeprefix(f'{block.hdl_top}.')}={text}" for name, text in each.values.items()
        )
        jobs = ", ".join(str(job) for track in places if (job := track.at(each.begin_ps)))
        where = f"; {jobs}" if jobs else ""
        announce(f"  {each.begin_ps / 1000:,.0f} ns to {until}: {each.clocks} clocks; {values}{where}")
    if len(found.intervals) > limit:
        announce(f"  and {len(found.intervals) - limit} more (--limit {len(found.intervals)} shows all)")
    return 0 if found.intervals else 1
