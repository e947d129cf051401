# SPDX-License-Identifier: Apache-2.0
"""The stream agent: pyuvm's view of one valid/ready port of a device.

One agent serves registers, memories, data streams and traces alike; the `BeatFormat` and the role differ:

- ``source``: sequencer and driver play `Burst` items into the device; ``ap`` publishes each item handed over.
- ``sink``: the monitor takes what the device sends, with stalls when asked for; ``ap`` publishes `Beats`.
- ``tap``: as a sink, but only watching; the bench top connects valid (and ready) to a passive adapter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from cocotb.handle import SimHandleBase
from pyuvm import (
    uvm_active_passive_enum,
    uvm_agent,
    uvm_analysis_port,
    uvm_driver,
    uvm_monitor,
    uvm_sequence_item,
    uvm_sequencer,
)

from assay.tb.agents.beat_format import BeatFormat
from assay.tb.agents.burst import (
    ALWAYS,
    NEVER,
    Beats,
    BurstDriver,
    BurstMonitor,
    StreamError,
    StreamReset,
    raise_error,
)

__all__ = [
    "ALWAYS",
    "NEVER",
    "BeatFormat",
    "Beats",
    "Burst",
    "StreamAgent",
    "StreamConfig",
    "StreamError",
    "StreamReset",
]

Role = Literal["source", "sink", "tap"]  #: of an agent, see the module


@dataclass
class StreamConfig:
    """What a `StreamAgent` must know, set in the ConfigDB under ``config`` for the agent's path.

    Attributes:
        entity: the bench top.
        name: the stream's name in it.
        clock: its clock.
        format: the payload.
        role: see the module.
        seed: the run's seed, for the stalls.
        clock_ns: clock period.
        timeout_clocks: a source's clocks without an accepted beat before it is reported as stuck.
        on_error: called with every `StreamError`; by default it is raised and ends the test as failed.
    """

    entity: SimHandleBase
    name: str
    clock: SimHandleBase
    format: BeatFormat
    role: Role
    seed: int = 0
    clock_ns: float = 10
    timeout_clocks: int = 20_000
    on_error: Callable[[StreamError], None] = field(default=raise_error)


class Burst(uvm_sequence_item):
    """Beats to be played one after the other; any number, the driver cuts them into adapter bursts.

    Args:
        name: of the item.
        payload: uint8[n, bytes], see `BeatFormat.pack`.

    Attributes:
        dropped: set by the driver when a reset dropped it.
    """

    def __init__(self, name: str, payload: np.ndarray) -> None:
        super().__init__(name)
        self.payload = payload
        self.dropped = False

    @classmethod
    def of(cls, beat_format: BeatFormat, **fields: object) -> Burst:
        """The item of the given fields, as for `BeatFormat.pack`."""
        return cls("burst", beat_format.pack(**fields))

    def __str__(self) -> str:
        return f"{self.get_name()}: {len(self.payload)} beats"


class StreamDriver(uvm_driver):
    """Gives every `Burst` of the sequencer to a `BurstDriver`; ``ap`` publishes it when handed over."""

    def build_phase(self) -> None:
        super().build_phase()
        self.ap = uvm_analysis_port("ap", self)
        config: StreamConfig = self.cdb_get("config")
        self.bus = BurstDriver(
            config.entity,
            config.name,
            config.clock,
            config.format,
            seed=config.seed,
            clock_ns=config.clock_ns,
            timeout_clocks=config.timeout_clocks,
            on_error=config.on_error,
        )

    async def run_phase(self) -> None:
        while True:
            item: Burst = await self.seq_item_port.get_next_item()
            try:
                await self.bus.send(item.payload)
            except StreamReset:
                item.dropped = True
            else:
                self.ap.write(item)
            self.seq_item_port.item_done()


class StreamMonitor(uvm_monitor):
    """Publishes every `Beats` of a `BurstMonitor` on ``ap``."""

    def build_phase(self) -> None:
        super().build_phase()
        self.ap = uvm_analysis_port("ap", self)
        config: StreamConfig = self.cdb_get("config")
        self.bus = BurstMonitor(
            config.entity,
            config.name,
            config.clock,
            config.format,
            seed=config.seed,
            on_error=config.on_error,
            callback=self.ap.write,
        )


class StreamAgent(uvm_agent):
    """One port of the device; needs a `StreamConfig` in the ConfigDB under ``config``.

    Driver and monitor come from the factory: a test may put classes of its own in their place.

    Attributes:
        ap: analysis port, see the module.
        seqr, driver: of a source (it is active: ``is_active`` follows from the role).
        monitor: of a sink or tap.
        bus: the `BurstDriver` or `BurstMonitor` inside, with ``stall``, ``drain``, ``eager`` ...
    """

    def build_phase(self) -> None:
        super().build_phase()
        self.config: StreamConfig = self.cdb_get("config")
        source = self.config.role == "source"
        self.is_active = (
            uvm_active_passive_enum.UVM_PASSIVE
            if self.config.role == "tap"
            else uvm_active_passive_enum.UVM_ACTIVE
        )
        self.seqr = uvm_sequencer("seqr", self) if source else None
        self.driver = StreamDriver.create("driver", self) if source else None
        self.monitor = None if source else StreamMonitor.create("monitor", self)
        # Children read the configuration by their own path.
        for child in (self.driver, self.monitor):
            if child is not None:
                self.cdb_set("config", self.config, child.get_name())

    def connect_phase(self) -> None:
        super().connect_phase()
        if self.driver is not None and self.seqr is not None:
            self.driver.seq_item_port.connect(self.seqr.seq_item_export)

    @property
    def bus(self) -> BurstDriver | BurstMonitor:
        """The cocotb-bus component inside."""
        return self._component.bus

    @property
    def ap(self) -> uvm_analysis_port:
        """Analysis port: `Burst` items of a source, `Beats` of a sink or tap."""
        return self._component.ap

    @property
    def _component(self) -> StreamDriver | StreamMonitor:
        component = self.driver or self.monitor
        assert component is not None  # `build_phase` makes one of them
        return component

    @property
    def format(self) -> BeatFormat:
        """The payload."""
        return self.config.format

    def flush(self) -> None:
        """Drop everything in flight: to be called while the device is in reset."""
        self.bus.flush()
