# SPDX-License-Identifier: Apache-2.0
"""Functional coverage of the host's side: bursts of all kinds on all windows, what meets, and starts of the stream."""

from __future__ import annotations

from collections.abc import Sequence

from assay.golden.accelerator.host_port import Burst, find_window
from assay.golden.accelerator.registers import RESPONSES, SYSTEM_UNIT, WINDOWS
from assay.golden.accelerator.transposer import TransposerStream
from assay.tb.coverage import CoverGroup, CoverPoint

_SIDES = ("write", "read")
_WINDOWS = (*(window.name for window in WINDOWS), "nowhere")
_BURSTS = ("FIXED", "INCR", "WRAP", "reserved")
_LENGTHS = {
    "1": 1,
    "2 to 15": range(2, 16),
    "16": 16,
    "17 to 255": range(17, 256),
    "256": 256,
}
#: What both directions can be at in the same clocks.
_SHARED = ("registers", "controller", "data", "transposer", "other")
_REFUSED = {"nothing": 0, "some beats": 1, "all beats": 2}


class HostCoverage:
    """Cover groups of one run.

    Attributes:
        bursts: that have ended.
        words: beats of the controller's words of which one or both were wrong, and nothing else of their burst.
        waits: beats of R with at least so many behind them as the port has room for: clocks since the one before.
        strobed: beats of W that were taken.
        ends: of write bursts: WLAST with the beat that the length gives, before it, or missing there.
        order: beats of W with their address before them, or not.
        meetings: bursts of both directions that were under way together.
        streams: bursts of the transposer that opened.
        starts: of the transposer.
        loads: bursts of weights, scalers or biases: whether a hart changed load_mvus meanwhile.
        accesses: of registers.
        queue: accesses of the system registers that waited for others.
    """

    def __init__(self) -> None:
        self.bursts = CoverGroup(
            "port_bursts",
            [
                CoverPoint("direction", _SIDES),
                CoverPoint("window", _WINDOWS),
                CoverPoint("burst", _BURSTS),
                CoverPoint("bytes", {"1": 0, "2": 1, "4": 2, "8": 3, "16 and more": range(4, 8)}),
                CoverPoint("length", _LENGTHS),
                CoverPoint("address", ("aligned", "unaligned")),
                CoverPoint("refused", _REFUSED),
                CoverPoint("response", dict(RESPONSES)),
                CoverPoint("errors", ("one kind", "several kinds")),
                CoverPoint("leaves", ("stays in its window", "leaves it", "enters one")),
            ],
            crosses=[
                ("direction", "window"),
                ("direction", "burst"),
                ("direction", "bytes"),
                ("direction", "length"),
                ("direction", "address"),
                ("direction", "errors"),
                ("direction", "bytes", "leaves"),
            ],
            impossible=lambda labels: (
                labels.get("leaves") == "enters one" and labels.get("bytes", "4") not in ("4", "8")
            ),
        )
        self.words = CoverGroup(
            "port_words",
            [CoverPoint("direction", _SIDES), CoverPoint("wrong", ("both", "lower", "upper"))],
            crosses=[("direction", "wrong")],
        )
        self.waits = CoverGroup(
            "port_waits",
            [
                CoverPoint("source", (*_SHARED[:4], "refused")),
                CoverPoint("clocks", {"fewer than 64": range(64), "64 and more": range(64, 1 << 16)}),
            ],
            crosses=[("source", "clocks")],
        )
        self.strobed = CoverGroup(
            "port_strobes",
            [
                CoverPoint("strobes", ("whole beat", "upper word", "lower word", "none", "part of a word")),
                CoverPoint("taken", ("taken", "refused")),
            ],
            crosses=[("strobes", "taken")],
            impossible=lambda labels: labels == {"strobes": "part of a word", "taken": "taken"},
        )
        self.ends = CoverGroup("port_wlast", [CoverPoint("wlast", ("in time", "early", "late"))])
        self.order = CoverGroup("port_order", [CoverPoint("first", ("address", "data"))])
        self.meetings = CoverGroup(
            "port_meetings",
            [CoverPoint("write", _SHARED), CoverPoint("read", _SHARED)],
            crosses=[("write", "read")],
        )
        self.streams = CoverGroup(
            "transposer_bursts",
            [
                CoverPoint("direction", _SIDES),
                CoverPoint(
                    "state", ("not started", "begins", "goes on", "within a block", "other direction")
                ),
                CoverPoint("opened", ("opened", "refused")),
                CoverPoint("start", ("no start waits", "a start waits")),
            ],
            crosses=[("direction", "state")],
        )
        self.starts = CoverGroup(
            "transposer_starts",
            [
                CoverPoint(
                    "during",
                    ("nothing", "a written stream", "a block", "a read stream", "write burst", "read burst"),
                )
            ],
        )
        self.loads = CoverGroup(
            "port_loads",
            [
                CoverPoint("load_mvus", ("stays", "changes", "becomes 0")),
                CoverPoint("goes to", ("one", "several")),
            ],
        )
        self.queue = CoverGroup("fabric_queue", [CoverPoint("reads", ("behind a read",))])
        self.accesses = CoverGroup(
            "fabric_accesses",
            [
                CoverPoint("who", ("host", "hart")),
                CoverPoint("unit", ("an MVU", "the system")),
                CoverPoint("what", _SIDES),
                CoverPoint("harts waiting", {"none": 0, "one": 1, "two and more": range(2, 17)}),
            ],
            crosses=[("who", "unit", "what"), ("who", "harts waiting")],
        )

    @property
    def groups(self) -> tuple[CoverGroup, ...]:
        """All groups."""
        return (
            self.bursts,
            self.words,
            self.waits,
            self.strobed,
            self.ends,
            self.order,
            self.meetings,
            self.streams,
            self.starts,
            self.loads,
            self.accesses,
            self.queue,
        )

    def ended(self, side: str, burst: Burst, resps: list[int], resp: int) -> None:
        """A burst has been answered; `resps` of its beats."""
        request = burst.request
        wrong = {each for each in resps if each}
        refused = sum(1 for each in resps if each)
        last = request.beat_address(request.beats - 1)
        self.bursts.sample(
            direction=side,
            window=burst.window.name if burst.window else "nowhere",
            burst=_BURSTS[request.burst],
            bytes=request.size,
            length=request.beats,
            address="aligned" if request.aligned else "unaligned",
            refused=0 if not refused else 2 if refused >= request.beats else 1,
            response=resp,
            errors="several kinds" if len(wrong) > 1 else "one kind",
            leaves=_leaves(burst, last),
        )

    def wrong_words(self, side: str, errors: Sequence[tuple[bool, bool]]) -> None:
        """A burst of 8-byte beats at the controller has been answered: of each beat whether its words were wrong."""
        wrong = [each for each in errors if any(each)]
        if len(wrong) == 1:
            self.words.sample(
                direction=side, wrong="both" if all(wrong[0]) else "lower" if wrong[0][0] else "upper"
            )

    def waited(self, burst: Burst, refused: bool, clocks: int) -> None:
        """A beat of R passes so many clocks after the one before, and the port's buffer of answers may be full."""
        self.waits.sample(source="refused" if refused else _shared(burst), clocks=clocks)

    def loaded(self, load: int, now: int) -> None:
        """A beat of a loading burst that goes to units `load`, while load_mvus is `now`."""
        self.loads.sample(
            **{
                "load_mvus": "stays" if now == load else "changes" if now else "becomes 0",
                "goes to": "one" if load.bit_count() == 1 else "several",
            }
        )

    def strobes(self, burst: Burst, strobes: int, resp: int) -> None:
        """A beat of W."""
        halves = strobes >> 4, strobes & 0xF
        label = {(15, 15): "whole beat", (15, 0): "upper word", (0, 15): "lower word", (0, 0): "none"}
        self.strobed.sample(strobes=label.get(halves, "part of a word"), taken="refused" if resp else "taken")

    def write_end(self, wlast: str) -> None:
        """A write burst has got its last beat."""
        self.ends.sample(wlast=wlast)

    def skew(self, address: bool) -> None:
        """A beat of W passes, after its address or not."""
        self.order.sample(first="address" if address else "data")

    def meeting(self, write: Burst | None, read: Burst | None) -> None:
        """A burst begins."""
        if write is not None and read is not None:
            self.meetings.sample(write=_shared(write), read=_shared(read))

    def opening(self, side: str, opened: bool, waits: bool, stream: TransposerStream) -> None:
        """A burst asks for the transposer's stream."""
        own, other = (stream.writing, stream.reading) if side == "write" else (stream.reading, stream.writing)
        state = (
            "not started"
            if not stream.started
            else "other direction"
            if other
            else "begins"
            if not own
            else "within a block"
            if stream.within
            else "goes on"
        )
        self.streams.sample(
            direction=side,
            state=state,
            opened="opened" if opened else "refused",
            start="a start waits" if waits else "no start waits",
        )

    def start(self, stream: TransposerStream, write_open: bool, read_open: bool) -> None:
        """tr_mvus is written."""
        self.starts.sample(
            during="write burst"
            if write_open
            else "read burst"
            if read_open
            else "a block"
            if stream.within
            else "a written stream"
            if stream.writing
            else "a read stream"
            if stream.reading
            else "nothing"
        )

    def access(self, who: str, unit: int, write: bool, waiting: int) -> None:
        """A register is accessed while so many harts wait for its unit."""
        self.accesses.sample(
            **{
                "who": who,
                "unit": "the system" if unit == SYSTEM_UNIT else "an MVU",
                "what": "write" if write else "read",
                "harts waiting": min(waiting, 16),
            }
        )


def _leaves(burst: Burst, last: int) -> str:
    """Where a burst's last beat is, seen from its first one."""
    if burst.window is None:
        return "stays in its window" if find_window(last) is None else "enters one"
    return "stays in its window" if last in burst.window else "leaves it"


def _shared(burst: Burst) -> str:
    """What a burst is at, as far as both directions share it."""
    name = burst.window.name if burst.window else "nowhere"
    if name in ("system", "registers"):
        return "registers"
    if name in ("controller", "timer", "memories"):
        return "controller"
    return name if name in _SHARED else "other"
