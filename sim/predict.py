"""``python -m sim predict``: a network on simulated hardware against its golden model or its framework's runtime."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from golden import GoldenError, Graph
from golden.compare import compare_traces
from golden.pe_array.parameters import PeArrayParameters
from sim.engine import engines, load
from sim.errors import AssayError
from tb.pe_array.networks import DIGITS, load_workload

__all__ = ["Order", "engines", "run"]


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

    @property
    def replay(self) -> str:
        """The command that repeats this run."""
        words = ["python -m sim predict", shlex.quote(self.model), f"--engine {self.engine}"]
        words += [
            f"--images {self.count}",
            *([f"--inputs {shlex.quote(self.inputs)}"] if self.inputs else []),
        ]
        words += [f"--jobs {self.jobs}"] if self.jobs > 1 else []
        words += ["--runtime"] if self.runtime else []
        words += [f"--sim {self.simulator}", f"--seed {self.seed}"]
        words += [f"--param {name}={value}" for name, value in sorted(self.parameters.items())]
        return " ".join(words)


def run(order: Order, announce: Callable[[str], None]) -> int:
    """Run the network, print every tensor's comparison and every layer's clocks; gives the exit status.

    Raises:
        GoldenError: a file that is none, or does not fit the network or the hardware.
        AssayError: nothing to run, or a simulator that does not start or ends early.
    """
    if order.count < 1:
        raise AssayError(f"--images {order.count}: must be 1 or more")
    rng = np.random.default_rng(order.seed)
    workload = load_workload("" if order.model == DIGITS else order.model, order.inputs, rng)
    graph, many = workload.network, len(workload)
    if order.count > many:
        raise AssayError(f"--images {order.count}: there are only {many} inputs")
    rows = rng.choice(many, order.count, replace=False)
    x = {name: values[rows] for name, values in workload.inputs.items()}
    reference = _reference(order, graph)
    sizes = vars(PeArrayParameters.of_rtl(order.parameters))
    announce(
        f"{graph.name}: {order.count} inputs on {order.engine}, seed {order.seed}; to replay: {order.replay}"
    )
    with (
        tqdm(desc=order.engine, unit="layer", disable=None) as bar,
        load(
            graph,
            order.engine,
            simulator=order.simulator,
            seed=order.seed,
            jobs=order.jobs,
            announce=announce,
            progress=lambda name: bar.update(),
            **sizes,
        ) as rtl,
    ):
        bar.reset(len(rtl.plan.layers))
        started = time.monotonic()
        seen = rtl.trace(x)
        seconds = time.monotonic() - started
    graph.reset()
    expected = graph.trace(x) if reference is None else reference.trace(x)
    comparison = compare_traces(seen, expected, graph.inputs, graph.quantisations)
    print(comparison)
    print()
    print(rtl.report())
    print()
    if order.output:
        _write(order.output, seen)
        announce(f"wrote {order.output}")
    against = "the golden model" if reference is None else "the framework's runtime"
    how = "each layer from its golden input" if rtl.independent else "each layer from the one before"
    verdict = "PASS" if comparison.exact else "FAIL"
    values = sum(tensor.size for tensor in comparison.tensors)
    announce(
        f"{verdict}  {graph.name} on {order.engine}, {how}: {values:,} values against {against}, {seconds:.1f} s"
    )
    first = comparison.first_differing
    if first is not None:
        announce(f"      first wrong: {first}")
        made = next((node for node in graph.nodes if first.name in node.outputs), None)
        if made is not None:
            announce(
                f"      made by: {made.name} ({made.kind}), which is done by the {rtl.plan.engine(made).value}"
            )
        announce(f"      replay: {order.replay}")
        announce(f"      every beat of every layer, with waves: {_bench(order)}")
    if workload.labels is not None:
        answers = np.asarray(seen[graph.outputs[0]]).reshape(order.count, -1).argmax(axis=1)
        announce(f"      recognised: {int((answers == workload.labels[rows]).sum())} of {order.count}")
    return 0 if comparison.exact else 1


def _bench(order: Order) -> str:
    """The command that plays the same network's layers in the engine's bench."""
    words = ["make", f"SIM={order.simulator}", f"TOPLEVEL={order.engine}", f"SEED={order.seed}"]
    if order.parameters:
        given = " ".join(f"{name}={value}" for name, value in sorted(order.parameters.items()))
        words.append(f"PARAMS={shlex.quote(given)}")
    words += [] if order.model == DIGITS else [f"MODEL={shlex.quote(order.model)}"]
    words += [f"IMAGES={shlex.quote(order.inputs)}"] if order.inputs else []
    return " ".join(words)


def _reference(order: Order, graph: Graph) -> Any:
    """The framework's runtime, or None for the golden model."""
    if not order.runtime:
        return None
    suffix = Path(order.model).suffix.lower()
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
