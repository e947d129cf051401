# SPDX-License-Identifier: Apache-2.0
"""What the accelerator's bench refuses before a simulation, and networks made for a purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from assay.golden import IntFormat, Layer, Network
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen import plan
from assay.golden.codegen.plan import Plan
from assay.golden.controller.assembler import assemble
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.lowering import DEFAULT, Lowering
from assay.tb.mvu.networks import load_workload

__all__ = ["check", "crowd", "tampered"]


def check(model: str, images: str, parameters: Mapping[str, int], lowering: Lowering = DEFAULT) -> None:
    """Refuse before the simulation what cannot be run on a build with these HDL parameters.

    Raises:
        GoldenError: a file is missing, damaged or does not fit the other; a network that does not fit the accelerator.
    """
    if model:
        workload = load_workload(model, images, np.random.default_rng(0), lowering)
        plan(workload.network, AcceleratorParameters.of_rtl(parameters))


def crowd(params: AcceleratorParameters, rng: np.random.Generator, layers: int, side: int) -> Network:
    """A network whose layers do nothing but send: 1x1 kernels, one multiply clock for a value of many bits."""
    bit, wide = IntFormat(1, False), IntFormat(8, True)
    lanes = params.mvu.lanes
    channels = lanes * min(2, params.mvus)
    made: list[Layer] = []
    for number in range(layers):
        narrow = number % 2 == 0  # a value of 8 bits made of one bit, then one bit made of 8
        made.append(
            Layer(
                f"send{number}",
                made[-1].output if made else "input",
                f"sent{number}",
                rng.integers(0, 2, (channels, 1, 1, channels)),
                bit,
                bit if narrow else wide,
                wide if narrow else bit,
                multiplier=rng.integers(-8, 8, channels),
                bias=rng.integers(-64, 64, channels),
                shift=2,
            )
        )
    return Network("crowd", "input", (side, side, channels), tuple(made))


def tampered(made: Plan, old: str, new: str) -> Plan:
    """A plan with another firmware: `old` in its assembly is replaced by `new`."""
    firmware = made.firmware
    if old not in firmware.source:
        raise ValueError(f"the firmware of {made.network.name} has no {old!r}")
    source = firmware.source.replace(old, new)
    words = assemble(source, IMEM_BASE + 4 * made.params.controller.imem_words)
    return replace(
        made,
        firmware=replace(firmware, words=words.text, data=words.data, symbols=words.symbols, source=source),
    )
