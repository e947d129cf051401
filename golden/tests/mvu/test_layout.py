# SPDX-License-Identifier: Apache-2.0
"""Word layouts against bit-by-bit loops over Python integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat
from assay.golden.mvu.layout import (
    activation_words,
    pack_activations,
    pack_bits,
    pack_weights,
    unpack_activations,
    unpack_bits,
    unpack_weights,
    weight_words,
)

formats = st.builds(IntFormat, st.sampled_from([1, 2, 3, 8, 15, 16]), st.booleans())
lane_counts = st.sampled_from([2, 4, 8, 16, 64])


def words_as_integers(words: np.ndarray) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in words]


def random_values(seed: int, shape: tuple[int, ...], fmt: IntFormat) -> np.ndarray:
    values = np.random.default_rng(seed).integers(fmt.min, fmt.max, shape, endpoint=True)
    values.flat[0], values.flat[-1] = fmt.min, fmt.max
    return values


@given(st.integers(0, 2**32), st.lists(st.integers(1, 3), max_size=3), st.integers(1, 70))
def test_bits_are_the_last_axis_whatever_the_others(seed, axes, bits):
    values = np.random.default_rng(seed).integers(0, 2, (*axes, bits), np.uint8)
    words = pack_bits(values)
    expected = [sum(bit << i for i, bit in enumerate(row)) for row in values.reshape(-1, bits).tolist()]
    assert words_as_integers(words.reshape(-1, words.shape[-1])) == expected
    assert words.shape[:-1] == tuple(axes) and np.array_equal(unpack_bits(words, bits), values)


@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 70)),
    formats,
    lane_counts,
)
def test_activations(seed, shape, fmt, lanes):
    x = random_values(seed, shape, fmt)
    expected = []
    for position in x.reshape(-1, shape[-1]).tolist():
        for first in range(0, shape[-1], lanes):
            block = position[first : first + lanes]
            for plane in reversed(range(fmt.bits)):
                expected.append(sum((value >> plane & 1) << i for i, value in enumerate(block)))
    words = pack_activations(x, fmt, lanes)
    assert words.dtype == np.uint8 and words.shape == (
        activation_words(shape, fmt, lanes),
        max(1, lanes // 8),
    )
    assert words_as_integers(words) == expected
    assert np.array_equal(unpack_activations(words, shape, fmt, lanes), x)


@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 20), st.integers(1, 3), st.integers(1, 3), st.integers(1, 20)),
    formats,
    st.sampled_from([2, 4, 8, 16]),
)
def test_weights(seed, shape, fmt, lanes):
    weight = random_values(seed, shape, fmt)
    outputs, height, width, channels = shape
    expected = []
    for k0 in range(0, outputs, lanes):
        for y in range(height):
            for x in range(width):
                for c0 in range(0, channels, lanes):
                    tile = weight[k0 : k0 + lanes, y, x, c0 : c0 + lanes].tolist()
                    for plane in reversed(range(fmt.bits)):
                        expected.append(
                            sum(
                                (value >> plane & 1) << (r * lanes + i)
                                for r, row in enumerate(tile)
                                for i, value in enumerate(row)
                            )
                        )
    words = pack_weights(weight, fmt, lanes)
    assert words.dtype == np.uint8
    assert words.shape == (weight_words(shape, fmt, lanes), max(1, lanes * lanes // 8))
    assert words_as_integers(words) == expected
    assert np.array_equal(unpack_weights(words, shape, fmt, lanes), weight)


def test_unsigned_dtypes_are_taken():
    x = np.array([[[0, 255, 7]]], np.uint8)
    fmt = IntFormat(8, False)
    assert np.array_equal(unpack_activations(pack_activations(x, fmt, 8), x.shape, fmt, 8), x)


def test_out_of_range_activation_is_named():
    x = np.zeros((2, 3, 5), np.int64)
    x[1, 2, 4] = 4
    with pytest.raises(ConfigurationError, match=r"activation\[1, 2, 4\] = 4, but u2 allows 0 to 3"):
        pack_activations(x, IntFormat(2, False), 8)


def test_out_of_range_weight_is_named():
    weight = np.zeros((1, 1, 2, 3), np.int64)
    weight[0, 0, 1, 2] = -3
    with pytest.raises(ConfigurationError, match=r"weight\[0, 0, 1, 2\] = -3, but s2 allows -2 to 1"):
        pack_weights(weight, IntFormat(2, True), 8)


@pytest.mark.parametrize("values", [np.zeros((1, 1, 8)), np.array(3)])
def test_not_integers(values):
    with pytest.raises(ConfigurationError, match="must be an array of integers"):
        pack_activations(values, IntFormat(2, False), 8)


def test_wrong_rank_of_weights():
    with pytest.raises(ConfigurationError, match=r"weight has shape \[8, 8\]"):
        pack_weights(np.zeros((8, 8), np.int64), IntFormat(2, False), 8)


@pytest.mark.parametrize("words", [np.zeros((3, 1), np.uint8), np.zeros((4, 1), np.int64)])
def test_wrong_words(words):
    with pytest.raises(ConfigurationError, match=r"takes uint8 \[4, 1\]"):
        unpack_activations(words, (1, 2, 8), IntFormat(2, False), 8)


@pytest.mark.parametrize(
    "fmt, values, at", [(IntFormat(3, True), [-4, 3, 4], 2), (IntFormat(3, False), [0, 7, -1], 2)]
)
def test_the_value_that_does_not_fit_is_named_and_no_end_of_the_range(fmt, values, at):
    with pytest.raises(ConfigurationError, match=rf"\[{at}\] = {values[at]}, but"):
        pack_activations(np.array(values), fmt, 8)
