# SPDX-License-Identifier: Apache-2.0
"""Tests of the PE array's registers: status, interrupt, counters, and writes that clear."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from assay.golden.pe_array.clocks import RECIPROCAL, SHARE, SUM, tile_clocks
from assay.golden.pe_array.registers import ADDRESS_WIDTH, BY_NAME, IDENTITY, REGISTERS
from assay.golden.pe_array.tile import weight_packet
from assay.tb.agents.burst import ALWAYS, NEVER
from assay.tb.agents.clear_race import ClearRace, HardwareEvent
from assay.tb.agents.register import RegisterAdapter, RegisterTest, build_register_model
from assay.tb.bench import BenchStopped
from assay.tb.env import CLOCK_NS
from assay.tb.pe_array.base import PeArrayTest
from assay.tb.pe_array.tiles import CLEAR, CONTROL, STATUS, TileItem, error_bits, packet

COUNTERS = ("tiles", "busy_clocks", "starved_clocks", "blocked_clocks")


@PeArrayTest.test
class Registers(PeArrayTest):
    """Every field of every register: reset value, access, reserved bits."""

    async def body(self) -> None:
        p = self.env.params
        geometry = BY_NAME["geometry"].encode(
            {
                "rows": p.rows,
                "columns": p.columns,
                "vectors": p.vectors,
                "lanes": p.lanes,
                "data_width": p.data_width,
            }
        )
        test = RegisterTest(
            REGISTERS,
            addresses=range(1 << ADDRESS_WIDTH),
            resets={"identity": IDENTITY, "geometry": geometry},
        )
        for mismatch in await test.run(self.env.registers):
            self.env.fail(str(mismatch), kind="register", time_ns=mismatch.time_ns)
        self.report.words_compared += test.values_compared
        self.report.values_compared += test.values_compared

    async def finish(self) -> None:
        self.env.registers.check_finished()


@PeArrayTest.test
class StatusAndInterrupt(PeArrayTest):
    """Status, interrupt, counters; the pyuvm register model.

    Busy, done, errors and the interrupt by the bit: enables, clearing one by one; the counters against the bench's
    own; the registers through the pyuvm model.
    """

    async def body(self) -> None:
        await self.bit_by_bit()
        await self.counters()
        await self.model()

    async def check(self, when: str, irq: int, **expected: int) -> None:
        seen: dict[str, int | None] = {**STATUS.decode(await self.env.registers.read(STATUS.address))}
        await ClockCycles(self.env.dut.clk_i, 2)
        seen["irq"], expected["irq"] = self.env.interrupt.level, irq
        self.report.words_compared += 1
        wrong = [f"{n} is {seen[n]} instead of {v}" for n, v in expected.items() if seen[n] != v]
        if wrong:
            self.env.fail(f"status {when}: {', '.join(wrong)}", kind="status", time_ns=get_sim_time("ns"))
            raise BenchStopped

    async def control(self, **fields: int) -> None:
        await self.env.registers.write(CONTROL.address, CONTROL.encode(fields))

    async def clear(self, **fields: int) -> None:
        await self.env.registers.write(STATUS.address, STATUS.encode(fields))

    async def end_of(self, item: TileItem) -> None:
        """Play an item to its end without the driver's own check of the status."""
        await self.driver.play(item)
        await self.driver.drain()
        await self.env.settle(80)
        await ClockCycles(self.env.dut.clk_i, 20)

    def wrong(self) -> TileItem:
        """A header error, a weight packet and a pixel packet too short, then a good tile."""
        stimulus = self.stimulus
        item = stimulus.item("tile after errors", 100, packet__channels=2)
        tile, _ = item.computed
        good = weight_packet(tile, self.env.params)
        content, _ = item.pixel_packets[0]
        item.weight_packets[:0] = [stimulus.refused("magic", {"mode.magic": 0}), packet(good[:-1])]
        item.pixel_packets.insert(0, packet(content[: tile.packet_beats - 1]))
        return item

    async def bit_by_bit(self) -> None:
        (good,) = self.stimulus.random_items(1, 100)
        await self.check("after reset", 0, busy=0, tile_done=0, error=0)
        await self.control(irq_tile=0, irq_error=0)
        await self.end_of(self.wrong())
        await self.check("with both interrupts off", 0, busy=0, tile_done=1, error=7)
        await self.control(irq_error=1)
        await self.check("with irq_error", 1, tile_done=1, error=7)
        for bit, left in ((1, 6), (4, 2), (2, 0)):
            await self.clear(error=bit)
            await self.check(f"with error bit {bit} cleared", int(left > 0), tile_done=1, error=left)
        await self.control(irq_tile=1)
        await self.check("with irq_tile", 1, tile_done=1, error=0)
        await self.clear(tile_done=1)
        await self.check("with tile_done cleared", 0, tile_done=0, error=0)
        await self.end_of(good)
        await self.check("after a good tile", 1, busy=0, tile_done=1, error=0)
        await self.unused_addresses()
        await self.check("after writes to unused addresses", 1, busy=0, tile_done=1, error=0)
        await self.clear(tile_done=1)
        self.driver.forget_status()

    async def unused_addresses(self) -> None:
        """Now that status is not 0, no other address shows or clears it."""
        unused = sorted(set(range(1 << ADDRESS_WIDTH)) - {row.address for row in REGISTERS})
        await self.env.registers.write_many(dict.fromkeys(unused, 0xFFFFFFFF))
        seen = await self.env.registers.read_many(unused)
        if any(seen):
            at = next(address for address, word in zip(unused, seen, strict=True) if word)
            self.env.fail(f"unused address {at} does not read 0", kind="register", time_ns=get_sim_time("ns"))
            raise BenchStopped

    async def counters(self) -> None:
        """Counters of clocks in which nothing, pixels or the output is waited for; before each place where a carry can
        be lost, too."""
        for bits in (0, 8, 16, 20, 24, 28, 32)[: self.pick(7, 2)]:
            await self.waiting((1 << bits) - 1)
        for softmax in (0, 1)[: 1 + (self.env.params.data_width == 8)]:
            for _ in range(self.pick(6, 1)):
                await self.exactly(softmax)

    async def waiting(self, start: int) -> None:
        """A tile that waits for pixels, and one whose outputs wait, with the counters at `start` before."""
        env = self.env
        await ClockCycles(env.dut.clk_i, 1)
        for name in COUNTERS:
            getattr(env.dut.dut.u_regs, f"{name}_q").value = start
        self.driver.tiles = start
        self.driver.counted = dict.fromkeys(self.driver.counted, start)
        before = await self.counted()
        # A softmax's long weight packet would be what is waited for.
        item = self.stimulus.item("tile that waits", 200, repeat__images=1, mode__softmax=0)
        item.pixel_delay = 500
        await self.play([item])
        starved = await self.counted()
        env.agents["out"].bus.stall = ALWAYS
        item = self.stimulus.item(
            "tile whose outputs wait",
            400,
            repeat__images=2,
            extent__output_columns=8,
            entries=env.params.columns,
            mode__softmax=0,
        )
        await self.driver.play(item)
        await ClockCycles(env.dut.clk_i, 1500)
        env.agents["out"].bus.stall = NEVER
        await self.driver.finish()
        blocked = await self.counted()
        self.report.words_compared += 3 * len(COUNTERS)
        first = {name: starved[name] - before[name] & 0xFFFF_FFFF for name in COUNTERS}
        second = {name: blocked[name] - starved[name] & 0xFFFF_FFFF for name in COUNTERS}
        wrong = []
        if not (first["tiles"] == second["tiles"] == 1):
            wrong.append("tiles does not count one by one")
        # The weights are loaded within some clocks; then the tile waits for the rest of the pixels' delay.
        if not 300 <= first["starved_clocks"] <= first["busy_clocks"] < 5000:
            wrong.append(f"a tile waited 500 clocks for pixels, but the counters rose by {first}")
        if not 1000 <= second["blocked_clocks"] <= second["busy_clocks"] < 10_000:
            wrong.append(f"outputs waited 1500 clocks, but the counters rose by {second}")
        if (await self.counted())["busy_clocks"] != blocked["busy_clocks"]:
            wrong.append("busy_clocks counts while nothing is busy")
        self.check_counters(wrong)

    async def exactly(self, softmax: int) -> None:
        """A tile alone, whose streams wait for nothing: each clock is one of weights, of steps, of a softmax, or one in
        which pixels are waited for."""
        item = self.stimulus.item(
            "tile that is counted",
            300,
            repeat__images=1,
            repeat__row_blocks=1,
            extent__output_columns=1,
            mode__softmax=softmax,
            mode__table=0,
        )
        tile, _ = item.computed
        (clocks,) = tile_clocks([tile], self.env.params)
        end = clocks.outputs[1]
        steps = tile["packet.columns"] * tile.step_clocks + tile.flush
        softmaxes = softmax * (2 * tile.vector_length + SUM + RECIPROCAL + SHARE - 1)
        expected = {
            "tiles": 1,
            "busy_clocks": end,
            "starved_clocks": end - clocks.weights[1] - 1 - steps - softmaxes,
            "blocked_clocks": 0,
        }
        before = await self.counted()
        await self.play([item])
        after = await self.counted()
        rose = {name: after[name] - before[name] & 0xFFFF_FFFF for name in COUNTERS}
        self.report.words_compared += len(COUNTERS)
        self.check_counters(
            [
                f"{name} rose by {rose[name]} instead of {expected[name]} for a tile alone of {steps} clocks of steps"
                f" and {softmaxes} of a softmax, from the first weights to the last output {end}"
                for name in COUNTERS
                if rose[name] != expected[name]
            ]
        )

    async def counted(self) -> dict[str, int]:
        """All counters."""
        words = await self.env.registers.read_many([BY_NAME[name].address for name in COUNTERS])
        return dict(zip(COUNTERS, words, strict=True))

    def check_counters(self, wrong: list[str]) -> None:
        """Fail with what is wrong, if anything is."""
        if wrong:
            self.env.fail("; ".join(wrong), kind="counter", time_ns=get_sim_time("ns"))
            raise BenchStopped

    async def model(self) -> None:
        """The register table as a pyuvm register model."""
        model = build_register_model(REGISTERS)
        model.get_default_map().set_sequencer(self.env.register_agent.seqr, RegisterAdapter())
        for fields in ({"irq_tile": 1, "irq_error": 0}, {"irq_tile": 0, "irq_error": 1}):
            for name, value in fields.items():
                getattr(model.control, name).set(value)
            await model.control.update()
            _, word = await model.control.read()
            seen = CONTROL.decode(word)
            self.report.words_compared += 1
            if seen != {"clear": 0, **fields}:
                self.env.fail(f"control through the model: wrote {fields}, read {seen}", kind="register")
        for fields in ({"irq_tile": 1, "irq_error": 1}, {"irq_tile": 0, "irq_error": 0}):
            await self.control(clear=1, **fields)
            self.driver.flush()
            seen = CONTROL.decode(await self.env.registers.read(CONTROL.address))
            self.report.words_compared += 1
            if seen != {"clear": 0, **fields}:
                self.env.fail(f"control written with clear and {fields} is read as {seen}", kind="register")
        _, word = await model.identity.read()
        if word != IDENTITY:
            self.env.fail(f"identity through the model: 0x{word:08x}", kind="register")


