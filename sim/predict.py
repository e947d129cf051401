# SPDX-License-Identifier: Apache-2.0
"""``assay predict | trace | compare``: a network on an engine, and what its numbers are worth.

Two comparisons, never mixed (see `tb.framework`):

1. the RTL against what the engine was given: every tensor that the RTL makes, exact or a failure;
2. what the engine was given against the framework's arithmetic, or with ``--runtime`` the framework itself: exact, or
   near enough by ``--accept-steps`` and ``--accept-share``.

What the host or a move in memory makes is never called verified, and a run in which the RTL made nothing fails.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from assay import vectors
from assay.golden import GoldenError, Graph, Network, user_files
from assay.golden.archives import check_npz, write_npz
from assay.golden.compare import Acceptance, Comparison, compare_traces
from assay.golden.lowering import DEFAULT, Lowering
from assay.golden.rows import count, random_rows, read_rows, traced
from assay.golden.runtimes.choice import arithmetic, runtime_of
from assay.golden.table import short
from assay.sim import project
from assay.sim.commands import Word, command
from assay.sim.engine import GOLDEN, load, model_class, snake
from assay.tb.block import Block
from assay.tb.errors import AssayError, RunFailed
from assay.tb.framework import (
    DIGITS,
    Source,
    compare_lowering,
    framework_rows,
    is_lowered,
    lowered_rows,
    source,
)
from assay.tb.model import EngineModel

__all__ = ["COMMANDS", "Order", "run"]

COMMANDS = ("predict", "trace", "compare")


@dataclass(frozen=True)
class Order:
    """The arguments of the command; see its help.

    Attributes:
        block: of the engine; None: the golden model.
        options: of the engine's models, by name.
    """

    model: str
    block: Block | None = None
    random: int = 1
    inputs: str = ""
    jobs: int = 1
    runtime: bool = False
    output: str = ""
    simulator: str = "verilator"
    seed: int = 1
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    options: Mapping[str, str | bool] = field(default_factory=dict)
    lowering: Lowering = DEFAULT
    acceptance: Acceptance = field(default_factory=Acceptance)
    command: str = "predict"

    @property
    def engine(self) -> str:
        """The engine's name."""
        return GOLDEN if self.block is None else self.block.name

    @property
    def kind(self) -> type[EngineModel]:
        """The class of the engine's models."""
        return model_class(self.block or GOLDEN, {})

    @property
    def replay(self) -> str:
        """The command that repeats this run."""
        words = [f"assay {self.command}", shlex.quote(self.model), f"--engine {self.engine}"]
        words += [f"--inputs {shlex.quote(self.inputs)}" if self.inputs else f"--random {self.random}"]
        words += [f"--jobs {self.jobs}"] if self.jobs > 1 else []
        words += ["--runtime"] if self.runtime else []
        words += [_typed(name, value) for name, value in self.options.items()]
        words += self.lowering.words
        if self.acceptance.steps:
            words += [f"--accept-steps {self.acceptance.steps}", f"--accept-share {self.acceptance.share:g}"]
        words += [f"--output {shlex.quote(self.output)}"] if self.output and self.command == "trace" else []
        words += [f"--sim {self.simulator}"] if self.engine != GOLDEN else []
        words += [f"--seed {self.seed}"]
        named = project.in_use.get(self.block.root, "") if self.block else ""
        words += [f"--blocks {shlex.quote(named)}"] if named else []
        words += [f"--param {name}={value}" for name, value in sorted(self.parameters.items())]
        return " ".join(words)


def _typed(name: str, value: str | bool) -> str:
    """An option of an engine's models as it is typed."""
    flag = f"--{name.replace('_', '-')}"
    return flag if value is True else f"{flag} {shlex.quote(str(value))}"


@dataclass(frozen=True, eq=False)
class _Work:
    """A network and what to run through it.

    Attributes:
        x: the inputs as the engine takes them.
        rows: the same as the model file takes them, None where no file is known or they cannot be told.
        labels: int [N], or None if nobody knows them.
        tensors: of a lowered network's model file for these rows, as its graph makes them.
    """

    source: Source
    x: Any
    rows: Any
    labels: np.ndarray | None = None
    tensors: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class _Lowering:
    """The second comparison.

    Attributes:
        whose: for the verdict: whose arithmetic the engine's network has or is lowered from.
        against: the other side of the comparison; or why there is none.
        comparison: None where there is none.
    """

    whose: str
    against: str
    comparison: Comparison | None = None


