# SPDX-License-Identifier: Apache-2.0
"""Tests of the controller. Each says what it plays; everything else is the environment's."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time

from assay.golden.controller import memory_map
from assay.golden.controller.csrs import INTERRUPT_FLAG
from assay.golden.controller.memory_map import IMEM_BASE
from assay.tb.bench import Finding, ItemTest
from assay.tb.cases import none_to_play, to_play
from assay.tb.controller.controller_cases import ControllerCases, item_of
from assay.tb.controller.elf import load_as_asked
from assay.tb.controller.env import CLOCKS, HOLD, HOST_HARTS, PC, RETIRED, ControllerEnv
from assay.tb.controller.items import Disturbance, ProgramDriver, ProgramItem
from assay.tb.controller.program_maker import KINDS
from assay.tb.controller.random_program import VECTORS
from assay.tb.controller.stimulus import Stimulus
from assay.tb.controller.toolchain import build_program
from assay.tb.env import CLOCK_NS
from assay.tb.report import RUN_DIR

#: Stall probabilities of the tests that stall, in 1/256.
DENSITIES = (0, 16, 64, 128, 200)


class ControllerTest(ItemTest):
    """A test of the controller."""

    toplevel = "controller"
    environment = ControllerEnv
    item_driver = ProgramDriver
    item_stimulus = Stimulus
    env: ControllerEnv
    driver: ProgramDriver
    stimulus: Stimulus

    async def finish(self) -> None:
        """Nothing may be left on the bus or unanswered; what was executed is counted."""
        env = self.env
        await self.driver.or_stop(env.stop())
        self.report.add_scoreboard(env.lockstep)
        env.host.check_finished()
        for group in env.coverage.groups:
            self.report.add_coverage(group)
        measure = self.driver.measure
        self.report.notes["retired"] = (
            f"{measure.retired:,} instructions in {measure.clocks:,} clocks, {env.lockstep.timing.taken:,} interrupts"
        )

    def program(self, name: str, harts: int, disturbance: Disturbance | None = None) -> ProgramItem:
        """One of tb/controller/programs on a mask of harts."""
        program = build_program(name, self.env.params)
        return ProgramItem(
            f"program {name} on harts 0x{harts:x}",
            self.stimulus.image_of(program, harts),
            program.entry,
            harts,
            program.tohost,
            retirements=2_000_000,
            disturbance=disturbance,
        )


# -------------------------------------------------------------------------------------------------
# Programs
# -------------------------------------------------------------------------------------------------
@ControllerTest.test
async def programs(self: ControllerTest) -> None:
    """Self-checking programs in assembly and C: each instruction, trap and interrupt, MVU driver, shared memory."""
    every, one = self.env.all_harts, 1 << self.stimulus.random.randrange(self.env.params.harts)
    names = ("isa", "traps", "interrupts", "sort", "mvu", "shared", "environment_p")
    runs = [(name, every) for name in names]
    if self.pick(1, 0):
        runs += [(name, one) for name in ("isa", "traps", "interrupts")]
    else:
        runs = [("isa", one), ("traps", one), ("interrupts", every), ("mvu", every), ("shared", every)]
    await self.play(self.program(*entry) for entry in runs)


@ControllerTest.test
async def bus_stalls(self: ControllerTest) -> None:
    """Programs that use the bus, with answers late and out of order and stalls on every port."""
    for latency, stall in ((3, 0), (40, 64), (200, 200)):
        slow = Disturbance(latency=latency, stall=stall)
        await self.play(
            self.program(name, self.env.all_harts, slow)
            for name in ("mvu", "interrupts", "traps")[: self.pick(3, 1)]
        )


@ControllerTest.test(skip=none_to_play(__file__))
async def cases(self: ControllerTest) -> None:
    """The case in CASE, or the kept cases of this build; where there is none, a random program."""
    played = to_play(ControllerCases(), "controller", __file__)
    for case in played:
        await self.play(item_of(step) for step in case.steps)
    if not played:
        await self.play([self.stimulus.random_item("mixed", 200, Disturbance())])


@ControllerTest.test(skip="ASSAY_ELF" not in os.environ)
async def elf(self: ControllerTest) -> None:
    """The program in ELF, in lock-step until it writes tohost."""
    settings = {
        name: os.environ[f"ASSAY_{name}"] for name in ("TOHOST", "FORCE") if f"ASSAY_{name}" in os.environ
    }
    program = load_as_asked(os.environ["ASSAY_ELF"], self.env.params, settings)
    harts = int(os.environ.get("ASSAY_HARTS", "1"), 0) & self.env.all_harts
    limit = int(os.environ.get("ASSAY_LIMIT", "10000000"), 0)
    await self.play(
        [
            ProgramItem(
                program.name,
                self.stimulus.image_of(program, harts),
                program.entry,
                harts,
                program.tohost,
                retirements=limit,
            )
        ]
    )
    if program.tohost is not None:
        said = "ended with tohost = 1: passed"
    elif resting := self.env.lockstep.resting(harts):
        said = f"has no tohost; it came to rest: {resting}"
    else:
        said = f"has no tohost; it was ended after {self.driver.measure.retired:,} instructions"
    self.report.notes["program"] = f"{program.name} {said}"


# -------------------------------------------------------------------------------------------------
# Random programs
# -------------------------------------------------------------------------------------------------
@ControllerTest.test
class RandomPrograms(ControllerTest):
    """Random programs on all harts: hazards, branches both ways, accesses at all alignments and edges,
    traps."""

    count = (6, 1)
    length = (5_000, 300)
    kinds: tuple[str, ...] = ("mixed",)

    def disturbance(self) -> Disturbance:
        """What goes on beside the next program."""
        return Disturbance()

    async def body(self) -> None:
        count, length = self.pick(*self.count), self.pick(*self.length)
        await self.play(
            self.stimulus.random_item(kind, length, self.disturbance())
            for _ in range(count)
            for kind in self.kinds
        )


@RandomPrograms.test
class RandomInterrupts(RandomPrograms):
    """Random programs while interrupt lines change at random clocks; wfi, timers, software interrupts,
    vectors."""

    kinds = ("interrupts",)

    def disturbance(self) -> Disturbance:
        return Disturbance(interrupts=self.stimulus.random.choice((20, 60, 200)))


@RandomPrograms.test
class CsrStorm(RandomPrograms):
    """Random programs of CSR instructions: every CSR, every form, corner operands."""

    count = (3, 1)
    kinds = ("csr",)


@RandomPrograms.test
class Operands(RandomPrograms):
    """Every operation and branch on every pair of operands at their corners."""

    count = (1, 1)
    length = (8_000, 400)
    kinds = ("operands",)


@RandomPrograms.test
class SelfModifying(RandomPrograms):
    """Random programs that change their own code, with fence.i."""

    count = (3, 1)
    kinds = ("self_modifying",)


@RandomPrograms.test
class BusErrors(RandomPrograms):
    """Accesses to MVUs, some of them refused, answered late and out of order."""

    count = (3, 1)
    kinds = ("mvu",)

    def disturbance(self) -> Disturbance:
        r = self.stimulus.random
        return Disturbance(latency=r.choice((0, 5, 60)), error_rate=0.2, stall=r.choice(DENSITIES))


# -------------------------------------------------------------------------------------------------
# The host
# -------------------------------------------------------------------------------------------------
@RandomPrograms.test
class HostTraffic(RandomPrograms):
    """The host reads and writes words that no hart touches, while random programs run; its answers wait, too."""

    count = (3, 1)

    async def body(self) -> None:
        items = [
            self.stimulus.random_item("mixed", self.pick(*self.length), Disturbance(stall=stall), reserve=16)
            for stall in (0, *DENSITIES[-2:])[: self.pick(*self.count)]
        ]
        for item in items:
            item.beside = self.traffic
        await self.play(items)
        self.report.notes["host"] = f"{self.words:,} words written and read beside programs"

    words = 0

    async def traffic(self, env: ControllerEnv) -> None:
        r = self.stimulus.random
        base = IMEM_BASE + 4 * (env.params.imem_words + env.params.dmem_words - 16)
        while True:
            count = r.randint(1, 16)
            first = r.randrange(16 - count + 1)
            words = self.stimulus.rng.integers(0, 1 << 32, count, np.uint32)
            hart = r.randrange(env.params.harts)
            _, errors = await env.host.access(np.array([PC + 4 * hart], np.uint64), IMEM_BASE, True)
            if not errors[0]:
                env.fail(
                    f"the host could write the pc of hart {hart}, which is not held",
                    kind="host",
                    time_ns=get_sim_time("ns"),
                )
                return
            await env.host.write(base + 4 * first, words)
            got = await env.host.read(base + 4 * first, count)
            env.lockstep.iss.load(base + 4 * first, words.astype("<u4").tobytes())
            self.words += count
            if not np.array_equal(got, words):
                at = int(np.argmax(got != words))
                env.fail(
                    f"the host wrote 0x{int(words[at]):08x} to 0x{base + 4 * (first + at):08x} and reads "
                    f"0x{int(got[at]):08x} beside running harts",
                    kind="host",
                    time_ns=get_sim_time("ns"),
                )
                return
            await Timer(CLOCK_NS * r.randint(1, 40), "ns")


@RandomPrograms.test
class HoldRelease(RandomPrograms):
    """The host holds and releases harts in mid-run; a held one does not retire, a released one goes on where
    it was."""

    count = (2, 1)
    shortest, longest = 20, 600  #: clocks from one change of hold to the next

    async def body(self) -> None:
        items = [
            self.stimulus.random_item("mixed", self.pick(*self.length), Disturbance())
            for _ in range(self.pick(*self.count))
        ]
        for item in items:
            item.beside = self.holding
        await self.play(items)

    async def holding(self, env: ControllerEnv) -> None:
        r = self.stimulus.random
        while True:
            await Timer(CLOCK_NS * r.randint(self.shortest, self.longest), "ns")
            await env.release(r.getrandbits(env.params.harts) | 1 << r.randrange(env.params.harts))


@ControllerTest.test
class Resets(ControllerTest):
    """Resets at random clocks in the middle of programs; then everything starts from the beginning."""

    async def body(self) -> None:
        r = self.stimulus.random
        for _ in range(self.pick(4, 2)):
            item = self.stimulus.random_item("mixed", 3_000, Disturbance(latency=8))
            await self.env.load(item.image)
            await self.env.start(item.harts, item.entry)
            await ClockCycles(self.env.dut.clk_i, r.randint(50, 3_000))
            # What has left the pipeline is compared first: the memories keep what the stores did.
            await self.driver.or_stop(self.env.stop())
            await self.env.start(r.getrandbits(self.env.params.harts) | 1, item.entry)
            await ClockCycles(self.env.dut.clk_i, r.randint(1, 40))
            await self.env.reset(r.randint(1, 5))
            self.env.lockstep.loaded = False  # a store may or may not have happened
            await self.driver.or_stop(self.check_reset())
        await self.play([self.stimulus.random_item("mixed", self.pick(2_000, 200), Disturbance())])

    async def check_reset(self) -> None:
        """All harts are held at the reset pc."""
        env = self.env
        hold = int((await env.host.read(HOLD))[0])
        pcs = await env.host.read(PC, env.params.harts)
        retired = int((await env.host.read(RETIRED))[0])
        if hold != env.all_harts or (pcs != memory_map.RESET_PC).any() or retired:
            env.fail(
                f"after reset hold is 0x{hold:x}, the pcs are {[hex(int(pc)) for pc in pcs]}, {retired} retired",
                kind="reset",
                time_ns=get_sim_time("ns"),
            )


@ControllerTest.test
class Restarts(ControllerTest):
    """Harts held at random clocks in the middle of interrupts, then started anew: nothing is left of what
    they did."""

    async def body(self) -> None:
        env, r = self.env, self.stimulus.random
        for kind in ("interrupts", "waits", "bus_interrupts", "csr"):
            item = self.stimulus.random_item(kind, self.pick(3_000, 300), Disturbance())
            await self.driver.or_stop(self.env.stop())
            await self.driver.or_stop(env.load(item.image))
            env.mvus.latency = r.choice((5, 60)) if kind == "bus_interrupts" else 0
            for _ in range(self.pick(18, 2)):
                await self.driver.or_stop(
                    self.round(item.entry, r.randint(600, 2_500), r.choice((20, 2_000)))
                )

    async def round(self, entry: int, length: int, mean: int) -> None:
        """So many clocks, then all harts are held; the lines change every `mean` clocks."""
        env = self.env
        await env.start(env.all_harts, entry)
        lines = cocotb.start_soon(
            # Some meet the very clock in which a hart is started anew.
            self.driver.pulses(2) if self.stimulus.random.random() < 0.3 else self.driver.interrupts(mean)
        )
        await ClockCycles(env.dut.clk_i, length)
        if self.stimulus.random.getrandbits(1):
            # Started anew at once, several times: what is in the pipeline or waits for the bus ends before.
            r = self.stimulus.random
            for _ in range(r.randint(1, 6)):
                harts = r.sample(range(env.params.harts), env.params.harts)
                pcs = [PC + 4 * hart for hart in harts]
                await env.write([HOLD, *pcs], [env.all_harts, *[entry] * len(pcs)])
                await env.release(env.all_harts)
                await ClockCycles(env.dut.clk_i, r.randint(1, 60))
            await env.release(0)
        else:
            await env.stop()
            # What wakes a held hart lets it do nothing.
            env.lines.pulse(env.all_harts)
            await ClockCycles(env.dut.clk_i, 600)
            await env.drain()
        lines.cancel()


_HOST_WINDOW = 0x100  # bytes of the host port's own registers


@ControllerTest.test
class Registers(ControllerTest):
    """The host port: its own registers, the memories from end to end, refused addresses, state after a
    run."""

    async def body(self) -> None:
        env = self.env
        await self.driver.or_stop(self.memories())
        await self.driver.or_stop(self.registers())
        await self.driver.or_stop(self.refused())
        await self.play([self.stimulus.random_item("mixed", self.pick(2_000, 200), Disturbance())])
        await self.driver.or_stop(self.after_run())
        env.report.words_compared += 1

    def expect(self, what: str, seen: int, expected: int) -> None:
        if seen != expected:
            self.env.fail(
                f"the host reads {what} as 0x{seen:x} instead of 0x{expected:x}",
                kind="host",
                time_ns=get_sim_time("ns"),
            )

    async def memories(self) -> None:
        """Both memories from end to end, the first and last words of each twice."""
        env = self.env
        total = env.params.imem_words + env.params.dmem_words
        words = self.stimulus.rng.integers(0, 1 << 32, total, np.uint32)
        await env.load(words)
        got = await env.host.read(IMEM_BASE, total)
        wrong = np.flatnonzero(got != words)
        if len(wrong):
            at = int(wrong[0])
            self.expect(f"0x{IMEM_BASE + 4 * at:08x}", int(got[at]), int(words[at]))

    async def registers(self) -> None:
        env = self.env
        self.expect("the number of harts", int((await env.host.read(HOST_HARTS))[0]), env.params.harts)
        self.expect("hold after reset", int((await env.host.read(HOLD))[0]), env.all_harts)
        self.expect("retired after reset", int((await env.host.read(RETIRED))[0]), 0)
        first = int((await env.host.read(CLOCKS))[0])
        before = env.clock()
        await ClockCycles(env.dut.clk_i, 500)
        passed = int((await env.host.read(CLOCKS))[0]) - first
        if abs(passed - (env.clock() - before)) > 40:
            self.expect("clocks of 500 and some", passed, env.clock() - before)
        for hart in range(env.params.harts):
            pc = IMEM_BASE + 4 * self.stimulus.random.randrange(env.params.imem_words)
            await env.host.write(PC + 4 * hart, [pc])
            self.expect(f"the pc of hart {hart}", int((await env.host.read(PC + 4 * hart))[0]), pc)

    async def refused(self) -> None:
        """Addresses that are nothing answer with an error, reads and writes; the next access is fine."""
        env = self.env
        end = IMEM_BASE + 4 * (env.params.imem_words + env.params.dmem_words)
        own = {HOLD, HOST_HARTS, RETIRED, CLOCKS, *(PC + 4 * hart for hart in range(env.params.harts))}
        window = set(range(memory_map.HOST_BASE, memory_map.HOST_BASE + _HOST_WINDOW, 4)) - own
        nothing = (0, IMEM_BASE - 4, end, 0xFFFF_FFFC, memory_map.MSIP_BASE - 4, *sorted(window))
        misaligned = (HOLD + 1, HOLD + 2, HOLD + 3, PC + 2, IMEM_BASE + 1, memory_map.MTIME_BASE + 2)
        before = int((await env.host.read(IMEM_BASE))[0]), int((await env.host.read(PC))[0])
        for address in (*nothing, *misaligned):
            for write in (False, True):
                rdata, errors = await env.host.access(np.array([address], np.uint64), 0, write)
                if not errors[0]:
                    env.fail(
                        f"the host's {'write' if write else 'read'} of 0x{address:08x}, which is nothing, has no error",
                        kind="host",
                        time_ns=get_sim_time("ns"),
                    )
                self.expect(f"the answer to the refused access of 0x{address:08x}", int(rdata[0]), 0)
        self.expect("hold after refused writes", int((await env.host.read(HOLD))[0]), env.all_harts)
        self.expect(
            "the first word after refused writes", int((await env.host.read(IMEM_BASE))[0]), before[0]
        )
        self.expect("the pc of hart 0 after refused writes", int((await env.host.read(PC))[0]), before[1])
        self.expect("the number of harts", int((await env.host.read(HOST_HARTS))[0]), env.params.harts)

    async def after_run(self) -> None:
        """pcs of the stopped harts and the memories are the golden simulator's."""
        env = self.env
        self.expect("the retired instructions", int((await env.host.read(RETIRED))[0]), env.lockstep.retired)
        for hart in range(env.params.harts):
            golden = env.lockstep.iss.harts[hart].pc
            self.expect(f"the pc of hart {hart}", int((await env.host.read(PC + 4 * hart))[0]), golden)
        got = await env.host.read(IMEM_BASE, env.params.imem_words + env.params.dmem_words)
        wrong = np.flatnonzero(got != env.lockstep.memory())
        if len(wrong):
            at = int(wrong[0])
            self.expect(f"0x{IMEM_BASE + 4 * at:08x}", int(got[at]), int(env.lockstep.memory()[at]))


