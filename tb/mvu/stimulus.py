# SPDX-License-Identifier: Apache-2.0
"""Jobs for the MVU's bench: constrained random layers and directed corners."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from assay.golden import ConfigurationError, DoesNotFitError, IntFormat, Layer, Residual
from assay.golden.mvu.agu import conv_row_program
from assay.golden.mvu.functional import Configuration, config_causes
from assay.golden.mvu.jobs import map_layer
from assay.golden.mvu.layout import pack_activations
from assay.golden.mvu.parameters import (
    MAX_PRECISION,
    MvuParameters,
)
from assay.golden.network import Pool
from assay.tb.draws import first_drawn
from assay.tb.mvu.coverage import before_wrap
from assay.tb.mvu.illegal import break_rules, terms
from assay.tb.mvu.jobs import Image, JobItem
from assay.tb.mvu.programs import Programs, fields
from assay.tb.mvu.steps import LayerStep

#: Multiply clocks of a random job, so that a run of many ends soon.
LARGEST_RANDOM_JOB = 6000


def values(rng: np.random.Generator, fmt: IntFormat, shape: tuple[int, ...]) -> np.ndarray:
    """Random integers of a format."""
    return rng.integers(fmt.min, fmt.max + 1, shape)


class Stimulus:
    """Makes jobs for one build from the run's random numbers.

    Args:
        params: of the build.
        seed: the same seed makes the same jobs.

    Attributes:
        programs: makes register programs, of the same random numbers.
    """

    def __init__(self, params: MvuParameters, seed: int) -> None:
        self.params = params
        self.rng = np.random.default_rng(seed)
        self.random = random.Random(seed)
        # Every precision from 1 to 16 in turn before any comes again: sixteen jobs reach all of them.
        self._bits: list[int] = []
        self.programs = Programs(params, self.random, self.format)

    def bits(self) -> int:
        """A precision, each as often as any other."""
        if not self._bits:
            self._bits = list(range(1, 17))
            self.random.shuffle(self._bits)
        return self._bits.pop()

    def format(self) -> IntFormat:
        """A random format."""
        return IntFormat(self.bits(), self.random.random() < 0.5)

    # -----------------------------------------------------------------------------------------
    # Layers
    # -----------------------------------------------------------------------------------------
    def layer(self, name: str, **given: Any) -> tuple[Layer, tuple[int, int]]:
        """A random layer and its map size; `given` fixes attributes of `Layer`, or ``size`` and ``channels``."""
        r, lanes = self.random, self.params.lanes
        kernel = given.pop("kernel", None) or (
            r.choice((1, 1, 2, 3, 3, 4, 5)),
            r.choice((1, 1, 2, 3, 3, 4, 5)),
        )
        stride = given.pop("stride", None) or (r.choice((1, 1, 2, 3)), r.choice((1, 1, 2, 3)))
        padding = given.pop("padding", None)
        if padding is None:
            padding = tuple(r.randrange(kernel[i % 2]) if r.random() < 0.5 else 0 for i in range(4))
        least = (max(1, kernel[0] - padding[0] - padding[2]), max(1, kernel[1] - padding[1] - padding[3]))
        size = given.pop("size", None) or (least[0] + r.randrange(6), least[1] + r.randrange(6))
        channels = given.pop("channels", None) or (r.randint(1, 2 * lanes), r.randint(1, 2 * lanes))
        formats: dict[str, Any] = {
            n: given.pop(n, None) or self.format() for n in ("weight_format", "input_format", "output_format")
        }
        weight = values(self.rng, formats["weight_format"], (channels[1], *kernel, channels[0]))
        k = channels[1]
        made = ((size[0] + padding[0] + padding[2] - kernel[0]) // stride[0] + 1,
                (size[1] + padding[1] + padding[3] - kernel[1]) // stride[1] + 1)  # fmt: skip
        pool = None
        if r.random() < 0.4 and min(made) >= 2:
            window = (r.randint(1, min(3, made[0])), r.randint(1, min(3, made[1])))
            pool = Pool(window, (r.randint(1, 3), r.randint(1, 3)))
        residual = None
        if r.random() < 0.35:
            fmt = IntFormat(r.choice((1, self.bits(), self.bits())), r.random() < 0.5)
            residual = Residual("residual", fmt, r.randint(-32768, 32767), r.randint(0, 15))
        shift = r.randint(0, min(30, 47 + 1 - formats["output_format"].bits))
        bias_shift = r.choice((0, 0, r.randint(0, 15)))
        attributes: dict[str, Any] = {
            "multiplier": self.rng.integers(-32768, 32768, k) if r.random() < 0.7 else np.ones(k, np.int64),
            "bias": self.rng.integers(-(1 << 26), 1 << 26, k) << bias_shift,
            "shift": shift,
            "residual": residual,
            "relu": r.random() < 0.5,
            "pool": pool,
            "rounding": r.choice(("truncate", "half_up")),
            "saturate": r.random() < 0.6,
        }
        attributes.update(given)
        return Layer(
            name, "input", "output", weight, stride=stride, padding=padding, **formats, **attributes
        ), size  # fmt: skip

    def items(self, layer: Layer, size: tuple[int, int], **options: Any) -> list[JobItem]:
        """The jobs of a layer on random tensors, placed in banks of their own.

        Args:
            options: ``x`` fixes the input; ``place`` the (input, output, residual) bases; ``dest``, ``crossbar``
                (load through the crossbar port).
        """
        params, r = self.params, self.random
        depth = params.data_depth
        bases = options.get("place") or (0, depth // 4, depth // 2)
        dest = options.get("dest", 0)
        jobs = map_layer(
            layer,
            size,
            params,
            bases[0],
            bases[1],
            residual_base=bases[2] if layer.residual else None,
            dest=dest,
            allow_wrap=True,
        )
        x = options.get("x")
        if x is None:
            x = values(self.rng, layer.input_format, (*size, layer.input_channels))
        crossbar = options.get("crossbar", r.random() < 0.3)
        images = [Image(bases[0], pack_activations(x, layer.input_format, params.lanes), crossbar)]
        if layer.residual and jobs[0].residual:
            residual = values(self.rng, layer.residual.format, jobs[0].residual.shape)
            words = pack_activations(residual, layer.residual.format, params.lanes)
            images.append(Image(bases[2], words, crossbar))
        made = [JobItem.of(job, params.lanes) for job in jobs]
        made[0].images = images
        if len(made) == 1:
            made[0].origin = LayerStep(
                layer, size, (bases[0], bases[1], bases[2]), dest=dest, crossbar=crossbar
            )
        return made

    def random_items(
        self, count: int, largest: int = LARGEST_RANDOM_JOB, cuts: float = 0, **options: object
    ) -> Iterator[JobItem]:
        """`count` random layers that fit the build, as jobs; now and then to the crossbar.

        Args:
            largest: multiply clocks of a job at most.
            cuts: probability that the countdown ends early.
            options: as for `items`.
        """
        made = 0
        while made < count:
            layer, size = self.layer(f"random{made}")
            dest = self.random.choice((0, 0, 0, 1, 0x80, self.random.randrange(1, 256)))
            try:
                items = self.items(layer, size, **{"dest": dest, **options})
            except (DoesNotFitError, ConfigurationError):
                continue  # a draw outside the build's limits, or that would exceed a field
            if len(items) > 1 or fields(items[0].registers, "mvucommand")["countdown"] > largest:
                continue
            made += 1
            mode = self.random.choice((1, 1, 1, 0, 2, 3))
            for item in items:
                fields(item.registers, "mvucommand")["multiply_mode"] = mode
                if self.random.random() < cuts:
                    self.cut(item)
                item.status_writes = self.random.choice((0, 0, 1, 1, 2, 5))
            yield from items

    def elongated(self, count: int, largest: int) -> Iterator[JobItem]:
        """`count` layers of 1-bit operands that are long in one direction: rows, columns, channel blocks or strides,
        each past the powers of two at which a counter or a field that is too narrow starts again."""
        r, lanes, made = self.random, self.params.lanes, 0
        ways = ("columns", "rows", "columns", "rows", "stride", "stride", "input blocks", "output blocks")
        bit, powers = IntFormat(1, False), (8, 9, 10, 11, 12)
        while made < count:
            way = ways[made % len(ways)]
            power = powers[(made + made // len(ways)) % len(powers)]
            past = (1 << power) + r.choice((0, 1, 2, r.randint(3, 200)))
            given: dict[str, Any] = {"channels": (1, 1), "size": (r.randint(2, 4), r.randint(2, 4))}
            given["kernel"] = (r.randint(1, 3), r.randint(1, 3))
            given["stride"] = (r.choice((1, 1, 2, 3)), r.choice((1, 1, 2, 3)))
            if way in ("columns", "rows"):
                side = way == "columns"
                given["size"] = (given["size"][0], past) if side else (past, given["size"][1])
            elif way == "stride":
                kernel, step, pool = r.randint(2, 3), r.randint(3, 127), None
                if (
                    made // len(ways) % 2 == 0
                ):  # with a pool both the step in a group and that to the next one
                    step, pool = r.choice((128, r.randint(129, 254), 255)), Pool((2, 1), (1, 1))
                given |= {"stride": (step, r.randint(1, 2)), "kernel": (kernel, r.randint(1, 2))}
                given["size"] = (kernel + step * r.randint(1, 3), r.randint(2, 4))
                if made % 2:
                    given |= {name: given[name][::-1] for name in ("stride", "kernel", "size")}
                    pool = pool and Pool((1, 2), (1, 1))
                given["pool"] = pool
            elif way == "input blocks":
                blocks = min(past, self.params.weight_depth // 2)
                given |= {"channels": (blocks * lanes, 1), "kernel": ((1, 2), (2, 1))[made // len(ways) % 2]}
            else:
                given |= {"channels": (1, r.randint(1, self.params.channel_depth) * lanes)}
            kernel = given["kernel"]
            given["padding"] = tuple(r.choice((0, kernel[i % 2] - 1)) for i in range(4))
            if way != "output blocks" and not any(given["padding"]):
                continue
            try:
                layer, size = self.layer(
                    f"long {way} {made}", input_format=bit, weight_format=IntFormat(1, True), **given
                )
                items = self.items(layer, size)
            except (DoesNotFitError, ConfigurationError, ValueError):
                continue  # more than a memory or a field holds, or a window that is larger than its map
            if len(items) > 1 or fields(items[0].registers, "mvucommand")["countdown"] > largest:
                continue
            made += 1
            yield from items

    def wraps(self, powers: Iterable[int]) -> Iterator[JobItem]:
        """For each power of two a padded layer that is cut so many multiply clocks after the end of an output that
        another window follows."""
        r, lanes = self.random, self.params.lanes
        for power in powers:

            def drawn(power: int = power) -> JobItem | None:
                bits = 4 if power > 12 else r.randint(1, 2)
                kernel = (r.randint(2, 3), r.randint(2, 3))
                side = int((2**power / (bits * bits * kernel[0] * kernel[1])) ** 0.5) + r.randint(2, 5)
                layer, size = self.layer(
                    f"2**{power} clocks left",
                    kernel=kernel,
                    stride=(1, 1),
                    padding=(kernel[0] - 1, kernel[1] - 1, kernel[0] - 1, kernel[1] - 1),
                    size=(side, side),
                    channels=(lanes, lanes),
                    weight_format=IntFormat(bits, r.random() < 0.5),
                    input_format=IntFormat(bits, r.random() < 0.5),
                )
                try:
                    items = self.items(layer, size)
                except (DoesNotFitError, ConfigurationError):
                    return None
                if len(items) > 1:
                    return None
                countdowns = before_wrap(Configuration(items[0].registers), power)
                if not countdowns:
                    return None
                self.cut(items[0], r.choice(countdowns))
                return items[0]

            yield first_drawn(drawn, f"a padded layer with an output's end 2**{power} clocks before another")

    # -----------------------------------------------------------------------------------------
    # Jobs that are cut short or illegal
    # -----------------------------------------------------------------------------------------
    def cut(self, item: JobItem, countdown: int | None = None) -> None:
        """Let a legal job's countdown end earlier, anywhere or with an output; the rest is not written."""
        command = fields(item.registers, "mvucommand")
        ends = np.cumsum(Configuration(item.registers).complete_outputs()).tolist()
        command["countdown"] = countdown or self.random.choice(
            (self.random.randint(1, ends[-1]), self.random.choice(ends))
        )
        if config_causes(item.registers):
            item.set_name(f"{item.get_name()}, cut after {command['countdown']} clocks")
        item.output = None

    def spoil(self, item: JobItem) -> None:
        """Cut a job, or make it illegal."""
        if self.random.random() < 0.5:
            self.cut(item)
        else:
            break_rules(item, [self.random.choice(terms(item.registers))])

    def illegal_items(self, largest: int, most: int) -> Iterator[JobItem]:
        """Random layers each of which breaks one term of the rules in `golden.mvu.functional`, at its bound; some
        break several. At most `most` of them, drawn."""
        (sample,) = self.random_items(1, largest, dest=0)
        names = [name for name, _ in terms(sample.registers)]
        self.random.shuffle(names)
        for name in names[:most]:
            (item,) = self.random_items(1, largest, dest=0)
            known = dict(terms(item.registers))
            more = self.random.sample(sorted(known), self.random.choice((0, 0, 0, 1, 3)))
            break_rules(item, [(chosen, known[chosen]) for chosen in (*more, name)])
            yield item

    def short_pooled(self, name: str) -> JobItem:
        """A job of two pool groups of few clocks, whose last output is no group of its own."""
        plain = IntFormat(2, False)
        layer, size = self.layer(
            name,
            kernel=(1, 1),
            padding=(0, 0, 0, 0),
            stride=(1, 1),
            size=(1, 4),
            channels=(self.params.lanes, self.params.lanes),
            weight_format=plain,
            input_format=plain,
            output_format=plain,
            pool=Pool((1, 2), (1, 2)),
            residual=None,
        )
        (item,) = self.items(layer, size)
        return item

    # -----------------------------------------------------------------------------------------
    # Corners
    # -----------------------------------------------------------------------------------------
    def corners(self) -> Iterator[JobItem]:
        """Directed cases: ends of the precisions and values, smallest and strided shapes."""
        lanes = self.params.lanes
        plain: dict[str, Any] = {
            "residual": None,
            "pool": None,
            "relu": False,
            "kernel": (1, 1),
            "stride": (1, 1),
        }
        plain |= {"padding": (0, 0, 0, 0), "rounding": "truncate", "saturate": False}
        unit = {"multiplier": np.ones(lanes, np.int64), "bias": np.zeros(lanes, np.int64), "shift": 0}
        for bits_x in (1, 16):
            for bits_w in (1, 16):
                for signed_x in (False, True):
                    for signed_w in (False, True):
                        fx, fw = IntFormat(bits_x, signed_x), IntFormat(bits_w, signed_w)
                        # All ones is -1 or the largest unsigned value; the least value has the sign plane alone.
                        for fill, vx, vw in (
                            ("all ones", -1 if signed_x else fx.max, -1 if signed_w else fw.max),
                            ("most negative", fx.min, fw.min),
                            ("largest", fx.max, fw.max),
                        ):
                            layer, size = self.layer(
                                f"{fx} x {fw} {fill}",
                                weight_format=fw,
                                input_format=fx,
                                output_format=IntFormat(16, True),
                                channels=(lanes, lanes),
                                size=(1, 1),
                                **plain,
                                **unit,
                            )
                            filled = np.full(layer.weight.shape, vw)
                            layer = Layer(**{**_attributes(layer), "weight": filled})
                            yield from self.items(layer, size, x=np.full((1, 1, lanes), vx))
        for shift in (1, 2, 8, 24):  # sums halfway between two outputs, and one beside, on both sides of 0
            halfway = (np.arange(lanes) // 3 % 3 - 1 << shift) + (1 << shift - 1) + np.arange(lanes) % 3 - 1
            layer, size = self.layer(
                f"ties, shift {shift}",
                channels=(lanes, lanes),
                size=(1, 1),
                **plain | {"rounding": "half_up", "shift": shift, "bias": halfway},
                multiplier=unit["multiplier"],
                output_format=IntFormat(16, True),
            )
            layer = Layer(**{**_attributes(layer), "weight": np.zeros_like(layer.weight)})
            yield from self.items(layer, size)
        for stride in ((1, 1), (2, 2), (1, 2), (2, 1), (3, 3)):
            for kernel in ((1, 1), (3, 3), (5, 2), (2, 5)):
                layer, size = self.layer(
                    f"kernel {kernel} stride {stride}",
                    kernel=kernel,
                    stride=stride,
                    padding=tuple(kernel[i % 2] - 1 for i in range(4)),
                    size=(3, 4),
                    channels=(lanes + 1, lanes + 1),
                    weight_format=IntFormat(2, True),
                    input_format=IntFormat(2, False),
                )
                yield from self.items(layer, size)
        # One output of one clock; nothing but output words; the largest kernel.
        layer, size = self.layer(
            "one clock",
            weight_format=IntFormat(1, False),
            input_format=IntFormat(1, False),
            output_format=IntFormat(1, False),
            channels=(1, 1),
            size=(1, 1),
            **plain,
        )
        yield from self.items(layer, size)
        layer, size = self.layer(
            "an output every clock",
            weight_format=IntFormat(1, False),
            input_format=IntFormat(1, False),
            output_format=IntFormat(1, False),
            channels=(1, 1),
            size=(8, 8),
            **plain,
        )
        yield from self.items(layer, size)
        layer, size = self.layer(
            "more words than steps",
            weight_format=IntFormat(1, False),
            input_format=IntFormat(1, False),
            output_format=IntFormat(16, True),
            channels=(1, 1),
            size=(8, 8),
            **plain,
        )
        yield from self.items(layer, size)
        layer, size = self.layer(
            "kernel 15 x 15",
            kernel=(15, 15),
            stride=(1, 1),
            padding=(14, 14, 14, 14),
            size=(2, 2),
            channels=(1, 1),
            weight_format=IntFormat(1, True),
            input_format=IntFormat(1, False),
            pool=None,
        )
        yield from self.items(layer, size)

    def precision_pairs(self, count: int) -> Iterator[JobItem]:
        """`count` of the 256 pairs of weight and input precision, each in a small job with random signs."""
        pairs = [(w, a) for w in range(1, MAX_PRECISION + 1) for a in range(1, MAX_PRECISION + 1)]
        for w, a in self.random.sample(pairs, count):
            signs = self.random.choices((False, True), k=2)
            layer, size = self.layer(
                f"w{w}a{a}",
                kernel=(1, 1),
                padding=(0, 0, 0, 0),
                stride=(1, 1),
                size=(1, 2),
                channels=(self.params.lanes, self.params.lanes),
                weight_format=IntFormat(w, signs[0]),
                input_format=IntFormat(a, signs[1]),
                pool=None,
                residual=None,
            )
            yield from self.items(layer, size)

    def largest(self) -> Iterator[JobItem]:
        """A layer that fills the weight memory, and one whose input fills half the data memory."""
        params, lanes = self.params, self.params.lanes
        words = params.weight_depth  # 1-bit weights: tiles
        blocks = min(16, words)
        layer, size = self.layer(
            "weight memory full",
            kernel=(1, 1),
            stride=(1, 1),
            padding=(0, 0, 0, 0),
            size=(1, 1),
            channels=(blocks * lanes, words // blocks * lanes),
            weight_format=IntFormat(1, True),
            input_format=IntFormat(1, False),
            residual=None,
            pool=None,
        )
        yield from self.items(layer, size)
        side = int((params.data_depth // 2) ** 0.5)
        layer, size = self.layer(
            "half the data memory",
            kernel=(1, 1),
            stride=(8, 8),
            padding=(0, 0, 0, 0),
            size=(side, side),
            channels=(1, 1),
            weight_format=IntFormat(1, True),
            input_format=IntFormat(1, False),
            output_format=IntFormat(4, True),
            residual=None,
            pool=None,
        )
        yield from self.items(layer, size, place=(0, params.data_depth // 2, 0))

    # -----------------------------------------------------------------------------------------
    # Register programs that no layer maps to
    # -----------------------------------------------------------------------------------------
    def barvinn_row(self, blocks: tuple[int, int], width: int, a: int, w: int) -> JobItem:
        """One output row of a 3x3 convolution as BARVINN programs it: five loops, no padding.

        ijump[0] is the jump from one output pixel to the next. BARVINN's published value is right for two input
        blocks only (`golden.mvu.agu.conv_row_program`); here it is the one for any number.
        """
        i_blocks, o_blocks = blocks
        program = conv_row_program(i_blocks, 3, width, o_blocks, 3, 3, 1, a, w)
        params, lanes = self.params, self.params.lanes
        ijump = list(program.ijump)
        ijump[0] -= a * (i_blocks - 2)
        registers: dict[str, dict[str, int] | int] = {}
        for letter, jumps, lengths in (("i", ijump, program.ilength), ("w", program.wjump, program.wlength)):
            registers |= {f"mvu{letter}jump{k}": jump for k, jump in enumerate(jumps)}
            registers |= {f"mvu{letter}length{k}": n for k, n in enumerate(lengths) if k}
        columns = width - 2
        o = self.bits()
        registers |= {"mvuobaseptr": {"value": params.data_depth // 2}, "mvuojump4": 1, "mvuojump3": 1}
        registers |= {"mvuojump0": 1, "mvuolength4": o - 1, "mvuolength3": columns * o_blocks - 1}
        registers["mvuprecision"] = {
            "weight": w,
            "input": a,
            "output": o,
            "weight_signed": 1,
            "output_signed": 1,
        }
        registers["mvuquant"] = {"msb": o + 3, "saturate": 1}
        registers["mvuscaler"] = {"value": self.random.randint(-32768, 32767)}
        registers["mvuconfig1"] = {"acc_select": 1}
        taps = 9 * i_blocks * a * w * o_blocks
        registers["mvucommand"] = {"countdown": taps * columns, "multiply_mode": 1}
        item = JobItem(f"BARVINN row {blocks} a{a} w{w}", registers)
        item.images.append(
            Image(0, self.rng.integers(0, 256, (3 * width * i_blocks * a, lanes // 8), np.uint8))
        )
        words = 9 * i_blocks * o_blocks * w
        item.weights.append((0, self.rng.integers(0, 256, (words, lanes * lanes // 8), np.uint8)))
        return item


def _attributes(layer: Layer) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in layer.__dataclass_fields__}
