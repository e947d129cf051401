# SPDX-License-Identifier: Apache-2.0
"""A loose model of the accelerator, to run firmware on without any clocks.

Harts go on in random order, and a job lasts as long as chance has it and reads its operands at its begin or at its end,
so that a run relies on nothing but what the plan says.
"""

from __future__ import annotations

from random import Random

import numpy as np

from assay.golden.accelerator.folding import fold
from assay.golden.accelerator.plan import BIASES, SCALERS, WEIGHTS, Plan
from assay.golden.accelerator.registers import BY_NAME as SYSTEM
from assay.golden.accelerator.registers import SYSTEM_UNIT
from assay.golden.controller.iss import Iss
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.mvu.functional import Memories, run_job
from assay.golden.mvu.layout import pack_activations, unpack_activations
from assay.golden.mvu.registers import BY_NAME, REGISTERS

STATUS, COMMAND = BY_NAME["mvustatus"].address, BY_NAME["mvucommand"].address
DONE, ERROR = 2, 4
FINISHED, FAILED = SYSTEM["finished"].address, SYSTEM["failed"].address


class Mvu:
    """Registers, memories and the job that runs."""

    def __init__(self, params, rng: Random) -> None:
        noise = np.random.default_rng(rng.getrandbits(32))
        self.words = {r.address: noise.integers(1 << 32) & r.write_mask for r in REGISTERS}
        # What a run before has left: bits of its last job, and perhaps a job.
        self.words[STATUS] = rng.choice((0, DONE, ERROR, DONE | ERROR))
        memories = Memories.zeros(params)
        self.memories = memories
        for name in ("data", "weights"):
            values = getattr(memories, name)
            values[:] = noise.integers(0, 256, values.shape, np.uint8)
        self.result = (
            None  # of the job that runs, once it has read its operands; of one that was left, nothing
        )
        self.running = self.strange = rng.random() < 0.3
        self.left = rng.randrange(1, 300)
        self.writes = 0  # of registers


class Machine:
    """Runs a plan's firmware on one image."""

    def __init__(self, plan: Plan, seed: int = 0) -> None:
        self.plan = plan
        self.rng = Random(seed)
        self.mvus = [Mvu(plan.params.mvu, self.rng) for _ in range(plan.params.mvus)]
        self.iss = Iss(plan.params.controller, self.bus)
        self.finished = self.failed = 0
        self.steps: list[tuple[int, int]] = []  # (MVU, number) in order of their begin
        self.events: list[tuple[str, int]] = []  # ("begin" or "end", MVU)

    def bus(self, hart: int, write: bool, unit: int, register: int, wdata: int) -> tuple[int, bool]:
        if unit == SYSTEM_UNIT:
            if write and register == FINISHED:
                self.finished |= wdata
            elif write and register == FAILED:
                self.failed |= wdata
            return 0, False
        mvu = self.mvus[unit]
        if not write:
            status = mvu.words[STATUS] | mvu.running
            return (status if register == STATUS else int(mvu.words[register])), False
        assert not (mvu.running and mvu.left < 0)
        if register == STATUS:
            mvu.words[STATUS] &= ~(wdata & (DONE | ERROR))
        elif register == COMMAND:
            assert not mvu.running, "a command while a job runs"
            mvu.words[COMMAND] = wdata
            mvu.running, mvu.left, mvu.result = True, self.rng.randrange(1, 300), None
            mvu.config = {r.name: r.decode(mvu.words[r.address]) for r in REGISTERS if r.name != "mvustatus"}
            self.events.append(("begin", unit))
            if self.rng.random() < 0.5:
                self._read(mvu)
        else:
            mvu.writes += 1
            mvu.words[register] = wdata & REGISTERS[register].write_mask
        return 0, False

    def _read(self, mvu: Mvu) -> None:
        mvu.result = run_job(mvu.config, mvu.memories, self.plan.params.mvu)

    def _tick(self) -> None:
        for number, mvu in enumerate(self.mvus):
            if mvu.running:
                mvu.left -= 1
                if mvu.left == 0 and mvu.strange:
                    mvu.running = mvu.strange = False
                    mvu.words[STATUS] |= DONE
                elif mvu.left == 0:
                    if mvu.result is None:
                        self._read(mvu)
                    assert mvu.result.causes == 0
                    depth = self.plan.params.mvu.data_depth
                    for target in [t for t in range(8) if mvu.result.dest >> t & 1] or [number]:
                        self.mvus[target].memories.data[mvu.result.address % depth] = mvu.result.data
                    mvu.running = False
                    mvu.words[STATUS] |= DONE
                    self.events.append(("end", number))
            if mvu.words[STATUS] & (DONE | ERROR):
                self.iss.set_mvu_interrupt(number)

    def run(self, x: np.ndarray, limit: int = 2_000_000) -> dict[str, np.ndarray]:
        """Run on one image int[H, W, C]; the tensors that are in the memories at the end."""
        plan = self.plan
        params = plan.params.mvu
        place = plan.places[plan.network.input]
        first = plan.network.layers[0]
        values = fold(first, x) if plan.folded else x
        words = pack_activations(values, place.fmt, params.lanes)
        for m in place.mvus:
            self.mvus[m].memories.data[place.base : place.base + place.words] = words
        firmware = plan.firmware
        data = IMEM_BASE + 4 * plan.params.controller.imem_words
        self.iss.load(IMEM_BASE, firmware.words.astype("<u4").tobytes())
        self.iss.load(data, firmware.data.astype("<u4").tobytes())
        self.finished = 0
        everybody = (1 << plan.params.mvus) - 1
        for h in range(plan.params.mvus):
            self.iss.release(h, firmware.symbols["start"])
        for number, phase in enumerate(plan.phases):
            for load in phase.loads:
                for m in load.mvus:
                    memories = self.mvus[m].memories
                    memory = {WEIGHTS: memories.weights, SCALERS: memories.scaler, BIASES: memories.bias}[
                        load.select
                    ]
                    memory[load.first : load.first + len(load.image)] = load.image
            self.iss.load(firmware.symbols["phase"], (number + 1).to_bytes(4, "little"))
            self.finished = 0
            while self.finished != everybody:
                assert not self.failed, f"harts {self.failed:b} failed"
                limit -= 1
                assert limit > 0, "hangs"
                self._tick()
                for h, hart in enumerate(self.iss.harts):
                    if hart.waiting and not self.iss.wakes(h):
                        continue
                    if self.rng.random() < 0.7:
                        self.iss.step_fast(h)
        assert not any(mvu.running for mvu in self.mvus)
        tensors = {}
        for name, place in plan.places.items():
            for m in place.mvus:
                found = self.mvus[m].memories.data[place.base : place.base + place.words]
                tensors[name, m] = unpack_activations(found, place.shape, place.fmt, params.lanes)
        return tensors

    def word(self, symbol: str, index: int = 0) -> int:
        """A word of the controller's data memory."""
        return self.iss.words[(self.plan.firmware.symbols[symbol] - IMEM_BASE) // 4 + index]
