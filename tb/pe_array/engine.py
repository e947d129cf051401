# SPDX-License-Identifier: Apache-2.0
"""The PE array as a server: plays the tiles that a connected process sends, and answers with what comes out.

Nothing is compared here: whoever asks does that (see `sim.engine`). The environment gives the address in
``ASSAY_ENGINE_ADDRESS`` and the key in ``ASSAY_ENGINE_KEY``. A request is a list of tiles, each (weight packet,
pixel packets, number of output beats); the answer is (output beats of each tile, clocks). None ends the server.
"""

from __future__ import annotations

import os
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, Event, SimTimeoutError, with_timeout

from assay.tb.agents.burst import Beats, BurstDriver, BurstMonitor
from assay.tb.env import CLOCK_NS
from assay.tb.json_file import write_json
from assay.tb.pe_array.env import build_parameters, port_formats
from assay.tb.report import RUN_DIR

Request = list[tuple[np.ndarray, np.ndarray, int]]
Answer = tuple[list[np.ndarray], int]

_HANG_CLOCKS = 2_000_000  #: longer than any row block takes
_STUCK_NEVER = 2_000_000_000  #: the streams' own watch is not needed: `_HANG_CLOCKS` is


class TileServer:
    """Streams of the array and what they carry."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.formats = port_formats(build_parameters())
        self.sources = {
            name: BurstDriver(
                dut, name, dut.clk_i, self.formats[name], clock_ns=CLOCK_NS, timeout_clocks=_STUCK_NEVER
            )
            for name in ("reg_req", "wgt", "pix")
        }
        self.answers = BurstMonitor(
            dut, "reg_rsp", dut.clk_i, self.formats["reg_rsp"], callback=lambda _: None
        )
        self.results = BurstMonitor(dut, "out", dut.clk_i, self.formats["out"], callback=self._came)
        self.came = Event()
        self.beats: list[np.ndarray] = []
        self.count = 0
        self.last_clock = 0

    def _came(self, beats: Beats) -> None:
        self.beats.append(beats.payload)
        self.count += len(beats)
        self.last_clock = int(beats.cycles[-1])
        self.came.set()

    async def reset(self) -> None:
        """Bring the array into its first state."""
        self.dut.rst_ni.value = 0
        await ClockCycles(self.dut.clk_i, 3)
        self.dut.rst_ni.value = 1
        await ClockCycles(self.dut.clk_i, 2)

    async def play(self, request: Request) -> Answer:
        """Send all tiles without a rest and wait for the last output beat."""
        start = int(self.dut.cycle_o.value)
        for weights, pixels, _ in request:
            self.sources["wgt"].enqueue(self._beats("wgt", weights[None]))
            self.sources["pix"].enqueue(self._beats("pix", pixels))
        due = sum(beats for _, _, beats in request)
        while self.count < due:
            # The last beats are not to wait for more; before them each wake should bring many.
            self._be_eager(due - self.count < self.results.capacity)
            self.came.clear()
            try:
                await with_timeout(self.came.wait(), _HANG_CLOCKS * CLOCK_NS, "ns")
            except SimTimeoutError:
                raise RuntimeError(
                    f"no output beat for {_HANG_CLOCKS} clocks, but {due - self.count} of {due} beats are due: "
                    f"the array hangs"
                ) from None
        if self.count > due:
            raise RuntimeError(f"{self.count} output beats came, but the tiles have {due}")
        payload = np.concatenate(self.beats)
        ends = np.cumsum([beats for _, _, beats in request])
        self.beats, self.count = [], 0
        return np.split(payload, ends[:-1]), self.last_clock - start

    def _be_eager(self, on: bool) -> None:
        if on != self.results.eager:
            self.results.eager = on

    def _beats(self, stream: str, packets: np.ndarray) -> np.ndarray:
        """Packets uint8[packets, beats, bytes] as a stream's beats with tlast."""
        last = np.zeros(packets.shape[:2], np.uint8)
        last[:, -1] = 1
        return self.formats[stream].pack(data=packets.reshape(-1, packets.shape[2]), last=last.reshape(-1))


@cocotb.test()
async def serve(dut: Any) -> None:
    """Play what the connected process sends, until it ends the connection."""
    server = TileServer(dut)
    await server.reset()
    write_json(Path(os.environ[RUN_DIR]) / "summary.json", {"serves": True})
    key = bytes.fromhex(os.environ["ASSAY_ENGINE_KEY"])
    with Client(os.environ["ASSAY_ENGINE_ADDRESS"], authkey=key) as host:
        while (request := _received(host)) is not None:
            host.send(await server.play(request))


def _received(host: Connection) -> Request | None:
    try:
        return host.recv()
    except EOFError:
        return None
