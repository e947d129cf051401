# SPDX-License-Identifier: Apache-2.0
"""Where builds, runs and reports go: with Assay's own blocks into its checkout, with a user's into his repository."""

from __future__ import annotations

from pathlib import Path

from assay.sim import ROOT, project
from assay.tb.block import Block

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
    return outputs(block) / "build"


def run_root(block: Block | None = None) -> Path:
    """The folder that holds a folder for each run."""
    return outputs(block) / "runs"


def made(root: Path) -> Path:
    """One of these folders, which is there from now on. In a repository that is not Assay's, git does not see it."""
    root.mkdir(parents=True, exist_ok=True)
    hidden = root.parent / ".gitignore"
    if root.parent.name == FOLDER and not hidden.exists():
        hidden.write_text("*\n", encoding="utf-8")
    return root
