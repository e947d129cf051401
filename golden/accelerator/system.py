# SPDX-License-Identifier: Apache-2.0
"""Golden model of the whole accelerator: firmware on the instruction-set simulator, MVUs and crossbar, in time.

What an instruction does is `golden.controller.iss`'s, what a job does `golden.mvu.functional`'s; here is when. Each
hart has one instruction under way; one issues a clock, and goes through the stages of docs/controller.md. Clocks count
from the one in which the harts are released (0). Stretches in which nothing can happen are skipped.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from assay.golden.accelerator import registers as system_registers
from assay.golden.accelerator.array import NEVER, JobRecord, MvuArray, Program
from assay.golden.accelerator.crossbar import LeastRecent
from assay.golden.accelerator.order import StepOrder
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.report import Report, StepRecord, report
from assay.golden.codegen.folding import fold
from assay.golden.codegen.plan import BIASES, SCALERS, WEIGHTS, Place, Plan, Step
from assay.golden.controller.csrs import BY_NAME as CSRS
from assay.golden.controller.csrs import Cause, Interrupt
from assay.golden.controller.instructions import Decoded, decode, disassemble
from assay.golden.controller.iss import Bus, Hart, Iss
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import PIPELINE_STAGES, ControllerParameters
from assay.golden.errors import ConfigurationError, GoldenError
from assay.golden.mvu.functional import cause_names
from assay.golden.mvu.layout import channel_blocks, pack_activations, unpack_activations, word_bytes
from assay.golden.mvu.registers import BY_NAME as MVU_REGISTERS
from assay.golden.mvu.registers import encode
from assay.golden.network import Network

__all__ = ["Run", "System", "SystemFault"]

# Clocks of the controller's pipeline: an instruction issued in clock c is in stage M in c + _STAGE_M, shown in
# c + _STAGE_W, and its hart can issue again in c + _FLIGHT.
_STAGE_M, _STAGE_W = 3, 4
_FLIGHT = PIPELINE_STAGES
#: Clocks from stage M of an instruction that accesses the bus to the access at the register port.
BUS_REQUEST = 2
#: Clocks from the access at the register port to the answer on the controller's bus, of writes (and what is no
#: register) and of reads.
WRITE_ANSWER, READ_ANSWER = 1, 2
#: Clocks from the access that sets the last bit of `finished` to the first of ``host_irq_o``.
HOST_IRQ = 2
#: Clocks from the first of an MVU's interrupt line to the first of mip.16.
INTERRUPT = 1

# Clocks after `host_irq_o` in which the harts still go where they wait.
_PARKING = 60
# Harts that did nothing but read for so long, while no job ran, will not do anything else.
_SPIN = 50_000

_MIE = CSRS["mstatus"].field("mie").mask
_MSTATUS, _MIE_CSR, _MTVEC = (CSRS[name].address for name in ("mstatus", "mie", "mtvec"))
_SYSTEM_REGISTERS = {register.address: register for register in system_registers.REGISTERS}
_TRAP_WORDS = 4  # of the fixed block's `trap`, for each hart: kind, mcause or mvustatus, mepc, mtval
_REFUSED = 2  # kind of a job in error

# Beginnings of the names of registers that mean nothing without a residual, or without padding.
_OF_RESIDUAL = ("mvurbaseptr", "mvurjump", "mvurlength", "mvurscaler")
_OF_PADDING = ("mvuiskip", "mvuwskip", "mvuishape", "mvukernel", "mvustride")


class SystemFault(GoldenError):
    """A run that did not come to its end: what happened, and where each hart was."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a run gave.

    Attributes:
        clocks: from the release of the harts to ``host_irq_o``, without those in which harts waited for the host.
        host_clocks: in which the host loaded phases.
        steps: in the order in which they ended.
        jobs: the same with registers, words and values; `result` None when only clocks were counted.
        retired: instructions.
        tensors: name to int64 `[H, W, C]` of every tensor that a step makes; empty when only clocks were counted.
    """

    clocks: int
    host_clocks: int
    steps: tuple[StepRecord, ...]
    jobs: tuple[JobRecord, ...]
    retired: int
    tensors: dict[str, np.ndarray]


class _Parked(Exception):
    """The running instruction waits for the bus: write, unit, register, data."""


class _Harts(Iss):
    """The simulator, and what of it depends on clocks."""

    #: Words of the data memory that are watched, and who is told: (hart, index, value, whether it is stored). A hart
    #: that loads one knows no more of it than the branch behind tells: at least the value it was compared with.
    watched = range(0)
    on_watched: Callable[[int, int, int, bool], None]

    def __init__(self, parameters: ControllerParameters, bus: Bus) -> None:
        super().__init__(parameters, bus)
        self._loaded: list[tuple[int, int] | None] = [
            None
        ] * parameters.harts  # register, index of a watched word

    def execute(self, hart: Hart) -> bool:
        """The next instruction; whether it may have changed interrupts, waiting or devices."""
        offset = hart.pc - IMEM_BASE
        if hart.interrupt or not 0 <= offset < 4 * self.parameters.imem_words:
            self.step(hart.number)
        else:
            word = self.words[offset >> 2]
            if self.watched and word & 0x1F == 0x03:  # loads, stores, branches
                self._watch(hart, word)
            self._operations[word](hart)
        changed, self._changed = self._changed, False
        return changed

    def _watch(self, hart: Hart, word: int) -> None:
        """Tell of a store to a watched word, or of a branch that compared one, before it executes."""
        decoded = decode(word)
        if decoded is None:
            return
        if decoded.instruction.format == "B":
            self._compared(hart, decoded)
            return
        address = hart.x[decoded.rs1] + decoded.imm & 0xFFFF_FFFF
        if decoded.instruction.size != 4 or address not in self.watched:
            return
        index = self.watched.index(address)
        if decoded.instruction.format == "S":
            self.on_watched(hart.number, index, hart.x[decoded.rs2], True)
        else:
            self._loaded[hart.number] = decoded.rd, index

    def _compared(self, hart: Hart, decoded: Decoded) -> None:
        loaded = self._loaded[hart.number]
        if loaded is None or loaded[0] not in (decoded.rs1, decoded.rs2):
            return
        first, second = hart.x[decoded.rs1], hart.x[decoded.rs2]
        if loaded[0] == decoded.rs2:  # as if it stood first
            least = first if first == second else first + 1 if first < second else 0
        else:
            least = second if first >= second else 0
        if decoded.instruction.name in ("beq", "bne") and first != second:
            least = 0
        self.on_watched(hart.number, loaded[1], least, False)
        self._loaded[hart.number] = None

    def forget(self) -> None:
        """The instruction did not execute."""
        self._changed = False


class System:
    """One accelerator with its host.

    State stays between runs, as in the RTL: memories, registers, orders of service.

    Args:
        params: sizes.
        functional: execute jobs; else only clocks are counted.
        strict: a job whose registers are not those of its step is a fault, and one that begins before its hart has made
            sure that what it needs has ended, even if it happens to be so.
    """

    def __init__(self, params: AcceleratorParameters, functional: bool = True, strict: bool = True) -> None:
        self.params = params
        self.functional = functional
        self.strict = strict
        self.array = MvuArray(params.mvus, params.mvu, functional)
        self.array.on_load = self._job_starts
        self.array.on_done = self._job_done
        self.array.on_write = self._job_wrote
        self.harts = _Harts(params.controller, self._bus)
        self.plan: Plan | None = None
        count = params.mvus
        self._ready = [NEVER] * count  # clock from which each hart may issue
        self._free = [0] * count  # clock from which its last instruction is out of the way
        self._traps = [False] * count  # whether it may take an interrupt
        self._pending_since = [0] * count  # mip.16
        self._answers: list[list[tuple[int, bool]]] = [[] for _ in range(count)]
        self._used = [0] * count
        self._requests: list[tuple[int, int, int, int] | None] = [None] * count
        self._back = 0  # harts whose answers are on their way back
        self._back_order = LeastRecent(count)
        self._events: list[tuple[int, int, Callable[..., None], tuple[int, ...]]] = []
        self._sequence = 0
        self._system = {"finished": 0, "failed": 0, "irq_enable": 0}
        self._clock = 0  # next clock in which an instruction can issue
        self._last = count - 1  # hart that issued last
        self._irq = NEVER  # clock of host_irq_o
        self._retired: int | None = None  # instructions up to there
        self._steps: list[list[Step]] = []
        self._expectations: dict[tuple[int, int], dict[str, int]] = {}
        self._first_job = [0] * count
        self._images: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {}

    # --- the host ---------------------------------------------------------------------------------------------

    def load(self, plan: Plan) -> None:
        """Take over a plan: hold the harts, write the firmware.

        Raises:
            ConfigurationError: a plan for other parameters, or that does not fit the memories.
            DoesNotFitError: firmware that does not.
        """
        if plan.params != self.params:
            raise ConfigurationError(
                f"plan {plan.network.name} is for {plan.params.rtl}, but the system is {self.params.rtl}"
            )
        self._check(plan)
        self.plan = plan
        firmware = plan.firmware
        self.harts.load(IMEM_BASE, firmware.words.astype("<u4").tobytes())
        self._data_base = IMEM_BASE + 4 * self.params.controller.imem_words
        self._expectations.clear()
        self._layers = {layer.name: layer for layer in plan.network.layers}
        self._numbers = {tensor: number for number, tensor in enumerate(plan.places)}
        self._steps = [
            [step for phase in plan.phases for step in phase.steps[mvu]] for mvu in range(self.params.mvus)
        ]

    def _check(self, plan: Plan) -> None:
        """Raise `ConfigurationError` unless everything the host does with the plan stays inside the memories."""
        mvu, every = self.params.mvu, range(self.params.mvus)
        missing = {"start", "phase", "ended", "current", "trap"} - set(plan.firmware.symbols)
        if missing:
            raise ConfigurationError(f"firmware has no symbol {min(missing)}")
        for place in plan.places.values():
            if not 0 <= place.base <= mvu.data_depth - place.words or not place.mvus <= set(every):
                raise ConfigurationError(
                    f"place of {place.tensor}: words {place.base} to {place.base + place.words - 1} of MVUs "
                    f"{sorted(place.mvus)}, but there are {mvu.data_depth} words and {self.params.mvus} MVUs"
                )
        sizes = {
            WEIGHTS: (mvu.weight_depth, word_bytes(mvu.lanes**2)),
            SCALERS: (mvu.channel_depth, mvu.lanes),
            BIASES: (mvu.channel_depth, mvu.lanes),
        }
        for load in (load for phase in plan.phases for load in phase.loads):
            depth, width = sizes[load.select]
            fits = load.image.ndim == 2 and load.image.shape[1] == width
            if not fits or not 0 <= load.first <= depth - len(load.image) or not load.mvus <= set(every):
                raise ConfigurationError(
                    f"load of {list(load.image.shape)} to {load.first} of memory {load.select} of MVUs "
                    f"{sorted(load.mvus)}: the memory is [{depth}, {width}] and there are {self.params.mvus} MVUs"
                )

    def write(self, tensor: str, values: np.ndarray) -> None:
        """Write a tensor to the MVUs of its place.

        Args:
            tensor: name in the plan's places.
            values: integers in the tensor's shape and format; of a folded input, those of the network.
        """
        place = self._place(tensor)
        values = np.asarray(values)
        folded = self.plan.folded and tensor == self.plan.network.input
        shape = self.plan.network.input_shape if folded else place.shape
        if values.shape != shape:
            raise ConfigurationError(
                f"tensor {tensor} has shape {list(values.shape)}, but must be {list(shape)}"
            )
        if folded:
            values = fold(self.plan.network.layers[0], values)
        words = pack_activations(values, place.fmt, self.params.mvu.lanes)
        for mvu in place.mvus:
            self._memory(mvu)[place.base : place.base + place.words] = words

    def read(self, tensor: str, mvu: int) -> np.ndarray:
        """A tensor as it lies in an MVU's data memory now, int64 in the place's shape."""
        place = self._place(tensor)
        words = self._memory(mvu)[place.base : place.base + place.words]
        return unpack_activations(words, place.shape, place.fmt, self.params.mvu.lanes)

    def _place(self, tensor: str) -> Place:
        if self.plan is None:
            raise ConfigurationError("no plan is loaded")
        if tensor not in self.plan.places:
            raise ConfigurationError(f"tensor {tensor}: must be one of {', '.join(self.plan.places)}")
        return self.plan.places[tensor]

    def _memory(self, mvu: int) -> np.ndarray:
        memories = self.array.units[mvu].memories
        if memories is None:
            raise ConfigurationError("a system that only counts clocks has no memories")
        return memories.data

    def _load_phase(self, number: int) -> None:
        assert self.plan is not None
        if not self.functional:
            return
        for load in self.plan.phases[number].loads:
            for mvu in load.mvus:
                memories = self.array.units[mvu].memories
                assert memories is not None
                target = {WEIGHTS: memories.weights, SCALERS: memories.scaler, BIASES: memories.bias}
                target[load.select][load.first : load.first + len(load.image)] = load.image

    def run(
        self, inputs: Mapping[str, np.ndarray] | None = None, limit: int | None = None, host_clocks: int = 0
    ) -> Run:
        """Run the plan once, from the release of the harts to ``host_irq_o``.

        Args:
            inputs: tensors to write before.
            limit: clocks; by default several times what the steps multiply.
            host_clocks: that the host takes to load each further phase.

        Raises:
            SystemFault: a trap, an illegal job, a job that is not its step's, two jobs that disturb each other, harts
                that all wait for each other, or the limit.
        """
        plan = self.plan
        if plan is None:
            raise ConfigurationError("no plan is loaded")
        for tensor, values in (inputs or {}).items():
            self.write(tensor, values)
        steps = [step for each in self._steps for step in each]
        if limit is None:
            limit = 8 * sum(step.job.countdown for step in steps) + 5_000 * len(steps) + 200_000
        width = word_bytes(self.params.mvu.lanes)
        self._images = {
            name: {
                mvu: (np.zeros((place.words, width), np.uint8), np.zeros(place.words, bool))
                for mvu in sorted(place.mvus)
            }
            for name, place in plan.places.items()
            if self.functional and name != plan.network.input
        }
        self._start(plan)
        self._phase, self._loading, self._host_clocks = 0, 0, host_clocks
        try:
            self._go(limit)
        except SystemFault:
            raise
        except GoldenError as error:
            raise SystemFault(f"{error}\n{self._state()}") from error
        # Cleared by the host, so that the next run can begin.
        self._system["finished"] = 0
        return self._result()

    @property
    def golden(self) -> Network | None:
        """The network whose plan is loaded: what this must equal."""
        return None if self.plan is None else self.plan.network

    def trace(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Run the plan on images, as `golden.Network.trace`.

        Args:
            x: integers `[N, H, W, C]` of the network's input.

        Returns:
            tensor name -> int64 `[N, H, W, C]`, the input included.

        Raises:
            SystemFault: as `run`.
        """
        x = np.asarray(x)
        if self.plan is None or not self.functional:
            raise ConfigurationError("a trace needs a plan, and a system that executes jobs")
        name = self.plan.network.input
        runs = [self.run({name: image}).tensors for image in x]
        made = {tensor: np.stack([run[tensor] for run in runs]) for tensor in (runs[0] if runs else ())}
        return {name: x.astype(np.int64), **made}

    def _start(self, plan: Plan) -> None:
        """As the host does it: hold, write pc, clear the fixed block, load the first phase, release."""
        harts, count = self.harts, self.params.mvus
        self._shift_time()
        entry = plan.firmware.symbols["start"]
        harts.load(self._data_base, plan.firmware.data.astype("<u4").tobytes())
        self._load_phase(0)
        self._store("phase", 0, 1)
        if self.functional and self.strict:
            first = self._address("ended", 0)
            harts.watched = range(first, first + 4 * count, 4)
            harts.on_watched = self._counted
        self._order = StepOrder(count, self.params.mvu.data_depth)
        place = plan.places[plan.network.input]
        words = slice(place.base, place.base + place.words)
        self._order.hold(self._numbers[place.tensor], place.mvus, words)
        harts.clock = 0
        for hart in range(count):
            harts.release(hart, entry)
        harts.forget()
        self._system = {"finished": 0, "failed": 0, "irq_enable": (1 << count) - 1}
        self._events.clear()
        self._ready = [0] * count
        self._free = [0] * count
        self._traps = [False] * count
        self._answers = [[] for _ in range(count)]
        self._used = [0] * count
        self._clock, self._irq, self._retired = 0, NEVER, None
        self._progress = 0
        self._first_job = [unit.jobs for unit in self.array.units]
        self._first_record = len(self.array.records)

    def _shift_time(self) -> None:
        """Clocks of this run begin at 0."""
        if not self.array.idle:
            raise ConfigurationError("a job still runs: a run can begin when the last one has ended")
        self.array.restart()

    def _next_phase(self, clock: int) -> None:
        """The host has loaded it."""
        self._load_phase(self._phase)
        self._order.barrier(
            [unit.jobs - first for unit, first in zip(self.array.units, self._first_job, strict=True)]
        )
        self._store("phase", 0, self._phase + 1)
        self._progress = clock

    def _address(self, symbol: str, index: int) -> int:
        assert self.plan is not None
        return self.plan.firmware.symbols[symbol] + 4 * index

    def _word(self, symbol: str, index: int) -> int:
        return self.harts.words[self._address(symbol, index) - IMEM_BASE >> 2]

    def _store(self, symbol: str, index: int, value: int) -> None:
        self.harts.words[self._address(symbol, index) - IMEM_BASE >> 2] = value

    # --- time -------------------------------------------------------------------------------------------------

    def _at(self, clock: int, action: Callable[..., None], *arguments: int) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (clock, self._sequence, action, arguments))

    def _go(self, limit: int) -> None:
        """Issue instructions until ``host_irq_o``."""
        harts, array, events, ready = self.harts, self.array, self._events, self._ready
        count = self.params.mvus
        slots = max(count, PIPELINE_STAGES)
        skip = bool(self.params.controller.skip)
        states = harts.harts
        order = [[(last + 1 + i) % count for i in range(count)] for last in range(count)]
        traps, last = self._traps, self._last
        while True:
            if skip:
                clock = max(self._clock, min(ready))
            else:
                clock = min(
                    from_ + (hart - from_) % slots if from_ < NEVER else NEVER
                    for hart, from_ in enumerate(max(self._clock, r) for r in ready)
                )
            # What happens up to stage M of the instruction that would issue now comes first.
            event = events[0][0] if events else NEVER
            array_next = array.next
            coming = min(event, array_next)
            if coming <= clock + _STAGE_M and coming < NEVER:
                if array_next <= event:
                    array.advance(array_next)
                else:
                    when, _, action, arguments = heapq.heappop(events)
                    array.advance(when)
                    action(when, *arguments)
                if self._irq < NEVER:
                    limit = self._irq + _PARKING  # what the harts do behind it concerns the next run
                elif coming > limit:
                    raise SystemFault(self._late(limit))
                continue
            if self._irq < NEVER:
                if self._retired is None and clock + _STAGE_W > self._irq:
                    self._retired = sum(state.retired for state in states)
                if clock > limit:
                    return
            if clock >= NEVER:
                raise SystemFault(f"no hart can go on\n{self._state()}")
            if clock > limit:
                raise SystemFault(self._late(limit))
            if skip:
                for hart in order[last]:
                    if ready[hart] <= clock:
                        break
            else:
                hart = clock % slots
            last = self._last = hart
            self._clock = clock + 1
            ready[hart] = self._free[hart] = clock + _FLIGHT
            state = states[hart]
            harts.clock = clock + _STAGE_M
            if traps[hart] and not self._answers[hart]:
                number = harts.pending(hart)
                if number is not None and (number != Interrupt.MVU or self._pending_since[hart] <= clock):
                    harts.take_interrupt(hart, number)
                    self._changed(hart, clock)
                    continue
            pc = state.pc
            try:
                changed = harts.execute(state)
            except _Parked as parked:
                harts.forget()
                self._used[hart] = 0
                ready[hart] = NEVER
                self._requests[hart] = parked.args
                self._at(clock + _STAGE_M + BUS_REQUEST, self._request, hart)
                continue
            if changed:
                self._changed(hart, clock, pc)
            elif clock - self._progress > _SPIN:
                if array.idle and not any(answer for answer in self._requests):
                    raise SystemFault(f"no hart makes progress\n{self._state()}")
                self._progress = clock

    def _changed(self, hart: int, clock: int, pc: int = -1) -> None:
        """After an instruction that is not a plain one, issued in `clock`."""
        harts, state = self.harts, self.harts.harts[hart]
        if not 0 <= state.pc - IMEM_BASE < 4 * self.params.controller.imem_words:
            where = f"at 0x{pc:08x} ({disassemble(self._fetch(pc), pc)}) " if pc >= 0 else ""
            cause = state.csrs[CSRS["mcause"].address]
            raise SystemFault(
                f"hart {hart} {where}left the instruction memory to 0x{state.pc:08x}, mcause {_cause(cause)}, "
                f"mepc 0x{state.csrs[CSRS['mepc'].address]:08x}\n{self._state()}"
            )
        self._progress = clock
        if self._answers[hart]:
            self._answers[hart].clear()
            self._used[hart] = 0
        if self.array.units[hart].irq:
            state.mvu_pending = 1  # the line is high: mip.16 cannot be cleared
        csrs = state.csrs
        self._traps[hart] = bool(csrs[_MSTATUS] & _MIE and csrs[_MIE_CSR])
        if state.waiting:
            self._ready[hart] = NEVER
            if csrs[_MIE_CSR] >> Interrupt.TIMER & 1:
                left = harts.mtimecmp[hart] - harts.mtime
                if left < NEVER:
                    self._at(clock + _STAGE_M + max(1, left), self._wake, hart)
        for other, waiting in enumerate(harts.harts):
            if waiting.waiting and other != hart and harts.wakes(other):
                self._wake(clock + _STAGE_M + 1, other)

    def _wake(self, clock: int, hart: int) -> None:
        state = self.harts.harts[hart]
        if state.waiting and self.harts.wakes(hart):
            state.waiting = False
            self._ready[hart] = max(clock, self._free[hart])

    # --- bus --------------------------------------------------------------------------------------------------

    def _bus(self, hart: int, write: bool, unit: int, register: int, data: int) -> tuple[int, bool]:
        used = self._used[hart]
        if used < len(self._answers[hart]):
            self._used[hart] = used + 1
            return self._answers[hart][used]
        raise _Parked(write, unit, register, data)

    def _request(self, clock: int, hart: int) -> None:
        """The request of a hart is at the register port."""
        request = self._requests[hart]
        assert request is not None
        write, unit, register, data = request

        def answer(accepted: int, word: int, error: bool = False) -> None:
            latency = WRITE_ANSWER if write or error else READ_ANSWER
            self._at(accepted + latency, self._answer, hart, word, int(error))

        if unit < self.params.mvus:
            self.array.access(unit, bool(write), register, data, clock, answer)
        elif unit == system_registers.SYSTEM_UNIT:
            word, error = self._access_system(clock, bool(write), register, data)
            answer(clock, word, error)
        else:
            answer(clock, 0, True)

    def _answer(self, clock: int, hart: int, word: int, error: int) -> None:
        """The unit has answered; one answer a clock goes back to the controller."""
        self._requests[hart] = None
        self._answers[hart].append((word, bool(error)))
        if not self._back:
            self._at(clock, self._way_back)
        self._back |= 1 << hart

    def _way_back(self, clock: int) -> None:
        hart = self._back_order.choose(self._back)
        self._back_order.served(hart)
        self._back &= ~(1 << hart)
        self._ready[hart] = clock + 1
        if self._back:
            self._at(clock + 1, self._way_back)

    def _access_system(self, clock: int, write: bool, register: int, data: int) -> tuple[int, bool]:
        if register not in _SYSTEM_REGISTERS:
            return 0, False
        name = _SYSTEM_REGISTERS[register].name
        if not write:
            constants = system_registers.constants(self.params)
            return constants.get(name, self._system.get(name, 0)), False
        if name in ("finished", "failed"):
            self._system[name] |= data & (1 << self.params.mvus) - 1
        elif name in self._system:
            self._system[name] = data & _SYSTEM_REGISTERS[register].write_mask
        enabled = self._system["irq_enable"]
        finished = self._system["finished"] & enabled == enabled != 0
        if self._system["failed"]:
            raise SystemFault(self._failed())
        if finished:
            self._phase += 1
            if self._phase == len(self.plan.phases):
                self._irq = clock + HOST_IRQ
            else:
                self._system["finished"] = 0
                self._loading += self._host_clocks
                self._at(clock + HOST_IRQ + self._host_clocks, self._next_phase)
        return 0, False

    # --- jobs -------------------------------------------------------------------------------------------------

    def _step(self, mvu: int, job: int) -> Step | None:
        number = job - self._first_job[mvu]
        return self._steps[mvu][number] if 0 <= number < len(self._steps[mvu]) else None

    def _job_starts(self, mvu: int, job: int, program: Program) -> None:
        step = self._step(mvu, job)
        if not self.strict:
            return
        if step is None:
            raise SystemFault(
                f"MVU {mvu} was given job {job - self._first_job[mvu]}, but the plan has "
                f"{len(self._steps[mvu])} steps for it\n{self._state()}"
            )
        for name, expected in self._expected(step).items():
            register = MVU_REGISTERS[name]
            if program.words[register.address] != expected:
                raise SystemFault(
                    f"{_named(step)}: {name} is 0x{program.words[register.address]:08x}, but the plan has "
                    f"0x{expected:08x}\n{self._state()}"
                )
        if self.functional and program.runs:
            self._check_order(step, program)

    def _check_order(self, step: Step, program: Program) -> None:
        """Whether the firmware has waited for what the step needs."""
        assert self.plan is not None
        dest = program.dest or 1 << step.mvu
        targets = [mvu for mvu in range(self.params.mvus) if dest >> mvu & 1]
        layer = self._layers[step.layer]
        left = program.reads.copy()
        for tensor in (layer.input, layer.residual and layer.residual.tensor):
            if tensor is None:
                continue
            place = self.plan.places[tensor]
            mine = np.zeros_like(left)
            mine[place.base : place.base + place.words] = program.reads[place.base : place.base + place.words]
            left &= ~mine
            word = self._order.lacks(step.mvu, self._numbers[tensor], mine)
            if word is not None:
                row, makers = self._makers(place, word)
                raise SystemFault(
                    f"{_named(step)} reads word {word} of MVU {step.mvu}, row {row} of tensor {tensor}, which MVU "
                    f"{step.mvu} has not got from {makers}\n{self._state()}"
                )
        if left.any():
            raise SystemFault(
                f"{_named(step)} reads word {int(np.argmax(left))} of MVU {step.mvu}, which is outside its operands"
                f"\n{self._state()}"
            )
        wrong = self._order.begin(step.mvu, step.number, program.reads, program.writes, targets)
        if wrong is not None:
            other = self._steps[wrong.mvu][wrong.number]
            raise SystemFault(
                f"{_named(step)} {wrong.does} word {wrong.word} of MVU {wrong.memory}, which {_named(other)} "
                f"{wrong.other_does}, without having waited for that: hart {step.mvu} knows of "
                f"{self._order.known[step.mvu][wrong.mvu]} ended steps of MVU {wrong.mvu}\n{self._state()}"
            )

        self._order.hold(self._numbers[layer.output], targets, program.writes)

    def _makers(self, place: Place, word: int) -> tuple[int, str]:
        """The row that a word of a tensor belongs to, and the steps that make it."""
        _, width, channels = place.shape
        row = (word - place.base) // (
            width * channel_blocks(channels, self.params.mvu.lanes) * place.fmt.bits
        )
        makers = [
            _named(step)
            for steps in self._steps
            for step in steps
            if self._layers[step.layer].output == place.tensor and row in step.rows
        ]
        return row, " or ".join(makers) or "the host"

    def _counted(self, hart: int, mvu: int, steps: int, stores: bool) -> None:
        """A hart writes a word of `ended`, or has found it to be at least `steps`."""
        if not stores:
            self._order.sees(hart, mvu, steps)
            return
        unit = self.array.units[mvu]
        ended = unit.jobs - self._first_job[mvu]
        if hart != mvu or steps > ended:
            raise SystemFault(
                f"hart {hart} counts {steps} steps of MVU {mvu} as ended, which has ended {ended}\n{self._state()}"
            )
        self._order.counts(hart, mvu, steps)

    def _expected(self, step: Step) -> dict[str, int]:
        """Words of the registers that decide what a step does; made once for each step."""
        key = step.mvu, step.number
        if key not in self._expectations:
            words = encode(step.job.registers)
            used = {name: words[MVU_REGISTERS[name].address] for name in step.job.registers}
            config1 = MVU_REGISTERS["mvuconfig1"]
            flags = {name: config1.field(name).decode(used["mvuconfig1"]) for name in ("residual", "padding")}
            idle = [name for name in used if name.startswith(_OF_RESIDUAL) and not flags["residual"]]
            idle += [name for name in used if name.startswith(_OF_PADDING) and not flags["padding"]]
            self._expectations[key] = {name: word for name, word in used.items() if name not in idle}
        return self._expectations[key]

    def _job_done(self, mvu: int, clock: int) -> None:
        self._progress = clock
        self._at(clock + INTERRUPT, self._interrupt, mvu)

    def _interrupt(self, clock: int, mvu: int) -> None:
        self.harts.harts[mvu].mvu_pending = 1
        self._pending_since[mvu] = clock
        self._wake(clock, mvu)

    def _job_wrote(self, record: JobRecord) -> None:
        """Collect the words of the tensor that the step makes."""
        step = self._step(record.mvu, record.number)
        if step is None or record.result is None:
            return
        assert self.plan is not None
        layer = self._layers[step.layer]
        place = self.plan.places[layer.output]
        at = record.result.address - place.base
        inside = (at >= 0) & (at < place.words)
        if not inside.all():
            wrong = int(record.result.address[np.argmin(inside)])
            raise SystemFault(
                f"{_named(step)} wrote word {wrong}, but tensor "
                f" {place.tensor} lies at {place.base} to {place.base + place.words - 1}\n{self._state()}"
            )
        dest = record.result.dest or 1 << record.mvu
        for mvu, (image, written) in self._images[layer.output].items():
            if dest >> mvu & 1:
                image[at] = record.result.data
                written[at] = True

    # --- results ----------------------------------------------------------------------------------------------

    def _result(self) -> Run:
        assert self.plan is not None
        records = self.array.records[self._first_record :]
        steps = []
        for record in records:
            step = self._step(record.mvu, record.number)
            steps.append(
                StepRecord(
                    record.mvu,
                    record.number - self._first_job[record.mvu],
                    step.layer if step is not None else "?",
                    record.start,
                    record.end,
                    record.multiply,
                    record.stalls,
                    record.waited,
                )
            )
        tensors = {name: self._made(name) for name in self._images}
        return Run(
            self._irq - self._loading,
            self._loading,
            tuple(steps),
            tuple(records),
            self._retired or 0,
            tensors,
        )

    def _made(self, tensor: str) -> np.ndarray:
        """A tensor from the words that arrived at the MVUs of its place, which hold all of it together."""
        place = self.plan.places[tensor]
        image = np.zeros((place.words, word_bytes(self.params.mvu.lanes)), np.uint8)
        anywhere = np.zeros(place.words, bool)
        for mvu, (words, written) in self._images[tensor].items():
            image[written] = words[written]
            anywhere |= written
            if tensor == self.plan.network.output and not written.all():
                raise SystemFault(
                    f"MVU {mvu} never got word {place.base + int(np.argmin(written))} of the network's output {tensor}"
                )
        if not anywhere.all():
            missing = int(np.argmin(anywhere))
            raise SystemFault(
                f"no MVU ever got word {place.base + missing} of tensor {tensor} "
                f"({int(np.count_nonzero(~anywhere))} of its {place.words} words are missing)"
            )
        return unpack_activations(image, place.shape, place.fmt, self.params.mvu.lanes)

    def report(self, run: Run) -> Report:
        """A run of the loaded plan in numbers."""
        assert self.plan is not None
        return report(self.plan, run.steps, run.clocks, run.retired)

    # --- what went wrong --------------------------------------------------------------------------------------

    def _fetch(self, pc: int) -> int:
        index = pc - IMEM_BASE >> 2
        return self.harts.words[index] if 0 <= index < self.params.controller.imem_words else 0

    def _late(self, limit: int) -> str:
        return f"the run did not end within {limit} clocks\n{self._state()}"

    def _failed(self) -> str:
        lines = []
        for hart in range(self.params.mvus):
            if not self._system["failed"] >> hart & 1:
                continue
            kind, cause, pc, value = (
                self._word("trap", _TRAP_WORDS * hart + word) for word in range(_TRAP_WORDS)
            )
            if kind == _REFUSED:
                names = cause_names(MVU_REGISTERS["mvustatus"].field("cause").decode(cause))
                lines.append(
                    f"hart {hart}: MVU {hart} refused a job, {self._where(hart, -1)}: {', '.join(names)}"
                )
            else:
                lines.append(
                    f"hart {hart} trapped: {_cause(cause)} at 0x{pc:08x} ({disassemble(self._fetch(pc), pc)}), "
                    f"mtval 0x{value:08x}, {self._where(hart, 0)}"
                )
        return "; ".join(lines) + f"\n{self._state()}"

    def _where(self, hart: int, offset: int) -> str:
        step = self._step(hart, self.array.units[hart].jobs + offset)
        if step is None:
            return "after its last step"
        return f"step {step.number} (layer {step.layer}, {_rows(step)})"

    def _state(self) -> str:
        """Where every hart and MVU is, one line each."""
        lines = []
        for hart, state in enumerate(self.harts.harts[: self.params.mvus]):
            unit = self.array.units[hart]
            number = unit.jobs - self._first_job[hart]
            request = self._requests[hart]
            if self._system["finished"] >> hart & 1:
                doing = "has finished"
            elif unit.run is not None:
                doing = f"runs {self._where(hart, 0)} since clock {unit.run.start}"
            elif request is not None:
                write, target, register, _ = request
                doing = (
                    f"waits for its {'write to' if write else 'read of'} register {register} of unit {target}"
                )
            elif number >= len(self._steps[hart]):
                doing = "has ended its steps"
            else:
                step = self._steps[hart][number]
                doing = f"has not started {self._where(hart, 0)}"
                missing = [
                    f"MVU {wait.mvu} to end step {wait.count - 1} (it has ended "
                    f"{self.array.units[wait.mvu].jobs - self._first_job[wait.mvu]})"
                    for wait in step.waits
                    if self.array.units[wait.mvu].jobs - self._first_job[wait.mvu] < wait.count
                ]
                if missing:
                    doing += ", which waits for " + " and ".join(missing)
            where = f"pc 0x{state.pc:08x}"
            if state.waiting:
                where += " in wfi"
            lines.append(f"  hart {hart} ({where}): MVU {hart} {doing}")
        return "\n".join(lines)


def _named(step: Step) -> str:
    return f"MVU {step.mvu} step {step.number} (layer {step.layer}, {_rows(step)})"


def _rows(step: Step) -> str:
    return f"rows {step.rows.start} to {step.rows.stop - 1}"


def _cause(cause: int) -> str:
    try:
        return Cause(cause).name.lower().replace("_", " ")
    except ValueError:
        return f"0x{cause:08x}"
