"""Networks on simulated hardware, layer by layer: `load` gives a model that answers as the golden one does.

A simulator runs as a server (`Target.engine`) for as long as the model lives; its layers' tiles go there over a
connection, everything between the layers is memory moves in this process. With several simulators, the layers can
also run each from its golden input, spread over them.
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Client, Connection, Listener
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

import golden
from golden import GoldenError, Graph
from golden.compare import Comparison, compare_traces, trace_of
from golden.graph import Node
from golden.pe_array.mapping import LayerTiles
from golden.pe_array.parameters import PeArrayParameters
from golden.pe_array.plan import ArrayPlan, Engine
from golden.pe_array.tile import pixel_packets, weight_packet
from golden.table import lines
from sim.errors import AssayError, RunFailed, unknown
from sim.run import Job, Outcome, choose_seed, report, run_job
from sim.targets import TARGETS
from tb.pe_array.env import read_beats

__all__ = ["LayerRun", "RtlModel", "engines", "load"]

Announce = Callable[[str], None]

_FOREVER_S = 7 * 24 * 3600  #: a server waits for its user
_BATCH_BYTES = 4 << 20  #: of tiles that go to the simulator at a time: enough that they follow without a gap


def _silent(line: str) -> None:
    """Says nothing."""


class ArrayServer:
    """One simulator process that plays tiles of the PE array."""

    def __init__(self, job: Job, announce: Announce) -> None:
        """Raises `AssayError`, `RunFailed` if the simulator does not come up."""
        self.parameters = PeArrayParameters.of_rtl(job.target.resolve_parameters(job.parameters))
        self._outcome: queue.Queue[Outcome | BaseException] = queue.Queue(1)
        self._folder = Path(tempfile.mkdtemp(prefix="assay-"))
        key = secrets.token_bytes(16)
        address = str(self._folder / "tiles")
        listener = Listener(address, "AF_UNIX", authkey=key)
        job = replace(
            job,
            environment={"ASSAY_ENGINE_ADDRESS": address, "ASSAY_ENGINE_KEY": key.hex(), **job.environment},
        )
        self._thread = threading.Thread(target=self._run, args=(job, announce, address, key), daemon=True)
        self._connection: Connection | None = None
        try:
            self._thread.start()
            self._connection = listener.accept()
            if not self._outcome.empty():
                raise self._failure()
        except BaseException:
            self.close()
            raise
        finally:
            listener.close()

    def _run(self, job: Job, announce: Announce, address: str, key: bytes) -> None:
        try:
            # What a server runs is not known yet, and a replay of it is its user's.
            told = lambda line: None if line.startswith("running ") else announce(line)  # noqa: E731
            self._outcome.put(run_job(job, told, waves_on_failure=False))
        except BaseException as error:  # handed over to whoever waits for the server
            self._outcome.put(error)
        finally:
            # Wakes who still waits for the simulator to come up; who awaits an answer sees its connection's end.
            with contextlib.suppress(OSError, EOFError):
                Client(address, authkey=key).close()

    def _failure(self) -> Exception:
        """Why the server is gone."""
        outcome = self._outcome.get()
        self._outcome.put(outcome)
        if isinstance(outcome, Exception):
            return outcome
        if isinstance(outcome, BaseException):
            return RunFailed("the simulator was interrupted")
        told = "\n".join(report(outcome))
        return RunFailed(f"the simulation ended before the network did\n{told}")

    def play(self, layer: LayerTiles) -> tuple[np.ndarray, int]:
        """A layer's output and the clocks that its tiles took.

        Raises:
            RunFailed: the simulation ended.
        """
        memory, clocks = layer.memory(), 0
        for places, request in self._batches(layer):
            try:
                self._connection.send(request)
                answer, took = self._connection.recv()
            except (EOFError, OSError):
                raise self._failure() from None
            clocks += took
            for place, payload in zip(places, answer, strict=True):
                layer.put(memory, place, read_beats(payload, self.parameters))
        return layer.output(memory), clocks

    def _batches(self, layer: LayerTiles) -> Iterator[tuple[list[Any], list[Any]]]:
        places: list[Any] = []
        request: list[Any] = []
        size = 0
        for place in layer.places:
            weights = weight_packet(place.tile, self.parameters)
            pixels = pixel_packets(place.tile, place.pixels(), self.parameters)
            places.append(place)
            request.append((weights, pixels, place.tile.output_beats(self.parameters)))
            size += weights.nbytes + pixels.nbytes
            if size >= _BATCH_BYTES:
                yield places, request
                places, request, size = [], [], 0
        if request:
            yield places, request

    def close(self) -> None:
        """End the simulator."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(None)
            self._connection.close()
            self._connection = None
        self._thread.join(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)


