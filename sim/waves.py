# SPDX-License-Identifier: Apache-2.0
"""Finding the waveform a user wants to see, and opening it on the signals that matter, at the failure.

``tb/<block>/<block>.view`` lists those signals once: a ``[Heading]`` or a signal's path below the HDL top on each
line, ``#`` for comments. The scripts for GTKWave and for Surfer are made from it beside each waveform, with the
cursor on the failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from assay.sim import outputs, run, shown
from assay.sim.commands import command
from assay.sim.debug.command import VIEW, explain_run
from assay.sim.job import Job
from assay.sim.run import Outcome, add_failure_waves, read_summary
from assay.tb.block import Block
from assay.tb.errors import AssayError

_GTKWAVE_TCL = """\
# Made from {view}. Vectors carry their range in a dump's names, so signals are found by the name before it.
set names [dict create]
for {{set i 0}} {{$i < [gtkwave::getNumFacs]}} {{incr i}} {{
    set name [gtkwave::getFacName $i]
    dict set names [regsub {{\\[[0-9]+:[0-9]+\\]$}} $name ""] $name
}}
proc show {{signal}} {{
    global names
    if {{[dict exists $names $signal]}} {{
        gtkwave::addSignalsFromList [list [dict get $names $signal]]
        if {{[regexp {{\\.(lane|golden)[0-9]+$}} $signal]}} {{
            gtkwave::highlightSignalsFromList [list [dict get $names $signal]]
            gtkwave::/Edit/Data_Format/Signed_Decimal
            gtkwave::/Edit/UnHighlight_All
        }}
    }} else {{
        puts "not in this waveform: $signal"
    }}
}}
{body}
gtkwave::setTraceScrollbarRowValue 0
{zoom}
"""

_GTKWAVE_LOOKS = (
    "--rcvar=hier_max_level 2",
    "--rcvar=left_justify_sigs on",
    "--rcvar=initial_window_x 1400",
    "--rcvar=initial_window_y 900",
    "--rcvar=initial_signal_window_width 420",
)
"""Signals with their instance; a window whose size is known when the script zooms, which counts pixels."""


def last_run(block: Block, announce: Callable[[str], None]) -> Path:
    """Folder of the last failed run of ``block`` if there is one, else of the last run that wrote waves.

    A failure without waves, as the regression leaves it, is simulated again to write them.
    """
    runs = past_runs(block)
    for folder, record in runs:
        if record.get("at"):
            continue  # made to look at a place
        if not record["passed"] and (record["waves"] or record["failure_ns"] is not None):
            if not record["waves"]:
                _write_waves(block, folder, record, announce)
                explain_run(block, folder, announce)
            return folder
    for folder, record in runs:
        if record["waves"]:
            return folder
    raise AssayError(
        f"no run of {block.name} failed and none wrote waves; this writes them: {command('run', block, {'WAVES': '1'})}"
    )


def past_runs(block: Block) -> list[tuple[Path, dict[str, Any]]]:
    """Folder and record of every run of ``block`` that is still there, the last one first."""
    records = sorted(
        outputs.run_root(block).glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    return [(path.parent, record) for path in records if (record := _read_record(path, block))]


def at_place(block: Block, text: str, announce: Callable[[str], None]) -> Path:
    """The folder with the waves around a place of a network in the last run of ``block``, which is run again.

    Args:
        text: such as "layer:conv2,row:3,channel:17".

    Raises:
        AssayError: the text cannot be read, there was no run, or it does not compute that place.
    """
    wanted = {}
    for part in text.split(","):
        name, colon, value = (word.strip() for word in part.partition(":"))
        if not colon or not value or (name != "layer" and not value.isdecimal()) or name in wanted:
            raise AssayError(
                f"AT={text}: must be such as layer:conv2,row:3,column:0,channel:17, each at most once, and all but the "
                "layer with a number"
            )
        wanted[name] = value
    found = past_runs(block)
    if not found:
        raise AssayError(f"no run of {block.name} so far; this makes one: {command('run', block, {})}")
    outcome = run.waves_of_place(job_of(block, found[0][1]), wanted, announce)
    explain_run(block, outcome.folder, announce)
    return outcome.folder


def job_of(block: Block, record: dict[str, Any]) -> Job:
    """The job of a run's record."""
    given = {name: record[name] for name in run.JOB_RECORD}
    return Job(block, **given | {name: tuple(given[name]) for name in ("tests", "compile_args")})


