# SPDX-License-Identifier: Apache-2.0
"""Constrained-random stimulus of the accelerator's tests: networks that fit, and their inputs."""

from __future__ import annotations

import random

import numpy as np

from assay.golden import ConfigurationError, DoesNotFitError, IntFormat, Layer, Network, Residual
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.accelerator.plan import Plan
from assay.golden.codegen import plan
from assay.golden.network import Pool
from assay.tb.draws import first_drawn

__all__ = ["Stimulus"]


class Stimulus:
    """Draws everything from one seed."""

    def __init__(self, params: AcceleratorParameters, seed: int) -> None:
        self.params = params
        self.random = random.Random(seed)
        self.rng = np.random.default_rng(seed)

    def format(self) -> IntFormat:
        """A random format, mostly of few bits."""
        bits = self.random.choice((1, 2, 3, 4, 4, self.random.randint(1, 8)))
        return IntFormat(bits, self.random.random() < 0.4)

    def input(self, network: Network) -> np.ndarray:
        """Random values, int[H, W, C]."""
        fmt = network.input_format
        return self.rng.integers(fmt.min, fmt.max + 1, network.input_shape)

    def network(self, name: str, layers: int, size: int, work: int) -> Network:
        """A random network: formats, kernels, strides, padding, pools, residuals and depthwise layers, each
        layer on some earlier tensor.

        Args:
            name: of the network.
            layers: how many.
            size: of the largest map.
            work: most multiply clocks of a layer on one MVU.
        """
        r, lanes = self.random, self.params.mvu.lanes
        shape = (r.randint(2, size), r.randint(2, size), r.choice((1, 3, r.randint(1, 2 * lanes))))
        shapes, formats = {"input": shape}, {"input": self.format()}
        made: list[Layer] = []
        while len(made) < layers:
            number = len(made)
            source = (
                "input" if not made else r.choice((made[-1].output, made[-1].output, r.choice(list(shapes))))
            )
            layer = self._layer(f"layer{number}", source, shapes[source], formats[source], shapes, formats)
            if layer is None:
                continue
            if layer.weight.size * np.prod(shapes[source][:2]) * 16 > work * lanes * lanes:
                continue
            made.append(layer)
            shapes[layer.output] = (*layer.output_size(shapes[source][:2]), layer.output_channels)
            formats[layer.output] = layer.output_format
        return Network(name, "input", shape, tuple(made))

    def _layer(
        self,
        name: str,
        source: str,
        shape: tuple[int, int, int],
        fmt: IntFormat,
        shapes: dict[str, tuple[int, int, int]],
        formats: dict[str, IntFormat],
    ) -> Layer | None:
        r, lanes = self.random, self.params.mvu.lanes
        kernel = (min(r.choice((1, 2, 3, 3, 5)), shape[0]), min(r.choice((1, 2, 3, 3, 5)), shape[1]))
        stride = (r.choice((1, 1, 1, 2)), r.choice((1, 1, 1, 2)))
        sides = [r.randrange(kernel[i % 2]) if r.random() < 0.6 else 0 for i in range(4)]
        padding = (sides[0], sides[1], sides[2], sides[3])
        channels = r.choice((r.randint(1, 2 * lanes), lanes, r.randint(1, 3 * lanes)))
        weight_format, output_format = self.format(), self.format()
        convolved = tuple(
            (shape[i] + padding[i] + padding[i + 2] - kernel[i]) // stride[i] + 1 for i in (0, 1)
        )
        pool = residual = None
        if r.random() < 0.3 and min(convolved) >= 2:
            pool = Pool((2, 2), (r.choice((1, 2)), r.choice((1, 2))))
        fitting = [t for t, s in shapes.items() if s[:2] == convolved and t != "input"]
        if fitting and r.random() < 0.7:
            tensor = r.choice(fitting)
            channels = shapes[tensor][2]
            residual = Residual(tensor, formats[tensor], r.randint(-200, 200), r.randint(0, 4))
        groups = 1
        if shape[2] > 1 and (channels == shape[2] or residual is None) and r.random() < 0.2:
            channels = groups = shape[2]  # depthwise
        weight = self.rng.integers(
            weight_format.min, weight_format.max + 1, (channels, *kernel, shape[2] // groups)
        )
        try:
            return Layer(
                name,
                source,
                f"{name}_out",
                weight,
                weight_format,
                fmt,
                output_format,
                multiplier=self.rng.integers(-300, 300, channels),
                bias=self.rng.integers(-4000, 4000, channels),
                shift=r.randint(4, 14),
                stride=stride,
                padding=padding,
                groups=groups,
                residual=residual,
                relu=r.random() < 0.5,
                pool=pool,
                rounding=r.choice(("truncate", "half_up")),
                saturate=r.random() < 0.8,
            )
        except ConfigurationError:
            return None

    def plan(self, name: str, layers: int, size: int, work: int, mapping: str | None = None) -> Plan:
        """A random network that fits this build, mapped."""

        def draw() -> Plan | None:
            network = self.network(name, layers, size, work)
            try:
                return plan(network, self.params, mapping or self.random.choice(("distributed", "pipelined")))
            except (DoesNotFitError, ConfigurationError):
                return None

        return first_drawn(draw, f"a network of {layers} layers that fits this build", draws=1000)