def run(order: Order, announce: Callable[[str], None]) -> int:
    """Run the network and print what was asked for; gives the exit status.

    predict prints both comparisons tensor by tensor, every layer's clocks and the answers; compare the comparisons;
    trace writes the engine's tensors. All give the verdict and name the first wrong value.

    Raises:
        GoldenError: a file that is none, or does not fit the network or the hardware, or of which the hardware can
            compute nothing.
        AssayError: nothing to run, or a simulator that does not start or ends early.
    """
    _check(order)
    work = _draw(order)
    network = work.source.network
    reference = _runtime(order, work)
    many = count(work.x)
    inputs = "1 input" if many == 1 else f"{many} inputs"
    announce(f"{network.name}: {inputs} on {order.engine}, seed {order.seed}; to replay: {order.replay}")
    with tqdm(desc=order.engine, unit="step", disable=None, delay=1) as bar:
        rtl = load(
            work.source,
            order.block or GOLDEN,
            simulator=order.simulator,
            seed=order.seed,
            jobs=order.jobs,
            announce=announce,
            **_options(order),
        )
        with contextlib.ExitStack() as stack:
            stack.enter_context(rtl)
            bar.reset(rtl.progress_steps(many))
            started = time.monotonic()

            def step(_: str) -> None:
                clocks = sum(layer.clocks for layer in rtl.layers.values())
                rate = clocks / (time.monotonic() - started)
                bar.set_postfix_str(f"{rate:,.0f} clocks/s" if clocks else "", refresh=False)
                bar.update()

            rtl.progress = step
            seen = rtl.trace(work.x)
            seconds = time.monotonic() - started
            stack.pop_all()
    failure = _closed(rtl)
    told = rtl.report()
    rtl_comparison, lowering = _compare(work, rtl, seen, reference)
    if order.output:
        made = _written(rtl, work, seen)
        write_npz(Path(order.output), made)
        announce(
            f"wrote {order.output}: {len(made)} tensors, of which the RTL made {len(rtl.coverage.tensors)}"
        )
    if order.command == "trace":
        for name, array in seen.items():
            print(f"{name}: {array.dtype} {list(array.shape)}")
        print()
    else:
        _print_comparisons(rtl, work, rtl_comparison, lowering)
    if order.command == "predict":
        print(f"{told}\n")
    passed = _verdict(order, work, rtl, rtl_comparison, lowering, failure, seconds, announce)
    if order.command == "predict":
        _answers(work, seen, announce)
    return 0 if passed else 1


def _closed(rtl: EngineModel) -> RunFailed | None:
    """End the simulators; gives what went wrong in them beside the answers, such as an assertion of the HDL."""
    try:
        rtl.close()
    except RunFailed as error:
        return error
    return None


def _check(order: Order) -> None:
    """Refuse what makes no sense before anything is loaded."""
    if order.random < 1:
        raise AssayError(f"--random {order.random}: must be 1 or more")
    if order.jobs < 1:
        raise AssayError(f"--jobs {order.jobs}: must be 1 or more")
    if any(order.lowering) and not order.kind.lowers and order.engine != GOLDEN:
        raise AssayError(
            f"{' '.join(order.lowering.words)}: {order.engine} runs a file as its framework does"
        )
    for name, value in order.options.items():
        if name not in {option.name for option in order.kind.options}:
            raise AssayError(f"{_typed(name, value)}: engine {order.engine} has no such option")
    if order.command == "trace" and not order.output:
        raise AssayError("trace writes the tensors: name the file with --output FILE")
    if order.output:
        check_npz(Path(order.output))
        if not Path(order.output).absolute().parent.is_dir():
            raise AssayError(f"--output {order.output}: there is no such folder")


def _compare(
    work: _Work, rtl: EngineModel, seen: Mapping[str, np.ndarray], reference: tuple[Any, str] | None
) -> tuple[Comparison | None, _Lowering]:
    """Both comparisons; that of the RTL is None where the engine has none."""
    network, graph = work.source.network, work.source.graph
    rtl.reset()
    ours = _traced(network, work.x, "golden")
    rtl_comparison = rtl.compared(seen, ours) if rtl.coverage.tensors else None
    if graph is None:
        return rtl_comparison, _Lowering("against the golden network", "the network comes from no model file")
    framework = arithmetic(graph) if reference is None else reference[1]
    whose = f"{'lowered from' if work.source.lowered else 'against'} {framework}"
    if work.rows is None:
        return rtl_comparison, _Lowering(whose, "these inputs are not inputs of the model file")
    if reference is not None:
        theirs = reference[0].trace(work.rows)
    elif work.source.lowered:
        theirs = work.tensors
        framework += ", as the golden graph has them"
    else:
        return rtl_comparison, _Lowering(
            whose,
            f"nothing is lowered, the golden graph has the arithmetic of {framework}; --runtime checks that",
        )
    if isinstance(network, Network):
        comparison = compare_lowering(network, theirs, work.x, ours)
    else:
        computed = {name: array for name, array in ours.items() if name not in network.inputs}
        comparison = compare_traces(computed, theirs, (), network.quantisations)
    return rtl_comparison, _Lowering(whose, framework, comparison)


