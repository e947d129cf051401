# SPDX-License-Identifier: Apache-2.0
"""Values for the output stage: tiles of accumulators and constants, with what `golden.pe_array.lanes` makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from assay.golden.pe_array.lanes import lanes
from assay.golden.pe_array.parameters import ACC_WIDTH
from assay.golden.pe_array.registers import ENTRY, ENTRY_BITS, HEADER_BITS, LaneOp, Rescaling
from assay.golden.pe_array.tile import encode_header
from assay.golden.registers import WORD_BITS
from assay.tb.agents.beat_format import BeatFormat

__all__ = ["Mode", "Shape", "Values", "tile"]


@dataclass(frozen=True)
class Shape:
    """Parameters of the bench top, under the RTL's names in lower case."""

    rows: int
    columns: int
    data_width: int
    lanes: int

    @property
    def values(self) -> int:
        """Words of a beat."""
        return self.lanes * self.rows

    @property
    def inputs(self) -> BeatFormat:
        """Beats of ``in``, as pe_array_post_tb.sv takes them apart."""
        return BeatFormat(
            [
                ("header", HEADER_BITS),
                ("entries", self.lanes * ENTRY_BITS),
                ("a", self.values * ACC_WIDTH),
                ("b", self.values * ACC_WIDTH),
                ("counts", self.rows * 8),
                ("keep", self.values),
                ("table", self.columns * self.data_width),
                ("table_beat", 8),
                ("last", 1),
                ("bank", 1),
                ("is_table", 1),
            ]
        )

    @property
    def outputs(self) -> BeatFormat:
        """Beats of ``out``."""
        return BeatFormat([("data", self.values * self.data_width), ("keep", self.values), ("last", 1)])


@dataclass(frozen=True)
class Mode:
    """What a tile's values go through; the rest is drawn."""

    lane_op: LaneOp
    rescaling: Rescaling
    table: bool = False
    count_divide: bool = False

    def __str__(self) -> str:
        extra = ", table" * self.table + ", counts" * self.count_divide
        return f"{self.lane_op.name.lower()}, {self.rescaling.name.lower()}{extra}"


@dataclass(frozen=True, eq=False)
class Values:
    """One tile's beats, uint8 `[n, bytes]`: its table's (or none) and its values' of ``in``, and those of ``out``."""

    table: np.ndarray
    beats: np.ndarray
    expected: np.ndarray


def _signed(bits: int) -> tuple[int, int]:
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def _drawn(rng: np.random.Generator, bits: int, shape: object = None) -> np.ndarray:
    """Signed numbers of all magnitudes, the ends and 0 often."""
    low, high = _signed(bits)
    x = rng.integers(low, high + 1, shape) >> rng.integers(0, bits, shape)
    ends = rng.choice([low, low + 1, -1, 0, 1, high - 1, high], shape)
    return np.where(rng.random(shape) < 0.05, ends, x)


def _multiplier(rng: np.random.Generator, bits: int, shape: object = None) -> np.ndarray:
    """Factors with their highest bit set, often with few ones (which make ties), rarely anything."""
    x = rng.integers(1 << (bits - 1), 1 << bits, shape)
    few = rng.choice([1, 3, 5, 7], shape) << (bits - 3)
    few = np.where(few >> bits, few >> 1, few)
    ends = rng.choice([0, 1, (1 << bits) - 1, 1 << (bits - 1)], shape)
    draw = rng.random(shape)
    return np.where(draw < 0.3, few, np.where(draw < 0.35, ends, x))