@PeArrayTest.test
class ClearRaces(PeArrayTest):
    """A write that clears status in every clock around the end of a tile and around each error."""

    async def body(self) -> None:
        env = self.env
        await env.registers.write(CONTROL.address, CONTROL.encode({"irq_tile": 1, "irq_error": 1}))
        race = ClearRace(
            STATUS,
            env.registers,
            env.interrupt,
            env.dut.clk_i,
            self.stimulus.random,
            idle=(1 << ADDRESS_WIDTH) - 1,
            rest=self.driver.drain,
            clock_ns=CLOCK_NS,
            around=self.pick(3, 1),
        )
        wrong = await race.run(self.events(), thorough=bool(self.pick(1, 0)))
        self.driver.forget_status()
        self.report.words_compared += race.trials
        for offset in race.offsets:
            env.coverage.clears.sample(offset=max(-2, min(offset, 2)))
        if wrong:
            env.fail(wrong, kind="status", time_ns=get_sim_time("ns"))
            raise BenchStopped
        self.must_cover(env.coverage.clears)

    def events(self) -> list[HardwareEvent]:
        """A tile that ends, and each way to drop a packet."""
        stimulus, params = self.stimulus, self.env.params
        good = stimulus.item("tile that ends as status is cleared", 60)
        header = TileItem("wrong header")
        header.weight_packets.append(stimulus.refused("magic", {"mode.magic": 0}))
        weights = TileItem("short weight packet")
        weights.weight_packets.append(packet(weight_packet(good.computed[0], params)[:-1]))
        pixels = stimulus.item("tile after a short pixel packet", 60, packet__channels=2)
        content, _ = pixels.pixel_packets[0]
        pixels.pixel_packets.insert(0, packet(content[: pixels.computed[0].packet_beats - 1]))
        events = [self.event("a tile ends", good, {"tile_done": 1})]
        for item, error in ((header, "header"), (weights, "weight_length"), (pixels, "pixel_length")):
            item.errors = {error}
            sets = {"error": error_bits(item.errors)}
            events.append(self.event(f"a packet is dropped ({error})", item, sets))
        return events

    def event(self, name: str, item: TileItem, sets: dict[str, int]) -> HardwareEvent:
        later = {"tile_done": 1} if item.errors and item.tile is not None else {}
        return HardwareEvent(name, sets, begin=lambda: cocotb.start_soon(self.driver.play(item)), later=later)


