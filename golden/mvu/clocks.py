"""How many clocks a job takes on the MVU, from the recurrence in `docs/mvu.md`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from golden.mvu.functional import Configuration, Registers, check_configuration
from golden.mvu.jobs import countdown
from golden.mvu.parameters import OUTPUT_FIFO_DEPTH
from golden.network import Layer

__all__ = ["DRAIN", "FILL", "PIPELINE", "JobClocks", "job_clocks", "layer_bound"]

#: Clocks from the issue of an output's last step to its first word on the output port.
PIPELINE = 9
#: Clocks from the start of ``busy`` to the first issue.
FILL = 5
#: Clocks from the last word on the output port to the end of ``busy``.
DRAIN = 1


@dataclass(frozen=True)
class JobClocks:
    """Clocks of one job.

    Attributes:
        multiply: clocks in which a step is issued, the countdown.
        issue: from the first issue to the last.
        total: clocks of ``busy``.
        stalls: issue - multiply, clocks spent waiting for room in the output FIFO.
    """

    multiply: int
    issue: int
    total: int
    stalls: int


def job_clocks(registers: Registers) -> JobClocks:
    """Clocks of a job that meets no other traffic at the data memory and no back-pressure at the crossbar.

    Args:
        registers: register name to fields, a legal configuration.

    Raises:
        ConfigurationError: an illegal configuration.
    """
    check_configuration(registers)
    config = Configuration(registers)
    # Only the last output of a pool group enters the FIFO and can wait for room in it.
    work = config.complete_outputs().reshape(-1, config.group_outputs).sum(axis=1)
    issue, written = _last_issue_and_write(work, config.format("output").bits)
    return JobClocks(config.countdown, issue, FILL + written + DRAIN, issue - config.countdown)


def layer_bound(layer: Layer, size: tuple[int, int], lanes: int = 64) -> int:
    """Fewest clocks one MVU can spend on a layer: one for each output, tile on the map and pair of planes.

    Args:
        layer: to run.
        size: (H, W) of its input map.
        lanes: of the MVU.
    """
    return countdown(layer, size, lanes)


def _last_issue_and_write(work: np.ndarray, words: int) -> tuple[int, int]:
    """Clock of the last issue and of the last output word, for groups of `work` multiply clocks and `words` words."""
    issue = np.cumsum(work)
    # As if nothing stalled: s_g - words*g is the running maximum of t_g + PIPELINE - words*g.
    busy = words * np.arange(len(work))
    first_word = np.maximum.accumulate(issue + PIPELINE - busy) + busy
    if (issue[OUTPUT_FIFO_DEPTH:] >= first_word[:-OUTPUT_FIFO_DEPTH] + words).all():
        return int(issue[-1]), int(first_word[-1]) + words - 1
    # From the first stall on, each group depends on the one before and on the one that leaves the FIFO.
    queue: deque[int] = deque(maxlen=OUTPUT_FIFO_DEPTH)
    t, s = 0, -words
    for clocks in work.tolist():
        t += clocks
        if len(queue) == OUTPUT_FIFO_DEPTH:
            t = max(t, queue[0] + words)
        s = max(t + PIPELINE, s + words)
        queue.append(s)
    return t, s + words - 1
