# SPDX-License-Identifier: Apache-2.0
"""Register port: 32-bit (or other) words by address, a UVM register model, and a test of every field.

The design's register table is any object with the attributes of `RegisterLike`, such as the one in
``golden/<block>/registers.py``. This module holds no data of any register.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from cocotb.utils import get_sim_time
from pyuvm import (
    uvm_access_e,
    uvm_agent,
    uvm_driver,
    uvm_endianness_e,
    uvm_reg,
    uvm_reg_adapter,
    uvm_reg_block,
    uvm_reg_bus_op,
    uvm_reg_field,
    uvm_sequence_item,
    uvm_sequencer,
    uvm_status_e,
)

from assay.tb.agents.burst import StreamReset
from assay.tb.agents.request_response import RequestResponse


class FieldLike(Protocol):
    """Bits ``msb:lsb`` of a register; ``access`` is rw, ro, w1c (write one to clear) or wo (reads 0)."""

    @property
    def name(self) -> str: ...
    @property
    def msb(self) -> int: ...
    @property
    def lsb(self) -> int: ...
    @property
    def access(self) -> str: ...


class RegisterLike(Protocol):
    """One register at a word address. An attribute ``reset`` may give its value after reset (default 0)."""

    @property
    def name(self) -> str: ...
    @property
    def address(self) -> int: ...
    @property
    def fields(self) -> Sequence[FieldLike]: ...


class RegisterPort(RequestResponse):
    """Registers of up to 64 bits; see `RequestResponse` for the protocol, the arguments and lost accesses."""

    @property
    def width(self) -> int:
        """Bits of a register."""
        return self.response.format.width

    async def write_many(self, words: Mapping[int, int]) -> None:
        """Write word address -> word, in the mapping's order, as one job: without a gap between the beats."""
        await self.write_at(np.array(list(words), np.uint64), np.array(list(words.values()), np.uint64))

    async def read_many(self, addresses: Iterable[int]) -> list[int]:
        """The words at the given word addresses."""
        return await self._read_words(np.array(list(addresses), np.uint64))

    async def write(self, address: int, word: int) -> None:
        """Write one register."""
        await self.write_many({address: word})

    async def read(self, address: int) -> int:
        """Read one register."""
        return (await self.read_many([address]))[0]

    async def _read_words(self, addresses: np.ndarray) -> list[int]:
        return self.response.format.unpack(await self.read_at(addresses))["rdata"].tolist()


# ---------------------------------------------------------------------------------------------------------
# UVM register model


class RegisterItem(uvm_sequence_item):
    """One register access on a `RegisterAgent`; the driver fills `data` of a read, and `ok`."""

    def __init__(self, name: str, write: bool, address: int, data: int = 0) -> None:
        super().__init__(name)
        self.write = write
        self.address = address
        self.data = data
        self.ok = False

    def __str__(self) -> str:
        return f"{'write' if self.write else 'read'} 0x{self.address:02x} = 0x{self.data:08x}"


class RegisterDriver(uvm_driver):
    """Carries out `RegisterItem` accesses on ``port``, one after the other."""

    port: RegisterPort

    async def run_phase(self) -> None:
        while True:
            item: RegisterItem = await self.seq_item_port.get_next_item()
            try:
                if item.write:
                    await self.port.write(item.address, item.data)
                else:
                    item.data = await self.port.read(item.address)
                item.ok = True
            except StreamReset:
                item.ok = False
            self.seq_item_port.item_done()


class RegisterAgent(uvm_agent):
    """Sequencer and driver in front of a `RegisterPort`; the ConfigDB gives the port under ``port``.

    The streams below have agents of their own, and with them their monitors.
    """

    def build_phase(self) -> None:
        super().build_phase()
        self.seqr = uvm_sequencer("seqr", self)
        self.driver = RegisterDriver("driver", self)

    def connect_phase(self) -> None:
        super().connect_phase()
        self.driver.seq_item_port.connect(self.seqr.seq_item_export)

    def end_of_elaboration_phase(self) -> None:
        super().end_of_elaboration_phase()
        # Not earlier: the port is made from the stream agents' insides, after the build phase.
        self.driver.port = self.cdb_get("port")


