# SPDX-License-Identifier: Apache-2.0
"""Why LiteRT's default interpreter differs from the reference kernels: XNNPACK's arithmetic, operator by operator.

LiteRT hands what it can to XNNPACK, which computes the same integer sums and rescales them otherwise. Each line of
`REASONS` was found by running single operators whose results are ties (`golden.tests.tie_models_tflite`), and is held
to the installed LiteRT by `golden.tests.test_xnnpack`; where XNNPACK says so is named in docs/sources.md. A difference
of one step in a thousandth of the values of each layer becomes one in twenty over a network, because every layer reads
what the one before it has made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.golden.graph import AssignVariable, Graph, ReadVariable

__all__ = ["REASONS", "OperatorDifference", "explained", "operators"]

_SINGLE = (
    "XNNPACK multiplies the sum by a float32 factor and rounds once, ties to even; the reference rounds twice, by a "
    "multiplier of 31 bits and by a shift, ties up and then away from zero"
)
_DENSE = (
    "XNNPACK multiplies the sum by a float32 factor and rounds once, ties to even; the reference rounds once, ties "
    "away from zero"
)
_FIXED = (
    "XNNPACK adds the scaled operands in fixed point and rounds once, ties up; the reference rounds each operand to "
    "1/2**20 and the sum again, ties away from zero"
)
_SHORT = (
    "XNNPACK multiplies by a factor of 8 fraction bits and rounds once, ties up; the reference has a factor of 31 bits "
    "and rounds twice"
)
# Kind of node -> what differs. Kinds that are missing have no known difference: XNNPACK leaves them to the built-in
# kernels, or gives the same values.
REASONS = {
    "CONV_2D": _SINGLE,
    "DEPTHWISE_CONV_2D": _SINGLE,
    "TRANSPOSE_CONV": _SINGLE,
    "FULLY_CONNECTED": _DENSE,
    "BATCH_MATMUL": _SINGLE,
    "ADD": _FIXED,
    "SUB": _FIXED,
    "MUL": _SINGLE,
    "LEAKY_RELU": _SHORT,
    "QUANTIZE": _SHORT,
    "MEAN": "XNNPACK adds the zero point in float32 before it rounds, ties to even; the reference adds it after",
}
_BOUND = (
    "; XNNPACK also adds the zero point to the activation's bounds before it rounds them, ties to even, where the "
    "reference rounds them first"
)


@dataclass(frozen=True)
class OperatorDifference:
    """What one node makes otherwise of the same inputs.

    Attributes:
        node, kind: name and operator.
        size, differing, worst: values compared, how many differ, and by how many steps at most.
        reason: why, or "" where nothing is known.
    """

    node: str
    kind: str
    size: int
    differing: int
    worst: float
    reason: str

    def __str__(self) -> str:
        share = f"{self.differing:,} of {self.size:,} values ({self.differing / self.size:.2%})"
        return f"{self.node} ({self.kind}): {share}, worst {self.worst:g}"


def operators(graph: Graph, theirs: Mapping[str, np.ndarray]) -> list[OperatorDifference]:
    """Compute each node from the other side's own inputs, so that only what this node does otherwise is left.

    Args:
        graph: a graph without state, as the reference kernels compute it.
        theirs: every tensor of the graph, `[N, ...]`, as `trace` of a runtime gives them.
    """
    made = []
    runs = len(next(iter(theirs.values())))
    for node in graph.nodes:
        if isinstance(node.operator, (ReadVariable, AssignVariable)):
            continue
        arrays = [
            graph.constants[name][None]
            if name in graph.constants
            else theirs[name].reshape(runs, *graph.tensors[name].shape)
            for name in node.inputs
        ]
        with np.errstate(all="ignore"):
            results = node.operator(*arrays)
        results = results if isinstance(results, tuple) else (results,)
        size = differing = 0
        worst = 0.0
        for name, ours in zip(node.outputs, results, strict=True):
            ours = np.broadcast_to(ours, (runs, *ours.shape[1:])).astype(np.float64)
            seen = theirs[name].reshape(ours.shape).astype(np.float64)
            wrong = (ours != seen) & ~(np.isnan(ours) & np.isnan(seen))
            size, differing = size + ours.size, differing + int(np.count_nonzero(wrong))
            worst = max(worst, float(np.abs(ours - seen)[wrong].max(initial=0)))
        reason = REASONS.get(node.kind, "")
        if (
            reason
            and getattr(getattr(node.operator, "operator", node.operator), "activation", "NONE") != "NONE"
        ):
            reason += _BOUND
        made.append(OperatorDifference(node.name, node.kind, size, differing, worst, reason))
    return made


def _activation(operator: Any) -> str:
    """The activation that a node's operator ends with; a fully connected layer or a sum of two holds it inside."""
    for part in (operator, getattr(operator, "operator", None), getattr(operator, "layer", None)):
        if hasattr(part, "activation"):
            return part.activation
    return "NONE"


def explained(graph: Graph, theirs: Mapping[str, np.ndarray]) -> list[str]:
    """Lines that say which nodes LiteRT's default interpreter computes otherwise, by how much, and why."""
    found = operators(graph, theirs)
    differing = [each for each in found if each.differing]
    if not differing:
        return []
    lines = [
        f"of {len(found)} nodes, {len(differing)} give other values for the same inputs; what else differs above "
        f"comes from them:"
    ]
    for reason in dict.fromkeys(each.reason for each in differing):
        lines.append(f"  {reason or 'no reason is known here'}:")
        lines += [f"    {each}" for each in differing if each.reason == reason]
    return lines
