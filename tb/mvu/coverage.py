# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the MVU's bench: what kinds of jobs ran, and what met at the data memory."""

from __future__ import annotations

import numpy as np

from assay.golden.mvu.functional import CAUSE_BIT, Configuration, GivenRegisters
from assay.golden.mvu.parameters import LOOPS, MAX_PRECISION
from assay.golden.mvu.registers import ERROR_CAUSES
from assay.tb.coverage import CoverGroup, CoverPoint

_BITS = range(1, MAX_PRECISION + 1)
_SIGN = {"unsigned": 0, "signed": 1}
_OFF_ON = {"off": 0, "on": 1}
_STEPS = {"1": 1, "2": 2, "more": range(3, 256)}
_STRIDES = {"to 127": range(1, 128), "128 and more": range(128, 256)}
_LENGTHS = {
    "to 255": range(1, 256),
    "256 to 1023": range(256, 1024),
    "1024 and more": range(1024, 1 << 16),
}


#: Steps of a long loop: more than half of what its counter holds.
LONG = 1 << 15

#: Powers of two at which a count of the clocks that are left, if it is too narrow, takes an output's end for the last.
WRAPS = range(6, 17)

#: Outputs of a job with one in every clock: more than the FIFOs hold.
FAST = 20


def before_wrap(config: Configuration, power: int) -> list[int]:
    """Countdowns of a padded job, no longer than its own, that end 2**power multiply clocks after an output that a
    window with other skips follows."""
    windows = config.windows
    ends = np.cumsum(windows.clocks)
    skipped = np.stack(
        [windows.rows_before, windows.rows_after, windows.columns_before, windows.columns_after]
    )
    changes = (np.diff(skipped) != 0).any(axis=0)
    found = ends[:-1][changes] + (1 << power)
    return [int(countdown) for countdown in found if countdown <= config.countdown]


