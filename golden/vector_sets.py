# SPDX-License-Identifier: Apache-2.0
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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from assay.golden import user_files
from assay.golden.errors import ChecksumError, GoldenError

__all__ = [
    "ALTERED",
    "MANIFEST",
    "altered",
    "arrays_of",
    "checked",
    "manifest_of",
    "packed",
    "read",
    "whole_folder",
    "write",
]

MANIFEST = "manifest.json"
# Bytes of an .npz, of its arrays once unpacked, and of the manifest: far above what a job takes.
_LARGEST_FILE = 64 << 20
_LARGEST_ARRAYS = 512 << 20
_LARGEST_MANIFEST = 64 << 20
# What a manifest or arrays that say something impossible end in, where a result is built of them.
ALTERED = (
    *(
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        ValueError,
        ArithmeticError,
        RecursionError,
        MemoryError,
    ),
)

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
    written = []
    with whole_folder(folder) as partial:
        for number, (described, arrays) in enumerate(jobs):
            name = f"{number:02d}_{re.sub(r'[^A-Za-z0-9_.-]+', '_', described['name'])}.npz"
            content = packed(arrays)
            (partial / name).write_bytes(content)
            written.append({**described, "file": name, "sha256": hashlib.sha256(content).hexdigest()})
        text = json.dumps({**manifest, "jobs": written}, indent=1) + "\n"
        (partial / MANIFEST).write_text(text, encoding="utf-8")
    return [job["name"] for job in written]


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes `folder` when all is written, or nothing at all.

    Raises:
        GoldenError: `folder` is there and holds no manifest, so it is something else; or it cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise GoldenError(f"{folder}: exists and is no vector set: give a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise GoldenError(f"{folder} cannot be written: {error.strerror}") from None
    try:
        yield partial
        shutil.rmtree(folder, ignore_errors=True)
        os.chmod(partial, 0o755)
        os.replace(partial, folder)
    except OSError as error:
        raise GoldenError(f"{folder} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def packed(arrays: Mapping[str, np.ndarray | None]) -> bytes:
    """Arrays by name as the content of an .npz file; those of None are left out."""
    content = io.BytesIO()
    np.savez_compressed(content, **{k: a for k, a in arrays.items() if a is not None})
    return content.getvalue()


def read(
    folder: Path,
    form: str,
    build: Callable[[Mapping[str, Any], list[tuple[Mapping[str, Any], dict[str, np.ndarray]]]], T],
) -> T:
    """Read a vector set and check every file against the manifest.

    Args:
        folder: of the set.
        form: the `format` that its manifest must have.
        build: makes the result of the manifest and of each job's description and arrays; what it cannot make for
            what stands there, and reports by an error of `ALTERED`, is an altered manifest.

    Raises:
        GoldenError: no vector set, or one of another format.
        ChecksumError: a file is missing, altered or cut off.
    """
    manifest = manifest_of(folder, form)
    path = Path(folder) / MANIFEST
    try:
        return build(manifest, [(job, _arrays(folder, job)) for job in manifest["jobs"]])
    except GoldenError as error:
        raise type(error)(user_files.shown(str(error), 1000)) from None
    except ALTERED as error:
        raise ChecksumError(altered(path, error)) from None


def altered(path: Path, error: BaseException) -> str:
    """The message for a manifest that is not as it was written."""
    return f"{path}: altered: {type(error).__name__} {user_files.shown(str(error))}"


def manifest_of(folder: Path, form: str) -> dict[str, Any]:
    """The manifest of a folder; errors as of `read`."""
    folder = Path(folder)
    path = folder / MANIFEST
    try:
        text = user_files.content(path, _LARGEST_MANIFEST)
    except GoldenError as error:
        raise GoldenError(f"{folder}: no vector set: {error}") from None
    try:
        manifest = user_files.json_in(text)
    except GoldenError as error:
        raise ChecksumError(f"{path}: not JSON, so cut off or altered: {error}") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != form:
        raise GoldenError(f"{path}: format is {user_files.shown(str(found))!r}, but must be {form!r}")
    return manifest


def checked(folder: Path, name: str, sha256: str, largest: int = _LARGEST_FILE) -> bytes:
    """Content of a file that the manifest names, at most `largest` bytes; errors as of `read`."""
    folder = Path(folder)
    path = folder / name
    if Path(name).name != name:
        raise ChecksumError(f"{folder / MANIFEST}: file {user_files.shown(name)} lies outside the set")
    try:
        content = user_files.content(path, largest)
    except GoldenError as error:
        reason = str(error).removeprefix(f"{user_files.shown(path)} ")
        raise ChecksumError(f"{user_files.shown(path)}: named in {MANIFEST}, but {reason}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise ChecksumError(
            f"{path}: altered or cut off: its sha256 is {digest}, but {MANIFEST} says {user_files.shown(sha256)}"
        )
    return content


def arrays_of(path: Path, content: bytes) -> dict[str, np.ndarray]:
    """Arrays of an .npz file's content, as data: nothing in it is executed."""
    try:
        return user_files.arrays_in(io.BytesIO(content), _LARGEST_ARRAYS)
    except GoldenError as error:
        raise ChecksumError(f"{path}: {error}") from None


def _arrays(folder: Path, job: Mapping[str, Any]) -> dict[str, np.ndarray]:
    name = str(job["file"])
    return arrays_of(Path(folder) / name, checked(folder, name, str(job.get("sha256"))))
