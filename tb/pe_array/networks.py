# SPDX-License-Identifier: Apache-2.0
"""Whole networks as tiles of the PE array: the project's own int8 network, or one that the user brings (MODEL=...)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from assay import golden, vectors
from assay.golden import GoldenError, Graph
from assay.golden.graph import Node
from assay.golden.lowering import DEFAULT, Lowering
from assay.golden.pe_array.mapping import LayerTiles, Place
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.plan import ArrayPlan
from assay.golden.pe_array.tile import OutputBeats
from assay.golden.rows import random_rows, read_rows
from assay.tb.pe_array.tiles import TileItem

DIGITS = "digits_int8"  #: the project's own network
RANDOM_IMAGES = 64  #: drawn for a network that comes without images
_AXES = ("image", "row", "column", "channel")


@dataclass(frozen=True)
class Workload:
    """A network and what to run through it.

    Attributes:
        inputs: name -> array [N, ...] of the input's dtype.
        labels: int [N], or None if nobody knows them.
    """

    network: Graph
    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def trace(self, index: int) -> dict[str, np.ndarray]:
        """Every tensor for one of the inputs; a network with state starts anew."""
        self.network.reset()
        return self.network.trace({name: x[index : index + 1] for name, x in self.inputs.items()})


def load_workload(model: str, images: str, rng: np.random.Generator) -> Workload:
    """The digit network with the test images nobody trained on; or the network in file `model`.

    Args:
        model: path of a model file, empty for the digit network.
        images: path of an .npy or .npz file with the network's inputs, empty for random ones.

    Raises:
        GoldenError: a file is missing, damaged, altered or does not fit the other.
    """
    if not model:
        network, digits, labels = vectors.digits(DIGITS)
        assert isinstance(network, Graph)  # as .tflite files give
        return Workload(network, {network.inputs[0]: digits}, labels)
    network = golden.load(model)
    if not images:
        return Workload(network, random_rows(network, RANDOM_IMAGES, rng), None)
    return Workload(network, read_rows(Path(images), network), None)


def check(model: str, images: str, parameters: Mapping[str, int], lowering: Lowering = DEFAULT) -> None:
    """Refuse before the simulation what cannot be run on a build with these HDL parameters.

    Raises:
        GoldenError: see `load_workload`; or the array can do no layer of the network.
    """
    for name, value in lowering.variables.items():
        raise GoldenError(f"{name}={value}: the array runs a file as its framework does; leave {name} away")
    workload = load_workload(model, images, np.random.default_rng(0))
    params = PeArrayParameters.of_rtl(parameters)
    if model or params.data_width == 8:  # the project's network serves builds of other widths with nothing
        ArrayPlan(workload.network, params).demand_layers()


def layer_items(
    name: str, layer: LayerTiles, finish: Callable[[np.ndarray], None] = lambda output: None
) -> Iterator[TileItem]:
    """The tiles of one layer; `finish` gets the output tensor as the golden array makes it."""
    memory = layer.memory()
    left = len(layer.places)

    def keep(place: Place, beats: OutputBeats) -> None:
        nonlocal left
        layer.put(memory, place, beats)
        left -= 1
        if not left:
            finish(layer.output(memory))

    for number, place in enumerate(layer.places):
        item = TileItem.of(f"layer {name}, tile {number}", place.tile, place.pixels(), layer.parameters)
        item.made = partial(keep, place)
        item.locate = partial(_locate, layer, place)
        item.find = partial(_find, layer, place)
        yield item


def items(
    plan: ArrayPlan, node: Node, trace: Mapping[str, np.ndarray], finish: Callable[[np.ndarray], None]
) -> Iterator[TileItem]:
    """The tiles of one layer of a network on the tensors of `trace`."""
    yield from layer_items(f"{node.name} ({node.kind})", plan.tiles(node, trace), finish)


def _locate(layer: LayerTiles, place: Place, word: tuple[int, int, int, int]) -> str:
    """The place in the layer's output of a word (image, output row, output column, entry) of a tile."""
    tile = place.tile
    shape = tuple(tile[name] for name in ("repeat.images", "rows.output", "extent.output_columns", "entries"))
    if any(at >= size for at, size in zip(word, shape, strict=True)):
        return "nothing of the output"
    numbers = np.zeros(shape, np.int64)
    numbers[word] = 1
    names, output = _put(layer, place, numbers)
    at = np.argwhere(output)
    if not len(at):
        return "nothing of the output"
    index = at[0].tolist()
    return "output " + ", ".join(f"{name} {i}" for name, i in zip(names, index, strict=True))


def _put(layer: LayerTiles, place: Place, numbers: np.ndarray) -> tuple[Sequence[str], np.ndarray]:
    """The names of the axes of a layer's output, and that output with the numbers of a tile's words
    `[images, rows, columns, entries]` where these stand; 0 elsewhere."""
    memory = np.zeros(layer.memory().shape, np.int64)
    place.put(memory, numbers)
    (output,) = layer.output(memory)  # the first axis counts runs, of which there is one
    names: Sequence[str] = [f"axis {axis}" for axis in range(output.ndim)]
    if output.ndim == 4:
        names = ("image", "channel", "row", "column") if layer.channels_first else _AXES
    return names, output


def _find(layer: LayerTiles, place: Place, wanted: Mapping[str, int]) -> tuple[int, int, int, int] | None:
    """The word (image, output row, output column, entry) of a tile that stands at a place of the layer's output, the
    first where that leaves axes open; None where the tile makes none there."""
    tile = place.tile
    shape = tuple(tile[name] for name in ("repeat.images", "rows.output", "extent.output_columns", "entries"))
    names, output = _put(layer, place, np.arange(1, int(np.prod(shape)) + 1).reshape(shape))
    if not set(wanted) <= set(names):
        return None
    if any(number >= output.shape[names.index(name)] for name, number in wanted.items()):
        return None
    part = output[tuple(wanted.get(name, slice(None)) for name in names)]
    found = part[part > 0]
    if not found.size:
        return None
    image, row, column, entry = (int(at) for at in np.unravel_index(int(found.min()) - 1, shape))
    return image, row, column, entry
