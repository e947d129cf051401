# SPDX-License-Identifier: Apache-2.0
"""Tests of the PE array. Each says what it plays; everything else is the environment's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles
from cocotb.utils import get_sim_time

from assay.golden import DoesNotFitError
from assay.golden.graph import Node
from assay.golden.pe_array.clocks import RECIPROCAL, SHARE, SUM, tile_clocks
from assay.golden.pe_array.mapping import map_operator
from assay.golden.pe_array.parameters import MAX_KERNEL
from assay.golden.pe_array.plan import ArrayPlan
from assay.golden.pe_array.registers import BY_NAME
from assay.golden.pe_array.shapes import SHAPES
from assay.golden.pe_array.tile import OutputBeats, weight_packet
from assay.golden.pe_array.vectors import Vector, read
from assay.tb.agents.burst import ALWAYS, NEVER, StreamError, StreamViolation
from assay.tb.bench import BenchStopped, Finding
from assay.tb.cases import none_to_play, to_play
from assay.tb.pe_array.base import PeArrayTest
from assay.tb.pe_array.layers import RandomLayers
from assay.tb.pe_array.networks import items, layer_items, load_workload
from assay.tb.pe_array.pe_array_cases import PeArrayCases
from assay.tb.pe_array.tiles import CLEAR, CONTROL, STATUS, TileItem
from assay.tb.pe_array.traffic import Traffic
from assay.tb.report import RUN_DIR

#: Stall probabilities of the tests that stall, in 1/256.
DENSITIES = (0, 16, 64, 128, 200, 240)


# -------------------------------------------------------------------------------------------------
# Real layers
# -------------------------------------------------------------------------------------------------
@PeArrayTest.test
class RealLayers(PeArrayTest):
    """Every layer of the int8 digit network, or of MODEL, bit-exact (the default of `make TOPLEVEL=pe_array`).

    A real network, every layer from its golden input: the digit network on test images nobody trained on, or the
    user's own.
    """

    async def body(self) -> None:
        right = total = 0
        rng = self.stimulus.rng
        workload = load_workload(os.environ.get("ASSAY_MODEL", ""), os.environ.get("ASSAY_INPUTS", ""), rng)
        network = workload.network
        plan = ArrayPlan(network, self.env.params)
        images = rng.choice(len(workload), min(self.pick(4, 1), len(workload)), replace=False).tolist()
        for index in images:
            trace = workload.trace(index)
            for node in plan.layers:
                self.env.coverage.sample_layer(node.operator)
            await self.play(
                item for node in plan.layers for item in items(plan, node, trace, self.same(node, trace))
            )
            cocotb.log.info("%s, image %d: all layers equal", network.name, index)
            if workload.labels is not None:
                right += int(trace[network.outputs[0]].argmax()) == int(workload.labels[index])
                total += 1
        if total:
            self.report.notes["digits recognised"] = f"{right} of {total}"
        if plan.host:
            self.report.notes["left to the host"] = (
                f"{len(plan.host)} of {len(plan.host) + len(plan.layers)} layers:{plan.left_out()}"
            )

    def same(self, node: Node, trace: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], None]:
        """The golden array, which the device equals, against the network's own arithmetic: two paths, one result."""

        def compare(output: np.ndarray) -> None:
            expected = trace[node.outputs[0]]
            if not np.array_equal(output.reshape(expected.shape), expected):
                self.env.fail(
                    f"golden array and network disagree on the output of layer {node.name}", kind="golden"
                )

        return compare


@PeArrayTest.test(skip="ASSAY_VECTORS" not in os.environ)
class VectorSet(PeArrayTest):
    """The vector set in VECTORS."""

    async def body(self) -> None:
        env = self.env
        params, tiles = read(Path(os.environ["ASSAY_VECTORS"]))
        if params != env.params:
            env.fail(f"the vector set was made for {params}, the build is {env.params}", kind="vectors")
        for vector in tiles:
            item = TileItem.of(f"layer {vector.name}", vector.tile, vector.pixels, params)
            item.made = self.same(vector)
            await self.play([item])
            cocotb.log.info("%s: %d beats equal", vector.name, len(vector.expected))

    def same(self, vector: Vector) -> Callable[[OutputBeats], None]:
        def compare(made: OutputBeats) -> None:
            if not np.array_equal(self.env.pack_output(made), self.env.pack_output(vector.expected)):
                self.env.fail(f"the golden array and the vector set disagree on {vector.name}", kind="golden")

        return compare


