# SPDX-License-Identifier: Apache-2.0
"""Tiles for the PE array's bench: constrained random ones over the whole header, directed corners, wrong packets."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from assay.golden.pe_array.functional import accumulators, outputs
from assay.golden.pe_array.parameters import MAX_KERNEL, MAX_STRIDE, SOFTMAX_DEPTH, PeArrayParameters
from assay.golden.pe_array.registers import ArrayOp, LaneOp, Rescaling
from assay.golden.pe_array.tile import ENTRY_FIELDS, Tile, encode_header, pixel_packets, weight_packet
from assay.tb.draws import first_drawn
from assay.tb.pe_array.averages import crowded_average, largest_average
from assay.tb.pe_array.float_ends import float_ends
from assay.tb.pe_array.illegal import wrong_headers
from assay.tb.pe_array.tiles import TileItem, packet

#: Clocks of a random tile's steps, so that a run of many ends soon.
LARGEST_RANDOM_TILE = 1500


class Stimulus:
    """Makes tiles for one build from the run's random numbers.

    Args:
        params: of the build.
        seed: the same seed makes the same tiles.
    """

    def __init__(self, params: PeArrayParameters, seed: int) -> None:
        self.params = params
        self.rng = np.random.default_rng(seed)
        self.random = random.Random(seed)
        self._decks: dict[tuple[object, ...], list[object]] = {}

    def deal(self, *choices: Any) -> Any:
        """One of the choices; each comes once before any comes again, so that few draws reach all of them."""
        deck = self._decks.setdefault(choices, [])
        if not deck:
            deck += choices
            self.random.shuffle(deck)
        return deck.pop()

    # -----------------------------------------------------------------------------------------
    # Random tiles
    # -----------------------------------------------------------------------------------------
    def header(self, most: int, **given: int) -> dict[str, int]:
        """A random legal header of at most about `most` clocks; `given` fixes fields ("window__beats" for
        window.beats)."""
        fixed = {name.replace("__", "."): value for name, value in given.items()}

        def draw() -> dict[str, int] | None:
            header = self._header(fixed)
            step = header["packet.channels"] * header["window.kernel_rows"]
            blocks = header["repeat.images"] * header["repeat.row_blocks"]
            steps = header["window.first_output"] + 1
            steps += (header["extent.output_columns"] - 1) * header["window.column_stride"]
            if "packet.columns" not in header:
                header["packet.columns"] = min(
                    steps, self.random.choice((steps, steps, self.random.randint(1, steps)))
                )
            groups = -(-header["entries"] // self.params.lanes)
            vector = header["extent.output_columns"] * header["entries"]
            clocks = blocks * (header["packet.columns"] * step + header["extent.output_columns"] * groups)
            clocks += blocks * header["mode.softmax"] * 3 * vector
            phases = header["extent.weight_beats"] // step
            fits = header["packet.channels"] * header["window.beats"] <= self.params.pixel_depth
            fits = fits and not (header["mode.softmax"] and vector > SOFTMAX_DEPTH)
            fits = (
                fits
                and header["extent.weight_beats"] <= self.params.weight_depth
                and 1 <= phases <= MAX_STRIDE
            )
            return header if fits and header["packet.columns"] <= steps and clocks <= most else None

        return first_drawn(draw, f"a legal header of at most {most} clocks with {fixed or 'any fields'}")

    def _header(self, given: dict[str, int]) -> dict[str, int]:
        r, p = self.random, self.params
        kernel_rows, row_stride = self.deal(
            *((k, s) for k in range(1, MAX_KERNEL + 1) for s in range(1, min(MAX_STRIDE, k) + 1))
        )
        kernel_rows = given.get("window.kernel_rows") or kernel_rows
        row_stride = given.get("window.row_stride") or min(row_stride, kernel_rows)
        channels = given.get("packet.channels") or self.deal(1, 1, 2, 3, r.randint(1, 9))
        phases = self.deal(1, 2, 3, 4)
        images, row_blocks = self.deal(*((i, b) for i in (1, 1, 2, 3) for b in (1, 1, 2, 3)))
        row_blocks = given.get("repeat.row_blocks") or row_blocks
        rows_output = r.randint((row_blocks - 1) * p.rows + 1, row_blocks * p.rows)
        rescaling = given.get("mode.rescaling", self.deal(*Rescaling))
        counts = rescaling == Rescaling.RATIONAL and given.get("mode.count_divide", self.deal(0, 1))
        pad_top = r.choice((0, 1, r.randint(0, 15)))
        reads = (rows_output - 1) * row_stride + kernel_rows
        # The last one: one row of padding below.
        rows_map = r.choice(
            (1, r.randint(1, row_blocks * p.rows * row_stride + 4), 1000, max(1, reads - pad_top - 1))
        )
        if counts:  # some windows reach beyond the map's first row, and some beyond its last
            pad_top, rows_map = r.randrange(kernel_rows), r.randint(1, rows_output * row_stride)
        width = p.data_width
        softmax = int(width == 8 and self.deal(0, 0, 0, 0, 1))
        table = int(width <= 8 and not softmax and r.random() < 0.3)
        signed = r.random() < 0.5
        zero = self.zero(signed)
        low, high = self.clamps()
        return {
            "mode.array_op": self.deal(ArrayOp.MAC, ArrayOp.MAC, ArrayOp.MAX),
            "mode.lane_op": self.deal(*LaneOp),
            "mode.rescaling": rescaling,
            "mode.table": table,
            "mode.softmax": softmax,
            "mode.count_divide": int(counts),
            "mode.subtract": r.randint(0, 1),
            "mode.input_signed": int(signed),
            "mode.weight_signed": r.randint(0, 1),
            "repeat.images": images,
            "repeat.row_blocks": row_blocks,
            "packet.channels": channels,
            "window.kernel_rows": kernel_rows,
            "window.row_stride": row_stride,
            "window.beats": self.beats(kernel_rows, row_stride),
            "window.first_output": self.deal(*range(MAX_KERNEL)),
            "window.column_stride": self.deal(1, 2, 3, 4),
            "window.pad_top": pad_top,
            "window.kernel_columns": r.randint(0, 15),
            "rows.map": rows_map,
            "rows.output": rows_output,
            "extent.output_columns": self.deal(1, 2, 3, r.randint(1, 9)),
            "extent.weight_beats": channels * kernel_rows * phases,
            "entries": r.choice((1, p.columns, r.randint(1, p.columns))),
            "input_zero": zero,
            "weight_zero": self.zero(r.random() < 0.5),
            "second_zero": r.choice(
                (
                    *(self.zero(True) - r.choice((0, zero)) for _ in range(3)),
                    r.randint(-(1 << 17), (1 << 17) - 1),
                )
            ),
            "output_zero": self.zero(low < 0),
            "low": low,
            "high": high,
            "first_multiplier": self.multiplier(),
            "second_multiplier": self.multiplier(),
            "operand.first_shift": self.shift(),
            "operand.second_shift": self.shift(),
            "operand.left_shift": r.choice((0, r.randint(0, 31), 20)),
            **given,
        }

    def beats(self, kernel_rows: int, row_stride: int) -> int:
        """Beats of a channel."""
        rows = self.params.rows
        return -(-((rows - 1) * row_stride + kernel_rows) // rows)

    def zero(self, signed: bool) -> int:
        """A zero point: often 0, an end or anything of the operands' width, now and then anything of the field's."""
        half = 1 << self.params.data_width - 1
        low, high = (-half, half - 1) if signed else (0, 2 * half - 1)
        # With one more than the greatest, differences reach the least that nine bits hold; a field has 17.
        beyond = min(high + 1, (1 << 16) - 1)
        usual = (0, 0, low, high, beyond, self.random.randint(low, high), self.random.randint(low, high))
        return self.random.choice((*usual, self.random.randint(-(1 << 16), (1 << 16) - 1)))

    def clamps(self) -> tuple[int, int]:
        """Least and greatest output."""
        half, r = 1 << self.params.data_width - 1, self.random
        low, high = r.choice(((-half, half - 1), (0, 2 * half - 1)))
        kind = self.deal("whole", "whole", "low", "high", "both", "any")
        middle = r.randint(low, high)
        if kind in ("low", "both"):
            low = r.randint(low, middle)
        if kind in ("high", "both"):
            high = r.randint(middle, high)
        if kind == "any":  # a field has 17 bits, and the least may be above the greatest
            ends = {"below": (-(1 << 16), -half - 1), "word": (low, high), "above": (2 * half, (1 << 16) - 1)}
            places = [place for place, (least, most) in ends.items() if least <= most]
            low, high = (r.randint(*ends[place]) for place in self.deal(*product(places, repeat=2)))
        return low, high

    def multiplier(self) -> int:
        """A 31-bit multiplier as TFLite normalises it; now and then any other, whose bit 31 says nothing."""
        r = self.random
        usual = (r.randint(1 << 30, (1 << 31) - 1),) * 4 + (1 << 30, 1 << 30)
        number = r.choice((*usual, 0, 1, (1 << 31) - 1, r.getrandbits(31)))
        return number | r.choice((0, 0, 0, 1 << 31))

    def shift(self) -> int:
        """A shift, now and then by more than there are bits."""
        r = self.random
        ends = r.choice((-128, 127, r.randint(-128, 127)))
        return r.choice((0, -1, -31, 30, r.randint(-31, 30), r.randint(-12, 0), ends))

    def entries(self, header: dict[str, int], largest: int) -> dict[str, np.ndarray]:
        """Random entries; `largest` is about how large the accumulators get, so that outputs spread over the range."""
        n, r, p = header["entries"], self.random, self.params
        rescaling = header["mode.rescaling"]
        bits = max(1, largest.bit_length() - p.data_width + 1)
        near = range(
            -bits - 1, -bits + 3
        )  # shifts of a multiplier near 1 that bring sums into the output's range
        made = {name: np.zeros(n, np.int64) for name in ENTRY_FIELDS}
        for k in range(n):
            sane = r.random() < 0.8
            made["bias"][k] = r.choice(
                (0, r.randint(-largest - 1, largest), r.randint(-(1 << 31), (1 << 31) - 1))
            )
            if rescaling == Rescaling.DOUBLE_ROUNDING:
                made["multiplier"][k] = self.multiplier()
                made["factor.shift"][k] = max(-31, r.choice(near)) if sane else self.shift()
                if r.random() < 0.1:  # halves
                    made["multiplier"][k], made["factor.shift"][k], made["bias"][k] = 1 << 30, 0, 0
            elif rescaling == Rescaling.FLOAT64:
                mantissa = r.randint(1 << 52, (1 << 53) - 1)
                mantissa = r.choice((mantissa, mantissa, mantissa, 1 << 52, (1 << 53) - 1))
                made["multiplier"][k] = mantissa & 0xFFFFFFFF
                made["factor.multiplier_high"][k] = mantissa >> 32
                made["factor.shift"][k] = 52 - r.choice(near) if sane else r.randint(-128, 127)
            else:
                made["multiplier"][k] = r.choice((1, r.randint(0, 255), 255, 3, r.getrandbits(32)))
                made["factor.shift"][k] = r.choice(near) + 4 if sane else self.shift()
            made["source.column"][k] = r.choice((k % p.columns, r.randrange(p.columns), r.randrange(256)))
            half = 1 << p.data_width - 1
            usual = (0, 1, -1, r.randint(-2 * half, 2 * half - 1), r.randint(-2 * half, 2 * half - 1))
            made["source.alpha"][k] = r.choice((*usual, r.randint(-(1 << 16), (1 << 16) - 1)))
            if rescaling != Rescaling.FLOAT64 and r.random() < 0.1:
                made["factor.multiplier_high"][k] = r.getrandbits(21)  # nobody reads it
        return made

    def tile(self, most: int = LARGEST_RANDOM_TILE, **given: int) -> tuple[Tile, np.ndarray]:
        """A random legal tile and its pixels."""
        header = self.header(most, **given)
        p, r = self.params, self.random
        density = r.choice((0.0, 0.1, 0.3, 0.5, 1.0))
        starts = self.rng.random(p.columns) < density
        starts[0] = r.random() < 0.5  # it starts a group in any case
        vectors = self.rng.integers(0, p.vectors if r.random() < 0.7 else 1, p.columns)
        weights = self.words((header["extent.weight_beats"], p.columns), header["mode.weight_signed"])
        if r.random() < 0.3:
            weights[self.rng.random(weights.shape) < 0.5] = header["weight_zero"] & (1 << p.data_width) - 1
        table = self.words((1 << p.data_width,), 0) if header["mode.table"] else None
        table = self.exponentials() if header["mode.softmax"] else table
        tile = Tile(header, starts, vectors.astype(np.uint8), self.entries(header, 1), weights, table)
        pixels = self.words(tile.pixel_shape(p), header["mode.input_signed"])
        sums = np.abs(accumulators(tile, pixels, p))
        # Factors that spread the sums over the outputs' range; a maximum of nothing is -2**31.
        largest = int(np.quantile(sums[sums < 1 << 31], 0.9, method="lower")) if (sums < 1 << 31).any() else 1
        return replace(tile, entries=self.entries(header, max(largest, 1))), pixels

    def words(self, shape: tuple[int, ...], signed: int) -> np.ndarray:
        """Random words: anything, or mostly the ends of the range, or small ones."""
        half = 1 << self.params.data_width - 1
        low, high = (-half, half - 1) if signed else (0, 2 * half - 1)
        kind = self.deal("any", "any", "ends", "small")
        if kind == "any":
            return self.rng.integers(low, high, shape, endpoint=True)
        if kind == "ends":
            return self.rng.choice(np.array([low, low + 1, high - 1, high]), shape)
        return self.rng.integers(max(low, -2), 2, shape, endpoint=True)

    def exponentials(self) -> np.ndarray:
        """A softmax's table: falling as exponentials do, or any words of 32 bits, large or small."""
        kind = self.deal("falling", "any", "any", "small", "one towers")
        if kind == "one towers":  # shares near 1
            return np.r_[(1 << 31) - 1, self.rng.integers(0, 1 << self.random.randint(20, 26), 255)]
        if kind == "falling":
            rate = self.random.choice((0.001, 0.02, 0.1, 1.0))
            return np.floor(np.exp(-rate * np.arange(256)) * ((1 << 31) - 1)).astype(np.int64)
        return self.rng.integers(0, 1 << (32 if kind == "any" else self.random.randint(1, 32)), 256)

    def item(self, name: str, most: int = LARGEST_RANDOM_TILE, **given: int) -> TileItem:
        """A random legal tile as an item."""
        return TileItem.of(name, *self.tile(most, **given), self.params)

    def distinct(self, name: str) -> TileItem:
        """A random tile of many output beats, each unlike the one before: whatever is done to one of them shows."""

        def draw() -> TileItem | None:
            item = self.item(
                name, 600, extent__output_columns=9, repeat__images=2, mode__table=0, mode__softmax=0
            )
            made = outputs(*item.computed, self.params)
            unlike = len(made) > 40 and (made.data[1:] != made.data[:-1]).any(axis=(1, 2)).all()
            return item if unlike else None

        return first_drawn(draw, "a tile whose beats are each unlike the one before")

    def random_items(self, count: int, most: int = LARGEST_RANDOM_TILE) -> Iterator[TileItem]:
        """`count` random tiles."""
        for number in range(count):
            given: dict[str, int] = {}
            if number % 8 == 7:
                given = crowded_average(self)
            elif number % 8 == 3 and most >= LARGEST_RANDOM_TILE:
                given = largest_average(self)
            yield self.item(f"random tile {number}", most, **given)

    def elongated(self, count: int, most: int) -> Iterator[TileItem]:
        """`count` tiles with some hundred or thousand columns, row blocks or images, past the powers of two at which a
        counter that is too narrow starts again; half of them divide by the places of a window in the map."""
        r = self.random
        for number in range(count):
            # The longest take long, and need room.
            ends = (8, 9, 10, 12) if most > 15_000 else (8, 9, 10)
            way, bits = self.deal(*product(("columns", "row blocks", "images"), ends))
            past = (1 << bits) + r.choice((0, 1, 2, r.randint(3, 100)))
            given: dict[str, int] = {
                "packet__channels": 1,
                "window__kernel_rows": r.randint(1, 4),
                "entries": r.randint(1, 2),
                "extent__output_columns": past if way == "columns" else 1,
                "repeat__row_blocks": past if way == "row blocks" else 1,
                "repeat__images": past if way == "images" else 1,
                "mode__softmax": 0,
            }
            if bits == 12:
                given |= {"window__kernel_rows": 1, "window__first_output": r.randint(0, 1)}
            if number % 2:
                given |= {"mode__rescaling": Rescaling.RATIONAL, "mode__count_divide": 1}
            yield self.item(f"tile {number} of many {way}", most, **given)

    def past_16_bits(self) -> Iterator[TileItem]:
        """Tiles whose steps, or whose rows of the padded map, are more than 16 bits count: many columns, and many row
        blocks without and with columns behind the last packet's."""
        r, p = self.random, self.params
        columns = -(-(1 << 16) // MAX_STRIDE) + r.randint(1, 99)
        small: dict[str, int] = {
            "repeat__images": 1,
            "packet__channels": 1,
            "mode__softmax": 0,
            "entries": r.randint(1, min(p.columns, p.lanes)),
        }
        wide = {"repeat__row_blocks": 1, "window__kernel_rows": 1, "window__row_stride": 1}
        wide |= {"window__column_stride": MAX_STRIDE, "extent__output_columns": columns}
        yield self.item(
            "tile of many steps", 1 << 18, **small, **wide, packet__columns=(1 << 16) - r.randint(1, 99)
        )
        rows = -(-(1 << 16) // MAX_STRIDE) + p.rows * r.randint(4, 12)
        tall = {"repeat__row_blocks": -(-rows // p.rows), "window__kernel_rows": MAX_STRIDE}
        tall |= {"window__row_stride": MAX_STRIDE, "extent__output_columns": 1, "window__column_stride": 1}
        # The map ends in one of the last rows. Before it, rows that are taken for those of the map's begin show.
        tall |= {"window__pad_top": 15, "rows__map": (1 << 16) - 1, "mode__array_op": ArrayOp.MAC}
        given = {"window__first_output": 0, "packet__columns": 1}
        yield self.item("tile of many rows", 1 << 18, **small, **tall, **given)
        # Behind the map's last row a sum is the bias, and its divisor shows what has been counted.
        given = {"window__kernel_columns": 3, "window__first_output": 2, "packet__columns": 2}
        yield self.divided("tile of many rows that divides", **small, **tall, **given)
        # As many rows as the field holds. The last row block has some that the output does not have.
        blocks = -(-((1 << 16) - 1) // p.rows)
        most = {"repeat__row_blocks": blocks, "rows__output": (1 << 16) - 1, "window__kernel_rows": 1}
        most |= {"window__row_stride": 1, "extent__output_columns": 1, "packet__columns": 1}
        most |= {"rows__map": (1 << 16) - r.randint(1, 99)}
        yield self.item("tile of most rows", 1 << 18, **small, **most, window__first_output=0)

    def divided(self, name: str, **given: int) -> TileItem:
        """A tile whose outputs beyond the map show by how many places they were divided: 1 where there is none."""
        half = 1 << self.params.data_width - 1
        given |= {"mode__rescaling": Rescaling.RATIONAL, "mode__count_divide": 1, "mode__table": 0}
        given |= {"mode__lane_op": LaneOp.NONE, "low": -half, "high": half - 1, "output_zero": 0}
        item = self.item(name, 1 << 18, **given)
        tile, pixels = item.computed
        tile.entries["bias"][:] = self.random.randint(60, 120)
        tile.entries["factor.shift"][:] = 0
        return TileItem.of(name, tile, pixels, self.params)

    # -----------------------------------------------------------------------------------------
    # Corners
    # -----------------------------------------------------------------------------------------
    def plain(self, name: str, weight: int, pixel: int, **given: int) -> TileItem:
        """A tile of signed words without zero points, all weights and all pixels alike, whose outputs are the
        accumulators modulo 2**W: no bias, no rounding, no clamp that hides anything."""
        p = self.params
        half = 1 << p.data_width - 1
        header = dict.fromkeys(("mode.table", "mode.count_divide", "mode.lane_op", "mode.array_op"), 0)
        header["mode.softmax"] = 0
        header |= {"mode.rescaling": Rescaling.RATIONAL, "mode.input_signed": 1, "mode.weight_signed": 1}
        header |= {"low": -half, "high": half - 1}
        header |= {"repeat.images": 1, "repeat.row_blocks": 1, "packet.columns": 1, "packet.channels": 1}
        header |= {"window.kernel_rows": 1, "window.row_stride": 1, "window.column_stride": 1}
        header |= {
            "rows.map": p.rows,
            "rows.output": p.rows,
            "extent.output_columns": 1,
            "entries": p.columns,
        }
        header |= {key.replace("__", "."): value for key, value in given.items()}
        header["window.beats"] = self.beats(header["window.kernel_rows"], header["window.row_stride"])
        step = header["packet.channels"] * header["window.kernel_rows"]
        header.setdefault("extent.weight_beats", step)
        entries = {field: np.zeros(header["entries"], np.int64) for field in ENTRY_FIELDS}
        entries["multiplier"] += 1
        entries["source.column"] += np.arange(header["entries"])
        tile = Tile(
            header,
            np.ones(p.columns, bool),
            np.zeros(p.columns, np.uint8),
            entries,
            np.full((header["extent.weight_beats"], p.columns), weight),
            None,
        )
        return TileItem.of(name, tile, np.full(tile.pixel_shape(p), pixel), p)

    def corners(self) -> Iterator[TileItem]:
        """Directed cases: smallest tiles, fullest memories, ends of products and accumulators."""
        p = self.params
        half = 1 << p.data_width - 1
        yield self.plain("one by one by one", 1, half - 1, entries=1, rows__output=1, rows__map=1)
        for what, weight, pixel in (
            ("most negative products", -half, half - 1),
            ("largest products", -half, -half),
            ("least of both", half - 1, half - 1),
        ):
            yield self.plain(what, weight, pixel)
        yield from self.fullest()
        yield from self.accumulator_ends()
        yield from float_ends(self)
        if p.data_width == 8:
            yield from self.softmaxes()
        for kernel_rows in (1, 2, MAX_KERNEL):
            for stride in range(1, min(MAX_STRIDE, kernel_rows) + 1):
                yield self.plain(
                    f"kernel rows {kernel_rows}, stride {stride}, one row of map",
                    1,
                    half - 1,
                    window__kernel_rows=kernel_rows,
                    window__row_stride=stride,
                    window__pad_top=kernel_rows - 1,
                    rows__map=1,
                    rows__output=p.rows,
                )
        for first in (0, MAX_KERNEL - 1):
            for stride in (1, MAX_STRIDE):
                columns = 3
                yield self.plain(
                    f"first output {first}, column stride {stride}, one real column",
                    1,
                    2,
                    window__first_output=first,
                    window__column_stride=stride,
                    extent__output_columns=columns,
                    packet__columns=1,
                )

    def fullest(self) -> Iterator[TileItem]:
        """Tiles that fill the weight memory, and pixel packets that fill the pixel buffer."""
        p = self.params
        channels = min(p.weight_depth, p.pixel_depth)
        yield self.plain(
            "most channels", 1, -1, packet__channels=channels, packet__columns=2, extent__output_columns=2
        )
        # One kernel row a clock takes longer than the beats of a channel: the buffer runs full.
        channels = max(1, min(8, p.weight_depth // MAX_KERNEL))
        beats = channels * self.beats(MAX_KERNEL, 1)
        columns = -(-2 * p.pixel_depth // beats)
        if beats <= p.pixel_depth:
            yield self.plain(
                "pixels faster than the array",
                1,
                1,
                packet__channels=channels,
                window__kernel_rows=MAX_KERNEL,
                packet__columns=columns,
                extent__output_columns=columns,
                rows__map=p.rows + MAX_KERNEL - 1,
            )
        yield self.plain(
            "weight memory full",
            -1,
            1,
            packet__channels=max(1, p.weight_depth // MAX_STRIDE),
            packet__columns=2,
            extent__output_columns=2,
            extent__weight_beats=max(1, p.weight_depth // MAX_STRIDE) * MAX_STRIDE,
        )

    def softmaxes(self) -> Iterator[TileItem]:
        """Softmaxes of one element and of as many as there is room for, a plain tile behind each.

        Equal elements, one that towers, the ends of the range, a sum of 0 and the largest one.
        """
        p = self.params
        falling = np.floor(np.exp(-0.03 * np.arange(256)) * ((1 << 31) - 1)).astype(np.int64)
        one = {"entries": 1}
        # As many entries as the columns allow, so many that the columns of the output fill the memory exactly.
        most = 1 << p.columns.bit_length() - 1
        shapes = [{"entries": n, "extent.output_columns": SOFTMAX_DEPTH // n} for n in (most, most // 2 or 1)]
        longest = shapes[0]
        short = {"entries": p.columns, "extent.output_columns": 2}
        top = (1 << 31) - 1
        for what, size, exponentials in (
            ("one element", one, falling),
            ("longest, equal", longest, falling),
            ("longest, one large", longest, falling),
            ("longest, any", longest, falling),
            ("ends", short, falling),
            ("sum of 0", short, np.full(256, 1000)),
            ("summands that tie", short, np.full(256, 1 << 11)),
            ("greatest sum", longest, np.full(256, (1 << 32) - 1)),
            ("greatest sum, any shares", shapes[-1], np.r_[top, self.rng.integers(top - 4096, top, 255)]),
        ):
            columns = size.get("extent.output_columns", 1)
            item = self.plain(f"softmax of {what}", 1, 0, **size, packet__columns=columns)
            tile, pixels = item.computed
            tile = replace(tile, header={**tile.header, "mode.softmax": 1}, table=exponentials)
            tile.vectors[:] = np.arange(p.columns) % p.vectors
            pixels = pixels.copy()
            if "large" in what:
                pixels[:] = -128
                pixels.reshape(-1, p.rows)[self.random.randrange(pixels.size // p.rows)] = 127
            elif "any" in what or "ends" in what:
                pixels = self.rng.choice(
                    np.array([-128, 127]) if "ends" in what else np.arange(-128, 128), pixels.shape
                )
            yield TileItem.of(item.get_name(), tile, pixels, p)
            yield self.plain("tile behind a softmax", 1, 1)

    def accumulator_ends(self) -> Iterator[TileItem]:
        """Accumulators near both ends of 32 bits, and past them: the biases carry them there, or with 16 bits the
        products themselves."""
        p = self.params
        half = 1 << p.data_width - 1
        for what, bias, weight in (
            ("near the greatest", (1 << 31) - 1 - half, 1),
            ("past the greatest", (1 << 31) - 1, 1),
            ("near the least", -(1 << 31) + half, -1),
            ("past the least", -(1 << 31), -1),
        ):
            for shift in (0, 8, 31):
                item = self.plain(f"accumulator {what}, right shift {shift}", weight, half - 1)
                tile, pixels = item.computed
                tile.entries["bias"][:] = bias
                tile.entries["factor.shift"][:] = -shift
                yield TileItem.of(item.get_name(), tile, pixels, p)
        if p.data_width == 16:
            yield self.plain("sums wrap", -half, -half, packet__channels=4, entries=p.columns)

    # -----------------------------------------------------------------------------------------
    # Wrong packets
    # -----------------------------------------------------------------------------------------
    def wrong_headers(self) -> Iterator[tuple[str, list[dict[str, int]]]]:
        """Each rule of docs/pe_array.md broken alone: its name, and the fields that break it, in several ways."""
        yield from wrong_headers(self.params, self.random, self.beats)

    def refused(self, name: str, fields: dict[str, int], cut: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """A legal weight packet but for these fields of its header; `cut`: it ends with the beat behind the header, in
        which the array refuses it."""
        tile, _ = self.plain(name, 1, 1).computed
        content = weight_packet(tile, self.params)
        bits = np.unpackbits(encode_header({**tile.header, **fields}).view(np.uint8), bitorder="little")
        rows = -(-len(bits) // self.params.weight_bits)
        beats = np.pad(bits, (0, rows * self.params.weight_bits - len(bits))).reshape(rows, -1)
        content[:rows] = np.packbits(beats, axis=1, bitorder="little")
        return packet(content[: rows + 1] if cut else content)

    def wrong_lengths(
        self, content: np.ndarray, part: int = 0
    ) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
        """One right packet in every wrong length: too short by one beat or cut anywhere, too long by one or several,
        or with another packet hung on as if its tlast had been lost; of a packet of parts of so many beats, cut behind
        each of them."""
        n, r = len(content), self.random
        if n > 1:
            yield "too short", packet(content[: n - 1])
            yield "cut", packet(content[: r.randint(1, n - 1)])
            yield "one beat", packet(content[:1])
        for number in range(1, n // part if part else 0):
            yield f"cut behind part {number}", packet(content[: number * part])
        yield "too long", packet(np.concatenate([content, content[-1:]]))
        yield "much too long", packet(np.concatenate([content, content[: r.randint(1, n)], content[:1]]))
        yield "without its tlast", packet(np.concatenate([content, content]))

    def pixel_packet(self, item: TileItem, index: int) -> np.ndarray:
        """The beats of one pixel packet of an item, uint8[n, bytes]."""
        return pixel_packets(*item.computed, self.params)[index]
