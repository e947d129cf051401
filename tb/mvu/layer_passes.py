# SPDX-License-Identifier: Apache-2.0
"""How a layer becomes simpler: fewer parts, smaller shapes, fewer and smaller values, narrower formats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat
from assay.golden.network import Layer, Pool
from assay.tb.mvu.steps import LayerStep
from assay.tb.shrinking import Search

__all__ = ["fitted", "simplify", "zeroed"]

Step = Callable[[Any], LayerStep]
Made = Callable[[Any, LayerStep], Any]

_PLAIN: dict[str, Any] = {
    "pool": None,
    "relu": False,
    "saturate": False,
    "rounding": "truncate",
    "shift": 0,
    "padding": (0, 0, 0, 0),
    "stride": (1, 1),
}
"""A layer's attributes as they are in the plainest one, what is left out first at the top."""


def fitted(step: LayerStep, layer: Layer, size: tuple[int, int], **cut: int) -> LayerStep:
    """A step with another layer or another map: what is too large for it is cut off, values are clipped.

    Args:
        layer: with formats, padding, pool and so on as they shall be; its arrays are as large as those of `step`.
        cut: ``rows``, ``columns`` of the kernel, ``inputs``, ``outputs``: channels; at most as many as there are.

    Raises:
        ConfigurationError: there is no such layer.
    """
    assert step.x is not None  # a case's step has its tensors
    inputs, outputs = (
        cut.get(name, channels)
        for name, channels in (("inputs", layer.input_channels), ("outputs", layer.output_channels))
    )
    groups = layer.groups
    if groups > 1:  # each output channel reads its own input channel
        inputs = outputs = groups = min(inputs, outputs)
    weight = layer.weight[
        :outputs, : cut.get("rows"), : cut.get("columns"), : 1 if layer.groups > 1 else inputs
    ]
    added = layer.residual if step.residual is not None else None
    layer = replace(
        layer,
        weight=_clipped(weight, layer.weight_format),
        multiplier=layer.multiplier[:outputs],
        bias=layer.bias[:outputs],
        groups=groups,
        residual=added,
    )
    residual = None
    if added is not None and step.residual is not None:
        rows, columns = layer.convolution_size(size)
        if rows > step.residual.shape[0] or columns > step.residual.shape[1]:
            raise ConfigurationError("the residual is smaller than the map to which it would be added")
        residual = _clipped(step.residual[:rows, :columns, :outputs], added.format)
    x = _clipped(step.x[: size[0], : size[1], :inputs], layer.input_format)
    return replace(step, layer=layer, size=size, x=x, residual=residual)


def _clipped(values: np.ndarray, fmt: IntFormat) -> np.ndarray:
    return np.clip(values, fmt.min, fmt.max)


def zeroed(step: LayerStep) -> LayerStep:
    """A step whose values are 0 and whose factors are 1: all that a fault of timing or control needs."""
    assert step.x is not None
    layer = step.layer
    return replace(
        step,
        layer=replace(
            layer,
            weight=np.zeros_like(layer.weight),
            multiplier=np.ones_like(layer.multiplier),
            bias=np.zeros_like(layer.bias),
        ),
        x=np.zeros_like(step.x),
        residual=None if step.residual is None else np.zeros_like(step.residual),
    )


def simplify(search: Search[Any], step: Step, made: Made) -> None:
    """Make one layer of the best case simpler.

    Args:
        step: gives the layer's step of a case.
        made: gives the case with another step in its place.
    """

    def now() -> LayerStep:
        return step(search.best)

    def with_layer(
        case: Any, size: tuple[int, int] | None = None, cut: dict[str, int] | None = None, **more: Any
    ) -> Any:
        before = step(case)
        return made(case, fitted(before, replace(before.layer, **more), size or before.size, **(cut or {})))

    search.accepts(lambda: made(search.best, zeroed(now())))
    if now().residual is not None:
        search.accepts(
            lambda: made(
                search.best, replace(now(), residual=None, layer=replace(now().layer, residual=None))
            )
        )
    for name, plain in _PLAIN.items():
        if getattr(now().layer, name) != plain:
            search.accepts(lambda name=name, plain=plain: with_layer(search.best, **{name: plain}))  # type: ignore[misc]
    _shapes(search, now, with_layer)
    _numbers(search, step, made, with_layer)


