# SPDX-License-Identifier: Apache-2.0
"""``summary.json`` of a regression: all numbers that its page shows, and the files that are made with them.

Its keys:

- ``name``, ``started`` (seconds since 1970), ``seconds``, ``commit``, ``project``, ``versions``, ``machine``, ``plan``;
- ``verdict``: ``passed``, ``failed``, ``interrupted``, ``nothing ran``; ``totals``: state to number of results, with
  ``acknowledged``; ``runs``; ``compared``: words; ``simulated``: clocks;
- ``buckets``: a dictionary each, see `_bucket`; ``known``: entries that are ``expired`` or ``stale``;
- ``tests``: of the plan, with ``history``: pairs of an earlier regression's number and its pass rate;
- ``regressions``: those of the history; ``slowest``: results; ``coverage``; ``graded``; ``workers``; ``events``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.sim.journal import Lines, read_lines
from assay.sim.regress.buckets import Bucket, buckets
from assay.sim.regress.examine import read_examined
from assay.sim.regress.grades import (
    COVERAGE,
    Graded,
    graded,
    graded_file,
    read_list,
    split_name,
    write_graded,
)
from assay.sim.regress.history import add_to_history, read_history
from assay.sim.regress.known import Known
from assay.sim.regress.record import FAILED, TIMEOUT, Header, Regression
from assay.sim.regress.table import Table, ones, way_ids
from assay.tb.json_file import write_json

__all__ = ["FILE", "FOUND_SEEDS", "keep_seeds", "read_found", "update_graded", "write_summary"]

FILE = "summary.json"

FOUND_SEEDS = Path("tb") / "found_seeds.jsonl"
"""Seeds that have found a failure, for ever; relative to a repository's root, so that a team commits it."""

SEEDS_KEPT = 10
"""Of a bucket in `FOUND_SEEDS`: its representative, then one for each test, then others."""

_STATES = ("started", "resumed", "interrupted", "ended")
"""Events that say how far a regression is; workers come and go at any time."""

_SLOWEST = 20
_MISSED = 200  #: bins of a group that no run has covered, that are named
_SEEDS_SHOWN = 20
_WAYS_SHOWN = 40
_EVENTS = 500


def write_summary(
    folder: Path,
    known: Sequence[Known] = (),
    root: Path | None = None,
    found: Sequence[Bucket] | None = None,
) -> dict[str, Any]:
    """Write ``summary.json``, and bring history and graded seeds up to date where the regression has ended.

    Args:
        folder: of the regression; history and graded seeds stand in its parent.
        known: what is acknowledged; that an entry matches nothing is told where it could have matched.
        root: of the blocks' repository, where seeds that found a failure are kept; None: they are not.
        found: the buckets of the journal as it is now, with `known`; None: they are made.

    Raises:
        AssayError: the folder holds no regression, or the history is damaged.
        OSError: a file cannot be written.
    """
    regression = Regression(folder)
    header, home = regression.header, folder.parent
    if found is None:
        for each in known:
            each.matched = 0
        found = buckets(regression.results(), header, known)
    table = Table(regression, {id_: bucket.number for bucket in reversed(found) for id_ in way_ids(bucket)})
    events, names = table.events, table.bins
    states = [event["event"] for event in events if event["event"] in _STATES]
    ended = states[-1:] == ["ended"]
    earlier = read_history(home, header.started)
    summary: dict[str, Any] = {
        "name": header.name,
        "verdict": _verdict(table, found, ended),
        "started": header.started,
        "seconds": _seconds(header, table, events),
        "runs": len(table),
        "totals": {
            **table.counts(),
            "acknowledged": sum(bucket.count for bucket in found if bucket.acknowledged),
        },
        "simulated": int(table.columns["clocks"].sum()),
        "buckets": [_bucket(bucket, header, folder) for bucket in found],
        "known": _of_known(known, table),
        "tests": _tests(header, table, earlier),
        "regressions": [{key: line.get(key) for key in ("name", "started", "commit")} for line in earlier],
        "slowest": _slowest(header, table),
        "coverage": _coverage(names, table),
        "workers": _workers(table),
        "events": events[-_EVENTS:],
        **{key: getattr(header, key) for key in ("commit", "project", "versions", "machine", "plan")},
    }
    summary["seeds_found"] = keep_seeds(root / FOUND_SEEDS, found, header) if root is not None else 0
    best = graded(regression, len(names)) if names else []
    summary["graded"] = {
        "runs": len(best),
        "seconds": round(sum(each.seconds for each in best), 2),
        "bins": sum(each.adds for each in best),
        "kept": "",
        "list": [vars(each) for each in best[:_EVENTS]],
    }
    if ended:
        finders = _finders(read_found(root / FOUND_SEEDS) if root else [])
        summary["graded"]["kept"] = update_graded(graded_file(home), best, finders, header)
        add_to_history(home, summary)
    write_json(folder / FILE, summary)
    return summary


