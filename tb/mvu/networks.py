"""Whole networks as jobs of the MVU: the project's own, or one that the user brings with MODEL=..."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import golden
import vectors
from golden import DoesNotFitError, GoldenError, Layer, Network
from golden.mvu.jobs import Job, map_layer
from golden.mvu.layout import pack_activations
from golden.mvu.parameters import MvuParameters
from tb.mvu.jobs import Image, JobItem

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


def load_workloads(model: str, images: str, rng: np.random.Generator) -> list[Workload]:
    """The digit networks with the test images nobody trained on; or the network in file `model`.

    Args:
        model: path of a model file, empty for the digit networks.
        images: path of a .npy file with the network's inputs, empty for random ones.

    Raises:
        GoldenError: a file is missing, damaged, altered or does not fit the other.
    """
    if not model:
        return [Workload(*vectors.digits(name)) for name in DIGITS]
    network = golden.load(model)
    shape, fmt = network.shapes[network.input], network.input_format
    if not images:
        drawn = rng.integers(fmt.min, fmt.max, (RANDOM_IMAGES, *shape), np.int64, endpoint=True)
        return [Workload(network, drawn, None)]
    try:
        given = np.load(images, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise GoldenError(f"{images}: not a readable .npy file: {error}") from None
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
    return [Workload(network, given.astype(np.int64), None)]


def check(model: str, images: str, parameters: dict[str, int]) -> None:
    """Refuse before the simulation what cannot be run on a build with these HDL parameters.

    Raises:
        GoldenError: see `load_workloads`; or a tensor or a weight block that does not fit the memories.
    """
    for workload in load_workloads(model, images, np.random.default_rng(0)):
        plan = NetworkPlan(workload.network, MvuParameters.of_rtl(parameters))
        for layer in workload.network.layers:
            plan.jobs(layer)


class NetworkPlan:
    """Where a network's tensors live in the data memory and the jobs of its layers.

    Tensors go to banks of their own as long as there are any, so that a layer's input, residual and output never
    meet at a bank and the clocks are exactly the formula's.
    """

    def __init__(self, network: Network, params: MvuParameters) -> None:
        self.network = network
        self.params = params
        self.bases: dict[str, int] = {}
        free = 0
        for tensor, (height, width, channels) in network.shapes.items():
            self.bases[tensor] = free
            words = height * width * -(-channels // params.lanes) * network.formats[tensor].bits
            banks = -(-words // params.bank_depth)
            free += banks * params.bank_depth
        if free > params.data_depth:
            raise DoesNotFitError(
                f"network {network.name} needs {free} words of data memory in whole banks, "
                f"the MVU has {params.data_depth}"
            )

    def jobs(self, layer: Layer) -> list[Job]:
        """The jobs of one layer."""
        residual = layer.residual and self.bases[layer.residual.tensor]
        return map_layer(
            layer,
            self.network.shapes[layer.input][:2],
            self.params,
            self.bases[layer.input],
            self.bases[layer.output],
            residual_base=residual,
        )

    def items(self, image: np.ndarray) -> Iterator[JobItem]:
        """All jobs of one image int[H, W, C]; every layer reads what the one before wrote."""
        network, lanes = self.network, self.params.lanes
        words = pack_activations(image, network.input_format, lanes)
        images = [Image(self.bases[network.input], words)]
        for layer in network.layers:
            for job in self.jobs(layer):
                item = JobItem.of(job, lanes, images)
                images = []
                yield item
