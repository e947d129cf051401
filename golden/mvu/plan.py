# SPDX-License-Identifier: Apache-2.0
"""A whole network in one MVU's memory: where its tensors lie and which jobs make its layers."""

from __future__ import annotations

from assay.golden.errors import DoesNotFitError
from assay.golden.mvu.jobs import Job, map_layer
from assay.golden.mvu.layout import channel_blocks
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.network import Layer, Network

__all__ = ["NetworkPlan"]


class NetworkPlan:
    """Placement of a network's tensors in the data memory, and the jobs of its layers.

    Every tensor begins in a bank of its own, so that a layer's input, residual and output meet at a bank only where
    they are one tensor.

    Attributes:
        network, params: as given.
        bases: tensor name -> data memory word.

    Raises:
        DoesNotFitError: the tensors need more banks than there are.
    """

    def __init__(self, network: Network, params: MvuParameters) -> None:
        self.network = network
        self.params = params
        self.bases: dict[str, int] = {}
        free = 0
        for tensor, (height, width, channels) in network.shapes.items():
            self.bases[tensor] = free
            words = height * width * channel_blocks(channels, params.lanes) * network.formats[tensor].bits
            free += -(-words // params.bank_depth) * params.bank_depth
        if free > params.data_depth:
            raise DoesNotFitError(
                f"network {network.name} needs {free} words of data memory in whole banks, "
                f"the MVU has {params.data_depth}"
            )

    def jobs(self, layer: Layer) -> list[Job]:
        """The jobs of one layer; errors as for `map_layer`."""
        return map_layer(
            layer,
            self.network.shapes[layer.input][:2],
            self.params,
            self.bases[layer.input],
            self.bases[layer.output],
            residual_base=layer.residual and self.bases[layer.residual.tensor],
        )