class RegisterAdapter(uvm_reg_adapter):
    """Between pyuvm's register model and `RegisterItem`."""

    def __init__(self, name: str = "adapter", word_bytes: int = 4) -> None:
        super().__init__(name)
        self._word_bytes = word_bytes

    def reg2bus(self, rw: uvm_reg_bus_op) -> RegisterItem:
        return RegisterItem("access", rw.kind == uvm_access_e.UVM_WRITE, rw.addr // self._word_bytes, rw.data)

    def bus2reg(self, bus_item: RegisterItem, rw: uvm_reg_bus_op) -> None:
        rw.data = bus_item.data
        rw.status = uvm_status_e.UVM_IS_OK if bus_item.ok else uvm_status_e.UVM_NOT_OK


def build_register_model(
    table: Iterable[RegisterLike], name: str = "registers", width: int = 32
) -> uvm_reg_block:
    """A locked pyuvm register block made from a register table.

    Registers and fields are attributes by name (``model.mvustatus.done`` for the MVU). To use it:
    ``model.get_default_map().set_sequencer(agent.seqr, RegisterAdapter())``.

    Args:
        table: the registers; ``ro`` fields are taken as volatile.
        name: of the block.
        width: bits of a register.
    """
    word_bytes = width // 8
    block = uvm_reg_block(name)
    block.configure()
    default_map = block.create_map("map", 0, word_bytes, uvm_endianness_e.UVM_LITTLE_ENDIAN)
    block.set_default_map(default_map)
    default_map.set_auto_predict(True)
    for row in table:
        register = uvm_reg(row.name, width)
        register.configure(block)
        reset = getattr(row, "reset", 0)
        for bits in row.fields:
            size = bits.msb - bits.lsb + 1
            bit_field = uvm_reg_field(bits.name)
            bit_field.configure(
                register,
                size,
                bits.lsb,
                bits.access.upper(),
                bits.access == "ro",
                reset >> bits.lsb & (1 << size) - 1,
                has_reset=True,
                is_rand=False,
                individually_accessible=False,
            )
            setattr(register, bits.name, bit_field)
        default_map.add_reg(register, row.address * word_bytes)
        setattr(block, row.name, register)
    block.lock_model()
    block.reset()
    return block


# ---------------------------------------------------------------------------------------------------------
# Test of every field


@dataclass(frozen=True)
class RegisterMismatch:
    """A register that did not read as its table says."""

    step: str
    register: str
    address: int
    expected: int
    seen: int
    fields: str
    time_ns: float = -1

    def __str__(self) -> str:
        return (
            f"register {self.register} (0x{self.address:02x}) {self.step}: expected 0x{self.expected:08x}, "
            f"seen 0x{self.seen:08x}, wrong in {self.fields}"
        )


class RegisterTest:
    """Table-driven test of every field: value after reset, access type, reserved bits, address decoding.

    Every step writes all registers as one job and reads all back, each with the step's pattern rotated by its
    address, so that an access that lands on the wrong register shows.

    Args:
        table: the registers.
        width: bits of a register.
        keep_off: names of registers that are not written because that starts something.
        addresses: of the port; those without a register must read 0 and ignore writes.
        resets: names of registers -> values after reset that the table does not give, because the build does.
    """

    def __init__(
        self,
        table: Iterable[RegisterLike],
        width: int = 32,
        keep_off: Iterable[str] = (),
        addresses: Iterable[int] = (),
        resets: Mapping[str, int] | None = None,
    ) -> None:
        self.table = list(table)
        self.width = width
        self.keep_off = set(keep_off)
        self.unused = sorted(set(addresses) - {row.address for row in self.table})
        resets = resets or {}
        unknown = (self.keep_off | set(resets)) - {row.name for row in self.table}
        if unknown:
            raise ValueError(f"no register is called {', '.join(sorted(unknown))}")
        self.values_compared = 0
        self._model = {row.name: resets.get(row.name, getattr(row, "reset", 0)) for row in self.table}

    def patterns(self) -> list[tuple[str, int]]:
        """(name, word) of every write: zeros, ones, alternating, walking one and walking zero."""
        ones = (1 << self.width) - 1
        alternating = ones // 3
        walk = [1 << bit for bit in range(self.width)]
        return (
            [("zeros", 0), ("ones", ones), ("alternating", alternating), ("alternating", ones ^ alternating)]
            + [(f"walking one {bit}", word) for bit, word in enumerate(walk)]
            + [(f"walking zero {bit}", ones ^ word) for bit, word in enumerate(walk)]
        )

    async def run(self, port: RegisterPort) -> list[RegisterMismatch]:
        """Test a device just out of reset; afterwards every register that was written holds 0 again.

        Returns:
            every mismatch, in the order found; empty when all is well.
        """
        found = await self._compare(port, "after reset")
        found += await self._test_unused(port)
        written = [row for row in self.table if row.name not in self.keep_off]
        for name, pattern in [*self.patterns(), ("zeros again", 0)]:
            words = {row.address: self._rotate(pattern, row.address) for row in written}
            await port.write_many(words)
            for row in written:
                self._model[row.name] = self.predict(row, self._model[row.name], words[row.address])
            found += await self._compare(port, f"after {name}")
        return found

    async def _test_unused(self, port: RegisterPort) -> list[RegisterMismatch]:
        """Addresses without a register read 0, and writing them changes nothing."""
        if not self.unused:
            return []
        ones = (1 << self.width) - 1
        await port.write_many(dict.fromkeys(self.unused, ones))
        seen = await port.read_many(self.unused)
        self.values_compared += len(seen)
        found = [
            RegisterMismatch(
                "after ones", "without name", address, 0, word, "reserved bits", get_sim_time("ns")
            )
            for address, word in zip(self.unused, seen, strict=True)
            if word
        ]
        return found + await self._compare(port, "after writes to unused addresses")

    def predict(self, row: RegisterLike, before: int, written: int) -> int:
        """What `row` holds after `written` was written over `before`. Reserved bits are 0."""
        after = 0
        for bits in row.fields:
            mask = self._mask(bits)
            if bits.access == "rw":
                after |= written & mask
            elif bits.access == "w1c":
                after |= before & ~written & mask
            elif bits.access == "ro":
                after |= before & mask
            elif bits.access != "wo":
                raise ValueError(
                    f"{row.name}.{bits.name}: access {bits.access} must be one of rw, ro, w1c, wo"
                )
        return after

    async def _compare(self, port: RegisterPort, step: str) -> list[RegisterMismatch]:
        seen = await port.read_many(row.address for row in self.table)
        self.values_compared += len(seen)
        found = []
        for row, word in zip(self.table, seen, strict=True):
            expected = self._model[row.name]
            if word != expected:
                wrong = word ^ expected
                names = [bits.name for bits in row.fields if wrong & self._mask(bits)]
                if wrong & ~sum(self._mask(bits) for bits in row.fields):
                    names.append("reserved bits")
                found.append(
                    RegisterMismatch(
                        step, row.name, row.address, expected, word, ", ".join(names), get_sim_time("ns")
                    )
                )
        return found

    def _rotate(self, word: int, by: int) -> int:
        by %= self.width
        return (word << by | word >> (self.width - by)) & (1 << self.width) - 1

    @staticmethod
    def _mask(bits: FieldLike) -> int:
        return (1 << bits.msb + 1) - (1 << bits.lsb)
