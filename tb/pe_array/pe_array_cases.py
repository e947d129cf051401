# SPDX-License-Identifier: Apache-2.0
"""The PE array's cases: how they are played, how they become simpler, how a person reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any

import numpy as np

from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.registers import ERRORS, ArrayOp, LaneOp, Rescaling
from assay.golden.pe_array.tile import ENTRY_FIELDS, Tile, check
from assay.tb.cases import Case, Cases, calmer, each_step, fewer_steps, nonzero_text, varied
from assay.tb.pe_array.steps import TileStep
from assay.tb.pe_array.tiles import TileItem
from assay.tb.shrinking import Pass, Search

__all__ = ["PeArrayCases", "item_of"]

_PLAIN = {
    "repeat.images": 1,
    "repeat.row_blocks": 1,
    "extent.output_columns": 1,
    "mode.softmax": 0,
    "mode.table": 0,
    "mode.lane_op": 0,
    "mode.count_divide": 0,
    "mode.rescaling": 0,
    "mode.array_op": 0,
    "mode.subtract": 0,
    "packet.channels": 1,
    "packet.columns": 1,
    "window.kernel_rows": 1,
    "window.row_stride": 1,
    "window.column_stride": 1,
    "window.first_output": 0,
    "window.pad_top": 0,
    "window.kernel_columns": 0,
    "rows.map": 1,
    "rows.output": 1,
    "entries": 1,
    "input_zero": 0,
    "weight_zero": 0,
    "second_zero": 0,
    "output_zero": 0,
    "first_multiplier": 0,
    "second_multiplier": 0,
    "operand.first_shift": 0,
    "operand.second_shift": 0,
    "operand.left_shift": 0,
    "mode.input_signed": 0,
    "mode.weight_signed": 0,
}
"""Header fields at their simplest, what makes a tile short first."""

_NAMES: dict[str, type[IntEnum]] = {
    "mode.array_op": ArrayOp,
    "mode.lane_op": LaneOp,
    "mode.rescaling": Rescaling,
}


def item_of(step: TileStep, params: PeArrayParameters) -> TileItem:
    """The item that plays a step.

    Raises:
        GoldenError: there is no such tile on this array.
    """
    if step.tile is None or step.pixels is None:
        item = TileItem(step.name)
    else:
        check(step.tile, params)
        item = TileItem.of(step.name, step.tile, step.pixels, params)
    for name in ("weight_packets", "pixel_packets"):
        if (packets := getattr(step, name)) is not None:
            setattr(item, name, [(content, last) for content, last in packets])
    item.weight_delay, item.pixel_delay = step.weight_delay, step.pixel_delay
    item.errors = set(step.errors)
    if unknown := item.errors - {name for name, _ in ERRORS}:
        raise ValueError(f"no errors: {', '.join(unknown)}")
    return item


def changed_tile(step: TileStep, params: PeArrayParameters, fields: Mapping[str, int]) -> TileStep:
    """A step whose tile has other header fields; what the others need of arrays is cut off.

    Args:
        fields: of the header; also ``phases``, the sets of weights that the columns take in turn.

    Raises:
        ConfigurationError: there is no such tile.
    """
    assert step.tile is not None and step.pixels is not None
    tile = step.tile
    phases = fields.get("phases", _phases(tile))
    header = {**tile.header, **{name: value for name, value in fields.items() if name != "phases"}}
    made = Tile(header, tile.starts, tile.vectors, tile.entries, tile.weights, tile.table)
    reads = (params.rows - 1) * made["window.row_stride"] + made["window.kernel_rows"]
    header |= {
        "window.row_stride": min(made["window.row_stride"], made["window.kernel_rows"]),
        "window.beats": -(-reads // params.rows),
        "extent.weight_beats": made.step_clocks * phases,
        "packet.columns": min(made["packet.columns"], made.steps),
        "rows.output": max(made["rows.output"], (made["repeat.row_blocks"] - 1) * params.rows + 1),
    }
    reads = (params.rows - 1) * header["window.row_stride"] + header["window.kernel_rows"]
    header["window.beats"] = -(-reads // params.rows)
    count = header["entries"]
    made = Tile(
        header,
        tile.starts,
        tile.vectors,
        {name: tile.entries[name][:count] for name in ENTRY_FIELDS},
        tile.weights[: header["extent.weight_beats"]],
        tile.table if made.has_table else None,
    )
    check(made, params)
    shape = made.pixel_shape(params)
    pixels = step.pixels[tuple(slice(length) for length in shape)]
    return varied(step, tile=made, pixels=pixels)


class PeArrayCases(Cases):
    """See `tb.cases.Cases`."""

    types = (TileStep, Tile)

    def check(self, case: Case) -> None:
        params = PeArrayParameters.of_rtl(dict(case.parameters))
        for step in case.steps:
            item_of(step, params)

    def passes(self) -> Iterable[Pass]:
        return (fewer_steps, each_step(calmer), each_step(_simplify))

    def describe(self, case: Case) -> list[str]:
        return [
            line for number, step in enumerate(case.steps, 1) for line in _described(f"tile {number}", step)
        ]


def _simplify(
    search: Search[Case], step: Callable[[Case], TileStep], made: Callable[[Case, TileStep], Case]
) -> None:
    """Fewer clocks, a plain header, few values that are not 0."""
    for name in ("weight_delay", "pixel_delay"):
        search.lower(
            lambda case, name=name: getattr(step(case), name),  # type: ignore[misc]
            lambda case, value, name=name: made(case, varied(step(case), **{name: value})),  # type: ignore[misc]
        )
    for name in ("weight_packets", "pixel_packets"):
        if getattr(step(search.best), name) is not None:
            search.leave_out(
                lambda case, name=name: getattr(step(case), name),  # type: ignore[misc]
                lambda case, rest, name=name: made(case, varied(step(case), **{name: tuple(rest)})),  # type: ignore[misc]
            )
    now = step(search.best)
    if now.tile is None or now.weight_packets is not None or now.pixel_packets is not None:
        return  # its packets are not those of its tile
    for name, plain in _PLAIN.items():
        search.lower(
            lambda case, name=name: _tile(step(case))[name],  # type: ignore[misc]
            lambda case, value, name=name: made(  # type: ignore[misc]
                case, changed_tile(step(case), _params(case), {name: value})
            ),
            plain,
        )
    search.lower(
        lambda case: _phases(_tile(step(case))),
        lambda case, value: made(case, changed_tile(step(case), _params(case), {"phases": value})),
        1,
    )
    _values(search, step, made)


def _phases(tile: Tile) -> int:
    """Sets of weights that the columns take in turn."""
    return tile["extent.weight_beats"] // tile.step_clocks


def _values(
    search: Search[Case], step: Callable[[Case], TileStep], made: Callable[[Case, TileStep], Case]
) -> None:
    def with_tile(case: Case, **values: Any) -> Case:
        tile = varied(_tile(step(case)), **values)
        check(tile, _params(case))
        return made(case, varied(step(case), tile=tile))

    def with_starts(case: Case, values: np.ndarray) -> Case:
        starts = values.astype(bool)
        starts[0] = True  # as it always is
        return with_tile(case, starts=starts)

    search.sparse(lambda case: _tile(step(case)).starts.astype(np.int64), with_starts)
    for name in ("vectors", "weights", "table"):
        if getattr(_tile(step(search.best)), name) is not None:
            search.sparse(
                lambda case, name=name: getattr(_tile(step(case)), name),  # type: ignore[misc]
                lambda case, values, name=name: with_tile(case, **{name: values}),  # type: ignore[misc]
            )
    for name in ENTRY_FIELDS:
        search.sparse(
            lambda case, name=name: _tile(step(case)).entries[name],  # type: ignore[misc]
            lambda case, values, name=name: with_tile(  # type: ignore[misc]
                case, entries={**_tile(step(case)).entries, name: values}
            ),
        )
    search.sparse(
        lambda case: _pixels(step(case)),
        lambda case, values: made(case, varied(step(case), pixels=values)),
    )
    half = 1 << _params(search.best).data_width - 1
    for name, end in (("low", -half), ("high", half - 1)):
        search.lower(
            lambda case, name=name: _tile(step(case))[name],  # type: ignore[misc]
            lambda case, value, name=name: made(  # type: ignore[misc]
                case, changed_tile(step(case), _params(case), {name: value})
            ),
            end,
        )


def _tile(step: TileStep) -> Tile:
    assert step.tile is not None
    return step.tile


def _pixels(step: TileStep) -> np.ndarray:
    assert step.pixels is not None
    return step.pixels


def _params(case: Case) -> PeArrayParameters:
    return PeArrayParameters.of_rtl(dict(case.parameters))


def _described(title: str, step: TileStep) -> list[str]:
    """A tile in the terms of network and hardware, lines for people."""
    lines = [f"{title}: {step.name}"]
    if step.tile is not None and step.pixels is not None:
        header = step.tile.header
        plain = {**_PLAIN, "window.beats": 1, "extent.weight_beats": 1}
        shown = [
            f"{name} {_NAMES[name](value).name if name in _NAMES else value}"
            for name, value in header.items()
            if value != plain.get(name)
        ]
        lines += [f"  {', '.join(shown[first : first + 5])}" for first in range(0, len(shown), 5)]
        lines.append(f"  groups begin at columns {', '.join(map(str, np.flatnonzero(step.tile.starts)))}")
        if step.tile.vectors.any():
            lines.append(f"  vectors {nonzero_text(step.tile.vectors)}")
        lines += [f"  {name} {nonzero_text(v)}" for name, v in step.tile.entries.items() if v.any()]
        lines.append(f"  weights {nonzero_text(step.tile.weights)}")
        if step.tile.table is not None:
            lines.append(f"  table {nonzero_text(step.tile.table)}")
        lines.append(f"  pixels {nonzero_text(step.pixels)}")
    for name in ("weight_packets", "pixel_packets"):
        if (packets := getattr(step, name)) is not None:
            lines.append(f"  {name} of {', '.join(str(len(last)) for _, last in packets) or 'no'} beats")
    lines += [f"  {name} rests {n} clocks before" for name, n in _delays(step) if n]
    lines += [f"  must raise {', '.join(step.errors)}"] if step.errors else []
    return [*lines, *(f"  stream {name} stalls in {n} of 256 clocks" for name, n in step.stalls.items())]


def _delays(step: TileStep) -> tuple[tuple[str, int], ...]:
    return ("wgt", step.weight_delay), ("pix", step.pixel_delay)