def _verdict(table: Table, found: Iterable[Bucket], ended: bool) -> str:
    if not len(table):
        return "nothing ran"
    if any(not bucket.acknowledged for bucket in found):
        return "failed"
    return "passed" if ended else "interrupted"


def _seconds(header: Header, table: Table, events: Sequence[dict[str, Any]]) -> float:
    """From the start to the last result or event."""
    times = [event["at"] for event in events if "at" in event]
    last = max([header.started, *times, *([float(table.columns["ended"].max())] if len(table) else [])])
    return round(last - header.started, 1)


def _bucket(bucket: Bucket, header: Header, folder: Path) -> dict[str, Any]:
    best = bucket.best
    known = bucket.known
    return {
        "number": bucket.number,
        "key": bucket.key,
        "title": bucket.title,
        "count": bucket.count,
        "state": best.state,
        "acknowledged": bucket.acknowledged,
        "known": None
        if known is None
        else {
            "reason": known.reason,
            "who": known.who,
            "expires": known.expires.isoformat(),
            "expired": known.expired,
            "link": known.link,
            "pattern": known.describe(),
        },
        "perhaps": bucket.perhaps,
        "message": best.failure.get("message", ""),
        "replay": bucket.replay,
        "seed": best.seed,
        "test": header.entries[best.entry].name,
        "folder": best.folder,
        "time_ns": best.failure.get("time_ns", -1),
        "clocks": best.failure.get("clocks", -1),
        "first": bucket.first,
        "last": bucket.last,
        "tests": [
            {"name": header.entries[entry].name, "count": count}
            for entry, count in bucket.tests.most_common()
        ],
        "seeds": [
            {"test": header.entries[entry].name, "seed": seed} for entry, seed in bucket.seeds[:_SEEDS_SHOWN]
        ],
        "ways": [
            {
                "count": way.count,
                "what": "; ".join(
                    text for name in ("block", "check", "module", "stage", "place") if (text := way.get(name))
                ),
                "message": way.best.failure.get("message", ""),
                "replay": way.best.replay,
            }
            for way in bucket.ways[:_WAYS_SHOWN]
        ],
        "all_ways": len(bucket.ways),
        "way_ids": way_ids(bucket),
        "examined": read_examined(folder, bucket),
    }


def _of_known(known: Sequence[Known], table: Table) -> dict[str, list[str]]:
    """Entries that a person should look at."""
    said = [f"{each.describe()} ({each.who}, {each.expires}: {each.reason})" for each in known]
    return {
        "expired": [text for each, text in zip(known, said, strict=True) if each.expired and each.matched],
        "stale": [text for each, text in zip(known, said, strict=True) if not each.matched and len(table)],
    }


