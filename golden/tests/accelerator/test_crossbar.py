# SPDX-License-Identifier: Apache-2.0
"""The crossbar's rules: nothing lost or reordered, one word a clock, fairness, atomic multicast."""

from collections import defaultdict

import numpy as np
import pytest

from assay.golden.accelerator.crossbar import Crossbar, Word, play
from assay.golden.errors import ConfigurationError


def traffic(seed: int, mvus: int, count: int) -> list[list[tuple[int, Word]]]:
    rng = np.random.default_rng(seed)
    density = rng.integers(1, 6)
    words = []
    for source in range(mvus):
        clocks = np.cumsum(rng.integers(0, density, count))
        words.append(
            [(int(c), Word(int(rng.integers(0, 1 << 8)), n, bytes([source]))) for n, c in enumerate(clocks)]
        )
    return words


@pytest.mark.parametrize("seed", range(20))
def test_rules(seed):
    mvus = 1 + seed % 8
    words = traffic(seed, mvus, 60)
    arrivals, taken = play(Crossbar(mvus), words)
    # One word a clock and destination.
    assert len({(a.clock, a.destination) for a in arrivals}) == len(arrivals)
    # Each word once at each destination that exists, in order for each pair.
    pairs = defaultdict(list)
    for arrival in arrivals:
        pairs[arrival.source, arrival.destination].append(arrival.word.address)
    for source in range(mvus):
        for destination in range(mvus):
            expected = [w.address for _, w in words[source] if w.dest >> destination & 1]
            assert pairs[source, destination] == expected
    # A word is taken in the clock in which its last destination takes it, one without any at once.
    last = {(a.source, a.word.address): a.clock for a in arrivals}
    for source in range(mvus):
        assert taken[source] == sorted(set(taken[source]))
        for (first, word), clock in zip(words[source], taken[source], strict=True):
            if (source, word.address) in last:
                assert clock == last[source, word.address] >= first
    # Nobody waits longer than one word of each other source that also wants this destination.
    for source in range(mvus):
        before = -1
        for (first, _), clock in zip(words[source], taken[source], strict=True):
            assert clock - max(first, before + 1) < mvus, "served longest ago goes first"
            before = clock


def test_the_one_served_longest_ago():
    words = [[(0, Word(1, n)) for n in range(3)] for _ in range(3)]
    words[2] = [(1, Word(1, 0))]
    arrivals, taken = play(Crossbar(3), words)
    assert [a.source for a in arrivals] == [0, 1, 2, 0, 1, 0, 1]
    assert taken == [[0, 3, 5], [1, 4, 6], [2]]


def test_a_word_arrives_in_different_clocks():
    """0 and 1 both want destination 1; 0 has all of its others at once, and keeps 1 until it is served."""
    crossbar = Crossbar(2)
    arrived, taken = crossbar.clock([0b11, 0b10], ready=0b01)
    assert arrived == [(0, 0)] and taken == 0 and crossbar.waiting == [0b10, 0b10]
    arrived, taken = crossbar.clock([0b11, 0b10])
    assert arrived == [(0, 1)] and taken == 0b01
    arrived, taken = crossbar.clock([None, 0b10])
    assert arrived == [(1, 1)] and taken == 0b10


def test_a_destination_stays_with_a_word():
    """0 was served before 1, but 1 is offered already when 0 asks again."""
    crossbar = Crossbar(3)
    assert crossbar.clock([1, None, None]) == ([(0, 0)], 1)
    assert crossbar.clock([None, 1, None], ready=0) == ([], 0)
    assert crossbar.choices([None, 1, 1]) == [1, None, None]
    assert crossbar.clock([None, 1, 1]) == ([(1, 0)], 0b010)
    assert crossbar.clock([1, 1, 1]) == ([(2, 0)], 0b100)


def test_units_that_do_not_exist():
    """Are ignored; a word for them alone is taken and dropped."""
    assert Crossbar(2).clock([0b1100, 0b101]) == ([(1, 0)], 0b11)


def test_refused():
    with pytest.raises(ConfigurationError, match="mvus = 9"):
        Crossbar(9)
