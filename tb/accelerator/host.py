# SPDX-License-Identifier: Apache-2.0
"""The host of the accelerator: it loads a plan, writes inputs, starts, waits, reads, and says what is wrong when a run
does not end. It knows the memory map and the plan, and of the hardware only the AXI port and the interrupt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.plan import WEIGHTS, Load, Place, Plan, Step
from assay.golden.accelerator.registers import (
    BY_NAME,
    WINDOW_BY_NAME,
    constants,
    data_address,
    parameter_address,
    register_address,
    system_address,
)
from assay.golden.accelerator.transposer import Transposer
from assay.golden.controller.csrs import Cause
from assay.golden.controller.memory_map import HOST_BASE, HOST_REGISTERS, IMEM_BASE
from assay.golden.mvu.functional import cause_names
from assay.golden.mvu.registers import BY_NAME as MVU_REGISTERS
from assay.tb.agents.axi import AxiManager
from assay.tb.agents.interrupt import Interrupt, InterruptTimeout

__all__ = ["Host", "HostRun", "RunError", "RunLateError"]

_HOST = {register.name: HOST_BASE + register.address for register in HOST_REGISTERS}
_TRAP_WORDS = 4  #: of a hart, in the firmware's block `trap`
_TRAP, _JOB = 1, 2  #: what the first of them says


class RunError(Exception):
    """A run that failed or did not end. The text names harts, MVUs, layers and rows."""


class RunLateError(RunError):
    """A run that did not end."""


@dataclass(frozen=True)
class HostRun:
    """The measurements of a host in a run.

    Attributes:
        clocks: from the release of the harts to ``host_irq_o``, without those in which harts waited for the host.
        host_clocks: in which the host loaded further phases.
        released: the bench's clock of the release.
    """

    clocks: int
    host_clocks: int
    released: int


class Host:
    """A host.

    Args:
        axi: its port.
        irq: ``host_irq_o``.
        params: of the build.
        clock: gives the bench's clock.

    Attributes:
        plan: that is loaded.
        on_load, on_write: called before parameters, and tensors, are written: for who keeps a golden copy.
        settle: awaited before a further phase's parameters are written: for who must have seen all jobs before.
        released_clock, irq_clock: give the clocks of the harts' last release and of the last rise of the interrupt,
            where the bench knows them exactly.
        beside: for tests: awaited after the release, while the run goes on.
    """

    def __init__(
        self, axi: AxiManager, irq: Interrupt, params: AcceleratorParameters, clock: Callable[[], int]
    ) -> None:
        self.axi = axi
        self.irq = irq
        self.params = params
        self.clock = clock
        self.plan: Plan | None = None
        self._loaded: Plan | None = None  # whose only phase is in the memories
        self.released_clock = self.irq_clock = clock
        self.on_load: Callable[[Load], None] = lambda load: None
        self.on_write: Callable[[Place, np.ndarray], None] = lambda place, values: None
        self.settle: Callable[[], Awaitable[None]] | None = None
        self.beside: Callable[[], Awaitable[None]] | None = None

    def forget(self) -> None:
        """A reset: nothing is loaded."""
        self.plan = self._loaded = None

    @property
    def all_harts(self) -> int:
        """The mask of all harts."""
        return (1 << self.params.mvus) - 1

    # ---------------------------------------------------------------------------------------------
    # Registers and memories
    # ---------------------------------------------------------------------------------------------
    async def system(self, name: str) -> int:
        """A system register."""
        return int((await self.axi.read_words(system_address(name)))[0])

    async def set_system(self, name: str, value: int) -> None:
        """Write a system register."""
        await self.axi.write_words(system_address(name), value)

    async def check_build(self) -> None:
        """RunError unless the hardware has the parameters that this host thinks of."""
        wanted = constants(self.params)
        words = await self.axi.read_words(np.array([system_address(name) for name in wanted]))
        for (name, expected), seen in zip(wanted.items(), words.tolist(), strict=True):
            if seen != expected & 0xFFFFFFFF:
                raise RunError(f"system register {name} reads {seen} instead of {expected}")

    async def hold(self, harts: int) -> None:
        """Hold the harts of a mask, release all others."""
        await self.axi.write_words(_HOST["hold"], harts)

    async def write_memory(self, address: int, words: np.ndarray) -> None:
        """Write 32-bit words into the controller's memories from a byte address on, two a beat where they fit."""
        words = np.asarray(words, np.uint32)
        if address % 8 and len(words):
            await self.axi.write_words(address, int(words[0]))
            address, words = address + 4, words[1:]
        pairs = words[: len(words) // 2 * 2].astype(np.uint64).reshape(-1, 2)
        await self.axi.write(address, pairs[:, 0] | pairs[:, 1] << np.uint64(32))
        if len(words) % 2:
            await self.axi.write_words(address + 4 * (len(words) - 1), int(words[-1]))

    async def read_memory(self, address: int, count: int) -> np.ndarray:
        """`count` 32-bit words of the controller's memories, uint32."""
        return await self.axi.read_words(address + 4 * np.arange(count))

    @property
    def _planned(self) -> Plan:
        assert self.plan is not None, "no plan is loaded"
        return self.plan

    async def symbol(self, name: str, count: int = 1) -> np.ndarray:
        """The words of a symbol of the firmware."""
        return await self.read_memory(self._planned.firmware.symbols[name], count)

    async def read_data(self, mvu: int, word: int, count: int) -> np.ndarray:
        """Words of a data memory, uint8[count, lanes/8]."""
        beats = await self.axi.read(data_address(mvu, word), count)
        return beats.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : self.params.mvu.lanes // 8]

    # ---------------------------------------------------------------------------------------------
    # Plans and tensors
    # ---------------------------------------------------------------------------------------------
    async def load_parameters(self, load: Load) -> None:
        """Write an image of weights, scalers or biases to its MVUs."""
        self.on_load(load)
        lanes = self.params.mvu.lanes
        if load.select == WEIGHTS:
            rows = np.zeros((len(load.image) * lanes, 8), np.uint8)
            rows[:, : lanes // 8] = load.image.reshape(-1, lanes // 8)
            beats = rows.view("<u8").reshape(-1)
        else:
            beats = load.image.reshape(-1).astype(np.int64).view(np.uint64) & np.uint64(0xFFFFFFFF)
        await self.set_system("load_mvus", sum(1 << mvu for mvu in load.mvus))
        await self.axi.write(parameter_address(load.select, load.first, 0, lanes), beats)

    async def load_plan(self, plan: Plan) -> None:
        """Hold all harts and write the firmware."""
        self.plan, self._loaded = plan, None
        await self.hold(self.all_harts)
        await self.write_memory(IMEM_BASE, plan.firmware.words)

    async def _start_stream(self, place: Place, element: int, write: int, read: int) -> None:
        values = {
            "tr_format": BY_NAME["tr_format"].encode(
                {"element": element, "precision": place.fmt.bits, "signed": int(place.fmt.signed)}
            ),
            "tr_channels": place.shape[2],
            "tr_first": place.base,
            "tr_mvus": BY_NAME["tr_mvus"].encode({"write": write, "read": read}),
        }
        for name, value in values.items():
            await self.set_system(name, value)

    async def write_tensor(self, tensor: str, values: np.ndarray) -> None:
        """Write a tensor, int[H, W, C] as it lies in the memory, to the MVUs of its place, through the transposer."""
        place = self._planned.places[tensor]
        self.on_write(place, values)
        transposer = Transposer.of_format(place.fmt, place.shape[2], self.params.mvu.lanes)
        await self._start_stream(place, transposer.element, sum(1 << mvu for mvu in place.mvus), 0)
        await self._window_write(transposer.beats(values))

    async def read_tensor(self, tensor: str, mvu: int | None = None) -> np.ndarray:
        """Read a tensor, int64[H, W, C], from one of the MVUs that hold it, through the transposer."""
        place = self._planned.places[tensor]
        transposer = Transposer.of_format(place.fmt, place.shape[2], self.params.mvu.lanes)
        await self._start_stream(place, transposer.element, 0, min(place.mvus) if mvu is None else mvu)
        count = place.shape[0] * place.shape[1] * transposer.position_beats
        beats = []
        window = WINDOW_BY_NAME["transposer"]
        while count:
            take = min(count, window.size // 8)
            beats.append(await self.axi.read(window.base, take))
            count -= take
        return transposer.tensor(np.concatenate(beats), place.shape)

    async def _window_write(self, beats: np.ndarray) -> None:
        window = WINDOW_BY_NAME["transposer"]
        for first in range(0, len(beats), window.size // 8):
            await self.axi.write(window.base, beats[first : first + window.size // 8])

    # ---------------------------------------------------------------------------------------------
    # Runs
    # ---------------------------------------------------------------------------------------------
    async def run(self, limit: int) -> HostRun:
        """One run of the plan that is loaded, on the inputs that are written.

        Args:
            limit: clocks for each phase.

        Raises:
            RunError: a hart failed, or the run did not end within `limit`.
        """
        plan = self._planned
        symbols, data = plan.firmware.symbols, plan.firmware.data
        await self.hold(self.all_harts)
        await self.axi.write_words(
            _HOST["pc"] + 4 * np.arange(self.params.mvus), symbols.get("start", IMEM_BASE)
        )
        await self.write_memory(IMEM_BASE + 4 * self.params.controller.imem_words, data)
        for name, value in (("finished", 0xFF), ("failed", 0xFF), ("irq_enable", self.all_harts)):
            await self.set_system(name, value)
        clocks = host_clocks = released = 0
        for number, phase in enumerate(plan.phases):
            begun = self.clock()
            if number:
                if self.settle is not None:
                    await self.settle()
                await self.set_system("finished", 0xFF)
            if self._loaded is not plan:
                for load in phase.loads:
                    await self.load_parameters(load)
            await self.axi.write_words(symbols["phase"], number + 1)
            if number:
                started = self.clock()
                host_clocks += started - begun
            else:
                self._loaded = plan if len(plan.phases) == 1 else None
                self.irq.clear()
                await self.hold(0)
                started = released = self.released_clock()
                if self.beside is not None:
                    await self.beside()
            try:
                await self.irq.wait(timeout_clocks=limit)
            except InterruptTimeout:
                raise RunLateError(await self.late(limit)) from None
            if await self.system("failed"):
                raise RunError(await self.failure())
            clocks += self.irq_clock() - started  # only now: a rise is counted in the clock after it
        await self.hold(self.all_harts)
        return HostRun(clocks, host_clocks, released)

    # ---------------------------------------------------------------------------------------------
    # When something goes wrong
    # ---------------------------------------------------------------------------------------------
    async def failure(self) -> str:
        """The records of the harts that failed."""
        failed = await self.system("failed")
        current = await self.symbol("current", self.params.mvus)
        traps = (await self.symbol("trap", _TRAP_WORDS * self.params.mvus)).reshape(-1, _TRAP_WORDS)
        told = []
        for hart in range(self.params.mvus):
            if not failed >> hart & 1:
                continue
            kind, cause, pc, value = traps[hart].tolist()
            where = self._where(self._begun(hart, int(current[hart])))
            if kind == _JOB:
                names = cause_names(MVU_REGISTERS["mvustatus"].decode(cause)["cause"])
                told.append(f"hart {hart}: MVU {hart} refused a job, {where}: {', '.join(names)}")
            elif kind == _TRAP:
                told.append(
                    f"hart {hart} trapped: {_cause(cause)} at pc 0x{pc:08x}, mtval 0x{value:08x}; last begun: {where}"
                )
            else:
                told.append(f"hart {hart} set `failed` without a reason")
        return "; ".join(told) or f"failed is 0x{failed:x}, of harts that do not exist"

    async def late(self, limit: int) -> str:
        """The state of all harts when a run has not ended: a sentence, then a line for each hart."""
        count = self.params.mvus
        current = (await self.symbol("current", count)).tolist()
        ended = (await self.symbol("ended", count)).tolist()
        finished, failed = await self.system("finished"), await self.system("failed")
        pcs = (await self.axi.read_words(_HOST["pc"] + 4 * np.arange(count))).tolist()
        status = MVU_REGISTERS["mvustatus"]
        words = await self.axi.read_words(
            np.array([register_address(mvu, status.address) for mvu in range(count)])
        )
        lines = [f"the run has not ended within {limit:,} clocks"]
        if failed:
            lines.append(f"  {await self.failure()}")
        for hart in range(count):
            mvu = status.decode(int(words[hart]))
            doing = [name for name in ("busy", "pending", "done", "error") if mvu[name]] or ["idle"]
            begun = self._begun(hart, current[hart])
            if finished >> hart & 1:
                said = "has finished"
            elif begun is not None and ended[hart] < current[hart]:
                said = f"waits for MVU {hart} to end {self._where(begun)}"
            else:
                said = self._waits(hart, ended)
            lines.append(f"  hart {hart} (pc 0x{pcs[hart]:08x}) {said}; mvustatus: {', '.join(doing)}")
        return "\n".join(lines)

    def _steps(self, mvu: int) -> list[Step]:
        return [step for phase in self._planned.phases for step in phase.steps[mvu]]

    def _begun(self, hart: int, current: int) -> Step | None:
        steps = self._steps(hart)
        return steps[current - 1] if 0 < current <= len(steps) else None

    def _waits(self, hart: int, ended: list[int]) -> str:
        steps = self._steps(hart)
        if ended[hart] >= len(steps):
            return "has ended all its steps"
        step = steps[ended[hart]]
        missing = [
            f"MVU {wait.mvu} to end {wait.count} steps (it has ended {ended[wait.mvu]})"
            for wait in step.waits
            if ended[wait.mvu] < wait.count
        ]
        what = f"has not begun {self._where(step)}"
        return f"{what} and waits for {' and '.join(missing)}" if missing else what

    @staticmethod
    def _where(step: Step | None) -> str:
        if step is None:
            return "none of its steps"
        return f"step {step.number} of layer {step.layer}, rows {step.rows.start} to {step.rows.stop - 1}"


def _cause(cause: int) -> str:
    try:
        return Cause(cause).name.lower().replace("_", " ")
    except ValueError:
        return f"mcause 0x{cause:08x}"
