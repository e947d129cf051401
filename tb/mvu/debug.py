# SPDX-License-Identifier: Apache-2.0
"""The MVU's data path for who explains a failure: the stages that ``mvu_probes.sv`` shows, and a job's values there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from assay.golden.mvu.parameters import MAX_PRECISION, POST_WIDTH, SCALER_WIDTH, MvuParameters
from assay.tb.debug import Axis, JobRecord, Stage, UnitRecord, still_inside

if TYPE_CHECKING:
    from assay.tb.mvu.env import Expectation, OutputScoreboard

__all__ = ["job_record", "stages", "unit_record"]

READ = (
    "the memory holds another word than was to be written there: look at who wrote it (an earlier job, the host, the "
    "crossbar), or at the memory"
)
RESIDUAL_WIDTH = 17 + SCALER_WIDTH


def stages(params: MvuParameters) -> list[Stage]:
    """The stages along a unit's data path."""
    lanes, post = params.lanes, "mvu_post"
    return [
        Stage("input_address", "address read", "mvu_sequencer", "", 1, 16, words=True),
        Stage("weight_address", "weights' address", "mvu_sequencer", "", 1, 16, words=True),
        Stage(
            "input_word",
            "word read (a bit plane)",
            "mvu",
            "",
            lanes,
            1,
            words=True,
            blame=READ,
            beside="input_address",
        ),
        Stage("accumulator", "accumulator", "mvu_mac", "acc_q", lanes, params.acc_width),
        Stage("scaled", "accumulator x scaler", post, "scaled_q", lanes, params.acc_width + SCALER_WIDTH),
        Stage("biased", "with bias", post, "biased_q", lanes, POST_WIDTH),
        Stage("residual", "residual x its scaler", post, "residual_q", lanes, RESIDUAL_WIDTH),
        Stage("sum", "with residual and ReLU", post, "sum_q", lanes, POST_WIDTH),
        Stage("pooled", "maximum of the pool group", post, "pooled_q", lanes, POST_WIDTH),
        Stage("quantised", "quantised", post, "block_q", lanes, MAX_PRECISION, words=True),
        Stage(
            "word", "word written (a bit plane)", "mvu_serialiser", "", lanes, 1, words=True, beside="address"
        ),
        Stage("address", "its address", "mvu_serialiser", "", 1, 16, words=True),
    ]


def job_record(first: int, job: Expectation, params: MvuParameters) -> JobRecord:
    """What the golden MVU computes in a job that it has run with `keep_stages`, whose first word is beat `first`."""
    lanes, result, bits = params.lanes, job.result, job.bits
    values = {"accumulator": result.accumulators, **result.stages}
    ends = np.cumsum(values.pop("clocks"))[job.outputs - 1 :: job.outputs]
    values["quantised"] = result.values & ((1 << bits) - 1)
    values["word"] = result.data
    values["address"] = np.asarray(result.address).reshape(-1, 1)
    each = dict.fromkeys(("accumulator", "scaled", "biased", "residual", "sum"), job.outputs)
    each |= {"pooled": 1, "quantised": 1, "word": bits, "address": bits}
    axes = job.axes or [Axis("output", len(result.values))]
    lane_axes = [Axis("channel" if job.axes else "lane", lanes)]
    # The register holds more bits than an output; the serialiser never reads them.
    low_bits = {"quantised": bits}
    reads = dict.fromkeys(("input_address", "weight_address", "input_word"), ends)
    two = {probe: np.asarray(array).reshape(len(array), -1) for probe, array in values.items()}
    return JobRecord(job.task.name, first, two, each, axes, lane_axes, low_bits=low_bits, ends=reads)


def unit_record(
    board: OutputScoreboard, params: MvuParameters, scope: str = "dut.u_probes", title: str = ""
) -> UnitRecord:
    """The record of the unit whose written words `board` compares."""
    board.conclude()  # what is expected later is asked for
    jobs = [job_record(first, job, params) for first, job in still_inside(board.jobs, board.beats_compared)]
    return UnitRecord(scope, title, "quantised", board.name, "word", stages(params), jobs)
