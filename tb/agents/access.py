# SPDX-License-Identifier: Apache-2.0
"""Registers and memories of the design by address, on ports of other protocols than Assay's own.

`AxiLite` speaks AXI4-Lite; `PinBus` any port of address, data and enables, with or without a ready. Both have
``write(address, word)`` and ``read(address)``, as `RegisterPort` has.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from cocotb.triggers import Event

from assay.tb.agents.axi import OKAY, RESPONSES, AxiError
from assay.tb.agents.burst import StreamError, StreamReset, StreamUnknown, raise_error
from assay.tb.agents.clocking import Clocked, Clocking
from assay.tb.agents.port import PortDriver, PortMonitor
from assay.tb.agents.request_response import RequestResponse
from assay.tb.agents.signals import Signal, SignalMissing

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
        self.sources: dict[str, PortDriver] = {}
        self.sinks: dict[str, PortMonitor] = {}
        for channel, names in self._CHANNELS.items():
            found = {name: signal(f"{prefix}_{channel}{name}") for name in names}
            fields = {name: one for name, one in found.items() if one is not None}
            handshake = [signal(f"{prefix}_{channel}{name}") for name in ("valid", "ready")]
            missing = [name for name, one in zip(("valid", "ready"), handshake, strict=True) if one is None]
            if missing or not fields:
                raise SignalMissing(f"port {prefix} has no {prefix}_{channel}{(missing or names)[0]}")
            kind: type[PortDriver] | type[PortMonitor] = PortMonitor if channel in "br" else PortDriver
            made = kind(clocking, f"{prefix}_{channel}", fields, *handshake, seed=seed, on_error=on_error)
            if isinstance(made, PortMonitor):
                made.eager = True  # an answer is awaited: it must not wait for more of them
                self.sinks[channel] = made
            else:
                self.sources[channel] = made

        def port(request: str, response: str) -> RequestResponse:
            return RequestResponse(
                self.sources[request],
                self.sinks[response],
                clock_ns=clocking.period_ns,
                timeout_clocks=timeout_clocks,
                on_error=on_error,
            )

        self._writes, self._reads = port("aw", "b"), port("ar", "r")

    @property
    def _all(self) -> list[PortDriver | PortMonitor]:
        return [*self.sources.values(), *self.sinks.values()]

    @property
    def moves(self) -> int:
        """Changes with every answer, for a watchdog."""
        return sum(channel.moves for channel in self._all)

    def waiting(self) -> str:
        """What is unanswered, for a watchdog; empty when nothing."""
        said = [channel.waiting() for channel in self.sources.values()]
        for channel, what in (("b", self._writes), ("r", self._reads)):
            if what.outstanding:
                said.append(f"port {self.name}_{channel}: {what.outstanding} accesses wait for their answers")
        return "; ".join(filter(None, said))

    @property
    def stall(self) -> int:
        """Probability of a stall of every channel in each clock, in 1/256."""
        return self.sources["aw"].stall

    @stall.setter
    def stall(self, probability: int) -> None:
        for channel in self._all:
            channel.stall = probability

    async def write(self, address: int, word: int, strobe: int | None = None) -> None:
        """Write one word to a byte address.

        Raises:
            AxiError: it is not answered OKAY.
            StreamTimeout, StreamReset: it is not answered, or was dropped.
        """
        await self._write({address: word}, strobe)

    async def read(self, address: int) -> int:
        """Read the word at a byte address; raises as `write`."""
        return (await self.read_many([address]))[0]

    async def write_many(self, words: Mapping[int, int]) -> None:
        """Write byte address -> word, in the mapping's order, each before the one before it is answered."""
        await self._write(words, None)

    async def read_many(self, addresses: Iterable[int]) -> list[int]:
        """The words at byte addresses, each asked for before the one before it is answered."""
        addresses = list(addresses)
        if not addresses:
            return []
        answer = await self._access(self._reads, "ar", addresses)
        self._check("read", "r", addresses, answer["resp"])
        return [int(word) for word in answer["data"]]

    async def _write(self, words: Mapping[int, int], strobe: int | None) -> None:
        if not words:
            return
        w = self.sources["w"]
        fields: dict[str, object] = {"data": np.array(list(words.values()), np.uint64)}
        if "strb" in w.format.fields:
            fields["strb"] = (1 << w.format.fields["strb"]) - 1 if strobe is None else strobe
        w.enqueue(w.format.pack(**fields))
        addresses = list(words)
        answer = await self._access(self._writes, "aw", addresses)
        self._check("write", "b", addresses, answer["resp"])

    def check_finished(self) -> None:
        """Raises `StreamError` when accesses are still unanswered: to be called at the end of a test."""
        self._writes.check_finished()
        self._reads.check_finished()

    def flush(self) -> None:
        """Drop everything in flight: to be called while the design is in reset."""
        self._writes.flush()
        self._reads.flush()
        self.sources["w"].flush()

    async def _access(
        self, port: RequestResponse, channel: str, addresses: list[int]
    ) -> dict[str, np.ndarray]:
        beat_format = self.sources[channel].format
        fields: dict[str, object] = {"addr": np.array(addresses, np.uint64)}
        if "prot" in beat_format.fields:
            fields["prot"] = 0
        return port.response.format.unpack(await port.answers(beat_format.pack(**fields)))

    def _check(self, what: str, channel: str, addresses: list[int], resp: np.ndarray) -> None:
        refused = np.flatnonzero(resp != OKAY)
        if len(refused):
            address, code = addresses[int(refused[0])], int(resp[refused[0]])
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
    "byte_enable",
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
        signals: role to signal. ``address``; ``write_data`` with ``write_enable`` (all its bits), and ``byte_enable``
            (all ones); ``read_data``, with ``read_enable`` where there is one. ``select`` is high in every access. With
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
        await self._do([(address, word)])

    async def read(self, address: int) -> int:
        """Read one word; raises as `write`."""
        return (await self._do([(address, None)]))[0]

    async def write_many(self, words: Mapping[int, int]) -> None:
        """Write address -> word, in the mapping's order, one in every clock that the design allows."""
        await self._do(list(words.items()))

    async def read_many(self, addresses: Iterable[int]) -> list[int]:
        """The words at these addresses."""
        return await self._do([(address, None) for address in addresses])

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

    async def _do(self, wanted: Sequence[tuple[int, int | None]]) -> list[int]:
        """Accesses (address, word; None: a read), one after the other; gives the words read, 0 for a write."""
        accesses = []
        for address, word in wanted:
            needed = "read_data" if word is None else "write_data"
            if needed not in self._signals:
                raise ValueError(f"bus {self.name} has no {needed}: it cannot {needed.partition('_')[0]}")
            for role, value in (("address", address), (needed, word or 0)):
                width = self._signals[role].width
                if not 0 <= value < 1 << width:
                    raise ValueError(f"bus {self.name}: {role} = {value} does not fit into {width} bits")
            accesses.append(_Access(int(address), None if word is None else int(word)))
        self._queue += accesses
        for access in accesses:
            await access.done.wait()
            if access.dropped:
                raise StreamReset(
                    f"bus {self.name}: an access to address 0x{access.address:x} was dropped by a reset"
                )
        return [access.result for access in accesses]

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
                ("byte_enable", -1),
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
            there = self._age() == self._latency
        if there:
            word = self._signals["read_data"].read_known()
            if word is None:
                self._report(f"the word read from address 0x{access.address:x} is X or Z")
            self._result = word or 0

    def _age(self) -> int:
        """Clocks since the one that took the access; `_taken_at` is the tick after that one."""
        return 0 if self._taken_at is None else self.clocking.ticks - self._taken_at + 1

    def _leave(self) -> None:
        for role in ("select", "write_enable", "read_enable"):
            if role in self._signals:
                self._signals[role].write(0)

    def _report(self, text: str) -> None:
        cycle = self.clocking.cycle
        self.on_error(
            StreamUnknown(self.name, f"{text}; access {self.moves}, clock {cycle}", self.moves, cycle)
        )
