# SPDX-License-Identifier: Apache-2.0
"""Where builds, runs and reports go: with Assay's own blocks into its checkout, with a user's into his repository."""

from __future__ import annotations

from pathlib import Path

from sim import ROOT, project
from tb.block import Block

FOLDER = "assay_out"
"""Of a user's repository, or of the current folder."""


def outputs(block: Block | None = None) -> Path:
    """The folder that holds all outputs of a block; of Assay's own blocks where none is given."""
    if block is not None and block.root in project.in_use:
        return block.root / FOLDER
    if (block is None or block.file.is_relative_to(ROOT)) and (ROOT / "Makefile").is_file():
        return ROOT / "sim"
    return Path.cwd() / FOLDER


def build_root(block: Block | None = None) -> Path:
    """The build cache."""
    return _made(outputs(block)) / "build"


def run_root(block: Block | None = None) -> Path:
    """The folder that holds a folder for each run."""
    return _made(outputs(block)) / "runs"


def _made(folder: Path) -> Path:
    """Keep git away from a folder that Assay makes in a repository that is not its own."""
    if folder.name == FOLDER and not folder.is_dir():
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    return folder
