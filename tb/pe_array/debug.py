# SPDX-License-Identifier: Apache-2.0
"""The data path of the PE array for who explains a failure: the stages that its probes show, a tile's values there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assay.golden.pe_array.functional import outputs
from assay.golden.pe_array.parameters import ACC_WIDTH, PeArrayParameters
from assay.golden.pe_array.tile import Tile
from assay.tb.debug import Axis, JobRecord, Stage, UnitRecord, still_inside

if TYPE_CHECKING:
    from assay.tb.pe_array.env import Expectation, OutputScoreboard

__all__ = ["job_record", "output_axes", "stages", "unit_record"]


def stages(params: PeArrayParameters) -> list[Stage]:
    """The stages along the array's data path."""
    post, lanes, width = "pe_array_post", params.lanes * params.rows, params.data_width
    return [
        Stage(
            "column", "column's accumulators", "pe_array_core", "", params.columns * params.rows, ACC_WIDTH
        ),
        Stage("accumulator", "accumulator of the entry", "pe_array_drain", "first_o", lanes, ACC_WIDTH),
        Stage("biased", "with bias", post, "first_q", lanes, ACC_WIDTH),
        Stage("sum", "sum, product or slope", post, "x_q", lanes, ACC_WIDTH),
        Stage("rescaled", "rescaled", "rescale", "y_o", lanes, ACC_WIDTH),
        Stage("clamped", "with zero point, clamped", post, "word_q", lanes, width, words=True),
        Stage("word", "word, from the table", post, "data_q", lanes, width, words=True),
        Stage("output", "word put out", "pe_array_softmax", "", lanes, width, words=True),
    ]


def output_axes(tile: Tile, params: PeArrayParameters) -> tuple[list[Axis], list[Axis]]:
    """The axes of a tile's beats and of the words in each, see `tb.debug.JobRecord`."""
    axes = [
        Axis("image", tile["repeat.images"]),
        Axis("row", tile["repeat.row_blocks"], params.rows),
        Axis("column", tile["extent.output_columns"]),
        Axis("channel", tile.groups(params), params.lanes),
    ]
    return axes, [Axis("channel", params.lanes), Axis("row", params.rows)]


def job_record(first: int, tile: Expectation, params: PeArrayParameters) -> JobRecord:
    """What the golden array computes in a tile whose first beat is beat `first` of the output."""
    kept: dict[str, np.ndarray] = {}
    made = outputs(tile.tile, tile.pixels, params, kept)
    kept["output"] = made.data
    values = {probe: np.asarray(array, np.int64).reshape(len(array), -1) for probe, array in kept.items()}
    nothing = ~np.asarray(made.keep).reshape(len(made), -1)
    axes, lane_axes = output_axes(tile.tile, params)
    return JobRecord(
        tile.name,
        first,
        values,
        {**dict.fromkeys(values, 1), "column": -tile.tile.groups(params)},
        axes,
        lane_axes,
        {probe: nothing for probe in values if probe != "column"},
    )


def unit_record(
    board: OutputScoreboard, params: PeArrayParameters, scope: str = "dut.u_probes"
) -> UnitRecord:
    """The record of the array whose results `board` compares."""
    tiles = [
        job_record(first, tile, params) for first, tile in still_inside(board.tiles, board.beats_compared)
    ]
    return UnitRecord(scope, "", "output", board.name, "output", stages(params), tiles)
