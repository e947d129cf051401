# SPDX-License-Identifier: Apache-2.0
"""Environment of the PE array's bench: one stream agent for each port, front ends, golden array, scoreboard."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from cocotb.triggers import ClockCycles, Event, Timer
from cocotb.utils import get_sim_time
from pyuvm import uvm_env, uvm_subscriber

from assay.golden.pe_array.functional import explain, outputs
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.registers import ADDRESS_WIDTH, ArrayOp, LaneOp, Rescaling
from assay.golden.pe_array.tile import OutputBeats, Tile, output_packets, read_output
from assay.tb.agents.burst import NEVER, Beats, StreamError, StreamUnknown
from assay.tb.agents.interrupt import Interrupt
from assay.tb.agents.register import RegisterAgent, RegisterPort
from assay.tb.agents.request_response import request_format, response_format
from assay.tb.agents.stream import BeatFormat, StreamAgent, StreamConfig
from assay.tb.pe_array.coverage import PeArrayCoverage
from assay.tb.report import Report
from assay.tb.scoreboard import StreamScoreboard

CLOCK_NS = 10  #: as pe_array_tb.sv makes it
SOURCES = ("reg_req", "wgt", "pix")
SINKS = ("reg_rsp", "out")
WAITS = ("wgt", "pix", "out")
Word = tuple[int, int, int, int]  #: of a tile's output: image, output row, output column, entry
#: A third tile's weights wait until a whole tile is computed: a stuck tile is the driver's report.
_WEIGHTS_TIMEOUT = 50_000_000


def build_parameters() -> PeArrayParameters:
    """Parameters of the build under test, from the runner."""
    return PeArrayParameters.of_rtl(json.loads(os.environ.get("ASSAY_PARAMS", "{}")))


def port_formats(params: PeArrayParameters) -> dict[str, BeatFormat]:
    """Payload of every stream, as in docs/pe_array.md."""
    return {
        "reg_req": request_format(32, ADDRESS_WIDTH),
        "reg_rsp": response_format(32),
        "wgt": BeatFormat([("data", params.weight_bits), ("last", 1)]),
        "pix": BeatFormat([("data", params.pixel_bits), ("last", 1)]),
        "out": BeatFormat([("data", params.output_bits), ("keep", params.lanes * params.rows), ("last", 1)]),
    }


def read_beats(payload: np.ndarray, params: PeArrayParameters) -> OutputBeats:
    """Beats of the output stream, uint8[n, bytes] as an agent takes them, as the golden array gives them."""
    bits = np.unpackbits(np.ascontiguousarray(payload), axis=1, bitorder="little")
    words = params.lanes * params.rows
    data, keep, last = np.split(
        bits[:, : params.output_bits + words + 1], (params.output_bits, params.output_bits + words), axis=1
    )
    shape = (len(payload), params.lanes, params.rows)
    return OutputBeats(
        read_output(np.packbits(data, axis=1, bitorder="little"), params),
        keep.astype(bool).reshape(shape),
        last.astype(bool).reshape(-1),
    )


class Subscriber(uvm_subscriber):
    """Hands what an analysis port publishes to `receive`."""

    receive: Callable[[Beats], None]

    def write(self, item: Beats) -> None:
        self.receive(item)


@dataclass(frozen=True, eq=False)
class Expectation:
    """What a tile must put out, and how to speak about it.

    Attributes:
        name: of the tile, with its layer.
        tile, pixels: as the golden array takes them.
        locate: where in its layer a word belongs.
        beats: uint8[n, bytes], as the stream carries them.
        values: words with tkeep.
    """

    name: str
    tile: Tile
    pixels: np.ndarray
    locate: Callable[[Word], str]
    beats: np.ndarray
    values: int

    def place(self, index: int, params: PeArrayParameters) -> tuple[int, int, int, int]:
        """Image, row block, output column and group of entries of a beat."""
        index, group = divmod(index, self.tile.groups(params))
        index, column = divmod(index, self.tile["extent.output_columns"])
        image, block = divmod(index, self.tile["repeat.row_blocks"])
        return image, block, column, group


class OutputScoreboard(StreamScoreboard):
    """Beats of many tiles on one stream; names a beat by the tile it belongs to."""

    def __init__(
        self, name: str, beat_format: BeatFormat, params: PeArrayParameters, **options: object
    ) -> None:
        super().__init__(name, beat_format, locate=self._locate, explain=self._explain, **options)
        self.params = params
        self._tiles: list[tuple[int, Expectation]] = []  # each with its first beat
        self._promised = 0
        self._values = 0  # of the tiles no longer held

    @property
    def values_compared(self) -> int:
        """Words with tkeep in the tiles of which every beat has been compared."""
        self._release()
        return self._values

    @property
    def tiles_outstanding(self) -> int:
        """Tiles of which some beat has not been seen so far."""
        self._release()
        return len(self._tiles)

    def expect_tile(self, tile: Expectation) -> None:
        """Append the beats of one tile."""
        self._tiles.append((self._promised, tile))
        self._promised += len(tile.beats)
        self.expect(tile.beats)

    def flush(self) -> None:
        super().flush()
        self._release()
        self._promised = self.beats_compared
        self._tiles.clear()

    def _release(self) -> None:
        """Forget the tiles that came whole; after a mismatch its tile must stay."""
        while self._tiles and not self.mismatches:
            first, tile = self._tiles[0]
            if self.beats_compared < first + len(tile.beats):
                break
            self._values += tile.values
            self._tiles.pop(0)

    def _tile(self, index: int) -> tuple[int, Expectation] | None:
        """The tile a beat belongs to, and the beat's index in it."""
        for first, tile in reversed(self._tiles):
            if index >= first:
                return index - first, tile
        return None

    def _locate(self, index: int) -> str:
        found = self._tile(index)
        if found is None:
            return ""
        index, at = found
        if index >= len(at.beats):
            return f"after the last beat of {at.name}"
        rows, lanes, width = self.params.rows, self.params.lanes, self.params.data_width
        image, block, column, group = at.place(index, self.params)
        first, last = group * lanes, min((group + 1) * lanes, at.tile["entries"]) - 1
        return (
            f"{at.name}, image {image}, output rows {block * rows} to {block * rows + rows - 1}, column {column}, "
            f"entries {first} to {last} (data[(q*{rows} + r)*{width}] is entry {first} + q, row {block * rows} + r)"
        )

    def _explain(self, index: int, unlike: np.ndarray) -> str:
        found = self._tile(index)
        fields = {name for name, bits in self.format.unpack(unlike[None]).items() if bits.any()}
        if found is None or fields == {"last"}:
            return "only tlast is unlike: the tile ends too early or too late"
        index, at = found
        p = self.params
        # The first unlike word: of data, or where only tkeep is unlike, of that.
        bits = np.flatnonzero(np.unpackbits(unlike, bitorder="little")[: self.format.width])
        first = int(bits[0])
        word = first // p.data_width if first < p.output_bits else first - p.output_bits
        lane, row = divmod(word, p.rows)
        text = explain(at.tile, at.pixels, index, lane, row, p)
        image, block, column, group = at.place(index, p)
        where = at.locate((image, block * p.rows + row, column, group * p.lanes + lane))
        where = f"lane {lane}, array row {row}{where and f', {where}'}"
        if first >= p.output_bits:
            return f"{where}: tkeep is unlike; {text}"
        return f"{where}: {text}, seen {self._word(at.beats[index] ^ unlike, word)} ({_mode(at.tile)})"

    def _word(self, beat: np.ndarray, word: int) -> str:
        width = self.params.data_width
        number = int.from_bytes(beat.tobytes(), "little") >> word * width & (1 << width) - 1
        return f"0x{number:0{width // 4}x}"


