# SPDX-License-Identifier: Apache-2.0
"""Train, quantise and export the digit networks: `python -m assay.vectors.digits.train`.

Needs the optional extra `train` (torch 2.13.0, scikit-learn). Writes `digits_w2a2.onnx`, `digits_mixed.onnx`,
`digits_int8.tflite` and `images.npz` beside this file, and `vectors/manifest.json`; each file appears complete or not
at all. The int8 network is trained in float and quantised afterwards: `vectors.digits.int8`. Of the other two:

Weights and activations are trained in the precision they are exported in, with learned step sizes (Esser et
al., "Learned Step Size Quantization", ICLR 2020): a value is replaced by round(clip(value / step)) * step,
the step is a parameter, and the rounding passes gradients through. Batch normalisation follows every
convolution and becomes the layer's integer multiplier and bias on export.

The 360 test images take no part in training, and the number of epochs is fixed beforehand; settings are to be
compared with `--validate`, which trains on four fifths of the training images and reports on the last fifth.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay import golden, vectors
from assay.golden import IntFormat, Layer, Network, Residual
from assay.golden.exporters import qonnx as exporter
from assay.golden.importers import onnx as importer
from assay.golden.importers import tflite as tflite_importer
from assay.golden.network import MULTIPLIER
from assay.golden.schemes.qonnx import FLOAT32_EXACT

try:
    import sklearn
    import torch
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn

    from assay.vectors.digits.int8 import Int8Digits, to_tflite
except ImportError as error:
    raise SystemExit(
        f"training needs the package {error.name!r}: pip install torch==2.13.0 scikit-learn onnx tflite flatbuffers"
    ) from error

SEED = 1
TEST_IMAGES = 360
# The first epochs train without quantisation, so that the step sizes start from settled weights and
# activations.
FLOAT_EPOCHS, QUANTISED_EPOCHS = 15, 75
INT8_EPOCHS = 60
BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-4

LOGITS = IntFormat(16, signed=True)

# Scaler shifts tried, largest first: more would not fit a 16-bit multiplier for any step size seen in
# practice.
LARGEST_SHIFT = 20


@dataclass(frozen=True)
class LayerPlan:
    """One layer to train: what the golden layer will have, except for the numbers that training finds."""

    name: str
    channels: int
    weight_bits: int
    output_bits: int | None  # None: the logits, without batch normalisation, ReLU and activation step
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    pool: bool = False  # 2x2, stride 2
    residual: bool = False  # add the layer's own input


@dataclass(frozen=True)
class NetworkPlan:
    """A network to train. `input_rule` makes the input's integers from pixels; see
    `vectors.apply_input_rule`."""

    name: str
    input_bits: int
    input_rule: dict[str, int]
    layers: tuple[LayerPlan, ...]


PLANS = (
    NetworkPlan(
        "digits_w2a2",
        input_bits=2,
        input_rule={"multiply": 3, "add": 8, "shift": 4},  # 0..16 to 0..3, rounded to the nearest
        layers=(
            LayerPlan("conv1", 32, 2, 2),
            LayerPlan("conv2", 64, 2, 2, pool=True),
            LayerPlan("conv3", 64, 2, 2, residual=True),
            LayerPlan("conv4", 32, 2, 2, stride=2),
            LayerPlan("dense", 10, 2, None, kernel=2, padding=0),
        ),
    ),
    NetworkPlan(
        "digits_mixed",
        input_bits=8,
        input_rule={"multiply": 15, "add": 0, "shift": 0},  # 0..16 to 0..240
        layers=(
            LayerPlan("conv1", 32, 4, 2),
            LayerPlan("conv2", 32, 2, 2, pool=True),
            LayerPlan("conv3", 48, 2, 8, stride=2),
            LayerPlan("dense", 10, 4, None, kernel=2, padding=0),
        ),
    ),
)


class LearnedStep(nn.Module):
    """LSQ quantiser of one tensor; passes values through unchanged until `start` has chosen a first step."""

    def __init__(self, target: IntFormat, batched: bool) -> None:
        super().__init__()
        self.target = target
        self.batched = batched  # the first dimension counts images
        self.step = nn.Parameter(torch.zeros(()))
        self.active = False

    def start(self, values: torch.Tensor) -> None:
        # The paper's initial step.
        self.step.data = 2 * values.detach().abs().mean() / math.sqrt(max(self.target.max, 1))
        self.active = True

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        if not self.active:
            return values
        # The paper's gradient scale balances the step's updates with the weights'. Counted over one image,
        # since the gradient of the mean loss does not grow with the batch.
        count = values[0].numel() if self.batched else values.numel()
        gradient_scale = 1 / math.sqrt(count * max(self.target.max, 1))
        step = self.step.abs() + 1e-8
        step = step * gradient_scale + (step - step * gradient_scale).detach()
        scaled = (values / step).clamp(self.target.min, self.target.max)
        return (scaled + (scaled.round() - scaled).detach()) * step

    def value(self) -> float:
        """The step as used in `forward`."""
        return (self.step.abs() + 1e-8).item()


class TrainedLayer(nn.Module):
    """A `LayerPlan` with weights, batch normalisation and quantisers."""

    def __init__(self, plan: LayerPlan, channels: int) -> None:
        super().__init__()
        self.plan = plan
        last = plan.output_bits is None
        self.conv = nn.Conv2d(channels, plan.channels, plan.kernel, plan.stride, plan.padding, bias=last)
        self.norm = nn.Identity() if last else nn.BatchNorm2d(plan.channels)
        self.weight_step = LearnedStep(IntFormat(plan.weight_bits, signed=True), batched=False)
        self.output_step = None
        if not last:
            self.output_step = LearnedStep(IntFormat(plan.output_bits, signed=False), batched=True)

    def before_step(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.conv2d(
            x, self.weight_step(self.conv.weight), self.conv.bias, self.plan.stride, self.plan.padding
        )
        y = self.norm(y)
        if self.plan.residual:
            y = y + x
        if self.output_step is not None:
            y = nn.functional.relu(y)
        return nn.functional.max_pool2d(y, 2) if self.plan.pool else y

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.before_step(x)
        return y if self.output_step is None else self.output_step(y)


class TrainedNetwork(nn.Module):
    """A `NetworkPlan` with its layers; takes the input's integers and gives float logits `[N, 10]`."""

    def __init__(self, plan: NetworkPlan) -> None:
        super().__init__()
        self.plan = plan
        self.input_step = 1 / IntFormat(plan.input_bits, signed=False).max
        channels = [1] + [layer.channels for layer in plan.layers]
        self.layers = nn.ModuleList(
            TrainedLayer(layer, c) for layer, c in zip(plan.layers, channels, strict=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.input_step
        for layer in self.layers:
            x = layer(x)
        return x.flatten(1)

    @torch.no_grad()
    def start_quantising(self, x: torch.Tensor) -> None:
        """Choose first steps from the weights, and from the activations that the inputs `x` cause."""
        self.eval()
        x = x * self.input_step
        for layer in self.layers:
            layer.weight_step.start(layer.conv.weight)
            y = layer.before_step(x)
            if layer.output_step is not None:
                layer.output_step.start(y)
            x = layer(x)


def train(plan: NetworkPlan, images: np.ndarray, labels: np.ndarray) -> TrainedNetwork:
    """Train a network on uint8 pixels `[N, 8, 8, 1]`, 0 to 16, and labels `[N]`; prints its progress."""
    torch.manual_seed(SEED)
    x, y = as_tensors(images, labels, plan.input_rule)
    network = TrainedNetwork(plan)
    fit(network, x, y, FLOAT_EPOCHS, f"{plan.name}: float")
    network.start_quantising(x)
    fit(network, x, y, QUANTISED_EPOCHS, f"{plan.name}: quantised")
    return network.eval()


def as_tensors(
    images: np.ndarray, labels: np.ndarray, rule: dict[str, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels and labels as `train` takes them to a network's inputs float32 `[N, 1, 8, 8]` and int64 `[N]`."""
    inputs = vectors.apply_input_rule(images, rule)
    x = torch.from_numpy(np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))).float()
    return x, torch.from_numpy(labels.astype(np.int64))


def fit(network: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int, title: str) -> None:
    """Train for a number of epochs; the least value of `x` is an empty pixel."""
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * math.ceil(len(x) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in torch.randperm(len(x)).split(BATCH):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(network(shifted(x[batch], float(x.min()))), y[batch])
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(batch)
        if epoch % 5 == 0 or epoch == epochs:
            print(f"{title} epoch {epoch}/{epochs}, loss {total / len(x):.4f}", flush=True)


def train_int8(images: np.ndarray, labels: np.ndarray) -> bytes:
    """Train the int8 network on pixels and labels as for `train`; the .tflite file."""
    torch.manual_seed(SEED)
    x, y = as_tensors(images, labels, Int8Digits.input_rule)
    network = Int8Digits()
    fit(network, x, y, INT8_EPOCHS, Int8Digits.name)
    return to_tflite(network, x)


def shifted(x: torch.Tensor, empty: float) -> torch.Tensor:
    """Move each image by -1, 0 or 1 pixel in both directions, at random: the only augmentation."""
    padded = nn.functional.pad(x, (1, 1, 1, 1), value=empty)
    offsets = torch.randint(0, 3, (len(x), 2)).tolist()
    size = x.shape[-1]
    return torch.stack(
        [image[:, i : i + size, j : j + size] for image, (i, j) in zip(padded, offsets, strict=True)]
    )


def to_integers(trained: TrainedNetwork) -> Network:
    """Fuse batch normalisation and steps into the integer multiplier, bias and shift of golden layers."""
    plan = trained.plan
    tensor, tensor_format = "input", IntFormat(plan.input_bits, signed=False)
    step, size, layers = trained.input_step, (8, 8, 1), []
    for layer in trained.layers:
        weight = layer.conv.weight.detach().numpy().astype(np.float64).transpose(0, 2, 3, 1)
        weight_step, weight_format = layer.weight_step.value(), layer.weight_step.target
        weight = np.clip(np.rint(weight / weight_step), weight_format.min, weight_format.max).astype(np.int64)
        pad = layer.plan.padding
        fixed = {
            "name": layer.plan.name,
            "input": tensor,
            "output": layer.plan.name if layer.output_step is not None else "logits",
            "weight": weight,
            "weight_format": weight_format,
            "input_format": tensor_format,
            "stride": (layer.plan.stride, layer.plan.stride),
            "padding": (pad, pad, pad, pad),
        }
        if layer.output_step is None:
            # Logits stay in units of the last accumulator: a common factor does not change which one is
            # largest.
            bias = np.rint(layer.conv.bias.detach().numpy().astype(np.float64) / (weight_step * step))
            numbers = {"multiplier": np.ones(len(bias), np.int64), "bias": bias.astype(np.int64), "shift": 0}
            layers.append(Layer(**fixed, **numbers, output_format=LOGITS))
            break
        norm, output_step = layer.norm, layer.output_step.value()
        gain = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
        offset = norm.bias.detach().double() - norm.running_mean.double() * gain
        numbers = scaler(
            gain.numpy() * weight_step * step / output_step,
            offset.numpy() / output_step,
            step / output_step if layer.plan.residual else 0.0,
            np.abs(weight).sum(axis=(1, 2, 3)) * tensor_format.magnitude,
            tensor_format.magnitude,
        )
        residual = numbers.pop("residual")
        layers.append(
            Layer(
                **fixed,
                **numbers,
                output_format=layer.output_step.target,
                residual=Residual(tensor, tensor_format, residual) if layer.plan.residual else None,
                relu=True,
                pool=((2, 2), (2, 2)) if layer.plan.pool else None,
            )
        )
        tensor, tensor_format, step = layers[-1].output, layers[-1].output_format, output_step
    return Network(plan.name, "input", size, tuple(layers))


def scaler(
    scale: np.ndarray, bias: np.ndarray, residual: float, largest_acc: np.ndarray, largest_residual: int
) -> dict[str, object]:
    """Integers for y = acc * scale + bias + r * residual, with as many fraction bits as fit.

    The limit is what keeps the exported file exact in float32, see `golden.exporters.qonnx.to_bytes`; it also keeps the
    bias within 25 bits, so the 27 bits of the hardware's bias always hold it.

    Args:
        scale, bias: float64 `[K]`, in output steps.
        residual: factor of the added tensor, 0 for none.
        largest_acc: int64 `[K]`, bound of each channel's accumulator.
        largest_residual: bound of the added tensor.

    Returns:
        "multiplier" and "bias" int64 `[K]`, "shift" and "residual" (its multiplier) int.
    """
    for shift in range(LARGEST_SHIFT, -1, -1):
        multiplier = np.rint(scale * 2**shift).astype(np.int64)
        offset = np.rint(bias * 2**shift).astype(np.int64)
        added = round(residual * 2**shift)
        worst = np.abs(multiplier) * largest_acc + np.abs(offset) + abs(added) * largest_residual
        worst += 1 << shift  # more than the half that rounding adds
        if MULTIPLIER.contains(multiplier) and MULTIPLIER.contains(added) and worst.max() < FLOAT32_EXACT:
            return {"multiplier": multiplier, "bias": offset, "shift": shift, "residual": added}
    raise golden.DoesNotFitError(
        f"scaler: factor {np.abs(scale).max()} fits 16 bits with no shift from 0 to {LARGEST_SHIFT}"
    )


def learned_steps(trained: TrainedNetwork) -> dict[str, str]:
    """The real step sizes, for the file's metadata: what one unit of each integer stands for."""
    steps = {"step:input": repr(trained.input_step)}
    for layer in trained.layers:
        steps[f"step:{layer.plan.name}:weight"] = repr(layer.weight_step.value())
        if layer.output_step is not None:
            steps[f"step:{layer.plan.name}:output"] = repr(layer.output_step.value())
    return steps


def correct(network: Network, plan: NetworkPlan, images: np.ndarray, labels: np.ndarray) -> int:
    """Number of images that the integer network classifies correctly."""
    logits = network.predict(vectors.apply_input_rule(images, plan.input_rule))
    return int((logits[:, 0, 0, :].argmax(axis=1) == labels).sum())


def split_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images, test images, training labels, test labels: uint8 `[N, 8, 8, 1]` and uint8 `[N]`."""
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8)[..., None], digits.target.astype(np.uint8)
    return tuple(train_test_split(images, labels, test_size=TEST_IMAGES, random_state=SEED, stratify=labels))


def write_atomically(target: Path, content: bytes) -> None:
    """Write beside the target, then rename: a reader sees the old file or the new one, never half of one."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def export() -> None:
    """Train the networks on all training images, then write the networks, the test images and the
    manifest."""
    train_images, test_images, train_labels, test_labels = split_digits()
    folder = Path(__file__).resolve().parent
    contents: dict[str, bytes] = {}
    described: dict[str, dict[str, object]] = {}
    for plan in PLANS:
        trained = train(plan, train_images, train_labels)
        content = exporter.to_bytes(to_integers(trained), learned_steps(trained))
        network = importer.loads(content, plan.name).lower()
        right = correct(network, plan, test_images, test_labels)
        print(f"{plan.name}: integer arithmetic, {right} of {TEST_IMAGES} test images")
        contents[f"{plan.name}.onnx"] = content
        described[f"{plan.name}.onnx"] = {
            "accuracy": {"correct": right, "images": TEST_IMAGES, "arithmetic": "integer"},
            "epochs": {"float": FLOAT_EPOCHS, "quantised": QUANTISED_EPOCHS},
            "training_images": len(train_images),
            "input_rule": plan.input_rule,
        }
    content = train_int8(train_images, train_labels)
    inputs = vectors.apply_input_rule(test_images, Int8Digits.input_rule)
    probabilities = tflite_importer.loads(content, Int8Digits.name).predict(inputs)
    right = int((probabilities.argmax(axis=1) == test_labels).sum())
    print(f"{Int8Digits.name}: int8 arithmetic, {right} of {TEST_IMAGES} test images")
    contents[f"{Int8Digits.name}.tflite"] = content
    described[f"{Int8Digits.name}.tflite"] = {
        "accuracy": {"correct": right, "images": TEST_IMAGES, "arithmetic": "int8"},
        "epochs": {"float": INT8_EPOCHS},
        "training_images": len(train_images),
        "input_rule": Int8Digits.input_rule,
    }
    archive = io.BytesIO()
    np.savez_compressed(archive, images=test_images, labels=test_labels)
    contents["images.npz"] = archive.getvalue()
    described["images.npz"] = {
        "source": "scikit-learn load_digits, stratified test split",
        "images": TEST_IMAGES,
    }

    manifest = {
        "input_rule": "input = (pixel * multiply + add) >> shift, pixel 0 to 16",
        "made_by": {
            "command": "python -m assay.vectors.digits.train",
            "seed": SEED,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "files": {
            f"digits/{name}": {
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                **described[name],
            }
            for name, content in contents.items()
        },
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    write_atomically(vectors.MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    total = sum(len(content) for content in contents.values())
    print(f"wrote {', '.join(contents)} and {vectors.MANIFEST.name}, {total:,} bytes")


def validate() -> None:
    """Train on four fifths of the training images and report on the last fifth; the test images stay
    unseen."""
    images, _, labels, _ = split_digits()
    images, held_out, labels, held_out_labels = train_test_split(
        images, labels, test_size=0.2, random_state=SEED, stratify=labels
    )
    for plan in PLANS:
        right = correct(to_integers(train(plan, images, labels)), plan, held_out, held_out_labels)
        print(f"{plan.name}: integer arithmetic, {right} of {len(held_out)} held-out training images")


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m assay.vectors.digits.train",
        description="Train, quantise and export the digit networks.",
    )
    parser.add_argument(
        "--validate", action="store_true", help="report on held-out training images and write nothing"
    )
    arguments = parser.parse_args()
    # One thread and deterministic kernels: the same seed gives the same files on the same kind of machine.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        validate() if arguments.validate else export()
    except KeyboardInterrupt:
        print("interrupted: files change only after all networks are trained, each at once", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
