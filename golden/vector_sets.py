"""Vector sets: a folder of jobs for a block's bench, here or elsewhere, to play and check.

    manifest.json        what the block's module says, and for each job its file with its sha256
    <job>.npz            the arrays of one job

Which arrays and what else is known of a job is the block's: `golden.mvu.vectors`, `golden.pe_array.vectors`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from golden.errors import ChecksumError, GoldenError

__all__ = ["MANIFEST", "read", "write"]

MANIFEST = "manifest.json"
_LARGEST_FILE = 64 << 20  # bytes of an .npz, far above what a job takes

T = TypeVar("T")


def write(
    folder: Path,
    manifest: Mapping[str, Any],
    jobs: Iterable[tuple[Mapping[str, Any], Mapping[str, np.ndarray | None]]],
) -> list[str]:
    """Write a vector set; the folder appears complete or not at all.

    Args:
        folder: must not exist yet, or hold a vector set, which is replaced.
        manifest: what is said of the whole set, `format` first; fit for JSON.
        jobs: of each what is said of it, `name` among it and all fit for JSON, and its arrays; those of None are left
            out.

    Returns:
        the names of the jobs.

    Raises:
        GoldenError: `folder` holds something else; and what `jobs` raises.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise GoldenError(f"{folder}: exists and is no vector set: give a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        written = []
        for number, (described, arrays) in enumerate(jobs):
            name = f"{number:02d}_{re.sub(r'[^A-Za-z0-9_.-]+', '_', described['name'])}.npz"
            content = io.BytesIO()
            np.savez_compressed(content, **{k: a for k, a in arrays.items() if a is not None})
            (partial / name).write_bytes(content.getvalue())
            digest = hashlib.sha256(content.getvalue()).hexdigest()
            written.append({**described, "file": name, "sha256": digest})
        text = json.dumps({**manifest, "jobs": written}, indent=1) + "\n"
        (partial / MANIFEST).write_text(text, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.chmod(partial, 0o755)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [job["name"] for job in written]


def read(
    folder: Path,
    form: str,
    build: Callable[[Mapping[str, Any], list[tuple[Mapping[str, Any], dict[str, np.ndarray]]]], T],
) -> T:
    """Read a vector set and check every file against the manifest.

    Args:
        folder: of the set.
        form: the `format` that its manifest must have.
        build: makes the result of the manifest and of each job's description and arrays; what it misses there, and
            reports by KeyError, TypeError or AttributeError, is an altered manifest.

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
    if found != form:
        raise GoldenError(f"{path}: format is {found!r}, but must be {form!r}")
    try:
        return build(manifest, [(job, _arrays(folder, job)) for job in manifest["jobs"]])
    except (KeyError, TypeError, AttributeError) as error:
        raise ChecksumError(f"{path}: altered: {type(error).__name__} {error}") from None


def _arrays(folder: Path, job: Mapping[str, Any]) -> dict[str, np.ndarray]:
    name = str(job["file"])
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
    if digest != job["sha256"]:
        raise ChecksumError(
            f"{path}: altered or cut off: its sha256 is {digest}, but {MANIFEST} says {job['sha256']}"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ChecksumError(f"{path}: not an archive of arrays: {error}") from None
