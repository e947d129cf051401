# SPDX-License-Identifier: Apache-2.0
"""What the accelerator's host port is doing: the variables that say so."""

from __future__ import annotations

from assay.tb.agents.inside import State

__all__ = ["HOST_STATES", "INSPECT", "READ_STATES", "WRITE_STATES"]

WRITE_STATES = ("StIdle", "StOpen", "StData", "StDrain", "StResp")  #: of accelerator_axi_write
READ_STATES = ("StIdle", "StOpen", "StData", "StEnd")  #: of accelerator_axi_read

HOST_STATES = (
    State("u_write.state_q", "accelerator_axi_write is in", WRITE_STATES),
    State("u_write.left_q", "beats of the burst behind this one"),
    State("u_read.state_q", "accelerator_axi_read is in", READ_STATES),
    State("u_read.left_q", "beats of the burst behind this one"),
    State("u_transposer.pending_q", "accelerator_transposer: start pending"),
    State("u_transposer.writing_q", "writing"),
    State("u_transposer.reading_q", "reading"),
    State("u_transposer.full_q", "buffers full (mask)"),
)

INSPECT = {
    "accelerator_axi_write": ("state_q", "left_q"),
    "accelerator_axi_read": ("state_q", "left_q"),
    "accelerator_transposer": ("pending_q", "writing_q", "reading_q", "full_q"),
}
"""What a bench reads inside of the host port after a failure."""
