# SPDX-License-Identifier: Apache-2.0
"""A condition that nothing fulfils ends in a message, not in a run without end."""

from __future__ import annotations

import random

import pytest

from assay.golden.pe_array.parameters import PeArrayParameters
from assay.tb.draws import first_drawn
from assay.tb.errors import AssayError
from assay.tb.pe_array.stimulus import Stimulus


def test_first_that_fits() -> None:
    draws = iter(range(100))
    assert first_drawn(lambda: n if (n := next(draws)) > 6 else None, "a number") == 7
    assert next(draws) == 8


def test_nothing_fits() -> None:
    made = []
    with pytest.raises(AssayError, match="a unicorn: none in 1,000 draws"):
        first_drawn(lambda: made.append(1), "a unicorn", draws=1000)
    assert len(made) == 1000


def test_header_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A softmax over more values than it takes clocks."""
    monkeypatch.setattr(first_drawn, "__defaults__", (200,))
    stimulus = Stimulus(PeArrayParameters(), random.randrange(100))
    with pytest.raises(AssayError, match="a legal header of at most 1 clocks with"):
        stimulus.header(1, mode__softmax=1)