@PeArrayTest.test
class ClearEnds(PeArrayTest):
    """control.clear in every clock around the end of a tile, and in others of its course, which is known to the clock.

    A tile alone always takes the same clocks, so that each clear has one right result: the tile has ended before it,
    or it has never been. A register write in each clock, of which one clears, says in which clock it is taken.
    """

    around = 4  #: clocks before and after the end

    async def body(self) -> None:
        env, r = self.env, self.stimulus.random
        await env.registers.write(CONTROL.address, CONTROL.encode({"irq_tile": 1}))
        taken = await self.clear_alone()
        for number in range(self.pick(4, 2)):
            item = self.stimulus.item("tile to clear", 60, **self.given(number))
            # The interrupt rises with the clock that ends the tile, and a clear acts one clock after its write.
            due = await self.end_alone(item) - 1
            (clocks,) = tile_clocks([item.computed[0]], env.params)
            # The last output beat leaves a clock after the one that ends the tile.
            begun = due - clocks.outputs[1] + 1
            # What is not taken before the clear would come behind it as the begin of a packet.
            weights, pixels = begun + clocks.weights[1], begun + clocks.pixels[1]
            ends = range(-self.around, self.around + 1) if number % 2 == 0 else range(-1, 2)
            earlier = range(min(pixels - due, -self.around), -self.around)
            some = r.sample(earlier, min(len(earlier), self.pick(8, 3)))
            for offset in (*ends, *some):
                await self.trial(item, due + offset, taken, offset)
            for later in range(self.pick(3, 1)):
                await self.trial(item, weights + later, taken)
        env.interrupt.clear()
        self.must_cover(env.coverage.ends_of_tiles)

    def given(self, number: int) -> dict[str, int]:
        """A short tile; of each three one is a softmax of several words."""
        short = {"repeat__images": 1, "repeat__row_blocks": 1, "entries": min(self.env.params.columns, 6)}
        if number % 3 == 1 and self.env.params.data_width == 8:
            return {**short, "mode__softmax": 1, "mode__table": 0, "extent__output_columns": 2}
        return {**short, "mode__softmax": 0}

    async def clear_alone(self) -> int:
        """Clocks from the first beat of a burst to the one in which it is taken, as `end_alone` counts them."""
        env = self.env
        (item,) = self.stimulus.random_items(1, 60)
        await self.driver.play(item)
        await self.driver.drain()
        await self.env.settle()
        env.interrupt.clear()
        begun = get_sim_time("ns")
        await self.send([(STATUS.address, CLEAR)])
        await ClockCycles(env.dut.clk_i, 12)
        await env.registers.write(CONTROL.address, CONTROL.encode({"clear": 1, "irq_tile": 1}))
        await env.registers.read(STATUS.address)  # no packet may begin in the clock that clears
        self.driver.flush()
        return self.changed(begun, 0) - 1

    async def end_alone(self, item: TileItem) -> int:
        """Clocks from the first beat of the tile's packets to its end; it is compared as any other."""
        env = self.env
        env.interrupt.clear()
        begun = get_sim_time("ns")
        await self.driver.play(item)
        await self.driver.finish()
        return self.changed(begun, 1)

    def changed(self, begun: float, level: int) -> int:
        """Clocks until the interrupt had this level for the first time."""
        times = [edge.time_ns for edge in self.env.interrupt.edges if edge.level == level]
        if not times:
            self.env.fail(f"the interrupt has not become {level}", kind="status", time_ns=get_sim_time("ns"))
            raise BenchStopped
        return round((times[0] - begun) / CLOCK_NS)

    async def send(self, writes: list[tuple[int, int]]) -> None:
        """Register writes, one in each clock."""
        addresses, words = np.array(writes, np.uint64).T
        await self.env.registers.write_at(addresses, words)

    async def trial(self, item: TileItem, clock: int, taken: int, offset: int | None = None) -> None:
        """Clear in a clock, counted from the first beat of the packets.

        Args:
            item: whose packets are sent.
            taken: the clock in which the first of several register writes is taken.
            offset: of the clear, from the clock that ends the tile; None: only the weight packet is sent.
        """
        env = self.env
        idle = (1 << ADDRESS_WIDTH) - 1
        sent = self.again(item)
        if offset is None:
            sent.tile, sent.pixel_packets = None, []
        # The write comes before the clear's own clock, as the register holds it for one.
        writes = [(idle, 0)] * (clock - taken - 1)
        begun = get_sim_time("ns")
        cocotb.start_soon(self.driver.play(sent))
        await self.send([*writes, (CONTROL.address, CONTROL.encode({"clear": 1, "irq_tile": 1}))])
        elapsed = round((get_sim_time("ns") - begun) / CLOCK_NS)
        await ClockCycles(env.dut.clk_i, max(clock - elapsed, 0) + 40)
        await env.settle(100)
        env.results.flush()
        self.driver.flush()
        names = ("status", "tiles", "busy_clocks", "starved_clocks", "blocked_clocks")
        word, *counts = await env.registers.read_many([BY_NAME[name].address for name in names])
        seen = STATUS.decode(word)
        expected = {"busy": 0, "tile_done": int(offset is not None and offset > 0), "error": 0}
        self.report.words_compared += 1 + len(counts)
        when = "in the clock of a weight packet's last beat, or soon after it"
        if offset is not None:
            when = f"{offset} clocks after the one that ends a tile"
            env.coverage.ends_of_tiles.sample(clear=max(-2, min(offset, 2)))
        if seen != expected or any(counts):
            env.fail(
                f"clear {when}: status is {seen} instead of {expected}, the counters are {counts} instead of 0",
                kind="clear",
                time_ns=get_sim_time("ns"),
                cause="pe_array_regs: what a clear does to the counters"
                if any(counts)
                else "pe_array: which tile has ended, or is held, when a clear comes",
            )
            raise BenchStopped
        await env.registers.write(STATUS.address, CLEAR)
        await self.play([self.again(item, f"tile like one that was cleared {when}")])

    def again(self, item: TileItem, name: str = "tile to clear") -> TileItem:
        """The same tile once more."""
        return TileItem.of(name, *item.computed, self.env.params)
