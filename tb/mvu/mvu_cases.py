# SPDX-License-Identifier: Apache-2.0
"""The MVU's cases: how they are played, how they become simpler, how a person reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from assay.golden.formats import IntFormat
from assay.golden.mvu.layout import pack_activations
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.registers import encode
from assay.golden.network import Layer, Pool, Residual
from assay.tb.cases import Case, Cases, calmer, each_step, fewer_steps, nonzero_text, varied
from assay.tb.mvu.jobs import Image, JobItem
from assay.tb.mvu.layer_passes import simplify
from assay.tb.mvu.steps import Burst, HostTraffic, JobStep, LayerStep, loaded, step_of
from assay.tb.shrinking import Pass, Search

__all__ = ["LAYER_TYPES", "MvuCases", "describe_step", "item_of", "simplify_step"]

#: Classes of a layer and of what it holds.
LAYER_TYPES: tuple[type, ...] = (Layer, IntFormat, Residual, Pool)

Step = LayerStep | JobStep

_SHOWN = 4  #: places of a memory in a description


def item_of(step: Step, params: MvuParameters) -> JobItem:
    """The item that plays a step.

    Raises:
        GoldenError: there is no such job on this MVU.
    """
    if isinstance(step, JobStep):
        item = JobItem(
            step.name, {name: dict(v) if not isinstance(v, int) else v for name, v in step.registers.items()}
        )
        item.images = [Image(base, words) for base, words in step.images]
        item.weights, item.scalers, item.biases = (
            list(pairs) for pairs in (step.weights, step.scalers, step.biases)
        )
    else:
        job = step.job(params)
        assert step.x is not None  # a case's step has its tensors
        images = [Image(job.input.base, pack_activations(step.x, job.input.fmt, params.lanes), step.crossbar)]
        if job.residual is not None and step.residual is not None:
            words = pack_activations(step.residual, job.residual.fmt, params.lanes)
            images.append(Image(job.residual.base, words, step.crossbar))
        item = JobItem.of(job, params.lanes, images)
        item.registers = step.registers(job)
        if step.countdown:
            item.output = None
    encode(item.registers)  # each must be a register
    item.overlap, item.traffic = step.overlap, step.traffic
    item.status_writes = step.status_writes
    return item


class MvuCases(Cases):
    """See `tb.cases.Cases`."""

    types = (LayerStep, JobStep, HostTraffic, Burst, *LAYER_TYPES)

    def check(self, case: Case) -> None:
        params = MvuParameters.of_rtl(dict(case.parameters))
        for step in case.steps:
            item_of(step, params)

    def passes(self) -> Iterable[Pass]:
        return (fewer_steps, each_step(partial(simplify_step, params=_params)))

    def describe(self, case: Case) -> list[str]:
        return [
            line for number, step in enumerate(case.steps, 1) for line in describe_step(f"job {number}", step)
        ]


def _params(case: Case) -> MvuParameters:
    return MvuParameters.of_rtl(dict(case.parameters))


def simplify_step(
    search: Search[Any],
    step: Callable[[Any], Step],
    made: Callable[[Any, Step], Any],
    params: Callable[[Any], MvuParameters],
) -> None:
    """Make one job of the best case simpler.

    Args:
        step: gives the job's step of a case.
        made: gives the case with another step in its place.
        params: gives the parameters of a case's MVU.
    """

    def plain(**values: Any) -> None:
        for name, value in values.items():
            if getattr(step(search.best), name) != value:
                search.accepts(lambda: made(search.best, varied(step(search.best), **{name: value})))  # noqa: B023

    calmer(search, step, made)
    plain(traffic=None, overlap=False, status_writes=0)
    if isinstance(step(search.best), LayerStep):
        plain(countdown=0, crossbar=False, dest=0, mode=1)
        search.fewer_bits(
            lambda case: step(case).dest,  # type: ignore[union-attr]
            lambda case, dest: made(case, varied(step(case), dest=dest)),
        )
        simplify(search, step, made)  # type: ignore[arg-type]
    else:
        _simplify_registers(search, step, made, params)  # type: ignore[arg-type]


def _simplify_registers(
    search: Search[Any],
    step: Callable[[Any], JobStep],
    made: Callable[[Any, JobStep], Any],
    params: Callable[[Any], MvuParameters],
) -> None:
    """Fields at 0, and memories with few bytes that are not."""

    def only_read(case: Any) -> Any:
        """The case whose memories hold only what the job reads."""
        item = item_of(step(case), params(case))
        return made(case, step_of(item, *loaded(item, params(case)), params(case), step(case).stalls))  # type: ignore[arg-type]

    def field(register: str, name: str) -> tuple[Callable[[Any], int], Callable[[Any, int], Any]]:
        def value(case: Any) -> int:
            held = step(case).registers[register]
            return held[name] if name else held

        def changed(case: Any, number: int) -> Any:
            registers = dict(step(case).registers)
            registers[register] = {**registers[register], name: number} if name else number
            return made(case, varied(step(case), registers=registers))

        return value, changed

    def fewer_images() -> None:
        search.accepts(lambda: only_read(search.best))
        for memory in memories:
            search.leave_out(
                lambda case, memory=memory: getattr(step(case), memory),  # type: ignore[misc]
                lambda case, rest, memory=memory: made(case, varied(step(case), **{memory: tuple(rest)})),  # type: ignore[misc]
            )

    memories = ("images", "weights", "scalers", "biases")
    fewer_images()
    # The command first: its countdown decides how much else is needed.
    for register, held in sorted(
        step(search.best).registers.items(), key=lambda each: each[0] != "mvucommand"
    ):
        for name in held if not isinstance(held, int) else ("",):
            search.lower(*field(register, name))
    fewer_images()
    for memory in memories:
        for number in range(len(getattr(step(search.best), memory))):

            def words(case: Any, memory: str = memory, number: int = number) -> np.ndarray:
                return getattr(step(case), memory)[number][1]

            def changed(case: Any, values: np.ndarray, memory: str = memory, number: int = number) -> Any:
                pairs = list(getattr(step(case), memory))
                pairs[number] = (pairs[number][0], values)
                return made(case, varied(step(case), **{memory: tuple(pairs)}))

            search.sparse(words, changed)


def describe_step(title: str, step: Step) -> list[str]:
    """A job in the terms of network and hardware, lines for people."""
    if isinstance(step, LayerStep):
        lines = describe_layer(title, step.layer, step.size)
        assert step.x is not None
        lines.append(f"  input {nonzero_text(step.x)}")
        if step.residual is not None:
            lines.append(f"  residual {nonzero_text(step.residual)}")
        more = [
            *([f"output to MVUs 0x{step.dest:x}"] if step.dest else []),
            *(["tensors by the crossbar"] if step.crossbar else []),
            *([f"multiply mode {step.mode}"] if step.mode != 1 else []),
            *([f"cut after {step.countdown} clocks"] if step.countdown else []),
        ]
    else:
        lines = [f"{title}: {step.name}, as registers"]
        for register, held in step.registers.items():
            fields = {"value": held} if isinstance(held, int) else held
            if shown := [f"{name} {value}" for name, value in fields.items() if value]:
                lines.append(f"  {register}: {', '.join(shown)}")
        for memory in ("images", "weights", "scalers", "biases"):
            shown_runs = [(base, words) for base, words in getattr(step, memory) if words.any()]
            for base, words in shown_runs[:_SHOWN]:
                lines.append(f"  {memory} from {base} on {nonzero_text(words)}")
            if len(shown_runs) > _SHOWN:
                lines.append(f"  {memory} in {len(shown_runs) - _SHOWN} more places")
        more = []
    more += ["the next job is handed over while it runs"] if step.overlap else []
    more += [f"{step.status_writes} writes to mvustatus behind the command"] if step.status_writes else []
    more += [f"stream {name} stalls in {value} of 256 clocks" for name, value in step.stalls.items()]
    more += [step.traffic.name] if step.traffic else []
    return [*lines, *(f"  {each}" for each in more)]


def describe_layer(title: str, layer: Layer, size: tuple[int, int]) -> list[str]:
    """A layer with its numbers, lines for people."""
    (rows, columns), (height, width) = layer.output_size(size), layer.kernel
    words = [
        f"map {size[0]}x{size[1]}x{layer.input_channels} {layer.input_format}",
        f"kernel {height}x{width} {layer.weight_format}",
        *([f"stride {layer.stride[0]}x{layer.stride[1]}"] if layer.stride != (1, 1) else []),
        *([f"padding {','.join(map(str, layer.padding))}"] if any(layer.padding) else []),
        *(["depthwise"] if layer.groups > 1 else []),
        *(["ReLU"] if layer.relu else []),
        *([f"pool {layer.pool.window[0]}x{layer.pool.window[1]}"] if layer.pool else []),
        f"output {rows}x{columns}x{layer.output_channels} {layer.output_format}",
        *([f"shift {layer.shift}"] if layer.shift else []),
        *([layer.rounding] if layer.rounding != "truncate" else []),
        *(["saturated"] if layer.saturate else []),
    ]
    lines = [
        f"{title}: layer {layer.name}",
        f"  {', '.join(words)}",
        f"  weight {nonzero_text(layer.weight)}",
    ]
    if not (layer.multiplier == 1).all():
        lines.append(f"  multiplier {nonzero_text(layer.multiplier)}")
    if layer.bias.any():
        lines.append(f"  bias {nonzero_text(layer.bias)}")
    if layer.residual is not None:
        added = layer.residual
        lines.append(f"  residual {added.format}, times {added.multiplier}, shifted by {added.shift}")
    return lines
