# SPDX-License-Identifier: Apache-2.0
"""The record of a clock, as the bench top packs it: all that passes at the boundaries of the host's side."""

from __future__ import annotations

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.tb.agents.axi import channel_formats
from assay.tb.agents.beat_format import BeatFormat
from assay.tb.controller.ports import BUS_REQUEST, BUS_RESPONSE

__all__ = ["record_format"]

_REQUEST = (("wdata", 32), ("addr", 8), ("write", 1), ("pass", 1))


def record_format(params: AcceleratorParameters) -> BeatFormat:
    """Fields of a record.

    Each group has a bit ``<group>.pass``: something passes, and the group's other fields are valid. Groups are the AXI
    channels, ``sys`` (accesses of the system registers), ``hart`` and ``back`` (the harts' bus), ``ctl`` and
    ``ctl_back`` (the controller's host port), and of MVU m ``reg<m>``, ``reg_back<m>``, ``mem<m>``, ``mem_back<m>`` and
    ``prm<m>``, the beat of which is in ``prm``.
    """
    lanes = params.mvu.lanes
    fields: list[tuple[str, int]] = []

    def group(name: str, *members: tuple[str, int]) -> None:
        fields.extend((f"{name}.{member}", width) for member, width in members)

    for name, payload in channel_formats().items():
        if name != "r":  # `channel_formats` has ar before r, as the record does
            group(name, *payload.fields.items(), ("pass", 1))
    group("r", *channel_formats()["r"].fields.items(), ("pass", 1))
    group("sys", ("wdata", 32), ("addr", 8), ("host", 1), ("write", 1), ("pass", 1))
    for m in range(params.mvus):
        group(f"reg{m}", *_REQUEST)
        group(f"reg_back{m}", ("rdata", 32), ("pass", 1))
        group(f"mem{m}", ("wdata", lanes), ("addr", 16), ("write", 1), ("pass", 1))
        group(f"mem_back{m}", ("rdata", lanes), ("pass", 1))
        group(f"prm{m}", ("pass", 1))
        group(f"held{m}", ("pass", 1))
    group("prm", ("data", max(lanes, 32)), ("lane", 8), ("word", 16), ("select", 2))
    group("ctl", ("wdata", 32), ("addr", 32), ("write", 1), ("pass", 1))
    group("ctl_back", ("rdata", 32), ("error", 1), ("pass", 1))
    group("hart", *BUS_REQUEST.fields.items(), ("pass", 1))
    group("back", *BUS_RESPONSE.fields.items(), ("pass", 1))
    group("b_rises", ("pass", 1))
    group("start", ("pass", 1))
    group("irq", ("level", 1))
    return BeatFormat(fields)
