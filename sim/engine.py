# SPDX-License-Identifier: Apache-2.0
"""Networks on simulated hardware: `load` gives a model that answers as the golden one does.

A simulator runs as a server (`sim.server`) for as long as the model lives. An engine is a block whose capability
`RunsNetworks` names the class of its networks, which knows what is sent to the simulator.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

from assay.golden import Graph, Network
from assay.golden.lowering import Lowering
from assay.sim.blocks import discover
from assay.sim.job import Job, choose_seed
from assay.sim.server import Announce, Server
from assay.tb.block import Block
from assay.tb.capabilities import RunsNetworks
from assay.tb.errors import AssayError, unknown
from assay.tb.framework import Source, is_lowered, source
from assay.tb.model import EngineModel, GoldenModel, LayerRun

__all__ = ["GOLDEN", "EngineModel", "LayerRun", "engines", "load", "model_class", "snake"]

GOLDEN = "golden"  #: the engine that is no hardware

_FOREVER_S = 7 * 24 * 3600  #: a server waits for its user
_numbers = itertools.count()  # of this process's simulators: two of one seed have folders of their own


def _silent(line: str) -> None:
    """Says nothing."""


def engines(blocks: Mapping[str, Block]) -> dict[str, Block]:
    """The blocks that run networks on hardware."""
    return {name: block for name, block in blocks.items() if _model_of(block)}


def _model_of(block: Block) -> type[EngineModel] | None:
    runs = block.capability(RunsNetworks)
    return runs.model if runs else None


def model_class(engine: str | Block, blocks: Mapping[str, Block]) -> type[EngineModel]:
    """The class of an engine's models.

    Args:
        engine: golden, the name of an engine among `blocks`, or a block.

    Raises:
        AssayError: an unknown engine.
    """
    if engine == GOLDEN:
        return GoldenModel
    known = engines(blocks)
    kind = (
        _model_of(engine)
        if isinstance(engine, Block)
        else _model_of(known[engine])
        if engine in known
        else None
    )
    if kind is None:
        raise unknown("engine", engine if isinstance(engine, str) else engine.name, (GOLDEN, *known))
    return kind


def load(
    model: str | PathLike[str] | Graph | Network | Source,
    engine: str | Block = "",
    *,
    simulator: str = "verilator",
    seed: int | None = None,
    jobs: int = 1,
    announce: Announce = _silent,
    progress: Callable[[str], None] = _silent,
    **options: Any,
) -> EngineModel:
    """A network on simulated hardware.

        with sim.load("model.tflite", engine=NAME, rows=8, columns=24) as rtl:
            print(rtl.compare(x))  # every tensor that the RTL makes, against the golden model's
            print(rtl.report())
            assert rtl.coverage.layers_on_rtl == rtl.coverage.layers

    Args:
        model: a model file, the name of one of the project's own networks, or a golden model.
        engine: golden, the name of a block that is an engine, or such a block; empty: the first one of ``list``.
        simulator: verilator or icarus.
        seed: of the simulation; None draws one. Nothing here depends on it unless state starts at random.
        jobs: simulators. The engine spreads the inputs over them, or the layers, of which `trace` then gives each its
            golden input (`EngineModel.independent`).
        announce: receives the runner's lines.
        progress: receives the name of what has just run: a layer, or an input's number.
        options: parameters of the engine's block in snake case (rows, weight_depth, mvus, lanes, ...); options of the
            engine's models (`EngineModel.options`), such as `strict` (True: reject what the host would have to do);
            of an engine that runs lowered networks also `scales`, `input_format`, `input_layout` of
            `golden.lowering.Lowering`.

    Raises:
        GoldenError: the file is no such network, or it does not fit the hardware.
        NothingComputedError: the hardware can compute no layer of it; names why, node by node.
        AssayError: an unknown engine, simulator or parameter, or the simulator does not start.
    """
    blocks = {} if isinstance(engine, Block) or engine == GOLDEN else discover()
    engine = engine or next(iter(engines(blocks)))
    kind = model_class(engine, blocks)
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
    block = engine if isinstance(engine, Block) else blocks[engine]
    own = {option.name: options.pop(option.name) for option in kind.options if option.name in options}
    names = {snake(parameter): parameter for parameter in block.table}
    for option in options:
        if option not in names:
            raise unknown("parameter", option, (*names, *(each.name for each in kind.options)))
    parameters = block.resolve_parameters({names[option]: value for option, value in options.items()})
    defaults = block.resolve_parameters({})
    changed = {n: value for n, value in parameters.items() if value != defaults[n]}
    if any(lowering) and not kind.lowers:
        raise AssayError(f"{' '.join(lowering.words)}: {block.name} runs a file as its framework does")
    given = source(model, kind.lowers, lowering)
    plan = kind.prepare(given.network, parameters, **own)
    runs = block.capability(RunsNetworks)
    assert runs is not None  # for it names `kind`
    serving = replace(
        block,
        test_modules=(runs.engine,),
        default_tests=("serve",),
        timeout_s=_FOREVER_S,
    )
    job = Job(serving, simulator, choose_seed(None if seed is None else str(seed)), ("serve",), changed)
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
