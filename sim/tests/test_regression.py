# SPDX-License-Identifier: Apache-2.0
"""The simulations of every block: see :mod:`sim.regression`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from assay.sim.regression import Item, items, simulate


@pytest.mark.simulation
@pytest.mark.parametrize("item", items(), ids=str)
def test_simulation(item: Item, record_property: Callable[[str, object], None]) -> None:
    simulate(item, record_property)
