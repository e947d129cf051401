# SPDX-License-Identifier: Apache-2.0
"""Tests of the controller whose events are aimed at each other's clocks: a write and the count that it replaces, a
clear and the pulse that sets, an interrupt and the wait for the bus, the host and the harts."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge, Timer, select
from cocotb.utils import get_sim_time

from assay.golden.controller import memory_map
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.controller.parameters import ControllerParameters
from assay.tb.controller.env import CLOCKS, HOLD, PC, RETIRED, ControllerEnv
from assay.tb.controller.items import Disturbance
from assay.tb.controller.stimulus import program_item, waiting_program, waits
from assay.tb.controller.test_controller import HoldRelease, RandomPrograms
from assay.tb.env import CLOCK_NS

#: Clocks in which the host's access is answered: it waits 32 for a slot that is left to it, and both ways take some.
ANSWERED = 100
#: And a write of a pc: for each register that is cleared it may wait so long.
RESTARTED = 31 * 34 + ANSWERED


class Covering(RandomPrograms):
    """Random programs in which every bin of a cover group must be hit: else the events have not met.

    Attributes:
        covers: the attribute of `ControllerCoverage`.
    """

    covers: str

    def must_hit(self) -> bool:
        """Whether every bin must be hit: the few programs that Icarus has time for do not hit all."""
        return bool(self.pick(1, 0))

    async def finish(self) -> None:
        await super().finish()
        missed = getattr(self.env.coverage, self.covers).missed()
        if missed and self.must_hit():
            name, labels = next(reversed(missed.items()))
            self.fail(f"cover group {self.covers}: {name} never hit {', '.join(labels)}", kind="coverage")


@Covering.test
class Carries(Covering):
    """Halves of mcycle, minstret and mtime written around the carry from one to the other, and counters stopped."""

    covers = "counters"
    count = (3, 1)
    length = (5_000, 500)
    kinds = ("counters",)


@Covering.test
class Clears(Covering):
    """mip written while MVUs' interrupts come every few clocks: before, in and behind the clock of the write."""

    covers = "clears"
    count = (2, 1)
    length = (3_000, 300)
    kinds = ("clears",)

    def disturbance(self) -> Disturbance:
        return Disturbance(pulses=self.stimulus.random.choice((2, 4)))


@Covering.test
class BusInterrupts(Covering):
    """Interrupts in every phase of accesses that wait for the bus."""

    covers = "waits"
    count = (5, 1)
    length = (5_000, 300)
    kinds = ("bus_interrupts",)

    def disturbance(self) -> Disturbance:
        r = self.stimulus.random
        return Disturbance(interrupts=r.choice((4, 12)), latency=r.choice((0, 3, 30)))


@Covering.test
class Compares(Covering):
    """Halves of mtimecmp written by the hart, by others and by the host while all run; msip by the host, too."""

    covers = "compares"
    count = (4, 1)
    length = (4_000, 300)

    async def body(self) -> None:
        for _ in range(self.pick(*self.count)):
            item = self.stimulus.random_item("compares", self.pick(*self.length), Disturbance())
            item.beside = self.setting
            await self.play([item])
            await self.driver.or_stop(self.check_devices())

    async def setting(self, env: ControllerEnv) -> None:
        """The host writes devices. At the end of each round mtimecmp is near, for a hart may wait for it."""
        r = self.stimulus.random
        while True:
            hart = r.randrange(env.params.harts)
            if r.random() < 0.2:
                await env.write([memory_map.MSIP_BASE + 4 * hart], r.getrandbits(32))  # bit 0 counts
                continue
            compare = memory_map.MTIMECMP_BASE + 8 * hart
            if r.random() < 0.5:
                await env.write([compare + 4], 0xFFFF_FFFF)
            if r.random() < 0.5:
                await env.write([compare], env.clock() + 500)
            if r.random() < 0.8:
                await env.write([compare], env.clock() + r.randrange(-60, 60) & 0xFFFF_FFFF)
            await env.write([compare + 4], 0)
            await Timer(CLOCK_NS * r.randint(1, 60), "ns")

    async def check_devices(self) -> None:
        """The host reads what the golden simulator has."""
        env = self.env
        iss = env.lockstep.iss
        for hart in range(env.params.harts):
            low, high = (int(word) for word in await env.host.read(memory_map.MTIMECMP_BASE + 8 * hart, 2))
            soft = int((await env.host.read(memory_map.MSIP_BASE + 4 * hart))[0])
            for name, seen, expected in (
                ("mtimecmp", high << 32 | low, iss.mtimecmp[hart]),
                ("msip", soft, iss.msip[hart]),
            ):
                if seen != expected:
                    env.fail(
                        f"after the run the host reads {name} of hart {hart} as 0x{seen:x} instead of 0x{expected:x}",
                        kind="host",
                        time_ns=get_sim_time("ns"),
                    )
                    return