def _mode(tile: Tile) -> str:
    """What elements and lanes do in a tile, for messages."""
    words = [ArrayOp(tile["mode.array_op"]).name, LaneOp(tile["mode.lane_op"]).name]
    words.append(Rescaling(tile["mode.rescaling"]).name)
    words += [name for name in ("subtract", "count_divide", "table", "softmax") if tile[f"mode.{name}"]]
    return ", ".join(words).lower().replace("_", " ")


class PeArrayEnv(uvm_env):
    """Agents of all ports and what stands behind them. The ConfigDB gives ``dut`` and ``report``.

    Attributes:
        agents: stream name to `StreamAgent`.
        registers: front end of the request/response streams.
        interrupt: the irq line.
        results: scoreboard of ``out``.
        ended: clock of every tile's last beat since reset, in order.
    """

    def build_phase(self) -> None:
        super().build_phase()
        self.dut = self.cdb_get("dut")
        self.report: Report = self.cdb_get("report")
        self.params = build_parameters()
        self.formats = port_formats(self.params)
        self.agents: dict[str, StreamAgent] = {}
        for name, role in {**dict.fromkeys(SOURCES, "source"), **dict.fromkeys(SINKS, "sink")}.items():
            config = StreamConfig(
                self.dut,
                name,
                self.dut.clk_i,
                self.formats[name],
                role,
                seed=self.report.seed,
                clock_ns=CLOCK_NS,
                on_error=self._out_error if name == "out" else self.fail,
            )
            if name == "wgt":
                config.timeout_clocks = _WEIGHTS_TIMEOUT
            self.cdb_set("config", config, name)
            self.agents[name] = StreamAgent(name, self)
        self.register_agent = RegisterAgent("registers", self)
        self.subscriber = Subscriber("out_subscriber", self)
        self.coverage = PeArrayCoverage()
        self.ended: list[int] = []
        self.failed = Event()
        self.progress = Event()

    def connect_phase(self) -> None:
        super().connect_phase()
        self.results = OutputScoreboard(
            "out", self.formats["out"], self.params, on_mismatch=self.fail, clock_ns=CLOCK_NS
        )
        self.subscriber.receive = self._beats_came
        self.agents["out"].ap.connect(self.subscriber.analysis_export)
        bus = {name: agent.bus for name, agent in self.agents.items()}
        self.registers = RegisterPort(bus["reg_req"], bus["reg_rsp"], clock_ns=CLOCK_NS, on_error=self.fail)
        self.cdb_set("port", self.registers, "registers")
        self.interrupt = Interrupt(self.dut.irq_o, clock_ns=CLOCK_NS)
        # An answer is awaited, so it must not wait for a full burst.
        bus["reg_rsp"].eager = True

    @property
    def scoreboards(self) -> tuple[StreamScoreboard, ...]:
        """All of them."""
        return (self.results,)

    def fail(self, failure: object, **details: object) -> None:
        """Record a failure and wake the test, which ends: what follows a first difference is noise."""
        self.report.fail(failure, **details)
        self.failed.set()

    async def reset(self) -> None:
        """Reset device and bench: everything in flight is dropped."""
        self.dut.rst_ni.value = 0
        await ClockCycles(self.dut.clk_i, 3)
        self.registers.flush()
        for name in ("wgt", "pix", "out"):
            self.agents[name].flush()
        self.results.flush()
        self.ended.clear()
        self.dut.rst_ni.value = 1
        await ClockCycles(self.dut.clk_i, 2)
        # The bench's clock counter starts again with the reset.
        self.results.origin_ns = get_sim_time("ns") - int(self.dut.cycle_o.value) * CLOCK_NS

    def stall(self, probability: int) -> None:
        """Let every port stall with this probability in 1/256."""
        for name in (*SOURCES, *SINKS):
            self.agents[name].bus.stall = probability

    @property
    def stalled(self) -> bool:
        """Whether a stream of packets or results stalls."""
        return any(self.agents[name].bus.stall != NEVER for name in ("wgt", "pix", "out"))

    def waits(self) -> dict[str, int]:
        """Clocks since reset in which a beat of a stream waited to be taken."""
        return {name: int(getattr(self.dut, f"{name}_waits_o").value) for name in WAITS}

    @contextlib.contextmanager
    def eager(self) -> Iterator[None]:
        """Meanwhile output beats reach the scoreboard at the first clock without one."""
        self.agents["out"].bus.eager = True
        try:
            yield
        finally:
            self.agents["out"].bus.eager = False

    async def settle(self, clocks: int = 800) -> None:
        """Wait until every beat so far has reached the scoreboard, at most so many clocks."""
        with self.eager():
            for _ in range(clocks // 4):
                await Timer(CLOCK_NS * 4, "ns")
                if not self.results.outstanding:
                    break

    def conclude(self) -> None:
        """Let the scoreboard report what it has found so far: to be called before a failure that may follow
        from it."""
        self.results.conclude()

    def expect(self, name: str, tile: Tile, pixels: np.ndarray, locate: Callable[[Word], str]) -> OutputBeats:
        """Let the scoreboard await the beats of a tile, which the golden array makes."""
        made = outputs(tile, pixels, self.params)
        beats, values = self.pack_output(made), int(made.keep.sum())
        self.results.expect_tile(Expectation(name, tile, pixels, locate, beats, values))
        return made

    def pack_output(self, beats: OutputBeats) -> np.ndarray:
        """Golden output beats as the stream carries them."""
        keep = np.packbits(beats.keep.reshape(len(beats), -1), axis=1, bitorder="little")
        return self.formats["out"].pack(
            data=output_packets(beats, self.params), keep=keep, last=beats.last.astype(np.uint8)
        )

    def _out_error(self, error: StreamError) -> None:
        """X within a beat is left to the scoreboard, which knows the tile it belongs to."""
        if not (isinstance(error, StreamUnknown) and error.cycle >= 0):
            self.fail(error)

    def _beats_came(self, beats: Beats) -> None:
        last = self.formats["out"].width - 1
        ends = beats.payload[:, last // 8] >> last % 8 & 1
        self.ended += beats.cycles[ends.astype(bool)].tolist()
        self.results.write(beats)
        self.progress.set()
