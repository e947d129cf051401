# SPDX-License-Identifier: Apache-2.0
"""A tile of the PE array: one weight packet and what it asks of the pixel and output streams. See docs/pe_array.md.

Beats are bytes, little end first: bit i of a beat is bit i % 8 of byte i // 8, unused top bits 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.pe_array.parameters import MAX_KERNEL, MAX_STRIDE, SOFTMAX_DEPTH, PeArrayParameters
from assay.golden.pe_array.registers import ENTRY, ENTRY_BITS, HEADER, HEADER_BITS, MAGIC, Rescaling
from assay.golden.registers import WORD_BITS, Register

__all__ = [
    "ENTRY_FIELDS",
    "HEADER_FIELDS",
    "OutputBeats",
    "Tile",
    "check",
    "check_header",
    "decode_header",
    "encode_header",
    "output_packets",
    "pixel_packets",
    "read_output",
    "read_weight_packet",
    "weight_packet",
]


def _names(words: tuple[Register, ...]) -> tuple[str, ...]:
    return tuple(
        word.name if field.name == "value" else f"{word.name}.{field.name}"
        for word in words
        for field in word.fields
    )


HEADER_FIELDS = _names(HEADER)  #: "word.field", or "word" for a word of one value
ENTRY_FIELDS = _names(ENTRY)  #: likewise

_WORD_BYTES = WORD_BITS // 8

# Header fields that count something: 0 is refused.
_COUNTS = (
    "repeat.images",
    "repeat.row_blocks",
    "packet.columns",
    "packet.channels",
    "window.kernel_rows",
    "window.row_stride",
    "window.beats",
    "window.column_stride",
    "extent.output_columns",
    "rows.map",
    "rows.output",
    "entries",
    "extent.weight_beats",
)


@dataclass(frozen=True, eq=False)
class Tile:
    """What one weight packet holds; C columns, W bits, E entries.

    Attributes:
        header: field of `HEADER_FIELDS` -> value; those left out are 0, but for `mode.magic`.
        starts: bool `[C]`, the column starts a group (column 0 always does).
        vectors: uint8 `[C]`, the pixel vector that the column takes.
        entries: field of `ENTRY_FIELDS` -> int64 `[E]`.
        weights: int64 `[weight_beats, C]`, as stored: signed or the W-bit pattern.
        table: int64 `[2**W]` as stored: output words with `mode.table`, exponentials with `mode.softmax`, else None.
    """

    header: Mapping[str, int]
    starts: np.ndarray
    vectors: np.ndarray
    entries: Mapping[str, np.ndarray]
    weights: np.ndarray
    table: np.ndarray | None = None

    def __getitem__(self, field: str) -> int:
        """A header field's value; KeyError for a name that is no field."""
        if field not in HEADER_FIELDS:
            raise KeyError(field)
        return int(self.header.get(field, MAGIC if field == "mode.magic" else 0))

    @property
    def steps(self) -> int:
        """Steps of a row block, real ones and flush steps."""
        return _steps(self)

    @property
    def flush(self) -> int:
        """Steps of a row block after its last map column, of one clock each."""
        return self.steps - self["packet.columns"]

    @property
    def step_clocks(self) -> int:
        """Clocks of a real step: beats of weights that it takes."""
        return self["packet.channels"] * self["window.kernel_rows"]

    @property
    def row_blocks(self) -> int:
        """Row blocks of all images."""
        return self["repeat.images"] * self["repeat.row_blocks"]

    @property
    def packet_beats(self) -> int:
        """Beats of a pixel packet."""
        return self["packet.channels"] * self["window.beats"]

    @property
    def packets(self) -> int:
        """Pixel packets of the tile."""
        return self.row_blocks * self["packet.columns"]

    @property
    def columns_complete(self) -> int:
        """Output columns of all row blocks, each of `groups` output beats."""
        return self.row_blocks * self["extent.output_columns"]

    @property
    def vector_length(self) -> int:
        """Elements of the vector that each array row of a row block makes, for `mode.softmax`."""
        return self["extent.output_columns"] * self["entries"]

    @property
    def has_table(self) -> bool:
        """Whether the packet has words of a table."""
        return bool(self["mode.table"] or self["mode.softmax"])

    def groups(self, parameters: PeArrayParameters) -> int:
        """Beats in which an output column leaves."""
        return -(-self["entries"] // parameters.lanes)

    def output_beats(self, parameters: PeArrayParameters) -> int:
        """Beats that the tile puts out."""
        return self.columns_complete * self.groups(parameters)

    def weight_packet_beats(self, parameters: PeArrayParameters) -> int:
        """Beats of its weight packet."""
        return sum(_sections(self, parameters).values())

    def pixel_shape(self, parameters: PeArrayParameters) -> tuple[int, ...]:
        """Of the array of its pixels: [images, row blocks, columns, channels, beats, vectors, rows]."""
        names = ("repeat.images", "repeat.row_blocks", "packet.columns", "packet.channels", "window.beats")
        return (*(self[name] for name in names), parameters.vectors, parameters.rows)


@dataclass(frozen=True, eq=False)
class OutputBeats:
    """Beats of the output stream.

    Attributes:
        data: int64 `[n, Q, R]`, W-bit patterns; 0 where not kept.
        keep: bool `[n, Q, R]`, tkeep.
        last: bool `[n]`, tlast.
    """

    data: np.ndarray
    keep: np.ndarray
    last: np.ndarray

    def __len__(self) -> int:
        return len(self.data)


def _steps(header: Tile | Mapping[str, int]) -> int:
    outputs = (header["extent.output_columns"] - 1) * header["window.column_stride"]
    return header["window.first_output"] + outputs + 1


def check_header(header: Mapping[str, int], parameters: PeArrayParameters) -> None:
    """Apply the rules by which the array refuses a header.

    Args:
        header: as in `Tile`.

    Raises:
        ConfigurationError: names the field, its value and the limit.
    """
    for name in header:
        if name not in HEADER_FIELDS:
            raise ConfigurationError(
                f"header has a field {name!r}, but its fields are {', '.join(HEADER_FIELDS)}"
            )
    h = dict.fromkeys(HEADER_FIELDS, 0) | {"mode.magic": MAGIC} | dict(header)

    def refuse(name: str, allowed: str) -> None:
        raise ConfigurationError(f"header field {name} = {h[name]}: must be {allowed}")

    def most(name: str, limit: int, what: str) -> None:
        if h[name] > limit:
            refuse(name, f"at most {limit}, {what}")

    if h["mode.magic"] != MAGIC:
        refuse("mode.magic", str(MAGIC))
    for name in _COUNTS:
        if h[name] < 1:
            refuse(name, "1 or more")
    most("window.kernel_rows", MAX_KERNEL, "the largest kernel")
    most("window.row_stride", MAX_STRIDE, "the largest stride")
    most("window.column_stride", MAX_STRIDE, "the largest stride")
    most("window.row_stride", h["window.kernel_rows"], "kernel_rows")
    most("window.first_output", MAX_KERNEL - 1, "the largest kernel less 1")
    read = (parameters.rows - 1) * h["window.row_stride"] + h["window.kernel_rows"]
    beats = -(-read // parameters.rows)
    if h["window.beats"] != beats:
        refuse("window.beats", f"{beats}, for {read} rows of {parameters.rows} a beat")
    if h["packet.channels"] * beats > parameters.pixel_depth:
        refuse("packet.channels", f"at most {parameters.pixel_depth // beats}, beats of the pixel buffer")
    most("extent.weight_beats", parameters.weight_depth, "the weight memory's depth")
    step = h["packet.channels"] * h["window.kernel_rows"]
    if h["extent.weight_beats"] not in [step * phases for phases in range(1, MAX_STRIDE + 1)]:
        refuse("extent.weight_beats", f"1 to {MAX_STRIDE} times channels * kernel_rows = {step}")
    most("entries", parameters.columns, "the array's columns")
    most("packet.columns", _steps(h), "the row block's steps")
    if h["mode.rescaling"] not in list(Rescaling):
        refuse("mode.rescaling", f"at most {max(Rescaling)}")
    if h["mode.table"] and parameters.data_width > 8:
        refuse("mode.table", f"0, for a table's index has 8 bits at most, not {parameters.data_width}")
    if h["mode.softmax"]:
        if parameters.data_width != 8:
            refuse("mode.softmax", f"0, for a softmax has words of 8 bits, not {parameters.data_width}")
        if h["mode.table"]:
            refuse("mode.table", "0, for the packet's table is the softmax's")
        length = h["extent.output_columns"] * h["entries"]
        if length > SOFTMAX_DEPTH:
            refuse(
                "extent.output_columns",
                f"at most {SOFTMAX_DEPTH // h['entries']}, for {h['entries']} entries of a softmax's {SOFTMAX_DEPTH}",
            )
    if (h["repeat.row_blocks"] - 1) * parameters.rows >= h["rows.output"]:
        blocks = -(-h["rows.output"] // parameters.rows)
        refuse("repeat.row_blocks", f"at most {blocks}, for {h['rows.output']} output rows")


def check(tile: Tile, parameters: PeArrayParameters) -> None:
    """`check_header`, and that every array has the size that the header gives it.

    Raises:
        ConfigurationError: names what is wrong and what is allowed.
    """
    check_header(tile.header, parameters)
    columns, width, entries = parameters.columns, parameters.data_width, tile["entries"]
    sizes = {
        "starts": (tile.starts, (columns,)),
        "vectors": (tile.vectors, (columns,)),
        "weights": (tile.weights, (tile["extent.weight_beats"], columns)),
        **{f"entries {name}": (tile.entries.get(name, ()), (entries,)) for name in ENTRY_FIELDS},
    }
    if tile.has_table:
        sizes["table"] = (() if tile.table is None else tile.table, (1 << width,))
    for name, (array, shape) in sizes.items():
        if np.shape(array) != shape:
            raise ConfigurationError(
                f"tile's {name} has shape {list(np.shape(array))}, but must have {list(shape)}"
            )
    if tile.table is not None and not tile.has_table:
        raise ConfigurationError("tile has a table, but mode.table and mode.softmax are 0")
    if np.max(tile.vectors) >= parameters.vectors:
        raise ConfigurationError(
            f"tile's vectors reach {np.max(tile.vectors)}, but must be below {parameters.vectors}"
        )
    table_width = WORD_BITS if tile["mode.softmax"] else width
    for name, values, bits in (("weights", tile.weights, width), ("table", tile.table, table_width)):
        if values is not None and (np.min(values) < -(1 << bits - 1) or np.max(values) >= 1 << bits):
            raise ConfigurationError(
                f"tile's {name} reach from {np.min(values)} to {np.max(values)}, but must be {bits}-bit numbers"
            )


def _encode(words: tuple[Register, ...], values: Mapping[str, int]) -> np.ndarray:
    """The words' bytes, little end first: uint8 `[4 * words]`."""
    by_word: dict[str, dict[str, int]] = {word.name: {} for word in words}
    for name, value in values.items():
        word, _, field = name.partition(".")
        by_word[word][field or "value"] = int(value)
    encoded = [word.encode(by_word[word.name]) for word in words]
    return np.array(encoded, "<u4").view(np.uint8)


def _decode(words: tuple[Register, ...], content: np.ndarray) -> dict[str, int]:
    values = content[: len(words) * _WORD_BYTES].view("<u4").tolist()
    names = iter(_names(words))
    return {
        next(names): value
        for word, bits in zip(words, values, strict=True)
        for value in word.decode(bits).values()
    }


def encode_header(header: Mapping[str, int]) -> np.ndarray:
    """A header's bytes, uint8 `[HEADER_BITS / 8]`, little end first.

    Raises:
        ConfigurationError: a value does not fit its field.
    """
    return _encode(HEADER, {"mode.magic": MAGIC, **header})


def decode_header(content: np.ndarray) -> dict[str, int]:
    """Every field of a header from its bytes, uint8 `[HEADER_BITS / 8]` or more."""
    return _decode(HEADER, np.ascontiguousarray(content, np.uint8))


def _sections(tile: Tile, parameters: PeArrayParameters) -> dict[str, int]:
    """Part of a weight packet -> its beats."""
    beat, words = parameters.weight_bits, 1 << parameters.data_width
    table = tile["mode.table"] * -(-words // parameters.columns)
    return {
        "header": -(-HEADER_BITS // beat),
        "columns": 1,
        "entries": tile["entries"] * -(-ENTRY_BITS // beat),
        "table": table + tile["mode.softmax"] * words * -(-WORD_BITS // beat),
        "weights": tile["extent.weight_beats"],
    }


def _beats_of_bytes(content: np.ndarray, bits: int) -> np.ndarray:
    """uint8 `[n, bytes]`, each row filled up with 0 to whole beats of `bits`: uint8 `[n * beats, ceil(bits/8)]`."""
    values = np.unpackbits(content, axis=1, bitorder="little")
    beats = -(-values.shape[1] // bits)
    values = np.pad(values, ((0, 0), (0, beats * bits - values.shape[1])))
    return np.packbits(values.reshape(-1, bits), axis=1, bitorder="little")


def _bytes_of_beats(beats: np.ndarray, bits: int, rows: int) -> np.ndarray:
    """The inverse: uint8 `[rows, bytes]`, with what the last beat was filled up with."""
    values = np.unpackbits(np.ascontiguousarray(beats), axis=1, count=bits, bitorder="little").reshape(
        rows, -1
    )
    return np.packbits(values, axis=1, bitorder="little")


def _pack(words: np.ndarray, width: int) -> np.ndarray:
    """Integers `[n, words]`, of which the low `width` (4, 8 or 16) bits count, to beats uint8 `[n, bytes]`."""
    # astype keeps the low bits of any integer.
    words = np.ascontiguousarray(np.asarray(words).astype(f"<u{max(width // 8, 1)}")).view(np.uint8)
    if width == 4:
        low = np.pad(words & 15, ((0, 0), (0, words.shape[1] % 2)))
        return low[:, 0::2] | low[:, 1::2] << 4
    return words


def _unpack(beats: np.ndarray, words: int, width: int) -> np.ndarray:
    """The inverse of `_pack`: int64 `[n, words]`, not negative."""
    beats = np.ascontiguousarray(beats, np.uint8)
    if width == 4:
        return np.stack([beats & 15, beats >> 4], axis=2).reshape(len(beats), -1)[:, :words].astype(np.int64)
    return beats.view(f"<u{width // 8}")[:, :words].astype(np.int64)


def weight_packet(tile: Tile, parameters: PeArrayParameters) -> np.ndarray:
    """The beats of a tile's weight packet: uint8 `[beats, ceil(C*W/8)]`; the header's rules are `check`'s.

    Raises:
        ConfigurationError: a value does not fit its field.
    """
    width, bits, columns = parameters.data_width, parameters.weight_bits, parameters.columns
    entries = [
        _encode(ENTRY, {name: values[number] for name, values in tile.entries.items()})
        for number in range(tile["entries"])
    ]
    roles = np.asarray(tile.vectors, np.int64) | np.asarray(tile.starts, np.int64) << (width - 1)
    parts = [
        _beats_of_bytes(encode_header(tile.header)[None], bits),
        _pack(roles[None], width),
        _beats_of_bytes(np.array(entries), bits),
    ]
    if tile["mode.table"]:
        table = np.pad(tile.table, (0, -len(tile.table) % columns))
        parts.append(_pack(table.reshape(-1, columns), width))
    if tile["mode.softmax"]:
        words = np.ascontiguousarray(np.asarray(tile.table, np.int64).astype("<u4")[:, None])
        parts.append(_beats_of_bytes(words.view(np.uint8), bits))
    parts.append(_pack(tile.weights, width))
    return np.concatenate(parts)


def read_weight_packet(beats: np.ndarray, parameters: PeArrayParameters) -> Tile:
    """The tile that a weight packet describes, as the array reads it.

    Raises:
        ConfigurationError: too short for a header, a header that is refused, or another length than it says.
    """
    width, columns = parameters.data_width, parameters.columns
    header_beats = -(-HEADER_BITS // parameters.weight_bits)
    if len(beats) < header_beats:
        raise ConfigurationError(
            f"weight packet has {len(beats)} beats, but its header alone takes {header_beats}"
        )
    header = decode_header(_bytes_of_beats(beats[:header_beats], parameters.weight_bits, 1)[0])
    check_header(header, parameters)
    sections = _sections(Tile(header, *(np.zeros(0),) * 2, {}, np.zeros(0)), parameters)
    if len(beats) != sum(sections.values()):
        raise ConfigurationError(
            f"weight packet has {len(beats)} beats, but its header says {sum(sections.values())}"
        )
    ends = np.cumsum(list(sections.values()))
    parts = dict(zip(sections, np.split(beats, ends[:-1]), strict=True))
    roles = _unpack(parts["columns"], columns, width)[0]
    entries = [
        _decode(ENTRY, e)
        for e in _bytes_of_beats(parts["entries"], parameters.weight_bits, header["entries"])
    ]
    return Tile(
        header=header,
        starts=(roles >> (width - 1)).astype(bool),
        vectors=(roles & (parameters.vectors - 1)).astype(np.uint8),
        entries={name: np.array([entry[name] for entry in entries], np.int64) for name in ENTRY_FIELDS},
        weights=_unpack(parts["weights"], columns, width),
        table=_read_table(header, parts["table"], parameters),
    )


def _read_table(
    header: Mapping[str, int], beats: np.ndarray, parameters: PeArrayParameters
) -> np.ndarray | None:
    words = 1 << parameters.data_width
    if header["mode.softmax"]:
        content = _bytes_of_beats(beats, parameters.weight_bits, words)[:, :_WORD_BYTES]
        return np.ascontiguousarray(content).view("<u4")[:, 0].astype(np.int64)
    if header["mode.table"]:
        return _unpack(beats, parameters.columns, parameters.data_width).reshape(-1)[:words]
    return None


def pixel_packets(tile: Tile, pixels: np.ndarray, parameters: PeArrayParameters) -> np.ndarray:
    """Pixels `[images, row_blocks, columns, channels, beats, P, R]` to packets uint8 `[packets, beats, bytes]`.

    Raises:
        ConfigurationError: the array has another shape.
    """
    shape = tile.pixel_shape(parameters)
    if np.shape(pixels) != shape:
        raise ConfigurationError(f"pixels have shape {list(np.shape(pixels))}, but must have {list(shape)}")
    words = np.asarray(pixels).reshape(-1, parameters.vectors * parameters.rows)
    return _pack(words, parameters.data_width).reshape(tile.packets, tile.packet_beats, -1)


def output_packets(beats: OutputBeats, parameters: PeArrayParameters) -> np.ndarray:
    """Output data as the stream's beats: uint8 `[n, ceil(Q*R*W/8)]`."""
    return _pack(beats.data.reshape(len(beats), -1), parameters.data_width)


def read_output(data: Iterable[np.ndarray] | np.ndarray, parameters: PeArrayParameters) -> np.ndarray:
    """The inverse: int64 `[n, Q, R]`, W-bit patterns."""
    words = parameters.lanes * parameters.rows
    return _unpack(np.asarray(data, np.uint8), words, parameters.data_width).reshape(
        -1, parameters.lanes, parameters.rows
    )
