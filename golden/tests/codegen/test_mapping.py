# SPDX-License-Identifier: Apache-2.0
"""The mappings by themselves: shares that fit the memories, steps of a size, and what a split is estimated to take."""

import numpy as np
import pytest

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen.mapping import STEP_WORTH, _splits, distributed, pipelined
from assay.golden.formats import IntFormat
from assay.golden.mvu.jobs import row_clocks
from assay.golden.network import Layer

PARAMS = AcceleratorParameters.of_rtl({"Mvus": 4, "Lanes": 8, "ChannelDepth": 16})


def one_by_one(outputs: int, output_bits: int = 1) -> Layer:
    """One clock and one weight word for each output block of a pixel."""
    bit = IntFormat(1, False)
    return Layer(
        name="conv",
        input="x",
        output="y",
        weight=np.zeros((outputs, 1, 1, 8), np.int64),
        weight_format=bit,
        input_format=bit,
        output_format=IntFormat(output_bits, False),
        multiplier=np.ones(outputs, np.int64),
        bias=np.zeros(outputs, np.int64),
        shift=0,
    )


@pytest.mark.parametrize("mapping", [distributed, pipelined])
def test_scalers_and_biases_fit(mapping):
    """Blocks whose weights fit by far, but of whose scalers there are more than a memory holds."""
    layer, size = one_by_one(8 * 150), (4, 4)
    items = list(mapping([(layer, size)], PARAMS))
    made = sorted(
        (row, block)
        for item in items
        for parts in item.parts.values()
        for part in parts
        for row in part.rows
        for block in part.blocks
    )
    assert made == [(row, block) for row in range(4) for block in range(150)]
    assert all(len(item.blocks(mvu)) <= 16 for item in items for mvu in item.parts)


@pytest.mark.parametrize("rows", [3, 41, 90])
def test_steps_are_worth_it(rows):
    """A step ends with the row with which it is worth its while, the last one with the map."""
    layer, size = one_by_one(8), (rows, 130)
    (item,) = pipelined([(layer, size)], PARAMS)
    (parts,) = item.parts.values()
    clocks = row_clocks(layer, size, 8)
    assert [row for part in parts for row in part.rows] == list(range(rows))
    for part in parts[:-1]:
        worth = clocks[part.rows.start : part.rows.stop].sum()
        assert STEP_WORTH <= worth < STEP_WORTH + clocks[part.rows[-1]]
    assert clocks[parts[-1].rows.start : -1].sum() < STEP_WORTH


def test_words_that_arrive_bound_a_split():
    """Where outputs have many bits, an MVU waits for the words of its rows and its neighbours', one a clock."""
    layer, (rows, columns) = one_by_one(8, output_bits=16), (12, 12)
    splits = {split.row_groups: split for split in _splits(layer, (rows, columns), PARAMS, 4)}
    words = rows * columns * 16
    assert splits.keys() == {1, 2, 3, 4}
    assert [splits[groups].clocks for groups in (3, 4)] == [words, 3 * words // 4]
