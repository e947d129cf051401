# SPDX-License-Identifier: Apache-2.0
"""Networks and accelerators for the code generator's tests."""

from __future__ import annotations

import numpy as np

from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.controller.parameters import ControllerParameters
from assay.golden.formats import IntFormat
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.network import Layer, Network, Pool, Residual


def accelerator(mvus: int = 4, controller: dict | None = None, **mvu: int) -> AcceleratorParameters:
    """A small accelerator."""
    sizes = {"lanes": 8, "data_banks": 32, "bank_depth": 256, "weight_depth": 512, "channel_depth": 16}
    return AcceleratorParameters(
        mvus,
        MvuParameters(**(sizes | mvu)),
        ControllerParameters(harts=mvus, **({"imem_words": 8192, "dmem_words": 8192} | (controller or {}))),
    )


def random_network(seed: int, layers: int = 6, size: int = 9, lanes: int = 8) -> Network:
    """A network of convolutions, depthwise layers, poolings and residuals of mixed precisions."""
    rng = np.random.default_rng(seed)

    def fmt() -> IntFormat:
        return IntFormat(int(rng.integers(1, 5)), bool(rng.integers(2)))

    tensors = {"input": ((size, int(rng.integers(5, size + 1)), int(rng.integers(1, 2 * lanes))), fmt())}
    shape, _ = tensors["input"]
    made = []
    for number in range(layers):
        names = list(tensors)
        source = names[-1] if rng.random() < 0.7 or number == 0 else str(rng.choice(names))
        (height, width, channels), source_format = tensors[source]
        kernel = tuple(int(min(rng.integers(1, 4), n)) for n in (height, width))
        padding = tuple(int(rng.integers(0, kernel[i % 2])) for i in range(4))
        stride = tuple(int(rng.integers(1, 3)) for _ in range(2))
        depthwise = channels > 1 and rng.random() < 0.25
        outputs = channels if depthwise else int(rng.integers(1, 3 * lanes))
        weight_format, output_format = fmt(), fmt()
        weight = rng.integers(
            weight_format.min,
            weight_format.max,
            (outputs, *kernel, 1 if depthwise else channels),
            endpoint=True,
        )
        layer = Layer(
            name=f"layer{number}",
            input=source,
            output=f"tensor{number}",
            weight=weight,
            weight_format=weight_format,
            input_format=source_format,
            output_format=output_format,
            multiplier=rng.integers(-30, 200, outputs),
            bias=rng.integers(-2000, 2000, outputs),
            shift=int(rng.integers(4, 10)),
            stride=stride,
            padding=padding,
            groups=channels if depthwise else 1,
            relu=bool(rng.integers(2)),
            rounding=str(rng.choice(["truncate", "half_up"])),
            saturate=bool(rng.integers(2)),
        )
        changes = {}
        before_pool = (*layer.convolution_size((height, width)), outputs)
        fitting = [name for name, (other, _) in tensors.items() if other == before_pool]
        if fitting:
            name = str(rng.choice(fitting))
            changes["residual"] = Residual(name, tensors[name][1], int(rng.integers(-300, 300)), 1)
        if min(before_pool[:2]) >= 2 and rng.random() < 0.3:
            changes["pool"] = Pool((2, 2), (int(rng.integers(1, 3)), 2))
        layer = Layer(**{k: v for k, v in vars(layer).items() if k not in changes}, **changes)
        tensors[layer.output] = ((*layer.output_size((height, width)), outputs), output_format)
        made.append(layer)
    return Network(f"random{seed}", "input", shape, tuple(made))