@PeArrayTest.test(skip=none_to_play(__file__))
async def cases(self: PeArrayTest) -> None:
    """The case in CASE, or the kept cases of this build; where there is none, a random tile."""
    played = to_play(PeArrayCases(), "pe_array", __file__)
    for case in played:
        await self.play_steps(case.steps)
    if not played:
        await self.play(self.stimulus.random_items(1, 300))


# -------------------------------------------------------------------------------------------------
# Constrained random and directed layers and tiles
# -------------------------------------------------------------------------------------------------
@PeArrayTest.test
async def random_layers(self: PeArrayTest) -> None:
    """Constrained random layers: kernels, strides, padding, groups, activations, pooling, pairs, tables."""
    env = self.env
    layers = RandomLayers(self.stimulus)
    most = self.pick(3000, 400)
    await self.play(layers.items(self.pick(150, 8), most, env.coverage, env.fail))
    if env.params.data_width == 8 and env.params.columns >= MAX_KERNEL:  # others cannot have every layer
        await self.play(layers.new_items(self.pick(10_000, 0), most, env.coverage, env.fail))
        for group in (env.coverage.layers, env.coverage.convolutions, env.coverage.pools):
            self.must_cover(group)


@PeArrayTest.test
async def published_layers(self: PeArrayTest) -> None:
    """Layers of AlexNet, VGG-16 and ResNet-50, scaled, random numbers: output and clocks (try Rows=7 Columns=96)."""
    played = 0
    for network, shapes in SHAPES.items():
        others = self.stimulus.rng.permutation(len(shapes) - 1)[: self.pick(2, 1)] + 1
        for shape in (shapes[0], *(shapes[i] for i in others)):
            try:
                layer = shape.scaled(self.pick(2_000_000, 40_000)).tiles(self.env.params, self.stimulus.rng)
            except DoesNotFitError:
                continue  # an array smaller than these networks ask for
            await self.play(layer_items(f"{network} {shape.name}", layer))
            played += 1
    self.report.notes["published layers"] = f"{played} of three networks, scaled"


@PeArrayTest.test
async def random_tiles(self: PeArrayTest) -> None:
    """Constrained random tiles: every field of the header, any columns, entries, weights and pixels."""
    await self.play(self.stimulus.random_items(self.pick(120, 12), self.pick(1500, 400)))
    if self.pick(1, 0) and self.env.params.data_width < 16:  # no bound is above words of 16 bits
        self.must_cover(self.env.coverage.fields)


@PeArrayTest.test
async def elongated_tiles(self: PeArrayTest) -> None:
    """Tiles of some hundred or thousand columns, row blocks or images."""
    await self.play(self.stimulus.elongated(self.pick(12, 2), self.pick(20_000, 6000)))
    self.must_cover(self.env.coverage.lengths)


@PeArrayTest.test
async def past_16_bits(self: PeArrayTest) -> None:
    """More steps, and more rows of the padded map, than 16 bits count."""
    await self.play(self.stimulus.past_16_bits())
    self.must_cover(self.env.coverage.extents)


@PeArrayTest.test
async def stalls(self: PeArrayTest) -> None:
    """Random valid and ready at set densities on every stream."""
    for item in self.stimulus.random_items(self.pick(30, 4), self.pick(600, 150)):
        for name in ("wgt", "pix", "out", "reg_req", "reg_rsp"):
            self.env.agents[name].bus.stall = self.stimulus.random.choice(DENSITIES)
        await self.play([item])
    self.env.stall(NEVER)


