# SPDX-License-Identifier: Apache-2.0
"""A project as an archive that is named after its content: what the workers of a regression unpack and run.

It holds Assay itself, be it a checkout or installed, the user's repository where the blocks are of one, and the files
that the items name. A regression thus runs the sources of its beginning, whatever is edited meanwhile, and on machines
that share no file system.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.sim import ROOT, outputs, project, shown
from assay.sim.checkout import FOLDERS, listed
from assay.sim.regress.record import Entry
from assay.sim.regress.remote import BUILDS
from assay.tb.block import Block
from assay.tb.errors import AssayError
from assay.tb.json_file import write_json

CHECKOUT, SITE, REPOSITORY, FILES = "checkout", "site", "repository", "files"
"""Folders of an unpacked project: Assay's checkout; what Python imports; the user's repository; files of items."""

ARCHIVE, ABOUT = "project.tar.gz", "project.json"

_SKIPPED = {"__pycache__", "node_modules", outputs.FOLDER}
"""Folders of a repository without git that are no sources; hidden ones are none, either."""


@dataclass(frozen=True)
class Archive:
    """A project.

    Attributes:
        key: hash of its content.
        content: a compressed tar file.
        settings: for `sim.regress.remote.Project`: where its packages are and where its runner is started.
        files: of items: path, as an entry has it, to its name in the archive.
    """

    key: str
    content: bytes
    settings: dict[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)


def pack(blocks: Iterable[Block], entries: Sequence[Entry]) -> Archive:
    """The project of the blocks that ``entries`` name.

    Raises:
        AssayError: the blocks are of several repositories.
        OSError: a file cannot be read.
    """
    names = {entry.block for entry in entries}
    roots = {block.root for block in blocks if block.name in names and block.root in project.in_use}
    if len(roots) > 1:
        raise AssayError(
            f"a regression runs blocks of one repository, not of {' and '.join(map(str, sorted(roots)))}"
        )
    members = dict(_assay())
    links = {}
    is_checkout = any(name.startswith(f"{CHECKOUT}/") for name in members)
    folder = CHECKOUT if is_checkout else SITE
    words: list[str] = []
    for root in roots:
        members |= {f"{REPOSITORY}/{name}": root / name for name in sources(root)}
        folder, words = REPOSITORY, ["."]
        links[f"{REPOSITORY}/{outputs.FOLDER}/build"] = BUILDS
    if is_checkout:
        links[f"{CHECKOUT}/sim/build"] = BUILDS
    given = sorted({path for entry in entries for path in entry.given.values() if os.path.isfile(path)})
    files = {path: f"{FILES}/{number}/{Path(path).name}" for number, path in enumerate(given)}
    members |= {name: Path(path) for path, name in files.items()}
    content, digest = io.BytesIO(), hashlib.sha256()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", compresslevel=2, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(members):
            path = members[name]
            data = path.read_bytes()
            executable = os.access(path, os.X_OK)
            digest.update(f"{name}\0{len(data)}\0{int(executable)}\0".encode() + data)
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(data), 0o755 if executable else 0o644
            archive.addfile(about, io.BytesIO(data))
        if is_checkout:  # the packages below `assay`
            for name in FOLDERS:
                about = tarfile.TarInfo(f"{SITE}/assay/{name}")
                about.type, about.linkname = tarfile.SYMTYPE, f"../../{CHECKOUT}/{name}"
                archive.addfile(about)
    settings = {"python_path": SITE, "folder": folder, "words": words, "links": links}
    return Archive(digest.hexdigest()[:16], content.getvalue(), settings, files)


def read(folder: Path) -> Archive:
    """The project that a regression has kept.

    Raises:
        AssayError: it is not there.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        return Archive(about["key"], (folder / ARCHIVE).read_bytes(), about["settings"], about["files"])
    except (OSError, ValueError, KeyError):
        raise AssayError(f"{shown(folder)} has lost its project: begin a new regression") from None


def write(folder: Path, archive: Archive) -> None:
    """Keep a project, for a regression that goes on later."""
    (folder / ARCHIVE).write_bytes(archive.content)
    write_json(folder / ABOUT, {"key": archive.key, "settings": archive.settings, "files": archive.files})


def relocated(entries: Iterable[Entry], files: Mapping[str, str]) -> list[Entry]:
    """The entries as the runner gets them: their files are those of the unpacked project, beside its own folder.

    Args:
        files: path, as an entry has it, to its name in the archive.
    """
    place = {path: f"../{name}" for path, name in files.items()}
    return [
        replace(entry, given={name: place.get(text, text) for name, text in entry.given.items()})
        for entry in entries
    ]


def _assay() -> Iterator[tuple[str, Path]]:
    """Assay's own files: name in the archive, path."""
    if (ROOT / "Makefile").is_file():
        made = tuple(f"sim/{name}/" for name in ("build", "runs", "reports"))  # git ignores them, where it is
        for name in sources(ROOT):
            if not name.startswith(made):
                yield f"{CHECKOUT}/{name}", ROOT / name
    else:
        for folder in (*FOLDERS, "."):
            here = ROOT / folder
            for path in here.glob("*.py") if folder == "." else here.rglob("*"):
                if path.is_file() and "__pycache__" not in path.parts:
                    yield f"{SITE}/assay/{path.relative_to(ROOT).as_posix()}", path


def sources(root: Path) -> list[str]:
    """The files of a repository, relative to it: those that git does not ignore, or all but outputs."""
    if (found := listed(root)) is not None:
        return [name for name in found if (root / name).is_file()]
    names = []
    for here, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        names += [
            (Path(here) / name).relative_to(root).as_posix()
            for name in files
            if (Path(here) / name).is_file()
        ]
    return names


def commit(root: Path) -> str:
    """The commit of a repository, with "+" where files differ from it; empty without git."""
    words = ["git", "-C", str(root)]
    head = subprocess.run([*words, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode:
        return ""
    changed = subprocess.run([*words, "status", "--porcelain"], capture_output=True, text=True)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