def tile(
    rng: np.random.Generator, shape: Shape, mode: Mode, count: int, bank: int, fresh_table: np.ndarray
) -> Values:
    """A tile of `count` beats.

    Most values are chosen from the result: next to a tie, on it, or a few steps off, from far below the least to far
    above the greatest; a sixth is drawn without regard to what comes out.

    Args:
        bank: 0 or 1; tiles must alternate, as a bank's table is written while the other bank's values are inside.
        fresh_table: `[2**data_width]`, for `mode.table`.
    """
    width, last_word = shape.data_width, _signed(shape.data_width)
    header = {
        "mode.lane_op": mode.lane_op,
        "mode.rescaling": mode.rescaling,
        "mode.table": int(mode.table),
        "mode.count_divide": int(mode.count_divide),
        "mode.subtract": int(rng.integers(2)),
        "second_zero": int(_drawn(rng, width + 2 if rng.random() < 0.9 else 18)),
        "output_zero": int(_drawn(rng, width if rng.random() < 0.9 else 17)),
        # Nothing reads a multiplier's bit 31.
        "first_multiplier": int(_multiplier(rng, 31) | rng.integers(2) << 31),
        "second_multiplier": int(_multiplier(rng, 31) | rng.integers(2) << 31),
        "operand.first_shift": _shift(rng, -8),
        "operand.second_shift": _shift(rng, -20),
        "operand.left_shift": int(rng.choice([31 - width - 3, rng.integers(32)], p=[0.8, 0.2])),
    }
    bounds = [
        last_word,
        (0, (1 << width) - 1),
        sorted(_drawn(rng, 17, 2).tolist()),
        (-(1 << 16), (1 << 16) - 1),
    ]
    header["low"], header["high"] = bounds[rng.choice(4, p=[0.6, 0.15, 0.15, 0.1])]
    if rng.random() < 0.02:
        header["low"], header["high"] = header["high"], header["low"]
    entries = _entries(rng, mode, (count, shape.lanes))
    by_value = {name: values[..., None] for name, values in entries.items()}
    counts = rng.integers(0, 122, (count, 1, shape.rows))
    counts[rng.random(counts.shape) < 0.2] = rng.choice([0, 1, 2, 3, 254, 255])
    a, b = _accumulators(rng, mode, header, by_value, counts, (count, shape.lanes, shape.rows), width)
    if mode.rescaling is Rescaling.FLOAT64 and mode.lane_op is LaneOp.NONE:
        _round_products(rng, entries, a)
    keep = rng.random((count, shape.lanes, shape.rows)) < rng.choice([1.0, 0.7])
    words = lanes(a, b, header, by_value, counts, fresh_table, width) * keep
    last = np.zeros(count, np.int64)
    last[-1] = 1
    beats = shape.inputs.pack(
        header=encode_header(header)[None],
        entries=_entry_bytes(entries),
        a=_bytes(a, 32),
        b=_bytes(b, 32),
        counts=_bytes(counts, 8),
        keep=_bytes(keep, 1),
        table=np.zeros((1, (shape.columns * width + 7) // 8), np.uint8),
        table_beat=0,
        last=last,
        bank=bank,
        is_table=0,
    )
    table = _table_beats(rng, shape, fresh_table, bank) if mode.table else beats[:0]
    return Values(
        table, beats, shape.outputs.pack(data=_bytes(words, width), keep=_bytes(keep, 1), last=last)
    )


def _shift(rng: np.random.Generator, least: int) -> int:
    """An operand's shift: `least` to 0 mostly, one to the left, or any."""
    return int(rng.choice([rng.integers(least, 1), rng.integers(33), *_drawn(rng, 8, 1)], p=[0.7, 0.2, 0.1]))


def _entries(rng: np.random.Generator, mode: Mode, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Factors that bring 32 bits to a word, or nearly so; some with any shift."""
    if mode.rescaling is Rescaling.FLOAT64:
        multiplier, shift = _multiplier(rng, 53, shape), rng.integers(44, 82, shape)
    elif mode.rescaling is Rescaling.RATIONAL:
        multiplier, shift = rng.integers(0, 256, shape), rng.integers(-22, 8, shape)
        multiplier |= rng.integers(0, 1 << 20, shape) << 8  # which nothing reads
    else:
        multiplier, shift = _multiplier(rng, 31, shape), rng.integers(-22, 4, shape)
        multiplier |= rng.integers(0, 1 << 22, shape) << 31  # which nothing reads
    shift = np.where(rng.random(shape) < 0.05, _drawn(rng, 8, shape), shift)
    bias = np.where(rng.random(shape) < 0.9, _drawn(rng, 20, shape), _drawn(rng, 32, shape))
    return {
        "bias": bias,
        "multiplier": multiplier & 0xFFFF_FFFF,
        "factor.multiplier_high": multiplier >> 32,
        "factor.shift": shift,
        "source.column": rng.integers(0, 256, shape),
        "source.alpha": _drawn(rng, 17, shape),
    }


def _round_products(rng: np.random.Generator, entries: dict[str, np.ndarray], a: np.ndarray) -> None:
    """Give half of the entries multipliers with which the first row's product is just below a tie: by less than the
    last place of a float64, whose rounding then decides."""
    x = np.abs(_wrapped(a[..., 0] + entries["bias"])).astype(object)
    multiplier = entries["multiplier"] | entries["factor.multiplier_high"] << 32
    step = 2 ** np.clip(entries["factor.shift"], 1, 80).astype(object)
    below = (((x * multiplier) // step * step + step // 2) // np.maximum(x, 1)).astype(object)
    fits = (below < 1 << 53) & (x > 0) & (rng.random(x.shape) < 0.5)
    chosen = np.where(fits, below, multiplier).astype(np.int64)
    entries["multiplier"][...] = chosen & 0xFFFF_FFFF
    entries["factor.multiplier_high"][...] = chosen >> 32


def _wrapped(x: np.ndarray) -> np.ndarray:
    return x.astype(np.int32).astype(np.int64)


def _accumulators(
    rng: np.random.Generator,
    mode: Mode,
    header: Mapping[str, int],
    entries: Mapping[str, np.ndarray],
    counts: np.ndarray,
    shape: tuple[int, int, int],
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Both columns' accumulators."""
    anything = _drawn(rng, 32, shape)
    if mode.lane_op in (LaneOp.ADD, LaneOp.MULTIPLY):
        # Operands of a word and one bit more, as element-wise tiles make them.
        operands = (_drawn(rng, width + 1, shape) for _ in range(2))
        a, b = (np.where(rng.random(shape) < 0.9, x, _drawn(rng, 32, shape)) for x in operands)
        return a, b + (header["second_zero"] if rng.random() < 0.9 else 0)
    shift = entries["factor.shift"].astype(np.float64)
    multiplier = (entries["multiplier"] | entries["factor.multiplier_high"] << 32).astype(np.float64)
    if mode.rescaling is Rescaling.FLOAT64:
        factor = multiplier * np.exp2(-np.maximum(shift, 0))
    elif mode.rescaling is Rescaling.RATIONAL:
        divisor = counts if mode.count_divide else entries["multiplier"] & 255
        factor = np.exp2(shift) / np.maximum(divisor, 1)
    else:
        factor = multiplier % (1 << 31) * np.exp2(shift - 31)
    steps = np.floor(_drawn(rng, width + 2, shape) - header["output_zero"]) + 0.5
    with np.errstate(divide="ignore", over="ignore"):
        near = np.clip(np.rint(steps / factor), *_signed(32)).astype(np.int64)
    near += rng.integers(-1, 2, shape) - entries["bias"]
    if mode.lane_op is LaneOp.PRELU:
        # Half of them negative, before alpha.
        near = np.where(
            rng.random(shape) < 0.5, -np.abs(_drawn(rng, width + 2, shape)) - entries["bias"], near
        )
    return np.where(rng.random(shape) < 1 / 6, anything, near), anything


def _bytes(values: np.ndarray, bits: int) -> np.ndarray:
    """The low `bits` of each value, those of a beat one after the other: uint8 `[n, bytes]`."""
    values = np.asarray(values).reshape(len(values), -1).astype(np.int64)
    planes = values[..., None] >> np.arange(bits) & 1
    return np.packbits(planes.reshape(len(values), -1).astype(np.uint8), axis=1, bitorder="little")


def _entry_bytes(entries: Mapping[str, np.ndarray]) -> np.ndarray:
    """Entries `[n, lanes]` in the words of `ENTRY`: uint8 `[n, lanes * bytes]`."""
    words = []
    for word in ENTRY:
        value = np.int64(0)
        for field in word.fields:
            name = word.name if field.name == "value" else f"{word.name}.{field.name}"
            value = value | (entries[name] << field.lsb & field.mask)
        words.append(value)
    return _bytes(np.stack(words, axis=-1), WORD_BITS)


def _table_beats(rng: np.random.Generator, shape: Shape, table: np.ndarray, bank: int) -> np.ndarray:
    """A table's beats, the last one filled up with anything."""
    room = -len(table) % shape.columns
    words = np.concatenate([table, rng.integers(0, 1 << shape.data_width, room)])
    words = words.reshape(-1, shape.columns)
    zeros = {name: np.zeros((1, (bits + 7) // 8), np.uint8) for name, bits in shape.inputs.fields.items()}
    zeros |= {"table": _bytes(words, shape.data_width), "table_beat": np.arange(len(words))}
    return shape.inputs.pack(**{**zeros, "last": 0, "bank": bank, "is_table": 1})
