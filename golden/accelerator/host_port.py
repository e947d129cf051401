# SPDX-License-Identifier: Apache-2.0
"""Golden model of the host port: what each beat of an AXI4 burst does, and how it is answered.

The model has no clocks. `HostPort` decides by addresses, `SystemRegisters` keeps the registers of unit `SYSTEM_UNIT`,
and `golden.accelerator.transposer.TransposerStream` turns beats into words. Whoever watches an accelerator gives it the
events in their order: see tb/accelerator_host. The contract is docs/accelerator.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.registers import (
    BEAT_BYTES,
    BY_NAME,
    DATA_STRIDE,
    PARAMETER_WINDOWS,
    REGISTERS,
    RESPONSES,
    SYSTEM_UNIT,
    WINDOWS,
    Window,
    constants,
)
from assay.golden.controller import memory_map

__all__ = ["Beat", "Burst", "HostPort", "Kind", "Operation", "Request", "SystemRegisters", "find_window"]

OKAY, SLVERR, DECERR = RESPONSES["OKAY"], RESPONSES["SLVERR"], RESPONSES["DECERR"]
FIXED, INCR = 0, 1  #: AxBURST; WRAP and the reserved one are refused
WORD_BYTES = 4
_BY_ADDRESS = {register.address: register for register in REGISTERS}


def find_window(address: int) -> Window | None:
    """The window that a byte address is in."""
    return next((window for window in WINDOWS if address in window), None)


class Request(NamedTuple):
    """An address of AW or AR: AxID, AxADDR, beats, log2 of a beat's bytes, AxBURST."""

    id: int
    address: int
    beats: int
    size: int
    burst: int

    def beat_address(self, number: int) -> int:
        """Address of a beat: of an INCR burst `size` bytes after the one before, of any other the first one."""
        step = 1 << self.size if self.burst == INCR else 0
        return (self.address + number * step) % (1 << 32)

    @property
    def aligned(self) -> bool:
        """Whether the address is a multiple of the beat's size."""
        return self.address % (1 << self.size) == 0


class Kind(StrEnum):
    """What an operation goes to."""

    REGISTER = "register"
    CONTROLLER = "word of the controller"
    MEMORY = "word of the data memory"
    PARAMETER = "parameter"


class Operation(NamedTuple):
    """Something that a beat does.

    Attributes:
        kind: what it goes to.
        unit: MVU, or `SYSTEM_UNIT`; 0 for the controller.
        address: number of the register, byte address at the controller, word of a memory.
        write: else it reads.
        data: that is written, in as many bits as the place has.
        select, lane: of a parameter.
    """

    kind: Kind
    unit: int
    address: int
    write: bool
    data: int = 0
    select: int = 0
    lane: int = 0

    def __str__(self) -> str:
        where = "the system" if self.unit == SYSTEM_UNIT else f"MVU {self.unit}"
        if self.kind is Kind.CONTROLLER:
            place = f"{self.kind} at 0x{self.address:08x}"
        elif self.kind is Kind.PARAMETER:
            name = PARAMETER_WINDOWS[self.select]
            place = f"lane {self.lane} of entry {self.address} of the {name} of {where}"
        elif self.kind is Kind.REGISTER and self.unit == SYSTEM_UNIT and self.address in _BY_ADDRESS:
            place = f"register {_BY_ADDRESS[self.address].name} of {where}"
        else:
            place = f"{self.kind} 0x{self.address:x} of {where}"
        return f"a write of 0x{self.data:x} to {place}" if self.write else f"a read of {place}"


class Beat(NamedTuple):
    """What a beat does.

    Attributes:
        resp: as far as addresses and strobes decide; the controller's answers come on top.
        operations: in order. Of a read of words: the lower half's first; None stands for a word that nobody has.
        stream: it is a beat of the transposer's stream.
    """

    resp: int
    operations: tuple[Operation | None, ...] = ()
    stream: bool = False


@dataclass
class Burst:
    """A burst under way.

    Attributes:
        window: it began in.
        load: MVUs that its weights, scalers or biases go to.
        opened: the transposer has taken it.
    """

    request: Request
    window: Window | None
    load: int = 0
    opened: bool = False


