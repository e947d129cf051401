# SPDX-License-Identifier: Apache-2.0
"""A model file on the accelerator: golden model, framework, code generator, RTL, and a bug that is found.

python docs/example/run.py                                          # the committed digits network, no simulator
python docs/example/run.py --engine accelerator --lanes 16 --mvus 2  # the RTL
python docs/example/run.py --engine accelerator --bug               # a copy of the RTL with a wrong line
python docs/example/run.py --model build/digits/digits.onnx --data build/digits/test.npz
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from assay import golden, sim
from assay.golden.compare import compare_traces
from assay.sim import ROOT
from assay.sim.blocks import discover
from assay.tb.block import Block
from assay.tb.errors import AssayError

# The bug: half an output step is added one place too high, so that some values round to the wrong integer.
BROKEN_FILE = "rtl/mvu/mvu_post.sv"
RIGHT, WRONG = "half[shift_i-6'd1] = 1'b1", "half[shift_i] = 1'b1"


def images_of(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Images as the model file takes them, and their labels."""
    if options.data is not None:
        with np.load(options.data) as archive:
            return archive["images"], archive["labels"]
    from assay import vectors

    _, images, labels = vectors.digits(options.model.stem)
    return images.transpose(0, 3, 1, 2).astype(np.float32), labels


@contextmanager
def planted(engine: str) -> Iterator[Block]:
    """The engine whose RTL is a copy with the bug in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("rtl", "tb"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        text = (copy / BROKEN_FILE).read_text(encoding="utf-8")
        if RIGHT not in text:
            raise AssayError(f"{BROKEN_FILE} has no line with {RIGHT!r} in which to plant the bug")
        (copy / BROKEN_FILE).write_text(text.replace(RIGHT, WRONG), encoding="utf-8")
        yield replace(discover()[engine], root=copy)


def broken(network: golden.Network) -> golden.Network:
    """The same bug in a golden model, for those without a simulator."""
    layers = [
        replace(layer, bias=layer.bias + (1 << layer.shift >> 1))
        if layer.rounding == "half_up" and layer.shift
        else layer
        for layer in network.layers
    ]
    return replace(network, layers=tuple(layers))


def main(arguments: list[str] | None = None) -> int:
    """Run all steps; gives 0 if hardware and golden model agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "vectors" / "digits" / "digits_mixed.onnx")
    parser.add_argument(
        "--data", type=Path, help=".npz with images and labels (default: the committed digits)"
    )
    parser.add_argument("--scales", choices=("exact", "nearest"), default="nearest")
    parser.add_argument("--engine", choices=("golden", "accelerator"), default="golden")
    parser.add_argument("--images", type=int, default=2, metavar="N", help="to simulate (default 2)")
    parser.add_argument("--mvus", type=int, default=8)
    parser.add_argument("--lanes", type=int, default=64)
    parser.add_argument("--bug", action="store_true", help="plant one")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the comparison (needs matplotlib)")
    options = parser.parse_args(arguments)
    try:
        return run(options)
    except (golden.GoldenError, AssayError) as error:
        print(f"example: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """The steps, each with what it prints."""
    print("1. The model file as an integer network, which is what the hardware computes")
    network = golden.load(options.model).lower(options.scales)
    print(network.summary())

    print("\n2. The framework's tensors as that network's integers; each layer on the framework's own inputs")
    images, labels = images_of(options)
    graph = golden.load(options.model)
    theirs = network.integers(graph.trace(images))
    x = theirs[network.input]
    print(compare_traces(network.trace(x, theirs), theirs, network.inputs))
    for who, logits in (("framework", theirs[network.output]), ("network", network.predict(x))):
        right = np.mean(logits.reshape(len(x), -1).argmax(axis=1) == labels)
        print(f"{who}: {right:.1%} of {len(x)} images right")

    print(f"\n3. {options.images} images on engine {options.engine}{', with a bug planted' * options.bug}")
    x = x[: options.images]
    seen = hardware(options, network, x)

    print("\n4. Every tensor against the golden model's")
    comparison = compare_traces(seen, network.trace(x), network.inputs)
    print(comparison)
    if options.plot is not None:
        print(f"wrote {comparison.plot(options.plot)}")
    first = comparison.first_differing
    if first is None:
        return 0
    layer = next(each for each in network.layers if each.output == first.name)
    print(
        f"the bug shows first in layer {layer.name!r}: image {first.first[0]}, row {first.first[1]}, column "
        f"{first.first[2]}, channel {first.first[3]}: {first.expected} expected, {first.seen} seen"
    )
    return 1


def hardware(options: argparse.Namespace, network: golden.Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """All tensors, from the engine."""
    if options.engine == "golden":
        return (broken(network) if options.bug else network).trace(x)
    with (
        planted(options.engine) if options.bug else nullcontext(options.engine) as engine,
        sim.load(
            network, engine=engine, mvus=options.mvus, lanes=options.lanes, announce=print
        ) as rtl,
    ):
        seen = rtl.trace(x)
        print(rtl.report())
    return seen


if __name__ == "__main__":
    sys.exit(main())
