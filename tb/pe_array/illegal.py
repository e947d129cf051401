# SPDX-License-Identifier: Apache-2.0
"""Headers that the PE array refuses: each rule of docs/pe_array.md broken alone, in several ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from assay.golden.pe_array.parameters import MAX_KERNEL, MAX_STRIDE, SOFTMAX_DEPTH, PeArrayParameters
from assay.golden.pe_array.registers import MAGIC

__all__ = ["wrong_headers"]

#: A number that is too narrow starts again here, and a wrong product looks like a small one.
_WRAP = 1 << 16

Fields = dict[str, int]


def wrong_headers(
    p: PeArrayParameters, r: Random, beats: Callable[[int, int], int]
) -> Iterator[tuple[str, list[Fields]]]:
    """Each rule, and the ways to break it alone: one beyond the limit, far beyond it, and so far that a product of 16
    bits starts again.

    Args:
        p: of the build.
        r: draws what lies far beyond a limit.
        beats: beats of a channel by kernel rows and row stride.

    Yields:
        The rule's name, and for each way the fields that differ from those of a legal header whose counts are all 1,
        but for as many entries as columns, and as many rows as the array has.
    """
    yield (
        "magic",
        [{"mode.magic": MAGIC ^ wrong} for wrong in (0x1515, 1 << r.randrange(8), 256 << r.randrange(8))],
    )
    for name in ("repeat.images", "repeat.row_blocks", "packet.columns", "packet.channels"):
        yield f"no {name}", [{name: 0}]
    for name in ("window.kernel_rows", "window.row_stride", "window.beats", "window.column_stride"):
        yield f"no {name}", [{name: 0}]
    for name in ("extent.output_columns", "rows.map", "rows.output", "entries", "extent.weight_beats"):
        yield f"no {name}", [{name: 0}]
    talls = (MAX_KERNEL + 1, r.randint(MAX_KERNEL + 2, 15))
    yield "kernel_rows", [_kernel(rows, 1, beats) for rows in talls]
    yield "row_stride", [_kernel(k, k, beats) for k in (MAX_STRIDE + 1, r.randint(MAX_STRIDE + 2, 7))]
    yield (
        "column_stride",
        [{"window.column_stride": stride} for stride in (MAX_STRIDE + 1, r.randint(MAX_STRIDE + 2, 7))],
    )
    yield "row_stride above kernel_rows", [{"window.row_stride": 2, "window.beats": beats(1, 2)}]
    yield (
        "first_output",
        [{"window.first_output": first} for first in (MAX_KERNEL, r.randint(MAX_KERNEL + 1, 15))],
    )
    yield "beats", [{"window.beats": beats(1, 1) + more} for more in (1, r.randint(2, 30))]
    few = _kernel(2, 2, beats)
    yield "too few beats", [{**few, "window.beats": few["window.beats"] - 1}]
    if 2 * p.pixel_depth <= 1 << 15:
        big = {"packet.channels": p.pixel_depth + 1, "extent.weight_beats": p.pixel_depth + 1}
        yield "pixel_depth", [big]
    if p.weight_depth < 1 << 15:
        deep = {"packet.channels": p.weight_depth + 1, "extent.weight_beats": p.weight_depth + 1}
        yield "weight_depth", [deep]
    yield "weight_beats", [{"packet.channels": 2, "extent.weight_beats": 3}, *_wrapped_weights(p, beats)]
    yield "five phases", [{"extent.weight_beats": 5}]
    above = [p.columns + 1]
    if 256 + p.columns < 1 << 9:  # the field's low eight bits are a legal number
        above.append(256 + r.randint(1, p.columns))
    yield "entries above columns", [{"entries": entries} for entries in above]
    yield "columns above steps", [{"packet.columns": columns} for columns in (2, r.randint(3, _WRAP - 1))]
    yield "rescaling", [{"mode.rescaling": 3}]
    if p.data_width == 16:
        yield "table", [{"mode.table": 1}]
    if p.data_width != 8:
        yield "softmax of other words", [{"mode.softmax": 1}]
    else:
        yield "softmax and table", [{"mode.softmax": 1, "mode.table": 1}]
        long = [{"mode.softmax": 1, "extent.output_columns": SOFTMAX_DEPTH // p.columns + 1}]
        if p.columns > 1:
            columns = _WRAP // 2 + r.randint(1, SOFTMAX_DEPTH // 2)
            long.append({"mode.softmax": 1, "extent.output_columns": columns, "entries": 2})
        yield "softmax too long", long
    blocks = [2]
    if p.rows > 1:
        blocks.append(-(-_WRAP // p.rows) + 1)
    yield "row_blocks", [{"repeat.row_blocks": many, "rows.output": p.rows} for many in blocks]


def _kernel(rows: int, stride: int, beats: Callable[[int, int], int]) -> Fields:
    """A kernel of so many rows, with the weights and beats that belong to it."""
    return {
        "window.kernel_rows": rows,
        "window.row_stride": stride,
        "window.beats": beats(rows, stride),
        "extent.weight_beats": rows,
    }


def _wrapped_weights(p: PeArrayParameters, beats: Callable[[int, int], int]) -> Iterator[Fields]:
    """As many weights as a product of channels, kernel rows and phases has in its low 16 bits, where the memories allow
    for such a product."""
    for rows in range(1, MAX_KERNEL + 1):
        channels = -(-_WRAP // (rows * MAX_STRIDE))
        left = channels * rows * MAX_STRIDE - _WRAP
        phases = [channels * rows * k for k in range(1, MAX_STRIDE + 1)]
        if 0 < left <= p.weight_depth and left not in phases and channels * beats(rows, 1) <= p.pixel_depth:
            yield {**_kernel(rows, 1, beats), "packet.channels": channels, "extent.weight_beats": left}
            return
