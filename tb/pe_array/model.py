# SPDX-License-Identifier: Apache-2.0
"""Networks on the simulated PE array, layer by layer.

The layers' tiles go to the simulator, everything between the layers is memory moves in this process. With several
simulators, the layers can also run each from its golden input, spread over them.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from assay.golden import GoldenError, Graph, Network
from assay.golden.graph import Node
from assay.golden.pe_array.mapping import LayerTiles, Place
from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.plan import ArrayPlan, Engine
from assay.golden.pe_array.tile import pixel_packets, weight_packet
from assay.tb.model import STRICT, Asked, Coverage, EngineModel, LayerRun, Server
from assay.tb.pe_array.env import read_beats

__all__ = ["ArrayModel"]

_BATCH_BYTES = 4 << 20  #: of tiles that go to the simulator at a time: enough that they follow without a gap
_BATCHES_BEGUN = 2  #: with the simulator while another one is prepared


class ArrayModel(EngineModel[Graph]):
    """A network on the PE array.

    Attributes:
        plan: which layers the hardware does.
    """

    options = (STRICT,)

    def __init__(self, plan: ArrayPlan, servers: Sequence[Server]) -> None:
        super().__init__(plan.graph, servers)
        self.plan = plan
        self.coverage = Coverage(
            on_rtl=tuple(node.name for node in plan.layers),
            host=plan.host,
            moved=tuple(node.name for node in plan.graph.nodes if plan.engine(node) is Engine.MOVE),
            tensors=tuple(name for node in plan.layers for name in node.outputs),
        )
        self.independent = len(servers) > 1
        self._graph = plan.network(self._play)

    @staticmethod
    def prepare(model: Graph | Network, parameters: Mapping[str, int], strict: bool = False) -> ArrayPlan:
        """The plan of a network on a build with these HDL parameters.

        Args:
            strict: whether nothing may be left to the host.

        Raises:
            GoldenError: the array can do no layer of the network, or with `strict` not all of them.
        """
        if not isinstance(model, Graph):
            raise GoldenError(
                f"{model.name}: the PE array runs graphs, but this is a lowered network, for MVUs"
            )
        plan = ArrayPlan(model, PeArrayParameters.of_rtl(parameters), strict)
        plan.demand_layers()
        return plan

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

    def made_by(self, tensor: str) -> str:
        made = next((node for node in self.golden.nodes if tensor in node.outputs), None)
        return (
            f"{made.name} ({made.kind}), which is done by the {self.plan.engine(made).value}" if made else ""
        )

    def _play(self, node: Node, layer: LayerTiles) -> np.ndarray:
        return self._played(self._servers[0], node, layer)

    def _played(self, server: Server, node: Node, layer: LayerTiles) -> np.ndarray:
        memory, clocks = layer.memory(), 0
        for places, (answer, took) in self._answers(server, layer):
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

    def _answers(self, server: Server, layer: LayerTiles) -> Iterator[tuple[list[Place], Any]]:
        """The simulator's answers to the layer's batches; while it plays one, the next one is prepared."""
        begun: deque[tuple[list[Place], Asked]] = deque()
        try:
            for places, request in self._batches(layer):
                begun.append((places, server.begin(request)))
                if len(begun) > _BATCHES_BEGUN:
                    places, asked = begun.popleft()
                    yield places, asked.result()
            while begun:
                places, asked = begun.popleft()
                yield places, asked.result()
        finally:
            for _, asked in begun:
                asked.cancel()

    def _batches(self, layer: LayerTiles) -> Iterator[tuple[list[Place], list[Any]]]:
        places: list[Place] = []
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
