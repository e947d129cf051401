# SPDX-License-Identifier: Apache-2.0
"""Registers and memories of the design by address, on ports of other protocols than Assay's own.

`AxiLite` speaks AXI4-Lite; `PinBus` any port of address, data and enables, with or without a ready. Both have
``write(address, word)`` and ``read(address)``, as `RegisterPort` has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cocotb.triggers import Event

from tb.agents.axi import OKAY, RESPONSES, AxiError
from tb.agents.burst import StreamError, StreamReset, StreamUnknown, raise_error
from tb.agents.clocking import Clocked, Clocking
from tb.agents.port import PortDriver, PortMonitor
from tb.agents.request_response import RequestResponse
from tb.agents.signals import Signal

__all__ = ["PIN_ROLES", "AxiLite", "PinBus"]


class AxiLite:
    """An AXI4-Lite manager at the ports ``<prefix>_awaddr`` ... of the top.

    Args:
        clocking: of the port.
        prefix: of the signals, without the underscore.
        signal: finds a signal by its name; None where the top has none (``awprot``, ``wstrb`` may be missing).
        seed: the run's, for the stalls of the channels.
        timeout_clocks: clocks without an answer after which an access is reported as lost.
        on_error: called with a `StreamError`.
    """

    _CHANNELS: Mapping[str, tuple[str, ...]] = {
        "aw": ("addr", "prot"),
        "w": ("data", "strb"),
        "b": ("resp",),
        "ar": ("addr", "prot"),
        "r": ("data", "resp"),
    }

    def __init__(
        self,
        clocking: Clocking,
        prefix: str,
        signal: Callable[[str], Signal | None],
        *,
        seed: int = 0,
        timeout_clocks: int = 2_000,
        on_error: Callable[[StreamError], None] = raise_error,
    ) -> None:
        self.name = prefix
        self.channels: dict[str, PortDriver | PortMonitor] = {}
        for channel, names in self._CHANNELS.items():
            found = {name: signal(f"{prefix}_{channel}{name}") for name in names}
            fields = {name: one for name, one in found.items() if one is not None}
            kind = PortMonitor if channel in "br" else PortDriver
            self.channels[channel] = kind(
                clocking,
                f"{prefix}_{channel}",
                fields,
                signal(f"{prefix}_{channel}valid"),
                signal(f"{prefix}_{channel}ready"),
                seed=seed,
                on_error=on_error,
            )
        # Answers are awaited: they must not wait for more of them.
        self.channels["b"].eager = self.channels["r"].eager = True
        options = {
            "clock_ns": clocking.period_ns,
            "timeout_clocks": timeout_clocks,
            "on_error": on_error,
        }
        self._writes = RequestResponse(self.channels["aw"], self.channels["b"], **options)
        self._reads = RequestResponse(self.channels["ar"], self.channels["r"], **options)

    @property
    def moves(self) -> int:
        """Changes with every answer, for a watchdog."""
        return sum(channel.moves for channel in self.channels.values())

    def waiting(self) -> str:
        """What is unanswered, for a watchdog; empty when nothing."""
        said = [channel.waiting() for channel in self.channels.values() if isinstance(channel, PortDriver)]
        for channel, what in (("b", self._writes), ("r", self._reads)):
            if what.outstanding:
                said.append(f"port {self.name}_{channel}: {what.outstanding} accesses wait for their answers")
        return "; ".join(filter(None, said))

    @property
    def stall(self) -> int:
        """Probability of a stall of every channel in each clock, in 1/256."""
        return self.channels["aw"].stall

    @stall.setter
    def stall(self, probability: int) -> None:
        for channel in self.channels.values():
            channel.stall = probability

    async def write(self, address: int, word: int, strobe: int | None = None) -> None:
        """Write one word to a byte address.

        Raises:
            AxiError: it is not answered OKAY.
            StreamTimeout, StreamReset: it is not answered, or was dropped.
        """
        w = self.channels["w"]
        fields = {"data": word}
        if "strb" in w.format.fields:
            fields["strb"] = (1 << w.format.fields["strb"]) - 1 if strobe is None else strobe
        w.enqueue(w.format.pack(**fields))
        answer = await self._access(self._writes, "aw", address)
        self._check("write", "b", address, answer["resp"])

    async def read(self, address: int) -> int:
        """Read the word at a byte address; raises as `write`."""
        answer = await self._access(self._reads, "ar", address)
        self._check("read", "r", address, answer["resp"])
        return int(answer["data"][0])

    def check_finished(self) -> None:
        """Raises `StreamError` when accesses are still unanswered: to be called at the end of a test."""
        self._writes.check_finished()
        self._reads.check_finished()

    def flush(self) -> None:
        """Drop everything in flight: to be called while the design is in reset."""
        self._writes.flush()
        self._reads.flush()
        self.channels["w"].flush()

    async def _access(self, port: RequestResponse, channel: str, address: int) -> dict[str, object]:
        beat_format = self.channels[channel].format
        fields = {"addr": address} | ({"prot": 0} if "prot" in beat_format.fields else {})
        return port.response.format.unpack(await port.answers(beat_format.pack(**fields)))

    def _check(self, what: str, channel: str, address: int, resp: object) -> None:
        code = int(resp[0])
        if code != OKAY:
            raise AxiError(
                f"{self.name}_{channel}", f"a {what} of address 0x{address:x} is answered {RESPONSES[code]}"
            )


#: Signals of a `PinBus` by role.
PIN_ROLES = (
    "address",
    "write_data",
    "read_data",
    "select",
    "write_enable",
    "read_enable",
    "ready",
    "read_valid",
)


@dataclass
class _Access:
    """One call of `PinBus.write` or `read`."""

    address: int
    word: int | None
    done: Event = field(default_factory=Event)
    result: int = 0
    dropped: bool = False


class PinBus(Clocked):
    """Registers or a memory of the design behind address, data and enables: one access after the other.

    Args:
        clocking: of the port.
        name: for messages.
        signals: role to signal. ``address``; ``write_data`` with ``write_enable`` (of several bits: one a byte);
            ``read_data``, with ``read_enable`` where there is one. ``select`` is high during every access. With
            ``ready`` an access lasts until it is high; with ``read_valid`` a read's word is there when it is high,
            else `latency` clocks after the one that took the access (0: in the same clock).
        latency: see ``read_valid``.
        on_error: called with a `StreamError`.

    Raises:
        ValueError: a role is unknown, or ``address`` is missing.
    """

    def __init__(
        self,
        clocking: Clocking,
        name: str,
        signals: Mapping[str, Signal],
        *,
        latency: int = 1,
        on_error: Callable[[StreamError], None] = raise_error,
    ) -> None:
        strange = sorted(signals.keys() - set(PIN_ROLES))
        if strange or "address" not in signals:
            what = f"has no signal {strange[0]!r}" if strange else "needs an address"
            raise ValueError(f"bus {name} {what}; it has {', '.join(PIN_ROLES)}")
        self.clocking = clocking
        self.name = name
        self.on_error = on_error
        self.moves = 0
        self._signals = dict(signals)
        self._latency = latency
        self._queue: deque[_Access] = deque()
        self._taken_at: int | None = None  # tick in which the first access was taken
        self._shown = False
        self._result: int | None = None
        self._took = False
        self._leave()
        clocking.add(self)

    async def write(self, address: int, word: int) -> None:
        """Write one word; returns when the design has taken it.

        Raises:
            ValueError: the port cannot write, or address or word do not fit.
            StreamReset: `flush` dropped it.
        """
        await self._do(address, word)

    async def read(self, address: int) -> int:
        """Read one word; raises as `write`."""
        return await self._do(address, None)

    def waiting(self) -> str:
        """What is unanswered, for a watchdog; empty when nothing."""
        if not self._queue:
            return ""
        access = self._queue[0]
        what = "read" if access.word is None else "write"
        role = "ready" if self._taken_at is None and "ready" in self._signals else "read_valid"
        signal = self._signals.get(role)
        return f"bus {self.name}: the {what} of address 0x{access.address:x} waits" + (
            f" for {signal.name}" if signal else ""
        )

    def check_finished(self) -> None:
        """Raises `StreamError` when accesses are still unanswered: to be called at the end of a test."""
        if self._queue:
            raise StreamError(self.name, self.waiting(), self.moves)

    def flush(self) -> None:
        """Drop everything in flight: to be called while the design is in reset."""
        dropped = list(self._queue)
        self._queue.clear()
        self._taken_at = self._result = None
        self._took = self._shown = False
        self._leave()
        for access in dropped:
            access.dropped = True
            access.done.set()

    async def _do(self, address: int, word: int | None) -> int:
        needed = "read_data" if word is None else "write_data"
        if needed not in self._signals:
            raise ValueError(f"bus {self.name} has no {needed}: it cannot {needed.partition('_')[0]}")
        for role, value in (("address", address), ("write_data", word or 0)):
            width = self._signals[role].width if role in self._signals else 64
            if not 0 <= value < 1 << width:
                raise ValueError(f"bus {self.name}: {role} = {value} does not fit into {width} bits")
        access = _Access(address, word)
        self._queue.append(access)
        await access.done.wait()
        if access.dropped:
            raise StreamReset(f"bus {self.name}: an access to address 0x{address:x} was dropped by a reset")
        return access.result

    def passed(self) -> None:
        if not self._queue:
            return
        access = self._queue[0]
        if self._took:
            self._took, self._shown = False, False
            self._taken_at = self.clocking.ticks
            if access.word is not None:
                self._finish(0)
                return
        if self._result is not None:
            self._finish(self._result)

    def _finish(self, result: int) -> None:
        access = self._queue.popleft()
        access.result = result
        self._taken_at = self._result = None
        self.moves += 1
        access.done.set()

    def drive(self) -> None:
        if self._queue and self._taken_at is None:
            access = self._queue[0]
            signals = self._signals
            signals["address"].write(access.address)
            for role, value in (
                ("select", 1),
                ("write_data", access.word or 0),
                ("write_enable", -1 if access.word is not None else 0),
                ("read_enable", int(access.word is None)),
            ):
                if role in signals:
                    signals[role].write(value & ((1 << signals[role].width) - 1))
            self._shown = True
        else:
            self._leave()

    def sample(self) -> None:
        if not self._queue or not self.clocking.enabled:
            return
        access = self._queue[0]
        if self._shown:
            ready = self._signals["ready"].read_known() if "ready" in self._signals else 1
            if ready is None:
                self._report(f"ready ({self._signals['ready'].name}) is X or Z")
            self._took = bool(ready)
            if not self._took:
                return
        elif self._taken_at is None:
            return
        if access.word is None:
            self._sample_result(access)

    def _sample_result(self, access: _Access) -> None:
        """A read's word, if it is there in this clock."""
        if "read_valid" in self._signals:
            there = self._signals["read_valid"].read_known()
            if there is None:
                self._report(f"read_valid ({self._signals['read_valid'].name}) is X or Z")
        else:
            # The clock that takes the access is number 0; `_taken_at` is the tick after it.
            there = (0 if self._shown else self.clocking.ticks - self._taken_at + 1) == self._latency
        if there:
            word = self._signals["read_data"].read_known()
            if word is None:
                self._report(f"the word read from address 0x{access.address:x} is X or Z")
            self._result = word or 0

    def _leave(self) -> None:
        for role in ("select", "write_enable", "read_enable"):
            if role in self._signals:
                self._signals[role].write(0)

    def _report(self, text: str) -> None:
        cycle = self.clocking.cycle
        self.on_error(
            StreamUnknown(self.name, f"{text}; access {self.moves}, clock {cycle}", self.moves, cycle)
        )
