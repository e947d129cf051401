# SPDX-License-Identifier: Apache-2.0
"""Environment of the array's bench: the MVU bench's unit once for each MVU, and the crossbar's scoreboard."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import numpy as np
from cocotb.triggers import ClockCycles, Event, Timer
from cocotb.utils import get_sim_time
from pyuvm import uvm_component, uvm_env

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.tb.agents.burst import Beats
from assay.tb.agents.stream import StreamAgent, StreamConfig
from assay.tb.mvu.env import CLOCK_NS, Expectation, MvuUnit, Subscriber
from assay.tb.mvu_array.coverage import CrossbarCoverage
from assay.tb.mvu_array.crossbar import RECORD, Arbitration, CrossbarScoreboard, delivered_format
from assay.tb.report import Report
from assay.tb.scoreboard import StreamScoreboard

__all__ = ["ArrayUnit", "MvuArrayEnv", "build_parameters"]

_ROLES = {
    **dict.fromkeys(("reg_req", "mem_req", "prm"), "source"),
    **dict.fromkeys(("reg_rsp", "mem_rsp"), "sink"),
    **dict.fromkeys(("trc", "job"), "tap"),
}


def build_parameters() -> AcceleratorParameters:
    """Parameters of the build under test, from the runner."""
    return AcceleratorParameters.of_rtl(json.loads(os.environ.get("ASSAY_PARAMS", "{}")))


class ArrayUnit(MvuUnit):
    """One MVU of the array: what leaves it goes to other units' memories."""

    def __init__(self, array: MvuArrayEnv, number: int) -> None:
        super().__init__(f"unit{number}", array, array.params.mvu, f"u{number}_", _ROLES, array.failed)
        self.array = array
        self.number = number

    def connect_phase(self) -> None:
        super().connect_phase()
        self.crossbar = self

    @property
    def scoreboards(self) -> tuple[StreamScoreboard, ...]:
        return (self.trace,)

    def expect_job(self, job: Expectation) -> None:
        """Words of a job that leave the unit: to be found at, and in the memory of, each of their destinations."""
        self.array.expect_job(self.number, job)


class MvuArrayEnv(uvm_env):
    """All units and the crossbar. The ConfigDB gives ``dut`` and ``report``.

    Attributes:
        units: one `ArrayUnit` for each MVU.
        crossbar, arbitration: scoreboard and check of the crossbar.
    """

    def __init__(self, name: str, parent: uvm_component) -> None:
        super().__init__(name, parent)
        self.params = build_parameters()
        self.failed = Event()

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.cdb_get("dut")
        self.report: Report = self.cdb_get("report")
        self.units = [ArrayUnit(self, number) for number in range(self.params.mvus)]
        self.coverage = CrossbarCoverage(self.params.mvus)
        self.taps: dict[str, StreamAgent] = {}
        formats = {f"x{m}": delivered_format(self.params.mvu.lanes) for m in range(self.params.mvus)}
        for name, beat_format in {**formats, "xbar": RECORD}.items():
            config = StreamConfig(
                self.dut, name, self.dut.clk_i, beat_format, "tap", clock_ns=CLOCK_NS, on_error=self.fail
            )
            self.cdb_set("config", config, name)
            self.taps[name] = StreamAgent(name, self)
        self.subscribers = {name: Subscriber(f"{name}_subscriber", self) for name in self.taps}

    def connect_phase(self) -> None:
        super().connect_phase()
        self.crossbar = CrossbarScoreboard(self.params.mvus, self.params.mvu.lanes, self.fail)
        self.arbitration = Arbitration(self.params.mvus, self.coverage, self.fail)
        for name, subscriber in self.subscribers.items():
            subscriber.receive = self.arbitration.write if name == "xbar" else self._receiver(int(name[1:]))
            self.taps[name].ap.connect(subscriber.analysis_export)

    def _receiver(self, dest: int) -> Callable[[Beats], None]:
        return lambda beats: self.crossbar.write(dest, beats)

    @property
    def scoreboards(self) -> tuple[StreamScoreboard, ...]:
        """All of them."""
        return (*(unit.trace for unit in self.units), *self.crossbar.pairs.values())

    def fail(self, failure: object, **details: object) -> None:
        """Record a failure and wake the test, which ends: what follows a first difference is noise."""
        self.report.fail(failure, **details)
        self.failed.set()

    def expect_job(self, source: int, job: Expectation) -> None:
        """Words that leave `source`: at the crossbar, and in the memories afterwards."""
        self.crossbar.expect_job(source, job)
        words = job.result
        for dest in self.crossbar.destinations(words.dest):
            golden = self.units[dest].golden
            address = words.address % self.params.mvu.data_depth
            golden.memories.data[address] = words.data
            golden.written[address] = True

    async def reset(self) -> None:
        """Reset device and bench: everything in flight is dropped, the golden MVUs' memories stay."""
        self.dut.rst_ni.value = 0
        await ClockCycles(self.dut.clk_i, 3)
        for unit in self.units:
            unit.flush()
        for agent in self.taps.values():
            agent.flush()
        self.crossbar.flush()
        self.arbitration.flush()
        self.dut.rst_ni.value = 1
        await ClockCycles(self.dut.clk_i, 2)
        # The bench's clock counter starts again with the reset.
        origin = get_sim_time("ns") - int(self.dut.cycle_o.value) * CLOCK_NS
        self.arbitration.origin_ns = origin
        for scoreboard in self.scoreboards:
            scoreboard.origin_ns = origin

    def stall(self, probability: int) -> None:
        """Let every port but the taps stall with this probability in 1/256."""
        for unit in self.units:
            unit.stall(probability)

    async def settle(self) -> None:
        """Wait until every word so far has reached its scoreboard."""
        for unit in self.units:
            await unit.settle()
        for agent in self.taps.values():
            agent.bus.eager = True
        for _ in range(200):
            await Timer(CLOCK_NS * 4, "ns")
            if not self.crossbar.outstanding:
                break
        await Timer(CLOCK_NS * 8, "ns")
        for agent in self.taps.values():
            agent.bus.eager = False

    async def compare_memories(self, first: int, most: int) -> None:
        """Read the known words of every unit's data memory from word `first` on, at most so many, and compare them."""
        for unit in self.units:
            known = first + np.flatnonzero(unit.golden.written[first:])[:most]
            words = await unit.memory.read_at(known)
            unit.compare_words(f"unit {unit.number}, after everything has arrived", known, words)