@dataclass(frozen=True)
class LayerRun:
    """What a layer took when it last ran.

    Attributes:
        name, kind: of its node.
        runs: inputs that went through it.
        clocks: from the first beat in to the last beat out, all runs.
        macs: multiplications of the network in all runs.
        elements: of the array.
    """

    name: str
    kind: str
    runs: int
    clocks: int
    macs: int
    elements: int

    @property
    def utilisation(self) -> float:
        """Share of the array's multiplications that the network needs."""
        return self.macs / (self.elements * self.clocks)


class RtlModel:
    """A network on simulated hardware; answers `predict`, `trace`, `compare`, `reset` as its golden `Graph` does.

    To be closed, or used in a `with` block: the simulators run until then.

    Attributes:
        golden: the network's golden model.
        plan: which layers the hardware does.
        independent: whether `trace` gives every layer its golden input, not what the layer before made.
        layers: of the last `trace` or `predict`, in order of execution.
    """

    def __init__(self, plan: ArrayPlan, servers: Sequence[ArrayServer]) -> None:
        self.golden = plan.graph
        self.plan = plan
        self.independent = len(servers) > 1
        self.layers: dict[str, LayerRun] = {}
        self._servers = tuple(servers)
        self._graph = plan.network(self._play)
        self._progress: Callable[[Node], None] = lambda node: None

    def __enter__(self) -> RtlModel:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def predict(self, x: Any) -> Any:
        """As `Graph.predict`, every layer on the one before's outcome."""
        return self._graph.predict(x)

    def trace(self, x: Any) -> dict[str, np.ndarray]:
        """As `Graph.trace`."""
        return self._trace_each(x) if self.independent else self._graph.trace(x)

    def compare(self, x: Any, reference: Any = None) -> Comparison:
        """Hold every tensor against a reference's, by default the golden model's."""
        seen = self.trace(x)
        self.golden.reset()
        theirs = self.golden.trace(x) if reference is None else trace_of(reference, x)
        return compare_traces(seen, theirs, self.golden.inputs, self.golden.quantisations)

    def reset(self) -> None:
        """Give every state variable its initial value."""
        self._graph.reset()
        self.golden.reset()

    def report(self) -> str:
        """Clocks and utilisation of each layer of the last run, and what the array did not do: a table, two lines."""
        header = ("layer", "operator", "runs", "clocks", "MACs", "utilisation")
        rows = [
            (r.name, r.kind, f"{r.runs}", f"{r.clocks:,}", f"{r.macs:,}", f"{r.utilisation:.1%}")
            for r in self.layers.values()
        ]
        clocks = sum(r.clocks for r in self.layers.values())
        macs = sum(r.macs for r in self.layers.values())
        elements = self.plan.parameters.rows * self.plan.parameters.columns
        share = f"{macs / (elements * clocks):.1%}" if clocks else ""
        rows.append(("all", "", "", f"{clocks:,}", f"{macs:,}", share))
        told = lines((header, *rows), right=range(2, len(header)))
        for engine, words in ((Engine.MOVE, "moves in memory"), (Engine.HOST, "done by the host")):
            nodes = [n for n in self.plan.graph.nodes if self.plan.engine(n) is engine]
            told.append(f"{words}: {', '.join(f'{n.name} ({n.kind})' for n in nodes) or 'nothing'}")
        return "\n".join(told)

    def close(self) -> None:
        """End the simulators."""
        for server in self._servers:
            server.close()

    def _play(self, node: Node, layer: LayerTiles) -> np.ndarray:
        return self._played(self._servers[0], node, layer)

    def _played(self, server: ArrayServer, node: Node, layer: LayerTiles) -> np.ndarray:
        output, clocks = server.play(layer)
        p = self.plan.parameters
        runs = len(output)
        self.layers[node.name] = LayerRun(
            node.name, node.kind, runs, clocks, node.macs * runs, p.rows * p.columns
        )
        self._progress(node)
        return output

    def _trace_each(self, x: Any) -> dict[str, np.ndarray]:
        """Every layer from its golden input; the simulators take the layers as they become free, the longest first."""
        trace = self.golden.trace(x)
        free: queue.Queue[ArrayServer] = queue.Queue()
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


