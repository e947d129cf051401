# SPDX-License-Identifier: Apache-2.0
"""A whole bench in a few lines: tensors in, a golden function, tensors out, at the ports of any design.

    class Requant(StreamBench):
        clock, reset_pin = "aclk", "aresetn"
        inputs = {"x": axi_stream("s_axis", Field("s_axis_tdata", bits=32, signed=True))}
        outputs = {"y": axi_stream("m_axis", Field("m_axis_tdata", bits=8, signed=True))}

        def golden(self, x):
            return np.clip(x >> 8, 0, 127)

    @Requant.test
    async def random_tensors(self):
        for _ in range(20):
            await self.play(x=self.random("x", (6, 7, 8)))

Every port stalls at random from the seed, every beat is compared, X and leftovers fail, the first failure ends the test
with its place (tensor coordinate, lane, beat, bit pattern, time), and when nothing moves the message names who waits.
"""

from __future__ import annotations

import bisect
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import cocotb
import numpy as np
from cocotb.utils import get_sim_time

from assay.tb.agents.access import AxiLite, PinBus
from assay.tb.agents.axi_pins import AxiMemory, AxiPins, AxiPlace
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import BeatUnknown, BurstDriver, BurstMonitor, StreamError, StreamTimeout
from assay.tb.agents.clocking import Clocking, Reset, start_clock
from assay.tb.agents.interrupt import Interrupt
from assay.tb.agents.port import PortDriver, PortMonitor
from assay.tb.agents.responder import MemoryResponder
from assay.tb.agents.signals import Signal, find_signal, has_signal
from assay.tb.bench import BenchStopped, BenchTest
from assay.tb.debug import ACTIVE, StreamRecord
from assay.tb.layout import Field
from assay.tb.scoreboard import Mismatch
from assay.tb.stream_ports import (
    AxiLitePort,
    AxiMemoryPort,
    AxiPort,
    BurstPort,
    MemoryPort,
    PinPort,
    Port,
    axi_stream,
)
from assay.tb.tensor_scoreboard import KEEP, LAST, Packet, TensorFormat, TensorScoreboard
from assay.tb.watchdog import Watchdog

__all__ = [
    "AxiLitePort",
    "AxiMemoryPort",
    "AxiPort",
    "BurstPort",
    "Field",
    "MemoryPort",
    "PinPort",
    "Port",
    "StreamBench",
    "axi_stream",
]

NOTHING: Mapping[str, Any] = MappingProxyType({})
STALLS = (0, 0, 16, 64, 128, 200)  #: of which a test that sets none draws one for each port and play


