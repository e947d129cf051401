# SPDX-License-Identifier: Apache-2.0
"""What a block has, for `tb.stream_bench.StreamBench`: streams, memories, registers, by the names of their signals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.tb.layout import Field

__all__ = [
    "AxiLitePort",
    "AxiMemoryPort",
    "AxiPort",
    "BurstPort",
    "MemoryPort",
    "PinPort",
    "Port",
    "axi_stream",
]


@dataclass(frozen=True)
class Port:
    """A stream at signals of the top.

    A name that ends in ``?`` is used only if the top has it; one that begins with ``~`` is active low.

    Attributes:
        data: `Field` of the one tensor, which is called as the port; or tensor name to `Field`.
        valid, ready: the handshake; either may be missing, see `tb.agents.port`.
        last: end of packet.
        keep: a bit for each byte of the first field.
        packet_beats: ``last`` ends every so many beats; 0: every tensor.
        latency: of an output without valid: clocks from an input's beat to the output's.
        follows: the input that `latency` counts from; by default the first one.
        credits: of an output without ready: beats that fit into a buffer behind it. The inputs are held back so that it
            never overflows, and it is emptied with stalls.
        idle: signals of an input that are driven with 0 for ever (``tuser``, ``tid``).
    """

    data: Field | Mapping[str, Field]
    valid: str = ""
    ready: str = ""
    last: str = ""
    keep: str = ""
    packet_beats: int = 0
    latency: int = 0
    follows: str = ""
    credits: int = 0
    idle: tuple[str, ...] = ()

    def fields(self, name: str) -> dict[str, Field]:
        """Tensor name to field."""
        return {name: self.data} if isinstance(self.data, Field) else dict(self.data)


def axi_stream(prefix: str, data: Field | Mapping[str, Field] | None = None, **options: Any) -> Port:
    """The AXI4-Stream port ``<prefix>_tdata`` ...: ``tready``, ``tlast`` and ``tkeep`` are used where they exist.

    Args:
        prefix: without the underscore.
        data: as in `Port`; by default ``tdata`` as one unsigned element.
        options: more of `Port`.
    """
    names: dict[str, Any] = {
        "data": Field(f"{prefix}_tdata") if data is None else data,
        "valid": f"{prefix}_tvalid",
        "ready": f"{prefix}_tready?",
        "last": f"{prefix}_tlast?",
        "keep": f"{prefix}_tkeep?",
        "idle": tuple(f"{prefix}_t{name}?" for name in ("strb", "user", "id", "dest")),
    }
    return Port(**{**names, **options})


@dataclass(frozen=True)
class BurstPort:
    """A stream of a bench top that declares a burst adapter for it (`hdl/burst_ports.svh`): the fast way.

    Attributes:
        data: as in `Port`; here a field's `signal` says nothing.
        widths: bits of every field, the first lowest: of tensors, and of ``keep`` and ``last``.
        packet_beats: as in `Port`.
    """

    data: Field | Mapping[str, Field]
    widths: Mapping[str, int]
    packet_beats: int = 0

    def fields(self, name: str) -> dict[str, Field]:
        """Tensor name to field."""
        return {name: self.data} if isinstance(self.data, Field) else dict(self.data)


@dataclass(frozen=True)
class MemoryPort:
    """A memory that the design reads or writes: the arguments of `MemoryResponder`, signals by name.

    `shares` names a memory before this one that has the same contents: the other port of one with two.
    """

    signals: Mapping[str, str]
    depth: int
    latency: int = 1
    byte_addresses: bool = False
    answers_writes: bool = False
    first: int = 0
    shares: str = ""


@dataclass(frozen=True)
class AxiLitePort:
    """Registers behind AXI4-Lite: see `AxiLite`."""

    prefix: str


@dataclass(frozen=True)
class AxiPort:
    """A subordinate port of AXI4: see `AxiPins`, whose ``write`` and ``read`` take and give bytes."""

    prefix: str


@dataclass(frozen=True)
class AxiMemoryPort:
    """A manager port of AXI4, behind which the bench is a memory of `size` bytes: see `AxiMemory`."""

    prefix: str
    size: int


@dataclass(frozen=True)
class PinPort:
    """Registers or a memory behind plain signals: the arguments of `PinBus`, signals by name."""

    signals: Mapping[str, str]
    latency: int = 1