def engines() -> tuple[str, ...]:
    """Names of the targets that run networks."""
    return tuple(name for name, target in TARGETS.items() if target.engine)


def load(
    model: str | PathLike[str] | Graph,
    engine: str = "pe_array",
    *,
    simulator: str = "verilator",
    seed: int | None = None,
    jobs: int = 1,
    announce: Announce = _silent,
    progress: Callable[[str], None] = _silent,
    **parameters: int,
) -> RtlModel:
    """A network on simulated hardware.

        with sim.load("model.tflite", engine="pe_array", rows=8, columns=24) as rtl:
            print(rtl.compare(x))
            print(rtl.report())

    Args:
        model: a model file, or its golden graph.
        engine: one of `engines()`.
        simulator: verilator or icarus.
        seed: of the simulation; None draws one. Nothing here depends on it unless state starts at random.
        jobs: simulators. With more than one, `trace` gives every layer its golden input and spreads the layers
            over them.
        announce: receives the runner's lines.
        progress: receives the name of each layer when it has run.
        parameters: sizes of the array, under the names of `golden.pe_array.parameters.PeArrayParameters`.

    Raises:
        GoldenError: the file is no such network, or a layer does not fit the array.
        AssayError: an unknown engine, simulator or parameter, or the simulator does not start.
    """
    if engine not in engines():
        raise unknown("engine", engine, engines())
    target = replace(
        TARGETS[engine],
        test_modules=(TARGETS[engine].engine,),
        default_tests=("serve",),
        timeout_s=_FOREVER_S,
    )
    if jobs < 1:
        raise AssayError(f"jobs = {jobs}: must be 1 or more")
    graph = golden.load(model) if not isinstance(model, Graph) else model
    if not isinstance(graph, Graph):
        raise GoldenError(
            f"{model}: the PE array runs int8 networks, but this is a QONNX network for the MVU"
        )
    defaults = vars(PeArrayParameters())
    for name in parameters:
        if name not in defaults:
            raise unknown("parameter", name, defaults)
    rtl = PeArrayParameters(**parameters).rtl
    changed = {name: value for name, value in rtl.items() if value != target.parameters[name].default}
    target.resolve_parameters(changed)
    plan = ArrayPlan(graph, PeArrayParameters(**parameters))
    job = Job(target, simulator, choose_seed(None if seed is None else str(seed)), ("serve",), changed)
    servers: list[ArrayServer] = []
    try:
        for number in range(jobs):
            # The first one builds; each has a folder of its own.
            servers.append(ArrayServer(replace(job, name_suffix=f"{os.getpid()}.{number}"), announce))
    except BaseException:
        for server in servers:
            server.close()
        raise
    rtl_model = RtlModel(plan, servers)
    rtl_model._progress = lambda node: progress(node.name)
    return rtl_model
