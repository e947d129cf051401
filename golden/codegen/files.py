# SPDX-License-Identifier: Apache-2.0
"""A plan with one image as a folder of files, for a bench, here or elsewhere, to play and check.

manifest.json             network, parameters, mapping, places, phases with their steps, sha256 of every other file
firmware.S .lst .elf      assembly, listing, executable
imem.hex dmem.hex         the controller's memories, for $readmemh
phaseP_mvuM_weights.hex   the images of each phase and MVU, likewise, from word 0 up to the last one loaded:
..._scalers.hex           a word is all rows of a tile, or the values of all lanes, row or lane 0 the lowest
..._biases.hex
mvuM_data.hex             the data memory with the input's words
loads.npz                 the same parameters: load<phase>_<number>, as in the manifest
network.npz               weights, multipliers and biases of the layers: <number>_weight ...
vectors.npz               words_<tensor>, uint8 [words, lanes/8] as they lie in the memories, and values_<tensor>,
                          int64 [H, W, C], of every tensor; the input's among them
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden import user_files, vector_sets
from assay.golden.accelerator.parameters import AcceleratorParameters
from assay.golden.codegen.elf import executable
from assay.golden.codegen.folding import fold
from assay.golden.codegen.plan import BIASES, SCALERS, WEIGHTS, Firmware, Load, Phase, Place, Plan, Step, Wait
from assay.golden.controller.assembler import assemble
from assay.golden.controller.memory_map import IMEM_BASE
from assay.golden.errors import ChecksumError, ConfigurationError, GoldenError
from assay.golden.formats import IntFormat
from assay.golden.mvu.jobs import Job, TensorSpec
from assay.golden.mvu.layout import pack_activations, pack_bits, word_bytes
from assay.golden.mvu.parameters import SCALER_WIDTH, MvuParameters
from assay.golden.network import Layer, Network, Pool, Residual

__all__ = ["FORMAT", "Saved", "parameters", "read", "write"]

FORMAT = "assay accelerator 1"  #: first key of the manifest; another number is another layout
_LARGEST_FILE = 1 << 30
_LAYER_ARRAYS = ("weight", "multiplier", "bias")
_JOB_ARRAYS = ("weights", "scaler", "bias")
_MEMORIES = {WEIGHTS: "weights", SCALERS: "scalers", BIASES: "biases"}


@dataclass(frozen=True, eq=False)
class Saved:
    """What a folder holds.

    Attributes:
        plan: complete.
        image: int64 `[H, W, C]`, the network's input.
        tensors: name to int64 `[H, W, C]`, every tensor that the network makes of it, the input included.
        words: name to uint8 `[words, lanes/8]`, the same as they lie in the memories.
    """

    plan: Plan
    image: np.ndarray
    tensors: dict[str, np.ndarray]
    words: dict[str, np.ndarray]


def write(plan: Plan, image: np.ndarray, folder: Path, origin: str = "") -> list[str]:
    """Write a plan and what it must make of one image; the folder appears complete or not at all.

    Args:
        plan: to write.
        image: integers `[H, W, C]`.
        folder: must not exist yet, or hold such a set, which is replaced.
        origin: where network and image come from, for the manifest.

    Returns:
        the names of the files.

    Raises:
        GoldenError: the image is not the network's, or `folder` holds something else or cannot be written.
    """
    files = dict(_files(plan, np.asarray(image)))
    manifest = {"format": FORMAT, "origin": origin, **_described(plan)}
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[vector_sets.MANIFEST] = (json.dumps(manifest, indent=1, default=int) + "\n").encode()
    with vector_sets.whole_folder(Path(folder)) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
    return list(files)


def read(folder: Path) -> Saved:
    """Read what `write` wrote, and check every file against the manifest.

    Raises:
        GoldenError: no such folder, or one of another format.
        ChecksumError: a file is missing, altered or cut off, or the files contradict each other.
    """
    folder = Path(folder)
    manifest = vector_sets.manifest_of(folder, FORMAT)
    path = folder / vector_sets.MANIFEST
    try:
        contents = {
            name: vector_sets.checked(folder, name, digest, _LARGEST_FILE)
            for name, digest in manifest["files"].items()
        }
        arrays = {
            stem: vector_sets.arrays_of(folder / f"{stem}.npz", contents[f"{stem}.npz"])
            for stem in ("loads", "network", "vectors")
        }
        plan = _plan(manifest, arrays, contents["firmware.S"].decode())
        vectors = arrays["vectors"]
        tensors = {name: vectors[f"values_{name}"] for name in plan.network.shapes}
        words = {name: vectors[f"words_{name}"] for name in plan.network.shapes}
        for name, place in plan.places.items():
            if words[name].shape != (place.words, word_bytes(plan.params.mvu.lanes)):
                raise ChecksumError(f"{path}: tensor {name} has other words than its place")
        return Saved(plan, tensors[plan.network.input], tensors, words)
    except vector_sets.ALTERED as error:
        if isinstance(error, GoldenError) and not isinstance(error, ConfigurationError):
            raise type(error)(user_files.shown(str(error), 1000)) from None
        raise ChecksumError(vector_sets.altered(path, error)) from None


def parameters(folder: Path) -> dict[str, int]:
    """The RTL's parameters that a folder was made for, under their names in the RTL; checks all of it as `read`."""
    return read(folder).plan.params.rtl


