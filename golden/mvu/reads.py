# SPDX-License-Identifier: Apache-2.0
"""The words that an output of a job is made of: where to look when the output is wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from assay.golden.mvu.agu import addresses
from assay.golden.mvu.functional import Configuration, GivenRegisters, read_addresses
from assay.golden.mvu.parameters import CHANNEL_LOOPS, RESIDUAL_LOOPS, MvuParameters

__all__ = ["Reads", "reads"]


class Reads(NamedTuple):
    """The words that an output value is made of, as addresses in their memories, int64 `[n]`, in order of reading.

    Attributes:
        input, residual: in the data memory; no residual: empty.
        weights: in the weight memory.
        scaler, bias: entries; empty where the memory is not read.
    """

    input: np.ndarray
    residual: np.ndarray
    weights: np.ndarray
    scaler: np.ndarray
    bias: np.ndarray


def reads(registers: GivenRegisters, groups: int | range, params: MvuParameters) -> Reads:
    """What a legal job reads for some of its outputs.

    Args:
        registers: register name to fields, see `Configuration`.
        groups: a pool group of the job (an output, where nothing is pooled), or several that follow one another.
        params: of the MVU.

    Raises:
        IndexError: the job has no such group.
    """
    config = Configuration.of(registers)
    clocks = config.complete_outputs()
    span = groups if isinstance(groups, range) else range(groups, groups + 1)
    outputs = range(span.start * config.group_outputs, span.stop * config.group_outputs)
    if span.start < 0 or outputs.stop > len(clocks):
        raise IndexError(f"groups {span}, but the job has {len(clocks) // config.group_outputs}")
    inputs, weights = read_addresses(config, clocks[: outputs.stop], params)
    before = int(clocks[: outputs.start].sum())
    config1, none = config.fields["mvuconfig1"], np.empty(0, np.int64)
    residual = none
    if config1["residual"]:
        bits = config.format("residual").bits
        residual = addresses(config.program("r", RESIDUAL_LOOPS), outputs.stop * bits, params.data_depth)
        residual = residual[outputs.start * bits :]
    entries = {
        letter: addresses(config.program(letter, CHANNEL_LOOPS), span.stop, params.channel_depth)[
            span.start :
        ]
        for letter in "sb"
    }
    return Reads(
        inputs[before:],
        residual,
        weights[before:],
        entries["s"] if config1["scaler_memory"] else none,
        entries["b"] if config1["bias_memory"] else none,
    )
