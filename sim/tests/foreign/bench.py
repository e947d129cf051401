# SPDX-License-Identifier: Apache-2.0
"""Benches of `foreign.sv`: what the library moves, and what it must find."""

import cocotb
import numpy as np
from cocotb.triggers import Event

from assay.tb.agents.burst import StreamTimeout
from assay.tb.bench import Finding
from assay.tb.layout import Field, planes
from assay.tb.stream_bench import (
    AxiLitePort,
    AxiMemoryPort,
    MemoryPort,
    PinPort,
    Port,
    StreamBench,
    axi_stream,
)


class Foreign(StreamBench):
    """What all of them share."""

    toplevel = "foreign"
    clock = "aclk"
    reset_pin = "aresetn"
    pins = {
        "bug_i": 0,
        "start": 0,
        "ce": 1,
        "mul_en": 0,
        "reg_we": 0,
        "bus_gnt": 0,
        "bus_rvalid": 0,
        "sum_start": 0,
        "obi_rvalid": 0,
        "slow_sel": 0,
        "dma_start": 0,
    }


# -------------------------------------------------------------------------------------------------
# AXI4-Stream
# -------------------------------------------------------------------------------------------------
class Requant(Foreign):
    inputs = {"x": axi_stream("s_axis", Field("s_axis_tdata", 32, signed=True, layout=planes))}
    outputs = {"y": axi_stream("m_axis", Field("m_axis_tdata", 8, signed=True, layout=planes))}

    def golden(self, x):
        return np.clip(x >> 8, 0, 127)

    def image(self):
        """Three channels in beats of two lanes: one lane of every second beat is not used."""
        return self.random("x", (3, 4, 5), -(1 << 16), 1 << 16)


@Requant.test
async def stream(self):
    """Tensors follow each other with stalls on both sides."""
    for _ in range(30):
        await self.play(x=self.image())


@Requant.test
async def full_rate(self):
    """Without stalls a beat passes in every clock."""
    self.stall(0)
    x = self.random("x", (2, 100))
    before = self.clocking.cycle
    await self.play(x=x)
    assert self.clocking.cycle - before <= 103


@Requant.test(
    finds=Finding("mismatch", "y[0, 1, 2] (lane 0) is 78 (0x4e) instead of 77 (0x4d)", "beat 14", "ns")
)
async def planted_value(self):
    """A wrong value is named by its coordinate, with both bit patterns."""
    self.set(bug_i=1)
    x = np.zeros((3, 4, 5), np.int64)
    x[0, 1, 2] = 77 << 8
    await self.play(x=x)


@Requant.test(finds=Finding("StreamTimeout", "port x: beat 0 waits for s_axis_tready", "y[0, 0, 0]"))
async def planted_stuck_input(self):
    """A block that never takes anything: the message says who waits."""
    self.set(bug_i=2)
    await self.play(x=self.image())


class Impatient(Requant):
    async def drain(self):
        await self.clocks(200)


@Impatient.test(finds=Finding("lost", "beat 40", "2 expected beats never came"))
async def planted_too_few(self):
    """Beats that never come, in a bench that does not wait for them."""
    await self.play(x=self.image())
    self.expect(y=np.zeros((3, 1, 1), int))


@Requant.test(finds=Finding("StreamTimeout", "stream y: beat 40 (y[0, 0, 0]", "has not come"))
async def planted_missing_beats(self):
    """Beats that never come while the test waits for them."""
    await self.play(x=self.image())
    self.expect(y=np.zeros((3, 1, 1), int))


@Requant.test(finds=Finding("unexpected", "after the last beat of y: 40 beats more than expected"))
async def planted_unexpected(self):
    """Beats that nobody expects."""
    await self.play(x=self.image())
    await self.send(x=self.image())


@Requant.test(finds=Finding("nothing compared"))
async def planted_nothing(self):
    """A test that plays nothing."""


class Unwritten(Requant):
    def golden(self, x):
        raise NotImplementedError


@Unwritten.test(finds=Finding("nothing compared", "the golden function of Unwritten is not written yet"))
async def planted_no_golden(self):
    """A bench as it is generated."""
    await self.play(x=self.image())


@Requant.test(skip=True)
async def agent_error(self):
    """An agent beside the bench's own, with the report as its ``on_error``: its error ends the test, which fails."""

    async def agent():
        await self.clocks(3)
        self.report.fail(StreamTimeout("x", "beat 0 not accepted for 3 clocks"))

    cocotb.start_soon(agent())
    await Event().wait()


