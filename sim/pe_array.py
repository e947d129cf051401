# SPDX-License-Identifier: Apache-2.0
"""Networks on the simulated PE array, layer by layer.

The layers' tiles go to the simulator, everything between the layers is memory moves in this process. With several
simulators, the layers can also run each from its golden input, spread over them.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import golden
from golden import GoldenError, Graph, Network
from golden.graph import Node
from golden.pe_array.mapping import LayerTiles
from golden.pe_array.parameters import PeArrayParameters
from golden.pe_array.plan import ArrayPlan, Engine
from golden.pe_array.tile import pixel_packets, weight_packet
from sim.model import EngineModel, LayerRun
from sim.server import Server
from tb.pe_array.env import read_beats

__all__ = ["ArrayModel"]

_BATCH_BYTES = 4 << 20  #: of tiles that go to the simulator at a time: enough that they follow without a gap


class ArrayModel(EngineModel):
    """A network on the PE array.

    Attributes:
        plan: which layers the hardware does.
    """

    def __init__(self, plan: ArrayPlan, servers: Sequence[Server]) -> None:
        super().__init__(plan.graph, servers)
        self.plan = plan
        self.independent = len(servers) > 1
        self._graph = plan.network(self._play)

    @staticmethod
    def prepare(model: object, parameters: Mapping[str, int]) -> ArrayPlan:
        """The plan of a model file, or of its golden graph, on a build with these HDL parameters.

        Raises:
            GoldenError: the file is no such network, or a layer does not fit the array.
        """
        graph = model if isinstance(model, (Graph, Network)) else golden.load(model)
        if not isinstance(graph, Graph):
            raise GoldenError(
                f"{model if graph is not model else graph.name}: the PE array runs int8 networks, but this is a QONNX "
                f"network for the MVU"
            )
        return ArrayPlan(graph, PeArrayParameters.of_rtl(parameters))

    def _predict(self, x: Any) -> Any:
        return self._graph.predict(x)

    def _trace(self, x: Any) -> dict[str, np.ndarray]:
        return self._trace_each(x) if self.independent else self._graph.trace(x)

    def progress_steps(self, runs: int) -> int:
        return len(self.plan.layers)

    def reset(self) -> None:
        with self._turn:
            self._graph.reset()
            super().reset()

    def report(self) -> str:
        """Clocks and utilisation of each layer of the last run, and what the array did not do: a table, two lines."""
        told = [super().report()]
        for engine, words in ((Engine.MOVE, "moves in memory"), (Engine.HOST, "done by the host")):
            nodes = [n for n in self.plan.graph.nodes if self.plan.engine(n) is engine]
            told.append(f"{words}: {', '.join(f'{n.name} ({n.kind})' for n in nodes) or 'nothing'}")
        return "\n".join(told)

    def made_by(self, tensor: str) -> str:
        made = next((node for node in self.golden.nodes if tensor in node.outputs), None)
        return (
            f"{made.name} ({made.kind}), which is done by the {self.plan.engine(made).value}" if made else ""
        )

    def _play(self, node: Node, layer: LayerTiles) -> np.ndarray:
        return self._played(self._servers[0], node, layer)

    def _played(self, server: Server, node: Node, layer: LayerTiles) -> np.ndarray:
        memory, clocks = layer.memory(), 0
        for places, request in self._batches(layer):
            answer, took = server.ask(request)
            clocks += took
            for place, payload in zip(places, answer, strict=True):
                layer.put(memory, place, read_beats(payload, self.plan.parameters))
        output = layer.output(memory)
        p = self.plan.parameters
        runs = len(output)
        self.layers[node.name] = LayerRun(
            node.name, node.kind, runs, clocks, node.macs * runs, p.rows * p.columns
        )
        self.progress(node.name)
        return output

    def _batches(self, layer: LayerTiles) -> Iterator[tuple[list[Any], list[Any]]]:
        places: list[Any] = []
        request: list[Any] = []
        size = 0
        parameters = self.plan.parameters
        for place in layer.places:
            weights = weight_packet(place.tile, parameters)
            pixels = pixel_packets(place.tile, place.pixels(), parameters)
            places.append(place)
            request.append((weights, pixels, place.tile.output_beats(parameters)))
            size += weights.nbytes + pixels.nbytes
            if size >= _BATCH_BYTES:
                yield places, request
                places, request, size = [], [], 0
        if request:
            yield places, request

    def _trace_each(self, x: Any) -> dict[str, np.ndarray]:
        """Every layer from its golden input; the simulators take the layers as they become free, the longest first."""
        trace = self.golden.trace(x)
        free: queue.Queue[Server] = queue.Queue()
        for server in self._servers:
            free.put(server)

        def run(node: Node) -> tuple[str, np.ndarray]:
            server = free.get()
            try:
                output = self._played(server, node, self.plan.tiles(node, trace))
            finally:
                free.put(server)
            return node.outputs[0], self.golden.tensors[node.outputs[0]].stacked(output)

        order = sorted(self.plan.layers, key=lambda node: -node.macs)
        with ThreadPoolExecutor(len(self._servers)) as pool:
            made = dict(pool.map(run, order))
        self.layers = {n.name: self.layers[n.name] for n in self.plan.layers}
        return {name: made.get(name, array) for name, array in trace.items()}
