# SPDX-License-Identifier: Apache-2.0
"""Which MVU makes which rows and output blocks of each layer: the distributed and the pipelined mapping.

An *item* is a layer, or a range of its output blocks where the weights of all do not fit, with a list of parts for each
MVU that has a share in it: one part in the distributed mapping, one for every few rows in the pipelined one. Items are
carried out in their order; a part waits for no later one, so no order of ends can make the MVUs wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.errors import DoesNotFitError
from assay.golden.mvu.clocks import OVERHEAD
from assay.golden.mvu.jobs import block_words, row_clocks
from assay.golden.mvu.layout import channel_blocks
from assay.golden.network import Layer

__all__ = ["STEP_CLOCKS", "STEP_WORTH", "Item", "Part", "distributed", "pipelined"]

#: Clocks between a job and the next one of the same MVU: interrupt, waits, command. An estimate for choices alone.
STEP_CLOCKS = 150
#: Multiply clocks that make a pipelined step worth its while.
STEP_WORTH = 400


@dataclass(frozen=True)
class Part:
    """Output rows and output blocks of a layer that one step makes."""

    rows: range
    blocks: range


@dataclass(frozen=True, eq=False)
class Item:
    """A layer, or output blocks of it, and who makes what.

    Attributes:
        layer: to run.
        size: (H, W) of its input map.
        parts: MVU to its parts in order; all of an MVU have the same blocks.
    """

    layer: Layer
    size: tuple[int, int]
    parts: dict[int, list[Part]]

    def blocks(self, mvu: int) -> range:
        """Output blocks that `mvu` makes."""
        return self.parts[mvu][0].blocks


def distributed(
    layers: list[tuple[Layer, tuple[int, int]]],
    params: AcceleratorParameters,
    teams: list[range] | None = None,
) -> Iterator[Item]:
    """Every layer by all MVUs: by rows, by output blocks or by both, whichever is predicted to end first.

    Args:
        layers: each with the size of its input map.
        params: of the accelerator.
        teams: of each layer, the MVUs that share it, by default all; where the next layer's are others, none of them
            need hold both the layer's input and its output.

    Raises:
        DoesNotFitError: the weights of one output block do not fit the weight memory.
    """
    teams = teams or [range(params.mvus)] * len(layers)
    for (layer, size), team in zip(layers, teams, strict=True):
        split = min(_splits(layer, size, params, len(team)), key=lambda split: (split.clocks, split.words))
        blocks = channel_blocks(layer.output_channels, params.mvu.lanes)
        rows = _balanced(row_clocks(layer, size, params.mvu.lanes), split.row_groups)
        for chunk in _even(range(blocks), split.chunks):
            parts: dict[int, list[Part]] = {}
            for part in _even(chunk, min(split.block_groups, len(chunk))):
                for some in rows:
                    parts[team[len(parts)]] = [Part(some, part)]
            yield Item(layer, size, parts)


def pipelined(
    layers: list[tuple[Layer, tuple[int, int]]], params: AcceleratorParameters, worth: int = STEP_WORTH
) -> Iterator[Item]:
    """Layer after layer on MVU after MVU, in steps of one or a few rows; arguments and errors as for `distributed`.

    A step takes rows until it has `worth` multiply clocks, so that the clocks between steps are few. A layer
    whose weights do not fit one MVU takes several items, and as many MVUs.
    """
    lanes, number = params.mvu.lanes, 0
    for layer, size in layers:
        blocks = channel_blocks(layer.output_channels, lanes)
        clocks = row_clocks(layer, size, lanes)
        for chunk in _even(range(blocks), -(-blocks // _room(layer, params))):
            rows: list[Part] = []
            first = 0
            for row in range(len(clocks)):
                if clocks[first : row + 1].sum() * len(chunk) >= worth or row + 1 == len(clocks):
                    rows.append(Part(range(first, row + 1), chunk))
                    first = row + 1
            yield Item(layer, size, {number % params.mvus: rows})
            number += 1


@dataclass(frozen=True)
class _Split:
    """A way to share a layer: groups of rows times groups of blocks, `chunks` times one after the other."""

    row_groups: int
    block_groups: int
    chunks: int
    clocks: int
    words: int


def _splits(
    layer: Layer, size: tuple[int, int], params: AcceleratorParameters, mvus: int
) -> Iterator[_Split]:
    lanes = params.mvu.lanes
    room = _room(layer, params)
    blocks = channel_blocks(layer.output_channels, lanes)
    clocks = row_clocks(layer, size, lanes)
    rows, columns = layer.output_size(size)
    bits = layer.output_format.bits
    for block_groups in range(1, min(mvus, blocks) + 1):
        for row_groups in range(1, min(mvus // block_groups, rows) + 1):
            share = -(-blocks // block_groups)  # output blocks of the MVU that has most
            chunks = -(-share // room)
            groups = _balanced(clocks, row_groups)
            multiply = max(int(clocks[some.start : some.stop].sum()) for some in groups) * share
            written = max(len(some) for some in groups) * columns * share * bits
            # Words arrive at an MVU one a clock: all of the rows that it and its neighbours make.
            crossed = rows * columns * blocks * bits * min(3, row_groups) // row_groups
            job = max(multiply, written) + chunks * (bits + OVERHEAD + STEP_CLOCKS)
            yield _Split(
                row_groups,
                block_groups,
                chunks,
                max(job, crossed),
                min(share, room) * block_words(layer, lanes),
            )


def _room(layer: Layer, params: AcceleratorParameters) -> int:
    """Output blocks of a layer whose weights, scalers and biases fit one MVU at a time."""
    mvu = params.mvu
    words = block_words(layer, mvu.lanes)
    if words > mvu.weight_depth:
        raise DoesNotFitError(
            f"layer {layer.name} needs {words} weight words for one output block, but an MVU has {mvu.weight_depth}"
        )
    return min(mvu.weight_depth // words, mvu.channel_depth)


def _even(whole: range, count: int) -> list[range]:
    """`whole` in `count` ranges that differ by at most one."""
    cuts = [whole.start + len(whole) * i // count for i in range(count + 1)]
    return [range(*pair) for pair in pairwise(cuts)]


def _balanced(costs: np.ndarray, count: int) -> list[range]:
    """Rows in `count` contiguous groups, none empty, whose most expensive is as cheap as can be."""
    total = np.concatenate([[0], np.cumsum(costs)])

    def cuts(most: int) -> list[int] | None:
        """Ends of groups of at most `most`, filled in order, or None if `count` do not do."""
        ends = [0]
        for left in range(count - 1, -1, -1):
            end = int(np.searchsorted(total, total[ends[-1]] + most, "right")) - 1
            end = min(max(end, ends[-1]), len(costs) - left)
            if end == ends[-1]:
                return None
            ends.append(end)
        return ends if ends[-1] == len(costs) else None

    low, high = 1, int(total[-1])
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if cuts(middle) else (middle + 1, high)
    ends = cuts(low)
    return [range(*pair) for pair in pairwise(ends)]
