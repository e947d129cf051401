# SPDX-License-Identifier: Apache-2.0
"""A bucket's representative, looked at: run again, with waves, explained and shrunk.

What comes of it is in ``<regression>/buckets/<n>/``: the page of the failure, the shrunk case with its steps, and
``examined.json``, which the report reads. A failure that does not come again is a finding of its own, and is said so.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.sim.job import Job
from assay.sim.regress.buckets import Bucket
from assay.sim.regress.record import ERROR, FAILED
from assay.tb.capabilities import PlaysCases
from assay.tb.errors import AssayError, sentence
from assay.tb.json_file import write_json

__all__ = ["BUCKETS", "examine", "read_examined"]

BUCKETS = "buckets"
"""Folder of a regression: a folder for each bucket that was examined."""

RECORD = "examined.json"

_NOTE = 300  #: characters of what a case is shrunk to; its file has all of it

Announce = Callable[[str], None]


def examine(bucket: Bucket, job: Job, folder: Path, minutes: float, announce: Announce) -> dict[str, Any]:
    """Look at the representative of a bucket.

    Args:
        job: the representative's run, of one test, see `sim.items.Item.job`.
        folder: of the regression.
        minutes: after which shrinking ends; 0: nothing is shrunk.

    Returns:
        what ``examined.json`` holds: ``key`` of the bucket, ``seed``, ``reproduced``, ``note`` for people, ``replay``
        of the shrunk case, ``links`` with ``name`` and ``path`` relative to the regression.

    Raises:
        KeyboardInterrupt: the user wants no more; what was found until then is recorded.
        OSError: the results cannot be written.
    """
    from assay.sim.debug.command import explain_run
    from assay.sim.debug.page import PAGE
    from assay.sim.regress.signature import signature
    from assay.sim.run import add_failure_waves, run_job

    best = bucket.best
    record: dict[str, Any] = {
        "key": bucket.key,
        "seed": best.seed,
        "reproduced": True,
        "note": "",
        "replay": "",
        "links": [],
    }
    if best.state != FAILED or best.failure.get("kind") == "timeout":
        why = (
            "there is no run to look at" if best.state == ERROR else "it may hang, or take this process along"
        )
        record["note"] = f"not run again: {why}"
        announce(f"bucket {bucket.number} is {record['note']}")
        return record
    own = folder / BUCKETS / str(bucket.number)
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    quiet: Announce = lambda line: None  # noqa: E731  (a run's own lines are of no interest here)
    announce(f"bucket {bucket.number}: running its representative again: {bucket.replay}")
    try:
        try:
            outcome = run_job(replace(job, waves=False, name_suffix="bucket"), quiet)
        except AssayError as error:
            record |= {"reproduced": False, "note": f"the run cannot be made here: {sentence(error)}"}
            announce(f"bucket {bucket.number}: NOT REPRODUCIBLE: {record['note']}")
            return record
        if outcome.passed:
            note = (
                f"seed {best.seed} passed when it was run again; it failed on {best.worker or 'a worker'}: look for "
                "what differs there, or for state that is not reset"
            )
            record |= {"reproduced": False, "note": note}
            announce(f"bucket {bucket.number}: NOT REPRODUCIBLE: {note}")
            return record
        again = signature(outcome)
        same = all(again.get(name) == best.failure.get(name) for name in ("check", "module", "time_ns"))
        record["note"] = (
            "failed again in the same way" if same else f"failed again, in another way: {again['message']}"
        )
        if not same:
            announce(f"bucket {bucket.number}: {record['note']}")
        add_failure_waves(outcome, announce)
        if outcome.waves is not None and explain_run(job.block, outcome.folder, announce) is not None:
            _take(outcome.folder / PAGE, own, "page of the failure", record, folder)
        _shrink(job, outcome.folder, own, minutes, record, folder, announce)
        return record
    except KeyboardInterrupt:
        record["note"] = "; ".join(filter(None, [record["note"], "interrupted"]))
        raise
    finally:
        write_json(own / RECORD, record)


def _shrink(
    job: Job, left: Path, own: Path, minutes: float, record: dict[str, Any], folder: Path, announce: Announce
) -> None:
    """Shrink the failure where its block plays cases; a run that cannot be shrunk is said so."""
    from assay.sim.shrink import shrink_job
    from assay.tb.cases import STEPS

    plays = job.block.capability(PlaysCases)
    if plays is None or minutes <= 0:
        return
    path = own / "case.json"
    try:
        shrunk, interrupted = shrink_job(plays, job, left / STEPS, path, 60 * minutes, announce)
    except AssayError as error:
        path.unlink(missing_ok=True)
        record["note"] += f"; not shrunk: {sentence(error)}"
        return
    record["replay"] = shrunk.replay
    record["links"].append({"name": "shrunk case", "path": str(path.relative_to(folder))})
    steps = "; ".join(plays.kind.describe(plays.read(job.block, path)))
    record["note"] += f"; shrunk to: {textwrap.shorten(steps, _NOTE, placeholder=' ...')}"
    if interrupted:
        raise KeyboardInterrupt


def _take(path: Path, own: Path, name: str, record: dict[str, Any], folder: Path) -> None:
    """Copy a file of the run to the bucket, and link it."""
    if path.is_file():
        shutil.copyfile(path, own / path.name)
        record["links"].append({"name": name, "path": str((own / path.name).relative_to(folder))})


def read_examined(folder: Path, bucket: Bucket) -> dict[str, Any] | None:
    """What was found of a bucket; None: it was not examined, or another one had its number then."""
    try:
        record = json.loads((folder / BUCKETS / str(bucket.number) / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("key") == bucket.key else None
