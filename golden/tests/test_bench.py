"""The benchmark's yardstick is a convolution indeed."""

import numpy as np
import pytest

from golden.bench import einsum_convolution
from golden.operators import conv2d


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 2, 0, 1)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
def test_einsum_convolution(padding, stride):
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (2, 7, 8, 3)).astype(np.int32)
    kernel = rng.integers(-128, 128, (3, 2, 3, 5)).astype(np.int32)
    expected = conv2d(x, kernel.transpose(3, 0, 1, 2), stride, padding)
    assert np.array_equal(einsum_convolution(x, kernel, padding, stride), expected)