@dataclass(frozen=True)
class HostPort:
    """The port of one build."""

    params: AcceleratorParameters

    def to_transposer(self, request: Request) -> bool:
        """Whether a burst asks the transposer for its stream: it begins there and is legal but for the stream."""
        window = find_window(request.address)
        return window is not None and window.name == "transposer" and self._shape_is_legal(request, window)

    @staticmethod
    def stream_beats(request: Request) -> int:
        """Beats of a burst of the transposer that lie in its window."""
        window = find_window(request.address)
        return sum(find_window(request.beat_address(n)) is window for n in range(request.beats))

    @staticmethod
    def _shape_is_legal(request: Request, window: Window) -> bool:
        return request.burst in (FIXED, INCR) and request.aligned and 1 << request.size in window.beats

    def _place(self, burst: Burst, number: int) -> tuple[int, Window | None, int]:
        """Response, window and address of a beat, before its strobes are looked at."""
        address = burst.request.beat_address(number)
        window = find_window(address)
        if window is None or window is not burst.window:
            return DECERR, None, address
        if not self._shape_is_legal(burst.request, window):
            return SLVERR, None, address
        offset = (address - window.base) // BEAT_BYTES
        if window.name == "data":
            mvu, word = divmod(offset, DATA_STRIDE // BEAT_BYTES)
            there = mvu < self.params.mvus and word < self.params.mvu.data_depth
        elif window.name in PARAMETER_WINDOWS:
            depth = (
                self.params.mvu.weight_depth if window.name == "weights" else self.params.mvu.channel_depth
            )
            there = burst.load != 0 and offset // self.params.mvu.lanes < depth
        else:
            there = window.name != "transposer" or burst.opened
        return (OKAY, window, address) if there else (SLVERR, None, address)

    def write_beat(self, burst: Burst, number: int, data: int, strobes: int) -> Beat:
        """A beat of a write burst; `data` of 64 bits, `strobes` of 8."""
        resp, window, address = self._place(burst, number)
        if window is None:
            return Beat(resp)
        words = window.name not in (*PARAMETER_WINDOWS, "data", "transposer")
        covered = []
        for half in (0, 1):
            part = strobes >> 4 * half & 0xF
            own = 1 << burst.request.size == BEAT_BYTES or address // WORD_BYTES % 2 == half
            if part not in (0, 0xF) or (part and not own):
                return Beat(SLVERR)
            if part:
                covered.append(half)
        if not words and len(covered) == 1:
            return Beat(SLVERR)
        if not covered:
            return Beat(OKAY)
        if words:
            return self._words(window, address, {half: data >> 32 * half & 0xFFFFFFFF for half in covered})
        if window.name == "transposer":
            return Beat(OKAY, stream=True)
        lanes, mvus = self.params.mvu.lanes, range(self.params.mvus)
        if window.name == "data":
            return Beat(OKAY, (self._memory(address, True, data & (1 << lanes) - 1),))
        entry, lane = divmod((address - window.base) // BEAT_BYTES, lanes)
        select = PARAMETER_WINDOWS.index(window.name)
        value = data & (1 << max(lanes, 32)) - 1
        return Beat(
            OKAY,
            tuple(
                Operation(Kind.PARAMETER, mvu, entry, True, value, select, lane)
                for mvu in mvus
                if burst.load >> mvu & 1
            ),
        )

    def read_beat(self, burst: Burst, number: int) -> Beat:
        """A beat of a read burst."""
        resp, window, address = self._place(burst, number)
        if window is None:
            return Beat(resp)
        if window.access == "wo":
            return Beat(SLVERR)
        if window.name == "transposer":
            return Beat(OKAY, stream=True)
        if window.name == "data":
            return Beat(OKAY, (self._memory(address, False, 0),))
        halves = (0, 1) if 1 << burst.request.size == BEAT_BYTES else (address // WORD_BYTES % 2,)
        return self._words(window, address, dict.fromkeys(halves))

    def _memory(self, address: int, write: bool, data: int) -> Operation:
        window = find_window(address)
        assert window is not None
        mvu, offset = divmod(address - window.base, DATA_STRIDE)
        return Operation(Kind.MEMORY, mvu, offset // BEAT_BYTES, write, data)

    def _words(self, window: Window, address: int, halves: dict[int, int | None]) -> Beat:
        """Accesses of 32-bit words: `halves` of the beat at `address`, with what is written."""
        operations: list[Operation | None] = []
        resp = OKAY
        for half, data in halves.items():
            byte = address // BEAT_BYTES * BEAT_BYTES + WORD_BYTES * half
            write, value = data is not None, data or 0
            if window.name in ("system", "registers"):
                unit, offset = SYSTEM_UNIT, byte - window.base
                if window.name == "registers":
                    unit, offset = divmod(offset, memory_map.MVU_STRIDE)
                if unit != SYSTEM_UNIT and unit >= self.params.mvus:
                    resp = SLVERR
                    operations.append(None)
                else:
                    operations.append(Operation(Kind.REGISTER, unit, offset // WORD_BYTES, write, value))
            else:
                operations.append(Operation(Kind.CONTROLLER, 0, byte, write, value))
        return Beat(resp, tuple(operations))


@dataclass
class SystemRegisters:
    """The registers of unit `SYSTEM_UNIT`, but for `clocks` and `tr_status`, which others know.

    Attributes:
        values: name to word.
    """

    params: AcceleratorParameters
    values: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.values = {register.name: 0 for register in REGISTERS}
        self.values |= {name: value & 0xFFFFFFFF for name, value in constants(self.params).items()}

    def write(self, address: int, word: int, host: bool) -> str:
        """Write register `address`; gives its name, empty when there is none."""
        register = _BY_ADDRESS.get(address)
        if register is None:
            return ""
        name = register.name
        if name in ("finished", "failed"):
            bits = word & self.every
            self.values[name] = self.values[name] & ~bits if host else self.values[name] | bits
        elif name in ("irq_enable", "load_mvus"):
            self.values[name] = word & self.every
        elif name.startswith("tr_") and name != "tr_status":
            fields = register.decode(word)
            if name == "tr_mvus":
                fields["write"] &= self.every
            self.values[name] = register.encode(fields)
        return name

    def read(self, address: int, clocks: int, status: int) -> int:
        """Word of register `address`: 0 when there is none.

        Args:
            clocks: since the reset, for `clocks` and `clocksh`.
            status: what `tr_status` has.
        """
        register = _BY_ADDRESS.get(address)
        if register is None:
            return 0
        if register.name in ("clocks", "clocksh"):
            return clocks >> (32 if register.name == "clocksh" else 0) & 0xFFFFFFFF
        return status if register.name == "tr_status" else self.values[register.name]

    @property
    def every(self) -> int:
        """The mask of all MVUs, or harts."""
        return (1 << self.params.mvus) - 1

    @property
    def interrupt(self) -> bool:
        """Whether the host is called."""
        enable = self.values["irq_enable"]
        return bool(enable and self.values["finished"] & enable == enable) or self.values["failed"] != 0

    def field(self, register: str, name: str) -> int:
        """A field of a register."""
        return BY_NAME[register].decode(self.values[register])[name]
