# SPDX-License-Identifier: Apache-2.0
"""Folders of the build cache that record their contents.

Without the record, a program that was cut short by a full disk or a crash would fail for ever, because the cache would
take it for complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

SEAL = "contents.json"
"""Name, size and SHA-256 of every other file in the folder."""


def seal(folder: Path) -> None:
    """Write down what ``folder`` holds, now that it is complete."""
    contents = {
        path.name: [path.stat().st_size, _digest(path)] for path in sorted(folder.iterdir()) if path.is_file()
    }
    (folder / SEAL).write_text(json.dumps(contents, indent=1) + "\n", encoding="utf-8")


def intact(folder: Path, announce: Callable[[str], None], shown: Callable[[Path], str] = str) -> bool:
    """Whether ``folder`` is there and holds what was sealed. With other contents it is removed, which is announced."""
    if not folder.is_dir():
        return False
    if reason := _damage(folder):
        announce(f"{shown(folder)} is damaged ({reason}); it is built again")
        shutil.rmtree(folder)
        return False
    return True


def _damage(folder: Path) -> str:
    try:
        contents = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        for name, (size, digest) in contents.items():
            found = (folder / name).stat().st_size
            if found != size:
                return f"{name} has {found:,} of {size:,} bytes"
            if _digest(folder / name) != digest:
                return f"{name} has other contents than when it was built"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, TypeError, AttributeError):
        return f"{SEAL} is no list of contents"
    return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
