# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the PE array's bench: what kinds of tiles ran, what was dropped, who waited for whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from assay.golden.layers import fixed_point, tflite, tflite_reductions, tflite_tables
from assay.golden.layers.linear import Window
from assay.golden.pe_array.parameters import MAX_KERNEL, MAX_STRIDE, SOFTMAX_DEPTH, PeArrayParameters
from assay.golden.pe_array.registers import ERRORS, ArrayOp, LaneOp, Rescaling
from assay.golden.pe_array.tile import Tile
from assay.golden.schemes.tflite import ACTIVATIONS
from assay.tb.coverage import CoverGroup, CoverPoint

_OFF_ON = {"off": 0, "on": 1}
_SOME = {"0": 0, "1": 1, "more": range(2, 1 << 17)}
_COUNT = {"1": 1, "2": 2, "more": range(3, 1 << 17)}
_KERNELS = range(1, MAX_KERNEL + 1)
_STRIDES = range(1, MAX_STRIDE + 1)
_LENGTHS = {"to 255": range(1, 256), "256 and more": range(256, 1 << 16)}
_LONG = {
    "to 255": range(1, 256),
    "256 to 4095": range(256, 1 << 12),
    "4096 and more": range(1 << 12, 1 << 16),
}
_PAST = {"to 65535": range(1, 1 << 16), "65536 and more": range(1 << 16, 1 << 19)}
_PLACES = ("least", "0", "greatest", "other")
_PADDING = ("none", "even", "uneven")
#: Operator's class to the kind of layer.
_KINDS_OF = {
    tflite.Conv2D: "convolution",
    fixed_point.Conv: "convolution",
    tflite.FullyConnected: "fully connected",
    fixed_point.Gemm: "fully connected",
    tflite.BatchMatMul: "matrix product",
    fixed_point.MatMul: "matrix product",
    tflite.Add: "add",
    fixed_point.Sum: "add",
    tflite.Multiply: "multiply",
    tflite.Prelu: "prelu",
    fixed_point.PRelu: "prelu",
    tflite_tables.Lookup: "table",
    tflite_tables.Rescaled: "table",
    fixed_point.LeakyRelu: "table",
    fixed_point.Relu: "table",
    fixed_point.Stepwise: "table",
    tflite_reductions.MaxPool2D: "max pool",
    fixed_point.MaxPool: "max pool",
    tflite_reductions.AveragePool2D: "average pool",
    fixed_point.AveragePool: "average pool",
    tflite_reductions.Reduce: "reduction",
    tflite_reductions.Softmax: "softmax",
    fixed_point.ReduceSum: "reduction",
}
_KINDS = (*dict.fromkeys(_KINDS_OF.values()), "subtract")


