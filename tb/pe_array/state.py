# SPDX-License-Identifier: Apache-2.0
"""What the PE array is doing: the variables that say so."""

from __future__ import annotations

from assay.tb.agents.inside import Inside, State

__all__ = ["INSPECT", "STATES", "WEIGHT_STATES", "waits_now"]

WEIGHT_STATES = (
    "StHeader",
    "StColumns",
    "StEntries",
    "StTable",
    "StWeights",
    "StSkip",
)  #: of pe_array_weights

STATES = (
    State("u_weights.state_q", "takes weight packets, is in", WEIGHT_STATES),
    State("u_weights.beat_q", "beat"),
    State("u_weights.entry_q", "entry"),
    State("u_weights.loaded_q", "banks loaded (mask)"),
    State("done_q", "banks done (mask)"),
    State("u_pixels.rx_image_q", "takes pixel packets, image"),
    State("u_pixels.rx_block_q", "row block"),
    State("u_pixels.rx_column_q", "column"),
    State("u_pixels.rx_channel_q", "channel"),
    State("u_sequencer.output_column_q", "sums for output column"),
    State("u_sequencer.kernel_row_q", "kernel row"),
    State("u_sequencer.wait_q", "steps to the next completed column"),
    State("u_drain.valid_q", "holds sums that have not been put out"),
    State("u_drain.group_q", "group of entries"),
)

INSPECT = {
    "pe_array": ("done_q",),
    "pe_array_weights": ("state_q", "beat_q", "entry_q", "loaded_q"),
    "pe_array_pixels": ("rx_image_q", "rx_block_q", "rx_column_q", "rx_channel_q"),
    "pe_array_sequencer": ("output_column_q", "kernel_row_q", "wait_q"),
    "pe_array_drain": ("valid_q", "group_q"),
}
"""What a bench reads inside of the array after a failure."""


def waits_now(inside: Inside, path: str) -> str:
    """For what the array waits in this clock; empty where it goes on, or has no tile (`Block.waits`)."""
    why = {
        "starved": "pixels are missing (pix)",
        "blocked": "its results are not taken: a completed column waits for the output stage, or that for out",
    }
    return "; ".join(text for name, text in why.items() if inside.value(f"{path}.{name}"))
