# SPDX-License-Identifier: Apache-2.0
"""Journals of regressions that never ran: as many results as a test wants, with failures of known causes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.sim.regress.record import FAILED, JOURNAL, PASSED, Entry, Header, Result

ENTRIES = tuple(
    Entry(f"{block}-default-{simulator}-{test}", block, "default", simulator, test)
    for block in ("mvu", "pe_array", "controller", "accelerator")
    for simulator in ("verilator", "icarus")
    for test in ("random_jobs", "stalls", "corners", "resets", "collisions")
)

HEADER = Header(
    name="night",
    plan={"seeds": 200, "first_seed": 1},
    entries=ENTRIES,
    project="0123456789abcdef",
    commit="abcdef0",
    versions={"Verilator": "5.048", "Python": "3.11"},
    machine={"name": "somewhere", "cores": 2, "memory": 8 << 30},
    started=1_760_000_000.0,
)

BINS = [f"group{number % 8}.item{number % 5}: bin {number}" for number in range(400)]

Fails = Callable[[random.Random, Entry], Mapping[str, Any] | None]
"""Gives the signature of a run's failure; None: it passes."""


def never(rng: random.Random, entry: Entry) -> None:
    """Every run passes."""


def one_fault(rng: random.Random, entry: Entry) -> Mapping[str, Any] | None:
    """A fault of one module, in some hundred ways: other streams, lanes and words, at times a hang or a lost beat."""
    if entry.block not in ("mvu", "accelerator") or entry.test == "corners" or rng.random() > 0.4:
        return None
    common = {
        "block": entry.block,
        "time_ns": 10.0 * rng.randrange(100, 10_000),
        "clocks": rng.randrange(1000),
    }
    kind = rng.choices(["mismatch", "hang", "lost", "assertion"], [90, 4, 3, 3])[0]
    if kind == "assertion":
        said = {"check": "assertion: sum_known", "module": "mvu_post", "message": "ASSERT sum_known failed"}
        return {**common, "kind": kind, **said}
    if kind != "mismatch":
        said = f"job * of {entry.test} has not ended"
        return {**common, "kind": kind, "check": kind, "stage": said, "message": f"{kind}: {said}"}
    stream = rng.choice(["trc", "xbo"])
    lane = rng.randrange(8)
    at = (
        {"at": {"lane": [lane]}, "place": f"lane {lane}"}
        if rng.random() < 0.5
        else {"at": {"lane": [0, 3, 4]}}
    )
    blamed = rng.choice(
        [
            {"module": "mvu_post", "stage": "as if there were no bias"},
            {"module": "mvu_post", "stage": "as if output # were the whole pool group"},
            {"module": "mvu_residual or mvu_post", "stage": "as if there were no residual"},
            {"stage": "itself"},
        ]
    )
    return {
        **common,
        "kind": kind,
        "check": f"{kind}: {stream}",
        "unit": "MVU",
        "stream": stream,
        "fields": ["data"],
        "message": f"{stream}, beat {rng.randrange(1000)}: a beat differs",
        **blamed,
        **at,
    }


def results(count: int, fails: Fails = never, seed: int = 1, bins: bool = True) -> Iterator[Result]:
    """So many results, seed by seed."""
    rng = random.Random(seed)
    seen = 0
    for item in range(count):
        entry = item % len(ENTRIES)
        number = 1 + item // len(ENTRIES)
        result = Result(
            item,
            entry,
            number,
            PASSED,
            seconds=round(rng.expovariate(1.0), 3),
            ended=HEADER.started + item / 10,
            worker=f"tcp://worker{rng.randrange(4)}",
            words=1000,
            clocks=rng.randrange(100_000),
        )
        failure = fails(rng, ENTRIES[entry])
        if failure is not None:
            replay = (
                f"make TOPLEVEL={ENTRIES[entry].block} SEED={number} COCOTB_TESTCASE={ENTRIES[entry].test}"
            )
            yield replace(result, state=FAILED, failure=failure, replay=replay)
            continue
        if bins:
            mask = 0
            for _ in range(6):
                mask |= 1 << rng.randrange(min(len(BINS) - 3, 10 * entry + 12))
            new = (mask & ~seen).bit_count()
            seen |= mask
            result = replace(result, hit=f"{mask:x}", new=new)
        yield result


def write(
    folder: Path, count: int, fails: Fails = never, seed: int = 1, header: Header = HEADER, bins: bool = True
) -> Path:
    """Write the journal of a regression that has ended; gives its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / JOURNAL).open("w", encoding="utf-8") as file:

        def line(entry: Mapping[str, Any]) -> None:
            file.write(json.dumps(entry, separators=(",", ":")) + "\n")

        line(replace(header, name=folder.name).as_json())
        line({"event": "started", "at": header.started, "text": f"{count} runs"})
        if bins:
            line({"bins": {"first": 0, "names": BINS}})
        for result in results(count, fails, seed, bins):
            line(result.as_json())
        line({"event": "ended", "at": header.started + count / 10, "text": "all have run"})
    return folder