def _files(plan: Plan, image: np.ndarray) -> list[tuple[str, bytes]]:
    network, params = plan.network, plan.params.mvu
    if image.shape != network.input_shape:
        raise GoldenError(
            f"image has shape {list(image.shape)}, but network {network.name} takes {list(network.input_shape)}"
        )
    values = {name: array[0] for name, array in network.trace(image[None]).items()}
    words = {}
    for name, place in plan.places.items():
        folded = plan.folded and name == network.input
        lying = fold(network.layers[0], values[name]) if folded else values[name]
        words[name] = pack_activations(lying, place.fmt, params.lanes)
    firmware = plan.firmware
    data_base = IMEM_BASE + 4 * plan.params.controller.imem_words
    files = [
        ("firmware.S", firmware.source.encode()),
        ("firmware.lst", listing(plan).encode()),
        (
            "firmware.elf",
            executable(
                firmware.words,
                firmware.data,
                (IMEM_BASE, data_base),
                firmware.symbols,
                firmware.symbols["start"],
            ),
        ),
        ("imem.hex", _hex(firmware.words.astype("<u4").view(np.uint8).reshape(-1, 4))),
        ("dmem.hex", _hex(firmware.data.astype("<u4").view(np.uint8).reshape(-1, 4))),
    ]
    for number, phase in enumerate(plan.phases):
        for mvu in range(plan.params.mvus):
            for select, what in _MEMORIES.items():
                loads = [load for load in phase.loads if mvu in load.mvus and load.select == select]
                if loads:
                    files.append((f"phase{number}_mvu{mvu}_{what}.hex", _image(loads, params)))
    place = plan.places[network.input]
    for mvu in sorted(place.mvus):
        before = np.zeros((place.base, word_bytes(params.lanes)), np.uint8)
        files.append((f"mvu{mvu}_data.hex", _hex(np.concatenate([before, words[network.input]]))))
    loads = {
        f"load{number}_{index}": load.image
        for number, phase in enumerate(plan.phases)
        for index, load in enumerate(phase.loads)
    }
    layers = {
        f"{number}_{name}": getattr(layer, name)
        for number, layer in enumerate(network.layers)
        for name in _LAYER_ARRAYS
    }
    vectors = {f"words_{name}": array for name, array in words.items()}
    vectors |= {f"values_{name}": array for name, array in values.items()}
    for stem, arrays in (("loads", loads), ("network", layers), ("vectors", vectors)):
        files.append((f"{stem}.npz", vector_sets.packed(arrays)))
    return files