def _tests(header: Header, table: Table, earlier: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    number = len(header.entries)
    passed = table.by_entry(table.columns["state"] == 0, number)
    runs = table.by_entry(np.ones(len(table)), number)
    seconds = table.by_entry(table.columns["seconds"], number)
    new = table.by_entry(table.columns["new"], number)
    rows = []
    for at, entry in enumerate(header.entries):
        history = []
        for place, line in enumerate(earlier):
            if entry.name in line["tests"]:
                good, bad, _ = line["tests"][entry.name]
                history.append([place, round(good / max(1, good + bad), 4)])
        rows.append(
            {
                "name": entry.name,
                "block": entry.block,
                "runs": int(runs[at]),
                "passed": int(passed[at]),
                "failed": int(runs[at] - passed[at]),
                "seconds": round(seconds[at], 2),
                "new": int(new[at]),
                "history": history,
            }
        )
    return rows


def _slowest(header: Header, table: Table) -> list[dict[str, Any]]:
    seconds = table.columns["seconds"]
    count = min(_SLOWEST, len(seconds))
    rows = np.argpartition(seconds, -count)[-count:] if count else np.empty(0, int)
    rows = rows[np.argsort(-seconds[rows], kind="stable")]
    return [
        {
            "item": int(table.columns["item"][row]),
            "test": header.entries[int(table.columns["entry"][row])].name,
            "seed": int(table.columns["seed"][row]),
            "seconds": round(float(seconds[row]), 2),
        }
        for row in rows.tolist()
    ]


def _coverage(names: Sequence[str], table: Table) -> dict[str, Any]:
    """By group: bins that passed runs cover, of all that were sampled; how it grew."""
    hit = ones(table.seen, len(names))
    groups: dict[str, dict[str, Any]] = {}
    for name, covered in zip(names, hit.tolist(), strict=True):
        group, item, label = split_name(name)
        row = groups.setdefault(group, {"group": group, "covered": 0, "all": 0, "missed": []})
        row["all"] += 1
        row["covered"] += covered
        if not covered and len(row["missed"]) < _MISSED:
            row["missed"].append(f"{item}: {label}" if item else label)
    rows = sorted(groups.values(), key=lambda row: row["group"])
    return {
        "covered": int(hit.sum()),
        "all": len(names),
        "groups": rows,
        "curve": [list(point) for point in table.curve()],
    }


def _workers(table: Table) -> list[dict[str, Any]]:
    runs = np.bincount(table.columns["worker"], minlength=len(table.workers)).tolist()
    seconds = np.bincount(
        table.columns["worker"], weights=table.columns["seconds"], minlength=len(table.workers)
    ).tolist()
    return [
        {"name": name, "runs": count, "seconds": round(busy, 1)}
        for name, count, busy in zip(table.workers, runs, seconds, strict=False)
    ]


# -------------------------------------------------------------------------------------------------
# Seeds that found something
# -------------------------------------------------------------------------------------------------
def keep_seeds(path: Path, found: Iterable[Bucket], header: Header) -> int:
    """Add the seeds of buckets to the file of seeds that found a failure; gives how many were new.

    Of a bucket at most `SEEDS_KEPT` are in the file. What is not the seed's doing is left out: a run that could not be
    made, or a worker that was lost.
    """
    have = read_found(path)
    known = {(line["bucket"], line["entry"], line["seed"]) for line in have}
    counts: dict[str, int] = {}
    for line in have:
        counts[line["bucket"]] = counts.get(line["bucket"], 0) + 1
    new = []
    for bucket in found:
        best = bucket.best
        if best.state not in (FAILED, TIMEOUT):
            continue
        pairs = bucket.seeds
        firsts = list({entry: (entry, seed) for entry, seed in reversed(pairs)}.values())
        for entry, seed in dict.fromkeys([(best.entry, best.seed), *firsts, *pairs]):
            key = (bucket.key, header.entries[entry].name, seed)
            if key not in known and counts.get(bucket.key, 0) < SEEDS_KEPT:
                known.add(key)
                counts[bucket.key] = counts.get(bucket.key, 0) + 1
                new.append(
                    {
                        "bucket": bucket.key,
                        "entry": key[1],
                        "seed": seed,
                        "found": time.strftime("%Y-%m-%d", time.gmtime(header.started)),
                        "what": bucket.title,
                    }
                )
    if new:
        Lines(path).add(*new)
    return len(new)


def read_found(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of seeds that found a failure; none without the file. What is no such line is passed over."""
    return list(read_lines(path, ["bucket", "entry", "seed"]))


def _finders(lines: Iterable[dict[str, Any]]) -> list[Graded]:
    """Seeds that found a failure, as the list of graded seeds has them."""
    return [Graded(line["entry"], line["seed"], 0, 0.0, f"found {line['bucket']}") for line in lines]


def update_graded(path: Path, best: Sequence[Graded], finders: Sequence[Graded], header: Header) -> str:
    """Bring the list of graded seeds up to date.

    What it holds of tests that are not in this regression's plan stays. Of those that are, it stays where it reaches
    more bins than this regression did: a short one must not take a night's place.

    Returns:
        name of the regression whose seeds were kept for that reason; empty: this one's are in the list.
    """
    before = read_list(path)
    names = {entry.name for entry in header.entries}
    old = [each for each in before.runs if each.entry in names and each.why == COVERAGE]
    others = [each for each in before.runs if each.entry not in names and each.why == COVERAGE]
    stays = sum(each.adds for each in old) > sum(each.adds for each in best)
    chosen = [*(old if stays else best), *others]
    if chosen or finders:
        bins = sum(each.adds for each in chosen)
        write_graded(path, [*chosen, *finders], before.regression if stays else header.name, bins)
    return before.regression if stays else ""
