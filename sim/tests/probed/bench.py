# SPDX-License-Identifier: Apache-2.0
"""The bench of `probed.sv`: one tensor after the other, and what its two stages must hold."""

from typing import ClassVar

import numpy as np

from assay.tb.debug import ACTIVE, Axis, JobRecord, Stage, UnitRecord
from assay.tb.layout import Field
from assay.tb.stream_bench import StreamBench, axi_stream

SHAPE = (3, 4, 6)  # rows, columns, channels: three beats for each place


class Probed(StreamBench):
    """Rows, columns and channels, two channels a beat."""

    toplevel = "probed"
    inputs: ClassVar = {"x": axi_stream("x", Field("x_tdata", bits=8, signed=True))}
    outputs: ClassVar = {"y": axi_stream("y", Field("y_tdata", bits=8, signed=True))}

    def end_of_elaboration_phase(self) -> None:
        super().end_of_elaboration_phase()
        self.played: list[np.ndarray] = []
        if ACTIVE:
            self.report.debug.units.append(self.unit)

    def golden(self, x: np.ndarray) -> np.ndarray:
        self.played.append(x)
        return np.clip(3 * x + 5, -128, 127)

    def unit(self) -> UnitRecord:
        stages = [
            Stage("product", "three times the input", "scaler", "product_q", 2, 12),
            Stage("clamped", "clamped sum", "scaler", "y_tdata", 2, 8),
        ]
        x = np.concatenate(self.played).reshape(-1, 2)
        axes = [Axis("row", len(self.played) * SHAPE[0]), Axis("column", SHAPE[1]), Axis("channel", 3, 2)]
        values = {"product": 3 * x, "clamped": np.clip(3 * x + 5, -128, 127)}
        job = JobRecord("all plays", 0, values, {}, axes, [Axis("channel", 2)])
        return UnitRecord("dut.u_probes", "", "clamped", "y", "clamped", stages, [job])


@Probed.test
async def tensors(self: Probed) -> None:
    """Four tensors, the last two with large values."""
    for bound in (9, 9, 127, 127):
        await self.play(x=self.random("x", SHAPE, -bound, bound))
    await self.drain()