def _shapes(search: Search[Any], now: Callable[[], LayerStep], with_layer: Callable[..., Any]) -> None:
    """Fewer rows, columns, channels, of map, kernel, padding, stride and pool."""
    for axis, name in enumerate(("rows", "columns")):

        def kernel(case: Any, value: int, name: str = name) -> Any:
            return with_layer(case, cut={name: value})

        def size(case: Any, value: int, axis: int = axis) -> Any:
            height, width = now().size
            return with_layer(case, size=(value, width) if axis == 0 else (height, value))

        search.lower(lambda case, axis=axis: now().layer.kernel[axis], kernel, 1)  # type: ignore[misc]
        search.lower(lambda case, axis=axis: now().size[axis], size, 1)  # type: ignore[misc]
    search.lower(
        lambda case: now().layer.output_channels, lambda case, n: with_layer(case, cut={"outputs": n}), 1
    )
    search.lower(
        lambda case: now().layer.input_channels, lambda case, n: with_layer(case, cut={"inputs": n}), 1
    )
    for name in ("padding", "stride"):
        for side in range(len(getattr(now().layer, name))):
            plain = _PLAIN[name][side]

            def changed(case: Any, value: int, name: str = name, side: int = side) -> Any:
                values = list(getattr(now().layer, name))
                values[side] = value
                return with_layer(case, **{name: tuple(values)})

            search.lower(lambda case, n=name, s=side: getattr(now().layer, n)[s], changed, plain)  # type: ignore[misc]
    for part in range(2):
        for side in range(2):
            if now().layer.pool is None:
                return

            def pooled(case: Any, value: int, part: int = part, side: int = side) -> Any:
                pool = [list(each) for each in now().layer.pool or ()]
                pool[part][side] = value
                return with_layer(case, pool=Pool(tuple(pool[0]), tuple(pool[1])))  # type: ignore[arg-type]

            search.lower(lambda case, p=part, s=side: (now().layer.pool or ())[p][s], pooled, 1)  # type: ignore[misc]


def _numbers(search: Search[Any], step: Step, made: Made, with_layer: Callable[..., Any]) -> None:
    """Plain factors, few values that are not 0, and small ones, in formats of few bits."""

    def now() -> LayerStep:
        return step(search.best)

    if not (now().layer.multiplier == 1).all():
        search.accepts(lambda: with_layer(search.best, multiplier=np.ones_like(now().layer.multiplier)))
    for name in ("bias", "weight", "multiplier"):
        search.sparse(
            lambda case, name=name: getattr(step(case).layer, name),  # type: ignore[misc]
            lambda case, values, name=name: with_layer(case, **{name: values}),  # type: ignore[misc]
        )
    for name in ("residual", "x"):
        if getattr(now(), name) is not None:
            search.sparse(
                lambda case, name=name: getattr(step(case), name),  # type: ignore[misc]
                lambda case, values, name=name: made(case, replace(step(case), **{name: values})),  # type: ignore[misc]
            )
    search.lower(lambda case: step(case).layer.shift, lambda case, n: with_layer(case, shift=n))
    if now().layer.residual is not None:
        for field, plain in (("shift", 0), ("multiplier", 1)):

            def rescaled(case: Any, value: int, field: str = field) -> Any:
                residual = step(case).layer.residual
                assert residual is not None
                changed: dict[str, Any] = {field: value}
                return with_layer(case, residual=replace(residual, **changed))

            search.lower(lambda case, f=field: getattr(step(case).layer.residual, f), rescaled, plain)  # type: ignore[misc]
    for name in ("weight_format", "input_format", "output_format"):

        def narrowed(case: Any, bits: int, name: str = name) -> Any:
            return with_layer(case, **{name: IntFormat(bits, getattr(step(case).layer, name).signed)})

        search.lower(lambda case, name=name: getattr(step(case).layer, name).bits, narrowed, 1)  # type: ignore[misc]
        if getattr(now().layer, name).signed:
            search.accepts(
                lambda name=name: with_layer(  # type: ignore[misc]
                    search.best, **{name: IntFormat(getattr(now().layer, name).bits, False)}
                )
            )