# -------------------------------------------------------------------------------------------------
# Planted faults: each must be found, and named
# -------------------------------------------------------------------------------------------------
class Planted(ControllerTest):
    """Random programs whose trace is altered before it is compared."""

    hook = "alter"

    kind = "mixed"
    after = 300
    interrupts = 0
    retirements = (2_000, 400)  # by simulator

    def alter(self, records: np.ndarray) -> None:
        """Change records in place."""
        raise NotImplementedError

    async def body(self) -> None:
        self.seen = 0
        self.planted = False

        def altered(records: np.ndarray) -> np.ndarray:
            self.seen += len(records)
            if self.seen < self.after or self.planted:
                return records
            records = records.copy()
            self.alter(records)
            return records

        self.env.lockstep.alter = altered
        await self.play(
            [
                self.stimulus.random_item(
                    self.kind, self.pick(*self.retirements), Disturbance(interrupts=self.interrupts)
                )
            ]
        )


@Planted.test(finds=Finding("mismatch", "rd_wdata"))
def planted_result(self: Planted, records: np.ndarray) -> None:
    """Self-check: a flipped bit of a register write is found."""
    places = np.flatnonzero((records["rd_addr"] != 0) & (records["trap"] == 0))
    if len(places):
        records["rd_wdata"][places[len(places) // 2]] ^= 1 << 7
        self.planted = True


@Planted.test(finds=Finding("mismatch", "csr mscratch", cause="executed twice"))
class PlantedCsrTwice(Planted):
    """Self-check: a CSR instruction that reads what it writes itself is said to have been executed twice."""

    kind = "csr"
    after = 0
    retirements = (2_000, 2_000)

    def alter(self, records: np.ndarray) -> None:
        insn, old, source = records["insn"], records["csr"], records["rs1_rdata"]
        form = insn >> 12 & 7  # csrrw, csrrs, csrrc of mscratch, with a register to read and one to write
        reads = (insn & 0x7F == 0x73) & (insn >> 20 == 0x340) & (insn >> 7 & 31 != 0) & (insn >> 15 & 31 != 0)
        written = np.select([form == 1, form == 2, form == 3], [source, old | source, old & ~source], old)
        places = np.flatnonzero(reads & (written != old) & (records["trap"] == 0))
        if len(places):
            at = places[0]
            records["csr"][at] = records["rd_wdata"][at] = written[at]
            self.planted = True


@Planted.test(finds=Finding("mismatch", "mem_wdata"))
def planted_store(self: Planted, records: np.ndarray) -> None:
    """Self-check: a flipped bit of a store is found."""
    places = np.flatnonzero(records["mem_wmask"] != 0)
    if len(places):
        records["mem_wdata"][places[0]] ^= 1
        self.planted = True


@Planted.test(finds=Finding("mismatch", "cause"))
def planted_cause(self: Planted, records: np.ndarray) -> None:
    """Self-check: a trap with a wrong cause is found."""
    places = np.flatnonzero((records["trap"] != 0) & (records["intr"] == 0))
    if len(places):
        records["cause"][places[0]] ^= 1
        self.planted = True


@Planted.test(finds=Finding("mismatch", "pc"))
def planted_loss(self: Planted, records: np.ndarray) -> None:
    """Self-check: a lost retirement is found."""
    at = len(records) // 2
    records[at:-1] = records[at + 1 :]
    records[-1] = records[-2]
    self.planted = True


@Planted.test(finds=Finding("check", "interrupt 11 is taken, which is not"))
class PlantedInterrupt(Planted):
    """Self-check: an interrupt that is not pending or not enabled is found.

    An interrupt that nobody raised.
    """

    kind = "interrupts"

    def alter(self, records: np.ndarray) -> None:
        places = np.flatnonzero((records["intr"] == 0) & (records["trap"] == 0))
        if len(places):
            records["intr"][places[0]] = 1
            records["cause"][places[0]] = INTERRUPT_FLAG | 11
            self.planted = True


LATER = 200  #: clocks in which every retirement so far has reached the scoreboard


@Planted.test(finds=Finding("check", "interrupt 11 is pending and enabled", "not taken: too late or never"))
class PlantedLine(Planted):
    """Self-check: an interrupt that is pending, enabled and never taken is found.

    Interrupt lines that the device never sees.
    """

    kind = "enabled"  # where nothing else tells of the line, once the program has read what a restart clears
    retirements = (4_000, 4_000)

    def alter(self, records: np.ndarray) -> None:
        if self.planted or not (records["pc_rdata"] >= VECTORS).any():
            return
        clock = self.env.clock() + LATER
        for hart in range(self.env.params.harts):
            self.env.lines.levels[hart].append((clock, 1))
        self.planted = True


@ControllerTest.test(finds=Finding("nothing compared", "not a single retirement was compared"))
async def planted_nothing(self: ControllerTest) -> None:
    """A run that compared nothing fails."""


# -------------------------------------------------------------------------------------------------
# Endurance and speed
# -------------------------------------------------------------------------------------------------
@ControllerTest.test(skip="ASSAY_N" not in os.environ)
class Soak(ControllerTest):
    """Random programs of every kind until N instructions have retired; `make shrink` makes one that fails small."""

    async def body(self) -> None:
        goal = int(os.environ.get("ASSAY_N", "200000"), 0)
        r, env = self.stimulus.random, self.env
        started = told = time.monotonic()
        number = 0
        while env.lockstep.beats_compared < goal:
            number += 1
            kind = r.choice(tuple(KINDS))
            disturbance = Disturbance(
                interrupts=r.choice((20, 60, 200)) if kind == "interrupts" else 0,
                latency=r.choice((0, 5, 60)) if kind == "mvu" else 0,
                error_rate=0.1 if kind == "mvu" else 0.0,
            )
            item = self.stimulus.random_item(kind, 4_000, disturbance)
            self.report.steps = []  # of the program that fails, for `make shrink`
            await self.play([item])
            if time.monotonic() - told > 5:
                told = time.monotonic()
                done = env.lockstep.beats_compared
                print(
                    f"soak: {done:,} of {goal:,} instructions, {number} programs, "
                    f"{done / (told - started):,.0f} instructions/s, all equal",
                    flush=True,
                )


@ControllerTest.test
class Speed(ControllerTest):
    """Instructions a second with the scoreboard on (`make bench`).

    One program on all harts, again and again; leaves what the C++ harness needs to run it alone.
    """

    runs = 32  #: about 2.5 million instructions

    async def body(self) -> None:
        lockstep, harts = self.env.lockstep, self.env.all_harts
        first, *items = [self.program("sort", harts) for _ in range(1 + self.runs)]
        self.write_traffic(first)
        await self.play([first])  # once before the clock runs: the simulator's functions are made
        retired, cpu = lockstep.beats_compared, time.process_time()
        await self.play_timed(items, lambda: lockstep.beats_compared)
        retired, cpu = lockstep.beats_compared - retired, time.process_time() - cpu
        rate = (
            f"{retired / self.seconds:,.0f} instructions/s with the scoreboard on, "
            f"{retired / cpu:,.0f} in a second of the processor"
        )
        self.report.notes["speed"] = rate
        cocotb.log.info(rate)

    def write_traffic(self, item: ProgramItem) -> None:
        """``traffic.bin`` for the harness, ``expected.bin`` that it must answer with."""
        folder = os.environ.get(RUN_DIR)
        if not folder:
            return
        head = np.array([self.runs, len(item.image), item.entry, item.harts, item.tohost], "<u4")
        (Path(folder) / "traffic.bin").write_bytes(head.tobytes() + item.image.astype("<u4").tobytes())
        (Path(folder) / "expected.bin").write_bytes(np.ones(self.runs, "<u4").tobytes())
