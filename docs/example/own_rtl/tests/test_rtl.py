# SPDX-License-Identifier: Apache-2.0
"""Every test of the blocks in tb/, on both simulators."""

from pathlib import Path

import pytest

from assay.sim.regression import Item, items, simulate


@pytest.mark.parametrize("item", items(Path(__file__).parents[1]), ids=str)
def test_rtl(item: Item, record_property) -> None:
    simulate(item, record_property)