def _read_record(path: Path, block: Block) -> dict[str, Any] | None:
    """The record of a run of ``block``; None for another block's, and for one that another version has written."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("block") == block.name and record.keys() >= {
            *run.JOB_RECORD,
            "passed",
            "failure_ns",
            "waves",
            "replay",
        }:
            return record
    return None


def _write_waves(block: Block, folder: Path, record: dict[str, Any], announce: Callable[[str], None]) -> None:
    summary = read_summary(folder)
    outcome = Outcome(
        job_of(block, record), folder, [], ["failed before"], summary, 0.0, failure_ns=record["failure_ns"]
    )
    add_failure_waves(outcome, announce)
    if outcome.waves is None:
        raise AssayError(
            f"the failure of {shown(folder)} could not be repeated; run it again: {record['replay']}"
        )


def show(block: Block, folder: Path, announce: Callable[[str], None]) -> None:
    """Open the waves in ``folder`` with GTKWave or Surfer where there is a display, else name the commands."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    at = "" if record["failure_ns"] is None else f" at {record['failure_ns']:,.0f} ns"
    state = "passed" if record["passed"] else f"failed{at}"
    if record.get("at"):
        state += f"; {record['at']['place']} at {record['at']['time_ns']:,.0f} ns"
    announce(
        f"{block.name} on {record['simulator']}, seed {record['seed']}, {state}; replay: {record['replay']}"
    )
    commands = viewer_commands(block, folder, record)
    announce(f"waves: {shown(folder / record['waves'])}")
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        for command in commands:
            if shutil.which(command[0]):
                announce(f"opening: {shlex.join(command)}")
                subprocess.Popen(
                    command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
                )
                return
        announce("neither gtkwave nor surfer is on PATH; install one with: apt-get install gtkwave")
    for command in commands:
        announce(f"open with: {shlex.join(command)}")


def viewer_commands(block: Block, folder: Path, record: dict[str, Any]) -> list[list[str]]:
    """The commands that open a run's waves, from any folder; writes the view scripts that they name."""
    waves = folder / record["waves"]
    tracks = _read_tracks(folder)
    signals = [*_entries(tracks.get("lines", []), ""), *_read_view(block)]
    if not signals:
        return [["gtkwave", str(waves)], ["surfer", str(waves)]]
    tcl, surfer = folder / "view.tcl", folder / "view.sucl"
    around_ns = tracks.get("around_ps", 0) / 1000
    marked_ns = record["at"]["time_ns"] if record.get("at") else record["failure_ns"]
    tcl.write_text(_gtkwave_script(block, signals, marked_ns, around_ns), encoding="utf-8")
    surfer.write_text(_surfer_script(signals, marked_ns), encoding="utf-8")
    return [
        ["gtkwave", *_GTKWAVE_LOOKS, f"--script={tcl}", str(waves)],
        ["surfer", "--command-file", str(surfer), str(waves)],
    ]


def _read_tracks(folder: Path) -> dict[str, Any]:
    """What `sim.debug` has left for viewers; empty where it has left nothing."""
    with contextlib.suppress(OSError, ValueError):
        tracks: dict[str, Any] = json.loads((folder / VIEW).read_text(encoding="utf-8"))
        return tracks
    return {}


def _read_view(block: Block) -> list[tuple[str, str]]:
    """The view's lines as ("heading", text) and ("signal", full path); empty without a view file."""
    if not block.view_file().is_file():
        return []
    return _entries(block.view_file().read_text(encoding="utf-8").splitlines(), f"{block.hdl_top}.")


def _entries(lines: Iterable[str], prefix: str) -> list[tuple[str, str]]:
    entries = []
    for line in lines:
        line = line.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            entries.append(("heading", line[1:-1]))
        elif line:
            entries.append(("signal", f"{prefix}{line}"))
    return entries


def _gtkwave_script(
    block: Block, entries: list[tuple[str, str]], failure_ns: float | None, around_ns: float
) -> str:
    body = [
        f"gtkwave::/Edit/Insert_Comment {{{text}}}" if kind == "heading" else f"show {{{text}}}"
        for kind, text in entries
    ]
    zoom = "gtkwave::/Time/Zoom/Zoom_Full"
    if failure_ns is not None:
        body.append(f"gtkwave::setMarker {int(failure_ns)}ns")
        if around_ns:
            begin, end = (max(0, int(failure_ns + sign * around_ns)) for sign in (-1, 1))
            zoom = f"gtkwave::setZoomRangeTimes {begin}ns {end}ns"
    return _GTKWAVE_TCL.format(view=shown(block.view_file()), body="\n".join(body), zoom=zoom)


def _surfer_script(entries: list[tuple[str, str]], failure_ns: float | None) -> str:
    lines = [f"divider_add {text}" if kind == "heading" else f"variable_add {text}" for kind, text in entries]
    lines.append("zoom_fit")
    if failure_ns is not None:
        lines.append(f"cursor_set {int(failure_ns * 1000)}")  # in the dump's unit, 1 ps
        lines += ["goto_cursor", *["zoom_in"] * 4]
    return "\n".join(lines) + "\n"
