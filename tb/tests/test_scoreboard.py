# SPDX-License-Identifier: Apache-2.0
"""The scoreboard finds what is planted, and says what it is."""

import numpy as np
import pytest

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats
from assay.tb.scoreboard import StreamScoreboard

FORMAT = BeatFormat([("data", 20), ("addr", 8)])


def reference(count: int = 100) -> np.ndarray:
    rng = np.random.default_rng(3)
    return FORMAT.pack(data=rng.integers(0, 1 << 20, count), addr=np.arange(count) % 256)


def run(
    expected: np.ndarray, seen: np.ndarray, chunk: int = 64, unknown: np.ndarray | None = None, **options
):
    """A finished scoreboard that got `seen` in monitor-sized pieces."""
    board = StreamScoreboard("xbo", FORMAT, **options)
    board.expect(expected)
    for first in range(0, len(seen), chunk):
        cycles = np.arange(first, min(first + chunk, len(seen)), dtype=np.uint32) + 10
        mask = None if unknown is None else unknown[first : first + chunk]
        board.write(Beats("xbo", first, cycles, seen[first : first + chunk], mask))
    board.finish()
    return board


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_equal_streams_pass(chunk):
    board = run(reference(), reference(), chunk, values_per_beat=2.5)
    assert board.passed
    assert board.beats_compared == 100
    assert board.values_compared == 250


def test_expectation_may_come_late():
    board = StreamScoreboard("xbo", FORMAT)
    board.write(Beats("xbo", 0, np.arange(100, dtype=np.uint32), reference()))
    board.expect(reference()[:60])
    board.expect(reference()[60:])
    assert not board.finish()
    assert board.beats_compared == 100


def test_one_flipped_bit_is_named():
    seen = reference()
    seen[42, 1] ^= 0x10
    (found,) = run(
        reference(), seen, locate=lambda i: f"layer conv2, output (3, {i}), lane 12", origin_ns=5
    ).mismatches
    assert found.kind == "mismatch"
    assert found.index == 42
    assert found.bits == "data[12]"
    assert found.cycle == 52
    assert found.time_ns == 525
    assert "layer conv2, output (3, 42), lane 12" in found.message
    assert found.expected != found.seen
    assert found.expected in found.message and found.seen in found.message


@pytest.mark.parametrize("at", [0, 42, 62, 97])
@pytest.mark.parametrize("chunk", [64, 1000])
def test_a_dropped_beat_is_called_lost(at, chunk):
    (found,) = run(reference(), np.delete(reference(), at, axis=0), chunk).mismatches
    assert found.kind == "lost"
    assert found.index == at


def test_the_last_beat_dropped():
    (found,) = run(reference(), reference()[:-1]).mismatches
    assert (found.kind, found.index) == ("lost", 99)


@pytest.mark.parametrize("at", [0, 42, 62, 97])
def test_a_repeated_beat_is_called_repeated(at):
    (found,) = run(reference(), np.insert(reference(), at, reference()[at], axis=0)).mismatches
    assert found.kind == "repeated"
    assert found.index == at + 1


def test_the_last_beat_repeated():
    (found,) = run(reference(), np.concatenate([reference(), reference()[-1:]])).mismatches
    assert (found.kind, found.index) == ("unexpected", 100)


def test_zero_comparisons_fail():
    (found,) = run(reference(0), reference(0)).mismatches
    assert found.kind == "nothing compared"


def test_nothing_seen_is_lost_not_passed():
    (found,) = run(reference(), reference(0)).mismatches
    assert found.kind == "lost"
    assert "100 expected beats" in found.message


def test_unknown_bits_fail_even_where_the_rest_agrees():
    unknown = np.zeros_like(reference())
    unknown[5, 2] = 0x40
    (found,) = run(reference(), reference(), unknown=unknown).mismatches
    assert (found.kind, found.index, found.bits) == ("unknown", 5, "addr[2]")


def test_flush_forgets_what_waits():
    board = StreamScoreboard("xbo", FORMAT)
    board.expect(reference())
    board.flush()
    board.expect(reference(3))
    board.write(Beats("xbo", 0, np.arange(3, dtype=np.uint32), reference(3)))
    assert not board.finish()


def test_only_the_first_difference_is_reported_and_once():
    seen = reference()
    seen[[3, 50]] ^= 1
    calls = []
    board = run(reference(), seen, on_mismatch=calls.append)
    assert [found.index for found in calls] == [3]
    assert calls == board.mismatches
