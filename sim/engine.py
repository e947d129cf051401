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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np

import golden
from golden import GoldenError, Graph
from golden.graph import Node
from golden.pe_array.mapping import LayerTiles
from golden.pe_array.parameters import PeArrayParameters
from golden.pe_array.plan import ArrayPlan, Engine
from golden.pe_array.tile import OutputBeats, pixel_packets, weight_packet
from sim import shown
from sim.errors import AssayError, RunFailed, unknown
from sim.run import Job, Outcome, choose_seed, report, run_job
from sim.targets import TARGETS, Target, find_target
from tb.pe_array.env import port_formats

__all__ = ["LayerResult", "RtlModel", "load"]

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
        self._format = port_formats(self.parameters)["out"]
        self._outcome: queue.Queue[Outcome | BaseException] = queue.Queue(1)
        self._folder = Path(tempfile.mkdtemp(prefix="assay-"))
        key = secrets.token_bytes(16)
        address = str(self._folder / "tiles")
        listener = Listener(address, "AF_UNIX", authkey=key)
        job = replace(
            job, environment={"ASSAY_ENGINE_ADDRESS": address, "ASSAY_ENGINE_KEY": key.hex(), **job.environment}
        )
        self._thread = threading.Thread(target=self._run, args=(job, announce, listener), daemon=True)
        self._connection: Connection | None = None
        try:
            self._thread.start()
            self._connection = self._accept(listener)
        except BaseException:
            self.close()
            raise
        finally:
            listener.close()

    def _run(self, job: Job, announce: Announce, listener: Listener) -> None:
        try:
            self._outcome.put(run_job(job, announce, waves_on_failure=False))
        except BaseException as error:  # handed over to whoever waits for the server
            self._outcome.put(error)
        finally:
            # Wakes an accept that still waits; whoever awaits an answer sees the connection's end.
            with contextlib.suppress(OSError):
                listener._listener._socket.shutdown(2)

    def _accept(self, listener: Listener) -> Connection:
        try:
            return listener.accept()
        except OSError:
            raise self._failure() from None

    def _failure(self) -> Exception:
        """Why the server is gone."""
        outcome = self._outcome.get()
        self._outcome.put(outcome)
        if isinstance(outcome, Exception):
            return outcome
        if isinstance(outcome, BaseException):
            return RunFailed("the simulator was interrupted")
        lines = "\n".join(report(outcome))
        return RunFailed(f"the simulation ended before the network did; log: {shown(outcome.folder / 'run.log')}\n{lines}")

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
                layer.put(memory, place, self._beats(payload))
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

    def _beats(self, payload: np.ndarray) -> OutputBeats:
        p = self.parameters
        fields = self._format.unpack(payload)
        data, keep = (np.asarray(fields[n], np.uint8) if fields[n].ndim == 2 else _bytes(fields[n]) for n in ("data", "keep"))
        keep = np.unpackbits(keep, axis=1, count=p.lanes * p.rows, bitorder="little")
        words = read_output(data, p)
        return OutputBeats(words, keep.reshape(words.shape).astype(bool), fields["last"].astype(bool))

    def close(self) -> None:
        """End the simulator."""
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.send(None)
            self._connection.close()
            self._connection = None
        self._thread.join(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)
