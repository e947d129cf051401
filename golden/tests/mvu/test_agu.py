# SPDX-License-Identifier: Apache-2.0
"""Address generators against counters stepped one at a time, and BARVINN's published programs."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from assay.golden.errors import ConfigurationError
from assay.golden.mvu.agu import (
    AddressProgram,
    PaddingGeometry,
    addresses,
    conv_row_program,
    enumerate_windows,
    jump_indices,
    padded_addresses,
)


class Counters:
    """An address generator as hardware has it: one counter for each loop, one jump a step."""

    def __init__(self, lengths):
        self.left = list(lengths)
        self.lengths = list(lengths)

    def step(self) -> int:
        for loop in range(len(self.lengths) - 1, 0, -1):
            if self.left[loop]:
                self.left[loop] -= 1
                return loop
            self.left[loop] = self.lengths[loop]
        return 0


def stepped(base, jumps, lengths, steps, depth):
    counters, address, seen, indices = Counters(lengths), base, [], []
    for _ in range(steps):
        seen.append(address % depth)
        indices.append(counters.step())
        address += jumps[indices[-1]]
    return seen, indices


@st.composite
def programs(draw):
    loops = draw(st.integers(1, 8))
    lengths = draw(
        st.lists(st.one_of(st.integers(0, 4), st.just(65535)), min_size=loops - 1, max_size=loops - 1)
    )
    jumps = draw(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=loops, max_size=loops))
    return AddressProgram(draw(st.integers(0, 65535)), tuple(jumps), (0, *lengths))


@given(programs(), st.integers(0, 700), st.sampled_from([8, 512, 65536]))
def test_addresses(program, steps, depth):
    seen, indices = stepped(program.base, program.jumps, program.lengths, steps, depth)
    assert addresses(program, steps, depth).tolist() == seen
    assert jump_indices(program.lengths, steps).tolist() == indices


def test_length_of_the_endless_loop_is_not_looked_at():
    assert jump_indices((5, 1), 6).tolist() == jump_indices((0, 1), 6).tolist() == [1, 0, 1, 0, 1, 0]


@given(
    st.integers(-100, 100),
    st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 4)), min_size=1, max_size=6),
)
def test_from_strides(base, loops):
    strides, iterations = zip(*loops, strict=True)
    program = AddressProgram.from_strides(base, strides, tuple(n - 1 for n in iterations))
    expected = [base + int(np.dot(index, strides)) for index in np.ndindex(*iterations)]
    assert addresses(program, len(expected), 1 << 16).tolist() == [
        address % (1 << 16) for address in expected
    ]


def test_trailing_empty_loops_change_nothing():
    five = AddressProgram(3, (7, -4, 5, 2, 1), (0, 2, 1, 0, 3))
    eight = AddressProgram(3, (*five.jumps, 0, 0, 0), (*five.lengths, 0, 0, 0))
    assert np.array_equal(addresses(five, 200, 512), addresses(eight, 200, 512))


def padded_by_loops(program, skip, geometry, lengths, steps, depth):
    """The contract's sentences, a step at a time; also the windows' clocks as far as they are complete."""

    def skipped(axis, group, inside):
        corner = group * geometry.group_stride[axis] + inside * geometry.stride[axis] - geometry.padding[axis]
        return max(0, -corner), max(0, corner + geometry.kernel[axis] - geometry.size[axis])

    def window(row, column, pool_row, pool_column):
        (top, bottom), (left, right) = skipped(0, row, pool_row), skipped(1, column, pool_column)
        return top, bottom, left, right

    def lead(at):
        return at[0] * skip[0] + at[2] * skip[1]

    def trail(at):
        return at[1] * skip[0] + at[3] * skip[1]

    outer = Counters(lengths[:5])
    index = [0] * 5
    at = window(0, 0, 0, 0)
    address, seen, clocks = program.base + lead(at), [], []
    while True:
        rows = lengths[6] + 1 - at[0] - at[1]
        columns = lengths[7] + 1 - (at[2] + at[3]) * geometry.blocks
        if rows < 1 or columns < 1:
            raise ZeroDivisionError("empty window")
        clocks.append((lengths[5] + 1) * rows * columns)
        for pair in range(lengths[5] + 1):
            for y in range(rows):
                for x in range(columns):
                    seen.append(address % depth)
                    if len(seen) == steps:
                        return seen, clocks
                    if x < columns - 1:
                        address += program.jumps[7]
                    elif y < rows - 1:
                        address += program.jumps[6] + (at[2] + at[3]) * skip[1]
                    elif pair < lengths[5]:
                        address += program.jumps[5] + lead(at) + trail(at)
        jump = outer.step()
        index[jump] += 1
        index[jump + 1 :] = [0] * (4 - jump)
        row, column, _, pool_row, pool_column = index
        following = window(row, column, pool_row, pool_column)
        address += program.jumps[jump] + trail(at) + lead(following)
        at = following


@st.composite
def padded_programs(draw):
    small = st.integers(1, 3)
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    blocks = draw(small)
    geometry = PaddingGeometry(
        size=draw(st.tuples(st.integers(1, 6), st.integers(1, 6))),
        kernel=kernel,
        padding=tuple(draw(st.integers(0, k - 1)) for k in kernel),
        stride=draw(st.tuples(small, small)),
        group_stride=draw(st.tuples(small, small)),
        blocks=blocks,
    )
    outer = [draw(st.integers(0, n)) for n in (4, 2, 1, 1)]
    lengths = (0, *outer, draw(st.integers(0, 3)), kernel[0] - 1, kernel[1] * blocks - 1)
    jumps = draw(st.lists(st.integers(-300, 300), min_size=8, max_size=8))
    program = AddressProgram(draw(st.integers(0, 511)), tuple(jumps), lengths)
    return program, draw(st.tuples(st.integers(0, 99), st.integers(0, 99))), geometry


@given(padded_programs(), st.integers(1, 600), st.integers(0, 600))
def test_padded_addresses(case, steps, fewer):
    program, skip, geometry = case
    try:
        seen, clocks = padded_by_loops(program, skip, geometry, program.lengths, steps, 512)
    except ZeroDivisionError:
        with pytest.raises(ConfigurationError, match="skips all of its kernel rows or columns"):
            enumerate_windows(geometry, program.lengths, steps)
        return
    windows = enumerate_windows(geometry, program.lengths, steps)
    assert windows.clocks.tolist() == clocks
    for count in (steps, min(fewer, steps)):  # none is a number of steps, too
        found = padded_addresses(program, skip, windows, count, 512)
        assert found.tolist() == seen[:count] and found.dtype == np.int64


@given(padded_programs(), st.integers(1, 400))
def test_padding_that_skips_nothing_is_no_padding(case, steps):
    program, skip, geometry = case
    lengths = program.lengths
    rows = -(-steps // math.prod(n + 1 for n in lengths[1:])) + 1
    huge = PaddingGeometry(
        (rows * 10 + 100, 1000),
        geometry.kernel,
        (0, 0),
        geometry.stride,
        geometry.group_stride,
        geometry.blocks,
    )
    assume(rows < 1000)
    windows = enumerate_windows(huge, lengths, steps)
    assert np.array_equal(
        padded_addresses(program, skip, windows, steps, 512), addresses(program, steps, 512)
    )


def test_no_steps():
    program = AddressProgram(0, (1,) * 8, (0, 1, 0, 0, 0, 3, 2, 2))
    geometry = PaddingGeometry((4, 4), (3, 3), (1, 1), (1, 1), (1, 1), 1)
    windows = enumerate_windows(geometry, program.lengths, 0)
    assert windows.clocks.size == 0
    assert padded_addresses(program, (4, 1), windows, 0, 512).size == 0
    assert addresses(program, 0, 512).size == 0


@pytest.mark.parametrize(
    ("jumps", "lengths", "message"),
    [
        ((), (), "0 jumps and 0 lengths"),
        ((1, 2), (0,), "2 jumps and 1 lengths"),
        ((1, 2), (0, -1), "length of loop 1 is -1, but must be 0 or more"),
    ],
)
def test_bad_programs(jumps, lengths, message):
    with pytest.raises(ConfigurationError, match=message):
        AddressProgram(0, jumps, lengths)


# The table in BARVINN's documentation of its code generator, a = w = 2. For each kind of layer: input (blocks, rows,
# columns), output blocks, stride, layers of that kind, countdown of a row, countdown of the layer; then the four lists.
BARVINN_TABLE = [
    ((1, 32, 32), 1, 1, 5, 1080, 36720,
     [0, 3, 2, 2, 0], [-132, -132, 60, 2, 0], [0, 0, 3, 8, 0], [-16, 2, -16, 2, 0]),
    ((1, 32, 32), 2, 2, 1, 1080, 18360,
     [0, 7, 2, 2, 0], [-130, -132, 60, 2, 0], [0, 1, 3, 8, 0], [-34, 2, -16, 2, 0]),
    ((2, 16, 16), 2, 1, 3, 2016, 36288,
     [0, 7, 2, 5, 0], [-134, -138, 54, 2, 0], [0, 1, 3, 17, 0], [-70, 2, -34, 2, 0]),
    ((2, 16, 16), 4, 2, 1, 2016, 18144,
     [0, 15, 2, 5, 0], [-130, -138, 54, 2, 0], [0, 3, 3, 17, 0], [-142, 2, -34, 2, 0]),
    ((4, 8, 8), 4, 1, 3, 3456, 34560,
     [0, 15, 2, 11, 0], [-138, -150, 42, 2, 0], [0, 3, 3, 35, 0], [-286, 2, -70, 2, 0]),
    ((4, 8, 8), 8, 2, 1, 3456, 17280,
     [0, 31, 2, 11, 0], [-130, -150, 42, 2, 0], [0, 7, 3, 35, 0], [-574, 2, -70, 2, 0]),
    ((8, 4, 4), 8, 1, 3, 4608, 27648,
     [0, 31, 2, 23, 0], [-146, -174, 18, 2, 0], [0, 7, 3, 71, 0], [-1150, 2, -142, 2, 0]),
]  # fmt: skip


def test_barvinn_table():
    total = layers = 0
    for (blocks, rows, columns), outputs, stride, count, row_clocks, layer_clocks, *lists in BARVINN_TABLE:
        program = conv_row_program(blocks, rows, columns, outputs, 3, 3, stride, 2, 2)
        assert list(program[:4]) == lists
        assert program.countdown == row_clocks
        # The table counts the rows of a map padded above and below, although its columns are not padded.
        assert program.countdown * ((rows + 2) // stride) == layer_clocks
        total += count * layer_clocks
        layers += count
    assert (layers, total) == (17, 532_872)


@given(st.integers(1, 4), *(st.integers(1, 3) for _ in range(5)), st.integers(0, 3), st.integers(0, 3))
def test_barvinn_row_visits_the_convolution(blocks, outputs, kernel, stride, a, w, more_rows, more_columns):
    rows, columns = kernel + more_rows, kernel + more_columns
    program = conv_row_program(blocks, rows, columns, outputs, kernel, kernel, stride, a, w)
    inputs, weights = [], []
    for column in range((columns - kernel) // stride + 1):
        # What the published jump 0 is off by: windows drift unless there are two input blocks.
        corner = column * (stride * blocks + blocks - 2)
        for output in range(outputs):
            for _ in range(a * w):
                for y in range(kernel):
                    for x in range(kernel):
                        for block in range(blocks):
                            inputs.append(a * (corner + (y * columns + x) * blocks + block) % 512)
                            weights.append(w * (((output * kernel + y) * kernel + x) * blocks + block) % 512)
    assert program.countdown == len(inputs)
    for jumps, lengths, expected in (
        (program.ijump, program.ilength, inputs),
        (program.wjump, program.wlength, weights),
    ):
        assert addresses(AddressProgram(0, jumps, lengths), len(expected), 512).tolist() == expected


def test_barvinn_row_refuses():
    with pytest.raises(ConfigurationError, match="stride is 0, but must be 1 or more"):
        conv_row_program(1, 8, 8, 1, 3, 3, 0, 2, 2)
    with pytest.raises(ConfigurationError, match="kernel 3x9 is larger than the map of 8x8"):
        conv_row_program(1, 8, 8, 1, 3, 9, 1, 2, 2)
