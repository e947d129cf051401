# SPDX-License-Identifier: Apache-2.0
"""Instruction-set simulator of the controller: the architecture state of all harts, one instruction at a time.

`Iss.step` is the definition, written to be read. `Iss.run` and `Iss.step_fast` do the same with functions that are made
once for each instruction word (`golden.controller.fast`), and a test compares the two. Everything that depends on
clocks comes from the caller: the `clock`, the interrupt lines, the moment at which an interrupt is taken, the answers
of the bus. Sections are those of The RISC-V Instruction Set Manual, 20240411.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

from assay.golden.controller import fast
from assay.golden.controller.csrs import (
    BY_ADDRESS,
    BY_NAME,
    INTERRUPT_FLAG,
    MISA_M,
    PRIORITY,
    Cause,
    Interrupt,
    mvu_register,
)
from assay.golden.controller.instructions import FUNCTIONS, INSTRUCTIONS, Decoded, decode, unsigned
from assay.golden.controller.memory_map import (
    IMEM_BASE,
    MSIP_BASE,
    MTIME_BASE,
    MTIMECMP_BASE,
    MVU_BASE,
    MVU_STRIDE,
    RESET_PC,
    Region,
    region,
)
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.errors import ConfigurationError, DoesNotFitError

#: ``bus(hart, write, mvu, register, wdata) -> (rdata, error)``: one access to an MVU's register.
Bus = Callable[[int, bool, int, int, int], tuple[int, bool]]

_MASK64 = (1 << 64) - 1
_MIE = BY_NAME["mstatus"].field("mie").mask
_MPIE = BY_NAME["mstatus"].field("mpie").mask
_OPERATIONS = {
    instruction.name: eval(f"lambda rs1, rs2, imm, pc, csr: {instruction.operation}", dict(FUNCTIONS))
    for instruction in INSTRUCTIONS
    if instruction.operation
}


class Retirement(NamedTuple):
    """The effects of an instruction, under the names and with the meanings of RVFI (see docs/controller.md).

    ``cause``: mcause of a trap or of the interrupt whose handler starts here; ``csr``: what a CSR instruction read.
    """

    hart: int
    pc_rdata: int
    insn: int
    trap: int = 0
    intr: int = 0
    cause: int = 0
    rs1_addr: int = 0
    rs1_rdata: int = 0
    rs2_addr: int = 0
    rs2_rdata: int = 0
    rd_addr: int = 0
    rd_wdata: int = 0
    pc_wdata: int = 0
    mem_addr: int = 0
    mem_rmask: int = 0
    mem_wmask: int = 0
    mem_rdata: int = 0
    mem_wdata: int = 0
    csr: int = 0


class Trap(Exception):
    """An exception of the running instruction, with mcause and mtval."""

    def __init__(self, cause: Cause, value: int) -> None:
        super().__init__(cause, value)
        self.cause = cause
        self.value = value


class Counter:
    """A 64-bit counter of ticks (clocks or instructions) that someone else counts: `value` at tick `since`."""

    def __init__(self, since: int = 0) -> None:
        self.value = 0
        self.since = since
        self.running = True

    def read(self, tick: int) -> int:
        return self.value + (tick - self.since if self.running else 0) & _MASK64

    def write_half(self, half: int, value: int, tick: int) -> None:
        """The half (0 low, 1 high) is `value` at `tick` + 1, the other what it was: nothing is counted at `tick`."""
        shift = 32 * half
        self.value = self.read(tick) & ~(0xFFFF_FFFF << shift) | value << shift
        self.since = tick + 1

    def enable(self, running: bool, tick: int) -> None:
        """From `tick` + 1 on; `tick` itself is counted by the old setting."""
        self.value, self.since, self.running = self.read(tick + 1), tick + 1, running


class Hart:
    """One hardware thread. Attributes are its architecture state; `csrs` holds the CSRs that are plain storage."""

    def __init__(self, number: int) -> None:
        self.number = number
        #: x[0] stays 0. At one place in memory: the compiled simulator works on the same registers.
        self.x = array("I", bytes(4 * 32))
        self.held = True  #: the host has not released it
        self.reset(RESET_PC, 0)

    def reset(self, pc: int, clock: int) -> None:
        """State after reset, or after the host wrote the pc; msip, mtimecmp and lines are not the hart's."""
        self.x[:] = array("I", bytes(4 * 32))
        self.pc = pc & ~3
        self.csrs = {csr.address: csr.reset for csr in BY_ADDRESS.values() if csr.write_mask}
        self.mvu_pending = 0  #: mip.16
        self.cycles = Counter(clock)  #: mcycle, in ticks of the clock
        self.retired = 0  #: instructions since reset, those that trapped not counted
        self.instructions = Counter()  #: minstret, in ticks of `retired`
        self.waiting = False  #: in wfi
        self.interrupt = 0  #: mcause of an interrupt taken since the last instruction, else 0