@Covering.test
class HeldWaits(HoldRelease, Covering):
    """Harts in wfi are held and released while interrupts come and go: what woke a held one counts."""

    covers = "wakes"
    count = (2, 1)
    length = (2_000, 200)
    shortest, longest = 5, 200

    async def body(self) -> None:
        for _ in range(self.pick(*self.count)):
            r = self.stimulus.random
            for kind, lines in (
                ("waits", Disturbance(interrupts=r.choice((4, 10, 40)))),
                ("dozes", Disturbance(flickers=r.choice((20, 50)))),
            ):
                item = self.stimulus.random_item(kind, self.pick(*self.length), lines)
                item.beside = self.holding
                await self.play([item])


@Covering.test
class Neighbours(Covering):
    """The host holds, releases and restarts some harts while the others trap, write CSRs and wait: what it does to one
    is seen by no other."""

    covers = "neighbours"
    count = (50, 2)  #: of rounds with each program
    length = (3_000, 300)
    kinds = ("csr", "interrupts", "bus_interrupts", "waits")
    again = 6  #: times at most that all kinds are played, until the rarest have met

    def must_hit(self) -> bool:
        """Few other harts seldom trap in the very clock of a restart."""
        return super().must_hit() and self.env.params.harts >= ControllerParameters().harts

    async def body(self) -> None:
        env = self.env
        for number, kind in enumerate(self.kinds * self.again):
            if number >= len(self.kinds) and not (self.must_hit() and env.coverage.neighbours.missed()):
                break
            item = self.stimulus.random_item(kind, self.pick(*self.length), Disturbance())
            await self.driver.or_stop(env.stop())
            await self.driver.or_stop(env.load(item.image))
            # An answer may come later than all registers of the hart would be cleared.
            env.mvus.latency = 120 if kind == "bus_interrupts" else 0
            await self.driver.or_stop(env.start(env.all_harts, item.entry))
            self.held = 0
            lines = [
                cocotb.start_soon(self.driver.interrupts(20)),
                cocotb.start_soon(self.pulses(item.harts)),
            ]
            for _ in range(self.pick(*self.count)):
                await self.driver.or_stop(self.round(item.entry))
            for each in lines:
                each.cancel()

    async def pulses(self, harts: int) -> None:
        """A pulse of all MVUs, seldom enough that a hart that is started anew in its clock reads mip before the next
        one."""
        env = self.env
        await FallingEdge(env.dut.clk_i)
        while True:
            await Timer(CLOCK_NS * self.stimulus.random.randint(5, 6) * env.slots, "ns")
            env.lines.pulse(harts)

    async def round(self, entry: int) -> None:
        """Some more harts are held; they go on, at once or later, or start anew, or stay as they are."""
        env, r = self.env, self.stimulus.random
        harts = range(env.params.harts)
        some = r.getrandbits(env.params.harts) & r.getrandbits(env.params.harts) | 1 << r.choice(harts)
        held = self.held | some
        # Written several times: so many clocks pass until the hart may go on.
        writes = [(HOLD, held)] * r.randint(1, 7)
        if r.random() < 0.6:
            again = [hart for hart in harts if held >> hart & 1 and r.random() < 0.5]
            writes += [(PC + 4 * hart, entry) for hart in r.sample(again, len(again))]
        self.held = held & (r.getrandbits(env.params.harts) if r.random() < 0.5 else 0)
        writes.append((HOLD, self.held))
        addresses, words = zip(*writes, strict=True)
        await env.write(addresses, words)
        await self.refused(r.choice(harts))
        await Timer(CLOCK_NS * r.choice((1, r.randint(1, 60), 300)), "ns")

    async def refused(self, hart: int) -> None:
        """The pc of a hart that is not held cannot be written, whatever others are; hold is as it was written."""
        env = self.env
        hold = int((await env.host.read(HOLD))[0])
        if hold != self.held:
            env.fail(
                f"the host reads hold as 0x{hold:x} instead of 0x{self.held:x}, which it has written",
                kind="host",
                time_ns=get_sim_time("ns"),
            )
        if self.held >> hart & 1:
            return
        _, errors = await env.host.access(np.array([PC + 4 * hart], np.uint64), IMEM_BASE, True)
        if not errors[0]:
            env.fail(
                f"the host could write the pc of hart {hart}, which is not held; held are harts 0x{self.held:x}",
                kind="host",
                time_ns=get_sim_time("ns"),
            )


