# SPDX-License-Identifier: Apache-2.0
"""Reads TFLite int8 files as integer networks: by the QDQ form that `golden.exporters.qdq` gives them."""

from __future__ import annotations

import dataclasses
from os import PathLike
from pathlib import Path

import numpy as np

from golden.errors import GoldenError
from golden.exporters import qdq
from golden.importers import onnx_network, tflite
from golden.network import Network, Origin

__all__ = ["load"]

# What the exporter appends to the name of a map that it keeps in the order [N, C, H, W].
_SUFFIX = ".nchw"


def load(path: str | PathLike[str], scales: str = "nearest") -> Network:
    """Read a .tflite file; arguments and errors as for `golden.importers.onnx_network.load` with `ends`.

    Tensors have their names in the file, and their origins its order of axes. TFLite rounds as its fixed-point
    multipliers do, which is not what any power of two gives: scales "exact" refuses every such file.

    Raises:
        GoldenError: also what the exporter cannot write.
    """
    path = Path(path)
    graph = tflite.load(path)
    content = qdq.to_bytes(graph)
    network = onnx_network.from_bytes(content, path.stem, scales, ends=True)
    names = {}
    for name in network.shapes:
        stem, _, rest = name.partition(_SUFFIX)
        short = stem + rest
        names[name] = short if stem in graph.tensors and short not in network.shapes else name
    if len(set(names.values())) != len(names):
        raise GoldenError(f"{path}: two tensors have one name but for the suffix {_SUFFIX!r}")

    def renamed(name: str) -> str:
        return names[name]

    layers = tuple(
        dataclasses.replace(
            layer,
            input=renamed(layer.input),
            output=renamed(layer.output),
            residual=layer.residual
            and dataclasses.replace(layer.residual, tensor=renamed(layer.residual.tensor)),
        )
        for layer in network.layers
    )
    origins = {renamed(name): _own_order(origin) for name, origin in network.origins.items()}
    return Network(network.name, renamed(network.input), network.input_shape, layers, network.host, origins)


def _own_order(origin: Origin) -> Origin:
    """In TFLite's files channels come last."""
    if origin.index.ndim != 3:
        return origin
    return dataclasses.replace(origin, index=np.arange(origin.index.size).reshape(origin.size))
