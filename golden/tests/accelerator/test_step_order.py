# SPDX-License-Identifier: Apache-2.0
"""`StepOrder` against its definition, written with sets: who knows of which steps that they have ended."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from assay.golden.accelerator.order import StepOrder

MVUS, DEPTH = 3, 6

Step = tuple[int, int]  #: MVU and number


class Naive:
    """Last users of words by name, and each hart's knowledge as a set of steps."""

    def __init__(self) -> None:
        self.known: list[set[Step]] = [set() for _ in range(MVUS)]
        self.told: dict[Step, set[Step]] = {}
        self.writer: dict[tuple[int, int], Step] = {}
        self.reader: dict[tuple[int, int], Step] = {}

    def counts(self, hart: int, steps: int) -> None:
        self.known[hart] |= {(hart, number) for number in range(steps)}
        self.told[hart, steps] = set(self.known[hart])

    def sees(self, hart: int, mvu: int, steps: int) -> None:
        self.known[hart] |= self.told[mvu, steps]

    def wrong(
        self, mvu: int, reads: set[int], writes: set[int], targets: list[int]
    ) -> set[tuple[str, int, int, str, Step]]:
        """All that a step of `mvu` would do too early, as `Disorder` has it."""
        uses = [("reads", word, mvu, "writes", self.writer.get((mvu, word))) for word in reads]
        for target in targets:
            for word in writes:
                uses.append(("overwrites", word, target, "writes", self.writer.get((target, word))))
                uses.append(("overwrites", word, target, "reads", self.reader.get((target, word))))
        return {use for use in uses if use[-1] and use[-1][0] != mvu and use[-1] not in self.known[mvu]}

    def begin(self, step: Step, reads: set[int], writes: set[int], targets: list[int]) -> None:
        self.reader |= {(step[0], word): step for word in reads}
        self.writer |= {(target, word): step for target in targets for word in writes}


def mask(words: set[int]) -> np.ndarray:
    made = np.zeros(DEPTH, bool)
    made[list(words)] = True
    return made


@pytest.mark.parametrize("seed", range(6))
def test_knowledge_and_words(seed: int) -> None:
    random = Random(seed)
    found = {("reads", "writes"): 0, ("overwrites", "writes"): 0, ("overwrites", "reads"): 0}
    begun = 0
    for _ in range(60):
        order, naive = StepOrder(MVUS, DEPTH), Naive()
        numbers = [0] * MVUS
        for _ in range(40):
            hart = random.randrange(MVUS)
            if random.random() < 0.3 and numbers[hart] and (hart, numbers[hart]) not in naive.told:
                order.counts(hart, hart, numbers[hart])
                naive.counts(hart, numbers[hart])
            elif random.random() < 0.5 and naive.told:
                mvu, steps = random.choice(sorted(naive.told))
                order.sees(hart, mvu, steps)
                naive.sees(hart, mvu, steps)
            elif random.random() < 0.05:
                order.barrier(list(numbers))
                everything = {(mvu, number) for mvu in range(MVUS) for number in range(numbers[mvu])}
                naive.known = [set(everything) for _ in range(MVUS)]
            else:
                reads = set(random.sample(range(DEPTH), random.randrange(3)))
                writes = set(random.sample(range(DEPTH), random.randrange(1, 3)))
                targets = sorted(random.sample(range(MVUS), random.randrange(1, 3)))
                wrong = naive.wrong(hart, reads, writes, targets)
                said = order.begin(hart, numbers[hart], mask(reads), mask(writes), targets)
                if wrong:
                    assert said is not None and (*said[:4], (said.mvu, said.number)) in wrong
                    found[said.does, said.other_does] += 1
                    continue  # it has not begun
                assert said is None
                naive.begin((hart, numbers[hart]), reads, writes, targets)
                numbers[hart] += 1
                begun += 1
    assert all(found.values()) and begun > 200
