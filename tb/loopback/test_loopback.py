# SPDX-License-Identifier: Apache-2.0
"""cocotb tests of the agents on `loopback_tb.sv`: what they move, and what they must find."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import cocotb
import numpy as np
from cocotb.triggers import Timer
from numpy.typing import ArrayLike
from pyuvm import uvm_factory, uvm_subscriber

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import (
    ALWAYS,
    NEVER,
    Beats,
    BeatUnknown,
    StreamError,
    StreamReset,
    StreamTimeout,
    StreamViolation,
    stream_seed,
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
from assay.tb.agents.stream import Burst, StreamDriver
from assay.tb.agents.words import RECORDING
from assay.tb.bench import EnvTest, Finding
from assay.tb.env import CLOCK_NS, Stream, StreamEnv
from assay.tb.scoreboard import StreamScoreboard
from assay.tb.stream_bench import BurstPort, Field, StreamBench

FORMAT = BeatFormat([("data", 64), ("addr", 36)])
FAULTS = ("drop", "repeat", "unknown", "withdraw")


def beats_of(count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return FORMAT.pack(data=rng.integers(0, 1 << 64, count, dtype=np.uint64), addr=np.arange(count))


async def clocks(count: int) -> None:
    await Timer(count * CLOCK_NS, "ns")


class LoopbackEnv(StreamEnv):
    """Agents on every port of the bench; what they report is kept in ``errors``, what they take in ``out`` and
    ``tap``."""

    def table(self) -> Mapping[str, Stream]:
        self.errors: list[StreamError] = []
        self.out: list[Beats] = []
        self.tap: list[Beats] = []
        kept = {"on_error": self.errors.append}
        return {
            "in": Stream("source", FORMAT, options={**kept, "timeout_clocks": 500}),
            "out": Stream("sink", FORMAT, receive=self.out.append, options=kept),
            "tap": Stream("tap", FORMAT, receive=self.tap.append, options=kept),
            "req": Stream("source", request_format(64, 16), options=kept),
            "rsp": Stream("sink", response_format(64), options=kept),
        }

    def connect_phase(self) -> None:
        super().connect_phase()
        self.source, self.sink = self.bus["in"], self.bus["out"]
        self.request, self.response = self.bus["req"], self.bus["rsp"]

    def quieten(self) -> None:
        for name in FAULTS:
            getattr(self.dut, f"fault_{name}_i").value = 0


class LoopbackTest(EnvTest):
    """A test of the agents."""

    toplevel = "loopback"
    environment = LoopbackEnv
    env: LoopbackEnv

    async def finish(self) -> None:
        """Every test has compared what it is about."""

    async def plant(self, fault: str, count: int = 1) -> None:
        """Switch a fault on for some clocks."""
        handle = getattr(self.dut, f"fault_{fault}_i")
        handle.value = 1
        await clocks(count)
        handle.value = 0

    async def arrived(self) -> None:
        """Until the last beat has reached Python."""
        await self.env.source.drain()
        await clocks(200)

    def equal(self, seen: ArrayLike, expected: ArrayLike) -> None:
        """Compare, and count it."""
        self.report.words_compared += np.size(expected)
        assert np.array_equal(seen, expected), f"seen {np.asarray(seen)}, expected {np.asarray(expected)}"

    def received(self, *taken: list[Beats]) -> np.ndarray:
        """The payload of what a port took, by default ``out``."""
        return np.concatenate([beats.payload for beats in (taken[0] if taken else self.env.out)])

    def cycles(self) -> np.ndarray:
        return np.concatenate([beats.cycles for beats in self.env.out]).astype(np.int64)


@LoopbackTest.test
async def full_rate(self: LoopbackTest) -> None:
    """Without stalls a beat passes in every clock, and nothing is altered."""
    env = self.env
    beats = beats_of(1000)
    await env.source.send(beats)
    await self.arrived()
    self.equal(self.received(), beats)
    self.equal(self.received(env.tap), beats)
    assert (np.diff(self.cycles()) == 1).all()
    assert [len(part) for part in env.out[:3]] == [64, 64, 64]
    assert [part.first for part in env.out[:3]] == [0, 64, 128]
    assert not env.errors


@LoopbackTest.test
async def back_to_back_sends(self: LoopbackTest) -> None:
    """Sends of any length follow each other without a gap, from one task and from several."""
    env = self.env
    lengths = [64, 2, 3, 65, 0, 128, 7, 64]
    parts = np.split(beats_of(sum(lengths)), np.cumsum(lengths)[:-1])
    jobs = [env.source.enqueue(part) for part in parts[:4]]
    tasks = [cocotb.start_soon(env.source.send(part)) for part in parts[4:]]
    for task in tasks:
        await task
    assert all(job.done.is_set() for job in jobs)
    await self.arrived()
    self.equal(self.received(), beats_of(sum(lengths)))
    assert (np.diff(self.cycles()) == 1).all()
    assert env.source.idle


@LoopbackTest.test
async def random_stalls(self: LoopbackTest) -> None:
    """Stalls on both sides lose nothing, come at the asked rate, and come again with the same seed."""
    env = self.env
    seen: dict[int, np.ndarray] = {}
    for seed in (7, 7, 8):
        for bus in (env.source, env.sink):
            bus.bus.seed.value = stream_seed(seed, bus.name)
        await env.reset()
        env.out.clear()
        env.tap.clear()
        env.source.stall, env.sink.stall = 96, 64
        beats = beats_of(2000)
        await env.source.send(beats)
        await self.arrived()
        self.equal(self.received(), beats)
        self.equal(self.received(env.tap), beats)
        assert not env.errors
        cycles = self.cycles() - self.cycles()[0]
        if seed in seen:
            self.equal(seen[seed], cycles)
        seen[seed] = cycles
        assert 0.55 < len(beats) / cycles[-1] < 0.65, "the source offers 160 of 256 clocks"
        env.source.stall = env.sink.stall = NEVER
    assert not np.array_equal(seen[7], seen[8])


@LoopbackTest.test
async def sink_stalls_for_ever(self: LoopbackTest) -> None:
    """A sink that never takes anything ends in a message, not in an endless run."""
    env = self.env
    env.sink.stall = ALWAYS
    task = cocotb.start_soon(env.source.send(beats_of(300)))
    await clocks(1200)
    assert not task.done()
    (error, *_) = env.errors
    assert isinstance(error, StreamTimeout)
    # Four beats lie in the device's FIFO.
    self.equal(str(error), "port in: beat 4 not accepted for 500 clocks")
    assert error.beat == 4
    env.sink.stall = NEVER
    await task


@LoopbackTest.test
async def source_stalls_for_ever(self: LoopbackTest) -> None:
    """The same when the source itself withholds every beat."""
    env = self.env
    env.source.stall = ALWAYS
    await env.source.send(beats_of(10))
    await clocks(1200)
    self.equal(
        str(env.errors[0]),
        "port in: beat 0 not accepted for 500 clocks (every beat is withheld: stall 256 of 256)",
    )


@LoopbackTest.test
async def stall_setting_is_checked(self: LoopbackTest) -> None:
    env = self.env
    for wrong in (-1, 257):
        try:
            env.sink.stall = wrong
        except ValueError as error:
            self.equal(str(error), f"port out: stall = {wrong}: must be from 0 to 256")
        else:
            raise AssertionError("no error")


@LoopbackTest.test
async def short_bursts_are_handed_over(self: LoopbackTest) -> None:
    """A few beats reach Python after the sink's timeout, or at once when it is eager."""
    env = self.env
    await env.source.send(beats_of(3))
    await clocks(30)
    assert not env.out
    await clocks(60)
    assert [len(part) for part in env.out] == [3]
    env.sink.eager = True
    await env.source.send(beats_of(1))
    await clocks(12)
    self.equal([len(part) for part in env.out], [3, 1])
    env.sink.eager = False


