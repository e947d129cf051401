# SPDX-License-Identifier: Apache-2.0
"""What every engine's model of a network has in common: it answers as the golden one does."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from golden import GoldenError, Graph, Network
from golden.compare import Comparison, compare_traces, trace_of
from golden.table import lines
from sim.errors import AssayError
from sim.server import Server

__all__ = ["EngineModel", "GoldenModel", "LayerRun"]


@dataclass(frozen=True)
class LayerRun:
    """What a layer took when it last ran.

    Attributes:
        name, kind: of its node.
        runs: inputs that went through it.
        clocks: from its beginning to its end, all runs.
        macs: multiplications of the network in all runs.
        elements: multiplications of this layer's operands that the hardware can do in a clock.
    """

    name: str
    kind: str
    runs: int
    clocks: int
    macs: int
    elements: float

    @property
    def utilisation(self) -> float:
        """Share of the hardware's multiplications that the network needs."""
        return self.macs / (self.elements * self.clocks) if self.clocks else 0.0


class EngineModel:
    """A network on an engine; `predict`, `trace`, `compare` and `reset` are those of its golden model.

    To be closed, or used in a `with` block: the simulators run until then. Threads may share it, whose calls take
    turns. A call that is interrupted (Ctrl-C) leaves it as it was. A fork of the process cannot use it.

    Attributes:
        golden: the network's golden model.
        independent: whether `trace` gives every layer its golden input, not what the layer before made.
        layers: of the last `trace` or `predict`, in order of execution.
        progress: called with the name of what has just run.
    """

    independent = False

    def __init__(self, model: Graph | Network, servers: Sequence[Server] = ()) -> None:
        self.golden = model
        self.layers: dict[str, LayerRun] = {}
        self.progress: Callable[[str], None] = lambda name: None
        self._servers = tuple(servers)
        self._closed = False
        self._turn = threading.RLock()
        self._owner = os.getpid()

    def __enter__(self) -> EngineModel:
        self._check()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        # What is wrong already is what the user should read.
        with contextlib.suppress(AssayError) if kind is not None else contextlib.nullcontext():
            self.close()

    def predict(self, x: Any) -> Any:
        """As the golden model's, every layer on the one before's outcome.

        Raises:
            GoldenError: as the golden model, or no inputs at all.
            AssayError: the engine is closed, or belongs to the process of which this one is a fork.
            RunFailed: the simulation ended.
        """
        with self._running(x):
            return self._predict(x)

    def trace(self, x: Any) -> dict[str, np.ndarray]:
        """As the golden model's; errors as for `predict`."""
        with self._running(x):
            return self._trace(x)

    def _predict(self, x: Any) -> Any:
        raise NotImplementedError

    def _trace(self, x: Any) -> dict[str, np.ndarray]:
        raise NotImplementedError

    @contextlib.contextmanager
    def _running(self, x: Any) -> Iterator[None]:
        """A call's turn."""
        self._check()
        for name, values in (x if isinstance(x, Mapping) else {"": x}).items():
            if np.ndim(values) and not len(values):
                raise GoldenError(f"input {name or 'array'} holds 0 rows, but must hold 1 or more")
        with self._turn:
            self._check()
            yield

    def _check(self) -> None:
        if os.getpid() != self._owner:
            # Another thread of the parent may have held it.
            self._owner, self._turn = os.getpid(), threading.RLock()
        if self._closed:
            raise AssayError(f"the engine of {self.golden.name} is closed: load the network again")
        for server in self._servers:
            server.check()

    def progress_steps(self, runs: int) -> int:
        """How many times `progress` is called while `runs` inputs are traced."""
        raise NotImplementedError

    def compare(self, x: Any, reference: Any = None) -> Comparison:
        """Hold every tensor against a reference's, by default the golden model's."""
        with self._running(x):
            seen = self._trace(x)
            self._reset_golden()
            theirs = self.golden.trace(x) if reference is None else trace_of(reference, x)
        return compare_traces(seen, theirs, self.golden.inputs, self.golden.quantisations)

    def reset(self) -> None:
        """Give every state variable its initial value."""
        with self._turn:
            self._reset_golden()

    def report(self) -> str:
        """Clocks and utilisation of each layer of the last run: a table."""
        header = ("layer", "operator", "runs", "clocks", "MACs", "utilisation")
        rows = [
            (r.name, r.kind, f"{r.runs}", f"{r.clocks:,}", f"{r.macs:,}", f"{r.utilisation:.1%}")
            for r in self.layers.values()
        ]
        rows.append(self._total())
        return "\n".join(lines((header, *rows), right=range(2, len(header))))

    def made_by(self, tensor: str) -> str:
        """What made a tensor, for a message; empty for an input."""
        raise NotImplementedError

    def close(self) -> None:
        """End the simulators; a second call does nothing.

        Raises:
            RunFailed: a simulation failed by itself (an assertion of the HDL, say) and no call has said so.
        """
        self._closed = True
        with contextlib.ExitStack() as stack:  # all of them, whatever one raises
            for server in self._servers:
                stack.callback(server.close)

    def _total(self) -> tuple[str, ...]:
        """The last row of the report."""
        clocks = sum(r.clocks for r in self.layers.values())
        macs = sum(r.macs for r in self.layers.values())
        work = sum(r.elements * r.clocks for r in self.layers.values())
        return ("all", "", "", f"{clocks:,}", f"{macs:,}", f"{macs / work:.1%}" if work else "")

    def _reset_golden(self) -> None:
        if isinstance(self.golden, Graph):
            self.golden.reset()


class GoldenModel(EngineModel):
    """The golden model itself, as an engine: so that one command line serves all."""

    def _predict(self, x: Any) -> Any:
        return self.golden.predict(x)

    def _trace(self, x: Any) -> dict[str, np.ndarray]:
        self._reset_golden()
        tensors = self.golden.trace(x)
        self.progress(self.golden.name)
        return tensors

    def progress_steps(self, runs: int) -> int:
        return 1

    def report(self) -> str:
        """What the network consists of."""
        return self.golden.summary()

    def made_by(self, tensor: str) -> str:
        return ""
