# SPDX-License-Identifier: Apache-2.0
"""A memory that the design reads and writes: the bench answers.

Without handshake it is an SRAM: the word at the address of one clock is there `latency` clocks later (0: in the same
clock). With a request signal, and perhaps a grant and a valid of the answer, it is a bus of the OBI kind: requests are
granted and answered in order, after at least `latency` clocks, with random stalls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from assay.tb.agents.burst import StreamError, StreamUnknown, raise_error
from assay.tb.agents.clocking import Clocked, Clocking
from assay.tb.agents.signals import Signal
from assay.tb.agents.stalls import Stalls

__all__ = ["ROLES", "MemoryAccess", "MemoryResponder"]

#: Signals of a memory port by role; see `MemoryResponder`.
ROLES = (
    "address",
    "read_data",
    "write_data",
    "write_enable",
    "byte_enable",
    "request",
    "grant",
    "response_valid",
    "response_ready",
)


@dataclass(frozen=True)
class MemoryAccess:
    """One access of the design: `write` tells which; `word` is what was read, or what stands there afterwards."""

    cycle: int
    write: bool
    address: int
    word: int


class MemoryResponder(Clocked):
    """Answers one memory port of the design.

    Args:
        clocking: of the port.
        name: for messages.
        signals: role to signal. ``address`` is needed. ``read_data`` for a memory that is read, ``write_data`` and
            ``write_enable`` for one that is written, ``byte_enable`` for parts of words. ``request``: an access
            happens only with it (a chip enable, or a valid). ``grant``: an input of the design that accepts the
            request. ``response_valid``: an input of the design that says that a read's word is there;
            ``response_ready``: an output that takes it.
        depth: words.
        latency: clocks from a request to its word, see the module.
        byte_addresses: the address counts bytes, not words.
        answers_writes: a write is answered with ``response_valid``, too.
        first: the address of word 0.
        seed: the run's, for the stalls of grants and answers.
        on_error: called with a `StreamError`: an address that is X, or outside.

    Attributes:
        words: the contents, one Python integer a word.
        accesses: every access since construction or `flush`, the oldest first.

    Raises:
        ValueError: a role is unknown or missing.
    """

    def __init__(
        self,
        clocking: Clocking,
        name: str,
        signals: Mapping[str, Signal],
        depth: int,
        *,
        latency: int = 1,
        byte_addresses: bool = False,
        answers_writes: bool = False,
        first: int = 0,
        seed: int = 0,
        on_error: Callable[[StreamError], None] = raise_error,
    ) -> None:
        _check_roles(name, signals)
        self.clocking = clocking
        self.name = name
        self.on_error = on_error
        data = signals.get("read_data") or signals["write_data"]
        self.width = data.width
        self.words: list[int] = [0] * depth
        self.accesses: list[MemoryAccess] = []
        self.moves = 0
        self._signals = dict(signals)
        self._latency = latency
        self._unit = max(1, self.width // 8) if byte_addresses else 1
        self._answers_writes = answers_writes
        self._first = first
        self._stalls = Stalls(seed, name)
        self._pending: deque[tuple[int, int | None]] = deque()  # tick from which on it may be answered, word
        self._granted = True
        self._shown: int | None = None
        self._answering = False
        self._request: tuple[bool, int, int, int] | None = None
        self._handshake = "response_valid" in signals
        for role in ("grant", "response_valid", "read_data"):
            if role in signals:
                signals[role].write(0)
        clocking.add(self)

    @property
    def stall(self) -> int:
        """Probability of a stall of a grant or an answer in each clock, in 1/256."""
        return self._stalls.probability

    @stall.setter
    def stall(self, probability: int) -> None:
        self._stalls.probability = probability

    def load(self, words: np.ndarray, address: int = 0) -> None:
        """Set words from index `address` on: integers [n], or uint8[n, bytes of a word], little end first.

        Raises:
            ValueError: they do not fit into the memory, or a value not into a word.
        """
        array = np.asarray(words)
        if array.ndim == 2 and array.dtype == np.uint8:
            numbers = [int.from_bytes(row.tobytes(), "little") for row in array]
        else:
            numbers = [int(word) for word in array.reshape(-1)]
        if address < 0 or address + len(numbers) > len(self.words):
            raise ValueError(
                f"memory {self.name} has {len(self.words)} words: {len(numbers)} from {address} on do not fit"
            )
        for index, number in enumerate(numbers):
            if not -(1 << self.width - 1) <= number < 1 << self.width:
                raise ValueError(
                    f"memory {self.name}: word {address + index} = {number} has more than {self.width} bits"
                )
        mask = (1 << self.width) - 1
        self.words[address : address + len(numbers)] = [number & mask for number in numbers]

    def read(self, address: int = 0, count: int | None = None, signed: bool = False) -> np.ndarray:
        """`count` words from index `address` on: uint64[n] (int64 if `signed`), of more than 64 bits object[n]."""
        end = len(self.words) if count is None else address + count
        numbers = self.words[address:end]
        if signed:
            top = 1 << self.width - 1
            numbers = [(number ^ top) - top for number in numbers]
        return np.array(numbers, object if self.width > 64 else np.int64 if signed else np.uint64)

    def waiting(self) -> str:
        """What the design still waits for, for a watchdog; empty when for nothing."""
        if self._pending and self._handshake:
            taker = self._signals.get("response_ready")
            return f"memory {self.name}: {len(self._pending)} answers wait" + (
                f" for {taker.name}" if taker else ""
            )
        return ""

    def flush(self) -> None:
        """Drop what is unanswered: to be called while the design is in reset. The contents stay."""
        self._pending.clear()
        self._shown = self._request = None
        self._answering = False
        self.accesses.clear()
        for role in ("grant", "response_valid"):
            if role in self._signals:
                self._signals[role].write(0)

    def passed(self) -> None:
        if self._answering:
            self._answering = False
            self._pending.popleft()
            self._shown = None
            self.moves += 1
        if self._request is None:
            return
        write, address, data, lanes = self._request
        self._request = None
        index = self._place(address)
        if write:
            self.words[index] = self.words[index] & ~lanes | data & lanes
        word = self.words[index]
        self.accesses.append(MemoryAccess(self.clocking.cycle, write, index, word))
        # Without a valid of the answer a memory that is read in every clock always moves: only writes count.
        self.moves += self._handshake or write
        if self._handshake:
            if not write or self._answers_writes:
                self._pending.append((self.clocking.ticks + self._latency - 1, None if write else word))
        elif not write and self._latency:
            self._pending.append((self.clocking.ticks + self._latency - 1, word))

    def drive(self) -> None:
        if "grant" in self._signals:
            self._granted = not self._stalls.now()
            self._signals["grant"].write(int(self._granted))
        due = bool(self._pending) and self._pending[0][0] <= self.clocking.ticks
        if not self._handshake:
            if due:
                self._show(self._pending.popleft()[1])
            return
        if self._shown is None and due and not self._stalls.now():
            self._shown = self._pending[0][1] or 0
            self._show(self._shown)
        if self._shown is None:
            self._show(self._stalls.random.getrandbits(self.width))
        self._signals["response_valid"].write(int(self._shown is not None))

    def answer(self) -> bool:
        if self._latency or self._handshake or "read_data" not in self._signals:
            return False
        address = self._signals["address"].read_known()
        if address is None or not 0 <= self._place(address) < len(self.words):
            return False
        signal, word = self._signals["read_data"], self.words[self._place(address)]
        changed = signal.read_known() != word
        signal.write(word)
        return changed

    def sample(self) -> None:
        if not self.clocking.enabled:
            return
        self._answering = self._shown is not None and self._read("response_ready", 1) == 1
        if self._read("request", 1) != 1 or not self._granted:
            return
        write = "write_enable" in self._signals and self._read("write_enable", 0) != 0
        if not write and "read_data" not in self._signals:
            return
        address = self._signals["address"].read_known()
        if address is None:
            # A memory without request is read by whatever stands at its address; that X is the design's before use.
            if write or "request" in self._signals:
                self._report(StreamUnknown, "the address of an access is X or Z")
            return
        if not 0 <= self._place(address) < len(self.words):
            if write or "request" in self._signals:
                self._report(
                    StreamError,
                    f"address 0x{address:x} is outside: {len(self.words)} words from {self._first}",
                )
            return
        data, lanes = 0, 0
        if write:
            data, unknown = self._signals["write_data"].read()
            lanes = self._lanes()
            if unknown & lanes:
                self._report(StreamUnknown, f"the word written to address 0x{address:x} is X or Z")
        self._request = (write, address, data, lanes)

    def _read(self, role: str, default: int) -> int:
        """A control signal's value, the default where the port has none; X is reported."""
        signal = self._signals.get(role)
        if signal is None:
            return default
        value = signal.read_known()
        if value is None:
            self._report(StreamUnknown, f"{role} ({signal.name}) is X or Z")
            return 0
        return value

    def _lanes(self) -> int:
        """Bits that a write changes."""
        enables = self._signals.get("byte_enable")
        if enables is None and self._signals["write_enable"].width > 1:
            enables = self._signals["write_enable"]
        if enables is None:
            return (1 << self.width) - 1
        part = self.width // enables.width
        mask = enables.read()[0]
        return sum(((1 << part) - 1) << part * i for i in range(enables.width) if mask >> i & 1)

    def _place(self, address: int) -> int:
        return (address - self._first) // self._unit

    def _show(self, word: int | None) -> None:
        if "read_data" in self._signals:
            self._signals["read_data"].write(word or 0)

    def _report(self, kind: type[StreamError], text: str) -> None:
        cycle = self.clocking.cycle
        self.on_error(
            kind(self.name, f"{text}; access {len(self.accesses)}, clock {cycle}", len(self.accesses), cycle)
        )


def _check_roles(name: str, signals: Mapping[str, Signal]) -> None:
    strange = sorted(signals.keys() - set(ROLES))
    if strange:
        raise ValueError(f"memory {name} has no signal {strange[0]!r}; it has {', '.join(ROLES)}")
    missing = [role for role in ("address",) if role not in signals]
    if not {"read_data", "write_data"} & signals.keys():
        missing.append("read_data or write_data")
    if ("write_data" in signals) != ("write_enable" in signals):
        missing.append("write_enable" if "write_data" in signals else "write_data")
    if missing:
        raise ValueError(f"memory {name} needs {', '.join(missing)}")
