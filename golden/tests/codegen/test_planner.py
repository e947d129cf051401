# SPDX-License-Identifier: Apache-2.0
"""The planner's parts, each against its definition by loops, on random cases: places, waits, what a part reads."""

from itertools import combinations, product

import numpy as np
import pytest

from assay.golden.accelerator.plan import Place
from assay.golden.codegen.planner import _allocate, _Dependencies, _Needed, _read
from assay.golden.formats import IntFormat
from assay.golden.network import Layer, Pool
from assay.golden.tests.codegen.networks import accelerator


@pytest.mark.parametrize("seed", range(200))
def test_places_are_apart_and_end_with_the_memory(seed):
    """Tensors that are held by one MVU while both are alive share no word; a memory one word smaller does not do."""
    rng = np.random.default_rng(seed)
    names = [f"t{n}" for n in range(rng.integers(2, 9))]
    needs = {name: int(rng.integers(1, 12)) for name in names}
    holders = {name: set(rng.choice(3, rng.integers(1, 4), replace=False).tolist()) for name in names}
    life = {}
    for name in names:
        made = int(rng.integers(-1, 6))
        life[name] = (made, made + int(rng.integers(0, 4)))
    align, reuse = int(rng.choice([1, 4])), bool(rng.integers(2))
    bases = _allocate(needs, holders, life, 1 << 16, align, reuse)
    assert bases is not None
    for one, other in combinations(names, 2):
        alive = life[one][0] <= life[other][1] and life[other][0] <= life[one][1]
        apart = bases[one] + needs[one] <= bases[other] or bases[other] + needs[other] <= bases[one]
        assert apart or not holders[one] & holders[other] or (reuse and not alive), (one, other)
    assert all(base % align == 0 for base in bases.values())
    end = max(bases[name] + needs[name] for name in names)
    assert _allocate(needs, holders, life, end, align, reuse) == bases
    assert _allocate(needs, holders, life, end - 1, align, reuse) is None


@pytest.mark.parametrize("seed", range(60))
def test_steps_that_share_a_word_are_ordered(seed):
    """Steps that read and write random words of a small memory; what waits say, and no wait in vain."""
    rng = np.random.default_rng(seed)
    params = accelerator(int(rng.integers(2, 5)), data_banks=2, bank_depth=8)
    mvus, order = params.mvus, _Dependencies(params)
    ended = [0] * mvus
    steps: list[tuple[int, int, set[int], set[int], frozenset[int]]] = []
    before: list[set[int]] = []  # of each step, those that have ended when it begins
    past: set[int] = set()
    last: dict[int, int] = {}

    def words() -> np.ndarray:
        first = int(rng.integers(0, 12))
        return np.arange(first, first + int(rng.integers(1, 5)))

    for step in range(40):
        if rng.random() < 0.08:
            order.barrier()
            past = set(range(step))
        mvu = int(rng.integers(mvus))
        reads, writes = words(), words()
        targets = frozenset(rng.choice(mvus, rng.integers(1, mvus + 1), replace=False).tolist())
        number, waits = order.add(mvu, reads, writes, targets)
        assert number == ended[mvu]
        ended[mvu] += 1
        places = {(wait.mvu, wait.count - 1) for wait in waits}
        waited = [n for n, (m, count, *_) in enumerate(steps) if (m, count) in places]
        assert len(waited) == len(waits) and mvu not in {wait.mvu for wait in waits}
        known = set(past)
        if mvu in last:
            known |= {last[mvu]} | before[last[mvu]]
        for each in waited:
            others = known.union(*({n} | before[n] for n in waited if n != each))
            assert each not in others, f"step {step} waits for step {each} in vain"
        known = known.union(*({n} | before[n] for n in waited))
        for n, (other, _, read, written, to) in enumerate(steps):
            shares = any(set(writes.tolist()) & (written if t in to else set()) for t in targets)
            shares |= other in targets and bool(set(writes.tolist()) & read)
            shares |= mvu in to and bool(set(reads.tolist()) & written)
            assert not shares or n in known, f"step {step} does not wait for step {n}"
        last[mvu] = step
        before.append(known)
        steps.append((mvu, number, set(reads.tolist()), set(writes.tolist()), targets))


@pytest.mark.parametrize("seed", range(40))
def test_words_go_to_all_who_need_one_of_them(seed):
    rng = np.random.default_rng(seed)
    place = Place("t", (4, 4, 8), IntFormat(2, False), 16, 32, frozenset({2}))
    needed = _Needed({"t": place}, 4)
    wanted = {mvu: set(rng.choice(32, rng.integers(0, 4), replace=False).tolist()) for mvu in range(4)}
    for mvu, words in wanted.items():
        needed.add(place, mvu, np.array(sorted(words), int) + place.base)
    first = int(rng.integers(0, 24))
    words = range(first, first + 8)
    expected = {mvu for mvu in range(4) if wanted[mvu] & set(words)} or {2}
    assert needed.targets(place, np.array(words) + place.base) == expected


def _layer(axis: int, along: tuple[int, ...], across: tuple[int, ...]) -> Layer:
    """A layer of (kernel, stride, padding, pool window, pool stride) along an axis, others across it; no window, no
    pool."""
    fmt = IntFormat(1, signed=False)
    kernel, stride, padding, window, step = zip(
        *((along, across) if axis == 0 else (across, along)), strict=True
    )
    return Layer(
        name="conv",
        input="x",
        output="y",
        weight=np.ones((1, *kernel, 1), int),
        weight_format=fmt,
        input_format=fmt,
        output_format=fmt,
        multiplier=np.ones(1, int),
        bias=np.zeros(1, int),
        shift=0,
        stride=stride,
        padding=(*padding, *(side - 1 - before for side, before in zip(kernel, padding, strict=True))),
        pool=Pool(window, step) if all(window) else None,
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_what_a_part_reads(axis):
    """Rows or columns of the input that some of the output are made of, by going through every window; nothing is the
    same in both directions."""
    for side, stride, pool in product((1, 2, 3), (1, 2, 3), (None, (2, 2), (2, 1), (3, 2), (2, 3))):
        for padding in range(side):
            size = (13, 11) if axis == 0 else (11, 13)
            window, step = pool or (0, 0)
            across = (4, 4 - stride + (stride == 2), 3 - padding, window and 5 - window, step and 5 - step)
            layer = _layer(axis, (side, stride, padding, window, step), across)
            window, step = pool or (1, 1)
            count = layer.output_size(size)[axis]
            for first, stop in {
                (0, count),
                (1, count),
                (0, 1),
                (count - 1, count),
                (count // 2, count // 2 + 1),
            }:
                if not first < stop <= count:
                    continue
                summed = {n * step + w for n in range(first, stop) for w in range(window)}
                read = {n * stride - padding + k for n in summed for k in range(side)}
                found = _read(layer, size, axis, range(first, stop))
                assert found[1].tolist() == sorted(summed)
                assert found[0].tolist() == sorted(read & set(range(size[axis])))