@RandomPrograms.test
class BusyHost(RandomPrograms):
    """Harts write a register, or access the memory, in every slot: the host is answered in time all the same."""

    count = (3, 1)
    length = (6_000, 600)

    async def body(self) -> None:
        harts = self.env.params.harts
        self.accesses = 0
        for _ in range(self.pick(*self.count)):
            self.spare = self.stimulus.random.randrange(harts) if harts > 1 else None
            mask = self.env.all_harts & ~(1 << self.spare if self.spare is not None else 0)
            item = self.stimulus.random_item(
                "busy", self.pick(*self.length), Disturbance(), reserve=16, harts=mask
            )
            item.beside = self.asking
            await self.play([item])
        self.report.notes["host"] = f"{self.accesses:,} accesses answered in time beside busy harts"

    async def asking(self, env: ControllerEnv) -> None:
        r = self.stimulus.random
        base = IMEM_BASE + 4 * (env.params.imem_words + env.params.dmem_words - 16)
        while True:
            kind = r.choice(("memory", "memory", "device", "own", "pc"))
            if kind == "memory":
                word = r.getrandbits(32)
                address = base + 4 * r.randrange(16)
                await self.timed(env, f"write of 0x{address:08x}", ANSWERED, env.host.write(address, [word]))
                env.lockstep.iss.load(address, word.to_bytes(4, "little"))
                (got,) = await self.timed(env, f"read of 0x{address:08x}", ANSWERED, env.host.read(address))
                if got != word:
                    env.fail(
                        f"the host wrote 0x{word:08x} to 0x{address:08x} and reads 0x{got:08x} beside busy harts",
                        kind="host",
                        time_ns=get_sim_time("ns"),
                    )
                    return
            elif kind == "device":
                address = memory_map.MTIME_BASE + 4 * r.getrandbits(1)
                await self.timed(env, f"read of 0x{address:08x}", ANSWERED, env.host.read(address))
            elif kind == "own":
                address = r.choice((HOLD, CLOCKS))
                await self.timed(env, f"read of 0x{address:08x}", ANSWERED, env.host.read(address))
            elif self.spare is not None:
                pc = IMEM_BASE + 4 * r.randrange(env.params.imem_words)
                work = env.host.write(PC + 4 * self.spare, [pc])
                await self.timed(
                    env, f"write of the pc of hart {self.spare}, which is held,", RESTARTED, work
                )
            await Timer(CLOCK_NS * r.randint(1, 80), "ns")

    async def timed(self, env: ControllerEnv, what: str, clocks: int, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of an access, which must come within so many clocks."""
        task = cocotb.start_soon(work)
        ended, result = await select(task, Timer(CLOCK_NS * clocks, "ns"))
        if ended == 1:
            task.cancel()
            env.fail(
                f"the host's {what} beside busy harts is not answered after {clocks} clocks: no slot is left to it",
                kind="stuck",
                time_ns=get_sim_time("ns"),
            )
            await Timer(CLOCK_NS, "ns")
        self.accesses += 1
        return result if ended == 0 else np.zeros(1, np.uint32)


@RandomPrograms.test
class CounterEnds(RandomPrograms):
    """Programs that read the counters while clock and count of retirements go over places where a carry can be
    lost, which no run reaches by itself."""

    async def body(self) -> None:
        env, ends = self.env, (32, 12, 16, 20, 24, 40, 64)
        for bits in ends[: self.pick(len(ends), 1)]:
            self.bits = bits
            item = self.stimulus.random_item("counters", self.pick(1_000, 200), Disturbance())
            item.loaded = self.near_the_end
            await self.play([item])
            clocks, retired = self.ahead
            seen = int((await env.host.read(CLOCKS))[0])
            behind = clocks + env.clock() - seen & 0xFFFF_FFFF
            if behind > 40:  # it was read some clocks ago
                self.wrong("clocks", bits, seen, clocks + env.clock())
            seen = int((await env.host.read(RETIRED))[0])
            if seen != retired + env.lockstep.retired & 0xFFFF_FFFF:
                self.wrong("retired", bits, seen, retired + env.lockstep.retired)

    async def near_the_end(self, env: ControllerEnv) -> None:
        """Set the counters, before any hart has begun to count from them."""
        r = self.stimulus.random
        await RisingEdge(env.dut.clk_i)
        await Timer(1, "ns")
        clocks = (1 << self.bits) - 40 * env.params.harts - r.randint(300, 900)
        retired = (1 << min(self.bits, 32)) - r.randint(50, 150)
        env.dut.dut.u_csr.clock_q.value = clocks
        env.dut.dut.u_retire.retired_q.value = retired
        self.ahead = clocks - env.clock(), retired - env.lockstep.retired

    def wrong(self, name: str, bits: int, seen: int, expected: int) -> None:
        """Report a register of the host that has not gone over 2**bits as it must."""
        self.env.fail(
            f"the host reads {name} as 0x{seen:x} instead of 0x{expected & 0xFFFF_FFFF:x} after it went over 2**{bits}",
            kind="counter",
            time_ns=get_sim_time("ns"),
        )


@RandomPrograms.test
class ChangedWhileWaiting(RandomPrograms):
    """The host overwrites instructions that wait for their answers, of the bus or of the divider: each ends as it
    began."""

    count = (3, 1)
    length = (150, 30)

    async def body(self) -> None:
        env = self.env
        self.overwritten: set[int] = set()
        total = 0
        for _ in range(self.pick(*self.count)):
            program = waiting_program(self.stimulus.random, env.params, self.pick(*self.length))
            item = program_item(program, Disturbance(latency=200))
            item.beside = self.overwriting
            self.overwritten.clear()
            with env.eager("trace"):  # retirements are few
                await self.play([item])
            # The golden simulator's memory is as it was: all of it is loaded anew.
            env.lockstep.loaded = False
            total += len(self.overwritten)
        self.report.notes["instructions"] = f"{total} overwritten while they waited"
        if not total:
            env.fail("no instruction waited long enough to be overwritten", kind="stimulus")

    async def overwriting(self, env: ControllerEnv) -> None:
        """A pc that stays is that of an instruction that waits. Nobody comes back to it: the program has no loop."""
        r = self.stimulus.random
        while True:
            hart = r.randrange(env.params.harts)
            before = int((await env.host.read(PC + 4 * hart))[0])
            await Timer(CLOCK_NS * (2 * env.slots + 8), "ns")
            after = int((await env.host.read(PC + 4 * hart))[0])
            (word,) = (int(word) for word in await env.host.read(after))
            if before == after and waits(word) and after not in self.overwritten:
                self.overwritten.add(after)
                await env.host.write(after, [r.choice((0, 0x0000_0013, r.getrandbits(32)))])
