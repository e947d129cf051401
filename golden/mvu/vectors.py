"""Vector sets for the MVU: layers of a network as files that a bench, here or elsewhere, can play and check.

A set is a folder:

    manifest.json        what follows, with the sha256 of every file
    <job>.npz            arrays of one job, in the layouts of docs/mvu.md:
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
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from golden.errors import ChecksumError, ConfigurationError, GoldenError
from golden.formats import IntFormat
from golden.mvu.functional import Memories, run_job
from golden.mvu.jobs import Job, TensorSpec
from golden.mvu.layout import pack_activations
from golden.mvu.parameters import MvuParameters
from golden.mvu.plan import NetworkPlan
from golden.network import Network

__all__ = ["FORMAT", "Vector", "parameters", "read", "vectors", "write"]

FORMAT = "assay mvu vectors 1"  #: first key of the manifest; another number is another layout
MANIFEST = "manifest.json"
_ARRAYS = ("weights", "scaler", "bias", "input", "residual", "address", "expected")
_LARGEST_FILE = 64 << 20  #: bytes of an .npz, far above what fits an MVU's memories


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
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise GoldenError(f"{folder}: exists and is no vector set: give a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        jobs = []
        for number, vector in enumerate(vectors(network, image, params, layers)):
            name = f"{number:02d}_{re.sub(r'[^A-Za-z0-9_.-]+', '_', vector.job.name)}.npz"
            arrays = {key: getattr(vector, key, None) for key in ("input", "residual", "address", "expected")}
            arrays |= {key: getattr(vector.job, key) for key in ("weights", "scaler", "bias")}
            content = io.BytesIO()
            np.savez_compressed(content, **{k: a for k, a in arrays.items() if a is not None})
            (partial / name).write_bytes(content.getvalue())
            jobs.append(
                {
                    **_described(vector.job),
                    "file": name,
                    "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
                }
            )
        manifest = {"format": FORMAT, "network": network.name, "origin": origin, "parameters": params.rtl}
        text = json.dumps({**manifest, "jobs": jobs}, indent=1) + "\n"
        (partial / MANIFEST).write_text(text, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.chmod(partial, 0o755)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [job["name"] for job in jobs]


def read(folder: Path) -> tuple[MvuParameters, list[Vector]]:
    """Read a vector set and check every file against the manifest.

    Raises:
        GoldenError: no vector set, or one of another format.
        ChecksumError: a file is missing, altered or cut off.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GoldenError(
            f"{folder}: no vector set, for {MANIFEST} cannot be read: {error.strerror}"
        ) from None
    except ValueError as error:
        raise ChecksumError(f"{path}: not JSON, so cut off or altered: {error}") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise GoldenError(f"{path}: format is {found!r}, but must be {FORMAT!r}")
    try:
        params = MvuParameters.of_rtl(manifest["parameters"])
        return params, [_read_job(folder, described, params) for described in manifest["jobs"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ChecksumError(f"{path}: altered: {type(error).__name__} {error}") from None


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


def _read_job(folder: Path, described: dict[str, object], params: MvuParameters) -> Vector:
    name = str(described["file"])
    path = folder / name
    if Path(name).name != name:
        raise ChecksumError(f"{folder / MANIFEST}: file {name!r} lies outside the set")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ChecksumError(
                f"{path}: {path.stat().st_size} bytes, but {_LARGEST_FILE} is the most a job takes"
            )
        content = path.read_bytes()
    except OSError as error:
        raise ChecksumError(f"{path}: named in {MANIFEST}, but cannot be read: {error.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != described["sha256"]:
        raise ChecksumError(
            f"{path}: altered or cut off: its sha256 is {digest}, but {MANIFEST} says {described['sha256']}"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            found = dict(archive)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ChecksumError(f"{path}: not an archive of arrays: {error}") from None
    arrays = {key: found.get(key) for key in _ARRAYS}
    fields = {f.name: described.get(f.name) for f in dataclasses.fields(Job)}
    fields |= {key: arrays[key] for key in ("weights", "scaler", "bias")}
    for key in ("input", "output", "residual"):
        spec = described[key]
        fields[key] = spec and TensorSpec(
            tuple(spec["shape"]), IntFormat.parse(spec["fmt"]), spec["base"], spec["words"]
        )
    return Vector(Job(**fields), arrays["input"], arrays["residual"], arrays["address"], arrays["expected"])