class PeArrayCoverage:
    """Cover groups of one run.

    Attributes:
        operations: what elements and lanes of legal tiles do.
        windows: kernels, strides, padding and groups of legal tiles.
        shapes: sizes of legal tiles.
        layers, convolutions, pools: what the mapper made tiles of, as it is in its framework.
        lengths: whether counters of tiles went past 255, and past 4095.
        ends: zero points at the ends of their range.
        softmaxes: their lengths.
        averages: strides of tiles that divide by the number of places in the map, by whether that number varies.
        extents: steps and rows of the padded map, also of rows whose places in the map are counted behind the last
            packet, past what 16 bits count.
        cuts: where pixel packets ended that were too short.
        errors: causes and ways of dropped packets.
        clears: clocks from an event to a write that clears status.
        ends_of_tiles: clocks from the end of a tile to a clear.
        fields: numbers that a field holds, but that no operator gives it.
        streams: which stream's beats had to wait, and which rested.
    """

    def __init__(self) -> None:
        self.operations = CoverGroup(
            "pe_array_operations",
            [
                CoverPoint("array_op", {"multiply": ArrayOp.MAC, "maximum": ArrayOp.MAX}),
                CoverPoint("lane_op", {op.name.lower(): op for op in LaneOp}),
                CoverPoint("rescaling", {kind.name.lower(): kind for kind in Rescaling}),
                CoverPoint("table", _OFF_ON),
                CoverPoint("softmax", _OFF_ON),
                CoverPoint("count_divide", _OFF_ON),
                CoverPoint("subtract", _OFF_ON),
                CoverPoint("input_sign", {"unsigned": 0, "signed": 1}),
                CoverPoint("weight_sign", {"unsigned": 0, "signed": 1}),
                CoverPoint("input_zero", {"negative": -1, "0": 0, "positive": 1}),
                CoverPoint("clamp", {"whole range": 0, "one-sided": 1, "both sides": 2}),
            ],
            crosses=[
                ("array_op", "lane_op", "rescaling"),
                ("lane_op", "rescaling", "table"),
                ("rescaling", "count_divide"),
                ("input_sign", "weight_sign", "input_zero"),
                ("lane_op", "clamp"),
            ],
            impossible=lambda labels: (
                labels.get("count_divide") == "on" and labels.get("rescaling", "rational") != "rational"
            ),
        )
        self.windows = CoverGroup(
            "pe_array_windows",
            [
                CoverPoint("kernel_rows", _KERNELS),
                CoverPoint("group_columns", _COUNT),
                CoverPoint("row_stride", _STRIDES),
                CoverPoint("column_stride", _STRIDES),
                CoverPoint("phases", _STRIDES),
                CoverPoint("pad_top", _SOME),
                CoverPoint("pad_bottom", _SOME),
                CoverPoint("first_output", range(MAX_KERNEL)),
                CoverPoint("flush", _SOME),
                CoverPoint("array_op", {"multiply": ArrayOp.MAC, "maximum": ArrayOp.MAX}),
                CoverPoint("vectors", {"one": 1, "several": range(2, 9)}),
            ],
            crosses=[
                ("kernel_rows", "row_stride"),
                ("column_stride", "phases"),
                ("row_stride", "pad_top", "pad_bottom"),
                ("column_stride", "flush"),
                ("array_op", "group_columns", "row_stride"),
            ],
            impossible=lambda labels: int(labels.get("row_stride", 1)) > int(labels.get("kernel_rows", 99)),
        )
        self.shapes = CoverGroup(
            "pe_array_shapes",
            [
                CoverPoint("images", _COUNT),
                CoverPoint("row_blocks", _COUNT),
                CoverPoint("columns", _COUNT),
                CoverPoint("channels", _COUNT),
                CoverPoint("entries", {"1": 1, "some": 2, "one for each column": 3}),
                CoverPoint("rows", {"whole last block": 0, "part of it": 1}),
                CoverPoint("last_group", {"whole": 0, "part": 1}),
            ],
            crosses=[("images", "row_blocks"), ("entries", "last_group")],
        )
        self.layers = CoverGroup(
            "pe_array_layers",
            [
                CoverPoint("kind", _KINDS),
                CoverPoint("activation", tuple(ACTIVATIONS)),
                CoverPoint("scheme", ("tflite", "fixed_point")),
            ],
            crosses=[("kind", "activation")],
            impossible=lambda labels: (
                labels.get("activation") != "NONE"
                and labels["kind"] in ("matrix product", "prelu", "table", "reduction", "softmax")
            ),
        )
        self.convolutions = CoverGroup(
            "pe_array_convolutions",
            [
                CoverPoint("group", ("standard", "grouped", "depthwise")),
                CoverPoint("kernel", ("1x1", "square", "other")),
                CoverPoint("kernel_rows", _KERNELS),
                CoverPoint("kernel_columns", _KERNELS),
                CoverPoint("row_stride", _STRIDES),
                CoverPoint("column_stride", _STRIDES),
                CoverPoint("padding", _PADDING),
                CoverPoint("activation", tuple(ACTIVATIONS)),
            ],
            crosses=[
                ("kernel", "row_stride", "padding", "group"),
                ("row_stride", "column_stride"),
                ("kernel_rows", "row_stride"),
                ("kernel_columns", "column_stride"),
                ("group", "activation"),
            ],
            impossible=lambda labels: (
                labels.get("kernel") == "1x1" and labels.get("padding", "none") != "none"
            ),
        )
        self.pools = CoverGroup(
            "pe_array_pools",
            [
                CoverPoint("kind", ("max", "average")),
                CoverPoint("kernel_rows", {**{str(k): k for k in range(2, 8)}, "other": 0}),
                CoverPoint("row_stride", {"1": 1, "2": 2, "more": range(3, 1 << 16)}),
                CoverPoint("padding", _PADDING),
                CoverPoint("activation", tuple(ACTIVATIONS)),
            ],
            crosses=[("kind", "kernel_rows", "row_stride"), ("kind", "padding"), ("kind", "activation")],
        )
        self.ends = CoverGroup(
            "pe_array_ends",
            [
                CoverPoint("input_sign", {"unsigned": 0, "signed": 1}),
                CoverPoint("weight_sign", {"unsigned": 0, "signed": 1}),
                CoverPoint("array_op", {"multiply": ArrayOp.MAC, "maximum": ArrayOp.MAX}),
                CoverPoint("lane_op", {op.name.lower(): op for op in LaneOp}),
                CoverPoint("input_zero", _PLACES),
                CoverPoint("weight_zero", _PLACES),
                CoverPoint("output_zero", _PLACES),
                CoverPoint("output_sign", {"unsigned": 0, "signed": 1}),
            ],
            crosses=[
                ("input_sign", "input_zero", "array_op"),
                ("weight_sign", "weight_zero"),
                ("output_sign", "output_zero", "lane_op"),
            ],
            # Of an unsigned operand 0 is the least.
            impossible=lambda labels: any(
                labels.get(f"{operand}_sign") == "unsigned" and labels.get(f"{operand}_zero") == "0"
                for operand in ("input", "weight", "output")
            ),
        )
        self.lengths = CoverGroup(
            "pe_array_lengths",
            [
                CoverPoint("columns", _LENGTHS),
                *(CoverPoint(name, _LONG) for name in ("images", "row_blocks", "output_columns")),
            ],
        )
        self.softmaxes = CoverGroup(
            "pe_array_softmaxes",
            [
                CoverPoint(
                    "length", {"1": 1, "some": range(2, SOFTMAX_DEPTH), "as many as fit": SOFTMAX_DEPTH}
                )
            ],
        )
        self.averages = CoverGroup(
            "pe_array_averages",
            [
                CoverPoint("row_stride", _STRIDES),
                CoverPoint("column_stride", _STRIDES),
                CoverPoint("rows", {"counts alike": 0, "counts vary": 1}),
                CoverPoint("columns", {"counts alike": 0, "counts vary": 1}),
            ],
            crosses=[("row_stride", "rows"), ("column_stride", "columns")],
        )
        self.extents = CoverGroup(
            "pe_array_extents",
            [
                CoverPoint("steps", _PAST),
                CoverPoint("map_rows", _PAST),
                CoverPoint(
                    "counted_map_rows",
                    {"to 65535": range(1 << 16), "65536 and more": range(1 << 16, 1 << 19)},
                ),
            ],
        )
        self.cuts = CoverGroup(
            "pe_array_cuts",
            [CoverPoint("behind", ("the first channel", "a channel in the middle", "a beat in a channel"))],
        )
        self.errors = CoverGroup("pe_array_errors", [CoverPoint("error", [name for name, _ in ERRORS])])
        self.clears = CoverGroup(
            "pe_array_clears",
            [
                CoverPoint(
                    "offset", {"earlier": -2, "1 before": -1, "same clock": 0, "1 after": 1, "later": 2}
                )
            ],
        )
        self.ends_of_tiles = CoverGroup(
            "pe_array_ends_of_tiles",
            [CoverPoint("clear", {"earlier": -2, "1 before": -1, "same clock": 0, "1 after": 1, "later": 2})],
        )
        self.fields = CoverGroup(
            "pe_array_fields",
            [
                CoverPoint("low", {"below the words": 0, "a word": 1, "above the words": 2}),
                CoverPoint("high", {"below the words": 0, "a word": 1, "above the words": 2}),
                CoverPoint("bounds", {"in order": 0, "least above greatest": 1}),
                CoverPoint("alpha", {"a word's bits": 0, "more": 1}),
                CoverPoint("multiplier_bit_31", _OFF_ON),
                CoverPoint("column_0", {"not marked": 0, "marked": 1}),
                CoverPoint(
                    "places",
                    {
                        "not divided by": -1,
                        "none": 0,
                        "to 127": range(1, 128),
                        "128 and more": range(128, 256),
                    },
                ),
            ],
        )
        self.streams = CoverGroup(
            "pe_array_streams",
            [
                CoverPoint(
                    "event", ("wgt waited", "pix waited", "out waited", "array starved", "array blocked")
                )
            ],
        )

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """All groups."""
        tiles = (self.operations, self.windows, self.shapes, self.lengths)
        kinds = (self.layers, self.convolutions, self.pools, self.ends, self.softmaxes, self.averages)
        clears = (self.clears, self.ends_of_tiles)
        return (*tiles, *kinds, self.extents, self.cuts, self.errors, *clears, self.fields, self.streams)

    def sample_tile(self, tile: Tile, params: PeArrayParameters) -> None:
        """Count a legal tile by its header and its columns."""
        low, high = tile["low"], tile["high"]
        least, most = _range(tile, params)
        self.operations.sample(
            array_op=tile["mode.array_op"],
            lane_op=tile["mode.lane_op"],
            rescaling=tile["mode.rescaling"],
            table=tile["mode.table"],
            softmax=tile["mode.softmax"],
            count_divide=int(tile["mode.count_divide"] and tile["mode.rescaling"] == Rescaling.RATIONAL),
            subtract=int(tile["mode.subtract"] and tile["mode.lane_op"] == LaneOp.ADD),
            input_sign=tile["mode.input_signed"],
            weight_sign=tile["mode.weight_signed"],
            input_zero=int(np.sign(tile["input_zero"])),
            clamp=int(low > least) + int(high < most),
        )
        step = tile.step_clocks
        outputs, stride = tile["rows.output"], tile["window.row_stride"]
        reads = (outputs - 1) * stride + tile["window.kernel_rows"]
        starts = [bool(start) for start in tile.starts]
        rows = (tile["repeat.row_blocks"] - 1) * params.rows * stride + 1
        counts = tile["mode.count_divide"] and tile["mode.rescaling"] == Rescaling.RATIONAL and tile.flush
        self.extents.sample(steps=tile.steps, map_rows=rows, counted_map_rows=rows if counts else 0)
        self.windows.sample(
            kernel_rows=tile["window.kernel_rows"],
            group_columns=[*starts[1:], True].index(True) + 1,
            row_stride=stride,
            column_stride=tile["window.column_stride"],
            phases=tile["extent.weight_beats"] // step,
            pad_top=tile["window.pad_top"],
            pad_bottom=max(0, reads - tile["window.pad_top"] - tile["rows.map"]),
            first_output=tile["window.first_output"],
            flush=tile.flush,
            array_op=tile["mode.array_op"],
            vectors=len({int(vector) for vector in tile.vectors}),
        )
        self.lengths.sample(
            images=tile["repeat.images"],
            row_blocks=tile["repeat.row_blocks"],
            columns=tile["packet.columns"],
            output_columns=tile["extent.output_columns"],
        )
        self._sample_ends(tile, params)
        self._sample_fields(tile, params)
        entries = tile["entries"]
        self.shapes.sample(
            images=tile["repeat.images"],
            row_blocks=tile["repeat.row_blocks"],
            columns=tile["packet.columns"],
            channels=tile["packet.channels"],
            entries=1 if entries == 1 else 3 if entries == params.columns else 2,
            rows=int(outputs < tile["repeat.row_blocks"] * params.rows),
            last_group=int(entries % params.lanes != 0),
        )

    def _sample_fields(self, tile: Tile, params: PeArrayParameters) -> None:
        """Count what a tile's fields hold beyond what operators need."""
        least, most = -(1 << params.data_width - 1), (1 << params.data_width) - 1
        low, high = (0 if tile[name] < least else 2 if tile[name] > most else 1 for name in ("low", "high"))
        alpha = np.abs(tile.entries["source.alpha"]) if tile["mode.lane_op"] == LaneOp.PRELU else np.zeros(1)
        double = tile["mode.rescaling"] == Rescaling.DOUBLE_ROUNDING
        places: np.ndarray | int = -1
        if tile["mode.rescaling"] == Rescaling.RATIONAL and tile["mode.count_divide"]:
            places = np.unique(np.multiply.outer(*_places(tile)))
        self.fields.sample(
            low=low,
            high=high,
            bounds=int(tile["low"] > tile["high"]),
            alpha=int(alpha.max() > most + 1),
            multiplier_bit_31=int(double and bool((tile.entries["multiplier"] >> 31).any())),
            column_0=int(tile.starts[0]),
            places=places,
        )

    def _sample_ends(self, tile: Tile, params: PeArrayParameters) -> None:
        """Count where a tile's zero points lie, its softmax, and what it divides by."""
        width, sign = params.data_width, int(tile["low"] < 0)
        self.ends.sample(
            input_sign=tile["mode.input_signed"],
            weight_sign=tile["mode.weight_signed"],
            array_op=tile["mode.array_op"],
            lane_op=tile["mode.lane_op"],
            input_zero=_place(tile["input_zero"], width, tile["mode.input_signed"]),
            weight_zero=_place(tile["weight_zero"], width, tile["mode.weight_signed"]),
            output_zero=_place(tile["output_zero"], width, sign),
            output_sign=sign,
        )
        if tile["mode.softmax"]:
            self.softmaxes.sample(length=tile.vector_length)
        if tile["mode.rescaling"] == Rescaling.RATIONAL and tile["mode.count_divide"]:
            rows_vary, columns_vary = (len(np.unique(places)) > 1 for places in _places(tile))
            self.averages.sample(
                row_stride=tile["window.row_stride"],
                column_stride=tile["window.column_stride"],
                rows=int(rows_vary),
                columns=int(columns_vary),
            )

    def sample_layer(self, operator: Any) -> None:
        """Count a layer by its operator, of `golden.layers`."""
        for group, values in self._of_layer(operator):
            group.sample(**values)

    def is_new(self, operator: Any) -> bool:
        """Whether a layer would hit a bin that none has hit so far."""
        return any(group.is_new(**values) for group, values in self._of_layer(operator))

    def _of_layer(self, operator: Any) -> Iterator[tuple[CoverGroup, dict[str, Any]]]:
        """The groups that a layer belongs to, with its sample of each."""
        operator = getattr(operator, "operator", operator)  # of a `Pairwise`
        kind = "subtract" if getattr(operator, "subtract", False) else _KINDS_OF[type(operator)]
        inner = getattr(operator, "layer", operator)  # of a fully connected one
        activation = getattr(inner, "activation", "NONE")
        scheme = "fixed_point" if type(operator).__module__ == fixed_point.__name__ else "tflite"
        yield self.layers, {"kind": kind, "activation": activation, "scheme": scheme}
        if kind == "convolution":
            convolution = operator.convolution
            window = convolution.window
            (rows, columns), group = window.kernel, "depthwise" if convolution.depthwise else "grouped"
            yield (
                self.convolutions,
                {
                    "group": group if convolution.groups > 1 else "standard",
                    "kernel": "1x1" if rows == columns == 1 else "square" if rows == columns else "other",
                    "kernel_rows": rows,
                    "kernel_columns": columns,
                    "row_stride": window.stride[0],
                    "column_stride": window.stride[1],
                    "padding": _padding(window),
                    "activation": activation,
                },
            )
        elif kind in ("max pool", "average pool"):
            window = operator.window
            rows = window.kernel[0]
            yield (
                self.pools,
                {
                    "kind": kind.split()[0],
                    "kernel_rows": rows if 2 <= rows <= 7 else 0,
                    "row_stride": window.stride[0],
                    "padding": _padding(window),
                    "activation": activation,
                },
            )

    def sample_cut(self, beats: int, tile: Tile) -> None:
        """Count a pixel packet that ends after so many beats, which are too few."""
        channel, beat = divmod(beats, tile["window.beats"])
        where = "a beat in a channel" if beat else "the first channel"
        self.cuts.sample(behind="a channel in the middle" if not beat and channel > 1 else where)

    def sample_errors(self, names: set[str]) -> None:
        """Count dropped packets by the error they raise."""
        for name in names:
            self.errors.sample(error=name)

    def sample_streams(self, waits: dict[str, int], starved: int, blocked: int) -> None:
        """Count what waited since the last reset."""
        clocks = {f"{name} waited": n for name, n in waits.items()}
        for event, n in {**clocks, "array starved": starved, "array blocked": blocked}.items():
            if n:
                self.streams.sample(event=event)


