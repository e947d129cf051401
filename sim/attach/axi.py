# SPDX-License-Identifier: Apache-2.0
"""Recognise AXI4 and AXI4-Lite ports. AXI4-Stream is a stream: see :mod:`sim.attach.streams`."""

from __future__ import annotations

from collections.abc import Sequence

from assay.sim.attach.interfaces import Axi, Doubt, Signal
from assay.sim.attach.names import identifier
from assay.sim.attach.pool import Pool

_ADDRESS = "valid ready addr len size burst lock cache prot qos region user id atop"
CHANNELS = {
    "aw": tuple(_ADDRESS.split()),
    "w": ("valid", "ready", "data", "strb", "last", "user", "id"),
    "b": ("valid", "ready", "resp", "user", "id"),
    "ar": tuple(_ADDRESS.split()),
    "r": ("valid", "ready", "data", "resp", "last", "user", "id"),
}
WRITE = ("awvalid", "awready", "awaddr", "wvalid", "wready", "wdata", "bvalid", "bready")
READ = ("arvalid", "arready", "araddr", "rvalid", "rready", "rdata")

# A structure for each way (`axi_req_i.aw.addr`, `axi_rsp_o.aw_ready`) is one port all the same.
_WAYS = {"req", "rsp", "resp", "request", "response"}


def recognise_axi(pool: Pool) -> tuple[list[Axi], list[Doubt]]:
    """Take every AXI port out of the pool.

    A port is AXI if its names end in those of the channels' signals, after one common prefix, and the channels of
    writes or of reads are complete.
    """
    groups: dict[tuple[str, ...], dict[str, Signal]] = {}
    for signal in pool:
        place = _channel(signal.words)
        if place:
            prefix, name = place
            groups.setdefault(prefix, {}).setdefault(name, signal)
    found, doubts = [], []
    for prefix, channels in groups.items():
        writes, reads = (all(name in channels for name in half) for half in (WRITE, READ))
        if not (writes or reads):
            missing = _nearly(channels)
            if missing:
                first = next(iter(channels.values()))
                doubts.append(
                    Doubt(
                        first,
                        f"looks like an AXI port without {', '.join(missing)}",
                        "name its signals as streams or as a memory",
                    )
                )
            continue
        pool.take_all(channels.values())
        valid = channels["awvalid" if writes else "arvalid"]
        if valid.direction == "input" and "awlen" in channels and "awid" not in channels:
            doubts.append(
                Doubt(
                    channels["awlen"],
                    "belongs to an AXI4 port without IDs, which the bench's manager needs",
                    "attach to a wrapper module that has them",
                    fatal=True,
                )
            )
        found.append(
            Axi(
                name=identifier(prefix, "axi"),
                lite="awlen" not in channels and "arlen" not in channels,
                device_is_manager=valid.direction == "output",
                channels=channels,
            )
        )
    return found, doubts


def _channel(words: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """Prefix and AXI name of a signal whose words hold a channel followed by one of its signals."""
    # `resp` after a channel is the channel's signal.
    words = [w for at, w in enumerate(words) if w not in _WAYS or (at and words[at - 1] in CHANNELS)]
    for at in range(len(words) - 2, -1, -1):
        if words[at + 1] in CHANNELS.get(words[at], ()):
            return (*words[:at], *words[at + 2 :]), words[at] + words[at + 1]
    return None


def _nearly(channels: dict[str, Signal]) -> list[str]:
    """What is missing of a port that has at least an address channel's valid and address."""
    for half, address in ((WRITE, "aw"), (READ, "ar")):
        if f"{address}valid" in channels and f"{address}addr" in channels:
            return [name for name in half if name not in channels]
    return []