def _traced(model: Any, rows: Any, what: str) -> dict[str, np.ndarray]:
    with tqdm(total=count(rows), desc=what, unit="row", disable=None, delay=1) as bar:
        return traced(model, rows, None, bar.update)


def _written(rtl: EngineModel, work: _Work, seen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors for the file; if each layer had its golden input, only the engine's own."""
    if not rtl.independent:
        return dict(seen)
    kept = {*work.source.network.inputs, *rtl.coverage.tensors}
    return {name: array for name, array in seen.items() if name in kept}


def _print_comparisons(
    rtl: EngineModel, work: _Work, rtl_comparison: Comparison | None, lowering: _Lowering
) -> None:
    if rtl_comparison is not None:
        print(f"the RTL against {work.source.whose}:\n{rtl_comparison}")
        for name, why in rtl.coverage.host.items():
            print(f"not on the RTL, so not compared: {name}: {why}")
        print()
    if lowering.comparison is not None:
        print(f"{_given(work)} against {lowering.against}:\n{lowering.comparison}\n")


def _given(work: _Work) -> str:
    return "the lowered network" if work.source.lowered else "the golden graph"


def _verdict(
    order: Order,
    work: _Work,
    rtl: EngineModel,
    rtl_comparison: Comparison | None,
    lowering: _Lowering,
    failure: RunFailed | None,
    seconds: float,
    announce: Callable[[str], None],
) -> bool:
    """Say whether the run passed, and what of it was verified against what."""
    network = work.source.network
    far = (
        [t for t in lowering.comparison.tensors if not order.acceptance.takes(t)]
        if lowering.comparison
        else []
    )
    exact = rtl_comparison is None or rtl_comparison.exact
    hardware = order.engine != GOLDEN
    if rtl_comparison is None and lowering.comparison is None:
        verdict = "DONE"  # the golden model alone: nothing is claimed
    else:
        verdict = "PASS" if exact and not far and failure is None else "FAIL"
    on_rtl = f"{rtl.coverage}" if hardware else "no RTL"
    announce(f"{verdict}  {network.name} on {order.engine}: {on_rtl}, {lowering.whose}, {seconds:.1f} s")
    if rtl_comparison is not None:
        how = "each layer from its golden input" if rtl.independent else "each layer from the one before"
        announce(f"      RTL against {work.source.whose} ({how}): {_summary(rtl_comparison)}")
    if lowering.comparison is None:
        announce(f"      framework: {'not compared: ' if rtl_comparison is None else ''}{lowering.against}")
    else:
        announce(f"      {_given(work)} against {lowering.against}: {_summary(lowering.comparison)}")
    if far:
        worst = [tensor.worst for tensor in far]
        enough = (
            f"; --accept-steps {max(worst)} would be enough" if all(isinstance(n, int) for n in worst) else ""
        )
        where = f"in {len(far)} tensors, first {short(far[0].name)}"
        announce(f"      not accepted {where}; accepted: {order.acceptance}{enough}")
    elif lowering.comparison is not None and not lowering.comparison.exact:
        announce(f"      accepted: {order.acceptance}")
    first = None if rtl_comparison is None else rtl_comparison.first_differing
    if first is not None:
        announce(f"      first wrong: {first}")
        made = rtl.made_by(first.name)
        if made:
            announce(f"      made by: {made}")
        announce(f"      every beat of every layer, with waves: {_bench(order)}")
    if failure is not None:
        for line in str(failure).splitlines():
            announce(f"      {line}")
    if verdict == "FAIL":
        announce(f"      replay: {order.replay}")
    return verdict != "FAIL"


def _summary(comparison: Comparison) -> str:
    """A comparison in a line."""
    values = sum(tensor.size for tensor in comparison.tensors)
    wrong = [tensor for tensor in comparison.tensors if not tensor.exact]
    missing = f"; {len(comparison.missing)} more tensors have no counterpart" if comparison.missing else ""
    if not wrong:
        return f"exact, {values:,} values in {len(comparison.tensors)} tensors{missing}"
    worst = max(tensor.worst for tensor in wrong)
    share = max(tensor.share for tensor in wrong)
    steps = " steps" if all(isinstance(tensor.worst, int) for tensor in wrong) else ""
    return (
        f"{len(wrong)} of {len(comparison.tensors)} tensors differ, by {worst:.9g}{steps} at most, "
        f"in {share:.2%} of a tensor's values at most{missing}"
    )


def _answers(work: _Work, seen: Mapping[str, np.ndarray], announce: Callable[[str], None]) -> None:
    """The classes that a classifier recognised."""
    if work.labels is None:
        return
    many = len(work.labels)
    answers = np.asarray(seen[work.source.network.outputs[0]]).reshape(many, -1).argmax(axis=1)
    announce(f"      recognised: {int((answers == work.labels).sum())} of {many}")


def _draw(order: Order) -> _Work:
    """The network and its inputs: from the file, of the project's own images, or at random."""
    lowers = order.kind.lowers or (
        order.engine == GOLDEN and (any(order.lowering) or is_lowered(order.model))
    )
    made = source(order.model, lowers, order.lowering)
    network, graph = made.network, made.graph
    rng = np.random.default_rng(order.seed)
    labels = None
    if order.inputs:
        x = _given_rows(Path(order.inputs), made)
        if isinstance(x, _Work):
            return x
    elif order.model in DIGITS:
        _, images, labels = vectors.digits(order.model)
        if order.random > len(images):
            raise AssayError(f"--random {order.random}: there are only {len(images)} inputs")
        chosen = rng.choice(len(images), order.random, replace=False)
        x, labels = images[chosen], labels[chosen]
        x = x.astype(np.int64) if isinstance(network, Network) else {network.inputs[0]: x}
    else:
        x = random_rows(network, order.random, rng)
    if not made.lowered:
        return _Work(made, x, x, labels)
    found = None
    if isinstance(network, Network) and graph is not None:
        found = framework_rows(network, graph, x)
    if found is None or (order.inputs and not np.array_equal(found.x, x)):
        return _Work(made, x, None, labels)
    return _Work(made, found.x, found.rows, labels, found.tensors)


def _given_rows(path: Path, made: Source) -> Any:
    """The rows of a file for the engine's network; or the whole work, where they are the model file's own inputs.

    Integers of a lowered network are told from the model file's inputs by dtype and shape: the latter's are the file's.
    """
    network, graph = made.network, made.graph
    if not isinstance(network, Network) or graph is None or not _holds_inputs_of(graph, path):
        return read_rows(path, network)
    rows = read_rows(path, graph)
    found = lowered_rows(network, graph, rows)
    if found is None:
        raise GoldenError(
            f"{path} holds inputs of the model file, but the input of network {network.name} is none of the file's "
            f"tensors; give integers of the network"
        )
    return _Work(made, found.x, rows, None, found.tensors)


def _holds_inputs_of(graph: Graph, path: Path) -> bool:
    """Whether a file holds arrays of just the dtypes and shapes of a graph's inputs."""
    held = user_files.array_file(path)
    arrays = list(held.values()) if isinstance(held, dict) else [held]
    tensors = [graph.tensors[name] for name in graph.inputs]
    shapes = [tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape for tensor in tensors]
    wanted = sorted((str(tensor.dtype), shape) for tensor, shape in zip(tensors, shapes, strict=True))
    return sorted((str(array.dtype), array.shape[1:]) for array in arrays) == wanted


def _options(order: Order) -> dict[str, Any]:
    """The further arguments of `load`: parameters by the names they have there."""
    return {**{snake(name): value for name, value in order.parameters.items()}, **order.options}


def _bench(order: Order) -> str:
    """The command that plays the same network's layers in the engine's bench."""
    assert order.block is not None  # for what the golden model computes is compared with nothing
    words: dict[str, Word] = {"SIM": order.simulator, "SEED": str(order.seed), **order.lowering.variables}
    words |= {"PARAMS": order.parameters} if order.parameters else {}
    words |= {} if order.model in DIGITS else {"MODEL": order.model}
    words |= {"INPUTS": order.inputs} if order.inputs else {}
    return command("run", order.block, words)


def _runtime(order: Order, work: _Work) -> tuple[Any, str] | None:
    """The framework's runtime with its name, or None for the golden graph."""
    if not order.runtime:
        if order.engine == GOLDEN and order.command == "compare" and not work.source.lowered:
            raise AssayError(
                "compare with --engine golden would hold the golden model against itself: add --runtime, or name an "
                "engine that is hardware"
            )
        return None
    if work.source.path is None or work.source.graph is None:
        raise GoldenError(f"{order.model}: --runtime needs a model file, .tflite or .onnx")
    if work.rows is None:
        raise GoldenError(f"{order.model}: --runtime needs inputs of the model file; give them with --inputs")
    return runtime_of(work.source.path, work.source.graph)
