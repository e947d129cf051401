# SPDX-License-Identifier: Apache-2.0
"""The common part of every engine's model of a network: it answers as the golden one does."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from assay.golden import GoldenError, Graph, Network
from assay.golden.compare import Comparison, compare_traces, trace_of
from assay.golden.table import lines
from assay.tb.errors import AssayError, RunFailed
from assay.tb.framework import Source, compare_lowering, framework_rows
from assay.tb.options import Option

__all__ = ["STRICT", "Coverage", "EngineModel", "GoldenModel", "LayerRun", "Server"]

STRICT = Option("", "--strict", "", "reject a network of which a layer would be left to the host")
"""The option of engines that leave to the host what they cannot do."""


_MODEL = TypeVar("_MODEL", bound=Graph | Network)


@dataclass(frozen=True)
class Coverage:
    """Which layers of a network an engine's RTL computes. What it does not compute is never called verified.

    Attributes:
        on_rtl: names of the layers that it computes.
        host: names of those that the host computes, or leaves undone -> why.
        moved: names of nodes that only move values.
        tensors: names of the tensors that the RTL makes.
    """

    on_rtl: tuple[str, ...] = ()
    host: Mapping[str, str] = field(default_factory=dict)
    moved: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()

    @property
    def layers_on_rtl(self) -> int:
        """The number of layers that the RTL computes."""
        return len(self.on_rtl)

    @property
    def layers(self) -> int:
        """The number of layers that compute anything."""
        return len(self.on_rtl) + len(self.host)

    def __str__(self) -> str:
        return f"{self.layers_on_rtl} of {self.layers} layers on the RTL"

    def text(self) -> str:
        """The counts, and below them what moves values and what the host does, each with its reason."""
        told = [f"{self}", f"moves in memory: {', '.join(self.moved) or 'nothing'}"]
        told.append(f"done by the host: {'' if self.host else 'nothing'}".rstrip())
        return "\n".join([*told, *(f"  {name}: {why}" for name, why in self.host.items())])


@dataclass(frozen=True)
class LayerRun:
    """The clocks of a layer when it last ran.

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


class Asked(Protocol):
    """A request on its way to a simulator."""

    def result(self) -> Any:
        """Wait for the answer."""

    def cancel(self) -> None:
        """Its answer is not wanted any more."""


class Server(Protocol):
    """A simulator that stays up and answers requests; `sim.server` makes them. Errors are told there."""

    def check(self) -> None:
        """Refuse what cannot be asked."""

    def ask(self, request: Any) -> Any:
        """The answer to a request."""

    def begin(self, request: Any) -> Asked:
        """As `ask`, without waiting."""

    def give_up(self, error: Exception) -> Exception:
        """End the simulator, since what it would answer next is not to be relied on; gives `error`."""

    def close(self) -> None:
        """End the simulator."""


