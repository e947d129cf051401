# SPDX-License-Identifier: Apache-2.0
"""The items of the bench: tiles with their pixels, and the driver that carries them out and checks them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import cocotb
import numpy as np
from cocotb.task import Task
from cocotb.triggers import ClockCycles, SimTimeoutError, select, with_timeout
from cocotb.utils import get_sim_time
from pyuvm import uvm_driver, uvm_sequence_item

from assay.golden.pe_array.clocks import TileClocks, tile_clocks
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.registers import BY_NAME, ERRORS
from assay.golden.pe_array.tile import OutputBeats, Tile, pixel_packets, weight_packet
from assay.tb.agents.burst import StreamReset
from assay.tb.ahead import Promise, ahead
from assay.tb.bench import BenchStopped
from assay.tb.debug import AT, in_layer
from assay.tb.env import CLOCK_NS
from assay.tb.pe_array.env import PeArrayEnv, Word
from assay.tb.pe_array.steps import TileStep, step_of

STATUS = BY_NAME["status"]
CONTROL = BY_NAME["control"]
CLEAR = STATUS.field("tile_done").mask | STATUS.field("error").mask
#: Clocks without an output beat, beyond the tiles' own, after which the array counts as hung.
_HANG_CLOCKS = 50_000
#: How many times slower than its own clocks stalls may make a tile.
_SLOWEST = 64
#: Tiles behind the one that computes, at least so many with so many clocks and output beats: the array holds two, the
#: streams bring the next, and Python sees output in bursts, or late.
_COUNTED = ("busy_clocks", "blocked_clocks")  #: registers whose every clock is known if no stream waits
_MANY_TILES = 8  #: in a run: their clocks are computed beside the simulation
_TILES_AHEAD, _CLOCKS_AHEAD, _BEATS_AHEAD = 4, 4096, 192


#: What is wrong of the status -> the module that says so, and what of it.
_SUSPECTS = {
    "header": "pe_array_weights: which headers are refused",
    "weight_length": "pe_array_weights: where a weight packet ends, and what of it is dropped",
    "pixel_length": "pe_array_pixels: where a pixel packet ends, and what of it is dropped",
    "busy is": "pe_array: what makes it busy",
    "tile_done is": "pe_array: when a tile has ended",
    "the interrupt": "pe_array_regs: the interrupt",
    "tiles is": "pe_array: when a tile has ended",
    "busy_clocks": "pe_array: what makes it busy",
    "blocked_clocks": "pe_array_sequencer: when the array stands still",
    "": "pe_array_regs: the clearing of status",
}


def packet(content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A packet's beats uint8[n, bytes] with their tlast: uint8[n], of the last one 1."""
    last = np.zeros(len(content), np.uint8)
    last[-1:] = 1
    return content, last


class TileItem(uvm_sequence_item):
    """One tile, or only packets that must be dropped.

    Args:
        name: for messages, with the layer it belongs to.
        tile, pixels: as the golden array takes them; None when nothing is computed.

    Attributes:
        weight_packets, pixel_packets: (beats uint8[n, bytes], tlast uint8[n]) to send in this order; `of` gives the
            right ones, and a test may put wrong ones before or between them.
        weight_delay, pixel_delay: clocks that a stream rests before it sends the item's first beat.
        errors: names of the bits of status.error that the item sets.
        made: called with the golden array's output.
        locate: where in its layer a word (image, output row, output column, entry) belongs, for messages.
        find: the word at a place of the layer, axis name to number; None where it makes none there.
    """

    def __init__(
        self,
        name: str,
        tile: Tile | None = None,
        pixels: np.ndarray | None = None,
    ) -> None:
        super().__init__(name)
        self.tile = tile
        self.pixels = pixels
        self.weight_packets: list[tuple[np.ndarray, np.ndarray]] = []
        self.pixel_packets: list[tuple[np.ndarray, np.ndarray]] = []
        self.weight_delay = 0
        self.pixel_delay = 0
        self.errors: set[str] = set()
        self.made: Callable[[OutputBeats], None] = lambda beats: None
        self.locate: Callable[[Word], str] = lambda word: ""
        self.find: Callable[[Mapping[str, int]], Word | None] = lambda wanted: None

    @property
    def computed(self) -> tuple[Tile, np.ndarray]:
        """Tile and pixels of an item that has them."""
        assert self.tile is not None and self.pixels is not None, f"{self.get_name()} computes nothing"
        return self.tile, self.pixels

    @classmethod
    def of(cls, name: str, tile: Tile, pixels: np.ndarray, params: PeArrayParameters) -> TileItem:
        """The item of a legal tile with its right packets."""
        item = cls(name, tile, pixels)
        item.weight_packets.append(packet(weight_packet(tile, params)))
        packets = pixel_packets(tile, pixels, params)
        last = np.zeros(packets.shape[:2], np.uint8)
        last[:, -1] = 1
        item.pixel_packets.append((packets.reshape(-1, packets.shape[2]), last.reshape(-1)))
        return item


