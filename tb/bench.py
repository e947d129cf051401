# SPDX-License-Identifier: Apache-2.0
"""What the tests of every bench share: from a cocotb test to a uvm_test with its report, with or without a planted
fault.

A bench's own `BenchTest` names its environment, driver and stimulus; a test is a subclass with a `body`, and a cocotb
test that hands it to `run`.
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import select
from pyuvm import ConfigDB, uvm_root, uvm_sequence_item, uvm_sequencer, uvm_test

from assay.tb.agents.sequence import ItemSequence
from assay.tb.report import RUN_DIR, Report, write_json

__all__ = ["BenchStopped", "BenchTest", "run", "run_empty", "run_planted"]


class BenchStopped(Exception):
    """A failure has been recorded; the run ends here."""


class BenchTest(uvm_test):
    """Builds the environment, resets the device, runs `body`, checks that nothing is left over.

    Attributes:
        toplevel: name of the target.
        environment: class of ``env``, with ``params``, ``failed`` (an Event), ``scoreboards``, ``reset`` and ``fail``.
        item_driver: class of ``driver``, which plays the sequencer's items; ``finish`` awaits and checks them.
        item_stimulus: class of ``stimulus``, made of the build's parameters and a seed.
    """

    toplevel: str
    environment: type
    item_driver: type
    item_stimulus: type

    def build_phase(self) -> None:
        super().build_phase()
        self.env = self.environment("env", self)
        self.seqr = uvm_sequencer("items", self)
        self.driver = self.item_driver("driver", self)
        self.cdb_set("env", self.env, "driver")
        self.report: Report = self.cdb_get("report")

    def connect_phase(self) -> None:
        super().connect_phase()
        self.driver.seq_item_port.connect(self.seqr.seq_item_export)

    def end_of_elaboration_phase(self) -> None:
        super().end_of_elaboration_phase()
        # Tests of one run differ, and a test draws the same whether it runs alone or among others.
        seed = zlib.crc32(f"{self.report.seed}/{type(self).__name__}".encode())
        self.stimulus = self.item_stimulus(self.env.params, seed)

    async def body(self) -> None:
        """What the test plays."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Nothing may be left: beats, answers, errors of the taps."""
        raise NotImplementedError

    @staticmethod
    def pick(verilator: int, icarus: int) -> int:
        """An amount of work by simulator: Icarus is some fifty times slower."""
        return verilator if cocotb.SIM_NAME.lower().startswith("verilator") else icarus

    async def play(self, items: Iterable[uvm_sequence_item]) -> None:
        """Play items through the sequencer and wait until the last one is checked."""
        ended, _ = await select(ItemSequence("items", items).start(self.seqr), self.env.failed.wait())
        if ended == 1 or self.env.failed.is_set():
            raise BenchStopped
        await self.driver.finish()

    async def play_timed(self, items: Iterable[uvm_sequence_item]) -> None:
        """`play`, whose clocks and seconds are left in ``speed.json`` for ``make bench``, the seconds also here."""
        before, started = int(self.env.dut.cycle_o.value), time.perf_counter()
        await self.play(items)
        self.seconds, clocks = time.perf_counter() - started, int(self.env.dut.cycle_o.value) - before
        write_json(Path(os.environ[RUN_DIR]) / "speed.json", {"clocks": clocks, "seconds": self.seconds})

    async def run_phase(self) -> None:
        self.raise_objection()
        await self.env.reset()
        try:
            await self.body()
            await self.finish()
        except BenchStopped:
            for scoreboard in self.env.scoreboards:
                self.report.add_counts(scoreboard)
        self.drop_objection()


async def run(dut: Any, test: type[BenchTest]) -> None:
    """Run a test class and fail the cocotb test unless its report passes."""
    with _report(test) as report:
        await _run(dut, test, report)
    report.check()


async def run_planted(dut: Any, test: type[BenchTest], kind: str, *words: str) -> None:
    """Run a test class with a planted fault: pass only if the first failure is of this kind and says these words."""
    planted = _report(test)
    await _run(dut, test, planted)
    with _report(test) as report:
        report.words_compared = max(1, planted.words_compared)
        if not planted.failures:
            report.fail(f"the planted fault of {test.__name__} was not found")
        else:
            first = planted.failures[0]
            missing = [word for word in words if word not in str(first["message"])]
            if first["kind"] != kind or missing:
                report.fail(
                    f"the planted fault gave {first['kind']!r}, without {missing}: {first['message']}"
                )
            else:
                cocotb.log.info("found as planted: %s", first["message"])
    report.check()


async def run_empty(dut: Any, test: type[BenchTest], *words: str) -> None:
    """Run a test of this class that plays nothing: pass only if it fails for that, and says these words."""

    class NothingCompared(test):
        async def body(self) -> None:
            pass

    await run_planted(dut, NothingCompared, "nothing compared", *words)


def _report(test: type[BenchTest]) -> Report:
    return Report(
        f"{test.toplevel} {test.__name__}",
        f"{cocotb.SIM_NAME} {cocotb.SIM_VERSION}",
        int(os.environ["COCOTB_RANDOM_SEED"]),
    )


async def _run(dut: Any, test: type[BenchTest], report: Report) -> None:
    ConfigDB().clear()
    ConfigDB().set(None, "*", "dut", dut)
    ConfigDB().set(None, "*", "report", report)
    await uvm_root().run_test(test, keep_set={ConfigDB})
