# SPDX-License-Identifier: Apache-2.0
"""Clock counts: the recurrence against a walk through every clock, and the bound of BARVINN's benchmark."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat
from assay.golden.mvu import clocks
from assay.golden.mvu.clocks import (
    DRAIN,
    EMPTY,
    FILL,
    PIPELINE,
    RESIDUAL_FREED,
    RESIDUAL_READY,
    RESIDUAL_START,
    job_clocks,
    layer_bound,
)
from assay.golden.mvu.jobs import map_layer
from assay.golden.mvu.parameters import OUTPUT_FIFO_DEPTH, RESIDUAL_FIFO_DEPTH, MvuParameters
from assay.golden.network import Layer, Pool


def make_layer(channels, outputs, *, kernel=3, bits=(2, 2, 2), **attributes) -> Layer:
    w, a, o = (IntFormat(n, signed=False) for n in bits)
    return Layer(
        name="conv",
        input="x",
        output="y",
        weight=np.zeros((outputs, kernel, kernel, channels), np.int64),
        weight_format=w,
        input_format=a,
        output_format=o,
        multiplier=np.ones(outputs, np.int64),
        bias=np.zeros(outputs, np.int64),
        shift=0,
        **attributes,
    )


def clock_by_clock(work, group, words, residual, left=0):
    """Clock of the last issue and of the last output word, by stepping through every clock as the unit does; with
    clocks `left` behind the last output, the clocks of the last issue and of the end."""
    work = [*work, left] if left else work
    outputs = len(work) - bool(left)
    read, issued, first_words = [], [], []  # clocks: of a value's last read, of outputs, of groups
    words_left, steps_left, clock = residual, work[0], RESIDUAL_START
    while len(issued) < len(work):
        value, output = len(read), len(issued)
        if residual and value < outputs:
            before = value - RESIDUAL_FIFO_DEPTH  # whose place it takes
            if before < 0 or (before < output and clock >= issued[before] + RESIDUAL_FREED):
                words_left -= 1
                if words_left == 0:
                    read.append(clock)
                    words_left = residual
        if clock >= 1 and steps_left > 1:
            steps_left -= 1
        elif clock >= 1:
            ready = (
                not residual
                or output == outputs
                or (output < len(read) and clock >= read[output] + RESIDUAL_READY)
            )
            ends_group = (output + 1) % group == 0 and output < outputs
            before = len(first_words) - OUTPUT_FIFO_DEPTH
            if ready and (not ends_group or before < 0 or clock >= first_words[before] + words):
                issued.append(clock)
                if ends_group:
                    earliest = first_words[-1] + words if first_words else 0
                    first_words.append(max(clock + PIPELINE, earliest))
                steps_left = work[len(issued)] if len(issued) < len(work) else 0
        clock += 1
    written = first_words[-1] + words - 1 if first_words else -DRAIN
    if not left and len(work) % group == 0:
        return issued[-1], written
    ends = [
        written + DRAIN,
        issued[outputs - 1] + PIPELINE if outputs else 0,
        issued[-1] + EMPTY if left else 0,
    ]
    return issued[-1], max(ends)


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=30),
    st.integers(1, 4),
    st.integers(1, 16),
    st.integers(0, 16),
)
def test_recurrence(work, group, words, residual):
    work = work * group  # whole groups
    expected = clock_by_clock(work, group, words, residual)
    assert clocks._last_issue_and_write(np.array(work), group, words, residual) == expected


@given(
    st.lists(st.integers(1, 20), max_size=30),
    st.integers(1, 4),
    st.integers(1, 16),
    st.integers(0, 16),
    st.integers(0, 5),
)
def test_cut_jobs(work, group, words, residual, left):
    if not left and len(work) % group == 0:
        return  # whole, or no clock at all
    expected = clock_by_clock(work, group, words, residual, left)
    assert clocks._cut(np.array(work, np.int64), sum(work) + left, group, words, residual) == expected


def test_a_cut_job_is_no_longer_than_the_whole_one():
    (job,) = map_layer(make_layer(64, 64, pool=Pool((2, 2), (2, 2))), (6, 6), MvuParameters(), 0, 1024)
    whole = job_clocks(job.registers)
    command = job.registers["mvucommand"]
    cut = job_clocks({**job.registers, "mvucommand": {**command, "countdown": command["countdown"] - 1}})
    # Its last step is the last but one, and behind it nothing passes the pipeline.
    assert (cut.multiply, cut.issue) == (whole.multiply - 1, whole.issue - 1)
    assert cut.total < whole.total


def test_serialiser_keeps_up():
    (job,) = map_layer(make_layer(64, 64), (5, 5), MvuParameters(), 0, 1024)
    result = job_clocks(job.registers)
    assert (result.multiply, result.issue, result.stalls) == (9 * 36, 9 * 36, 0)
    assert result.total == FILL + 9 * 36 + PIPELINE + 1 + DRAIN


def test_serialiser_is_slower():
    """One clock of work and 16 words for each of 100 outputs: the ninth output is the first to wait."""
    (job,) = map_layer(make_layer(64, 64, kernel=1, bits=(1, 1, 16)), (10, 10), MvuParameters(), 0, 1024)
    result = job_clocks(job.registers)
    assert result.multiply == 100
    assert result.issue == 1 + PIPELINE + 16 * (100 - 1 - OUTPUT_FIFO_DEPTH + 1)
    assert result.stalls == result.issue - 100
    assert result.total == FILL + 1 + PIPELINE + 16 * 100 - 1 + DRAIN


def test_pooling_makes_groups():
    """Four outputs of one clock make one output block of four words: no stall where single outputs would."""
    attributes = {"kernel": 1, "bits": (1, 1, 4)}
    (pooled,) = map_layer(
        make_layer(64, 64, pool=Pool((2, 2), (2, 2)), **attributes), (16, 16), MvuParameters(), 0, 1024
    )
    (single,) = map_layer(make_layer(64, 64, **attributes), (16, 16), MvuParameters(), 0, 1024)
    assert job_clocks(pooled.registers).stalls == 0
    assert job_clocks(single.registers).stalls > 0


def test_illegal_job():
    with pytest.raises(ConfigurationError, match=r"illegal MVU configuration: .*countdown is 0"):
        job_clocks({})


def test_barvinn_benchmark_bound():
    """The 17 layers of BARVINN's table at 2 x 2 bits, padding skipped; counted with padding rows they are 532,872."""
    total = layers = 0
    for channels, side, outputs, stride, count in (
        (64, 32, 64, 1, 5),
        (64, 32, 128, 2, 1),
        (128, 16, 128, 1, 3),
        (128, 16, 256, 2, 1),
        (256, 8, 256, 1, 3),
        (256, 8, 512, 2, 1),
        (512, 4, 512, 1, 3),
    ):
        layer = make_layer(channels, outputs, stride=(stride, stride), padding=(1, 1, 1, 1))
        total += count * layer_bound(layer, (side, side))
        layers += count
        jobs = map_layer(layer, (side, side), MvuParameters(), 0, 16384)
        assert sum(job_clocks(job.registers).multiply for job in jobs) == layer_bound(layer, (side, side))
        assert all(job_clocks(job.registers).stalls == 0 for job in jobs)
    assert (layers, total) == (17, 498_104)