@dataclass
class _Feeder:
    """One stream's packets in order, each after its rest; a task of its own, so that streams do not wait for each
    other."""

    env: PeArrayEnv
    stream: str
    queue: deque[tuple[int, np.ndarray]] = field(default_factory=deque)
    task: Task | None = None

    def add(self, rest: int, packets: list[tuple[np.ndarray, np.ndarray]]) -> None:
        if not packets:
            return
        beats = [self.env.formats[self.stream].pack(data=content, last=last) for content, last in packets]
        self.queue.append((rest, np.concatenate(beats)))
        if self.task is None or self.task.done():
            self.task = cocotb.start_soon(self._run())

    async def _run(self) -> None:
        bus = self.env.agents[self.stream].bus
        while self.queue:
            rest, beats = self.queue.popleft()
            if rest:
                await ClockCycles(self.env.dut.clk_i, rest)
            try:
                # A burst of a single beat could make the next one late: the last one has two.
                for part in np.split(beats, [max(len(beats) - 2, 0)]):
                    job = bus.enqueue(part)
                await job.done.wait()
            except StreamReset:
                return

    def flush(self) -> None:
        self.queue.clear()
        if self.task is not None and not self.task.done():
            self.task.cancel()
        self.task = None

    @property
    def idle(self) -> bool:
        """Whether the adapter holds the last beat, or has passed it on."""
        return not self.queue and (self.task is None or self.task.done())


