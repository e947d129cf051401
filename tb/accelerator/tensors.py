# SPDX-License-Identifier: Apache-2.0
"""Tensors as they go through the traces of the MVUs, word by word, against the network's own arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from assay.golden.accelerator.folding import fold
from assay.golden.accelerator.plan import Plan, Step
from assay.golden.mvu.layout import unpack_activations
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import Beats

__all__ = ["TensorCollector", "first_difference", "stored_input"]


def stored_input(plan: Plan, x: np.ndarray) -> np.ndarray:
    """The array that the host writes for an input int[H, W, C]: the input, or the windows of a folded first layer."""
    if not plan.folded:
        return x
    return fold(plan.network.layers[0], x)


class TensorCollector:
    """Gathers the words that the steps of a plan write, from their traces.

    Args:
        plan: that runs.

    Attributes:
        ended: for each MVU, the clocks in which the last word of each of its steps passed.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps = [
            [step for phase in plan.phases for step in phase.steps[mvu]] for mvu in range(plan.params.mvus)
        ]
        self.restart()

    def restart(self) -> None:
        """A run begins."""
        lanes = self.plan.params.mvu.lanes
        self._images = {
            name: np.zeros((place.words, lanes // 8), np.uint8) for name, place in self.plan.places.items()
        }
        self._counts = {name: np.zeros(place.words, np.int64) for name, place in self.plan.places.items()}
        self._step = [0] * self.plan.params.mvus
        self._left = [steps[0].job.output_words if steps else 0 for steps in self.steps]
        self.ended: list[list[int]] = [[] for _ in self.steps]
        self.problem = ""

    def beats(self, mvu: int, trc: BeatFormat, beats: Beats) -> None:
        """Words that an MVU has written, as its trace carries them."""
        fields = trc.unpack(beats.payload)
        width = self.plan.params.mvu.lanes // 8
        data = fields["data"].astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
        self.words(mvu, fields["addr"], data, beats.cycles)

    def words(self, mvu: int, address: np.ndarray, data: np.ndarray, cycles: np.ndarray) -> None:
        """Words that an MVU has written, in order."""
        taken = 0
        while taken < len(address):
            step = self._current(mvu)
            if step is None:
                self.problem = (
                    self.problem or f"MVU {mvu} writes {len(address) - taken} words after its last step"
                )
                return
            count = min(self._left[mvu], len(address) - taken)
            place = self.plan.places[self._output(step)]
            at = address[taken : taken + count].astype(np.int64) - place.base
            if ((at < 0) | (at >= place.words)).any():
                wrong = int(address[taken + int(np.argmax((at < 0) | (at >= place.words)))])
                self.problem = self.problem or (
                    f"MVU {mvu}, layer {step.layer}: word {wrong} is not of tensor {place.tensor}, "
                    f"which has words {place.base} to {place.base + place.words - 1}"
                )
                return
            self._images[place.tensor][at] = data[taken : taken + count]
            np.add.at(self._counts[place.tensor], at, 1)
            taken += count
            self._left[mvu] -= count
            if not self._left[mvu]:
                self.ended[mvu].append(int(cycles[taken - 1]))
                self._step[mvu] += 1
                following = self._current(mvu)
                self._left[mvu] = following.job.output_words if following else 0

    def name(self, mvu: int, address: int) -> str:
        """The place in a tensor that a word of an MVU's data memory is for; empty where it is none's."""
        lanes = self.plan.params.mvu.lanes
        for place in self.plan.places.values():
            if mvu in place.mvus and place.base <= address < place.base + place.words:
                rest, plane = divmod(address - place.base, place.fmt.bits)
                rest, block = divmod(rest, -(-place.shape[2] // lanes))
                row, column = divmod(rest, place.shape[1])
                return (
                    f"tensor {place.tensor}, row {row}, column {column}, channels from {block * lanes} on, "
                    f"plane {place.fmt.bits - 1 - plane}"
                )
        return ""

    def tensors(self) -> dict[str, np.ndarray]:
        """Every tensor that the steps made, int64[H, W, C], in order of execution.

        Raises:
            ValueError: a word of a tensor was not written, or more than once, or elsewhere.
        """
        if self.problem:
            raise ValueError(self.problem)
        made = {}
        for layer in self.plan.network.layers:
            place = self.plan.places[layer.output]
            wrong = np.flatnonzero(self._counts[place.tensor] != 1)
            if len(wrong):
                word, times = int(wrong[0]), int(self._counts[place.tensor][wrong[0]])
                raise ValueError(
                    f"tensor {place.tensor}: {len(wrong)} of {place.words} words were not written once, the first "
                    f"is word {word} of it (address {place.base + word}), written {times} times"
                )
            made[place.tensor] = unpack_activations(
                self._images[place.tensor], place.shape, place.fmt, self.plan.params.mvu.lanes
            )
        return made

    def _current(self, mvu: int) -> Step | None:
        number = self._step[mvu]
        return self.steps[mvu][number] if number < len(self.steps[mvu]) else None

    def _output(self, step: Step) -> str:
        return next(layer.output for layer in self.plan.network.layers if layer.name == step.layer)


def first_difference(
    network_name: str, expected: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]
) -> str:
    """The first value, in order of execution, in which two traces of one input differ; empty when none does."""
    for tensor, values in seen.items():
        unlike = np.argwhere(expected[tensor] != values)
        if len(unlike):
            row, column, channel = unlike[0].tolist()
            return (
                f"{network_name}: {len(unlike)} of {values.size} values of tensor {tensor} differ from the golden "
                f"network's, the first at row {row}, column {column}, channel {channel}: expected "
                f"{int(expected[tensor][row, column, channel])}, seen {int(values[row, column, channel])}"
            )
    return ""
