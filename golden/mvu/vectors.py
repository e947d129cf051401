# SPDX-License-Identifier: Apache-2.0
"""Vector sets for the MVU: layers of a network as files that a bench, here or elsewhere, can play and check.

A set is a folder as `golden.vector_sets` says. The archive of a job holds, in the layouts of docs/mvu.md:

    weights    uint8 [words, lanes*lanes/8], from weight word `weight_base` on
    scaler     int64 [blocks, lanes], from entry `channel_base` on
    bias       int64 [blocks, lanes], likewise
    input      uint8 [words, lanes/8], from data word `input.base` on
    residual   uint8 [words, lanes/8], from `residual.base` on, if the job has one
    address    int64 [words], of the output words in order of writing
    expected   uint8 [words, lanes/8], those words

Each job stands alone: its input is the golden one, whatever the job before made of it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.golden import vector_sets
from assay.golden.errors import ConfigurationError
from assay.golden.formats import IntFormat
from assay.golden.mvu.functional import Memories, run_job
from assay.golden.mvu.jobs import Job, TensorSpec
from assay.golden.mvu.layout import pack_activations
from assay.golden.mvu.parameters import MvuParameters
from assay.golden.mvu.plan import NetworkPlan
from assay.golden.network import Network

__all__ = ["FORMAT", "Vector", "parameters", "read", "vectors", "write"]

FORMAT = "assay mvu vectors 1"  #: first key of the manifest; another number is another layout
_ARRAYS = ("weights", "scaler", "bias", "input", "residual", "address", "expected")


@dataclass(frozen=True, eq=False)
class Vector:
    """One job with its inputs and what it must write.

    Attributes:
        job: registers and parameter images.
        input, residual: uint8 `[words, lanes/8]`, for the specs of `job`; residual None without one.
        address: int64 `[words]`, in order of writing.
        expected: uint8 `[words, lanes/8]`.
    """

    job: Job
    input: np.ndarray
    residual: np.ndarray | None
    address: np.ndarray
    expected: np.ndarray


def vectors(
    network: Network, image: np.ndarray, params: MvuParameters, layers: Sequence[str] = ()
) -> Iterator[Vector]:
    """The jobs of the given layers (all without any) on one image int[H, W, C].

    Raises:
        ConfigurationError: the network has no layer of such a name.
        DoesNotFitError: the network does not fit the memories.
    """
    known = [layer.name for layer in network.layers]
    for name in layers:
        if name not in known:
            raise ConfigurationError(f"network {network.name} has no layer {name!r}, but {', '.join(known)}")
    plan = NetworkPlan(network, params)
    trace = network.trace(image[None])
    for layer in network.layers:
        if layers and layer.name not in layers:
            continue
        for job in plan.jobs(layer):
            memories = Memories.zeros(params)
            residual = trace[layer.residual.tensor][0] if layer.residual else None
            job.load(memories, trace[layer.input][0], residual)
            result = run_job(job.registers, memories, params)
            yield Vector(
                job=job,
                input=pack_activations(trace[layer.input][0], job.input.fmt, params.lanes),
                residual=None
                if residual is None
                else pack_activations(residual, job.residual.fmt, params.lanes),
                address=result.address,
                expected=result.data,
            )


def write(
    network: Network,
    image: np.ndarray,
    params: MvuParameters,
    folder: Path,
    layers: Sequence[str] = (),
    origin: str = "",
) -> list[str]:
    """Write a vector set; the folder appears complete or not at all.

    Args:
        network, image, params, layers: as for `vectors`.
        folder: must not exist yet, or hold a vector set, which is replaced.
        origin: where image and model come from, for the manifest.

    Returns:
        the names of the jobs.

    Raises:
        GoldenError: `folder` holds something else; and as for `vectors`.
    """
    manifest = {"format": FORMAT, "network": network.name, "origin": origin, "parameters": params.rtl}
    jobs = ((_described(v.job), _arrays(v)) for v in vectors(network, image, params, layers))
    return vector_sets.write(folder, manifest, jobs)


def read(folder: Path) -> tuple[MvuParameters, list[Vector]]:
    """Read a vector set and check every file against the manifest.

    Raises:
        GoldenError: no vector set, or one of another format.
        ChecksumError: a file is missing, altered or cut off.
    """

    def build(manifest: Mapping[str, Any], jobs: list) -> tuple[MvuParameters, list[Vector]]:
        params = MvuParameters.of_rtl(manifest["parameters"])
        return params, [_vector(described, arrays) for described, arrays in jobs]

    return vector_sets.read(folder, FORMAT, build)


def parameters(folder: Path) -> dict[str, int]:
    """The RTL's parameters that a set was made for, under their names in the RTL; checks the whole set as `read`."""
    return read(folder)[0].rtl


def _described(job: Job) -> dict[str, object]:
    """What of a job is no array, fit for JSON."""
    described = {
        f.name: getattr(job, f.name)
        for f in dataclasses.fields(job)
        if f.name not in ("weights", "scaler", "bias")
    }
    for name in ("input", "output", "residual"):
        spec = described[name]
        described[name] = spec and {**vars(spec), "fmt": str(spec.fmt)}
    return json.loads(json.dumps(described, default=int))


def _arrays(vector: Vector) -> dict[str, np.ndarray | None]:
    arrays = {key: getattr(vector, key) for key in ("input", "residual", "address", "expected")}
    return arrays | {key: getattr(vector.job, key) for key in ("weights", "scaler", "bias")}


def _vector(described: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> Vector:
    arrays = {key: found.get(key) for key in _ARRAYS}
    fields = {f.name: described.get(f.name) for f in dataclasses.fields(Job)}
    fields |= {key: arrays[key] for key in ("weights", "scaler", "bias")}
    for key in ("input", "output", "residual"):
        spec = described[key]
        fields[key] = spec and TensorSpec(
            tuple(spec["shape"]), IntFormat.parse(spec["fmt"]), spec["base"], spec["words"]
        )
    return Vector(Job(**fields), arrays["input"], arrays["residual"], arrays["address"], arrays["expected"])
