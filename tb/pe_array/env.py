# SPDX-License-Identifier: Apache-2.0
"""Environment of the PE array's bench: one stream agent for each port, front ends, golden array, scoreboard."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from cocotb.triggers import Event

from assay.golden.pe_array.functional import explain, outputs
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.registers import ADDRESS_WIDTH, ArrayOp, LaneOp, Rescaling
from assay.golden.pe_array.tile import OutputBeats, Tile, output_packets, read_output
from assay.tb.agents.burst import NEVER, Beats
from assay.tb.agents.inside import Inside
from assay.tb.agents.interrupt import Interrupt
from assay.tb.agents.register import RegisterAgent, RegisterPort
from assay.tb.agents.request_response import request_format, response_format
from assay.tb.agents.stream import BeatFormat
from assay.tb.ahead import Promise, ahead
from assay.tb.debug import ACTIVE
from assay.tb.env import CLOCK_NS, Stream, StreamEnv
from assay.tb.pe_array.coverage import PeArrayCoverage
from assay.tb.pe_array.debug import unit_record
from assay.tb.pe_array.state import STATES
from assay.tb.scoreboard import StreamScoreboard

WAITS = ("wgt", "pix", "out")
Word = tuple[int, int, int, int]  #: of a tile's output: image, output row, output column, entry
#: A third tile's weights wait until a whole tile is computed: a stuck tile is the driver's report.
_WEIGHTS_TIMEOUT = 50_000_000
_WORTH_AHEAD = 1_000  #: clocks of a tile from which on it is better computed beside the simulation


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


@dataclass(frozen=True)
class GoldenBeats:
    """What the golden array makes of a tile.

    Attributes:
        made: the beats.
        packed: uint8[n, bytes], as the stream carries them.
        values: words with tkeep.
    """

    made: OutputBeats
    packed: np.ndarray
    values: int

    @classmethod
    def of(cls, tile: Tile, pixels: np.ndarray, params: PeArrayParameters) -> GoldenBeats:
        """Compute a tile."""
        made = outputs(tile, pixels, params)
        return cls(made, pack_output(made, params), int(made.keep.sum()))


def pack_output(beats: OutputBeats, params: PeArrayParameters) -> np.ndarray:
    """Golden output beats as the stream carries them."""
    keep = np.packbits(beats.keep.reshape(len(beats), -1), axis=1, bitorder="little")
    return port_formats(params)["out"].pack(
        data=output_packets(beats, params), keep=keep, last=beats.last.astype(np.uint8)
    )


@dataclass(eq=False)
class Expectation:
    """The beats that a tile must put out, and their names for messages.

    Attributes:
        name: of the tile, with its layer.
        tile, pixels: as the golden array takes them.
        locate: where in its layer a word belongs.
        count: of the beats.
        golden: the golden array's, which may work ahead of the design.
        then: called with its beats once they are there.
    """

    name: str
    tile: Tile
    pixels: np.ndarray
    locate: Callable[[Word], str]
    count: int
    golden: Promise[GoldenBeats]
    then: Callable[[OutputBeats], None]

    @cached_property
    def beats(self) -> np.ndarray:
        """uint8[n, bytes], as the stream carries them."""
        golden = self.golden.result()
        self.then(golden.made)
        return golden.packed

    @property
    def values(self) -> int:
        """Words with tkeep."""
        return self.golden.result().values

    def place(self, index: int, params: PeArrayParameters) -> tuple[int, int, int, int]:
        """Image, row block, output column and group of entries of a beat."""
        index, group = divmod(index, self.tile.groups(params))
        index, column = divmod(index, self.tile["extent.output_columns"])
        image, block = divmod(index, self.tile["repeat.row_blocks"])
        return image, block, column, group


class OutputScoreboard(StreamScoreboard):
    """Beats of many tiles on one stream; names a beat by the tile it belongs to.

    Attributes:
        alter: for tests of this scoreboard: changes the beats that a tile must put out.
        tiles: that have not come whole, each with its first beat.
    """

    def __init__(self, name: str, beat_format: BeatFormat, params: PeArrayParameters, **options: Any) -> None:
        super().__init__(name, beat_format, locate=self._locate, explain=self._explain, **options)
        self.params = params
        self.alter: Callable[[np.ndarray], np.ndarray] | None = None
        self.tiles: list[tuple[int, Expectation]] = []
        self._promised = 0
        self._values = 0  # of the tiles no longer held

    @property
    def promised(self) -> int:
        """Number of the next tile's first beat."""
        return self._promised

    @property
    def values_compared(self) -> int:
        """Words with tkeep in the tiles of which every beat has been compared."""
        self._release()
        return self._values

    @property
    def tiles_outstanding(self) -> int:
        """Tiles of which some beat has not been seen so far."""
        self._release()
        return len(self.tiles)

    def expect_tile(self, tile: Expectation) -> None:
        """Append the beats of one tile."""
        if self.alter is not None:
            tile.beats = self.alter(tile.beats)
            tile.count = len(tile.beats)
        self.tiles.append((self._promised, tile))
        self._promised += tile.count
        self.expect_later(tile.count, lambda: tile.beats)

    def flush(self) -> None:
        super().flush()
        self._release()
        self._promised = self.beats_compared
        self.tiles.clear()

    def _release(self) -> None:
        """Forget the tiles that came whole; after a mismatch its tile must stay."""
        while self.tiles and not self.mismatches:
            first, tile = self.tiles[0]
            if self.beats_compared < first + tile.count:
                break
            self._values += tile.values
            self.tiles.pop(0)

    def _tile(self, index: int) -> tuple[int, Expectation] | None:
        """The tile a beat belongs to, and the beat's index in it."""
        for first, tile in reversed(self.tiles):
            if index >= first:
                return index - first, tile
        return None

    def _locate(self, index: int) -> str:
        found = self._tile(index)
        if found is None:
            return ""
        index, at = found
        if index >= at.count:
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
    """The operations of elements and lanes in a tile, for messages."""
    words = [ArrayOp(tile["mode.array_op"]).name, LaneOp(tile["mode.lane_op"]).name]
    words.append(Rescaling(tile["mode.rescaling"]).name)
    words += [name for name in ("subtract", "count_divide", "table", "softmax") if tile[f"mode.{name}"]]
    return ", ".join(words).lower().replace("_", " ")


