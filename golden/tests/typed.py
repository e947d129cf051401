# SPDX-License-Identifier: Apache-2.0
"""Operators of a graph are objects with typed fields, which a lowering or an exporter can read: no closures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from assay.golden.graph import Graph


def closures(graph: Graph) -> list[str]:
    """Nodes whose operator, or a field of it, is a lambda, a closure, a partial or a function without a class."""
    return [
        f"{node.name} ({node.kind}): {found}" for node in graph.nodes for found in _within(node.operator, "")
    ]


def _within(value: Any, path: str) -> Iterator[str]:
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _within(getattr(value, field.name), f"{path}.{field.name}")
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _within(item, path)
    elif callable(value) and not (path and _named(value)):
        yield f"operator{path} is {value!r}"


def _named(function: Any) -> bool:
    """Whether a function is found in its module: a field may hold such a one."""
    return isinstance(function, (np.ufunc, type)) or "<" not in getattr(
        function, "__qualname__", "<nameless>"
    )
