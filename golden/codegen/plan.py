# SPDX-License-Identifier: Apache-2.0
"""What the code generator makes of a network: places, phases of loads and steps, firmware. See docs/accelerator.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.formats import IntFormat
from assay.golden.mvu.jobs import Job
from assay.golden.network import Network

__all__ = ["BIASES", "SCALERS", "WEIGHTS", "Firmware", "Load", "Phase", "Place", "Plan", "Step", "Wait"]

WEIGHTS, SCALERS, BIASES = 0, 1, 2  #: `prm_select` of an MVU's parameter port


@dataclass(frozen=True)
class Place:
    """Where a tensor lies.

    Attributes:
        tensor: its name in the network.
        shape: (H, W, C) as it lies in the memory; of a folded input, one position for each window.
        fmt: of its values.
        base: first word, the same in every MVU that holds it.
        words: of the whole tensor.
        mvus: the MVUs that hold the rows they need of it; of the network's input and output, all rows.
    """

    tensor: str
    shape: tuple[int, int, int]
    fmt: IntFormat
    base: int
    words: int
    mvus: frozenset[int]


@dataclass(frozen=True, eq=False)
class Load:
    """Parameters that the host writes to one memory of a set of MVUs.

    Attributes:
        mvus: that get it.
        select: WEIGHTS, SCALERS or BIASES.
        first: word or entry it goes to.
        image: uint8 `[words, lanes*lanes/8]` of weights, or int64 `[entries, lanes]` of scalers or biases.
    """

    mvus: frozenset[int]
    select: int
    first: int
    image: np.ndarray


@dataclass(frozen=True)
class Wait:
    """Until MVU `mvu` has ended `count` steps of this run."""

    mvu: int
    count: int


@dataclass(frozen=True, eq=False)
class Step:
    """One job of one MVU.

    Attributes:
        mvu: that does it.
        number: in the order of its MVU, over all phases, from 0.
        job: registers (destination included) and images; `job.input`, `job.output` and `job.residual` are the rows it
            reads and writes.
        layer: name of the network's layer.
        rows: of the layer's output that it makes.
        waits: what must have ended before.
    """

    mvu: int
    number: int
    job: Job
    layer: str
    rows: range
    waits: tuple[Wait, ...]


@dataclass(frozen=True, eq=False)
class Phase:
    """What the host loads, and the steps of each MVU that follow, `steps[mvu]` in order."""

    loads: tuple[Load, ...]
    steps: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, eq=False)
class Firmware:
    """A program for all harts.

    Attributes:
        words: uint32 `[n]`, of the instruction memory from its first word on.
        data: uint32 `[n]`, of the data memory from its first word on, the fixed block included.
        symbols: name to address, of code and data.
        source: assembly, as clang takes it.
    """

    words: np.ndarray
    data: np.ndarray
    symbols: dict[str, int]
    source: str


@dataclass(frozen=True, eq=False)
class Plan:
    """A network on an accelerator.

    Attributes:
        network: as given.
        params: of the accelerator.
        mapping: "distributed" or "pipelined".
        folded: whether the host writes the first layer's windows instead of the input's positions.
        places: tensor name to place.
        phases: in order.
        firmware: that runs them.
    """

    network: Network
    params: AcceleratorParameters
    mapping: str
    folded: bool
    places: dict[str, Place]
    phases: tuple[Phase, ...]
    firmware: Firmware