class Iss:
    """All harts with their memories.

    Args:
        parameters: sizes; M extension.
        bus: accesses to MVU registers; without one each answers with an error.
    """

    def __init__(self, parameters: ControllerParameters | None = None, bus: Bus | None = None) -> None:
        self.parameters = parameters or ControllerParameters()
        self.mul_div = bool(self.parameters.mul_div)
        self.bus: Bus = bus or (lambda hart, write, mvu, register, wdata: (0, True))
        #: Instruction memory and data memory behind it, as words, half-words and bytes of the same storage.
        self.words = array("I", bytes(4 * (self.parameters.imem_words + self.parameters.dmem_words)))
        self.bytes = memoryview(self.words).cast("B")
        self.halves = self.bytes.cast("H")
        self.harts = [Hart(number) for number in range(self.parameters.harts)]
        self.clock = 0  #: clocks since reset; `run` counts one an instruction
        self._mtime = Counter()
        self.msip = [0] * self.parameters.harts
        self.mtimecmp = [_MASK64] * self.parameters.harts
        self.external = [0] * self.parameters.harts  #: ext_irq_i; see `set_external`
        #: What the next instruction reads from a place that depends on clocks (mip, mcycle, mtime); None: own.
        self.observed: int | None = None
        self.exit_code: int | None = None  #: the odd word that was stored to `tohost`
        self.host_request = (
            0  #: another one but 0: the program asks the host for something, which it does not get
        )
        self._tohost = -1
        self._changed = True  # interrupts, wfi or hold may have changed since `_poll`
        self._timer = 0  # clock at which the next mtimecmp may be reached
        self._ready: list[Hart] = []
        self._limit = 4 * self.parameters.imem_words
        machine = fast.Machine(self.mul_div, self.step, self.words, self.halves, self.bytes, len(self.bytes))
        self._operations = fast.Operations(machine, trace=False)
        self._traced = fast.Operations(machine, trace=True)

    # --- what the caller (host, bench) sets -------------------------------------------------------------------

    def load(self, address: int, data: bytes) -> None:
        """Write `data` to the memories, as the host does.

        Raises `DoesNotFitError` when it does not lie inside them.
        """
        first = address - IMEM_BASE
        if first < 0 or first + len(data) > len(self.bytes):
            raise DoesNotFitError(
                f"{len(data)} bytes at 0x{address:08x}: the memories are 0x{IMEM_BASE:08x} to "
                f"0x{IMEM_BASE + len(self.bytes) - 1:08x}"
            )
        self.bytes[first : first + len(data)] = data

    def release(self, hart: int, pc: int | None = None) -> None:
        """Let a held hart run, from `pc` with the state of reset when it is given."""
        if pc is not None:
            self.harts[hart].reset(pc, self.clock)
        self.harts[hart].held = False
        self._changed = True

    @property
    def tohost(self) -> int | None:
        """Address of `tohost`: a store of an odd value there sets `exit_code` and ends `run`."""
        return None if self._tohost < 0 else self._tohost

    @tohost.setter
    def tohost(self, address: int | None) -> None:
        self._tohost = -1 if address is None else address
        self._operations.watch(self._tohost)
        self._traced.watch(self._tohost)

    @property
    def mtime(self) -> int:
        """The 64-bit time, which counts the clock."""
        return self._mtime.read(self.clock)

    @mtime.setter
    def mtime(self, value: int) -> None:
        self._mtime.value, self._mtime.since = value, self.clock
        self._changed = True

    def set_external(self, hart: int, level: int) -> None:
        """Input ext_irq_i of a hart."""
        self.external[hart] = level
        self._changed = True

    def set_mvu_interrupt(self, hart: int) -> None:
        """A clock in which mvu_irq_i of the hart is high."""
        self.harts[hart].mvu_pending = 1
        self._changed = True

    # --- interrupts (Vol. II section 3.1.9) ------------------------------------------------------------------

    def mip(self, hart: int) -> int:
        """Pending interrupts."""
        return (
            self.msip[hart] << Interrupt.SOFTWARE
            | (self.mtime >= self.mtimecmp[hart]) << Interrupt.TIMER
            | self.external[hart] << Interrupt.EXTERNAL
            | self.harts[hart].mvu_pending << Interrupt.MVU
        )

    def wakes(self, hart: int) -> bool:
        """Whether a hart in wfi goes on (section 3.3.3)."""
        return bool(self.mip(hart) & self.harts[hart].csrs[_CSR["mie"]])

    def pending(self, hart: int) -> Interrupt | None:
        """The interrupt that the hart takes before its next instruction."""
        csrs = self.harts[hart].csrs
        if not csrs[_CSR["mstatus"]] & _MIE:
            return None
        possible = self.mip(hart) & csrs[_CSR["mie"]]
        return next((number for number in PRIORITY if possible >> number & 1), None)

    def take_interrupt(self, hart: int, number: int) -> None:
        """Enter the handler of interrupt `number`, pending or not: the caller decides.

        The next `step` of the hart shows it as intr.
        """
        state = self.harts[hart]
        state.interrupt = INTERRUPT_FLAG | number
        self._enter(state, state.interrupt, 0)

    def _enter(self, hart: Hart, cause: int, value: int) -> None:
        """Go to the trap handler (sections 3.1.6.1, 3.1.7, 3.1.14 to 3.1.16)."""
        csrs = hart.csrs
        csrs[_CSR["mepc"]] = hart.pc
        csrs[_CSR["mcause"]] = cause
        csrs[_CSR["mtval"]] = value
        status = csrs[_CSR["mstatus"]]
        csrs[_CSR["mstatus"]] = status & ~(_MIE | _MPIE) | (_MPIE if status & _MIE else 0)
        vector = csrs[_CSR["mtvec"]]
        vectored = vector & 1 and cause & INTERRUPT_FLAG
        hart.pc = unsigned((vector & ~3) + (4 * (cause & ~INTERRUPT_FLAG) if vectored else 0))
        hart.waiting = False
        self._changed = True

    # --- one instruction -------------------------------------------------------------------------------------

    def step(self, hart: int) -> Retirement:
        """Execute the next instruction of a hart, held or waiting or not, and say what it did."""
        state = self.harts[hart]
        state.waiting = False
        pc, insn = state.pc, 0
        decoded = None
        effect: dict[str, int] = {}
        operands: dict[str, int] = {}
        interrupt, state.interrupt = state.interrupt, 0
        self._changed = True
        try:
            insn = self._fetch(pc)
            decoded = decode(insn, self.mul_div)
            if decoded is None:
                raise Trap(Cause.ILLEGAL, insn)
            operands = {
                "rs1_addr": decoded.rs1,
                "rs1_rdata": state.x[decoded.rs1],
                "rs2_addr": decoded.rs2,
                "rs2_rdata": state.x[decoded.rs2],
            }
            effect = self._execute(state, decoded, insn)
        except Trap as trap:
            self._enter(state, trap.cause, trap.value)
            effect = {"trap": 1, "cause": int(trap.cause), "pc_wdata": state.pc}
            if trap.cause == Cause.ILLEGAL:
                operands = {}
        else:
            state.pc = effect.setdefault("pc_wdata", unsigned(pc + 4))
            state.retired += 1
            if decoded.rd and "rd_wdata" in effect:
                effect["rd_addr"] = decoded.rd
                state.x[decoded.rd] = effect["rd_wdata"]
            else:
                effect.pop("rd_wdata", None)
        self.observed = None
        if interrupt:
            effect |= {"intr": 1, "cause": interrupt}
        return Retirement(hart, pc, insn, **operands, **effect)

    def _fetch(self, pc: int) -> int:
        if region(pc, self.parameters) is not Region.IMEM:
            raise Trap(Cause.FETCH_FAULT, pc)
        return self.words[pc - IMEM_BASE >> 2]

    def _execute(self, hart: Hart, decoded: Decoded, insn: int) -> dict[str, int]:
        """Fields of the `Retirement` that are not 0; rd and the pc are written by `step`. Raises `Trap`."""
        instruction, _, _, _, imm, _ = decoded
        pc, rs1, rs2 = hart.pc, hart.x[decoded.rs1], hart.x[decoded.rs2]
        match instruction.format:
            case "R" | "I" | "shift" | "U":
                return {"rd_wdata": unsigned(_OPERATIONS[instruction.name](rs1, rs2, imm, pc, 0))}
            case "B":
                taken = _OPERATIONS[instruction.name](rs1, rs2, imm, pc, 0)
                return {"pc_wdata": self._target(pc + imm)} if taken else {}
            case "J":
                return {"pc_wdata": self._target(pc + imm), "rd_wdata": unsigned(pc + 4)}
            case "jalr":
                return {"pc_wdata": self._target(rs1 + imm & ~1), "rd_wdata": unsigned(pc + 4)}
            case "load":
                return self._load(hart, instruction.size, instruction.zero_extends, unsigned(rs1 + imm))
            case "S":
                return self._store(hart, instruction.size, unsigned(rs1 + imm), rs2)
            case "csr" | "csri":
                return self._csr(hart, decoded, insn)
            case "fence":
                return {}
        match instruction.name:
            case "ecall":
                raise Trap(Cause.ECALL, 0)
            case "ebreak":
                raise Trap(Cause.BREAKPOINT, pc)
            case "mret":  # Vol. II section 3.3.2
                status = hart.csrs[_CSR["mstatus"]]
                hart.csrs[_CSR["mstatus"]] = status & ~_MIE | (_MIE if status & _MPIE else 0) | _MPIE
                return {"pc_wdata": hart.csrs[_CSR["mepc"]]}
            case "wfi":
                hart.waiting = not self.wakes(hart.number)
        return {}

    @staticmethod
    def _target(address: int) -> int:
        """Target of a jump or taken branch; misalignment is raised by the jump itself (Vol. I section 2.2)."""
        if address & 3:
            raise Trap(Cause.FETCH_MISALIGNED, unsigned(address))
        return unsigned(address)

    # --- loads and stores (Vol. I section 2.6) ---------------------------------------------------------------

    def _load(self, hart: Hart, size: int, zero_extends: bool, address: int) -> dict[str, int]:
        if address % size:
            raise Trap(Cause.LOAD_MISALIGNED, address)
        where = region(address, self.parameters)
        if where in (Region.IMEM, Region.DMEM):
            first = address - IMEM_BASE
            data = int.from_bytes(self.bytes[first : first + size], "little")
        elif where is Region.NONE or size != 4:
            raise Trap(Cause.LOAD_FAULT, address)
        else:
            data = self._read_device(hart, where, address)
        sign = 1 << (8 * size - 1)
        value = data if zero_extends else unsigned((data ^ sign) - sign)
        return {
            "rd_wdata": value,
            "mem_addr": address,
            "mem_rmask": (1 << size) - 1,
            "mem_rdata": data,
        }

    def _store(self, hart: Hart, size: int, address: int, value: int) -> dict[str, int]:
        if address % size:
            raise Trap(Cause.STORE_MISALIGNED, address)
        where = region(address, self.parameters)
        data = value & ((1 << 8 * size) - 1)
        if where in (Region.IMEM, Region.DMEM):
            first = address - IMEM_BASE
            self.bytes[first : first + size] = data.to_bytes(size, "little")
            if address == self._tohost:
                if data & 1:
                    self.exit_code = data
                else:
                    self.host_request = data or self.host_request
        elif where is Region.NONE or size != 4:
            raise Trap(Cause.STORE_FAULT, address)
        else:
            self._write_device(hart, where, address, data)
        return {"mem_addr": address, "mem_wmask": (1 << size) - 1, "mem_wdata": data}

    def _read_device(self, hart: Hart, where: Region, address: int) -> int:
        high = bool(address & 4)
        match where:
            case Region.MSIP:
                return self.msip[address - MSIP_BASE >> 2]
            case Region.MTIMECMP:
                return _half(self.mtimecmp[address - MTIMECMP_BASE >> 3], high)
            case Region.MTIME:
                return self._timed(_half(self.mtime, high))
        mvu, offset = divmod(address - MVU_BASE, MVU_STRIDE)
        data, error = self.bus(hart.number, False, mvu, offset >> 2, 0)
        if error:
            raise Trap(Cause.LOAD_FAULT, address)
        return data

    def _write_device(self, hart: Hart, where: Region, address: int, data: int) -> None:
        half = address >> 2 & 1
        match where:
            case Region.MSIP:
                self.msip[address - MSIP_BASE >> 2] = data & 1
            case Region.MTIMECMP:
                number = address - MTIMECMP_BASE >> 3
                kept = self.mtimecmp[number] & ~(0xFFFF_FFFF << 32 * half)
                self.mtimecmp[number] = kept | data << 32 * half
            case Region.MTIME:
                self._mtime.write_half(address - MTIME_BASE >> 2, data, self.clock)
            case _:
                mvu, offset = divmod(address - MVU_BASE, MVU_STRIDE)
                if self.bus(hart.number, True, mvu, offset >> 2, data)[1]:
                    raise Trap(Cause.STORE_FAULT, address)

    def _timed(self, own: int) -> int:
        return own if self.observed is None else self.observed

    # --- CSRs (Vol. I chapter 6, Vol. II chapters 2 and 3) ---------------------------------------------------

    def _csr(self, hart: Hart, decoded: Decoded, insn: int) -> dict[str, int]:
        """Read unless csrrw has rd = x0, write unless csrrs or csrrc has rs1 = x0 or uimm = 0 (Vol. I table 5)."""
        exchanges = decoded.instruction.name in ("csrrw", "csrrwi")
        source = insn >> 15 & 31
        reads, writes = decoded.rd != 0 or not exchanges, source != 0 or exchanges
        register = mvu_register(decoded.csr)
        csr = BY_ADDRESS.get(decoded.csr)
        if register is None and (csr is None or (writes and csr.read_only)):
            raise Trap(Cause.ILLEGAL, insn)
        old = 0
        if reads:
            old = (
                self.read_csr(hart, csr.name)
                if csr is not None
                else self._bus_csr(hart, False, register or 0, 0, insn)
            )
        if writes:
            operation = _OPERATIONS[decoded.instruction.name]
            new = unsigned(operation(hart.x[decoded.rs1], 0, decoded.imm, 0, old))
            if csr is None:
                self._bus_csr(hart, True, register or 0, new, insn)
            else:
                self._write_csr(hart, csr.name, new)
        return {"rd_wdata": old, "csr": old} if reads else {}

    def _bus_csr(self, hart: Hart, write: bool, register: int, value: int, insn: int) -> int:
        """A register of the hart's own MVU."""
        data, error = self.bus(hart.number, write, hart.number, register, value)
        if error:
            raise Trap(Cause.ILLEGAL, insn)
        return data

    def read_csr(self, hart: Hart, name: str) -> int:
        """Value of a CSR."""
        csr = BY_NAME[name]
        match name:
            case "mip":
                return self._timed(self.mip(hart.number))
            case "mcycle" | "mcycleh" | "cycle" | "cycleh":
                return self._timed(_half(hart.cycles.read(self.clock), name.endswith("h")))
            case "time" | "timeh":
                return self._timed(_half(self.mtime, name.endswith("h")))
            case "minstret" | "minstreth" | "instret" | "instreth":
                return _half(hart.instructions.read(hart.retired), name.endswith("h"))
            case "mhartid":
                return hart.number
            case "misa":
                return csr.reset | (MISA_M if self.mul_div else 0)
        return hart.csrs.get(csr.address, csr.reset)

    def _write_csr(self, hart: Hart, name: str, value: int) -> None:
        csr = BY_NAME[name]
        match name:
            case "mip":
                hart.mvu_pending = value >> Interrupt.MVU & 1
            case "mcycle" | "mcycleh":
                hart.cycles.write_half(name == "mcycleh", value, self.clock)
            case "minstret" | "minstreth":
                hart.instructions.write_half(name == "minstreth", value, hart.retired)
            case _ if csr.write_mask:
                kept = hart.csrs[csr.address] & ~csr.write_mask
                hart.csrs[csr.address] = kept | value & csr.write_mask
        if name == "mcountinhibit":
            hart.cycles.enable(not csr.field("cy").decode(value), self.clock)
            hart.instructions.enable(not csr.field("ir").decode(value), hart.retired)

    # --- many instructions -----------------------------------------------------------------------------------

    def step_fast(self, hart: int) -> tuple[Any, ...]:
        """As `step`, several times as fast; the tuple equals its `Retirement`."""
        state = self.harts[hart]
        offset = state.pc - IMEM_BASE
        if state.interrupt or not 0 <= offset < self._limit:
            return self.step(hart)
        state.waiting = False
        return self._traced[self.words[offset >> 2]](state)

    def run(self, count: int, readable: bool = False) -> int:
        """Run the released harts in rounds, in each one instruction of every hart that does not wait.

        Wfi and interrupts are looked at between rounds; a round of n instructions takes n clocks. When all wait, the
        clock goes on to the next timer interrupt.

        Args:
            count: instructions, in all; the last round is finished.
            readable: use `step`; the result is the same.

        Returns:
            Instructions executed. Fewer than `count` when `tohost` was written (then `exit_code` is not None), or
            when all harts wait for something that only the caller can bring.
        """
        done = 0
        limit, words, operations = self._limit, self.words, self._operations
        while done < count and self.exit_code is None:
            stale = self._changed or not self._ready or self.clock >= self._timer
            if stale and not self._poll():
                break
            for hart in self._ready:
                offset = hart.pc - IMEM_BASE
                if readable or hart.interrupt or not 0 <= offset < limit:
                    self.step(hart.number)
                else:
                    operations[words[offset >> 2]](hart)
                self.clock += 1
            done += len(self._ready)
        return done

    def _poll(self) -> bool:
        """Take interrupts, wake harts, list those that are ready; False when there is none, nor will be."""
        self._changed = False
        released = [hart for hart in self.harts if not hart.held]
        while True:
            self._ready = []
            for hart in released:
                if hart.waiting and self.wakes(hart.number):
                    hart.waiting = False
                number = self.pending(hart.number)
                if number is not None:
                    self.take_interrupt(hart.number, number)
                if not hart.waiting:
                    self._ready.append(hart)
            now = self.mtime
            enabled = [
                self.mtimecmp[hart.number]
                for hart in released
                if hart.csrs[_CSR["mie"]] >> Interrupt.TIMER & 1 and self.mtimecmp[hart.number] > now
            ]
            self._timer = self.clock + min((moment - now for moment in enabled), default=_MASK64)
            if self._ready or not enabled:
                return bool(self._ready)
            self.clock = self._timer


_CSR = {csr.name: csr.address for csr in BY_ADDRESS.values()}


def _half(value: int, high: bool) -> int:
    return value >> 32 if high else value & 0xFFFF_FFFF


def start(
    parameters: ControllerParameters,
    image: bytes,
    harts: int,
    tohost: int | None = None,
    bus: Bus | None = None,
) -> Iss:
    """A simulator with `image` at the start of the memories and its first `harts` harts released there."""
    if not 1 <= harts <= parameters.harts:
        raise ConfigurationError(f"harts = {harts}: must be from 1 to {parameters.harts}")
    iss = Iss(parameters, bus)
    iss.load(IMEM_BASE, image)
    iss.tohost = tohost
    for hart in range(harts):
        iss.release(hart)
    return iss
