# SPDX-License-Identifier: Apache-2.0
"""The check of the crossbar's arbitration finds what is planted, and says what it is."""

import numpy as np
import pytest

from assay.tb.agents.burst import Beats
from assay.tb.mvu_array.coverage import CrossbarCoverage
from assay.tb.mvu_array.crossbar import RECORD, Arbitration

MVUS = 3


def clock(offered: int, dests: list[int], sources: dict[int, int], taken: int, ready: int = 7) -> np.ndarray:
    """A record: `sources` maps each destination that is offered a word to whose it is."""
    fields = {f"dest{s}": dests[s] if s < MVUS else 0 for s in range(8)}
    fields |= {f"source{d}": sources.get(d, 0) for d in range(8)}
    valid = sum(1 << d for d in sources)
    return RECORD.pack(offered=[offered], taken=[taken], valid=[valid], ready=[ready], **fields)


def run(*records: np.ndarray) -> list[str]:
    """What the check says of these clocks."""
    said: list[str] = []
    check = Arbitration(MVUS, CrossbarCoverage(MVUS), lambda text, **details: said.append(text))
    payload = np.concatenate(records)
    check.write(Beats("xbar", 0, np.arange(len(payload), dtype=np.uint32), payload))
    return said


TO_ALL = [7, 0, 0]
EVERYBODY = {0: 0, 1: 0, 2: 0}


def test_a_broadcast_in_one_clock_and_in_parts():
    assert run(clock(1, TO_ALL, EVERYBODY, 1)) == []
    assert run(clock(1, TO_ALL, EVERYBODY, 0, ready=5), clock(1, TO_ALL, {1: 0}, 1)) == []


def test_units_that_do_not_exist_are_ignored():
    assert run(clock(1, [0xF8, 0, 0], {}, 1)) == []


def test_turns():
    both = [1, 1, 0]
    assert run(clock(3, both, {0: 0}, 1), clock(3, both, {0: 1}, 2), clock(3, both, {0: 0}, 1)) == []


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([clock(1, TO_ALL, EVERYBODY, 1, ready=5)], "is taken from it before units [1] have it"),
        ([clock(1, TO_ALL, EVERYBODY, 0)], "still offered although all its destinations have it"),
        ([clock(1, TO_ALL, {0: 0, 2: 0}, 0)], "units [0] offer a word to unit 1, which is offered none"),
        ([clock(1, [1, 0, 0], {0: 0, 1: 0}, 1)], "unit 1 is offered a word that no unit sends"),
        ([clock(1, [1, 0, 0], {0: 2}, 1)], "takes a word of unit 2, which does not offer one"),
        ([clock(3, [1, 1, 0], {0: 0}, 1)] * 3, "3 words of others while unit 1 offered one: unfair"),
        (
            [clock(1, TO_ALL, EVERYBODY, 0, ready=5), clock(1, TO_ALL, {0: 0, 1: 0}, 1)],
            "unit 0 is offered a word that no unit sends",
        ),
    ],
)
def test_what_is_wrong_is_said(records, words):
    (said,) = run(*records)
    assert words in said and "clock " in said
