# SPDX-License-Identifier: Apache-2.0
"""Whole networks as jobs of the MVU: the project's own, or one that the user brings with MODEL=..."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay import golden, vectors
from assay.golden import GoldenError, Network, user_files
from assay.golden.codegen.networks import NETWORKS
from assay.golden.lowering import DEFAULT, Lowering
from assay.golden.mvu.layout import pack_activations
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.plan import NetworkPlan
from assay.tb.mvu.jobs import Image, JobItem
from assay.tb.mvu.steps import LayerStep

DIGITS = ("digits_w2a2", "digits_mixed")  #: the project's own networks
RANDOM_IMAGES = 64  #: drawn for a network that comes without images


@dataclass(frozen=True)
class Workload:
    """A network and what to run through it.

    Attributes:
        images: integers [N, H, W, C] within the network's input format.
        labels: int [N], or None if nobody knows them.
    """

    network: Network
    images: np.ndarray
    labels: np.ndarray | None


def given_model() -> tuple[str, str, Lowering]:
    """The model file, its inputs and how it is lowered, as the run's settings say."""
    model, inputs, *lowering = (
        os.environ.get(f"ASSAY_{name.upper()}", "") for name in ("model", "inputs", *Lowering._fields)
    )
    return model, inputs, Lowering(*lowering)


def load_workloads(model: str, images: str, lowering: Lowering, rng: np.random.Generator) -> list[Workload]:
    """The digit networks with the test images nobody trained on; or the network in file `model`.

    Args:
        model: path of a model file, empty for the digit networks.
        images: path of a .npy file with the network's inputs, empty for random ones.
        lowering: how a model file is lowered.

    Raises:
        GoldenError: a file is missing, damaged, altered or does not fit the other.
    """
    return [load_workload(name, images, rng, lowering) for name in ((model,) if model else DIGITS)]


def load_workload(
    model: str, images: str, rng: np.random.Generator, lowering: Lowering = DEFAULT
) -> Workload:
    """One network: one of `DIGITS`, one of `NETWORKS`, or a model file; arguments and errors as for `load_workloads`.

    Args:
        lowering: how a model file is lowered.
    """
    if model in DIGITS:
        network, digits, labels = vectors.digits(model)
        assert isinstance(network, Network)  # as .onnx files give
        return Workload(network, digits, labels)
    make = NETWORKS.get(model)
    network = make() if make else lowering(golden.load(model))
    shape, fmt = network.shapes[network.input], network.input_format
    if not images:
        drawn = rng.integers(fmt.min, fmt.max, (RANDOM_IMAGES, *shape), np.int64, endpoint=True)
        return Workload(network, drawn, None)
    given = user_files.array_file(images)
    if (
        not isinstance(given, np.ndarray)
        or given.dtype.kind not in "iu"
        or given.shape[1:] != shape
        or not len(given)
    ):
        found = f"{given.dtype} {list(given.shape)}" if isinstance(given, np.ndarray) else "an archive"
        raise GoldenError(
            f"{images}: holds {found}, but {network.name} takes integers [N, {str(list(shape))[1:]}"
        )
    if given.min() < fmt.min or given.max() > fmt.max:
        raise GoldenError(
            f"{images}: values from {given.min()} to {given.max()}, but {network.name} takes {fmt.min} to {fmt.max}"
        )
    return Workload(network, given.astype(np.int64), None)


def check(model: str, images: str, parameters: Mapping[str, Any], lowering: Lowering = DEFAULT) -> None:
    """Refuse before the simulation what cannot be run on a build with these HDL parameters.

    Raises:
        GoldenError: see `load_workloads`; or a tensor or a weight block that does not fit the memories.
    """
    for workload in load_workloads(model, images, lowering, np.random.default_rng(0)):
        plan = NetworkPlan(workload.network, MvuParameters.of_rtl(parameters))
        for layer in workload.network.layers:
            plan.jobs(layer)


def items(plan: NetworkPlan, image: np.ndarray) -> Iterator[JobItem]:
    """All jobs of one image int[H, W, C]; every layer reads what the one before wrote."""
    network, lanes = plan.network, plan.params.lanes
    words = pack_activations(image, network.input_format, lanes)
    images = [Image(plan.bases[network.input], words)]
    for layer in network.layers:
        jobs = plan.jobs(layer)
        for job in jobs:
            item = JobItem.of(job, lanes, images)
            if len(jobs) == 1:
                added = plan.bases[layer.residual.tensor] if layer.residual else 0
                place = (plan.bases[layer.input], plan.bases[layer.output], added)
                item.origin = LayerStep(layer, network.shapes[layer.input][:2], place)
            yield item
            images = []
