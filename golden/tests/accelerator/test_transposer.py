# SPDX-License-Identifier: Apache-2.0
"""The transposer against bit-by-bit loops over Python integers, and against the MVU's layout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.golden.accelerator.registers import ELEMENT_BITS
from assay.golden.accelerator.transposer import Transposer
from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat
from assay.golden.mvu.layout import pack_activations


@st.composite
def configurations(draw):
    element = draw(st.sampled_from(ELEMENT_BITS))
    fmt = IntFormat(draw(st.integers(1, element)), draw(st.booleans()))
    return Transposer(element, fmt, draw(st.integers(1, 70)), draw(st.sampled_from([8, 16, 32, 64])))


def beats_bit_by_bit(x: np.ndarray, element: int, lanes: int) -> list[int]:
    beats = []
    for position in x.reshape(-1, x.shape[-1]).tolist():
        for first in range(0, len(position), lanes):
            stream = 0
            block = position[first : first + lanes]
            for i, value in enumerate(block):
                stream |= (value & ((1 << element) - 1)) << (i * element)
            for _ in range(-(-len(block) * element // 64)):
                beats.append(stream & ((1 << 64) - 1))
                stream >>= 64
    return beats


@given(configurations(), st.integers(0, 2**32), st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_there_and_back(transposer, seed, size):
    fmt = transposer.fmt
    x = np.random.default_rng(seed).integers(fmt.min, fmt.max, (*size, transposer.channels), endpoint=True)
    beats = transposer.beats(x)
    assert beats.dtype == np.uint64
    assert beats.tolist() == beats_bit_by_bit(x, transposer.element, transposer.lanes)
    words = transposer.words(beats)
    assert np.array_equal(words, pack_activations(x, fmt, transposer.lanes))
    assert np.array_equal(transposer.beats_of_words(words), beats)
    assert np.array_equal(transposer.tensor(beats, x.shape), x)


def test_bits_that_are_nothing():
    """Beyond the precision, the block and the channels: dropped when written, extended or 0 when read."""
    transposer = Transposer(4, IntFormat(2, True), 3, 8)
    words = transposer.words(np.array([0xFFFF_FFFF_FFFF_F000 | 0xC << 0 | 0x2 << 4 | 0xD << 8], np.uint64))
    assert words.tolist() == [[0b010], [0b100]]  # values 0, -2, 1: sign plane, then the low one
    words[:] |= 0xF8  # lanes past the channels
    assert transposer.beats_of_words(words).tolist() == [0x0 | 0xE << 4 | 0x1 << 8]


def test_a_block_begins_in_a_new_beat():
    transposer = Transposer(16, IntFormat(16, False), 13, 8)
    assert transposer.block_channels == (8, 5) and transposer.block_beats == (2, 2)
    assert Transposer.of_format(IntFormat(3, False), 9, 8).element == 4


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((3, IntFormat(2, False), 1, 8), "element = 3 bits"),
        ((2, IntFormat(3, False), 1, 8), "precision = 3"),
        ((2, IntFormat(2, False), 0, 8), "channels = 0"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        Transposer(*arguments)


def test_refused_arrays():
    transposer = Transposer(8, IntFormat(8, False), 9, 8)
    with pytest.raises(ConfigurationError, match="multiple of the 2 of a position"):
        transposer.words(np.zeros(3, np.uint64))
    with pytest.raises(ConfigurationError, match="multiple of the 16"):
        transposer.beats_of_words(np.zeros((8, 1), np.uint8))
    with pytest.raises(ConfigurationError, match="9 channels"):
        transposer.beats(np.zeros((2, 8), int))
    with pytest.raises(ConfigurationError, match="9 channels"):
        transposer.tensor(np.zeros(2, np.uint64), (1, 8))
