# SPDX-License-Identifier: Apache-2.0
"""Networks on simulated hardware: `load` gives a model that answers as the golden one does.

A simulator runs as a server (`sim.server`, `Target.engine`) for as long as the model lives. What is sent to it is the
engine's matter: `sim.pe_array`, `sim.accelerator`.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import re
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from typing import Any

from assay.golden import Graph, Network
from assay.golden.lowering import Lowering
from assay.sim.errors import AssayError, unknown
from assay.sim.framework import Source, is_lowered, source
from assay.sim.job import Job, choose_seed
from assay.sim.model import EngineModel, GoldenModel, LayerRun
from assay.sim.server import Announce, Server
from assay.sim.targets import TARGETS

__all__ = ["GOLDEN", "EngineModel", "LayerRun", "engines", "load", "model_class", "snake"]

GOLDEN = "golden"  #: the engine that is no hardware

_FOREVER_S = 7 * 24 * 3600  #: a server waits for its user
_numbers = itertools.count()  # of this process's simulators: two of one seed have folders of their own


def _silent(line: str) -> None:
    """Says nothing."""


def engines() -> tuple[str, ...]:
    """What runs networks: the golden model, and the targets that do."""
    return (GOLDEN, *(name for name, target in TARGETS.items() if target.engine))


def model_class(engine: str) -> type[EngineModel]:
    """The class of an engine's models.

    Raises:
        AssayError: an unknown engine.
    """
    if engine not in engines():
        raise unknown("engine", engine, engines())
    if engine == GOLDEN:
        return GoldenModel
    module, _, name = TARGETS[engine].engine_model.partition(":")
    return getattr(importlib.import_module(module), name)


def load(
    model: str | PathLike[str] | Graph | Network | Source,
    engine: str = "pe_array",
    *,
    simulator: str = "verilator",
    seed: int | None = None,
    jobs: int = 1,
    announce: Announce = _silent,
    progress: Callable[[str], None] = _silent,
    **options: Any,
) -> EngineModel:
    """A network on simulated hardware.

        with sim.load("model.tflite", engine="pe_array", rows=8, columns=24) as rtl:
            print(rtl.compare(x))  # every tensor that the RTL makes, against the golden model's
            print(rtl.report())
            assert rtl.coverage.layers_on_rtl == rtl.coverage.layers

        with sim.load("model.onnx", engine="accelerator", mvus=8, lanes=64, mapping="pipelined") as rtl:
            print(rtl.predict(x))

    Args:
        model: a model file, the name of one of the project's own networks, or a golden model.
        engine: one of `engines()`.
        simulator: verilator or icarus.
        seed: of the simulation; None draws one. Nothing here depends on it unless state starts at random.
        jobs: simulators. On the PE array, with more than one, `trace` gives every layer its golden input and spreads
            the layers over them; on the accelerator the inputs are spread.
        announce: receives the runner's lines.
        progress: receives the name of what has just run: a layer, or an input's number.
        options: parameters of the engine's target in snake case (rows, weight_depth, mvus, lanes, ...); `strict` (True:
            reject what the host would have to do); of the accelerator also `mapping` (auto, distributed or pipelined)
            and how a file is lowered: `scales`, `input_format`, `input_layout` of `golden.lowering.Lowering`.

    Raises:
        GoldenError: the file is no such network, or it does not fit the hardware.
        NothingComputedError: the hardware can compute no layer of it; names why, node by node.
        AssayError: an unknown engine, simulator or parameter, or the simulator does not start.
    """
    kind = model_class(engine)
    if jobs < 1:
        raise AssayError(f"jobs = {jobs}: must be 1 or more")
    lowering = Lowering(*(options.pop(name, "") for name in Lowering._fields))
    if engine == GOLDEN:
        for name in options:
            raise AssayError(f"parameter {name}: the golden model has no hardware and takes none")
        given = source(model, any(lowering) or is_lowered(model), lowering)
        made: EngineModel = GoldenModel(given.network)
        made.source, made.progress = given, progress
        return made
    target = replace(
        TARGETS[engine],
        test_modules=(TARGETS[engine].engine,),
        default_tests=("serve",),
        timeout_s=_FOREVER_S,
    )
    own = {option: options.pop(option) for option in kind.options if option in options}
    names = {snake(parameter): parameter for parameter in target.parameters}
    for option in options:
        if option not in names:
            raise unknown("parameter", option, (*names, *kind.options))
    parameters = target.resolve_parameters({names[option]: value for option, value in options.items()})
    changed = {n: value for n, value in parameters.items() if value != target.parameters[n].default}
    if any(lowering) and not kind.lowers:
        raise AssayError(f"{' '.join(lowering.words)}: {engine} runs a file as its framework does")
    given = source(model, kind.lowers, lowering)
    plan = kind.prepare(given.network, parameters, **own)
    job = Job(target, simulator, choose_seed(None if seed is None else str(seed)), ("serve",), changed)
    servers: list[Server] = []
    try:
        for _ in range(jobs):
            # The first one builds.
            suffix = f"{os.getpid()}.{next(_numbers)}"
            servers.append(Server(replace(job, name_suffix=suffix), announce))
        made = kind(plan, servers)
    except BaseException:
        for server in servers:
            with contextlib.suppress(AssayError):
                server.close()
        raise
    made.source, made.progress = given, progress
    return made


def snake(name: str) -> str:
    """A parameter's name here from its name in the HDL."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
