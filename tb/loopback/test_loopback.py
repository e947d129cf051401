# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of the agents on `loopback_tb.sv`: what they move, and what they must find."""

from __future__ import annotations

import cocotb
import numpy as np
import pyuvm
from cocotb.triggers import Timer
from pyuvm import ConfigDB, uvm_env, uvm_subscriber, uvm_test

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import (
    ALWAYS,
    NEVER,
    Beats,
    BurstDriver,
    BurstMonitor,
    StreamError,
    StreamReset,
    StreamTimeout,
    StreamUnknown,
    StreamViolation,
)
from assay.tb.agents.interrupt import Interrupt, InterruptTimeout
from assay.tb.agents.memory import MemoryPort
from assay.tb.agents.register import (
    RegisterAdapter,
    RegisterAgent,
    RegisterPort,
    RegisterTest,
    build_register_model,
)
from assay.tb.agents.request_response import request_format, response_format
from assay.tb.agents.sequence import ItemSequence
from assay.tb.agents.stream import Burst, StreamAgent, StreamConfig
from assay.tb.scoreboard import StreamScoreboard

CLOCK_NS = 10
FORMAT = BeatFormat([("data", 64), ("addr", 36)])
FAULTS = ("drop", "repeat", "unknown", "withdraw")


def beats_of(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return FORMAT.pack(data=rng.integers(0, 1 << 64, count, dtype=np.uint64), addr=np.arange(count))


async def reset(dut) -> None:
    dut.rst_ni.value = 0
    await Timer(35, "ns")
    dut.rst_ni.value = 1


async def clocks(count: int) -> None:
    await Timer(count * CLOCK_NS, "ns")


class Loopback:
    """Agents on every port of the bench; what they report is kept in ``errors``."""

    def __init__(self, dut, seed: int = 1) -> None:
        self.dut = dut
        self.errors: list[StreamError] = []
        self.out: list[Beats] = []
        self.tap: list[Beats] = []
        options = {"seed": seed, "on_error": self.errors.append}
        self.source = BurstDriver(
            dut, "in", dut.clk_i, FORMAT, clock_ns=CLOCK_NS, timeout_clocks=500, **options
        )
        self.sink = BurstMonitor(dut, "out", dut.clk_i, FORMAT, callback=self.out.append, **options)
        self.watch = BurstMonitor(dut, "tap", dut.clk_i, FORMAT, callback=self.tap.append, **options)
        self.request = BurstDriver(dut, "req", dut.clk_i, request_format(64, 16), **options)
        self.response = BurstMonitor(dut, "rsp", dut.clk_i, response_format(64), **options)
        for name in FAULTS:
            getattr(dut, f"fault_{name}_i").value = 0

    @classmethod
    async def start(cls, dut, seed: int = 1) -> Loopback:
        bench = cls(dut, seed)
        await reset(dut)
        return bench

    async def plant(self, fault: str, count: int = 1) -> None:
        """Switch a fault on for some clocks."""
        handle = getattr(self.dut, f"fault_{fault}_i")
        handle.value = 1
        await clocks(count)
        handle.value = 0

    async def finish(self) -> None:
        """Until the last beat has reached Python."""
        await self.source.drain()
        await clocks(200)

    def payload(self, of: list[Beats]) -> np.ndarray:
        return np.concatenate([beats.payload for beats in of])

    def cycles(self) -> np.ndarray:
        return np.concatenate([beats.cycles for beats in self.out]).astype(np.int64)


@cocotb.test
async def full_rate(dut):
    """Without stalls a beat passes in every clock, and nothing is altered."""
    bench = await Loopback.start(dut)
    beats = beats_of(1000)
    await bench.source.send(beats)
    await bench.finish()
    assert np.array_equal(bench.payload(bench.out), beats)
    assert np.array_equal(bench.payload(bench.tap), beats)
    assert (np.diff(bench.cycles()) == 1).all()
    assert [len(part) for part in bench.out[:3]] == [64, 64, 64]
    assert [part.first for part in bench.out[:3]] == [0, 64, 128]
    assert not bench.errors


@cocotb.test
async def back_to_back_sends(dut):
    """Sends of any length follow each other without a gap, from one task and from several."""
    bench = await Loopback.start(dut)
    lengths = [64, 2, 3, 65, 0, 128, 7, 64]
    parts = np.split(beats_of(sum(lengths)), np.cumsum(lengths)[:-1])
    jobs = [bench.source.enqueue(part) for part in parts[:4]]
    tasks = [cocotb.start_soon(bench.source.send(part)) for part in parts[4:]]
    for task in tasks:
        await task
    assert all(job.done.is_set() for job in jobs)
    await bench.finish()
    assert np.array_equal(bench.payload(bench.out), beats_of(sum(lengths)))
    assert (np.diff(bench.cycles()) == 1).all()
    assert bench.source.idle


@cocotb.test
async def random_stalls(dut):
    """Stalls on both sides lose nothing, come at the asked rate, and come again with the same seed."""
    seen = {}
    for seed in (7, 7, 8):
        bench = await Loopback.start(dut, seed)
        bench.source.stall, bench.sink.stall = 96, 64
        beats = beats_of(2000)
        await bench.source.send(beats)
        await bench.finish()
        assert np.array_equal(bench.payload(bench.out), beats)
        assert np.array_equal(bench.payload(bench.tap), beats)
        assert not bench.errors
        cycles = bench.cycles() - bench.cycles()[0]
        if seed in seen:
            assert np.array_equal(seen[seed], cycles)
        seen[seed] = cycles
        assert 0.55 < len(beats) / cycles[-1] < 0.65, "the source offers 160 of 256 clocks"
        bench.source.stall = bench.sink.stall = NEVER
    assert not np.array_equal(seen[7], seen[8])


@cocotb.test
async def sink_stalls_for_ever(dut):
    """A sink that never takes anything ends in a message, not in an endless run."""
    bench = await Loopback.start(dut)
    bench.sink.stall = ALWAYS
    task = cocotb.start_soon(bench.source.send(beats_of(300)))
    await clocks(1200)
    assert not task.done()
    (error, *_) = bench.errors
    assert isinstance(error, StreamTimeout)
    # Four beats lie in the device's FIFO.
    assert str(error) == "port in: beat 4 not accepted for 500 clocks"
    assert error.beat == 4
    bench.sink.stall = NEVER
    await task


@cocotb.test
async def source_stalls_for_ever(dut):
    """The same when the source itself withholds every beat."""
    bench = await Loopback.start(dut)
    bench.source.stall = ALWAYS
    await bench.source.send(beats_of(10))
    await clocks(1200)
    assert str(bench.errors[0]).startswith(
        "port in: beat 0 not accepted for 500 clocks (every beat is withheld"
    )


@cocotb.test
async def stall_setting_is_checked(dut):
    bench = await Loopback.start(dut)
    for wrong in (-1, 257):
        try:
            bench.sink.stall = wrong
        except ValueError as error:
            assert "from 0 to 256" in str(error)
        else:
            raise AssertionError("no error")


@cocotb.test
async def short_bursts_are_handed_over(dut):
    """A few beats reach Python after the sink's timeout, or at once when it is eager."""
    bench = await Loopback.start(dut)
    await bench.source.send(beats_of(3))
    await clocks(30)
    assert not bench.out
    await clocks(60)
    assert [len(part) for part in bench.out] == [3]
    bench.sink.eager = True
    await bench.source.send(beats_of(1))
    await clocks(12)
    assert [len(part) for part in bench.out] == [3, 1]
    bench.sink.eager = False


@cocotb.test
async def reset_in_flight(dut):
    """A reset drops what is in flight, on both sides and in the adapters; afterwards all is as new."""
    bench = await Loopback.start(dut)
    bench.source.stall = 128
    dropped = []

    async def send() -> None:
        try:
            await bench.source.send(beats_of(500, seed=2))
        except StreamReset as reason:
            dropped.append(str(reason))

    task = cocotb.start_soon(send())
    await clocks(333)
    dut.rst_ni.value = 0
    bench.source.flush()
    bench.sink.flush()
    await clocks(3)
    dut.rst_ni.value = 1
    await task
    assert dropped == ["port in: 500 beats were dropped by a reset"]
    bench.out.clear()
    bench.source.stall = NEVER
    beats = beats_of(100, seed=3)
    await bench.source.send(beats)
    await bench.finish()
    assert np.array_equal(bench.payload(bench.out), beats)
    assert bench.out[0].first == 0
    assert bench.source.idle
    assert not bench.errors


@cocotb.test
async def scoreboard_names_planted_faults(dut):
    """Lost and repeated beats and X, from the device's pins to the message."""
    four_state = "icarus" in cocotb.SIM_NAME.lower()
    for fault, kind in (("drop", "lost"), ("repeat", "repeated"), ("unknown", "unknown")):
        if fault == "unknown" and not four_state:
            continue
        bench = await Loopback.start(dut)
        board = StreamScoreboard("out", FORMAT, clock_ns=CLOCK_NS)
        bench.sink.add_callback(board.write)
        beats = beats_of(200)
        board.expect(beats)
        task = cocotb.start_soon(bench.source.send(beats))
        await clocks(41)
        await bench.plant(fault)
        await task
        await bench.finish()
        found = board.finish()[0]
        assert found.kind == kind, str(found)
        assert 30 < found.index < 50
        if fault == "unknown":
            (error, *_) = bench.errors
            assert isinstance(error, StreamUnknown)
            assert error.beat == found.index
            assert f"X on beat {found.index}: data[0], data[1]" in str(error)
            assert {error.port for error in bench.errors} == {"out", "tap"}  # the tap's came through its file
        else:
            assert not bench.errors


@cocotb.test
async def broken_handshake_is_reported(dut):
    """A device that withdraws valid before its beat was taken."""
    bench = await Loopback.start(dut)
    bench.sink.stall = ALWAYS
    await bench.source.send(beats_of(1))
    await clocks(20)
    assert not bench.errors
    await bench.plant("withdraw")
    await clocks(3)
    (error,) = bench.errors
    assert isinstance(error, StreamViolation)
    assert str(error).startswith("port out: a waiting beat was withdrawn")


@cocotb.test
async def interrupt_edges(dut):
    """The bench's interrupt says that the FIFO is full."""
    bench = await Loopback.start(dut)
    line = Interrupt(dut.irq_o, clock_ns=CLOCK_NS)
    await line.wait(0, 10)
    try:
        await line.wait(1, 20)
    except InterruptTimeout as error:
        assert str(error) == "interrupt irq_o: level 1 has not come for 20 clocks"
    else:
        raise AssertionError("no timeout")
    bench.sink.stall = ALWAYS
    await bench.source.send(beats_of(10))
    await line.wait(1, 50)
    bench.sink.stall = NEVER
    await line.wait(0, 50)
    assert line.raised >= 1
    assert line.edges[0].level == 1 and line.edges[0].time_ns > 0


@cocotb.test
async def memory_port(dut):
    """Words go in and come back, in any order and with stalls."""
    bench = await Loopback.start(dut)
    memory = MemoryPort(bench.request, bench.response, timeout_clocks=300, clock_ns=CLOCK_NS)
    bench.request.stall = bench.response.stall = 60
    rng = np.random.default_rng(5)
    words = rng.integers(0, 256, (256, 8), dtype=np.uint8)
    await memory.write(0, words)
    assert np.array_equal(await memory.read(0, 256), words)
    addresses = rng.permutation(256)[:100]
    first, second = cocotb.start_soon(memory.read_at(addresses)), cocotb.start_soon(memory.read(7, 3))
    assert np.array_equal(await first, words[addresses])
    assert np.array_equal(await second, words[7:10])
    await memory.write_at(addresses[:2], np.array([1, 1 << 63], np.uint64))
    assert (await memory.read_at(addresses[:2])).view("<u8").tolist() == [[1], [1 << 63]]
    await memory.drain()
    memory.check_finished()
    assert not bench.errors


@cocotb.test
async def lost_and_invented_answers(dut):
    """A read that is never answered, and an answer that nobody asked for."""
    bench = await Loopback.start(dut)
    memory = MemoryPort(bench.request, bench.response, timeout_clocks=300, clock_ns=CLOCK_NS)
    dut.fault_drop_i.value = 1
    try:
        await memory.read(0, 5)
    except StreamTimeout as error:
        assert str(error) == "port rsp: answer 0 of 5 reads has not come for 300 clocks: lost"
    else:
        raise AssertionError("the lost reads were not noticed")
    try:
        memory.check_finished()
    except StreamError as error:
        assert "5 reads were not answered" in str(error)
    else:
        raise AssertionError("outstanding reads were not noticed")
    memory.flush()
    await reset(dut)
    dut.fault_drop_i.value = 0
    await bench.request.send(bench.request.format.pack(wdata=0, addr=[1, 2], write=0))
    await clocks(100)
    assert [str(error) for error in bench.errors] == ["port rsp: beat 0 answers no read"]


class Bits:
    """A register field of the tests' own table."""

    def __init__(self, name: str, msb: int, lsb: int, access: str = "rw") -> None:
        self.name, self.msb, self.lsb, self.access = name, msb, lsb, access


class Row:
    """A register of the tests' own table."""

    def __init__(self, name: str, address: int, *fields: Bits) -> None:
        self.name, self.address, self.fields = name, address, fields


@cocotb.test
async def register_test(dut):
    """A memory keeps every bit: a table that says so passes, one with reserved or read-only bits does not."""
    bench = await Loopback.start(dut)
    port = RegisterPort(bench.request, bench.response, clock_ns=CLOCK_NS)
    await port.write_many(dict.fromkeys(range(8), 0))
    assert await port.read_many(range(8)) == [0] * 8
    full = [Row(f"r{i}", i, Bits("low", 31, 0), Bits("high", 63, 32)) for i in range(8)]
    test = RegisterTest(full, width=64)
    assert await test.run(port) == []
    assert test.values_compared == 8 * (len(test.patterns()) + 2)
    short = RegisterTest([*full[:5], Row("r5", 5, Bits("low", 9, 0), Bits("state", 63, 12, "ro"))], width=64)
    found = await short.run(port)
    assert found
    assert {mismatch.register for mismatch in found} == {"r5"}
    first = str(found[0])
    assert first.startswith("register r5 (0x05) after ones: expected 0x000003ff, seen 0xffffffffffffffff")
    assert first.endswith("wrong in state, reserved bits")
    kept_off = RegisterTest(short.table, width=64, keep_off=["r5"])
    assert await kept_off.run(port) == []
    # In a memory every address keeps what is written, so those beyond the table are found.
    some = RegisterTest(full[:6], width=64, addresses=range(8))
    found = await some.run(port)
    assert [(m.address, m.seen) for m in found] == [(6, 2**64 - 1), (7, 2**64 - 1)]


class Collector(uvm_subscriber):
    def build_phase(self):
        self.items = []

    def write(self, tt):
        self.items.append(tt)


class LoopbackEnv(uvm_env):
    """Agents as a bench declares them."""

    def build_phase(self):
        dut = cocotb.top
        for name, role in (("in", "source"), ("out", "sink"), ("tap", "tap")):
            config = StreamConfig(dut, name, dut.clk_i, FORMAT, role, seed=3, clock_ns=CLOCK_NS)
            ConfigDB().set(self, f"{name}_agent", "config", config)
        self.source = StreamAgent("in_agent", self)
        self.sink = StreamAgent("out_agent", self)
        self.tap = StreamAgent("tap_agent", self)
        self.request = BurstDriver(dut, "req", dut.clk_i, request_format(64, 16), clock_ns=CLOCK_NS)
        self.response = BurstMonitor(dut, "rsp", dut.clk_i, response_format(64))
        self.registers = RegisterAgent("registers", self)
        ConfigDB().set(
            self, "registers", "port", RegisterPort(self.request, self.response, clock_ns=CLOCK_NS)
        )
        self.collectors = [Collector(name, self) for name in ("sent", "received", "tapped")]

    def connect_phase(self):
        for agent, collector in zip((self.source, self.sink, self.tap), self.collectors, strict=True):
            agent.ap.connect(collector.analysis_export)


@pyuvm.test()
class UvmAgents(uvm_test):
    """Sequence -> sequencer -> driver -> device -> monitor -> subscriber, and the register model."""

    def build_phase(self):
        self.env = LoopbackEnv("env", self)

    async def run_phase(self):
        self.raise_objection()
        dut = cocotb.top
        for name in FAULTS:
            getattr(dut, f"fault_{name}_i").value = 0
        await reset(dut)
        await self.check_streams()
        await self.check_register_model()
        self.drop_objection()

    async def check_streams(self):
        env = self.env
        env.sink.bus.stall = 40
        items = [Burst("item", beats_of(count, seed=count)) for count in (5, 64, 130)]
        items.append(Burst.of(FORMAT, data=[1, 2], addr=3))
        await ItemSequence("items", items).start(env.source.seqr)
        await env.source.bus.drain()
        await clocks(200)
        sent, received, tapped = (collector.items for collector in env.collectors)
        assert sent == items
        whole = np.concatenate([item.payload for item in items])
        assert np.array_equal(np.concatenate([beats.payload for beats in received]), whole)
        assert np.array_equal(np.concatenate([beats.payload for beats in tapped]), whole)
        assert env.source.active() and env.sink.active() and not env.tap.active()

    async def check_register_model(self):
        table = [Row(f"r{i}", i, Bits("low", 7, 0), Bits("high", 31, 8)) for i in range(4)]
        model = build_register_model(table)
        model.get_default_map().set_sequencer(self.env.registers.seqr, RegisterAdapter())
        await model.r2.write(0x12345678)
        _, value = await model.r2.read()
        assert value == 0x12345678
        assert model.r2.low.get_mirrored_value() == 0x78
        model.r3.high.set(0xABC)
        await model.r3.update()
        assert await self.env.registers.driver.port.read_many([2, 3]) == [0x12345678, 0xABC00]
