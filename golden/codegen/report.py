# SPDX-License-Identifier: Apache-2.0
"""What a plan looks like to a person: configurations and memory map; and BARVINN's table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assay.golden import table
from assay.golden.codegen.plan import BIASES, SCALERS, WEIGHTS, Plan, Step
from assay.golden.errors import ConfigurationError
from assay.golden.mvu.agu import conv_row_program
from assay.golden.mvu.jobs import countdown
from assay.golden.mvu.layout import channel_blocks
from assay.golden.mvu.parameters import NUM_LOOPS
from assay.golden.network import Network

__all__ = ["compat", "compat_total", "configuration", "memory_map"]


def configuration(plan: Plan) -> list[str]:
    """The generators of weights and inputs of each layer's first job, in loops from the outermost to the innermost.

    Shapes are in channel blocks, as in BARVINN's table; countdown is the first job's, total that of all of them.
    """
    rows = [
        ("layer", "iShape", "fShape", "ilength", "ijump", "wlength", "wjump", "countdown", "total", "share")
    ]
    lanes = plan.params.mvu.lanes
    for layer, steps in _by_layer(plan).items():
        job = steps[0].job
        fields = job.registers
        lists = []
        for letter in "iw":
            for kind in ("length", "jump"):
                names = [f"mvu{letter}{kind}{k}" for k in range(NUM_LOOPS)]
                lists.append(str([_value(fields.get(name, 0)) for name in names]))
        made = next(other for other in plan.network.layers if other.name == layer)
        height, width, channels = plan.places[made.input].shape
        folded = plan.folded and made is plan.network.layers[0]
        kernel = (1, 1) if folded else made.kernel
        rows.append(
            (
                layer,
                str([channel_blocks(channels, lanes), height, width]),
                str([channel_blocks(made.output_channels, lanes), *kernel]),
                *lists,
                str(job.countdown),
                str(sum(step.job.countdown for step in steps)),
                _share(steps),
            )
        )
    network = plan.network
    total = sum(step.job.countdown for steps in _by_layer(plan).values() for step in steps)
    lines = [*table.lines(rows, right=(7, 8)), f"Total countdown: {total}"]
    if plan.folded:
        unfolded = sum(countdown(layer, network.shapes[layer.input][:2], lanes) for layer in network.layers)
        lines[-1] += f", where the first layer reads whole windows; {unfolded} if it read single positions"
    return lines


def memory_map(plan: Plan) -> list[str]:
    """Tensors in the data memories, parameters in the MVUs' other memories, firmware in the controller's."""
    params = plan.params.mvu
    rows = [("tensor", "shape", "format", "words", "from", "to", "banks", "MVUs")]
    for place in plan.places.values():
        last = place.base + place.words - 1
        rows.append(
            (
                place.tensor,
                "x".join(map(str, place.shape)),
                str(place.fmt),
                str(place.words),
                str(place.base),
                str(last),
                f"{place.base // params.bank_depth} to {last // params.bank_depth}",
                _set(place.mvus),
            )
        )
    lines = [
        f"data memory of every MVU, {params.data_banks} banks of {params.bank_depth} words:",
        *table.lines(rows, right=(3, 4, 5)),
        "",
        "parameters, words or entries used:",
    ]
    rows = [
        ("phase", "MVU", f"weights of {params.weight_depth}", f"scalers, biases of {params.channel_depth}")
    ]
    for number, phase in enumerate(plan.phases):
        for mvu in range(plan.params.mvus):
            used = dict.fromkeys((WEIGHTS, SCALERS, BIASES), 0)
            for load in phase.loads:
                if mvu in load.mvus:
                    used[load.select] = max(used[load.select], load.first + len(load.image))
            rows.append((str(number), str(mvu), str(used[WEIGHTS]), str(used[SCALERS])))
    controller, firmware = plan.params.controller, plan.firmware
    return [
        *lines,
        *table.lines(rows, right=(0, 1, 2, 3)),
        "",
        f"firmware: {len(firmware.words)} of {controller.imem_words} words of instruction memory, "
        f"{len(firmware.data)} of {controller.dmem_words} of data memory",
    ]


def compat(network: Network, lanes: int) -> list[str]:
    """BARVINN's table of the network's convolutions: five-loop jobs, each of one row, padding computed like data.

    Formulas: `golden.mvu.agu.conv_row_program`. A layer's total is the countdown for every stride-th row of the padded
    map, without regard to the kernel's last rows, as published.

    Raises:
        ConfigurationError: a layer that BARVINN's generator has no program for.
    """
    head = (
        "iShape",
        "fShape",
        "ilength",
        "ijump",
        "wlength",
        "wjump",
        "countdown",
        "total layer countdown",
    )
    rows = [head]
    for shape, kernel, program, whole in _compat_layers(network, lanes):
        lists = (str(values) for values in program[:4])
        rows.append((str(shape), str(kernel), *lists, str(program.countdown), str(whole)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    lines = [rule]
    for row in rows:
        cells = " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines += [f"| {cells} |", rule]
    return [*lines, f"Total countdown: {compat_total(network, lanes)}"]


def compat_total(network: Network, lanes: int) -> int:
    """Sum of the layers' totals in BARVINN's table; errors as of `compat`."""
    return sum(whole for _, _, _, whole in _compat_layers(network, lanes))


def _compat_layers(network: Network, lanes: int):
    """(iShape, fShape, program, total) of each layer."""
    for layer in network.layers:
        height, width, channels = network.shapes[layer.input]
        top, _, bottom, _ = layer.padding
        reason = "is depthwise" if layer.groups > 1 else ""
        if layer.kernel[0] > height or layer.kernel[1] > width:
            reason = f"has a kernel larger than its map of {height}x{width}"
        if reason:
            raise ConfigurationError(
                f"layer {layer.name} {reason}, but BARVINN's generator has convolutions within a map only"
            )
        blocks, outputs = channel_blocks(channels, lanes), channel_blocks(layer.output_channels, lanes)
        program = conv_row_program(
            blocks,
            height,
            width,
            outputs,
            *layer.kernel,
            layer.stride[1],
            layer.input_format.bits,
            layer.weight_format.bits,
        )
        whole = program.countdown * ((height + top + bottom) // layer.stride[0])
        yield [blocks, height, width], [outputs, *layer.kernel], program, whole


def _by_layer(plan: Plan) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {layer.name: [] for layer in plan.network.layers}
    for phase in plan.phases:
        for steps in phase.steps:
            for step in steps:
                found[step.layer].append(step)
    return found


def _share(steps: Sequence[Step]) -> str:
    """Who makes the layer, in how many parts."""
    rows = {(step.rows.start, step.rows.stop) for step in steps}
    blocks = {(step.job.first_block, step.job.blocks) for step in steps}
    return f"MVUs {_set({step.mvu for step in steps})}: {len(rows)} x rows, {len(blocks)} x blocks"


def _set(mvus: Iterable[int]) -> str:
    """Numbers as text, runs of three or more as "first-last"."""
    runs: list[list[int]] = []
    for mvu in sorted(mvus):
        if runs and runs[-1][-1] == mvu - 1:
            runs[-1].append(mvu)
        else:
            runs.append([mvu])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)


def _value(value: dict[str, int] | int) -> int:
    return value["value"] if isinstance(value, dict) else value