class EngineModel(Generic[_MODEL]):
    """A network on an engine; `predict`, `trace`, `compare` and `reset` are those of its golden model.

    To be closed, or used in a `with` block: the simulators run until then. Threads may share it, whose calls take
    turns. A call that is interrupted (Ctrl-C) leaves it as it was. A fork of the process cannot use it.

    Attributes:
        options: what `sim.load` and ``predict`` take for it beside the parameters of the hardware.
        lowers: whether it runs lowered networks (`Network`), not graphs.
        golden: the network's golden model.
        coverage: which of its layers the RTL computes; `layers_on_rtl` and `layers` are the counts.
        source: where the network comes from, with its framework's arithmetic, see `tb.framework`.
        independent: whether `trace` gives every layer its golden input, not what the layer before made.
        layers: of the last `trace` or `predict`, in order of execution.
        progress: called with the name of what has just run.
    """

    options: tuple[Option, ...] = ()
    lowers = False
    independent = False

    def __init__(self, model: _MODEL, servers: Sequence[Server] = ()) -> None:
        self.golden = model
        self.coverage = Coverage()
        self.source = Source(model, model if isinstance(model, Graph) else None)
        self.layers: dict[str, LayerRun] = {}
        self.progress: Callable[[str], None] = lambda name: None
        self._servers = tuple(servers)
        self._closed = False
        self._turn = threading.RLock()
        self._owner = os.getpid()

    def __reduce__(self) -> Any:
        raise AssayError(
            f"the engine of {self.golden.name} cannot be copied or sent to another process: load it there"
        )

    def __enter__(self) -> EngineModel:
        self._check()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        # What is wrong already is what the user should read.
        with contextlib.suppress(AssayError) if kind is not None else contextlib.nullcontext():
            self.close()

    @staticmethod
    def prepare(
        model: Graph | Network, parameters: Mapping[str, Any], *arguments: Any, **options: Any
    ) -> Any:
        """An engine's preparation of a network before there is a simulator: the first argument of its models.

        Args:
            parameters: all HDL parameters of the build.
            arguments, options: those of `options` that were given; an engine declares each of its own.

        Raises:
            GoldenError: the hardware cannot run it.
        """
        raise NotImplementedError

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
        """The number of calls of `progress` while `runs` inputs are traced."""
        raise NotImplementedError

    def compare(self, x: Any, reference: Any = None) -> Comparison:
        """Hold every tensor that the RTL makes against a reference's, by default the golden model's.

        Raises:
            GoldenError, AssayError, RunFailed: as `predict`; or the RTL makes none of the reference's tensors.
        """
        with self._running(x):
            seen = self._trace(x)
            self._reset_golden()
            theirs = self.golden.trace(x) if reference is None else trace_of(reference, x)
        return self.compared(seen, theirs)

    def compared(self, seen: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> Comparison:
        """The tensors of a trace that the RTL made against a reference's.

        Raises:
            RunFailed: the trace lacks one of them.
        """
        for name in self.coverage.tensors:
            if name not in seen:
                raise RunFailed(
                    f"{self.golden.name}: the engine gave no tensor {name!r}, which its RTL makes"
                )
        made = {name: seen[name] for name in self.coverage.tensors}
        return compare_traces(made, reference, (), self.golden.quantisations)

    def compare_framework(self, x: Any) -> Comparison | None:
        """Hold what the engine was given against the framework's arithmetic; the RTL has no part in it.

        Args:
            x: as for `predict`.

        Returns:
            None if the engine was given the framework's arithmetic itself, or came without a model file. Else the
            tensors of the lowered network, whose differences are in steps of its integers.

        Raises:
            GoldenError: the inputs are not those that the model file makes of its own.
        """
        if self.source.graph is None or not isinstance(self.golden, Network):
            return None
        found = framework_rows(self.golden, self.source.graph, self.golden.checked_input(x))
        if found is None:
            raise GoldenError(
                f"the inputs of {self.golden.name} are not recognised as inputs of its model file"
            )
        return compare_lowering(self.golden, found.tensors, x, self.golden.trace(x))

    def reset(self) -> None:
        """Give every state variable its initial value."""
        with self._turn:
            self._reset_golden()

    def report(self) -> str:
        """Clocks and utilisation of each layer of the last run, a table; then which layers the RTL does not compute."""
        header = ("layer", "operator", "runs", "clocks", "MACs", "utilisation")
        rows: list[tuple[str, ...]] = [
            (r.name, r.kind, f"{r.runs}", f"{r.clocks:,}", f"{r.macs:,}", f"{r.utilisation:.1%}")
            for r in self.layers.values()
        ]
        rows.append(self._total())
        return "\n".join([*lines((header, *rows), right=range(2, len(header))), self.coverage.text()])

    def made_by(self, tensor: str) -> str:
        """The maker of a tensor, for a message; empty for an input."""
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


class GoldenModel(EngineModel[Graph | Network]):
    """The golden model itself, as an engine: so that one command line serves all."""

    def __init__(self, model: Graph | Network) -> None:
        super().__init__(model)
        nodes = model.nodes if isinstance(model, Graph) else model.layers
        self.coverage = Coverage(host={node.name: "the golden model is no hardware" for node in nodes})

    def compared(self, seen: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> Comparison:
        return compare_traces(seen, reference, self.golden.inputs, self.golden.quantisations)

    def compare(self, x: Any, reference: Any = None) -> Comparison:
        """As the golden model's; there must be a reference, since the model equals itself."""
        if reference is None:
            raise GoldenError(
                f"{self.golden.name}: the golden model compared with itself proves nothing; give a reference"
            )
        return super().compare(x, reference)

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
        """The parts of the network."""
        return self.golden.summary()

    def made_by(self, tensor: str) -> str:
        return ""