class MvuCoverage:
    """Cover groups of one run.

    Attributes:
        jobs: configurations of legal jobs.
        windows: kernel, padding and stride of legal padded jobs.
        loops: loops of legal jobs without padding that take more steps than 15 bits count, by address generator.
        lengths: sizes and strides of the maps of legal padded jobs.
        errors: causes of refused or cut jobs.
        cuts: where the countdown of a cut job ends.
        extents: large loops of padded jobs, whose windows after them begin anew.
        wraps: powers of two of clocks that are left when an output of a padded job ends and another window follows.
        fast: jobs with an output in every clock: their residual and their pool groups.
        status_writes: what the unit does when mvustatus is written behind a command.
        clears: clocks from a job's end to a write that clears mvustatus.
        late_reads: whether the host waited to read beside a job whose residual values are late.
        collisions: which requesters had to wait at the data memory or the crossbar output.
    """

    def __init__(self) -> None:
        self.jobs = CoverGroup(
            "mvu_jobs",
            [
                CoverPoint("weight_bits", _BITS),
                CoverPoint("input_bits", _BITS),
                CoverPoint("output_bits", _BITS),
                CoverPoint("weight_sign", _SIGN),
                CoverPoint("input_sign", _SIGN),
                CoverPoint("output_sign", _SIGN),
                CoverPoint("multiply_mode", {"{0,0}": 0, "{0,+1}": 1, "{-1,+1}": 2, "{0,-1}": 3}),
                CoverPoint("round_half_up", _OFF_ON),
                CoverPoint("saturate", _OFF_ON),
                CoverPoint("relu", _OFF_ON),
                CoverPoint("max_pool", _OFF_ON),
                CoverPoint("residual", _OFF_ON),
                CoverPoint("padding", _OFF_ON),
                CoverPoint("destination", {"own memory": 0, "one MVU": 1, "several MVUs": range(2, 9)}),
                CoverPoint("overlap", _OFF_ON),
                CoverPoint("clocks", {"1": 1, "2 to 99": range(2, 100), "100 and more": range(100, 1 << 20)}),
            ],
            crosses=[
                ("weight_bits", "input_bits"),
                ("weight_sign", "input_sign", "multiply_mode"),
                ("round_half_up", "saturate", "output_sign"),
                ("max_pool", "residual", "padding", "relu"),
            ],
        )
        self.windows = CoverGroup(
            "mvu_windows",
            [
                CoverPoint("kernel_height", range(1, 6)),
                CoverPoint("kernel_width", range(1, 6)),
                CoverPoint("stride_y", _STEPS),
                CoverPoint("stride_x", _STEPS),
                CoverPoint("pad_top", range(5)),
                CoverPoint("pad_left", range(5)),
            ],
            crosses=[("stride_y", "stride_x")],
        )
        self.lengths = CoverGroup(
            "mvu_lengths",
            [
                CoverPoint("map_height", _LENGTHS),
                CoverPoint("map_width", _LENGTHS),
                CoverPoint("output_columns", _LENGTHS),
                CoverPoint("stride_y", _STRIDES),
                CoverPoint("stride_x", _STRIDES),
                CoverPoint("input_blocks", {"to 255": range(1, 256), "256 and more": range(256, 4096)}),
            ],
        )
        self.loops = CoverGroup(
            "mvu_loops",
            [
                CoverPoint(
                    "loop", [f"{letter}{k}" for letter, loops in LOOPS.items() for k in range(1, loops)]
                )
            ],
        )
        self.errors = CoverGroup(
            "mvu_errors",
            [CoverPoint("cause", {name: bit for bit, (name, _) in enumerate(ERROR_CAUSES)})],
        )
        self.cuts = CoverGroup("mvu_cuts", [CoverPoint("ends", ("inside an output", "inside a pool group"))])
        self.extents = CoverGroup(
            "mvu_extents",
            [
                CoverPoint("pool_rows", {"to 8": range(1, 9), "9 and more": range(9, 1 << 16)}),
                CoverPoint("pool_columns", {"to 8": range(1, 9), "9 and more": range(9, 1 << 16)}),
                CoverPoint(
                    "skipped_blocks",
                    {"none": 0, "to 1023": range(1, 1024), "1024 and more": range(1024, 1 << 12)},
                ),
            ],
        )
        self.wraps = CoverGroup("mvu_wraps", [CoverPoint("power", WRAPS)])
        self.fast = CoverGroup(
            "mvu_fast",
            [
                CoverPoint("residual", {"none": 0, "1 bit": 1, "more bits": range(2, 17)}),
                CoverPoint("group", {"no pool": 0, "1 output": 1, "more outputs": range(2, 1 << 16)}),
                CoverPoint("ends", {"whole": 0, "inside a pool group": 1}),
            ],
            crosses=[("residual", "group")],
        )
        self.status_writes = CoverGroup(
            "mvu_status_writes", [CoverPoint("unit", {"takes the job": 0, "runs another": 1})]
        )
        self.clears = CoverGroup(
            "mvu_clears",
            [
                CoverPoint(
                    "offset", {"earlier": -2, "1 before": -1, "same clock": 0, "1 after": 1, "later": 2}
                )
            ],
        )
        self.late_reads = CoverGroup("mvu_late_reads", [CoverPoint("waited", ("host_read",))])
        self.collisions = CoverGroup(
            "mvu_collisions",
            [
                CoverPoint(
                    "waited",
                    (
                        "input",
                        "residual",
                        "host_read",
                        "output",
                        "crossbar",
                        "host_write",
                        "crossbar_out",
                    ),
                )
            ],
        )

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """All groups."""
        return (
            self.jobs,
            self.windows,
            self.lengths,
            self.loops,
            self.errors,
            self.cuts,
            self.extents,
            self.wraps,
            self.fast,
            self.status_writes,
            self.clears,
            self.collisions,
            self.late_reads,
        )

    def sample_job(self, registers: GivenRegisters, causes: int, overlap: bool) -> None:
        """Count a job by its configuration; `causes` as the golden MVU gives them."""
        for bit in range(len(ERROR_CAUSES)):
            if causes >> bit & 1:
                self.errors.sample(cause=bit)
        job = Configuration.of(registers)
        if not causes & ~(1 << CAUSE_BIT["countdown"]) and job.countdown:
            self._sample_course(job, causes != 0)
        if causes:
            return
        fields = job.fields
        precision, config = fields["mvuprecision"], fields["mvuconfig1"]
        command, quant = fields["mvucommand"], fields["mvuquant"]
        self.jobs.sample(
            weight_bits=precision["weight"],
            input_bits=precision["input"],
            output_bits=precision["output"],
            weight_sign=precision["weight_signed"],
            input_sign=precision["input_signed"],
            output_sign=precision["output_signed"],
            multiply_mode=command["multiply_mode"],
            round_half_up=quant["round_half_up"],
            saturate=quant["saturate"],
            relu=config["relu"],
            max_pool=command["max_pool"],
            residual=config["residual"],
            padding=config["padding"],
            destination=fields["mvuobaseptr"]["dest"].bit_count(),
            overlap=int(overlap),
            clocks=min(command["countdown"], (1 << 20) - 1),
        )
        kernel, stride = fields["mvukernel"], fields["mvustride"]
        if config["padding"] and max(kernel["height"], kernel["width"]) <= 5:
            self.windows.sample(
                kernel_height=kernel["height"],
                kernel_width=kernel["width"],
                stride_y=stride["y"],
                stride_x=stride["x"],
                pad_top=kernel["pad_top"],
                pad_left=kernel["pad_left"],
            )

        if not config["padding"]:
            self._sample_loops(job)
        if config["padding"]:
            self.lengths.sample(
                map_height=fields["mvuishape"]["height"],
                map_width=fields["mvuishape"]["width"],
                output_columns=fields["mvuilength1"]["value"] + 1,
                stride_y=stride["y"],
                stride_x=stride["x"],
                input_blocks=kernel["blocks"],
            )

    def _sample_loops(self, config: Configuration) -> None:
        """Count the long loops of a job that come to their ends: those of channels and outputs step with an output."""
        outputs = len(config.complete_outputs())
        for letter, loops in LOOPS.items():
            steps = config.countdown if letter in "wi" else outputs
            for k in range(1, loops):
                if LONG <= config.fields[f"mvu{letter}length{k}"]["value"] < steps:
                    self.loops.sample(loop=f"{letter}{k}")

    def _sample_course(self, config: Configuration, cut: bool) -> None:
        """Count a job that runs, to its end or until its countdown ends before a pool group is complete."""
        work = config.ended_outputs()
        whole = int(work.sum()) == config.countdown
        if cut:
            self.cuts.sample(ends="inside a pool group" if whole else "inside an output")
        if config.padding:
            self._sample_windows(config)
        elif config.output_clocks == 1 and len(work) >= FAST:
            fields = config.fields
            self.fast.sample(
                residual=config.format("residual").bits if fields["mvuconfig1"]["residual"] else 0,
                group=config.group_outputs if fields["mvucommand"]["max_pool"] else 0,
                ends=int(cut),
            )

    def _sample_windows(self, config: Configuration) -> None:
        """Count the windows of a padded job."""
        windows, fields = config.windows, config.fields
        rows, columns = (fields[f"mvuwlength{k}"]["value"] + 1 for k in (3, 4))
        count = len(windows.clocks)
        skips = (windows.columns_before + windows.columns_after).any()
        self.extents.sample(
            pool_columns=columns if count > columns else 1,
            pool_rows=rows if count > columns * rows else 1,
            skipped_blocks=fields["mvukernel"]["blocks"] if skips else 0,
        )
        for power in WRAPS:
            if config.countdown in before_wrap(config, power):
                self.wraps.sample(power=power)

    def sample_status_writes(self, count: int, waits: bool) -> None:
        """Count writes to mvustatus right behind a command; whether the job waits for another one."""
        if count:
            self.status_writes.sample(unit=int(waits))

    def sample_waits(self, waits: dict[str, int], late: bool) -> None:
        """Count requesters that waited during a job; whether its outputs waited for residual values, and so asked for
        no inputs."""
        for name, clocks in waits.items():
            if clocks:
                self.collisions.sample(waited=name)
        if late and waits["host_read"]:
            self.late_reads.sample(waited="host_read")
