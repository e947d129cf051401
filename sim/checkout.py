# SPDX-License-Identifier: Apache-2.0
"""A copy of Assay's checkout, for commands that edit sources: never those of the user."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.sim import ROOT
from assay.tb.errors import AssayError

FOLDERS = ("golden", "rtl", "sim", "tb", "vectors")
"""The packages below `assay`."""


@contextmanager
def copied(user: str, root: Path = ROOT) -> Iterator[Path]:
    """A copy of what git knows of a checkout; beside it, in ``site``, the packages `assay.*` of that copy.

    Args:
        user: the command that copies, for the message.
        root: the checkout.

    Raises:
        AssayError: git does not know the folder.
    """
    names = listed(root)
    if names is None:
        raise AssayError(f"{root} is no git checkout, which {user} copies")
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        copy = Path(folder) / "checkout"
        for name in names:
            if (root / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, copy / name)
        packages = copy.with_name("site") / "assay"
        packages.mkdir(parents=True)
        for name in FOLDERS:
            (packages / name).symlink_to(copy / name)
        yield copy


def listed(root: Path) -> list[str] | None:
    """The files of a checkout that git knows or does not ignore, relative to it; None: git does not know the folder."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        found = subprocess.run(words, cwd=root, capture_output=True)
    except OSError:
        return None
    return None if found.returncode else [name for name in found.stdout.decode().split("\0") if name]


def environment_of(copy: Path) -> dict[str, str]:
    """The environment in which a program imports the packages of a copy, without make's variables."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    return environment | {"PYTHONPATH": str(copy.with_name("site")), "PYTHONUNBUFFERED": "1"}
