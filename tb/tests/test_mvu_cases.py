# SPDX-License-Identifier: Apache-2.0
"""Steps of the MVU's cases: a job becomes a step, a file, and the same job again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from assay.golden.mvu.functional import run_job
from assay.golden.mvu.parameters import MvuParameters
from assay.tb.cases import Case, read_case, write_case
from assay.tb.mvu.jobs import JobItem
from assay.tb.mvu.layer_passes import fitted, zeroed
from assay.tb.mvu.mvu_cases import MvuCases, item_of
from assay.tb.mvu.steps import JobStep, LayerStep, loaded, step_of
from assay.tb.mvu.stimulus import Stimulus

PARAMS = MvuParameters(lanes=8)


def again(step: LayerStep | JobStep, path: Path) -> LayerStep | JobStep:
    write_case(path, Case("mvu", PARAMS.rtl, 1, "verilator", (step,)))
    return read_case(path, MvuCases(), "mvu").steps[0]


def written(item: JobItem) -> tuple[np.ndarray, np.ndarray]:
    result = run_job(item.registers, loaded(item, PARAMS)[0], PARAMS)
    return result.address, result.data


@pytest.mark.parametrize("seed", range(12))
def test_a_job_is_the_same_after_a_file(seed: int, tmp_path: Path) -> None:
    stimulus = Stimulus(PARAMS, seed)
    (item,) = stimulus.random_items(1, 600, cuts=0.3)
    if seed % 3 == 0:
        stimulus.spoil(item)
    step = step_of(item, *loaded(item, PARAMS), PARAMS, {"trc": 8} if seed % 2 else {})
    found = again(step, tmp_path / "case.json")
    assert type(found) is type(step)
    assert found.stalls == step.stalls
    for ours, theirs in zip(written(item_of(found, PARAMS)), written(item), strict=True):
        assert np.array_equal(ours, theirs)
    if seed % 3:
        assert isinstance(step, LayerStep)


def test_only_what_is_read_is_kept() -> None:
    stimulus = Stimulus(PARAMS, 1)
    item = stimulus.programs.random("program", 300)
    rng = np.random.default_rng(0)
    memories, known = loaded(item, PARAMS)
    memories.data[:] = rng.integers(0, 256, memories.data.shape, np.uint8)
    memories.weights[:] = rng.integers(0, 256, memories.weights.shape, np.uint8)
    known[:] = True
    step = step_of(item, memories, known, PARAMS, {})
    assert isinstance(step, JobStep)
    assert 0 < sum(len(words) for _, words in step.images) < PARAMS.data_depth
    expected = run_job(item.registers, memories, PARAMS).data
    assert np.array_equal(written(item_of(step, PARAMS))[1], expected)


def test_smaller_layers_are_layers() -> None:
    (item,) = Stimulus(PARAMS, 4).random_items(1, 600)
    step = step_of(item, *loaded(item, PARAMS), PARAMS, {})
    assert isinstance(step, LayerStep)
    small = fitted(step, step.layer, step.size, inputs=1, outputs=1)
    assert small.layer.weight.shape[0] == small.layer.weight.shape[3] == 1
    assert small.x is not None and small.x.shape == (*step.size, 1)
    empty = zeroed(small)
    assert not empty.layer.weight.any() and empty.x is not None and not empty.x.any()
    assert len(written(item_of(empty, PARAMS))[0]) <= len(written(item)[0])
