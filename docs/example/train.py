# SPDX-License-Identifier: Apache-2.0
"""Trains a little network on scikit-learn's digits with Brevitas and exports it as QONNX.

    pip install torch brevitas onnxoptimizer scikit-learn
    python docs/example/train.py --output build/digits

Any network of quantised convolutions, dense layers, residual additions and poolings will do; this one has all of them,
4 bits for weights and activations, and scales as training leaves them (no powers of two). Beside the model stand the
test images, as the file takes them, and their labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

try:
    import brevitas.nn as qnn
    import torch
    from brevitas.export import export_qonnx
    from brevitas.quant import Int8WeightPerChannelFloat
    from sklearn.datasets import load_digits
    from torch import nn
except ImportError as error:
    raise SystemExit(
        f"training needs the package {error.name!r}: pip install torch brevitas onnxoptimizer scikit-learn"
    ) from error

BITS = 4
TEST_IMAGES = 360


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Weights of 4 bits with a scale for each channel; batch normalisation, which the hardware's scaler takes over."""
    kernel = qnn.QuantConv2d(
        inputs,
        outputs,
        3,
        padding=1,
        bias=False,
        weight_quant=Int8WeightPerChannelFloat,
        weight_bit_width=BITS,
    )
    return nn.Sequential(kernel, nn.BatchNorm2d(outputs))


class Digits(nn.Module):
    """8x8 pixels to ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = qnn.QuantIdentity(bit_width=8)
        self.first = nn.Sequential(convolution(1, 16), qnn.QuantReLU(bit_width=BITS))
        self.second = nn.Sequential(convolution(16, 16), qnn.QuantIdentity(bit_width=BITS))
        self.sum = nn.Sequential(qnn.QuantReLU(bit_width=BITS), nn.MaxPool2d(2))
        self.third = nn.Sequential(convolution(16, 32), qnn.QuantReLU(bit_width=BITS))
        self.average = nn.Sequential(nn.AvgPool2d(2), qnn.QuantIdentity(bit_width=8))
        self.dense = qnn.QuantLinear(32 * 2 * 2, 10, bias=True, weight_bit_width=BITS)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        first = self.first(self.pixels(pixels))
        third = self.third(self.sum(first + self.second(first)))
        return self.dense(torch.flatten(self.average(third), 1))


def main() -> None:
    """Train, print the accuracy, write the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("build/digits"), metavar="FOLDER")
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images[:, None] / 8 - 1, dtype=torch.float32)  # 0..16 becomes -1..1
    labels = torch.tensor(digits.target)
    train, test = slice(TEST_IMAGES, None), slice(TEST_IMAGES)
    model = Digits()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(options.epochs):
        model.train()
        for batch in torch.randperm(len(images) - TEST_IMAGES).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images[train][batch]), labels[train][batch]).backward()
            optimiser.step()
        model.eval()
        with torch.no_grad():
            right = (model(images[test]).argmax(1) == labels[test]).float().mean().item()
        print(f"epoch {epoch + 1} of {options.epochs}: {right:.1%} of the test images right", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    export_qonnx(model, args=images[:1], export_path=str(options.output / "digits.onnx"), dynamo=False)
    np.savez(options.output / "test.npz", images=images[test].numpy(), labels=labels[test].numpy())
    print(f"wrote {options.output / 'digits.onnx'} and {options.output / 'test.npz'}")


if __name__ == "__main__":
    main()
