# SPDX-License-Identifier: Apache-2.0
"""The clocks that tiles take on the PE array, if its streams are always valid and always ready.

Clock 0 takes the first beat of the first weight packet. Each time is the maximum of the things that it waits for:

- Weight packet k arrives behind packet k-1, and not before tile k-2 has left its bank.
- A pixel packet arrives behind the one before it, when the weights of its tile are there and the buffer has room. The
  array works on it when all of it is there: `channels * kernel_rows` clocks for a step, one clock for a flush step.
- A completed column is captured `CAPTURE` clocks after the last clock of its step, and not before all groups of the
  column before have been given to the output stage, one in each clock. Until then the array stands still.
- A softmax takes the words of a row block one after the other, while the output stage waits. Then it sums their
  exponentials, finds the reciprocal of the sum, and puts the shares out, again one word in each clock. The words behind
  them wait.

So a row block takes columns * channels * kernel_rows + flush clocks, if each of its output columns leaves in no more
clocks than there are from one column to the next. In addition there are the first weight packet, the first pixel
packet, the way through the output stage, and the part of a weight packet that is longer than the tile before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from assay.golden.pe_array.parameters import PeArrayParameters
from assay.golden.pe_array.tile import Tile

__all__ = ["LayerClocks", "TileClocks", "array_bound", "layer_clocks", "table", "tile_clocks"]

# Pipeline lengths of the RTL, checked by the bench on every tile.
#: Clocks from a weight packet's last beat to the first pixel beat of its tile.
PIXELS_START = 1
#: Clocks from a pixel packet's last beat into the buffer to its first one out of it.
BUFFER = 2
#: Clocks from a channel's last beat out of the buffer to its first kernel row.
CHANNEL = 1
#: Clocks, not counting those in which the array stands still, from a step's last one to the copy of its accumulators.
CAPTURE = 3
#: Clocks from that copy to its first group in the output stage; in a tile's first column the entries come first.
GROUP, ENTRIES = 1, 1
#: Clocks from a group to its beat out of the output stage.
POST = 13
#: Clocks from a softmax's last word to its sum as it goes to the reciprocal, beyond one for each word.
SUM = 4
#: Of the reciprocal: seven products of three clocks each.
RECIPROCAL = 21
#: From a word's address to the beat with its share.
SHARE = 5
#: Clocks from there, or from the softmax, to the output port.
OUTPUT = 1
#: Clocks from a tile's last beat out of the output stage to the first weight beat that may follow in its bank.
BANK = 1


@dataclass(frozen=True)
class TileClocks:
    """When things happen to one tile.

    Attributes:
        weights: clocks of the first and last beat of its weight packet.
        pixels: of the first and last beat of its pixel packets.
        outputs: of the first and last beat of its output.
        blocked: in which the array stood still because a completed column could not be captured.
    """

    weights: tuple[int, int]
    pixels: tuple[int, int]
    outputs: tuple[int, int]
    blocked: int


def array_bound(tiles: Iterable[Tile], parameters: PeArrayParameters) -> int:
    """Clocks that the array itself needs for tiles, or the output stage if that is more: no fill, no wait."""
    total = 0
    for tile in tiles:
        busy = tile["packet.columns"] * tile.step_clocks + tile.flush
        total += max(tile.row_blocks * busy, tile.output_beats(parameters))
        if tile["mode.softmax"]:
            total += tile.row_blocks * (3 * tile.vector_length + SUM + RECIPROCAL + SHARE - 1)
    return total


def tile_clocks(tiles: Iterable[Tile], parameters: PeArrayParameters) -> list[TileClocks]:
    """Clocks of tiles that follow one another without a pause in any stream.

    Args:
        tiles: legal ones.
        parameters: of the array.
    """
    clocks = _Clocks(parameters)
    return [clocks.tile(tile) for tile in tiles]


@dataclass(frozen=True)
class LayerClocks:
    """One layer in a network whose tiles follow one another.

    Attributes:
        name, kind: of the layer.
        tiles: how many.
        macs: multiplications that the layer asks for; 0 where that is not its measure.
        clocks: from the last output of the layer before to its own; the first layer's from the first weight beat.
        alone: from its first weight beat to its last output, when nothing runs before it.
    """

    name: str
    kind: str
    tiles: int
    macs: int
    clocks: int
    alone: int


def layer_clocks(
    layers: Iterable[tuple[str, str, int, Sequence[Tile]]], parameters: PeArrayParameters
) -> list[LayerClocks]:
    """Clocks of layers (name, kind, MACs, tiles) one after the other.

    While a layer computes, the next one's first weight and pixel packets come in, as between any two tiles.
    """
    counted = []
    clocks, end = _Clocks(parameters), -1
    for name, kind, macs, tiles in layers:
        last = [clocks.tile(tile) for tile in tiles][-1].outputs[1]
        alone = tile_clocks(tiles, parameters)[-1].outputs[1] + 1
        counted.append(LayerClocks(name, kind, len(tiles), macs, last - end, alone))
        end = last
    return counted


def table(layers: Sequence[LayerClocks], parameters: PeArrayParameters) -> list[str]:
    """Lines of text: clocks, MACs and utilisation, MACs / (elements * clocks), of each layer and of all."""
    elements = parameters.rows * parameters.columns
    total = LayerClocks(
        "total",
        "",
        *(sum(getattr(layer, name) for layer in layers) for name in ("tiles", "macs", "clocks", "alone")),
    )
    width = max(len(layer.name) for layer in (*layers, total))
    kinds = max(len(layer.kind) for layer in layers)
    lines = [
        f"{parameters.rows} x {parameters.columns} elements, {parameters.vectors} pixel vectors, "
        f"{parameters.lanes} lanes; streams always valid and ready",
        f"{'layer':{width}}  {'kind':{kinds}}  {'tiles':>5}  {'clocks':>11}  {'alone':>11}  {'MACs':>14}  utilisation",
    ]
    for layer in (*layers, total):
        share = f"{layer.macs / (elements * layer.clocks):10.1%}" if layer.macs else f"{'-':>10}"
        lines.append(
            f"{layer.name:{width}}  {layer.kind:{kinds}}  {layer.tiles:5}  {layer.clocks:11,}  {layer.alone:11,}  "
            f"{layer.macs:14,}  {share}"
        )
    bound = -(-total.macs // elements)
    lines.append(f"bound MACs / {elements}: {bound:,} clocks, {bound / total.clocks:.1%} of the total")
    lines.append(
        "clocks: up to a layer's last output, its first packets coming in while the layer before computes; "
        "alone: from its first weight beat"
    )
    return lines


@dataclass(frozen=True)
class _Packet:
    """A pixel packet on its way through: numbers of its beats, and when its channels leave the buffer."""

    first: int  # number of its first beat
    beats: int  # of a channel
    kernel_rows: int
    begins: int  # clock from which its beats are taken
    first_load: int  # clock in which the last beat of channel 0 is taken
    slot: int  # of its first kernel row
    times: tuple[tuple[int, int], ...]  # slots and their clocks, from which those up to the next are counted

    def load(self, channel: int) -> int:
        """Clock in which the last beat of a channel is taken: when the channel before has its last kernel row."""
        if channel == 0:
            return self.first_load
        slot = self.slot + channel * self.kernel_rows - 1
        base, clock = next(anchor for anchor in reversed(self.times) if anchor[0] <= slot)
        return clock + slot - base

    def left(self, number: int) -> int:
        """Clock in which a beat leaves the memory: when the one before is taken out of the register behind it."""
        channel, beat = divmod(number - self.first, self.beats)
        return beat + (self.load(channel - 1) if channel else self.begins - 1)


class _Clocks:
    """The recurrence.

    The array steps forward, in *slots*, once a clock, except while a completed column waits to be captured. So the
    clock of a slot is known from the last capture before it.
    """

    def __init__(self, parameters: PeArrayParameters) -> None:
        self.parameters = parameters
        self.weights = -1  # clock of the last weight beat
        self.freed: deque[int] = deque([0, 0], maxlen=2)  # when the banks of the last two tiles are free
        self.pixels = -1  # clock of the last pixel beat
        self.beat = 0  # number of the next pixel beat
        self.packets: deque[_Packet] = deque()
        self.slot = -1  # the last slot in which an element worked
        self.popped = -1  # clock of the last kernel row of the last channel
        self.loaded = -1  # clock in which that channel's last beat was taken
        self.anchor = (0, 0)  # a slot and its clock
        self.anchors: deque[tuple[int, int]] = deque()  # captures in slots to come
        self.drained = -1  # clock of the last captured column's last group
        self.post = _Pipeline()  # the output stage
        self.made = 0  # clock of the last beat that left it, or the softmax
        self.free = 0  # clock from which the softmax is not at work
        self.blocked = 0  # clocks in which a completed column has waited
        self.quiet = 0  # clock from which the output stage stands still no more

    def tile(self, tile: Tile) -> TileClocks:
        """Let one more tile through."""
        softmax = tile["mode.softmax"]
        first_weights = max(self.weights + 1, self.freed[0])
        self.weights = first_weights + tile.weight_packet_beats(self.parameters) - 1
        first_output, stride = tile["window.first_output"], tile["window.column_stride"]
        columns, steps, clocks = tile["packet.columns"], tile.steps, tile.step_clocks
        packet_beats, beats, kernel_rows = tile.packet_beats, tile["window.beats"], tile["window.kernel_rows"]
        first_pixels = first_beat = -1
        fresh = True
        blocked = self.blocked
        for block in range(tile.row_blocks):
            wait = first_output
            for step in range(steps):
                if step < columns:
                    start = self._receive(packet_beats)
                    first_pixels = start if first_pixels < 0 else first_pixels
                    self._work(packet_beats, beats, kernel_rows, clocks)
                else:
                    self.slot += 1
                if wait == 0:
                    beat = self._give(tile, self._capture(fresh))
                    first_beat = beat if fresh else first_beat
                    fresh = False
                    wait = stride
                wait -= 1
            if softmax:
                beat = self._softmax(tile)
                first_beat = beat if block == 0 else first_beat
        self.freed.append(self.made + BANK)
        outputs = first_beat + OUTPUT, self.made + OUTPUT
        pixels = first_pixels, self.pixels
        return TileClocks((first_weights, self.weights), pixels, outputs, self.blocked - blocked)

    def _receive(self, beats: int) -> int:
        """Take a pixel packet; gives the clock of its first beat."""
        start = max(self.pixels + 1, self.weights + PIXELS_START, self._room(self.beat))
        self.beat += beats
        self.pixels = max(start + beats - 1, self._room(self.beat - 1))
        return start

    def _room(self, number: int) -> int:
        """Clock from which a pixel beat has room in the buffer."""
        number -= self.parameters.pixel_depth
        if number < 0:
            return 0
        while len(self.packets) > 1 and self.packets[1].first <= number:
            self.packets.popleft()
        return self.packets[0].left(number) + 1

    def _work(self, packet_beats: int, beats: int, kernel_rows: int, clocks: int) -> None:
        """A step with the pixel packet that came in last."""
        # Beats are taken one after the other, but a channel's last waits until the channel before is done with.
        begins = max(self.pixels + BUFFER, self.loaded + 1)
        load = max(self.popped, begins + beats - 1)
        self._reach(self.slot + 1)
        # The first slot that is not before the load is over.
        slot = self.slot + 1
        while True:
            base, clock = self.anchor
            slot = max(slot, base + load + CHANNEL - clock)
            if not self.anchors or slot < self.anchors[0][0]:
                break
            self.anchor = self.anchors.popleft()
            slot = max(self.slot + 1, self.anchor[0])
        times = [self.anchor]
        self.slot = slot + clocks - 1
        while self.anchors and self.anchors[0][0] <= self.slot:
            self.anchor = self.anchors.popleft()
            times.append(self.anchor)
        self.popped = self.anchor[1] + self.slot - self.anchor[0]
        packet = _Packet(self.beat - packet_beats, beats, kernel_rows, begins, load, slot, tuple(times))
        self.loaded = packet.load(packet_beats // beats - 1)
        self.packets.append(packet)

    def _reach(self, slot: int) -> None:
        """Count from the last capture up to a slot."""
        while self.anchors and self.anchors[0][0] <= slot:
            self.anchor = self.anchors.popleft()

    def _capture(self, fresh: bool) -> int:
        """Capture the column that the last slot completed; gives the clock from which its first group is there."""
        slot = self.slot + CAPTURE
        base, clock = self.anchors[-1] if self.anchors else self.anchor
        ready = clock + slot - base
        clock = max(ready, self.drained)
        self.blocked += clock - ready
        self.anchors.append((slot, clock))
        return clock + GROUP + (ENTRIES if fresh else 0)

    def _give(self, tile: Tile, first: int) -> int:
        """Give a column's groups to the output stage from clock `first` on; gives the clock in which the first left."""
        groups = tile.groups(self.parameters)
        if not tile["mode.softmax"] and first >= self.quiet:
            self.drained = first + groups - 1
            self.made = self.drained + POST
            return first + POST
        if first >= self.quiet:
            self.post.restart(first)
        self.drained = first - 1
        left = []
        for group in range(groups):
            slot, self.drained = self.post.enter(self.drained + 1)
            # A softmax takes one entry a clock.
            words = min(self.parameters.lanes, tile["entries"] - group * self.parameters.lanes)
            words = words if tile["mode.softmax"] else 1
            left.append(max(self.post.clock(slot + POST), self.free) + words - 1)
            self.post.hold(slot + POST, left[-1])
        self.made = left[-1]
        self.quiet = max(self.quiet, self.made)
        return left[0]

    def _softmax(self, tile: Tile) -> int:
        """Make the softmax of the row block that has been taken in; gives the clock of its first beat."""
        words = tile.vector_length
        begins = self.made + words + SUM + RECIPROCAL
        self.made = begins + words - 1 + SHARE
        self.free = self.quiet = self.made + 1
        return begins + min(self.parameters.lanes, tile["entries"]) - 1 + SHARE


class _Pipeline:
    """Stages that move together: the clocks of their moves, which are numbered.

    Moves follow one another clock by clock, but for some that are held up.
    """

    def __init__(self) -> None:
        self.anchors: deque[tuple[int, int]] = (
            deque()
        )  # moves and their clocks, from which later ones are counted

    def restart(self, clock: int) -> None:
        """Forget what lies before a clock after which nothing known is held up."""
        self.anchors = deque([(clock, clock)])

    def clock(self, move: int) -> int:
        """Clock of a move after the last one that was held up."""
        base, clock = self.anchors[-1]
        return clock + move - base

    def hold(self, move: int, clock: int) -> None:
        """Let a move, later than all that were held up, happen in `clock`."""
        self.anchors.append((move, clock))

    def enter(self, clock: int) -> tuple[int, int]:
        """The first move that is not before a clock, later than that of the call before: (move, its clock)."""
        while len(self.anchors) > 1 and self.anchors[1][1] <= clock:
            self.anchors.popleft()
        base, at = self.anchors[0]
        move = base + clock - at
        if len(self.anchors) > 1 and move >= self.anchors[1][0]:
            return self.anchors[1]
        return move, clock
