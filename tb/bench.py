# SPDX-License-Identifier: Apache-2.0
"""Tests of every bench: a decorated function or class becomes a cocotb test with a report, perhaps a planted fault.

    @MvuTest.test
    async def random_jobs(self):
        await self.play(self.stimulus.random_items(48))

`BenchTest` is the common part: report, first failure, end. `EnvTest` adds an environment, `ItemTest` a driver of items;
`tb.stream_bench.StreamBench` is the bench of a block of tensors at plain ports.
"""

from __future__ import annotations

import gc
import os
import re
import sys
import time
import zlib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Event, select
from pyuvm import ConfigDB, uvm_driver, uvm_root, uvm_sequence_item, uvm_sequencer, uvm_test

from assay.tb.agents.burst import StreamError
from assay.tb.agents.sequence import ItemSequence
from assay.tb.agents.words import RECORDING
from assay.tb.ahead import warm_up
from assay.tb.coverage import CoverGroup
from assay.tb.json_file import write_json
from assay.tb.report import RUN_DIR, Report
from assay.tb.scoreboard import Mismatch, Scoreboard

__all__ = ["BenchStopped", "BenchTest", "EnvTest", "Finding", "ItemTest"]

Body = Callable[[Any], Coroutine[Any, Any, None] | None]


class BenchStopped(Exception):
    """A failure has been recorded; the run ends here."""


class Finding:
    """What a test with a planted fault must find: its first failure's kind, words of its message, and of other texts of
    it by their keys (`tb.report.FAILURE_FIELDS`)."""

    def __init__(self, kind: str, *words: str, **texts: str) -> None:
        self.kind = kind
        self.words = words
        self.texts = texts

    def missing(self, failure: Mapping[str, object]) -> list[str]:
        """Words that a failure does not have."""
        lacking = [word for word in self.words if word not in str(failure["message"])]
        return lacking + [f"{k}: {v}" for k, v in self.texts.items() if v not in str(failure.get(k, ""))]


