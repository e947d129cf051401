# SPDX-License-Identifier: Apache-2.0
"""Running a regression: items go to workers, results come into the journal, each exactly once.

The journal is the only state. What it does not hold was not run: an item that was under way when the regression, its
machine, or a worker went away is run again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import io
import os
import platform
import shutil
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from assay.sim import outputs, shown
from assay.sim.items import Item
from assay.sim.journal import Lines
from assay.sim.regress.archive import Archive, read, relocated, write
from assay.sim.regress.cluster import Workers
from assay.sim.regress.grades import Bins
from assay.sim.regress.plan import Items, item_of
from assay.sim.regress.record import (
    FAILURES,
    JOURNAL,
    LOST,
    PASSED,
    TIMEOUT,
    Header,
    Regression,
    Result,
)
from assay.sim.regress.signature import signature_of_error
from assay.tb.block import Block
from assay.tb.errors import AssayError

Announce = Callable[[str], None]

PROGRESS_S = 10
"""Seconds between two lines of progress."""

NO_WORKERS_S, ALL_REFUSED_S = 120, 10
"""After which a regression without workers ends, and one on this machine that has refused some."""

KEPT_FAILURES, KEPT_PER_ENTRY = 500, 5
"""Folders of failed runs that a regression keeps, in all and of each row of its table; the rest have their line."""

TOLD_FAILURES = 20
"""Failures that are printed when they come."""


@dataclasses.dataclass
class State:
    """How far a regression is.

    Attributes:
        done: numbers of the items that have a result.
        counts: state to number of results.
        seconds: that the items took.
    """

    done: _Numbers
    counts: Counter[str]
    seconds: float = 0.0


class _Numbers:
    """A set of small numbers: a bit each, for there may be millions."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        if number >> 3 >= len(self._bits):
            self._bits.extend(bytes(max(4096, (number >> 3) + 1 - len(self._bits))))
        self._bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        return number >> 3 < len(self._bits) and bool(self._bits[number >> 3] >> (number & 7) & 1)


def root(block: Block | None = None) -> Path:
    """The folder that holds a folder for each regression."""
    return outputs.outputs(block) / "reports" / "regress"


