# SPDX-License-Identifier: Apache-2.0
"""The words that an output is made of are those, and no others, on which it depends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.golden.mvu.functional import Configuration, Memories, run_job
from assay.golden.mvu.reads import reads
from assay.golden.tests.mvu.test_functional import SMALL, random_memories, random_registers


@settings(max_examples=80)
@given(random_registers(), st.integers(0, 2**32), st.data())
def test_everything_else_may_change(case, seed, data):
    registers, causes = case
    memories, other = random_memories(seed, SMALL), random_memories(seed + 1, SMALL)
    result = run_job(registers, memories, SMALL)
    if causes or not len(result.values):
        return
    group = data.draw(st.integers(0, len(result.values) - 1))
    made_of = reads(registers, group, SMALL)
    for name, index in (
        ("data", np.concatenate([made_of.input, made_of.residual])),
        ("weights", made_of.weights),
        ("scaler", made_of.scaler),
        ("bias", made_of.bias),
    ):
        getattr(other, name)[index] = getattr(memories, name)[index]
    assert run_job(registers, other, SMALL).values[group].tolist() == result.values[group].tolist()
    clocks = Configuration.of(registers).complete_outputs()
    outputs = len(clocks) // len(result.values)
    assert len(made_of.input) == len(made_of.weights) == clocks[group * outputs : (group + 1) * outputs].sum()


@settings(max_examples=40)
@given(random_registers(), st.data())
def test_each_word_matters(case, data):
    """In mode 1 with weights of 1 alone, unsigned, an input bit that is set raises every accumulator."""
    registers, causes = case
    registers["mvucommand"]["multiply_mode"] = 1
    registers["mvuprecision"]["weight_signed"] = registers["mvuprecision"]["input_signed"] = 0
    result = run_job(registers, Memories.zeros(SMALL), SMALL)
    if causes or not len(result.values):
        return
    outputs = len(result.accumulators) // len(result.values)
    group = data.draw(st.integers(0, len(result.values) - 1))
    word = data.draw(st.sampled_from(np.unique(reads(registers, group, SMALL).input).tolist()))
    memories = Memories.zeros(SMALL)
    memories.weights[:] = 0xFF
    memories.data[word] = 0x01
    sums = run_job(registers, memories, SMALL).accumulators[group * outputs : (group + 1) * outputs]
    assert sums.any()


def test_several_groups_at_once():
    registers = {
        "mvuprecision": {"weight": 1, "input": 2, "output": 1, "residual": 2},
        "mvuquant": {"msb": 0},
        "mvuconfig1": {"acc_select": 0, "residual": 1},
        "mvuilength1": 1,
        "mvuwlength1": 1,
        "mvuijump0": 2,
        "mvurbaseptr": 32,
        "mvurjump0": 1,
        "mvucommand": {"countdown": 6, "multiply_mode": 1},
    }
    assert run_job(registers, Memories.zeros(SMALL), SMALL).causes == 0
    one = [reads(registers, group, SMALL) for group in range(3)]
    all_of = reads(registers, range(3), SMALL)
    for name in all_of._fields:
        assert getattr(all_of, name).tolist() == [n for each in one for n in getattr(each, name).tolist()]
    assert one[2].residual.tolist() == [36, 37]
    assert one[0].scaler.tolist() == []
    with pytest.raises(IndexError, match="the job has 3"):
        reads(registers, 3, SMALL)