class BenchTest(uvm_test):
    """Resets the device, runs `body`, ends at the first failure, checks that nothing is left over.

    Attributes:
        toplevel: name of the block, for the report.
        dut, report: of the run.
        hook: the method that a decorated function becomes: ``body``, or where a class has one of its own that does
            the same for many tests, a method that this calls.
        seed: of this test. Tests of one run differ, and a test draws the same whether it runs alone or among others.
    """

    toplevel: str = ""
    hook: str = "body"

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.cdb_get("dut")
        self.report: Report = self.cdb_get("report")
        self.seed = zlib.crc32(f"{self.report.seed}/{type(self).__name__}".encode())

    # ---------------------------------------------------------------------------------------------
    # What a bench says of itself
    # ---------------------------------------------------------------------------------------------
    @property
    def scoreboards(self) -> Iterable[Scoreboard]:
        """All of them: where a failure ends the test, their counts still belong to the report."""
        raise NotImplementedError

    async def reset(self) -> None:
        """Reset the device and drop what is in flight in the bench."""
        raise NotImplementedError

    async def body(self) -> None:
        """What the test plays."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Nothing may be left: beats, answers, errors of the taps."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------------
    @property
    def failed(self) -> Event:
        """Set by the first failure."""
        return self.report.failed

    def fail(self, failure: Mismatch | StreamError | str, **details: object) -> None:
        """Record a failure, as for `Report.fail`, and end the test: what follows a first difference is noise."""
        self.report.record(failure, **details)

    def must_cover(self, group: CoverGroup) -> None:
        """Fail unless the test has reached every bin of a group that it is made for. On Icarus, where tests are made
        shorter, nothing is asked."""
        missed = group.missed()
        if missed and self.pick(1, 0):
            names = "; ".join(f"{item}: {', '.join(bins)}" for item, bins in missed.items())
            self.fail(f"the test was made to cover {group.name}, but missed {names}", kind="coverage")

    @staticmethod
    def pick(verilator: int, icarus: int) -> int:
        """An amount of work by simulator: Icarus is some fifty times slower. Runs whose words are recorded are there to
        be compared: on each simulator they do the same."""
        fast = cocotb.SIM_NAME.lower().startswith("verilator") and not RECORDING
        return verilator if fast else icarus

    async def run_phase(self) -> None:
        self.raise_objection()
        cut_short = True
        try:
            ended, _ = await select(self._all(), self.first_failure())
            cut_short = ended == 1
        except BenchStopped:
            if not self.failed.is_set():
                self.fail("the test stopped itself, but recorded no failure")
        except StreamError as error:
            self.fail(error)
        if cut_short:  # else `finish` has done it
            for scoreboard in self.scoreboards:
                self.report.add_counts(scoreboard)
        elif not self.failed.is_set() and not self.report.words_compared:
            self.fail("nothing was compared, so nothing was verified", kind="nothing compared")
        self.drop_objection()

    async def first_failure(self) -> None:
        """Returns when the test must end before its body does."""
        await self.failed.wait()

    async def _all(self) -> None:
        await self.reset()
        await self.body()
        await self.finish()

    # ---------------------------------------------------------------------------------------------
    # From a function or a class to a cocotb test
    # ---------------------------------------------------------------------------------------------
    @classmethod
    def test(
        cls,
        body: Body | type[BenchTest] | None = None,
        *,
        name: str = "",
        skip: bool = False,
        finds: Finding | None = None,
    ) -> Any:
        """Decorator: make a cocotb test of a function, which becomes the class's `hook`, or of a whole subclass.

        Unless `name` says otherwise, the test's name is the function's. A class stays what it is, so that others can
        build on it; the test stands in its module under the class's name in lower case with underscores:
        ``RealLayers``, ``real_layers``.

        Args:
            skip: run only when named.
            finds: a fault is planted: the test passes only if its first failure is this one.
        """

        def decorate(body: Body | type[BenchTest]) -> Any:
            if isinstance(body, type):
                called = name or re.sub(r"(?<!^)(?=[A-Z])", "_", body.__name__).lower()
                setattr(sys.modules[body.__module__], called, _cocotb_test(body, called, skip, finds))
                return body
            members = {cls.hook: body, "__doc__": body.__doc__, "__module__": body.__module__}
            called = name or body.__name__
            return _cocotb_test(type(called, (cls,), members), called, skip, finds)

        return decorate if body is None else decorate(body)


class EnvTest(BenchTest):
    """A test of an environment.

    Attributes:
        environment: class of ``env``, a `tb.env.StreamEnv`.
    """

    environment: type[Any]

    def build_phase(self) -> None:
        super().build_phase()
        self.env: Any = self.environment.create("env", self)

    @property
    def scoreboards(self) -> Iterable[Scoreboard]:
        return tuple(self.env.scoreboards)

    async def reset(self) -> None:
        await self.env.reset()


class ItemTest(EnvTest):
    """A test that plays items through a sequencer and a driver.

    Attributes:
        item_driver: class of ``driver``, which plays the sequencer's items; ``finish`` awaits and checks them.
        item_stimulus: class of ``stimulus``, made of the environment's ``params`` and a seed.
    """

    item_driver: type[uvm_driver]
    item_stimulus: type

    def build_phase(self) -> None:
        super().build_phase()
        self.seqr = uvm_sequencer("items", self)
        self.driver = self.item_driver.create("driver", self)
        self.cdb_set("env", self.env, "driver")

    def connect_phase(self) -> None:
        super().connect_phase()
        self.driver.seq_item_port.connect(self.seqr.seq_item_export)

    def end_of_elaboration_phase(self) -> None:
        super().end_of_elaboration_phase()
        self.stimulus = self.item_stimulus(self.env.params, self.seed)

    async def play(self, items: Iterable[uvm_sequence_item]) -> None:
        """Play items through the sequencer and wait until the last one is checked."""
        ended, _ = await select(ItemSequence("items", items).start(self.seqr), self.env.failed.wait())
        if ended == 1 or self.env.failed.is_set():
            raise BenchStopped
        await self.driver.finish()

    async def play_timed(
        self, items: Iterable[uvm_sequence_item], count: Callable[[], int] | None = None
    ) -> None:
        """`play`, whose clocks and seconds are left in ``speed.json`` for ``make bench``, the seconds also here.

        Args:
            items: as for `play`.
            count: counts something else; its increase is left there, too.
        """
        warm_up()
        first, counted = int(self.env.dut.cycle_o.value), count() if count else 0
        started = time.perf_counter()
        await self.play(items)
        self.seconds = time.perf_counter() - started
        measured = {"clocks": int(self.env.dut.cycle_o.value) - first, "seconds": self.seconds}
        measured |= {"count": count() - counted} if count else {}
        write_json(Path(os.environ[RUN_DIR]) / "speed.json", measured)


def _cocotb_test(test: type[BenchTest], name: str, skip: bool, finds: Finding | None) -> Any:
    async def run(dut: object) -> None:
        if finds is None:
            with _report(test, name) as report:
                await _run(dut, test, report)
        else:
            planted = _report(test, name)
            await _run(dut, test, planted)
            with _report(test, name) as report:
                _judge(report, planted, name, finds)
        report.check()

    # cocotb reads a test's name, module and description from its function.
    run.__name__ = run.__qualname__ = name
    run.__module__ = test.__module__
    run.__doc__ = test.__doc__
    return cocotb.test(skip=skip)(run)


def _judge(report: Report, planted: Report, name: str, finds: Finding) -> None:
    """Whether a planted fault was found as it must be."""
    report.words_compared = max(1, planted.words_compared)
    if not planted.failures:
        report.fail(f"the planted fault of {name} was not found")
        return
    first = planted.failures[0]
    missing = finds.missing(first)
    if first["kind"] != finds.kind or missing:
        said = f"the planted fault gave {first['kind']!r}, without {missing}: {first['message']}"
        report.fail(said, found=dict(first))
    else:
        cocotb.log.info("found as planted: %s", first["message"])


def _report(test: type[BenchTest], name: str) -> Report:
    return Report(
        f"{test.toplevel} {name}".strip(),
        f"{cocotb.SIM_NAME} {cocotb.SIM_VERSION}",
        int(os.environ["COCOTB_RANDOM_SEED"]),
    )


async def _run(dut: object, test: type[BenchTest], report: Report) -> None:
    gc.freeze()  # modules and code stay: the collector need not look at them again and again
    ConfigDB().clear()
    ConfigDB().set(None, "*", "dut", dut)
    ConfigDB().set(None, "*", "report", report)
    try:
        await uvm_root().run_test(test, keep_set={ConfigDB})
    finally:
        gc.unfreeze()