@Requant.test
async def bad_tensors(self):
    """What does not fit is refused with the element's name."""
    for x, said in (
        (np.array([[1], [1 << 31]]), "x[1, 0] = 2147483648 does not fit into 32 bits, signed"),
        (np.array([[0.5]]), "x holds float64"),
    ):
        try:
            await self.play(x=x)
        except ValueError as error:
            assert said in str(error), str(error)
        else:
            raise AssertionError("no error")
    await self.play(x=self.image())


@Requant.test
async def resets(self):
    """A reset between plays: the next one counts from beat 0."""
    for _ in range(3):
        await self.play(x=self.image())
        await self.drain()
        await self.reset()
    await self.play(x=self.image())


# -------------------------------------------------------------------------------------------------
# Fixed latency
# -------------------------------------------------------------------------------------------------
class Multiplier(Foreign):
    enable = "ce"
    inputs = {
        "ab": Port({"a": Field("mul_a", signed=True), "b": Field("mul_b", signed=True)}, valid="mul_en")
    }
    outputs = {"q": Port(Field("mul_q", signed=True), latency=3, credits=4)}

    def golden(self, a, b):
        return a * b


@Multiplier.test
async def latency(self):
    """Outputs by their latency, a clock enable that stalls, and a buffer of four beats behind the output."""
    for _ in range(20):
        await self.play(a=self.random("a", (25,)), b=self.random("b", (25,)))


class Negator(Foreign):
    enable = "ce"
    inputs = {"n": Port(Field("neg_n", signed=True))}
    outputs = {"p": Port(Field("neg_p", signed=True), latency=1)}

    def golden(self, n):
        return -n


@Negator.test
async def no_handshake(self):
    """Neither valid nor ready: the clock enable and the latency say what is what."""
    for _ in range(10):
        await self.play(n=self.random("n", (20,)))


@Multiplier.test(finds=Finding("StreamOverflow", "port q: beat", "came while 4 beats waited", "clock"))
async def planted_no_credits(self):
    """Without the credits the buffer behind the output overflows."""
    self.drivers["ab"].allowed = lambda: True
    self.stall(0)
    sending = cocotb.start_soon(self.send(a=np.arange(100), b=np.arange(100)))
    await self.clocks(1)
    self.monitors["q"].stall = 200
    await sending


@Multiplier.test(finds=Finding("mismatch", "q[0] is 4 (0x0004) instead of 1 (0x0001)"))
async def planted_latency(self):
    """Another latency than the block's."""
    self.monitors["q"]._latency = 4
    self.stall(0)
    await self.play(a=np.arange(1, 11), b=np.arange(1, 11))


# -------------------------------------------------------------------------------------------------
# Memories, pins, a start pulse
# -------------------------------------------------------------------------------------------------
class Copier(Foreign):
    memories = {
        "sram": MemoryPort({"address": "sram_addr", "read_data": "sram_q"}, depth=256),
        "bus": MemoryPort(
            {
                "address": "bus_addr",
                "request": "bus_req",
                "grant": "bus_gnt",
                "write_enable": "bus_we",
                "write_data": "bus_wdata",
                "byte_enable": "bus_be",
                "response_valid": "bus_rvalid",
            },
            depth=200,
            byte_addresses=True,
            answers_writes=True,
        ),
    }

    async def copy(self, count, lanes=0b1111):
        before = self.memories["bus"].read(0, min(count, 200))
        words = self.rng.integers(0, 1 << 32, 256)
        self.memories["sram"].load(words)
        self.stall(int(self.rng.choice([0, 100, 200])))
        self.set(cfg_words=count, cfg_add=-3, cfg_be=lanes)
        await self.pulse("start")
        await self.wait_for("done")
        await self.clocks(2)
        mask = np.uint64(sum(0xFF << 8 * lane for lane in range(4) if lanes >> lane & 1))
        expected = ((words[:count] - 3) % (1 << 32)).astype(np.uint64) & mask | before & ~mask
        self.check("copied", self.memories["bus"].read(0, count), expected)


@Copier.test
async def memories(self):
    """A block that reads one memory and writes another, started by a pulse."""
    for count in (1, 17, 200):
        await self.copy(count)
    assert len(self.memories["bus"].accesses) == 218
    for lanes in (0b0110, 0b1000):
        await self.copy(20, lanes)


@Copier.test(finds=Finding("mismatch", "copied[5] is"))
async def planted_memory(self):
    """A wrong word in a memory."""
    self.set(bug_i=4)
    await self.copy(17)


@Copier.test(finds=Finding("StreamError", "port bus: address 0x320 is outside", "access 200", "clock"))
async def planted_outside(self):
    """An address beyond the memory ends the test at once."""
    await self.copy(201)


@Copier.test(finds=Finding("StreamTimeout", "done has not become 1 for 300 clocks"))
async def planted_never_done(self):
    """A pin that is awaited and does not come."""
    await self.wait_for("done", timeout_clocks=300)