@LoopbackTest.test
async def reset_in_flight(self: LoopbackTest) -> None:
    """A reset drops what is in flight, on both sides and in the adapters; afterwards all is as new."""
    env = self.env
    env.source.stall = 128
    dropped = []

    async def send() -> None:
        try:
            await env.source.send(beats_of(500, seed=2))
        except StreamReset as reason:
            dropped.append(str(reason))

    task = cocotb.start_soon(send())
    await clocks(333)
    await env.reset()
    await task
    assert dropped == ["port in: 500 beats were dropped by a reset"]
    env.out.clear()
    env.source.stall = NEVER
    # As many as the last burst of what was dropped would have had.
    beats = beats_of(500 % 64, seed=3)
    await env.source.send(beats)
    await self.arrived()
    self.equal(self.received(), beats)
    assert env.out[0].first == 0
    assert env.source.idle
    assert not env.errors


@LoopbackTest.test
async def scoreboard_names_planted_faults(self: LoopbackTest) -> None:
    """Lost and repeated beats and X, from the device's pins to the message."""
    env = self.env
    faults = [("drop", "lost"), ("repeat", "repeated")]
    # Of what is recorded to be compared each simulator does the same, and Verilator knows no X.
    if "icarus" in cocotb.SIM_NAME.lower() and not RECORDING:
        faults.append(("unknown", "unknown"))
    for fault, kind in faults:
        await env.reset()
        env.out.clear()
        board = StreamScoreboard("out", FORMAT, clock_ns=CLOCK_NS)
        beats = beats_of(200)
        board.expect(beats)
        task = cocotb.start_soon(env.source.send(beats))
        await clocks(41)
        await self.plant(fault)
        await task
        await self.arrived()
        for part in env.out:
            board.write(part)
        found = board.finish()[0]
        self.equal(found.kind, kind)
        assert 30 < found.index < 50
        if fault == "unknown":
            (error, *_) = env.errors
            assert isinstance(error, BeatUnknown)
            assert error.beat == found.index
            assert f"X on beat {found.index}: data[0], data[1]" in str(error)
            assert {error.port for error in env.errors} == {"out", "tap"}  # the tap's came through its file
        else:
            assert not env.errors


