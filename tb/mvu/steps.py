# SPDX-License-Identifier: Apache-2.0
"""The steps of the MVU's cases (`tb.cases`): a job with everything it reads, as a layer, or as registers and memories.

A step stands alone: what the memories held when its job began, an earlier job's output too, is part of it. So any other
step may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import cocotb
import numpy as np

from assay.golden.errors import ConfigurationError
from assay.golden.mvu.agu import addresses, padded_addresses
from assay.golden.mvu.functional import CAUSE_BIT, Configuration, Memories
from assay.golden.mvu.jobs import Job, map_layer
from assay.golden.mvu.layout import unpack_activations
from assay.golden.mvu.parameters import NUM_LOOPS, RESIDUAL_LOOPS, MvuParameters
from assay.golden.mvu.registers import encode
from assay.golden.network import Layer

if TYPE_CHECKING:
    from assay.tb.mvu.env import MvuUnit
    from assay.tb.mvu.jobs import JobItem

__all__ = ["Burst", "HostTraffic", "JobStep", "LayerStep", "loaded", "step_of", "words_read"]


@dataclass(frozen=True, eq=False)
class Burst:
    """Words that the host writes from a data memory word on, and behind them others that come by the crossbar: half of
    them while the host writes, the others while it reads."""

    base: int
    host: np.ndarray
    crossbar: np.ndarray


@dataclass(frozen=True, eq=False)
class HostTraffic:
    """Bursts beside a job, one after the other, each read back and compared."""

    name: str
    bursts: tuple[Burst, ...]

    async def __call__(self, env: MvuUnit) -> None:
        """Play them."""
        for burst in self.bursts:
            behind = burst.base + len(burst.host)
            env.golden.load(burst.base, burst.host)
            env.golden.load(behind, burst.crossbar)
            for number, words in enumerate(np.array_split(burst.crossbar, 2)):
                task = None
                if len(words):  # a unit in an array has no such port
                    places = behind + np.arange(len(words))
                    beats = env.formats["xbi"].pack(data=words, addr=places)
                    task = cocotb.start_soon(env.agents["xbi"].bus.send(beats))
                    behind += len(words)
                if number == 0:
                    await env.memory.write(burst.base, burst.host)
                else:
                    seen = await env.memory.read(burst.base, len(burst.host))
                    env.compare_words(self.name, burst.base, seen)
                if task is not None:
                    await task
                    await env.agents["xbi"].bus.drain()
            seen = await env.memory.read(burst.base, len(burst.host) + len(burst.crossbar))
            env.compare_words(self.name, burst.base, seen)


@dataclass(frozen=True, eq=False)
class LayerStep:
    """A layer that is one job.

    Attributes:
        layer: to run.
        size: (H, W) of its input map.
        place: first data memory words of input, output and residual.
        x: integers `[H, W, C]` in the input format; None: the memory has them (of an item, not of a case).
        residual: integers `[H, W, K]`, what the layer adds to its convolution; None: it adds nothing.
        dest: 0, or the MVUs that get the output.
        crossbar: the tensors come by the crossbar's port.
        mode: mvucommand.multiply_mode.
        countdown: multiply clocks after which the job is cut; 0: it is not.
        overlap: the next step's job is handed over while this one runs.
        status_writes: writes to mvustatus behind the command that clear nothing.
        stalls: stream -> probability of a stall in 1/256.
        traffic: beside the job.
    """

    layer: Layer
    size: tuple[int, int]
    place: tuple[int, int, int]
    x: np.ndarray | None = None
    residual: np.ndarray | None = None
    dest: int = 0
    crossbar: bool = False
    mode: int = 1
    countdown: int = 0
    overlap: bool = False
    status_writes: int = 0
    stalls: Mapping[str, int] = field(default_factory=dict)
    traffic: HostTraffic | None = None

    def job(self, params: MvuParameters) -> Job:
        """The job, without `mode` and `countdown`.

        Raises:
            ConfigurationError, DoesNotFitError: as `golden.mvu.jobs.map_layer`; the layer takes several jobs.
        """
        jobs = map_layer(
            self.layer,
            self.size,
            params,
            self.place[0],
            self.place[1],
            residual_base=self.place[2] if self.layer.residual else None,
            dest=self.dest,
            allow_wrap=True,
        )
        if len(jobs) > 1:
            raise ConfigurationError(f"layer {self.layer.name} takes {len(jobs)} jobs")
        return jobs[0]

    def registers(self, job: Job) -> dict[str, dict[str, int] | int]:
        """The job's registers with `mode` and `countdown`."""
        command = job.registers["mvucommand"]
        assert isinstance(command, dict)
        changed = {"multiply_mode": self.mode, "countdown": self.countdown or job.countdown}
        return {**job.registers, "mvucommand": {**command, **changed}}


@dataclass(frozen=True, eq=False)
class JobStep:
    """A job as registers and memories.

    Attributes:
        name: for messages.
        registers: name to fields or value; those left out are 0.
        images: (first data memory word, uint8[n, lanes/8]) pairs.
        weights: (first word, uint8[n, lanes*lanes/8]) pairs.
        scalers, biases: (first entry, int[n, lanes]) pairs.
        overlap, status_writes, stalls, traffic: as of `LayerStep`.
    """

    name: str
    registers: Mapping[str, Any]
    images: tuple[tuple[int, np.ndarray], ...] = ()
    weights: tuple[tuple[int, np.ndarray], ...] = ()
    scalers: tuple[tuple[int, np.ndarray], ...] = ()
    biases: tuple[tuple[int, np.ndarray], ...] = ()
    overlap: bool = False
    status_writes: int = 0
    stalls: Mapping[str, int] = field(default_factory=dict)
    traffic: HostTraffic | None = None


