# SPDX-License-Identifier: Apache-2.0
"""Clocks, utilisation and memory of a run, from the records of its steps, measured by the model or in the RTL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from assay.golden import table
from assay.golden.codegen.plan import BIASES, SCALERS, WEIGHTS, Plan
from assay.golden.mvu.jobs import row_clocks
from assay.golden.network import Layer

__all__ = ["LayerReport", "MemoryReport", "MvuReport", "Report", "StepRecord", "bit_operations", "report"]


@dataclass(frozen=True)
class StepRecord:
    """Clocks of one step.

    Attributes:
        mvu, number: of the step, see `golden.codegen.plan.Step`.
        layer: name of the network's layer.
        start, end: first and last clock of the MVU's ``busy``, counted from the release of the harts.
        multiply: multiply clocks, the countdown.
        stalls: clocks of ``busy`` beyond multiply clocks, output bits and `golden.mvu.clocks.OVERHEAD`.
        waited: those of `stalls` in which words waited at the crossbar or the data memory; 0 where not measured.
    """

    mvu: int
    number: int
    layer: str
    start: int
    end: int
    multiply: int
    stalls: int = 0
    waited: int = 0


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        layer: its name.
        mvus: that took part.
        steps: of all of them.
        multiply: multiply clocks of all of them.
        longest: multiply clocks of the MVU that has most.
        elapsed: from the first clock of its first step to the last of its last.
        stalls: of all steps.
        bound: clocks in which all MVUs of the accelerator could do it: products of bits that are no padding, over
            Lanes * Lanes * Mvus a clock.
        utilisation: those products over what the layer's own MVUs could have done in `elapsed`, 0 to 1.
    """

    layer: str
    mvus: frozenset[int]
    steps: int
    multiply: int
    longest: int
    elapsed: int
    stalls: int
    bound: float
    utilisation: float


@dataclass(frozen=True)
class MvuReport:
    """One MVU: its steps, multiply clocks, clocks of ``busy``."""

    mvu: int
    steps: int
    multiply: int
    busy: int


@dataclass(frozen=True)
class MemoryReport:
    """Of one memory, words or entries used where most are, and there are."""

    memory: str
    used: int
    size: int


@dataclass(frozen=True)
class Report:
    """A run in numbers; `str` is a table.

    Attributes:
        network, mapping: of the plan.
        clocks: from the release of the harts to ``host_irq_o``.
        bound: clocks of all layers at full use of all MVUs.
        layers, mvus, memories: the parts.
        retired: instructions, or None where not known.
    """

    network: str
    mapping: str
    clocks: int
    bound: float
    layers: tuple[LayerReport, ...]
    mvus: tuple[MvuReport, ...]
    memories: tuple[MemoryReport, ...]
    retired: int | None = None

    @property
    def utilisation(self) -> float:
        """Of all MVUs over the whole run, 0 to 1."""
        return self.bound / self.clocks

    def __str__(self) -> str:
        rows = [
            ("layer", "MVUs", "steps", "multiply", "longest", "elapsed", "stalls", "bound", "utilisation")
        ]
        rows += [
            (
                table.short(each.layer),
                _numbers(each.mvus),
                str(each.steps),
                f"{each.multiply:,}",
                f"{each.longest:,}",
                f"{each.elapsed:,}",
                f"{each.stalls:,}",
                f"{each.bound:,.0f}",
                f"{each.utilisation:.1%}",
            )
            for each in self.layers
        ]
        text = [
            f"network {self.network}, {self.mapping}: {self.clocks:,} clocks, bound {self.bound:,.0f}, "
            f"utilisation {self.utilisation:.1%}"
            + ("" if self.retired is None else f", {self.retired:,} instructions"),
            *table.lines(rows, right=range(2, 9)),
            "",
        ]
        rows = [("MVU", "steps", "multiply", "busy", "multiply / clocks")]
        rows += [
            (
                str(each.mvu),
                str(each.steps),
                f"{each.multiply:,}",
                f"{each.busy:,}",
                f"{each.multiply / self.clocks:.1%}",
            )
            for each in self.mvus
        ]
        text += [*table.lines(rows, right=range(1, 5)), ""]
        rows = [("memory", "used", "of", "")]
        rows += [
            (each.memory, f"{each.used:,}", f"{each.size:,}", f"{each.used / each.size:.1%}")
            for each in self.memories
        ]
        return "\n".join([*text, *table.lines(rows, right=(1, 2, 3))])


def bit_operations(layer: Layer, size: tuple[int, int]) -> int:
    """Products of two bits that a layer needs: its multiplications on the map, times input bits and weight bits.

    Args:
        layer: to run.
        size: (H, W) of its input map.
    """
    # With all channels in one block: clocks count kernel positions on the map times pairs of planes.
    positions = int(row_clocks(layer, size, layer.input_channels).sum())
    return positions * layer.output_channels * (layer.input_channels // layer.groups)


def report(plan: Plan, steps: Sequence[StepRecord], clocks: int, retired: int | None = None) -> Report:
    """Sum up a run.

    Args:
        plan: that ran.
        steps: records of all its steps, in any order.
        clocks: of the whole run.
        retired: instructions.
    """
    params, network = plan.params, plan.network
    rate = params.mvu.lanes**2
    layers, total = [], 0.0
    for layer in network.layers:
        mine = [step for step in steps if step.layer == layer.name]
        if not mine:
            continue
        products = bit_operations(layer, network.shapes[layer.input][:2])
        mvus = frozenset(step.mvu for step in mine)
        each = [sum(step.multiply for step in mine if step.mvu == mvu) for mvu in mvus]
        elapsed = max(step.end for step in mine) - min(step.start for step in mine) + 1
        bound = products / (rate * params.mvus)
        total += bound
        layers.append(
            LayerReport(
                layer.name,
                mvus,
                len(mine),
                sum(each),
                max(each),
                elapsed,
                sum(step.stalls for step in mine),
                bound,
                products / (rate * len(mvus) * elapsed),
            )
        )
    mvus = []
    for mvu in range(params.mvus):
        mine = [step for step in steps if step.mvu == mvu]
        busy = sum(step.end - step.start + 1 for step in mine)
        mvus.append(MvuReport(mvu, len(mine), sum(step.multiply for step in mine), busy))
    return Report(
        network.name, plan.mapping, clocks, total, tuple(layers), tuple(mvus), tuple(_memories(plan)), retired
    )


def _memories(plan: Plan) -> list[MemoryReport]:
    params = plan.params
    ends = {WEIGHTS: 0, SCALERS: 0, BIASES: 0}
    for phase in plan.phases:
        for load in phase.loads:
            ends[load.select] = max(ends[load.select], load.first + len(load.image))
    data = max(place.base + place.words for place in plan.places.values())
    return [
        MemoryReport("data words", data, params.mvu.data_depth),
        MemoryReport("weight words", ends[WEIGHTS], params.mvu.weight_depth),
        MemoryReport("scaler entries", ends[SCALERS], params.mvu.channel_depth),
        MemoryReport("bias entries", ends[BIASES], params.mvu.channel_depth),
        MemoryReport("instruction words", len(plan.firmware.words), params.controller.imem_words),
        MemoryReport("controller data words", len(plan.firmware.data), params.controller.dmem_words),
    ]


def _numbers(mvus: frozenset[int]) -> str:
    """As "0 to 3", or "0, 2, 5"."""
    numbers = sorted(mvus)
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))