def machine() -> dict[str, Any]:
    """The machine of this process."""
    return {
        "name": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a regression.

    Raises:
        AssayError: one does.
    """
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AssayError(f"{shown(folder)} is a regression that goes on in another process") from None
        yield


def begin(folder: Path, header: Header, archive: Archive) -> None:
    """Make the folder of a regression: its project, and the first line of its journal, which comes last.

    Raises:
        AssayError: the folder is there already.
    """
    try:
        outputs.made(folder.parent)
        folder.mkdir()
    except FileExistsError:
        raise AssayError(f"{shown(folder)} exists; give another NAME, or resume it") from None
    write(folder, archive)
    Lines(folder / JOURNAL).add(header.as_json())


def note(folder: Path, kind: str, text: str) -> None:
    """Note in a regression's journal what happened."""
    Lines(folder / JOURNAL).add({"event": kind, "at": round(time.time(), 2), "text": text})


class Engine:
    """Runs what a regression's journal does not hold yet.

    Args:
        folder: of the regression, which this process holds.
        items: of its plan.
        blocks: that there are.
        workers: that run them.
        announce: receives lines for people.
    """

    def __init__(
        self, folder: Path, items: Items, blocks: Mapping[str, Block], workers: Workers, announce: Announce
    ) -> None:
        self.folder = folder
        self._items = items
        self._blocks = blocks
        self._workers = workers
        self._announce = announce
        self._lines = Lines(folder / JOURNAL)
        self._pending: list[dict[str, Any]] = []
        self._bins = Bins()
        regression = Regression(folder)
        self.state = State(_Numbers(), Counter())
        self._kept: Counter[int] = Counter()
        for result in regression.results():
            self.state.done.add(result.item)
            self.state.counts[result.state] += 1
            self.state.seconds += result.seconds
            self._kept[result.entry] += bool(result.folder)
        self._bins.restore(regression)
        self._orders = [dataclasses.asdict(entry) for entry in relocated(items.entries, read(folder).files)]
        self._known: dict[int, Item] = {}
        self._lost: Counter[int] = Counter()
        self._begun = 0
        self._total = items.count
        self._done_before = sum(self.state.counts.values())
        self._seconds_before = self.state.seconds
        self._most_slots = 0
        self._told = 0

    @property
    def progress(self) -> str:
        """A line that says how far it is."""
        counts = self.state.counts
        done = sum(counts.values())
        here = done - self._done_before
        passed = time.monotonic() - self._started
        rate = here / passed if passed else 0.0
        words = [f"{done:,} of {self._total:,} items" if self._total else f"{done:,} items"]
        words.append(f"{done - counts[PASSED]:,} failures")
        words.append(f"{rate:.1f} items/s" if rate >= 1 else f"{60 * rate:.1f} items/min")
        left = (self._total - done) / rate if self._total and rate else None
        if self._items.plan.time:
            until = self._items.plan.time - passed
            left = until if left is None else min(left, until)
        if left is not None:
            words.append(f"{_time(max(left, 0))} left")
        return ", ".join(words)

    @property
    def share(self) -> str:
        """A line that says what the workers' time went into, since this process began."""
        number = sum(self.state.counts.values()) - self._done_before
        whole = (time.monotonic() - self._started) * self._most_slots
        if not number or not whole:
            return "nothing was run"
        beside = max(0.0, whole - self.state.seconds + self._seconds_before)
        return (
            f"simulations took {100 - 100 * beside / whole:.0f} % of the workers' time; builds and all else "
            f"{1000 * beside / number:.0f} ms for each of {number:,} runs"
        )

    def run(self) -> None:
        """Run until all items have a result, or the time is over.

        Raises:
            AssayError: there are no workers any more; what has run is in the journal.
            KeyboardInterrupt: as the user wants; likewise.
        """
        self._started = time.monotonic()
        resumed = bool(self._done_before)
        self.event("resumed" if resumed else "started", f"{self._done_before:,} results" if resumed else "")
        plan = self._items.plan
        waiting: dict[str, tuple[int, int, int]] = {}
        again: list[tuple[int, int, int]] = []
        suspects: list[tuple[int, int, int]] = []
        coming = (item for item in self._items if item[0] not in self.state.done)
        told, alone_since = time.monotonic(), None
        while True:
            slots = sum(self._workers.available().values())
            self._most_slots = max(self._most_slots, slots)
            over = plan.time and time.monotonic() - self._started > plan.time
            # One item for each thread: who dies with a worker is then that worker's item and no other.
            while len(waiting) < slots:
                item = again.pop() if again else None if over else next(coming, None)
                if item is None:
                    break
                self._submit(item, waiting)
            # The last attempt is made alone, so that no item is lost through another one.
            if not waiting and suspects and slots:
                self._submit(suspects.pop(), waiting)
            if not waiting and not again and slots:
                return
            if slots:
                alone_since = None
            elif alone_since is None:
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > self._patience():
                raise AssayError(self._no_workers())
            answers = self._workers.ended(1.0)
            for key, answer in answers:
                item = waiting.pop(key)
                if not self._settled(item, answer):
                    last = self._lost[item[0]] >= self._items.plan.attempts - 1 and not answer.get("unfit")
                    (suspects if last else again).append(item)
            self._flush()
            if time.monotonic() - told > PROGRESS_S:
                told = time.monotonic()
                self._announce(self.progress)

    def _patience(self) -> float:
        """Seconds to wait for workers. Those of this machine come back when they end, but not when they are refused."""
        return ALL_REFUSED_S if self._workers.local and self._workers.refused else NO_WORKERS_S

    def _no_workers(self) -> str:
        refused = len(self._workers.refused)
        return "no worker is left that can run items" + (f": {refused} were refused" if refused else "")

    def _submit(self, item: tuple[int, int, int], waiting: dict[str, tuple[int, int, int]]) -> None:
        number, entry, seed = item
        self._begun += 1
        key = f"{number}-{os.getpid()}-{self._begun}"
        plan = self._items.plan
        waiting[key] = item
        order = {"entry": self._orders[entry], "seed": seed, "coverage": plan.coverage, "limit": plan.timeout}
        self._workers.begin(key, order)

    def _settled(self, item: tuple[int, int, int], answer: dict[str, Any]) -> bool:
        """Whether an item has its result now; else it must be run again."""
        number, entry, seed = item
        worker, most = answer.get("worker", ""), self._items.plan.attempts
        if reason := answer.get("unfit"):
            self._workers.refuse(worker, reason)
            self.event("worker", f"{worker} is not used: {reason}")
            return False
        if reason := answer.get("lost"):
            # A scheduler of the user's gives an item to some workers, one after the other, before it is lost here.
            several = answer.get("killed") and not self._workers.local and not self._lost[number]
            self._lost[number] += max(1, most - 1) if several else 1
            self.event("worker", f"{self._items.entries[entry].name} seed {seed}: {reason}")
            if self._lost[number] < most:
                return False
            answer = {"state": LOST, "failure": signature_of_error(reason), "worker": worker}
            attempts = self._lost.pop(number)
        else:
            attempts = self._lost.pop(number, 0) + 1
        if "timeout" in answer:
            text = f"the item did not end within {_time(answer['timeout'])} and was stopped"
            answer = {"state": TIMEOUT, "failure": signature_of_error(text), "worker": worker}
            answer["seconds"] = self._items.plan.timeout
        self._record(
            Result(number, entry, seed, attempts=attempts, **self._fields(number, entry, seed, answer))
        )
        return True

    def _fields(self, number: int, entry: int, seed: int, answer: dict[str, Any]) -> dict[str, Any]:
        """The rest of a result."""
        fields: dict[str, Any] = {
            name: answer[name]
            for name in ("state", "seconds", "worker", "words", "values", "clocks", "failure")
            if name in answer
        }
        fields["ended"] = round(time.time(), 2)
        if groups := answer.get("groups"):
            names, fields["hit"], fields["new"] = self._bins.encode(groups)
            if names:
                self._pending.append({"bins": {"first": len(self._bins) - len(names), "names": names}})
        if answer["state"] != PASSED:
            fields["replay"] = self._replay(entry, seed)
            if content := answer.get("archive"):
                fields["folder"] = self._keep(number, entry, content)
        return fields

    def _replay(self, entry: int, seed: int) -> str:
        """The command that repeats a run, as the user types it here; empty where the test is here no more."""
        with suppress(AssayError):
            if entry not in self._known:
                self._known[entry] = item_of(self._items.entries[entry], self._blocks)
            return self._known[entry].job(seed, coverage=self._items.plan.coverage).replay
        return ""

    def _keep(self, number: int, entry: int, content: bytes) -> str:
        """Keep the folder of a failed run; of too many only the first."""
        if self._kept[entry] >= KEPT_PER_ENTRY or self._kept.total() >= KEPT_FAILURES:
            return ""
        self._kept[entry] += 1
        name = f"{FAILURES}/{number}"
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)  # of a result that did not come into the journal
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(place, filter="data")
        return name

    def _record(self, result: Result) -> None:
        self._pending.append(result.as_json())
        self.state.done.add(result.item)
        self.state.counts[result.state] += 1
        self.state.seconds += result.seconds
        if result.state != PASSED:
            self._told += 1
            if self._told <= TOLD_FAILURES:
                name = self._items.entries[result.entry].name
                message = str(result.failure.get("message", ""))
                self._announce(f"{result.state.upper()}  {name} seed {result.seed}: {message}")
                self._announce(f"      {'replay':<16} {result.replay}")
            elif self._told == TOLD_FAILURES + 1:
                self._announce("more failures are not printed; the report has all of them")

    def _flush(self) -> None:
        """What has come together goes to the disk together."""
        if self._pending:
            self._lines.add(*self._pending)
            self._pending.clear()

    def event(self, kind: str, text: str) -> None:
        """Note what happened."""
        self._flush()
        note(self.folder, kind, text)


def _time(seconds: float) -> str:
    """A time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
