# SPDX-License-Identifier: Apache-2.0
"""Fields of tiles that divide by the places of a window in the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.golden.pe_array.parameters import MAX_KERNEL, MAX_STRIDE
from assay.golden.pe_array.registers import Rescaling

if TYPE_CHECKING:
    from assay.tb.pe_array.stimulus import Stimulus

__all__ = ["crowded_average", "largest_average"]


def crowded_average(stimulus: Stimulus) -> dict[str, int]:
    """A division by places that are others from column to column, whose columns wait for the output stage."""
    return {
        "mode__rescaling": Rescaling.RATIONAL,
        "mode__count_divide": 1,
        "mode__softmax": 0,
        "packet__channels": 1,
        "window__kernel_rows": 1,
        "window__row_stride": 1,
        "window__kernel_columns": 5,
        "window__column_stride": 1,
        "window__first_output": 2,
        "extent__output_columns": 7,
        "entries": stimulus.params.columns,
    }


def largest_average(stimulus: Stimulus) -> dict[str, int]:
    """A division by as many places as a window has: columns and rows of the largest one, all of them in the map."""
    steps = {"window__first_output": MAX_KERNEL - 1, "window__column_stride": MAX_STRIDE}
    columns = MAX_KERNEL + 2 * MAX_STRIDE
    return {
        "mode__rescaling": Rescaling.RATIONAL,
        "mode__count_divide": 1,
        "mode__softmax": 0,
        "repeat__images": 1,
        "repeat__row_blocks": 1,
        "packet__channels": 1,
        "packet__columns": columns,
        "window__kernel_rows": MAX_KERNEL,
        "window__kernel_columns": 15,
        "window__pad_top": stimulus.random.randint(0, 1),
        "rows__map": 1000,
        "extent__output_columns": 3,
        **steps,
    }