@PeArrayTest.test
class Interleavings(PeArrayTest):
    """Weight packets early and late against pixels, without draining between configurations.

    Tiles back to back, the streams with rests of their own: weights long before their pixels or long after them,
    the next tile's weights in the middle of this one's pixels, outputs that nobody takes for a while.
    """

    async def body(self) -> None:
        r = self.stimulus.random
        for density in (NEVER, 128):
            self.env.stall(density)
            self.env.agents["out"].bus.stall = r.choice(DENSITIES)
            await self.play(self.items(self.pick(20, 3)))
        self.env.stall(NEVER)
        if self.env.params.data_width == 8:
            await self.tables(self.pick(24, 2))

    async def tables(self, count: int) -> None:
        """Two softmaxes, of which the second one's exponentials begin to come while those of the first are read: to be
        summed, or for the shares."""
        r = self.stimulus.random
        for number in range(count):
            entries = r.randint(2, min(self.env.params.columns, 6))
            given = {"mode__softmax": 1, "mode__table": 0, "extent__output_columns": 6, "entries": entries}
            given |= {"repeat__images": 1, "repeat__row_blocks": 1}
            first, second = (
                self.stimulus.item(f"softmax {2 * number + k}, tables meet", 600, **given) for k in range(2)
            )
            tile, _ = first.computed
            (clocks,) = tile_clocks([tile], self.env.params)
            begins = clocks.outputs[0] - SHARE - number % 2 * (RECIPROCAL + SUM + tile.vector_length)
            behind, _ = second.computed
            before = behind.weight_packet_beats(self.env.params) - behind["extent.weight_beats"]
            assert behind.table is not None  # of a softmax
            before -= len(behind.table) * -(-32 // self.env.params.weight_bits)
            due = r.randint(begins, begins + tile.vector_length) - before
            second.weight_delay = max(0, due - clocks.weights[1])
            await self.play([first, second])

    def items(self, count: int) -> Iterator[TileItem]:
        r = self.stimulus.random
        most = self.pick(400, 120)
        items = [*self.stimulus.random_items(count, most)]
        if self.env.params.data_width == 8:
            # One softmax behind the other: the exponentials of the next come in while this one is made.
            for at in range(count // 4, count // 2):
                items[at] = self.stimulus.item(f"softmax {at}", most, mode__softmax=1, mode__table=0)
        for item in items:
            item.weight_delay = r.choice((0, 0, 1, r.randint(0, 60), 600))
            item.pixel_delay = r.choice((0, 0, 1, r.randint(0, 60), 600))
            yield item


@PeArrayTest.test
async def corners(self: PeArrayTest) -> None:
    """1x1x1, largest channel counts that fit, ends of products and accumulators, one row or column of map."""
    most = self.pick(1 << 20, 1000)
    items = ((item, item.computed[0]) for item in self.stimulus.corners())
    await self.play(item for item, tile in items if tile.packets * tile.step_clocks <= most)
    if self.env.params.data_width == 8:
        self.must_cover(self.env.coverage.softmaxes)


# -------------------------------------------------------------------------------------------------
# Reset, clear, wrong packets
# -------------------------------------------------------------------------------------------------
@PeArrayTest.test
async def reset_mid_tile(self: PeArrayTest) -> None:
    """rst_ni in the middle of packets and tiles, then a clean run."""
    r = self.stimulus.random
    for _ in range(self.pick(24, 4)):
        self.env.stall(r.choice((NEVER, NEVER, 128)))
        for item in self.stimulus.random_items(2, 300):
            await self.driver.play(item)
        await ClockCycles(self.env.dut.clk_i, r.randint(1, r.choice((60, 1000))))
        self.driver.flush()
        await self.env.reset()
        if self.env.interrupt.level != 0:
            self.env.fail("the interrupt is raised after reset", kind="reset")
        self.env.stall(NEVER)
        await self.play(self.stimulus.random_items(2, 200))


@PeArrayTest.test
class ClearMidTile(PeArrayTest):
    """control.clear at any clock of a tile of which only a part was sent; the next tiles run as if nothing
    had been."""

    busy = 0  #: clears that met a tile

    async def body(self) -> None:
        r = self.stimulus.random
        for number in range(self.pick(24, 4)):
            # A softmax cleared while it has words, and one after it, which would find them.
            softmax = number % 3 == 0 and self.env.params.data_width == 8
            given = self.softmax() if softmax else {}
            item = self.stimulus.item("tile to clear", 300, **given)
            # Parts end within packets: what is not sent now must not come later. The golden array answers for whole
            # row blocks only, so that the beats of a tile in part are awaited and then forgotten.
            cut = {"wgt": r.random() < 0.3, "pix": True}
            for name, packets in (("wgt", item.weight_packets), ("pix", item.pixel_packets)):
                content, last = packets[0]
                if cut[name]:
                    beats = r.randint(0, len(content) - 1)
                    packets[0] = (content[:beats], last[:beats])
            if not cut["wgt"] or not len(item.pixel_packets[0][0]):
                await self.driver.play(item)
            else:
                item.tile = None
                item.pixel_packets = []
                await self.driver.play(item)
            await ClockCycles(self.env.dut.clk_i, r.randint(1, 400))
            await self.drop()
            await self.play(self.stimulus.item(f"tile {n} after clear", 200, **given) for n in range(2))

    def softmax(self) -> dict[str, int]:
        """A softmax of several words in most of the clocks that it takes."""
        entries = self.stimulus.random.randint(2, min(self.env.params.columns, 6))
        return {"mode__softmax": 1, "mode__table": 0, "extent__output_columns": 5, "entries": entries}

    async def drop(self) -> None:
        """Clear the device once it has taken all that was sent, and forget what was expected."""
        env = self.env
        await self.driver.sent(moving=False)
        self.busy += STATUS.decode(await env.registers.read(STATUS.address))["busy"]
        await env.registers.write(CONTROL.address, CONTROL.encode({"clear": 1}))
        await env.registers.read(STATUS.address)
        await env.settle(400)
        env.results.flush()
        self.driver.flush()
        status, *counts = await env.registers.read_many(
            BY_NAME[name].address
            for name in ("status", "tiles", "busy_clocks", "starved_clocks", "blocked_clocks")
        )
        if STATUS.decode(status)["busy"] or any(counts):
            env.fail(
                f"after clear status is 0x{status:08x}, the counters {counts}",
                kind="clear",
                time_ns=get_sim_time("ns"),
            )
            raise BenchStopped
        await env.registers.write(STATUS.address, CLEAR)


@PeArrayTest.test
class ClearWaitingOutput(ClearMidTile):
    """control.clear while results of a whole tile wait to be taken; the next tiles run as if nothing had been."""

    async def body(self) -> None:
        r, env = self.stimulus.random, self.env
        out = env.agents["out"].bus
        self.busy = 0
        count = self.pick(80, 6)
        for number in range(count):
            softmax = number % 2 == 0 and env.params.data_width == 8
            given = self.softmax() if softmax else {}
            if number % 4 == 1:
                # A column is complete in every clock: all stages wait.
                given = {"packet__channels": 1, "window__kernel_rows": 1, "window__column_stride": 1}
                entries = min(env.params.columns, 12)
                given |= {"extent__output_columns": 9, "entries": entries, "mode__softmax": 0}
            # A clear may take back a beat that waits (docs/pe_array.md); until the reset below nobody looks at that.
            on_error, out.on_error = out.on_error, self.withdrawn
            out.stall = r.choice((200, 240, 250))
            await self.driver.play(self.stimulus.item("tile to clear", 300, **given))
            # Not until output has come: by the time that Python sees it all of the tile may have left.
            await self.driver.sent(moving=False)
            await ClockCycles(env.dut.clk_i, r.randint(1, r.choice((30, 300))))
            out.stall = ALWAYS  # what the clear leaves comes when the next tile is awaited
            await self.drop()
            out.stall = NEVER
            await self.play(self.stimulus.item(f"tile {n} after clear", 200, **given) for n in range(2))
            self.driver.flush()
            await env.reset()
            out.on_error = on_error
        if self.busy < count // 2:
            env.fail(
                f"only {self.busy} of {count} clears met a tile", kind="stimulus", time_ns=get_sim_time("ns")
            )

    def withdrawn(self, error: StreamError) -> None:
        if not isinstance(error, StreamViolation):
            self.env.fail(error)


@PeArrayTest.test
class WrongPackets(PeArrayTest):
    """tlast too early, too late, missing: dropped whole with a sticky error, and the next good packet
    works."""

    async def body(self) -> None:
        for density in (NEVER, 100)[self.pick(0, 1) :]:
            self.env.stall(density)
            for item in (*self.weights(), *self.pixels()):
                await self.play([item])
        # Several errors in one go, tiles in between, without looking at the status.
        shuffled = [*self.weights(), *self.pixels()]
        self.stimulus.random.shuffle(shuffled)
        await self.play(shuffled)
        self.env.stall(NEVER)
        self.must_cover(self.env.coverage.cuts)

    def good(self, channels: int = 0) -> TileItem:
        given = {"packet__channels": channels, "mode__softmax": 0} if channels else {}
        if channels:  # each of two beats
            given |= {"window__kernel_rows": 2, "window__row_stride": 1, "extent__weight_beats": 2 * channels}
        return self.stimulus.item("good tile", self.pick(100, 60), **given)

    def weights(self) -> Iterator[TileItem]:
        tile, _ = self.good().computed
        for what, wrong in self.stimulus.wrong_lengths(weight_packet(tile, self.env.params)):
            item = self.good()
            item.set_name(f"good tile after weights {what}")
            item.weight_packets.insert(0, wrong)
            item.errors = {"weight_length"}
            yield item

    def pixels(self) -> Iterator[TileItem]:
        channels = self.stimulus.random.randint(4, 6)
        for what in range(6 + channels - 1):
            item = self.good(channels)
            content, last = item.pixel_packets[0]
            tile, _ = item.computed
            beats = tile.packet_beats
            at = self.stimulus.random.randrange(tile.packets)
            right = content[at * beats : (at + 1) * beats]
            wrongs = list(self.stimulus.wrong_lengths(right, tile["window.beats"]))
            name, wrong = wrongs[what]
            if len(wrong[0]) < beats:
                self.env.coverage.sample_cut(len(wrong[0]), tile)
            item.set_name(f"good tile with pixels {name}")
            item.pixel_packets = [
                (content[: at * beats], last[: at * beats]),
                wrong,
                (content[at * beats :], last[at * beats :]),
            ]
            item.errors = {"pixel_length"}
            yield item


@PeArrayTest.test
async def wrong_headers(self: PeArrayTest) -> None:
    """Headers that the array refuses: one rule at a time, broken by one, by far, and past what 16 bits count."""
    for what, ways in self.stimulus.wrong_headers():
        item = self.stimulus.item(f"good tile after wrong headers: {what}", self.pick(100, 60))
        cuts = (self.stimulus.random.random() < 0.3 for _ in ways)
        item.weight_packets[:0] = [
            self.stimulus.refused(what, fields, cut) for fields, cut in zip(ways, cuts, strict=True)
        ]
        item.errors = {"header"}
        await self.play([item])


# -------------------------------------------------------------------------------------------------
# The checks, checked: each run must fail, with the right words
# -------------------------------------------------------------------------------------------------
class Planted(PeArrayTest):
    """A tile whose expectation or traffic is tampered with."""

    hook = "tamper"

    async def body(self) -> None:
        item = self.stimulus.distinct("layer planted, tile 0")
        self.tamper(item)
        await self.play([item])

    def tamper(self, item: TileItem) -> None:
        raise NotImplementedError

    def alter_expectation(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Put `change` between golden array and scoreboard."""
        self.env.results.alter = change


@Planted.test(finds=Finding("mismatch", "layer planted", "data[0]", "column", "entries", "clock"))
def planted_flipped_bit(self: Planted, item: TileItem) -> None:
    """One flipped bit in one expected beat is found and named."""

    def flip(beats: np.ndarray) -> np.ndarray:
        beats = beats.copy()
        beats[len(beats) // 2, 0] ^= 1
        return beats

    self.alter_expectation(flip)


@Planted.test(finds=Finding("mismatch", "layer planted", "keep[0]"))
def planted_wrong_keep(self: Planted, item: TileItem) -> None:
    """A word kept that should not be, or the other way round, is found."""

    def flip(beats: np.ndarray) -> np.ndarray:
        beats = beats.copy()
        bit = self.env.params.output_bits
        beats[len(beats) // 2, bit // 8] ^= 1 << bit % 8
        return beats

    self.alter_expectation(flip)


@Planted.test(finds=Finding("mismatch", "layer planted", "last[0]"))
def planted_early_last(self: Planted, item: TileItem) -> None:
    """tlast in the wrong beat is found."""

    def flip(beats: np.ndarray) -> np.ndarray:
        beats = beats.copy()
        bit = self.env.formats["out"].width - 1
        beats[len(beats) // 2, bit // 8] ^= 1 << bit % 8
        return beats

    self.alter_expectation(flip)


@Planted.test(finds=Finding("lost", "layer planted"))
def planted_lost_beat(self: Planted, item: TileItem) -> None:
    """A beat that never leaves the device is called lost."""

    def insert(beats: np.ndarray) -> np.ndarray:
        return np.insert(beats, len(beats) // 2, beats[0] ^ 0x5A, axis=0)

    self.alter_expectation(insert)


@Planted.test(finds=Finding("unexpected", "more than expected"))
def planted_beat_more(self: Planted, item: TileItem) -> None:
    """A beat after the last one that was due is found."""
    self.alter_expectation(lambda beats: beats[:-1])


@Planted.test(
    finds=Finding("hang", "the array hangs", "stream pix is empty", waiting="u_pixels: takes pixel packets")
)
def planted_hang(self: Planted, item: TileItem) -> None:
    """A tile that never ends is named; the run does not hang."""
    tile, _ = item.computed
    content, last = item.pixel_packets[0]
    item.pixel_packets[0] = (content[: -tile.packet_beats], last[: -tile.packet_beats])


@Planted.test(finds=Finding("status", "error is 1 instead of 0"))
def planted_unseen_error(self: Planted, item: TileItem) -> None:
    """An error that nobody expects is found in the status."""
    item.weight_packets.insert(0, self.stimulus.refused("magic", {"mode.magic": 0}))


@Planted.test(finds=Finding("StreamTimeout", "port pix", "not accepted"))
def planted_stall_for_ever(self: Planted, item: TileItem) -> None:
    """A stream that never moves is named; the run does not hang."""
    self.env.agents["pix"].bus.stall = ALWAYS


@PeArrayTest.test(finds=Finding("nothing compared", "nothing was verified"))
async def planted_nothing(self: PeArrayTest) -> None:
    """A run that compared nothing fails."""


# -------------------------------------------------------------------------------------------------
# Speed: run by `make bench`
# -------------------------------------------------------------------------------------------------
@PeArrayTest.test(skip=True)
class Speed(PeArrayTest):
    """Measures clocks a second at transaction level (`make bench`).

    3x3 convolutions of 32 channels on 32x32 maps, as in a small ResNet.
    """

    layers = 10
    probability = NEVER

    async def body(self) -> None:
        env = self.env
        made = list(self.items())
        traffic = Traffic(env.params)
        for item in made:
            item.made = partial(self.keep, traffic, item.made)
        env.stall(self.probability)
        await self.play_timed(made)
        env.stall(NEVER)
        for item in made:
            traffic.item(item)
        folder = Path(os.environ[RUN_DIR])
        traffic.save(folder / "traffic.bin", folder / "expected.bin")

    @staticmethod
    def keep(traffic: Traffic, made: Callable[[OutputBeats], None], beats: OutputBeats) -> None:
        """Golden beats also for the harness."""
        traffic.expect(beats)
        made(beats)

    def items(self) -> Iterator[TileItem]:
        layers = RandomLayers(self.stimulus)
        for number in range(self.layers):
            operator, inputs = layers.residual_block(32, 32)
            shape = operator(*inputs).shape[1:]
            name = f"speed{number}"
            yield from layer_items(
                name, map_operator(name, operator, inputs, shape, np.dtype(np.int8), self.env.params)
            )


@Speed.test(skip=True)
class SpeedStalled(Speed):
    """Measures clocks a second with random stalls on every port (`make bench`).

    The same while every port stalls in a quarter of the clocks.
    """

    probability = 64
