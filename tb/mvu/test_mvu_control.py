# SPDX-License-Identifier: Apache-2.0
"""Tests of the MVU's job control: status and interrupt, registers, illegal jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import TypeVar

import numpy as np
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from assay.golden.formats import IntFormat
from assay.golden.mvu.functional import Configuration, Registers, config_causes
from assay.golden.mvu.registers import ADDRESS_WIDTH, BY_NAME, REGISTERS, encode
from assay.tb.agents.clear_race import ClearRace, HardwareEvent
from assay.tb.agents.register import RegisterAdapter, RegisterTest, build_register_model
from assay.tb.bench import BenchStopped
from assay.tb.env import CLOCK_NS
from assay.tb.mvu.base import MvuTest
from assay.tb.mvu.env import SCALER
from assay.tb.mvu.jobs import COMMAND, STATUS, JobItem

T = TypeVar("T")
_BURST_CLOCKS = 90  # from the last word of a burst to its end in Python, and from its begin to the first one


@MvuTest.test
class JobControl(MvuTest):
    """Status and interrupt by the bit: while jobs run and wait, and cleared one by one."""

    async def body(self) -> None:
        plain = IntFormat(2, False)
        layer, size = self.stimulus.layer(
            "controlled",
            kernel=(1, 1),
            padding=(0, 0, 0, 0),
            stride=(1, 1),
            size=(8, 8),
            channels=(self.env.params.lanes, self.env.params.lanes),
            weight_format=plain,
            input_format=plain,
            output_format=plain,
            pool=None,
            residual=None,
        )
        (self.good,) = self.stimulus.items(layer, size)
        self.bad = {**self.good.registers, "mvuquant": {"msb": 48}}
        await self.driver.load(self.good)
        await self.while_running()
        await self.bit_by_bit()
        await self.commands_alone()
        await self.long_countdowns()

    async def start(self, registers: dict[str, dict[str, int] | int]) -> None:
        result = self.env.golden.run(registers)
        if len(result.data):
            self.driver.expect(self.good, result)
        await self.env.registers.write_many(encode(registers))

    async def clear(self, *bits: str) -> None:
        status = BY_NAME["mvustatus"]
        await self.env.registers.write(status.address, status.encode(dict.fromkeys(bits, 1)))

    async def ended(self) -> None:
        await self.env.interrupt.wait(timeout_clocks=5000)

    async def check(self, when: str, irq: int, **expected: int) -> None:
        status = BY_NAME["mvustatus"]
        seen: dict[str, int | None] = {**status.decode(await self.env.registers.read(status.address))}
        await ClockCycles(self.env.dut.clk_i, 2)
        seen["irq"], expected["irq"] = self.env.interrupt.level, irq
        self.report.words_compared += 1
        wrong = [
            f"{name} {seen[name]} instead of {value}"
            for name, value in expected.items()
            if seen[name] != value
        ]
        if wrong:
            self.env.fail(f"mvustatus {when}: {', '.join(wrong)}", kind="status", time_ns=get_sim_time("ns"))
            raise BenchStopped

    async def while_running(self) -> None:
        await self.start(self.good.registers)
        await self.start(self.good.registers)
        await self.check("with one job running, one waiting", 0, busy=1, pending=1, done=0, error=0, jobs=0)
        await self.ended()
        await self.check("after the first of two", 1, busy=1, pending=0, done=1, error=0, jobs=1)
        await self.start(self.good.registers)
        await self.check("with another one waiting", 1, busy=1, pending=1, done=1, error=0, jobs=1)
        await self.clear("done")
        await self.check("with done cleared while one waits", 0, busy=1, pending=1, done=0, error=0, jobs=1)
        await self.ended()
        await self.clear("done")
        await self.check("with done cleared while one runs", 0, busy=1, pending=0, done=0, error=0, jobs=2)
        await self.ended()
        await self.check("after all", 1, busy=0, pending=0, done=1, error=0, jobs=3)
        await self.unused_addresses()
        await self.check("after writes to unused addresses", 1, busy=0, pending=0, done=1, error=0, jobs=3)
        await self.clear("done")

    async def unused_addresses(self) -> None:
        """Now that mvustatus is not 0, no other address shows or clears it."""
        unused = sorted(set(range(1 << ADDRESS_WIDTH)) - {row.address for row in REGISTERS})
        await self.env.registers.write_many(dict.fromkeys(unused, 0xFFFFFFFF))
        seen = await self.env.registers.read_many(unused)
        if any(seen):
            at = next(address for address, word in zip(unused, seen, strict=True) if word)
            self.env.fail(f"unused address {at} does not read 0", kind="register", time_ns=get_sim_time("ns"))
            raise BenchStopped

    async def bit_by_bit(self) -> None:
        cause = config_causes(self.bad)
        await self.start(self.bad)
        await self.ended()
        await self.check("after an illegal job", 1, busy=0, done=1, error=1, cause=cause, jobs=4)
        await self.clear("done")
        await self.check("with done cleared, error not", 1, done=0, error=1, cause=cause, jobs=4)
        await self.clear("error")
        await self.check("with error cleared too", 0, done=0, error=0, cause=0, jobs=4)
        await self.start(self.bad)
        await self.ended()
        await self.clear("error")
        await self.check("with error cleared, done not", 1, done=1, error=0, cause=0, jobs=5)
        await self.clear("done")
        await self.check("with both cleared", 0, done=0, error=0, cause=0, jobs=5)

    async def commands_alone(self) -> None:
        """The command is written several times behind each other, and nothing else: each is a job of its own. What is
        read meanwhile is what was written."""
        env, words = self.env, encode(self.good.registers)
        before = STATUS.decode(await env.registers.read(STATUS.address))["jobs"]
        await self.start(self.good.registers)
        count = 5
        for _ in range(count - 1):
            self.driver.expect(self.good, env.golden.run(self.good.registers))
            await env.registers.write(COMMAND.address, words[COMMAND.address])
            addresses = [COMMAND.address, *self.stimulus.random.sample(sorted(words), 12)]
            seen = await env.registers.read_many(addresses)
            for address, word in zip(addresses, seen, strict=True):
                if word != words[address]:
                    env.fail(
                        f"{REGISTERS[address].name} is read as 0x{word:x} while a job waits, but 0x{words[address]:x} "
                        "was written",
                        kind="register",
                        time_ns=get_sim_time("ns"),
                    )
                    raise BenchStopped
            self.report.words_compared += len(addresses)
        await env.settle()
        await ClockCycles(env.dut.clk_i, 600)
        await self.check(
            f"after {count} commands", 1, busy=0, pending=0, done=1, error=0, jobs=(before + count) % 256
        )
        await self.clear("done")

    async def long_countdowns(self) -> None:
        """A job of 2**bit multiply clocks and some, all of one output, still runs when these few are over."""
        field = COMMAND.field("countdown")
        for bit in range(field.width - 1, 9, -self.pick(1, 6)):
            countdown = (1 << bit) + self.stimulus.random.randint(1, 200)
            registers = {**self.good.registers, "mvucommand": {"countdown": countdown, "multiply_mode": 1}}
            registers |= {f"mvuwlength{k}": (1 << 15) - 1 for k in (6, 7)}
            await self.env.registers.write_many(encode(registers))
            await ClockCycles(self.env.dut.clk_i, 400)
            when = (
                f"300 clocks after the start of a job of 2**{bit} + {countdown - (1 << bit)} multiply clocks"
            )
            await self.check(when, 0, busy=1, pending=0, done=0, error=0)
            await self.env.reset()
            self.driver.flush()


@MvuTest.test
class ClearRaces(MvuTest):
    """A write that clears mvustatus in every clock around the end of a job: legal, cut short and refused ones."""

    async def body(self) -> None:
        race = ClearRace(
            STATUS,
            self.env.registers,
            self.env.interrupt,
            self.env.dut.clk_i,
            self.stimulus.random,
            idle=(1 << ADDRESS_WIDTH) - 1,
            linked={"error": ("cause",)},
            rest=self.env.settle,
            clock_ns=CLOCK_NS,
            around=self.pick(3, 1),
        )
        wrong = await race.run(await self.events(), thorough=bool(self.pick(1, 0)))
        self.report.words_compared += race.trials
        for offset in race.offsets:
            self.env.coverage.clears.sample(offset=max(-2, min(offset, 2)))
        if wrong:
            self.env.fail(wrong, kind="status", time_ns=get_sim_time("ns"))
            raise BenchStopped
        self.must_cover(self.env.coverage.clears)

    async def events(self) -> list[HardwareEvent]:
        """A short legal job, the same cut inside a pool group, and refused ones."""
        good = self.stimulus.short_pooled("cleared")
        await self.driver.load(good)
        countdown = Configuration(good.registers).countdown - 1
        command = {"countdown": countdown, "max_pool": 1, "multiply_mode": 1}
        spoilers: tuple[Registers, ...] = ({"mvuquant": {"msb": 48}}, {"mvuprecision": {}})
        return [
            self.event("a job ends", good, good.registers),
            self.event(
                "a job that is cut in a pool group ends", good, {**good.registers, "mvucommand": command}
            ),
            *(self.event("an illegal job ends", good, {**good.registers, **other}) for other in spoilers),
        ]

    def event(self, name: str, item: JobItem, registers: Registers) -> HardwareEvent:
        causes = config_causes(registers)
        sets = {"done": 1, "error": int(causes != 0), "cause": causes}
        writes = list(encode(registers).items())
        assert writes[-1][0] == COMMAND.address  # which starts the job

        def begin() -> None:
            self.env.coverage.sample_job(registers, causes, overlap=False)
            result = self.env.golden.run(registers)
            if len(result.data):
                self.driver.expect(item, result)

        return HardwareEvent(name, sets, writes, begin, counts=("jobs",))


@MvuTest.test(name="registers")
class EveryRegister(MvuTest):
    """Every field of every register: reset value, access, reserved bits."""

    async def body(self) -> None:
        # mvucommand starts a job; the jobs of the other tests write it.
        test = RegisterTest(REGISTERS, keep_off={"mvucommand"}, addresses=range(1 << ADDRESS_WIDTH))
        for mismatch in await test.run(self.env.registers):
            self.env.fail(str(mismatch), kind="register", time_ns=mismatch.time_ns)
        self.report.words_compared += test.values_compared
        self.report.values_compared += test.values_compared

    async def finish(self) -> None:
        self.env.registers.check_finished()


@MvuTest.test
class RegisterModel(MvuTest):
    """The pyuvm register model reaches every register, and runs a job.

    The register table as a pyuvm register model: every register through it, then a job's status field by field.
    """

    async def body(self) -> None:
        model = build_register_model(REGISTERS)
        model.get_default_map().set_sequencer(self.env.register_agent.seqr, RegisterAdapter())
        rng = self.stimulus.random
        for row in REGISTERS:
            if row.name in ("mvucommand", "mvustatus"):
                continue
            register = getattr(model, row.name)
            expected = 0
            for field in row.fields:
                value = rng.randrange(1 << field.width)
                expected |= value << field.lsb
                getattr(register, field.name).set(value)
            await register.update()
            _, word = await register.read()
            self.expect(row.name, row.decode(word), row.decode(expected))
            await register.write(0)
        # The bench's own driver knows nothing of these writes, and they have left every register at 0.
        (item,) = self.stimulus.random_items(1, 600, dest=0)
        await self.driver.load(item)
        self.driver.expect(item, self.env.golden.run(item.registers))
        for address, word in sorted(encode(item.registers).items()):
            await getattr(model, REGISTERS[address].name).write(word)
        await self.env.interrupt.wait(timeout_clocks=10_000)
        _, word = await model.mvucommand.read()
        command = BY_NAME["mvucommand"]
        self.expect(
            "mvucommand", command.decode(word), command.decode(encode(item.registers)[command.address])
        )
        _, word = await model.mvustatus.read()
        self.expect(
            "mvustatus",
            BY_NAME["mvustatus"].decode(word),
            {"busy": 0, "done": 1, "error": 0, "pending": 0, "jobs": 1, "cause": 0},
        )

    def expect(self, register: str, seen: dict[str, int], expected: dict[str, int]) -> None:
        self.report.words_compared += 1
        if seen != expected:
            self.env.fail(
                f"register {register} through the model: expected {expected}, seen {seen}", kind="register"
            )


@MvuTest.test
class IllegalJobs(MvuTest):
    """Illegal configurations are refused with their causes: every term of every rule, at its bound, and several at
    once; the unit recovers."""

    async def body(self) -> None:
        await self.play(self.items())

    def items(self) -> Iterator[JobItem]:
        most = self.pick(200, 100)
        for number, item in enumerate(self.stimulus.illegal_items(most, self.pick(1 << 16, 24))):
            yield item
            if number % 3 == 2:
                yield from self.stimulus.random_items(1, most, dest=0)
        self.must_cover(self.env.coverage.errors)


@MvuTest.test
async def full_rate(self: MvuTest) -> None:
    """A unit at rest takes or gives a word in every clock, at its memory, its crossbar input and its parameters."""
    env, rng, count = self.env, self.stimulus.rng, self.pick(600, 200)
    width = env.params.lanes // 8
    words = rng.integers(0, 256, (count, width), np.uint8)
    crossbar = rng.integers(0, 256, (count, width), np.uint8)
    base = env.params.data_depth - 2 * count
    env.golden.load(base, words)
    env.golden.load(base + count, crossbar)
    arriving = env.formats["xbi"].pack(data=crossbar, addr=base + count + np.arange(count))
    entries = np.arange(count) % env.params.channel_depth
    parameters = env.formats["prm"].pack(data=0, lane=0, word=entries, select=SCALER)

    async def timed(what: str, work: Awaitable[T]) -> T:
        started = env.clock()
        result = await work
        clocks = env.clock() - started
        if clocks > count + _BURST_CLOCKS:
            env.fail(
                f"{what} took {clocks} clocks for {count} words: a word in every clock is due",
                kind="rate",
                time_ns=get_sim_time("ns"),
            )
        return result

    async def sent(port: str, beats: np.ndarray) -> None:
        bus = env.agents[port].bus
        await bus.send(beats)
        await bus.drain()

    async def written() -> None:
        await env.memory.write(base, words)
        await env.agents["mem_req"].bus.drain()

    await timed("writing to the memory", written())
    await timed("writing through the crossbar", sent("xbi", arriving))
    await timed("writing scalers", sent("prm", parameters))
    seen = await timed("reading the memory", env.memory.read(base, count))
    env.compare_words("words written at full rate", base, seen)
    env.compare_words("words from the crossbar", base + count, await env.memory.read(base + count, count))
    await self.play(self.stimulus.random_items(1, 400))  # and jobs run as ever