class PeArrayEnv(StreamEnv):
    """Agents of all ports and what stands behind them. The ConfigDB gives ``dut`` and ``report``.

    Attributes:
        agents: stream name to `StreamAgent`.
        registers: front end of the request/response streams.
        interrupt: the irq line.
        results: scoreboard of ``out``.
        ended: clock of every tile's last beat since reset, in order.
    """

    def table(self) -> Mapping[str, Stream]:
        self.params = build_parameters()
        formats = port_formats(self.params)
        board = partial(OutputScoreboard, params=self.params)
        return {
            "reg_req": Stream("source", formats["reg_req"]),
            # An answer is awaited, so it must not wait for a full burst.
            "reg_rsp": Stream("sink", formats["reg_rsp"], eager=True),
            "wgt": Stream("source", formats["wgt"], options={"timeout_clocks": _WEIGHTS_TIMEOUT}),
            "pix": Stream("source", formats["pix"]),
            "out": Stream("sink", formats["out"], receive=self._beats_came, scoreboard=board),
        }

    def build_phase(self) -> None:
        super().build_phase()
        results = self.boards["out"]
        assert isinstance(results, OutputScoreboard)  # as `table` makes it
        self.results = results
        self.register_agent = RegisterAgent("registers", self)
        self.coverage = PeArrayCoverage()
        self.ended: list[int] = []
        self.progress = Event()
        if ACTIVE:
            self.report.debug.units.append(lambda: unit_record(self.results, self.params))

    def connect_phase(self) -> None:
        super().connect_phase()
        self.registers = RegisterPort(
            self.bus["reg_req"], self.bus["reg_rsp"], clock_ns=CLOCK_NS, on_error=self.fail
        )
        self.cdb_set("port", self.registers, "registers")
        self.interrupt = Interrupt(self.dut.irq_o, clock_ns=CLOCK_NS)

    def waiting(self) -> str:
        return Inside(self.dut).states("dut", STATES)

    def flush(self) -> None:
        super().flush()
        self.registers.flush()
        self.ended.clear()

    @property
    def stalled(self) -> bool:
        """Whether a stream of packets or results stalls."""
        return any(self.agents[name].bus.stall != NEVER for name in ("wgt", "pix", "out"))

    def waits(self) -> dict[str, int]:
        """Clocks since reset in which a beat of a stream waited to be taken."""
        return self.counters(WAITS)

    async def settle(self, clocks: int = 800) -> None:
        """Wait until every beat so far has reached the scoreboard, at most so many clocks."""
        await self.settle_streams(("out",), lambda: self.results.outstanding, clocks // 4)

    def look_for(self, tile: Tile, word: Word | None) -> None:
        """A user wants to see a word of the tile that is expected next; None: it has none."""
        if word is not None:
            image, row, column, entry = word
            index = image * tile["repeat.row_blocks"] + row // self.params.rows
            index = index * tile["extent.output_columns"] + column
            index = index * tile.groups(self.params) + entry // self.params.lanes
            lane = entry % self.params.lanes * self.params.rows + row % self.params.rows
            self.report.look_for(self.results, self.results.promised + index, lane)

    def expect(
        self,
        name: str,
        tile: Tile,
        pixels: np.ndarray,
        locate: Callable[[Word], str],
        then: Callable[[OutputBeats], None],
    ) -> None:
        """Let the scoreboard await the beats of a tile, which the golden array makes meanwhile; `then` gets them."""
        work = (GoldenBeats.of, tile, pixels, self.params)
        clocks = tile.packets * tile.step_clocks
        golden = ahead(*work) if clocks >= _WORTH_AHEAD else Promise(GoldenBeats.of(*work[1:]))
        count = tile.output_beats(self.params)
        self.results.expect_tile(Expectation(name, tile, pixels, locate, count, golden, then))

    def pack_output(self, beats: OutputBeats) -> np.ndarray:
        """Golden output beats as the stream carries them."""
        return pack_output(beats, self.params)

    def _beats_came(self, beats: Beats) -> None:
        last = self.formats["out"].width - 1
        ends = beats.payload[:, last // 8] >> last % 8 & 1
        self.ended += beats.cycles[ends.astype(bool)].tolist()
        self.results.write(beats)
        self.progress.set()