@LoopbackTest.test
async def broken_handshake_is_reported(self: LoopbackTest) -> None:
    """A device that withdraws valid before its beat was taken."""
    env = self.env
    env.sink.stall = ALWAYS
    await env.source.send(beats_of(1))
    await clocks(20)
    assert not env.errors
    await self.plant("withdraw")
    await clocks(3)
    (error,) = env.errors
    assert isinstance(error, StreamViolation)
    self.equal(str(error), "port out: a waiting beat was withdrawn or altered before it was accepted")


@LoopbackTest.test
async def interrupt_edges(self: LoopbackTest) -> None:
    """The bench's interrupt says that the FIFO is full."""
    env = self.env
    line = Interrupt(self.dut.irq_o, clock_ns=CLOCK_NS)
    await line.wait(0, 10)
    try:
        await line.wait(1, 20)
    except InterruptTimeout as error:
        self.equal(str(error), "interrupt irq_o: level 1 has not come for 20 clocks")
    else:
        raise AssertionError("no timeout")
    env.sink.stall = ALWAYS
    await env.source.send(beats_of(10))
    await line.wait(1, 50)
    env.sink.stall = NEVER
    await line.wait(0, 50)
    assert line.raised >= 1
    assert line.edges[0].level == 1 and line.edges[0].time_ns > 0


@LoopbackTest.test
async def memory_port(self: LoopbackTest) -> None:
    """Words go in and come back, in any order and with stalls."""
    env = self.env
    memory = MemoryPort(env.request, env.response, timeout_clocks=300, clock_ns=CLOCK_NS)
    env.request.stall = env.response.stall = 60
    rng = np.random.default_rng(5)
    words = rng.integers(0, 256, (256, 8), dtype=np.uint8)
    await memory.write(0, words)
    self.equal(await memory.read(0, 256), words)
    addresses = rng.permutation(256)[:100]
    first, second = cocotb.start_soon(memory.read_at(addresses)), cocotb.start_soon(memory.read(7, 3))
    self.equal(await first, words[addresses])
    self.equal(await second, words[7:10])
    await memory.write_at(addresses[:2], np.array([1, 1 << 63], np.uint64))
    assert (await memory.read_at(addresses[:2])).view("<u8").tolist() == [[1], [1 << 63]]
    await memory.drain()
    memory.check_finished()
    assert not env.errors


@LoopbackTest.test
async def lost_and_invented_answers(self: LoopbackTest) -> None:
    """A read that is never answered, and an answer that nobody asked for."""
    env = self.env
    memory = MemoryPort(env.request, env.response, timeout_clocks=300, clock_ns=CLOCK_NS)
    self.dut.fault_drop_i.value = 1
    try:
        await memory.read(0, 5)
    except StreamTimeout as error:
        self.equal(str(error), "port rsp: answer 0 of 5 reads has not come for 300 clocks: lost")
    else:
        raise AssertionError("the lost reads were not noticed")
    try:
        memory.check_finished()
    except StreamError as error:
        assert "5 reads were not answered" in str(error)
    else:
        raise AssertionError("outstanding reads were not noticed")
    memory.flush()
    await env.reset()
    self.dut.fault_drop_i.value = 0
    await env.request.send(env.request.format.pack(wdata=0, addr=[1, 2], write=0))
    await clocks(100)
    assert [str(error) for error in env.errors] == ["port rsp: beat 0 answers no read"]


class Streams(StreamBench):
    """The loopback as a user's bench: a tensor in, the same tensor out, through the burst adapters."""

    toplevel = "loopback"
    clock = ""
    inputs: ClassVar = {"in": BurstPort({"x": Field("", 16, signed=True)}, {"x": 64, "unused": 36})}
    outputs: ClassVar = {"out": BurstPort({"y": Field("", 16, signed=True)}, {"y": 64, "unused": 36})}
    pins: ClassVar = {f"fault_{name}_i": 0 for name in FAULTS}

    def golden(self, x: np.ndarray) -> np.ndarray:
        return x


