# SPDX-License-Identifier: Apache-2.0
"""The documentation does what it shows: its console blocks are run in a copy of the checkout, its generated pages are
what the command line gives."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assay.sim import ROOT, reference
from assay.sim.options import VARIABLES

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]

# What differs from run to run: how long something took, keys of the build cache.
VARYING = ((re.compile(r"\b\d+(\.\d+)? s\b"), "N s"), (re.compile(r"-[0-9a-f]{16}\b"), "-KEY"))


def steps(page: Path) -> list[tuple[str, list[str]]]:
    """Every command of a page's console blocks, with the lines that the page shows of its output."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        for line in block[1].splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def alike(line: str) -> str:
    """A line without what varies."""
    for pattern, word in VARYING:
        line = pattern.sub(word, line)
    return line.rstrip()


def first_unlike(shown: list[str], seen: list[str]) -> str:
    """What of a page's lines is not in the output, in order; a line ``...`` stands for any lines. Empty: nothing."""
    rest = [alike(line) for line in seen]
    skipping = False
    for line in shown:
        if line == "...":
            skipping = True
            continue
        wanted = alike(line)
        place = rest.index(wanted) if skipping and wanted in rest else 0
        if not rest or rest[place] != wanted:
            return f"shown {wanted!r}, but seen {rest[:3]}"
        rest, skipping = rest[place + 1 :], False
    return "" if skipping or not rest else f"not shown: {rest[:3]}"


@pytest.mark.simulation
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_print_what_the_page_shows(page: Path, checkout: Path) -> None:
    script = Path(sys.executable).parent / "assay"
    # As a user's shell has it, not as make hands it to the tests.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COCOTB", "PYTEST", "MAKE", "MFLAGS", "ASSAY_OVERRIDES"))
        and name not in VARIABLES
    }
    environment |= {
        "PATH": os.pathsep.join([str(script.parent), environment["PATH"]]),
        "PYTHON": sys.executable,
        "PYTHONPATH": str(checkout.parent / "site"),
    }
    folder = checkout
    if (page.parent / "pyproject.toml").is_file() and page.parent != ROOT:  # a repository of its own
        folder = checkout.parent / page.parent.name
        shutil.copytree(checkout / page.parent.relative_to(ROOT), folder)
    for command, shown in steps(page):
        done = subprocess.run(
            command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        problem = first_unlike(shown, done.stdout.splitlines())
        assert not problem, f"$ {command}\n{problem}\n{done.stdout[-3000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize(
    ("shown", "seen", "problem"),
    [
        (["a", "b"], ["a", "b"], ""),
        (["took 3.1 s"], ["took 12 s"], ""),
        (["...", "b"], ["x", "a", "b"], ""),
        (["a", "..."], ["a", "b"], ""),
        (["...", "c"], ["a", "b"], "shown 'c'"),
        (["a"], ["a", "b"], "not shown: ['b']"),
        (["a", "..."], ["b"], "shown 'a'"),
        (["a"], [], "shown 'a'"),
    ],
)
def test_comparison(shown: list[str], seen: list[str], problem: str) -> None:
    assert first_unlike(shown, seen).startswith(problem) and bool(first_unlike(shown, seen)) == bool(problem)


def test_some_pages_are_run() -> None:
    assert {page.name for page in RUN} >= {"tutorial.md", "network.md"}


def test_generated_reference() -> None:
    """Apart from line breaks, which Python's versions set differently."""
    for path, text in reference.generated_files(ROOT).items():
        assert path.read_text(encoding="utf-8").split() == text.split(), (
            f"{path} is stale: run python -m assay.sim.reference"
        )
