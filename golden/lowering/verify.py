# SPDX-License-Identifier: Apache-2.0
"""Proof by trial: layers that compute element by element from 8-bit values are run on all of these.

An operator of two 8-bit values has 65,536 results, which a graph's operator and the layers made of it can both be asked
for. So no argument about the framework's own float32 or fixed-point steps is needed: with scales "exact" all results
are equal, or the graph is rejected.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from assay.golden.errors import ModelFormatError
from assay.golden.graph import Node
from assay.golden.lowering.numbers import HINT
from assay.golden.lowering.values import Tensor
from assay.golden.lowering.walk import Walk, at
from assay.golden.network import Layer

__all__ = ["check_pairs", "check_values"]

# Values that a trial computes at a time, of all channels.
_MOST = 1 << 24


def check_pairs(
    walk: Walk,
    node: Node,
    first: int,
    sources: Sequence[Tensor],
    made: Tensor,
    operator: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    """Hold the layers from `first` on, which are alike in all channels, against an operator of two tensors.

    Raises:
        ModelFormatError: a result is another one.
    """
    if walk.nearest:
        return
    dtype = walk.graph.tensors[node.inputs[0]].dtype
    a, b = (_integers(s, dtype) for s in sources)
    same = sources[0].name == sources[1].name
    pairs = [values.ravel() for values in ((a, a) if same else np.meshgrid(a, b, indexing="ij"))]
    layers = [_one_channel(layer) for layer in walk.layers.layers[first:]]
    feeds = {s.name: n.reshape(1, -1, 1, 1) for s, n in zip(sources, pairs, strict=True)}
    expected = operator(*((n + s.offset).astype(dtype)[None, :] for s, n in zip(sources, pairs, strict=True)))
    _compare(node, layers, feeds, made, expected.reshape(-1, 1))


def check_values(
    walk: Walk,
    node: Node,
    first: int,
    source: Tensor,
    made: Tensor,
    operator: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Hold the layers from `first` on against an operator of one tensor whose other operands are constants.

    Args:
        operator: takes integers `[V, *shape]` of the graph's shape, one value each; gives the same shape.

    Raises:
        ModelFormatError: a result is another one, or there are too many to try.
    """
    if walk.nearest:
        return
    dtype = walk.graph.tensors[node.outputs[0]].dtype
    values = _integers(source, dtype)
    channels = source.size[2]
    if len(values) * source.index.size > _MOST:
        raise ModelFormatError(
            f"{at(node)}: {len(values)} values of {source.index.size} elements are more than can be tried{HINT}"
        )
    grid = np.broadcast_to(values.reshape(-1, *(1,) * source.index.ndim), (len(values), *source.index.shape))
    expected = operator((grid + source.offset).astype(dtype)).reshape(len(values), -1)
    placed = np.empty_like(expected)
    placed[:, source.index.ravel()] = expected
    placed = placed.reshape(len(values), -1, channels)
    if (placed != placed[:, :1]).any():
        raise ModelFormatError(f"{at(node)}: results differ between rows and columns{HINT}")
    feeds = {source.name: np.broadcast_to(values.reshape(1, -1, 1, 1), (1, len(values), 1, channels))}
    _compare(node, walk.layers.layers[first:], feeds, made, placed[:, 0])


def _integers(source: Tensor, dtype: np.dtype) -> np.ndarray:
    """All of the network's integers that the graph's tensor, of `dtype`, can hold."""
    low, high = np.iinfo(dtype).min - source.offset, np.iinfo(dtype).max - source.offset
    return np.arange(max(source.format.min, low), min(source.format.max, high) + 1)


def _one_channel(layer: Layer) -> Layer:
    return dataclasses.replace(
        layer, weight=layer.weight[:1], multiplier=layer.multiplier[:1], bias=layer.bias[:1], groups=1
    )


def _compare(
    node: Node, layers: Sequence[Layer], feeds: dict[str, np.ndarray], made: Tensor, expected: np.ndarray
) -> None:
    tensors = dict(feeds)
    for layer in layers:
        residual = None if layer.residual is None else tensors[layer.residual.tensor]
        tensors[layer.output] = layer.run(tensors[layer.input], residual)
    seen = tensors[made.name].reshape(expected.shape) + made.offset
    wrong = np.argwhere(seen != expected)
    if len(wrong):
        place = tuple(wrong[0])
        at_fault = ", ".join(f"{array.reshape(*expected.shape)[place]}" for array in feeds.values())
        raise ModelFormatError(
            f"{at(node)}: {len(wrong):,} of {expected.size:,} results are not those of exact numbers, first of the "
            f"network's integers {at_fault}: {expected[place]}, not {seen[place]}{HINT}"
        )
