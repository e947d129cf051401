# SPDX-License-Identifier: Apache-2.0
"""Real networks and vectors made by this project, each held to the checksum in `manifest.json`.

    network, images, labels = vectors.digits("digits_w2a2")
    logits = network.predict(images)

Files are named by their path below this folder, as in "digits/digits_w2a2.onnx".
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from assay import golden
from assay.golden import ChecksumError, GoldenError, Graph, Network

__all__ = ["MANIFEST", "apply_input_rule", "digits", "load_manifest", "path"]

MANIFEST = Path(__file__).resolve().parent / "manifest.json"


def load_manifest() -> dict[str, Any]:
    """The manifest: "files" maps a file's name to its sha256, bytes and description, "made_by" says how.

    Raises:
        GoldenError: the manifest is missing or is not JSON.
    """
    remedy = "restore it with git checkout vectors/manifest.json"
    try:
        return json.loads(MANIFEST.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise GoldenError(f"vectors/manifest.json is missing: {remedy}") from None
    except ValueError as error:
        raise GoldenError(f"vectors/manifest.json is not JSON ({error}): {remedy}") from None


def path(name: str) -> Path:
    """Absolute path of a file in the manifest, after checking that it is there and unaltered.

    Raises:
        GoldenError: `name` is not in the manifest.
        ChecksumError: the file is missing, or its content differs from the manifest's sha256.
    """
    manifest = load_manifest()
    entry = manifest["files"].get(name)
    if entry is None:
        raise GoldenError(f"vectors has no file {name!r}, the manifest lists {', '.join(manifest['files'])}")
    command = manifest["made_by"]["command"]
    remedy = f"restore it with git checkout vectors/{name}, or make all anew with {command}"
    file = MANIFEST.parent / name
    if not file.is_file():
        raise ChecksumError(f"vectors/{name} is missing: {remedy}")
    seen = hashlib.sha256(file.read_bytes()).hexdigest()
    if seen != entry["sha256"]:
        raise ChecksumError(f"vectors/{name} has sha256 {seen}, but must have {entry['sha256']}: {remedy}")
    return file


def apply_input_rule(pixels: np.ndarray, rule: dict[str, int]) -> np.ndarray:
    """Turn pixels into a network's input: (pixel * multiply + add) >> shift.

    Args:
        pixels: integers of any shape, 0 to 16.
        rule: "multiply", "add" and "shift", as the manifest gives them for each network.

    Returns:
        of the same shape: int8 where the rule gives negative numbers, else uint8.
    """
    values = (pixels.astype(np.int64) * rule["multiply"] + rule["add"]) >> rule["shift"]
    return values.astype(np.int8 if rule["add"] < 0 else np.uint8)


def digits(name: str) -> tuple[Network | Graph, np.ndarray, np.ndarray]:
    """A digit network with the 360 test images that it has never seen.

    Args:
        name: "digits_w2a2" or "digits_mixed", or "digits_int8", which is a TFLite graph.

    Returns:
        The network, images `[360, 8, 8, 1]` already in its input format (uint8; int8 for digits_int8), and uint8
        labels `[360]`.

    Raises:
        GoldenError: no such network.
        ChecksumError: one of its files is missing or altered.
    """
    files = load_manifest()["files"]
    models = {Path(file).stem: file for file in files if file.endswith((".onnx", ".tflite"))}
    if name not in models:
        names = list(models)
        raise GoldenError(f"vectors has no digit network {name!r}, only {', '.join(names)}")
    model = models[name]
    network = golden.load(path(model))
    if model.endswith(".onnx"):
        network = network.lower()
    with np.load(path("digits/images.npz")) as archive:
        pixels, labels = archive["images"], archive["labels"]
    return network, apply_input_rule(pixels, files[model]["input_rule"]), labels
