# SPDX-License-Identifier: Apache-2.0
"""``python -m sim predict | trace | compare``: a network on an engine, against its golden model or its framework's
runtime."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import golden
from golden import GoldenError, Graph, Network
from golden.codegen.networks import NETWORKS
from golden.compare import Comparison, compare_traces
from sim.engine import GOLDEN, EngineModel, engines, load, snake
from sim.errors import AssayError
from tb.mvu import networks as integer_networks
from tb.pe_array import networks as int8_networks

__all__ = ["COMMANDS", "Order", "engines", "run"]

COMMANDS = ("predict", "trace", "compare")


@dataclass(frozen=True)
class Order:
    """What the command was asked for; see its help."""

    model: str
    engine: str = "pe_array"
    count: int = 1
    inputs: str = ""
    jobs: int = 1
    runtime: bool = False
    output: str = ""
    simulator: str = "verilator"
    seed: int = 1
    parameters: Mapping[str, int] = field(default_factory=dict)
    mapping: str = ""
    scales: str = ""
    command: str = "predict"

    @property
    def replay(self) -> str:
        """The command that repeats this run."""
        words = [f"python -m sim {self.command}", shlex.quote(self.model), f"--engine {self.engine}"]
        words += [
            f"--images {self.count}",
            *([f"--inputs {shlex.quote(self.inputs)}"] if self.inputs else []),
        ]
        words += [f"--jobs {self.jobs}"] if self.jobs > 1 else []
        words += ["--runtime"] if self.runtime else []
        words += [f"--mapping {self.mapping}"] if self.mapping else []
        words += [f"--scales {self.scales}"] if self.scales else []
        words += [f"--output {shlex.quote(self.output)}"] if self.output and self.command == "trace" else []
        words += [f"--sim {self.simulator}"] if self.engine != GOLDEN else []
        words += [f"--seed {self.seed}"]
        words += [f"--param {name}={value}" for name, value in sorted(self.parameters.items())]
        return " ".join(words)


@dataclass(frozen=True)
class _Work:
    """A network and the inputs drawn for it."""

    network: Network | Graph
    x: Any
    labels: np.ndarray | None


def run(order: Order, announce: Callable[[str], None]) -> int:
    """Run the network and print what was asked for; gives the exit status.

    predict prints every tensor's comparison, every layer's clocks and the answers; compare the comparison and where the
    first wrong value is; trace writes the engine's tensors and compares nothing.

    Raises:
        GoldenError: a file that is none, or does not fit the network or the hardware.
        AssayError: nothing to run, or a simulator that does not start or ends early.
    """
    if order.count < 1:
        raise AssayError(f"--images {order.count}: must be 1 or more")
    if order.scales and not _integer_network(order):
        raise AssayError(f"--scales {order.scales}: {order.engine} runs a file as its framework does")
    if order.command == "trace" and not order.output:
        raise AssayError("trace writes the tensors: name the file with --output FILE")
    work = _draw(order)
    graph = work.network
    reference = _reference(order, graph)
    announce(
        f"{graph.name}: {order.count} inputs on {order.engine}, seed {order.seed}; to replay: {order.replay}"
    )
    with (
        tqdm(desc=order.engine, unit="step", disable=None) as bar,
        load(
            graph,
            order.engine,
            simulator=order.simulator,
            seed=order.seed,
            jobs=order.jobs,
            announce=announce,
            progress=lambda name: bar.update(),
            **_options(order),
        ) as rtl,
    ):
        bar.reset(rtl.progress_steps(order.count))
        started = time.monotonic()
        seen = rtl.trace(work.x)
        seconds = time.monotonic() - started
        told = rtl.report()
    if order.output:
        _write(order.output, seen)
        announce(f"wrote {order.output}: {len(seen)} tensors")
    if order.command == "trace":
        for name, array in seen.items():
            print(f"{name}: {array.dtype} {list(array.shape)}")
        announce(
            f"{graph.name} on {order.engine}: {len(seen)} tensors in {seconds:.1f} s, compared with nothing"
        )
        return 0
    rtl.reset()
    expected = graph.trace(work.x) if reference is None else reference.trace(work.x)
    comparison = compare_traces(seen, expected, graph.inputs, graph.quantisations)
    print(comparison)
    if order.command == "predict":
        print()
        print(told)
    print()
    _verdict(order, work, rtl, comparison, seconds, announce)
    if order.command == "predict":
        _answers(order, work, seen, announce)
    return 0 if comparison.exact else 1


def _verdict(
    order: Order,
    work: _Work,
    rtl: EngineModel,
    comparison: Comparison,
    seconds: float,
    announce: Callable[[str], None],
) -> None:
    graph = work.network
    against = "the golden model" if not order.runtime else "the framework's runtime"
    how = "each layer from its golden input" if rtl.independent else "each layer from the one before"
    verdict = "PASS" if comparison.exact else "FAIL"
    values = sum(tensor.size for tensor in comparison.tensors)
    announce(
        f"{verdict}  {graph.name} on {order.engine}, {how}: {values:,} values against {against}, {seconds:.1f} s"
    )
    first = comparison.first_differing
    if first is None:
        return
    announce(f"      first wrong: {first}")
    made = rtl.made_by(first.name)
    if made:
        announce(f"      made by: {made}")
    announce(f"      replay: {order.replay}")
    if order.engine != GOLDEN:
        announce(f"      every beat of every layer, with waves: {_bench(order)}")


def _answers(
    order: Order, work: _Work, seen: Mapping[str, np.ndarray], announce: Callable[[str], None]
) -> None:
    """What a classifier recognised."""
    if work.labels is None:
        return
    answers = np.asarray(seen[work.network.outputs[0]]).reshape(order.count, -1).argmax(axis=1)
    announce(f"      recognised: {int((answers == work.labels).sum())} of {order.count}")


def _draw(order: Order) -> _Work:
    """The network and as many inputs as were asked for."""
    rng = np.random.default_rng(order.seed)
    if _integer_network(order):
        loaded = integer_networks.load_workload(order.model, order.inputs, rng, order.scales)
        many = len(loaded.images)
    else:
        model = "" if order.model == int8_networks.DIGITS else order.model
        loaded = int8_networks.load_workload(model, order.inputs, rng)
        many = len(loaded)
    if order.count > many:
        raise AssayError(f"--images {order.count}: there are only {many} inputs")
    rows = rng.choice(many, order.count, replace=False)
    if isinstance(loaded.network, Network):
        x: Any = loaded.images[rows]
    else:
        x = {name: values[rows] for name, values in loaded.inputs.items()}
    return _Work(loaded.network, x, None if loaded.labels is None else loaded.labels[rows])


def _integer_network(order: Order) -> bool:
    """Whether the model is to be a `Network`; the golden engine takes what the file is."""
    if order.engine != GOLDEN:
        return order.engine == "accelerator"
    if order.scales:
        return True
    if order.model in (*integer_networks.DIGITS, *NETWORKS, int8_networks.DIGITS):
        return order.model != int8_networks.DIGITS
    return isinstance(golden.load(order.model), Network)


def _options(order: Order) -> dict[str, Any]:
    """What `load` takes beside: parameters by the names they have there."""
    given: dict[str, Any] = {snake(name): value for name, value in order.parameters.items()}
    return {**given, **({"mapping": order.mapping} if order.mapping else {})}


def _bench(order: Order) -> str:
    """The command that plays the same network's layers in the engine's bench."""
    words = ["make", f"SIM={order.simulator}", f"TOPLEVEL={order.engine}", f"SEED={order.seed}"]
    if order.parameters:
        given = " ".join(f"{name}={value}" for name, value in sorted(order.parameters.items()))
        words.append(f"PARAMS={shlex.quote(given)}")
    own = (*integer_networks.DIGITS, int8_networks.DIGITS)
    words += [] if order.model in own else [f"MODEL={shlex.quote(order.model)}"]
    words += [f"INPUTS={shlex.quote(order.inputs)}"] if order.inputs else []
    words += [f"SCALES={order.scales}"] if order.scales else []
    return " ".join(words)


def _reference(order: Order, graph: Network | Graph) -> Any:
    """The framework's runtime, or None for the golden model."""
    if not order.runtime:
        return None
    suffix = Path(order.model).suffix.lower()
    if isinstance(graph, Network):
        raise GoldenError(
            f"{order.model}: --runtime compares a graph's tensors, but this is an integer network"
        )
    if suffix == ".tflite":
        from golden.runtimes.litert import LiteRt

        return LiteRt(Path(order.model), graph)
    if suffix == ".onnx":
        from golden.runtimes.onnxruntime import OnnxRuntime

        return OnnxRuntime(Path(order.model), graph)
    raise GoldenError(f"{order.model}: --runtime needs a model file, .tflite or .onnx")


def _write(path: str, tensors: Mapping[str, np.ndarray]) -> None:
    try:
        np.savez(path, **tensors)
    except OSError as error:
        raise AssayError(f"{path}: cannot be written: {error.strerror}") from None