class Summer(Foreign):
    memories = {
        "rom": MemoryPort(
            {"address": "rom_addr", "read_data": "rom_q", "request": "~rom_csb"}, depth=256, latency=0
        ),
        "obi": MemoryPort(
            {
                "address": "obi_addr",
                "request": "obi_req",
                "grant": "obi_gnt",
                "response_valid": "obi_rvalid",
                "response_ready": "obi_rready",
                "read_data": "obi_rdata",
            },
            depth=256,
            latency=3,
        ),
    }

    async def sum(self, count):
        for name in ("rom", "obi"):
            self.memories[name].load(self.rng.integers(0, 1 << 16, 256))
        self.stall(int(self.rng.choice([0, 128])))
        self.set(cfg_words=count)
        await self.pulse("sum_start")
        await self.wait_for("sum_done")
        await self.clocks(2)
        for name in ("rom", "obi"):
            expected = int(self.memories[name].read(0, count).sum())
            self.check(f"sum of {name}", [self.signal(f"{name}_sum").read_known()], [expected])


@Summer.test
async def read_memories(self):
    """A memory that answers in the same clock, and one with request, grant and a late answer."""
    for count in (1, 2, 100, 255):
        await self.sum(count)


class Dma(Foreign):
    memories = {"memory": AxiMemoryPort("m_axi", 0x200)}

    async def copy(self):
        words = self.rng.integers(0, 1 << 32, 8, np.uint32)
        self.memories["memory"].load(words)
        await self.pulse("dma_start")
        await self.wait_for("dma_done")
        self.check("copied", np.frombuffer(self.memories["memory"].read(0x100, 32), np.uint32), words)


@Dma.test
async def axi_memory(self):
    """A block that is the manager of an AXI4 port."""
    for stall in (0, 100, 200):
        self.stall(stall)
        await self.copy()


@Dma.test(
    finds=Finding("AxiError", "a write of 4 bytes at address 0x8100 is outside", "512 bytes", "access 1")
)
async def planted_axi_outside(self):
    """An address beyond the AXI4 memory."""
    self.set(bug_i=1)
    await self.copy()


# -------------------------------------------------------------------------------------------------
# Registers
# -------------------------------------------------------------------------------------------------
class Registers(Foreign):
    buses = {
        "axil": AxiLitePort("s_axil"),
        "pins": PinPort(
            {
                "address": "reg_addr",
                "write_enable": "reg_we",
                "write_data": "reg_wdata",
                "read_data": "reg_rdata",
            }
        ),
    }


@Registers.test
async def registers(self):
    """What is written through one port is read through the other."""
    self.stall(100)
    words = [int(w) for w in self.rng.integers(0, 1 << 32, 16)]
    for name, step in (("axil", 4), ("pins", 1)):
        bus, places = self.buses[name], [step * index for index in range(16)]
        await bus.write_many(dict(zip(places, words, strict=True)))
        self.check(f"all at once through {name}", await bus.read_many(places), words)
        words.reverse()
    for index, word in enumerate(words):
        if index % 2:
            await self.buses["axil"].write(4 * index, word)
        else:
            await self.buses["pins"].write(index, word)
    self.check("through AXI4-Lite", [await self.buses["axil"].read(4 * i) for i in range(16)], words)
    self.check("through pins", [await self.buses["pins"].read(i) for i in range(16)], words)


class Slow(Foreign):
    buses = {
        "slow": PinPort(
            {
                "address": "slow_addr",
                "select": "slow_sel",
                "write_enable": "slow_we",
                "write_data": "slow_wdata",
                "ready": "slow_ready",
                "read_valid": "slow_rvalid",
                "read_data": "slow_rdata",
            }
        )
    }


@Slow.test
async def wait_states(self):
    """A bus with wait states whose words come late."""
    words = {address: int(self.rng.integers(1 << 16)) for address in range(8)}
    await self.buses["slow"].write_many(words)
    self.check("registers", await self.buses["slow"].read_many(words), list(words.values()))
    await self.buses["slow"].write(3, 7)
    self.check("register 3", [await self.buses["slow"].read(3)], [7])


@Slow.test(finds=Finding("StreamTimeout", "bus slow: the write of address 0x5 waits for slow_ready"))
async def planted_bus_stuck(self):
    """A bus that never takes an access."""
    self.set(bug_i=2)
    await self.buses["slow"].write(5, 1)


@Registers.test(finds=Finding("AxiError", "port s_axil_b: a write of address 0x8 is answered SLVERR"))
async def planted_refusal(self):
    """A refused access ends the test."""
    self.set(bug_i=8)
    await self.buses["axil"].write(8, 1)
