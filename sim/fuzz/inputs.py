# SPDX-License-Identifier: Apache-2.0
"""Which file comes next: number N of a seed is always the same one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from assay.sim.fuzz.forms import forms

LENGTHS = (1, 1, 2, 3, 6)
"""Changes of a file, as many times each as it stands here."""


@dataclass(frozen=True)
class Input:
    """A changed file as what it is made of.

    Attributes:
        form: a key of `forms`.
        origin: the small file that is changed.
        steps: of each change the seed.
    """

    form: str
    origin: str
    steps: tuple[int, ...]

    def content(self) -> bytes:
        """The file."""
        form = forms()[self.form]
        data = form.seeds[self.origin]
        weights = np.array([weight for weight, _ in form.changes])
        for step in self.steps:
            rng = np.random.default_rng(step)
            data = form.changes[int(rng.choice(len(weights), p=weights / weights.sum()))][1](data, rng)
        return data

    def without(self, place: int) -> Input:
        """The same without one change."""
        return replace(self, steps=self.steps[:place] + self.steps[place + 1 :])


def numbered(seed: int, number: int, only: tuple[str, ...] = ()) -> Input:
    """An input of a series.

    Args:
        seed: of the series.
        number: from 0.
        only: names of the forms that are drawn; none: all.
    """
    rng = np.random.default_rng([seed, number])
    known = forms()
    names = [name for name in known if not only or name in only]
    weights = np.array([known[name].weight for name in names])
    form = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    origins = sorted(known[form].seeds)
    origin = origins[int(rng.integers(len(origins)))]
    count = LENGTHS[int(rng.integers(len(LENGTHS)))]
    return Input(form, origin, tuple(int(step) for step in rng.integers(1 << 32, size=count)))
