# SPDX-License-Identifier: Apache-2.0
"""A whole network on the PE array: which layers are its tiles, which are moves in memory and which the host keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from assay.golden.errors import DoesNotFitError, NothingComputedError, UnsupportedOperatorError
from assay.golden.graph import AssignVariable, Graph, Node, ReadVariable
from assay.golden.layers import shaping
from assay.golden.pe_array.mapping import ARRAY, LayerTiles, map_operator, plain
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.tile import OutputBeats, Tile
from assay.golden.table import short

__all__ = ["ArrayPlan", "Engine", "Execute"]

# What is done by moving values in memory.
_MOVES = (*shaping.MOVES, ReadVariable, AssignVariable)

#: Plays a tile with its pixels `[images, row_blocks, columns, channels, beats, P, R]`, in RTL or in the model.
Execute = Callable[[Tile, np.ndarray], OutputBeats]


class Engine(StrEnum):
    """What does a layer."""

    ARRAY = "array"  #: tiles
    MOVE = "move"  #: memory moves alone
    HOST = "host"  #: an operator that the array does not have, or a layer that does not fit it


@dataclass(frozen=True, eq=False)
class ArrayPlan:
    """The layers of a graph on an array; what the array cannot do is left to the host.

    Attributes:
        graph: the network.
        parameters: of the array.
        strict: whether nothing may be left to the host.
        host: name of each node that is left to the host -> why: every limit that it exceeds (derived).

    Raises:
        DoesNotFitError: with `strict`, layers that the array cannot do; names each with all its limits.
    """

    graph: Graph
    parameters: PeArrayParameters
    strict: bool = False
    host: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", {})
        for node in self.graph.nodes:
            operator = plain(node.operator)
            if isinstance(operator, _MOVES):
                continue
            if not isinstance(operator, ARRAY):
                self.host[node.name] = self._unknown(node)
                continue
            try:
                self.tiles(node)
            except (DoesNotFitError, UnsupportedOperatorError) as error:
                self.host[node.name] = str(error).removeprefix(f"layer {node.name}: ")
        if self.strict and self.host:
            raise DoesNotFitError(
                f"{self.graph.name}: the PE array cannot do {len(self.host)} of its layers:{self.left_out()}"
            )

    def _unknown(self, node: Node) -> str:
        """Why the array does not have a node's operator."""
        dtypes = [self.graph.tensors[name].dtype for name in (*node.inputs, *node.outputs)]
        floats = [str(dtype) for dtype in dtypes if dtype.kind == "f"]
        if floats:
            return f"it computes with {floats[0]} values, but the PE array with integers"
        return f"the PE array has no operator {node.kind}"

    def engine(self, node: Node) -> Engine:
        """What does the layer."""
        if node.name in self.host:
            return Engine.HOST
        return Engine.MOVE if isinstance(plain(node.operator), _MOVES) else Engine.ARRAY

    def left_out(self) -> str:
        """The nodes left to the host, each with its operator and the reason: the rest of a line, or lines."""
        kinds = {node.name: node.kind for node in self.graph.nodes}
        told = [f"{short(name)} ({kinds[name]}): {why}" for name, why in self.host.items()]
        return (
            "".join(f"\n  {line}" for line in told) if len(told) > 1 else "".join(f" {line}" for line in told)
        )

    def demand_layers(self) -> None:
        """Refuse a plan by which the array does nothing.

        Raises:
            NothingComputedError: it does nothing; names why, node by node.
        """
        if not self.layers:
            why = self.left_out() or " it only moves values"
            raise NothingComputedError(
                f"{self.graph.name}: the PE array can do none of its layers, so nothing would be verified:{why}"
            )

    @property
    def layers(self) -> tuple[Node, ...]:
        """The nodes that are tiles, in order of execution."""
        return tuple(node for node in self.graph.nodes if self.engine(node) is Engine.ARRAY)

    def node(self, name: str) -> Node:
        """The node of a name.

        Raises:
            UnsupportedOperatorError: there is none, or the array has nothing to do with it.
        """
        for node in self.layers:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.layers) or "none"
        why = f" ({self.host[name]})" if name in self.host else ""
        raise UnsupportedOperatorError(
            f"network {self.graph.name} has no layer {name!r} on the array{why}, but {known}"
        )

    def tiles(self, node: Node, inputs: Mapping[str, np.ndarray] | None = None) -> LayerTiles:
        """The tiles of a layer.

        Args:
            node: with engine ARRAY.
            inputs: tensor name -> array as `Graph.trace` gives it, `[N, ...]`; constants may be left out. None: one run
                of zeros, whose tiles have the sizes of every run's.

        Raises:
            DoesNotFitError, UnsupportedOperatorError: as for `map_operator`.
        """
        return self._tiles(node, *(self._array(name, inputs) for name in node.inputs))

    def _array(self, name: str, inputs: Mapping[str, np.ndarray] | None) -> np.ndarray:
        """One input with the leading axis of runs."""
        tensor = self.graph.tensors[name]
        if name in self.graph.constants:
            return self.graph.constants[name][None]
        if inputs is None:
            return np.zeros((1, *tensor.shape), tensor.dtype)
        return inputs[name].reshape(-1, *tensor.shape)

    def _tiles(self, node: Node, *inputs: np.ndarray) -> LayerTiles:
        output = self.graph.tensors[node.outputs[0]]
        return map_operator(node.name, node.operator, inputs, output.shape, output.dtype, self.parameters)

    def run(self, node: Node, inputs: Mapping[str, np.ndarray], execute: Execute) -> np.ndarray:
        """A layer's output `[N, ...]` as `Graph.trace` gives it, its tiles played by `execute`."""
        return self.graph.tensors[node.outputs[0]].stacked(self.tiles(node, inputs).run(execute))

    def network(self, play: Callable[[Node, LayerTiles], np.ndarray]) -> Graph:
        """The same network with the output of every layer on the array made by `play`; it can what the graph can.

        Args:
            play: gives a layer's output from its tiles, `LayerTiles.run(execute)` if it plays them one by one.
        """

        def played(node: Node) -> Node:
            def operator(*inputs: np.ndarray) -> np.ndarray:
                return play(node, self._tiles(node, *inputs))

            return replace(node, operator=operator)

        return replace(
            self.graph,
            nodes=tuple(played(n) if self.engine(n) is Engine.ARRAY else n for n in self.graph.nodes),
        )
