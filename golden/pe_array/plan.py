# SPDX-License-Identifier: Apache-2.0
"""A whole network on the PE array: which layers are its tiles, which are moves in memory and which the host keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from golden.errors import UnsupportedOperatorError
from golden.graph import AssignVariable, Graph, Node, ReadVariable
from golden.layers import tflite
from golden.pe_array.mapping import ARRAY, MOVES, LayerTiles, map_operator, plain, takes_softmax
from golden.pe_array.parameters import PeArrayParameters
from golden.pe_array.tile import OutputBeats, Tile

__all__ = ["ArrayPlan", "Engine", "Execute"]

#: Plays a tile with its pixels `[images, row_blocks, columns, channels, beats, P, R]`, in RTL or in the model.
Execute = Callable[[Tile, np.ndarray], OutputBeats]


class Engine(StrEnum):
    """What does a layer."""

    ARRAY = "array"  #: tiles
    MOVE = "move"  #: memory moves alone
    HOST = (
        "host"  #: an operator that the array does not have, or a softmax longer than its output stage holds
    )


@dataclass(frozen=True, eq=False)
class ArrayPlan:
    """The layers of a graph on an array; a plan exists only for a graph of which every layer can run.

    Attributes:
        graph: the network.
        parameters: of the array.

    Raises:
        DoesNotFitError, UnsupportedOperatorError: a layer that the array cannot do; names the limit.
    """

    graph: Graph
    parameters: PeArrayParameters

    def __post_init__(self) -> None:
        for node in self.graph.nodes:
            if self.engine(node) is Engine.ARRAY:
                self.tiles(node)

    def engine(self, node: Node) -> Engine:
        """What does the layer."""
        operator = plain(node.operator)
        if isinstance(operator, (*MOVES, ReadVariable, AssignVariable)):
            return Engine.MOVE
        if isinstance(operator, tflite.Softmax):
            fits = takes_softmax(self.graph.tensors[node.inputs[0]].shape[-1], self.parameters)
            return Engine.ARRAY if fits else Engine.HOST
        return Engine.ARRAY if isinstance(operator, ARRAY) else Engine.HOST

    @property
    def layers(self) -> tuple[Node, ...]:
        """The nodes that are tiles, in order of execution."""
        return tuple(node for node in self.graph.nodes if self.engine(node) is Engine.ARRAY)

    def require_layers(self) -> None:
        """Reject a graph of which the array computes nothing.

        Raises:
            UnsupportedOperatorError: no layer is on the array.
        """
        if not self.layers:
            kinds = ", ".join(sorted({node.kind for node in self.graph.nodes}))
            raise UnsupportedOperatorError(
                f"{self.graph.name}: no layer runs on the PE array, which computes layers of int8 networks (TFLite, "
                f"fixed-point ONNX), but this one has {kinds}"
            )

    def node(self, name: str) -> Node:
        """The node of a name.

        Raises:
            UnsupportedOperatorError: there is none, or the array has nothing to do with it.
        """
        for node in self.layers:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.layers)
        raise UnsupportedOperatorError(
            f"network {self.graph.name} has no layer {name!r} on the array, but {known}"
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