@Streams.test
async def tensors(self: Streams) -> None:
    """Tensors through the burst adapters; what comes is what the block made."""
    for _ in range(5):
        await self.play(x=self.random("x", (7, 11, 3)))
    x = self.random("x", (5, 5))
    assert np.array_equal((await self.predict(x=x))["y"], x)


@Streams.test(finds=Finding("lost", "y["))
async def planted_tensor_fault(self: Streams) -> None:
    """A beat that the device loses is named by its element."""
    self.stall(0)
    sending = cocotb.start_soon(self.play(x=self.random("x", (40, 40))))
    await self.clocks(50)
    self.set(fault_drop_i=1)
    await self.clocks(1)
    self.set(fault_drop_i=0)
    await sending


class Bits:
    """A register field of the tests' own table."""

    def __init__(self, name: str, msb: int, lsb: int, access: str = "rw") -> None:
        self.name, self.msb, self.lsb, self.access = name, msb, lsb, access


class Row:
    """A register of the tests' own table."""

    def __init__(self, name: str, address: int, *fields: Bits) -> None:
        self.name, self.address, self.fields = name, address, fields


@LoopbackTest.test
async def register_test(self: LoopbackTest) -> None:
    """A memory keeps every bit: a table that says so passes, one with reserved or read-only bits does not."""
    env = self.env
    port = RegisterPort(env.request, env.response, clock_ns=CLOCK_NS)
    await port.write_many(dict.fromkeys(range(8), 0))
    self.equal(await port.read_many(range(8)), [0] * 8)
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


class UvmEnv(LoopbackEnv):
    """Agents with a subscriber on each analysis port."""

    def build_phase(self) -> None:
        super().build_phase()
        self.register_agent = RegisterAgent("registers", self)
        self.collectors = {name: Collector(f"{name}_collector", self) for name in ("in", "out", "tap")}

    def connect_phase(self) -> None:
        super().connect_phase()
        for name, collector in self.collectors.items():
            self.agents[name].ap.connect(collector.analysis_export)
        self.registers = RegisterPort(self.request, self.response, clock_ns=CLOCK_NS)
        self.cdb_set("port", self.registers, "registers")


class CountingDriver(StreamDriver):
    """A driver that a test puts in the place of every source's."""

    made: ClassVar[list[str]] = []

    def build_phase(self) -> None:
        super().build_phase()
        self.made.append(self.get_full_name())


@LoopbackTest.test(name="UvmAgents")
class UvmTest(LoopbackTest):
    """Sequence -> sequencer -> driver -> device -> monitor -> subscriber, and the register model."""

    environment = UvmEnv

    def build_phase(self) -> None:
        CountingDriver.made.clear()
        uvm_factory().set_type_override_by_type(StreamDriver, CountingDriver)
        super().build_phase()

    async def body(self) -> None:
        self.equal(CountingDriver.made, [f"uvm_test_top.env.{name}.driver" for name in ("in", "req")])
        await self.check_streams()
        await self.check_register_model()

    async def check_streams(self):
        env = self.env
        env.sink.stall = 40
        items = [Burst("item", beats_of(count, seed=count)) for count in (5, 64, 130)]
        items.append(Burst.of(FORMAT, data=[1, 2], addr=3))
        await ItemSequence("items", items).start(env.agents["in"].seqr)
        await env.source.drain()
        await clocks(200)
        sent, received, tapped = (collector.items for collector in env.collectors.values())
        assert sent == items
        whole = np.concatenate([item.payload for item in items])
        self.equal(np.concatenate([beats.payload for beats in received]), whole)
        self.equal(np.concatenate([beats.payload for beats in tapped]), whole)
        assert [env.agents[name].active() for name in ("in", "out", "tap")] == [True, True, False]

    async def check_register_model(self):
        table = [Row(f"r{i}", i, Bits("low", 7, 0), Bits("high", 31, 8)) for i in range(4)]
        model = build_register_model(table)
        model.get_default_map().set_sequencer(self.env.register_agent.seqr, RegisterAdapter())
        await model.r2.write(0x12345678)
        _, value = await model.r2.read()
        assert value == 0x12345678
        assert model.r2.low.get_mirrored_value() == 0x78
        model.r3.high.set(0xABC)
        await model.r3.update()
        assert await self.env.registers.read_many([2, 3]) == [0x12345678, 0xABC00]
