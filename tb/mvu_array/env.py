# SPDX-License-Identifier: Apache-2.0
"""Environment of the array's bench: the MVU bench's unit once for each MVU, and the crossbar's scoreboard."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from cocotb.triggers import Timer
from pyuvm import uvm_component

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.tb.agents.burst import StreamError
from assay.tb.agents.stream import Role
from assay.tb.env import CLOCK_NS, Stream, StreamEnv
from assay.tb.mvu.cause import CROSSBAR, CauseFinder, Traffic, Writer
from assay.tb.mvu.env import Expectation, MvuUnit, port_formats
from assay.tb.mvu.state import crossbar_waits, unit_waits
from assay.tb.mvu_array.coverage import CrossbarCoverage
from assay.tb.mvu_array.crossbar import RECORD, Arbitration, CrossbarScoreboard, delivered_format
from assay.tb.scoreboard import Mismatch, StreamScoreboard

__all__ = ["ArrayUnit", "MvuArrayEnv", "build_parameters"]

_ROLES: dict[str, Role] = {
    "reg_req": "source",
    "mem_req": "source",
    "prm": "source",
    "reg_rsp": "sink",
    "mem_rsp": "sink",
    "trc": "tap",
    "job": "tap",
}


def build_parameters() -> AcceleratorParameters:
    """Parameters of the build under test, from the runner."""
    return AcceleratorParameters.of_rtl(json.loads(os.environ.get("ASSAY_PARAMS", "{}")))


class ArrayUnit(MvuUnit):
    """One MVU of the array: what leaves it goes to other units' memories."""

    def __init__(self, array: MvuArrayEnv, number: int) -> None:
        super().__init__(f"unit{number}", array, array.params.mvu, f"u{number}_", _ROLES)
        self.array = array
        self.number = number
        self.device = f"dut.gen_mvu[{number}].u_mvu"

    def make_traffic(self) -> Traffic:
        return self.array.traffic

    def find_causes(self) -> CauseFinder:
        units = self.array.units
        return replace(
            super().find_causes(),
            paths=[unit.device for unit in units],
            golden=lambda unit, memory, index: units[unit].golden.look(memory, index),
            writers=lambda unit, number: units[unit].golden.writers[number],
        )

    def probes(self) -> tuple[str, str]:
        return f"dut.gen_mvu[{self.number}].u_mvu.u_probes", f"MVU {self.number}"

    @property
    def crossbar(self) -> ArrayUnit:
        return self

    def expect_job(self, job: Expectation) -> None:
        """Words of a job that leave the unit: to be found at, and in the memory of, each of their destinations."""
        self.array.expect_job(self.number, job)

    def waiting(self) -> str:
        return self.array.waiting()

    def fail(self, failure: Mismatch | StreamError | str, **details: object) -> None:
        if not isinstance(failure, Mismatch):
            self.golden.catch_up()
        self.array.fail(failure, **details)


class MvuArrayEnv(StreamEnv):
    """All units and the crossbar.

    Attributes:
        units: one `ArrayUnit` for each MVU.
        crossbar, arbitration: scoreboard and check of the crossbar.
    """

    def __init__(self, name: str, parent: uvm_component) -> None:
        super().__init__(name, parent)
        self.params = build_parameters()

    def table(self) -> Mapping[str, Stream]:
        count, lanes = self.params.mvus, self.params.mvu.lanes
        self.coverage = CrossbarCoverage(count)
        self.traffic = Traffic(port_formats(self.params.mvu)["trc"], count, self.params.mvu.data_depth)
        self.crossbar = CrossbarScoreboard(count, lanes, self.fail)
        self.arbitration = Arbitration(count, self.coverage, self.fail)
        delivered = delivered_format(lanes)
        return {
            **{f"x{m}": Stream("tap", delivered, partial(self.crossbar.write, m)) for m in range(count)},
            "xbar": Stream("tap", RECORD, self.arbitration.write),
        }

    def build_phase(self) -> None:
        super().build_phase()
        self.units = [ArrayUnit(self, number) for number in range(self.params.mvus)]

    @property
    def scoreboards(self) -> tuple[StreamScoreboard, ...]:
        return (*(unit.trace for unit in self.units), *self.crossbar.pairs.values())

    def waiting(self) -> str:
        inside = self.units[0].causes.inside
        told = [f"MVU {unit.number}: {unit_waits(inside, unit.device)}" for unit in self.units]
        return "\n".join(filter(None, [*told, crossbar_waits(inside, "dut.u_crossbar", len(self.units))]))

    def expect_job(self, source: int, job: Expectation) -> None:
        """Words that leave `source`: at the crossbar, and in the memories afterwards."""
        self.crossbar.expect_job(source, job)
        words = job.result
        for dest in self.crossbar.destinations(words.dest):
            golden = self.units[dest].golden
            writer = golden.note(Writer(f"a job of MVU {source}", source, CROSSBAR))
            golden.put(words.address % self.params.mvu.data_depth, words.data, writer)

    def flush(self) -> None:
        """Drop everything in flight: called in a reset. The golden MVUs' memories stay."""
        super().flush()
        for unit in self.units:
            unit.flush()
        self.crossbar.flush()
        self.arbitration.flush()

    def set_origin(self, origin_ns: float) -> None:
        super().set_origin(origin_ns)
        self.arbitration.origin_ns = origin_ns

    def stall(self, probability: int) -> None:
        for unit in self.units:
            unit.stall(probability)

    async def settle(self) -> None:
        """Wait until every word so far has reached its scoreboard."""
        for unit in self.units:
            await unit.settle()
        with self.eager(*self.streams):
            await self.settle_streams((), lambda: self.crossbar.outstanding)
            await Timer(CLOCK_NS * 8, "ns")

    async def compare_memories(self, first: int, most: int) -> None:
        """Read the known words of every unit's data memory from word `first` on, at most so many, and compare them."""
        for unit in self.units:
            known = first + np.flatnonzero(unit.golden.written[first:])[:most]
            words = await unit.memory.read_at(known)
            unit.compare_words(f"unit {unit.number}, after everything has arrived", known, words)
