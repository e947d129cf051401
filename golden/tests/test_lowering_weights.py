# SPDX-License-Identifier: Apache-2.0
"""Weights of lowered layers: what float32 holds of them, and sums at the end of 32 bits."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from assay.golden import UnsupportedOperatorError
from assay.golden.formats import IntFormat
from assay.golden.layers.linear import Convolution, Window
from assay.golden.lowering import products
from assay.golden.lowering.values import Constant

NODE = SimpleNamespace(name="node", kind="Conv", inputs=("x", "w"), outputs=("y",))


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_exact_where_float32_holds_all_of_them(seed: int) -> None:
    """Steps of 20 to 24 bits times weights of 4 bits: some products need more bits than float32 has, at either sign."""
    rng = np.random.default_rng(seed)
    verdicts = {True: 0, False: 0}
    for _ in range(300):
        low, high = sorted(rng.integers(-8, 8, 2).tolist())
        integers = rng.integers(low, high, (2, 1, 1, 3), endpoint=True)
        scale = (2 * rng.integers(1 << 19, 1 << 23, (2, 1, 1, 1)) + 1) * 2.0 ** -float(rng.integers(20, 30))
        walk = SimpleNamespace(
            read=lambda *_, i=integers, s=scale: Constant(i * s, i, s, IntFormat(4, signed=True))
        )
        weight = products._constant_weight(walk, NODE, 1, lambda values: values)
        held = np.array_equal((integers * scale).astype(np.float32).astype(np.float64), integers * scale)
        assert held or not weight.exact
        verdicts[weight.exact] += 1
    assert min(verdicts.values()) > 20


@pytest.mark.parametrize(
    ("bound", "refused"), [((1 << 31) - 1, False), (1 << 31, True), ((1 << 31) + 1, True)]
)
def test_sums_that_wrap_in_the_framework_are_refused(bound: int, refused: bool) -> None:
    """Integer sums are those of int32: -2**31 would do, but a bound knows no sign."""
    weight = np.ones((1, 1, 1, 1), np.int8)
    convolution = Convolution(weight, np.array([bound - 128]), Window((1, 1)))
    assert convolution.bound == bound
    call = (SimpleNamespace(), NODE, SimpleNamespace(scale=Fraction(1)), convolution, [Fraction(1)])
    if refused:
        with pytest.raises(UnsupportedOperatorError, match=f"sums may reach {bound}"):
            products.integer_weight(*call, IntFormat(8, signed=True))
    else:
        made, offsets = products.integer_weight(*call, IntFormat(8, signed=True))
        assert made.integers.tolist() == weight.tolist() and offsets == [bound - 128]