def places_in_map(outputs: int, stride: int, kernel: int, pad: int, size: int) -> np.ndarray:
    """Kernel places inside a map of `size` behind `pad`, along one axis: int64 `[outputs]`."""
    first = np.arange(outputs) * stride
    return np.maximum(0, np.minimum(first + kernel, pad + size) - np.maximum(first, pad))


def _places(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """Kernel places inside the map by output row and by output column."""
    rows = (tile["window.kernel_rows"], tile["window.pad_top"], tile["rows.map"])
    columns = tile["window.kernel_columns"]
    return (
        places_in_map(tile["rows.output"], tile["window.row_stride"], *rows),
        places_in_map(
            tile["extent.output_columns"],
            tile["window.column_stride"],
            columns,
            columns - 1 - tile["window.first_output"],
            tile["packet.columns"],
        ),
    )


def _place(zero: int, width: int, signed: int) -> str:
    """Where a zero point lies in the range of its operand."""
    least, greatest = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
    return {0: "0", greatest: "greatest", least: "least"}.get(zero, "other")


def _padding(window: Window) -> str:
    """Even: as much before as after, or one place more after, as TFLite's SAME has it."""
    top, left, bottom, right = window.padding
    if not any(window.padding):
        return "none"
    return "even" if bottom - top in (0, 1) and right - left in (0, 1) else "uneven"


def _range(tile: Tile, params: PeArrayParameters) -> tuple[int, int]:
    """Least and greatest output word, as signed or unsigned as the clamps say."""
    half = 1 << params.data_width - 1
    return (-half, half - 1) if tile["low"] < 0 or tile["high"] < half else (0, 2 * half - 1)