def listing(plan: Plan) -> str:
    """The assembly with each line's address and words."""
    firmware = plan.firmware
    made = assemble(firmware.source, IMEM_BASE + 4 * plan.params.controller.imem_words)
    words: dict[int, list[tuple[int, int]]] = {}
    for address, line in made.lines.items():
        words.setdefault(line, []).append((address, int(made.text[(address - IMEM_BASE) // 4])))
    lines = []
    for number, text in enumerate(firmware.source.splitlines(), 1):
        first, *more = words.get(number, [None])
        left = f"{first[0]:08x} {first[1]:08x}" if first else ""
        lines.append(f"{left:<17}  {text}".rstrip())
        lines += [f"{address:08x} {word:08x}" for address, word in more]
    return "\n".join(lines) + "\n"


def _image(loads: list[Load], params: MvuParameters) -> bytes:
    """One memory of one MVU from word 0 on."""
    select = loads[0].select
    if select == WEIGHTS:
        images = [(load.first, load.image) for load in loads]
    else:
        width = SCALER_WIDTH if select == SCALERS else params.bias_width
        images = []
        for load in loads:
            bits = (load.image[..., None] >> np.arange(width)) & 1
            images.append((load.first, pack_bits(bits.reshape(len(load.image), -1).astype(np.uint8))))
    size = max(first + len(image) for first, image in images)
    memory = np.zeros((size, images[0][1].shape[1]), np.uint8)
    for first, image in images:
        memory[first : first + len(image)] = image
    return _hex(memory)


def _hex(words: np.ndarray) -> bytes:
    """Words uint8 `[n, bytes]`, lowest byte first, as lines of hexadecimal digits."""
    return "".join(f"{word[::-1].tobytes().hex()}\n" for word in words).encode()


def _described(plan: Plan) -> dict[str, Any]:
    """What of a plan is no array, fit for JSON."""
    network = plan.network

    def load_of(phase: Phase, step: Step) -> int:
        """The load that brings the weights of a step; its scalers and biases follow."""
        return next(
            index
            for index, load in enumerate(phase.loads)
            if load.select == WEIGHTS and step.mvu in load.mvus and load.first == step.job.weight_base
        )

    return {
        "network": {
            "name": network.name,
            "input": network.input,
            "input_shape": network.input_shape,
            "layers": [_layer(layer) for layer in network.layers],
        },
        "parameters": plan.params.rtl,
        "mapping": plan.mapping,
        "folded": plan.folded,
        "places": {
            name: {
                "shape": place.shape,
                "format": str(place.fmt),
                "base": place.base,
                "words": place.words,
                "mvus": sorted(place.mvus),
            }
            for name, place in plan.places.items()
        },
        "phases": [
            {
                "loads": [
                    {
                        "mvus": sorted(load.mvus),
                        "memory": _MEMORIES[load.select],
                        "first": load.first,
                        "words": len(load.image),
                    }
                    for load in phase.loads
                ],
                "steps": [
                    [
                        {
                            "number": step.number,
                            "layer": step.layer,
                            "rows": [step.rows.start, step.rows.stop],
                            "waits": [[wait.mvu, wait.count] for wait in step.waits],
                            "load": load_of(phase, step),
                            "job": _job(step.job),
                        }
                        for step in steps
                    ]
                    for steps in phase.steps
                ],
            }
            for phase in plan.phases
        ],
        "firmware": {"words": len(plan.firmware.words), "data": len(plan.firmware.data)},
    }


def _layer(layer: Layer) -> dict[str, Any]:
    described = {f.name: getattr(layer, f.name) for f in dataclasses.fields(layer)}
    for name in _LAYER_ARRAYS:
        del described[name]
    for name in ("weight_format", "input_format", "output_format"):
        described[name] = str(described[name])
    if layer.residual is not None:
        described["residual"] = {**vars(layer.residual), "format": str(layer.residual.format)}
    return described


def _job(job: Job) -> dict[str, Any]:
    described = {f.name: getattr(job, f.name) for f in dataclasses.fields(job) if f.name not in _JOB_ARRAYS}
    for name in ("input", "output", "residual"):
        spec = described[name]
        described[name] = spec and {**vars(spec), "fmt": str(spec.fmt)}
    return described


def _plan(manifest: Mapping[str, Any], arrays: Mapping[str, Mapping[str, np.ndarray]], source: str) -> Plan:
    described = manifest["network"]
    layers = [
        _layer_of(layer, {name: arrays["network"][f"{number}_{name}"] for name in _LAYER_ARRAYS})
        for number, layer in enumerate(described["layers"])
    ]
    network = Network(described["name"], described["input"], tuple(described["input_shape"]), tuple(layers))
    params = AcceleratorParameters.of_rtl(manifest["parameters"])
    places = {
        name: Place(
            name,
            tuple(place["shape"]),
            IntFormat.parse(place["format"]),
            place["base"],
            place["words"],
            frozenset(place["mvus"]),
        )
        for name, place in manifest["places"].items()
    }
    selects = {what: select for select, what in _MEMORIES.items()}
    phases = []
    for number, phase in enumerate(manifest["phases"]):
        loads = tuple(
            Load(
                frozenset(load["mvus"]),
                selects[load["memory"]],
                load["first"],
                arrays["loads"][f"load{number}_{index}"],
            )
            for index, load in enumerate(phase["loads"])
        )
        steps = tuple(
            tuple(
                Step(
                    mvu,
                    step["number"],
                    _job_of(step["job"], [load.image for load in loads[step["load"] : step["load"] + 3]]),
                    step["layer"],
                    range(*step["rows"]),
                    tuple(Wait(*wait) for wait in step["waits"]),
                )
                for step in own
            )
            for mvu, own in enumerate(phase["steps"])
        )
        phases.append(Phase(loads, steps))
    made = assemble(source, IMEM_BASE + 4 * params.controller.imem_words)
    firmware = Firmware(made.text, made.data, made.symbols, source)
    return Plan(network, params, manifest["mapping"], manifest["folded"], places, tuple(phases), firmware)


def _layer_of(described: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Layer:
    fields = dict(described)
    for name in ("weight_format", "input_format", "output_format"):
        fields[name] = IntFormat.parse(fields[name])
    for name in ("stride", "padding"):
        fields[name] = tuple(fields[name])
    if fields["residual"] is not None:
        residual = fields["residual"]
        fields["residual"] = Residual(**{**residual, "format": IntFormat.parse(residual["format"])})
    if fields["pool"] is not None:
        fields["pool"] = Pool(*map(tuple, fields["pool"]))
    return Layer(**fields, **arrays)


def _job_of(described: Mapping[str, Any], images: list[np.ndarray]) -> Job:
    fields = dict(described)
    for name in ("input", "output", "residual"):
        spec = fields[name]
        fields[name] = spec and TensorSpec(
            tuple(spec["shape"]), IntFormat.parse(spec["fmt"]), spec["base"], spec["words"]
        )
    return Job(**fields, **dict(zip(_JOB_ARRAYS, images, strict=True)))