class StreamBench(BenchTest):
    """The bench of one block; a subclass says what the block has, a test plays.

    Class attributes:
        clock: of the top, made by the bench; empty: the top makes its own, ``clk_i``.
        clock_ns: period.
        reset_pin, reset_active_low, reset_clocks: reset of the top (empty: none), its level (None: by its name), its
            length.
        enable: clock enable of the whole block; it stalls at random, and while it is low nothing passes.
        inputs, outputs: port name to `Port` or `BurstPort`.
        memories: name to `MemoryPort` or `AxiMemoryPort`. ``self.memories[name]`` is then a `MemoryResponder` or an
            `AxiMemory`, with ``load`` and ``read``.
        buses: name to `AxiLitePort`, `AxiPort` or `PinPort`. ``self.buses[name]`` then has ``write`` and ``read``.
        pins: configuration pins and their values at the start.
        quiet_clocks: without any move, while something waits, after which the test fails.

    Attributes:
        params: HDL parameters of the build.
        rng: numpy generator of this test.
        drivers, monitors, boards: by port name.
    """

    clock: str = "clk_i"
    clock_ns: float = 10
    reset_pin: str = "rst_ni"
    reset_active_low: bool | None = None
    reset_clocks: int = 5
    enable: str = ""
    inputs: ClassVar[Mapping[str, Port | BurstPort]] = NOTHING
    outputs: ClassVar[Mapping[str, Port | BurstPort]] = NOTHING
    # What a class declares becomes the agent of the same name in its tests.
    memories: Mapping[str, Any] = NOTHING
    buses: Mapping[str, Any] = NOTHING
    pins: ClassVar[Mapping[str, int]] = NOTHING
    quiet_clocks: int = 2_000

    # Any arguments: a bench names its own tensors.
    def golden(self, *arguments: Any, **tensors: Any) -> np.ndarray | Mapping[str, np.ndarray]:
        """What the block makes of the tensors of its inputs: the array of its one output, or tensor name to array."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------------
    # Construction
    # ---------------------------------------------------------------------------------------------
    def end_of_elaboration_phase(self) -> None:
        super().end_of_elaboration_phase()
        self.toplevel = self.toplevel or self.dut._name
        self.params: dict[str, int] = json.loads(os.environ.get("ASSAY_PARAMS", "{}"))
        self.rng = np.random.default_rng(self.seed)
        self._stall: int | None = None
        self._plays = 0
        self._credits = [n for n, port in self.outputs.items() if isinstance(port, Port) and port.credits]
        self._queued: Counter[str] = Counter()  # beats of each input so far
        self._segments: dict[str, list[tuple[int, int, int, int]]] = {}  # by output, see `_owed`
        self._signals: dict[str, Signal] = {}
        clock = find_signal(self.dut, self.clock or "clk_i")
        self._made_clock = start_clock(clock, self.clock_ns) if self.clock else None
        self._reset = Reset(self.signal(self.reset_pin), self.reset_active_low) if self.reset_pin else None
        self.clocking = Clocking(
            clock,
            self.clock_ns,
            enable=self.signal(self.enable) if self.enable else None,
            seed=self.seed,
            on_error=self.fail,
        )
        for name, value in self.pins.items():
            self.set(**{name: value})
        self._build_agents()
        self._watchdog = cocotb.start_soon(
            Watchdog(lambda: self._watched, self.quiet_clocks, self.clock_ns, self.fail).run()
        )

    def _build_agents(self) -> None:
        self.drivers: dict[str, PortDriver | BurstDriver] = {}
        self.monitors: dict[str, PortMonitor | BurstMonitor] = {}
        self.boards: dict[str, TensorScoreboard] = {}
        self._formats: dict[str, TensorFormat] = {}
        self._port_of: dict[str, str] = {}  # tensor to port
        for name, port in self.inputs.items():
            self.drivers[name] = self._driver(name, port)
            self._add_format(name, port, self.drivers[name].format)
        for name, port in self.outputs.items():
            self.monitors[name] = monitor = self._monitor(name, port)
            self._add_format(name, port, monitor.format)
            self.boards[name] = TensorScoreboard(
                self._formats[name], on_mismatch=self.fail, clock_ns=self.clock_ns
            )
            monitor.add_callback(self.boards[name].write)
        made: dict[str, MemoryResponder | AxiMemory] = {}
        for name, memory in self.memories.items():
            made[name] = self._memory(name, memory, made)
        self.memories = made
        if ACTIVE:
            for role, ports in (("source", self.inputs), ("sink", self.outputs)):
                for name, port in ports.items():
                    self.report.debug.streams.append(self._record(name, role, port))
        self.buses = {name: self._bus(name, port) for name, port in self.buses.items()}
        for driver in self.drivers.values():
            if isinstance(driver, PortDriver) and self._credits:
                driver.allowed = self._room

    def _record(self, name: str, role: str, port: Port | BurstPort) -> StreamRecord:
        """A port for who explains a failure."""
        if isinstance(port, BurstPort):
            return StreamRecord.of_burst(name, role, port.widths)
        fields = [
            (tensor if isinstance(field.signal, str) else signal, self.signal(signal).width, signal)
            for tensor, field in port.fields(name).items()
            for signal in ([field.signal] if isinstance(field.signal, str) else field.signal)
        ]
        handshake = port.valid.rstrip("?"), port.ready.rstrip("?")
        return StreamRecord(name, role, *handshake, fields, self.clock or "clk_i")

    def signal(self, name: str) -> Signal:
        """A signal of the top by its name; SignalMissing when there is none."""
        if name not in self._signals:
            self._signals[name] = Signal(self.dut, name)
        return self._signals[name]

    def _optional(self, name: str) -> Signal | None:
        """A signal by a name of `Port`: None where there is no name, or no signal of one that ends in ``?``."""
        bare = name.rstrip("?")
        if not name or (bare != name and not has_signal(self.dut, bare.removeprefix("~"))):
            return None
        return self.signal(bare)

    def _payload(self, name: str, port: Port) -> dict[str, Signal]:
        fields = {key: Signal(self.dut, one.signal) for key, one in port.fields(name).items()}
        for key, signal in ((KEEP, port.keep), (LAST, port.last)):
            found = self._optional(signal)
            if found is not None:
                fields[key] = found
        return fields

    def _driver(self, name: str, port: Port | BurstPort) -> PortDriver | BurstDriver:
        options: dict[str, Any] = {"seed": self.seed, "on_error": self.fail}
        if isinstance(port, BurstPort):
            beat_format = BeatFormat(port.widths.items())
            clock = self.clocking.clock
            return BurstDriver(self.dut, name, clock, beat_format, clock_ns=self.clock_ns, **options)
        for idle in port.idle:
            if (signal := self._optional(idle)) is not None:
                signal.write((1 << signal.width) - 1 if idle.rstrip("?").endswith("strb") else 0)
        handshake = self._optional(port.valid), self._optional(port.ready)
        return PortDriver(self.clocking, name, self._payload(name, port), *handshake, **options)

    def _monitor(self, name: str, port: Port | BurstPort) -> PortMonitor | BurstMonitor:
        options: dict[str, Any] = {"seed": self.seed, "on_error": self._output_error}
        if isinstance(port, BurstPort):
            return BurstMonitor(
                self.dut, name, self.clocking.clock, BeatFormat(port.widths.items()), **options
            )
        return PortMonitor(
            self.clocking,
            name,
            self._payload(name, port),
            self._optional(port.valid),
            self._optional(port.ready),
            latency=port.latency,
            follows=self.drivers.get(self._followed(name)),
            credits=port.credits,
            **options,
        )

    def _memory(
        self, name: str, port: MemoryPort | AxiMemoryPort, before: Mapping[str, Any]
    ) -> MemoryResponder | AxiMemory:
        options: dict[str, Any] = {"seed": self.seed, "on_error": self.fail}
        if isinstance(port, AxiMemoryPort):
            return AxiMemory(self._axi(port.prefix), size=port.size, on_error=self.fail)
        made = MemoryResponder(
            self.clocking,
            name,
            {role: self.signal(signal) for role, signal in port.signals.items()},
            port.depth,
            latency=port.latency,
            byte_addresses=port.byte_addresses,
            answers_writes=port.answers_writes,
            first=port.first,
            **options,
        )
        if port.shares:
            made.words = before[port.shares].words
        return made

    def _axi(self, prefix: str) -> AxiPlace:
        reset = find_signal(self.dut, self.reset_pin.removeprefix("~")) if self.reset_pin else None
        low = self._reset is not None and self._reset.active_low != self.reset_pin.startswith("~")
        return AxiPlace(self.dut, prefix, self.clocking.clock, reset, low, self.seed)

    def _bus(self, name: str, port: AxiLitePort | AxiPort | PinPort) -> AxiLite | AxiPins | PinBus:
        if isinstance(port, AxiPort):
            place = self._axi(port.prefix)
            return AxiPins(place, clock_ns=self.clock_ns, timeout_clocks=self.quiet_clocks)
        if isinstance(port, PinPort):
            signals = {role: self.signal(signal) for role, signal in port.signals.items()}
            return PinBus(self.clocking, name, signals, latency=port.latency, on_error=self.fail)
        return AxiLite(
            self.clocking,
            port.prefix,
            lambda signal: self._optional(f"{signal}?"),
            seed=self.seed,
            timeout_clocks=self.quiet_clocks,
            on_error=self.fail,
        )

    def _add_format(self, name: str, port: Port | BurstPort, beat_format: BeatFormat) -> None:
        fields = port.fields(name)
        self._formats[name] = TensorFormat(name, beat_format, fields, port.packet_beats)
        for tensor in fields:
            if tensor in self._port_of:
                raise ValueError(f"two ports carry a tensor {tensor}: {self._port_of[tensor]} and {name}")
            self._port_of[tensor] = name

    # ---------------------------------------------------------------------------------------------
    # What a test says
    # ---------------------------------------------------------------------------------------------
    async def predict(self, **tensors: np.ndarray) -> dict[str, np.ndarray]:
        """`play`, until the last beat has come; gives the outputs as the block made them, by tensor name."""
        await self.drain()
        for board in self.boards.values():
            board.kept = []
        expected = await self._play(tensors)
        await self.drain()
        made: dict[str, np.ndarray] = {}
        for name, packet in expected.items():
            made |= self._formats[name].tensors(packet, np.concatenate(self.boards[name].kept or []))
        for board in self.boards.values():
            board.kept = None
        return made

    async def play(self, **tensors: np.ndarray) -> None:
        """Send tensors and expect what `golden` makes of them; returns when the block has taken the last beat.

        Args:
            tensors: by name, of all inputs or of some.

        Raises:
            ValueError: an unknown tensor, an element that does not fit, or a layout of another shape.
        """
        await self._play(tensors)

    async def _play(self, tensors: Mapping[str, np.ndarray]) -> dict[str, Packet]:
        """`play`; gives the packets that are expected, by port."""
        packets = self._packets(tensors, self.drivers)
        try:
            made = self.golden(**tensors)
        except NotImplementedError:
            self.fail(
                f"the golden function of {type(self).__mro__[1].__name__} is not written yet, so nothing was compared",
                kind="nothing compared",
            )
            raise BenchStopped from None
        if not isinstance(made, Mapping):
            (only, *more) = [t for t, port in self._port_of.items() if port in self.boards] or [""]
            if more or not only:
                raise ValueError(
                    f"golden gives one array for the outputs {[only, *more]}: a dictionary by tensor is needed"
                )
            made = {only: made}
        expected = self.expect(**made)
        self._note_segments(packets, expected)
        self._draw_stalls()
        await self._send(packets)
        return expected

    def expect(self, **tensors: np.ndarray) -> dict[str, Packet]:
        """Let the outputs' scoreboards await these tensors next."""
        packets = self._packets(tensors, self.boards)
        for name, packet in packets.items():
            self.boards[name].expect_packet(packet, f"play {self._plays}" if self._plays else "")
        self._plays += 1
        return packets

    async def send(self, **tensors: np.ndarray) -> None:
        """Send tensors without any expectation; returns when the block has taken the last beat."""
        self._draw_stalls()
        await self._send(self._packets(tensors, self.drivers))

    async def drain(self) -> None:
        """Wait until every expected beat has come."""
        for driver in self.drivers.values():
            await driver.drain()
        eager = [m for m in self.monitors.values() if isinstance(m, BurstMonitor)]
        for monitor in eager:
            monitor.eager = True
        while any(board.outstanding for board in self.boards.values()):
            await self.clocks(4)
        for monitor in eager:
            monitor.eager = False

    async def clocks(self, count: int) -> None:
        """Wait for so many clocks."""
        await self.clocking.clocks(count)

    def set(self, **pins: int) -> None:
        """Drive configuration pins; ValueError when a value does not fit."""
        for name, value in pins.items():
            signal = self.signal(name)
            if not -(1 << signal.width - 1) <= value < 1 << signal.width:
                raise ValueError(f"pin {name} = {value} does not fit into {signal.width} bits")
            signal.write(value & ((1 << signal.width) - 1))

    async def pulse(self, pin: str, clocks: int = 1) -> None:
        """Drive a pin with 1 for so many clocks, then with 0: a start pulse."""
        await self.clocks(1)
        self.set(**{pin: 1})
        await self.clocks(clocks)
        self.set(**{pin: 0})

    async def wait_for(self, pin: str, value: int = 1, timeout_clocks: int | None = None) -> None:
        """Wait until an output pin has a value.

        Raises:
            StreamTimeout: it has not come within so many clocks (by default ten times `quiet_clocks`).
        """
        signal = self.signal(pin)
        limit = timeout_clocks or 10 * self.quiet_clocks
        for _ in range(limit):
            if signal.read_known() == value:
                return
            await self.clocks(1)
        said = f"{pin} has not become {value} for {limit} clocks; it is {signal.read()[0]}"
        raise StreamTimeout(pin, said, quiet_ns=limit * self.clock_ns)

    def interrupt(self, pin: str) -> Interrupt:
        """Watch an interrupt line."""
        return Interrupt(find_signal(self.dut, pin), clock_ns=self.clock_ns)

    def stall(self, probability: int) -> None:
        """Let every port stall with this probability in 1/256 from now on, instead of one drawn for each play."""
        self._stall = probability
        self._draw_stalls()

    def random(
        self, tensor: str, shape: tuple[int, ...], low: int | None = None, high: int | None = None
    ) -> np.ndarray:
        """A random tensor of an input: elements from `low` to `high`, both included, by default all that fit: half of
        them uniform, a part of every magnitude, and the two ends."""
        field = self._formats[self._port_of[tensor]].fields[tensor]
        least, most = field.range
        low, high = least if low is None else low, most if high is None else high
        if field.bits > 63:
            drawn = [
                low + int.from_bytes(self.rng.bytes(field.bits // 8 + 1), "little") % (high - low + 1)
                for _ in range(int(np.prod(shape)))
            ]
            return np.array(drawn, object).reshape(shape)
        values = self.rng.integers(low, high, shape, np.int64, endpoint=True)
        # Of a wide field almost all values are large; what saturates or rounds shows at the magnitudes between.
        sizes = self.rng.integers(0, field.bits, shape, np.int64)
        small = np.clip(values >> sizes, low, high)
        ends = self.rng.choice(np.array([low, high]), shape)
        kind = self.rng.random(shape)
        return np.where(kind < 1 / 16, ends, np.where(kind < 1 / 2, small, values))

    def check(self, what: str, seen: np.ndarray, expected: np.ndarray, locate: str = "") -> None:
        """Compare an array, as a memory that the block has written, element by element.

        Args:
            what: name, for the message.
            locate: more of the place, for the message.
        """
        seen, expected = np.asarray(seen), np.asarray(expected)
        if seen.shape != expected.shape:
            self.fail(f"{what} has the shape {list(seen.shape)} instead of {list(expected.shape)}")
            raise BenchStopped
        self.report.words_compared += seen.size
        self.report.values_compared += seen.size
        unlike = np.argwhere(seen != expected)
        if len(unlike):
            at = tuple(unlike[0].tolist())
            self.conclude()
            self.fail(
                f"{what}{list(at)} is {seen[at]} instead of {expected[at]}{locate and ', '}{locate}; "
                f"{len(unlike)} of {seen.size} are wrong",
                kind="mismatch",
                expected=str(expected[at]),
                seen=str(seen[at]),
                time_ns=get_sim_time("ns"),
            )
            raise BenchStopped

    # ---------------------------------------------------------------------------------------------
    # What BenchTest asks for
    # ---------------------------------------------------------------------------------------------
    @property
    def scoreboards(self) -> Iterable[TensorScoreboard]:
        return self.boards.values()

    async def reset(self) -> None:
        """Reset the block and drop what is in flight; memories and pins keep their values."""
        self.clocking.running = False
        if self._reset is not None:
            self._reset.write(True)
        await self.clocks(1)
        for agent in (*self.drivers.values(), *self.monitors.values(), *self._agents):
            agent.flush()
        for board in self.boards.values():
            board.flush()
        self._segments.clear()
        self._queued.clear()
        await self.clocks(self.reset_clocks)
        if self._reset is not None:
            self._reset.write(False)
        self.clocking.running = True
        await self.clocks(1)
        for name, board in self.boards.items():
            board.origin_ns = self.clocking.origin_ns
            if isinstance(self.monitors[name], BurstMonitor):  # its clocks are the bench top's
                cycle = self.signal("cycle_o").read_known() or 0
                board.origin_ns = get_sim_time("ns") - (cycle + 0.5) * self.clock_ns

    async def finish(self) -> None:
        await self.drain()
        # Beats that nobody expects come, if they come, soon.
        await self.clocks(50)
        for bus in self.buses.values():
            bus.check_finished()
        for name, board in self.boards.items():
            if board.beats_compared or board.outstanding or self.monitors[name].received:
                self.report.add_scoreboard(board)
        self.report.clocks += self.clocking.cycle

    def fail(self, failure: Mismatch | StreamError | str, **details: object) -> None:
        if isinstance(failure, StreamTimeout):
            self.conclude()  # a wrong beat may be the cause
        super().fail(failure, **details)

    def conclude(self) -> None:
        """Let the scoreboards report what they have found so far."""
        for board in self.boards.values():
            board.conclude()

    # ---------------------------------------------------------------------------------------------
    @property
    def _agents(self) -> list[MemoryResponder | AxiMemory | AxiLite | AxiPins | PinBus]:
        return [*self.memories.values(), *self.buses.values()]

    @property
    def _watched(self) -> list[Any]:
        ports = [d for d in self.drivers.values() if isinstance(d, PortDriver)]
        return [*ports, *self._agents, *self.boards.values()]

    def _output_error(self, error: StreamError) -> None:
        """X within a beat is left to the scoreboard, which knows the element, and the lanes that mean nothing."""
        if not isinstance(error, BeatUnknown):
            self.fail(error)

    def _packets(self, tensors: Mapping[str, np.ndarray], ports: Mapping[str, object]) -> dict[str, Packet]:
        """Port name to the packet of its tensors."""
        by_port: dict[str, dict[str, np.ndarray]] = {}
        for name, tensor in tensors.items():
            port = self._port_of.get(name, "")
            if port not in ports:
                known = [t for t, p in self._port_of.items() if p in ports]
                raise ValueError(f"no tensor {name!r} here: {', '.join(known)}")
            by_port.setdefault(port, {})[name] = np.asarray(tensor)
        return {port: self._formats[port].packet(given) for port, given in by_port.items()}

    async def _send(self, packets: Mapping[str, Packet]) -> None:
        jobs = []
        for name, packet in packets.items():
            self._queued[name] += len(packet.beats)
            jobs.append(self.drivers[name].enqueue(packet.beats))
        for job in jobs:
            await job.done.wait()

    def _draw_stalls(self) -> None:
        stalling: list[Any] = [*self.drivers.values(), *self.monitors.values(), *self.memories.values()]
        stalling += [bus for bus in self.buses.values() if not isinstance(bus, PinBus)]
        stalling += [self.clocking] if self.clocking.has_enable else []
        for agent in stalling:
            agent.stall = int(self.rng.choice(STALLS)) if self._stall is None else self._stall

    def _followed(self, output: str) -> str:
        """The input whose beats cause those of an output: the one it names, else the first."""
        port = self.outputs[output]
        return (port.follows if isinstance(port, Port) else "") or next(iter(self.inputs), "")

    def _note_segments(self, sent: Mapping[str, Packet], expected: Mapping[str, Packet]) -> None:
        """Remember which beats of an input cause which of an output with credits."""
        for output in self._credits:
            source = self._followed(output)
            if source in sent and output in expected:
                made = len(expected[output].beats)
                first = self.boards[output].promised - made
                segment = (self._queued[source], len(sent[source].beats), first, made)
                self._segments.setdefault(output, []).append(segment)

    def _room(self) -> bool:
        """Whether what one more beat of an input causes fits behind every output with credits."""
        return all(self.monitors[output].room(self._owed(output)) for output in self._credits)

    def _owed(self, output: str) -> int:
        """Beats of an output that are on their way, at most, once one more beat of its input is accepted."""
        accepted = self.drivers[self._followed(output)].beats
        segments = self._segments.get(output, [])
        at = bisect.bisect_right(segments, accepted, key=lambda one: one[0]) - 1
        if at < 0:
            return 1
        first, count, base, made = segments[at]
        done = min(accepted + 1 - first, count)
        return base - (-done * made // max(count, 1)) - self.monitors[output].received