class TileDriver(uvm_driver):
    """Sends and checks `TileItem`s; the ConfigDB gives ``env``.

    Checked here, beside the beats that the scoreboard compares: status, count of tiles and interrupt after the last
    of several tiles, and that the array comes to rest.
    """

    def build_phase(self) -> None:
        super().build_phase()
        self.env: PeArrayEnv = self.cdb_get("env")
        self._feeders = {name: _Feeder(self.env, name) for name in ("wgt", "pix")}
        self.flush()

    def flush(self) -> None:
        """Forget everything about the device: it has been reset or cleared."""
        for feeder in self._feeders.values():
            feeder.flush()
        self.tiles = 0  # sent since reset or clear, and what the counter was set to
        self.counted = dict.fromkeys(_COUNTED, 0)  # registers when the last tile had ended
        self._run: (
            list[TileItem] | None
        ) = []  # since the last `finish`; None when something disturbed the streams
        self._ahead: deque[tuple[int, int]] = deque()  # clocks and beats of each tile that has not ended
        self._errors: set[str] = set()
        self._done = False  # a tile has ended since status was cleared
        self._rise: dict[str, int] | None = None  # of the registers since; None: it depends on the streams
        self._drained = True  # nothing was sent since everything came to its end

    async def run_phase(self) -> None:
        while True:
            item: TileItem = await self.seq_item_port.get_next_item()
            try:
                await self.play(item)
            except BenchStopped:
                return  # the test has been woken by the failure itself
            self.seq_item_port.item_done()

    async def play(self, item: TileItem) -> None:
        """Hand an item to the streams; returns when there is room for the next one."""
        await self.until(self._room)
        self.env.report.keep_step(partial(self._step, item))
        self._drained = False
        if item.tile is not None:
            tile, pixels = item.computed
            if AT and item.get_name() and in_layer(AT, item.get_name()):
                self.env.look_for(tile, item.find({key: int(n) for key, n in AT.items() if key != "layer"}))
            self.env.expect(item.get_name(), tile, pixels, item.locate, item.made)
            self.env.coverage.sample_tile(tile, self.env.params)
            self.tiles += 1
            self._done = True
            self._ahead.append((tile.packets * tile.step_clocks, tile.output_beats(self.env.params)))
        self._errors |= item.errors
        if item.tile is None or item.errors or item.weight_delay or item.pixel_delay or self.env.stalled:
            self._run = None
        elif self._run is not None:
            self._run.append(item)
        self.env.coverage.sample_errors(item.errors)
        self._feeders["wgt"].add(item.weight_delay, item.weight_packets)
        self._feeders["pix"].add(item.pixel_delay, item.pixel_packets)

    def _step(self, item: TileItem) -> TileStep:
        right = None
        if item.tile is not None:
            right = TileItem.of(item.get_name(), *item.computed, self.env.params)
        return step_of(item, right, self._drained, self.env.stalls)

    def _room(self) -> bool:
        """Whether the array may soon wait for another tile."""
        while len(self._ahead) > self.env.results.tiles_outstanding:
            self._ahead.popleft()
        behind = list(self._ahead)[1:]
        clocks, beats = (sum(tile[n] for tile in behind) for n in range(2))
        return len(behind) < _TILES_AHEAD or clocks < _CLOCKS_AHEAD or beats < _BEATS_AHEAD

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for a state of the scoreboard that output beats bring about."""
        while not reached():
            patience = _HANG_CLOCKS + sum(clocks for clocks, _ in self._ahead) * _SLOWEST
            self.env.progress.clear()
            try:
                await self.or_stop(with_timeout(self.env.progress.wait(), patience * CLOCK_NS, "ns"))
            except SimTimeoutError:
                results = self.env.results
                # The first missing beat was due behind the last one that came.
                moved = results.origin_ns + max(results.last_cycle, 0) * CLOCK_NS
                due = max(moved, get_sim_time("ns") - patience * CLOCK_NS)
                due_first = results.tiles[0][1].name if results.tiles else "none"
                self.env.fail(
                    f"no output beat for {patience} clocks, but {results.outstanding} beats of "
                    f"{results.tiles_outstanding} tiles are due, first those of {due_first}: the array hangs; "
                    f"{self._hung()}",
                    kind="hang",
                    time_ns=due,
                )
                raise BenchStopped from None

    def _hung(self) -> str:
        """The missing beats of each stream, for the message of a hang."""
        states = []
        for name, feeder in self._feeders.items():
            bus = self.env.agents[name].bus
            states.append(f"stream {name} {'is empty' if feeder.idle and bus.idle else 'waits'}")
        return ", ".join(states)

    async def sent(self, moving: bool = True) -> None:
        """Wait until the device has taken every packet handed over; `moving`: output comes meanwhile."""
        wait = self._moving if moving else self.or_stop
        for name, feeder in self._feeders.items():
            while not feeder.idle:
                assert feeder.task is not None  # for `add` starts it
                await wait(feeder.task)
            await wait(self.env.agents[name].bus.drain())

    async def drain(self) -> None:
        """As `sent`, and wait until every expected beat has come."""
        await self.sent()
        with self.env.eager("out"):
            await self.until(lambda: not self.env.results.outstanding)

    async def finish(self) -> None:
        """Wait for the end of everything handed over; then no output may follow, and the registers are checked."""
        env = self.env
        run = [item.computed[0] for item in self._run or ()]
        clocks = ahead(tile_clocks, run, env.params) if len(run) >= _MANY_TILES else None
        await self.drain()
        self.check_clocks(clocks or Promise(tile_clocks(run, env.params)))
        await self.or_stop(self.check_status())
        await env.settle(100)
        if env.failed.is_set():
            raise BenchStopped
        self._drained = True

    def check_clocks(self, formula: Promise[list[TileClocks]]) -> None:
        """Clock of every tile's last output beat, and of the first tile's first: those of the formula, exactly."""
        env, run = self.env, self._run
        self._run = []
        self._rise = None
        if not run or env.stalled or env.failed.is_set():
            return
        start = int(env.dut.start_o.value)
        clocks = formula.result()
        seen = [clock - start for clock in env.ended[-len(run) :]]
        env.report.clocks += seen[-1] + 1
        env.report.ideal_clocks += clocks[-1].outputs[1] + 1
        self._rise = {
            "busy_clocks": clocks[-1].outputs[1],
            "blocked_clocks": sum(tile.blocked for tile in clocks),
        }
        for item, ended, by_formula in zip(run, seen, clocks, strict=True):
            if ended != by_formula.outputs[1]:
                env.conclude()
                env.fail(
                    f"{item.get_name()}: its last output beat came in clock {ended} after the first weight beat; by "
                    f"the formula (golden.pe_array.clocks) it comes in clock {by_formula.outputs[1]}",
                    kind="clocks",
                    time_ns=env.results.origin_ns + (start + ended) * CLOCK_NS,
                )
                raise BenchStopped

    def forget_status(self) -> None:
        """The test itself has cleared status."""
        self._done = False
        self._errors = set()

    async def _moving(self, work: Coroutine[object, object, None] | Task) -> None:
        """Await the end of a stream, which stands still only as long as output comes."""
        task = work if isinstance(work, Task) else cocotb.start_soon(work)
        while not task.done():
            outstanding = self.env.results.outstanding
            if not outstanding:
                # Only packets that are dropped are left: the agent's own time-out watches them.
                await self.or_stop(task)
                break
            await self.until(partial(self._moved, outstanding, task))

    def _moved(self, outstanding: int, task: Task) -> bool:
        """Whether fewer beats are outstanding than these, or a stream has come to its end."""
        return self.env.results.outstanding < outstanding or task.done()

    async def or_stop(self, work: Coroutine[object, object, object] | Task) -> None:
        """Await `work` unless a failure is recorded meanwhile."""
        ended, result = await select(work, self.env.failed.wait())
        if ended == 1 or self.env.failed.is_set():
            raise BenchStopped
        return result

    async def check_status(self) -> None:
        """Status, interrupt and their clearing, the count of tiles, after the last of the tiles handed over."""
        env = self.env
        expected = {"busy": 0, "tile_done": int(self._done), "error": error_bits(self._errors)}
        await env.registers.write(CONTROL.address, CONTROL.encode({"irq_tile": 1, "irq_error": 1}))
        for _ in range(100):  # the last beat has left, but the device may take some clocks more to see it
            word = await env.registers.read(STATUS.address)
            if not STATUS.decode(word)["busy"]:
                break
        seen = STATUS.decode(word)
        wrong = [f"{n} is {seen[n]} instead of {expected[n]}" for n in expected if seen[n] != expected[n]]
        if env.interrupt.level != int(self._done or bool(self._errors)):
            wrong.append(f"the interrupt is {env.interrupt.level}")
        tiles = await env.registers.read(BY_NAME["tiles"].address)
        if tiles != self.tiles & 0xFFFF_FFFF:
            wrong.append(f"tiles is {tiles} instead of {self.tiles & 0xFFFF_FFFF}")
        counts = await env.registers.read_many(BY_NAME[name].address for name in _COUNTED)
        for name, count in zip(_COUNTED, counts, strict=True):
            rise = count - self.counted[name] & 0xFFFF_FFFF
            if self._rise is not None and rise != self._rise[name]:
                wrong.append(f"{name} has risen by {rise} instead of {self._rise[name]}")
            self.counted[name] = count
        await env.registers.write(STATUS.address, CLEAR)
        after = STATUS.decode(await env.registers.read(STATUS.address))
        wrong += [f"{n} is {after[n]} after clearing" for n in after if after[n]]
        await ClockCycles(env.dut.clk_i, 2)
        if env.interrupt.level != 0:
            wrong.append("the interrupt stays raised after clearing")
        self.forget_status()
        if wrong:
            env.fail(
                f"after {env.results.beats_compared} output beats status is 0x{word:08x}: {'; '.join(wrong)}",
                kind="status",
                time_ns=get_sim_time("ns"),
                cause=suspect(wrong, seen["error"] ^ expected["error"]),
            )


def suspect(wrong: Sequence[str], errors: int) -> str:
    """The module that a wrong status points at, and what of it; empty where nothing is wrong.

    Args:
        wrong: sentences that begin with what is wrong.
        errors: bits of status.error that are wrong.
    """
    for bit, (name, _) in enumerate(ERRORS):
        if errors >> bit & 1:
            return _SUSPECTS[name]
    return next((module for text in wrong for what, module in _SUSPECTS.items() if text.startswith(what)), "")


def error_bits(names: set[str]) -> int:
    """status.error with these errors."""
    return sum(1 << bit for bit, (name, _) in enumerate(ERRORS) if name in names)
