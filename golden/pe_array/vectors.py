# SPDX-License-Identifier: Apache-2.0
"""Vector sets for the PE array: layers of a network as tiles that a bench, here or elsewhere, can play and check.

A set is a folder as `golden.vector_sets` says; its manifest names network, origin of model and input, and the RTL's
parameters. A job is a tile, with the name of its layer, every field of its header, and the shape and dtype of every
array; its archive holds

    starts      bool [C]                 vectors     uint8 [C]
    entries     int64 [fields, E], in the order of `ENTRY_FIELDS`
    weights     int64 [weight_beats, C]  table       int64 [2**W], if the tile has one
    pixels      integers [images, row_blocks, columns, channels, beats, P, R]
    data        int64 [n, Q, R]: the beats that must come out, words as W-bit patterns
    keep        bool [n, Q, R]: their tkeep

Each layer stands alone: its input is the golden one, whatever the layer before made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden import vector_sets
from assay.golden.graph import Graph
from assay.golden.pe_array.functional import outputs
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.plan import ArrayPlan
from assay.golden.pe_array.tile import ENTRY_FIELDS, OutputBeats, Tile

__all__ = ["FORMAT", "Vector", "parameters", "read", "vectors", "write"]

FORMAT = "assay pe_array vectors 1"  #: first key of the manifest; another number is another layout


@dataclass(frozen=True, eq=False)
class Vector:
    """One tile with its pixels and what must come out.

    Attributes:
        name: of the tile: its layer, and which of the layer's tiles.
        layer: the node's name.
        tile, pixels, expected: as `golden.pe_array.functional.outputs` takes and gives them.
    """

    name: str
    layer: str
    tile: Tile
    pixels: np.ndarray
    expected: OutputBeats


def vectors(
    graph: Graph, x: Mapping[str, np.ndarray], params: PeArrayParameters, layers: Sequence[str] = ()
) -> Iterator[Vector]:
    """The tiles of the given layers, by default of all that the array can do, on inputs as `Graph.trace` takes them.

    Raises:
        UnsupportedOperatorError: the array does no layer of such a name.
        NothingComputedError: the array can do no layer at all.
    """
    plan = ArrayPlan(graph, params)
    plan.demand_layers()
    chosen = [plan.node(name) for name in layers] or plan.layers
    trace = graph.trace(x)
    for node in plan.layers:
        if node not in chosen:
            continue
        places = plan.tiles(node, trace).places
        for number, place in enumerate(places, 1):
            name = node.name if len(places) == 1 else f"{node.name}, tile {number} of {len(places)}"
            pixels = place.pixels()
            yield Vector(name, node.name, place.tile, pixels, outputs(place.tile, pixels, params))


def write(
    graph: Graph,
    x: Mapping[str, np.ndarray],
    params: PeArrayParameters,
    folder: Path,
    layers: Sequence[str] = (),
    origin: str = "",
) -> list[str]:
    """Write a vector set; the folder appears complete or not at all.

    Args:
        graph, x, params, layers: as for `vectors`.
        folder: must not exist yet, or hold a vector set, which is replaced.
        origin: where input and model come from, for the manifest.

    Returns:
        the names of the tiles.

    Raises:
        GoldenError: `folder` holds something else; and as for `vectors`.
    """
    manifest = {"format": FORMAT, "network": graph.name, "origin": origin, "parameters": params.rtl}
    jobs = (_described(vector) for vector in vectors(graph, x, params, layers))
    return vector_sets.write(folder, manifest, jobs)


def _described(vector: Vector) -> tuple[dict[str, Any], dict[str, np.ndarray | None]]:
    tile = vector.tile
    arrays = {
        "starts": tile.starts,
        "vectors": tile.vectors,
        "entries": np.stack([tile.entries[name] for name in ENTRY_FIELDS]),
        "weights": tile.weights,
        "table": tile.table,
        "pixels": vector.pixels,
        "data": vector.expected.data,
        "keep": vector.expected.keep,
    }
    described = {
        "name": vector.name,
        "layer": vector.layer,
        "header": {name: int(value) for name, value in tile.header.items()},
        "arrays": {
            name: {"shape": list(array.shape), "dtype": str(array.dtype)}
            for name, array in arrays.items()
            if array is not None
        },
    }
    return described, arrays


def read(folder: Path) -> tuple[PeArrayParameters, list[Vector]]:
    """Read a vector set and check every file against the manifest.

    Raises:
        GoldenError: no vector set, or one of another format.
        ChecksumError: a file is missing, altered or cut off.
    """
    return vector_sets.read(
        folder,
        FORMAT,
        lambda manifest, jobs: (
            PeArrayParameters.of_rtl(manifest["parameters"]),
            [_vector(described, arrays) for described, arrays in jobs],
        ),
    )


def parameters(folder: Path) -> dict[str, int]:
    """The RTL's parameters that a set was made for, under their names in the RTL; checks the whole set as `read`."""
    return read(folder)[0].rtl


def _vector(described: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Vector:
    entries = dict(zip(ENTRY_FIELDS, arrays["entries"], strict=True))
    tile = Tile(
        described["header"],
        arrays["starts"],
        arrays["vectors"],
        entries,
        arrays["weights"],
        arrays.get("table"),
    )
    last = np.zeros(len(arrays["data"]), bool)
    last[-1] = True
    expected = OutputBeats(arrays["data"], arrays["keep"], last)
    return Vector(described["name"], described["layer"], tile, arrays["pixels"], expected)