def words_read(config: Configuration, params: MvuParameters) -> tuple[np.ndarray, np.ndarray]:
    """The words that a job reads, each once and sorted: of the data memory, of the weight memory."""
    countdown, depth = config.countdown, params.data_depth
    weights, read = config.program("w", NUM_LOOPS), config.program("i", NUM_LOOPS)
    if config.padding:
        skips = {c: (config.value(f"mvu{c}skip0"), config.value(f"mvu{c}skip1")) for c in "wi"}
        steps = int(config.complete_outputs().sum())
        tiles = padded_addresses(weights, skips["w"], config.windows, steps, params.weight_depth)
        blocks = padded_addresses(read, skips["i"], config.windows, steps, depth)
    else:
        tiles = addresses(weights, countdown, params.weight_depth)
        blocks = addresses(read, countdown, depth)
    data = _planes(blocks, config.format("input").bits, depth)
    if config.fields["mvuconfig1"]["residual"]:
        bits = config.format("residual").bits
        groups = len(config.complete_outputs()) // config.group_outputs
        added = addresses(config.program("r", RESIDUAL_LOOPS), groups * config.group_outputs * bits, depth)
        data = np.union1d(data, added)
    return data, _planes(tiles, config.format("weight").bits, params.weight_depth)


def _planes(blocks: np.ndarray, bits: int, depth: int) -> np.ndarray:
    return np.unique((np.unique(blocks)[:, None] + np.arange(bits)) % depth)


def step_of(
    item: JobItem, memories: Memories, written: np.ndarray, params: MvuParameters, stalls: Mapping[str, int]
) -> LayerStep | JobStep:
    """The step of an item whose job is about to begin.

    Args:
        memories: what they hold then, the item's images too.
        written: bool[data_depth]: data words that hold something known.
        params: of the MVU.
        stalls: stream -> probability.
    """
    common: dict[str, Any] = {
        "overlap": item.overlap,
        "status_writes": item.status_writes,
        "stalls": dict(stalls),
    }
    common["traffic"] = item.traffic if isinstance(item.traffic, HostTraffic) else None
    if item.origin is not None:
        job = item.origin.job(params)
        command = item.registers["mvucommand"]
        assert isinstance(command, dict)
        countdown = command["countdown"]
        step = replace(
            item.origin,
            mode=command["multiply_mode"],
            countdown=0 if countdown == job.countdown and item.output is not None else countdown,
            **common,
        )
        blocks = slice(job.channel_base, job.channel_base + job.blocks)
        weights = memories.weights[job.weight_base : job.weight_base + len(job.weights)]
        same = np.array_equal(weights, job.weights)
        same &= np.array_equal(memories.scaler[blocks], job.scaler)
        same &= np.array_equal(memories.bias[blocks], job.bias)
        if same and encode(step.registers(job)) == encode(item.registers):
            tensors: dict[str, Any] = {
                name: unpack_activations(
                    memories.data[spec.base : spec.base + spec.words], spec.shape, spec.fmt, params.lanes
                )
                for name, spec in (("x", job.input), ("residual", job.residual))
                if spec is not None
            }
            return replace(step, **tensors)
    return _job_step(item, memories, written, params, common)


def loaded(item: JobItem, params: MvuParameters) -> tuple[Memories, np.ndarray]:
    """Memories that hold what an item brings along, and bool[data_depth]: which of the data words."""
    memories, written = Memories.zeros(params), np.zeros(params.data_depth, bool)
    for pairs, memory in (
        (item.weights, memories.weights),
        (item.scalers, memories.scaler),
        (item.biases, memories.bias),
    ):
        for base, words in pairs:
            memory[base : base + len(words)] = words
    for image in item.images:
        memories.data[image.base : image.base + len(image.words)] = image.words
        written[image.base : image.base + len(image.words)] = True
    return memories, written


def _job_step(
    item: JobItem,
    memories: Memories,
    written: np.ndarray,
    params: MvuParameters,
    common: Mapping[str, Any],
) -> JobStep:
    config = Configuration(item.registers)
    data = np.flatnonzero(written)
    weights = np.flatnonzero(memories.weights.any(axis=1))
    # Of an illegal job nothing is read; a countdown that ends inside an output or a pool group is legal enough.
    if not config.causes & ~(1 << CAUSE_BIT["countdown"]) and config.countdown:
        read, tiles = words_read(config, params)
        data, weights = np.intersect1d(data, read), np.intersect1d(weights, tiles)
    return JobStep(
        item.get_name(),
        item.registers,
        _runs(memories.data, data),
        _runs(memories.weights, weights),
        _runs(memories.scaler, np.flatnonzero(memories.scaler.any(axis=1))),
        _runs(memories.bias, np.flatnonzero(memories.bias.any(axis=1))),
        **common,
    )


def _runs(memory: np.ndarray, words: np.ndarray) -> tuple[tuple[int, np.ndarray], ...]:
    """Words of a memory as (first, words) pairs, neighbours together."""
    parts = np.split(words, np.flatnonzero(np.diff(words) != 1) + 1) if len(words) else []
    return tuple((int(part[0]), memory[part].copy()) for part in parts)
