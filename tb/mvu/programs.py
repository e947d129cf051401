# SPDX-License-Identifier: Apache-2.0
"""Raw register programs for the MVU's bench, as no job mapper would write them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from assay.golden import IntFormat
from assay.golden.mvu.agu import addresses
from assay.golden.mvu.functional import CAUSE_BIT, Configuration, config_causes
from assay.golden.mvu.parameters import LOOPS, NUM_LOOPS, OUTPUT_LOOPS, MvuParameters
from assay.tb.draws import first_drawn
from assay.tb.mvu.jobs import JobItem
from assay.tb.mvu.steps import words_read


def fields(registers: dict[str, dict[str, int] | int], name: str) -> dict[str, int]:
    """A register's fields, to be changed."""
    fields = registers[name]
    assert isinstance(fields, dict), f"{name} is given as a plain value"
    return fields


class Programs:
    """Makes register programs.

    Args:
        params: of the build.
        random: where numbers come from.
        draw_format: gives a random format.
    """

    def __init__(
        self, params: MvuParameters, random: random.Random, draw_format: Callable[[], IntFormat]
    ) -> None:
        self._params = params
        self._random = random
        self._format = draw_format

    def random(self, name: str, most: int) -> JobItem:
        """A raw register program of at most `most` multiply clocks: any loop nest, any role of the loops, any
        jumps, as no job mapper would write them. It reads words all over the memories and writes elsewhere."""
        return self._drawn(name, self._program, most)

    def fast(self, name: str, number: int) -> JobItem:
        """A program with an output in every clock; residuals and pool groups of every kind in turn by `number`."""
        return self._drawn(name, partial(self._fast_program, number), 4000)

    def padded(self, name: str, number: int, most: int) -> JobItem:
        """A padded program of at most `most` multiply clocks, any geometry; large loops in turn by `number`."""
        return self._drawn(name, partial(self._padded_program, number), most)

    def long(self, steps: int) -> Iterator[JobItem]:
        """Programs in which one loop of each address generator, each in turn, takes at least so many steps."""
        shift = self._random.randrange(NUM_LOOPS)
        for k in range(1, NUM_LOOPS):
            draw = partial(self._long_program, k, shift, steps)
            yield self._drawn(f"long loop {k}", draw, 4 * steps + 1000)

    def _drawn(self, name: str, draw: Callable[[], dict[str, dict[str, int] | int]], most: int) -> JobItem:
        """The first program drawn that is legal, takes at most so many clocks, and writes where it does not read."""
        depth = self._params.data_depth

        def legal() -> JobItem | None:
            registers = draw()
            countdown = fields(registers, "mvucommand")["countdown"]
            # A countdown that ends inside an output or a pool group is what a job may have.
            if not 1 <= countdown <= most or config_causes(registers) & ~(1 << CAUSE_BIT["countdown"]):
                return None
            config = Configuration(registers)
            groups = len(config.complete_outputs()) // config.group_outputs
            read, _ = words_read(config, self._params)
            words = groups * config.format("output").bits
            written = addresses(config.program("o", OUTPUT_LOOPS), words, depth)
            if np.intersect1d(read, written).size:
                return None
            item = JobItem(name, registers)
            item.locate = lambda index: f"program {name}, output word {index}"
            return item

        return first_drawn(legal, f"a legal program of at most {most} clocks for {name}")

    def _program(self) -> dict[str, dict[str, int] | int]:
        r = self._random
        w, a, o, residual = (self._format() for _ in range(4))
        widest = r.random() < 0.2
        if widest:
            o, residual = IntFormat(r.choice((1, 1, 2, 3)), r.random() < 0.5), IntFormat(16, r.random() < 0.3)
        acc_select = r.randint(0, 6)
        pool_select = r.randint(0, acc_select)
        lengths = [r.randint(0, 2) for _ in range(NUM_LOOPS)]
        if r.random() < 0.2:  # one loop that is long, the others short
            lengths = [r.randint(0, 1) for _ in range(NUM_LOOPS)]
            lengths[r.randrange(1, NUM_LOOPS)] = r.randint(200, 600)
        lengths[acc_select + 1] = w.bits * a.bits - 1
        registers: dict[str, dict[str, int] | int] = {}
        for letter, loops in LOOPS.items():
            registers[f"mvu{letter}baseptr"] = {"value": r.randrange(1 << 16)}
            for k in range(loops):
                registers[f"mvu{letter}jump{k}"] = r.choice(
                    (r.randint(-9, 9), r.randint(-(1 << 15), (1 << 15) - 1))
                )
                if k:
                    free = r.randint(*r.choice(((0, 3), (0, 3), (0, 3), (4, 600))))
                    registers[f"mvu{letter}length{k}"] = lengths[k] if letter == "w" else free
        max_pool = r.randint(0, 1)
        inner = [n + 1 for n in lengths[(pool_select if max_pool else acc_select) + 1 :]]
        fields(registers, "mvuobaseptr")["dest"] = r.choice((0, 0, 0, r.randrange(256)))
        registers["mvuprecision"] = {
            name: value
            for operand, fmt in (("weight", w), ("input", a), ("output", o), ("residual", residual))
            for name, value in ((operand, fmt.bits), (f"{operand}_signed", int(fmt.signed)))
        }
        registers["mvuquant"] = {
            "msb": r.randint(o.bits - 1, 47),
            "round_half_up": r.randint(0, 1),
            "saturate": r.randint(0, 1),
        }
        registers["mvuscaler"] = {"value": r.randint(-32768, 32767), "bias_shift": r.randint(0, 15)}
        registers["mvurscaler"] = {"value": r.randint(-32768, 32767), "shift": r.randint(0, 15)}
        if widest:  # sums near both ends of their 48 bits
            registers["mvuscaler"] = {"value": r.choice((-32768, 32767)), "bias_shift": 15}
            registers["mvurscaler"] = {"value": r.choice((-32768, 32767, 32767)), "shift": 15}
            fields(registers, "mvuquant").update(msb=47, round_half_up=1, saturate=1)
        registers["mvuconfig1"] = {"acc_select": acc_select, "pool_select": pool_select}
        for name in ("scaler_memory", "bias_memory", "relu", "residual"):
            fields(registers, "mvuconfig1")[name] = int(widest and name != "relu") or r.randint(0, 1)
        group = int(np.prod(inner))
        output = int(np.prod([n + 1 for n in lengths[acc_select + 1 :]]))
        outputs = group // output
        inside = output * r.randint(1, outputs - 1) if outputs > 1 else 0  # where an output of the group ends
        registers["mvucommand"] = {
            "countdown": group * r.randint(1, 40) + r.choice((0, 0, r.randrange(group), inside, inside)),
            "max_pool": max_pool,
            "multiply_mode": r.choice((0, 1, 1, 2, 3)),
        }
        return registers

    def _fast_program(self, number: int) -> dict[str, dict[str, int] | int]:
        r = self._random
        registers = self._program()
        acc_select = r.randint(1, 6)
        pool = number % 3
        # Loops of pool groups lie between the two selections; all inside of an output's are of one step.
        pool_select = r.randint(0, acc_select - 1) if pool == 2 else r.randint(0, acc_select)
        outputs = [r.randint(1, 2) if pool == 2 and k > pool_select else r.randint(0, 2) for k in range(8)]
        for letter, loops in LOOPS.items():
            for k in range(1, loops):
                length = r.randint(0, 3) if letter not in "wi" else 0
                if letter == "w" and k <= acc_select:
                    length = outputs[k] if k <= pool_select or pool == 2 else 0
                registers[f"mvu{letter}length{k}"] = length
        residual = (0, 1, 1, r.randint(2, 16))[number // 3 % 4]
        fields(registers, "mvuprecision").update(
            weight=1, input=1, residual=max(residual, 1), output=r.choice((1, 1, 1, 2, 3, 16))
        )
        # Both products and residuals show in what leaves.
        fields(registers, "mvuquant").update(msb=max(15, fields(registers, "mvuprecision")["output"] - 1))
        registers["mvuscaler"] = {"value": r.randint(-32768, 32767), "bias_shift": 0}
        registers["mvurscaler"] = {"value": r.randint(-32768, 32767), "shift": 0}
        fields(registers, "mvuconfig1").update(
            acc_select=acc_select, pool_select=pool_select, residual=int(residual > 0), relu=0
        )
        group = int(np.prod([n + 1 for n in outputs[pool_select + 1 : acc_select + 1]])) if pool == 2 else 1
        inside = r.randint(1, group - 1) if group > 1 and r.random() < 0.5 else 0
        fields(registers, "mvucommand").update(
            max_pool=int(pool > 0),
            countdown=group * r.randint(-(-20 // group), 60) + inside,
            multiply_mode=r.choice((1, 2)),
        )
        return registers

    def _padded_program(self, number: int) -> dict[str, dict[str, int] | int]:
        r = self._random
        large = ("pool rows", "blocks", "pool columns", "")[number % 4]
        registers = self._program()
        fields(registers, "mvuconfig1").update(acc_select=4, padding=1, pool_select=r.randint(0, 4))
        precision = fields(registers, "mvuprecision")
        if large:
            precision.update(weight=1, input=1)
        elif precision["weight"] * precision["input"] > 16:
            precision.update(weight=r.randint(1, 4), input=r.randint(1, 4))
        height, width = (r.choice((1, 2, 3, r.randint(4, 15))) for _ in range(2))
        blocks = r.randint(1, 3)
        columns, outputs, pool_rows, pool_columns = (r.randint(1, 3) for _ in range(4))
        if large == "blocks":
            blocks, height, width = r.choice((1024, r.randint(1025, 4095), 1 << 11)), r.randint(1, 2), 2
            columns, outputs, pool_rows, pool_columns = 2, 1, 1, 1
        elif large == "pool rows":
            pool_rows = r.randint(9, 20)
        elif large == "pool columns":
            pool_columns = r.randint(9, 20)
        rows = r.randint(1, 3)
        pad_top, pad_left = r.randrange(height), r.randrange(width)
        if large == "blocks":
            pad_left = 1
        stride_y, stride_x, group_y, group_x = (r.choice((1, 1, 2, r.randint(1, 9))) for _ in range(4))
        axes = (
            (height, pad_top, stride_y, group_y, rows, pool_rows),
            (width, pad_left, stride_x, group_x, columns, pool_columns),
        )
        size, kept = [], []
        for kernel, pad, stride, group_stride, groups, pooled in axes:
            corners = (
                np.arange(groups)[:, None] * group_stride + np.arange(pooled)[None, :] * stride - pad
            ).ravel()
            # The last window has at least one row or column on the map.
            map_size = max(1, int(corners.max()) + 1 + r.choice((0, 1, kernel - 1, r.randint(0, kernel + 2))))
            size.append(map_size)
            skipped = np.maximum(0, -corners) + np.maximum(0, corners + kernel - map_size)
            kept.append(int((kernel - skipped).sum()))
        planes = precision["weight"] * precision["input"]
        lengths = (
            columns,
            outputs,
            pool_rows,
            pool_columns,
            planes,
            height,
            width * blocks,
        )
        for k, iterations in enumerate(lengths, 1):
            registers[f"mvuwlength{k}"] = registers[f"mvuilength{k}"] = iterations - 1
        for letter in "wi":
            for k in range(2):
                registers[f"mvu{letter}skip{k}"] = {
                    "value": r.choice((r.randint(0, 9), r.randrange(1 << 15)))
                }
        registers["mvuishape"] = {"height": size[0], "width": size[1]}
        registers["mvukernel"] = {
            "height": height,
            "width": width,
            "pad_top": pad_top,
            "pad_left": pad_left,
            "blocks": blocks,
        }
        registers["mvustride"] = {"y": stride_y, "x": stride_x, "group_y": group_y, "group_x": group_x}
        whole = planes * kept[0] * kept[1] * blocks * outputs
        fields(registers, "mvucommand").update(countdown=whole, max_pool=int(bool(large)) or r.randint(0, 1))
        if r.random() < 0.4:
            ends = np.cumsum(Configuration(registers).windows.clocks).tolist()
            fields(registers, "mvucommand").update(countdown=r.choice((r.choice(ends), r.randint(1, whole))))
        return registers

    def _long_program(self, long: int, shift: int, steps: int) -> dict[str, dict[str, int] | int]:
        """Loop `long` of weights is long, and one loop of each other generator. All else is short, so that a loop that
        ends too early or too late jumps to another word."""
        r = self._random
        registers = self._program()
        # Either a long loop of outputs, or one long sum. Next to the sums are the loops of precisions.
        sums = long == NUM_LOOPS - 1
        acc_select = long - 2 if sums else r.randint(long, NUM_LOOPS - 2)
        for letter, loops in LOOPS.items():
            chosen = long if letter == "w" else 1 + (long + shift) % (loops - 1)
            for k in range(loops):
                registers[f"mvu{letter}jump{k}"] = 0 if k == chosen else r.randint(1, 9)
                if k:
                    registers[f"mvu{letter}length{k}"] = r.randint(steps, steps + 99) if k == chosen else 0
        fields(registers, "mvuprecision").update(weight=1, input=1, output=1, residual=1)
        fields(registers, "mvuquant").update(msb=r.randint(0, 20))
        fields(registers, "mvuconfig1").update(
            acc_select=acc_select, pool_select=acc_select, residual=1, scaler_memory=1, bias_memory=1
        )
        fields(registers, "mvuobaseptr")["dest"] = 0
        length = registers[f"mvuwlength{long}"]
        assert isinstance(length, int), "a length is a plain value"
        countdown = 2 * (length + 1) if sums else steps + r.randint(200, 400)
        fields(registers, "mvucommand").update(max_pool=0, countdown=countdown)
        return registers
