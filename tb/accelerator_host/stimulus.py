# SPDX-License-Identifier: Apache-2.0
"""Random traffic for the host's side: bursts of all kinds, legal and not, on all windows; accesses of harts beside.

A `Step` is what is under way together. Its bursts are drawn from places where something can meet: few registers, the
ends of memories and windows, the transposer's stream in the middle of a block.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from assay.golden.accelerator.host_port import FIXED, INCR, Request, find_window
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.registers import (
    BEAT_BYTES,
    BY_NAME,
    DATA_STRIDE,
    ELEMENT_BITS,
    PARAMETER_WINDOWS,
    SYSTEM_UNIT,
    WINDOW_BY_NAME,
    WINDOWS,
    register_address,
    system_address,
)
from assay.golden.mvu.registers import BY_NAME as MVU_REGISTERS
from assay.tb.draws import first_drawn

__all__ = ["CHANNELS", "HartAccess", "Step", "Stimulus", "is_legal"]

WRAP, RESERVED = 2, 3
CHANNELS = ("aw", "w", "b", "ar", "r", "hart", "back", "units")  #: what has stalls of its own
#: In 1/256: with the last one, what is behind the channel fills up.
_STALLS = (0, 0, 0, 0, 40, 40, 128, 128, 200, 250)
_BOUNDARY = 4096
_NOWHERE = 0x0300_0000
_WINDOWS = (
    *("system", "controller", "timer", "weights", "scalers", "biases", "nowhere"),
    *("data", "registers", "transposer", "memories") * 2,
)
#: Where windows begin behind nothing.
_BORDERS = tuple(
    window.base for window in WINDOWS if window.base and find_window(window.base - BEAT_BYTES) is None
)
#: Registers of an MVU where accesses meet: some of the configuration, the command, the status.
_MEETING = tuple(
    MVU_REGISTERS[name].address for name in ("mvucommand", "mvustatus", "mvuprecision", "mvuquant")
)


@dataclass(frozen=True)
class HartAccess:
    """An access of a hart."""

    hart: int
    unit: int
    address: int
    write: bool
    data: int


@dataclass
class Step:
    """What is under way together.

    Attributes:
        writes, reads: addresses of AW and AR.
        beats: of W, over all writes: data, strobes, WLAST.
        harts: accesses.
        stalls: of each of `CHANNELS`, in 1/256.
        legal: AXI4 allows all of it.
    """

    writes: list[Request] = field(default_factory=list)
    beats: list[tuple[int, int, int]] = field(default_factory=list)
    reads: list[Request] = field(default_factory=list)
    harts: list[HartAccess] = field(default_factory=list)
    stalls: dict[str, int] = field(default_factory=dict)
    legal: bool = True


class Stimulus:
    """Random steps.

    Args:
        params: of the build.
        seed: the test's.
    """

    def __init__(self, params: AcceleratorParameters, seed: int) -> None:
        self.params = params
        self.random = random.Random(seed)
        self._unit = 0  # where accesses of registers meet

    # ---------------------------------------------------------------------------------------------
    # Steps
    # ---------------------------------------------------------------------------------------------
    def steps(self, count: int) -> Iterator[Step]:
        """Random ones: any traffic, or streams of the transposer with other traffic beside them."""
        for number in range(count):
            if number % 2:
                yield from self._streams()
            elif number % 8 == 2:
                yield from self._loads()
            else:
                yield self._any()

    def _step(self) -> Step:
        r = self.random
        calm = r.random() < 0.25
        stalls = {name: 0 if calm else r.choice(_STALLS) for name in CHANNELS}
        # A job of a unit ends after several of its stalls.
        stalls["units"] = min(stalls["units"], 200)
        return Step(stalls=stalls, legal=r.random() < 0.4)

    def _any(self) -> Step:
        step, r = self._step(), self.random
        focus = r.choice((None, "registers", "data", "memories", "transposer", "system"))
        self._unit = r.randrange(self.params.mvus)
        for _ in range(r.randint(2, 12)):
            if r.random() < 0.5:
                self._write(step, self.request(step.legal, focus))
            else:
                step.reads.append(self.request(step.legal, focus))
        if step.stalls["r"] == _STALLS[-1]:
            # More beats than the port has room for.
            place = self.request(True, r.choice(("registers", "memories", "data", "nowhere")))
            step.reads.append(place._replace(beats=r.randint(12, 16), burst=INCR))
        crowd = {"registers": self._unit, "system": SYSTEM_UNIT}.get(focus or "")
        self._harts(step, r.choice((0, 4, 30, 60)) if crowd is None else 60, crowd)
        return self._finished(step)

    def _harts(self, step: Step, most: int, crowd: int | None = None) -> None:
        """Accesses of harts, at most so many; `crowd`: most go to this unit."""
        r = self.random
        focus = r.choice((None, self._unit, SYSTEM_UNIT)) if crowd is None else crowd
        # One hart asks seldom: an unfair unit would let it wait for ever.
        quiet = r.randrange(self.params.mvus)
        for _ in range(r.randint(0, most)):
            unit = r.choice((*range(self.params.mvus), SYSTEM_UNIT)) if focus is None else focus
            if r.random() < 0.06:
                unit = r.randrange(self.params.mvus, SYSTEM_UNIT)
            address = r.choice(_MEETING)
            if unit == SYSTEM_UNIT:
                address = self._system_register()
                # Starts by harts meet open bursts, but most streams must come to their end.
                if address == BY_NAME["tr_mvus"].address and r.random() < 0.5:
                    address = BY_NAME["finished"].address
            hart = r.randrange(self.params.mvus)
            if hart == quiet and r.random() < 0.8:
                hart = (hart + 1) % self.params.mvus
            step.harts.append(HartAccess(hart, unit, address, r.random() < 0.5, self._system_word(address)))

    def _system_register(self) -> int:
        r = self.random
        every = [register.address for register in BY_NAME.values()]
        busy = [BY_NAME[n].address for n in ("finished", "failed", "irq_enable", "load_mvus", "tr_status")]
        return r.choice((*every, *busy * 3, r.randrange(256)))

    def _system_word(self, address: int) -> int:
        """A word for a register: such that a start has a chance of being legal, and bits of nobody are tried."""
        r = self.random
        name = next((each.name for each in BY_NAME.values() if each.address == address), "")
        if name == "tr_format" and r.random() < 0.7:
            return self._format()
        if name in ("tr_mvus", "load_mvus", "finished", "failed", "irq_enable") and r.random() < 0.7:
            return r.getrandbits(self.params.mvus) | r.randrange(self.params.mvus) << 16
        if name == "tr_channels" and r.random() < 0.7:
            return r.randint(0, 3 * self.params.mvu.lanes)
        return r.getrandbits(32)

    # ---------------------------------------------------------------------------------------------
    # Streams of the transposer
    # ---------------------------------------------------------------------------------------------
    def _format(self) -> int:
        r = self.random
        element = r.choice(ELEMENT_BITS)
        return BY_NAME["tr_format"].encode(
            {
                "element": element,
                "precision": r.choice((1, element, r.randint(1, element))),
                "signed": r.getrandbits(1),
            }
        )

    def _start(self, step: Step) -> None:
        """Write the transposer's registers: one burst, or one for each."""
        r, lanes = self.random, self.params.mvu.lanes
        words = [
            self._format(),
            r.choice((1, lanes - 1, lanes, lanes + 1, r.randint(1, 3 * lanes))),
            r.choice((r.randrange(self.params.mvu.data_depth), 0xFFFF - r.randrange(8))),
            r.randint(1, (1 << self.params.mvus) - 1) | r.randrange(self.params.mvus) << 16,
        ]
        if r.random() < 0.1:
            words[r.randrange(4)] = r.choice((0, r.getrandbits(32)))
        first = system_address("tr_format")
        if r.random() < 0.5:
            pairs = [words[0] | words[1] << 32, words[2] | words[3] << 32]
            self._write(step, Request(r.randrange(16), first, 2, 3, INCR), pairs)
        else:
            for number, word in enumerate(words):
                address = first + 4 * number
                self._write(
                    step, Request(r.randrange(16), address, 1, 2, INCR), [word << address % 8 * 8], full=True
                )

    def _stream_request(self, most: int = 24) -> Request:
        r = self.random
        window = WINDOW_BY_NAME["transposer"]
        beats = r.choice((1, 1, 2, 3, r.randint(1, most), r.randint(1, most)))
        address = window.base + r.choice((0, 0, BEAT_BYTES * r.randrange(64)))
        if r.random() < 0.15:
            address = window.base + window.size - BEAT_BYTES * r.randint(1, 4)
        burst = INCR if r.random() < 0.7 or beats > 16 else FIXED
        return Request(r.randrange(16), address, beats, 3, burst)

    def _streams(self) -> Iterator[Step]:
        """A start, then bursts that cut the stream anywhere, with starts between them and in their middle."""
        r = self.random
        writes = r.random() < 0.5
        step = self._step()
        step.legal = True
        self._start(step)
        if not writes and r.random() < 0.8:
            yield self._finished(step)  # the reads must not overtake the start
            step = self._step()
            step.legal = True
        for _ in range(r.randint(1, 8)):
            if writes:
                self._write(step, self._stream_request(), full=True)
            else:
                step.reads.append(self._stream_request())
            # Other traffic, and the stream's other direction.
            if r.random() < 0.3:
                if writes:
                    step.reads.append(self.request(True, r.choice(("transposer", "data", "system"))))
                else:
                    self._write(step, self.request(True, r.choice(("transposer", "data", "registers"))))
            if r.random() < 0.15:
                self._start(step)
        self._harts(step, r.choice((0, 0, 10)))
        if r.random() < 0.3:
            # A hart starts the stream while bursts of it are open.
            words = r.randint(1, (1 << self.params.mvus) - 1) | r.randrange(self.params.mvus) << 16
            start = HartAccess(0, SYSTEM_UNIT, BY_NAME["tr_mvus"].address, True, words)
            step.harts.insert(r.randint(0, len(step.harts)), start)
        yield self._finished(step)

    # ---------------------------------------------------------------------------------------------
    # Weights, scalers and biases
    # ---------------------------------------------------------------------------------------------
    def _loads(self) -> Iterator[Step]:
        """Loading bursts, while harts change the set of MVUs that they go to."""
        r, register = self.random, BY_NAME["load_mvus"].address
        masks = 1 << self.params.mvus
        step = self._step()
        address = system_address("load_mvus")
        mask = r.randrange(1, masks) << address % 8 * 8
        self._write(step, Request(r.randrange(16), address, 1, 2, INCR), [mask], full=True)
        for _ in range(r.randint(1, 5)):
            self._write(step, self.request(step.legal, r.choice(PARAMETER_WINDOWS)))
        for _ in range(r.randint(4, 40)):
            step.harts.append(
                HartAccess(
                    r.randrange(self.params.mvus),
                    SYSTEM_UNIT,
                    register,
                    r.random() < 0.6,
                    r.choice((0, r.randrange(masks), r.randrange(masks))),
                )
            )
        yield self._finished(step)

    def clock_reads(self) -> Step:
        """Reads of both words of the register `clocks`, by the host at once and by harts one by one."""
        r, step = self.random, Step(legal=True)
        for _ in range(6):
            step.reads.append(Request(r.randrange(16), system_address("clocks"), 1, 3, INCR))
        for _ in range(24):
            register = BY_NAME[r.choice(("clocks", "clocksh"))].address
            step.harts.append(HartAccess(r.randrange(self.params.mvus), SYSTEM_UNIT, register, False, 0))
        return self._finished(step)

    # ---------------------------------------------------------------------------------------------
    # Bursts
    # ---------------------------------------------------------------------------------------------
    def request(self, legal: bool, focus: str | None = None) -> Request:
        """A random address, of window `focus` with some probability; `legal`: AXI4 allows it."""

        def draw() -> Request | None:
            request = self._request(focus)
            return request if not legal or is_legal(request) else None

        return first_drawn(draw, f"a legal address of {focus or 'any window'}")

    def _request(self, focus: str | None) -> Request:
        r = self.random
        name = focus if focus and r.random() < 0.6 else r.choice(_WINDOWS)
        beats = r.choice((1, 1, 1, 2, 2, 2, 4, 4, 8, 8, r.randint(2, 16), r.randint(2, 24), 16))
        if r.random() < 0.02:
            beats = r.choice((255, 256, 256, r.randint(17, 256)))
        words = name not in (*PARAMETER_WINDOWS, "data", "transposer")
        size = r.choice((3, 3, 2, 2)) if words else 3
        if r.random() < 0.1:
            size = r.randrange(8)
        burst = r.choices((INCR, FIXED, WRAP, RESERVED), (78, 12, 7, 3))[0]
        address = self._address(name, beats << size)
        address = address >> size << size
        if r.random() < 0.08:
            address += r.randrange(8)
        if name == "nowhere" and r.random() < 0.4:
            # From nothing into the beginning of a window.
            size, burst, beats = r.choice((2, 3)), INCR, r.randint(2, 16)
            address = r.choice(_BORDERS) - BEAT_BYTES * r.randint(1, 4)
        if name != "nowhere" and r.random() < 0.08:
            # Over the end of the window by beats of any size: the step from beat to beat decides which are outside.
            size, burst, beats = r.choice((0, 1, 2, 3, r.randint(4, 7))), INCR, r.randint(9, 16)
            window = WINDOW_BY_NAME[name]
            address = window.base + window.size - BEAT_BYTES
        return Request(r.randrange(16), address, beats, size, burst)

    def _address(self, name: str, size: int) -> int:
        """A place in a window; now and then such that `size` bytes from there leave it, or what is mapped in it."""
        r, mvu = self.random, self.params.mvu
        if name == "nowhere":
            return r.choice((_NOWHERE, _NOWHERE + r.getrandbits(20), 0xFFFF_FF00, 0x7FFF_FF80))
        window = WINDOW_BY_NAME[name]
        if r.random() < 0.15:
            return window.base + window.size - r.randint(1, max(2, min(size, 64) // 8)) * BEAT_BYTES
        end: int
        if name == "data":
            unit = r.randrange(self.params.mvus) if r.random() < 0.9 else r.randrange(8)
            first, end = window.base + DATA_STRIDE * unit, BEAT_BYTES * mvu.data_depth
        elif name in PARAMETER_WINDOWS:
            depth = mvu.weight_depth if name == "weights" else mvu.channel_depth
            first, end = window.base, BEAT_BYTES * depth * mvu.lanes
        elif name == "registers":
            unit = r.choice((*range(self.params.mvus), SYSTEM_UNIT, self._unit, self._unit))
            if r.random() < 0.1:
                unit = r.randrange(16)
            address = (
                self._system_register() if unit == SYSTEM_UNIT else r.choice((*_MEETING, r.randrange(256)))
            )
            return register_address(unit, address)
        elif name == "system":
            return window.base + 4 * self._system_register()
        else:
            first, end = window.base, min(window.size, 256)
        if r.random() < 0.2:
            return first + max(0, end - r.randint(1, 4) * BEAT_BYTES)
        return first + r.randrange(end)

    def _write(self, step: Step, request: Request, data: list[int] | None = None, full: bool = False) -> None:
        """Add a write burst with its beats; `full`: all its strobes are set."""
        r = self.random
        step.writes.append(request)
        count = request.beats
        if not step.legal and not full and r.random() < 0.12:
            count = max(1, count + r.choice((-1, 1, 1, 2, r.randint(-count, 4))))
        plain = r.random() < 0.5
        for number in range(count):
            address = request.beat_address(number)
            lanes = 0xFF if request.size >= 3 else ((1 << (1 << request.size)) - 1) << address % 8 & 0xFF
            strobes = lanes
            if not full and not plain:
                strobes = r.choices(
                    (lanes, 0, lanes & 0x0F, lanes & 0xF0, lanes & r.getrandbits(8)), (60, 12, 10, 10, 8)
                )[0]
            if not step.legal and not full and r.random() < 0.03:
                strobes = r.choice((0xFF, 0x0F, 0xF0, r.getrandbits(8)))
            word = data[number] if data is not None and number < len(data) else self._data(address)
            step.beats.append((word, strobes, int(number == count - 1)))

    def _data(self, address: int) -> int:
        """Content of a beat: for the system's registers such as `_system_word` gives."""
        window = find_window(address)
        if window is not None and window.name in ("system", "registers"):
            number = address // 8 * 2 % 256
            return self._system_word(number) | self._system_word(number + 1) << 32
        return self.random.getrandbits(64)

    def _finished(self, step: Step) -> Step:
        """A step whose beats are used up: after a WLAST that is early or late, bursts get other beats than theirs."""
        at = 0
        for request in step.writes:
            at = self._burst_end(step, at, request)
        while at < len(step.beats):
            request = Request(self.random.randrange(16), WINDOW_BY_NAME["data"].base, 1, 3, INCR)
            step.writes.append(request)
            at = self._burst_end(step, at, request)
        step.legal = step.legal and all(is_legal(each) for each in (*step.writes, *step.reads))
        return step

    def _burst_end(self, step: Step, at: int, request: Request) -> int:
        for number in range(request.beats):
            if at == len(step.beats):
                step.beats.append(
                    (self._data(request.beat_address(number)), 0xFF, int(number == request.beats - 1))
                )
            at += 1
            if step.beats[at - 1][2]:
                break
        return at


def is_legal(request: Request) -> bool:
    """Whether AXI4 allows a request: the rules of tb/agents/hdl/axi_protocol.sv."""
    size = 1 << request.size
    rules: dict[int, Callable[[], bool]] = {
        FIXED: lambda: request.beats <= 16,
        INCR: lambda: request.address % _BOUNDARY // size * size + request.beats * size <= _BOUNDARY,
        WRAP: lambda: request.beats in (2, 4, 8, 16) and request.aligned,
        RESERVED: lambda: False,
    }
    return size <= BEAT_BYTES and rules[request.burst]()
