# SPDX-License-Identifier: Apache-2.0
"""Graph to Network: what a matrix-vector unit and the accelerator run.

    network = golden.load("net.onnx").lower()                    # every tensor equal to the graph's, or rejected
    network = golden.load("net.tflite").lower(scales="nearest")  # the nearest that the hardware holds

One layer is

    convolution or product  [times, plus constants]  [plus a tensor]  [bounds]  [max pooling]  quantiser

Poolings, additions, bounds and quantisers that stand alone, average poolings, convolutions in groups and with
dilations, and concatenations of channels become layers of their own. Reshape, Transpose and their like move no data: an
element keeps its place in the map `[H, W, C]`, and the weights of the dense layer behind are put in that order. Sums
that the graph leaves in float, as an average without a quantiser behind, are kept in 16 bits. Softmax and its like at
the end are left to the host, and an output in float becomes a tensor of 16 bits.

The network's input is the integers that the graph's first quantiser makes, less its zero point; what stands before it
is the host's. Every tensor has the graph's name of what it equals; `Network.origins` says how, `Network.integers`
converts. All are in NHWC order.

`golden.lowering.layers` says what is exact, and how; the operators are in the modules of their families.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from assay.golden.errors import ConfigurationError, GoldenError, ModelFormatError
from assay.golden.lowering import (  # noqa: F401  (each registers its operators)
    channels,
    elementwise,
    fixed_point,
    onnx_integer,
    pooling,
    products,
    quantisers,
    tflite,
)
from assay.golden.lowering.numbers import holds
from assay.golden.lowering.settings import DEFAULT, SCALES, Lowering
from assay.golden.lowering.walk import LAYOUTS, Walk
from assay.golden.precision import Format, parse

if TYPE_CHECKING:
    from assay.golden.graph import Graph
    from assay.golden.network import Network

__all__ = ["DEFAULT", "SCALES", "Lowering", "lower"]


def lower(
    graph: Graph, scales: str = "exact", input_format: str | Format | None = None, input_layout: str = ""
) -> Network:
    """The integer network of a graph, read from whatever file.

    Args:
        graph: of one input and one output, without state.
        scales: "exact": every tensor of the network equals the graph's for every input; a graph of which that cannot be
            shown is rejected. "nearest": where the exact network exists and the MVU's registers hold it, that one; else
            scales become the nearest that the hardware holds, so that some values are a step away.
        input_format: "u8", "ap_fixed<8,3>" or the like: what the numbers are that a graph's float input is given, where
            it has no quantiser at its input.
        input_layout: "NCHW" or "NHWC", for an input of four axes whose layout no operator decides; by default it is
            that of the graph's operators.

    Raises:
        UnsupportedOperatorError: an operator or attribute that no layer has, by node.
        ModelFormatError: the graph is no network, or, with "exact", not exact in integers.
        DoesNotFitError: with scales "nearest", numbers that the hardware does not hold.
        ConfigurationError: other `scales`, a format or layout that is none.
    """
    if scales not in SCALES:
        raise ConfigurationError(f"scales is {scales!r}, but must be one of {', '.join(SCALES)}")
    if input_layout and input_layout not in LAYOUTS:
        raise ConfigurationError(f"input layout is {input_layout!r}, but must be one of {', '.join(LAYOUTS)}")
    changed = [name for name, tensor in graph.tensors.items() if tensor.precision is not None]
    if changed:
        raise ConfigurationError(
            f"tensor {changed[0]!r} has another precision than in its file: lower the graph first, then give the "
            f"network's layer that precision"
        )
    given = parse(input_format) if isinstance(input_format, str) and input_format else input_format or None

    def walked(nearest: bool) -> Network:
        with np.errstate(all="ignore"):  # what is not finite is refused where it is read
            return Walk(graph, nearest, given, input_layout).network()

    network = _named(graph.name, lambda: _lowered(walked, scales))
    return dataclasses.replace(network, graph=graph)


def _lowered(walked: Callable[[bool], Network], scales: str) -> Network:
    if scales == "exact":
        return walked(False)
    try:
        exact = walked(False)
    except GoldenError:
        return walked(True)
    return exact if all(map(holds, exact.layers)) else walked(True)


def _named(name: str, make: Callable[[], Network]) -> Network:
    """What `make` gives; its errors begin with a name.

    A layer or network that cannot be is the file's fault here, not the caller's. And names in a damaged file may hold
    line breaks, but a message is one line.
    """
    try:
        return make()
    except GoldenError as error:
        kind = ModelFormatError if isinstance(error, ConfigurationError) else type(error)
        raise kind(" ".join(f"{name}: {error}".split())) from None
