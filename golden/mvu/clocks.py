# SPDX-License-Identifier: Apache-2.0
"""The number of clocks that a job takes on the MVU, by the recurrence in `docs/mvu.md`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from assay.golden.mvu.functional import CAUSE_BIT, Configuration, GivenRegisters, check_configuration
from assay.golden.mvu.jobs import countdown
from assay.golden.mvu.parameters import OUTPUT_FIFO_DEPTH, RESIDUAL_FIFO_DEPTH
from assay.golden.network import Layer

__all__ = ["JobClocks", "Recurrence", "job_clocks", "layer_bound"]

# Pipeline lengths of the RTL, checked by the bench on every job.
#: Clocks from the issue of an output's last step to its first word on the output port.
PIPELINE = 9
#: Clocks from the start of ``busy`` to the first issue.
FILL = 5
#: Clocks from the last word on the output port to the end of ``busy``.
DRAIN = 1
#: Clocks from the issue of the last step to the end of ``busy``, where that step ends no output.
EMPTY = 3
#: Clocks of ``busy`` beyond multiply clocks and output bits, where nothing stalls.
OVERHEAD = FILL + PIPELINE - 1 + DRAIN
#: Clock of the first residual read, where the first issue is clock 1.
RESIDUAL_START = -3
#: Clocks from a residual value's last read to the first issue that can use it.
RESIDUAL_READY = 3
#: Clocks from the issue that uses a residual value to the first read into its place.
RESIDUAL_FREED = 4


@dataclass(frozen=True)
class JobClocks:
    """Clocks of one job.

    Attributes:
        multiply: clocks in which a step is issued, the countdown.
        issue: from the first issue to the last.
        total: clocks of ``busy``.
        stalls: issue - multiply, clocks an output's last step waited for room in the output FIFO or its residual value.
    """

    multiply: int
    issue: int
    total: int
    stalls: int


def job_clocks(registers: GivenRegisters) -> JobClocks:
    """Clocks of a job that meets no other traffic at the data memory and no back-pressure at the crossbar.

    Args:
        registers: register name to fields, a configuration that is legal, but that its countdown may end before a
            pool group is complete.

    Raises:
        ConfigurationError: another illegal configuration: the unit refuses it.
    """
    config = Configuration.of(registers)
    if config.causes != 1 << CAUSE_BIT["countdown"] or not config.countdown:
        check_configuration(config)
    residual = config.format("residual").bits if config.fields["mvuconfig1"]["residual"] else 0
    group, words = config.group_outputs, config.format("output").bits
    if config.causes:
        issue, end = _cut(config.ended_outputs(), config.countdown, group, words, residual)
    else:
        issue, written = _last_issue_and_write(config.complete_outputs(), group, words, residual)
        end = written + DRAIN
    return JobClocks(config.countdown, issue, FILL + end, issue - config.countdown)


def layer_bound(layer: Layer, size: tuple[int, int], lanes: int = 64) -> int:
    """Fewest clocks one MVU can spend on a layer: one for each output, tile on the map and pair of planes.

    Args:
        layer: to run.
        size: (H, W) of its input map.
        lanes: of the MVU.
    """
    return countdown(layer, size, lanes)


class Recurrence:
    """When a job's outputs are issued, one pool group after the other, for a caller who knows when words are taken.

    Clocks count from 1 at the first issue.

    Args:
        work: multiply clocks of each output.
        group: outputs in a pool group; only its last one enters the FIFO and can wait for room in it.
        residual: words of a residual value, 0 without.
    """

    def __init__(self, work: Sequence[int], group: int, residual: int) -> None:
        self._work = iter(work)
        self._group = group
        self._residual = residual
        self._issues: deque[int] = deque(maxlen=RESIDUAL_FIFO_DEPTH)
        self._read = RESIDUAL_START - 1
        self._clock = 0

    def issue(self, freed: int) -> int:
        """Clock in which the last step of the next group is issued.

        Args:
            freed: clock in which the last word of the group `OUTPUT_FIFO_DEPTH` before it was taken, 0 without one.
        """
        t, residual = self._clock, self._residual
        if not residual:
            t += sum(islice(self._work, self._group))
        else:
            # A residual value's words wait for the value that leaves the residual FIFO.
            issues, read = self._issues, self._read
            for clocks in islice(self._work, self._group):
                if len(issues) == RESIDUAL_FIFO_DEPTH:
                    read = max(read, issues[0] + RESIDUAL_FREED - 1)
                read += residual
                t = max(t + clocks, read + RESIDUAL_READY)
                issues.append(t)
            self._read = read
        self._clock = t = max(t, freed + 1)
        if residual:
            self._issues[-1] = t
        return t


def _last_issue_and_write(work: np.ndarray, group: int, words: int, residual: int) -> tuple[int, int]:
    """Clock of the last issue and of the last output word, counted from 1 at the first issue.

    Args:
        work: multiply clocks of each output.
        group: outputs in a pool group; only its last one enters the FIFO and can wait for room in it.
        words: of an output block.
        residual: words of a residual value, 0 without.
    """
    if int(work.min()) >= residual:
        # A residual value is always there in time (it is read while its output is computed). As if nothing
        # else stalled: s_g - words*g is the running maximum of t_g + PIPELINE - words*g.
        issued = np.cumsum(work)[group - 1 :: group]
        busy = words * np.arange(len(issued))
        first_word = np.maximum.accumulate(issued + PIPELINE - busy) + busy
        if (issued[OUTPUT_FIFO_DEPTH:] >= first_word[:-OUTPUT_FIFO_DEPTH] + words).all():
            return int(issued[-1]), int(first_word[-1]) + words - 1
    # From the first stall on, one group after the other.
    return _group_by_group(Recurrence(work.tolist(), group, residual), len(work) // group, words)


def _cut(work: np.ndarray, countdown: int, group: int, words: int, residual: int) -> tuple[int, int]:
    """Clock of the last issue and of the end of ``busy`` of a job whose countdown ends before a pool group is complete.

    Args:
        work: multiply clocks of each output that ends.
        countdown: multiply clocks of the job.
        group, words, residual: as of `_last_issue_and_write`.
    """
    groups, beyond = divmod(len(work), group)
    recurrence = Recurrence(work.tolist(), group, residual)
    issue, last = _group_by_group(recurrence, groups, words)
    end = last + DRAIN if groups else 0
    if beyond:
        issue = recurrence.issue(0)  # the last group's outputs: none of them needs room
    if len(work):
        end = max(end, issue + PIPELINE)  # the last output's way through the pipeline
    if left := countdown - int(work.sum()):
        issue += left
        end = max(end, issue + EMPTY)
    return issue, end


def _group_by_group(recurrence: Recurrence, groups: int, words: int) -> tuple[int, int]:
    """Clock of the last issue and of the last output word of so many groups, 0 without any."""
    blocks: deque[int] = deque(maxlen=OUTPUT_FIFO_DEPTH)
    issue = last = 0
    for number in range(groups):
        issue = recurrence.issue(blocks[0] if number >= OUTPUT_FIFO_DEPTH else 0)
        last = max(issue + PIPELINE, last + 1) + words - 1
        blocks.append(last)
    return issue, last
