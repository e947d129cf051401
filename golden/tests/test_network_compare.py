# SPDX-License-Identifier: Apache-2.0
"""`Network.compare` given the model file's own integers: it converts them."""

from __future__ import annotations

import numpy as np
import pytest

from assay.golden import GoldenError
from assay.golden.importers import onnx as importer
from assay.golden.tests.onnx_files import OnnxFile

# A map as long in each direction, so that no shape tells the file's order from the network's.
SHAPE = (4, 4, 4)


def integer_file(zero_point: np.integer) -> bytes:
    """Integers in, integers out; every tensor is exact: weights 1 and 2, one scale."""
    file = OnnxFile(13)
    x = file.dequantize(file.input((1, *SHAPE), zero_point.dtype), 1, zero_point)
    weight = np.random.default_rng(0).integers(0, 3, (4, 4, 1, 1)).astype(np.int8)
    file.quantize(file.node("Conv", x, file.dequantize(weight, 1, np.int8(0))), 1, zero_point)
    return file.bytes()


@pytest.mark.parametrize("zero_point", [np.int8(0), np.int8(3), np.int8(-128), np.uint8(128), np.uint8(5)])
def test_integers_of_the_file_are_converted_or_rejected(zero_point):
    data = integer_file(zero_point)
    graph = importer.loads(data)
    network = graph.lower()
    info = np.iinfo(zero_point.dtype)
    x = np.random.default_rng(1).integers(info.min, info.max, (3, *SHAPE), zero_point.dtype, endpoint=True)
    theirs = network.integers(graph.trace(x))
    assert all(np.array_equal(network.trace(theirs[network.input])[name], theirs[name]) for name in theirs)
    assert network.compare(x, graph).exact
    assert network.compare(x, graph.trace(x)).exact
    assert network.compare(theirs[network.input], theirs).exact
    assert network.compare(theirs[network.input], network).exact
    with pytest.raises(GoldenError, match="has dtype int64, but graph"):
        network.compare(theirs[network.input].transpose(0, 3, 1, 2), graph)
