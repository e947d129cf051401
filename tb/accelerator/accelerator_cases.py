# SPDX-License-Identifier: Apache-2.0
"""The accelerator's cases: runs of networks, how they become simpler, how a person reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen import plan
from assay.golden.errors import ConfigurationError
from assay.golden.network import Layer
from assay.tb.accelerator.runs import NetworkStep, RunItem, Tolerance
from assay.tb.cases import Case, Cases, each_step, fewer_steps, nonzero_text, varied
from assay.tb.mvu.mvu_cases import LAYER_TYPES, describe_layer
from assay.tb.shrinking import Pass, Search

__all__ = ["AcceleratorCases", "item_of"]

Get = Callable[[Case], NetworkStep]
Made = Callable[[Case, NetworkStep], Case]

_PLAIN: dict[str, Any] = {"relu": False, "saturate": False, "rounding": "truncate", "pool": None}


def item_of(step: NetworkStep, params: AcceleratorParameters) -> RunItem:
    """The item that plays a step.

    Raises:
        GoldenError: there is no such network, or it does not fit.
    """
    return RunItem(step.name, plan(step.made(), params, step.mapping), step.x, tolerance=step.tolerance)


class AcceleratorCases(Cases):
    """See `tb.cases.Cases`."""

    types = (NetworkStep, Tolerance, *LAYER_TYPES)

    def check(self, case: Case) -> None:
        for step in case.steps:
            step.made()

    def passes(self) -> Iterable[Pass]:
        return (fewer_steps, each_step(_fewer_layers), each_step(_smaller), each_step(_simpler))

    def describe(self, case: Case) -> list[str]:
        lines = []
        for number, step in enumerate(case.steps, 1):
            network = step.made()
            lines.append(f"run {number}: network {network.name}, {step.mapping}")
            for layer in network.layers:
                described = describe_layer(layer.input, layer, network.shapes[layer.input][:2])
                lines += [f"  {line}" for line in described]
            lines.append(f"  input {nonzero_text(step.x)}")
        return lines


def _checked(step: NetworkStep) -> NetworkStep:
    step.made()
    return step


def _fewer_layers(search: Search[Case], step: Get, made: Made) -> None:
    """Fewer layers: none behind the fault, and the first ones replaced by what they make."""
    search.lower(
        lambda case: len(step(case).layers),
        lambda case, count: made(case, _checked(varied(step(case), layers=step(case).layers[:count]))),
        1,
    )

    def without_first(case: Case) -> Case:
        now = step(case)
        network, rest = now.made(), now.layers[1:]
        if not rest:
            raise ConfigurationError("a network has at least one layer")
        tensors = network.trace(now.x[None])
        made_before = {now.input, now.layers[0].output}
        read = {layer.input for layer in rest} | {layer.residual.tensor for layer in rest if layer.residual}
        (source,) = read & made_before if len(read & made_before) == 1 else (None,)
        if source is None:
            raise ConfigurationError("the other layers read more than one tensor of before")
        x = tensors[source][0]
        return made(
            case, _checked(varied(now, input=source, input_shape=network.shapes[source], layers=rest, x=x))
        )

    while len(step(search.best).layers) > 1 and search.accepts(lambda: without_first(search.best)):
        pass


def _smaller(search: Search[Case], step: Get, made: Made) -> None:
    """Smaller maps, fewer channels."""
    for axis in range(2):

        def cropped(case: Case, length: int, axis: int = axis) -> Case:
            now = step(case)
            x = now.x[:length] if axis == 0 else now.x[:, :length]
            return made(case, _checked(varied(now, x=x, input_shape=x.shape)))

        search.lower(lambda case, axis=axis: step(case).input_shape[axis], cropped, 1)  # type: ignore[misc]
    for tensor in step(search.best).made().shapes:
        search.lower(
            lambda case, tensor=tensor: step(case).made().shapes[tensor][2],  # type: ignore[misc]
            lambda case, count, tensor=tensor: made(case, _fewer_channels(step(case), tensor, count)),  # type: ignore[misc]
            1,
        )


def _fewer_channels(step: NetworkStep, tensor: str, count: int) -> NetworkStep:
    """The first channels alone, of a tensor and of those that have as many because of it."""
    same = {tensor}
    while True:
        pairs = [
            pair
            for layer in step.layers
            for pair in (
                *([(layer.output, layer.residual.tensor)] if layer.residual else []),
                *([(layer.output, layer.input)] if layer.groups > 1 else []),
            )
        ]
        more = {name for pair in pairs if same & set(pair) for name in pair}
        if more <= same:
            break
        same |= more
    layers = []
    for layer in step.layers:
        weight, multiplier, bias, groups = layer.weight, layer.multiplier, layer.bias, layer.groups
        if layer.output in same:
            weight, multiplier, bias = weight[:count], multiplier[:count], bias[:count]
        if layer.input in same:
            weight, groups = (weight, count) if groups > 1 else (weight[..., :count], 1)
        layers.append(replace(layer, weight=weight, multiplier=multiplier, bias=bias, groups=groups))
    x = step.x[..., :count] if step.input in same else step.x
    return _checked(varied(step, layers=tuple(layers), x=x, input_shape=x.shape))


def _simpler(search: Search[Case], step: Get, made: Made) -> None:
    """Plain layers with few values that are not 0, and such an input."""

    def with_layer(case: Case, number: int, **values: Any) -> Case:
        layers = list(step(case).layers)
        layers[number] = varied(layers[number], **values)
        return made(case, _checked(varied(step(case), layers=tuple(layers))))

    for number in reversed(range(len(step(search.best).layers))):

        def layer(number: int = number) -> Layer:
            return step(search.best).layers[number]

        if layer().residual is not None:
            search.accepts(lambda number=number: with_layer(search.best, number, residual=None))  # type: ignore[misc]
        for axis in range(2):

            def cut(case: Case, length: int, number: int = number, axis: int = axis) -> Case:
                weight = step(case).layers[number].weight
                kept = weight[:, :length] if axis == 0 else weight[:, :, :length]
                return with_layer(case, number, weight=kept)

            search.lower(
                lambda case, number=number, axis=axis: step(case).layers[number].kernel[axis],  # type: ignore[misc]
                cut,
                1,
            )
        for name, plain in _PLAIN.items():
            if getattr(layer(), name) != plain:
                search.accepts(
                    lambda number=number, name=name, plain=plain: with_layer(  # type: ignore[misc]
                        search.best, number, **{name: plain}
                    )
                )
        search.accepts(
            lambda number=number: with_layer(  # type: ignore[misc]
                search.best, number, multiplier=np.ones_like(step(search.best).layers[number].multiplier)
            )
        )
        for name in ("bias", "weight", "multiplier"):
            search.sparse(
                lambda case, number=number, name=name: getattr(step(case).layers[number], name),  # type: ignore[misc]
                lambda case, values, number=number, name=name: with_layer(case, number, **{name: values}),  # type: ignore[misc]
            )
        search.lower(
            lambda case, number=number: step(case).layers[number].shift,  # type: ignore[misc]
            lambda case, value, number=number: with_layer(case, number, shift=value),  # type: ignore[misc]
        )
    search.sparse(
        lambda case: step(case).x, lambda case, values: made(case, _checked(varied(step(case), x=values)))
    )
