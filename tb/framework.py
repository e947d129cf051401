# SPDX-License-Identifier: Apache-2.0
"""What a network is held against: its framework's own arithmetic, beside the form of it that an engine runs.

Two comparisons must never be mixed. The RTL against what the engine was given (a graph's plan, or a lowered network) is
exact, or there is a bug in the hardware. What was lowered against the framework's arithmetic is a property of the
lowering; that is compared here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay import golden, vectors
from assay.golden import GoldenError, Graph, Network
from assay.golden.codegen.networks import NETWORKS
from assay.golden.compare import Comparison, compare_traces
from assay.golden.lowering import DEFAULT, Lowering
from assay.golden.rows import traced
from assay.golden.runtimes.choice import arithmetic

__all__ = [
    "DIGITS",
    "FrameworkRows",
    "Source",
    "compare_lowering",
    "framework_rows",
    "is_lowered",
    "lowered_rows",
    "source",
]

DIGITS = {  #: the project's own networks: name -> whether it is made for engines that run lowered networks
    "digits_w2a2": True,
    "digits_mixed": True,
    "digits_int8": False,
}


@dataclass(frozen=True, eq=False)
class Source:
    """A network, and where it comes from.

    Attributes:
        network: what an engine is given.
        graph: the framework's arithmetic; the same as `network` where nothing was lowered, None where no file is known.
        path: of the model file, or None.
    """

    network: Graph | Network
    graph: Graph | None = None
    path: Path | None = None

    @property
    def lowered(self) -> bool:
        """Whether the engine is given something else than the framework's arithmetic."""
        return self.network is not self.graph

    @property
    def whose(self) -> str:
        """Whose arithmetic the engine's network has, as words of a sentence."""
        if isinstance(self.network, Network):
            return "the lowered network" if self.graph is not None else "the golden network"
        return arithmetic(self.network)


def is_lowered(model: object) -> bool:
    """Whether a name is that of a network that is made for engines that run lowered ones."""
    return str(model) in NETWORKS or DIGITS.get(str(model), False)


def source(
    model: str | PathLike[str] | Graph | Network | Source, lowers: bool, lowering: Lowering = DEFAULT
) -> Source:
    """The network of a model file, of one of the project's names, or as it is.

    Args:
        model: path of a model file, a name of `DIGITS` or of `golden.codegen.networks.NETWORKS`, or a network.
        lowers: whether the engine runs lowered networks (`Network`), not graphs.
        lowering: how a graph is lowered.

    Raises:
        GoldenError: no such file, or it is no such network.
    """
    if isinstance(model, Source):
        return model
    if isinstance(model, Graph):
        return Source(lowering(model) if lowers else model, model)
    if isinstance(model, Network):
        return Source(model, model.graph)
    if str(model) in NETWORKS:
        if not lowers:
            raise GoldenError(
                f"{model}: a network of random weights by shape, which engines of lowered networks run"
            )
        return Source(NETWORKS[str(model)]())
    path = Path(model)
    if str(model) in DIGITS:
        suffix = "onnx" if DIGITS[str(model)] else "tflite"
        path = vectors.path(f"digits/{model}.{suffix}")
    graph = golden.load(path)
    return Source(lowering(graph) if lowers else graph, graph, path)


class FrameworkRows(NamedTuple):
    """Inputs of a model file beside those of the network that was lowered from it.

    Attributes:
        rows: of the file, by the names of its inputs.
        x: what the lowered network makes of them, int64 `[N, H, W, C]`.
        tensors: of the file, those that the network has too, as the graph makes them.
    """

    rows: dict[str, np.ndarray]
    x: np.ndarray
    tensors: dict[str, np.ndarray]


def framework_rows(network: Network, graph: Graph, x: np.ndarray) -> FrameworkRows | None:
    """The inputs of the model file that are nearest to a lowered network's; None if they cannot be told.

    A lowered network's input may hold integers that no input of the file becomes.

    Args:
        network: lowered from `graph`.
        x: integers `[N, H, W, C]`, inputs of `network`.
    """
    origin = network.origins.get(network.input)
    if origin is None or len(graph.inputs) != 1:
        return None
    tensor = graph.tensors[graph.inputs[0]]
    shape = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
    if shape != origin.index.shape:
        return None
    values = x.reshape(len(x), -1)[:, origin.index.ravel()].reshape(len(x), *shape)
    if tensor.dtype.kind == "f":
        values = (values - origin.zero) * origin.scale
    else:
        values = np.clip(values + origin.offset, np.iinfo(tensor.dtype).min, np.iinfo(tensor.dtype).max)
    return lowered_rows(network, graph, {tensor.name: values.astype(tensor.dtype)})


def lowered_rows(
    network: Network, graph: Graph, rows: dict[str, np.ndarray], progress: Callable[[int], Any] | None = None
) -> FrameworkRows | None:
    """What a lowered network makes of inputs of its model file; None if its input is no tensor of the file."""
    tensors = traced(graph, rows, network.origins, progress)
    x = network.integers(tensors).get(network.input)
    return None if x is None else FrameworkRows(rows, x, tensors)


def compare_lowering(network: Network, theirs: Any, x: np.ndarray, ours: Any) -> Comparison:
    """A lowered network against its framework's arithmetic, in the network's integers: differences are in steps.

    Args:
        network: the lowered network.
        theirs: every tensor of the framework by name.
        x: the network's inputs.
        ours: the network's tensors for these.

    Raises:
        GoldenError: the framework's input is not `x`, or no tensor could be compared.
    """
    integers = network.integers(theirs)
    if network.input not in integers or not np.array_equal(integers[network.input], x):
        raise GoldenError(
            f"the inputs of network {network.name} are not those that its model file makes of its own inputs"
        )
    computed = {name: array for name, array in ours.items() if name != network.input}
    return compare_traces(computed, integers)
