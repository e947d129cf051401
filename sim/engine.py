# SPDX-License-Identifier: Apache-2.0
"""Networks on simulated hardware: `load` gives a model that answers as the golden one does.

A simulator runs as a server (`sim.server`, `Target.engine`) for as long as the model lives. What is sent to it is the
engine's matter: `sim.pe_array`, `sim.accelerator`.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from typing import Any

import golden
from golden import Graph, Network
from sim.errors import AssayError, unknown
from sim.job import Job, choose_seed
from sim.model import EngineModel, GoldenModel, LayerRun
from sim.server import Announce, Server
from sim.targets import TARGETS

__all__ = ["GOLDEN", "EngineModel", "LayerRun", "engines", "load", "snake"]

GOLDEN = "golden"  #: the engine that is no hardware

_FOREVER_S = 7 * 24 * 3600  #: a server waits for its user


def _silent(line: str) -> None:
    """Says nothing."""


def engines() -> tuple[str, ...]:
    """What runs networks: the golden model, and the targets that do."""
    return (GOLDEN, *(name for name, target in TARGETS.items() if target.engine))


def load(
    model: str | PathLike[str] | Graph | Network,
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
            print(rtl.compare(x))
            print(rtl.report())

        with sim.load("model.onnx", engine="accelerator", mvus=8, lanes=64, mapping="pipelined") as rtl:
            print(rtl.predict(x))

    Args:
        model: a model file, or its golden model.
        engine: one of `engines()`.
        simulator: verilator or icarus.
        seed: of the simulation; None draws one. Nothing here depends on it unless state starts at random.
        jobs: simulators. On the PE array, with more than one, `trace` gives every layer its golden input and spreads
            the layers over them; on the accelerator the inputs are spread.
        announce: receives the runner's lines.
        progress: receives the name of what has just run: a layer, or an input's number.
        options: parameters of the engine's target in snake case (rows, weight_depth, mvus, lanes, ...); of the
            accelerator also `mapping` (auto, distributed or pipelined) and `scales` (exact or nearest: how a file is
            read).

    Raises:
        GoldenError: the file is no such network, or it does not fit the hardware.
        AssayError: an unknown engine, simulator or parameter, or the simulator does not start.
    """
    if engine not in engines():
        raise unknown("engine", engine, engines())
    if jobs < 1:
        raise AssayError(f"jobs = {jobs}: must be 1 or more")
    if engine == GOLDEN:
        for name in options:
            raise AssayError(f"parameter {name}: the golden model has no hardware and takes none")
        made: EngineModel = GoldenModel(model if isinstance(model, (Graph, Network)) else golden.load(model))
        made.progress = progress
        return made
    module, _, name = TARGETS[engine].engine_model.partition(":")
    kind = getattr(importlib.import_module(module), name)
    target = replace(
        TARGETS[engine],
        test_modules=(TARGETS[engine].engine,),
        default_tests=("serve",),
        timeout_s=_FOREVER_S,
    )
    own = {option: options.pop(option) for option in getattr(kind, "options", ()) if option in options}
    names = {snake(parameter): parameter for parameter in target.parameters}
    for option in options:
        if option not in names:
            raise unknown("parameter", option, (*names, *getattr(kind, "options", ())))
    given = {names[option]: value for option, value in options.items()}
    parameters = target.resolve_parameters(given)
    changed = {n: value for n, value in parameters.items() if value != target.parameters[n].default}
    plan = kind.prepare(model, parameters, **own)
    job = Job(target, simulator, choose_seed(None if seed is None else str(seed)), ("serve",), changed)
    servers: list[Server] = []
    try:
        for number in range(jobs):
            # The first one builds; each has a folder of its own.
            servers.append(Server(replace(job, name_suffix=f"{os.getpid()}.{number}"), announce))
        made = kind(plan, servers)
    except BaseException:
        for server in servers:
            server.close()
        raise
    made.progress = progress
    return made


def snake(name: str) -> str:
    """A parameter's name here from its name in the HDL."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
